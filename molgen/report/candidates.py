"""What a report says about single molecules: scores as bars, the nearest known molecule, a map.

"Known" molecules are those that the report compares with: a sample of MOSES's training set that
ships with the package, or any set that the caller names (a house collection, say).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from rdkit import Chem

from molgen.chem.fingerprints import fingerprints
from molgen.chem.parsing import as_smiles_list, parse_or_none
from molgen.chem.similarity import nearest, pack
from molgen.files.datasets import load_dataset

if TYPE_CHECKING:
    import pandas as pd

#: Shown as bars where a table brings no scores: property → (name of the bar, empty at, full at).
_SCALES = {
    "qed": ("drug-likeness", 0.0, 1.0),
    "sa_score": ("ease of synthesis", 10.0, 1.0),
}
#: Cards more alike than this (Tanimoto, ECFP4) stand for one another while others are left.
_ALIKE = 0.5
_LOOKED_AT = 40  # candidates for each card
_RADIUS, _N_BITS = 2, 1024


@dataclass(frozen=True)
class Bar:
    """One score of a candidate: ``share`` in [0, 1] of the bar is filled; ``text`` is written."""

    name: str
    share: float
    text: str


@dataclass(frozen=True)
class Candidate:
    """What a card shows beside the structure.

    Attributes:
        row: position in the table.
        score: the objective's value, or None.
        bars: components of the score with their raw values, or drug-likeness and synthesis.
        known: the most similar known molecule, or None; similarity: its Tanimoto coefficient
            (ECFP4, 1,024 bits).
    """

    row: int
    score: float | None
    bars: tuple[Bar, ...]
    known: str | None
    similarity: float


@dataclass(frozen=True)
class Known:
    """The molecules that a report compares with.

    Attributes:
        smiles: molecules. names: what each is called, or "". links: where each is described, or
            "". public: they are MOSES's, which PubChem knows.
    """

    smiles: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    public: bool = False

    @cached_property
    def packed(self) -> np.ndarray:
        """Their fingerprints, which cards and rows are both compared with."""
        return pack(fingerprints(self.smiles, _RADIUS, _N_BITS))

    def text(self, at: int) -> str:
        """The name of a molecule, or its SMILES."""
        return (self.names[at] if self.names else "") or self.smiles[at]

    def link(self, at: int) -> str:
        """Where it is described: its own link, or PubChem's search for its InChIKey; else ""."""
        if self.links and self.links[at]:
            return self.links[at]
        mol = parse_or_none(self.smiles[at]) if self.public else None
        if mol is None:
            return ""
        return f"https://pubchem.ncbi.nlm.nih.gov/#query={Chem.MolToInchiKey(mol)}"


def known_molecules(reference: Any) -> Known:
    """What a report compares with, from ``"moses"``, SMILES, a table or None; others are left out.

    Of a table the columns ``name`` (or ``id``, or that of ``attrs["titles"]``) and ``link`` (or
    ``url``) are used; a link that is no http address is not.
    """
    if reference is None:
        return Known()
    if isinstance(reference, str) and reference == "moses":
        return Known(tuple(load_dataset("moses", split="sample")), public=True)
    if not hasattr(reference, "columns"):
        return Known(tuple(s for s in as_smiles_list(reference) if parse_or_none(s) is not None))
    table = reference[[parse_or_none(str(s)) is not None for s in reference["smiles"]]]

    def texts(*names: Any) -> tuple[str, ...]:
        named = next((n for n in names if n is not None and n in table.columns), None)
        if named is None:
            return ()
        return tuple("" if v is None or v != v else str(v) for v in table[named])

    links = texts("link", "url")
    return Known(
        tuple(map(str, table["smiles"])),
        texts(reference.attrs.get("titles"), "name", "id"),
        tuple(t if t.startswith(("https://", "http://")) else "" for t in links),
    )


def nearest_known(smiles: Sequence[str], known: Known) -> list[tuple[int, float]]:
    """For each molecule the place of the most alike known one, and the Tanimoto similarity.

    (-1, NaN) for text that is not a molecule, and where nothing is known.
    """
    out = [(-1, math.nan)] * len(smiles)
    rows = [i for i, s in enumerate(smiles) if parse_or_none(s) is not None]
    if rows and known.smiles:
        mine = pack(fingerprints([smiles[i] for i in rows], _RADIUS, _N_BITS))
        similar, which = nearest(mine, known.packed)
        for i, value, at in zip(rows, similar, which):
            out[i] = (int(at), float(value))
    return out


