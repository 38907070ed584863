"""Training sets in which each molecule, or each kind of molecule, stands once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from rdkit import Chem

from molgen.chem.parsing import as_smiles_list, parse_or_none, quiet_rdkit
from molgen.chem.ring_systems import scaffold

if TYPE_CHECKING:
    pass


def thin(smiles: Iterable[str], by: str = "scaffold", most: int = 1, seed: int = 0) -> list[str]:
    """At most ``most`` molecules of each kind, in the order given; unreadable texts are left out.

    Args:
        smiles: the molecules.
        by: ``"inchikey"``: the same molecule whatever its spelling; ``"scaffold"``: the same
            Bemis-Murcko scaffold (molecules without rings are their own kind).
        most: how many of a kind may stay.
        seed: which of a kind stay.

    Raises:
        ValueError: an unknown ``by``, or ``most`` below 1.

    Examples:
        >>> thin(["OCC", "CCO", "CCN"], by="inchikey")
        ['OCC', 'CCN']
    """
    if by not in ("inchikey", "scaffold"):
        raise ValueError(f"by is {by!r}; expected 'inchikey' or 'scaffold'")
    if most < 1:
        raise ValueError(f"most is {most}; expected at least 1")
    texts = as_smiles_list(smiles)
    kinds: dict[str, list[int]] = {}
    with quiet_rdkit():
        for i, text in enumerate(texts):
            mol = parse_or_none(text)
            if mol is not None:
                key = scaffold(mol) if by == "scaffold" else ""
                key = key or Chem.MolToInchiKey(mol) or Chem.MolToSmiles(mol)
                kinds.setdefault(key, []).append(i)
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 81])))
    kept: list[int] = []
    for places in kinds.values():
        same = by == "inchikey" and most == 1
        kept += places[:most] if same else rng.permutation(places)[:most].tolist()
    return [texts[i] for i in sorted(kept)]
