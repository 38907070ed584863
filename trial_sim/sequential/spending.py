"""How a group-sequential design shapes its boundaries: spending functions and boundary families.

A rule is written by the user as a name or a tuple, e.g. ``"lan_demets_pocock"`` or
``("hwang_shih_decani", -4)``, and read here, once, into a `BoundaryRule`:

    kind            written as                                    parameter
    wang_tsiatis    "obrien_fleming" "pocock" ("wang_tsiatis", d) bound c * t**(d - 1/2)
    spending        "lan_demets_obrien_fleming" "lan_demets_pocock" ("hwang_shih_decani", gamma)
                    ("kim_demets", rho) ("user_spending", table or callable)
    haybittle_peto  "haybittle_peto" ("haybittle_peto", z)        z at every look but the last
    custom          ("custom", (z1, z2, ...)) or the plain list   z of each look

Spending functions: Lan & DeMets (1983), Hwang, Shih & DeCani (1990), Kim & DeMets (1987).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from trial_sim.base.arguments import nearest, number
from trial_sim.sequential.integration import FloatArray

_SPENDING_NAMES = (
    "lan_demets_obrien_fleming",
    "lan_demets_pocock",
    "hwang_shih_decani",
    "kim_demets",
    "user_spending",
)
_SHAPE_NAMES = ("obrien_fleming", "pocock", "wang_tsiatis")
RULE_NAMES = (*_SHAPE_NAMES, *_SPENDING_NAMES, "haybittle_peto", "custom")
_NEEDS_PARAMETER = {"wang_tsiatis", "hwang_shih_decani", "kim_demets", "user_spending", "custom"}


@dataclass(frozen=True)
class BoundaryRule:
    """One parsed rule: a name of `RULE_NAMES` with its parameter.

    name: how the user called it.
    parameter: float for one-parameter families; a tuple of z-values for "custom"; a tuple of
        (time, share) pairs or a callable for "user_spending"; None otherwise.
    """

    name: str
    parameter: Any = None
    _calls: Callable[[float], float] | None = field(default=None, compare=False, repr=False)

    @property
    def kind(self) -> str:
        """ "wang_tsiatis", "spending", "haybittle_peto" or "custom"."""
        if self.name in _SHAPE_NAMES:
            return "wang_tsiatis"
        return "spending" if self.name in _SPENDING_NAMES else self.name

    @property
    def delta(self) -> float:
        """Exponent of the Wang-Tsiatis family: 0 is O'Brien-Fleming, 1/2 is Pocock."""
        if self.name == "wang_tsiatis":
            return float(self.parameter)
        return {"obrien_fleming": 0.0, "pocock": 0.5}[self.name]

    def spent(self, time: ArrayLike, total: float) -> FloatArray:
        """Cumulative error spent by `time` (n,) out of `total`. Returns (n,) float64."""
        t = np.clip(np.atleast_1d(np.asarray(time, dtype=float)), 0.0, 1.0)
        return total * self._share(t, total)

    def _share(self, t: FloatArray, total: float) -> FloatArray:
        if self.name == "lan_demets_obrien_fleming":
            with np.errstate(divide="ignore"):
                return 2.0 * ndtr(ndtri(0.5 * total) / np.sqrt(t)) / total
        if self.name == "lan_demets_pocock":
            return np.log1p((np.e - 1.0) * t)
        if self.name == "hwang_shih_decani":
            gamma = float(self.parameter)
            return t if gamma == 0.0 else np.expm1(-gamma * t) / np.expm1(-gamma)
        if self.name == "kim_demets":
            return t ** float(self.parameter)
        if self._calls is not None:
            return self._check_shares(t, np.array([float(self._calls(float(x))) for x in t]))
        times, shares = np.array(self.parameter, dtype=float).T
        return np.interp(t, np.append(0.0, times), np.append(0.0, shares))

    @staticmethod
    def _check_shares(t: FloatArray, shares: FloatArray) -> FloatArray:
        ordered = shares[np.argsort(t, kind="stable")]
        if not (np.isfinite(shares).all() and (shares >= 0).all() and (shares <= 1 + 1e-12).all()):
            raise ValueError(
                "user spending must return shares of the total in [0, 1], "
                f"got {shares.tolist()} at {t.tolist()}"
            )
        if (np.diff(ordered) < 0).any():
            raise ValueError(f"user spending must not decrease, got {shares.tolist()}")
        return np.where(t >= 1.0, 1.0, shares)

    def tabulated(self, times: Sequence[float]) -> BoundaryRule:
        """The same rule in plain numbers: a callable becomes a table of 200 steps and `times`."""
        if self._calls is None:
            return self
        grid = np.unique(np.concatenate([np.linspace(0.005, 1.0, 200), np.clip(times, 0, 1)]))
        shares = self._share(grid, 1.0)
        return BoundaryRule("user_spending", tuple(zip(grid.tolist(), shares.tolist())))

    def to_plain(self) -> Any:
        """The rule as a name or a list that JSON and YAML can hold; `parse_rule` reads it back."""
        if self.parameter is None:
            return self.name
        if isinstance(self.parameter, tuple):
            values = [list(x) if isinstance(x, tuple) else _plain(x) for x in self.parameter]
            return [self.name, values]
        return [self.name, self.parameter]


