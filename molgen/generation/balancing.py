"""Rare chemotypes on demand: a sample in which named classes have the shares that are asked for.

A generator writes a rare class as rarely as its training data hold it. Here each class is drawn by
``sample_where`` in the number wanted, the rest plainly, and the balance that came out is counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rdkit import Chem

from molgen.base.arguments import check_count
from molgen.chem.refusals import Refusal
from molgen.generation.windows import CHEMOTYPES, find_pattern, sample_where

if TYPE_CHECKING:
    import pandas as pd

    from molgen.generation.generator import Generator

_PLAIN = 1_000


def sample_balanced(
    model: Generator, balance: Mapping[str, float], n: int, seed: int = 0, temperature: float = 1.0
) -> pd.DataFrame:
    """``n`` different molecules in which each class has at least the share asked for.

    Args:
        balance: class → share in (0, 1]; a class is a name of
            ``molgen.generation.windows.CHEMOTYPES`` or a SMARTS. What the
            shares leave is filled with plain samples.

    Returns:
        DataFrame with ``smiles`` and one bool column a class. ``attrs["balance"]`` is a table with
        one row a class: ``asked``, ``achieved`` and ``plain``, the class's share among plain
        samples; ``attrs["dropped"]`` holds the reason for every shortfall.

    Raises:
        ValueError: no class, an unknown one, a share outside (0, 1], or shares above 1 in all.

    Examples:
        >>> import molgen
        >>> model = molgen.load_model("moses")
        >>> table = molgen.sample_balanced(model, {"spiro": 0.25}, 8)
        >>> len(table), bool(table["spiro"].mean() >= 0.25)
        (8, True)
    """
    import pandas as pd

    check_count(n)
    if not isinstance(balance, Mapping):
        raise ValueError(
            f"balance maps classes to shares, such as {{'spiro': 0.25}}; got {balance!r}"
        )
    queries = {name: Chem.MolFromSmarts(_smarts(name)) for name in balance}
    _check_shares(balance)
    found: dict[str, None] = {}
    dropped: list[Refusal] = []
    for number, (name, share) in enumerate(balance.items(), start=1):
        key = "chemotype" if name in CHEMOTYPES else "smarts"
        wanted = math.ceil(share * n - 1e-9)
        drawn = sample_where(
            model, {key: name}, wanted, seed + number, temperature=temperature, diverse=False
        )
        dropped += drawn.dropped
        for smiles in drawn:
            found.setdefault(smiles)
    plain = model.sample(max(n, _PLAIN), seed=seed, temperature=temperature)
    for smiles in plain:
        if len(found) >= n:
            break
        found.setdefault(smiles)
    chosen = list(found)[:n]
    if len(chosen) < n:
        dropped.append(Refusal(0, "", f"{len(chosen)} of {n} different molecules were drawn"))
    table = pd.DataFrame({"smiles": pd.Series(chosen, dtype=object)})
    rows = []
    for name, query in queries.items():
        table[name] = [Chem.MolFromSmiles(s).HasSubstructMatch(query) for s in chosen]
        common = [Chem.MolFromSmiles(s).HasSubstructMatch(query) for s in plain[:_PLAIN]]
        achieved = float(table[name].mean()) if chosen else math.nan
        rows.append((name, float(balance[name]), achieved, sum(common) / len(common)))
    table.attrs["balance"] = pd.DataFrame(rows, columns=["class", "asked", "achieved", "plain"])
    table.attrs["dropped"] = tuple(dropped)
    return table


def _smarts(name: str) -> str:
    """The pattern of a class: by its name, or the SMARTS that it is."""
    if name in CHEMOTYPES:
        return CHEMOTYPES[name]
    try:
        return find_pattern("smarts", name)
    except ValueError:
        raise ValueError(
            f"{name!r} is neither a chemotype ({', '.join(CHEMOTYPES)}) nor a SMARTS that RDKit "
            "can read"
        ) from None


def _check_shares(balance: Mapping[str, float]) -> None:
    if not balance:
        raise ValueError("balance is empty; expected for example {'spiro': 0.3}")
    for name, share in balance.items():
        if not 0 < share <= 1:
            raise ValueError(f"the share of {name} is {share!r}; expected a number in (0, 1]")
    total = sum(balance.values())
    if total > 1 + 1e-9:
        raise ValueError(f"the shares are {total:g} in all; expected at most 1")
