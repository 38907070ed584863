"""Attacks on the files of a model's folder: vocabulary, table of precedent, what can be read.

Whoever shares a folder shares more than a model that can be asked: a vocabulary or a table that the
secret molecules brought says which of their parts there were, and a training folder holds the
molecules themselves.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rdkit import Chem

from molgen.auditing.intervals import Interval, share_difference
from molgen.auditing.measures import Measure
from molgen.auditing.membership import Attack
from molgen.auditing.sets import MoleculeSet
from molgen.chem.parsing import quiet_rdkit
from molgen.generation.generator import Generator
from molgen.model.export import SECRET_NAMES
from molgen.motifs.atom_graphs import motif_numbers
from molgen.motifs.tree_tables import build_table
from molgen.precedent.files import NAME as PRECEDENT
from molgen.precedent.files import PrecedentTable, load_precedent

_TEXT = re.compile(rb"[A-Za-z0-9@+\-\[\]()=#$%/\\.:*]{3,}")
_CUT = Chem.MolFromSmarts("[!#1;!#0]-;!@[!#1;!#0]")
_LARGEST = 16  # heavy atoms of a group that a table of precedent may hold


def folder_attacks(
    folder: str | os.PathLike, model: Generator, members: MoleculeSet, others: MoleculeSet
) -> list[Attack]:
    """Attacks by whoever has the folder and needs no model: vocabulary and table of precedent."""
    attacks = [
        Attack(
            "vocabulary", motifs_held(model, members), motifs_held(model, others),
            "the model's files", "the share of the molecule's motifs that stand in the vocabulary",
        )
    ]  # fmt: skip
    path = Path(folder) / PRECEDENT
    if path.is_file():
        table = load_precedent(path.resolve())
        attacks.append(
            Attack(
                "table of precedent", groups_held(table, members), groups_held(table, others),
                "the table of precedent in the folder",
                "the share of the molecule's groups that the table holds, the rarest first",
            )
        )  # fmt: skip
    return attacks


def motifs_held(model: Generator, molecules: MoleculeSet) -> np.ndarray:
    """(n,) share of each molecule's motifs that the vocabulary lists; -inf where it has no tree."""
    table, _, _ = build_table(list(molecules.smiles), stereo=False)
    number = motif_numbers(table, model.network.vocabulary)
    owner = np.repeat(np.arange(len(table)), table.sizes)
    held = np.bincount(owner, weights=number >= 0, minlength=len(table)) / table.sizes
    scores = np.full(len(molecules), -np.inf)
    scores[table.row] = held
    return scores


def groups_held(table: PrecedentTable, molecules: MoleculeSet) -> np.ndarray:
    """(n,) share of each molecule's groups that a table holds, less a little for rare ones."""
    lookup = table.parts(1)
    scores = np.zeros(len(molecules))
    with quiet_rdkit():
        for row, smiles in enumerate(molecules.smiles):
            counts = [lookup.count_of(group) for group in groups_of(smiles)]
            if counts:
                share = sum(count > 0 for count in counts) / len(counts)
                scores[row] = share - 1e-3 / (1 + min(counts))  # what is rare names its molecule
    return scores


def groups_of(smiles: str) -> list[str]:
    """Both sides of each bond that may be cut, as SMILES with a mark, up to sixteen heavy atoms."""
    mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        return []
    found = []
    for begin, end in mol.GetSubstructMatches(_CUT):
        bond = mol.GetBondBetweenAtoms(begin, end)
        cut = Chem.FragmentOnBonds(mol, [bond.GetIdx()], dummyLabels=[(0, 0)])
        found += [
            text
            for text in Chem.MolToSmiles(cut).split(".")
            if (part := Chem.MolFromSmiles(text)) is not None
            and part.GetNumHeavyAtoms() <= _LARGEST + 1
        ]
    return found


def measure_files(
    folder: str | os.PathLike, members: MoleculeSet, others: MoleculeSet
) -> list[Measure]:
    """Molecules that can be read in the files, beside unseen ones; and files of a training run."""
    texts = set(_texts(Path(folder)))
    found, by_chance = (sum(s in texts for s in x.smiles) for x in (members, others))
    readable = share_difference(found, len(members), by_chance, len(others))
    left = [name for name in SECRET_NAMES if any(Path(folder).rglob(name))]
    named = ", ".join(left)
    return [
        Measure(
            "memorisation", "molecules that can be read in the files", readable,
            f"{found:,} of {len(members):,} members stand in the folder's files as SMILES, "
            f"{by_chance:,} of {len(others):,} unseen ones do (small molecules that are motifs).",
            "the shared folder", 0.0, rule="excess", attacker="the folder",
        ),
        Measure(
            "memorisation", "files of the training run", Interval(len(left), len(left), len(left)),
            f"The folder holds {named}: training molecules are rebuilt or read from such files. "
            "Share what `molgen export` writes." if left else
            "None of the files from which training molecules are rebuilt or read is there.",
            "the shared folder", 0.0, 0.0, "limit", "the folder",
        ),
    ]  # fmt: skip


def _texts(folder: Path) -> Iterator[str]:
    """Words of all files that could be SMILES, those inside of zip archives too."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        contents = [path.read_bytes()]
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                contents += [archive.read(name) for name in archive.namelist()]
        for content in contents:
            for word in _TEXT.findall(content):
                yield word.decode("ascii")


def names_in(folder: str | os.PathLike) -> list[str]:
    """The files of a folder."""
    home = Path(folder)
    return [p.relative_to(home).as_posix() for p in sorted(home.rglob("*")) if p.is_file()]
