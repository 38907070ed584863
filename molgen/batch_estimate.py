"""What a batch would cost, measured on a few draws before it is begun."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from molgen.base.parallel import count_workers
from molgen.batch.plan import BLOCK, RunPlan, as_plan, resolve


@dataclass(frozen=True)
class BatchEstimate:
    """What a batch would cost, measured on 512 draws in one process.

    Attributes:
        draws: molecules to draw. chunks: of how many draws each. acceptance: share that passes.
        seconds: on the workers of the plan. seconds_per_draw: on one.
        memory_bytes: of all workers and the leading process. disk_bytes: at the peak.
        free_bytes: on the disk of the folder.
    """

    draws: int
    chunks: int
    acceptance: float
    seconds: float
    seconds_per_draw: float
    memory_bytes: int
    disk_bytes: int
    free_bytes: int

    def __str__(self) -> str:
        lines = [
            f"draws       {self.draws:,} ({self.acceptance:.1%} pass, {self.chunks:,} chunks)",
            f"time        {_duration(self.seconds)} ({self.seconds_per_draw * 1e3:.2f} ms a draw)",
            f"memory      {self.memory_bytes / 1e9:.1f} GB",
            f"disk        {self.disk_bytes / 1e9:.2f} GB at the peak, "
            f"{self.free_bytes / 1e9:.1f} GB are free",
        ]
        return "\n".join(lines)


def estimate_batch(plan: Any, output: str | Path) -> BatchEstimate:
    """What the batch would cost, from 512 draws made now; nothing is written."""
    import shutil

    from molgen.batch.chunk import compute_chunk, read_chunk, single_thread
    from molgen.batch.jobs import compute_scores

    wanted = as_plan(plan)
    task = replace(resolve(wanted), blocks_per_chunk=1)
    with single_thread():
        compute_chunk(task, 0)  # loads what is loaded once
        began = time.perf_counter()
        content = compute_chunk(task, 1)
        table, _ = read_chunk(content, task, 1)
        if task.objective is not None:
            content += compute_scores(task, 1, tuple(table["smiles"]))
        seconds = (time.perf_counter() - began) / BLOCK
    share = len(table) / BLOCK
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
        math.ceil(draws / (wanted.blocks_per_chunk * BLOCK)),
        share,
        draws * seconds / max(workers, 1),
        seconds,
        resident * (max(workers, 1) + 1),
        # chunks, both results, and a digest a row in the record of each
        int(draws * share * (2 * per_row + 350)),
        shutil.disk_usage(folder).free,
    )


def _hands(plan: RunPlan) -> int:
    if plan.cluster is not None:
        return int(plan.cluster.get("workers", 1)) * len(plan.cluster.get("hosts", [0]))
    return count_workers(plan.workers) if plan.workers else 1


def _resident_bytes() -> int:
    """The most memory that this process has had."""
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
