"""Speed of this checkout beside an earlier revision: the same job in both, in turns, in pairs.

    python -m benchmarks speed --against d9406f0                     (about 15 minutes, quiet)
    python -m benchmarks speed --against d9406f0 --scale .02 --pairs 2    (does it run?)

Two processes are kept, one with the packages here, one with those of the revision, unpacked beside.
Each job runs once in both before anything is timed (compilation, files read), then ``--pairs``
times, the two in turns and every second pair the other way round, so that a machine that grows slow
slows both. "Reading" is a file of SMILES read, each molecule parsed and weighed. The figure of a
job is the median over pairs of seconds before over seconds now: above 1 is faster. Exits with 1 if
one is below ``--floor``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
THREADS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def sampling(scale: float) -> Callable[[int], Any]:
    import molgen

    model = molgen.load_model("moses")
    return lambda turn: model.sample(max(20, int(4_000 * scale)), seed=turn)


def filtering(scale: float) -> Callable[[int], Any]:
    import molgen

    molecules = molgen.load_model("moses").sample(max(20, int(20_000 * scale)), seed=1)
    return lambda turn: molgen.filter_molecules(molecules)


def reading(scale: float) -> Callable[[int], Any]:
    import molgen

    molecules = molgen.load_model("moses").sample(max(20, int(10_000 * scale)), seed=2)
    path = Path("molecules.smi")
    path.write_text("\n".join(molecules) + "\n", encoding="utf-8")
    return lambda turn: molgen.describe(list(molgen.read_molecules(path)), properties=["mw"])


def simulation(scale: float) -> Callable[[int], Any]:
    import trial_sim as ts

    design = ts.Design(
        arms={"control": 1, "treatment": 1},
        n_patients=500,
        accrual=ts.Accrual(rate=20.0),
        dropout=ts.Dropout(rate=0.002),
        looks=ts.EventLooks([110, 220, 331]),
        boundaries=ts.group_sequential(
            information_fractions=(1 / 3, 2 / 3, 1), efficacy="lan_demets_obrien_fleming"
        ),
        test="logrank",
    )
    outcomes = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.7)
    return lambda turn: ts.simulate(design, outcomes, max(20, int(100_000 * scale)), seed=turn)


def bounds(scale: float) -> Callable[[int], Any]:
    import trial_sim as ts

    looks = [k / 10 for k in range(1, 11)]
    kinds = (("lan_demets_obrien_fleming", None), ("obrien_fleming", None),
             ("lan_demets_pocock", ("hwang_shih_decani", -2)))  # fmt: skip

    def solve(turn: int) -> None:
        for i in range(max(1, int(300 * scale))):
            for efficacy, futility in kinds:  # another alpha each time: nothing is remembered
                design = ts.group_sequential(
                    looks, alpha=0.025 - 1e-6 * (i + 1_000 * (turn + 1)), power=0.9,
                    efficacy=efficacy, futility=futility,
                )  # fmt: skip
                _ = design.efficacy_bounds, design.futility_bounds

    return solve


JOBS: dict[str, Callable[[float], Callable[[int], Any]]] = {
    "sampling": sampling,
    "filtering": filtering,
    "reading": reading,
    "simulation": simulation,
    "bounds": bounds,
}


def serve() -> None:
    """Answer lines ``job turn scale`` with seconds, until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a package prints is no answer
    ready: dict[str, Callable[[int], Any]] = {}
    for line in sys.stdin:
        name, turn, scale = line.split()
        if name not in ready:
            ready = {name: JOBS[name](float(scale))}  # the job before gives its memory back
        start = time.perf_counter()
        ready[name](int(turn))
        answers.write(f"{time.perf_counter() - start}\n")
        answers.flush()


class Side:
    """A process that runs jobs with the packages of one folder."""

    def __init__(self, packages: Path, folder: Path) -> None:
        code = f"import runpy; runpy.run_path({str(Path(__file__))!r})['serve']()"
        environment = {**os.environ, **dict.fromkeys(THREADS, "1"), "PYTHONPATH": str(packages)}
        folder.mkdir()
        self.packages = packages
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", code],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def seconds(self, job: str, turn: int, scale: float) -> float:
        """Run a job once."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{job} {turn} {scale}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self.packages}: {job} ended without an answer")
        return float(answer)


def measure(before: Side, now: Side, job: str, pairs: int, scale: float) -> dict[str, Any]:
    """Seconds of a job in pairs, and the median of their ratios."""
    for side in (before, now):
        side.seconds(job, 0, scale)
    found = []
    for turn in range(1, pairs + 1):
        order = (before, now) if turn % 2 else (now, before)
        seconds = {side: side.seconds(job, turn, scale) for side in order}
        found.append((seconds[before], seconds[now]))
    ratios = sorted(one / two for one, two in found)
    return {
        "job": job,
        "before, s": statistics.median(one for one, _ in found),
        "now, s": statistics.median(two for _, two in found),
        "speed": statistics.median(ratios),
        "least": ratios[0],
        "most": ratios[-1],
        "pairs": pairs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", default="d9406f0", help="a revision of git")
    parser.add_argument("--pairs", type=int, default=11)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the size of each job")
    parser.add_argument("--floor", type=float, default=0.97)
    parser.add_argument("--only", nargs="*", default=list(JOBS), choices=list(JOBS))
    parser.add_argument("--keep", action="store_true", help="append to benchmarks/results")
    arguments = parser.parse_args()
    missed = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(
            ["git", "archive", "-o", str(folder / "revision.tar"), arguments.against,
             "molgen", "trial_sim"],
            cwd=ROOT,
            check=True,
        )  # fmt: skip
        with tarfile.open(folder / "revision.tar") as archive:
            archive.extractall(folder / "revision", filter="data")
        before = Side(folder / "revision", folder / "before")
        now = Side(ROOT, folder / "now")
        print(f"{'job':12s} {'before, s':>10s} {'now, s':>10s} {'speed':>7s}   least to most")
        for job in arguments.only:
            row = measure(before, now, job, arguments.pairs, arguments.scale)
            verdict = "" if row["speed"] >= arguments.floor else "  MISSED"
            missed |= bool(verdict)
            print(
                f"{job:12s} {row['before, s']:10.3f} {row['now, s']:10.3f} {row['speed']:7.3f}   "
                f"{row['least']:.3f} to {row['most']:.3f}{verdict}",
                flush=True,
            )
            if arguments.keep:
                keep(row, arguments)
        for side in (before, now):
            assert side.process.stdin is not None
            side.process.stdin.close()
            side.process.wait()
    raise SystemExit(int(missed))


def keep(row: dict[str, Any], arguments: argparse.Namespace) -> None:
    """Append a row to the results."""
    from benchmarks.stored import append

    append("speed", {**row, "against": arguments.against, "scale": arguments.scale})


if __name__ == "__main__":
    main()
