"""One offline HTML page about molecules: candidates, histograms, map, search, funnel, table.

The page needs nothing from the network: structures and charts are inline SVG, sorting and searching
are a few lines of script in the page. It follows the reader's light or dark setting and prints.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rdkit import Chem

from molgen.base.output_places import check_format
from molgen.base.whole_files import write_atomically
from molgen.chem.description import describe
from molgen.chem.parsing import as_smiles_list, parse_or_none
from molgen.chem.properties import DESCRIPTORS, check_descriptors
from molgen.files.datasets import load_dataset
from molgen.files.provenance_records import Provenance, record, row_digests
from molgen.filters.filter_sets import Reasons, filter_molecules
from molgen.report.candidates import (
    Candidate,
    Known,
    chemical_space,
    choose_candidates,
    known_molecules,
    nearest_known,
)
from molgen.report.charts import histogram_svg, space_svg, trajectory_svg
from molgen.report.drawing import draw_structure
from molgen.report.templating import environment, script_safe

if TYPE_CHECKING:
    import pandas as pd

#: Shown as histograms when the table has them.
HISTOGRAMS = (
    "mw",
    "logp",
    "tpsa",
    "qed",
    "sa_score",
    "np_score",
    "fsp3",
    "rotatable_bonds",
    "hbd",
    "hba",
    "rings",
    "heavy_atoms",
)
_MAP_MOLECULES = 1_000
#: Drawings are four fifths of a page. Rows past so many bytes of them are listed with their SMILES
#: alone, so that a page of the default length stays under 5 MB.
_DRAWN_BYTES = 2_900_000
#: Columns that ``score`` and ``filter_molecules`` write: not a chemist's own.
_WRITTEN = (
    "smiles",
    "passed",
    "reasons",
    "score",
    "problems",
    "problem",
    "notes",
    "diverse",
    "call",
)


def report(
    molecules: pd.DataFrame | Iterable[str],
    path: str | Path,
    *,
    title: str = "Generated molecules",
    reference: str | Iterable[str] | None = "moses",
    filters: Any = None,
    metrics: Mapping[str, float] | None = None,
    provenance: Provenance | None = None,
    properties: Sequence[str] = HISTOGRAMS,
    max_structures: int = 1000,
    max_cards: int = 12,
    n_jobs: int = 1,
    progress: bool = False,
) -> Path:
    """Write the HTML report.

    Args:
        molecules: SMILES, or a table with ``smiles``; descriptors, ``passed``, ``reasons`` and any
            other columns it has are shown, missing descriptors are computed.
        path: where the page goes.
        title: its heading.
        reference: what histograms, the map and "nearest known molecule" compare with: ``"moses"``
            (a sample of 5,000 of its training set that ships with the package), SMILES or a table
            with ``smiles`` (a house collection, say; its columns ``name``, or ``id``, and ``link``
            say what a molecule is called and where it is described), or None for no comparison.
        filters: apply these first (anything that ``filter_molecules`` takes), which makes the
            funnel; a table from ``filter_molecules`` brings its own.
        metrics: values from ``evaluate``, shown in a table.
        provenance: from ``provenance.record``; a record of this report by default.
        properties: descriptors to compute and to show as histograms.
        max_structures: molecules beyond this are counted, but neither drawn nor listed. Of those
            listed, as many are drawn as fit into a page of 5 MB: the first 500 to 600, usually.
        max_cards: molecules shown as cards at the top: by ``score`` where the table has it, with
            its components as bars. A table from ``molgen.optimize`` brings the search's trajectory.
        n_jobs: processes.
        progress: show progress bars on standard error.

    Returns:
        The path.

    Raises:
        ValueError: no molecules, unknown property, or the file cannot be written.
    """

    target = Path(path)
    check_format(target, ".html", "a report")
    names = check_descriptors(properties)
    table = _complete(molecules, names, filters, n_jobs, progress)
    if not len(table):
        raise ValueError("There are no molecules to report on.")
    shown = table.head(max_structures)
    made = provenance if provenance is not None else record("report", {"title": title})
    made_json = json.loads(made.to_json())
    made_json["row_digests"] = list(row_digests(shown))
    template = environment().get_template("report.html")
    known = known_molecules(reference)
    reference = reference if known.public else known.smiles or None
    reference_name = "MOSES" if known.public else "reference"
    columns = _shown_columns(shown)
    rows, n_drawn = _rows(shown, columns, known)
    words = [any(row["cells"][k]["words"] for row in rows) for k in range(len(columns))]
    title_column = table.attrs.get("titles")
    page = template.render(
        title=title,
        summary=summary(table, made),
        wished=any(str(c).endswith(" (raw)") for c in table.columns),
        wishes="; ".join(map(str, table.attrs.get("wishes", ()))),
        columns=[
            {"name": c, "meaning": DESCRIPTORS[c].meaning if c in DESCRIPTORS else "", "words": w}
            for c, w in zip(columns, words)
        ],
        names_css=_names_css(columns),
        names_json=script_safe(json.dumps(columns)),
        title_at=columns.index(str(title_column)) if str(title_column) in columns else -1,
        rows=rows,
        n_drawn=n_drawn,
        n_total=len(table),
        n_shown=len(shown),
        n_distinct=int(table["smiles"].nunique()),
        n_passed=int(table["passed"].astype(bool).sum()) if "passed" in table else None,
        histograms=_histograms(_measured(table, names), names, reference),
        candidates=[_card(c, table, known) for c in choose_candidates(table, max_cards, known)],
        trajectory=_trajectory(table),
        space=_space(table, known.smiles),
        has_reference=reference is not None,
        reference_name=reference_name,
        n_known=len(known.smiles),
        public=known.public,
        funnel=_funnel_steps(table.attrs.get("funnel", [])),
        metrics=[(k, f"{v:.4g}") for k, v in (metrics or {}).items()],
        provenance=made,
        provenance_json=script_safe(json.dumps(made_json, sort_keys=True)),
    )
    try:
        write_atomically(target, page.encode())
    except OSError as error:
        raise ValueError(f"Cannot write {target}: {error.strerror}.") from error
    return target


def _complete(
    molecules: Any, names: list[str], filters: Any, n_jobs: int, progress: bool
) -> pd.DataFrame:
    """A table with SMILES, all wanted descriptors, and the filters' verdicts when asked for."""
    import pandas as pd

    if hasattr(molecules, "columns"):
        if "smiles" not in molecules.columns:
            raise ValueError("The table to report on has no column 'smiles'.")
        table = molecules.reset_index(drop=True)
        if "passed" in table and not set(table["passed"]) <= {True, False}:
            raise ValueError(
                f"Column 'passed' holds {list(dict.fromkeys(table['passed']))[:3]}; expected True "
                "and False."
            )
        table.attrs = dict(molecules.attrs)
    else:
        table = pd.DataFrame({"smiles": pd.Series(as_smiles_list(molecules), dtype=object)})
    smiles = [str(s) for s in table["smiles"]]
    attrs = dict(table.attrs)
    if filters is not None and len(table):
        verdicts = filter_molecules(smiles, filters, n_jobs=n_jobs, progress=progress)
        table["passed"], table["reasons"] = verdicts["passed"], verdicts["reasons"]
        attrs.update(verdicts.attrs)
    missing = [n for n in names if n not in table.columns]
    if missing and len(table):
        computed = describe(smiles, properties=missing, n_jobs=n_jobs, progress=progress)
        table = pd.concat([table, computed[missing]], axis=1)
    table.attrs = attrs
    return table


