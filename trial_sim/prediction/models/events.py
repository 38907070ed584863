"""Hazards of events and of drop-out: fitted by families, averaged by how well each fits, drawn.

A draw is a family (chosen with its posterior probability, the same for all groups) and parameters
from its posterior law. A trial's arms are taken to be alike, in shape (a prior correlation of .8)
and in level (a hazard ratio of 1.65 lies one standard deviation from 1): what several arms show is
believed sooner. Whatever the family,
what is kept of a draw is its cumulative hazard at nodes of time, straight between them, so that
survival, residual times and curves are one formula.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numba as nb
import numpy as np
import pandas as pd
from scipy.special import logsumexp

from trial_sim.base.records import as_breakpoints, as_floats
from trial_sim.prediction.models.choice import AVERAGE, chosen
from trial_sim.prediction.models.hazard_families import (
    FAMILIES,
    SHAPE_SD,
    STEADY_SD,
    WEIGHTS,
    Family,
    family,
)
from trial_sim.prediction.models.posterior import Posterior, sample_posterior

MODELS = (AVERAGE, *FAMILIES)
SHORTEST = 0.5 / 30.4375  # half a day: what a time of 0 means
_PROPOSALS = 1200
_TOGETHER = 6000  # draws of all groups together
# Prior correlations of the groups' levels (.94: log hazard ratios of .5 are usual) and shapes, and
# what is tried after them.
_ALIKE = ((0.94, 0.8), (0.94, 0.5), (0.94, 0.25), (0.8, 0.25), (0.5, 0.0), (0.0, 0.0))
_LEAST_DRAWS = 300  # effective ones, below which a smaller correlation is taken
_NODES = 60  # of a sample of times, in its likelihood: as many by quantiles and by ratios
_HORIZON = 720.0  # months, up to which cumulative hazards are laid out
_EVENTS_A_PIECE = 25
_MOST_PIECES = 5
_LEAST_FOR_SPLINE = 10
_WORTH_A_WARNING = np.log(20.0)  # evidence against the model used, over the best


@dataclass(frozen=True, eq=False)
class DrawnHazards:
    """Cumulative hazards of groups, a draw a row.

    Attributes:
        nodes: (t,) months, from 0. cumulative: (n_draws, n_groups, t) at the nodes; straight
            between them, and after the last as before it.
    """

    nodes: np.ndarray
    cumulative: np.ndarray

    def at(self, months: np.ndarray) -> np.ndarray:
        """Cumulative hazard at months (m,), (n_draws, n_groups, m)."""
        before = np.searchsorted(self.nodes, months, side="right") - 1
        place = np.clip(before, 0, len(self.nodes) - 2)
        share = (months - self.nodes[place]) / (self.nodes[place + 1] - self.nodes[place])
        low, high = self.cumulative[..., place], self.cumulative[..., place + 1]
        return np.asarray(low + (high - low) * share)

    def scaled(self, factor: Any) -> DrawnHazards:
        """The same, multiplied by a number, or an array that broadcasts over draws and groups."""
        return DrawnHazards(self.nodes, self.cumulative * factor)

    def repeated(self, n_draws: int, n_groups: int) -> DrawnHazards:
        """One draw of one or all groups, as many times."""
        shape = (n_draws, n_groups, len(self.nodes))
        return DrawnHazards(self.nodes, np.broadcast_to(self.cumulative, shape))


@dataclass(frozen=True, eq=False)
class Together:
    """Draws of the parameters of all groups under a prior by which their shapes are alike.

    Attributes:
        draws: (k, n_groups, p). weights: (k,) summing to 1. log_ratio: log evidence of that prior
            over the one by which groups have nothing to do with each other.
    """

    draws: np.ndarray
    weights: np.ndarray
    log_ratio: float

    def resample(self, n: int, random: np.random.Generator) -> np.ndarray:
        """Equally weighted draws (n, n_groups, p), in random order."""
        points = (np.arange(n) + random.random()) / max(n, 1)
        place = np.searchsorted(np.cumsum(self.weights), points)
        return self.draws[random.permutation(np.minimum(place, len(self.weights) - 1))]


def together(one: Family, posts: Sequence[Posterior], random: np.random.Generator) -> Together:
    """Draws of several groups whose parameters are alike a priori.

    The groups' own posteriors are paired at random and weighted by the prior of all over the
    product of theirs. Where too few draws would count, correlations are taken to be smaller.
    """
    draws = np.stack([post.resample(_TOGETHER, random) for post in posts], axis=1)
    z = (draws - one.mean) / one.sd
    for levels, shapes in _ALIKE:
        log_weights = _log_ratio(z[:, :, :1], levels) + _log_ratio(z[:, :, 1:], shapes)
        total = float(logsumexp(log_weights))
        weights = np.exp(log_weights - total)
        if 1.0 / (weights**2).sum() >= _LEAST_DRAWS:
            break
    return Together(draws, weights, total - float(np.log(_TOGETHER)))


def _log_ratio(z: np.ndarray, alike: float) -> np.ndarray:
    """Log density (k,) of standard normal parameters (k, n_groups, p) with a correlation between
    the groups, over that of independent ones."""
    n, squares, sums = z.shape[1], (z * z).sum(axis=1), z.sum(axis=1) ** 2
    spread = 1.0 + (n - 1) * alike
    quadratic = (squares - alike / spread * sums) / (1.0 - alike)
    logs = -0.5 * (quadratic - squares + (n - 1) * np.log(1.0 - alike) + np.log(spread))
    return np.asarray(logs.sum(axis=1))


@dataclass(frozen=True, eq=False)
class FittedHazards:
    """Hazards of groups by one family or several.

    Attributes:
        groups: (n_groups,) their names. n_events: (n_groups,) events used.
        families: name → family. posteriors: name → one posterior a group. weights: name →
            posterior probability of the family. log_evidence: name → log evidence, groups together.
        joint: name → draws of all groups together, where their shapes are taken to be alike.
        month: length of one typical month ``u``. crude: cumulative hazard there.
    """

    groups: tuple[str, ...]
    n_events: np.ndarray
    families: dict[str, Family]
    posteriors: dict[str, list[Posterior]]
    weights: dict[str, float]
    log_evidence: dict[str, float]
    month: float
    joint: dict[str, Together] = field(default_factory=dict)

    @property
    def table(self) -> pd.DataFrame:
        """One row a family: weight, log evidence, and estimates by group."""
        rows = []
        for name, posts in self.posteriors.items():
            row: dict[str, Any] = {
                "model": name,
                "weight": self.weights[name],
                "log_evidence": self.log_evidence[name],
            }
            for group, post in zip(self.groups, posts):
                text = ", ".join(
                    f"{label} {value:.3g} ({np.sqrt(spread):.2g})"
                    for label, value, spread in zip(
                        self.families[name].labels, post.mode, np.diag(post.covariance)
                    )
                )
                row[group] = text
            rows.append(row)
        return pd.DataFrame(rows).sort_values("weight", ascending=False, ignore_index=True)

    def nodes(self) -> np.ndarray:
        """Months at which the cumulative hazards are laid out."""
        points = [np.array(f.breakpoints) * self.month for f in self.families.values()]
        return np.unique(np.concatenate([[0.0], np.geomspace(0.05, _HORIZON, 120), *points]))

    def draw(self, n_draws: int, random: np.random.Generator) -> DrawnHazards:
        """Draws of family and parameters."""
        nodes = self.nodes()
        out = np.empty((n_draws, len(self.groups), len(nodes)))
        names = list(self.weights)
        share = np.cumsum([self.weights[n] for n in names])
        points = (np.arange(n_draws) + random.random()) / n_draws
        chosen = random.permutation(np.minimum(np.searchsorted(share, points), len(names) - 1))
        for k, name in enumerate(names):
            rows = np.flatnonzero(chosen == k)
            if rows.size == 0:
                continue
            together = self.joint.get(name)
            if together is not None:
                drawn = together.resample(len(rows), random)
            for g, post in enumerate(self.posteriors[name]):
                parameters = post.resample(len(rows), random) if together is None else drawn[:, g]
                out[rows, g] = self._curve(name, parameters, nodes)
        return DrawnHazards(nodes, out)

    def estimate(self) -> DrawnHazards:
        """One draw: the survival of the families at their modes, averaged by their weights."""
        nodes = self.nodes()
        survival = np.zeros((len(self.groups), len(nodes)))
        for name, posts in self.posteriors.items():
            for g, post in enumerate(posts):
                curve = self._curve(name, post.mode[None], nodes)[0]
                survival[g] += self.weights[name] * np.exp(-curve)
        with np.errstate(divide="ignore"):
            cumulative = -np.log(survival)
        return DrawnHazards(nodes, np.minimum(cumulative, 700.0)[None])

    def _curve(self, name: str, parameters: np.ndarray, nodes: np.ndarray) -> np.ndarray:
        out = np.zeros((len(parameters), len(nodes)))
        found = self.families[name].hazard(parameters, nodes[1:] / self.month)[0]
        # A spline may turn down beyond the data: a cumulative hazard does not.
        out[:, 1:] = np.maximum.accumulate(np.minimum(found, 700.0), axis=1)
        return out

    def misfit(self) -> str:
        """What to say if another family fits much better than those used; empty otherwise."""
        used = max(self.log_evidence[n] for n, w in self.weights.items() if w > 0)
        best = max(self.log_evidence, key=lambda n: self.log_evidence[n])
        if self.log_evidence[best] - used < _WORTH_A_WARNING:
            return ""
        ratio = np.exp(min(self.log_evidence[best] - used, 50.0))
        names = ", ".join(n for n, w in self.weights.items() if w > 0)
        return (
            f"model {names!r} does not fit the follow-up: {best!r} is {ratio:,.0f} times as likely "
            "on the same data; model='average' weighs all families"
        )


def chosen_families(model: Any) -> tuple[str, ...]:
    """Families that a model names: one, several, or all for ``"average"``.

    Raises:
        ValueError, TypeError: for names that are not known.
    """
    return chosen(model, "model", "model", MODELS, FAMILIES)


def fit_hazards(
    time: np.ndarray,
    event: np.ndarray,
    group: np.ndarray,
    groups: Sequence[str],
    random: np.random.Generator,
    model: Any = AVERAGE,
    breakpoints: Any = (),
    relative: np.ndarray | None = None,
    planned: float | None = None,
    compare: Sequence[str] = FAMILIES,
    steady: bool = False,
    expected: np.ndarray | None = None,
    n_expected: float = 0.0,
) -> FittedHazards:
    """Fit hazards to months at risk, by family and group.

    Args:
        time: (n,) months at risk. event: (n,) bool. group: (n,) index into ``groups``.
        model: ``"average"``, a family or several. breakpoints: months of the piecewise exponential;
            by quantiles of the event times if none are given.
        relative: (n,) known hazard of each over that of the group; None for 1.
        planned: rate a month that the prior is centred at; the crude rate if None or 0.
        compare: families whose evidence is found beside, to tell a misfit.
        steady: whether the hazard has little to do with the time on study, as that of drop-out:
            a few events are then not taken for a trend that empties the trial, or ends drop-out.
        expected: (n_groups, m) months of equally likely events that were planned, inf where none
            comes; together they count as ``n_expected`` events of each group, seen beside the data.

    Raises:
        ValueError, TypeError: for an unknown model or unusable breakpoints.
    """
    wanted = chosen_families(model)
    points = check_breakpoints(breakpoints, wanted, time)
    time = np.maximum(time, SHORTEST)
    ratio = np.ones(len(time)) if relative is None else relative
    seen = np.sort(time[event])
    exposure, n_events = float(ratio @ time), len(seen)
    month = float(np.median(seen)) if n_events >= 3 else max(exposure / max(len(time), 1), 1.0)
    rate = (n_events + 0.5) / max(exposure, 1e-9)
    if planned:
        rate = (n_events + 1.0) / (exposure + 1.0 / planned)
    cuts = np.array(points) if points else _cuts(seen)
    knots = np.quantile(seen, [0.05, 0.5, 0.95]) if n_events >= _LEAST_FOR_SPLINE else np.zeros(3)
    bent = bool((np.diff(knots) > 1e-3).all()) and knots[0] > 0
    families: dict[str, Family] = {}
    for name in dict.fromkeys([*wanted, *compare]):
        if name == "piecewise_exponential" and not len(cuts):
            continue
        if name == "spline" and not bent:
            continue
        crude = min(max(rate * month, 1e-12), 50.0)
        shape_sd = STEADY_SD if steady else SHAPE_SD
        families[name] = family(name, crude, cuts / month, knots / month, shape_sd)
    if not set(families) & set(wanted):  # too few events for what was named
        families["exponential"] = family("exponential", min(max(rate * month, 1e-12), 50.0))
        wanted = ("exponential",)
    masks = [group == g for g in range(len(groups))]
    plan = np.empty((len(groups), 0)) if expected is None or not n_expected else expected / month
    samples = [
        _Sample.of(time[m] / month, event[m], ratio[m], beside, n_expected)
        for m, beside in zip(masks, plan)
    ]
    posteriors: dict[str, list[Posterior]] = {}
    evidence: dict[str, float] = {}
    joint: dict[str, Together] = {}
    for name, one in families.items():
        found = [sample_posterior(_density(one, s), one.mean, _PROPOSALS, random) for s in samples]
        posteriors[name] = found
        evidence[name] = float(sum(post.log_evidence for post in found))
        if len(found) > 1:
            joint[name] = together(one, found, random)
            evidence[name] += joint[name].log_ratio
    chances = dict.fromkeys(WEIGHTS, 1.0) if steady else WEIGHTS
    scores = {n: np.log(chances[n]) + evidence[n] for n in families if n in wanted}
    total = float(logsumexp(list(scores.values())))
    weights = {n: float(np.exp(scores[n] - total)) if n in scores else 0.0 for n in families}
    counts = np.array([int(event[m].sum()) for m in masks])
    return FittedHazards(
        tuple(groups), counts, families, posteriors, weights, evidence, month, joint
    )


def check_breakpoints(value: Any, wanted: tuple[str, ...], time: np.ndarray) -> tuple[float, ...]:
    """Breakpoints that the model and the data can use.

    Raises:
        ValueError, TypeError: for some that are not increasing, positive and within the follow-up,
            or for a model that has none.
    """
    points = as_floats(value, "breakpoints") if value is not None and np.size(value) else ()
    if not points:
        return ()
    if "piecewise_exponential" not in wanted:
        raise ValueError(
            f"breakpoints {list(points)} are not used by model {', '.join(wanted)!r}, only by "
            "'piecewise_exponential' and 'average'"
        )
    as_breakpoints(points, len(points) + 1, "the model")
    longest = float(time.max(initial=0.0))
    if points[-1] >= longest:
        raise ValueError(
            f"breakpoints must lie within the follow-up, whose longest is {longest:g} months: "
            f"nothing is known of the hazard after {points[-1]:g}"
        )
    return points


def _cuts(seen: np.ndarray) -> np.ndarray:
    """Breakpoints by the events themselves: equal numbers of events, more pieces for more."""
    n = min(len(seen) // _EVENTS_A_PIECE + 1, _MOST_PIECES)
    if n < 2:
        return np.empty(0)
    cuts = np.unique(np.quantile(seen, np.arange(1, n) / n))
    return cuts[(cuts > SHORTEST) & (cuts < seen[-1])]


@dataclass(frozen=True, eq=False)
class _Sample:
    """Times of one group, in as few numbers as their likelihood needs.

    Attributes:
        nodes: (m,) shares u. at_risk: (m,) weights with which cumulative hazards at the nodes make
            the sum over patients. events: (m,) the same of log hazards over events.
    """

    nodes: np.ndarray
    at_risk: np.ndarray
    events: np.ndarray

    @classmethod
    def of(
        cls,
        u: np.ndarray,
        event: np.ndarray,
        ratio: np.ndarray,
        beside: np.ndarray,
        n_beside: float,
    ) -> _Sample:
        """The sample, and beside it ``n_beside`` events spread evenly over times (m,)."""
        come = np.isfinite(beside)
        each = np.full(len(beside), n_beside / max(come.sum(), 1))
        longest = max(u.max(initial=0.0), beside[come].max(initial=0.0))
        u = np.concatenate([u, np.where(come, beside, longest)])
        ratio, weight = np.append(ratio, each), np.append(np.ones(len(event)), each)
        event = np.append(event, come)
        nodes = np.unique(u)
        if len(nodes) > 2 * _NODES:
            even = np.geomspace(nodes[0], nodes[-1], _NODES)
            even[[0, -1]] = nodes[[0, -1]]
            nodes = np.union1d(np.quantile(nodes, np.linspace(0, 1, _NODES)), even)
        if len(nodes) < 2:
            nodes = np.array([1.0, 2.0]) if len(nodes) == 0 else np.append(nodes, 2 * nodes[0])
        return cls(nodes, _spread(nodes, u, ratio), _spread(nodes, u[event], weight[event]))


def _spread(nodes: np.ndarray, u: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weights on nodes that stand for weighted points by linear interpolation."""
    place = np.clip(np.searchsorted(nodes, u, side="right") - 1, 0, len(nodes) - 2)
    share = np.clip((u - nodes[place]) / (nodes[place + 1] - nodes[place]), 0.0, 1.0)
    out = np.bincount(place, weight * (1 - share), len(nodes))
    return np.asarray(out + np.bincount(place + 1, weight * share, len(nodes)))


def _density(one: Family, sample: _Sample) -> Any:
    """Log posterior density of a family, for one group."""
    used = sample.events > 0

    def log_density(parameters: np.ndarray) -> np.ndarray:
        cumulative, log_hazard = one.hazard(parameters, sample.nodes)
        value = log_hazard[:, used] @ sample.events[used] - cumulative @ sample.at_risk
        return np.asarray(value + one.log_prior(parameters))

    return log_density


def residual_times(
    nodes: np.ndarray,
    cumulative: np.ndarray,
    group: np.ndarray,
    now: np.ndarray,
    exposure: np.ndarray,
    out: np.ndarray,
) -> None:
    """Months on study at which the hazard still to come is spent.

    Args:
        nodes: (t,) months. cumulative: (n_draws, n_groups, t). group: (n_draws, m).
        now: (m,) months on study already. exposure: (n_draws, m) cumulative hazard to come.
        out: (n_draws, m), filled; inf where it is never spent.
    """
    place = np.clip(np.searchsorted(nodes, now, side="right") - 1, 0, len(nodes) - 2)
    _residual_times(nodes, cumulative, group, now, place, exposure, out)


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _residual_times(nodes, cumulative, group, now, place, exposure, out):
    n_draws, m = exposure.shape
    last = nodes.shape[0] - 2
    for d in range(n_draws):
        for i in range(m):
            g = group[d, i]
            k = place[i]
            start = cumulative[d, g, k]
            slope = (cumulative[d, g, k + 1] - start) / (nodes[k + 1] - nodes[k])
            wanted = start + slope * (now[i] - nodes[k]) + exposure[d, i]
            low = k
            high = last + 1
            while high - low > 1:  # the last node whose hazard is not above the one wanted
                middle = (low + high) // 2
                if cumulative[d, g, middle] <= wanted:
                    low = middle
                else:
                    high = middle
            start = cumulative[d, g, low]
            slope = (cumulative[d, g, low + 1] - start) / (nodes[low + 1] - nodes[low])
            if slope > 1e-12:
                out[d, i] = max(nodes[low] + (wanted - start) / slope, now[i])
            else:
                out[d, i] = np.inf
