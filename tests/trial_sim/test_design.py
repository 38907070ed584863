"""Designs, accrual, dropout, looks, randomisation: mechanics, round trips and bad input."""

import warnings

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

import trial_sim as ts
from trial_sim.design.design import (
    BiasedCoin,
    Bounds,
    CompleteRandomization,
    Design,
    EnrolmentLooks,
    FirstOf,
    FollowUpLooks,
    LastOf,
    Minimization,
    PermutedBlocks,
)
from trial_sim.design.look_rules import Observed
from trial_sim.numerics.order_statistics import kth_smallest
from trial_sim.numerics.random_streams import Streams

ARMS = {"control": 1, "treatment": 1}


def make(**changes):
    fields = {
        "arms": ARMS,
        "n_patients": 200,
        "accrual": ts.Accrual(rate=20.0),
        "looks": ts.EventLooks([50, 100]),
        "boundaries": Bounds([2.8, 1.98]),
    }
    return Design(**{**fields, **changes})


# -- accrual and dropout ---------------------------------------------------------------------------


def test_poisson_accrual_has_the_planned_mean_and_spread():
    accrual = ts.Accrual(rate=[5.0, 20.0], breakpoints=[4.0])
    times = accrual.sample(Streams.span(1, 0, 4000), 100)
    assert (np.diff(times, axis=1) > 0).all()
    # 20 patients by month 4, then 20 a month
    assert accrual.expected_time(100) == pytest.approx(8.0)
    counts = (times <= 6.0).sum(axis=1)
    assert counts.mean() == pytest.approx(60, abs=4 * np.sqrt(60 / 4000))
    assert counts.var() == pytest.approx(60, rel=0.1)


def test_even_and_uniform_accrual():
    even = ts.Accrual(rate=10.0, process="even").sample(Streams.span(1, 0, 2), 50)
    assert np.allclose(np.diff(even), 0.1)
    uniform = ts.Accrual(rate=10.0, process="uniform").sample(Streams.span(1, 0, 2000), 50)
    assert uniform.max() < 5.0
    assert stats.kstest(uniform[:, 24], stats.beta(25, 26, scale=5).cdf).pvalue > 1e-4


def test_rate_uncertainty_seasons_and_sites():
    certain = ts.Accrual(rate=20.0).sample(Streams.span(1, 0, 2000), 200)[:, -1]
    doubtful = ts.Accrual(rate=20.0, rate_cv=0.3).sample(Streams.span(1, 0, 2000), 200)[:, -1]
    assert doubtful.std() > 3 * certain.std()
    factors = [1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1]
    seasonal = ts.Accrual(rate=20.0, seasonality=factors, opening_month=6)
    times = seasonal.sample(Streams.span(1, 0, 50), 200)
    assert not ((times > 1) & (times < 3)).any()  # July and August are closed
    assert seasonal.expected_time(40) == pytest.approx(4.0)
    sites = ts.Accrual.from_sites([0, 2, 4], rate_per_site=3.0, ramp=4.0)
    starts, rates = sites.pieces()
    assert rates[-1] == pytest.approx(9.0) and rates[0] == pytest.approx(0.75)
    assert starts[-1] == pytest.approx(7.0)
    assert (np.diff(rates) > 0).all()


def test_dropout_by_arm_and_piece():
    dropout = ts.Dropout(rate=[0.02, 0.0], breakpoints=[6.0], by_arm={"treatment": [0.0, 0.1]})
    arm = np.zeros((400, 200), np.int8)
    arm[:, ::2] = 1
    times = dropout.sample(Streams.span(2, 0, 400), arm, ["control", "treatment"])
    control, treated = times[:, 1::2], times[:, ::2]
    assert (control < 6).mean() == pytest.approx(1 - np.exp(-0.12), abs=0.006)
    assert np.isinf(control[control > 6]).all()
    assert treated.min() > 6
    assert (treated < 16).mean() == pytest.approx(1 - np.exp(-1), abs=0.01)
    assert ts.Dropout.from_probability(0.05, 12).rate == pytest.approx(-np.log(0.95) / 12)
    assert ts.Dropout().sample(Streams.span(2, 0, 4), arm[:4], ["a", "b"]) is None


# -- looks -----------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0, 1e6) | st.just(np.inf), min_size=1, max_size=120),
    st.integers(1, 130),
    st.integers(1, 130),
)
@example([0.0, 1.1125369292536007e-308], 1, 1)
def test_kth_smallest_is_that_of_a_sort(values, first, second):
    ranks = np.array(sorted({first, second}), dtype=np.int64)
    out = np.empty((1, len(ranks)))
    kth_smallest(np.array([values]), ranks, out)
    finite = np.sort([v for v in values if np.isfinite(v)])
    expected = [finite[r - 1] if r <= len(finite) else np.inf for r in ranks]
    assert out[0].tolist() == expected


