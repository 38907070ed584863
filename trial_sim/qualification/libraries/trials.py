"""Simulated trials and synthetic arms beside exact powers and models fitted by scipy."""

from __future__ import annotations

from functools import cache
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from scipy import optimize, stats

import trial_sim as ts
from trial_sim.qualification.kit import Case, Estimate
from trial_sim.qualification.libraries.sources import (
    ENUMERATED,
    SCIPY,
    STATSMODELS,
)
from trial_sim.qualification.real_data import table


def trial(**changes: Any) -> ts.Design:
    """A design of 40 patients an arm with one analysis, some fields changed."""
    fields: dict[str, Any] = {
        "arms": {"control": 1, "treatment": 1},
        "n_patients": 80,
        "accrual": ts.Accrual(rate=20.0),
        "looks": ts.EnrolmentLooks([80]),
        "dropout": ts.Dropout(),
        "randomization": ts.PermutedBlocks(2),
    }
    return ts.Design(**(fields | changes))


def _rate(result: Any) -> Estimate:
    power = result.quantity("power")
    return Estimate(power.estimate, float(np.sqrt(0.25 / result.n_trials)))


def simulated(n_trials: int, seed: int) -> dict[str, Any]:
    """Simulated powers of Fisher's test and of the t-test."""
    binary = ts.simulate(
        trial(test="fisher"), ts.BinaryResponse(0.3, treatment_rate=0.65), n_trials, seed
    )
    normal = ts.simulate(
        trial(test="t_test"), ts.ContinuousResponse(difference=0.6), n_trials, seed
    )
    return {"Fisher's test": _rate(binary), "t test": _rate(normal)}


def exact_powers() -> dict[str, float]:
    """The same exactly."""
    from statsmodels.stats.power import TTestIndPower

    x1, x2 = np.meshgrid(np.arange(41), np.arange(41), indexing="ij")
    p = stats.hypergeom.sf(x1 - 1, 80, 40, x1 + x2)
    mass = stats.binom.pmf(x1, 40, 0.65) * stats.binom.pmf(x2, 40, 0.3)
    return {
        "Fisher's test": float(mass[p <= 0.025].sum()),
        "t test": TTestIndPower().power(0.6, 40, 0.025, alternative="larger"),
    }


def varied(n_trials: int, seed: int) -> list[Estimate]:
    """Simulated powers of a what-if over three effects."""
    grid = ts.what_if(
        trial(test="t_test"),
        ts.ContinuousResponse(difference=0.6),
        {"outcomes.difference": [0.0, 0.3, 0.9]},
        n_trials=n_trials,
        seed=seed,
    )
    error = float(np.sqrt(0.25 / n_trials))
    return [Estimate(float(power), error) for power in grid["power"]]


def varied_elsewhere() -> list[float]:
    """The same by statsmodels."""
    from statsmodels.stats.power import TTestIndPower

    found = [TTestIndPower().power(d, 40, 0.025, alternative="larger") for d in (0.0, 0.3, 0.9)]
    return [float(power) for power in found]


@cache
def fitted_colon(seed: int) -> ts.FittedTrial:
    """A Weibull model of deaths in colon."""
    return ts.fit(
        ts.load_trial("colon"), "death", model="weibull", covariate_model="bootstrap", seed=seed
    )


def arms(n: int, seed: int) -> dict[str, Any]:
    """Survival of synthetic patients at three times, after a save and a load."""
    fitted = fitted_colon(seed)
    with TemporaryDirectory() as folder:
        path = fitted.save(f"{folder}/colon.npz", allow_copies=True)
        again = ts.load_fitted(path)
    found = {}
    for arm in ("Obs", "Lev+5FU"):
        drawn = again.sample_arm(arm, n, uncertainty=False, seed=seed)
        curve = ts.kaplan_meier(drawn["death_time"], drawn["death"])
        alive = curve.at([365.25 * y for y in (1, 3, 5)])
        found[arm] = [Estimate(s, float(np.sqrt(s * (1 - s) / (0.8 * n)))) for s in alive]
    return found


def arms_elsewhere() -> dict[str, Any]:
    """Survival of the Weibull model with arms as its only covariates, by scipy's optimizer."""
    data = table("colon")
    t = data["death_time"].to_numpy(float)
    event = data["death"].to_numpy(bool)
    names = ("Obs", "Lev", "Lev+5FU")
    x = np.array([[arm == name for name in names] for arm in data["rx"]], dtype=float)

    def loss(theta: np.ndarray) -> float:
        scale = np.exp(theta[3])
        w = (np.log(t) - x @ theta[:3]) / scale
        return -float((event * (w - np.log(scale) - np.log(t)) - np.exp(w)).sum())

    best = optimize.minimize(loss, [8.0, 8.0, 8.0, 0.0], method="BFGS").x
    days = 365.25 * np.array([1, 3, 5])
    return {
        name: np.exp(-np.exp((np.log(days) - best[names.index(name)]) / np.exp(best[3])))
        for name in ("Obs", "Lev+5FU")
    }


def counts_of_trials() -> dict[str, Any]:
    """Patients and events of built-in trials."""
    patients = ts.load_trial("colon").patients
    indo = ts.load_trial("indo_rct").patients
    rows = {
        arm: [int((one["pancreatitis"] == outcome).sum()) for outcome in (0, 1)]
        for arm, one in indo.groupby("rx", observed=True)
    }
    return {
        "colon": [len(patients), int(patients["death"].sum()), int(patients["recurrence"].sum())],
        "indomethacin": rows["indomethacin"],
        "placebo": rows["placebo"],
        "veteran": [len(table("veteran")), int(table("veteran")["status"].sum())],
        "gehan": [len(table("gehan")), int(table("gehan")["event"].sum())],
        "listed": int(len(ts.list_trials()) >= 14),
    }


def cases(n_trials: int, seed: int) -> tuple[Case, ...]:
    """The cases; those of simulated trials have ``n_trials`` each."""
    return (
        Case("simulated_exact", "simulation", lambda: simulated(n_trials, seed), exact_powers,
             f"{ENUMERATED}; {STATSMODELS}", 0.0, f"40 an arm, {n_trials:,} trials"),
        Case("what_if_exact", "simulation", lambda: varied(n_trials, seed), varied_elsewhere,
             STATSMODELS, 0.0, f"t tests of 40 an arm, {n_trials:,} trials a scenario"),
        Case("synthetic_arms", "synthetic arms", lambda: arms(4_000, seed), arms_elsewhere, SCIPY,
             0.005, "colon, Weibull with arms as covariates: 4,000 drawn patients an arm"),
        Case("built_in_trials", "data", counts_of_trials,
             {"colon": [929, 452, 468], "indomethacin": [268, 27], "placebo": [255, 52],
              "veteran": [137, 128], "gehan": [42, 30], "listed": 1},
             "Moertel (1990); Elmunzer (2012); Kalbfleisch and Prentice (1980); Gehan (1965)",
             0),
    )  # fmt: skip
