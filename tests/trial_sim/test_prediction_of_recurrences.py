"""Prediction of recurrent events against a negative binomial regression and brute force."""

import numpy as np
import pandas as pd
import pytest

import trial_sim as ts
from trial_sim.prediction.models.recurrences import fit_rates
from trial_sim.prediction.reading.recurrences import read_recurrences

RATES, DISPERSION, LEAVES = np.array([0.25, 0.17]), 0.6, 0.01


def design_of(n=300, **changes):
    fields = {
        "arms": {"control": 1, "treatment": 1},
        "n_patients": n,
        "accrual": ts.Accrual(rate=30.0),
        "dropout": ts.Dropout(rate=LEAVES),
        "looks": ts.CalendarLooks([24.0]),
        "test": "lwyy",
    }
    return ts.Design(**{**fields, **changes})


def so_far(n=300, cut=12.0, seed=0, terminal=0.0, shape=1.0):
    """Patients at a cut, and the table of their events."""
    random = np.random.default_rng(seed)
    entered = np.sort(random.uniform(0, min(cut, n / 30.0), n))
    arm = np.arange(n) % 2
    left = random.exponential(1 / LEAVES, n)
    died = random.exponential(1 / terminal, n) if terminal else np.full(n, np.inf)
    time = np.minimum(np.minimum(left, died), cut - entered)
    frailty = random.gamma(1 / DISPERSION, DISPERSION, n)
    rows = []
    for i in range(n):
        spent = 0.0
        while True:
            spent += random.exponential() / (frailty[i] * RATES[arm[i]])
            if spent ** (1 / shape) > time[i]:
                break
            rows.append((f"P{i}", spent ** (1 / shape)))
    patients = pd.DataFrame(
        {"id": [f"P{i}" for i in range(n)], "enrolment": entered, "time": time,
         "dropout": (left <= time).astype(int), "competing": (died <= time).astype(int),
         "arm": np.array(["control", "treatment"])[arm]}
    )  # fmt: skip
    if not terminal:
        patients = patients.drop(columns="competing")
    return patients, pd.DataFrame(rows, columns=["id", "time"])


def negative_binomial(patients, events):
    """Rates of the arms and dispersion by maximum likelihood."""
    from statsmodels.discrete.discrete_model import NegativeBinomial

    counts = events["id"].value_counts().reindex(patients["id"]).fillna(0).to_numpy()
    x = np.column_stack([np.ones(len(counts)), patients["arm"] == "treatment"]).astype(float)
    found = NegativeBinomial(counts, x, exposure=patients["time"].to_numpy()).fit(disp=0)
    return counts, np.exp(x @ found.params[:2]), found


def test_numbers_of_events_against_a_negative_binomial_regression():
    """A patient with many events has a high frailty, and more to come."""
    patients, events = so_far()
    counts, rates, fit = negative_binomial(patients, events)
    found = ts.predict(patients, design_of(), cutoff=12.0, recurrences=events, n_draws=800, seed=1)
    size = 1 / fit.params[2]
    open_ = (patients["dropout"] == 0).to_numpy()
    frailty = (size + counts) / (size + rates * patients["time"])
    leaving = (~open_).sum() / patients["time"].sum()
    ahead = (1 - np.exp(-leaving * 12.0)) / leaving  # mean months of a year on study
    expected = len(events) + (frailty * rates)[open_].sum() * ahead
    assert found.trial.n_events == len(events)
    assert found.events_at(24.0)["mean"] == pytest.approx(expected, rel=0.04)
    assert found.events_at(12.0)["mean"] == len(events)
    ordered = found._events
    assert (np.diff(ordered[:, : len(events) + 50]) >= 0).all()
    assert (ordered[:, len(events)] > 12.0).all()


def test_parameters_against_a_negative_binomial_regression():
    patients, events = so_far(seed=5)
    _, _, fit = negative_binomial(patients, events)
    trial = read_recurrences(patients, design_of(), events, cutoff=12.0)
    random = np.random.default_rng(0)
    found = fit_rates(trial.time, trial.who, trial.when, trial.arm, ("c", "t"), random)
    constant = found.posteriors["constant"]
    difference = constant[1].mode[0] - constant[0].mode[0]
    assert abs(difference - fit.params[1]) < 0.5 * fit.bse[1]
    assert np.exp(constant[0].mode[1]) == pytest.approx(fit.params[2], abs=0.35)
    assert found.weights["constant"] > 0.3
    patients, events = so_far(seed=5, shape=1.6)
    trial = read_recurrences(patients, design_of(), events, cutoff=12.0)
    found = fit_rates(trial.time, trial.who, trial.when, trial.arm, ("c", "t"), random)
    assert found.weights["changing"] > 0.9
    assert np.exp(found.posteriors["changing"][0].mode[1]) == pytest.approx(1.6, abs=0.2)


