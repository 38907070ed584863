"""Sizes, powers and bounds beside closed forms and enumeration with scipy."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import optimize, stats

import trial_sim as ts
from trial_sim.qualification.kit import Case
from trial_sim.qualification.libraries.sources import (
    CLOSED,
    ENUMERATED,
    SCIPY,
    STATSMODELS,
    tail,
)


def powers_of_events() -> list[float]:
    """Power by number of events, Schoenfeld's and Freedman's."""
    return [
        ts.power_of_events(331, 0.7),
        ts.power_of_events(200, 0.6, alpha=0.05, allocation=2.0),
        ts.power_of_events(331, 0.7, method="freedman"),
    ]


def powers_of_events_elsewhere() -> list[float]:
    """The same in closed form."""
    return [
        stats.norm.cdf(-np.log(0.7) * np.sqrt(331) / 2 - tail(0.025)),
        stats.norm.cdf(-np.log(0.6) * np.sqrt(200 * 2) / 3 - tail(0.05)),
        stats.norm.cdf(np.sqrt(331) * 0.3 / 1.7 - tail(0.025)),
    ]


def t_sizes() -> list[float]:
    """Patients an arm of four t-tests."""
    return [
        ts.sample_size_means(effect, 0.85, alpha, sided=sided, allocation=ratio).n_per_arm
        for effect, alpha, sided, ratio in T_SIZES
    ]


T_SIZES = [(0.4, 0.025, 1, 1.0), (0.4, 0.05, 2, 2.0), (0.7, 0.01, 1, 0.5), (0.25, 0.05, 2, 1.0)]


def t_sizes_elsewhere() -> list[float]:
    """The same by statsmodels."""
    from statsmodels.stats.power import TTestIndPower

    return [
        TTestIndPower().solve_power(
            effect, power=0.85, alpha=alpha, ratio=ratio,
            alternative="larger" if sided == 1 else "two-sided",
        )
        for effect, alpha, sided, ratio in T_SIZES
    ]  # fmt: skip


FISHER = [(0.75, 0.3, 14, 11, 0.05), (0.6, 0.2, 20, 20, 0.025), (0.9, 0.5, 12, 18, 0.025)]


def fisher_powers() -> list[float]:
    """Exact powers of Fisher's test."""
    return [ts.exact_power_proportions(p1, p2, n1, n2, a) for p1, p2, n1, n2, a in FISHER]


def fisher_powers_elsewhere() -> list[float]:
    """The same by adding up all tables."""
    found = []
    for p1, p2, n1, n2, alpha in FISHER:
        x1, x2 = np.meshgrid(np.arange(n1 + 1), np.arange(n2 + 1), indexing="ij")
        p = stats.hypergeom.sf(x1 - 1, n1 + n2, n1, x1 + x2)
        mass = stats.binom.pmf(x1, n1, p1) * stats.binom.pmf(x2, n2, p2)
        found.append(float(mass[p <= alpha].sum()))
    return found


def equivalence() -> dict[str, float]:
    """Powers of two one-sided tests of means and of rates."""
    return {
        "means": ts.sample_size_equivalence_means(0.5, 0.1, alpha=0.05, n_per_arm=40).power,
        "proportions": ts.sample_size_equivalence_proportions(0.5, 0.5, 0.1, n_per_arm=500).power,
    }


def equivalence_elsewhere() -> dict[str, float]:
    """The same by integration over the standard deviation, and in closed form."""
    n, df = 40, 78
    error, t = np.sqrt(2 / n), stats.t.isf(0.05, 78)

    def both(chi: float) -> float:
        sd = np.sqrt(chi / df)
        room = (0.5 - t * sd * error) / error
        shift = 0.1 / error
        inside = stats.norm.cdf(room - shift) - stats.norm.cdf(-room - shift)
        return max(float(inside), 0.0) * float(stats.chi2.pdf(chi, df))

    from scipy.integrate import quad

    # rates of .45 and .55 are the likeliest at the margin
    null, true = np.sqrt(2 * 0.45 * 0.55 / 500), np.sqrt(2 * 0.25 / 500)
    z = (0.1 - tail(0.025) * null) / true
    most = df * (0.5 / error / t) ** 2
    return {
        "means": quad(both, 0, min(most, 400), limit=400, points=[78])[0],
        "proportions": 2 * stats.norm.cdf(z) - 1,
    }


def zone() -> list[float]:
    """Chance of ending in the promising zone under three effects."""
    plan = ts.PromisingZone(n_first=208, n_planned=442, n_max=884, lower=0.365)
    return [plan.probabilities(d / 15).reestimated for d in (0.0, 1.6, 1.9)]


def zone_elsewhere() -> list[float]:
    """Conditional power is monotone in z, so that the zone is an interval of z."""
    first, rest = np.sqrt(208), np.sqrt(442 - 208)
    low, high = (
        (stats.norm.ppf(cp) + tail(0.025) * np.sqrt(442) / rest) / (rest / first + first / rest)
        for cp in (0.365, 0.8)
    )
    means = [d / 15 * first for d in (0.0, 1.6, 1.9)]
    return [float(stats.norm.cdf(high - m) - stats.norm.cdf(low - m)) for m in means]


