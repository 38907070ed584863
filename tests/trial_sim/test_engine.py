"""The engine: invariants, agreement with the single-trial tests and with published simulations."""

import warnings

import numpy as np
import pytest
from scipy.stats import norm

import trial_sim as ts
from trial_sim import statistics
from trial_sim.design.design import (
    Bounds,
    Design,
    EnrolmentLooks,
    FirstOf,
    Minimization,
    ResponseAdaptive,
)
from trial_sim.engine.batch import draw_batch
from trial_sim.engine.interim_analyses import Conducted
from trial_sim.numerics.random_streams import Streams
from trial_sim.qualification.reference import VALUES
from trial_sim.scenarios import (
    BinaryResponse,
    CompetingEvents,
    ContinuousResponse,
    CountResponse,
    LongitudinalResponse,
    OrdinalResponse,
    RecurrentEvents,
    SampledTimes,
    SurvivalTable,
    Weibull,
    WithCovariates,
)
from trial_sim.simulation.simulate import run_jobs

ARMS = {"control": 1, "treatment": 1}
OUTCOMES = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.7)
FH = "fleming_harrington"


def make(**changes):
    fields = {
        "arms": ARMS,
        "n_patients": 300,
        "accrual": ts.Accrual(rate=20.0),
        "dropout": ts.Dropout(rate=0.004),
        "looks": ts.EventLooks([60, 130, 200]),
        "boundaries": Bounds([3.71, 2.51, 1.99]),
    }
    return Design(**{**fields, **changes})


def same(a: Conducted, b: Conducted) -> bool:
    return all(
        np.array_equal(x, y, equal_nan=x.dtype.kind == "f")
        for x, y in zip(vars(a).values(), vars(b).values())
    )


# -- the same bytes, whatever the way --------------------------------------------------------------


def test_chunks_and_workers_do_not_matter():
    design = make()
    whole = ts.simulate(design, OUTCOMES, n_trials=200, seed=1)
    for options in (
        {"chunk_trials": 7},
        {"chunk_trials": 33, "n_jobs": 2},
        {"chunk_trials": 1000},
    ):
        assert same(whole.conducted, ts.simulate(design, OUTCOMES, 200, 1, **options).conducted)
    first = ts.simulate(design, OUTCOMES, 80, 1).conducted
    rest = ts.simulate(design, OUTCOMES, 120, 1, first_trial=80).conducted
    assert same(whole.conducted, Conducted.join([rest, first]))
    other = ts.simulate(design, OUTCOMES, 200, 1, scenario=1)
    assert not np.array_equal(other.conducted.z, whole.conducted.z, equal_nan=True)


@pytest.mark.slow
def test_processes_do_not_matter():
    whole = ts.simulate(make(), OUTCOMES, n_trials=60, seed=1)
    other = ts.simulate(make(), OUTCOMES, 60, 1, n_jobs=2, backend="processes", chunk_trials=20)
    assert same(whole.conducted, other.conducted)


@pytest.mark.slow
def test_a_cluster_and_a_killed_worker_do_not_matter():
    distributed = pytest.importorskip("distributed")
    design = make()
    whole = ts.simulate(design, OUTCOMES, n_trials=3000, seed=1)
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with (
        distributed.LocalCluster(**options) as cluster,
        distributed.Client(cluster) as client,
    ):
        calm = ts.simulate(design, OUTCOMES, 3000, 1, chunk_trials=100, client=client)
        assert same(whole.conducted, calm.conducted)
        pids = client.run(lambda: __import__("os").getpid())

        def kill_one(batch):
            # The first chunk to reach the doomed worker takes it down; the rerun goes elsewhere.
            import os

            if os.getpid() == next(iter(pids.values())) and batch.streams.trials[0] >= 500:
                os._exit(1)
            return OUTCOMES.sample(batch).time

        rough = ts.simulate(
            design, SampledTimes(kill_one), 3000, 1, chunk_trials=100, client=client
        )
        assert same(whole.conducted, rough.conducted)
        assert set(client.run(lambda: __import__("os").getpid()).values()) != set(pids.values())


