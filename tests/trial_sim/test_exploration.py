"""What-if grids, searches and assurance."""

import copy
import warnings

import matplotlib
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import trial_sim as ts
from trial_sim.design.design import Bounds, Design
from trial_sim.exploration.assurance import simulate_assurance
from trial_sim.exploration.fields import find_field, set_fields
from trial_sim.exploration.grid import latin_hypercube
from trial_sim.exploration.worst_case import worst_case_type_one_error
from trial_sim.sample_size.assurance import assurance as normal_assurance
from trial_sim.scenarios import ContinuousResponse

matplotlib.use("Agg")
OUTCOMES = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.7)
DESIGN = Design(
    arms={"control": 1, "treatment": 1},
    n_patients=300,
    accrual=ts.Accrual(rate=20.0),
    dropout=ts.Dropout(rate=0.004),
    looks=ts.EventLooks([100, 200]),
    boundaries=Bounds([2.8, 1.98]),
)


# -- fields by name --------------------------------------------------------------------------------


def test_fields_are_found_by_name():
    assert find_field(DESIGN, OUTCOMES, "hazard_ratio") == ("outcomes", "hazard_ratio")
    assert find_field(DESIGN, OUTCOMES, "n_patients") == ("design", "n_patients")
    assert find_field(DESIGN, OUTCOMES, "accrual.rate") == ("design", "accrual", "rate")
    assert find_field(DESIGN, OUTCOMES, "design.dropout.rate") == ("design", "dropout", "rate")
    assert find_field(DESIGN, OUTCOMES, "arms.treatment") == ("design", "arms", "treatment")
    assert find_field(DESIGN, OUTCOMES, "rate_cv") == ("design", "accrual", "rate_cv")
    with pytest.raises(ValueError, match="did you mean 'hazard_ratio'"):
        find_field(DESIGN, OUTCOMES, "hazard_ration")
    with pytest.raises(
        ValueError, match=r"could be design\.accrual\.rate or design\.dropout\.rate"
    ):
        find_field(DESIGN, OUTCOMES, "rate")


def test_fields_that_fit_only_together_are_set_together():
    changes = {"looks": ts.EventLooks([150]), "boundaries": Bounds([1.96]), "accrual.rate": 30}
    design, outcomes = set_fields(DESIGN, OUTCOMES, {**changes, "control_median": 9})
    assert design.n_looks == 1 and design.accrual.rate == 30 and outcomes.control_median == 9
    assert DESIGN.n_looks == 2
    with pytest.raises(ValueError, match="boundaries have 2 look"):
        set_fields(DESIGN, OUTCOMES, {"looks": ts.EventLooks([150])})


# -- grids -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def grid():
    return ts.what_if(
        DESIGN, OUTCOMES, {"hazard_ratio": [1.0, 0.8, 0.6], "n_patients": [250, 300]},
        n_trials=1000, seed=2,
    )  # fmt: skip


def test_a_grid_is_every_combination_simulated_alike(grid):
    assert len(grid) == 6 and grid.parameters == ["hazard_ratio", "n_patients"]
    row = grid[(grid["hazard_ratio"] == 0.8) & (grid["n_patients"] == 250)].iloc[0]
    alone = ts.simulate(
        DESIGN.replace(n_patients=250), OUTCOMES.replace(hazard_ratio=0.8), 1000, seed=2
    )
    base = ts.simulate(DESIGN, OUTCOMES, 1000, seed=2)
    assert row["power"] == alone.power and row["power_mcse"] == alone.mcse("power")
    assert row["expected_duration"] == pytest.approx(alone.expected_duration)
    paired = alone.compare(base)
    assert row["power_difference"] == pytest.approx(paired.estimate)
    assert row["power_difference_mcse"] == pytest.approx(paired.mcse)
    assert grid.base["power"] == base.power and grid.base["hazard_ratio"] == 0.7
    power = grid.table.pivot_table(index="hazard_ratio", columns="n_patients", values="power")
    assert (np.diff(power, axis=0) < 0).all()


