"""Cases of the functions that users meet at the two ends: files read, audits, predictions, reports.

Values are published counts, closed forms evaluated with scipy, or counted by hand.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

import trial_sim as ts
from trial_sim.qualification.kit import Case, Estimate

ARMS = {"control": 1, "treatment": 1}
BY_HAND = "counted by hand"
CLOSED = "closed form, evaluated with scipy"


def _by_arm(trial: Any, time: str, event: str) -> dict[str, list[float]]:
    table = trial.patients.groupby(trial.arm, observed=True)
    return {str(arm): [len(p), int(p[event].sum()), float(p[time].sum())] for arm, p in table}


def read_from_files() -> dict[str, Any]:
    """Patients, relapses and weeks by arm of a trial read from a CSV and from CDISC tables."""
    held = ts.load_trial("gehan").patients.reset_index(drop=True)
    fields = {
        "arm": "treat",
        "endpoints": {"relapse": {"kind": "time_to_event", "duration": "time", "event": "event"}},
    }
    ids = [str(i) for i in range(len(held))]
    subjects = pd.DataFrame({"USUBJID": ids, "TRT01P": held["treat"].astype(str)})
    times = pd.DataFrame(
        {"USUBJID": ids, "PARAMCD": "RELAPSE", "AVAL": held["time"], "CNSR": 1 - held["event"]}
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "gehan.csv"
        held.to_csv(path, index=False)
        one = ts.read_trial(path, fields)
        other = ts.trial_from_cdisc(subjects, times, time_unit="weeks", control="control")
    return {
        "CSV": _by_arm(one, "time", "event"),
        "CDISC": _by_arm(other, "relapse_time", "relapse_event"),
    }


GEHAN = {"6-MP": [21, 9, 359.0], "control": [21, 21, 182.0]}


def _ongoing() -> tuple[Any, Any]:
    """100 patients enrolled at once, of whom 60 had their event by month 10; the design."""
    times = np.r_[np.linspace(0.5, 9.5, 60), np.full(40, 10.0)]
    table = pd.DataFrame(
        {"enrolment": np.zeros(100), "time": times, "event": np.r_[np.ones(60), np.zeros(40)]}
    )
    table["dropout"] = 0
    design = ts.Design(
        arms=ARMS, n_patients=100, accrual=ts.Accrual(rate=100.0), looks=ts.EventLooks([60, 80])
    )
    return table, design


def counted_so_far() -> dict[str, float]:
    """Patients, events and months at risk of a trial under way."""
    table, design = _ongoing()
    read = ts.read_ongoing(table, design, cutoff=10.0)
    return {
        "patients": len(read.time), "events": int(read.event.sum()),
        "months at risk": float(read.time.sum()),
    }  # fmt: skip


def predicted_month() -> dict[str, float]:
    """Month of the 80th event by an exponential model, saved and read again."""
    table, design = _ongoing()
    made = ts.predict(
        table, design, cutoff=10.0, model="exponential", enrolment="closed", n_draws=4_000, seed=1
    )
    with TemporaryDirectory() as folder:
        made.save(Path(folder) / "saved.json")
        kept = ts.load_prediction(Path(folder) / "saved.json")
    row = kept.milestones.query("counted == 'events' and number == 80").iloc[0]
    return {"patients": kept.patients, "events": kept.events, "month": float(row["month_median"])}


def predicted_month_elsewhere() -> dict[str, float]:
    """Half of the 40 left have their event after ln 2 over the hazard of 60 in 700 months."""
    return {"patients": 100, "events": 60, "month": 10 + np.log(2) * 700 / 60}


def _three_arms() -> Any:
    return ts.Design(
        arms={"control": 1, "low": 1, "high": 1}, n_patients=120, accrual=ts.Accrual(rate=20.0),
        looks=ts.EnrolmentLooks([120]), test=("z_test", 1.0), multiplicity="unadjusted",
    )  # fmt: skip


def family_errors(n_trials: int, seed: int) -> dict[str, Estimate]:
    """Chance of a false rejection of two arms tested without adjustment."""
    table = ts.family_wise_error(
        _three_arms(), ts.ContinuousResponse({"low": 0.3, "high": 0.3}), n_trials, seed
    )
    return {
        row["true_nulls"]: Estimate(row["error"], row["mcse"]) for row in table.to_dict("records")
    }


def family_errors_elsewhere() -> dict[str, float]:
    """One comparison rejects with .025; two by the distribution of their z, correlated by 1/2."""
    z = stats.norm.isf(0.025)
    both = stats.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]]).cdf([z, z])
    return {"low": 0.025, "high": 0.025, "low, high": 1 - float(both)}


EFFECTS = (0.0, 0.3, 0.5)


def compared_powers(n_trials: int, seed: int) -> dict[str, Estimate]:
    """Power of two sizes of a z test over three effects."""
    small = ts.Design(
        arms=ARMS, n_patients=60, accrual=ts.Accrual(rate=20.0), looks=ts.EnrolmentLooks([60]),
        test=("z_test", 1.0),
    )  # fmt: skip
    large = small.replace(n_patients=120, looks=ts.EnrolmentLooks([120]))
    found = ts.compare_designs(
        {"60": small, "120": large}, ts.ContinuousResponse(0.0), "difference", EFFECTS,
        n_trials, seed,
    ).table  # fmt: skip
    rows = found.to_dict("records")
    return {
        f"{row['design']} patients, effect {row['difference']:g}": Estimate(
            row["power"], float(np.sqrt(max(row["power"] * (1 - row["power"]), 1e-4) / n_trials))
        )
        for row in rows
    }


def compared_powers_elsewhere() -> dict[str, float]:
    """Normal tails."""
    z = stats.norm.isf(0.025)
    return {
        f"{n} patients, effect {e:g}": float(stats.norm.sf(z - e * np.sqrt(n / 4)))
        for n in (60, 120)
        for e in EFFECTS
    }


def _two_tables() -> tuple[Any, Any]:
    real = ts.load_trial("veteran")
    rows = np.random.Generator(np.random.Philox(4)).integers(0, 137, 137)
    drawn = real.patients.iloc[rows].reset_index(drop=True)
    if real.id is not None:
        drawn[real.id] = range(len(drawn))
    return real, real.with_patients(drawn)


def audited_distances() -> dict[str, float]:
    """Kolmogorov and Smirnov's distance of two columns, as the audit says it."""
    real, made = _two_tables()
    rows = ts.audit(real, made, endpoint="death", seed=0).fidelity
    mine = rows[rows["measure"] == "KS distance"].set_index("subject")["estimate"]
    return {name: float(mine[name]) for name in ("age", "diagtime")}


