"""What-if analysis in one place: grids, searches, assurance.

``trial_sim.what_if`` is both this module and the function of that name; so that the import of one
never hides the other, the module can be called like the function.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from trial_sim.design_search import WorstCase, worst_case_type_one_error
from trial_sim.exploration import WhatIf, latin_hypercube, what_if
from trial_sim.simulated_assurance import SimulatedAssurance, simulate_assurance

__all__ = [
    "SimulatedAssurance",
    "WhatIf",
    "WorstCase",
    "latin_hypercube",
    "simulate_assurance",
    "what_if",
    "worst_case_type_one_error",
]


class _CallableModule(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> WhatIf:
        return what_if(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableModule
