"""When the follow-up of a patient ends: administratively at fixed times, and by drop-out before.

Two things end it, and each has a model of its own. **Administrative ends** are times at which many
patients were censored at once (month 12 for everybody; months 12 and 24 for two cohorts): of those
followed so far a share stops exactly there. **Drop-out**, with the staggered end of a trial whose
patients came one after the other, has hazards by arm on a grid of intervals; it depends on
covariates where they clearly matter. A data cutoff counted from a named entry is the third case
(see `data_cutoff`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.stats import chi2, poisson

from trial_sim.base.storage import storable
from trial_sim.outcomes.base import FitData
from trial_sim.outcomes.data_cutoff import DataCutoff
from trial_sim.outcomes.hazard_grid import (
    HazardGrid,
    choose_knots,
    conditional_hazards,
    cumulative_at,
    invert,
    midpoints,
    recorded_up,
    survival_on,
)
from trial_sim.outcomes.linear import RIDGE, LinearPart
from trial_sim.outcomes.times.cox import fit_cox

CLEAR = 1e-3  # p-value below which covariates matter to drop-out
FEWEST = 3  # patients censored at one time that may be an administrative end
SHARE = 0.1  # of all censored patients that an administrative end holds
CHANCE = 1e-4  # probability of as many on one recorded time if drop-out were smooth
BINS = 200  # steps of the follow-up on which drop-out intervals are split
GAIN = 6.0  # log likelihood that a split must gain


class FollowUpParameters(NamedTuple):
    """Drop-out hazards (A, K), chances to stop at each administrative end (A, J), and the
    coefficients (1, p) of drop-out, or None."""

    hazards: np.ndarray
    chances: np.ndarray
    coefficients: np.ndarray | None = None

    def with_another_arm(self) -> FollowUpParameters:
        """With one more arm (the last), whose follow-up is the control's."""
        hazards, chances = (np.concatenate([v, v[:1]]) for v in (self.hazards, self.chances))
        return self._replace(hazards=hazards, chances=chances)


