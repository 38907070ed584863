"""Places that results are written to: tried before the work, and filled in one step."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STREAM = re.compile(r"/dev/(stdin|stdout|stderr)|/(?:dev|proc/self)/fd/(\d+)")
_FORMATS = frozenset({
    ".png", ".jpg", ".jpeg", ".gif", ".tif", ".tiff", ".pdf", ".svg", ".html", ".htm", ".json",
    ".csv", ".tsv", ".xls", ".xlsx", ".doc", ".docx", ".pptx", ".md", ".tex", ".txt", ".xml",
    ".sdf", ".smi", ".yaml", ".yml", ".parquet", ".npz",
})  # fmt: skip
_NUMBERS = {"stdin": 0, "stdout": 1, "stderr": 2}


def try_place(path: str | Path | None, make_folder: bool = False) -> None:
    """Raise, in one sentence, unless a file can be written at ``path`` now.

    Args:
        path: the file to be; None for none. make_folder: whether its folder may be made.

    Raises:
        ValueError: if the path is a folder, its folder does not exist, or neither can be written.
    """
    if path is None or _stream(path) is not None:
        return
    place = Path(path)
    folder = place.parent
    try:
        if make_folder:
            folder.mkdir(parents=True, exist_ok=True)
        if place.is_dir():
            raise ValueError(f"{str(place)!r} is a folder: name a file to write")
        if not folder.is_dir():
            raise ValueError(f"there is no folder {str(folder)!r} to write {place.name!r} in")
        if not is_ordinary(place):
            if not os.access(place, os.W_OK):
                raise ValueError(f"{str(place)!r} cannot be written: it is not yours to write")
            return
        if place.exists():
            with place.open("ab"):
                pass
        with tempfile.TemporaryFile(dir=_behind_links(place).parent) as handle:
            handle.write(b" ")
    except OSError as error:
        raise ValueError(f"{str(place)!r} cannot be written: {error.strerror or error}") from None


def check_format(path: str | Path | None, ending: str, what: str) -> None:
    """Raise where a name promises another kind of file than is written: a drawing ``x.png``.

    Args:
        path: the file to be; None for none. ending: of the kind that is written, such as ".svg".
        what: is written, for the sentence.

    Raises:
        ValueError: the name ends as that of another kind.
    """
    if path is None or not is_ordinary(path):
        return
    found = Path(path).suffix.lower()
    if found in _FORMATS and found.removesuffix("l") != ending.removesuffix("l"):
        better = Path(path).with_suffix(ending)
        raise ValueError(f"{what} is written as {ending}, not as {found}: name it {better}")


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A path to write to, whose file takes the place of ``path`` when the block ends well.

    When it does not, nothing is left behind, and what stood at ``path`` before is still there.
    A link stays a link: the file that it points to is replaced, and keeps its permissions. What
    is no ordinary file (``/dev/stdout``, ``/dev/null``, a named pipe) is never replaced: it gets
    the bytes when they are complete.
    """
    if not is_ordinary(path):
        with tempfile.TemporaryDirectory(prefix="writing-") as folder:
            made = Path(folder) / Path(path).name
            made.touch()
            yield made
            _pour(made, path)
        return
    place = _behind_links(path)
    handle, name = tempfile.mkstemp(prefix=".writing-", suffix=place.suffix, dir=place.parent)
    os.close(handle)
    made = Path(name)
    try:
        yield made
        mask = os.umask(0)
        os.umask(mask)
        # mkstemp makes files that only their owner can read
        mode = place.stat().st_mode & 0o777 if place.exists() else 0o666 & ~mask
        made.chmod(mode)
        made.replace(place)
    except BaseException:
        made.unlink(missing_ok=True)
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write a text file so that a reader sees the whole of it or none."""
    with replacing(path) as made:
        made.write_text(text, encoding="utf-8", newline="\n")


def is_ordinary(path: str | Path) -> bool:
    """Whether a file stands or may stand at ``path``: no stream, device or named pipe."""
    place = Path(path)
    return _stream(place) is None and (place.is_file() or not place.exists())


def _behind_links(path: str | Path) -> Path:
    """The file itself where ``path`` is a link to it, be it there or not; else the path."""
    return Path(os.path.realpath(path)) if Path(path).is_symlink() else Path(path)


def _stream(path: str | Path) -> int | None:
    """The number of the open stream that a path names, such as 1 for ``/dev/stdout``, or None.

    The name decides: where standard output goes into a file, ``/dev/stdout`` leads to that file,
    which is not to be replaced either.
    """
    name = os.path.abspath(path)
    for _ in range(40):
        found = _STREAM.fullmatch(name)
        if found:
            return _NUMBERS[found[1]] if found[1] else int(found[2])
        if not os.path.islink(name):
            return None
        name = os.path.normpath(os.path.join(os.path.dirname(name), os.readlink(name)))
    return None


def _pour(made: Path, path: str | Path) -> None:
    """The bytes of a file into a stream, a device or a named pipe, after what went before."""
    number = _stream(path)
    with made.open("rb") as source:
        if number is None:
            with Path(path).open("ab", buffering=0) as into:
                shutil.copyfileobj(source, into)
            return
        for standard in (sys.stdout, sys.stderr):
            standard.flush()
        with os.fdopen(os.dup(number), "wb") as into:
            shutil.copyfileobj(source, into)
