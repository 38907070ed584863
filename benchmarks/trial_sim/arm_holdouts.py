"""Synthetic arms against real patients whom the generator did not see, for every built-in trial.

Parts of ``python -m benchmarks synthetic_arms`` (``privacy``, ``propensity``, ``utility``). A trial
is too small to spare a hold-out once, so the generator is refitted without some of the patients,
many times over. Each part stores a row for every trial and endpoint in ``benchmarks/results``, and
takes up where an interrupted run of the same name stopped.

Intervals are over patients (a bootstrap of them, or DeLong's), never over refits alone: many
refits ask the same patients. ``verdict`` says whether the floor of the project holds, and whether
the interval leaves that open.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

import trial_sim as ts
from benchmarks import stored
from trial_sim.auditing.compared.comparison import Comparison, compare, one_thread
from trial_sim.auditing.compared.intervals import Interval
from trial_sim.auditing.fidelity.resemblance import propensity as told_apart
from trial_sim.auditing.privacy import membership
from trial_sim.auditing.privacy.membership_measures import membership_scores
from trial_sim.auditing.utility.refits import (
    allot,
    arms_of,
    exposures,
    fold_refits,
    refit_to,
    seed_of,
    shadow_scores,
    utility_splits,
)
from trial_sim.auditing.utility.train_synthetic_test_real import Scores, score
from trial_sim.data.datasets import list_trials
from trial_sim.data.trial import Trial

FLOORS = {"privacy": 0.55, "propensity": 0.65, "utility": 0.95}
GOALS = {"privacy": 0.52, "propensity": 0.55, "utility": 0.99}
FOLDS = 5
# Membership wants generators like the released one, which is fitted to all patients: what a fit
# tells of a patient falls with the number of patients. By theory a tenth fewer makes it 5 % more.
MEMBER_FOLDS = 10
AMPLE = 10  # synthetic patients for each real one where a model is trained on them
DRAWS = 400
ROWS = 1_500
REFITTED = 4_000  # patients that membership attacks ask for in all repeats
SEED = 20  # of the comparison; another one asks other divisions


@dataclass(frozen=True)
class Asked:
    """What a part is asked to do: the name of the run, the generator, and the trials (all)."""

    run: str
    covariate_model: str = "auto"
    trials: tuple[str, ...] = ()


def every_fit(asked: Asked) -> Iterator[tuple[str, str, Any, Comparison]]:
    """Name, endpoint, fitted model and comparison of the trials asked for, cohorts too."""
    for name in asked.trials or list_trials()["name"]:
        trial: Trial = ts.load_trial(name)
        for endpoint, record in trial.endpoints.items():
            only = replace(trial, endpoints={endpoint: record})
            fitted = ts.fit(only, endpoint=endpoint, covariate_model=asked.covariate_model)
            yield name, endpoint, fitted, compare(only, fitted.sample_trial(seed=1), seed=SEED)


def resumed(
    part: str,
    asked: Asked,
    settings: dict[str, Any],
    row_of: Callable[[Any, Comparison], dict[str, Any] | None],
) -> pd.DataFrame:
    """One row for each trial and endpoint, computed, or found stored under the name of the run
    with the same settings."""
    table: list[dict[str, Any]] = []
    for name, endpoint, fitted, comparison in every_fit(asked):
        key = {
            "run": asked.run,
            "trial": name,
            "endpoint": endpoint,
            "asked": asked.covariate_model,
            **settings,
        }
        old = stored.rows(f"arms_{part}", **key)
        if not old:
            with one_thread(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = row_of(fitted, comparison)
            if found is None:
                continue
            models = {
                "n": comparison.real.n_patients,
                "covariates": fitted.covariate_model.name,
                "model": fitted.outcome_model.name,
            }
            old = [{**key, **models, **found}]
            stored.append(f"arms_{part}", old[0])
        table += old
        hidden = ["run", "revision", "asked", *settings]
        shown = pd.DataFrame(old).drop(columns=hidden, errors="ignore")
        print(shown.round(3).to_string(index=False, header=len(table) == 1), flush=True)
    return pd.DataFrame(table).drop(columns=["revision"], errors="ignore")


def privacy(
    asked: Asked, repeats: int = 10, folds: int = MEMBER_FOLDS, kept: str = ""
) -> pd.DataFrame:
    """Membership inference against ``repeats`` times ``folds`` refits (more where there are few
    patients: `REFITTED` in all), each without one fold of the patients, by four attacks with the
    records in hand.

    The AUC of an attack is over all pairs of a patient who was in and one who was not, in every
    refit; the shadow attacks know the synthetic data of all other repeats. The interval is a
    bootstrap of the patients. ``kept`` names a part (`Keeping`) that is not refitted, so that only
    the other part can betray anyone.
    """

    def row_of(fitted: Any, comparison: Comparison) -> dict[str, Any] | None:
        n = comparison.real.n_patients
        way = Keeping(fitted, kept) if kept else fitted
        repeated = fold_refits(way, comparison, folds, max(repeats, REFITTED // n))
        refits = [refit for repeat in repeated for refit in repeat]
        if not refits:
            return None
        pairs: dict[str, np.ndarray] = {}
        for k, (refit, tables) in enumerate(zip(refits, exposures(comparison, refits))):
            found = membership_scores(tables, comparison.rng(5_500 + k))
            for attack, (inside, outside) in found.items():
                won = pairs.setdefault(attack, np.zeros((2, n, n)))
                add_pairs(won, refit.member, inside, outside)
        shadows, member = shadow_scores(comparison, refits)
        group = np.repeat(np.arange(len(refits) // folds), folds)
        for attack, values in shadows.items():
            ratios = membership.shadow_score(values, member, group)
            won = pairs.setdefault(f"shadow {attack}", np.zeros((2, n, n)))
            for ratio, here in zip(ratios, member):
                if np.isfinite(ratio).all():
                    add_pairs(won, here, ratio[here], ratio[~here])
        rng = comparison.rng(5_800)
        areas = {attack: pair_area(won, rng) for attack, won in pairs.items()}
        best = max(areas, key=lambda attack: areas[attack].estimate)
        return {
            "attack": best,
            **_limits(areas[best]),
            "verdict": verdict("privacy", areas[best]),
            **{attack: area.estimate for attack, area in areas.items()},
        }

    settings = {"repeats": repeats, "folds": folds} | ({"kept": kept} if kept else {})
    return resumed("privacy", asked, settings, row_of)


def add_pairs(won: np.ndarray, member: np.ndarray, inside: np.ndarray, outside: np.ndarray) -> None:
    """Add one refit to ``won`` (2, n, n): pairs (member, other) that the attack orders rightly,
    ties counted half, and all pairs."""
    place = np.ix_(np.flatnonzero(member), np.flatnonzero(~member))
    gap = inside[:, None] - outside[None, :]
    won[0][place] += (gap > 0) + 0.5 * (gap == 0)
    won[1][place] += 1


def pair_area(won: np.ndarray, rng: np.random.Generator) -> Interval:
    """Share of rightly ordered pairs, with a 95 % interval by a bootstrap of the patients."""
    n = won.shape[1]
    weights = rng.multinomial(n, np.full(n, 1 / n), DRAWS).astype(float)
    right, all_pairs = (((weights @ part) * weights).sum(axis=1) for part in won)
    low, high = np.quantile(right / np.maximum(all_pairs, 1), [0.025, 0.975])
    return Interval(float(won[0].sum() / max(won[1].sum(), 1)), float(low), float(high))


def propensity(asked: Asked, repeats: int = 5) -> pd.DataFrame:
    """Synthetic patients of a generator fitted to one half of the trial beside the other half.

    Cross-fitted AUC of a logistic model and of boosted trees over arm, covariates and outcome,
    mean over divisions into halves that take turns: ``repeats`` of them, or as many as `ROWS`
    patients make (one division of a small trial says little). The interval is as wide as that of
    one division, since every division asks the same patients.

    The verdict is on the generator itself, with estimated parameters. ``drawn`` is the better
    classifier's AUC where each synthetic trial draws its parameters, too: their posterior spread
    then stands between the two tables beside the sampling error of the half that was fitted, and
    a classifier that sees whole tables finds it, however right the generator is.
    """

    def row_of(fitted: Any, comparison: Comparison) -> dict[str, Any] | None:
        divisions = max(repeats, ROWS // comparison.real.n_patients)
        once = FittedOnce(fitted)
        areas = told_from_other_half(Estimated(once), comparison, divisions)
        drawn = told_from_other_half(once, comparison, divisions)
        if not areas or not drawn:
            return None
        best = max(areas, key=lambda name: areas[name].estimate)
        return {
            "classifier": best,
            **_limits(areas[best]),
            "verdict": verdict("propensity", areas[best]),
            **{name: area.estimate for name, area in areas.items()},
            "drawn": max(area.estimate for area in drawn.values()),
        }

    return resumed("propensity", asked, {"repeats": repeats}, row_of)


def told_from_other_half(way: Any, comparison: Comparison, repeats: int) -> dict[str, Interval]:
    """AUC by classifier of synthetic patients from one half beside the other; empty if the
    generator refuses so small a half."""
    arm, real = arms_of(comparison), comparison.tables["real"]
    found: dict[str, list[Interval]] = {"logistic": [], "trees": []}
    for r in range(repeats):
        half = allot(arm, 2, comparison.rng(7_900 + r))
        sides: dict[str, list[Interval]] = {"logistic": [], "trees": []}
        for k in range(2):
            refit = refit_to(way, comparison, half != k, seed_of(SEED, 79, r, k))
            if isinstance(refit, str):
                continue
            apart = told_apart(comparison.schema, real.rows(half == k), refit.table, r)
            sides["logistic"].append(apart.logistic)
            sides["trees"].append(apart.trees)
        if len(sides["logistic"]) == 2:
            for name, pair in sides.items():
                found[name].append(membership.average(pair))
    return {name: mean_interval(values) for name, values in found.items() if values}


def utility(asked: Asked, repeats: int = 5) -> pd.DataFrame:
    """A model trained on synthetic patients over one trained on real ones, both tested on real
    patients that neither saw (five folds, ``repeats`` times).

    The ratio is of the mean scores; its interval is as wide as one repeat's bootstrap of patients.
    The synthetic trials have estimated parameters and ten times the patients, so that what is
    missing from 1, the generator lost. ``same_size`` is the ratio for synthetic trials of the real
    size with their parameters drawn: a model trained on one suffers two samplings more than one
    trained on the real patients.
    """

    def row_of(fitted: Any, comparison: Comparison) -> dict[str, Any] | None:
        (name,) = comparison.real.endpoints
        once = FittedOnce(fitted)
        ways = Estimated(once, AMPLE), once
        found = [
            [
                score(utility_splits(comparison, refits, name), comparison.schema, comparison)
                for refits in fold_refits(way, comparison, FOLDS, repeats)
            ]
            for way in ways
        ]
        kept, drawn = ([s for s in scores if s is not None] for scores in found)
        if not kept or not drawn:
            return None
        ratio, ours, theirs = ratio_of(kept)
        width = mean_interval([s.ratio for s in kept])
        shift = ratio - width.estimate
        interval = Interval(ratio, width.lower + shift, width.upper + shift)
        return {
            "score": kept[0].name,
            **_limits(interval),
            "verdict": verdict("utility", interval),
            "synthetic": ours,
            "real": theirs,
            "same_size": ratio_of(drawn)[0],
        }

    return resumed("utility", asked, {"repeats": repeats}, row_of)


def ratio_of(scores: list[Scores]) -> tuple[float, float, float]:
    """Ratio of the mean scores, and both of them. For an error, less is better: the ratio is
    turned round so that 1 stays the best."""
    ours = float(np.mean([s.synthetic for s in scores]))
    theirs = float(np.mean([s.real for s in scores]))
    return (theirs / ours if scores[0].name == "RMSE" else ours / theirs), ours, theirs


@dataclass(frozen=True)
class FittedOnce:
    """A fitted trial whose refits are kept by their seeds, for two ways of sampling from them."""

    fitted: Any
    refits: dict[int | None, Any] = field(default_factory=dict)

    def refit(self, trial: Trial, seed: int | None = None) -> Any:
        """The same settings fitted to another trial, of which each has a seed of its own."""
        if seed not in self.refits:
            self.refits[seed] = self.fitted.refit(trial, seed)
        return self.refits[seed]


@dataclass(frozen=True)
class Estimated:
    """A fitted trial that samples with estimated parameters, ``times`` the patients."""

    fitted: Any
    times: int = 1

    def refit(self, trial: Trial, seed: int | None = None) -> Estimated:
        """The same settings fitted to another trial."""
        return replace(self, fitted=self.fitted.refit(trial, seed))

    def sample_trial(self, sizes: Any = None, seed: int = 0, **options: Any) -> Trial:
        """A synthetic trial of ``times`` the ``sizes``."""
        many = {arm: self.times * n for arm, n in sizes.items()}
        return self.fitted.sample_trial(many, seed=seed, uncertainty=False, **options)


@dataclass(frozen=True)
class Keeping:
    """A fitted trial whose refits keep one part as it was fitted to all patients.

    kept: "covariate_model" or "outcome_model".
    """

    fitted: Any
    kept: str

    def refit(self, trial: Trial, seed: int | None = None) -> Any:
        """The same settings fitted to another trial, but for the part that is kept."""
        same = {self.kept: getattr(self.fitted, self.kept)}
        return replace(self.fitted.refit(trial, seed), **same)


def mean_interval(values: list[Interval]) -> Interval:
    """Mean of estimates of one thing from the same patients; ends are averaged as well."""
    return Interval(*(float(v) for v in np.mean(values, axis=0)))


def _limits(interval: Interval) -> dict[str, float]:
    return {"value": interval.estimate, "lower": interval.lower, "upper": interval.upper}


def verdict(part: str, found: Interval) -> str:
    """Floor met or missed, and whether the interval includes the floor; goal where it is met."""
    floor, goal = FLOORS[part], GOALS[part]
    sign = -1 if part == "utility" else 1  # a ratio is to be high, an AUC low
    words = "floor missed" if sign * (found.estimate - floor) > 0 else "floor met"
    if sign * (found.estimate - goal) <= 0:
        words = "goal met"
    if found.lower <= floor <= found.upper:
        words += ", interval includes the floor"
    return words


def conclusion(part: str, table: pd.DataFrame) -> str:
    """How many trials and endpoints meet the floor, surely or not, and the goal."""
    said = table["verdict"]
    missed = table[said.str.startswith("floor missed")]
    where = ", ".join(missed["trial"] + "/" + missed["endpoint"])
    open_ = said.str.contains("includes the floor").sum()
    return (
        f"of {len(table)}: floor {FLOORS[part]} met in {len(table) - len(missed)}"
        f"{f' (missed: {where})' if where else ''}, goal {GOALS[part]} in "
        f"{said.str.startswith('goal met').sum()}; intervals that include the floor: {open_}"
    )
