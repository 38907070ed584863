"""Adaptive designs: reference values one by one, family-wise error, speed.

    python -m benchmarks adaptive references --file adaptive_designs.json [--trials 100000]
    python -m benchmarks adaptive error [--trials 1000000] [--chunk 50000] [--only NAME]
    python -m benchmarks adaptive speed [--trials 20000]
    python -m benchmarks adaptive rpact [--trials 100000] [--r-trials 10000]
    python -m benchmarks adaptive dropped [--trials 10000]

``references`` goes through every entry of the file: exact values at their tolerance, simulated ones
within three Monte-Carlo errors of the difference; what is not built is named as such. ``error``
stores every chunk (``results/adaptive_error.jsonl``) and goes on where it was stopped. ``rpact``
runs the same multi-arm design in R (Debian: r-base-core, r-cran-rpact, r-cran-mnormt).
``dropped`` counts patients who come to dropped arms, and events counted from them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

import trial_sim as ts
from benchmarks import stored
from trial_sim.adaptive.conditional_errors import combined_z, crossing_after
from trial_sim.adaptive.posteriors import (
    best_of_rates,
    neyman_shares,
    rate_better,
    rsihr_shares,
    thompson_shares,
)
from trial_sim.adaptive.sequential_graph import nominal_levels
from trial_sim.sequential.boundaries import exit_probabilities
from trial_sim.sequential.multiplicity import equicoordinate_critical_value, normal_orthant
from trial_sim.sequential.plain_bounds import Bounds

Q = ts.Quantity
TWO = {"control": 1, "treatment": 1}
LATER = (
    "three_plus", "ps_", "fujikawa", "bhm", "be_", "blrm", "boin", "crm", "keyboard", "mtpi",
    "tite", "robust_map", "map_", "power_prior", "commensurate", "mcp", "rubin", "j2r",
    "reference_based", "maic", "win_ratio", "finkelstein", "rmst", "stepped", "cluster", "tipping",
)  # fmt: skip
Found = list[tuple[str, float, float, float]]  # name, ours, reference, tolerance


def row(name: str, ours: Any, wanted: Any, tolerance: float) -> Found:
    """Rows of one quantity, element by element; None in the reference is skipped."""
    pairs = zip(_flat(ours), _flat(wanted))
    return [
        (name, float(a), float(b), tolerance) for a, b in pairs if b is not None and a is not None
    ]


def _flat(values: Any) -> list[Any]:
    if isinstance(values, list | tuple | np.ndarray):
        return [one for value in values for one in _flat(value)]
    return [values]


def chance(name: str, ours: np.ndarray, wanted: float, theirs: float = 2e6) -> Found:
    """A share of simulated trials beside one of a reference's, three errors of the difference."""
    n = len(ours)
    se = np.sqrt(
        max(wanted * (1 - wanted), 1e-9) * (1 / n + (0 if np.isinf(theirs) else 1 / theirs))
    )
    return [(name, float(np.mean(ours)), wanted, 3 * se)]


def mean(name: str, ours: np.ndarray, wanted: float, slack: float) -> Found:
    """A mean of simulated trials; slack: of rounding to whole patients, and of the reference."""
    return [
        (name, float(np.mean(ours)), wanted, 3 * float(np.std(ours)) / np.sqrt(len(ours)) + slack)
    ]


# -- designs that are simulated --------------------------------------------------------------------


def arms_trial(
    intersection: str, rules: Any = (), stop: str = "all", **changes: Any
) -> ts.AdaptiveDesign:
    """Three arms and a control in two stages, 30 an arm and stage, standard deviation 15."""
    fields: dict[str, Any] = {
        "arms": {"control": 1, "a": 1, "b": 1, "c": 1},
        "n_patients": 240,
        "accrual": ts.Accrual(rate=20),
        "looks": ts.EnrolmentLooks([120, 240]),
        "test": ("z_test", 15),
        "boundaries": ts.group_sequential((0.5, 1), efficacy="obrien_fleming"),
        "multiplicity": "unadjusted",
    }
    return ts.AdaptiveDesign(
        ts.Design(**(fields | changes)),
        [
            ts.Milestone("interim", ts.EnrolmentLooks([120]), rules),
            ts.Milestone("final", ts.EnrolmentLooks([240])),
        ],
        ts.ClosedTest(intersection=intersection, stop=stop),
    )


BEST = ts.Rule("rank > 1", ts.DropArm(keep_size=False))
NEAR_BEST = ts.Rule("below_best > 3", ts.DropArm(keep_size=False))


def enrichment(intersection: str) -> ts.AdaptiveDesign:
    """A stratum of half the patients within all, two stages of 200 with 100 of it in each."""
    return ts.AdaptiveDesign(
        ts.Design(
            arms=TWO, n_patients=400, accrual=ts.Accrual(rate=20),
            looks=ts.EnrolmentLooks([200, 400]), test=("z_test", 1),
            boundaries=ts.group_sequential((0.5, 1), efficacy="obrien_fleming"),
            strata={"marker": {"S": 0.5, "not S": 0.5}}, strata_quota=200,
        ),
        [
            ts.Milestone("interim", ts.EnrolmentLooks([200]), [
                ts.Rule("estimate of population 'S' minus estimate > 0.15", ts.Restrict("S")),
                ts.Rule(
                    "estimate of population 'S' minus estimate <= 0.15 and rejected >= 1", "Stop"
                ),
            ]),
            ts.Milestone("final", ts.EnrolmentLooks([400])),
        ],
        ts.ClosedTest(intersection=intersection, stop="all"),
    )  # fmt: skip


def sized(first: int, planned: int, bounds: Any, rule: ts.Rule, combine: str) -> ts.AdaptiveDesign:
    """A trial of two means, sd 7.5 known, that may grow at one look."""
    return ts.AdaptiveDesign(
        ts.Design(
            arms=TWO, n_patients=planned, accrual=ts.Accrual(rate=20),
            looks=ts.EnrolmentLooks([first, planned]), test=("z_test", 7.5), boundaries=bounds,
        ),
        [
            ts.Milestone("interim", ts.EnrolmentLooks([first]), rule),
            ts.Milestone("final", ts.EnrolmentLooks([planned])),
        ],
        ts.ClosedTest(combine),
    )  # fmt: skip


