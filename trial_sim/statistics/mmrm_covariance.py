"""Covariance structures of repeated measures, as smooth functions of free parameters.

Correlations are built so that every real parameter vector gives a positive definite matrix:
Toeplitz by partial autocorrelations (Durbin–Levinson), the others by bounded maps. All functions
are analytic, so that derivatives can be taken by a complex step, exact to rounding.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STRUCTURES = (
    "unstructured",
    "ar1",
    "heterogeneous_ar1",
    "compound_symmetry",
    "heterogeneous_compound_symmetry",
    "toeplitz",
    "heterogeneous_toeplitz",
    "antedependence",
    "heterogeneous_antedependence",
)


@dataclass(frozen=True)
class Structure:
    """A covariance structure for a number of visits.

    Attributes:
        name: one of `STRUCTURES`.
        n_visits: number of visits.
        n_parameters: length of theta.
        sigma: theta (n_parameters,) → covariance matrix (n_visits, n_visits).
    """

    name: str
    n_visits: int
    n_parameters: int
    sigma: Callable[[NDArray], NDArray]

    def derivative(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n_parameters, n_visits, n_visits): derivatives of sigma, by a complex step."""
        step = 1e-30
        out = np.empty((self.n_parameters, self.n_visits, self.n_visits))
        for a in range(self.n_parameters):
            moved = theta.astype(complex)
            moved[a] += 1j * step
            out[a] = self.sigma(moved).imag / step
        return out

    def centred_at(self, sigma: NDArray[np.float64]) -> "Structure":
        """The same structure in coordinates that suit a search near ``sigma``.

        An unstructured matrix becomes B C C' B' with B the Cholesky factor of ``sigma``, so that
        theta = 0 gives ``sigma`` and all coordinates have the same scale, however close to
        singular it is. Other structures are well scaled as they are.
        """
        if self.name != "unstructured":
            return self
        base = np.linalg.cholesky(sigma)
        n = self.n_visits
        return Structure(
            self.name, n, self.n_parameters, lambda theta: base @ _unstructured(theta, n) @ base.T
        )

    def start(self, residual_variance: NDArray[np.float64]) -> NDArray[np.float64]:
        """A start value: the variances given at each visit, and mild correlation.

        For an unstructured matrix it is 0, meant for the structure centred there.
        """
        log_sd = 0.5 * np.log(residual_variance)
        if self.name == "unstructured":
            return np.zeros(self.n_parameters)
        spread = log_sd if self.name.startswith("heterogeneous") else np.array([log_sd.mean()])
        return np.concatenate([spread, np.full(self.n_parameters - spread.size, 0.3)])


def _unstructured(theta: NDArray, n: int) -> NDArray:
    root = np.zeros((n, n), dtype=theta.dtype)
    root[np.diag_indices(n)] = np.exp(theta[:n])
    root[np.tril_indices(n, -1)] = theta[n:]
    return root @ root.T


def _lags(n: int) -> NDArray[np.int64]:
    return np.abs(np.subtract.outer(np.arange(n), np.arange(n)))


def _ar1(theta: NDArray, n: int) -> NDArray:
    return np.tanh(theta[0]) ** _lags(n)


def _compound_symmetry(theta: NDArray, n: int) -> NDArray:
    low = -1.0 / (n - 1)
    rho = low + (1.0 - low) / (1.0 + np.exp(-theta[0]))
    return np.where(_lags(n) == 0, 1.0, rho)


def _toeplitz(theta: NDArray, n: int) -> NDArray:
    partial = np.tanh(theta)
    rho = np.ones(n, dtype=theta.dtype)
    phi = np.zeros(0, dtype=theta.dtype)
    for lag in range(1, n):
        # Durbin–Levinson: the correlation at this lag that has the wanted partial correlation
        past = rho[1:lag][::-1]
        left = 1.0 - (phi * rho[1:lag]).sum()
        rho[lag] = (phi * past).sum() + partial[lag - 1] * left
        phi = np.concatenate([phi - partial[lag - 1] * phi[::-1], partial[lag - 1 : lag]])
    return rho[_lags(n)]


def _antedependence(theta: NDArray, n: int) -> NDArray:
    steps = np.tanh(theta)
    out = np.ones((n, n), dtype=theta.dtype)
    for i in range(n):
        for j in range(i):
            out[i, j] = out[j, i] = np.prod(steps[j:i])
    return out


_CORRELATIONS: dict[str, tuple[Callable[[NDArray, int], NDArray], Callable[[int], int]]] = {
    "ar1": (_ar1, lambda n: 1),
    "compound_symmetry": (_compound_symmetry, lambda n: 1),
    "toeplitz": (_toeplitz, lambda n: n - 1),
    "antedependence": (_antedependence, lambda n: n - 1),
}


def structure(name: str, n_visits: int) -> Structure:
    """The structure of that name (one of `STRUCTURES`) for two or more visits."""
    if name == "unstructured":
        count = n_visits * (n_visits + 1) // 2
        return Structure(name, n_visits, count, lambda theta: _unstructured(theta, n_visits))
    correlation, size = _CORRELATIONS[name.removeprefix("heterogeneous_")]
    spreads = n_visits if name.startswith("heterogeneous_") else 1

    def sigma(theta: NDArray) -> NDArray:
        sd = np.exp(theta[:spreads]) * np.ones(n_visits)
        return np.outer(sd, sd) * correlation(theta[spreads:], n_visits)

    return Structure(name, n_visits, spreads + size(n_visits), sigma)
