"""Components: one wish about a molecule each, stated as a person would.

A wish is maximise, minimise, within, at least or at most. The shape of its desirability follows
from the property's distribution in the reference set (MOSES), or is given as a transform.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from molgen.base.arguments import nearest_name
from molgen.scoring.desirability import Transform, make_transform
from molgen.scoring.kinds import check_parameters, kind_named
from molgen.scoring.scales import Scale
from molgen.scoring.wishes import read_wish

GOALS: tuple[str, ...] = ("maximise", "minimise", "within", "at least", "at most")
"""The five statements."""

_GOAL_ALIASES = {
    "maximize": "maximise",
    "minimize": "minimise",
    "between": "within",
    "at_least": "at least",
    "at_most": "at most",
}


def _as_float(value: Any) -> float:
    """The number as a float; infinite where a whole number is too large for one."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


@dataclass(frozen=True)
class Component:
    """One wish about a molecule.

    Attributes:
        property: Name of a descriptor or of another kind in :data:`molgen.scoring.kinds.KINDS`.
        goal: One of :data:`GOALS`.
        low: Lower bound, for "within" and "at least".
        high: Upper bound, for "within" and "at most".
        params: Parameters of the property, such as ``{"smiles": ..., "fingerprint": "FCFP4"}``.
        transform: Desirability in place of the default: ``{"type": "sigmoid", ...}`` or a callable.
        weight: Relative weight, at least 0.
        name: Column name; the property's name by default.
        hard: True makes the bound a condition: a molecule that misses it scores 0.

    Examples:
        >>> import molgen
        >>> wish = molgen.Component.within("logp", 1, 3)
        >>> wish.statement
        'logp within 1 and 3'
        >>> wish.satisfied(2.0), wish.satisfied(5.0)
        (True, False)
        >>> molgen.Component.minimise("sa_score").goal, molgen.Component.at_most("mw", 450).high
        ('minimise', 450.0)
        >>> molgen.Component.maximise("qed").resolved_transform().to_dict()
        {'type': 'identity'}
        >>> tpsa = molgen.Component.parse("tpsa at least 40")
        >>> tpsa == molgen.Component.at_least("tpsa", 40)
        True
        >>> molgen.Component.from_dict(tpsa.to_dict()) == tpsa
        True
        >>> molgen.Component.from_function(len, "letters", goal="within", low=0, high=40).name
        'letters'
    """

    property: str
    goal: str = "maximise"
    low: float | None = None
    high: float | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    transform: Transform | Mapping[str, Any] | Callable[[float], float] | None = None
    weight: float = 1.0
    name: str = ""
    hard: bool = False

    def __post_init__(self) -> None:
        kind = kind_named(self.property)
        goal = _GOAL_ALIASES.get(self.goal, self.goal)
        if goal not in GOALS:
            raise ValueError(
                f"unknown goal {self.goal!r}.{nearest_name(self.goal, GOALS)} "
                f"The goals are: {', '.join(GOALS)}"
            )
        object.__setattr__(self, "goal", goal)
        object.__setattr__(self, "params", dict(self.params))
        check_parameters(kind, self.params)
        label = kind.name if kind.label is None else kind.label(self.params)
        object.__setattr__(self, "name", self.name or label)
        self._check_bounds()
        if isinstance(self.weight, bool) or not isinstance(self.weight, (int, float)):
            raise TypeError(f"component {self.name}: weight is a number; got {self.weight!r}")
        if not (math.isfinite(_as_float(self.weight)) and self.weight >= 0):
            raise ValueError(f"component {self.name}: weight is at least 0; got {self.weight}")
        if self.transform is not None:
            object.__setattr__(self, "transform", make_transform(self.transform))
        if self.hard and goal in ("maximise", "minimise"):
            raise ValueError(
                f"component {self.name}: hard needs a bound (within, at least, at most), not {goal}"
            )

    def _check_bounds(self) -> None:
        needs = {"within": ("low", "high"), "at least": ("low",), "at most": ("high",)}
        wanted = needs.get(self.goal, ())
        for bound in ("low", "high"):
            value = getattr(self, bound)
            if (value is not None) != (bound in wanted):
                verb = "needs" if bound in wanted else "takes no"
                raise ValueError(f"component {self.name}: {self.goal} {verb} {bound}")
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
                raise TypeError(f"component {self.name}: {bound} is a number; got {value!r}")
            number = _as_float(value)
            if not math.isfinite(number):
                raise ValueError(f"component {self.name}: {bound} is {number}; expected a number")
            object.__setattr__(self, bound, number)
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(
                f"component {self.name}: within {self.low:g} and {self.high:g} is empty: "
                "low lies above high"
            )

    # ---- statements ------------------------------------------------------------------------------
    @classmethod
    def maximise(cls, property: str, **others: Any) -> Component:
        """The higher the better."""
        return cls(property, "maximise", **_sorted_out(others))

    @classmethod
    def minimise(cls, property: str, **others: Any) -> Component:
        """The lower the better."""
        return cls(property, "minimise", **_sorted_out(others))

    @classmethod
    def within(cls, property: str, low: float, high: float, **others: Any) -> Component:
        """Between the bounds, both included."""
        return cls(property, "within", low=low, high=high, **_sorted_out(others))

    @classmethod
    def at_least(cls, property: str, low: float, **others: Any) -> Component:
        """The bound or more."""
        return cls(property, "at least", low=low, **_sorted_out(others))

    @classmethod
    def at_most(cls, property: str, high: float, **others: Any) -> Component:
        """The bound or less."""
        return cls(property, "at most", high=high, **_sorted_out(others))

    @classmethod
    def from_function(
        cls, function: Callable[[str], float], name: str = "", goal: str = "maximise", **others: Any
    ) -> Component:
        """A Python function of SMILES. Its values are taken as scores in [0, 1] unless bounds, a
        transform or ``scale=(usual low, usual high)`` say otherwise."""
        label = name or getattr(function, "__name__", "function").strip("<>")
        return cls("python", goal, name=label, **_sorted_out({"function": function, **others}))

    @builtins.property  # the field "property" hides the name inside the class
    def statement(self) -> str:
        """The wish in words: "logp within 1 and 3"."""
        label = self.name if self.name == self.property else f"{self.name} ({self.property})"
        if self.goal in ("maximise", "minimise"):
            return f"{self.goal} {label}"
        if self.goal == "within":
            return f"{label} within {self.low:g} and {self.high:g}"
        bound = self.low if self.goal == "at least" else self.high
        return f"{label} {self.goal} {bound:g}"

    def resolved_transform(self) -> Transform:
        """The transform given, or the default shape of the goal.

        A maximised property on a known scale gets a logistic that is 0.1 at the reference's 10 %
        and 0.9 at its 90 % quantile; one that is a score already stands for itself. Bounds give 1
        inside and a Gaussian of half the reference's standard deviation outside.
        """
        if isinstance(self.transform, Transform):
            return self.transform
        scale = kind_named(self.property).scale(self.params)
        if self.goal in ("maximise", "minimise"):
            if scale is None or scale.unit:
                return make_transform(
                    {"type": "identity" if self.goal == "maximise" else "one_minus"}
                )
            # log10(9) / 5 puts 0.1 and 0.9 at the two quantiles of the base-10 logistic.
            shape = "sigmoid" if self.goal == "maximise" else "reverse_sigmoid"
            steepness = math.log10(9.0) / 5.0
            return make_transform(
                {"type": shape, "low": scale.low, "high": scale.high, "k": steepness}
            )
        bounds = {
            bound: getattr(self, bound)
            for bound in ("low", "high")
            if getattr(self, bound) is not None
        }
        return make_transform({"type": "plateau", "sigma": self._width(scale), **bounds})

    def _width(self, scale: Scale | None) -> float:
        if scale is not None:
            return scale.spread / 2.0
        if self.low is not None and self.high is not None and self.high > self.low:
            return (self.high - self.low) / 2.0
        return max(abs(self.low or self.high or 0.0) * 0.1, 0.1)

    def satisfied(self, values: np.ndarray) -> np.ndarray:
        """True where (n,) raw values keep the bounds; NaN does not."""
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        return (values >= low) & (values <= high)

    # ---- files -----------------------------------------------------------------------------------
    def to_dict(self) -> dict[str, Any]:
        """Plain values for YAML or JSON; raises ValueError for what cannot be written."""
        plain: dict[str, Any] = {"property": self.property, "goal": self.goal}
        if self.name != self.property:
            plain["name"] = self.name
        for bound in ("low", "high"):
            if getattr(self, bound) is not None:
                plain[bound] = getattr(self, bound)
        if self.params:
            plain["params"] = {key: _writable(self, key, v) for key, v in self.params.items()}
        if isinstance(self.transform, Transform):
            plain["transform"] = self.transform.to_dict()
        if self.weight != 1.0:
            plain["weight"] = float(self.weight)
        if self.hard:
            plain["hard"] = True
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Component:
        """The inverse of :meth:`to_dict`."""
        if not isinstance(plain, Mapping):
            raise TypeError(f"a component is a mapping with 'property' and 'goal'; got {plain!r}")
        known = tuple(cls.__dataclass_fields__)
        for key in plain:
            if key not in known:
                raise ValueError(
                    f"a component has no field {key!r}.{nearest_name(key, known)} "
                    f"The fields are: {', '.join(known)}"
                )
        if "property" not in plain:
            raise ValueError(f"a component needs 'property'; got {dict(plain)!r}")
        return cls(**plain)

    @classmethod
    def parse(cls, text: str) -> Component:
        """A component from a sentence: "maximise qed", "mw < 400", "no aniline".

        What is understood: :mod:`molgen.scoring.wishes`, and the page "Wishes" of the
        documentation.

        Raises:
            ValueError: For a sentence that is not understood, with the nearest that would be.
        """
        return cls(**read_wish(text))


def _sorted_out(others: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a component stay; every other keyword is a parameter of its property."""
    fields = {"transform", "weight", "name", "hard", "params", "low", "high"}
    arguments = {key: value for key, value in others.items() if key in fields}
    extra = {key: value for key, value in others.items() if key not in fields}
    arguments["params"] = {**arguments.get("params", {}), **extra}
    return arguments


def _writable(component: Component, key: str, value: Any) -> Any:
    if callable(value):
        module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
        if module in (None, "__main__") or "<" in name or "." in name:
            raise ValueError(
                f"component {component.name}: {key} is a function that a file cannot name; "
                "move it into a module and give 'package.module:function'"
            )
        return f"{module}:{name}"
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    if isinstance(value, (list, tuple)):
        return [_writable(component, key, item) for item in value]
    path = getattr(value, "path", None)
    if path is not None:
        return str(path)
    raise ValueError(
        f"component {component.name}: {key} is a {type(value).__name__}, which a file cannot "
        "hold; save it and give its path"
    )
