"""The covariate part of every outcome model: features, interactions with treatment, coefficients.

The treatment itself is not in here: arms are calibrated on the data (see each model), so that
their contrast is never shrunk by the ridge that steadies the covariates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from trial_sim.base.storage import storable
from trial_sim.outcomes.features import FeatureMap

ALIKE = 1e-9  # of the largest variance: axes whose variances differ by less have no sure direction
RIDGE = 1.0  # of standardised features: a normal prior with standard deviation 1
LEVEL_RIDGE = 0.25  # of indicators, whose standard deviation is at most a half


@storable
@dataclass(frozen=True)
class LinearPart:
    """Linear predictors.

    Attributes:
        features: covariates to columns. by: columns that interact with treatment.
        n_arms: arms. coefficients: (R, p) for R predictors (causes, visits, transitions).
        roots: (R, p, p) square roots of their covariances. identity: predictors are means in the
            outcome's own units (else logarithms or logits).
    """

    features: FeatureMap
    by: tuple[int, ...]
    n_arms: int
    coefficients: np.ndarray
    roots: np.ndarray
    identity: bool = False

    @classmethod
    def empty(
        cls, features: FeatureMap, by: Sequence[str], n_arms: int, identity: bool = False
    ) -> LinearPart:
        """Without coefficients yet; ``by`` names covariates that modify the treatment effect."""
        positions = tuple(features.positions(by))
        p = len(features.terms) + len(positions) * max(n_arms - 1, 0)
        return cls(features, positions, n_arms, np.zeros((0, p)), np.zeros((0, p, p)), identity)

    def design(self, codes: np.ndarray, arm: np.ndarray) -> np.ndarray:
        """(n, p): the features, then the interacting ones once for each arm but the control."""
        x = self.features.matrix(codes)
        blocks = [x]
        if self.by:
            part = x[:, list(self.by)]
            blocks += [part * (arm == a)[:, None] for a in range(1, self.n_arms)]
        return np.hstack(blocks)

    def logit_ridge(self) -> np.ndarray:
        """Penalties (p,) for logits, to which a patient tells little: of indicators as if they
        were standardised, too. With `RIDGE` a level of twenty patients in eighty lost a quarter of
        its difference or more."""
        own = [LEVEL_RIDGE if t.kind in ("level", "gap") else RIDGE for t in self.features.terms]
        return np.array(own + [own[j] for j in self.by] * max(self.n_arms - 1, 0))

    def with_fits(self, fits: Sequence[tuple[np.ndarray, np.ndarray]]) -> LinearPart:
        """The part with the coefficients (p,) and covariances (p, p) of each predictor."""
        coefficients = np.stack([b for b, _ in fits])
        roots = np.stack([square_root(v) for _, v in fits])
        return replace(self, coefficients=coefficients, roots=roots)

    def draw(self, rng: np.random.Generator | None) -> np.ndarray:
        """Coefficients (R, p), estimated or drawn from their normal law."""
        if rng is None:
            return self.coefficients
        z = rng.standard_normal(self.coefficients.shape)
        return self.coefficients + np.einsum("rij,rj->ri", self.roots, z)

    def predictors(
        self, codes: np.ndarray, arm: np.ndarray, coefficients: np.ndarray
    ) -> np.ndarray:
        """(n, R) linear predictors; logarithms and logits are clipped to ±8, so that an extreme
        draw stays finite, and means in the outcome's units are not clipped."""
        eta = self.design(codes, arm) @ coefficients.T
        return eta if self.identity else np.clip(eta, -8, 8)

    def by_arm(self, codes: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        """(A, n, R): the predictors of the same patients in each arm."""
        one = np.ones(len(codes), dtype=int)
        if not self.by:
            same = self.predictors(codes, 0 * one, coefficients)
            return np.broadcast_to(same, (self.n_arms, *same.shape))
        return np.stack([self.predictors(codes, a * one, coefficients) for a in range(self.n_arms)])


def square_root(covariance: np.ndarray) -> np.ndarray:
    """A square root (p, p): of the principal axes, or the symmetric one where two of them are as
    long as each other (as of two terms that no data speak of), whose directions would turn with the
    last digit of the data."""
    if covariance.size == 0:
        return covariance
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    root = vectors * np.sqrt(np.maximum(values, 0))
    alike = (np.diff(values) < ALIKE * values[-1]).any()
    return root @ vectors.T if alike else root


def arm_indicators(arm: np.ndarray, n_arms: int) -> np.ndarray:
    """(n, A) float: one column an arm."""
    return (arm[:, None] == np.arange(n_arms)).astype(float)
