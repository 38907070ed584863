"""The part of a trained model's folder that may be shared, in a folder of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from molgen.base.output_places import write_text
from molgen.model.checkpoints import read_model, save_model

KEPT = (
    "version",
    "steps",
    "training",
    "privacy",
    "stopped",
    "sampling",
)  # of the card: no data, no paths
FEWEST = 5  # occurrences that a motif needs in the secret set to stay in the vocabulary
WARNING = "SECRET.txt"
#: What a training run leaves in its folder, from which molecules are read or rebuilt.
SECRET_NAMES = (WARNING, "trees", "note.json", "refused.csv", "state.json", "state-*.safetensors")
SECRET = """This folder is as secret as the molecules that the model was trained on.

It holds the motif trees, from which every training molecule is rebuilt, molecules that were
refused, and the state of the optimiser. Share none of it. What may be shared is written by

    molgen export THIS_FOLDER --output SHARED
"""


def mark_secret(folder: str | os.PathLike) -> Path:
    """Write a note into a training folder that says what it holds."""
    path = Path(folder) / WARNING
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, SECRET)
    return path


def export_model(model: str | os.PathLike, output: str | os.PathLike, half: bool = False) -> Path:
    """Write the part of a trained model that may be shared: weights, vocabulary and a short card.

    The motif trees, refused molecules, logs, optimiser state, paths and the fingerprint of the
    training set stay behind. The weights remember molecules as far as an attack can show: audit
    them (`molgen.audit`) before they leave the house.

    Args:
        model: folder of `molgen.train`, `train_audited` or `train_privately`, or a shipped model.
        output: a folder that does not exist or is empty. half: weights as 16-bit floats.

    Raises:
        ValueError: ``output`` holds files; or the vocabulary came from the training set and may
            hold motifs that occur there fewer than `FEWEST` times.

    Examples:
        >>> import molgen, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> shared = molgen.export_model("moses", folder.name + "/shared")
        >>> sorted(path.name for path in shared.iterdir())
        ['model.json', 'model.safetensors']
        >>> folder.cleanup()
    """
    network, prior, card = read_model(model)
    output = Path(output)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(
            f"{output} is not an empty folder; what is shared goes into one of its own"
        )
    training: dict[str, Any] = card.get("training") or {}
    least = training.get("min_count", FEWEST)
    if card.get("started_from") is None and least < FEWEST:
        raise ValueError(
            f"the vocabulary was made of the training set with min_count={least}: a motif that "
            f"occurs so seldom names its molecule. Train with min_count={FEWEST} or more, or "
            "start from a model (start_from=)"
        )
    kept = {name: card[name] for name in KEPT if name in card}
    started = card.get("started_from")
    if started is not None:
        kept["started_from"] = Path(str(started)).name
    return save_model(output, network, prior, {"name": output.name, **kept}, half)
