"""Prints how simple the house is: rooms, circles of imports, hidden imports, lines.

    python -m tools.house_figures

Each line has the figure of today, the floor and the goal. Exits with 1 where a floor is missed.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("molgen", "trial_sim")


def sources() -> Iterator[Path]:
    """Every module of the two packages."""
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def entries(package: str) -> int:
    """Files and folders that lie directly in a package."""
    return sum(path.name != "__pycache__" for path in (ROOT / package).iterdir())


def imports_inside_functions() -> int:
    """Statements inside functions that import a module of our own."""
    found: set[tuple[Path, int]] = set()
    for path in sources():
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for node in ast.walk(function):
                names = (
                    [node.module or ""] if isinstance(node, ast.ImportFrom)
                    else [alias.name for alias in node.names] if isinstance(node, ast.Import)
                    else []
                )  # fmt: skip
                if any(name.split(".")[0] in PACKAGES for name in names):
                    found.add((path, node.lineno))
    return len(found)


def contracts_broken() -> int:
    """Contracts of .importlinter that do not hold (layers, circles, independence)."""
    program = Path(sys.executable).with_name("lint-imports")
    told = subprocess.run([program], cwd=ROOT, capture_output=True, text=True).stdout
    return sum(line.rstrip().endswith("BROKEN") for line in told.splitlines())


def lines(paths: Iterator[Path]) -> int:
    """Lines of text in files."""
    return sum(path.read_text("utf-8").count("\n") for path in paths)


def main() -> None:
    rows = [
        ("entries directly in molgen/", entries("molgen"), 22, 19),
        ("entries directly in trial_sim/", entries("trial_sim"), 22, 20),
        ("contracts broken (circles, upward imports)", contracts_broken(), 0, 0),
        ("own imports inside functions", imports_inside_functions(), 25, 10),
        ("lines of the two packages", lines(sources()), 57_000, 52_000),
        ("lines of README.md", lines(iter([ROOT / "README.md"])), 120, 90),
    ]
    missed = 0
    print(f"{'quantity':45s} {'today':>8s} {'floor':>8s} {'goal':>8s}")
    for name, today, floor, goal in rows:
        verdict = "goal met" if today <= goal else "floor met" if today <= floor else "MISSED"
        missed += verdict == "MISSED"
        print(f"{name:45s} {today:8,d} {floor:8,d} {goal:8,d}  {verdict}")
    raise SystemExit(int(missed > 0))


if __name__ == "__main__":
    main()