def test_success_against_brute_force():
    """The same continuations by numpy, tested by the single-trial function."""
    patients, events = so_far(n=120, cut=8.0, seed=3)
    design = design_of(n=120, looks=ts.CalendarLooks([16.0]))
    planned = ts.RecurrentEvents(0.25, 0.68, horizon=24, dispersion=DISPERSION)
    found = ts.predict(
        patients, design, cutoff=8.0, recurrences=events, outcomes=planned, n_draws=1500, seed=2
    )
    power = found.conditional_power["design"]
    random = np.random.default_rng(1)
    arm = (patients["arm"] == "treatment").to_numpy(int)
    rate = 0.25 * np.array([1.0, 0.68])[arm]
    counts = events["id"].value_counts().reindex(patients["id"]).fillna(0).to_numpy()
    past = patients["time"].to_numpy()
    open_ = (patients["dropout"] == 0).to_numpy()
    leaving = max((~open_).sum(), 1) / past.sum()
    place = {name: i for i, name in enumerate(patients["id"])}
    old_who, old_when = events["id"].map(place).to_numpy(), events["time"].to_numpy()
    hits, n = 0, 400
    for _ in range(n):
        frailty = random.gamma(1 / DISPERSION + counts, 1 / (1 / DISPERSION + rate * past))
        stay = np.where(open_, np.minimum(random.exponential(1 / leaving, 120), 8.0), 0.0)
        more = random.poisson(frailty * rate * stay)
        who = np.repeat(np.arange(120), more)
        when = past[who] + random.uniform(0, stay[who])
        rows = _intervals(past + stay, np.append(old_who, who), np.append(old_when, when))
        start, stop, happened, patient = rows
        test = ts.andersen_gill(patient, start, stop, happened, arm[patient])
        hits += test.z > design.efficacy_bounds[0]
    share = hits / n
    error = np.sqrt(power.mcse**2 + share * (1 - share) / n)
    assert abs(power.estimate - share) < 3.5 * error


def _intervals(time, who, when):
    """Rows (start, stop] of all patients."""
    start, stop, event, patient = [], [], [], []
    for i in range(len(time)):
        marks = np.sort(when[who == i])
        edges = np.concatenate([[0.0], marks, [time[i]]])
        start += list(edges[:-1])
        stop += list(edges[1:])
        event += [1] * len(marks) + [0]
        patient += [i] * (len(marks) + 1)
    kept = np.array(stop) > np.array(start)
    return tuple(np.array(v)[kept] for v in (start, stop, event, patient))


def test_looks_by_events_and_a_terminal_event():
    patients, events = so_far(seed=2, terminal=0.03)
    design = design_of(looks=ts.EventLooks([400, 900]))
    found = ts.predict(patients, design, cutoff=12.0, recurrences=events, n_draws=200, seed=1)
    assert found.trial.competing.sum() == patients["competing"].sum()
    looks = found.looks.set_index("look")
    assert found.month_of_events(900)["median"] == pytest.approx(looks.loc[2, "month_median"])
    assert set(found.models["quantity"]) == {"rates", "competing", "dropout"}
    assert "900 events" in found.milestones()["milestone"].tolist()
    with pytest.raises(ValueError, match="drawn up to month"):
        found.events_at(900.0)
    fewer = found.what_if(event_rate=0.5)
    assert fewer.month_of_events(900)["median"] > found.month_of_events(900)["median"] + 3
    equal = found.what_if(hazard_ratio=1.0)
    assert equal.probability_of_success.estimate < found.probability_of_success.estimate + 0.02
    page = found.to_html()
    assert "900 events" in page
    saved = found.saved()
    assert saved.events == len(events)


def test_blinded_and_still_enrolling():
    patients, events = so_far(n=200, cut=6.0, seed=7)
    design = design_of(n=300, follow_up=12.0)
    found = ts.predict(
        patients.drop(columns="arm"), design, cutoff=6.0, recurrences=events, n_draws=200, seed=3
    )
    assert found.probability_of_success is None
    # with a follow-up of a year everybody adds what is expected of a year or of the rest of it
    _, rates, _ = negative_binomial(patients, events)
    months = 100 * 12 + (12 - patients["time"]).sum()
    rough = len(events) + rates.mean() * months * 0.94  # drop-out takes some
    assert found.events_at(24.0)["mean"] == pytest.approx(rough, rel=0.12)


def test_an_arm_that_stops():
    """The redrawn rest of a trial with three arms has the events of the open arms only."""
    patients, events = so_far(n=150, cut=6.0, seed=1)
    patients["arm"] = [["control", "low", "high"][i % 3] for i in range(150)]
    design = design_of(
        n=300, arms={"control": 1, "low": 1, "high": 1}, looks=ts.CalendarLooks([10.0, 20.0]),
        multiplicity="unadjusted",
        boundaries=ts.group_sequential((0.5, 1), efficacy="lan_demets_obrien_fleming",
                                       futility=[0.5]),
    )  # fmt: skip
    found = ts.predict(patients, design, cutoff=6.0, recurrences=events, n_draws=60, seed=3)
    assert 0 <= found.probability_of_success.estimate <= 1


