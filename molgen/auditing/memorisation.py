"""Copies of training molecules in a large sample, against what a hold-out gets by chance.

The unit is the audited molecule: a member is *copied* when it stands in the sample, *nearly*
copied when the sample holds a molecule of Tanimoto similarity .9 or more (ECFP4, 1,024 bits), and
copied *with one change* when the sample holds a molecule of the same scaffold that differs by one
small substituent. The same is counted for molecules that the model never saw, and the difference
of the two shares is judged. Rare scaffolds and isolated molecules are counted apart, because a
secret that few others resemble is where a model memorises first.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from molgen.auditing.intervals import share_difference, wilson
from molgen.auditing.measures import Measure, not_assessed
from molgen.auditing.sets import MoleculeSet
from molgen.chem.similarity import nearest

NEAR = 0.9
_MIN_GROUP = 20
_ISOLATED = 0.1


def measure_memorisation(
    generated: MoleculeSet,
    counts: np.ndarray,
    members: MoleculeSet,
    others: MoleculeSet,
    seed: int = 0,
) -> list[Measure]:
    """The memorisation section.

    Args:
        generated: distinct sampled molecules.
        counts: (n_generated,) how often each was sampled.
        members, others: what the model was trained on, and what not.
        seed: of the subsample when the sets differ in size.
    """
    groups = group_masks(members, others)
    measures = []
    for name, how, found in (
        ("exact copies", "stand in the sample", copied_exactly),
        ("near copies", f"have a molecule of similarity {NEAR} or more in it", copied_nearly),
        ("copies with one change", "have a molecule of one change in it", copied_with_one_change),
    ):
        in_members, in_others = found(generated, members), found(generated, others)
        for subject, (chosen, chosen_others) in groups.items():
            measures.append(
                _excess(name, how, subject, in_members[chosen], in_others[chosen_others])
            )
    measures.append(_share_of_sample(generated, counts, members, others, seed))
    return measures


def group_masks(
    members: MoleculeSet, others: MoleculeSet
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Subject → masks (n_members,), (n_others,): all, rare scaffolds, isolated molecules.

    A scaffold is rare when one molecule of the two sets together has it. Isolated are the tenth of
    each set that is least similar to the other set. Both are the same for members and non-members,
    so that neither has more chances.
    """
    together = Counter(members.scaffolds) + Counter(others.scaffolds)
    rare = tuple(np.array([together[s] == 1 for s in x.scaffolds]) for x in (members, others))
    n = min(len(members), len(others))
    isolated = []
    for one, other in ((members, others), (others, members)):
        similarity, _ = nearest(one.packed, other.packed[:n])
        order = np.argsort(similarity, kind="stable")
        mask = np.zeros(len(one), dtype=bool)
        mask[order[: max(int(_ISOLATED * len(one)), 1)]] = True
        isolated.append(mask)
    everything = (np.ones(len(members), dtype=bool), np.ones(len(others), dtype=bool))
    return {
        "all": everything,
        "rare scaffolds": (rare[0], rare[1]),
        "isolated molecules": (isolated[0], isolated[1]),
    }


def copied_exactly(generated: MoleculeSet, targets: MoleculeSet) -> np.ndarray:
    """(n_targets,) bool: targets that stand in the sample."""
    return np.array([s in generated.positions for s in targets.smiles])


def copied_nearly(generated: MoleculeSet, targets: MoleculeSet) -> np.ndarray:
    """(n_targets,) bool: targets with a sampled molecule of similarity .9 or more."""
    return nearest(targets.packed, generated.packed)[0] >= NEAR


def copied_with_one_change(generated: MoleculeSet, targets: MoleculeSet) -> np.ndarray:
    """(n_targets,) bool: targets that are copied, or with one small substituent changed."""
    opened: dict[str, set[str]] = {}
    capped: dict[str, set[str]] = {}
    for scaffold, (cores, ends) in zip(generated.scaffolds, generated.change_keys):
        for core in cores:
            opened.setdefault(core, set()).add(scaffold)
        for end in ends:
            capped.setdefault(end, set()).add(scaffold)
    found = np.zeros(len(targets), dtype=bool)
    for i, (smiles, scaffold) in enumerate(zip(targets.smiles, targets.scaffolds)):
        cores, ends = targets.change_keys[i]
        found[i] = (
            smiles in generated.positions
            or any(scaffold in opened.get(core, ()) for core in cores)
            or scaffold in capped.get(smiles, ())
            or any(
                end in generated.positions
                and generated.scaffolds[generated.positions[end]] == scaffold
                for end in ends
            )
        )
    return found


def _excess(name: str, how: str, subject: str, member: np.ndarray, other: np.ndarray) -> Measure:
    if min(len(member), len(other)) < _MIN_GROUP:
        return not_assessed(
            "memorisation",
            name,
            f"{len(member)} members and {len(other)} non-members are in this group; "
            f"{_MIN_GROUP} of each are needed.",
            subject,
        )
    gap = share_difference(member.sum(), len(member), other.sum(), len(other))
    reading = (
        f"{member.sum():,} of {len(member):,} members ({member.mean():.2%}) and {other.sum():,} of "
        f"{len(other):,} unseen molecules ({other.mean():.2%}) {how}; the estimate is the "
        "difference. Above 0, training molecules come out more often than chance explains."
    )
    return Measure("memorisation", name, gap, reading, subject, baseline=0.0, rule="excess")


def _share_of_sample(
    generated: MoleculeSet,
    counts: np.ndarray,
    members: MoleculeSet,
    others: MoleculeSet,
    seed: int,
) -> Measure:
    """How much of the sample, repeats included, is members; by chance: as many non-members."""
    n = min(len(members), len(others))
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 21])))
    shares = []
    total = int(counts.sum())
    for one in (members, others):
        chosen = one if len(one) == n else one.take(np.sort(rng.permutation(len(one))[:n]))
        hits = np.array([s in chosen.positions for s in generated.smiles])
        shares.append(int(counts[hits].sum()))
    baseline = wilson(shares[1], total)
    reading = (
        f"{shares[0]:,} of {total:,} sampled molecules are among {n:,} members, {shares[1]:,} "
        f"among as many unseen ones. Repeats count, so that a model that writes a few training "
        "molecules again and again shows here."
    )
    return Measure(
        "memorisation", "share of the sample that is copies", wilson(shares[0], total), reading,
        baseline=baseline.estimate,
    )  # fmt: skip