def test_a_what_if_is_a_record_whose_table_still_answers_for_it(grid):
    assert type(grid.table) is pd.DataFrame and len(grid) == len(grid.table)
    assert "power" in grid and grid["power"].equals(grid.table["power"])
    assert str(grid) == str(grid.table)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what a record has is no old use
        grid.parameters, grid.base, grid.levers(), grid.sampling, copy.copy(grid)
    for name in ("columns", "head", "loc", "power", "attrs"):
        with pytest.warns(FutureWarning, match=r"\.table|fields now"):
            old = getattr(grid, name)
        if name != "attrs":
            assert np.array_equal(grid.table.columns, old) if name == "columns" else old is not None
    assert old["sampling"] == "grid" and old["base"] == grid.base and old["seed"] == 2
    with pytest.raises(AttributeError, match="no attribute 'powr'"):
        _ = grid.powr
    with pytest.raises((TypeError, ValueError)):  # refused rather than a list of column names
        pd.DataFrame(grid)


def test_tuples_change_together_and_numbers_may_be_separate():
    variations = {("looks", "boundaries"): [(ts.EventLooks([180]), Bounds([1.96]))]}
    tied = ts.what_if(DESIGN, OUTCOMES, variations, n_trials=200)
    assert tied["expected_events"].item() == 180
    apart = ts.what_if(
        DESIGN, OUTCOMES, {"hazard_ratio": [0.7]}, n_trials=400, common_random_numbers=False
    )
    assert apart["power_difference_mcse"].item() > 0
    shared = ts.what_if(DESIGN, OUTCOMES, {"hazard_ratio": [0.7]}, n_trials=400)
    assert shared["power_difference_mcse"].item() == 0


def test_unreachable_looks_are_noted():
    table = ts.what_if(DESIGN, OUTCOMES, {"n_patients": [180, 300]}, n_trials=50)
    assert "look(s) 2 cannot be reached" in table["note"][0] and table["note"][1] == ""


def test_latin_hypercube_fills_every_slice():
    ranges = {
        "control_median": (6, 18),
        "n_patients": (200, 400),
        "hazard_ratio": stats.norm(0.7, 0.1),
    }
    base = {"control_median": 12.0, "n_patients": 300, "hazard_ratio": 0.7}
    points = pd.DataFrame(latin_hypercube(ranges, base, 20, seed=4))
    slices = np.floor((points["control_median"] - 6) / 12 * 20).astype(int)
    assert sorted(slices) == list(range(20))
    assert points["n_patients"].dtype.kind == "i"
    ranks = np.floor(stats.norm(0.7, 0.1).cdf(points["hazard_ratio"]) * 20).astype(int)
    assert sorted(ranks) == list(range(20))
    assert not pd.DataFrame(latin_hypercube(ranges, base, 20, seed=5)).equals(points)
    table = ts.what_if(
        DESIGN, OUTCOMES, ranges, n_trials=30, sampling="latin_hypercube", n_points=9
    )
    assert len(table) == 9


def test_one_at_a_time_and_levers():
    table = ts.what_if(
        DESIGN, OUTCOMES,
        {"hazard_ratio": [0.6, 0.8], "n_patients": [260], "accrual.rate": [30.0]},
        n_trials=500, sampling="one_at_a_time",
    )  # fmt: skip
    assert len(table) == 4
    assert table["n_patients"].tolist() == [300, 300, 260, 300]
    levers = table.levers()
    assert levers["change"].tolist() == [
        "hazard_ratio=0.6", "hazard_ratio=0.8", "n_patients=260", "accrual.rate=30.0",
    ]  # fmt: skip
    row = levers.iloc[1]
    assert row["power_per_month"] == pytest.approx(row["power_gain"] / row["extra_months"])


