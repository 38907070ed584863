"""Prediction of counts, ordinal and repeated measurements, and of stratified trials."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import mannwhitneyu, norm

import trial_sim as ts
from trial_sim.design.design import Design
from trial_sim.prediction.models.hazard_ratios import log_ratios
from trial_sim.prediction.models.responses import CountModel, fit_responses
from trial_sim.prediction.models.strata import cell_rates
from trial_sim.prediction.models.visits import fit_visits
from trial_sim.prediction.reading.responses import read_responses, read_visits
from trial_sim.scenarios import CountResponse, LongitudinalResponse, OrdinalResponse

GS = ts.group_sequential((0.5, 1), efficacy="lan_demets_obrien_fleming")
COUNT = CountResponse(0.5, 0.75, exposure=3.0, dispersion=0.5)
ORDINAL = OrdinalResponse([0.3, 0.3, 0.2, 0.2], odds_ratio=1.6)
VISITS = LongitudinalResponse([1, 3], [0.2, 0.5], [0.1, 0.3], correlation=0.6, dropout_rate=0.04)
STRATA = {"region": {"north": 0.5, "south": 0.5}, "sex": {"f": 0.6, "m": 0.4}}


def design_for(test, **changes):
    fields = {
        "arms": {"control": 1, "treatment": 1},
        "n_patients": 400,
        "accrual": ts.Accrual(rate=25.0),
        "looks": ts.EventLooks([200, 400]),
        "boundaries": GS,
        "readout": 3.0,
        "test": test,
    }
    return Design(**{**fields, **changes})


def first_look(design, outcomes, seed=4):
    """The data at the first look of a simulated trial, and its month."""
    shown = ts.simulate(design, outcomes, 1, seed=seed).replay(0)
    month = float(shown.looks["month"].iloc[0])
    truth, data = shown.patients, shown.data[0]
    data = data.assign(dropout=((truth["end"] <= month) & ~truth["event"])[: len(data)].astype(int))
    if "response" in data:
        data = data.drop(columns=["time", "event"])
    return data, month


def rank_z(y, group):
    """z of Wilcoxon's test with ties, without a correction for continuity."""
    higher, lower = y[group == 1], y[group == 0]
    p = mannwhitneyu(
        higher, lower, alternative="greater", use_continuity=False, method="asymptotic"
    )
    return norm.isf(p.pvalue)


def mmrm_of(seen):
    long = seen.reset_index(names="id").melt(
        ["id", "arm", "baseline"], ["visit_1", "visit_2"], "visit", "value"
    )
    return ts.mmrm(
        long["value"], long["id"], long["visit"], (long["arm"] == "treatment").astype(int),
        covariates=long["baseline"], covariates_by_visit=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("test", "outcomes", "statistic", "changes"),
    [
        ("wilcoxon", ORDINAL, rank_z, {}),
        (
            "negative_binomial", COUNT,
            lambda y, g: ts.negative_binomial_test(y, g).z, {"better": "lower"},
        ),
    ],
)  # fmt: skip
def test_counts_and_categories_agree_with_the_closed_forms(test, outcomes, statistic, changes):
    design = design_for(test, **changes)
    seen, month = first_look(design, outcomes)
    known = seen.dropna(subset="response")
    assert len(known) == 200
    z = statistic(known["response"], (known["arm"] == "treatment").astype(int))
    found = ts.predict(seen, design, cutoff=month, outcomes=outcomes, n_draws=3000, seed=2)
    for theta in ("trend", "null"):
        exact = GS.conditional_power(1, z, theta=theta)
        assert found.conditional_power[theta].estimate == pytest.approx(exact, abs=0.045)
    predictive = GS.predictive_power(1, z)
    assert found.probability_of_success.estimate == pytest.approx(predictive, abs=0.045)
    assert 0 < found.conditional_power["design"].estimate < 1


