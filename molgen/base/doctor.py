"""What is missing or broken in an installation, in words. Both packages hold this same text."""

from __future__ import annotations

import importlib.util
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import (
    PackageNotFoundError,
    distribution,
    packages_distributions,
    requires,
    version,
)
from pathlib import Path

DISTRIBUTION = "digital-double"
#: Modules of Python that Windows lacks → what needs them.
POSIX = {
    "fcntl": "molgen batch (a lock on its folder)",
    "resource": "molgen batch (its memory, in estimates)",
}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: "fine", "note" or "wrong", and a sentence."""

    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind:>5}  {self.text}"


def examine(home: Path, files: Mapping[str, str], folders: Mapping[str, Path]) -> list[Finding]:
    """Look at Python, the packages needed, this package's own files, and places to write.

    Args:
        home: the package's folder. files: glob in it → what the files are for.
        folders: what is written there → the folder.
    """
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        python, packages, imports, other_molgen, posix,
    )  # fmt: skip
    found = [finding for check in checks for finding in check()]
    for pattern, purpose in files.items():
        if any(path.stat().st_size for path in home.glob(pattern)):
            found.append(Finding("fine", f"{pattern}: {purpose}"))
        else:
            text = f"{home / pattern} is missing or empty ({purpose}); install the package again"
            found.append(Finding("wrong", text))
    for purpose, folder in folders.items():
        found.append(_writable(purpose, folder))
    return found


def python() -> Iterator[Finding]:
    """Whether this Python is new enough."""
    told = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= (3, 11)
    yield Finding("fine" if good else "wrong", f"Python {told}; 3.11 or newer is needed")


def packages() -> Iterator[Finding]:
    """Whether what the distribution requires is installed, in a version that it takes."""
    try:
        needed = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        text = f"{DISTRIBUTION} is not installed; the packages run from {Path.cwd()} or sys.path"
        yield Finding("note", text)
        return
    good = 0
    for line in needed:
        name = re.match(r"[\w.-]+", line)
        optional = re.search(r"extra\s*==\s*['\"](\w+)", line)
        if name is None or (optional and optional[1] in ("dev", "docs", "notebook")):
            continue
        try:
            held = version(name[0])
        except PackageNotFoundError:
            if optional:
                what = f"pip install '{DISTRIBUTION}[{optional[1]}]' adds it"
                yield Finding("note", f"{name[0]} is not installed (optional; {what})")
            else:
                yield Finding("wrong", f"{name[0]} is not installed; pip install '{line}'")
            continue
        least = re.search(r">=\s*([\d.]+)", line)
        below = re.search(r"<\s*([\d.]+)", line)
        if (least and _numbers(held) < _numbers(least[1])) or (
            below and _numbers(held) >= _numbers(below[1])
        ):
            yield Finding("wrong", f"{name[0]} {held} is installed, {line} is needed")
        else:
            good += 1
    yield Finding("fine", f"{good} packages in the versions needed")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def imports() -> Iterator[Finding]:
    """Whether the compiled packages can be loaded at all."""
    for name in ("numpy", "scipy", "pandas", "numba", "rdkit", "torch"):
        try:
            importlib.import_module(name)
        except Exception as error:
            yield Finding("wrong", f"{name} cannot be loaded: {type(error).__name__}: {error}")


def other_molgen() -> Iterator[Finding]:
    """Whether PyPI's other package ``molgen`` has written into the same folder."""
    try:
        other = distribution("molgen")
    except PackageNotFoundError:
        return
    both = DISTRIBUTION in packages_distributions().get("molgen", [])
    yield Finding(
        "wrong",
        f"another distribution named molgen ({other.version}) is installed"
        + (f" beside {DISTRIBUTION}" if both else "")
        + "; both own a folder molgen, and whichever came last wrote over the other's files: "
        f"pip uninstall molgen {DISTRIBUTION}, then pip install {DISTRIBUTION}",
    )


def posix() -> Iterator[Finding]:
    """What this operating system cannot do."""
    for name, purpose in POSIX.items():
        if importlib.util.find_spec(name) is None:
            text = f"{sys.platform} has no {name}, which {purpose} needs; use WSL or a container"
            yield Finding("note", text)


def _writable(purpose: str, folder: Path) -> Finding:
    nearest = folder
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        return Finding("wrong", f"{purpose} cannot be written to {folder}: {error.strerror}")
    return Finding("fine", f"{purpose}: {folder}")


def in_words(findings: list[Finding]) -> str:
    """The findings line by line, and a conclusion."""
    wrong = sum(finding.kind == "wrong" for finding in findings)
    verdict = "nothing is wrong" if not wrong else f"{wrong} of {len(findings)} are wrong"
    return "\n".join([*map(str, findings), verdict])
