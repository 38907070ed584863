"""Adaptive, combination and single-arm designs beside rpact, gsDesign, East, MAMS, blindrecalc.

Data and values are in ``values/adaptive_values.json``, each with its source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numba as nb
import numpy as np

import trial_sim as ts
from trial_sim.numerics.random_streams import philox4x32
from trial_sim.qualification.adaptive import changed_sizes, looks, several_arms
from trial_sim.qualification.reference import ADAPTIVE, Inputs, reference_cases


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
        "in_hsd0": looks.no_interest_rate,
        "in_hsd_beta": looks.beta_spending,
        "in_wt_binding": looks.binding_wang_tsiatis,
        "hp_k4": looks.haybittle_peto,
        "gsd_tte_r_vs_east": looks.east_survival,
        "jt_table_2_9": looks.jennison_turnbull,
        **_group(looks.rpact_looks, "rpact_three_looks"),
    },
    "combination": {
        "in_comb_stage12": looks.combination,
        "in_crp": looks.inverse_normal_errors,
        "in_repeated_p": looks.inverse_normal_repeated,
        "fisher_crp": looks.fisher_errors,
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
        "in_cond_power": looks.planned_stage,
        "in_cond_power_curve": looks.planned_curve,
        "gs_crp_k3": looks.three_looks,
        "gs_k4_crp_equal_n": looks.four_looks,
        "surv_k3_crp": looks.survival_looks,
        "rates_exact_crp": looks.exact_rates,
        "condpower_east": looks.east_conditional,
        "gspos": looks.east_positive,
        "schmidli_table_2": looks.schmidli,
        "robust_mixture": looks.robust_mixture,
    },
    "multiplicity": {
        **_group(several_arms.several_arms, "ma_"),
        "conditional_dunnett": several_arms.conditional_dunnett,
        "enrich_spiessens_debois": several_arms.nested,
        "enrich_split_alpha": several_arms.nested_split,
        "naive_three_arms_fwer": several_arms.shared_control,
        "mams_m1": several_arms.mams,
        "dunnett_1964": several_arms.dunnett_1964,
        "graph_bonf_05": several_arms.graph,
        "graph_simes_05": several_arms.graph,
        "graph_bonf_equal": several_arms.adjusted_only,
        "graph_simes_equal": several_arms.adjusted_only,
        "graph_group_sequential_bounds": several_arms.graph_levels,
    },
    "re-estimation": {
        **_group(changed_sizes.promising_zone, "promising_zone"),
        **_group(changed_sizes.conditional_power_80, "ssr_in_cp80"),
        "cpmin_table": changed_sizes.smallest_promising,
        **_group(changed_sizes.blinded_rates, "blinded_ssr_chisq"),
        "kieser_nfix": changed_sizes.kieser,
        "blinded_ssr_ttest_nfix": changed_sizes.blinded_means,
    },
    "single arms": {
        **_group(changed_sizes.simon, "simon"),
        "predictive_probability_design": changed_sizes.lee_liu,
    },
    "fixed sizes": {"prognostic_sizes": changed_sizes.prognostic},
    "random streams": {"random123_kat": philox},
}

CASES = reference_cases(COMPUTED, values=ADAPTIVE)
