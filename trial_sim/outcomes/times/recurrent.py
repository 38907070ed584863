"""Recurrent events: Andersen-Gill rates by arm with a gamma frailty, and a negative binomial.

Events of a patient follow a Poisson process with rate ``z r h_a(t)``: gamma frailty ``z`` (mean 1),
relative rate ``r`` from the covariates, piecewise-constant baseline of the arm. With
``negative_binomial`` the baseline is constant in time. Arm rates are calibrated to the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from trial_sim.base.storage import storable
from trial_sim.data.endpoints import Endpoint, Recurrent
from trial_sim.numerics.told import upper_end
from trial_sim.outcomes.base import FitData
from trial_sim.outcomes.glm import (
    drawn_size,
    fit_negative_binomial,
    log_likelihood,
    negative_binomial_size,
)
from trial_sim.outcomes.hazard_grid import (
    EACH,
    HazardGrid,
    choose_knots,
    cumulative_at,
    cumulative_at_knots,
    midpoints,
    resolution_of,
)
from trial_sim.outcomes.linear import RIDGE, LinearPart, arm_indicators
from trial_sim.outcomes.risk_gaps import RiskGaps
from trial_sim.outcomes.times.cox import fit_cox
from trial_sim.outcomes.times.follow_up import (
    FollowUp,
    FollowUpParameters,
    administrative_ends,
    near,
)

MODELS = ("andersen_gill", "negative_binomial")
CALIBRATION = (
    20_000  # simulated patients an arm, to undo what stopping at a number of events selects
)


def models(endpoint: Endpoint) -> tuple[str, ...]:
    """Names of the models."""
    return MODELS


def candidates(data: FitData) -> tuple[str, ...]:
    """Models that "auto" compares."""
    return MODELS


class RecurrentParameters(NamedTuple):
    """Coefficients (1, p), rates (A, K) at relative rate 1, the follow-up's, acts_as, size of
    the frailty."""

    coefficients: np.ndarray
    rates: np.ndarray
    censoring: FollowUpParameters
    acts_as: np.ndarray
    size: float


@storable
@dataclass(frozen=True)
class RecurrentModel:
    """Fitted recurrent events.

    Attributes:
        size: of the gamma frailty (inf: none); size_error: of its logarithm.
        most: follow-up ends at this many events (0: never).
        events: counts and person-time at risk. follow_up: its ends. gaps: time not at risk, and
            entries. id: column of the patient. extra: (A,) variance of each arm's log rate beyond
            Poisson. nudge: (A,) log factors found by simulation.
    """

    name: str
    columns: tuple[str, str, str]
    unit: float
    linear: LinearPart
    events: HazardGrid
    follow_up: FollowUp
    gaps: RiskGaps
    id: str
    size: float
    size_error: float
    most: int
    extra: np.ndarray
    nudge: np.ndarray
    reference: np.ndarray
    notes: tuple[str, ...]

    def draw(self, rng: np.random.Generator | None) -> RecurrentParameters:
        """Estimates, or one draw: normal coefficients and log size, gamma rates, over-dispersed arm
        levels."""
        coefficients = self.linear.draw(rng)
        risk = np.exp(self.linear.by_arm(self.reference, coefficients)[:, :, 0])
        rates = self.events.hazards(rng)[:, :, 0] * np.exp(self.nudge)[:, None]
        rates = rates / risk.mean(axis=1)[:, None]
        if rng is not None:
            rates = rates * np.exp(np.sqrt(self.extra) * rng.standard_normal(len(rates)))[:, None]
        return RecurrentParameters(
            coefficients,
            rates,
            self.follow_up.draw(rng, self.reference),
            np.arange(len(rates)),
            drawn_size(self.size, self.size_error, rng),
        )

    def override(
        self, parameters: RecurrentParameters, effects: Mapping[int, float]
    ) -> RecurrentParameters:
        """Arm ``a`` gets the control's rate times ``effects[a]``."""
        rates, acts_as = parameters.rates.copy(), parameters.acts_as.copy()
        for a, ratio in effects.items():
            rates[a], acts_as[a] = rates[0] * ratio, 0
        return parameters._replace(rates=rates, acts_as=acts_as)

    def means(self, codes: np.ndarray, arm: np.ndarray, p: RecurrentParameters) -> np.ndarray:
        """Relative rate (n,) of each patient."""
        return np.exp(self.linear.predictors(codes, p.acts_as[arm], p.coefficients)[:, 0])

    def event_times(
        self, risk: np.ndarray, arm: np.ndarray, rng: np.random.Generator, p: RecurrentParameters
    ) -> tuple[np.ndarray, np.ndarray]:
        """Patient index and time of every event within the horizon, in order."""
        knots = self.events.knots
        steps = cumulative_at_knots(p.rates, np.diff(knots))
        frailty = np.ones(len(arm))
        if np.isfinite(p.size):
            frailty = rng.standard_gamma(p.size, len(arm)) / p.size
        number = rng.poisson(np.minimum(frailty * risk * steps[arm, -1], 500))
        who = np.repeat(np.arange(len(arm)), number)
        at = rng.random(len(who)) * steps[arm[who], -1]
        times = np.empty(len(who))
        for a in range(len(p.rates)):
            mine = arm[who] == a
            times[mine] = np.interp(at[mine], steps[a], knots)
        order = np.lexsort((times, who))
        return who[order], times[order]

    def sample(
        self, codes: np.ndarray, arm: np.ndarray, rng: np.random.Generator, parameters: Any
    ) -> dict[str, np.ndarray]:
        """Rows ``(start, stop]`` with events, and ``row``, the patient's index of each."""
        p = parameters
        unit, step = self.unit, 1.0 if self.unit else 0.0
        scale = unit or self.follow_up.horizon  # whole units, or parts of the horizon
        gaps_of, horizon = self.gaps.in_units(scale), self.follow_up.horizon / scale
        begin = gaps_of.drawn_entries(arm, rng, step) if gaps_of.any_entry else None
        late = None if begin is None else begin * scale
        end = np.minimum(self.follow_up.times(codes, arm, rng, p.censoring, late) / scale, horizon)
        who, times = self.event_times(self.means(codes, arm, p), arm, rng, p)
        times = times / scale
        if unit:
            end, times = np.ceil(end - 1e-9), np.ceil(times - 1e-9)
            times = spaced(who, times, 1.0)
        if begin is not None:
            end = np.maximum(end, begin + (step or 1e-6))
            after = times > begin[who] + (step / 2 or 1e-9)
            who, times = who[after], times[after]
        gaps, opens = np.zeros((0, 4)), np.zeros(len(who), dtype=bool)
        if gaps_of.any_gap:
            keep, gaps, opens = gaps_of.cut(who, times, arm, horizon, rng, step, begin)
            who, times, opens = who[keep], times[keep], opens[keep]
        kept = times <= end[who]
        who, times, opens = who[kept], times[kept], opens[kept]
        rank = np.arange(len(who)) - np.searchsorted(who, who)
        if self.most:
            last = rank == self.most - 1
            end[who[last]] = times[last]
            below = rank < self.most
            who, times, opens = who[below], times[below], opens[below]
        row, table = intervals(begin, end, who, times, opens, gaps)
        table[:, :2] *= scale
        digits = 8 - int(np.floor(np.log10(self.follow_up.horizon)))
        table[:, :2] = kept_apart(row, np.round(table[:, :2], digits), digits)
        out: dict[str, np.ndarray] = {name: table[:, k] for k, name in enumerate(self.columns[:2])}
        out[self.columns[2]] = table[:, 2].astype(np.int64)
        return {**out, "row": row}

    def log_likelihood(self, patients: Any, codes: np.ndarray, arm: np.ndarray) -> np.ndarray:
        """Log probability (n,) of each patient's number of events in the time followed."""
        p = self.draw(None)
        start, stop, event = (patients[c].to_numpy(dtype=float) for c in self.columns)
        who = pd.factorize(patients[self.id])[0]
        expected = expected_events(self.events.knots, p.rates, who, start, stop, arm)
        mean = np.maximum(expected * self.means(codes, arm, p), 1e-6)
        number = np.bincount(who, event, minlength=len(arm))
        return log_likelihood(number, np.log(mean), "poisson", self.size)


