"""The words of adaptive designs: what a rule asks, what it does, and how the error is held.

All are frozen records that go to YAML and back. ``trial_sim.design.milestones`` says when rules are
looked at, ``trial_sim.engine.adapting`` does what they say to simulated trials.
"""

from trial_sim.adaptive.rules.actions import (
    Action,
    AddArm,
    Arm,
    DropArm,
    Pause,
    Reallocate,
    Resize,
    Restrict,
    Stop,
)
from trial_sim.adaptive.rules.conditions import (
    OF_ONE_NUMBER,
    RANGES,
    AllOf,
    AnyOf,
    Comparison,
    Condition,
    Difference,
    NotSo,
    Quantity,
)
from trial_sim.adaptive.rules.error_control import (
    UNADJUSTED,
    ClosedTest,
)
from trial_sim.adaptive.rules.rule import Rule

__all__ = [
    "OF_ONE_NUMBER",
    "RANGES",
    "UNADJUSTED",
    "Action",
    "AddArm",
    "AllOf",
    "AnyOf",
    "Arm",
    "ClosedTest",
    "Comparison",
    "Condition",
    "Difference",
    "DropArm",
    "NotSo",
    "Pause",
    "Quantity",
    "Reallocate",
    "Resize",
    "Restrict",
    "Rule",
    "Stop",
]
