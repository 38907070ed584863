"""``simulate``: thousands of whole trials, in chunks, on one thread, several, or a cluster.

A chunk is a range of trial numbers, and a trial's random numbers depend on nothing but the seed,
the scenario and its number; so the result has the same bytes whatever the chunk size, the number of
workers or the order in which they finish.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    Executor,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from dataclasses import dataclass
from itertools import islice
from typing import Any

from trial_sim.base.arguments import count_jobs, nearest
from trial_sim.base.records import as_whole
from trial_sim.design.adaptive_design import AdaptiveDesign
from trial_sim.design.design import Design
from trial_sim.engine.adapting.conduct import Decide, run_adaptive_trials
from trial_sim.engine.adapting.one_by_one import OneByOne
from trial_sim.engine.analysis_registry import analysis_for
from trial_sim.engine.interim_analyses import Conducted, run_trials
from trial_sim.engine.survival_analyses import MAX_ARMS
from trial_sim.numerics.buffers import release
from trial_sim.simulation.adaptive_result import AdaptiveResult
from trial_sim.simulation.operating_characteristics import SimulationResult

logger = logging.getLogger(__name__)

# A chunk of this many patients keeps its arrays near the processor, and is large enough that two
# threads seldom wait for each other between the compiled loops: fastest of 32,000 to 512,000.
CHUNK_PATIENTS = 128_000
_BACKENDS = ("threads", "processes")


def simulate(
    design: Design | AdaptiveDesign,
    outcomes: Any,
    n_trials: int = 10_000,
    seed: int = 0,
    n_jobs: int = 1,
    *,
    scenario: int = 0,
    first_trial: int = 0,
    chunk_trials: int | None = None,
    backend: str = "threads",
    client: Any = None,
    progress: bool = False,
    decide: Decide | None = None,
    decide_one: Callable[[str, Any], Any] | None = None,
) -> SimulationResult:
    """Simulate whole trials.

    Args:
        design: the trial. An :class:`AdaptiveDesign` whose rules are stops by z, without a closed
            test, is simulated as the equal design of looks and boundaries.
        outcomes: what happens to its patients: a scenario of ``trial_sim.scenarios`` or anything
            with ``kind`` and ``sample``.
        n_trials: number of trials.
        seed: any whole number of 0 or more. scenario: index that separates random numbers of
            scenarios that should not share them.
        n_jobs: workers, -1 for all cores. first_trial: number of the first trial, to go on
            where another run ended.
        chunk_trials: trials a chunk; chosen by size of the trial when None.
        backend: ``"threads"`` (the loops are compiled and release the lock) or ``"processes"``,
            which suits scenarios written in plain Python.
        client: a ``dask.distributed`` client to work on instead; chunks lost with a worker are
            run again.
        progress: show a progress bar.
        decide: for an adaptive design, a function of the ``State`` of all trials at a milestone
            that returns pairs of a mask, (n,) or (n, comparisons) bool, and an action, done after
            the declared rules. It must look at nothing but the state.
        decide_one: the slow way: a function of the milestone's name and the table of one trial's
            patients as they are known then, called trial by trial, that returns actions.

    Returns:
        a :class:`SimulationResult`, an ``AdaptiveResult`` of an adaptive design; if interrupted
        (Ctrl-C), with the trials done so far.

    Raises:
        NotSimulated: naming an adaptation that is declared but not simulated.
        ValueError, TypeError: for a design and outcomes that do not fit each other, or bad counts.
        KeyboardInterrupt: if interrupted before any chunk was done.

    >>> import trial_sim as ts
    >>> design = ts.Design(
    ...     arms={"control": 1, "treatment": 1},
    ...     n_patients=500,
    ...     accrual=ts.Accrual(rate=20.0),
    ...     looks=ts.EventLooks([331]),
    ... )
    >>> outcomes = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.7)
    >>> result = ts.simulate(design, outcomes, n_trials=400, seed=1)
    >>> 0.8 < result.power < 1
    True
    >>> result.expected_events
    331.0
    """
    if decide_one is not None:
        if decide is not None:
            raise ValueError("give decide or decide_one, not both")
        decide = OneByOne(decide_one)
    if decide is None:
        design = as_run(design)
    if decide is not None:
        if not callable(decide):
            raise TypeError(f"decide must be a function of the state of all trials, got {decide!r}")
        check_decide(design)
    check_inputs(design, outcomes)
    for name, value, least in (
        ("n_trials", n_trials, 1), ("seed", seed, 0),
        ("scenario", scenario, 0), ("first_trial", first_trial, 0),
        ("chunk_trials", 1 if chunk_trials is None else chunk_trials, 1),
    ):  # fmt: skip
        as_whole(value, name, least)
    if backend not in _BACKENDS:
        raise ValueError(f"backend {backend!r} is unknown{nearest(backend, _BACKENDS)}")
    job = Job(design, outcomes, int(scenario), decide)
    results = run_jobs(
        [job], int(n_trials), int(seed), n_jobs, int(first_trial), chunk_trials, backend,
        client, progress,
    )  # fmt: skip
    return next(iter(results))[1]


@dataclass(frozen=True)
class Job:
    """One scenario of a grid: a design, its outcomes, and the index of its random numbers."""

    design: Design | AdaptiveDesign
    outcomes: Any
    scenario: int = 0
    decide: Decide | None = None

    @property
    def n_patients(self) -> int:
        """Patients at most."""
        if isinstance(self.design, AdaptiveDesign):
            return self.design.most_patients
        return self.design.n_patients


def as_run(design: Any) -> Any:
    """The design as it is simulated: one of stops by z is a design of looks and boundaries."""
    if isinstance(design, AdaptiveDesign) and not design.needs_engine:
        return design.as_design()
    return design


def check_decide(design: Any) -> None:
    """Raise TypeError or ValueError unless a design may be changed by a user's function."""
    if not isinstance(design, AdaptiveDesign):
        raise TypeError("decide goes with an AdaptiveDesign, whose milestones it is called at")
    if design.closed_test is None:
        raise ValueError(
            "decide may change the trial by what it sees, and no method holds the type I error: "
            "give closed_test=ClosedTest(...)"
        )


