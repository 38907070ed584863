"""`fit` a real trial: covariate generator, outcome model, censoring, and their uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.arms.differential_privacy import private_fit
from trial_sim.arms.fitted import FittedTrial, Settings, load_fitted, stream
from trial_sim.covariates.conditions import sample_codes
from trial_sim.covariates.encoding import encode, off_grid, told_columns
from trial_sim.covariates.relations import Related
from trial_sim.covariates.representative import pool_size, representative
from trial_sim.covariates.selection import fit_generator
from trial_sim.data.column_checks import plain, type_name
from trial_sim.data.endpoints import CompetingRisks, Endpoint, TimeToEvent
from trial_sim.data.schema import Column, TrialSchema
from trial_sim.data.trial import Trial, plain_trial
from trial_sim.outcomes import registry
from trial_sim.outcomes.base import FitData
from trial_sim.outcomes.data_cutoff import find_cutoff
from trial_sim.outcomes.features import FeatureMap
from trial_sim.outcomes.joint.fitting import fit as fit_together
from trial_sim.outcomes.joint.record import Joint, joint_of
from trial_sim.outcomes.times import stratified

__all__ = ["FittedTrial", "Settings", "fit", "load_fitted", "stream"]

FEWEST = 10  # patients that a fit needs
LARGEST_PAIR, PAIRED = 4, 0.9  # size of clusters that are pairs, and the share that has it
REFERENCE = 600  # synthetic patients over whom margins are calibrated


def fit(
    trial: Trial,
    endpoint: str | Sequence[str],
    model: str | Mapping[str, str] = "auto",
    covariate_model: str = "auto",
    seed: int = 0,
    treatment_by: Sequence[str] = (),
    stratify_by: str | None = None,
    tail: str = "horizon",
    epsilon: float | None = None,
    delta: float = 1e-5,
    noise_seed: int | None = None,
) -> FittedTrial:
    """Fit covariate generator and outcome model of one endpoint to a real trial.

    Args:
        trial: a randomised trial, or a cohort (``arm=None``).
        endpoint: name of the endpoint, or of several, which are then fitted jointly: every
            synthetic patient has them all, with their association, and a time that never exceeds
            another (progression and death) does not do so in synthetic patients.
        model: outcome model, or "auto": the best by cross-validated score among those that
            replicate the effect (see ``.selection``). Of several endpoints "auto", or a mapping
            from those that are no times to their models.
        covariate_model: "cart", "copula", "bootstrap" (copies patients) or "auto".
        treatment_by: covariates that modify the treatment effect.
        stratify_by: a categorical covariate whose levels have baseline hazards of their own (time
            to event and competing risks).
        tail: beyond the last event, "horizon" (nothing happens) or "parametric" (constant hazard).
        epsilon, delta: fit with differential privacy (see `differential_privacy`); the guarantee,
            its unit and bounds stand in ``.privacy``. ``noise_seed`` fixes the noise for tests.

    Returns:
        A `FittedTrial`.

    Raises:
        ValueError: too few patients, an unknown name, an endpoint without any event.

    Examples:
        >>> import trial_sim as ts
        >>> fitted = ts.fit(
        ...     ts.load_trial("gehan"),
        ...     "relapse",
        ...     model="weibull",
        ...     covariate_model="bootstrap",
        ...     seed=0,
        ... )
        >>> fitted.arms
        ('control', '6-MP')
        >>> len(fitted.sample_arm("6-MP", 10, seed=0))
        10
    """
    if not isinstance(trial, Trial):
        raise TypeError(f"fit needs a Trial, received {type(trial).__name__}")
    stream(seed)  # refuses a seed that is none
    record = endpoint_of(trial, endpoint)
    name = endpoint if isinstance(endpoint, str) else tuple(endpoint)
    if trial.n_patients < FEWEST:
        raise ValueError(
            f"a fit needs at least {FEWEST} patients; this trial has {trial.n_patients}"
        )
    check_pairs(trial)
    schema = trial.schema()
    for modifier in treatment_by:
        _ = schema[modifier]  # refuses an unknown covariate
    given, trial = trial, plain_trial(trial)
    settings = Settings(
        name,
        model if isinstance(model, str) else dict(model),
        covariate_model,
        tuple(treatment_by),
        stratify_by,
        tail,
        int(seed),
        epsilon,
        delta,
    )
    if isinstance(record, Joint) and (epsilon is not None or stratify_by is not None):
        raise ValueError("epsilon= and stratify_by= serve fits of one endpoint, not of several")
    if not isinstance(record, Joint) and not isinstance(model, str):
        raise ValueError(f"model= of one endpoint is one name, received {model!r}")
    if epsilon is not None:
        told = {"model": model != "auto", "covariate_model": covariate_model != "auto"}
        told |= {"treatment_by": bool(treatment_by), "stratify_by": stratify_by is not None}
        if any(told.values()):
            said = ", ".join(k for k, asked in told.items() if asked)
            raise ValueError(
                f"epsilon= releases the margins of every column and arm only, so that {said} "
                "cannot be kept; leave them out"
            )
        return _private(given, record, schema, settings, noise_seed)
    if stratify_by is None and not isinstance(record, Joint):
        registry.check(record, str(model))
    base = trial.baseline
    codes = encode(base, schema.columns)
    columns = told_columns(codes, schema.columns)
    schema = replace(schema, columns=columns)
    generator, compared = fit_generator(
        codes, columns, covariate_model, int(seed), trial.constraints
    )
    found = generator.relations.notes if isinstance(generator, Related) else ()
    arm = np.zeros(len(base), dtype=int)
    if trial.arm is not None:
        arm = pd.Categorical(base[trial.arm], categories=list(trial.arms)).codes.astype(int)
    cutoff, at_cutoff = None, None
    noted: Sequence[str] = ()
    if isinstance(record, TimeToEvent | CompetingRisks):
        duration, event = (trial.patients[c].to_numpy(dtype=float) for c in record.columns)
        cutoff, at_cutoff, noted = find_cutoff(schema, codes, duration, event == 0)
    elif trial.entry is not None:
        noted = (f"entry times are sampled; a {record.kind} endpoint takes no data cutoff",)
    # what says how long a patient is followed is no covariate of what happens then
    parts = record.parts if isinstance(record, Joint) else (record,)
    left_out = {getattr(r, name, None) for r in parts for name in ("exposure", "entry")}
    if cutoff is not None:
        left_out.add(trial.entry)
    use = [n for n in trial.baseline_columns if n not in left_out]
    features = FeatureMap.fit(codes, columns, use)
    check_modifiers(features, treatment_by)
    reference = reference_codes(generator, codes, columns, int(seed))
    for k, column in enumerate(columns):
        if not column.discrete:
            reference[:, k] = off_grid(reference[:, k], column)
    data = FitData(
        schema,
        record,
        trial.patients,
        codes,
        arm,
        features,
        reference,
        tuple(treatment_by),
        tail,
        cutoff,
        at_cutoff,
    )
    outcome: Any
    selection: pd.DataFrame
    if isinstance(record, Joint):
        outcome, selection = fit_together(data, model, int(seed))
    elif stratify_by is not None:
        outcome, selection = stratified.fit(data, str(model), stratify_by), pd.DataFrame()
    else:
        outcome, selection = registry.choose(data, str(model), int(seed))
    names, types = layout(given, schema, record)
    return FittedTrial(
        trial_schema=schema,
        record=record,
        settings=settings,
        covariate_model=generator,
        outcome_model=outcome,
        columns=names,
        types=types,
        constraints=tuple(trial.constraints),
        notes=tuple(dict.fromkeys([*trial.notes, *found, *noted, *outcome.notes])),
        selection=selection,
        covariate_selection=compared,
        real=given,
    )


def reference_codes(
    generator: Any, codes: np.ndarray, columns: Sequence[Column], seed: int
) -> np.ndarray:
    """`REFERENCE` synthetic patients whose means, and squares of numbers, are those of many: by
    chance 600 draws are off by as much as 600 real patients, and with them every margin."""
    pool = sample_codes(generator, pool_size(len(codes)), stream(seed, 3), generator.draw(None))
    features = FeatureMap.fit(codes, columns)
    terms = features.matrix(pool)
    numbers = [t.kind in ("number", "log") for t in features.terms]
    return pool[representative(np.hstack([terms, terms[:, numbers] ** 2]), REFERENCE)]


def check_pairs(trial: Trial) -> None:
    """Refuse rows that belong together in twos to fours (both eyes of a patient).

    Raises:
        ValueError: nearly all clusters of the site column have one such size.
    """
    if trial.site is None:
        return
    sizes = trial.baseline[trial.site].value_counts()
    sizes = sizes[sizes > 0]
    usual = int(sizes.mode().iloc[0])
    if 2 <= usual <= LARGEST_PAIR and (sizes == usual).mean() >= PAIRED:
        raise ValueError(
            f"column {trial.site!r} (the site) groups rows in clusters of {usual}, as both eyes of "
            "a patient; synthetic rows are drawn one by one and would break them. Fit one row a "
            "patient (the mean of the eyes, or one of them), or leave site= out if the rows are "
            "independent"
        )


def check_modifiers(features: FeatureMap, treatment_by: Sequence[str]) -> None:
    """Refuse a modifier of the treatment effect that has no term in the outcome model."""
    for name in treatment_by:
        if not features.positions([name]):
            raise ValueError(
                f"treatment_by names {name!r}, which has no term in the outcome model: it is "
                "constant, has rare levels only, follows from other covariates, or is the "
                "endpoint's exposure or entry"
            )


def layout(
    trial: Trial, schema: TrialSchema, record: Endpoint
) -> tuple[tuple[str, ...], tuple[Column, ...]]:
    """Columns of a synthetic table in the order of the real one; types of id, arm and outcomes.

    The type of the id says nothing of its values.
    """
    made = produced(schema, record)
    names = tuple(n for n in trial.patients.columns if n in made)
    types = []
    for name in (schema.id, schema.arm, *record.columns):
        if name is None:
            continue
        values = trial.patients[name]
        if not isinstance(values.dtype, pd.CategoricalDtype):
            types.append(Column(name, "categorical", dtype=type_name(values.dtype)))
        elif name != schema.id:
            kind, levels = "ordered" if values.cat.ordered else "categorical", values.cat.categories
            types.append(Column(name, kind, tuple(map(plain, levels)), dtype="category"))
    return names, tuple(types)


def _private(
    trial: Trial, record: Endpoint, schema: TrialSchema, settings: Settings, noise_seed: int | None
) -> FittedTrial:
    assert settings.epsilon is not None
    generator, outcome, schema, privacy = private_fit(
        plain_trial(trial),
        record,
        schema,
        settings.epsilon,
        settings.delta,
        settings.tail,
        noise_seed,
    )
    names, types = layout(trial, schema, record)
    return FittedTrial(
        trial_schema=schema,
        record=record,
        settings=settings,
        covariate_model=generator,
        outcome_model=outcome,
        columns=names,
        types=types,
        constraints=tuple(trial.constraints),
        notes=(*trial.notes, str(privacy)),
        privacy=privacy,
        real=trial,
    )


def endpoint_of(trial: Trial, endpoint: str | Sequence[str]) -> Endpoint:
    """The record of one endpoint, or of several that are fitted jointly."""
    if isinstance(endpoint, str):
        return trial.endpoint(endpoint)
    names = list(endpoint)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"endpoint takes one name, or several different ones; received {names}")
    records = {name: trial.endpoint(name) for name in names}
    if len(names) == 1:
        return records[names[0]]
    if trial.is_long:
        raise ValueError(
            "this trial has several rows a patient; a joint fit takes endpoints of one row each"
        )
    found = joint_of(plain_trial(trial).patients, records)
    found.check(trial.patients)
    return found


def produced(schema: TrialSchema, record: Endpoint) -> list[str]:
    """Columns that a synthetic patient is given."""
    single = [n for n in (schema.id, schema.arm) if n is not None]
    return [*single, *(c.name for c in schema.columns), *record.columns]
