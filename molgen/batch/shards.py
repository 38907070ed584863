"""A batch in pieces, computed anywhere, and put together to the bytes of one run.

Shard 3 of 8 computes every eighth chunk, from the third on, and keeps them in a folder of its own
that needs no other. Chunks are decided by the run file and their number alone, so that whoever has
the folders of all shards has the chunks of one run. Merging takes them in by their number, as one
run would: what two shards drew alike is there once.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from molgen.base.errors import BatchError
from molgen.batch.folder import BatchFolder

#: What a shard draws beyond its part, for what other shards have drawn before.
MARGIN = 1.02


@dataclass(frozen=True)
class Shard:
    """Which chunks of a batch: ``number`` of ``count``, from 1.

    Examples:
        >>> from molgen.batch.shards import Shard
        >>> [Shard(3, 8).chunk(i) for i in range(3)]
        [2, 10, 18]
    """

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise BatchError(
                f"shard is {self.number}/{self.count}; expected a number from 1 to the count, 3/8"
            )

    @classmethod
    def parse(cls, text: str) -> Shard:
        """``"3/8"`` as the third of eight."""
        number, slash, count = text.partition("/")
        if not (slash and number.strip().isdecimal() and count.strip().isdecimal()):
            raise BatchError(f"shard is {text!r}; expected for example 3/8, the third of eight")
        return cls(int(number), int(count))

    def chunk(self, position: int) -> int:
        """The number of the shard's chunk at ``position``, from 0."""
        return self.number - 1 + position * self.count

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return f"shard-{self.number}-of-{self.count}"

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def find_shards(output: Path) -> list[Path]:
    """The folders of shards in the folder of a batch."""
    return sorted(p for p in output.glob("shard-*-of-*") if (p / "run.json").is_file())


def take_chunks(
    shards: Sequence[Path], folder: BatchFolder, decisive: Mapping[str, Any], complete: bool
) -> int:
    """Put the chunks of shards into the folder of a batch; how many there are now.

    Args:
        shards: folders of shards.
        folder: of the batch, prepared.
        decisive: all that the results depend on, which has to be the same in each shard.
        complete: take shards that are not done, or are not there.

    Raises:
        BatchError: a folder holds no shard or one of another run, or a shard lacks.
    """
    done: set[Shard] = set()
    for path in shards:
        journal = BatchFolder(path).read_journal()
        if journal is None or "shard" not in journal:
            raise BatchError(f"{path} holds no shard of a batch.")
        for key, value in decisive.items():
            held = journal["identity"].get(key)
            if held != value:
                raise BatchError(
                    f"{path} is of another run: there {key} is {held!r:.80}, here it is "
                    f"{value!r:.80}."
                )
        shard = Shard.parse(journal["shard"])
        if journal["state"] == "shard done":
            done.add(shard)
        elif not complete:
            raise BatchError(
                f"shard {shard} in {path} is not done: give its command again, or merge with "
                "--complete to compute here what it lacks."
            )
    if not complete:
        _check_all_there(done)
    with contextlib.suppress(FileNotFoundError):
        for path in shards:
            for chunk in sorted((path / "work" / "chunks").glob("*.parquet")):
                target = folder.chunks / chunk.name
                if target.exists():
                    continue
                try:
                    os.link(chunk, target)
                except OSError:  # on another disk
                    shutil.copyfile(chunk, target.with_name(target.name + ".tmp"))
                    os.replace(target.with_name(target.name + ".tmp"), target)
    return len(folder.chunk_numbers())


def _check_all_there(done: set[Shard]) -> None:
    if not done:
        raise BatchError("There are no shards to merge.")
    counts = {shard.count for shard in done}
    for count in sorted(counts):
        missing = [n for n in range(1, count + 1) if Shard(n, count) not in done]
        if not missing:
            return
    count = max(counts, key=lambda c: sum(s.count == c for s in done))
    missing = [n for n in range(1, count + 1) if Shard(n, count) not in done]
    raise BatchError(
        f"shard {', '.join(f'{n}/{count}' for n in missing[:5])}"
        f"{' and others' if len(missing) > 5 else ''} is not there: run it, or merge with "
        "--complete to compute here what it lacks."
    )
