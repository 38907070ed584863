"""Long runs: draw, deduplicate, filter, describe, score and choose millions of molecules.

:func:`run_batch` reads a run file and fills a folder. The work is cut into chunks, each decided by
the run file and its number alone; chunks are computed by workers in any order, taken in by their
number, and written once enough molecules are there. Whatever was interrupted, the same call goes
on, and the output is the same, byte for byte.

    plan                what is to be done; what a worker needs of it
    chunk, jobs         one chunk, drawn, computed again and compared; its scores
    gathering           chunks come in, are taken in, and become results
    workers, cluster    who computes chunks: processes here, or Dask
    starts              leads, scaffolds, links and windows that draws start from
    shards              a batch in pieces, and the pieces put together
    folder              lock, journal, chunks, whole files
    known, seen         molecules that are not wanted, and those seen before
    results             the files of a finished batch and its report
    running             run_batch; what it would cost
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from molgen.base.errors import BatchError
from molgen.base.parallel import count_workers, one_thread
from molgen.base.user_warnings import warn_user
from molgen.batch.chunk import compute_chunk, read_chunk
from molgen.batch.folder import BatchFolder, disk_errors
from molgen.batch.gathering import Run, where_they_fell
from molgen.batch.jobs import compute_scores
from molgen.batch.known import known_hash
from molgen.batch.plan import (
    BLOCK,
    RunPlan,
    Selection,
    Task,
    as_plan,
    check_reachable,
    resolve,
)
from molgen.batch.shards import Shard, find_shards, take_chunks
from molgen.batch.starts import Starts, check_starts
from molgen.files.provenance_records import record

__all__ = [
    "BatchError", "BatchEstimate", "BatchResult", "RunPlan", "Selection", "Shard",
    "estimate_batch", "merge_batch", "run_batch",
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
        shard: "3/8" where this is the third of eight parts.
        n_chunks: chunks that the shard has.
    """

    folder: Path
    n: int
    n_wanted: int
    n_selected: int
    counts: Mapping[str, Any]
    seconds: float
    already_done: bool = False
    shard: str | None = None
    n_chunks: int = 0

    def __str__(self) -> str:
        if self.shard is not None:
            did = "was done before" if self.already_done else "is done"
            return (
                f"Shard {self.shard} {did}: {self.n_chunks:,} chunks, {self.n:,} molecules in "
                f"{self.folder}; when all are, 'molgen merge' puts them together."
            )
        if self.already_done:
            return f"Nothing to do: {self.folder} holds {self.n:,} molecules of this run already."
        text = f"{self.n:,} molecules of {self.counts['drawn']:,} draws in {self.folder}"
        if self.n_selected:
            text += f", {self.n_selected:,} of them selected"
        if self.n < self.n_wanted:
            text += (
                f"; {self.n_wanted:,} were wanted, but max_draws was reached: "
                f"{where_they_fell(self.counts)}"
            )
        refused = self.counts.get("refused", {})
        if refused:
            first = next(iter(refused))
            text += f"; {len(refused):,} starts gave nothing, the first {first}: {refused[first]}"
        return text + "."


