"""``describe``: a table of descriptors, one row a molecule."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rdkit import Chem

from molgen.base.parallel import map_chunks
from molgen.base.user_warnings import warn_user
from molgen.chem.fast_descriptors import describe_fast
from molgen.chem.parsing import MoleculeError, as_smiles_list, parse_whole, quiet_rdkit
from molgen.chem.properties import DESCRIPTORS, check_descriptors, compute, whole_counts
from molgen.chem.typed_molecules import TypedMol

if TYPE_CHECKING:
    import pandas as pd

#: Molecules from which on the preparation for shared steps and screens pays; values and reasons
#: are the same.
MANY = 50


def _describe_chunk(
    chunk: Sequence[object], names: Sequence[str]
) -> list[tuple[list[float] | None, str]]:
    """For each text its descriptor values, or None and the reason why not."""
    results: list[tuple[list[float] | None, str]] = []
    fast = len(chunk) >= MANY
    with quiet_rdkit():
        for text in chunk:
            try:
                if not isinstance(text, str):
                    raise MoleculeError("Not a string.", f"not a string ({type(text).__name__})")
                results.append((_values(parse_whole(text), names, fast), ""))
            except MoleculeError as error:
                results.append((None, error.reason))
    return results


def _values(mol: Chem.Mol, names: Sequence[str], fast: bool) -> list[float]:
    if fast:
        try:
            return list(describe_fast(TypedMol(mol), names, {}).values())
        except (ValueError, RuntimeError, ZeroDivisionError):
            pass  # one of them cannot be computed: the others one by one
    return list(compute(mol, names).values())


def describe(
    smiles: str | Iterable[str],
    *,
    properties: Sequence[str] | None = None,
    n_jobs: int = 1,
    progress: bool = False,
) -> pd.DataFrame:
    """A table of descriptors, one row a molecule, in the order given.

    Args:
        smiles: one SMILES or many.
        properties: names from :data:`DESCRIPTORS`; all by default.
        n_jobs: processes, -1 for all cores. The table does not depend on it.
        progress: show a progress bar on standard error.

    Returns:
        DataFrame with the column ``smiles`` (as given) and one column a descriptor; counts are
        whole numbers. Rows that are not molecules are kept, with gaps, and listed in
        ``table.attrs["rejected"]`` as dictionaries with ``line`` (from 1), ``smiles``,
        ``reason``; a warning says how many there are.

    >>> table = describe(["CCO", "c1ccccc1"], properties=["mw", "rings"])
    >>> table["rings"].tolist()
    [0, 1]
    """
    import pandas as pd

    names = check_descriptors(DESCRIPTORS if properties is None else properties)
    texts = as_smiles_list(smiles)
    results = map_chunks(
        _describe_chunk,
        texts,
        (names,),
        n_jobs=n_jobs,
        progress="describe" if progress else None,
    )
    blank = [math.nan] * len(names)
    rows = [blank if values is None else values for values, _ in results]
    table = whole_counts(pd.DataFrame(rows, columns=names, dtype=float))
    table.insert(0, "smiles", pd.Series(texts, dtype=object))
    table.attrs["rejected"] = rejected = [
        {"line": line, "smiles": str(text), "reason": reason}
        for line, (text, (values, reason)) in enumerate(zip(texts, results), start=1)
        if values is None
    ]
    if rejected:
        first = rejected[0]
        warn_user(
            f"{len(rejected):,} of {len(texts):,} rows are not molecules and have NaN; the first "
            f"is row {first['line']}: {first['reason']}."
        )
    return table
