"""`describe` and `filter` in two processes beside RDKit in one, and reading beside d9406f0.

python -m benchmarks files_speed [--n 300000] [--jobs 2] [--only describe,filter,read]
    [--molecules ../shared/data/druglike_train.smi.xz]

Each row is measured by turns, `--repeat` times, ours and theirs one after another in the same run;
the best of each counts. Ours is the command (`molgen describe FILE -o out.csv --jobs 2`): reading,
work, table, record. RDKit's side reads the same SMILES in one process and computes the same
descriptors with its own functions, or applies the same rules and alerts through its FilterCatalog
(PAINS compiled in; MOSES's and unsound's patterns from the same SMARTS, with the hydrogens that
they ask for), and writes a CSV with the verdict. It does not look up ring systems, explain its
refusals or keep a record. What both say is compared. Reading is `read_molecules` here and at the
other revision (from `git archive`), each in a process of its own.
"""

from __future__ import annotations

import argparse
import csv
import lzma
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rdkit import Chem, rdBase
from rdkit.Chem import QED, Crippen, Descriptors, FilterCatalog, Lipinski, rdMolDescriptors

from benchmarks.stored import append, today
from molgen.chem.properties import DESCRIPTORS, np_score, sa_score
from molgen.filters.alerts import ALERT_SETS

ROOT = Path(__file__).resolve().parent.parent.parent
MOLECULES = "../shared/data/druglike_train.smi.xz"
#: The floors of the ratios; the goals are 4 and 1.2.
FLOORS = {"describe": 1.5, "filter": 1.5, "read": 0.95}


# ---- RDKit alone ---------------------------------------------------------------------------------
def _count(smarts: str) -> Callable[[Chem.Mol], int]:
    query = Chem.MolFromSmarts(smarts)
    return lambda mol: len(mol.GetSubstructMatches(query))


def rdkit_functions() -> dict[str, Callable[[Chem.Mol], float]]:
    """RDKit's own function of each descriptor; the two scores are those of its Contrib folder."""
    strict = rdMolDescriptors.NumRotatableBondsOptions
    return {
        "mw": Descriptors.MolWt, "logp": Crippen.MolLogP, "tpsa": Descriptors.TPSA,
        "hbd": rdMolDescriptors.CalcNumHBD, "hba": rdMolDescriptors.CalcNumHBA,
        "rotatable_bonds": rdMolDescriptors.CalcNumRotatableBonds,
        "rings": rdMolDescriptors.CalcNumRings, "fsp3": rdMolDescriptors.CalcFractionCSP3,
        "qed": QED.qed, "sa_score": sa_score, "np_score": np_score, "mr": Crippen.MolMR,
        "heavy_atoms": Lipinski.HeavyAtomCount, "atoms": rdMolDescriptors.CalcNumAtoms,
        "carbons": _count("[#6]"), "heteroatoms": rdMolDescriptors.CalcNumHeteroatoms,
        "halogens": _count("[F,Cl,Br,I]"),
        "lipinski_hbd": rdMolDescriptors.CalcNumLipinskiHBD,
        "lipinski_hba": rdMolDescriptors.CalcNumLipinskiHBA,
        "rotatable_bonds_loose":
            lambda mol: rdMolDescriptors.CalcNumRotatableBonds(mol, strict.NonStrict),
        "aromatic_rings": rdMolDescriptors.CalcNumAromaticRings,
        "aliphatic_rings": rdMolDescriptors.CalcNumAliphaticRings,
        "heterocycles": rdMolDescriptors.CalcNumHeterocycles,
        "largest_ring":
            lambda mol: max((len(r) for r in mol.GetRingInfo().AtomRings()), default=0),
        "spiro_atoms": rdMolDescriptors.CalcNumSpiroAtoms,
        "bridgehead_atoms": rdMolDescriptors.CalcNumBridgeheadAtoms,
        "stereocenters": lambda mol: len(
            Chem.FindMolChiralCenters(mol, includeUnassigned=True, useLegacyImplementation=False)
        ),
        "amide_bonds": rdMolDescriptors.CalcNumAmideBonds, "formal_charge": Chem.GetFormalCharge,
    }  # fmt: skip


def rdkit_describes(smiles: Sequence[str], path: Path) -> None:
    """Every descriptor of `describe` by RDKit, written as CSV."""
    functions = rdkit_functions()
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["smiles", *functions])
        for text in smiles:
            mol = Chem.MolFromSmiles(text)
            writer.writerow([text, *(function(mol) for function in functions.values())])


def _catalogue(name: str) -> FilterCatalog.FilterCatalog:
    """An alert set as RDKit's catalogue: compiled in, or of the same SMARTS."""
    source = ALERT_SETS[name]
    wanted = FilterCatalog.FilterCatalogParams()
    for part in source.rdkit_catalogs:
        wanted.AddCatalog(getattr(FilterCatalog.FilterCatalogParams.FilterCatalogs, part))
    catalogue = FilterCatalog.FilterCatalog(wanted)
    for file in source.data_files:
        with (ROOT / "molgen" / "data" / "alerts" / file).open(encoding="utf-8") as rows:
            for row in csv.DictReader(rows):
                matcher = FilterCatalog.SmartsMatcher(row["name"], row["smarts"], 1)
                catalogue.AddEntry(FilterCatalog.FilterCatalogEntry(row["name"], matcher))
    return catalogue


