"""GuacaMol and PMO tasks against the guacamol package's own values and hand-computed ones."""

import json
import math
from pathlib import Path

import pytest
from rdkit import Chem

from benchmarks.molgen.goal_directed_tasks import (
    AMLODIPINE,
    CELECOXIB,
    GUACAMOL,
    PMO,
    SITAGLIPTIN,
    Task,
    clip,
    down,
    formula_counts,
    guacamol_task_score,
    isomer,
    up,
)

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "golden" / "guacamol_scores.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize(
    ("task", "name"), list(zip(GUACAMOL, GOLDEN["scores"])), ids=lambda v: getattr(v, "name", v)
)
def test_equals_the_guacamol_package(task, name):
    ours = [task.score_smiles(smiles) for smiles in GOLDEN["smiles"]]
    assert ours == pytest.approx(GOLDEN["scores"][name], abs=1e-12)


def test_suites_are_complete():
    assert len({task.name for task in GUACAMOL}) == 20
    assert len({task.name for task in PMO}) == 20
    assert {task.name for task in PMO} - {task.name for task in GUACAMOL} == {
        "isomers_c7h8n2o2",
        "qed",
    }


def test_modifiers_by_hand():
    assert clip(0.75)(0.375) == 0.5 and clip(0.75)(0.9) == 1.0
    assert down(4, 1)(4) == 1.0 and down(4, 1)(6) == pytest.approx(math.exp(-2))
    assert up(90, 10)(91) == 1.0 and up(90, 10)(70) == pytest.approx(math.exp(-2))


def test_isomer_score_by_hand():
    assert formula_counts("C9H10N2O2PF2Cl")["H"] == 10 and formula_counts("CH4")["C"] == 1
    # C11H24 asked, C10H22 given: G(10 - 11), G(22 - 24), total 32 against 35 with sigma 2.
    expected = (math.exp(-0.5) * math.exp(-2.0) * math.exp(-0.5 * 1.5**2)) ** (1 / 3)
    assert isomer("C11H24")(Chem.MolFromSmiles("CCCCCCCCCC")) == pytest.approx(expected)
    assert isomer("C11H24")(Chem.MolFromSmiles("CCCCCCCCCCC")) == 1.0


def test_targets_reach_what_they_can():
    assert Task("celecoxib_rediscovery").score_smiles(CELECOXIB) == 1.0
    # amlodipine has two rings: similarity 1 and G(2 - 3, 0.5) under a geometric mean
    assert Task("amlodipine_mpo").score_smiles(AMLODIPINE) == pytest.approx(
        math.sqrt(math.exp(-2.0))
    )
    # sitagliptin itself is too similar: G(1 - 0, 0.1) alone is not 1
    assert Task("sitagliptin_mpo").score_smiles(SITAGLIPTIN) == pytest.approx(
        math.exp(-0.5 * 100) ** 0.25
    )


def test_invalid_molecules_and_unknown_tasks():
    assert Task("qed").score_smiles("C1CC") == -1.0 and Task("qed").score_smiles("") == -1.0
    with pytest.raises(ValueError, match="unknown task 'penalised_logp'"):
        Task("penalised_logp")


def test_task_score_pads_with_zeros_and_ignores_stereo():
    task = Task("median1", (1, 10))
    molecules = ["C[C@H](F)Cl", "C[C@@H](F)Cl", "CC(F)Cl", "CCO", "not a molecule"]
    assert guacamol_task_score(task, molecules, [0.2, 0.4, 0.3, 0.1, 1.0]) == pytest.approx(
        (0.4 + (0.4 + 0.1) / 10) / 2
    )
