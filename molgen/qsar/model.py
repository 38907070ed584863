"""QSAR: a model of measured values with cross-validated metrics, calibrated intervals, a domain.

``fit_qsar`` cross-validates on whole scaffolds, keeps the out-of-fold predictions as the basis of
conformal intervals (Vovk, Gammerman and Shafer 2005; residuals divided by the model's own spread)
or, for classes, of Venn-Abers probability intervals (Vovk and Petej 2014), and refits on all data.
A molecule less similar to the training set than 95 % of the held-out molecules were is outside the
model's domain.

A model is saved as a folder of ``model.json`` (data, settings, out-of-fold predictions) and is
refitted when loaded; the graph network's weights stand beside it as safetensors. No pickle.
"""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from molgen.chem.parsing import as_smiles_list, canonical, parse_or_none
from molgen.qsar.calibration import PROBABILITY_GRID, conformal_factor, metric_table, venn_abers
from molgen.qsar.data import QsarError, TrainingSet, clean_training_set
from molgen.qsar.features import (
    check_features,
    compute_features,
    make_folds,
    morgan_bits,
    nearest_similarity,
)
from molgen.qsar.learners import LEARNERS, Learner, MessagePassingLearner, check_learner

if TYPE_CHECKING:
    import pandas as pd

FORMAT_VERSION = 1


# ---- the model -----------------------------------------------------------------------------------
@dataclass(frozen=True)
class QsarSettings:
    """How a model was fitted; see :func:`fit_qsar` for the meaning of each field."""

    task: str
    model: str
    features: tuple[str, ...]
    splitter: str
    n_folds: int
    coverage: float
    seed: int
    options: Mapping[str, Any] = field(default_factory=dict)

    def new_learner(self) -> Learner:
        """An unfitted learner."""
        return LEARNERS[self.model](self.task, self.seed, **self.options)

    def features_of(self, smiles: Sequence[str]) -> np.ndarray:
        """(n, n_features) float32; (n, 0) for a learner that reads the molecules themselves."""
        if not self.new_learner().uses_features:
            return np.zeros((len(smiles), 0), dtype=np.float32)
        return compute_features(smiles, self.features)