def test_interruption_keeps_what_is_done():
    seen = []

    def sampler(batch):
        seen.append(batch.n_trials)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return OUTCOMES.sample(batch).time

    result = ts.simulate(make(), SampledTimes(sampler), 100, 1, chunk_trials=10)
    assert result.interrupted and result.n_trials == 30
    whole = ts.simulate(make(), OUTCOMES, 30, 1)
    assert same(result.conducted, whole.conducted)
    seen[:] = [0, 0, 0]
    with pytest.raises(KeyboardInterrupt):
        ts.simulate(make(), SampledTimes(sampler), 100, 1, chunk_trials=10)


# -- invariants ------------------------------------------------------------------------------------


def test_planned_events_are_met_exactly():
    for looks, outcomes in (
        ([60, 130, 200], OUTCOMES),
        ([1, 2, 150], Weibull(10, 0.5, 0.8)),
    ):
        c = ts.simulate(make(looks=ts.EventLooks(looks)), outcomes, 300, 3).conducted
        held = np.isfinite(c.look_time)
        assert (c.events.sum(axis=2)[held] == np.tile(looks, (300, 1))[held]).all()


def test_a_latent_time_is_drawn_once_and_seen_alike_by_every_look():
    result = ts.simulate(make(boundaries=Bounds([9, 9, 1.99])), OUTCOMES, 20, 3)
    for trial in range(20):
        replay = result.replay(trial)
        assert len(replay.data) == 3
        final = replay.patients.set_index("patient")
        for month, data in zip(replay.looks["month"], replay.data):
            data = data.set_index("patient")
            truth = final.loc[data.index]
            ended = truth["end"] <= month
            assert np.array_equal(data["time"][ended], truth["time"][ended])
            assert np.array_equal(data["event"][ended], truth["event"][ended])
            follow_up = month - truth["enrolment"][~ended]
            assert np.allclose(data["time"][~ended], follow_up, rtol=1e-15)
            assert not data["event"][~ended].any()


def test_no_futility_exit_without_a_futility_bound():
    harmful = ts.PiecewiseExponential(control_median=12, hazard_ratio=1.6)
    result = ts.simulate(make(), harmful, 400, 3)
    assert result.stage_futility.sum() == 0
    assert (result.conducted.last_look == 2).mean() > 0.99
    bounds = Bounds([3.71, 2.51, 1.99], [0.0, 0.5, 1.99])
    stops = ts.simulate(make(boundaries=bounds), harmful, 400, 3)
    assert stops.stage_futility[:2].sum() > 0.95
    obeyed = ts.simulate(make(boundaries=bounds, follow_futility=False), harmful, 400, 3)
    assert same(obeyed.conducted, result.conducted)


def test_times_of_looks_ascend_and_trials_stop_once():
    c = ts.simulate(make(), OUTCOMES, 300, 5).conducted
    for t in range(300):
        held = c.look_time[t][: c.last_look[t] + 1]
        assert np.isfinite(held).all() and (np.diff(held) > 0).all()
        assert np.isnan(c.look_time[t][c.last_look[t] + 1 :]).all()
        crossed = np.flatnonzero(c.decision[t, :, 0] == 2)
        assert len(crossed) <= 1 and all(k == c.last_look[t] for k in crossed)


def test_unreachable_events_are_analysed_at_the_end():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        design = make(looks=ts.EventLooks([60, 130, 400]))
    result = ts.simulate(design, OUTCOMES, 200, 2)
    c = result.conducted
    late = c.last_look == 2
    assert late.any() and not c.triggered[late, 2].any()
    replay = result.replay(int(c.trial[late][0]))
    assert replay.looks["month"].iloc[-1] == replay.patients["end"].max()
    assert replay.looks["events"].iloc[-1] == replay.patients["event"].sum()
    assert result.quantity("ended before the planned trigger").estimate == late.mean()
    # a cap on the duration ends a trial too, and the look then is the last one
    capped = ts.simulate(make(max_duration=18.0), OUTCOMES, 200, 2).conducted
    assert np.nanmax(capped.look_time) <= 18.0
    assert (capped.last_look == 2).sum() < 10 and (capped.decision == 4).any()


def test_endless_patients_do_not_hang_the_engine():
    cured = ts.PiecewiseExponential(control_median=12, cured=0.6)
    result = ts.simulate(make(dropout=ts.Dropout()), cured, 50, 2)
    assert (result.conducted.decision == 4).any() and np.isfinite(result.duration).all()
    ended = result.conducted.triggered[np.arange(50), result.conducted.last_look]
    assert not ended.any()


