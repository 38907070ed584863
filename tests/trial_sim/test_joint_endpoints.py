"""Several endpoints of one patient: their association, order, margins and effects come back."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

import trial_sim as ts
from trial_sim.auditing.compared.comparison import compare
from trial_sim.auditing.fidelity.outcome_measures import endpoint_associations
from trial_sim.outcomes.effects import contrast
from trial_sim.outcomes.joint.record import Joint


def patients(seed, n=400, composite=True, scale=1.0, fixed=False):
    """Progression, death, response and a score that one frailty joins."""
    rng = np.random.default_rng(seed)
    arm, x, frailty = rng.integers(0, 2, n), rng.normal(size=n).round(2), rng.normal(size=n)
    response = 0.8 * frailty + 0.3 * x + 0.5 * arm + rng.normal(size=n)
    progression = rng.exponential(8 * np.exp(0.35 * arm + 0.5 * frailty + 0.2 * x))
    alone = rng.exponential(40 * np.exp(0.3 * frailty), n)
    later = progression + rng.exponential(10 * np.exp(0.5 * frailty + 0.1 * arm))
    death = np.where(progression < alone, later, alone)
    end = np.full(n, 18.0) if fixed else np.minimum(rng.uniform(12, 24, n), rng.exponential(80, n))
    own = np.where(progression < alone, progression, np.inf)
    first, os = np.minimum(own, death) if composite else own, np.minimum(death, end)
    return pd.DataFrame(
        {
            "arm": np.where(arm, "B", "A"),
            "x": x,
            "pfs": np.minimum(first, os) * scale,
            "pfsd": (first <= os).astype(int),
            "os": os * scale,
            "osd": (death <= end).astype(int),
            "grade": np.array(["none", "partial", "full"])[np.digitize(response, [0.2, 1.2])],
            "resp": np.where(rng.random(n) < 0.08, np.nan, response > 0.4),
            "score": (50 + 8 * frailty + 5 * arm + 3 * x + rng.normal(0, 6, n)).round(),
            "falls": rng.poisson(np.exp(0.5 - 0.4 * frailty)),
        }
    )


ENDPOINTS = {
    "pfs": ts.TimeToEvent("pfs", "pfsd"),
    "os": ts.TimeToEvent("os", "osd"),
    "response": ts.Binary("resp"),
    "grade": ts.Ordinal("grade", levels=("none", "partial", "full")),
    "score": ts.Continuous("score"),
    "falls": ts.Count("falls"),
}
NUMBER = {"response": "resp", "grade": "grade"}


def trial_of(table, names):
    return ts.Trial(table, "arm", {n: ENDPOINTS[n] for n in names}, ["x"])


def correlations(table, names):
    table = table.assign(grade=table.get("grade", "none"))
    numbers = table.assign(grade=table["grade"].map({"none": 0, "partial": 1, "full": 2}))
    return {
        (a, b): np.mean(
            [
                spearmanr(part[NUMBER.get(a, a)], part[NUMBER.get(b, b)], nan_policy="omit")[0]
                for _, part in numbers.groupby("arm")
            ]
        )
        for i, a in enumerate(names)
        for b in names[:i]
    }


def audited(real, made):
    lines = endpoint_associations(compare(real, made))
    return {(line.measure, line.subject): line.verdict for line in lines}


@pytest.fixture(scope="module")
def fitted():
    trial = trial_of(patients(1), ("pfs", "os", "response"))
    return ts.fit(trial, ["pfs", "os", "response"], covariate_model="bootstrap", seed=0)


@pytest.mark.parametrize(
    ("seed", "names", "options"),
    [
        (1, ("pfs", "os", "response"), {}),
        (2, ("response", "os", "pfs", "falls"), {"composite": False, "scale": 30.4}),
        (3, ("pfs", "os", "grade", "score"), {"fixed": True, "scale": 1e-3}),
        (4, ("score", "os"), {"n": 200}),
    ],
)
def test_association_order_margins_and_effects_come_back(seed, names, options):
    trial = trial_of(patients(seed, **options), names)
    made = ts.fit(trial, names, covariate_model="bootstrap", seed=0)
    big = made.sample_trial({"A": 8000, "B": 8000}, seed=seed, uncertainty=False).patients
    real, synthetic = (correlations(t, names) for t in (trial.patients, big))
    assert {k: v for k, v in real.items() if abs(synthetic[k] - v) > 0.05} == {}
    if "pfs" in names:
        assert (big["pfs"] <= big["os"]).all()
        dead = (big["osd"] == 1) & (big["pfs"] == big["os"])
        assert big.loc[dead, "pfsd"].eq(int(options.get("composite", True))).all()
    for name in names:
        estimate, error = contrast(trial.patients, ENDPOINTS[name], "arm", "A", "B")
        found, mcse = contrast(big, ENDPOINTS[name], "arm", "A", "B")
        assert abs(found - estimate) < 0.3 * error + 3 * mcse, name
        for column in ENDPOINTS[name].columns:
            if column != "grade":
                gap = big[column].mean() - trial.patients[column].mean()
                assert abs(gap) < 0.6 * trial.patients[column].sem() + 3 * big[column].sem(), column
    again = made.sample_trial({"A": 50, "B": 50}, seed=3)
    assert list(again.endpoints) == list(names) and again.patients.dtypes.equals(
        trial.patients[list(again.patients)].dtypes
    )


def test_a_joint_fit_is_saved_refitted_audited_and_overridden(fitted, tmp_path):
    assert isinstance(fitted.endpoint, Joint)
    loaded = ts.load_fitted(fitted.save(tmp_path / "joint.fitted", allow_copies=True))
    arm = fitted.sample_arm("B", 40, seed=2)
    assert loaded.sample_arm("B", 40, seed=2).equals(arm)
    with pytest.raises(ValueError, match=r"say of which 0\.5 is the effect"):
        fitted.sample_arm("B", 40, effect=0.5)
    with pytest.raises(ValueError, match="no fitted endpoint 'ost'"):
        fitted.sample_arm("B", 40, effect={"ost": 0.5})
    big = {"A": 6000, "B": 6000}
    made = fitted.sample_trial(
        big, effects={"B": {"os": 0.5, "response": 3.0}}, uncertainty=False, seed=1
    ).patients
    assert contrast(made, ENDPOINTS["os"], "arm", "A", "B")[0] < -0.4
    odds = contrast(made, ENDPOINTS["response"], "arm", "A", "B")[0]
    assert abs(odds - np.log(3.0)) < 0.2
    none = fitted.sample_trial(big, effects={"B": 1}, uncertainty=False, seed=1).patients
    for name in ("pfs", "os", "response"):
        value, error = contrast(none, ENDPOINTS[name], "arm", "A", "B")
        assert abs(value) < 4 * error
    assert list(fitted.refit(fitted.real).endpoint_names) == ["pfs", "os", "response"]
    lines = audited(fitted.real, fitted.sample_trial(seed=1))
    assert lines["association of endpoints, difference", "pfs and os"] in ("green", "amber")
    assert lines["times out of order", "pfs and os"] == "green"
    shuffled = fitted.real.patients.copy()
    for columns in (["pfs", "pfsd"], ["resp"]):
        shuffled[columns] = shuffled[columns].sample(frac=1, random_state=0).to_numpy()
    lines = audited(fitted.real, fitted.real.with_patients(shuffled))
    assert lines["association of endpoints, difference", "pfs and os"] == "red"
    assert lines["times out of order", "pfs and os"] == "red"


def test_progression_that_is_no_longer_assessed_is_censored_before_death():
    table, rng = patients(5, n=600), np.random.default_rng(6)
    stop = rng.exponential(10, 600)
    late = stop < table["pfs"]
    table["pfs"], table["pfsd"] = np.minimum(stop, table["pfs"]), table["pfsd"].where(~late, 0)
    trial = trial_of(table, ("pfs", "os"))
    made = ts.fit(trial, ["pfs", "os"], covariate_model="bootstrap")
    big = made.sample_trial({"A": 8000, "B": 8000}, uncertainty=False).patients
    for column in ("pfs", "pfsd", "os", "osd"):
        assert abs(big[column].mean() - table[column].mean()) < table[column].sem()
    early = [((t["pfsd"] == 0) & (t["pfs"] < t["os"])).mean() for t in (table, big)]
    assert abs(early[0] - early[1]) < 0.04


def test_what_a_joint_fit_refuses():
    table = patients(7, n=60)
    table["ttp"], table["ttpd"] = table["pfs"], table["pfsd"] * (table["pfs"] < table["os"])
    ends = {**ENDPOINTS, "ttp": ts.TimeToEvent("ttp", "ttpd"), "other": ts.Binary("pfsd")}
    trial = ts.Trial(table, "arm", ends, ["x"])
    for names, said in (
        (["pfs", "os", "ttp"], "leave one of the endpoints out"),
        (["pfs", "other"], "share column 'pfsd'"),
        (["pfs", "pfs"], "several different ones"),
        (["pfs", "nobody"], "no endpoint 'nobody'"),
    ):
        with pytest.raises(ValueError, match=said):
            ts.fit(trial, names)
    with pytest.raises(ValueError, match="epsilon= and stratify_by="):
        ts.fit(trial, ["os", "response"], epsilon=1.0)
    with pytest.raises(ValueError, match="model names 'os'"):
        ts.fit(trial, ["os", "response"], model={"os": "cox"})


def test_the_engine_tests_any_time_of_a_joint_fit(fitted):
    outcomes = fitted.outcomes("A", "B")
    power = {}
    for name in ("pfs", "os"):
        design = ts.Design(
            arms={"A": 1, "B": 1}, n_patients=300, accrual=ts.Accrual(rate=50),
            looks=ts.CalendarLooks([20.0]), endpoint=name,
        )  # fmt: skip
        power[name] = ts.simulate(design, outcomes, n_trials=200, seed=1).expected_events
    assert power["pfs"] > power["os"] + 20
