"""Model inversion: can the members of a secret series be recovered from its scaffold or profile?

A *series* is the molecules of one scaffold. Secret series have at least three members and no
unseen molecule; for comparison stand series of unseen molecules without a member. The attacker
knows the scaffold, or the series' range of properties, and samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from molgen.auditing.canaries import grown_from, quiet
from molgen.auditing.intervals import Interval
from molgen.auditing.measures import Measure, not_assessed
from molgen.auditing.sets import MoleculeSet
from molgen.chem.description import describe
from molgen.generation.windows import sample_where

if TYPE_CHECKING:
    from molgen.generation.generator import Generator

_SMALLEST = 3
_RESAMPLES = 2_000
_PROFILE = ("mw", "logp", "tpsa")


def measure_inversion(
    model: Generator,
    members: MoleculeSet,
    others: MoleculeSet,
    n_series: int = 8,
    n_draws: int = 512,
    n_profiles: int = 3,
    seed: int = 0,
) -> list[Measure]:
    """Share of each series that comes out, secret series less unseen ones.

    Args:
        n_series: series of each kind for the scaffold attack, the largest ones.
        n_draws: molecules drawn for each.
        n_profiles: series of each kind for the profile attack; 0 leaves it out.
    """
    secret = series_of(members, others, n_series)
    unseen = series_of(others, members, n_series)
    n = min(len(secret), len(unseen))
    if n < _SMALLEST:
        why = (
            f"there are {len(secret)} series of members and {len(unseen)} of unseen molecules with "
            f"at least {_SMALLEST} molecules and a scaffold of their own; {_SMALLEST} are needed."
        )
        return [not_assessed("inversion", "members recovered", why, "given the scaffold")]

    def from_scaffold(core: str, series: list[str]) -> set[str]:
        return grown_from(model, core, seed, n_draws)

    def from_profile(core: str, series: list[str]) -> set[str]:
        return _drawn_in_window(model, series, n_draws, seed)

    measures = [
        _compare(
            "given the scaffold", "the scaffold of the series, and sampling from a scaffold",
            secret[:n], unseen[:n], from_scaffold, n_draws, seed,
        )
    ]  # fmt: skip
    if n_profiles:
        k = min(n, n_profiles)
        measures.append(
            _compare(
                "given the property profile",
                "the range of weight, logP and TPSA of the series, and conditional sampling",
                secret[:k], unseen[:k], from_profile, n_draws, seed,
            )
        )  # fmt: skip
    return measures


def series_of(own: MoleculeSet, foreign: MoleculeSet, n: int) -> list[tuple[str, list[str]]]:
    """The ``n`` largest series of ``own`` whose scaffold ``foreign`` lacks: (scaffold, molecules
    other than the bare scaffold)."""
    elsewhere = set(foreign.scaffolds)
    counts = Counter(s for s in own.scaffolds if s and s not in elsewhere)
    molecules: dict[str, list[str]] = {s: [] for s in counts}
    for smiles, scaffold in zip(own.smiles, own.scaffolds):
        if scaffold in molecules and smiles != scaffold:
            molecules[scaffold].append(smiles)
    large = [(s, found) for s, found in molecules.items() if len(found) >= _SMALLEST]
    return sorted(large, key=lambda item: (-len(item[1]), item[0]))[:n]


def _drawn_in_window(model: Generator, series: list[str], n_draws: int, seed: int) -> set[str]:
    table = describe(series, properties=list(_PROFILE))
    window = {name: (float(table[name].min()), float(table[name].max())) for name in _PROFILE}
    with quiet("molgen.generation.windows"):
        drawn = sample_where(
            model, window, n_draws, seed=seed, max_draws=4 * n_draws, diverse=False
        )
        return set(drawn)


def _compare(
    subject: str,
    attacker: str,
    secret: list[tuple[str, list[str]]],
    unseen: list[tuple[str, list[str]]],
    attack: Callable[[str, list[str]], set[str]],
    n_draws: int,
    seed: int,
) -> Measure:
    shares = []
    counts = []
    for group in (secret, unseen):
        found = [(sum(m in drawn for m in s), len(s)) for c, s in group for drawn in [attack(c, s)]]
        shares.append(np.array([a / b for a, b in found]))
        counts.append((sum(a for a, _ in found), sum(b for _, b in found)))
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 71])))
    # series, not molecules, are what is drawn at random
    means = [s[rng.integers(len(s), size=(_RESAMPLES, len(s)))].mean(axis=1) for s in shares]
    lower, upper = np.quantile(means[0] - means[1], [0.025, 0.975])
    gap = Interval(float(shares[0].mean() - shares[1].mean()), float(lower), float(upper))
    return Measure(
        "inversion", "members recovered", gap,
        f"From {len(secret)} secret series {counts[0][0]} of {counts[0][1]} members came out in "
        f"{n_draws} draws a series, from {len(unseen)} series that the model never saw "
        f"{counts[1][0]} of {counts[1][1]}; the estimate is the difference of the mean shares. "
        "Above 0, knowing the scaffold or the profile brings the secret members out.",
        subject, 0.0, rule="excess", attacker=attacker,
    )  # fmt: skip
