"""Runs the jobs of a batch in processes on this machine, and replaces those that die or hang.

A worker only computes: it sends the content of a chunk's file back and writes nothing but scratch
in the system's temporary folder, so that its death at any moment leaves nothing half done. Messages
are plain bytes.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections import deque
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import Protocol

from molgen.base.errors import BatchError
from molgen.base.parallel import one_thread
from molgen.batch.jobs import Job, compute_job
from molgen.batch.plan import Task


class Pool(Protocol):
    """Whatever computes jobs: processes on this machine, Dask on others, or this process."""

    capacity: int
    """Jobs worth handing over at a time."""

    def submit(self, job: Job) -> None:
        """Ask for something."""

    @property
    def pending(self) -> int:
        """Jobs asked for and not yet given back."""

    def next_result(self, patience: float) -> tuple[Job, bytes] | None:
        """Wait for any job, at most ``patience`` seconds; None if there is none by then.

        Raises BatchError when a job cannot be done.
        """

    def close(self) -> None:
        """End all workers, whatever they are doing."""


class InProcess:
    """Jobs done in this process, one after another: for notebooks, tests and debuggers."""

    capacity = 1

    def __init__(self, task: Task) -> None:
        self._task = task
        self._asked: deque[Job] = deque()

    def submit(self, job: Job) -> None:
        """Ask for something."""
        self._asked.append(job)

    @property
    def pending(self) -> int:
        """Jobs asked for and not yet given back."""
        return len(self._asked)

    def next_result(self, patience: float) -> tuple[Job, bytes] | None:
        """The next job, done now."""
        if not self._asked:
            return None
        with one_thread():
            content = compute_job(self._task, self._asked[0])
        return self._asked.popleft(), content

    def close(self) -> None:
        """Nothing to end."""


class _Worker:
    """One process, and the job that it is at."""

    def __init__(self, task: Task, log: Path) -> None:
        self.connection, other = Pipe()
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path),
            # sums in another order would draw other molecules
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
        }
        self.log = log
        with log.open("wb") as sink:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "molgen.batch.workers", str(other.fileno())],
                pass_fds=[other.fileno()],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
            )
        other.close()
        self.job: Job | None = None
        self.started = time.monotonic()
        self._send(task.to_json().encode())

    def _send(self, content: bytes) -> None:
        # if it is dead, the next look at its connection tells
        with contextlib.suppress(OSError):
            self.connection.send_bytes(content)

    def start(self, job: Job) -> None:
        """Hand it a job."""
        self.job = job
        self.started = time.monotonic()
        self._send(job.to_json().encode())

    def end(self) -> None:
        """Kill it, if it still runs, and take note of its end."""
        self.process.kill()
        self.process.wait()
        self.connection.close()

    def last_words(self) -> str:
        """How it ended, and the last line it wrote."""
        status = self.process.wait()
        lines = self.log.read_text("utf-8", "replace").strip().splitlines()
        said = f"; it last wrote: {lines[-1][:200]}" if lines else ""
        if status == -9:
            return f"its worker was killed (out of memory?){said}"
        return f"its worker ended with status {status}{said}"


class WorkerPool:
    """Processes on this machine; one that dies or hangs is replaced and its job tried again."""

    def __init__(
        self, task: Task, n_workers: int, folder: Path, timeout: float, retries: int
    ) -> None:
        self.capacity = n_workers
        self._task, self._folder = task, folder
        self._timeout, self._retries = timeout, retries
        self._queue: deque[Job] = deque()
        self._failures: dict[tuple[int, bool], int] = {}
        self._workers: list[_Worker] = []

    def submit(self, job: Job) -> None:
        """Ask for something."""
        self._queue.append(job)

    @property
    def pending(self) -> int:
        """Jobs asked for and not yet given back."""
        return len(self._queue) + sum(w.job is not None for w in self._workers)

    def process_ids(self) -> list[int]:
        """Of the workers that run."""
        return [w.process.pid for w in self._workers]

    def next_result(self, patience: float) -> tuple[Job, bytes] | None:
        """Wait for any job, at most ``patience`` seconds; None if there is none by then."""
        until = time.monotonic() + patience
        while True:
            self._hand_out()
            busy = {w.connection: w for w in self._workers if w.job is not None}
            if not busy:
                return None
            overdue = min(w.started for w in busy.values()) + self._timeout
            left = min(until, overdue) - time.monotonic()
            for ready in wait(list(busy), max(left, 0.0)):
                assert isinstance(ready, Connection)
                answer = self._take(busy[ready])
                if answer is not None:
                    return answer
            for worker in list(busy.values()):
                if worker in self._workers and self._is_overdue(worker):
                    self._fail(worker, f"it gave no answer within {self._timeout:g} s")
            if time.monotonic() >= until:
                return None

    def _hand_out(self) -> None:
        idle = [w for w in self._workers if w.job is None]
        while self._queue and (idle or len(self._workers) < self.capacity):
            if not idle:
                log = self._folder / f"worker-{len(self._workers)}.log"
                self._workers.append(_Worker(self._task, log))
                idle.append(self._workers[-1])
            idle.pop().start(self._queue.popleft())

    def _is_overdue(self, worker: _Worker) -> bool:
        return worker.job is not None and time.monotonic() - worker.started >= self._timeout

    def _take(self, worker: _Worker) -> tuple[Job, bytes] | None:
        try:
            answer = worker.connection.recv_bytes()
        except (EOFError, OSError):
            self._fail(worker, None)
            return None
        assert worker.job is not None
        job, worker.job = worker.job, None
        if answer[:1] == b"-":
            raise BatchError(answer[1:].decode())
        return job, answer[1:]

    def _fail(self, worker: _Worker, why: str | None) -> None:
        """Replace a worker; its job goes to the front of the queue, or the batch ends."""
        job = worker.job
        assert job is not None
        if why is not None:
            worker.process.kill()
        why = why or worker.last_words()
        worker.end()
        self._workers.remove(worker)
        failures = self._failures[job.key] = self._failures.get(job.key, 0) + 1
        if failures > self._retries:
            raise BatchError(
                f"Chunk {job.number} failed {failures} times: {why}. What was done is "
                "kept; the same command goes on from there."
            )
        self._queue.appendleft(job)

    def close(self) -> None:
        """End all workers, whatever they are doing."""
        for worker in self._workers:
            worker.end()
        self._workers.clear()


def serve(descriptor: int) -> None:
    """The loop of a worker process: read the task, then do jobs until the pipe is closed."""
    parent = os.getppid()
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    connection = Connection(descriptor)
    try:
        task = Task.from_json(connection.recv_bytes().decode())
        with one_thread():
            while True:
                job = Job.from_json(connection.recv_bytes().decode())
                try:
                    answer = b"+" + compute_job(task, job)
                except MemoryError:
                    raise
                except BatchError as error:
                    answer = b"-" + str(error).encode()
                except Exception as error:  # told to the user by the process that leads
                    told = f"Chunk {job.number} failed: {type(error).__name__}: {error}."
                    answer = b"-" + told.encode()
                connection.send_bytes(answer)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _watch(parent: int) -> None:
    """End this process soon after the one that leads it has died."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
