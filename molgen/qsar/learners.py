"""The learners behind a QSAR model: scikit-learn's, a Tanimoto Gaussian process, DeepChem's D-MPNN.

Each is fitted with SMILES, features and targets, and predicts a mean and a spread (a measure of its
own doubt, made a calibrated interval by :mod:`molgen.qsar.model`). Targets of a classification are
0 and 1 and the mean is a probability.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from molgen.base.arguments import nearest_name
from molgen.qsar.features import import_deepchem, quiet_deepchem
from molgen.qsar.gaussian_process import Surrogate, choose_settings, featurize


class Learner(Protocol):
    """What every learner can do.

    Attributes:
        uses_features: False if it reads the molecules themselves; ``x`` is then empty.
    """

    uses_features: bool

    def fit(self, smiles: Sequence[str], x: np.ndarray, y: np.ndarray) -> None:
        """Learn from n molecules: x (n, n_features) float32, y (n,) float64."""

    def predict(self, smiles: Sequence[str], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and spread, (n,) float64 each."""


def varies(x: np.ndarray, least: int) -> np.ndarray:
    """(n_features,) bool: at least ``least`` rows differ from the column's median."""
    return (x != np.median(x, axis=0)).sum(0) >= least


class ForestLearner:
    """Random forest; the spread is the standard deviation over its trees."""

    uses_features = True

    def __init__(self, task: str, seed: int, n_trees: int = 300) -> None:
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        kind = RandomForestClassifier if task == "classification" else RandomForestRegressor
        self._task = task
        self._forest = kind(
            n_estimators=n_trees,
            max_features="sqrt" if task == "classification" else 0.33,
            min_samples_leaf=1,
            random_state=seed,
            n_jobs=1,
        )

    def fit(self, smiles: Sequence[str], x: np.ndarray, y: np.ndarray) -> None:
        """See :class:`Learner`."""
        self._forest.fit(x, y)

    def predict(self, smiles: Sequence[str], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Learner`."""
        if self._task == "classification":
            each = np.stack([tree.predict_proba(x)[:, 1] for tree in self._forest.estimators_])
        else:
            each = np.stack([tree.predict(x) for tree in self._forest.estimators_])
        return each.mean(0), each.std(0)


class BoostingLearner:
    """Gradient boosting on the features; the spread is over members with subsamples of their own.

    Columns that hardly vary in training (fewer than three molecules differ from the rest) are left
    out: most fingerprint bits are such, and each would cost as much as a useful one.
    """

    uses_features = True

    def __init__(self, task: str, seed: int, n_members: int = 3) -> None:
        self._task, self._seed, self._n_members = task, seed, n_members
        self._members: list[Any] = []
        self._columns = np.zeros(0, dtype=int)

    def fit(self, smiles: Sequence[str], x: np.ndarray, y: np.ndarray) -> None:
        """See :class:`Learner`."""
        from sklearn.ensemble import (
            HistGradientBoostingClassifier,
            HistGradientBoostingRegressor,
        )

        self._columns = np.flatnonzero(varies(x, 3))
        x = x[:, self._columns]
        classify = self._task == "classification"
        kind = HistGradientBoostingClassifier if classify else HistGradientBoostingRegressor
        self._members = []
        for member in range(self._n_members):
            rng = np.random.default_rng([self._seed, 21, member])
            chosen = rng.random(len(y)) < 0.9
            if classify and len(set(y[chosen].tolist())) < 2:
                chosen[:] = True
            model = kind(
                learning_rate=0.06,
                max_iter=250,
                max_leaf_nodes=15,
                l2_regularization=1.0,
                max_features=0.3,
                max_bins=63,
                early_stopping=False,
                random_state=self._seed + member,
            )
            self._members.append(model.fit(x[chosen], y[chosen]))

    def predict(self, smiles: Sequence[str], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Learner`."""
        x = x[:, self._columns]
        if self._task == "classification":
            each = np.stack([model.predict_proba(x)[:, 1] for model in self._members])
        else:
            each = np.stack([model.predict(x) for model in self._members])
        return each.mean(0), each.std(0)


class ProcessLearner:
    """Gaussian process of the search's surrogate (MinMax kernels and descriptors).

    For a classification the 0/1 target is regressed and cut to [0, 1].
    """

    uses_features = False

    def __init__(self, task: str, seed: int) -> None:
        self._task, self._seed = task, seed

    def fit(self, smiles: Sequence[str], x: np.ndarray, y: np.ndarray) -> None:
        """See :class:`Learner`."""
        features = featurize(list(smiles))
        rng = np.random.default_rng([self._seed, 31])
        sample = rng.permutation(len(y))[:500]
        settings = choose_settings(features.rows(sample), y[sample], warps=("raw",))
        self._process = Surrogate(features, y, settings)
        self._centre, self._scale = float(y.mean()), float(max(y.std(), 1e-12))

    def predict(self, smiles: Sequence[str], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Learner`."""
        mean, spread = self._process.predict(featurize(list(smiles)))
        mean = mean * self._scale + self._centre
        if self._task == "classification":
            mean = np.clip(mean, 0.0, 1.0)
        return mean, spread * self._scale


class EnsembleLearner:
    """The mean of forest, boosting and Gaussian process; the spread joins theirs and their
    disagreement."""

    uses_features = True

    def __init__(self, task: str, seed: int) -> None:
        self._members: list[Learner] = [
            ForestLearner(task, seed),
            BoostingLearner(task, seed),
            ProcessLearner(task, seed),
        ]

    def fit(self, smiles: Sequence[str], x: np.ndarray, y: np.ndarray) -> None:
        """See :class:`Learner`."""
        for member in self._members:
            member.fit(smiles, x, y)

    def predict(self, smiles: Sequence[str], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Learner`."""
        answers = [member.predict(smiles, x) for member in self._members]
        means = np.stack([mean for mean, _ in answers])
        spreads = np.stack([spread for _, spread in answers])
        return means.mean(0), np.sqrt((spreads**2).mean(0) + means.var(0))


class MessagePassingLearner:
    """DeepChem's D-MPNN (the architecture of chemprop); the spread is over its members."""

    uses_features = False

    def __init__(self, task: str, seed: int, epochs: int = 40, n_members: int = 1) -> None:
        self._task, self._seed, self._epochs = task, seed, epochs
        self._n_members = n_members
        self._models: list[Any] = []
        self._centre, self._scale = 0.0, 1.0

    def _new_model(self, member: int) -> Any:
        import torch

        deepchem = import_deepchem()
        with quiet_deepchem(), torch.random.fork_rng():
            torch.manual_seed(self._seed + member)
            return deepchem.models.DMPNNModel(
                mode=self._task,
                n_classes=2,
                n_tasks=1,
                batch_size=50,
                learning_rate=1e-3,
                global_features_size=0,
                device="cpu",
            )

    @staticmethod
    def _graphs(smiles: Sequence[str]) -> Any:
        deepchem = import_deepchem()
        with quiet_deepchem():
            return deepchem.feat.DMPNNFeaturizer().featurize(list(smiles))

    def fit(self, smiles: Sequence[str], x: np.ndarray, y: np.ndarray) -> None:
        """See :class:`Learner`."""
        import torch

        deepchem = import_deepchem()
        if self._task == "regression":
            self._centre, self._scale = float(y.mean()), float(max(y.std(), 1e-12))
        target = (y - self._centre) / self._scale
        graphs = self._graphs(smiles)
        self._models = []
        for member in range(self._n_members):
            model = self._new_model(member)
            with quiet_deepchem(), torch.random.fork_rng():
                torch.manual_seed(self._seed + 100 + member)
                # DeepChem shuffles batches with NumPy's global state: put back what was there.
                state = np.random.get_state()  # noqa: NPY002
                np.random.seed(self._seed + member)  # noqa: NPY002
                try:
                    dataset = deepchem.data.NumpyDataset(X=graphs, y=target.reshape(-1, 1))
                    model.fit(dataset, nb_epoch=self._epochs)
                finally:
                    np.random.set_state(state)  # noqa: NPY002
            self._models.append(model)

    def predict(self, smiles: Sequence[str], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Learner`."""
        deepchem = import_deepchem()
        graphs = self._graphs(smiles)
        answers = []
        with quiet_deepchem():
            for model in self._models:
                output = np.asarray(model.predict(deepchem.data.NumpyDataset(X=graphs)))
                output = output.reshape(len(smiles), -1)
                answers.append(output[:, -1] * self._scale + self._centre)
        each = np.stack(answers)
        spread = each.std(0) if len(each) > 1 else np.full(each.shape[1], self._scale * 0.5)
        return each.mean(0), spread

    # ---- weights ---------------------------------------------------------------------------------
    def save_weights(self, path: Path) -> None:
        """Write the networks' weights as safetensors."""
        import torch
        from safetensors.torch import save_file

        tensors = {
            f"{member}.{name}": value.detach().clone().contiguous()
            for member, model in enumerate(self._models)
            for name, value in model.model.state_dict().items()
        }
        tensors["target"] = torch.tensor([self._centre, self._scale], dtype=torch.float64)
        save_file(tensors, str(path))

    def load_weights(self, path: Path) -> None:
        """Read what :meth:`save_weights` wrote."""
        from safetensors.torch import load_file

        tensors = load_file(str(path))
        self._centre, self._scale = tensors.pop("target").tolist()
        self._models = []
        for member in range(self._n_members):
            model = self._new_model(member)
            prefix = f"{member}."
            model.model.load_state_dict(
                {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            )
            model.model.eval()
            self._models.append(model)


LEARNERS: dict[str, Callable[..., Learner]] = {
    "ensemble": EnsembleLearner,
    "random_forest": ForestLearner,
    "gradient_boosting": BoostingLearner,
    "gaussian_process": ProcessLearner,
    "dmpnn": MessagePassingLearner,
}
"""Name -> learner(task, seed, **options)."""


def check_learner(name: str) -> str:
    """``name``, after it was found in :data:`LEARNERS`; ValueError with the nearest otherwise."""
    if name not in LEARNERS:
        raise ValueError(
            f"unknown model {name!r}.{nearest_name(name, tuple(LEARNERS))} "
            f"The models are: {', '.join(LEARNERS)}"
        )
    return name
