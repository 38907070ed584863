"""Bounds of several arms over several stages, against published values and other programs' ways."""

import numpy as np
import pytest
from scipy.special import ndtri

import trial_sim as ts
from trial_sim.sequential.boundaries import exit_probabilities
from trial_sim.sequential.family_bounds import dunnett_bounds

BETTER, SLIGHTLY = np.sqrt(2) * ndtri(0.65), np.sqrt(2) * ndtri(0.55)  # of P(better) .65 and .55


@pytest.fixture(scope="module")
def triangular() -> ts.multi_arm_bounds:
    return ts.multi_arm_bounds(3, alpha=0.05, control=2)


def test_published_designs(triangular) -> None:
    """Jaki, Pallmann & Magirr (2019), designs m1, m2, m3; ordinal and survival endpoints."""
    assert triangular.efficacy_bounds == pytest.approx([2.359, 2.224], abs=1e-3)
    assert triangular.futility_bounds == pytest.approx([0.786, 2.224], abs=1e-3)
    size = triangular.sample_size(BETTER, SLIGHTLY)
    assert size == ((76, 38, 38, 38), (152, 76, 76, 76))
    single = ts.multi_arm_bounds(3, (1,), 0.05)
    assert single.sample_size(BETTER, SLIGHTLY) == ((79, 79, 79, 79),)
    equal = ts.multi_arm_bounds(3, alpha=0.05)
    assert equal.efficacy_bounds == pytest.approx([2.330, 2.197], abs=1e-3)
    prob = np.array([0.075, 0.182, 0.319, 0.243, 0.015, 0.166])
    root = np.sqrt((1 - (prob**3).sum()) / 3)
    size = equal.sample_size(np.log(3.06) * root, np.log(1.32) * root)
    assert size[0][0] == 34
    assert equal.sample_size(np.log(1.5), np.log(1.1))[0][0] == 81


def test_three_stages_of_the_published_table() -> None:
    """Its table 1: 34 patients an arm and stage, 217.8 expected (100,000 simulated trials)."""
    bounds = ts.multi_arm_bounds(3, (1 / 3, 2 / 3, 1), 0.05)
    found = bounds.chances([BETTER, SLIGHTLY, SLIGHTLY], first_stage=34)
    assert 0.9 <= found.selected[0] < 0.91
    assert found.expected_n == pytest.approx(217.8, abs=1)
    assert sum(bounds.chances().any_rejected) == pytest.approx(0.05, abs=1e-7)


def test_sizes_that_came_and_custom_shapes(triangular) -> None:
    seen = triangular.update([[75, 40, 35, 41], [152, 76, 76, 76]], held=1)
    assert seen.efficacy_bounds == pytest.approx([2.359, 2.224], abs=1e-3)
    assert sum(seen.chances().any_rejected) == pytest.approx(0.05, abs=1e-8)


def test_step_down_bounds_of_every_intersection() -> None:
    sizes = [[76, 38, 38, 38], [152, 76, 76, 76]]
    for selection, later in (("all_promising", (1.72, 2.06, 2.22)), ("best", (1.71, 2.02, 2.17))):
        found = ts.step_down_bounds(sizes, (0.026, 0.05), 0.7865, selection)
        for arms, first, second in zip([(1,), (1, 2), (1, 2, 3)], (1.94, 2.21, 2.36), later):
            assert found[arms] == pytest.approx((first, second), abs=0.01)
        assert len(found) == 7


def test_one_arm_is_a_group_sequential_trial() -> None:
    bounds = ts.multi_arm_bounds(1, (0.3, 0.7, 1), 0.025, "obrien_fleming", 0.2)
    exits = exit_probabilities(
        np.array([0.3, 0.7, 1]), np.array(bounds.efficacy_bounds),
        np.array(bounds.futility_bounds), 0.0, 1,
    )  # fmt: skip
    assert exits.rejection.sum() == pytest.approx(0.025, abs=1e-9)
    assert bounds.chances().any_rejected == pytest.approx(exits.rejection, abs=1e-9)


def test_without_futility_they_are_dunnetts_bounds_over_stages() -> None:
    bounds = ts.multi_arm_bounds(4, (0.5, 1), 0.025, "pocock", None, control=2)
    spent = np.cumsum(bounds.chances().any_rejected)
    other = dunnett_bounds([0.5, 1], spent, [0.5] * 4)
    assert bounds.efficacy_bounds == pytest.approx(other, abs=1e-7)
    once = ts.multi_arm_bounds(5, (1,), 0.025)
    assert once.efficacy_bounds[0] == pytest.approx(ts.dunnett_critical_value(5), abs=1e-9)


