"""Interim power and inference after the trial: closed forms, coverage by simulation, messages."""

import numpy as np
import pytest
from scipy.stats import norm

from trial_sim.sequential.design import group_sequential
from trial_sim.sequential.inference import adjusted_estimates, stagewise_p_value

DESIGN = group_sequential((0.4, 0.7, 1), efficacy="lan_demets_obrien_fleming")
WITH_FUTILITY = group_sequential(
    (0.4, 0.7, 1), efficacy="lan_demets_pocock", futility=("kim_demets", 2), binding=True
)


def simulate(design, drift, n, seed):
    """Looks and Z at the stop of n trials."""
    rng = np.random.Generator(np.random.Philox(seed))
    t = design.information_fractions
    steps = np.diff(t, prepend=0)
    noise = rng.normal(size=(n, len(t))) * np.sqrt(steps)
    z = np.cumsum(noise + drift * steps, axis=1) / np.sqrt(t)
    stopped = z > design.efficacy_bounds
    if design.binding:
        stopped |= z < design.futility_bounds
    stopped[:, -1] = True
    look = stopped.argmax(axis=1)
    return look + 1, z[np.arange(n), look]


@pytest.mark.parametrize(("look", "z"), [(1, 1.2), (2, 0.4), (2, 2.1)])
def test_conditional_power_at_the_last_interim_is_the_b_value_formula(look, z):
    design = group_sequential((0.4, 1)) if look == 1 else DESIGN
    t = design.information_fractions[look - 1]
    for theta, drift in (
        ("trend", z / np.sqrt(t)),
        ("null", 0),
        ("design", design.drift),
        (1.5, 1.5),
    ):
        mean = z * np.sqrt(t) + drift * (1 - t)
        expected = norm.sf((design.efficacy_bounds[-1] - mean) / np.sqrt(1 - t))
        found = design.conditional_power(look, z, theta=theta)
        assert found == pytest.approx(expected, abs=1e-12)


def test_conditional_power_with_looks_between_against_simulation():
    rng = np.random.Generator(np.random.Philox(3))
    t, start, drift = WITH_FUTILITY.information_fractions, 0.9 * np.sqrt(0.4), 2.0
    second = start + drift * 0.3 + rng.normal(size=400_000) * np.sqrt(0.3)
    third = second + drift * 0.3 + rng.normal(size=400_000) * np.sqrt(0.3)
    z2, z3 = second / np.sqrt(t[1]), third
    b, a = WITH_FUTILITY.efficacy_bounds, WITH_FUTILITY.futility_bounds
    reject = (z2 > b[1]) | ((z2 > a[1]) & (z3 > b[2]))
    found = WITH_FUTILITY.conditional_power(1, 0.9, theta=drift)
    assert found == pytest.approx(reject.mean(), abs=4 * np.sqrt(0.25 / 400_000))
    assert WITH_FUTILITY.conditional_power(1, 0.9, theta=drift, futility=False) > found


def test_predictive_power_closed_forms():
    t, z, c = 0.7, 1.3, DESIGN.efficacy_bounds[-1]
    # with a flat prior the final Z is normal given the interim: mean z/sqrt(t), var (1-t)/t
    flat = norm.sf((c - z / np.sqrt(t)) / np.sqrt((1 - t) / t))
    assert DESIGN.predictive_power(2, z) == pytest.approx(flat, abs=1e-10)
    precision = t + 1 / 0.5**2
    mean = (z * np.sqrt(t) + 2.0 / 0.5**2) / precision
    spread = np.sqrt((1 - t) + (1 - t) ** 2 / precision)
    informed = norm.sf((c - z * np.sqrt(t) - mean * (1 - t)) / spread)
    assert DESIGN.predictive_power(2, z, prior=(2.0, 0.5)) == pytest.approx(informed, abs=1e-10)
    sharp = DESIGN.predictive_power(1, z, prior=(1.1, 1e-6))
    assert sharp == pytest.approx(DESIGN.conditional_power(1, z, theta=1.1), abs=1e-6)


def test_p_value_at_a_bound_is_the_alpha_spent_there():
    for look in (1, 2, 3):
        p = DESIGN.stagewise_p_value(look, DESIGN.efficacy_bounds[look - 1])
        assert p == pytest.approx(DESIGN.alpha_spent[look - 1], abs=1e-12)


def test_fixed_design_gives_the_usual_inference():
    fixed = group_sequential([1.0])
    found = fixed.inference(1, 1.7, level=0.9)
    assert found.p_value == pytest.approx(norm.sf(1.7))
    assert found.estimate == pytest.approx(1.7, abs=1e-9)
    assert found.lower == pytest.approx(1.7 - norm.ppf(0.95), abs=1e-9)
    assert found.upper == pytest.approx(1.7 + norm.ppf(0.95), abs=1e-9)
    scaled = fixed.inference(1, 1.7, level=0.9, information=25.0)
    assert scaled.estimate == pytest.approx(0.34, abs=1e-9)


