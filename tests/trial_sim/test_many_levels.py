"""Strata with many levels, such as the sites of a large trial: codes must hold them all."""

import warnings

import numpy as np
import pandas as pd
import pytest

import trial_sim as ts
from trial_sim.engine.batch import draw_batch
from trial_sim.numerics.random_streams import Streams
from trial_sim.prediction.reading.strata import read_factors
from trial_sim.scenarios import BinaryResponse, CompetingEvents

OUTCOMES = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.7)


def sites(n):
    return {"site": {f"site {k}": 1 / n for k in range(n)}}


def make(n_levels, **changes):
    fields = {
        "arms": {"control": 1, "treatment": 1},
        "n_patients": 400,
        "accrual": ts.Accrual(rate=20.0),
        "looks": ts.EventLooks([150]),
        "strata": sites(n_levels),
    }
    return ts.Design(**{**fields, **changes})


@pytest.mark.parametrize("n_levels", [127, 128, 129, 256, 300])
@pytest.mark.parametrize(
    "changes",
    [
        {"stratified": True},
        {"randomization": ts.Minimization()},
        {"randomization": ts.BiasedCoin()},
    ],
    ids=["stratified", "minimised", "coin"],
)
def test_every_level_is_itself(n_levels, changes):
    design = make(n_levels, **changes)
    result = ts.simulate(design, OUTCOMES, n_trials=3, seed=1)
    data = result.replay(1).data[-1]
    assert data["site"].isin(design.strata["site"]).all()
    assert data["site"].nunique() > 0.6 * n_levels
    strata = data["site"].to_numpy() if "stratified" in changes else None
    z = ts.logrank(data["time"], data["event"], (data["arm"] == "treatment").astype(int),
                   strata=strata).z  # fmt: skip
    assert result.conducted.z[1, 0, 0] == pytest.approx(z, abs=1e-10)


@pytest.mark.parametrize("n_levels", [100, 200, 300])
def test_levels_are_drawn_by_their_shares(n_levels):
    batch = draw_batch(make(n_levels), OUTCOMES, Streams.span(3, 0, 200))
    counts = np.bincount(batch.factors["site"].ravel().astype(int), minlength=n_levels)
    expected = 200 * 400 / n_levels
    assert len(counts) == n_levels
    assert np.abs(counts - expected).max() < 6 * np.sqrt(expected)


def test_the_scenario_of_a_late_level_is_its_own():
    """One level of 200 has a hazard a thousand times the others': it alone has early events."""
    chosen = "site 190"
    scenarios = {
        site: ts.PiecewiseExponential(control_median=0.01 if site == chosen else 100.0)
        for site in sites(200)["site"]
    }
    result = ts.simulate(make(200), ts.BySubgroup("site", scenarios), n_trials=2, seed=1)
    patients = result.replay(0).patients
    assert (patients["site"] == chosen).any()
    assert patients.loc[patients["site"] == chosen, "time"].max() < 0.2
    assert patients.loc[patients["site"] != chosen, "time"].median() > 0.2


def test_patients_of_an_ongoing_trial():
    design = make(200)
    table = pd.DataFrame({"site": [f"site {k}" for k in range(200)]})
    assert read_factors(table, design)["site"].tolist() == list(range(200))


def test_blocks_hold_within_each_of_many_strata():
    design = make(150, randomization=ts.PermutedBlocks(block_size=2), n_patients=2000)
    batch = draw_batch(design, OUTCOMES, Streams.span(3, 0, 2))
    for trial in range(2):
        codes = batch.factors["site"][trial]
        for site in range(150):
            arms = batch.arm[trial][codes == site]
            assert abs(2 * int(arms.sum()) - len(arms)) <= 1


def test_tables_of_many_strata():
    design = make(200, test="cmh", looks=ts.EnrolmentLooks([400], follow_up=1), readout=1.0)
    result = ts.simulate(design, BinaryResponse(0.3, 0.5), n_trials=3, seed=1)
    data = result.replay(2).data[-1]
    z = ts.cmh_test(data["response"], (data["arm"] == "treatment").astype(int), data["site"]).z
    assert result.conducted.z[2, 0, 0] == pytest.approx(z, abs=1e-9)


def test_too_many_are_refused():
    with pytest.raises(ValueError, match="90,000 strata"):
        make(300, strata={**sites(300), "other": sites(300)["site"]})
    with pytest.raises(ValueError, match="127 causes"):
        CompetingEvents([0.01] * 130, [1.0] * 130)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        many = make(2, arms={f"arm {k}": 1 for k in range(70)})
    table = pd.DataFrame({"enrolment": [0.0], "time": [1.0], "event": [0]})
    with pytest.raises(ValueError, match="63 arms"):
        ts.predict(table, many, cutoff=1.0)
