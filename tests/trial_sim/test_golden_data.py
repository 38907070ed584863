"""The reference values that come from real data, computed with the library's own functions.

`retinopathy.csv` is survival::retinopathy of R's survival package (394 eyes; Huster, Brookmeyer
and Self, Biometrics 1989;45:145-156): patient, treated eye, months, event.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import trial_sim.statistics as stats
from tests.trial_sim.statistics_data import colon, gehan, table, veteran
from trial_sim.outcomes.glm import fit_glm
from trial_sim.outcomes.times.parametric import maximise

FOLDER = Path(__file__).parents[1] / "golden"
VALUES = {
    entry["id"]: entry for entry in json.loads((FOLDER / "trial_reference_values.json").read_text())
}
FH = "fleming_harrington"
# simtrial integrates MaxCombo's normal tail with Genz's method at an error of about 1e-3, seeded:
# R's pmvnorm with abseps = 1e-9 gives .000714 for colon, as we do. See test_statistics_max_combo.
LOOSE = {"maxcombo_p": 2.5e-4}


def fleming_harrington():
    weights = [(0, 0), (0, 1), (1, 0), (1, 1), (0, 0.5)]
    return [stats.logrank(*colon(), weight=(FH, *w)).z for w in weights]


def magirr_burman():
    cases = [(colon, 365.25), (veteran, 6), (gehan, 6)]
    return [stats.logrank(*data(), weight=("magirr_burman", delay)).z for data, delay in cases]


def restricted_means():
    cases = [(colon, 1826.25), (veteran, 300), (gehan, 20)]
    found = [stats.rmst_difference(*data(), tau=tau) for data, tau in cases]
    return {
        "estimate": [x.estimate for x in found],
        "se": [x.se for x in found],
        "z": [x.z for x in found],
    }


def chi_squares(data):
    return [stats.logrank(*data(), weight=(FH, rho, 0)).z ** 2 for rho in (0, 1)]


def colon_cox(endpoint):
    data = table("colon")
    lev = (data.rx == "Lev").astype(float)
    both = (data.rx == "Lev+5FU").astype(int)
    fit = stats.cox(data[f"{endpoint}_time"], data[endpoint], both, lev)
    errors = np.sqrt(np.diag(fit.covariance))
    return {
        "HR_Lev": np.exp(fit.coefficients[1]),
        "HR_Lev5FU": np.exp(fit.coefficients[0]),
        "coef": [fit.coefficients[1], fit.coefficients[0]],
        "se": [errors[1], errors[0]],
    }


def veteran_cox():
    fit = stats.cox(*veteran())
    first, second = chi_squares(veteran)
    return {
        "HR": fit.hazard_ratio,
        "coef": fit.estimate,
        "se": fit.se,
        "logrank_chisq": first,
        "peto_rho1_chisq": second,
    }


def gehan_cox():
    first, second = chi_squares(gehan)
    return {
        "HR": stats.cox(*gehan()).hazard_ratio,
        "logrank_chisq": first,
        "rho1_chisq": second,
    }


def gbsg2_cox():
    data = table("gbsg2")
    fit = stats.cox(data.time, data.event, (data.hormon != "none").astype(int))
    return {"HR": fit.hazard_ratio, "p": fit.p_value_two_sided}


def retinopathy():
    data = pd.read_csv(FOLDER / "retinopathy.csv")
    columns = data.futime, data.status, data.trt
    return {
        "HR": stats.cox(*columns).hazard_ratio,
        "HR_strat_id": stats.cox(*columns, strata=data.id).hazard_ratio,
    }


def bladder():
    data = table("bladder")
    group = (data.rx == "thiotepa").astype(int)
    x = data[["number", "size"]]
    ag = stats.andersen_gill(data.id, data.start, data.stop, data.event, group, x)
    rows = []
    for who, part in data.groupby("id"):
        times = part.stop[part.event == 1].tolist()
        for k in range(4):
            seen = k < len(times)
            row = part.iloc[0]
            rows.append(
                (who, row.rx == "thiotepa", row.number, row["size"], k, seen,
                 times[k] if seen else part.stop.max())
            )  # fmt: skip
    wide = pd.DataFrame(rows, columns=["id", "rx", "number", "size", "k", "event", "time"])
    wlw = stats.cox(
        wide.time, wide.event.astype(int), wide.rx.astype(int), wide[["number", "size"]],
        strata=wide.k, cluster=wide.id,
    )  # fmt: skip
    return {
        "AG": {"coef": ag.estimate, "robust_se": ag.se},
        "WLW": {"coef": wlw.estimate, "robust_se": wlw.se},
    }


def kaplan_meier():
    data = table("colon")
    curves = [data[data.rx == arm] for arm in ("Obs", "Lev", "Lev+5FU")]
    times = VALUES["km_colon_3y5y"]["inputs"]["times"]
    return [stats.kaplan_meier(c.death_time, c.death).at(times) for c in curves]


def btheb(covariance):
    months = ["bdi_2m", "bdi_4m", "bdi_6m", "bdi_8m"]
    long = table("btheb").melt(
        id_vars=["id", "treatment", "bdi_pre"], value_vars=months, var_name="m", value_name="y"
    )
    return stats.mmrm(
        long.y, long.id, long.m, (long.treatment == "BtheB").astype(int),
        covariates=long[["bdi_pre"]], higher_is_better=False, at="bdi_2m", covariance=covariance,
    )  # fmt: skip


def btheb_unstructured():
    fit = btheb("unstructured")
    return {
        "trt_2m": fit.estimate,
        "se_2m": fit.se,
        "trt_x_8m": fit.coefficients["group:bdi_8m"][0],
        "bdi_pre": fit.coefficients["bdi_pre"][0],
        "logLik_REML": fit.log_likelihood,
    }


def btheb_random_intercept():
    fit = btheb("compound_symmetry")
    return {"trt_2m": fit.estimate, "se": fit.se}


def indomethacin():
    (placebo_no, placebo_yes), (drug_no, drug_yes) = VALUES["indo_rct_2x2"]["inputs"]["table"]
    group = np.repeat([0, 1], [placebo_no + placebo_yes, drug_no + drug_yes])
    y = np.repeat([0, 1, 0, 1], [placebo_no, placebo_yes, drug_no, drug_yes])
    chi = stats.chi_square_test(y, group, higher_is_better=False)
    fisher = stats.fisher_test(y, group, higher_is_better=False)
    return {
        "RR": y[group == 1].mean() / y[group == 0].mean(),
        "chi2_p": chi.p_value_two_sided,
        "fisher_p": fisher.p_value_two_sided,
    }


def weibull():
    duration, event, group = colon()
    theta, *_ = maximise(
        "weibull", duration.astype(float), event, group, 2, np.zeros((len(group), 0)), np.zeros(5)
    )
    return {"intercept": theta[0], "lf": theta[1] - theta[0], "log_scale": theta[2]}


def poisson():
    epil = table("epil")
    visits = [f"seizures_{k}" for k in range(1, 5)]
    long = epil.melt(["id", "trt", "base", "age"], visits, "visit", "y")
    columns = {
        "intercept": np.ones(len(long)),
        "trt": long["trt"] == "progabide",
        "lbase": np.log(long["base"] / 4) - np.log(epil["base"] / 4).mean(),
        "lage": np.log(long["age"]) - np.log(epil["age"]).mean(),
        "V4": long["visit"] == "seizures_4",
    }
    x = np.column_stack(list(columns.values())).astype(float)
    fit = fit_glm(long["y"].to_numpy(dtype=float), x, "poisson")
    return dict(list(zip(columns, fit.coefficients))[1:])


FROM_DATA = {
    "fh_colon": fleming_harrington,
    "maxcombo_p": lambda: [stats.max_combo(*data()).p_value for data in (colon, veteran, gehan)],
    "magirr_burman_z": magirr_burman,
    "rmst_diff": restricted_means,
    "cox_colon_death": lambda: colon_cox("death"),
    "cox_colon_recur": lambda: {
        name: colon_cox("recurrence")[name] for name in ("HR_Lev", "HR_Lev5FU")
    },
    "logrank_colon": lambda: chi_squares(colon),
    "km_colon_3y5y": kaplan_meier,
    "cox_veteran": veteran_cox,
    "cox_gehan": gehan_cox,
    "cox_gbsg2": gbsg2_cox,
    "retinopathy": retinopathy,
    "bladder_AG_WLW": bladder,
    "mmrm_btheb": btheb_unstructured,
    "lme_btheb": btheb_random_intercept,
    "indo_rct_2x2": indomethacin,
    "weibull_colon": weibull,
    "glm_epil": poisson,
}


def agree(found, expected, tolerance):
    """Compare numbers, lists and nested dictionaries of them."""
    if isinstance(expected, dict):
        assert set(found) == set(expected)
        for key, value in expected.items():
            agree(found[key], value, tolerance)
    else:
        gap = np.abs(np.asarray(found, dtype=float) - np.asarray(expected, dtype=float))
        assert gap.shape == np.shape(expected)
        assert np.all(gap <= tolerance), (found, expected)


@pytest.mark.parametrize("name", sorted(FROM_DATA))
def test_value(name):
    entry = VALUES[name]
    tolerance = LOOSE.get(name, np.asarray(entry["tolerance"], dtype=float))
    agree(FROM_DATA[name](), entry["expected"], tolerance)
