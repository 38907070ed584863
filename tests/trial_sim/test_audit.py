"""The audit as a whole: planted cheats fail it, a real hold-out sample passes it."""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest

import trial_sim as ts
from trial_sim.auditing.compared import distances
from trial_sim.auditing.compared.comparison import compare
from trial_sim.auditing.compared.measure import COLUMNS, SECTIONS
from trial_sim.auditing.compared.tables import gower


def numbered(trial, table):
    """The trial with another table, its patients numbered afresh."""
    table = table.reset_index(drop=True).copy()
    table["id"] = np.arange(1, len(table) + 1)
    return trial.with_patients(table)


def parts(trial, shares, seed=0):
    """Random parts of a trial."""
    order = np.random.default_rng(seed).permutation(trial.n_patients)
    edges = np.cumsum([0, *shares])
    return [trial.subset(np.sort(order[a:b])) for a, b in itertools.pairwise(edges)]


@pytest.fixture(scope="module")
def colon():
    return ts.load_trial("colon")


@pytest.fixture(scope="module")
def honest(colon):
    real, synthetic, holdout = parts(colon, (350, 350, 229), seed=1)
    return ts.audit(real, synthetic, holdout=holdout)


# ------------------------------------------------------------------ honest data


def test_a_real_hold_out_sample_passes(honest):
    assert honest.passed, honest.failures
    for section in SECTIONS:
        assert tuple(getattr(honest, section).columns) == COLUMNS
        assert len(getattr(honest, section)) > 0


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_real_hold_out_samples_pass_without_a_third_part(colon, seed):
    real, synthetic = parts(colon, (464, 465), seed)
    report = ts.audit(real, synthetic, endpoint="recurrence", seed=seed)
    assert report.passed, report.failures


@pytest.mark.parametrize(
    "name", ["btheb", "epil", "respiratory", "bladder", "bmt", "arthritis", "indo_rct", "veteran"]
)
def test_every_kind_of_endpoint_is_audited_and_honest_samples_pass(name):
    trial = ts.load_trial(name)
    half = trial.n_patients // 2
    report = ts.audit(*parts(trial, (half, trial.n_patients - half), 1))
    assert report.passed, report.failures
    assert report.effects["estimate"].notna().any()
    assert (report.utility["measure"] == "TSTR / TRTR").all() or len(report.utility) > 0
    assert len(report.figures["curves"]) > 0


def test_a_cohort_is_audited_without_effects():
    trial = ts.load_trial("mgus2")
    report = ts.audit(*parts(trial, (500, 500)), seed=1)
    assert report.passed, report.failures
    assert (report.effects["verdict"] == "grey").all()


# ------------------------------------------------------------------ planted cheats


def reds(report, section):
    return set(getattr(report, section).query("verdict == 'red'")["measure"])


def test_a_memoriser_fails(colon):
    report = ts.audit(colon, numbered(colon, colon.patients), endpoint="death")
    assert {
        "identical rows, excess share",
        "outliers copied, normalised risk",
        "adversarial accuracy",
        "linkability, normalised risk",
        "attribute inference, normalised risk",
        "singling out, three columns, normalised risk",
        "ε-identifiability",
    } <= reds(report, "privacy")
    assert not reds(report, "fidelity")  # it looks perfect


def test_a_memoriser_fails_membership_inference_against_a_hold_out(colon):
    real, holdout = parts(colon, (600, 329))
    report = ts.audit(real, numbered(real, real.patients), holdout=holdout, endpoint="death")
    assert "membership inference AUC" in reds(report, "privacy")
    assert "nearer to training than to hold-out" in reds(report, "privacy")


def test_a_row_bootstrap_fails(colon):
    rows = np.random.default_rng(0).integers(colon.n_patients, size=colon.n_patients)
    report = ts.audit(colon, numbered(colon, colon.patients.iloc[rows]), endpoint="death")
    assert {"identical rows, excess share", "hitting rate, normalised risk"} <= reds(
        report, "privacy"
    )


@pytest.mark.parametrize("blur", [0, 1])
def test_copied_baselines_with_fresh_outcomes_fail(colon, blur):
    """Every patient's covariates are given out; arm and outcome are new (and numbers blurred)."""
    cheat = ts.fit(colon, "death", model="cox", covariate_model="bootstrap")
    made = cheat.sample_trial(seed=2).patients
    moved = np.random.default_rng(0).integers(-blur, blur + 1, size=(2, len(made)))
    made = made.assign(age=made["age"] + moved[0], nodes=(made["nodes"] + moved[1]).clip(0))
    report = ts.audit(colon, cheat.as_trial(made), endpoint="death")
    caught = "nearer to a patient than patients are, baseline"
    assert (caught if blur else "identical baselines, excess share") in reds(report, "privacy")


