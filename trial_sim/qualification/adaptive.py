"""Adaptive, combination and single-arm designs beside rpact, gsDesign, East, MAMS, blindrecalc.

Data and values are in ``values/adaptive_values.json``, each with its source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numba as nb
import numpy as np
from scipy import stats

import trial_sim as ts
from trial_sim.adaptive.conditional_errors import combined_z, crossing_after
from trial_sim.adaptive.sequential_graph import nominal_levels
from trial_sim.numerics.random_streams import philox4x32
from trial_sim.qualification.reference import ADAPTIVE, Inputs, reference_cases

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


# -- several arms -----------------------------------------------------------------------------


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


# -- sizes that are changed, single arms --------------------------------------------------------


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


def prognostic(inputs: Inputs) -> dict[str, Any]:
    """Size of a trial adjusted by a prognostic score."""
    sizes = [ts.sample_size_prognostic(inputs["effect"], rho) for rho in inputs["rho"]]
    powers = [
        ts.sample_size_prognostic(inputs["effect"], rho, n_total=468) for rho in inputs["rho"]
    ]
    return {"n": [s.n_total for s in sizes], "power_of_468": [s.power for s in powers]}


@nb.njit
def _words(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    return philox4x32(c0, c1, c2, c3, k0, k1)


def philox(inputs: Inputs) -> list[list[int]]:
    """Random numbers of the counter-based generator against published blocks."""
    return [
        [int(w) for w in _words(*(np.uint64(w) for w in (*counter, *key)))]
        for counter, key in zip(inputs["counter"], inputs["key"])
    ]


def _group(function: Callable[[Inputs], Any], prefix: str) -> dict[str, Callable[[Inputs], Any]]:
    return {name: function for name in ADAPTIVE if name.startswith(prefix)}


COMPUTED: Mapping[str, Mapping[str, Callable[[Inputs], Any]]] = {
    "bounds": {
        "in_hsd0": no_interest_rate,
        "in_hsd_beta": beta_spending,
        "in_wt_binding": binding_wang_tsiatis,
        "hp_k4": haybittle_peto,
        "gsd_tte_r_vs_east": east_survival,
        "jt_table_2_9": jennison_turnbull,
        **_group(rpact_looks, "rpact_three_looks"),
    },
    "combination": {
        "in_comb_stage12": combination,
        "in_crp": inverse_normal_errors,
        "in_repeated_p": inverse_normal_repeated,
        "fisher_crp": fisher_errors,
        "fisher_k2_full": lambda i: {
            "c": ts.fisher_design(2, 0.05, futility_p=0.5, method="full_alpha").critical_values
        },
        "fisher_k4_noint": lambda i: {
            "c": ts.fisher_design(
                4, 0.025, futility_p=i["alpha0"], method="no_interaction"
            ).critical_values
        },
    },
    "interim": {
        "in_cond_power": planned_stage,
        "in_cond_power_curve": planned_curve,
        "gs_crp_k3": three_looks,
        "gs_k4_crp_equal_n": four_looks,
        "surv_k3_crp": survival_looks,
        "rates_exact_crp": exact_rates,
        "condpower_east": east_conditional,
        "gspos": east_positive,
        "schmidli_table_2": schmidli,
        "robust_mixture": robust_mixture,
    },
    "multiplicity": {
        **_group(several_arms, "ma_"),
        "conditional_dunnett": conditional_dunnett,
        "enrich_spiessens_debois": nested,
        "enrich_split_alpha": nested_split,
        "naive_three_arms_fwer": shared_control,
        "mams_m1": mams,
        "dunnett_1964": dunnett_1964,
        "graph_bonf_05": graph,
        "graph_simes_05": graph,
        "graph_bonf_equal": adjusted_only,
        "graph_simes_equal": adjusted_only,
        "graph_group_sequential_bounds": graph_levels,
    },
    "re-estimation": {
        **_group(promising_zone, "promising_zone"),
        **_group(conditional_power_80, "ssr_in_cp80"),
        "cpmin_table": smallest_promising,
        **_group(blinded_rates, "blinded_ssr_chisq"),
        "kieser_nfix": kieser,
        "blinded_ssr_ttest_nfix": blinded_means,
    },
    "single arms": {**_group(simon, "simon"), "predictive_probability_design": lee_liu},
    "fixed sizes": {"prognostic_sizes": prognostic},
    "random streams": {"random123_kat": philox},
}

CASES = reference_cases(COMPUTED, values=ADAPTIVE)
