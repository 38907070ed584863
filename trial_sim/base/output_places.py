"""Places that results are written to: tried before the work, and filled in one step."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def try_place(path: str | Path | None, make_folder: bool = False) -> None:
    """Raise, in one sentence, unless a file can be written at ``path`` now.

    Args:
        path: the file to be; None for none. make_folder: whether its folder may be made.

    Raises:
        ValueError: if the path is a folder, its folder does not exist, or neither can be written.
    """
    if path is None:
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
        if place.exists():
            with place.open("ab"):
                pass
        if not _special(place):
            with tempfile.TemporaryFile(dir=folder) as handle:
                handle.write(b" ")
    except OSError as error:
        raise ValueError(f"{str(place)!r} cannot be written: {error.strerror or error}") from None


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A path to write to, whose file takes the place of ``path`` when the block ends well.

    When it does not, nothing is left behind, and what stood at ``path`` before is still there.
    """
    place = Path(path)
    if _special(place):
        yield place
        return
    handle, name = tempfile.mkstemp(prefix=".writing-", suffix=place.suffix, dir=place.parent)
    os.close(handle)
    made = Path(name)
    try:
        yield made
        mask = os.umask(0)
        os.umask(mask)
        mode = place.stat().st_mode & 0o777 if place.exists() else 0o666 & ~mask
        made.chmod(mode)
        made.replace(place)
    except BaseException:
        made.unlink(missing_ok=True)
        raise


def _special(place: Path) -> bool:
    """Whether something stands there that is no ordinary file, such as ``/dev/stdout``."""
    return place.exists() and not place.is_file()
