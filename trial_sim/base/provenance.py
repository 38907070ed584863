"""The record beside a file that a command wrote: how and where it was made, and its digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from trial_sim.base.environment import DISTRIBUTION, commit, processor, system, versions
from trial_sim.base.output_places import is_ordinary, write_text
from trial_sim.base.plain_yaml import read_plain_json

GENERATORS = "Philox4x32-10 and NumPy's Philox4x64-10, by counters"


def environment() -> dict[str, Any]:
    """Versions, platform, processor, commit and random generators of this process."""
    try:
        own = version(DISTRIBUTION)
    except PackageNotFoundError:
        own = "0+unknown"
    return {
        "versions": {"trial_sim": own, **versions()},
        "platform": system(),
        "processor": processor(),
        "commit": commit(),
        "random_numbers": GENERATORS,
    }


def digest(path: str | Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def beside(path: str | Path) -> Path:
    """Where the record of a file lies."""
    path = Path(path)
    return path.with_name(f"{path.name}.provenance.json")


def write_record(
    path: str | Path, function: str, arguments: Mapping[str, Any], inputs: Mapping[str, Path]
) -> None:
    """Write the record of the file at ``path``; of what is no ordinary file there is none.

    Args:
        function: what made it. arguments: plain values, seed among them, enough to call it again.
        inputs: name of an argument → the file read.
    """
    if not (Path(path).is_file() and is_ordinary(path)):
        return
    made = {
        "function": function,
        "arguments": dict(arguments),
        "inputs": {
            name: {"path": str(Path(source).resolve()), "sha256": digest(source)}
            for name, source in inputs.items()
        },
        "sha256": digest(path),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **environment(),
    }
    write_text(beside(path), json.dumps(made, indent=1, default=repr))


def read_record(path: str | Path) -> dict[str, Any]:
    """The record beside a file.

    Raises:
        ValueError: there is none, or it is none of ours.
    """
    place = beside(path)
    if not place.exists():
        raise ValueError(f"{str(path)!r} has no record: {place.name} is not beside it")
    read = read_plain_json(place.read_text(encoding="utf-8"))
    if not isinstance(read, dict) or not {"function", "arguments", "sha256"} <= set(read):
        raise ValueError(f"{str(place)!r} is no record of trial-sim")
    return read
