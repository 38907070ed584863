"""Sample sizes: each against statsmodels, exact enumeration, simulation or its own inverse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, fisher_exact, norm
from statsmodels.stats.power import TTestIndPower, TTestPower

import trial_sim
from trial_sim.sample_size import (
    SampleSize,
    events_required,
    exact_power_proportions,
    power_of_events,
    sample_size_counts,
    sample_size_equivalence_means,
    sample_size_equivalence_proportions,
    sample_size_means,
    sample_size_ordinal,
    sample_size_proportions,
    sample_size_recurrent,
    sample_size_rmst,
    sample_size_survival,
)
from trial_sim.sample_size.proportions import restricted_proportions
from trial_sim.sequential.design import group_sequential

LD_OF = group_sequential(efficacy="lan_demets_obrien_fleming")
SURVIVAL = {"control_median": 12, "accrual_duration": 24, "dropout": 0.001}


def test_public_names():
    assert trial_sim.events_required(0.7) == pytest.approx(330.3779139638)
    assert trial_sim.sample_size_means(0.5).n_total > 0
    assert trial_sim.sample_size_proportions(0.3, 0.15).n_total > 0
    assert trial_sim.sample_size_survival(0.7, study_duration=36, **SURVIVAL).n_total > 0


# -- means ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("allocation", [1.0, 2.0, 0.5])
@pytest.mark.parametrize("sided", [1, 2])
def test_t_test_equals_statsmodels(allocation, sided):
    size = sample_size_means(0.4, 0.85, 0.025 * sided, sided=sided, allocation=allocation)
    other = TTestIndPower().solve_power(
        0.4,
        power=0.85,
        alpha=0.025 * sided,
        ratio=allocation,
        alternative="larger" if sided == 1 else "two-sided",
    )
    assert size.n_per_arm == pytest.approx(other, abs=1e-5)
    assert size.n_total == pytest.approx(other * (1 + allocation), abs=1e-4)
    back = sample_size_means(
        0.4, alpha=0.025 * sided, sided=sided, allocation=allocation, n_per_arm=size.n_per_arm
    )
    assert back.power == pytest.approx(0.85, abs=1e-10)
    effect = sample_size_means(
        None, 0.85, 0.025 * sided, sided=sided, allocation=allocation, n_per_arm=size.n_per_arm
    )
    assert effect.effect == pytest.approx(0.4, abs=1e-9)


def test_one_sample_t_test_equals_statsmodels():
    size = sample_size_means(0.3, 0.8, n_arms=1)
    other = TTestPower().solve_power(0.3, power=0.8, alpha=0.025, alternative="larger")
    assert size.n_total == pytest.approx(other, abs=1e-5)
    assert size.n_treatment == 0


def test_huge_effects_need_a_handful():
    assert 1.5 <= sample_size_means(20.0).n_per_arm < 2.5
    assert sample_size_means(3.0, 0.9, 0.05, sided=2).n_per_arm == pytest.approx(
        TTestIndPower().solve_power(3.0, power=0.9, alpha=0.05), abs=1e-6
    )


def test_non_inferiority_of_means_is_a_shifted_null():
    margin = sample_size_means(0.0, null_value=-0.25, method="normal")
    assert margin.n_total == pytest.approx(sample_size_means(0.25, method="normal").n_total)


def test_boundaries_inflate_means():
    fixed = sample_size_means(0.5)
    designed = sample_size_means(0.5, boundaries=LD_OF)
    assert designed.n_total == pytest.approx(fixed.n_total * LD_OF.inflation_factor)
    normal = sample_size_means(0.5, method="normal", boundaries=LD_OF)
    again = sample_size_means(0.5, method="normal", boundaries=LD_OF, n_per_arm=normal.n_per_arm)
    assert again.power == pytest.approx(0.9, abs=1e-10)
    other = sample_size_means(0.5, 0.8, method="normal", boundaries=LD_OF)
    lower = group_sequential(efficacy="lan_demets_obrien_fleming", power=0.8)
    assert other.inflation_factor == pytest.approx(lower.inflation_factor, abs=1e-9)


def test_equivalence_of_means_against_simulation():
    found = sample_size_equivalence_means(0.5, 0.1, alpha=0.05, n_per_arm=40)
    rng = np.random.Generator(np.random.Philox(3))
    n, trials = 40, 200_000
    difference = rng.normal(0.1, np.sqrt(2 / n), trials)
    sd = np.sqrt(rng.chisquare(2 * n - 2, trials) / (2 * n - 2))
    from scipy.stats import t as student

    width = student.isf(0.05, 2 * n - 2) * sd * np.sqrt(2 / n)
    inside = (difference - width > -0.5) & (difference + width < 0.5)
    assert found.power == pytest.approx(inside.mean(), abs=4 * np.sqrt(0.25 / trials))
    size = sample_size_equivalence_means(0.5, 0.1, 0.8, 0.05)
    again = sample_size_equivalence_means(0.5, 0.1, alpha=0.05, n_per_arm=size.n_per_arm)
    assert again.power == pytest.approx(0.8, abs=1e-9)


# -- proportions ----------------------------------------------------------------------------------


def test_fisher_power_by_brute_force():
    n1, n2, p1, p2 = 14, 11, 0.75, 0.3
    total = 0.0
    for x1 in range(n1 + 1):
        for x2 in range(n2 + 1):
            p = fisher_exact([[x1, n1 - x1], [x2, n2 - x2]], alternative="greater")[1]
            if p <= 0.05:
                total += binom.pmf(x1, n1, p1) * binom.pmf(x2, n2, p2)
    assert exact_power_proportions(p1, p2, n1, n2, 0.05) == pytest.approx(total, abs=1e-12)


def test_exact_size_holds_its_power_and_is_smallest():
    size = sample_size_proportions(0.5, 0.2, 0.8, method="fisher")
    n = int(size.n_per_arm)
    powers = [exact_power_proportions(0.5, 0.2, m, m) for m in range(n - 1, n + 8)]
    assert powers[0] < 0.8 and min(powers[1:]) >= 0.8
    assert size.power == pytest.approx(powers[1])
    mirrored = sample_size_proportions(0.2, 0.5, 0.8, method="fisher")
    assert mirrored.n_per_arm == n


@pytest.mark.parametrize(
    ("p1", "p2", "null"), [(0.6, 0.65, -0.1), (0.9, 0.85, -0.05), (0.3, 0.1, 0.1)]
)
@pytest.mark.parametrize("allocation", [1.0, 2.0])
def test_restricted_proportions_maximise_the_likelihood(p1, p2, null, allocation):
    found = restricted_proportions(p1, p2, null, allocation)

    def likelihood(q2):
        q1 = q2 + null
        return allocation * (p1 * np.log(q1) + (1 - p1) * np.log(1 - q1)) + (
            p2 * np.log(q2) + (1 - p2) * np.log(1 - q2)
        )

    grid = np.linspace(max(0, -null) + 1e-6, min(1, 1 - null) - 1e-6, 400_001)
    assert found[1] == pytest.approx(grid[np.argmax(likelihood(grid))], abs=1e-5)
    assert found[0] - found[1] == pytest.approx(null)
    ratio = restricted_proportions(p1, p2, 0.9, allocation, "ratio")

    def ratio_likelihood(q2):
        q1 = 0.9 * q2
        return allocation * (p1 * np.log(q1) + (1 - p1) * np.log(1 - q1)) + (
            p2 * np.log(q2) + (1 - p2) * np.log(1 - q2)
        )

    grid = np.linspace(1e-6, 1 - 1e-6, 400_001)
    assert ratio[1] == pytest.approx(grid[np.argmax(ratio_likelihood(grid))], abs=1e-5)


def test_non_inferiority_of_proportions_against_enumeration():
    """Farrington-Manning at its size: power by enumeration of the score test itself."""
    size = sample_size_proportions(0.85, 0.85, 0.9, null_value=-0.1)
    n = int(np.ceil(size.n_per_arm))
    x = np.arange(n + 1)
    inside = np.abs(x - 0.85 * n) < 6 * np.sqrt(n * 0.1275)
    reject = 0.0
    mass = binom.pmf(x, n, 0.85)
    for i in x[inside]:
        for j in x[inside]:
            a, b = i / n, j / n
            q1, q2 = restricted_proportions(a, b, -0.1, 1.0)
            se = np.sqrt((q1 * (1 - q1) + q2 * (1 - q2)) / n)
            if se > 0 and (a - b + 0.1) / se > norm.isf(0.025):
                reject += mass[i] * mass[j]
    assert reject == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("method", ["score", "unpooled", "arcsine"])
def test_proportions_solve_each_way(method):
    size = sample_size_proportions(0.35, 0.2, 0.85, method=method, allocation=2.0)
    back = sample_size_proportions(
        0.35, 0.2, method=method, allocation=2.0, n_per_arm=size.n_per_arm
    )
    assert back.power == pytest.approx(0.85, abs=1e-10)
    effect = sample_size_proportions(
        None, 0.2, 0.85, method=method, allocation=2.0, n_per_arm=size.n_per_arm
    )
    assert effect.details["p1"] == pytest.approx(0.35, abs=1e-8)


def test_small_effects_are_found_where_power_is_flat():
    size = sample_size_proportions(0.62, 0.6, 0.8)
    back = sample_size_proportions(None, 0.6, 0.8, n_per_arm=size.n_per_arm)
    assert back.details["p1"] == pytest.approx(0.62, abs=1e-8)
    size = sample_size_ordinal(1.1, [0.1, 0.2, 0.7])
    back = sample_size_ordinal(None, [0.1, 0.2, 0.7], n_per_arm=size.n_per_arm)
    assert back.effect == pytest.approx(1.1, abs=1e-8)
    with pytest.raises(ValueError, match="no solution for p1"):
        sample_size_proportions(None, 0.6, 0.9, n_per_arm=3)


def test_equivalence_of_proportions():
    size = sample_size_equivalence_proportions(0.5, 0.5, 0.1)
    back = sample_size_equivalence_proportions(0.5, 0.5, 0.1, n_per_arm=size.n_per_arm)
    assert back.power == pytest.approx(0.9, abs=1e-9)
    # both tails must hold: (z_alpha + z_{1 - beta / 2})^2 for no true difference
    rough = (norm.isf(0.025) + norm.isf(0.05)) ** 2 * 0.5 / 0.01
    assert size.n_per_arm == pytest.approx(rough, rel=0.02)


# -- survival -------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.floats(0.3, 0.95), st.floats(0.6, 0.97), st.floats(0.25, 4.0))
def test_events_and_their_power_are_inverse(ratio, power, allocation):
    for method in ("schoenfeld", "freedman"):
        events = events_required(ratio, power, allocation=allocation, method=method)
        assert power_of_events(
            events, ratio, allocation=allocation, method=method
        ) == pytest.approx(power, abs=1e-10)


def test_hazard_ratios_above_one_are_the_same_in_both_functions():
    """One-sided tests cannot find them; two-sided ones do, as their inverses."""
    common = {"study_duration": 36, **SURVIVAL}
    for plan in (lambda: events_required(1.4), lambda: sample_size_survival(1.4, **common)):
        with pytest.raises(ValueError, match="does not favour treatment"):
            plan()
    assert power_of_events(331, 1.4) < 0.001
    assert sample_size_survival(1.4, n_total=500, **common).power < 0.001
    both = events_required(1.4, alpha=0.05, sided=2)
    assert both == pytest.approx(events_required(1 / 1.4, alpha=0.05, sided=2))
    plan = sample_size_survival(1.4, alpha=0.05, sided=2, **common)
    assert plan.events == pytest.approx(both)
    again = sample_size_survival(1.4, alpha=0.05, sided=2, n_total=plan.n_total, **common)
    assert again.power == pytest.approx(0.9)


def test_freedman_and_schoenfeld_formulas():
    z = (norm.isf(0.025) + norm.isf(0.1)) ** 2
    assert events_required(0.6, method="freedman") == pytest.approx(z * (1.6 / 0.4) ** 2)
    assert events_required(0.9, null_ratio=1.3) == pytest.approx(4 * z / np.log(0.9 / 1.3) ** 2)
    assert events_required(0.7, boundaries=LD_OF) == pytest.approx(
        events_required(0.7) * LD_OF.inflation_factor
    )


@pytest.mark.parametrize(
    ("method", "kwargs"),
    [
        ("schoenfeld", {}),
        ("freedman", {}),
        ("lachin_foulkes", {}),
        ("average_hazard_ratio", {}),
        ("weighted_logrank", {"weight": ("magirr_burman", 6)}),
        ("max_combo", {"weight": ["logrank", ("fleming_harrington", 0, 1)]}),
    ],
)
def test_survival_solves_each_way(method, kwargs):
    common = {**SURVIVAL, "method": method, **kwargs}
    size = sample_size_survival(0.65, 0.85, study_duration=40, **common)
    back = sample_size_survival(0.65, study_duration=40, n_total=size.n_total, **common)
    assert back.power == pytest.approx(0.85, abs=1e-7)
    assert back.events == pytest.approx(size.events)
    effect = sample_size_survival(None, 0.85, study_duration=40, n_total=size.n_total, **common)
    assert effect.effect == pytest.approx(0.65, abs=1e-6)
    duration = sample_size_survival(0.65, 0.85, n_total=size.n_total, **common)
    assert duration.duration == pytest.approx(40, abs=1e-3)


def test_survival_non_inferiority_margin():
    size = sample_size_survival(
        1.0, null_ratio=1.3, study_duration=36, method="lachin_foulkes", **SURVIVAL
    )
    events = events_required(1.0, null_ratio=1.3)
    assert size.events == pytest.approx(events, rel=0.02)


def test_rmst_size_against_simulation():
    """Power of the RMST difference in simulated exponential trials without dropout."""
    tau, n = 18.0, 200
    common = {"control_median": 10, "accrual_duration": 12, "study_duration": 30}
    found = sample_size_rmst(0.55, tau, n_total=2 * n, **common)
    rng = np.random.Generator(np.random.Philox(8))
    trials = 3000
    # every patient is followed for 18 months, so the mean of min(T, tau) is the estimate
    control = np.minimum(rng.exponential(10 / np.log(2), (trials, n)), tau)
    treated = np.minimum(rng.exponential(10 / np.log(2) / 0.55, (trials, n)), tau)
    se = np.sqrt(control.var(axis=1, ddof=1) / n + treated.var(axis=1, ddof=1) / n)
    power = ((treated.mean(axis=1) - control.mean(axis=1)) / se > norm.isf(0.025)).mean()
    assert found.power == pytest.approx(power, abs=4 * np.sqrt(0.25 / trials))


def test_milestone_size_is_the_binomial_one_when_all_are_followed():
    size = sample_size_survival(
        0.6,
        control_median=10,
        accrual_duration=12,
        study_duration=30,
        method="milestone",
        milestone=12,
    )
    s0, s1 = 0.5**1.2, 0.5 ** (1.2 * 0.6)
    other = sample_size_proportions(s1, s0, method="unpooled")
    assert size.n_total == pytest.approx(other.n_total, rel=1e-6)


# -- counts and ordinal ---------------------------------------------------------------------------


def test_counts_against_simulation():
    k, rate, ratio, n = 0.7, 1.4, 0.7, 260
    found = sample_size_counts(ratio, rate, dispersion=k, n_per_arm=n, null_variance="truth")
    rng = np.random.Generator(np.random.Philox(21))
    trials = 20_000
    totals = [
        rng.negative_binomial(n / k, 1 / (1 + k * m), trials) / n for m in (rate, rate * ratio)
    ]  # a sum of n negative binomials of dispersion k
    se = np.sqrt((1 / totals[0] + k) / n + (1 / totals[1] + k) / n)
    power = ((np.log(totals[0]) - np.log(totals[1])) / se > norm.isf(0.025)).mean()
    assert found.power == pytest.approx(power, abs=0.012)


def test_counts_of_zhu_and_lakkis():
    """Zhu & Lakkis (2014), k .4, rate .8, ratio .85, exposure .75, two-sided .05, power .8."""
    sizes = {
        v: sample_size_counts(
            0.85, 0.8, 0.8, 0.05, sided=2, dispersion=0.4, exposure=0.75, null_variance=v
        ).n_per_arm
        for v in ("truth", "maximum_likelihood")
    }
    assert [round(x) for x in sizes.values()] == [1316, 1311]


@pytest.mark.parametrize("method", ["negative_binomial", "lwyy"])
def test_recurrent_events(method):
    common = {
        "control_rate": 0.1,
        "dispersion": 0.8,
        "accrual_duration": 12,
        "dropout": 0.01,
        "method": method,
    }
    size = sample_size_recurrent(0.7, study_duration=24, **common)
    again = sample_size_recurrent(0.7, study_duration=24, n_per_arm=size.n_per_arm, **common)
    assert again.power == pytest.approx(0.9, abs=1e-10)
    longer = sample_size_recurrent(0.7, study_duration=None, n_per_arm=255.0, **common)
    assert longer.duration > 24 and longer.power == pytest.approx(0.9, abs=1e-9)
    effect = sample_size_recurrent(None, study_duration=24, n_per_arm=size.n_per_arm, **common)
    assert effect.effect == pytest.approx(0.7, abs=1e-8)


def test_recurrent_with_equal_follow_up_is_the_count_formula():
    counts = sample_size_counts(0.7, 0.1, dispersion=0.8, exposure=12, null_variance="truth")
    for method in ("negative_binomial", "lwyy"):
        recurrent = sample_size_recurrent(0.7, 0.1, dispersion=0.8, method=method)
        assert recurrent.n_per_arm == pytest.approx(counts.n_per_arm)


def test_lwyy_power_against_simulation():
    common = {"control_rate": 0.12, "dispersion": 1.0, "accrual_duration": 10, "dropout": 0.02}
    n, trials = 220, 1500
    found = sample_size_recurrent(0.65, study_duration=20, n_per_arm=n, method="lwyy", **common)
    rng = np.random.Generator(np.random.Philox(4))
    follow = np.minimum(
        20 - rng.uniform(0, 10, (2, trials, n)), rng.exponential(1 / 0.02, (2, trials, n))
    )
    rates = np.array([0.12, 0.12 * 0.65])[:, None, None] * rng.gamma(1.0, 1.0, (2, trials, n))
    counts = rng.poisson(rates * follow)
    rate = counts.sum(axis=2) / follow.sum(axis=2)
    residual = counts - rate[:, :, None] * follow
    variance = (residual**2).sum(axis=2) / counts.sum(axis=2) ** 2  # of each log rate
    z = (np.log(rate[0]) - np.log(rate[1])) / np.sqrt(variance.sum(axis=0))
    assert found.power == pytest.approx((z > norm.isf(0.025)).mean(), abs=0.04)


def test_ordinal_reduces_to_the_odds_ratio_of_two_categories():
    size = sample_size_ordinal(2.0, [0.7, 0.3])
    odds = 2 * 0.3 / 0.7
    p = (0.3 + odds / (1 + odds)) / 2
    z = (norm.isf(0.025) + norm.isf(0.1)) ** 2
    # 1 - p^3 - (1 - p)^3 = 3 p (1 - p): the score test of a 2 x 2 table
    assert size.n_total == pytest.approx(4 * z / (np.log(2.0) ** 2 * p * (1 - p)))


def test_ordinal_of_whitehead():
    """Whitehead (1993), section 3: about 187 patients for an odds ratio of 2.418."""
    size = sample_size_ordinal(2.418, [0.1, 0.2, 0.5, 0.2], 0.9, 0.05, sided=2)
    assert size.n_total == pytest.approx(187, abs=2.5)
    back = sample_size_ordinal(
        None, [0.1, 0.2, 0.5, 0.2], 0.9, 0.05, sided=2, n_per_arm=size.n_per_arm
    )
    assert back.effect == pytest.approx(2.418, abs=1e-6)


@pytest.mark.parametrize("control", [[0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [0.2, 0.5, 0.2, 0.1]])
def test_ordinal_sizes_and_simulated_categories_have_one_order(control):
    """A trial of the planned size has the planned power, whichever end the patients are at."""
    size = sample_size_ordinal(1.8, control, 0.9)
    n = 2 * round(size.n_per_arm)
    design = trial_sim.Design(
        arms={"control": 1, "treatment": 1},
        n_patients=n,
        accrual=trial_sim.Accrual(rate=20),
        looks=trial_sim.EnrolmentLooks([n]),
        test="wilcoxon",
    )
    outcomes = trial_sim.OrdinalResponse(control, odds_ratio=1.8)
    power = trial_sim.simulate(design, outcomes, n_trials=4000, seed=1).power
    assert power == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("study_duration", [20, 23.9])
def test_a_study_shorter_than_its_accrual_is_refused(study_duration):
    common = {"control_median": 12, "accrual_duration": 24, "study_duration": study_duration}
    for plan in (
        lambda: sample_size_survival(0.7, **common),
        lambda: sample_size_survival(0.7, n_total=400, **common),
        lambda: sample_size_survival(None, n_total=400, **common),
        lambda: sample_size_rmst(0.7, 10, **common),
    ):
        with pytest.raises(ValueError, match="must not be below accrual_duration 24"):
            plan()


def test_planned_patients_exist():
    """All of the planned patients are enrolled by the end of the study, and give the power."""
    plan = sample_size_survival(
        0.7, control_median=12, accrual_duration=24, study_duration=24, power=0.9
    )
    design = trial_sim.Design(
        arms={"control": 1, "treatment": 1},
        n_patients=round(plan.n_total),
        accrual=trial_sim.Accrual(rate=plan.n_total / 24, process="uniform"),
        looks=trial_sim.CalendarLooks([24]),
    )
    outcomes = trial_sim.PiecewiseExponential(control_median=12, hazard_ratio=0.7)
    result = trial_sim.simulate(design, outcomes, n_trials=3000, seed=1)
    assert result.expected_patients == pytest.approx(plan.n_total, rel=0.01)
    assert result.power == pytest.approx(0.9, abs=0.02)


def test_the_sign_of_a_margin():
    """A design's margin is positive; `null_value`, the difference under the null, is minus it."""
    common = {
        "arms": {"control": 1, "treatment": 1},
        "accrual": trial_sim.Accrual(rate=20),
        "looks": trial_sim.EnrolmentLooks([300]),
        "n_patients": 300,
    }
    with pytest.raises(ValueError, match=r"margin.*positive.*-0\.1.*null_value"):
        trial_sim.Design(test=("farrington_manning", -0.1), **common)
    with pytest.raises(ValueError, match="between 0 and 1"):
        trial_sim.Design(test=("farrington_manning", 1.5), **common)
    planned = sample_size_proportions(0.6, 0.6, null_value=-0.1, n_per_arm=150).power
    design = trial_sim.Design(test=("farrington_manning", 0.1), **common)
    outcomes = trial_sim.BinaryResponse(0.6, 0.6)
    power = trial_sim.simulate(design, outcomes, n_trials=4000, seed=1).power
    assert power == pytest.approx(planned, abs=0.025)


