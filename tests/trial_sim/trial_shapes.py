"""Trials of every shape that a user brings, drawn from known laws, and what a fit must give back.

`shape_of(number)` draws a shape: kind of endpoint, follow-up, scale of every column, strata, gaps,
rounding, size, model. `trial_of(shape)` makes the trial. `faults(shape)` fits it, samples a large
trial at the estimates and lists what was not given back: events, follow-up, marginal rates, the
association with a baseline column and with a stratum, the effect.

A quantity is given back if real and synthetic differ by no more than three Monte-Carlo errors of
the large synthetic trial plus a slack, in standard errors of the real estimate (`SLACK`), for what
a model smooths by design: margins and effects may be off by a small share of the trial's own error,
associations by one error (the ridge on covariates).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

import trial_sim as ts
from trial_sim.outcomes.effects import contrast
from trial_sim.outcomes.features import RARE
from trial_sim.outcomes.glm import fit_glm, negative_binomial_size
from trial_sim.outcomes.times.cox import fit_cox
from trial_sim.outcomes.times.fine_gray import fine_gray_rows

MODELS = {
    "time_to_event": ("cox_by_arm", "cox", "weibull", "generalized_gamma", "royston_parmar"),
    "competing_risks": ("cause_specific_by_arm", "cause_specific", "fine_gray"),
    "illness_death": ("illness_death",),
    "recurrent": ("andersen_gill", "negative_binomial"),
    "binary": ("logistic",),
    "ordinal": ("by_arm",),
    "continuous": ("ancova", "ancova_residuals"),
    "count": ("negative_binomial",),
    "longitudinal": ("mmrm_unstructured",),
}
TIMES = ("time_to_event", "competing_risks", "illness_death", "recurrent")
FOLLOW_UP = ("fixed", "fixed and drop-out", "two cohorts", "staggered", "drop-out", "complete")
SLACK = {"margin": 1.0, "association": 1.0, "effect": 0.3}
# twice the slack in margins: a smooth curve, one shape for all arms, or times that add up
SMOOTH = (
    *("weibull", "generalized_gamma", "royston_parmar", "cox", "cause_specific"),
    *("illness_death", "fine_gray"),
)
FINE_GRAY_EFFECT = 1.0  # slack of a cause-specific effect that follows from two incidences
BIG = 4000  # synthetic patients an arm
THINNED = 4  # of so many one is in a Fine-Gray regression, whose rows grow with their square


@dataclass(frozen=True)
class Shape:
    """One shape of a trial.

    Attributes:
        number: it came from. kind, model: of the endpoint. n: patients. follow_up: a pattern.
        late: delayed entry. gaps: time not at risk. scale: of times and outcomes.
        baseline_scale: of the baseline column. unit: times in whole parts of the follow-up
            (0: not rounded). strata: levels of the stratum (0: none). missing: share of gaps.
        effect, slope: of treatment (log ratio, or standard deviations) and of the baseline column.
    """

    number: int
    kind: str
    model: str
    n: int
    follow_up: str
    late: bool
    gaps: bool
    scale: float
    baseline_scale: float
    unit: float
    strata: int
    missing: float
    effect: float
    slope: float


def shape_of(number: int) -> Shape:
    """The shape with this number."""
    rng = np.random.default_rng([number, 77])
    kind = str(rng.choice(list(MODELS)))
    model = str(rng.choice(MODELS[kind]))
    follow_up = str(rng.choice(FOLLOW_UP if kind != "recurrent" else FOLLOW_UP[:5]))
    late = bool(rng.random() < 0.25) and kind in ("time_to_event", "competing_risks", "recurrent")
    return Shape(
        number=number,
        kind=kind,
        model=model,
        n=int(rng.choice([80, 150, 300, 600])),
        follow_up=follow_up,
        late=late and model != "fine_gray",
        gaps=bool(rng.random() < 0.5),
        scale=float(10.0 ** rng.integers(-6, 7)),
        baseline_scale=float(10.0 ** rng.integers(-6, 7)),
        unit=float(rng.choice([0.0, 1 / 24, 1 / 400])),
        strata=int(rng.choice([0, 2, 4, 10])),
        missing=float(rng.choice([0.0, 0.1])),
        effect=float(rng.choice([-0.7, -0.3, 0.0, 0.4])),
        slope=float(rng.choice([0.0, 0.4, 0.8])),
    )


def trial_of(shape: Shape) -> ts.Trial:
    """A trial of the shape."""
    rng = np.random.default_rng([shape.number, 78])
    n = shape.n
    arm = rng.permutation(n) % 2
    x = rng.normal(0, 1, n).round(3)
    base = pd.DataFrame({"arm": np.where(arm, "new", "old"), "x": (x + 5) * shape.baseline_scale})
    eta = shape.effect * arm + shape.slope * x
    strata = []
    if shape.strata:
        level = rng.integers(0, shape.strata, n)
        base["site"] = [f"site {k}" for k in level]
        eta = eta + 0.7 * (level == 0)
        strata = ["site"]
    made = _times if shape.kind in TIMES else _values
    table, endpoints, extra = made(shape, base, eta, rng)
    return ts.Trial(table, "arm", endpoints, ["x"], strata=strata, arms=["old", "new"], **extra)


def _ends(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Ends of follow-up (n,) in parts of the longest, inf where there is none."""
    n = shape.n
    end = np.full(n, 1.0)
    if shape.follow_up == "two cohorts":
        end = rng.choice([0.5, 1.0], n)
    elif shape.follow_up == "staggered":
        end = rng.uniform(0.6, 1.0, n)
    elif shape.follow_up in ("drop-out", "complete"):
        end = np.full(n, np.inf)
    if "drop-out" in shape.follow_up:
        end = np.minimum(end, rng.exponential(2.0, n))
    return end