def audited_distances_elsewhere() -> dict[str, float]:
    """The same by scipy."""
    real, made = _two_tables()
    return {
        name: float(stats.ks_2samp(real.patients[name], made.patients[name]).statistic)
        for name in ("age", "diagtime")
    }


def _saved_design() -> tuple[Any, Any]:
    bounds = ts.group_sequential((0.5, 1.0), efficacy="lan_demets_obrien_fleming")
    design = ts.Design(
        arms=ARMS, n_patients=120, accrual=ts.Accrual(rate=20.0), looks=ts.EventLooks([40, 80]),
        boundaries=bounds,
    )  # fmt: skip
    return design, ts.PiecewiseExponential(control_median=12, hazard_ratio=0.7)


def reported_looks() -> dict[str, list[float]]:
    """Alpha spent and effects at the bounds, as a report says them, and the looks as milestones."""
    design, outcomes = _saved_design()
    result = ts.simulate(design, outcomes, 50, 1)
    report = ts.simulation_report(result)
    rows = json.loads(report.to_json())["looks"]["bounds"]
    milestones = ts.milestones_of(design)
    return {
        "alpha spent": [float(row["alpha spent"]) for row in rows],
        "hazard ratio": [float(row["efficacy, hazard ratio about"]) for row in rows],
        "events of the milestones": [float(m.when.events[0]) for m in milestones],
    }


def reported_looks_elsewhere() -> dict[str, list[float]]:
    """Lan and DeMets' function, and Schoenfeld's standard error at gsDesign's bounds."""
    half = stats.norm.isf(0.0125)
    bounds = (2.9626, 1.9686)
    return {
        "alpha spent": [2 * float(stats.norm.sf(half / np.sqrt(t))) for t in (0.5, 1.0)],
        "hazard ratio": [
            float(np.exp(-2 * z / np.sqrt(e))) for z, e in zip(bounds, (40, 80), strict=True)
        ],
        "events of the milestones": [40, 80],
    }


def verified() -> dict[str, float]:
    """Whether a saved simulation agrees with its record, as written and with one byte changed."""
    design, outcomes = _saved_design()
    with TemporaryDirectory() as folder:
        place = ts.simulate(design, outcomes, 20, 3).save(Path(folder) / "run")
        good = ts.verify(place).passed
        table = place / "operating_characteristics.csv"
        content = bytearray(table.read_bytes())
        content[-2] ^= 1
        table.write_bytes(bytes(content))
        changed = ts.verify(place).passed
    return {"as written": float(good), "one bit changed": float(changed)}


def cases(n_trials: int, seed: int) -> tuple[Case, ...]:
    """Every case of this module."""
    return (
        Case("trials from files", "data", read_from_files, {"CSV": GEHAN, "CDISC": GEHAN},
             "Gehan (1965); Freireich and others (1963)", 0, "patients, relapses, weeks by arm"),
        Case("trial under way, counted", "data", counted_so_far,
             {"patients": 100, "events": 60, "months at risk": 700.0}, BY_HAND, 1e-9),
        Case("month of an event", "prediction", predicted_month, predicted_month_elsewhere, CLOSED,
             {"patients": 0, "events": 0, "month": 0.35},
             "60 of 100 had their event by month 10; exponential, nobody comes any more"),
        Case("family-wise error", "multiplicity", lambda: family_errors(n_trials, seed),
             family_errors_elsewhere, CLOSED, 0.0, f"{n_trials:,} trials, z tests at .025"),
        Case("designs compared", "simulation", lambda: compared_powers(n_trials, seed),
             compared_powers_elsewhere, CLOSED, 0.0, f"z tests, {n_trials:,} trials"),
        Case("distances of an audit", "audit", audited_distances, audited_distances_elsewhere,
             "scipy, computed now", 1e-12, "veteran beside its rows drawn with replacement"),
        Case("looks of a report", "bounds", reported_looks, reported_looks_elsewhere,
             f"{CLOSED}; gsDesign's bounds",
             {"alpha spent": 2e-6, "hazard ratio": 1e-3, "events of the milestones": 0}),
        Case("a saved result verified", "verification", verified,
             {"as written": 1.0, "one bit changed": 0.0}, BY_HAND, 0),
    )  # fmt: skip
