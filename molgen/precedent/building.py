"""Tables of precedent made from molecules of one's own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from rdkit import Chem
from tqdm.auto import tqdm

from molgen.base.output_places import replacing
from molgen.precedent.files import PrecedentTable, save_precedent
from molgen.precedent.fragment_counts import Least, count_parts, cut_chunk
from molgen.precedent.fragment_cuts import read_flat, without_stereo

CHUNK = 5_000


def build_precedent(
    smiles: Sequence[str],
    output: str | os.PathLike,
    *,
    left_out: Iterable[str] = (),
    least: int = 3,
    least_at_context: int | Sequence[int] = (1, 1, 2, 2),
    source: str = "",
    folder: str | os.PathLike | None = None,
    progress: bool = False,
) -> PrecedentTable:
    """Cut molecules into groups, linkers and cores, and write a table of how often each occurs.

    A verb such as ``model.link`` proposes from the table ``precedent.zip`` in the model's folder.

    Args:
        smiles: the molecules; stereo is left aside, and stereoisomers count one by one.
        left_out: molecules that shall not count, whatever their stereo; a test's answers, say.
        least: molecules that must share a part for it to be kept. A table made from molecules
            that are secret holds nothing that fewer of them have; give ``least_at_context`` the
            same value then, so that what a part hung on is as common.
        least_at_context: occurrences of a part on the same surroundings at radius 0, 1, 2, 3 for
            these to be kept; one number for all.
        source: a word on where the molecules are from, kept in the table's card.
        folder: keeps the cut molecules here, so that a run that was stopped goes on.

    Raises:
        ValueError: there is no molecule, or a number below 1.

    Examples:
        >>> import molgen, tempfile, pathlib
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "precedent.zip"
        >>> table = molgen.build_precedent(["Cc1ccccc1", "Cc1ccncc1", "Cc1ccsc1"], file, least=3)
        >>> table.parts(1).section.text
        ['*C']
    """
    smiles = list(smiles)
    if not smiles:
        raise ValueError("there are no molecules to make a table of")
    levels = (least_at_context,) * 4 if isinstance(least_at_context, int) else least_at_context
    a, b, c, d = (int(v) for v in levels)
    if min(least, a, b, c, d) < 1:
        raise ValueError(f"least is {least} and {levels}; expected whole numbers of at least 1")
    with tempfile.TemporaryDirectory() as temporary:
        chunks = Path(folder) if folder is not None else Path(temporary)
        chunks.mkdir(parents=True, exist_ok=True)
        starts = range(0, len(smiles), CHUNK)
        files = [chunks / f"{start // CHUNK:04d}.npz" for start in starts]
        refused = 0
        for start, file in tqdm(list(zip(starts, files)), disable=not progress, unit="chunk"):
            if not file.is_file():
                with replacing(file) as made:
                    np.savez(made, **cut_chunk(smiles[start : start + CHUNK]))  # type: ignore[arg-type]
            with np.load(file) as arrays:
                refused += len(arrays["refused"])
        rows = same_molecules(smiles, left_out)
        sections = count_parts(files, list(starts), smiles, rows, Least(least, (a, b, c, d)))
    card = {
        "molecules": len(smiles) - refused - len(rows),
        "refused": refused,
        "left_out": len(rows),
        "least": [least, a, b, c, d],
        "source": source,
    }
    return PrecedentTable(save_precedent(output, sections, card))


def same_molecules(smiles: Sequence[str], wanted: Iterable[str]) -> list[int]:
    """Rows of ``smiles`` that are one of ``wanted``, stereo left aside."""
    flat, elements = set(), set()
    for text in wanted:
        mol = read_flat(text)
        if mol is not None:
            flat.add(Chem.MolToSmiles(mol))
            elements.add(_elements(text))
    rows = [i for i, text in enumerate(smiles) if _elements(text) in elements] if flat else []
    found = []
    for i in rows:
        mol = read_flat(smiles[i])
        if mol is not None and Chem.MolToSmiles(mol) in flat:
            found.append(i)
    return found


def _elements(smiles: str) -> str:
    """The letters of a SMILES, hydrogen aside: equal for equal molecules, and quick to compare."""
    letters = (c for c in without_stereo(smiles).upper() if c.isalpha() and c != "H")
    return "".join(sorted(letters))
