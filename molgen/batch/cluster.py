"""Chunks on a Dask cluster: the same run file with ``cluster:``.

Kinds, each with its keys: ``local`` (``workers`` processes on this machine); ``ssh`` (``hosts``,
the first of which also schedules; ``workers`` a host; ``connect``: options of asyncssh); ``slurm``
(``workers`` jobs; ``cores`` and ``memory`` of each, ``queue``, ``account``, ``walltime``,
``extra``: lines for sbatch); ``address`` (of a scheduler that already runs). On all of them the
package must be installed, and the model's folder be reachable under the same path; nothing else is
shared, since chunks come back over the network and only the leading process writes.

Processors that differ in their vector units may round differently and so draw a different molecule
now and then; on machines of one kind the output is the same for any cluster.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import Any

from molgen.base.errors import BatchError
from molgen.base.parallel import one_thread
from molgen.batch.jobs import Job, compute_job
from molgen.batch.plan import Task


class DaskPool:
    """Chunks computed by Dask; a chunk whose worker died is computed by another."""

    def __init__(
        self, task: Task, cluster: Mapping[str, Any], timeout: float, retries: int
    ) -> None:
        try:
            from distributed import Client
        except ImportError as error:
            raise BatchError(
                "cluster: needs Dask, which is not installed: pip install "
                "'digital-double[cluster]'."
            ) from error
        self._text = task.to_json()
        self._timeout, self._retries = timeout, retries
        self._cluster: Any = None
        try:
            if cluster.get("kind") != "address":
                self._cluster = _start(cluster)
            self._client = Client(self._cluster or cluster["address"], timeout=60)
            self._client.wait_for_workers(1, timeout=600)
        except (OSError, TimeoutError, ValueError) as error:
            self._shut()
            raise BatchError(f"The Dask cluster cannot be reached: {error}.") from error
        # one chunk at work and one waiting for each worker: none is idle between chunks
        self.capacity = 2 * max(int(cluster.get("workers", 1)), self._count_workers())
        self._futures: dict[Job, Any] = {}
        self._since: dict[Job, float] = {}
        self._failures: dict[Job, int] = {}

    def _count_workers(self) -> int:
        return max(len(self._client.scheduler_info(n_workers=-1)["workers"]), 1)

    def submit(self, job: Job) -> None:
        """Ask for something."""
        self._since.pop(job, None)
        self._futures[job] = self._client.submit(
            compute_text, self._text, job.to_json(), pure=False, retries=0
        )

    @property
    def pending(self) -> int:
        """Jobs asked for and not yet given back."""
        return len(self._futures)

    def next_result(self, patience: float) -> tuple[Job, bytes] | None:
        """Wait for any job, at most ``patience`` seconds; None if there is none by then."""
        from distributed import wait

        if not self._futures:
            return None
        try:
            wait(list(self._futures.values()), timeout=patience, return_when="FIRST_COMPLETED")
        except TimeoutError:
            self._drop_overdue()
            return None
        for job in sorted(self._futures, key=lambda j: j.key):
            if self._futures[job].done():
                return self._take(job)
        return None

    def _take(self, job: Job) -> tuple[Job, bytes] | None:
        from distributed.scheduler import KilledWorker

        future = self._futures.pop(job)
        if future.status == "finished":
            return job, future.result()
        problem = future.exception() if future.status == "error" else None
        if isinstance(problem, BatchError):
            raise problem
        if problem is not None and not isinstance(problem, KilledWorker | OSError):
            told = f"{type(problem).__name__}: {problem}"
            raise BatchError(f"Chunk {job.number} failed: {told}.") from problem
        self._again(job, "its workers died (out of memory?)")
        return None

    def _drop_overdue(self) -> None:
        """Restart workers whose chunk takes too long; a chunk waiting for a worker has time."""
        now = time.monotonic()
        at_work = {key: w for w, keys in self._client.processing().items() for key in keys}
        # Dask gives a worker its next chunk early: that one may wait for as long as the first takes
        limit = 2 * self._timeout
        for job, future in list(self._futures.items()):
            if future.key not in at_work:
                self._since.pop(job, None)
            elif now - self._since.setdefault(job, now) > limit:
                del self._futures[job]
                future.cancel(force=True)
                with contextlib.suppress(ValueError):  # a worker without a nanny stays as it is
                    self._client.restart_workers([at_work[future.key]], raise_for_error=False)
                self._again(job, f"it gave no answer within {limit:g} s")

    def _again(self, job: Job, why: str) -> None:
        failures = self._failures[job] = self._failures.get(job, 0) + 1
        if failures > self._retries:
            raise BatchError(
                f"Chunk {job.number} failed {failures} times: {why}. What was done is "
                "kept; the same command goes on from there."
            )
        self.submit(job)

    def close(self) -> None:
        """Leave the cluster, and end it if it was started here."""
        for future in self._futures.values():
            future.cancel(force=True)
        self._client.close()
        self._shut()

    def _shut(self) -> None:
        if self._cluster is not None:
            self._cluster.close()


def compute_text(task: str, job: str) -> bytes:
    """On a Dask worker: a job of a task, both as JSON."""
    with one_thread():
        return compute_job(Task.from_json(task), Job.from_json(job))


def _start(cluster: Mapping[str, Any]) -> Any:
    """A cluster of the kind asked for."""
    kind, workers = cluster.get("kind", "local"), int(cluster.get("workers", 1))
    if kind == "local":
        from distributed import LocalCluster

        return LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
        )
    if kind == "ssh":
        from distributed import SSHCluster

        return SSHCluster(
            list(cluster["hosts"]),
            connect_options=dict(cluster.get("connect", {})),
            worker_options={"nthreads": 1, "n_workers": workers},
        )
    return slurm_cluster(cluster)


def slurm_cluster(cluster: Mapping[str, Any]) -> Any:
    """Jobs of SLURM, each a worker of one thread a core."""
    from dask_jobqueue import SLURMCluster

    jobs = SLURMCluster(
        cores=int(cluster.get("cores", 1)),
        processes=int(cluster.get("cores", 1)),
        memory=cluster["memory"],
        queue=cluster.get("queue"),
        account=cluster.get("account"),
        walltime=cluster.get("walltime", "12:00:00"),
        job_extra_directives=list(cluster.get("extra", ())),
    )
    jobs.scale(jobs=int(cluster["workers"]))
    return jobs
