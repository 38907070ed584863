"""Tables of precedent on disk: one zip of plain arrays, read a section at a time.

Nothing in the file is executed: the arrays are numbers and text, and their sizes are checked
against each other before they are used.
"""

from __future__ import annotations

import io
import json
import lzma
import os
import zipfile
from collections.abc import Sequence
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from molgen.base.output_places import replacing
from molgen.base.whole_files import hash_file
from molgen.precedent.fragment_counts import Contexts, Section
from molgen.precedent.fragment_cuts import MOST_MARKS, RADII
from molgen.precedent.tables import Lookup

FORMAT = 1
NAME = "precedent.zip"
_MOST_BYTES = 2_000_000_000
_COLUMNS = ("atoms", "rings", "rotors", "bare", "length", "same")


class PrecedentTable:
    """The groups, linkers and cores that many molecules share, and what they hung on.

    card: where the molecules came from, how many there were, and what was too rare to be kept.

    Examples:
        >>> import molgen, tempfile, pathlib
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "precedent.zip"
        >>> table = molgen.build_precedent(["Cc1ccccc1", "Cc1ccncc1", "Cc1ccsc1"], file, least=3)
        >>> table.card["molecules"], len(table.parts(1)), len(table.parts(6))
        (3, 1, 0)
        >>> len(table.sha256)
        64
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self._read: dict[int, Lookup] = {}
        try:
            with zipfile.ZipFile(self.path) as archive:
                self.card: dict[str, Any] = json.loads(_bytes(archive, "card.json"))
        except FileNotFoundError:
            raise FileNotFoundError(f"there is no table of precedent at {self.path}") from None
        except (zipfile.BadZipFile, KeyError, OSError, UnicodeDecodeError, ValueError) as error:
            raise ValueError(f"{self.path} is not a table of precedent: {error}") from None
        if not isinstance(self.card, dict) or self.card.get("format") != FORMAT:
            found = self.card.get("format") if isinstance(self.card, dict) else self.card
            raise ValueError(
                f"{self.path} has format {found!r} of a table of precedent; this version reads "
                f"{FORMAT}"
            )

    def __repr__(self) -> str:
        return f"PrecedentTable({str(self.path)!r}, {self.card.get('molecules'):,} molecules)"

    @cached_property
    def sha256(self) -> str:
        """The file's hash, by which a record names the table."""
        return hash_file(self.path)

    def parts(self, k: int) -> Lookup:
        """All parts with ``k`` marks: groups (1), linkers (2), cores (3 to 6)."""
        if k not in self._read:
            try:
                with zipfile.ZipFile(self.path) as archive:
                    self._read[k] = Lookup(_read_section(archive, k))
            except (zipfile.BadZipFile, lzma.LZMAError, KeyError, OSError, ValueError) as error:
                raise ValueError(f"{self.path} is damaged: {error}") from None
        return self._read[k]


def shipped_precedent() -> Path | None:
    """The table inside the package, if there is one."""
    path = Path(str(files("molgen") / "models" / NAME))
    return path if path.is_file() else None


@cache
def load_precedent(path: str | os.PathLike) -> PrecedentTable:
    """A table that ``build_precedent`` wrote; its sections are read when they are needed.

    Examples:
        >>> import molgen, tempfile, pathlib
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "precedent.zip"
        >>> _ = molgen.build_precedent(["Cc1ccccc1", "Cc1ccncc1", "Cc1ccsc1"], file, least=3)
        >>> molgen.load_precedent(file).parts(1).count_of("*C")
        3
    """
    return PrecedentTable(path)


def save_precedent(
    path: str | os.PathLike, sections: Sequence[Section], card: dict[str, Any]
) -> Path:
    """Write a table; ``card`` says where it comes from."""
    path = Path(path)
    with replacing(path) as made, zipfile.ZipFile(made, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr(_member("card.json"), json.dumps({"format": FORMAT, **card}))
        for section in sections:
            for name, data in _section_bytes(section).items():
                archive.writestr(_member(f"{section.k}/{name}"), data)
    return path


def _member(name: str) -> zipfile.ZipInfo:
    """An entry of the zip with a fixed date, so that equal tables are equal files."""
    info = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_LZMA
    return info


def _section_bytes(section: Section) -> dict[str, bytes]:
    out = {"text": "\n".join(section.text).encode("ascii")}
    arrays: dict[str, np.ndarray] = {"count": section.count.astype(np.uint32)}
    arrays |= {name: getattr(section, name) for name in _COLUMNS}
    for radius, rows in zip(RADII, section.contexts):
        length = np.diff(rows.offset)
        step = np.diff(rows.site.astype(np.int64), prepend=0)
        starts = rows.offset[:-1]
        step[starts] = rows.site[starts]
        arrays[f"code_{radius}"] = np.diff(rows.code, prepend=np.uint32(0))
        arrays[f"total_{radius}"] = rows.total
        arrays[f"length_{radius}"] = length.astype(np.uint32)
        arrays[f"site_{radius}"] = step.astype(np.uint32)
        arrays[f"count_{radius}"] = rows.count
    for name, array in arrays.items():
        if array.dtype == np.uint32:  # byte by byte: the high ones are nearly all alike
            array = array.view(np.uint8).reshape(-1, 4).T
        stream = io.BytesIO()
        np.save(stream, np.ascontiguousarray(array), allow_pickle=False)
        out[name + ".npy"] = stream.getvalue()
    return out


def _bytes(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > _MOST_BYTES:
        raise ValueError(f"{name} is larger than any table of precedent")
    return archive.read(name)


def _read_section(archive: zipfile.ZipFile, k: int) -> Section:
    def array(name: str) -> np.ndarray:
        stream = io.BytesIO(_bytes(archive, f"{k}/{name}.npy"))
        values = np.load(stream, allow_pickle=False)
        if name.startswith(("count", "code", "total", "length_", "site")):
            values = np.ascontiguousarray(values.T).view(np.uint32).ravel()
        return values

    raw = _bytes(archive, f"{k}/text").decode("ascii")
    text = raw.split("\n") if raw else []
    columns = {name: array(name) for name in _COLUMNS}
    count = array("count").astype(np.int64)
    contexts = []
    for radius in RADII:
        length = array(f"length_{radius}").astype(np.int64)
        offset = np.concatenate([[0], np.cumsum(length)])
        step = array(f"site_{radius}").astype(np.int64)
        if offset[-1] != len(step):
            raise ValueError(f"the sites of radius {radius} are not as many as their contexts say")
        running = np.cumsum(step)
        before = np.where(offset[:-1] > 0, running[offset[:-1] - 1], 0)
        site = (running - np.repeat(before, length)).astype(np.uint32)
        if len(site) and int(site.max()) >= len(text) * k:
            raise ValueError(f"a site of radius {radius} belongs to no part")
        contexts.append(
            Contexts(
                np.cumsum(array(f"code_{radius}"), dtype=np.uint64).astype(np.uint32),
                array(f"total_{radius}"),
                offset,
                site,
                array(f"count_{radius}"),
            )
        )
    sizes = {len(text), len(count), *(len(c) for c in columns.values())}
    if len(sizes) > 1 or not 1 <= k <= MOST_MARKS:
        raise ValueError(f"the columns of the parts with {k} marks differ in length")
    return Section(k, text, count, **columns, contexts=contexts)
