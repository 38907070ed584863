"""Graphs with group-sequential levels, and weighted Simes tests, against published values."""

import numpy as np
import pytest

import trial_sim as ts
from trial_sim.adaptive.sequential_graph import nominal_levels

RULE = "lan_demets_obrien_fleming"
DESIGNS = {
    "PFS": ts.group_sequential((0.7, 1), efficacy=RULE),
    "OS": ts.group_sequential((0.5, 0.75, 1), efficacy=RULE),
}
GRAPH = {
    "designs": DESIGNS,
    "weights": {"PFS": 0.2, "OS": 0.8},
    "transitions": {"PFS": {"OS": 1}, "OS": {"PFS": 1}},
}


def test_nominal_levels_by_the_alpha_received():
    # rpact 3.3.4
    wanted = {
        "PFS": [
            [0.000793514821, 0.00474465518],
            [0.00542723287, 0.0183347331],
            [0.00738448936, 0.0227538841],
        ],
        "OS": [
            [7.19495236e-05, 0.00116540423, 0.00462050159],
            [0.0010020422, 0.00690260146, 0.0177472411],
            [0.00152532276, 0.00916169071, 0.0220003745],
        ],
    }
    for name, rows in wanted.items():
        for alpha, row in zip((0.005, 0.02, 0.025), rows):
            assert nominal_levels(DESIGNS[name], alpha) == pytest.approx(row, abs=1e-8)


def test_alpha_that_os_passes_on_rejects_pfs():
    found = ts.sequential_graph_test([{"PFS": 0.003, "OS": 0.0008}], **GRAPH)
    assert found.rejected == ("OS", "PFS")
    assert [one.level for one in found.rejections] == pytest.approx([0.02, 0.025])
    assert [one.nominal for one in found.rejections] == pytest.approx(
        [0.001002, 0.007384], abs=1e-6
    )
    assert found.levels == {}
    none = ts.sequential_graph_test([{"PFS": 0.003, "OS": 0.002}], **GRAPH)
    assert none.rejected == ()
    assert none.levels == pytest.approx({"PFS": 0.005, "OS": 0.02})


def test_earlier_looks_are_not_gone_back_to_and_rejections_stay():
    analyses = [{"PFS": 0.003, "OS": 0.002}, {"OS": 0.001}]
    found = ts.sequential_graph_test(analyses, **GRAPH)
    assert found.rejected == ("OS",)
    assert found.levels == pytest.approx({"PFS": 0.025})
    later = ts.sequential_graph_test([*analyses, {"PFS": 0.02, "OS": 0.9}], **GRAPH)
    assert later.rejected == ("OS", "PFS")
    assert later.rejections[1].look == 2


def test_one_look_each_is_the_graphical_test():
    rng = np.random.default_rng(8)
    one = ts.group_sequential((1.0,), efficacy=RULE)
    names = ["a", "b", "c"]
    for _ in range(20):
        p = rng.uniform(0, 0.03, 3)
        w, g = rng.dirichlet([1, 1, 1]), rng.dirichlet([1, 1], 3)
        rows = np.array([[0, *g[0]], [g[1, 0], 0, g[1, 1]], [*g[2], 0]])
        plain = ts.graphical_test(p, w, rows)
        found = ts.sequential_graph_test(
            [dict(zip(names, p))],
            dict.fromkeys(names, one),
            dict(zip(names, w)),
            {n: {m: v for m, v in zip(names, row) if v} for n, row in zip(names, rows)},
        )
        assert {n for n, r in zip(names, plain.rejected) if r} == set(found.rejected)


def test_graphs_with_simes_intersections():
    # openpharma/graphicalMCP, test-graph_test_closure.R and print.graph_report.md
    weights, transitions = (
        [0.5, 0.5, 0, 0],
        [[0, 0, 1, 0], [0, 0, 0, 1], [0, 1, 0, 0], [1, 0, 0, 0]],
    )
    p = [0.024, 0.01, 0.026, 0.027]
    simes = ts.graphical_test(p, weights, transitions, alpha=0.05, test="simes")
    assert simes.adjusted_p == pytest.approx([0.027, 0.02, 0.027, 0.027], abs=1e-12)
    assert simes.rejected == (True,) * 4
    bonferroni = ts.graphical_test(p, weights, transitions, alpha=0.05)
    assert bonferroni.adjusted_p == pytest.approx([0.048, 0.02, 0.052, 0.052], abs=1e-12)
    for test, value in (("simes", 0.01), ("bonferroni", 0.02)):
        equal = ts.graphical_test([0.01] * 4, weights, transitions, test=test)
        assert equal.adjusted_p == pytest.approx([value] * 4, abs=1e-12)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"weights": {"PFS": 0.2, "os": 0.8}}, "weights names the hypothesis 'os'"),
        ({"weights": {"PFS": 0.5, "OS": 0.8}}, "weights must be 0 or more and sum to at most 1"),
        ({"weights": {}}, "weights give no hypothesis any alpha"),
        ({"transitions": {"PFS": {"PFS": 1}}}, "transitions of 'PFS' lead to itself"),
        ({"alpha": 0.6}, "alpha must be between 0 and 0.5"),
    ],
)
def test_what_is_no_graph_is_named(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        ts.sequential_graph_test([{"PFS": 0.003}], **(GRAPH | change))


def test_more_looks_than_planned_are_named():
    with pytest.raises(ValueError, match=r"'PFS' has 2 look\(s\), analysis 3 is one more"):
        ts.sequential_graph_test([{"PFS": 0.5}] * 3, **GRAPH)
