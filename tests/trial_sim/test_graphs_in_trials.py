"""Graphs in simulated trials: each trial against the static procedure and hand-made weights."""

import warnings

import numpy as np
import pytest
from scipy.stats import norm

import trial_sim as ts

THREE = {"control": 1, "low": 1, "mid": 1, "high": 1}
SPEND = "lan_demets_obrien_fleming"
# a rejected low passes half to each other; then in a ring
GRAPH = {"low": {"mid": 0.5, "high": 0.5}, "mid": {"high": 1}, "high": {"low": 1}}
SHARES = {"low": 0.5, "mid": 0.3, "high": 0.2}


def arms(closed_test, *rules):
    design = ts.Design(
        arms=THREE, n_patients=320, accrual=ts.Accrual(rate=20), test="t_test",
        looks=ts.EnrolmentLooks([160, 320]), multiplicity="unadjusted",
        boundaries=ts.group_sequential((0.5, 1), efficacy=SPEND),
    )  # fmt: skip
    return ts.AdaptiveDesign(
        design,
        [
            ts.Milestone("interim", ts.EnrolmentLooks([160]), rules),
            ts.Milestone("final", ts.EnrolmentLooks([320])),
        ],
        closed_test,
    )


OUTCOMES = ts.ContinuousResponse({"low": 0.25, "mid": 0.35, "high": 0.45})


def static(designs, z, shares, graph, at):
    """Rejected by `sequential_graph_test`, the milestones' z (L, m) in hand."""
    names = list(designs)
    analyses = [
        {n: float(norm.sf(row[i])) for i, n in enumerate(names) if k in at[n]}
        for k, row in enumerate(z)
    ]
    return set(ts.sequential_graph_test(analyses, designs, shares, graph).rejected)


def test_arms_are_rejected_as_by_the_static_graph():
    adaptive = arms(ts.ClosedTest("conventional", "bonferroni", graph=GRAPH, shares=SHARES))
    assert ts.AdaptiveDesign.from_yaml(adaptive.to_yaml()) == adaptive
    # "all": rejected arms go on, so that each z is there at both looks
    going_on = adaptive.replace(closed_test=adaptive.closed_test.replace(stop="all"))
    result = ts.simulate(going_on, OUTCOMES, 250, seed=1)
    z, held = result.conducted.z, result.conducted.last_look
    designs = dict.fromkeys(SHARES, adaptive.design.boundaries)
    at = dict.fromkeys(SHARES, (0, 1))
    for t in range(250):
        wanted = static(designs, z[t, : held[t] + 1], SHARES, GRAPH, at)
        found = {name for name, hit in zip(SHARES, result.rejected_hypotheses[t]) if hit}
        assert found == wanted
    assert 0.3 < result.rejected_hypotheses.mean() < 0.9
    assert {0, 1, 2} == set(np.unique(result.conducted.rejected_at))


def weights_by_hand(members):
    """Weights of intersections of the graph above, worked out on paper."""
    return {
        ("low", "mid", "high"): (0.5, 0.3, 0.2),
        ("low", "mid"): (0.7, 0.3),
        ("low", "high"): (0.5, 0.5),
        ("mid", "high"): (0.55, 0.45),
        ("low",): (1.0,),
        ("mid",): (1.0,),
        ("high",): (1.0,),
    }[members]


@pytest.mark.parametrize("intersection", ["bonferroni", "simes"])
def test_stages_are_combined_with_the_weights_of_each_intersection(intersection):
    test = ts.ClosedTest("inverse_normal", intersection, graph=GRAPH, shares=SHARES, stop="all")
    adaptive = arms(test, ts.Rule("rank > 2", "DropArm"))
    result = ts.simulate(adaptive, OUTCOMES, 120, seed=2)
    stage_z, names = result.conducted.stage_z, list(SHARES)
    bounds = adaptive.design.boundaries.efficacy_bounds
    for t in range(120):
        fallen = set()
        for k in range(result.conducted.last_look[t] + 1):
            for code in range(1, 8):
                members = tuple(n for i, n in enumerate(names) if code >> i & 1)
                q = []
                for stage in range(k + 1):
                    z = dict(zip(names, stage_z[t, stage]))
                    left = tuple(n for n in members if np.isfinite(z[n]))
                    if not left:
                        q = []
                        break
                    p, w = [norm.sf(z[n]) for n in left], weights_by_hand(left)
                    reached = w
                    if intersection == "simes":
                        reached = [sum(v for v, other in zip(w, p) if other <= one) for one in p]
                    q.append(norm.isf(min(1.0, *(a / b for a, b in zip(p, reached)))))
                if q and sum(q) / np.sqrt(len(q)) >= bounds[k]:
                    fallen.add(members)
        wanted = [
            all(m in fallen for m in _all_sets(names) if n in m)
            and np.isfinite(stage_z[t, result.conducted.rejected_at[t, i] - 1, i])
            for i, n in enumerate(names)
        ]
        assert result.rejected_hypotheses[t].tolist() == wanted


