"""Entry times: a data cutoff is found, sampled and told; without one, entry is a covariate."""

import numpy as np
import pandas as pd
import pytest

import trial_sim as ts
from trial_sim.statistics.arm_differences import log_hazard_ratio

CUTOFF = pd.Timestamp("2023-06-30")
DAYS = 365.25 / 12


def trial(drop_out=0.01, n=400, cutoff=True):
    """Two years of accrual, exponential times, follow-up to one day (or of each patient's own)."""
    rng = np.random.default_rng(8)
    entry = CUTOFF - pd.to_timedelta(rng.integers(200, 930, n), unit="D")
    arm = rng.permutation(n) % 2
    death = rng.exponential(24 / np.exp(-0.5 * arm))
    longest = ((CUTOFF - entry) / pd.Timedelta(days=1)).to_numpy() / DAYS
    if not cutoff:
        longest = rng.uniform(6, 30, n)
    end = np.minimum(rng.exponential(1 / drop_out, n), longest)
    table = pd.DataFrame({"entered": entry, "arm": np.where(arm, "new", "old")})
    table["age"] = rng.normal(60, 9, n).round()
    table["months"] = np.minimum(death, end).round(2)
    table["died"] = (death <= end).astype(int)
    death_of = {"death": ts.TimeToEvent("months", "died")}
    return ts.Trial(
        table, "arm", death_of, ["age"], arms=["old", "new"], entry="entered", time_unit="months"
    )


@pytest.mark.parametrize("model", ["cox", "cox_by_arm", "weibull"])
def test_follow_up_ends_at_the_cutoff_counted_from_sampled_entries(model):
    real = trial()
    fitted = ts.fit(real, "death", model=model)
    assert any("data cutoff" in note for note in fitted.notes)
    made = fitted.sample_trial({"old": 4000, "new": 4000}, seed=1, uncertainty=False)
    assert made.entry == "entered"
    both = [t.patients for t in (real, made)]
    last = [t["entered"] + pd.to_timedelta(t["months"] * DAYS, unit="D") for t in both]
    assert last[1].max() <= CUTOFF + pd.Timedelta(days=2)
    # the share followed to the last day, and the follow-up of early and late patients
    at_end = [(x >= CUTOFF - pd.Timedelta(days=3)).mean() for x in last]
    assert abs(at_end[1] - at_end[0]) < 0.06
    for early in (True, False):
        ends = [t.loc[(t["entered"] < "2021-12-31") == early, "months"].mean() for t in both]
        assert abs(ends[1] / ends[0] - 1) < 0.12
    found = []
    for t in both:
        new, died = t["arm"].to_numpy() == "new", t["died"].to_numpy() > 0
        found.append(log_hazard_ratio(t["months"].to_numpy(float), died, new))
    assert abs(found[1].estimate - found[0].estimate) < 0.25 * found[0].error + 2 * found[1].error


def test_without_a_common_last_day_entry_is_a_covariate_and_the_note_says_so():
    fitted = ts.fit(trial(cutoff=False), "death", model="cox")
    assert fitted.outcome_model.follow_up.cutoff is None
    assert any("no data cutoff is taken" in note for note in fitted.notes)
    assert fitted.sample_arm("new", 50)["entered"].dtype.kind == "M"


def test_the_cutoff_survives_a_file_and_entry_is_read_from_a_description(tmp_path):
    real = trial()
    fitted = ts.fit(real, "death", model="cox")
    loaded = ts.load_fitted(fitted.save(tmp_path / "fit.npz"))
    pd.testing.assert_frame_equal(loaded.sample_arm("new", 40), fitted.sample_arm("new", 40))
    real.patients.to_csv(tmp_path / "trial.csv", index=False)
    fields = {
        "arm": "arm",
        "entry": "entered",
        "endpoints": {"death": {"kind": "time_to_event", "duration": "months", "event": "died"}},
    }
    read = ts.read_trial(tmp_path / "trial.csv", fields)
    assert read.schema()["entered"].kind == "date"
    broken = real.patients.assign(entered="soon")
    broken.to_csv(tmp_path / "broken.csv", index=False)
    with pytest.raises(ValueError, match=r"'entered' must hold dates .* row 0 holds 'soon'"):
        ts.read_trial(tmp_path / "broken.csv", fields)


def test_an_entry_that_is_an_outcome_or_text_is_refused():
    real = trial()
    with pytest.raises(ValueError, match="'months' \\(the entry\\)"):
        ts.Trial(real.patients, "arm", real.endpoints, ["age"], entry="months")
    with pytest.raises(ValueError, match="its type is object"):
        ts.Trial(real.patients, "arm", real.endpoints, ["age"], entry="arm")
