"""Models of the responses still to come in an ongoing trial, with drawn or fixed parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri

from trial_sim.continuation import followed
from trial_sim.design import Design
from trial_sim.ongoing_responses import OngoingResponses
from trial_sim.random_streams import Streams
from trial_sim.scenarios.protocol import OutcomeBatch, PatientBatch
from trial_sim.trial_batch import TrialBatch


@dataclass(frozen=True)
class ResponseModel:
    """Responses by arm: a probability, or a mean with a common standard deviation.

    Attributes:
        kind: ``"binary"`` or ``"continuous"``.
        estimate: (n_arms,) probabilities or means (at the mean baseline).
        slope: of the baseline; 0 without one. sd: residual standard deviation; NaN for binary.
        counts: (n_arms,) known responses.
    """

    kind: str
    estimate: np.ndarray
    slope: float
    sd: float
    counts: np.ndarray
    _coefficients: np.ndarray
    _unscaled: np.ndarray
    _df: int
    _hits: np.ndarray

    def fixed(self, n_draws: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The estimates, n_draws times: (n_draws, n_arms), slopes (n_draws,), sds (n_draws,)."""
        return (
            np.tile(self.estimate, (n_draws, 1)),
            np.full(n_draws, self.slope),
            np.full(n_draws, self.sd),
        )

    def draw(
        self, n_draws: int, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draws of the posterior, shaped as :meth:`fixed`.

        Probabilities from the Jeffreys beta; means and slope from the normal with a scaled inverse
        chi-square variance (flat prior on the means and the log variance).
        """
        if self.kind == "binary":
            a, b = self._hits + 0.5, self.counts - self._hits + 0.5
            rates = random.beta(a, b, (n_draws, len(a)))
            return rates, np.zeros(n_draws), np.full(n_draws, np.nan)
        sd = self.sd * np.sqrt(self._df / random.chisquare(self._df, n_draws))
        root = np.linalg.cholesky(self._unscaled)
        steps = random.normal(size=(n_draws, len(root))) @ root.T
        values = self._coefficients + sd[:, None] * steps
        n_arms = len(self.estimate)
        slope = values[:, n_arms] if values.shape[1] > n_arms else np.zeros(n_draws)
        return values[:, :n_arms], slope, sd


def fit_responses(
    trial: OngoingResponses, kind: str, group: np.ndarray, labels: tuple[str, ...], adjust: bool
) -> ResponseModel:
    """Fit the known responses by group.

    Args:
        group: (n,) index into ``labels``. adjust: whether the mean depends on the baseline.

    Raises:
        ValueError: if a group has no known response, or there are too few for a variance.
    """
    seen = trial.event
    counts = np.bincount(group[seen], minlength=len(labels)).astype(float)
    for label, count in zip(labels, counts):
        if count == 0:
            raise ValueError(f"no response is known yet in arm {label!r}: nothing to predict from")
    y = trial.response[seen]
    hits = np.bincount(group[seen], weights=y, minlength=len(labels))
    if kind == "binary":
        none = np.zeros((0, 0))
        return ResponseModel(kind, hits / counts, 0.0, np.nan, counts, np.zeros(0), none, 0, hits)
    x = (group[seen][:, None] == np.arange(len(labels))).astype(float)
    if adjust:
        assert trial.baseline is not None
        x = np.column_stack([x, trial.baseline[seen] - trial.baseline.mean()])
    df = len(y) - x.shape[1]
    if df < 1:
        raise ValueError(
            f"{len(y)} known responses are too few for {x.shape[1]} means and a standard deviation"
        )
    unscaled = np.linalg.inv(x.T @ x)
    beta = unscaled @ x.T @ y
    sd = float(np.sqrt(((y - x @ beta) ** 2).sum() / df))
    slope = float(beta[len(labels)]) if adjust else 0.0
    return ResponseModel(kind, beta[: len(labels)], slope, sd, counts, beta, unscaled, df, hits)


def baselines(trial: OngoingResponses, streams: Streams, n: int) -> np.ndarray | None:
    """Baselines of everybody, (n_draws, n): those to come are drawn from those who came."""
    if trial.baseline is None:
        return None
    old = len(trial.baseline)
    pick = (streams.uniform("baseline", n) * old).astype(int)
    values = trial.baseline[pick]
    values[:, :old] = trial.baseline
    return values


def continue_responses(
    trial: OngoingResponses,
    design: Design,
    response: np.ndarray,
    baseline: np.ndarray | None,
    leaving: np.ndarray,
    future: np.ndarray,
    arms: np.ndarray,
    streams: Streams,
) -> TrialBatch:
    """The trial carried on to its end, a draw a row, given everybody's (n_draws, n) responses.

    leaving: (n_draws,) rates of dropout before the readout.
    """
    n_draws, n = response.shape
    old = len(trial.enrolment)
    latent = np.full((n_draws, n), float(design.readout))
    lost = streams.exponential("dropout", n) / leaving[:, None]
    lost[:, :old] += trial.time
    lost[:, :old][:, trial.event] = np.inf
    lost[:, :old][:, trial.dropout] = trial.time[trial.dropout]
    outcome = OutcomeBatch(response=np.ascontiguousarray(response), baseline=baseline)
    return followed(trial, design, latent, lost, future, arms, streams, outcome)


def responses_to_come(
    trial: OngoingResponses,
    kind: str,
    parameters: tuple[np.ndarray, np.ndarray, np.ndarray],
    arm: np.ndarray,
    baseline: np.ndarray | None,
    streams: Streams,
) -> np.ndarray:
    """Responses of everybody, (n_draws, n): the known ones kept, the others from the model.

    parameters: as :meth:`ResponseModel.draw`. arm: (n_draws, n) index into its arms.
    """
    level, slope, sd = parameters
    uniform = streams.uniform("response", arm.shape[1])
    centre = np.take_along_axis(level, arm.astype(int), axis=1)
    if kind == "binary":
        response = (uniform < centre).astype(float)
    else:
        if baseline is not None and trial.baseline is not None:
            centre = centre + slope[:, None] * (baseline - trial.baseline.mean())
        response = centre + sd[:, None] * ndtri(uniform)
    response[:, : len(trial.enrolment)][:, trial.event] = trial.response[trial.event]
    return response


def planned_responses(
    trial: OngoingResponses,
    design: Design,
    outcomes: Any,
    kind: str,
    arm: np.ndarray,
    baseline: np.ndarray | None,
    streams: Streams,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Responses and baselines where those not yet known come from the planned scenario.

    Raises:
        TypeError: if the scenario is not of the endpoint's kind.
    """
    if getattr(outcomes, "kind", None) != kind:
        raise TypeError(f"outcomes must be a scenario of {kind} responses, got {outcomes!r}")
    patients = PatientBatch(streams, design.arm_names, arm.astype(np.int8), np.zeros(arm.shape))
    drawn = outcomes.sample(patients)
    kept = np.zeros(arm.shape, bool)
    kept[:, : len(trial.enrolment)] = trial.event
    known = np.zeros(arm.shape)
    known[:, : len(trial.enrolment)] = np.where(trial.event, trial.response, 0.0)
    response = np.where(kept, known, drawn.response)
    if baseline is not None and drawn.baseline is not None:
        # with its response a patient's baseline comes from the scenario, so that they belong
        baseline = np.where(kept, baseline, drawn.baseline)
    return response, baseline
