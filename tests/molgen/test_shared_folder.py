"""A shared folder is attacked as a folder: vocabulary, table of precedent, what can be read."""

import shutil

import numpy as np
import pytest
from rdkit import Chem
from sklearn.metrics import roc_auc_score

import molgen
from molgen.auditing.assessment import audit
from molgen.auditing.sets import read_sets
from molgen.auditing.shared_folder import (
    folder_attacks,
    groups_of,
    measure_files,
    motifs_held,
    names_in,
)
from molgen.precedent.files import NAME
from tests.molgen.test_motifs import read


@pytest.fixture(scope="module")
def sets():
    """Members that the small model learned from, drugs that it did not see."""
    members = read("moses_sample")[:300]
    inside, outside, _ = read_sets(members, read("moses_sample")[1000:1300])
    return members, inside, outside


@pytest.fixture(scope="module")
def shared(small_folder, tmp_path_factory):
    """What may be shared of the small model, of which the vocabulary needs five of a motif."""
    folder = tmp_path_factory.mktemp("shared") / "model"
    shutil.copytree(small_folder, folder)
    for path in folder.iterdir():
        if path.name not in ("model.json", "model.safetensors"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return folder


def area(attack) -> float:
    scores = np.nan_to_num(np.concatenate([attack.members, attack.others]), neginf=-1e9)
    return roc_auc_score(np.repeat([1, 0], [len(attack.members), len(attack.others)]), scores)


def test_groups_are_both_sides_of_each_single_bond():
    assert sorted(groups_of("CCO")) == ["*C", "*CC", "*CO", "*O"]
    assert sorted(groups_of("Cc1ccccc1")) == ["*C", "*c1ccccc1"]
    assert groups_of("c1ccccc1") == [] and groups_of("C=C") == []


def test_a_vocabulary_of_secret_molecules_tells_them(shared, sets):
    _, inside, outside = sets
    model = molgen.load_model(shared)
    held = motifs_held(model, inside)
    listed = set(model.network.vocabulary.motifs)
    alone = [i for i, s in enumerate(inside.smiles) if s in listed]  # one motif, and a known one
    assert all(held[i] == 1 for i in alone) and held.max() == 1 and held.min() >= 0
    (attack,) = folder_attacks(shared, model, inside, outside)
    assert attack.name == "vocabulary" and 0.5 <= area(attack) < 0.65
    drugs = [s.split()[0] for s in read("approved_drugs")[:400]]
    flat = {Chem.CanonSmiles(s, useChiral=0) for s in drugs if "." not in s} - set(inside.smiles)
    others, _, _ = read_sets(sorted(flat)[:200], read("moses_sample")[1000:1060])
    (attack,) = folder_attacks(shared, model, inside, others)
    assert area(attack) > 0.62  # another kind of molecules has motifs that it never saw


@pytest.mark.parametrize(("least", "low", "high"), [(1, 0.95, 1.0), (5, 0.5, 0.75)])
def test_a_table_of_precedent_of_secret_molecules_tells_them(shared, sets, least, low, high):
    members, inside, outside = sets
    molgen.build_precedent(members, shared / NAME, least=least, least_at_context=least)
    molgen.load_precedent.cache_clear()
    attacks = folder_attacks(shared, molgen.load_model(shared), inside, outside)
    (shared / NAME).unlink()
    table = next(a for a in attacks if a.name == "table of precedent")
    assert low <= area(table) <= high


def test_files_of_a_training_run_and_molecules_in_texts_are_found(small_folder, shared, sets):
    _, inside, outside = sets
    run = {m.measure: m for m in measure_files(small_folder, inside, outside)}
    assert run["files of the training run"].verdict == "fail"
    assert "trees" in run["files of the training run"].reading
    good = {m.measure: m.verdict for m in measure_files(shared, inside, outside)}
    assert set(good.values()) == {"pass"}
    note = shared / "note.txt"
    note.write_text("refused: " + ", ".join(f'"{s}"' for s in inside.smiles[:40]))
    told = {m.measure: m for m in measure_files(shared, inside, outside)}
    note.unlink()
    read_back = told["molecules that can be read in the files"]
    assert read_back.verdict == "fail" and "40 of 300 members" in read_back.reading


def test_the_audit_of_a_folder_says_what_was_attacked(shared, sets):
    _, inside, outside = sets
    report = audit(
        shared, inside.smiles[:60], outside.smiles[:60], n_samples=100, shadow_models=0,
        canaries=0, series=0,
    )  # fmt: skip
    files = ", ".join(names_in(shared))
    assert files == "model.json, model.safetensors"
    assert report.attacked.startswith(f"Attacked: the folder ({files}): the model ")
    assert report.to_html().count("Attacked: the folder") == 1
    assert report.measure("AUC", "vocabulary") and report.measure("files of the training run")
