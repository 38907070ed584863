"""Which models there are, and what their cards say: without the weights, and without PyTorch."""

from __future__ import annotations

import json
import os
from importlib.resources import files
from pathlib import Path
from typing import Any

from molgen.model.config import ModelConfig

CARD, WEIGHTS = "model.json", "model.safetensors"


def shipped_models() -> list[str]:
    """Names of the checkpoints inside the package."""
    folder = files("molgen") / "models"
    if not folder.is_dir():
        return []
    return sorted(f.name for f in folder.iterdir() if f.is_dir() and (f / CARD).is_file())


def find_model(name: str | os.PathLike) -> Path:
    """The folder of a shipped model or of a path; raises FileNotFoundError naming both."""
    shipped = shipped_models()
    if str(name) in shipped:
        return Path(str(files("molgen") / "models" / str(name)))
    folder = Path(name)
    if not (folder / CARD).is_file():
        raise FileNotFoundError(
            f"no model at {str(name)!r}: expected one of the shipped models ({', '.join(shipped)}) "
            f"or a folder with {CARD} and {WEIGHTS}"
        )
    return folder


def read_card(name: str | os.PathLike) -> dict[str, Any]:
    """A model's card alone; raises ValueError if it is not one."""
    path = find_model(name) / CARD
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        ModelConfig(**card["config"])
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a model card of molgen: {error}") from None
    return card


def read_config(name: str | os.PathLike) -> ModelConfig:
    """The sizes of a model, from its card."""
    return ModelConfig(**read_card(name)["config"])