def run_batch(
    plan: Any,
    output: str | Path,
    *,
    shard: str | tuple[int, int] | None = None,
    progress: bool = False,
) -> BatchResult:
    """Run a batch, or go on with one that was interrupted.

    Args:
        plan: a :class:`RunPlan`, a mapping with its keys, or a YAML file.
        output: the folder of the results; ``molecules.parquet`` and ``molecules.csv`` with their
            provenance, ``selected.*`` and ``report.html`` if asked for, ``run.json``.
        shard: compute only this part, ``"3/8"`` or ``(3, 8)``, into the folder
            ``shard-3-of-8`` of ``output``; :func:`merge_batch` puts the parts together.
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
    wanted = as_plan(plan)
    for contradiction in wanted.contradictions:
        warn_user(f"The plan contradicts itself: {contradiction}.")
    check_reachable(wanted.cluster)
    if shard is not None:
        part = Shard.parse(shard) if isinstance(shard, str) else Shard(*shard)
        return _run_shard(wanted, Path(output), part, progress)
    return _run_whole(wanted, output, progress)


def merge_batch(
    plan: Any,
    output: str | Path,
    shards: Sequence[str | Path] = (),
    *,
    complete: bool = False,
    progress: bool = False,
) -> BatchResult:
    """Put the shards of a batch together: the files are, byte for byte, those of one run.

    Molecules that several shards drew are there once. What is missing for that (a chunk or two, as
    a rule) is computed here.

    Args:
        plan: as for :func:`run_batch`.
        output: the folder of the results.
        shards: folders of the shards; by default those in ``output``.
        complete: also when a shard is missing or not done; what it lacks is computed here.
        progress: show how far it is, on standard error.

    Raises:
        BatchError: a shard is missing, not done, or of another run; and what :func:`run_batch`
            raises.

    Examples:
        >>> from molgen.batch.running import merge_batch, run_batch
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> plan = {"n": 5, "filters": None, "workers": 0, "properties": ["mw"], "report": False}
        >>> for part in ("1/2", "2/2"):
        ...     _ = run_batch(plan, folder.name, shard=part)
        >>> merge_batch(plan, folder.name).n
        5
        >>> folder.cleanup()
    """
    wanted = as_plan(plan)
    places = [Path(path) for path in shards] or find_shards(Path(output))
    return _run_whole(wanted, output, progress, places, complete)


def _run_shard(plan: RunPlan, output: Path, shard: Shard, progress: bool) -> BatchResult:
    began = time.monotonic()
    task = resolve(plan)
    hashes = [known_hash(name) for name in plan.known]
    decisive = _decisive(plan, task, hashes)
    with BatchFolder(output / shard.folder).locked() as folder:
        journal = _open_journal(folder, decisive, {"shard": str(shard)})
        done = journal["state"] == "shard done"
        if not done:
            folder.prepare()
            _try_start(task, folder)
            with disk_errors(folder.path):
                run = Run(plan, task, folder, hashes, progress, shard)
                try:
                    run.gather()
                finally:
                    run.close()
            journal |= {
                "state": "shard done",
                "n": run.n_admitted,
                "n_chunks": run.n_chunks,
                "counts": run.counts,
                "finished": _now(),
            }
            folder.write_journal(journal)
        return BatchResult(
            folder.path, journal["n"], plan.n, 0, journal["counts"], time.monotonic() - began,
            done, str(shard), journal["n_chunks"],
        )  # fmt: skip


def _run_whole(
    wanted: RunPlan,
    output: str | Path,
    progress: bool,
    shards: Sequence[Path] | None = None,
    complete: bool = False,
) -> BatchResult:
    """Run a batch, with the chunks of ``shards`` where it is put together from them."""
    began = time.monotonic()
    task = resolve(wanted)
    hashes = [known_hash(name) for name in wanted.known]
    decisive = _decisive(wanted, task, hashes)
    with BatchFolder(output).locked() as folder:
        journal = _open_journal(folder, decisive)
        if journal["state"] == "done":
            folder.clear_work()
            n, selected, counts = journal["n"], journal["n_selected"], journal["counts"]
            return BatchResult(folder.path, n, wanted.n, selected, counts, 0.0, True)
        folder.prepare()
        _try_start(task, folder)
        with disk_errors(folder.path):
            if shards is not None:
                take_chunks(shards, folder, decisive, complete)
            run = Run(wanted, task, folder, hashes, progress)
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


def _try_start(task: Task, folder: BatchFolder) -> None:
    """Refuse starts of which nothing can be made before any work is handed out."""
    if task.start is None or folder.chunk_numbers():
        return
    from molgen.generation.generator import load_model

    starts = Starts.from_dict(task.start)
    with one_thread():
        check_starts(starts, load_model(task.model_folder), task.seed, task.temperature)


def _decisive(plan: RunPlan, task: Task, hashes: list[str]) -> dict[str, Any]:
    """Everything that the results depend on."""
    import torch  # isort: skip  (so that its version is in the record)

    made = record("run_batch")
    return {
        **({} if task.start is None else {"start": task.start}),
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


def _open_journal(
    folder: BatchFolder, decisive: dict[str, Any], more: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The journal of this very run, begun now, with ``more`` in it, if there is none.

    Raises:
        BatchError: the folder holds another run, or results that were changed.
    """
    journal = folder.read_journal()
    if journal is None:
        journal = {"format": 1, "identity": decisive, "state": "running", "started": _now()}
        journal |= more or {}
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


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class BatchEstimate:
    """What a batch would cost, measured on 512 draws in one process.

    Attributes:
        draws: molecules to draw. chunks: of how many draws each. acceptance: share that passes.
        seconds: on the workers of the plan. seconds_per_draw: on one.
        memory_bytes: of all workers and the leading process. disk_bytes: at the peak.
        free_bytes: on the disk of the folder.
        contradictions: what the plan asks for and cannot have, one sentence each.
    """

    draws: int
    chunks: int
    acceptance: float
    seconds: float
    seconds_per_draw: float
    memory_bytes: int
    disk_bytes: int
    free_bytes: int
    contradictions: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the batch would not end as asked, one sentence each; empty when nothing is known."""
        found = list(self.contradictions)
        if self.disk_bytes > self.free_bytes:
            found.append(
                f"the results need {self.disk_bytes / 1e9:.1f} GB on the disk, "
                f"{self.free_bytes / 1e9:.1f} GB are free"
            )
        memory = _memory_bytes()
        if memory and self.memory_bytes > memory:
            found.append(
                f"the workers need {self.memory_bytes / 1e9:.1f} GB of memory, "
                f"this machine has {memory / 1e9:.1f} GB"
            )
        return tuple(found)

    def __str__(self) -> str:
        lines = [
            f"draws       {self.draws:,} ({self.acceptance:.1%} pass, {self.chunks:,} chunks)",
            f"time        {_duration(self.seconds)} ({self.seconds_per_draw * 1e3:.2f} ms a draw)",
            f"memory      {self.memory_bytes / 1e9:.1f} GB",
            f"disk        {self.disk_bytes / 1e9:.2f} GB at the peak, "
            f"{self.free_bytes / 1e9:.1f} GB are free",
            *(f"Warning: {problem}" for problem in self.problems),
        ]
        return "\n".join(lines)


def estimate_batch(plan: Any, output: str | Path) -> BatchEstimate:
    """What the batch would cost, from 512 draws made now; nothing is written."""
    import shutil

    wanted = as_plan(plan)
    task = replace(resolve(wanted), blocks_per_chunk=1)
    with one_thread():
        compute_chunk(task, 0)  # loads what is loaded once
        began = time.perf_counter()
        content = compute_chunk(task, 1)
        table, _ = read_chunk(content, task, 1)
        if task.objective is not None:
            content += compute_scores(task, 1, tuple(table["smiles"]))
        seconds = (time.perf_counter() - began) / task.block
    share = len(table) / task.block
    draws = wanted.draws_allowed
    if share:
        draws = min(draws, math.ceil(wanted.n / share))
    workers = _hands(wanted)
    per_row = len(content) / max(len(table), 1)
    resident = _resident_bytes()
    folder = Path(output)
    while not folder.exists():
        folder = folder.parent
    return BatchEstimate(
        draws,
        math.ceil(draws / (wanted.blocks_per_chunk * task.block)),
        share,
        draws * seconds / max(workers, 1),
        seconds,
        resident * (max(workers, 1) + 1),
        # chunks, both results, and a digest a row in the record of each
        int(draws * share * (2 * per_row + 350)),
        shutil.disk_usage(folder).free,
        tuple(_contradictions(wanted, share)),
    )


def _contradictions(plan: RunPlan, share: float) -> list[str]:
    found = list(plan.contradictions)
    try:
        check_reachable(plan.cluster)
    except BatchError as error:
        found.append(str(error).rstrip("."))
    if not share:
        found.append("none of the first draws passed the filters and the other conditions")
    elif plan.n / share > plan.draws_allowed:
        found.append(
            f"{plan.n:,} molecules need about {math.ceil(plan.n / share):,} draws, and the plan "
            f"gives up after {plan.draws_allowed:,} (max_draws)"
        )
    return found


def _memory_bytes() -> int:
    """Memory of this machine; 0 where the system does not say."""
    import os

    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


def _hands(plan: RunPlan) -> int:
    if plan.cluster is not None:
        return int(plan.cluster.get("workers", 1)) * len(plan.cluster.get("hosts", [0]))
    return count_workers(plan.workers) if plan.workers else 1


def _resident_bytes() -> int:
    """The most memory that this process has had; 0 where the system does not tell (Windows)."""
    import sys

    try:
        import resource
    except ImportError:
        return 0

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
