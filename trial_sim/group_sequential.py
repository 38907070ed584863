"""Exact group-sequential designs: `group_sequential(...)` returns a frozen `GroupSequential`.

The clock is the information fraction; the effect is the `drift`, the mean of Z at full information
of this design (for a survival trial: -log(HR) * sqrt(events * r) / (1 + r) with allocation 1 : r).
Everything is computed by recursive numerical integration (`trial_sim.integration`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from trial_sim.arguments import between, nearest, number
from trial_sim.boundaries import (
    FutilityProblem,
    StageProbabilities,
    drift_for_power,
    efficacy_alone,
    error_of,
    exit_probabilities,
    power_of,
    solve_with_futility,
)
from trial_sim.integration import FloatArray
from trial_sim.spending import BoundaryRule, parse_rule

if TYPE_CHECKING:
    import pandas as pd

    from trial_sim.sequential_inference import SequentialEstimate

MAX_LOOKS = 50
Theta = Literal["trend", "null", "design"] | float


@dataclass(frozen=True, eq=False)
class GroupSequential:
    """A group-sequential design with its boundaries. Make it with `group_sequential`.

    information_fractions: (n_looks,) float64, increasing to 1.
    efficacy_bounds: (n_looks,) float64 Z; +inf at a look that cannot reject.
    futility_bounds: (n_looks,) float64 Z; -inf at a look without one. With futility the last
        bound equals the last efficacy bound. Two-sided designs read both on the magnitude of Z.
    alpha: overall type I error, both sides together when sided is 2.
    power: the chance of rejecting in favour of the treatment for which `drift` is chosen.
    sided: 1 or 2. binding: whether futility must be obeyed (and lowers the efficacy bounds).
    efficacy, futility: the rules that made the bounds.
    spending_fractions, futility_spending_fractions: (n_looks,) clock of the spending functions.
    drift: mean of Z at full information under the design alternative.
    relative_information: full information of this design over that planned (1 until `update`).
    """

    information_fractions: FloatArray
    efficacy_bounds: FloatArray
    futility_bounds: FloatArray
    alpha: float
    power: float
    sided: int
    binding: bool
    efficacy: BoundaryRule
    futility: BoundaryRule | None
    spending_fractions: FloatArray
    futility_spending_fractions: FloatArray
    drift: float
    relative_information: float = 1.0

    def __post_init__(self) -> None:
        n = len(self.information_fractions)
        for name in (
            "information_fractions",
            "efficacy_bounds",
            "futility_bounds",
            "spending_fractions",
            "futility_spending_fractions",
        ):
            values = np.array(getattr(self, name), dtype=float)
            if values.shape != (n,) or np.isnan(values).any():
                raise ValueError(
                    f"{name} must hold one number for each of {n} looks, got {values.tolist()}"
                )
            values.flags.writeable = False
            object.__setattr__(self, name, values)
        for name in ("alpha", "power", "drift", "relative_information"):
            object.__setattr__(self, name, number(name, getattr(self, name)))
        _check_increasing("information_fractions", self.information_fractions)
        above = np.flatnonzero(self.futility_bounds[:-1] >= self.efficacy_bounds[:-1])
        if self.futility_bounds[-1] > self.efficacy_bounds[-1]:
            above = np.append(above, n - 1)
        if above.size:
            k = int(above[0])
            raise ValueError(
                f"futility bound {self.futility_bounds[k]:g} is not below the efficacy bound "
                f"{self.efficacy_bounds[k]:g} at look {k + 1}"
            )

    # -- error, power, sample size ---------------------------------------------------------------

    @property
    def n_looks(self) -> int:
        """Number of looks, the final analysis included."""
        return len(self.information_fractions)

    @property
    def has_futility(self) -> bool:
        """Whether any interim look can stop for futility."""
        return bool(np.isfinite(self.futility_bounds[:-1]).any())

    @cached_property
    def alpha_spent(self) -> FloatArray:
        """(n_looks,) cumulative type I error at each look, as guaranteed by the design.

        Non-binding futility is ignored here, since it may be overruled.
        """
        return np.cumsum(self._exits(0.0, futility=self.binding).rejection)

    @cached_property
    def beta_spent(self) -> FloatArray:
        """(n_looks,) cumulative probability of stopping for futility under the alternative.

        The last look adds the probability of ending there without rejection.
        """
        exits = self._exits(self.drift)
        spent = np.cumsum(exits.futility)
        spent[-1] = 1.0 - power_of(exits)
        return spent

    @property
    def fixed_drift(self) -> float:
        """Drift that a fixed design needs for the same alpha, sides and power."""
        return float(ndtri(self.power) - ndtri(self.alpha / self.sided))

    @property
    def inflation_factor(self) -> float:
        """Maximum sample size over that of the fixed design of the same power."""
        return (self.drift / self.fixed_drift) ** 2

    @cached_property
    def expected_sample_size(self) -> FloatArray:
        """(3,) mean sample size over the fixed one under H0, the midpoint, and H1."""
        return np.array([self.average_sample_size(x * self.drift) for x in (0.0, 0.5, 1.0)])

    def average_sample_size(self, drift: float) -> float:
        """Mean sample size over that of the fixed design, for a drift at full information."""
        stop = self.stage_probabilities(drift).stop
        return float(stop @ self.information_fractions) * self.inflation_factor

    def stage_probabilities(self, drift: float) -> StageProbabilities:
        """Probability of each decision at each look for a drift; futility bounds are obeyed."""
        return self._exits(number("drift", drift))

    def power_at(self, drift: float) -> float:
        """Probability of rejecting in favour of the treatment, for a drift.

        Two-sided designs reject in the other direction too: see `stage_probabilities`.
        """
        return power_of(self.stage_probabilities(drift))

    def _exits(self, drift: float, futility: bool = True) -> StageProbabilities:
        bounds = self.futility_bounds if futility else np.full(self.n_looks, -np.inf)
        return exit_probabilities(
            self.information_fractions, self.efficacy_bounds, bounds, drift, self.sided
        )

    # -- during the trial ------------------------------------------------------------------------

    def conditional_power(
        self, look: int, z: float, theta: Theta = "trend", futility: bool | None = None
    ) -> float:
        """Probability of rejecting (upwards) at a later look, given Z at `look` (1 is the first).

        theta: "trend" (z / sqrt(t)), "null", "design", or a drift at full information.
        futility: whether later futility bounds are obeyed; default: if they are binding.
        """
        from trial_sim.sequential_inference import conditional_power

        return conditional_power(self, look, z, theta, futility)

    def predictive_power(
        self,
        look: int,
        z: float,
        prior: tuple[float, float] | None = None,
        futility: bool | None = None,
    ) -> float:
        """Conditional power averaged over the posterior of the drift, given Z at look `look`.

        prior: (mean, sd) of a normal prior on the drift; None for a flat prior.
        """
        from trial_sim.sequential_inference import predictive_power

        return predictive_power(self, look, z, prior, futility)

    def inference(
        self, look: int, z: float, level: float = 0.95, information: float = 1.0
    ) -> SequentialEstimate:
        """Stagewise p-value, median-unbiased estimate and confidence interval at the stop.

        information: full statistical information of the effect scale wanted; 1 leaves drifts.
        """
        from trial_sim.sequential_inference import estimate

        return estimate(self, look, z, level, information)

    def stagewise_p_value(self, look: int, z: float) -> float:
        """One-sided p-value at a stop, by the stagewise ordering."""
        from trial_sim.sequential_inference import stagewise_p_value

        return float(stagewise_p_value(self, look, [z])[0])

    def median_unbiased_estimate(self, look: int, z: float, information: float = 1.0) -> float:
        """Median-unbiased estimate of the effect at a stop, by the stagewise ordering."""
        return self.inference(look, z, information=information).estimate

    def confidence_interval(
        self, look: int, z: float, level: float = 0.95, information: float = 1.0
    ) -> tuple[float, float]:
        """Two-sided confidence interval at a stop, by the stagewise ordering."""
        found = self.inference(look, z, level, information)
        return found.lower, found.upper

    def repeated_confidence_interval(
        self, look: int, z: float, information: float = 1.0
    ) -> tuple[float, float]:
        """Interval valid at every look, stopped or not (Jennison & Turnbull 1989)."""
        from trial_sim.sequential_inference import repeated_interval

        return repeated_interval(self, look, z, information)

    def repeated_p_value(self, look: int, z: float) -> float:
        """Smallest alpha at which this design would reject at `look`: valid at every look."""
        from trial_sim.sequential_inference import repeated_p_value

        return repeated_p_value(self, look, z)

    def update(self, actual_information: Sequence[float], final: bool = False) -> GroupSequential:
        """The design with information as it really was at the looks held so far.

        actual_information: fractions of the *planned* full information at the looks held, in
            order; above 1 for an overrun.
        final: the last of them is the final analysis; it then spends all of alpha that is left.
            Otherwise the planned looks that lie later stay as they are.

        Spending designs keep their function, at the actual fraction (or, where spending time was
        given apart, at the planned spending time of that look). Other families keep the alpha that
        the plan spends by a given fraction, joined by straight lines. The alternative keeps its
        effect: `drift` grows with the square root of the information.
        """
        actual = _fractions("actual_information", actual_information, ends_at_one=False)
        planned = self.information_fractions
        # The looks held stand for the first looks of the plan; the final analysis always comes.
        later = planned[min(len(actual), self.n_looks - 1) :]
        later = planned[:0] if final else later[later > actual[-1] + 1e-6]
        information = np.concatenate([actual, later])
        top = float(information[-1])
        clock = np.minimum(information, 1.0)
        clock[-1] = 1.0
        efficacy_clock, futility_clock = clock, clock
        if not np.array_equal(self.spending_fractions, planned):
            efficacy_clock = self._planned_clock(self.spending_fractions, len(actual), len(clock))
        if not np.array_equal(self.futility_spending_fractions, planned):
            futility_clock = self._planned_clock(
                self.futility_spending_fractions, len(actual), len(clock)
            )
        drift = self.drift * float(np.sqrt(top))
        rule = self.efficacy
        if rule.kind != "spending":
            shares = np.minimum(self.alpha_spent / self.alpha_spent[-1], 1.0)
            rule = BoundaryRule("user_spending", tuple(zip(planned.tolist(), shares.tolist())))
        futility_rule = self.futility
        if futility_rule is not None and futility_rule.kind != "spending":
            shares = np.minimum(self.beta_spent / self.beta_spent[-1], 1.0)
            futility_rule = BoundaryRule(
                "user_spending", tuple(zip(planned.tolist(), shares.tolist()))
            )
        fractions = information / top
        alone = efficacy_alone(rule, fractions, efficacy_clock, self.alpha, self.sided)
        bounds = np.full(len(fractions), -np.inf)
        if futility_rule is not None:
            problem = FutilityProblem(
                rule,
                futility_rule,
                fractions,
                efficacy_clock,
                futility_clock,
                self.alpha,
                1.0 - self.power,
                self.sided,
                self.binding,
            )
            alone, bounds = problem.efficacy_for(drift, alone)
            bounds = bounds.copy()
            bounds[-1] = alone[-1]
        return GroupSequential(
            fractions,
            alone,
            bounds,
            self.alpha,
            self.power,
            self.sided,
            self.binding,
            rule,
            futility_rule,
            efficacy_clock,
            futility_clock,
            drift,
            self.relative_information * top,
        )

    def _planned_clock(self, clock: FloatArray, held: int, wanted: int) -> FloatArray:
        kept = np.append(clock[:held], clock[len(clock) - (wanted - held) :])
        kept[-1] = 1.0
        return kept

    # -- shown and stored ------------------------------------------------------------------------

    def table(
        self, events: float | None = None, allocation: float = 1.0, n: float | None = None
    ) -> pd.DataFrame:
        """The boundaries as a table, one row a look.

        events: number of events at full information: adds events and hazard ratios at the bounds
            (below 1 favours the treatment), by Schoenfeld's variance.
        allocation: treatment patients per control patient, for the hazard ratios.
        n: number of patients at full information: adds patients at each look.
        """
        import pandas as pd

        fractions = self.information_fractions
        columns: dict[str, Any] = {
            "look": np.arange(1, self.n_looks + 1),
            "information_fraction": fractions,
            "efficacy_z": self.efficacy_bounds,
            "efficacy_p": ndtr(-self.efficacy_bounds) * self.sided,
            "alpha_spent": self.alpha_spent,
            "power": np.cumsum(self._exits(self.drift).upper),
        }
        if self.futility is not None:
            columns["futility_z"] = self.futility_bounds
            scale = 1.0 if self.sided == 1 else 2.0
            columns["futility_p"] = np.minimum(ndtr(-self.futility_bounds) * scale, 1.0)
            columns["beta_spent"] = self.beta_spent
        if n is not None:
            columns["patients"] = n * fractions
        if events is not None:
            if not (np.isfinite(events) and events > 0):
                raise ValueError(f"events must be above 0, got {events}")
            if not allocation > 0:
                raise ValueError(f"allocation must be above 0, got {allocation}")
            columns["events"] = events * fractions
            se = (1.0 + allocation) / np.sqrt(allocation * events * fractions)
            columns["efficacy_hazard_ratio"] = np.exp(-self.efficacy_bounds * se)
            if self.futility is not None:
                columns["futility_hazard_ratio"] = np.exp(-self.futility_bounds * se)
        return pd.DataFrame(columns).set_index("look")

    def __repr__(self) -> str:
        side = "one" if self.sided == 1 else "two"
        lines = [
            f"GroupSequential: {self.n_looks} looks, {side}-sided alpha {self.alpha:g}, "
            f"power {self.power:g}",
            f"  efficacy {_rule_text(self.efficacy)}, futility "
            + (
                "none"
                if self.futility is None
                else f"{_rule_text(self.futility)} ({'' if self.binding else 'non-'}binding)"
            ),
            "  look  information  efficacy Z   futility Z   alpha spent",
        ]
        rows = zip(
            self.information_fractions,
            self.efficacy_bounds,
            self.futility_bounds,
            self.alpha_spent,
        )
        for k, (t, b, a, spent) in enumerate(rows, start=1):
            floor = f"{a:10.4f}" if np.isfinite(a) else f"{'-':>10}"
            lines.append(f"  {k:4d}  {t:11.4f}  {b:10.4f}   {floor}   {spent:11.6f}")
        expected = ", ".join(f"{x:.4f}" for x in self.expected_sample_size)
        lines.append(f"  maximum / fixed sample size {self.inflation_factor:.4f}")
        lines.append(f"  expected / fixed under H0, midpoint, H1: {expected}")
        return "\n".join(lines)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GroupSequential):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(json.dumps(self.to_dict(), sort_keys=True))

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, names and lists, as JSON and YAML can hold; `from_dict` reads it back."""
        times = self.spending_fractions.tolist()
        plain: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, np.ndarray):
                value = [x if np.isfinite(x) else None for x in value.tolist()]
            elif isinstance(value, BoundaryRule):
                value = value.tabulated(times).to_plain()
            plain[item.name] = value
        return plain

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> GroupSequential:
        """A design from `to_dict`, or from the arguments of `group_sequential` alone.

        Raises ValueError for an unknown key, naming the nearest known one.
        """
        known = [item.name for item in fields(cls)]
        for key in plain:
            if key not in known:
                raise ValueError(f"unknown key {key!r} of a design: {nearest(key, known)}")
        if "efficacy_bounds" not in plain or "drift" not in plain:
            given = {k: v for k, v in plain.items() if k in _ARGUMENTS}
            left = sorted(set(plain) - set(given))
            if left:
                raise ValueError(f"keys {left} need efficacy_bounds and drift beside them")
            return group_sequential(**given)
        missing = [
            item.name
            for item in fields(cls)
            if item.name not in plain and item.name != "relative_information"
        ]
        if missing:
            raise ValueError(f"a design with bounds needs the keys {missing} too")
        values = dict(plain)
        values["efficacy_bounds"] = [np.inf if x is None else x for x in plain["efficacy_bounds"]]
        values["futility_bounds"] = [-np.inf if x is None else x for x in plain["futility_bounds"]]
        values["efficacy"] = parse_rule(plain["efficacy"])
        if plain["futility"] is not None:
            values["futility"] = parse_rule(plain["futility"], "futility")
        return cls(**values)

    def to_json(self, path: str | Path | None = None) -> str:
        """The design as JSON text, also written to `path` when given."""
        text = json.dumps(self.to_dict(), indent=1)
        if path is not None:
            Path(path).write_text(text + "\n")
        return text

    @classmethod
    def from_json(cls, source: str | Path) -> GroupSequential:
        """A design from JSON text or a path to it."""
        return cls.from_dict(json.loads(_text(source)))

    def to_yaml(self, path: str | Path | None = None) -> str:
        """The design as YAML text, also written to `path` when given."""
        import yaml

        text = str(yaml.safe_dump(self.to_dict(), sort_keys=False, default_flow_style=None))
        if path is not None:
            Path(path).write_text(text)
        return text

    @classmethod
    def from_yaml(cls, source: str | Path) -> GroupSequential:
        """A design from YAML text or a path to it."""
        import yaml

        return cls.from_dict(yaml.safe_load(_text(source)))


