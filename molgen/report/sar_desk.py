"""The SAR desk: what a table of measured compounds says about a series, in tables and on a page."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from molgen.base.output_places import check_format
from molgen.base.whole_files import write_atomically
from molgen.chem.parsing import canonical, structure_column
from molgen.files.provenance_records import Provenance, record
from molgen.qsar.data import parent
from molgen.qsar.series.assays import Series, read_series, unit_of_name
from molgen.qsar.series.cliffs import find_cliffs
from molgen.qsar.series.free_wilson import FreeWilson, fit_free_wilson
from molgen.qsar.series.matched_pairs import MAX_VARIABLE, Pairs, find_pairs, rule_size
from molgen.qsar.series.r_groups import RGroups, decompose
from molgen.qsar.series.transformations import Transformations
from molgen.report.sar_page import sar_page

if TYPE_CHECKING:
    import pandas as pd

_N_UNTESTED = 100
_N_CLIFFS = 100


@dataclass(frozen=True, eq=False)
class SarDesk:
    """What a series says; made by :func:`sar`.

    Attributes:
        series: The measured compounds.
        quantity: Name of the value.
        lower_is_better: Whether low values are wanted.
        groups: The R-group decomposition, or None where there is no core.
        free_wilson: The fitted shares of the groups, or None.
        transformations: Matched pairs and what their changes do.
        lead: The compound to which the changes were applied, or None.
        notes: What was not done or left out, one sentence each.
        tables: The results by name: compounds, free_wilson, untested, matrix, pairs,
            transformations, cliffs, lead, left_out.

    Examples:
        >>> import molgen
        >>> from tempfile import TemporaryDirectory
        >>> smiles = [f"c1cc({a})ccc1{b}" for a in ("F", "Cl", "OC", "C") for b in ("C", "O", "N")]
        >>> desk = molgen.sar(smiles, [5.1, 6.0, ">7", 5.5, 6.5, 7.2, 5.0, 5.9, 6.8, 5.2, 6.1, 6.9])
        >>> desk.groups.sites
        ('R1', 'R2')
        >>> desk.pairs.table()["transformation"].nunique() == len(desk.pairs.rules)
        True
        >>> with TemporaryDirectory() as folder:
        ...     print(desk.to_html(folder + "/page.html").name, len(desk.save(folder)) > 5)
        page.html True
    """

    series: Series
    quantity: str
    lower_is_better: bool
    groups: RGroups | None
    free_wilson: FreeWilson | None
    transformations: Transformations
    lead: str | None
    notes: tuple[str, ...]
    tables: dict[str, pd.DataFrame] = field(repr=False)
    provenance: Provenance = field(repr=False)

    @property
    def pairs(self) -> Pairs:
        """The matched pairs."""
        return self.transformations.pairs

    def __str__(self) -> str:
        limits = int(np.sum(~self.series.exact))
        lines = [
            f"{len(self.series):,} compounds with {self.quantity}"
            + (f", {limits:,} of them limits" if limits else "")
        ]
        if self.groups is not None:
            lines.append(
                f"core {self.groups.core}, {'found' if self.groups.found else 'given'}: "
                f"{len(self.groups.rows):,} compounds, sites {', '.join(self.groups.sites)}"
            )
        if self.free_wilson is not None:
            fit = self.free_wilson.fit
            lines.append(
                f"Free-Wilson: R2 {self.free_wilson.r_squared:.2f}, one measurement scatters by "
                f"{fit.sigma:.2f}; {len(self.tables['untested']):,} untested combinations ranked"
            )
        lines.append(
            f"{len(self.pairs):,} matched pairs with {len(self.pairs.rules):,} changes; "
            f"{len(self.tables['cliffs']):,} cliffs listed"
        )
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes)])

    def to_html(self, path: str | Path) -> Path:
        """Write the page: drawings, heat map, shares, changes, cliffs.

        Raises:
            ValueError: The file cannot be written.
        """
        target = Path(path)
        check_format(target, ".html", "the page")
        try:
            write_atomically(target, sar_page(self).encode())
        except OSError as error:
            raise ValueError(f"Cannot write {target}: {error.strerror}.") from error
        return target

    def save(self, folder: str | Path) -> list[Path]:
        """Write every table as CSV and ``page.html`` into a folder; returns the files.

        Raises:
            ValueError: The folder cannot be written.
        """
        home = Path(folder)
        written = []
        for name, table in self.tables.items():
            target = home / f"{name}.csv"
            try:
                write_atomically(target, table.to_csv(index=name == "matrix").encode())
            except OSError as error:
                raise ValueError(f"Cannot write {target}: {error.strerror}.") from error
            written.append(target)
        provenance = home / "provenance.json"
        write_atomically(provenance, self.provenance.to_json().encode())
        return [*written, provenance, self.to_html(home / "page.html")]


def sar(
    compounds: pd.DataFrame | Iterable[str],
    y: str | Iterable[Any],
    *,
    names: str | Sequence[Any] | None = None,
    relation: str | Iterable[Any] | None = None,
    unit: str | None = None,
    core: str | None = None,
    lead: str | None = None,
    lower_is_better: bool = False,
    coverage: float = 0.95,
    max_variable: int = MAX_VARIABLE,
    quantity: str = "",
    n_jobs: int = 1,
    progress: bool = False,
) -> SarDesk:
    """Read a series: R-groups, Free-Wilson, matched pairs, activity cliffs.

    Limits (``>10000``) are used as limits throughout. Salts and repeats of a compound are joined.

    Args:
        compounds: A table with a column of SMILES, or SMILES.
        y: The measured values, or their column in the table.
        names: Identifiers, or their column.
        relation: "=", ">" or "<" beside each value, or its column.
        unit: Where ``y`` are concentrations (nM, uM, mM, M), they become -log10 in mol/l;
            by default the unit in the column's name (``IC50 [nM]``), if it has one.
        core: SMILES or SMARTS of the core, sites ``[*:1]`` optional; found by default.
        lead: The compound to which changes are applied; by default the best one.
        lower_is_better: Low values are wanted.
        coverage: Of the intervals.
        max_variable: Heavy atoms of the part in which two compounds of a pair differ, at most.
        quantity: What ``y`` is, for headings.
        n_jobs: Processes; -1 for all cores.
        progress: Show progress bars.

    Raises:
        ValueError: No usable compound, or an argument that cannot be read.

    Examples:
        >>> import molgen
        >>> smiles = [f"c1cc({a})ccc1{b}" for a in ("F", "Cl", "OC", "C") for b in ("C", "O", "N")]
        >>> values = [5.1, 6.0, 7.0, 5.5, 6.5, ">7.2", 5.0, 5.9, 6.8, 5.2, 6.1, 6.9]
        >>> desk = molgen.sar(smiles, values)
        >>> print(str(desk).splitlines()[0], len(desk.pairs))
        12 compounds with value, 1 of them limits ...
        >>> desk.tables["free_wilson"].columns.tolist()
        ['site', 'group', 'n', 'limits', 'share', 'lower', 'upper', 'note']
    """
    smiles, values, names, relation, quantity = _columns(compounds, y, names, relation, quantity)
    bare, named = unit_of_name(quantity)
    from_name = unit is None and named is not None
    unit = named if from_name else unit
    series = read_series(smiles, values, names, relation, unit)
    if unit is not None:
        quantity = f"p{bare}"
    notes = list(series.remarks)
    if from_name:
        notes.append(f"the unit {unit} is that in the column's name; unit= says another")
    if series.rejected:
        first = series.rejected[0]
        verb = "row is" if len(series.rejected) == 1 else "rows are"
        notes.append(
            f"{len(series.rejected)} {verb} left out; molecule {first['line']}, "
            f"{first['smiles']}: {first['reason']}"
        )
    if series.conflicts:
        notes.append(
            f"{len(series.conflicts)} compounds were measured more than once with different "
            "values; their median is used"
        )
    if unit is None and series.exact.any() and np.ptp(series.y[series.exact]) > 50:
        notes.append(
            f"{quantity} spans {np.ptp(series.y[series.exact]):.3g}: if these are concentrations, "
            "say their unit (unit='nM'), so that differences are of logarithms"
        )
    groups = free_wilson = None
    try:
        groups = decompose(series.smiles, core)
    except ValueError as error:
        if core is not None:
            raise
        notes.append(f"no R-groups: {error}")
    if groups is not None:
        if groups.unmatched:
            first = groups.unmatched[0]
            notes.append(
                f"{len(groups.unmatched)} compounds are not in the R-group table; "
                f"{series.names[first['row']]}: {first['reason']}"
            )
        rows = list(groups.rows)
        try:
            free_wilson = fit_free_wilson(
                groups, series.y[rows], [series.relations[i] for i in rows], coverage
            )
        except ValueError as error:
            notes.append(f"no Free-Wilson shares: {error}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pairs = find_pairs(
            series.smiles, max_variable=max_variable, n_jobs=n_jobs, progress=progress
        )
    notes += [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
    transformations = Transformations(pairs, series.y, series.relations, coverage)
    chosen, value = _lead(lead, series, lower_is_better)
    tables = _tables(series, groups, free_wilson, transformations, quantity, lower_is_better)
    if chosen is not None:
        tables["lead"] = transformations.apply(
            chosen, value, lower_is_better=lower_is_better, known=series.smiles,
            max_variable=max_variable,
        )  # fmt: skip
    arguments = {
        "quantity": quantity, "unit": unit, "core": core, "lead": chosen,
        "lower_is_better": lower_is_better, "coverage": coverage, "max_variable": max_variable,
        "compounds": len(series),
    }  # fmt: skip
    return SarDesk(
        series, quantity, lower_is_better, groups, free_wilson, transformations, chosen,
        tuple(notes), tables, record("sar", arguments, notes=notes),
    )  # fmt: skip


def _columns(
    compounds: Any, y: Any, names: Any, relation: Any, quantity: str
) -> tuple[Any, Any, Any, Any, str]:
    """The columns behind names, where a table was given."""
    if not hasattr(compounds, "columns"):
        if isinstance(y, str):
            raise ValueError(f"y={y!r} names a column, but compounds is no table")
        return compounds, y, names, relation, quantity or "value"

    def column(name: Any) -> Any:
        if not isinstance(name, str):
            return name
        if name not in compounds.columns:
            raise ValueError(
                f"The table has no column {name!r}; it has "
                f"{', '.join(map(str, compounds.columns))}."
            )
        return compounds[name].tolist()

    told = y if isinstance(y, str) else "value"
    smiles = compounds[structure_column(compounds)].tolist()
    return smiles, column(y), column(names), column(relation), quantity or told


def _lead(lead: str | None, series: Series, lower_is_better: bool) -> tuple[str | None, float]:
    """The lead and its value (NaN where it has none)."""
    if lead is not None:
        text = parent(lead)
        if text in series.smiles:
            at = series.smiles.index(text)
            return text, float(series.y[at]) if series.exact[at] else float("nan")
        return canonical(text), float("nan")
    if not series.exact.any():
        return None, float("nan")
    values = np.where(series.exact, series.y, np.nan)
    at = int(np.nanargmin(values) if lower_is_better else np.nanargmax(values))
    return series.smiles[at], float(series.y[at])


def _tables(
    series: Series,
    groups: RGroups | None,
    free_wilson: FreeWilson | None,
    transformations: Transformations,
    quantity: str,
    lower_is_better: bool,
) -> dict[str, pd.DataFrame]:
    import pandas as pd

    compounds = pd.DataFrame({
        "name": series.names, "smiles": series.smiles, "relation": series.relations,
        quantity: series.y, "n_rows": [len(rows) for rows in series.rows],
    })  # fmt: skip
    tables = {"compounds": compounds}
    if groups is not None:
        compounds = compounds.join(groups.table().set_index("row"))
        tables["compounds"] = compounds
        if free_wilson is not None:
            levels = free_wilson.levels
            mean, low, high = free_wilson.predict(levels)
            fitted = pd.DataFrame(
                {"predicted": mean, "predicted_lower": low, "predicted_upper": high},
                index=list(groups.rows),
            )
            tables["compounds"] = compounds.join(fitted)
            tables["free_wilson"] = free_wilson.table
            tables["untested"] = free_wilson.untested(_N_UNTESTED, series.smiles, lower_is_better)
        if len(groups.sites) >= 2:
            tables["matrix"] = sar_matrix(series, groups)
    table = transformations.pairs.table()
    table["change"] = transformations.delta
    table["relation"] = [sign or "?" for sign in transformations.sign]
    for k, side in ((1, "first"), (2, "second")):
        table[f"name_{k}"] = [series.names[i] for i in table[side]]
        table[f"value_{k}"] = [series.shown(i) for i in table[side]]
    # one pair can be cut in many ways; the smallest change is the one that a chemist would name
    sizes = np.array([rule_size(rule) for rule in transformations.pairs.rules], dtype=int)
    table["atoms"] = sizes[transformations.pairs.rule]
    least = table.groupby(["first", "second"])["atoms"].transform("min")
    table["smallest"] = table["atoms"] == least
    order = ["name_1", "name_2", "value_1", "value_2", "change", "relation", "transformation"]
    order += ["atoms", "smallest", "constant", "smiles_1", "smiles_2"]
    tables["pairs"] = table[order]
    tables["transformations"] = transformations.table()
    cliffs = find_cliffs(series.smiles, series.y, series.relations, _N_CLIFFS, 0.3)
    for k, side in ((1, "first"), (2, "second")):
        cliffs[f"name_{k}"] = [series.names[i] for i in cliffs[side]]
        cliffs[f"value_{k}"] = [series.shown(i) for i in cliffs[side]]
    tables["cliffs"] = cliffs.drop(columns=["first", "second"])
    left = [
        {"line": e["line"], "smiles": e["smiles"], "step": "read", "reason": e["reason"]}
        for e in series.rejected
    ]
    for entry in () if groups is None else groups.unmatched:
        lines = ", ".join(str(row + 1) for row in series.rows[entry["row"]])
        left.append({"line": lines, "smiles": entry["smiles"], "step": "R-groups",
                     "reason": entry["reason"]})  # fmt: skip
    for entry in transformations.pairs.left_out:
        lines = ", ".join(str(row + 1) for row in series.rows[entry["row"]])
        left.append({"line": lines, "smiles": entry["smiles"], "step": "pairs",
                     "reason": entry["reason"]})  # fmt: skip
    tables["left_out"] = pd.DataFrame(left, columns=["line", "smiles", "step", "reason"])
    return tables


def sar_matrix(series: Series, groups: RGroups) -> pd.DataFrame:
    """Values over the two sites that vary most, as text: mean, limits, and how many if several.

    Rows and columns are groups, the most frequent first; an empty cell was never made.
    """
    import pandas as pd

    counts = [len({g[k] for g in groups.groups}) for k in range(len(groups.sites))]
    first, second = sorted(sorted(range(len(counts)), key=lambda k: -counts[k])[:2])
    cells: dict[tuple[str, str], list[int]] = {}
    for row, group in zip(groups.rows, groups.groups):
        cells.setdefault((group[first], group[second]), []).append(row)

    def often(k: int) -> list[str]:
        seen = [g[k] for g in groups.groups]
        return sorted(set(seen), key=lambda g: (-seen.count(g), g))

    table = pd.DataFrame(
        "", index=pd.Index(often(first), name=groups.sites[first]),
        columns=pd.Index(often(second), name=groups.sites[second]),
    )  # fmt: skip
    for (one, other), rows in cells.items():
        exact = [i for i in rows if series.relations[i] == "="]
        text = f"{np.mean(series.y[exact]):.3g}" if exact else series.shown(rows[0])
        several = f" ({len(rows)})" if len(rows) > 1 else ""
        table.loc[one, other] = text + several
    return table
