"""Prediction with competing events and with covariates, against closed forms and brute force."""

import numpy as np
import pandas as pd
import pytest

import trial_sim as ts

RATE, OTHER, LEAVES = np.array([0.06, 0.03]), np.array([0.04, 0.08]), 0.01


def design_of(n=400, rate=40.0, events=(100, 200), **changes):
    fields = {
        "arms": {"control": 1, "treatment": 1},
        "n_patients": n,
        "accrual": ts.Accrual(rate=rate),
        "dropout": ts.Dropout(rate=LEAVES),
        "looks": ts.EventLooks(list(events)),
    }
    return ts.Design(**{**fields, **changes})


def with_causes(n=400, cut=12.0, rate=40.0, seed=0):
    """Patients at a cut, and whole times: two causes with hazards that differ between arms."""
    random = np.random.default_rng(seed)
    arm = np.arange(n) % 2
    entered = np.sort(random.uniform(0, n / rate, n))
    times = np.array([random.exponential(1 / r[arm]) for r in (RATE, OTHER)])
    left = random.exponential(1 / LEAVES, n)
    first = np.minimum(times.min(axis=0), left)
    time, over = np.minimum(first, cut - entered), first <= cut - entered
    which = np.where(left == first, 3, times.argmin(axis=0) + 1)
    status = np.array(["ongoing", "event", "competing", "dropout"])[np.where(over, which, 0)]
    table = pd.DataFrame(
        {"enrolment": entered, "time": time, "status": status,
         "arm": np.array(["control", "treatment"])[arm]}
    )  # fmt: skip
    return table


def test_dates_with_competing_events_against_a_closed_form():
    """Everybody is enrolled: the expected number of events by a month is a sum of exponentials."""
    design, table = design_of(), with_causes()
    found = ts.predict(table, design, cutoff=12.0, model="exponential", n_draws=1500, seed=3)
    open_ = table["status"] == "ongoing"
    expected = float((table["status"] == "event").sum())
    for arm in ("control", "treatment"):
        mine = table["arm"] == arm
        months = table["time"][mine].sum()
        rate = (table["status"][mine] == "event").sum() / months
        other = (table["status"][mine] == "competing").sum() / months
        leaving = (table["status"] == "dropout").sum() / table["time"].sum()
        total = rate + other + leaving
        expected += (mine & open_).sum() * rate / total * (1 - np.exp(-total * 6.0))
    assert found.events_at(18.0)["mean"] == pytest.approx(expected, abs=3.0)
    # as drop-out alike in both arms, the competing events would be spread over the wrong arm
    assert found.trial.competing.sum() == (table["status"] == "competing").sum()
    assert set(found.models["quantity"]) == {"events", "competing", "dropout"}


def test_a_competing_event_is_no_event_and_ends_follow_up():
    table = with_causes(seed=4)
    found = ts.predict(table, design_of(), cutoff=12.0, n_draws=200, seed=1)
    assert found.trial.n_events == (table["status"] == "event").sum()
    most = found.events_at(600.0)["mean"]
    assert most < 400 - (table["status"] != "ongoing").sum() + found.trial.n_events
    flags = table.assign(
        event=table["status"] == "event",
        competing=table["status"] == "competing",
        dropout=table["status"] == "dropout",
    ).drop(columns="status")
    again = ts.predict(flags, design_of(), cutoff=12.0, n_draws=200, seed=1)
    np.testing.assert_array_equal(found._events, again._events)


@pytest.mark.parametrize("test", ["gray", "logrank", "cox"])
def test_success_with_competing_events_against_brute_force(test):
    """The same continuations by numpy, tested by the single-trial functions."""
    design = design_of(
        events=(60, 110), test=test,
        boundaries=ts.group_sequential((0.5, 1), efficacy="lan_demets_obrien_fleming"),
    )  # fmt: skip
    table = with_causes(cut=11.0, seed=8)
    planned = ts.CompetingEvents([0.06, 0.04], [0.5, 2.0])
    found = ts.predict(
        table, design, cutoff=11.0, outcomes=planned, n_draws=1500, seed=1, looks_held=1,
    )  # fmt: skip
    power = found.conditional_power["design"]
    random = np.random.default_rng(5)
    open_, arm = (table["status"] == "ongoing").to_numpy(), (table["arm"] == "treatment").to_numpy()
    entered, past = table["enrolment"].to_numpy(), table["time"].to_numpy()
    n_lost = (table["status"] == "dropout").sum()
    hits, n = 0, 300
    for _ in range(n):
        extra = [random.exponential(1 / r[arm * 1]) for r in (RATE, OTHER)]
        gone = random.exponential(table["time"].sum() / n_lost, len(table))
        first = np.minimum(np.minimum(*extra), gone)
        cause = np.where(first == extra[0], 1, np.where(first == extra[1], 2, 0))
        kind = np.where(open_, cause, table["status"].map({"event": 1, "competing": 2}).fillna(0))
        time = past + np.where(open_, first, 0.0)
        when = np.sort((entered + time)[kind == 1])[109]
        at = np.minimum(time, when - entered)
        seen = np.where(entered + time <= when, kind, 0).astype(int)
        if test == "gray":
            z = ts.gray_test(at, seen, arm.astype(int)).z
        elif test == "cox":
            z = ts.cox(at, seen == 1, arm.astype(float)).z
        else:
            z = ts.logrank(at, seen == 1, arm.astype(int)).z
        hits += z > design.efficacy_bounds[1]
    share = hits / n
    error = np.sqrt(power.mcse**2 + share * (1 - share) / n)
    assert abs(power.estimate - share) < 3.5 * max(error, 0.01)


