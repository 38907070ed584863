"""Fits give back trials of every shape (see `trial_shapes`), and no unit changes what they give.

Thousands of shapes: ``python -m benchmarks trial_shapes --n 2000``.
"""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import trial_sim as ts
from tests.trial_sim.trial_shapes import MODELS, Shape, faults, fitted_of, shape_of, trial_of

SHAPES = 24


@pytest.mark.parametrize("first", range(0, SHAPES, 8))
def test_fits_give_back_events_follow_up_associations_and_effects(first):
    found = {number: faults(shape_of(number)) for number in range(first, first + 8)}
    assert not {f"shape {k}": lines for k, lines in found.items() if lines}


@pytest.mark.parametrize("number", [1231, 3278, 20106, 20278, 21321, 60020, 60112, 62266])
def test_shapes_that_were_not_given_back(number):
    """Deaths' slopes; gaps by arm and visit; slopes under a frailty; times of Fine-Gray's last
    interval, twice; margins off by chance; the end of a curve; a site."""
    assert faults(shape_of(number)) == []


def test_shapes_hold_every_kind_and_pattern():
    shapes = [shape_of(k) for k in range(200)]
    assert {s.kind for s in shapes} == set(MODELS)
    assert len({s.follow_up for s in shapes}) == 6 and any(s.late for s in shapes)


def test_the_check_finds_a_fault():
    shape = shape_of(0)
    shape = dataclasses.replace(
        shape, kind="time_to_event", model="cox_by_arm", follow_up="fixed", n=300, late=False
    )
    assert faults(shape) == []
    trial = trial_of(shape)
    halved = trial.patients.assign(d=0)
    halved.loc[trial.patients.index[::2], "d"] = trial.patients["d"][::2]
    with pytest.MonkeyPatch.context() as patch:
        module = "tests.trial_sim.trial_shapes"
        patch.setattr(f"{module}.fitted_of", lambda s, t: fitted_of(s, t.with_patients(halved)))
        assert any("events" in line for line in faults(shape))


def rescaled(trial: ts.Trial, columns, factor) -> ts.Trial:
    table = trial.patients.copy()
    for name in columns:
        table[name] = table[name] * factor
    return trial.with_patients(table)


CASES = [(kind, model) for kind, models in MODELS.items() for model in models]


@pytest.mark.parametrize("kind, model", CASES)
@pytest.mark.parametrize("what", ["outcome", "baseline"])
def test_rescaling_a_column_rescales_the_output_and_nothing_else(kind, model, what):
    shape = Shape(
        5, kind, model, 150, "fixed and drop-out", kind == "recurrent", True, 1.0, 1.0,
        1 / 400, 4, 0.1, -0.3, 0.8,
    )  # fmt: skip
    trial = trial_of(shape)
    trial = dataclasses.replace(trial, kinds={"x": "numeric"})
    outcome = [c for e in trial.endpoints.values() for c in e.columns]
    scaled = {
        "time_to_event": ["t"], "competing_risks": ["t"], "illness_death": ["pt", "dt"],
        "recurrent": ["start", "stop"], "binary": [], "ordinal": [], "count": ["time"],
    }.get(kind, outcome) if what == "outcome" else ["x"]  # fmt: skip
    if not scaled:
        pytest.skip("the outcome has no unit")
    one = fitted_of(shape, trial).sample_trial(seed=3).patients
    for factor in (1e-6, 1e6):
        other = fitted_of(shape, rescaled(trial, scaled, factor)).sample_trial(seed=3).patients
        assert list(one) == list(other) and len(one) == len(other)
        for name in one:
            if not pd.api.types.is_numeric_dtype(one[name]):
                assert one[name].equals(other[name])
                continue
            wanted = one[name].to_numpy(dtype=float) * (factor if name in scaled else 1)
            np.testing.assert_allclose(
                other[name].to_numpy(dtype=float), wanted, rtol=1e-9, atol=1e-12 * factor,
                err_msg=f"{name} at {factor:g}",
            )  # fmt: skip


@pytest.mark.parametrize("options", [
    {"covariate_model": "cart"}, {"covariate_model": "copula"}, {"epsilon": 5.0, "noise_seed": 1},
    {"covariate_model": "copula", "model": "lognormal"},
    {"covariate_model": "copula", "model": "mixture_cure"},
])  # fmt: skip
def test_rescaled_columns_of_every_generator_give_rescaled_columns(options):
    shape = Shape(
        6, "time_to_event", "cox", 120, "fixed and drop-out", False, False, 1.0, 1.0,
        1 / 400, 4, 0.1, -0.3, 0.8,
    )  # fmt: skip
    trial = trial_of(shape)
    table = trial.patients.assign(w=np.round(trial.patients["x"] * 0.5 + np.arange(120) % 7, 1))
    trial = dataclasses.replace(
        trial, patients=table, covariates=["x", "w"], kinds={"x": "numeric", "w": "numeric"}
    )
    one = ts.fit(trial, "e", seed=0, **options).sample_trial(seed=3).patients
    columns = ["x", "w", "t"]
    for factor in (1e6, 1e-6):
        scaled = ts.fit(rescaled(trial, columns, factor), "e", seed=0, **options)
        other = scaled.sample_trial(seed=3).patients
        for name in one.select_dtypes("number"):
            wanted = one[name].to_numpy(dtype=float) * (factor if name in columns else 1)
            np.testing.assert_allclose(
                other[name].to_numpy(dtype=float), wanted, rtol=1e-9, atol=1e-12 * factor,
                err_msg=f"{name} at {factor:g}",
            )  # fmt: skip
