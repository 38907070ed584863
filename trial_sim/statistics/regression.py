"""Cox regression of one trial: treatment, covariates, strata, delayed entry, robust variance."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trial_sim.statistics.comparison import Comparison, upper_tail
from trial_sim.statistics.kernels.cox import cox_newton, cox_score_residuals
from trial_sim.statistics.validation import (
    choice,
    entries,
    indicator,
    labels,
    matrix,
    merge_ties,
    non_negative,
    two_groups,
)


@dataclass(frozen=True)
class CoxRegression(Comparison):
    """Cox regression; the fields of `Comparison` are those of treatment.

    Attributes:
        coefficients: log hazard ratios, treatment first, then the covariates in the order given.
        covariance: their covariance matrix, row by row (robust where clusters were given).
        model_se: standard error of treatment from the information matrix.
        log_likelihood: maximised log partial likelihood.
        hazard_ratio: exp(estimate).
        ties: "efron" or "breslow".

    Examples:
        >>> import trial_sim as ts
        >>> result = ts.cox(
        ...     [2, 4, 6, 3, 7, 9],
        ...     [1, 1, 1, 1, 1, 0],
        ...     [0, 0, 0, 1, 1, 1],
        ...     covariates=[1, 0, 2, 1, 0, 1],
        ... )
        >>> len(result.coefficients), result.ties
        (2, 'efron')
    """

    coefficients: tuple[float, ...] = ()
    covariance: tuple[tuple[float, ...], ...] = field(default=(), repr=False)
    model_se: float = float("nan")
    log_likelihood: float = float("nan")
    hazard_ratio: float = float("nan")
    ties: str = "efron"


def _design(
    group: NDArray[np.int8], covariates: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Design (n, p), covariates centred and scaled, and the scales (p,)."""
    columns = [group.astype(np.float64)[:, None]]
    if covariates is not None:
        x = matrix(covariates, "covariates", group.size)
        constant = np.flatnonzero(np.ptp(x, axis=0) == 0)
        if constant.size:
            raise ValueError(f"covariates column {constant[0]} is the same for all patients.")
        columns.append(x - x.mean(axis=0))
    design = np.concatenate(columns, axis=1)
    scale = np.ones(design.shape[1])
    scale[1:] = design[:, 1:].std(axis=0)
    return np.ascontiguousarray(design / scale), scale


def fit_cox(
    start: NDArray[np.float64] | None,
    stop: NDArray[np.float64],
    event: NDArray[np.int8],
    group: NDArray[np.int8],
    covariates: ArrayLike | None,
    strata: ArrayLike | None,
    cluster: ArrayLike | None,
    ties: str,
    test: str,
    sign: float = -1.0,
) -> CoxRegression:
    """Shared by `cox` and `andersen_gill`: arguments are checked arrays of n rows."""
    n = stop.size
    choice(ties, "ties", ("efron", "breslow"))
    design, scale = _design(group, covariates)
    codes = labels(strata, "strata", n)[0] if strata is not None else np.zeros(n, np.int64)
    order = np.lexsort((stop, codes))
    times, seen, x, layer = stop[order], event[order], design[order], codes[order]
    if start is None:
        entered = np.full(n, -np.inf)
        by_start = np.empty(0, np.int64)
    else:
        entered = start[order]
        by_start = np.lexsort((entered, layer))
    p = design.shape[1]
    beta = np.zeros(p)
    covariance = np.empty((p, p))
    efron = ties == "efron"
    log_likelihood, converged = cox_newton(
        entered, times, seen, x, layer, by_start, efron, beta, covariance
    )
    if not converged:
        split = [int(seen[x[:, 0] == arm].sum()) for arm in (0, 1)]
        raise ValueError(
            "the Cox partial likelihood has no maximum: a coefficient runs to infinity or the "
            f"covariates are collinear; events are {split[0]} in group 0 and {split[1]} in group 1."
        )
    model_se = float(np.sqrt(covariance[0, 0]))
    if cluster is not None:
        residual = np.empty((n, p))
        cox_score_residuals(entered, times, seen, x, layer, efron, beta, residual)
        influence = residual @ covariance
        who, names = labels(np.asarray(cluster)[order], "cluster", n)
        if len(names) < 2:
            raise ValueError(
                f"a robust variance needs two clusters or more, got 1 ({names[0]!s}): its score "
                "residuals add up to 0."
            )
        sums = np.zeros((len(names), p))
        np.add.at(sums, who, influence)
        covariance = sums.T @ sums
    se = float(np.sqrt(covariance[0, 0]))
    estimate = float(beta[0])
    z = sign * estimate / se
    unscaled = covariance / np.outer(scale, scale)
    return CoxRegression(
        test=test,
        z=z,
        p_value=upper_tail(z),
        estimate=estimate,
        se=se,
        scale="log hazard ratio",
        n=n,
        n_events=int(event.sum()),
        coefficients=tuple(float(value) for value in beta / scale),
        covariance=tuple(tuple(float(value) for value in row) for row in unscaled),
        model_se=model_se,
        log_likelihood=float(log_likelihood),
        hazard_ratio=float(np.exp(estimate)),
        ties=ties,
    )


def cox(
    duration: ArrayLike,
    event: ArrayLike,
    group: ArrayLike,
    covariates: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    entry: ArrayLike | None = None,
    ties: str = "efron",
) -> CoxRegression:
    """Cox regression on treatment and, if given, covariates and strata.

    Args:
        duration: (n,) end of follow-up, ≥ 0.
        event: (n,) 1 for the event, 0 for censored.
        group: (n,) 1 for the treated, 0 for control.
        covariates: (n,) or (n, p) numbers, or None.
        strata: (n,) labels of strata with baseline hazards of their own, or None.
        cluster: (n,) labels within which rows are dependent: robust (Lin and Wei 1989) variance.
        entry: (n,) time from which each patient is at risk (delayed entry), or None.
        ties: "efron" (R's default) or "breslow" (SAS's).

    Returns:
        ``z`` is the Wald statistic of treatment, positive where it lowers the hazard; ``estimate``
        its log hazard ratio.

    Raises:
        ValueError, TypeError: for bad arrays, an unknown tie method, entry not before duration, a
            covariate that does not vary, or an estimate that does not exist.

    Examples:
        >>> import trial_sim as ts
        >>> time, event, group = (
        ...     [2, 4, 6, 8, 3, 7, 9, 12],
        ...     [1, 1, 1, 1, 1, 1, 0, 0],
        ...     [0, 0, 0, 0, 1, 1, 1, 1],
        ... )
        >>> result = ts.cox(time, event, group)
        >>> round(result.hazard_ratio, 3), round(result.z, 3)
        (0.323, 1.283)
    """
    (times,) = merge_ties(non_negative(duration, "duration"))
    seen = indicator(event, "event", times.size)
    arm = two_groups(group, times.size)
    begin, times = entries(entry, times)
    return fit_cox(begin, times, seen, arm, covariates, strata, cluster, ties, "Cox regression")