def _rounded(shape: Shape, times: np.ndarray) -> np.ndarray:
    """Recorded times, up to the unit, in the scale of the shape."""
    if shape.unit:
        steps = np.maximum(np.ceil(times / shape.unit - 1e-9), 1)
        return np.round(steps * shape.scale, 9 - int(np.log10(shape.scale)))
    return times * 24 * shape.scale


def _times(shape: Shape, base: pd.DataFrame, eta: np.ndarray, rng: np.random.Generator):
    n = shape.n
    rate, end = 1.2 * np.exp(eta), _ends(shape, rng)
    entry = np.where(rng.random(n) < 0.5, 0.0, rng.uniform(0, 0.3, n)) if shape.late else None
    if shape.kind == "recurrent":
        if np.isinf(end).all():
            end = np.full(n, 1.0)
        return _recurrent(shape, base, rate * 1.5, np.maximum(end, 0.05), entry, rng)
    if entry is not None and shape.unit:
        entry = np.floor(entry / shape.unit) * shape.unit
    first = rng.exponential(1 / rate)
    if entry is not None:
        first = first + entry  # memoryless: given that it is later than the entry
        end = np.maximum(end, entry + 0.05)
    event = first <= end
    time = _rounded(shape, np.minimum(first, end))
    extra: dict[str, Any] = {}
    late = None
    if entry is not None:
        late = "since"
        base["since"] = _rounded_entry(shape, entry)
    if shape.kind == "illness_death":
        ill = rng.random(n) < 0.7
        death = np.where(ill, first + rng.exponential(0.5, n), first)
        base["pt"], base["pd"] = time, (event & ill).astype(int)
        base["dt"] = np.maximum(_rounded(shape, np.minimum(death, end)), time)
        base["dd"] = (death <= end).astype(int)
        both = {"p": ts.TimeToEvent("pt", "pd"), "d": ts.TimeToEvent("dt", "dd")}
        return base, both, extra
    base["t"], base["d"] = time, event.astype(int)
    if shape.kind == "competing_risks":
        base["d"] *= np.where(rng.random(n) < 0.6, 1, 2)
        return base, {"e": ts.CompetingRisks("t", "d", entry=late)}, extra
    return base, {"e": ts.TimeToEvent("t", "d", entry=late)}, extra


def _rounded_entry(shape: Shape, entry: np.ndarray) -> np.ndarray:
    if shape.unit:
        digits = 9 - int(np.log10(shape.scale))
        return np.round(np.round(entry / shape.unit) * shape.scale, digits)
    return entry * 24 * shape.scale


