"""Fitted model of several endpoints: the parts, and normals that correlate behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.special import log_ndtr, ndtr

from trial_sim.base.arguments import nearest
from trial_sim.base.storage import storable
from trial_sim.outcomes.effects import no_effect
from trial_sim.outcomes.gaps import with_gaps
from trial_sim.outcomes.hazard_grid import recorded_up
from trial_sim.outcomes.joint.record import Joint
from trial_sim.outcomes.responses.binary import BinaryModel
from trial_sim.outcomes.responses.continuous import ContinuousModel
from trial_sim.outcomes.responses.ordinal import OrdinalModel
from trial_sim.outcomes.times.cause_hazards import HazardModel
from trial_sim.outcomes.times.follow_up import FollowUp
from trial_sim.outcomes.times.multistate import MultistateModel


class JointParameters(NamedTuple):
    """Parameters of each part, the root (d, d) of the drivers' correlation, the follow-up's."""

    parts: tuple[Any, ...]
    root: np.ndarray
    censoring: Any


@storable
@dataclass(frozen=True)
class JointModel:
    """Fitted parts and the correlation (d, d) of their drivers, from ``degrees`` patients.

    Attributes:
        shared: whether a part ends at the common end of follow-up. follow_up: that end, or None.
        gaps: whether a part has a driver more, of its missing values.
    """

    name: str
    record: Joint
    models: tuple[Any, ...]
    shared: tuple[bool, ...]
    follow_up: FollowUp | None
    gaps: tuple[bool, ...]
    correlation: np.ndarray
    degrees: int
    reference: np.ndarray
    notes: tuple[str, ...]

    @property
    def choice(self) -> dict[str, str]:
        """Model of each endpoint that is no time, as `fit` takes it."""
        return {
            names[0]: model.name
            for names, model in zip(self.record.names, self.models)
            if not isinstance(model, HazardModel | MultistateModel)
        }

    def blocks(self) -> list[slice]:
        """Places of each part's drivers."""
        out, at = [], 0
        for model, gaps in zip(self.models, self.gaps):
            size = n_drivers(model) + gaps
            out.append(slice(at, at + size))
            at += size
        return out

    def draw(self, rng: np.random.Generator | None) -> JointParameters:
        """Estimates, or one draw of every part and of the correlation."""
        parts = tuple(model.draw(rng) for model in self.models)
        correlation = self.correlation
        if rng is not None:
            z = rng.standard_normal((max(self.degrees, len(correlation) + 1), len(correlation)))
            z = z @ np.linalg.cholesky(correlation).T
            correlation = apart(np.atleast_2d(np.corrcoef(z.T)), self.blocks())
        censoring = None if self.follow_up is None else self.follow_up.draw(rng, self.reference)
        return JointParameters(parts, np.linalg.cholesky(correlation), censoring)

    def override(self, parameters: JointParameters, effects: Mapping[int, Any]) -> JointParameters:
        """Arm ``a`` has the effects ``effects[a]``, a mapping from endpoints, and keeps its fitted
        effect on those not named; 1 or 0 in its place: no effect on any."""
        parts = list(parameters.parts)
        for a, told in effects.items():
            if not isinstance(told, Mapping):
                if told not in (0, 1):
                    raise ValueError(
                        f"the fit has several endpoints: say of which {told!r} is the effect, as "
                        f"in {{{self.record.names[0][0]!r}: {told!r}}}"
                    )
                told = {n: None for names in self.record.names for n in names}
            known = [n for names in self.record.names for n in names]
            for name in told:
                if name not in known:
                    raise ValueError(f"no fitted endpoint {name!r}{nearest(name, known)}")
            for k, (names, model) in enumerate(zip(self.record.names, self.models)):
                mine = {n: told[n] for n in names if n in told}
                if not mine:
                    continue
                none = no_effect(self.record.parts[k])
                size = [none if v is None else float(v) for v in mine.values()]
                if isinstance(model, MultistateModel):
                    by_stage = dict(zip((names.index(n) for n in mine), size))
                    parts[k] = model.override_each(parts[k], a, by_stage)
                else:
                    parts[k] = model.override(parts[k], {a: size[0]})
        return parameters._replace(parts=tuple(parts))

    def latent(
        self, codes: np.ndarray, arm: np.ndarray, normal: np.ndarray, p: JointParameters
    ) -> list[Any]:
        """What each part makes of independent normals (n, d): times and causes, the times of
        progression and death, or responses without gaps."""
        z = normal @ p.root.T
        out: list[Any] = []
        for model, block, part in zip(self.models, self.blocks(), p.parts):
            mine = z[:, block][:, : n_drivers(model)]
            if isinstance(model, HazardModel):
                out.append(model.latent(codes, arm, -log_ndtr(-mine), part))
            elif isinstance(model, MultistateModel):
                out.append(model.histories(codes, arm, -log_ndtr(-mine), part))
            elif hasattr(model, "complete"):
                out.append(model.complete(codes, arm, mine, part))
            else:
                out.append(respond(model, codes, arm, ndtr(mine[:, 0]), part))
        return out

    def sample(
        self, codes: np.ndarray, arm: np.ndarray, rng: np.random.Generator, parameters: Any
    ) -> dict[str, np.ndarray]:
        """The columns of all endpoints."""
        normal = rng.standard_normal((len(arm), len(parameters.root)))
        made = self.latent(codes, arm, normal, parameters)
        z, key = normal @ parameters.root.T, int(rng.integers(2**62))

        def followed(model: Any, p: Any) -> np.ndarray:
            # the same numbers for every part: who leaves one endpoint early leaves the others
            one = np.random.Generator(np.random.Philox(key))
            return np.asarray(model.times(codes, arm, one, p))

        end = np.zeros(0)
        if self.follow_up is not None:
            end = followed(self.follow_up, parameters.censoring)
        out: dict[str, np.ndarray] = {}
        deaths: dict[int, np.ndarray] = {}
        order = sorted(range(len(self.models)), key=lambda k: self.record.ended[k] >= 0)
        for k in order:
            model, p = self.models[k], parameters.parts[k]
            if isinstance(model, MultistateModel):
                last = end if self.shared[k] else followed(model.follow_up, p.censoring)
                progression, deaths[k] = made[k]
                out |= model.observed(progression, deaths[k], codes, arm, last, rng, p)
            elif isinstance(model, HazardModel):
                time, cause = made[k]
                last = end if self.shared[k] else followed(model.follow_up, p.censoring)
                last = model.follow_up.ended(time, last)
                deaths[k] = time
                fatal = np.zeros(len(arm), dtype=bool)
                if self.record.ended[k] >= 0:
                    death = deaths[self.record.ended[k]]
                    fatal = (death <= last) & (death < time) & self.record.fatal[k]
                    last = np.minimum(last, death)
                seen = time <= last
                out[model.columns[0]] = recorded_up(np.where(seen, time, last), model.unit)
                out[model.columns[1]] = np.where(seen, cause, fatal.astype(int))
            elif hasattr(model, "complete"):
                features = model.linear.features.matrix(codes)
                y = model.dropout.apply(made[k], p.acts_as[arm], features, rng, p.dropout)
                out |= {name: y[:, j] for j, name in enumerate(model.columns)}
            else:
                y = made[k].astype(float)
                if self.gaps[k]:
                    y[ndtr(z[:, self.blocks()[k]][:, -1]) < p.gaps[arm]] = np.nan
                else:
                    y = with_gaps(y, arm, p.gaps, rng)
                out[model.column] = model.named(y) if isinstance(model, OrdinalModel) else y
        return out


