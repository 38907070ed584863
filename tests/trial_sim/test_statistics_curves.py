"""Kaplan–Meier, RMST, milestone, Cox and Andersen–Gill against R on real data."""

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad

import trial_sim.statistics as stats
from tests.trial_sim import batch_kernels
from tests.trial_sim.statistics_data import (
    colon,
    colon_two_arms,
    gehan,
    survival_trials,
    table,
    veteran,
    within,
)
from trial_sim.statistics import kernels


def test_kaplan_meier_on_colon():
    # survival 3.5-3 survfit (reference id km_colon_3y5y)
    data = table("colon")
    expected = {
        "Obs": (0.6531516, 0.52566853),
        "Lev": (0.62903226, 0.53537068),
        "Lev+5FU": (0.74342105, 0.63401469),
    }
    for arm, values in expected.items():
        chosen = data[data.rx == arm]
        curve = stats.kaplan_meier(chosen.death_time, chosen.death)
        np.testing.assert_allclose(curve.at([1095.75, 1826.25]), values, atol=5e-9)


def test_kaplan_meier_limits():
    # summary(survfit(Surv(death_time, death) ~ 1, Lev+5FU), times = c(1000, 2000)), conf.type
    duration, event, group = colon()
    chosen = group == 1
    expected = {
        "log": ([0.69938920173, 0.57118736884], [0.79723365579, 0.68059405961]),
        "log-log": ([0.69387323828, 0.56626620183], [0.79181595070, 0.67540980315]),
    }
    for scale, (lower, upper) in expected.items():
        curve = stats.kaplan_meier(duration[chosen], event[chosen], interval=scale)
        at = np.searchsorted(curve.time, [1000, 2000], side="right") - 1
        np.testing.assert_allclose(curve.survival[at], [0.74671052632, 0.62349557349], rtol=1e-9)
        np.testing.assert_allclose(
            curve.standard_error[at], [0.024942955722, 0.027874698796], rtol=1e-9
        )
        np.testing.assert_allclose(curve.lower[at], lower, rtol=1e-9)
        np.testing.assert_allclose(curve.upper[at], upper, rtol=1e-9)


def test_kaplan_meier_against_lifelines():
    from lifelines import KaplanMeierFitter

    duration, event, _ = veteran()
    ours = stats.kaplan_meier(duration, event)
    theirs = KaplanMeierFitter().fit(duration, event)
    np.testing.assert_allclose(
        ours.at([10, 50, 200]), theirs.survival_function_at_times([10, 50, 200]), rtol=1e-12
    )
    assert ours.median == theirs.median_survival_time_
    assert np.isnan(ours.at(5000)[0]) or ours.survival[-1] == 0
    assert ours.to_frame().time.is_monotonic_increasing


def test_quantile_of_a_flat_stretch():
    curve = stats.kaplan_meier([1, 2, 3, 4], [1, 1, 1, 1])
    assert curve.median == 2.5  # the curve is at ½ between 2 and 3; R gives the middle
    assert stats.kaplan_meier([1, 2, 3], [1, 0, 0]).median == np.inf


@pytest.mark.parametrize(
    ("data", "tau", "estimate", "se", "z"),
    [
        # simtrial 1.0.2 rmst() (reference id rmst_diff)
        (colon, 1826.25, 111.466989, 47.209104, 2.361133332),
        (veteran, 300, -10.62694817, 17.32993151, -0.6132135122),
        (gehan, 20, 7.687955182, 1.877455452, 4.094880214),
    ],
)
def test_rmst(data, tau, estimate, se, z):
    result = stats.rmst_difference(*data(), tau=tau)
    assert result.estimate == pytest.approx(estimate, rel=1e-8)
    assert result.se == pytest.approx(se, rel=1e-7)
    assert result.z == pytest.approx(z, rel=1e-7)
    plain = stats.rmst_difference(*data(), tau=tau, variance="greenwood")
    assert plain.se < result.se and plain.estimate == result.estimate


