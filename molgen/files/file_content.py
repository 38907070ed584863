"""What the bytes of a file are: unpacked, of which kind, and as text.

Files are known by their content first and by their name second: a gzip that is called ``.smi``, an
SDF that comes through a pipe and a table that a spreadsheet saved as UTF-16 are read for what they
are; what cannot be read (a picture, a database) is refused by its name.
"""

from __future__ import annotations

import bz2
import gzip
import importlib
import io
import lzma
import re
import zlib
from typing import Any

from molgen.base.errors import MolgenError
from molgen.base.workbooks import is_workbook

#: Bytes of an unpacked file, at most: a few kilobytes of gzip can hold terabytes.
LARGEST = 2 * 1024**3

#: The kinds that :func:`molgen.read_molecules` reads.
KINDS = ("smi", "csv", "tsv", "sdf", "parquet", "xlsx")

_PACKED = {
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\x00": "xz",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstandard",
}
_FOREIGN = {
    b"PK\x03\x04": "a zip archive",
    b"\xd0\xcf\x11\xe0": "an old Office document (.xls, .doc)",
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture (PNG)",
    b"\xff\xd8\xff": "a picture (JPEG)",
    b"ARROW1": "an Arrow file",
    b"\x89HDF": "an HDF5 file",
    b"SQLite format": "an SQLite database",
    b"\x93NUMPY": "a NumPy array",
    b"VjCD": "a ChemDraw file",
}
_SDF = re.compile(r"^M  END[ \t]*$|^\$\$\$\$[ \t]*$|^.{34}V[23]000[ \t]*$", re.MULTILINE)
_HTML = re.compile(r"\s*<(?:!doctype html|html|table|\?xml|head|meta)\b", re.IGNORECASE)
_JSON = re.compile(r"\s*(?:\{|\[\s*[\[{\"])")


class ContentError(MolgenError):
    """Bytes that cannot be read; the message is the end of a sentence that names the file."""


def unpack(content: bytes) -> bytes:
    """The bytes without gzip, xz, bzip2 or zstandard around them.

    Raises:
        ContentError: they are damaged, cut off, or hold more than :data:`LARGEST` bytes.
    """
    for _ in range(2):  # .tar.gz inside .gz is nobody's file of molecules
        kind = next((name for magic, name in _PACKED.items() if content.startswith(magic)), None)
        if kind is None:
            break
        try:
            with _opened(content, kind) as stream:
                content = stream.read(LARGEST + 1)
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise ContentError(f"is damaged or cut off: {error}") from error
        if len(content) > LARGEST:
            raise ContentError(f"holds more than {LARGEST:,} bytes; split it into parts")
    return content


def _opened(content: bytes, kind: str) -> Any:
    stream = io.BytesIO(content)
    if kind == "gzip":
        return gzip.GzipFile(fileobj=stream)
    if kind == "xz":
        return lzma.LZMAFile(stream)
    if kind == "bzip2":
        return bz2.BZ2File(stream)
    try:
        zstandard = importlib.import_module("zstandard")
    except ImportError:
        raise ContentError(
            "is packed with zstandard: unpack it with zstd -d, or install the package zstandard"
        ) from None
    return zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True)


def recognise(content: bytes) -> str | None:
    """``"parquet"``, ``"xlsx"`` for a workbook of any program, or None for what must be text.

    Raises:
        ContentError: it is of a known kind that holds no molecules that could be read here.
    """
    if content[:4] == b"PAR1":
        return "parquet"
    if is_workbook(content):
        return "xlsx"
    for magic, name in _FOREIGN.items():
        if content.startswith(magic):
            raise ContentError(f"is {name}, which is not read")
    return None


def decode(content: bytes) -> str:
    """The text of a file: UTF-8, or UTF-16 or UTF-32 by their marks or their zero bytes.

    Bytes that are not UTF-8 become lone surrogates (:func:`mend` reads them as Windows-1252).

    Raises:
        ContentError: text of two or four bytes a character that is damaged.
    """
    encoding = _encoding(content)
    if encoding is None:
        return content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise ContentError(
            f"is damaged: it is not {encoding} throughout ({error.reason})"
        ) from None


def _encoding(content: bytes) -> str | None:
    """The name of an encoding of two or four bytes a character; None for UTF-8 and its kin."""
    if content.startswith((b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")):
        return "utf-32"
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    sample = content[:4096]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if odd > 0.4 * len(sample) / 2 and even <= odd / 4:
        return "utf-16-le"
    if even > 0.4 * len(sample) / 2 and odd <= even / 4:
        return "utf-16-be"
    return None


_BROKEN = re.compile("[\udc80-\udcff]")


def broken(text: str) -> bool:
    """Whether the text holds bytes that are not UTF-8."""
    return _BROKEN.search(text) is not None


def mend(text: str) -> str:
    """The text with bytes that are not UTF-8 read as Windows-1252, which most of them are.

    >>> mend("\\udcb5M caf\\udce9")
    'µM café'
    """
    return _BROKEN.sub(_windows, text)


def _windows(match: re.Match[str]) -> str:
    byte = bytes([ord(match.group()) - 0xDC00])
    try:
        return byte.decode("cp1252")
    except UnicodeDecodeError:  # five bytes that Windows left free
        return byte.decode("latin-1")


def shown(text: str) -> str:
    """The text with bytes that are not UTF-8 written as ``\\xff``."""
    return _BROKEN.sub(lambda m: f"\\x{ord(m.group()) - 0xDC00:02x}", text)


def holds_sdf(text: str) -> bool:
    """Whether the text has the lines of a structure file (SDF, mol)."""
    return _SDF.search(text[:200_000].replace("\r", "\n")) is not None


def holds_json(text: str) -> bool:
    """Whether the text begins as JSON does."""
    return _JSON.match(text) is not None


def holds_html(text: str) -> bool:
    """Whether the text begins as a web page does, which some programs save with the ending .xls."""
    return _HTML.match(text) is not None
