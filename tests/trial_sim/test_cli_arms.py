import pandas as pd
import pytest
from typer.testing import CliRunner

from trial_sim.cli import app
from trial_sim.data.datasets import load_trial


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *args: CliRunner().invoke(app, [str(a) for a in args])


def test_fit_and_sample_from_csv_and_yaml(run, tmp_path):
    load_trial("veteran").patients.to_csv(tmp_path / "trial.csv", index=False)
    (tmp_path / "trial.yaml").write_text(
        "data: trial.csv\narm: trt\nid: id\ntime_unit: days\n"
        "covariates: [celltype, karno, age, prior]\n"
        "endpoints:\n  death: {kind: time_to_event, duration: time, event: status}\n"
    )
    done = run("fit", "trial.yaml", "-o", "model.npz", "--covariate-model", "cart")
    assert done.exit_code == 0, done.output
    assert "saved model.npz" in done.output
    done = run(
        "sample", "model.npz", "-o", "arm.csv", "--arm", "test", "-n", 40, "--where", "age > 60"
    )
    assert done.exit_code == 0, done.output
    made = pd.read_csv(tmp_path / "arm.csv")
    assert len(made) == 40 and (made["age"] > 60).all() and set(made["trt"]) == {"test"}
    done = run("sample", "model.npz", "-o", "none.csv", "--arm", "test", "-n", 0)
    assert done.exit_code == 2 and "received 0" in done.output
    done = run("sample", "model.npz", "-o", "missing/folder.csv", "-n", 3)
    assert done.exit_code == 2 and "missing" in done.output
    done = run("sample", "model.npz", "-o", "trial.parquet", "-n", 30)
    assert done.exit_code == 0 and len(pd.read_parquet(tmp_path / "trial.parquet")) == 60


def test_bad_input_is_one_sentence(run):
    done = run("fit", "colonn", "-o", "x.npz")
    assert done.exit_code == 2 and "did you mean 'colon'" in done.output
    done = run("sample", "missing.npz", "-o", "x.csv")
    assert done.exit_code == 2 and "no file" in done.output
    done = run("audit", "colon")
    assert done.exit_code == 2 and "--model" in done.output


def test_audit_of_a_synthetic_table_writes_a_report(run, tmp_path):
    assert run("fit", "gehan", "-o", "m.npz", "--model", "cox").exit_code == 0
    assert run("sample", "m.npz", "-o", "made.csv").exit_code == 0
    done = run("audit", "gehan", "--synthetic", "made.csv", "--endpoint", "relapse", "-o", "a.html")
    assert done.exit_code in (0, 1), done.output  # 1: a measure is red, the report stands
    assert "fidelity" in done.output and "<html" in (tmp_path / "a.html").read_text()[:500]
