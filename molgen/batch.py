"""Long runs: draw, deduplicate, filter, describe, score and choose millions of molecules.

:func:`run_batch` reads a run file and fills a folder. The work is cut into chunks, each decided by
the run file and its number alone; chunks are computed by workers in any order, taken in by their
number, and written once enough molecules are there. Whatever was interrupted, the same call goes
on, and the output is the same, byte for byte.

    batch_checks, batch_plan    what is to be done; what a worker needs of it
    batch_chunk                 one chunk
    batch_workers, batch_cluster    who computes chunks: processes here, or Dask
    batch_folder                lock, journal, chunks, whole files
    batch_known, batch_store    molecules that are not wanted, and those seen before
    batch_selection, batch_output    the diverse choice, results, report
    batch_estimate, batch_verify    what it would cost; whether it is true
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molgen.batch_checks import BatchError
from molgen.batch_estimate import BatchEstimate, estimate_batch
from molgen.batch_folder import BatchFolder, disk_errors
from molgen.batch_plan import BLOCK, RunPlan, Selection, Task, as_plan, resolve
from molgen.parallel import count_workers

if TYPE_CHECKING:
    import pyarrow

    from molgen.batch_store import SeenStore
    from molgen.batch_workers import Pool

__all__ = [
    "BatchError", "BatchEstimate", "BatchResult", "RunPlan", "Selection", "estimate_batch",
    "run_batch",
]  # fmt: skip


@dataclass(frozen=True)
class BatchResult:
    """What a batch came to.

    Attributes:
        folder: where the results are.
        n: molecules delivered.
        n_wanted: molecules asked for.
        n_selected: molecules in the diverse choice.
        counts: draws, and how many fell where.
        seconds: of this call.
        already_done: there was nothing to do.
    """

    folder: Path
    n: int
    n_wanted: int
    n_selected: int
    counts: Mapping[str, Any]
    seconds: float
    already_done: bool = False

    def __str__(self) -> str:
        if self.already_done:
            return f"Nothing to do: {self.folder} holds {self.n:,} molecules of this run already."
        text = f"{self.n:,} molecules of {self.counts['drawn']:,} draws in {self.folder}"
        if self.n_selected:
            text += f", {self.n_selected:,} of them selected"
        if self.n < self.n_wanted:
            text += (
                f"; {self.n_wanted:,} were wanted, but max_draws was reached: "
                f"{_where_they_fell(self.counts)}"
            )
        return text + "."


def run_batch(plan: Any, output: str | Path, *, progress: bool = False) -> BatchResult:
    """Run a batch, or go on with one that was interrupted.

    Args:
        plan: a :class:`RunPlan`, a mapping with its keys, or a YAML file.
        output: the folder of the results; ``molecules.parquet`` and ``molecules.csv`` with their
            provenance, ``selected.*`` and ``report.html`` if asked for, ``run.json``.
        progress: show how far it is, how fast, and how long it will take, on standard error.

    Returns:
        A :class:`BatchResult`; where the run was done before, nothing is touched.

    Raises:
        BatchError: a wrong plan; a folder that is in use, or holds another run; a full disk; a
            chunk that failed again and again. What was done is kept.

    Examples:
        >>> import molgen
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> plan = {
        ...     "n": 5,
        ...     "seed": 0,
        ...     "filters": None,
        ...     "workers": 0,
        ...     "properties": ["mw"],
        ...     "report": False,
        ... }
        >>> molgen.run_batch(plan, folder.name).n
        5
        >>> folder.cleanup()
    """
    began = time.monotonic()
    wanted = as_plan(plan)
    task = resolve(wanted)
    from molgen.batch_known import known_hash

    hashes = [known_hash(name) for name in wanted.known]
    decisive = _decisive(wanted, task, hashes)
    with BatchFolder(output).locked() as folder:
        journal = _open_journal(folder, decisive)
        if journal["state"] == "done":
            folder.clear_work()
            n, selected, counts = journal["n"], journal["n_selected"], journal["counts"]
            return BatchResult(folder.path, n, wanted.n, selected, counts, 0.0, True)
        folder.prepare()
        with disk_errors(folder.path):
            run = _Run(wanted, task, folder, hashes, progress)
            try:
                run.gather()
                n_selected, results = run.finish()
            finally:
                run.close()
        journal |= {
            "state": "done",
            "n": run.n_admitted,
            "n_selected": n_selected,
            "counts": run.counts,
            "results": results,
            "finished": _now(),
        }
        folder.write_journal(journal)
        folder.clear_work()
    seconds = time.monotonic() - began
    return BatchResult(folder.path, run.n_admitted, wanted.n, n_selected, run.counts, seconds)


def _decisive(plan: RunPlan, task: Task, hashes: list[str]) -> dict[str, Any]:
    """Everything that the results depend on."""
    from molgen.provenance import record

    import torch  # isort: skip  (so that its version is in the record)

    made = record("run_batch")
    return {
        "n": plan.n,
        "model": task.checkpoint,
        "seed": task.seed,
        "temperature": task.temperature,
        "filters": task.filters,
        "properties": list(task.properties),
        "deduplicate": task.deduplicate,
        "known": hashes,
        "objective": task.objective,
        "select": None if plan.select is None else asdict(plan.select),
        "report": plan.report,
        "max_draws": plan.draws_allowed,
        "chunk_size": task.blocks_per_chunk * BLOCK,
        "version of molgen": made.version,
        "version of RDKit": made.environment["rdkit"],
        "version of PyTorch": str(torch.__version__),
    }


def _open_journal(folder: BatchFolder, decisive: dict[str, Any]) -> dict[str, Any]:
    """The journal of this very run, begun now if there is none.

    Raises:
        BatchError: the folder holds another run, or results that were changed.
    """
    journal = folder.read_journal()
    if journal is None:
        journal = {"format": 1, "identity": decisive, "state": "running", "started": _now()}
        folder.write_journal(journal)
        return journal
    held = journal["identity"]
    for key, value in decisive.items():
        if held.get(key) != value:
            raise BatchError(
                f"{folder.path} holds another run: there {key} is {_brief(held.get(key))}, here it "
                f"is {_brief(value)}; choose another folder."
            )
    if journal["state"] == "done":
        missing, changed = folder.changed_results(journal)
        if changed:
            raise BatchError(
                f"{folder.path / changed[0]} was changed after the run was done; remove it to have "
                "it made again, or choose another folder."
            )
        if missing:
            journal["state"] = "running"
            folder.write_journal(journal)
    return journal


class _Run:
    """A batch under way: chunks come in, and are taken in by their number."""

    def __init__(
        self, plan: RunPlan, task: Task, folder: BatchFolder, hashes: list[str], progress: bool
    ) -> None:
        from molgen.batch_known import known_keys
        from molgen.batch_store import SeenStore

        self._plan, self._task, self._folder, self._progress = plan, task, folder, progress
        self._hashes = hashes
        n_jobs = count_workers(plan.workers) if plan.workers else 1
        known = known_keys(folder, plan.known, hashes, n_jobs, progress)
        self._store: SeenStore = SeenStore(folder.work, plan.memory_limit, known)
        self._chunk_draws = task.blocks_per_chunk * BLOCK
        self._last = math.ceil(plan.draws_allowed / self._chunk_draws)
        self._there = set(folder.chunk_numbers())
        self._taken = 0
        self.n_admitted = 0
        self.counts: dict[str, Any] = {
            "drawn": 0, "unreadable": 0, "duplicates": 0, "fell": {}, "known": 0, "surplus": 0,
        }  # fmt: skip

    # --- Gathering ----------------------------------------------------------------------------

    def gather(self) -> None:
        """Compute chunks and take them in until there are enough molecules."""
        from tqdm import tqdm

        pool: Pool | None = None
        asked: set[int] = set()
        bar = tqdm(
            total=self._plan.n, desc="batch", unit="mol", disable=not self._progress, smoothing=0.05
        )
        try:
            with bar:
                while True:
                    before = self.n_admitted
                    self._take_in()
                    bar.update(self.n_admitted - before)
                    if before == 0 and pool is None:
                        bar.initial, bar.start_t = self.n_admitted, time.time()
                    if self._complete:
                        return
                    pool = pool or self._make_pool()
                    for number in self._to_ask(pool, asked):
                        pool.submit(number)
                        asked.add(number)
                    arrived = pool.next_chunk(patience=1.0)
                    if arrived is not None:
                        number, content = arrived
                        self._folder.write(self._folder.chunk_path(number), content)
                        asked.discard(number)
                        self._there.add(number)
                    bar.refresh()
        finally:
            if pool is not None:
                pool.close()

    def _make_pool(self) -> Pool:
        from molgen.batch_workers import InProcess, WorkerPool

        plan, task = self._plan, self._task
        if plan.cluster is not None:
            from molgen.batch_cluster import DaskPool

            return DaskPool(task, plan.cluster, plan.timeout, plan.retries)
        if plan.workers == 0:
            return InProcess(task)
        n = count_workers(plan.workers)
        return WorkerPool(task, n, self._folder.work, plan.timeout, plan.retries)

    @property
    def _complete(self) -> bool:
        return self.n_admitted >= self._plan.n or self._taken >= self._last

    def _to_ask(self, pool: Pool, asked: set[int]) -> Iterator[int]:
        """The next chunks to compute: as many as there are hands, but none that is not needed."""
        drawn = self._taken * self._chunk_draws
        share = self.n_admitted / drawn if drawn else 1.0
        number = self._taken
        while pool.pending < pool.capacity and number < self._last:
            enough = self.n_admitted + (number - self._taken) * self._chunk_draws * share
            if enough >= self._plan.n and pool.pending:
                return
            if number not in self._there and number not in asked:
                yield number
            number += 1

    def _take_in(self) -> None:
        """Take in the chunks that are there, in order, up to the first gap."""
        from molgen.batch_chunk import read_chunk

        while not self._complete and self._taken in self._there:
            path = self._folder.chunk_path(self._taken)
            try:
                table, counts = read_chunk(path.read_bytes(), self._task, self._taken)
            except BatchError:
                # damaged on the disk: compute it again
                path.unlink(missing_ok=True)
                self._there.discard(self._taken)
                return
            keys = table.column("key").to_numpy()
            draws = table.column("draw").to_numpy()
            allowed = draws < self._plan.draws_allowed
            room = self._plan.n - self.n_admitted
            new, repeated, known = self._store.admit(keys[allowed], draws[allowed], room)
            self.n_admitted += int(new.sum())
            self._taken += 1
            for key in ("drawn", "unreadable", "duplicates"):
                self.counts[key] += counts[key]
            for name, fell in counts["fell"].items():
                self.counts["fell"][name] = self.counts["fell"].get(name, 0) + fell
            self.counts["duplicates"] += repeated
            self.counts["known"] += known
            self.counts["surplus"] += len(keys) - int(new.sum()) - repeated - known

    # --- Finishing ----------------------------------------------------------------------------

    def _admitted(self) -> Iterator[pyarrow.Table]:
        """The molecules of the batch, hidden columns included, in groups of 65,536."""
        import pyarrow

        from molgen.batch_chunk import read_chunk
        from molgen.batch_output import in_groups

        def tables() -> Iterator[pyarrow.Table]:
            for number in range(self._taken):
                content = self._folder.chunk_path(number).read_bytes()
                table, _ = read_chunk(content, self._task, number)
                mask = self._store.admitted(table.column("draw").to_numpy())
                yield table.filter(pyarrow.array(mask))

        return in_groups(tables())

    def finish(self) -> tuple[int, dict[str, str]]:
        """Write the results; how many were selected, and the results' SHA-256 by name.

        Raises:
            BatchError: not one molecule passed.
        """
        from molgen.batch_output import (
            MoleculeWriter,
            choose,
            funnel,
            rows_of,
            shown_rows,
            write_report,
        )

        if not self.n_admitted:
            raise BatchError(
                f"None of {self.counts['drawn']:,} draws is new and passes: "
                f"{_where_they_fell(self.counts)}; loosen the filters or raise max_draws."
            )
        work, provenance = self._folder.work, self._provenance()
        writer = MoleculeWriter(work, "molecules")
        names = list(writer.names)
        try:
            for table in self._admitted():
                writer.write(table)
            writer.close(provenance)
        except BaseException:
            writer.abandon()
            raise
        n_selected = 0
        if self._plan.select is not None:
            chosen = choose(work, self._admitted(), self.n_admitted, self._plan.select)
            n_selected = len(chosen)
            if n_selected:
                rows = rows_of(self._admitted(), chosen["row"].to_numpy())
                selected = MoleculeWriter(work, "selected")
                selected.write(rows)
                selected.close(replace(provenance, function="run_batch.select"))
                names += selected.names
        if self._plan.report:
            shown = rows_of(self._admitted(), shown_rows(self.n_admitted)).to_pandas()
            shown = shown.drop(columns=["key", "digest", "fingerprint", "passed"], errors="ignore")
            steps = funnel(self.counts, list(self.counts["fell"]))
            names.append(write_report(work, shown, self.n_admitted, steps, provenance))
        return n_selected, self._folder.publish(names)

    def close(self) -> None:
        """Close the store of molecules that were seen."""
        self._store.close()

    def _provenance(self) -> Any:
        """The record of the results; without the time, which would differ between equal runs."""
        from molgen.provenance import record

        plan, task = self._plan, self._task
        arguments = {
            "model": plan.model,
            "n": plan.n,
            "temperature": task.temperature,
            "filters": task.filters,
            "properties": list(task.properties),
            "deduplicate": task.deduplicate,
            "known": self._hashes,
            "objective": task.objective,
            "select": None if plan.select is None else asdict(plan.select),
            "max_draws": plan.draws_allowed,
        }
        made = record(
            "run_batch", arguments, seed=plan.seed, checkpoint_sha256=task.checkpoint,
            data_sha256=",".join(self._hashes),
        )  # fmt: skip
        return replace(made, created="see run.json")


def _where_they_fell(counts: Mapping[str, Any]) -> str:
    fallen = {"duplicates": counts["duplicates"], **counts["fell"], "known": counts["known"]}
    worst = sorted(fallen.items(), key=lambda item: -item[1])[:3]
    return ", ".join(f"{n:,} fell at {name}" for name, n in worst if n) or "nothing was drawn"


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
