"""Differentially private fits: noise on sufficient statistics, carried into every parameter draw.

Two kinds of histogram are released, each patient in exactly one cell of each: arm by outcome (for
survival: arm by interval by event or censoring, from which events and person-time follow; for
binary and ordinal outcomes arm by level), and one margin for every covariate. Each gets discrete
Gaussian noise (Canonne, Kamath and Steinke 2020) under zero-concentrated differential privacy (Bun
and Steinke 2016): ``epsilon = rho + 2 sqrt(rho ln(1 / delta))``, sensitivity 1 for a patient added
or removed, half of rho for the outcome and half shared by the covariates. Associations among
covariates and their effects on the outcome are not released: covariates are drawn independently.
Levels, bounds, knots, arms and the times at which follow-up ends administratively are taken as
public and are listed in the report; bounds and knots are round numbers outside the data, so that no
patient's own value stands among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trial_sim.base.storage import storable
from trial_sim.covariates.encoding import encode
from trial_sim.data.endpoints import Binary, CompetingRisks, Endpoint, Ordinal, TimeToEvent
from trial_sim.data.schema import Column, TrialSchema
from trial_sim.data.trial import Trial
from trial_sim.numerics.told import told_range, upper_end
from trial_sim.outcomes.features import FeatureMap
from trial_sim.outcomes.hazard_grid import HazardGrid, resolution_of
from trial_sim.outcomes.linear import LinearPart
from trial_sim.outcomes.responses.binary import BinaryModel
from trial_sim.outcomes.responses.ordinal import OrdinalModel
from trial_sim.outcomes.times.cause_hazards import HazardModel, tail_of
from trial_sim.outcomes.times.follow_up import FollowUp, administrative_ends, followed_times, near

INTERVALS = 8  # equal intervals of follow-up
BINS = 10  # equal bins of a numeric covariate
SERVED = (TimeToEvent, CompetingRisks, Binary, Ordinal)


def rho_of(epsilon: float, delta: float) -> float:
    """The zCDP budget of an (epsilon, delta) guarantee.

    Raises:
        ValueError: epsilon not positive, or delta outside (0, 1).
    """
    if not epsilon > 0:
        raise ValueError(f"epsilon must be positive, received {epsilon!r}")
    if not 0 < delta < 1:
        raise ValueError(f"delta must lie between 0 and 1, received {delta!r}")
    root = np.log(1 / delta)
    return float((np.sqrt(root + epsilon) - np.sqrt(root)) ** 2)


def discrete_gaussian(sigma: float, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Integers with probability proportional to exp(-x^2 / (2 sigma^2)), by inversion."""
    reach = int(np.ceil(12 * sigma)) + 1
    support = np.arange(-reach, reach + 1)
    weight = np.cumsum(np.exp(-(support**2) / (2 * sigma**2)))
    return support[np.searchsorted(weight / weight[-1], rng.random(shape))]


@storable
@dataclass(frozen=True)
class PrivacyRecord:
    """What was spent, on what, under which assumptions; printed with every use.

    Attributes:
        sigma_outcome, sigma_covariates: standard deviations of the noise on a cell.
        sampling_error, noise_error: standard error of the log ratio of two arms' events from
            sampling, and what the noise adds; ``warning`` says whether the trial is too small.
    """

    epsilon: float
    delta: float
    rho: float
    unit: str
    sigma_outcome: float
    sigma_covariates: float
    bounds: dict[str, tuple[float, float]]
    sampling_error: float
    noise_error: float
    warning: str

    def __str__(self) -> str:
        limits = ", ".join(f"{k} in [{a:g}, {b:g}]" for k, (a, b) in self.bounds.items())
        return (
            f"({self.epsilon:g}, {self.delta:g})-differential privacy (rho {self.rho:.4f}) for "
            f"{self.unit}; noise per cell: outcome {self.sigma_outcome:.2f}, covariates "
            f"{self.sigma_covariates:.2f}; taken as public: arms, levels, knots, {limits}. "
            f"{self.warning}"
        )


