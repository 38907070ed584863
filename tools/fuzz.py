"""Mutated input to every parser: a refusal with a sentence is right, a traceback is a fault.

python -m tools.fuzz                              100,000 cases over all parsers
python -m tools.fuzz --cases 2000 --target study  2,000 cases of one parser
python -m tools.fuzz --target study --case 17     one case again, with what it was
python -m tools.fuzz --until 1000000              new cases until so many are on record

Each case is drawn from (seed, parser, number), so that every fault can be seen again.
"""

from __future__ import annotations

import argparse
import math
import time
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks import stored
from tools import fuzz_targets

REFUSALS = (ValueError, TypeError, OSError)  # what the commands turn into "Error: a sentence"
SLOW = 5.0  # CPU seconds; a parser that takes longer over a few kilobytes is a fault as well


@dataclass(frozen=True)
class Fault:
    """A case that ended in something other than a result or a refusal."""

    target: str
    case: int
    what: str
    where: str


def generator(seed: int, target: str, case: int) -> np.random.Generator:
    """Random numbers of one case; cases do not depend on one another."""
    key = np.random.SeedSequence([seed, zlib.crc32(target.encode()), case])
    return np.random.Generator(np.random.Philox(key))


def run_case(target: fuzz_targets.Target, seed: int, case: int, folder: Path) -> str | Fault:
    """ "accepted", the name of the refusal, or a fault."""
    content = target.mutate(generator(seed, target.name, case))
    began = time.process_time()  # a busy or paused machine is not the parser's fault
    try:
        target.parse(content, folder)
        outcome = "accepted"
    except REFUSALS as error:
        outcome = type(error).__name__ if str(error).strip() else "a refusal without a word"
    except (Exception, RecursionError, MemoryError) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        return Fault(target.name, case, f"{type(error).__name__}: {str(error)[:120]}", where)
    seconds = time.process_time() - began
    if seconds > SLOW:
        return Fault(target.name, case, f"took {seconds:.1f} s", "")
    return outcome


def run(
    targets: list[fuzz_targets.Target],
    cases: int,
    seed: int,
    first: int = 0,
    say: Callable[[str], None] = print,
) -> tuple[int, list[Fault]]:
    """``cases`` cases over the targets by their shares; returns how many ran, and the faults."""
    total = sum(t.share for t in targets)
    done, faults = 0, []
    with TemporaryDirectory() as name, warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        fuzz_targets.be_quiet()
        for target in targets:
            count = max(1, math.ceil(cases * target.share / total))
            began = time.process_time()
            found: Counter[str] = Counter()
            mine = []
            for case in range(first, first + count):
                outcome = run_case(target, seed, case, Path(name))
                if isinstance(outcome, Fault):
                    mine.append(outcome)
                else:
                    found[outcome] += 1
            done += count
            faults += mine
            seconds = time.process_time() - began
            parts = ", ".join(f"{n:,} {what}" for what, n in found.most_common())
            say(f"{target.name:20} {count:7,} cases {seconds:6.1f} s  {parts}")
            for what, n in Counter((f.what, f.where) for f in mine).most_common(5):
                case = next(f.case for f in mine if (f.what, f.where) == what)
                say(f"    FAULT, {n} times, case {case}: {what[0]} ({what[1]})")
    return done, faults


def recorded() -> tuple[int, int]:
    """Cases on record in ``results/fuzz.jsonl``, and how many of them ended in a fault."""
    rows = stored.rows("fuzz")
    return sum(row["cases"] for row in rows), sum(row["faults"] for row in rows)


def record(targets: list[fuzz_targets.Target], done: int, faults: list[Fault], seed: int,
           first: int, seconds: float) -> None:  # fmt: skip
    """Add a finished block of cases to ``results/fuzz.jsonl``."""
    stored.append("fuzz", {"cases": done, "faults": len(faults), "seed": seed,
                           "first": first, "targets": [t.name for t in targets],
                           "cpu_seconds": round(seconds, 1)})  # fmt: skip


def run_until(wanted: int, targets: list[fuzz_targets.Target], block: int, seed: int) -> int:
    """Blocks of unseen cases until ``wanted`` are on record; killed, it loses one block.

    Returns how many faults the blocks of this call had.
    """
    found = 0
    while recorded()[0] < wanted:
        first = max((r["first"] + r["cases"] for r in stored.rows("fuzz", seed=seed)), default=0)
        began = time.process_time()
        done, faults = run(targets, block, seed, first)
        record(targets, done, faults, seed, first, time.process_time() - began)
        found += len(faults)
        print(f"{recorded()[0]:,} cases on record, {found} faults in this run\n", flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="benchmarks fuzz", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--target", nargs="*", help="parsers; all by default")
    parser.add_argument("--case", type=int, help="run one case of one target and show it")
    parser.add_argument("--record", action="store_true", help="add the count to results/")
    parser.add_argument("--until", type=int, help="record blocks of cases until there are so many")
    given = parser.parse_args()
    known = {t.name: t for t in fuzz_targets.make_targets()}
    unknown = set(given.target or ()) - set(known)
    if unknown:
        parser.error(f"unknown {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
    targets = [known[n] for n in given.target or known]
    if given.case is not None:
        for target in targets:
            print(repr(target.mutate(generator(given.seed, target.name, given.case))))
            with TemporaryDirectory() as name:
                print(run_case(target, given.seed, given.case, Path(name)))
        return 0
    if given.until is not None:
        faults_found = run_until(given.until, targets, min(given.cases, 50_000), given.seed)
        print("{:,} cases on record, {} faults among them".format(*recorded()))
        return 1 if faults_found else 0
    began = time.process_time()
    done, faults = run(targets, given.cases, given.seed, given.first)
    seconds = time.process_time() - began
    print(f"\n{done:,} cases, {len(faults)} faults, {seconds:.0f} CPU seconds")
    if given.record:
        record(targets, done, faults, given.seed, given.first, seconds)
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
