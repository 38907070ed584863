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


ASSAY = pd.read_csv(DATA).head(60)


def test_qsar_reads_a_table_as_every_command_does(tmp_path):
    """Excel's UTF-16 with semicolons, another header, limits, gaps, a salt, a broken row."""
    signs = [">" if i % 10 == 0 else "=" for i in range(len(ASSAY))]
    cells = [f"{value:g}" for value in ASSAY["expt"]]
    cells[3], cells[4], cells[5] = "n.d.", "", "<-9"
    table = pd.DataFrame(
        {"ID": range(60), "SMILES": ASSAY["smiles"], "dG": cells, "Standard Relation": signs}
    )
    table.loc[59, "SMILES"] = "C1CC"
    path = tmp_path / "export.csv"
    path.write_bytes(table.to_csv(index=False, sep=";").encode("utf-16"))
    model, rejects = tmp_path / "model", tmp_path / "rejects.csv"
    result = run(
        "qsar", "fit", path, "--target", "dG", "-o", model, "--model", "gaussian_process",
        "--folds", 2, "--rejects", rejects,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "column Standard Relation is read as the relation" in result.stderr
    assert "7 values are limits" in result.stdout
    refused = pd.read_csv(rejects)
    assert refused["line"].tolist() == [5, 6, 61]
    assert refused["reason"].tolist()[:2] == ["no value"] * 2
    assert "ring closure 1" in refused["reason"][2] and refused["smiles"][2] == "C1CC"


def test_qsar_of_classes_units_and_several_columns(tmp_path):
    table = ASSAY.assign(
        outcome=["Active" if v < -3.5 else "Inactive" for v in ASSAY["expt"]],
        code=[2 if v < -3.5 else 1 for v in ASSAY["expt"]],
        units=["nM", "uM"] * 30,
    )
    path, model = tmp_path / "a.csv", tmp_path / "m"
    table.to_csv(path, index=False)
    fit = ("qsar", "fit", path, "-o", model, "--model", "gaussian_process", "--folds", 2)
    result = run(*fit, "--target", "expt")
    assert result.exit_code == 2 and "several units, nM (30), uM (30)" in result.stderr
    table.drop(columns="units").to_csv(path, index=False)
    result = run(*fit, "--target", "code")
    assert result.exit_code == 2 and "two numbers only, 1 and 2" in result.stderr
    result = run(*fit, "--target", "code", "--positive", "2")
    assert result.exit_code == 0 and "predicted: P(2)" in result.stdout, result.output
    result = run(*fit, "--target", "outcome", "--target", "expt")
    assert result.exit_code == 0 and "predicted: P(Active)" in result.stdout, result.output
    result = run("qsar", "predict", model, path)
    assert result.exit_code == 0, result.output
    found = pd.read_csv(io.StringIO(result.stdout))
    assert {"outcome P(Active)", "expt lower", "expt in_domain"} <= set(found.columns)
    assert len(found) == 60
