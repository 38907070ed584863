"""What goes in in a type, unit, order or grid comes out in it."""

import os

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trial_sim as ts
from trial_sim.covariates.encoding import decode, encode
from trial_sim.covariates.selection import GENERATORS
from trial_sim.data.schema import describe_column

MANY = int(os.environ.get("TRIAL_SHAPES", "40"))
N = 90


def gap(values, rng):
    return values.where(pd.Series(rng.random(len(values)) > 0.15))


def numbers(rng, dtype):
    step, start = rng.choice([0.05, 0.25, 0.5, 1, 5]), rng.choice([0, 0.5, 40, -20])
    values = pd.Series(start + step * rng.integers(0, 60, N))
    if str(dtype).lower().startswith(("int", "uint")):
        values = (values - values.min()).round()
        values = values.where(values <= 100, 0)
    return values.astype(dtype)


def levels(rng, dtype):
    names = [["F", "M"], ["x", "b", "None"], [2, 10, 1], ["é ü", "β"]][rng.integers(4)]
    values = pd.Series([names[k] for k in rng.integers(0, len(names), N)])
    if dtype == "ordered":
        return pd.Series(pd.Categorical(values, names, ordered=True))
    if dtype == "category":
        return pd.Series(pd.Categorical(values, names))
    return values.astype(str).astype(dtype)


def flags(rng, dtype):
    return pd.Series(rng.random(N) < 0.4).astype(dtype)


def dates(rng, dtype):
    days = pd.Timestamp("2019-03-01") + pd.to_timedelta(rng.integers(0, 500, N), "D")
    if dtype == "hours":
        return pd.Series(days + pd.to_timedelta(rng.integers(0, 24, N), "h"))
    if "/" in dtype or dtype == "UTC":
        return pd.Series(days).dt.tz_localize(dtype)
    return pd.Series(days).astype(dtype)


COLUMNS = {
    **dict.fromkeys(("int64", "int8", "uint8", "float64", "float32"), numbers),
    **dict.fromkeys(("Int64", "UInt8", "Float64", "Float32", "double[pyarrow]"), numbers),
    **dict.fromkeys(("object", "string", "category", "ordered"), levels),
    **dict.fromkeys(("bool", "boolean", "bool[pyarrow]"), flags),
    **dict.fromkeys(("datetime64[ns]", "datetime64[s]", "hours", "Europe/Berlin", "UTC"), dates),
}
NULLABLE = [d for d in COLUMNS if not d.startswith(("int", "uint", "bool")) or "pyarrow" in d]


def on_grid(made, real):
    """Whether all values lie on the coarsest grid of the real ones (enumerated)."""
    seen = np.sort(real.dropna().astype(float).unique())
    if len(seen) < 4:
        return True
    gaps = np.round(np.diff(seen) / 0.05).astype(int)
    step = 0.05 * np.gcd.reduce(gaps)
    steps = (made.dropna().astype(float) - seen[0]) / step
    return np.allclose(steps, steps.round(), atol=1e-4)


@settings(max_examples=MANY, deadline=None)
@given(
    kind=st.sampled_from(sorted(COLUMNS)),
    seed=st.integers(0, 2**20),
    gaps=st.booleans(),
    generator=st.sampled_from(["cart", "copula"]),
)
def test_columns_come_back_as_they_are_and_synthetic_ones_are_like_them(
    kind, seed, gaps, generator
):
    rng = np.random.default_rng(seed)
    real = COLUMNS[kind](rng, kind).rename("x")
    if gaps and kind in NULLABLE:
        real = gap(real, rng)
    other = pd.Series(rng.normal(size=N), name="other")
    columns = [describe_column(real, None), describe_column(other, None)]
    codes = encode(pd.DataFrame({"x": real, "other": other}), columns)
    pd.testing.assert_series_equal(decode(codes, columns)["x"], real, check_exact=False, rtol=1e-7)
    model = GENERATORS[generator].fit(codes, columns, 0)
    made = decode(model.sample(200, rng, model.draw(rng))[0], columns)["x"]
    assert made.dtype == real.dtype
    assert bool(made.isna().any()) <= bool(real.isna().any())
    if COLUMNS[kind] is numbers:
        assert on_grid(made, real)
        tail = 0.1 * float(real.max() - real.min())  # ends are smooth: no patient's own value
        assert made.dropna().between(real.min() - tail, real.max() + tail).all()
    elif COLUMNS[kind] is not dates:
        assert set(made.dropna()) <= set(real.dropna())
    elif kind != "hours":
        assert (made.dropna().dt.normalize() == made.dropna()).all()


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "pid": np.arange(N) + 1,
            "arm": np.resize(["P", "D"], N),
            "age": rng.integers(40, 80, N),
            "cd4": rng.integers(100, 800, N) / 2,
            "time": rng.exponential(10, N).round(1) + 0.1,
            "event": rng.integers(0, 2, N),
            "y": rng.normal(50, 10, N),
            "grade": rng.choice(["none", "mild", "severe"], N),
            "count": rng.poisson(2, N),
            "yes": rng.integers(0, 2, N),
        }
    )