def n_drivers(model: Any) -> int:
    """Normals that a model draws one patient's outcome from."""
    if isinstance(model, HazardModel):
        return int(model.events.counts.shape[2])
    if isinstance(model, MultistateModel):
        return 3
    return len(model.columns) if hasattr(model, "complete") else 1


def respond(
    model: Any, codes: np.ndarray, arm: np.ndarray, uniform: np.ndarray, p: Any
) -> np.ndarray:
    """The response (n,) that rises with the uniform (n,); of an ordinal one the level's place."""
    if isinstance(model, BinaryModel):
        return (uniform > 1 - model.probability(codes, arm, p)).astype(float)
    if isinstance(model, OrdinalModel):
        return model.level_codes(codes, arm, uniform, p).astype(float)
    if isinstance(model, ContinuousModel):
        return model.values(codes, arm, uniform, p)
    return np.asarray(model.quantiles(codes, arm, uniform, p))


def apart(correlation: np.ndarray, blocks: Sequence[slice]) -> np.ndarray:
    """The correlation with drivers of one part made independent of one another, as its model has
    them: whitened within each block."""
    whitened = np.eye(len(correlation))
    for block in blocks:
        root = np.linalg.cholesky(correlation[block, block])
        whitened[block, block] = np.linalg.inv(root)
    out = whitened @ correlation @ whitened.T
    np.fill_diagonal(out, 1.0)
    return out
