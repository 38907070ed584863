"""What changed between a lead and its analogues: tables and matched-pair pictures.

The common part is RDKit's maximum common substructure (whole rings only, ring atoms match ring
atoms); what lies outside is what was taken away and what was put there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDepictor, rdFMCS
from rdkit.Geometry import Point2D

from molgen.chem.fingerprints import fingerprints, tanimoto
from molgen.chem.parsing import as_smiles_list, parse, quiet_rdkit
from molgen.report.drawing import Drawing, draw_mol

if TYPE_CHECKING:
    import pandas as pd

_SECONDS = 2


@dataclass(frozen=True, eq=False)
class MatchedPair:
    """Two molecules and the part that they have in common.

    first, second: RDKit molecules; common: matching atoms (atom of first, atom of second).
    """

    first: Chem.Mol
    second: Chem.Mol
    common: tuple[tuple[int, int], ...]

    @property
    def removed(self) -> list[int]:
        """Atoms of ``first`` that ``second`` does not have."""
        kept = {a for a, _ in self.common}
        return [a for a in range(self.first.GetNumAtoms()) if a not in kept]

    @property
    def added(self) -> list[int]:
        """Atoms of ``second`` that ``first`` does not have."""
        kept = {b for _, b in self.common}
        return [b for b in range(self.second.GetNumAtoms()) if b not in kept]


def match_pair(first: str, second: str) -> MatchedPair:
    """The common part of two molecules.

    Raises ValueError for a text that is not a molecule.
    """
    mols = [parse(first), parse(second)]
    with quiet_rdkit():
        found = rdFMCS.FindMCS(
            mols,
            ringMatchesRingOnly=True,
            completeRingsOnly=True,
            timeout=_SECONDS,
        )
        query = Chem.MolFromSmarts(found.smartsString) if found.numAtoms else None
        if query is None:
            return MatchedPair(mols[0], mols[1], ())
        matches = [mol.GetSubstructMatch(query) for mol in mols]
    return MatchedPair(mols[0], mols[1], tuple(zip(*matches)))


def compare_analogues(lead: str, analogues: str | Iterable[str]) -> pd.DataFrame:
    """What each analogue has changed.

    Returns:
        DataFrame: ``smiles``, ``similarity`` to the lead (Tanimoto, ECFP4), ``removed`` and
        ``added`` (SMILES of the parts that differ, pieces separated by dots; ``[H]`` stands for
        nothing but hydrogen) and ``common_atoms``.

    Raises:
        ValueError: for a text that is not a molecule.

    Examples:
        >>> import molgen
        >>> table = molgen.compare_analogues("Cc1ccccc1", ["Clc1ccccc1"])
        >>> int(table["common_atoms"][0])
        6
    """
    import pandas as pd

    texts = as_smiles_list(analogues)
    similar = _similarity([lead], texts)[0]
    rows = []
    for text, value in zip(texts, similar):
        pair = match_pair(lead, text)
        rows.append(
            (
                text,
                float(value),
                _fragment(pair.first, pair.removed),
                _fragment(pair.second, pair.added),
                len(pair.common),
            )
        )
    columns = ["smiles", "similarity", "removed", "added", "common_atoms"]
    return pd.DataFrame(rows, columns=columns)


def draw_pairs(
    lead: str,
    analogues: str | Iterable[str],
    *,
    columns: int = 3,
    size: tuple[int, int] = (250, 170),
    path: str | Path | None = None,
) -> Drawing:
    """The lead, and each analogue drawn in the lead's own pose; what is new is highlighted.

    Beneath stand the similarity to the lead and the exchange that was made. In the picture of the
    lead those atoms are highlighted that at least one analogue has changed.

    Args:
        columns: structures in a row. size: of one, pixels. path: also write the SVG here.

    Raises:
        ValueError: no analogues, or a text that is not a molecule.

    Examples:
        >>> import molgen
        >>> picture = molgen.draw_pairs("Cc1ccccc1", ["Clc1ccccc1", "Oc1ccccc1"])
        >>> "</svg>" in picture
        True
    """
    texts = as_smiles_list(analogues)
    if not texts:
        raise ValueError("There are no analogues to draw.")
    table = compare_analogues(lead, texts)
    pairs = [match_pair(lead, text) for text in texts]
    posed = _posed(parse(lead))
    changed = sorted({a for pair in pairs for a in pair.removed})
    cells = [(draw_mol(posed, *size, changed), ["lead", lead])]
    for pair, row in zip(pairs, table.itertuples(index=False)):
        _pose_like(pair, posed)
        lines = [f"similarity {row.similarity:.2f}", f"{row.removed} → {row.added}"]
        cells.append((draw_mol(pair.second, *size, pair.added), lines))
    return _grid(cells, columns, size, path)


def draw_path(
    molecules: Sequence[str],
    *,
    columns: int = 4,
    size: tuple[int, int] = (250, 170),
    path: str | Path | None = None,
) -> Drawing:
    """Molecules of a path, such as ``interpolate`` gives: each step's change is highlighted.

    Beneath each stand its similarities to both ends. A molecule that repeats the one before is
    drawn once, with the steps that it takes.

    Raises:
        ValueError: fewer than two molecules, or a text that is not one.

    Examples:
        >>> import molgen
        >>> picture = molgen.draw_path(["Cc1ccccc1", "CCc1ccccc1", "CCc1ccncc1"])
        >>> "</svg>" in picture
        True
    """
    if len(molecules) < 2:
        raise ValueError(f"a path has at least two molecules; got {len(molecules)}")
    ends = _similarity([molecules[0], molecules[-1]], list(molecules))
    cells = []
    previous = _posed(parse(molecules[0]))
    start = 0
    while start < len(molecules):
        stop = start + 1
        while stop < len(molecules) and molecules[stop] == molecules[start]:
            stop += 1
        pair = match_pair(molecules[max(start - 1, 0)], molecules[start])
        _pose_like(pair, previous)
        steps = f"step {start + 1}" if stop == start + 1 else f"steps {start + 1} to {stop}"
        lines = [steps, f"to start {ends[0][start]:.2f}, to end {ends[1][start]:.2f}"]
        cells.append((draw_mol(pair.second, *size, pair.added), lines))
        previous, start = pair.second, stop
    return _grid(cells, columns, size, path)


def _similarity(queries: Sequence[str], others: Sequence[str]) -> np.ndarray:
    return tanimoto(fingerprints(queries), fingerprints(others))


def _fragment(mol: Chem.Mol, atoms: Sequence[int]) -> str:
    return Chem.MolFragmentToSmiles(mol, list(atoms)) if atoms else "[H]"


def _posed(mol: Chem.Mol) -> Chem.Mol:
    with quiet_rdkit():
        rdDepictor.Compute2DCoords(mol)
    return mol


def _pose_like(pair: MatchedPair, posed: Chem.Mol) -> None:
    """Draw the common part of ``pair.second`` where ``posed`` (its first molecule) has it."""
    with quiet_rdkit():
        if len(pair.common) < 3:
            rdDepictor.Compute2DCoords(pair.second)
            return
        where = posed.GetConformer()

        fixed = {}
        for a, b in pair.common:
            position = where.GetAtomPosition(a)
            fixed[b] = Point2D(position.x, position.y)
        rdDepictor.Compute2DCoords(pair.second, coordMap=fixed)


def _grid(
    cells: Sequence[tuple[str, list[str]]],
    columns: int,
    size: tuple[int, int],
    path: str | Path | None,
) -> Drawing:
    if columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}.")
    width, height = size
    step = height + 16 * max(len(lines) for _, lines in cells) + 12
    n_rows = -(-len(cells) // columns)
    whole = (width * min(columns, len(cells)), step * n_rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole[0]}" height="{whole[1]}" '
        f'viewBox="0 0 {whole[0]} {whole[1]}" color="#111" font-family="system-ui, sans-serif" '
        'font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
    ]
    most = width // 7
    for i, (picture, lines) in enumerate(cells):
        parts.append(f'<g transform="translate({width * (i % columns)},{step * (i // columns)})">')
        parts.append(picture)
        for k, line in enumerate(lines):
            text = line if len(line) <= most else line[: most - 1] + "…"
            colour = "#111" if k == 0 else "#555"
            parts.append(
                f'<text x="{width / 2}" y="{height + 14 + 16 * k}" text-anchor="middle" '
                f'fill="{colour}">{escape(text)}</text>'
            )
        parts.append("</g>")
    drawing = Drawing("".join([*parts, "</svg>"]))
    if path is not None:
        drawing.save(path)
    return drawing
