"""``fitted.audit()``: the audit of a generator that can be refitted and sampled at will."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from trial_sim.auditing.compared.comparison import Comparison, compare, describe, one_thread
from trial_sim.auditing.compared.exposure import exposure
from trial_sim.auditing.compared.measure import Measure, as_table, not_assessed
from trial_sim.auditing.fidelity.balance import balance
from trial_sim.auditing.fidelity.effects import effect_replication
from trial_sim.auditing.fidelity.measures import fidelity
from trial_sim.auditing.figures import figure_data
from trial_sim.auditing.power import caught_from
from trial_sim.auditing.privacy.copied_baselines import copied_baselines
from trial_sim.auditing.privacy.measures import (
    attack_counts,
    attack_measures,
    closeness,
    copies,
    pool,
)
from trial_sim.auditing.privacy.membership_measures import (
    membership_measures,
    membership_scores,
    shadow_measures,
)
from trial_sim.auditing.privacy.shared_files import exact_measure, file_measures
from trial_sim.auditing.privacy.small_cells import small_cells
from trial_sim.auditing.report import AuditReport
from trial_sim.auditing.utility.error_rates import error_rates
from trial_sim.auditing.utility.refits import (
    Generator,
    Refit,
    exposures,
    fold_refits,
    levels_of,
    numbers_of_patients,
    shadow_scores,
    utility_splits,
)
from trial_sim.auditing.utility.replication import replication
from trial_sim.auditing.utility.train_synthetic_test_real import utility
from trial_sim.data.trial import Trial

ONE_DRAW = (
    "effect bias, in real standard errors",
    "effect lost",
    "effect shown",
    "sign agreement",
    "effect can be estimated",
)
SMALL = 400  # up to so many patients the attacks are averaged over all repeats of the folds


def audit_fitted(
    fitted: Generator,
    real: Trial,
    seed: int = 0,
    endpoint: str | None = None,
    n_folds: int = 5,
    n_repeats: int = 4,
    n_trials: int = 100,
    n_null: int = 400,
    path: str | Path | None = None,
    folds_by: str | None = None,
) -> AuditReport:
    """Audit a generator with full knowledge of it.

    One synthetic trial of the real sizes is compared with the real one as in :func:`.audit`. The
    generator is refitted without each fold for attacks with a true control and for clean utility,
    several times over for shadow models; it is sampled many times for effect replication, and
    with the effect set to none for error rates.

    Args:
        fitted: offers ``refit`` and ``sample_trial``.
        real: the trial that it was fitted to.
        seed: of every random choice.
        endpoint: the endpoint that was fitted, or None for all that its trials have.
        n_folds: folds of the refits, at least 2.
        n_repeats: repeats of the folds with a new division; three or more make shadow models.
        n_trials: synthetic trials for effect replication.
        n_null: synthetic trials for each error rate.
        path: the file that the model was read from, which is then attacked as it is.
        folds_by: a baseline column, such as the site, whose levels stay together: every fold is
            then made of whole sites.

    Raises:
        ValueError: when a number is out of range, or the trials cannot be compared.
    """
    with one_thread():
        return _audit_fitted(
            fitted, real, seed, endpoint, n_folds, n_repeats, n_trials, n_null, path, folds_by
        )


def _audit_fitted(
    fitted: Generator,
    real: Trial,
    seed: int,
    endpoint: str | None,
    n_folds: int,
    n_repeats: int,
    n_trials: int,
    n_null: int,
    path: str | Path | None,
    folds_by: str | None,
) -> AuditReport:
    least = (("n_folds", n_folds, 2), ("n_repeats", n_repeats, 1), ("n_trials", n_trials, 0))
    for name, value, low in (*least, ("n_null", n_null, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise ValueError(f"{name} must be a whole number of {low} or more, received {value!r}")
    synthetic = fitted.sample_trial(seed=seed)
    comparison = compare(real, synthetic, None, endpoint, seed)
    whole = None if folds_by is None else levels_of(comparison, folds_by)
    refits = fold_refits(fitted, comparison, min(n_folds, real.n_patients // 2), n_repeats, whole)
    folds = refits[0] if refits else []
    repeated = replication(fitted, comparison, n_trials)
    effects = as_table([*repeated, *softened(effect_replication(comparison), repeated)])
    splits = {name: utility_splits(comparison, folds, name) for name in comparison.real.endpoints}
    about = describe(comparison, f"fitted model, {len(refits)} repeats of {n_folds} folds")
    about["model"] = repr(fitted)
    if folds_by is not None:
        about["notes"] = [
            *about["notes"],
            f"folds are whole levels of {folds_by!r}: attacks and predictions are asked of "
            "patients of levels that no refit saw, and what sets these apart counts as a leak",
        ]
    parts = ["the synthetic table", f"tables of {sum(map(len, refits))} refits"]
    if path is not None:
        parts.append(f"the file {Path(path).name}")
    files = sum(r.file is not None for r in folds)
    if files:
        parts.append(f"the saved files of {files} refits")
    # over the folds every patient is unseen once
    about["caught"] = caught_from(comparison, effects, real.n_patients if folds else 0)
    about["attacked"] = f"Attacked: {', '.join(parts)}."
    return AuditReport(
        fidelity=as_table(fidelity(comparison)),
        effects=effects,
        utility=as_table(utility(comparison, splits if folds else None)),
        privacy=as_table(
            [
                *privacy_of(comparison, refits),
                *exact_measure(fitted, path, numbers_of_patients(comparison)),
            ]
        ),
        error_rates=as_table(error_rates(fitted, comparison, n_null)),
        balance=as_table(balance(comparison)),
        figures=figure_data(comparison, effects),
        about=about,
    )


def softened(single: list[Measure], repeated: list[Measure]) -> list[Measure]:
    """Effects of the one trial shown, where many trials tell more than it.

    Where the mean over many trials is judged, the one trial is a draw: its lines lose their rule
    and say so, and the cause of a fault stands in one line. The subgroups of a contrast stand by
    their rule unless the draw itself is far off, which moves all of them at once.
    """
    judged = {
        m.subject
        for m in repeated
        if m.measure.startswith("mean effect bias") and m.verdict != "grey"
    }
    far = {
        m.subject
        for m in single
        if m.measure.startswith(("effect bias", "effect lost")) and m.verdict in ("amber", "red")
    }
    out = []
    for m in single:
        whole = m.subject in judged and m.measure in ONE_DRAW
        part = m.measure.startswith("subgroup") and any(
            s.startswith(m.subject.split(", ")[0]) for s in judged & far
        )
        if whole or part:
            said = f"One draw, judged over many trials in 'mean effect bias': {m.reading}"
            m = replace(m, informs=True, reading=said)
        out.append(m)
    return out


def privacy_of(comparison: Comparison, refits: list[list[Refit]]) -> list[Measure]:
    """Copies and distances of the published trial; attacks by the folds; shadow models."""
    tables = exposure(comparison)
    folds = refits[0] if refits else []
    out = [
        *copies(tables, comparison.rng(52)),
        *copied_baselines(comparison, tables, comparison.rng(56)),
        *closeness(tables, comparison.rng(53)),
    ]
    if len(folds) >= 2:
        attacked = exposures(comparison, folds)
        small = comparison.real.n_patients <= SMALL
        asked = refits if small else refits[:1]
        every = (
            exposures(comparison, [r for repeat in asked for r in repeat]) if small else attacked
        )
        counts = pool(
            [attack_counts(t, comparison.rng(5_400 + k)) for k, t in enumerate(every)],
            share=1 / len(asked),
        )
        out += attack_measures(counts, f"patients left out, {len(every)} folds pooled")
        scores = [membership_scores(t, comparison.rng(5_500 + k)) for k, t in enumerate(attacked)]
        out += membership_measures(scores, f"{len(folds)} refits without a fold")
    else:
        why = "the generator refused to be fitted to parts of so small a trial"
        out += attack_measures(attack_counts(tables, comparison.rng(51)), "real patients")
        out.append(not_assessed("membership inference AUC", "distance, density ratio", why))
    if len(refits) >= 3:
        scored, member = shadow_scores(comparison, [r for repeat in refits for r in repeat])
        group = np.repeat(np.arange(len(refits)), len(folds))
        for attack, values in scored.items():
            out += shadow_measures(values, member, attack, group)
    else:
        why = f"{len(refits)} repeats of the folds were refitted; three are needed"
        out.append(not_assessed("membership inference AUC", "shadow models", why))
    found = [r.file for r in folds if r.file is not None]
    out += file_measures(found, comparison.real.n_patients)
    return [*out, *small_cells(comparison, tables)]
