"""Refits of a generator to parts of the trial: what a fit to some patients reveals of the others.

A trial is too small to spare a hold-out, so the generator is refitted without each fold in turn
(attacks with a true control, clean utility), over several repeats (shadow models).
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from trial_sim.auditing.compared.comparison import Comparison, aligned, read_outcomes, stream, thin
from trial_sim.auditing.compared.exposure import Exposure
from trial_sim.auditing.compared.paired_outcomes import Outcome
from trial_sim.auditing.compared.patients import patient_frame
from trial_sim.auditing.compared.tables import MixedTable, gower
from trial_sim.auditing.privacy import membership
from trial_sim.auditing.privacy.shared_files import FileAttack, attack_saved
from trial_sim.auditing.utility.train_synthetic_test_real import Split
from trial_sim.base.arguments import nearest
from trial_sim.data.trial import Trial


class Generator(Protocol):
    """What the audit needs of a fitted trial (`trial_sim.arms.fitting.FittedTrial` offers it)."""

    def refit(self, trial: Trial, seed: int | None = None) -> Generator:
        """The same settings fitted to another trial."""

    def sample_trial(self, sizes: Any = None, seed: int = 0, **options: Any) -> Trial:
        """A synthetic trial."""


@dataclass(frozen=True, eq=False)
class Refit:
    """A refit to some of the patients, and one synthetic trial from it.

    Args:
        member: (n,) boolean, the patients that it was fitted to.
        table: the synthetic patients.
        outcomes: their outcomes by endpoint.
        file: what an attack on its saved file gained, or None where none was made.
    """

    member: np.ndarray
    table: MixedTable
    outcomes: dict[str, Outcome]
    file: FileAttack | None = None


def allot(arm: np.ndarray, parts: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) part of each patient, 0 to parts - 1, balanced within every arm."""
    out = np.zeros(len(arm), dtype=int)
    for label in np.unique(arm):
        here = np.flatnonzero(arm == label)
        out[rng.permutation(here)] = (np.arange(len(here)) + rng.integers(parts)) % parts
    return out


def allot_whole(level: np.ndarray, parts: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) part of each patient, 0 to parts - 1, in which levels (sites) stay together: in random
    order, each to the part that has the fewest patients.

    Raises:
        ValueError: fewer levels than parts.
    """
    names, place, counts = np.unique(level, return_inverse=True, return_counts=True)
    if len(names) < parts:
        raise ValueError(
            f"folds of whole levels need {parts} of them or more; there are {len(names)}"
        )
    sizes, of = np.zeros(parts), np.zeros(len(names), dtype=int)
    for k in rng.permutation(len(names)):
        of[k] = int(sizes.argmin())
        sizes[of[k]] += counts[k]
    return of[place]


def levels_of(comparison: Comparison, name: str) -> np.ndarray:
    """(n,) level of a baseline column of the real patients, as text.

    Raises:
        ValueError: no such column.
    """
    base = comparison.real.baseline
    if name not in base:
        raise ValueError(
            f"folds_by names {name!r}, which is no baseline column of the trial"
            f"{nearest(name, list(map(str, base)))}"
        )
    return base[name].astype(str).to_numpy()


def refit_to(
    generator: Generator,
    comparison: Comparison,
    member: np.ndarray,
    seed: int,
    attack_file: bool = False,
) -> Refit | str:
    """Refit to the members and sample as many patients as there are, arm by arm.

    Returns:
        The refit, or the reason why the generator refused so small a part.
    """
    real = comparison.real
    try:
        part = real.subset(member)
        fitted = generator.refit(part, seed)
        sizes: dict[Any, int] = (
            part.baseline[real.arm].value_counts().to_dict()
            if real.arm is not None
            else {None: part.n_patients}
        )
        drawn = fitted.sample_trial(sizes, seed=seed)
    except (ValueError, np.linalg.LinAlgError) as error:
        return str(error)
    drawn = aligned(drawn, real, "synthetic")
    frame: pd.DataFrame = patient_frame(drawn, real)
    file = None
    if attack_file and hasattr(fitted, "save"):
        numbers = numbers_of_patients(comparison)
        with contextlib.suppress(ValueError):  # a bootstrap is not saved without its patients
            file = attack_saved(fitted, numbers[member], numbers[~member], seed)
    return Refit(member, comparison.schema.encode(frame), read_outcomes(drawn, real), file)


def numbers_of_patients(comparison: Comparison) -> np.ndarray:
    """(n, n_columns) numbers of the real patients, those of their outcomes among them."""
    return comparison.schema.encode(patient_frame(comparison.real, comparison.real)).numeric


def fold_refits(
    generator: Generator,
    comparison: Comparison,
    folds: int,
    repeats: int,
    whole: np.ndarray | None = None,
) -> list[list[Refit]]:
    """Repeated K-fold refits: in every repeat one refit for each fold, fitted to all but the fold.

    A repeat in which the generator refuses a part is left out whole, so that every patient is
    outside equally often. The first repeat serves the attacks with a control, all of them are
    each other's shadow models. ``whole`` (n,): levels that stay together (see `allot_whole`).
    """
    arm, out = arms_of(comparison), []
    for r in range(repeats):
        rng = comparison.rng(7_100 + r)
        label = allot(arm, folds, rng) if whole is None else allot_whole(whole, folds, rng)
        made = [
            refit_to(generator, comparison, label != k, seed_of(comparison.seed, 72, r, k), r == 0)
            for k in range(folds)
        ]
        kept = [refit for refit in made if isinstance(refit, Refit)]
        if len(kept) == folds:
            out.append(kept)
    return out


def arms_of(comparison: Comparison) -> np.ndarray:
    """(n,) arm of every real patient as text."""
    for outcome in comparison.outcomes["real"].values():
        return outcome.arm
    return np.full(comparison.real.n_patients, "")


def seed_of(seed: int, *purpose: int) -> int:
    """A seed for a generator's call, of its own for each purpose."""
    return int(stream(seed, *purpose).integers(2**31))


