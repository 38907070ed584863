"""Test whether a molecule fails a filter that the molecules it was made from pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rdkit import Chem

from molgen.chem.properties import compute
from molgen.chem.typed_molecules import as_typed
from molgen.filters.fast_filters import refuses
from molgen.filters.filter_sets import as_filter_set


def filter_test(mols: Sequence[Chem.Mol], filters: Any) -> Callable[[Chem.Mol], bool]:
    """Whether a molecule fails none of ``filters`` but those that one of ``mols`` fails, too."""
    if filters is None:
        return lambda mol: True
    chosen = as_filter_set(filters)
    failed = {reason.filter for mol in mols for reason in chosen.refuse(mol)}
    asked = [f for f in chosen.filters if f.name not in failed]
    names = list(dict.fromkeys(d for f in asked for d in f.descriptors))

    def passes(mol: Chem.Mol) -> bool:
        typed, values = as_typed(mol), compute(mol, names)
        return not any(refuses(f, typed, values) for f in asked)

    return passes
