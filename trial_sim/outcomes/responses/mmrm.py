"""Mixed model for repeated measures: multivariate normal regression with gaps, by EM.

Each visit has its own coefficients; the covariance over visits is unstructured, AR(1) or compound
symmetric. Missing visits are allowed for under missing at random.

A generator wants maximum likelihood with a ridge on the covariates; the test of a trial is by REML
with degrees of freedom: ``statistics.mmrm_fit``, and ``statistics.kernels.mmrm`` for simulated
trials.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

COVARIANCES = ("unstructured", "ar1", "compound_symmetry")


class MmrmFit(NamedTuple):
    """Coefficients (q, V), covariance over visits (V, V), covariance (q V, q V) of the
    coefficients in visit-major order, and the log likelihood."""

    coefficients: np.ndarray
    sigma: np.ndarray
    covariance: np.ndarray
    log_likelihood: float


def structured(sigma: np.ndarray, kind: str) -> np.ndarray:
    """The nearest covariance of the given structure, variances kept for none but unstructured."""
    v = len(sigma)
    if kind == "unstructured":
        return sigma
    variance = float(np.diag(sigma).mean())
    lags = np.abs(np.subtract.outer(np.arange(v), np.arange(v)))
    if kind == "compound_symmetry":
        rho = float(sigma[lags > 0].mean()) / variance
        return variance * np.where(lags == 0, 1.0, np.clip(rho, -0.9 / v, 0.999))
    rho = float(np.clip(sigma[lags == 1].mean() / variance, -0.98, 0.98))
    return variance * rho**lags


def fit_mmrm(
    y: np.ndarray, x: np.ndarray, ridge: np.ndarray, kind: str = "unstructured", rounds: int = 200
) -> MmrmFit:
    """Maximum (penalised) likelihood by EM.

    Args:
        y: (n, V) with NaN for gaps. x: (n, q). ridge: (q,) penalty of each row of coefficients.
        kind: "unstructured", "ar1" or "compound_symmetry".
    """
    n, v = y.shape
    unit = float(np.nanstd(y)) or 1.0
    y = np.round(y / unit, 12)  # in standard deviations: what follows does not depend on the unit
    seen = ~np.isnan(y)
    patterns = [(p, np.flatnonzero((seen == p).all(axis=1))) for p in np.unique(seen, axis=0)]
    start = np.where(seen, y, np.nanmean(y, axis=0))
    root = np.linalg.pinv(x.T @ x + np.diag(ridge))
    beta = root @ x.T @ start
    sigma = np.cov((start - x @ beta).T) + 1e-6 * np.eye(v)
    filled = start.copy()
    for _ in range(rounds):
        mean = x @ beta
        extra = np.zeros((v, v))
        filled = np.where(seen, y, 0.0)
        for p, rows in patterns:
            m = ~p
            if not m.any():
                continue
            if not p.any():
                filled[np.ix_(rows, m)] = mean[rows]
                extra += len(rows) * sigma
                continue
            gain = np.linalg.solve(sigma[np.ix_(p, p)], sigma[np.ix_(p, m)])
            residual = y[np.ix_(rows, p)] - mean[np.ix_(rows, p)]
            filled[np.ix_(rows, m)] = mean[np.ix_(rows, m)] + residual @ gain
            extra[np.ix_(m, m)] += len(rows) * (sigma[np.ix_(m, m)] - sigma[np.ix_(m, p)] @ gain)
        new = root @ x.T @ filled
        residual = filled - x @ new
        updated = structured((residual.T @ residual + extra) / n, kind) + 1e-9 * np.eye(v)
        change = float(np.abs(new - beta).max() + np.abs(updated - sigma).max())
        beta, sigma = new, updated
        if change < 1e-6 * (1 + float(np.abs(sigma).max())):
            break
    information = np.kron(np.eye(v), np.diag(ridge / max(np.diag(sigma).mean(), 1e-9)))
    value = 0.0
    for p, rows in patterns:
        if not p.any() or not len(rows):
            continue
        inverse = np.zeros((v, v))
        inverse[np.ix_(p, p)] = np.linalg.inv(sigma[np.ix_(p, p)])
        information += np.kron(inverse, x[rows].T @ x[rows])
        residual = np.where(p, y[rows] - x[rows] @ beta, 0.0)
        _, log_det = np.linalg.slogdet(sigma[np.ix_(p, p)])
        value -= 0.5 * float(
            np.einsum("ni,ij,nj->", residual, inverse, residual)
            + len(rows) * (log_det + p.sum() * np.log(2 * np.pi))
        )
    value -= float(seen.sum()) * np.log(unit)
    return MmrmFit(beta * unit, sigma * unit**2, np.linalg.pinv(information) * unit**2, value)