def test_rmst_of_exponential_arms():
    # closed form (1 − exp(−λτ))/λ, reference id rmst_exponential: 12.984255, 15.360272
    n = 200_000
    rng = np.random.Generator(np.random.Philox(2))
    rate = np.log(2) / 12
    group = np.repeat([0, 1], n // 2)
    duration = rng.exponential(1 / (rate * np.where(group == 1, 0.7, 1.0)))
    result = stats.rmst_difference(duration, np.ones(n), group, tau=24)
    truth = 15.36027167 - 12.984255368
    assert abs(result.estimate - truth) < 4 * result.se
    assert quad(lambda t: np.exp(-rate * t), 0, 24)[0] == pytest.approx(12.984255368)


def test_milestone_is_the_difference_of_curves():
    duration, event, group = colon()
    result = stats.milestone_difference(duration, event, group, tau=1826.25)
    curves = [stats.kaplan_meier(duration[group == k], event[group == k]) for k in (0, 1)]
    errors = [c.standard_error[np.searchsorted(c.time, 1826.25, side="right") - 1] for c in curves]
    values = [c.at(1826.25)[0] for c in curves]
    assert result.estimate == pytest.approx(values[1] - values[0], rel=1e-12)
    assert result.se == pytest.approx(np.hypot(*errors), rel=1e-12)
    log_log = stats.milestone_difference(duration, event, group, tau=1826.25, scale="log-log")
    # delta method: se of log(−log S) is se(S) / (S |log S|)
    spread = [e / (v * abs(np.log(v))) for e, v in zip(errors, values)]
    assert log_log.se == pytest.approx(np.hypot(*spread), rel=1e-12)
    assert log_log.z > 0 and log_log.estimate < 0


def test_horizon_beyond_follow_up():
    with pytest.raises(ValueError, match=r"known until 5; choose tau ≤ 5"):
        stats.rmst_difference([2, 5, 3, 9], [1, 0, 1, 1], [0, 0, 1, 1], tau=6)
    # a curve that has reached 0 stays there
    stats.rmst_difference([2, 5, 3, 9], [1, 1, 1, 0], [0, 0, 1, 1], tau=6)
    with pytest.raises(ValueError, match="tau must be positive"):
        stats.milestone_difference(*colon(), tau=0)
    with pytest.raises(ValueError, match="did you mean 'log-log'"):
        stats.milestone_difference(*colon(), tau=500, scale="loglog")
    with pytest.raises(ValueError, match="did you mean 'greenwood'"):
        stats.rmst_difference(*colon(), tau=500, variance="grenwood")


def test_type_one_error_of_rmst_milestone_and_cox():
    n_trials = 5_000
    duration, event, group = survival_trials(n_trials, 200, seed=31)
    rmst = batch_kernels.rmst_batch(duration, event, group, 18.0)
    z = (rmst[:, 2] - rmst[:, 0]) / np.sqrt(rmst[:, 1] + rmst[:, 3])
    assert within(np.mean(np.abs(z) > 1.959963985), 0.05, n_trials)
    m = batch_kernels.milestone_batch(duration, event, group, 12.0)
    z = (m[:, 2] - m[:, 0]) / np.sqrt(m[:, 0] ** 2 * m[:, 1] + m[:, 2] ** 2 * m[:, 3])
    assert within(np.mean(np.abs(z) > 1.959963985), 0.05, n_trials, 5)
    x = np.zeros((n_trials, 200, 3))
    x[:, :, 0] = group
    x[:, :, 1] = np.random.default_rng(1).normal(size=(n_trials, 200))
    cox = batch_kernels.cox_fast_batch(duration, event, x, np.zeros_like(group), 1, 2)
    assert within(np.mean(np.abs(cox[:, 0]) > 1.959963985), 0.05, n_trials)
    single = stats.cox(duration[5], event[5], group[5], x[5, :, 1])
    assert cox[5, 0] == pytest.approx(single.z, abs=1e-6)
    assert cox[5, 2] == pytest.approx(single.se, rel=1e-6)


def test_fast_cox_falls_back_on_ties():
    duration, event, group = survival_trials(20, 80, seed=3, ratio=0.6, grid=2.0)
    x = np.zeros((20, 80, 3))
    x[:, :, 0] = group
    strata = np.tile(np.arange(80) // 4 % 3, (20, 1)).astype(np.int8)
    fast = batch_kernels.cox_fast_batch(duration, event, x, strata, 3, 1)
    slow = batch_kernels.cox_batch(duration, event, np.ascontiguousarray(x[:, :, :1]), strata, 3)
    np.testing.assert_allclose(fast[:, 1], slow[:, 0], rtol=1e-9)
    for i in range(3):
        single = stats.cox(duration[i], event[i], group[i], strata=strata[i])
        assert fast[i, 0] == pytest.approx(single.z, rel=1e-9)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e5])
