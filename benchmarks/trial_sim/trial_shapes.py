"""Thousands of trial shapes: what fits do not give back, and the shapes on which they fail.

python -m benchmarks trial_shapes --n 2000 --journal shapes.jsonl  # killed, the same call goes on
python -m benchmarks trial_shapes --n 2000 --journal shapes.jsonl --retry  # failed shapes again
python -m benchmarks trial_shapes --n 1 --first 108  # one shape
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.trial_sim.trial_shapes import Shape, judged, shape_of


def held(journal: Path | None) -> dict[int, list[str]]:
    """Number of each shape in the journal with its faults; a line cut short by a kill is none."""
    out: dict[int, list[str]] = {}
    if journal is None or not journal.exists():
        return out
    for line in journal.read_text().splitlines():
        try:
            told = json.loads(line)
        except ValueError:
            continue
        out[told["shape"]] = told["faults"]
    return out


def drawn(numbers: list[int], jobs: int) -> Iterator[tuple[Shape, list[str]]]:
    """Shapes and their faults, in order."""
    if jobs == 1:
        yield from map(judged, numbers)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(judged, numbers, chunksize=8)


def table(done: dict[int, list[str]], numbers: Iterable[int]) -> Iterator[str]:
    """Lines by kind of endpoint, then one for all and the numbers of the shapes that failed."""
    total, failed, worst = Counter[str](), Counter[str](), []
    for number in numbers:
        if number in done:
            kind = shape_of(number).kind
            total[kind] += 1
            failed[kind] += bool(done[number])
            worst += [number] if done[number] else []
    for kind, count in sorted(total.items()):
        yield f"{kind:16} {count - failed[kind]:6} of {count:6}"
    yield f"{'all':16} {total.total() - failed.total():6} of {total.total():6} given back"
    if worst:
        yield f"failed: {' '.join(map(str, worst))}"


def main() -> None:
    """Run the shapes and print faults as they are found, then a table by kind of endpoint."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=2000, help="how many shapes")
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--journal", type=Path, help="file of what was done; a next call goes on")
    parser.add_argument("--retry", action="store_true", help="failed shapes of the journal again")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many")
    told = parser.parse_args()
    started = time.perf_counter()
    numbers = range(told.first, told.first + told.n)
    done = held(told.journal)
    if told.retry:
        done = {number: lines for number, lines in done.items() if not lines}
    for shape, lines in drawn([n for n in numbers if n not in done], told.jobs):
        done[shape.number] = lines
        if lines:
            print(shape, *(f"    {line}" for line in lines), sep="\n", flush=True)
        if told.journal:
            with told.journal.open("a") as file:
                file.write(json.dumps({"shape": shape.number, "faults": lines}) + "\n")
        if time.perf_counter() - started > told.seconds:
            break
    print(*table(done, numbers), sep="\n")
    sys.exit(1 if any(done.get(n) for n in numbers) else 0)


if __name__ == "__main__":
    main()
