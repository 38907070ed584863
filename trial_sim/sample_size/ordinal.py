"""Sample size for an ordinal outcome under proportional odds (Whitehead 1993)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr, ndtri

from trial_sim.base.arguments import between, positive
from trial_sim.numerics.roots import solve_between
from trial_sim.sample_size.record import SampleSize, error_level
from trial_sim.sequential.integration import FloatArray

if TYPE_CHECKING:
    from trial_sim.sequential.design import GroupSequential


def shift_by_odds(control: Sequence[float], odds_ratio: float) -> FloatArray:
    """Category probabilities (n_categories,) of treatment, worst first.

    The odds of a better category than any given one are those of control times `odds_ratio`.
    """
    below = np.clip(np.cumsum(_categories(control))[:-1], 0.0, 1.0)
    cumulative = below / (below + odds_ratio * (1.0 - below))
    return np.diff(np.concatenate([[0.0], cumulative, [1.0]]))


def sample_size_ordinal(
    odds_ratio: float | None,
    control: Sequence[float],
    power: float | None = 0.9,
    alpha: float = 0.025,
    *,
    allocation: float = 1.0,
    sided: int = 1,
    n_per_arm: float | None = None,
    boundaries: GroupSequential | None = None,
) -> SampleSize:
    """Size, power or odds ratio for an ordinal outcome, by the proportional-odds score test.

    odds_ratio: odds of a better category, treatment over control; None to solve it.
    control: (n_categories,) probabilities of the control arm, worst first, as `OrdinalResponse`
        takes them. (Whitehead's paper writes them best first.)
    n_per_arm: patients in the control arm. Formula (8) of Whitehead (1993).

    Examples:
        >>> import trial_sim as ts
        >>> round(ts.sample_size_ordinal(1.8, [0.1, 0.2, 0.5, 0.2]).n_total, 1)
        427.2
    """
    level = error_level(alpha, sided, boundaries)
    r = positive("allocation", allocation)
    base = _categories(control)

    def sd(ratio: float) -> float:
        mean = (base + r * shift_by_odds(control, ratio)) / (1.0 + r)
        spread = 1.0 - float((mean**3).sum())
        # variance of the log odds ratio per control patient
        return float(np.sqrt(3.0 * (1.0 + r) / (r * spread)))

    def power_for(ratio: float, n: float) -> float:
        drift = float(np.sqrt(n)) * abs(float(np.log(ratio))) / sd(ratio)
        return level.power_of_fixed(float(ndtr(drift - level.z_alpha)))

    inflation = 1.0
    if odds_ratio is None:
        if n_per_arm is None or power is None:
            raise ValueError("odds_ratio is solved from n_per_arm and power")
        size, wanted = positive("n_per_arm", n_per_arm), between("power", power, level.alpha, 1.0)
        odds_ratio = float(
            np.exp(
                solve_between(
                    lambda x: power_for(float(np.exp(x)), size) - wanted,
                    1e-9,
                    20.0,
                    ftol=1e-12,
                    what="the odds ratio",
                )
            )
        )
    ratio = positive("odds_ratio", odds_ratio)
    if ratio == 1.0:
        raise ValueError("odds_ratio 1 is the null: no size finds it")
    if n_per_arm is None:
        wanted = between("power", power, level.alpha, 1.0)
        inflation = level.inflation(wanted)
        z = level.z_alpha + float(ndtri(wanted))
        size = (z * sd(ratio) / float(np.log(ratio))) ** 2 * inflation
    else:
        size = positive("n_per_arm", n_per_arm)
        wanted = power_for(ratio, size)
    return SampleSize(
        "ordinal, proportional odds",
        "odds_ratio",
        ratio,
        wanted,
        level.alpha,
        level.sided,
        size,
        r,
        inflation_factor=inflation,
    )


def _categories(probabilities: Sequence[float]) -> FloatArray:
    p = np.asarray(probabilities, dtype=float)
    if p.ndim != 1 or len(p) < 2:
        raise ValueError(f"control must hold at least two probabilities, got {probabilities!r}")
    if not np.isfinite(p).all() or (p < 0).any() or abs(p.sum() - 1.0) > 1e-8:
        raise ValueError(f"control probabilities must sum to 1, got {p.tolist()}")
    return p
