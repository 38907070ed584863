"""What the benchmarks have measured so far, and how two entries differ.

python -m benchmarks history                     every file of results and its entries
python -m benchmarks history generator           the entries of one file
python -m benchmarks history generator 1 -1      the first against the last: before, after, ratio
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
#: Fields that say what an entry is about rather than what was measured.
LABELS = ("run", "date", "revision", "benchmark", "suite", "task", "model", "name", "machine")


def files(folder: Path = RESULTS) -> dict[str, Path]:
    """Files of results by the name of their benchmark."""
    return {path.stem: path for path in sorted(folder.glob("*.jsonl"))}


def entries(path: Path) -> list[dict[str, Any]]:
    """Entries of a file, oldest first; each is one JSON object a line.

    Raises:
        ValueError: a line that is no JSON object, with its number.
    """
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path.name}, line {number}: no JSON ({error.msg})") from error
        if not isinstance(entry, dict):
            raise ValueError(f"{path.name}, line {number}: expected an object, got {line[:40]!r}")
        found.append(entry)
    return found


def numbers(entry: Any, prefix: str = "") -> dict[str, float]:
    """Every number of an entry by its dotted path; truth values and texts are left out."""
    if isinstance(entry, bool):
        return {}
    if isinstance(entry, int | float):
        return {prefix: float(entry)}
    parts = (
        entry.items()
        if isinstance(entry, dict)
        else enumerate(entry)
        if isinstance(entry, list)
        else ()
    )
    found: dict[str, float] = {}
    for key, value in parts:
        found |= numbers(value, f"{prefix}.{key}" if prefix else str(key))
    return found


def compare(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, float, float, float]]:
    """(name, before, after, after / before) of every number that both entries have.

    The ratio is NaN where ``before`` is 0.
    """
    one, two = numbers(before), numbers(after)
    return [
        (name, value, two[name], two[name] / value if value else float("nan"))
        for name, value in one.items()
        if name in two
    ]


def label(entry: dict[str, Any]) -> str:
    """A few words on what an entry is about."""
    known = [str(entry[key]) for key in LABELS if isinstance(entry.get(key), str)]
    return ", ".join(known) or f"{len(numbers(entry))} numbers"


def show(name: str, path: Path) -> None:
    """Print the entries of a file, numbered as ``compare`` takes them."""
    found = entries(path)
    print(f"{name}: {len(found)} {'entry' if len(found) == 1 else 'entries'}")
    for number, entry in enumerate(found, start=1):
        some = ", ".join(f"{k} {v:.4g}" for k, v in list(numbers(entry).items())[:4])
        print(f"  {number:>3}  {label(entry)}: {some}")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks history", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("name", nargs="?", help="file of results, without .jsonl")
    parser.add_argument("before", nargs="?", type=int, help="number of an entry; -1 is the last")
    parser.add_argument("after", nargs="?", type=int, default=-1)
    given = parser.parse_args(arguments)
    known = files()
    if given.name is None:
        for name, path in known.items():
            show(name, path)
        return
    if given.name not in known:
        parser.error(f"no results of {given.name!r}; there are: {', '.join(known)}")
    if given.before is None:
        show(given.name, known[given.name])
        return
    found = entries(known[given.name])
    chosen = []
    for number in (given.before, given.after):
        if number == 0 or abs(number) > len(found):
            parser.error(f"entry {number} of {given.name}: there are {len(found)}, counted from 1")
        chosen.append(found[number - 1 if number > 0 else number])
    before, after = chosen
    print(f"before: {label(before)}\nafter:  {label(after)}\n")
    rows = compare(before, after)
    width = max((len(name) for name, *_ in rows), default=8)
    print(f"{'':{width}}  {'before':>12}  {'after':>12}  {'after/before':>12}")
    for name, one, two, ratio in rows:
        print(f"{name:{width}}  {one:>12.6g}  {two:>12.6g}  {ratio:>12.3f}")


if __name__ == "__main__":
    main()
