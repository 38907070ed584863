"""QSAR: a model of measured values with cross-validated metrics, calibrated intervals, a domain.

``fit_qsar`` cross-validates on whole scaffolds, keeps the out-of-fold predictions as the basis of
conformal intervals (Vovk, Gammerman and Shafer 2005; residuals divided by the model's own spread)
or, for classes, of Venn-Abers probability intervals (Vovk and Petej 2014), and refits on all data.
A molecule less similar to the training set than 95 % of the held-out molecules were is outside the
model's domain, and its interval widens the farther it is from there.

A compound is its parent: a base and its hydrochloride are one row in training and have one
prediction. A value known only as a limit (">10000") is used as what a normal error around the
model's own expectation makes of it (:mod:`molgen.qsar.limits`).

A model is saved as a folder of ``model.json`` (data, settings, out-of-fold predictions) and is
refitted from it when first asked; the graph network's weights stand beside it as safetensors. No
pickle.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from molgen.base.output_places import write_text
from molgen.base.user_warnings import warn_user
from molgen.chem.parsing import MoleculeError, as_smiles_list, canonical, parse
from molgen.qsar.calibration import PROBABILITY_GRID, conformal_factor, metric_table, venn_abers
from molgen.qsar.data import QsarError, TrainingSet, clean_training_set, parent
from molgen.qsar.features import (
    check_features,
    choose_splitter,
    compute_features,
    make_folds,
    morgan_bits,
    nearest_similarity,
)
from molgen.qsar.learners import LEARNERS, Learner, MessagePassingLearner, check_learner
from molgen.qsar.limits import expected_values

if TYPE_CHECKING:
    import pandas as pd

FORMAT_VERSION = 2
_RARE = 0.1
"""A class with a smaller share than this is told to be rare."""


# ---- the model -----------------------------------------------------------------------------------
def _three_digits(value: float) -> str:
    """Three decimals; three digits of a small number, which an error in mol/l is."""
    return f"{value:.3f}" if value == 0 or abs(value) >= 0.01 else f"{value:.3g}"


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
    parents: bool = True

    def key_of(self, smiles: str) -> str:
        """The molecule as the model sees it: its parent (before format 2: as it is written).

        Raises:
            MoleculeError: For what is no whole molecule.
        """
        if self.parents:
            return parent(smiles)
        if not isinstance(smiles, str):
            raise MoleculeError("Not a string.", f"not a string ({type(smiles).__name__})")
        return canonical(parse(smiles))

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
        >>> model.positive, model.quantity, model.learner is not None
        (None, 'prediction', True)
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
        learner: Learner | None = None,
        targets: np.ndarray | None = None,
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
        exact = training_set.exact
        self._factor = conformal_factor(
            (held_out - training_set.y)[exact],
            np.maximum(held_out_spread, self._floor)[exact],
            settings.coverage,
        )
        self._targets = training_set.y if targets is None else targets

    @property
    def learner(self) -> Learner:
        """The fitted learner; of a loaded model it is fitted when first asked for."""
        if self._learner is None:
            texts = list(self.training_set.smiles)
            learner = self.settings.new_learner()
            learner.fit(texts, self.settings.features_of(texts), self._targets)
            self._learner = learner
        return self._learner

    @property
    def task(self) -> str:
        """ "regression" or "classification"."""
        return self.settings.task

    @property
    def y(self) -> np.ndarray:
        """(n,) values of the training molecules (the limit where only that is known)."""
        return self.training_set.y

    @property
    def positive(self) -> Any:
        """The class whose probability is predicted; None for a regression."""
        return self.training_set.classes[1] if self.training_set.classes else None

    @property
    def quantity(self) -> str:
        """What is predicted, for headings: "P(active)" or "prediction"."""
        return "prediction" if self.positive is None else f"P({self.positive})"

    @property
    def metrics(self) -> pd.DataFrame:
        """Cross-validated metrics with 95 % intervals, on the exact values."""
        exact = self.training_set.exact
        return metric_table(self.y[exact], self.held_out[exact], self.task, self.settings.seed)

    def predict(self, smiles: str | Iterable[str]) -> pd.DataFrame:
        """Predictions with intervals and domain.

        Args:
            smiles: One SMILES or many.

        Returns:
            One row a molecule: ``smiles``, ``prediction`` (the value; of a classification the
            probability of :attr:`positive`, which stands once more under its name, such as
            ``P(active)``), ``lower``, ``upper`` (conformal interval of the model's coverage, or
            the Venn-Abers probabilities; wider outside the domain), ``similarity`` (to the
            nearest training molecule), ``in_domain``. Salts are predicted as their parents. Rows
            that are no molecules have NaN, are named in a warning, and stand in
            ``attrs["rejected"]`` with line, smiles and reason.
        """
        import pandas as pd

        texts = as_smiles_list(smiles)
        keys, good, rejected = [], [], []
        for row, text in enumerate(texts):
            try:
                keys.append(self.settings.key_of(text))
                good.append(row)
            except MoleculeError as error:
                rejected.append({"line": row + 1, "smiles": str(text), "reason": error.reason})
        columns = np.full((len(texts), 4), np.nan)
        if good:
            mean, spread = self.learner.predict(keys, self.settings.features_of(keys))
            near = nearest_similarity(morgan_bits(keys), self._bits)
            lower, upper = self._interval(mean, spread, near)
            columns[good] = np.column_stack([mean, lower, upper, near])
        table = pd.DataFrame(columns, columns=["prediction", "lower", "upper", "similarity"])
        table.insert(0, "smiles", pd.Series(texts, dtype=object))
        if self.positive is not None:
            table.insert(2, self.quantity, table["prediction"])
        table["in_domain"] = table["similarity"] >= self.domain_threshold
        table.attrs["rejected"] = rejected
        if rejected:
            first = rejected[0]
            warn_user(
                f"{len(rejected):,} of {len(texts):,} rows are no molecules and have no "
                f"prediction; the first is row {first['line']}: {first['reason']}"
            )
        return table

    def _interval(
        self, mean: np.ndarray, spread: np.ndarray, near: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper ends; outside the domain they go towards what no model would know.

        A share of 1 - similarity / threshold of that ignorance is added: for a value twice the
        standard deviation of the data, for a probability all of [0, 1].
        """
        outside = np.zeros(len(near))
        if self.domain_threshold > 0:
            outside = np.clip(1.0 - near / self.domain_threshold, 0.0, 1.0)
        if self.task == "regression":
            half = self._factor * np.maximum(spread, self._floor)
            ignorance = _normal_quantile(self.settings.coverage) * 2.0 * self.y.std()
            half = np.where(outside > 0, np.hypot(half, outside * ignorance), half)
            return mean - half, mean + half
        if self._abers is None:
            self._abers = venn_abers(self.held_out, self.y)
        lower, upper = (np.interp(mean, PROBABILITY_GRID, row) for row in self._abers)
        return lower * (1.0 - outside), upper + outside * (1.0 - upper)

    def coverage_check(self) -> float:
        """Share of held-out molecules inside their interval, each fold calibrated on the others.

        Regression only, exact values only; NaN for a classification.
        """
        if self.task != "regression":
            return math.nan
        exact = self.training_set.exact
        spread = np.maximum(self.held_out_spread, self._floor)[exact]
        residual = (self.held_out - self.y)[exact]
        folds = self.folds[exact]
        inside = []
        for fold in np.unique(folds):
            out = folds == fold
            factor = conformal_factor(residual[~out], spread[~out], self.settings.coverage)
            inside.append(np.abs(residual[out]) <= factor * spread[out])
        return float(np.mean(np.concatenate(inside)))

    def __str__(self) -> str:
        s, t = self.settings, self.training_set
        lines = [
            f"QSAR {s.task}: {s.model} on {', '.join(s.features)}; {len(t.smiles)} molecules, "
            f"{s.n_folds}-fold {s.splitter} split, seed {s.seed}"
        ]
        if t.classes:
            lines.append(f"{class_counts(t)}; predicted: {self.quantity}")
        lines.append(
            f"left out: {len(t.rejected)} rows; molecules with different values: {len(t.conflicts)}"
        )
        lines += remarks(t)
        lines += [
            self.metrics.to_string(index=False, float_format=_three_digits),
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
                "parents": s.parents,
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
            "relations": list(t.relations),
            "targets": self._targets.tolist(),
            "n_joined": t.n_joined,
            "n_parted": t.n_parted,
            "mirrored": list(t.mirrored),
            "remarks": list(t.remarks),
        }
        if isinstance(self._learner, MessagePassingLearner):
            self._learner.save_weights(folder / "weights.safetensors")
        write_text(folder / "model.json", json.dumps(payload))
        self.path = folder