def selected(entry: dict, n: int) -> Found:
    effects = dict(zip("abc", entry["inputs"]["effects"]))
    name = entry["inputs"]["intersection"].lower()
    kind = entry["inputs"]["selection"]
    outcomes = ts.ContinuousResponse(effects, sd=15)
    if kind.startswith("arm with"):
        result = ts.simulate(arms_trial(name, BEST), outcomes, n, seed=11)
    elif kind.startswith("all arms continue"):
        result = ts.simulate(arms_trial(name), outcomes, n, seed=11)
    else:
        result = ts.simulate(arms_trial(name, NEAR_BEST), outcomes, n, seed=11)
    want = entry["expected"]
    found = chance("any", result.success, want["reject_any"])
    for c, value in enumerate(want["reject_arm"]):
        found += chance(f"arm {c + 1}", result.rejected[:, c], value)
    if "stop_stage1" in want:
        found += chance("stop", result.conducted.last_look == 0, want["stop_stage1"])
    return found + mean("patients", result.patients, want["expected_n"], 0.1)


def enriched(entry: dict, n: int) -> Found:
    given, want = entry["inputs"], entry["expected"]
    outcomes = ts.BySubgroup("marker", {
        "S": ts.ContinuousResponse(given["effect_S"]),
        "not S": ts.ContinuousResponse(given["effect_complement"]),
    })  # fmt: skip
    name = given["intersection"].lower().replace("-", "_")
    result = ts.simulate(enrichment(name), outcomes, n, seed=12)
    full, stratum = result.rejected_hypotheses.T
    found = chance("any", result.success, want["reject_any"])
    found += chance("S", stratum, want["reject_S"]) + chance("F", full, want["reject_F"])
    found += chance("S only", result.conducted.fired[:, 0, 0], want["S_only"])
    found += chance("stop", result.conducted.last_look == 0, want["stop_stage1"])
    return found + mean("patients", result.patients, want["expected_n"], 0.15)


def reestimated(entry: dict, n: int) -> Found:
    given, want = entry["inputs"], entry["expected"]
    gs = ts.group_sequential((0.5, 1), efficacy="lan_demets_obrien_fleming")
    by = "conditional_power" if given["theta"] == "observed" else 2.0
    rule = ts.SampleSizeReestimation(
        gs, 221, 221, 663, theta="observed" if by == "conditional_power" else by / (2 * 7.5)
    )
    exact = rule.probabilities(given["delta_true"] / (2 * 7.5))
    found = row("power", exact.power, want["power"], 1e-6)
    found += row("patients", exact.expected_n, want["expected_n"], 1e-3)
    adaptive = sized(221, 442, gs, ts.Rule("n >= 0", ts.Resize(n=884, by=by)), "inverse_normal")
    outcomes = ts.ContinuousResponse(given["delta_true"], sd=7.5)
    result = ts.simulate(adaptive, outcomes, n, seed=13)
    found += chance("simulated power", result.success, want["power"], np.inf)
    found += chance("simulated stop", result.conducted.last_look == 0, want["stop_stage1"], np.inf)
    return found + mean("simulated patients", result.patients, want["expected_n"], 1.0)


