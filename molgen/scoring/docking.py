"""Docking with AutoDock Vina: a score for molecules, and their poses.

``pip install digital-double[docking]`` brings vina, meeko and the 58 prepared targets of dockstring
(Garcia-Ortegon et al., J. Chem. Inf. Model. 62:3486, 2022), which are read as files. A ligand is
embedded by RDKit, written by meeko and docked by Vina, all with the same seed, in a process of its
own: one that crashes or takes too long ends its own row, never the run. Charges are as written;
centres and double bonds that are not stated are enumerated, and the best isomer is reported.
"""

from __future__ import annotations

import importlib.util
import math
import multiprocessing
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdkit import Chem

from molgen.base.arguments import nearest_name
from molgen.base.parallel import count_workers
from molgen.chem.parsing import MoleculeError, as_smiles_list, enumerate_stereo, parse

if TYPE_CHECKING:
    import pandas as pd

#: Elements of AutoDock's atom types that are not written as the element.
_ELEMENTS = {"A": "C", "NA": "N", "NS": "N", "OA": "O", "OS": "O", "SA": "S", "HD": "H", "HS": "H"}
_NEEDED = "docking needs vina, meeko and posebusters: pip install 'digital-double[docking]'"


@dataclass(frozen=True)
class Receptor:
    """A prepared receptor and the box in which ligands are placed.

    Attributes:
        path: Its PDBQT file.
        center: Middle of the box, Å.
        size: Edges of the box, Å.
        name: For tables.

    Examples:
        >>> import molgen
        >>> molgen.Receptor("nowhere.pdbqt", (0, 0, 0))
        Traceback (most recent call last):
        ...
        ValueError: Cannot read nowhere.pdbqt: No such file or directory.
        >>> try:
        ...     molgen.Receptor.named("DRD2000")
        ...     molgen.Receptor.from_pdb("nowhere.pdb", (0, 0, 0))
        ... except ValueError:
        ...     print("no such target, or no such file")
        no such target, or no such file
    """

    path: str
    center: tuple[float, float, float]
    size: tuple[float, float, float] = (22.5, 22.5, 22.5)
    name: str = "receptor"

    def __post_init__(self) -> None:
        for label, values in (("center", self.center), ("size", self.size)):
            if len(values) != 3 or not all(math.isfinite(v) for v in values):
                raise ValueError(f"{label} of the box is three numbers in Å; got {values!r}")
        if min(self.size) <= 0:
            raise ValueError(f"the box has edges above 0 Å; got {self.size}")
        file = Path(self.path)
        try:
            lines = file.read_text("utf-8", "replace").splitlines()
        except OSError as error:
            raise ValueError(f"Cannot read {file}: {error.strerror}.") from error
        atoms = [line for line in lines if line.startswith(("ATOM", "HETATM"))]
        if file.suffix.lower() != ".pdbqt" or not atoms:
            raise ValueError(
                f"{file} is no PDBQT file with atoms; a prepared PDB file becomes one by "
                "Receptor.from_pdb"
            )

    @classmethod
    def named(cls, target: str) -> Receptor:
        """A prepared target of dockstring, such as "DRD2".

        Raises:
            ValueError: dockstring is not installed, or has no such target.
        """
        folder = _targets_folder()
        names = target_names()
        known = {name.casefold(): name for name in names}
        if target.casefold() not in known:
            raise ValueError(
                f"there is no prepared target {target!r}.{nearest_name(target, names)} There are: "
                f"{', '.join(names)}"
            )
        name = known[target.casefold()]
        box = {}
        for line in (folder / f"{name}_conf.txt").read_text("utf-8").splitlines():
            key, _, value = line.partition("=")
            if value.strip():
                box[key.strip()] = float(value)
        return cls(
            str(folder / f"{name}_target.pdbqt"),
            (box["center_x"], box["center_y"], box["center_z"]),
            (box["size_x"], box["size_y"], box["size_z"]),
            name,
        )

    @classmethod
    def from_pdb(
        cls,
        pdb: str | Path,
        center: tuple[float, float, float],
        size: tuple[float, float, float] = (22.5, 22.5, 22.5),
        output: str | Path | None = None,
    ) -> Receptor:
        """A receptor from a PDB file with hydrogens, without water and ligand; written as PDBQT.

        Args:
            pdb: The file.
            center, size: The box, Å.
            output: Where the PDBQT file goes; beside the PDB file by default.

        Raises:
            ValueError: meeko cannot read it (missing hydrogens, unknown residues), with its words.
        """
        meeko = _import("meeko")
        source = Path(pdb)
        target = source.with_suffix(".pdbqt") if output is None else Path(output)
        try:
            text = source.read_text("utf-8")
            templates = meeko.ResidueChemTemplates.create_from_defaults()
            preparation = meeko.MoleculePreparation()
            polymer = meeko.Polymer.from_pdb_string(
                text, templates, preparation, allow_bad_res=True, default_altloc="A"
            )
            rigid, _ = meeko.PDBQTWriterLegacy.write_from_polymer(polymer)
        except OSError as error:
            raise ValueError(f"Cannot read {source}: {error.strerror}.") from error
        except Exception as error:  # meeko raises many kinds
            raise ValueError(f"meeko cannot prepare {source}: {error}") from error
        target.write_text(rigid, "utf-8")
        return cls(str(target), center, size, source.stem)


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(_NEEDED) from error


