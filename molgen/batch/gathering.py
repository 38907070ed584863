"""A batch under way: chunks come in, are taken in by their number, scored, and become results."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from molgen.base.errors import BatchError
from molgen.base.parallel import count_workers
from molgen.batch.chunk import HIDDEN, read_chunk
from molgen.batch.cluster import DaskPool
from molgen.batch.folder import BatchFolder
from molgen.batch.jobs import Job, read_scores
from molgen.batch.known import keys_of_drawn, known_keys
from molgen.batch.plan import RunPlan, Task
from molgen.batch.results import (
    MoleculeWriter,
    choose,
    funnel,
    in_groups,
    rows_of,
    shown_rows,
    write_report,
)
from molgen.batch.seen import SeenStore
from molgen.batch.shards import MARGIN, Shard
from molgen.batch.workers import InProcess, WorkerPool
from molgen.files.provenance_records import record, row_digests
from molgen.model.cards import read_card
from molgen.sampling.unwritten import writes_stereo

if TYPE_CHECKING:
    import pandas as pd

    from molgen.batch.seen import SeenStore
    from molgen.batch.workers import Pool


class Run:
    """A batch under way: chunks come in, and are taken in by their number."""

    def __init__(
        self,
        plan: RunPlan,
        task: Task,
        folder: BatchFolder,
        hashes: list[str],
        progress: bool,
        shard: Shard | None = None,
    ) -> None:
        self._shard = shard or Shard()
        self._plan, self._task, self._folder, self._progress = plan, task, folder, progress
        self._hashes = hashes
        n_jobs = count_workers(plan.workers) if plan.workers else 1
        self._stereo = writes_stereo(read_card(task.model_folder))
        known = known_keys(folder, plan.known, hashes, n_jobs, progress, self._stereo)
        self._store: SeenStore = SeenStore(folder.work, plan.memory_limit, known)
        self._chunk_draws = task.blocks_per_chunk * task.block
        n_chunks = math.ceil(plan.draws_allowed / self._chunk_draws)
        self._last = len(range(self._shard.chunk(0), n_chunks, self._shard.count))
        self._there = set(folder.chunk_numbers())
        self._taken = 0
        self._to_score: dict[int, tuple[str, ...]] = {}
        self.n_admitted = 0
        self.counts: dict[str, Any] = {
            "drawn": 0, "unreadable": 0, "duplicates": 0, "fell": {}, "known": 0, "surplus": 0,
        }  # fmt: skip

    # --- Gathering ----------------------------------------------------------------------------

    def gather(self) -> None:
        """Compute chunks and take them in until there are enough molecules."""
        from tqdm import tqdm

        pool: Pool | None = None
        asked: set[tuple[int, bool]] = set()
        bar = tqdm(
            total=math.ceil(self._wanted), desc="batch", unit="mol", disable=not self._progress,
            smoothing=0.05,
        )  # fmt: skip
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
                    for job in self._to_ask(pool, asked):
                        pool.submit(job)
                        asked.add(job.key)
                    arrived = pool.next_result(patience=1.0)
                    if arrived is not None:
                        self._keep(*arrived)
                        asked.discard(arrived[0].key)
                    bar.refresh()
        finally:
            if pool is not None:
                pool.close()

    def _keep(self, job: Job, content: bytes) -> None:
        if job.smiles is None:
            self._folder.write(self._folder.chunk_path(job.number), content)
            self._there.add(job.number)
        else:
            self._folder.write(self._folder.scores_path(job.number), content)
            self._to_score.pop(job.number)

    def _make_pool(self) -> Pool:
        plan, task = self._plan, self._task
        if plan.cluster is not None:
            return DaskPool(task, plan.cluster, plan.timeout, plan.retries)
        if plan.workers == 0:
            return InProcess(task)
        n = count_workers(plan.workers)
        return WorkerPool(task, n, self._folder.work, plan.timeout, plan.retries)

    @property
    def _wanted(self) -> float:
        """Molecules that these chunks are to give: all, or the part of a shard and some more."""
        if self._shard.count == 1:
            return self._plan.n
        return MARGIN * self._plan.n / self._shard.count

    @property
    def _enough(self) -> bool:
        return self.n_admitted >= self._wanted or self._taken >= self._last

    @property
    def n_chunks(self) -> int:
        """Chunks that were taken in."""
        return self._taken

    @property
    def _complete(self) -> bool:
        return self._enough and not self._to_score

    def _to_ask(self, pool: Pool, asked: set[tuple[int, bool]]) -> Iterator[Job]:
        """The next jobs that are needed, scores first, as many as the pool has room for."""
        for number, smiles in self._to_score.items():
            if pool.pending >= pool.capacity:
                return
            if (number, True) not in asked:
                yield Job(number, smiles)
        if self._enough:
            return
        drawn = self._taken * self._chunk_draws
        share = self.n_admitted / drawn if drawn else 1.0
        position = self._taken
        while pool.pending < pool.capacity and position < self._last:
            enough = self.n_admitted + (position - self._taken) * self._chunk_draws * share
            if enough >= self._wanted and pool.pending:
                return
            number = self._shard.chunk(position)
            if number not in self._there and (number, False) not in asked:
                yield Job(number)
            position += 1

    def _take_in(self) -> None:
        """Take in the chunks that are there, in order, up to the first gap."""
        while not self._enough and (number := self._shard.chunk(self._taken)) in self._there:
            path = self._folder.chunk_path(number)
            try:
                table, counts = read_chunk(path, self._task, number)
            except BatchError:
                # damaged on the disk: compute it again
                path.unlink(missing_ok=True)
                self._there.discard(number)
                return
            keys, draws = table["key"].to_numpy(), table["draw"].to_numpy()
            allowed = draws < self._plan.draws_allowed
            # what a shard has too much of may be what the others lack
            room = self._plan.n - self.n_admitted if self._shard.count == 1 else len(keys)
            compounds = None
            if self._plan.known:
                compounds = keys_of_drawn(table, self._stereo)[allowed]
            new, repeated, known = self._store.admit(keys[allowed], draws[allowed], room, compounds)
            self.n_admitted += int(new.sum())
            if self._task.objective is not None and new.any():
                admitted = table["smiles"].to_numpy()[allowed][new]
                self._look_for_scores(number, tuple(admitted.tolist()))
            self._taken += 1
            for key in ("drawn", "unreadable", "duplicates"):
                self.counts[key] += counts[key]
            for name, fell in counts["fell"].items():
                self.counts["fell"][name] = self.counts["fell"].get(name, 0) + fell
            if counts.get("refused"):
                self.counts.setdefault("refused", {}).update(counts["refused"])
            self.counts["duplicates"] += repeated
            self.counts["known"] += known
            self.counts["surplus"] += len(keys) - int(new.sum()) - repeated - known

    def _look_for_scores(self, number: int, smiles: tuple[str, ...]) -> None:
        path = self._folder.scores_path(number)
        try:
            read_scores(path, self._task, number, smiles)
        except (BatchError, FileNotFoundError):  # not computed yet, or damaged on the disk
            self._to_score[number] = smiles

    # --- Finishing ----------------------------------------------------------------------------

    def _admitted(self) -> Iterator[pd.DataFrame]:
        """The molecules of the batch, hidden columns included, in groups of 65,536."""

        def tables() -> Iterator[pd.DataFrame]:
            for number in range(self._taken):
                table, _ = read_chunk(self._folder.chunk_path(number), self._task, number)
                table = table[self._store.admitted(table["draw"].to_numpy())]
                if not len(table):
                    continue
                table = table.reset_index(drop=True)
                scored = self._task.objective is not None
                yield self._with_scores(table, number) if scored else table

        return in_groups(tables())

    def _with_scores(self, table: pd.DataFrame, number: int) -> pd.DataFrame:
        """Admitted molecules of a chunk with their scores, and digests of the rows so completed."""
        import pandas as pd

        scores = read_scores(
            self._folder.scores_path(number), self._task, number, tuple(table["smiles"])
        )
        hidden = table[[c for c in table.columns if c in HIDDEN]]
        whole = pd.concat([table.drop(columns=hidden.columns), scores], axis=1)
        return pd.concat([whole, hidden.assign(digest=row_digests(whole))], axis=1)

    def finish(self) -> tuple[int, dict[str, str]]:
        """Write the results; how many were selected, and the results' SHA-256 by name.

        Raises:
            BatchError: not one molecule passed.
        """
        if not self.n_admitted:
            raise BatchError(
                f"None of {self.counts['drawn']:,} draws is new and passes: "
                f"{where_they_fell(self.counts)}; loosen the filters or raise max_draws."
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
            shown = rows_of(self._admitted(), shown_rows(self.n_admitted))
            shown = shown.drop(columns=["key", "digest", "fingerprint", "passed"], errors="ignore")
            steps = funnel(self.counts, list(self.counts["fell"]))
            names.append(write_report(work, shown, self.n_admitted, steps, provenance))
        return n_selected, self._folder.publish(names)

    def close(self) -> None:
        """Close the store of molecules that were seen."""
        self._store.close()

    def _provenance(self) -> Any:
        """The record of the results; without the time, which would differ between equal runs."""
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
        if task.start is not None:
            arguments["start"] = task.start
        made = record(
            "run_batch", arguments, seed=plan.seed, checkpoint_sha256=task.checkpoint,
            data_sha256=",".join(self._hashes), notes=self._notes(),
        )  # fmt: skip
        return replace(made, created="see run.json")

    def _notes(self) -> tuple[str, ...]:
        if not self._plan.known:
            return ()
        how = "with stereo" if self._stereo else "without stereo, as the model writes none"
        return (f"known molecules are told by their parents, {how}",)


def where_they_fell(counts: Mapping[str, Any]) -> str:
    """The three steps that refused most of the draws, in words."""
    fallen = {"duplicates": counts["duplicates"], **counts["fell"], "known": counts["known"]}
    worst = sorted(fallen.items(), key=lambda item: -item[1])[:3]
    return ", ".join(f"{n:,} fell at {name}" for name, n in worst if n) or "nothing was drawn"
