"""The audit of synthetic patients: fidelity, effects, utility, privacy, error rates, balance.

The modules, in the order in which data flows:

    intervals, record     interval estimates; measures, verdicts and the report that holds them
    tables, patients      patient tables as arrays, distances between records
    curves                weighted outcome curves with bands
    outcomes              every kind of endpoint brought to curves and contrasts
    comparison            two trials checked and brought to one form
    resemblance, fidelity, effects, utility, balance    what is measured on two tables
    attacks, distances, membership    the attacks themselves
    exposure, privacy, membership_measures, small_cells    what they find, beside a control
    refits                refits without a fold
    error_rates           type I error and power after synthesis (needs the generator)
    figures               aggregate data behind the plots
    two_tables, fitted    the audits themselves
"""

from __future__ import annotations

from trial_sim.auditing.compared.measure import Measure
from trial_sim.auditing.fitted_arms import audit_fitted
from trial_sim.auditing.report import AuditReport
from trial_sim.auditing.two_tables import audit

__all__ = ["AuditReport", "Measure", "audit", "audit_fitted"]