def test_units_of_a_covariate_do_not_matter(unit):
    duration, event, group = survival_trials(5, 150, seed=6, ratio=0.7)
    x = np.zeros((5, 150, 3))
    x[:, :, 0] = group
    x[:, :, 1] = np.random.default_rng(2).normal(size=(5, 150))
    flat = np.zeros_like(group)
    base = batch_kernels.cox_fast_batch(duration, event, x, flat, 1, 2)
    x[:, :, 1] *= unit
    np.testing.assert_allclose(
        batch_kernels.cox_fast_batch(duration, event, x, flat, 1, 2), base, rtol=1e-6
    )
    general = batch_kernels.cox_batch(duration, event, np.ascontiguousarray(x[:, :, :2]), flat, 1)
    assert general[:, 2].all()
    np.testing.assert_allclose(general[:, 0], base[:, 1], rtol=1e-5)


def test_cox_without_events_in_one_arm():
    duration, event = np.arange(1.0, 9.0), np.array([1, 0, 1, 0, 1, 0, 1, 0])
    group = np.array([0, 1] * 4)
    with pytest.raises(ValueError, match="events are 4 in group 0 and 0 in group 1"):
        stats.cox(duration, event, group)
    beta, covariance = np.zeros(1), np.empty((1, 1))
    x = group[:, None].astype(float)
    flat = np.zeros(8, np.int8)
    # the score statistic of the Cox model without ties is the log-rank statistic
    z = kernels.cox_z_sorted(duration, event, x, flat, beta, covariance)
    assert z == pytest.approx(stats.logrank(duration, event, group).z, rel=1e-12)
    padded = np.concatenate([x, np.zeros((8, 2))], axis=1)
    fast = kernels.cox_fast_z_sorted(duration, event, padded, flat, 1, np.zeros(3))
    assert fast == pytest.approx((z, 0.0, np.inf), rel=1e-12)
    none = np.zeros(8, int)
    assert kernels.cox_z_sorted(duration, none, x, flat, beta, covariance) == 0.0


def test_cox_golden():
    # survival 3.5-3 coxph, Efron (reference ids cox_colon_death, cox_veteran, cox_gehan)
    data = table("colon")
    lev = (data.rx == "Lev").astype(float)
    both = stats.cox(data.death_time, data.death, (data.rx == "Lev+5FU").astype(int), lev)
    assert both.coefficients == pytest.approx((-0.3717103, -0.0266375), abs=5e-8)
    assert np.sqrt(np.diag(both.covariance)) == pytest.approx((0.118754, 0.110304), abs=5e-7)
    recurrence = stats.cox(
        data.recurrence_time, data.recurrence, (data.rx == "Lev+5FU").astype(int), lev
    )
    assert recurrence.hazard_ratio == pytest.approx(0.59924, abs=5e-6)
    small = stats.cox(*veteran())
    assert (small.estimate, small.se) == pytest.approx((0.0177426, 0.180661), abs=5e-7)
    assert stats.cox(*gehan()).hazard_ratio == pytest.approx(0.207604, abs=5e-7)