def test_overrun_counts_patients_but_not_events():
    fast = ts.simulate(make(looks=ts.EventLooks([60, 130, 200])), OUTCOMES, 200, 4)
    slow = ts.simulate(make(looks=ts.EventLooks([60, 130, 200], lag=2.0)), OUTCOMES, 200, 4)
    assert np.array_equal(fast.conducted.z, slow.conducted.z, equal_nan=True)
    assert np.allclose(slow.duration - fast.duration, 2.0)
    assert slow.expected_patients >= fast.expected_patients
    first = fast.conducted.patients[:, 0], slow.conducted.patients[:, 0]
    assert (first[1] - first[0]).mean() == pytest.approx(40, abs=2)


def test_common_random_numbers_across_scenarios():
    better = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.65)
    a, b = (ts.simulate(make(), o, 2000, 6) for o in (OUTCOMES, better))
    paired = b.compare(a)
    alone = np.hypot(a.mcse("power"), b.mcse("power"))
    assert paired.estimate == pytest.approx(b.power - a.power)
    assert paired.mcse < 0.75 * alone
    # the control arm is the same in both
    left, right = a.replay(3).patients, b.replay(3).patients
    control = left["arm"] == "control"
    assert np.array_equal(left[control]["time"], right[control]["time"])
    assert not np.array_equal(left["time"], right["time"])


# -- agreement with the single-trial tests ---------------------------------------------------------


TIED = SurvivalTable(np.arange(1, 40), np.exp(-0.05 * np.arange(1, 40)), 0.7, interpolation="steps")
STRATA = {"region": {"a": 0.5, "b": 0.3, "c": 0.2}, "sex": {"f": 0.5, "m": 0.5}}


def looks_of(result, trials=5):
    for trial in range(trials):
        replay = result.replay(trial)
        for row, data in zip(replay.looks.itertuples(), replay.data):
            data["treated"] = (data["arm"] == "treatment").astype(int)
            yield row, data


@pytest.mark.parametrize("outcomes", [OUTCOMES, TIED], ids=["untied", "tied"])
@pytest.mark.parametrize(
    "test",
    [
        "logrank",
        (FH, 0, 0.5),
        ("magirr_burman", 6.0),
        ("max_combo", [(FH, 0, 0), (FH, 0, 1), (FH, 1, 0), (FH, 1, 1)]),
        ("rmst", 10.0),
        ("milestone", 8.0),
        "cox",
    ],
    ids=lambda t: t if isinstance(t, str) else t[0],
)
def test_survival_statistics_are_those_of_the_single_trial_functions(test, outcomes):
    result = ts.simulate(make(test=test, boundaries=Bounds([9, 9, 1.99])), outcomes, 5, 8)
    for row, data in looks_of(result):
        arguments = (data["time"], data["event"], data["treated"])
        if test == "logrank" or test[0] in (FH, "magirr_burman"):
            z = ts.logrank(*arguments, weight=test).z
        elif test[0] == "max_combo":
            p = ts.max_combo(*arguments, weights=test[1]).p_value
            from scipy.special import ndtr

            assert ndtr(-row.z) == pytest.approx(p, abs=2e-6)
            continue
        elif test == "cox":
            z = statistics.cox(*arguments).z
        elif test[0] == "rmst":
            z = ts.rmst_difference(*arguments, tau=test[1]).z
        else:
            # the difference on the survival scale
            found = [
                statistics.kaplan_meier(data["time"][g], data["event"][g])
                for g in (data["treated"] == 0, data["treated"] == 1)
            ]
            curve = [f.to_frame() for f in found]
            at = [c[c["time"] <= test[1]].iloc[-1] for c in curve]
            se = np.hypot(*(a["standard_error"] for a in at))
            z = (at[1]["survival"] - at[0]["survival"]) / se
        assert row.z == pytest.approx(z, abs=1e-10 if test != "cox" else 1e-6)


@pytest.mark.parametrize("outcomes", [OUTCOMES, TIED], ids=["untied", "tied"])
@pytest.mark.parametrize("test", ["logrank", (FH, 0, 1)], ids=["logrank", "weighted"])
def test_stratified_statistics(test, outcomes):
    design = make(
        test=test, strata=STRATA, stratified=True, randomization=Minimization(),
        boundaries=Bounds([9, 9, 1.99]),
    )  # fmt: skip
    result = ts.simulate(design, outcomes, 4, 8)
    for row, data in looks_of(result, 4):
        strata = data["region"] + data["sex"]
        z = ts.logrank(data["time"], data["event"], data["treated"], weight=test, strata=strata).z
        assert row.z == pytest.approx(z, abs=1e-10)
    # the last look of the last trial
    fitted = statistics.cox(data["time"], data["event"], data["treated"], strata=strata)
    assert result.conducted.estimate[3, 0] == pytest.approx(fitted.estimate, abs=1e-6)
    assert result.conducted.se[3, 0] == pytest.approx(fitted.se, abs=1e-6)


