"""Treatment contrasts of two arms for every kind of outcome: estimate and standard error.

Small closed-form or Newton estimators, so that thousands of synthetic trials can be analysed in
seconds. ``treated`` is always an (n,) boolean; a positive value means more of the outcome (events,
response, higher score) in the treated arm.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Contrast(NamedTuple):
    """Effect on its natural scale with its standard error; NaN where it cannot be estimated."""

    estimate: float
    error: float


NONE = Contrast(float("nan"), float("nan"))


def log_hazard_ratio(
    duration: np.ndarray,
    event: np.ndarray,
    treated: np.ndarray,
    entry: np.ndarray | None = None,
) -> Contrast:
    """Cox log hazard ratio of one binary covariate, Efron's ties, by Newton's method.

    From numbers at risk, which are counted once: ``statistics.kernels.cox`` takes any covariates
    and goes through the patients at every step.

    Args:
        duration: (n,) times.
        event: (n,) boolean.
        treated: (n,) boolean.
        entry: (n,) times from which patients are at risk (delayed entry), or None.
    """
    if (event & treated).sum() == 0 or (event & ~treated).sum() == 0:
        return NONE  # the partial likelihood has no maximum
    order = np.argsort(duration, kind="stable")
    t, d, x = duration[order], event[order].astype(bool), treated[order].astype(float)
    _, start, group = np.unique(t, return_index=True, return_inverse=True)
    at_risk_treated = np.cumsum(x[::-1])[::-1][start]
    at_risk = (len(t) - start).astype(float)
    if entry is not None:
        # patients who enter at or after a time are not yet at risk then
        late = np.argsort(entry, kind="stable")
        entered = np.searchsorted(entry[late], t[start], side="left")
        sums = np.r_[0.0, np.cumsum(treated[late].astype(float))]
        at_risk_treated = at_risk_treated - (sums[-1] - sums[entered])
        at_risk = at_risk - (len(t) - entered)
    deaths = np.add.reduceat(d.astype(float), start)
    deaths_treated = np.add.reduceat(d * x, start)
    # one entry a death, with its rank l = 0, 1, … among the deaths tied with it
    of = group[d]
    first = np.concatenate([[0], np.cumsum(deaths)[:-1]])[of]
    share = (np.arange(len(of)) - first) / deaths[of]
    one = at_risk_treated[of] - share * deaths_treated[of]
    zero = (at_risk - at_risk_treated)[of] - share * (deaths - deaths_treated)[of]
    seen = float(deaths_treated.sum())
    beta = 0.0
    for _ in range(50):
        weight = np.exp(beta) * one
        p = weight / (weight + zero)
        information = float((p * (1 - p)).sum())
        if information <= 1e-10:
            return NONE
        step = (seen - float(p.sum())) / information
        beta += float(np.clip(step, -2, 2))
        if abs(beta) > 15:
            return NONE  # complete separation: the maximum is at infinity
        if abs(step) < 1e-9:
            break
    return Contrast(beta, information**-0.5)


def log_rate_ratio(events: np.ndarray, exposure: np.ndarray, treated: np.ndarray) -> Contrast:
    """Log ratio of events per exposure, with the robust (patient-clustered) standard error.

    The estimating equation is that of a Poisson model with a log offset, so over-dispersion and
    repeated events of a patient are allowed for.

    Args:
        events, exposure: (n,) totals of each patient.
        treated: (n,) boolean.
    """
    logs, variances = [], []
    for arm in (treated, ~treated):
        count, time = events[arm].sum(), exposure[arm].sum()
        if count <= 0 or time <= 0:
            return NONE
        rate = count / time
        logs.append(np.log(rate))
        n = int(arm.sum())
        # n / (n - 1) as in a sample variance: small arms with one heavy patient need it
        squares = ((events[arm] - rate * exposure[arm]) ** 2).sum() * n / max(n - 1, 1)
        variances.append(squares / count**2)
    return Contrast(float(logs[0] - logs[1]), float(np.sqrt(sum(variances))))


def log_odds_ratio(successes: np.ndarray, trials: np.ndarray, treated: np.ndarray) -> Contrast:
    """Log odds ratio of pooled proportions, with a patient-clustered standard error.

    With one observation a patient this is the usual log odds ratio with Woolf's error. An empty
    cell gets Haldane's half.

    Args:
        successes, trials: (n,) successes and observations of each patient.
        treated: (n,) boolean.
    """
    logits, variances = [], []
    for arm in (treated, ~treated):
        good, total = float(successes[arm].sum()), float(trials[arm].sum())
        if total == 0:
            return NONE
        if good in (0.0, total):
            good, total = good + 0.5, total + 1
            variances.append(1 / good + 1 / (total - good))
        else:
            p = good / total
            residual = successes[arm] - p * trials[arm]
            variances.append(float((residual**2).sum()) / (total * p * (1 - p)) ** 2)
        logits.append(np.log(good / (total - good)))
    return Contrast(float(logits[0] - logits[1]), float(np.sqrt(sum(variances))))


def log_cumulative_odds_ratio(values: np.ndarray, treated: np.ndarray) -> Contrast:
    """Proportional-odds log odds ratio of a *higher* value, by Fisher scoring on the 2 x K counts.

    ``outcomes.responses.ordinal`` fits the same model with covariates, and to several arms.

    Args:
        values: (n,) ordered scores, no NaN.
        treated: (n,) boolean.
    """
    levels, codes = np.unique(values, return_inverse=True)
    k = len(levels)
    if k < 2 or not treated.any() or treated.all():
        return NONE
    counts = np.array(
        [np.bincount(codes[arm], minlength=k) for arm in (~treated, treated)], dtype=float
    )
    pooled = np.cumsum(counts.sum(axis=0))[:-1] / counts.sum()
    theta = np.append(np.log(pooled / (1 - pooled)), 0.0)
    for _ in range(100):
        score, information = np.zeros(k), np.zeros((k, k))
        for g in (0, 1):
            # P(Y <= level) = logistic(cut - beta * treated)
            cumulative = 1 / (1 + np.exp(-(theta[:-1] - g * theta[-1])))
            slope = cumulative * (1 - cumulative)
            edge = np.zeros((k + 1, k))
            edge[1:k, : k - 1] = np.diag(slope)
            edge[1:k, -1] = -g * slope
            jacobian = np.diff(edge, axis=0)
            p = np.maximum(np.diff(np.concatenate([[0.0], cumulative, [1.0]])), 1e-12)
            score += jacobian.T @ (counts[g] / p)
            information += counts[g].sum() * jacobian.T @ (jacobian / p[:, None])
        try:
            step = np.linalg.solve(information, score)
        except np.linalg.LinAlgError:
            return NONE
        theta = theta + np.clip(step, -1, 1)
        # cut points must stay in order while the steps are long
        theta[:-1] = np.maximum.accumulate(theta[:-1])
        if np.abs(theta[-1]) > 15:
            return NONE
        if np.abs(step).max() < 1e-8:
            break
    return Contrast(float(theta[-1]), float(np.sqrt(np.linalg.inv(information)[-1, -1])))


def mean_difference(
    values: np.ndarray, treated: np.ndarray, baseline: np.ndarray | None = None
) -> Contrast:
    """Difference of means, adjusted for the baseline where one is given (ANCOVA).

    Patients with a missing value or baseline are left out.

    Args:
        values: (n,).
        treated: (n,) boolean.
        baseline: (n,) or None.
    """
    columns = [np.ones(len(values)), treated.astype(float)]
    if baseline is not None:
        # standardised: the solution does not depend on the unit of the baseline, nor its rounding
        spread = float(np.nanstd(baseline)) if np.isfinite(baseline).any() else 0.0
        columns.append((baseline - np.nanmean(baseline)) / spread if spread > 0 else 0 * baseline)
    design = np.column_stack(columns)
    seen = np.isfinite(values) & np.isfinite(design).all(axis=1)
    x, y = design[seen], values[seen]
    if baseline is not None and len(y) and np.ptp(x[:, 2]) == 0:
        x = x[:, :2]
    if len(y) <= x.shape[1] or np.linalg.matrix_rank(x) < x.shape[1]:
        return NONE
    inverse = np.linalg.inv(x.T @ x)
    coefficient = inverse @ x.T @ y
    residual = y - x @ coefficient
    variance = float(residual @ residual) / (len(y) - x.shape[1])
    error = float(np.sqrt(variance * inverse[1, 1]))
    return Contrast(float(coefficient[1]), error) if error > 0 else NONE
