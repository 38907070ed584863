"""What an attacker or a tired user would try: code in files, bombs, foreign paths, line ends."""

import gzip
import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import molgen
import trial_sim as ts
from benchmarks import history
from tools import fuzz, fuzz_mutations, fuzz_targets, licences

ROOT = Path(molgen.__file__).parent.parent
SOURCES = sorted([*ROOT.glob("molgen/**/*.py"), *ROOT.glob("trial_sim/**/*.py")])
EVERYWHERE = [
    *SOURCES,
    *ROOT.glob("benchmarks/**/*.py"),
    *ROOT.glob("tools/*.py"),
    *ROOT.glob("docs/*.py"),
]
GLOBAL_RANDOM = re.compile(
    r"np\.random\.(seed|rand|randn|randint|random|normal|uniform|choice|shuffle|permutation)\("
    r"|^\s*(import random|from random import)\b|\brandom\.seed\("
)
CODE_IN_FILES = re.compile(
    r"\bimport (pickle|dill|shelve|marshal|joblib)\b|\bpickle\.\w|\btorch\.load\("
    r"|yaml\.(unsafe_|full_)?load\("
    r"|(?<![\w.])(eval|exec)\(|allow_pickle=True|shell=True|os\.system\("
)


def lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines()


@pytest.mark.parametrize("path", EVERYWHERE, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_file_is_executed(path: Path) -> None:
    found = [line for line in lines(path) if CODE_IN_FILES.search(line)]
    # the developers' script that takes MOSES's pickled statistics apart, once
    assert path.name == "build_moses_data.py" or found == []


def test_nothing_uses_global_random_numbers() -> None:
    found = [
        f"{path.name}:{number}"
        for path in SOURCES
        for number, line in enumerate(lines(path), start=1)
        # DeepChem draws from NumPy's global state: seeded, and set back afterwards
        if GLOBAL_RANDOM.search(line) and "noqa: NPY002" not in line
    ]
    assert found == []


def test_text_files_are_opened_as_utf_8() -> None:
    command = [sys.executable, "-m", "ruff", "check", "--preview", "--select", "PLW1514", "--quiet"]
    done = subprocess.run(
        [*command, "molgen", "trial_sim"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_sources_end_lines_with_newline_alone() -> None:
    texts = [p for p in ROOT.glob("**/*.py") if ".venv" not in p.parts]
    assert [p.name for p in [*texts, *ROOT.glob("docs/**/*.md")] if b"\r" in p.read_bytes()] == []


def test_a_gzip_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from molgen.files import file_content

    monkeypatch.setattr(file_content, "LARGEST", 10_000)
    path = tmp_path / "bomb.smi.gz"
    path.write_bytes(gzip.compress(b"C\n" * 100_000))
    with pytest.raises(ValueError, match="more than 10,000 bytes"):
        molgen.read_molecules(path)


def test_a_zip_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trial_sim.base import storage

    monkeypatch.setattr(storage, "LARGEST", 10_000)
    content = io.BytesIO()
    np.savez_compressed(content, header=np.zeros(100_000, np.uint8))
    path = tmp_path / "bomb.npz"
    path.write_bytes(content.getvalue())
    assert zipfile.is_zipfile(path)
    with pytest.raises(ValueError, match="more than 10,000 bytes"):
        ts.load_fitted(path)


def test_aliases_that_multiply_are_harmless(tmp_path: Path) -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(
        f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60)
    )
    path = tmp_path / "bomb.yaml"
    path.write_text(bomb, encoding="utf-8")
    for read in (ts.read_trial, molgen.Objective.load, molgen.FilterSet.from_yaml):
        with pytest.raises(ValueError):
            read(path)


def test_a_long_constraint_or_smiles_is_refused_fast() -> None:
    import pandas as pd

    from molgen.chem.parsing import parse
    from trial_sim.data.constraints import holds

    with pytest.raises(ValueError, match="longer than"):
        holds(pd.DataFrame({"a": [1]}), "(" * 100_000)
    with pytest.raises(ValueError, match="characters"):
        parse("C" * 1_000_000)


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "C:\\evil", "a/b", "\x00", "CON"])
def test_names_in_records_are_never_paths(name: str, tmp_path: Path) -> None:
    """A title or an objective's name that looks like a path writes nothing elsewhere."""
    inside = tmp_path / "inside"
    inside.mkdir()
    molgen.Objective(["maximise qed"], name=name).save(inside / "objective.yaml")
    trial = ts.load_trial("gehan")
    fitted = ts.fit(trial, "relapse", model="weibull", covariate_model="copula")
    fitted.save(inside / "fitted.npz")
    design = ts.Design(
        arms={"control": 1, "treatment": 1}, n_patients=50, accrual=ts.Accrual(rate=20),
        looks=ts.EventLooks([20]),
    )  # fmt: skip
    outcomes = ts.PiecewiseExponential(control_median=6, hazard_ratio=0.6)
    result = ts.simulate(design, outcomes, n_trials=5, seed=1)
    ts.simulation_report(result, title=name).to_html(inside / "report.html")
    assert [p.name for p in tmp_path.rglob("*") if p.is_file() and p.parent != inside] == []
    assert "<script>" not in ts.simulation_report(result, title="<script>").to_html()


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_of_windows_are_read_as_ours(end: str, tmp_path: Path) -> None:
    table, spec, smi = (tmp_path / n for n in ("t.csv", "t.yaml", "m.smi"))
    rows = ["drug,age,time,dead", "A,50,3.5,1", "B,61,8,0", "A,47,2,0", "B,58,6,1"]
    table.write_bytes((end.join(rows) + end).encode())
    fields = ["data: t.csv", "arm: drug", "covariates: [age]", "endpoints:"]
    fields.append("  death: {kind: time_to_event, duration: time, event: dead}")
    spec.write_bytes((end.join(fields) + end).encode())
    assert ts.read_trial(spec).n_patients == 4
    smi.write_bytes(f"CCO ethanol{end}CCN{end}".encode())
    assert list(molgen.read_molecules(smi).smiles) == ["CCO", "CCN"]


