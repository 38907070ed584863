"""Files of molgen's commands are made again by ``verify``, or a note says why not."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

import molgen
from molgen.cli import app

ALCOHOLS = ["C" * k + "O" for k in range(1, 13)]
RINGS = [f"c1ccc(cc1){tail}" for tail in ("C", "CC", "O", "N", "F", "Cl", "OC", "C#N")]


def call(*arguments):
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("written")
    molecules = made / "in.csv"
    rows = [f"{s},{0.3 * i + 0.1 * (i % 3):.2f}" for i, s in enumerate([*ALCOHOLS, *RINGS])]
    molecules.write_text("\n".join(["smiles,value", *rows]) + "\n")
    goals = ["-g", "maximise qed", "-g", "logp within 1 3"]
    start = made / "start.smi"
    start.write_text("\n".join(RINGS) + "\n")
    for command in (
        ["score", molecules, *goals, "--sort", "-o", made / "scores.csv"],
        ["draw", molecules, "-o", made / "grid.svg", "-s", "qed"],
        ["optimize", *goals, "-n", 12, "--model", "none", "--start", start, "--seed", 5,
         "-o", made / "best.csv"],
    ):  # fmt: skip
        call(*command)
    return made


@pytest.fixture(scope="module")
def more(folder):
    molecules, start = folder / "in.csv", folder / "start.smi"
    for command in (
        ["standardize", molecules, "-o", folder / "standard.parquet"],
        ["optimize", "-g", "maximise qed", "-n", 30, "--model", "none", "--start", start,
         "-o", folder / "found.csv", "--report", folder / "found.html"],
        ["qsar", "fit", molecules, "-o", folder / "model", "--target", "value", "--seed", 3],
        ["qsar", "predict", folder / "model", start, "-o", folder / "predicted.csv"],
        ["report", molecules, "-o", folder / "page.html", "-r", "none", "-f", "lipinski"],
        ["evaluate", molecules, "-r", start, "--metrics", "valid,IntDiv", "-o", folder / "m.json"],
    ):  # fmt: skip
        call(*command)
    return folder


def made_again(path):
    outcome = molgen.verify(path)
    assert outcome.passed and not outcome.notes, str(outcome)
    assert any("made again by the command" in text for text in outcome.checks), str(outcome)


def test_a_picture_is_made_again(folder):
    made_again(folder / "grid.svg")


@pytest.mark.long
@pytest.mark.parametrize(
    "name",
    ["scores.csv", "standard.parquet", "best.csv", "found.csv", "found.html", "model/model.json",
     "predicted.csv", "page.html", "m.json"],
)  # fmt: skip
def test_what_slower_commands_wrote_is_made_again(more, name):
    made_again(more / name)


def test_a_record_has_seed_versions_command_and_digests(folder):
    record = molgen.verify(folder / "best.csv", again=False).provenance
    assert record.seed == 5 and "Philox" in record.environment["random_numbers"]
    assert {"numpy", "rdkit", "python", "platform", "processor", "commit"} <= set(
        record.environment
    )
    assert record.command[0] == "optimize" and list(record.inputs) == [str(folder / "start.smi")]
    held = json.loads(Path(f"{folder / 'grid.svg'}.provenance.json").read_text("utf-8"))
    assert len(held["sha256"]) == 64 and held["command"][0] == "draw"


def test_a_forged_file_is_found_by_making_it_again(folder, tmp_path):
    """Digests are forged with the file."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    table, made = molgen.provenance.load_table(copy / "scores.csv")
    table.loc[2, "score"] = "0.987"
    molgen.provenance.save_table(table, copy / "scores.csv", made)
    outcome = molgen.verify(copy / "scores.csv")
    assert [d.row for d in outcome.discrepancies] == [3], str(outcome)
    assert not molgen.verify(copy / "scores.csv", again=False).discrepancies
    picture = (copy / "grid.svg").read_text("utf-8")
    (copy / "grid.svg").write_text(picture + " ", encoding="utf-8")
    outcome = molgen.verify(copy / "grid.svg")
    assert "changed after it was written" in str(outcome)


def test_what_cannot_be_made_again_says_why(folder, tmp_path):
    done = CliRunner().invoke(
        app, ["score", "-", "-g", "maximise qed", "-o", str(tmp_path / "piped.csv")], input="CCO\n"
    )
    assert done.exit_code == 0, done.output
    outcome = molgen.verify(tmp_path / "piped.csv")
    assert outcome.passed and "standard input" in outcome.notes[0]
    start = tmp_path / "start.smi"
    start.write_text("CCO\n")
    call("score", start, "-g", "maximise qed", "-o", tmp_path / "one.csv")
    start.write_text("CCN\n")
    assert "was changed since" in molgen.verify(tmp_path / "one.csv").notes[0]
    start.unlink()
    assert "is gone" in molgen.verify(tmp_path / "one.csv").notes[0]


def test_every_option_that_writes_is_known_as_one():
    import typer.main

    from molgen.cli import common
    from molgen.cli.common import check_folder, check_place, check_table_place
    from molgen.provenance import OUTPUT_WORDS

    def under(command):
        for one in getattr(command, "commands", {}).values():
            yield from under(one)
        if not hasattr(command, "commands"):
            yield command

    writes = {check_folder, check_place, check_table_place}
    for command in under(typer.main.get_command(app)):
        for parameter in command.params:
            told = getattr(parameter.callback, "__wrapped__", parameter.callback)
            if told in writes:
                assert parameter.opts[0] in OUTPUT_WORDS, (command.name, parameter.opts)
    assert common is not None