def rdkit_filters(smiles: Sequence[str], path: Path) -> None:
    """Lipinski, Veber, PAINS, MOSES's and unsound's alerts by RDKit: which match, as CSV."""
    alerts = {name: _catalogue(name) for name in ("unsound", "pains", "moses_mcf")}
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["smiles", "passed", "reasons"])
        for text in smiles:
            mol = Chem.MolFromSmiles(text)
            over = [
                Descriptors.MolWt(mol) > 500,
                Crippen.MolLogP(mol) > 5,
                rdMolDescriptors.CalcNumLipinskiHBD(mol) > 5,
                rdMolDescriptors.CalcNumLipinskiHBA(mol) > 10,
            ]
            reasons = ["lipinski"] if sum(over) > 1 else []
            if rdMolDescriptors.CalcNumRotatableBonds(mol) > 10 or Descriptors.TPSA(mol) > 140:
                reasons.append("veber")
            for name, catalogue in alerts.items():
                asked = Chem.AddHs(mol) if name == "moses_mcf" else mol
                reasons += [entry.GetDescription() for entry in catalogue.GetMatches(asked)]
            writer.writerow([text, not reasons, "; ".join(reasons)])


# ---- ours ----------------------------------------------------------------------------------------
#: The same filters as RDKit's side, without the look-up of ring systems.
SAME = "lipinski,veber,unsound,pains,moses_mcf"


def ours(verb: str, source: Path, path: Path, jobs: int) -> None:
    """The command, in a process of its own."""
    program = "from molgen.cli import app; app()"
    command = [sys.executable, "-c", program, verb, str(source), "-o", str(path), "-q"]
    command += ["--jobs", str(jobs)]
    if verb == "filter":
        command += ["-f", SAME, "--all"]
    subprocess.run(command, check=True, cwd=ROOT, stderr=subprocess.DEVNULL)


def agree(verb: str, first: Path, second: Path) -> int:
    """Rows on which both sides say the same: every descriptor, or the verdict."""
    with first.open(encoding="utf-8") as one, second.open(encoding="utf-8") as two:
        rows = zip(csv.DictReader(one), csv.DictReader(two), strict=True)
        if verb == "filter":
            return sum(a["passed"] == b["passed"] for a, b in rows)
        return sum(all(_close(a[name], b[name]) for name in DESCRIPTORS) for a, b in rows)


def _close(a: str, b: str) -> bool:
    return abs(float(a) - float(b)) <= 1e-9 * max(1.0, abs(float(b)))


# ---- reading -------------------------------------------------------------------------------------
READ = """
import sys, time, warnings
warnings.simplefilter("ignore")
from molgen.files.{home} import read_molecules
began = time.perf_counter()
n = len(read_molecules(sys.argv[1]).smiles)
print(time.perf_counter() - began, n)
"""


def seconds_to_read(packages: Path, source: Path) -> float:
    """Seconds of `read_molecules`, without the import, by the packages of a folder."""
    code = (
        READ.format(home="molecule_files")
        if (packages / "molgen/files/molecule_files.py").exists()
        else READ.replace("molgen.files.{home}", "molgen")
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(source)], check=True, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(packages)}, cwd=packages,
    ).stdout.split()  # fmt: skip
    return float(told[0])


def archive(revision: str, folder: Path) -> Path:
    """The packages of a revision."""
    packed = folder / "revision.tar"
    command = ["git", "archive", "-o", str(packed), revision, "molgen"]
    subprocess.run(command, cwd=ROOT, check=True)
    with tarfile.open(packed) as content:
        content.extractall(folder / "revision", filter="data")
    return folder / "revision"


# ---- the run -------------------------------------------------------------------------------------
def timed(work: Callable[[], object]) -> float:
    """Seconds of the wall clock."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> int:
    """Print each ratio with its floor."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--n", type=int, default=300_000, help="lines of druglike_train")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--only", default=",".join(FLOORS))
    parser.add_argument("--against", default="d9406f0", help="a revision of git, for reading")
    parser.add_argument("--molecules", type=Path, default=Path(MOLECULES))
    options = parser.parse_args()
    rdBase.DisableLog("rdApp.*")
    with lzma.open(options.molecules, "rt", encoding="utf-8") as lines:
        smiles = [line.split()[0] for _, line in zip(range(options.n), lines)]
    n = len(smiles)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, mine, theirs = folder / "m.smi", folder / "mine.csv", folder / "theirs.csv"
        source.write_text("".join(f"{s} m{i}\n" for i, s in enumerate(smiles)), encoding="utf-8")
        for what in options.only.split(","):
            both = []
            if what == "read":
                before = archive(options.against, folder)
                for _ in range(options.repeat):
                    both.append((seconds_to_read(ROOT, source), seconds_to_read(before, source)))
                beside, same = options.against, ""
            else:
                rdkit = rdkit_describes if what == "describe" else rdkit_filters
                for _ in range(options.repeat):
                    here = timed(lambda w=what: ours(w, source, mine, options.jobs))  # type: ignore[misc]
                    both.append((here, timed(lambda f=rdkit: f(smiles, theirs))))  # type: ignore[misc]
                beside = "RDKit in one process"
                same = f"; the same on {agree(what, mine, theirs):,} of {n:,} rows"
            first, second = (min(column) for column in zip(*both))
            ratio = second / first
            row = {"benchmark": what, "n": n, "jobs": options.jobs, "ratio": round(ratio, 3)}
            append("files_speed", {"date": today(), **row, "beside": beside})
            print(
                f"{what:9} {n:,} lines: {n / first:,.0f} a second, {beside} {n / second:,.0f}: "
                f"ratio {ratio:.2f} (floor {FLOORS[what]}){same}",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
