"""Designs and sample sizes beside the published and independently run values of their ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.integrate import quad
from scipy.special import ndtr, ndtri
from scipy.stats import t as student

from trial_sim.adaptive.combination_tests import fisher_design
from trial_sim.qualification.reference import VALUES, Inputs, reference_cases
from trial_sim.sample_size import (
    events_required,
    exact_power_proportions,
    sample_size_means,
    sample_size_proportions,
    sample_size_survival,
)
from trial_sim.sample_size.assurance import assurance, probability_of_success
from trial_sim.sample_size.average_hazard import (
    average_hazard_ratio,
    expected_events,
    piecewise_quantile,
    piecewise_survival,
    restricted_mean,
    survival_scenario,
    time_to_events,
)
from trial_sim.sample_size.group_sequential_survival import (
    sequential_max_combo,
    survival_expectations,
)
from trial_sim.sequential.design import GroupSequential, group_sequential
from trial_sim.sequential.multiplicity import dunnett_critical_value, graphical_test

Found = dict[str, Any]

LD_OF = "lan_demets_obrien_fleming"
LD_POCOCK = "lan_demets_pocock"
DELAYED = {
    "control_median": 12,
    "hazard_ratio": [1, 0.6],
    "breakpoints": [4],
    "dropout": 0.001,
    "accrual_duration": 18,
    "study_duration": 36,
}


def equal_looks(k: int, **kwargs: Any) -> GroupSequential:
    """A group-sequential design with ``k`` evenly spaced looks."""
    return group_sequential(np.arange(1, k + 1) / k, **kwargs)


def spending_case(efficacy: Any, k: int = 3) -> Found:
    """Efficacy bounds and inflation factor of evenly spaced looks."""
    design = equal_looks(k, efficacy=efficacy)
    return {"bounds": design.efficacy_bounds, "inflation": design.inflation_factor}


def two_sided(k: int, efficacy: str, name: str) -> Found:
    """Last bound and inflation factor of a two-sided design at level .05."""
    design = equal_looks(k, alpha=0.05, sided=2, efficacy=efficacy)
    return {name: design.efficacy_bounds[-1], "inflation": design.inflation_factor}


def two_sided_power80() -> Found:
    """Inflation factors of two-sided designs with power .8."""
    return {
        name: equal_looks(3, alpha=0.05, sided=2, power=0.8, efficacy=rule).inflation_factor
        for name, rule in (("OF", "obrien_fleming"), ("Pocock", "pocock"))
    }


def gsdesign_default() -> Found:
    """The default design of gsDesign: bounds, sizes, spending."""
    design = equal_looks(3, efficacy=("hwang_shih_decani", -4), futility=("hwang_shih_decani", -2))
    return {
        "upper": design.efficacy_bounds,
        "lower": design.futility_bounds,
        "n_I": design.information_fractions * design.inflation_factor,
        "en_H0_H1": design.expected_sample_size[[0, 2]],
        "theta1": design.drift / np.sqrt(design.inflation_factor),
        "upper_spend": np.diff(design.alpha_spent, prepend=0),
    }


def inverse_normal_default() -> Found:
    """rpact's default inverse normal design: alpha spent, bounds, levels."""
    design = equal_looks(3)
    return {
        "alphaSpent": design.alpha_spent,
        "criticalValues": design.efficacy_bounds,
        "stageLevels": ndtr(-design.efficacy_bounds),
    }


def fisher_default() -> Found:
    """rpact's default design of Fisher's combination."""
    design = fisher_design(3, 0.025)
    return {
        "alphaSpent": design.alpha_spent,
        "criticalValues": design.critical_values,
        "stageLevels": design.stage_levels,
    }


def one_sample_mean() -> Found:
    """Size, expected size and critical effects of one mean at three looks."""
    design = group_sequential((0.2, 0.5, 1), efficacy=("wang_tsiatis", 0.3))
    size = sample_size_means(0.8, sd=2, null_value=0.5, n_arms=1, boundaries=design)
    n = size.n_total * design.information_fractions
    fixed = size.n_total / size.inflation_factor
    reject = design.stage_probabilities(design.drift).rejection
    expected = design.expected_sample_size * fixed
    critical = student.isf(ndtr(-design.efficacy_bounds), n - 1) * 2 / np.sqrt(n) + 0.5
    return {
        "maxN": size.n_total,
        "nPerStage": n,
        "EN_H0": expected[0],
        "EN_H01": expected[1],
        "EN_H1": expected[2],
        "rejectPerStage": reject,
        "earlyStop": reject[:2].sum(),
        "critEffect": critical,
    }