def test_unmutated_seeds_of_the_fuzzer_are_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise mutations would be refused at the door and test nothing."""
    for name in ("mutate_text", "mutate_tree", "mutate_bytes"):
        monkeypatch.setattr(fuzz_mutations, name, lambda content, random: content)
    for target in fuzz_targets.make_targets():
        accepted = 0
        for case in range(12):
            outcome = fuzz.run_case(target, 0, case, tmp_path)
            accepted += outcome == "accepted"
        assert accepted, target.name


def test_mutated_input_is_refused_with_a_sentence() -> None:
    done, faults = fuzz.run(fuzz_targets.make_targets(), 3_000, seed=7, say=lambda text: None)
    assert done >= 3_000
    assert faults == []


def test_licences_are_judged() -> None:
    assert licences.judge("x", "MIT") == "permissive"
    assert licences.judge("x", "Apache-2.0 OR GPL-3.0") == "permissive"
    assert licences.judge("x", "GNU General Public License v3 (GPLv3)") == "refused"
    assert licences.judge("x", "MPL-2.0") == "refused"
    assert licences.judge("tqdm", "MPL-2.0 AND MIT") == "weak"
    assert licences.judge("x", "") == "unknown"


def test_every_dependency_is_permissive() -> None:
    found = licences.packages({"cluster"})
    assert len(found) > 50
    assert [p for p in found if p.verdict in ("refused", "unknown")] == []
    bill = licences.bill_of_materials(found)
    assert len(bill["components"]) == len(found)


def test_history_compares_entries(tmp_path: Path) -> None:
    path = tmp_path / "speed.jsonl"
    path.write_text('{"run": "a", "x": {"t": 2.0}, "n": 3}\n{"run": "b", "x": {"t": 1.0}}\n')
    before, after = history.entries(path)
    assert history.compare(before, after) == [("x.t", 2.0, 1.0, 0.5)]
    path.write_text("{\n")
    with pytest.raises(ValueError, match="line 1"):
        history.entries(path)
