"""Rows of results in ``benchmarks/results/*.jsonl``: one format, one row a run.

Beside its figures each row has the date, the revision, the machine and the hash of the shipped
checkpoint, so that a figure is known to be of this model or of an earlier one. A run can go on
where its rows end.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "results"
SHIPPED = Path(__file__).parents[1] / "molgen/models/moses/model.json"


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


def checkpoint() -> str:
    """Hash of the weights of the checkpoint that ships as the default."""
    return str(json.loads(SHIPPED.read_text("utf-8"))["sha256"])[:16]


def machine() -> str:
    """What a figure was measured on, in a few words."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"


def append(where: str | Path, row: dict[str, Any]) -> None:
    """Add one row to ``results/<where>.jsonl``, or to a file named by its path.

    Date, revision, machine and the shipped checkpoint's hash are added where the row has none.
    """
    path = Path(where)
    if isinstance(where, str) and path.suffix == "" and path.parent == Path("."):
        FOLDER.mkdir(exist_ok=True)
        path = FOLDER / f"{where}.jsonl"
    plain = {
        key: value.item() if isinstance(value, np.generic) else value for key, value in row.items()
    }
    about = {"date": today(), "revision": revision(), "machine": machine(),
             "shipped": checkpoint()}  # fmt: skip
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({**plain, **{k: v for k, v in about.items() if k not in plain}},
                              default=str) + "\n")  # fmt: skip


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
