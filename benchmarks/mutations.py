"""Which one-operator changes of numerical code do the tests that mirror it catch?

python -m benchmarks mutations --n 1000 --seed 0 --journal mutations.jsonl [--room molgen/chem]

Operators of the rooms below are drawn at random and changed one at a time (``<`` to ``<=``, ``+``
to ``-``, ``and`` to ``or``, ``not`` taken away) in a copy of the repository, where the tests that
name the changed module run until the first failure. A change is caught if a test fails or runs
over the limit (five times what it takes unchanged, a minute at least). The journal has one line a
change; a run that was stopped goes on where it was. Survivors are printed with line and both texts:
some change nothing that could be seen (a limit that no input meets), the others want a test.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
ROOMS = (
    "trial_sim/statistics", "trial_sim/sequential", "trial_sim/sample_size", "molgen/chem",
    "molgen/motifs", "molgen/scoring",
)  # fmt: skip
PACKAGES = ("molgen", "trial_sim")
LEAST_LIMIT = 60.0  # seconds
MOST_FILES = 4  # test files that run for one change
CHANGES: dict[type[ast.AST], tuple[str, str]] = {
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="), ast.NotEq: ("!=", "=="), ast.In: ("in", "not in"), ast.Is: ("is",
    "is not"), ast.IsNot: ("is not", "is"), ast.NotIn: ("not in", "in"), ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*"), ast.FloorDiv: ("//", "/"),
    ast.Mod: ("%", "*"), ast.Pow: ("**", "*"), ast.And: ("and", "or"), ast.Or: ("or", "and"),
    ast.BitAnd: ("&", "|"), ast.BitOr: ("|", "&"), ast.LShift: ("<<", ">>"), ast.RShift: (">>",
    "<<"),
}  # fmt: skip


class Site(NamedTuple):
    """An operator: its file, line, place in the file's bytes, and what takes its place."""

    path: str
    line: int
    start: int
    end: int
    before: str
    after: str


def sites(path: str, content: bytes) -> Iterator[Site]:
    """The operators of a module that compute: none in annotations, messages or texts."""
    starts = [0]
    for line in content.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def offset(line: int, column: int) -> int:
        return starts[line - 1] + column

    def between(left: ast.expr, right: ast.expr, operator: ast.AST) -> Iterator[Site]:
        assert left.end_lineno is not None and left.end_col_offset is not None
        first = offset(left.end_lineno, left.end_col_offset)
        gap = content[first : offset(right.lineno, right.col_offset)]
        before, after = CHANGES[type(operator)]
        found = re.search(rb"\s+".join(re.escape(w).encode() for w in before.split()), gap)
        if found and b"#" not in gap:
            line = content.count(b"\n", 0, first + found.start()) + 1
            yield Site(path, line, first + found.start(), first + found.end(), before, after)

    for node in _computing(ast.parse(content)):
        if isinstance(node, ast.Compare):
            operands = [node.left, *node.comparators]
            for left, right, operator in zip(operands, operands[1:], node.ops):
                yield from between(left, right, operator)
        elif isinstance(node, ast.BoolOp):
            for left, right in zip(node.values, node.values[1:]):
                yield from between(left, right, node.op)
        elif isinstance(node, ast.BinOp) and type(node.op) in CHANGES:
            if not any(_is_text(side) or _is_type(side) for side in (node.left, node.right)):
                yield from between(node.left, node.right, node.op)
        elif isinstance(node, ast.AugAssign) and type(node.op) in CHANGES:
            yield from between(node.target, node.value, node.op)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not):
            word = "not " if isinstance(node.op, ast.Not) else "-"
            at = offset(node.lineno, node.col_offset)
            yield Site(path, node.lineno, at, at + len(word), word, "")


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _is_type(node: ast.expr) -> bool:
    name = getattr(node, "attr", getattr(node, "id", ""))
    return (
        (name[:1].isupper() and not name.isupper())
        or name in ("str", "int", "float", "bool", "bytes")
        or (isinstance(node, ast.Constant) and node.value is None)
    )