def test_every_chance_is_that_of_simulated_trials() -> None:
    sizes = np.array([[30, 20, 40, 25], [70, 45, 60, 50]])
    bounds = ts.multi_arm_bounds(3, alpha=0.05, sizes=sizes)
    theta = np.array([0.5, 0.2, 0.4])
    found = bounds.chances(theta)
    rng, n = np.random.default_rng(5), 200_000
    steps = np.diff(sizes, axis=0, prepend=0)
    means = [0.0, *theta]
    sums = np.cumsum(
        [step * means + np.sqrt(step) * rng.standard_normal((n, 4)) for step in steps], axis=0
    )
    mean = sums / sizes[:, None, :]
    z = (mean[:, :, 1:] - mean[:, :, :1]) / np.sqrt(1 / sizes[:, None, 1:] + 1 / sizes[:, None, :1])
    high, low = bounds.efficacy_bounds, bounds.futility_bounds
    early = (z[0] >= high[0]).any(axis=1)
    on = (z[0] > low[0]) & ~early[:, None]
    late = on & (z[1] >= high[1])
    rejected = np.where(early[:, None], z[0] >= high[0], late)
    at = np.where(early[:, None], z[0], np.where(late, z[1], -9)).argmax(axis=1)
    best = np.array([(rejected.any(axis=1) & (at == k)).mean() for k in range(3)])
    patients = [sizes[0, 0] + 40 * on.any(axis=1).mean()]
    patients += [sizes[0, k + 1] + steps[1, k + 1] * on[:, k].mean() for k in range(3)]
    assert found.rejected == pytest.approx(rejected.mean(axis=0), abs=0.005)
    assert found.selected == pytest.approx(best, abs=0.005)
    assert found.any_rejected == pytest.approx([early.mean(), late.any(axis=1).mean()], abs=0.005)
    assert found.patients == pytest.approx(patients, abs=0.3)


def test_a_design_takes_the_bounds_and_holds_the_error(triangular) -> None:
    fields = {
        "arms": {"control": 2, "a": 1, "b": 1, "c": 1},
        "n_patients": 380,
        "accrual": ts.Accrual(rate=20),
        "looks": ts.EnrolmentLooks([190, 380]),
        "test": ("z_test", 1),
        "boundaries": triangular,
    }
    design = ts.Design(**fields)
    assert design.multiplicity == "boundaries" and "family" in design.multiplicity_in_words
    assert ts.Design.from_yaml(design.to_yaml()) == design
    result = ts.simulate(design, ts.ContinuousResponse(0.0), 2_000, seed=3)
    assert result.rejected.any(axis=1).mean() == pytest.approx(0.05, abs=3 * np.sqrt(0.05 / 2_000))
    with pytest.raises(ValueError, match="leave multiplicity out"):
        ts.Design(**fields | {"multiplicity": "holm"})
    with pytest.raises(ValueError, match="for 3 arms beside the control, the design has 2"):
        ts.Design(**fields | {"arms": {"control": 2, "a": 1, "b": 1}})
    with pytest.raises(ValueError, match="needs those of multi_arm_bounds"):
        ts.Design(**fields | {"boundaries": None, "multiplicity": "boundaries"})
    with pytest.warns(UserWarning, match="the allocation has 1"):
        ts.Design(**fields | {"arms": dict.fromkeys(("control", "a", "b", "c"), 1)})
    with pytest.warns(UserWarning, match="they are binding"):
        ts.Design(**fields | {"follow_futility": False})


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ts.multi_arm_bounds(0), "n_arms must be a whole number of at least 1"),
        (lambda: ts.multi_arm_bounds(3, (0.5, 0.4)), "information_fractions must be above 0 and"),
        (lambda: ts.multi_arm_bounds(3, futility=3.5), "futility bounds"),
        (lambda: ts.multi_arm_bounds(3, efficacy="obf"), "unknown efficacy 'obf'"),
        (lambda: ts.multi_arm_bounds(3, sizes=[[10, 10], [20, 20]]), "must have 4 columns"),
        (lambda: ts.multi_arm_bounds(2, sizes=[[10, 9, 9], [20, 9, 20]]), "must be cumulative"),
        (lambda: ts.multi_arm_bounds(2).sample_size(0.1, 0.3), "effect must be above other"),
        (lambda: ts.multi_arm_bounds(2).update([[1, 1, 1], [2, 2, 2]], 2), "must leave a stage"),
        (lambda: ts.step_down_bounds([[9, 9], [18, 18]], (0.05, 0.02)), "alpha_spent must be 2"),
        (lambda: ts.step_down_bounds([[9, 9]], (0.05,), selection="best"), "is for two stages"),
    ],
)
def test_what_cannot_be_is_refused_in_words(call, words) -> None:
    with pytest.raises(ValueError, match=words):
        call()


def test_weighted_products_of_p_values() -> None:
    """rpact's Fisher designs with unequal stages, and a simulated level with full alpha."""
    weights = np.sqrt([1, 2, 7])  # of information .1, .2, .7
    unequal = ts.fisher_design(3, 0.025, (0.7, 0.5), weights=weights)
    theirs = [0.011823636, 0.00036698794, 3.0631293e-07]
    assert unequal.critical_values == pytest.approx(theirs, rel=2e-5)
    design = ts.fisher_design(2, 0.025, 0.5, "full_alpha", weights=[1, 1.5])
    assert design.alpha_spent[-1] == pytest.approx(0.025, abs=1e-9)
    p = np.random.default_rng(4).random((40_000, 2))
    p[:, 0] *= 0.5  # only trials that go on may reject
    reached = np.exp(np.cumsum(np.log(p) * design.weights, axis=1)) <= design.critical_values
    on = np.column_stack([np.ones(len(p), bool), p[:, 0] <= 0.5])
    on = np.logical_and.accumulate(on, axis=1)
    simulated = (reached & on).any(axis=1).mean() * 0.5
    assert simulated == pytest.approx(0.025, abs=4 * 0.5 * np.sqrt(0.05 * 0.95 / 40_000))
    with pytest.raises(ValueError, match="weights must be 3 numbers above 0"):
        ts.fisher_design(3, weights=[1, 2])
    assert design.reject([0.001])[0] and not design.reject([0.2, 0.6])[0]
    assert 0 < ts.conditional_error(design, [0.05]) < ts.conditional_error(design, [0.01]) < 1
    assert 0 < ts.repeated_p_value(design, [0.05, 0.04]) < 0.05