def test_models_of_counts_and_categories():
    rng = np.random.default_rng(3)
    n = 4000
    arm = np.arange(n) % 2
    size = 1 / 0.8
    mean = np.where(arm == 1, 1.2, 2.0)
    table = pd.DataFrame(
        {
            "enrolment": np.linspace(0, 5, n),
            "arm": np.where(arm == 1, "treatment", "control"),
            "response": rng.negative_binomial(size, size / (size + mean)).astype(float),
        }
    )
    design = design_for("negative_binomial", n_patients=n)
    trial = read_responses(table, design, "count", cutoff=10.0)
    labels = ("control", "treatment")
    fit = fit_responses(trial, "count", trial.arm, labels, False)
    assert isinstance(fit, CountModel)
    expected = table.groupby("arm")["response"].mean()
    np.testing.assert_allclose(fit.estimate, expected[list(labels)])
    assert fit.dispersion == pytest.approx(0.8, abs=0.1)
    means, k = fit.draw(4000, rng)
    spread = np.sqrt((1 / fit.estimate + fit.dispersion) / (n / 2))
    np.testing.assert_allclose(np.log(means).std(axis=0), spread, rtol=0.05)
    assert 0.02 < k.std() < 0.1
    group = np.tile([0, 1], (1, 20_000))
    drawn = fit.values((fit.estimate[None], [fit.dispersion]), group, None, rng.random(group.shape))
    for g in (0, 1):
        mine = drawn[group == g]
        variance = fit.estimate[g] + fit.dispersion * fit.estimate[g] ** 2
        assert mine.mean() == pytest.approx(fit.estimate[g], abs=4 * np.sqrt(variance / 20_000))
        assert mine.var() == pytest.approx(variance, rel=0.08)

    ordinal = read_responses(table.assign(response=table["response"].clip(upper=2)), design,
                             "ordinal", cutoff=10.0)  # fmt: skip
    categories = fit_responses(ordinal, "ordinal", ordinal.arm, labels, False)
    assert categories.categories.tolist() == [0, 1, 2]
    shares = categories.draw(3000, rng).mean(axis=0)
    np.testing.assert_allclose(shares, categories.estimate, atol=0.002)


def test_visits_follow_the_mmrm():
    design = design_for("mmrm")
    seen, month = first_look(design, VISITS)
    trial = read_visits(seen, design, [1, 3], cutoff=month)
    fit = fit_visits(trial, trial.arm, ("control", "treatment"))
    reference = mmrm_of(seen)
    assert fit.estimate[1, 1] - fit.estimate[0, 1] == pytest.approx(reference.estimate, abs=2e-3)
    np.testing.assert_allclose(fit.covariance, reference.covariance, atol=0.01)
    means, slopes, covariances = fit.draw(1500, np.random.default_rng(1))
    difference = means[:, 1, 1] - means[:, 0, 1]
    assert difference.mean() == pytest.approx(reference.estimate, abs=0.02)
    assert difference.std() == pytest.approx(reference.se, rel=0.1)
    np.testing.assert_allclose(slopes.mean(axis=0), fit.slope, atol=0.03)
    np.testing.assert_allclose(covariances.mean(axis=0), fit.covariance, atol=0.03)


def test_power_of_an_mmrm_without_correlation_is_that_of_the_last_visit():
    outcomes = LongitudinalResponse([1, 3], [0.2, 0.5], [0.1, 0.35], correlation=0.0)
    design = design_for("mmrm")
    seen, month = first_look(design, outcomes)
    z = mmrm_of(seen).z
    found = ts.predict(seen, design, cutoff=month, outcomes=outcomes, n_draws=1500, seed=2)
    assert found.looks["look"].tolist() == [2]
    assert found.conditional_power["null"].estimate == pytest.approx(
        GS.conditional_power(1, z, theta="null"), abs=0.05
    )
    exact = GS.conditional_power(1, z, theta=0.35 * np.sqrt(400) / 2)
    assert found.conditional_power["design"].estimate == pytest.approx(exact, abs=0.05)
    assert found.probability_of_success.estimate == pytest.approx(
        GS.predictive_power(1, z), abs=0.06
    )


def test_visits_seen_tell_of_those_to_come():
    design = design_for("mmrm")
    seen, month = first_look(design, VISITS)
    found = ts.predict(seen, design, cutoff=month, visit_months=[1, 3], n_draws=200, seed=1)
    trial = ts.Trial(
        patients=seen.rename(columns={"visit_1": "m1", "visit_2": "m3", "baseline": "m0"}),
        arm="arm",
        endpoints={"score": ts.Longitudinal(["m1", "m3"], baseline="m0")},
    )
    again = ts.predict(trial, design, cutoff=month, outcomes=VISITS, n_draws=200, seed=1)
    assert again.probability_of_success == found.probability_of_success
    assert found.month_of_events(350)["median"] > month
    # high values at the first visit of those who still run raise the chance of success
    waiting = seen["visit_2"].isna() & seen["visit_1"].notna()
    better = seen.copy()
    gain = np.where(better["arm"] == "treatment", 1.0, -1.0)
    better.loc[waiting, "visit_1"] += gain[waiting]
    higher = ts.predict(better, design, cutoff=month, visit_months=[1, 3], n_draws=200, seed=1)
    assert waiting.sum() > 20
    assert higher.probability_of_success.estimate > found.probability_of_success.estimate


