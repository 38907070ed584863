"""Fitted records to one NPZ file and back, without pickle.

`pack` turns nested frozen dataclasses into a JSON tree and a flat dictionary of arrays; only
classes marked with `storable` can be read back, so a file can make nothing but our records.
"""

from __future__ import annotations

import dataclasses
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from trial_sim.base.output_places import replacing
from trial_sim.base.provenance import environment

FORMAT = "digital-double fitted trial"
VERSION = 5
LARGEST = 1024**3  # bytes in a file once decompressed: a few kilobytes of zip can hold terabytes
_REGISTRY: dict[str, type] = {}
T = TypeVar("T", bound=type)


def storable(cls: T) -> T:
    """Allow a dataclass to be packed and unpacked (class decorator).

    It is written under its name, or under ``stored_as`` where files know it by an earlier one.
    """
    _REGISTRY[_written(cls)] = cls
    return cls


def _written(cls: type) -> str:
    return str(getattr(cls, "stored_as", cls.__name__))


def pack(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """A JSON tree of ``value``; arrays go into ``arrays`` under numbered keys."""
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            raise TypeError("an array of Python objects cannot be stored")
        key = f"a{len(arrays)}"
        arrays[key] = value
        return {"array": key}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return {"tuple": [pack(v, arrays) for v in value]}
    if isinstance(value, dict):
        return {"dict": [[pack(k, arrays), pack(v, arrays)] for k, v in value.items()]}
    if isinstance(value, pd.DataFrame):
        return {"frame": {str(c): pack(value[c].tolist(), arrays) for c in value}}
    name = _written(type(value))
    if name in _REGISTRY and dataclasses.is_dataclass(value):
        fields = {
            f.name: pack(getattr(value, f.name), arrays)
            for f in dataclasses.fields(value)
            if f.init
        }
        return {"record": name, "fields": fields}
    raise TypeError(f"a {name} cannot be stored")


def unpack(tree: Any, arrays: Any) -> Any:
    """The value that `pack` described."""
    if not isinstance(tree, dict):
        return tree
    if "array" in tree:
        return arrays[tree["array"]]
    if "tuple" in tree:
        return tuple(unpack(v, arrays) for v in tree["tuple"])
    if "dict" in tree:
        return {unpack(k, arrays): unpack(v, arrays) for k, v in tree["dict"]}
    if "frame" in tree:
        return pd.DataFrame({c: list(unpack(v, arrays)) for c, v in tree["frame"].items()})
    name = tree["record"]
    if name not in _REGISTRY:
        raise ValueError(f"the file holds an unknown record {name!r}")
    return _REGISTRY[name](**{k: unpack(v, arrays) for k, v in tree["fields"].items()})


def write(path: str | Path, value: Any) -> Path:
    """Save a storable value as one NPZ file, with the versions and platform that made it.

    Returns:
        The path written.
    """
    arrays: dict[str, np.ndarray] = {}
    tree = {
        "format": FORMAT,
        "version": VERSION,
        "made": environment(),
        "value": pack(value, arrays),
    }
    text = np.frombuffer(json.dumps(tree).encode(), dtype=np.uint8)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as made, made.open("wb") as handle:
        np.savez_compressed(handle, header=text, **arrays)  # type: ignore[arg-type]
    return path


def read(path: str | Path) -> Any:
    """The value that `write` saved.

    Raises:
        ValueError: no such file, a damaged file, or one that this package did not write.
    """
    arrays, tree = read_arrays(path)
    try:
        return unpack(tree, arrays)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{str(path)!r} is no sound saved model: {error}") from error


def read_arrays(path: str | Path) -> tuple[dict[str, np.ndarray], Any]:
    """The arrays of a file that `write` saved and the JSON tree that says what they are.

    Raises:
        ValueError: as `read`.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"no file {str(path)!r}")
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(part.file_size for part in archive.infolist()) > LARGEST:
                raise ValueError(f"its parts hold more than {LARGEST:,} bytes")
            broken = archive.testzip()
        if broken is not None:
            raise ValueError(f"its part {broken!r} is damaged")
        with np.load(path, allow_pickle=False) as stored:
            arrays = {k: stored[k] for k in stored.files}
        tree = json.loads(arrays.pop("header").tobytes().decode())
        if tree.get("format") != FORMAT:
            raise ValueError("it holds something else")
        if tree["version"] > VERSION:
            raise ValueError(f"it was written by a newer version (format {tree['version']})")
        if tree["version"] < VERSION:
            raise ValueError(
                f"it was written by an old version (format {tree['version']}), fit the trial again"
            )
        return arrays, tree["value"]
    except (
        ValueError,
        KeyError,
        TypeError,
        OSError,
        EOFError,
        RuntimeError,  # zipfile, of a method or a flag that no sound file has
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise ValueError(f"{str(path)!r} is no sound saved model: {error}") from error
