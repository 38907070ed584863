"""Two (or three) trials brought to one form, checked once, before anything is measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.auditing.compared.paired_outcomes import Outcome, read_outcome
from trial_sim.auditing.compared.patients import patient_frame, patient_schema
from trial_sim.auditing.compared.tables import MixedTable, Schema, as_text
from trial_sim.base.arguments import nearest
from trial_sim.data.trial import Ordinal, Trial, plain_trial

MAX_ROWS = 2000  # rows of each table that distances are computed on
MOST_PATIENTS = 20_000  # of each trial that are compared at all


@dataclass(frozen=True, eq=False)
class Comparison:
    """A real trial beside a synthetic one, and beside unseen real patients where there are any.

    Args:
        real, synthetic, holdout: the trials, restricted to the endpoints compared.
        schema: types and ranges of the patient table.
        tables: ``real``, ``synthetic`` and perhaps ``holdout`` as arrays, one row a patient.
        outcomes: for each of them the outcomes by endpoint.
        seed: of every random choice made.
    """

    real: Trial
    synthetic: Trial
    holdout: Trial | None
    schema: Schema
    tables: dict[str, MixedTable]
    outcomes: dict[str, dict[str, Outcome]]
    seed: int

    def rng(self, purpose: int) -> np.random.Generator:
        """A stream of its own for each purpose, so that measures do not disturb one another."""
        return stream(self.seed, purpose)

    @property
    def arms(self) -> tuple[str, ...]:
        """Arms as text, control first; one empty name for a cohort."""
        return arm_names(self.real)

    @property
    def covariates(self) -> tuple[str, ...]:
        """Baseline columns of the schema, without arm and outcomes."""
        names = self.real.baseline_columns
        return tuple(name for name in self.schema.columns if name in names)

    def thinned(self, which: str, rows: int = MAX_ROWS) -> MixedTable:
        """The table of that name with at most ``rows`` rows, drawn once by seed."""
        table = self.tables[which]
        return table.rows(thin(len(table), rows, self.rng(len(which))))


def stream(seed: int, *purpose: int) -> np.random.Generator:
    """A counter-based generator for a seed and a purpose."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, *purpose])))


