"""Manners of both programs: examples, letters, exit codes, messages as JSON, quiet and verbose."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

import molgen
import trial_sim
from molgen.cli import app as molgen_app
from trial_sim.cli import app as trial_app

PROGRAMS = {"molgen": molgen_app, "trial-sim": trial_app}


def commands():
    def under(command, path):
        if hasattr(command, "commands"):
            for name, one in command.commands.items():
                yield from under(one, [*path, name])
        else:
            yield tuple(path), command

    for name, app in PROGRAMS.items():
        yield from under(typer.main.get_command(app), [name])


ALL = dict(commands())


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_help_has_an_example_of_its_own_command(path):
    text = ALL[path].help or ""
    assert "Example:" in text or "Examples:" in text
    assert " ".join(path) in text.partition("Example")[2]


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_is_quiet_verbose_and_logs_as_json(path):
    options = {word for p in ALL[path].params for word in p.opts}
    assert {"--quiet", "-q", "--verbose", "-v", "--log-json"} <= options


#: What -n counts differs by command; that it says how many does not.
HOW_MANY = {"--n", "--rows", "--steps", "--calls", "--limit"}


def test_one_letter_has_one_meaning_in_both_programs():
    meanings: dict[str, set[str]] = {}
    for command in ALL.values():
        for parameter in command.params:
            letters = [w for w in parameter.opts if w[0] == "-" and w[1] != "-"]
            long = next((w for w in parameter.opts if w.startswith("--")), None)
            for letter in letters:
                meanings.setdefault(letter, set()).add(long)
    assert meanings.pop("-n") <= HOW_MANY
    assert {letter: found for letter, found in meanings.items() if len(found) > 1} == {}


@pytest.mark.parametrize("program", PROGRAMS)
def test_version_and_wrong_use(program):
    run = CliRunner().invoke
    version = molgen.__version__ if program == "molgen" else trial_sim.__version__
    assert run(PROGRAMS[program], ["--version"]).stdout == f"{program} {version}\n"
    assert run(PROGRAMS[program], ["no-such-command"]).exit_code == 2
    wrong = ["describe", "no.smi"] if program == "molgen" else ["design", "no.yaml"]
    plain = run(PROGRAMS[program], wrong)
    assert plain.exit_code == 2 and plain.stderr.lower().startswith("error: ")
    logged = run(PROGRAMS[program], [*wrong, "--log-json"])
    assert logged.exit_code == 2
    entries = [json.loads(line) for line in logged.stderr.splitlines()]
    assert entries[-1]["level"] == "error" and set(entries[0]) == {"time", "level", "message"}


def test_a_check_that_fails_is_exit_code_1(tmp_path):
    (tmp_path / "m.smi").write_text("O=C1C=CC(=O)C=C1\n")
    run = CliRunner().invoke
    assert run(molgen_app, ["filter", str(tmp_path / "m.smi"), "-f", "pains"]).exit_code == 1


def test_scoring_in_two_processes_is_scoring(monkeypatch):
    from molgen.scoring import objectives

    smiles = ["C" * (i % 9 + 1) + "O" for i in range(12)] + ["C1CC"]
    goals = ["maximise qed", "logp within 1 3"]
    taken = objectives.map_chunks

    def two(*arguments, **options):
        return taken(*arguments, chunk_size=7, **options)

    monkeypatch.setattr(objectives, "map_chunks", two)
    alone, shared = molgen.score(smiles, goals), molgen.score(smiles, goals, n_jobs=2)
    assert alone.equals(shared)
