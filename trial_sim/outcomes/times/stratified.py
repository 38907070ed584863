"""Stratified survival fits: each stratum has baseline hazards of its own, covariates act in all.

The coefficients come from one Cox regression stratified by arm and stratum; baselines are
calibrated within each arm of each stratum, censoring is the arm's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from trial_sim.base.arguments import nearest
from trial_sim.base.storage import storable
from trial_sim.outcomes.base import FitData
from trial_sim.outcomes.linear import RIDGE, LinearPart
from trial_sim.outcomes.times.cause_hazards import HazardModel, HazardParameters
from trial_sim.outcomes.times.cox import fit_cox
from trial_sim.outcomes.times.follow_up import FollowUp, followed_times, later_than, near

FEW_EVENTS = 10  # an arm of a stratum with fewer joins the other strata
EACH = 6  # events an interval: the curves of all strata are cut at the same knots
MODELS = {"time_to_event": "cox_by_arm", "competing_risks": "cause_specific_by_arm"}


class StratifiedParameters(NamedTuple):
    """Parameters of each stratum."""

    strata: tuple[HazardParameters, ...]


@storable
@dataclass(frozen=True)
class StratifiedModel:
    """One hazard model a stratum.

    Attributes:
        column: index of the stratifying covariate. codes: its codes with a model of their own; the
            last model serves all others.
    """

    name: str
    column: int
    codes: tuple[float, ...]
    models: tuple[HazardModel, ...]
    notes: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, str]:
        """Duration and event."""
        return self.models[0].columns

    @property
    def follow_up(self) -> FollowUp:
        """The end of follow-up, the same in all strata."""
        return self.models[0].follow_up

    def stratum(self, codes: np.ndarray) -> np.ndarray:
        """Index of the model (n,) of each patient."""
        out = np.full(len(codes), len(self.models) - 1)
        for k, code in enumerate(self.codes):
            out[codes[:, self.column] == code] = k
        return out

    def draw(self, rng: np.random.Generator | None) -> StratifiedParameters:
        """Estimates, or one draw; all strata share the drawn coefficients."""
        coefficients = self.models[0].linear.draw(rng)
        drawn = []
        for model in self.models:
            fixed = replace(model.linear, coefficients=coefficients, roots=0 * model.linear.roots)
            drawn.append(replace(model, linear=fixed).draw(rng))
        return StratifiedParameters(tuple(drawn))

    def override(
        self, parameters: StratifiedParameters, effects: Mapping[int, float]
    ) -> StratifiedParameters:
        """Arm ``a`` of every stratum gets the control's hazard there times ``effects[a]``."""
        pairs = zip(self.models, parameters.strata)
        return StratifiedParameters(tuple(m.override(p, effects) for m, p in pairs))

    def latent(
        self, codes: np.ndarray, arm: np.ndarray, exponential: np.ndarray, p: StratifiedParameters
    ) -> tuple[np.ndarray, np.ndarray]:
        """Uncensored times (n,) and causes (n,)."""
        time, cause = np.empty(len(arm)), np.empty(len(arm), dtype=int)
        of = self.stratum(codes)
        for k, model in enumerate(self.models):
            mine = np.flatnonzero(of == k)
            if len(mine):
                time[mine], cause[mine] = model.latent(
                    codes[mine], arm[mine], exponential[mine], p.strata[k]
                )
        return time, cause

    def sample(
        self, codes: np.ndarray, arm: np.ndarray, rng: np.random.Generator, parameters: Any
    ) -> dict[str, np.ndarray]:
        """Observed duration and cause (0: censored)."""
        of = self.stratum(codes)
        out = {name: np.empty(len(arm)) for name in self.columns}
        for k, model in enumerate(self.models):
            mine = np.flatnonzero(of == k)
            if len(mine):
                part = model.sample(codes[mine], arm[mine], rng, parameters.strata[k])
                for name in out:
                    out[name][mine] = part[name]
        out[self.columns[1]] = out[self.columns[1]].astype(np.int64)
        return out


def fit(data: FitData, name: str, by: str) -> StratifiedModel:
    """Fit with the strata of covariate ``by``.

    Raises:
        ValueError: an endpoint or model that cannot be stratified, or a numeric ``by``.
    """
    allowed = MODELS.get(data.endpoint.kind)
    if name not in ("auto", allowed, f"{allowed}, stratified"):
        raise ValueError(
            f"stratify_by serves the models {', '.join(MODELS.values())}, received {name!r} for a "
            f"{data.endpoint.kind} endpoint"
        )
    names = [c.name for c in data.schema.columns]
    if by not in names:
        raise ValueError(f"no covariate column {by!r}{nearest(by, names)}")
    column = names.index(by)
    if not data.schema.columns[column].discrete:
        raise ValueError(f"stratify_by needs a categorical column; {by!r} is numeric")
    duration, cause = data.endpoint.columns
    causes = data.patients[cause].to_numpy(dtype=float).astype(int)
    values = data.codes[:, column]
    kept, notes = [], []
    for k, level in enumerate(data.schema.columns[column].levels):
        counts = [
            int(((values == k) & (data.arm == a) & (causes > 0)).sum()) for a in range(data.n_arms)
        ]
        if min(counts) >= FEW_EVENTS:
            kept.append(float(k))
        else:
            notes.append(
                f"stratum {by} = {level} has an arm with {min(counts)} events and shares the "
                "baseline of all strata"
            )
    base = HazardModel.fit(data, str(allowed), proportional=False, each=EACH)
    linear = LinearPart.empty(data.features, data.by, data.n_arms)
    design = linear.design(data.codes, data.arm)
    recorded = data.patients[duration].to_numpy(dtype=float)
    at_end = (data.dropped_out(causes == 0) > 0) & near(recorded, base.follow_up.ends)
    start = None if base.entry is None else base.entry.times(data.codes)
    times = later_than(followed_times(recorded, base.unit, at_end), start)
    place = np.full(len(values), len(kept))
    for k, code in enumerate(kept):
        place[values == code] = k
    strata = data.arm * (len(kept) + 1) + place
    fits = []
    for c in range(1, base.events.counts.shape[2] + 1):
        found = fit_cox(times, causes == c, design, strata, RIDGE, entry=start)
        fits.append((found.coefficients, found.covariance))
    shared = linear.with_fits(fits)
    rng = np.random.Generator(np.random.Philox(61))
    models = []
    for code in kept:
        mine = np.flatnonzero(values == code)
        alike = data.reference[data.reference[:, column] == code]
        pool = alike if len(alike) >= 30 else data.reference
        part = replace(
            data,
            patients=data.patients.iloc[mine].reset_index(drop=True),
            codes=data.codes[mine],
            arm=data.arm[mine],
            at_cutoff=None if data.at_cutoff is None else data.at_cutoff[mine],
            reference=pool[rng.integers(0, len(pool), len(data.reference))],
        )
        own = HazardModel.fit(part, str(allowed), proportional=False, each=EACH)
        models.append(
            replace(
                own,
                linear=shared,
                follow_up=base.follow_up,
            )
        )
    models.append(replace(base, linear=shared))
    return StratifiedModel(
        f"{allowed}, stratified",
        column,
        tuple(kept),
        tuple(models),
        tuple(dict.fromkeys([*base.notes, *notes])),
    )
