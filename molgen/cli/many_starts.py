"""Verbs that begin with one molecule, for every molecule of a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molgen.cli.common import (
    hash_input,
    read_input,
    tell,
    with_columns,
    write_lines,
    write_out,
    write_rejects,
)
from molgen.files.molecule_files import names_a_file
from molgen.provenance import record, save_table

if TYPE_CHECKING:
    import pandas as pd

    from molgen.files.molecule_files import MoleculeFile
    from molgen.generation.generator import Generator, Molecules


def read_starts(text: str, column: str | None, format: str | None) -> MoleculeFile | None:
    """The molecules of the file that ``text`` names; None where ``text`` is one molecule."""
    if text != "-" and not names_a_file(text, told=format is not None):
        return None
    return read_input(text, column, format)


def write_from_each(
    read: MoleculeFile,
    make: Callable[[str], tuple[pd.DataFrame, Molecules]],
    output: Path | None,
    rejects: Path | None,
    model: Generator,
    function: str,
    arguments: dict[str, Any],
    seed: int,
) -> None:
    """What ``make`` gives for each molecule read, in one table: ``start`` names what it came from.

    The columns of the input stand beside them. A molecule from which nothing can be made is set
    aside with the reason.

    Args:
        read: the molecules to start from.
        make: from SMILES to a table with ``smiles``, and the molecules with what was dropped.
        output: where the table goes; without it the molecules go to standard output as CSV.
        rejects: where the molecules go from which nothing was made.
        model, function, arguments, seed: for the record.
    """
    import pandas as pd

    tables, places, refused, notes = [], [], [], []
    for place, smiles in enumerate(read.smiles):
        try:
            table, molecules = make(smiles)
        except ValueError as error:
            refused.append({"line": place + 1, "reason": str(error)})
            continue
        for refusal in molecules.dropped:
            tell(f"Note: {refusal.smiles}: {refusal.reason}")
        notes += [note for note in molecules.notes if note not in notes]
        if not len(table):
            reasons = "; ".join(r.reason for r in molecules.dropped)
            refused.append({"line": place + 1, "reason": reasons or "nothing was found"})
        tables.append(table)
        places += [place] * len(table)
    write_rejects(rejects, read, refused)
    if not places:
        raise ValueError(f"none of the {len(read):,} molecules of {read.source} led to others")
    made = pd.concat(tables, ignore_index=True)
    table = with_columns(made, _repeated(read, places), original=True)
    if output is None:
        write_lines(table)
    elif str(output) == "-":
        write_out(table.to_csv(index=False))
    else:
        checkpoint = str(model.card.get("sha256", ""))
        arguments = {**arguments, "carried": table.attrs["carried"]}
        save_table(
            table,
            output,
            record(
                f"{function} of many", arguments, seed=seed, checkpoint_sha256=checkpoint,
                data_sha256=hash_input(read), notes=notes,
            ),
        )  # fmt: skip
    tell(f"{len(table):,} molecules from {len(set(places)):,} of {len(read):,}")


def _repeated(read: MoleculeFile, places: list[int]) -> MoleculeFile:
    """The rows of a file at ``places``, its SMILES under the name ``start``."""
    import pandas as pd

    columns = {
        name: values.iloc[places].reset_index(drop=True)
        if isinstance(values, pd.Series)
        else [values[i] for i in places]
        for name, values in read.columns.items()
    }
    return replace(
        read,
        smiles=tuple(read.smiles[i] for i in places),
        lines=tuple(read.lines[i] for i in places),
        names=tuple(read.names[i] for i in places),
        columns=columns,
        smiles_column="start" if "start" not in columns else "input_smiles",
    )
