"""Mixed model for repeated measures: treatment effects at visits under a chosen covariance."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trial_sim.statistics.comparison import Comparison, upper_tail
from trial_sim.statistics.mmrm_covariance import STRUCTURES, structure
from trial_sim.statistics.mmrm_fit import LikelihoodFit, maximise, patterns
from trial_sim.statistics.validation import choice, labels, matrix, two_groups, visit_codes


@dataclass(frozen=True)
class MixedModel(Comparison):
    """Fitted MMRM; the fields of `Comparison` are those of treatment at ``visit``.

    Attributes:
        visit: the visit of the main contrast.
        visits: labels of all visits, in order.
        effects: treatment effect at each visit.
        effect_errors: their standard errors; effect_df: their degrees of freedom.
        coefficients: name → (estimate, standard error, degrees of freedom) of every fixed effect,
            with the first visit and group 0 as reference.
        covariance: covariance matrix of the visits, row by row.
        structure: name of the covariance structure.
        log_likelihood: maximised (restricted) log-likelihood, with the constant of nlme and SAS.
        n_rows: measurements used.

    Examples:
        >>> import trial_sim as ts
        >>> outcome = [1.0, 1.4, 2.0, 2.1, 0.5, 1.2, 2.0, 3.1, 2.4, 3.0, 1.7, 3.2]
        >>> subject, visit = [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6], [1, 2] * 6
        >>> result = ts.mmrm(outcome, subject, visit, [0] * 6 + [1] * 6)
        >>> result.visits, result.n_rows
        ((1, 2), 12)
        >>> result.to_frame().columns.tolist()
        ['visit', 'estimate', 'se', 'df', 't']
    """

    visit: Any = None
    visits: tuple[Any, ...] = ()
    effects: tuple[float, ...] = ()
    effect_errors: tuple[float, ...] = ()
    effect_df: tuple[float, ...] = ()
    coefficients: dict[str, tuple[float, float, float]] = field(default_factory=dict, repr=False)
    covariance: tuple[tuple[float, ...], ...] = field(default=(), repr=False)
    structure: str = "unstructured"
    log_likelihood: float = float("nan")
    n_rows: int = 0

    def to_frame(self) -> Any:
        """Treatment effects as a DataFrame, one row a visit."""
        import pandas as pd

        frame = pd.DataFrame(
            {
                "visit": self.visits,
                "estimate": self.effects,
                "se": self.effect_errors,
                "df": self.effect_df,
            }
        )
        frame["t"] = frame.estimate / frame.se
        return frame


def _design(
    arm: NDArray[np.int8],
    visit: NDArray[np.int64],
    visits: Sequence[Any],
    covariates: ArrayLike | None,
    by_visit: bool,
) -> tuple[NDArray[np.float64], list[str], NDArray[np.float64]]:
    """Design (n, p), names of its columns, and contrasts (n_visits, p) of treatment at visits."""
    n, k = arm.size, len(visits)
    dummies = (visit[:, None] == np.arange(1, k)).astype(np.float64)
    treated = arm.astype(np.float64)[:, None]
    columns = [np.ones((n, 1)), dummies, treated, treated * dummies]
    later = [str(name) for name in visits[1:]]
    names = ["intercept", *(f"visit {name}" for name in later), "group"]
    names += [f"group:{name}" for name in later]
    if covariates is not None:
        given = getattr(covariates, "columns", None)
        x = matrix(covariates, "covariates", n)
        labels_x = [str(c) for c in given] if given is not None else []
        labels_x = labels_x or [f"covariate {a}" for a in range(x.shape[1])]
        columns.append(x)
        names += labels_x
        if by_visit:
            for a, label in enumerate(labels_x):
                columns.append(x[:, a : a + 1] * dummies)
                names += [f"{label}:{name}" for name in later]
    design = np.concatenate(columns, axis=1)
    contrasts = np.zeros((k, design.shape[1]))
    contrasts[:, k] = 1.0
    for j in range(1, k):
        contrasts[j, k + j] = 1.0
    return design, names, contrasts


def mmrm(
    outcome: ArrayLike,
    subject: ArrayLike,
    visit: ArrayLike,
    group: ArrayLike,
    covariates: ArrayLike | None = None,
    covariates_by_visit: bool = False,
    covariance: str = "unstructured",
    at: Any = None,
    method: str = "reml",
    higher_is_better: bool = True,
    visits: Sequence[Any] | None = None,
) -> MixedModel:
    """Mixed model for repeated measures with fixed effects visit, group and group × visit.

    One row a measurement. Rows whose outcome is missing (NaN) are left out, which is valid where
    outcomes are missing at random.

    Args:
        outcome: (n,) measurements; NaN for missing.
        subject: (n,) labels of patients.
        visit: (n,) labels of visits. Their order is that of ``visits``, else of the categories of
            an ordered categorical, else of numbers or dates, else of the number in each text.
        group: (n,) 1 for the treated, 0 for control.
        covariates: (n,) or (n, p) numbers, such as the baseline value, or a DataFrame of them.
        covariates_by_visit: give every covariate an effect of its own at each visit.
        covariance: "unstructured", "ar1", "compound_symmetry", "toeplitz", "antedependence", or one
            of the last four with the prefix "heterogeneous_" (a variance of its own at each visit).
        at: label of the visit of the main contrast; None for the last.
        method: "reml" or "ml".
        higher_is_better: whether larger outcomes are better.
        visits: all labels of visits in order of time, where the labels do not tell it.

    Returns:
        `MixedModel`: ``estimate`` is the treatment effect at the visit ``at``, ``df``
        Satterthwaite's degrees of freedom, ``z`` the t statistic.

    Raises:
        ValueError, TypeError: for bad arrays, a subject measured twice at a visit or in two groups,
            one visit only, an unknown visit, collinear columns, or a likelihood without maximum.

    Examples:
        >>> import trial_sim as ts
        >>> outcome = [1.0, 1.4, 2.0, 2.1, 0.5, 1.2, 2.0, 3.1, 2.4, 3.0, 1.7, 3.2]
        >>> subject, visit = [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6], [1, 2] * 6
        >>> result = ts.mmrm(outcome, subject, visit, [0] * 6 + [1] * 6)
        >>> [round(effect, 3) for effect in result.effects]
        [0.867, 1.533]
    """
    try:
        values = np.ascontiguousarray(outcome, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"outcome must hold numbers: {error}.") from error
    if values.ndim != 1:
        raise ValueError(f"outcome must be one-dimensional, got shape {values.shape}.")
    n = values.size
    if np.any(np.isinf(values)):
        raise ValueError("outcome holds infinite values; use NaN for missing ones.")
    choice(covariance, "covariance", STRUCTURES)
    choice(method, "method", ("reml", "ml"))
    who = labels(subject, "subject", n)[0]
    when, ordered = visit_codes(visit, "visit", n, visits)
    place = {str(label): j for j, label in enumerate(ordered)}
    arm = two_groups(group, n)
    if len(ordered) < 2:
        raise ValueError(f"an MMRM needs two visits or more, got {len(ordered)}.")
    target = len(ordered) - 1
    if at is not None:
        if str(at) not in place:
            raise ValueError(f"at must be one of the visits {', '.join(place)}, got {at!r}.")
        target = place[str(at)]
    _check_subjects(who, when, arm)
    design, names, contrasts = _design(arm, when, ordered, covariates, covariates_by_visit)
    kept = np.isfinite(values)
    for j, label in enumerate(ordered):
        for k in (0, 1):
            if not np.any(kept & (when == j) & (arm == k)):
                raise ValueError(f"group {k} has no measurement at visit {label}.")
    _check_variances(values, who, when, arm, kept, ordered, covariance)
    x, y = design[kept], values[kept]
    scale = np.sqrt((x**2).mean(axis=0))
    scale[scale == 0] = 1.0
    if np.linalg.matrix_rank(x / scale) < x.shape[1]:
        raise ValueError("the columns of visit, group and covariates are collinear.")
    groups = patterns(y, x / scale, who[kept], when[kept])
    fit = maximise(groups, structure(covariance, len(ordered)), method == "reml")
    return _record(fit, scale, names, contrasts, ordered, target, higher_is_better, method)


def _check_subjects(who: NDArray[np.int64], when: NDArray[np.int64], arm: NDArray[np.int8]) -> None:
    """Each subject once a visit, and in one group."""
    pairs = np.stack([who, when])
    if np.unique(pairs, axis=1).shape[1] < who.size:
        raise ValueError("a subject has two rows at the same visit; keep one measurement of each.")
    ones = np.bincount(who, weights=arm)
    if np.any((ones > 0) & (ones < np.bincount(who))):
        raise ValueError("a subject appears in both groups.")


def _check_variances(
    values: NDArray[np.float64],
    who: NDArray[np.int64],
    when: NDArray[np.int64],
    arm: NDArray[np.int8],
    kept: NDArray[np.bool_],
    visits: Sequence[Any],
    covariance: str,
) -> None:
    """Refuse data whose likelihood has no maximum, before it is sought for a minute."""
    own_variances = covariance == "unstructured" or covariance.startswith("heterogeneous_")
    for j, label in enumerate(visits):
        spread = [np.ptp(values[kept & (when == j) & (arm == k)]) for k in (0, 1)]
        if own_variances and max(spread) == 0:
            raise ValueError(
                f"the outcome does not vary within the groups at visit {label}: leave that visit "
                f"out, or take a covariance without a variance of its own at each visit."
            )
    patients = len(np.unique(who[kept]))
    if covariance == "unstructured" and patients - 2 < len(visits):
        raise ValueError(
            f"an unstructured covariance of {len(visits)} visits needs {len(visits) + 2} patients "
            f"or more, got {patients}; take one such as 'ar1' or 'compound_symmetry'."
        )


def _record(
    fit: LikelihoodFit,
    scale: NDArray[np.float64],
    names: list[str],
    contrasts: NDArray[np.float64],
    visits: Sequence[Any],
    target: int,
    higher_is_better: bool,
    method: str,
) -> MixedModel:
    effects = [fit.contrast(row / scale) for row in contrasts]
    each = {name: fit.contrast(row / scale) for name, row in zip(names, np.eye(len(names)))}
    estimate, se, df = effects[target]
    z = (estimate if higher_is_better else -estimate) / se
    # the design was scaled: the restricted likelihood of the unscaled design differs by a constant
    shift = float(np.log(scale).sum()) if method == "reml" else 0.0
    n_rows = sum(group.outcome.size for group in fit.groups)
    return MixedModel(
        test=f"MMRM, {fit.structure.name}, visit {visits[target]}",
        z=z,
        p_value=upper_tail(z, df),
        estimate=estimate,
        se=se,
        scale="adjusted difference of means",
        df=df,
        n=sum(group.outcome.shape[0] for group in fit.groups),
        visit=visits[target],
        visits=tuple(visits),
        effects=tuple(effect[0] for effect in effects),
        effect_errors=tuple(effect[1] for effect in effects),
        effect_df=tuple(effect[2] for effect in effects),
        coefficients=each,
        covariance=tuple(tuple(float(v) for v in row) for row in fit.sigma),
        structure=fit.structure.name,
        log_likelihood=-0.5 * fit.at.deviance - shift,
        n_rows=n_rows,
    )
