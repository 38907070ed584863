"""The folder of a batch: lock, journal and chunks; each file is written whole or not at all.

``run.json`` says what runs here and whether it is done; ``work/`` holds finished chunks and
scratch files until then. All names are fixed: nothing in a run file decides where is written.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from molgen.base.errors import BatchError
from molgen.base.whole_files import hash_file

JOURNAL = "run.json"
RESULTS = (
    "molecules.parquet",
    "molecules.csv",
    "molecules.csv.provenance.json",
    "selected.csv",
    "selected.csv.provenance.json",
    "selected.parquet",
    "report.html",
)
"""Every name that a batch may write beside its journal."""


class BatchFolder:
    """A folder that one batch owns while it runs."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.work = self.path / "work"
        self.chunks = self.work / "chunks"

    @contextlib.contextmanager
    def locked(self) -> Iterator[BatchFolder]:
        """Own the folder inside the block; the lock ends with the process, however that ends.

        Raises:
            BatchError: another run owns it, or it cannot be written to.
        """
        try:
            import fcntl
        except ImportError:
            raise BatchError(
                "A batch locks its folder with fcntl, which this operating system lacks; "
                "run it under Linux, macOS, WSL or in a container."
            ) from None

        with disk_errors(self.path):
            if self.path.exists() and not self.path.is_dir():
                raise BatchError(f"{self.path} is a file; --output must be a folder.")
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(
                self.path / "run.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644
            )
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = os.pread(descriptor, 100, 0).decode("utf-8", "replace").strip()
                raise BatchError(
                    f"{self.path} is in use by another run ({owner or 'of unknown process'}); "
                    "wait for it or choose another folder."
                ) from None
            with contextlib.suppress(OSError):  # only for the message above
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"process {os.getpid()} on {os.uname().nodename}".encode(), 0)
            yield self
        finally:
            os.close(descriptor)

    # --- The journal --------------------------------------------------------------------------

    def read_journal(self) -> dict[str, Any] | None:
        """What ``run.json`` says, or None where no batch ran.

        Raises:
            BatchError: it is unreadable, or results lie here without it.
        """
        try:
            journal = json.loads((self.path / JOURNAL).read_text("utf-8"))
        except FileNotFoundError:
            foreign = [n for n in (*RESULTS, "work") if os.path.lexists(self.path / n)]
            if foreign:
                raise BatchError(
                    f"{self.path} has {foreign[0]} but no {JOURNAL}: not made by a batch; choose "
                    "another folder."
                ) from None
            return None
        except (OSError, ValueError) as error:
            raise BatchError(f"Cannot read {self.path / JOURNAL}: {error}.") from error
        if not isinstance(journal, dict) or "identity" not in journal:
            raise BatchError(f"{self.path / JOURNAL} is not the journal of a batch.")
        return journal

    def write_journal(self, journal: dict[str, Any]) -> None:
        """Replace ``run.json``."""
        text = json.dumps(journal, indent=1, sort_keys=True)
        self.write(self.path / JOURNAL, text.encode())

    def changed_results(self, journal: dict[str, Any]) -> tuple[list[str], list[str]]:
        """Names of results that are missing, and of those that are not as they were written."""
        missing, changed = [], []
        for name, digest in journal.get("results", {}).items():
            path = self.path / name
            if not path.is_file():
                missing.append(name)
            elif hash_file(path) != digest:
                changed.append(name)
        return missing, changed

    # --- Chunks -------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make the work folders, and clear what a killed run left half-written."""
        with disk_errors(self.path):
            for folder in (self.work, self.chunks):
                if folder.is_symlink():
                    raise BatchError(f"{folder} is a link to another place; remove it.")
                folder.mkdir(exist_ok=True)
            for entry in self.work.iterdir():
                if entry.name in ("chunks", "known"):
                    continue
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            for entry in self.chunks.glob("*.parquet.tmp"):
                entry.unlink()
            (self.path / f"{JOURNAL}.tmp").unlink(missing_ok=True)

    def chunk_path(self, number: int) -> Path:
        """Where a chunk lies."""
        return self.chunks / f"{number:08d}.parquet"

    def scores_path(self, number: int) -> Path:
        """Where the scores of a chunk lie."""
        return self.chunks / f"{number:08d}.scores.parquet"

    def chunk_numbers(self) -> list[int]:
        """The chunks that are there, in order."""
        return sorted(int(p.stem) for p in self.chunks.glob("*.parquet") if p.stem.isdigit())

    def clear_work(self) -> None:
        """Remove chunks and scratch files once the results are written."""
        shutil.rmtree(self.work, ignore_errors=True)

    # --- Writing ------------------------------------------------------------------------------

    def write(self, path: Path, content: bytes) -> None:
        """Write a file that is there whole or not at all, even after a power cut."""
        temporary = path.with_name(path.name + ".tmp")
        with disk_errors(self.path):
            try:
                with temporary.open("wb") as handle:
                    handle.write(content)
                    handle.flush()
                    os.fsync(handle.fileno())
                os.replace(temporary, path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise

    def publish(self, names: Sequence[str]) -> dict[str, str]:
        """Move finished results from ``work`` to their place; their SHA-256 by name."""
        digests = {}
        with disk_errors(self.path):
            for name in names:
                with (self.work / name).open("rb") as handle:
                    os.fsync(handle.fileno())
                digests[name] = hash_file(self.work / name)
            for name in names:
                os.replace(self.work / name, self.path / name)
        return digests


@contextlib.contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Failures to write inside the block become one sentence each."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BatchError(
                f"The disk of {folder} is full. What was done is kept: free some space and give "
                "the same command again."
            ) from error
        raise BatchError(f"Cannot write in {folder}: {error.strerror or error}.") from error
