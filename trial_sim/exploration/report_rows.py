"""The numbers of a trial report: headlines, its type I error, rows of bounds and of the course."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import ndtr

from trial_sim.arms.scenario import FittedOutcomes
from trial_sim.design.design import Design
from trial_sim.exploration.family_error import without_effect
from trial_sim.exploration.report_words import _level
from trial_sim.numerics.monte_carlo import Estimate, share
from trial_sim.sequential.boundaries import exit_probabilities
from trial_sim.sequential.design import GroupSequential
from trial_sim.simulation.adaptive_result import AdaptiveResult
from trial_sim.simulation.operating_characteristics import SimulationResult
from trial_sim.simulation.simulate import simulate


def null_outcomes(result: SimulationResult) -> Any:
    """The outcomes of a result with no effect in any arm.

    Raises:
        ValueError: what no effect is, is not known: the sentence says why.
    """
    design, outcomes = result.design, result.outcomes
    if design.test_name == "farrington_manning" or (
        design.margin is not None and not hasattr(outcomes, "hazard_ratio")
    ):
        raise ValueError("of a test with a margin the null hypothesis is the margin")
    if isinstance(outcomes, FittedOutcomes):
        if outcomes.fitted.endpoint.kind == "joint":
            raise ValueError("the fit has several endpoints")
        record = outcomes.fitted.endpoint
        gaussian = record.kind == "continuous" or getattr(record, "family", "") == "gaussian"
        effect = design.margin or (0.0 if gaussian else 1.0)
        return dataclasses.replace(outcomes, hazard_ratio=None, effect=effect)
    arms = design.arm_names
    none = without_effect(outcomes, arms, arms[1:])
    if design.margin is not None:
        return dataclasses.replace(none, hazard_ratio=dict.fromkeys(arms[1:], design.margin))
    return none


def under_null(results: Mapping[str, SimulationResult]) -> tuple[SimulationResult | None, str]:
    """The planned design simulated without effect, or None and the reason.

    A scenario among the results that has no effect serves; else as many trials are simulated with
    the seed of the planned one.
    """
    planned = next(iter(results.values()))
    try:
        none = null_outcomes(planned)
        arms = planned.design.arm_names
        for result in results.values():
            if type(result.outcomes) is type(none) and not isinstance(none, FittedOutcomes):
                same = without_effect(result.outcomes, arms, ())
                if planned.design.margin is None and same == none:
                    return result, ""
        return (
            simulate(
                planned.declared, none, planned.n_trials, planned.seed, scenario=planned.scenario
            ),
            "",
        )
    except (ValueError, TypeError, AttributeError) as error:
        return None, str(error)


def interval(value: Estimate, digits: int = 4) -> str:
    """An estimate with its 95 % Monte-Carlo interval."""
    return f"{value.estimate:.{digits}f} ({value.lower:.{digits}f} to {value.upper:.{digits}f})"


def headlines(
    planned: SimulationResult, null: SimulationResult | None, why: str
) -> list[dict[str, str]]:
    """Type I error and power with intervals, and what the trial costs on average."""
    several = len(planned.design.arm_names) > 2
    error = "not assessed" if null is None else interval(share(null.success))
    of = "any false rejection" if several else "type I error"
    rows = [
        {
            "quantity": of,
            "value": error,
            "meaning": f"not assessed: {why}"
            if null is None
            else f"share of {null.n_trials:,} trials without effect that reject; "
            f"level {_level(planned.design):g}",
        },
        {
            "quantity": "power" if not several else "power (any arm)",
            "value": interval(share(planned.success)),
            "meaning": f"share of {planned.n_trials:,} trials as planned that reject",
        },
    ]
    for label, value, unit in (
        ("expected duration", planned.expected_duration, "months to the last decision"),
        ("expected patients", planned.expected_patients, "enrolled by the last decision"),
        ("expected events", planned.expected_events, "or known responses, at the last analysis"),
    ):
        rows.append({"quantity": label, "value": f"{value:.1f}", "meaning": unit})
    return rows


def _bound(value: float, text: str) -> str:
    return text if np.isfinite(value) else "none"


def _alpha_spent(design: Design) -> list[str]:
    """Cumulative type I error of one comparison at each look, futility not counted on."""
    bounds = design.boundaries
    if isinstance(bounds, GroupSequential) and design.boundaries_in_force is bounds:
        return [f"{a:.6f}" for a in bounds.alpha_spent]
    n = design.n_looks
    fractions = getattr(bounds, "information_fractions", None) or np.arange(1, n + 1) / n
    exits = exit_probabilities(
        np.asarray(fractions, float), design.efficacy_bounds, np.full(n, -np.inf), 0.0, design.sided
    )
    return [f"{a:.6f}" for a in np.cumsum(exits.rejection)]


def bound_rows(result: SimulationResult) -> list[dict[str, str]]:
    """One row a look: bounds as z, one-sided p and effect, information and alpha spent.

    The effect at a bound is Schoenfeld's for looks at numbers of events, else that of the mean
    standard error at the last look; it is an approximation, as the title of its column says.
    """
    design = result.design
    uppers, lowers = result.planned_bounds
    fractions = getattr(design.boundaries, "information_fractions", None)
    errors = _standard_errors(result, fractions)
    ratio = result.scale.startswith("log ")
    scale = result.scale.removeprefix("log ") if ratio else result.scale
    spent = _alpha_spent(design) if not isinstance(result, AdaptiveResult) else []
    rows = []
    for k, (upper, lower) in enumerate(zip(uppers, lowers, strict=True)):
        row = {"look": str(k + 1)}
        if fractions is not None and len(fractions) == len(uppers):
            row["information"] = f"{fractions[k]:.3f}"
        row |= {
            "efficacy z": _bound(upper, f"{upper:.4f}"),
            "efficacy p": _bound(upper, f"{ndtr(-upper):.6f}"),
            "futility z": _bound(lower, f"{lower:.4f}"),
            "futility p": _bound(lower, f"{ndtr(-lower):.6f}"),
        }
        if errors is not None:
            for name, bound in (("efficacy", upper), ("futility", lower)):
                effect = result.direction * bound * errors[k]
                effect = float(np.exp(effect)) if ratio and np.isfinite(bound) else effect
                row[f"{name}, {scale} about"] = _bound(bound, f"{effect:.3f}")
        if spent:
            several = len(design.arm_names) > 2
            row["alpha spent, each comparison" if several else "alpha spent"] = spent[k]
        rows.append(row)
    return rows


def _standard_errors(result: SimulationResult, fractions: Any) -> np.ndarray | None:
    """Standard error of the effect at each look, (n_looks,), or None where it is not known."""
    design = result.design
    if len(design.arm_names) != 2 or isinstance(result, AdaptiveResult):
        return None
    events = getattr(design.looks, "events", ())
    if len(events) and result.scale == "log hazard ratio":
        r = design.quota[1] / design.quota[0]
        return np.asarray((1.0 + r) / np.sqrt(r * np.asarray(events, float)))
    last = result.conducted.last_look == design.n_looks - 1
    found = result.conducted.se[last, 0]
    found = found[np.isfinite(found)]
    if len(found) < 10:
        return None
    parts = np.ones(1) if fractions is None else np.asarray(fractions, float)
    if len(parts) != design.n_looks:
        return None
    return np.asarray(found.mean() / np.sqrt(parts / parts[-1]))


def course_rows(planned: SimulationResult, null: SimulationResult | None) -> list[dict[str, str]]:
    """One row a look: month, patients, events, and what happens with and without effect."""
    rows = []
    shown = [("H1", planned)] + ([] if null is None else [("H0", null)])
    reached = {name: np.cumsum(r.stage_rejection) for name, r in shown}
    for k in range(planned.design.n_looks):
        row = {"look": str(k + 1)}
        for name, result in shown:
            held = np.isfinite(result.conducted.look_time[:, k])
            there = f"{held.mean():.3f}"
            row[f"held, {name}"] = there
            if name == "H1":
                c = result.conducted
                for label, values in (
                    ("month", c.look_time[:, k]),
                    ("patients", c.patients[:, k]),
                    ("events", c.events[:, k].sum(axis=1)),
                ):
                    mean = float(np.mean(values[held])) if held.any() else np.nan
                    row[label] = f"{mean:.1f}" if held.any() else "not held"
        for name, result in shown:
            row[f"crosses efficacy, {name}"] = f"{result.stage_rejection[k]:.4f}"
            row[f"stops for futility, {name}"] = f"{result.stage_futility[k]:.4f}"
        row["power so far"] = f"{reached['H1'][k]:.4f}"
        if null is not None:
            row["type I error so far"] = f"{reached['H0'][k]:.4f}"
        rows.append(row)
    return rows
