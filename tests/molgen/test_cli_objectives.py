"""The commands score and qsar: what they write, and what they say when they cannot."""

import io
from pathlib import Path

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

objectives = pytest.importorskip("molgen.cli.objectives")
from molgen.cli import app  # noqa: E402

DATA = Path(__file__).parents[1] / "data" / "freesolv_sample.csv"
assert isinstance(app, typer.Typer)


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def molecules(tmp_path):
    path = tmp_path / "in.smi"
    path.write_text("CCO\nc1ccccc1\nCC(=O)Oc1ccccc1C(=O)O\n")
    return path


def test_score_by_statements_and_by_file(molecules, tmp_path):
    saved = tmp_path / "objective.yaml"
    result = run(
        "score", molecules, "--goal", "maximise qed", "--goal", "mw at most 100", "--save", saved
    )
    assert result.exit_code == 0, result.output
    table = pd.read_csv(io.StringIO(result.stdout))
    assert {"smiles", "qed", "qed (raw)", "mw", "mw (raw)", "score"} <= set(table.columns)
    assert table["score"].between(0, 1).all() and len(table) == 3
    assert "mw at most 100" in result.stderr
    output = tmp_path / "out.parquet"
    result = run("score", molecules, "--objective", saved, "--sort", "-o", output)
    assert result.exit_code == 0, result.output
    again = pd.read_parquet(output)
    assert again["score"].is_monotonic_decreasing
    assert sorted(again["score"].round(9)) == sorted(table["score"].round(9))


def test_score_says_what_is_wrong(molecules):
    for arguments, message in (
        (("--goal", "maximise loqp"), "Did you mean 'logp'"),
        ((), "give either an objective's file"),
        (("--objective", "none.yaml"), "no objective file"),
    ):
        result = run("score", molecules, *arguments)
        assert result.exit_code == 2
        assert message in result.stderr


def test_qsar_fit_and_predict(molecules, tmp_path):
    model = tmp_path / "model"
    result = run(
        "qsar", "fit", DATA, "--target", "expt", "-o", model, "--model", "gaussian_process",
        "--folds", 3,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "rmse" in result.stdout and "3-fold scaffold split" in result.stdout
    result = run("qsar", "predict", model, molecules)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(io.StringIO(result.stdout))
    assert table["smiles"].tolist()[0] == "CCO" and table["in_domain"].iloc[0]
    assert (table["lower"] < table["upper"]).all()
    goal = tmp_path / "goal.json"
    goal.write_text(
        '{"components": [{"property": "qsar", "goal": "at most", "high": -3, '
        f'"params": {{"model": "{model}"}}}}]}}'
    )
    result = run("score", molecules, "--objective", goal)
    assert result.exit_code == 0, result.output


def test_qsar_says_what_is_wrong(tmp_path):
    result = run("qsar", "fit", DATA, "--target", "logD", "-o", tmp_path / "m")
    assert result.exit_code == 2 and "no column 'logD'" in result.stderr
    result = run("qsar", "fit", tmp_path / "no.csv", "--target", "y", "-o", tmp_path / "m")
    assert result.exit_code == 2 and "no file" in result.stderr
