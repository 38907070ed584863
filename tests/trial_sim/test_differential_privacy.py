import numpy as np
import pytest

import trial_sim as ts
from trial_sim.arms.differential_privacy import discrete_gaussian, histogram, rho_of
from trial_sim.data.schema import Column
from trial_sim.outcomes.effects import contrast


def test_budget_matches_the_published_conversion():
    # epsilon 1, 3, 10 at delta 1e-5: rho .0208, .1735, 1.5504
    assert [rho_of(e, 1e-5) for e in (1, 3, 10)] == pytest.approx(
        [0.0208, 0.1735, 1.5504], abs=1e-4
    )
    for epsilon in (0.5, 2.0):
        rho = rho_of(epsilon, 1e-6)
        assert rho + 2 * np.sqrt(rho * np.log(1e6)) == pytest.approx(epsilon)


def test_noise_is_a_discrete_gaussian():
    rng = np.random.Generator(np.random.Philox(1))
    noise = discrete_gaussian(3.0, (200_000,), rng)
    assert noise.dtype.kind == "i"
    assert noise.std() == pytest.approx(3.0, rel=0.02) and abs(noise.mean()) < 0.03


def test_a_patient_moves_each_histogram_by_one():
    column = Column("x", "numeric", lower=0, upper=10)
    values = np.array([1.0, 5.0, np.nan, 9.9])
    full, less = histogram(values, column), histogram(values[:-1], column)
    assert np.abs(full - less).sum() == 1 and full.sum() == 4


@pytest.mark.parametrize(
    ("name", "endpoint"),
    [
        ("colon", "death"),
        ("bmt", "relapse"),
        ("indo_rct", "pancreatitis"),
        ("arthritis", "improved"),
    ],
)
def test_weak_privacy_gives_the_effect_back(name, endpoint):
    trial = ts.load_trial(name)
    made = ts.fit(trial, endpoint, epsilon=2000, noise_seed=1)
    sizes = dict.fromkeys(trial.arms, 8000)
    big = made.sample_trial(sizes, uncertainty=False).patients
    args = (made.endpoint, trial.arm, trial.arms[0], trial.arms[-1])
    real, error = contrast(trial.patients, *args)
    synthetic, mcse = contrast(big, *args)
    assert abs(synthetic - real) < 0.25 * error + 3 * mcse


def test_stronger_privacy_spreads_more_and_says_when_n_is_too_small():
    trial = ts.load_trial("colon")
    spreads, records = [], []
    for epsilon in (1.0, 10.0):
        made = ts.fit(trial, "death", epsilon=epsilon, noise_seed=2)
        args = (made.endpoint, "rx", "Obs", "Lev+5FU")
        spreads.append(
            np.std([contrast(made.sample_trial(seed=s).patients, *args)[0] for s in range(60)])
        )
        records.append(made.privacy)
    assert spreads[0] > spreads[1]
    assert "too small" in records[0].warning and "too small" not in records[1].warning
    text = str(records[0])
    assert "one patient added or removed" in text and "1e-05" in text and "age in [15, 90]" in text


def test_noise_comes_from_the_system_unless_fixed(tmp_path):
    trial = ts.load_trial("veteran")
    first, second = (ts.fit(trial, "death", epsilon=5.0) for _ in range(2))
    assert not np.array_equal(first.outcome_model.events.counts, second.outcome_model.events.counts)
    loaded = ts.load_fitted(first.save(tmp_path / "p.npz"))
    assert loaded.privacy == first.privacy
    with pytest.raises(ValueError, match="epsilon must be positive"):
        ts.fit(trial, "death", epsilon=-1.0)
    with pytest.raises(ValueError, match="epsilon= serves"):
        ts.fit(ts.load_trial("epil"), "seizures", epsilon=1.0)
