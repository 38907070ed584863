"""Balance: are subgroups present in their real shares, and as faithful as the whole?"""

from __future__ import annotations

import numpy as np

from trial_sim.auditing.compared.comparison import Comparison
from trial_sim.auditing.compared.curves import largest_gap
from trial_sim.auditing.compared.intervals import Interval, share_difference
from trial_sim.auditing.compared.measure import Measure, not_assessed
from trial_sim.auditing.compared.paired_outcomes import curves
from trial_sim.auditing.compared.tables import model_matrix
from trial_sim.auditing.fidelity.effects import Subgroup, halves, subgroups
from trial_sim.auditing.fidelity.outcome_measures import BAND_SLACK

LEAST = 25  # patients of a subgroup and arm in both tables for a curve to be compared
DRAWS = 150


def balance(comparison: Comparison) -> list[Measure]:
    """All balance measures of a comparison."""
    return [
        *arm_shares(comparison),
        *level_shares(comparison),
        *rare_levels(comparison),
        *allocation(comparison),
        *subgroup_curves(comparison),
    ]


def arm_shares(comparison: Comparison) -> list[Measure]:
    """Share of each arm, synthetic less real. It informs only: sizes may be chosen at will."""
    arm = comparison.real.arm
    if arm is None:
        return []
    name = next(iter(comparison.outcomes["real"]), None)
    if name is None:
        return []
    real, synthetic = (comparison.outcomes[r][name].arm for r in ("real", "synthetic"))
    return [
        Measure(
            "arm share, difference",
            label,
            share_difference(
                (synthetic == label).sum(), len(synthetic), (real == label).sum(), len(real)
            ),
            "Synthetic less real share of the arm; no rule, since the sizes of the arms are the "
            "user's choice.",
        )
        for label in comparison.arms
    ]


def level_shares(comparison: Comparison) -> list[Measure]:
    """Share of every level of the categorical covariates, and of the tails of the numeric ones."""
    return [
        Measure(
            "subgroup share, difference",
            label,
            share_difference(theirs.sum(), len(theirs), mine.sum(), len(mine)),
            f"Synthetic less real share of the subgroup ({theirs.mean():.3f} against "
            f"{mine.mean():.3f}).",
            control=0.0,
        )
        for label, mine, theirs in subgroups(comparison, _tails)
    ]


def _tails(comparison: Comparison, name: str, x: np.ndarray, y: np.ndarray) -> list[Subgroup]:
    """The patients in the real lowest and highest tenth of a numeric covariate."""
    low, high = np.nanquantile(x, [0.1, 0.9])
    return [
        (f"{name} ≤ {low:.4g} (real 10 % quantile)", x <= low, y <= low),
        (f"{name} ≥ {high:.4g} (real 90 % quantile)", x >= high, y >= high),
    ]


def rare_levels(comparison: Comparison) -> list[Measure]:
    """Levels that should have at least five synthetic patients: are any absent?"""
    schema = comparison.schema
    real, synthetic = comparison.tables["real"], comparison.tables["synthetic"]
    expected, lost = 0, []
    for name in comparison.covariates:
        if name not in schema.categorical:
            continue
        j = schema.categorical.index(name)
        for k, level in enumerate(schema.levels[name]):
            share = (real.codes[:, j] == k).mean()
            if share * len(synthetic) >= 5 and (real.codes[:, j] == k).sum() >= 2:
                expected += 1
                if not (synthetic.codes[:, j] == k).any():
                    lost.append(f"{name} = {level}")
    if expected == 0:
        return [not_assessed("categories kept", "all", "no level is common enough to be expected")]
    kept = (expected - len(lost)) / expected
    return [
        Measure(
            "categories kept",
            "all categorical covariates",
            Interval(kept, float("nan"), float("nan")),
            f"Share of the {expected} levels with at least five expected synthetic patients that "
            f"occur at all{'; lost: ' + ', '.join(lost) if lost else ''}.",
            control=1.0,
        )
    ]


