"""The commands that use a generator: what they write, pipes, exit codes, rejects."""

from __future__ import annotations

import io
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from typer.testing import CliRunner

from molgen.cli import app
from molgen.generation.generator import load_model
from molgen.training.config import FINE_TUNING
from tests.molgen.test_motifs import read

LEAD = "Cc1ccc(C(=O)NC2CC2)cc1Cl"
MOLGEN = [sys.executable, "-c", "from molgen.cli import app; app()"]


def run(*arguments: object, stdin: str | None = None, code: int = 0):
    outcome = CliRunner().invoke(app, [str(a) for a in arguments], input=stdin)
    assert outcome.exit_code == code, outcome.output
    return outcome


@pytest.fixture
def model(small_folder) -> list[object]:
    return ["--model", small_folder]


def holds(smiles: str, pattern: str) -> bool:
    return Chem.MolFromSmiles(smiles).HasSubstructMatch(Chem.MolFromSmarts(pattern))


def test_sample_writes_lines_or_a_table_that_verifies(model, tmp_path) -> None:
    lines = run("sample", "-n", 20, "--seed", 3, *model).stdout.splitlines()
    assert len(lines) == 20 and all(Chem.MolFromSmiles(s) for s in lines)
    output = tmp_path / "out.csv"
    outcome = run("sample", "-n", 20, "--seed", 3, *model, "-o", output)
    assert outcome.stdout == "" and "20 molecules written" in outcome.stderr
    assert pd.read_csv(output)["smiles"].tolist() == lines
    assert "agrees with its record" in run("verify", output, "-n", 5).stdout


def test_sample_with_a_balance(model, tmp_path) -> None:
    output = tmp_path / "out.csv"
    outcome = run("sample", "-n", 20, "--balance", "sulfonamide=0.5", *model, "-o", output)
    table = pd.read_csv(output)
    assert len(table) == 20 and table["sulfonamide"].sum() >= 10
    assert "sulfonamide" in outcome.stderr and "asked" in outcome.stderr


def test_encode_and_decode_with_rejects(model, tmp_path) -> None:
    source, rejects = tmp_path / "in.smi", tmp_path / "bad.csv"
    source.write_text("CCO one\nC1CC\nc1ccccc1C(=O)NC two\nCC.CC three\n")
    for ending in (".npz", ".parquet"):
        latents = tmp_path / f"z{ending}"
        outcome = run("encode", source, "-o", latents, *model, "--rejects", rejects)
        assert "2 latents written" in outcome.stderr
        assert pd.read_csv(rejects)["line"].tolist() == [2, 4]
        lines = run("decode", latents, *model).stdout.splitlines()
        assert len(lines) == 2 and all(Chem.MolFromSmiles(s) for s in lines)
    np.savez(tmp_path / "wrong.npz", z=np.zeros((2, 3), np.float32))
    assert "expected (n, 16)" in run("decode", tmp_path / "wrong.npz", *model, code=2).stderr
    (tmp_path / "torn.npz").write_bytes((tmp_path / "z.npz").read_bytes()[:60])
    outcome = run("decode", tmp_path / "torn.npz", *model, code=2)
    assert "has no latents that can be read" in outcome.stderr


def test_near_says_what_changed_and_draws_it(model, tmp_path) -> None:
    output, picture = tmp_path / "near.csv", tmp_path / "near.svg"
    keep = "C(=O)NC1CC1"
    run("near", LEAD, "-n", 5, "--keep", keep, *model, "-o", output, "--picture", picture)
    table = pd.read_csv(output)
    assert len(table) == 5 and all(holds(s, keep) for s in table["smiles"])
    assert table["similarity"].between(0, 1).all() and table["change"].notna().all()
    svg = picture.read_text()
    assert svg.count("<g ") == 6 and "lead" in svg and "similarity" in svg
    assert len(run("near", LEAD, "-n", 5, *model).stdout.splitlines()) == 5


def test_interpolate_writes_the_path_and_draws_it(model, tmp_path) -> None:
    picture = tmp_path / "path.svg"
    outcome = run("interpolate", LEAD, "O=C(N)c1ccncc1", "-n", 5, *model, "--picture", picture)
    assert len(outcome.stdout.splitlines()) == 5
    assert "to start 1.00" in picture.read_text()


def test_scaffold_link_and_where(model, tmp_path) -> None:
    grown = run("scaffold", "c1ccc(C(=O)N[*:1])cc1", "-n", 6, *model).stdout.splitlines()
    assert len(set(grown)) == 6 and all(holds(s, "c1ccccc1C(=O)N") for s in grown)
    linked = run("link", "Fc1ccc([*:1])cc1", "[*:1]N1CCOCC1", "-n", 3, *model)
    assert all(holds(s, "Fc1ccccc1") for s in linked.stdout.splitlines())
    output = tmp_path / "where.csv"
    outcome = run(
        "where", "mw=:350", "smarts=c1ccccc1", "--scaffold", "O=C1CCCN1", "-n", 5, *model,
        "-o", output,
    )  # fmt: skip
    assert "% of the proposals were inside" in outcome.stderr
    found = pd.read_csv(output)["smiles"]
    assert len(found) == 5 and all(holds(s, "O=C1CCCN1") for s in found)
    assert all(holds(s, "c1ccccc1") for s in found)


