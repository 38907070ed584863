"""A model at work in several processes: blocks of molecules, and calls side by side.

While blocks are drawn this process draws from the first moment, as the others still start; a
helper has at most two blocks before it, so that nobody waits for the last one long.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch

from molgen.base.parallel import one_thread
from molgen.chem.refusals import Refusal

if TYPE_CHECKING:
    from molgen.sampling.sampler import Sampler

#: Takes a name, seconds, and seconds of the processor.
Log = Callable[[str, float, float], None]

Block = tuple[list[str], list[Refusal]]

_model: Sampler | None = None


def draw_blocks(
    model: Sampler, n_blocks: int, seed: int, temperature: float, n_jobs: int
) -> list[Block]:
    """Blocks 0 to ``n_blocks - 1`` of ``model.sample_block``, in order.

    Args:
        n_jobs: processes, this one among them; the others read the model from its folder to the
            processor, so that a model without one, or on a GPU, is drawn from here alone.
    """
    helpers = min(n_jobs, n_blocks) - 1
    folder = _shared_folder(model)
    if helpers < 1 or folder is None:
        return [model.sample_block(b, seed, temperature) for b in range(n_blocks)]
    blocks: dict[int, Block] = {}
    given: dict[int, Future[Block]] = {}
    todo = iter(range(n_blocks))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    context = get_context("spawn")
    try:
        with ProcessPoolExecutor(helpers, context, _start, (type(model), folder, True)) as pool:
            own: int | None = 0
            while own is not None:
                for number, future in list(given.items()):
                    if future.done():
                        blocks[number] = given.pop(number).result()
                while len(given) < 2 * helpers and (coming := next(todo, None)) is not None:
                    given[coming] = pool.submit(_draw, coming, seed, temperature)
                own = next(todo, None)
                if own is not None:
                    blocks[own] = model.sample_block(own, seed, temperature)
            for number, future in given.items():
                if future.cancel():
                    blocks[number] = model.sample_block(number, seed, temperature)
            for number, future in given.items():
                if number not in blocks:
                    blocks[number] = future.result()
    finally:
        torch.set_num_threads(threads)
    return [blocks[number] for number in range(n_blocks)]


def _shared_folder(model: Sampler) -> Path | None:
    """Where other processes can read the model; None for one in no folder, or on a GPU."""
    return model.folder if model.device.type == "cpu" else None


def _start(kind: type[Sampler], folder: Path, single_thread: bool) -> None:
    global _model
    if single_thread:
        torch.set_num_threads(1)
    _model = kind.load(folder)


def _draw(number: int, seed: int, temperature: float) -> Block:
    assert _model is not None
    return _model.sample_block(number, seed, temperature)


class SideBySide:
    """Calls of functions whose first argument is the model; a context manager.

    With one process, or a model on a GPU or in no folder from which others could read it, each call
    is done here and at once. The results are the same: every part runs on one thread.
    """

    def __init__(self, model: Sampler, n_jobs: int, log: Log) -> None:
        self._model, self._log = model, log
        self._pool: ProcessPoolExecutor | None = None
        folder = _shared_folder(model)
        if n_jobs > 1 and folder is not None:
            # forked children of a process that has started threads (torch has) may deadlock
            self._pool = ProcessPoolExecutor(
                n_jobs, get_context("spawn"), _start, (type(model), folder, False)
            )

    def __enter__(self) -> SideBySide:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=kind is not None)

    def ask(
        self, name: str, function: Callable[..., Any], *arguments: Any, **named: Any
    ) -> Callable[[], Any]:
        """Begin ``function(model, *arguments, **named)``; what is returned gives the result when
        called.

        Args:
            name: under which its time is logged.
        """
        if self._pool is None:
            done = _timed(self._model, function, arguments, named)
            self._log(name, *done[1:])
            return lambda: done[0]
        future = self._pool.submit(_serve, function, arguments, named)
        return lambda: self._collect(name, future)

    def _collect(self, name: str, future: Future) -> Any:
        try:
            result, seconds, processor = future.result()
        except BrokenProcessPool as error:
            raise RuntimeError(
                f"A process of the audit ended during {name} (out of memory?); n_jobs=1 needs the "
                "least memory."
            ) from error
        self._log(name, seconds, processor)
        return result


def _serve(
    function: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]
) -> tuple[Any, float, float]:
    assert _model is not None
    return _timed(_model, function, arguments, named)


def _timed(
    model: Sampler,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    named: dict[str, Any],
) -> tuple[Any, float, float]:
    started, used = time.perf_counter(), time.process_time()
    with one_thread():
        result = function(model, *arguments, **named)
    return result, time.perf_counter() - started, time.process_time() - used
