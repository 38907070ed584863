"""A design and its outcomes in words, and the sentences of protocol and analysis plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import ndtr

from trial_sim.arms.scenario import FittedOutcomes
from trial_sim.design.adaptive_design import AdaptiveDesign
from trial_sim.design.design import Design
from trial_sim.design.look_rules import (
    CalendarLooks,
    EnrolmentLooks,
    EventLooks,
    FirstOf,
    FollowUpLooks,
    LastOf,
    Looks,
)
from trial_sim.design.randomization import (
    BiasedCoin,
    CompleteRandomization,
    Minimization,
    PermutedBlocks,
    ResponseAdaptive,
)
from trial_sim.numerics.monte_carlo import share
from trial_sim.sequential.design import GroupSequential
from trial_sim.simulation.operating_characteristics import SimulationResult

#: Names of tests in words; {} is a parameter.
_TESTS = {
    "logrank": "the log-rank test",
    "fleming_harrington": "the weighted log-rank test of Fleming and Harrington (rho {}, gamma {})",
    "magirr_burman": "the modestly weighted log-rank test of Magirr and Burman (month {})",
    "modestly_weighted": "the modestly weighted log-rank test (month {})",
    "max_combo": "the max-combo test, the largest of several weighted log-rank tests",
    "cox": "the Wald test of the Cox model",
    "rmst": "the difference of restricted mean survival times to month {}",
    "milestone": "the difference of survival at month {}",
    "gray": "Gray's test of cumulative incidence",
    "lwyy": "the test of the rate ratio by Lin, Wei, Yang and Ying, with a robust variance",
    "t_test": "the t-test of the difference of means",
    "welch": "Welch's t test of the difference of means",
    "z_test": "the z-test of the difference of means with known standard deviation {}",
    "ancova": "analysis of covariance",
    "chi_square": "Pearson's chi-squared test without continuity correction",
    "fisher": "Fisher's exact test",
    "farrington_manning": "the test of Farrington and Manning with margin {}",
    "cmh": "the Cochran-Mantel-Haenszel test",
    "wilcoxon": "the Wilcoxon rank sum test (van Elteren's where stratified)",
    "negative_binomial": "the Wald test of the rate ratio of the negative binomial model",
    "mmrm": "the mixed model for repeated measures, at the last visit",
}
_BOUNDS = {
    "obrien_fleming": "O'Brien and Fleming",
    "pocock": "Pocock",
    "wang_tsiatis": "Wang and Tsiatis",
    "lan_demets_obrien_fleming": "Lan and DeMets' spending function like O'Brien and Fleming",
    "lan_demets_pocock": "Lan and DeMets' spending function like Pocock",
    "hwang_shih_decani": "the spending function of Hwang, Shih and DeCani",
    "kim_demets": "the power spending function of Kim and DeMets",
    "haybittle_peto": "Haybittle and Peto",
}


def series(words: Sequence[Any], last: str = "and") -> str:
    """Words with commas, and a word before the last."""
    texts = [f"{w:g}" if isinstance(w, int | float) else str(w) for w in words]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} {last} {texts[-1]}"


def when(rule: Looks) -> str:
    """When looks are held, in words."""
    if isinstance(rule, EventLooks):
        words = f"{series(rule.events)} events"
    elif isinstance(rule, EnrolmentLooks):
        words = f"{series(rule.patients)} patients enrolled"
        words += f" and {rule.follow_up:g} months" if rule.follow_up else ""
    elif isinstance(rule, FollowUpLooks):
        words = f"{series(rule.patients)} patients followed for {rule.months:g} months"
    elif isinstance(rule, CalendarLooks):
        words = f"{'months' if len(rule.months) > 1 else 'month'} {series(rule.months)}"
    elif isinstance(rule, FirstOf | LastOf):
        which = "earlier" if isinstance(rule, FirstOf) else "later"
        words = f"the {which} of " + series([when(part) for part in rule.rules])
    elif hasattr(rule, "rules"):
        words = series([when(part) for part in rule.rules])
    else:
        words = f"the rule {type(rule).__name__}"
    lag = float(getattr(rule, "lag", 0.0))
    return words + (f", decision {lag:g} months later" if lag else "")


def design_facts(design: Design, adaptive: AdaptiveDesign | None = None) -> dict[str, str]:
    """What a design says, label -> words; what is none or has no effect is left out.

    Of an adaptive trial the closed test has the bounds and holds the error, not the design.
    """
    names = design.arm_names
    ratio = ":".join(f"{design.arms[name]:g}" for name in names)
    facts = {
        "arms": f"{series(names)}, allocated {ratio}"
        + ("" if names[0] == "control" else f"; {names[0]} is the control"),
        "patients": f"{design.n_patients:,}",
        "randomisation": _randomisation(design),
        "enrolment": _enrolment(design),
        "dropout": _dropout(design.dropout),
        "analyses": f"{_count(design.n_looks)}, at {when(design.looks)}",
        "test": test_in_words(design),
        "level": f"{_level(design):g} {'two' if design.sided == 2 else 'one'}-sided",
    }
    tested = adaptive is not None and adaptive.closed_test is not None
    if adaptive is not None and tested:
        facts["how the error is held"] = error_held(adaptive)
    elif design.n_looks > 1:
        facts["boundaries"] = boundaries_in_words(design)
    if design.margin is not None:
        facts["margin of non-inferiority"] = f"{design.margin:g}"
    if design.strata:
        factors = [f"{name} ({series(list(levels))})" for name, levels in design.strata.items()]
        facts["strata"] = series(factors)
    if design.adjust:
        facts["adjusted for"] = series(list(design.adjust))
    if design.follow_up is not None:
        facts["follow-up of a patient"] = f"{design.follow_up:g} months"
    if design.max_duration is not None:
        facts["last analysis at the latest"] = f"month {design.max_duration:g}"
    if design.readout:
        facts["response known after"] = f"{design.readout:g} months"
    if design.multiplicity_in_words and not tested:
        facts["several comparisons"] = design.multiplicity_in_words
    if design.max_information is not None:
        facts["information of the whole trial"] = (
            f"{design.max_information:g}; bounds by the spending functions at each trial's own"
        )
    return facts


def _count(n: int) -> str:
    return "one analysis" if n == 1 else f"{n} analyses"


def _level(design: Design) -> float:
    return float(getattr(design.boundaries, "alpha", design.alpha))


def _randomisation(design: Design) -> str:
    rule = design.randomization
    within = f" within strata of {series(list(design.strata))}" if design.strata else ""
    if isinstance(rule, PermutedBlocks):
        size = "" if rule.block_size is None else f" of {rule.block_size}"
        return f"permuted blocks{size}{within}"
    if isinstance(rule, CompleteRandomization):
        return "complete randomisation, each patient by an independent draw"
    if isinstance(rule, BiasedCoin):
        return f"Efron's biased coin with probability {rule.probability:.3g}{within}"
    if isinstance(rule, Minimization):
        return f"minimisation of Pocock and Simon with probability {rule.probability:.3g}"
    if isinstance(rule, ResponseAdaptive):
        return f"response-adaptive ({rule.rule}), after {rule.burn_in} patients an arm"
    return f"the rule {type(rule).__name__}"


def _enrolment(design: Design) -> str:
    accrual = design.accrual
    starts, rates = accrual.pieces()
    if len(rates) == 1:
        words = f"{rates[0]:g} patients a month"
    elif len(rates) <= 6:
        words = series(
            [f"{r:g} a month from month {s:g}" for s, r in zip(starts, rates, strict=True)]
        )
    else:
        words = f"{rates.min():g} to {rates.max():g} patients a month in {len(rates)} periods"
    last = float(np.asarray(accrual.expected_time(design.n_patients)))
    spread = (
        f"; rates vary by {100 * accrual.rate_cv:g} % from trial to trial"
        if accrual.rate_cv
        else ""
    )
    return f"{words}, expected to be complete in month {last:.1f}{spread}"


def _dropout(dropout: Any) -> str:
    rates = np.atleast_1d(np.asarray(dropout.rate, float))
    if not rates.any() and not dropout.by_arm:
        return "none assumed"
    words = series([f"{r:g}" for r in rates])
    changes = f", changing at month {series(dropout.breakpoints)}" if len(rates) > 1 else ""
    by_arm = "; other rates in " + series(list(dropout.by_arm)) if dropout.by_arm else ""
    year = f" ({100 * (1 - np.exp(-12 * rates[0])):.1f} % in a year)" if len(rates) == 1 else ""
    return f"hazard {words} a month{changes}{year}{by_arm}"


def test_in_words(design: Design) -> str:
    """The test, in words."""
    name = design.test_name
    parameters = [f"{p:g}" if isinstance(p, int | float) else p for p in design.test_parameters]
    words = _TESTS.get(name, f"the test {name!r}").format(*parameters, *["?"] * 3)
    return words + (", stratified" if design.stratified else "")


def error_held(adaptive: AdaptiveDesign) -> str:
    """How an adaptive trial holds its type I error, in words."""
    test = adaptive.closed_test
    if test is None:
        return "no adaptation looks at the effect; the usual test of all patients"
    how_combined = {
        "inverse_normal": "inverse normal combination of the stages",
        "fisher": "Fisher's product of the stages' p-values",
        "conditional_error": "conditional error of the planned test",
        "conventional": "the usual test of all patients so far, which holds no error by itself",
    }[test.combine]
    hypotheses = ", ".join(adaptive.hypothesis_names)
    how = (
        "each at full alpha"
        if test.intersection == "unadjusted"
        else f"closed test of intersections by {test.intersection}"
    )
    if test.graph is not None:
        how = (
            "graph of group-sequential tests (Maurer & Bretz)"
            if test.combine == "conventional"
            else f"closed test of intersections by {test.intersection} with the graph's weights"
        )
    return f"{how_combined}; {how}; hypotheses: {hypotheses}; alpha {adaptive.alpha:g}"


def boundaries_in_words(design: Design) -> str:
    """Where the bounds come from, in words."""
    bounds = design.boundaries
    if not isinstance(bounds, GroupSequential):
        return "given as numbers" if bounds is not None else "none: one test, at the last analysis"
    words = f"efficacy by {_rule(bounds.efficacy)}"
    if bounds.has_futility and bounds.futility is not None:
        words += f"; futility by {_rule(bounds.futility)}, "
        words += "binding" if bounds.binding else "not binding"
    if not design.follow_futility:
        words += ", futility not obeyed in the simulation"
    return words


def _rule(rule: Any) -> str:
    name, parameter = str(rule.name), rule.parameter
    told = f" (parameter {parameter:g})" if isinstance(parameter, int | float) else ""
    return _BOUNDS.get(name, name.replace("_", " ")) + told


def outcome_facts(outcomes: Any) -> dict[str, str]:
    """What happens to patients, label -> words; fields that say nothing are left out."""
    if isinstance(outcomes, FittedOutcomes):
        arms = series([outcomes.fitted.arms[i] for i in outcomes.pair])
        told = {"patients": f"drawn from the fitted trial {outcomes.fitted!r}, arms {arms}"}
        if outcomes.effect is not None or outcomes.hazard_ratio is not None:
            chosen = outcomes.effect if outcomes.effect is not None else outcomes.hazard_ratio
            told["effect in place of the fitted one"] = _value(chosen)
        drawn = "drawn for each trial" if outcomes.uncertainty else "held at their estimates"
        return told | {"parameters": drawn}
    if not dataclasses.is_dataclass(outcomes):
        return {"outcomes": f"a scenario of the class {type(outcomes).__name__}"}
    told = {"model": _spaced(type(outcomes).__name__)}
    points = getattr(outcomes, "breakpoints", ())
    for item in dataclasses.fields(outcomes):
        value = getattr(outcomes, item.name)
        default = item.default
        if item.name == "breakpoints" or value is None or np.size(value) == 0:
            continue
        plain = isinstance(value, bool | int | float | str) and value == default
        if plain and item.name not in ("hazard_ratio", "rate_ratio", "odds_ratio"):
            continue
        label = item.name.replace("_", " ")
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            inner = outcome_facts(value)
            told[label] = "; ".join(f"{k} {v}" for k, v in inner.items())
        else:
            told[label] = _value(value, points)
    return told


def _value(value: Any, points: Sequence[float] = ()) -> str:
    """A number, a series by time, or one of these by arm, in words."""
    if isinstance(value, Mapping):
        return "; ".join(f"{k}: {_value(v, points)}" for k, v in value.items())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return "; ".join(f"{k} {v}" for k, v in outcome_facts(value).items())
    if callable(value):
        return f"the function {getattr(value, '__qualname__', type(value).__name__)}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float | np.number):
        return f"{float(value):g}"
    if isinstance(value, str):
        return value.replace("_", " ")
    items = list(value)
    if len(points) and len(items) == len(points) + 1 and np.ndim(items[0]) == 0:
        parts = [f"{items[0]:g} until month {points[0]:g}"]
        parts += [f"{v:g} from month {p:g}" for v, p in zip(items[1:], points, strict=True)]
        return ", ".join(parts)
    if len(items) > 12:
        return f"{len(items)} values"
    return series([_value(v) for v in items]) if items else "none"


def _spaced(name: str) -> str:
    letters = [f" {c.lower()}" if c.isupper() and k else c for k, c in enumerate(name)]
    return "".join(letters)


# -- under no effect ------------------------------------------------------------------------------


# -- sentences -----------------------------------------------------------------------------------


def protocol_sentences(planned: SimulationResult, null: SimulationResult | None) -> list[str]:
    """Sentences for the section on sample size of a protocol."""
    design = planned.design
    facts = design_facts(design, getattr(planned, "adaptive", None))
    names = design.arm_names
    several, ratio = len(names) > 2, ":".join(f"{design.arms[name]:g}" for name in names)
    assumed = "; ".join(f"{k} {v}" for k, v in outcome_facts(planned.outcomes).items())
    power = share(planned.success)
    months = [f"{m:.0f}" for m in planned.look_times if np.isfinite(m)]
    out = [
        f"A total of {facts['patients']} patients will be randomised to {series(names)} ({ratio}) "
        f"by {facts['randomisation']}.",
        f"Enrolment is planned as {facts['enrolment']}; dropout: {facts['dropout']}.",
        f"The trial has {facts['analyses']}, expected around month {series(months)}."
        if months
        else f"The trial has {facts['analyses']}.",
        f"The primary hypothesis is tested by {facts['test']} at a level of {facts['level']}"
        + (f"; boundaries: {facts['boundaries']}" if "boundaries" in facts else "")
        + (f": {facts['how the error is held']}" if "how the error is held" in facts else "")
        + ".",
        f"With the outcomes assumed ({assumed}), the probability that the trial rejects the null "
        f"hypothesis{' for any arm' if several else ''} is {100 * power.estimate:.1f} % (95 % "
        f"Monte-Carlo interval {100 * power.lower:.1f} to {100 * power.upper:.1f} %; "
        f"{planned.n_trials:,} simulated trials).",
    ]
    if null is not None:
        error = share(null.success)
        out.append(
            f"Without an effect it rejects in {100 * error.estimate:.2f} % (95 % interval "
            f"{100 * error.lower:.2f} to {100 * error.upper:.2f} %; {null.n_trials:,} simulated "
            "trials)."
        )
    out.append(
        f"The trial is expected to last {planned.expected_duration:.1f} months, with "
        f"{planned.expected_patients:.0f} patients and {planned.expected_events:.0f} events (or "
        "known responses) at its last analysis."
    )
    return out


def analysis_sentences(planned: SimulationResult) -> list[str]:
    """Sentences for the statistical analysis plan."""
    design = planned.design
    uppers, lowers = planned.planned_bounds
    out = []
    sided = "magnitude of the test statistic" if design.sided == 2 else "test statistic"
    for k, (upper, lower) in enumerate(zip(uppers, lowers, strict=True)):
        words = f"At analysis {k + 1}"
        if np.isfinite(upper):
            words += (
                f", the null hypothesis is rejected if the {sided} is at least {upper:.4f} "
                f"(one-sided p at most {ndtr(-upper):.6f})"
            )
        else:
            words += ", the null hypothesis is not tested"
        if np.isfinite(lower) and k + 1 < len(uppers):
            words += f"; the trial stops for futility if it is at or below {lower:.4f}"
        out.append(words + ".")
    bounds = design.boundaries
    if isinstance(bounds, GroupSequential):
        if bounds.has_futility:
            out.append(
                "The futility bounds are binding: overruling one inflates the type I error."
                if bounds.binding
                else "The futility bounds are not binding: the efficacy bounds hold the level "
                "whether or not they are obeyed."
            )
        out.append(
            "Where the information at an analysis differs from the plan, the bounds are computed "
            "again from the same rule at the information observed."
        )
    out.append(f"The effect is estimated as the {planned.scale}.")
    if design.n_looks > 1:
        out.append(
            "An estimate at the analysis that stops the trial is naive: it overstates the effect "
            "on average where a trial may stop early. The median-unbiased estimate and the "
            "interval of the stagewise ordering are to be reported beside it."
        )
    facts = design_facts(design, getattr(planned, "adaptive", None))
    if "several comparisons" in facts:
        out.append(f"Several comparisons: {facts['several comparisons']}.")
    return out