def thin(n: int, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Sorted index of at most ``rows`` of n rows."""
    return np.arange(n) if n <= rows else np.sort(rng.choice(n, rows, replace=False))


def arm_names(trial: Trial) -> tuple[str, ...]:
    """Arms as text, control first; one empty name for a cohort."""

    return tuple(as_text(pd.Series(list(trial.arms), dtype=object))) if trial.arm else ("",)


def chosen_endpoints(real: Trial, synthetic: Trial, endpoint: str | None) -> tuple[str, ...]:
    """The endpoints to compare: the one named, or all that both trials have."""
    if endpoint is not None:
        real.endpoint(endpoint)
        if endpoint not in synthetic.endpoints:
            raise ValueError(
                f"the synthetic trial has no endpoint {endpoint!r}"
                f"{nearest(endpoint, list(synthetic.endpoints))}"
            )
        return (endpoint,)
    shared = tuple(name for name in real.endpoints if name in synthetic.endpoints)
    if not shared and real.endpoints:
        raise ValueError(
            f"real and synthetic trial share no endpoint: {', '.join(real.endpoints)} against "
            f"{', '.join(synthetic.endpoints) or 'none'}"
        )
    return shared


def aligned(trial: Trial, real: Trial, role: str) -> Trial:
    """A trial with the real one's endpoints and baseline columns, or a ValueError that names what
    is missing."""
    columns = list(trial.patients.columns)
    needed = [*real.baseline_columns, *([real.arm] if real.arm else [])]
    for endpoint in real.endpoints.values():
        needed += endpoint.columns
    for name in needed:
        if name not in columns:
            raise ValueError(
                f"the {role} trial has no column {name!r}, which the real trial has"
                f"{nearest(name, columns)}"
            )
    if real.arm is not None:
        if trial.arm is None:
            trial = replace(trial, arm=real.arm)
        known = set(arm_names(real))
        strange = [arm for arm in arm_names(trial) if arm not in known]
        if strange:
            raise ValueError(
                f"the {role} trial has the arm {strange[0]!r}, which the real trial lacks"
                f"{nearest(strange[0], sorted(known))}"
            )
    if dict(trial.endpoints) == dict(real.endpoints):
        return trial  # it was checked when it was made
    return replace(trial, endpoints=dict(real.endpoints))


def compare(
    real: Trial,
    synthetic: Trial,
    holdout: Trial | None = None,
    endpoint: str | None = None,
    seed: int = 0,
) -> Comparison:
    """Check that the trials can be compared and encode them.

    Args:
        real: the trial that the synthetic one stands for (its training data).
        synthetic: the synthetic trial.
        holdout: real patients that its maker never saw, or None.
        endpoint: one endpoint, or None for all that both have.
        seed: of the audit.

    Raises:
        TypeError: when an argument is not a Trial.
        ValueError: when a column, arm or endpoint is missing, or a trial is too small.
    """
    for role, trial in (("real", real), ("synthetic", synthetic), ("holdout", holdout)):
        if trial is not None and not isinstance(trial, Trial):
            raise TypeError(
                f"{role} must be a Trial, received {type(trial).__name__}; "
                "wrap a table with ts.Trial(patients=..., arm=..., endpoints=...)"
            )
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed must be a whole number of 0 or more, received {seed!r}")
    names = chosen_endpoints(real, synthetic, endpoint)
    real = replace(real, endpoints={name: real.endpoints[name] for name in names})
    trials = {"real": real, "synthetic": aligned(synthetic, real, "synthetic")}
    if holdout is not None:
        trials["holdout"] = aligned(holdout, real, "hold-out")
    trials = {role: plain_trial(trial) for role, trial in trials.items()}
    for role, trial in trials.items():
        if trial.n_patients < 2:
            raise ValueError(
                f"the {role} trial has {trial.n_patients} patient; an audit needs at least 2"
            )
    # more patients add nothing beside a real trial's own sampling error, but a lot of memory
    trials = {
        role: trial.subset(thin(trial.n_patients, MOST_PATIENTS, stream(int(seed), 5, k)))
        if trial.n_patients > MOST_PATIENTS
        else trial
        for k, (role, trial) in enumerate(trials.items())
    }
    real = trials["real"]
    frames = {role: patient_frame(trial, real) for role, trial in trials.items()}
    schema = patient_schema(frames["real"], *[f for r, f in frames.items() if r != "real"])
    if not schema.columns:
        raise ValueError("the trials have no covariates, arm or endpoints to compare")
    return Comparison(
        real=real,
        synthetic=trials["synthetic"],
        holdout=trials.get("holdout"),
        schema=schema,
        tables={role: schema.encode(frame) for role, frame in frames.items()},
        outcomes={role: read_outcomes(trial, real) for role, trial in trials.items()},
        seed=int(seed),
    )


def read_outcomes(trial: Trial, real: Trial) -> dict[str, Outcome]:
    """The outcomes of a trial with the real trial's endpoints."""
    out = {}
    for name, endpoint in real.endpoints.items():
        levels = endpoint.ordered_levels(real.patients) if isinstance(endpoint, Ordinal) else None
        out[name] = read_outcome(trial, name, levels)
    return out


def one_thread() -> Any:
    """A context in which linear algebra and boosted trees use one thread.

    The arrays are small: on a busy machine threads that wait for one another cost a hundredfold.
    """
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1)


def describe(comparison: Comparison, mode: str) -> dict[str, Any]:
    """What was compared, for the head of the report."""
    real = comparison.real
    return {
        "mode": mode,
        "title": real.title,
        "citation": real.citation,
        "n_real": comparison.real.n_patients,
        "n_synthetic": comparison.synthetic.n_patients,
        "n_holdout": comparison.holdout.n_patients if comparison.holdout is not None else 0,
        "arms": [arm for arm in comparison.arms if arm],
        "endpoints": {name: e.kind for name, e in real.endpoints.items()},
        "covariates": list(comparison.covariates),
        "time_unit": real.time_unit,
        "seed": comparison.seed,
        "notes": [str(note) for note in comparison.synthetic.notes],
    }