def run_jobs(
    jobs: Sequence[Job],
    n_trials: int,
    seed: int,
    n_jobs: int = 1,
    first_trial: int = 0,
    chunk_trials: int | None = None,
    backend: str = "threads",
    client: Any = None,
    progress: bool = False,
) -> Iterator[tuple[int, SimulationResult]]:
    """Simulate several scenarios over one pool of workers; arguments as :func:`simulate`.

    Yields:
        (index of the job, its result) as jobs finish. On Ctrl-C the jobs under way are yielded with
        the trials they have, and then nothing more.

    Raises:
        KeyboardInterrupt: if interrupted before any chunk was done.
    """
    n_jobs = count_jobs(n_jobs)
    last = first_trial + n_trials
    tasks: list[tuple] = []
    open_chunks = [0] * len(jobs)
    for index, job in enumerate(jobs):
        size = chunk_trials or max(1, min(1024, CHUNK_PATIENTS // job.n_patients))
        size = min(size, max(1, -(-n_trials // n_jobs)))
        for start in range(first_trial, last, size):
            stop = min(start + size, last)
            chunk: tuple = (job.design, job.outcomes, seed, job.scenario, start, stop)
            tasks.append((index, *chunk, job.decide))
            open_chunks[index] += 1
    started = time.perf_counter()
    done: list[list[Conducted]] = [[] for _ in jobs]

    def result(index: int) -> SimulationResult:
        job, parts = jobs[index], done[index]
        done[index] = []
        adaptive = job.design if isinstance(job.design, AdaptiveDesign) else None
        plain = job.design if isinstance(job.design, Design) else job.design.whole_design
        analysis = analysis_for(plain, job.outcomes.kind)
        conducted = Conducted.join(parts)
        if hasattr(job.outcomes, "check_looks"):
            job.outcomes.check_looks(conducted.look_time)
        made: dict[str, Any] = {
            "design": plain,
            "outcomes": job.outcomes,
            "conducted": conducted,
            "seed": seed,
            "scenario": job.scenario,
            "n_requested": n_trials,
            "seconds": time.perf_counter() - started,
            "scale": analysis.scale,
            "direction": analysis.direction,
        }
        if adaptive is None:
            return SimulationResult(**made)
        return AdaptiveResult(**made, adaptive=adaptive, decide=job.decide)

    n_done = 0
    total = n_trials * len(jobs)
    try:
        for index, part in _with_progress(
            _results(tasks, n_jobs, backend, client), total, progress
        ):
            done[index].append(part)
            n_done += len(part.trial)
            open_chunks[index] -= 1
            if open_chunks[index] == 0:
                yield index, result(index)
    except KeyboardInterrupt:
        if n_done == 0:
            raise
        logger.warning("interrupted: %d of %d trials are done and kept", n_done, total)
        for index, parts in enumerate(done):
            if parts:
                yield index, result(index)


def _run_task(index: int, design: Any, *chunk: Any) -> tuple[int, Conducted]:
    if isinstance(design, AdaptiveDesign):
        return index, run_adaptive_trials(design, *chunk)
    return index, run_trials(design, *chunk[:-1])


def check_inputs(design: Any, outcomes: Any) -> None:
    """Raise TypeError or ValueError unless design and outcomes can be simulated together."""
    if isinstance(design, AdaptiveDesign):
        design = design.whole_design
    if not isinstance(design, Design):
        raise TypeError(f"design must be a Design, got {design!r}")
    if not (hasattr(outcomes, "kind") and callable(getattr(outcomes, "sample", None))):
        raise TypeError(
            "outcomes must be a scenario such as PiecewiseExponential(...), or have kind and "
            f"sample, got {outcomes!r}"
        )
    if len(design.arm_names) > MAX_ARMS:
        raise ValueError(f"at most {MAX_ARMS} arms can be simulated, got {len(design.arm_names)}")
    known = getattr(outcomes, "arms", None)
    if known is not None:
        names = design.arm_names
        if len(known) != len(names):
            raise ValueError(f"the outcomes have {len(known)} arms, the design has {len(names)}")
        if set(known) == set(names) and tuple(known) != tuple(names):
            raise ValueError(
                f"the outcomes have the arms in the order {list(known)}, the design in the order "
                f"{list(names)}"
            )
    analysis_for(design, outcomes.kind)


def _results(
    chunks: list[tuple], n_jobs: int, backend: str, client: Any
) -> Iterator[tuple[int, Conducted]]:
    """Results of the chunks, in any order; work that has not begun is dropped when closed."""
    if client is not None:
        yield from _on_cluster(chunks, client)
    elif n_jobs == 1 or len(chunks) == 1:
        try:
            for chunk in chunks:
                yield _run_task(*chunk)
        finally:
            release()
    else:
        kind: Callable[..., Executor] = (
            ThreadPoolExecutor if backend == "threads" else ProcessPoolExecutor
        )
        with kind(max_workers=n_jobs) as pool:
            try:
                yield from _unordered(pool, chunks, 2 * n_jobs)
            except (KeyboardInterrupt, GeneratorExit):
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _unordered(pool: Executor, chunks: list[tuple], ahead: int) -> Iterator[tuple[int, Conducted]]:
    """Keep a few chunks in flight, so that memory stays bounded."""
    waiting = iter(chunks)
    flying = {pool.submit(_run_task, *chunk) for chunk in islice(waiting, ahead)}
    while flying:
        finished, flying = wait(flying, return_when=FIRST_COMPLETED)
        for future in finished:
            following = next(waiting, None)
            if following is not None:
                flying.add(pool.submit(_run_task, *following))
            yield future.result()


def _on_cluster(chunks: list[tuple], client: Any) -> Iterator[tuple[int, Conducted]]:
    from distributed import as_completed

    futures = client.map(_run_task, *zip(*chunks), pure=False, retries=3)
    try:
        for future in as_completed(futures):
            yield future.result()
    finally:
        client.cancel(futures)


def _with_progress(
    parts: Iterator[tuple[int, Conducted]], n_trials: int, progress: bool
) -> Iterator[tuple[int, Conducted]]:
    if not progress:
        yield from parts
        return
    from tqdm.auto import tqdm

    with tqdm(total=n_trials, unit="trial", unit_scale=True) as bar:
        for index, part in parts:
            bar.update(len(part.trial))
            yield index, part
