"""Competing risks by Fine and Gray's model (1999): covariates act on the cumulative incidence.

Cause 1 has ``F1(t | x) = 1 - exp(-H1(t) exp(x b))``; a patient who does not get it within the
horizon gets cause 2 at a time with ``1 - exp(-K(t) exp(x c))``. Baselines are calibrated, arm by
arm, to the Aalen-Johansen curves of the arm x interval counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from trial_sim.base.storage import storable
from trial_sim.outcomes.base import FitData
from trial_sim.outcomes.hazard_grid import (
    conditional_hazards,
    cumulative_at_knots,
    invert,
    midpoints,
    recorded_up,
)
from trial_sim.outcomes.linear import RIDGE, LinearPart
from trial_sim.outcomes.times.cause_hazards import HazardModel, HazardParameters, interpolated
from trial_sim.outcomes.times.cox import fit_cox
from trial_sim.outcomes.times.follow_up import FollowUp

_STEEP, _PARTS = 0.3, 8  # cumulative hazard above which an interval has so many slopes


def censoring_survival(time: np.ndarray, cause: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Kaplan-Meier of the censoring time just before ``at`` (events come first at a tie).

    ``statistics.kaplan_meier`` has ties the other way round.
    """
    times = np.unique(time[cause == 0])
    risk = np.array([(time >= t).sum() - ((time == t) & (cause > 0)).sum() for t in times])
    gone = np.array([((time == t) & (cause == 0)).sum() for t in times])
    steps = np.concatenate([[1.0], np.cumprod(1 - gone / np.maximum(risk, 1))])
    return steps[np.searchsorted(times, at, side="left")]