def piecewise_median() -> Found:
    """Medians of exponential times from their hazards."""
    return {
        "lambda1": 0.5 * 0.8,
        "median1": piecewise_quantile([0.4], []),
        "median2": piecewise_quantile([0.5], []),
    }


def conditional_powers() -> list[float]:
    """Conditional power after the first look by trend, null and design."""
    design = equal_looks(2, efficacy=LD_OF)
    return [design.conditional_power(1, 1.0, theta=t) for t in ("trend", "null", "design")]


def cumulative_power() -> Found:
    """Power and expected size over multiples of the effect planned for."""
    design = equal_looks(2, efficacy=LD_OF)
    return {
        "cum_power": [design.power_at(x * design.drift) for x in (0, 0.5, 1)],
        "EN": design.expected_sample_size * 200,
    }


def normal_prior_success() -> float:
    """Probability of success under a normal prior on the effect."""
    design = equal_looks(2, efficacy=LD_OF)
    return probability_of_success(design, prior=(design.drift / 2, design.drift / 2))


def grid_prior_success(inputs: Inputs) -> float:
    """Probability of success under a prior on a grid of effects."""
    design = equal_looks(2, efficacy=("hwang_shih_decani", -4))
    # theta is per root fixed sample size; the printed value keeps weights that sum to .93
    drifts = np.array(inputs["theta"]) * np.sqrt(design.inflation_factor)
    weights = np.array(inputs["wgts"])
    share = weights / weights.sum()
    return probability_of_success(design, drifts=drifts, weights=share) * weights.sum()


def schoenfeld(inputs: Inputs) -> float:
    """Events that a log-rank test needs, by Schoenfeld's formula."""
    return events_required(
        inputs["hr"], inputs["power"], inputs["alpha_one_sided"], allocation=inputs["ratio"]
    )


def survival(method: str, **kwargs: Any) -> Found:
    """Events and patients of a survival trial by a method."""
    size = sample_size_survival(method=method, **kwargs)
    return {"events": size.events, "n": size.n_total}


def median_12(**kwargs: Any) -> Found:
    """Assumptions of a survival trial with a control median of 12 months."""
    return {
        "control_median": 12,
        "hazard_ratio": 0.7,
        "accrual_duration": 24,
        "study_duration": 36,
        **kwargs,
    }


def group_sequential_survival() -> Found:
    """Events and patients of a survival trial with three looks."""
    size = sample_size_survival(
        method="schoenfeld", boundaries=equal_looks(3, efficacy=LD_OF), **median_12()
    )
    return {"maxEvents": size.events, "maxN": size.n_total}


def rates_power() -> Found:
    """Power, rejections by look and expected size of a comparison of rates."""
    design = equal_looks(3, efficacy=LD_OF)
    size = sample_size_proportions(0.4, 0.25, n_per_arm=200, boundaries=design)
    fixed = sample_size_proportions(0.4, 0.25, n_per_arm=200).power
    exits = design.stage_probabilities(ndtri(fixed) + ndtri(0.975))
    return {
        "power": size.power,
        "rejectPerStage": exits.rejection,
        "EN": exits.stop @ design.information_fractions * 400,
    }


def gsdesign2_scenario(inputs: Inputs) -> Any:
    """A scenario of gsDesign2's examples: enrolment, hazards, drop-out."""
    enroll, fail = inputs["enroll_rate"], inputs["fail_rate"]
    return survival_scenario(
        enroll["rate"], enroll["duration"], [9, 18], fail["hr"], [3], dropout=fail["dropout"]
    )


