"""Which models serve which kind of endpoint, and the choice among them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.base.arguments import nearest
from trial_sim.covariates.encoding import decode_column
from trial_sim.data.endpoints import Binary, Continuous, Count, Endpoint, Longitudinal
from trial_sim.outcomes.base import FitData
from trial_sim.outcomes.effects import contrast
from trial_sim.outcomes.responses import binary, continuous, count, longitudinal, ordinal
from trial_sim.outcomes.times import competing_risks, multistate, recurrent, survival

HOMES: dict[str, Any] = {
    "time_to_event": survival,
    "competing_risks": competing_risks,
    "recurrent": recurrent,
    "binary": binary,
    "ordinal": ordinal,
    "continuous": continuous,
    "count": count,
    "longitudinal": longitudinal,
    "illness_death": multistate,
}
"""The module of each kind of endpoint: it offers models, candidates, fit(data, name)."""
WORST_BIAS = 0.25  # in standard errors of the real estimate: the floor of effect replication
CLEARLY_WORSE = 2.0  # standard errors of the difference in score
BIG = 20_000  # patients an arm of the trial that measures bias
FOLDS = 3
SMALL_ARM = 20  # patients of an arm below which chance could leave a fold without enough of it


def home(endpoint: Endpoint) -> Any:
    """The module that fits this kind."""
    return HOMES[endpoint.kind]


def check(endpoint: Endpoint, model: str) -> None:
    """Refuse a model that does not serve the endpoint."""
    models = home(endpoint).models(endpoint)
    if model != "auto" and model not in models:
        raise ValueError(
            f"no model {model!r} for a {endpoint.kind} endpoint{nearest(model, models)}; "
            f"there are {', '.join(models)}"
        )


def choose(data: FitData, model: str, seed: int) -> tuple[Any, pd.DataFrame]:
    """Fit the named model, or the best one.

    "auto" fits every candidate and measures its cross-validated log score (mean log likelihood of
    held-out patients) and its effect bias (a big synthetic trial against the real estimate, in
    standard errors of the latter). Among those whose bias is not clearly above 0.25 it takes the
    first, in the order of fewest assumptions on the treatment effect, whose score is within two
    standard errors of the best.
    """
    kind = home(data.endpoint)
    if model != "auto":
        return calibrated(data, kind.fit(data, model), seed), pd.DataFrame()
    names = kind.candidates(data)
    fitted = {name: calibrated(data, kind.fit(data, name), seed) for name in names}
    if len(names) == 1:
        return fitted[names[0]], pd.DataFrame()
    scores = {name: held_out(data, kind, name, seed) for name in names}
    rows = []
    for name in names:
        bias, error = effect_bias(data, fitted[name], seed)
        rows.append(
            {"model": name, "score": scores[name].mean(), "effect_bias": bias, "bias_mcse": error}
        )
    table = pd.DataFrame(rows)
    fair = (table["effect_bias"].abs() - 2 * table["bias_mcse"]).fillna(0) <= WORST_BIAS
    if not fair.any():
        fair = table["effect_bias"].abs() == table["effect_bias"].abs().min()
    best = table["model"].iloc[int(table["score"].where(fair, -np.inf).argmax())]
    behind = [scores[best] - scores[name] for name in names]
    table["behind_se"] = [
        0.0 if name == best else float(d.mean() / max(d.std() / len(d) ** 0.5, 1e-300))
        for name, d in zip(names, behind)
    ]
    chosen = table[fair & (table["behind_se"] <= CLEARLY_WORSE)]["model"].iloc[0]
    table["chosen"] = table["model"] == chosen
    return fitted[chosen], table


def calibrated(data: FitData, model: Any, seed: int) -> Any:
    """A model of visits with its arms moved until a big synthetic trial gives the real contrasts
    back (drop-out and skewed residuals otherwise leave a small bias).

    The contrast at each visit and the one over all visits weigh drop-outs differently and cannot
    both be met exactly: what is left is shared evenly between them.
    """
    schema = data.schema
    if not isinstance(data.endpoint, Longitudinal) or schema.arm is None:
        return model
    visits = visit_endpoints(data.endpoint)
    for _ in range(4):
        for a, other in enumerate(schema.arms[1:], start=1):
            table = big_trial(data, model, seed)
            gaps = []
            for part in (*visits, data.endpoint):
                real = contrast(data.patients, part, schema.arm, schema.control, other)
                made = contrast(table, part, schema.arm, schema.control, other)
                gaps.append(real[0] - made[0])
            each = np.nan_to_num(np.array(gaps))
            model = model.nudged(a, (each[:-1] + each[-1]) / 2)
    return model


def visit_endpoints(endpoint: Longitudinal) -> list[Endpoint]:
    """The endpoint of each visit by itself."""
    if endpoint.family == "binomial":
        return [Binary(name) for name in endpoint.columns]
    if endpoint.family == "poisson":
        return [Count(name) for name in endpoint.columns]
    return [Continuous(name, endpoint.baseline) for name in endpoint.columns]


def held_out(data: FitData, kind: Any, name: str, seed: int) -> np.ndarray:
    """Log likelihood (n,) of each patient by a fit that did not see it (higher is better)."""
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 21])))
    n = len(data.codes)
    fold = rng.permutation(n) % FOLDS
    if min(np.bincount(data.arm, minlength=data.n_arms)) < SMALL_ARM:  # a part of each arm a fold
        fold[np.lexsort((fold, data.arm))] = np.arange(n) % FOLDS
    out = np.zeros(n)
    for f in range(FOLDS):
        test = np.flatnonzero(fold == f)
        model = kind.fit(part_of(data, fold != f), name)
        rows = data.rows_of(test)
        out[test] = model.log_likelihood(rows, data.codes[test], data.arm[test])
    return out


def part_of(data: FitData, keep: np.ndarray) -> FitData:
    """The patients in the mask (n,), for a fit that only scores others."""
    index = np.flatnonzero(keep)
    return replace(
        data,
        patients=data.rows_of(index),
        codes=data.codes[index],
        arm=data.arm[index],
        at_cutoff=None if data.at_cutoff is None else data.at_cutoff[index],
        options={**data.options, "held_out": True},
    )


def effect_bias(data: FitData, model: Any, seed: int) -> tuple[float, float]:
    """Synthetic less real estimate and its Monte-Carlo error, both in standard errors of the real
    one, for the worst contrast."""
    schema = data.schema
    if schema.arm is None:
        return 0.0, 0.0
    table = big_trial(data, model, seed)
    worst, error = 0.0, 0.0
    for other in schema.arms[1:]:
        real = contrast(data.patients, data.endpoint, schema.arm, schema.control, other)
        made = contrast(table, data.endpoint, schema.arm, schema.control, other)
        gap = (made[0] - real[0]) / real[1]
        if np.isfinite(gap) and abs(gap) >= abs(worst):
            worst, error = float(gap), float(made[1] / real[1])
    return worst, error


def big_trial(data: FitData, model: Any, seed: int) -> pd.DataFrame:
    """Plug-in outcomes of `BIG` patients an arm, with the columns that `contrast` needs."""
    schema = data.schema
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 22])))
    codes = data.reference[rng.integers(0, len(data.reference), BIG * data.n_arms)]
    arm = np.repeat(np.arange(data.n_arms), BIG)
    sampled = model.sample(codes, arm, rng, model.draw(None))
    row = sampled.pop("row", np.arange(len(arm)))
    table = pd.DataFrame(sampled)
    table[schema.arm] = np.asarray(schema.arms, dtype=object)[arm[row]]
    if schema.id is not None:
        table[schema.id] = row
    for k, column in enumerate(schema.columns):
        if column.name in data.endpoint.inputs:
            table[column.name] = decode_column(codes[row, k], column).to_numpy()
    return table
