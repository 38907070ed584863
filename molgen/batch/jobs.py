"""What a worker of a batch is asked to do: draw a chunk, or score molecules of one.

Molecules are scored after the batch has sorted out which of a chunk's are new, since scores may
cost any amount: none is scored twice, or only to be thrown away.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from molgen.base.errors import BatchError
from molgen.base.parquet import parquet_bytes, read_parquet
from molgen.batch.chunk import META, compute_chunk
from molgen.batch.plan import Task
from molgen.scoring.objectives import Objective, score

if TYPE_CHECKING:
    import pandas as pd

    from molgen.scoring.objectives import Objective


@dataclass(frozen=True)
class Job:
    """One thing to compute.

    Attributes:
        number: of the chunk.
        smiles: the molecules of the chunk to score; None to draw the chunk.
    """

    number: int
    smiles: tuple[str, ...] | None = None

    @property
    def key(self) -> tuple[int, bool]:
        """What tells jobs of a run apart."""
        return self.number, self.smiles is not None

    def to_json(self) -> str:
        """The job as JSON text."""
        return json.dumps({"number": self.number, "smiles": self.smiles})

    @classmethod
    def from_json(cls, text: str) -> Job:
        """The inverse of :meth:`to_json`."""
        values = json.loads(text)
        smiles = values["smiles"]
        return cls(values["number"], None if smiles is None else tuple(smiles))


def compute_job(task: Task, job: Job) -> bytes:
    """The content of a chunk's file, or of the file of its scores.

    Raises:
        BatchError: a component of the objective has no value for any molecule.
    """
    if job.smiles is None:
        return compute_chunk(task, job.number)
    return compute_scores(task, job.number, job.smiles)


def compute_scores(task: Task, number: int, smiles: tuple[str, ...]) -> bytes:
    """A Parquet file with ``score``, ``score_<component>``, ``raw_<component>`` and
    ``score_problems`` of molecules of chunk ``number``, in their order."""
    table = _scores(task, number, list(smiles))
    numbers = [c for c in table.columns if c != "score_problems"]
    table = table.astype({**dict.fromkeys(numbers, float), "score_problems": object})
    table["smiles"] = np.array(smiles, dtype=object)
    meta = {"identity": task.identity, "chunk": number}
    return parquet_bytes(table, {META: json.dumps(meta)})


def read_scores(
    source: Path | bytes, task: Task, number: int, smiles: tuple[str, ...]
) -> pd.DataFrame:
    """The scores of molecules from a file, or from its content, which may hold more of them.

    Raises:
        BatchError: the file is damaged, or of other molecules.
    """
    try:
        table, metadata = read_parquet(source)
        whole = table.set_index("smiles")
        if json.loads(metadata[META]) != {"identity": task.identity, "chunk": number}:
            raise BatchError(f"The scores of chunk {number} are of another run.")
        if not set(smiles) <= set(whole.index):
            raise BatchError(f"The scores of chunk {number} are of other molecules.")
    except (KeyError, ValueError) as error:
        raise BatchError(f"The scores of chunk {number} are damaged: {error}") from error
    return whole.loc[list(smiles)].reset_index(drop=True)


def _scores(task: Task, number: int, smiles: list[str]) -> pd.DataFrame:
    import pandas as pd

    objective = _objective(json.dumps(task.objective))
    scored = score(smiles, objective)
    objective._cache.clear()  # it would grow by a chunk's molecules each time
    columns: dict[str, Any] = {"score": scored["score"]}
    for part in objective.components:
        raw = scored[f"{part.name} (raw)"]
        if len(smiles) and raw.isna().all():
            told = next((p for p in scored["problems"] if p), "no reason given")
            raise BatchError(
                f"The component {part.name!r} of the objective has no value for any of the "
                f"{len(smiles):,} molecules of chunk {number}: {told}."
            )
        columns[f"score_{part.name}"] = scored[part.name]
        columns[f"raw_{part.name}"] = raw
    columns["score_problems"] = scored["problems"]
    return pd.DataFrame(columns)


@lru_cache(maxsize=2)
def _objective(plain: str) -> Objective:
    return Objective.from_dict(json.loads(plain))
