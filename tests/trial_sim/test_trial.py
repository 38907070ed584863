import gzip
import json

import numpy as np
import pandas as pd
import pytest

import trial_sim as ts
from trial_sim.data import datasets
from trial_sim.data.datasets import list_trials, read_trial, trial_from_cdisc
from trial_sim.data.endpoints import endpoint_from_dict
from trial_sim.data.schema import TrialSchema


def table(**columns):
    base = {
        "pid": [1, 2, 3, 4],
        "arm": ["A", "B", "A", "B"],
        "age": [50, 60, 55, 70],
        "time": [1.0, 2.0, 3.0, 4.0],
        "event": [1, 0, 1, 1],
    }
    return pd.DataFrame(base | columns)


def trial(frame=None, **fields):
    fields = {
        "arm": "arm",
        "covariates": ["age"],
        "id": "pid",
        "endpoints": {"death": ts.TimeToEvent("time", "event")},
    } | fields
    return ts.Trial(patients=table() if frame is None else frame, **fields)


def test_a_sound_table_is_taken():
    made = trial()
    assert made.arms == ("A", "B") and made.control == "A" and made.n_patients == 4
    assert made.schema()["age"].kind == "integer"


@pytest.mark.parametrize(
    ("frame", "fields", "message"),
    [
        (table(time=[1, -2, 3, 4]), {}, r"'time'.*negative; row 1 holds -2"),
        (table(event=[1, 2, 1, 1]), {}, r"'event'.*0 \(no\) and 1 \(yes\); row 1 holds 2"),
        (table(time=[1, None, 3, 4]), {}, r"'time' must have no gaps; row 1"),
        (table(time=["1", "x", 3, 4]), {}, r"'time' must hold numbers; row 1 holds 'x'"),
        (table(time=[1, np.inf, 3, 4]), {}, r"'time' must be finite; row 1"),
        (table(pid=[1, 2, 2, 4]), {}, r"patient 2 occurs again at row 2"),
        (table(age=[50, "old", 3, 4]), {}, r"'age' mixes text and numbers; row 1 holds 'old'"),
        (table(arm=["A", None, "A", "B"]), {}, r"'arm' \(the arm\) is missing at row 1"),
        (table(), {"arms": ["A", "C"]}, r"row 1 holds the unknown arm 'B'"),
        (table(), {"arms": ["A", "B", "C"]}, r"arm 'C' has no patient"),
        (table(), {"covariates": ["agee"]}, r"no column 'agee'; did you mean 'age'"),
        (table(), {"covariates": ["time"]}, r"'time' cannot be a covariate"),
        (table(), {"covariates": "age"}, r"covariates must be a list"),
        (table().iloc[:0], {}, r"holds no rows"),
        (table(), {"constraints": ["age > 55"]}, r"'age > 55' does not hold at row 0"),
        (table(), {"time_unit": "moons"}, r"time_unit must be one of"),
    ],
)
def test_bad_input_is_named(frame, fields, message):
    with pytest.raises((ValueError, TypeError), match=message):
        trial(frame, **fields)


def test_time_zero_and_ties_are_taken():
    assert trial(table(time=[0, 0, 3, 3])).n_patients == 4


def test_other_endpoints_name_column_and_row():
    frame = table(cause=[0, 1, 1.5, 2], level=["lo", "hi", "mid", "lo"], count=[1, 2, -3, 0])
    for endpoint, message in [
        (ts.CompetingRisks("time", "cause"), "row 2 holds 1.5"),
        (ts.Ordinal("level"), "without an order"),
        (ts.Ordinal("level", levels=["lo", "hi"]), "row 2 holds 'mid'"),
        (ts.Count("count"), "row 2 holds -3"),
        (ts.Count("event", exposure="count"), "row 2 holds -3"),
        (ts.Binary("age"), "row 0 holds 50"),
        (ts.Longitudinal(["event", "age"], family="binomial"), "row 0 holds 50"),
    ]:
        with pytest.raises(ValueError, match=message):
            trial(frame, endpoints={"y": endpoint}, covariates=[])
    with pytest.raises(ValueError, match="did you mean 'poisson'"):
        ts.Longitudinal(["a", "b"], family="poison")