def test_adjusted_cox_and_its_estimate():
    outcomes = WithCovariates(OUTCOMES, {"age": "normal", "male": 0.5}, {"age": 0.4, "male": 0.3})
    design = make(test="cox", adjust=("age", "male"), boundaries=Bounds([9, 9, 1.99]))
    result = ts.simulate(design, outcomes, 4, 8)
    for row, data in looks_of(result, 4):
        fitted = statistics.cox(
            data["time"], data["event"], data["treated"], covariates=data[["age", "male"]]
        )
        assert row.z == pytest.approx(fitted.z, abs=1e-4)  # the kernel stops its Newton steps early
    assert result.conducted.estimate[3, 0] == pytest.approx(fitted.estimate, abs=2e-5)


def test_estimates_are_cox_estimates():
    for outcomes in (OUTCOMES, TIED):
        result = ts.simulate(make(), outcomes, 4, 8)
        for trial in range(4):
            data = result.replay(trial).data[-1]
            treated = (data["arm"] == "treatment").astype(int)
            fitted = statistics.cox(data["time"], data["event"], treated)
            assert result.conducted.estimate[trial, 0] == pytest.approx(fitted.estimate, abs=1e-6)
            assert result.conducted.se[trial, 0] == pytest.approx(fitted.se, abs=1e-6)


def test_several_arms_are_each_compared_with_control():
    design = make(
        arms={"control": 1, "low": 1, "high": 2},
        boundaries=Bounds([9, 9, 1.99]),
        multiplicity="unadjusted",
    )
    outcomes = ts.PiecewiseExponential(control_median=12, hazard_ratio={"low": 0.9, "high": 0.5})
    result = ts.simulate(design, outcomes, 300, 8)
    for trial in range(3):
        replay = result.replay(trial)
        for look, data in enumerate(replay.data, start=1):
            for arm in ("low", "high"):
                pair = data[data["arm"].isin(["control", arm])]
                z = ts.logrank(pair["time"], pair["event"], (pair["arm"] == arm).astype(int)).z
                rows = replay.looks
                mine = rows[(rows["look"] == look) & (rows["arm"] == arm)]
                assert mine["z"].item() == pytest.approx(z, abs=1e-10)
    table = result.operating_characteristics.set_index("quantity")["estimate"]
    assert table["conjunctive power"] <= table["power, low"] <= table["disjunctive power"]
    chosen = table[["selected, low", "selected, high", "selected, none"]]
    assert chosen.sum() == pytest.approx(1)
    assert table["selected, high"] > 0.9


@pytest.mark.parametrize(
    ("test", "outcomes", "single"),
    [
        ("chi_square", BinaryResponse(0.3, 0.45),
         lambda d: statistics.chi_square_test(d.response, d.treated)),
        ("fisher", BinaryResponse(0.3, 0.45),
         lambda d: statistics.fisher_test(d.response, d.treated)),
        (("farrington_manning", 0.1), BinaryResponse(0.3, 0.35),
         lambda d: statistics.farrington_manning_test(d.response, d.treated, 0.1)),
        ("negative_binomial", CountResponse(0.2, 0.6, 12, 0.5),
         lambda d: statistics.negative_binomial_test(d.response, d.treated)),
    ],
    ids=["chi_square", "fisher", "farrington_manning", "negative_binomial"],
)  # fmt: skip
def test_response_statistics(test, outcomes, single):
    design = make(
        test=test, looks=ts.EventLooks([100, 250]), boundaries=Bounds([9, 1.99]), readout=3.0
    )
    for row, data in looks_of(ts.simulate(design, outcomes, 3, 8), 3):
        known = data.dropna(subset="response")
        assert len(known) == row.events
        assert row.z == pytest.approx(single(known).z, abs=1e-8)


