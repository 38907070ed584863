"""Cases whose independent value scipy or statsmodels computes now, is enumerated, or is printed.

The libraries run beside the package on the same data, so that these values hold for the versions
that are installed, not for those of a file.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize, stats

import trial_sim as ts
from trial_sim.adaptive.sequential_graph import nominal_levels
from trial_sim.qualification.kit import Case, Estimate
from trial_sim.qualification.real_data import colon, gehan, table, veteran

OBF = "lan_demets_obrien_fleming"
SCIPY = "scipy, computed now"
STATSMODELS = "statsmodels, computed now"
CLOSED = "closed form, evaluated with scipy"
ENUMERATED = "enumeration with scipy"
# 40 patients with heavy ties: time, cause, group
TIED = np.array(
    [
        [1, 1, 0], [1, 2, 0], [1, 1, 1], [2, 0, 1], [2, 1, 0], [2, 1, 0], [2, 2, 1], [2, 1, 1],
        [3, 2, 0], [3, 2, 0], [3, 1, 1], [3, 0, 0], [3, 1, 0], [4, 1, 1], [4, 2, 1], [4, 2, 1],
        [4, 1, 0], [4, 0, 0], [5, 1, 0], [5, 1, 1], [5, 2, 0], [5, 0, 1], [5, 2, 1], [6, 1, 1],
        [6, 2, 0], [6, 0, 0], [6, 0, 1], [1, 0, 1], [2, 0, 0], [3, 0, 1], [4, 0, 1], [5, 0, 0],
        [6, 0, 0], [1, 1, 0], [2, 1, 0], [3, 2, 1], [4, 0, 0], [5, 0, 1], [6, 0, 1], [6, 1, 1],
    ]
)  # fmt: skip
DATA = {"colon": colon, "veteran": veteran, "gehan": gehan}


def tail(p: float) -> float:
    """z with upper tail ``p``."""
    return float(stats.norm.isf(p))


# -- tests of one trial -------------------------------------------------------------------------


def logranks() -> dict[str, float]:
    return {name: ts.logrank(*data()).chi_square for name, data in DATA.items()}


def logranks_elsewhere() -> dict[str, float]:
    from statsmodels.duration.survfunc import survdiff

    return {name: survdiff(t, e, g)[0] for name, (t, e, g) in ((n, d()) for n, d in DATA.items())}


def stratified() -> dict[str, float]:
    data = table("veteran")
    t, e, g = veteran()
    fit = ts.cox(t, e, g, strata=data["celltype"])
    return {
        "logrank": ts.logrank(t, e, g, strata=data["celltype"]).chi_square,
        "coef": fit.estimate,
        "se": fit.se,
    }


def stratified_elsewhere() -> dict[str, float]:
    from statsmodels.duration.hazard_regression import PHReg
    from statsmodels.duration.survfunc import survdiff

    data = table("veteran")
    t, e, g = veteran()
    strata = data["celltype"].astype(str).to_numpy()
    fit = PHReg(t.astype(float), g.astype(float), status=e, strata=strata, ties="efron").fit()
    return {
        "logrank": survdiff(t, e, g, strata=strata)[0],
        "coef": fit.params[0],
        "se": fit.bse[0],
    }


def coxes() -> dict[str, Any]:
    fits = {name: ts.cox(*data()) for name, data in DATA.items()}
    return {name: {"coef": fit.estimate, "se": fit.se} for name, fit in fits.items()}


def coxes_elsewhere() -> dict[str, Any]:
    from statsmodels.duration.hazard_regression import PHReg

    found = {}
    for name, data in DATA.items():
        t, e, g = data()
        fit = PHReg(t.astype(float), g.astype(float), status=e, ties="efron").fit()
        found[name] = {"coef": fit.params[0], "se": fit.bse[0]}
    return found


YEARS = (0.5, 1.0, 2.0, 3.0, 5.0)


def curves() -> dict[str, Any]:
    t, e, g = colon()
    curve = ts.kaplan_meier(t[g == 1], e[g == 1])
    return {"Lev+5FU": curve.at([365.25 * y for y in YEARS])}


def curves_elsewhere() -> dict[str, Any]:
    t, e, g = colon()
    sample = stats.CensoredData.right_censored(t[g == 1].astype(float), e[g == 1] == 0)
    return {"Lev+5FU": stats.ecdf(sample).sf.evaluate(np.array([365.25 * y for y in YEARS]))}


def milestones() -> dict[str, float]:
    found = ts.milestone_difference(*colon(), tau=3 * 365.25)
    return {"difference": found.estimate, "se": found.se}


def milestones_elsewhere() -> dict[str, float]:
    from statsmodels.duration.survfunc import SurvfuncRight

    t, e, g = colon()
    at = []
    for arm in (0, 1):
        curve = SurvfuncRight(t[g == arm].astype(float), e[g == arm])
        row = np.searchsorted(curve.surv_times, 3 * 365.25, side="right") - 1
        at.append((curve.surv_prob[row], curve.surv_prob_se[row]))
    return {"difference": at[1][0] - at[0][0], "se": float(np.hypot(at[0][1], at[1][1]))}


def incidences() -> dict[str, Any]:
    data = table("bmt")
    low = data[data["group"] == "AML low risk"]
    curve = ts.aalen_johansen(low["time"], low["cause"])
    years = np.array([0.5, 1, 1.5, 2, 3]) * 365.25
    one = TIED[TIED[:, 2] == 1]
    tied = ts.aalen_johansen(one[:, 0], one[:, 1])
    relapse, death = (
        ts.gray_test(data["time"], data["cause"], data["group"], of=k) for k in (1, 2)
    )
    return {
        "relapse": curve.at(years),
        "standard error": curve.standard_error_at(years)[1:],
        "variance with ties": tied.standard_error_at([1, 2, 3, 5]) ** 2,
        "Gray, relapse": [relapse.statistic, relapse.p_value_two_sided],
        "Gray, death": [death.statistic, death.p_value_two_sided],
        "Gray with ties": [ts.gray_test(*TIED.T, of=k).statistic for k in (1, 2)],
    }


CMPRSK = {
    "relapse": [0, 4 / 54, 7 / 54, 8 / 54, 9 / 54],
    "standard error": [
        0.036037355718003, 0.046258315963851, 0.048937621089491, 0.051358974920326,
    ],
    "variance with ties": [0.0025, 0.005015432098765, 0.007567009602195, 0.01313718239155],
    "Gray, relapse": [11.92288204859, 0.0025762],
    "Gray, death": [0.13741078327, 0.9336017],
    "Gray with ties": [0.27552554953023, 4.5699238e-07],
}  # fmt: skip


def btheb() -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    data = table("btheb").dropna(subset=["bdi_2m"])
    return data["bdi_2m"].to_numpy(), (data["treatment"] == "BtheB").to_numpy(int), data


def means() -> dict[str, Any]:
    y, group, data = btheb()
    student = ts.t_test(y, group, higher_is_better=False)
    welch = ts.t_test(y, group, equal_variance=False, higher_is_better=False)
    fit = ts.ancova(y, group, data["bdi_pre"], strata=data["drug"], higher_is_better=False)
    return {
        "t": [student.z, student.p_value, *student.interval()],
        "Welch": [welch.z, welch.p_value, welch.df],
        "ANCOVA": [fit.estimate, fit.se, fit.p_value_two_sided],
    }


def means_elsewhere() -> dict[str, Any]:
    import statsmodels.api as sm

    y, group, data = btheb()
    student = stats.ttest_ind(y[group == 0], y[group == 1], alternative="greater")
    welch = stats.ttest_ind(y[group == 0], y[group == 1], equal_var=False, alternative="greater")
    both = stats.ttest_ind(y[group == 1], y[group == 0]).confidence_interval(0.95)
    drug = (data["drug"] == sorted(data["drug"].unique())[1]).to_numpy(float)
    x = np.column_stack([np.ones(len(y)), group, data["bdi_pre"], drug])
    fit = sm.OLS(y, x).fit()
    return {
        "t": [student.statistic, student.pvalue, both.low, both.high],
        "Welch": [welch.statistic, welch.pvalue, welch.df],
        "ANCOVA": [fit.params[1], fit.bse[1], fit.pvalues[1]],
    }


def indomethacin() -> tuple[np.ndarray, np.ndarray, pd.Series]:
    data = table("indo_rct")
    return (
        data["pancreatitis"].to_numpy(int),
        (data["rx"] == "indomethacin").to_numpy(int),
        data["site"],
    )


def rates() -> dict[str, Any]:
    y, group, site = indomethacin()
    cmh = ts.cmh_test(y, group, site, higher_is_better=False)
    margin = ts.farrington_manning_test(y, group, margin=0.05, higher_is_better=False)
    return {
        "chi-square": ts.chi_square_test(y, group).chi_square,
        "with continuity": ts.chi_square_test(y, group, continuity=True).chi_square,
        "Fisher, two-sided p": ts.fisher_test(y, group).p_value_two_sided,
        "Fisher, one-sided p": ts.fisher_test(y, group, higher_is_better=False).p_value,
        "Cochran-Mantel-Haenszel": cmh.chi_square,
        "Farrington-Manning, z": margin.z,
    }


def rates_elsewhere() -> dict[str, Any]:
    from statsmodels.stats.contingency_tables import StratifiedTable

    y, group, site = indomethacin()
    counts = np.array([[np.sum((group == a) & (y == b)) for b in (1, 0)] for a in (1, 0)])
    tables = [
        np.array(
            [[np.sum((group == a) & (y == b) & (site == s)) for b in (1, 0)] for a in (1, 0)],
            dtype=float,
        )
        for s in sorted(set(site))
    ]
    usable = [t for t in tables if t.sum(axis=0).all() and t.sum(axis=1).all()]
    return {
        "chi-square": stats.chi2_contingency(counts, correction=False).statistic,
        "with continuity": stats.chi2_contingency(counts, correction=True).statistic,
        "Fisher, two-sided p": stats.fisher_exact(counts).pvalue,
        "Fisher, one-sided p": stats.fisher_exact(counts, alternative="less").pvalue,
        "Cochran-Mantel-Haenszel": StratifiedTable(usable).test_null_odds().statistic,
        "Farrington-Manning, z": farrington_manning(counts[1], counts[0]),
    }


def farrington_manning(control: np.ndarray, treated: np.ndarray) -> float:
    """z against a rate .05 worse, its variance by direct maximisation under that margin.

    statsmodels' score test is no peer here: it changes in the third digit when the arms change
    places.
    """
    (x0, n0), (x1, n1) = ((row[0], row.sum()) for row in (control, treated))

    def loss(p: float) -> float:
        return -float(stats.binom.logpmf(x0, n0, p) + stats.binom.logpmf(x1, n1, p + 0.05))

    p = optimize.minimize_scalar(
        loss, bounds=(0.01, 0.9), method="bounded", options={"xatol": 1e-12}
    ).x
    error = np.sqrt(p * (1 - p) / n0 + (p + 0.05) * (0.95 - p) / n1)
    return float((x0 / n0 - x1 / n1 + 0.05) / error)


@cache
def counted() -> tuple[np.ndarray, np.ndarray]:
    """Overdispersed counts of two arms, made by NumPy."""
    rng = np.random.Generator(np.random.Philox(11))
    group = np.repeat([0, 1], 120)
    return rng.negative_binomial(2.0, 2.0 / (2.0 + np.where(group, 1.6, 2.4))), group


def overdispersed() -> dict[str, float]:
    count, group = counted()
    fit = ts.negative_binomial_test(count, group)
    return {"log rate ratio": abs(fit.estimate), "dispersion": fit.dispersion}


def overdispersed_elsewhere() -> dict[str, float]:
    from statsmodels.discrete.discrete_model import NegativeBinomial

    count, group = counted()
    x = np.column_stack([np.ones(len(group)), group])
    fit = NegativeBinomial(count, x).fit(disp=0, maxiter=500, method="bfgs", gtol=1e-9)
    return {"log rate ratio": abs(fit.params[1]), "dispersion": fit.params[2]}


def one_sample() -> dict[str, float]:
    t, e, g = gehan()
    test = ts.one_sample_logrank(t[g == 0], e[g == 0], reference=0.08)
    return {"expected": test.expected, "z": test.z, "lower": test.lower, "upper": test.upper}


def one_sample_elsewhere() -> dict[str, float]:
    t, e, g = gehan()
    expected, events = 0.08 * t[g == 0].sum(), e[g == 0].sum()
    return {
        "expected": expected,
        "z": (expected - events) / np.sqrt(expected),
        "lower": stats.chi2.ppf(0.025, 2 * events) / 2 / expected,
        "upper": stats.chi2.ppf(0.975, 2 * events + 2) / 2 / expected,
    }


# -- multiplicity -------------------------------------------------------------------------------

P = [0.003, 0.041, 0.012, 0.2, 0.0481, 0.0302]
METHODS = {"bonferroni": "bonferroni", "holm": "holm", "hochberg": "simes-hochberg",
           "hommel": "hommel"}  # fmt: skip


def adjusted() -> dict[str, Any]:
    return {name: ts.adjust_p_values(P, name) for name in METHODS}


def adjusted_elsewhere() -> dict[str, Any]:
    from statsmodels.stats.multitest import multipletests

    return {name: multipletests(P, method=theirs)[1] for name, theirs in METHODS.items()}


def combined() -> dict[str, float]:
    return {
        "Fisher": ts.combine_p_values(P[:3], "fisher"),
        "inverse normal": ts.combine_p_values(P[:3]),
        "weighted": ts.combine_p_values(P[:3], weights=[3, 2, 1]),
    }


def combined_elsewhere() -> dict[str, float]:
    return {
        "Fisher": stats.combine_pvalues(P[:3]).pvalue,
        "inverse normal": stats.combine_pvalues(P[:3], "stouffer").pvalue,
        "weighted": stats.combine_pvalues(P[:3], "stouffer", weights=[3, 2, 1]).pvalue,
    }


THREE = np.array([[1, 0.5, 0.4], [0.5, 1, 0.3], [0.4, 0.3, 1]])


def intersections() -> dict[str, float]:
    z = [2.1, 1.7, -0.2]
    return {
        name: float(ts.intersection_p_value(z, name, THREE if name == "dunnett" else None))
        for name in ("dunnett", "bonferroni", "sidak", "simes")
    }


def intersections_elsewhere() -> dict[str, float]:
    p = np.sort(stats.norm.sf([2.1, 1.7, -0.2]))
    normal = stats.multivariate_normal(cov=THREE, maxpts=2_000_000, abseps=1e-8)
    return {
        "dunnett": 1 - normal.cdf([2.1] * 3),
        "bonferroni": 3 * p[0],
        "sidak": 1 - (1 - p[0]) ** 3,
        "simes": np.min(p * 3 / np.arange(1, 4)),
    }


def passed_on() -> dict[str, Any]:
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
    design = ts.group_sequential((0.5, 0.75, 1), efficacy=OBF)
    return nominal_levels(design, 0.025)[0]


# -- sizes --------------------------------------------------------------------------------------


def powers_of_events() -> list[float]:
    return [
        ts.power_of_events(331, 0.7),
        ts.power_of_events(200, 0.6, alpha=0.05, allocation=2.0),
        ts.power_of_events(331, 0.7, method="freedman"),
    ]


def powers_of_events_elsewhere() -> list[float]:
    return [
        stats.norm.cdf(-np.log(0.7) * np.sqrt(331) / 2 - tail(0.025)),
        stats.norm.cdf(-np.log(0.6) * np.sqrt(200 * 2) / 3 - tail(0.05)),
        stats.norm.cdf(np.sqrt(331) * 0.3 / 1.7 - tail(0.025)),
    ]


def t_sizes() -> list[float]:
    return [
        ts.sample_size_means(effect, 0.85, alpha, sided=sided, allocation=ratio).n_per_arm
        for effect, alpha, sided, ratio in T_SIZES
    ]


T_SIZES = [(0.4, 0.025, 1, 1.0), (0.4, 0.05, 2, 2.0), (0.7, 0.01, 1, 0.5), (0.25, 0.05, 2, 1.0)]


def t_sizes_elsewhere() -> list[float]:
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
    return [ts.exact_power_proportions(p1, p2, n1, n2, a) for p1, p2, n1, n2, a in FISHER]


def fisher_powers_elsewhere() -> list[float]:
    found = []
    for p1, p2, n1, n2, alpha in FISHER:
        x1, x2 = np.meshgrid(np.arange(n1 + 1), np.arange(n2 + 1), indexing="ij")
        p = stats.hypergeom.sf(x1 - 1, n1 + n2, n1, x1 + x2)
        mass = stats.binom.pmf(x1, n1, p1) * stats.binom.pmf(x2, n2, p2)
        found.append(float(mass[p <= alpha].sum()))
    return found


def equivalence() -> dict[str, float]:
    return {
        "means": ts.sample_size_equivalence_means(0.5, 0.1, alpha=0.05, n_per_arm=40).power,
        "proportions": ts.sample_size_equivalence_proportions(0.5, 0.5, 0.1, n_per_arm=500).power,
    }


def equivalence_elsewhere() -> dict[str, float]:
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


def gradual() -> dict[str, Any]:
    design = ts.group_sequential((0.4, 1), efficacy="pocock")
    exits = design.stage_probabilities(0.0)
    return {"first": exits.rejection[0], "both": float(exits.rejection.sum())}


def gradual_elsewhere() -> dict[str, Any]:
    r = np.sqrt(0.4)
    normal = stats.multivariate_normal(cov=[[1, r], [r, 1]], abseps=1e-10, maxpts=10**6)
    c = optimize.brentq(lambda x: 1 - normal.cdf([x, x]) - 0.025, 1.9, 2.6, xtol=1e-12)
    return {"first": tail_of(c), "both": 0.025}


def tail_of(z: float) -> float:
    return float(stats.norm.sf(z))


# -- simulated trials beside exact powers -------------------------------------------------------


def trial(**changes: Any) -> ts.Design:
    fields: dict[str, Any] = {
        "arms": {"control": 1, "treatment": 1},
        "n_patients": 80,
        "accrual": ts.Accrual(rate=20.0),
        "looks": ts.EnrolmentLooks([80]),
        "dropout": ts.Dropout(),
        "randomization": ts.PermutedBlocks(2),
    }
    return ts.Design(**(fields | changes))


def _rate(result: Any) -> Estimate:
    power = result.quantity("power")
    return Estimate(power.estimate, float(np.sqrt(0.25 / result.n_trials)))


def simulated(n_trials: int, seed: int) -> dict[str, Any]:
    binary = ts.simulate(
        trial(test="fisher"), ts.BinaryResponse(0.3, treatment_rate=0.65), n_trials, seed
    )
    normal = ts.simulate(
        trial(test="t_test"), ts.ContinuousResponse(difference=0.6), n_trials, seed
    )
    return {"Fisher's test": _rate(binary), "t test": _rate(normal)}


def exact_powers() -> dict[str, float]:
    from statsmodels.stats.power import TTestIndPower

    x1, x2 = np.meshgrid(np.arange(41), np.arange(41), indexing="ij")
    p = stats.hypergeom.sf(x1 - 1, 80, 40, x1 + x2)
    mass = stats.binom.pmf(x1, 40, 0.65) * stats.binom.pmf(x2, 40, 0.3)
    return {
        "Fisher's test": float(mass[p <= 0.025].sum()),
        "t test": TTestIndPower().power(0.6, 40, 0.025, alternative="larger"),
    }


def varied(n_trials: int, seed: int) -> list[Estimate]:
    grid = ts.what_if(
        trial(test="t_test"),
        ts.ContinuousResponse(difference=0.6),
        {"outcomes.difference": [0.0, 0.3, 0.9]},
        n_trials=n_trials,
        seed=seed,
    )
    error = float(np.sqrt(0.25 / n_trials))
    return [Estimate(float(power), error) for power in grid["power"]]


def varied_elsewhere() -> list[float]:
    from statsmodels.stats.power import TTestIndPower

    found = [TTestIndPower().power(d, 40, 0.025, alternative="larger") for d in (0.0, 0.3, 0.9)]
    return [float(power) for power in found]


# -- synthetic arms -----------------------------------------------------------------------------


@cache
def fitted_colon(seed: int) -> ts.FittedTrial:
    return ts.fit(
        ts.load_trial("colon"), "death", model="weibull", covariate_model="bootstrap", seed=seed
    )


def arms(n: int, seed: int) -> dict[str, Any]:
    fitted = fitted_colon(seed)
    with TemporaryDirectory() as folder:
        path = fitted.save(f"{folder}/colon.npz", allow_copies=True)
        again = ts.load_fitted(path)
    found = {}
    for arm in ("Obs", "Lev+5FU"):
        drawn = again.sample_arm(arm, n, uncertainty=False, seed=seed)
        curve = ts.kaplan_meier(drawn["death_time"], drawn["death"])
        alive = curve.at([365.25 * y for y in (1, 3, 5)])
        found[arm] = [Estimate(s, float(np.sqrt(s * (1 - s) / (0.8 * n)))) for s in alive]
    return found


def arms_elsewhere() -> dict[str, Any]:
    """Survival of the Weibull model with arms as its only covariates, by scipy's optimizer."""
    data = table("colon")
    t = data["death_time"].to_numpy(float)
    event = data["death"].to_numpy(bool)
    names = ("Obs", "Lev", "Lev+5FU")
    x = np.array([[arm == name for name in names] for arm in data["rx"]], dtype=float)

    def loss(theta: np.ndarray) -> float:
        scale = np.exp(theta[3])
        w = (np.log(t) - x @ theta[:3]) / scale
        return -float((event * (w - np.log(scale) - np.log(t)) - np.exp(w)).sum())

    best = optimize.minimize(loss, [8.0, 8.0, 8.0, 0.0], method="BFGS").x
    days = 365.25 * np.array([1, 3, 5])
    return {
        name: np.exp(-np.exp((np.log(days) - best[names.index(name)]) / np.exp(best[3])))
        for name in ("Obs", "Lev+5FU")
    }


