"""Synthetic values are not bent by the type of the column, nor by what is added to all of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trial_sim as ts
from trial_sim import data
from trial_sim.covariates.encoding import holding
from trial_sim.data.schema import decimals, grid_step

SMALL = ("int8", "uint8", "Int8", "UInt8", "int8[pyarrow]", "uint8[pyarrow]")


def _table(seed: int = 2, n: int = 240) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    arm = np.arange(n) % 2
    x = rng.normal(size=n)
    count = np.minimum(rng.poisson(rng.gamma(1, 40, n) * np.exp(0.3 * x)), 127)
    score = np.clip(np.round(60 + 30 * x + rng.normal(0, 10, n)), 0, 127)
    return pd.DataFrame({"arm": np.where(arm, "b", "a"), "x": x, "count": count, "score": score})


@pytest.mark.parametrize("dtype", SMALL)
@pytest.mark.parametrize(
    "endpoint", [data.Count("count"), data.Continuous("score")], ids=["count", "score"]
)
def test_a_narrow_type_gives_the_same_values_as_a_wide_one(dtype, endpoint):
    column = endpoint.column
    drawn = {}
    for name in (dtype, "int64"):
        table = _table()
        table[column] = table[column].astype(name)
        fitted = ts.fit(ts.Trial(table, "arm", {"y": endpoint}, ["x"]), "y", seed=0)
        drawn[name] = fitted.sample_arm("a", 4000, seed=1)[column]
    assert (drawn[dtype].astype("int64") == drawn["int64"]).all()
    assert drawn["int64"].max() > 127  # else nothing was tried
    if "pyarrow" in dtype or dtype[0] in "IU":
        assert pd.api.types.is_extension_array_dtype(drawn[dtype].dtype)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([*SMALL, "int16", "UInt16", "Int32", "uint32[pyarrow]", "int64"]),
    st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=5),
    st.booleans(),
)
def test_a_cast_to_the_held_type_changes_no_number(dtype, numbers, near):
    if near:
        numbers = [v % 300 - 140 for v in numbers]
    values = pd.Series(numbers, dtype=float)
    held = holding(dtype, values)
    assert values.astype(held).tolist() == numbers
    if pd.Series([0]).astype(dtype).dtype != held:
        with np.errstate(all="ignore"):
            info = np.iinfo(getattr(pd.api.types.pandas_dtype(dtype), "numpy_dtype", dtype))
        assert min(numbers) < info.min or max(numbers) > info.max


@pytest.mark.parametrize("dtype", ["int64", "uint64", "Int64", "UInt64", "int64[pyarrow]"])
def test_what_no_whole_type_holds_becomes_floats(dtype):
    for values in ([1e19, 3.0], [-3.0, 1e19], [2e19, 5.0]):
        made = pd.Series(values)
        assert made.astype(holding(dtype, made)).astype(float).tolist() == values


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6, 1e9, -1e11])
@pytest.mark.parametrize("digits", [0, 1, 2, 3])
def test_digits_are_told_whatever_is_added(offset, digits):
    rng = np.random.default_rng(0)
    values = offset + np.round(rng.normal(0, 5, 300), digits)
    assert decimals(values) == digits
    assert grid_step(values, 10.0**-digits) is None


@pytest.mark.parametrize("offset", [1e6, 1e9, -1e11])
def test_an_offset_is_an_offset(offset):
    drawn = []
    for extra in (0.0, offset):
        table = _table()
        table["y"] = extra + np.round(table.x * 2 + np.where(table.arm == "b", 1.5, 0), 2)
        table["z"] = extra + np.round(table.x, 2)
        trial = ts.Trial(table, "arm", {"y": data.Continuous("y")}, ["z"])
        fitted = ts.fit(trial, "y", seed=0)
        drawn.append(fitted.sample_arm("b", 500, seed=1)[["y", "z"]] - extra)
    assert np.allclose(drawn[0].std(), drawn[1].std(), rtol=0.02)
    assert np.allclose(drawn[0].mean(), drawn[1].mean(), atol=0.05)
