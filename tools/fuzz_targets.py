"""What `tools.fuzz` feeds: each parser, with good input for the mutations to start from."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools import fuzz_mutations
from tools.fuzz_mutations import (
    Random,
    documents,
    json_texts,
    texts,
    trees,
)


@dataclass(frozen=True)
class Target:
    """A parser under test.

    Attributes:
        name: how the command calls it.
        share: its part of the cases; costly parsers get less.
        mutate: random numbers → mutated content.
        parse: feeds the content, which may be written into the folder first.
    """

    name: str
    share: float
    mutate: Callable[[Random], Any]
    parse: Callable[[Any, Path], Any]


def be_quiet() -> None:
    """No log lines of RDKit and of the packages while they refuse thousands of inputs."""
    from rdkit import RDLogger

    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]
    logging.disable(logging.CRITICAL)


def written(name: str, parse: Callable[[Path], Any]) -> Callable[[Any, Path], Any]:
    """Writes the content to a file of this name, then parses the file."""

    def run(content: Any, folder: Path) -> Any:
        path = folder / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_bytes(content.encode("utf-8", "surrogatepass"))
        return parse(path)

    return run


def make_targets() -> list[Target]:
    """Every parser of both packages."""
    return [*molecule_targets(), *trial_targets()]


SMILES = (
    "CC(=O)Oc1ccccc1C(=O)O", "C[C@H](N)C(=O)O", "F/C=C/F", "O=C([O-])c1cc[nH+]cc1.[Na+]",
    "CN1CCC[C@H]1c1cccnc1", "O=C(N[*:1])c1ccc2[nH]ncc2c1", "[2H]C([2H])([2H])O", "C1CC2(C1)CC2",
)  # fmt: skip
SMARTS = ("[#6]-[OH]", "c1ccccc1", "[NX3;H2,H1;!$(NC=O)]", "[$([#7]);R]")
OBJECTIVE = {
    "name": "mine",
    "aggregation": "geometric",
    "filters": ["veber"],
    "components": [
        {"property": "qed", "goal": "maximise", "weight": 2},
        {"property": "logp", "goal": "within", "low": 1, "high": 3},
        {"property": "similarity", "params": {"smiles": "c1ccccc1O"}, "hard": False},
        {"property": "mw", "transform": {"type": "sigmoid", "low": 200, "high": 400}},
    ],
}
FILTERS = [
    "veber",
    {"smarts": {"name": "mine", "patterns": ["[N+](=O)[O-]"]}},
    {"window": {"property": "logp", "low": 1, "high": 3}},
]
PLAN = {
    "n": 100, "model": "moses", "seed": 1, "filters": "default", "workers": 2,
    "properties": ["mw", "qed"],
    "deduplicate": "inchikey", "objective": OBJECTIVE, "select": {"n": 10, "method": "maxmin"},
    "known": [], "report": False, "timeout": 60, "cluster": {"kind": "local", "workers": 2},
}  # fmt: skip
REINVENT = {
    "run_type": "scoring",
    "scoring": {
        "type": "geometric_mean",
        "component": [
            {"QED": {"endpoint": [{"name": "qed", "weight": 1.0}]}},
            {"MolecularWeight": {"endpoint": [{"name": "mw", "weight": 0.5, "transform": {
                "type": "double_sigmoid", "low": 200, "high": 500, "coef_div": 500, "coef_si": 20,
                "coef_se": 20}}]}},
            {"custom_alerts": {"endpoint": [{"name": "a", "params": {"smarts": ["[*;r8]"]}}]}},
        ],
    },
}  # fmt: skip


def molecule_targets() -> list[Target]:
    """The parsers of molgen."""
    from molgen.base.parquet import parquet_bytes
    from molgen.batch.plan import RunPlan, Task
    from molgen.chem import parsing as chem
    from molgen.chem.description import describe
    from molgen.chem.standardization import standardize
    from molgen.files import molecule_files as files
    from molgen.files import tables
    from molgen.files.provenance_records import Provenance, record
    from molgen.filters import filter_sets as filters
    from molgen.filters.one_filter import Filter
    from molgen.generation.scaffolds import partial_structures as scaffolds
    from molgen.model.checkpoints import read_tensors
    from molgen.scoring import components, reinvent
    from molgen.scoring import objectives as scoring

    sdf = _sdf()
    lines = "smiles,name,pIC50\n" + "".join(f'{s},"m, {i}",{i / 3}\n' for i, s in enumerate(SMILES))
    tensors = _tensors()
    made = record("sample", {"n": 3, "model": "moses"}, seed=1, data_sha256="0" * 64)
    task = {
        "model_folder": "x", "checkpoint": "0" * 64, "seed": 1, "temperature": 1.0,
        "properties": ["mw"], "deduplicate": "smiles", "filters": None, "objective": None,
        "fingerprints": False, "blocks_per_chunk": 8, "start": None,
    }  # fmt: skip
    table, sidecar = _saved_table(describe(list(SMILES[:3])), made)
    parquet = parquet_bytes(describe(list(SMILES)), {"molgen_provenance": made.to_json()})

    def read_saved(content: tuple[str, str], folder: Path) -> Any:
        (folder / "t.csv").write_text(content[0], encoding="utf-8", errors="replace")
        tables.sidecar_path(folder / "t.csv").write_text(
            content[1], encoding="utf-8", errors="replace"
        )
        return tables.load_table(folder / "t.csv")

    return [
        Target("smiles", 16, texts(*SMILES), lambda t, _: chem.parse(t)),
        Target("standardize", 2, texts(*SMILES), lambda t, _: standardize([t])),
        Target("scaffold", 5, texts(*SMILES), lambda t, _: scaffolds.parse_scaffold(t)),
        Target("smarts", 5, texts(*SMARTS),
               lambda t, _: Filter.from_dict({"smarts": {"patterns": [t]}})),
        Target("smi file", 4, texts("\n".join(f"{s} m{i}" for i, s in enumerate(SMILES))),
               written("x.smi", files.read_molecules)),
        Target("csv file", 4, texts(lines, lines.replace(",", "\t"), lines.replace("\n", "\r\n")),
               written("x.csv", files.read_molecules)),
        Target("sdf file", 3, texts(sdf, sdf.replace("\n", "\r\n")),
               written("x.sdf", files.read_molecules)),
        Target("gz file", 1, lambda r: fuzz_mutations.mutate_bytes(_gzipped("\n".join(SMILES)), r),
               written("x.smi.gz", files.read_molecules)),
        Target("statement", 8, texts("maximise qed", "logp between 1 and 3", "mw at most 400",
                                     "tpsa within 40 and 90", "minimise sa_score"),
               lambda t, _: components.Component.parse(t)),
        Target("objective", 4, documents(OBJECTIVE), written("x.yaml", scoring.Objective.load)),
        Target("filters", 4, documents(FILTERS, {"filters": FILTERS}),
               written("x.yaml", filters.FilterSet.from_yaml)),
        Target("reinvent", 4, trees(REINVENT), lambda t, _: reinvent.from_reinvent(t)),
        Target("reinvent file", 2, texts(json.dumps(REINVENT)),
               written("x.json", reinvent.from_reinvent)),
        Target("batch plan", 4, documents(PLAN), written("x.yaml", RunPlan.from_yaml)),
        Target("batch task", 2, json_texts(task), lambda t, _: Task.from_json(t)),
        Target("provenance", 3, json_texts(json.loads(made.to_json())),
               lambda t, _: Provenance.from_json(t)),
        Target("saved table", 1,
               lambda r: (fuzz_mutations.mutate_text(table, r), sidecar) if r.random() < 0.5
               else (table, fuzz_mutations.mutate_text(sidecar, r)), read_saved),
        Target("parquet file", 2, lambda r: fuzz_mutations.mutate_bytes(parquet, r),
               written("x.parquet", files.read_molecules)),
        Target("saved parquet", 2, lambda r: fuzz_mutations.mutate_bytes(parquet, r),
               written("x.parquet", tables.load_table)),
        Target("checkpoint", 2, lambda r: fuzz_mutations.mutate_bytes(tensors, r),
               written("x.safetensors", read_tensors)),
    ]  # fmt: skip


def trial_targets() -> list[Target]:
    """The parsers of trial_sim."""
    import pandas as pd

    import trial_sim as ts
    from trial_sim.base.records import from_plain
    from trial_sim.data import constraints, datasets
    from trial_sim.exploration import fields as scenario_fields
    from trial_sim.exploration.study import read_study
    from trial_sim.prediction.saved import SavedPrediction
    from trial_sim.sequential import spending
    from trial_sim.sequential.design import GroupSequential

    design = ts.Design(
        arms={"control": 1, "treatment": 1}, n_patients=200, accrual=ts.Accrual(rate=20.0),
        dropout=ts.Dropout(rate=0.001), looks=ts.EventLooks([60, 120]),
        strata={"sex": {"f": 0.5, "m": 0.5}},
    )  # fmt: skip
    outcomes = ts.PiecewiseExponential(control_median=12, breakpoints=[4], hazard_ratio=[1.0, 0.6])
    study = {
        "title": "mine", "design": design.to_dict(), "outcomes": outcomes.to_dict(),
        "simulation": {"n_trials": 100, "seed": 1},
        "what_if": {"variations": {"hazard_ratio": [0.7, 1.0]}, "n_trials": 50},
    }  # fmt: skip
    bounds = ts.group_sequential(
        information_fractions=(0.5, 1), alpha=0.025, power=0.9, efficacy="obrien_fleming"
    )
    plain_bounds = json.loads(bounds.to_json())
    so_far = pd.DataFrame({"enrolment": [0.1 * i for i in range(50)], "event": 0})
    so_far["time"] = 5.0 - so_far["enrolment"]
    so_far.loc[::5, ["time", "event"]] = 0.5, 1
    late = so_far["enrolment"] + so_far["time"] > 5.0
    predicted = ts.predict(so_far[~late], design, cutoff=5.0, opened="2026-01-15", n_draws=20)
    table = pd.DataFrame({"a": [1.0, 2, 3], "b": [3.0, 2, 1], "sex": ["f", "m", "f"]})
    rows = "drug,age,time,dead\nA,50,3.5,1\nB,61,8,0\nA,47,2,0\nB,58,6,1\nA,,1,1\n"
    fields = {
        "arm": "drug", "covariates": ["age"], "kinds": {"age": "continuous"}, "title": "mine",
        "constraints": ["age > 0"],
        "endpoints": {"death": {"kind": "time_to_event", "duration": "time", "event": "dead"}},
    }  # fmt: skip
    clean = rows.replace("A,,1,1\n", "")
    fitted, archive = _fitted(ts)
    parquet = _parquet(table.astype({"sex": "category"}))

    def read_trial(content: str, folder: Path) -> Any:
        (folder / "t.csv").write_text(clean, encoding="utf-8")
        path = folder / "t.yaml"
        path.write_text(content, encoding="utf-8", errors="replace")
        return datasets.read_trial(folder / "t.csv", path)

    def read_rows(content: str, folder: Path) -> Any:
        path = folder / "u.csv"
        path.write_text(content, encoding="utf-8", errors="replace")
        return datasets.read_trial(path, fields)

    return [
        Target("constraint", 14, texts("a > b", "a + 2*b == 3 and not sex == 'f'", "a/b <= 1 or b"),
               lambda t, _: constraints.holds(table, t)),
        Target("study", 4, documents(study), written("x.yaml", read_study)),
        Target("design", 5, trees(design.to_dict(), outcomes.to_dict()),
               lambda t, _: from_plain(t)),
        Target("design field", 4, texts("hazard_ratio", "accrual.rate", "looks.events"),
               lambda t, _: scenario_fields.find_field(design, outcomes, t)),
        Target("boundaries", 4, documents(plain_bounds),
               lambda t, _: GroupSequential.from_yaml(t)),
        Target("saved prediction", 2, json_texts(json.loads(predicted.saved().to_json())),
               lambda t, _: SavedPrediction.from_json(t)),
        Target("spending", 6, trees(*[{"rule": rule} for rule in (
                   ["wang_tsiatis", 0.25], ["hwang_shih_decani", -4], "pocock", ["kim_demets",
    2])]),
               lambda t, _: spending.parse_rule(t.get("rule") if isinstance(t, dict) else t)),
        Target("trial record", 3, documents(fields), read_trial),
        Target("trial table", 3, texts(rows, rows.replace("\n", "\r\n")), read_rows),
        Target("parquet table", 2, lambda r: fuzz_mutations.mutate_bytes(parquet, r),
               written("x.parquet", datasets.read_table)),
        Target("where", 3, trees({"age": [40, 60]}, {"age": 50}, {"age": ">= 30"}),
               lambda t, _: fitted.sample_arm(fitted.arms[0], 2, seed=0, where=t)),
        Target("fitted trial", 1, lambda r: fuzz_mutations.mutate_bytes(archive, r),
               written("x.fitted", ts.load_fitted)),
    ]  # fmt: skip


def _gzipped(text: str) -> bytes:
    import gzip

    return gzip.compress(text.encode(), mtime=0)


def _sdf() -> str:
    """Two molecules with fields, as an SDF."""
    from rdkit import Chem

    blocks = []
    for number, smiles in enumerate(SMILES[:2]):
        block = Chem.MolToMolBlock(Chem.MolFromSmiles(smiles))
        blocks.append(f"{block}>  <activity>\n{number + 0.5}\n\n$$$$\n")
    return "".join(blocks)


def _tensors() -> bytes:
    """A small safetensors file."""
    import torch
    from safetensors.torch import save

    return save({"a": torch.zeros(3, 2), "b": torch.ones(5)})


def _saved_table(table: Any, made: Any) -> tuple[str, str]:
    """The text of a table that molgen saved, and of the record beside it."""
    from tempfile import TemporaryDirectory

    from molgen.files.tables import save_table, sidecar_path

    with TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        save_table(table, path, made)
        return path.read_text("utf-8"), sidecar_path(path).read_text("utf-8")


def _parquet(table: Any) -> bytes:
    """The Parquet file of a table of patients."""
    from tempfile import TemporaryDirectory

    from trial_sim.base.parquet import write_parquet

    with TemporaryDirectory() as folder:
        write_parquet(table, Path(folder) / "x.parquet")
        return (Path(folder) / "x.parquet").read_bytes()


def _fitted(ts: Any) -> tuple[Any, bytes]:
    """A small fitted trial with a covariate, and the file that holds it."""
    from tempfile import TemporaryDirectory

    trial = ts.load_trial("veteran")
    fitted = ts.fit(trial, "death", model="weibull", covariate_model="copula", seed=0)
    with TemporaryDirectory() as folder:
        return fitted, fitted.save(Path(folder) / "x.fitted").read_bytes()