def _computing(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below one, without annotations, decorators, messages of errors and reprs."""
    if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr):
        return
    if isinstance(node, ast.FunctionDef) and node.name in ("__repr__", "__str__"):
        return
    if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
        return
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _computing(child)


def changed(content: bytes, site: Site) -> bytes:
    """The module with the operator changed."""
    return content[: site.start] + site.after.encode() + content[site.end :]


def every_site(rooms: tuple[str, ...]) -> list[Site]:
    """The operators of all modules of the rooms that compile when changed."""
    found = []
    for room in rooms:
        for path in sorted((ROOT / room).rglob("*.py")):
            content = path.read_bytes()
            for site in sites(path.relative_to(ROOT).as_posix(), content):
                try:
                    compile(changed(content, site), path.name, "exec")
                except SyntaxError:
                    continue
                found.append(site)
    return found


# ---- which tests, which modules ------------------------------------------------------------------
def module_of(path: str) -> str:
    """The dotted name of a module."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@cache
def _imports() -> dict[str, frozenset[str]]:
    """Of each module and test file: the modules that it imports, or whose names it calls."""
    paths = [p for top in (*PACKAGES, "tests") for p in (ROOT / top).rglob("*.py")]
    trees = {module_of(p.relative_to(ROOT).as_posix()): ast.parse(p.read_bytes()) for p in paths}
    homes = {name: _homes(tree) for name, tree in trees.items()}

    def home_of(package: str, name: str) -> str:
        """The module of a public name, through lazy maps of names."""
        while name in homes.get(package, {}):
            package = f"{package}.{homes[package][name]}"
        return package

    found = {}
    for module, tree in trees.items():
        named = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    named |= {node.module, f"{node.module}.{alias.name}"}
                    named.add(home_of(node.module, alias.name))
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                package = "trial_sim" if node.value.id == "ts" else node.value.id
                if package in PACKAGES:
                    named.add(home_of(package, node.attr))
        found[module] = frozenset(named & set(trees))
    return found


def _homes(tree: ast.Module) -> dict[str, str]:
    """The map of public names to modules that a package loads when they are asked for."""
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict):
            pairs = list(zip(node.value.keys, node.value.values))
            texts = [(k.value, v.value) for k, v in pairs if _is_word(k) and _is_word(v)]  # type: ignore[union-attr]
            if texts and len(texts) == len(pairs) and "_HOMES" in ast.unparse(node)[:40]:
                found |= dict(texts)
    return found


