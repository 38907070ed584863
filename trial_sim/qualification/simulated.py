"""Simulated trials beside the published and independently run values of other simulators.

References: rpact, lrstat and simtrial, as recorded in ``values/reference_values.json``; how many
trials they simulated is named here beside each, and counts in the Monte-Carlo error.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from trial_sim.design.design import (
    Accrual,
    Bounds,
    CalendarLooks,
    Design,
    Dropout,
    EventLooks,
)
from trial_sim.numerics.monte_carlo import share
from trial_sim.qualification.kit import Case, Estimate
from trial_sim.qualification.reference import VALUES, in_words
from trial_sim.scenarios import PiecewiseExponential
from trial_sim.simulation.simulate import simulate

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
PROPORTIONAL = PiecewiseExponential(control_median=12, hazard_ratio=0.7)
DELAYED = PiecewiseExponential(control_median=12, breakpoints=[4], hazard_ratio=[1, 0.6])


@dataclass(frozen=True)
class Agreement:
    """One quantity: id of the reference, its value and ours, and how far apart they are.

    error: Monte-Carlo standard error of the difference; digits: rounding of the reference.
    """

    reference: str
    quantity: str
    expected: float
    ours: float
    error: float
    digits: float

    @property
    def distance(self) -> float:
        """|ours - reference| over the standard error of the difference."""
        return max(abs(self.ours - self.expected) - self.digits, 0.0) / self.error


def _row(name: str, quantity: str, expected: float, sample: np.ndarray, digits: float) -> Agreement:
    """Compare a mean over trials; digits is the rounding error of the printed reference."""
    sample = np.asarray(sample, dtype=float)
    sample = sample[np.isfinite(sample)]
    error = sample.std() * np.sqrt(1 / len(sample) + 1 / REFERENCE_TRIALS[name])
    return Agreement(name, quantity, expected, float(sample.mean()), float(error), digits)


def three_looks(n_trials: int, seed: int) -> list[Agreement]:
    """N = 500, 331 events in three looks, Lan-DeMets O'Brien-Fleming bounds."""
    bounds = VALUES["sim_lrstat_gs3_ph_60000"]["inputs"]["bounds"]
    design = Design(
        arms=ARMS, n_patients=500, accrual=Accrual(rate=500 / 24),
        looks=EventLooks([110, 220, 331]), boundaries=Bounds(bounds),
    )  # fmt: skip
    result = simulate(design, PROPORTIONAL, n_trials, seed)
    # lrstat reports the looks of all trials, stopped or not
    held = simulate(
        design.replace(boundaries=Bounds([99, 99, bounds[2]])), PROPORTIONAL, n_trials, seed
    )
    rows = []
    for name in ("sim_rpact_gs3_ph", "sim_lrstat_gs3_ph", "sim_lrstat_gs3_ph_60000"):
        expected = VALUES[name]["expected"]
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
    delayed: dict[str, Any] = {
        "arms": ARMS, "n_patients": 463, "accrual": Accrual(rate=463 / 18),
        "dropout": Dropout(rate=0.001), "looks": EventLooks([325]),
    }  # fmt: skip
    plain = Design(
        arms=ARMS, n_patients=500, accrual=Accrual(rate=500 / 24), looks=EventLooks([331])
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
        result = simulate(design, outcomes, n_trials, seed)
        digits = 5e-5 if name == "sim_fixed_ph_331" else 5e-4
        rows.append(_row(name, "power", VALUES[name]["expected"], result.success, digits))
    return rows


def double_programming(n_trials: int, seed: int) -> list[Agreement]:
    """simtrial's double programming of sim_fixed_n: by month 18, and by 227 events."""
    name = "simtrial_double_programming"
    expected = VALUES[name]["expected"]
    fields: dict[str, Any] = {
        "arms": ARMS, "n_patients": 434, "dropout": Dropout(rate=-np.log(0.95) / 12),
        "accrual": Accrual.from_durations([1, 1, 9], [5, 5, 47]),
    }  # fmt: skip
    outcomes = PiecewiseExponential(control_median=7, hazard_ratio=0.65)
    by_time = simulate(Design(looks=CalendarLooks([18]), **fields), outcomes, n_trials, seed)
    by_events = simulate(Design(looks=EventLooks([227]), **fields), outcomes, n_trials, seed)
    return [
        _row(name, "power at month 18", expected["power_planned_duration"], by_time.success, 5e-3),
        _row(name, "power at 227 events", expected["power_targeted_events"], by_events.success,
             5e-3),
    ]  # fmt: skip


@cache
def agreement(n_trials: int, seed: int = 2026) -> list[Agreement]:
    """Every simulated reference value beside ours from ``n_trials`` trials a design."""
    return [
        *three_looks(n_trials, seed),
        *fixed_designs(n_trials, seed),
        *double_programming(n_trials, seed),
    ]


def mcse_of_power() -> list[float]:
    """Monte-Carlo standard errors of shares, from 0 and 1 themselves."""
    inputs = VALUES["mcse_power"]["inputs"]
    pairs = zip(inputs["p"], inputs["nsim"], strict=True)
    return [share(np.arange(n) < round(p * n)).mcse for p, n in pairs]


def _ours(name: str, n_trials: int, seed: int) -> dict[str, Estimate]:
    rows = [row for row in agreement(n_trials, seed) if row.reference == name]
    return {row.quantity: Estimate(row.ours, row.error) for row in rows}


def _theirs(name: str, n_trials: int, seed: int) -> dict[str, float]:
    return {r.quantity: r.expected for r in agreement(n_trials, seed) if r.reference == name}


def cases(n_trials: int, seed: int) -> list[Case]:
    """One case a simulated reference, of ``n_trials`` trials a design."""
    found = [
        Case(
            name,
            "simulation",
            partial(_ours, name, n_trials, seed),
            partial(_theirs, name, n_trials, seed),
            VALUES[name]["source"],
            5e-5 if name.startswith(("sim_rpact", "sim_lrstat", "sim_fixed")) else 5e-3,
            f"{in_words(VALUES[name]['inputs'])}; {n_trials:,} trials here",
        )
        for name in REFERENCE_TRIALS
    ]
    entry = VALUES["mcse_power"]
    one = Case(
        "mcse_power", "simulation", mcse_of_power, entry["expected"], entry["source"],
        entry["tolerance"], in_words(entry["inputs"]),
    )  # fmt: skip
    return [*found, one]
