"""What a prediction answers: past and future in one object, files, pages, what-if, back-tests."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import trial_sim as ts
from trial_sim.cli.app import app
from trial_sim.numerics.random_streams import Streams
from trial_sim.prediction.models.enrolment import fit_enrolment

DESIGN = ts.Design(
    arms={"control": 1, "treatment": 1}, n_patients=300, accrual=ts.Accrual(rate=20.0),
    looks=ts.EventLooks([60, 130, 200]), boundaries=ts.group_sequential((0.3, 0.65, 1)),
)  # fmt: skip


def trial_to(month, seed=1, n=300):
    """A trial of exponential times, and what is known of it at a month."""
    rng = np.random.default_rng(seed)
    entered = np.cumsum(rng.exponential(1 / 20, n))
    arm = np.arange(n) % 2
    latent = rng.exponential(17 / np.where(arm == 1, 0.7, 1.0))
    seen = entered <= month
    event = (entered + latent <= month) & seen
    table = pd.DataFrame(
        {
            "enrolment": entered, "time": np.minimum(latent, month - entered),
            "event": event.astype(int), "arm": np.where(arm == 1, "treatment", "control"),
            "site": [f"s{i % 9}" for i in range(n)],
        }
    )[seen]  # fmt: skip
    return table, np.sort(entered + latent), entered


def found(month=9.0, **options):
    table, _, _ = trial_to(month)
    options = {"cutoff": month, "opened": "2026-01-15", "n_draws": 200, "seed": 1, **options}
    return ts.predict(table, options.pop("design", DESIGN), **options)


@pytest.fixture(scope="module")
def prediction():
    return found()


def test_the_past_is_what_was_seen(prediction):
    _, happened, entered = trial_to(9.0)
    past = happened[happened <= 9.0]
    for k in (1, 20, len(past)):
        for month in prediction.month_of_events(k).values():
            assert month == pytest.approx(past[k - 1])
    by = float(past[19]) - 1e-6
    assert prediction.probability_of_events(20, by) == 0.0
    assert prediction.probability_of_events(20, by + 2e-6) == 1.0
    assert prediction.events_at(5.0)["median"] == (past <= 5.0).sum()
    assert prediction.patients_at(5.0)["upper"] == (entered <= 5.0).sum()
    assert prediction.month_of_patients(10)["lower"] == pytest.approx(entered[9])
    date = prediction.date(14.0)
    assert prediction.probability_of_events(100, date) == prediction.probability_of_events(
        100, prediction.month(date)
    )
    for wrong in (100.7, -3, "many", None, True):
        with pytest.raises((ValueError, TypeError)):
            prediction.month_of_events(wrong)
    rows = prediction.milestones(events=[20]).set_index("milestone")
    assert rows.loc["20 events", "reached"] and rows.loc["20 events", "month_upper"] <= 9.0


def test_a_look_that_is_never_reached_has_no_month():
    never = DESIGN.replace(looks=ts.EventLooks([60, 299]), boundaries=None)
    rows = found(design=never, change={"dropout_rate": 1.0, "event_rate": 0.05}, n_draws=60,
                 model="exponential").looks.set_index("look")  # fmt: skip
    with_loss = ts.predict(
        trial_to(9.0)[0].assign(dropout=lambda d: (d.index % 3 == 0) * (1 - d["event"])),
        never, cutoff=9.0, n_draws=60,
    ).looks.set_index("look")  # fmt: skip
    assert with_loss.loc[2, "probability_reached"] < 0.5
    assert np.isinf(with_loss.loc[2, "month_median"]) and np.isinf(with_loss.loc[2, "days_upper"])
    assert rows.loc[1, "probability_reached"] > 0


def test_an_adaptive_design_that_only_stops_is_its_design(prediction):
    stops = ts.AdaptiveDesign(DESIGN, ts.milestones_of(DESIGN))
    same = found(design=stops)
    pd.testing.assert_frame_equal(same.looks, prediction.looks)
    assert same.probability_of_success == prediction.probability_of_success
    rules = [ts.Rule(ts.Quantity("conditional_power") <= 0.5, ts.Resize(n=400))]
    two = DESIGN.replace(looks=ts.EventLooks([60, 200]), boundaries=None)
    changes = ts.AdaptiveDesign(
        two,
        [ts.Milestone("interim", ts.EventLooks([60]), rules),
         ts.Milestone("final", ts.EventLooks([200]))],
        closed_test=ts.ClosedTest(weights=[0.5, 0.5]),
    )  # fmt: skip
    assert len(found(design=changes, n_draws=20).rules) == 1
    with pytest.raises(TypeError, match="must be a Design"):
        found(design=None)


def test_looks_that_are_over(prediction):
    done = DESIGN.replace(looks=ts.EventLooks([10, 20]), boundaries=None)
    held = found(design=done, n_draws=20)
    assert held.looks.empty and "month_median" in held.looks
    assert "all looks have been held" in repr(held)
    for wrong in (-1, 3, 1.5):
        with pytest.raises(ValueError, match="looks_held"):
            found(design=done, looks_held=wrong, n_draws=20)


def test_max_information_is_obeyed(prediction):
    """With 130 events in all the look at 130 is the last: its bound is that of a last look."""
    capped = found(design=DESIGN.replace(max_information=130))
    assert capped.looks.equals(prediction.looks)  # when they are due is not changed
    assert capped.probability_of_success != prediction.probability_of_success


def test_what_if_changes_the_future_only(prediction):
    faster = prediction.what_if(enrolment_rate=2.0)
    now, then = (p.enrolment["month_median"] - 9.0 for p in (prediction, faster))
    assert then == pytest.approx(now / 2, rel=0.05)
    assert faster.month_of_events(20) == prediction.month_of_events(20)
    assert "enrolment_rate 2" in repr(faster)
    sites = prediction.what_if(sites={"2026-10-15": 9})
    assert faster.enrolment["month_median"] - 0.2 < sites.enrolment["month_median"]
    assert sites.enrolment["month_median"] == pytest.approx(then + 9.0, abs=0.3)
    better = prediction.what_if(hazard_ratio=0.4)
    worse = prediction.what_if(hazard_ratio={"treatment": 1.0})
    assert better.probability_of_success.estimate > worse.probability_of_success.estimate + 0.2
    half = prediction.what_if(event_rate=0.5)
    assert half.month_of_events(150)["median"] > prediction.month_of_events(150)["median"] + 1
    for wrong in ({"rate": 2}, {"enrolment_rate": -1}, {"hazard_ratio": {"drug": 0.5}},
                  {"sites": 3}, {"event_rate": "x"}):  # fmt: skip
        with pytest.raises((ValueError, TypeError)):
            prediction.what_if(**wrong)
    grid = prediction.decide({"enrolment_rate": [1, 2], "hazard_ratio": [0.6]})
    assert len(grid) == 2 and grid["enrolment_complete"].is_monotonic_decreasing


def test_files_and_comparison(prediction, tmp_path):
    kept = prediction.save(tmp_path / "september.json")
    read = ts.load_prediction(tmp_path / "september.json")
    pd.testing.assert_frame_equal(read.milestones, kept.milestones, check_dtype=False)
    text = (tmp_path / "september.json").read_text()
    assert "treatment" not in text and "s3" not in text  # no patient, no arm
    later = found(12.0)
    changed = later.compare(tmp_path / "september.json").set_index("milestone")
    row = changed.loc["60 events"]
    assert row["reached"] and row["inside_earlier_band"] in (True, False)
    actual = trial_to(12.0)[1][59]
    assert row["now_median"] == pytest.approx(actual)
    assert row["months_later"] == pytest.approx(actual - row["earlier_median"])
    assert row["date_now_median"] == later.date(actual)
    with pytest.raises(ValueError, match="after this one's"):
        prediction.compare(later)
    for bad in ('{"type": "Design"}', "[]", '{"type": "Prediction", "version": 9}'):
        (tmp_path / "bad.json").write_text(bad)
        with pytest.raises(ValueError, match=r"saved prediction|version"):
            ts.load_prediction(tmp_path / "bad.json")
    page = later.to_html(tmp_path / "page.html", earlier=kept)
    assert "Since the prediction of month 9.00" in page and "2026" in page
    assert page.count("data:image/png") == 2 and "://" not in page
    figure = later.plot(earlier=kept)
    assert figure.get_xlabel() == "date" and len(figure.get_lines()) >= 6


def test_a_blinded_reader_sees_no_arm():
    table = trial_to(9.0)[0].drop(columns="arm")
    blind = ts.predict(table, DESIGN, cutoff=9.0, n_draws=50)
    text = repr(blind) + blind.to_html() + json.dumps(blind.models.astype(str).to_dict())
    assert "treatment" not in text and blind.probability_of_success is None
    with pytest.raises(ValueError, match="blinded"):
        blind.what_if(hazard_ratio=0.5)


def test_enrolment_closed_early_and_late():
    table, _, _ = trial_to(9.0)
    closed = ts.predict(table, DESIGN, cutoff=9.0, enrolment="closed", n_draws=50)
    assert closed.design.n_patients == len(table)
    assert closed.patients_at(30.0)["upper"] == len(table)
    small = DESIGN.replace(n_patients=150)
    with pytest.raises(ValueError, match="replace"):
        ts.predict(table, small, cutoff=9.0, n_draws=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        over = ts.predict(table, small, cutoff=9.0, enrolment="closed", n_draws=50)
    assert over.design.n_patients == len(table)


def test_backtest_against_what_came():
    table, happened, entered = trial_to(12.0)
    back = ts.backtest(table, DESIGN, [6.0, 9.0], cutoff=12.0, n_draws=100, events=[60])
    for row in back.itertuples():
        true = (entered if row.counted == "patients" else happened)[row.number - 1]
        assert row.actual == pytest.approx(true)
        assert row.inside == (row.lower <= true <= row.upper)
        assert row.error == pytest.approx(row.median - true)
    assert set(back.attrs["coverage"]) == {"patients", "events"}
    same = ts.predict(trial_to(9.0)[0], DESIGN, cutoff=9.0, n_draws=100, seed=0)
    row = back[(back["cut"] == 9.0) & (back["number"] == 60)].iloc[0]
    assert row["median"] == pytest.approx(same.month_of_events(60)["median"])
    with pytest.raises(ValueError, match="between the opening and the cut-off"):
        ts.backtest(table, DESIGN, [20.0], cutoff=12.0)


SHAPES = {
    "ramp": ts.Accrual(rate=[2, 6, 10, 14, 18, 22], breakpoints=[2, 4, 6, 8, 10]),
    "decay": ts.Accrual(rate=[40, 30, 22, 16, 12, 9], breakpoints=[2, 4, 6, 8, 10]),
    "step": ts.Accrual(rate=[30, 10], breakpoints=[6]),
    "constant": ts.Accrual(rate=20),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_shape_of_enrolment_is_found(shape):
    truth = SHAPES[shape]
    entered = truth.sample(Streams.span(2, 0, 1), 400)[0]
    months = entered[entered <= 12.0]
    fit = fit_enrolment(months, 12.0, ts.Accrual(rate=20))
    rate = {"ramp": 22, "decay": 9, "step": 10, "constant": 20}[shape]
    assert fit.rate == pytest.approx(rate, rel=0.3)
    assert fit.weight.sum() == pytest.approx(1.0)
    by = fit.table.set_index("model")["weight"]
    if shape != "constant":
        assert by["constant"] + by["plan"] < 0.6
    with_plan = fit_enrolment(months, 12.0, truth)
    own = with_plan.table.set_index("model")["weight"]
    assert own["plan"] > 0.3


@pytest.mark.parametrize("plan", ["own", "constant"])
def test_the_end_of_a_ramp_lies_in_its_interval(plan):
    """The default's 95 % interval held the end of enrolment in a quarter of such trials once."""
    truth = ts.Accrual(rate=[5, 10, 15, 20, 25], breakpoints=[3, 6, 9, 12])
    all_months = truth.sample(Streams.span(5, 0, 25), 400)
    random = np.random.default_rng(0)
    inside = []
    for months in all_months:
        seen = months[months <= 13.0]
        fit = fit_enrolment(seen, 13.0, truth if plan == "own" else ts.Accrual(rate=25))
        end = fit.draw(300, 400 - len(seen), random)[:, -1]
        low, high = np.quantile(end, [0.025, 0.975])
        inside.append(low <= months[-1] <= high)
    assert np.mean(inside) >= 0.84