def promising(entry: dict, n: int) -> Found:
    delta, want = entry["inputs"]["delta_true"], entry["expected"]
    zone = ts.PromisingZone(208, 442, 884, lower=0.365)
    theta = delta / (2 * 7.5)
    # the reference's Simpson sum steps over the edges of the zone, which costs it 5e-6: the
    # chance of the zone is a difference of two normal probabilities, and ours to 1e-12
    chw, usual = zone.probabilities(theta, "chw"), zone.probabilities(theta, "conventional")
    found = row("power, chw", chw.power, want["power_chw"], 5e-6)
    found += row("power, conventional", usual.power, want["power_conventional"], 5e-6)
    found += row("patients", chw.expected_n, want["expected_n"], 5e-3)
    found += row("promising", chw.reestimated, want["prob_promising"], 5e-6)
    rule = ts.Rule("conditional_power >= 0.365 and conditional_power < 0.8", ts.Resize(n=884))
    bounds = Bounds([None, 1.959964], (), [208 / 442, 1])
    outcomes = ts.ContinuousResponse(delta, sd=7.5)
    for combine, name in (("inverse_normal", "chw"), ("conventional", "conventional")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            adaptive = sized(208, 442, bounds, rule, combine)
        result = ts.simulate(adaptive, outcomes, n, seed=14)
        found += chance(f"simulated power, {name}", result.success, want[f"power_{name}"], np.inf)
    found += mean("simulated patients", result.patients, want["expected_n"], 1.0)
    fired = result.conducted.fired[:, 0, 0]
    return found + chance("simulated promising", fired, want["prob_promising"], np.inf)


# -- exact values ----------------------------------------------------------------------------------


def one_sample(data: dict, null: float) -> np.ndarray:
    n, means, sds = (np.array(data[k], dtype=float) for k in ("n", "means", "sds"))
    return stats.t.sf((means - null) / (sds / np.sqrt(n)), n - 1)


def overall_z(data: dict, null: float) -> np.ndarray:
    n, means, sds = (np.array(data[k], dtype=float) for k in ("n", "means", "sds"))
    total = np.cumsum(n)
    mean_ = np.cumsum(n * means) / total
    squares = np.array([
        ((n - 1) * sds**2)[:k].sum() + (n * (means - mean_[k - 1]) ** 2)[:k].sum()
        for k in range(1, len(n) + 1)
    ])  # fmt: skip
    t = (mean_ - null) / np.sqrt(squares / (total - 1) / total)
    return stats.norm.isf(stats.t.sf(t, total - 1))


def four_stages() -> Any:
    return ts.group_sequential(
        (0.25, 0.5, 0.75, 1), efficacy=("wang_tsiatis", 0.4), futility=[0.5244] * 3
    )


def several_arms(entry: dict, n: int) -> Found:
    given, want, tol = entry["inputs"], entry["expected"], 2e-6
    data = {k: np.array(v, dtype=float).T for k, v in given["data"].items() if k != "arms"}
    difference = data["means"][:, :3] - data["means"][:, 3:]
    variance = data["sds"] ** 2 / data["n"]
    active, control = variance[:, :3], variance[:, 3:]
    errors, correlation = np.sqrt(active + control), None
    if given["variance"] == "overallPooled":
        n_ = data["n"]
        common = np.nansum((n_ - 1) * data["sds"] ** 2, axis=1) / np.nansum(n_ - 1, axis=1)
        errors = np.sqrt(common[:, None] * (1 / n_[:, :3] + 1 / n_[:, 3:]))
        share = np.nan_to_num(np.sqrt(n_[:, :3] / (n_[:, :3] + n_[:, 3:])), nan=0.5)
        correlation = share[:, :, None] * share[:, None, :]
        for one in correlation:
            np.fill_diagonal(one, 1.0)
    z = difference / errors
    if not given["normalApproximation"]:
        df = (active + control) ** 2 / (
            active**2 / (data["n"][:, :3] - 1) + control**2 / (data["n"][:, 3:] - 1)
        )
        z = stats.norm.isf(stats.t.sf(z, df))
    if entry["kind"] == "conditional_dunnett":
        error, p = ts.conditional_dunnett(z[0], z[1], 0.4, correlation, alpha=0.02)
        found = row("conditional error", error, want["crp_stage2"], 1e-6)
        return found + row("p", p, want["p_values"], 1e-6)
    design = ts.group_sequential(
        (0.15, 0.4, 0.7, 1), alpha=0.02, efficacy=("kim_demets", 1.2), futility=[-0.5, 0, 0.5]
    )
    name = given["intersectionTest"].lower()
    result = ts.closed_combination_test(z, design, name, correlation, futility=True)
    found = row("conditional error", np.array(result.conditional_error, dtype=object).T.tolist(),
                want["crp"], tol)  # fmt: skip
    found += row("repeated p", list(result.repeated_p[1]), want["repeated_p_stage2"], tol)
    if "rci_stage2" in want:
        made = ts.repeated_intervals(difference, errors, design, name, correlation)
        for mine, theirs in zip(made, want["rci_stage2"]):
            if theirs is not None:
                found += row("interval", mine, theirs, 3e-5)
    return found


def four_stage_values(entry: dict, n: int) -> Found:
    given, want = entry["inputs"], entry["expected"]
    design, p = four_stages(), one_sample(given["data"], 10.0)
    found: Found = []
    if "test_statistics" in want:
        found += row("p", p[:2], want["p_values_t"], 1e-7)
        z = combined_z(design, stats.norm.isf(p))
        found += row("combined z", z[:2], want["comb_inverse_normal"], 1e-7)
    if "conditional_rejection_probabilities" in want:
        ours = [ts.conditional_error(design, p[:k]) for k in (1, 2, 3)]
        found += row("error", ours, want["conditional_rejection_probabilities"], 1e-7)
    if "repeated_p_values" in want:
        ours = [ts.repeated_p_value(design, p[:k]) for k in (1, 2, 3)]
        found += row("repeated p", ours, want["repeated_p_values"], 1.5e-6)
    if "conditional_power_stage4" in want:
        ours = ts.conditional_error(design, p, expected_z=0.4 * np.sqrt(30))
        found += row("power", ours, want["conditional_power_stage4"], 1e-7)
    if "theta" in given:
        ours = [
            ts.conditional_error(design, p[:2], (mean - 10) / 100 * np.sqrt([30, 20]))
            for mean in given["theta"]
        ]
        found += row("power", ours, want["conditional_power"], 5e-6)
    if "lower" in want:
        found += repeated_t_intervals(given["data"], design, want)
    if "final_p" in want:
        found += final_inference(given["data"], design, want)
    return found


def repeated_t_intervals(data: dict, design: Any, want: dict) -> Found:
    """All means that the combination of one-sample t-tests does not reject at each stage."""
    from trial_sim.numerics.roots import solve_between

    found: Found = []
    for k in (1, 2, 3):
        bound = float(design.efficacy_bounds[k - 1])

        def gap(mean: float, sign: float, k: int = k, bound: float = bound) -> float:
            p = one_sample({key: data[key][:k] for key in ("n", "means", "sds")}, mean)
            p = p if sign > 0 else 1.0 - p
            z = -stats.norm.ppf(np.clip(p, 1e-300, 1 - 1e-16))
            return float(combined_z(design, z)[-1]) - bound

        lower = solve_between(lambda v, g=gap: g(v, 1.0), -300.0, 300.0)
        upper = solve_between(lambda v, g=gap: g(v, -1.0), -300.0, 300.0)
        found += row("lower", lower, want["lower"][k - 1], 2e-5)
        found += row("upper", upper, want["upper"][k - 1], 2e-5)
    return found


def final_inference(data: dict, design: Any, want: dict) -> Found:
    """Stagewise ordering of the combined z at the third stage."""
    p = one_sample({key: data[key][:3] for key in ("n", "means", "sds")}, 10.0)
    z = float(combined_z(design, stats.norm.isf(p))[-1])
    result = design.inference(3, z)
    return row("p", result.p_value, want["final_p"], 1e-6)


def fisher_values(entry: dict, n: int) -> Found:
    given, want = entry["inputs"], entry["expected"]
    p = one_sample(given["data"], 10.0)
    if "comb_fisher" in want:
        return row("product", np.cumprod(p)[:2], want["comb_fisher"], 1e-7)
    design = ts.fisher_design(4, 0.025, futility_p=0.4)
    ours = [ts.conditional_error(design, p[:k]) for k in (1, 2, 3)]
    found = row("error", ours, want["conditional_rejection_probabilities"], 1e-7)
    ours = [ts.repeated_p_value(design, p[:k]) for k in (1, 2, 3)]
    return found + row("repeated p", ours, want["repeated_p_values"], 1.5e-6)


def fisher_bounds(entry: dict, n: int) -> Found:
    given = entry["inputs"]
    method = {"fullAlpha": "full_alpha", "noInteraction": "no_interaction",
              "equalAlpha": "equal_alpha"}[given["method"]]  # fmt: skip
    t = given.get("informationRates")
    weights = None if t is None else np.sqrt(np.diff(t, prepend=0) / t[0])
    design = ts.fisher_design(given["kMax"], given["alpha"], given["alpha0"], method, weights)
    wanted = entry["expected"]["c"]
    if method == "no_interaction":  # the first printed value has an error of .025011
        return row("c", design.critical_values[1:], wanted[1:], 1e-7)
    return row("c", design.critical_values, wanted, 1e-7)


def group_sequential_values(entry: dict, n: int) -> Found:
    name, want = entry["id"], entry["expected"]
    found: Found = []
    if name == "gs_crp_k3":
        design = ts.group_sequential((1 / 3, 2 / 3, 1), efficacy=("wang_tsiatis", 0.4))
        z = overall_z(entry["inputs"]["data"], 25)
        ours = [design.conditional_power(k + 1, z[k], "null") for k in range(2)]
        found += row("error", ours, want["crp"], 1e-7)
        planned = crossing_after(design, 2, z[1], np.array([-0.03 * np.sqrt(130)]))
        return found + row(
            "power", planned, want["conditional_power_nPlanned130_thetaH1_22_sd100"], 1e-7
        )
    if name == "gs_k4_crp_equal_n":
        design = ts.group_sequential((0.25, 0.5, 0.75, 1), efficacy=("wang_tsiatis", 0.4))
        z = overall_z(entry["inputs"]["data"], 10)
        ours = [design.conditional_power(k + 1, z[k], "null") for k in range(3)]
        found += row("error", ours, want["crp"], 1e-7)
        ours = [design.repeated_p_value(k + 1, z[k]) for k in range(3)]
        return found + row("repeated p", ours, want["repeated_p"], 1.5e-6)
    if name == "surv_k3_crp":
        design = ts.group_sequential((0.2, 0.4, 1), efficacy=("wang_tsiatis", 0.25))
        z = entry["inputs"]["data"]["overallLogRanks"]
        ours = [design.conditional_power(k + 1, z[k], "null") for k in range(2)]
        found += row("error", ours, want["crp"], 1e-7)
        ours = [design.repeated_p_value(k + 1, z[k]) for k in range(3)]
        found += row("repeated p", ours, want["repeated_p"], 1.5e-6)
        final = design.inference(3, 2.9, information=38 / 4)
        found += row("final p", final.p_value, want["final_p"], 1e-7)
        found += row("interval", np.exp([final.lower, final.upper]), want["final_ci"], 2e-6)
        return found + row("median", np.exp(final.estimate), want["median_unbiased_hr"], 1e-6)
    rates = ts.group_sequential((0.2, 1), efficacy=("kim_demets", 2.8))
    z = float(stats.norm.isf(stats.binom.sf(22, 33, 0.4)))
    found += row("error", rates.conditional_power(1, z, "null"), want["crp"], 1e-6)
    return found + row("repeated p", rates.repeated_p_value(1, z), want["repeated_p"], 1.5e-6)


def planned_designs(entry: dict, n: int) -> Found:
    name, want = entry["id"], entry["expected"]
    if name == "in_hsd0":
        gs = ts.group_sequential(
            (0.2, 0.4, 1), alpha=0.03, power=0.86, efficacy=("hwang_shih_decani", 0)
        )
        return row("bounds", gs.efficacy_bounds, want["bounds"], 1e-6) + row(
            "inflation", gs.inflation_factor, want["inflation"], 1e-6
        )
    if name == "in_hsd_beta":
        gs = ts.group_sequential(
            (0.2, 0.4, 1), alpha=0.07, power=0.86, efficacy=("hwang_shih_decani", -1),
            futility=("hwang_shih_decani", -2),
        )  # fmt: skip
        found = row("bounds", gs.efficacy_bounds, want["bounds"], 1e-6)
        found += row("futility", gs.futility_bounds[:2], want["futility"], 1e-6)
        return found + row("inflation", gs.inflation_factor, want["inflation"], 1e-6)
    if name == "in_wt_binding":
        gs = ts.group_sequential(
            (0.25, 0.5, 0.75, 1), alpha=0.035, efficacy=("wang_tsiatis", 0.4),
            futility=[0.5244] * 3, binding=True,
        )  # fmt: skip
        return row("bounds", gs.efficacy_bounds, want["bounds"], 1e-6)
    if name == "hp_k4":
        gs = ts.group_sequential((0.25, 0.5, 0.75, 1), efficacy=("haybittle_peto", 3))
        return row("bound", gs.efficacy_bounds[-1], want["final_bound"], 1e-6)
    gs = ts.group_sequential(
        tuple(entry["inputs"]["timing"]), alpha=0.0125, power=0.9505021,
        efficacy="lan_demets_obrien_fleming",
    )  # fmt: skip
    found = row("z", gs.efficacy_bounds, want["z"], 5e-5)
    return found + row("p", stats.norm.sf(gs.efficacy_bounds), want["p"], 5e-6)


def graphs(entry: dict, n: int) -> Found:
    given, want = entry["inputs"], entry["expected"]
    result = ts.graphical_test(
        given["p"], given["weights"], given["transitions"], given["alpha"], given["test"]
    )
    ours = list(result.adjusted_p)
    return row("adjusted p", ours, want["adjusted_p"], 1e-9)


def sequential_graphs(entry: dict, n: int) -> Found:
    spend = "lan_demets_obrien_fleming"
    designs = {
        "PFS": ts.group_sequential((0.7, 1), efficacy=spend),
        "OS": ts.group_sequential((0.5, 0.75, 1), efficacy=spend),
    }
    if entry["id"] == "graph_group_sequential_bounds":
        found: Found = []
        for name, design in designs.items():
            for alpha, wanted in zip(entry["inputs"]["alpha"], entry["expected"][name]):
                found += row(name, nominal_levels(design, alpha), wanted, 1e-8)
        return found
    weights = {"PFS": 0.2, "OS": 0.8}
    transitions = {"PFS": {"OS": 1}, "OS": {"PFS": 1}}
    one = ts.sequential_graph_test([{"PFS": 0.003, "OS": 0.0008}], designs, weights, transitions)
    two = ts.sequential_graph_test([{"PFS": 0.003, "OS": 0.002}], designs, weights, transitions)
    found = row("case 1", len(one.rejected), 2, 0) + row("case 2", len(two.rejected), 0, 0)
    return found + row("bounds", [r.nominal for r in one.rejections], [0.001002, 0.007384], 1e-6)


def simple(entry: dict, n: int) -> Found:
    name, given, want = entry["id"], entry["inputs"], entry["expected"]
    if name.startswith("simon"):
        made = ts.simon_designs(given["p0"], given["p1"], given["alpha"], given["beta"])
        found: Found = []
        for kind in ("optimal", "minimax"):
            one, theirs = getattr(made, kind), want[kind]
            found += row(kind, [one.r1, one.n1, one.r, one.n],
                         [theirs[k] for k in ("r1", "n1", "r", "n")], 0)  # fmt: skip
            found += row("n", one.expected_n, theirs["expected_n_p0"], 1e-3)
            found += row("chances", [one.early_stop, one.type_one_error, one.power],
                         [theirs[k] for k in ("stop_p0", "alpha", "power")], 1e-6)  # fmt: skip
        return found
    if name == "predictive_probability_design":
        design = ts.predictive_probability_design(
            0.2, 36, prior=(0.2, 0.8), success=0.922, stop_below=0.001
        )
        null, hoped = design.probabilities(0.2), design.probabilities(0.4)
        found = row("needed", design.reject_at[-1], want["needed_responders"], 0)
        found += row("alpha", null.power, want["alpha"], 1e-8)
        found += row("n", null.expected_n, want["expected_n_p0"], 1e-7)
        return found + row("power", hoped.power, want["power"], 1e-8)
    if name.startswith("blinded_ssr_chisq"):
        made = ts.BlindedRates(given["n1"], given["delta"])
        null = made.probabilities(given["overall_rate"], 0.0)
        true = made.probabilities(given["overall_rate"])
        return row("errors and sizes", [null[0], true[0], null[1], true[1]],
                   [want[k] for k in ("type_one", "power", "expected_n_h0", "expected_n_h1")],
                   1e-7)  # fmt: skip
    if name == "blinded_ssr_ttest_nfix":
        ours = [ts.blinded_sample_size_means(5, sd) for sd in given["sd"]]
        return row("n", ours, want["n"], 1e-5)
    if name == "kieser_nfix":
        sizes = [ts.BlindedRates(20, 0.2).n_total(round(20 * r)) for r in given["ratio_1_rates"]]
        return row("n", sizes, want["n_ratio_1"], 0)
    if name == "cpmin_table":
        ours = [
            [ts.smallest_promising_power(t, growth) for t in (0.25, 0.5, 0.75)]
            for growth in (1.5, 2.0, 3.0, np.inf)
        ]
        return row("least power", ours, want["cpmin"], 1e-4)
    if name == "enrich_spiessens_debois":
        levels = [ts.nested_population_levels(s)[0] for s in given["prevalence"]]
        return row("p", levels, want["p"], 1e-8) + row("c", stats.norm.isf(levels), want["c"], 1e-7)
    if name == "enrich_split_alpha":
        return row("alpha", ts.nested_population_levels(0.5, alpha_full=0.015)[1],
                   want["alpha_S"], 1e-8)  # fmt: skip
    if name == "naive_three_arms_fwer":
        c = float(stats.norm.isf(0.025))
        pairs = [np.array([[1, r], [r, 1.0]]) for r in given["shared_control_correlation"]]
        found = row("error", [1 - normal_orthant([c, c], r) for r in pairs], want["fwer"], 1e-8)
        ours = [equicoordinate_critical_value(r, 0.025) for r in pairs]
        return found + row("c", ours, want["c_for_fwer_025"], 1e-7)
    if name == "thompson_three_arms":
        x, size = [5, 9, 12], [20] * 3
        best = best_of_rates(x, size)
        found = row("best", best, want["p_best"], 1e-7)
        ours = [rate_better((5, 20), (k, 20)) for k in (9, 12)]
        found += row("better", ours, want["better_than_first"], 1e-7)
        found += row("tempered", thompson_shares(best, 0.5), want["tempered_half"], 1e-7)
        grown = thompson_shares(best, 60 / 400)
        return found + row("n/2N", grown, want["tempered_n_over_2N_60_of_200"], 1e-7)
    if name == "rar_targets":
        found = row("neyman", neyman_shares(given["p"])[0], want["neyman_first"], 1e-9)
        return found + row("rsihr", rsihr_shares(given["p"])[0], want["rsihr_first"], 1e-9)
    if name == "optimal_control_share":
        ours = [np.sqrt(k) / (k + np.sqrt(k)) for k in given["K"]]
        return row("share (of the formula alone)", ours, want["control_share"], 1e-9)
    if name == "platform_overlap":
        c = float(stats.norm.isf(0.025))
        both = [normal_orthant([-c, -c], np.array([[1, f / 2], [f / 2, 1.0]])) for f in given["f"]]
        return row("both rejected", both, want["both_rejected_h0"], 1e-8)
    if name == "condpower_east":
        return condpower_east(want)
    raise NotImplementedError


def multi_arm_bounds(entry: dict, n: int) -> Found:
    """Bounds of the MAMS package: exact here, there by 20 nodes a stage.

    Its tests hold three digits by testthat's tolerance, which is relative.
    """
    name, given, want = entry["id"], entry["inputs"], entry["expected"]
    root2 = np.sqrt(2)
    alpha = given.get("alpha", 0.05)
    if name.startswith("mams_stepdown"):
        control, active = given["nMat_control"], given["nMat_active"]
        sizes = [[c, *[a] * given["K"]] for c, a in zip(control, active)]
        kind = "best" if given["selection"] == "select.best" else "all_promising"
        found = ts.step_down_bounds(sizes, given["alpha_star"], given["lb"], kind)
        return [
            one
            for arms, key in (((1,), "u_single"), ((1, 2), "u_pair"), ((1, 2, 3), "u_triple"))
            for one in row(key, found[arms], want[key], 0.01)
        ]
    if name == "mams_doc_update":
        stages = [given["stage1_n"], [given["total_n"]] * (given["K"] + 1)]
        planned = ts.multi_arm_bounds(
            given["K"], alpha=alpha, efficacy="obrien_fleming", futility=0
        )
        return row("u", planned.update(stages, 1).efficacy_bounds, want["u"], 1e-3)
    triangular = ts.multi_arm_bounds(3, alpha=0.05, control=2)
    if name == "mams_new_bounds":
        sizes = np.transpose(given["observed_n_by_arm"])
        return row("u", triangular.update(sizes, 1).efficacy_bounds, want["u"], 1e-3)
    if name.startswith("mams_m2_sim"):
        effects = [root2 * stats.norm.ppf(p) for p in given["pv"]]
        chances = triangular.chances(effects, 38)
        found = row("any", sum(chances.any_rejected), want["reject_any"], 0.0021)
        return found + row("expected patients", chances.expected_n, want["ESS"], 0.5)
    j = given["J"]
    shapes = {"triangular": "triangular", "obf": "obrien_fleming", "pocock": "pocock"}
    efficacy = shapes.get(given.get("ushape", given.get("shape", "obf")), [3, 2, 1])
    futility = shapes.get(given.get("lshape", given.get("shape", "obf")), 0.0)
    r, r0 = (np.atleast_1d(given[k]).astype(float) for k in ("r", "r0"))
    bounds = ts.multi_arm_bounds(
        given["K"], r / r[-1], alpha, efficacy if j > 1 else "pocock", futility, r0[0] / r[0]
    )
    if "OR" in given:
        prob = np.array(given["prob"])
        root = np.sqrt((1 - (prob**3).sum()) / 3)
        effects = [np.log(given["OR"]) * root, np.log(given["OR0"]) * root]
    elif "delta" in given:
        effects = [given["delta"] / given["sd"], given["delta0"] / given["sd"]]
    else:
        effects = [root2 * stats.norm.ppf(given[k]) for k in ("p", "p0")]
    found = row("u", bounds.efficacy_bounds, want["u"], 1e-3 * np.max(want["u"]))
    if "l" in want:
        found += row("l", bounds.futility_bounds, want["l"], 1e-3)
    size = bounds.sample_size(*effects, power=given["power"])
    if "N" in want:
        found += row("N", sum(size[-1]), want["N"], 0)
    if "n" in want:  # older versions: patients of an arm of ratio 1; newer: of the control
        found += row("n", size[0][0] if size[0][0] == want["n"] else size[0][1], want["n"], 0)
    return found


def enriched_analysis(entry: dict, n: int) -> Found:
    """A stratum within all patients, the latter left after the first stage (rpact's t-tests)."""
    want, data = entry["expected"], entry["inputs"]
    gs = ts.group_sequential(
        (0.5, 0.7, 1), alpha=0.02, efficacy="obrien_fleming", futility=[-0.5, 0]
    )
    part, whole = data["S1"], data["F"]

    def z(of: dict, stage: int, sd: float, df: int) -> float:
        n1, n2, m1, m2 = (of[k][stage] for k in ("n1", "n2", "mean1", "mean2"))
        return float(stats.norm.isf(stats.t.sf((m2 - m1) / sd / np.sqrt(1 / n1 + 1 / n2), df)))

    def pooled(of: dict, stage: int) -> tuple[float, int]:
        n1, n2, s1, s2 = (of[k][stage] for k in ("n1", "n2", "sd1", "sd2"))
        df = n1 + n2 - 2
        return float(np.sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / df)), df

    first = [z(of, 0, *pooled(whole, 0)) for of in (part, whole)]
    later = z(part, 1, *pooled(part, 1))
    stage_z = np.array([first, [later, np.nan]])
    result = ts.closed_combination_test(stage_z, gs, "bonferroni")
    for name in ("conditional_error", "repeated_p"):
        ours = np.array(getattr(result, name), dtype=object).T.tolist()
        key = "crp" if name == "conditional_error" else name
        for mine, theirs in zip(ours, want[key]):
            for a, b in zip(mine, theirs):
                if b is not None:
                    entry.setdefault("found", []).extend(row(name, a, b, 1e-6))
    found: Found = entry.pop("found")
    mean_ = 30 / 88 * np.sqrt(20 * 10 / 30)
    p = stats.norm.sf([*first, later])
    ways = ([p[0], p[2]], [min(1.0, 2 * p[:2].min()), p[2]])
    power = min(ts.conditional_error(gs, one, expected_z=mean_) for one in ways)
    return found + row("conditional power", power, want["conditional_power_S1"], 1e-6)