def _recurrent(shape, base, rate, end, entry, rng):
    rows = []
    frailty = rng.gamma(2.0, 0.5, shape.n)
    for k in range(shape.n):
        t = 0.0 if entry is None else min(entry[k], end[k] - 0.03)
        while t < end[k] - 1e-9:
            event = rng.exponential(1 / (rate[k] * frailty[k]))
            pause = rng.exponential(3.0) if shape.gaps else np.inf
            stop = t + min(event, pause)
            if stop >= end[k]:
                rows.append((k, t, end[k], 0))
                break
            rows.append((k, t, stop, int(event < pause)))
            t = stop + (rng.uniform(0.02, 0.06) if shape.gaps else 0.0)
    table = pd.DataFrame(rows, columns=["id", "start", "stop", "event"])
    if shape.unit:
        unit = 1 / 400
        table["stop"] = np.ceil(table["stop"] / unit - 1e-9)
        table["start"] = np.ceil(table["start"] / unit - 1e-9)
        # two events in one unit cannot be told apart
        table = table[table["stop"] > table["start"]]
        shift = table.groupby("id")["stop"].shift().fillna(0)
        table = table[table["start"] >= shift]
        digits = 9 - int(np.log10(shape.scale))
        table[["start", "stop"]] = np.round(table[["start", "stop"]] * shape.scale, digits)
    else:
        table[["start", "stop"]] *= shape.scale
    table = table.join(base, on="id").reset_index(drop=True)
    return table, {"e": ts.Recurrent("id", "start", "stop", "event")}, {"id": "id"}


def _values(shape: Shape, base: pd.DataFrame, eta: np.ndarray, rng: np.random.Generator):
    n = shape.n
    gone = rng.random(n) < shape.missing
    if shape.kind == "binary":
        y = (rng.random(n) < 1 / (1 + np.exp(0.3 - eta))).astype(float)
        base["y"] = np.where(gone, np.nan, y)
        return base, {"e": ts.Binary("y")}, {}
    if shape.kind == "ordinal":
        y = np.digitize(eta + rng.logistic(size=n), [-1.0, 0.5, 1.5]).astype(float)
        base["y"] = np.where(gone, np.nan, y)
        return base, {"e": ts.Ordinal("y", levels=(0.0, 1.0, 2.0, 3.0))}, {}
    if shape.kind == "count":
        base["time"] = rng.uniform(0.5, 1.5, n) * shape.scale
        mean = 2 * np.exp(eta) * base["time"] / shape.scale
        y = rng.poisson(mean * rng.gamma(2.0, 0.5, n)).astype(float)
        base["y"] = np.where(gone, np.nan, y)
        return base, {"e": ts.Count("y", "time")}, {}
    if shape.kind == "continuous":
        y = np.round((20 + 4 * eta + rng.normal(0, 3, n)) * 10) / 10
        base["y"] = np.where(gone, np.nan, y * shape.scale)
        return base, {"e": ts.Continuous("y", baseline="x" if shape.gaps else None)}, {}
    shared, visits = rng.normal(0, 2, n), []
    for k in range(4):
        growth = eta * (1 + k) / 4
        visits.append(20 + 4 * growth + shared + rng.normal(0, 2, n))
    y = np.round(np.column_stack(visits), 1)
    leaves = np.where(rng.random(n) < 2 * shape.missing, rng.integers(1, 4, n), 4)
    y[np.arange(4) >= leaves[:, None]] = np.nan
    y[rng.random((n, 4)) < shape.missing] = np.nan
    for k in range(4):
        base[f"v{k}"] = y[:, k] * shape.scale
    return base, {"e": ts.Longitudinal([f"v{k}" for k in range(4)])}, {}


def fitted_of(shape: Shape, trial: ts.Trial, seed: int = 0) -> ts.FittedTrial:
    """The fit of the shape's model; its covariates are copied, so that only outcomes are judged."""
    names = list(trial.endpoints)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ts.fit(
            trial,
            names if len(names) > 1 else names[0],
            model=shape.model,
            covariate_model="bootstrap",
            seed=seed,
        )


Quantities = dict[tuple[str, str], tuple[float, float]]


def quantities(trial: ts.Trial, real: ts.Trial, model: str) -> Quantities:
    """(sort, name) to (estimate, standard error): what a synthetic trial must give back."""
    out: Quantities = {}
    for name, endpoint in trial.endpoints.items():
        _margins(out, name, trial, endpoint, real)
        _associations(out, name, trial, endpoint, real, model)
        found = contrast(trial.patients, endpoint, "arm", "old", "new")
        out["effect", f"{name}: effect"] = (found[0], found[1])
    return out


