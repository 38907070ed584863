"""Reading molecules from the user's files: SMILES, tables, SDF, Parquet, workbooks; also packed.

A row that cannot be read (a missing cell, a broken SDF record, a quote that is never closed) is set
aside with its line number, its identifier and the user's own text; the rest of the file survives.
InChI and mol blocks in a table become SMILES; whether a text describes a molecule is not decided
here but by :func:`molgen.chem.parsing.parse`.
Other columns of a table, and the data fields of an SDF, stay beside the molecules.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, overload

from rdkit import Chem

from molgen.base.arguments import nearest_name
from molgen.base.parquet import ParquetError, read_parquet
from molgen.base.user_warnings import warn_user
from molgen.base.workbooks import MAGIC, read_sheet
from molgen.base.workbooks import SUFFIXES as WORKBOOK_SUFFIXES
from molgen.chem.parsing import (
    SMILES_COLUMNS,
    aligned_block,
    as_smiles,
    canonical,
    plain_name,
    quiet_rdkit,
    split_extension,
)
from molgen.chem.refusals import Rejected
from molgen.files.delimited import (
    SMI_HEADERS,
    SheetTable,
    Table,
    choose_name,
    choose_smiles,
    find_column,
    is_header_over_blocks,
    looks_like_table,
    split_lines,
    unquoted,
)
from molgen.files.file_content import (
    KINDS,
    ContentError,
    broken,
    decode,
    holds_html,
    holds_json,
    holds_sdf,
    mend,
    recognise,
    shown,
    unpack,
)

if TYPE_CHECKING:
    import pandas as pd

_KIND_OF_SUFFIX = {
    ".smi": "smi", ".smiles": "smi", ".ism": "smi", ".cxsmi": "smi", ".txt": "smi",
    ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".sdf": "sdf", ".sd": "sdf", ".mol": "sdf",
    ".parquet": "parquet", ".pq": "parquet", **dict.fromkeys(WORKBOOK_SUFFIXES, "xlsx"),
}  # fmt: skip
_PACKED = (".gz", ".xz", ".bz2", ".zst")
#: Data fields with which molgen signs its own SDF records; they say nothing of the molecule.
SIGNATURES = ("molgen_provenance", "molgen_row_digest")


@dataclass(frozen=True)
class MoleculeFile(Sequence[str]):
    """The SMILES of a file, in order; behaves as a sequence of strings.

    Attributes:
        smiles: the texts as written in the file.
        lines: where each was, counted from 1: the line of a text file, the first line of an SDF
            record, the row of a Parquet file or a sheet.
        names: the identifier beside each, or an empty string.
        rejected: rows that could not be read, with line, identifier, text and reason.
        source: the file's path.
        columns: the file's other columns (of an SDF: its data fields) by name, a value a molecule.
        smiles_column: the column that held the SMILES; None where there are no columns.
        name_column: the column that held the identifiers; None where they had none of their own.
    """

    smiles: tuple[str, ...]
    lines: tuple[int, ...]
    names: tuple[str, ...]
    rejected: tuple[Rejected, ...]
    source: str
    columns: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    smiles_column: str | None = None
    name_column: str | None = None

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

    @property
    def titled(self) -> bool:
        """Whether the molecules have identifiers that stand in no column of their own."""
        return self.name_column is None and any(self.names)

    def table(self) -> pd.DataFrame:
        """The rows as a table: ``smiles``, then ``name`` where titled, then the file's columns.

        The index is the line number of each row.
        """
        import pandas as pd

        table = pd.DataFrame({"smiles": list(self.smiles)}, index=pd.Index(self.lines, name="line"))
        if self.titled:
            table["name"] = list(self.names)
        for name, values in self.columns.items():
            if name not in table.columns:
                table[name] = values if isinstance(values, list) else list(values)
        return table


class _Rows:
    """Collects rows while a file is read."""

    def __init__(self) -> None:
        self.smiles: list[str] = []
        self.lines: list[int] = []
        self.names: list[str] = []
        self.rejected: list[Rejected] = []
        self.columns: dict[str, Any] = {}
        self.smiles_column: str | None = None
        self.name_column: str | None = None
        self.n_mended = 0

    def add(self, line: int, smiles: str, name: str = "") -> None:
        self.smiles.append(as_smiles(smiles))
        self.lines.append(line)
        if name and not name.isascii():
            # a column of names is counted when the columns are kept
            name = self.mended(name) if self.name_column is None else mend(name)
        self.names.append(name)

    def reject(self, line: int, text: str, reason: str, name: str = "") -> None:
        self.rejected.append(Rejected(line, shown(text), reason, mend(name)))

    def mended(self, text: str) -> str:
        if not broken(text):
            return text
        self.n_mended += 1
        return mend(text)


def read_molecules(
    path: str | Path, column: str | None = None, *, format: str | None = None
) -> MoleculeFile:
    """Read the molecules of a file.

    Files are known by their content first and by their ending second; gzip, xz, bzip2 and (with
    the package ``zstandard``) zstd are unpacked, UTF-16 is read, and bytes that are not UTF-8 are
    read as Windows-1252 in a name, with a warning, and set the row aside in a SMILES.

    Args:
        path: a ``.smi``, ``.csv``, ``.tsv``, ``.sdf`` or ``.parquet`` file, or a workbook
            (``.xlsx``, ``.xls``, ``.ods``; its first sheet that holds anything), plain or packed;
            ``"-"`` reads any of them from standard input.
        column: the column (of an SDF: the data field) that holds SMILES. By default one named
            ``smiles`` or alike is found, or the one that holds molecules; an SDF's structures are
            read.
        format: ``"smi"``, ``"csv"``, ``"tsv"``, ``"sdf"``, ``"parquet"`` or ``"xlsx"``, where
            neither the content nor the name of the file tells it.

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
    if format is not None and format not in KINDS:
        raise ValueError(f"format must be one of {', '.join(KINDS)}; got {format!r}.")
    try:
        content = unpack(sys.stdin.buffer.read() if source == "-" else _read_bytes(Path(path)))
        by_name = None if source == "-" else _kind_of_name(Path(source), format is not None)
        if not content or content.isspace():
            raise ValueError(f"{_named(source)} is empty: expected at least one molecule.")
        packed_book = by_name == "xlsx" and content.startswith(MAGIC)
        kind = "xlsx" if packed_book else recognise(content)
        if kind is None and by_name == "parquet":
            kind = "parquet"  # damaged, which its reader tells
        text = decode(content) if kind is None else ""
    except ContentError as error:
        raise ValueError(f"{_named(source)} {error}.") from error
    if kind is None:
        kind = format or _kind_of_text(text, by_name, column is not None, source)
    rows = _Rows()
    if kind == "parquet":
        _read_parquet(content, rows, column, source)
    elif kind == "xlsx":
        _read_workbook(content, rows, column, source)
    elif kind == "sdf":
        _read_sdf(text, rows, column)
    elif kind == "smi":
        if column is not None:
            raise ValueError(
                f"{_named(source)} is a SMILES file without columns; column={column!r} has no "
                "meaning there."
            )
        _read_smi(text, rows)
    else:
        usual = "\t" if kind == "tsv" else ","
        _take_table(Table(text, column, usual, _named(source)), rows)
    if not rows.smiles and not rows.rejected:
        raise ValueError(f"{_named(source)} holds no molecules: only blank lines or a header.")
    if rows.n_mended:
        warn_user(
            f"{_named(source)} has {rows.n_mended:,} texts with bytes that are not UTF-8; they "
            "were read as Windows-1252."
        )
    return MoleculeFile(
        tuple(rows.smiles), tuple(rows.lines), tuple(rows.names), tuple(rows.rejected), source,
        MappingProxyType(rows.columns), rows.smiles_column, rows.name_column,
    )  # fmt: skip