GRADES = pd.CategoricalDtype(["none", "mild", "severe"], ordered=True)
OUTCOMES = {
    "time": (ts.TimeToEvent("time", "event"), "weibull", ["event", "time"]),
    "count": (ts.Count("count"), "poisson", ["count"]),
    "yes": (ts.Binary("yes"), "rates", ["yes"]),
    "y": (ts.Continuous("y"), "ancova", ["y"]),
    "grade": (ts.Ordinal("grade"), "proportional_odds", ["grade"]),
}


@pytest.mark.parametrize(
    ("endpoint", "types"),
    [
        ("time", {"event": "Int64", "time": "Float64", "age": "Int64", "pid": "Int64"}),
        ("time", {"event": "boolean", "time": "float32", "arm": "string", "age": "Float64"}),
        ("time", {"event": bool, "arm": pd.CategoricalDtype(["P", "D"]), "pid": "string"}),
        ("time", {"event": "category", "time": "int16", "cd4": "Float32"}),
        ("count", {"count": "Int64", "pid": "Float64"}),
        ("count", {"count": "UInt8", "arm": "category"}),
        ("yes", {"yes": "boolean"}),
        ("yes", {"yes": "Int8", "pid": "category"}),
        ("y", {"y": "Float64"}),
        ("y", {"y": "double[pyarrow]", "cd4": "double[pyarrow]"}),
        ("grade", {"grade": GRADES}),
    ],
)
@pytest.mark.parametrize("gaps", [False, True])
def test_a_synthetic_table_has_the_types_of_the_real_one(table, endpoint, types, gaps, tmp_path):
    record, model, outcomes = OUTCOMES[endpoint]
    real = table.astype(types)
    if gaps:
        if endpoint == "time" or isinstance(types[outcomes[0]], type):
            return
        real[outcomes[0]] = real[outcomes[0]].mask(np.arange(N) % 9 == 0)
    trial = ts.Trial(
        real, arm="arm", id="pid", endpoints={endpoint: record}, covariates=["age", "cd4"]
    )
    fitted = ts.fit(trial, endpoint, model=model, covariate_model="cart", seed=0)
    made = fitted.sample_trial(seed=1).patients
    expected = real[list(made)].dtypes
    if types.get("pid") == "category":  # its categories are the patients
        made, expected = made.drop(columns="pid"), expected.drop("pid")
    assert made.dtypes.to_dict() == expected.to_dict()
    # the arithmetic is that of the same numbers in plain types
    plain = table.assign(**{c: real[c].astype(float) for c in outcomes if endpoint != "grade"})
    plain["grade"] = plain["grade"].astype(GRADES)
    same = ts.Trial(
        plain,
        arm="arm",
        arms=["P", "D"] if trial.arms == ("P", "D") else ["D", "P"],
        id="pid",
        endpoints={endpoint: record},
        covariates=["age", "cd4"],
    )
    if not gaps or endpoint != "grade":
        other = ts.fit(same, endpoint, model=model, covariate_model="cart", seed=0)
        drawn = other.sample_trial(seed=1).patients
        for name in (*outcomes, "age", "cd4"):
            if name != "grade" and made[name].dtype != "category":
                left = made[name].to_numpy(dtype=float, na_value=np.nan)
                np.testing.assert_allclose(left, drawn[name].to_numpy(dtype=float), rtol=1e-5)
    path = fitted.save(tmp_path / "f.npz")
    again = ts.load_fitted(path).sample_trial(seed=1).patients
    assert again.dtypes.to_dict() == fitted.sample_trial(seed=1).patients.dtypes.to_dict()


