"""Thousands of trial shapes: what fits do not give back, and the shapes on which they fail.

python -m benchmarks trial_shapes --n 2000
python -m benchmarks trial_shapes --n 1 --first 108  # one shape again
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from tests.trial_sim.trial_shapes import judged


def main() -> None:
    """Run the shapes and print faults as they are found, then a table by kind of endpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=2000, help="how many shapes")
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    told = parser.parse_args()
    started = time.perf_counter()
    drawn, failed = Counter[str](), Counter[str]()
    numbers = range(told.first, told.first + told.n)
    with ProcessPoolExecutor(told.jobs) as pool:
        for shape, lines in pool.map(judged, numbers, chunksize=8):
            drawn[shape.kind] += 1
            if lines:
                failed[shape.kind] += 1
                print(shape, *(f"    {line}" for line in lines), sep="\n", flush=True)
    for kind, count in sorted(drawn.items()):
        print(f"{kind:16} {count - failed[kind]:6} of {count:6}")
    good = sum(drawn.values()) - sum(failed.values())
    seconds = time.perf_counter() - started
    print(f"{'all':16} {good:6} of {sum(drawn.values()):6} in {seconds:.0f} s")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