def _named(source: str) -> str:
    return "Standard input" if source == "-" else f"File {source}"


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        hint = nearest_name(path.name, _neighbours(path))
        raise ValueError(f"There is no file {path}.{hint}") from None
    except OSError as error:
        raise ValueError(f"Cannot read {path}: {error.strerror}.") from error


def _neighbours(path: Path) -> list[str]:
    try:
        return [p.name for p in path.parent.iterdir()]
    except OSError:
        return []


def names_a_file(text: str, told: bool = False) -> bool:
    """Whether a text is the name of a molecule file, not SMILES.

    told: the caller says that it is a name; any file that exists will do.
    """
    if told:
        return Path(text).is_file()
    try:
        return _kind_of_name(Path(text), True) is not None
    except ValueError:
        return False


def _kind_of_name(path: Path, told: bool) -> str | None:
    suffixes = [s.lower() for s in path.suffixes]
    if suffixes and suffixes[-1] in _PACKED:
        suffixes.pop()
    kind = _KIND_OF_SUFFIX.get(suffixes[-1] if suffixes else "")
    if kind is None and not told:
        raise ValueError(
            f"Cannot tell what {path.name} is; expected one of {', '.join(_KIND_OF_SUFFIX)}, each "
            "plain or packed (.gz, .xz, .bz2, .zst), or format=."
        )
    return kind


