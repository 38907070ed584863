"""Grids of 24 molecules for ten real leads and each verb, for a medicinal chemist to look at.

python -m tools.gallery --output docs/gallery [--leads celecoxib ...] [--verbs near link ...]

Nothing is chosen by hand: a grid is what the call beside it returns first, in its order (for
``interpolate`` all steps). The number under a molecule says how often known molecules have what
was put in; "new" is what no table holds.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from rdkit import Chem
from rdkit.Chem import Draw, rdDepictor

import molgen

N = 24
COLUMNS, CELL, COLOURS = 6, (190, 150), 24


@dataclass(frozen=True)
class Lead:
    """A lead, and what a chemist would ask of it."""

    smiles: str
    scaffold: str
    ends: tuple[str, str]
    link: dict[str, Any]
    core: str


LEADS = {
    "celecoxib": Lead(
        "Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1",
        "NS(=O)(=O)c1ccc(-n2nc(C(F)(F)F)cc2[*:1])cc1",
        ("NS(=O)(=O)c1ccc([*:1])cc1", "Cc1ccc([*:1])cc1"), {"length": (3, 5)},
        "c1cnnc1",
    ),
    "imatinib": Lead(
        "Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1",
        "Cc1ccc(NC(=O)[*:1])cc1Nc1nccc(-c2cccnc2)n1",
        ("Cc1ccc([*:1])cc1Nc1nccc(-c2cccnc2)n1", "CN1CCN([*:1])CC1"), {"length": (5, 9)},
        "c1ccncn1",
    ),
    "gefitinib": Lead(
        "COc1cc2ncnc(Nc3ccc(F)c(Cl)c3)c2cc1OCCCN1CCOCC1",
        "COc1cc2ncnc(N[*:1])c2cc1[*:2]",
        ("COc1cc2ncnc(Nc3ccc(F)c(Cl)c3)c2cc1[*:1]", "C1COCCN1[*:1]"), {"length": (3, 6)},
        "c1ccc2ncncc2c1",
    ),
    "sildenafil": Lead(
        "CCCc1nn(C)c2c1nc([nH]c2=O)-c1cc(ccc1OCC)S(=O)(=O)N1CCN(C)CC1",
        "CCCc1nn(C)c2c1nc([nH]c2=O)-c1cc(ccc1OCC)S(=O)(=O)[*:1]",
        ("CCCc1nn(C)c2c1nc([nH]c2=O)[*:1]", "CN1CCN(S(=O)(=O)[*:1])CC1"), {"length": (4, 6)},
        "N1CCNCC1",
    ),
    "losartan": Lead(
        "CCCCc1nc(Cl)c(CO)n1Cc1ccc(-c2ccccc2-c2nnn[nH]2)cc1",
        "CCCCc1nc([*:1])c(CO)n1Cc1ccc([*:2])cc1",
        ("CCCCc1nc(Cl)c(CO)n1[*:1]", "c1ccc(-c2nnn[nH]2)c([*:1])c1"), {"length": (4, 7)},
        "c1cncn1",
    ),
    "sitagliptin": Lead(
        "N[C@@H](CC(=O)N1CCn2c(nnc2C(F)(F)F)C1)Cc1cc(F)c(F)cc1F",
        "N[C@@H](CC(=O)[*:1])Cc1cc(F)c(F)cc1F",
        ("N[C@@H](Cc1cc(F)c(F)cc1F)C[*:1]", "FC(F)(F)c1nnc2n1CCN([*:1])C2"), {"length": (2, 4)},
        "N1CCn2cnnc2C1",
    ),
    "rivaroxaban": Lead(
        "O=C(NC[C@H]1CN(c2ccc(N3CCOCC3=O)cc2)C(=O)O1)c1ccc(Cl)s1",
        "O=C([*:1])NC[C@H]1CN(c2ccc([*:2])cc2)C(=O)O1",
        ("O=C(NC[*:1])c1ccc(Cl)s1", "O=C1COCCN1c1ccc([*:1])cc1"), {"length": (3, 5)},
        "C1CNC(=O)O1",
    ),
    "haloperidol": Lead(
        "O=C(CCCN1CCC(O)(c2ccc(Cl)cc2)CC1)c1ccc(F)cc1",
        "O=C(CCCN1CCC(O)([*:1])CC1)c1ccc(F)cc1",
        ("O=C([*:1])c1ccc(F)cc1", "OC1(c2ccc(Cl)cc2)CCN([*:1])CC1"), {"length": (3, 6)},
        "c1ccc(Cl)cc1",
    ),
    "ibrutinib": Lead(
        "C=CC(=O)N1CCC[C@@H](n2nc(-c3ccc(Oc4ccccc4)cc3)c3c(N)ncnc32)C1",
        "Nc1ncnc2c1c([*:1])nn2[C@@H]1CCCN(C(=O)[*:2])C1",
        ("Nc1ncnc2[nH]nc([*:1])c12", "c1ccc([*:1])cc1"), {"length": (5, 8)},
        "c1nnc2ncncc12",
    ),
    "dBET1": Lead(
        "Cc1sc2c(c1C)C(c1ccc(Cl)cc1)=N[C@@H](CC(=O)NCCCCNC(=O)COc1cccc3c1C(=O)N(C1CCC(=O)NC1=O)C3=O)"
        "c1nnc(C)n1-2",
        "Cc1sc2c(c1C)C(c1ccc(Cl)cc1)=N[C@@H](CC(=O)N[*:1])c1nnc(C)n1-2",
        ("Cc1sc2c(c1C)C(c1ccc(Cl)cc1)=N[C@@H](CC(=O)[*:1])c1nnc(C)n1-2",
         "O=C1CCC(N2C(=O)c3cccc([*:1])c3C2=O)C(=O)N1"), {"length": (8, 16)},
        "c1ccc(Cl)cc1",
    ),
}  # fmt: skip
VERBS = ("near", "scaffold", "link", "core", "between")


def call(model: Any, name: str, verb: str) -> tuple[str, list[str], list[str]]:
    """The call in words, its molecules, and what to write under each."""
    lead = LEADS[name]
    if verb == "near":
        table = model.near_table(lead.smiles, N)
        notes = [f"{s:.2f} {k}" for s, k in zip(table["similarity"], table["kind"])]
        return f'sample_near("{lead.smiles}", {N})', list(table["smiles"]), notes
    if verb == "between":
        names = list(LEADS)
        other = LEADS[names[(names.index(name) + 1) % len(names)]].smiles
        path = model.interpolate(lead.smiles, other, 8)
        return f'interpolate("{lead.smiles}", "{other}", 8)', list(path), [""] * len(path)
    if verb == "scaffold":
        told = f'sample_scaffold("{lead.scaffold}", {N})'
        got = model.sample_scaffold(lead.scaffold, N)
    elif verb == "link":
        limits = ", ".join(f"{k}={v}" for k, v in lead.link.items())
        told = f'link("{lead.ends[0]}", "{lead.ends[1]}", {N}, {limits})'
        got = model.link(*lead.ends, N, **lead.link)
    else:
        told = f'replace_core("{lead.smiles}", "{lead.core}", {N})'
        got = model.replace_core(lead.smiles, lead.core, N)
    return told, list(got), [f"{c:,}" if c else "new" for c in got.precedent]


def grid(smiles: Sequence[str], notes: Sequence[str], template: str | None) -> bytes:
    """A compact picture of molecules, drawn alike where they have the template's atoms."""
    mols = [Chem.MolFromSmiles(s) for s in smiles]
    like = None if template is None else Chem.MolFromSmarts(Chem.MolToSmarts(_unmarked(template)))
    if like is not None:
        rdDepictor.Compute2DCoords(like)
    for mol in mols:
        if like is not None and mol.HasSubstructMatch(like):
            rdDepictor.GenerateDepictionMatching2DStructure(mol, like)
        else:
            rdDepictor.Compute2DCoords(mol)
    options = Draw.MolDrawOptions()
    options.bondLineWidth, options.legendFontSize, options.padding = 1, 14, 0.06
    picture = Draw.MolsToGridImage(
        mols, molsPerRow=COLUMNS, subImgSize=CELL, legends=list(notes), drawOptions=options,
        returnPNG=True,
    )  # fmt: skip
    data = picture if isinstance(picture, bytes) else picture.data
    stream = io.BytesIO()
    image = Image.open(io.BytesIO(data)).convert("RGB").quantize(COLOURS, dither=0)
    image.save(stream, "png", optimize=True)
    return stream.getvalue()


def _unmarked(text: str) -> Chem.Mol:
    return Chem.DeleteSubstructs(Chem.MolFromSmiles(text), Chem.MolFromSmarts("[#0]"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("docs/gallery"))
    parser.add_argument("--leads", nargs="*", default=list(LEADS))
    parser.add_argument("--verbs", nargs="*", default=list(VERBS))
    options = parser.parse_args()
    model = molgen.load_model("moses")
    options.output.mkdir(parents=True, exist_ok=True)
    for name in options.leads:
        for verb in options.verbs:
            told, smiles, notes = call(model, name, verb)
            like = LEADS[name].scaffold if verb == "scaffold" else None
            file = options.output / f"{name}-{verb}"
            file.with_suffix(".png").write_bytes(grid(smiles, notes, like))
            rows = "".join(f"{s} {note}".rstrip() + "\n" for s, note in zip(smiles, notes))
            file.with_suffix(".smi").write_text(f"# {told}\n{rows}", "utf-8", newline="\n")
            print(f"{file}: {len(smiles)}", flush=True)


if __name__ == "__main__":
    main()