def counts_of_trials() -> dict[str, Any]:
    patients = ts.load_trial("colon").patients
    indo = ts.load_trial("indo_rct").patients
    rows = {
        arm: [int((one["pancreatitis"] == outcome).sum()) for outcome in (0, 1)]
        for arm, one in indo.groupby("rx", observed=True)
    }
    return {
        "colon": [len(patients), int(patients["death"].sum()), int(patients["recurrence"].sum())],
        "indomethacin": rows["indomethacin"],
        "placebo": rows["placebo"],
        "veteran": [len(table("veteran")), int(table("veteran")["status"].sum())],
        "gehan": [len(table("gehan")), int(table("gehan")["event"].sum())],
        "listed": int(len(ts.list_trials()) >= 14),
    }


def cases(n_trials: int, seed: int) -> list[Case]:
    """The cases; those of simulated trials have ``n_trials`` each."""

    def add(
        name: str, requirement: str, compute: Callable[[], Any], expected: Any, source: str,
        tolerance: Any = 1e-9, inputs: str = "",
    ) -> None:  # fmt: skip
        found.append(Case(name, requirement, compute, expected, source, tolerance, inputs))

    found: list[Case] = []
    real = "colon (Obs against Lev+5FU), veteran, gehan"
    add("logrank_statsmodels", "survival tests", logranks, logranks_elsewhere, STATSMODELS, 1e-8,
        real)  # fmt: skip
    add("stratified_statsmodels", "survival tests", stratified, stratified_elsewhere, STATSMODELS,
        1e-6, "veteran, by cell type")  # fmt: skip
    add("cox_statsmodels", "regression", coxes, coxes_elsewhere, STATSMODELS, 1e-6, real)
    add("kaplan_meier_scipy", "survival curves", curves, curves_elsewhere, SCIPY, 1e-12,
        "colon, deaths on Lev+5FU at half a year to five years")  # fmt: skip
    add("milestone_statsmodels", "survival curves", milestones, milestones_elsewhere, STATSMODELS,
        1e-9, "colon, survival at three years")  # fmt: skip
    add("cmprsk", "survival curves", incidences, CMPRSK,
        "R cmprsk 2.2-11 run; CAMIS (PSIAIMS)", 5e-8, "bmt; 40 patients with ties")  # fmt: skip
    add("one_sample_logrank", "survival tests", one_sample, one_sample_elsewhere, CLOSED, 1e-9,
        "gehan's placebo against a hazard of .08; exact Poisson limits")  # fmt: skip
    add("means_scipy", "other tests", means, means_elsewhere, f"{SCIPY}; {STATSMODELS}", 1e-8,
        "btheb, BDI at two months")  # fmt: skip
    add("rates_scipy", "other tests", rates, rates_elsewhere, f"{SCIPY}; {STATSMODELS}", 1e-7,
        "indo_rct, pancreatitis by arm and site")  # fmt: skip
    add("negative_binomial_statsmodels", "other tests", overdispersed, overdispersed_elsewhere,
        STATSMODELS, 1e-5, "240 counts")  # fmt: skip
    add("adjusted_p_statsmodels", "multiplicity", adjusted, adjusted_elsewhere, STATSMODELS, 1e-12,
        f"p {P}")  # fmt: skip
    add("combined_p_scipy", "combination", combined, combined_elsewhere, SCIPY, 1e-12, f"p {P[:3]}")
    add("intersections_scipy", "multiplicity", intersections, intersections_elsewhere, SCIPY, 2e-6,
        "z 2.1, 1.7, -.2")  # fmt: skip
    add("graph_with_looks", "multiplicity", passed_on,
        {"rejected": ["OS", "PFS"], "level": [0.02, 0.025], "nominal": [0.00100204, 0.00738449]},
        "rpact 3.3.4 run; Maurer and Bretz (2013)", 1e-7,
        "PFS (.2) and OS (.8), all alpha passed on")  # fmt: skip
    add("alpha_spent_rpact", "multiplicity", spent_again, 0.00152532276, "rpact 3.3.4 run", 1e-9)
    add("power_of_events", "survival sizes", powers_of_events, powers_of_events_elsewhere, CLOSED,
        1e-10, "Schoenfeld 1:1 and 2:1, Freedman")  # fmt: skip
    add("t_sizes_statsmodels", "fixed sizes", t_sizes, t_sizes_elsewhere, STATSMODELS, 1e-4)
    add("fisher_power_enumerated", "fixed sizes", fisher_powers, fisher_powers_elsewhere,
        ENUMERATED, 1e-12)  # fmt: skip
    add("equivalence", "fixed sizes", equivalence, equivalence_elsewhere, CLOSED,
        {"means": 1e-8, "proportions": 1e-9}, "two one-sided tests, 40 and 500 an arm")  # fmt: skip
    add("promising_zone_share", "re-estimation", zone, zone_elsewhere, CLOSED, 1e-9,
        "the zone of Mehta and Pocock (2011)")  # fmt: skip
    add("ordinal_and_counts", "fixed sizes", ordinal, ordinal_elsewhere,
        "closed forms of Whitehead (1993) and Zhu and Lakkis (2014)", 1e-6)  # fmt: skip
    add("rmst_size", "survival sizes", rmst_power, rmst_power_elsewhere, CLOSED, 1e-6,
        "hazard ratio .55, tau 18, all followed for 18 months")  # fmt: skip
    add("pocock_scipy", "bounds", gradual, gradual_elsewhere, SCIPY, 1e-7, "looks at .4 and 1")
    add("simulated_exact", "simulation", lambda: simulated(n_trials, seed), exact_powers,
        f"{ENUMERATED}; {STATSMODELS}", 0.0, f"40 an arm, {n_trials:,} trials")  # fmt: skip
    add("what_if_exact", "simulation", lambda: varied(n_trials, seed), varied_elsewhere,
        STATSMODELS, 0.0, f"t tests of 40 an arm, {n_trials:,} trials a scenario")  # fmt: skip
    add("synthetic_arms", "synthetic arms", lambda: arms(4_000, seed), arms_elsewhere, SCIPY, 0.005,
        "colon, Weibull with arms as covariates: 4,000 drawn patients an arm")  # fmt: skip
    add("built_in_trials", "data", counts_of_trials,
        {"colon": [929, 452, 468], "indomethacin": [268, 27], "placebo": [255, 52],
         "veteran": [137, 128], "gehan": [42, 30], "listed": 1},
        "Moertel (1990); Elmunzer (2012); Kalbfleisch and Prentice (1980); Gehan (1965)",
        0)  # fmt: skip
    return found
