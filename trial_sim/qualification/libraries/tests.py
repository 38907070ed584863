"""Tests of one trial and survival curves beside scipy, statsmodels and what cmprsk printed."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize, stats

import trial_sim as ts
from trial_sim.qualification.kit import Case
from trial_sim.qualification.libraries.sources import (
    CLOSED,
    SCIPY,
    STATSMODELS,
)
from trial_sim.qualification.real_data import colon, gehan, table, veteran

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


def logranks() -> dict[str, float]:
    """Chi-squares of log-rank tests of three trials."""
    return {name: ts.logrank(*data()).chi_square for name, data in DATA.items()}


def logranks_elsewhere() -> dict[str, float]:
    """The same by statsmodels."""
    from statsmodels.duration.survfunc import survdiff

    return {name: survdiff(t, e, g)[0] for name, (t, e, g) in ((n, d()) for n, d in DATA.items())}


def stratified() -> dict[str, float]:
    """Stratified log-rank test and Cox regression of veteran."""
    data = table("veteran")
    t, e, g = veteran()
    fit = ts.cox(t, e, g, strata=data["celltype"])
    return {
        "logrank": ts.logrank(t, e, g, strata=data["celltype"]).chi_square,
        "coef": fit.estimate,
        "se": fit.se,
    }


def stratified_elsewhere() -> dict[str, float]:
    """The same by statsmodels."""
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
    """Cox regressions of three trials."""
    fits = {name: ts.cox(*data()) for name, data in DATA.items()}
    return {name: {"coef": fit.estimate, "se": fit.se} for name, fit in fits.items()}


def coxes_elsewhere() -> dict[str, Any]:
    """The same by statsmodels."""
    from statsmodels.duration.hazard_regression import PHReg

    found = {}
    for name, data in DATA.items():
        t, e, g = data()
        fit = PHReg(t.astype(float), g.astype(float), status=e, ties="efron").fit()
        found[name] = {"coef": fit.params[0], "se": fit.bse[0]}
    return found


YEARS = (0.5, 1.0, 2.0, 3.0, 5.0)


def curves() -> dict[str, Any]:
    """Survival on Lev+5FU at five times."""
    t, e, g = colon()
    curve = ts.kaplan_meier(t[g == 1], e[g == 1])
    return {"Lev+5FU": curve.at([365.25 * y for y in YEARS])}


def curves_elsewhere() -> dict[str, Any]:
    """The same by scipy."""
    t, e, g = colon()
    sample = stats.CensoredData.right_censored(t[g == 1].astype(float), e[g == 1] == 0)
    return {"Lev+5FU": stats.ecdf(sample).sf.evaluate(np.array([365.25 * y for y in YEARS]))}


def milestones() -> dict[str, float]:
    """Difference of survival at three years."""
    found = ts.milestone_difference(*colon(), tau=3 * 365.25)
    return {"difference": found.estimate, "se": found.se}


def milestones_elsewhere() -> dict[str, float]:
    """The same by statsmodels."""
    from statsmodels.duration.survfunc import SurvfuncRight

    t, e, g = colon()
    at = []
    for arm in (0, 1):
        curve = SurvfuncRight(t[g == arm].astype(float), e[g == arm])
        row = np.searchsorted(curve.surv_times, 3 * 365.25, side="right") - 1
        at.append((curve.surv_prob[row], curve.surv_prob_se[row]))
    return {"difference": at[1][0] - at[0][0], "se": float(np.hypot(at[0][1], at[1][1]))}


def incidences() -> dict[str, Any]:
    """Cumulative incidence with its errors, and Gray's tests."""
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
    """Depression scores at two months, treatment, and the table."""
    data = table("btheb").dropna(subset=["bdi_2m"])
    return data["bdi_2m"].to_numpy(), (data["treatment"] == "BtheB").to_numpy(int), data


def means() -> dict[str, Any]:
    """t-test, Welch's test and analysis of covariance."""
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
    """The same by scipy and statsmodels."""
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
    """Pancreatitis, treatment and site of each patient."""
    data = table("indo_rct")
    return (
        data["pancreatitis"].to_numpy(int),
        (data["rx"] == "indomethacin").to_numpy(int),
        data["site"],
    )


def rates() -> dict[str, Any]:
    """Tests of two rates, plain, stratified and against a margin."""
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
    """The same by scipy and statsmodels, that against a margin by maximisation."""
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
    """Rate ratio and dispersion of a negative binomial regression."""
    count, group = counted()
    fit = ts.negative_binomial_test(count, group)
    return {"log rate ratio": abs(fit.estimate), "dispersion": fit.dispersion}


def overdispersed_elsewhere() -> dict[str, float]:
    """The same by statsmodels."""
    from statsmodels.discrete.discrete_model import NegativeBinomial

    count, group = counted()
    x = np.column_stack([np.ones(len(group)), group])
    fit = NegativeBinomial(count, x).fit(disp=0, maxiter=500, method="bfgs", gtol=1e-9)
    return {"log rate ratio": abs(fit.params[1]), "dispersion": fit.params[2]}


def one_sample() -> dict[str, float]:
    """Log-rank test of one arm against a known hazard, with exact limits."""
    t, e, g = gehan()
    test = ts.one_sample_logrank(t[g == 0], e[g == 0], reference=0.08)
    return {"expected": test.expected, "z": test.z, "lower": test.lower, "upper": test.upper}


def one_sample_elsewhere() -> dict[str, float]:
    """The same in closed form."""
    t, e, g = gehan()
    expected, events = 0.08 * t[g == 0].sum(), e[g == 0].sum()
    return {
        "expected": expected,
        "z": (expected - events) / np.sqrt(expected),
        "lower": stats.chi2.ppf(0.025, 2 * events) / 2 / expected,
        "upper": stats.chi2.ppf(0.975, 2 * events + 2) / 2 / expected,
    }


REAL = "colon (Obs against Lev+5FU), veteran, gehan"
CASES = (
    Case("logrank_statsmodels", "survival tests", logranks, logranks_elsewhere, STATSMODELS, 1e-8,
         REAL),
    Case("stratified_statsmodels", "survival tests", stratified, stratified_elsewhere, STATSMODELS,
         1e-6, "veteran, by cell type"),
    Case("cox_statsmodels", "regression", coxes, coxes_elsewhere, STATSMODELS, 1e-6, REAL),
    Case("kaplan_meier_scipy", "survival curves", curves, curves_elsewhere, SCIPY, 1e-12,
         "colon, deaths on Lev+5FU at half a year to five years"),
    Case("milestone_statsmodels", "survival curves", milestones, milestones_elsewhere, STATSMODELS,
         1e-9, "colon, survival at three years"),
    Case("cmprsk", "survival curves", incidences, CMPRSK,
         "R cmprsk 2.2-11 run; CAMIS (PSIAIMS)", 5e-8, "bmt; 40 patients with ties"),
    Case("one_sample_logrank", "survival tests", one_sample, one_sample_elsewhere, CLOSED, 1e-9,
         "gehan's placebo against a hazard of .08; exact Poisson limits"),
    Case("means_scipy", "other tests", means, means_elsewhere, f"{SCIPY}; {STATSMODELS}", 1e-8,
         "btheb, BDI at two months"),
    Case("rates_scipy", "other tests", rates, rates_elsewhere, f"{SCIPY}; {STATSMODELS}", 1e-7,
         "indo_rct, pancreatitis by arm and site"),
    Case("negative_binomial_statsmodels", "other tests", overdispersed, overdispersed_elsewhere,
         STATSMODELS, 1e-5, "240 counts"),
)  # fmt: skip