def expected_events(
    knots: np.ndarray,
    rates: np.ndarray,
    who: np.ndarray,
    start: np.ndarray,
    stop: np.ndarray,
    arm: np.ndarray,
) -> np.ndarray:
    """Events (n,) expected of each patient in the intervals at risk, at ``rates`` (A, K)."""
    spent = cumulative_at(stop, arm[who], knots, rates)
    spent = spent - cumulative_at(start, arm[who], knots, rates)
    return np.bincount(who, spent, minlength=len(arm))


def intervals(
    begin: np.ndarray | None,
    end: np.ndarray,
    who: np.ndarray,
    times: np.ndarray,
    opens: np.ndarray,
    gaps: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Intervals at risk from events and gaps: patient (m,), and start, stop, event (m, 3).

    Args:
        begin: (n,) entries or None. end: (n,). who, times: of the events, in order.
        opens: whether a gap follows the event. gaps: (g, 4) patient, start, end, after an event.
    """
    n = len(end)
    slack = 1e-9 * float(end.max())
    gaps = gaps[gaps[:, 1] < end[gaps[:, 0].astype(int)] - slack]
    patient = gaps[:, 0].astype(int)
    lone = gaps[:, 3] == 0
    first = np.zeros(n) if begin is None else begin
    starts = np.r_[first, times[~opens], gaps[:, 2]]
    of_start = np.r_[np.arange(n), who[~opens], patient]
    open_at_end = starts < end[of_start] - slack
    starts, of_start = starts[open_at_end], of_start[open_at_end]
    stops, of_stop = np.r_[times, gaps[lone, 1]], np.r_[who, patient[lone]]
    seen = np.r_[np.ones(len(times)), np.zeros(int(lone.sum()))]
    # one interval more begins than ends where the follow-up stops while at risk
    unfinished = np.flatnonzero(
        np.bincount(of_start, minlength=n) > np.bincount(of_stop, minlength=n)
    )
    stops, of_stop = np.r_[stops, end[unfinished]], np.r_[of_stop, unfinished]
    seen = np.r_[seen, np.zeros(len(unfinished))]
    one, two = np.lexsort((starts, of_start)), np.lexsort((stops, of_stop))
    return of_stop[two], np.column_stack([starts[one], stops[two], seen[two]])


def kept_apart(who: np.ndarray, intervals: np.ndarray, digits: int) -> np.ndarray:
    """Intervals (m, 2) of patients (m,), in order, that rounding made empty, one last digit long;
    the patient's next ones begin no sooner."""
    step, out = 10.0**-digits, intervals.copy()
    for _ in range(100):
        empty = out[:, 1] < out[:, 0] + step / 2
        if not empty.any():
            break
        out[empty, 1] = np.round(out[empty, 0] + step, digits)
        late = np.flatnonzero((who[1:] == who[:-1]) & (out[1:, 0] < out[:-1, 1])) + 1
        out[late, 0] = out[late - 1, 1]
    return out


def spaced(who: np.ndarray, times: np.ndarray, unit: float) -> np.ndarray:
    """Move events of a patient that fell on one recorded time to the following ones."""
    out = times.copy()
    for _ in range(100):
        tied = np.flatnonzero((who[1:] == who[:-1]) & (out[1:] <= out[:-1] + unit / 2)) + 1
        if not len(tied):
            break
        out[tied] = out[tied - 1] + unit
    return out


def fit(data: FitData, name: str) -> RecurrentModel:
    """Fit to a `Recurrent` endpoint.

    Raises:
        ValueError: no event in any arm.
    """
    endpoint = data.endpoint
    assert isinstance(endpoint, Recurrent)
    rows = data.patients.reset_index(drop=True)
    position = {v: k for k, v in enumerate(rows[endpoint.id].drop_duplicates())}
    who = rows[endpoint.id].map(position).to_numpy()
    start = rows[endpoint.start].to_numpy(dtype=float)
    stop = rows[endpoint.stop].to_numpy(dtype=float)
    event = rows[endpoint.event].to_numpy(dtype=int)
    n, k = len(position), data.n_arms
    if event.sum() == 0:
        raise ValueError(f"column {endpoint.event!r} holds no event")
    end, number, closing = np.zeros(n), np.zeros(n), np.zeros(n)
    np.maximum.at(end, who, stop)
    np.add.at(number, who, event)
    closing[who[stop == end[who]]] = event[stop == end[who]]
    unit = resolution_of(stop)
    # Follow-up ends at a fixed number of events if every patient who reached it stops there.
    top = int(number.max())
    at_top = number == top
    most = top if at_top.sum() >= 3 and closing[at_top].all() else 0
    linear = LinearPart.empty(data.features, data.by, k)
    design = linear.design(data.codes, data.arm)
    at_risk = np.bincount(who, stop - start, minlength=n)
    if name == "negative_binomial":
        x = np.hstack([arm_indicators(data.arm, k), design])
        ridge = np.r_[np.full(k, 1e-4), np.full(design.shape[1], RIDGE)]
        counts, _, _ = fit_negative_binomial(number, x, ridge, np.log(at_risk / at_risk.mean()))
        linear = linear.with_fits([(counts.coefficients[k:], counts.covariance[k:, k:])])
    else:
        cox = fit_cox(stop, event, design[who], data.arm[who], RIDGE, entry=start)
        inflation = max(1.0, _inflation(number + 1.0))
        linear = linear.with_fits([(cox.coefficients, cox.covariance * inflation)])
    each = EACH * k  # every arm has rates of its own
    knots = choose_knots(stop, event, unit, each=each)
    if name == "negative_binomial":
        knots = np.array([0.0, upper_end(stop)])
    events = HazardGrid.build(midpoints(stop, unit), event, data.arm[who], k, 1, knots, entry=start)
    gaps = RiskGaps.fit(who, start, stop, event, data.arm, k)
    # an event that ends the follow-up hides the gap that may have begun there, and in which the
    # patient left, or met an administrative end; so does a gap of its own that met such an end
    topped = at_top & (most > 0)
    hidden = (closing > 0) & bool(gaps.after[:, 0].any()) & ~topped
    ends = administrative_ends(end, ~(topped | hidden), unit)
    lengths = gaps.lengths[data.arm].max(axis=2)
    after = ends - end[:, None]
    at_end = near(end, ends)
    met = [((after > 0) & (after <= longest[:, None])).any(axis=1) for longest in lengths.T]
    met[0] |= at_end
    met[1] &= ~at_end
    left = hidden & ~met[0]
    gone = ~(topped | (hidden & met[0]) | ((closing == 0) & met[1]))
    middle = gaps.lengths[data.arm, 0].mean(axis=1) / 2
    over = np.where(left, end + (np.round(middle / unit) * unit if unit else middle), end)
    begin = np.full(n, np.inf)
    np.minimum.at(begin, who, start)
    follow_up = FollowUp.fit(
        data,
        over,
        (closing > 0) & ~left,
        gone,
        unit,
        each,
        begin if begin.any() else None,
        covariates=False,
    )
    expected = expected_events(knots, events.hazards()[:, :, 0], who, start, stop, data.arm)
    risk = np.exp(linear.predictors(data.codes, data.arm, linear.coefficients)[:, 0])
    for a in range(k):
        mine = data.arm == a
        risk[mine] *= number[mine].sum() / max((expected * risk)[mine].sum(), 1e-9)
    size, size_error = negative_binomial_size(number, np.maximum(expected * risk, 1e-6))
    extra = np.zeros(k)
    notes = list(data.features.notes)
    for a in range(k):
        mine = data.arm == a
        count = number[mine].sum()
        label = data.schema.arms[a] if data.schema.arms else "the cohort"
        if count == 0:
            notes.append(f"arm {label!r} has no event: its rate is zero")
            continue
        rate = count / at_risk[mine].sum()
        robust = float(((number[mine] - rate * at_risk[mine]) ** 2).sum()) / count**2
        extra[a] = max(robust - 1 / count, 0.0)
    if most:
        notes.append(f"follow-up ends at event {most} of a patient, as in the data")
    notes += gaps.words()
    model = RecurrentModel(
        name,
        (endpoint.start, endpoint.stop, endpoint.event),
        unit,
        linear,
        events,
        follow_up,
        gaps,
        endpoint.id,
        size,
        size_error,
        most,
        extra,
        np.zeros(k),
        data.reference,
        tuple(notes),
    )
    if data.options.get("held_out"):
        return model
    wanted = np.bincount(data.arm, number, k) / np.bincount(data.arm, at_risk, k)
    return calibrated(model, wanted)


def _inflation(number: np.ndarray) -> float:
    """Variance to mean of the events a patient, at least 1 (for the coefficients' covariance)."""
    return float(number.var() / max(number.mean() - 1.0, 1e-9))


def calibrated(model: RecurrentModel, wanted: np.ndarray) -> RecurrentModel:
    """Scale each arm until simulated events per time followed equal ``wanted`` (A,).

    A step corrects by one over its number, so that their Monte-Carlo errors average (Robbins and
    Monro, Ann. Math. Statist. 22:400, 1951).
    """
    k = len(wanted)
    arm = np.repeat(np.arange(k), CALIBRATION)
    for step in range(4):
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([step, 31])))
        codes = model.reference[rng.integers(0, len(model.reference), len(arm))]
        made = model.sample(codes, arm, rng, model.draw(None))
        start, stop, event = (made[c] for c in model.columns)
        of = arm[made["row"]]
        rate = np.bincount(of, event, k) / np.bincount(of, stop - start, k)
        good = (rate > 0) & (wanted > 0)
        shift = np.where(good, np.log(np.where(good, wanted, 1) / np.where(good, rate, 1)), 0.0)
        model = replace(model, nudge=model.nudge + shift / (step + 1))
    return model