def condpower_east(want: dict) -> Found:
    """A second stage of 403 instead of the planned one, the observed effect going on."""
    gs = ts.group_sequential((0.5, 1), efficacy=("hwang_shih_decani", -4), power=0.9)
    first = 0.5 * 800 * gs.inflation_factor
    z = 1.151764990571
    mean_ = z / np.sqrt(first) * np.sqrt(403)
    p = float(stats.norm.sf(z))
    ours = ts.conditional_error(gs, [p], expected_z=mean_)
    return row("power", ours, want["conditional_power"], 1e-3)


def gs_design(entry: dict, n: int) -> Found:
    """gsDesign's defaults: HSD(-4), one-sided .025 (or both sides), power .9, equal spacing."""
    given, want = entry["inputs"], entry["expected"]
    k = given["k"]
    gs = ts.group_sequential(
        tuple((np.arange(k) + 1) / k), efficacy=("hwang_shih_decani", -4), power=0.9
    )
    t = np.asarray(gs.information_fractions)
    if entry["id"] == "gspos":  # theta in units of a fixed trial of size 1
        never = np.full(k, -np.inf)
        chances = [
            exit_probabilities(
                t, gs.efficacy_bounds, never, theta * np.sqrt(gs.inflation_factor), 1
            ).rejection.sum()
            for theta in given["theta"]
        ]
        return row("chance", float(np.dot(chances, given["wgts"])), want["POS"], 1e-6)
    size = given["n_fix"] * gs.inflation_factor * t
    thetas = [given["theta"]]
    if given["theta"] == "observed":  # printed is the sum over three: observed, none, planned
        planned = (stats.norm.isf(0.025) + stats.norm.isf(0.1)) / np.sqrt(given["n_fix"])
        thetas = [given["zi"] / np.sqrt(size[0]), 0.0, planned]
    later = np.sqrt(np.diff(size))
    ours = sum(crossing_after(gs, 1, given["zi"], theta * later) for theta in thetas)
    return row("crossing", ours, next(iter(want.values())), 1e-6)


