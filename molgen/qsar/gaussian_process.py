"""A Gaussian process that learns an objective from the oracle calls already paid for.

It ranks proposals, so that the next calls go to the promising ones. It sees nothing but the
search's own history: no labelled molecule comes from elsewhere.

Kernel: a weighted sum of MinMax (Tanimoto) kernels on unfolded Morgan and atom-pair counts (each
count written as a thermometer and hashed) and a squared-exponential kernel on physical
descriptors. Weights and noise are chosen on a small grid by the leave-one-out predictive density
(Rasmussen and Williams 2006, section 5.4.2); scores are warped first (raw, logarithm or normal
ranks), whichever gives the best leave-one-out rank correlation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator, rdMolDescriptors
from rdkit.Chem.Crippen import MolLogP  # type: ignore[attr-defined]
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.stats import norm, rankdata

from molgen.chem.similarity import pack, weighted_similarity

N_BITS = 2048
_MORGAN = rdFingerprintGenerator.GetMorganGenerator(radius=3)
_ATOM_PAIRS = rdFingerprintGenerator.GetAtomPairGenerator(maxDistance=10)
_ROTATABLE = rdMolDescriptors.NumRotatableBondsOptions.NonStrict  # a fifth of the strict one's cost
_COUNTED = ("C", "N", "O", "F", "P", "S", "Cl", "Br")
_FORMULA = re.compile(r"([A-Z][a-z]?)(\d*)")
_MAX_COUNT = 16
# Weights of (Morgan, atom pairs, descriptors): from one view alone to all three alike.
_MIXES = ((0.8, 0.1, 0.1), (0.1, 0.8, 0.1), (0.1, 0.1, 0.8), (0.34, 0.33, 0.33), (0.45, 0.45, 0.1))
_NOISES = (1e-3, 1e-2, 1e-1)
_LENGTHS = (1.5, 4.0)


@dataclass(frozen=True)
class Features:
    """What the kernel sees of n molecules.

    Attributes:
        morgan: (n, N_BITS) uint8, 0 or 1.
        pairs: (n, N_BITS) uint8, 0 or 1.
        descriptors: (n, 17) float64, unscaled.
    """

    morgan: np.ndarray
    pairs: np.ndarray
    descriptors: np.ndarray

    def __len__(self) -> int:
        return len(self.morgan)

    def rows(self, index: np.ndarray | Sequence[int]) -> Features:
        """The features of the molecules at ``index``."""
        return Features(self.morgan[index], self.pairs[index], self.descriptors[index])


def _thermometer(elements: dict[int, int]) -> np.ndarray:
    keys = np.fromiter(elements.keys(), dtype=np.uint64, count=len(elements))
    counts = np.fromiter(elements.values(), dtype=np.int64, count=len(elements))
    counts = np.minimum(counts, _MAX_COUNT)
    repeated = np.repeat(keys, counts)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    level = (np.arange(len(repeated)) - starts).astype(np.uint64)
    mixed = (repeated + level * np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9)
    return (mixed >> np.uint64(40)) % np.uint64(N_BITS)


def featurize(molecules: Sequence[str | Chem.Mol]) -> Features:
    """Features of molecules (valid SMILES or RDKit molecules), one row each."""
    morgan = np.zeros((len(molecules), N_BITS), dtype=np.uint8)
    pairs = np.zeros((len(molecules), N_BITS), dtype=np.uint8)
    descriptors = np.zeros((len(molecules), 9 + len(_COUNTED)))
    for row, molecule in enumerate(molecules):
        mol = Chem.MolFromSmiles(molecule) if isinstance(molecule, str) else molecule
        circles = _MORGAN.GetSparseCountFingerprint(mol).GetNonzeroElements()
        morgan[row, _thermometer(circles)] = 1
        paths = _ATOM_PAIRS.GetSparseCountFingerprint(mol).GetNonzeroElements()
        pairs[row, _thermometer(paths)] = 1
        descriptors[row] = _describe(mol)
    return Features(morgan, pairs, descriptors)


def _describe(mol: Chem.Mol) -> list[float]:
    formula = rdMolDescriptors.CalcMolFormula(mol)
    counts = {symbol: int(number or 1) for symbol, number in _FORMULA.findall(formula)}
    return [
        MolLogP(mol),
        rdMolDescriptors.CalcTPSA(mol) / 10.0,
        rdMolDescriptors.CalcNumRings(mol),
        rdMolDescriptors.CalcNumAromaticRings(mol),
        rdMolDescriptors.CalcNumHBD(mol),
        rdMolDescriptors.CalcNumHBA(mol),
        rdMolDescriptors.CalcNumRotatableBonds(mol, _ROTATABLE),
        float(mol.GetNumHeavyAtoms()),
        float(counts.get("H", 0)),
        *(float(counts.get(symbol, 0)) for symbol in _COUNTED),
    ]


def similarities(features: Features, index: int) -> np.ndarray:
    """(n,) Tanimoto similarity on Morgan counts of every molecule to the one at ``index``."""
    return _min_max(features.morgan, features.morgan[index : index + 1])[:, 0]


def concatenate(parts: Sequence[Features]) -> Features:
    """Features of several sets, one after the other."""
    return Features(
        np.concatenate([part.morgan for part in parts]),
        np.concatenate([part.pairs for part in parts]),
        np.concatenate([part.descriptors for part in parts]),
    )


def _min_max(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    # products of zeros and ones are exact in float32
    x, y = a.astype(np.float32, copy=False), b.astype(np.float32, copy=False)
    shared = x @ y.T
    return shared / np.maximum(x.sum(1)[:, None] + y.sum(1)[None, :] - shared, 1.0)


class Overlaps:
    """Similarities within a training set that changes little from one fit to the next."""

    def __init__(self) -> None:
        self._index = np.zeros(0, dtype=int)
        self._grams = (np.zeros((0, 0), np.float32), np.zeros((0, 0), np.float32))

    def of(self, features: Features, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Similarities, on Morgan and on atom-pair counts, among some of the molecules.

        Args:
            features: Features of all molecules; those asked for before stand where they stood.
            index: (n,) which of them.

        Returns:
            Two (n, n) float32 arrays; only what the last call did not have is worked out.
        """
        place = np.full(len(features), -1)
        place[self._index] = np.arange(len(self._index))
        known = place[index] >= 0
        old = place[index[known]]
        grams = []
        for view, before in zip((features.morgan, features.pairs), self._grams, strict=True):
            gram = np.empty((len(index), len(index)), np.float32)
            gram[np.ix_(known, known)] = before[np.ix_(old, old)]
            if not known.all():
                fresh = _min_max(view[index[~known]], view[index])
                gram[~known] = fresh
                gram[:, ~known] = fresh.T
            grams.append(gram)
        self._index, self._grams = index, (grams[0], grams[1])
        return self._grams