_ARGUMENTS = (
    "information_fractions",
    "alpha",
    "power",
    "sided",
    "efficacy",
    "futility",
    "binding",
    "spending_fractions",
    "futility_spending_fractions",
)


def group_sequential(
    information_fractions: Sequence[float] | ArrayLike = (1 / 3, 2 / 3, 1.0),
    alpha: float = 0.025,
    power: float = 0.9,
    sided: int = 1,
    efficacy: Any = "obrien_fleming",
    futility: Any = None,
    binding: bool = False,
    spending_fractions: Sequence[float] | None = None,
    futility_spending_fractions: Sequence[float] | None = None,
) -> GroupSequential:
    """A group-sequential design with exact boundaries.

    information_fractions: 1 to 50 increasing numbers that end at 1.
    alpha: overall type I error (both sides together when sided is 2).
    power: power of the design alternative, which sets drift, inflation and futility.
    sided: 1, or 2 for symmetric boundaries.
    efficacy, futility: "obrien_fleming", "pocock", ("wang_tsiatis", delta),
        "lan_demets_obrien_fleming", "lan_demets_pocock", ("hwang_shih_decani", gamma),
        ("kim_demets", rho), ("user_spending", callable or (time, share) pairs), or a list of
        z-values (None at a look without one); efficacy also ("haybittle_peto", 3.0). Futility
        spends type II error; as a Wang-Tsiatis family it is Pampallona & Tsiatis's (1994).
    binding: whether futility must be obeyed; if so it lowers the efficacy bounds.
    spending_fractions, futility_spending_fractions: clock of the spending functions when it is
        not information, e.g. calendar time over planned duration.

    With custom efficacy bounds alpha is what they spend, whatever was passed.
    Raises ValueError or TypeError, in one sentence, for anything that makes no design.

    >>> gs = group_sequential((0.5, 1), efficacy="lan_demets_obrien_fleming")
    >>> gs.efficacy_bounds.round(4).tolist()
    [2.9626, 1.9686]
    """
    information = _fractions("information_fractions", information_fractions)
    if sided not in (1, 2) or isinstance(sided, bool):
        raise ValueError(f"sided must be 1 or 2, got {sided!r}")
    if not isinstance(binding, (bool, np.bool_)):
        raise TypeError(f"binding must be True or False, got {binding!r}")
    alpha = between("alpha", alpha, 0.0, 0.5 * sided)
    power = between("power", power, 0.0, 1.0)
    if power <= alpha:
        raise ValueError(f"power must be above alpha, got power {power} and alpha {alpha}")
    n = len(information)
    spending = information
    if spending_fractions is not None:
        spending = _fractions("spending_fractions", spending_fractions, n)
    futility_spending = spending
    if futility_spending_fractions is not None:
        futility_spending = _fractions(
            "futility_spending_fractions", futility_spending_fractions, n
        )
    rule = parse_rule(efficacy, "efficacy")
    futility_rule = None if futility is None else parse_rule(futility, "futility")
    if rule.kind == "custom" and len(rule.parameter) != n:
        raise ValueError(f"custom efficacy needs {n} bounds, one a look, got {len(rule.parameter)}")
    if futility_rule is not None and futility_rule.kind == "haybittle_peto":
        raise ValueError("futility cannot be 'haybittle_peto': it is a family of efficacy bounds")

    bounds = np.full(n, -np.inf)
    known = None
    if futility_rule is not None and futility_rule.kind == "custom":
        if len(futility_rule.parameter) not in (n - 1, n):
            raise ValueError(
                f"custom futility needs {n - 1} or {n} bounds, got {len(futility_rule.parameter)}"
            )
        bounds[:-1] = futility_rule.parameter[: n - 1]
        known = bounds if binding else None
    alone = efficacy_alone(rule, information, spending, alpha, sided, known)
    if rule.kind == "custom":
        reached = error_of(
            exit_probabilities(
                information,
                alone,
                np.full(n, -np.inf) if known is None else known,
                0.0,
                sided,
            )
        )
        alpha = between("alpha spent by the custom efficacy bounds", reached, 0.0, 0.5 * sided)
    fixed = float(ndtri(power) - ndtri(alpha / sided))
    if futility_rule is not None and futility_rule.kind != "custom" and n > 1:
        problem = FutilityProblem(
            rule,
            futility_rule,
            information,
            spending,
            futility_spending,
            alpha,
            1.0 - power,
            sided,
            bool(binding),
        )
        alone, bounds, drift = solve_with_futility(problem, alone, 1.04 * fixed)
    else:
        if futility_rule is not None:
            _check_below(bounds, alone)
            bounds[-1] = alone[-1]
        drift = drift_for_power(information, alone, bounds, power, sided, 1.02 * fixed)
    return GroupSequential(
        information,
        alone,
        bounds,
        alpha,
        power,
        int(sided),
        bool(binding),
        rule,
        futility_rule,
        spending,
        futility_spending,
        drift,
    )