@storable
@dataclass(frozen=True)
class FollowUp:
    """How long patients are followed.

    Attributes:
        dropout: counts and person-time of drop-out by arm. ends: (J,) administrative ends, rising.
        stopped: (A, J, 2) patients who stopped at each end, and patients followed that far without
            the event. part: covariates of drop-out, or None. cutoff: the data cutoff, or None.
    """

    dropout: HazardGrid
    ends: np.ndarray
    stopped: np.ndarray
    part: LinearPart | None = None
    cutoff: DataCutoff | None = None

    @classmethod
    def fit(
        cls,
        data: FitData,
        recorded: np.ndarray,
        event: np.ndarray,
        gone: np.ndarray,
        unit: float,
        each: int,
        entry: np.ndarray | None = None,
        covariates: bool = True,
    ) -> FollowUp:
        """Fit to the ends of follow-up ``recorded`` (n,).

        Args:
            event: (n,) whether the follow-up ended in the event. gone: (n,) whether it ended by
                drop-out or administratively (neither event nor data cutoff).
            each: patients an interval. entry: (n,) delayed entries. covariates: whether drop-out
                may depend on them.
        """
        gone = gone > 0
        ends = administrative_ends(recorded, gone, unit)
        at_end = gone & near(recorded, ends)
        lost = gone & ~at_end
        times = followed_times(recorded, unit, at_end)
        knots = choose_knots(recorded, lost, unit, each=each)
        knots = refined(knots, times, lost, unit, entry)
        grid = HazardGrid.build(times, lost.astype(int), data.arm, data.n_arms, 1, knots, entry)
        stopped = np.zeros((data.n_arms, len(ends), 2))
        # without delayed entries everybody is there at time 0, at which an end may be
        start = np.full(len(recorded), -np.inf) if entry is None else entry
        for j, end in enumerate(ends):
            here = near(recorded, ends[j : j + 1])
            reached = ((recorded > end) | here) & ~(here & (event > 0)) & (start < end)
            stopped[:, j, 0] = np.bincount(data.arm[here & at_end], minlength=data.n_arms)
            stopped[:, j, 1] = np.bincount(data.arm[reached], minlength=data.n_arms)
        part = None
        if covariates:
            for_all = (stopped[:, :, 0] == stopped[:, :, 1]).all(axis=0)
            chosen = lost | (at_end & ~near(recorded, ends[for_all]))
            part = dropout_covariates(data, times, chosen, entry)
        return cls(grid, ends, stopped, part, data.cutoff)

    @property
    def horizon(self) -> float:
        """The longest follow-up."""
        return float(self.dropout.knots[-1])

    @property
    def complete(self) -> bool:
        """Whether nothing but the event ends the follow-up."""
        return not len(self.ends) and self.cutoff is None and not self.dropout.counts.any()

    def ended(self, time: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Ends of follow-up (n,), at the horizon for those who would neither have the event at
        their latent ``time`` nor leave."""
        return np.where(np.isinf(time) & np.isinf(end), self.horizon, end)

    def observed(
        self, time: np.ndarray, end: np.ndarray, unit: float, start: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Observed durations, rounded up to ``unit``, and whether the event was seen, (n,) each.

        Args:
            time: (n,) latent times to the event. end: (n,) ends of follow-up, from :meth:`times`.
            start: (n,) delayed entries, or None.
        """
        end = self.ended(time, end)
        seen = time <= end
        return later_than(recorded_up(np.where(seen, time, end), unit), start), seen

    def draw(self, rng: np.random.Generator | None, reference: np.ndarray) -> FollowUpParameters:
        """Estimates, or one draw: gamma hazards, beta chances, normal coefficients.

        Args:
            reference: (M, n_columns) patients over whom the margins are calibrated.
        """
        hazards, coefficients, risks = self.dropout.hazards(rng), None, None
        if self.part is not None:
            coefficients = self.part.draw(rng)
            risks = np.exp(self.part.by_arm(reference, coefficients))
            hazards = conditional_hazards(hazards, self.dropout.widths, risks)
        at, followed = self.stopped[:, :, 0], np.maximum(self.stopped[:, :, 1], 1e-9)
        chances = np.minimum(at / followed, 1.0)
        some = (at > 0) & (at < followed)
        if rng is not None and some.any():
            drawn = rng.beta(np.where(some, at, 1), np.where(some, followed - at, 1))
            chances = np.where(some, drawn, chances)
        # an arm without patients followed that far stops there as the others do
        nobody = self.stopped[:, :, 1] == 0
        if nobody.any():
            pooled = at.sum(axis=0) / np.maximum(self.stopped[:, :, 1].sum(axis=0), 1)
            chances = np.where(nobody, pooled, chances)
        if risks is not None:
            chances = calibrated_chances(chances, risks[:, :, 0])
        return FollowUpParameters(hazards[:, :, 0], chances, coefficients)

    def times(
        self,
        codes: np.ndarray,
        arm: np.ndarray,
        rng: np.random.Generator,
        p: FollowUpParameters,
        entry: np.ndarray | None = None,
        closes: bool = True,
    ) -> np.ndarray:
        """Ends of follow-up (n,) of patients with baseline ``codes`` (n, n_columns); unless it
        ``closes``, inf for those who have not left by the last one seen to leave."""
        knots = self.dropout.knots
        exponential = rng.standard_exponential(len(arm))
        risk = None
        if self.part is not None and p.coefficients is not None:
            inside = np.where(arm < self.part.n_arms, arm, 0)
            risk = np.exp(self.part.predictors(codes, inside, p.coefficients))[:, 0]
            exponential = exponential / risk
        if entry is not None:
            exponential = exponential + cumulative_at(entry, arm, knots, p.hazards)
        end = invert(exponential, arm, knots, p.hazards)
        low = knots[-2] if entry is None else np.maximum(knots[-2], entry)
        spread = knots[-1] - rng.random(len(arm)) * (knots[-1] - low)
        if self.cutoff is not None:
            end = np.minimum(np.minimum(end, self.cutoff.longest(codes)), knots[-1])
        elif closes:
            # drop-out that goes on into the last interval ends everybody within it, unless the
            # administrative end closes it
            late = self.dropout.counts[np.where(arm < len(self.stopped), arm, 0), -1, 0] > 0
            late &= not near(knots[-1:], self.ends).any()
            last = np.inf if self.complete else knots[-1]
            end = np.where(np.isinf(end), np.where(late, spread, last), end)
        for j, last in enumerate(self.ends):
            chance = p.chances[arm, j]
            if risk is not None:
                chance = np.where(chance < 1, 1 - (1 - chance) ** risk, 1.0)
            stops = chance >= 1
            if not stops.all():
                stops = stops | (rng.random(len(arm)) < chance)
            after = end > last if entry is None else (end > last) & (entry < last)
            end = np.where(stops & after, last, end)
        return end

    def still_followed(
        self, reference: np.ndarray, times: np.ndarray, arm: int, p: FollowUpParameters
    ) -> np.ndarray:
        """Share (m,) of the patients of an arm whose follow-up may reach ``times`` (m,)."""
        share = survival_on(self.dropout.knots, p.hazards[arm], times)
        for j, end in enumerate(self.ends):
            share = share * np.where(times > end, 1 - p.chances[arm, j], 1.0)
        if self.cutoff is not None:
            share = share * self.cutoff.still_open(reference, times)
        return share

    def words(self, time_unit: str) -> str:
        """One line on what ends the follow-up, for the printed fit."""
        parts = []
        if self.cutoff is not None:
            parts.append("a data cutoff")
        for j, end in enumerate(self.ends):
            stopped, reached = self.stopped[:, j].sum(axis=0)
            share = "all" if stopped == reached else f"{stopped:.0f} of {reached:.0f}"
            parts.append(f"the administrative end at {end:g} {time_unit} ({share})")
        lost, time = self.dropout.counts.sum(), self.dropout.exposure.sum()
        if lost:
            rate = lost / max(time, 1e-300)
            name = "drop-out" if len(self.ends) or self.cutoff is not None else "censoring"
            parts.append(f"{name} of {rate:.2g} per {time_unit.removesuffix('s')} ({lost:.0f})")
        return "follow-up ends by " + (", ".join(parts) if parts else "the event alone")


def later_than(times: np.ndarray, start: np.ndarray | None) -> np.ndarray:
    """``times`` (n,), moved just past the delayed entries (n,) where rounding made them equal."""
    return times if start is None else np.maximum(times, start + 1e-9 * float(times.max()))


def followed_times(recorded: np.ndarray, unit: float, at_end: np.ndarray) -> np.ndarray:
    """Times (n,) in the middle of their recorded unit; administrative ends (mask) in full, but for
    one at 0, whose patients were followed for no time that has a logarithm."""
    return np.where(at_end & (recorded > 0), recorded, midpoints(recorded, unit))


def near(times: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """(n,) whether a time is one of the ``ends`` but for rounding."""
    if not len(ends):
        return np.zeros(len(times), dtype=bool)
    return (np.abs(times[:, None] - ends) <= 1e-9 * np.abs(ends)).any(axis=1)


def administrative_ends(recorded: np.ndarray, gone: np.ndarray, unit: float) -> np.ndarray:
    """Times (J,) at which more patients were censored than smooth drop-out would put there.

    Args:
        recorded: (n,) ends of follow-up. gone: (n,) those censored. unit: of the records, or 0.
    """
    if gone.sum() < 1:
        return np.zeros(0)
    last = float(recorded.max())
    censored = np.sort(recorded[gone])
    first = np.r_[True, np.diff(censored) > 1e-9 * last]
    times = censored[first]
    counts = np.diff(np.r_[np.flatnonzero(first), len(censored)])
    if len(times) == 1 and times[0] >= last * (1 - 1e-9):
        return times  # all who were censored were so at the last time
    found = []
    for t, count in zip(times, counts):
        if count < max(FEWEST, SHARE * len(censored)):
            continue
        width = 0.1 * last
        around = (np.abs(times - t) <= width) & (times != t)
        places = (min(t + width, last) - max(t - width, 0.0)) / unit if unit else np.inf
        expected = counts[around].sum() / max(places, 1.0) + 1e-9
        if poisson.sf(count - 1, expected) < CHANCE:
            found.append(float(t))
    return np.array(found)


def refined(
    knots: np.ndarray, times: np.ndarray, lost: np.ndarray, unit: float, entry: np.ndarray | None
) -> np.ndarray:
    """Knots with each interval split, again and again, where one hazard clearly does not serve it
    (as where nobody leaves before month 24 and everybody soon after)."""
    last = knots[-1]
    edges = np.linspace(0, last, BINS + 1)
    if unit:
        edges = np.unique(np.ceil(edges / unit - 1e-9) * unit)
    edges = np.unique(np.r_[edges[edges < last * (1 - 1e-9)], knots])
    nobody = np.zeros(len(times), dtype=int)
    grid = HazardGrid.build(times, lost.astype(int), nobody, 1, 1, edges, entry)
    events = np.r_[0.0, np.cumsum(grid.counts[0, :, 0])]
    time = np.r_[0.0, np.cumsum(grid.exposure[0])]

    def split(low: int, high: int) -> list[int]:
        d, e = events[high] - events[low], time[high] - time[low]
        inside = np.arange(low + 1, high)
        if d < 1 or not len(inside):
            return []
        d1, e1 = events[inside] - events[low], time[inside] - time[low]
        d2, e2 = d - d1, e - e1
        with np.errstate(divide="ignore", invalid="ignore"):
            gain = np.where(d1 > 0, d1 * np.log(d1 / e1), 0.0)
            gain = gain + np.where(d2 > 0, d2 * np.log(d2 / e2), 0.0) - d * np.log(d / e)
        gain = np.where((e1 > 0) & (e2 > 0), gain, -np.inf)
        best = int(np.argmax(gain))
        if gain[best] < GAIN:
            return []
        at = int(inside[best])
        return [*split(low, at), at, *split(at, high)]

    places = np.searchsorted(edges, knots)
    more = [k for low, high in pairwise(places) for k in split(low, high)]
    return np.unique(np.r_[knots, edges[more]])


def dropout_covariates(
    data: FitData, times: np.ndarray, gone: np.ndarray, entry: np.ndarray | None = None
) -> LinearPart | None:
    """The covariate part of drop-out, or None where a likelihood-ratio test does not clearly find
    one (p above `CLEAR`): censoring at the end of a trial mostly depends on none."""
    linear = LinearPart.empty(data.features, (), data.n_arms)
    design = linear.design(data.codes, data.arm)
    p = design.shape[1]
    if p == 0 or gone.sum() < 2 * p:
        return None
    found = fit_cox(times, gone, design, strata=data.arm, ridge=RIDGE, entry=entry)
    none = fit_cox(times, gone, design, strata=data.arm, ridge=1e9, entry=entry)
    gain = 2 * (found.log_likelihood - none.log_likelihood)
    if chi2.sf(max(gain, 0.0), p) > CLEAR:
        return None
    return linear.with_fits([(found.coefficients, found.covariance)])


def calibrated_chances(chances: np.ndarray, risks: np.ndarray) -> np.ndarray:
    """Chances (A, J) of a patient of relative risk 1 whose average over patients is ``chances``.

    Args:
        risks: (A, M) relative risks.
    """
    low, high = np.zeros(chances.shape), np.full(chances.shape, 40.0)
    for _ in range(60):
        middle = (low + high) / 2
        mean = -np.expm1(-middle[..., None] * risks[:, None, :]).mean(axis=-1)
        low, high = np.where(mean < chances, middle, low), np.where(mean < chances, high, middle)
    return np.where(chances < 1, -np.expm1(-(low + high) / 2), 1.0)