def test_a_generator_that_lost_the_effect_fails(colon):
    rng = np.random.default_rng(0)
    table = colon.patients.iloc[rng.integers(colon.n_patients, size=8 * colon.n_patients)].copy()
    table["rx"] = rng.permutation(table["rx"].to_numpy())
    report = ts.audit(colon, numbered(colon, table), endpoint="recurrence")
    failed = report.effects.query("verdict == 'red'")
    bias = failed[failed["measure"] == "effect bias, in real standard errors"]
    assert bias["subject"].str.contains("Lev\\+5FU v Obs").any()


def test_independent_columns_fail(colon):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({c: rng.permutation(colon.patients[c].to_numpy()) for c in colon.patients})
    report = ts.audit(colon, numbered(colon, table), endpoint="death")
    assert {"association error, largest", "propensity AUC, boosted trees"} <= reds(
        report, "fidelity"
    )
    # the model trained on them predicts no better than chance (C-index near one half)
    assert report.utility.iloc[0]["estimate"] < 0.92


def test_a_generator_fitted_on_twenty_patients_fails(colon):
    few = colon.subset(np.sort(np.random.default_rng(3).permutation(colon.n_patients)[:20]))
    rng = np.random.default_rng(0)
    table = few.patients.iloc[rng.integers(20, size=900)].copy()
    table["age"] = table["age"] + rng.integers(-2, 3, 900)
    report = ts.audit(colon, numbered(colon, table), endpoint="death")
    assert {"KS distance", "propensity AUC, boosted trees"} <= reds(report, "fidelity")


def test_a_generator_that_copies_only_outliers_fails(colon):
    real, other = parts(colon, (464, 465))
    both = compare(real, other)
    table = both.tables["real"]
    among = distances.without_self(gower(table, table, both.schema.ranges))
    lonely = distances.isolated(among)
    made = pd.concat([other.patients.iloc[len(lonely) :], real.patients.iloc[lonely]])
    report = ts.audit(real, numbered(colon, made))
    assert "outliers copied, normalised risk" in reds(report, "privacy")
    assert not reds(report, "fidelity") and not reds(report, "utility")


def test_an_allocation_that_depends_on_covariates_fails(colon):
    table = colon.patients.sort_values("age")
    table = table.assign(rx=np.sort(table["rx"].to_numpy()))
    report = ts.audit(colon, numbered(colon, table), endpoint="death")
    assert "covariate imbalance between arms / chance" in reds(report, "balance")


def test_a_lost_level_fails(colon):
    table = colon.patients.assign(sex="male")
    report = ts.audit(colon, numbered(colon, table), endpoint="death")
    assert "categories kept" in reds(report, "balance")
    assert "subgroup share, difference" in reds(report, "balance")


def test_missing_values_that_were_filled_in_fail():
    trial = ts.load_trial("btheb")
    columns = ["bdi_2m", "bdi_4m", "bdi_6m", "bdi_8m"]
    filled = trial.patients.assign(**{c: trial.patients[c].fillna(10.0) for c in columns})
    report = ts.audit(trial, numbered(trial, filled))
    assert "missing share, difference" in reds(report, "fidelity")


# ------------------------------------------------------------------ the fitted audit


@pytest.fixture(scope="module")
def fitted_report():
    trial = ts.load_trial("veteran")
    fitted = ts.fit(trial, endpoint="death", model="cox", covariate_model="cart", seed=1)
    return fitted.audit(seed=0, n_folds=3, n_repeats=3, n_trials=20, n_null=60)


def test_a_fitted_trial_is_audited_with_refits_and_error_rates(fitted_report):
    assert "type I error after synthesis" in set(fitted_report.error_rates["measure"])
    assert "mean effect bias, in real standard errors" in set(fitted_report.effects["measure"])
    attacks = fitted_report.privacy.query("measure == 'membership inference AUC'")
    assert {"distance", "density ratio", "shadow models, distance"} <= set(attacks["subject"])
    assert attacks["estimate"].between(0, 1).all()
    assert "fitted model, 3 repeats of 3 folds" in fitted_report.about["mode"]


class OtherPatients:
    """A generator that no audit should fault for privacy: it publishes patients it never saw."""

    def __init__(self, pool):
        self.pool = pool

    def refit(self, trial, seed=None):
        return self

    def sample_trial(self, sizes=None, seed=0, **options):
        rng = np.random.default_rng(seed)
        arm = self.pool.patients[self.pool.arm]
        sizes = sizes if sizes is not None else arm.value_counts().to_dict()
        taken = [rng.permutation(np.flatnonzero(arm == name))[:n] for name, n in sizes.items()]
        return numbered(self.pool, self.pool.patients.iloc[np.concatenate(taken)])


@pytest.mark.parametrize("name", ["colon", "strep_tb"])
def test_a_generator_of_other_patients_keeps_every_privacy_rule(name):
    trial = ts.load_trial(name)
    half = trial.n_patients // 2
    real, pool = parts(trial, (half, half), seed=1)
    report = ts.audit(real, OtherPatients(pool), n_trials=0, n_null=0)
    assert not reds(report, "privacy") and not reds(report, "utility")
    attacks = report.privacy.query("measure == 'membership inference AUC'")
    assert attacks["estimate"].dropna().between(0.42, 0.58).all()
    assert len(attacks["estimate"].dropna()) >= 3


class Memoriser:
    """A generator that publishes its training data, with the effect halved in the bargain."""

    def __init__(self, trial):
        self.trial = trial

    def refit(self, trial, seed=None):
        return Memoriser(trial)

    def sample_trial(self, sizes=None, seed=0, **options):
        rng = np.random.default_rng(seed)
        table = self.trial.patients
        if sizes is not None:
            arm = table[self.trial.arm]
            table = pd.concat(
                [
                    table[arm == name].iloc[rng.integers((arm == name).sum(), size=n)]
                    if n > (arm == name).sum()
                    else table[arm == name].iloc[rng.permutation((arm == name).sum())[:n]]
                    for name, n in sizes.items()
                ]
            )
        return numbered(self.trial, table)


@pytest.fixture(scope="module")
def memoriser_report():
    trial = ts.load_trial("veteran")
    return ts.audit(trial, Memoriser(trial), endpoint="death", n_repeats=3, n_trials=12, n_null=200)


def test_a_fitted_memoriser_fails_every_membership_attack(memoriser_report):
    found = memoriser_report.privacy.query("measure == 'membership inference AUC'")
    assert set(found["subject"]) >= {"distance", "shadow models, distance"}
    assert (found.query("subject != 'density ratio'")["verdict"] == "red").all()


def test_a_generator_that_ignores_the_null_fails_type_one_error():
    """The override of the effect is ignored: trials under the null reject as under the effect."""
    trial = ts.load_trial("gehan")
    report = ts.audit(trial, Memoriser(trial), n_repeats=1, n_trials=0, n_null=60)
    assert "type I error after synthesis" in reds(report, "error_rates")


def test_a_generator_that_refuses_small_parts_is_audited_without_refits():
    class Choosy(OtherPatients):
        def refit(self, trial, seed=None):
            raise ValueError("a fit needs at least 70 patients")

    trial = ts.load_trial("veteran")
    real, pool = parts(trial, (68, 69), seed=1)
    report = ts.audit(real, Choosy(pool), n_trials=0, n_null=0)
    attacks = report.privacy.query("measure == 'membership inference AUC'")
    assert (attacks["verdict"] == "grey").all()
    assert attacks["reading"].str.contains("refused|three are needed").all()


# ------------------------------------------------------------------ the report


def test_the_same_seed_gives_the_same_report(colon):
    real, synthetic = parts(colon, (200, 200))
    first, second = (ts.audit(real, synthetic, endpoint="death", seed=3) for _ in range(2))
    pd.testing.assert_frame_equal(first.table, second.table)


def test_html_and_json_hold_figures_and_no_patient(honest, tmp_path):
    page = honest.to_html(tmp_path / "audit.html").read_text(encoding="utf-8")
    assert page.count("<figure>") >= 5 and page.count("<svg") >= page.count("<figure>")
    for text in ("currentColor", "death: survival", "How to read it"):
        assert text in page
    assert honest.to_json(tmp_path / "audit.json").stat().st_size > 10_000
    names = set().union(*(frame.columns for frame in honest.figures.values()))
    assert "id" not in names


def test_very_large_synthetic_trials_are_thinned(colon):
    rows = np.random.default_rng(0).integers(colon.n_patients, size=30_000)
    found = compare(colon, numbered(colon, colon.patients.iloc[rows]), endpoint="death")
    assert found.synthetic.n_patients == 20_000
    assert len(found.tables["synthetic"]) == len(found.outcomes["synthetic"]["death"]) == 20_000


def test_ordered_levels_dates_and_flags_keep_their_meaning():
    rng = np.random.default_rng(0)

    def made(as_number):
        grade = rng.choice(["low", "mid", "high"], 80)
        return pd.DataFrame(
            {
                "arm": ["A", "B"] * 40,
                "grade": pd.Categorical(grade, ["low", "mid", "high"], ordered=True),
                "flag": rng.integers(0, 2, 80) if as_number else rng.integers(0, 2, 80) > 0,
                "seen": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 400, 80), "D"),
                "y": rng.integers(0, 2, 80),
            }
        )

    endpoints = {"b": ts.Binary("y")}
    trials = [odd(made(flag), endpoints, ["grade", "flag", "seen"]) for flag in (True, True)]
    found = compare(*trials)
    assert found.schema.orders["grade"] == ("low", "mid", "high")
    assert set(found.schema.numeric) == {"grade", "seen"}
    j = found.schema.numeric.index("seen")
    assert 300 < found.schema.ranges[j] < 401  # days
    assert ts.audit(*trials).table["estimate"].notna().sum() > 20


