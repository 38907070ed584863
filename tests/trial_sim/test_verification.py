"""Saved results are made again; what was changed, or cannot be made again, is said."""

import json
import shutil

import pandas as pd
import pytest
from typer.testing import CliRunner

import trial_sim as ts
from trial_sim.base.provenance import beside
from trial_sim.cli import app

STUDY = """
design:
  arms: {control: 1, treatment: 1}
  n_patients: 100
  accrual: {type: Accrual, rate: 20}
  looks: {type: EventLooks, events: [40]}
outcomes: {control_median: 12, hazard_ratio: 0.6}
scenarios:
  null: {control_median: 12, hazard_ratio: 1.0}
simulation: {n_trials: 30, seed: 4}
"""


def call(*arguments):
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    return done.exit_code, done.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("saved")
    design = ts.Design(
        arms={"control": 1, "treatment": 1},
        n_patients=100,
        accrual=ts.Accrual(rate=20),
        looks=ts.EventLooks([30, 60]),
        boundaries=ts.group_sequential((0.5, 1), efficacy="obrien_fleming"),
    )
    outcomes = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.6)
    ts.simulate(design, outcomes, n_trials=40, seed=3, first_trial=5).save(made / "run")
    (made / "study.yaml").write_text(STUDY, encoding="utf-8")
    assert call("simulate", made / "study.yaml", "-o", made / "table.csv")[0] == 0
    fitted = ts.fit(
        ts.load_trial("gehan"), "relapse", model="weibull", covariate_model="copula", seed=0
    )
    fitted.save(made / "gehan.model")
    for name, more in (("arm.csv", ["--arm", "6-MP", "-n", 30]), ("trial.parquet", [])):
        command = ["sample", made / "gehan.model", "-o", made / name, "--seed", 9, *more]
        assert call(*command)[0] == 0, call(*command)
    return made


@pytest.mark.parametrize("name", ["run", "run/run.json", "table.csv", "arm.csv", "trial.parquet"])
def test_every_kind_of_saved_result_is_made_again(folder, name):
    outcome = ts.verify(folder / name)
    assert outcome.passed and not outcome.notes, str(outcome)
    assert any("made again" in check for check in outcome.checks)
    code, told = call("verify", folder / name)
    assert code == 0 and "agrees with its record" in told


def test_a_record_says_how_where_and_of_what(folder):
    for place in (folder / "run" / "run.json", beside(folder / "arm.csv")):
        told = json.loads(place.read_text("utf-8"))
        assert {"numpy", "scipy", "numba", "python", "trial_sim"} <= set(told["versions"])
        assert told["platform"] and told["processor"] and "Philox" in told["random_numbers"]
        assert "commit" in told
    told = json.loads(beside(folder / "arm.csv").read_text("utf-8"))
    assert told["arguments"]["seed"] == 9 and len(told["inputs"]["model"]["sha256"]) == 64


def test_a_changed_number_and_a_changed_input_are_found(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    table = pd.read_csv(copy / "arm.csv")
    table.iloc[3, -2] += 1
    table.to_csv(copy / "arm.csv", index=False)
    outcome = ts.verify(copy / "arm.csv")
    assert outcome.discrepancies == ("arm.csv was changed after it was written",)
    run = json.loads((copy / "run" / "run.json").read_text("utf-8"))
    run["seed"] = 8
    (copy / "run" / "run.json").write_text(json.dumps(run), encoding="utf-8")
    outcome = ts.verify(copy / "run")
    assert any("run.json was changed" in text for text in outcome.discrepancies)
    assert any(text.startswith("trials") for text in outcome.discrepancies), str(outcome)
    code, told = call("verify", copy / "run")
    assert code == 1 and "DOES NOT agree" in told


def test_what_has_no_record_is_named(tmp_path):
    (tmp_path / "mine.csv").write_text("a\n1\n", encoding="utf-8")
    for path, sentence in (
        (tmp_path / "mine.csv", "mine.csv.provenance.json is not beside it"),
        (tmp_path, "holds no run.json"),
        (tmp_path / "absent.csv", "no file or folder"),
    ):
        with pytest.raises(ValueError, match=sentence):
            ts.verify(path)
