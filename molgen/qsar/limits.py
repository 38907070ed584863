"""Values known only as a limit (">10000"), made usable for any learner.

As in a Tobit model the error around the expectation is taken as normal. The expectation of each
molecule is that of a random forest over the trees that did not see it; a limit then becomes the
mean of the part of that normal which lies beyond it (the expectation step of Buckley and James,
Biometrika 66:429, 1979), and the forest is fitted once more with these.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from molgen.qsar.features import FEATURES, compute_features
from molgen.qsar.learners import varies

_ROUNDS = 3


def expected_values(
    smiles: Sequence[str], x: np.ndarray, y: np.ndarray, relations: np.ndarray, seed: int
) -> np.ndarray:
    """(n,) values to learn from: ``y``, with limits replaced by what is expected beyond them.

    Args:
        smiles: The n molecules.
        x: (n, n_features); (n, 0) where the learner reads the molecules themselves.
        y: (n,) values and limits.
        relations: (n,) "=", ">" (the true value lies above) or "<".
        seed: Random seed of the forests.
    """
    bounded = relations != "="
    if not bounded.any():
        return y
    from scipy.stats import norm
    from sklearn.ensemble import RandomForestRegressor

    if not x.shape[1]:
        x = compute_features(smiles, FEATURES)
    x = x[:, varies(x, 3)]
    side = np.where(relations[bounded] == ">", 1.0, -1.0)
    limit = y[bounded]
    targets = y.copy()
    for _ in range(_ROUNDS):
        forest = RandomForestRegressor(
            n_estimators=100, max_features=0.33, oob_score=True, random_state=seed, n_jobs=1
        ).fit(x, targets)
        mean = forest.oob_prediction_
        sigma = float(max(np.sqrt(np.mean((y - mean)[~bounded] ** 2)), 1e-9))
        distance = side * (limit - mean[bounded]) / sigma
        hazard = np.exp(norm.logpdf(distance) - norm.logsf(distance))
        beyond = mean[bounded] + side * sigma * hazard
        targets[bounded] = np.where(side > 0, np.maximum(beyond, limit), np.minimum(beyond, limit))
    return targets
