"""A grid of molecules in a notebook: sort, filter, search by substructure, select.

It works offline: the drawings come from RDKit in the kernel, a page at a time, and the script lies
in this package. It needs ``anywidget`` (``pip install 'digital-double[notebook]'``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from rdkit import Chem

from molgen.chem.parsing import as_smiles_list, parse_or_none, quiet_rdkit
from molgen.report.drawing import draw_structure

if TYPE_CHECKING:
    import pandas as pd

#: Shown under a molecule unless columns are named.
_MOST_SHOWN = 6


def view(
    molecules: pd.DataFrame | str | Iterable[str], columns: Sequence[str] | None = None
) -> Any:
    """Show molecules as a grid in which they are sorted, filtered, searched and selected.

    Filter with words and conditions (``mw<300 qed>0.6 amide``), search with SMARTS, click what is
    to be kept: ``.selection`` is then a table of it.

    Args:
        molecules: a table with ``smiles``, or SMILES.
        columns: what to show beneath each; by default the first six columns of the table.

    Returns:
        A widget. Its ``selected`` are positions, which may also be set; ``selection`` is the rows
        of the table at them, in their order, with the table's own index.

    Raises:
        ImportError: anywidget is not installed.
        ValueError: no molecules, or a column that the table does not have.

    Examples:
        >>> import molgen
        >>> grid = molgen.view(molgen.describe(["CCO", "CCN", "c1ccccc1O"], properties=["mw"]))
        >>> grid.substructure = "[OX2H]"
        >>> grid.matching
        [0, 2]
        >>> grid.selected = [2]
        >>> grid.selection["smiles"].tolist()
        ['c1ccccc1O']
    """
    import pandas as pd

    if isinstance(molecules, pd.DataFrame):
        if "smiles" not in molecules.columns:
            raise ValueError("The table to view has no column 'smiles'.")
        table = molecules
    else:
        table = pd.DataFrame({"smiles": as_smiles_list(molecules)})
    if not len(table):
        raise ValueError("There are no molecules to view.")
    names = [str(c) for c in table.columns if c != "smiles"][:_MOST_SHOWN] or ["smiles"]
    if columns is not None:
        missing = [c for c in columns if c not in table.columns]
        if missing:
            raise ValueError(
                f"The table has no column {missing[0]!r}; it has "
                f"{', '.join(map(str, table.columns))}."
            )
        names = list(columns)
    rows = [[_plain(v) for v in row] for row in table[names].itertuples(index=False, name=None)]
    return _viewer()(table=table, names=names, rows=rows)


def _plain(value: Any) -> Any:
    """A cell as JSON holds it: numbers and text; None for what is missing."""
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return None if value is None else str(value)


@lru_cache(maxsize=1)
def _viewer() -> Any:
    """The class of the widget, made when it is first needed."""
    try:
        import anywidget
        import traitlets
    except ImportError as error:
        raise ImportError(
            "molgen.view needs anywidget, which is not installed: pip install "
            "'digital-double[notebook]'."
        ) from error

    templates = files("molgen.report").joinpath("templates")

    class Viewer(anywidget.AnyWidget):
        """The grid, as :func:`view` makes it."""

        _esm = "".join(
            templates.joinpath(name).read_text("utf-8") for name in ("table.js", "viewer.js")
        )
        _css = templates.joinpath("viewer.css").read_text("utf-8")
        names: Any = traitlets.List().tag(sync=True)
        rows: Any = traitlets.List().tag(sync=True)
        wanted: Any = traitlets.List().tag(sync=True)
        pictures: Any = traitlets.Dict().tag(sync=True)
        substructure = traitlets.Unicode("").tag(sync=True)
        matching: Any = traitlets.List(allow_none=True, default_value=None).tag(sync=True)
        problem = traitlets.Unicode("").tag(sync=True)
        selected: Any = traitlets.List().tag(sync=True)

        def __init__(self, table: pd.DataFrame, **state: Any) -> None:
            self._table = table
            self._smiles = [str(s) for s in table["smiles"]]
            super().__init__(**state)
            self.observe(self._draw, "wanted")
            self.observe(self._search, "substructure")

        @property
        def selection(self) -> pd.DataFrame:
            """The rows of the table that are selected."""
            return self._table.iloc[[int(i) for i in self.selected]].copy()

        @traitlets.validate("selected")
        def _inside(self, proposal: Any) -> list[int]:
            if not all(isinstance(i, int) and 0 <= i < len(self._smiles) for i in proposal.value):
                raise traitlets.TraitError(
                    f"selected are positions from 0 to {len(self._smiles) - 1}; got "
                    f"{proposal.value!r:.60}"
                )
            return list(proposal.value)

        def _draw(self, change: Any) -> None:
            new = {
                str(i): draw_structure(self._smiles[i], width=190, height=130, atoms=self._atoms(i))
                for i in change.new
                if 0 <= i < len(self._smiles)
            }
            self.pictures = {**self.pictures, **new}

        def _atoms(self, at: int) -> tuple[int, ...]:
            """The atoms of a molecule that the substructure matches."""
            query = _query(self.substructure)
            mol = parse_or_none(self._smiles[at])
            if query is None or mol is None:
                return ()
            return tuple(mol.GetSubstructMatch(query))

        def _search(self, change: Any) -> None:
            text = change.new.strip()
            query = _query(text)
            self.problem = "" if query is not None or not text else f"{text!r} is not SMARTS"
            found: list[int] | None = None
            if query is not None:
                mols = enumerate(map(parse_or_none, self._smiles))
                found = [i for i, m in mols if m is not None and m.HasSubstructMatch(query)]
            self.pictures = {}  # drawn anew, with what matches highlighted
            self.matching = found

    return Viewer


def _query(text: str) -> Chem.Mol | None:
    with quiet_rdkit():
        return Chem.MolFromSmarts(text.strip()) if text.strip() else None