def ahr(inputs: Inputs, time: Any) -> Found:
    """Average hazard ratio, events and information at times."""
    row = average_hazard_ratio(gsdesign2_scenario(inputs), time)
    columns = {
        "ahr": row["ahr"],
        "n": row["n"],
        "event": row["events"],
        "info": row["information"],
        "info0": row["information0"],
    }
    if np.ndim(time) == 0:
        return {"time": time, **{name: float(column.iloc[0]) for name, column in columns.items()}}
    return {name: column.to_numpy() for name, column in columns.items()}


def expected_time() -> Found:
    """Month of the 50th event, and the average hazard ratio then."""
    scenario = gsdesign2_scenario(VALUES["gsd2_ahr_default"]["inputs"])
    time = time_to_events(scenario, 50)
    return {"time": time, "ahr": float(average_hazard_ratio(scenario, time)["ahr"].iloc[0])}


def delayed(method: str, names: list[str], **kwargs: Any) -> Found:
    """Size, events and effect of a trial with a delayed effect by a method."""
    size = sample_size_survival(method=method, **{**DELAYED, **kwargs})
    found = {
        "n": size.n_total,
        "event": size.events,
        "ahr": size.details.get("average_hazard_ratio"),
        "bound": size.details.get("critical_value"),
    }
    return {name: found[name] for name in names}


def fleming_harrington_in_r(tight: bool) -> Found:
    """gsDesign2's integrals for FH(0, 0.5), with R's default tolerances or to machine precision.

    R's integrate() stops at an absolute error of 1.2e-4, which here moves n by .036; the library
    integrates exactly. The case ``fleming_harrington_integrals`` holds the exact integrals.
    """
    scenario = survival_scenario(1, 18, 12, [1, 0.6], [4], dropout=0.001)
    loose = 1e-10 if tight else 2.0**-13
    control, treated = scenario.control_hazards, scenario.treatment_hazards
    average = (control + treated) / 2

    def survive(h: Any, x: float) -> float:
        return float(piecewise_survival(h, [4], x)[0])

    def parts(h0: Any, h1: Any, x: float) -> tuple[float, ...]:
        stay = 0.5 * np.exp(-0.001 * x) * min(1.0, max(0.0, (36 - x) / 18))
        p0, p1 = survive(h0, x) * stay, survive(h1, x) * stay
        weight = np.sqrt(1 - 0.5 * (survive(h0, x) + survive(h1, x)))
        piece = 0 if x < 4 else 1
        return p0, p1, weight, h0[piece], h1[piece]

    def drift(x: float) -> float:
        p0, p1, w, a, b = parts(control, treated, x)
        return 0.0 if p0 + p1 == 0 else w * p0 * p1 / (p0 + p1) * (a - b)

    def variance(h0: Any, h1: Any, power: int) -> float:
        def value(x: float) -> float:
            p0, p1, w, a, b = parts(h0, h1, x)
            if p0 + p1 == 0:
                return 0.0
            return w**power * p0 * p1 / (p0 + p1) ** 2 * (p0 * a + p1 * b)

        return quad(value, 0, 36, epsabs=loose, epsrel=loose, limit=100)[0]

    step = 1e-10 if tight else 1e-5
    delta = quad(drift, 0, 36, epsabs=step, epsrel=step, limit=100)[0]
    v1, v0 = variance(control, treated, 2), variance(average, average, 2)
    z = ndtri([0.975, 0.9])
    n = (z[0] / np.sqrt(v0) + z[1] / np.sqrt(v1)) ** 2 * (v1 / delta) ** 2
    events = float(expected_events(scenario, 36)[0]) / 18
    return {"n": n, "event": n * events, "ahr": np.exp(-delta / variance(control, treated, 1))}


def nph_design() -> Found:
    """A design for proportional hazards that fail: events, power, times, average hazard ratio."""
    scenario = survival_scenario(
        26 / 9 * np.arange(1, 10),
        [1] * 8 + [14],
        13,
        [1, 0.58],
        [6],
        dropout=-np.log(1 - 0.05) / 12,
    )
    design = group_sequential((0.8, 1), power=0.8, efficacy=LD_OF)
    found = survival_expectations(scenario, design, events=315)
    return {
        "events": found.events[-1],
        "n": scenario.n_patients,
        "power": found.power,
        "studyDuration": found.times[-1],
        "expectedDuration": found.expected_duration,
        "expectedEvents": found.expected_events,
        "analysisTime": found.times,
        "ahr": found.hazard_ratio,
        "rejectPerStage": found.stage_rejection,
    }


