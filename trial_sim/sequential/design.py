"""`GroupSequential`: a design with its boundaries, and what they imply.

The clock is the information fraction; the effect is the `drift`, the mean of Z at full information
of this design (for a survival trial: -log(HR) * sqrt(events * r) / (1 + r) with allocation 1 : r).
Everything is computed by recursive numerical integration (`trial_sim.sequential.integration`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from trial_sim.base.arguments import (
    MAX_LOOKS,
    between,
    check_increasing,
    fractions_of,
    nearest,
    number,
)
from trial_sim.base.written import Written
from trial_sim.sequential.boundaries import (
    StageProbabilities,
    drift_for_power,
    efficacy_alone,
    error_of,
    exit_probabilities,
    power_of,
)
from trial_sim.sequential.display import boundary_table, design_figure, design_text
from trial_sim.sequential.futility import FutilityProblem, solve_with_futility
from trial_sim.sequential.integration import FloatArray
from trial_sim.sequential.monitoring import DuringTrial
from trial_sim.sequential.spending import BoundaryRule, parse_rule
from trial_sim.sequential.update import updated_design

if TYPE_CHECKING:
    import pandas as pd


__all__ = ["MAX_LOOKS", "GroupSequential", "group_sequential"]


ARGUMENTS = (
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


@dataclass(frozen=True, eq=False)
class GroupSequential(DuringTrial, Written):
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
    solved_drift: mean of Z at full information under the design alternative; None to have it
        solved from `power` when `drift` is first asked for.
    relative_information: full information of this design over that planned (1 until `update`).

    Examples:
        >>> import trial_sim as ts
        >>> gs = ts.group_sequential(
        ...     information_fractions=(0.5, 1),
        ...     alpha=0.025,
        ...     power=0.9,
        ...     efficacy="obrien_fleming",
        ... )
        >>> gs.efficacy_bounds.round(4).tolist()
        [2.7965, 1.9774]
        >>> round(gs.inflation_factor, 4), round(gs.conditional_power(1, 1.5), 3)
        (1.0071, 0.581)
        >>> gs.n_looks, gs.has_futility, gs.alpha_spent.round(4).tolist(), gs.beta_spent.tolist()
        (2, False, [0.0026, 0.025], [0.0, 0.10000000000000009])
        >>> round(gs.drift, 3), round(gs.fixed_drift, 3), round(gs.power_at(gs.drift), 3)
        (3.253, 3.242, 0.9)
        >>> gs.expected_sample_size.round(3).tolist(), round(gs.average_sample_size(gs.drift), 3)
        ([1.006, 0.982, 0.851], 0.851)
        >>> gs.stage_probabilities(gs.drift).rejection.round(3).tolist()
        [0.31, 0.59]
        >>> round(gs.predictive_power(1, 1.5), 3), round(gs.stagewise_p_value(1, 3.0), 5)
        (0.557, 0.00135)
        >>> round(gs.median_unbiased_estimate(1, 3.0), 2)
        4.24
        >>> [round(x, 2) for x in gs.confidence_interval(1, 3.0)]
        [1.47, 7.01]
        >>> round(gs.inference(1, 3.0).p_value, 5)
        0.00135
        >>> [round(x, 2) for x in gs.repeated_confidence_interval(1, 3.0)]
        [0.29, 8.2]
        >>> round(gs.repeated_p_value(1, 3.0), 4)
        0.0175
        >>> gs.update([0.55]).information_fractions.round(2).tolist()
        [0.55, 1.0]
        >>> gs.table(events=331)["events"].round(1).tolist()
        [165.5, 331.0]
        >>> ts.GroupSequential.from_dict(gs.to_dict()) == ts.GroupSequential.from_json(gs.to_json())
        True
        >>> ts.GroupSequential.from_yaml(gs.to_yaml()).n_looks
        2
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
    solved_drift: float | None = None
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
        for name in ("alpha", "power", "relative_information"):
            object.__setattr__(self, name, number(name, getattr(self, name)))
        if self.solved_drift is not None:
            object.__setattr__(self, "solved_drift", number("drift", self.solved_drift))
        check_increasing("information_fractions", self.information_fractions)
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

    @cached_property
    def drift(self) -> float:
        """Mean of Z at full information under the design alternative."""
        if self.solved_drift is not None:
            return self.solved_drift
        return drift_for_power(
            self.information_fractions,
            self.efficacy_bounds,
            self.futility_bounds,
            self.power,
            self.sided,
            1.02 * self.fixed_drift,
        )

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

    # -- changed, shown and stored -----------------------------------------------------------------

    def update(self, actual_information: Sequence[float], final: bool = False) -> GroupSequential:
        """The design with information as it really was at the looks held so far.

        actual_information: fractions of the *planned* full information at the looks held, in
            order; above 1 for an overrun.
        final: the last of them is the final analysis; it then spends all of alpha that is left.
            Otherwise the planned looks that lie later stay as they are.

        Spending designs keep their function, at the actual fraction (or, where spending time was
        given apart, at the planned spending time of that look). Bounds given as numbers, and
        Haybittle and Peto's, stay what they are at the looks held and planned (none at a look that
        was not planned); the last efficacy bound spends the alpha that they leave. The
        Wang-Tsiatis family keeps the alpha that the plan spends by a given fraction, joined by
        straight lines. The alternative keeps its effect: `drift` grows with the square root of the
        information.
        """
        return updated_design(self, actual_information, final)

    def table(
        self, events: float | None = None, allocation: float = 1.0, n: float | None = None
    ) -> pd.DataFrame:
        """The boundaries as a table, one row a look.

        events: number of events at full information: adds events and hazard ratios at the bounds
            (below 1 favours the treatment), by Schoenfeld's variance.
        allocation: treatment patients per control patient, for the hazard ratios.
        n: number of patients at full information: adds patients at each look.
        """
        return boundary_table(self, events, allocation, n)

    def plot(self, kind: str = "bounds") -> Any:
        """A figure of the design, which notebooks show and ``savefig`` writes.

        Args:
            kind: "bounds" (z at each look), "alpha" (error spent), "power" (power and expected size
                against the effect over the planned one) or "size" (power against the largest size
                over the planned one).

        Examples:
            >>> import trial_sim as ts
            >>> design = ts.group_sequential((0.5, 1), efficacy="obrien_fleming")
            >>> figure = design.plot("power")
            >>> figure.axes[0].get_xlabel()
            'effect over the planned one'
        """
        return design_figure(self, kind)

    def __repr__(self) -> str:
        return design_text(self)

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
        plain["drift"] = self.drift
        del plain["solved_drift"]
        return plain

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> GroupSequential:
        """A design from `to_dict`, or from the arguments of `group_sequential` alone.

        Raises ValueError for an unknown key, naming the nearest known one.
        """
        known = [*(item.name for item in fields(cls) if item.name != "solved_drift"), "drift"]
        for key in plain:
            if key not in known:
                raise ValueError(f"unknown key {key!r} of a design{nearest(key, known)}")
        if "efficacy_bounds" not in plain or "drift" not in plain:
            given = {k: v for k, v in plain.items() if k in ARGUMENTS}
            left = sorted(set(plain) - set(given))
            if left:
                raise ValueError(f"keys {left} need efficacy_bounds and drift beside them")

            return group_sequential(**given)
        missing = [name for name in known if name not in plain and name != "relative_information"]
        if missing:
            raise ValueError(f"a design with bounds needs the keys {missing} too")
        values = {key: value for key, value in plain.items() if key != "drift"}
        values["solved_drift"] = plain["drift"]
        values["efficacy_bounds"] = [np.inf if x is None else x for x in plain["efficacy_bounds"]]
        values["futility_bounds"] = [-np.inf if x is None else x for x in plain["futility_bounds"]]
        values["efficacy"] = parse_rule(plain["efficacy"])
        if plain["futility"] is not None:
            values["futility"] = parse_rule(plain["futility"], "futility")
        return cls(**values)


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
    information = fractions_of("information_fractions", information_fractions)
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
        spending = fractions_of("spending_fractions", spending_fractions, n)
    futility_spending = spending
    if futility_spending_fractions is not None:
        futility_spending = fractions_of(
            "futility_spending_fractions", futility_spending_fractions, n
        )
    rule = parse_rule(efficacy, "efficacy")
    futility_rule = None if futility is None else parse_rule(futility, "futility")
    for name, clock, chosen in (
        ("spending_fractions", spending_fractions, (rule, futility_rule)),
        ("futility_spending_fractions", futility_spending_fractions, (futility_rule,)),
    ):
        kinds = [one.kind for one in chosen if one is not None]
        differs = clock is not None and not np.allclose(clock, information)
        if differs and "spending" not in kinds:
            names = [one.name for one in chosen if one is not None]
            raise ValueError(
                f"{name} is the clock of a spending function, and {names or 'no futility'} has "
                "none: name a spending rule such as 'lan_demets_obrien_fleming', or leave it out"
            )
    if rule.kind == "custom" and len(rule.parameter) != n:
        raise ValueError(f"custom efficacy needs {n} bounds, one a look, got {len(rule.parameter)}")
    if futility_rule is not None and futility_rule.kind == "haybittle_peto":
        raise ValueError("futility cannot be 'haybittle_peto': it is a family of efficacy bounds")

    drift = None
    if futility_rule is not None and futility_rule.kind != "custom" and n > 1:
        if rule.kind == "custom":
            alpha = _alpha_of(information, np.array(rule.parameter), sided)
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
        alone, bounds, drift = solve_with_futility(problem)
    else:
        bounds = np.full(n, -np.inf)
        known = None
        if futility_rule is not None and futility_rule.kind == "custom":
            if len(futility_rule.parameter) not in (n - 1, n):
                raise ValueError(
                    f"custom futility needs {n - 1} or {n} bounds, got "
                    f"{len(futility_rule.parameter)}"
                )
            bounds[:-1] = futility_rule.parameter[: n - 1]
            known = bounds if binding else None
        alone = efficacy_alone(rule, information, spending, alpha, sided, known)
        if rule.kind == "custom":
            alpha = _alpha_of(information, alone, sided, known)
        if futility_rule is not None:
            _check_below(bounds, alone)
            bounds[-1] = alone[-1]
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


def _alpha_of(
    information: FloatArray, efficacy: FloatArray, sided: int, futility: FloatArray | None = None
) -> float:
    """Error that custom efficacy bounds spend, beside known binding futility or none."""
    none = np.full(len(information), -np.inf) if futility is None else futility
    reached = error_of(exit_probabilities(information, efficacy, none, 0.0, sided))
    return between("alpha spent by the custom efficacy bounds", reached, 0.0, 0.5 * sided)


def _check_below(futility: FloatArray, efficacy: FloatArray) -> None:
    above = np.flatnonzero(futility[:-1] >= efficacy[:-1])
    if above.size:
        k = int(above[0])
        raise ValueError(
            f"futility bound {futility[k]:g} is not below the efficacy bound {efficacy[k]:g} "
            f"at look {k + 1}"
        )