def choose_candidates(table: pd.DataFrame, n: int, known: Known | Sequence[str]) -> list[Candidate]:
    """The ``n`` candidates that come first, with their nearest known molecules.

    Order: by ``score`` where the table has it (those marked ``diverse`` first), else as given;
    molecules that failed a filter come last, texts that are not molecules never. Of molecules that
    are alike (Tanimoto on ECFP4 above .5) the first is taken while there are others to take.

    Args:
        table: with ``smiles``; ``score``, components as ``molgen.score`` writes them, ``passed``
            and ``diverse`` are used when there.
        known: molecules, or their SMILES, to look for the nearest among; may be empty.
    """
    rows = [i for i, s in enumerate(table["smiles"]) if parse_or_none(str(s)) is not None]
    scores = _column(table, "score")
    passed = _column(table, "passed")
    diverse = _column(table, "diverse")
    first = ~table["smiles"].duplicated().to_numpy()
    distinct = [r for r in rows if first[r]]
    distinct.sort(
        key=lambda r: (
            0 if passed is None or passed[r] else 1,
            0 if diverse is None or diverse[r] else 1,
            math.inf if scores is None or not math.isfinite(scores[r]) else -scores[r],
        )
    )
    good = [r for r in distinct if passed is None or passed[r]]
    bad = [r for r in distinct if passed is not None and not passed[r]]
    chosen = _unlike(table, good, n)
    chosen += _unlike(table, bad, n - len(chosen))
    compared = known if isinstance(known, Known) else Known(tuple(known))
    near = nearest_known([str(table["smiles"][r]) for r in chosen], compared)
    records = table.to_dict("records")
    return [
        Candidate(
            row=r,
            score=None if scores is None or not math.isfinite(scores[r]) else float(scores[r]),
            bars=tuple(_bars(records[r])),
            known=None if near[i][0] < 0 else compared.smiles[near[i][0]],
            similarity=near[i][1],
        )
        for i, r in enumerate(chosen)
    ]


def _unlike(table: pd.DataFrame, rows: Sequence[int], n: int) -> list[int]:
    """``n`` rows in their order, those alike to one before left out while others are left."""
    looked_at = list(rows[: _LOOKED_AT * max(n, 0)])
    if len(looked_at) <= n:
        return looked_at
    prints = fingerprints([str(table["smiles"][r]) for r in looked_at], _RADIUS, _N_BITS)
    bits = prints.astype(np.int32)
    sizes = bits.sum(axis=1)
    kept: list[int] = []
    for i in range(len(looked_at)):
        both = bits[kept] @ bits[i]
        alike = both / np.maximum(sizes[kept] + sizes[i] - both, 1)
        if not (alike > _ALIKE).any():
            kept.append(i)
        if len(kept) == n:
            break
    others = [i for i in range(len(looked_at)) if i not in kept]
    return [looked_at[i] for i in sorted(kept + others[: n - len(kept)])]


def _column(table: pd.DataFrame, name: str) -> np.ndarray | None:
    return table[name].to_numpy(dtype=float) if name in table.columns else None


def _bars(row: Mapping[Any, Any]) -> list[Bar]:
    """The wishes of a score with their raw values; without any, the two scales."""
    components = [str(c) for c in row if f"{c} (raw)" in row]
    bars = []
    for name in components:
        value = float(row[name])
        share = min(max(value, 0.0), 1.0) if math.isfinite(value) else 0.0
        bars.append(Bar(name, share, _number(row[f"{name} (raw)"])))
    if not components:
        bars = [_scaled(name, row[name]) for name in _SCALES if name in row]
    return bars


def _scaled(name: str, value: Any) -> Bar:
    label, empty, full = _SCALES[name]
    number = float(value)
    if not math.isfinite(number):
        return Bar(label, 0.0, "")
    share = min(max((number - empty) / (full - empty), 0.0), 1.0)
    return Bar(label, share, f"{name} {_number(number)}")


def _number(value: Any) -> str:
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return f"{float(value):.3g}" if math.isfinite(float(value)) else "none"
    return str(value)


def chemical_space(
    smiles: Sequence[str], reference: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Principal components of ECFP4 bits, fitted on the reference molecules alone.

    The axes are the reference's, so that molecules of another kind show as a cloud of their own
    only where those axes can tell them apart.

    Args:
        smiles: (n,) valid molecules.
        reference: (m,) valid molecules, at least three of them different.

    Returns:
        (n, 2) and (m, 2) float64 coordinates, and the shares of variance of both axes.
    """
    x = fingerprints(reference, _RADIUS, _N_BITS).astype(np.float64)
    centre = x.mean(axis=0)
    covariance = np.cov(x, rowvar=False)
    values, vectors = np.linalg.eigh(covariance)
    axes = vectors[:, [-1, -2]]
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])  # the same picture everywhere
    total = float(values.sum()) or 1.0
    own = (fingerprints(smiles, _RADIUS, _N_BITS).astype(np.float64) - centre) @ axes
    return own, (x - centre) @ axes, (float(values[-1]) / total, float(values[-2]) / total)