def _measured(table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The table with descriptors in place of score components that have the same name."""
    scored = [n for n in names if f"{n} (raw)" in table.columns]
    if not scored:
        return table
    values = describe([str(s) for s in table["smiles"]], properties=scored)
    return table.assign(**{n: values[n].to_numpy() for n in scored})


def _shown_columns(table: pd.DataFrame) -> list[str]:
    """Columns of the page's table: what it brings, but what has a place of its own or is empty."""
    names = [c for c in table.columns if c not in ("smiles", "passed", "reasons")]
    return [str(c) for c in names if any(_cell(v)["text"] for v in table[c])]


def _names_css(columns: Sequence[str]) -> Any:
    """Rules that give each column's cells its name, for where the table has no head."""
    import jinja2

    rules = []
    for k, name in enumerate(columns, start=4):
        safe = "".join(c if c.isalnum() or c in " _.-()" else f"\\{ord(c):x} " for c in name)
        rules.append(f'#molecules td:nth-child({k}) {{ --name:"{safe} " }}')
    return jinja2.filters.Markup("\n  ".join(rules))


def _rows(
    table: pd.DataFrame, columns: Sequence[str], known: Known
) -> tuple[list[dict[str, Any]], int]:
    """The rows as the template shows them, and how many of them have a drawing."""
    rows: list[dict[str, Any]] = []
    n_drawn = size = 0
    near = nearest_known([str(s) for s in table["smiles"]], known)
    for number, row in enumerate(table.to_dict("records"), start=1):
        drawn = size < _DRAWN_BYTES
        rows.append(_row(number, row, columns, drawn) | _told(known, *near[number - 1]))
        size += len(rows[-1]["svg"])
        n_drawn += drawn
    return rows, n_drawn


def _told(known: Known, at: int, similarity: float) -> dict[str, Any]:
    """The nearest known molecule of a row: its name, or SMILES, its link, the similarity."""
    told = None if at < 0 else {"text": known.text(at), "link": known.link(at)}
    return {"known": told, "similarity": similarity}


def _row(
    number: int, row: Mapping[Any, Any], columns: Sequence[str], drawn: bool
) -> dict[str, Any]:
    import jinja2

    reasons = row.get("reasons", "")
    atoms = [a for r in reasons.items for a in r.atoms] if isinstance(reasons, Reasons) else []
    smiles = str(row["smiles"])
    svg = draw_structure(smiles, width=190, height=130, atoms=atoms) if drawn else ""
    mol = parse_or_none(smiles)
    return {
        "number": number,
        "smiles": row["smiles"],
        # what the page's substructure search reads
        "atoms": ""
        if mol is None
        else Chem.MolToSmiles(mol, allHsExplicit=True, isomericSmiles=False),
        "svg": jinja2.filters.Markup(svg),
        "passed": None if "passed" not in row else bool(row["passed"]),
        # the atoms are highlighted in the drawing
        "reasons": "; ".join(f"{r.filter}: {r.what}" for r in reasons.items)
        if isinstance(reasons, Reasons)
        else _cell(reasons)["text"],
        "cells": [_cell(row[c]) for c in columns],
    }


def _cell(value: Any) -> dict[str, Any]:
    """A cell's text, what sorting compares, and whether it is long text that may break."""
    text, key = _text_and_key(value)
    return {"text": text, "sort": key, "words": len(text) > 24}


def _text_and_key(value: Any) -> tuple[str, str]:
    """Text and whole numbers stay as given; other numbers have three digits, ten in the key."""
    import pandas as pd

    if value is None or value is pd.NA or value is pd.NaT:
        return "", ""
    if isinstance(value, str | bool | np.bool_ | int | np.integer) or not isinstance(
        value, float | np.floating
    ):
        return str(value), str(value)
    number = float(value)
    if math.isnan(number):
        return "", ""
    whole = 1000 <= abs(number) < 1e6 or (number.is_integer() and abs(number) < 1e6)
    return f"{number:.0f}" if whole else f"{number:.3g}", f"{number:.10g}"


def summary(table: pd.DataFrame, made: Provenance) -> str:
    """What was asked for, what came of it, what was refused, and why: a page's first paragraph."""
    asked = "; ".join(
        f"{name} {value if isinstance(value, str) else json.dumps(value, default=str)}"
        for name, value in made.arguments.items()
        if value not in (None, "", [], {})
    )
    seed = "" if made.seed is None else f", seed {made.seed}"
    total, distinct = len(table), int(table["smiles"].nunique())
    out = [
        f"Asked: {made.function.replace('_', ' ')}{seed}{f' ({asked})' if asked else ''}.",
        f"Here: {total:,} molecules, {distinct:,} of them different.",
    ]
    if "passed" in table:
        refused = table.loc[~table["passed"].astype(bool)]
        passed = total - len(refused)
        out.append(f"{passed:,} passed the filters, {len(refused):,} were refused.")
        counts: Counter[str] = Counter()
        for reasons in refused.get("reasons", ()):
            names = (
                {item.filter for item in reasons.items}
                if isinstance(reasons, Reasons)
                else {part.split(":")[0].strip() for part in str(reasons).split(";")}
            )
            counts.update(name for name in names if name)
        if counts:
            told = ", ".join(f"{name} ({n:,})" for name, n in counts.most_common(6))
            more = f" and {len(counts) - 6} other filters" if len(counts) > 6 else ""
            out.append(f"Refused by {told}{more}; a molecule may have several reasons.")
    else:
        out.append("No filter was applied.")
    if "problems" in table:
        broken = int((table["problems"].fillna("").astype(str) != "").sum())
        if broken:
            out.append(f"{broken:,} lack a value of the score.")
    out += [f"{note.rstrip('.')}." for note in made.notes]
    return " ".join(out)


def _card(candidate: Candidate, table: pd.DataFrame, known: Known) -> dict[str, Any]:
    """A candidate as the template shows it."""
    import jinja2

    row = table.iloc[candidate.row]
    reasons = row.get("reasons", "")
    items = reasons.items if isinstance(reasons, Reasons) else ()
    picture = draw_structure(
        str(row["smiles"]), width=250, height=170, atoms=[a for r in items for a in r.atoms]
    )
    at = -1 if candidate.known is None else known.smiles.index(candidate.known)
    small = "" if candidate.known is None else draw_structure(candidate.known, width=112, height=80)
    own = [c for c in _own_columns(table) if c != table.attrs.get("titles")]
    texts = [f"{r.filter}: {r.what}" for r in items] if items else [str(reasons)]
    # an empty text comes back from a CSV file as NaN
    said = [row.get(c) for c in ("problems", "problem", "notes")]
    texts += [t for t in said if isinstance(t, str)]
    return {
        "number": candidate.row + 1,
        "name": _cell(row[title])["text"] if (title := table.attrs.get("titles")) else "",
        "smiles": row["smiles"],
        "svg": jinja2.filters.Markup(picture),
        "score": candidate.score,
        "bars": candidate.bars,
        "reasons": "; ".join(t for t in texts if t and t != "None"),
        "passed": None if "passed" not in table else bool(row["passed"]),
        "own": [(c, text) for c in own if (text := _cell(row[c])["text"])],
        "known_svg": jinja2.filters.Markup(small),
        **_told(known, at, candidate.similarity),
    }


def _own_columns(table: pd.DataFrame) -> list[Any]:
    """The columns that a chemist brought: neither computed here nor written by a verb."""
    scored = {c.removesuffix(" (raw)") for c in map(str, table.columns) if c.endswith(" (raw)")}
    return [
        c
        for c in table.columns
        if c not in _WRITTEN
        and c not in DESCRIPTORS
        and str(c).removesuffix(" (raw)") not in scored
        and c not in ("in_domain", "lower", "upper")
    ]


def _trajectory(table: pd.DataFrame) -> Any:
    """The search behind the table, where it has call numbers and scores."""
    import jinja2

    if not {"call", "score"} <= set(table.columns) or len(table) < 2:
        return None
    calls, scores = (table[c].to_numpy(dtype=float) for c in ("call", "score"))
    return jinja2.filters.Markup(trajectory_svg(calls, scores))


def _space(table: pd.DataFrame, known: Sequence[str]) -> Any:
    """Molecules of the page over the reference; None without one, or with hardly any molecules."""
    import jinja2

    smiles = [s for s in table["smiles"].astype(str) if parse_or_none(s) is not None]
    smiles, others = _thinned(smiles), _thinned(known)
    if len(smiles) < 3 or len(set(others)) < 20:
        return None
    points, reference, shares = chemical_space(smiles, others)
    return jinja2.filters.Markup(space_svg(points, reference, smiles, shares))


def _thinned(smiles: Sequence[str]) -> list[str]:
    """At most a thousand, evenly spread over the list."""
    step = max(len(smiles) / _MAP_MOLECULES, 1.0)
    return [smiles[int(i * step)] for i in range(int(len(smiles) / step))]


def _funnel_steps(funnel: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The funnel with each bar's width in per cent; without "not a molecule" if none fell there."""
    if not funnel:
        return []
    start = max(int(funnel[0]["entered"]), 1)
    steps = [s for i, s in enumerate(funnel) if i or s["fell"]]
    return [
        {**s, "left": 100 * s["passed"] / start, "lost": 100 * s["fell"] / start} for s in steps
    ]


# --- Histograms -------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def _moses_values(names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Descriptors of every fifth molecule of the packaged MOSES sample: 1,000 of them."""
    table = describe(load_dataset("moses", split="sample")[::5], properties=list(names))
    return {n: table[n].to_numpy() for n in names}


def _histograms(table: pd.DataFrame, names: Sequence[str], reference: Any) -> list[dict[str, Any]]:
    import jinja2

    compared: dict[str, np.ndarray] = {}
    if isinstance(reference, str) and reference == "moses":
        compared = _moses_values(tuple(names))
    elif reference is not None:
        described = describe(as_smiles_list(reference), properties=list(names))
        compared = {n: described[n].to_numpy() for n in names}
    charts = []
    for name in names:
        values = table[name].to_numpy(dtype=float)
        values = values[np.isfinite(values)]
        if not len(values):
            continue
        other = compared.get(name)
        unit = DESCRIPTORS[name].unit
        charts.append(
            {
                "name": name,
                "meaning": DESCRIPTORS[name].meaning + (f", {unit}" if unit else ""),
                "svg": jinja2.filters.Markup(histogram_svg(values, other, name)),
                "mean": f"{values.mean():.3g}",
                "reference_mean": "" if other is None else f"{np.nanmean(other):.3g}",
            }
        )
    return charts


def provenance_of_report(path: str | Path) -> Provenance:
    """The provenance record inside a report.

    Raises:
        ValueError: no such file, or no record in it.
    """
    try:
        page = Path(path).read_text("utf-8")
    except OSError as error:
        raise ValueError(f"Cannot read {path}: {error.strerror}.") from error
    marker = '<script type="application/json" id="provenance">'
    if marker not in page:
        raise ValueError(f"{path} has no provenance record: it is not a report of this package.")
    text = page.split(marker, 1)[1].split("</script>", 1)[0]
    return Provenance.from_json(text)
