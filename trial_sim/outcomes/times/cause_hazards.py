"""Time to event and competing risks from cause-specific hazards on an arm x interval grid.

The covariate part is a Cox regression stratified by arm, one a cause. Baselines are

- ``by_arm``: each arm its own (nothing is assumed of the treatment effect over time);
- ``proportional``: one shape, times exp(treatment), fitted without penalty to the margins.

Censoring has hazards of its own by arm, and depends on covariates where they clearly matter (as
where patients who came late were followed for less time).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from trial_sim.base.storage import storable
from trial_sim.outcomes.base import FitData
from trial_sim.outcomes.data_cutoff import DataCutoff
from trial_sim.outcomes.hazard_grid import (
    EACH,
    HazardGrid,
    choose_knots,
    conditional_hazards,
    invert,
    midpoints,
    resolution_of,
)
from trial_sim.outcomes.linear import RIDGE, LinearPart
from trial_sim.outcomes.times.cox import fit_cox
from trial_sim.statistics.arm_differences import log_hazard_ratio

FEW_EVENTS = 5
SCORE_BINS = 5
CLEAR = 1e-3


class HazardParameters(NamedTuple):
    """One set of parameters.

    Attributes:
        coefficients: (C, p). hazards: (A, K, C) of a patient with relative risk 1.
        tail: (A, C) hazards beyond the last knot (0: none). censoring: (A, K').
        acts_as: (A,) the arm whose interactions each arm uses.
        censor_coefficients: (1, p) of the censoring hazard, or None.
    """

    coefficients: np.ndarray
    hazards: np.ndarray
    tail: np.ndarray
    censoring: np.ndarray
    acts_as: np.ndarray
    censor_coefficients: np.ndarray | None = None


@storable
@dataclass(frozen=True)
class HazardModel:
    """Fitted cause-specific hazards (one cause: ordinary survival)."""

    name: str
    columns: tuple[str, str]
    unit: float
    proportional: bool
    linear: LinearPart
    events: HazardGrid
    censored: HazardGrid
    nudge: np.ndarray
    reference: np.ndarray
    score_edges: np.ndarray
    tail: str
    notes: tuple[str, ...]
    censor_part: LinearPart | None = None
    cutoff: DataCutoff | None = None

    @classmethod
    def fit(
        cls,
        data: FitData,
        name: str,
        proportional: bool,
        most_knots: int = 40,
        each: int | None = None,
    ) -> HazardModel:
        """Fit to a `TimeToEvent` or `CompetingRisks` endpoint.

        Args:
            each: events an interval over all arms; by default `EACH` where arms share a shape, and
                as many in every arm where they do not.
        """
        duration, cause = data.endpoint.columns
        recorded = data.patients[duration].to_numpy(dtype=float)
        causes = data.patients[cause].to_numpy(dtype=float).astype(int)
        if causes.max() == 0:
            raise ValueError(f"column {cause!r} holds no event in any arm; there is nothing to fit")
        unit = resolution_of(recorded)
        times = midpoints(recorded, unit)
        n_causes = max(int(causes.max()), 1)
        notes = list(data.features.notes)
        notes += event_notes(causes, data.arm, data.schema.arms, n_causes)
        fits = []
        linear = LinearPart.empty(data.features, data.by, data.n_arms)
        design = linear.design(data.codes, data.arm)
        for c in range(1, n_causes + 1):
            fit = fit_cox(times, causes == c, design, strata=data.arm, ridge=RIDGE)
            fits.append((fit.coefficients, fit.covariance))
        by_arm = each or EACH * data.n_arms
        knots = choose_knots(
            recorded, causes > 0, unit, most=most_knots, each=EACH if proportional else by_arm
        )
        events = HazardGrid.build(times, causes, data.arm, data.n_arms, n_causes, knots)
        gone = data.dropped_out(causes == 0)
        c_knots = choose_knots(recorded, gone, unit, each=by_arm)
        censored = HazardGrid.build(times, gone, data.arm, data.n_arms, 1, c_knots)
        return cls(
            name,
            (duration, cause),
            unit,
            proportional,
            linear.with_fits(fits),
            events,
            censored,
            nudges(events, causes, recorded, data) if proportional else np.zeros((data.n_arms, 1)),
            data.reference,
            choose_knots(recorded, causes > 0, unit, most=SCORE_BINS),
            data.tail,
            tuple(notes),
            censor_covariates(data, times, gone),
            data.cutoff,
        )

    def marginal(self, rng: np.random.Generator | None) -> np.ndarray:
        """Marginal hazards (A, K, C)."""
        hazards = self.events.hazards(rng)
        if not self.proportional:
            return hazards
        counts = hazards * self.events.exposure[:, :, None]
        return (
            np.stack(
                [
                    shared_shape(counts[..., c], self.events.exposure)
                    for c in range(hazards.shape[2])
                ],
                axis=2,
            )
            * np.exp(self.nudge)[:, None, :]
        )

    def draw(self, rng: np.random.Generator | None) -> HazardParameters:
        """Estimates, or one draw: normal coefficients, gamma hazards."""
        coefficients = self.linear.draw(rng)
        risks = np.exp(self.linear.by_arm(self.reference, coefficients))
        marginal = self.marginal(rng)
        hazards = conditional_hazards(marginal, self.events.widths, risks)
        censoring, effects = self.draw_censoring(rng)
        return HazardParameters(
            coefficients,
            hazards,
            self._tail(hazards),
            censoring,
            np.arange(len(hazards)),
            effects,
        )

    def draw_censoring(
        self, rng: np.random.Generator | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Censoring hazards (A, K') and the coefficients of the covariates, if they matter."""
        marginal = self.censored.hazards(rng)
        if self.censor_part is None:
            return marginal[:, :, 0], None
        coefficients = self.censor_part.draw(rng)
        risks = np.exp(self.censor_part.by_arm(self.reference, coefficients))
        return conditional_hazards(marginal, self.censored.widths, risks)[:, :, 0], coefficients

    def end_of_follow_up(
        self, codes: np.ndarray, arm: np.ndarray, rng: np.random.Generator, p: HazardParameters
    ) -> np.ndarray:
        """Censoring times (n,)."""
        risk = None
        if self.censor_part is not None and p.censor_coefficients is not None:
            inside = np.minimum(arm, self.censor_part.n_arms - 1)
            risk = np.exp(self.censor_part.predictors(codes, inside, p.censor_coefficients))[:, 0]
        return censoring_times(
            rng, arm, self.censored.knots, p.censoring, risk, cut_off(self.cutoff, codes)
        )

    def _tail(self, hazards: np.ndarray) -> np.ndarray:
        """Hazards beyond the last knot: none, or those of the last third of the follow-up."""
        n_arms, _, n_causes = hazards.shape
        if self.tail == "horizon":
            return np.zeros((n_arms, n_causes))
        late = self.events.knots[1:] > self.events.knots[-1] * 2 / 3
        width = self.events.widths[late]
        return (hazards[:, late] * width[:, None]).sum(axis=1) / width.sum()

    def override(
        self, parameters: HazardParameters, effects: Mapping[int, float]
    ) -> HazardParameters:
        """Give arm ``a`` the control's hazard of the first cause times ``effects[a]``."""
        hazards, tail = parameters.hazards.copy(), parameters.tail.copy()
        acts_as = parameters.acts_as.copy()
        for a, ratio in effects.items():
            hazards[a], tail[a] = hazards[0], tail[0]
            hazards[a, :, 0] *= ratio
            tail[a, 0] *= ratio
            acts_as[a] = 0
        return parameters._replace(hazards=hazards, tail=tail, acts_as=acts_as)

    def latent(
        self, codes: np.ndarray, arm: np.ndarray, exponential: np.ndarray, p: HazardParameters
    ) -> tuple[np.ndarray, np.ndarray]:
        """Uncensored times (n,) and causes (n,) from unit exponentials (n, C)."""
        risk = np.exp(self.linear.predictors(codes, p.acts_as[arm], p.coefficients))
        return self.latent_from_risk(risk, arm, exponential, p)

    def latent_from_risk(
        self, risk: np.ndarray, arm: np.ndarray, exponential: np.ndarray, p: HazardParameters
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `latent`, from relative risks (n, C) in place of covariates."""
        knots = self.events.knots
        times = np.empty_like(risk)
        for c in range(risk.shape[1]):
            scaled = exponential[:, c] / risk[:, c]
            times[:, c] = invert(scaled, arm, knots, p.hazards[:, :, c])
            if self.tail != "horizon":
                total = (p.hazards[:, :, c] * self.events.widths).sum(axis=1)
                beyond = np.isinf(times[:, c]) & (p.tail[arm, c] > 0)
                extra = (scaled - total[arm])[beyond] / p.tail[arm, c][beyond]
                times[beyond, c] = knots[-1] + extra
        if risk.shape[1] == 1:
            return times[:, 0], np.ones(len(arm), dtype=int)
        first = times.argmin(axis=1)
        return times[np.arange(len(arm)), first], first + 1

    def sample(
        self, codes: np.ndarray, arm: np.ndarray, rng: np.random.Generator, parameters: Any
    ) -> dict[str, np.ndarray]:
        """Observed duration and cause (0: censored)."""
        n = len(codes)
        exponential = rng.standard_exponential((n, parameters.hazards.shape[2]))
        time, cause = self.latent(codes, arm, exponential, parameters)
        end = self.end_of_follow_up(codes, arm, rng, parameters)
        seen = time <= end
        observed = np.where(seen, time, end)
        if self.unit:
            observed = np.round(np.ceil(observed / self.unit - 1e-9) * self.unit, 6)
        return {self.columns[0]: observed, self.columns[1]: np.where(seen, cause, 0)}

    def log_likelihood(self, patients: Any, codes: np.ndarray, arm: np.ndarray) -> np.ndarray:
        """Log probability (n,) of what was seen: the fifth of the follow-up in which the event of
        that cause fell, or survival to the censoring time."""
        p = self.draw(None)
        duration, cause = (patients[c].to_numpy(dtype=float) for c in self.columns)
        knots, edges = self.events.knots, self.score_edges
        time = np.minimum(midpoints(duration, self.unit), min(knots[-1], edges[-1]))
        risk = np.exp(self.linear.predictors(codes, p.acts_as[arm], p.coefficients))
        steps = np.cumsum(p.hazards * self.events.widths[:, None], axis=1)
        total = np.concatenate([np.zeros_like(steps[:, :1]), steps], axis=1)  # (A, K + 1, C)
        bins = np.clip(np.searchsorted(edges, time) - 1, 0, len(edges) - 2)
        here, low, high = (
            interpolated(at, knots, total, arm) for at in (time, edges[bins], edges[bins + 1])
        )
        gain = risk * (high - low)
        dies = np.exp(-(risk * low).sum(axis=1)) * -np.expm1(-gain.sum(axis=1))
        of = np.take_along_axis(gain, np.maximum(cause.astype(int) - 1, 0)[:, None], axis=1)[:, 0]
        chance = dies * of / np.maximum(gain.sum(axis=1), 1e-300)
        return np.where(cause > 0, np.log(np.maximum(chance, 1e-3)), -(risk * here).sum(axis=1))


def interpolated(
    times: np.ndarray, knots: np.ndarray, total: np.ndarray, arm: np.ndarray
) -> np.ndarray:
    """Cumulative hazards (n, C) at ``times`` of the patient's arm, from ``total`` (A, K + 1, C)."""
    place = np.clip(np.searchsorted(knots, times) - 1, 0, len(knots) - 2)
    share = ((times - knots[place]) / (knots[place + 1] - knots[place]))[:, None]
    return total[arm, place] + share * (total[arm, place + 1] - total[arm, place])


def censor_covariates(data: FitData, times: np.ndarray, gone: np.ndarray) -> LinearPart | None:
    """The covariate part of the censoring hazard, or None where a likelihood-ratio test does not
    clearly find one (p above `CLEAR`): censoring at the end of a trial mostly depends on none."""
    from scipy.stats import chi2

    linear = LinearPart.empty(data.features, (), data.n_arms)
    design = linear.design(data.codes, data.arm)
    p = design.shape[1]
    if p == 0 or gone.sum() < 2 * p:
        return None
    found = fit_cox(times, gone, design, strata=data.arm, ridge=RIDGE)
    none = fit_cox(times, gone, design, strata=data.arm, ridge=1e9)
    gain = 2 * (found.log_likelihood - none.log_likelihood)
    if chi2.sf(max(gain, 0.0), p) > CLEAR:
        return None
    return linear.with_fits([(found.coefficients, found.covariance)])


def censoring_times(
    rng: np.random.Generator,
    arm: np.ndarray,
    knots: np.ndarray,
    hazards: np.ndarray,
    risk: np.ndarray | None = None,
    longest: np.ndarray | None = None,
) -> np.ndarray:
    """End of follow-up (n,), with relative risks ``risk`` (n,) of censoring if given; those left
    at the horizon end within the last interval, or at their ``longest`` (n,) follow-up."""
    exponential = rng.standard_exponential(len(arm))
    end = invert(exponential if risk is None else exponential / risk, arm, knots, hazards)
    spread = knots[-1] - rng.random(len(arm)) * (knots[-1] - knots[-2])
    if longest is not None:
        return np.minimum(np.minimum(end, longest), knots[-1])
    return np.where(np.isinf(end), spread, end)


def cut_off(cutoff: DataCutoff | None, codes: np.ndarray) -> np.ndarray | None:
    """Longest follow-up (n,) of the patients, or None without a cutoff."""
    return None if cutoff is None else cutoff.longest(codes)


def shared_shape(counts: np.ndarray, exposure: np.ndarray) -> np.ndarray:
    """Hazards (A, K) of one shape and a factor an arm, by Poisson maximum likelihood.

    Args:
        counts, exposure: (A, K).
    """
    factor = np.ones(len(counts))
    totals = counts.sum(axis=1)
    for _ in range(200):
        weight = factor @ exposure
        shape = np.divide(counts.sum(axis=0), weight, out=np.zeros(len(weight)), where=weight > 0)
        base = exposure @ shape
        new = np.divide(totals, base, out=np.zeros(len(base)), where=base > 0)
        if np.allclose(new, factor, rtol=1e-10):
            break
        factor = new
    return factor[:, None] * shape


def nudges(events: HazardGrid, causes: np.ndarray, times: np.ndarray, data: FitData) -> np.ndarray:
    """Log factors (A, C) from the Poisson to the Cox estimate of each arm against the control.

    They differ where hazards are not proportional; the Cox estimate is the one to give back.
    """
    out = np.zeros((data.n_arms, events.counts.shape[2]))
    for c in range(out.shape[1]):
        hazards = shared_shape(events.counts[..., c], events.exposure)
        for a in range(1, data.n_arms):
            pair = (data.arm == 0) | (data.arm == a)
            cox, _ = log_hazard_ratio(times[pair], causes[pair] == c + 1, data.arm[pair] == a)
            if np.isfinite(cox):
                top = int(hazards[0].argmax())
                out[a, c] = cox - np.log(hazards[a, top] / hazards[0, top])
    return out


def event_notes(
    causes: np.ndarray, arm: np.ndarray, arms: tuple[Any, ...], n_causes: int
) -> list[str]:
    """What to say of arms with no or few events."""
    notes = []
    for a in range(max(len(arms), 1)):
        label = arms[a] if arms else "the cohort"
        for c in range(1, n_causes + 1):
            seen = int(((causes == c) & (arm == a)).sum())
            of = f" of cause {c}" if n_causes > 1 else ""
            if seen == 0:
                notes.append(
                    f"arm {label!r} has no event{of}: its hazard is zero, and parameter "
                    "draws allow for half an event in the shape of the other arms"
                )
            elif seen < FEW_EVENTS:
                notes.append(f"arm {label!r} has only {seen} event(s){of}")
    return notes
