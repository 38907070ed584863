"""What every way of writing molecules shares: its result, random streams, checks of arguments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from rdkit import Chem, rdBase

from molgen.motifs.assembly import to_smiles
from molgen.motifs.tree_tables import Refusal
from molgen.motifs.trees import MotifTree


class Molecules(list[str]):
    """A list of canonical SMILES that also says what was dropped on the way.

    dropped: strings that RDKit refused, with the reason; each was replaced by a new draw.
    acceptance: share of proposals that met the conditions asked for.
    """

    def __init__(self, smiles: Iterable[str], dropped: Sequence[Refusal] = ()):
        super().__init__(smiles)
        self.dropped = tuple(dropped)
        self.acceptance = 1.0


def seeded(seed: int, block: int, stream: int) -> np.random.Generator:
    """The random stream of a block; ``stream`` tells uses apart."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, block, stream])))


def to_canonical(tree: MotifTree) -> str | Refusal:
    """Canonical SMILES of a tree without stereo, or why there is none."""
    text = to_smiles(tree)
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(text)
    if mol is None:
        return Refusal(0, text, "RDKit cannot read the assembled molecule")
    return Chem.MolToSmiles(mol)


def check_count(n: int) -> None:
    """Raise ValueError unless ``n`` is a whole number of at least 0."""
    if not isinstance(n, int | np.integer) or n < 0:
        raise ValueError(f"n is {n!r}; expected a whole number of at least 0")


def check_temperature(temperature: float) -> None:
    """Raise ValueError unless ``temperature`` is a number of at least 0."""
    if not temperature >= 0:
        raise ValueError(f"temperature is {temperature!r}; expected a number of at least 0")
