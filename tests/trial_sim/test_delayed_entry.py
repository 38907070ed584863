"""Delayed entry and time not at risk: in the statistics, and through fit, sample and audit."""

import numpy as np
import pandas as pd
import pytest

import trial_sim as ts
from trial_sim.statistics.arm_differences import log_hazard_ratio


def entered(n=600, seed=0, unit=0.0):
    """Exponential times (means 20 and 30) seen from an entry between 0 and 15 on, to month 30."""
    rng = np.random.default_rng(seed)
    rows = []
    while len(rows) < n:
        arm = len(rows) % 2
        death, entry = rng.exponential(30 if arm else 20), rng.choice([0.0, rng.uniform(0, 15)])
        if unit:
            death, entry = np.ceil(death / unit) * unit, np.floor(entry / unit) * unit
        if death > entry:
            rows.append((("A", "B")[arm], rng.normal(60, 9), entry, min(death, 30.0), death <= 30))
    table = pd.DataFrame(rows, columns=["arm", "age", "late", "t", "d"]).astype({"d": int})
    return ts.Trial(table, "arm", {"e": ts.TimeToEvent("t", "d", entry="late")}, ["age"])


def risk_sets(table, weight=lambda s: 1.0):
    """Log-rank z and Kaplan-Meier by the definition, one event time after the other."""
    survival, o, v, curve = 1.0, 0.0, 0.0, []
    for t in sorted(table.loc[table["d"] == 1, "t"].unique()):
        risk = table[(table["late"] < t) & (table["t"] >= t)]
        dead = risk[(risk["t"] == t) & (risk["d"] == 1)]
        n, m, d = len(risk), (risk["arm"] == "B").sum(), len(dead)
        w = weight(survival)
        o += w * (d * m / n - (dead["arm"] == "B").sum())
        v += w**2 * d * m / n * (1 - m / n) * ((n - d) / (n - 1) if n > 1 else 0)
        survival *= 1 - d / n
        curve.append((t, survival))
    return o / v**0.5, curve


@pytest.mark.parametrize("unit", [0.0, 1.0])
def test_kaplan_meier_logrank_and_cox_agree_with_risk_sets_and_lifelines(unit):
    from lifelines import CoxPHFitter, KaplanMeierFitter

    table = entered(160, unit=unit).patients
    group = (table["arm"] == "B").astype(int)
    args = table["t"], table["d"]
    z, curve = risk_sets(table)
    ours = ts.kaplan_meier(*args, entry=table["late"])
    times, survival = np.array(curve).T
    assert ours.at(times) == pytest.approx(survival, abs=1e-12)
    theirs = KaplanMeierFitter().fit(*args, entry=table["late"])
    assert ours.at(times) == pytest.approx(theirs.predict(times).to_numpy(), abs=1e-9)
    assert ts.logrank(*args, group, entry=table["late"]).z == pytest.approx(z)
    late = ts.logrank(*args, group, weight=("fleming_harrington", 0, 1), entry=table["late"])
    assert late.z == pytest.approx(risk_sets(table, lambda s: 1 - s)[0])
    halves = np.arange(len(table)) // 2 % 2
    both = ts.logrank(*args, group, strata=halves, entry=table["late"])
    parts = [ts.logrank(*(x[halves == h] for x in (*args, group)), entry=table["late"][halves == h])
             for h in (0, 1)]  # fmt: skip
    sums = [(-p.estimate / p.se**2, 1 / p.se**2) for p in parts]
    assert both.z == pytest.approx(sum(s for s, _ in sums) / sum(v for _, v in sums) ** 0.5)
    frame = table[["t", "d", "late"]].assign(x=group)
    if not unit:
        reference = CoxPHFitter().fit(frame, "t", "d", entry_col="late").params_["x"]
        assert ts.cox(*args, group, entry=table["late"]).estimate == pytest.approx(reference, 1e-4)
    small = log_hazard_ratio(
        table["t"].to_numpy(), table["d"].to_numpy() > 0, group.to_numpy() > 0,
        table["late"].to_numpy(),
    )  # fmt: skip
    full = ts.cox(*args, group, entry=table["late"])
    assert small == pytest.approx((full.estimate, full.se), rel=1e-6)
    nobody = np.zeros(len(table))  # entry at 0 is no entry
    assert ts.logrank(*args, group, entry=nobody).z == pytest.approx(ts.logrank(*args, group).z)


def test_an_emptied_risk_set_is_said_and_a_late_entry_refused():
    with pytest.warns(UserWarning, match="all 1 at risk at 2 have the event"):
        ts.kaplan_meier([2, 5, 6], [1, 1, 0], entry=[0, 3, 3])
    with pytest.raises(ValueError, match="entry must be before duration"):
        ts.logrank([2, 5], [1, 1], [0, 1], entry=[0, 5])
    table = entered(20).patients.assign(late=40.0)
    with pytest.raises(ValueError, match=r"'late' \(the delayed entry\) must come before"):
        ts.Trial(table, "arm", {"e": ts.TimeToEvent("t", "d", entry="late")}, ["age"])


@pytest.mark.parametrize("model", ["cox_by_arm", "cox", "weibull", "royston_parmar"])
def test_delayed_entry_is_kept_from_fit_to_sample(model):
    trial = entered()
    fitted = ts.fit(trial, "e", model=model, covariate_model="bootstrap")
    made = fitted.sample_trial({"A": 4000, "B": 4000}, uncertainty=False).patients
    real = trial.patients
    assert (made["late"] < made["t"]).all()
    assert abs(made["late"].mean() - real["late"].mean()) < 0.3
    for arm in "AB":
        one, two = (t[t["arm"] == arm] for t in (real, made))
        assert abs(one["d"].mean() - two["d"].mean()) < 0.06
        rates = [t["d"].sum() / (t["t"] - t["late"]).sum() for t in (one, two)]
        assert abs(np.log(rates[1] / rates[0])) < 2 / one["d"].sum() ** 0.5
    found = [
        ts.cox(t["t"], t["d"], (t["arm"] == "B").astype(int), entry=t["late"]) for t in (real, made)
    ]
    assert abs(found[0].estimate - found[1].estimate) < 0.25 * found[0].se + 2 * found[1].se