def prior_2020() -> Found:
    """MaxCombo at two looks: means, correlations, critical values, power."""
    scenario = survival_scenario(
        25, 4, control_hazard=0.25, hazard_ratio=[1, 0.5], breakpoints=[1.5]
    )
    # all 100 events are never quite expected: the vignette takes 99.9
    times = [time_to_events(scenario, 50), time_to_events(scenario, 99.9)]
    found = sequential_max_combo(
        scenario, times, [["logrank"], ["logrank", ("fleming_harrington", 0, 1)]], [0.0015, 0.025]
    )
    return {
        "mean_Z": found.mean,
        "corr": found.correlation,
        "u1": found.critical_values[0],
        "power_approx": found.power,
    }


def bretz(inputs: Inputs) -> Found:
    """Adjusted p-values and rejections of a graphical procedure."""
    found = graphical_test(inputs["p"], inputs["weights"], inputs["transitions"], inputs["alpha"])
    return {"adj_p": found.adjusted_p, "reject": found.rejected}


def exact(test: str) -> Callable[[Inputs], float]:
    """A function that gives the exact power of a test of two rates."""

    def power(inputs: Inputs) -> float:
        n1, n2 = inputs["n"]
        return exact_power_proportions(inputs["p1"], inputs["p2"], n1, n2, 0.025, test)

    return power


def ttest(inputs: Inputs) -> float:
    """Power of a t-test."""
    return sample_size_means(inputs["d"], n_per_arm=inputs["n_per_arm"], alpha=0.05, sided=2).power