def _targets_folder() -> Path:
    found = importlib.util.find_spec("dockstring")
    if found is None or not found.submodule_search_locations:
        raise ValueError("prepared targets come with dockstring: " + _NEEDED.split(": ")[1])
    return Path(found.submodule_search_locations[0]) / "resources" / "targets"


def target_names() -> list[str]:
    """Names of the prepared targets that dockstring brings."""
    return sorted(p.name.removesuffix("_conf.txt") for p in _targets_folder().glob("*_conf.txt"))


@dataclass(frozen=True)
class Docked:
    """One docked molecule.

    Attributes:
        smiles: As given.
        score: Vina's estimate, kcal/mol; the lower the better; NaN where it failed.
        isomer: The stereoisomer that scores best.
        poses: SDF records, best first, with ``score`` as a field.
        problem: Why there is no score, or "".
        strain: What the best pose costs the ligand (:func:`strain`), kcal/mol; NaN where poses are
            not checked or MMFF94 lacks a parameter.
        failed_checks: The checks of PoseBusters that the best pose fails.
    """

    smiles: str
    score: float
    isomer: str = ""
    poses: str = ""
    problem: str = ""
    strain: float = math.nan
    failed_checks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Docking:
    """A docking objective: call it with SMILES, and take what is higher as better.

    Args:
        receptor: A :class:`Receptor`, or the name of a prepared target.
        seed: The same seed gives the same scores and poses.
        exhaustiveness: Of Vina's search.
        n_poses: Poses kept of each molecule.
        timeout: Seconds for one molecule.
        max_isomers: Stereoisomers of a molecule that does not state all its centres.
        n_jobs: Processes; -1 for all cores.
        check_poses: Also give each best pose's strain, and the checks of PoseBusters that it fails
            (Buttenschoen, Morris and Deane, Chem. Sci. 15:3130, 2024): bond lengths, angles, flat
            rings, clashes within the ligand and with the protein. Some seconds a molecule.

    Examples:
        >>> import molgen
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> atom = "ATOM      1  C   LIG A   1       6.000   0.000   0.000  1.00  0.00     0.000 C "
        >>> with TemporaryDirectory() as folder:
        ...     file = Path(folder) / "pocket.pdbqt"
        ...     _ = file.write_text(atom)
        ...     docking = molgen.Docking(molgen.Receptor(str(file), (0, 0, 0)), seed=1)
        ...     print(docking.exhaustiveness, docking([]), docking.dock([]))
        8 [] []
        >>> docking.table([]).columns.tolist()
        ['smiles', 'score', 'isomer', 'problem', 'poses']
    """

    receptor: Receptor | str
    seed: int = 0
    exhaustiveness: int = 8
    n_poses: int = 3
    timeout: float = 600.0
    max_isomers: int = 4
    n_jobs: int = 1
    check_poses: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.receptor, str):
            object.__setattr__(self, "receptor", Receptor.named(self.receptor))
        for name in ("exhaustiveness", "n_poses", "max_isomers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1; got {getattr(self, name)}")
        if self.timeout <= 0:
            raise ValueError(f"timeout is seconds above 0; got {self.timeout}")

    def __call__(self, smiles: Sequence[str]) -> list[float]:
        """Minus the score in kcal/mol, so that higher is better; NaN where docking failed."""
        return [-docked.score for docked in self.dock(smiles)]

    def dock(self, smiles: str | Iterable[str]) -> list[Docked]:
        """Dock molecules, each in its turn, in the order given."""
        texts = [smiles] if isinstance(smiles, str) else as_smiles_list(smiles)
        if texts:
            for name in ("vina", "meeko", *["posebusters"] * self.check_poses):
                _import(name)
        results: dict[str, Docked] = {}
        waiting = list(dict.fromkeys(texts))
        workers = [_Worker(self) for _ in range(min(count_workers(self.n_jobs), len(waiting)))]
        try:
            while waiting or any(worker.task is not None for worker in workers):
                for worker in workers:
                    if worker.task is None and waiting:
                        worker.begin(waiting.pop(0))
                for worker in _finished(workers):
                    docked = worker.take()
                    results[docked.smiles] = docked
        finally:
            for worker in workers:
                worker.stop()
        return [results[text] for text in texts]

    def table(self, smiles: str | Iterable[str]) -> pd.DataFrame:
        """One row a molecule: smiles, score (kcal/mol), isomer, problem, poses (SDF).

        With ``check_poses`` also strain (kcal/mol) and failed_checks, joined by "; ".
        """
        import pandas as pd

        columns = ["smiles", "score", "isomer", "problem", "poses"]
        docked = self.dock(smiles)
        table = pd.DataFrame([[getattr(d, c) for c in columns] for d in docked], columns=columns)
        if self.check_poses:
            table["strain"] = [d.strain for d in docked]
            table["failed_checks"] = ["; ".join(d.failed_checks) for d in docked]
        return table


