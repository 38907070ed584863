"""Relations that hold in every patient hold in every synthetic one, and rare patients stay."""

import os

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import trial_sim as ts
from trial_sim.auditing.compared.comparison import compare
from trial_sim.auditing.fidelity.measures import impossible
from trial_sim.covariates.conditions import predicates, sample_codes
from trial_sim.covariates.encoding import decode, encode
from trial_sim.covariates.relation_search import find_relations
from trial_sim.covariates.relations import Related
from trial_sim.covariates.selection import fit_generator
from trial_sim.data.constraints import constraint_columns, holds
from trial_sim.data.schema import describe_column

MANY = int(os.environ.get("TRIAL_SHAPES", "10"))


def history(n, rng, scale=1.0, names=("no", "yes")):
    """A flag of treatment before, its kind, a count of courses, a number and its stratum."""
    before = rng.random(n) < 0.6
    kind = np.where(before & (rng.random(n) < 0.04), "old drug", np.where(before, "other", "none"))
    cd4 = rng.gamma(4, 60, n).round() * scale
    return pd.DataFrame(
        {
            "cd4": cd4,
            "before": np.where(before, names[1], names[0]),
            "kind": kind,
            "low": (cd4 <= 50 * scale).astype(int),
            "group": pd.cut(cd4, [-1, 150 * scale, 300 * scale, np.inf], labels=["b", "c", "a"]),
            "courses": np.where(before, rng.poisson(3, n) + 1, 0),
            "age": rng.normal(50, 10, n).round(),
        }
    )


def fitted(table, model, constraints=()):
    columns = [describe_column(table[name], None) for name in table]
    codes = encode(table, columns)
    return fit_generator(codes, columns, model, 0, constraints)[0], codes, columns


def drawn(generator, columns, n, where=None, constraints=(), seed=1):
    rng = np.random.default_rng(seed)
    parameters = generator.draw(rng)
    codes = sample_codes(generator, n, rng, parameters, where, constraints)
    return decode(codes, columns)


@settings(max_examples=MANY, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    n=st.sampled_from([300, 600, 2000]),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
    names=st.sampled_from([("no", "yes"), ("z", "a"), ("0", "1")]),
    order=st.permutations(range(7)),
    model=st.sampled_from(["cart", "copula"]),
)
def test_what_never_occurs_never_occurs(seed, n, scale, names, order, model):
    real = history(n, np.random.default_rng(seed), scale, names)
    real = real[[list(real)[k] for k in order]]
    generator, _, columns = fitted(real, model)
    assert isinstance(generator, Related)
    made = drawn(generator, columns, 3000)
    assert list(made) == list(real) and made.dtypes.equals(real.dtypes)
    assert ((made["kind"] == "none") == (made["before"] == names[0])).all()
    assert ((made["courses"] > 0) == (made["before"] == names[1])).all()
    if real["low"].sum() >= 6:
        below = real.loc[real["low"] == 1, "cd4"].max(), real.loc[real["low"] == 0, "cd4"].min()
        assert (made.loc[made["low"] == 1, "cd4"] < below[1]).all()
        assert (made.loc[made["low"] == 0, "cd4"] > below[0]).all()
    edges = real.groupby("group", observed=True)["cd4"].agg(["min", "max"])
    for level, part in made.groupby("group", observed=True):
        others = edges.drop(level)
        for low, high in others.itertuples(index=False):
            assert not part["cd4"].between(low, high).any()
    # and rare patients are as many as they were, within four standard errors of both tables
    for name in ("kind", "before"):
        for level, share in real[name].value_counts(normalize=True).items():
            error = (share * (1 - share) * (2 / n + 1 / 3000)) ** 0.5
            assert abs((made[name] == level).mean() - share) < 4 * error + 1e-9


@pytest.mark.parametrize("model", ["cart", "copula"])
def test_independent_columns_have_no_relations(model):
    for seed in range(30):
        rng = np.random.default_rng(seed)
        n = int(rng.choice([60, 200, 1000]))
        table = pd.DataFrame(
            {
                "a": rng.choice(["x", "y", "z"], n, p=[0.9, 0.07, 0.03]),
                "b": rng.integers(0, 2, n),
                "rare": (rng.random(n) < 0.02).astype(int),
                "x": rng.normal(size=n),
                "k": rng.poisson(1, n),
            }
        )
        columns = [describe_column(table[name], None) for name in table]
        assert not find_relations(encode(table, columns), columns).found


@pytest.mark.parametrize("model", ["cart", "copula"])
@pytest.mark.parametrize(
    ("where", "test"),
    [
        ({"kind": "old drug"}, lambda t: (t["kind"] == "old drug") & (t["before"] == "yes")),
        ({"low": 1}, lambda t: t["cd4"] <= 60),
        ({"before": "no", "cd4": "> 100"}, lambda t: (t["courses"] == 0) & (t["cd4"] > 100)),
        ({"group": ["a", "c"], "age": "> 60"}, lambda t: (t["cd4"] > 140) & (t["age"] > 60)),
    ],
)
def test_conditions_reach_columns_that_others_determine(model, where, test):
    generator, _, columns = fitted(history(800, np.random.default_rng(2)), model)
    made = drawn(generator, columns, 200, where)
    assert len(made) == 200 and test(made).all()
    with pytest.raises(ValueError, match="is satisfied by 0"):
        drawn(generator, columns, 5, {"kind": "old drug", "before": "no"})
    assert predicates(columns, where)


