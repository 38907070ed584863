"""Sizes changed at a look, sizes by a prognostic score, and single arms, beside printed tables."""

from __future__ import annotations

from typing import Any

import numpy as np

import trial_sim as ts
from trial_sim.qualification.adaptive.looks import OBF
from trial_sim.qualification.reference import Inputs


def promising_zone(inputs: Inputs) -> dict[str, Any]:
    """Power and expected size of a promising zone, with the usual and the weighted test."""
    zone = ts.PromisingZone(inputs["n1"], inputs["n"], inputs["n_max"], lower=0.365)
    theta = inputs["delta_true"] / (2 * inputs["sd"])
    usual, weighted = (zone.probabilities(theta, test) for test in ("conventional", "chw"))
    return {
        "power_fixed": usual.power_fixed,
        "power_conventional": usual.power,
        "power_chw": weighted.power,
        "expected_n": usual.expected_n,
        "prob_promising": usual.reestimated,
    }


def conditional_power_80(inputs: Inputs) -> dict[str, Any]:
    """Power and expected size where the size is changed to a conditional power of 80 %."""
    design = ts.group_sequential((0.5, 1), efficacy=OBF)
    theta: Any = "observed" if inputs["theta"] == "observed" else 2 / 15
    rule = ts.SampleSizeReestimation(design, 221, 221, 663, theta=theta)
    found = rule.probabilities(inputs["delta_true"] / 15)
    return {
        "power": found.power,
        "expected_n": found.expected_n,
        "stop_stage1": found.stopped,
    }


def smallest_promising(inputs: Inputs) -> dict[str, Any]:
    """Least conditional power from which an increase keeps the usual test's error."""
    table = [
        [ts.smallest_promising_power(t, growth) for t in (0.25, 0.5, 0.75)]
        for growth in (1.5, 2, 3, np.inf)
    ]
    return {"cpmin": table}


def blinded_rates(inputs: Inputs) -> dict[str, Any]:
    """Error, power and expected size of a trial of rates re-estimated without unblinding."""
    blinded = ts.BlindedRates(n_first=inputs["n1"], difference=inputs["delta"])
    null = blinded.probabilities(inputs["overall_rate"], difference=0.0)
    power = blinded.probabilities(inputs["overall_rate"])
    return {
        "type_one": null[0],
        "power": power[0],
        "expected_n_h0": null[1],
        "expected_n_h1": power[1],
    }


def kieser(inputs: Inputs) -> dict[str, Any]:
    """Sizes by the pooled rate that a blinded review shows."""
    plan = ts.BlindedRates(100, inputs["delta"])
    return {"n_ratio_1": [plan.n_total(round(100 * p)) for p in inputs["ratio_1_rates"]]}


def blinded_means(inputs: Inputs) -> dict[str, Any]:
    """Sizes by the pooled standard deviation that a blinded review shows."""
    return {"n": [ts.blinded_sample_size_means(inputs["delta"], sd) for sd in inputs["sd"]]}


def simon(inputs: Inputs) -> dict[str, Any]:
    """Simon's optimal and minimax designs."""
    designs = ts.simon_designs(
        inputs["p0"], inputs["p1"], alpha=inputs["alpha"], beta=inputs["beta"]
    )
    return {
        name: {
            "r1": design.r1,
            "n1": design.n1,
            "r": design.r,
            "n": design.n,
            "expected_n_p0": design.expected_n,
            "stop_p0": design.early_stop,
            "alpha": design.type_one_error,
            "power": design.power,
        }
        for name, design in (("optimal", designs.optimal), ("minimax", designs.minimax))
    }


def lee_liu(inputs: Inputs) -> dict[str, Any]:
    """A single-arm design that stops by predictive probability."""
    design = ts.predictive_probability_design(
        inputs["p0"], inputs["n_max"], prior=(0.2, 0.8), success=0.922, stop_below=0.001
    )
    first: dict[int, int] = {}
    for n, stop in zip(design.n, design.stop_at):
        if stop is not None:
            first.setdefault(stop, n)
    null, hoped = design.probabilities(inputs["p0"]), design.probabilities(inputs["p1"])
    return {
        "needed_responders": design.reject_at[-1],
        "stop_at": [[n, stop] for stop, n in first.items() if n < inputs["n_max"]],
        "alpha": null.power,
        "stop_p0": null.early_futility,
        "expected_n_p0": null.expected_n,
        "power": hoped.power,
    }


def prognostic(inputs: Inputs) -> dict[str, Any]:
    """Size of a trial adjusted by a prognostic score."""
    sizes = [ts.sample_size_prognostic(inputs["effect"], rho) for rho in inputs["rho"]]
    powers = [
        ts.sample_size_prognostic(inputs["effect"], rho, n_total=468) for rho in inputs["rho"]
    ]
    return {"n": [s.n_total for s in sizes], "power_of_468": [s.power for s in powers]}
