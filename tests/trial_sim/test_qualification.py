"""`trial-sim qualify`: every value passes, its page is whole, a changed bit is caught."""

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import molgen
import trial_sim as ts
from trial_sim.adaptive import reestimation
from trial_sim.numerics import random_streams
from trial_sim.qualification import adaptive, designs, real_data, reference, running, simulated
from trial_sim.qualification.kit import Case, Estimate, compare, run
from trial_sim.sequential import multiplicity

HOME = Path(ts.__file__).parent


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kit")
    return folder, ts.qualify(folder, pdf=False)


def test_every_value_is_within_its_tolerance(kit):
    _, made = kit
    assert made.passed and made.failures == (), str(made)
    assert made.n_values >= 600 and len(made.sources) >= 12
    functions = [row for row in made.matrix if row["kind"] == "function"]
    assert sum(row["values"] > 0 for row in functions) >= 0.9 * len(functions)


def test_every_reference_value_is_in_the_kit(kit):
    _, made = kit
    names = {result.case.name for result in made.results}
    assert len(reference.VALUES) == 95
    assert set(reference.VALUES) <= names and set(reference.ADAPTIVE) <= names
    assert len(names) == len(made.results)
    assert {result.case.requirement for result in made.results} == {
        requirement.key for requirement in made.requirements
    }


def test_every_printed_quantity_of_a_simulation_is_compared(kit):
    _, made = kit
    results = {result.case.name: result for result in made.results}
    for name in simulated.REFERENCE_TRIALS:
        entry = reference.VALUES[name]
        expected = entry["expected"]
        numbers = (
            np.concatenate([np.ravel(value) for value in expected.values()])
            if isinstance(expected, dict)
            else np.ravel(expected)
        )
        values = results[name].values
        assert sorted(v.expected for v in values) == sorted(numbers.tolist()), name
        stated = entry["tolerance"]
        stated = stated["power"] if isinstance(stated, dict) else stated
        for value in values:
            if value.quantity == "power":
                assert abs(value.found - value.expected) <= stated


def test_the_page_holds_every_value_and_prints_whole(kit):
    folder, made = kit
    page = (folder / "qualification.html").read_text("utf-8")
    told = json.loads((folder / "qualification.json").read_text("utf-8"))
    assert told["passed"] is True and len(page.encode()) < 2_000_000
    assert sum(len(r["values"]) for r in told["results"]) == len(made.table)
    for result in told["results"]:
        assert result["case"] in page and result["source"] and result["calls"], result["case"]
    for word in ("Traceability", "Known limits", "Approved by", "@page", "processor", "commit"):
        assert word in page
    assert not re.findall(r"""(?:src|href)=["']https?:""", page)


def one_bit(values, at, bit=44):
    """A copy of a table in which one bit of one number is another."""
    made = values.copy()
    made.view(np.int64)[at] ^= 1 << bit
    return made


@pytest.mark.parametrize(
    ("module", "case"),
    [(multiplicity, "dunnett_crit"), (reestimation, "promising_zone_d1.6")],
)
def test_one_bit_of_a_table_of_weights_is_caught(monkeypatch, module, case):
    assert ts.qualify(only=case).passed
    weights = module._WEIGHTS
    monkeypatch.setattr(module, "_WEIGHTS", one_bit(weights, len(weights) // 2))
    assert not ts.qualify(only=case).passed


def test_one_bit_of_the_generator_is_caught(monkeypatch):
    compiled = adaptive.philox4x32
    monkeypatch.setattr(adaptive, "_words", lambda *words: compiled.py_func(*words))
    assert ts.qualify(only="random123_kat").passed
    monkeypatch.setattr(random_streams, "_M0", random_streams._M0 ^ np.uint64(1))
    assert not ts.qualify(only="random123_kat").passed


def test_one_event_of_a_built_in_trial_is_caught(monkeypatch):
    trial = ts.load_trial("gehan")
    patients = trial.patients.copy()
    patients.loc[0, "event"] = 1 - patients.loc[0, "event"]
    real_data.table.cache_clear()
    monkeypatch.setattr(real_data, "load_trial", lambda name: SimpleNamespace(patients=patients))
    try:
        assert not ts.qualify(only="cox_gehan").passed
    finally:
        real_data.table.cache_clear()


def test_one_bit_of_the_random_streams_is_caught(monkeypatch):
    streams = running.Streams

    class Flipped(streams):
        def uniform(self, *arguments):
            made = super().uniform(*arguments)
            bits = made.view(np.int64)
            bits[3, 7] ^= 1
            return made

    monkeypatch.setattr(running, "Streams", Flipped)
    made = ts.qualify(only="random streams")
    assert [v.quantity for v in made.failures[0].values if not v.passed] == ["uniforms of trials"]


def test_shapes_errors_and_texts_that_disagree_are_failures():
    def passes(found, expected, tolerance=0.1):
        return all(v.passed for v in compare(found, expected, tolerance))

    assert passes({"a": [1.0, None], "b": "x"}, {"a": [1.05, None], "b": "x"})
    assert passes(np.array([1.0, np.inf]), [1.0, np.inf])
    assert passes(Estimate(0.5, 0.1), 0.85)
    assert not passes(Estimate(0.5, 0.1), 1.05)
    for found, expected in (
        ([1.0], [1.0, 2.0]), ([1.0, 2.0], [1.0]), ({"a": 1.0}, {"b": 1.0}), (float("nan"), 1.0),
        (1.0, "1.0"), ("x", "y"), (None, 1.0), (1.0, None), (1.2, 1.0), ({}, {"a": None}),
        (Estimate(1.0, 0.1), [1.0, 0.1]), (1.0, [1.0]), ([1.0], 1.0), ([[1.0]], [1.0]),
    ):  # fmt: skip
        assert not passes(found, expected), (found, expected)
    case = Case("broken", "bounds", lambda: 1 / 0, 1.0, "nobody")
    result = run(case, "trial_sim", "trial_sim.qualification")
    assert not result.passed and result.error == "ZeroDivisionError: division by zero"
    failed = replace(ts.qualify(only="ld_of_k2"), results=(result,))
    assert "ZeroDivisionError" in failed.to_html() and "FAILED" in failed.to_html()
    assert not failed.passed and "broken" in str(failed)


def test_an_unknown_part_is_named():
    with pytest.raises(ValueError, match=r"no requirement or case 'bound'.*'bounds'"):
        ts.qualify(only="bound")


@pytest.mark.parametrize(
    "name",
    [
        "base/environment.py",
        "base/doctor.py",
        "templates/qualification.html",
        "qualification/kit.py",
    ],
)
def test_both_packages_hold_the_same_text(name):
    theirs = {
        "templates/qualification.html": "report/templates/qualification.html",
        "qualification/kit.py": "provenance/kit.py",
    }.get(name, name)
    other = Path(molgen.__file__).parent / theirs
    ours = (HOME / name).read_text("utf-8").replace("trial_sim.qualification", "molgen.provenance")
    assert other.read_text("utf-8") == ours.replace("trial_sim", "molgen")


def test_fleming_harrington_differs_only_by_integration():
    """The library against the same integrals to 1e-10, and the reference's distance to both."""
    library = designs.delayed(
        "weighted_logrank", ["n", "event", "ahr"], weight=("fleming_harrington", 0, 0.5)
    )
    exact_integrals = designs.fleming_harrington_in_r(tight=True)
    expected = reference.VALUES["gsd2_fixed_fh_0_05"]["expected"]
    for name, value in library.items():
        assert value == pytest.approx(exact_integrals[name], rel=1e-7)
        assert value == pytest.approx(expected[name], rel=1.1e-4)
