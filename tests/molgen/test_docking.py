"""Docking: the same seed the same score, a bad ligand its own row, poses that are the molecule."""

from __future__ import annotations

import math

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdMolTransforms
from typer.testing import CliRunner

import molgen
from molgen.chem.parsing import canonical
from molgen.cli import app
from molgen.scoring.docking import Docking, Receptor, failed_checks, strain, target_names

vina = pytest.importorskip("vina")
pytest.importorskip("meeko")

PHENOL = "Oc1ccccc1"


@pytest.fixture(scope="module")
def receptor(tmp_path_factory) -> Receptor:
    """A ring of carbons and oxygens around an empty middle."""
    lines = []
    for i in range(24):
        x, y = 6 * math.cos(i * math.pi / 12), 6 * math.sin(i * math.pi / 12)
        kind = "OA" if i % 3 == 0 else "C "
        lines.append(
            f"ATOM  {i + 1:5d}  C   LIG A   1    {x:8.3f}{y:8.3f}{0:8.3f}  1.00  0.00"
            f"    {0:6.3f} {kind}"
        )
    path = tmp_path_factory.mktemp("dock") / "ring.pdbqt"
    path.write_text("\n".join([*lines, "TER"]) + "\n")
    return Receptor(str(path), (0.0, 0.0, 0.0), (14.0, 14.0, 14.0), "ring")


def test_a_run_survives_bad_ligands_and_repeats(receptor) -> None:
    docking = Docking(receptor, seed=3, exhaustiveness=1, timeout=100)
    first = docking.dock([PHENOL, "xx", "CCO.Cl", "C[Si](C)(C)[Pt]"])
    assert math.isfinite(first[0].score) and first[0].score < 0
    assert [math.isnan(d.score) for d in first] == [False, True, True, True]
    assert "not a molecule" in first[1].problem and "several parts" in first[2].problem
    again = docking.dock([PHENOL])[0]
    assert (again.score, again.poses) == (first[0].score, first[0].poses)
    pose = Chem.MolFromMolBlock(first[0].poses.split("M  END")[0] + "M  END")
    assert canonical(pose) == canonical(PHENOL)


def test_poses_are_checked(receptor) -> None:
    pytest.importorskip("posebusters")
    docking = Docking(receptor, exhaustiveness=1, check_poses=True)
    row = docking.table([PHENOL]).iloc[0]
    assert -0.01 < row["strain"] < 3
    assert row["failed_checks"] == ""
    pose = Chem.MolFromMolBlock(row["poses"].partition("$$$$")[0], removeHs=False)
    bent = Chem.Mol(pose)
    ring = bent.GetConformer()
    place = ring.GetAtomPosition(2)
    place.z += 1.5
    ring.SetAtomPosition(2, place)
    assert strain(bent) > strain(pose) + 2
    assert {"bond_lengths", "aromatic_ring_flatness"} & set(failed_checks(bent, receptor))
    moved = Chem.Mol(pose)
    rdMolTransforms.TransformConformer(moved.GetConformer(), shift(6.0))
    assert any("protein" in name for name in failed_checks(moved, receptor))


def shift(x: float) -> np.ndarray:
    """A move along x, as a matrix."""
    matrix = np.eye(4)
    matrix[0, 3] = x
    return matrix


def test_what_takes_too_long_is_told(receptor) -> None:
    docked = Docking(receptor, timeout=0.05).dock([PHENOL])[0]
    assert math.isnan(docked.score) and "not done after 0.05 s" in docked.problem


def test_prepared_targets_are_read_as_files() -> None:
    pytest.importorskip("dockstring")
    assert len(target_names()) == 58
    drd2 = molgen.Receptor.named("drd2")
    assert drd2.name == "DRD2" and drd2.center == (9.25, 6.167, -7.0)
    with pytest.raises(ValueError, match="Did you mean"):
        molgen.Receptor.named("DRD22")


def test_wrong_boxes_and_files_are_refused(receptor, tmp_path) -> None:
    with pytest.raises(ValueError, match="edges above 0"):
        Receptor(receptor.path, (0, 0, 0), (0, 1, 1))
    with pytest.raises(ValueError, match="Cannot read"):
        Receptor(str(tmp_path / "none.pdbqt"), (0, 0, 0))
    (tmp_path / "a.pdb").write_text("ATOM\n")
    with pytest.raises(ValueError, match="no PDBQT"):
        Receptor(str(tmp_path / "a.pdb"), (0, 0, 0))


def test_the_command_writes_scores_and_poses(receptor, tmp_path) -> None:
    ligands = tmp_path / "l.smi"
    ligands.write_text(f"{PHENOL} phenol\nxx bad\n")
    done = CliRunner().invoke(app, [
        "dock", str(ligands), "--target", receptor.path, "--center", "0,0,0", "--size", "14,14,14",
        "--exhaustiveness", "1", "-o", str(tmp_path / "d.csv"), "--sdf", str(tmp_path / "p.sdf"),
    ])  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "1 molecules have no score" in done.output
    mols = [m for m in Chem.SDMolSupplier(str(tmp_path / "p.sdf")) if m is not None]
    assert mols and float(mols[0].GetProp("score")) < 0
    assert (tmp_path / "d.csv").read_text().count("phenol") == 1
    done = CliRunner().invoke(app, ["dock", str(ligands), "--target", receptor.path])
    assert done.exit_code == 2 and "--center" in done.output
