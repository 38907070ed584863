"""Runs in CReM's own environment: answers problems from a JSON file with CReM's proposals.

    python _crem_worker.py problems.json table.db answers.json N

A problem has ``kind`` (rgroup, linker, core), ``context`` (fragments with marks), ``size`` (heavy
atoms of the answer) and for cores ``stand_in`` (a core that is not the answer, to be replaced).
Proposals of radius 3 come first, then of 2 and 1, each radius in falling order of frequency.
"""

import json
import sys
import time
from pathlib import Path

from crem.crem import grow_mol, link_mols, mutate_mol
from rdkit import Chem


def without_mark(text):
    """A fragment with hydrogen in place of its mark, and the atom that the mark hung on."""
    mol = Chem.MolFromSmiles(text)
    mark = next(a for a in mol.GetAtoms() if not a.GetAtomicNum())
    at = mark.GetNeighbors()[0].GetIdx()
    editable = Chem.RWMol(mol)
    editable.RemoveAtom(mark.GetIdx())
    whole = editable.GetMol()
    Chem.SanitizeMol(whole)
    return whole, at - (at > mark.GetIdx())


def with_stand_in(context, stand_in):
    """The molecule of a context and a core, and the core's atoms."""
    core = Chem.MolFromSmiles(stand_in)
    for atom in core.GetAtoms():
        atom.SetBoolProp("core", True)
    whole = Chem.molzip(Chem.CombineMols(Chem.MolFromSmiles(context), core))
    Chem.SanitizeMol(whole)
    return whole, [a.GetIdx() for a in whole.GetAtoms() if a.HasProp("core")]


def proposals(problem, table, radius):
    """(SMILES, frequency) pairs."""
    size = problem["size"]
    shared = {"radius": radius, "return_rxn_freq": True, "return_rxn": True}
    if problem["kind"] == "core":
        mol, core = with_stand_in(problem["context"], problem["stand_in"])
        others = [i for i in range(mol.GetNumAtoms()) if i not in core]
        change = size - len(core)
        found = mutate_mol(
            mol, table, min_size=len(core), max_size=len(core), min_inc=change, max_inc=change,
            protected_ids=others, replace_cycles="forced", **shared,
        )  # fmt: skip
    elif problem["kind"] == "linker":
        (one, a), (other, b) = map(without_mark, problem["context"].split("."))
        found = link_mols(
            one, other, table, min_atoms=size, max_atoms=size, replace_ids_1=[a],
            replace_ids_2=[b], **shared,
        )  # fmt: skip
    else:
        mol, a = without_mark(problem["context"])
        found = grow_mol(mol, table, min_atoms=size, max_atoms=size, replace_ids=[a], **shared)
    return [(row[0], row[-1]) for row in found]


def main():
    problems = json.loads(Path(sys.argv[1]).read_text())
    table, most = sys.argv[2], int(sys.argv[4])
    answers = []
    for problem in problems:
        cpu = time.process_time()
        chosen, error = {}, ""
        for radius in (3, 2, 1):
            if len(chosen) >= most:
                break
            try:
                found = proposals(problem, table, radius)
            except Exception as problem_with_it:  # one problem must not end the others
                error = f"{type(problem_with_it).__name__}: {problem_with_it}"
                continue
            for smiles, frequency in sorted(found, key=lambda pair: -pair[1]):
                chosen.setdefault(smiles, frequency)
        answers.append(
            {"smiles": list(chosen)[:most], "error": error, "seconds": time.process_time() - cpu}
        )
    Path(sys.argv[3]).write_text(json.dumps(answers))


if __name__ == "__main__":
    main()