def exposures(comparison: Comparison, refits: list[Refit]) -> list[Exposure]:
    """The attack tables of every fold: members, its synthetic patients, the fold left out."""
    real = comparison.tables["real"]
    out = []
    for k, refit in enumerate(refits):
        rng = comparison.rng(7_500 + k)
        members = real.rows(refit.member)
        members = members.rows(thin(len(members), 2000, rng))
        others = real.rows(~refit.member)
        out.append(
            Exposure(
                comparison.schema,
                members,
                refit.table.rows(thin(len(refit.table), 2000, rng)),
                others.rows(thin(len(others), 2000, rng)),
            )
        )
    return out


def utility_splits(comparison: Comparison, refits: list[Refit], name: str) -> list[Split]:
    """Splits in which no model saw the test patients."""
    real, outcome = comparison.tables["real"], comparison.outcomes["real"][name]
    return [
        Split(
            (real.rows(refit.member), outcome.rows(refit.member)),
            (refit.table, refit.outcomes[name]),
            (real.rows(~refit.member), outcome.rows(~refit.member)),
        )
        for refit in refits
    ]


def shadow_scores(
    comparison: Comparison, refits: list[Refit], rows: int = 1500
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Scores of real records under every refit's synthetic data, and who was a member.

    Returns:
        ``distance`` and ``density``, each (models, n), and (models, n) membership.
    """
    real = comparison.tables["real"]
    chosen = thin(len(real), rows, comparison.rng(76))
    targets = real.rows(chosen)
    among = gower(targets, targets, comparison.schema.ranges)
    np.fill_diagonal(among, np.inf)
    width = membership.bandwidth(among)
    near, dense = [], []
    for k, refit in enumerate(refits):
        published = refit.table.rows(thin(len(refit.table), rows, comparison.rng(7_700 + k)))
        distance = gower(targets, published, comparison.schema.ranges)
        near.append(membership.distance_score(distance))
        dense.append(membership.log_density(distance, width))
    member = np.array([refit.member[chosen] for refit in refits])
    return {"distance": np.array(near), "density": np.array(dense)}, member