def stratified_trial(test="logrank", **changes):
    fields = {
        "strata": STRATA, "looks": ts.EventLooks([150, 300]), "stratified": test != "cmh",
        "boundaries": None,
    }  # fmt: skip
    return design_for(test, **{**fields, **changes})


def survival_data(design, ratio, cutoff=14.0, seed=0):
    """Exponential times with a hazard ratio of the south, at a cut-off."""
    rng = np.random.default_rng(seed)
    n = 320
    entered = np.sort(rng.uniform(0, cutoff, n))
    table = pd.DataFrame(
        {
            "enrolment": entered,
            "arm": np.where(np.arange(n) % 2, "treatment", "control"),
            "region": rng.choice(["north", "south"], n),
            "sex": rng.choice(["f", "m"], n),
        }
    )
    rate = 0.05 * np.where(table["region"] == "south", ratio, 1.0)
    time = rng.exponential(1 / rate)
    table["time"] = np.minimum(time, cutoff - entered)
    table["event"] = (time <= cutoff - entered).astype(int)
    return table


@pytest.mark.parametrize("model", ["exponential", "average"])
def test_strata_multiply_the_hazards(model):
    design = stratified_trial()
    table = survival_data(design, 5.0)
    found = ts.predict(table, design, cutoff=14.0, model=model, n_draws=400, seed=1)
    effects = found.fits["ratios"]["events"].estimate  # north f, north m, south f, south m
    assert np.mean(effects[2:] - effects[:2]) == pytest.approx(np.log(5), abs=0.35)
    # the exact law of the events against trials carried on
    last = found.looks.iloc[-1]
    for column, chance in (("month_median", 0.5), ("month_lower", 0.05)):
        assert found.probability_of_events(300, last[column]) == pytest.approx(chance, abs=0.07)
    plain = ts.predict(
        table.drop(columns=["region", "sex"]), design.replace(stratified=False), cutoff=14.0,
        n_draws=400, seed=1,
    )  # fmt: skip
    assert "strata" not in plain.fits
    # slow strata keep the last events waiting: without them the end comes too soon
    assert found.month_of_events(380)["median"] > plain.month_of_events(380)["median"] + 1.0


def test_equal_strata_change_nothing_but_noise():
    design = stratified_trial()
    table = survival_data(design, 1.0, seed=5)
    with_strata = ts.predict(table, design, cutoff=14.0, n_draws=4000, seed=1)
    without = ts.predict(table, design.replace(stratified=False), cutoff=14.0, n_draws=4000, seed=1)
    for events in (250, 300):
        assert with_strata.month_of_events(events)["median"] == pytest.approx(
            without.month_of_events(events)["median"], abs=1.2
        )
    assert np.abs(with_strata.fits["ratios"]["events"].estimate).max() < 0.4


def test_stratum_effects_against_a_poisson_regression():
    import statsmodels.api as sm

    rng = np.random.default_rng(2)
    exposure = rng.uniform(2000, 4000, (2, 3))
    rate = np.array([[0.05], [0.03]]) * np.exp([0.5, 0.0, -0.5])
    events = rng.poisson(exposure * rate).astype(float)
    estimate, covariance = log_ratios(exposure, events, np.eye(3))
    arm, stratum = np.divmod(np.arange(6), 3)
    x = np.column_stack([arm == 0, arm == 1, stratum == 1, stratum == 2]).astype(float)
    poisson = sm.GLM(
        events.ravel(), x, family=sm.families.Poisson(), offset=np.log(exposure.ravel())
    ).fit()
    contrast = estimate[1:] - estimate[0]
    np.testing.assert_allclose(contrast, poisson.params[2:], atol=0.02)
    c = np.array([[-1, 1, 0], [-1, 0, 1]])
    errors = np.sqrt(np.diag(c @ covariance @ c.T))
    np.testing.assert_allclose(errors, poisson.bse[2:], rtol=0.05)
    empty, _ = log_ratios(exposure, events * [1.0, 1.0, 0.0], np.eye(3))
    assert np.isfinite(empty).all() and empty[2] < -2


