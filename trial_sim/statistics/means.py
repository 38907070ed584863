"""Comparisons of means: t tests and analysis of covariance."""

import numpy as np
from numpy.typing import ArrayLike

from trial_sim.statistics.comparison import Comparison, upper_tail
from trial_sim.statistics.kernels.means import linear_model
from trial_sim.statistics.validation import labels, matrix, numeric, two_groups


def t_test(
    outcome: ArrayLike,
    group: ArrayLike,
    equal_variance: bool = True,
    higher_is_better: bool = True,
    margin: float = 0.0,
) -> Comparison:
    """Student's or Welch's t test of the difference of two means.

    Args:
        outcome: (n,) measurements.
        group: (n,) 1 for the treated, 0 for control.
        equal_variance: Student's test if True, Welch's with Satterthwaite's degrees of freedom if
            False.
        higher_is_better: whether larger outcomes are better.
        margin: non-inferiority margin ≥ 0: the null hypothesis is that group 1 is worse by at least
            this much.

    Returns:
        ``estimate``: mean of group 1 minus mean of group 0; ``z`` the t statistic.

    Raises:
        ValueError, TypeError: for bad arrays, a negative margin, fewer than two patients in a
            group, or outcomes that do not vary.

    Examples:
        >>> import trial_sim as ts
        >>> result = ts.t_test([1.0, 2.0, 3.0, 2.5, 3.5, 4.5], [0, 0, 0, 1, 1, 1])
        >>> round(result.estimate, 3), round(result.z, 3), result.df
        (1.5, 1.837, 4.0)
    """
    y = numeric(outcome, "outcome")
    arm = two_groups(group, y.size)
    if not 0 <= margin < float("inf"):
        raise ValueError(f"margin must be finite and not negative, got {margin}.")
    sizes = np.bincount(arm, minlength=2)
    if sizes.min() < 2:
        raise ValueError(f"each group needs two patients or more, got {sizes[0]} and {sizes[1]}.")
    means = [y[arm == k].mean() for k in (0, 1)]
    variances = [y[arm == k].var(ddof=1) for k in (0, 1)]
    if equal_variance:
        df = float(sizes.sum() - 2)
        pooled = ((sizes[0] - 1) * variances[0] + (sizes[1] - 1) * variances[1]) / df
        se2 = pooled * (1 / sizes[0] + 1 / sizes[1])
    else:
        parts = [variances[k] / sizes[k] for k in (0, 1)]
        se2 = sum(parts)
        denominator = sum(parts[k] ** 2 / (sizes[k] - 1) for k in (0, 1))
        df = float(se2**2 / denominator) if denominator > 0 else float("inf")
    if se2 <= 0:
        raise ValueError("the outcome does not vary within either group; a t test needs variance.")
    estimate = float(means[1] - means[0])
    se = float(se2**0.5)
    z = ((estimate if higher_is_better else -estimate) + margin) / se
    return Comparison(
        test="t test" if equal_variance else "Welch's t test",
        z=z,
        p_value=upper_tail(z, df),
        estimate=estimate,
        se=se,
        scale="difference of means",
        df=df,
        n=y.size,
    )


def ancova(
    outcome: ArrayLike,
    group: ArrayLike,
    covariates: ArrayLike,
    strata: ArrayLike | None = None,
    higher_is_better: bool = True,
) -> Comparison:
    """Analysis of covariance: difference of means adjusted for covariates by least squares.

    Args:
        outcome: (n,) measurements.
        group: (n,) 1 for the treated, 0 for control.
        covariates: (n,) or (n, p) numbers, such as the baseline value.
        strata: (n,) labels that get intercepts of their own, or None.
        higher_is_better: whether larger outcomes are better.

    Returns:
        ``estimate``: adjusted difference, group 1 minus group 0; ``z`` the t statistic with
        n − rank degrees of freedom.

    Raises:
        ValueError, TypeError: for bad arrays, collinear columns, or too few patients.

    Examples:
        >>> import trial_sim as ts
        >>> outcome, baseline = [1.0, 2.0, 3.0, 2.5, 3.4, 4.5], [1.0, 2.1, 2.9, 1.1, 2.0, 3.1]
        >>> round(ts.ancova(outcome, [0, 0, 0, 1, 1, 1], baseline).estimate, 3)
        1.399
    """
    y = numeric(outcome, "outcome")
    arm = two_groups(group, y.size)
    x = matrix(covariates, "covariates", y.size)
    columns = [arm.astype(np.float64)[:, None], np.ones((y.size, 1)), x - x.mean(axis=0)]
    if strata is not None:
        codes, names = labels(strata, "strata", y.size)
        columns.append((codes[:, None] == np.arange(1, len(names))).astype(np.float64))
    design = np.ascontiguousarray(np.concatenate(columns, axis=1))
    df = y.size - design.shape[1]
    if df < 1:
        raise ValueError(
            f"{y.size} patients are too few for {design.shape[1]} coefficients and a variance."
        )
    estimate, se = linear_model(y, design)
    if not se > 0:
        raise ValueError("the columns of group, covariates and strata are collinear.")
    z = (estimate if higher_is_better else -estimate) / se
    return Comparison(
        test="ANCOVA",
        z=float(z),
        p_value=upper_tail(float(z), float(df)),
        estimate=float(estimate),
        se=float(se),
        scale="adjusted difference of means",
        df=float(df),
        n=y.size,
    )
