"""A surrogate of the score, which ranks the molecules that a search has not scored yet.

The surrogate (``molgen.qsar.gaussian_process``) is fitted anew each generation, to the best calls
and a fixed random share of the others, so that most of its similarities are known from the
generation before.
"""

from __future__ import annotations

import numpy as np

from molgen.optimization.oracle import Oracle
from molgen.optimization.settings import SearchSettings
from molgen.qsar.gaussian_process import (
    Features,
    Overlaps,
    Settings,
    Surrogate,
    choose_settings,
    concatenate,
    featurize,
)


class Ranker:
    """Predictions from an oracle's history.

    Args:
        oracle: Whose calls are learned from.
        settings: Sizes of the training set.
        seed: Random seed of the choice of training molecules.
    """

    def __init__(self, oracle: Oracle, settings: SearchSettings, seed: int) -> None:
        self.oracle = oracle
        self.settings = settings
        self.seed = seed
        self._features: list[Features] = []
        self._overlaps = Overlaps()
        self._chosen: tuple[int, Settings] | None = None
        self._surrogate: Surrogate | None = None

    @property
    def flat(self) -> bool:
        """True while all scores are the same, and there is nothing to learn."""
        scores = self.oracle.scores
        return float(scores.max() - scores.min()) < 1e-9

    def fit(self) -> None:
        """Learn from all calls so far."""
        done = sum(len(part) for part in self._features)
        if done < self.oracle.used:
            new = [call.smiles for call in self.oracle.history[done : self.oracle.used]]
            self._features = [concatenate([*self._features, featurize(new)])]
        features, scores = self._features[0], self.oracle.scores
        order = np.argsort(-scores, kind="stable")
        best, others = order[: self.settings.train_best], order[self.settings.train_best :]
        if len(others) > self.settings.train_other:
            # Which calls are kept is drawn once a call: most stay from one fit to the next.
            lots = np.random.default_rng(np.random.SeedSequence([self.seed, 5])).random(len(scores))
            others = others[np.argsort(lots[others])[: self.settings.train_other]]
        chosen = np.concatenate([best, others])
        self._surrogate = Surrogate(
            features.rows(chosen),
            scores[chosen],
            self._hyper_parameters(features, scores),
            self._overlaps.of(features, chosen),
        )

    def predict(self, features: Features) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation, (n,) float64 each, on the surrogate's scale."""
        assert self._surrogate is not None  # fit comes first
        return self._surrogate.predict(features)

    def _hyper_parameters(self, features: Features, scores: np.ndarray) -> Settings:
        """Chosen anew at milestones, from the calls before the milestone alone."""
        milestone = 150 if self.oracle.used < 600 else 600
        stage = max(self.oracle.used // milestone * milestone, self.settings.n_initial)
        stage = min(stage, self.oracle.used)
        if self._chosen is None or self._chosen[0] != stage:
            rng = np.random.default_rng(np.random.SeedSequence([self.seed, stage, 3]))
            order = np.argsort(-scores[:stage], kind="stable")
            if len(order) > 260:
                others = rng.choice(order[160:], 100, replace=False)
                order = np.concatenate([order[:160], others])
            self._chosen = (stage, choose_settings(features.rows(order), scores[order]))
        return self._chosen[1]
