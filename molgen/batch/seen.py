"""Which molecules were seen before: 64-bit keys in DuckDB, in bounded memory.

The store is scratch: it is filled from the finished chunks, in their order, whenever a run starts,
so that nothing depends on how the last one ended. Against it stand 8 bytes a molecule; looking up a
chunk is one scan of that column with the chunk's keys as the hash table, hence memory does not grow
with the run, and ten million keys are scanned in some hundredths of a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from molgen.base.errors import BatchError
from molgen.base.parquet import read_parquet


class SeenStore:
    """Keys of molecules that were admitted, and of known molecules that are not wanted."""

    def __init__(self, folder: Path, memory_limit: str, known: Sequence[Path] = ()) -> None:
        """Open an empty store in ``folder``; ``known``: Parquet files with a column ``key``.

        Raises:
            BatchError: the memory limit is not one, or a file cannot be used.
        """
        import duckdb

        self._path = folder / "seen.duckdb"
        self._path.unlink(missing_ok=True)
        self._error: type[Exception] = duckdb.Error
        try:
            self._connection = duckdb.connect(
                str(self._path),
                config={
                    "memory_limit": memory_limit,
                    "temp_directory": str(folder / "spill"),
                    "threads": 1,
                    "autoinstall_known_extensions": False,
                },
            )
            self._connection.execute("CREATE TABLE seen (key UBIGINT, draw BIGINT)")
            self._connection.execute("CREATE TABLE known (key UBIGINT)")
            for path in known:
                self._connection.register("unwanted", read_parquet(path, ["key"])[0])
                self._connection.execute("INSERT INTO known SELECT key FROM unwanted")
                self._connection.unregister("unwanted")
        except duckdb.Error as error:
            raise self._told(error) from error

    def _told(self, error: Exception) -> BatchError:
        said = " ".join(str(error).split())
        if "No space left" in said:
            return BatchError(
                f"The disk of {self._path.parent} is full. What was done is kept: free some space "
                "and give the same command again."
            )
        return BatchError(f"The store of molecules that were seen fails: {said}.")

    def admit(
        self,
        keys: np.ndarray,
        draws: np.ndarray,
        room: int,
        compounds: np.ndarray | None = None,
    ) -> tuple[np.ndarray, int, int]:
        """Admit the molecules of a chunk that are new.

        Args:
            keys: (m,) uint64, each once.
            draws: (m,) int64, ascending and above all admitted before.
            room: admit at most so many.
            compounds: (m,) uint64, by which they are looked for among the known; by default
                ``keys``.

        Returns:
            (m,) bool, which were admitted; how many were seen before; how many are known.
        """
        repeated = self._found("seen", keys)
        known = self._found("known", keys if compounds is None else compounds) & ~repeated
        new = ~(repeated | known)
        new &= np.cumsum(new) <= room
        self._insert(keys[new], draws[new])
        return new, int(repeated.sum()), int(known.sum())

    def _found(self, table: str, keys: np.ndarray) -> np.ndarray:
        import pandas as pd

        batch = pd.DataFrame({"key": keys})
        try:
            self._connection.register("batch", batch)
            found = self._connection.execute(
                f"SELECT DISTINCT key FROM {table} SEMI JOIN batch USING (key)"
            ).fetchnumpy()["key"]
            self._connection.unregister("batch")
        except self._error as error:
            raise self._told(error) from error
        return np.isin(keys, np.asarray(found, dtype=np.uint64))

    def _insert(self, keys: np.ndarray, draws: np.ndarray) -> None:
        import pandas as pd

        batch = pd.DataFrame({"key": keys, "draw": draws})
        try:
            self._connection.register("batch", batch)
            self._connection.execute("INSERT INTO seen SELECT key, draw FROM batch")
            self._connection.unregister("batch")
        except self._error as error:
            raise self._told(error) from error

    def admitted(self, draws: np.ndarray) -> np.ndarray:
        """Which of the ascending ``draws`` (m,) were admitted, (m,) bool."""
        if not len(draws):
            return np.zeros(0, dtype=bool)
        try:
            found = self._connection.execute(
                "SELECT draw FROM seen WHERE draw BETWEEN ? AND ?", [int(draws[0]), int(draws[-1])]
            ).fetchnumpy()["draw"]
        except self._error as error:
            raise self._told(error) from error
        return np.isin(draws, np.asarray(found, dtype=np.int64))

    def close(self) -> None:
        """Close the store and delete its file."""
        self._connection.close()
        self._path.unlink(missing_ok=True)
