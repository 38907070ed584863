"""Orthants against scipy, Dunnett's tables, graphs against closed testing, adjusted p-values."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, multivariate_t, norm
from statsmodels.stats.multitest import multipletests

import trial_sim as ts
from trial_sim.sequential.multiplicity import (
    adjust_p_values,
    dunnett_critical_value,
    equicoordinate_critical_value,
    graphical_test,
    normal_orthant,
)


def correlation(seed, m):
    rng = np.random.Generator(np.random.Philox(seed))
    x = rng.normal(size=(m, m + 2))
    c = x @ x.T
    d = np.sqrt(np.diag(c))
    return c / np.outer(d, d)


@pytest.mark.parametrize("m", [2, 3, 4])
def test_orthants_against_scipy(m):
    for seed in range(3):
        r = correlation(seed, m)
        b = np.linspace(-0.5, 1.5, m)
        expected = multivariate_normal.cdf(b, cov=r, abseps=1e-8, maxpts=2_000_000)
        assert normal_orthant(b, r) == pytest.approx(expected, abs=2e-6)


def test_orthants_with_known_values():
    assert normal_orthant([0.7], [[1]]) == pytest.approx(norm.cdf(0.7))
    for rho in (-0.999, -0.3, 0.0, 0.6, 0.95, 0.9999):
        quarter = 0.25 + np.arcsin(rho) / (2 * np.pi)
        assert normal_orthant([0, 0], [[1, rho], [rho, 1]]) == pytest.approx(quarter, abs=1e-10)
    half = np.full((3, 3), 0.5) + 0.5 * np.eye(3)
    assert normal_orthant([0, 0, 0], half) == pytest.approx(0.25, abs=1e-12)
    assert normal_orthant([1, 2], np.ones((2, 2))) == pytest.approx(norm.cdf(1))
    r = np.array([[1, 1, 0.3], [1, 1, 0.3], [0.3, 0.3, 1]])
    assert normal_orthant([1, 0.5, 2], r) == pytest.approx(
        normal_orthant([0.5, 2], [[1, 0.3], [0.3, 1]]), abs=1e-12
    )


def test_dunnett_tables():
    """Dunnett (1964), two-sided .05: 16 df with 2 to 6 treatments; infinite df with 2."""
    found = [dunnett_critical_value(k, 0.05, df=16, sided=2) for k in (2, 3, 4, 5, 6)]
    np.testing.assert_allclose(found, [2.42, 2.59, 2.71, 2.80, 2.87], atol=0.006)
    assert dunnett_critical_value(2, 0.05, sided=2) == pytest.approx(2.21, abs=0.005)
    assert dunnett_critical_value(1, 0.025) == pytest.approx(1.959964, abs=1e-6)


def test_dunnett_against_the_multivariate_t_of_scipy():
    half = np.full((3, 3), 0.5) + 0.5 * np.eye(3)
    c = dunnett_critical_value(3, 0.05, df=11)
    rng = np.random.default_rng(np.random.Philox(1))
    inside = multivariate_t.cdf(np.full(3, c), shape=half, df=11, random_state=rng)
    assert inside == pytest.approx(0.95, abs=1e-4)


def test_dunnett_unequal_allocation_is_the_orthant():
    r = np.sqrt(np.array([0.5, 2 / 3, 0.75]))
    corr = np.outer(r, r)
    np.fill_diagonal(corr, 1.0)
    found = dunnett_critical_value(3, allocation=[1.0, 2.0, 3.0])
    assert found == pytest.approx(equicoordinate_critical_value(corr, 0.025), abs=1e-9)


def closed_test(p, weights, transitions):
    """Adjusted p-values of the weighted Bonferroni closed test whose weights the graph gives."""
    m = len(p)
    local = {}
    for size in range(1, m + 1):
        for subset in combinations(range(m), size):
            w, g = np.array(weights, float), np.array(transitions, float)
            for gone in sorted(set(range(m)) - set(subset)):
                w2, g2 = w.copy(), np.zeros_like(g)
                for i in range(m):
                    if i == gone:
                        continue
                    w2[i] += w[gone] * g[gone, i]
                    for j in range(m):
                        if j not in (i, gone) and g[i, gone] * g[gone, i] < 1:
                            g2[i, j] = (g[i, j] + g[i, gone] * g[gone, j]) / (
                                1 - g[i, gone] * g[gone, i]
                            )
                w2[gone] = 0
                w, g = w2, g2
            ratios = [p[i] / w[i] if w[i] > 0 else np.inf for i in subset]
            local[subset] = min(1.0, min(ratios))
    return [max(v for s, v in local.items() if i in s) for i in range(m)]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(1e-4, 0.2), min_size=3, max_size=3), st.integers(0, 1000))
def test_graphs_equal_the_closed_test(p, seed):
    rng = np.random.Generator(np.random.Philox(seed))
    weights = rng.dirichlet(np.ones(3))
    graph = rng.dirichlet(np.ones(2), 3)
    transitions = np.array(
        [[0, *graph[0]], [graph[1][0], 0, graph[1][1]], [graph[2][0], graph[2][1], 0]]
    )
    found = graphical_test(p, weights, transitions)
    np.testing.assert_allclose(found.adjusted_p, closed_test(p, weights, transitions), rtol=1e-9)


def test_graph_of_holm_is_holm():
    p = [0.01, 0.04, 0.03]
    graph = (np.ones((3, 3)) - np.eye(3)) / 2
    found = graphical_test(p, np.full(3, 1 / 3), graph)
    np.testing.assert_allclose(found.adjusted_p, adjust_p_values(p, "holm"))
    assert found.order == (0, 2, 1)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=7))
def test_adjusted_p_values_equal_statsmodels(p):
    names = {"bonferroni": "bonferroni", "holm": "holm", "hochberg": "simes-hochberg"}
    if len(p) > 1:
        names["hommel"] = "hommel"
    for ours, theirs in names.items():
        np.testing.assert_allclose(
            adjust_p_values(p, ours), multipletests(p, method=theirs)[1], atol=1e-12
        )
    np.testing.assert_allclose(adjust_p_values(p, "fixed_sequence"), np.maximum.accumulate(p))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: normal_orthant([1, 2], np.eye(3)), "correlation must be 2 by 2"),
        (lambda: dunnett_critical_value(0), "n_comparisons must be a whole number above 0"),
        (lambda: dunnett_critical_value(2, allocation=[1, -1]), "allocation must be above 0"),
        (lambda: dunnett_critical_value(2, alpha=2), "alpha must be between 0 and 0.5"),
        (lambda: graphical_test([0.1], [0.5, 0.5], np.zeros((2, 2))), "1 p_values need 1 weights"),
        (lambda: graphical_test([0.1, 0.2], [0.9, 0.5], np.zeros((2, 2))), "sum to at most 1"),
        (lambda: graphical_test([0.1, 0.2], [0.5, 0.5], np.eye(2)), "zero diagonal"),
        (
            lambda: graphical_test([0.1, 0.2], [0.5, 0.5], [[0, 1.5], [1, 0]]),
            "rows sum to at most 1",
        ),
        (lambda: graphical_test([1.1, 0.2], [0.5, 0.5], np.zeros((2, 2))), "at most 1"),
        (lambda: graphical_test([np.nan, 0.2], [0.5, 0.5], np.zeros((2, 2))), "must be finite"),
        (lambda: adjust_p_values([0.1], "holms"), "did you mean 'holm'"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


@pytest.mark.parametrize("method", ["bonferroni", "holm", "hochberg", "hommel", "fixed_sequence"])
@pytest.mark.parametrize("bad", [1.2, -0.1, np.nan, np.inf])
def test_p_values_outside_0_and_1_are_refused(method, bad):
    with pytest.raises(ValueError, match="p_values must be"):
        ts.adjust_p_values([0.01, bad, 0.2], method=method)
    assert ts.adjust_p_values([0.0, 1.0], method=method)[1] == 1.0
