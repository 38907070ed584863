"""What a campaign believes of molecules that it has not tested: one Gaussian process a quantity.

Limits (``<5``) enter as what is expected beyond them given the other compounds; a value measured
several times counts with a noise that is as many times smaller.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import norm

from molgen.qsar.gaussian_process import (
    Features,
    Settings,
    Surrogate,
    choose_settings,
    featurize,
    kernel,
    standard,
)

#: Fewer exact values than this teach nothing.
MIN_VALUES = 5
#: Training molecules at most: the best and a fixed share of the others.
_MAX_TRAIN = 3_000
_TUNED = 260
_ROUNDS = 3
_BLOCK = 4_000


class FeatureStore:
    """Features of molecules, worked out once."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._parts: list[Features] = []
        self._whole: Features | None = None

    def of(self, smiles: Sequence[str]) -> Features:
        """Features of molecules, in their order."""
        new = [text for text in dict.fromkeys(smiles) if text not in self._rows]
        if new:
            start = len(self._rows)
            self._parts.append(featurize(new))
            self._rows.update({text: start + k for k, text in enumerate(new)})
            self._whole = None
        if self._whole is None:
            parts = [self._whole, *self._parts] if self._whole else self._parts
            self._whole = Features(
                np.concatenate([p.morgan for p in parts]),
                np.concatenate([p.pairs for p in parts]),
                np.concatenate([p.descriptors for p in parts]),
            )
            self._parts = [self._whole]
        return self._whole.rows(np.array([self._rows[text] for text in smiles], dtype=int))


@dataclass(frozen=True)
class Belief:
    """Predictions of one quantity on its own scale.

    Attributes:
        mean: (n,) float64.
        deviation: (n,) float64, of the true value (a measurement scatters more); NaN: not known.
    """

    mean: np.ndarray
    deviation: np.ndarray | float = np.nan


class QuantityModel:
    """A Gaussian process of one quantity.

    Args:
        features: Of the n tested molecules.
        y: (n,) values and limits, higher or lower as they are.
        relations: (n,) "=", ">" or "<".
        repeats: (n,) measurements behind each value.
        seed: Of the choice of training molecules.
    """

    def __init__(
        self,
        features: Features,
        y: np.ndarray,
        relations: Sequence[str],
        repeats: np.ndarray,
        seed: int,
    ) -> None:
        exact = np.array([r == "=" for r in relations])
        rng = np.random.default_rng([seed, 41])
        if len(y) > _MAX_TRAIN:
            kept = np.sort(rng.permutation(len(y))[:_MAX_TRAIN])
            features, y, exact = features.rows(kept), y[kept], exact[kept]
            relations = [relations[i] for i in kept]
            repeats = repeats[kept]
        self._centre = float(np.mean(y[exact]))
        self._scale = float(max(np.std(y[exact]), 1e-9))
        z = (y - self._centre) / self._scale
        some = np.flatnonzero(exact)
        if len(some) > _TUNED:
            order = some[np.argsort(-z[some], kind="stable")]
            best, rest = order[: _TUNED // 2], order[_TUNED // 2 :]
            some = np.concatenate([best, rng.choice(rest, _TUNED - len(best), replace=False)])
        self.settings = choose_settings(features.rows(some), z[some], ("raw",))
        z = _filled(features, z, relations, exact, self.settings)
        self._shift, self._spread = float(z.mean()), float(max(z.std(), 1e-12))
        self._surrogate = Surrogate(features, z, self.settings, repeats=repeats)

    def mean(self, features: Features) -> np.ndarray:
        """(n,) float64 expectations."""
        means = [self._surrogate.mean(part) for part in _blocks(features)]
        return self._own_scale(np.concatenate(means) if means else np.zeros(0))

    def predict(self, features: Features) -> Belief:
        """Expectations and deviations of molecules."""
        parts = [self._surrogate.predict(part) for part in _blocks(features)]
        mean = np.concatenate([m for m, _ in parts]) if parts else np.zeros(0)
        deviation = np.concatenate([d for _, d in parts]) if parts else np.zeros(0)
        return Belief(self._own_scale(mean), deviation * self._spread * self._scale)

    def _own_scale(self, z: np.ndarray) -> np.ndarray:
        return (z * self._spread + self._shift) * self._scale + self._centre

    @property
    def noise(self) -> float:
        """Standard deviation of one measurement around the true value, as the fit sees it."""
        return float(
            np.sqrt(self.settings.noise * self._surrogate.amplitude) * self._spread * self._scale
        )


def _blocks(features: Features) -> Iterator[Features]:
    for start in range(0, len(features), _BLOCK):
        yield features.rows(np.arange(start, min(start + _BLOCK, len(features))))


def _filled(
    features: Features,
    z: np.ndarray,
    relations: Sequence[str],
    exact: np.ndarray,
    settings: Settings,
) -> np.ndarray:
    """Values in which limits are replaced by what is expected beyond them.

    The expectation of each compound is that of a process that does not see it (leave-one-out).
    """
    if exact.all():
        return z
    side = np.array([1.0 if r == ">" else -1.0 for r in relations])[~exact]
    limit = z[~exact]
    gram = kernel(features, features, standard(features), replace(settings, warp="raw"))
    gram[np.diag_indices_from(gram)] += settings.noise
    inverse = np.linalg.inv(gram)
    variance = 1.0 / np.diag(inverse)
    filled = z.copy()
    for _ in range(_ROUNDS):
        centre = filled.mean()
        alpha = inverse @ (filled - centre)
        left_out = filled - alpha * variance
        amplitude = float(np.mean((alpha * variance)[exact] ** 2 / variance[exact]))
        sigma = np.sqrt(np.maximum(amplitude * variance[~exact], 1e-12))
        distance = side * (limit - left_out[~exact]) / sigma
        hazard = np.exp(norm.logpdf(distance) - norm.logsf(distance))
        beyond = left_out[~exact] + side * sigma * hazard
        filled[~exact] = np.where(side > 0, np.maximum(beyond, limit), np.minimum(beyond, limit))
    return filled
