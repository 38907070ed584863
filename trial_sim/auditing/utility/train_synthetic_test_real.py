"""Utility: models trained on synthetic and on real patients, both tested on real ones.

TSTR is the score of the first, TRTR of the second.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from trial_sim.auditing.compared.comparison import Comparison, stream
from trial_sim.auditing.compared.intervals import Interval, normal_interval
from trial_sim.auditing.compared.measure import Measure, not_assessed
from trial_sim.auditing.compared.paired_outcomes import Outcome, response
from trial_sim.auditing.compared.tables import MixedTable, Schema, model_matrix
from trial_sim.data.trial import (
    Binary,
    CompetingRisks,
    Continuous,
    Count,
    Longitudinal,
    Recurrent,
    TimeToEvent,
)
from trial_sim.outcomes.times.cox import fit_cox, ridge_cox

RIDGE = 1.0
FEWEST = 10  # events, or patients of either response, for a calibration slope
DRAWS = 200


class Split(NamedTuple):
    """One train/test split: real and synthetic training patients, and real test patients."""

    real: tuple[MixedTable, Outcome]
    synthetic: tuple[MixedTable, Outcome]
    test: tuple[MixedTable, Outcome]


def _design(schema: Schema, covariates: tuple[str, ...], arm: str | None) -> Schema:
    return schema.select(covariates + ((arm,) if arm else ()))


def _matrix(schema: Schema, part: Schema, table: MixedTable) -> np.ndarray:
    return model_matrix(part, table.columns(schema, part))[0]


def survival_predictor(x: np.ndarray, outcome: Outcome, event: np.ndarray) -> np.ndarray:
    """(p,) coefficients of the ridge Cox regression, with delayed entry where there is one."""
    if "entry" not in outcome.data:
        return ridge_cox(x, outcome.data["duration"], event, RIDGE)[0]
    times = outcome.data["duration"], event.astype(float)
    return fit_cox(*times, x, ridge=RIDGE, entry=outcome.data["entry"]).coefficients


def predictor(x: np.ndarray, outcome: Outcome) -> np.ndarray | None:
    """(p,) coefficients of a small ridge model for the outcome, or None where nothing varies."""
    endpoint = outcome.endpoint
    if isinstance(endpoint, TimeToEvent):
        return survival_predictor(x, outcome, outcome.data["event"])
    if isinstance(endpoint, CompetingRisks):
        first = min(set(outcome.data["cause"].tolist()) - {0}, default=1)
        return survival_predictor(x, outcome, outcome.data["cause"] == first)
    y, weight = response(outcome)
    used = weight > 0
    if used.sum() < 3 or np.ptp(y[used]) == 0:
        return None
    from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge

    if isinstance(endpoint, Binary):
        return LogisticRegression(C=1 / RIDGE, max_iter=300).fit(x[used], y[used]).coef_[0]
    if isinstance(endpoint, (Continuous, Longitudinal)) or y.min() < 0:
        # coef and intercept: the level matters for the error of prediction
        fit = Ridge(alpha=RIDGE).fit(x[used], y[used], sample_weight=weight[used])
        return np.append(fit.coef_, fit.intercept_)
    if type(endpoint).__name__ == "Ordinal":
        return Ridge(alpha=RIDGE).fit(x[used], y[used]).coef_
    mean = weight[used].mean()
    fit = PoissonRegressor(alpha=RIDGE / used.sum(), max_iter=300)
    return fit.fit(x[used], y[used], sample_weight=weight[used] / mean).coef_


def comparable(outcome: Outcome) -> np.ndarray:
    """(n, n) boolean: pairs (i, j) in which i is known to fare worse than j.

    For times: i had the event before j was last seen. Otherwise i has the larger response.
    """
    endpoint = outcome.endpoint
    if isinstance(endpoint, (TimeToEvent, CompetingRisks)):
        t = outcome.data["duration"]
        if isinstance(endpoint, TimeToEvent):
            d = outcome.data["event"]
        else:
            first = min(set(outcome.data["cause"].tolist()) - {0}, default=1)
            d = outcome.data["cause"] == first
            # the other causes leave the patient free of this one for ever
            t = np.where((outcome.data["cause"] != 0) & ~d, np.inf, t)
        return d[:, None] & (t[:, None] < t[None, :])
    y, weight = response(outcome)
    return (weight > 0)[:, None] & (weight > 0)[None, :] & (y[:, None] > y[None, :])


class Scores(NamedTuple):
    """Predictive scores on real test patients, of models trained on synthetic and real ones."""

    synthetic: float
    real: float
    ratio: Interval  # synthetic / real, such that higher is better
    name: str


def score(splits: Sequence[Split], schema: Schema, comparison: Comparison) -> Scores | None:
    """TSTR and TRTR over the splits, pooled, with a bootstrap interval over test patients."""
    part = _design(schema, comparison.covariates, comparison.real.arm)
    if not part.columns:
        return None
    synthetic: list[np.ndarray] = []
    real: list[np.ndarray] = []
    tests: list[Outcome] = []
    for split in splits:
        coefficients = [
            predictor(_matrix(schema, part, table), outcome)
            for table, outcome in (split.synthetic, split.real)
        ]
        if coefficients[1] is None:
            return None
        x = _matrix(schema, part, split.test[0])
        with_level = np.column_stack([x, np.ones(len(x))])
        # a synthetic table whose outcome does not vary predicts nothing
        for store, beta in zip((synthetic, real), coefficients):
            if beta is None:
                store.append(np.zeros(len(x)))
            else:
                store.append((with_level if len(beta) > x.shape[1] else x) @ beta)
        tests.append(split.test[1])
    s, r = (np.concatenate(v) for v in (synthetic, real))
    rng = comparison.rng(31)
    weights = rng.standard_exponential((DRAWS, len(s)))
    weights = np.vstack([np.ones(len(s)), weights])
    endpoint = tests[0].endpoint
    if isinstance(endpoint, Continuous) or (
        isinstance(endpoint, Longitudinal) and endpoint.family == "gaussian"
    ):
        y, seen = (np.concatenate(v) for v in zip(*(response(o) for o in tests)))
        weights = weights * (seen > 0)
        errors = [
            np.sqrt((weights * (y - p) ** 2).sum(axis=1) / weights.sum(axis=1)) for p in (s, r)
        ]
        ratios = errors[1] / np.maximum(errors[0], 1e-12)
        low, high = np.quantile(ratios[1:], [0.025, 0.975])
        interval = Interval(float(ratios[0]), float(low), float(high))
        return Scores(float(errors[0][0]), float(errors[1][0]), interval, "RMSE")
    pairs = [comparable(o) for o in tests]
    found, total, start = np.zeros((2, DRAWS + 1)), np.zeros(DRAWS + 1), 0
    for pair in pairs:
        n = len(pair)
        w = weights[:, start : start + n]
        for k, p in enumerate((s, r)):
            q = p[start : start + n]
            right = pair * ((q[:, None] > q[None, :]) + 0.5 * (q[:, None] == q[None, :]))
            found[k] += ((w @ right) * w).sum(axis=1)
        total += ((w @ pair.astype(float)) * w).sum(axis=1)
        start += n
    if total[0] == 0:
        return None
    c = found / np.maximum(total, 1e-12)
    ratios = c[0] / np.maximum(c[1], 1e-12)
    low, high = np.quantile(ratios[1:], [0.025, 0.975])
    name = "AUC" if isinstance(endpoint, Binary) else "C-index"
    interval = Interval(float(ratios[0]), float(low), float(high))
    return Scores(float(c[0, 0]), float(c[1, 0]), interval, name)


def two_table_splits(comparison: Comparison, name: str, folds: int = 5) -> list[Split]:
    """Splits of a comparison: the hold-out as the test set, else cross-validation in the real data.

    Without a hold-out the synthetic patients may derive from the test patients.
    """
    real = comparison.tables["real"], comparison.outcomes["real"][name]
    synthetic = comparison.tables["synthetic"], comparison.outcomes["synthetic"][name]
    if comparison.holdout is not None:
        test = comparison.tables["holdout"], comparison.outcomes["holdout"][name]
        return [
            Split(
                _pick(real, synthetic, 0, comparison), _pick(synthetic, real, 1, comparison), test
            )
        ]
    n = len(real[0])
    folds = min(folds, n // 2)
    label = stream(comparison.seed, 32).permutation(n) % max(folds, 2)
    out = []
    for k in range(max(folds, 2)):
        train = np.flatnonzero(label != k), np.flatnonzero(label == k)
        some = real[0].rows(train[0]), real[1].rows(train[0])
        chosen = _pick(synthetic, some, 10 + k, comparison)
        out.append(Split(some, chosen, (real[0].rows(train[1]), real[1].rows(train[1]))))
    return out


def _pick(
    pool: tuple[MixedTable, Outcome],
    like: tuple[MixedTable, Outcome],
    salt: int,
    comparison: Comparison,
) -> tuple[MixedTable, Outcome]:
    """As many patients of the pool as the other set has, so that both models train on equal n."""
    n, wanted = len(pool[0]), len(like[0])
    if n <= wanted:
        return pool
    chosen = np.sort(stream(comparison.seed, 33, salt).choice(n, wanted, replace=False))
    return pool[0].rows(chosen), pool[1].rows(chosen)


def utility(comparison: Comparison, splits: dict[str, list[Split]] | None = None) -> list[Measure]:
    """TSTR against TRTR for every endpoint, and the calibration of the synthetic-trained model.

    Args:
        comparison: the trials.
        splits: clean splits from K-fold refits, by endpoint; made from the two tables when None.
    """
    out: list[Measure] = []
    for name in comparison.real.endpoints:
        mine = splits[name] if splits is not None else two_table_splits(comparison, name)
        clean = splits is not None or comparison.holdout is not None
        found = score(mine, comparison.schema, comparison)
        if found is None:
            out.append(
                not_assessed("TSTR / TRTR", name, "no covariates, or the outcome does not vary")
            )
            continue
        where = (
            "patients that neither model saw"
            if clean
            else "cross-validation folds (the synthetic data may derive from the test patients)"
        )
        direction = "lower is better" if found.name == "RMSE" else "higher is better"
        out.append(
            Measure(
                "TSTR / TRTR",
                name,
                found.ratio,
                f"{found.name} of a model trained on synthetic patients ({found.synthetic:.3f}) "
                f"against one trained on real patients ({found.real:.3f}; {direction}), both "
                f"tested on real {where}; 1 means nothing is lost.",
                control=1.0,
            )
        )
        slope = calibration(mine, comparison)
        if slope is not None:
            out.append(slope)
    return out


def calibration(splits: Sequence[Split], comparison: Comparison) -> Measure | None:
    """Calibration slopes on test patients, synthetic-trained less real-trained.

    The slope is the coefficient of the linear predictor in the test patients of all splits (Cox
    for times to event, logistic for yes or no, Poisson for counts, least squares otherwise): 1 is
    calibrated, below 1 predictions are too extreme. None where it cannot be estimated.
    """
    part = _design(comparison.schema, comparison.covariates, comparison.real.arm)
    predicted: list[list[np.ndarray]] = [[], []]
    for split in splits:
        x = _matrix(comparison.schema, part, split.test[0])
        for store, (table, trained) in zip(predicted, (split.synthetic, split.real)):
            beta = predictor(_matrix(comparison.schema, part, table), trained)
            if beta is None:
                return None
            score = x @ beta[: x.shape[1]]
            store.append(score - score.mean())  # the level is not what a slope is about
    tests = [split.test[1] for split in splits]
    found = [slope(np.concatenate(scores), tests) for scores in predicted]
    if found[0] is None or found[1] is None:
        return None
    (mine, error), (theirs, other) = found[0], found[1]
    return Measure(
        "calibration slope, synthetic less real",
        tests[0].name,
        normal_interval(mine - theirs, float(np.hypot(error, other))),
        f"Slope of the observed outcome on the prediction of the synthetic-trained model "
        f"({mine:.2f}) less that of the real-trained one ({theirs:.2f}); 0 is equally calibrated, "
        "below 0 too extreme.",
        control=0.0,
    )


def slope(predicted: np.ndarray, tests: Sequence[Outcome]) -> tuple[float, float] | None:
    """Slope of the outcome on a linear predictor with its standard error, or None.

    Args:
        predicted: (n,) linear predictor.
        tests: outcomes of the same n patients, one after the other.
    """
    endpoint = tests[0].endpoint
    if np.ptp(predicted) < 1e-9:
        return None
    if isinstance(endpoint, TimeToEvent | CompetingRisks):
        duration = np.concatenate([o.data["duration"] for o in tests])
        if isinstance(endpoint, TimeToEvent):
            event = np.concatenate([o.data["event"] for o in tests])
        else:
            cause = np.concatenate([o.data["cause"] for o in tests])
            event = cause == min(set(cause.tolist()) - {0}, default=1)
        if event.sum() < FEWEST:
            return None
        beta, inverse = ridge_cox(predicted[:, None], duration, event, 1e-6)
        return float(beta[0]), float(np.sqrt(inverse[0, 0]))
    y, weight = (np.concatenate(v) for v in zip(*(response(o) for o in tests)))
    used = weight > 0
    y, weight, z = y[used], weight[used], predicted[used]
    few = isinstance(endpoint, Binary) and min(y.sum(), len(y) - y.sum()) < FEWEST
    if len(y) < 2 * FEWEST or few or np.ptp(y) == 0 or np.ptp(z) < 1e-9:
        return None
    import statsmodels.api as sm

    family = sm.families.Gaussian()
    if isinstance(endpoint, Binary):
        family = sm.families.Binomial()
    elif isinstance(endpoint, Count | Recurrent):
        family = sm.families.Poisson()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # separation and overflow: no slope
        try:
            fit = sm.GLM(y, sm.add_constant(z), family=family, var_weights=weight).fit(
                cov_type="HC0"
            )
        except (Warning, np.linalg.LinAlgError, ValueError):
            return None
    return float(fit.params[1]), float(fit.bse[1])
