"""Arms of a fitted trial as an outcome scenario of the simulation engine.

Satisfies `trial_sim.scenarios.OutcomeScenario`: latent outcomes, drawn from the batch's own
streams, in months. Covariates of the simulated patients are picked from a pool that the generator
made once; what depends on them is worked out for the pool, so that a patient costs a look-up and an
inversion.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from trial_sim.covariates.conditions import sample_codes
from trial_sim.outcomes.risk_gaps import RiskGaps
from trial_sim.scenarios.protocol import OutcomeBatch, PatientBatch

POOL = 20_000
MONTHS = {"days": 12 / 365.25, "weeks": 7 * 12 / 365.25, "months": 1.0, "years": 12.0}


@dataclass(frozen=True)
class FittedOutcomes:
    """Two arms of a `FittedTrial`; made by `FittedTrial.outcomes`.

    Attributes:
        fitted: the model. pair: indices of its control and treatment arm. uncertainty: whether each
            simulated trial draws parameters of its own.
        pool: (POOL, n_columns) baseline codes that patients are picked from.
    """

    fitted: Any
    pair: tuple[int, int]
    uncertainty: bool
    pool: np.ndarray
    _cache: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, fitted: Any, pair: tuple[int, int], uncertainty: bool) -> FittedOutcomes:
        """The scenario, with its pool of patients."""
        record = fitted.endpoint
        if getattr(record, "entry", None) is not None:
            raise ValueError(
                f"column {record.entry!r} holds delayed entries; the engine follows patients from "
                "time 0 and cannot keep them, so that these arms cannot be simulated"
            )
        gaps = getattr(fitted.outcome_model, "gaps", None)
        if isinstance(gaps, RiskGaps) and (gaps.any_gap or gaps.any_entry):
            warnings.warn(
                "the fitted patients have time not at risk or late entries; simulated ones are at "
                "risk from time 0 to the end, at the same rates per time at risk",
                stacklevel=3,
            )
        seed = fitted.settings.seed
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 41])))
        generator = fitted.covariate_model
        pool = sample_codes(generator, POOL, rng, generator.draw(None), None, fitted.constraints)
        return cls(fitted, pair, uncertainty, pool)

    @property
    def kind(self) -> str:
        """Kind of the endpoint (of the progression-free time, for illness and death)."""
        kind = self.fitted.endpoint.kind
        return "time_to_event" if kind == "illness_death" else kind

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
            if hasattr(model, name):
                parts.append(getattr(model, name))
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
        warnings.warn(
            f"a look comes at month {held.max():.1f}, and the real trial followed patients for "
            f"{horizon:.1f} months ({horizon / self.months:g} {unit}): beyond that no event "
            "happens in the fitted arms. Times of a design are in months; look earlier, or fit "
            'with tail="parametric"',
            stacklevel=2,
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
        n_trials, n = batch.arm.shape
        picked = (batch.streams.uniform("covariates", n) * len(self.pool)).astype(np.int64)
        arm = np.asarray(self.pair)[batch.arm.astype(int)]
        if not self.uncertainty:
            if "plug-in" not in self._cache:
                self._cache["plug-in"] = self.fitted.outcome_model.draw(None)
            return self._sample(batch, arm, picked, self._cache["plug-in"])
        parts = []
        for t in range(n_trials):
            parameters = self.fitted.outcome_model.draw(batch.streams.generator(t, "parameters"))
            one = replace(
                batch,
                streams=replace(batch.streams, trials=batch.streams.trials[t : t + 1]),
                arm=batch.arm[t : t + 1],
            )
            parts.append(self._sample(one, arm[t : t + 1], picked[t : t + 1], parameters))
        return joined(parts)

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
        return OutcomeBatch(time=free, endpoints={"pfs": free, "os": death})

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

    def _baseline(self, codes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
        name = getattr(self.fitted.endpoint, "baseline", None)
        if name is None:
            return None
        columns = self.fitted.trial_schema.columns
        k = [c.name for c in columns].index(name)
        values = codes[:, k]
        if columns[k].discrete:
            values = np.asarray(columns[k].levels, dtype=float)[np.nan_to_num(values).astype(int)]
        return values.reshape(shape)


def joined(parts: list[OutcomeBatch]) -> OutcomeBatch:
    """Batches of one trial each as one batch (recurrences padded to the longest)."""
    fields: dict[str, Any] = {}
    for name in ("time", "cause", "response", "visits", "baseline"):
        values = [getattr(part, name) for part in parts]
        if values[0] is not None:
            fields[name] = np.concatenate(values)
    if parts[0].endpoints:
        names = parts[0].endpoints
        fields["endpoints"] = {k: np.concatenate([q.endpoints[k] for q in parts]) for k in names}
    if parts[0].recurrences is not None:
        most = max(part.recurrences.shape[2] for part in parts if part.recurrences is not None)
        padded = [
            np.pad(r, ((0, 0), (0, 0), (0, most - r.shape[2])), constant_values=np.inf)
            for r in (part.recurrences for part in parts)
            if r is not None
        ]
        fields["recurrences"] = np.concatenate(padded)
    return OutcomeBatch(**fields)
