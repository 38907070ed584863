"""The commands describe, filter, evaluate, draw, report, verify."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from molgen.cli import app

DATA = Path(__file__).parents[1] / "data"


def run(*arguments: object, stdin: str | bytes | None = None, code: int = 0):
    outcome = CliRunner().invoke(app, [str(a) for a in arguments], input=stdin)
    assert outcome.exit_code == code, outcome.output
    return outcome


@pytest.fixture
def molecules(tmp_path) -> Path:
    path = tmp_path / "molecules.csv"
    path.write_text("id,smiles\na,CCO\nb,C1CC\nc,c1ccccc1C(=O)O\nd,\ne,O=C1C=CC(=O)C=C1\n")
    return path


def test_describe_writes_a_table_and_rejects(molecules, tmp_path):
    rejects = tmp_path / "bad.csv"
    outcome = run("describe", molecules, "-p", "mw,rings", "--rejects", rejects)
    table = pd.read_csv(io.StringIO(outcome.stdout))
    assert table.columns.tolist() == ["smiles", "id", "mw", "rings"]
    assert table["id"].tolist() == ["a", "c", "e"]
    assert not table["mw"].isna().any()
    assert table["rings"].tolist() == [0, 1, 1]
    assert f"2 rows are set aside; see {rejects}" in outcome.stderr
    bad = pd.read_csv(rejects)
    assert bad["line"].tolist() == [3, 5]
    assert bad["name"].tolist() == ["b", "d"]
    assert bad["smiles"].tolist() == ["C1CC", "d,"]
    assert bad["reason"].tolist() == [
        "ring closure 1 is never closed",
        "no value in column 'smiles'",
    ]


@pytest.mark.parametrize("ending", [".parquet", ".csv.gz", ".sdf", ".json"])
def test_describe_to_files_that_verify(molecules, tmp_path, ending):
    output = tmp_path / f"out{ending}"
    outcome = run("describe", molecules, "-p", "mw,logp", "-o", output)
    assert outcome.stdout == ""
    assert "3 rows written" in outcome.stderr
    assert "agrees with its record" in run("verify", output).stdout


def test_standardize_reports_what_it_did(tmp_path):
    source, output, rejects = (tmp_path / n for n in ("in.csv", "out.csv", "bad.csv"))
    source.write_text("id,smiles\na,CC(=O)[O-].[Na+]\nb,[Fe]\nc,CC(=O)O\nd,C1CC\n")
    outcome = run("standardize", source, "--deduplicate", "-o", output, "--rejects", rejects)
    assert "4 rows in, 1 out, 3 rejected" in outcome.stderr
    assert "changed: neutralised: 1" in outcome.stderr
    assert output.read_text() == (
        "smiles,id,input_smiles,line,changed,removed\n"
        "CC(=O)O,a,CC(=O)[O-].[Na+],2,fragments removed; neutralised,Sodium\n"
    )
    bad = pd.read_csv(rejects)
    assert bad["line"].tolist() == [3, 4, 5]
    assert bad["reason"].tolist() == [
        "a compound of the metal or unusual element Fe (iron)",
        "duplicate of line 2",
        "ring closure 1 is never closed",
    ]
    assert run("verify", output).exit_code == 0
    assert run("standardize", "-", stdin="OCC\n").stdout == "CCO\n"


def test_filter_keeps_what_passes(molecules, tmp_path):
    funnel = tmp_path / "funnel.csv"
    outcome = run("filter", molecules, "-f", "veber,pains", "--funnel", funnel)
    assert outcome.stdout == "CCO\ta\nc1ccccc1C(=O)O\tc\n"
    steps = pd.read_csv(funnel)
    assert steps["filter"].tolist() == ["not a molecule", "veber", "pains"]
    assert steps["fell"].tolist() == [1, 0, 1]
    assert "pains" in outcome.stderr


def test_filter_tells_why(molecules, tmp_path):
    output = tmp_path / "verdicts.csv"
    run("filter", molecules, "-f", "pains", "--all", "-o", output)
    table = pd.read_csv(output, keep_default_na=False)
    assert table["passed"].tolist() == [True, True, False]
    assert table["id"].tolist() == ["a", "c", "e"]
    assert table["reasons"][2].startswith("pains: quinone_A(370) (atoms ")
    assert run("verify", output).exit_code == 0


def test_filter_with_yaml_from_standard_input(tmp_path):
    rules = tmp_path / "rules.yaml"
    rules.write_text("filters:\n- mw: [null, 50]\n")
    outcome = run("filter", "-", "-f", rules, stdin="CCO one\nCCCCCC two\n")
    assert outcome.stdout == "CCO\tone\n"


def test_filter_says_with_its_exit_code_that_nothing_passed():
    assert run("filter", "-", "-f", "pains", stdin="O=C1C=CC(=O)C=C1\n", code=1).stdout == ""


def test_filter_lists_what_it_knows():
    text = run("filter", "--list").stdout
    assert "preset default: lipinski" in text
    assert "veber: rotatable_bonds <= 10, tpsa <= 140. Veber et al." in text
    assert "brenk: Brenk et al." in text


def test_evaluate_against_a_file(tmp_path):
    rows = gzip.decompress((DATA / "moses_sample.smi.gz").read_bytes()).decode().split()
    reference, train = tmp_path / "r.smi", tmp_path / "t.smi"
    reference.write_text("\n".join(rows[:30]))
    train.write_text("\n".join(rows[:10]))
    text = "\n".join([*rows[:20], "C1CC"])
    arguments = [
        "evaluate",
        "-",
        "-r",
        reference,
        "--train",
        train,
        "--metrics",
        "valid,Novelty,SNN",
    ]
    outcome = run(*arguments, stdin=text)
    values = dict(line.split() for line in outcome.stdout.splitlines())
    assert float(values["valid"]) == pytest.approx(20 / 21, abs=1e-4)
    assert values["SNN/Test"] == "1.0000"
    assert values["Novelty"] == "0.5000"
    run(*arguments, "-o", tmp_path / "m.json", stdin=text)
    assert json.loads((tmp_path / "m.json").read_text())["Novelty"] == 0.5


def test_draw_and_report(molecules, tmp_path):
    run("draw", molecules, "-o", tmp_path / "m.svg", "-s", "mw", "--highlight", "pains")
    svg = (tmp_path / "m.svg").read_text()
    assert "quinone_A(370)" in svg
    assert "mw 46.1" in svg
    metrics = tmp_path / "metrics.json"
    metrics.write_text('{"valid": 0.75}')
    page = tmp_path / "m.html"
    outcome = run("report", molecules, "-o", page, "-f", "veber,pains", "--metrics", metrics)
    assert "3 molecules reported" in outcome.stderr
    assert "0.75" in page.read_text()


def test_verify_finds_a_tampered_row(molecules, tmp_path):
    output = tmp_path / "out.csv"
    run("describe", molecules, "-p", "mw", "-o", output)
    output.write_text(output.read_text().replace("c1ccccc1C(=O)O", "c1ccccc1C(=O)N"))
    outcome = run("verify", output, code=1)
    assert "row 2: was changed after writing" in outcome.stdout
    assert "mw is 122.12" in outcome.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["describe", "missing.smi"], "There is no file missing.smi"),
        (["describe", "{molecules}", "-p", "weight"], "Unknown property 'weight'"),
        (["describe", "{molecules}", "-c", "smile"], "Did you mean 'smiles'"),
        (["describe", "{molecules}", "-o", "out.docx"], "Cannot tell how to write out.docx"),
        (["describe", "{molecules}", "-o", "{molecules}/x.csv"], "Cannot write"),
        (["describe", "{molecules}", "-j", "0"], "n_jobs must be"),
        (["filter", "{molecules}", "-f", "lipinsky"], "did you mean 'lipinski"),
        (["filter", "{molecules}", "-f", "no.yaml"], "There is no filter file no.yaml"),
        (["filter", "{molecules}", "--rejects", "{molecules}/x"], "Cannot write"),
        (["evaluate", "{molecules}", "--metrics", "FDC"], "Unknown metric 'FDC'"),
        (["evaluate", "{molecules}", "-r", "no.smi"], "There is no file no.smi"),
        (["draw", "{molecules}", "-o", "{molecules}/x.svg"], "Cannot write"),
        (["report", "{molecules}", "-o", "r.html", "--metrics", "no.json"], "Cannot read no.json"),
        (["verify", "{molecules}"], "provenance.json is not beside it"),
    ],
)
def test_wrong_input_ends_with_one_sentence(molecules, arguments, message):
    filled = [a.replace("{molecules}", str(molecules)) for a in arguments]
    outcome = run(*filled, code=2)
    errors = [line for line in outcome.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in outcome.output


@pytest.mark.parametrize(
    "command", ["standardize", "describe", "filter", "evaluate", "draw", "report", "verify"]
)
def test_help_has_examples(command):
    text = run(command, "--help").stdout
    assert "Example" in text
    assert f"molgen {command}" in text


def test_a_real_pipe_of_two_processes():
    molgen = [sys.executable, "-c", "from molgen.cli import app; app()"]
    first = subprocess.Popen(
        [*molgen, "filter", "-", "-f", "veber"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    second = subprocess.Popen(
        [*molgen, "describe", "-", "-p", "rings"],
        stdin=first.stdout,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert first.stdin is not None
    assert first.stdout is not None
    first.stdin.write(b"CCO\nc1ccccc1\n\xff\xfe\nC1CC\n")
    first.stdin.close()
    first.stdout.close()
    out, _ = second.communicate(timeout=60)
    assert first.wait(timeout=60) == 0
    assert second.returncode == 0
    assert out == "smiles,rings\nCCO,0\nc1ccccc1,1\n"
    assert first.stderr is not None
    assert b"2 rows are set aside" in first.stderr.read()
    first.stderr.close()
