import numpy as np
import pandas as pd
import pytest

import trial_sim as ts
from tests.trial_sim.xport import write_xport
from trial_sim.data.datasets import read_table, read_trial, trial_from_cdisc, trial_from_table

N = 60


@pytest.fixture
def tables():
    """ADSL, ADTTE, BDS and ADAE of sixty subjects, with what such files have in them."""
    rng = np.random.default_rng(0)
    adsl = pd.DataFrame(
        {
            "USUBJID": [f"01-{k:03d}" for k in range(N)],
            "TRT01P": ["Xan", "Drug A", "Placebo"] * (N // 3),
            "TRT01PN": [54.0, 81.0, 0.0] * (N // 3),
            "AGE": rng.integers(50, 80, N).astype(float),
            "SEX": np.where(rng.random(N) < 0.5, "F", "M"),
            "RACE": ["Métis", None, *["WHITE"] * (N - 2)],
            "ITTFL": "Y",
            "TRTSDT": pd.Timestamp("2014-01-02") + pd.to_timedelta(rng.integers(0, 300, N), "D"),
        }
    )
    time = rng.integers(1, 200, N).astype(float)
    adtte = pd.DataFrame(
        {
            "USUBJID": adsl["USUBJID"],
            "PARAMCD": "OS",
            "AVAL": time,
            "CNSR": rng.choice([0.0, 1.0, 2.0], N),
            "STARTDT": adsl["TRTSDT"],
            "ADT": adsl["TRTSDT"] + pd.to_timedelta(time - 1, "D"),
        }
    )
    bds = pd.DataFrame(
        [
            {
                "USUBJID": who,
                "PARAMCD": "CIBIC",
                "AVISIT": f"Week {week}",
                "AVISITN": float(week),
                "AVAL": float(rng.integers(1, 6)),
                "ANL01FL": "Y",
                "DTYPE": "LOCF" if week == 24 and k < 5 else None,
            }
            for k, who in enumerate(adsl["USUBJID"])
            for week in (16, 24, 8)
        ]
    )
    adae = pd.DataFrame({"USUBJID": ["01-000", "01-000", "01-003"], "AESER": ["N", "Y", "N"]})
    adae["TRTEMFL"] = ["Y", "Y", "N"]
    return adsl, adtte, bds, adae


def test_a_sas_file_is_read_as_it_was_written(tmp_path, tables):
    for k, table in enumerate(tables):
        write_xport(table, tmp_path / f"{k}.xpt")
        read = read_table(tmp_path / f"{k}.xpt")
        for name in table:
            same = (read[name] == table[name]) | (read[name].isna() & table[name].isna())
            assert len(read) == len(table) and same.all(), name
        assert read.attrs["labels"]["USUBJID"] == "label of USUBJID"
    # pandas alone reads a zero as 5.4e-79, so that nobody would have an event
    raw = pd.read_sas(tmp_path / "1.xpt")
    assert (raw["CNSR"] == 0).sum() == 0 < (tables[1]["CNSR"] == 0).sum()
    (tmp_path / "no.xpt").write_bytes(b"no such thing")
    with pytest.raises(ValueError, match=r"no\.xpt' cannot be read as a SAS file"):
        read_table(tmp_path / "no.xpt")


def test_from_files_to_fit_sample_and_audit(tmp_path, tables):
    paths = []
    for k, table in enumerate(tables):
        paths.append(tmp_path / f"{k}.xpt")
        write_xport(table, paths[-1])
    trial = trial_from_cdisc(
        paths[0], paths[1], covariates=["AGE", "SEX", "RACE"], bds=paths[2], adae=str(paths[3])
    )
    assert trial.arms == ("Placebo", "Xan", "Drug A") and trial.time_unit == "days"
    assert trial.dictionary["AGE"] == "label of AGE"
    found, adtte = trial.patients, tables[1]
    assert found["os_event"].tolist() == (adtte["CNSR"] == 0).astype(int).tolist()
    assert found["os_time"].tolist() == adtte["AVAL"].tolist()
    visits = ("cibic_week_8", "cibic_week_16", "cibic_week_24")
    assert trial.endpoints["cibic"].columns == visits
    assert found[list(visits)].isna().sum().tolist() == [0, 0, 5]
    assert isinstance(trial.endpoints["cibic_week_24"], ts.Ordinal)
    assert found["adverse_events"].tolist() == [2] + [0] * (N - 1)
    assert found["serious_adverse_event"].tolist() == [1] + [0] * (N - 1)
    assert any("5 records that are imputed" in note for note in trial.notes)
    for endpoint, model in (("cibic_week_24", "proportional_odds"), ("os", "weibull")):
        fitted = ts.fit(trial, endpoint, model=model, covariate_model="cart", seed=0)
        assert fitted.sample_trial(seed=0).n_patients == N
    audit = fitted.audit(seed=0, n_folds=2, n_repeats=1, n_trials=8, n_null=20)
    assert len(audit.fidelity) and audit.fidelity["verdict"].ne("red").mean() > 0.5


def test_tables_that_pandas_read_raw_are_mended(tmp_path, tables):
    for k in (0, 1):
        write_xport(tables[k], tmp_path / f"{k}.xpt")
    adsl, adtte = (pd.read_sas(tmp_path / f"{k}.xpt") for k in (0, 1))
    made = trial_from_cdisc(adsl, adtte, covariates=["AGE"])
    assert made.arms == ("Placebo", "Xan", "Drug A")
    assert made.patients["os_event"].sum() == (tables[1]["CNSR"] == 0).sum()
    with pytest.raises(ValueError, match=r"'TRT01P' holds byte strings.*row 0 holds b'Xan'"):
        ts.Trial(adsl, arm="TRT01P", covariates=["AGE"])


@pytest.mark.parametrize("value", ["Y", "censored", None, np.nan, -1, 0.5, "0.5", np.inf])
def test_an_unreadable_censoring_flag_is_refused(tables, value):
    adsl, adtte = tables[:2]
    adtte["CNSR"] = adtte["CNSR"].astype(object)
    adtte.loc[7, "CNSR"] = value
    with pytest.raises(ValueError, match=r"'CNSR' must .*row 7|'CNSR' must .*; row 7"):
        trial_from_cdisc(adsl, adtte, covariates=[])
    single = adtte.merge(adsl[["USUBJID", "TRT01P"]]).drop(columns="PARAMCD")
    with pytest.raises(ValueError, match=r"'CNSR' must .*row 7"):
        trial_from_table(single, {})


@pytest.mark.parametrize("kind", [int, float, "Int64", str, bool])
def test_a_readable_flag_is_read_alike_in_every_type(tables, kind):
    adsl, adtte = tables[:2]
    adtte["CNSR"] = (adtte["CNSR"] > 0).astype(int)
    expected = 1 - adtte["CNSR"]
    adtte["CNSR"] = adtte["CNSR"].astype(kind)
    made = trial_from_cdisc(adsl, adtte, covariates=[])
    assert made.patients["os_event"].tolist() == expected.tolist()


def test_parameters_of_one_name_are_not_merged(tables):
    adsl, adtte = tables[:2]
    both = pd.concat([adtte, adtte.assign(PARAMCD="os", CNSR=1.0)])
    with pytest.raises(ValueError, match="'OS' and 'os' would both be endpoint 'os'"):
        trial_from_cdisc(adsl, both, covariates=[])
    made = trial_from_cdisc(adsl, both, parameters={"OS": "death", "os": "other"})
    assert made.patients["other_event"].sum() == 0 < made.patients["death_event"].sum()
    with pytest.raises(ValueError, match="'OS' and 'os' would both be endpoint 'x'"):
        trial_from_cdisc(adsl, both, parameters={"OS": "x", "os": "x"})


def test_subjects_do_not_vanish(tables):
    adsl, adtte, bds, adae = tables
    with pytest.raises(ValueError, match=r"1 subject\(s\) of adtte are not in adsl.*'01-005'"):
        trial_from_cdisc(adsl.drop(index=5), adtte)
    with pytest.raises(ValueError, match=r"1 subject\(s\) of bds are not in adsl"):
        trial_from_cdisc(adsl.drop(index=5), bds=bds)
    with pytest.raises(ValueError, match=r"of adae are not in adsl"):
        trial_from_cdisc(adsl.drop(index=0), adae=adae)
    with pytest.raises(ValueError, match=r"1 subject\(s\) of adsl have no row of 'OS'.*'01-005'"):
        trial_from_cdisc(adsl, adtte.drop(index=5))
    adsl.loc[5, "ITTFL"] = "N"
    made = trial_from_cdisc(adsl, adtte.drop(index=5), population="ITTFL")
    assert made.n_patients == N - 1 and any("1 of 60 subjects" in note for note in made.notes)
    with pytest.raises(ValueError, match="two rows of 'OS' for subject '01-000'"):
        trial_from_cdisc(adsl, pd.concat([adtte, adtte.head(1)]))
    with pytest.raises(ValueError, match="adsl has two rows of subject '01-003'"):
        trial_from_cdisc(pd.concat([adsl, adsl.iloc[[3]]]), adtte)


def test_several_parameters_in_one_table_do_not_double_the_patients(tables):
    adsl, adtte = tables[:2]
    both = pd.concat([adtte, adtte.assign(PARAMCD="PFS")]).merge(adsl[["USUBJID", "TRT01P"]])
    with pytest.raises(ValueError, match=r"2 endpoints \(PARAMCD 'OS', 'PFS'\)"):
        trial_from_table(both.drop(columns="USUBJID"), {})


@pytest.mark.parametrize(
    ("arms", "codes", "control", "expected", "noted"),
    [
        (("Drug", "Placebo"), None, None, ("Placebo", "Drug"), False),
        (("Active", "Sham"), (1, 2), None, ("Sham", "Active"), False),
        (("A", "B"), (2, 1), None, ("B", "A"), True),
        (("A", "B"), None, None, ("A", "B"), True),
        (("A", "B"), (1, 2), "B", ("B", "A"), False),
    ],
)
def test_the_control_is_found(tables, arms, codes, control, expected, noted):
    adsl, adtte = tables[:2]
    adsl = adsl.drop(columns="TRT01PN").assign(TRT01P=list(arms) * (N // 2))
    if codes:
        adsl["TRT01PN"] = list(codes) * (N // 2)
    made = trial_from_cdisc(adsl, adtte, control=control)
    assert made.arms == expected
    assert any("was taken as the control" in note for note in made.notes) == noted
    with pytest.raises(ValueError, match="control 'C' is no arm"):
        trial_from_cdisc(adsl, adtte, control="C")


@pytest.mark.parametrize("unit", ["days", "weeks", "months", "years"])
@pytest.mark.parametrize("by", ["AVALU", "PARAM", "dates"])
def test_the_unit_of_time_is_found(tables, unit, by):
    from trial_sim.data.cdisc import UNIT_DAYS

    adsl, adtte = tables[:2]
    adtte["AVAL"] /= UNIT_DAYS[unit]
    if by != "dates":
        adtte = adtte.drop(columns=["ADT", "STARTDT"])
        adtte[by] = unit.upper() if by == "AVALU" else f"Overall Survival ({unit.title()})"
    assert trial_from_cdisc(adsl, adtte).time_unit == unit
    other = "weeks" if unit == "days" else "days"
    with pytest.raises(ValueError, match=f"times of adtte are in {unit}, time_unit says {other}"):
        trial_from_cdisc(adsl, adtte, time_unit=other)


def test_a_description_reads_a_sas_file(tmp_path, tables):
    adsl, adtte = tables[:2]
    write_xport(adtte.merge(adsl[["USUBJID", "TRT01P", "AGE"]]), tmp_path / "a.xpt")
    read = read_trial(tmp_path / "a.xpt", {"covariates": ["AGE"], "time_unit": "days"})
    assert read.patients["CNSR_event"].sum() == (adtte["CNSR"] == 0).sum()
