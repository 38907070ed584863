"""One table of patients, written in the ways of spreadsheets and programs, is one trial."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import trial_sim as ts
from trial_sim.cli import app
from trial_sim.data.texts import as_dates, find_arm, read_text_table

FIELDS = {
    "arm": "arm",
    "covariates": ["age", "site", "Größe (cm)"],
    "endpoints": {"death": {"kind": "time_to_event", "duration": "time", "event": "dead"}},
}


def _patients(n: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "arm": np.where(np.arange(n) % 2, "2", "1"),
            "time": rng.exponential(12, n).round(2) + 0.01,
            "dead": rng.integers(0, 2, n),
            "age": np.where(rng.random(n) < 0.1, np.nan, rng.normal(60, 9, n).round(1)),
            "site": rng.choice(["01", "07", "12"], n),
            "Größe (cm)": rng.normal(170, 8, n).round(1),
        }
    )


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    st.booleans(),
    st.sampled_from(["", "NA", ".", "NaN"]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_the_same_patients_whatever_wrote_the_file(delimiter, encoding, comma, gap, end, told):
    made = _patients()
    decimal = "," if comma and delimiter != "," else "."
    text = made.to_csv(index=False, sep=delimiter, decimal=decimal, na_rep=gap, lineterminator=end)
    if told:
        text = f"sep={delimiter}{end}{text}"
    usual = "\t" if delimiter == "\t" else ","
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        read = read_text_table(text.encode(encoding), usual, "mine.csv")
    expected = made.assign(arm=made.arm.astype(int))
    pd.testing.assert_frame_equal(read, expected)
    words = " ".join(str(w.message) for w in said)
    assert ("Windows-1252" in words) == (encoding == "cp1252")
    assert ("missing number" in words) == bool(gap)


@pytest.mark.parametrize("written", ['"1"', "1", "'1'"])
@pytest.mark.parametrize("way", ["control", "arms"])
def test_an_arm_is_named_as_text_or_number(tmp_path, written, way):
    _patients().to_csv(tmp_path / "trial.csv", index=False)
    order = f"control: {written}" if way == "control" else f"arms: [{written}, 2]"
    (tmp_path / "trial.yaml").write_text(
        f"data: trial.csv\narm: arm\n{order}\ncovariates: [age, site]\nendpoints:\n"
        "  death: {kind: time_to_event, duration: time, event: dead}\n"
    )
    trial = ts.read_trial(tmp_path / "trial.yaml")
    assert trial.arms == (1, 2)
    assert set(trial.patients["site"]) == {"01", "07", "12"}


@pytest.mark.parametrize(
    ("wanted", "found", "taken"),
    [("1", [1, 2], 1), (1, ["1", "2"], "1"), ("2", [1.0, 2.0], None), ("False", [False, True],
     False), (False, [False, True], False), (1, [False, True], None), ("true", [False, True], True),
     ("a", ["a", "A"], "a"), ("B", ["a", "b"], None)],
)  # fmt: skip
def test_the_arm_found_is_the_one_in_the_table(wanted, found, taken):
    if taken is None:
        with pytest.raises(ValueError, match="is no arm") as told:
            find_arm(wanted, found)
        assert all(repr(a) in str(told.value) for a in found)
    else:
        got = find_arm(wanted, found)
        assert got == taken and type(got) is type(taken)


@pytest.mark.parametrize("change", [{"arm": "Arm"}, {"arm": None}, {"arms": "1, 2"}])
def test_a_description_that_does_not_fit_is_told(tmp_path, change):
    _patients().to_csv(tmp_path / "t.csv", index=False)
    fields = {k: v for k, v in {**FIELDS, "control": 1, **change}.items() if v is not None}
    with pytest.raises(ValueError, match=r"no column 'Arm'|needs 'arm'|'arms' must be a list"):
        ts.read_trial(tmp_path / "t.csv", fields)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.dates(pd.Timestamp("1901-01-01").date(), pd.Timestamp("2099-12-31").date()),
             min_size=1, max_size=12),
    st.sampled_from(["%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%Y-%m-%d", "%d%b%Y", "%Y/%m/%d"]),
)  # fmt: skip
def test_dates_are_the_right_ones_or_refused(dates, form):
    texts = pd.Series([d.strftime(form) for d in dates], name="enrolled")
    try:
        read = as_dates(texts)
    except ValueError as error:
        assert "day or the month first" in str(error) and form[1] in "dm" and "%b" not in form
        assert all(d.day <= 12 for d in dates)
        return
    if all(d.day == d.month for d in dates) or form[1] not in "dm" or "%b" in form:
        pass
    else:
        assert any(d.day > 12 for d in dates)
    assert [d.date() for d in read] == dates


@pytest.mark.parametrize(
    "texts",
    [["31/01/62", "02/05/63"], ["31JAN62"], ["31/01/1962", "01/31/1962"], ["soon", "1962-01-01"]],
)
def test_dates_that_could_be_others_are_refused(texts):
    with pytest.raises(ValueError, match="column 'born'"):
        as_dates(pd.Series(texts, name="born"))


@pytest.mark.parametrize("manner", [[], ["--log-json"], ["-q"]])
def test_a_command_warns_once_in_a_sentence(tmp_path, manner):
    made = _patients(60)
    made["town"] = np.where(np.arange(60) % 3, "Köln", "Bonn")
    (tmp_path / "t.csv").write_bytes(made.to_csv(index=False).encode("cp1252"))
    (tmp_path / "t.yaml").write_text(
        "data: t.csv\narm: arm\ncontrol: 1\ncovariates: [age, town]\nendpoints:\n"
        "  death: {kind: time_to_event, duration: time, event: dead}\n"
    )
    words = ["fit", str(tmp_path / "t.yaml"), "-o", str(tmp_path / "t.npz"), *manner]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    lines = [line for line in done.stderr.splitlines() if "Windows-1252" in line]
    assert len(lines) == 1 and "UserWarning" not in done.stderr
    if "--log-json" in manner:
        entry = json.loads(lines[0])
        assert entry["level"] == "warning" and entry["message"].startswith("t.csv is not UTF-8")
    else:
        assert lines[0] == "warning: t.csv is not UTF-8; it is read as Windows-1252"


@pytest.mark.parametrize("scale", [1.0, 1e-4, 1e-9, 1e5])
def test_operating_characteristics_are_shown_in_any_unit(tmp_path, scale):
    (tmp_path / "s.yaml").write_text(
        "title: t\ndesign:\n  arms: {a: 1, b: 1}\n  n_patients: 60\n  accrual: {rate: 10}\n"
        "  looks: {type: EnrolmentLooks, patients: [60]}\n  test: t_test\noutcomes:\n"
        f"  type: ContinuousResponse\n  difference: {scale}\n"
        f"  sd: {scale}\nsimulation: {{n_trials: 50, seed: 1}}\n"
    )
    done = CliRunner().invoke(app, ["simulate", str(tmp_path / "s.yaml")])
    assert done.exit_code == 0, done.output
    row = next(w for w in map(str.split, done.stdout.splitlines()) if w[:2] == ["mean", "mean"])
    estimate, error = float(row[3]), float(row[4])
    assert 0.5 * scale < estimate < 1.6 * scale and 0.01 * scale < error < 0.1 * scale


@pytest.mark.parametrize("kind", ["object", "category", "string"])
@pytest.mark.parametrize("column", ["arm", "sex"])
@pytest.mark.parametrize("odd", ["{} ", " {}", "{upper}", "{}\u00a0"])
def test_levels_that_look_alike_are_told_and_kept(kind, column, odd):
    levels = {"arm": ["drug x", "control"], "sex": ["male", "female"]}
    table = pd.DataFrame({name: values * 12 for name, values in levels.items()})
    table["y"] = np.arange(24.0)
    first = levels[column][0]
    table.loc[[0, 2], column] = odd.format(first, upper=first.upper())
    table = table.astype({"arm": kind, "sex": kind})
    design = {"arm": "arm", "endpoints": {"y": ts.Continuous("y")}, "covariates": ["sex"]}
    with pytest.warns(UserWarning, match=f"column '{column}'.*differ only in blanks or letter"):
        trial = ts.Trial(table, **design)
    assert trial.patients[column].nunique() == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ts.Trial(table[~table.index.isin([0, 2])], **design)


@pytest.mark.parametrize("dtype", ["int64", "float64", "Int64", "int64[pyarrow]"])
@pytest.mark.parametrize("gap", [False, True])
def test_dates_of_eight_digits_are_dates_and_other_numbers_are_refused(dtype, gap):
    days = pd.to_datetime(["2024-01-31", "1962-02-01", "2024-12-24"])
    numbers = [int(d) for d in days.strftime("%Y%m%d")]
    if gap and dtype == "int64":
        return
    values = pd.Series([*numbers, *([None] if gap else [])], name="born").astype(dtype)
    read = as_dates(values)
    assert read.dropna().tolist() == list(days) and read.isna().sum() == gap
    for wrong in ([45_321, 45_400, 45_401], [1, 2, 3], [20_240_131, 45_321, 45_400]):
        with pytest.raises(ValueError, match="column 'born' must hold dates, got numbers"):
            as_dates(pd.Series(wrong, name="born").astype(dtype))
    with pytest.raises(ValueError, match="column 'born' must hold dates such as"):
        as_dates(pd.Series([20_241_331, 20_240_131], name="born").astype(dtype))


@pytest.mark.parametrize(
    "form",
    ["numbers", "%Y-%m-%d", "%d/%m/%Y", "%Y%m%d", "objects", "timestamps", "days since 1899"],
)
def test_a_column_declared_a_date_is_one_or_is_refused(form):
    """Numbers had been nanoseconds since 1970, so that all synthetic dates were one."""
    n = 60
    days = pd.Series(pd.to_datetime("2024-01-01") + pd.to_timedelta(np.arange(n), unit="D"))
    written = {
        "numbers": days.dt.strftime("%Y%m%d").astype(int), "objects": days.dt.date,
        "timestamps": days, "days since 1899": 45_292 + np.arange(n),
    }  # fmt: skip
    column = written[form] if form in written else days.dt.strftime(form)
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"arm": ["a", "b"] * (n // 2), "day": column, "y": rng.normal(size=n)})
    design = {"arm": "arm", "endpoints": {"y": ts.Continuous("y")}, "covariates": ["day"]}
    if form == "days since 1899":
        with pytest.raises(ValueError, match="origin='1899-12-30'"):
            ts.Trial(table, **design, kinds={"day": "date"})
        return
    trial = ts.Trial(table, **design, kinds={"day": "date"})
    assert trial.patients["day"].tolist() == days.tolist()
    drawn = ts.fit(trial, "y", seed=0).sample_arm("a", 40, seed=0)["day"]
    assert drawn.nunique() > 5 and drawn.between("2023-12-01", "2024-03-31").all()


WORDS = {
    "arm": ["A", "B"] * 4, "site": [101, 102] * 4, "age": range(50, 58), "months": range(1, 9),
    "status": ["Dead", "alive", "DEAD", "alive"] * 2, "note": list("abcdefgh"),
    "response": ["yes", "no", None, "Yes", "yes", "no", "N/A", "Yes"],
}  # fmt: skip
DECLARED = {
    "arm": "arm", "covariates": ["age"], "site": "site",
    "endpoints": {
        "os": {"kind": "time_to_event", "duration": "months", "event": "status"},
        "response": {"kind": "binary", "column": "response"},
    },
}  # fmt: skip


def test_events_in_words_are_read_and_told_and_what_is_not_declared_too(tmp_path) -> None:
    path = tmp_path / "words.csv"
    pd.DataFrame(WORDS).to_csv(path, index=False)
    with pytest.warns(UserWarning) as told:
        trial = ts.read_trial(path, DECLARED)
    texts = sorted(str(w.message) for w in told)
    assert texts == [
        "column 'response': 'yes' and 'Yes' as 1, 'no' as 0, 'N/A' as missing",
        "column 'status': 'Dead' and 'DEAD' as 1, 'alive' as 0",
        "not declared, so not in the trial: note",
    ]
    assert trial.patients["status"].tolist() == [1, 0, 1, 0] * 2
    assert trial.patients["response"].fillna(-1).tolist() == [1, 0, -1, 1] * 2
    # 101 and 102 are names of sites: no synthetic patient is of site 101.5
    assert {c.name: c.kind for c in trial.schema().columns}["site"] == "categorical"


@pytest.mark.parametrize(
    "endpoint, told",
    [
        ({"kind": "longitudinal", "times": ["a", "b"]}, "has no field 'times'.*it takes columns"),
        ({"kind": "time_to_event", "duration": "months"}, "needs 'event'"),
        ({"kind": "binary", "colum": "x"}, "has no field 'colum'; did you mean 'column'"),
    ],
)
def test_a_field_that_an_endpoint_has_not_is_named(tmp_path, endpoint, told) -> None:
    path = tmp_path / "words.csv"
    pd.DataFrame(WORDS).to_csv(path, index=False)
    with pytest.raises(ValueError, match=told):
        ts.read_trial(path, {"arm": "arm", "endpoints": {"e": endpoint}})


def test_words_of_two_meanings_stay_refused(tmp_path) -> None:
    path = tmp_path / "words.csv"
    table = pd.DataFrame({**WORDS, "status": ["Dead", "alive", "unknown", "alive"] * 2})
    table.to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"unknown|Dead"):
        ts.read_trial(path, DECLARED)
