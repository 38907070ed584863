"""An effect that no model can have is refused by its endpoint's name, wherever it is told."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

import trial_sim as ts
from trial_sim import data

WRONG = (-0.5, 0.0, math.nan, math.inf, -math.inf, "0.7", True, [0.7], 1j)


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    n = 120
    return pd.DataFrame(
        {
            "arm": np.where(np.arange(n) % 2, "b", "a"),
            "x": rng.normal(size=n),
            "time": rng.exponential(10, n),
            "dead": rng.integers(0, 2, n),
            "cause": rng.integers(0, 3, n),
            "yes": rng.integers(0, 2, n),
            "falls": rng.poisson(2, n),
            "grade": rng.integers(0, 3, n),
            "score": rng.normal(size=n),
        }
    )


ENDPOINTS = {
    "time": data.TimeToEvent("time", "dead"),
    "cause": data.CompetingRisks("time", "cause"),
    "binary": data.Binary("yes"),
    "count": data.Count("falls"),
    "ordinal": data.Ordinal("grade"),
    "mean": data.Continuous("score"),
}


@pytest.mark.parametrize("kind", ENDPOINTS)
def test_a_wrong_effect_is_refused_and_a_right_one_taken(table, kind):
    fitted = ts.fit(ts.Trial(table, "arm", {"y": ENDPOINTS[kind]}, ["x"]), "y", seed=0)
    for effect in WRONG:
        if kind == "mean" and effect in (-0.5, 0.0) and not isinstance(effect, bool):
            continue
        for tell in (
            lambda e: fitted.sample_arm("b", 5, seed=0, effect=e),
            lambda e: fitted.sample_trial(seed=0, effects={"b": e}),
            lambda e: fitted.outcomes(control="a", treatment="b", effect=e),
        ):
            with pytest.raises((ValueError, TypeError), match=r"effect|received|number"):
                tell(effect)
    for effect in (0.5, np.float32(2), 3, *((-0.5, 0) if kind == "mean" else ())):
        assert len(fitted.sample_arm("b", 5, seed=0, effect=effect)) == 5


def test_effects_of_several_endpoints_are_checked_one_by_one(table):
    trial = ts.Trial(table, "arm", {k: ENDPOINTS[k] for k in ("time", "mean")}, ["x"])
    fitted = ts.fit(trial, ["time", "mean"], seed=0)
    with pytest.raises(ValueError, match="effect on 'time' must be a ratio"):
        fitted.sample_arm("b", 5, effect={"time": -0.5, "mean": -0.5})
    with pytest.raises(ValueError, match="effect on 'mean' must be a finite number"):
        fitted.sample_arm("b", 5, effect={"time": 0.5, "mean": math.nan})
    assert len(fitted.sample_arm("b", 5, effect={"time": 0.5, "mean": -0.5})) == 5


@pytest.mark.parametrize("name", [0, 1.5, None, ("a", "b")])
def test_columns_that_have_no_text_for_a_name_are_refused(table, name):
    changed = table.rename(columns={"x": name})
    with pytest.raises(ValueError, match="columns must be named by text"):
        ts.Trial(changed, "arm", {"y": ENDPOINTS["time"]}, [name])