def test_train_fine_tunes_and_keeps_rejects(model, small_folder, tmp_path) -> None:
    source, output, rejects = tmp_path / "in.smi", tmp_path / "tuned", tmp_path / "bad.csv"
    source.write_text("\n".join([*read("moses_sample")[:60], "C1CC", "CC.CC"]))
    arguments = ["--from", small_folder, "--steps", 2, "--prior-steps", 2, "--batch-size", 16]
    arguments += ["--rejects", rejects, "--dropout", 0.1]
    outcome = run("train", source, "-o", output, *arguments)
    counts = re.findall(r"(\d+) (?:molecules used|refused)", outcome.stderr)
    used, refused = (int(n) for n in counts)
    assert used + refused == 62 and refused >= 2
    assert f"the model is in {output}" in outcome.stderr
    table = pd.read_csv(rejects)
    unread = table[~table["reason"].str.contains("model does not have|the model writes")]
    assert len(table) == refused and unread["line"].tolist() == [61, 62]
    assert len(run("sample", "-n", 3, "--model", output).stdout.splitlines()) == 3
    settings = load_model(output).card["training"]
    assert (settings["n_steps"], settings["batch_size"], settings["dropout"]) == (2, 16, 0.1)
    assert settings["learning_rate"] == FINE_TUNING.learning_rate


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sample", "-n", "-3"], "n is -3"),
        (["sample", "--temperature", "-1"], "temperature is -1.0"),
        (["sample", "--model", "nowhere"], "nowhere"),
        (["sample", "--balance", "spiro"], "'spiro' is not a share"),
        (["sample", "--balance", "spyro=0.2"], "'spyro' is neither a chemotype"),
        (["sample", "-n", "2", "-o", "{folder}/file/x.csv"], "Cannot write"),
        (["near", "C1CC"], "ring closure 1 is never closed"),
        (["near", LEAD, "--radius", "-1"], "radius is -1.0"),
        (["near", LEAD, "--keep", "[Fe]"], "is not a part of"),
        (["interpolate", LEAD, "CCO", "-n", "1"], "n_steps is 1"),
        (["scaffold", "c1ccccc1.CCO"], "2 pieces"),
        (["scaffold", "FC(F)(F)F"], "no hydrogen"),
        (["scaffold", "C=[*:1]"], "single bond"),
        (["link", "c1ccccc1", "[*:1]C"], "0 exits; expected one"),
        (["where", "logp=9:1"], "low must not exceed high"),
        (["where", "lgop=1:3"], "logp"),
        (["where", "logp"], "is not a condition"),
        (["where", "logp=1"], "expected logp=low:high"),
        (["encode", "{folder}/no.smi", "-o", "z.npz"], "There is no file"),
        (["encode", "-", "-o", "z.txt"], "expected .npz or .parquet"),
        (["decode", "{folder}/no.npz"], "does not exist"),
        (["train", "{folder}/no.smi", "-o", "{folder}/m"], "There is no file"),
    ],
)
def test_wrong_input_ends_with_one_sentence(small_folder, tmp_path, arguments, message) -> None:
    (tmp_path / "file").write_text("")
    filled = [a.replace("{folder}", str(tmp_path)) for a in arguments]
    if "--model" not in filled and filled[0] != "train":
        filled += ["--model", str(small_folder)]
    outcome = run(*filled, stdin="CCO\n", code=2)
    errors = [line for line in outcome.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1 and message in errors[0]
    assert "Traceback" not in outcome.output


@pytest.mark.parametrize(
    "command",
    ["sample", "train", "encode", "decode", "near", "interpolate", "scaffold", "link", "where",
     "score", "optimize", "draw", "qsar fit", "qsar predict"],
)  # fmt: skip
def test_help_has_examples(command) -> None:
    text = run(*command.split(), "--help").stdout
    assert "Example" in text and f"molgen {command}" in text


def test_samples_go_through_a_pipe_of_real_processes(small_folder) -> None:
    command = [*MOLGEN, "sample", "-n", "30", "--model", str(small_folder)]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    second = subprocess.Popen(
        [*MOLGEN, "score", "-", "-g", "maximise qed", "-g", "mw at most 400", "--sort"],
        stdin=first.stdout,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert first.stdout is not None
    first.stdout.close()
    out, _ = second.communicate(timeout=120)
    assert first.wait(timeout=60) == 0 and second.returncode == 0
    table = pd.read_csv(io.StringIO(out))
    assert len(table) == 30 and table["score"].is_monotonic_decreasing


def test_a_reader_that_stops_early_is_no_error(small_folder) -> None:
    command = [*MOLGEN, "sample", "-n", "2000", "--model", str(small_folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.wait(timeout=120) in (0, 141)
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()


@pytest.mark.long
def test_optimize_resumes_and_its_table_makes_a_report(model, tmp_path) -> None:
    objective, log, output = (tmp_path / n for n in ("o.yaml", "calls.jsonl", "best.csv"))
    objective.write_text("components:\n- maximise qed\n- logp within 1 3\n")
    run("optimize", objective, "-n", 20, *model, "--log", log, "-o", output)
    outcome = run("optimize", objective, "-n", 30, *model, "--log", log, "-o", output)
    assert "30 calls, ended by budget" in outcome.stderr
    table = pd.read_csv(output)
    assert len(table) == 30 and table["score"].is_monotonic_decreasing
    assert {"qed", "qed (raw)", "logp", "logp (raw)"} <= set(table.columns)
    page = tmp_path / "best.html"
    run("report", output, "-o", page, "-r", "none")
    text = page.read_text()
    assert text.count('<article class="candidate"') == 12 and "mean of the ten best" in text
    other = tmp_path / "other.yaml"
    other.write_text("components:\n- minimise mw\n")
    outcome = run("optimize", other, "-n", 30, *model, "--log", log, code=2)
    assert "was written for another objective" in outcome.stderr
    assert "no objective file" in run("optimize", tmp_path / "no.yaml", *model, code=2).stderr