@settings(max_examples=MANY, deadline=None)
@example(seed=1048576, kind="age", rule="{a} <= {b}", gaps="b", names=("a", "b"), model="cart")
@given(
    seed=st.integers(0, 2**20),
    kind=st.sampled_from(["age", "date", "Int64", "unrounded"]),
    rule=st.sampled_from(["{a} <= {b}", "{b} >= {a}", "{a} <= {b} and {b} > 0", "18 < {a} <= {b}"]),
    gaps=st.sampled_from(["none", "b", "a"]),
    names=st.sampled_from([("a", "b"), ("age at onset", "age (years)")]),
    model=st.sampled_from(["cart", "copula"]),
)
def test_an_order_keeps_its_differences(seed, kind, rule, gaps, names, model):
    rng = np.random.default_rng(seed)
    n = 400
    a = pd.Series(rng.normal(50, 8, n).clip(20).round(9 if kind == "unrounded" else 0))
    d = pd.Series(rng.integers(0, 5, n).astype(float))
    b = a + d
    if gaps != "none":
        b[::11] = np.nan
        if gaps == "a":
            a[::11] = np.nan
    if kind == "date":
        rule = rule.replace(" and {b} > 0", "").replace("18 < ", "")
        a, b = (pd.Timestamp("2020-01-01") + pd.to_timedelta(v * 10 - 400, "D") for v in (a, b))
    elif kind == "Int64":
        a, b = a.astype("Int64"), b.astype("Int64")
    real = pd.DataFrame({names[0]: a, names[1]: b, "z": rng.normal(size=n)})
    quoted = [f"`{v}`" if " " in v else v for v in names]
    rule = rule.format(a=quoted[0], b=quoted[1])
    assert constraint_columns(rule) == set(names)
    ts.Trial(real, covariates=list(real), constraints=[rule])
    generator, _, columns = fitted(real, model, [rule])
    made = drawn(generator, columns, 500, constraints=[rule])
    real_gap, gap = (t[names[1]] - t[names[0]] for t in (real, made))
    last_digits = pd.Timedelta(0) if kind == "date" else 1e-12
    assert gap.dropna().min() >= real_gap.min() - last_digits
    assert gap.dropna().max() <= real_gap.max() + last_digits
    share = [(g.dropna() == g.dropna().min()).mean() for g in (real_gap, gap)]
    assert kind == "unrounded" or abs(share[0] - share[1]) < 0.12
    assert (holds(made, rule) | made[list(names)].isna().any(axis=1)).all()
    assert made.dtypes.equals(real.dtypes)


def test_chains_of_an_order_and_circles():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 100, 300).astype(float)
    table = pd.DataFrame({"c": first + 5 + rng.integers(0, 3, 300), "a": first})
    table["b"] = table["a"] + rng.integers(0, 4, 300)
    generator, _, columns = fitted(table, "cart", ["a <= b < c", "a < c", "c >= b"])
    made = drawn(generator, columns, 500, constraints=["a <= b < c"])
    assert (made["b"] - made["a"]).max() <= 3 and (made["c"] - made["a"]).max() <= 11
    same = pd.DataFrame({"a": first, "b": first, "z": rng.normal(size=300)})
    generator, _, columns = fitted(same, "cart", ["a <= b", "b <= a"])
    assert (made := drawn(generator, columns, 100))["a"].equals(made["b"])


def test_a_quoted_name_that_is_missing_or_unquoted_is_named():
    table = pd.DataFrame({"age at entry": [20, 30]})
    assert holds(table, "`age at entry` > 25").tolist() == [False, True]
    with pytest.raises(ValueError, match="in backticks"):
        holds(table, "age at entry > 25")
    with pytest.raises(ValueError, match="speaks of 'age at end'"):
        holds(table, "`age at end` > 25")


@pytest.mark.parametrize("model", ["cart", "copula", "auto"])
def test_a_fitted_trial_tells_its_relations_and_survives_its_file(model, tmp_path):
    rng = np.random.default_rng(4)
    real = history(300, rng).assign(y=rng.normal(size=300), arm=np.resize(["P", "D"], 300))
    trial = ts.Trial(
        real,
        arm="arm",
        endpoints={"y": ts.Continuous("y")},
        covariates=["cd4", "before", "kind", "courses", "age"],
        strata=["low"],
    )
    fit = ts.fit(trial, "y", model="ancova", covariate_model=model, seed=0)
    assert any("'low' follows from 'cd4'" in note for note in fit.notes)
    again = ts.load_fitted(fit.save(tmp_path / "f.npz")).sample_trial(seed=3).patients
    pd.testing.assert_frame_equal(again, fit.sample_trial(seed=3).patients)
    assert ((again["kind"] == "none") == (again["before"] == "no")).all()


def test_the_audit_counts_impossible_patients():
    rng = np.random.default_rng(4)
    real = history(400, rng).assign(y=rng.normal(size=400), arm=np.resize(["P", "D"], 400))
    fields = {
        "arm": "arm",
        "endpoints": {"y": ts.Continuous("y")},
        "covariates": ["cd4", "before", "kind", "courses", "age", "low"],
    }
    trial = ts.Trial(real, **fields)
    made = real.copy()
    made["kind"] = rng.permutation(made["kind"].to_numpy())
    wrong = int(((made["kind"] == "none") != (made["before"] == "no")).sum())
    assert wrong > 100
    for table, count, verdict in ((made, wrong, "red"), (real, 0, "green")):
        (line,) = impossible(compare(trial, ts.Trial(table, **fields)))
        assert line.measure == "impossible patients" and line.verdict == verdict
        assert round(line.interval.estimate * 400) == count
