"""Saved results are made again; what was changed, or cannot be made again, is said."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import uniform
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
what_if: {variations: {hazard_ratio: [0.5, 0.8]}, n_trials: 40, seed: 2}
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
    patients = pd.DataFrame(
        {"enrolment": np.arange(60) / 20, "dropout": 0, "arm": ["control", "treatment"] * 30}
    )
    patients["time"] = 3.0 - patients["enrolment"]
    patients["event"] = ([0] * 5 + [1]) * 10
    patients.loc[patients["event"] == 1, "time"] /= 2
    patients.to_csv(made / "patients.csv", index=False)
    ts.load_trial("gehan").patients.to_csv(made / "gehan.csv", index=False)
    (made / "gehan.yaml").write_text(SPEC, encoding="utf-8")
    study, own = made / "study.yaml", made / "gehan.yaml"
    ongoing = [made / "patients.csv", "--cutoff", 3, "--n-draws", 60]
    saved = ["-o", made / "months.csv", "--html", made / "page.html", "--save", made / "june.json"]
    for command in (
        ["fit", own, "-o", made / "own.model", "--model", "weibull", "--covariate-model", "copula"],
        ["fit", "gehan", "-o", made / "private.model", "--epsilon", 2],
        ["design", study, "-o", made / "design.yaml"],
        ["what-if", study, "-o", made / "grid.csv", "--plot", made / "grid.svg"],
        ["report", study, made / "report.html"],
        ["simulate", study, "--report", made / "report.json", "--n-trials", 20],
        ["report", study, made / "report.md"],
        ["predict", study, *ongoing, *saved],
    ):
        code, told = call(*command)
        assert code == 0, told
    code, told = call(
        "audit", own, "--synthetic", made / "trial.parquet", "-o", made / "audit.html", "--seed", 3
    )
    assert code in (0, 1) and (made / "audit.html").exists(), told
    return made


SPEC = """
data: gehan.csv
arm: treat
arms: [control, 6-MP]
endpoints: {relapse: {kind: time_to_event, duration: time, event: event}}
"""
SIMULATED = ["run", "run/run.json", "table.csv", "arm.csv", "trial.parquet"]
WRITTEN = [
    "own.model", "design.yaml", "grid.csv", "grid.svg", "report.html", "report.json", "report.md",
    "months.csv", "page.html", "june.json", "audit.html",
]  # fmt: skip


@pytest.mark.parametrize("name", [*SIMULATED, *WRITTEN])
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


def test_every_record_has_seed_versions_and_digests(folder):
    seeds = {"own.model": 0, "audit.html": 3, "grid.csv": 2, "report.html": 4, "june.json": 0}
    for name in WRITTEN:
        told = json.loads(beside(folder / name).read_text("utf-8"))
        assert told["sha256"] == hashlib.sha256((folder / name).read_bytes()).hexdigest()
        assert {"versions", "platform", "processor", "commit", "random_numbers"} <= set(told)
        assert all(len(entry["sha256"]) == 64 for entry in told["inputs"].values())
        assert told["arguments"].get("seed") == seeds.get(name, told["arguments"].get("seed"))
        assert "seed" in told["arguments"] or name == "design.yaml"
    read = json.loads(beside(folder / "own.model").read_text("utf-8"))["inputs"]
    assert set(read) == {"trial", "table"}


def test_what_differs_from_what_is_made_again_is_found(folder, tmp_path):
    """The file is changed and its digest with it, so that only making it again tells."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)

    def forge(name, changed):
        changed(copy / name)
        record = json.loads(beside(copy / name).read_text("utf-8"))
        record["sha256"] = hashlib.sha256((copy / name).read_bytes()).hexdigest()
        beside(copy / name).write_text(json.dumps(record), encoding="utf-8")
        return ts.verify(copy / name)

    def in_text(path):
        text = path.read_text("utf-8")
        at = re.search(r"\d\.\d", text).start()
        path.write_text(text[:at] + "7.7" + text[at + 3 :], encoding="utf-8")

    for name in ("grid.csv", "report.json", "june.json", "months.csv"):
        outcome = forge(name, in_text)
        assert not outcome.passed and "differ" in outcome.discrepancies[0], str(outcome)

    def other_fit(path):
        ts.fit(
            ts.load_trial("gehan"), "relapse", model="weibull", covariate_model="copula", seed=1
        ).save(path)

    assert not forge("own.model", other_fit).passed


def test_a_table_of_what_if_made_in_python_is_made_again(tmp_path):
    design = ts.Design(
        arms={"control": 1, "treatment": 1},
        n_patients=80,
        accrual=ts.Accrual(rate=20),
        looks=ts.EventLooks([40]),
    )
    outcomes = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.6)
    for variations, more in (
        ({("hazard_ratio", "n_patients"): [(0.5, 80), (0.7, 90)], "accrual.rate": [10, 20]}, {}),
        ({"looks": [ts.EventLooks([30]), ts.EventLooks([50])]}, {"sampling": "one_at_a_time"}),
        ({"hazard_ratio": (0.5, 0.9)}, {"sampling": "latin_hypercube", "n_points": 3}),
    ):
        table = ts.what_if(design, outcomes, variations, n_trials=30, seed=6, **more)
        outcome = ts.verify(table.save(tmp_path / "table.parquet"))
        assert outcome.passed and "every bit" in outcome.checks[-1], str(outcome)
    spread = {"hazard_ratio": uniform(0.5, 0.3)}
    table = ts.what_if(
        design, outcomes, spread, n_trials=30, sampling="latin_hypercube", n_points=3
    )
    outcome = ts.verify(table.save(tmp_path / "spread.csv"))
    assert outcome.passed and "cannot hold what was varied" in outcome.notes[0]


def test_what_cannot_be_made_again_says_why(folder, tmp_path):
    outcome = ts.verify(folder / "private.model")
    assert outcome.passed and "noise" in outcome.notes[0], str(outcome)
    # a digest of the data would give one patient away to whoever knows all others
    assert json.loads(beside(folder / "private.model").read_text("utf-8"))["inputs"] == {}
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    record = json.loads(beside(copy / "own.model").read_text("utf-8"))
    for entry in record["inputs"].values():
        entry["path"] = str(tmp_path / "moved" / Path(entry["path"]).name)
    beside(copy / "own.model").write_text(json.dumps(record), encoding="utf-8")
    assert not ts.verify(copy / "own.model").notes  # the same files stand beside it
    (copy / "gehan.csv").unlink()
    outcome = ts.verify(copy / "own.model")
    assert "not made again: an input is gone" in outcome.notes, str(outcome)


def test_what_has_no_record_is_named(tmp_path):
    (tmp_path / "mine.csv").write_text("a\n1\n", encoding="utf-8")
    for path, sentence in (
        (tmp_path / "mine.csv", "mine.csv.provenance.json is not beside it"),
        (tmp_path, "holds no run.json"),
        (tmp_path / "absent.csv", "no file or folder"),
    ):
        with pytest.raises(ValueError, match=sentence):
            ts.verify(path)
