"""Comparisons of two proportions: chi-square, Fisher, Farrington–Manning, Mantel–Haenszel."""

from math import log

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc, ndtri
from scipy.stats import hypergeom

from trial_sim.statistics.comparison import Comparison, upper_tail
from trial_sim.statistics.kernels.proportions import farrington_manning_z, pooled_z
from trial_sim.statistics.validation import indicator, labels, two_groups


def _table(
    response: ArrayLike, group: ArrayLike
) -> tuple[NDArray[np.int8], NDArray[np.int8], int, int, int, int]:
    """Response, arm, and (x0, n0, x1, n1)."""
    arm = two_groups(group)
    seen = indicator(response, "response", arm.size)
    n1 = int(arm.sum())
    x1 = int(seen[arm == 1].sum())
    return seen, arm, int(seen.sum()) - x1, arm.size - n1, x1, n1


def _difference(x0: int, n0: int, x1: int, n1: int) -> tuple[float, float]:
    """Risk difference, group 1 minus group 0, and its unpooled standard error."""
    p0, p1 = x0 / n0, x1 / n1
    return p1 - p0, (p0 * (1 - p0) / n0 + p1 * (1 - p1) / n1) ** 0.5


def chi_square_test(
    response: ArrayLike,
    group: ArrayLike,
    higher_is_better: bool = True,
    continuity: bool = False,
) -> Comparison:
    """Pearson's chi-square test as a signed z (the pooled z test), one- and two-sided.

    Args:
        response: (n,) 1 for responders, 0 for others.
        group: (n,) 1 for the treated, 0 for control.
        higher_is_better: whether a response is a good outcome.
        continuity: apply Yates's correction.

    Returns:
        ``estimate``: risk difference, group 1 minus group 0, with its unpooled standard error;
        ``z``² is Pearson's chi-square.

    Raises:
        ValueError, TypeError: for bad arrays, or if all or none responded.

    Examples:
        >>> import trial_sim as ts
        >>> response, group = [1] * 12 + [0] * 8 + [1] * 6 + [0] * 14, [1] * 20 + [0] * 20
        >>> result = ts.chi_square_test(response, group)
        >>> round(result.z, 3), round(result.p_value, 4)
        (1.907, 0.0283)
    """
    _, arm, x0, n0, x1, n1 = _table(response, group)
    total = x0 + x1
    if total in (0, n0 + n1):
        raise ValueError(f"{total} of {n0 + n1} patients responded: the proportions do not vary.")
    z = pooled_z(x0, n0, x1, n1)
    if continuity:
        difference = abs(x1 / n1 - x0 / n0)
        correction = min(0.5 * (1 / n0 + 1 / n1), difference)
        z *= 1.0 - correction / difference if difference > 0 else 1.0
    z = float(z if higher_is_better else -z)
    estimate, se = _difference(x0, n0, x1, n1)
    return Comparison(
        test="chi-square, continuity-corrected" if continuity else "chi-square",
        z=z,
        p_value=upper_tail(z),
        estimate=estimate,
        se=se,
        scale="risk difference",
        n=arm.size,
        n_events=total,
        p_value_two_sided=float(chdtrc(1, z * z)),
    )


def fisher_test(response: ArrayLike, group: ArrayLike, higher_is_better: bool = True) -> Comparison:
    """Fisher's exact test.

    Args:
        response, group, higher_is_better: as `chi_square_test`.

    Returns:
        ``p_value``: hypergeometric probability of a result at least as good for group 1;
        ``p_value_two_sided``: of all results no more probable than the observed (as R);
        ``z``: the normal quantile of the one-sided p-value; ``estimate``: risk difference.

    Raises:
        ValueError, TypeError: for bad arrays.

    Examples:
        >>> import trial_sim as ts
        >>> response, group = [1] * 12 + [0] * 8 + [1] * 6 + [0] * 14, [1] * 20 + [0] * 20
        >>> round(ts.fisher_test(response, group).p_value, 4)
        0.0555
    """
    _, arm, x0, n0, x1, n1 = _table(response, group)
    total = x0 + x1
    law = hypergeom(n0 + n1, total, n1)
    p_value = float(law.sf(x1 - 1) if higher_is_better else law.cdf(x1))
    support = np.arange(max(0, total - n0), min(total, n1) + 1)
    mass = law.pmf(support)
    two_sided = float(mass[mass <= law.pmf(x1) * (1 + 1e-7)].sum())
    estimate, se = _difference(x0, n0, x1, n1)
    p_value = min(p_value, 1.0)
    return Comparison(
        test="Fisher's exact",
        z=float(-ndtri(p_value)) if 0 < p_value < 1 else (0.0 if p_value else float("inf")),
        p_value=p_value,
        estimate=estimate,
        se=se,
        scale="risk difference",
        n=arm.size,
        n_events=total,
        p_value_two_sided=min(two_sided, 1.0),
    )