def allocation(comparison: Comparison) -> list[Measure]:
    """Is the synthetic allocation independent of the covariates, as randomisation makes it?

    Taken only where the trial is said to be randomised and its own arms bear that out.
    """
    real = comparison.real
    if real.arm is None or not real.randomised or real.arm not in comparison.schema.categorical:
        return []
    found = {which: imbalance(comparison, which) for which in ("real", "synthetic")}
    if found["real"] is None or found["synthetic"] is None:
        return []
    (own, _), (ratio, worst) = found["real"], found["synthetic"]
    name = "covariate imbalance between arms / chance"
    if own > BAND_SLACK:
        why = (
            f"the real arms are themselves {own:.2f} times as unbalanced as chance allows, so they "
            f"were not drawn at random (synthetic arms: {ratio:.2f})"
        )
        return [not_assessed(name, worst, why)]
    return [
        Measure(
            name,
            worst,
            Interval(ratio, max(ratio - 1, 0.0), ratio + 1),
            "Largest difference between arms over all covariates, over the 95 % quantile of the "
            f"same under random allocation; up to 1 is what randomisation gives (real: {own:.2f}).",
            control=1.0,
        )
    ]


def imbalance(comparison: Comparison, which: str, draws: int = 200) -> tuple[float, str] | None:
    """Largest standardised difference of an arm from the rest over its 95 % null quantile.

    Returns:
        The ratio and the covariate, or None without two arms or a covariate that varies.
    """
    schema = comparison.schema
    part = schema.select(comparison.covariates)
    table = comparison.thinned(which, 5000)
    x, names = model_matrix(part, table.columns(schema, part))
    arm = table.codes[:, schema.categorical.index(str(comparison.real.arm))]
    arms = np.unique(arm)
    common = (x.std(axis=0) > 1e-9) & ((x != 0).sum(axis=0) >= 5)
    if len(arms) < 2 or not common.any():
        return None
    x, names = x[:, common], [name for name, c in zip(names, common) if c]
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    rng = comparison.rng(61)

    def largest(labels: np.ndarray) -> np.ndarray:
        """(k,) largest difference of an arm's mean from the rest, in its standard errors."""
        one_hot = (labels[:, None] == arms[None, :]).astype(float)
        size = one_hot.sum(axis=0)
        n = len(labels)
        mean = (one_hot.T @ x) / size[:, None]
        return np.asarray(
            np.abs(mean * np.sqrt(size * n / np.maximum(n - size, 1))[:, None]).max(axis=0)
        )

    observed = largest(arm)
    null = float(np.quantile([largest(rng.permutation(arm)).max() for _ in range(draws)], 0.95))
    return float(observed.max()) / null, names[int(observed.argmax())]


def subgroup_curves(comparison: Comparison) -> list[Measure]:
    """Largest gap of the outcome curves in every subgroup, all arms together by arm.

    Each subgroup gives its worst arm, so that the table has one line a subgroup and endpoint.
    """
    out = []
    for e, name in enumerate(comparison.real.endpoints):
        real, synthetic = (comparison.outcomes[r][name] for r in ("real", "synthetic"))
        for g, (label, mine, theirs) in enumerate(subgroups(comparison, halves)):
            if mine.all():
                continue
            worst: tuple[float, str, float, float] | None = None
            for a, arm in enumerate(comparison.arms):
                one, two = mine & (real.arm == arm), theirs & (synthetic.arm == arm)
                if one.sum() < LEAST or two.sum() < LEAST:
                    continue
                first, second = real.rows(one), synthetic.rows(two)
                rng = comparison.rng(100_000 + 10_000 * e + 50 * g + a)
                for curve in curves(first, second):
                    found = largest_gap(
                        curve.draw(first), curve.draw(second), len(first), len(second), rng, DRAWS
                    )
                    if np.isfinite(found.ratio) and (worst is None or found.ratio > worst[0]):
                        where = f"{arm}, {curve.label}" if arm else curve.label
                        worst = (found.ratio, where, found.gap, found.band)
            if worst is None:
                continue
            ratio, where, gap, band = worst
            out.append(
                Measure(
                    "subgroup curve gap / band",
                    f"{name}: {label} ({where})",
                    Interval(ratio, max(ratio - 1, 0.0), ratio + 1),
                    f"Largest gap of the outcome curves in this subgroup ({gap:.3g}) over the 95 % "
                    f"simultaneous band ({band:.3g}), worst arm; a few of many subgroups pass 1 by "
                    "chance.",
                    control=1.0,
                )
            )
    return out
