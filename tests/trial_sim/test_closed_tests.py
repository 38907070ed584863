"""Closed combination tests against rpact's values, enumeration and independent simulations."""

import itertools

import numpy as np
import pytest
from scipy import stats

import trial_sim as ts
from trial_sim.adaptive.closed_tests import closed_rejections

NAN = float("nan")
# rpact, tests/testthat/test-f_analysis_multiarm_means.R: arms 1 to 3 and control, two stages
N = np.array([[13, 15, 14, 12], [25, NAN, 27, 29]])
MEANS = np.array([[24.2, 18.8, 26.7, 9.2], [22.2, NAN, 27.7, 12.2]])
SDS = np.array([[24.4, 21.2, 25.6, 21.5], [22.1, NAN, 23.2, 22.7]])
DIFFERENCE = MEANS[:, :3] - MEANS[:, 3:]


@pytest.fixture(scope="module")
def design():
    return ts.group_sequential(
        (0.15, 0.4, 0.7, 1), alpha=0.02, efficacy=("kim_demets", 1.2), futility=[-0.5, 0, 0.5]
    )


def unpooled():
    variance = SDS**2 / N
    return np.sqrt(variance[:, :3] + variance[:, 3:])


def pooled():
    """Standard errors with one variance a stage, and the correlations of the stages."""
    common = np.nansum((N - 1) * SDS**2, axis=1) / np.nansum(N - 1, axis=1)
    errors = np.sqrt(common[:, None] * (1 / N[:, :3] + 1 / N[:, 3:]))
    loadings = np.nan_to_num(np.sqrt(N[:, :3] / (N[:, :3] + N[:, 3:])), nan=0.5)
    correlation = loadings[:, :, None] * loadings[:, None, :]
    for one in correlation:
        np.fill_diagonal(one, 1.0)
    return errors, correlation


def welch_z():
    variance = SDS**2 / N
    active, control = variance[:, :3], variance[:, 3:]
    df = (active + control) ** 2 / (active**2 / (N[:, :3] - 1) + control**2 / (N[:, 3:] - 1))
    return stats.norm.isf(stats.t.sf(DIFFERENCE / unpooled(), df))


