"""How long a stranger waits: a fresh clone, its installation, the demonstration, and the tests.

python -m tools.fresh_clone                 clone and `make demo`
python -m tools.fresh_clone --goals demo docs test
python -m tools.fresh_clone --record        adds the times to results/fresh_clone.jsonl

The clone is made of the last commit, in a temporary folder, and removed afterwards. On a shared
machine the processor seconds of all processes tell more than the time on the clock.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks import stored

ROOT = Path(__file__).parent.parent
#: The step that makes the environment, as the Makefile names it.
INSTALL = ".venv/.installed"


def timed(command: list[str], folder: Path) -> tuple[float, float]:
    """Run a command; returns seconds on the clock and processor seconds of all its processes.

    Raises:
        subprocess.CalledProcessError: the command failed.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    # no virtual environment that happens to be active may leak into the clone
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    subprocess.run(command, cwd=folder, env=environment, check=True)
    clock = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return clock, used


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks fresh_clone", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--goals", nargs="+", default=["demo"], help="goals of the Makefile")
    parser.add_argument("--record", action="store_true", help="add the times to results/")
    given = parser.parse_args(arguments)
    steps: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        clone = Path(name) / "clone"
        steps["clone"] = timed(["git", "clone", "--quiet", str(ROOT), str(clone)], Path(name))
        steps["install"] = timed(["make", INSTALL], clone)
        for goal in given.goals:
            steps[goal] = timed(["make", goal], clone)
    for step, (clock, used) in steps.items():
        print(f"{step:10} {clock:7.1f} s, {used:7.1f} processor seconds")
    clock, used = (sum(part) for part in zip(*steps.values(), strict=True))
    print(f"{'in all':10} {clock:7.1f} s, {used:7.1f} processor seconds")
    if given.record:
        rows = {f"{step}_s": round(c, 1) for step, (c, _) in steps.items()}
        rows |= {f"{step}_cpu_s": round(u, 1) for step, (_, u) in steps.items()}
        stored.append("fresh_clone", {"goals": given.goals, **rows, "clock_s": round(clock, 1),
                                      "cpu_s": round(used, 1)})  # fmt: skip


if __name__ == "__main__":
    main()
