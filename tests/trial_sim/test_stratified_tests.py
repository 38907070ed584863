"""Stratified and adjusted tests in simulated trials: honoured as in single trials, or refused."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, rankdata
from scipy.stats import t as student

import trial_sim as ts
from trial_sim import statistics
from trial_sim.design.tests import TESTS
from trial_sim.scenarios import (
    BinaryResponse,
    ContinuousResponse,
    CountResponse,
    LongitudinalResponse,
    OrdinalResponse,
    WithCovariates,
)

STRATA = {"site": {"a": 0.1, "b": 0.5, "c": 0.4}, "sex": {"f": 0.5, "m": 0.5}}
TIMES = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.7)
READOUT = {"looks": ts.EnrolmentLooks([100, 200], follow_up=3), "readout": 3.0}


def make(**changes):
    fields = {
        "arms": {"control": 1, "treatment": 1},
        "n_patients": 200,
        "accrual": ts.Accrual(rate=20.0),
        "dropout": ts.Dropout(rate=0.01),
        "looks": ts.EventLooks([60, 120]),
        "strata": STRATA,
    }
    return ts.Design(**{**fields, **changes})


def looks_of(result, trials=3):
    for trial in range(trials):
        replay = result.replay(trial)
        for look, data in enumerate(replay.data):
            data = data.assign(
                treated=(data["arm"] == "treatment").astype(int),
                stratum=data[[name for name in ("site", "sex") if name in data]].sum(axis=1),
            )
            yield trial, look, data, result.conducted.z[trial, look, 0]


def t_to_z(t, df):
    return -np.sign(t) * norm.ppf(student.cdf(-np.abs(t), df))


def dummies(values):
    return pd.get_dummies(values, drop_first=True).to_numpy(dtype=float)


@pytest.mark.parametrize("test", ["rmst", "milestone"])
def test_curves_by_stratum(test):
    design = make(test=(test, 9.0), stratified=True, strata={"sex": {"f": 0.4, "m": 0.6}})
    result = ts.simulate(design, TIMES, 3, 8)
    single = ts.rmst_difference if test == "rmst" else ts.milestone_difference
    for _, look, data, z in looks_of(result):
        if look == 0:
            continue
        total = variance = weight = 0.0
        for _, own in data.groupby("stratum"):
            if own["treated"].nunique() == 2:
                found = single(own["time"], own["event"], own["treated"], 9.0)
                total += len(own) * found.estimate
                variance += (len(own) * found.se) ** 2
                weight += len(own)
        assert z == pytest.approx(total / np.sqrt(variance), rel=1e-6)


def test_ancova_by_stratum():
    outcomes = ContinuousResponse(0.5, correlation=0.5)
    result = ts.simulate(make(test="ancova", stratified=True, **READOUT), outcomes, 3, 8)
    for _, _, data, z in looks_of(result):
        known = data[data["response"].notna()]
        found = statistics.ancova(
            known["response"], known["treated"], known["baseline"], strata=known["stratum"]
        )
        assert z == pytest.approx(t_to_z(found.z, found.df), abs=1e-8)


def test_wilcoxon_by_stratum_is_van_elterens():
    outcomes = OrdinalResponse([0.4, 0.4, 0.2], 1.8)
    result = ts.simulate(make(test="wilcoxon", stratified=True, **READOUT), outcomes, 3, 8)
    for _, _, data, z in looks_of(result):
        known = data[data["response"].notna()]
        top = variance = 0.0
        for _, own in known.groupby("stratum"):
            n, n1 = len(own), own["treated"].sum()
            if 0 < n1 < n:
                ranks = rankdata(own["response"])
                top += (ranks[own["treated"] == 1].sum() - n1 * (n + 1) / 2) / (n + 1)
                # the permutation variance of a rank sum
                spread = n1 * (n - n1) / n * ranks.var(ddof=1)
                variance += spread / (n + 1) ** 2
        assert z == pytest.approx(top / np.sqrt(variance), abs=1e-9)


@pytest.mark.parametrize("stratified", [False, True])
@pytest.mark.parametrize("adjust", [(), ("site",)])
def test_counts_by_stratum_and_adjusted(stratified, adjust):
    outcomes = CountResponse(0.4, 0.6, exposure=3.0, dispersion=0.5)
    design = make(test="negative_binomial", stratified=stratified, adjust=adjust, **READOUT)
    if stratified and adjust:
        return  # the factor is part of the strata
    result = ts.simulate(design, outcomes, 3, 8)
    for _, _, data, z in looks_of(result):
        known = data[data["response"].notna()]
        columns = None
        if stratified:
            events = known.groupby("stratum")["response"].transform("sum")
            known = known[events > 0]
            columns = dummies(known["stratum"])
        elif adjust:
            columns = dummies(known["site"])
        found = statistics.negative_binomial_test(
            known["response"], known["treated"], covariates=columns
        )
        assert z == pytest.approx(found.z, abs=1e-5)


def test_repeated_measurements_by_stratum():
    outcomes = LongitudinalResponse([1, 3], [0.0, 0.2], [0.2, 0.5])
    design = make(test="mmrm", stratified=True, looks=ts.EnrolmentLooks([200], follow_up=3),
                  readout=3.0)  # fmt: skip
    result = ts.simulate(design, outcomes, 1, 8)
    for _, _, data, z in looks_of(result, 1):
        rows = []
        names = sorted(data["stratum"].unique())[1:]
        for i, row in data.reset_index(drop=True).iterrows():
            for visit in (1, 2):
                rows.append({"subject": i, "visit": visit, "y": row[f"visit_{visit}"],
                             "treated": row["treated"], "baseline": row["baseline"],
                             **{n: float(row["stratum"] == n) for n in names}})  # fmt: skip
        long = pd.DataFrame(rows).dropna()
        found = statistics.mmrm(
            long["y"], long["subject"], long["visit"], long["treated"],
            covariates=long[["baseline", *names]], covariates_by_visit=True,
        )  # fmt: skip
        assert z == pytest.approx(t_to_z(found.z, found.df), abs=2e-3)


def test_a_factor_of_three_levels_is_no_number():
    """Adjusting for a factor means an indicator of each level, as a Cox model with C(site)."""
    outcomes = WithCovariates(
        TIMES, {"age": "normal"}, {"age": 0.3, "site": {"a": 1.0, "b": -1.0, "c": 1.0}}
    )
    result = ts.simulate(make(test="cox", adjust=("site", "age")), outcomes, 3, 8)
    for _, _, data, z in looks_of(result):
        columns = np.column_stack([dummies(data["site"]), data["age"]])
        found = statistics.cox(data["time"], data["event"], data["treated"], covariates=columns)
        assert z == pytest.approx(found.z, abs=1e-4)


def test_a_level_that_nobody_has_yet_costs_nothing():
    rare = {"site": {"a": 0.5, "b": 0.4999, "c": 0.0001}}
    outcomes = ContinuousResponse(0.5, correlation=0.5)
    design = make(test="ancova", adjust=("site", "baseline"), strata=rare, **READOUT)
    result = ts.simulate(design, outcomes, 20, 8)
    assert np.isfinite(result.conducted.estimate).all()


def test_subgroups_keep_their_covariates():
    by_level = {
        level: WithCovariates(TIMES, {"age": "normal"}, {"age": beta})
        for level, beta in (("f", 0.2), ("m", 0.9))
    }
    design = make(test="cox", adjust="age")
    result = ts.simulate(design, ts.BySubgroup("sex", by_level), 3, 8)
    for _, _, data, z in looks_of(result):
        found = statistics.cox(
            data["time"], data["event"], data["treated"], covariates=data[["age"]]
        )
        assert z == pytest.approx(found.z, abs=1e-4)
    lacking = {**by_level, "m": TIMES}
    with pytest.raises(ValueError, match="no covariate 'age'"):
        ts.simulate(design, ts.BySubgroup("sex", lacking), 3, 8)


PARAMETERS = {
    "fleming_harrington": (0, 1), "magirr_burman": (6,), "modestly_weighted": (0.5,),
    "max_combo": (["logrank"],), "z_test": (1.0,), "rmst": (9,), "milestone": (9,),
    "farrington_manning": (0.1,),
}  # fmt: skip


@pytest.mark.parametrize("name", TESTS)
def test_every_test_stratifies_and_adjusts_or_refuses(name):
    test = (name, *PARAMETERS[name]) if name in PARAMETERS else name
    for options, known, what in (
        ({"stratified": True}, TESTS[name].stratified, "stratified"),
        ({"adjust": ["nonsense"]}, TESTS[name].adjusted, "adjusted"),
    ):
        if known is True:
            make(test=test, **options)
        else:
            with pytest.raises(ValueError, match=rf"does not go with test '{name}'.*not {what}"):
                make(test=test, **options)


@pytest.mark.parametrize(
    ("test", "outcomes"),
    [
        ("cox", TIMES),
        ("ancova", ContinuousResponse(0.3)),
        ("negative_binomial", CountResponse(0.4, 0.6, exposure=3.0)),
        ("mmrm", LongitudinalResponse([1, 3], [0.0, 0.2], [0.2, 0.5])),
    ],
)
def test_unknown_covariates_are_refused(test, outcomes):
    design = make(test=test, adjust=["nonsense"], **({} if test == "cox" else READOUT))
    with pytest.raises(ValueError, match="no covariate 'nonsense'"):
        ts.simulate(design, outcomes, 2, 1)


def test_type_one_error_of_stratified_tests():
    """Sites differ; without a difference of arms every stratified test rejects 2.5 %."""
    levels = {"a": 0.0, "b": 0.5, "c": -0.8}
    for test, base in (("wilcoxon", None), ("ancova", None), (("rmst", 9.0), TIMES)):
        if base is None:
            outcomes = WithCovariates(ContinuousResponse(0.0), {}, {"site": levels})
            if test == "wilcoxon":
                outcomes = OrdinalResponse([0.4, 0.4, 0.2])
            changes = {"looks": ts.EnrolmentLooks([200], follow_up=3), "readout": 3.0}
        else:
            flat = ts.PiecewiseExponential(control_median=12)
            outcomes = WithCovariates(flat, {}, {"site": levels})
            changes = {"looks": ts.EventLooks([140])}
        result = ts.simulate(make(test=test, stratified=True, **changes), outcomes, 3000, 3)
        assert result.power == pytest.approx(0.025, abs=3.5 * 0.00285)


def test_binary_points_to_cmh():
    with pytest.raises(ValueError, match="test 'cmh' is"):
        make(test="chi_square", stratified=True, **READOUT)
    ts.simulate(make(test="cmh", stratified=True, **READOUT), BinaryResponse(0.3, 0.5), 2, 1)