def _kind_of_text(text: str, by_name: str | None, has_column: bool, source: str) -> str:
    """The kind by what the text holds, and by the file's name where that leaves it open."""
    if by_name == "sdf" or (holds_sdf(text) and not is_header_over_blocks(text[:10_000])):
        return "sdf"
    if by_name in ("csv", "tsv"):
        return by_name
    foreign = "JSON" if holds_json(text) else "a web page (HTML)" if holds_html(text) else ""
    if foreign:
        raise ValueError(
            f"{_named(source)} is {foreign}, which is not read; expected {', '.join(KINDS)}."
        )
    delimiter = looks_like_table(split_lines(text[:100_000]))
    if delimiter is None and not (has_column and source == "-"):
        return "smi"
    return "tsv" if delimiter == "\t" else "csv"


def _read_smi(text: str, rows: _Rows) -> None:
    header_may_come, plain = True, text.isascii() and "InChI=" not in text
    smiles_of, lines, names = rows.smiles.append, rows.lines.append, rows.names.append
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    # not splitlines: it also splits at form feeds and at separators that no editor counts
    for number, line in enumerate(text.split("\n"), 1):
        parts = line.split(None, 1)
        if not parts or parts[0][0] == "#":
            continue
        if len(parts) == 1 and plain and not header_may_come:
            smiles_of(parts[0])
            lines(number)
            names("")
            continue
        if header_may_come:
            header_may_come = False
            if plain_name(parts[0]) in (*SMILES_COLUMNS, *SMI_HEADERS):
                continue
        smiles, rest = parts[0], parts[1].strip() if len(parts) > 1 else ""
        if rest.startswith("|"):
            extension, rest = split_extension(rest)
            smiles = f"{smiles} {extension}" if extension else smiles
        if rest[:1] == '"' and "\t" in line:
            rest = unquoted(rest)
        if plain:  # nothing to mend
            smiles_of(smiles)
            lines(number)
            names(rest)
        elif broken(smiles):
            rows.reject(number, line, "bytes that are not UTF-8", rest)
        else:
            rows.add(number, smiles, rest)


def _read_workbook(content: bytes, rows: _Rows, column: str | None, source: str) -> None:
    try:
        cells, note = read_sheet(content)
    except ValueError as error:
        raise ValueError(f"{_named(source)}: {error}.") from error
    if note:
        warn_user(f"{_named(source)}: {note}.")
    _take_table(SheetTable(cells, column, _named(source)), rows)


def _take_table(table: Table, rows: _Rows) -> None:
    names, at = table.names, table.at
    name_at = choose_name(names, at)
    if name_at is None and not table.has_header and len(names) > 1:
        name_at = 0 if at else 1
    rows.smiles_column = names[at]
    rows.name_column = None if name_at is None else names[name_at]
    kept: list[list[str]] = []
    for line, cells, problem in table.rows():
        if problem:
            rows.reject(line, cells[0] if cells else "", problem)
            continue
        name = cells[name_at].strip() if name_at is not None and len(cells) > name_at else ""
        smiles = cells[at].strip() if len(cells) > at else ""
        if not smiles:
            own = table.delimiter.join(cells)
            rows.reject(line, own, f"no value in column {names[at]!r}", name)
        elif not smiles.isascii() and broken(smiles):
            rows.reject(line, smiles, "bytes that are not UTF-8", name)
        else:
            rows.add(line, smiles, name)
            kept.append(cells)
    for position, name in enumerate(names):
        if position == at:
            continue
        values = [cells[position] if len(cells) > position else "" for cells in kept]
        rows.columns[mend(name)] = [v if v.isascii() else rows.mended(v) for v in values]
    for note in table.notes:
        warn_user(f"{note}.")