def test_kth_smallest_with_an_outlier_that_crowds_one_bin():
    values = np.append(np.random.default_rng(1).random(300), 1e9)[None, :]
    out = np.empty((1, 3))
    kth_smallest(values, np.array([1, 150, 301]), out)
    assert np.array_equal(out[0], np.sort(values[0])[[0, 149, 300]])


def test_rules_of_looks():
    enrolment = np.array([[1.0, 2.0, 3.0, 4.0]])
    event = np.array([[5.0, np.inf, 4.0, 20.0]])
    exits = np.array([[5.0, 2.5, 4.0, 20.0]])
    seen = Observed(enrolment, event, exits, np.isfinite(event))
    assert ts.EventLooks([1, 3]).times(seen).tolist() == [[4.0, 20.0]]
    assert ts.EventLooks([4]).times(seen)[0, 0] == np.inf
    assert ts.CalendarLooks([6, 12]).times(seen).tolist() == [[6.0, 12.0]]
    assert EnrolmentLooks([2, 4], follow_up=3).times(seen).tolist() == [[5.0, 7.0]]
    # the second patient dropped out after half a month and never counts
    assert FollowUpLooks([1, 3], months=6).times(seen).tolist() == [[7.0, 10.0]]
    events, calendar = ts.EventLooks([1, 3]), ts.CalendarLooks([6, 12])
    assert FirstOf([events, calendar]).times(seen).tolist() == [[4.0, 12.0]]
    assert LastOf([events, calendar]).times(seen).tolist() == [[6.0, 20.0]]


# -- randomisation ---------------------------------------------------------------------------------


def _none(n_trials, n):
    return np.zeros((0, n_trials, n), np.int8), np.zeros(0, np.int64)