def test_means_and_ranks():
    from scipy import stats

    outcomes = ContinuousResponse(0.4, correlation=0.6)
    for test in ("t_test", "ancova"):
        design = make(test=test, looks=ts.EventLooks([100, 250]), boundaries=Bounds([9, 1.99]))
        for row, data in looks_of(ts.simulate(design, outcomes, 3, 8), 3):
            data = data.dropna(subset="response")
            if test == "t_test":
                found = statistics.t_test(data["response"], data["treated"])
            else:
                found = statistics.ancova(data["response"], data["treated"], data["baseline"])
            assert stats.norm.sf(row.z) == pytest.approx(found.p_value, rel=1e-8)
    design = make(test="wilcoxon", looks=ts.EventLooks([250]), boundaries=None)
    for row, data in looks_of(ts.simulate(design, OrdinalResponse([0.3, 0.4, 0.3], 1.8), 3, 8), 3):
        groups = [data["response"][data["treated"] == g].dropna() for g in (1, 0)]
        found = stats.mannwhitneyu(*groups, alternative="greater", use_continuity=False,
                                   method="asymptotic")  # fmt: skip
        assert stats.norm.sf(row.z) == pytest.approx(found.pvalue, rel=1e-8)


def test_recurrent_and_competing():
    design = make(test="lwyy", looks=ts.EventLooks([200, 400]), boundaries=Bounds([9, 1.99]))
    outcomes = RecurrentEvents(0.1, 0.7, 60, dispersion=0.5)
    c = ts.simulate(design, outcomes, 50, 8).conducted
    assert (c.events.sum(axis=2) == [200, 400]).all()
    assert c.estimate.mean() == pytest.approx(np.log(0.7), abs=0.08)
    design = make(test="gray", looks=ts.EventLooks([80]), boundaries=None)
    result = ts.simulate(design, CompetingEvents([0.05, 0.03], [0.6, 1.2]), 3, 8)
    for row, data in looks_of(result, 3):
        assert data["event"].sum() == 80 and (data["cause"] == 2).any()
        found = statistics.gray_test(data["time"], data["cause"], data["treated"])
        assert row.z == pytest.approx(found.z, abs=1e-10)


def test_repeated_measures():
    outcomes = LongitudinalResponse([1, 2, 3], [0, 0, 0], [0.2, 0.4, 0.6], dropout_rate=0.1)
    design = make(test="mmrm", looks=EnrolmentLooks([200], follow_up=3.0), boundaries=None)
    result = ts.simulate(design, outcomes, 300, 8)
    c = result.conducted
    assert c.estimate.mean() == pytest.approx(0.6, abs=0.04)
    for trial in range(3):
        streams = Streams.span(8, trial, trial + 1)
        batch = draw_batch(design, outcomes, streams)
        visits = batch.outcome.visits[0]
        until = np.minimum(batch.exit[0], c.look_time[trial, 0])[:, None] + 1e-9
        who, visit = np.nonzero(
            (batch.enrolment[0][:, None] + [1, 2, 3] <= until) & np.isfinite(visits)
        )
        assert 200 < len(who) < 3 * 300
        fit = statistics.mmrm(
            visits[who, visit], who, visit, (batch.arm[0][who] == 1).astype(int),
            covariates=batch.outcome.baseline[0][who], covariates_by_visit=True,
        )  # fmt: skip
        assert c.estimate[trial, 0] == pytest.approx(fit.estimate, abs=1e-5)
        assert c.se[trial, 0] == pytest.approx(fit.se, rel=1e-4)
        assert norm.sf(c.z[trial, 0, 0]) == pytest.approx(fit.p_value, rel=1e-3)
    null = LongitudinalResponse([1, 2, 3], [0, 0, 0], [0, 0, 0], dropout_rate=0.1)
    error = ts.simulate(design, null, 2000, 8).quantity("power")
    assert error.lower - 0.002 <= 0.025 <= error.upper + 0.002
    many = LongitudinalResponse(list(range(1, 18)), [0] * 17, [0] * 17)
    with pytest.raises(ValueError, match="up to 16 visits, the scenario has 17"):
        ts.simulate(design, many, 2)


