"""The kernel against other integrations: mpmath at 30 digits, a trapezoid grid, simulation."""

import mpmath
import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.stats import multivariate_normal, norm

from trial_sim.numerics.roots import find_root, solve_pair
from trial_sim.sequential.boundaries import exit_probabilities
from trial_sim.sequential.integration import (
    advance,
    density_at,
    start,
    tail_above,
    tail_below,
    z_for_tail,
)
from trial_sim.sequential.multiplicity import normal_orthant

NONE = np.full(3, -np.inf)


def test_three_looks_against_thirty_digits():
    t = np.array([0.3, 0.65, 1.0])
    upper = np.array([3.1, 2.5, 2.0])
    lower = np.array([-0.2, 0.8, -np.inf])
    found = exit_probabilities(t, upper, lower, 2.7, 1)

    mpmath.mp.dps = 30
    drift = mpmath.mpf("2.7")
    times = [mpmath.mpf("0.3"), mpmath.mpf("0.65"), mpmath.mpf(1)]

    def pdf(x, mean, var):
        return mpmath.exp(-((x - mean) ** 2) / (2 * var)) / mpmath.sqrt(2 * mpmath.pi * var)

    def above(x, mean, var):
        return mpmath.erfc((x - mean) / mpmath.sqrt(2 * var)) / 2

    u = [mpmath.mpf(str(b)) * mpmath.sqrt(s) for b, s in zip(upper, times)]
    low = [mpmath.mpf(str(b)) * mpmath.sqrt(s) for b, s in zip(lower[:2], times)]
    steps = [times[0], times[1] - times[0], times[2] - times[1]]
    nodes = mpmath.calculus.quadrature.GaussLegendre(mpmath.mp).calc_nodes(6, 110)

    def integral(f, a, b):
        half, centre = (b - a) / 2, (b + a) / 2
        return half * sum(w * f(centre + half * x) for x, w in nodes)

    first = above(u[0], drift * steps[0], steps[0])
    second = integral(
        lambda s: pdf(s, drift * steps[0], steps[0]) * above(u[1], s + drift * steps[1], steps[1]),
        low[0],
        u[0],
    )
    third = integral(
        lambda s: (
            pdf(s, drift * steps[0], steps[0])
            * integral(
                lambda r: (
                    pdf(r, s + drift * steps[1], steps[1])
                    * above(u[2], r + drift * steps[2], steps[2])
                ),
                low[1],
                u[1],
            )
        ),
        low[0],
        u[0],
    )
    expected = [float(first), float(second), float(third)]
    np.testing.assert_allclose(found.upper, expected, rtol=0, atol=1e-12)


def trapezoid_rejection(t, upper, lower, drift, points=2500):
    """The same recursion on an equally spaced grid of the score, halving cells at the bounds."""
    total, score, mass = [], np.zeros(1), np.ones(1)
    before = 0.0
    for k, time in enumerate(t):
        step = time - before
        mean = score + drift * step
        total.append(float(norm.sf((upper[k] * np.sqrt(time) - mean) / np.sqrt(step)) @ mass))
        low = max(lower[k] * np.sqrt(time), drift * time - 9 * np.sqrt(time))
        grid = np.linspace(low, min(upper[k] * np.sqrt(time), drift * time + 9), points)
        width = np.full(points, grid[1] - grid[0])
        width[[0, -1]] /= 2
        density = norm.pdf((grid[:, None] - mean) / np.sqrt(step)) @ mass / np.sqrt(step)
        score, mass, before = grid, density * width, time
    return np.array(total)


def test_ten_unequal_looks_against_richardson_trapezoid():
    t = np.array([0.1, 0.15, 0.3, 0.32, 0.5, 0.6, 0.7, 0.85, 0.97, 1.0])
    upper = 2.3 * t**-0.3
    lower = np.linspace(-1.5, 1.8, 10)
    found = exit_probabilities(t, upper, lower, 1.9, 1).upper
    coarse, fine = (trapezoid_rejection(t, upper, lower, 1.9, n) for n in (601, 1201))
    expected = fine + (fine - coarse) / 3  # the trapezoid's error is of order h squared
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)


def test_two_looks_against_bivariate_normal():
    t = np.array([0.4, 1.0])
    found = exit_probabilities(t, np.array([2.6, 2.0]), np.full(2, -np.inf), 1.3, 1)
    rho = np.sqrt(0.4)
    mean = [1.3 * rho, 1.3]
    accepted = multivariate_normal(mean, [[1, rho], [rho, 1]]).cdf([2.6, 2.0])
    assert found.upper.sum() == pytest.approx(1 - accepted, abs=1e-10)


@pytest.mark.parametrize("sided", [1, 2])
def test_exits_against_simulation(sided):
    rng = np.random.Generator(np.random.Philox(7))
    t = np.array([0.3, 0.55, 0.8, 1.0])
    upper, lower = np.array([2.9, 2.6, 2.3, 2.1]), np.array([0.1, 0.5, -np.inf, 2.1])
    steps = np.diff(t, prepend=0)
    n = 200_000
    score = np.cumsum(rng.normal(size=(n, 4)) * np.sqrt(steps) + 1.5 * steps, axis=1)
    z = score / np.sqrt(t)
    running, counts = np.ones(n, dtype=bool), []
    for k in range(4):
        x = z[:, k]
        up = running & (x > upper[k])
        down = running & (x < -upper[k]) & (sided == 2)
        futile = running & ~up & ~down & ((np.abs(x) if sided == 2 else x) < lower[k])
        counts.append([up.mean(), down.mean(), futile.mean()])
        running &= ~(up | down | futile)
    found = exit_probabilities(t, upper, lower, 1.5, sided)
    expected = np.array(counts)
    for column, values in enumerate((found.upper, found.lower, found.futility)):
        error = np.sqrt(values * (1 - values) / n) + 1e-6
        assert (np.abs(values - expected[:, column]) < 4.5 * error).all()
    assert found.upper.sum() + found.lower.sum() + found.futility.sum() == pytest.approx(
        1.0 if np.isfinite(lower[-1]) else 1 - running.mean(), abs=2e-3
    )