class _Worker:
    """A process that docks one molecule at a time, and is replaced when it hangs or dies."""

    def __init__(self, docking: Docking) -> None:
        self.docking = docking
        self.task: str | None = None
        self.process: Any = None
        self.connection: Any = None
        self.until = math.inf

    def begin(self, smiles: str) -> None:
        if self.process is None or not self.process.is_alive():
            context = multiprocessing.get_context("spawn")
            self.connection, theirs = context.Pipe()
            self.process = context.Process(target=_serve, args=(theirs, self.docking), daemon=True)
            self.process.start()
            theirs.close()
        self.task = smiles
        self.until = time.monotonic() + self.docking.timeout
        self.connection.send(smiles)

    def take(self) -> Docked:
        """The result, or what went wrong."""
        assert self.task is not None
        smiles, self.task = self.task, None
        if self.connection.poll():
            try:
                return self.connection.recv()
            except (EOFError, OSError):
                self.stop()
                return Docked(smiles, math.nan, problem="the docking process died")
        self.stop()
        return Docked(smiles, math.nan, problem=f"not done after {self.docking.timeout:g} s")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.connection.close()
            self.process = None


def _finished(workers: Sequence[_Worker]) -> list[_Worker]:
    """Workers with an answer, dead or out of time; waits for the first."""
    busy = [worker for worker in workers if worker.task is not None]
    left = max(min(worker.until for worker in busy) - time.monotonic(), 0.0)
    ready = wait([worker.connection for worker in busy], left)
    now = time.monotonic()
    return [worker for worker in busy if worker.connection in ready or now >= worker.until]


def _serve(connection: Any, docking: Docking) -> None:
    """The process's own loop: the receptor is read and its maps are made once."""
    engine: Any = None
    while True:
        try:
            smiles = connection.recv()
        except (EOFError, OSError):
            return
        try:
            if engine is None:
                engine = _engine(docking)
            result = _dock(smiles, docking, engine)
        except MoleculeError as error:
            result = Docked(smiles, math.nan, problem=f"not a molecule: {error.reason}")
        except Exception as error:  # one bad ligand never ends a run
            text = " ".join(str(error).split()) or type(error).__name__
            result = Docked(smiles, math.nan, problem=text[:300])
        connection.send(result)


def _engine(docking: Docking) -> Any:
    receptor = docking.receptor
    assert isinstance(receptor, Receptor)
    engine = _import("vina").Vina(sf_name="vina", cpu=1, seed=docking.seed + 1, verbosity=0)
    engine.set_receptor(receptor.path)
    engine.compute_vina_maps(center=list(receptor.center), box_size=list(receptor.size))
    return engine


def _dock(smiles: str, docking: Docking, engine: Any) -> Docked:
    mol = parse(smiles)
    if "." in smiles:
        raise ValueError("several parts: take the salt off first (molgen standardize)")
    if mol.GetNumHeavyAtoms() > 100:
        raise ValueError(f"{mol.GetNumHeavyAtoms()} heavy atoms, more than 100")
    best: Docked | None = None
    problem = ""
    for isomer in enumerate_stereo(smiles, docking.max_isomers):
        try:
            score, poses = _dock_isomer(isomer, docking, engine)
        except ValueError as error:
            problem = str(error)
            continue
        if best is None or score < best.score:
            best = Docked(smiles, score, isomer, poses)
    if best is None:
        return Docked(smiles, math.nan, problem=problem)
    if docking.check_poses:
        pose = Chem.MolFromMolBlock(best.poses.partition("$$$$")[0], removeHs=False)
        assert isinstance(docking.receptor, Receptor)
        cost, failed = strain(pose, docking.seed), failed_checks(pose, docking.receptor)
        best = replace(best, strain=cost, failed_checks=failed)
    return best