def test_response_adaptive_allocation():
    fields = {
        "test": "chi_square",
        "looks": ts.EventLooks([300]),
        "boundaries": None,
        "dropout": ts.Dropout(),
        "readout": 0.5,
    }
    outcomes = BinaryResponse(0.2, 0.7)
    for rule, share in (("rsihr", np.sqrt(0.7) / (np.sqrt(0.2) + np.sqrt(0.7))), ("neyman", 0.534)):
        adaptive = ResponseAdaptive(rule, least=0.05)
        result = ts.simulate(make(randomization=adaptive, **fields), outcomes, 200, 9)
        arm = [result.replay(k).patients["arm"] == "treatment" for k in range(30)]
        late = np.mean([a[100:] for a in arm])
        assert late == pytest.approx(0.05 + 0.9 * share, abs=0.03)
    null = ts.simulate(
        make(randomization=ResponseAdaptive(), **fields), BinaryResponse(0.4, 0.4), 4000, 9
    )
    assert null.power == pytest.approx(0.025, abs=0.009)
    with pytest.raises(ValueError, match="needs binary outcomes"):
        ts.simulate(make(randomization=ResponseAdaptive()), OUTCOMES, 5)


def test_arms_of_a_fitted_real_trial():
    trial = ts.load_trial("colon")
    fitted = ts.fit(trial, endpoint="death", model="cox", seed=0)
    design = make(n_patients=600, looks=ts.EventLooks([250]), boundaries=None)
    plain = ts.simulate(design, fitted.outcomes(control="Obs", treatment="Lev+5FU"), 300, seed=1)
    # the observed log hazard ratio of the real trial is -.373
    assert plain.conducted.estimate.mean() == pytest.approx(-0.373, abs=0.04)
    doubtful = fitted.outcomes(control="Obs", treatment="Lev+5FU", uncertainty=True)
    assured = ts.simulate(design, doubtful, 60, seed=1)
    again = ts.simulate(design, doubtful, 60, seed=1, chunk_trials=13, n_jobs=2)
    assert same(assured.conducted, again.conducted)
    assert assured.conducted.estimate.std() > plain.conducted.estimate.std()
    table = ts.what_if(design, doubtful, {"n_patients": [500, 600]}, n_trials=20)
    assert len(table) == 2


# -- published simulations -------------------------------------------------------------------------


def close(observed, expected, tolerance):
    assert np.max(np.abs(np.asarray(observed) - np.asarray(expected))) <= tolerance


def test_lrstat_nonproportional_design():
    expected = VALUES["lrstat_nph_design"]["expected"]
    gs = ts.group_sequential(
        information_fractions=(0.8, 1), alpha=0.025, efficacy="lan_demets_obrien_fleming"
    )
    accrual = ts.Accrual(rate=[26 / 9 * k for k in range(1, 10)], breakpoints=range(1, 9))
    design = Design(
        arms=ARMS, n_patients=expected["n"], accrual=accrual,
        dropout=ts.Dropout(rate=-np.log(0.95) / 12), looks=ts.EventLooks([252, 315]),
        boundaries=gs,
    )  # fmt: skip
    outcomes = ts.PiecewiseExponential(control_median=13, breakpoints=[6], hazard_ratio=[1, 0.58])
    result = ts.simulate(design, outcomes, 20_000, seed=14)
    # lrstat's are analytic approximations: a few tenths of a percent beside the Monte-Carlo error
    close(result.power, expected["power"], 0.012)
    close(result.stage_rejection, expected["rejectPerStage"], 0.012)
    close(result.expected_events, expected["expectedEvents"], 1.0)
    close(result.expected_duration, expected["expectedDuration"], 0.2)


@pytest.mark.parametrize(
    ("test", "extra"),
    [
        ("logrank", {}),
        ("logrank", {"strata": STRATA, "stratified": True}),
        (("max_combo", [(FH, 0, 0), (FH, 0, 1), (FH, 1, 0), (FH, 1, 1)]), {}),
        (("rmst", 12.0), {}),
        ("cox", {}),
    ],
    ids=["logrank", "stratified", "max_combo", "rmst", "cox"],
)
def test_type_one_error(test, extra):
    null = ts.PiecewiseExponential(control_median=12)
    design = make(looks=ts.EventLooks([200]), boundaries=None, test=test, **extra)
    error = ts.simulate(design, null, 6000, seed=16).quantity("power")
    assert error.lower - 0.003 <= 0.025 <= error.upper + 0.003


