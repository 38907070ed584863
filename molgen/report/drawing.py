"""Pictures of molecules as SVG: a grid with scores beneath and alerts highlighted."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdkit import Chem
from rdkit.Chem import rdDepictor
from rdkit.Chem.Draw import rdMolDraw2D

from molgen.base.output_places import check_format, write_text
from molgen.chem.parsing import as_smiles_list, parse_or_none, quiet_rdkit
from molgen.filters.filter_sets import Reasons, filter_molecules

if TYPE_CHECKING:
    import pandas as pd

#: Light orange: visible on white and on dark grounds, and under black atom labels.
HIGHLIGHT = (0.99, 0.72, 0.42)


class Drawing(str):
    """SVG text that notebooks show as a picture.

    Examples:
        >>> import molgen
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     print(molgen.draw(["CCO"]).save(Path(folder) / "ethanol.svg").name)
        ethanol.svg
    """

    def _repr_svg_(self) -> str:
        return str(self)

    def __repr__(self) -> str:
        return f"<drawing: {len(self):,} characters of SVG; .save(path) writes them>"

    def save(self, path: str | Path) -> Path:
        """Write the SVG to a file.

        Raises:
            ValueError: the file cannot be written, or its name says that it is no SVG.
        """
        check_format(path, ".svg", "a drawing")
        try:
            write_text(Path(path), self)
        except OSError as error:
            raise ValueError(f"Cannot write {path}: {error.strerror}.") from error
        return Path(path)


def draw_structure(
    smiles: str, *, width: int = 220, height: int = 160, atoms: Iterable[int] = ()
) -> str:
    """One molecule as an SVG element with a transparent ground, small enough to inline by hundreds.

    Args:
        smiles: the molecule; for text that is not one, the element says so.
        width, height: of the element, pixels.
        atoms: indices of atoms to highlight, in the order of the SMILES.
    """
    mol = parse_or_none(smiles)
    if mol is None:
        return (
            f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
            f'<text x="{width / 2}" y="{height / 2}" text-anchor="middle" font-size="12" '
            'fill="#888">not a molecule</text></svg>'
        )
    with quiet_rdkit():
        rdDepictor.SetPreferCoordGen(False)
        rdDepictor.Compute2DCoords(mol)
    return draw_mol(mol, width, height, atoms)


def draw_mol(
    mol: Chem.Mol, width: int, height: int, atoms: Iterable[int] = (), *, methyl: bool = False
) -> str:
    """A molecule that has coordinates, as they are; otherwise like :func:`draw_structure`.

    ``methyl``: write CH3 out, which a line alone may not tell in a small group.
    """
    drawer = rdMolDraw2D.MolDraw2DSVG(width, height)
    options: Any = drawer.drawOptions()
    options.clearBackground = False
    options.bondLineWidth = 1.3
    options.padding = 0.06
    options.explicitMethyl = methyl
    options.maxFontSize = 15
    options.fixedBondLength = 26
    options.setHighlightColour(HIGHLIGHT)
    options.useBWAtomPalette()
    options.highlightBondWidthMultiplier = 9
    marked = sorted({a for a in atoms if 0 <= a < mol.GetNumAtoms()})
    with quiet_rdkit():
        prepared = rdMolDraw2D.PrepareMolForDrawing(mol, kekulize=True, addChiralHs=True)
        drawer.DrawMolecule(
            prepared, highlightAtoms=marked, highlightBonds=_bonds_between(prepared, marked)
        )
    drawer.FinishDrawing()
    return _shrink(drawer.GetDrawingText(), width, height)


def _bonds_between(mol: Chem.Mol, atoms: Sequence[int]) -> list[int]:
    inside = set(atoms)
    return [
        b.GetIdx()
        for b in mol.GetBonds()
        if b.GetBeginAtomIdx() in inside and b.GetEndAtomIdx() in inside
    ]


def _shrink(svg: str, width: int, height: int) -> str:
    """The drawing without header and repeated styles: a third of the size, colour by CSS."""
    body = svg[svg.index("<!-- END OF HEADER -->") + len("<!-- END OF HEADER -->") :]
    body = body[: body.rindex("</svg>")]
    body = re.sub(r" class='[^']*'", "", body)

    def attributes(match: re.Match[str]) -> str:
        style = dict(p.split(":", 1) for p in match.group(1).split(";") if ":" in p)
        fill, stroke = style.get("fill", "none"), style.get("stroke", "none")
        width_ = style.get("stroke-width", "").removesuffix("px")
        parts = [f'fill="{_themed(fill)}"'] if fill != "none" else []
        if stroke != "none" and width_ not in ("", "0", "0.0"):
            parts.append(f'stroke="{_themed(stroke)}" stroke-width="{width_}"')
        return " ".join(parts)

    body = re.sub(r"style='([^']*)'", attributes, body)
    body = re.sub(r"fill='(#[0-9A-Fa-f]{6})'", lambda m: f'fill="{_themed(m.group(1))}"', body)
    body = re.sub(r"\s*\n\s*", "", body).replace(" />", "/>")
    return (
        f'<svg class="mol" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'fill="none" stroke-linecap="round" stroke-linejoin="round">{body}</svg>'
    )


def _themed(colour: str) -> str:
    """Black becomes the text colour of the page, so that a drawing suits a dark ground too."""
    return "currentColor" if colour.upper() == "#000000" else colour


def draw(
    smiles: str | Iterable[str] | pd.DataFrame,
    *,
    scores: Mapping[str, Sequence[float]] | Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    highlight: Any = None,
    columns: int = 4,
    size: tuple[int, int] = (240, 180),
    path: str | Path | None = None,
) -> Drawing:
    """A grid of structures, with scores beneath and alerts highlighted.

    Args:
        smiles: one SMILES, many, or a table with a column ``smiles``.
        scores: what to write beneath: columns of the table by name, or name to values.
        names: a title for each molecule.
        highlight: filters (anything that ``filter_molecules`` takes) whose matching atoms are
            highlighted, with their names beneath; a table that has ``reasons`` from
            ``filter_molecules`` needs none.
        columns: molecules in a row.
        size: width and height of one structure, pixels.
        path: also write the SVG here.

    Returns:
        The SVG as text; a notebook shows it as a picture.

    Raises:
        ValueError: nothing to draw, a score that is not in the table, or lengths that differ.

    Examples:
        >>> import molgen
        >>> picture = molgen.draw(["CCO", "c1ccccc1O"], columns=2)
        >>> type(picture).__name__
        'Drawing'
    """
    texts, score_values, reasons = _inputs(smiles, scores, highlight)
    if not texts:
        raise ValueError("There are no molecules to draw.")
    if columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}.")
    if names is not None and len(names) != len(texts):
        raise ValueError(f"There are {len(names)} names for {len(texts)} molecules.")
    width, height = size
    cells = []
    for i, text in enumerate(texts):
        lines = [str(names[i])] if names is not None else []
        lines += [f"{k} {_short(v[i])}" for k, v in score_values.items()]
        items = reasons[i]
        lines += [f"⚠ {what}" for what in dict.fromkeys(str(r.what) for r in items)]
        cells.append((text, [a for r in items for a in r.atoms], lines))
    depth = max(len(lines) for _, _, lines in cells)
    step = height + 16 * depth + 10
    n_rows = math.ceil(len(cells) / columns)
    total_width, total_height = width * min(columns, len(cells)), step * n_rows
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{total_width}" height="{total_height}" '
        f'viewBox="0 0 {total_width} {total_height}" color="#111" '
        'font-family="system-ui, sans-serif" font-size="12">'
        '<rect width="100%" height="100%" fill="#fff"/>'
    ]
    for i, (text, atoms, lines) in enumerate(cells):
        x, y = width * (i % columns), step * (i // columns)
        parts.append(f'<g transform="translate({x},{y})">')
        parts.append(draw_structure(text, width=width, height=height, atoms=atoms))
        for k, line in enumerate(lines):
            shown = line if len(line) <= width // 7 else line[: width // 7 - 1] + "…"
            colour = "#b45309" if line.startswith("⚠") else "#111"
            parts.append(
                f'<text x="{width / 2}" y="{height + 14 + 16 * k}" text-anchor="middle" '
                f'fill="{colour}">{escape(shown)}</text>'
            )
        parts.append("</g>")
    drawing = Drawing("".join([*parts, "</svg>"]))
    if path is not None:
        drawing.save(path)
    return drawing


def _inputs(
    smiles: Any, scores: Any, highlight: Any
) -> tuple[list[str], dict[str, Sequence[Any]], list[tuple]]:
    """SMILES, values to write beneath, and reasons, from a table or from separate arguments."""
    values: dict[str, Sequence[Any]] = {}
    held = None
    if hasattr(smiles, "columns"):
        texts = [str(s) for s in as_smiles_list(smiles)]
        held = smiles["reasons"].tolist() if "reasons" in smiles.columns else None
        if scores is not None and not isinstance(scores, Mapping):
            for name in scores:
                if name not in smiles.columns:
                    raise ValueError(
                        f"The table has no column {name!r}; it has "
                        f"{', '.join(map(str, smiles.columns))}."
                    )
                values[name] = smiles[name].tolist()
    else:
        texts = [str(s) for s in as_smiles_list(smiles)]
        if scores is not None and not isinstance(scores, Mapping):
            raise ValueError("Scores by name need a table; pass a dictionary of name to values.")
    if isinstance(scores, Mapping):
        for name, column in scores.items():
            if len(column) != len(texts):
                raise ValueError(
                    f"Score {name!r} has {len(column)} values for {len(texts)} molecules."
                )
            values[str(name)] = list(column)
    if highlight is not None:
        held = filter_molecules(texts, highlight)["reasons"].tolist()
    reasons = [r.items if isinstance(r, Reasons) else () for r in held or [None] * len(texts)]
    return texts, values, reasons


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
