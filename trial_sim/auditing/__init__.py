"""The audit of synthetic patients: fidelity, effects, utility, privacy, error rates, balance.

The modules, in the order in which data flows:

    compared/      intervals and measures; tables, patients and distances; curves and outcomes
    fidelity/      margins, associations, effects, balance
    utility/       training on synthetic, replication, refits, error rates
    privacy/       the attacks, and what they find beside a control
    power          the smallest fault that an audit of these sizes would catch
    report, figures, plots, page    the report; the data behind its plots; its HTML page
    two_tables, fitted_arms         the audits themselves
"""

from __future__ import annotations

from trial_sim.auditing.compared.measure import Measure
from trial_sim.auditing.fitted_arms import audit_fitted
from trial_sim.auditing.report import AuditReport
from trial_sim.auditing.two_tables import audit

__all__ = ["AuditReport", "Measure", "audit", "audit_fitted"]