@pytest.mark.parametrize("design", [DESIGN, WITH_FUTILITY], ids=["plain", "binding futility"])
def test_interval_and_estimate_in_simulated_trials(design):
    drift, n = 2.4, 20_000
    look, z = simulate(design, drift, n, seed=11)
    found = adjusted_estimates(design, look, z, level=0.9)
    error = np.sqrt(0.25 / n)
    assert (found["estimate"] < drift).mean() == pytest.approx(0.5, abs=4 * error)
    covered = (found["lower"] < drift) & (drift < found["upper"])
    assert covered.mean() == pytest.approx(0.9, abs=4 * np.sqrt(0.09 / n))
    naive = z / np.sqrt(design.information_fractions[look - 1])
    assert abs((naive < drift).mean() - 0.5) > 4 * error  # the naive estimate is biased


def test_p_values_are_uniform_under_the_null():
    look, z = simulate(DESIGN, 0.0, 20_000, seed=5)
    p = adjusted_estimates(DESIGN, look, z)["p_value"].to_numpy()
    for q in (0.01, 0.025, 0.2, 0.7):
        assert (p < q).mean() == pytest.approx(q, abs=4 * np.sqrt(q * (1 - q) / 20_000))


def test_many_at_once_equal_one_by_one():
    look, z = simulate(DESIGN, 1.0, 400, seed=2)
    many = adjusted_estimates(DESIGN, look, z)
    for i in range(0, 400, 37):
        one = DESIGN.inference(int(look[i]), float(z[i]))
        assert many["p_value"][i] == pytest.approx(one.p_value, abs=1e-12)
        for name in ("estimate", "lower", "upper"):
            assert many[name][i] == pytest.approx(getattr(one, name), abs=1e-4)


def test_two_sided_inference_is_symmetric():
    design = group_sequential((0.5, 1), alpha=0.05, sided=2)
    up, down = design.inference(1, 2.9), design.inference(1, -2.9)
    assert down.estimate == pytest.approx(-up.estimate, abs=1e-8)
    assert down.lower == pytest.approx(-up.upper, abs=1e-8)


def test_repeated_interval_and_p_value():
    low, high = DESIGN.repeated_confidence_interval(2, 2.0, information=100)
    width = DESIGN.efficacy_bounds[1]
    assert (low, high) == pytest.approx(
        ((2 - width) / np.sqrt(70), (2 + width) / np.sqrt(70)), abs=1e-12
    )
    for look in (1, 2, 3):
        p = DESIGN.repeated_p_value(look, DESIGN.efficacy_bounds[look - 1])
        assert p == pytest.approx(0.025, abs=1e-9)
    assert DESIGN.repeated_p_value(2, 3.5) < DESIGN.repeated_p_value(2, 2.6)
    assert group_sequential((0.5, 1), efficacy="pocock").repeated_p_value(1, 2.5) < 0.025


@pytest.mark.parametrize(
    "design",
    [
        DESIGN,
        WITH_FUTILITY,
        group_sequential((0.1, 0.101, 1), efficacy="lan_demets_obrien_fleming"),
        group_sequential((0.5, 1), 0.05, sided=2, futility="pocock", binding=True),
    ],
)
def test_extreme_results_have_finite_inference(design):
    z = np.array([-12.0, -6, -1, 0, 2, 6, 12])
    looks = np.repeat(np.arange(1, design.n_looks + 1), len(z))
    many = adjusted_estimates(design, looks, np.tile(z, design.n_looks))
    assert np.isfinite(many.to_numpy()).all()
    assert (many["lower"] < many["estimate"]).all() and (many["estimate"] < many["upper"]).all()
    assert many["p_value"].between(0, 1).all()
    for theta in ("trend", "null", "design", -50.0, 50.0):
        for value in z:
            assert 0 <= design.conditional_power(1, value, theta=theta) <= 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: DESIGN.conditional_power(3, 1.0), "look must be from 1 to 2, got 3"),
        (lambda: DESIGN.conditional_power(1.5, 1.0), "look must be an integer, got 1.5"),
        (lambda: DESIGN.conditional_power(1, np.nan), "z must be finite, got nan"),
        (lambda: DESIGN.conditional_power(1, 1, theta="tend"), "did you mean 'trend'"),
        (lambda: DESIGN.predictive_power(1, 1, prior=(0, 0)), "prior sd must be above 0"),
        (lambda: DESIGN.inference(4, 1), "look must be from 1 to 3, got 4"),
        (lambda: DESIGN.inference(1, 1, level=95), "level must be between 0 and 1, got 95"),
        (lambda: DESIGN.inference(1, 1, information=0), "information must be above 0, got 0"),
        (lambda: adjusted_estimates(DESIGN, [1, 2], [1.0]), "must have one shape"),
        (lambda: adjusted_estimates(DESIGN, [1], [np.inf]), "z must be finite"),
        (
            lambda: group_sequential((0.5, 1), efficacy=[3, 2]).repeated_p_value(1, 2),
            "not custom bounds",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_p_value_falls_with_z_and_rises_with_drift():
    z = np.linspace(-3, 5, 40)
    p = stagewise_p_value(DESIGN, 2, z)
    assert (np.diff(p) < 0).all()
    assert (stagewise_p_value(DESIGN, 2, z, drift=1.0) > p).all()
