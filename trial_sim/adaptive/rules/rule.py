"""A rule of an adaptive trial: when a condition holds at a milestone, do something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trial_sim.adaptive.rules.actions import Action
from trial_sim.adaptive.rules.conditions import Condition, Quantity
from trial_sim.adaptive.rules.text import Reader
from trial_sim.base.records import Record

__all__ = ["Rule"]


@dataclass(frozen=True)
class Rule(Record):
    """When a condition holds at a milestone, do something.

    Attributes:
        when: a condition, or its words: ``"conditional_power >= 0.3 and z of arm 'high' < 2"``.
        action: what is done, or the name of an action that needs nothing more: ``"DropArm"``.

    Examples:
        >>> import trial_sim as ts
        >>> ts.Rule("rank > 1", "DropArm") == ts.Rule(ts.Quantity("rank") > 1, ts.DropArm())
        True
        >>> rule = ts.Rule(ts.Quantity("z") <= 0.0, ts.Stop("futility"))
        >>> rule.in_words
        "if z <= 0: Stop(reason='futility')"
        >>> rule.plain, [quantity.name for quantity in rule.quantities]
        ('if z <= 0: stop (reason futility)', ['z'])
        >>> rule.blinded
        False
        >>> ts.Rule.from_yaml(rule.to_yaml()) == rule
        True
    """

    when: Any
    action: Any

    def __post_init__(self) -> None:
        if isinstance(self.when, str):
            object.__setattr__(self, "when", Condition.from_dict(Reader(self.when).read()))
        if isinstance(self.action, str):
            object.__setattr__(self, "action", Action.from_dict({"type": self.action}))
        if not isinstance(self.when, Condition):
            raise TypeError(
                f"when must be a condition such as Quantity('z') >= 2.8, got {self.when!r}"
            )
        if not isinstance(self.action, Action):
            raise TypeError(f"action must be such as Stop('futility'), got {self.action!r}")
        if not self.when.can_hold():
            raise ValueError(f"the rule can never fire: no value meets {self.when.in_words}")

    @property
    def blinded(self) -> bool:
        """Whether it looks at nothing that shows who is in which arm."""
        if self.action.looks_at_effect:
            return False
        return all(one.quantity.blinded for one in self.when.comparisons())

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """The quantities that its condition looks at, in order."""
        return tuple(q for one in self.when.comparisons() for q in one.quantity.quantities)

    @property
    def in_words(self) -> str:
        """The rule with its action as it is written in Python."""
        return f"if {self.when.in_words}: {self.action.in_words}"

    @property
    def plain(self) -> str:
        """The rule as a reader of a report who does not program has it."""
        return f"if {self.when.in_words}: {self.action.plain}"
