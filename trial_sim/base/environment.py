"""What computed a result: versions, platform, processor, commit. Both packages hold this text."""

from __future__ import annotations

import json
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

DISTRIBUTION = "digital-double"
#: Packages that numbers depend on.
NUMERICAL = (
    "numpy", "scipy", "pandas", "numba", "llvmlite", "scikit-learn", "statsmodels", "rdkit",
    "chembl-structure-pipeline", "torch", "torch-geometric", "fcd-torch", "dp-accounting",
    "pyarrow", "duckdb",
)  # fmt: skip


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the numerical packages that are installed."""
    found = {"python": platform.python_version()}
    for name in NUMERICAL:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@cache
def system() -> str:
    """Operating system and machine, such as ``Linux-6.1-x86_64-with-glibc2.36``."""
    return platform.platform()


@cache
def processor() -> str:
    """The processor's name, as the operating system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@cache
def commit() -> str:
    """The commit of the sources, with ``+`` where they were changed since; "" if not known.

    It is asked of git in a clone, and of pip's record for what pip installed from a repository.
    """
    here = Path(__file__).parent.parent
    if (here.parent / ".git").exists():
        try:
            head = _git(here.parent, "rev-parse", "HEAD").strip()
            changed = _git(here.parent, "status", "--porcelain", "--", here.name)
        except (OSError, subprocess.SubprocessError):
            return ""
        return head + "+" * bool(changed.strip())
    try:
        told = json.loads(distribution(DISTRIBUTION).read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return ""
    return str(told.get("vcs_info", {}).get("commit_id", ""))


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True, text=True, timeout=20, check=True,
    )  # fmt: skip
    return done.stdout