_RECORD_END = re.compile(r"^\$\$\$\$[ \t]*\n?", re.MULTILINE)


def _read_sdf(text: str, rows: _Rows, column: str | None) -> None:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    start = 1
    fields: list[dict[str, str]] = []
    named_by: set[str] = set()  # the data fields from which identifiers came; "" for a title
    position = 0
    while position < len(text):
        end = _RECORD_END.search(text, position)
        record = text[position : end.start() if end else len(text)]
        line, start = start, start + text.count("\n", position, end.end() if end else len(text))
        position = end.end() if end else len(text)
        if not record.strip():
            continue
        given = _data_fields(record)
        block = aligned_block(record)
        title = block.split("\n", 1)[0].strip()
        if title:
            named_by.add("")
        else:
            names = list(given)
            at = choose_name(names, -1)
            title = given[names[at]] if at is not None else ""
            named_by |= {names[at]} if at is not None else set()
        if column is not None:
            value = given.pop(column, "").strip()
            if value:
                rows.add(line, value, title)
                fields.append(given)
            else:
                rows.reject(line, record, f"no data field {column!r}", title)
            continue
        with quiet_rdkit():
            mol = Chem.MolFromMolBlock(shown(block))
            smiles = canonical(mol) if mol is not None else ""
        if mol is None:
            rows.reject(line, record, "SDF record cannot be read as a molecule", title)
        elif not smiles:
            rows.reject(line, record, "SDF record without atoms", title)
        else:
            rows.add(line, smiles, title)
            fields.append(given)
    if len(named_by) == 1 and "" not in named_by:
        rows.name_column = mend(*named_by)
    names = list(dict.fromkeys(name for given in fields for name in given))
    for name in names:
        rows.columns[mend(name)] = [rows.mended(given.get(name, "")) for given in fields]


def _data_fields(record: str) -> dict[str, str]:
    """The data fields of an SDF record: name and text, of several lines if it has several."""
    fields: dict[str, str] = {}
    lines = record.split("\n")
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if not line.startswith(">") or "<" not in line:
            continue
        name = line[line.index("<") + 1 : line.rindex(">")] if line.rindex(">") else ""
        value = []
        while at < len(lines) and lines[at].strip():
            value.append(lines[at])
            at += 1
        if name and name not in SIGNATURES:
            fields[name] = "\n".join(value)
    return fields


def _read_parquet(content: bytes, rows: _Rows, column: str | None, source: str) -> None:
    try:
        table = read_parquet(content, nullable=True)[0]
    except ParquetError as error:
        raise ValueError(f"File {source} is not a readable Parquet file: {error}.") from error
    except OSError as error:
        raise ValueError(f"Cannot read {source}: {error.strerror}.") from error
    if any(name is not None for name in table.index.names):
        table = table.reset_index()
    table.columns = [str(name) for name in table.columns]
    names = list(table.columns)
    if column is None:
        sample = table.head(50).astype(object).values.tolist()
        at, note = choose_smiles(names, sample, _named(source))
        if note:
            warn_user(f"{note}.")
    else:
        at = find_column(names, column, _named(source))
    name_at = choose_name(names, at)
    rows.smiles_column = names[at]
    rows.name_column = None if name_at is None else names[name_at]
    labels = [None] * len(table) if name_at is None else table.iloc[:, name_at].tolist()
    kept = []
    for number, (smiles, label) in enumerate(zip(table.iloc[:, at].tolist(), labels), start=1):
        name = "" if _missing(label) else str(label)
        if isinstance(smiles, str) and smiles.strip():
            rows.add(number, smiles.strip(), name)
            kept.append(number - 1)
        else:
            own = "" if _missing(smiles) else repr(smiles)
            rows.reject(number, own, f"no SMILES in {names[at]!r}", name)
    left = table.iloc[kept].reset_index(drop=True)
    rows.columns = {n: left.iloc[:, k] for k, n in enumerate(names) if k != at}


def _missing(value: Any) -> bool:
    import pandas as pd

    return value is None or value is pd.NA or (isinstance(value, float) and value != value)