def test_cox_with_covariates_and_strata():
    # coxph(Surv(death_time, death) ~ g + age + node4 + strata(extent), colon[rx != "Lev"])
    data = colon_two_arms()
    x = data[["age", "node4"]].to_numpy()
    fit = stats.cox(*colon(), x, strata=data.extent)
    expected = (-0.3745695950874, 0.0035779618703, 0.9324724249998)
    assert fit.coefficients == pytest.approx(expected, abs=1e-9)
    assert np.sqrt(np.diag(fit.covariance)) == pytest.approx(
        (0.1191279535809, 0.0048785543742, 0.1223659164369), rel=1e-6
    )
    assert fit.log_likelihood == pytest.approx(-1564.71423340, abs=1e-7)
    # the same without strata and with ties = "breslow"
    fit = stats.cox(*colon(), x, ties="breslow")
    assert fit.estimate == pytest.approx(-0.3837301603599, abs=1e-9)
    assert fit.log_likelihood == pytest.approx(-1740.16761267, abs=1e-7)


def test_cox_robust_and_delayed_entry():
    data = table("veteran")
    group = (data.trt == "test").astype(int)
    months = np.ceil(data.time / 30)
    # coxph(Surv(ceiling(time/30), status) ~ g + karno, cluster = celltype / id): heavy ties, Efron
    clustered = stats.cox(months, data.status, group, data.karno, cluster=data.celltype)
    assert clustered.estimate == pytest.approx(0.188965409575, abs=1e-9)
    assert clustered.se == pytest.approx(0.1971290339020, rel=1e-8)
    alone = stats.cox(months, data.status, group, data.karno, cluster=data.id)
    assert alone.se == pytest.approx(0.1895188332020, rel=1e-8)
    assert alone.model_se == pytest.approx(0.1826486402805, rel=1e-8)
    # e = id %% 7, rows with e < time; coxph(Surv(e, time, status) ~ g + karno + strata(prior))
    entry = data.id % 7
    kept = entry < data.time
    late = stats.cox(
        data.time[kept],
        data.status[kept],
        group[kept],
        data.karno[kept],
        strata=data.prior[kept],
        entry=entry[kept],
    )
    assert late.coefficients == pytest.approx((0.201846294077, -0.032418649684), abs=1e-9)
    assert late.se == pytest.approx(0.187418072276, rel=1e-6)


def test_andersen_gill_on_bladder():
    data = table("bladder")
    group = (data.rx == "thiotepa").astype(int)
    x = data[["number", "size"]]
    columns = (data.id, data.start, data.stop, data.event, group, x)
    # coxph(Surv(start, stop, event) ~ rx + number + size, bladder2, cluster = id), Efron
    fit = stats.andersen_gill(*columns)
    assert fit.coefficients == pytest.approx(
        (-0.464686953, 0.17496038132, -0.04366027609), abs=1e-9
    )
    assert fit.se == pytest.approx(0.265560811899, rel=1e-8)
    assert fit.model_se == pytest.approx(0.199732188827, rel=1e-8)
    # SAS and survival's bladder.Rout.save, Breslow ties
    breslow = stats.andersen_gill(*columns, ties="breslow")
    assert breslow.estimate == pytest.approx(-0.45979, abs=5e-6)
    assert breslow.se == pytest.approx(0.25801, abs=5e-6)
    assert stats.andersen_gill(*columns, ties="breslow", robust=False).se == pytest.approx(
        0.19996, abs=5e-6
    )


def test_wei_lin_weissfeld_on_bladder():
    # reference id bladder_AG_WLW: the first four recurrences as strata, robust by patient
    rows = []
    for who, part in table("bladder").groupby("id"):
        times = part.stop[part.event == 1].tolist()
        for k in range(4):
            seen = k < len(times)
            time = times[k] if seen else part.stop.max()
            rows.append(
                (
                    who,
                    part.rx.iloc[0],
                    part.number.iloc[0],
                    part["size"].iloc[0],
                    time,
                    int(seen),
                    k,
                )
            )
    wide = pd.DataFrame(rows, columns=["id", "rx", "number", "size", "time", "event", "k"])
    fit = stats.cox(
        wide.time,
        wide.event,
        (wide.rx == "thiotepa").astype(int),
        wide[["number", "size"]],
        strata=wide.k,
        cluster=wide.id,
    )
    assert fit.estimate == pytest.approx(-0.584793457, abs=1e-8)
    assert fit.se == pytest.approx(0.307946258, abs=1e-8)