@storable
@dataclass(frozen=True)
class PrivateMargins:
    """Independent covariates from noisy histograms.

    Attributes:
        histograms: per column, noisy counts of its levels or bins, the last cell the gaps.
        sigma: of the noise.
    """

    columns: tuple[Column, ...]
    histograms: tuple[np.ndarray, ...]
    sigma: float
    name = "private_margins"
    copies_rows = False

    def draw(self, rng: np.random.Generator | None) -> list[np.ndarray]:
        """Cell probabilities; a draw adds the noise once more and a Dirichlet posterior."""
        out = []
        for counts in self.histograms:
            used = np.maximum(counts, 0.0)
            if rng is not None:
                used = np.maximum(counts + self.sigma * rng.standard_normal(len(counts)), 0.0)
                used = rng.standard_gamma(used)
            used = used if used.sum() > 0 else np.ones(len(counts))
            out.append(used / used.sum())
        return out

    def sample(
        self, n: int, rng: np.random.Generator, parameters: list[np.ndarray], allowed: Any = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Codes (n, n_columns) and weights (0 where ``allowed`` refuses, else 1)."""
        out, keep = np.empty((n, len(self.columns))), np.ones(n)
        for k, column in enumerate(self.columns):
            cell = rng.choice(len(parameters[k]), n, p=parameters[k]).astype(float)
            gap = cell == len(parameters[k]) - 1
            if not column.discrete:
                low, high = column.lower or 0.0, column.upper or 0.0
                cell = low + (cell + rng.random(n)) * (high - low) / BINS
                cell = column.rounded(cell)
            out[:, k] = np.where(gap, np.nan, cell)
            if allowed and column.name in allowed:
                keep = keep * allowed[column.name](out[:, k])
        return out, keep


def histogram(codes: np.ndarray, column: Column) -> np.ndarray:
    """Counts of levels or equal bins, and of gaps in the last cell."""
    gaps = np.isnan(codes)
    if column.discrete:
        counts = np.bincount(codes[~gaps].astype(int), minlength=len(column.levels))
    else:
        low, high = column.lower or 0.0, column.upper or 0.0
        width = (high - low) or 1.0
        # a value at an edge is in the bin above it, whatever the unit
        place = ((codes[~gaps] - low) / width * BINS + 1e-9).astype(int)
        place = np.clip(place, 0, BINS - 1)
        counts = np.bincount(place, minlength=BINS)
    return np.append(counts, gaps.sum()).astype(float)


def private_fit(
    trial: Trial,
    record: Endpoint,
    schema: TrialSchema,
    epsilon: float,
    delta: float,
    tail: str,
    noise_seed: int | None,
) -> tuple[Any, Any, TrialSchema, PrivacyRecord]:
    """Generator, outcome model, schema with noisy arm sizes, and the privacy record.

    Args:
        noise_seed: None takes the noise from the operating system (as a release must); a number is
            for tests and studies, and makes the guarantee void for whoever knows it.

    Raises:
        ValueError: an endpoint kind that is not served, or a budget that makes no sense.
    """
    if getattr(record, "entry", None) is not None:
        raise ValueError("epsilon= takes no delayed entry: the private fit has no risk sets for it")
    if not isinstance(record, SERVED):
        raise ValueError(
            f"epsilon= serves time-to-event, competing-risks, binary and ordinal endpoints, not "
            f"{record.kind}"
        )
    rho = rho_of(epsilon, delta)
    seed = np.random.SeedSequence(noise_seed)  # None: entropy of the operating system
    rng = np.random.Generator(np.random.Philox(seed))
    base = trial.baseline
    codes = encode(base, schema.columns)
    schema = replace(schema, columns=round_bounds(codes, schema.columns))
    share = rho / 2 / max(len(schema.columns), 1)
    sigma_x = float(np.sqrt(1 / (2 * share)))
    histograms = []
    for k, column in enumerate(schema.columns):
        counts = histogram(codes[:, k], column)
        histograms.append(counts + discrete_gaussian(sigma_x, counts.shape, rng))
    generator = PrivateMargins(schema.columns, tuple(histograms), sigma_x)
    sigma = float(np.sqrt(1 / rho))  # half of rho, one query of sensitivity 1
    arm = np.zeros(len(base), dtype=int)
    for a, label in enumerate(trial.arms):
        arm[(base[trial.arm] == label).to_numpy()] = a
    linear = LinearPart.empty(
        FeatureMap(tuple(c.name for c in schema.columns), ()), (), max(len(trial.arms), 1)
    )
    reference = codes[:1] * np.nan
    if isinstance(record, TimeToEvent | CompetingRisks):
        outcome, cells = _survival(trial, record, arm, linear, reference, sigma, rng, tail)
    else:
        outcome, cells = _levels(trial, record, arm, linear, reference, sigma, rng)
    sizes = tuple(int(max(round(float(s)), 1)) for s in cells.reshape(len(cells), -1).sum(axis=1))
    schema = replace(schema, arm_sizes=sizes)
    bounds = {
        c.name: (float(c.lower or 0), float(c.upper or 0)) for c in schema.columns if not c.discrete
    }
    sampling, noise = _errors(record, cells, sigma)
    warning = (
        f"The noise adds an error of {noise:.3f} to a standard error of about {sampling:.3f} of "
        "the log effect."
    )
    if noise > sampling:
        warning += " The trial is too small for this epsilon: the effect is not kept."
    if isinstance(record, TimeToEvent | CompetingRisks):
        bounds[record.duration] = (0.0, float(outcome.events.knots[-1]))
        for j, end in enumerate(outcome.follow_up.ends):
            bounds[f"{record.duration} at administrative end {j + 1}"] = (float(end), float(end))
    report = PrivacyRecord(
        float(epsilon),
        float(delta),
        rho,
        "one patient added or removed",
        sigma,
        sigma_x,
        bounds,
        sampling,
        noise,
        warning,
    )
    return generator, outcome, schema, report


def round_bounds(codes: np.ndarray, columns: Sequence[Column]) -> tuple[Column, ...]:
    """The columns with round numbers outside the data, or ends that five patients share, as bounds:
    the least and the greatest value are those of two patients."""
    out = []
    for k, column in enumerate(columns):
        seen = codes[~np.isnan(codes[:, k]), k]
        if not column.discrete and len(seen):
            low, high = map(float, told_range(seen))
            step = column.step
            if step and column.lower is not None and column.upper is not None:
                # the next points of the column's own grid, which all patients share
                low = column.lower - step * np.ceil((column.lower - low) / step - 1e-9)
                high = column.upper + step * np.ceil((high - column.upper) / step - 1e-9)
            column = replace(column, lower=float(low), upper=float(high))
        out.append(column)
    return tuple(out)


def _errors(record: Endpoint, cells: np.ndarray, sigma: float) -> tuple[float, float]:
    """Standard error of a log ratio of two arms' events: sampling, and from the noise."""
    if isinstance(record, TimeToEvent | CompetingRisks):
        events, parts = np.maximum(cells[:, :, 1].sum(axis=1), 1.0), cells.shape[1]
    else:
        flat = cells.reshape(len(cells), -1)
        events, parts = np.maximum(flat[:, -1], 1.0), 1
    pair = events[[0, -1]]
    return float(np.sqrt((1 / pair).sum())), float(np.sqrt(parts * (sigma**2 / pair**2).sum()))


def _survival(trial, record, arm, linear, reference, sigma, rng, tail):
    """Arm by interval by (censored, causes) cells, noisy; events and person-time from them.

    Patients who stop at an administrative end have a cell of their own, (censored then)."""
    duration, cause = record.columns
    recorded = trial.patients[duration].to_numpy(dtype=float)
    causes = trial.patients[cause].to_numpy(dtype=float).astype(int)
    unit = resolution_of(recorded)
    ends = administrative_ends(recorded, causes == 0, unit)
    at_end = (causes == 0) & near(recorded, ends)
    last = upper_end(recorded)
    last = last if not unit else np.ceil(last / unit - 1e-9) * unit
    knots = np.unique(np.r_[np.linspace(0, last, INTERVALS + 1), ends])
    knots = knots[np.r_[True, np.diff(knots) > 1e-9 * last]]
    times = followed_times(recorded, unit, at_end)
    n_arms, n_causes, k = linear.n_arms, max(int(causes.max()), 1), len(knots) - 1
    cells = np.zeros((n_arms, k, n_causes + 2))
    place = np.clip(np.searchsorted(knots, times * (1 - 1e-9), side="left") - 1, 0, k - 1)
    np.add.at(cells, (arm, place, np.where(at_end, n_causes + 1, causes)), 1)
    noisy = cells + discrete_gaussian(sigma, cells.shape, rng)
    # where nobody can stop administratively there is no cell, and no noise
    noisy[:, ~near(knots[1:], ends), -1] = 0.0
    kept = np.maximum(noisy, 0.0)
    stop, within = kept[:, :, -1], kept[:, :, :-1].sum(axis=2)
    leave = stop + within
    after = np.cumsum(leave[:, ::-1], axis=1)[:, ::-1] - leave
    exposure = np.maximum((after + stop + within / 2) * np.diff(knots), 1e-9 * last)
    events = HazardGrid(knots, kept[:, :, 1:-1], exposure, noise=sigma)
    lost = HazardGrid(knots, kept[:, :, :1], exposure, noise=sigma)
    at = [int(np.flatnonzero(near(knots[1:], ends[j : j + 1]))[0]) for j in range(len(ends))]
    followed = np.maximum(after[:, at] + stop[:, at], 1e-9)
    follow_up = FollowUp(lost, ends, np.stack([stop[:, at], followed], axis=2))
    empty = [(np.zeros(0), np.zeros((0, 0)))] * n_causes
    tail, _ = tail_of(tail, causes)
    model = HazardModel(
        "private_hazards",
        (duration, cause),
        unit,
        False,
        linear.with_fits(empty),
        events,
        follow_up,
        np.zeros((n_arms, n_causes)),
        reference,
        knots,
        tail,
        (),
    )
    return model, noisy


def _levels(trial, record, arm, linear, reference, sigma, rng):
    """Arm by level cells (gaps the last), noisy."""
    import pandas as pd

    levels: Sequence[Any] = (0, 1)
    if isinstance(record, Ordinal):
        levels = record.ordered_levels(trial.patients)
    at = pd.Categorical(trial.patients[record.column], categories=list(levels)).codes.astype(int)
    cells = np.zeros((linear.n_arms, len(levels) + 1))
    np.add.at(cells, (arm, np.where(at < 0, len(levels), at)), 1)
    noisy = cells + discrete_gaussian(sigma, cells.shape, rng)
    kept = np.maximum(noisy, 0.0)
    gaps = np.column_stack([kept[:, -1], np.maximum(kept.sum(axis=1), 1.0)])
    linear = linear.with_fits([(np.zeros(0), np.zeros((0, 0)))])
    if isinstance(record, Ordinal):
        counts = np.maximum(kept[:, :-1], 1e-3)
        model: Any = OrdinalModel(
            "private_levels",
            record.column,
            tuple(levels),
            linear,
            counts,
            gaps,
            reference,
            (),
            noise=sigma,
        )
    else:
        counts = np.column_stack([kept[:, 1], np.maximum(kept[:, 0] + kept[:, 1], 1e-3)])
        model = BinaryModel(
            "private_rates", record.column, linear, counts, gaps, reference, (), noise=sigma
        )
    return model, noisy[:, :-1] if isinstance(record, Binary) else noisy
