"""Membership inference as measures: AUC and true-positive rate of every attack."""

from __future__ import annotations

import numpy as np

from trial_sim.auditing.compared import distances, intervals
from trial_sim.auditing.compared.exposure import Exposure
from trial_sim.auditing.compared.intervals import Interval
from trial_sim.auditing.compared.measure import Measure, not_assessed
from trial_sim.auditing.compared.tables import gower
from trial_sim.auditing.privacy import membership

FEWEST_UNSEEN = 100

Scores = dict[str, tuple[np.ndarray, np.ndarray]]  # attack -> scores of members, of others


def membership_scores(tables: Exposure, rng: np.random.Generator) -> Scores:
    """Scores of members and others under the distance and the density-ratio attack.

    The density ratio needs a reference: the unseen records are split in two and take turns.
    """
    schema, synthetic = tables.schema, tables.synthetic
    assert tables.others is not None  # callers check
    to_members = gower(tables.members, synthetic, schema.ranges)
    to_others = gower(tables.others, synthetic, schema.ranges)
    out: Scores = {
        "distance": (membership.distance_score(to_members), membership.distance_score(to_others))
    }
    if len(tables.others) < 20:
        return out
    inside, outside = [], np.zeros(len(tables.others))
    for reference, tested in membership.reference_split(len(tables.others), rng):
        known = tables.others.rows(reference)
        width = membership.bandwidth(distances.without_self(gower(known, known, schema.ranges)))
        inside.append(
            membership.density_ratio_score(
                to_members, gower(tables.members, known, schema.ranges), width
            )
        )
        outside[tested] = membership.density_ratio_score(
            to_others[tested], gower(tables.others.rows(tested), known, schema.ranges), width
        )
    # members are scored with both references in turn, half of them with each, like the others
    side = rng.permutation(len(tables.members)) % 2
    out["density ratio"] = (np.where(side == 0, inside[0], inside[1]), outside)
    return out


def membership_measures(folds: list[Scores], where: str) -> list[Measure]:
    """AUC (averaged over folds) and TPR at 1 % FPR (scores pooled) of every attack."""
    out = []
    for attack in folds[0]:
        scores = [fold[attack] for fold in folds if attack in fold]
        inside, outside = (np.concatenate(side) for side in zip(*scores))
        out += _membership_rows(
            attack,
            membership.average([intervals.auc(*pair) for pair in scores]),
            # in k folds every patient is a member k - 1 times
            membership.pooled_rate(inside, outside, max(len(scores) - 1, 1)),
            len(outside),
            where,
        )
    return out


def shadow_measures(
    scores: np.ndarray, member: np.ndarray, attack: str, group: np.ndarray
) -> list[Measure]:
    """AUC and TPR at 1 % FPR of the shadow-model attack.

    The AUC is averaged over all models; its interval is as wide as that of one repeat of the
    folds, since every repeat asks the same patients.

    Args:
        scores: (models, n) scores of every record under every model.
        member: (models, n) boolean.
        attack: which score the likelihood ratio is of.
        group: (models,) label of models that are not each other's shadows (one repeat).
    """
    ratios = membership.shadow_score(scores, member, group)
    known = np.isfinite(ratios)
    repeats = []
    for label in np.unique(group):
        areas = [
            intervals.auc(ratio[k & m], ratio[k & ~m])
            for ratio, k, m in zip(
                ratios[group == label], known[group == label], member[group == label]
            )
            if min((k & m).sum(), (k & ~m).sum()) >= 3
        ]
        if areas:
            repeats.append(membership.average(areas))
    if not repeats:
        return [
            not_assessed(
                "membership inference AUC", f"shadow models, {attack}", "too few models or patients"
            )
        ]
    area = float(np.mean([r.estimate for r in repeats]))
    half = float(np.mean([(r.upper - r.lower) / 2 for r in repeats]))
    inside = len(scores) * float(member.mean())
    return _membership_rows(
        f"shadow models, {attack}",
        Interval(area, max(area - half, 0.0), min(area + half, 1.0)),
        membership.pooled_rate(ratios[known & member], ratios[known & ~member], inside),
        scores.shape[1],
        f"in {len(scores)} refits, each attacked with the others as shadow models",
    )


def _membership_rows(
    attack: str, area: Interval, true: Interval, unseen: int, where: str
) -> list[Measure]:
    rows = [
        Measure(
            "membership inference AUC",
            attack,
            area,
            f"How well the attack tells patients that the generator saw from unseen ones ({where})"
            "; .5 is a coin, 1 is certain.",
            control=0.5,
        )
    ]
    name = "membership inference, TPR at 1 % FPR"
    if unseen < FEWEST_UNSEEN:
        why = f"{unseen} unseen patients cannot tell one false alarm in a hundred"
        return [*rows, not_assessed(name, attack, why)]
    return [
        *rows,
        Measure(
            name,
            attack,
            true,
            f"Share of patients that can be named with one false alarm in a hundred ({where}); "
            ".01 is chance.",
            control=0.01,
        ),
    ]
