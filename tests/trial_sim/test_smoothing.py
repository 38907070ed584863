"""Smoothed leaves: the margin and what others determine stay, patients' own values do not."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp

from trial_sim.covariates.cart import PRUNE, grow
from trial_sim.covariates.encoding import shared, told
from trial_sim.covariates.smoothing import leaf_scores, smoothed, told_scores
from trial_sim.data.schema import describe_column


def test_a_skewed_margin_with_a_spike_is_kept_within_each_leaf():
    rng = np.random.default_rng(1)
    group = np.repeat([0.0, 1.0], 200)
    x = np.round(rng.exponential(1 + 5 * group, 400), 1)
    x[(group == 1) & (x < 2)] = 2.0  # a spike, and a gap below it in the second group
    support, became = told(x, describe_column(pd.Series(x, name="x"), None))
    tree = grow(group[:, None], became, False, 20, PRUNE, 0)
    tree = replace(tree, values=told_scores(tree, support))
    scores = leaf_scores(tree, support)
    spikes = []
    for g in (0.0, 1.0):
        leaf = tree.leaves(np.full((8000, 1), g))
        drawn, _ = tree.draw(leaf, np.ones(400), rng)
        made = smoothed(drawn, leaf, scores, support, rng)
        assert ks_2samp(made, x[group == g], method="asymp").statistic < 0.1
        assert x[group == g].min() <= made.min() and made.max() <= x[group == g].max()
        spikes.append((made == 2.0).mean())
    assert np.mean(spikes) == pytest.approx((x == 2.0).mean(), abs=0.06)


def test_splits_that_only_fit_noise_are_pruned():
    rng = np.random.default_rng(2)
    noise, targets = (
        rng.normal(size=(300, 4)),
        (rng.normal(size=300), rng.integers(0, 2, 300) * 1.0),
    )

    def leaves(prune):
        kinds = zip(targets, (False, True))
        return [(grow(noise, y, classify, 10, prune, 0).left < 0).sum() for y, classify in kinds]

    assert len(grow(noise, (noise[:, 0] > 0) + 0.3 * targets[0], False, 10, PRUNE, 0).left) >= 3
    assert all(few <= many / 3 for few, many in zip(leaves(PRUNE), leaves(0.0)))


def test_spikes_and_common_values_may_be_given_back_and_the_run_of_the_data_may_not():
    counts = np.array([1, 2, 1, 9, 2, 1, 3, 2, 3, 2, 40, 41, 42])
    assert shared(counts).tolist() == [*[False] * 3, True, *[False] * 6, *[True] * 3]