def _is_word(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def mirrors_of(path: str) -> tuple[str, ...]:
    """The test files that mirror a module: that of its name first, then those that import it.

    Where none does, those of the modules that import it.
    """
    module, stem = module_of(path), Path(path).stem
    waiting, seen = [module], {module}
    while waiting:
        users = [n for n, named in _imports().items() if named & set(waiting)]
        files = sorted(n for n in users if n.startswith("tests.") and ".test_" in n)
        mirror = f"tests.{path.split('/')[0]}.test_{stem}"
        if mirror in _imports() and waiting == [module]:
            files = [mirror, *(f for f in files if f != mirror)]
        if files:
            return tuple(f.replace(".", "/") + ".py" for f in files[:MOST_FILES])
        waiting = [n for n in users if n not in seen]
        seen |= set(waiting)
    return ()


def users_of(module: str) -> set[str]:
    """The modules whose compiled kernels may hold the code of one: itself, and its importers."""
    found, waiting = {module}, [module]
    while waiting:
        one = waiting.pop()
        more = {n for n, named in _imports().items() if one in named} - found
        found |= more
        waiting += more
    return found


# ---- a copy, a change, a run ---------------------------------------------------------------------
def copy_repository(folder: Path) -> None:
    """Links to the tracked files and to the compiled kernels."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True, check=True,
    ).stdout.decode()  # fmt: skip
    names = [name for name in listed.split("\0") if name]
    for top in PACKAGES:
        names += [str(p.relative_to(ROOT)) for p in (ROOT / top).rglob("__pycache__/*.nb?")]
    for name in names:
        if (ROOT / name).is_file():
            _link(ROOT / name, folder / name)


def run_tests(folder: Path, files: tuple[str, ...], limit: float | None) -> tuple[str, float]:
    """``passed``, ``failed`` or ``too long``, and the seconds."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    own = {
        "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": "1",
    }  # fmt: skip
    began = time.monotonic()
    process = subprocess.Popen(
        [*command, "-m", "not long", *files], cwd=folder, env=os.environ | own,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        code = process.wait(timeout=limit)
        outcome = "passed" if code in (0, 5) else "failed"
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
        outcome = "too long"
    return outcome, time.monotonic() - began


def put(folder: Path, site: Site) -> bytes:
    """Change the operator in the copy, forget kernels compiled of it; the bytes from before."""
    target = folder / site.path
    content = target.read_bytes()
    target.unlink()  # a link: the repository's own file stays as it is
    target.write_bytes(changed(content, site))
    for kernel in kernels_of(folder, site):
        kernel.unlink()
    return content


def put_back(folder: Path, site: Site, content: bytes) -> None:
    """The module as it was, with its kernels."""
    target = folder / site.path
    target.unlink()
    target.write_bytes(content)
    os.utime(target, ns=(time.time_ns(), (ROOT / site.path).stat().st_mtime_ns))
    for kernel in kernels_of(folder, site):
        kernel.unlink()
    for kernel in kernels_of(ROOT, site):
        _link(kernel, folder / kernel.relative_to(ROOT))


def kernels_of(folder: Path, site: Site) -> list[Path]:
    """The compiled kernels that may hold the code of the module."""
    found: list[Path] = []
    for module in users_of(module_of(site.path)):
        home, stem = module.replace(".", "/").rpartition("/")[::2]
        found += (folder / home / "__pycache__").glob(f"{stem}.*.nb?")
    return found


def _link(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, target)
    except OSError:  # another disk
        shutil.copy2(path, target)


def examine(
    chosen: list[tuple[int, Site]], journal: Path, seed: int, minutes: float | None
) -> list[dict]:
    """Try each change that the journal does not have yet; its rows of this seed."""
    done = []
    if journal.exists():
        done = [json.loads(line) for line in journal.read_text("utf-8").splitlines()]
        done = [row for row in done if row["seed"] == seed]
    known = {row["number"] for row in done}
    end = None if minutes is None else time.monotonic() + 60 * minutes
    unchanged: dict[tuple[str, ...], tuple[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_repository(folder)
        for number, site in chosen:
            if number in known:
                continue
            if end is not None and time.monotonic() > end:
                break
            files = mirrors_of(site.path)
            if files and files not in unchanged:
                unchanged[files] = run_tests(folder, files, None)
            verdict, seconds = unchanged.get(files, ("passed", 0.0))
            if verdict == "failed":
                verdict = "tests fail unchanged"
            elif files:
                limit = max(LEAST_LIMIT, 5 * seconds)
                content = put(folder, site)
                outcome, seconds = run_tests(folder, files, limit)
                put_back(folder, site, content)
                verdict = "survived" if outcome == "passed" else "caught"
            else:
                verdict = "no test"
            row = {
                "seed": seed, "number": number, **site._asdict(), "verdict": verdict,
                "seconds": round(seconds, 1), "tests": list(files), "text": line_of(site),
            }  # fmt: skip
            with journal.open("a", encoding="utf-8") as out:
                out.write(json.dumps(row) + "\n")
            done.append(row)
            print(in_words(row), flush=True)
    return done


def line_of(site: Site) -> str:
    """The line of the operator, as it stands."""
    return (ROOT / site.path).read_text("utf-8").splitlines()[site.line - 1].strip()


def in_words(row: dict) -> str:
    """A row of the journal on one line."""
    change = f"{row['before'].strip()!r} to {row['after']!r}"
    return f"{row['verdict']:9} {row['path']}:{row['line']}  {change}  in  {row['text']}"


def main() -> int:
    """Print each change and what became of it, then the share that was caught."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--n", type=int, default=1000, help="changes")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--room", action="append", choices=ROOMS, help="only this one; repeat")
    parser.add_argument("--journal", type=Path, default=Path("mutations.jsonl"))
    parser.add_argument("--minutes", type=float, help="begin no change after so many")
    options = parser.parse_args()
    rooms = tuple(options.room or ROOMS)
    found = every_site(rooms)
    order = np.random.default_rng(options.seed).permutation(len(found))[: options.n]
    chosen = [(int(i), found[i]) for i in order]
    # a number means the same operator only while the rooms and the code are the same
    rows = examine(chosen, options.journal, options.seed, options.minutes)
    rows = [r for r in rows if (r["number"], r["start"]) in {(i, s.start) for i, s in chosen}]
    caught = sum(r["verdict"] == "caught" for r in rows)
    survived = [r for r in rows if r["verdict"] in ("survived", "no test")]
    judged = caught + len(survived)
    print(f"\n{len(found):,} operators in {', '.join(rooms)}")
    for row in survived:
        print(in_words(row))
    if judged:
        print(f"{caught} of {judged} changes caught ({caught / judged:.1%}); floor 85 %, goal 97 %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
