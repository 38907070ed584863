"""Delimited text as spreadsheets write it: which delimiter, which header, and every row of it.

No row is lost: a quote that is never closed costs its own line alone, a row of more cells than the
header is told, and a table without a header keeps its first row.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence

from molgen.base.arguments import nearest_name
from molgen.chem.parsing import (
    NOTATION_COLUMNS,
    SMILES_COLUMNS,
    STRUCTURE_COLUMNS,
    parse_or_none,
    plain_name,
)

#: Column names that are taken for identifiers, in this order, in any case.
NAME_COLUMNS = (
    "name", "id", "molecule_id", "compound", "compound_id", "title", "molecule_name",
    "compound_name", "molecule_chembl_id", "chembl_id", "mol_id", "idnumber", "catalog_id",
    "catalogue_id", "catalog_number", "registry_number", "drugbank_id", "zinc_id", "pubchem_cid",
    "cid", "cas", "cas_number", "sample_id", "code",
)  # fmt: skip

#: What identifies a row where nothing else does.
_ROW_NAMES = ("molecule", "row", "index", "batch", "lot", "barcode", "inchikey")
#: What a number, code or name may be of, to be an identifier.
_THINGS = frozenset({
    "compound", "cmpd", "cpd", "molecule", "mol", "sample", "substance", "batch", "lot", "catalog",
    "catalogue", "cat", "registry", "reg", "cas", "chembl", "row", "entry", "structure", "ligand",
    "vendor", "supplier", "item", "product", "corporate", "plate", "library", "eln", "notebook",
    "experiment", "internal",
})  # fmt: skip

#: Names of columns that say that they hold structures.
_STRUCTURES = (*SMILES_COLUMNS, *NOTATION_COLUMNS)
_SAMPLE, _FEW = 50, 10
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[ \t]*[\r\n]*\Z')


def split_lines(text: str) -> list[str]:
    """The lines with their ends: of Unix, Windows and old Macintosh files, alone or mixed."""
    return list(io.StringIO(text, newline=""))


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def unquoted(text: str) -> str:
    """A field of delimited text as it was before quotes were written around it."""
    cells = _cells(text, "\t") if text[:1] == '"' == text[-1:] else []
    return cells[0] if len(cells) == 1 else text


def find_delimiter(lines: Sequence[str], usual: str) -> str:
    """The delimiter of a table: the one that gives a SMILES column, and rows of one length."""

    def worth(delimiter: str) -> tuple[int, bool, float, bool, int, bool]:
        rows = [row for row in (_cells(s, delimiter) for s in lines[:_SAMPLE]) if row]
        wide = next((k for k, row in enumerate(rows) if len(row) > 1), 0)
        if 2 * wide <= len(rows) and plain_name(rows[0][0] if rows else "") not in _STRUCTURES:
            rows = rows[wide:]  # titles stood above the header
        width = len(rows[0]) if rows else 0
        if width < 2:
            return (0, False, 0.0, False, 0, delimiter == usual)
        names = {plain_name(name) for name in rows[0]}
        known = 2 * any(n in names for n in _STRUCTURES) + any("smiles" in n for n in names)
        alike = sum(len(row) == width for row in rows) / len(rows)
        held = not known and bool(_molecule_columns(rows[:_FEW]))
        whole = not any("\t" in cell for row in rows for cell in row)  # a tab seldom is text
        return (known, held, alike, whole, width, delimiter == usual)

    best = max(",;\t", key=worth)
    if worth(best)[4] > 1:
        return best
    # extensions of SMILES stand between bars and behind blanks, so that these are asked last
    if worth("|")[0]:
        return "|"
    return " " if _divided_by_blanks(lines[:_SAMPLE]) else best


def is_header_over_blocks(text: str) -> bool:
    """Whether a text begins with the header of a table of whose columns one holds mol blocks or
    InChI."""
    line = text.lstrip().partition("\n")[0]
    for delimiter in ",;\t|":
        names = [plain_name(name) for name in _cells(line, delimiter)]
        if len(names) > 1 and any(name in NOTATION_COLUMNS for name in names):
            return True
    return False


def _divided_by_blanks(lines: Sequence[str]) -> bool:
    """Whether single blanks part a header with a SMILES column, and rows whose SMILES are there."""
    rows = [_cells(line, " ") for line in lines]
    names = [plain_name(name) for name in rows[0]] if rows else []
    at = next((names.index(name) for name in SMILES_COLUMNS if name in names), -1)
    body = [row for row in rows[1:] if len(row) == len(names)]
    whole = len(names) > 1 and at >= 0 and len(body) == len(rows) - 1
    return whole and any(parse_or_none(row[at]) is not None for row in body)


def looks_like_table(lines: Sequence[str]) -> str | None:
    """The delimiter, where the lines are a table rather than a SMILES and a name each."""
    sample = [line for line in lines[:_SAMPLE] if line.strip() and not line.startswith("#")]
    if not sample:
        return None
    if _SEPARATOR_LINE.match(sample[0]):
        return find_delimiter(sample[1:], ",")
    delimiter = find_delimiter(sample, ",")
    known = (*_STRUCTURES, *SMI_HEADERS)
    widest = 0
    for at, line in enumerate(sample[:_TITLES]):  # titles may stand above the header
        header = [plain_name(name) for name in _cells(line, delimiter)]
        widest = max(widest, len(header))
        body = sample[at + 1 :] or sample
        divided = 2 * sum(delimiter in line for line in body) >= len(body)
        named = any(n in known or n.endswith("smiles") for n in header)
        if len(header) > 1 and named and divided:
            return delimiter
    if widest < 2:
        return None
    # SMILES with names, unless more lines hold a molecule in a column than at their beginning
    rows = [_cells(line, delimiter) for line in sample]
    first_words = sum(parse_or_none(line.split(None, 1)[0]) is not None for line in sample)
    in_column = [
        sum(len(row) > at and parse_or_none(row[at]) is not None for row in rows)
        for at in _molecule_columns(rows)
    ]
    return delimiter if max(in_column, default=0) > first_words else None


def _molecule_columns(rows: Sequence[Sequence[str]]) -> list[int]:
    """The columns of which half of the filled cells are molecules; else those that hold one."""
    found: list[int] = []
    some: list[int] = []
    for at in range(max((len(row) for row in rows), default=0)):
        filled = [row[at] for row in rows if len(row) > at and row[at].strip()]
        good = sum(parse_or_none(cell) is not None for cell in filled)
        if good:
            (found if 2 * good >= len(filled) else some).append(at)
    return found or some


#: Words over the molecules of a SMILES file, which in a table may stand over names as well.
SMI_HEADERS = ("structure", "molecule")
#: Lines at the top among which the header is looked for.
_TITLES = 10


class Table:
    """A delimited text: ``names`` of its columns, ``at`` of the SMILES, and :meth:`rows`.

    Attributes:
        names: of the columns, each once.
        at: position of the SMILES column.
        first: index of the first line of data.
        has_header: whether the first line names the columns.
        notes: what was decided that the user may want to know, a sentence each.
    """

    def __init__(self, text: str, column: str | None, usual: str, source: str) -> None:
        self._begin(split_lines(text), column, usual, source)

    def _begin(self, lines: list[str], column: str | None, usual: str, source: str) -> None:
        self.lines = lines
        self.notes: list[str] = []
        self.source = source
        start = 0
        separator = _SEPARATOR_LINE.match(self.lines[0]) if self.lines else None
        if separator:
            start, self.delimiter = 1, separator.group(1)
        else:
            self.delimiter = find_delimiter(
                [line for line in self.lines[:_SAMPLE] if line.strip()], usual
            )
        while start < len(self.lines) and not self.lines[start].strip():
            start += 1
        start = self._below_titles(start, column)
        self.at = -1
        self.width = 0
        header: list[str] = []
        self.first = start
        for line, n_lines, cells, problem in self._records(start):
            if problem:
                raise ValueError(f"{source}: the header cannot be read: {problem}.")
            header, self.first = [c.strip() for c in cells], line - 1 + n_lines
            break
        sample = [self._cells_of(k) for k in range(len(self.lines))[self.first :][:_SAMPLE]]
        self.has_header = self._has_header(header, sample, column)
        if not self.has_header:
            self.first = start
            header = [f"column {i + 1}" for i in range(len(header))]
            sample.append(self._cells_of(start))
            self.notes.append(
                f"{source} has no header: its first row was taken for data, and its columns are "
                f"called {header[0]} and so on"
            )
        self.width = len(header)
        self.names = _each_once(header)
        self.at = self._choose(column, sample)

    def _cells_of(self, index: int) -> list[str]:
        """The cells of one line, read by itself."""
        return _cells(self.lines[index], self.delimiter)

    def _below_titles(self, start: int, column: str | None) -> int:
        """The line of the header where titles stand above it, as in a sheet's export.

        It is named like SMILES, or is the last line above the data: of three words or more, below
        lines of one cell each.
        """
        above: list[tuple[int, list[str]]] = []
        for at in range(start, min(start + _TITLES, len(self.lines))):
            cells = [cell.strip() for cell in self._cells_of(at)]
            if column in cells or any(plain_name(c) in _STRUCTURES for c in cells):
                return self._header_at(at, start)
            if any(len(c) > 1 and parse_or_none(c) is not None for c in cells):
                break  # a row of data
            if any(cells):
                above.append((at, [cell for cell in cells if cell]))
        else:
            return start
        if len(above) < 2:
            return start
        *titles, (at, named) = above
        words = not any(re.fullmatch(r"[-+.,\deE]+", name) for name in named)
        if words and len(named) >= 3 and all(len(cells) == 1 for _, cells in titles):
            return self._header_at(at, start)
        return start

    def _header_at(self, at: int, start: int) -> int:
        if at > start:
            self.notes.append(
                f"{self.source} has its header in line {at + 1}; what stands above it is left out"
            )
        return at

    def _has_header(self, header: list[str], sample: list[list[str]], column: str | None) -> bool:
        names = [plain_name(name) for name in header]
        if column in header or any(n in _STRUCTURES or "smiles" in n for n in names):
            return True
        # where no row below tells, the first is data if a cell of it is a molecule
        body = _molecule_columns(sample) or list(range(len(header)))
        return not any(at < len(header) and parse_or_none(header[at]) is not None for at in body)

    def _choose(self, column: str | None, sample: list[list[str]]) -> int:
        """The column to read SMILES from: the one asked for, named like SMILES, or that holds them.

        Raises:
            ValueError: there is none, or there are several and none is named so.
        """
        names = self.names
        if column is None:
            at, note = choose_smiles(names, sample, self.source)
            if note:
                self.notes.append(note)
            return at
        return find_column(names, column, self.source)

    def rows(self) -> Iterator[tuple[int, list[str], str]]:
        """Each row of data: its first line's number, its cells, and what is wrong with it if any.

        A row that is wrong has one cell, the text as the user wrote it. Blank lines are no rows.
        """
        for line, _, cells, problem in self._records(self.first):
            if problem:
                yield line, cells, problem
            elif len(cells) > self.width and any(c.strip() for c in cells[self.width :]):
                text = self.lines[line - 1].rstrip("\r\n")
                yield line, [text], f"{len(cells)} cells where the header has {self.width}"
            elif any(c.strip() for c in cells):
                yield line, cells, ""

    def _records(self, start: int) -> Iterator[tuple[int, int, list[str], str]]:
        """(line, number of lines, cells, problem) of the records from a line's index on."""
        lines, n = self.lines, len(self.lines)
        while start < n:
            base = start
            reader = csv.reader(
                (lines[k] for k in range(base, n)), delimiter=self.delimiter, strict=True
            )
            while True:
                first, broken = base + reader.line_num, False
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error:
                    broken = True
                last = base + reader.line_num
                if broken or (last - first > 1 and self._swallowed(first, last)):
                    # a quote that is never closed, or is closed in a row further down
                    yield self._alone(first)
                    start = first + 1
                    break
                yield first + 1, last - first, cells, ""

    def _swallowed(self, first: int, last: int) -> bool:
        """Whether the lines after the first of a record are whole rows themselves."""
        if self.at < 0:
            return False
        for line in self.lines[first + 1 : last]:
            cells = _cells(line, self.delimiter)
            if len(cells) == self.width > 1 and parse_or_none(cells[self.at]) is not None:
                return True
        return False

    def _alone(self, index: int) -> tuple[int, int, list[str], str]:
        """One line read by itself, quotes or not, if it has the cells of a row."""
        text = self.lines[index].rstrip("\r\n")
        cells = [cell.rstrip("\r\n") for cell in _cells(text, self.delimiter)]
        if self.width and len(cells) == self.width:
            return index + 1, 1, cells, ""
        return index + 1, 1, [text], "a quote that is opened and never closed"


