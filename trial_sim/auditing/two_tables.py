"""``ts.audit``: the audit of a synthetic trial, whatever program made it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from trial_sim.arms.fitted import load_fitted
from trial_sim.auditing.compared.comparison import compare, describe, one_thread
from trial_sim.auditing.compared.measure import as_table, not_assessed
from trial_sim.auditing.fidelity.balance import balance
from trial_sim.auditing.fidelity.effects import effect_replication
from trial_sim.auditing.fidelity.measures import fidelity
from trial_sim.auditing.figures import figure_data
from trial_sim.auditing.one_arm import OneArm, arm_name, external_control, one_arm, table_as_trial
from trial_sim.auditing.power import caught_from
from trial_sim.auditing.privacy.measures import privacy
from trial_sim.auditing.report import AuditReport
from trial_sim.auditing.utility.train_synthetic_test_real import utility
from trial_sim.data.trial import Trial

ATTACKED_TABLE = "Attacked: the synthetic table."
HELD_OUT = "with the hold-out as control"


def audit(
    real: Trial,
    synthetic: Any,
    holdout: Trial | None = None,
    endpoint: str | None = None,
    seed: int = 0,
    arm: Any = None,
    **options: Any,
) -> AuditReport:
    """Audit a synthetic trial, or a fitted generator, against the real trial it was made from.

    Args:
        real: the training data.
        synthetic: the synthetic trial, with the real one's columns and arms; or a fitted trial
            (anything with ``refit`` and ``sample_trial``), which is then audited with refits,
            shadow models and error rates (see :func:`.fitted.audit_fitted`); or the path of a
            saved one, which is then attacked itself, too. The page's first line says what was
            attacked.
        holdout: real patients that the maker of the synthetic trial never saw. They make the
            controls of the privacy attacks sharp and membership inference possible.
        endpoint: one endpoint, or None for all that both trials have.
        seed: of the random choices (bootstrap draws, attacks); the same seed, the same report.
        arm: audit the synthetic patients of this arm alone, as a synthetic control: they are
            compared with the real patients of the arm, and the other real arms with them.
            ``synthetic`` may then be a table, as ``fitted.sample_arm`` gives it.
        options: for a fitted trial, ``n_folds``, ``n_repeats``, ``n_trials``, ``n_null``, and
            ``folds_by``, a baseline column whose levels (sites) are left out as a whole.

    Returns:
        AuditReport: tables ``.fidelity .effects .utility .privacy .error_rates .balance`` with
        estimate, interval, control, threshold, verdict and a reading; ``.passed``, ``.failures``,
        ``.to_html(path)``, ``.to_json(path)``.

    Raises:
        TypeError, ValueError: when the trials cannot be compared; the sentence names why.

    Examples:
        >>> import trial_sim as ts
        >>> trial = ts.load_trial("gehan")
        >>> report = ts.audit(trial, trial, endpoint="relapse", seed=0)
        >>> report.passed
        False
    """
    with one_thread():
        return _audit(real, synthetic, holdout, endpoint, seed, arm, options)


def _audit(
    real: Trial,
    synthetic: Any,
    holdout: Trial | None,
    endpoint: str | None,
    seed: int,
    arm: Any,
    options: dict[str, Any],
) -> AuditReport:
    if isinstance(synthetic, str | Path):
        options, synthetic = {**options, "path": synthetic}, load_fitted(synthetic)
    if arm is not None:
        return _audit_arm(real, synthetic, holdout, endpoint, seed, arm, options)
    if hasattr(synthetic, "refit") and hasattr(synthetic, "sample_trial"):
        from trial_sim.auditing.fitted_arms import audit_fitted

        if holdout is not None:
            raise ValueError(
                "a fitted trial is audited with refits and needs no holdout; to use one, give a "
                "sampled trial: audit(real, fitted.sample_trial(), holdout=...)"
            )
        return audit_fitted(synthetic, real, seed, endpoint, **options)
    if options:
        raise TypeError(f"{next(iter(options))} applies to a fitted trial only, not to two tables")
    comparison = compare(real, synthetic, holdout, endpoint, seed)
    effects = as_table(effect_replication(comparison))
    why = "they need the generator; call fitted.audit()"
    return AuditReport(
        fidelity=as_table(fidelity(comparison)),
        effects=effects,
        utility=as_table(utility(comparison)),
        privacy=as_table(privacy(comparison)),
        error_rates=as_table([not_assessed("error rates after synthesis", "all", why)]),
        balance=as_table(balance(comparison)),
        figures=figure_data(comparison, effects),
        about=describe(comparison, "two tables" if holdout is None else "two tables and hold-out")
        | {
            "attacked": ATTACKED_TABLE
            if holdout is None
            else f"{ATTACKED_TABLE[:-1]}, {HELD_OUT}.",
            "caught": caught_from(
                comparison, effects, 0 if holdout is None else holdout.n_patients
            ),
        },
    )


def _audit_arm(
    real: Trial,
    synthetic: Any,
    holdout: Trial | None,
    endpoint: str | None,
    seed: int,
    arm: Any,
    options: dict[str, Any],
) -> AuditReport:
    """The audit of one arm as a cohort, with the effect of the other real arms against it."""
    arm = arm_name(real, arm)
    assert real.arm is not None
    cohort = one_arm(real, real.arm, arm)
    made: Any
    if isinstance(synthetic, pd.DataFrame):
        synthetic = table_as_trial(synthetic, real)
    if isinstance(synthetic, Trial):
        made = drawn = one_arm(synthetic, real.arm, arm)
    else:
        made = OneArm(synthetic, real, arm)
        drawn = made.sample_trial(seed=seed)
    held = None if holdout is None else one_arm(holdout, real.arm, arm)
    report = _audit(cohort, made, held, endpoint, seed, None, options)
    names = tuple(report.about["endpoints"])
    effects = as_table(external_control(real, arm, drawn, names))
    about = report.about | {"mode": f"arm {arm} alone; {report.about['mode']}", "arms": [str(arm)]}
    return replace(report, effects=effects, about=about)


def combine(*tables: pd.DataFrame) -> pd.DataFrame:
    """Tables of measures one below the other."""
    parts = [table for table in tables if len(table)]
    return pd.concat(parts, ignore_index=True) if parts else as_table([])
