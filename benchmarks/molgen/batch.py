"""Figures of batches: cost from 10^3 molecules up, kill -9 at random moments, Dask workers.

python -m benchmarks batch cost --sizes 1000 10000 100000 1000000 --workers 2
python -m benchmarks batch kill --n 20000 --kills 10
python -m benchmarks batch dask --n 20000

Each prints JSON. ``cost`` gives wall and processor time, peak memory of the leading process and of
the largest worker, peak disk, and processor time by stage; and from the slope between its last two
sizes what one and ten million would take. With ``--folder DIR`` everything stays, and ``cost``
goes on with a batch that was interrupted (time then counts from there).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks.molgen.batch_stages import stages

SLOPES = ("wall s", "processor s", "peak disk, MB")
RESULTS = ("molecules.parquet", "molecules.csv", "molecules.csv.provenance.json")


def write_plan(folder: Path, name: str, **keys: Any) -> Path:
    """A run file in the folder."""
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"report": False, **keys}))
    return path


def start(run_file: Path, output: Path) -> subprocess.Popen:
    """The command, in a session of its own so that its workers are told from others."""
    code = "from molgen.cli import app; app()"
    command = [sys.executable, "-c", code, "batch", str(run_file), "-q", "-o", str(output)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)


def finish(run: subprocess.Popen) -> None:
    """Wait for it; an error ends the benchmark."""
    if run.wait():
        raise SystemExit(f"the batch ended with status {run.returncode}")


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of the results."""
    return {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in RESULTS}


def size_of(folder: Path) -> int:
    """Bytes of all files in the folder; files that vanish meanwhile count nothing."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(where, name)).st_size
            except FileNotFoundError:
                continue
    return total


def cost(folder: Path, sizes: list[int], workers: int, keys: dict[str, Any]) -> dict[str, Any]:
    """One row a size."""
    rows = []
    for n in sizes:
        output = folder / f"n{n}"
        peak = [0]
        done = threading.Event()

        def watch(output: Path = output, peak: list[int] = peak, done: Any = done) -> None:
            while not done.wait(0.5):
                peak[0] = max(peak[0], size_of(output))

        watcher = threading.Thread(target=watch, daemon=True)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        run = start(write_plan(folder, f"n{n}", n=n, workers=workers, **keys), output)
        watcher.start()
        finish(run)
        wall = time.perf_counter() - began
        done.set()
        watcher.join()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        journal = json.loads((output / "run.json").read_text())
        rows.append(
            {
                "n": n,
                "draws": journal["counts"]["drawn"],
                "wall s": round(wall, 1),
                "processor s": round(processor, 1),
                "ms of processor a molecule": round(1e3 * processor / n, 3),
                # of the largest process so far: the leading one, or a worker
                "peak memory of a process, GB": round(after.ru_maxrss / 2**20, 3),
                "peak disk, MB": round(max(peak[0], size_of(output)) / 1e6, 2),
                "results, MB": round(sum((output / r).stat().st_size for r in RESULTS) / 1e6, 2),
            }
        )
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    report: dict[str, Any] = {"workers": workers, "rows": rows}
    if len(rows) > 1:
        a, b = rows[-2], rows[-1]
        slope = {k: (b[k] - a[k]) / (b["n"] - a["n"]) for k in SLOPES}
        for name, target in (("one million", 1_000_000), ("ten million", 10_000_000)):
            ahead = max(target - b["n"], 0)
            report[f"{name}, by the slope"] = {
                "wall min": round((b["wall s"] + ahead * slope["wall s"]) / 60, 1),
                "processor min": round((b["processor s"] + ahead * slope["processor s"]) / 60, 1),
                "disk, GB": round((b["peak disk, MB"] + ahead * slope["peak disk, MB"]) / 1e3, 2),
            }
    report["ms of the processor by stage"] = stages(keys["model"], 2)
    return report


def kill(folder: Path, n: int, kills: int, seed: int, keys: dict[str, Any]) -> dict[str, Any]:
    """A run killed at random moments against one left in peace."""
    run_file = write_plan(folder, "kill", n=n, **keys)
    began = time.perf_counter()
    run = start(run_file, folder / "whole")
    while not any((folder / "whole").glob("work/chunks/*.parquet")) and run.poll() is None:
        time.sleep(0.05)
    first = time.perf_counter() - began
    finish(run)
    whole = time.perf_counter() - began
    output = folder / "killed"
    chance = random.Random(seed)
    lives: list[dict[str, Any]] = []
    identical = True
    lost = False
    kept_before = 0
    while len(lives) < kills:
        run = start(run_file, output)
        # from before the first import to well after the first new chunk, whatever the load
        life = chance.uniform(0.0, 0.6 * whole)
        try:
            run.wait(life)
            # it was done before its time was up: that counts as no kill, and a new run begins
            identical &= digests(folder / "whole") == digests(output)
            shutil.rmtree(output)
            kept_before = 0
            continue
        except subprocess.TimeoutExpired:
            os.kill(run.pid, signal.SIGKILL)
            run.wait()
        kept = len(list((output / "work" / "chunks").glob("*.parquet")))
        written = (output / "molecules.csv").exists()  # then chunks are being cleared away
        lost |= kept < kept_before and not written
        kept_before = kept
        lives.append({"seconds": round(life, 2), "chunks kept": kept})
    began = time.perf_counter()
    finish(start(run_file, output))
    identical &= digests(folder / "whole") == digests(output)
    return {
        "uninterrupted, s": round(whole, 1),
        "its first chunk after, s": round(first, 1),
        "killed after": lives,
        "last call, s": round(time.perf_counter() - began, 1),
        "a finished chunk was ever lost": lost,
        "byte-identical": identical,
    }


def dask(folder: Path, n: int, keys: dict[str, Any]) -> dict[str, Any]:
    """Two Dask workers against one, on this machine."""
    times = {}
    for workers in (1, 2):
        cluster = {"kind": "local", "workers": workers}
        run_file = write_plan(folder, f"dask{workers}", n=n, cluster=cluster, **keys)
        began = time.perf_counter()
        finish(start(run_file, folder / f"dask{workers}"))
        times[workers] = time.perf_counter() - began
    same = digests(folder / "dask1") == digests(folder / "dask2")
    return {
        "one worker, s": round(times[1], 1),
        "two workers, s": round(times[2], 1),
        "speed-up": round(times[1] / times[2], 2),
        "byte-identical": same,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("cost", "kill", "dask"))
    parser.add_argument("--model", default="moses")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--chunk-size", type=int, default=4096)
    parser.add_argument("--deduplicate", default="inchikey")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where to work; by default a scratch folder")
    given = parser.parse_args()
    keys = {
        "model": given.model,
        "chunk_size": given.chunk_size,
        "deduplicate": given.deduplicate,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = given.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        if given.what == "cost":
            figures = cost(folder, given.sizes, given.workers, keys)
        elif given.what == "kill":
            keys["workers"] = given.workers
            figures = kill(folder, given.n, given.kills, given.seed, keys)
        else:
            figures = dask(folder, given.n, keys)
    print(json.dumps({"load average": os.getloadavg()[0], **figures}, indent=1))


if __name__ == "__main__":
    main()
