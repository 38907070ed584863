"""Saved QSAR models read back: ``model.json`` and, of a graph network, ``weights.safetensors``.

A model that was saved before format 2 predicts the class that it predicted then (the second of its
labels in the order of the alphabet) and takes salts as they are written.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from molgen.qsar.data import QsarError, TrainingSet
from molgen.qsar.learners import MessagePassingLearner
from molgen.qsar.model import FORMAT_VERSION, QsarModel, QsarSettings


def load_qsar(path: str | Path) -> QsarModel:
    """Load a saved model; but for a graph network it is refitted when first asked to predict.

    Raises:
        QsarError: If the folder holds no model, or one of a newer format.

    Examples:
        >>> import molgen
        >>> import tempfile
        >>> smiles = ["C" * n + end for n in range(1, 16) for end in ("O", "N")]
        >>> qsar = molgen.fit_qsar(
        ...     smiles,
        ...     [len(s) for s in smiles],
        ...     model="random_forest",
        ...     features=["descriptors"],
        ...     splitter="random",
        ...     n_folds=2,
        ... )
        >>> folder = tempfile.TemporaryDirectory()
        >>> _ = qsar.save(folder.name)
        >>> molgen.load_qsar(folder.name).task
        'regression'
        >>> folder.cleanup()
    """
    folder = Path(path)
    file = folder / "model.json" if folder.is_dir() else folder
    if not file.is_file():
        raise QsarError(f"there is no QSAR model at {folder}: expected a folder with model.json")
    try:
        payload = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise QsarError(f"{file} is damaged: {error}") from error
    if not isinstance(payload, dict) or payload.get("format") != "molgen-qsar":
        raise QsarError(f"{file} is not a QSAR model of molgen")
    if payload["version"] > FORMAT_VERSION:
        raise QsarError(
            f"{file} has format {payload['version']}; this version reads up to {FORMAT_VERSION}"
        )
    plain = dict(payload["settings"])
    plain["features"] = tuple(plain["features"])
    plain.setdefault("parents", False)
    settings = QsarSettings(**plain)
    data = TrainingSet(
        tuple(payload["smiles"]),
        np.array(payload["y"]),
        tuple(payload["classes"]),
        tuple(payload["rejected"]),
        tuple(payload["conflicts"]),
        tuple(payload.get("relations", ())),
        payload.get("n_joined", 0),
        payload.get("n_parted", 0),
        tuple(payload.get("mirrored", ())),
        tuple(payload.get("remarks", ())),
    )
    network = settings.new_learner()
    learner = None
    if isinstance(network, MessagePassingLearner):
        network.load_weights(file.parent / "weights.safetensors")
        learner = network
    model = QsarModel(
        settings,
        data,
        np.array(payload["folds"]),
        np.array(payload["held_out"]),
        np.array(payload["held_out_spread"]),
        payload["domain_threshold"],
        learner,
        np.array(payload["targets"]) if "targets" in payload else None,
    )
    model.path = file.parent
    return model
