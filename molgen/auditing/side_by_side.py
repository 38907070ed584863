"""Parts of an audit that need the model, in several processes that each hold a copy of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from molgen.auditing.sets import MoleculeSet
from molgen.auditing.shadows import one_thread

if TYPE_CHECKING:
    from molgen.generation.generator import Generator

#: Takes a name, seconds, and seconds of the processor.
Log = Callable[[str, float, float], None]


class SideBySide:
    """Calls of functions whose first argument is the model; a context manager.

    With one process, or a model that lies in no folder from which others could read it, each call
    is done here and at once. The results are the same: every part runs on one thread.
    """

    def __init__(self, model: Generator, n_jobs: int, log: Log) -> None:
        self._model, self._log = model, log
        self._pool: ProcessPoolExecutor | None = None
        if n_jobs > 1 and model.folder is not None:
            # forked children of a process that has started threads (torch has) may deadlock
            self._pool = ProcessPoolExecutor(
                n_jobs, get_context("spawn"), _start, (Path(model.folder),)
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
        # what was worked out of a set and kept need not travel
        plain = [replace(a) if isinstance(a, MoleculeSet) else a for a in arguments]
        if self._pool is None:
            done = _timed(self._model, function, plain, named)
            self._log(name, *done[1:])
            return lambda: done[0]
        future = self._pool.submit(_serve, function, plain, named)
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


_model: Generator | None = None


def _start(folder: Path) -> None:
    from molgen.generation.generator import load_model

    global _model
    _model = load_model(folder)


def _serve(
    function: Callable[..., Any], arguments: list[Any], named: dict[str, Any]
) -> tuple[Any, float, float]:
    assert _model is not None
    return _timed(_model, function, arguments, named)


def _timed(
    model: Generator, function: Callable[..., Any], arguments: list[Any], named: dict[str, Any]
) -> tuple[Any, float, float]:
    started, used = time.perf_counter(), time.process_time()
    with one_thread():
        result = function(model, *arguments, **named)
    return result, time.perf_counter() - started, time.process_time() - used
