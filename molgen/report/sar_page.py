"""The page of the SAR desk, offline: drawings of groups, heat map, shares, changes, cliffs."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from rdkit.Chem import rdDepictor

from molgen.chem.parsing import canonical, parse_or_none, quiet_rdkit
from molgen.report.analogues import match_pair
from molgen.report.drawing import draw_mol, draw_structure
from molgen.report.templating import environment, script_safe

if TYPE_CHECKING:
    import pandas as pd

    from molgen.report.sar_desk import SarDesk

_COMPOUNDS = 60
_MATRIX = 14
_CARDS = 12
_CHANGES = 30
_CLIFFS = 10


class _Drawings:
    """Every structure once in the page, shown as often as is wanted."""

    def __init__(self) -> None:
        self._at: dict[str, str] = {}
        self._symbols: list[str] = []

    def show(self, smiles: str, width: int = 120, height: int = 84) -> Any:
        import jinja2

        key = f"{smiles} {width} {height}"
        if key not in self._at:
            name = f"m{len(self._at)}"
            self._at[key] = name
            body = _with_places(smiles, width, height)
            inner = body[body.index(">") + 1 : body.rindex("</svg>")]
            self._symbols.append(
                f'<symbol id="{name}" viewBox="0 0 {width} {height}" fill="none" '
                f'stroke-linecap="round" stroke-linejoin="round">{inner}</symbol>'
            )
        return jinja2.filters.Markup(
            f'<svg class="mol" role="img" aria-label="{escape(smiles)}" width="{width}" '
            f'height="{height}">'
            f'<use href="#{self._at[key]}"/></svg>'
        )

    def symbols(self) -> Any:
        import jinja2

        return jinja2.filters.Markup("".join(self._symbols))


def _with_places(smiles: str, width: int, height: int) -> str:
    """A drawing in which marks read R1, R2 ..., and in small groups methyl is written out."""
    mol = parse_or_none(smiles)
    marks = [] if mol is None else [a for a in mol.GetAtoms() if a.GetAtomicNum() == 0]
    if mol is None or not marks:
        return draw_structure(smiles, width=width, height=height)
    for atom in marks:
        if atom.GetAtomMapNum():
            atom.SetProp("_displayLabel", f"R<sub>{atom.GetAtomMapNum()}</sub>")
            atom.SetAtomMapNum(0)
    with quiet_rdkit():
        rdDepictor.Compute2DCoords(mol)
    return draw_mol(mol, width, height, methyl=mol.GetNumAtoms() <= 4)


def sar_page(desk: SarDesk) -> str:
    """The whole page as text."""
    draw = _Drawings()
    tables = desk.tables
    parts: dict[str, Any] = {
        "compounds": _compounds(desk, draw),
        "matrix": _matrix(desk, draw),
        "shares": _shares(desk, draw),
        "untested": _cards(tables.get("untested"), draw, "prediction"),
        "lead_cards": _cards(_surest(_new_only(tables.get("lead"))), draw, "change"),
        "changes": _changes(desk, draw),
        "cliffs": _cliffs(tables["cliffs"]),
    }
    core = None if desk.groups is None else draw.show(desk.groups.core, 220, 150)
    lead = None if desk.lead is None else draw.show(desk.lead, 220, 150)
    made = json.loads(desk.provenance.to_json())
    return (
        environment()
        .get_template("sar.html")
        .render(
            desk=desk,
            quantity=desk.quantity,
            better="lower" if desk.lower_is_better else "higher",
            n_limits=int(np.sum(~desk.series.exact)),
            core=core,
            lead=lead,
            symbols=draw.symbols(),
            n_shown=min(_COMPOUNDS, len(desk.series)),
            provenance=desk.provenance,
            provenance_json=script_safe(json.dumps(made, sort_keys=True)),
            **parts,
        )
    )


def _number(value: Any, digits: int = 2) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def _signed(value: float) -> str:
    return "" if math.isnan(value) else f"{value:+.2f}"


def _interval(low: float, high: float) -> str:
    return "" if not math.isfinite(low) else f"{low:.2f} to {high:.2f}"


def _ranked(desk: SarDesk) -> list[int]:
    sign = 1.0 if desk.lower_is_better else -1.0
    return sorted(range(len(desk.series)), key=lambda i: (sign * desk.series.y[i], i))


def _compounds(desk: SarDesk, draw: _Drawings) -> list[dict[str, Any]]:
    place = {} if desk.groups is None else {row: k for k, row in enumerate(desk.groups.rows)}
    table = desk.tables["compounds"]
    rows = []
    for i in _ranked(desk)[:_COMPOUNDS]:
        groups = None
        if desk.groups is not None and i in place:
            groups = [draw.show(g, 110, 74) for g in desk.groups.groups[place[i]]]
        predicted = table["predicted"].iloc[i] if "predicted" in table else math.nan
        rows.append(
            {
                "name": desk.series.names[i],
                "smiles": desk.series.smiles[i],
                "svg": draw.show(desk.series.smiles[i], 160, 110),
                "value": desk.series.shown(i),
                "key": desk.series.y[i],
                "groups": groups,
                "predicted": _number(predicted),
            }
        )
    return rows


def _bare(group: str) -> str:
    """A group without its mark; hydrogen where nothing else is there."""
    return re.sub(r"\(?\[\*:\d+\]\)?", "", group).replace("[H]", "H") or "H"


def _matrix(desk: SarDesk, draw: _Drawings) -> dict[str, Any] | None:
    if "matrix" not in desk.tables:
        return None
    table = desk.tables["matrix"]
    part = table.iloc[:_MATRIX, :_MATRIX]
    values = desk.series.y
    low, high = float(values.min()), float(values.max())
    rows = []
    for name, cells in part.iterrows():
        shown = []
        for text in cells:
            number = str(text).split(" ")[0].lstrip("<>")
            share = (float(number) - low) / (high - low) if number and high > low else None
            if share is not None and desk.lower_is_better:
                share = 1 - share
            shown.append({"text": text, "share": None if share is None else round(100 * share)})
        rows.append({"svg": draw.show(str(name), 90, 60), "group": name, "cells": shown})
    return {
        "down": part.index.name,
        "across": part.columns.name,
        "heads": [
            {"svg": draw.show(str(c), 90, 60), "group": c, "name": _bare(str(c))}
            for c in part.columns
        ],
        "rows": rows,
        "whole": part.shape == table.shape,
        "shape": table.shape,
    }


def _shares(desk: SarDesk, draw: _Drawings) -> list[dict[str, Any]]:
    if desk.free_wilson is None:
        return []
    table = desk.tables["free_wilson"]
    ends = np.abs(table[["share", "lower", "upper"]].to_numpy(dtype=float)[1:])
    reach = float(np.nanmax(ends)) if np.isfinite(ends).any() else 1.0
    reach = max(reach, 1e-9)
    sites = []
    for site in desk.free_wilson.factors:
        part = table[table["site"] == site].sort_values(
            "share", ascending=desk.lower_is_better, na_position="last"
        )
        rows = []
        for row in part.to_dict("records"):
            known = math.isfinite(row["share"])
            rows.append(
                {
                    "svg": draw.show(row["group"], 110, 74),
                    "group": row["group"],
                    "n": row["n"],
                    "limits": row["limits"],
                    "share": _number(row["share"]),
                    "note": row["note"],
                    "interval": _interval(row["lower"], row["upper"])
                    if row["note"] != "reference"
                    else "",
                    "left": 50 + 50 * row["lower"] / reach if known else None,
                    "width": 50 * (row["upper"] - row["lower"]) / reach if known else 0,
                    "dot": 50 + 50 * row["share"] / reach if known else None,
                }
            )
        sites.append({"site": site, "rows": rows})
    return sites


def _new_only(table: pd.DataFrame | None) -> pd.DataFrame | None:
    return None if table is None else table[~table["known"].astype(bool)]


def _surest(table: pd.DataFrame | None) -> pd.DataFrame | None:
    """The changes whose interval begins highest first: a mean of two pairs may be chance."""
    if table is None or "lower" not in table:
        return table
    return table.sort_values("lower", ascending=False, na_position="last", kind="stable")


def _cards(table: pd.DataFrame | None, draw: _Drawings, number: str) -> list[dict[str, Any]]:
    if table is None:
        return []
    cards = []
    for row in table.head(_CARDS).to_dict("records"):
        cards.append(
            {
                "svg": draw.show(row["smiles"], 220, 150),
                "smiles": row["smiles"],
                "value": f"{row[number]:+.2f}" if number == "change" else _number(row[number]),
                "prediction": _number(row.get("prediction")),
                "interval": _interval(row["lower"], row["upper"]),
                "n": row.get("n", row.get("support")),
                "limits": row.get("limits", 0),
                "radius": row.get("radius"),
                "transformation": row.get("transformation", ""),
            }
        )
    return cards


def _changes(desk: SarDesk, draw: _Drawings) -> list[dict[str, Any]]:
    table = desk.tables["transformations"]
    pairs = desk.tables["pairs"]
    named = set(pairs.loc[pairs["smallest"], "transformation"])
    table = table[table["transformation"].isin(named)]
    part = table[(table["radius"] == 0) & (table["n"] + table["limits"] >= 2)].head(_CHANGES)
    rows = []
    for row in part.to_dict("records"):
        left, _, right = row["transformation"].partition(">>")
        rows.append(
            {
                "left": draw.show(left, 110, 74),
                "right": draw.show(right, 110, 74),
                "text": row["transformation"],
                "n": row["n"],
                "limits": row["limits"],
                "compounds": row["compounds"],
                "mean": _signed(row["mean"]),
                "key": row["mean"],
                "interval": _interval(row["lower"], row["upper"]),
                "sd": _number(row["sd"]),
            }
        )
    return rows


def _cliffs(table: pd.DataFrame) -> list[dict[str, Any]]:
    import jinja2

    rows = []
    for row in table.head(_CLIFFS).to_dict("records"):
        pair = match_pair(canonical(row["smiles_1"]), canonical(row["smiles_2"]))
        pictures: Sequence[tuple[Any, list[int]]] = (
            (pair.first, pair.removed),
            (pair.second, pair.added),
        )
        svgs = [jinja2.filters.Markup(draw_mol(mol, 230, 150, atoms)) for mol, atoms in pictures]
        rows.append(
            {
                "svgs": svgs,
                "names": (row["name_1"], row["name_2"]),
                "values": (row["value_1"], row["value_2"]),
                "similarity": _number(row["similarity"]),
                "difference": _number(row["difference"]),
                "relation": row["relation"],
                "sali": _number(row["sali"], 1),
            }
        )
    return rows