def _check_below(futility: FloatArray, efficacy: FloatArray) -> None:
    above = np.flatnonzero(futility[:-1] >= efficacy[:-1])
    if above.size:
        k = int(above[0])
        raise ValueError(
            f"futility bound {futility[k]:g} is not below the efficacy bound {efficacy[k]:g} "
            f"at look {k + 1}"
        )


def _check_increasing(name: str, values: FloatArray) -> None:
    if values[0] <= 0 or (np.diff(values) <= 0).any():
        raise ValueError(f"{name} must increase from above 0, got {values.tolist()}")


def _fractions(
    name: str, values: Any, n_looks: int | None = None, ends_at_one: bool = True
) -> FloatArray:
    try:
        fractions = np.array(values, dtype=float)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a sequence of numbers, got {values!r}") from None
    if fractions.ndim != 1 or not 1 <= len(fractions) <= MAX_LOOKS:
        raise ValueError(f"{name} must hold 1 to {MAX_LOOKS} numbers, got {values!r}")
    if not np.isfinite(fractions).all():
        raise ValueError(f"{name} must be finite, got {fractions.tolist()}")
    if n_looks is not None and len(fractions) != n_looks:
        raise ValueError(f"{name} must hold {n_looks} numbers, one a look, got {len(fractions)}")
    _check_increasing(name, fractions)
    if (np.diff(fractions) < 1e-6 * fractions[-1]).any():
        raise ValueError(f"{name} must be at least 1e-6 apart, got {fractions.tolist()}")
    if ends_at_one:
        if abs(fractions[-1] - 1.0) > 1e-9:
            raise ValueError(f"{name} must end at 1, got {fractions.tolist()}")
        fractions[-1] = 1.0
    return fractions


def _rule_text(rule: BoundaryRule) -> str:
    if rule.parameter is None or isinstance(rule.parameter, tuple) or callable(rule.parameter):
        return rule.name
    return f"{rule.name}({rule.parameter:g})"


def _text(source: str | Path) -> str:
    if isinstance(source, Path) or not ("\n" in source or source.lstrip().startswith("{")):
        return Path(source).read_text()
    return source


class _CallableModule(ModuleType):
    """`trial_sim.group_sequential` names both this module and its function.

    Whichever of the two the package holds after imports in any order, calling it designs a trial.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> GroupSequential:
        return group_sequential(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableModule
