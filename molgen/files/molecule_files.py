"""Reading molecules from the user's files: .smi, .csv, .tsv, .sdf, .parquet, plain or gzip.

A row that cannot be read (bytes that are not UTF-8, a missing cell, a broken SDF record) is set
aside with its line number; the rest of the file survives. Whether a SMILES describes a molecule
is not decided here but by :func:`molgen.chem.parsing.parse`.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, overload

from rdkit import Chem

from molgen.base.parquet import ParquetError, parquet_columns, parquet_rows
from molgen.chem.parsing import quiet_rdkit
from molgen.chem.refusals import Rejected

#: Column names that are taken for SMILES when none is given, in this order, in any case.
SMILES_COLUMNS = ("smiles", "canonical_smiles", "isomeric_smiles", "structure", "molecule", "mol")
#: Bytes of a decompressed file, at most: a few kilobytes of gzip can hold terabytes.
LARGEST = 2 * 1024**3
NAME_COLUMNS = ("name", "id", "molecule_id", "compound", "compound_id", "title")
SUFFIXES = (".smi", ".smiles", ".txt", ".csv", ".tsv", ".sdf", ".sd", ".parquet", ".pq")


@dataclass(frozen=True)
class MoleculeFile(Sequence[str]):
    """The SMILES of a file, in order; behaves as a sequence of strings.

    Attributes:
        smiles: the texts as written in the file.
        lines: where each was, counted from 1: the line of a text file, the first line of an SDF
            record, the row of a Parquet file.
        names: the identifier beside each, or an empty string.
        rejected: rows that could not be read, with line and reason.
        source: the file's path.
    """

    smiles: tuple[str, ...]
    lines: tuple[int, ...]
    names: tuple[str, ...]
    rejected: tuple[Rejected, ...]
    source: str

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        return self.smiles[index]

    def __len__(self) -> int:
        return len(self.smiles)

    def __repr__(self) -> str:
        return f"MoleculeFile({self.source!r}: {len(self):,} rows, {len(self.rejected):,} rejected)"


class _Rows:
    """Collects rows while a file is read."""

    def __init__(self) -> None:
        self.smiles: list[str] = []
        self.lines: list[int] = []
        self.names: list[str] = []
        self.rejected: list[Rejected] = []

    def add(self, line: int, smiles: str, name: str = "") -> None:
        self.smiles.append(smiles)
        self.lines.append(line)
        self.names.append(name)

    def reject(self, line: int, text: str, reason: str) -> None:
        self.rejected.append(Rejected(line, text, reason))


def read_molecules(path: str | Path, column: str | None = None) -> MoleculeFile:
    """Read the molecules of a file.

    Args:
        path: a ``.smi``, ``.csv``, ``.tsv``, ``.sdf`` or ``.parquet`` file, plain or with ``.gz``;
            ``"-"`` reads SMILES lines, or CSV with a header, from standard input.
        column: the column (of an SDF: the data field) that holds SMILES. By default one named
            ``smiles`` or alike is found; an SDF's structures are read.

    Raises:
        ValueError: no such file, unknown kind of file, no such column, damaged file, or nothing
            in it.

    Examples:
        >>> import molgen
        >>> import pathlib, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = pathlib.Path(folder.name) / "mine.smi"
        >>> _ = path.write_text("CCO ethanol\\nCCN ethylamine\\n")
        >>> list(molgen.read_molecules(path).smiles)
        ['CCO', 'CCN']
        >>> folder.cleanup()
    """
    source = str(path)
    if source == "-":
        content, kind = sys.stdin.buffer.read(), _kind_of_stream
    else:
        content = _read_bytes(Path(path))
        kind = _kind_of_path
    rows = _Rows()
    suffix = kind(Path(source), content)
    if not content.strip():
        raise ValueError(f"{_named(source)} is empty: expected at least one molecule.")
    if suffix in (".csv", ".tsv"):
        _read_table(content, rows, column, source, suffix)
    elif suffix in (".sdf", ".sd"):
        _read_sdf(content, rows, column)
    elif suffix in (".parquet", ".pq"):
        _read_parquet(content, rows, column, source)
    else:
        if column is not None:
            raise ValueError(
                f"{_named(source)} is a SMILES file without columns; column={column!r} has no "
                "meaning there."
            )
        _read_smi(content, rows)
    if not rows.smiles and not rows.rejected:
        raise ValueError(f"{_named(source)} holds no molecules: only blank lines or a header.")
    return MoleculeFile(
        tuple(rows.smiles), tuple(rows.lines), tuple(rows.names), tuple(rows.rejected), source
    )


def _named(source: str) -> str:
    return "Standard input" if source == "-" else f"File {source}"


def _read_bytes(path: Path) -> bytes:
    """The file's content, decompressed when it is gzip."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        near = get_close_matches(path.name, _neighbours(path), n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ValueError(f"There is no file {path}.{hint}") from None
    except OSError as error:
        raise ValueError(f"Cannot read {path}: {error.strerror}.") from error
    if content[:2] == b"\x1f\x8b":
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
                text = stream.read(LARGEST + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"File {path} is damaged or cut off: {error}.") from error
        if len(text) > LARGEST:
            raise ValueError(f"File {path} holds more than {LARGEST:,} bytes; split it into parts.")
        return text
    return content


def _neighbours(path: Path) -> list[str]:
    try:
        return [p.name for p in path.parent.iterdir()]
    except OSError:
        return []


def _kind_of_path(path: Path, content: bytes) -> str:
    suffixes = [s.lower() for s in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    suffix = suffixes[-1] if suffixes else ""
    if suffix not in SUFFIXES:
        raise ValueError(
            f"Cannot tell what {path.name} is; expected one of {', '.join(SUFFIXES)}, "
            "each with or without .gz."
        )
    return suffix


def _kind_of_stream(path: Path, content: bytes) -> str:
    """CSV when the first line is a header with a SMILES column among several; else SMILES."""
    header = content.split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    fields = [f.strip().strip('"').lower() for f in header.split(_delimiter(header))]
    is_table = len(fields) > 1 and any(f in SMILES_COLUMNS for f in fields)
    return ".csv" if is_table else ".smi"


def _delimiter(header: str) -> str:
    return max(",;\t", key=header.count)


def _decode(line: bytes) -> str | None:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _read_smi(content: bytes, rows: _Rows) -> None:
    content = content.removeprefix(b"\xef\xbb\xbf")
    # not splitlines: it also splits at form feeds and at separators that no editor counts
    for number, raw in enumerate(content.replace(b"\r\n", b"\n").split(b"\n"), start=1):
        line = _decode(raw)
        if line is None:
            rows.reject(number, raw.decode("utf-8", "backslashreplace"), "bytes that are not UTF-8")
            continue
        parts = line.split(None, 1)
        if not parts or parts[0].startswith("#"):
            continue
        if not rows.smiles and parts[0].strip('"').lower() in SMILES_COLUMNS:
            continue  # a header line
        rows.add(number, parts[0], parts[1].strip() if len(parts) > 1 else "")


def _choose_column(names: Sequence[str], column: str | None, source: str) -> str:
    """The column to read SMILES from: the one asked for, or one that is named like SMILES."""
    if column is not None:
        if column in names:
            return column
        near = get_close_matches(column, names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(
            f"{_named(source)} has no column {column!r}; {hint}It has {', '.join(names)}."
        )
    by_lower = {n.strip().lower(): n for n in reversed(names)}
    for candidate in SMILES_COLUMNS:
        if candidate in by_lower:
            return by_lower[candidate]
    if len(names) == 1:
        return names[0]
    raise ValueError(
        f"Cannot tell which column of {source} holds SMILES; pass column=, one of "
        f"{', '.join(names)}."
    )


def _name_column(names: Sequence[str], chosen: str) -> str | None:
    by_lower = {n.strip().lower(): n for n in reversed(names)}
    found = next((by_lower[c] for c in NAME_COLUMNS if c in by_lower), None)
    return None if found == chosen else found


def _read_table(content: bytes, rows: _Rows, column: str | None, source: str, suffix: str) -> None:
    content = content.removeprefix(b"\xef\xbb\xbf")
    # bytes that are not UTF-8 become lone surrogates, so that only their own row is rejected
    text = content.decode("utf-8", "surrogateescape")
    header = text.split("\n", 1)[0]
    delimiter = "\t" if suffix == ".tsv" else _delimiter(header)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    names: list[str] | None = None
    at = name_at = None
    for line, cells, problem in _csv_rows(reader):
        if names is None:
            if problem:
                raise ValueError(f"{_named(source)}: the header cannot be read: {problem}.")
            names = [c.strip() for c in cells]
            chosen = _choose_column(names, column, source)
            at = names.index(chosen)
            name = _name_column(names, chosen)
            name_at = names.index(name) if name else None
            continue
        assert at is not None
        smiles = cells[at].strip() if len(cells) > at else ""
        if problem:
            rows.reject(line, "", problem)
        elif not any(c.strip() for c in cells):
            continue
        elif not smiles:
            rows.reject(line, "", f"no value in column {names[at]!r}")
        elif any("\udc80" <= c <= "\udcff" for c in smiles):
            shown = smiles.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            rows.reject(line, shown, "bytes that are not UTF-8")
        else:
            name = cells[name_at].strip() if name_at is not None and len(cells) > name_at else ""
            rows.add(line, smiles, name)


def _csv_rows(reader: Any) -> Iterator[tuple[int, list[str], str]]:
    """The rows of a CSV reader: first line's number, cells, and what was wrong with it if any."""
    line = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, [], str(error)
            line = reader.line_num + 1
            continue
        yield line, cells, ""
        line = reader.line_num + 1


def _read_sdf(content: bytes, rows: _Rows, column: str | None) -> None:
    text = content.decode("utf-8", "surrogateescape").replace("\r\n", "\n")
    start = 1
    for record in text.split("$$$$\n"):
        line, start = start, start + record.count("\n") + 1
        record = record.removesuffix("$$$$")
        if not record.strip():
            continue
        title = record.split("\n", 1)[0].strip()
        title = title.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        if column is not None:
            value = _sdf_field(record, column)
            if value:
                rows.add(line, value, title)
            else:
                rows.reject(line, title, f"no data field {column!r}")
            continue
        with quiet_rdkit():
            mol = Chem.MolFromMolBlock(record.encode("utf-8", "replace").decode())
            smiles = Chem.MolToSmiles(mol) if mol is not None else ""
        if mol is None:
            rows.reject(line, title, "SDF record cannot be read as a molecule")
        elif not smiles:
            rows.reject(line, title, "SDF record without atoms")
        else:
            rows.add(line, smiles, title)


def _sdf_field(record: str, field: str) -> str:
    lines = record.split("\n")
    for i, line in enumerate(lines[:-1]):
        if line.startswith(">") and f"<{field}>" in line:
            return lines[i + 1].strip()
    return ""


def _read_parquet(content: bytes, rows: _Rows, column: str | None, source: str) -> None:
    try:
        names = parquet_columns(content)
        chosen = _choose_column(names, column, source)
        name = _name_column(names, chosen)
        columns = [chosen] if name is None else [chosen, name]
        values = [row for piece in parquet_rows(content, columns) for row in piece]
    except ParquetError as error:
        raise ValueError(f"File {source} is not a readable Parquet file: {error}.") from error
    except OSError as error:
        raise ValueError(f"Cannot read {source}: {error.strerror}.") from error
    for number, (smiles, *label) in enumerate(values, start=1):
        if isinstance(smiles, str) and smiles.strip():
            text = label[0] if label else None
            rows.add(number, smiles.strip(), "" if text is None else str(text))
        else:
            rows.reject(number, "" if smiles is None else repr(smiles), f"no SMILES in {chosen!r}")