def test_what_competing_events_ask_for():
    table = with_causes()
    with pytest.raises(ValueError, match="'rmst' with competing events is not predicted"):
        ts.predict(table, design_of(test=("rmst", 12.0)), cutoff=12.0, n_draws=5)
    plain = table[table["status"] != "competing"]
    with pytest.raises(ValueError, match="needs a column 'competing'"):
        ts.predict(plain, design_of(test="gray"), cutoff=12.0, n_draws=5)
    both = pd.DataFrame(
        {"enrolment": [0.0, 1.0], "time": [2.0, 3.0], "event": [1, 0], "competing": [1, 0]}
    )
    with pytest.raises(ValueError, match="has two of them"):
        ts.read_ongoing(both, design_of(), cutoff=6.0)
    outcomes = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.7)
    with pytest.raises(TypeError, match="CompetingEvents"):
        found = ts.predict(table, design_of(), cutoff=12.0, outcomes=outcomes, n_draws=5)
        assert found


def test_a_trial_of_competing_risks_is_read():
    table = with_causes(seed=2)
    cause = table["status"].map({"event": 1, "competing": 2}).fillna(0).astype(int)
    patients = table.assign(cause=cause)[["enrolment", "time", "cause", "arm"]]
    trial = ts.Trial(
        patients,
        arm="arm",
        endpoints={"relapse": ts.CompetingRisks("time", "cause")},
        entry="enrolment",
    )
    found = ts.predict(trial, design_of(), cutoff=12.0, last_seen="lost", n_draws=50)
    assert found.trial.n_events == (cause == 1).sum()
    assert found.trial.competing.sum() == (cause == 2).sum()


# -- covariates ------------------------------------------------------------------------------------


def with_covariates(n=500, cut=10.0, seed=0, log_ratio=0.9):
    random = np.random.default_rng(seed)
    entered = np.sort(random.uniform(0, cut, n))
    age = random.normal(60, 10, n)
    ecog = random.choice(["0", "1", "2"], n, p=[0.5, 0.3, 0.2])
    arm = np.arange(n) % 2
    rate = 0.06 * np.exp(log_ratio * (ecog == "2") + 0.03 * (age - 60)) * np.where(arm, 0.7, 1.0)
    latent, left = random.exponential(1 / rate), cut - entered
    return pd.DataFrame(
        {"enrolment": entered, "time": np.minimum(latent, left), "event": latent <= left,
         "dropout": 0, "age": age, "ecog": [f"PS {e}" for e in ecog],
         "arm": np.array(["control", "treatment"])[arm]}
    )  # fmt: skip


def poisson_fit(table):
    """The regression of events on arm and covariates, and its columns."""
    import statsmodels.api as sm

    x = pd.DataFrame(
        {"one": 1.0, "arm": table["arm"] == "treatment", "age": table["age"],
         "1": table["ecog"] == "PS 1", "2": table["ecog"] == "PS 2"}
    ).astype(float)  # fmt: skip
    fit = sm.GLM(
        table["event"].astype(float), x, family=sm.families.Poisson(),
        offset=np.log(table["time"]),
    ).fit()  # fmt: skip
    return fit, x


def test_covariates_against_a_poisson_regression():
    table = with_covariates()
    found = ts.predict(
        table, design_of(n=500, events=(250, 350)), cutoff=10.0, covariates=["age", "ecog"],
        n_draws=50, model="exponential",
    )  # fmt: skip
    fit, _ = poisson_fit(table)
    ratios = found.ratios.set_index("column")["hazard_ratio"]
    for name, other in [("age", "age"), ("ecog[PS 1]", "1"), ("ecog[PS 2]", "2")]:
        error = fit.bse[other]
        assert abs(np.log(ratios[name]) - fit.params[other]) < 0.5 * error, name


def test_who_is_at_risk_comes_by_their_covariates():
    """With all enrolled the expected number of events is a sum over patients at risk."""
    table = with_covariates(log_ratio=2.0, seed=3)
    design = design_of(n=500, events=(400, 450), dropout=ts.Dropout(rate=0.0))
    options = {"cutoff": 10.0, "n_draws": 1000, "model": "exponential", "seed": 2}
    found = ts.predict(table, design, covariates=["age", "ecog"], **options)
    fit, x = poisson_fit(table)
    at_risk = np.exp(x @ fit.params)[~table["event"]]
    expected = table["event"].sum() + (1 - np.exp(-at_risk * 24.0)).sum()
    with pytest.warns(UserWarning, match="does not fit"):
        without = ts.predict(table, design, **options).events_at(34.0)["mean"]
    with_them = found.events_at(34.0)["mean"]
    assert abs(with_them - expected) < 4  # those of the higher hazards have left
    assert without - expected > 12
    fitted = found.fit
    inside = fitted["fitted"].between(fitted["lower"] - 0.03, fitted["upper"] + 0.03)
    assert inside.mean() > 0.9  # the mean over patients is what Kaplan and Meier see


