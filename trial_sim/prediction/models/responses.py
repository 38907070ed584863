"""Models of the responses still to come in an ongoing trial, with drawn or fixed parameters.

Each model has ``fixed(n_draws)`` (the estimates) and ``draw(n_draws, random)`` (the posterior),
which return parameters with a row a draw, and ``values(parameters, group, baseline, uniform)``, the
responses (n_draws, n) that these parameters make of uniforms, by inversion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import betainc, gammaln, ndtri, pdtr

from trial_sim.prediction.models.strata import CellRates, cell_rates
from trial_sim.prediction.reading.responses import OngoingResponses

# Dispersions k tried for counts: even in k / (1 + k), which is their flat prior.
_DISPERSIONS = 400


@dataclass(frozen=True)
class BinaryModel:
    """Responses or none: a probability a group, or a cell of group and stratum.

    Attributes:
        estimate: (n_groups,) probabilities. counts, hits: (n_groups,) known responses, and those
            that are 1. cells: additive effects of arm and stratum, where groups are their cells.
    """

    estimate: np.ndarray
    counts: np.ndarray
    hits: np.ndarray
    cells: CellRates | None = None

    def fixed(self, n_draws: int) -> np.ndarray:
        """Probabilities, (n_draws, n_groups)."""
        return np.tile(self.estimate, (n_draws, 1))

    def draw(self, n_draws: int, random: np.random.Generator) -> np.ndarray:
        """Probabilities from the Jeffreys beta, or from the normal law of the additive effects."""
        if self.cells is not None:
            return self.cells.draw(n_draws, random)
        a, b = self.hits + 0.5, self.counts - self.hits + 0.5
        return random.beta(a, b, (n_draws, len(a)))

    def values(
        self, parameters: Any, group: np.ndarray, baseline: np.ndarray | None, uniform: np.ndarray
    ) -> np.ndarray:
        """Responses 0 or 1."""
        return (uniform < np.take_along_axis(parameters, group, axis=1)).astype(float)


@dataclass(frozen=True)
class ContinuousModel:
    """Normal responses: a mean a group, a slope of the baseline, one standard deviation.

    Attributes:
        estimate: (n_groups,) means at the baseline ``centre``. slope: 0 without a baseline.
        sd: residual standard deviation. coefficients, unscaled: (p,) and (p, p) of the regression.
        df: residual degrees of freedom.
    """

    estimate: np.ndarray
    slope: float
    sd: float
    centre: float
    coefficients: np.ndarray
    unscaled: np.ndarray
    df: int

    def fixed(self, n_draws: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Means (n_draws, n_groups), slopes (n_draws,), standard deviations (n_draws,)."""
        return (
            np.tile(self.estimate, (n_draws, 1)),
            np.full(n_draws, self.slope),
            np.full(n_draws, self.sd),
        )

    def draw(
        self, n_draws: int, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As ``fixed``, from the normal with a scaled inverse chi-square variance.

        The prior is flat on the means, the slope and the log variance.
        """
        sd = self.sd * np.sqrt(self.df / random.chisquare(self.df, n_draws))
        root = np.linalg.cholesky(self.unscaled)
        steps = random.normal(size=(n_draws, len(root))) @ root.T
        values = self.coefficients + sd[:, None] * steps
        n_groups = len(self.estimate)
        slope = values[:, n_groups] if values.shape[1] > n_groups else np.zeros(n_draws)
        return values[:, :n_groups], slope, sd

    def values(
        self, parameters: Any, group: np.ndarray, baseline: np.ndarray | None, uniform: np.ndarray
    ) -> np.ndarray:
        """Normal responses."""
        level, slope, sd = parameters
        centre = np.take_along_axis(level, group, axis=1)
        if baseline is not None:
            centre = centre + slope[:, None] * (baseline - self.centre)
        return centre + sd[:, None] * ndtri(uniform)


@dataclass(frozen=True)
class OrdinalModel:
    """Ordered categories: probabilities of their own in each group.

    Attributes:
        categories: (n_categories,) the values seen, ascending. counts: (n_groups, n_categories).
        estimate: (n_groups, n_categories) shares.
    """

    categories: np.ndarray
    counts: np.ndarray

    @property
    def estimate(self) -> np.ndarray:
        """Shares of the categories, (n_groups, n_categories)."""
        return np.asarray(self.counts / self.counts.sum(axis=1, keepdims=True))

    def fixed(self, n_draws: int) -> np.ndarray:
        """Probabilities, (n_draws, n_groups, n_categories)."""
        return np.tile(self.estimate, (n_draws, 1, 1))

    def draw(self, n_draws: int, random: np.random.Generator) -> np.ndarray:
        """Probabilities from the Dirichlet posterior of Jeffreys's prior, group by group."""
        return np.stack([random.dirichlet(row + 0.5, n_draws) for row in self.counts], axis=1)

    def values(
        self, parameters: Any, group: np.ndarray, baseline: np.ndarray | None, uniform: np.ndarray
    ) -> np.ndarray:
        """Values of the categories."""
        edges = np.cumsum(parameters, axis=2)[:, :, :-1]
        place = np.zeros(group.shape, int)
        for k in range(edges.shape[2]):
            place += uniform >= np.take_along_axis(edges[:, :, k], group, axis=1)
        return self.categories[place]


@dataclass(frozen=True)
class CountModel:
    """Negative binomial counts: a mean a group, and one dispersion.

    Attributes:
        estimate: (n_groups,) means. dispersion: k of the variance ``mean + k mean²``.
        counts, totals: (n_groups,) known responses, and their sums.
        tried, weights: (m,) dispersions and their posterior probabilities.
    """

    estimate: np.ndarray
    dispersion: float
    counts: np.ndarray
    totals: np.ndarray
    tried: np.ndarray
    weights: np.ndarray

    def fixed(self, n_draws: int) -> tuple[np.ndarray, np.ndarray]:
        """Means (n_draws, n_groups), dispersions (n_draws,)."""
        return np.tile(self.estimate, (n_draws, 1)), np.full(n_draws, self.dispersion)

    def draw(self, n_draws: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """As ``fixed``: the dispersion from its grid, means from gammas of the right variance.

        Without dispersion the gamma is the Jeffreys posterior of a Poisson mean.
        """
        k = random.choice(self.tried, n_draws, p=self.weights)
        middle = (self.totals + 0.5) / self.counts
        inflation = 1.0 + k[:, None] * middle
        return random.gamma((self.totals + 0.5) / inflation) * inflation / self.counts, k

    def values(
        self, parameters: Any, group: np.ndarray, baseline: np.ndarray | None, uniform: np.ndarray
    ) -> np.ndarray:
        """Counts, by inversion of each group's distribution function."""
        means, dispersions = parameters
        out = np.zeros(group.shape)
        for d, k in enumerate(dispersions):
            for g, mean in enumerate(means[d]):
                mine = group[d] == g
                wanted = uniform[d, mine]
                upper = 16
                while True:
                    steps = _count_cdf(np.arange(upper), float(mean), float(k))
                    if steps[-1] >= wanted.max(initial=0.0) or upper > 1 << 20:
                        break
                    upper *= 2
                out[d, mine] = np.searchsorted(steps, wanted, side="left")
        return out


def _count_cdf(counts: np.ndarray, mean: float, dispersion: float) -> np.ndarray:
    if dispersion * mean < 1e-9:
        return np.asarray(pdtr(counts, mean))
    size = 1.0 / dispersion
    return np.asarray(betainc(size, counts + 1.0, size / (size + mean)))


def fit_responses(
    trial: OngoingResponses,
    kind: str,
    group: np.ndarray,
    labels: tuple[str, ...],
    adjust: bool,
    stratum: np.ndarray | None = None,
    n_strata: int = 1,
) -> BinaryModel | ContinuousModel | OrdinalModel | CountModel:
    """Fit the known responses by group.

    Args:
        kind: ``"binary"``, ``"continuous"``, ``"ordinal"`` or ``"count"``.
        group: (n,) index into ``labels``. adjust: whether the mean depends on the baseline.
        stratum: (n,) joint strata, for binary responses whose test is stratified: the groups of the
            model are then ``group * n_strata + stratum``.

    Raises:
        ValueError: if a group has no known response, or there are too few for a variance.
    """
    seen = trial.event
    counts = counts_of(group[seen], labels)
    y, group = trial.response[seen], group[seen]
    if kind == "binary":
        if stratum is not None:
            cell = group * n_strata + stratum[seen]
            n_cells = len(labels) * n_strata
            known = np.bincount(cell, minlength=n_cells).astype(float)
            hits = np.bincount(cell, weights=y, minlength=n_cells)
            cells = cell_rates(hits.reshape(-1, n_strata), known.reshape(-1, n_strata))
            return BinaryModel(cells.rates(cells.estimate), known, hits, cells)
        hits = np.bincount(group, weights=y, minlength=len(labels))
        return BinaryModel(hits / counts, counts, hits)
    if kind == "ordinal":
        categories, place = np.unique(y, return_inverse=True)
        table = np.zeros((len(labels), len(categories)))
        np.add.at(table, (group, place), 1.0)
        return OrdinalModel(categories, table)
    if kind == "count":
        return _fit_counts(y, group, counts)
    x = (group[:, None] == np.arange(len(labels))).astype(float)
    centre = 0.0
    if adjust:
        assert trial.baseline is not None
        centre = float(trial.baseline.mean())
        x = np.column_stack([x, trial.baseline[seen] - centre])
    df = len(y) - x.shape[1]
    if df < 1:
        raise ValueError(
            f"{len(y)} known responses are too few for {x.shape[1]} means and a standard deviation"
        )
    unscaled = np.linalg.inv(x.T @ x)
    beta = unscaled @ x.T @ y
    sd = float(np.sqrt(((y - x @ beta) ** 2).sum() / df))
    slope = float(beta[len(labels)]) if adjust else 0.0
    return ContinuousModel(beta[: len(labels)], slope, sd, centre, beta, unscaled, df)


def counts_of(group: np.ndarray, labels: tuple[str, ...]) -> np.ndarray:
    """Known responses of each group, (n_groups,) float64; every group needs one.

    Raises:
        ValueError: naming a group without.
    """
    counts = np.bincount(group, minlength=len(labels)).astype(float)
    for label, count in zip(labels, counts):
        if count == 0:
            raise ValueError(f"no response is known yet in arm {label!r}: nothing to predict from")
    return counts


def _fit_counts(y: np.ndarray, group: np.ndarray, counts: np.ndarray) -> CountModel:
    """With equal exposures the means are those of the sample, whatever the dispersion."""
    totals = np.bincount(group, weights=y, minlength=len(counts))
    means = np.maximum(totals, 0.5) / counts
    share = (np.arange(_DISPERSIONS) + 0.5) / _DISPERSIONS
    tried = share / (1.0 - share)
    size = (1.0 / tried)[:, None]
    mean = means[group]
    log_likelihood = (
        gammaln(y + size) - gammaln(size) - size * np.log1p(mean / size)
        + y * np.log(mean / (size + mean))
    ).sum(axis=1)  # fmt: skip
    weights = np.exp(log_likelihood - log_likelihood.max())
    best = int(np.argmax(log_likelihood))
    dispersion = 0.0 if best == 0 else float(tried[best])
    return CountModel(means, dispersion, counts, totals, tried, weights / weights.sum())