def test_plots(grid):
    axes = grid.plot()
    assert axes.get_xlabel() == "hazard ratio" and len(axes.texts) == 6
    assert len(grid.plot("curve").containers) == 2
    tornado = ts.what_if(
        DESIGN, OUTCOMES, {"hazard_ratio": [0.6, 0.8], "n_patients": [260]}, n_trials=100,
        sampling="one_at_a_time",
    )  # fmt: skip
    axes = tornado.plot()
    # the field that moves the power most is on top
    assert axes.get_yticklabels()[-1].get_text() == "hazard ratio"
    assert len(axes.patches) == 3
    cloud = ts.what_if(
        DESIGN, OUTCOMES, {"hazard_ratio": (0.6, 0.9)}, n_trials=50, n_points=5,
        sampling="latin_hypercube",
    )  # fmt: skip
    assert len(cloud.plot().collections[0].get_offsets()) == 5
    with pytest.raises(ValueError, match="did you mean 'heatmap'"):
        grid.plot("heat_map")
    with pytest.raises(ValueError, match="did you mean 'power'"):
        grid.plot(value="powr")
    with pytest.raises(ValueError, match="one_at_a_time"):
        grid.plot("tornado")


# -- searches --------------------------------------------------------------------------------------


def test_cheapest_design():
    table = ts.what_if(
        DESIGN, OUTCOMES, {"n_patients": [210, 260, 320], "accrual.rate": [15.0, 25.0]},
        n_trials=400, seed=3,
    )  # fmt: skip
    best = table.cheapest(power=0.6, max_duration=30)
    fit = table[(table["power"] >= 0.6) & (table["expected_duration"] <= 30)]
    assert best["expected_patients"] == fit["expected_patients"].min()
    prices = {"patients": 1.0, "months": 40.0}
    priced = table.cheapest(power=0.6, cost=prices)
    cost = table["expected_patients"] + 40 * table["expected_duration"]
    assert priced["cost"] == pytest.approx(cost[table["power"] >= 0.6].min())
    with pytest.raises(ValueError, match=r"no design has a power of 0\.99"):
        table.cheapest(power=0.99)
    with pytest.raises(ValueError, match="no price for 'patient'; did you mean 'patients'"):
        table.cheapest(cost={"patient": 1})


def test_the_cheapest_design_does_not_choose_the_truth():
    planned = OUTCOMES.hazard_ratio
    table = ts.what_if(
        DESIGN, OUTCOMES, {"n_patients": [210, 320], "hazard_ratio": [0.4, planned]},
        n_trials=200, seed=3,
    )  # fmt: skip
    best = table.cheapest(power=0.5)
    assert best["hazard_ratio"] == planned
    candidates = table[(table["hazard_ratio"] == planned) & (table["power"] >= 0.5)]
    assert best["expected_patients"] == candidates["expected_patients"].min()
    without = ts.what_if(DESIGN, OUTCOMES, {"hazard_ratio": [0.4, 0.5]}, n_trials=20, seed=3)
    with pytest.raises(ValueError, match="'hazard_ratio' is an assumption, not a choice"):
        without.cheapest(power=0.5)


def test_worst_case_type_one_error_finds_the_weak_spot():
    # An anti-conservative bound at an early calendar look: worse the more information there is.
    design = DESIGN.replace(boundaries=Bounds([1.96, 1.96]))
    null = ts.PiecewiseExponential(control_median=12)
    ranges = {"control_median": (6.0, 24.0), "dropout.rate": (0.0, 0.02)}
    worst = worst_case_type_one_error(
        design, null, ranges, n_trials=3000, n_points=8, n_finalists=2
    )
    assert 0.035 < worst.type_one_error.estimate < 0.055  # two looks at 1.96: .0416
    assert set(worst.parameters) == set(ranges) and len(worst.finalists) == 2
    assert len(worst.search) == 8
    with pytest.raises(ValueError, match=r"needs a hazard ratio of 1, got 0\.7"):
        worst_case_type_one_error(design, OUTCOMES, ranges)