class SheetTable(Table):
    """The table in a sheet of a workbook, whose rows are known: no delimiter, no open quote.

    sheet: rows of cells, each of the same number; lines are its rows.
    """

    def __init__(self, sheet: Sequence[list[str]], column: str | None, source: str) -> None:
        self._sheet = sheet
        self._begin(["\t".join(row) for row in sheet], column, "\t", source)

    def _cells_of(self, index: int) -> list[str]:
        return self._sheet[index]

    def _records(self, start: int) -> Iterator[tuple[int, int, list[str], str]]:
        for index in range(start, len(self._sheet)):
            yield index + 1, 1, self._sheet[index], ""


def _each_once(header: Sequence[str]) -> list[str]:
    """The names, where empty ones are numbered and repeated ones get a number behind them."""
    names: list[str] = []
    for position, name in enumerate(header, start=1):
        base = name or f"column {position}"
        once, k = base, 1
        while once in names:
            k += 1
            once = f"{base} ({k})"
        names.append(once)
    return names


def find_column(names: Sequence[str], column: str, source: str) -> int:
    """The position of a column, by its name.

    Raises:
        ValueError: there is no such column; the message gives the nearest and all.
    """
    if column in names:
        return list(names).index(column)
    hint = nearest_name(column, names)
    raise ValueError(f"{source} has no column {column!r}.{hint} It has {', '.join(names)}.")