def _all_sets(names):
    return [tuple(n for i, n in enumerate(names) if c >> i & 1) for c in range(1, 8)]


def test_progression_and_survival_share_alpha_as_by_the_static_graph():
    pfs = ts.group_sequential((0.7, 1), efficacy=SPEND)
    os = ts.group_sequential((0.5, 0.75, 1), efficacy=SPEND)
    adaptive = ts.AdaptiveDesign(
        ts.Design(
            arms={"control": 1, "treatment": 1}, n_patients=300, accrual=ts.Accrual(rate=20),
            looks=ts.EventLooks([60, 90, 120]), endpoint="os", boundaries=os,
        ),
        [
            ts.Milestone("first", ts.EventLooks([120]), endpoint="pfs"),
            ts.Milestone("second", ts.EventLooks([170]), endpoint="pfs"),
            ts.Milestone("last", ts.EventLooks([150])),
        ],
        ts.ClosedTest(
            "conventional", "bonferroni", graph={"pfs": {"os": 1}, "os": {"pfs": 1}},
            shares={"pfs": 0.2, "os": 0.8},
        ),
        endpoints={"pfs": {"boundaries": pfs, "at": ["first", "second"]}},
    )  # fmt: skip
    assert adaptive.hypothesis_names == ("os", "pfs")
    assert ts.AdaptiveDesign.from_yaml(adaptive.to_yaml()).hash == adaptive.hash
    seen = {}

    def look(state):
        seen[state.k] = np.column_stack([state.value("z"), state.value("z", endpoint="pfs")])
        return ()

    illness = ts.IllnessDeath(0.08, 0.01, 0.1, hr_progression=0.7, hr_death_after=0.8)
    result = ts.simulate(adaptive, illness, 250, seed=3, decide=look)
    at = {"os": (0, 1, 2), "pfs": (0, 1)}
    for t in range(250):
        z = np.array([seen[k][t] for k in range(result.conducted.last_look[t] + 1)])
        wanted = static(
            {"os": os, "pfs": pfs}, z, adaptive.closed_test.shares, adaptive.closed_test.graph, at
        )
        found = {n for n, hit in zip(result.hypotheses, result.rejected_hypotheses[t]) if hit}
        assert found == wanted
    assert (result.rejected_hypotheses.mean(axis=0) > 0.2).all()
    assert result.quantity("power, pfs").estimate == result.rejected_hypotheses[:, 1].mean()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: arms(ts.ClosedTest(graph=GRAPH)), "a graph goes with intersection 'bonferroni'"),
        (
            lambda: arms(ts.ClosedTest(intersection="simes", graph={"lo": {"mid": 1}})),
            "graph names the hypothesis 'lo'; did you mean 'low'",
        ),
        (
            lambda: arms(ts.ClosedTest(intersection="simes", graph=GRAPH, shares={"low": 1.2})),
            "shares must be 0 or more and sum to at most 1",
        ),
        (
            lambda: arms(ts.ClosedTest(intersection="simes", graph={"low": {"low": 1}})),
            "graph of 'low' lead to itself",
        ),
        (lambda: ts.ClosedTest(shares={"low": 1}), "shares of alpha go with a graph"),
        (
            lambda: arms(ts.ClosedTest("conventional", "bonferroni", graph=GRAPH)).replace(
                endpoints={"pfs": {"boundaries": ts.group_sequential((0.5, 0.7, 1))}}),
            "3 look\\(s\\) for 2 milestone",
        ),
        (
            lambda: arms(ts.ClosedTest()).replace(
                endpoints={"pfs": {"boundaries": ts.group_sequential((0.5, 1))}}),
            "the error of several endpoints is held by a graph alone",
        ),
    ],
)  # fmt: skip
def test_what_is_no_graph_of_the_trial_is_said_in_one_sentence(make, sentence):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=sentence) as caught:
            make()
    assert "\n" not in str(caught.value)
