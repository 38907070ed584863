"""Simulated trials against the published and independently run values of other simulators.

    OMP_NUM_THREADS=1 python -m benchmarks trial_agreement [--trials 100000] [--json out.jsonl]

Each row gives the distance of our value from the reference in Monte-Carlo standard errors of the
difference, which counts the trials of both. References: rpact, lrstat and simtrial, as recorded in
tests/golden/trial_reference_values.json; their own trials are named here beside each.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import trial_sim as ts
from trial_sim.design.design import Bounds, Design
from trial_sim.simulation.operating_characteristics import SimulationResult

GOLDEN = Path(__file__).parents[2] / "tests" / "golden" / "trial_reference_values.json"
REFERENCE_TRIALS = {
    "sim_rpact_gs3_ph": 10_000,
    "sim_lrstat_gs3_ph": 10_000,
    "sim_lrstat_gs3_ph_60000": 60_000,
    "sim_fixed_ph_331": 20_000,  # the mean of rpact's and lrstat's, 10,000 each
    "sim_delayed_logrank": 20_000,
    "sim_delayed_fh005": 20_000,
    "simtrial_double_programming": 100,
}
ARMS = {"control": 1, "treatment": 1}
PROPORTIONAL = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.7)
DELAYED = ts.PiecewiseExponential(control_median=12, breakpoints=[4], hazard_ratio=[1, 0.6])


@dataclass(frozen=True)
class Agreement:
    """One quantity: id of the reference, its value and ours, and how far apart they are.

    distance: |ours - reference| over the standard error of the difference.
    """

    reference: str
    quantity: str
    expected: float
    ours: float
    distance: float


def values() -> dict[str, dict]:
    """The reference values by id."""
    return {entry["id"]: entry for entry in json.loads(GOLDEN.read_text())}


def _row(name: str, quantity: str, expected: float, sample: np.ndarray, digits: float) -> Agreement:
    """Compare a mean over trials; digits is the rounding error of the printed reference."""
    sample = np.asarray(sample, dtype=float)
    sample = sample[np.isfinite(sample)]
    error = sample.std() * np.sqrt(1 / len(sample) + 1 / REFERENCE_TRIALS[name])
    gap = max(abs(sample.mean() - expected) - digits, 0.0)
    return Agreement(name, quantity, expected, float(sample.mean()), float(gap / error))


def three_looks(n_trials: int, seed: int) -> list[Agreement]:
    """N = 500, 331 events in three looks, Lan-DeMets O'Brien-Fleming bounds."""
    golden = values()
    bounds = golden["sim_lrstat_gs3_ph_60000"]["inputs"]["bounds"]
    design = Design(
        arms=ARMS, n_patients=500, accrual=ts.Accrual(rate=500 / 24),
        looks=ts.EventLooks([110, 220, 331]), boundaries=Bounds(bounds),
    )  # fmt: skip
    result = ts.simulate(design, PROPORTIONAL, n_trials, seed)
    # lrstat reports the looks of all trials, stopped or not
    held = ts.simulate(
        design.replace(boundaries=Bounds([99, 99, bounds[2]])), PROPORTIONAL, n_trials, seed
    )
    rows = []
    for name in ("sim_rpact_gs3_ph", "sim_lrstat_gs3_ph", "sim_lrstat_gs3_ph_60000"):
        expected = golden[name]["expected"]
        rows.append(_row(name, "power", expected["power"], result.success, 5e-5))
        first = np.where(result.success, result.conducted.last_look, -1)
        for k, value in enumerate(expected["rejectPerStage"]):
            rows.append(_row(name, f"rejection at look {k + 1}", value, first == k, 5e-5))
        rows.append(_row(name, "duration", expected["duration"], result.duration, 0.0))
        if "EN" in expected:
            rows.append(_row(name, "patients", expected["EN"], result.patients, 0.0))
        for k, value in enumerate(expected.get("lookTimes", [])):
            rows.append(
                _row(name, f"month of look {k + 1}", value, held.conducted.look_time[:, k], 0.0)
            )
    return rows


def fixed_designs(n_trials: int, seed: int) -> list[Agreement]:
    """One look: proportional hazards, and an effect that begins after four months."""
    golden = values()
    delayed = {
        "arms": ARMS, "n_patients": 463, "accrual": ts.Accrual(rate=463 / 18),
        "dropout": ts.Dropout(rate=0.001), "looks": ts.EventLooks([325]),
    }  # fmt: skip
    plain = Design(
        arms=ARMS, n_patients=500, accrual=ts.Accrual(rate=500 / 24), looks=ts.EventLooks([331])
    )
    cases = {
        "sim_fixed_ph_331": (plain, PROPORTIONAL),
        "sim_delayed_logrank": (Design(**delayed), DELAYED),
        "sim_delayed_fh005": (
            Design(**delayed, test=("fleming_harrington", 0, 0.5)), DELAYED,
        ),
    }  # fmt: skip
    rows = []
    for name, (design, outcomes) in cases.items():
        result: SimulationResult = ts.simulate(design, outcomes, n_trials, seed)
        digits = 5e-5 if name == "sim_fixed_ph_331" else 5e-4
        rows.append(_row(name, "power", golden[name]["expected"], result.success, digits))
    return rows


def double_programming(n_trials: int, seed: int) -> list[Agreement]:
    """simtrial's double programming of sim_fixed_n: by month 18, and by 227 events."""
    name = "simtrial_double_programming"
    expected = values()[name]["expected"]
    fields = {
        "arms": ARMS, "n_patients": 434, "dropout": ts.Dropout(rate=-np.log(0.95) / 12),
        "accrual": ts.Accrual.from_durations([1, 1, 9], [5, 5, 47]),
    }  # fmt: skip
    outcomes = ts.PiecewiseExponential(control_median=7, hazard_ratio=0.65)
    by_time = ts.simulate(Design(looks=ts.CalendarLooks([18]), **fields), outcomes, n_trials, seed)
    by_events = ts.simulate(Design(looks=ts.EventLooks([227]), **fields), outcomes, n_trials, seed)
    return [
        _row(name, "power at month 18", expected["power_planned_duration"], by_time.success, 5e-3),
        _row(name, "power at 227 events", expected["power_targeted_events"], by_events.success,
             5e-3),
    ]  # fmt: skip


def agreement(n_trials: int, seed: int = 2026) -> list[Agreement]:
    """Every simulated reference value beside ours from ``n_trials`` trials a design."""
    return [
        *three_looks(n_trials, seed),
        *fixed_designs(n_trials, seed),
        *double_programming(n_trials, seed),
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--json", type=Path, default=None, help="append the rows to this file")
    options = parser.parse_args()
    rows = agreement(options.trials, options.seed)
    print(f"{'reference':30s} {'quantity':22s} {'value':>10s} {'ours':>10s} {'MCSE apart':>10s}")
    for row in rows:
        print(
            f"{row.reference:30s} {row.quantity:22s} {row.expected:10.5g} {row.ours:10.5g} "
            f"{row.distance:10.2f}"
        )
    worst = max(rows, key=lambda row: row.distance)
    within = sum(row.distance <= 3 for row in rows)
    print(
        f"{within} of {len(rows)} values within 3 Monte-Carlo standard errors, {options.trials} "
        f"trials each; farthest: {worst.reference}, {worst.quantity}, {worst.distance:.2f}"
    )
    if options.json:
        with options.json.open("a") as file:
            for row in rows:
                file.write(json.dumps({**asdict(row), "trials": options.trials}) + "\n")


if __name__ == "__main__":
    main()