def test_what_cannot_keep_delayed_entry_says_so(tmp_path):
    trial = entered()
    with pytest.raises(ValueError, match="takes no delayed entry"):
        ts.fit(trial, "e", epsilon=5.0)
    fitted = ts.fit(trial, "e", model="cox", covariate_model="bootstrap")
    with pytest.raises(ValueError, match="'late' holds delayed entries"):
        fitted.outcomes("A", "B")
    loaded = ts.load_fitted(fitted.save(tmp_path / "m.npz", allow_copies=True))
    pd.testing.assert_frame_equal(loaded.sample_arm("B", 30), fitted.sample_arm("B", 30))
    causes = trial.patients.assign(d=trial.patients["d"] * (1 + np.arange(600) % 2))
    risks = ts.CompetingRisks("t", "d", entry="late")
    with pytest.raises(ValueError, match="fine_gray takes no delayed entry"):
        ts.fit(ts.Trial(causes, "arm", {"e": risks}, ["age"]), "e", model="fine_gray")


def with_gaps(n=300, seed=1, unit=0.0, late=True):
    """Rates 1.5 and 1 a year for two years; 14 days without risk after each event, spells of a
    month or so without one, a third of the patients entering late."""
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(n):
        arm, t = k % 2, 0.0
        if late and rng.random() < 1 / 3:
            t = rng.uniform(0, 0.5)
        while t < 2:
            event, pause = rng.exponential(1 / (1.5, 1.0)[arm]), rng.exponential(1 / 0.2)
            stop = t + min(event, pause)
            if stop >= 2:
                rows.append((k, arm, t, 2.0, 0))
                break
            rows.append((k, arm, t, stop, int(event < pause)))
            t = stop + (14 / 365 if event < pause else rng.uniform(0.05, 0.15))
    table = pd.DataFrame(rows, columns=["id", "arm", "start", "stop", "event"])
    table["arm"] = np.where(table["arm"], "B", "A")
    if unit:
        table["start"], table["stop"] = (np.ceil(table[c] / unit) * unit for c in ("start", "stop"))
        table = table[table["stop"] > table["start"]]
    table["age"] = rng.normal(60, 9, n)[table["id"]]
    return ts.Trial(table, "arm", {"e": ts.Recurrent("id", "start", "stop", "event")}, ["age"])


def measures(table):
    """Events a year at risk by arm, share of time in gaps, share entering late, rows a patient."""
    time = (table["stop"] - table["start"]).groupby(table["arm"]).sum()
    rate = table.groupby("arm")["event"].sum() / time
    by = table.groupby("id")
    span = (by["stop"].max() - by["start"].min()).sum()
    return np.array([
        *np.log(rate), 1 - time.sum() / span, (by["start"].min() > 0).mean(),
        len(table) / len(by), by["stop"].max().mean(),
    ])  # fmt: skip


@pytest.mark.parametrize("model", ["andersen_gill", "negative_binomial"])
@pytest.mark.parametrize("unit", [0.0, 1 / 365])
def test_gaps_at_risk_and_late_entries_are_kept(model, unit):
    trial = with_gaps(unit=unit)
    fitted = ts.fit(trial, "e", model=model, covariate_model="bootstrap")
    assert any("time not at risk is kept" in note for note in fitted.notes)
    made = fitted.sample_trial({"A": 2000, "B": 2000}, uncertainty=False)  # checked: no overlap
    real, synthetic = measures(trial.patients), measures(made.patients)
    assert np.abs(synthetic - real)[:2].max() < 0.12  # log rates, of about 300 events
    assert abs(synthetic[2] - real[2]) < 0.01
    assert abs(synthetic[3] - real[3]) < 0.06
    assert abs(synthetic[4] / real[4] - 1) < 0.06
    assert abs(synthetic[5] - real[5]) < 0.03
    gap = made.patients.sort_values(["id", "start"])
    after = (gap["start"].shift(-1) - gap["stop"])[
        (gap["event"] == 1) & (gap["id"] == gap["id"].shift(-1))
    ]
    assert after.median() == pytest.approx(14 / 365, abs=2e-3)


def test_recurrent_events_without_gaps_have_none():
    trial = ts.load_trial("bladder")
    name = next(iter(trial.endpoints))
    fitted = ts.fit(trial, name, covariate_model="bootstrap")
    assert not fitted.outcome_model.gaps.any_gap and not fitted.outcome_model.gaps.any_entry


def test_audit_reads_delayed_entry_and_gaps():
    for trial in (entered(300), with_gaps(150)):
        fitted = ts.fit(trial, "e", covariate_model="cart", model={
            "time_to_event": "cox_by_arm", "recurrent": "andersen_gill"
        }[trial.endpoint("e").kind])  # fmt: skip
        made = fitted.sample_trial(seed=0, uncertainty=False)
        found = ts.audit(trial, made, endpoint="e", seed=0).table
        curves = found[found["measure"].str.contains("curve gap")]
        assert len(curves) and (curves["verdict"] != "red").all()
        assert not (found[found["section"] == "effects"]["verdict"] == "red").any()
