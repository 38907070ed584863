"""Benchmark rows appended to ``benchmarks/results/*.jsonl``, so that a run can go on later."""

from __future__ import annotations

import json
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "results"


def revision() -> str:
    """Short hash of the commit that is checked out, with a ``+`` if files have changed since."""
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"],
        cwd=FOLDER.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or "unknown"


def append(name: str, row: dict[str, Any]) -> None:
    """Add one row to ``results/<name>.jsonl``, with the revision that made it."""
    FOLDER.mkdir(exist_ok=True)
    plain = {
        key: value.item() if isinstance(value, np.generic) else value for key, value in row.items()
    }
    with (FOLDER / f"{name}.jsonl").open("a") as file:
        file.write(json.dumps({**plain, "revision": revision()}) + "\n")


def today() -> str:
    """The date, the default name of a run."""
    return date.today().isoformat()


def rows(name: str, **same: Any) -> list[dict[str, Any]]:
    """The stored rows that agree with ``same``, oldest first."""
    path = FOLDER / f"{name}.jsonl"
    if not path.exists():
        return []
    found = [json.loads(line) for line in path.read_text().splitlines() if line]
    return [row for row in found if all(row.get(k) == v for k, v in same.items())]