def test_lwyy_kernel_equals_andersen_gill():
    data = table("bladder")
    group = (data.rx == "thiotepa").astype(int)
    public = stats.andersen_gill(data.id, data.start, data.stop, data.event, group, ties="breslow")
    follow_up = data.groupby("id").stop.max()
    place = {who: i for i, who in enumerate(follow_up.index)}
    arm = group.groupby(data.id).first().to_numpy()
    events = data[data.event == 1]
    estimate, robust, model = kernels.lwyy(
        follow_up.to_numpy(float),
        arm,
        events.stop.to_numpy(float),
        events.id.map(place).to_numpy(),
    )
    assert estimate == pytest.approx(public.estimate, abs=1e-10)
    assert robust == pytest.approx(public.se, rel=1e-10)
    assert model == pytest.approx(public.model_se, rel=1e-10)


def test_lwyy_level_under_heterogeneity():
    """A gamma frailty inflates the naive test; the robust one keeps its level."""
    rng = np.random.default_rng(8)
    n, n_trials = 120, 2_000
    group = np.arange(n) % 2
    robust, naive = np.empty(n_trials), np.empty(n_trials)
    for i in range(n_trials):
        follow_up = rng.uniform(0.5, 2.0, n)
        counts = rng.poisson(1.5 * follow_up * rng.gamma(1.0, 1.0, n))
        who = np.repeat(np.arange(n), counts)
        time = rng.uniform(0, 1, who.size) * follow_up[who]
        estimate, error, model = kernels.lwyy(follow_up, group, time, who)
        robust[i], naive[i] = estimate / error, estimate / model
    level = np.mean(np.abs(robust) > 1.959963985)
    assert abs(level - 0.05) < 4 * np.sqrt(0.05 * 0.95 / n_trials) + 0.005
    assert np.mean(np.abs(naive) > 1.959963985) > 0.15


def test_bad_input_of_regression():
    with pytest.raises(ValueError, match="did you mean 'efron'"):
        stats.cox(*veteran(), ties="effron")
    with pytest.raises(ValueError, match=r"covariates must have shape \(137, p\)"):
        stats.cox(*veteran(), covariates=np.ones((5, 2)))
    with pytest.raises(ValueError, match="column 0 is the same for all"):
        stats.cox(*veteran(), covariates=np.ones(137))
    with pytest.raises(ValueError, match="collinear"):
        stats.cox(*veteran(), covariates=np.tile(np.arange(137.0)[:, None], 2))
    with pytest.raises(ValueError, match="entry must be before duration"):
        stats.cox([1, 2], [1, 1], [0, 1], entry=[0, 3])
    rows = {"subject": [1, 1, 2], "start": [0, 1, 0], "stop": [2, 3, 4], "event": [1, 1, 1]}
    with pytest.raises(ValueError, match="intervals of subject 1 overlap"):
        stats.andersen_gill(**rows, group=[0, 0, 1])
    rows["start"] = [0, 2, 0]
    with pytest.raises(ValueError, match="subject 1 appears in both groups"):
        stats.andersen_gill(**rows, group=[0, 1, 1])
    with pytest.raises(ValueError, match="must be after start"):
        stats.andersen_gill([1, 2], [1, 1], [1, 2], [1, 1], [0, 1])


def test_intervals_and_print():
    result = stats.cox(*gehan())
    low, high = result.interval()
    assert low < result.estimate < high
    assert "log hazard ratio" in str(result)
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        result.interval(95)
    with pytest.raises(ValueError, match="has no estimate"):
        stats.max_combo(*gehan()).interval()
