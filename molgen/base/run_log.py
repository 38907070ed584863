"""An append-only log of commands: one JSON line each, chained by digests. Both packages hold this.

A line has the time, the user, the command, its options, SHA-256 of the files read and written, the
exit code, and the SHA-256 of the line before, so that a line that was changed, taken out or moved
breaks the chain. Several processes may write to one log at the same time: each takes a lock and
writes its line in one piece. What is killed outright leaves no line.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, BinaryIO

try:
    import fcntl
except ImportError:  # Windows, where msvcrt locks
    fcntl = None  # type: ignore[assignment]

#: Keys that every line has.
KEYS = ("previous", "time", "program", "command", "inputs", "outputs", "exit_code")


class LogError(ValueError):
    """The log cannot be written, or what a command reads would be written over."""


@contextmanager
def logged(
    path: Path | None, program: str, command: str, options: Mapping[str, Any]
) -> Iterator[None]:
    """Run a block and append one line about it, also where it fails; without a path only run it.

    Of the options, those that name a file or folder are digested before and after: what the block
    left as it was is an input, what is new or was written again is an output, and what stood in
    its place before was replaced.

    Raises:
        LogError: the log cannot be written, or the block would write over what it reads; said
            before the block is run.
    """
    check_apart(options)
    if path is None:
        yield
        return
    try:
        with path.open("ab"):
            pass
    except OSError as error:
        raise LogError(f"the log {path} cannot be written: {error.strerror or error}") from error
    places = [place for place in _places(options) if place != path.resolve()]
    before = {place: (digest_of(place), _written(place)) for place in places if place.exists()}
    started = datetime.now(UTC)
    code, failure = 0, ""
    try:
        yield
    except BaseException as error:
        code, failure = _exit_code(error)
        raise
    finally:
        after = {place: (digest_of(place), _written(place)) for place in places if place.exists()}
        same = {place for place, seen in after.items() if before.get(place) == seen}
        append(
            path,
            {
                "time": started.isoformat(timespec="seconds"),
                "seconds": round((datetime.now(UTC) - started).total_seconds(), 3),
                "user": _user(),
                "program": program,
                "version": _version(),
                "command": command,
                "typed": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
                "options": {name: _plain(value) for name, value in options.items()},
                "folder": str(Path.cwd()),
                "inputs": {str(p): d for p, (d, _) in after.items() if p in same},
                "outputs": {str(p): d for p, (d, _) in after.items() if p not in same},
                "replaced": {str(p): d for p, (d, _) in before.items() if p not in same},
                "exit_code": code,
                **({"error": failure} if failure else {}),
            },
        )


def append(path: str | Path, entry: Mapping[str, Any]) -> None:
    """Append one line to a log, with the digest of the line before.

    Raises:
        LogError: it cannot be written.
    """
    try:
        with Path(path).open("a+b", buffering=0) as handle, _locked(handle):
            last, ended = _last_line(handle)
            whole = {"previous": hashlib.sha256(last).hexdigest() if last else "", **entry}
            line = json.dumps(whole, ensure_ascii=False, default=str).encode() + b"\n"
            line = line if ended else b"\n" + line  # a line that a power cut left unfinished
            if handle.write(line) != len(line):
                raise OSError(f"{path}: no room for the line")
            os.fsync(handle.fileno())
    except OSError as error:
        raise LogError(f"the log {path} cannot be written: {error.strerror or error}") from error


def is_log(path: str | Path) -> bool:
    """Whether a file is such a log: its first line has the keys."""
    try:
        with Path(path).open("rb") as handle:
            first = json.loads(handle.readline(1 << 20))
    except (OSError, ValueError):
        return False
    return isinstance(first, dict) and set(KEYS) <= set(first)


def check_log(path: str | Path) -> tuple[int, list[str], list[str]]:
    """The number of lines, what breaks the chain, and which files are no longer as written.

    A chain finds accidents and clumsy changes. Whoever computes all later digests again, or cuts
    lines off at the end, is found only beside a copy kept elsewhere.
    """
    broken: list[str] = []
    written: dict[str, str] = {}
    previous, n = b"", 0
    for n, line in enumerate(Path(path).read_bytes().splitlines(), start=1):
        try:
            entry = json.loads(line)
            told = entry["previous"]
            written |= {str(k): str(v) for k, v in entry["outputs"].items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            broken.append(f"line {n} is no entry: it was cut off or changed")
        else:
            if told != (hashlib.sha256(previous).hexdigest() if previous else ""):
                broken.append(f"line {n} does not follow line {n - 1}: a line was changed or lost")
        previous = line
    notes = []
    for place, digest in written.items():
        if not Path(place).exists():
            notes.append(f"{place} is not there any more")
        elif digest_of(Path(place)) != digest:
            notes.append(f"{place} is not as the last command left it")
    return n, broken, notes


def digest_of(place: Path) -> str:
    """SHA-256 of a file, or of the names and digests of all files of a folder; "" of neither."""
    if place.is_dir():
        whole = hashlib.sha256()
        for part in sorted(p for p in place.rglob("*") if p.is_file()):
            whole.update(f"{part.relative_to(place).as_posix()} {digest_of(part)}\n".encode())
        return whole.hexdigest()
    if not place.is_file():
        return ""
    with place.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _written(place: Path) -> int:
    """When a file, or the newest of a folder, was written, in nanoseconds."""
    parts = place.rglob("*") if place.is_dir() else [place]
    return max((part.stat().st_mtime_ns for part in parts if part.is_file()), default=0)


#: Options of both programs that name a file to write.
WRITTEN = frozenset({
    "output", "report", "rejects", "json", "html", "picture", "plot", "curve", "sdf", "save",
    "funnel",
})  # fmt: skip


def check_apart(options: Mapping[str, Any]) -> None:
    """Refuse options of which two name one file that is to be written.

    Raises:
        LogError: what another option reads or writes would be lost.
    """
    taken: dict[Path, str] = {}
    for name, value in sorted(options.items(), key=lambda one: one[0] in WRITTEN):
        written = isinstance(value, str) and value and name in WRITTEN
        for place in _places({name: Path(value) if written else value}):
            other = taken.setdefault(place, name)
            if other != name and name in WRITTEN and not place.is_dir():
                fate = "written twice" if other in WRITTEN else "read and then written over"
                raise LogError(
                    f"--{name} and {_option(other)} name one file, {place.name}, which would be "
                    f"{fate}; give each a place of its own"
                )


def _option(name: str) -> str:
    return f"--{name}" if name in WRITTEN else name.replace("_", "-")


def _places(options: Mapping[str, Any]) -> list[Path]:
    """Places that options name: all paths, and texts that are the name of something there."""
    found: dict[Path, None] = {}
    for value in options.values():
        for part in value if isinstance(value, list | tuple) else [value]:
            try:
                if isinstance(part, Path) or (isinstance(part, str) and Path(part).exists()):
                    found[Path(part).resolve()] = None
            except (OSError, ValueError):  # a text that can be no name of a file
                continue
    return [place for place in found if place != Path("-").resolve()]


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _exit_code(error: BaseException) -> tuple[int, str]:
    """Exit code of what ends a command, and its text where that is a fault of the program."""
    for name in ("exit_code", "code"):
        code = getattr(error, name, None)
        if isinstance(code, int):
            return code, ""
    if isinstance(error, KeyboardInterrupt):
        return 130, "interrupted"
    return (0, "") if isinstance(error, SystemExit) else (1, f"{type(error).__name__}: {error}")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


def _version() -> str:
    try:
        return version("digital-double")
    except PackageNotFoundError:
        return "0+unknown"


def _last_line(handle: BinaryIO) -> tuple[bytes, bool]:
    """The last line without its end, and whether it has one."""
    end = handle.seek(0, os.SEEK_END)
    tail, at = b"", end
    while at > 0 and tail.rstrip(b"\n").count(b"\n") == 0:
        step = min(at, 1 << 16)
        at = handle.seek(at - step)
        tail = handle.read(step) + tail
    lines = tail.splitlines()
    return (lines[-1] if lines else b""), not tail or tail.endswith(b"\n")


@contextmanager
def _locked(handle: BinaryIO) -> Iterator[None]:
    """Wait until no other process has the log, and keep it for the block."""
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_EX)  # goes when the file is closed
        yield
        return
    import msvcrt

    handle.seek(0)
    msvcrt.locking(handle.fileno(), msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        handle.seek(0)
        msvcrt.locking(handle.fileno(), msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined]