def choose_smiles(
    names: Sequence[str], sample: Sequence[Sequence[object]], source: str
) -> tuple[int, str]:
    """The position of the column that holds SMILES, and a note where its name did not say so.

    Args:
        names: of the columns.
        sample: some rows, whose cells decide where the names do not.
        source: the file, for messages.

    Raises:
        ValueError: no column is named like SMILES, and not exactly one holds molecules.
    """
    plain = [plain_name(name) for name in names]
    for candidate in SMILES_COLUMNS:
        if candidate in plain:
            return plain.index(candidate), ""
    alike = [at for at, name in enumerate(plain) if "smiles" in name]
    if len(alike) == 1:
        return alike[0], ""
    for candidate in () if alike else NOTATION_COLUMNS:
        if candidate in plain:
            return plain.index(candidate), ""
    if len(names) == 1:
        return 0, ""
    texts = [[cell if isinstance(cell, str) else "" for cell in row] for row in sample]
    held = _molecule_columns(texts)
    if not alike:
        for candidate in STRUCTURE_COLUMNS:
            if candidate in plain and plain.index(candidate) in held:
                return plain.index(candidate), ""
        if len(held) == 1:
            return held[0], f"{names[held[0]]!r} of {source} is read as SMILES: it alone holds them"
        named = [plain.index(name) for name in STRUCTURE_COLUMNS if name in plain]
        if not held and len(named) == 1:
            return named[0], ""
    raise ValueError(
        f"Cannot tell which column of {source} holds SMILES; pass column=, one of "
        f"{', '.join(names)}."
    )


def choose_name(names: Sequence[str], at: int) -> int | None:
    """The position of the column of identifiers, which is not the SMILES column; or None."""
    plain = [plain_name(name) for name in names]
    for candidate in NAME_COLUMNS:
        if candidate in plain and plain.index(candidate) != at:
            return plain.index(candidate)
    named = [k for k, name in enumerate(names) if k != at and _says_identifier(name)]
    return named[0] if named else None


def names_identifiers(name: str) -> bool:
    """Whether a column's name says that it identifies rows, as "Cmpd ID" and "Batch No." do.

    >>> names_identifiers("Cmpd ID"), names_identifiers("IC50 (nM)"), names_identifiers("grid")
    (True, False, False)
    """
    return plain_name(name) in (*NAME_COLUMNS, *_ROW_NAMES) or _says_identifier(name)


def _says_identifier(name: str) -> bool:
    words = plain_name(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)).split("_")
    if words[-1] in ("id", "ids", "identifier", "cmpd", "cpd"):
        return True
    return words[-1] in ("no", "nr", "number", "code", "name", "key", "ref", "reference") and any(
        word in _THINGS for word in words[:-1]
    )
