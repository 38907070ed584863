"""Effect replication: does an analysis of the synthetic trial give the real trial's answer?"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

from trial_sim.auditing.compared.comparison import Comparison
from trial_sim.auditing.compared.intervals import Interval, normal_interval
from trial_sim.auditing.compared.measure import UNSEEN, Measure, not_assessed
from trial_sim.auditing.compared.paired_outcomes import effects
from trial_sim.statistics.arm_differences import Contrast

MOST_SUBGROUPS = 12
ASKED_POWER = 0.9  # chance with which an audit should catch a fault
SHOWN = 1.645  # one-sided 5 %
LEAST_PER_ARM = 20
Subgroup = tuple[str, np.ndarray, np.ndarray]  # label, real mask (n_real,), synthetic mask


def effect_replication(comparison: Comparison) -> list[Measure]:
    """Every contrast with the control arm, in all patients and in subgroups."""
    out: list[Measure] = []
    control, *treated = comparison.arms
    if not treated:
        return [not_assessed("treatment effect", "all", "a cohort has no arms to compare")]
    for name in comparison.real.endpoints:
        real, synthetic = (comparison.outcomes[r][name] for r in ("real", "synthetic"))
        for arm in treated:
            mine, theirs = effects(real, control, arm), effects(synthetic, control, arm)
            asked = len(mine) * len(treated) * len(comparison.real.endpoints)
            for scale, fit in mine.items():
                label = f"{name}: {arm} v {control}"
                out += contrast_measures(fit, theirs.get(scale), f"{label}, {scale}", asked)
            out += subgroup_measures(comparison, name, control, arm)
    return out


def contrast_measures(
    real: Contrast, synthetic: Contrast | None, label: str, asked: int = 1
) -> list[Measure]:
    """Effect in both trials, their difference, sign and coverage.

    A faithful generator scatters about the real *estimate* with the synthetic trial's own
    standard error; fresh patients scatter with both. Amber is beyond the first at 95 %, red
    beyond the second at 99 % over all the contrasts that the audit asks for (Bonferroni).

    Args:
        real, synthetic: the contrast in both trials.
        label: of the contrast.
        asked: number of contrasts in the audit.
    """
    if synthetic is None or math.isnan(real.estimate) or math.isnan(synthetic.estimate):
        lost = not math.isnan(real.estimate)
        if not lost:
            return [
                not_assessed("treatment effect", label, "the real data do not identify the effect")
            ]
        return [
            Measure(
                "effect can be estimated",
                label,
                Interval(0.0, float("nan"), float("nan")),
                f"The effect ({real.estimate:.3g} in the real trial) cannot be estimated from the "
                "synthetic trial (no events in an arm, or complete separation); amber where the "
                "real effect rests on so few events that chance may do this.",
                control=1.0,
                red=0.5 if real.error < 0.5 else -1.0,
            )
        ]
    difference = synthetic.estimate - real.estimate
    limit = float(stats.norm.isf(0.005 / asked))
    both = float(np.hypot(real.error, synthetic.error))
    bias = normal_interval(difference / real.error, both / real.error)
    seen = abs(real.estimate) > 1.96 * real.error
    agree = np.sign(real.estimate) == np.sign(synthetic.estimate)
    contradicts = not agree and abs(synthetic.estimate) > 1.96 * synthetic.error
    covered = abs(difference) <= 1.96 * synthetic.error
    return [
        Measure(
            "treatment effect, real",
            label,
            normal_interval(real.estimate, real.error),
            "The estimate to be replicated.",
        ),
        Measure(
            "treatment effect, synthetic",
            label,
            normal_interval(synthetic.estimate, synthetic.error),
            f"The same analysis of the synthetic trial (real: {real.estimate:.3g}).",
            control=real.estimate,
        ),
        Measure(
            "effect bias, in real standard errors",
            label,
            bias,
            f"Synthetic less real estimate over the real standard error ({real.error:.3g}). Red: "
            f"beyond {limit:.2f} standard errors of the difference, which happens to any of the "
            f"{asked} contrasts of two honest trials once in a hundred times; amber: beyond the "
            "synthetic trial's own 95 % interval.",
            1.96 * synthetic.error / real.error,
            "zero",
            0.0,
            limit * both / real.error,
        ),
        Measure(
            "sign agreement",
            label,
            Interval(float(agree), float("nan"), float("nan")),
            "1 when both estimates point the same way; a rule only where the real effect is "
            "distinct from zero.",
            control=1.0,
            red=0.5 if contradicts else -1.0,
            informs=not seen,
        ),
        *lost_effect(real, synthetic, label, asked),
        Measure(
            "real estimate inside the synthetic interval",
            label,
            Interval(float(covered), float("nan"), float("nan")),
            "1 when the synthetic trial's 95 % interval holds the real estimate; so it should in "
            "95 of 100 plug-in synthetic trials, and in 83 of 100 with parameter uncertainty.",
        ),
    ]


def lost_effect(real: Contrast, synthetic: Contrast, label: str, asked: int) -> list[Measure]:
    """Is the effect of the real trial gone? Asked where there is one (|z| > 1.96), by two tests.

    *Lost* is what two honest trials of these errors would do once in forty audits: a shortfall of
    the synthetic estimate, in standard errors of the difference. *Shown* is what a synthetic trial
    without any effect would do once in twenty: an estimate of 1.645 of its own standard errors in
    the real direction. Between the two one table cannot tell: the line says so and has no rule.
    """
    z = abs(real.estimate) / real.error
    if z <= 1.96:
        return []
    sign = float(np.sign(real.estimate))
    both = float(np.hypot(real.error, synthetic.error))
    shortfall = sign * (real.estimate - synthetic.estimate) / both
    limit = float(stats.norm.isf(0.025 / asked))
    # without effect the synthetic estimate scatters about 0 with its own error
    caught = float(stats.norm.sf((limit * both - abs(real.estimate)) / synthetic.error))
    out = [
        Measure(
            "effect lost",
            label,
            Interval(shortfall, shortfall - 1.96, shortfall + 1.96),
            "Real effect less the synthetic one, in its direction, in standard errors of the "
            "difference. A synthetic trial without any effect would be red here in "
            f"{caught:.0%} of cases.",
            limit,
            "low",
            0.0,
            limit,
        )
    ]
    shown = sign * synthetic.estimate / synthetic.error
    hidden = shown < SHOWN and shortfall <= limit
    said = (
        f"The synthetic effect over its own standard error ({shown:.2f}), in the real direction; a "
        "synthetic trial without any effect reaches 1.645 once in twenty."
    )
    if hidden:
        said = (
            f"{UNSEEN} whether the effect is kept: {said[0].lower()}{said[1:]} Audit the model "
            "itself, or a synthetic trial of more patients."
        )
    if shortfall <= limit:
        interval = Interval(shown, shown - 1.96, shown + 1.96)
        out.append(Measure("effect shown", label, interval, said, informs=hidden))
    return out


def subgroups(
    comparison: Comparison, cut: Callable[[Comparison, str, np.ndarray, np.ndarray], list[Subgroup]]
) -> list[Subgroup]:
    """Subgroups by level of each categorical covariate, and by ``cut`` of each numeric one.

    Args:
        cut: called with the comparison, the covariate's name, and its real and synthetic values;
            gives the subgroups, such as :func:`halves`.
    """
    schema = comparison.schema
    real, synthetic = comparison.tables["real"], comparison.tables["synthetic"]
    out: list[Subgroup] = []
    for name in comparison.covariates:
        if name in schema.categorical:
            j = schema.categorical.index(name)
            for k, level in enumerate(schema.levels[name]):
                out.append((f"{name} = {level}", real.codes[:, j] == k, synthetic.codes[:, j] == k))
        else:
            j = schema.numeric.index(name)
            x, y = real.numeric[:, j], synthetic.numeric[:, j]
            if np.isfinite(x).any():
                with np.errstate(invalid="ignore"):
                    out += cut(comparison, name, x, y)
    return out


def halves(comparison: Comparison, name: str, x: np.ndarray, y: np.ndarray) -> list[Subgroup]:
    """The patients up to the real median of a numeric covariate, and those above it."""
    middle = float(np.nanmedian(x))
    shown = f"{middle:.4g}"
    if name in comparison.schema.orders:
        shown = str(comparison.schema.orders[name][int(middle)])
    return [
        (f"{name} ≤ {shown}", x <= middle, y <= middle),
        (f"{name} > {shown}", x > middle, y > middle),
    ]


def subgroup_measures(comparison: Comparison, name: str, control: str, arm: str) -> list[Measure]:
    """Effect differences in the largest subgroups; red only beyond 3.5 standard errors."""
    real, synthetic = (comparison.outcomes[r][name] for r in ("real", "synthetic"))
    rows = []
    for label, mine, theirs in subgroups(comparison, halves):
        sizes = [
            min((o.arm[m] == control).sum(), (o.arm[m] == arm).sum())
            for o, m in ((real, mine), (synthetic, theirs))
        ]
        if min(sizes) < LEAST_PER_ARM or mine.all():
            continue
        a = _first(effects(real.rows(mine), control, arm))
        b = _first(effects(synthetic.rows(theirs), control, arm))
        if a is None or b is None:
            continue
        rows.append((sizes[0], label, a, b))
    rows.sort(key=lambda row: -row[0])
    out = []
    for _, label, a, b in rows[:MOST_SUBGROUPS]:
        both = float(np.hypot(a.error, b.error))
        z = (b.estimate - a.estimate) / both
        out.append(
            Measure(
                "subgroup effect difference, in standard errors",
                f"{name}: {arm} v {control}, {label}",
                Interval(z, z - 1.96, z + 1.96),
                f"Synthetic ({b.estimate:.3g}) less real ({a.estimate:.3g}) over the standard "
                "error of the difference; of a dozen subgroups one passes 2.6 once in ten audits.",
                control=0.0,
            )
        )
    return out


def _first(fits: dict[str, Contrast]) -> Contrast | None:
    for fit in fits.values():
        if not math.isnan(fit.estimate):
            return fit
    return None


def forest(measures: pd.DataFrame) -> pd.DataFrame:
    """Rows of a forest plot (subject, real and synthetic estimate with intervals)."""
    real = measures[measures["measure"] == "treatment effect, real"].set_index("subject")
    synthetic = measures[measures["measure"] == "treatment effect, synthetic"].set_index("subject")
    keep = ["estimate", "lower", "upper"]
    both = real[keep].join(synthetic[keep], lsuffix="_real", rsuffix="_synthetic", how="inner")
    return both.reset_index()
