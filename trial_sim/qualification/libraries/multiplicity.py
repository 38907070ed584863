"""Adjusted and combined p-values, intersections and graphs, beside scipy, statsmodels and rpact."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

import trial_sim as ts
from trial_sim.adaptive.sequential_graph import nominal_levels
from trial_sim.qualification.kit import Case
from trial_sim.qualification.libraries.sources import (
    OBF,
    SCIPY,
    STATSMODELS,
)

P = [0.003, 0.041, 0.012, 0.2, 0.0481, 0.0302]
METHODS = {"bonferroni": "bonferroni", "holm": "holm", "hochberg": "simes-hochberg",
           "hommel": "hommel"}  # fmt: skip


def adjusted() -> dict[str, Any]:
    """Adjusted p-values by four methods."""
    return {name: ts.adjust_p_values(P, name) for name in METHODS}


def adjusted_elsewhere() -> dict[str, Any]:
    """The same by statsmodels."""
    from statsmodels.stats.multitest import multipletests

    return {name: multipletests(P, method=theirs)[1] for name, theirs in METHODS.items()}


def combined() -> dict[str, float]:
    """Combined p-values by three methods."""
    return {
        "Fisher": ts.combine_p_values(P[:3], "fisher"),
        "inverse normal": ts.combine_p_values(P[:3]),
        "weighted": ts.combine_p_values(P[:3], weights=[3, 2, 1]),
    }


def combined_elsewhere() -> dict[str, float]:
    """The same by scipy."""
    return {
        "Fisher": stats.combine_pvalues(P[:3]).pvalue,
        "inverse normal": stats.combine_pvalues(P[:3], "stouffer").pvalue,
        "weighted": stats.combine_pvalues(P[:3], "stouffer", weights=[3, 2, 1]).pvalue,
    }


THREE = np.array([[1, 0.5, 0.4], [0.5, 1, 0.3], [0.4, 0.3, 1]])


def intersections() -> dict[str, float]:
    """p-values of an intersection of three hypotheses by four tests."""
    z = [2.1, 1.7, -0.2]
    return {
        name: float(ts.intersection_p_value(z, name, THREE if name == "dunnett" else None))
        for name in ("dunnett", "bonferroni", "sidak", "simes")
    }


def intersections_elsewhere() -> dict[str, float]:
    """The same by the multivariate normal of scipy, and by hand."""
    p = np.sort(stats.norm.sf([2.1, 1.7, -0.2]))
    normal = stats.multivariate_normal(cov=THREE, maxpts=2_000_000, abseps=1e-8)
    return {
        "dunnett": 1 - normal.cdf([2.1] * 3),
        "bonferroni": 3 * p[0],
        "sidak": 1 - (1 - p[0]) ** 3,
        "simes": np.min(p * 3 / np.arange(1, 4)),
    }


def passed_on() -> dict[str, Any]:
    """A graph over looks in which one hypothesis passes its alpha on."""
    found = ts.sequential_graph_test(
        [{"PFS": 0.003, "OS": 0.0008}],
        designs={
            "PFS": ts.group_sequential((0.7, 1), efficacy=OBF),
            "OS": ts.group_sequential((0.5, 0.75, 1), efficacy=OBF),
        },
        weights={"PFS": 0.2, "OS": 0.8},
        transitions={"PFS": {"OS": 1}, "OS": {"PFS": 1}},
    )
    return {
        "rejected": list(found.rejected),
        "level": [one.level for one in found.rejections],
        "nominal": [one.nominal for one in found.rejections],
    }


def spent_again() -> float:
    """Nominal level of the first of three looks at an alpha of .025."""
    design = ts.group_sequential((0.5, 0.75, 1), efficacy=OBF)
    return nominal_levels(design, 0.025)[0]


CASES = (
    Case("adjusted_p_statsmodels", "multiplicity", adjusted, adjusted_elsewhere, STATSMODELS, 1e-12,
         f"p {P}"),
    Case("combined_p_scipy", "combination", combined, combined_elsewhere, SCIPY, 1e-12,
         f"p {P[:3]}"),
    Case("intersections_scipy", "multiplicity", intersections, intersections_elsewhere, SCIPY, 2e-6,
         "z 2.1, 1.7, -.2"),
    Case("graph_with_looks", "multiplicity", passed_on,
         {"rejected": ["OS", "PFS"], "level": [0.02, 0.025], "nominal": [0.00100204, 0.00738449]},
         "rpact 3.3.4 run; Maurer and Bretz (2013)", 1e-7,
         "PFS (.2) and OS (.8), all alpha passed on"),
    Case("alpha_spent_rpact", "multiplicity", spent_again, 0.00152532276, "rpact 3.3.4 run", 1e-9),
)  # fmt: skip
