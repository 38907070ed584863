"""Copies of baselines: real patients' covariates given out with fresh arms and outcomes.

A record of a patient whose outcome alone was made up still tells who took part. Measures over all
columns miss it, because the fresh outcome keeps every record apart from its source; these look at
the baseline columns only.
"""

from __future__ import annotations

import numpy as np

from trial_sim.auditing.compared import distances
from trial_sim.auditing.compared.comparison import Comparison, thin
from trial_sim.auditing.compared.exposure import Exposure
from trial_sim.auditing.compared.intervals import Interval, auc, share_difference
from trial_sim.auditing.compared.measure import Measure
from trial_sim.auditing.compared.tables import gower
from trial_sim.auditing.privacy import attacks

FEWEST_COLUMNS = 2  # one baseline column is shared by design and copies nobody


def copied_baselines(
    comparison: Comparison, tables: Exposure, rng: np.random.Generator
) -> list[Measure]:
    """Identical baselines, and baselines too near to a patient's.

    Args:
        comparison: names the baseline columns.
        tables: what was published, who was in, and perhaps who was not.
        rng: thins the tables to equal sizes.
    """
    names = comparison.covariates
    if len(names) < FEWEST_COLUMNS:
        return []
    schema = tables.schema.select(names)
    real = tables.members.columns(tables.schema, schema)
    synthetic = tables.synthetic.columns(tables.schema, schema)
    same = attacks.identical(schema, synthetic, real)
    if tables.others is not None:
        unseen = tables.others.columns(tables.schema, schema)
        base = attacks.identical(schema, unseen, real)
    else:
        base = attacks.identical(schema, real, real, itself=True)
    subject = f"{len(names)} baseline columns"
    out = [
        Measure(
            "identical baselines, excess share",
            subject,
            share_difference(same.sum(), len(same), base.sum(), len(base)),
            f"Share of synthetic records whose baseline columns all equal those of one real "
            f"patient (numbers within 1 %): {same.mean():.4f}; for other real patients it is "
            f"{base.mean():.4f}. Beyond that, baselines were copied and only arm and outcome are "
            "new.",
            control=0.0,
        )
    ]
    to_real = gower(synthetic, real, schema.ranges)
    among = distances.without_self(gower(real, real, schema.ranges))
    rows = thin(len(real), min(len(real), len(synthetic)), rng)
    alone = among[:, rows].min(axis=1)
    out.append(
        Measure(
            "nearer to a patient than patients are, baseline",
            subject,
            Interval(*(x - 0.5 for x in auc(-to_real[:, rows].min(axis=1), -alone))),
            "Chance that a synthetic baseline lies nearer to its closest real one than a random "
            "patient's does to its closest other patient, ties split, less one half; 0 is what an "
            "honest sample gives, .5 is copying with blurred values.",
            control=0.0,
        )
    )
    return out