def _plain(x: float) -> float | str:
    return float(x) if np.isfinite(x) else ("inf" if x > 0 else "-inf")


def parse_rule(spec: Any, what: str = "efficacy") -> BoundaryRule:
    """Read a user's rule into a `BoundaryRule`.

    spec: a name, a (name, parameter) pair, a sequence of z-values, or a `BoundaryRule`.
    what: "efficacy" or "futility", for messages.
    Raises ValueError for an unknown name, a missing or a senseless parameter.
    """
    if isinstance(spec, BoundaryRule):
        return spec
    name: Any
    parameter: Any = None
    if isinstance(spec, str):
        name = spec
    elif isinstance(spec, np.ndarray) or (
        isinstance(spec, (list, tuple)) and spec and not isinstance(spec[0], str)
    ):
        name, parameter = "custom", spec
    elif isinstance(spec, (list, tuple)) and len(spec) == 2:
        name, parameter = spec[0], spec[1]
    elif isinstance(spec, (list, tuple)) and len(spec) == 1:
        name = spec[0]
    else:
        raise TypeError(
            f"{what} must be a name, a (name, parameter) pair or a list of z-values, got {spec!r}"
        )
    if name not in RULE_NAMES:
        raise ValueError(f"unknown {what} rule {name!r}{nearest(name, RULE_NAMES)}")
    if parameter is None and name in _NEEDS_PARAMETER:
        raise ValueError(f"{what} rule {name!r} needs a parameter, e.g. ({name!r}, value)")
    if name == "custom":
        return BoundaryRule(name, _bounds(parameter, what))
    if name == "user_spending":
        return _user_spending(parameter, what)
    if name == "haybittle_peto":
        parameter = 3.0 if parameter is None else parameter
    elif parameter is not None and name not in _NEEDS_PARAMETER:
        raise ValueError(f"{what} rule {name!r} takes no parameter, got {parameter!r}")
    if parameter is not None:
        parameter = number(f"parameter of {what} rule {name!r}", parameter)
        if name == "kim_demets" and parameter <= 0:
            raise ValueError(f"rho of 'kim_demets' must be above 0, got {parameter}")
        if name == "haybittle_peto" and parameter <= 0:
            raise ValueError(f"z of 'haybittle_peto' must be above 0, got {parameter}")
        if name == "hwang_shih_decani" and abs(parameter) > 40:
            raise ValueError(f"gamma of 'hwang_shih_decani' must be in [-40, 40], got {parameter}")
        if name == "wang_tsiatis" and not -5 <= parameter <= 1:
            raise ValueError(f"delta of 'wang_tsiatis' must be in [-5, 1], got {parameter}")
    return BoundaryRule(name, parameter)


def _bounds(values: Any, what: str) -> tuple[float, ...]:
    empty = -np.inf if what == "futility" else np.inf
    numbers = tuple(empty if v is None else float(v) for v in values)
    if any(np.isnan(numbers)):
        raise ValueError(f"custom {what} bounds must not be NaN, got {list(numbers)}")
    return numbers


def _user_spending(parameter: Any, what: str) -> BoundaryRule:
    if callable(parameter):
        everything = float(parameter(1.0))
        if not abs(everything - 1.0) <= 1e-9:
            raise ValueError(
                "user spending must return shares of the total in [0, 1], and 1 at time 1, got "
                f"{everything:g} there from the {what} function"
            )
        return BoundaryRule("user_spending", parameter, parameter)
    table = np.asarray(parameter, dtype=float)
    if table.ndim != 2 or table.shape[1] != 2 or not np.isfinite(table).all():
        raise ValueError(
            f"{what} rule 'user_spending' needs a callable or (time, share) pairs, "
            f"got {parameter!r}"
        )
    times, shares = table.T
    if (np.diff(times) <= 0).any() or times[0] <= 0 or times[-1] != 1.0:
        raise ValueError(
            f"times of 'user_spending' must increase from above 0 to 1, got {times.tolist()}"
        )
    if (np.diff(shares) < 0).any() or shares[0] < 0 or abs(shares[-1] - 1.0) > 1e-12:
        raise ValueError(f"shares of 'user_spending' must rise from 0 to 1, got {shares.tolist()}")
    return BoundaryRule("user_spending", tuple(map(tuple, table.tolist())))
