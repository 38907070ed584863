"""One row a patient, everything an attacker might know: covariates, arm and outcomes.

Types come from the real trial, so that a synthetic table whose columns were read as text or as
floats is compared as what it means.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from trial_sim.auditing.compared.tables import Schema, as_text, learn_schema
from trial_sim.data.trial import Ordinal, Recurrent, Trial


def patient_frame(trial: Trial, like: Trial) -> pd.DataFrame:
    """Baseline columns, arm and outcome columns of a trial, typed as in the trial ``like``.

    Recurrent events become the number of events and the time at risk of each patient.
    """
    table = trial.patients.drop_duplicates(trial.id) if trial.is_long else trial.patients
    table = table.reset_index(drop=True)
    schema = like.schema()
    out: dict[str, pd.Series] = {}
    for name in like.baseline_columns:
        column = schema[name]
        values = table[name]
        if column.kind == "ordered":
            out[name] = _ordered(values, column.levels)
        elif column.kind == "categorical":
            out[name] = _text(values)
        elif column.kind == "date":
            out[name] = pd.to_datetime(values)
        else:
            out[name] = pd.to_numeric(values, errors="coerce").astype(float)
    if like.arm is not None:
        out[like.arm] = _text(table[trial.arm or like.arm])
    for label, endpoint in like.endpoints.items():
        if isinstance(endpoint, Recurrent):
            codes, _ = pd.factorize(trial.patients[trial.id])
            n = int(codes.max()) + 1
            event = pd.to_numeric(trial.patients[endpoint.event]).to_numpy(dtype=float)
            span = (
                pd.to_numeric(trial.patients[endpoint.stop])
                - pd.to_numeric(trial.patients[endpoint.start])
            ).to_numpy(dtype=float)
            out[f"{label}: events"] = pd.Series(np.bincount(codes, weights=event, minlength=n))
            out[f"{label}: time at risk"] = pd.Series(np.bincount(codes, weights=span, minlength=n))
            continue
        for name in endpoint.columns:
            if isinstance(endpoint, Ordinal):
                out[name] = _ordered(table[name], endpoint.ordered_levels(like.patients))
            else:
                out[name] = pd.to_numeric(table[name], errors="coerce").astype(float)
    return pd.DataFrame(out)


def _text(values: pd.Series) -> pd.Series:
    texts = as_text(values)
    return pd.Series([t or None for t in texts], dtype=object)


def _ordered(values: pd.Series, levels: tuple[object, ...]) -> pd.Series:
    names = as_text(pd.Series(list(levels), dtype=object))
    return pd.Series(pd.Categorical(_text(values), categories=names, ordered=True))


def patient_schema(real: pd.DataFrame, *others: pd.DataFrame) -> Schema:
    """The schema of patient frames (see :func:`patient_frame`)."""
    return learn_schema(real, *others)
