"""The log of commands of both programs: what a line holds, the chain, several writers, failures."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from molgen.cli import app as molgen_app
from trial_sim.base.run_log import append, check_log
from trial_sim.cli import app as trial_app

STUDY = """
design:
  arms: {control: 1, treatment: 1}
  n_patients: 100
  accrual: {type: Accrual, rate: 20}
  looks: {type: EventLooks, events: [40]}
outcomes: {control_median: 12, hazard_ratio: 0.6}
"""


def lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_both_programs_write_one_chain(tmp_path, monkeypatch):
    study, table, log = tmp_path / "study.yaml", tmp_path / "table.csv", tmp_path / "log.jsonl"
    study.write_text(STUDY)
    (tmp_path / "two.smi").write_text("CCO\nCCN\n")
    run = CliRunner().invoke
    simulate = ["simulate", str(study), "--n-trials", "20", "-o", str(table)]
    assert run(trial_app, [*simulate, "--log", str(log)]).exit_code == 0
    assert run(trial_app, ["--log", str(log), *simulate]).exit_code == 0  # the same bytes again
    assert run(trial_app, ["--log", str(log), "design", str(tmp_path / "no.yaml")]).exit_code == 2
    described = tmp_path / "described.csv"
    monkeypatch.setenv("MOLGEN_LOG", str(log))
    assert (
        run(molgen_app, ["describe", str(tmp_path / "two.smi"), "-o", str(described)]).exit_code
        == 0
    )
    monkeypatch.delenv("MOLGEN_LOG")
    found = lines(log)
    assert [e["exit_code"] for e in found] == [0, 0, 2, 0]
    assert [e["command"] for e in found] == ["simulate", "simulate", "design", "describe"]
    assert [e["program"] for e in found] == ["trial-sim"] * 3 + ["molgen"]
    for entry in found[:2]:
        assert entry["inputs"] == {str(study): digest(study)}
        assert entry["outputs"] == {str(table): digest(table)}
        assert entry["options"]["n_trials"] == 20 and entry["time"].endswith("+00:00")
    assert found[1]["replaced"] == {str(table): digest(table)} and not found[0]["replaced"]
    assert found[3]["outputs"] == {str(described): digest(described)}
    assert check_log(log) == (4, [], [])
    told = run(trial_app, ["verify", str(log)])
    assert told.exit_code == 0 and "the chain of 4 lines" in told.stdout
    assert run(molgen_app, ["verify", str(log)]).exit_code == 0
    described.write_text("other")
    assert "is not as the last command left it" in check_log(log)[2][0]


@pytest.mark.parametrize("fault", ["changed", "lost", "swapped", "cut"])
def test_a_line_that_was_changed_lost_or_moved_breaks_the_chain(fault, tmp_path):
    log = tmp_path / "log.jsonl"
    blank = {"time": "", "program": "", "command": "", "inputs": {}, "outputs": {}}
    for k in range(5):
        append(log, {**blank, "exit_code": k})
    assert check_log(log)[:2] == (5, [])
    held = log.read_text("utf-8").splitlines()
    if fault == "changed":
        held[2] = held[2].replace('"exit_code": 2', '"exit_code": 0')
    elif fault == "lost":
        del held[2]
    elif fault == "swapped":
        held[1], held[2] = held[2], held[1]
    else:
        held[4] = held[4][:30]
    log.write_text("\n".join(held) + ("" if fault == "cut" else "\n"), encoding="utf-8")
    assert check_log(log)[1]
    append(log, {**blank, "exit_code": 9})  # goes on, on a line of its own
    assert json.loads(log.read_text("utf-8").splitlines()[-1])["exit_code"] == 9


def test_lines_of_processes_at_the_same_time_do_not_mix(tmp_path):
    log = tmp_path / "log.jsonl"
    code = (
        "import sys; from trial_sim.base.run_log import append\n"
        "for k in range(40): append(sys.argv[1], {'time': '', 'program': 'x' * 3000,"
        " 'command': sys.argv[2], 'inputs': {}, 'outputs': {}, 'exit_code': k})"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, log, str(i)]) for i in range(4)]
    assert [process.wait() for process in running] == [0] * 4
    found = lines(log)
    assert check_log(log)[:2] == (160, [])
    for i in range(4):
        mine = [e["exit_code"] for e in found if e["command"] == str(i)]
        assert mine == list(range(40))


def test_a_log_that_cannot_be_written_stops_the_command_before_its_work(tmp_path):
    study, table = tmp_path / "study.yaml", tmp_path / "table.csv"
    study.write_text(STUDY)
    for place in (tmp_path, tmp_path / "absent" / "log.jsonl"):
        command = ["simulate", str(study), "-o", str(table), "--log", str(place)]
        done = CliRunner().invoke(trial_app, command)
        assert done.exit_code == 2 and "cannot be written" in done.stderr
        assert not table.exists()


def test_optimize_keeps_its_own_log_of_calls(tmp_path):
    """Before the command ``--log`` is the log of commands, after ``optimize`` that of calls."""
    log, calls = tmp_path / "log.jsonl", tmp_path / "calls.jsonl"
    (tmp_path / "start.smi").write_text("CCO\nCCN\nCCCO\n")
    command = ["optimize", "-g", "maximise qed", "-n", "5", "--model", "none",
               "--start", str(tmp_path / "start.smi"), "--log", str(calls)]  # fmt: skip
    done = CliRunner().invoke(molgen_app, ["--log", str(log), *command])
    assert done.exit_code == 0, done.output
    assert list(lines(log)[0]["outputs"]) == [str(calls)] and len(lines(calls)) >= 3


@pytest.mark.parametrize(
    ("program", "command", "told"),
    [
        ("molgen", ["describe", "x.csv", "-o", "x.csv"], "--output and molecules name one file"),
        ("molgen", ["describe", "x.csv", "--rejects", "link.csv"], "--rejects and molecules name"),
        ("molgen", ["filter", "-o", "o.csv", "x.csv", "--rejects", "./o.csv"], "written twice"),
        ("molgen", ["standardize", "./x.csv", "-o", "x.csv"], "read and then written over"),
        ("molgen", ["score", "x.csv", "-g", "maximise qed", "-o", "x.csv"], "--output and"),
        ("molgen", ["near", "x.csv", "-n", "1", "-o", "x.csv"], "--output and"),
        ("trial-sim", ["simulate", "x.csv", "-o", "x.csv"], "--output and study name one file"),
        ("trial-sim", ["sample", "x.csv", "-o", "x.csv"], "--output and model name one file"),
    ],
)
def test_no_command_writes_over_what_it_reads(program, command, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "x.csv"
    mine.write_text("smiles,id\nCCO,1\nC1CC,2\n")
    (tmp_path / "link.csv").symlink_to(mine)
    app = molgen_app if program == "molgen" else trial_app
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2 and told in done.stderr, done.output
    assert mine.read_text() == "smiles,id\nCCO,1\nC1CC,2\n"
    assert not (tmp_path / "o.csv").exists()