@pytest.mark.parametrize(("quota", "size"), [((1, 1), 2), ((1, 1), 6), ((2, 1), 6), ((1, 2, 1), 8)])
def test_permuted_blocks_balance_every_block(quota, size):
    streams, n = Streams.span(3, 0, 50), 5 * size
    arm = PermutedBlocks(size).allocate(streams, np.array(quota), *_none(50, n))
    blocks = arm.reshape(50, 5, size)
    for code, share in enumerate(quota):
        assert ((blocks == code).sum(axis=2) == share * size // sum(quota)).all()
    assert len(np.unique(blocks.reshape(-1, size), axis=0)) > 1


def test_two_arm_blocks_are_those_of_the_general_urn():
    streams = Streams.span(3, 0, 40)
    fast = PermutedBlocks(4).allocate(streams, np.array([1, 1]), *_none(40, 101))
    one_level = np.zeros((1, 40, 101), np.int8)
    general = PermutedBlocks(4).allocate(streams, np.array([1, 1]), one_level, np.array([1]))
    assert np.array_equal(fast, general)


def test_other_rules():
    streams, n = Streams.span(3, 0, 300), 120
    codes = (Streams.span(4, 0, 300).uniform("x", n) < 0.3).astype(np.int8)[None]
    levels, quota = np.array([2]), np.array([2, 1])
    complete = CompleteRandomization().allocate(streams, quota, codes, levels)
    assert (complete == 0).mean() == pytest.approx(2 / 3, abs=0.01)
    coin = BiasedCoin(0.9).allocate(streams, quota, codes, levels)
    minimised = Minimization(0.9).allocate(streams, quota, codes, levels)
    inside = codes[0] == 1
    for rule in (coin, minimised):
        gap = ((rule == 0) & inside).sum(axis=1) / 2 - ((rule == 1) & inside).sum(axis=1)
        chance = ((complete == 0) & inside).sum(axis=1) / 2 - ((complete == 1) & inside).sum(axis=1)
        assert gap.std() < 0.5 * chance.std()
        assert (rule == 0).mean() == pytest.approx(2 / 3, abs=0.01)
    certain = Minimization(1.0).allocate(streams, np.array([1, 1]), codes, levels)
    assert np.abs(2 * (certain == 0).sum(axis=1) - n).max() <= 4


# -- records ---------------------------------------------------------------------------------------


def test_design_round_trips():
    gs = ts.group_sequential(
        information_fractions=(0.5, 1), alpha=0.025, power=0.9, efficacy="obrien_fleming",
        futility=("hwang_shih_decani", -2),
    )  # fmt: skip
    design = make(
        boundaries=gs,
        strata={"sex": {"f": 0.4, "m": 0.6}},
        stratified=True,
        randomization=Minimization(0.7),
        test=("fleming_harrington", 0, 0.5),
        looks=FirstOf([ts.EventLooks([50, 100]), ts.CalendarLooks([12, 30])], lag=1.0),
        dropout=ts.Dropout(by_arm={"treatment": 0.01}),
    )
    assert Design.from_yaml(design.to_yaml()) == design
    assert Design.from_json(design.to_json()) == design
    assert design.hash == Design.from_json(design.to_json()).hash
    assert design.replace(n_patients=300).hash != design.hash
    assert design.quota.tolist() == [1, 1]
    assert make(arms={"a": 1, "b": 1.5}).quota.tolist() == [2, 3]
    assert make(control="treatment").arm_names == ("treatment", "control")


def test_designs_print_well():
    text = str(
        make(arms={"control": 1, "treatment": 2}, boundaries=Bounds([2.8, 1.98], [0.1, 1.9]))
    )
    assert text.splitlines()[0] == "Design: 200 patients, 1 control : 2 treatment, logrank"
    assert "complete about month 10.0" in text
    assert "look 1: reject at z >= 2.8000, futility at z <= 0.1000" in text


def test_yaml_with_bare_sections():
    text = """
    arms: {control: 1, treatment: 2}
    n_patients: 90
    accrual: {rate: 10}
    looks: {events: [20, 40]}
    boundaries: {information_fractions: [0.5, 1], efficacy: pocock}
    """
    design = Design.from_yaml(text)
    assert design.efficacy_bounds == pytest.approx([2.178, 2.178], abs=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_patients": 1}, "at least 2, got 1"),
        ({"arms": {"control": 1}}, "at least two arms"),
        ({"arms": {"control": 1, "treatment": 0}}, "'treatment' must be positive"),
        ({"arms": {"control": 1, "treatment": np.nan}}, "must be positive, got nan"),
        ({"control": "contrl"}, "did you mean 'control'"),
        ({"dropout": ts.Dropout(by_arm={"treatmnt": 0.1})}, "did you mean 'treatment'"),
        ({"alpha": 2}, "alpha must be between 0 and 0.5"),
        ({"n_patients": float("nan")}, "whole number of at least 2, got nan"),
        ({"n_patients": "200"}, "whole number of at least 2, got '200'"),
        ({"test": "log_rank"}, "did you mean 'logrank'"),
        ({"test": ("fleming_harrington", 1)}, "takes 2 parameter"),
        ({"test": ("max_combo", ["cox"])}, "weight 'cox'"),
        ({"looks": ts.EventLooks([50])}, "boundaries have 2 look"),
        ({"accrual": ts.Accrual(rate=[20, 0], breakpoints=[5])}, "never finishes.*100 patients"),
        ({"strata": {"sex": {"f": 0.5, "m": 0.6}}}, "sum to 1"),
        ({"stratified": True}, "needs strata"),
        ({"follow_up": -1}, "follow_up must be positive"),
        ({"better": "up"}, "'higher' or 'lower'"),
    ],
)
def test_bad_designs(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)


@pytest.mark.parametrize(
    ("make_it", "message"),
    [
        (lambda: ts.Accrual(rate=0), "never finishes"),
        (lambda: ts.Accrual(rate=-3), "must be positive"),
        (lambda: ts.Accrual(rate=np.nan), "NaN"),
        (lambda: ts.Accrual(rate=[1, 2]), "needs 1 breakpoint"),
        (lambda: ts.Accrual(rate=1, process="poison"), "did you mean 'poisson'"),
        (lambda: ts.Accrual(rate=1, seasonality=[1, 2]), "twelve"),
        (lambda: ts.Dropout(rate=-1), "0 or more"),
        (lambda: ts.EventLooks([100, 50]), "increasing"),
        (lambda: ts.EventLooks([10.5]), "whole numbers"),
        (lambda: ts.EventLooks([]), "at least one look"),
        (lambda: ts.CalendarLooks([0, 5]), "positive and increasing"),
        (lambda: ts.EventLooks([5], lag=-1), "lag must be 0 or more"),
        (lambda: FirstOf([ts.EventLooks([5]), ts.CalendarLooks([5, 6])]), "same number"),
        (lambda: Bounds([2.0, 2.0], [0.0, 2.5]), "futility bound 2.5 is above efficacy bound 2"),
        (lambda: Bounds([2, 2], information_fractions=[0.7, 0.5]), "increasing"),
        (lambda: Minimization(1.5), "probability must be"),
        (lambda: Design.from_dict({"n_patient": 5}), "did you mean 'n_patients'"),
        (lambda: make().replace(n_patient=5), "did you mean 'n_patients'"),
    ],
)
def test_bad_records(make_it, message):
    with pytest.raises(ValueError, match=message):
        make_it()