def farrington_manning_test(
    response: ArrayLike,
    group: ArrayLike,
    margin: float,
    higher_is_better: bool = True,
) -> Comparison:
    """Farrington–Manning score test of non-inferiority (or superiority) by a risk difference.

    Args:
        response, group, higher_is_better: as `chi_square_test`.
        margin: the null hypothesis is that group 1 is worse by ``margin`` or more; negative values
            test superiority by more than −margin; 0 is the pooled z test.

    Returns:
        ``z`` = (difference + margin) / standard error at the restricted maximum-likelihood
        estimates (Farrington and Manning 1990); ``estimate``: risk difference, group 1 minus
        group 0.

    Raises:
        ValueError, TypeError: for bad arrays, a margin outside (−1, 1), or no variance.

    Examples:
        >>> import trial_sim as ts
        >>> response, group = [1] * 12 + [0] * 8 + [1] * 6 + [0] * 14, [1] * 20 + [0] * 20
        >>> round(ts.farrington_manning_test(response, group, margin=0.1).z, 3)
        2.554
    """
    _, arm, x0, n0, x1, n1 = _table(response, group)
    if not -1 < margin < 1:
        raise ValueError(f"margin must be between -1 and 1, got {margin}.")
    if higher_is_better:
        z = farrington_manning_z(x0, n0, x1, n1, float(margin))
    else:  # count failures: fewer of the bad outcome is more of the good one
        z = farrington_manning_z(n0 - x0, n0, n1 - x1, n1, float(margin))
    if not np.isfinite(z):
        raise ValueError(f"no variance at the null hypothesis: {x0}/{n0} and {x1}/{n1} responded.")
    estimate, se = _difference(x0, n0, x1, n1)
    return Comparison(
        test=f"Farrington-Manning, margin {margin:g}",
        z=float(z),
        p_value=upper_tail(float(z)),
        estimate=estimate,
        se=se,
        scale="risk difference",
        n=arm.size,
        n_events=x0 + x1,
    )


def cmh_test(
    response: ArrayLike,
    group: ArrayLike,
    strata: ArrayLike,
    higher_is_better: bool = True,
) -> Comparison:
    """Cochran–Mantel–Haenszel test of a stratified 2 × 2 table, without continuity correction.

    Args:
        response, group, higher_is_better: as `chi_square_test`.
        strata: (n,) labels.

    Returns:
        ``estimate``: log of the Mantel–Haenszel common odds ratio, with the standard error of
        Robins, Breslow and Greenland (1986); NaN and infinite where it does not exist.

    Raises:
        ValueError, TypeError: for bad arrays, or if no stratum is informative.

    Examples:
        >>> import trial_sim as ts
        >>> response, group = [1] * 12 + [0] * 8 + [1] * 6 + [0] * 14, [1] * 20 + [0] * 20
        >>> round(ts.cmh_test(response, group, strata=[0, 1] * 20).z, 3)
        1.859
    """
    seen, arm, *_ = _table(response, group)
    codes, names = labels(strata, "strata", arm.size)
    k = len(names)
    a = np.bincount(codes, weights=(seen == 1) & (arm == 1), minlength=k)
    b = np.bincount(codes, weights=(seen == 0) & (arm == 1), minlength=k)
    c = np.bincount(codes, weights=(seen == 1) & (arm == 0), minlength=k)
    d = np.bincount(codes, weights=(seen == 0) & (arm == 0), minlength=k)
    n = a + b + c + d
    used = n > 1
    a, b, c, d, n = a[used], b[used], c[used], d[used], n[used]
    expected = (a + b) * (a + c) / n
    variance = ((a + b) * (c + d) * (a + c) * (b + d) / (n**2 * (n - 1))).sum()
    if variance <= 0:
        raise ValueError("no stratum holds both groups and both responses.")
    z = float((a - expected).sum() / variance**0.5)
    z = z if higher_is_better else -z
    numerator, denominator = (a * d / n).sum(), (b * c / n).sum()
    estimate, se = float("nan"), float("inf")
    if numerator > 0 and denominator > 0:
        estimate = log(numerator / denominator)
        p, q, r, s = (a + d) / n, (b + c) / n, a * d / n, b * c / n
        se = float(
            (
                (p * r).sum() / (2 * numerator**2)
                + (p * s + q * r).sum() / (2 * numerator * denominator)
                + (q * s).sum() / (2 * denominator**2)
            )
            ** 0.5
        )
    return Comparison(
        test="Cochran-Mantel-Haenszel",
        z=z,
        p_value=upper_tail(z),
        estimate=estimate,
        se=se,
        scale="log odds ratio",
        n=arm.size,
        n_events=int(seen.sum()),
    )
