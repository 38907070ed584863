"""Prediction of ongoing trials with binary and continuous responses against closed forms."""

import numpy as np
import pandas as pd
import pytest

import trial_sim as ts
from trial_sim.design.design import Design, EnrolmentLooks
from trial_sim.prediction.models.responses import fit_responses
from trial_sim.prediction.reading.responses import read_responses
from trial_sim.scenarios import BinaryResponse, ContinuousResponse, CountResponse

GS = ts.group_sequential((0.5, 1), efficacy="lan_demets_obrien_fleming")
BINARY = BinaryResponse(0.3, 0.45)
CONTINUOUS = ContinuousResponse(0.35, correlation=0.6)


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


def so_far(design, outcomes, cutoff, trial=0, seed=4):
    """Patients of a simulated trial at a cut-off."""
    truth = ts.simulate(design, outcomes, trial + 1, seed=seed).replay(trial).patients
    seen = truth[truth["enrolment"] <= cutoff].copy()
    known = (seen["end"] <= cutoff) & seen["event"]
    seen["dropout"] = ((seen["end"] <= cutoff) & ~seen["event"]).astype(int)
    seen.loc[~known, "response"] = np.nan
    columns = ["arm", "enrolment", "response", "dropout"]
    return seen[columns + (["baseline"] if "baseline" in seen else [])], truth


def at_200(design, outcomes, seed=4):
    """The data at the first look: exactly 200 known responses, and its month."""
    _, truth = so_far(design, outcomes, 100.0, seed=seed)
    month = float(np.sort(truth.loc[truth["event"], "end"])[199])
    return so_far(design, outcomes, month, seed=seed)[0], month


def z_of(seen):
    known = seen.dropna(subset="response")
    return known["response"], (known["arm"] == "treatment").astype(int)


@pytest.mark.parametrize(
    ("test", "outcomes", "statistic"),
    [
        ("chi_square", BINARY, lambda y, g: ts.chi_square_test(y, g).z),
        ("t_test", CONTINUOUS, lambda y, g: ts.t_test(y, g).z),
    ],
)
def test_power_agrees_with_the_closed_forms(test, outcomes, statistic):
    design = design_for(test)
    seen, month = at_200(design, outcomes)
    z = statistic(*z_of(seen))
    found = ts.predict(seen, design, cutoff=month, n_draws=6000, seed=2)
    assert found.looks["look"].tolist() == [2]
    for theta in ("trend", "null"):
        exact = GS.conditional_power(1, z, theta=theta)
        assert found.conditional_power[theta].estimate == pytest.approx(exact, abs=0.035)
    predictive = GS.predictive_power(1, z)
    assert found.probability_of_success.estimate == pytest.approx(predictive, abs=0.035)
    assert found.probability_of_success.mcse < 0.0066


def test_conditional_power_under_the_design():
    design = design_for("t_test")
    seen, month = at_200(design, CONTINUOUS)
    z = ts.t_test(*z_of(seen)).z
    found = ts.predict(seen, design, cutoff=month, outcomes=CONTINUOUS, n_draws=4000, seed=2)
    exact = GS.conditional_power(1, z, theta=0.35 * np.sqrt(400) / 2)
    assert found.conditional_power["design"].estimate == pytest.approx(exact, abs=0.035)


def test_dates_of_enrolment_and_looks():
    design = design_for(
        "chi_square", dropout=ts.Dropout(rate=0.02), looks=ts.EventLooks([150, 360])
    )
    seen, truth = so_far(design, BINARY, 9.0)
    found = ts.predict(seen, design, cutoff=9.0, opened="2026-03-01", n_draws=500, seed=3)
    last = found.looks.iloc[-1]
    # the exact law of the number of known responses against trials carried on
    for column, chance in (("month_median", 0.5), ("month_lower", 0.05)):
        assert found.probability_of_events(360, last[column]) == pytest.approx(chance, abs=0.05)
    assert found.month_of_events(360)["median"] == pytest.approx(last["month_median"], abs=0.3)
    reached = np.sort(truth.loc[truth["event"], "end"])[359]
    assert last["month_lower"] - 1 < reached < last["month_upper"] + 1
    enrolled = truth["enrolment"].max()
    assert found.enrolment["month_lower"] - 0.5 < enrolled < found.enrolment["month_upper"] + 0.5
    assert last["date_median"] == found.date(last["month_median"])
    assert (found.curve["events_upper"] >= found.curve["events_lower"]).all()
    assert found.probability_of_events(0, 9.0) == 1.0


def test_adjustment_for_the_baseline_sharpens_the_prediction():
    design = design_for("ancova")
    seen, month = at_200(design, CONTINUOUS)
    found = ts.predict(seen, design, cutoff=month, n_draws=1000, seed=3)
    fit = found.fits["responses"]
    assert fit.slope == pytest.approx(0.6, abs=0.15)
    known = seen.dropna(subset="response")
    x = np.column_stack([np.ones(200), known["arm"] == "treatment", known["baseline"]]).astype(
        float
    )
    beta = np.linalg.lstsq(x, known["response"], rcond=None)[0]
    assert fit.estimate[1] - fit.estimate[0] == pytest.approx(beta[1], abs=1e-10)
    assert fit.slope == pytest.approx(beta[2], abs=1e-10)
    assert fit.sd == pytest.approx(0.8, abs=0.12)
    draws, slopes, sds = fit.draw(4000, np.random.default_rng(1))
    expected = fit.sd**2 * np.linalg.inv(x.T @ x)[1, 1]
    assert (draws[:, 1] - draws[:, 0]).var() == pytest.approx(expected, rel=0.12)
    assert sds.mean() == pytest.approx(fit.sd, rel=0.02) and slopes.std() > 0
    with pytest.raises(ValueError, match="needs a column 'baseline'"):
        ts.predict(seen.drop(columns="baseline"), design, cutoff=month)