def test_dates_and_a_trial_with_rows_are_the_same_patients():
    patients, events = so_far(n=60, cut=6.0, seed=4)
    design = design_of(n=60)
    opened = pd.Timestamp("2026-01-01")
    days = 30.4375
    dated = patients.assign(
        enrolment=opened + pd.to_timedelta(patients["enrolment"] * days, unit="D")
    )
    place = patients.set_index("id")["enrolment"]
    when = opened + pd.to_timedelta((events["id"].map(place) + events["time"]) * days, unit="D")
    plain = read_recurrences(patients, design, events, cutoff=6.0)
    with_dates = read_recurrences(
        dated, design, pd.DataFrame({"id": events["id"], "date": when}), cutoff=6.0, opened=opened
    )
    np.testing.assert_allclose(with_dates.when, plain.when, atol=1e-6)
    np.testing.assert_array_equal(with_dates.who, plain.who)
    who = events["id"].map({name: i for i, name in enumerate(patients["id"])}).to_numpy()
    start, stop, event, patient = _intervals(
        patients["time"].to_numpy(), who, events["time"].to_numpy()
    )
    rows = patients.iloc[patient][["id", "enrolment", "arm", "dropout"]].reset_index(drop=True)
    rows = rows.assign(start=start, stop=stop, event=event)
    trial = ts.Trial(
        rows, arm="arm", endpoints={"relapse": ts.Recurrent("id", "start", "stop", "event")},
        entry="enrolment", id="id",
    )  # fmt: skip
    found = ts.predict(trial, design, cutoff=6.0, n_draws=20)
    assert found.trial.n_events == len(events)
    np.testing.assert_allclose(found.trial.time, plain.time, atol=1e-9)


def test_recurrences_at_the_border():
    patients, events = so_far(n=40, cut=6.0, seed=4)
    design = design_of(n=40)
    wrong = [
        ({}, "give recurrences="),
        ({"recurrences": events.drop(columns="time")}, "one column 'time'"),
        ({"recurrences": events.assign(id="nobody")}, "not in the table"),
        ({"recurrences": events.assign(time=40.0)}, "after the end of follow-up"),
        ({"recurrences": events.assign(time=-2.0)}, "before enrolment"),
        ({"recurrences": events, "model": "weibull"}, "constant or changing"),
    ]
    for given, said in wrong:
        with pytest.raises(ValueError, match=said):
            ts.predict(patients, design, cutoff=6.0, n_draws=5, **given)
    with pytest.raises(ValueError, match="column 'id'"):
        ts.predict(patients.drop(columns="id"), design, cutoff=6.0, recurrences=events)
    with pytest.raises(ValueError, match="column 'event'"):
        ts.predict(patients.assign(event=1), design, cutoff=6.0, recurrences=events)
    none = ts.predict(patients, design, cutoff=6.0, recurrences=events.iloc[:0], n_draws=20)
    assert none.trial.n_events == 0


def test_past_cuts_know_past_events():
    patients, events = so_far(seed=9)
    back = ts.backtest(
        patients, design_of(), [10.5], cutoff=12.0, recurrences=events, n_draws=200, seed=1
    )
    counted = back[back["counted"] == "events"]
    assert len(counted) == 4 and counted["inside"].mean() >= 0.5


def test_the_command_reads_the_table_of_events(tmp_path):
    from typer.testing import CliRunner

    from trial_sim.cli.app import app

    patients, events = so_far(n=60, cut=6.0, seed=4)
    patients.to_csv(tmp_path / "patients.csv", index=False)
    events.to_csv(tmp_path / "relapses.csv", index=False)
    (tmp_path / "study.yaml").write_text(
        "design:\n  arms: {control: 1, treatment: 1}\n  n_patients: 60\n  accrual: {rate: 30}\n"
        "  looks: {type: CalendarLooks, months: [24]}\n  test: lwyy\n"
        "outcomes: {type: RecurrentEvents, control_rate: 0.25, rate_ratio: 0.68, horizon: 30}\n"
    )
    arguments = [str(tmp_path / name) for name in ("study.yaml", "patients.csv")]
    done = CliRunner().invoke(
        app,
        ["predict", *arguments, "--recurrences", str(tmp_path / "relapses.csv"), "--cutoff", "6",
         "--n-draws", "50", "-o", str(tmp_path / "table.csv")],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert f"{len(events)} events" in done.output and "conditional power, design" in done.output
    assert len(pd.read_csv(tmp_path / "table.csv")) > 10
    again = CliRunner().invoke(app, ["verify", str(tmp_path / "table.csv")])
    assert again.exit_code == 0, again.output


@pytest.mark.parametrize("n_events", [0, 5, 60])
def test_a_trial_at_its_end_keeps_what_there_is(n_events):
    """Nobody is followed any more, so that no event is to come."""
    patients, events = so_far(n=40, cut=6.0, seed=4)
    events = events.iloc[:n_events].sample(frac=1.0, random_state=0)  # in any order
    done = patients.assign(dropout=1)
    found = ts.predict(done, design_of(n=40), cutoff=6.0, recurrences=events, n_draws=20, seed=1)
    assert found.events_at(24.0)["mean"] == len(events)
    assert np.isfinite(found._events).sum(axis=1).tolist() == [len(events)] * 20
