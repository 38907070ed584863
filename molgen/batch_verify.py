"""Whether rows of a batch are what its seed gives: their blocks are drawn again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from molgen.batch.chunk import single_thread
from molgen.batch.plan import BLOCK
from molgen.files.provenance_records import Provenance

if TYPE_CHECKING:
    import pandas as pd

    from molgen.generation.generator import Generator


def draw_again(
    table: pd.DataFrame,
    provenance: Provenance,
    model: Generator,
    rows: Sequence[int],
    max_blocks: int = 2,
) -> tuple[int, list[tuple[int, str]]]:
    """Draw again the blocks of 512 that some rows of a batch came from.

    Args:
        table: as ``load_table`` gives it, with ``smiles`` and ``draw``.
        provenance: its record, of ``run_batch``.
        model: the generator that the record names.
        rows: positions to begin with; every row of their blocks is compared.
        max_blocks: blocks to draw again at most.

    Returns:
        how many rows were compared; and for each that differs its position and what differs.

    Raises:
        ValueError: the table has no column ``draw``, or the record is not of a batch.
    """
    if "draw" not in table.columns or not provenance.function.startswith("run_batch"):
        raise ValueError("Only a table that a batch wrote, with its column draw, is drawn again.")
    draws = table["draw"].astype("int64").to_numpy()
    blocks = list(dict.fromkeys(int(draws[row]) // BLOCK for row in rows))[:max_blocks]
    temperature = float(provenance.arguments.get("temperature", 1.0))
    compared, different = 0, []
    for block in blocks:
        with single_thread():
            smiles, _ = model.sample_block(block, provenance.seed or 0, temperature)
        for row in (draws // BLOCK == block).nonzero()[0].tolist():
            compared += 1
            place = int(draws[row]) - block * BLOCK
            new = smiles[place] if place < len(smiles) else "nothing"
            if str(table["smiles"].iloc[row]) != new:
                old = table["smiles"].iloc[row]
                different.append((row, f"draw {int(draws[row])} is {old}, drawn again it is {new}"))
    return compared, different