def _mean(values: np.ndarray) -> tuple[float, float]:
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return float("nan"), float("nan")
    return float(values.mean()), float(values.std() / len(values) ** 0.5)


def _share(hits: np.ndarray) -> tuple[float, float]:
    """A share, with an error (of the rule of succession) that is not 0 at its ends."""
    n, k = len(hits), float(hits.sum())
    return k / n, float(np.sqrt((k + 1) * (n - k + 1) / (n + 2) ** 2 / (n + 3)))


def _margins(out: Quantities, name: str, trial: ts.Trial, endpoint: Any, real: ts.Trial) -> None:
    for arm in ("old", "new"):
        table = trial.patients[trial.patients["arm"] == arm]
        label = f"{name}, {arm}:"
        if isinstance(endpoint, ts.Recurrent):
            by = table.groupby("id")
            events = by["event"].sum().to_numpy(dtype=float)
            spans = table["stop"] - table["start"]
            time = spans.groupby(table["id"]).sum().to_numpy(dtype=float)
            rate = events.sum() / time.sum()
            error = float(np.sqrt(((events - rate * time) ** 2).sum())) / time.sum()
            out["margin", f"{label} rate"] = (rate, error)
            out["margin", f"{label} time at risk"] = _mean(time)
            out["margin", f"{label} end"] = _mean(by["stop"].max().to_numpy(dtype=float))
            out["margin", f"{label} entry"] = _mean(by["start"].min().to_numpy(dtype=float))
            continue
        columns = [table[c].to_numpy(dtype=float) for c in endpoint.columns]
        if isinstance(endpoint, ts.TimeToEvent | ts.CompetingRisks):
            out["margin", f"{label} follow-up"] = _mean(columns[0])
            causes = np.unique(real.patients[endpoint.columns[1]])
            for cause in causes[causes > 0]:
                out["margin", f"{label} events {cause}"] = _share(columns[1] == cause)
            longest = real.patients[endpoint.duration].max()
            for part in (0.5, 0.9, 1 - 1e-9):
                of_all = real.patients[endpoint.duration] >= part * longest
                if part < 0.95 or of_all.mean() > 0.1:  # one time for many: an administrative end
                    reached = _share(columns[0] >= part * longest)
                    out["margin", f"{label} followed for {part:.3g} of the longest"] = reached
            continue
        for column, values in zip(endpoint.columns, columns):
            if getattr(endpoint, "baseline", None) is None:  # else the arms are made comparable
                out["margin", f"{label} mean of {column}"] = _mean(values)
            out["margin", f"{label} gaps in {column}"] = _share(np.isnan(values))
    if isinstance(endpoint, ts.Continuous | ts.Longitudinal):
        for column in endpoint.columns:
            values = trial.patients[column]
            seen = (values - values.groupby(trial.patients["arm"]).transform("mean")).dropna()
            error = float(seen.std()) / (2 * len(seen)) ** 0.5
            out["margin", f"{name}: mean of {column}"] = _mean(values.to_numpy(dtype=float))
            out["margin", f"{name}: spread of {column}"] = (float(seen.std()), error)


