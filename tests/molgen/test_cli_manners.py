"""A job's manners: every byte arrives or the command fails, with one line and before the work."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import molgen
from benchmarks.molgen import faults
from molgen.chem.parsing import MAX_SMILES_LENGTH, MoleculeError, canonical, parse
from molgen.cli import app

LIMIT = 2_000


def run(*arguments: object, stdin: str | None = None):
    return CliRunner().invoke(app, [str(a) for a in arguments], input=stdin)


def in_a_process(arguments, stdout, unbuffered: bool, limit: int | None = None):
    """The command in a process of its own; ``limit`` is where its files are full."""

    def restrict() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    environment = {**os.environ, **({"PYTHONUNBUFFERED": "1"} if unbuffered else {})}
    code = "from molgen.cli import app; app()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, text=True,
        env=environment, preexec_fn=restrict, check=False, timeout=120,
    )  # fmt: skip


def one_error(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1 and "Traceback" not in stderr, stderr
    return lines[0]


@pytest.fixture
def molecules(tmp_path):
    path = tmp_path / "m.smi"
    path.write_text("".join(f"{'C' * (i % 50 + 1)}O m{i}\n" for i in range(400)))
    return path


@pytest.mark.parametrize("unbuffered", [True, False])
def test_a_disk_that_fills_ends_in_an_error(molecules, tmp_path, unbuffered):
    with (tmp_path / "out.csv").open("wb") as sink:
        done = in_a_process(["describe", molecules, "-p", "mw"], sink, unbuffered, LIMIT)
    assert done.returncode == 2
    assert "Cannot write to standard output: File too large" in one_error(done.stderr)


def test_a_table_stands_there_with_its_record_or_not_at_all(molecules, tmp_path):
    output = tmp_path / "out.csv"
    arguments = ["describe", molecules, "-p", "mw", "-o", output]
    done = in_a_process(arguments, subprocess.PIPE, True, LIMIT)
    assert done.returncode == 2 and "Cannot write" in one_error(done.stderr)
    assert [p.name for p in tmp_path.iterdir()] == ["m.smi"]


def test_a_closed_standard_output_is_one_line(molecules):
    code = "import os, sys; os.close(1); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    cli = "from molgen.cli import app; app()"
    done = subprocess.run(
        [sys.executable, "-c", code, "-c", cli, "describe", str(molecules), "-p", "mw"],
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    assert "standard output" in one_error(done.stderr).lower()


@pytest.mark.parametrize(
    "arguments",
    [
        ["describe", "{m}", "-o", "{t}/none/out.csv"],
        ["describe", "{m}", "-o", "{t}"],
        ["describe", "{m}", "--rejects", "{t}/none/bad.csv"],
        ["filter", "{m}", "--funnel", "{t}/none/f.svg"],
        ["score", "{m}", "-g", "maximise qed", "--save", "{t}/none/o.yaml"],
        ["draw", "{m}", "-o", "{t}/none/m.svg"],
        ["report", "{m}", "-o", "{t}/none/m.html"],
        ["evaluate", "{m}", "-o", "{t}/none/m.json"],
        ["encode", "{m}", "-o", "{t}/none/m.npz"],
        ["train", "{m}", "-o", "{m}/model"],
        ["near", "CCO", "--picture", "{t}/none/m.svg"],
        ["optimize", "-g", "maximise qed", "--log", "{t}/none/calls"],
    ],
    ids=lambda arguments: f"{arguments[0]} {arguments[-2]}",
)
def test_the_place_is_tried_before_the_work(molecules, tmp_path, monkeypatch, arguments):
    import molgen.files

    def no_work(*arguments: object, **options: object) -> None:
        raise AssertionError("the input was read before the place was tried")

    monkeypatch.setattr(molgen.files.molecule_files, "read_molecules", no_work)
    filled = [a.replace("{m}", str(molecules)).replace("{t}", str(tmp_path)) for a in arguments]
    outcome = run(*filled)
    assert outcome.exit_code == 2
    assert "Cannot write" in one_error(outcome.stderr)


def test_dash_writes_csv_to_standard_output():
    outcome = run("standardize", "-", "-o", "-", stdin="CC(=O)[O-].[Na+] acetate\n")
    assert outcome.stdout.splitlines()[1].startswith("CC(=O)O,acetate,")
    outcome = run("describe", "-", "-p", "mw", "--rejects", "-", stdin="CCO\nC1CC bad\n")
    assert "2,bad,C1CC,ring closure 1 is never closed" in outcome.stdout


def test_version_and_quiet():
    assert run("--version").stdout == f"molgen {molgen.__version__}\n"
    loud, still = (run("standardize", "-", *q, stdin="CCO\n") for q in ([], ["-q"]))
    assert "1 rows in" in loud.stderr and still.stderr == "" and still.stdout == loud.stdout
    warned = run("standardize", "-q", "-", stdin="CCO\nC1CC\n")
    assert warned.stderr == "1 row is set aside; --rejects FILE keeps them\n"
    assert run("describe", "-", "-p", "mw", stdin="C\n").stderr == ""  # no bar into a file


def test_one_gate_with_one_limit_of_length():
    long = "C" * (MAX_SMILES_LENGTH + 1)
    with pytest.raises(MoleculeError, match="5,001 characters, at most 5,000"):
        parse(long)
    with pytest.raises(MoleculeError, match="5,001 characters"):
        parse(f"CCO |{'a' * (MAX_SMILES_LENGTH - 5)}|")
    from molgen.generation.scaffolds.partial_structures import parse_scaffold
    from molgen.motifs.tree_tables import build_table
    from molgen.optimization.oracle import canonical as canonical_or_none

    assert canonical_or_none(long) is None
    with pytest.raises(ValueError, match="5,001 characters"):
        parse_scaffold(long)
    refused = build_table([long, "CCO"])[1]
    assert [(r.row, r.reason) for r in refused] == [(0, "5,001 characters, at most 5,000 are read")]


def test_extensions_of_smiles_are_read_or_refused():
    assert canonical("CC[C@@H](C)O |&3:2|") == canonical("C[C@H](O)CC |&1:1|")
    assert canonical("C[C@H](O)CC |a:1|") == canonical("C[C@H](O)CC")
    with pytest.raises(MoleculeError, match="names atom 9, and there are 5"):
        parse("C[C@H](O)CC |o1:9|")
    with pytest.raises(MoleculeError, match="is not CXSMILES"):
        parse("CCO |nonsense|")
    with pytest.raises(MoleculeError, match="blank or control character"):
        parse("CCO ethanol")


def test_no_fault_ends_in_silence():
    """One verb and format; ``python -m benchmarks faults`` tries nine verbs and three formats."""
    assert len(faults.VERBS) * len(faults.FAULTS) * len(faults.FORMATS) == 162
    results = faults.table(("describe",), (".parquet",))
    assert len(results) == 6
    assert not [found for found in results.values() if found.startswith("SILENT")], results
