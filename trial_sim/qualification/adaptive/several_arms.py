"""Several arms, populations and hypotheses of one trial, beside rpact, MAMS and printed tables."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

import trial_sim as ts
from trial_sim.adaptive.sequential_graph import nominal_levels
from trial_sim.qualification.adaptive.looks import OBF
from trial_sim.qualification.reference import Inputs


class Arms:
    """Summaries of three active arms and a control in two stages, and their z-values."""

    def __init__(self, inputs: Inputs) -> None:
        data = inputs["data"]
        self.n, means, self.sds = (
            np.array(data[name], dtype=float).T for name in ("n", "means", "sds")
        )
        self.difference = means[:, :3] - means[:, 3:]

    def unpooled(self) -> np.ndarray:
        """Standard errors of the differences, one variance an arm and stage."""
        variance = self.sds**2 / self.n
        return np.sqrt(variance[:, :3] + variance[:, 3:])

    def pooled(self) -> tuple[np.ndarray, np.ndarray]:
        """Standard errors with one variance a stage, and the correlations of the stages."""
        n = self.n
        common = np.nansum((n - 1) * self.sds**2, axis=1) / np.nansum(n - 1, axis=1)
        errors = np.sqrt(common[:, None] * (1 / n[:, :3] + 1 / n[:, 3:]))
        loadings = np.nan_to_num(np.sqrt(n[:, :3] / (n[:, :3] + n[:, 3:])), nan=0.5)
        correlation = loadings[:, :, None] * loadings[:, None, :]
        for one in correlation:
            np.fill_diagonal(one, 1.0)
        return errors, correlation

    def welch(self) -> np.ndarray:
        """z-values of Welch's t-tests of each stage."""
        variance = self.sds**2 / self.n
        active, control = variance[:, :3], variance[:, 3:]
        freedom = active**2 / (self.n[:, :3] - 1) + control**2 / (self.n[:, 3:] - 1)
        df = (active + control) ** 2 / freedom
        return stats.norm.isf(stats.t.sf(self.difference / self.unpooled(), df))


def four_stages() -> ts.GroupSequential:
    """Four stages with Kim-DeMets spending and futility bounds."""
    return ts.group_sequential(
        (0.15, 0.4, 0.7, 1), alpha=0.02, efficacy=("kim_demets", 1.2), futility=[-0.5, 0, 0.5]
    )


def several_arms(inputs: Inputs) -> dict[str, Any]:
    """A closed combination test of three arms: conditional errors, repeated p-values, intervals."""
    arms, design = Arms(inputs), four_stages()
    method = inputs["intersectionTest"].lower()
    correlation: Any = None
    errors = arms.unpooled()
    z = arms.difference / errors
    if inputs["variance"] == "overallPooled":
        errors, correlation = arms.pooled()
        z = arms.difference / errors
    elif not inputs["normalApproximation"]:
        z = arms.welch()
    # rpact's conditional errors of several arms count on futility bounds that are not binding
    result = ts.closed_combination_test(z, design, method, correlation, futility=True)
    error = [list(arm) for arm in zip(*result.conditional_error)]
    found = {
        "crp": [arm if arm[1] is not None else [arm[0], None] for arm in error],
        "repeated_p_stage2": list(result.repeated_p[1]),
    }
    if inputs["normalApproximation"] and method != "sidak":
        intervals = ts.repeated_intervals(arms.difference, errors, design, method, correlation)
        found["rci_stage2"] = [None if i is None else list(i) for i in intervals]
    return found


def conditional_dunnett(inputs: Inputs) -> dict[str, Any]:
    """The conditional Dunnett test of three arms after an adaptation."""
    arms = Arms(inputs)
    errors, correlation = arms.pooled()
    z = arms.difference / errors
    error, p = ts.conditional_dunnett(z[0], z[1], 0.4, correlation, alpha=0.02)
    # rpact's p-values of stage 2 are of each arm alone; of the third arm an intersection is larger
    return {"crp_stage2": list(error), "p_values": list(p[:2])}


def nested(inputs: Inputs) -> dict[str, Any]:
    """Critical values of a population and one nested in it, by the share of the latter."""
    levels = [ts.nested_population_levels(share)[0] for share in inputs["prevalence"]]
    return {"c": stats.norm.isf(levels), "p": levels}


def nested_split(inputs: Inputs) -> dict[str, Any]:
    """Level left for the nested population where the whole one has a level of its own."""
    levels = ts.nested_population_levels(inputs["prevalence"], alpha_full=inputs["alpha_F"])
    return {"alpha_S": levels[1]}


def shared_control(inputs: Inputs) -> dict[str, Any]:
    """Error of the family of two comparisons that share a control, and its critical value."""
    z = stats.norm.isf(inputs["alpha_each"])
    correlations = [[[1, r], [r, 1]] for r in inputs["shared_control_correlation"]]
    return {
        "fwer": [ts.intersection_p_value([z, -9.0], "dunnett", c) for c in correlations],
        "c_for_fwer_025": [
            ts.dunnett_critical_value(2, 0.025, allocation=_allocation(r))
            for r in inputs["shared_control_correlation"]
        ],
    }


def _allocation(correlation: float) -> float:
    """Patients an arm for each of the control with which two comparisons correlate so."""
    return correlation / (1 - correlation) if correlation else 1e-12


def mams(inputs: Inputs) -> dict[str, Any]:
    """Dunnett's critical value of several arms at one stage."""
    return {"u": ts.dunnett_critical_value(inputs["K"], inputs["alpha"])}


def dunnett_1964(inputs: Inputs) -> list[float]:
    """Two-sided critical values of Dunnett's table for 16 degrees of freedom."""
    return [ts.dunnett_critical_value(k, 0.05, df=16, sided=2) for k in inputs["treatments"]]


def graph(inputs: Inputs) -> dict[str, Any]:
    """Adjusted p-values and rejections of a graphical procedure."""
    found = ts.graphical_test(
        inputs["p"],
        inputs["weights"],
        inputs["transitions"],
        alpha=inputs["alpha"],
        test=inputs["test"],
    )
    return {"adjusted_p": found.adjusted_p, "rejected": found.rejected}


def adjusted_only(inputs: Inputs) -> dict[str, Any]:
    """Adjusted p-values of a graphical procedure."""
    return {"adjusted_p": graph(inputs)["adjusted_p"]}


def graph_levels(inputs: Inputs) -> dict[str, Any]:
    """Nominal levels of each look at the shares of alpha that a graph may give."""
    return {
        name: [
            nominal_levels(ts.group_sequential(inputs[f"{name}_information"], efficacy=OBF), alpha)
            for alpha in inputs["alpha"]
        ]
        for name in ("PFS", "OS")
    }
