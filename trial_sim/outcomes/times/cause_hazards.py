"""Time to event and competing risks from cause-specific hazards on an arm x interval grid.

The covariate part is a Cox regression stratified by arm, one a cause. Baselines are

- ``by_arm``: each arm its own (nothing is assumed of the treatment effect over time);
- ``proportional``: one shape, times exp(treatment), fitted without penalty to the margins.

The end of follow-up has a model of its own (see `follow_up`). Patients who come under observation
late (delayed entry) are at risk from then on, in the fit and in what is sampled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from trial_sim.base.storage import storable
from trial_sim.outcomes.base import FitData
from trial_sim.outcomes.delayed_entry import DelayedEntry
from trial_sim.outcomes.hazard_grid import (
    EACH,
    HazardGrid,
    choose_knots,
    conditional_hazards,
    cumulative_at,
    cumulative_at_knots,
    invert,
    midpoints,
    resolution_of,
)
from trial_sim.outcomes.linear import RIDGE, LinearPart
from trial_sim.outcomes.times.cox import fit_cox
from trial_sim.outcomes.times.follow_up import (
    FollowUp,
    FollowUpParameters,
    followed_times,
    later_than,
    near,
)
from trial_sim.statistics.arm_differences import log_hazard_ratio

FEW_EVENTS = 5
SCORE_BINS = 5


class HazardParameters(NamedTuple):
    """One set of parameters.

    Attributes:
        coefficients: (C, p). hazards: (A, K, C) of a patient with relative risk 1.
        tail: (A, C) hazards beyond the last knot (0: none). censoring: of the follow-up.
        acts_as: (A,) the arm whose interactions each arm uses.
    """

    coefficients: np.ndarray
    hazards: np.ndarray
    tail: np.ndarray
    censoring: FollowUpParameters
    acts_as: np.ndarray


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
    follow_up: FollowUp
    nudge: np.ndarray
    reference: np.ndarray
    score_edges: np.ndarray
    tail: str
    notes: tuple[str, ...]
    entry: DelayedEntry | None = None

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
        entry = data.delayed_entry()
        start = None if entry is None else entry.times(data.codes)
        by_arm = each or EACH * data.n_arms
        gone = data.dropped_out(causes == 0)
        follow_up = FollowUp.fit(data, recorded, causes > 0, gone, unit, by_arm, start)
        at_end = (gone > 0) & near(recorded, follow_up.ends)
        times = later_than(followed_times(recorded, unit, at_end), start)
        n_causes = max(int(causes.max()), 1)
        notes = list(data.features.notes)
        notes += event_notes(causes, data.arm, data.schema.arms, n_causes)
        tail, said = tail_of(data.tail, causes)
        notes += said
        fits = []
        linear = LinearPart.empty(data.features, data.by, data.n_arms)
        design = linear.design(data.codes, data.arm)
        for c in range(1, n_causes + 1):
            fit = fit_cox(times, causes == c, design, strata=data.arm, ridge=RIDGE, entry=start)
            fits.append((fit.coefficients, fit.covariance))
        knots = choose_knots(
            recorded, causes > 0, unit, most=most_knots, each=EACH if proportional else by_arm
        )
        events = HazardGrid.build(times, causes, data.arm, data.n_arms, n_causes, knots, start)
        moved = nudges(events, causes, recorded, data, start)
        return cls(
            name,
            (duration, cause),
            unit,
            proportional,
            linear.with_fits(fits),
            events,
            follow_up,
            moved if proportional else np.zeros((data.n_arms, 1)),
            data.reference,
            choose_knots(recorded, causes > 0, unit, most=SCORE_BINS),
            tail,
            tuple(notes),
            entry,
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
        hazards = conditional_hazards(
            marginal, self.events.widths, risks, self.enters(self.reference)
        )
        return HazardParameters(
            coefficients,
            hazards,
            self._tail(hazards),
            self.follow_up.draw(rng, self.reference),
            np.arange(len(hazards)),
        )

    def enters(self, codes: np.ndarray) -> np.ndarray | None:
        """Interval (n,) in which each patient comes under observation; None: all in the first."""
        if self.entry is None:
            return None
        place = np.searchsorted(self.events.knots, self.entry.times(codes), side="right") - 1
        return np.clip(place, 0, len(self.events.widths) - 1)

    def _tail(self, hazards: np.ndarray) -> np.ndarray:
        """Hazards beyond the last knot: none, or those of the last third of the follow-up
        (of all of it, for an arm without events there)."""
        n_arms, _, n_causes = hazards.shape
        if self.tail == "horizon":
            return np.zeros((n_arms, n_causes))
        late = self.events.knots[1:] > self.events.knots[-1] * 2 / 3
        width = self.events.widths[late]
        last = (hazards[:, late] * width[:, None]).sum(axis=1) / width.sum()
        whole = np.einsum("akc,k->ac", hazards, self.events.widths) / self.events.knots[-1]
        return np.where(last.sum(axis=1, keepdims=True) > 0, last, whole)

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
        if self.entry is not None:
            start, knots = self.entry.times(codes), self.events.knots
            spent = [
                cumulative_at(start, arm, knots, p.hazards[:, :, c]) for c in range(risk.shape[1])
            ]
            exponential = exponential + risk * np.column_stack(spent)
        return self.latent_from_risk(risk, arm, exponential, p)

    def spent(
        self, codes: np.ndarray, arm: np.ndarray, times: np.ndarray, p: HazardParameters
    ) -> np.ndarray:
        """Cumulative hazards (n, C) of each patient at ``times`` (n,)."""
        risk = np.exp(self.linear.predictors(codes, p.acts_as[arm], p.coefficients))
        total = cumulative_at_knots(p.hazards, self.events.widths)
        knots = self.events.knots
        return risk * interpolated(np.minimum(times, knots[-1]), knots, total, arm)

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
        start = None if self.entry is None else self.entry.times(codes)
        end = self.follow_up.times(codes, arm, rng, parameters.censoring, start)
        observed, seen = self.follow_up.observed(time, end, self.unit, start)
        return {self.columns[0]: observed, self.columns[1]: np.where(seen, cause, 0)}

    def log_likelihood(self, patients: Any, codes: np.ndarray, arm: np.ndarray) -> np.ndarray:
        """Log probability (n,) of what was seen: the fifth of the follow-up in which the event of
        that cause fell, or survival to the censoring time."""
        p = self.draw(None)
        duration, cause = (patients[c].to_numpy(dtype=float) for c in self.columns)
        knots, edges = self.events.knots, self.score_edges
        time = np.minimum(midpoints(duration, self.unit), min(knots[-1], edges[-1]))
        risk = np.exp(self.linear.predictors(codes, p.acts_as[arm], p.coefficients))
        total = cumulative_at_knots(p.hazards, self.events.widths)
        bins = np.clip(np.searchsorted(edges, time) - 1, 0, len(edges) - 2)
        here, low, high = (
            interpolated(at, knots, total, arm) for at in (time, edges[bins], edges[bins + 1])
        )
        gain = risk * (high - low)
        dies = np.exp(-(risk * low).sum(axis=1)) * -np.expm1(-gain.sum(axis=1))
        of = np.take_along_axis(gain, np.maximum(cause.astype(int) - 1, 0)[:, None], axis=1)[:, 0]
        chance = dies * of / np.maximum(gain.sum(axis=1), 1e-300)
        before = np.zeros(len(arm))  # survival to the entry, given which a patient is seen
        if self.entry is not None:
            start = np.minimum(self.entry.times(codes), knots[-1])
            before = (risk * interpolated(start, knots, total, arm)).sum(axis=1)
            chance = chance * np.exp(np.minimum(before, (risk * low).sum(axis=1)))
        return np.where(
            cause > 0, np.log(np.maximum(chance, 1e-3)), before - (risk * here).sum(axis=1)
        )


def interpolated(
    times: np.ndarray, knots: np.ndarray, total: np.ndarray, arm: np.ndarray
) -> np.ndarray:
    """Cumulative hazards (n, C) at ``times`` of the patient's arm, from ``total`` (A, K + 1, C)."""
    place = np.clip(np.searchsorted(knots, times) - 1, 0, len(knots) - 2)
    share = ((times - knots[place]) / (knots[place + 1] - knots[place]))[:, None]
    return total[arm, place] + share * (total[arm, place + 1] - total[arm, place])


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


def tail_of(tail: str, causes: np.ndarray) -> tuple[str, list[str]]:
    """The policy beyond the last event, and what to say: where nobody is censored, patients are
    followed to their event, however late."""
    if (causes == 0).any() or tail == "parametric":
        return tail, []
    said = "nobody is censored: the hazards of the last third go on until the event"
    return "parametric", [said]


def nudges(
    events: HazardGrid,
    causes: np.ndarray,
    times: np.ndarray,
    data: FitData,
    start: np.ndarray | None = None,
) -> np.ndarray:
    """Log factors (A, C) from the Poisson to the Cox estimate of each arm against the control.

    They differ where hazards are not proportional; the Cox estimate is the one to give back.
    """
    out = np.zeros((data.n_arms, events.counts.shape[2]))
    for c in range(out.shape[1]):
        hazards = shared_shape(events.counts[..., c], events.exposure)
        for a in range(1, data.n_arms):
            pair = (data.arm == 0) | (data.arm == a)
            cox, _ = log_hazard_ratio(
                times[pair],
                causes[pair] == c + 1,
                data.arm[pair] == a,
                None if start is None else start[pair],
            )
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
