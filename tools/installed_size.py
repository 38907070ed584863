"""What an installation weighs on the disk, package by package, PyTorch with its needs apart.

python -m tools.installed_size            packages that this environment needs to run molgen
python -m tools.installed_size --fresh    the same in a new environment, made in a temp folder
python -m tools.installed_size --record   adds the total to results/installed_size.jsonl

Counted are the files that each wheel put there, without compiled bytecode (`.pyc`), which Python
writes as modules are imported; `--bytecode` counts those as well. Our own packages are counted
where they are imported from: an editable installation lists none of their files.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from benchmarks import stored
from tools import licences

ROOT = Path(__file__).parent.parent
OWN_PACKAGES = ("molgen", "trial_sim")


def own_size(distribution: metadata.Distribution, bytecode: bool = False) -> int:
    """Bytes of the files of a distribution that are on the disk now."""
    total = 0
    for file in distribution.files or ():
        if file.suffix == ".pyc" and not bytecode:
            continue
        path = Path(str(distribution.locate_file(file)))
        if path.is_file():
            total += path.stat().st_size
    return total


def size_of_packages(names: Sequence[str], bytecode: bool = False) -> int:
    """Bytes of all files in the folders of packages, wherever they are imported from."""
    total = 0
    for name in names:
        spec = importlib.util.find_spec(name)
        for folder in (spec and spec.submodule_search_locations) or ():
            for path in Path(folder).rglob("*"):
                compiled = "__pycache__" in path.parts  # by Python or by numba
                if path.is_file() and (bytecode or not compiled):
                    total += path.stat().st_size
    return total


def torchs_own() -> set[str]:
    """PyTorch and everything that an installation of it alone brings (sympy, networkx, drivers)."""
    return {"torch", *licences.requirements("torch", set())}


def sizes(bytecode: bool = False) -> dict[str, int]:
    """Bytes of our distribution and of each that it needs at run time, largest first."""
    needed = licences.requirements(licences.DISTRIBUTION, set())
    found = {name: own_size(held, bytecode) for name, held in needed.items()}
    found[licences.DISTRIBUTION] = size_of_packages(OWN_PACKAGES, bytecode)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def asked_by() -> dict[str, list[str]]:
    """For each needed distribution, the needed ones (and ours) that ask for it by name."""
    needed = licences.requirements(licences.DISTRIBUTION, set())
    asking: dict[str, list[str]] = {name: [] for name in needed}
    holders = {**needed, licences.DISTRIBUTION: metadata.distribution(licences.DISTRIBUTION)}
    for name, distribution in holders.items():
        for text in distribution.requires or ():
            requirement = Requirement(text)
            wanted = licences.plain(requirement.name)
            marker = requirement.marker
            if wanted in asking and (marker is None or marker.evaluate({"extra": ""})):
                asking[wanted].append(name)
    return {name: sorted(set(who)) for name, who in asking.items()}


def in_fresh_environment(arguments: list[str]) -> None:
    """Install the project without extras into a temporary environment, and measure there."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / ("Scripts" if sys.platform == "win32" else "bin") / "python")
        pip = [python, "-m", "pip", "install", "--quiet", "--constraint", "constraints.txt"]
        subprocess.run([*pip, "torch"], cwd=ROOT, check=True)
        subprocess.run([*pip, "--editable", "."], cwd=ROOT, check=True)
        subprocess.run([python, "-m", "tools.installed_size", *arguments], cwd=ROOT, check=True)


def show(found: dict[str, int], most: int) -> int:
    """Print the table; returns the bytes of everything but PyTorch."""
    asking = asked_by()
    torch = torchs_own()
    rest = {name: size for name, size in found.items() if name not in torch}
    for name, size in list(rest.items())[:most]:
        askers = asking.get(name, [])
        who = ", ".join(askers[:4]) + (", ..." if len(askers) > 4 else "")
        print(f"{name:28} {size / 1e6:8.1f} MB   {f'for {who}' if who else 'itself'}")
    smaller = list(rest.values())[most:]
    if smaller:
        print(f"{f'{len(smaller)} smaller':28} {sum(smaller) / 1e6:8.1f} MB")
    total, others = sum(rest.values()), sum(found.values()) - sum(rest.values())
    print(f"\n{len(rest)} packages without PyTorch: {total / 1e6:.0f} MB")
    print(f"{len(found) - len(rest)} packages of PyTorch and its needs: {others / 1e6:.0f} MB")
    return total


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks installed_size", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--fresh", action="store_true", help="install into a new environment first")
    parser.add_argument("--bytecode", action="store_true", help="count compiled bytecode as well")
    parser.add_argument("--most", type=int, default=30, help="packages listed one by one")
    parser.add_argument("--record", action="store_true", help="add the total to results/")
    given = parser.parse_args(arguments)
    if given.fresh:
        passed = sys.argv[1:] if arguments is None else arguments
        in_fresh_environment([a for a in passed if a != "--fresh"])
        return
    found = sizes(given.bytecode)
    total = show(found, given.most)
    if given.record:
        largest = {name: round(size / 1e6, 1) for name, size in list(found.items())[: given.most]}
        stored.append(
            "installed_size",
            {"without_torch_mb": round(total / 1e6, 1), "packages": len(found),
             "bytecode": given.bytecode, "largest_mb": largest},
        )  # fmt: skip


if __name__ == "__main__":
    main()