def test_a_stratified_test_of_proportions():
    hits, counts = np.array([[30.0, 5.0], [40.0, 9.0]]), np.array([[50.0, 50.0], [50.0, 50.0]])
    cells = cell_rates(hits, counts)
    rates = cells.rates(cells.estimate).reshape(2, 2)
    np.testing.assert_allclose(rates, hits / counts, atol=0.05)
    design = stratified_trial("cmh", boundaries=GS, looks=ts.EventLooks([200, 400]))
    rng = np.random.default_rng(1)
    n = 240
    table = pd.DataFrame(
        {
            "enrolment": np.arange(n) / 25.0,
            "arm": np.where(np.arange(n) % 2, "treatment", "control"),
            "region": rng.choice(["north", "south"], n),
            "sex": rng.choice(["f", "m"], n),
        }
    )
    logit = -1.5 + 2.5 * (table["region"] == "south") + 0.5 * (table["arm"] == "treatment")
    table["response"] = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(float)
    cutoff = 199 / 25 + 3.0 + 0.001
    table.loc[table["enrolment"] + 3.0 > cutoff, "response"] = np.nan
    known = table.dropna()
    z = ts.cmh_test(
        known["response"], (known["arm"] == "treatment").astype(int),
        known["region"] + known["sex"],
    ).z  # fmt: skip
    found = ts.predict(table, design, cutoff=cutoff, n_draws=2000, seed=1)
    assert found.conditional_power["null"].estimate == pytest.approx(
        GS.conditional_power(1, z, theta="null"), abs=0.05
    )
    assert found.conditional_power["trend"].estimate == pytest.approx(
        GS.conditional_power(1, z, theta="trend"), abs=0.07
    )
    names = {"region": "area"}
    renamed = table.rename(columns=names)
    same = ts.predict(renamed, design, cutoff=cutoff, n_draws=50, seed=1, columns=names)
    again = ts.predict(table, design, cutoff=cutoff, n_draws=50, seed=1)
    assert same.probability_of_success == again.probability_of_success


def test_bad_input_is_told_in_one_sentence():
    design = stratified_trial()
    table = survival_data(design, 1.0)
    with pytest.raises(ValueError, match="patients need a column 'sex' with the levels"):
        ts.predict(table.drop(columns="sex"), design, cutoff=14.0)
    with pytest.raises(ValueError, match=r"unknown level 'nort'.*did you mean 'north'"):
        ts.predict(table.replace("north", "nort"), design, cutoff=14.0)
    blinded = ts.predict(
        table.drop(columns=["arm", "sex", "region"]), design, cutoff=14.0, n_draws=20
    )
    assert blinded.probability_of_success is None

    design = design_for("mmrm")
    seen, month = first_look(design, VISITS)
    bad = (
        (seen, {}, "needs visit_months"),
        (seen, {"visit_months": [3, 1]}, "two or more increasing months"),
        (seen, {"visit_months": [1, 2, 3]}, "need a column 'visit_3'.*did you mean 'visit_"),
        (
            seen.fillna(0.0).drop(columns="dropout"),
            {"visit_months": [1, 3]},
            "after the cut-off",
        ),
        (seen.drop(columns="baseline"), {"visit_months": [1, 3]}, "needs a column 'baseline'"),
        (seen.head(20).assign(visit_2=np.nan), {"visit_months": [1, 3]}, "no response is known"),
    )
    for table, options, message in bad:
        with pytest.raises(ValueError, match=message):
            ts.predict(table, design, cutoff=month, **options)
    with pytest.raises(TypeError, match="must be a scenario of longitudinal responses"):
        ts.predict(seen, design, cutoff=month, visit_months=[1, 3], outcomes=COUNT)
    design = design_for("negative_binomial")
    counts, month = first_look(design, COUNT)
    with pytest.raises(ValueError, match="whole number of 0 or more"):
        ts.predict(counts.assign(response=counts["response"] + 0.5), design, cutoff=month)
    trial = ts.Trial(
        patients=counts.assign(months=3.0), arm="arm",
        endpoints={"attacks": ts.Count("response", exposure="months")},
    )  # fmt: skip
    with pytest.raises(ValueError, match="same exposure in all patients"):
        ts.predict(trial, design, cutoff=month)


def test_better_is_read_as_it_is_written():
    """By default fewer events are better, as with ``better="lower"``; "higher" is the reverse."""
    outcomes = CountResponse(0.5, 0.6, exposure=3.0)

    def power(**changes):
        design = design_for("negative_binomial", **changes)
        return ts.simulate(design, outcomes, n_trials=100, seed=1).power

    assert power() == power(better="lower") > 0.9
    assert power(better="higher") == 0.0
