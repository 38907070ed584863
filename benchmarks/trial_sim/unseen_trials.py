"""Trials that nobody here tuned to: do synthetic trials give back their effects and predictions?

    python -m benchmarks unseen_trials export --folder FOLDER   # once: needs R's survival and MASS
    python -m benchmarks unseen_trials effects --folder FOLDER [--trials udca ...] [--n 40]
    python -m benchmarks unseen_trials utility --folder FOLDER [--n 20] [--times 10] [--estimated]

The tables are R's data sets, written to FOLDER, never committed; with ``--cdisc FOLDER`` the time
to event and the scale of the CDISC pilot study are added. ``effects``: mean of n synthetic trials
(parameters drawn) less the real estimate, in real standard errors; the floor is .25, and the
Monte-Carlo error, which is about 1.4 over the root of n (.22 for 40: a quarter of unbiased ones
are off by more than .25 then), stands beside it. Built-in trials may be named, too.
``utility``: a model
trained on synthetic patients, ``--times`` as many as the real ones, over one trained on real ones,
both tested on patients that neither saw (halves); the floor is .97 for continuous and repeated
outcomes. Each row goes into ``results/unseen_trials.jsonl``.
"""

from __future__ import annotations

import argparse
import subprocess
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

import trial_sim as ts
from benchmarks.stored import append
from benchmarks.trial_sim.sharing import halves
from trial_sim.auditing.compared.comparison import aligned, compare, read_outcomes
from trial_sim.auditing.compared.measure import as_table
from trial_sim.auditing.utility.error_rates import contrasts_of
from trial_sim.auditing.utility.train_synthetic_test_real import utility

FLOOR, GOAL = 0.25, 0.1
TABLES = {
    "udca": "survival::udca1",
    "ovarian": "survival::ovarian",
    "cgd": "survival::cgd",
    "rhdnase": "survival::rhDNase",
    "anorexia": "MASS::anorexia",
    "bacteria": "MASS::bacteria",
}