def test_fifty_looks_do_not_depend_on_the_grid(monkeypatch):
    from trial_sim.sequential import integration

    t = np.arange(1, 51) / 50
    upper = 2.8 * np.ones(50)
    usual = exit_probabilities(t, upper, np.full(50, -np.inf), 0.0, 1).upper
    monkeypatch.setattr(integration, "_DENSITY", 6.0)
    np.testing.assert_allclose(
        usual, exit_probabilities(t, upper, np.full(50, -np.inf), 0.0, 1).upper, atol=1e-12
    )


def test_looks_a_thousandth_apart():
    """A narrow step needs a fine grid; with three looks the truth is a trivariate normal."""
    t = np.array([0.5, 0.501, 1.0])
    upper = np.array([2.5, 2.4, 2.0])
    found = exit_probabilities(t, upper, NONE, 1.0, 1)
    r = np.sqrt(np.minimum.outer(t, t) / np.maximum.outer(t, t))
    accepted = normal_orthant(upper - np.sqrt(t), r)
    assert found.upper.sum() == pytest.approx(1 - accepted, abs=1e-9)


def test_drift_that_changes_between_looks():
    """Three looks with slopes given per interval equal a trivariate normal with those means."""
    t, slopes = np.array([0.2, 0.6, 1.0]), np.array([0.0, 3.0, 1.0])
    upper = np.array([2.5, 2.3, 2.1])
    mean = np.cumsum(slopes * np.diff(t, prepend=0)) / np.sqrt(t)
    r = np.sqrt(np.minimum.outer(t, t) / np.maximum.outer(t, t))
    accepted = multivariate_normal.cdf(upper, mean, r, abseps=1e-9, maxpts=2_000_000)
    found = exit_probabilities(t, upper, NONE, slopes, 1)
    assert found.upper.sum() == pytest.approx(1 - accepted, abs=2e-6)


def test_density_integrates_to_the_running_probability():
    paths = advance(start(), 0.4, 0.7, [(-1.0, 2.0)], 0.6)
    z = np.linspace(-8, 9, 4001)
    total = trapezoid(density_at(paths, 1.0, 0.7, z), z)
    assert total == pytest.approx(paths.probability, abs=1e-10)
    assert tail_above(paths, 1.0, 0.7, [-np.inf])[0] == pytest.approx(paths.probability, abs=1e-14)
    both = tail_above(paths, 1.0, 0.7, [1.0]) + tail_below(paths, 1.0, 0.7, [1.0])
    assert both[0] == pytest.approx(paths.probability, abs=1e-14)


@pytest.mark.parametrize("probability", [0.4, 1e-3, 1e-12, 1e-40])
def test_quantile_of_the_tail(probability):
    paths = advance(start(), 0.4, 0.0, [(-1.0, 2.0)], 0.6)
    z = z_for_tail(paths, 1.0, 0.0, probability)
    assert tail_above(paths, 1.0, 0.0, [z])[0] == pytest.approx(probability, rel=1e-10)
    low = z_for_tail(paths, 1.0, 0.0, probability, upper=False)
    assert tail_below(paths, 1.0, 0.0, [low])[0] == pytest.approx(probability, rel=1e-10)


def test_quantile_between_two_lobes():
    """A flat stretch of the tail between lobes must not send the search away."""
    paths = advance(start(), 0.5, 0.0, [(-3.0, -1.5), (1.5, 3.0)], 0.001)
    share = tail_above(paths, 0.501, 0.0, [0.0])[0]
    for probability in (0.9999 * share, 1.0001 * share, 0.5 * share, 1.5 * share):
        z = z_for_tail(paths, 0.501, 0.0, probability)
        assert tail_above(paths, 0.501, 0.0, [z])[0] == pytest.approx(probability, rel=1e-10)


def test_quantile_at_the_ends():
    paths = start()
    assert z_for_tail(paths, 1.0, 0.0, 0.0) == np.inf
    assert z_for_tail(paths, 1.0, 0.0, 0.0, upper=False) == -np.inf
    assert z_for_tail(paths, 1.0, 0.0, 1.0) == -np.inf


def test_root_finder():
    assert find_root(lambda x: x**3 - 2, 5.0, 0.1) == pytest.approx(2 ** (1 / 3), abs=1e-11)
    assert find_root(lambda x: np.exp(-x) - 0.2, -30.0, 1.0) == pytest.approx(np.log(5), abs=1e-11)
    assert find_root(lambda x: x - 1, 0.0, 0.5, lower=0, upper=1) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="no solution for the thing between 0 and 1"):
        find_root(lambda x: x + 1, 0.2, 0.1, 0.0, 1.0, what="the thing")


def test_two_equations_are_solved_within_their_domain():
    calls = []

    def circle_and_line(x, y):
        calls.append((x, y))
        if x <= 0.5:
            return np.nan, np.nan
        return x * x + y * y - 2.0, x - y

    assert solve_pair(circle_and_line, (0.6, 1.4), ((2.0, 2.0), (1.0, -1.0)), 1e-12)
    np.testing.assert_allclose(calls[-1], (1.0, 1.0), atol=1e-12)
    assert len(calls) < 12
    assert not solve_pair(lambda x, y: (x * x + 1.0, y), (1.0, 1.0), ((2.0, 0.0), (0.0, 1.0)), 1e-9)