# ------------------------------------------------------------------ bad input


def test_inputs_that_are_no_trials_are_refused(colon):
    with pytest.raises(TypeError, match="synthetic must be a Trial, received DataFrame"):
        ts.audit(colon, colon.patients)
    with pytest.raises(TypeError, match="n_folds applies to a fitted trial only"):
        ts.audit(colon, colon, n_folds=3)


def test_an_unknown_endpoint_is_named(colon):
    with pytest.raises(ValueError, match="did you mean 'death'"):
        ts.audit(colon, colon, endpoint="deth")


def test_a_missing_column_is_named(colon):
    less = dataclasses.replace(
        colon,
        patients=colon.patients.drop(columns="age"),
        covariates=[c for c in colon.covariates if c != "age"],
    )
    with pytest.raises(ValueError, match="synthetic trial has no column 'age'"):
        ts.audit(colon, less)


def test_an_unknown_arm_is_named(colon):
    other = colon.patients.assign(rx=colon.patients["rx"].replace("Lev", "Levi"))
    with pytest.raises(ValueError, match="arm 'Levi'"):
        ts.audit(colon, dataclasses.replace(colon, patients=other, arms=()))


def test_trials_without_a_common_endpoint_are_refused(colon):
    a = dataclasses.replace(colon, endpoints={"death": colon.endpoints["death"]})
    b = dataclasses.replace(colon, endpoints={"recurrence": colon.endpoints["recurrence"]})
    with pytest.raises(ValueError, match="share no endpoint"):
        ts.audit(a, b)


@pytest.mark.parametrize("seed", [-1, 1.5, True])
def test_a_bad_seed_is_refused(colon, seed):
    with pytest.raises(ValueError, match="seed must be a whole number"):
        ts.audit(colon, colon, seed=seed)


def test_one_patient_is_refused(colon):
    with pytest.raises(ValueError, match="at least 2"):
        one = colon.patients.iloc[:1]
        ts.audit(colon, dataclasses.replace(colon, patients=one, arms=()))


def test_a_hold_out_for_a_fitted_trial_is_refused(colon):
    with pytest.raises(ValueError, match="needs no holdout"):
        ts.audit(colon, Memoriser(colon), holdout=colon)
    with pytest.raises(ValueError, match="n_folds must be a whole number of 2 or more"):
        ts.audit(colon, Memoriser(colon), n_folds=1)


def odd(table, endpoints, covariates=("x",)):
    return ts.Trial(patients=table, arm="arm", endpoints=endpoints, covariates=list(covariates))


def test_an_arm_without_events_is_named_and_not_fatal():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "arm": ["A", "B"] * 40,
            "x": rng.normal(size=80),
            "time": rng.exponential(10, 80),
            "event": [0, 1] * 40,
        }
    )
    trial = odd(table, {"e": ts.TimeToEvent("time", "event")})
    report = ts.audit(trial, trial)
    found = report.effects.query("measure == 'treatment effect'")
    assert found["reading"].str.contains("do not identify").all()


@pytest.mark.parametrize("kind", ["constant", "all missing", "tied", "two patients an arm"])
def test_odd_tables_are_audited_without_warnings(kind, recwarn):
    rng = np.random.default_rng(0)
    n = 4 if kind == "two patients an arm" else 60
    table = pd.DataFrame(
        {
            "arm": ["A", "B"] * (n // 2),
            "x": rng.normal(size=n),
            "y": rng.integers(0, 2, n),
            "time": rng.exponential(10, n),
            "event": 1,
        }
    )
    if kind == "constant":
        table["x"] = 3.0
    if kind == "all missing":
        table["x"] = np.nan
    if kind == "tied":
        table["time"] = 5.0
    endpoints = {"e": ts.TimeToEvent("time", "event"), "b": ts.Binary("y")}
    report = ts.audit(odd(table, endpoints), odd(table.sample(frac=1, random_state=1), endpoints))
    assert len(report.table) > 20
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]


def test_a_trial_of_the_endpoint_alone_is_audited():
    table = pd.DataFrame({"y": [0, 1] * 20})
    trial = ts.Trial(patients=table, endpoints={"b": ts.Binary("y")})
    report = ts.audit(trial, trial)
    assert "TSTR / TRTR" in set(report.utility["measure"])