COMPUTED: Mapping[str, Mapping[str, Callable[[Inputs], Any]]] = {
    "bounds": {
        "gs_of_k3_bounds": lambda i: equal_looks(3).efficacy_bounds,
        "gs_of_k3_inflation": lambda i: equal_looks(3).inflation_factor,
        "gs_of_k3_asn_h1_ratio": lambda i: equal_looks(3).expected_sample_size[2],
        "gs_pocock_k3_bounds": lambda i: equal_looks(3, efficacy="pocock").efficacy_bounds,
        "gs_pocock_k3_inflation": lambda i: equal_looks(3, efficacy="pocock").inflation_factor,
        "gs_pocock_k3_asn_h1_ratio": lambda i: equal_looks(
            3, efficacy="pocock"
        ).expected_sample_size[2],
        "jt_two_sided_k2_of_final_and_R": lambda i: two_sided(2, "obrien_fleming", "final_z"),
        "jt_two_sided_k2_pocock_const_and_R": lambda i: two_sided(2, "pocock", "z"),
        "jt_two_sided_k3_of_final_and_R": lambda i: two_sided(3, "obrien_fleming", "final_z"),
        "jt_two_sided_k3_pocock_const_and_R": lambda i: two_sided(3, "pocock", "z"),
        "jt_two_sided_k4_pocock_const_and_R": lambda i: two_sided(4, "pocock", "z"),
        "jt_two_sided_k5_of_final_and_R": lambda i: two_sided(5, "obrien_fleming", "final_z"),
        "jt_two_sided_k3_power80_R": lambda i: two_sided_power80(),
        "ld_of_k2": lambda i: spending_case(LD_OF, 2),
        "ld_of_k3": lambda i: spending_case(LD_OF),
        "ld_of_k3_asn": lambda i: equal_looks(3, efficacy=LD_OF).expected_sample_size,
        "ld_of_k5": lambda i: spending_case(LD_OF, 5),
        "ld_of_unequal_50_75_100": lambda i: (
            group_sequential(i["timing"], efficacy=LD_OF).efficacy_bounds
        ),
        "ld_pocock_k3": lambda i: spending_case(LD_POCOCK),
        "hsd_m4_k3": lambda i: spending_case(("hwang_shih_decani", -4)),
        "hsd_m2_k3": lambda i: spending_case(("hwang_shih_decani", -2)),
        "kimdemets_rho1_k3": lambda i: spending_case(("kim_demets", 1)),
        "kimdemets_rho3_k3": lambda i: spending_case(("kim_demets", 3)),
        "gsdesign_default": lambda i: gsdesign_default(),
    },
    "combination": {
        "rpact_inverse_normal_default": lambda i: inverse_normal_default(),
        "rpact_fisher_default": lambda i: fisher_default(),
    },
    "interim": {
        "cp_trend_null_delta": lambda i: conditional_powers(),
        "predictive_power_flat": lambda i: equal_looks(2, efficacy=LD_OF).predictive_power(1, 1.0),
        "gsdesign_k2_cum_power": lambda i: cumulative_power(),
        "gspos_normal_prior": lambda i: normal_prior_success(),
        "gsdesign_test_gsPOS": grid_prior_success,
        "assurance_normal": lambda i: assurance(-np.log(0.7), 0.2, 2 / np.sqrt(331)),
    },
    "survival sizes": {
        "rpact_pwexp_median": lambda i: piecewise_median(),
        "lachin_foulkes_hr07": lambda i: survival("lachin_foulkes", **median_12(dropout=0.001)),
        "schoenfeld_n_hr07": lambda i: survival("schoenfeld", **median_12(dropout=0.001)),
        "nsurv_hr06": lambda i: survival(
            "lachin_foulkes",
            **median_12(control_median=6, hazard_ratio=0.6, dropout=np.log(2) / 40),
        ),
        "eevents_exponential": lambda i: expected_events(
            survival_scenario(10, 12, 6, dropout=np.log(2) / 40), 24
        )[0],
        "rpact_surv_hr07": lambda i: survival("schoenfeld", **median_12()),
        "rpact_surv_gs_hr07": lambda i: group_sequential_survival(),
        "rmst_exponential": lambda i: [
            restricted_mean(np.log(2) / 12 * hr, [], i["tau"]) for hr in i["hr"]
        ],
        "gsd2_ahr_default": lambda i: ahr(i, i["total_duration"]),
        "gsd2_ahr_3times": lambda i: ahr(i, i["total_duration"]),
        "gsd2_expected_time": lambda i: expected_time(),
        "gsd2_fixed_ahr": lambda i: delayed("average_hazard_ratio", ["n", "event", "ahr"]),
        "gsd2_fixed_fh_0_05": lambda i: fleming_harrington_in_r(tight=False),
        "gsd2_fixed_milestone18": lambda i: delayed("milestone", ["n", "event"], milestone=18),
        "gsd2_fixed_maxcombo": lambda i: delayed(
            "max_combo",
            ["n", "event", "bound"],
            weight=["logrank", ("fleming_harrington", 0.5, 0)],
        ),
        "gsd2_fixed_lf": lambda i: delayed(
            "lachin_foulkes", ["n", "event"], hazard_ratio=0.7, breakpoints=[]
        ),
        "lrstat_nph_design": lambda i: nph_design(),
        "lrstat_maxcombo_prior2020": lambda i: prior_2020(),
        **{name: schoenfeld for name in VALUES if name.startswith("schoenfeld_hr")},
    },
    "fixed sizes": {
        "rpact_gs_one_sample_mean": lambda i: one_sample_mean(),
        "ttest_power": ttest,
        "ttest_power_64": ttest,
        "ttest_n_90": lambda i: sample_size_means(0.5, 0.9, 0.05, sided=2).n_per_arm,
        "normal_n_90": lambda i: sample_size_means(0.5, 0.9, method="normal").n_total,
        "binomial_n_30_15": lambda i: sample_size_proportions(0.3, 0.15, 0.8).n_total,
        "binomial_n_20_10": lambda i: sample_size_proportions(0.2, 0.1, 0.9).n_total,
        "rates_gs_power": lambda i: rates_power(),
        "fisher_exact_power": exact("fisher"),
        "fisher_exact_size": exact("fisher"),
        "pooled_z_exact_power": exact("pooled_z"),
        "pooled_z_exact_size": exact("pooled_z"),
    },
    "multiplicity": {
        "dunnett_crit": lambda i: [dunnett_critical_value(k) for k in i["n_comparisons"]],
        "graphical_mcp_bretz": bretz,
    },
}

CASES = reference_cases(COMPUTED)
