"""Times that differ in their last digits only are one time, as in R's survival."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trial_sim as ts
from trial_sim.auditing.compared.comparison import compare
from trial_sim.auditing.utility.error_rates import contrasts_of
from trial_sim.statistics.validation import merge_ties

N = 80


def shaken(days, scale, rng):
    """Times as a user gets them: days since a random start, subtracted again, in another unit."""
    start = rng.uniform(15_000, 20_000, len(days))
    return (start + days) / scale - start / scale


FUNCTIONS = {
    "log-rank": lambda t, e, g, c, s: ts.logrank(t, e, g).z,
    "stratified": lambda t, e, g, c, s: ts.logrank(t, e, g, strata=s).z,
    "weighted": lambda t, e, g, c, s: ts.logrank(t, e, g, weight=("fleming_harrington", 0, 1)).z,
    "MaxCombo": lambda t, e, g, c, s: ts.max_combo(t, e, g).components,
    "Cox": lambda t, e, g, c, s: ts.cox(t, e, g).estimate,
    "Cox, Breslow, strata": lambda t, e, g, c, s: ts.cox(t, e, g, strata=s, ties="breslow").z,
    "Kaplan-Meier": lambda t, e, g, c, s: ts.kaplan_meier(t, e).survival,
    "at risk": lambda t, e, g, c, s: ts.kaplan_meier(t, e).n_at_risk,
    "incidence": lambda t, e, g, c, s: ts.aalen_johansen(t, c).incidence,
    "Gray": lambda t, e, g, c, s: ts.gray_test(t, c, g).statistic,
}


@settings(max_examples=25, deadline=None)  # over all functions and units
@given(
    seed=st.integers(0, 2**20),
    scale=st.sampled_from([1.0, 7.0, 365.25 / 12, 365.25, 1e-6, 1e6]),
    latest=st.sampled_from([12, 40, 400]),
    name=st.sampled_from(sorted(FUNCTIONS)),
)
def test_results_are_those_of_whole_days(seed, scale, latest, name):
    rng = np.random.default_rng(seed)
    days = rng.integers(1, latest, N).astype(float)
    cause = rng.integers(0, 3, N)
    group, strata = np.resize([0, 1], N), rng.integers(0, 2, N)
    event = (cause > 0).astype(int)
    function = FUNCTIONS[name]
    near = shaken(days, scale, rng)
    exact = function(days, event, group, cause, strata)
    np.testing.assert_allclose(
        function(near, event, group, cause, strata), exact, rtol=1e-6, atol=1e-8
    )


def test_delayed_entry_and_recurrent_events_see_the_same_ties():
    rng = np.random.default_rng(1)
    entry = rng.integers(0, 10, N).astype(float)
    days = entry + rng.integers(1, 20, N)
    event, group = rng.integers(0, 2, N), np.resize([0, 1], N)
    start = rng.uniform(15_000, 20_000, N)
    near = [(start + t) / 365.25 - start / 365.25 for t in (days, entry)]
    exact = ts.cox(days, event, group, entry=entry)
    assert ts.cox(near[0], event, group, entry=near[1]).z == pytest.approx(exact.z, rel=1e-9)
    subject = np.arange(N)
    exact = ts.andersen_gill(subject, entry, days, event, group)
    made = ts.andersen_gill(subject, near[1], near[0], event, group)
    assert made.z == pytest.approx(exact.z, rel=1e-9)


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_times_apart_stay_apart_and_are_not_touched(scale):
    times = np.array([3.0, 1.0, 1.0 + 1e-7, 2.0, 2.0]) * scale
    assert merge_ties(times)[0] is times
    both = merge_ties(times, times * (1 + 1e-12))
    assert all(np.array_equal(part, times) for part in both)


@pytest.mark.parametrize("label", [7, "site A"])
def test_a_robust_variance_of_one_cluster_is_refused(label):
    rng = np.random.default_rng(0)
    time, event, group = rng.exponential(size=N), np.ones(N, dtype=int), np.resize([0, 1], N)
    with pytest.raises(ValueError, match=f"two clusters or more, got 1 \\({label}\\)"):
        ts.cox(time, event, group, cluster=[label] * N)
    assert abs(ts.cox(time, event, group, cluster=np.arange(N) // 2).z) < 5


def test_patients_of_an_ongoing_trial_are_tied_where_their_days_were():
    rng = np.random.default_rng(3)
    days = rng.integers(1, 60, N).astype(float)
    enrolled = rng.integers(0, 100, N).astype(float)
    near = shaken(days, 365.25 / 12, rng)
    assert len(np.unique(near)) > len(np.unique(days))
    table = pd.DataFrame(
        {
            "arm": np.resize(["control", "treatment"], N),
            "enrolment": enrolled / (365.25 / 12),
            "time": near,
            "event": rng.integers(0, 2, N),
        }
    )
    table["dropout"] = 1 - table["event"]
    design = ts.Design(
        arms={"control": 1, "treatment": 1}, n_patients=200, accrual=ts.Accrual(rate=20),
        looks=ts.EventLooks([90]),
    )  # fmt: skip
    read = ts.read_ongoing(table, design, cutoff=8.0)
    assert len(np.unique(read.time)) == len(np.unique(days))


@pytest.mark.parametrize("unit", [365.25 / 12, 1e-6])
def test_fits_and_audits_are_those_of_whole_days(unit):
    """Two endpoints of subtracted dates: the same events, effects to 1e-7, and times but for the
    rounding of what a fit may tell (four digits of person-time)."""
    rng = np.random.default_rng(3)
    n = 120
    first = rng.integers(1, 60, n).astype(float)
    last = np.where(rng.random(n) < 0.4, first, first + rng.integers(1, 60, n))
    start = rng.uniform(15_000, 20_000, n)
    fixed = {"arm": np.resize(["a", "b"], n), "x": rng.integers(0, 40, n)}
    fixed |= {"d1": rng.integers(0, 2, n), "d2": rng.integers(0, 2, n)}

    def trial(t1, t2):
        ends = {"one": ts.TimeToEvent("t1", "d1"), "two": ts.TimeToEvent("t2", "d2")}
        return ts.Trial(pd.DataFrame({**fixed, "t1": t1, "t2": t2}), "arm", ends, ["x"])

    near = trial(*((start + t) / unit - start / unit for t in (first, last)))
    exact = trial(first / unit, last / unit)
    made = [
        ts.fit(t, "one", model="cox", covariate_model="copula", seed=0).sample_trial(seed=1)
        for t in (near, exact)
    ]
    one, two = (m.patients for m in made)
    assert (one["d1"] == two["d1"]).all() and (one["x"] == two["x"]).all()
    apart = np.abs(one["t1"] - two["t1"]) / two["t1"].max()
    assert np.quantile(apart, 0.8) < 1e-9 and apart.max() < 0.1
    found = [compare(real, made[1], endpoint="one", seed=0) for real in (near, exact)]
    estimates = [contrasts_of(c.outcomes["real"]["one"], c.arms) for c in found]
    for label, pair in estimates[0].items():
        assert pair == pytest.approx(estimates[1][label], rel=1e-7)
