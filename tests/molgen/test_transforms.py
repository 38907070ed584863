"""Transforms and aggregations against values computed by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molgen.scoring.desirability import TRANSFORMS, aggregate, aggregation_name, make_transform


def value(description, x):
    return float(make_transform(description)(np.array([x]))[0])


@pytest.mark.parametrize(
    ("description", "x", "expected"),
    [
        # REINVENT: L(10 k (x - mid)/(high - low)), L(h) = 1/(1 + 10^-h); by hand
        ({"type": "sigmoid", "low": 0, "high": 10, "k": 0.5}, 5, 0.5),
        ({"type": "sigmoid", "low": 0, "high": 10, "k": 0.5}, 7, 1 / (1 + 10**-1.0)),
        ({"type": "sigmoid", "low": 0, "high": 10, "k": 0.25}, 10, 1 / (1 + 10**-1.25)),
        ({"type": "reverse_sigmoid", "low": 0, "high": 10, "k": 0.5}, 7, 1 - 1 / (1 + 10**-1.0)),
        ({"type": "double_sigmoid", "low": 100, "high": 500}, 100, 0.5),
        ({"type": "double_sigmoid", "low": 100, "high": 500}, 101, 1 / (1 + 10**-1.5)),
        ({"type": "double_sigmoid", "low": 100, "high": 500}, 501, 1 - 1 / (1 + 10**-1.5)),
        (
            {
                "type": "double_sigmoid",
                "low": 100,
                "high": 500,
                "coef_div": 500,
                "coef_si": 20,
                "coef_se": 20,
            },
            150,
            1 / (1 + 10**-2.0),
        ),
        ({"type": "left_step", "low": 3}, 3, 1.0),
        ({"type": "left_step", "low": 3}, 3.01, 0.0),
        ({"type": "right_step", "high": 3}, 3, 1.0),
        ({"type": "right_step", "high": 3}, 2.99, 0.0),
        ({"type": "step", "low": 1, "high": 3}, 3, 1.0),
        ({"type": "step", "low": 1, "high": 3}, 0.99, 0.0),
        ({"type": "exponential_decay", "k": 0.3}, 2, math.exp(-0.6)),
        ({"type": "exponential_decay", "k": 0.3}, -2, 1.0),
        ({"type": "value_mapping", "mapping": {"0": 0.2, "1": 0.7}}, 1, 0.7),
        ({"type": "value_mapping", "mapping": {"0": 0.2}}, 5, 0.0),
        ({"type": "range", "low": 2, "high": 6}, 3, 0.25),
        ({"type": "range", "low": 6, "high": 2}, 3, 0.75),
        ({"type": "plateau", "sigma": 0.5, "low": 1, "high": 3}, 2, 1.0),
        ({"type": "plateau", "sigma": 0.5, "low": 1, "high": 3}, 4, math.exp(-2.0)),
        ({"type": "plateau", "sigma": 0.5, "low": 1, "high": 3}, 0.5, math.exp(-0.5)),
        ({"type": "plateau", "sigma": 2, "high": 3}, -1e9, 1.0),
        ({"type": "gaussian", "mean": 1, "sigma": 2}, 5, math.exp(-2.0)),
        ({"type": "identity"}, 1.7, 1.0),
        ({"type": "one_minus"}, 0.3, 0.7),
    ],
)
def test_value_by_hand(description, x, expected):
    assert value(description, x) == pytest.approx(expected, abs=1e-12)


@given(st.floats(-1e12, 1e12), st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_every_shape_stays_in_the_unit_interval(x, low, width):
    high = low + width
    for description in (
        {"type": "sigmoid", "low": low, "high": high},
        {"type": "reverse_sigmoid", "low": low, "high": high},
        {"type": "double_sigmoid", "low": low, "high": high},
        {"type": "plateau", "low": low, "high": high, "sigma": width},
        {"type": "range", "low": low, "high": high},
    ):
        assert 0.0 <= value(description, x) <= 1.0


def test_nan_stays_nan_and_callables_are_transforms():
    assert math.isnan(value({"type": "step", "low": 0, "high": 1}, math.nan))
    assert value(lambda v: v / 10, 4) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({"type": "sigmiod", "low": 0, "high": 1}, "Did you mean 'sigmoid'"),
        ({"low": 0}, "needs 'type'"),
        ({"type": "sigmoid", "low": 0}, "missing: high"),
        ({"type": "sigmoid", "low": 0, "high": 1, "kk": 2}, "unknown: kk"),
        ({"type": "sigmoid", "low": 9, "high": 1}, "does not lie below"),
        ({"type": "gaussian", "mean": 0, "sigma": 0}, "sigma is above 0"),
        ({"type": "plateau", "sigma": 1}, "needs low, high or both"),
        ({"type": "value_mapping", "mapping": 3}, "one parameter"),
    ],
)
def test_bad_transforms_say_what_is_wrong(description, message):
    with pytest.raises(ValueError, match=message):
        make_transform(description)


def test_a_transform_must_be_a_mapping_or_callable():
    with pytest.raises(TypeError, match="mapping"):
        make_transform(3)  # type: ignore[arg-type]


def test_aggregations_by_hand():
    table = np.array([[0.25, 1.0], [0.0, 1.0], [0.5, 0.5]])
    assert aggregate(table, [1, 1], "geometric") == pytest.approx([0.5, 0.0, 0.5])
    assert aggregate(table, [1, 3], "geometric")[0] == pytest.approx(0.25**0.25)
    assert aggregate(table, [1, 3], "arithmetic") == pytest.approx([0.8125, 0.75, 0.5])
    assert aggregate(table, [1, 1], "minimum") == pytest.approx([0.25, 0.0, 0.5])
    assert aggregate(table, [1, 1], "product") == pytest.approx([0.25, 0.0, 0.25])
    assert aggregate(table, [2, 1], "product")[0] == pytest.approx(0.0625)


def test_missing_components_are_left_out_as_in_reinvent():
    table = np.array([[np.nan, 0.4], [np.nan, np.nan]])
    for how in ("geometric", "arithmetic", "minimum", "product"):
        result = aggregate(table, [5, 1], how)
        assert result[0] == pytest.approx(0.4)
        assert math.isnan(result[1])


def test_reinvent_aggregation_names():
    assert aggregation_name("geometric_mean") == aggregation_name("custom_product") == "geometric"
    assert aggregation_name("custom_sum") == "arithmetic"
    with pytest.raises(ValueError, match="Did you mean 'geometric'"):
        aggregation_name("geometrc")


def test_transforms_go_to_plain_values_and_back():
    for name in TRANSFORMS:
        if name in ("custom", "value_mapping"):
            continue
        numbers = {"low": 1.0, "high": 2.0, "sigma": 0.5, "mean": 0.0, "k": 0.2}
        from molgen.scoring.desirability import _SHAPES

        required = {key: numbers[key] for key in _SHAPES[name][1]}
        if name == "plateau":
            required["low"] = 1.0
        plain = make_transform({"type": name, **required}).to_dict()
        assert make_transform(plain).to_dict() == plain
    with pytest.raises(ValueError, match="cannot be written"):
        make_transform(lambda v: v).to_dict()
