"""`FittedTrial`: a trial learnt, from which synthetic arms are sampled; saved and loaded.

A synthetic arm is made in the order of a trial: covariates from their generator, then the arm, then
outcomes given both. With ``uncertainty=True`` every call (every ``seed``) first draws the
parameters, so that synthetic trials spread as much as a real repetition predicted from this one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import trial_sim.arms.differential_privacy
import trial_sim.outcomes.times.stratified  # noqa: F401  (load_fitted reads their records)
from trial_sim.arms.sampling import as_table, draw_codes
from trial_sim.arms.scenario import FittedOutcomes
from trial_sim.arms.settings import Settings, check_count
from trial_sim.base.arguments import nearest
from trial_sim.base.storage import read, storable, write
from trial_sim.base.user_warnings import warn_user
from trial_sim.covariates.encoding import encode
from trial_sim.data.endpoints import Endpoint
from trial_sim.data.schema import Column, TrialSchema
from trial_sim.data.trial import Trial
from trial_sim.numerics.random_streams import stream
from trial_sim.outcomes.combine import ASSUMPTION, combined
from trial_sim.outcomes.effects import checked_effect
from trial_sim.outcomes.risk_gaps import RiskGaps

STRATA_DRAWS = 20_000  # patients that tell the shares of levels


@storable
@dataclass(frozen=True, eq=False)
class FittedTrial:
    """A trial learnt: covariates, outcomes by arm, censoring, and their uncertainty.

    Attributes:
        trial_schema: names, levels and bounds of the real trial, without its rows.
        settings: what `fit` was told. covariate_model, outcome_model: the fitted parts.
        columns: order of the columns of a synthetic table; types: of id, arm and outcomes.
        notes: fallbacks that were taken.
        privacy: the differential-privacy record, if ``epsilon`` was given.
        selection, covariate_selection: tables of the models compared (empty if none was).
        real: the real trial, in memory only after a fresh `fit`; never saved.

    Examples:
        >>> import trial_sim as ts
        >>> fitted = ts.fit(
        ...     ts.load_trial("gehan"), "relapse", model="weibull", covariate_model="bootstrap"
        ... )
        >>> synthetic = fitted.sample_trial({"control": 20, "6-MP": 20}, seed=0)
        >>> synthetic.n_patients
        40
        >>> fitted.endpoint, fitted.endpoint_names
        (TimeToEvent(duration='time', event='event'), ('relapse',))
        >>> fitted.arms, fitted.tail, fitted.arm_index("6-MP")
        (('control', '6-MP'), 'horizon', 1)
        >>> arm = fitted.sample_arm("6-MP", 5, seed=0)
        >>> len(arm), fitted.as_trial(arm, arms=("6-MP",)).n_patients
        (5, 5)
        >>> fitted.audit(seed=0).passed in (True, False)
        True
        >>> fitted.refit(synthetic, seed=0).arms
        ('control', '6-MP')
        >>> generator, outcome_model = fitted.parameters(seed=0, uncertainty=True)
        >>> fitted.outcomes(control="control", treatment="6-MP").kind
        'time_to_event'
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = fitted.save(Path(folder) / "gehan.fitted", allow_copies=True)
        ...     print(ts.load_fitted(path).arms)
        ('control', '6-MP')
        >>> colon = ts.fit(
        ...     ts.load_trial("colon"), "death", model="weibull", covariate_model="bootstrap"
        ... )
        >>> len(colon.sample_combined(["Lev", "Lev+5FU"], 20, name="both", seed=0))
        20
        >>> list(colon.strata("sex", "obstruct"))
        ['sex', 'obstruct']
    """

    trial_schema: TrialSchema
    record: Endpoint
    settings: Settings
    covariate_model: Any
    outcome_model: Any
    columns: tuple[str, ...]
    types: tuple[Column, ...]
    constraints: tuple[str, ...]
    notes: tuple[str, ...]
    privacy: Any = None
    selection: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    covariate_selection: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    real: Trial | None = field(default=None, repr=False)

    @property
    def endpoint(self) -> Endpoint:
        """The fitted endpoint (a `ProgressionAndDeath` or `Joint` record of several)."""
        return self.record

    @property
    def endpoint_names(self) -> tuple[str, ...]:
        """Names of the endpoints that a synthetic patient is given."""
        name = self.settings.endpoint
        return (name,) if isinstance(name, str) else tuple(name)

    @property
    def arms(self) -> tuple[Any, ...]:
        """Arms, control first (empty for a cohort)."""
        return self.trial_schema.arms

    @property
    def tail(self) -> str:
        """Policy beyond the last event: "horizon" or "parametric"."""
        return self.settings.tail

    def arm_index(self, arm: Any) -> int:
        """Position of an arm; None stands for a cohort.

        Raises:
            ValueError: no such arm.
        """
        if not self.arms and arm is None:
            return 0
        for k, name in enumerate(self.arms):
            if name == arm:
                return k
        raise ValueError(f"no arm {arm!r}{nearest(arm, self.arms)}")

    def parameters(
        self, seed: int, uncertainty: bool, effects: Mapping[int, Any] | None = None
    ) -> tuple[Any, Any]:
        """Parameters of generator and outcome model for one synthetic trial."""
        drawn_x = self.covariate_model.draw(stream(seed, 1) if uncertainty else None)
        drawn_y = self.outcome_model.draw(stream(seed, 2) if uncertainty else None)
        if effects:
            drawn_y = self.outcome_model.override(drawn_y, effects)
        return drawn_x, drawn_y

    def sample_arm(
        self,
        arm: Any = None,
        n: int = 100,
        seed: int = 0,
        where: Mapping[str, Any] | None = None,
        balance: Mapping[str, Mapping[Any, float]] | None = None,
        shift: Mapping[str, float] | None = None,
        uncertainty: bool = True,
        hazard_ratio: float | None = None,
        effect: float | Mapping[str, float] | None = None,
        patients: pd.DataFrame | None = None,
    ) -> pd.DataFrame:
        """Synthetic patients of one arm.

        Args:
            arm: name of the arm (None for a cohort). n: how many patients.
            where: conditions on covariates, such as ``{"age": "> 65", "sex": "female"}``.
            balance: shares of the levels of one covariate, such as ``{"sex": {"F": .5}}``.
            shift: added to numeric covariates before outcomes are drawn, ``{"age": 5}``.
            uncertainty: draw the parameters first (else: the estimates).
            hazard_ratio, effect: the arm's effect against the control in place of the fitted one
                (``effect``: a ratio, or a difference of means; ``hazard_ratio`` is its name for
                survival; of several endpoints a mapping from their names).
            patients: baseline table to give outcomes to, in place of generated covariates (an
                external control arm for patients in hand); ``n`` is then ignored.

        Returns:
            A DataFrame with the trial's own columns.

        Raises:
            ValueError: unknown arm, ``n`` below 1, a condition that nobody satisfies.
        """
        index = self.arm_index(arm)
        effects = self.overridden(index, hazard_ratio, effect)
        drawn_x, drawn_y = self.parameters(seed, uncertainty, effects)
        rng = stream(seed, 4, index)
        if patients is not None:
            codes = encode(self._baseline_of(patients), self.trial_schema.columns)
        else:
            codes = draw_codes(self, n, rng, drawn_x, where, balance, shift)
        return as_table(self, codes, np.full(len(codes), index), stream(seed, 5, index), drawn_y)

    def sample_combined(
        self,
        parts: Sequence[Any],
        n: int,
        name: str | None = None,
        seed: int = 0,
        where: Mapping[str, Any] | None = None,
        uncertainty: bool = True,
    ) -> pd.DataFrame:
        """Patients of an arm that did not exist: the effects of ``parts`` put together.

        Args:
            parts: arms whose effects against the control are combined. name: of the new arm.

        Returns:
            As `sample_arm`; ``.attrs["assumption"]`` states what was assumed.

        Raises:
            ValueError: fewer than two parts, the control among them, an unknown arm.
        """
        if self.endpoint.kind == "joint":
            raise ValueError("sample_combined serves fits of one endpoint, not of several")
        indices = tuple(self.arm_index(a) for a in parts)
        if len(indices) < 2 or 0 in indices:
            raise ValueError(
                f"parts must be two or more arms other than the control, received {list(parts)}"
            )
        drawn_x, drawn_y = self.parameters(seed, uncertainty)
        new = len(self.arms)
        codes = draw_codes(self, n, stream(seed, 4, new), drawn_x, where, None, None)
        label = name or " and ".join(map(str, parts))
        table = as_table(
            self,
            codes,
            np.full(len(codes), new),
            stream(seed, 5, new),
            combined(self.outcome_model, drawn_y, indices),
            (*self.arms, label),
        )
        table.attrs["assumption"] = ASSUMPTION
        return table

    def sample_trial(
        self,
        sizes: Mapping[Any, int] | None = None,
        seed: int = 0,
        where: Mapping[str, Any] | None = None,
        balance: Mapping[str, Mapping[Any, float]] | None = None,
        shift: Mapping[str, float] | None = None,
        uncertainty: bool = True,
        effects: Mapping[Any, Any] | None = None,
    ) -> Trial:
        """A synthetic trial: patients first, then a fresh random allocation, then outcomes.

        Args:
            sizes: patients by arm (default: the real sizes); for a cohort, ``{None: n}``.
            effects: effect by arm against the control in place of the fitted one; ``1`` (or ``0``
                for a difference) makes a trial under the null hypothesis. Of several endpoints a
                mapping from their names by arm; those not named keep their fitted effect.

        Returns:
            A `Trial` with this endpoint only.
        """
        schema = self.trial_schema
        if sizes is None:
            sizes = dict(zip(schema.arms or (None,), schema.arm_sizes))
        if not isinstance(sizes, Mapping):
            raise ValueError(f"sizes must be a mapping from arms to patients, got {sizes!r}")
        order = [self.arm_index(a) for a in sizes]
        counts = [check_count(c) for c in sizes.values()]
        override = {self.arm_index(a): self._effect(e) for a, e in (effects or {}).items()}
        for a in override:
            self._check_override(a)
        drawn_x, drawn_y = self.parameters(seed, uncertainty, override)
        codes = draw_codes(self, sum(counts), stream(seed, 4, 99), drawn_x, where, balance, shift)
        arm = stream(seed, 6).permutation(np.repeat(order, counts))
        table = as_table(self, codes, arm, stream(seed, 5, 99), drawn_y)
        return self.as_trial(
            table, tuple(schema.arms[k] for k in sorted(set(order)) if schema.arms)
        )

    def as_trial(self, table: pd.DataFrame, arms: tuple[Any, ...] | None = None) -> Trial:
        """A synthetic table as a `Trial` with this endpoint."""
        schema = self.trial_schema
        return Trial(
            patients=table,
            arm=schema.arm,
            arms=schema.arms if arms is None else arms,
            endpoints={name: schema.endpoints[name] for name in self.endpoint_names},
            covariates=schema.covariates,
            id=schema.id,
            strata=schema.strata,
            site=schema.site,
            entry=schema.entry,
            time_unit=schema.time_unit,
            kinds={c.name: c.kind for c in schema.columns if c.name in table},
            levels={c.name: c.levels for c in schema.columns if c.discrete and c.name in table},
            title=f"Synthetic: {schema.title}",
            citation=schema.citation,
            randomised=True,
        )

    def refit(self, trial: Trial, seed: int | None = None) -> FittedTrial:
        """The same settings fitted to another trial (for cross-fitted audits).

        The models that "auto" chose are kept, not chosen again.
        """
        from trial_sim.arms.fitting import fit

        s = self.settings
        if s.epsilon is not None:
            return fit(
                trial, s.endpoint, seed=s.seed, tail=s.tail, epsilon=s.epsilon, delta=s.delta
            )
        return fit(
            trial,
            s.endpoint,
            model=getattr(self.outcome_model, "choice", self.outcome_model.name),
            covariate_model=self.covariate_model.name,
            seed=s.seed if seed is None else seed,
            treatment_by=s.treatment_by,
            stratify_by=s.stratify_by,
            tail=s.tail,
        )

    def audit(self, real: Trial | None = None, seed: int = 0, **options: Any) -> Any:
        """Audit synthetic trials of this model against the real one (see `trial_sim.audit`).

        Args:
            real: the real trial; needed after `load_fitted`, which has no rows of patients.
        """
        from trial_sim import audit

        chosen = real if real is not None else self.real
        if chosen is None:
            raise ValueError(
                "a loaded model holds no rows of patients: give the real trial as audit(real=trial)"
            )
        names = self.endpoint_names
        only = replace(chosen, endpoints={name: chosen.endpoint(name) for name in names})
        name = names[0] if len(names) == 1 else None
        return audit(only, self, endpoint=name, seed=seed, **options)

    def outcomes(
        self,
        control: Any,
        treatment: Any,
        uncertainty: bool = False,
        hazard_ratio: float | None = None,
        effect: float | Mapping[str, float] | None = None,
        where: Mapping[str, Any] | None = None,
        balance: Mapping[str, Mapping[Any, float]] | None = None,
        shift: Mapping[str, float] | None = None,
    ) -> Any:
        """Outcome scenario of two fitted arms for `trial_sim.simulate` (times in months).

        Its covariates serve a design's ``adjust``; a stratum of the design that is named like one
        of the categorical ones is that covariate (see `strata`). All but the arms may be varied by
        `trial_sim.what_if`.

        Args:
            control, treatment: fitted arms that the design's first and second arm stand for.
            uncertainty: draw parameters afresh for every simulated trial.
            hazard_ratio, effect, where, balance, shift: as in `sample_arm`: effects in place of
                the fitted ones, and who is enrolled.

        Raises:
            ValueError: an unknown arm, delayed entry, or what `sample_arm` refuses.
        """
        pair = (self.arm_index(control), self.arm_index(treatment))
        gaps = getattr(self.outcome_model, "gaps", None)
        if isinstance(gaps, RiskGaps) and (gaps.any_gap or gaps.any_entry):
            warn_user(
                "the fitted patients have time not at risk or late entries; simulated ones are at "
                "risk from time 0 to the end, at the same rates per time at risk"
            )
        told = hazard_ratio, effect, where, balance, shift
        return FittedOutcomes(self, pair, uncertainty, *told)

    def strata(self, *names: str) -> dict[str, dict[str, float]]:
        """Shares of the levels of categorical covariates, as ``Design(strata=...)`` takes them."""
        drawn = self.covariate_model.draw(None)
        codes = draw_codes(self, STRATA_DRAWS, stream(0, 7), drawn, None, None, None)
        out = {}
        for name in names:
            column = self.trial_schema[name]
            if not column.discrete:
                raise ValueError(f"a stratum has levels; column {name!r} is {column.kind}")
            at = codes[:, [c.name for c in self.trial_schema.columns].index(name)]
            known = at[~np.isnan(at)].astype(int)
            share = np.bincount(known, minlength=len(column.levels)) / len(known)
            out[name] = {str(v): float(s) for v, s in zip(column.levels, share) if s > 0}
        return out

    def save(self, path: str | Path, allow_copies: bool = False) -> Path:
        """Save to one file, without rows of patients (and without pickle).

        No number in it is one patient's: it holds values that five or more share, means of five or
        more neighbours, intervals of time with their events. Names of levels are told, whoever has
        them. `trial_sim.audit` of the path attacks the file.

        Raises:
            ValueError: the bootstrap holds the patients themselves and ``allow_copies`` is false.
        """
        if self.covariate_model.copies_rows and not allow_copies:
            raise ValueError(
                "this model's covariate generator is the bootstrap, which holds the real "
                "patients' rows; save(path, allow_copies=True) writes them to the file"
            )
        return write(path, replace(self, real=None))

    def overridden(self, index: int, hazard_ratio: float | None, effect: Any) -> dict[int, Any]:
        """The effect of an arm in place of the fitted one, by its index (none: empty)."""
        if hazard_ratio is not None and effect is not None:
            raise ValueError("give hazard_ratio or effect, not both")
        if hazard_ratio is not None:
            if self.endpoint.kind == "joint":
                first = self.endpoint_names[0]
                raise ValueError(
                    "the fit has several endpoints: say which the hazard ratio is of, as in "
                    f"effect={{{first!r}: {hazard_ratio!r}}}"
                )
            if self.endpoint.kind not in ("time_to_event", "competing_risks", "illness_death"):
                raise ValueError(f"hazard_ratio does not apply to a {self.endpoint.kind} endpoint")
            effect = hazard_ratio
        if effect is None:
            return {}
        self._check_override(index)
        return {index: self._effect(effect)}

    def _effect(self, told: Any) -> Any:
        """A number, or of several endpoints a mapping."""
        if not isinstance(told, Mapping):
            if self.endpoint.kind == "joint":
                return told  # which the model accepts where it says no effect
            return checked_effect(self.endpoint, told, self.endpoint_names[0])
        if self.endpoint.kind != "joint":
            raise ValueError(f"the effect on one endpoint is a number, received {told!r}")
        endpoints = self.trial_schema.endpoints
        return {
            name: size
            if size is None or name not in endpoints
            else checked_effect(endpoints[name], size, name)
            for name, size in told.items()
        }

    def _check_override(self, index: int) -> None:
        if index == 0:
            raise ValueError("an effect is against the control arm; the control itself has none")

    def _baseline_of(self, patients: pd.DataFrame) -> pd.DataFrame:
        for column in self.trial_schema.columns:
            if column.name not in patients:
                raise ValueError(
                    f"patients has no column {column.name!r}{nearest(column.name, list(patients))}"
                )
        return patients.reset_index(drop=True)

    def __repr__(self) -> str:
        names, arms = " and ".join(self.endpoint_names), ", ".join(map(str, self.arms))
        follow_up = getattr(self.outcome_model, "follow_up", None)
        said = "" if follow_up is None else f"; {follow_up.words(self.trial_schema.time_unit)}"
        return (
            f"FittedTrial({names}: {self.outcome_model.name}, covariates by "
            f"{self.covariate_model.name}; arms {arms or 'none'}{said})"
        )


def load_fitted(path: str | Path) -> FittedTrial:
    """The model that `FittedTrial.save` wrote.

    Raises:
        ValueError: no such file, or a damaged or foreign one.

    Examples:
        >>> import trial_sim as ts
        >>> import pathlib, tempfile
        >>> fitted = ts.fit(ts.load_trial("gehan"), "relapse", model="weibull")
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = pathlib.Path(folder.name) / "gehan.fitted"
        >>> _ = fitted.save(path)
        >>> ts.load_fitted(path).sample_arm("6-MP", 3, seed=0).equals(
        ...     fitted.sample_arm("6-MP", 3, seed=0)
        ... )
        True
        >>> folder.cleanup()
    """
    found = read(path)
    if not isinstance(found, FittedTrial):
        raise ValueError(f"{str(path)!r} holds a {type(found).__name__}, not a fitted trial")
    return found
