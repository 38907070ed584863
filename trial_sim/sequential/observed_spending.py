"""Boundaries of simulated trials from the information that each trial has at its looks.

The recursion of ``trial_sim.sequential.integration``, compiled, a trial a row: where looks are
taken by the calendar, every trial has information fractions of its own, and so bounds of its own.
Trials that share their fractions are computed once. Agrees with ``GroupSequential.update`` (which
does one trial, in NumPy) to about 1e-9.
"""

# Loop counters become NumPy integers inside compiled code, which mypy cannot follow.
# mypy: disable-error-code="assignment"

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numba as nb
import numpy as np

from trial_sim.sequential.design import GroupSequential
from trial_sim.sequential.spending import BoundaryRule
from trial_sim.sequential.update import spending_rules

_REACH = 8.5  # standard deviations beyond which a normal tail is cut off
_PANEL = 16
_DENSITY = 2.0  # nodes per standard deviation of the narrowest step
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(_PANEL)
_ROOT_HALF = math.sqrt(0.5)
_ROOT_TWO_PI = math.sqrt(2.0 * math.pi)
_LEAST_STEP = 1e-4  # of the planned information; looks nearer to each other are taken as so far


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _advance(score, mass, step, following, drift, low, high, mean, variance, nodes, weights):
    """Carry running paths over ``step`` of information and keep those between low and high."""
    scale = math.sqrt(min(step, following))
    sd = math.sqrt(step)
    near = _REACH * sd
    far = _REACH * math.sqrt(variance)
    floor = max(score[0] + drift * step - near, mean - far, low)
    ceiling = min(score[-1] + drift * step + near, mean + far, high)
    if not floor < ceiling:
        return np.zeros(1), np.zeros(1)
    panels = math.ceil((_DENSITY * (ceiling - floor) / scale + 2 * _PANEL) / _PANEL)
    half = 0.5 * (ceiling - floor) / panels
    new_score = np.empty(panels * _PANEL)
    new_mass = np.empty(panels * _PANEL)
    for p in range(panels):
        centre = floor + half * (2 * p + 1)
        for j in range(_PANEL):
            x = centre + half * nodes[j]
            total = 0.0
            for i in range(score.shape[0]):
                gap = (x - score[i] - drift * step) / sd
                total += mass[i] * math.exp(-0.5 * gap * gap)
            new_score[p * _PANEL + j] = x
            new_mass[p * _PANEL + j] = half * weights[j] * total / (sd * _ROOT_TWO_PI)
    return new_score, new_mass


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _tail_point(score, mass, step, drift, probability, sign):
    """The score beyond which (above for sign 1, below for -1) ``probability`` of the paths lie."""
    running = mass.sum()
    if probability <= 0.0:
        return sign * np.inf
    if probability >= running:
        return -sign * np.inf
    sd = math.sqrt(step)
    left = np.inf
    right = -np.inf
    for i in range(score.shape[0]):
        left = min(left, sign * (score[i] + drift * step))
        right = max(right, sign * (score[i] + drift * step))
    x = right
    left -= 40.0 * sd
    right += 40.0 * sd
    for _ in range(200):
        tail = 0.0
        slope = 0.0
        for i in range(score.shape[0]):
            gap = (sign * (score[i] + drift * step) - x) / sd
            tail += mass[i] * 0.5 * math.erfc(-gap * _ROOT_HALF)
            slope += mass[i] * math.exp(-0.5 * gap * gap)
        slope /= sd * _ROOT_TWO_PI
        error = np.log(tail / probability) if tail > 0.0 else -np.inf
        if error > 0.0:
            left = x
        else:
            right = x
        following = x + error * tail / slope if tail > 0.0 and slope > 0.0 else np.nan
        inside = left <= following <= right
        if not inside:
            following = 0.5 * (left + right)
        close = abs(following - x) <= (1e-8 if inside else 1e-14) * sd
        x = following
        if close:
            break
    return sign * x


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _bounds_at_look(
    information, efficacy, futility, upper, lower, drift, sided, binding, nodes, weights,
    new_efficacy, new_futility,
):  # fmt: skip
    """Bounds of the latest look of every row.

    Args:
        information: (n, k + 1), increasing along a row. efficacy, futility: (n, k), the bounds of
            the looks before. upper, lower: (n,) error to spend at this look, one-sided.
        new_efficacy, new_futility: (n,), filled.
    """
    n, looks = information.shape
    k = looks - 1
    for t in range(n):
        for side in range(2):
            slope = 0.0 if side == 0 else drift
            if side == 1 and lower[t] <= 0.0:
                new_futility[t] = -np.inf
                continue
            score = np.zeros(1)
            mass = np.ones(1)
            before = 0.0
            for j in range(k):
                step = information[t, j] - before
                root = math.sqrt(information[t, j])
                low = -np.inf
                if sided == 2:
                    low = -efficacy[t, j] * root
                elif side == 1 or binding:
                    low = futility[t, j] * root
                score, mass = _advance(
                    score, mass, step, information[t, j + 1] - information[t, j], slope, low,
                    efficacy[t, j] * root, slope * information[t, j], information[t, j],
                    nodes, weights,
                )  # fmt: skip
                before = information[t, j]
            step = information[t, k] - before
            root = math.sqrt(information[t, k])
            if side == 0:
                new_efficacy[t] = _tail_point(score, mass, step, slope, upper[t], 1.0) / root
            else:
                new_futility[t] = _tail_point(score, mass, step, slope, lower[t], -1.0) / root


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _crossed(information, efficacy, futility, sided, binding, nodes, weights):
    """Chance under the null of having reached efficacy before the latest look, above, (n,).

    Args: as :func:`_bounds_at_look`.
    """
    n, looks = information.shape
    out = np.zeros(n)
    for t in range(n):
        score = np.zeros(1)
        mass = np.ones(1)
        before = 0.0
        for j in range(looks - 1):
            step = information[t, j] - before
            root = math.sqrt(information[t, j])
            high = efficacy[t, j] * root
            for i in range(score.shape[0]):
                gap = (high - score[i]) / math.sqrt(step)
                out[t] += mass[i] * 0.5 * math.erfc(gap * _ROOT_HALF)
            low = -np.inf
            if sided == 2:
                low = -high
            elif binding:
                low = futility[t, j] * root
            score, mass = _advance(
                score, mass, step, information[t, j + 1] - information[t, j], 0.0, low, high, 0.0,
                information[t, j], nodes, weights,
            )  # fmt: skip
            before = information[t, j]
    return out


def _number_of(rule: BoundaryRule, look: int, n_planned: int, none: float) -> float:
    """The bound of an interim look (from 0) of a rule that gives numbers; ``none`` without one."""
    if rule.kind == "haybittle_peto":
        return float(rule.parameter)
    return float(rule.parameter[look]) if look < n_planned - 1 else none


@dataclass(frozen=True, eq=False)
class ObservedSpending:
    """Error spending by observed information, for a batch of trials.

    Attributes:
        boundaries: the planned design, whose spending functions are followed. Bounds given as
            numbers, and Haybittle and Peto's, stay what they are, and the last look spends what
            they leave; the Wang-Tsiatis family spends what it would have spent at the planned
            fractions, with straight lines between.
        maximum: the information (events, or known responses) of a whole trial.
    """

    boundaries: GroupSequential
    maximum: float

    @cached_property
    def _rules(self) -> tuple[BoundaryRule, BoundaryRule | None]:
        return spending_rules(self.boundaries)

    def fraction(self, counted: np.ndarray) -> np.ndarray:
        """Observed information fraction: events (or known responses) over the maximum."""
        return np.asarray(counted, dtype=float) / self.maximum

    def bounds(
        self, fractions: np.ndarray, efficacy: np.ndarray, futility: np.ndarray, last: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Efficacy and futility bounds of the latest look, (n,) each.

        Args:
            fractions: (n, k + 1) observed information fractions of the looks up to this one.
            efficacy, futility: (n, k) bounds that were in force at the looks before.
            last: (n,) bool, trials for which this is the last look: what is left of alpha is spent.
        """
        looks = fractions.shape[1]
        information = fractions.copy()
        information[:, 0] = np.maximum(information[:, 0], _LEAST_STEP)
        for j in range(1, looks):
            information[:, j] = np.maximum(information[:, j], information[:, j - 1] + _LEAST_STEP)
        rows, back = np.unique(
            np.column_stack([information, efficacy, futility, last]), axis=0, return_inverse=True
        )
        information = np.ascontiguousarray(rows[:, :looks])
        earlier = looks - 1
        upper_before = np.ascontiguousarray(rows[:, looks : looks + earlier])
        lower_before = np.ascontiguousarray(rows[:, looks + earlier : -1])
        ended = rows[:, -1] == 1
        sided = self.boundaries.sided
        rule, futility_rule = self._rules
        plan = self.boundaries
        if rule.kind == "spending":
            upper = self._spend(
                rule, plan.spending_fractions, plan.alpha / sided, information, ended
            )
        else:
            spent = _crossed(
                information, upper_before, lower_before, sided, plan.binding, _NODES, _WEIGHTS
            )
            upper = np.where(ended, plan.alpha / sided - spent, 0.0)
        lower = np.zeros(len(rows))
        if futility_rule is not None and futility_rule.kind == "spending":
            clock = plan.futility_spending_fractions
            lower = self._spend(futility_rule, clock, 1.0 - plan.power, information, ended)
            lower[ended] = 0.0
        new_upper, new_lower = np.empty(len(rows)), np.empty(len(rows))
        _bounds_at_look(
            information, upper_before, lower_before, upper, lower, float(plan.drift), sided,
            plan.binding, _NODES, _WEIGHTS, new_upper, new_lower,
        )  # fmt: skip
        if rule.kind != "spending":
            new_upper = np.where(ended, new_upper, _number_of(rule, earlier, plan.n_looks, np.inf))
        if futility_rule is not None and futility_rule.kind == "custom":
            number = _number_of(futility_rule, earlier, plan.n_looks, -np.inf)
            new_lower = np.where(ended, -np.inf, number)
        # With more information than planned futility may reach efficacy: the look ends the trial
        # either way, and a tiny distance keeps the two decisions apart.
        new_lower = np.minimum(new_lower, new_upper - 1e-9)
        back = back.reshape(-1)
        return new_upper[back], new_lower[back]

    def _spend(
        self,
        rule: BoundaryRule,
        clock: np.ndarray,
        total: float,
        information: np.ndarray,
        ended: np.ndarray,
    ) -> np.ndarray:
        """Error to spend at the latest look, (n,): by information, or by the planned clock."""
        looks = information.shape[1]
        by_information = np.array_equal(clock, self.boundaries.information_fractions)

        def spent(look: int) -> np.ndarray:
            time = information[:, look] if by_information else np.full(len(ended), clock[look])
            return rule.spent(np.minimum(time, 1.0), total)

        now = np.where(ended, total, spent(looks - 1))
        return now - spent(looks - 2) if looks > 1 else now