def test_block_size_must_fit_the_allocation():
    design = make(randomization=PermutedBlocks(5))
    with pytest.raises(ValueError, match="multiple of 2"):
        ts.simulate(design, ts.PiecewiseExponential(control_median=12), n_trials=1)


def test_unreachable_looks_are_named():
    with pytest.warns(UserWarning, match=r"look\(s\) 2 cannot be reached with 80 patients"):
        make(n_patients=80)


@pytest.mark.parametrize(
    ("make_it", "message"),
    [
        (lambda: make(arms="control"), "arms must be a mapping"),
        (lambda: make(arms={"control": 1, "treatment": "one"}), "allocation of arm 'treatment'"),
        (lambda: make(alpha="0.05"), "alpha must be a number, got '0.05'"),
        (lambda: make(readout="3"), "readout must be a number"),
        (lambda: make(max_duration="36"), "max_duration must be a number"),
        (lambda: ts.EventLooks([5], lag="1"), "lag must be a number"),
    ],
)
def test_text_where_numbers_belong(make_it, message):
    with pytest.raises(TypeError, match=message):
        make_it()


def test_dropout_by_arm_and_piece_is_the_same_after_yaml_and_json():
    dropout = ts.Dropout(rate=[0.01, 0.02], breakpoints=[6], by_arm={"high": [0.02, 0.03]})
    assert ts.Dropout.from_yaml(dropout.to_yaml()) == dropout
    assert ts.Dropout.from_json(dropout.to_json()) == dropout
    assert dropout.by_arm == {"high": (0.02, 0.03)}


def test_boundaries_for_other_fractions_than_the_looks_have_are_said():
    gs = ts.group_sequential((0.9, 1), efficacy="lan_demets_pocock")
    with pytest.warns(UserWarning, match=r"\[0\.9, 1\.0\].*\[0\.1, 1\.0\].*max_information=300"):
        make(looks=ts.EventLooks([30, 300]), boundaries=gs, n_patients=400)
    plain = Bounds([2.5, 2.0], information_fractions=[0.9, 1.0])
    with pytest.warns(UserWarning, match="Make the boundaries for the looks' fractions"):
        make(looks=ts.EventLooks([30, 300]), boundaries=plain, n_patients=400)
    with pytest.warns(UserWarning, match="the looks have"):
        make(looks=EnrolmentLooks([40, 400]), boundaries=gs, n_patients=400, test="t_test")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(looks=ts.EventLooks([30, 300]), boundaries=gs, n_patients=400, max_information=300)
        thirds = ts.group_sequential((1 / 3, 2 / 3, 1))
        make(looks=ts.EventLooks([110, 220, 331]), boundaries=thirds, n_patients=400)
        make(looks=ts.EventLooks([100, 331]), boundaries=Bounds([3, 2]), n_patients=400)
        make(looks=EnrolmentLooks([100, 331]), boundaries=ts.group_sequential((0.5, 1)),
             n_patients=400)  # fmt: skip


def test_a_quota_gives_each_level_its_share_of_every_block() -> None:
    """Also of a queue made longer, whose first patients stay what they were."""
    design = ts.Design(
        arms={"c": 1, "t": 1},
        n_patients=50,
        accrual=ts.Accrual(rate=10),
        looks=ts.EnrolmentLooks([50]),
        test=("z_test", 1),
        strata={"marker": {"S": 0.3, "rest": 0.7}, "sex": {"f": 0.5, "m": 0.5}},
        strata_quota=20,
    )
    streams = Streams.span(1, 0, 40)
    drawn, longer = design.draw_strata(streams), design.draw_strata(streams, 120)
    for factor, count in (("marker", 6), ("sex", 10)):
        assert (drawn[factor] == longer[factor][:, :50]).all()
        blocks = longer[factor].reshape(40, 6, 20)
        assert ((blocks == 0).sum(axis=2) == count).all()
        assert len(np.unique(blocks[:, 0], axis=0)) > 30  # in an order of chance
    assert ts.Design.from_dict(design.to_dict()) == design
    assert "strata_quota" not in design.replace(strata_quota=None).to_dict()


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"strata_quota": 7}, "no whole number of marker 'S'"),
        ({"strata_quota": 1}, "strata_quota"),
        ({"strata": {}}, "strata_quota needs strata"),
    ],
)
def test_a_quota_that_cannot_be_kept_is_refused(changes, told) -> None:
    fields = {
        "arms": {"c": 1, "t": 1},
        "n_patients": 50,
        "accrual": ts.Accrual(rate=10),
        "looks": ts.EnrolmentLooks([50]),
        "test": ("z_test", 1),
        "strata": {"marker": {"S": 0.3, "rest": 0.7}},
        "strata_quota": 20,
    }
    with pytest.raises(ValueError, match=told):
        ts.Design(**(fields | changes))
