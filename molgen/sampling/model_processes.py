"""Drawing blocks of molecules in several processes, this one included.

This process draws from the first moment, while the others still start; a helper has at most two
blocks before it, so that nobody waits for the last one long.
"""

from __future__ import annotations

from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from molgen.motifs.tree_tables import Refusal

if TYPE_CHECKING:
    from molgen.generation.generator import Generator

Block = tuple[list[str], list[Refusal]]


def draw_blocks(
    model: Generator, n_blocks: int, seed: int, temperature: float, n_workers: int
) -> list[Block]:
    """Blocks 0 to ``n_blocks - 1`` of ``model.sample_block``, in order.

    Args:
        n_workers: processes, this one among them; the others read the model from its folder, so
            that a model without one is drawn from here alone.
    """
    helpers = min(n_workers, n_blocks) - 1
    if helpers < 1 or model.folder is None:
        return [model.sample_block(b, seed, temperature) for b in range(n_blocks)]
    blocks: dict[int, Block] = {}
    given: dict[int, Future[Block]] = {}
    todo = iter(range(n_blocks))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    context = get_context("spawn")
    try:
        with ProcessPoolExecutor(helpers, context, _start, (model.folder,)) as pool:
            own: int | None = 0
            while own is not None:
                for number, future in list(given.items()):
                    if future.done():
                        blocks[number] = given.pop(number).result()
                while len(given) < 2 * helpers and (coming := next(todo, None)) is not None:
                    given[coming] = pool.submit(_draw, coming, seed, temperature)
                own = next(todo, None)
                if own is not None:
                    blocks[own] = model.sample_block(own, seed, temperature)
            for number, future in given.items():
                if future.cancel():
                    blocks[number] = model.sample_block(number, seed, temperature)
            for number, future in given.items():
                if number not in blocks:
                    blocks[number] = future.result()
    finally:
        torch.set_num_threads(threads)
    return [blocks[number] for number in range(n_blocks)]


_model: Generator | None = None


def _start(folder: Path) -> None:
    from molgen.generation.generator import load_model

    global _model
    torch.set_num_threads(1)
    _model = load_model(folder)


def _draw(number: int, seed: int, temperature: float) -> Block:
    assert _model is not None
    return _model.sample_block(number, seed, temperature)
