"""Bounds, combined stages and what an interim look says, beside rpact, East and gsDesign."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

import trial_sim as ts
from trial_sim.adaptive.conditional_errors import combined_z, crossing_after
from trial_sim.qualification.reference import Inputs

WANG_TSIATIS = ("wang_tsiatis", 0.4)
OBF = "lan_demets_obrien_fleming"


def stage_values(inputs: Inputs) -> tuple[np.ndarray, np.ndarray]:
    """t statistics and one-sided p-values of the stages: one-sample t-tests."""
    data = inputs["data"]
    n, means, sds = (np.array(data[name], dtype=float) for name in ("n", "means", "sds"))
    t = (means - inputs["thetaH0"]) / (sds / np.sqrt(n))
    return t, stats.t.sf(t, n - 1)


def overall_z(inputs: Inputs) -> np.ndarray:
    """z of the t-test on all patients so far, from the summaries of the stages."""
    data = inputs["data"]
    n, means, sds = (np.array(data[name], dtype=float) for name in ("n", "means", "sds"))
    total = np.cumsum(n)
    mean = np.cumsum(n * means) / total
    squares = [
        ((n - 1) * sds**2)[:k].sum() + (n * (means - mean[k - 1]) ** 2)[:k].sum()
        for k in range(1, len(n) + 1)
    ]
    t = (mean - inputs["thetaH0"]) / np.sqrt(np.array(squares) / (total - 1) / total)
    return stats.norm.isf(stats.t.sf(t, total - 1))


def inverse_normal() -> ts.GroupSequential:
    """Four equal looks with Wang-Tsiatis bounds, futility where z is below .5244."""
    return ts.group_sequential((0.25, 0.5, 0.75, 1), efficacy=WANG_TSIATIS, futility=[0.5244] * 3)


def combination(inputs: Inputs) -> dict[str, Any]:
    """Statistics and p-values of the first two stages, combined by the inverse normal method."""
    t, p = stage_values(inputs)
    z = combined_z(inverse_normal(), stats.norm.isf(p))
    return {"test_statistics": t[:2], "p_values_t": p[:2], "comb_inverse_normal": z[:2]}


def inverse_normal_errors(inputs: Inputs) -> dict[str, Any]:
    """Conditional errors of the inverse normal design after one to three stages."""
    p, design = stage_values(inputs)[1], inverse_normal()
    found = [ts.conditional_error(design, p[:k]) for k in (1, 2, 3)]
    return {"conditional_rejection_probabilities": found}


def inverse_normal_repeated(inputs: Inputs) -> dict[str, Any]:
    """Repeated p-values of the inverse normal design after one to three stages."""
    p, design = stage_values(inputs)[1], inverse_normal()
    return {"repeated_p_values": [ts.repeated_p_value(design, p[:k]) for k in (1, 2, 3)]}


def fisher_errors(inputs: Inputs) -> dict[str, Any]:
    """Conditional errors and repeated p-values of Fisher's combination, one to three stages."""
    p, design = stage_values(inputs)[1], ts.fisher_design(4, 0.025, futility_p=0.4)
    return {
        "conditional_rejection_probabilities": [
            ts.conditional_error(design, p[:k]) for k in (1, 2, 3)
        ],
        "repeated_p_values": [ts.repeated_p_value(design, p[:k]) for k in (1, 2, 3)],
    }


def planned_stage(inputs: Inputs) -> dict[str, Any]:
    """Conditional power of the fourth stage under the effect assumed."""
    effect = (inputs["thetaH1"] - inputs["thetaH0"]) / inputs["assumedStDev"]
    p, design = stage_values(inputs)[1], inverse_normal()
    expected = effect * np.sqrt(inputs["nPlanned"])
    return {"conditional_power_stage4": ts.conditional_error(design, p, expected_z=expected)}


def planned_curve(inputs: Inputs) -> dict[str, Any]:
    """Conditional power of the third stage over means that may be true."""
    p, design = stage_values(inputs)[1], inverse_normal()
    root = np.sqrt(inputs["nPlanned"]) / inputs["assumedStDev"]
    curve = [
        ts.conditional_error(design, p[:2], (mean - inputs["thetaH0"]) * root)
        for mean in inputs["theta"]
    ]
    return {"conditional_power": curve}