CASES = {
    "bonferroni": (
        lambda: (DIFFERENCE / unpooled(), "bonferroni", None),
        [[0.043739576, 0.03844608, 0.048616927], [0.16022367, None, 0.34001465]],
        [0.072888275, None, 0.017155659],
    ),
    "welch": (
        lambda: (welch_z(), "bonferroni", None),
        [[0.040100206, 0.037171319, 0.042866371], [0.14400686, None, 0.28890175]],
        [0.085188742, None, 0.025112148],
    ),
    "sidak": (
        lambda: (DIFFERENCE / unpooled(), "sidak", None),
        [[0.044513617, 0.03844608, 0.049538053], [0.16250147, None, 0.34419132]],
        [0.071351909, None, 0.016637815],
    ),
    "dunnett": (
        lambda: (DIFFERENCE / pooled()[0], "dunnett", pooled()[1]),
        [[0.046821821, 0.034321105, 0.056787656], [0.16471602, None, 0.38875311]],
        [0.069897558, None, 0.012021087],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_conditional_errors_and_repeated_p_values_of_several_arms(design, name):
    made, error, repeated = CASES[name]
    z, intersection, correlation = made()
    # rpact's conditional errors of several arms count on futility bounds that are not binding
    found = ts.closed_combination_test(z, design, intersection, correlation, futility=True)
    # rpact's Dunnett integrals are Monte Carlo, its roots found to about 1e-6
    for k, (mine, theirs) in enumerate(zip(found.conditional_error, error)):
        for one, other in zip(mine, theirs):
            assert one == (None if other is None else pytest.approx(other, abs=2e-6)), k
    for one, other in zip(found.repeated_p[1], repeated):
        assert one == (None if other is None else pytest.approx(other, abs=1.5e-6))
    assert found.rejected == (False, False, repeated[2] <= 0.02)


def test_repeated_intervals_of_several_arms(design):
    first, none, third = ts.repeated_intervals(DIFFERENCE, unpooled(), design, "bonferroni")
    assert none is None
    assert first == pytest.approx((-4.0669228, 27.895908), abs=1e-6)
    assert third == pytest.approx((0.24153969, 32.285152), abs=1e-6)
    first, _, third = ts.repeated_intervals(DIFFERENCE, pooled()[0], design, "dunnett", pooled()[1])
    assert first == pytest.approx((-3.927683, 27.415422), abs=3e-5)
    assert third == pytest.approx((0.82950364, 31.563129), abs=3e-5)


def test_conditional_dunnett_test():
    errors, correlation = pooled()
    z = DIFFERENCE / errors
    error, p = ts.conditional_dunnett(z[0], z[1], 0.4, correlation, alpha=0.02)
    assert error == pytest.approx([0.061352937, 0.03744742, 0.086511764], abs=1e-6)
    # rpact conditions the second stage on the first; its root is found to about 1e-6
    assert p[0] == pytest.approx(0.017445576, abs=1e-6)
    assert p[1] is None
    assert p[2] == pytest.approx(0.0019493527, abs=1e-6)
    _, alone = ts.conditional_dunnett(z[0], z[1], 0.4, correlation, 0.02, conditioned=False)
    assert p[2] < alone[2] == pytest.approx(0.00254028, abs=1e-8)


@pytest.mark.parametrize("correlation", [0.5, 0.3, 0.0])
def test_the_dunnett_test_that_selects_nothing_is_dunnetts_test(correlation):
    r = np.full((3, 3), correlation) + (1 - correlation) * np.eye(3)
    z = np.array([2.2, 1.9, -0.3])
    by_monte_carlo = stats.multivariate_normal.cdf([2.2] * 3, cov=r, rng=np.random.default_rng(1))
    assert ts.intersection_p_value(z, "dunnett", r) == pytest.approx(1 - by_monte_carlo, abs=1e-5)


def test_many_z_values_have_the_p_values_of_one():
    r = np.array([[1, 0.5, 0.4], [0.5, 1, 0.4], [0.4, 0.4, 1]])
    z = np.random.default_rng(2).normal(1.0, 2.5, (2000, 3))
    z[::7, 1] = NAN
    z[::91] = NAN
    z[3], z[4] = (12.0, 0.0, 1.0), (-9.0, -8.0, -7.0)
    for method in ("dunnett", "simes", "bonferroni", "sidak"):
        together = ts.intersection_p_value(z, method, r)
        rows = [*range(0, 60), *range(90, 93)]
        alone = np.array([ts.intersection_p_value(z[i], method, r) for i in rows])
        assert together[rows] == pytest.approx(alone, rel=1e-6, abs=1e-12, nan_ok=True)


def test_nested_populations():
    for share, c, p in (
        (0.25, 2.212135093, 0.013478666),
        (0.5, 2.1782720944, 0.0146928927),
        (0.75, 2.1261315797, 0.0167461526),
    ):
        assert ts.nested_population_levels(share) == pytest.approx((p, p), abs=1e-9)
        assert stats.norm.isf(p) == pytest.approx(c, abs=1e-7)
    levels = ts.nested_population_levels(0.5, alpha_full=0.015)
    assert levels == pytest.approx((0.015, 0.0143837819), abs=1e-9)


def stages_of_arms(n_trials, effects, keep, seed):
    """Stage z-values of three arms against a control, 30 an arm and stage, sd 15 known."""
    rng = np.random.default_rng(seed)
    means = rng.normal([*effects, 0.0], 15 / np.sqrt(30), (n_trials, 2, 4))
    difference = means[:, :, :3] - means[:, :, 3:]
    z = difference / (15 * np.sqrt(2 / 30))
    kept = keep(difference[:, 0])
    z[:, 1][~kept] = NAN
    return z, kept


def best(first):
    return first >= first.max(axis=1, keepdims=True)


def near_best(first):
    return first >= first.max(axis=1, keepdims=True) - 3


def every(first):
    return np.ones_like(first, dtype=bool)


HALF = np.full((3, 3), 0.5) + 0.5 * np.eye(3)
EFFECTS = (10 / 3, 20 / 3, 10.0)


@pytest.mark.parametrize(
    ("keep", "intersection", "effects", "wanted"),
    [  # 2,000,000 trials of an independent program: any, each arm, mean patients
        (best, "bonferroni", EFFECTS, (0.875198, 0.0259, 0.18746, 0.74702, 160.877)),
        (best, "simes", EFFECTS, (0.885635, 0.0279, 0.19304, 0.75391, 160.707)),
        (best, "bonferroni", (0.0,) * 3, (0.020235, 0.00676, 0.00686, 0.00684, 179.854)),
        (best, "simes", (0.0,) * 3, (0.022065, 0.00749, 0.00742, 0.00744, 179.847)),
        (every, "dunnett", EFFECTS, (0.893936, 0.21032, 0.55657, 0.87933, 238.582)),
        (near_best, "dunnett", EFFECTS, (0.912692, 0.06069, 0.34443, 0.86547, 177.069)),
    ],
)
def test_selection_of_arms_with_a_closed_test(keep, intersection, effects, wanted):
    n = 50_000
    design = ts.group_sequential((0.5, 1), efficacy="obrien_fleming")
    z, kept = stages_of_arms(n, effects, keep, seed=24)
    correlation = HALF if intersection == "dunnett" else None
    first = closed_rejections(z[:, :1], design, intersection, correlation) > 0
    stopped = (first | ~kept).all(axis=1)
    both = closed_rejections(z, design, intersection, correlation) > 0
    rejected = np.where(stopped[:, None], first, both)
    patients = 120 + np.where(stopped, 0, 30 * (kept.sum(axis=1) + 1))
    found = [rejected.any(axis=1).mean(), *rejected.mean(axis=0)]
    for one, other in zip(found, wanted[:-1]):
        assert one == pytest.approx(other, abs=4 * np.sqrt(other * (1 - other) * (1 / n + 1 / 2e6)))
    assert patients.mean() == pytest.approx(wanted[-1], abs=4 * patients.std() / np.sqrt(n) + 0.02)


@pytest.mark.parametrize(
    ("intersection", "effects", "wanted"),
    [  # 2,000,000 trials of an independent program: any, stratum, all patients, only S, mean n
        ("spiessens_debois", (0.0, 0.0), (0.02397, 0.01674, 0.01216, 0.14438, 399.488)),
        ("spiessens_debois", (0.4, 0.0), (0.82481, 0.80271, 0.22317, 0.63805, 364.239)),
        ("spiessens_debois", (0.4, 0.1), (0.83763, 0.77362, 0.39849, 0.49975, 358.79)),
        ("simes", (0.0, 0.0), (0.02064, 0.0151, 0.01075, 0.14438, 399.52)),
    ],
)
def test_enrichment_with_a_closed_test(intersection, effects, wanted):
    n, rng = 50_000, np.random.default_rng(25)
    design = ts.group_sequential((0.5, 1), efficacy="obrien_fleming")
    error = np.sqrt(2 / 50)  # of half the patients of a stage
    parts = rng.normal(effects, error, (n, 2, 2))  # stratum, complement
    stratum, full = parts[..., 0].copy(), parts.mean(axis=-1)
    narrowed = stratum[:, 0] - full[:, 0] > 0.15
    z = np.stack([full / np.sqrt(2 / 100), stratum / error], axis=-1)
    z[narrowed, 1, 0] = NAN
    # then all of stage 2 is in the stratum: twice its patients
    z[narrowed, 1, 1] = rng.normal(effects[0] / np.sqrt(2 / 100), 1.0, narrowed.sum())
    correlation = [[1, np.sqrt(0.5)], [np.sqrt(0.5), 1]]
    first = closed_rejections(z[:, :1], design, intersection, correlation) > 0
    stopped = np.where(narrowed, first[:, 1], first[:, 0])
    both = closed_rejections(z, design, intersection, correlation) > 0
    rejected = np.where(stopped[:, None], first, both)
    found = [rejected.any(axis=1).mean(), rejected[:, 1].mean(), rejected[:, 0].mean()]
    found.append(narrowed.mean())
    for one, other in zip(found, wanted[:-1]):
        assert one == pytest.approx(other, abs=4 * np.sqrt(other * (1 - other) * (1 / n + 1 / 2e6)))
    patients = np.where(stopped, 200, 400)
    assert patients.mean() == pytest.approx(wanted[-1], abs=4 * 200 * 0.5 / np.sqrt(n) + 0.1)


@pytest.mark.parametrize("combine", ["inverse_normal", "fisher"])
@pytest.mark.parametrize("intersection", ["dunnett", "simes", "bonferroni", "sidak"])
def test_family_wise_error_over_every_configuration_of_nulls(combine, intersection):
    n = 20_000
    design = (
        ts.fisher_design(2, 0.025)
        if combine == "fisher"
        else ts.group_sequential((0.5, 1), efficacy="pocock")
    )
    for null in itertools.product((True, False), repeat=3):
        if not any(null):
            continue
        effects = [0.0 if still else 8.0 for still in null]
        z, _ = stages_of_arms(n, effects, best, seed=26)
        rejected = closed_rejections(
            z, design, intersection, HALF if intersection == "dunnett" else None
        )
        error = (rejected[:, list(null)] > 0).any(axis=1).mean()
        assert error <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / n), null


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda d: ts.closed_combination_test([[1, 2]], d), "needs the correlation"),
        (
            lambda d: ts.closed_combination_test([[1, NAN], [1, 1]], d, "simes"),
            "hypothesis 1 has no z-value at stage 1 but one at stage 2",
        ),
        (lambda d: ts.closed_combination_test([[1]] * 5, d, "simes"), "the design has 4 stage"),
        (lambda d: ts.closed_combination_test([[1]], d, "holm"), "unknown intersection 'holm'"),
        (lambda d: ts.closed_combination_test([[1] * 9], d, "simes"), "1 to 8 hypotheses, got 9"),
        (lambda d: ts.repeated_intervals([[1]], [[1]], d, "simes"), "no single-step test"),
        (lambda d: ts.repeated_intervals([[1]], [[0]], d, "sidak"), "must be above 0"),
        (
            lambda d: ts.intersection_p_value([1, 2], "dunnett", [[1, 2], [2, 1]]),
            "no variables have the correlation",
        ),
        (lambda d: ts.nested_population_levels(1.5), "prevalence must be between 0 and 1"),
    ],
)
def test_what_is_no_closed_test_is_named(design, wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        wrong(design)