def test_ordinal_power_by_the_wilcoxon_test_of_simulated_trials():
    from scipy.stats import rankdata

    from trial_sim.sample_size.ordinal import shift_by_odds

    control = [0.4, 0.3, 0.2, 0.1]
    size = sample_size_ordinal(1.9, control, 0.85)
    n, trials = int(size.n_per_arm), 2000
    rng = np.random.Generator(np.random.Philox(12))
    first = rng.choice(4, (trials, n), p=control)
    second = rng.choice(4, (trials, n), p=shift_by_odds(control, 1.9))
    ranks = rankdata(np.concatenate([first, second], axis=1), axis=1)
    z = ranks[:, n:].sum(axis=1) - n * (n + 0.5)  # worse categories come first
    spread = np.sqrt(n / 2 * n / (2 * n - 1) * ((ranks - n - 0.5) ** 2).sum(axis=1) / n)
    assert (z / spread > norm.isf(0.025)).mean() == pytest.approx(0.85, abs=0.035)


# -- records and bad input ------------------------------------------------------------------------


def test_record_goes_round_prints_and_rounds_up():
    size = sample_size_survival(0.7, study_duration=36, boundaries=LD_OF, **SURVIVAL)
    assert SampleSize.from_json(size.to_json()) == size
    assert "group-sequential" in repr(size) and "events" in repr(size)
    whole = size.rounded()
    assert whole.n_per_arm == np.ceil(size.n_per_arm) and whole.events == np.ceil(size.events)
    assert whole.n_total >= size.n_total
    with pytest.raises(ValueError, match=r"unknown key 'powr' of a sample size.*'power'"):
        SampleSize.from_dict({**size.to_dict(), "powr": 1})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: events_required(0), "hazard_ratio must be above 0, got 0"),
        (lambda: events_required(1), "hazard_ratio 1 is the null ratio"),
        (lambda: events_required(0.7, alpha=2), "alpha must be between 0 and 0.5, got 2"),
        (lambda: events_required(0.7, method="shoenfeld"), "did you mean 'schoenfeld'"),
        (lambda: events_required(0.7, allocation=-1), "allocation must be above 0, got -1"),
        (lambda: events_required(0.7, null_ratio=1.2, method="freedman"), "superiority only"),
        (lambda: sample_size_means(0.0), "must lie above the null value"),
        (lambda: sample_size_means(np.nan), "effect_size must be finite, got nan"),
        (lambda: sample_size_means(0.5, n_per_arm=1), "n_per_arm must be above 1"),
        (lambda: sample_size_means(), "give two of effect_size, power and n_per_arm"),
        (lambda: sample_size_means(0.5, n_arms=3), "n_arms must be 1 or 2, got 3"),
        (lambda: sample_size_proportions(1.2, 0.3), "p1 must be between 0 and 1, got 1.2"),
        (lambda: sample_size_proportions(0.3), "p2, the proportion of the control arm"),
        (lambda: sample_size_proportions(0.3, 0.3), "lie on the null"),
        (lambda: sample_size_proportions(0.3, 0.2, method="fischer"), "did you mean 'fisher'"),
        (
            lambda: sample_size_proportions(0.3, 0.2, method="fisher", null_value=0.1),
            "tests superiority only",
        ),
        (lambda: exact_power_proportions(0.3, 0.2, 10.5, 10), "n1 must be a whole number"),
        (lambda: sample_size_survival(0.7, **SURVIVAL), "study_duration is missing"),
        (
            lambda: sample_size_recurrent(
                0.7, 0.1, dispersion=0.8, dropout=0.05, study_duration=None, n_per_arm=20
            ),
            "20 patients per arm never reach power 0.9",
        ),
        (lambda: sample_size_survival(0.7, study_duration=36), "give control_median or"),
        (
            lambda: sample_size_survival(0.7, study_duration=36, control_median=0),
            "control_median must be above 0",
        ),
        (
            lambda: sample_size_survival(0.7, study_duration=36, control_hazard=0.0),
            "control_hazards are all 0: no event would ever happen",
        ),
        (
            lambda: sample_size_survival(1.4, study_duration=36, **SURVIVAL),
            "the effect does not favour treatment",
        ),
        (
            lambda: sample_size_survival(0.7, n_total=50, **SURVIVAL),
            "50 patients never reach power 0.9",
        ),
        (
            lambda: sample_size_survival(0.7, n_total=5000, **SURVIVAL),
            "reach power 0.9 before month 24",
        ),
        (
            lambda: sample_size_survival(0.7, study_duration=36, method="rmst", **SURVIVAL),
            "milestone must be a number, got None",
        ),
        (
            lambda: sample_size_rmst(0.7, 40, study_duration=36, **SURVIVAL),
            "tau must be between 0 and the study duration 36, got 40",
        ),
        (
            lambda: sample_size_survival(
                0.7, study_duration=36, method="weighted_logrank", weight="fh", **SURVIVAL
            ),
            "unknown weight 'fh'",
        ),
        (lambda: sample_size_counts(1.0), "rate_ratio 1 is the null ratio"),
        (lambda: sample_size_counts(0.7, dispersion=-1), "dispersion must not be negative"),
        (
            lambda: sample_size_recurrent(0.7, accrual_duration=20),
            "study_duration 12 must not be below accrual_duration 20",
        ),
        (lambda: sample_size_ordinal(2, [0.5, 0.6]), "must sum to 1"),
        (lambda: sample_size_ordinal(1, [0.5, 0.5]), "odds_ratio 1 is the null"),
        (lambda: sample_size_equivalence_means(0.2, 0.3), "must lie inside the margin"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.floats(0, 1),
    st.floats(0, 1),
    st.sampled_from([0.025, 0.05, 0.1]),
    st.sampled_from([1, 2]),
)
def test_fisher_power_by_enumeration(n1, n2, p1, p2, alpha, sided):
    """Against every table with its hypergeometric p-value."""
    from trial_sim.sample_size.exact_proportions import exact_power_proportions, rejection_region

    first, second = binom.pmf(range(n1 + 1), n1, p1), binom.pmf(range(n2 + 1), n2, p2)
    power = first @ rejection_region(n1, n2, alpha / sided) @ second
    if sided == 2:
        power += second @ rejection_region(n2, n1, alpha / sided) @ first
    found = exact_power_proportions(p1, p2, n1, n2, alpha, "fisher", sided)
    assert found == pytest.approx(power, abs=1e-10)


def test_fisher_sizes_of_large_trials():
    """466 a group is the issue's figure; it took minutes, as enumeration of every table does."""
    from trial_sim.sample_size.exact_proportions import exact_power_proportions

    plan = sample_size_proportions(0.1, 0.05, 0.8, method="fisher")
    assert plan.n_per_arm == 466
    powers = [exact_power_proportions(0.1, 0.05, n, n) for n in range(465, 477)]
    assert powers[0] < 0.8 <= min(powers[1:])
    # three and three patients: one table has a p-value of exactly .05
    assert exact_power_proportions(1.0, 0.0, 3, 3, 0.05) == pytest.approx(1.0)
