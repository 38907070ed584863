"""Comparison of event counts by negative binomial regression."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from trial_sim.statistics.comparison import Comparison, upper_tail
from trial_sim.statistics.kernels.counts import negative_binomial
from trial_sim.statistics.validation import matrix, non_negative, two_groups


@dataclass(frozen=True)
class CountComparison(Comparison):
    """Negative binomial comparison; the fields of `Comparison` are those of treatment.

    Attributes:
        rate_ratio: exp(estimate).
        dispersion: k of the variance μ + kμ²; 0 where the counts are not overdispersed.
        coefficients: treatment, intercept, then covariates, on the log scale.
    """

    rate_ratio: float = float("nan")
    dispersion: float = float("nan")
    coefficients: tuple[float, ...] = ()


def negative_binomial_test(
    count: ArrayLike,
    group: ArrayLike,
    exposure: ArrayLike | None = None,
    covariates: ArrayLike | None = None,
    higher_is_better: bool = False,
) -> CountComparison:
    """Wald test of the rate ratio in a negative binomial regression (log link).

    Args:
        count: (n,) whole numbers ≥ 0.
        group: (n,) 1 for the treated, 0 for control.
        exposure: (n,) time at risk > 0; None for the same for all.
        covariates: (n,) or (n, p) numbers, or None.
        higher_is_better: whether more events are better; by default fewer are.

    Returns:
        ``estimate``: log rate ratio, group 1 to group 0; all parameters by maximum likelihood.

    Raises:
        ValueError, TypeError: for bad arrays, counts that are not whole, exposure 0, a group
            without events, or collinear covariates.

    Examples:
        >>> import trial_sim as ts
        >>> count, group = [3, 5, 2, 8, 4, 1, 2, 0, 3, 1], [0] * 5 + [1] * 5
        >>> round(ts.negative_binomial_test(count, group).estimate, 3)
        -1.145
    """
    y = non_negative(count, "count")
    arm = two_groups(group, y.size)
    if np.any(y != np.floor(y)):
        value = y[y != np.floor(y)][0]
        raise ValueError(f"count must hold whole numbers, got {value:g}.")
    time = np.ones(y.size) if exposure is None else non_negative(exposure, "exposure", y.size)
    if time.min() <= 0:
        raise ValueError(f"exposure must be positive, got {time.min():g}.")
    sums = [int(y[arm == k].sum()) for k in (0, 1)]
    if min(sums) == 0:
        raise ValueError(f"each group needs an event, got {sums[0]} and {sums[1]}.")
    columns = [arm.astype(np.float64)[:, None], np.ones((y.size, 1))]
    scale = np.ones(2)
    shift = np.zeros(0)
    if covariates is not None:
        x = matrix(covariates, "covariates", y.size)
        spread = x.std(axis=0)
        if np.any(spread == 0):
            raise ValueError(f"covariates column {int(np.argmin(spread))} does not vary.")
        shift = x.mean(axis=0)
        columns.append((x - shift) / spread)
        scale = np.concatenate([scale, spread])
    design = np.ascontiguousarray(np.concatenate(columns, axis=1))
    p = design.shape[1]
    beta, covariance = np.empty(p), np.empty((p, p))
    dispersion, converged = negative_binomial(y, time, design, beta, covariance)
    if not converged:
        raise ValueError("the negative binomial model did not converge: covariates are collinear.")
    coefficients = beta / scale
    coefficients[1] -= float(coefficients[2:] @ shift)
    estimate, se = float(beta[0]), float(covariance[0, 0] ** 0.5)
    z = (estimate if higher_is_better else -estimate) / se
    return CountComparison(
        test="negative binomial",
        z=z,
        p_value=upper_tail(z),
        estimate=estimate,
        se=se,
        scale="log rate ratio",
        n=y.size,
        n_events=sum(sums),
        rate_ratio=float(np.exp(estimate)),
        dispersion=float(dispersion),
        coefficients=tuple(float(value) for value in coefficients),
    )
