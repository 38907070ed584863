"""Attacks on a saved model: what its file, rather than its samples, tells of the patients.

The attacks know nothing of the records in the file. They read its numbers as any reader can, and
ask for every patient whether the patient's values, or values close to them, are in it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trial_sim.auditing.compared.intervals import Interval, share_difference
from trial_sim.auditing.compared.measure import Measure, not_assessed
from trial_sim.base.storage import read_arrays
from trial_sim.data.schema import decimals

FEWEST = 2  # numbers in an array that may hold patients' values
SAVED = "saved file"
EXACT = "exact values of a patient in the file"
MEASURE = "membership inference AUC, saved file"
TRIES = 8  # divisions into patients whom the attacker knows and patients whom it attacks


@dataclass(frozen=True)
class FileAttack:
    """What an attack on a file gained.

    Attributes:
        exact: area under the curve of "are my very values in it?", .5 for nothing.
        near: the same of "how near do they come?".
        alone: numbers of the file that are a value of one single patient who was fitted.
        alone_of_others: as many of patients who were not: what coincidence gives.
        arrays: arrays read.
    """

    exact: float
    near: float
    alone: int
    alone_of_others: int
    arrays: int

    @property
    def best(self) -> float:
        """The better of the two areas."""
        return max(self.exact, self.near)


def numbers_of(path: str | Path) -> list[np.ndarray]:
    """Every array of a saved model, and the loose numbers of its description as one more."""
    arrays, tree = read_arrays(path)
    loose: list[float] = []
    _collect(tree, loose)
    out = [np.array(loose)]
    for key in sorted(arrays):
        values = np.asarray(arrays[key])
        if values.dtype.kind not in "fiu":
            continue
        if values.ndim == 2 and values.shape[1] <= 4:  # values beside counts: a column is one array
            out += [values[:, j] for j in range(values.shape[1])]
        else:
            out.append(values.ravel())
    distinct = [np.unique(v[np.isfinite(v)].astype(float)) for v in out]
    return [v for v in distinct if len(v) >= FEWEST]


def attack_file(
    path: str | Path, inside: np.ndarray, outside: np.ndarray, seed: int = 0, tries: int = TRIES
) -> FileAttack:
    """Attack a saved model.

    Args:
        inside: (n, n_columns) numbers of the patients it was fitted to, NaN for gaps.
        outside: (m, n_columns) of patients of the same kind whom it never saw.
        tries: divisions into known and attacked patients.

    Of half of the patients the attacker knows whether they were fitted; from them it learns which
    array of the file to read for which column, and then attacks the other half. The mean over
    all divisions is given.
    """
    told = numbers_of(path)
    values = np.vstack([inside, outside])
    member = np.r_[np.ones(len(inside), bool), np.zeros(len(outside), bool)]
    n_columns = values.shape[1]
    width = np.nanmax(values, axis=0) - np.nanmin(values, axis=0)
    width = np.where(width > 0, width, 1.0)
    near = np.zeros((n_columns, len(told), len(values)))
    for j in range(n_columns):
        x = values[:, j]
        for a, numbers in enumerate(told):
            place = np.clip(np.searchsorted(numbers, x), 1, len(numbers) - 1)
            gap = np.minimum(np.abs(x - numbers[place - 1]), np.abs(x - numbers[place]))
            near[j, a] = np.where(np.isnan(x), width[j], gap) / width[j]
    exact = near <= 1e-9
    rarity = np.array([_rarity(values[:, j]) for j in range(n_columns)])
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 71])))
    areas: list[tuple[float, float]] = []
    for _ in range(tries):
        known = rng.random(len(values)) < 0.5
        for train in (known, ~known):
            test = ~train
            sums = np.zeros((2, test.sum()))
            for j in range(n_columns):
                hits = exact[j] * rarity[j]
                best = _best(hits[:, train], member[train])
                sums[0] += hits[best][test]
                nearness = -np.log(near[j] + 1e-4)
                best = _best(nearness[:, train], member[train])
                sums[1] += nearness[best][test]
            areas.append((_area(sums[0], member[test]), _area(sums[1], member[test])))
    found = np.mean(areas, axis=0)
    return FileAttack(
        float(found[0]),
        float(found[1]),
        _alone(told, inside),
        round(_alone(told, outside) * len(inside) / max(len(outside), 1)),
        len(told),
    )


def attack_saved(model: Any, inside: np.ndarray, outside: np.ndarray, seed: int) -> FileAttack:
    """Save a fitted trial where nobody sees it and attack the file (see `attack_file`).

    Raises:
        ValueError: the model is not saved without its patients (a bootstrap).
    """
    with tempfile.TemporaryDirectory(prefix="audited-") as folder:
        path = model.save(Path(folder) / "model.npz")
        return attack_file(path, inside, outside, seed, tries=2)


def file_measures(attacks: Sequence[FileAttack], n: int) -> list[Measure]:
    """What the attacks on the files of refits gained, ``n`` patients being asked."""
    if not attacks:
        why = "this generator has no file without its patients, or was not refitted"
        return [not_assessed(MEASURE, SAVED, why)]
    half = 1.96 * (1 / (6 * n)) ** 0.5
    area = float(np.mean([max(a.exact, a.near) for a in attacks]))
    return [
        Measure(
            MEASURE,
            SAVED,
            Interval(area, max(area - half, 0.0), min(area + half, 1.0)),
            "How well the numbers in the saved model's file tell patients that it was fitted to "
            "from unseen ones ('are my values in it?', exactly or nearly, whichever tells more; "
            f"{len(attacks)} refits without a fold); .5 is a coin.",
            control=0.5,
        )
    ]


def exact_values(path: str | Path, patients: np.ndarray) -> tuple[int, int, int, int]:
    """Values of one single patient that a file holds, beside as many that no patient has.

    Args:
        patients: (n, n_columns) numbers, NaN for gaps.

    Returns:
        Values found and asked for; of their neighbours on the column's grid that no patient has,
        found and asked for: what coincidence gives.
    """
    told = numbers_of(path)
    found = asked = by_chance = neighbours = 0
    for j in range(patients.shape[1]):
        x = patients[:, j]
        values, counts = np.unique(x[~np.isnan(x)], return_counts=True)
        single = values[counts == 1]
        if not len(single) or len(values) < FEWEST:
            continue
        digits = decimals(values)
        beside = np.unique(np.round(np.r_[single - 10.0**-digits, single + 10.0**-digits], digits))
        beside = beside[~np.isin(beside, np.round(values, digits))]
        if not len(beside):
            continue
        # the array that holds most of the one, and most of the other
        found += max(int(np.isin(single, numbers).sum()) for numbers in told)
        by_chance += max(int(np.isin(beside, np.round(n, 12)).sum()) for n in told)
        asked += len(single)
        neighbours += len(beside)
    return found, asked, by_chance, neighbours


def exact_measure(model: Any, path: str | Path | None, patients: np.ndarray) -> list[Measure]:
    """How many patients' own values stand in the file of a model, saved here if not yet."""
    with tempfile.TemporaryDirectory(prefix="audited-") as folder:
        try:
            at = path if path is not None else model.save(Path(folder) / "model.npz")
        except (ValueError, AttributeError) as error:
            return [not_assessed(EXACT, SAVED, str(error))]
        found, asked, by_chance, neighbours = exact_values(at, patients)
    if not asked:
        return [not_assessed(EXACT, SAVED, "no number belongs to one patient alone")]
    return [
        Measure(
            EXACT,
            SAVED,
            share_difference(found, asked, by_chance, neighbours),
            f"Share of the numbers that one single patient has which stand in the file ({found} of "
            f"{asked}), less the same of their neighbours that nobody has ({by_chance} of "
            f"{neighbours}): what coincidence gives.",
            control=0.0,
        )
    ]