def three_looks(inputs: Inputs) -> dict[str, Any]:
    """Conditional rejection probabilities and power of a mean tested at three looks."""
    design = ts.group_sequential((1 / 3, 2 / 3, 1), efficacy=WANG_TSIATIS)
    z = overall_z(inputs)
    drift = np.array([(22 - 25) / 100 * np.sqrt(130)])
    return {
        "crp": [design.conditional_power(k + 1, z[k], "null") for k in range(2)],
        "conditional_power_nPlanned130_thetaH1_22_sd100": crossing_after(design, 2, z[1], drift),
    }


def four_looks(inputs: Inputs) -> dict[str, Any]:
    """Conditional rejection probabilities and repeated p-values of a mean at four looks."""
    design = ts.group_sequential((0.25, 0.5, 0.75, 1), efficacy=WANG_TSIATIS)
    z = overall_z(inputs)
    return {
        "crp": [design.conditional_power(k + 1, z[k], "null") for k in range(3)],
        "repeated_p": [design.repeated_p_value(k + 1, z[k]) for k in range(3)],
    }


def survival_looks(inputs: Inputs) -> dict[str, Any]:
    """Log-rank tests at three looks: conditional errors, repeated and final p-value, interval."""
    design = ts.group_sequential((0.2, 0.4, 1), efficacy=("wang_tsiatis", 0.25))
    z = inputs["data"]["overallLogRanks"]
    final = design.inference(3, z[2], information=inputs["data"]["overallEvents"][2] / 4)
    return {
        "crp": [design.conditional_power(k + 1, z[k], "null") for k in range(2)],
        "repeated_p": [design.repeated_p_value(k + 1, z[k]) for k in range(3)],
        "final_p": final.p_value,
        "final_ci": np.exp([final.lower, final.upper]),
        "median_unbiased_hr": np.exp(final.estimate),
    }


def exact_rates(inputs: Inputs) -> dict[str, Any]:
    """Conditional error and repeated p-value of one rate, by its exact binomial p-value."""
    design = ts.group_sequential((0.2, 1), efficacy=("kim_demets", 2.8))
    (events,), (n,) = inputs["data"]["events"], inputs["data"]["n"]
    z = stats.norm.isf(stats.binom.sf(events - 1, n, inputs["pi0"]))
    return {
        "crp": design.conditional_power(1, z, "null"),
        "repeated_p": design.repeated_p_value(1, z),
    }


def no_interest_rate(inputs: Inputs) -> dict[str, Any]:
    """Hwang-Shih-DeCani spending of parameter 0: bounds, inflation, power, expected sizes."""
    design = ts.group_sequential(
        (0.2, 0.4, 1), alpha=0.03, power=0.86, efficacy=("hwang_shih_decani", 0)
    )
    sizes = design.expected_sample_size
    return {
        "bounds": design.efficacy_bounds,
        "shift": design.drift**2,
        "inflation": design.inflation_factor,
        "power": np.cumsum(design.stage_probabilities(design.drift).rejection),
        "ASN_H1": sizes[2],
        "ASN_H01": sizes[1],
        "ASN_H0": sizes[0],
    }


def beta_spending(inputs: Inputs) -> dict[str, Any]:
    """Bounds of efficacy and futility, both by Hwang-Shih-DeCani spending."""
    design = ts.group_sequential(
        (0.2, 0.4, 1),
        alpha=0.07,
        power=0.86,
        efficacy=("hwang_shih_decani", -1),
        futility=("hwang_shih_decani", -2),
    )
    return {
        "bounds": design.efficacy_bounds,
        "futility": design.futility_bounds[:2],
        "inflation": design.inflation_factor,
    }


def binding_wang_tsiatis(inputs: Inputs) -> dict[str, Any]:
    """Wang-Tsiatis bounds beside futility bounds that are binding."""
    design = ts.group_sequential(
        (0.25, 0.5, 0.75, 1),
        alpha=0.035,
        efficacy=WANG_TSIATIS,
        futility=[0.5244] * 3,
        binding=True,
    )
    return {"bounds": design.efficacy_bounds}


def haybittle_peto(inputs: Inputs) -> dict[str, Any]:
    """Bound of the last look after Haybittle-Peto bounds of 3."""
    design = ts.group_sequential((0.25, 0.5, 0.75, 1), efficacy=("haybittle_peto", 3.0))
    return {"final_bound": design.efficacy_bounds[-1]}


def rpact_looks(inputs: Inputs) -> dict[str, Any]:
    """Bounds and inflation of a design given by the arguments of ``group_sequential``."""
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in inputs.items()}
    if isinstance(given.get("futility"), tuple) and not isinstance(given["futility"][0], str):
        given["futility"] = list(given["futility"])
    design = ts.group_sequential(given.pop("information"), **given)
    found = {"efficacy": design.efficacy_bounds, "inflation": design.inflation_factor}
    if "futility" in given:
        found["futility"] = design.futility_bounds[:2]
    return found


def east_survival(inputs: Inputs) -> dict[str, Any]:
    """O'Brien-Fleming spending with hardly any beta spent early: z, p, futility bound."""
    design = ts.group_sequential(
        inputs["timing"],
        alpha=inputs["alpha"],
        power=inputs["power"],
        efficacy=OBF,
        futility=("hwang_shih_decani", -10),
    )
    z = design.efficacy_bounds
    return {"z": z, "p": stats.norm.sf(z), "futility_z": design.futility_bounds[0]}


def east_conditional(inputs: Inputs) -> dict[str, Any]:
    """Conditional power of a second stage whose size was changed."""
    # 403 more of a fixed 800; the first look at half of the inflated size
    design = ts.group_sequential((0.5, 1), efficacy=("hwang_shih_decani", -4.0))
    z = inputs["z1"]
    first = inputs["n_fix"] * design.inflation_factor / 2
    found = ts.conditional_error(
        design, [stats.norm.sf(z)], expected_z=z / np.sqrt(first) * np.sqrt(inputs["n2"])
    )
    return {"conditional_power": found}


def east_positive(inputs: Inputs) -> dict[str, Any]:
    """Probability of success over a prior on a grid of effects."""
    design = ts.group_sequential((0.5, 1), efficacy=("hwang_shih_decani", -4.0))
    weights = np.array(inputs["wgts"])
    drifts = np.array(inputs["theta"]) * np.sqrt(design.inflation_factor)
    share = weights / weights.sum()
    found = ts.probability_of_success(design, drifts=drifts, weights=share) * weights.sum()
    return {"POS": found}


def jennison_turnbull(inputs: Inputs) -> list[float]:
    """Last bounds of two-sided Wang-Tsiatis designs by number of looks."""
    rule = ("wang_tsiatis", 0.25)
    return [
        ts.group_sequential(np.arange(1, k + 1) / k, 0.05, 0.9, 2, rule).efficacy_bounds[-1]
        for k in inputs["looks"]
    ]


def schmidli(inputs: Inputs) -> dict[str, Any]:
    """Rejection of rates with and without a prior on the control."""
    rates = np.array(inputs["control_rate"])
    plain, prior = ts.BetaMixture([1], [1], [1]), ts.BetaMixture([1], [4], [16])
    n = inputs["n"]
    return {
        "null": ts.borrowing_power(rates, rates, *n, plain, prior),
        "effect_0.3": ts.borrowing_power(rates + 0.3, rates, *n, plain, prior),
    }


def robust_mixture(inputs: Inputs) -> dict[str, Any]:
    """Weight and mean of a robust mixture prior after data."""
    prior = ts.BetaMixture([1], [11], [32]).robust(0.2)
    after = [prior.posterior(r, n) for r, n in zip(inputs["responders"], inputs["n"])]
    return {"weight": [a.weights[0] for a in after], "mean": [a.mean for a in after]}