class QsarModel:
    """A fitted model, made by :func:`fit_qsar` or :func:`load_qsar`.

    Attributes:
        settings: How it was fitted.
        training_set: Molecules, values, and what was left out.
        folds: (n,) int, the fold in which each training molecule was held out.
        held_out: (n,) float64 out-of-fold predictions.
        held_out_spread: (n,) float64 their spreads.
        domain_threshold: Similarity to the training set below which a molecule is outside.
        path: Where it was saved or loaded, or None.

    Examples:
        >>> import molgen
        >>> smiles = ["C" * n + end for n in range(1, 9) for end in ("O", "N", "Cl")]
        >>> logs = [0.5 * (len(text) - 4) for text in smiles]
        >>> model = molgen.fit_qsar(smiles, logs, seed=0)
        >>> model.task, len(model.y)
        ('regression', 24)
        >>> list(model.metrics)
        ['metric', 'estimate', 'lower', 'upper']
        >>> model.predict(["CCCCN"]).columns.tolist()
        ['smiles', 'prediction', 'lower', 'upper', 'similarity', 'in_domain']
        >>> 0 <= model.coverage_check() <= 1
        True
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     model.save(folder + "/solubility")
        ...     print(molgen.load_qsar(folder + "/solubility").task)
        regression
    """

    def __init__(
        self,
        settings: QsarSettings,
        training_set: TrainingSet,
        folds: np.ndarray,
        held_out: np.ndarray,
        held_out_spread: np.ndarray,
        domain_threshold: float,
        learner: Learner,
    ) -> None:
        self.settings = settings
        self.training_set = training_set
        self.folds = folds
        self.held_out = held_out
        self.held_out_spread = held_out_spread
        self.domain_threshold = domain_threshold
        self.path: Path | None = None
        self._learner = learner
        self._abers: np.ndarray | None = None
        self._bits = morgan_bits(training_set.smiles)
        self._floor = _spread_floor(training_set.y)
        self._factor = conformal_factor(
            held_out - training_set.y,
            np.maximum(held_out_spread, self._floor),
            settings.coverage,
        )

    @property
    def task(self) -> str:
        """ "regression" or "classification"."""
        return self.settings.task

    @property
    def y(self) -> np.ndarray:
        """(n,) values of the training molecules."""
        return self.training_set.y

    @property
    def metrics(self) -> pd.DataFrame:
        """Cross-validated metrics with 95 % intervals."""
        return metric_table(self.y, self.held_out, self.task, self.settings.seed)

    def predict(self, smiles: str | Iterable[str]) -> pd.DataFrame:
        """Predictions with intervals and domain.

        Args:
            smiles: One SMILES or many.

        Returns:
            One row a molecule: ``smiles``, ``prediction`` (value, or probability of the second
            class), ``lower``, ``upper`` (conformal interval of the model's coverage, or the
            Venn-Abers probabilities), ``similarity`` (to the nearest training molecule),
            ``in_domain``. Rows that are no molecules have NaN.
        """
        import pandas as pd

        texts = as_smiles_list(smiles)
        mols = [parse_or_none(text) for text in texts]
        good = [i for i, mol in enumerate(mols) if mol is not None]
        keys = [canonical(mols[i]) for i in good]  # type: ignore[arg-type]
        columns = np.full((len(texts), 4), np.nan)
        if good:
            x = self.settings.features_of(keys)
            mean, spread = self._learner.predict(keys, x)
            if self.task == "regression":
                half = self._factor * np.maximum(spread, self._floor)
                lower, upper = mean - half, mean + half
            else:
                if self._abers is None:
                    self._abers = venn_abers(self.held_out, self.y)
                lower, upper = (np.interp(mean, PROBABILITY_GRID, row) for row in self._abers)
            near = nearest_similarity(morgan_bits(keys), self._bits)
            columns[good] = np.column_stack([mean, lower, upper, near])
        table = pd.DataFrame(columns, columns=["prediction", "lower", "upper", "similarity"])
        table.insert(0, "smiles", pd.Series(texts, dtype=object))
        table["in_domain"] = table["similarity"] >= self.domain_threshold
        return table

    def coverage_check(self) -> float:
        """Share of held-out molecules inside their interval, each fold calibrated on the others.

        Regression only; NaN for a classification.
        """
        if self.task != "regression":
            return math.nan
        spread = np.maximum(self.held_out_spread, self._floor)
        residual = self.held_out - self.y
        inside = []
        for fold in np.unique(self.folds):
            out = self.folds == fold
            factor = conformal_factor(residual[~out], spread[~out], self.settings.coverage)
            inside.append(np.abs(residual[out]) <= factor * spread[out])
        return float(np.mean(np.concatenate(inside)))

    def __str__(self) -> str:
        s, t = self.settings, self.training_set
        lines = [
            f"QSAR {s.task}: {s.model} on {', '.join(s.features)}; {len(t.smiles)} molecules, "
            f"{s.n_folds}-fold {s.splitter} split, seed {s.seed}",
            f"left out: {len(t.rejected)} rows; molecules with different values: "
            f"{len(t.conflicts)}",
            self.metrics.to_string(index=False, float_format=lambda v: f"{v:.3f}"),
            f"domain: similarity to the training set of at least {self.domain_threshold:.2f}",
        ]
        if s.task == "regression":
            lines.append(
                f"intervals of {s.coverage:.0%} held {self.coverage_check():.1%} of held-out folds"
            )
        return "\n".join(lines)

    # ---- files -----------------------------------------------------------------------------------
    def save(self, path: str | Path) -> None:
        """Write a folder with ``model.json`` and, for a graph network, its weights."""
        folder = Path(path)
        if folder.exists() and not folder.is_dir():
            raise QsarError(f"{folder} is a file: a QSAR model is saved as a folder")
        folder.mkdir(parents=True, exist_ok=True)
        s, t = self.settings, self.training_set
        payload = {
            "format": "molgen-qsar",
            "version": FORMAT_VERSION,
            "libraries": _library_versions(),
            "settings": {
                "task": s.task,
                "model": s.model,
                "features": list(s.features),
                "splitter": s.splitter,
                "n_folds": s.n_folds,
                "coverage": s.coverage,
                "seed": s.seed,
                "options": dict(s.options),
            },
            "classes": list(t.classes),
            "rejected": list(t.rejected),
            "conflicts": list(t.conflicts),
            "domain_threshold": self.domain_threshold,
            "smiles": list(t.smiles),
            "y": t.y.tolist(),
            "folds": self.folds.tolist(),
            "held_out": self.held_out.tolist(),
            "held_out_spread": self.held_out_spread.tolist(),
        }
        if isinstance(self._learner, MessagePassingLearner):
            self._learner.save_weights(folder / "weights.safetensors")
        temporary = folder / "model.json.tmp"
        temporary.write_text(json.dumps(payload), encoding="utf-8")
        os.replace(temporary, folder / "model.json")
        self.path = folder


