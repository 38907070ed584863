"""A group-sequential design as a table and as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr

from trial_sim.base.arguments import nearest
from trial_sim.base.figures import new_figure
from trial_sim.sequential.spending import BoundaryRule

if TYPE_CHECKING:
    import pandas as pd

    from trial_sim.sequential.design import GroupSequential


def boundary_table(
    design: GroupSequential, events: float | None, allocation: float, n: float | None
) -> pd.DataFrame:
    """See `GroupSequential.table`."""
    import pandas as pd

    fractions = design.information_fractions
    columns: dict[str, Any] = {
        "look": np.arange(1, design.n_looks + 1),
        "information_fraction": fractions,
        "efficacy_z": design.efficacy_bounds,
        "efficacy_p": ndtr(-design.efficacy_bounds) * design.sided,
        "alpha_spent": design.alpha_spent,
        "power": np.cumsum(design.stage_probabilities(design.drift).upper),
    }
    if design.futility is not None:
        columns["futility_z"] = design.futility_bounds
        scale = 1.0 if design.sided == 1 else 2.0
        columns["futility_p"] = np.minimum(ndtr(-design.futility_bounds) * scale, 1.0)
        columns["beta_spent"] = design.beta_spent
    if n is not None:
        columns["patients"] = n * fractions
    if events is not None:
        if not (np.isfinite(events) and events > 0):
            raise ValueError(f"events must be above 0, got {events}")
        if not allocation > 0:
            raise ValueError(f"allocation must be above 0, got {allocation}")
        columns["events"] = events * fractions
        se = (1.0 + allocation) / np.sqrt(allocation * events * fractions)
        columns["efficacy_hazard_ratio"] = np.exp(-design.efficacy_bounds * se)
        if design.futility is not None:
            columns["futility_hazard_ratio"] = np.exp(-design.futility_bounds * se)
    return pd.DataFrame(columns).set_index("look")


def design_text(design: GroupSequential) -> str:
    """The design in a few lines, as its repr shows it."""
    side = "one" if design.sided == 1 else "two"
    lines = [
        f"GroupSequential: {design.n_looks} looks, {side}-sided alpha {design.alpha:g}, "
        f"power {design.power:g}",
        f"  efficacy {_rule_text(design.efficacy)}, futility "
        + (
            "none"
            if design.futility is None
            else f"{_rule_text(design.futility)} ({'' if design.binding else 'non-'}binding)"
        ),
        "  look  information  efficacy Z   futility Z   alpha spent",
    ]
    rows = zip(
        design.information_fractions,
        design.efficacy_bounds,
        design.futility_bounds,
        design.alpha_spent,
    )
    for k, (t, b, a, spent) in enumerate(rows, start=1):
        floor = f"{a:10.4f}" if np.isfinite(a) else f"{'-':>10}"
        lines.append(f"  {k:4d}  {t:11.4f}  {b:10.4f}   {floor}   {spent:11.6f}")
    expected = ", ".join(f"{x:.4f}" for x in design.expected_sample_size)
    lines.append(f"  maximum / fixed sample size {design.inflation_factor:.4f}")
    lines.append(f"  expected / fixed under H0, midpoint, H1: {expected}")
    return "\n".join(lines)


def _rule_text(rule: BoundaryRule) -> str:
    if rule.parameter is None or isinstance(rule.parameter, tuple) or callable(rule.parameter):
        return rule.name
    return f"{rule.name}({rule.parameter:g})"


FIGURES = ("bounds", "alpha", "power", "size")
MOST = 1.6  # of the planned effect or size, the end of the axis


def design_figure(design: GroupSequential, kind: str) -> Any:
    """See `GroupSequential.plot`."""
    if kind not in FIGURES:
        raise ValueError(
            f"kind of a design's figure is {kind!r}{nearest(kind, FIGURES)}; it must be one of "
            f"{', '.join(FIGURES)}"
        )
    figure = new_figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    fractions = design.information_fractions
    if kind == "bounds":
        both = [(design.efficacy_bounds, "efficacy", "o")]
        if design.has_futility:
            both.append((design.futility_bounds, "futility", "s"))
        for bounds, label, marker in both:
            shown = np.isfinite(bounds)
            (line,) = axes.plot(fractions[shown], bounds[shown], f"{marker}-", label=label)
            if design.sided == 2:
                axes.plot(fractions[shown], -bounds[shown], f"{marker}-", color=line.get_color())
        axes.set(xlabel="information fraction", ylabel="z")
    elif kind == "alpha":
        axes.step(np.r_[0, fractions], np.r_[0, design.alpha_spent], where="post", label="alpha")
        if design.has_futility:
            spent = np.r_[0, design.beta_spent]
            axes.step(np.r_[0, fractions], spent, where="post", label="beta")
        axes.set(xlabel="information fraction", ylabel="error spent")
    else:
        parts = np.linspace(0.0, MOST, 33)
        drifts = design.drift * (parts if kind == "power" else np.sqrt(parts))
        axes.plot(parts, [design.power_at(float(d)) for d in drifts], label="power")
        axes.axhline(design.power, linewidth=0.8, color="0.6")
        axes.axvline(1.0, linewidth=0.8, color="0.6")
        if kind == "power":
            size = [design.average_sample_size(float(d)) / design.inflation_factor for d in drifts]
            axes.plot(parts, size, "--", label="expected size over the largest")
            axes.set(xlabel="effect over the planned one", ylim=(0, 1.02))
        else:
            axes.set(xlabel="largest size over the planned one", ylabel="power", ylim=(0, 1.02))
    axes.legend()
    return figure
