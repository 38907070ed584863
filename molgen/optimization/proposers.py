"""Proposers: callables that suggest molecules to a search, given some that were good.

A generative model joins a search by being one more of them. What a proposer returns is parsed,
checked and compared with what is known by the search itself; it may return fewer than it was asked
for, and nonsense costs nothing but time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from molgen.chem.graph_edits import mutate
from molgen.optimization.graph_moves import FragmentTable, crossover, replace_branch

Proposer = Callable[[list[str], int, np.random.Generator], list[str]]
"""``propose(parents, n, rng)`` -> up to ``n`` SMILES; parents come best first."""


# ---- proposers -----------------------------------------------------------------------------------
def propose_crossover(parents: list[str], n: int, rng: np.random.Generator) -> list[str]:
    """Children of random pairs, half of them mutated once more."""
    children = []
    for _ in range(n):
        first, second = rng.integers(len(parents), size=2)
        child = crossover(parents[first], parents[second], rng)
        if child is not None and rng.random() < 0.3:
            child = mutate(child, rng) or child
        if child is not None:
            children.append(child)
    return children


def propose_mutation(parents: list[str], n: int, rng: np.random.Generator) -> list[str]:
    """One to three graph edits of a random parent."""
    children = []
    for _ in range(n):
        parent = parents[int(rng.integers(len(parents)))]
        child = mutate(parent, rng, n_edits=int(rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15])))
        if child is not None:
            children.append(child)
    return children


def fragment_proposer(table: FragmentTable) -> Proposer:
    """A proposer that replaces branches by those of ``table``."""

    def propose(parents: list[str], n: int, rng: np.random.Generator) -> list[str]:
        children = []
        for _ in range(n):
            child = replace_branch(parents[int(rng.integers(len(parents)))], table, rng)
            if child is not None:
                children.append(child)
        return children

    return propose


def library_proposer(library: Sequence[str]) -> Proposer:
    """A proposer that draws unlabelled molecules from a list, whatever the parents."""

    def propose(parents: list[str], n: int, rng: np.random.Generator) -> list[str]:
        return [library[index] for index in rng.integers(len(library), size=n)]

    return propose


def default_proposers(
    library: Sequence[str], seed: int = 0, n_fragment_molecules: int = 1000
) -> dict[str, tuple[Proposer, float]]:
    """Crossover, mutation, fragments of the library and the library itself, with their shares."""
    rng = np.random.default_rng([seed, 1])
    count = min(n_fragment_molecules, len(library))
    chosen = [library[i] for i in rng.choice(len(library), size=count, replace=False)]
    return {
        "crossover": (propose_crossover, 0.35),
        "mutation": (propose_mutation, 0.40),
        "fragment": (fragment_proposer(FragmentTable.from_smiles(chosen)), 0.20),
        "library": (library_proposer(library), 0.05),
    }