def test_an_adjusted_test_gets_its_covariates():
    table = with_covariates()
    design = design_of(n=500, events=(200, 300), test="cox", adjust=["age"])
    found = ts.predict(table, design, cutoff=10.0, n_draws=100)
    assert 0 < found.probability_of_success.estimate <= 1
    assert found.ratios["column"].tolist() == ["age"]
    with pytest.raises(ValueError, match="covariate 'age'"):
        ts.predict(table.drop(columns="age"), design, cutoff=10.0, n_draws=5)


def test_covariates_at_the_border():
    table = with_covariates(n=60)
    design = design_of(n=60, events=(40, 50))
    gaps = table.assign(age=table["age"].where(table.index > 4), same=1.0)
    with pytest.warns(UserWarning) as told:
        found = ts.predict(gaps, design, cutoff=10.0, covariates=["age", "same"], n_draws=5)
    words = " ".join(str(w.message) for w in told)
    assert "missing for 5 patients" in words and "'same' is the same for all" in words
    assert list(found.trial.covariates) == ["age"]
    for name, wrong, said in [
        ("agee", table, "did you mean"),
        ("when", table.assign(when=pd.Timestamp("2026-01-01")), "holds dates"),
        ("id", table.assign(id=range(60)), "no covariate"),
        ("code", table.assign(code=[f"c{i}" for i in range(60)]), "60 levels"),
    ]:
        with pytest.raises(ValueError, match=said):
            ts.read_ongoing(wrong, design, cutoff=10.0, covariates=[name])
    with pytest.raises(TypeError, match="names of columns"):
        ts.read_ongoing(table, design, cutoff=10.0, covariates=3)


def test_past_cuts_keep_causes_and_covariates():
    table = with_causes(seed=6).assign(age=np.linspace(40, 80, 400))
    back = ts.backtest(
        table, design_of(), [9.0], cutoff=12.0, covariates=["age"], n_draws=60, model="exponential"
    )
    assert set(back["counted"]) == {"patients", "events"} or set(back["counted"]) == {"events"}


def test_competing_events_and_covariates_of_adam():
    adsl = pd.DataFrame(
        {"USUBJID": list("abcdef"), "TRT01P": ["control", "treatment"] * 3,
         "RANDDT": pd.to_datetime(["2026-01-05"] * 6), "AGE": [50, 60, 70, 55, 65, 75]}
    )  # fmt: skip
    adtte = pd.DataFrame(
        {"USUBJID": list("abcdef"), "PARAMCD": "RFS", "AVAL": [30, 40, 60, 90, 90, 90],
         "AVALU": "DAYS", "CNSR": [0, 1, 0, 1, 1, 1],
         "EVNTDESC": ["RELAPSE", "", "DEATH", "", "", ""],
         "CNSDTDSC": ["", "WITHDREW CONSENT", "", *["ALIVE AT DATA CUT"] * 3]}
    )  # fmt: skip
    design = design_of(n=12, rate=2.0, events=(3, 6))
    trial = ts.ongoing_from_adam(
        adsl, adtte, design, cutoff="2026-04-05", competing="DEATH", covariates=["AGE"]
    )
    assert trial.event.tolist() == [True, False, False, False, False, False]
    assert trial.competing.tolist() == [False, False, True, False, False, False]
    assert trial.dropout.tolist() == [False, True, False, False, False, False]
    assert trial.covariates["AGE"].tolist() == [50, 60, 70, 55, 65, 75]
    with pytest.raises(ValueError, match="no row is described as 'DEATHS'"):
        ts.ongoing_from_adam(adsl, adtte, design, cutoff="2026-04-05", competing="DEATHS")
    with pytest.raises(ValueError, match="no covariate 'WEIGHT'"):
        ts.ongoing_from_adam(adsl, adtte, design, cutoff="2026-04-05", covariates=["WEIGHT"])


def test_the_page_shows_ratios_and_both_kinds_of_events():
    table = with_causes().assign(age=np.linspace(40, 80, 400))
    found = ts.predict(table, design_of(), cutoff=12.0, covariates=["age"], n_draws=40)
    assert found.ratios["of"].tolist() == ["events", "competing"]
    page = found.to_html()
    assert "hazard ratio" in page and "competing" in page and ">age<" in page


@pytest.mark.parametrize("early", [0.0, 1.0, 2.0, -7.5])
def test_a_covariate_may_be_one_for_all_at_a_past_cut(early):
    table = with_covariates(n=200, seed=4)
    table["grade"] = np.where(table["enrolment"] < 6.0, early, early + 1.5)
    back = ts.backtest(
        table, design_of(n=200, events=(80, 120)), [5.5], cutoff=10.0, covariates=["grade"],
        n_draws=60, model="exponential",
    )  # fmt: skip
    assert back[["lower", "upper"]].notna().all().all()
