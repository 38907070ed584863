"""Running one function over chunks of a list, in this process or in several, in order.

Work that needs more than that has processes of its own: a stream too long for a list
(``motifs.tree_tables``), a model loaded once in each (``sampling.model_processes``), a limit on the
time of an item after which the process is killed (``scoring.docking``, ``batch.workers``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm


def count_workers(n_jobs: int) -> int:
    """The number of processes that ``n_jobs`` asks for; -1 means every core this process may use.

    Raises:
        ValueError: ``n_jobs`` is neither positive nor -1.
    """
    if n_jobs == -1:
        return (
            len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count() or 1
        )
    if n_jobs < 1:
        raise ValueError(f"n_jobs must be a positive number of processes or -1, got {n_jobs}.")
    return n_jobs


def map_chunks(
    function: Callable[..., Sequence[Any]],
    items: Sequence[Any],
    arguments: tuple = (),
    *,
    n_jobs: int = 1,
    chunk_size: int = 500,
    progress: str | None = None,
) -> list[Any]:
    """``function(chunk, *arguments)`` over consecutive chunks of ``items``, concatenated in order.

    Args:
        function: importable by name (worker processes receive it pickled by reference); returns
            one result an item.
        items: what to work on.
        arguments: further positional arguments of ``function``.
        n_jobs: processes, -1 for all cores; a single chunk always runs in this process.
        chunk_size: items handed over at a time.
        progress: label of a progress bar on standard error, or None for none.

    Returns:
        The results, one an item, independent of ``n_jobs`` and ``chunk_size``.
    """
    workers = count_workers(n_jobs)
    chunks = [items[i : i + chunk_size] for i in range(0, len(items), chunk_size)]
    bar = tqdm(total=len(items), desc=progress, unit="mol", disable=progress is None, leave=False)
    results: list[Any] = []
    with bar:
        if workers == 1 or len(chunks) < 2:
            for chunk in chunks:
                results.extend(function(chunk, *arguments))
                bar.update(len(chunk))
            return results
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context

        # forked children of a process that has started threads (torch has) may deadlock
        with ProcessPoolExecutor(min(workers, len(chunks)), get_context("spawn")) as pool:
            futures = [pool.submit(function, chunk, *arguments) for chunk in chunks]
            for future in futures:
                done = future.result()
                results.extend(done)
                bar.update(len(done))
    return results


@contextmanager
def one_thread() -> Iterator[None]:
    """Run PyTorch on one thread inside the block.

    Sums over several threads round differently, so the same seed would draw other molecules; and
    for small models, threads that wait for each other cost more than they save.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
