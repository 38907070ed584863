"""What-if analysis in one place: grids, searches, assurance.

``trial_sim.what_if`` is both this module and the function of that name; so that the import of one
never hides the other, the module can be called like the function.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from trial_sim.assurance import (
    Assurance,
    assurance,
    assurance_normal,
    conditional_assurance_normal,
    procova_sample_size_ratio,
    procova_variance,
)
from trial_sim.design_search import WorstCase, worst_case_type_one_error
from trial_sim.exploration import WhatIf, latin_hypercube, what_if

__all__ = [
    "Assurance",
    "WhatIf",
    "WorstCase",
    "assurance",
    "assurance_normal",
    "conditional_assurance_normal",
    "latin_hypercube",
    "procova_sample_size_ratio",
    "procova_variance",
    "what_if",
    "worst_case_type_one_error",
]


class _CallableModule(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> WhatIf:
        return what_if(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableModule
