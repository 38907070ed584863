"""Rates of enrolment: fitted by shapes, averaged by how well each fits, drawn into the future.

The log rate at month t is that at the cut-off, plus a shape, plus a wander (a random walk). Shapes:
``constant``; ``plan``, the accrual of the design times a factor; ``ramp``, a line up to a plateau;
``decay``, an exponential fall; ``step``, another level before some month; ``sites``, in proportion
to the sites open. Counts by interval are Poisson; given shape and size of the wander the log rate
is normal (Laplace's method), and evidence weighs shapes and sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba as nb
import numpy as np
import pandas as pd
from scipy.special import gammaln, logsumexp

from trial_sim.design.accrual import Accrual
from trial_sim.prediction.models.choice import AVERAGE, chosen

# Prior chance of each shape in an average, before the data speak: as likely as not, the rate has
# changed in a way that the plan does not say.
WEIGHTS = {
    "constant": 0.25, "plan": 0.25, "ramp": 0.15, "decay": 0.1, "step": 0.25, "sites": 0.25,
}  # fmt: skip
CLOSED = "closed"
SHAPES = tuple(WEIGHTS)
MODELS = (AVERAGE, *SHAPES, CLOSED)
# Standard deviations of the wander after a month, and their prior chances.
_WANDERS = (0.0, 0.04, 0.08, 0.15, 0.3)
_CHANCES = (0.7, 0.12, 0.1, 0.06, 0.02)
_LONGEST = 12.0  # months after which a rate has wandered as far as it will
_LEVEL_SD = 1.0  # of the log rate around the plan, for shapes other than the plan's
_STEP_SD = 0.7  # of the log of the ratio of rates before and after a step
_GOES_ON = 0.4  # prior chance that a decay goes on after the cut-off
_FEWEST = 0.5  # of the present rate, to which a decay falls at most
# Ends of a ramp, shares of the past, and their prior chances: less for growth that goes on.
_TIMES = np.array([0.3, 0.45, 0.6, 0.7, 0.8, 0.9, 1.0, 1.15, 1.35, 1.6, 2.0, 3.0])
_ENDS = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.7, 0.5, 0.4, 0.4, 0.4]) / 9.4
_HALVES = np.array([0.4, 0.7, 1.2, 2.0, 3.5])  # half-lives of a decay, shares of the past
_STEPS = np.array([0.3, 0.45, 0.6, 0.7, 0.8, 0.88])  # months of a step, shares of the past
_MOST_INTERVALS = 36


@dataclass(frozen=True, eq=False)
class EnrolmentFit:
    """Enrolment as fitted; months since the opening.

    Attributes:
        cutoff: month of the data cut. n_seen: patients by then.
        shape, size: (k,) name of each candidate's shape, and size of its wander. weight: (k,) of
            it. level, sd: (k,) of the log rate at the cut-off. log_evidence: (k,).
        future: (k, f) log of each candidate's rate over that at the cut-off, by interval of
            ``starts`` (f,), months after the cut-off.
        mean: log rates fitted to the past, averaged, (b,) by interval of ``edges`` (b + 1,).
    """

    cutoff: float
    n_seen: int
    shape: np.ndarray
    size: np.ndarray
    weight: np.ndarray
    level: np.ndarray
    sd: np.ndarray
    log_evidence: np.ndarray
    starts: np.ndarray
    future: np.ndarray
    edges: np.ndarray
    mean: np.ndarray

    @property
    def table(self) -> pd.DataFrame:
        """One row a shape: weight, log evidence of its best candidate, rate a month now."""
        rows = []
        for name in dict.fromkeys(self.shape):
            mine = self.shape == name
            share = self.weight[mine].sum()
            inner = self.weight[mine] / share if share > 0 else np.ones(mine.sum()) / mine.sum()
            rows.append(
                {
                    "model": name,
                    "weight": float(share),
                    "log_evidence": float(self.log_evidence[mine].max()),
                    "rate_at_cutoff": float(np.exp(inner @ self.level[mine])),
                    "wander_a_month": float(inner @ self.size[mine]),
                }
            )
        return pd.DataFrame(rows).sort_values("weight", ascending=False, ignore_index=True)

    @property
    def rate(self) -> float:
        """Patients a month at the cut-off, averaged."""
        return float(np.exp(self.weight @ self.level))

    def draw(
        self, n_draws: int, n_patients: int, random: np.random.Generator, factor: Any = None
    ) -> np.ndarray:
        """Months at which ``n_patients`` more come, (n_draws, n_patients), ascending.

        factor: (f,) or function of months after the cut-off (f,), by which rates are multiplied.
        """
        share = np.cumsum(self.weight)
        points = (np.arange(n_draws) + random.random()) / n_draws
        chosen = random.permutation(np.minimum(np.searchsorted(share, points), len(share) - 1))
        level = self.level[chosen] + self.sd[chosen] * _even_normals(n_draws, random)
        walked = np.minimum(self.starts, _LONGEST)
        gaps = np.diff(walked, prepend=0.0)
        steps = random.normal(size=(n_draws, len(gaps))) * np.sqrt(gaps)
        wander = np.cumsum(self.size[chosen, None] * steps, axis=1)
        # A walk adds to the mean rate what its spread adds: taken off, so that rates do not drift.
        wander -= 0.5 * self.size[chosen, None] ** 2 * walked
        log_rate = level[:, None] + self.future[chosen] + wander
        rates = np.exp(np.clip(log_rate, -30.0, 30.0))
        if factor is not None:
            rates = rates * factor
        target = np.cumsum(random.exponential(1.0, (n_draws, n_patients)), axis=1)
        _arrive(target, self.starts, np.ascontiguousarray(rates))
        return self.cutoff + target


def _even_normals(n: int, random: np.random.Generator) -> np.ndarray:
    """Normal draws, one in each of n equally likely intervals, in random order."""
    from scipy.special import ndtri

    return np.asarray(ndtri(random.permutation((np.arange(n) + random.random(n)) / n)))


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _arrive(target, starts, rates):
    """Turn cumulative intensities (n_draws, m), ascending, into months since the first start."""
    n_draws, m = target.shape
    f = starts.shape[0]
    for d in range(n_draws):
        k = 0
        spent = 0.0
        for i in range(m):
            while k < f - 1 and spent + rates[d, k] * (starts[k + 1] - starts[k]) <= target[d, i]:
                spent += rates[d, k] * (starts[k + 1] - starts[k])
                k += 1
            target[d, i] = starts[k] + (target[d, i] - spent) / rates[d, k]


def chosen_shapes(model: Any) -> tuple[str, ...]:
    """Shapes that a model names: one, several, or all for ``"average"``.

    Raises:
        ValueError, TypeError: for names that are not known.
    """
    return chosen(model, "enrolment", "enrolment model", MODELS, SHAPES)


def fit_enrolment(
    months: np.ndarray,
    cutoff: float,
    accrual: Accrual,
    model: Any = AVERAGE,
    window: float | None = None,
    prior_patients: float = 4.0,
    openings: np.ndarray | None = None,
) -> EnrolmentFit:
    """Fit the enrolment so far.

    Args:
        months: (n,) of enrolment, all up to ``cutoff``. accrual: the plan.
        model: ``"average"``, a shape or several.
        window: months before the cut-off that are looked at; all by default.
        prior_patients: patients that the plan's rate counts for, beside those enrolled.
        openings: month in which each site opened; None where sites are not known.

    Raises:
        ValueError: for an unknown model, a window that is not positive or in which nobody came.
    """
    wanted = chosen_shapes(model)
    if "sites" in wanted and openings is None:
        if wanted == ("sites",):
            raise ValueError("enrolment model 'sites' needs a column 'site'")
        wanted = tuple(n for n in wanted if n != "sites")
    start = 0.0
    if window is not None:
        if not window > 0:
            raise ValueError(f"enrolment_window must be positive months, got {window!r}")
        start = max(cutoff - float(window), 0.0)
    inside = months[months > start] if start > 0 else months
    span = max(cutoff - start, 1e-9)
    n_intervals = int(np.clip(round(2 * span), 4, _MOST_INTERVALS))
    edges = start + span * np.arange(n_intervals + 1) / n_intervals
    counts = np.histogram(inside, edges)[0].astype(float)
    starts = np.concatenate([np.arange(0.0, 24.0, 0.5), np.geomspace(24.0, 600.0, 40)])
    middle = (edges[1:] + edges[:-1]) / 2
    ahead = cutoff + starts + np.append(np.diff(starts), 1.0) / 2
    planned = _planned_rates(accrual, edges, cutoff, starts)
    crude = (len(inside) + 1.0) / (span + 1.0 / max(planned[2], 1e-6))
    shapes: list[str] = []
    past: list[np.ndarray] = []
    future: list[np.ndarray] = []
    priors: list[tuple[float, float, float, float]] = []  # level, its sd, chance, step month
    sizes: list[float] = []
    vague = (np.log(crude), _LEVEL_SD)

    def add(name: str, back: np.ndarray, on: np.ndarray, chance: float, step: float = 0.0) -> None:
        level = vague
        if name in ("plan", "ramp") and planned[2] > 0:  # a ramp leads up to the plan
            top = on.max() if name == "ramp" else 0.0
            level = (np.log(planned[2]) - top, 1.0 / np.sqrt(max(prior_patients, 1e-3)))
        few = name not in ("constant", "plan", "sites")
        for size, likely in zip(_WANDERS, _CHANCES):
            if few and size not in (0.0, 0.1):
                continue
            if few:
                likely = 0.7 if size == 0 else 0.3
            shapes.append(name)
            past.append(back)
            future.append(on)
            sizes.append(size)
            priors.append((*level, WEIGHTS[name] * chance * likely, step))

    flat, flat_ahead = np.zeros(n_intervals), np.zeros(len(starts))
    if "constant" in wanted:
        add("constant", flat, flat_ahead, 1.0)
    if "plan" in wanted and planned[2] > 0 and (planned[0][counts > 0] > 0).all():
        back = np.log(np.maximum(planned[0], 1e-9) / planned[2])
        ahead_plan = np.log(np.maximum(planned[1], 1e-9) / planned[2])
        add("plan", back, ahead_plan, 1.0)
    if "ramp" in wanted:
        for share, likely in zip(_TIMES, _ENDS):
            top = cutoff * share
            height = np.minimum(np.maximum(np.append(middle, cutoff) / top, 0.03), 1.0)
            beyond = np.minimum(ahead / top, 1.0)
            add("ramp", np.log(height[:-1] / height[-1]), np.log(beyond / height[-1]), likely)
    if "decay" in wanted:
        for share in _HALVES:
            fall = np.log(2) / (cutoff * share)
            back = np.minimum((cutoff - middle) * fall, 6.0)
            further = np.log(np.maximum(np.exp(-(ahead - cutoff) * fall), _FEWEST))
            # Whether a rate goes on to fall, or has come to rest, the past does not tell.
            add("decay", back, flat_ahead, (1 - _GOES_ON) / len(_HALVES))
            add("decay", back, further, _GOES_ON / len(_HALVES))
    if "step" in wanted:
        for share in _STEPS:
            add("step", flat, flat_ahead, 1 / len(_STEPS), start + span * share)
    if "sites" in wanted and openings is not None:
        opened = np.sort(openings)
        number = np.maximum(np.searchsorted(opened, middle, side="right"), 0.5)
        back = np.log(number / max(np.searchsorted(opened, cutoff, side="right"), 1))
        add("sites", back, flat_ahead, 1.0)
    if not shapes:
        raise ValueError(
            f"no enrolment model of {wanted} can have produced these patients: the plan's rate is "
            "0 where some came, or at the cut-off"
        )
    level, sd, evidence, fitted = _laplace(
        counts, edges, cutoff, np.array(past), np.array(sizes), np.array([p[:2] for p in priors]),
        np.array([p[3] for p in priors]),
    )  # fmt: skip
    scores = np.log([p[2] for p in priors]) + evidence
    weight = np.exp(scores - logsumexp(scores))
    return EnrolmentFit(
        cutoff, len(inside), np.array(shapes), np.array(sizes), weight, level, sd, evidence, starts,
        np.array(future), edges, weight @ fitted,
    )  # fmt: skip


def _planned_rates(
    accrual: Accrual, edges: np.ndarray, cutoff: float, starts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean planned rate of each interval, of the past and after the cut-off, and at the cut-off."""
    pieces, rates = accrual.pieces()

    def cumulative(t: np.ndarray) -> np.ndarray:
        reached = np.concatenate([[0.0], np.cumsum(rates[:-1] * np.diff(pieces))])
        k = np.maximum(np.searchsorted(pieces, t, side="right") - 1, 0)
        return np.asarray(reached[k] + rates[k] * (t - pieces[k]))

    past = np.diff(cumulative(edges)) / np.diff(edges)
    points = cutoff + np.append(starts, starts[-1] + 1.0)
    ahead = np.diff(cumulative(points)) / np.diff(points)
    width = min(1.0, cutoff) if cutoff > 0 else 1.0
    now = float(np.diff(cumulative(np.array([cutoff - width, cutoff])))[0] / width)
    if now <= 0:
        now = float(ahead[0])
    return past, ahead, now


def _laplace(
    counts: np.ndarray,
    edges: np.ndarray,
    cutoff: float,
    shape: np.ndarray,
    size: np.ndarray,
    prior: np.ndarray,
    step: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Log rate at the cut-off and evidence of each candidate (Rasmussen, Williams 2006, 3.4).

    Args:
        counts: (b,) by interval of ``edges``. shape: (k, b) log of rates over that at the cut-off.
        size: (k,) of the wander. prior: (k, 2) mean and sd of the log rate at the cut-off.
        step: (k,) month before which the level is another; 0 for none.

    Returns:
        level, sd, log evidence (k,) and fitted log rates (k, b).
    """
    middle = (edges[1:] + edges[:-1]) / 2
    back = cutoff - middle  # the walk goes backwards from the cut-off
    walk = np.minimum(back[:, None], back[None, :])
    early = ((middle < step[:, None]) & (step[:, None] > 0)).astype(float)
    own = _STEP_SD**2 * early[:, :, None] * early[:, None, :]
    kernel = prior[:, 1, None, None] ** 2 + size[:, None, None] ** 2 * walk + own
    mean = prior[:, :1] + shape
    width = np.log(np.diff(edges))
    f = (
        mean
        + np.log((counts.sum() + 1) / np.maximum(np.exp(mean + width).sum(axis=1), 1e-300))[:, None]
    )
    eye = np.eye(len(counts))
    for _ in range(40):
        expected = np.exp(np.clip(f + width, -40, 40))
        root = np.sqrt(expected)
        inner = eye + root[:, :, None] * kernel * root[:, None, :]
        right = expected * (f - mean) + counts - expected
        solved = np.linalg.solve(inner, (root * np.einsum("kij,kj->ki", kernel, right))[..., None])
        a = right - root * solved[..., 0]
        move = mean + np.einsum("kij,kj->ki", kernel, a) - f
        f = f + move * np.minimum(1.0, 2.0 / np.maximum(np.abs(move).max(axis=1), 1e-12))[:, None]
        if np.abs(move).max() < 1e-8:
            break
    expected = np.exp(np.clip(f + width, -40, 40))
    root = np.sqrt(expected)
    inner = eye + root[:, :, None] * kernel * root[:, None, :]
    log_likelihood = (counts * (f + width) - expected - gammaln(counts + 1)).sum(axis=1)
    evidence = (
        log_likelihood - 0.5 * ((f - mean) * a).sum(axis=1) - 0.5 * np.linalg.slogdet(inner)[1]
    )
    # The log rate at the cut-off itself: only the level is shared with the past.
    across = np.broadcast_to(prior[:, 1, None] ** 2, f.shape)
    level = prior[:, 0] + (across * a).sum(axis=1)
    weighted = np.linalg.solve(inner, (root * across)[..., None])[..., 0] * root
    variance = prior[:, 1] ** 2 - (across * weighted).sum(axis=1)
    return level, np.sqrt(np.maximum(variance, 1e-12)), evidence, f