def _library_versions() -> dict[str, str]:
    import rdkit
    import sklearn

    return {"rdkit": rdkit.__version__, "scikit-learn": sklearn.__version__}


def _spread_floor(y: np.ndarray) -> float:
    """Smallest spread of a prediction: 5 % of the standard deviation of the data."""
    return float(max(0.05 * y.std(), 1e-9))


def _normal_quantile(coverage: float) -> float:
    """How many standard deviations to each side hold a share of ``coverage`` of a normal."""
    from scipy.stats import norm

    return float(norm.ppf(0.5 + coverage / 2.0))


# ---- what the user should know -------------------------------------------------------------------
def class_counts(data: TrainingSet) -> str:
    """How many molecules there are of each class: "classes: inactive 900, active 100"."""
    shown = [
        f"{label} {int((data.y == index).sum()):,}" for index, label in enumerate(data.classes)
    ]
    return f"classes: {', '.join(shown)}"


def remarks(data: TrainingSet) -> list[str]:
    """What was joined, bounded, rare or alike in a training set, one sentence each."""
    told = list(data.remarks)
    if data.n_parted:
        told.append(f"{data.n_parted:,} rows are salts or charged and count as their parents")
    if data.n_joined:
        told.append(f"{data.n_joined:,} rows repeat a compound and were joined to it")
    if n_limits := int((~data.exact).sum()):
        told.append(
            f"{n_limits:,} values are limits (> or <): each is used as the value expected beyond "
            "its limit; metrics and intervals rest on the exact ones"
        )
    if data.mirrored:
        values = {key: data.y[data.smiles.index(key)] for key in data.mirrored[:2]}
        first, second = (f"{key} ({value:g})" for key, value in values.items())
        told.append(
            f"{len(data.mirrored):,} molecules differ from another in stereo alone, which the "
            f"features do not see: they get the same prediction, such as {first} and {second}"
        )
    if data.classes:
        share = float(data.y.mean())
        rare = data.classes[1] if share <= 0.5 else data.classes[0]
        if min(share, 1 - share) < _RARE:
            told.append(
                f"few molecules are {rare} ({min(share, 1 - share):.1%}): judge by pr_auc "
                f"(guessing gives {share:.3f}) and balanced accuracy"
            )
    return told