def test_intervals_of_the_last_look_cover_at_their_level():
    design = design_for("chi_square", n_patients=120, looks=ts.EventLooks([60, 120]))
    covered = []
    for trial in range(60):
        seen, truth = so_far(design, BINARY, 4.0, trial=trial, seed=9)
        last = ts.predict(seen, design, cutoff=4.0, n_draws=60, level=0.8, seed=trial).looks.iloc[
            -1
        ]
        month = truth["end"].max()
        covered.append(last["month_lower"] <= month <= last["month_upper"])
    assert 0.64 < np.mean(covered) < 0.95


def test_other_rules_of_looks_and_blinded_data():
    design = design_for("t_test", looks=EnrolmentLooks([200, 400], follow_up=3.0))
    seen, _ = so_far(design, CONTINUOUS, 8.0)
    found = ts.predict(seen.drop(columns=["arm", "baseline"]), design, cutoff=8.0, n_draws=60)
    assert found.probability_of_success is None and found.conditional_power == {}
    assert list(found.looks["look"]) == [1, 2]
    month = found.enrolment["month_median"] + 3.0
    assert found.looks["month_median"].iloc[-1] == pytest.approx(month, abs=1e-6)


def test_a_trial_with_a_binary_endpoint():
    design = design_for("fisher")
    seen, _ = so_far(design, BINARY, 9.0)
    trial = ts.Trial(
        patients=seen.rename(columns={"response": "responder", "arm": "rx"}),
        arm="rx",
        endpoints={"response": ts.Binary("responder")},
    )
    a = ts.predict(trial, design, cutoff=9.0, n_draws=40)
    b = ts.predict(seen, design, cutoff=9.0, n_draws=40)
    assert a.looks.equals(b.looks)
    assert a.probability_of_success == b.probability_of_success


def test_who_is_lost():
    table = pd.DataFrame(
        {
            "enrolment": [0.0, 1.0, 2.0, 7.0, 8.0],
            "arm": ["control", "treatment"] * 2 + ["control"],
            "response": [1, np.nan, np.nan, np.nan, np.nan],
            "dropout": [0, 1, 0, 0, 0],
            "time": [np.nan, 1.5, np.nan, np.nan, np.nan],
        }
    )
    trial = read_responses(table, design_for("chi_square"), "binary", cutoff=9.0)
    assert trial.event.tolist() == [True, False, False, False, False]
    assert trial.dropout.tolist() == [False, True, True, False, False]  # the third is overdue
    assert trial.time == pytest.approx([3, 1.5, 3, 2, 1])
    with pytest.raises(ValueError, match="no response is known yet in arm 'treatment'"):
        fit_responses(trial, "binary", trial.arm, ("control", "treatment"), False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.drop(columns="response"), "need a column 'response'"),
        (lambda d: d.assign(response=d["response"] + 0.5), "must be 0, 1 or missing"),
        (lambda d: d.assign(dropout=1), "both have a response and have dropped out"),
        (lambda d: d.assign(arm="contrl"), "did you mean 'control'"),
        (lambda d: d.assign(response=d["response"].fillna(1.0)), "after the cut-off"),
        (lambda d: d.assign(response=np.nan), "no response is known yet in arm 'control'"),
    ],
)
def test_bad_data(change, message):
    design = design_for("chi_square")
    seen, _ = so_far(design, BINARY, 9.0)
    with pytest.raises(ValueError, match=message):
        ts.predict(change(seen), design, cutoff=9.0)


def test_bad_calls():
    design = design_for("chi_square")
    seen, _ = so_far(design, BINARY, 9.0)
    with pytest.raises(TypeError, match="scenario of binary responses"):
        ts.predict(seen, design, cutoff=9.0, outcomes=CountResponse(0.2, 0.7))
    with pytest.raises(ValueError, match="'lwyy' is of recurrent events"):
        ts.predict(seen, design_for("lwyy"), cutoff=9.0)
    with pytest.raises(ValueError, match="no column 'respons' to map"):
        ts.predict(seen, design, cutoff=9.0, columns={"respons": "y"})


@pytest.mark.parametrize("test", ["welch", ("z_test", 10.0)])
def test_other_tests_of_means_are_predicted_as_the_t_test(test):
    random = np.random.default_rng(0)
    entered = np.sort(random.uniform(0, 10, 100))
    arm = np.arange(100) % 2
    known = entered <= 7.0
    table = pd.DataFrame(
        {"enrolment": entered, "arm": np.array(["control", "treatment"])[arm],
         "response": np.where(known, random.normal(3.0 * arm, 10.0), np.nan)}
    )  # fmt: skip
    design = ts.Design(
        arms={"control": 1, "treatment": 1}, n_patients=150, accrual=ts.Accrual(rate=10),
        looks=ts.EventLooks([150]), test="t_test", readout=3.0,
    )  # fmt: skip
    plain = ts.predict(table, design, cutoff=10.0, n_draws=500, seed=1)
    other = ts.predict(table, design.replace(test=test), cutoff=10.0, n_draws=500, seed=1)
    assert other.probability_of_success.estimate == pytest.approx(
        plain.probability_of_success.estimate, abs=0.03
    )
    with pytest.raises(TypeError, match="covariates are for times to an event"):
        ts.predict(table, design, cutoff=10.0, covariates=["age"], n_draws=5)