def test_recurrent_rows_must_follow_each_other():
    long = pd.DataFrame(
        {"id": [1, 1, 2], "start": [0, 2, 0], "stop": [3, 4, 5], "event": [1, 0, 1]}
    )
    endpoint = {"relapse": ts.Recurrent("id", "start", "stop", "event")}
    with pytest.raises(ValueError, match=r"patient 1 overlap at row 1"):
        ts.Trial(patients=long, endpoints=endpoint)
    long.loc[0, "stop"] = 2
    assert ts.Trial(patients=long, endpoints=endpoint).n_patients == 2
    long["age"] = [1, 2, 3]
    with pytest.raises(ValueError, match=r"'age' changes within patient 1 at row 1"):
        ts.Trial(patients=long, endpoints=endpoint, covariates=["age"])


def test_every_built_in_trial_loads_and_its_schema_survives_json():
    catalogue = list_trials()
    assert {"colon", "veteran", "gehan", "btheb", "indo_rct", "epil", "respiratory"} <= set(
        catalogue["name"]
    )
    for name in catalogue["name"]:
        loaded = ts.load_trial(name)
        schema = loaded.schema()
        assert TrialSchema.from_dict(json.loads(json.dumps(schema.to_dict()))) == schema
        assert loaded.citation and loaded.dictionary and len(loaded.endpoints) > 0
    assert catalogue[["licence", "origin", "citation"]].map(bool).all().all()
    with pytest.raises(ValueError, match="did you mean 'colon'"):
        ts.load_trial("coln")


def test_built_in_counts_match_the_publications():
    colon = ts.load_trial("colon").patients
    assert (len(colon), colon["death"].sum(), colon["recurrence"].sum()) == (929, 452, 468)
    indo = ts.load_trial("indo_rct").patients
    counts = pd.crosstab(indo["rx"], indo["pancreatitis"])
    assert counts.loc["placebo"].tolist() == [255, 52]
    assert counts.loc["indomethacin"].tolist() == [268, 27]
    bmt = ts.load_trial("bmt").patients
    low = bmt[bmt["group"] == "AML low risk"]
    # relapse by 1, 1.5, 2, 3 years: 4, 7, 8, 9 of 54 (frozen output of R cmprsk, CAMIS)
    found = [((low["cause"] == 1) & (low["time"] <= 365.25 * y)).sum() for y in (1, 1.5, 2, 3)]
    assert found == [4, 7, 8, 9] and len(low) == 54


def test_colon_cox_matches_r_survival():
    from lifelines import CoxPHFitter

    colon = ts.load_trial("colon").patients
    frame = pd.get_dummies(colon[["rx", "death_time", "death"]], columns=["rx"], dtype=float)
    cox = CoxPHFitter().fit(frame.drop(columns="rx_Obs"), "death_time", "death")
    assert cox.params_["rx_Lev"] == pytest.approx(-0.0266375, abs=1e-5)
    assert cox.params_["rx_Lev+5FU"] == pytest.approx(-0.3717103, abs=1e-5)