def strain(pose: Chem.Mol, seed: int = 0, n_conformers: int = 30) -> float:
    """Energy of a pose above the ligand's best conformer, kcal/mol; NaN without parameters.

    MMFF94s with a distance-dependent dielectric of 4, which keeps charges within the ligand from
    deciding. The pose is relaxed first with its heavy atoms held within 0.3 Å, so that a bond a
    hair too long does not count; the best conformer is that of ``n_conformers`` embedded and
    relaxed ones and of the pose relaxed freely.

    Args:
        pose: A molecule with hydrogens and coordinates.
        seed: Of the conformers.

    Examples:
        >>> from rdkit import Chem
        >>> from rdkit.Chem import rdDistGeom
        >>> from molgen.scoring.docking import strain
        >>> butane = Chem.AddHs(Chem.MolFromSmiles("CCCC"))
        >>> _ = rdDistGeom.EmbedMolecule(butane, randomSeed=1)
        >>> -0.01 < strain(butane) < 3
        True
    """
    from rdkit.Chem import rdDistGeom
    from rdkit.Chem import rdForceFieldHelpers as fields

    def energy(mol: Chem.Mol, held: bool = False) -> float:
        properties = fields.MMFFGetMoleculeProperties(mol, "MMFF94s")
        properties.SetMMFFDielectricModel(True)
        properties.SetMMFFDielectricConstant(4.0)
        field = fields.MMFFGetMoleculeForceField(mol, properties)
        if held:
            for atom in mol.GetAtoms():
                if atom.GetAtomicNum() > 1:
                    field.MMFFAddPositionConstraint(atom.GetIdx(), 0.3, 100.0)
        field.Minimize(maxIts=2000)
        return fields.MMFFGetMoleculeForceField(mol, properties).CalcEnergy()

    if not fields.MMFFHasAllMoleculeParams(pose):
        return math.nan
    many = Chem.Mol(pose)
    numbers = list(rdDistGeom.EmbedMultipleConfs(many, n_conformers, randomSeed=seed))
    relaxed = [energy(Chem.Mol(many, confId=k)) for k in numbers]
    return energy(Chem.Mol(pose), held=True) - min(*relaxed, energy(Chem.Mol(pose)))


def failed_checks(pose: Chem.Mol, receptor: Receptor) -> tuple[str, ...]:
    """The checks of PoseBusters that a pose in a receptor fails, in its words."""
    table = _busters().bust(pose, None, _protein(receptor.path))
    return tuple(str(name) for name, passed in table.iloc[0].items() if not passed)


@lru_cache(maxsize=1)
def _busters() -> Any:
    return _import("posebusters").PoseBusters(config="dock_fast")


@lru_cache(maxsize=4)
def _protein(path: str) -> Chem.Mol:
    """Atoms of a PDBQT file where they lie, without bonds."""
    lines = [
        f"{line[:66]:76}{_ELEMENTS.get(line[77:79].strip(), line[77:79].strip()):>2}"
        for line in Path(path).read_text("utf-8", "replace").splitlines()
        if line.startswith(("ATOM", "HETATM"))
    ]
    return Chem.MolFromPDBBlock("\n".join(lines), sanitize=False, proximityBonding=False)


def _dock_isomer(smiles: str, docking: Docking, engine: Any) -> tuple[float, str]:
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

    meeko = _import("meeko")
    mol = Chem.AddHs(parse(smiles))
    if rdDistGeom.EmbedMolecule(mol, randomSeed=docking.seed) < 0:
        settings: Any = rdDistGeom.ETKDGv3()
        settings.randomSeed, settings.useRandomCoords = docking.seed, True
        if rdDistGeom.EmbedMolecule(mol, settings) < 0:
            raise ValueError("no three-dimensional structure could be made")
    if rdForceFieldHelpers.MMFFHasAllMoleculeParams(mol):
        rdForceFieldHelpers.MMFFOptimizeMolecule(mol, maxIters=1000)
    else:
        rdForceFieldHelpers.UFFOptimizeMolecule(mol, maxIters=1000)
    (setup,) = meeko.MoleculePreparation().prepare(mol)
    text, fine, reason = meeko.PDBQTWriterLegacy.write_string(setup)
    if not fine:
        raise ValueError(f"meeko: {reason}")
    engine.set_ligand_from_string(text)
    engine.dock(exhaustiveness=docking.exhaustiveness, n_poses=docking.n_poses)
    energies = [float(row[0]) for row in engine.energies(n_poses=docking.n_poses)]
    written = meeko.PDBQTMolecule(engine.poses(n_poses=docking.n_poses), skip_typing=True)
    (posed,) = meeko.RDKitMolCreate.from_pdbqt_mol(written)
    records = []
    for conformer, energy in zip(posed.GetConformers(), energies):
        block = Chem.MolToMolBlock(posed, confId=conformer.GetId())
        records.append(f"{block}>  <score>\n{energy:.3f}\n\n>  <smiles>\n{smiles}\n\n$$$$\n")
    return energies[0], "".join(records)
