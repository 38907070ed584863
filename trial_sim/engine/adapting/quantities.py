"""The numbers that rules look at, for all trials of a batch at one milestone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtr

from trial_sim.adaptive.posteriors import best_of_normals, best_of_rates, rate_better
from trial_sim.adaptive.rules import (
    OF_ONE_NUMBER,
    AllOf,
    AnyOf,
    Comparison,
    Condition,
    Difference,
    NotSo,
    Quantity,
)
from trial_sim.design.adaptive_design import AdaptiveDesign
from trial_sim.engine.adapting.patients import among
from trial_sim.engine.adapting.pooled_counts import pooled_dispersions
from trial_sim.engine.adapting.stages import Stage
from trial_sim.engine.batch import TrialBatch
from trial_sim.engine.response_analyses import final_response


@dataclass(frozen=True)
class ArmData:
    """Each arm's data so far, (n_trials, n_arms) each: patients with a known response, its mean
    and variance; of times the events, months on study, and the rate. ``level``, ``spread``: what
    the arms are compared by, the larger the better, and its standard error."""

    n: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    level: np.ndarray
    spread: np.ndarray


@dataclass
class State:
    """What is known of a batch of trials at a milestone; rules, and a user's ``decide``, read it.

    Of C comparisons with the control (columns in the order of ``arms``) and n trials:

    Attributes:
        milestone: its name. trial: (n,) trial numbers. month: (n,) calendar month of the data cut.
        running: (n,) bool, trials that are still going on. arms: names of the arms but the control.
        elsewhere: gives the same state with another endpoint of the patients, by name.
        open: (n, C) bool, arms that are open and whose comparison is not settled.
        patients: (n,) enrolled. events: (n, n_arms) events or known responses, control first.
    """

    adaptive: AdaptiveDesign
    milestone: str
    k: int
    trial: np.ndarray
    month: np.ndarray
    running: np.ndarray
    open: np.ndarray
    patients: np.ndarray
    events: np.ndarray
    population: np.ndarray
    stage: Stage
    combined: np.ndarray
    rejected: np.ndarray
    direction: float
    kind: str
    batch: TrialBatch
    target: np.ndarray
    elsewhere: Callable[[State, str], State] | None = None

    @property
    def arms(self) -> tuple[str, ...]:
        """Names of the arms but the control."""
        return tuple(self.adaptive.arms)[1:]

    def value(self, name: str, **of: Any) -> np.ndarray:
        """A quantity by name, (n, C), or (n,) for one of the whole trial; as ``Quantity`` takes."""
        return self.of(Quantity(name, **of))

    def column(self, population: str | None) -> slice:
        """The hypotheses of a population among all."""
        c = len(self.arms)
        if population not in self.adaptive.tested_populations:
            raise ValueError(
                f"population {population!r} is not tested: no rule restricts enrolment to it"
            )
        at = self.adaptive.tested_populations.index(population)
        return slice(at * c, (at + 1) * c)

    def _by_comparison(self, values: np.ndarray, population: str | None) -> np.ndarray:
        """(n, C) of (n, m): those of the named population, or of the one now enrolled."""
        if population is not None or len(self.adaptive.tested_populations) == 1:
            return values[:, self.column(population)]
        c = len(self.arms)
        found = values[:, :c].copy()
        for at in range(1, len(self.adaptive.tested_populations)):
            mine = self.population == at
            found[mine] = values[mine, at * c : (at + 1) * c]
        return found

    def of(self, asked: Quantity | Difference) -> np.ndarray:
        """A quantity, (n, C), or (n,) where it is of one arm or of the whole trial."""
        if isinstance(asked, Difference):
            one, other = self.of(asked.first), self.of(asked.second)
            if one.ndim != other.ndim:
                one, other = (v if v.ndim == 2 else v[:, None] for v in (one, other))
            return one - other
        if asked.endpoint is not None and self.elsewhere is not None:
            here = self.elsewhere(self, asked.endpoint)
            return here.of(asked.replace(endpoint=None))
        if asked.name in OF_ONE_NUMBER:
            return self._of_trial(asked)
        values = self._of_comparisons(asked)
        if asked.arm is not None:
            if asked.arm not in self.arms:
                raise ValueError(f"{asked.in_words}: the control is compared with nothing")
            return values[:, self.arms.index(asked.arm)]
        return values[:, 0] if values.shape[1] == 1 else values

    def _of_trial(self, asked: Quantity) -> np.ndarray:
        batch = self.batch
        mine = np.ones(batch.arm.shape, bool)
        if asked.population is not None:
            for factor, codes in self.adaptive.members(asked.population).items():
                mine &= among(batch.factors[factor], codes)
        if asked.arm is not None:
            mine &= batch.arm == list(self.adaptive.arms).index(asked.arm)
        entered = mine & (batch.enrolment <= self.month[:, None])
        if asked.name == "n":
            return entered.sum(axis=1).astype(float)
        known = mine & (batch.calendar_event[:, : batch.arm.shape[1]] <= self.month[:, None])
        if asked.name == "events":
            if asked.arm is None and asked.population is None:
                return self.events.sum(axis=1).astype(float)
            return known.sum(axis=1).astype(float)
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.kind == "time_to_event":
                months = np.minimum(batch.exit, self.month[:, None]) - batch.enrolment
                months = np.where(entered, months, 0.0).sum(axis=1)
                if asked.name != "pooled_rate":
                    raise ValueError(f"times have no {asked.name}; pooled_rate is events a month")
                return known.sum(axis=1) / months
            response = np.where(known, final_response(batch), 0.0)
            n = known.sum(axis=1)
            mean = response.sum(axis=1) / n
            if asked.name == "pooled_rate":
                return mean
            if asked.name == "pooled_dispersion":
                if self.kind != "count":
                    raise ValueError(f"pooled_dispersion is of counts, not of {self.kind} outcomes")
                out = np.empty(len(n))
                pooled_dispersions(np.ascontiguousarray(response), known, out)
                return out
            squares = np.where(known, (final_response(batch) - mean[:, None]) ** 2, 0.0)
            return np.sqrt(squares.sum(axis=1) / (n - 1))

    def _of_comparisons(self, asked: Quantity) -> np.ndarray:
        name, pop = asked.name, asked.population
        if name in ("rank", "below_best"):
            level = self.direction * self._by_comparison(self.stage.estimate, pop)
            if not np.isfinite(level).any():
                level = self._by_comparison(self.stage.z, pop)
            level = np.where(self.open & np.isfinite(level), level, -np.inf)
            if name == "rank":
                order = np.argsort(-level, axis=1, kind="stable")
                return (np.argsort(order, axis=1, kind="stable") + 1).astype(float)
            best = level.max(axis=1, keepdims=True)
            with np.errstate(invalid="ignore"):
                return np.where(np.isfinite(level), best - level, np.inf)
        if name == "estimate":
            return self._by_comparison(self.stage.estimate, pop)
        if name == "rejected":
            return self._by_comparison(self.rejected.astype(float), pop)
        if name == "best":
            return self.best()[:, 1:]
        if name == "posterior":
            return self._posterior(asked)
        z = self._by_comparison(self.combined, pop)
        if name == "z":
            return z
        if name == "p":
            return ndtr(-z)
        return self._power_to_come(asked, z)

    def _power_to_come(self, asked: Quantity, z: np.ndarray) -> np.ndarray:
        t = float(self.adaptive.fractions[self.k])
        c = self.adaptive.final_bound
        if t >= 1.0:
            return (z >= c).astype(float)
        if asked.name == "predictive_power":
            return ndtr((z - c * np.sqrt(t)) / np.sqrt(1.0 - t))
        drift = self._by_comparison(self.stage.z, asked.population)
        if asked.at is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                se = self._by_comparison(self.stage.se, asked.population)
                drift = self.direction * asked.at / se
        # z of the stages to come has mean drift * sqrt((1 - t) / t) at the planned size
        needed = (c - np.sqrt(t) * z) / np.sqrt(1.0 - t)
        return ndtr(drift * np.sqrt((1.0 - t) / t) - needed)

    def _posterior(self, asked: Quantity) -> np.ndarray:
        margin = 0.0 if asked.at is None else float(asked.at)
        if self.kind == "binary" and asked.population is None:
            data = self.arm_data()
            x, n = data.mean * data.n, data.n
            x = np.where(n > 0, x, 0.0)
            if self.direction < 0:
                x = n - x
            found = [
                rate_better((x[:, 0], n[:, 0]), (x[:, c], n[:, c]), margin)
                for c in range(1, n.shape[1])
            ]
            return np.column_stack(found)
        with np.errstate(divide="ignore", invalid="ignore"):
            estimate = self._by_comparison(self.stage.estimate, asked.population)
            se = self._by_comparison(self.stage.se, asked.population)
            return ndtr((self.direction * estimate - margin) / se)

    def arm_data(self) -> ArmData:
        """Data of each arm so far."""
        batch, n_arms = self.batch, len(self.adaptive.arms)
        shape = (batch.n_trials, n_arms)
        n, mean, variance, level, spread = (np.zeros(shape) for _ in range(5))
        times = self.kind == "time_to_event"
        known = batch.calendar_event <= self.month[:, None]
        if times:
            entered = batch.enrolment <= self.month[:, None]
            stop = np.minimum(batch.exit, self.month[:, None])
            months = np.where(entered, stop - np.where(entered, batch.enrolment, 0.0), 0.0)
        else:
            response = final_response(batch)
        with np.errstate(divide="ignore", invalid="ignore"):
            for a in range(n_arms):
                mine = batch.arm == a
                seen = known & mine
                n[:, a] = seen.sum(axis=1)
                if times:  # log hazard, with a half event more so that none is no infinity
                    there = np.where(mine, months, 0.0).sum(axis=1)
                    mean[:, a] = n[:, a] / there
                    level[:, a] = -np.log((n[:, a] + 0.5) / np.maximum(there, 1e-9))
                    spread[:, a] = 1 / np.sqrt(n[:, a] + 0.5)
                    continue
                mean[:, a] = np.where(seen, response, 0.0).sum(axis=1) / n[:, a]
                gaps = np.where(seen, response - mean[:, a][:, None], 0.0)
                variance[:, a] = (gaps**2).sum(axis=1) / (n[:, a] - 1)
                level[:, a] = self.direction * mean[:, a]
                spread[:, a] = np.sqrt(variance[:, a] / n[:, a])
        return ArmData(n, mean, variance, level, spread)

    def best(self) -> np.ndarray:
        """Posterior chance that each open arm, the control among them, is the best, (n, n_arms)."""
        data = self.arm_data()
        here = np.column_stack([np.ones(len(self.open), bool), self.open])
        if self.kind == "binary":
            x = np.where(data.n > 0, data.mean * data.n, 0.0)
            return best_of_rates(x if self.direction > 0 else data.n - x, data.n, here)
        known = np.isfinite(data.level) & np.isfinite(data.spread) & (data.spread > 0)
        # an arm about which nothing is known yet may be anywhere
        centre = np.nanmean(np.where(known, data.level, np.nan), axis=1, keepdims=True)
        wide = np.nanmax(np.where(known, data.spread, np.nan), axis=1, keepdims=True) * 10
        level = np.where(known, data.level, np.nan_to_num(centre))
        spread = np.where(known, data.spread, np.where(np.isfinite(wide), wide, 1.0))
        return best_of_normals(level, spread, here)

    # -- conditions -----------------------------------------------------------------------------

    def holds(self, condition: Condition) -> np.ndarray:
        """Whether a condition holds, (n,) of the trial or (n, C) of each comparison, bool."""
        if isinstance(condition, Comparison):
            value = self.of(condition.quantity)
            with np.errstate(invalid="ignore"):
                return {
                    ">=": value >= condition.value,
                    ">": value > condition.value,
                    "<=": value <= condition.value,
                    "<": value < condition.value,
                }[condition.sign]
        if isinstance(condition, NotSo):
            found = ~self.holds(condition.condition)
            return found & self._known(condition, found)
        assert isinstance(condition, AllOf | AnyOf)
        parts = [self.holds(one) for one in condition.conditions]
        if any(part.ndim == 2 for part in parts):
            parts = [part if part.ndim == 2 else part[:, None] for part in parts]
        join = np.logical_and if isinstance(condition, AllOf) else np.logical_or
        return join.reduce(np.broadcast_arrays(*parts))

    def _known(self, condition: Condition, like: np.ndarray) -> np.ndarray:
        """Whether all numbers of a condition are known: the opposite of an unknown is not so."""
        known = np.ones(like.shape, bool)
        for one in condition.comparisons():
            value = ~np.isnan(self.of(one.quantity))
            known &= value if value.ndim == known.ndim else value[:, None]
        return known
