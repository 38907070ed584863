"""Prints how simple the house is: rooms, circles of imports, hidden imports, lines, files to touch.

    python -m tools.house_figures
    python -m tools.house_figures --undocumented     names the public functions without docstring

Each line has the figure of today, the floor and the goal. Exits with 1 where a floor is missed.

**Same capabilities.** The floor of lines is for what the packages could do at revision d9406f0. A
file counts as of then if git finds that it comes from a file of then: renamed, copied or changed,
by a likeness of 30 %. Files that git calls added hold capabilities that came since, or a part that
was split off and rewritten. Files of then have grown by what they learnt since, so that this count
is an upper bound; the lines of then that still stand, word for word, are a lower one.
"""

from __future__ import annotations

import argparse
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


THEN = "d9406f0"


def git(*arguments: str) -> list[str]:
    """The lines that a command of git prints; none where there is no history."""
    told = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return told.stdout.splitlines()


def lines_of_then() -> tuple[int, int, int]:
    """Lines of the packages at d9406f0, those of them that stand, and lines of files from then."""
    sizes = [
        git("show", f"{THEN}:{name}")
        for name in git("ls-tree", "-r", "--name-only", THEN, *PACKAGES)
        if name.endswith(".py")
    ]
    whole = sum(map(len, sizes))
    how = ("diff", "-M30%", "-C30%", "--find-copies-harder", "-l0")
    statuses = [line.split("\t") for line in git(*how, "--name-status", THEN, "--", *PACKAGES)]
    came = sum(
        lines(iter([ROOT / names[-1]]))
        for status, *names in statuses
        if status[0] in "MRC" and names[-1].endswith(".py")
    )
    gone = 0
    for line in git(*how, "--numstat", THEN, "--", *PACKAGES):
        _, deleted, name = line.split("\t")
        if name.rstrip("}").endswith(".py") and deleted.isdigit():
            gone += int(deleted)
    changed = {names[-1] for _, *names in statuses}
    unchanged = [path for path in sources() if str(path.relative_to(ROOT)) not in changed]
    return whole, whole - gone, came + lines(iter(unchanged))


def files_to_touch() -> dict[str, int]:
    """Change -> the files that it touches, as tests/test_extension_points.py shows by doing it."""
    tree = ast.parse((ROOT / "tests/test_extension_points.py").read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "FILES":
            return {k: len(files) for k, (_, files) in ast.literal_eval(node.value).items()}
    raise SystemExit("tests/test_extension_points.py has no FILES")


def undocumented() -> list[str]:
    """Public functions, classes and methods without docstring; a method that overrides has its
    base's."""
    classes: dict[str, tuple[list[str], set[str]]] = {}
    lacking: list[tuple[str, str, str]] = []
    for path in sources():
        for node in ast.parse(path.read_text("utf-8")).body:
            named = isinstance(node, ast.FunctionDef | ast.ClassDef)
            if not named or node.name.startswith("_"):
                continue
            where = str(path.relative_to(ROOT))
            if not ast.get_docstring(node):
                lacking.append((where, "", node.name))
            if isinstance(node, ast.ClassDef):
                told = [m for m in node.body if isinstance(m, ast.FunctionDef)]
                bases, methods = classes.setdefault(node.name, ([], set()))
                bases += [b.id for b in node.bases if isinstance(b, ast.Name)]
                methods |= {m.name for m in told if ast.get_docstring(m)}
                lacking += [
                    (where, node.name, m.name)
                    for m in told
                    if not m.name.startswith("_") and not ast.get_docstring(m)
                ]

    def inherits(cls: str, method: str) -> bool:
        bases, _ = classes.get(cls, ([], set()))
        return any(method in classes.get(b, ([], set()))[1] or inherits(b, method) for b in bases)

    return [
        f"{where}: {cls + '.' if cls else ''}{name}"
        for where, cls, name in lacking
        if not (cls and inherits(cls, name))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--undocumented", action="store_true", help="name them, nothing else")
    if parser.parse_args().undocumented:
        print(*undocumented(), sep="\n")
        return
    whole, standing, came = lines_of_then()
    touched = files_to_touch()
    kinds = {"descriptor": (1, 1), "search move with option": (2, 1), "outcome kind": (5, 3),
             "test in simulate": (3, 2)}  # fmt: skip
    rows = [
        ("entries directly in molgen/", entries("molgen"), 22, 19),
        ("entries directly in trial_sim/", entries("trial_sim"), 22, 20),
        ("contracts broken (circles, upward imports)", contracts_broken(), 0, 0),
        ("own imports inside functions", imports_inside_functions(), 25, 10),
        (f"lines, same capabilities ({whole:,} at {THEN})", came, 57_000, 52_000),
        ("lines of README.md", lines(iter([ROOT / "README.md"])), 120, 90),
        ("public functions without docstring", len(undocumented()), 0, 0),
        *((f"files to touch: {name}", touched[name], *limits) for name, limits in kinds.items()),
    ]
    missed = 0
    print(f"{'quantity':45s} {'today':>8s} {'floor':>8s} {'goal':>8s}")
    for name, today, floor, goal in rows:
        verdict = "goal met" if today <= goal else "floor met" if today <= floor else "MISSED"
        missed += verdict == "MISSED"
        print(f"{name:45s} {today:8,d} {floor:8,d} {goal:8,d}  {verdict}")
    print(f"lines in all: {lines(sources()):,}; of {THEN}'s {whole:,} stand {standing:,}")
    raise SystemExit(int(missed > 0))


if __name__ == "__main__":
    main()
