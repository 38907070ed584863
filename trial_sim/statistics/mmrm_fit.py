"""Restricted maximum likelihood of a Gaussian linear model with correlated repeated measures.

One data set, any design and covariance structure, in NumPy. ``statistics.kernels.mmrm`` is compiled
for simulated trials: unstructured, with every covariate by visit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from trial_sim.statistics.mmrm_covariance import Structure


@dataclass(frozen=True)
class Pattern:
    """Subjects who were measured at the same visits.

    Attributes:
        visits: (t,) visit numbers.
        outcome: (m, t).
        design: (m, t, p).
    """

    visits: NDArray[np.int64]
    outcome: NDArray[np.float64]
    design: NDArray[np.float64]


@dataclass(frozen=True)
class Evaluation:
    """The restricted likelihood at one theta.

    Attributes:
        deviance: −2 log restricted likelihood.
        gradient_sigma: (T, T) derivative of the deviance in the elements of sigma.
        beta: (p,) fixed effects; covariance: (p, p) their covariance given sigma.
        inverses: inverse covariance matrix of each pattern.
    """

    deviance: float
    gradient_sigma: NDArray[np.float64]
    beta: NDArray[np.float64]
    covariance: NDArray[np.float64]
    inverses: tuple[NDArray[np.float64], ...]


def patterns(
    outcome: NDArray[np.float64],
    design: NDArray[np.float64],
    subject: NDArray[np.int64],
    visit: NDArray[np.int64],
) -> tuple[Pattern, ...]:
    """Group the rows of a long table by the set of visits of their subject.

    Args:
        outcome: (n,); design: (n, p); subject, visit: (n,) codes, each pair at most once.
    """
    order = np.lexsort((visit, subject))
    edges = np.flatnonzero(np.diff(subject[order])) + 1
    by_visits: dict[tuple[int, ...], list[NDArray[np.int64]]] = {}
    for rows in np.split(order, edges):
        by_visits.setdefault(tuple(int(v) for v in visit[rows]), []).append(rows)
    found = []
    for visits in sorted(by_visits):
        index = np.array(by_visits[visits])
        found.append(Pattern(np.array(visits), outcome[index], design[index]))
    return tuple(found)


def evaluate(groups: tuple[Pattern, ...], sigma: NDArray[np.float64], reml: bool) -> Evaluation:
    """Deviance, its derivative in sigma, and the generalised least squares estimate.

    Raises:
        numpy.linalg.LinAlgError: if sigma or the information of the fixed effects is singular.
    """
    p = groups[0].design.shape[2]
    information = np.zeros((p, p))
    right = np.zeros(p)
    log_determinant = 0.0
    n_rows = 0
    inverses = []
    for group in groups:
        block = sigma[np.ix_(group.visits, group.visits)]
        factor = cho_factor(block, lower=True)
        inverse = cho_solve(factor, np.eye(group.visits.size))
        inverses.append(inverse)
        weighted = np.matmul(inverse, group.design)
        information += np.tensordot(group.design, weighted, axes=([0, 1], [0, 1]))
        right += np.tensordot(weighted, group.outcome, axes=([0, 1], [0, 1]))
        log_determinant += 2.0 * group.outcome.shape[0] * np.log(np.diag(factor[0])).sum()
        n_rows += group.outcome.size
    factor = cho_factor(information, lower=True)
    beta = cho_solve(factor, right)
    covariance = cho_solve(factor, np.eye(p))
    deviance = log_determinant + n_rows * np.log(2 * np.pi)
    if reml:
        deviance += 2.0 * np.log(np.diag(factor[0])).sum() - p * np.log(2 * np.pi)
    gradient = np.zeros_like(sigma)
    for group, inverse in zip(groups, inverses):
        residual = group.outcome - group.design @ beta
        scaled = residual @ inverse
        deviance += float((residual * scaled).sum())
        part = group.outcome.shape[0] * inverse - scaled.T @ scaled
        if reml:
            weighted = np.matmul(inverse, group.design)
            spread = np.matmul(weighted, covariance)
            part -= np.einsum("mtp,msp->ts", spread, weighted)
        gradient[np.ix_(group.visits, group.visits)] += part
    return Evaluation(float(deviance), gradient, beta, covariance, tuple(inverses))


@dataclass(frozen=True)
class LikelihoodFit:
    """A fitted model: estimates, and what Satterthwaite's method needs.

    Attributes:
        groups: the data.
        structure: covariance structure.
        theta: its parameters at the maximum.
        at: the likelihood at the maximum.
        hessian: (k, k) second derivatives of the deviance in theta.
        reml: whether the likelihood is restricted.
    """

    groups: tuple[Pattern, ...]
    structure: Structure
    theta: NDArray[np.float64]
    at: Evaluation
    hessian: NDArray[np.float64]
    reml: bool

    @cached_property
    def sigma(self) -> NDArray[np.float64]:
        """(T, T) covariance matrix of the visits."""
        return np.asarray(self.structure.sigma(self.theta), dtype=np.float64)

    @cached_property
    def _theta_covariance(self) -> NDArray[np.float64]:
        return np.asarray(2.0 * np.linalg.pinv(self.hessian, hermitian=True))

    def contrast(self, weights: NDArray[np.float64]) -> tuple[float, float, float]:
        """Estimate, standard error and Satterthwaite degrees of freedom of weights · beta.

        df = 2 v² / (g' A g), with v the variance of the contrast, g its gradient in theta, and A
        the inverse observed information of theta (Fai and Cornelius 1996; Giesbrecht and Burns
        1985).
        """
        variance = float(weights @ self.at.covariance @ weights)
        direction = self.at.covariance @ weights
        in_sigma = np.zeros_like(self.sigma)
        for group, inverse in zip(self.groups, self.at.inverses):
            pulled = (group.design @ direction) @ inverse
            in_sigma[np.ix_(group.visits, group.visits)] += pulled.T @ pulled
        gradient = np.tensordot(self.structure.derivative(self.theta), in_sigma, axes=2)
        spread = float(gradient @ self._theta_covariance @ gradient)
        df = 2.0 * variance**2 / spread if spread > 0 else float("inf")
        return float(weights @ self.at.beta), variance**0.5, df


def maximise(groups: tuple[Pattern, ...], shape: Structure, reml: bool = True) -> LikelihoodFit:
    """Maximise the (restricted) likelihood: Fisher scoring, then Newton steps.

    Raises:
        ValueError: if the search ends at a singular covariance matrix or does not converge.
    """
    rows = [[] for _ in range(shape.n_visits)]  # type: list[list[float]]
    ols = evaluate(groups, np.eye(shape.n_visits), False).beta
    for group in groups:
        residual = group.outcome - group.design @ ols
        for position, visit in enumerate(group.visits):
            rows[visit].extend(residual[:, position])
    spread = np.array([max(float(np.mean(np.square(values))), 1e-12) for values in rows])
    spread_root = np.sqrt(spread)
    begin = np.outer(spread_root, spread_root) * (0.5 * np.eye(shape.n_visits) + 0.5)
    shape = shape.centred_at(begin)

    def deviance(theta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        try:
            here = evaluate(groups, shape.sigma(theta), reml)
        except (np.linalg.LinAlgError, FloatingPointError):
            return 1e300, np.zeros_like(theta)
        derivative = np.tensordot(shape.derivative(theta), here.gradient_sigma, axes=2)
        return here.deviance, derivative

    theta = shape.start(spread)
    here = evaluate(groups, shape.sigma(theta), reml)
    scoring = True
    for _ in range(400):
        if shape.name == "unstructured":
            shape, theta = shape.centred_at(shape.sigma(theta)), np.zeros_like(theta)
        derivative = shape.derivative(theta)
        gradient = np.tensordot(derivative, here.gradient_sigma, axes=2)
        if scoring:
            matrix = _expected_curvature(groups, here.inverses, derivative)
        else:
            matrix = _hessian(deviance, theta)
        curvature, axes = np.linalg.eigh(matrix)
        # away from the maximum the curvature can be negative: its size still scales the step
        sizes = np.maximum(np.abs(curvature), 1e-10 * np.abs(curvature).max())
        step = axes @ ((axes.T @ gradient) / sizes)
        gain = float(step @ gradient)
        if scoring and gain < 1e-4:
            scoring = False
            continue
        if not scoring and curvature[0] > 0 and gain < 1e-12:
            hessian = matrix
            break
        factor = min(1.0, 2.0 / float(np.abs(step).max()))
        while factor > 1e-10 and not deviance(theta - factor * step)[0] <= here.deviance + 1e-9:
            factor *= 0.5
        theta = theta - factor * step
        here = evaluate(groups, shape.sigma(theta), reml)
    else:
        raise ValueError(
            f"the restricted likelihood of the {shape.name} covariance has no maximum in the "
            "interior: a variance or correlation runs to its limit; try a simpler structure."
        )
    return LikelihoodFit(groups, shape, theta, here, hessian, reml)


def _expected_curvature(
    groups: tuple[Pattern, ...],
    inverses: tuple[NDArray[np.float64], ...],
    derivative: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Expected second derivatives of the deviance in theta, the means taken as known."""
    size = derivative.shape[0]
    out = np.zeros((size, size))
    for group, inverse in zip(groups, inverses):
        block = inverse @ derivative[:, group.visits[:, None], group.visits[None, :]]
        out += group.outcome.shape[0] * np.einsum("aij,bji->ab", block, block)
    return out


def _hessian(
    function: Callable[[NDArray[np.float64]], tuple[float, NDArray[np.float64]]],
    theta: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Second derivatives from central differences of the exact gradient."""
    size = theta.size
    out = np.empty((size, size))
    step = 1e-4
    for a in range(size):
        up, down = theta.copy(), theta.copy()
        up[a] += step
        down[a] -= step
        out[a] = (function(up)[1] - function(down)[1]) / (2.0 * step)
    return 0.5 * (out + out.T)