def fit_qsar(
    smiles: Iterable[str],
    y: Iterable[Any],
    *,
    task: str = "auto",
    positive: Any = None,
    relation: Iterable[Any] | None = None,
    model: str = "ensemble",
    features: Sequence[str] = ("ecfp", "descriptors"),
    splitter: str = "auto",
    n_folds: int = 5,
    coverage: float = 0.9,
    duplicates: str = "median",
    seed: int = 0,
    **options: Any,
) -> QsarModel:
    """Fit a QSAR model.

    Args:
        smiles: Molecules.
        y: Measured values, limits (">10000", "<0.1") or two classes; missing ones (None, NaN,
            "n.d.") are left out and reported.
        task: "regression", "classification" or "auto".
        positive: The class whose probability is predicted. Known words say it themselves (active
            beside inactive, yes, hit, toxic beside non-toxic, True, 1 beside 0); of other classes
            it must be named.
        relation: "=", ">" or "<" beside each value, as ChEMBL's ``standard_relation``.
        model: "ensemble" (forest, boosting and Gaussian process), "random_forest",
            "gradient_boosting", "gaussian_process" or "dmpnn" (DeepChem's graph network).
        features: Blocks of :mod:`molgen.qsar.features`; the graph network reads molecules.
        splitter: How the folds are made, see :func:`molgen.qsar.features.make_folds`; "auto" keeps
            scaffolds whole, and for one congeneric series, which has too few of them, draws
            random folds and says so.
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
    data, task = clean_training_set(smiles, y, task, duplicates, positive, relation)
    texts = list(data.smiles)
    chosen, why = choose_splitter(texts, n_folds, splitter)
    settings = QsarSettings(
        task, model, check_features(features), chosen, n_folds, coverage, seed, dict(options)
    )
    folds = make_folds(texts, n_folds, chosen, seed)
    data = replace(data, remarks=(*data.remarks, *why))
    if data.conflicts:
        warn_user(
            f"{len(data.conflicts)} molecules came with different values; their median is used "
            f"(the first is {data.conflicts[0]['smiles']})"
        )
    for remark in remarks(data):
        warn_user(remark)
    x = settings.features_of(texts)
    bits = morgan_bits(texts)
    relations = np.array(data.relations)
    held_out, spread, near = (np.zeros(len(texts)) for _ in range(3))
    for fold in np.unique(folds):
        out = np.flatnonzero(folds == fold)
        rest = np.flatnonzero(folds != fold)
        near[out] = nearest_similarity(bits[out], bits[rest])
        if len(set(data.y[rest].tolist())) < 2:  # one class only: no model, the class itself
            held_out[out], spread[out] = data.y[rest].mean(), 1.0
            continue
        known = [texts[i] for i in rest]
        targets = expected_values(known, x[rest], data.y[rest], relations[rest], seed)
        learner = settings.new_learner()
        learner.fit(known, x[rest], targets)
        held_out[out], spread[out] = learner.predict([texts[i] for i in out], x[out])
    targets = expected_values(texts, x, data.y, relations, seed)
    learner = settings.new_learner()
    learner.fit(texts, x, targets)
    threshold = float(np.quantile(near, 0.05))
    return QsarModel(settings, data, folds, held_out, spread, threshold, learner, targets)