def export(folder: Path) -> None:
    """Write R's tables as CSV."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in TABLES.items():
        code = f"write.csv({table}, '{folder / (name + '.csv')}', row.names = FALSE)"
        subprocess.run(["Rscript", "-e", code], check=True)
        print(folder / f"{name}.csv")


def udca(t: pd.DataFrame) -> ts.Trial:
    """Ursodiol in biliary cirrhosis: time to failure."""
    t = t.assign(arm=np.where(t["trt"] == 1, "udca", "placebo"))
    ends = {"failure": ts.TimeToEvent("futime", "status")}
    return ts.Trial(t, "arm", ends, ["stage", "bili", "riskscore"], arms=["placebo", "udca"])


def ovarian(t: pd.DataFrame) -> ts.Trial:
    """Ovarian cancer, 26 patients: death."""
    ends = {"death": ts.TimeToEvent("futime", "fustat")}
    return ts.Trial(t.assign(rx=t["rx"].astype(str)), "rx", ends, ["age", "resid.ds", "ecog.ps"])


def cgd(t: pd.DataFrame) -> ts.Trial:
    """Interferon in granulomatous disease: recurrent infections."""
    ends = {"infection": ts.Recurrent("id", "tstart", "tstop", "status")}
    covariates = ["age", "sex", "weight", "inherit", "steroids"]
    return ts.Trial(t, "treat", ends, covariates, id="id", arms=["placebo", "rIFN-g"])


def rhdnase(t: pd.DataFrame) -> ts.Trial:
    """DNase in cystic fibrosis: exacerbations counted, first one as a time, any as yes or no."""
    days = ["entry.dt", "end.dt"]
    t[days] = t[days].apply(lambda x: pd.to_datetime(x, errors="raise"))
    t = t.assign(follow=(t["end.dt"] - t["entry.dt"]).dt.days.astype(float))
    by = t.groupby("id")
    first = by.head(1).set_index("id")
    out = first[["trt", "fev", "follow"]].copy()
    out["count"] = by["ivstart"].count()
    start = by["ivstart"].min()
    out["any"] = (out["count"] > 0).astype(int)
    out["time"] = np.where(start.notna(), np.maximum(start, 1), out["follow"])
    out["arm"] = np.where(out["trt"] == 1, "rhDNase", "placebo")
    ends = {
        "count": ts.Count("count", exposure="follow"),
        "first": ts.TimeToEvent("time", "any"),
        "any": ts.Binary("any"),
    }
    return ts.Trial(out.reset_index(), "arm", ends, ["fev"], arms=["placebo", "rhDNase"])


def anorexia(t: pd.DataFrame) -> ts.Trial:
    """Family and behavioural therapy in anorexia: weight."""
    ends = {"weight": ts.Continuous("Postwt", baseline="Prewt")}
    return ts.Trial(t, "Treat", ends, ["Prewt"], arms=["Cont", "CBT", "FT"])


def bacteria(t: pd.DataFrame) -> ts.Trial:
    """Drug against otitis: bacteria at visits, yes or no."""
    t = t.assign(y=(t["y"] == "y").astype(float))
    wide = t.pivot(index="ID", columns="week", values="y").add_prefix("week ")
    wide["ap"] = t.groupby("ID")["ap"].first()
    visits = [c for c in wide if str(c).startswith("week ")]
    ends = {"bacteria": ts.Longitudinal(visits, family="binomial")}
    return ts.Trial(wide.reset_index(drop=True), "ap", ends, [], arms=["p", "a"])


MAKERS: dict[str, Callable[[pd.DataFrame], ts.Trial]] = {
    "udca": udca,
    "ovarian": ovarian,
    "cgd": cgd,
    "rhdnase": rhdnase,
    "anorexia": anorexia,
    "bacteria": bacteria,
}


def trials(
    folder: Path, names: list[str], cdisc: Path | None = None
) -> Iterator[tuple[str, str, ts.Trial]]:
    """Name, endpoint and trial with that endpoint only."""
    made = {
        name: MAKERS[name](pd.read_csv(folder / f"{name}.csv"))
        if name in MAKERS
        else ts.load_trial(name)
        for name in names
    }
    if cdisc is not None:
        made["cdisc"] = ts.trial_from_cdisc(
            cdisc / "adsl.xpt", cdisc / "adtte.xpt", ["AGE", "SEX"], population="SAFFL"
        )
    for name, trial in made.items():
        for endpoint, record in trial.endpoints.items():
            yield name, endpoint, replace(trial, endpoints={endpoint: record})


def bias(trial: ts.Trial, endpoint: str, n: int) -> list[tuple[str, str, float, float]]:
    """Contrast, model, mean bias in real standard errors, its Monte-Carlo error."""
    fitted = ts.fit(trial, endpoint, seed=0)
    comparison = compare(trial, fitted.sample_trial(seed=0), endpoint=endpoint)
    real = contrasts_of(comparison.outcomes["real"][endpoint], comparison.arms)
    found: dict[str, list[float]] = {}
    for k in range(n):
        drawn = aligned(fitted.sample_trial(seed=100 + k), comparison.real, "synthetic")
        outcome = read_outcomes(drawn, comparison.real)[endpoint]
        for label, (estimate, _) in contrasts_of(outcome, comparison.arms).items():
            found.setdefault(label, []).append((estimate - real[label][0]) / real[label][1])
    return [
        (label, fitted.outcome_model.name, float(np.nanmean(v)), float(np.nanstd(v) / n**0.5))
        for label, v in found.items()
        if label in real and np.isfinite(real[label]).all()
    ]


def ratio_of(trial: ts.Trial, endpoint: str, k: int, times: int, drawn: bool) -> float:
    """TSTR over TRTR of one division into halves."""
    real, unseen = halves(trial, k)
    fitted = ts.fit(real, endpoint, seed=k)
    sizes = {arm: times * size for arm, size in zip(real.arms, real.schema().arm_sizes)}
    made = fitted.sample_trial(sizes, seed=k, uncertainty=drawn)
    table = as_table(utility(compare(real, made, unseen, endpoint, k)))
    return float(table[table["measure"] == "TSTR / TRTR"]["estimate"].iloc[0])


def main() -> None:
    """Run one part and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["export", "effects", "utility"])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--cdisc", type=Path)
    parser.add_argument("--trials", nargs="*", default=list(MAKERS))
    parser.add_argument("--n", type=int, default=40)
    parser.add_argument("--times", type=int, default=10, help="synthetic patients for a real one")
    parser.add_argument("--estimated", action="store_true", help="parameters not drawn (utility)")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    if asked.part == "export":
        export(asked.folder)
        return
    values = []
    for name, endpoint, trial in trials(asked.folder, asked.trials, asked.cdisc):
        if asked.part == "effects":
            for label, model, value, error in bias(trial, endpoint, asked.n):
                print(f"{name:9} {label:34} {model:22} {value:+.3f} ({error:.3f})", flush=True)
                row = {"part": "effects", "trial": name, "contrast": label, "model": model}
                append("unseen_trials", {**row, "n": asked.n, "bias": value, "error": error})
                values.append(abs(value))
            continue
        drawn = not asked.estimated
        ratios = np.array(
            [ratio_of(trial, endpoint, k, asked.times, drawn) for k in range(asked.n)]
        )
        mean, error = float(np.nanmean(ratios)), float(np.nanstd(ratios) / len(ratios) ** 0.5)
        print(f"{name:9} {endpoint:10} TSTR / TRTR {mean:.3f} ({error:.3f})", flush=True)
        row = {"part": "utility", "trial": name, "endpoint": endpoint, "n": asked.n}
        append(
            "unseen_trials",
            {**row, "times": asked.times, "drawn": drawn, "ratio": mean, "error": error},
        )
        values.append(mean)
    if asked.part == "effects":
        within = [int(np.sum(np.array(values) <= limit)) for limit in (FLOOR, GOAL)]
        print(f"within {FLOOR} SE: {within[0]}, within {GOAL}: {within[1]}, of {len(values)}")
    else:
        print(f"mean {np.nanmean(values):.3f} of {len(values)} endpoints")


if __name__ == "__main__":
    main()