def _warp(scores: np.ndarray, name: str) -> np.ndarray:
    if name == "raw":
        warped = scores.astype(float)
    elif name == "log":
        warped = np.log(np.maximum(scores, 1e-4))
    else:
        warped = norm.ppf((rankdata(scores) - 0.5) / len(scores))
    spread = warped.std()
    return (warped - warped.mean()) / (spread if spread > 1e-12 else 1.0)


@dataclass(frozen=True)
class Settings:
    """Hyper-parameters: score warp, kernel weights, length scale (in deviations), noise."""

    warp: str = "rank"
    mix: tuple[float, float, float] = _MIXES[3]
    length: float = 4.0
    noise: float = 1e-2


def _kernels(
    a: Features, b: Features, centre: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Morgan kernel, atom-pair kernel and squared descriptor distance per dimension."""
    return (
        _min_max(a.morgan, b.morgan),
        _min_max(a.pairs, b.pairs),
        _squared_distances(a, b, centre, scale),
    )


def _squared_distances(
    a: Features, b: Features, centre: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    x = (a.descriptors - centre) / scale
    y = (b.descriptors - centre) / scale
    return np.maximum((x**2).sum(1)[:, None] + (y**2).sum(1)[None, :] - 2 * x @ y.T, 0.0)


def _mixed(kernels: tuple[np.ndarray, np.ndarray, np.ndarray], settings: Settings) -> np.ndarray:
    morgan, pairs, squared = kernels
    weights = settings.mix
    bell = np.exp(-0.5 * squared / settings.length**2)
    return weights[0] * morgan + weights[1] * pairs + weights[2] * bell


def kernel(
    a: Features, b: Features, centre_scale: tuple[np.ndarray, np.ndarray], settings: Settings
) -> np.ndarray:
    """(n, m) covariances of two sets, with the descriptors' ``standard`` of the training set."""
    return _mixed(_kernels(a, b, *centre_scale), settings)


def choose_settings(
    features: Features, scores: np.ndarray, warps: Sequence[str] = ("raw", "log", "rank")
) -> Settings:
    """The hyper-parameters with the best leave-one-out prediction on these molecules.

    Args:
        features: Features of n molecules (a few hundred suffice).
        scores: (n,) their scores.
        warps: The score warps to choose among.
    """
    centre, scale = standard(features)
    kernels = _kernels(features, features, centre, scale)
    best: tuple[float, Settings] | None = None
    for warp in warps:
        warped = _warp(scores, warp)
        density_best: tuple[float, float, Settings] | None = None
        for mix in _MIXES:
            for length in _LENGTHS:
                for noise in _NOISES:
                    settings = Settings(warp, mix, length, noise)
                    gram = _mixed(kernels, settings)
                    gram[np.diag_indices_from(gram)] += noise
                    inverse = np.linalg.inv(gram)
                    alpha = inverse @ warped
                    variance = 1.0 / np.diag(inverse)
                    residual = alpha * variance
                    # The amplitude that fits these residuals best, in closed form.
                    amplitude = float(np.mean(residual**2 / variance)) + 1e-12
                    density = -0.5 * float(np.mean(np.log(variance * amplitude)))
                    agreement = _rank_correlation(warped - residual, scores)
                    if density_best is None or density > density_best[0]:
                        density_best = (density, agreement, settings)
        assert density_best is not None
        if best is None or density_best[1] > best[0] + 0.005:
            best = (density_best[1], density_best[2])
    assert best is not None
    return best[1]


def _rank_correlation(predicted: np.ndarray, actual: np.ndarray) -> float:
    """Spearman correlation over the better half, where the search has to choose."""
    top = actual >= np.median(actual)
    a, b = rankdata(predicted[top]), rankdata(actual[top])
    if a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def standard(features: Features) -> tuple[np.ndarray, np.ndarray]:
    """Centre and scale of the descriptors, (17,) each."""
    scale = features.descriptors.std(0)
    # A descriptor that never varied in training must not explode when it first does.
    return features.descriptors.mean(0), np.maximum(scale, 0.5)


class Surrogate:
    """A fitted Gaussian process.

    Args:
        features: Features of the n training molecules.
        scores: (n,) their scores.
        settings: Hyper-parameters, from :func:`choose_settings`.
        overlaps: (n, n) Tanimoto similarities of the training molecules on Morgan and on
            atom-pair counts, where they are at hand (:class:`Overlaps`).
        repeats: (n,) measurements behind each score, which divide its noise; one each by default.

    Attributes:
        amplitude: Variance of the process in units of its kernel.
    """

    def __init__(
        self,
        features: Features,
        scores: np.ndarray,
        settings: Settings,
        overlaps: tuple[np.ndarray, np.ndarray] | None = None,
        repeats: np.ndarray | None = None,
    ) -> None:
        self.settings = settings
        # Converted once: every prediction compares with all of them.
        features = Features(
            features.morgan.astype(np.float32),
            features.pairs.astype(np.float32),
            features.descriptors,
        )
        self._packed: tuple[np.ndarray, np.ndarray] | None = None  # until means are asked for
        self._features = features
        self._centre, self._scale = standard(features)
        warped = _warp(scores, settings.warp)
        standardised = (self._centre, self._scale)
        if overlaps is None:
            kernels = _kernels(features, features, *standardised)
        else:
            squared = _squared_distances(features, features, *standardised)
            kernels = (*overlaps, squared)
        gram = _mixed(kernels, settings)
        gram[np.diag_indices_from(gram)] += settings.noise / (1 if repeats is None else repeats)
        self._factor = cholesky(gram, lower=True)
        self._alpha = cho_solve((self._factor, True), warped)
        self.amplitude = float(max(warped @ self._alpha / len(warped), 1e-6))
        self.best = float(warped.max())

    def mean(self, features: Features) -> np.ndarray:
        """(n,) float64 means alone, which cost a part of what :meth:`predict` costs."""
        if self._packed is None:
            self._packed = (pack(self._features.morgan), pack(self._features.pairs))
        weights = self.settings.mix
        squared = _squared_distances(features, self._features, self._centre, self._scale)
        total = weights[2] * (np.exp(-0.5 * squared / self.settings.length**2) @ self._alpha)
        for view, known, weight in zip(
            (features.morgan, features.pairs), self._packed, weights[:2], strict=True
        ):
            total += weight * weighted_similarity(pack(view), known, self._alpha)
        return total

    def predict(self, features: Features) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation, (n,) float64 each, on the warped scale."""
        cross = _mixed(_kernels(features, self._features, self._centre, self._scale), self.settings)
        mean = cross @ self._alpha
        solved = solve_triangular(self._factor, cross.T, lower=True)
        variance = np.maximum(sum(self.settings.mix) - (solved**2).sum(0), 1e-9)
        return mean, np.sqrt(variance * self.amplitude)