@pytest.mark.parametrize("column", ["age", "cd4", "time", "y"])
@pytest.mark.parametrize("value", [np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [float, "Float64", object])
def test_infinite_values_are_refused(table, column, value, dtype):
    real = table.astype({column: float})
    real.loc[4, column] = value
    real[column] = real[column].astype(dtype)
    endpoints = {"t": ts.TimeToEvent("time", "event"), "y": ts.Continuous("y")}
    with pytest.raises(ValueError, match=rf"column '{column}' must be finite; row 4 holds -?inf"):
        ts.Trial(real, arm="arm", endpoints=endpoints, covariates=["age", "cd4"])


def test_spans_of_time_are_no_numbers(table):
    for values in (
        pd.to_timedelta(table["time"], "D"),
        pd.Timestamp(0) + pd.to_timedelta(table["time"], "D"),
    ):
        with pytest.raises(ValueError, match=r"'time' must hold numbers; its type is (time|date)"):
            ts.Trial(table.assign(time=values), endpoints={"t": ts.TimeToEvent("time", "event")})


@pytest.mark.parametrize("factor", [1e-6, 1e6])
@pytest.mark.parametrize("generator", ["cart", "copula"])
@pytest.mark.parametrize("column", ["cd4", "y", "age"])
def test_covariates_do_not_depend_on_their_unit(table, factor, generator, column):
    made = []
    for scale in (1.0, factor):
        real = table.assign(**{column: table[column] * scale})[["age", "cd4", "y", "grade"]]
        columns = [describe_column(real[name], None) for name in real]
        codes = encode(real, columns)
        model = GENERATORS[generator].fit(codes, columns, 0)
        rng = np.random.default_rng(0)
        made.append(decode(model.sample(500, rng, model.draw(None))[0], columns))
    made[1][column] /= factor
    numeric = ["age", "cd4", "y"]
    np.testing.assert_allclose(made[0][numeric], made[1][numeric], rtol=1e-6)
    assert made[0]["grade"].equals(made[1]["grade"])


IDENTIFIERS = {
    "ids": lambda n: [f"01-{k:04d}" for k in range(n)],
    "initials": lambda n: [chr(65 + k % 26) + chr(65 + k // 26) for k in range(n)],
    "some twice": lambda n: [f"visit of {k // 2 if k < 20 else k}" for k in range(n)],
    "ISO dates": lambda n: (
        (pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(n) // 3, "D"))
        .strftime("%Y-%m-%d")
        .tolist()
    ),
    "SAS dates": lambda n: (
        (pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(n), "D"))
        .strftime("%d%b%Y")
        .tolist()
    ),
    "American dates": lambda n: (
        (pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(n), "D"))
        .strftime("%m/%d/%Y")
        .tolist()
    ),
    "stamps": lambda n: (
        (pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(n), "h"))
        .strftime("%Y-%m-%d %H:%M")
        .tolist()
    ),
    "numbers": lambda n: [f"{k % 40}.5" for k in range(n)],
    "date objects": lambda n: [d.date() for d in pd.date_range("2020-01-01", periods=n)],
}


@pytest.mark.parametrize("what", IDENTIFIERS)
@pytest.mark.parametrize("dtype", [object, "string", "category"])
@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("role", ["covariates", "strata", "site"])
def test_identifiers_and_text_dates_are_no_categories(table, what, dtype, gaps, role):
    values = pd.Series(IDENTIFIERS[what](N), dtype=object)
    if gaps:
        values[::7] = None
    if what == "date objects" and dtype is not object:
        return
    real = table.assign(x=values.astype(dtype))
    fields = {"arm": "arm", "endpoints": {"t": ts.TimeToEvent("time", "event")}}
    fields[role] = "x" if role == "site" else ["x"]
    with pytest.raises(ValueError, match="column 'x'"):
        ts.Trial(real, **fields)
    told = ts.Trial(real, **fields, kinds={"x": "categorical"})
    assert len(told.schema()["x"].levels) == values.nunique()


@pytest.mark.parametrize("dtype", [object, "string", "category"])
def test_many_centres_are_categories(table, dtype):
    rng = np.random.default_rng(0)
    real = pd.concat([table] * 6, ignore_index=True)
    real["centre"] = pd.Series([f"C{k}" for k in rng.integers(0, 130, len(real))]).astype(dtype)
    real["site"] = pd.Series([f"7{k:02d}" for k in rng.integers(0, 17, len(real))]).astype(dtype)
    endpoints = {"t": ts.TimeToEvent("time", "event")}
    trial = ts.Trial(real, arm="arm", endpoints=endpoints, covariates=["centre", "site"])
    part = trial.subset(np.arange(140))  # in a part most centres have a patient or two
    assert part.schema()["centre"].kind == "categorical"


def test_an_identifier_is_no_arm(table):
    real = table.assign(arm=[f"P{k}" for k in range(N)])
    with pytest.raises(ValueError, match=r"'arm' \(the arm\) holds 90 arms of 90 patients"):
        ts.Trial(real, arm="arm", endpoints={"t": ts.TimeToEvent("time", "event")})


@pytest.mark.parametrize("low, step", [(20.0, 0.5), (3.0, 5.0), (0.1, 0.3), (-40.0, 0.25)])
@pytest.mark.parametrize("endpoint", ["y", "v", "b"])
def test_outcomes_stay_on_their_grid(low, step, endpoint):
    """CD4 in halves, scores by fives: single outcomes, visits, and columns under epsilon."""
    g = np.random.default_rng(5)
    n = 200
    shared = g.normal(40, 8, n)
    table = pd.DataFrame({"arm": np.where(g.permutation(n) % 2, "new", "old")})
    for name in ("x", "y", "v1", "v2"):
        table[name] = low + step * np.clip(np.round(shared + g.normal(0, 4, n)), 0, 90)
    table["b"] = (table["y"] > table["y"].median()).astype(int)
    record = {"y": ts.Continuous("y"), "v": ts.Longitudinal(["v1", "v2"]), "b": ts.Binary("b")}
    trial = ts.Trial(table, "arm", {endpoint: record[endpoint]}, ["x"])
    fitted = ts.fit(trial, endpoint, epsilon=5.0 if endpoint == "b" else None)
    made = fitted.sample_trial({"old": 300, "new": 300}, seed=1).patients
    for name in {"x", *record[endpoint].columns} - {"b"}:
        steps = (made[name].dropna() - low) / step
        assert np.abs(steps - steps.round()).max() < 1e-6 and steps.nunique() > 5, name
        assert abs(made[name].mean() - table[name].mean()) < 4 * table[name].std() / n**0.5
