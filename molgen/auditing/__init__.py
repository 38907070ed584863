"""The audit of a generator: what it gives away about its training molecules, and what it is worth.

The modules, in the order in which data flows:

    intervals      Wilson, Newcombe, bootstraps of shares and attacks
    measures       a measure with its rule and verdict
    report         the report and its HTML page
    sets           the audited sets: keys, fingerprints, scaffolds
    memorisation   exact and near copies against a hold-out
    membership     attacks with samples alone, and with the model
    shadows        small models trained here, and the attacks that compare with them
    shared_folder  the files of a folder: vocabulary, table of precedent, what can be read
    canaries       planted molecules: exposure and extraction
    inversion      members of a secret series from its scaffold or its profile
    usefulness     property models from generated molecules; fidelity; rare chemotypes
    early_stopping train until an audit says stop
    assessment     ``audit`` and ``audit_samples``
"""

from typing import Any

from molgen.auditing.assessment import audit, audit_samples
from molgen.auditing.measures import Measure
from molgen.auditing.report import AuditReport
from molgen.base.fronts import find

__all__ = ["AuditReport", "Measure", "audit", "audit_samples", "train_audited"]


def __getattr__(name: str) -> Any:
    return find(__name__, name)


def __dir__() -> list[str]:
    return __all__
