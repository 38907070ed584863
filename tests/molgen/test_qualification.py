"""`molgen qualify`: every value passes, and a small change is caught; `doctor` in both packages."""

import importlib.metadata
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import molgen
from molgen.base import doctor
from molgen.batch.folder import BatchFolder
from molgen.cli import app
from molgen.filters.rules import RULES
from molgen.provenance import cases, qualification
from trial_sim.base import doctor as trial_doctor
from trial_sim.cli import app as trial_app

ROOT = Path(molgen.__file__).parent.parent

#: They load ChemNet (tests/molgen/test_evaluation.py runs it), or train (`make test-long`).
SLOW = {
    "metrics of MOSES": "evaluate",
    "training that stops at an audit": "train_audited",
    "privacy of one step": "train_privately",
    "an attack on a model": "audit",
    "classes in a balanced sample": "sample_balanced",
}


@pytest.fixture(scope="module")
def kit():
    with pytest.MonkeyPatch.context() as patch:
        for module in (qualification, qualification.model_cases):
            quick = tuple(c for c in module.cases() if c.name not in SLOW)
            patch.setattr(module, "cases", lambda quick=quick: quick)
        return molgen.qualify()


def test_every_value_is_within_its_tolerance(kit):
    assert kit.passed and kit.failures == (), str(kit)
    assert kit.n_values >= 900 and len(kit.sources) >= 10
    functions = {row["name"]: row["values"] for row in kit.matrix if row["kind"] == "function"}
    without = {name.removeprefix("molgen.") for name, n in functions.items() if not n}
    of_extras = {"protonate", "find_known", "view"}  # of dependencies that may not be installed
    assert len(functions) >= 33 and without - of_extras == set(SLOW.values())
    assert {r.case.requirement for r in kit.results} == {r.key for r in kit.requirements}
    by_name = {row["name"]: row["values"] for row in kit.matrix}
    assert min(by_name[f"molgen.{n}"] for n in ("describe", "standardize", "filter_molecules")) > 0
    assert "Traceability" in kit.to_html()


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(SLOW))
def test_slow_cases_are_within_their_tolerance(name):
    kit = molgen.qualify(only=name)
    assert kit.passed, str(kit)
    (row,) = [row for row in kit.matrix if row["name"] == f"molgen.{SLOW[name]}"]
    assert row["values"] > 0


def test_one_bit_of_a_fingerprint_is_caught(monkeypatch):
    bits = cases._bits().copy()
    bits[0, 5] ^= 1
    monkeypatch.setattr(cases, "_bits", lambda: bits)
    assert not molgen.qualify(only="similarity").passed


def test_a_limit_moved_by_one_dalton_is_caught(monkeypatch):
    rule = RULES["lipinski_strict"]
    moved = tuple(
        tuple(replace(c, high=501.0) if c.high == 500 else c for c in clause)
        for clause in rule.clauses
    )
    assert moved != rule.clauses
    monkeypatch.setitem(RULES, "lipinski_strict", replace(rule, clauses=moved))
    assert not molgen.qualify(only="filters").passed


def test_a_digit_of_an_atomic_weight_is_caught(monkeypatch):
    monkeypatch.setitem(cases.WEIGHTS, "C", 12.013)
    assert not molgen.qualify(only="molecular weight").passed


def test_the_command_writes_the_page_and_its_exit_code_tells(tmp_path, monkeypatch):
    command = ["qualify", "-o", str(tmp_path / "kit"), "--only", "scoring", "--no-pdf"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert {p.name for p in (tmp_path / "kit").iterdir()} == {
        "qualification.html", "qualification.json",
    }  # fmt: skip
    monkeypatch.setattr(cases, "sigmoid", lambda *a: np.zeros(4))
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1 and "1 of 2 cases FAIL" in done.output
    wrong = CliRunner().invoke(app, ["qualify", "--only", "scorin", "-o", str(tmp_path)])
    assert wrong.exit_code == 2 and "Did you mean 'scoring'?" in wrong.output


@pytest.mark.parametrize("command", [app, trial_app], ids=["molgen", "trial-sim"])
def test_doctor_finds_nothing_wrong_here(command, monkeypatch):
    # an editable installation may be older than the sources, and name what they no longer need
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for one in (doctor, trial_doctor):
        monkeypatch.setattr(one, "requires", lambda name: project["dependencies"])
    done = CliRunner().invoke(command, ["doctor"])
    assert done.exit_code == 0, done.output
    assert "nothing is wrong" in done.output and "Python 3." in done.output


def test_doctor_names_what_is_wrong(tmp_path, monkeypatch):
    def held(name):
        if name == "scipy":
            raise importlib.metadata.PackageNotFoundError(name)
        return "0.1" if name == "numpy" else importlib.metadata.version(name)

    class Other:
        version = "0.2.0"

    monkeypatch.setattr(doctor, "version", held)
    monkeypatch.setattr(doctor, "distribution", lambda name: Other)
    monkeypatch.setattr(doctor, "requires", lambda name: ["numpy>=1.26", "scipy>=1.11", "x>=1"])
    monkeypatch.setattr(doctor, "POSIX", {"no_such_module": "a batch"})
    (tmp_path / "empty.csv").touch()
    found = doctor.examine(tmp_path, {"*.csv": "trials"}, {"the cache": tmp_path / "a" / "b"})
    told = doctor.in_words(found)
    for sentence in (
        "numpy 0.1 is installed, numpy>=1.26 is needed",
        "scipy is not installed; pip install 'scipy>=1.11'",
        "another distribution named molgen (0.2.0) is installed",
        "has no no_such_module, which a batch needs; use WSL or a container",
        "is missing or empty (trials)",
        "5 of ",
    ):
        assert sentence in told, told


def test_a_batch_says_that_it_needs_posix(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with (
        pytest.raises(molgen.MolgenError, match="which this operating system lacks"),
        BatchFolder(tmp_path / "batch").locked(),
    ):
        pass
    assert not (tmp_path / "batch").exists()


def test_nothing_but_a_batch_needs_posix_modules():
    lines = [
        (path.name, line.strip())
        for package in ("molgen", "trial_sim")
        for path in (Path(molgen.__file__).parent.parent / package).rglob("*.py")
        for line in path.read_text("utf-8").splitlines()
    ]
    needed = {name for name, line in lines if line in ("import fcntl", "import resource")}
    assert needed - {"run_log.py"} == {"folder.py", "running.py"}  # the log has msvcrt instead
