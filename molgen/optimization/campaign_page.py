"""The page of a campaign: the next plate, what was found, and how well it was foreseen."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from molgen.files.provenance_records import record
from molgen.report.drawing import draw_structure
from molgen.report.templating import environment, script_safe

if TYPE_CHECKING:
    import pandas as pd

    from molgen.optimization.campaign import Campaign

_DRAWN = 48


def campaign_page(campaign: Campaign, rounds: Sequence[Sequence[dict[str, Any]]]) -> str:
    """The whole page as text."""
    names = [quantity.name for quantity in campaign.quantities]
    results = _records(campaign.results)
    pending = _records(campaign.pending)
    measured = {row["smiles"]: row for row in results}
    made = record("campaign", {"objective": [_wish(q) for q in campaign.quantities]})
    return (
        environment()
        .get_template("campaign.html")
        .render(
            wishes=[_wish(q) for q in campaign.quantities],
            names=names,
            n_results=len(results),
            left=campaign.left,
            pending=[_card(row, names) for row in pending[:_DRAWN]],
            n_pending=len(pending),
            best=[_card(row, names) for row in _ranked(campaign, results)[:12]],
            rounds=[_round(k, plate, measured, names) for k, plate in enumerate(rounds, start=1)],
            foreseen=[_foreseen(name, rounds, measured) for name in names],
            remarks=campaign.remarks,
            provenance=made,
            provenance_json=script_safe(json.dumps(json.loads(made.to_json()), sort_keys=True)),
        )
    )


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]


def _wish(quantity: Any) -> str:
    return f"{'maximise' if quantity.sign > 0 else 'minimise'} {quantity.name}"


def _number(value: Any) -> float | None:
    """The number of a value; of a limit, None."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _ranked(campaign: Campaign, results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    first = campaign.quantities[0]
    known = [row for row in results if _number(row[first.name]) is not None]
    return sorted(known, key=lambda row: -first.sign * float(row[first.name]))


def _card(row: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    import jinja2

    lines = []
    for name in names:
        value, low = row.get(name), _number(row.get(f"{name}_lower"))
        if value is None or value != value:
            continue
        text = f"{value:.2f}" if isinstance(value, float) else str(value)
        if low is not None:
            text += f" ({low:.2f} to {row[f'{name}_upper']:.2f})"
        lines.append(f"{name} {text}")
    if row.get("well"):
        lines.append(f"plate {row['plate']}, well {row['well']}")
    if row.get("n", 1) > 1:
        lines.append(f"{row['n']} wells")
    picture = draw_structure(row["smiles"], width=220, height=150)
    return {
        "svg": jinja2.filters.Markup(picture), "smiles": row["smiles"], "lines": lines,
        "why": row.get("why", ""),
    }  # fmt: skip


def _round(
    number: int, plate: Sequence[dict[str, Any]], measured: dict[str, Any], names: Sequence[str]
) -> dict[str, Any]:
    told = [measured[row["smiles"]] for row in plate if row["smiles"] in measured]
    best = []
    for name in names:
        values = [v for v in (_number(row[name]) for row in told) if v is not None]
        best.append(f"{min(values):.2f} to {max(values):.2f}" if values else "")
    return {"number": number, "n": len(plate), "told": len(told), "ranges": best}


def _foreseen(
    name: str, rounds: Sequence[Sequence[dict[str, Any]]], measured: dict[str, Any]
) -> dict[str, Any]:
    """How near the expectations were to what was then measured."""
    errors, inside = [], []
    for plate in rounds:
        for row in plate:
            value = _number(measured.get(row["smiles"], {}).get(name))
            expected = _number(row.get(name))
            if value is not None and expected is not None:
                errors.append(value - expected)
                inside.append(row[f"{name}_lower"] <= value <= row[f"{name}_upper"])
    n = len(errors)
    return {
        "name": name, "n": n,
        "rmse": f"{math.sqrt(sum(e * e for e in errors) / n):.2f}" if n else "",
        "bias": f"{sum(errors) / n:+.2f}" if n else "",
        "inside": f"{100 * sum(inside) / n:.0f} %" if n else "",
    }  # fmt: skip
