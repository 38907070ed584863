"""The part of `benchmarks.trial_sim.audit_oracles` that runs in an environment of its own.

It needs pandas and, by job, ``anonymeter`` and ``sdmetrics``, ``sdv``, or ``synthcity``; never
this project. Jobs read tables from a folder and write ``<job>.json`` or synthetic tables there:

    python audit_oracle_worker.py anonymeter FOLDER
    python audit_oracle_worker.py sdmetrics FOLDER
    python audit_oracle_worker.py sdv FOLDER
    python audit_oracle_worker.py survival_gan FOLDER
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pandas as pd

TABLES = ("real", "holdout")


def tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Every CSV of the folder by name, with the categorical columns of ``columns.json`` as text."""
    spec = json.loads((folder / "columns.json").read_text())
    out = {}
    for path in sorted(folder.glob("*.csv")):
        frame = pd.read_csv(path, keep_default_na=False, na_values=[""])
        for name in spec["categorical"]:
            frame[name] = frame[name].astype(str)
        out[path.stem] = frame
    return out


def anonymeter(folder: Path) -> dict[str, Any]:
    """Attack rates of anonymeter on the training patients and on the hold-out."""
    from anonymeter.evaluators import (
        InferenceEvaluator,
        LinkabilityEvaluator,
        SinglingOutEvaluator,
    )

    spec, data = json.loads((folder / "columns.json").read_text()), tables(folder)
    real, holdout = data["real"], data["holdout"]
    # the attacks want as many training records as there are in the control
    real = real.iloc[: len(holdout)]
    n = len(real)
    out: dict[str, Any] = {}
    for name, synthetic in data.items():
        if name in TABLES:
            continue
        rows: dict[str, Any] = {}
        for secret in spec["columns"]:
            others = [c for c in spec["columns"] if c != secret]
            evaluator = InferenceEvaluator(
                ori=real,
                syn=synthetic,
                control=holdout,
                aux_cols=others,
                secret=secret,
                regression=secret not in spec["categorical"],
                n_attacks=n,
            )
            evaluator.evaluate(n_jobs=1)
            found = evaluator.results()
            rows[f"inference {secret}"] = [found.attack_rate.value, found.control_rate.value]
        linked = LinkabilityEvaluator(
            ori=real,
            syn=synthetic,
            control=holdout,
            aux_cols=(spec["columns"][::2], spec["columns"][1::2]),
            n_attacks=n,
        )
        linked.evaluate(n_jobs=1)
        found = linked.results()
        rows["linkability"] = [found.attack_rate.value, found.control_rate.value]
        single = SinglingOutEvaluator(
            ori=real, syn=synthetic, control=holdout, n_attacks=n, n_cols=3, seed=0
        )
        single.evaluate(mode="multivariate")
        found = single.results()
        rows["singling out"] = [found.attack_rate.value, found.control_rate.value]
        out[name] = rows
    return out


def sdmetrics(folder: Path) -> dict[str, Any]:
    """Scores of SDMetrics: margins, new rows, distance to the closest record."""
    from sdmetrics.single_column import KSComplement, TVComplement
    from sdmetrics.single_table import DCROverfittingProtection, NewRowSynthesis

    spec, data = json.loads((folder / "columns.json").read_text()), tables(folder)
    metadata = {
        "columns": {
            name: {"sdtype": "categorical" if name in spec["categorical"] else "numerical"}
            for name in spec["columns"]
        }
    }
    real, holdout = data["real"][spec["columns"]], data["holdout"][spec["columns"]]
    out: dict[str, Any] = {}
    for name, synthetic in data.items():
        if name in TABLES:
            continue
        synthetic = synthetic[spec["columns"]]
        rows: dict[str, Any] = {}
        for column in spec["columns"]:
            metric = TVComplement if column in spec["categorical"] else KSComplement
            rows[f"distance {column}"] = 1 - metric.compute(real[column], synthetic[column])
        rows["identical share"] = 1 - NewRowSynthesis.compute(real, synthetic, metadata)
        equal = real.iloc[: len(holdout)]
        detail = DCROverfittingProtection.compute_breakdown(
            equal, synthetic, holdout, metadata, None
        )
        rows["closer to training"] = detail["synthetic_data_percentages"]["closer_to_training"]
        out[name] = rows
    return out


def sdv(folder: Path) -> dict[str, Any]:
    """Synthetic trials from SDV's synthesizers fitted to ``real.csv``, and the time they took."""
    from sdv.metadata import Metadata
    from sdv.single_table import (
        CTGANSynthesizer,
        GaussianCopulaSynthesizer,
        TVAESynthesizer,
    )

    spec, real = json.loads((folder / "columns.json").read_text()), tables(folder)["real"]
    metadata = Metadata.load_from_dict(
        {
            "tables": {
                "trial": {
                    "columns": {
                        name: {
                            "sdtype": "categorical" if name in spec["categorical"] else "numerical"
                        }
                        for name in spec["columns"]
                    }
                }
            },
            "relationships": [],
        }
    )
    out = {}
    for label, maker, options in (
        ("GaussianCopula", GaussianCopulaSynthesizer, {}),
        ("CTGAN", CTGANSynthesizer, {"epochs": spec["epochs"], "enable_gpu": False}),
        ("TVAE", TVAESynthesizer, {"epochs": spec["epochs"], "enable_gpu": False}),
    ):
        start = time.perf_counter()
        synthesizer = maker(metadata, **options)
        synthesizer.fit({"trial": real[spec["columns"]]})  # SDV 2 takes tables by name
        fitted = time.perf_counter() - start
        for k in range(spec["trials"]):
            drawn = synthesizer.sample(num_rows=len(real))
            drawn = drawn["trial"] if isinstance(drawn, dict) else drawn
            drawn.to_csv(folder / f"{label}-{k}.csv", index=False)
        out[label] = {"fit_seconds": fitted}
    return out


def survival_gan(folder: Path) -> dict[str, Any]:
    """Synthetic trials from synthcity's SurvivalGAN (its own number of iterations), which takes
    complete rows only."""
    from synthcity.plugins import Plugins
    from synthcity.plugins.core.dataloader import SurvivalAnalysisDataLoader

    spec, real = json.loads((folder / "columns.json").read_text()), tables(folder)["real"]
    loader = SurvivalAnalysisDataLoader(
        real[spec["columns"]].dropna().reset_index(drop=True),
        target_column=spec["event"],
        time_to_event_column=spec["duration"],
    )
    start = time.perf_counter()
    model = Plugins().get("survival_gan", random_state=0)
    model.fit(loader)
    fitted = time.perf_counter() - start
    for k in range(spec["trials"]):
        drawn = model.generate(count=len(real), random_state=k).dataframe()
        drawn[spec["columns"]].to_csv(folder / f"SurvivalGAN-{k}.csv", index=False)
    return {"SurvivalGAN": {"fit_seconds": fitted}}


JOBS = {
    "anonymeter": anonymeter,
    "sdmetrics": sdmetrics,
    "sdv": sdv,
    "survival_gan": survival_gan,
}


def main() -> None:
    """Run one job on one folder."""
    job, folder = sys.argv[1], Path(sys.argv[2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = JOBS[job](folder)
    (folder / f"{job}.json").write_text(json.dumps(found, default=float))


if __name__ == "__main__":
    main()
