"""Arms of a fitted trial as an outcome scenario of the simulation engine.

Satisfies `trial_sim.scenarios.OutcomeScenario`: latent outcomes, drawn from the batch's own
streams, in months. Covariates of the simulated patients are picked from a pool that the generator
made once; what depends on them is worked out for the pool, so that a patient costs a look-up and an
inversion.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from trial_sim.arms.sampling import draw_codes
from trial_sim.base.arguments import nearest
from trial_sim.base.user_warnings import warn_user
from trial_sim.data.schema import Column
from trial_sim.scenarios.protocol import OutcomeBatch, PatientBatch

POOL = 20_000
MONTHS = {"days": 12 / 365.25, "weeks": 7 * 12 / 365.25, "months": 1.0, "years": 12.0}


@dataclass(frozen=True)
class FittedOutcomes:
    """Two arms of a `FittedTrial`; made by `FittedTrial.outcomes`.

    What `trial_sim.what_if` may vary are `VARIED`: the effect of treatment, who is enrolled, and
    whether parameters are uncertain. A stratum of the design that is named like a categorical
    covariate of the fit is that covariate: patients of a level are drawn from those who have it.

    Attributes:
        fitted: the model. pair: indices of its control and treatment arm. uncertainty: whether each
            simulated trial draws parameters of its own.
        hazard_ratio, effect: of treatment against control in place of the fitted one (``effect``:
            a ratio or a difference; of several endpoints a mapping from their names).
        where, balance, shift: who is enrolled, as in `FittedTrial.sample_arm`.
        pool: (POOL, n_columns) baseline codes that patients are picked from.
    """

    VARIED: ClassVar[tuple[str, ...]] = (
        "hazard_ratio",
        "effect",
        "where",
        "balance",
        "shift",
        "uncertainty",
    )

    fitted: Any
    pair: tuple[int, int]
    uncertainty: bool = False
    hazard_ratio: float | None = None
    effect: Any = None
    where: Mapping[str, Any] | None = None
    balance: Mapping[str, Mapping[Any, float]] | None = None
    shift: Mapping[str, float] | None = None
    pool: np.ndarray = field(init=False, repr=False)
    _cache: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    _pools: dict[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        record = self.fitted.endpoint
        if getattr(record, "entry", None) is not None:
            raise ValueError(
                f"column {record.entry!r} holds delayed entries; the engine follows patients from "
                "time 0 and cannot keep them, so that these arms cannot be simulated"
            )
        if not isinstance(self.uncertainty, bool):
            raise TypeError(f"uncertainty must be True or False, got {self.uncertainty!r}")
        told = self.hazard_ratio is not None or self.effect is not None
        if told and self.pair[0] != 0:
            names = self.fitted.arms
            raise ValueError(
                f"an effect is against the control arm {names[0]!r} of the fit; these outcomes "
                f"compare {names[self.pair[1]]!r} with {names[self.pair[0]]!r}"
            )
        if self.effects:  # refuses what the model does not know
            model = self.fitted.outcome_model
            model.override(model.draw(None), self.effects)
        key = repr((self.where, self.balance, self.shift))
        if key not in self._pools:
            seed = self.fitted.settings.seed
            rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 41])))
            drawn = self.fitted.covariate_model.draw(None)
            chosen = self.where, self.balance, self.shift
            self._pools[key] = draw_codes(self.fitted, POOL, rng, drawn, *chosen)
        object.__setattr__(self, "pool", self._pools[key])

    @property
    def effects(self) -> dict[int, Any]:
        """What takes the place of the fitted effect, by index of the arm."""
        found = self.fitted.overridden(self.pair[1], self.hazard_ratio, self.effect)
        return dict(found)

    @property
    def kind(self) -> str:
        """Kind of the endpoint (of several: of the first; illness and death: a time)."""
        record = self.fitted.endpoint
        if record.kind == "joint":
            record = self.fitted.trial_schema.endpoints[self.fitted.endpoint_names[0]]
        return "time_to_event" if record.kind == "illness_death" else str(record.kind)

    @property
    def endpoint_kinds(self) -> dict[str, str]:
        """Endpoint of a fit of several → its kind; empty for a fit of one."""
        schema, names = self.fitted.trial_schema.endpoints, self.fitted.endpoint_names
        return {name: str(schema[name].kind) for name in names} if len(names) > 1 else {}

    @property
    def arms(self) -> tuple[str, str]:
        """Names of the fitted arms that the design's two arms stand for."""
        names = self.fitted.arms
        return str(names[self.pair[0]]), str(names[self.pair[1]])

    @property
    def months(self) -> float:
        """Months in one time unit of the real trial."""
        return MONTHS[self.fitted.trial_schema.time_unit]

    @property
    def horizon_months(self) -> float:
        """The longest follow-up of the real trial, in months (inf: the fit has no end)."""
        model, found = self.fitted.outcome_model, []
        follow_up = getattr(model, "follow_up", None)
        if follow_up is None:
            return float("inf")
        parts = [model, *getattr(model, "models", ())]
        for name in ("first", "base"):
            parts += [getattr(part, name) for part in parts if hasattr(part, name)]
        found = [part.tail for part in parts if hasattr(part, "tail")]
        if found and all(tail == "parametric" for tail in found):
            return float("inf")
        return float(follow_up.horizon * self.months)

    def check_looks(self, months: np.ndarray) -> None:
        """Warn of looks later than the fitted horizon, beyond which no event happens.

        Args:
            months: calendar months of the looks held, NaN or inf where none was.
        """
        held = months[np.isfinite(months)]
        horizon = self.horizon_months
        if not len(held) or held.max() <= horizon * (1 + 1e-9):
            return
        unit = self.fitted.trial_schema.time_unit
        warn_user(
            f"a look comes at month {held.max():.1f}, and the real trial followed patients for "
            f"{horizon:.1f} months ({horizon / self.months:g} {unit}): beyond that no event "
            "happens in the fitted arms. Times of a design are in months; look earlier, or fit "
            'with tail="parametric"'
        )

    def __repr__(self) -> str:
        horizon = self.horizon_months
        end = f", followed for {horizon:.1f} months" if np.isfinite(horizon) else ""
        return (
            f"FittedOutcomes({self.kind}: {self.arms[0]} and {self.arms[1]}; times in months, "
            f"fitted in {self.fitted.trial_schema.time_unit}{end})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Description for reports."""
        return {
            "kind": self.kind,
            "control": self.arms[0],
            "treatment": self.arms[1],
            "endpoint": self.fitted.settings.endpoint,
            "model": self.fitted.outcome_model.name,
            "tail": self.fitted.tail,
            "time_unit": "months",
            "fitted_time_unit": self.fitted.trial_schema.time_unit,
            "uncertainty": self.uncertainty,
            **{k: getattr(self, k) for k in self.VARIED[:-1] if getattr(self, k) is not None},
            "trial": self.fitted.trial_schema.title,
        }

    def sample(self, batch: PatientBatch) -> OutcomeBatch:
        """Latent outcomes of every patient of the batch.

        Raises:
            ValueError: a design with more than two arms.
        """
        if len(batch.arms) > 2:
            raise ValueError(
                f"fitted.outcomes gives two arms; the design has {len(batch.arms)}: "
                f"{', '.join(batch.arms)}"
            )
        n_trials = len(batch.arm)
        picked = self._picked(batch)
        arm = np.asarray(self.pair)[batch.arm.astype(int)]
        covariates = FittedCovariates(self.fitted.trial_schema.columns, self.pool, picked)
        model, effects = self.fitted.outcome_model, self.effects
        if not self.uncertainty:
            if "plug-in" not in self._cache:
                drawn = model.draw(None)
                self._cache["plug-in"] = model.override(drawn, effects) if effects else drawn
            made = self._sample(batch, arm, picked, self._cache["plug-in"])
            return replace(made, covariates=covariates)
        parts = []
        for t in range(n_trials):
            parameters = model.draw(batch.streams.generator(t, "parameters"))
            if effects:
                parameters = model.override(parameters, effects)
            one = replace(
                batch,
                streams=replace(batch.streams, trials=batch.streams.trials[t : t + 1]),
                arm=batch.arm[t : t + 1],
            )
            parts.append(self._sample(one, arm[t : t + 1], picked[t : t + 1], parameters))
        return replace(joined(parts), covariates=covariates)

    def _picked(self, batch: PatientBatch) -> np.ndarray:
        """Place in the pool of every patient, (n_trials, n_patients): among those who have the
        levels of the design's strata that are covariates of the fit."""
        uniform = batch.streams.uniform("covariates", batch.arm.shape[1])
        columns = {c.name: k for k, c in enumerate(self.fitted.trial_schema.columns) if c.discrete}
        named = [f for f in batch.factors if f in columns]
        for name in batch.factors:
            column = next((c for c in self.fitted.trial_schema.columns if c.name == name), None)
            if column is not None and not column.discrete:
                raise ValueError(
                    f"stratum {name!r} is a number of the fit; declare its levels as a covariate"
                )
        if not named:
            return (uniform * len(self.pool)).astype(np.int64)
        in_pool, wanted = np.zeros(len(self.pool), np.int64), np.zeros(uniform.shape, np.int64)
        for name in named:
            column = self.fitted.trial_schema.columns[columns[name]]
            levels = [str(v) for v in column.levels]
            for level in batch.levels[name]:
                if str(level) not in levels:
                    raise ValueError(
                        f"stratum {name!r} of the design has the level {level!r}, which the fit "
                        f"lacks{nearest(level, column.levels)}"
                    )
            to_code = np.array([levels.index(str(v)) for v in batch.levels[name]])
            own = np.nan_to_num(self.pool[:, columns[name]], nan=len(levels)).astype(np.int64)
            in_pool = in_pool * (len(levels) + 1) + own
            wanted = wanted * (len(levels) + 1) + to_code[batch.factors[name]]
        order = np.argsort(in_pool, kind="stable")
        first = np.searchsorted(in_pool[order], wanted, side="left")
        count = np.searchsorted(in_pool[order], wanted, side="right") - first
        if (count == 0).any():
            t, i = np.argwhere(count == 0)[0]
            told = {n: batch.levels[n][int(batch.factors[n][t, i])] for n in named}
            raise ValueError(f"no patient of the fit has {told}; take levels that occur together")
        return order[first + np.minimum((uniform * count).astype(np.int64), count - 1)]

    def _sample(
        self, batch: PatientBatch, arm: np.ndarray, picked: np.ndarray, p: Any
    ) -> OutcomeBatch:
        shape, model = arm.shape, self.fitted.outcome_model
        n = shape[1]
        flat_arm, at = arm.ravel(), picked.ravel()
        streams = batch.streams
        if hasattr(model, "latent_from_risk"):
            n_causes = len(p.coefficients)
            draws = [streams.exponential("event", n, draw=c).ravel() for c in range(n_causes)]
            risk = self._relative_risks(p, flat_arm, at)
            time, cause = model.latent_from_risk(risk, flat_arm, np.column_stack(draws), p)
            time = time.reshape(shape) * self.months
            if self.kind == "time_to_event":
                return OutcomeBatch(time=time)
            return OutcomeBatch(time=time, cause=cause.reshape(shape).astype(np.int8))
        codes = self.pool[at]
        if hasattr(model, "blocks"):
            return self._several(streams, flat_arm, codes, shape, p)
        if self.kind in ("time_to_event", "competing_risks") and not hasattr(model, "histories"):
            draws = [
                streams.exponential("event", n, draw=c).ravel()
                for c in range(len(p.strata[0].coefficients))
            ]
            time, cause = model.latent(codes, flat_arm, np.column_stack(draws), p)
            causes = cause.reshape(shape).astype(np.int8) if self.kind != "time_to_event" else None
            return OutcomeBatch(time=time.reshape(shape) * self.months, cause=causes)
        if hasattr(model, "histories"):
            return self._histories(streams, flat_arm, codes, shape, p)
        if self.kind == "recurrent":
            return self._recurrences(batch, flat_arm, codes, shape, p)
        if self.kind == "longitudinal":
            v = len(model.columns)
            normal = np.column_stack([streams.normal("visit", n, draw=k).ravel() for k in range(v)])
            visits = model.complete(codes, flat_arm, normal, p).reshape(*shape, v)
            return OutcomeBatch(visits=visits, baseline=self._baseline(codes, shape))
        uniform = streams.uniform("response", n).ravel()
        if self.kind == "binary":
            response = (uniform < model.probability(codes, flat_arm, p)).astype(float)
        elif self.kind == "ordinal":
            response = model.level_codes(codes, flat_arm, uniform, p).astype(float)
        elif self.kind == "continuous":
            response = model.values(codes, flat_arm, uniform, p)
        else:
            response = model.quantiles(codes, flat_arm, uniform, p)
        return OutcomeBatch(response=response.reshape(shape), baseline=self._baseline(codes, shape))

    def _relative_risks(self, p: Any, arm: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Relative risks (n, C) of the picked patients; the pool's are kept if always the same."""
        model = self.fitted.outcome_model
        if self.uncertainty:
            return np.exp(model.linear.predictors(self.pool[at], arm, p.coefficients))
        if "risks" not in self._cache:
            self._cache["risks"] = np.exp(model.linear.by_arm(self.pool, p.coefficients))
        return self._cache["risks"][arm, at]

    def _histories(self, streams, arm, codes, shape, p):
        """Progression-free and overall survival of one history a patient."""
        draws = [streams.exponential("event", shape[1], draw=k).ravel() for k in range(3)]
        found = self.fitted.outcome_model.histories(codes, arm, np.column_stack(draws), p)
        progression, death = (t.reshape(shape) * self.months for t in found)
        free = np.minimum(progression, death)
        ends = {"pfs": free, "os": death}
        record = self.fitted.endpoint
        first = free if record.composite else progression
        own = {record.progression: first, record.death: death}
        schema = self.fitted.trial_schema.endpoints
        ends |= {name: own[schema[name]] for name in self.fitted.endpoint_names}
        return OutcomeBatch(time=free, endpoints=ends)

    def _several(self, streams, arm, codes, shape, p):
        """All endpoints of a joint fit; the first is the one of the scenario's kind."""
        model = self.fitted.outcome_model
        normal = [streams.normal("joint", shape[1], draw=k).ravel() for k in range(len(p.root))]
        made = model.latent(codes, arm, np.column_stack(normal), p)
        record = model.record
        ends: dict[str, np.ndarray] = {}
        found: dict[str, Any] = {}
        order = sorted(range(len(made)), key=lambda k: record.ended[k] >= 0)
        deaths: dict[int, np.ndarray] = {}
        first = self.fitted.endpoint_names[0]
        for k in order:
            names, part = record.names[k], record.parts[k]
            if part.kind == "illness_death":
                progression, deaths[k] = made[k]
                early = np.minimum(progression, deaths[k]) if part.composite else progression
                ends |= dict(zip(names, (early, deaths[k])))
            elif part.kind in ("time_to_event", "competing_risks"):
                time, cause = made[k]
                deaths[k] = time
                if record.ended[k] >= 0:
                    death = deaths[record.ended[k]]
                    time = np.where(time > death, death if record.fatal[k] else np.inf, time)
                ends[names[0]] = time
                if names[0] == first and part.kind == "competing_risks":
                    found["cause"] = cause.reshape(shape).astype(np.int8)
            elif names[0] == first and part.kind == "longitudinal":
                found["visits"] = made[k].reshape(*shape, -1)
                found["baseline"] = self._baseline(codes, shape, part)
            elif names[0] == first:
                found["response"] = made[k].reshape(shape)
                found["baseline"] = self._baseline(codes, shape, part)
            elif part.kind in ("binary", "ordinal", "continuous", "count"):
                found.setdefault("responses", {})[names[0]] = made[k].reshape(shape)
        endpoints = {name: time.reshape(shape) * self.months for name, time in ends.items()}
        return OutcomeBatch(time=endpoints.get(first), endpoints=endpoints, **found)

    def _recurrences(self, batch, arm, codes, shape, p):
        """Ascending event times, (n_trials, n_patients, most events), padded with inf."""
        model = self.fitted.outcome_model
        risk = model.means(codes, arm, p).reshape(shape)
        arm = arm.reshape(shape)
        found = []
        for k in range(shape[0]):
            rng = batch.streams.generator(k, "recurrences")
            found.append(model.event_times(risk[k], arm[k], rng, p))
        counts = [np.bincount(who, minlength=shape[1]) for who, _ in found]
        most = max(1, max(int(c.max()) for c in counts))
        out = np.full((*shape, most), np.inf)
        for k, (who, times) in enumerate(found):
            rank = np.arange(len(who)) - np.searchsorted(who, who)
            out[k, who, rank] = times * self.months
        return OutcomeBatch(time=np.full(shape, np.inf), recurrences=out)

    def _baseline(
        self, codes: np.ndarray, shape: tuple[int, ...], record: Any = None
    ) -> np.ndarray | None:
        name = getattr(record or self.fitted.endpoint, "baseline", None)
        if name is None:
            return None
        columns = self.fitted.trial_schema.columns
        k = [c.name for c in columns].index(name)
        values = codes[:, k]
        if columns[k].discrete:
            values = np.asarray(columns[k].levels, dtype=float)[np.nan_to_num(values).astype(int)]
        return values.reshape(shape)


class FittedCovariates(Mapping[str, np.ndarray]):
    """Covariates of simulated patients by name, worked out when asked for.

    A number as it is, an ordered or two-level column by its level's place, any other column as an
    indicator of each level but the most frequent, named like ``site[2]``.
    """

    def __init__(self, columns: Sequence[Column], pool: np.ndarray, picked: np.ndarray) -> None:
        self.pool, self.picked = pool, picked
        self.places: dict[str, tuple[int, int | None]] = {}
        for k, column in enumerate(columns):
            if column.kind != "categorical" or len(column.levels) <= 2:
                self.places[column.name] = (k, None)
                continue
            known = pool[~np.isnan(pool[:, k]), k].astype(int)
            usual = int(np.bincount(known, minlength=len(column.levels)).argmax())
            for code, level in enumerate(column.levels):
                if code != usual:
                    self.places[f"{column.name}[{level}]"] = (k, code)

    def __getitem__(self, name: str) -> np.ndarray:
        k, code = self.places[name]
        values = self.pool[:, k]
        if code is not None:
            return (values == code).astype(float)[self.picked]
        return np.nan_to_num(values, nan=float(np.nanmean(values)))[self.picked]

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


def joined(parts: list[OutcomeBatch]) -> OutcomeBatch:
    """Batches of one trial each as one batch (recurrences padded to the longest)."""
    fields: dict[str, Any] = {}
    for name in ("time", "cause", "response", "visits", "baseline"):
        values = [getattr(part, name) for part in parts]
        if values[0] is not None:
            fields[name] = np.concatenate(values)
    for what in ("endpoints", "responses"):
        if names := getattr(parts[0], what):
            fields[what] = {k: np.concatenate([getattr(q, what)[k] for q in parts]) for k in names}
    if parts[0].recurrences is not None:
        most = max(part.recurrences.shape[2] for part in parts if part.recurrences is not None)
        padded = [
            np.pad(r, ((0, 0), (0, 0), (0, most - r.shape[2])), constant_values=np.inf)
            for r in (part.recurrences for part in parts)
            if r is not None
        ]
        fields["recurrences"] = np.concatenate(padded)
    return OutcomeBatch(**fields)
