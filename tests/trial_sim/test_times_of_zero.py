"""Events and censoring on the day of randomisation: the rest of the trial comes back as it was."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import trial_sim as ts
from trial_sim import data

MODELS = (
    "cox_by_arm", "cox", "piecewise_exponential", "weibull", "lognormal", "loglogistic",
    "generalized_gamma", "gompertz", "royston_parmar", "mixture_cure",
)  # fmt: skip
PARAMETRIC = MODELS[3:]


def _patients(n: int, zeros: str, unit: str, share: float) -> pd.DataFrame:
    """Exponential times, uniform censoring; a ``share`` of the ``zeros`` put to time 0."""
    rng = np.random.default_rng(11)
    arm = np.arange(n) % 2
    latent = rng.exponential(np.where(arm, 24.0, 12.0))
    censored = rng.uniform(6, 24, n)
    time, dead = np.minimum(latent, censored), (latent <= censored).astype(int)
    if unit == "days":
        time = np.ceil(time * 30)
    able = {"events": dead == 1, "censored": dead == 0, "both": dead >= 0}[zeros]
    time[np.flatnonzero(able)[: round(share * n)]] = 0
    return pd.DataFrame(
        {"arm": np.where(arm, "b", "a"), "time": time, "dead": dead, "x": rng.normal(size=n)}
    )


def _drawn(trial: ts.Trial, model: str) -> tuple[ts.fit, pd.DataFrame]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        fitted = ts.fit(trial, "death", model=model, seed=0)
        arms = [fitted.sample_arm(a, 3000, seed=s) for a in trial.arms for s in range(4)]
    return fitted, pd.concat(arms)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("zeros", "unit"), [("events", "months"), ("censored", "days"), ("both", "months")]
)
def test_zero_times_spoil_no_model(model: str, zeros: str, unit: str) -> None:
    table = _patients(400, zeros, unit, 0.05)
    trial = ts.Trial(
        table, "arm", {"death": data.TimeToEvent("time", "dead")}, ["x"], time_unit=unit
    )
    fitted, drawn = _drawn(trial, model)
    told = [n for n in fitted.notes if "time 0" in n]
    assert len(told) == (zeros != "censored" and model in PARAMETRIC)
    real, made = (t.groupby("arm")[["time", "dead"]].mean() for t in (table, drawn))
    # 200 patients an arm: four draws of the parameters stray by .035 of the events, .06 of the time
    assert ((real.dead - made.dead).abs() < 0.12).all(), (real, made)
    assert ((made.time / real.time - 1).abs() < 0.2).all(), (real, made)
    zero = (drawn.time == 0).mean()
    assert zero <= (table.time == 0).mean() + 0.03


@pytest.mark.parametrize("share", [0.02, 0.3])
def test_who_is_censored_at_once_is_a_share(share: float) -> None:
    table = _patients(400, "censored", "months", share)
    trial = ts.Trial(table, "arm", {"death": data.TimeToEvent("time", "dead")}, ["x"])
    fitted, drawn = _drawn(trial, "cox")
    assert abs((drawn.time == 0).mean() - (table.time == 0).mean()) < 0.06
    if share > 0.1:
        assert f"({(table.time == 0).sum()} of 400)" in repr(fitted)


def test_competing_and_ordered_times_bear_zeros() -> None:
    table = _patients(400, "both", "months", 0.08)
    rng = np.random.default_rng(3)
    table["cause"] = np.where(table.dead == 1, rng.integers(1, 3, 400), 0)
    trial = ts.Trial(
        table,
        "arm",
        {"end": data.CompetingRisks("time", "cause", {"1": "relapse", "2": "death"})},
        ["x"],
    )
    for model in ("auto", "fine_gray"):
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            fitted = ts.fit(trial, "end", model=model, seed=0)
            drawn = pd.concat([fitted.sample_trial(seed=s).patients for s in range(8)])
        real, made = (
            t.groupby("arm")["cause"].value_counts(normalize=True).unstack() for t in (table, drawn)
        )
        assert ((real - made).abs() < 0.12).all().all(), (real, made)
        assert (drawn.time == 0).mean() <= (table.time == 0).mean() + 0.03
