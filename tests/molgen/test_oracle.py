"""The counted oracle: budget, cache, log, failures, and PMO's area under the curve."""

import json
import math

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import QED, Crippen

from molgen.optimization.oracle import Oracle, top_k_auc


def length_score(smiles):
    return [len(text) / 10 for text in smiles]


def test_only_new_valid_molecules_cost_a_call():
    oracle = Oracle(length_score, n_calls=3)
    assert oracle(["CCO", "OCC", "C1CC", "C"]).tolist() == [0.3, 0.3, 0.0, 0.1]
    assert oracle.used == 2
    assert oracle(["CCO"]).tolist() == [0.3]
    assert oracle.used == 2 and oracle.remaining == 1
    answers = oracle(["CC", "CCC", "CCO"])
    assert answers[0] == 0.2 and math.isnan(answers[1])
    assert oracle.finished and oracle.used == 3
    assert [call.smiles for call in oracle.best(2)] == ["CCO", "CC"]
    assert [call.number for call in oracle.history] == [1, 2, 3]


def test_failures_cost_one_molecule_its_score():
    def moody(smiles):
        if "N" in smiles:
            raise RuntimeError("boom")
        return [0.5 if text != "F" else math.nan for text in smiles]

    oracle = Oracle(moody, n_calls=10)
    assert oracle(["C", "N", "F"]).tolist() == [0.5, 0.0, 0.0]
    assert "boom" in oracle.history[1].error
    assert "nan" in oracle.history[2].error
    assert oracle.history[0].error is None


def test_wrong_number_of_answers_is_a_failure():
    oracle = Oracle(lambda smiles: [0.5], n_calls=10)
    assert oracle(["C", "CC"]).tolist() == [0.5, 0.5]  # asked again, one at a time
    oracle = Oracle(lambda smiles: [], n_calls=10)
    assert oracle(["C"]).tolist() == [0.0]
    assert "returned 0 values for 1" in oracle.history[0].error


def test_a_scorer_that_hangs_costs_one_molecule_its_score():
    def hanging(smiles):
        while "N" in smiles:
            pass
        return [0.5] * len(smiles)

    oracle = Oracle(hanging, n_calls=10, timeout=0.3)
    assert oracle(["C", "N", "F"]).tolist() == [0.5, 0.0, 0.5]
    assert "no answer within 0.3 s" in oracle.history[1].error


def test_an_objective_whose_batch_fails_is_halved():
    class Moody:
        def score_with_components(self, smiles):
            if "N" in smiles:
                raise RuntimeError("boom")
            return [(0.5, {"a": 1.0}, None) for _ in smiles]

        def __call__(self, smiles):
            raise AssertionError("not asked")

    oracle = Oracle(Moody(), n_calls=10)
    assert oracle(["C", "N", "F"]).tolist() == [0.5, 0.0, 0.5]
    assert oracle.history[0].components == {"a": 1.0} and "boom" in oracle.history[1].error


def test_a_run_goes_on_from_its_log(tmp_path):
    path = tmp_path / "log.jsonl"
    asked = []

    def counted(smiles):
        asked.extend(smiles)
        return length_score(smiles)

    first = Oracle(counted, n_calls=10, log=path, identity="x")
    first(["C", "CC"], ["a", "b"])
    second = Oracle(counted, n_calls=10, log=path, identity="x")
    assert second.history == first.history
    second(["CC", "CCC"])
    assert asked == ["C", "CC", "CCC"] and second.used == 3
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row.get("number") for row in rows] == [None, 1, 2, 3]
    assert rows[1]["origin"] == "a"


def test_a_torn_last_line_is_dropped(tmp_path):
    path = tmp_path / "log.jsonl"
    Oracle(length_score, log=path)(["C", "CC"])
    path.write_text(path.read_text()[:-9])
    resumed = Oracle(length_score, log=path)
    assert [call.smiles for call in resumed.history] == ["C"]
    resumed(["CC"])
    assert [call.smiles for call in Oracle(length_score, log=path).history] == ["C", "CC"]


def test_logs_of_other_things_are_refused(tmp_path):
    path = tmp_path / "log.jsonl"
    Oracle(length_score, log=path, identity="x")
    with pytest.raises(ValueError, match="another objective"):
        Oracle(length_score, log=path, identity="y")
    path.write_text("something else\n")
    with pytest.raises(ValueError, match="not an oracle log"):
        Oracle(length_score, log=path)


def test_components_are_logged(tmp_path):
    from molgen.scoring.objectives import Component, Objective

    objective = Objective([Component.maximise("qed"), Component.within("logp", 0, 3)])
    path = tmp_path / "log.jsonl"
    Oracle(objective, log=path, identity=objective.identity)(["CCO"])
    row = json.loads(path.read_text().splitlines()[1])
    assert set(row["components"]) == {"qed", "logp", "qed (raw)", "logp (raw)"}
    ethanol = Chem.MolFromSmiles("CCO")
    assert row["components"]["qed (raw)"] == pytest.approx(QED.qed(ethanol))
    assert row["components"]["logp (raw)"] == pytest.approx(Crippen.MolLogP(ethanol))
    assert 0 < row["components"]["logp"] <= 1
    assert 0 < row["score"] < 1


def test_time_limit():
    oracle = Oracle(length_score, time_limit=1e-9)
    assert oracle.finished and oracle.out_of_time


def test_bad_budgets():
    with pytest.raises(ValueError, match="n_calls"):
        Oracle(length_score, n_calls=0)
    with pytest.raises(ValueError, match="time_limit"):
        Oracle(length_score, time_limit=-1)
    with pytest.raises(ValueError, match="at least 1"):
        top_k_auc([0.5], 0, 10)


def test_auc_by_hand():
    # Constant 1 from the first call: a triangle over the first 100, then 1 up to the end.
    assert top_k_auc(np.ones(1000), 10, 1000) == pytest.approx((50 + 900) / 1000)
    # 100 calls of .2, then 100 of .6, budget 400: 0 -> .2 -> .6, carried.
    scores = [0.2] * 100 + [0.6] * 100
    expected = (100 * 0.1 + 100 * 0.4 + 200 * 0.6) / 400
    assert top_k_auc(scores, 10, 400) == pytest.approx(expected)
    # Fewer than k scores: the mean of those there are; 150 calls end between two readings.
    assert top_k_auc([1.0, 0.0], 10, 100) == pytest.approx((2 * 0.25 + 98 * 0.5) / 100)
    assert top_k_auc([0.2] * 100 + [0.6] * 50, 1, 150) == pytest.approx(
        (100 * 0.1 + 50 * 0.4) / 150
    )
    assert top_k_auc([], 10, 100) == 0.0
