"""The audit's measures beside anonymeter's and SDMetrics's, and our generator beside SDV's.

They need environments of their own (they pin what this project must not pin, and copulas and SDV
are under the Business Source Licence); one that is not there yet is made:

    python -m benchmarks audit_oracles measures --environment /tmp/oracle
    python -m benchmarks audit_oracles comparators --environment /tmp/sdv
    python -m benchmarks audit_oracles survival_gan --environment /tmp/synthcity

``measures`` attacks a row bootstrap, an honest sample and our own synthetic patients of the colon
trial with both implementations, prints both numbers and, last, those that disagree. ``comparators``
fits SDV's GaussianCopula, CTGAN and TVAE and our own model to one part of a trial and prints the
audit's measures of each; ``survival_gan`` does so with synthcity's SurvivalGAN (survival endpoints
only).
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

import trial_sim as ts
from trial_sim.auditing.compared import distances, intervals
from trial_sim.auditing.compared.comparison import compare
from trial_sim.auditing.compared.exposure import exposure
from trial_sim.auditing.compared.measure import as_table
from trial_sim.auditing.compared.tables import gower
from trial_sim.auditing.fidelity.measures import fidelity
from trial_sim.auditing.privacy import attacks
from trial_sim.auditing.privacy.membership_measures import membership_scores
from trial_sim.auditing.utility.error_rates import contrasts_of
from trial_sim.auditing.utility.train_synthetic_test_real import utility

WORKER = Path(__file__).with_name("audit_oracle_worker.py")
PEERS = {"comparators": "sdv", "survival_gan": "survival_gan"}  # what is asked: worker's job
NEEDS = {
    "measures": ("anonymeter", "sdmetrics"),
    "comparators": ("sdv",),
    "survival_gan": ("synthcity", "opacus<1.5"),
}


def interpreter(what: str, environment: str | None, python: str | None) -> str:
    """The interpreter of the oracles' environment, which is made where it is not there yet."""
    if python is not None:
        return python
    if environment is None:
        raise SystemExit("name --environment FOLDER, where the oracles are installed, or --python")
    found = Path(environment) / "bin" / "python"
    if not found.exists():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        subprocess.run([str(found), "-m", "pip", "install", "-q", *NEEDS[what]], check=True)
    return str(found)


def disagreements(table: pd.DataFrame, patients: int) -> pd.DataFrame:
    """Rows in which both implementations differ by more than three standard errors of a share of
    so many patients (their attacks draw their own guesses)."""
    share = table[["ours", "theirs"]].mean(axis=1).clip(0.02, 0.98)
    error = np.sqrt(2 * share * (1 - share) / patients)
    return table[table["difference"].abs() > 3 * error]


