"""Boundaries from each trial's own information against `GroupSequential.update` and by error."""

import numpy as np
import pytest

import trial_sim as ts
from trial_sim.design.design import Bounds, Design
from trial_sim.scenarios import ContinuousResponse
from trial_sim.sequential.observed_spending import ObservedSpending

LD_OF = "lan_demets_obrien_fleming"
NULL = ts.PiecewiseExponential(control_median=12)
EFFECT = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.75)


def planned(**changes):
    return ts.group_sequential((1 / 3, 2 / 3, 1), **{"efficacy": LD_OF, **changes})


def calendar(boundaries, **changes):
    fields = {
        "arms": {"control": 1, "treatment": 1},
        "n_patients": 400,
        "accrual": ts.Accrual(rate=20.0),
        "looks": ts.CalendarLooks([13, 20, 30]),
        "boundaries": boundaries,
        "max_information": 240,
    }
    return Design(**{**fields, **changes})


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"futility": ("hwang_shih_decani", -3)},
        {"futility": ("hwang_shih_decani", -3), "binding": True},
        {"efficacy": "pocock", "futility": "obrien_fleming"},
        {"sided": 2, "alpha": 0.05},
        {"spending_fractions": (0.3, 0.7, 1)},
        {"efficacy": ("haybittle_peto", 3.0)},
        {"efficacy": ("haybittle_peto", 3.0), "sided": 2, "alpha": 0.05},
        {"efficacy": [None, 2.6, 2.0], "futility": [0.0, 0.4]},
        {"efficacy": [None, None, 1.96], "futility": [None, 0.4], "binding": True},
        {"futility": [0.0, 0.4]},
        {"efficacy": [3.0, None, 2.0], "futility": ("hwang_shih_decani", -3)},
    ],
    ids=[
        "efficacy",
        "non-binding",
        "binding",
        "shapes",
        "two-sided",
        "calendar clock",
        "haybittle",
        "haybittle, two-sided",
        "numbers",
        "numbers, binding",
        "futility numbers",
        "numbers and spent futility",
    ],
)
def test_the_bounds_are_those_of_update(rules):
    gs = planned(**rules)
    design = calendar(gs)
    done = ts.simulate(design, EFFECT, 60, seed=4).conducted
    fractions = done.events.sum(axis=2) / 240
    assert len({tuple(row) for row in fractions.tolist()}) > 30
    for i in range(60):
        held = done.last_look[i] + 1
        final = held == 3 or fractions[i, held - 1] >= 1
        exact = gs.update(fractions[i, :held], final=bool(final))
        np.testing.assert_allclose(done.efficacy[i, :held], exact.efficacy_bounds[:held], atol=1e-9)
        with_futility = held - 1 if final else held
        np.testing.assert_allclose(
            done.futility[i, :with_futility],
            exact.futility_bounds[:with_futility],
            atol=1e-9,
        )


def test_the_look_that_reaches_the_maximum_is_the_last():
    done = ts.simulate(calendar(planned(), max_information=150), NULL, 300, seed=4).conducted
    reached = done.events.sum(axis=2) >= 150
    assert reached[:, 1].any()
    assert (done.last_look[reached[:, 1]] == 1).all()
    assert (
        reached.argmax(axis=1)[reached.any(axis=1)] >= done.last_look[reached.any(axis=1)]
    ).all()


def test_type_one_error_is_spent_by_the_observed_information():
    """A first look at 6 % of the events instead of a third: planned bounds spend far too much."""
    gs = planned(efficacy="lan_demets_pocock")
    design = calendar(gs, looks=ts.CalendarLooks([5, 27, 30]), max_information=236)
    observed = ts.simulate(design, NULL, 20_000, seed=5)
    assert observed.power == pytest.approx(0.025, abs=3.5 * observed.mcse())
    clock = observed.conducted.events[:, 0].sum(axis=1) / 236
    expected = gs.efficacy.spent(clock, 0.025).mean()
    assert observed.stage_rejection[0] == pytest.approx(expected, abs=0.0015)
    fixed = ts.simulate(design.replace(max_information=None), NULL, 20_000, seed=5)
    assert fixed.stage_rejection[0] > 3 * expected


def test_event_looks_as_planned_keep_the_planned_bounds():
    gs = planned(futility=("kim_demets", 2))
    design = calendar(gs, looks=ts.EventLooks([80, 160, 240]))
    done = ts.simulate(design, EFFECT, 50, seed=4).conducted
    plain = ts.simulate(design.replace(max_information=None), EFFECT, 50, seed=4).conducted
    np.testing.assert_array_equal(done.decision, plain.decision)
    held = np.isfinite(done.efficacy)
    np.testing.assert_allclose(done.efficacy[held], plain.efficacy[held], atol=1e-9)


def test_adjusted_estimates_need_common_boundaries():
    by_events = calendar(planned(), looks=ts.EventLooks([80, 160, 240]))
    assert ts.simulate(by_events, EFFECT, 40, seed=4).adjusted_estimates() is not None
    by_calendar = ts.simulate(calendar(planned()), EFFECT, 40, seed=4)
    assert by_calendar.adjusted_estimates() is None
    assert set(by_calendar.estimate_performance(np.log(0.75))["method"]) == {"naive"}


def test_responses_count_as_information():
    gs = planned()
    design = calendar(
        gs, test="t_test", readout=3.0, looks=ts.CalendarLooks([10, 16, 24]), max_information=380
    )
    result = ts.simulate(design, ContinuousResponse(0.3), 30, seed=4)
    known = result.conducted.events[:, 0].sum(axis=1)
    np.testing.assert_allclose(
        result.conducted.efficacy[0, 0], gs.update([known[0] / 380]).efficacy_bounds[0], atol=1e-9
    )
    replay = result.replay(0)
    assert replay.looks["efficacy_bound"].to_numpy() == pytest.approx(
        result.conducted.efficacy[0, : len(replay.looks)]
    )


def test_a_look_without_new_information():
    spending = ObservedSpending(planned(), 100)
    same = np.array([[0.5, 0.5]])
    first, low = spending.bounds(same[:, :1], np.empty((1, 0)), np.empty((1, 0)), np.array([False]))
    again, _ = spending.bounds(same, first[:, None], low[:, None], np.array([False]))
    assert again[0] > first[0]  # next to nothing is left to spend at the same time
    final, _ = spending.bounds(same, first[:, None], low[:, None], np.array([True]))
    assert np.isfinite(final[0]) and final[0] < first[0]


def test_workers_and_files_do_not_matter():
    design = calendar(planned(futility=("kim_demets", 2)))
    read = Design.from_dict(design.to_dict())
    a = ts.simulate(design, EFFECT, 90, seed=4).conducted
    b = ts.simulate(read, EFFECT, 90, seed=4, n_jobs=2, chunk_trials=7).conducted
    np.testing.assert_array_equal(a.efficacy, b.efficacy)
    np.testing.assert_array_equal(a.decision, b.decision)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_information": 0}, "must be a positive number, got 0"),
        ({"boundaries": Bounds([3, 2.5, 2])}, "needs boundaries from group_sequential"),
        ({"boundaries": None}, "needs boundaries from group_sequential"),
        (
            {"boundaries": planned(sided=2, alpha=0.05, futility=("kim_demets", 2))},
            "got two-sided boundaries with futility",
        ),
    ],
)
def test_bad_input(changes, message):
    with pytest.raises(ValueError, match=message):
        calendar(**{"boundaries": planned(), **changes})
