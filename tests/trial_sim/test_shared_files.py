"""What a fitted trial's file tells: no number of one patient, and nothing of who took part."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trial_sim as ts
from trial_sim.auditing.privacy.shared_files import attack_file, numbers_of
from trial_sim.base.storage import write
from trial_sim.covariates.encoding import told
from trial_sim.data.schema import describe_column
from trial_sim.numerics.told import TOGETHER, averaged, roundest, running, told_range


@given(
    st.lists(st.integers(-3, 40), min_size=12, max_size=80),
    st.sampled_from([1.0, 0.1, 12.5]),
)
@settings(max_examples=40, deadline=None)
def test_what_is_told_of_a_column_stands_for_five_or_is_shared(values, unit):
    x = np.array(values) * unit
    column = describe_column(pd.Series(x, name="x"), "numeric")
    support, became = told(x, column)
    assert support[:, 1].sum() == len(x) and (np.diff(support[:, 0]) >= 0).all()
    assert (support[:, 1] >= TOGETHER).all()
    for value, _, kept, _ in support:
        assert (x == value).sum() >= TOGETHER if kept else not (x == value).any()
    # order is kept, so that trees grown on what is told divide as those of the values
    order = np.argsort(x, kind="stable")
    assert (np.diff(became[order]) >= 0).all()


def test_gaps_stay_and_few_values_are_told_roughly():
    column = describe_column(pd.Series([1.234, 5.678, np.nan, 9.87], name="x"), "numeric")
    support, became = told(np.array([1.234, 5.678, np.nan, 9.87]), column)
    assert np.isnan(became[2]) and len(support) == 1 and support[0, 0] == 6.0
    assert told(np.full(3, np.nan), column)[0].shape == (0, 4)


def test_means_of_neighbours_keep_mean_and_spread():
    x = np.random.default_rng(0).lognormal(size=203)
    y = averaged(x)
    assert y.mean() == pytest.approx(x.mean()) and y.std() == pytest.approx(x.std())
    assert not np.isin(running(x), x).any()
    assert roundest(61, 67) == 65 and 64 < roundest(64, 65) < 65
    low, high = told_range(np.array([0.3, 4.0, 9.7]))
    assert 0 <= low <= 0.3 and 9.7 < high < 12


@pytest.mark.parametrize("generator", ["copula", "cart"])
def test_the_file_does_not_tell_members_and_a_file_that_holds_them_does(generator, tmp_path):
    rng = np.random.default_rng(5)
    n = 240
    table = pd.DataFrame(rng.normal(size=(n, 4)).round(4), columns=list("abcd"))
    table["arm"] = np.tile(["x", "y"], n // 2)
    table["time"], table["event"] = rng.exponential(10, n).round(3) + 0.001, 1

    def trial(rows):
        return ts.Trial(
            table[rows].reset_index(drop=True),
            arm="arm",
            arms=("x", "y"),
            endpoints={"death": ts.TimeToEvent("time", "event")},
            covariates=list("abcd"),
        )

    inside = np.arange(n) < n // 2
    fitted = ts.fit(trial(inside), "death", model="cox", covariate_model=generator)
    columns = ["a", "b", "c", "d", "time"]
    members, others = (table[rows][columns].to_numpy() for rows in (inside, ~inside))
    found = attack_file(fitted.save(tmp_path / "m.npz"), members, others)
    assert found.best < 0.64 and found.alone <= found.alone_of_others + 12
    singles = set(members.ravel().tolist()) - {0.0}
    told_there = [v for v in np.concatenate(numbers_of(tmp_path / "m.npz")) if v in singles]
    assert not told_there
    held = attack_file(write(tmp_path / "held.npz", [*members.T]), members, others)
    assert held.exact > 0.99 and held.alone > 500