def _associations(
    out: Quantities, name: str, trial: ts.Trial, endpoint: Any, real: ts.Trial, model: str
) -> None:
    """Slopes on the standardised baseline column, and on the first site, given the arm.

    A site of fewer than `RARE` real patients has no coefficient of its own (the fit says so), and
    that of fewer than twice as many is the ridge's as much as theirs. What a Fine-Gray model keeps
    are slopes of the subdistribution hazard.
    """
    base, table = trial.baseline, trial.patients
    if model == "fine_gray" and trial is not real:
        base, table = base.iloc[::THINNED], table.iloc[::THINNED]
    x = base["x"].to_numpy(dtype=float)
    features = [(x - x.mean()) / x.std()]
    names = ["slope of x"]
    if "site" in base and (real.baseline["site"] == "site 0").sum() >= 2 * RARE:
        features.append((base["site"] == "site 0").to_numpy(dtype=float))
        names.append("first site")
    design = np.column_stack(features)
    arm = (base["arm"] == "new").to_numpy(dtype=int)
    if isinstance(endpoint, ts.TimeToEvent | ts.CompetingRisks):
        duration, event = (table[c].to_numpy(dtype=float) for c in endpoint.columns)
        entry = table[endpoint.entry].to_numpy(dtype=float) if endpoint.entry else None
        first, weights = (event == 1) * 1.0, None
        if model == "fine_gray":
            parts = [np.flatnonzero(arm == a) for a in (0, 1)]
            made = [fine_gray_rows(duration[rows], event[rows]) for rows in parts]
            index = np.concatenate([rows[m[0]] for rows, m in zip(parts, made)])
            entry, duration, first, weights = (
                np.concatenate([m[k] for m in made]) for k in (1, 2, 3, 4)
            )
            design, arm = design[index], arm[index]
        fit = fit_cox(duration, first, design, arm, 1e-6, entry=entry, weights=weights)
        found, errors = fit.coefficients, np.sqrt(np.diag(fit.covariance))
    else:
        if isinstance(endpoint, ts.Recurrent):
            by = table.groupby("id", sort=False)
            time = (
                (table["stop"] - table["start"]).groupby(table["id"], sort=False).sum().to_numpy()
            )
            y = by["event"].sum().to_numpy(dtype=float)
        elif isinstance(endpoint, ts.Count):
            y = table[endpoint.column].to_numpy(dtype=float)
            time = table[endpoint.exposure].to_numpy(dtype=float)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                y = np.nanmean(table[list(endpoint.columns)].to_numpy(dtype=float), axis=1)
        seen = np.isfinite(y)
        matrix = np.column_stack([np.ones(len(y)), arm, design])[seen]
        if isinstance(endpoint, ts.Recurrent | ts.Count):
            offset = np.log(time[seen] / time.mean())
            beta = fit_glm(y[seen], matrix, "poisson", offset=offset).coefficients
            size = np.inf
            for _ in range(4 if model == "negative_binomial" else 0):
                # the estimate that the model is of: where counts vary much, Poisson's is another
                mean = np.exp(matrix @ beta + offset)
                size, _ = negative_binomial_size(y[seen], mean)
                beta = fit_glm(y[seen], matrix, "poisson", 0.0, offset, size).coefficients
            mean = np.exp(matrix @ beta + offset)
            weight = 1 / (1 + mean / size)
            inverse = np.linalg.pinv((matrix * (mean * weight)[:, None]).T @ matrix)
        else:
            weight = np.ones(seen.sum())
            inverse = np.linalg.pinv(matrix.T @ matrix)
            beta = inverse @ matrix.T @ y[seen]
            mean = matrix @ beta
        residual = (y[seen] - mean) * weight
        sandwich = inverse @ ((matrix * residual[:, None] ** 2).T @ matrix) @ inverse
        found, errors = beta[2:], np.sqrt(np.diag(sandwich))[2:]
    for label, value, error in zip(names, found, errors):
        out["association", f"{name}: {label}"] = (float(value), float(error))


def faults(shape: Shape) -> list[str]:
    """What a large synthetic trial of the shape does not give back, one line each."""
    trial = trial_of(shape)
    fitted = fitted_of(shape, trial)
    made = fitted.sample_trial({"old": BIG, "new": BIG}, seed=shape.number, uncertainty=False)
    real, synthetic = (quantities(t, trial, shape.model) for t in (trial, made))
    out = []
    for key, (value, error) in real.items():
        other, own = synthetic[key]
        if not (np.isfinite(value) and np.isfinite(error)):
            continue
        slack = SLACK[key[0]] * (2 if key[0] == "margin" and shape.model in SMOOTH else 1)
        if key[0] == "effect" and shape.model == "fine_gray":
            slack = FINE_GRAY_EFFECT
        # an end within a gap is hidden: a few thousandths of the follow-up
        allowed = 3 * own + slack * error + (3e-3 if shape.gaps else 1e-9) * abs(value)
        if not abs(other - value) <= allowed:
            out.append(
                f"{key[1]}: real {value:.4g} (error {error:.2g}), synthetic {other:.4g} "
                f"(error {own:.2g})"
            )
    return out


def judged(number: int) -> tuple[Shape, list[str]]:
    """A shape and its faults; an exception is one."""
    shape = shape_of(number)
    try:
        return shape, faults(shape)
    except Exception as error:  # the fuzzer counts every failure
        return shape, [f"{type(error).__name__}: {error}"]