def run_worker(python: str, job: str, folder: Path) -> dict:
    """Run one job of the worker with another interpreter and return what it found."""
    done = subprocess.run([python, str(WORKER), job, str(folder)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the {job} worker failed: {done.stderr[-800:]}")
    return json.loads((folder / f"{job}.json").read_text())


def split(trial: ts.Trial, shares: tuple[float, ...], seed: int) -> list[ts.Trial]:
    """Random parts of a trial with the given shares."""
    n = trial.n_patients
    order = np.random.default_rng(seed).permutation(n)
    edges = np.round(np.cumsum([0.0, *shares]) * n).astype(int)
    return [trial.subset(np.sort(order[a:b])) for a, b in itertools.pairwise(edges)]


def one_endpoint(trial: ts.Trial, name: str) -> ts.Trial:
    """The trial with one endpoint only."""
    return replace(trial, endpoints={name: trial.endpoints[name]})


def columns_of(trial: ts.Trial) -> tuple[list[str], list[str]]:
    """All columns of a wide trial, and the categorical ones among them."""
    comparison = compare(trial, trial)
    return list(comparison.schema.columns), list(comparison.schema.categorical)


def measures(python: str, seed: int) -> pd.DataFrame:
    """Our measures beside the oracles', on colon without its rows that have missing values.

    (anonymeter gives missing against missing the distance 1 and SDMetrics 0, so that only complete
    rows can be compared.)
    """
    trial = one_endpoint(ts.load_trial("colon"), "death")
    trial = trial.with_patients(trial.patients.dropna())
    real, holdout, honest = split(trial, (0.34, 0.33, 0.33), seed)
    names, categorical = columns_of(real)
    rows = np.random.default_rng(seed).integers(real.n_patients, size=real.n_patients)
    boot = real.patients.iloc[rows].reset_index(drop=True)
    boot["id"] = np.arange(len(boot))
    fitted = ts.fit(real, endpoint="death", model="cox", covariate_model="cart", seed=seed)
    made = {
        "bootstrap": real.with_patients(boot),
        "honest": honest,
        "cart": fitted.sample_trial(seed=seed),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spec = {"columns": names, "categorical": categorical}
        (folder / "columns.json").write_text(json.dumps(spec))
        for label, table in {"real": real, "holdout": holdout, **made}.items():
            table.patients[names].to_csv(folder / f"{label}.csv", index=False)
        theirs = {job: run_worker(python, job, folder) for job in ("anonymeter", "sdmetrics")}
    out = []
    for label, synthetic in made.items():
        ours = our_measures(real, synthetic, holdout, seed)
        for job, found in theirs.items():
            for measure, value in found[label].items():
                pairs = (
                    zip(("on members", "control"), value)
                    if isinstance(value, list)
                    else [("", value)]
                )
                for side, number in pairs:
                    key = f"{measure} {side}".strip()
                    out.append((label, job, key, ours.get(key, np.nan), number))
    table = pd.DataFrame(out, columns=["data", "oracle", "measure", "ours", "theirs"])
    return table.assign(difference=table["ours"] - table["theirs"])


def our_measures(
    real: ts.Trial, synthetic: ts.Trial, holdout: ts.Trial, seed: int
) -> dict[str, float]:
    """The same measures from our audit, with the oracles' Wilson-centred rates."""
    comparison = compare(real, synthetic, holdout, seed=seed)
    schema, rng = comparison.schema, comparison.rng(1)
    a, s, h = (comparison.tables[k] for k in ("real", "synthetic", "holdout"))
    equal = a.rows(np.arange(min(len(a), len(h))))
    out: dict[str, float] = {}

    def rate(key: str, attack: attacks.Attack) -> None:
        out[key] = intervals.wilson_centre(*attack)[0]

    for side, target in (("on members", equal), ("control", h)):
        for column, attack in attacks.attribute_inference(schema, s, target, rng).items():
            rate(f"inference {column} {side}", attack)
        rate(f"linkability {side}", attacks.linkability(schema, s, target, rng))
        rate(f"singling out {side}", attacks.singling_out_multivariate(schema, s, target, rng))
    table = as_table(fidelity(comparison))
    wanted = table[table["measure"].isin(["KS distance", "total variation"])]
    out |= {f"distance {c}": v for c, v in zip(wanted["subject"], wanted["estimate"])}
    out["identical share"] = float(attacks.identical(schema, s, a).mean())
    share = distances.closest_share(gower(s, equal, schema.ranges), gower(s, h, schema.ranges))
    out["closer to training"] = share.estimate
    return out


def comparators(
    python: str, job: str, name: str, endpoint: str, trials: int, epochs: int, seed: int
) -> pd.DataFrame:
    """Effect replication, curves, propensity, utility and membership of ours and of the peers that
    the worker's ``job`` fits."""
    trial = one_endpoint(ts.load_trial(name), endpoint)
    real, holdout = split(trial, (2 / 3, 1 / 3), seed)
    names, categorical = columns_of(real)
    made: dict[str, list[ts.Trial]] = {}
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        spec = {"columns": names, "categorical": categorical, "trials": trials, "epochs": epochs}
        record = trial.endpoints[endpoint]
        if isinstance(record, ts.TimeToEvent):
            spec |= {"duration": record.duration, "event": record.event}
        (folder / "columns.json").write_text(json.dumps(spec))
        real.patients[names].to_csv(folder / "real.csv", index=False)
        found = run_worker(python, job, folder)
        for label, facts in found.items():
            seconds[label] = facts["fit_seconds"]
            made[label] = [
                as_trial(real, pd.read_csv(folder / f"{label}-{k}.csv")) for k in range(trials)
            ]
    start = time.perf_counter()
    fitted = ts.fit(real, endpoint=endpoint, seed=seed)
    seconds["trial_sim"] = time.perf_counter() - start
    made["trial_sim"] = [fitted.sample_trial(seed=k) for k in range(trials)]
    rows = []
    for label, synthetic in made.items():
        rows.append(
            {"generator": label, "fit s": seconds[label], **summary(real, synthetic, holdout, seed)}
        )
    return pd.DataFrame(rows).set_index("generator")


def as_trial(real: ts.Trial, table: pd.DataFrame) -> ts.Trial:
    """A table from elsewhere as a trial: impossible times and flags are put right first."""
    table = table.copy()
    for record in real.endpoints.values():
        if isinstance(record, ts.TimeToEvent):
            table[record.duration] = table[record.duration].clip(lower=0).fillna(0)
            table[record.event] = (table[record.event].astype(float) > 0.5).astype(int)
    if real.id is not None:
        table[real.id] = np.arange(1, len(table) + 1)
    return real.with_patients(table)


def summary(
    real: ts.Trial, synthetic: list[ts.Trial], holdout: ts.Trial, seed: int
) -> dict[str, float]:
    """The issue's figures of one generator, over its synthetic trials."""
    bias: dict[str, list[float]] = {}
    gaps, areas, ratios, members = [], [], [], []
    for k, trial in enumerate(synthetic):
        comparison = compare(real, trial, holdout, seed=seed)
        for name in comparison.real.endpoints:
            mine, theirs = (comparison.outcomes[r][name] for r in ("real", "synthetic"))
            truth = contrasts_of(mine, comparison.arms)
            for label, (estimate, _) in contrasts_of(theirs, comparison.arms).items():
                bias.setdefault(label, []).append((estimate - truth[label][0]) / truth[label][1])
        if k >= 5:
            continue  # the slower measures on five trials
        table = as_table(fidelity(comparison))
        gaps.append(table.loc[table["measure"] == "largest curve gap / band", "estimate"].max())
        areas.append(table.loc[table["measure"].str.startswith("propensity"), "estimate"].max())
        ratios.append(as_table(utility(comparison))["estimate"].iloc[0])
        scores = membership_scores(exposure(comparison), comparison.rng(2))
        members.append(max(intervals.auc(*pair).estimate for pair in scores.values()))
    return {
        "worst mean effect bias (SE)": max(abs(float(np.nanmean(v))) for v in bias.values()),
        "its MC error": max(float(np.nanstd(v)) / len(v) ** 0.5 for v in bias.values()),
        "largest curve gap / band": float(np.mean(gaps)),
        "propensity AUC": float(np.mean(areas)),
        "TSTR / TRTR": float(np.mean(ratios)),
        "membership AUC": float(np.mean(members)),
    }


def main() -> None:
    """Parse the command line, run one comparison, print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["measures", *PEERS])
    parser.add_argument("--environment", help="folder of the oracles' environment")
    parser.add_argument("--python", help="interpreter of one that is there")
    parser.add_argument("--trial", default="colon")
    parser.add_argument("--endpoint", default="death")
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    python = interpreter(given.what, given.environment, given.python)
    if given.what == "measures":
        table = measures(python, given.seed)
    else:
        settings = (given.trial, given.endpoint, given.trials, given.epochs, given.seed)
        table = comparators(python, PEERS[given.what], *settings)
    with pd.option_context(
        "display.width", 160, "display.max_rows", 500, "display.max_columns", 20
    ):
        print(table.round(3).to_string())
        if given.what == "measures":
            apart = disagreements(table, ts.load_trial("colon").n_patients // 3)
            said = apart.round(3).to_string() if len(apart) else ""
            print(f"\n{len(apart)} of {len(table)} disagree by more than chance\n{said}")


if __name__ == "__main__":
    main()
