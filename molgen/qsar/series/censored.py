"""Least squares with values known only as a limit, by the likelihood of Tobit.

A value is normal around its expectation; a limit contributes the probability of what lies beyond
it. In the parameters coefficient / sigma and 1 / sigma the logarithm of the likelihood is concave
(Olsen, Econometrica 46:1211, 1978), so that Newton's method finds its one maximum. Without limits
the result is that of ordinary least squares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr
from scipy.stats import t as student

_STEPS = 200


@dataclass(frozen=True)
class LinearFit:
    """A fitted linear model.

    Attributes:
        coefficients: (p,) float64.
        covariance: (p, p) float64, of the coefficients.
        sigma: Standard deviation of one value around its expectation.
        freedom: Degrees of freedom of the intervals.
        n_exact, n_limits: Rows with a value, and with a limit.
    """

    coefficients: np.ndarray
    covariance: np.ndarray
    sigma: float
    freedom: int
    n_exact: int
    n_limits: int

    def half_width(self, x: np.ndarray, coverage: float, new: bool = False) -> np.ndarray:
        """(m,) half widths of the intervals of ``x @ coefficients``.

        Args:
            x: (m, p).
            coverage: Such as 0.95.
            new: Of one new measurement rather than of the expectation.
        """
        variance = np.einsum("ij,jk,ik->i", x, self.covariance, x)
        if new:
            variance = variance + self.sigma**2
        if self.freedom < 1:
            return np.full(len(x), np.nan)
        return student.ppf(0.5 + coverage / 2, self.freedom) * np.sqrt(np.maximum(variance, 0.0))


def fit_linear(x: np.ndarray, y: np.ndarray, relations: Sequence[str]) -> LinearFit:
    """Coefficients of ``y`` on ``x``, which has full column rank and a constant in its span.

    Args:
        x: (n, p) float64.
        y: (n,) values and limits.
        relations: (n,) of "=", ">" or "<".

    Raises:
        ValueError: Fewer than two exact values, or limits that no finite coefficient meets.
    """
    sign = np.array([{"=": 0.0, ">": 1.0, "<": -1.0}[r] for r in relations])
    exact = sign == 0.0
    n, p = x.shape
    freedom = n - p
    if exact.all():
        inverse = np.linalg.pinv(x.T @ x)
        beta = np.linalg.lstsq(x, y, rcond=None)[0]
        rest = float(np.sum((y - x @ beta) ** 2))
        variance = rest / freedom if freedom > 0 else np.nan
        return LinearFit(beta, inverse * variance, float(np.sqrt(variance)), freedom, n, 0)
    if exact.sum() < 2:
        raise ValueError("with fewer than two exact values there is no spread to estimate")
    return _fit_with_limits(x, y, sign, exact)


def _fit_with_limits(
    x: np.ndarray, y: np.ndarray, sign: np.ndarray, exact: np.ndarray
) -> LinearFit:
    n, p = x.shape
    centre = float(np.mean(y[exact]))
    scale = float(max(np.std(y[exact]), 1e-8))
    z = (y - centre) / scale
    theta = np.append(np.linalg.lstsq(x, z, rcond=None)[0], 1.0)
    value, gradient, hessian = _likelihood(theta, x, z, sign, exact)
    for _ in range(_STEPS):
        step = np.linalg.lstsq(hessian, gradient, rcond=None)[0]
        length = 1.0
        while length > 1e-10:
            trial = theta - length * step
            if trial[-1] > 0:
                new = _likelihood(trial, x, z, sign, exact)
                if new[0] >= value - 1e-12:
                    break
            length /= 2
        else:
            break
        change = float(np.max(np.abs(trial - theta)))
        theta = trial
        value, gradient, hessian = new
        if change < 1e-11 * (1 + float(np.max(np.abs(theta)))):
            break
    if not np.isfinite(theta).all() or np.max(np.abs(theta[:-1])) > 1e4 * max(theta[-1], 1e-12):
        raise ValueError("the limits are met by no finite coefficient")
    tau = theta[-1]
    if tau > 1e7:
        raise ValueError("the model passes through every value: there is no spread to estimate")
    # From (coefficient / sigma, 1 / sigma) to (coefficient, sigma) by the delta method.
    jacobian = np.zeros((p + 1, p + 1))
    jacobian[:p, :p] = np.eye(p) / tau
    jacobian[:p, p] = -theta[:p] / tau**2
    jacobian[p, p] = -1.0 / tau**2
    spread = jacobian @ np.linalg.pinv(-hessian) @ jacobian.T
    # As in least squares the likelihood's sigma is too small by the coefficients it has to fit.
    # A limit tells about half of what a value tells (measured: tests/molgen/test_series.py).
    freedom = max(int(exact.sum()) - p, 0)
    worth = exact.sum() + 0.5 * np.sum(~exact)
    widen = worth / max(worth - p, 1.0)
    beta = theta[:p] / tau
    # what was taken off the values before, in terms of the columns
    shift = np.linalg.lstsq(x, np.full(n, centre), rcond=None)[0]
    return LinearFit(
        beta * scale + shift,
        spread[:p, :p] * scale**2 * widen,
        float(np.sqrt(widen) * scale / tau),
        freedom,
        int(exact.sum()),
        int(np.sum(~exact)),
    )


def _likelihood(
    theta: np.ndarray, x: np.ndarray, z: np.ndarray, sign: np.ndarray, exact: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Value, gradient and second derivatives of the log-likelihood at (coefficient/sigma, tau)."""
    w = np.column_stack([-x, z])  # residual in units of sigma: w @ theta
    r = w @ theta
    tau = theta[-1]
    beyond = -sign[~exact] * r[~exact]  # ">": P(value > limit) = Phi(-r); "<": Phi(r)
    log_p = log_ndtr(beyond)
    value = float(exact.sum() * np.log(tau) - 0.5 * np.sum(r[exact] ** 2) + np.sum(log_p))
    mills = np.exp(-0.5 * beyond**2 - 0.5 * np.log(2 * np.pi) - log_p)
    slope = np.empty_like(r)
    curve = np.empty_like(r)
    slope[exact], curve[exact] = -r[exact], -1.0
    slope[~exact] = -sign[~exact] * mills
    curve[~exact] = -mills * (beyond + mills)
    gradient = w.T @ slope
    hessian = (w * curve[:, None]).T @ w
    gradient[-1] += exact.sum() / tau
    hessian[-1, -1] -= exact.sum() / tau**2
    return value, gradient, hessian
