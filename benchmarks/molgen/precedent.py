"""Do the verbs find what is known to be right, and is what comes back what was asked for?

``python -m benchmarks precedent found|ranks|marks|cores|lengths|build``

``found``: the cuts with a known answer in ``--problems`` (the shared ``data/fragments``). The size
of the answer is told, its place and nothing else; the answer counts as found if the flat molecule
is among the ``--n`` that come back. Molecules of the problems must not be in the table: ``build``
leaves them out and the table's card says how many rows that were.

``ranks``: the same of the table alone, among its first ``--n`` parts of that size.

``marks``: scaffolds with marks cut out of approved drugs; is there one bond at each mark, and no
other change of the scaffold? ``cores``: ring systems of approved drugs replaced; do the
substituents sit on the new ring system, at distances within one bond? ``lengths``: linkers of
length 1 to 20. These three are worked out anew with RDKit, by matching what came back against what
was given.

``build --molecules FILE --output precedent.zip --folder CUTS`` makes the table; it can be stopped
and goes on.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import lzma
import re
import time
from collections import defaultdict
from itertools import islice
from pathlib import Path

import numpy as np
from rdkit import Chem, RDLogger

import molgen
from benchmarks.stored import append
from molgen.chem.ring_systems import ring_systems_with_atoms
from molgen.generation.scaffolds.partial_structures import cut_scaffold
from molgen.motifs.trees import cut_bonds
from molgen.precedent.fragment_cuts import read_flat
from molgen.precedent.proposals import Wish, precedented
from molgen.precedent.splicing import mark_contexts, number_marks
from molgen.sampling.molecules import Molecules

DRUGS = Path(__file__).parents[2] / "tests" / "data" / "approved_drugs.smi.gz"
PROBLEMS = Path("/work/shared/data/fragments")
FLOORS = {
    ("delinker_zinc", "linker"): 0.89, ("delinker_casf", "linker"): 0.76,
    ("druglike_test", "rgroup"): 0.80, ("druglike_test", "linker"): 0.72,
    ("druglike_test", "core"): 0.87, ("druglike_test_scaffolds", "rgroup"): 0.82,
    ("druglike_test_scaffolds", "linker"): 0.74, ("druglike_test_scaffolds", "core"): 0.87,
    ("casf", "rgroup"): 0.72, ("casf", "linker"): 0.67, ("casf", "core"): 0.88,
}  # fmt: skip


def problems(folder: Path) -> dict[tuple[str, str], list[dict[str, str]]]:
    """The problems by (source, kind)."""
    found: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    with (folder / "cuts.csv").open() as stream:
        for row in csv.DictReader(stream):
            found[row["source"], row["kind"]].append(row)
    for name in ("delinker_zinc", "delinker_casf"):
        with (folder / f"{name}.csv").open() as stream:
            found[name, "linker"] += list(csv.DictReader(stream))
    return found


def flat(smiles: str) -> str:
    """Canonical SMILES without stereo."""
    mol = read_flat(smiles)
    assert mol is not None, smiles
    return Chem.MolToSmiles(mol)


def proposals(model, kind: str, row: dict[str, str], n: int, **options) -> Molecules:
    """What the verb of this kind proposes when it is told the size of the answer."""
    answer = Chem.MolFromSmiles(row["answer"])
    size = answer.GetNumHeavyAtoms()
    fragments = row["context"].split(".")
    if kind == "rgroup":
        return model.sample_scaffold(fragments[0], n, atoms=size, **options)
    if kind == "core":
        return model.connect(fragments, n, atoms=size, ring=True, **options)
    return model.link(*fragments, n, atoms=size, **options)


def found(model, options: argparse.Namespace) -> dict:
    """Share of the answers found, by source and kind."""
    figures = {}
    rng = np.random.default_rng(0)
    for key, rows in problems(options.problems).items():
        if options.most and len(rows) > options.most:
            rows = [rows[i] for i in sorted(rng.choice(len(rows), options.most, replace=False))]
        hits, own, returned, seconds, refused = 0, 0.0, 0, 0.0, 0
        own_found, good = 0, 0.0
        for row in rows:
            cpu = time.process_time()
            try:
                got = proposals(model, key[1], row, options.n, own=options.own)
            except ValueError as error:
                refused += 1
                print(f"refused: {row['context']}: {error}", flush=True)
                continue
            seconds += time.process_time() - cpu
            at = {flat(s): i for i, s in enumerate(got)}
            place = at.get(flat(row["molecule"]))
            hits += place is not None
            own_found += place is not None and not got.precedent[place]
            own += got.shares["own"]
            if options.filters and got:
                fresh = [s for s, count in zip(got, got.precedent) if not count]
                good += passing(fresh) / len(got)
            returned += len(got)
        name = " ".join(key)
        figures[name] = {
            "problems": len(rows), "found": hits / len(rows), "floor": FLOORS[key],
            "found by the model's own share": own_found, "own share": own / len(rows),
            "returned": returned / len(rows), "refused": refused,
            "processor seconds per 100": 100 * seconds / max(returned, 1),
        }  # fmt: skip
        if options.filters:
            figures[name]["own share that passes filters and SA <= 4"] = good / len(rows)
        print(name, json.dumps({k: round(v, 3) for k, v in figures[name].items()}), flush=True)
    return figures


def ranks(model, options: argparse.Namespace) -> dict:
    """Share of the answers among the table's first ``n`` parts of their size; which way round a
    linker stands is left aside. Groups and linkers."""
    rng = np.random.default_rng(1)
    figures = {}
    for key, rows in problems(options.problems).items():
        if key[1] == "core":
            continue
        if options.most and len(rows) > options.most:
            rows = [rows[i] for i in sorted(rng.choice(len(rows), options.most, replace=False))]
        hits = 0
        for row in rows:
            contexts: list[tuple[int, ...]] = []
            for fragment in row["context"].split("."):
                mol = Chem.MolFromSmiles(fragment)
                contexts += mark_contexts(mol, number_marks(mol))
            answer = unmarked(row["answer"])
            size = Chem.MolFromSmiles(row["answer"]).GetNumHeavyAtoms()
            lookup = model.precedent.parts(len(contexts))
            parts = precedented(lookup, contexts, Wish(atoms=(size, size)), options.n)
            hits += any(unmarked(part.text) == answer for part in islice(parts, options.n))
        figures[" ".join(key)] = {"problems": len(rows), "found": round(hits / len(rows), 3)}
        print(" ".join(key), figures[" ".join(key)], flush=True)
    return figures


def unmarked(part: str) -> str:
    """A part without stereo and the numbers of its marks."""
    return flat(re.sub(r"\[\*:\d\]", "*", part))


def passing(smiles: list[str]) -> int:
    """How many pass the default filters and have a synthetic-accessibility score of at most 4."""
    if not smiles:
        return 0
    passed = molgen.filter_molecules(smiles, filters="default")["passed"].to_numpy(bool)
    return int((passed & (molgen.describe(smiles)["sa_score"].to_numpy(float) <= 4)).sum())


# --- is it what was asked for? --------------------------------------------------------------------
def drugs() -> list[Chem.Mol]:
    """Approved drugs of one piece with 15 to 45 heavy atoms, in a fixed random order."""
    texts = gzip.decompress(DRUGS.read_bytes()).decode().split()
    mols = [Chem.MolFromSmiles(t) for t in texts if "." not in t]
    mols = [m for m in mols if m is not None and 15 <= m.GetNumHeavyAtoms() <= 45]
    return [mols[i] for i in np.random.default_rng(0).permutation(len(mols))]


def kept_whole(mol: Chem.Mol, marked: Chem.Mol) -> list[tuple[int, ...]]:
    """Matches of a marked fragment in ``mol`` where only the marks have gained a neighbour.

    A match gives the atom of ``mol`` for each atom of ``marked``, marks included.
    """
    query = Chem.RWMol(marked)
    for atom in query.GetAtoms():
        if atom.GetAtomicNum() == 0:
            query.ReplaceAtom(atom.GetIdx(), Chem.AtomFromSmarts("[!#1]"))
    whole = query.GetMol()
    places = []
    for match in mol.GetSubstructMatches(whole, useChirality=True, uniquify=False, maxMatches=2000):
        if all(
            mol.GetAtomWithIdx(j).GetDegree() == a.GetDegree()
            and mol.GetAtomWithIdx(j).GetTotalNumHs() == a.GetTotalNumHs()
            and mol.GetAtomWithIdx(j).GetFormalCharge() == a.GetFormalCharge()
            for a, j in zip(marked.GetAtoms(), match)
            if a.GetAtomicNum()
        ):
            places.append(match)
    return places


def marks(model, options: argparse.Namespace) -> dict:
    """Scaffolds with one to three marks: each one bond, all filled, nothing else changed."""
    asked = good = returned = 0
    cpu = 0.0
    for mol in drugs()[: options.scaffolds]:
        systems = [atoms for _, atoms in ring_systems_with_atoms(mol)]
        if not systems:
            continue
        try:
            scaffold = cut_scaffold(mol, sorted(systems, key=len)[-1], "ring system")
        except ValueError:
            continue
        if not scaffold.marks:
            continue
        asked += 20
        start = time.process_time()
        text = Chem.MolToSmiles(scaffold.marked)
        got = model.sample_scaffold(text, 20, own=options.own)
        cpu += time.process_time() - start
        returned += len(got)
        for smiles in got:
            whole = bool(kept_whole(Chem.MolFromSmiles(smiles), scaffold.marked))
            good += whole
            if not whole:
                print(f"not kept: {text} in {smiles}")
    return {
        "asked for": asked, "returned": returned, "one bond at each mark, all filled": good,
        "molecules per processor second": returned / max(cpu, 1e-9),
    }  # fmt: skip


def cores(model, options: argparse.Namespace) -> dict:
    """Ring systems with two to four substituents replaced in drugs."""
    asked = returned = good = tried = 0
    cpu = 0.0
    for mol in drugs():
        if tried == options.drugs:
            break
        systems = []
        cuttable = {frozenset(p) for p in cut_bonds(mol)}
        for _, atoms in ring_systems_with_atoms(mol):
            inside = set(atoms)
            out = [
                b for b in mol.GetBonds()
                if (b.GetBeginAtomIdx() in inside) != (b.GetEndAtomIdx() in inside)
            ]  # fmt: skip
            pairs = [frozenset((b.GetBeginAtomIdx(), b.GetEndAtomIdx())) for b in out]
            if 2 <= len(out) <= 4 and all(p in cuttable for p in pairs):
                systems.append(sorted(inside))
        if not systems:
            continue
        tried += 1
        old = systems[0]
        asked += 20
        start = time.process_time()
        got = model.replace_core(Chem.MolToSmiles(mol), _renumber(mol, old), 20, own=options.own)
        cpu += time.process_time() - start
        returned += len(got)
        checked = CoreCheck(mol, old)
        for smiles in got:
            fine = checked(Chem.MolFromSmiles(smiles))
            good += fine
            if not fine:
                print(f"not as asked: {Chem.MolToSmiles(mol)} core {old}: {smiles}")
    return {
        "drugs": tried, "asked for": asked, "returned": returned,
        "substituents on a new ring system only, within one bond": good,
        "processor seconds per 100": 100 * cpu / max(returned, 1),
    }  # fmt: skip


def _renumber(mol: Chem.Mol, atoms: list[int]) -> list[int]:
    """``atoms`` of ``mol`` as they are numbered when its SMILES is read again."""
    Chem.MolToSmiles(mol)
    order = [int(i) for i in mol.GetProp("_smilesAtomOutputOrder")[1:-1].rstrip(",").split(",")]
    return [order.index(a) for a in atoms]


class CoreCheck:
    """Whether a molecule is the old one with another ring system in the place of ``core``."""

    def __init__(self, mol: Chem.Mol, core: list[int]):
        inside = set(core)
        self.parts, anchors = [], []
        pieces = Chem.RWMol(mol)
        for atom in sorted(inside, reverse=True):
            pieces.RemoveAtom(atom)
        rest = [i for i in range(mol.GetNumAtoms()) if i not in inside]
        for piece in Chem.GetMolFrags(pieces):
            part = cut_scaffold(mol, [rest[i] for i in piece], "substituent")
            self.parts.append(part.marked)
            at = next(
                b.GetOtherAtomIdx(rest[i])
                for i in piece
                for b in mol.GetAtomWithIdx(rest[i]).GetBonds()
                if b.GetOtherAtomIdx(rest[i]) in inside
            )
            anchors.append(at)
        distance = Chem.GetDistanceMatrix(mol)
        self.old = [[int(distance[a, b]) for b in anchors] for a in anchors]
        self.core = Chem.RWMol(cut_scaffold(mol, core, "core").mol)

    def __call__(self, mol: Chem.Mol) -> bool:
        if sum(p.GetNumHeavyAtoms() for p in self.parts) >= mol.GetNumHeavyAtoms():
            return False
        places = [kept_whole(mol, part) for part in self.parts]
        return self._place(mol, places, [], set())

    def _place(self, mol, places, anchors: list[int], used: set[int]) -> bool:
        number = len(anchors)
        if number == len(self.parts):
            return self._ring(mol, anchors, used)
        mark = next(a.GetIdx() for a in self.parts[number].GetAtoms() if not a.GetAtomicNum())
        for match in places[number]:
            own = {j for i, j in enumerate(match) if i != mark}
            if own & used or match[mark] in used or own & set(anchors):
                continue
            if self._place(mol, places, [*anchors, match[mark]], used | own):
                return True
        return False

    def _ring(self, mol: Chem.Mol, anchors: list[int], used: set[int]) -> bool:
        core = set(range(mol.GetNumAtoms())) - used
        systems = [set(atoms) for _, atoms in ring_systems_with_atoms(mol)]
        if core not in systems:
            return False
        distance = Chem.GetDistanceMatrix(mol)
        for i, a in enumerate(anchors):
            for j, b in enumerate(anchors[:i]):
                if abs(int(distance[a, b]) - self.old[i][j]) > 1:
                    return False
                if a == b and self.old[i][j]:
                    return False
        new = cut_scaffold(mol, core, "core").mol
        return Chem.MolToSmiles(new) != Chem.MolToSmiles(self.core.GetMol())


def lengths(model, options: argparse.Namespace) -> dict:
    """Pairs of fragments of drugs, joined by linkers of length 1 to 20."""
    ends: list[tuple[str, Chem.Mol]] = []
    for mol in drugs():
        for a, b in cut_bonds(mol):
            marked = Chem.FragmentOnBonds(mol, [mol.GetBondBetweenAtoms(a, b).GetIdx()])
            pieces = Chem.GetMolFrags(marked, asMols=True)
            small = [p for p in pieces if 4 <= p.GetNumHeavyAtoms() <= 14]
            if small:
                text = re.sub(r"\[\d*\*\]", "[*:1]", Chem.MolToSmiles(small[0]))
                ends.append((text, Chem.MolFromSmiles(text)))
                break
    rng = np.random.default_rng(1)
    asked = returned = good = 0
    short = []
    cpu = 0.0
    for number in range(options.pairs):
        i, j = rng.choice(len(ends), 2, replace=False)
        length = 1 + number % 20
        n = 1 if length == 1 else 20
        asked += n
        start = time.process_time()
        got = model.link(ends[i][0], ends[j][0], n, length=length, own=options.own)
        cpu += time.process_time() - start
        returned += len(got)
        if len(got) < n:
            short.append((ends[i][0], ends[j][0], length, len(got)))
        for smiles in got:
            fine = length in ways(Chem.MolFromSmiles(smiles), ends[i][1], ends[j][1])
            good += fine
            if not fine:
                print(f"not of length {length}: {ends[i][0]} {ends[j][0]} {smiles}")
    for pair in short:
        print("short:", *pair)
    return {
        "asked for": asked, "returned": returned, "of the length asked for": good,
        "processor seconds per 100": 100 * cpu / max(returned, 1),
    }  # fmt: skip


def ways(mol: Chem.Mol, first: Chem.Mol, second: Chem.Mol) -> set[int]:
    """Bonds between the two fragments, by each way of finding both whole in ``mol``."""
    distance = Chem.GetDistanceMatrix(mol)
    ends = []
    for fragment in (first, second):
        (mark,) = (a for a in fragment.GetAtoms() if not a.GetAtomicNum())
        anchor = mark.GetNeighbors()[0].GetIdx()
        ends.append([
            (match[anchor], {j for i, j in enumerate(match) if i != mark.GetIdx()})
            for match in kept_whole(mol, fragment)
        ])  # fmt: skip
    return {int(distance[a, b]) for a, one in ends[0] for b, other in ends[1] if not one & other}


def build(options: argparse.Namespace) -> dict:
    """The table of precedent, without the molecules of the problems."""
    opener = lzma.open if options.molecules.suffix == ".xz" else open
    with opener(options.molecules, "rt") as stream:
        smiles = [line.split()[0] for line in stream if line.strip()]
    smiles = smiles[: options.molecules_most or None]
    answers = [row["molecule"] for rows in problems(options.problems).values() for row in rows]
    start = time.process_time()
    table = molgen.build_precedent(
        smiles, options.output, left_out=answers, least=options.least,
        least_at_context=options.least_at_context, source=options.source, folder=options.folder,
        progress=True,
    )  # fmt: skip
    size = Path(options.output).stat().st_size / 1e6
    parts = {k: len(table.parts(k)) for k in range(1, 7)}
    return {
        **table.card, "megabytes": size, "parts": parts,
        "processor minutes": (time.process_time() - start) / 60,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["found", "ranks", "marks", "cores", "lengths", "build"])
    parser.add_argument("--model", default="moses")
    parser.add_argument("--table", help="a table of precedent in place of the model's own")
    parser.add_argument("--problems", type=Path, default=PROBLEMS)
    parser.add_argument("--n", type=int, default=250)
    parser.add_argument("--most", type=int, default=0, help="problems of each kind; 0 for all")
    parser.add_argument("--own", type=float, default=0.2, help="share of the model's own growth")
    parser.add_argument("--filters", action="store_true", help="filter the model's own share, too")
    parser.add_argument("--scaffolds", type=int, default=50)
    parser.add_argument("--drugs", type=int, default=50)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--molecules", type=Path)
    parser.add_argument("--molecules-most", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("precedent.zip"))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--least", type=int, default=3)
    parser.add_argument("--least-at-context", type=int, nargs=4, default=[1, 1, 2, 2])
    parser.add_argument("--source", default="")
    parser.add_argument("--json", type=Path, help="append the figures to this file")
    options = parser.parse_args()
    RDLogger.DisableLog("rdApp.*")
    if options.what == "build":
        figures = build(options)
    else:
        model = molgen.load_model(options.model)
        if options.table:
            model.precedent = molgen.load_precedent(options.table)
        card = None if model.precedent is None else model.precedent.card
        print("table:", card)
        functions = (found, ranks, marks, cores, lengths)
        figures = {f.__name__: f for f in functions}[options.what](model, options)
    for name, value in figures.items():
        print(f"{name}: {value}")
    if options.json:
        record = {"what": options.what, "own": options.own, "n": options.n, **figures}
        append(options.json, record)


if __name__ == "__main__":
    main()
