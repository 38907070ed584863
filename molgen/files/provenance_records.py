"""Provenance records: who made a table, with what, and a digest of each of its rows."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from molgen.base.environment import commit, processor, system, versions
from molgen.base.run_log import digest_of
from molgen.base.whole_files import hash_file

if TYPE_CHECKING:
    import pandas as pd


class PackedDigests(Sequence[str]):
    """Digests of millions of rows as one text, each cut to 8 hexadecimal digits.

    Readers of Parquet refuse metadata of more than 100 MB; so packed, 12 million rows fit.
    """

    WIDTH = 8

    def __init__(self, text: str) -> None:
        if len(text) % self.WIDTH:
            raise ValueError(
                f"Packed digests have {len(text):,} characters, not a multiple of {self.WIDTH}."
            )
        self.text = text

    def __len__(self) -> int:
        return len(self.text) // self.WIDTH

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        at = range(len(self))[index] * self.WIDTH
        return self.text[at : at + self.WIDTH]

    @classmethod
    def pack(cls, digests: Iterable[str]) -> PackedDigests:
        """Digests of 8 digits or more, cut and joined."""
        return cls("".join(d[: cls.WIDTH] for d in digests))


@dataclass(frozen=True)
class Provenance:
    """How a table of molecules came about.

    Attributes:
        function: what made it, for example ``"sample"``.
        arguments: its arguments, as plain data; enough to call it again.
        seed: the seed, or None where nothing is random.
        checkpoint_sha256: hash of the model's weights, or an empty string.
        precedent_sha256: hash of the table of precedent that was asked, or an empty string.
        data_sha256: hash of the molecules put in, or an empty string.
        version: of this package.
        created: time of writing, UTC, ISO 8601.
        environment: versions of Python and of the numerical packages, platform, processor, commit
            and random generator.
        notes: sentences on what of the input is not in the table.
        row_digests: one short digest a row, filled in when a table is saved; more than a million
            are held as :class:`PackedDigests`.
        command: the words of the command that wrote it, where a command did. folder: in which it
            ran. inputs: SHA-256 of the files that it was given, by their names in the command.
        sha256: of the file, where it is no table.
    """

    function: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    checkpoint_sha256: str = ""
    data_sha256: str = ""
    version: str = ""
    created: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    row_digests: Sequence[str] = ()
    notes: Sequence[str] = ()
    precedent_sha256: str = ""
    command: Sequence[str] = ()
    folder: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    sha256: str = ""

    def __post_init__(self) -> None:
        if not self.function:
            raise ValueError("A provenance record needs the name of the function.")
        try:
            json.dumps(self.arguments)
        except TypeError as error:
            raise ValueError(
                f"Arguments in a provenance record must be plain data: {error}."
            ) from error

    def to_json(self) -> str:
        """The record as JSON text."""
        data = asdict(replace(self, row_digests=()))
        packed = isinstance(self.row_digests, PackedDigests)
        data["row_digests"] = self.row_digests.text if packed else list(self.row_digests)  # type: ignore[attr-defined]
        return json.dumps(data, indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Provenance:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError: not such a record.
        """
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"The provenance record is not JSON: {error}.") from error
        known = set(cls.__dataclass_fields__)
        if not isinstance(data, dict) or "function" not in data or set(data) - known:
            raise ValueError("The provenance record lacks its fields or has unknown ones.")
        digests = data.get("row_digests", ())
        data["row_digests"] = PackedDigests(digests) if isinstance(digests, str) else tuple(digests)
        for name in ("notes", "command"):
            data[name] = tuple(data.get(name, ()))
        return cls(**data)


_RUNNING: ContextVar[tuple[tuple[str, ...], tuple[str, ...]]] = ContextVar(
    "running", default=((), ())
)


@contextmanager
def running(words: Sequence[str], files: Sequence[str]) -> Iterator[None]:
    """Let the records of files that are written in the block name the command that runs.

    Args:
        words: of the command, without the program's name. files: those of them that are read.
    """
    held = _RUNNING.set((tuple(words), tuple(files)))
    try:
        yield
    finally:
        _RUNNING.reset(held)


def with_command(made: Provenance, path: Path | None = None) -> Provenance:
    """The record with the command that runs, if one does, and with the digest of a file."""
    words, files = _RUNNING.get()
    if path is not None:
        made = replace(made, sha256=hash_file(path))
    if not words:
        return made
    inputs = {name: digest_of(Path(name)) for name in files if Path(name).exists()}
    return replace(made, command=words, folder=str(Path.cwd()), inputs=inputs)


def record(
    function: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    seed: int | None = None,
    checkpoint_sha256: str = "",
    data_sha256: str = "",
    notes: Sequence[str] = (),
    precedent_sha256: str = "",
) -> Provenance:
    """A provenance record of this moment and this environment."""
    from molgen import __version__

    environment = {
        **versions(),
        "platform": system(),
        "processor": processor(),
        "commit": commit(),
        "random_numbers": "NumPy's Philox4x64-10, by counters",
    }
    return Provenance(
        function=function,
        arguments=dict(arguments or {}),
        seed=seed,
        checkpoint_sha256=checkpoint_sha256,
        data_sha256=data_sha256,
        version=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=environment,
        notes=tuple(notes),
        precedent_sha256=precedent_sha256,
    )


_GAPS = ("NAType", "NaTType")  # of pandas, which is loaded only where there is a table


def canonical_text(value: Any) -> str:
    """A cell's value as text that survives any format: numbers to ten digits, gaps empty."""
    if value is None or type(value).__name__ in _GAPS:
        return ""
    text = str(value)
    if isinstance(value, bool | np.bool_) or text in ("True", "False"):
        return text
    try:
        number = float(text)
    except ValueError:
        return text
    return "" if math.isnan(number) else f"{number:.10g}"


#: Rows above which digests are packed.
MOST_LISTED = 1_000_000


def held_digests(digests: Sequence[str]) -> Sequence[str]:
    """Digests as a record holds them: a tuple, or packed where there are more than a million."""
    return PackedDigests.pack(digests) if len(digests) > MOST_LISTED else tuple(digests)


def row_digests(table: pd.DataFrame) -> tuple[str, ...]:
    """One digest (16 hexadecimal digits of SHA-256) a row, over column names and values."""
    names = [str(c) for c in table.columns]
    digests = []
    for row in table.itertuples(index=False, name=None):
        content = json.dumps([[n, canonical_text(v)] for n, v in zip(names, row)])
        digests.append(hashlib.sha256(content.encode()).hexdigest()[:16])
    return tuple(digests)
