"""CReM beside our verbs: the same molecules to learn from, the same problems, the same count.

    python -m venv /tmp/crem && /tmp/crem/bin/pip install crem
    python -m benchmarks crem_beside --crem /tmp/crem/bin/python \\
        --molecules druglike_train.smi.xz --molecules-most 20000

Both tables are made from the first molecules of the file, without those of the problems. CReM
(Polishchuk, J. Cheminform. 12:28, 2020; 0.3.2) grows, links and mutates with the size told, at
radius 3, then 2, then 1, the most frequent first; a core that it is to replace is the first one
that our table proposes and that is not the answer.
"""

from __future__ import annotations

import argparse
import json
import lzma
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from rdkit import Chem, RDLogger

import molgen
from benchmarks.molgen.precedent import PROBLEMS, flat, problems, proposals
from benchmarks.stored import append

WORKER = Path(__file__).with_name("_crem_worker.py")


def learn_from(path: Path, most: int, answers: set[str]) -> list[str]:
    """The first ``most`` molecules of a file that are none of the problems'."""
    opener = lzma.open if path.suffix == ".xz" else open
    found: list[str] = []
    with opener(path, "rt", encoding="utf-8") as stream:
        for line in stream:
            smiles = line.split()[0]
            if flat(smiles) not in answers:
                found.append(smiles)
            if len(found) == most:
                break
    return found


def asked(rows: list[dict[str, str]], kind: str, model) -> list[dict]:
    """Problems as CReM's worker reads them."""
    made = []
    for row in rows:
        problem = {
            "kind": kind, "context": row["context"],
            "size": Chem.MolFromSmiles(row["answer"]).GetNumHeavyAtoms(),
        }  # fmt: skip
        if kind == "core":
            got = proposals(model, kind, row, 2, own=0.0)
            right = flat(row["molecule"])
            others = [part for s, part in zip(got, got.parts) if flat(s) != right]
            problem["stand_in"] = others[0] if others else ""
        made.append(problem)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--crem", required=True, help="Python of an environment that has crem")
    parser.add_argument("--molecules", type=Path, required=True)
    parser.add_argument("--molecules-most", type=int, default=20_000)
    parser.add_argument("--problems", type=Path, default=PROBLEMS)
    parser.add_argument("--most", type=int, default=40, help="problems of each source and kind")
    parser.add_argument("--n", type=int, default=250)
    parser.add_argument("--model", default="moses")
    parser.add_argument("--json", type=Path, help="append the figures to this file")
    arguments = parser.parse_args()
    RDLogger.DisableLog("rdApp.*")
    everything = problems(arguments.problems)
    right = {flat(row["molecule"]) for rows in everything.values() for row in rows}
    smiles = learn_from(arguments.molecules, arguments.molecules_most, right)
    model = molgen.load_model(arguments.model)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        model.precedent = molgen.build_precedent(smiles, home / "precedent.zip", least=1)
        (home / "m.smi").write_text("".join(f"{s}\tm{i}\n" for i, s in enumerate(smiles)))
        make = "from crem.scripts.cremdb_create import main; main()"
        subprocess.run(
            [arguments.crem, "-c", make, "-i", "m.smi", "-o", "crem.db", "-s", "all",
             "-r", "1", "2", "3", "--frag-mode", "acyclic"],
            cwd=home, check=True, capture_output=True,
        )  # fmt: skip
        totals: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
        for (source, kind), rows in everything.items():
            if len(rows) > arguments.most:
                places = sorted(rng.choice(len(rows), arguments.most, replace=False))
                rows = [rows[i] for i in places]
            (home / "asked.json").write_text(json.dumps(asked(rows, kind, model)))
            subprocess.run(
                [arguments.crem, str(WORKER), "asked.json", "crem.db", "got.json",
                 str(arguments.n)],
                cwd=home, check=True, capture_output=True,
            )  # fmt: skip
            theirs = json.loads((home / "got.json").read_text())
            hits = [0, 0]
            for row, got in zip(rows, theirs):
                answer = flat(row["molecule"])
                hits[1] += answer in {flat(s) for s in got["smiles"]}
                try:
                    ours = proposals(model, kind, row, arguments.n)
                except ValueError as error:
                    print(f"refused by us: {row['context']}: {error}")
                    continue
                hits[0] += answer in {flat(s) for s in ours}
            totals[kind].append((hits[0], hits[1], len(rows)))
            record = {
                "source": source, "kind": kind, "problems": len(rows),
                "molecules": len(smiles), "ours": hits[0] / len(rows),
                "crem": hits[1] / len(rows), "crem failed": sum(bool(g["error"]) for g in theirs),
            }  # fmt: skip
            print(json.dumps(record), flush=True)
            if arguments.json:
                append(arguments.json, record)
    for kind, counted in totals.items():
        ours, theirs, n = np.sum(counted, axis=0)
        print(
            f"{kind}: ours {ours / n:.3f}, CReM {theirs / n:.3f}, ratio {ours / max(theirs, 1):.2f}"
        )


if __name__ == "__main__":
    main()