# -- assurance and adjustment ----------------------------------------------------------------------


def test_assurance_agrees_with_the_closed_form():
    # A normal outcome with known sd is the closed form; n = 400 makes t nearly z.
    design = Design(
        arms={"control": 1, "treatment": 1}, n_patients=400, accrual=ts.Accrual(rate=50.0),
        looks=ts.EventLooks([400]), test="t_test",
    )  # fmt: skip
    outcomes = ContinuousResponse(0.3)
    prior = {"difference": stats.norm(0.3, 0.15)}
    for definition in ("unconditional", "conditional_on_benefit", "joint"):
        found = simulate_assurance(
            design, outcomes, prior, n_draws=400, n_trials=60, seed=5, definition=definition,
            benefit=lambda p: p["difference"] > 0,
        )  # fmt: skip
        exact = normal_assurance(0.3, 0.15, 0.1, definition=definition)
        assert found.value.estimate == pytest.approx(exact, abs=3 * found.value.mcse)
    assert found.probability_of_benefit == pytest.approx(stats.norm.cdf(2), abs=0.003)
    assert found.power_at_base.estimate == pytest.approx(0.8508, abs=0.12)


def test_gain_from_adjusting_for_a_prognostic_score():
    # n(rho) = n(0) (1 - rho^2): power at 468 with delta .3 is .9006 and, with rho .5, .9630
    design = Design(
        arms={"control": 1, "treatment": 1}, n_patients=468, accrual=ts.Accrual(rate=50.0),
        looks=ts.EventLooks([468]), test="t_test",
    )  # fmt: skip
    outcomes = ContinuousResponse(0.3, correlation=0.5)
    table = ts.what_if(design, outcomes, {"test": ["t_test", "ancova"]}, n_trials=6000, seed=6)
    assert table["power"].tolist() == pytest.approx([0.9006, 0.9630], abs=0.012)
    assert table["power_difference"][1] == pytest.approx(0.0624, abs=0.012)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ts.what_if(DESIGN, OUTCOMES, {}), "at least one field"),
        (lambda: ts.what_if(DESIGN, OUTCOMES, {"hazard_ratio": 0.7}), "list of values, got 0.7"),
        (lambda: ts.what_if(DESIGN, OUTCOMES, {"hazard_ratio": [0.0]}), "must be positive"),
        (lambda: ts.what_if(DESIGN, OUTCOMES, {"x": [1]}), "no|neither"),
        (lambda: ts.what_if(DESIGN, OUTCOMES, {"alpha": [0.1]}, sampling="gird"), "mean 'g"),
        (lambda: ts.what_if(DESIGN, OUTCOMES, {"alpha": (0.2, 0.1)}, sampling="latin_hypercube"),
         "range of 'alpha'"),
        (lambda: simulate_assurance(DESIGN, OUTCOMES, {}, definition="joint"), "benefit must say"),
        (lambda: simulate_assurance(DESIGN, OUTCOMES, {"n_patients": (1, 2)}, definition="jont"),
         "did you mean 'joint'"),
    ],
)  # fmt: skip
def test_bad_calls(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("given", ["hazard_ratio", ["hazard_ratio"], ("hazard_ratio", [0.6])])
def test_what_is_no_mapping_is_refused_in_words(given):
    design = ts.Design(
        arms={"control": 1, "treatment": 1},
        n_patients=40,
        accrual=ts.Accrual(rate=10.0),
        looks=ts.CalendarLooks([12.0]),
    )
    outcomes = ts.PiecewiseExponential(control_median=6, hazard_ratio=0.7)
    with pytest.raises(ValueError, match="variations maps fields to values"):
        ts.what_if(design, outcomes, given, n_trials=10)
    fitted = ts.fit(ts.load_trial("gehan"), "relapse", seed=0)
    with pytest.raises(ValueError, match="sizes must be a mapping from arms to patients"):
        fitted.sample_trial(given)