def _best(scores: np.ndarray, member: np.ndarray) -> int:
    """Row of ``scores`` (k, n) that best tells members."""
    return int(np.argmax([_area(s, member) for s in scores]))


def _area(score: np.ndarray, member: np.ndarray) -> float:
    """Chance that a member scores above another, ties counting half."""
    from scipy.stats import rankdata

    n, m = int(member.sum()), int((~member).sum())
    if not n or not m:
        return 0.5
    rank = rankdata(score)[member].sum()
    return float((rank - n * (n + 1) / 2) / (n * m))


def _rarity(values: np.ndarray) -> np.ndarray:
    """(n,) minus the logarithm of the share of patients that have the value."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return -np.log(counts[place] / len(values)) + 1e-9


def _alone(told: list[np.ndarray], patients: np.ndarray) -> int:
    """Values that one of the ``patients`` alone has, and that the file holds: by column, in the
    array that holds most of them."""
    total = 0
    for j in range(patients.shape[1]):
        x = patients[:, j]
        values, counts = np.unique(x[~np.isnan(x)], return_counts=True)
        single = values[counts == 1]
        if len(single):
            total += max(int(np.isin(single, numbers).sum()) for numbers in told)
    return total


def _collect(tree: Any, out: list[float]) -> None:
    """Numbers anywhere in a JSON tree."""
    if isinstance(tree, bool):
        return
    if isinstance(tree, int | float):
        out.append(float(tree))
    elif isinstance(tree, dict):
        for value in tree.values():
            _collect(value, out)
    elif isinstance(tree, list):
        for value in tree:
            _collect(value, out)
