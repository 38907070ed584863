"""Tables of ongoing trials as users bring them: read rightly, or refused by name."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trial_sim as ts
from trial_sim.prediction.dates import DAYS_PER_MONTH, as_timestamp, month_of

OPENED = pd.Timestamp("2026-01-15")
DESIGN = ts.Design(
    arms={"control": 1, "treatment": 1}, n_patients=200, accrual=ts.Accrual(rate=15.0),
    dropout=ts.Dropout(rate=0.01), looks=ts.EventLooks([30, 60, 100]),
    boundaries=ts.group_sequential((0.3, 0.6, 1)),
)  # fmt: skip


def whole_days(seed=0, n=120, cut=300):
    """Patients on whole days: day of enrolment, day of the end, status; cut at a day."""
    rng = np.random.default_rng(seed)
    entered = np.sort(rng.integers(0, cut - 1, n))
    entered[0] = 0
    latent = np.ceil(rng.exponential(400.0, n)).astype(int)
    leaves = np.ceil(rng.exponential(3000.0, n)).astype(int)
    followed = cut - entered
    event = (latent <= leaves) & (latent <= followed)
    gone = ~event & (leaves <= followed)
    end = entered + np.minimum(np.minimum(latent, leaves), followed)
    table = pd.DataFrame(
        {"day": entered, "end_day": end, "event": event.astype(int), "dropout": gone.astype(int)}
    )
    return table.assign(arm=np.where(np.arange(n) % 2, "treatment", "control"))


def dates_of(days):
    return OPENED + pd.to_timedelta(np.asarray(days), unit="D")


CUT = OPENED + pd.Timedelta(days=300)
WRITTEN = {
    "Timestamp": lambda d: pd.Series(d),
    "text": lambda d: pd.Series(d.strftime("%Y-%m-%d")),
    "date": lambda d: pd.Series(d.date),
    "time zone": lambda d: pd.Series(d.tz_localize("Europe/Berlin")),
    "DATE9": lambda d: pd.Series(d.strftime("%d%b%Y").str.upper()),
    "datetime64[s]": lambda d: pd.Series(d.astype("datetime64[s]")),
}


@pytest.mark.parametrize("kind", WRITTEN)
@pytest.mark.parametrize("inclusive", [0, 1])
def test_dates_of_all_kinds_are_one_trial(kind, inclusive):
    """Day counts as a difference, and inclusively as in ADTTE, and the date of the end."""
    table = whole_days()
    plain = ts.read_ongoing(
        pd.DataFrame(
            {
                "enrolment": table["day"] / DAYS_PER_MONTH,
                "time": (table["end_day"] - table["day"]) / DAYS_PER_MONTH,
                "event": table["event"], "dropout": table["dropout"], "arm": table["arm"],
            }
        ),
        DESIGN, cutoff=300 / DAYS_PER_MONTH,
    )  # fmt: skip
    dated = table.assign(
        enrolment=WRITTEN[kind](dates_of(table["day"])),
        time=table["end_day"] - table["day"] + inclusive,
    )
    for cutoff in (CUT, "2026-11-11", CUT.date(), np.datetime64(CUT), CUT.tz_localize("UTC")):
        found = ts.read_ongoing(dated, DESIGN, cutoff=cutoff, time_unit="days")
        assert found.cutoff == pytest.approx(plain.cutoff, abs=1e-9)
        assert found.opened == OPENED
        np.testing.assert_allclose(found.enrolment, plain.enrolment, atol=1e-9)
        np.testing.assert_allclose(found.time, plain.time, atol=(inclusive + 0.51) / DAYS_PER_MONTH)
        np.testing.assert_array_equal(found.event, plain.event)
        assert (found.enrolment + found.time <= found.cutoff + 1e-9).all()
    ends = table.assign(
        enrolment=WRITTEN[kind](dates_of(table["day"])),
        end=WRITTEN[kind](dates_of(table["end_day"])),
    )
    by_end = ts.read_ongoing(ends, DESIGN, cutoff=CUT)
    np.testing.assert_allclose(by_end.time, plain.time, atol=0.51 / DAYS_PER_MONTH)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("01/02/2026", "2026-01-31 or 31JAN2026"),
        ("2026-02-30", "must be a date"),
        (20260115, "months since the opening"),
        (1e300, "months since the opening"),
        (float("nan"), "months since the opening"),
        (pd.NaT, "missing"),
        (True, "must be a date"),
        ([], "must be a date"),
    ],
)
def test_moments_that_nobody_can_tell(value, message):
    with pytest.raises((ValueError, TypeError), match=message):
        month_of(value, OPENED, "cutoff")


def test_numbers_of_any_type_are_months():
    for value in (7, 7.0, np.int64(7), np.float32(7)):
        assert month_of(value, OPENED, "cutoff") == 7.0
    assert as_timestamp("2026-01-15T22:30:00+02:00", "x") == pd.Timestamp("2026-01-15 22:30")


def good(**changes):
    table = whole_days()
    return pd.DataFrame(
        {
            "enrolment": table["day"] / DAYS_PER_MONTH,
            "time": (table["end_day"] - table["day"]) / DAYS_PER_MONTH,
            "event": table["event"], "dropout": table["dropout"], "arm": table["arm"],
        }
    ).assign(**changes)  # fmt: skip


MONTH = 300 / DAYS_PER_MONTH
REFUSED = {
    "years": (lambda d: d.assign(time=d["time"] / 12), {}, "in years"),
    "weeks of months": (lambda d: d.assign(time=d["time"] * 4.35), {}, "after the cut-off"),
    "days of months": (lambda d: d.assign(time=d["time"] * 30.4), {}, "are the times in days"),
    "missing source": (lambda d: d, {"columns": {"time": "nosuch"}}, "'nosuch'"),
    "unknown target": (lambda d: d, {"columns": {"tim": "time"}}, "did you mean 'time'"),
    "misspelt arm": (lambda d: d.rename(columns={"arm": "Arm"}), {}, "'Arm' looks like it"),
    "arm elsewhere": (lambda d: d.rename(columns={"arm": "rx"}), {}, "'rx' looks like it"),
    "misspelt dropout": (
        lambda d: d.rename(columns={"dropout": "DropOut"}), {}, "'DropOut' looks like it",
    ),
    "arm of some": (lambda d: d.assign(arm=[None, *d["arm"][1:]]), {}, "1 of 120 patients have no"),
    "text event": (lambda d: d.assign(event="maybe"), {}, "0 or 1 .or yes, no"),
    "twice": (lambda d: d.assign(id=[1, 1, *range(118)]), {}, "stands in several rows"),
    "no enrolment": (lambda d: d.assign(enrolment=[np.nan, *d["enrolment"][1:]]), {}, "1 of 120"),
    "mixed": (
        lambda d: d.assign(enrolment=[5.0, *dates_of(range(119))]), {}, "mixes dates and numbers",
    ),
    "before opening": (
        lambda d: d.assign(enrolment=dates_of(d.index)), {"opened": "2026-02-01"}, "2026-02-01",
    ),
    "after the cut": (lambda d: d, {"cutoff": 5.0}, "enrolled after the cut-off 5.00"),
    "too many": (lambda d: pd.concat([d, d], ignore_index=True), {}, r"replace\(n_patients=240\)"),
    "no patients": (lambda d: d.iloc[:0], {}, "no patients"),
    "unit": (lambda d: d, {"time_unit": "fortnights"}, "days, weeks, months, years"),
    "lag": (lambda d: d, {"lag": -1}, "lag must be 0 or more"),
    "last_seen": (lambda d: d, {"last_seen": "gone"}, "'lost' or 'followed'"),
    "typo": (lambda d: d, {"cuttoff": 3}, "did you mean 'cutoff'"),
    "end and time": (lambda d: d.assign(end=99.0), {}, "both 'time' and 'end'"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_by_name(name):
    change, options, message = REFUSED[name]
    with pytest.raises((ValueError, TypeError), match=message):
        ts.predict(change(good()), DESIGN, **{"cutoff": MONTH, "n_draws": 5, **options})


def test_an_ongoing_trial_takes_no_further_reading():
    trial = ts.read_ongoing(good(), DESIGN, cutoff=MONTH)
    with pytest.raises(TypeError, match="cutoff say how a table is read"):
        ts.predict(trial, DESIGN, cutoff=3.0, n_draws=5)
    with pytest.raises(TypeError, match="did you mean 'cutoff'"):
        ts.predict(trial, DESIGN, cuttoff=3.0, n_draws=5)


def test_status_and_yes_and_no():
    table = good()
    plain = ts.read_ongoing(table, DESIGN, cutoff=MONTH)
    words = table.assign(
        event=np.where(table["event"] == 1, "Yes", "no"),
        dropout=np.where(table["dropout"] == 1, "Y", "N"),
    )
    status = table.drop(columns=["event", "dropout"]).assign(
        status=np.select(
            [table["event"] == 1, table["dropout"] == 1], ["event", "Dropout"], "ongoing"
        )
    )
    flags = table.assign(event=table["event"].astype(bool), dropout=table["dropout"].astype(float))
    for other in (words, status, flags, table.assign(arm=table["arm"].astype("category"))):
        found = ts.read_ongoing(other, DESIGN, cutoff=MONTH)
        np.testing.assert_array_equal(found.event, plain.event)
        np.testing.assert_array_equal(found.dropout, plain.dropout)


def lagged(table, seed=1):
    rng = np.random.default_rng(seed)
    open_ = (table["event"] == 0) & (table["dropout"] == 0)
    earlier = np.maximum(table["time"] - rng.uniform(1, 3, len(table)), 0.01)
    return table.assign(time=np.where(open_, earlier, table["time"])), open_.to_numpy()


def test_last_contact_before_the_cut():
    """Nobody without an event has one in the past, unless events are reported late."""
    table, open_ = lagged(good())
    with pytest.warns(UserWarning, match="last seen before the cut-off"):
        found = ts.predict(table, DESIGN, cutoff=MONTH, n_draws=50)
    seen = int(table["event"].sum())
    assert found.events_at(MONTH)["upper"] == seen == found.curve["events_mean"].iloc[0]
    held = int((np.array(DESIGN.looks.events) <= seen).sum())
    assert found.looks["look"].tolist() == list(range(held + 1, 4))
    np.testing.assert_allclose(
        np.sort((found.trial.enrolment + found.trial.time)[found.trial.at_risk]), MONTH
    )
    # told that events are late: those who are open are known to be free until then only
    late = ts.read_ongoing(table, DESIGN, cutoff=MONTH, lag=1.5, last_seen="followed")
    until = (late.enrolment + late.time)[late.at_risk]
    contact = (table["enrolment"] + table["time"])[open_].to_numpy()
    np.testing.assert_allclose(until, np.maximum(contact, MONTH - 1.5))
    known = ts.predict(late, DESIGN, n_draws=50)
    assert known.events_at(MONTH)["upper"] == seen
    assert known.events_at(MONTH + 0.01)["mean"] > seen + 1  # happened, not yet reported


def test_who_left_is_asked_where_nobody_can_know():
    table, open_ = lagged(good())
    bare = table.drop(columns="dropout")
    with pytest.raises(ValueError, match=r"no column 'dropout'.*last_seen='lost'"):
        ts.predict(bare, DESIGN, cutoff=MONTH, n_draws=5)
    lost = ts.read_ongoing(bare, DESIGN, cutoff=MONTH, last_seen="lost")
    assert not lost.at_risk[lost.enrolment + lost.time < MONTH - 0.1].any()
    assert ts.read_ongoing(bare, DESIGN, cutoff=MONTH, last_seen="followed").at_risk.sum() >= (
        open_.sum()
    )
    whole = good().drop(columns="dropout")[~good()["dropout"].astype(bool)]
    assert ts.read_ongoing(whole, DESIGN, cutoff=MONTH).dropout.sum() == 0


def test_follow_up_of_the_design():
    fixed = DESIGN.replace(follow_up=4.0)
    with pytest.raises(ValueError, match="events come after the design's follow-up of 4 months"):
        ts.predict(good(), fixed, cutoff=MONTH, n_draws=5)
    table = good()
    over = table["time"] >= 4.0
    table = table.assign(
        time=table["time"].clip(upper=4.0), event=table["event"].where(~over, 0),
        dropout=table["dropout"].where(~over, 0),
    )  # fmt: skip
    found = ts.predict(table, fixed, cutoff=MONTH, n_draws=50)
    assert found.events_at(MONTH)["median"] == table["event"].sum()
    # nobody has an event more than four months after the last entry
    assert found.events_at(200.0)["upper"] == found.events_at(
        found._patients.max() + 4.001
    )["upper"]  # fmt: skip


def test_a_trial_is_read_by_endpoint_unit_and_entry():
    table = good()
    days = table.assign(
        os=table["time"] * DAYS_PER_MONTH, dead=table["event"],
        pfs=table["time"] * DAYS_PER_MONTH / 2, progressed=1,
        randomised=dates_of(table["enrolment"] * DAYS_PER_MONTH),
    ).drop(columns=["time", "event", "enrolment"])  # fmt: skip
    trial = ts.Trial(
        patients=days, arm="arm", entry="randomised", time_unit="days",
        endpoints={"PFS": ts.TimeToEvent("pfs", "progressed"), "OS": ts.TimeToEvent("os", "dead")},
    )  # fmt: skip
    found = ts.predict(trial, DESIGN.replace(endpoint="OS"), cutoff=CUT, n_draws=5).trial
    same = ts.read_ongoing(table, DESIGN, cutoff=MONTH)
    np.testing.assert_array_equal(found.event, same.event)
    np.testing.assert_allclose(found.time, same.time, atol=0.05)
    np.testing.assert_allclose(found.enrolment, same.enrolment, atol=0.05)
    with pytest.raises(ValueError, match="did you mean 'OS'"):
        ts.predict(trial, DESIGN.replace(endpoint="OSS"), cutoff=CUT, n_draws=5)
    with pytest.warns(UserWarning, match="'PFS' is predicted"), pytest.raises(ValueError):
        ts.predict(trial, DESIGN, cutoff=CUT, n_draws=5)


def adam(seed=0):
    table = whole_days(seed)
    n = len(table)
    ids = [f"S-{i:03d}" for i in range(n)]
    start = pd.Series(dates_of(table["day"]))
    adsl = pd.DataFrame(
        {"USUBJID": ids, "TRT01P": table["arm"], "RANDDT": start, "SITEID": np.arange(n) % 7,
         "ITTFL": "Y"}
    )  # fmt: skip
    screened = pd.DataFrame({"USUBJID": ["S-999"], "TRT01P": [""], "SITEID": [1], "ITTFL": ["N"]})
    adsl = pd.concat([adsl, screened], ignore_index=True)
    why = np.select(
        [table["event"] == 1, table["dropout"] == 1], ["", "LOST TO FOLLOW-UP"], "ALIVE AT DATA CUT"
    )
    adtte = pd.DataFrame(
        {"USUBJID": ids, "PARAMCD": "OS", "AVAL": table["end_day"] - table["day"] + 1,
         "AVALU": "DAYS", "CNSR": 1 - table["event"], "CNSDTDSC": why}
    )  # fmt: skip
    return adsl, adtte


def test_adam_tables_are_the_same_trial():
    adsl, adtte = adam()
    shuffled = adtte.sample(frac=1, random_state=1)
    found = ts.ongoing_from_adam(adsl, shuffled, DESIGN, cutoff="2026-11-11")
    plain = ts.read_ongoing(good(), DESIGN, cutoff=MONTH)
    np.testing.assert_array_equal(found.event, plain.event)
    np.testing.assert_array_equal(found.dropout, plain.dropout)
    np.testing.assert_array_equal(found.arm, plain.arm)
    np.testing.assert_allclose(found.time, plain.time, atol=0.06)
    assert len(found.sites) == 7
    assert any("not randomised" in note for note in found.notes)
    assert any("LOST TO FOLLOW-UP" in note for note in found.notes)
    assert ts.ongoing_from_adam(adsl, adtte, DESIGN, cutoff="2026-11-11", arm=None).blinded
    with pytest.raises(ValueError, match="randomised subjects have no row"):
        ts.ongoing_from_adam(adsl, adtte.iloc[1:], DESIGN, cutoff="2026-11-11")
    with pytest.raises(ValueError, match="two rows of 'OS'"):
        ts.ongoing_from_adam(adsl, pd.concat([adtte, adtte.head(1)]), DESIGN, cutoff="2026-11-11")
    both = pd.concat([adtte, adtte.assign(PARAMCD="PFS")])
    with pytest.raises(ValueError, match="give parameter="):
        ts.ongoing_from_adam(adsl, both, DESIGN, cutoff="2026-11-11")
    with pytest.raises(ValueError, match="'MOON'"):
        ts.ongoing_from_adam(adsl, adtte.replace("LOST TO FOLLOW-UP", "MOON"), DESIGN,
                             cutoff="2026-11-11")  # fmt: skip


ODD = st.sampled_from(
    [None, np.nan, np.inf, -1, 0, 1, 1e9, "x", "", "2026-02-30", "2026-01-20", True, pd.NaT, 3,
     -0.5, (), (3.0, 1.0), (np.nan,), ("a",), [], {}, b"1", 5.0]
)  # fmt: skip
NAMES = st.sampled_from(
    ["cutoff", "opened", "columns", "time_unit", "lag", "last_seen", "model", "breakpoints",
     "enrolment", "enrolment_window", "prior_patients", "looks_held", "change", "level", "seed"]
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 29), st.integers(0, 4), ODD), max_size=3),
    st.dictionaries(NAMES, ODD, max_size=2),
)
def test_every_call_answers_or_says_why_not(cells, arguments):
    table = good().head(30).astype(object)
    for row, column, value in cells:
        table.iat[row, column] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = ts.predict(table, DESIGN, **{"cutoff": MONTH, "n_draws": 5, **arguments})
        except (ValueError, TypeError) as error:
            assert len(str(error)) > 15
        else:
            assert found.looks["month_median"].notna().all()


# -- what strangers bring --------------------------------------------------------------------------


def weeks_table(n=60, seed=3):
    random = np.random.default_rng(seed)
    entered = np.sort(random.uniform(0, 52, n)).round(1)
    latent = random.exponential(60, n)
    return pd.DataFrame(
        {"enrolment": entered, "time": np.minimum(latent, 52 - entered).round(1),
         "event": (latent < 52 - entered).astype(int), "dropout": 0,
         "arm": np.array(["control", "treatment"])[np.arange(n) % 2]}
    )  # fmt: skip


def plain_design(n=100, **changes):
    return ts.Design(
        arms={"control": 1, "treatment": 1}, n_patients=n, accrual=ts.Accrual(rate=6),
        looks=ts.EventLooks([20, 40]), **changes,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("unit", "factor"), [("weeks", 1.0), ("days", 7.0), ("years", 7 / 365.25), ("months", None)]
)
def test_a_cut_off_in_the_unit_of_the_times_is_asked_about(unit, factor):
    factor = 7 / 30.4375 if factor is None else factor
    table = weeks_table()
    table[["enrolment", "time"]] *= factor
    month = 52 * 7 / 30.4375
    read = ts.read_ongoing(table, plain_design(), cutoff=month, time_unit=unit)
    assert read.cutoff == pytest.approx(month)
    later = ts.read_ongoing(table, plain_design(), cutoff=month + 0.5, time_unit=unit)
    assert later.cutoff == pytest.approx(month + 0.5)
    if unit == "months":
        return
    with pytest.raises(ValueError, match=rf"in {unit}\? Then give cutoff={month:.2f}"):
        ts.read_ongoing(table, plain_design(), cutoff=52 * factor, time_unit=unit)


@pytest.mark.parametrize("origin", ["1899-12-30", "1960-01-01"])
@pytest.mark.parametrize("unit", ["months", "days"])
def test_dates_as_excel_and_sas_write_them_are_no_months(origin, unit):
    table = weeks_table()
    opened = (pd.Timestamp("2026-01-05") - pd.Timestamp(origin)).days
    table["enrolment"] = opened + (table["enrolment"] * 7).round()
    with pytest.raises(ValueError, match="as Excel or SAS write them"):
        ts.read_ongoing(table, plain_design(), time_unit=unit)


def test_dates_in_words_and_with_other_marks():
    days = pd.Timestamp("2026-01-05") + pd.to_timedelta(np.arange(0, 360, 6), unit="D")
    table = weeks_table().assign(time=0.5, enrolment=days)
    want = ts.read_ongoing(table, plain_design(), cutoff="2027-02-28").enrolment
    for form in (
        "%Y/%m/%d",
        "%Y.%m.%d",
        "%d %b %Y",
        "%d-%B-%Y",
        "%d%b%Y:%H:%M:%S",
        "%Y/%m/%d %H:%M",
    ):
        text = table.assign(enrolment=days.strftime(form))
        found = ts.read_ongoing(text, plain_design(), cutoff="28 February 2027").enrolment
        np.testing.assert_allclose(found, want, atol=1e-9)
    for form in ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%b-%y", "%b %d, %Y"):
        with pytest.raises(ValueError, match="which part is the day"):
            ts.read_ongoing(table.assign(enrolment=days.strftime(form)), plain_design())
    for word in ("05Marraskuu2026", "05Mrz2026", "05 Juni 2026", "05Ma2026", "32JAN2026"):
        with pytest.raises(ValueError, match="must be a date"):
            ts.read_ongoing(table.assign(enrolment=word), plain_design())


def test_openings_of_sites_are_taken_from_the_table():
    table = weeks_table().assign(site=[f"S{i % 5}" for i in range(60)])
    first = table.groupby("site")["enrolment"].min()
    opened = table["site"].map(first - 0.5).clip(lower=0.0)
    how = {"cutoff": 12.0, "time_unit": "weeks"}
    read = ts.read_ongoing(table.assign(site_opened=opened), plain_design(), **how)
    expected = np.sort((first - 0.5).clip(lower=0.0).to_numpy()) * 7 / 30.4375
    np.testing.assert_allclose(read.sites, expected)
    plain = ts.read_ongoing(table, plain_design(), **how)
    np.testing.assert_allclose(plain.sites, np.sort(first.to_numpy()) * 7 / 30.4375)
    wrong = [
        (table.assign(site_opened=np.arange(60.0)), "two dates of opening"),
        (table.assign(site_opened=50.0), "before it opened"),
        (table.drop(columns="site").assign(site_opened=0.0), "no 'site'"),
        (table.assign(site_opened="2026-01-05"), "holds dates"),
    ]
    for one, said in wrong:
        with pytest.raises(ValueError, match=said):
            ts.read_ongoing(one, plain_design(), **how)


def test_who_completes_the_follow_up_has_not_dropped_out():
    """Completers who are called censored at their last visit teach no drop-out."""
    entered = np.linspace(0, 10, 60)
    over = entered < 14 - 6.3
    table = pd.DataFrame(
        {"enrolment": entered, "time": np.where(over, 6.2, 14 - entered), "event": 0,
         "dropout": over.astype(int)}
    )  # fmt: skip
    table.loc[[1, 5], ["time", "dropout"]] = [2.0, 1]
    read = ts.read_ongoing(table, plain_design(follow_up=6.0), cutoff=14.0)
    assert read.dropout.sum() == 2 and read.time[over].max() == 6.0
    without = ts.read_ongoing(table, plain_design(), cutoff=14.0)
    assert without.dropout.sum() == over.sum()


def test_an_arm_without_patients_is_said():
    table = weeks_table().assign(arm="control")
    with pytest.warns(UserWarning, match="none of the 60 patients is in arm 'treatment'"):
        ts.read_ongoing(table, plain_design(), cutoff=12.0, time_unit="weeks")


@pytest.mark.parametrize("events", [0, 1])
def test_twelve_patients_and_hardly_an_event(events):
    entered = np.linspace(0, 5, 12)
    table = pd.DataFrame(
        {"enrolment": entered, "time": 6 - entered, "event": 0, "dropout": 0,
         "arm": ["control", "treatment"] * 6, "age": np.linspace(40, 80, 12)}
    )  # fmt: skip
    table.loc[2, ["time", "event"]] = [1.0, events]
    table.loc[2, "time"] = 1.0 if events else table.loc[2, "time"]
    table.loc[2, "dropout"] = 0 if events else 1
    found = ts.predict(table, plain_design(), cutoff=6.0, covariates=["age"], n_draws=200, seed=1)
    months = found.month_of_events(20)
    assert months["lower"] > 6.0 and months["lower"] < months["median"]
    assert np.isfinite(found.ratios["hazard_ratio"]).all()
    assert "20 events" in found.to_html()
