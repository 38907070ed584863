"""Several measured columns of one table: a QSAR model of each, side by side.

Each column has a model of its own, fitted to the rows that have a value there; nothing is shared
between them but the molecules, the settings and the seed.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molgen.base.arguments import nearest_name
from molgen.base.user_warnings import warn_user
from molgen.qsar.assay_values import QsarError
from molgen.qsar.model import QsarModel, fit_qsar
from molgen.qsar.saved import load_qsar

if TYPE_CHECKING:
    import pandas as pd


class QsarPanel(Mapping[str, QsarModel]):
    """Models by the name of their column, made by :func:`fit_panel` or :func:`load_panel`.

    Attributes:
        failed: Columns for which there is no model, with the reason.

    Examples:
        >>> from molgen.qsar.panel import fit_panel
        >>> smiles = ["C" * n + end for n in range(1, 16) for end in ("O", "N")]
        >>> sizes = {"atoms": [len(s) for s in smiles], "half": [len(s) / 2 for s in smiles]}
        >>> panel = fit_panel(smiles, sizes, model="gaussian_process", n_folds=2)
        >>> list(panel), panel["half"].task
        (['atoms', 'half'], 'regression')
        >>> panel.predict(["CCO"]).columns.tolist()[:4]
        ['smiles', 'atoms', 'atoms lower', 'atoms upper']
    """

    def __init__(self, models: Mapping[str, QsarModel], failed: Mapping[str, str]) -> None:
        self._models = dict(models)
        self.failed = dict(failed)

    def __getitem__(self, name: str) -> QsarModel:
        if name not in self._models:
            raise KeyError(
                f"the panel has no model {name!r}.{nearest_name(name, list(self._models))} "
                f"It has: {', '.join(self._models)}"
            )
        return self._models[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)

    def predict(self, smiles: str | Iterable[str]) -> pd.DataFrame:
        """One row a molecule: of each column the prediction, its interval and the domain.

        The columns are ``NAME`` (of classes ``NAME P(class)``), ``NAME lower``, ``NAME upper`` and
        ``NAME in_domain``.
        """
        import pandas as pd

        texts = [smiles] if isinstance(smiles, str) else list(smiles)
        columns: dict[str, Any] = {"smiles": pd.Series(texts, dtype=object)}
        rejected: list[Any] = []
        for index, (name, model) in enumerate(self._models.items()):
            with warnings.catch_warnings():
                if index:  # the rows that are no molecules are told once
                    warnings.simplefilter("ignore", UserWarning)
                table = model.predict(texts)
            rejected = table.attrs["rejected"]
            label = name if model.positive is None else f"{name} {model.quantity}"
            columns[label] = table["prediction"]
            for part in ("lower", "upper", "in_domain"):
                columns[f"{name} {part}"] = table[part]
        result = pd.DataFrame(columns)
        result.attrs["rejected"] = rejected
        return result

    def __str__(self) -> str:
        parts = [f"{name}\n{model}" for name, model in self._models.items()]
        parts += [f"{name}\nno model: {reason}" for name, reason in self.failed.items()]
        return "\n\n".join(parts)

    def save(self, path: str | Path) -> None:
        """Write a folder with ``panel.json`` and one folder a model."""
        folder = Path(path)
        if folder.exists() and not folder.is_dir():
            raise QsarError(f"{folder} is a file: a panel of QSAR models is saved as a folder")
        folder.mkdir(parents=True, exist_ok=True)
        places = {}
        for index, (name, model) in enumerate(self._models.items(), start=1):
            places[name] = f"model-{index}"
            model.save(folder / places[name])
        plain = {"format": "molgen-qsar-panel", "models": places, "failed": self.failed}
        (folder / "panel.json").write_text(json.dumps(plain, indent=1), encoding="utf-8")


def fit_panel(
    smiles: Iterable[str],
    columns: Mapping[str, Iterable[Any]] | pd.DataFrame,
    *,
    positive: Any = None,
    relation: Mapping[str, Iterable[Any]] | None = None,
    **options: Any,
) -> QsarPanel:
    """Fit a model to each of several measured columns.

    Args:
        smiles: Molecules.
        columns: Name -> values, or a table; each as :func:`molgen.fit_qsar` takes ``y``.
        positive: The class to predict: one for all columns, or a mapping from names of columns.
        relation: Name of a column -> "=", ">" or "<" beside each of its values.
        **options: As :func:`molgen.fit_qsar` takes them.

    Returns:
        The models. A column that cannot be learned has none: a warning and ``failed`` say why.

    Raises:
        QsarError: If not one of the columns can be learned.
    """
    texts = [smiles] if isinstance(smiles, str) else list(smiles)
    models, failed = {}, {}
    for name, values in columns.items():
        label = str(name)
        chosen = positive.get(label) if isinstance(positive, Mapping) else positive
        signs = None if relation is None else relation.get(label)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            try:
                models[label] = fit_qsar(texts, values, positive=chosen, relation=signs, **options)
            except QsarError as error:
                failed[label] = str(error)
        for warning in caught:
            warn_user(f"{label}: {warning.message}", warning.category)
    if not models:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise QsarError(f"no column can be learned: {reasons or 'there is none'}")
    for name, reason in failed.items():
        warn_user(f"{name} has no model: {reason}")
    return QsarPanel(models, failed)


def load_panel(path: str | Path) -> QsarPanel:
    """Load what :meth:`QsarPanel.save` wrote.

    Raises:
        QsarError: If the folder holds no panel.
    """
    folder = Path(path)
    file = folder / "panel.json"
    if not file.is_file():
        raise QsarError(f"there is no panel of QSAR models at {folder}: expected panel.json in it")
    try:
        plain = json.loads(file.read_text(encoding="utf-8"))
        places = {str(name): Path(place).name for name, place in plain["models"].items()}
        failed = {str(name): str(reason) for name, reason in plain["failed"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise QsarError(f"{file} is damaged: {error}") from error
    return QsarPanel({name: load_qsar(folder / place) for name, place in places.items()}, failed)