def zone_of_gs_design(entry: dict, n: int) -> Found:
    """A zone of conditional power with bounds at the look, the usual test of all patients."""
    given, want = entry["inputs"], entry["expected"]
    n = min(n, 4_000)
    gs = ts.group_sequential((0.5, 1), efficacy=("hwang_shih_decani", -4), power=0.9)
    planned = int(np.ceil(given["design"]["n_fix"] * gs.inflation_factor))
    low, high = given["cpadj"]
    rule = ts.Rule(
        f"conditional_power >= {low} and conditional_power < {high}",
        ts.Resize(n=int(given["maxinc"] * planned), target=1 - given["beta"]),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adaptive = ts.AdaptiveDesign(
            ts.Design(
                arms=TWO, n_patients=planned, accrual=ts.Accrual(rate=200),
                looks=ts.EnrolmentLooks([planned // 2, planned]), test=("z_test", 1),
                boundaries=gs,
            ),
            [
                ts.Milestone("interim", ts.EnrolmentLooks([planned // 2]), rule),
                ts.Milestone("final", ts.EnrolmentLooks([planned])),
            ],
            ts.ClosedTest("conventional"),
        )  # fmt: skip
    # theta of one sample is half the difference of two arms of half the size each
    outcomes = ts.ContinuousResponse(2 * given["theta"])
    result = ts.simulate(adaptive, outcomes, n, seed=15)
    se = np.sqrt(want["power"] * (1 - want["power"]) / n)
    return [("power", result.power, want["power"], 0.01 + 3 * se)]


KINDS: list[tuple[tuple[str, ...], Callable[[dict, int], Found]]] = [
    (("mams_select_best", "mams_keep_all", "mams_epsilon"), selected),
    (("mams_",), multi_arm_bounds),
    (("enrichment_S1",), enriched_analysis),
    (("enrich_2stage",), enriched),
    (("ssr_in_cp80",), reestimated),
    (("promising_zone",), promising),
    (("ma_", "conditional_dunnett"), several_arms),
    (("in_comb", "in_crp", "in_repeated_p", "in_cond_power", "in_rci", "in_final"),
     four_stage_values),
    (("fisher_crp", "fisher_comb"), fisher_values),
    (("fisher_k",), fisher_bounds),
    (("gs_crp_k3", "gs_k4", "surv_k3", "rates_exact"), group_sequential_values),
    (("in_hsd", "in_wt", "hp_k4", "gsd_tte"), planned_designs),
    (("graph_bonf", "graph_simes"), graphs),
    (("graph_group",), sequential_graphs),
    (("gspos", "gscp"), gs_design),
    (("ssr_power_east",), zone_of_gs_design),
    (("",), simple),
]  # fmt: skip


def references(file: Path, trials: int, only: str) -> None:
    """Print each entry: matched, not, or what it waits for."""
    entries = json.loads(file.read_text(encoding="utf-8"))
    counts = {"matched": 0, "NOT MATCHED": 0, "not built": 0, "later work": 0}
    for entry in entries:
        name = entry["id"]
        if only and only not in name:
            continue
        if name.startswith(LATER):
            counts["later work"] += 1
            continue
        check = next(made for starts, made in KINDS if name.startswith(starts))
        try:
            found = check(entry, trials)
        except NotImplementedError:
            counts["not built"] += 1
            print(f"{name:36} not built ({entry['kind'][:60]})", flush=True)
            continue
        off = [one for one in found if not abs(one[1] - one[2]) <= one[3]]
        verdict = "NOT MATCHED" if off else "matched"
        counts[verdict] += 1
        worst = max(found, key=lambda one: abs(one[1] - one[2]) / max(one[3], 1e-300))
        print(
            f"{name:36} {verdict:11} {len(found)} values; nearest the limit: {worst[0]} "
            f"{worst[1]:.7g} for {worst[2]:.7g} (within {worst[3]:.2g})", flush=True,
        )  # fmt: skip
        for one in off:
            print(f"    {one[0]}: {one[1]:.8g}, reference {one[2]:.8g}, tolerance {one[3]:.2g}")
    print(", ".join(f"{number} {word}" for word, number in counts.items()))


def error_cases() -> list[tuple[str, Any, Any]]:
    """Designs with the scenarios in which their error is looked at: name, design, outcomes."""
    effects = {"a": 10 / 3, "b": 20 / 3, "c": 10.0}
    means: Any = ts.ContinuousResponse(effects, sd=15)
    drifting = ts.WithDrift(means, per_month=2.0)
    double = {"control": 2, "a": 1, "b": 1, "c": 1}
    half = ts.ContinuousResponse(0.4)
    stratum = ts.BySubgroup("marker", {"S": half, "not S": half})
    later = ts.WithDrift(half, per_month=0.03)
    drifting_stratum = ts.BySubgroup("marker", {"S": later, "not S": later})
    grow = ts.Rule("n >= 0", ts.Resize(n=884))
    gs = ts.group_sequential((0.5, 1), efficacy="lan_demets_obrien_fleming")
    resized = sized(221, 442, gs, grow, "inverse_normal")
    lopsided = resized.replace(design=resized.design.replace(arms={"control": 1, "treatment": 2}))
    thompson = ts.Rule("n >= 0", ts.Reallocate(by="thompson", least=0.1))
    delayed = ts.PiecewiseExponential(
        control_median=12,
        breakpoints=[4],
        hazard_ratio={"a": [1, 0.8], "b": [1, 0.7], "c": [1, 0.6]},
    )
    one = ts.ContinuousResponse(1.6, sd=7.5)
    bounds = ts.multi_arm_bounds(3, control=2)
    planned = ts.Design(
        arms=double, n_patients=380, accrual=ts.Accrual(rate=20),
        looks=ts.EnrolmentLooks([190, 380]), test=("z_test", 15), boundaries=bounds,
    )  # fmt: skip
    fisher = arms_trial("simes", BEST).replace(
        closed_test=ts.ClosedTest("fisher", "simes", stop="all")
    )
    return [
        ("select best, bonferroni", arms_trial("bonferroni", BEST), means),
        ("select best, simes", arms_trial("simes", BEST), means),
        ("select best, sidak", arms_trial("sidak", BEST), means),
        ("select best, dunnett", arms_trial("dunnett", BEST), means),
        ("select best, fisher", fisher, means),
        ("within 3 of best, dunnett", arms_trial("dunnett", NEAR_BEST), means),
        ("select best, dunnett, drift", arms_trial("dunnett", BEST), drifting),
        ("select best, dunnett, 2:1:1:1", arms_trial("dunnett", BEST, arms=double), means),
        ("select best, dunnett, 2:1:1:1, drift", arms_trial("dunnett", BEST, arms=double),
         drifting),
        ("multi-arm bounds, 2:1:1:1", planned, means),
        ("multi-arm bounds, 2:1:1:1, drift", planned, drifting),
        ("re-estimated size", resized, one),
        ("re-estimated size, 1:2, drift", lopsided, ts.WithDrift(one, per_month=0.3)),
        ("enrichment, spiessens_debois", enrichment("spiessens_debois"), stratum),
        ("enrichment, simes, drift", enrichment("simes"), drifting_stratum),
        ("allocation by Thompson, simes", arms_trial("simes", thompson), means),
        ("survival, best arm, delayed effects", survival_arms(), delayed),
        ("survival, best arm, delayed, 2:1:1:1", survival_arms(double), delayed),
    ]  # fmt: skip


def error(trials: int, jobs: int, chunk: int, only: str, run: str) -> bool:
    """Family-wise error over every configuration of null hypotheses, with and without trouble.

    Each chunk of trials is stored when it is done, and not run again: stop and go on at will.
    """
    limit = 0.025 + 3 * np.sqrt(0.025 * 0.975 / trials)
    print(f"floor: at most .025 + 3 MCSE = {limit:.5f} at {trials:,} trials a configuration")
    all_held = True
    for name, design, outcomes in error_cases():
        if only not in name:
            continue
        counts: dict[str, int] = {}
        for first in range(0, trials, chunk):
            size = min(chunk, trials - first)
            same = {"run": run, "case": name, "first": first, "n": size}
            kept = stored.rows("adaptive_error", **same)
            if not kept:
                table = ts.family_wise_error(
                    design, outcomes, size, seed=21, n_jobs=jobs, first_trial=first
                )
                found = {
                    str(r["true_nulls"]): round(r["error"] * size) for r in table.to_dict("records")
                }
                stored.append("adaptive_error", {**same, "rejections": found})
            else:
                found = kept[0]["rejections"]
            for true, number in found.items():
                counts[true] = counts.get(true, 0) + number
        worst = max(counts, key=lambda true: counts[true])
        rate = counts[worst] / trials
        held = rate <= limit
        all_held &= held
        print(
            f"{name:38} {len(counts)} configurations x {trials:,}: worst {rate:.5f} (MCSE "
            f"{np.sqrt(rate * (1 - rate) / trials):.5f}, true: {worst}): "
            f"{'held' if held else 'NOT HELD'}",
            flush=True,
        )
    print("every family-wise error is held" if all_held else "SOME ARE NOT HELD")
    return all_held


def survival_arms(arms: Any = None) -> ts.AdaptiveDesign:
    """Three arms and a control, the best goes on after 120 events."""
    return ts.AdaptiveDesign(
        ts.Design(
            arms=arms or {"control": 1, "a": 1, "b": 1, "c": 1}, n_patients=400,
            accrual=ts.Accrual(rate=20), looks=ts.EventLooks([120, 240]),
            boundaries=ts.group_sequential((0.5, 1)), multiplicity="unadjusted",
        ),
        [
            ts.Milestone("interim", ts.EventLooks([120]), BEST),
            ts.Milestone("final", ts.EventLooks([240])),
        ],
        ts.ClosedTest(intersection="simes"),
    )  # fmt: skip


def speed(trials: int) -> None:
    """Trials a second on one thread, beside the same trial without adaptation."""
    rule = ts.Rule("conditional_power >= 0.3 and conditional_power < 0.9", ts.Resize(events=400))
    plain = ts.Design(
        arms=TWO, n_patients=500, accrual=ts.Accrual(rate=20), looks=ts.EventLooks([150, 300]),
        boundaries=ts.group_sequential((0.5, 1)),
    )  # fmt: skip
    grows = ts.AdaptiveDesign(
        plain,
        [
            ts.Milestone("interim", ts.EventLooks([150]), rule),
            ts.Milestone("final", ts.EventLooks([300])),
        ],
        ts.ClosedTest(),
    )
    times = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.75)
    arms = arms_trial("dunnett", BEST)
    means = ts.ContinuousResponse({"a": 10 / 3, "b": 20 / 3, "c": 10.0}, sd=15)
    for name, design, outcomes in (
        ("survival, N = 500, no adaptation", plain, times),
        ("survival, N = 500, events re-estimated", grows, times),
        ("best of three arms, dunnett, N = 240", arms, means),
    ):
        ts.simulate(design, outcomes, 300, seed=1)
        wall, busy = time.perf_counter(), time.process_time()
        ts.simulate(design, outcomes, trials, seed=1)
        wall, busy = time.perf_counter() - wall, time.process_time() - busy
        print(f"{name:42} {trials / wall:8,.0f} a second, {trials / busy:8,.0f} a CPU second")


R_SCRIPT = """
suppressMessages(library(rpact))
design <- getDesignInverseNormal(kMax = 2, alpha = 0.025, typeOfDesign = "OF")
run <- function(n) getSimulationMultiArmMeans(design, activeArms = 3, typeOfShape = "userDefined",
  effectMatrix = matrix(c(10/3, 20/3, 10), nrow = 1), plannedSubjects = c(30, 60), stDev = 15,
  intersectionTest = "Dunnett", typeOfSelection = "best", successCriterion = "all",
  maxNumberOfIterations = n, seed = 1)
invisible(run(20))
spent <- system.time(found <- run({n}))
cat(spent[["elapsed"]], spent[["user.self"]], found$rejectAtLeastOne[1], "\\n")
"""


def rpact(trials: int, r_trials: int) -> None:
    """The best of three arms by Dunnett's closed test, here and in R, each on one thread."""
    if shutil.which("Rscript") is None:
        raise SystemExit("Rscript is missing: install r-base-core, r-cran-rpact, r-cran-mnormt")
    script = R_SCRIPT.replace("{n}", str(r_trials))
    made = subprocess.run(
        ["Rscript", "--vanilla", "-e", script], capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise SystemExit(f"R failed: {made.stderr[-500:]}")
    wall, busy, power = (float(v) for v in made.stdout.split()[-3:])
    means = ts.ContinuousResponse({"a": 10 / 3, "b": 20 / 3, "c": 10.0}, sd=15)
    design = arms_trial("dunnett", BEST)
    ts.simulate(design, means, 300, seed=1)
    start, used = time.perf_counter(), time.process_time()
    result = ts.simulate(design, means, trials, seed=1)
    start, used = time.perf_counter() - start, time.process_time() - used
    print(f"rpact: {r_trials / wall:,.0f} a second, {r_trials / busy:,.0f} a CPU second; power "
          f"{power:.4f}")  # fmt: skip
    print(f"here:  {trials / start:,.0f} a second, {trials / used:,.0f} a CPU second; power "
          f"{result.success.mean():.4f}")  # fmt: skip
    ratio = (trials / used) / (r_trials / busy)
    print(f"ratio by CPU seconds {ratio:.1f} x (floor 20, goal 100): "
          f"{'reached' if ratio >= 20 else 'NOT REACHED'}")  # fmt: skip


def dropped(trials: int) -> None:
    """Patients who come to dropped arms, and their events that count; both must be none."""
    times = ts.PiecewiseExponential(control_median=12, hazard_ratio={"a": 0.9, "b": 0.8, "c": 0.65})
    result = ts.simulate(survival_arms(), times, trials, seed=5)
    done = result.conducted
    gone = done.last_look > 0
    at_drop, at_end = done.patients_by_arm[gone, 0], done.patients_by_arm[gone, 1]
    events = done.events[gone]
    closed = done.shares[gone, 0] == 0
    closed[:, 0] = False
    patients = int((at_end - at_drop)[closed].sum())
    late = int(np.maximum(events[:, 1] - events[:, 0], 0)[closed].sum())
    print(f"{int(gone.sum()):,} trials went on without {int(closed.sum()):,} arms: {patients} "
          f"patients came to dropped arms, {late} of their events counted (floor 0)")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("references", "error", "speed", "rpact", "dropped"))
    parser.add_argument("--file", type=Path, help="adaptive_designs.json")
    parser.add_argument("--trials", type=int)
    parser.add_argument("--only", default="", help="entries or designs whose name has this")
    parser.add_argument("--chunk", type=int, default=50_000, help="trials stored at a time")
    parser.add_argument("--r-trials", type=int, default=10_000, help="trials in R")
    parser.add_argument("--run", default="", help="name of stored chunks, to keep runs apart")
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    if given.what == "references":
        if given.file is None:
            parser.error("references needs --file, the JSON file of reference values")
        references(given.file, given.trials or 100_000, given.only)
    elif given.what == "error":
        trials = given.trials or 1_000_000
        if not error(trials, given.jobs, given.chunk, given.only, given.run or stored.today()):
            raise SystemExit(1)
    elif given.what == "rpact":
        rpact(given.trials or 100_000, given.r_trials)
    elif given.what == "dropped":
        dropped(given.trials or 10_000)
    else:
        speed(given.trials or 20_000)


if __name__ == "__main__":
    main()