def test_group_sequential_type_one_error_is_spent_as_planned():
    gs = ts.group_sequential(
        information_fractions=(0.3, 0.65, 1), alpha=0.05, efficacy="lan_demets_pocock"
    )
    null = ts.PiecewiseExponential(control_median=12)
    result = ts.simulate(make(boundaries=gs), null, 20_000, seed=17)
    spent = np.cumsum(result.stage_rejection)
    mcse = np.sqrt(gs.alpha_spent * (1 - gs.alpha_spent) / 20_000)
    assert (np.abs(spent - gs.alpha_spent) < 4 * mcse + 0.002).all()


def test_two_sided_trials_reject_in_both_directions():
    gs = ts.group_sequential(
        information_fractions=(0.5, 1), alpha=0.05, sided=2, efficacy="obrien_fleming"
    )
    design = make(looks=ts.EventLooks([100, 200]), boundaries=gs)
    null = ts.simulate(design, ts.PiecewiseExponential(control_median=12), 20_000, seed=18)
    assert null.power == pytest.approx(0.05, abs=4 * null.mcse() + 0.002)
    z = null.conducted.z[np.arange(20_000), null.conducted.last_look, 0][null.success]
    assert (z > 0).mean() == pytest.approx(0.5, abs=0.06)
    harm = ts.simulate(design, ts.PiecewiseExponential(control_median=12, hazard_ratio=1.6), 2000)
    assert harm.power > 0.85


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: ts.simulate(make(), OUTCOMES, n_trials=0), ValueError, "n_trials must be"),
        (lambda: ts.simulate(make(), OUTCOMES, n_trials=10, seed=-1), ValueError, "seed must be"),
        (lambda: ts.simulate(make(), OUTCOMES, 10, seed=None), ValueError, "seed must be a whole"),
        (lambda: ts.simulate(make(), OUTCOMES, np.nan), ValueError, "at least 1, got nan"),
        (lambda: ts.simulate(make(), OUTCOMES, 10, n_jobs=0), ValueError, "n_jobs must be"),
        (lambda: ts.simulate(make(), OUTCOMES, 10, backend="thread"), ValueError, "did you mean"),
        (lambda: ts.simulate(make(), BinaryResponse(0.1, 0.2), 10), ValueError,
         "does not suit binary"),
        (lambda: ts.simulate(make(test="t_test"), OUTCOMES, 10), ValueError, "does not suit time"),
        (lambda: ts.simulate("design", OUTCOMES, 10), TypeError, "must be a Design"),
        (lambda: ts.simulate(make(), 0.7, 10), TypeError, "must be a scenario"),
        (lambda: ts.simulate(make(test="cox", adjust="age"), OUTCOMES, 10), ValueError,
         "no covariate 'age'"),
        (lambda: ts.simulate(make(), SampledTimes(lambda b: np.ones(3)), 10), ValueError,
         "must return times of shape"),
        (lambda: ts.simulate(make(), SampledTimes(lambda b: "x"), 10), TypeError,
         "must return an array of times, got str"),
        (lambda: ts.simulate(make(), SampledTimes(lambda b: np.full(b.arm.shape, np.nan)), 10),
         ValueError, "got negative or NaN"),
        (lambda: ts.simulate(make(), OUTCOMES, 10).replay(10), ValueError, "not among"),
        (lambda: ts.simulate(make(endpoint="oss"), OUTCOMES, 1), ValueError, "no endpoint 'oss'"),
    ],
)  # fmt: skip
def test_bad_calls(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_outcomes_that_name_arms_are_checked():
    class Swapped(SampledTimes):
        arms = ("treatment", "control")

    class Three(SampledTimes):
        arms = ("a", "b", "c")

    for kind, message in ((Swapped, "in the order"), (Three, "have 3 arms, the design has 2")):
        with pytest.raises(ValueError, match=message):
            ts.simulate(make(), kind(lambda b: np.ones(b.arm.shape)), 10)


def test_jobs_share_a_pool():
    from trial_sim.simulation.simulate import Job

    jobs = [Job(make(n_patients=n), OUTCOMES) for n in (250, 300)]
    found = dict(run_jobs(jobs, 40, 1, n_jobs=2, chunk_trials=10))
    assert same(found[1].conducted, ts.simulate(make(), OUTCOMES, 40, 1).conducted)
    first = FirstOf([ts.EventLooks([60, 130, 200]), ts.CalendarLooks([8, 16, 24])])
    assert ts.simulate(make(looks=first), OUTCOMES, 40, 1).duration.max() <= 24
