"""Privacy: what do the synthetic records give away about the patients behind them?

Every attack is set beside a control. With a hold-out the control attacks patients that the
generator never saw; without one, real patients stand in for an honest independent sample (each
record attacked with the others, or one half of the trial with the other half). Distances are a
cheap alarm; attacks with a control are the gate.
"""

from __future__ import annotations

import numpy as np

from trial_sim.auditing.compared import distances
from trial_sim.auditing.compared.comparison import Comparison, thin
from trial_sim.auditing.compared.exposure import Exposure, exposure
from trial_sim.auditing.compared.intervals import normalised_risk, share_difference, wilson
from trial_sim.auditing.compared.measure import Measure, not_assessed
from trial_sim.auditing.compared.tables import MixedTable, Schema, gower
from trial_sim.auditing.privacy import attacks
from trial_sim.auditing.privacy.attacks import Attack
from trial_sim.auditing.privacy.copied_baselines import copied_baselines
from trial_sim.auditing.privacy.exact_copies import exact_copies
from trial_sim.auditing.privacy.membership_measures import membership_measures, membership_scores
from trial_sim.auditing.privacy.small_cells import small_cells


def privacy(comparison: Comparison) -> list[Measure]:
    """All privacy measures that two tables, or three with a hold-out, allow."""
    tables = exposure(comparison)
    counts = attack_counts(tables, comparison.rng(51))
    out = [
        *copies(tables, comparison.rng(52)),
        *copied_baselines(comparison, tables, comparison.rng(56)),
        *closeness(tables, comparison.rng(53)),
        *attack_measures(counts, control_name(tables)),
        *small_cells(comparison, tables),
    ]
    if tables.others is None:
        why = "it needs unseen real patients (holdout=...) or the generator (fitted.audit())"
        out.append(not_assessed("membership inference AUC", "distance, density ratio", why))
        out.append(not_assessed("membership inference AUC", "shadow models", why))
    else:
        out += membership_measures(
            [membership_scores(tables, comparison.rng(54))], "against the hold-out"
        )
        why = "shadow models need the generator (fitted.audit())"
        out.append(not_assessed("membership inference AUC", "shadow models", why))
    return out


def control_name(tables: Exposure) -> str:
    """What the control of the attacks is, in words."""
    if tables.others is not None:
        return "unseen patients"
    return "an honest independent sample, for which real patients stand in"


# ---------------------------------------------------------------- copies and near copies


def copies(tables: Exposure, rng: np.random.Generator) -> list[Measure]:
    """Exact copies, rows alike within 1 %, and near copies of the most isolated patients."""
    schema, real, synthetic = tables.schema, tables.members, tables.synthetic
    same = attacks.identical(schema, synthetic, real)
    if tables.others is not None:
        base = attacks.identical(schema, tables.others, real)
    else:
        base = attacks.identical(schema, real, real, itself=True)
    out = [
        exact_copies(tables),
        Measure(
            "identical rows, excess share",
            "all columns",
            share_difference(same.sum(), len(same), base.sum(), len(base)),
            f"Share of synthetic records that equal a real one (numbers within 1 %): "
            f"{same.mean():.4f}; for other real records it is {base.mean():.4f}, and the excess "
            "should be 0.",
            control=0.0,
        ),
    ]
    cross = gower(real, synthetic, schema.ranges)
    among = distances.without_self(gower(real, real, schema.ranges))
    lonely = distances.isolated(among)
    alone = among.min(axis=1)[lonely]
    hit = distances.copied(cross[lonely], alone)
    if tables.others is not None and len(tables.others) >= 20:
        unseen = tables.others
        own = distances.without_self(gower(unseen, unseen, schema.ranges))
        away = distances.isolated(own)
        base_hit = distances.copied(
            gower(unseen.rows(away), synthetic, schema.ranges), own.min(axis=1)[away]
        )
    else:
        # how often one half of the trial holds a near copy of the other half's isolated records
        base_hit = _outliers_by_halves(among, rng)
    out.append(
        Measure(
            "outliers copied, normalised risk",
            f"the {len(lonely)} most isolated patients",
            normalised_risk((hit.sum(), len(hit)), (base_hit.sum(), len(base_hit))),
            f"Share of the most isolated real patients with a synthetic near copy (within a "
            f"quarter of their own isolation): {hit.mean():.3f}; control {base_hit.mean():.3f}; "
            "the risk is the excess over the control.",
            control=float(base_hit.mean()),
        )
    )
    return out


