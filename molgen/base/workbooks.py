"""Workbooks of spreadsheet programs (.xlsx, .xlsm, .xlsb, .xls, .ods), read by python-calamine.

A sheet is its rows of cells as text: numbers in the fewest digits that tell them, dates as
2024-01-31, truth values as TRUE and FALSE, an empty text where a cell is empty or holds an error.
"""

from __future__ import annotations

import io
import zipfile
from datetime import date, datetime, time
from typing import Any

#: What the bytes of a workbook, or of another file of the same program, begin with.
MAGIC = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
SUFFIXES = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
#: Bytes that the parts of a workbook may unpack to: a zip of kilobytes can hold terabytes.
_LARGEST = 2 * 1024**3


def is_workbook(content: bytes) -> bool:
    """Whether bytes are those of a workbook: not of another document, nor of another archive."""
    if content.startswith(MAGIC[0]):
        return b"xl/workbook" in content or b"opendocument.spreadsheet" in content[:200]
    # the folder of an old Office document names its parts in UTF-16
    return content.startswith(MAGIC[1]) and any(
        name.encode("utf-16-le") in content for name in ("Workbook", "Book")
    )


def read_sheet(content: bytes) -> tuple[list[list[str]], str]:
    """The rows of a workbook's first visible sheet that is not empty, and what was left out.

    Returns:
        The rows from the sheet's first line on, each of the same number of cells, without columns
        in which nothing stands; and what names the sheet and those that were not read, empty where
        there is no other.

    Raises:
        ValueError: the workbook is damaged, protected by a password, too large, or empty.
    """
    import python_calamine

    _check_size(content)
    try:
        book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(content))
        visible = python_calamine.SheetVisibleEnum.Visible
        held = {}
        for about in book.sheets_metadata:
            if about.visible == visible and about.typ == python_calamine.SheetTypeEnum.WorkSheet:
                rows = book.get_sheet_by_name(about.name).to_python(skip_empty_area=False)
                if any(cell != "" for row in rows for cell in row):
                    held[about.name] = rows
    except (python_calamine.CalamineError, OSError, ValueError) as error:
        raise ValueError(f"it cannot be read as a workbook: {_told(error)}") from error
    if not held:
        raise ValueError("it is a workbook without a cell that holds anything")
    name, *others = held
    note = f"sheet {name!r} is read; not read: {', '.join(map(repr, others))}" if others else ""
    filled = [any(cell != "" for cell in column) for column in zip(*held[name])]
    return [[_text(c) for c, kept in zip(row, filled) if kept] for row in held[name]], note


def _check_size(content: bytes) -> None:
    if not content.startswith(MAGIC[0]):
        return
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(part.file_size for part in archive.infolist())
    except zipfile.BadZipFile as error:
        raise ValueError(f"it is damaged or cut off: {_told(error)}") from error
    if size > _LARGEST:
        raise ValueError(f"it unpacks to more than {_LARGEST:,} bytes; split it into parts")


def _text(cell: Any) -> str:
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    if isinstance(cell, datetime):
        return (cell.date() if cell.time() == time() else cell).isoformat()
    if isinstance(cell, date | time):
        return cell.isoformat()
    return str(cell).replace("\r\n", "\n").replace("\r", "\n")


def _told(error: Exception) -> str:
    """What an error says, on one line."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
