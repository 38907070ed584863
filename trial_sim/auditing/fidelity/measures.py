"""Fidelity: do the synthetic patients look like the real ones, column by column and together?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from trial_sim.auditing.compared.comparison import Comparison
from trial_sim.auditing.compared.intervals import Interval, share_difference, wilson
from trial_sim.auditing.compared.measure import Measure, not_assessed
from trial_sim.auditing.fidelity import resemblance
from trial_sim.auditing.fidelity.outcome_measures import endpoint_associations, outcome_fidelity
from trial_sim.covariates.encoding import encode
from trial_sim.covariates.relation_search import find_relations
from trial_sim.covariates.relations import broken

NOTHING = float("nan")


def fidelity(comparison: Comparison) -> list[Measure]:
    """All fidelity measures of a comparison."""
    return [
        *margins(comparison),
        *associations(comparison),
        *associations_kept(comparison),
        *impossible(comparison),
        *combinations(comparison),
        *decimals_of(comparison),
        *endpoint_associations(comparison),
        *propensity(comparison),
        *outcome_fidelity(comparison),
    ]


def margins(comparison: Comparison) -> list[Measure]:
    """Distances between the margins of every column, and shares of missing values."""
    schema, rng = comparison.schema, comparison.rng(11)
    real, synthetic = comparison.tables["real"], comparison.tables["synthetic"]
    out = []
    for j, name in enumerate(schema.numeric):
        a, b = real.numeric[:, j], synthetic.numeric[:, j]
        interval, null = resemblance.ks_distance(a, b)
        out.append(
            Measure(
                "KS distance",
                name,
                interval,
                "Largest gap between the two distribution functions; 0 is identical. An honest "
                f"sample of these sizes stays below {null:.3f} nineteen times in twenty.",
                control=null,
            )
        )
        interval, null = resemblance.quantile_distance(a, b, rng)
        out.append(
            Measure(
                "quantile distance",
                name,
                interval,
                "Mean absolute difference of the 5 to 95 % quantiles in real standard deviations; "
                f"chance alone gives up to {null:.3f}.",
                control=null,
            )
        )
    for j, name in enumerate(schema.categorical):
        interval, null = resemblance.total_variation(real.codes[:, j], synthetic.codes[:, j], rng)
        out.append(
            Measure(
                "total variation",
                name,
                interval,
                "Share of synthetic patients that would have to change level to match the real "
                f"shares; chance alone gives up to {null:.3f}.",
                control=null,
            )
        )
    for name in schema.columns:
        a, b = _missing(comparison, "real", name), _missing(comparison, "synthetic", name)
        if not (a.any() or b.any()):
            continue
        out.append(
            Measure(
                "missing share, difference",
                name,
                share_difference(b.sum(), len(b), a.sum(), len(a)),
                f"Synthetic less real share of missing values ({b.mean():.3f} against "
                f"{a.mean():.3f}).",
                control=0.0,
            )
        )
    return out


def _missing(comparison: Comparison, which: str, name: str) -> np.ndarray:
    schema, table = comparison.schema, comparison.tables[which]
    if name in schema.numeric:
        return np.isnan(table.numeric[:, schema.numeric.index(name)])
    return table.codes[:, schema.categorical.index(name)] < 0


def associations(comparison: Comparison) -> list[Measure]:
    """Largest and typical error of the pairwise associations."""
    error = resemblance.association_error(
        comparison.schema,
        comparison.thinned("real", 5000),
        comparison.thinned("synthetic", 5000),
        comparison.rng(12),
    )
    if np.isnan(error.largest.estimate):
        return [not_assessed("association error", "all pairs", "fewer than two columns vary")]
    return [
        Measure(
            "association error, largest",
            error.pair,
            error.largest,
            "Largest difference of a rank correlation between any two columns; chance alone gives "
            f"up to {error.largest_null:.3f} over all pairs.",
            control=error.largest_null,
        ),
        Measure(
            "association error, typical",
            "all pairs",
            error.typical,
            "Root mean square difference of the rank correlations of all pairs of columns; chance "
            f"alone gives up to {error.typical_null:.3f}.",
            control=error.typical_null,
        ),
    ]


def associations_kept(comparison: Comparison) -> list[Measure]:
    """Are the associations as strong as they are, or shrunk?"""
    real, made = (comparison.thinned(which, 5000) for which in ("real", "synthetic"))
    out = []
    # outcomes go together by their meaning, so that all pairs can hide what covariates lost
    for only, what in ((None, "clear pairs"), (comparison.covariates, "clear pairs of covariates")):
        found, pairs = resemblance.associations_kept(
            comparison.schema, real, made, comparison.rng(13), only=only
        )
        if not pairs:
            why = "no two columns clearly go together"
            out.append(not_assessed("associations kept", what, why))
            continue
        out.append(
            Measure(
                "associations kept",
                f"{pairs} {what}",
                found,
                "Slope of the synthetic rank correlations on the real ones, over the pairs of "
                "columns that clearly go together; 1 is kept, .75 is shrunk by a quarter.",
                control=1.0,
            )
        )
    return out


def combinations(comparison: Comparison) -> list[Measure]:
    """Do synthetic patients combine two levels that no real patient combines?"""
    schema = comparison.schema
    names = [n for n in comparison.covariates if n in schema.categorical]
    if len(names) < 2:
        return []
    places = [schema.categorical.index(n) for n in names]
    real, made = (comparison.tables[w].codes[:, places] for w in ("real", "synthetic"))
    novel = resemblance.never_seen(made, real)
    chance = resemblance.alone_in_a_pair(real)
    return [
        Measure(
            "combinations never seen",
            f"{len(names)} columns with levels",
            share_difference(novel.sum(), len(novel), chance.sum(), len(chance)),
            f"Share of synthetic patients with a pair of levels that no real patient has "
            f"({novel.mean():.3f}), less the share that one more real patient would have so "
            f"({chance.mean():.3f}).",
            control=0.0,
        )
    ]


def decimals_of(comparison: Comparison) -> list[Measure]:
    """Are synthetic numbers given more finely than the real ones?"""
    out = []
    columns = {c.name: c for c in comparison.real.schema().columns}
    for name in comparison.covariates:
        column = columns.get(name)
        if column is None or column.kind not in ("numeric", "integer"):
            continue
        made = pd.to_numeric(comparison.synthetic.patients[name], errors="coerce")
        values = made.dropna().to_numpy(dtype=float)
        grid = column.step or (10.0**-column.decimals if column.kind == "numeric" else 1.0)
        if not len(values):
            continue
        off = np.abs(column.rounded(values) - values) > 1e-3 * grid
        if not off.any():
            continue
        out.append(
            Measure(
                "finer than the real values",
                name,
                wilson(int(off.sum()), len(off)),
                f"Share of synthetic values that do not lie on the grid of the real ones (steps of "
                f"{grid:.4g}); who reads them sees at once that they are made.",
                control=0.0,
            )
        )
    return out


def impossible(comparison: Comparison) -> list[Measure]:
    """How many synthetic patients are what no real one is, though chance would make many.

    A stratum that does not go with its number, a treatment before without the flag of one (see
    `trial_sim.covariates.relations`). Without such a relation in the real trial: no line.
    """
    real, synthetic = comparison.real, comparison.synthetic
    columns = real.schema().columns
    codes = encode(real.baseline, columns)
    relations = find_relations(codes, columns)
    if not relations.found:
        return []
    try:
        made = encode(synthetic.baseline, columns)
    except ValueError as error:
        return [not_assessed("impossible patients", "all relations", str(error))]
    count = int(broken(made, relations, codes).sum())
    return [
        Measure(
            "impossible patients",
            "all relations",
            wilson(count, len(made)),
            f"{count} of {len(made)} synthetic patients break a relation that holds in all "
            f"{len(codes)} real ones: {'; '.join(relations.notes)}. Up to 3 / {len(codes)} could "
            "have been missed among the real ones.",
            3 / len(codes),
            "low",
            0.0,
        )
    ]


def propensity(comparison: Comparison) -> list[Measure]:
    """Can a classifier tell synthetic from real patients?"""
    found = resemblance.propensity(
        comparison.schema,
        comparison.tables["real"],
        comparison.tables["synthetic"],
        comparison.seed,
    )
    if np.isnan(found.logistic.estimate):
        return [not_assessed("propensity AUC", "all columns", "fewer than ten patients in a table")]
    reading = (
        "Probability that the classifier ranks a random synthetic patient above a random real one "
        "(cross-fitted); .5: it cannot tell them apart, 1: it always can."
    )
    return [
        Measure("propensity AUC, logistic", "all columns", found.logistic, reading, control=0.5),
        Measure("propensity AUC, boosted trees", "all columns", found.trees, reading, control=0.5),
        Measure(
            "pMSE ratio",
            "all columns",
            Interval(found.pmse_ratio, NOTHING, NOTHING),
            "Mean squared propensity deviation over its null expectation; 1 is indistinguishable, "
            "under 3 good, under 10 acceptable. It grows with the number of patients.",
            control=1.0,
        ),
    ]
