"""Fitted arms as a scenario: effects, who is enrolled, covariates and strata of the design."""

import numpy as np
import pytest

import trial_sim as ts
from trial_sim.numerics.random_streams import Streams
from trial_sim.scenarios.protocol import PatientBatch
from trial_sim.statistics import cox


@pytest.fixture(scope="module")
def fitted():
    return ts.fit(ts.load_trial("veteran"), "death", model="cox_by_arm", covariate_model="cart")


def design(**options):
    plan = {
        "arms": {"standard": 1, "test": 1},
        "n_patients": 300,
        "accrual": ts.Accrual(rate=100),
        "looks": ts.CalendarLooks([24.0]),
    }
    return ts.Design(**{**plan, **options})


def sampled(outcomes, n=20_000, strata=None, levels=None):
    arm = np.tile([0, 1], n // 2).astype(np.int8)[None]
    factors = {k: np.asarray(v)[None] for k, v in (strata or {}).items()}
    batch = PatientBatch(
        Streams.span(3, 0, 1), ("standard", "test"), arm, np.zeros((1, n)), factors, levels or {}
    )
    return outcomes.sample(batch), arm[0]


def test_what_if_varies_effect_patients_and_size(fitted):
    outcomes = fitted.outcomes("standard", "test")
    table = ts.what_if(
        design(), outcomes, {"hazard_ratio": [1.0, 0.6], "n_patients": [200, 400]},
        n_trials=300, seed=1,
    )  # fmt: skip
    power = table.table.set_index(["hazard_ratio", "n_patients"])["power"]
    assert power[1.0, 200] < 0.07 and power[0.6, 400] > 0.9 > power[0.6, 200] > 0.4
    varied = ts.what_if(
        design(), outcomes, {"where": [None, {"karno": "< 50"}], "shift": [None, {"karno": 20}]},
        n_trials=50, seed=1,
    )  # fmt: skip
    events = varied["expected_events"].to_numpy()  # fitter patients die later
    assert events[2] >= events[0] >= events[1]
    for unknown in ("seed", "model", "n_rows", "name", "pair", "hazard_ratios"):
        with pytest.raises(ValueError, match=f"field {unknown!r}"):
            ts.what_if(design(), outcomes, {unknown: [1]}, n_trials=10)
    with pytest.raises(ValueError, match="where names no covariate: 'karnofsky'"):
        fitted.outcomes("standard", "test", where={"karnofsky": "> 50"})


def test_an_effect_given_is_the_effect_of_the_patients(fitted):
    for ratio in (0.5, 1.0):
        outcome, arm = sampled(fitted.outcomes("standard", "test", hazard_ratio=ratio), 8000)
        design_ = np.column_stack([outcome.covariates[n][0] for n in outcome.covariates])
        found = cox(
            np.minimum(outcome.time[0], 1e3), np.isfinite(outcome.time[0]), arm, covariates=design_
        )
        assert abs(found.estimate - np.log(ratio)) < 4 * found.model_se
    with pytest.raises(ValueError, match="against the control arm 'standard'"):
        fitted.outcomes("test", "standard", hazard_ratio=0.7)


def test_strata_of_the_design_are_covariates_of_the_fit(fitted):
    shares = fitted.strata("celltype", "prior")
    real = fitted.real.patients["celltype"].value_counts(normalize=True)
    assert all(abs(shares["celltype"][k] - v) < 0.05 for k, v in real.items())
    levels = {"celltype": tuple(shares["celltype"])}
    codes = np.random.default_rng(0).integers(0, len(levels["celltype"]), 8000)
    outcome, _ = sampled(fitted.outcomes("standard", "test"), 8000, {"celltype": codes}, levels)
    own = fitted.sample_trial({"standard": 4000, "test": 4000}, uncertainty=False).patients
    for code, level in enumerate(levels["celltype"]):
        months = own.loc[own["celltype"] == level, "time"].median() * 12 / 365.25
        assert abs(np.median(outcome.time[0][codes == code]) / months - 1) < 0.2
    plan = design(strata=shares, stratified=True, test="logrank")
    stratified = ts.simulate(plan, fitted.outcomes("standard", "test", hazard_ratio=0.6), 200, 1)
    plain = ts.simulate(design(), fitted.outcomes("standard", "test", hazard_ratio=0.6), 200, 1)
    assert stratified.power > plain.power - 0.03  # cell type is prognostic
    with pytest.raises(ValueError, match="level 'squamos', which the fit lacks"):
        ts.simulate(
            design(strata={"celltype": {"squamos": 0.5, "adeno": 0.5}}),
            fitted.outcomes("standard", "test"),
            5,
        )


def test_adjusting_for_fitted_covariates_gains_power(fitted):
    outcomes = fitted.outcomes("standard", "test", hazard_ratio=0.7)
    plain = ts.simulate(design(test="cox"), outcomes, 300, 1).power
    adjusted = ts.simulate(design(test="cox", adjust=["karno", "celltype"]), outcomes, 300, 1).power
    assert adjusted > plain + 0.03
    with pytest.raises(ValueError, match="no covariate 'nonsense'"):
        ts.simulate(design(test="cox", adjust=["nonsense"]), outcomes, 5)