def ordinal() -> dict[str, float]:
    """Sizes for ordered categories, counts and recurrent events."""
    two = ts.sample_size_ordinal(2.0, [0.7, 0.3]).n_total
    counts = [
        ts.sample_size_counts(
            0.85, 0.8, 0.8, 0.05, sided=2, dispersion=0.4, exposure=0.75, null_variance=v
        ).n_per_arm
        for v in ("truth", "maximum_likelihood")
    ]
    recurrent = ts.sample_size_recurrent(0.7, 0.1, dispersion=0.8, study_duration=12).n_per_arm
    return {
        "ordinal, two categories": two,
        "counts, true variance": counts[0],
        "counts, null variance": counts[1],
        "recurrent events": recurrent,
    }


def ordinal_elsewhere() -> dict[str, float]:
    """The same by published formulas."""
    odds = 2 * 0.3 / 0.7
    p = (0.3 + odds / (1 + odds)) / 2
    z = (tail(0.025) + tail(0.1)) ** 2
    rate, ratio, k, t = 0.8, 0.85, 0.4, 0.75
    variance = (1 + 1 / ratio) / (t * rate) + 2 * k
    total = (tail(0.025) + tail(0.2)) ** 2 / np.log(ratio) ** 2
    # the rates of Zhu and Lakkis's third method: under the null, by maximum likelihood
    pooled = optimize.brentq(
        lambda m: sum((r - m) / (m * (1 + k * t * m)) for r in (rate, rate * ratio)), 0.1, 2
    )
    null = 2 * (1 / (t * pooled) + k)
    both = (tail(0.025) * np.sqrt(null) + tail(0.2) * np.sqrt(variance)) ** 2 / np.log(ratio) ** 2
    m = 0.1 * 12
    recurrent = z * ((1 / m + 1 / (0.7 * m)) + 2 * 0.8) / np.log(0.7) ** 2
    return {
        "ordinal, two categories": 4 * z / (np.log(2.0) ** 2 * p * (1 - p)),
        "counts, true variance": total * variance,
        "counts, null variance": both,
        "recurrent events": recurrent,
    }


RMST = {"control_median": 10, "accrual_duration": 12, "study_duration": 30}


def rmst_power() -> float:
    """Power of a test of restricted mean survival."""
    return float(ts.sample_size_rmst(0.55, 18.0, n_total=400, **RMST).power)


def rmst_power_elsewhere() -> float:
    """All are followed for 18 months, so that the mean of min(T, 18) is the estimate."""
    found = []
    for h in (np.log(2) / 10, 0.55 * np.log(2) / 10):
        mean = (1 - np.exp(-18 * h)) / h
        second = 2 / h**2 * (1 - np.exp(-18 * h) * (1 + 18 * h))
        found.append((mean, second - mean**2))
    gap = found[1][0] - found[0][0]
    return float(stats.norm.cdf(gap / np.sqrt((found[0][1] + found[1][1]) / 200) - tail(0.025)))


def pocock() -> dict[str, Any]:
    """Error of Pocock's bounds at two looks, by look."""
    design = ts.group_sequential((0.4, 1), efficacy="pocock")
    exits = design.stage_probabilities(0.0)
    return {"first": exits.rejection[0], "both": float(exits.rejection.sum())}


def pocock_elsewhere() -> dict[str, Any]:
    """The same by the bivariate normal of scipy."""
    r = np.sqrt(0.4)
    normal = stats.multivariate_normal(cov=[[1, r], [r, 1]], abseps=1e-10, maxpts=10**6)
    c = optimize.brentq(lambda x: 1 - normal.cdf([x, x]) - 0.025, 1.9, 2.6, xtol=1e-12)
    return {"first": tail_of(c), "both": 0.025}


def tail_of(z: float) -> float:
    """Upper tail of ``z``."""
    return float(stats.norm.sf(z))


CASES = (
    Case("power_of_events", "survival sizes", powers_of_events, powers_of_events_elsewhere, CLOSED,
         1e-10, "Schoenfeld 1:1 and 2:1, Freedman"),
    Case("t_sizes_statsmodels", "fixed sizes", t_sizes, t_sizes_elsewhere, STATSMODELS, 1e-4),
    Case("fisher_power_enumerated", "fixed sizes", fisher_powers, fisher_powers_elsewhere,
         ENUMERATED, 1e-12),
    Case("equivalence", "fixed sizes", equivalence, equivalence_elsewhere, CLOSED,
         {"means": 1e-8, "proportions": 1e-9}, "two one-sided tests, 40 and 500 an arm"),
    Case("promising_zone_share", "re-estimation", zone, zone_elsewhere, CLOSED, 1e-9,
         "the zone of Mehta and Pocock (2011)"),
    Case("ordinal_and_counts", "fixed sizes", ordinal, ordinal_elsewhere,
         "closed forms of Whitehead (1993) and Zhu and Lakkis (2014)", 1e-6),
    Case("rmst_size", "survival sizes", rmst_power, rmst_power_elsewhere, CLOSED, 1e-6,
         "hazard ratio .55, tau 18, all followed for 18 months"),
    Case("pocock_scipy", "bounds", pocock, pocock_elsewhere, SCIPY, 1e-7, "looks at .4 and 1"),
)  # fmt: skip