def fine_gray_rows(
    time: np.ndarray, cause: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Counting-process rows in which patients with a competing event stay at risk, weighted.

    Returns:
        patient index, entry, stop, event (of cause 1) and weight ``G(stop-) / G(time-)`` of each
        row; the first n rows are the patients themselves.
    """
    n = len(time)
    events = np.unique(time[cause == 1])
    before = np.concatenate([[0.0], events[:-1]]) if len(events) else events
    g_events = censoring_survival(time, cause, events)
    # from before time 0, at which an event may be
    who, entry, stop, weight = [np.arange(n)], [np.full(n, -np.inf)], [time], [np.ones(n)]
    own = censoring_survival(time, cause, time)
    for i in np.flatnonzero(cause > 1):
        later = events > time[i]
        who.append(np.full(later.sum(), i))
        entry.append(np.maximum(before[later], time[i]))
        stop.append(events[later])
        weight.append(g_events[later] / max(own[i], 1e-12))
    index = np.concatenate(who)
    seen = np.zeros(len(index))
    seen[:n] = cause == 1
    return index, np.concatenate(entry), np.concatenate(stop), seen, np.concatenate(weight)


@storable
@dataclass(frozen=True)
class FineGrayModel:
    """Fitted cumulative incidences; ``base`` holds counts, censoring and calibration."""

    name: str
    base: HazardModel
    linear: LinearPart
    notes: tuple[str, ...]

    @property
    def events(self) -> Any:
        """Counts and person-time."""
        return self.base.events

    @property
    def follow_up(self) -> FollowUp:
        """The end of follow-up."""
        return self.base.follow_up

    @cached_property
    def grid(self) -> tuple[np.ndarray, np.ndarray]:
        """Knots (K' + 1,) of the slopes, and of which interval of the counts each is a part (K',).

        Where half of an arm or so leave within an interval, incidences bend: many of them early,
        few late. One slope would spread them evenly.
        """
        knots = self.events.knots
        left = (self.base.marginal(None).sum(axis=2) * self.events.widths).max(axis=0)
        parts = np.where(left > _STEEP, _PARTS, 1)
        cuts = [
            start + (stop - start) * (np.arange(n) / n) ** 2
            for start, stop, n in zip(knots[:-1], knots[1:], parts)
        ]
        return np.append(np.concatenate(cuts), knots[-1]), np.repeat(np.arange(len(parts)), parts)

    def draw(self, rng: np.random.Generator | None) -> HazardParameters:
        """Estimates, or one draw; ``hazards[..., 0]`` is H1's slope, ``hazards[..., 1]`` K's."""
        base = self.base
        knots, of = self.grid
        widths = np.diff(knots)
        marginal = base.marginal(rng)[:, of]
        coefficients = self.linear.draw(rng)
        risks = np.exp(self.linear.by_arm(base.reference, coefficients))
        first, second = incidence_slopes(marginal, widths, complete=base.tail == "parametric")
        h1 = conditional_hazards(first[..., None], widths, risks[:, :, :1])
        spared = np.exp(-(h1[..., 0] @ widths)[:, None] * risks[:, :, 0])
        # K is met by those whom cause 1 spares: reference patients drawn in that proportion
        place = (np.arange(risks.shape[1]) + 0.5) / risks.shape[1]
        share = np.cumsum(spared, axis=1) / spared.sum(axis=1, keepdims=True)
        at = np.stack([np.searchsorted(s, place) for s in share])
        others = np.take_along_axis(risks[:, :, 1], np.minimum(at, risks.shape[1] - 1), axis=1)
        k = conditional_hazards(second[..., None], widths, others[:, :, None])
        return HazardParameters(
            coefficients,
            np.concatenate([h1, k], axis=2),
            np.zeros((len(h1), 2)),
            base.follow_up.draw(rng, base.reference),
            np.arange(len(h1)),
        )

    def override(
        self, parameters: HazardParameters, effects: Mapping[int, float]
    ) -> HazardParameters:
        """Arm ``a`` gets the control's subdistribution hazard of cause 1 times ``effects[a]``."""
        return self.base.override(parameters, effects)

    def latent_from_risk(
        self, risk: np.ndarray, arm: np.ndarray, exponential: np.ndarray, p: HazardParameters
    ) -> tuple[np.ndarray, np.ndarray]:
        """Uncensored times (n,) and causes (n,) from relative risks and exponentials (n, 2)."""
        knots = self.grid[0]
        one = invert(exponential[:, 0] / risk[:, 0], arm, knots, p.hazards[:, :, 0])
        two = invert(exponential[:, 1] / risk[:, 1], arm, knots, p.hazards[:, :, 1])
        spared = np.isinf(one)
        return np.where(spared, two, one), np.where(spared, 2, 1)

    def sample(
        self, codes: np.ndarray, arm: np.ndarray, rng: np.random.Generator, parameters: Any
    ) -> dict[str, np.ndarray]:
        """Observed duration and cause (0: censored)."""
        p, base = parameters, self.base
        risk = np.exp(self.linear.predictors(codes, p.acts_as[arm], p.coefficients))
        exponential = rng.standard_exponential((len(arm), 2))
        time, cause = self.latent_from_risk(risk, arm, exponential, p)
        end = base.follow_up.times(codes, arm, rng, p.censoring)
        if base.follow_up.complete:
            time = np.minimum(time, base.events.knots[-1])  # the other cause, at the latest then
        seen = time <= end
        observed = recorded_up(np.where(seen, time, end), base.unit)
        return {base.columns[0]: observed, base.columns[1]: np.where(seen, cause, 0)}

    def log_likelihood(self, patients: Any, codes: np.ndarray, arm: np.ndarray) -> np.ndarray:
        """Log probability (n,): fifth of the follow-up and cause, or event-free survival."""
        p, base = self.draw(None), self.base
        duration, cause = (patients[c].to_numpy(dtype=float) for c in base.columns)
        knots, edges = self.grid[0], base.score_edges
        time = np.minimum(midpoints(duration, base.unit), min(knots[-1], edges[-1]))
        risk = np.exp(self.linear.predictors(codes, p.acts_as[arm], p.coefficients))
        total = cumulative_at_knots(p.hazards, np.diff(knots))
        bins = np.clip(np.searchsorted(edges, time) - 1, 0, len(edges) - 2)
        last = np.full(len(time), knots[-1])
        here, low, high, end = (
            -np.expm1(-risk * interpolated(at, knots, total, arm))
            for at in (time, edges[bins], edges[bins + 1], last)
        )
        spared = 1 - end[:, 0]
        chance = np.where(cause == 1, high[:, 0] - low[:, 0], spared * (high[:, 1] - low[:, 1]))
        free = 1 - here[:, 0] - spared * here[:, 1]
        return np.log(np.maximum(np.where(cause > 0, chance, free), 1e-3))


def incidence_slopes(
    marginal: np.ndarray, widths: np.ndarray, complete: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Slopes (A, K) of -log(1 - F1), and of -log(1 - F2 / (1 - F1(end))), from the cause-specific
    hazards (A, K, 2) of the margins; ``complete``: everybody has one of the events in the end."""
    total = marginal.sum(axis=2)
    spent = np.cumsum(total * widths, axis=1)
    before = np.exp(-np.concatenate([np.zeros((len(total), 1)), spent[:, :-1]], axis=1))
    leaves = before * -np.expm1(-total * widths)
    share = np.divide(
        marginal, total[..., None], out=np.zeros_like(marginal), where=total[..., None] > 0
    )
    f = np.cumsum(leaves[..., None] * share, axis=1)
    f = np.concatenate([np.zeros((len(f), 1, 2)), f], axis=1)
    if complete:
        f[:, -1, 1] = 1 - f[:, -1, 0]
    free = np.maximum(1 - f[:, :, 0], 1e-9)
    other = np.clip(1 - f[:, :, 1] / np.maximum(1 - f[:, -1:, 0], 1e-9), 1e-6, 1.0)
    return -np.diff(np.log(free), axis=1) / widths, -np.diff(np.log(other), axis=1) / widths


def fit(data: FitData, name: str) -> FineGrayModel:
    """Fit to a `CompetingRisks` endpoint with two causes.

    Raises:
        ValueError: another number of causes, or delayed entry.
    """
    if data.delayed_entry() is not None:
        raise ValueError("fine_gray takes no delayed entry; cause_specific models do")
    base = HazardModel.fit(data, name, proportional=False)
    n_causes = base.events.counts.shape[2]
    if n_causes != 2:
        raise ValueError(f"fine_gray serves two causes; this endpoint has {n_causes}")
    duration, cause = data.endpoint.columns
    time = data.patients[duration].to_numpy(dtype=float)
    causes = data.patients[cause].to_numpy(dtype=float).astype(int)
    empty = LinearPart.empty(data.features, data.by, data.n_arms)
    design = empty.design(data.codes, data.arm)
    parts = [np.flatnonzero(data.arm == a) for a in range(data.n_arms)]
    made = [fine_gray_rows(time[rows], causes[rows]) for rows in parts]
    index = np.concatenate([rows[m[0]] for rows, m in zip(parts, made)])
    entry, stop, event, weight = (np.concatenate([m[k] for m in made]) for k in (1, 2, 3, 4))
    found = fit_cox(stop, event, design[index], data.arm[index], RIDGE, entry=entry, weights=weight)
    other = (base.linear.coefficients[1], base.linear.roots[1] @ base.linear.roots[1].T)
    linear = empty.with_fits([(found.coefficients, found.covariance), other])
    return FineGrayModel(name, replace(base, notes=()), linear, base.notes)