def _outliers_by_halves(among: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    n = len(among)
    order = rng.permutation(n)
    a, b = order[: n // 2], order[n // 2 :]
    inside = among[np.ix_(a, a)]
    lonely = distances.isolated(inside)
    return distances.copied(among[np.ix_(a, b)][lonely], inside.min(axis=1)[lonely])


# ---------------------------------------------------------------- distances


def closeness(tables: Exposure, rng: np.random.Generator) -> list[Measure]:
    """Distance to the closest record and its relatives: a cheap alarm."""
    schema, real = tables.schema, tables.members
    n = min(len(real), len(tables.synthetic))
    synthetic = tables.synthetic
    among_real = distances.without_self(gower(real, real, schema.ranges))
    cross = gower(real, synthetic, schema.ranges)
    among_synthetic = distances.without_self(gower(synthetic, synthetic, schema.ranges))
    rows = thin(len(real), n, rng)
    # a real record's neighbours are sought among as many real records as there are synthetic ones
    fair = among_real[:, rows]
    out = [
        Measure(
            "distance to closest record, ratio",
            "all columns",
            distances.closest_ratio(cross.T[:, rows], fair, rng),
            "Median distance from a synthetic record to its closest real one over the same among "
            "real records; 1 is what an honest sample gives, well below 1 is copying.",
            control=1.0,
        ),
        _neighbour_loss(tables, cross, fair),
        Measure(
            "adversarial accuracy",
            "all columns",
            distances.adversarial_accuracy(
                cross[rows][:, :n], among_real[np.ix_(rows, rows)], among_synthetic[:n, :n]
            ),
            "Share of records whose nearest neighbour is of their own kind; .5 is ideal, near 0 "
            "the synthetic records sit on the real ones, near 1 they are far away (a fault of "
            "fidelity, not of privacy).",
            control=0.5,
        ),
        _identifiability(schema, real, synthetic, rows),
        _hitting(tables, rng),
    ]
    if tables.others is not None:
        m = min(len(real), len(tables.others))
        to_holdout = gower(synthetic, tables.others, schema.ranges)
        share = distances.closest_share(
            cross.T[:, thin(len(real), m, rng)], to_holdout[:, thin(len(tables.others), m, rng)]
        )
        out.append(
            Measure(
                "nearer to training than to hold-out",
                "all columns",
                share,
                "Share of synthetic records nearer to a training patient than to an unseen one, "
                "equal numbers of both, ties split; .5 is ideal.",
                control=0.5,
            )
        )
    return out


def _neighbour_loss(tables: Exposure, cross: np.ndarray, fair: np.ndarray) -> Measure:
    ratio = distances.neighbour_ratio(cross)
    if tables.others is not None:
        control = distances.neighbour_ratio(
            gower(tables.others, tables.synthetic, tables.schema.ranges)
        )
    else:
        control = distances.neighbour_ratio(fair)
    return Measure(
        "nearest-neighbour ratio, loss",
        "all columns",
        distances.mean_loss(control, ratio),
        f"Distance to the nearest over the second nearest synthetic record, mean over real "
        f"patients ({ratio.mean():.3f}), below its control ({control.mean():.3f}); 0 is no loss.",
        control=0.0,
    )


def _identifiability(
    schema: Schema, real: MixedTable, synthetic: MixedTable, rows: np.ndarray
) -> Measure:
    weights = distances.entropy_weights(schema, real)
    cross = gower(real, synthetic, schema.ranges, weights)
    among = distances.without_self(gower(real, real, schema.ranges, weights))[:, rows]
    nearer = distances.nearer_than_real(cross, among)
    return Measure(
        "ε-identifiability",
        "all columns",
        wilson(float(nearer.sum()), len(nearer)),
        "Share of patients nearer to a synthetic record than to any other patient, columns "
        "weighted by inverse entropy; .5 is what an honest sample gives, 1 is copying.",
        control=0.5,
    )


def _hitting(tables: Exposure, rng: np.random.Generator) -> Measure:
    schema, real, synthetic = tables.schema, tables.members, tables.synthetic
    hit = np.asarray(_within(schema, real, synthetic).any(axis=1))
    if tables.others is not None:
        base = np.asarray(_within(schema, tables.others, synthetic).any(axis=1))
    else:
        near = _within(schema, real, real)
        np.fill_diagonal(near, False)
        base = np.asarray(near[:, thin(len(real), min(len(real), len(synthetic)), rng)].any(axis=1))
    return Measure(
        "hitting rate, normalised risk",
        "all columns",
        normalised_risk((hit.sum(), len(hit)), (base.sum(), len(base))),
        f"Share of patients with a synthetic record of equal categories and every number within a "
        f"thirtieth of the range: {hit.mean():.3f}, control {base.mean():.3f}.",
        control=float(base.mean()),
    )


def _within(schema: Schema, left: MixedTable, right: MixedTable) -> np.ndarray:
    near: np.ndarray = np.ones((len(left), len(right)), dtype=bool)
    for j in range(len(schema.numeric)):
        a, b = left.numeric[:, j][:, None], right.numeric[:, j][None, :]
        with np.errstate(invalid="ignore"):
            near &= (np.abs(a - b) <= schema.ranges[j] / 30) | (np.isnan(a) & np.isnan(b))
    for j in range(len(schema.categorical)):
        near &= left.codes[:, j][:, None] == right.codes[:, j][None, :]
    return near


# ---------------------------------------------------------------- attacks with a control

Counts = dict[tuple[str, str], tuple[Attack, Attack]]  # (attack, column) -> on members, control


def attack_counts(tables: Exposure, rng: np.random.Generator) -> Counts:
    """Successes of every attack on members and in the control.

    With unseen records, equal numbers of members and unseen are attacked, and singled out from as
    many synthetic records: what is alone in a large table is alone in a small one far more often,
    so that with unequal sizes the figure would hang on the size of the control.
    """
    schema, synthetic = tables.schema, tables.synthetic
    if tables.others is not None:
        m = min(len(tables.members), len(tables.others))
        inside = tables.members.rows(thin(len(tables.members), m, rng))
        outside = tables.others.rows(thin(len(tables.others), m, rng))
        alone = synthetic.rows(thin(len(synthetic), min(m, len(synthetic)), rng))
        pairs: Counts = {
            ("singling out, one column", "all columns"): (
                attacks.singling_out_univariate(schema, alone, inside),
                attacks.singling_out_univariate(schema, alone, outside),
            ),
            ("singling out, three columns", "all columns"): (
                attacks.singling_out_multivariate(schema, alone, inside, rng),
                attacks.singling_out_multivariate(schema, alone, outside, rng),
            ),
            ("linkability", "all columns"): (
                attacks.linkability(schema, synthetic, inside, rng),
                attacks.linkability(schema, synthetic, outside, rng),
            ),
        }
        guesses = attacks.attribute_inference(schema, synthetic, inside, rng)
        controls = attacks.attribute_inference(schema, synthetic, outside, rng)
    else:
        real = tables.members
        half = len(real) // 2
        order = rng.permutation(len(real))
        a, b = real.rows(order[:half]), real.rows(order[half:])
        # the chance that a condition unique in one sample is unique in another of equal size
        # hardly depends on that size, so halves may stand for the whole in the control
        faced = real.rows(thin(len(real), len(synthetic), rng))
        pairs = {
            ("singling out, one column", "all columns"): (
                attacks.singling_out_univariate(schema, synthetic, faced),
                attacks.singling_out_univariate(schema, a, b),
            ),
            ("singling out, three columns", "all columns"): (
                attacks.singling_out_multivariate(schema, synthetic, faced, rng),
                attacks.singling_out_multivariate(schema, a, b, rng),
            ),
            ("linkability", "all columns"): (
                attacks.linkability(schema, synthetic, real, rng),
                attacks.linkability(schema, real, real, rng, itself=True),
            ),
        }
        guesses = attacks.attribute_inference(schema, synthetic, real, rng)
        controls = attacks.attribute_inference(schema, real, real, rng, itself=True)
    for name in guesses:
        pairs[("attribute inference", name)] = guesses[name], controls[name]
    return pairs


def pool(counts: list[Counts], share: float = 1.0) -> Counts:
    """Counts of several folds added up, times a share.

    Several repeats of the folds ask the same patients: with one over their number as the share
    the rates are steadier and the intervals no narrower than the patients allow.
    """
    out: Counts = {}
    for one in counts:
        for key, (attack, control) in one.items():
            old = out.get(key, (Attack(0, 0), Attack(0, 0)))
            out[key] = (
                _add(old[0], attack, share),
                _add(old[1], control, share),
            )
    return out


def _add(sum_so_far: Attack, more: Attack, share: float) -> Attack:
    return Attack(
        sum_so_far.successes + share * more.successes, sum_so_far.attempts + share * more.attempts
    )


def attack_measures(counts: Counts, control: str) -> list[Measure]:
    """Success rate and control-normalised risk of every attack."""
    out = []
    for (name, subject), (attack, base) in counts.items():
        if min(attack.attempts, base.attempts) < 10:
            out.append(
                not_assessed(
                    f"{name}, normalised risk",
                    subject,
                    f"only {attack.attempts:g} attacks on patients and {base.attempts:g} in the "
                    "control could be made",
                )
            )
            continue
        risk = normalised_risk(attack, base)
        rate, base_rate = attack.successes / attack.attempts, base.successes / base.attempts
        what = {
            "singling out, one column": "a condition on one column isolates one real patient",
            "singling out, three columns": "a condition on three columns isolates one real patient",
            "linkability": "two halves of a patient's columns lead to one synthetic record",
            "attribute inference": "the nearest synthetic record on all other columns reveals this "
            "one",
        }[name]
        out.append(
            Measure(
                f"{name}, normalised risk",
                subject,
                risk,
                f"How often {what}: {rate:.3f} of {attack.attempts:.0f} attacks; control "
                f"({control}) {base_rate:.3f} of {base.attempts:.0f}. The risk is the share of the "
                f"possible gain over the control.",
                control=base_rate,
            )
        )
    return out