def test_read_trial_from_csv_and_yaml(tmp_path):
    table().to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "t.yaml").write_text(
        "data: t.csv\narm: arm\ncontrol: B\nid: pid\ncovariates: [age]\ntime_unit: days\n"
        "endpoints:\n  death: {kind: time_to_event, duration: time, event: event}\n"
    )
    read = read_trial(tmp_path / "t.yaml")
    assert read.arms == ("B", "A") and read.time_unit == "days"
    with pytest.raises(ValueError, match="did you mean 'covariates'"):
        read_trial(tmp_path / "t.csv", {"covariate": ["age"]})
    with pytest.raises(ValueError, match="no file"):
        read_trial(tmp_path / "missing.csv", {})


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.tsv", "t.tsv.gz", "t.txt", "T.PARQUET"])
def test_tables_of_every_kind_are_read_alike(tmp_path, name):
    # "None" and "NA" are words that pandas takes for gaps unless told otherwise
    real = table(grade=["None", "NA", "mild", "n/a"], dose=[1.5, np.nan, 2.0, 3.0])
    if name.endswith("PARQUET"):
        real.to_parquet(tmp_path / name)
    else:
        real.to_csv(tmp_path / name, index=False, sep="\t" if ".tsv" in name else ",")
    pd.testing.assert_frame_equal(datasets.read_table(tmp_path / name), real)


def test_a_table_that_unpacks_beyond_all_bounds_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "LARGEST", 1_000_000)
    bomb = tmp_path / "bomb.csv.gz"
    bomb.write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 1_000_000))
    assert bomb.stat().st_size < 10_000
    with pytest.raises(ValueError, match="more than 1,000,000 bytes once decompressed"):
        datasets.read_table(bomb)
    (tmp_path / "plain.csv").write_bytes(b"a,b\n" + b"1,2\n" * 300_000)
    with pytest.raises(ValueError, match="more than 1,000,000 bytes, the most"):
        datasets.read_table(tmp_path / "plain.csv")
    monkeypatch.setattr(datasets, "MOST_CELLS", 1_000)
    pd.DataFrame({"a": np.ones(2_000)}).to_parquet(tmp_path / "constant.parquet")
    with pytest.raises(ValueError, match="holds 2,000 rows of 1 columns"):
        datasets.read_table(tmp_path / "constant.parquet")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n" * 100)[:-20])
    with pytest.raises(ValueError, match=r"cut\.csv\.gz' cannot be read as a table"):
        datasets.read_table(tmp_path / "cut.csv.gz")
    with pytest.raises(ValueError, match="must end in"):
        datasets.read_table(tmp_path)


def test_cdisc_censor_flag_is_inverted(tmp_path):
    frame = pd.DataFrame(
        {
            "USUBJID": ["a", "b", "c"],
            "TRT01P": ["P", "D", "P"],
            "AVAL": [5, 6, 7],
            "CNSR": [0, 1, 2],
        }
    )
    frame.to_csv(tmp_path / "adtte.csv", index=False)
    read = read_trial(tmp_path / "adtte.csv", {"time_unit": "days"})
    assert read.arm == "TRT01P" and read.patients["CNSR_event"].tolist() == [1, 0, 0]
    adsl = frame[["USUBJID", "TRT01P"]].assign(AGE=[50, 60, 70])
    adtte = frame[["USUBJID", "AVAL", "CNSR"]].assign(PARAMCD="OS")
    made = trial_from_cdisc(adsl, adtte, covariates=["AGE"])
    assert made.patients["os_event"].tolist() == [1, 0, 0]
    with pytest.raises(ValueError, match="no PARAMCD 'PFS'"):
        trial_from_cdisc(adsl, adtte, covariates=["AGE"], parameters={"PFS": "pfs"})


def test_endpoint_records_survive_dictionaries():
    for record in (
        ts.TimeToEvent("t", "e"),
        ts.CompetingRisks("t", "c", {"1": "relapse"}),
        ts.Recurrent("id", "a", "b", "e"),
        ts.Binary("y"),
        ts.Ordinal("y", levels=[1, 2]),
        ts.Continuous("y", baseline="b"),
        ts.Count("y", exposure="w"),
        ts.Longitudinal(["a", "b"], baseline="z", family="poisson"),
    ):
        assert endpoint_from_dict(json.loads(json.dumps(record.to_dict()))) == record
    with pytest.raises(ValueError, match="did you mean 'binary'"):
        endpoint_from_dict({"kind": "binry"})