def _library_versions() -> dict[str, str]:
    import rdkit
    import sklearn

    return {"rdkit": rdkit.__version__, "scikit-learn": sklearn.__version__}


def _spread_floor(y: np.ndarray) -> float:
    """A spread below this is not believed: 5 % of the standard deviation of the data."""
    return float(max(0.05 * y.std(), 1e-9))


def fit_qsar(
    smiles: Iterable[str],
    y: Iterable[Any],
    *,
    task: str = "auto",
    model: str = "ensemble",
    features: Sequence[str] = ("ecfp", "descriptors"),
    splitter: str = "scaffold",
    n_folds: int = 5,
    coverage: float = 0.9,
    duplicates: str = "median",
    seed: int = 0,
    **options: Any,
) -> QsarModel:
    """Fit a QSAR model.

    Args:
        smiles: Molecules.
        y: Measured values, or two classes; missing ones (None, NaN) are left out and reported.
        task: "regression", "classification" or "auto".
        model: "ensemble" (forest, boosting and Gaussian process), "random_forest",
            "gradient_boosting", "gaussian_process" or "dmpnn" (DeepChem's graph network).
        features: Blocks of :mod:`molgen.qsar.features`; the graph network reads molecules.
        splitter: How the folds are made, see :func:`molgen.qsar.features.make_folds`.
        n_folds: Number of folds.
        coverage: Share of molecules that intervals are to hold.
        duplicates: "median" or "raise" for molecules that came with different values.
        seed: Random seed.
        **options: Options of the learner, such as ``n_trees`` or ``epochs``.

    Returns:
        The model; print it for its metrics.

    Raises:
        QsarError: For data from which nothing can be learned.
        ValueError: For unknown names.

    Examples:
        >>> import molgen
        >>> smiles = ["C" * n + end for n in range(1, 16) for end in ("O", "N")]
        >>> y = [len(s) / 2 for s in smiles]
        >>> qsar = molgen.fit_qsar(
        ...     smiles,
        ...     y,
        ...     model="random_forest",
        ...     features=["descriptors"],
        ...     splitter="random",
        ...     n_folds=2,
        ... )
        >>> len(qsar.predict(["CCCO"]))
        1
    """
    if not 0.5 <= coverage < 1:
        raise QsarError(f"coverage is a share between 0.5 and 1; got {coverage}")
    check_learner(model)
    data, task = clean_training_set(smiles, y, task, duplicates)
    settings = QsarSettings(
        task, model, check_features(features), splitter, n_folds, coverage, seed, dict(options)
    )
    if data.conflicts:
        warnings.warn(
            f"{len(data.conflicts)} molecules came with different values; their median is used "
            f"(the first is {data.conflicts[0]['smiles']})",
            stacklevel=2,
        )
    texts = list(data.smiles)
    folds = make_folds(texts, n_folds, splitter, seed)
    x = settings.features_of(texts)
    bits = morgan_bits(texts)
    held_out, spread, near = (np.zeros(len(texts)) for _ in range(3))
    for fold in np.unique(folds):
        out = np.flatnonzero(folds == fold)
        rest = np.flatnonzero(folds != fold)
        near[out] = nearest_similarity(bits[out], bits[rest])
        if len(set(data.y[rest].tolist())) < 2:  # one class only: no model, the class itself
            held_out[out], spread[out] = data.y[rest].mean(), 1.0
            continue
        learner = settings.new_learner()
        learner.fit([texts[i] for i in rest], x[rest], data.y[rest])
        held_out[out], spread[out] = learner.predict([texts[i] for i in out], x[out])
    learner = settings.new_learner()
    learner.fit(texts, x, data.y)
    threshold = float(np.quantile(near, 0.05))
    return QsarModel(settings, data, folds, held_out, spread, threshold, learner)