def test_the_date_of_an_event_under_a_rising_hazard():
    """With Weibull times of shape 1.4 the default's 95 % interval held it in a sixth once."""
    design = DESIGN.replace(looks=ts.EventLooks([180]), boundaries=None)
    inside, errors = [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        entered = np.cumsum(rng.exponential(1 / 20, 300))
        calendar = entered + 16 * rng.weibull(1.4, 300)
        cut = float(np.sort(calendar)[60]) + 1e-6
        seen = entered <= cut
        table = pd.DataFrame(
            {
                "enrolment": entered, "time": np.minimum(calendar, cut) - entered,
                "event": calendar <= cut,
            }
        )[seen]  # fmt: skip
        guess = ts.predict(table, design, cutoff=cut, n_draws=200, level=0.95, seed=seed)
        row, truth = guess.looks.iloc[0], np.sort(calendar)[179]
        inside.append(row["month_lower"] <= truth <= row["month_upper"])
        errors.append(row["month_median"] - truth)
    assert np.mean(inside) >= 0.8 and abs(np.median(errors)) < 2.0


def test_the_plan_counts_for_its_patients():
    """With few patients the rate lies between theirs and the plan's, by the patients of each."""
    months = np.linspace(0.05, 1.0, 4)
    plan = ts.Accrual(rate=40.0)
    rates = [fit_enrolment(months, 1.0, plan, "plan", prior_patients=n).rate for n in (0.1, 4, 400)]
    assert rates[0] < rates[1] < rates[2]
    assert rates[0] == pytest.approx(4, rel=0.35) and rates[2] == pytest.approx(40, rel=0.1)


def test_a_constant_rate_has_the_gamma_posterior():
    """Counts of a Poisson process without prior: the log rate's sd is 1 over the root of n."""
    months = np.sort(np.random.default_rng(0).uniform(0, 10, 150))
    fit = fit_enrolment(months, 10.0, ts.Accrual(rate=15), "constant")
    still = fit.size == 0
    assert np.exp(fit.level[still][0]) == pytest.approx(15.0, rel=0.01)
    assert fit.sd[still][0] == pytest.approx(1 / np.sqrt(150), rel=0.02)


def test_the_command_takes_what_the_function_takes(tmp_path):
    study = tmp_path / "study.yaml"
    study.write_text(
        "design:\n"
        "  arms: {control: 1, treatment: 1}\n"
        "  n_patients: 300\n"
        "  accrual: {rate: 20}\n"
        "  looks: {events: [60, 130, 200]}\n"
        "outcomes: {type: PiecewiseExponential, control_median: 12, hazard_ratio: 0.7}\n"
    )
    table = trial_to(9.0)[0].rename(columns={"time": "AVAL"})
    dates = pd.Timestamp("2026-01-15") + pd.to_timedelta(table["enrolment"] * 30.4375, unit="D")
    table.assign(enrolment=dates.dt.strftime("%Y-%m-%d %H:%M:%S")).to_csv(tmp_path / "p.csv")
    arguments = ["predict", str(study), str(tmp_path / "p.csv"), "--cutoff", "2026-10-15",
                 "--opened", "2026-01-15", "--columns", "time=AVAL", "--n-draws", "40",
                 "--model", "weibull,piecewise_exponential", "--breakpoints", "3,5",
                 "--level", "0.8", "--what-if", "enrolment_rate=2", "--save",
                 str(tmp_path / "now.json"), "--html", str(tmp_path / "page.html")]  # fmt: skip
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "enrolment_rate 2" in done.output and "80 % bands" in done.output
    models = ts.load_prediction(tmp_path / "now.json").models
    used = models[(models["quantity"] == "events") & (models["weight"] > 0)]["model"]
    assert set(used) == {"weibull", "piecewise_exponential"}
    again = CliRunner().invoke(app, [*arguments[:7], *arguments[7:11], "--compare",
                                     str(tmp_path / "now.json")])  # fmt: skip
    assert again.exit_code == 0 and "since now.json" in again.output
    wrong = CliRunner().invoke(app, [*arguments, "--columns", "time"])
    assert wrong.exit_code != 0 and "name=value" in wrong.output
