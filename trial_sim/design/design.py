"""The declarative trial design: arms, patients, accrual, looks, boundaries, test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from math import gcd, lcm, prod
from typing import Any

import numpy as np

from trial_sim.base.arguments import nearest
from trial_sim.base.records import Record, as_number, as_whole, from_plain, to_plain
from trial_sim.design.accrual import Accrual, Dropout
from trial_sim.design.design_checks import check_error, check_strata
from trial_sim.design.look_rules import (
    CalendarLooks,
    EnrolmentLooks,
    EventLooks,
    FirstOf,
    FollowUpLooks,
    LastOf,
    Looks,
)
from trial_sim.design.randomization import (
    BiasedCoin,
    CompleteRandomization,
    Minimization,
    PermutedBlocks,
    RandomizationRule,
    ResponseAdaptive,
    code_type,
)
from trial_sim.design.tests import check_margin, check_options, check_test
from trial_sim.numerics.random_streams import Streams
from trial_sim.sequential.design import GroupSequential
from trial_sim.sequential.family_bounds import (
    STEPWISE,
    bounds_at_share,
    dunnett_bounds,
    family_error,
    in_words,
    spent_by_look,
    stepwise_bounds,
    with_efficacy,
)
from trial_sim.sequential.plain_bounds import Bounds, as_bounds

__all__ = [
    "Accrual",
    "BiasedCoin",
    "Bounds",
    "CalendarLooks",
    "CompleteRandomization",
    "Design",
    "Dropout",
    "EnrolmentLooks",
    "EventLooks",
    "FirstOf",
    "FollowUpLooks",
    "LastOf",
    "Minimization",
    "PermutedBlocks",
    "ResponseAdaptive",
]


@dataclass(frozen=True)
class Design(Record):
    """A whole trial, declared.

    Attributes:
        arms: arm → allocation, such as ``{"control": 1, "treatment": 2}``; the first is the control
            unless ``control`` names another.
        n_patients: patients to enrol.
        accrual, dropout: how they come and go. looks: when the data are looked at.
        boundaries: a ``group_sequential`` object, :class:`Bounds`, or None: one test of level
            ``alpha`` at the last look.
        test: a name of ``trial_sim.design.tests.TESTS``, or a tuple of name and parameters,
            such as ``("fleming_harrington", 0, 0.5)`` or
            ``("max_combo", [("fleming_harrington", 0, 0), ("fleming_harrington", 0, 1)])``.
        strata: factor → {level: prevalence}.
        strata_quota: among every so many consecutive patients each level of a factor has exactly
            its share, as where enrolment of a level closes once it is full; None: as chance brings
            them. The months of enrolment stay those of ``accrual``.
        stratified: whether the test is stratified by the strata: log-rank tests and Cox; RMST and
            survival at a month (differences of strata weighted by their patients); ``wilcoxon``
            (van Elteren); ``ancova``, ``negative_binomial`` and ``mmrm`` (a level for each
            stratum). ``cmh`` always is; other tests refuse.
        randomization: rule of allocation.
        alpha: one-sided level used when ``boundaries`` is None.
        follow_up: months after which a patient's follow-up ends; None for no end.
        max_duration: month at which the trial is analysed for the last time, come what may.
        readout: months from enrolment until a binary, continuous or count response is known.
        follow_futility: whether simulated sponsors obey futility bounds.
        adjust: covariates of the scenario, or strata, that the test adjusts for (``cox``,
            ``ancova``, ``negative_binomial``, ``mmrm``); other tests refuse.
        endpoint: which endpoint of a scenario with several; None for its first.
        better: ``"higher"`` or ``"lower"`` responses; by default higher ones, and lower counts.
            Ignored for times, where later is better.
        control: name of the control arm; None for the first.
        max_information: events (known responses, for endpoints that are not times) of a whole
            trial. If given, each trial's boundaries come from its own information at each look by
            the spending functions of ``boundaries``, and a look that reaches it is the last. None:
            the planned boundaries hold whatever the information.
        multiplicity: how the error is held where several arms are compared with the control:
            ``"dunnett"`` or ``"bonferroni"`` (one bound for all comparisons), ``"holm"`` or
            ``"closed"`` (step-down; the latter of Dunnett's tests), with ``alpha``, and the error
            that ``boundaries`` spend, for the whole family; or ``"unadjusted"``: for each
            comparison. None does as the last, and warns. Adjusted efficacy bounds ignore futility;
            futility bounds stay as planned. ``"boundaries"``: those of ``multi_arm_bounds`` hold
            it by themselves (what None means with them).
        margin: of non-inferiority: the ratio (hazards, rates; 1.3) or the difference (a positive
            number) by which treatment may be worse. Times are then tested by the Wald statistic of
            the Cox model; ``farrington_manning`` has its margin as a parameter.

    An arm that stops at an interim look, for efficacy or futility, takes no patient after the
    decision: the allocation of the others goes on in their ratio, starting afresh with them, until
    ``n_patients`` have come. Its patients are followed until the decision; later events of theirs
    count neither for the looks nor for the information. The control is kept while an arm is open.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EventLooks([60, 120]),
        ... )
        >>> design.arm_names, design.n_looks
        (('control', 'treatment'), 2)
        >>> design.quota.tolist(), design.lag, design.sided
        ([1, 1], 0.0, 1)
        >>> design.efficacy_bounds.round(3).tolist(), design.futility_bounds.tolist()
        ([inf, 1.96], [-inf, -inf])
        >>> design.test_name, design.test_parameters, design.n_strata
        ('logrank', (), 1)
        >>> three = ts.Design(
        ...     arms={"control": 1, "low": 1, "high": 1},
        ...     n_patients=300,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EventLooks([150]),
        ...     multiplicity="holm",
        ... )
        >>> round(three.unadjusted_error, 4), "Holm" in three.multiplicity_in_words
        (0.0454, True)
        >>> three.intersection_bounds.shape, three.boundaries_in_force is not None
        ((3, 1), True)
        >>> round(three.comparison_alpha, 4)
        0.025
        >>> ts.Design.from_dict(design.to_dict()) == design
        True
        >>> from trial_sim.numerics.random_streams import Streams
        >>> by_sex = design.replace(strata={"sex": {"f": 0.5, "m": 0.5}})
        >>> by_sex.draw_strata(Streams.span(0, 0, 3))["sex"].shape
        (3, 200)
    """

    arms: Mapping[str, float]
    n_patients: int
    accrual: Accrual
    looks: Looks
    dropout: Dropout = field(default_factory=Dropout)
    boundaries: Any = None
    test: Any = "logrank"
    strata: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    stratified: bool = False
    randomization: RandomizationRule = field(default_factory=PermutedBlocks)
    alpha: float = 0.025
    follow_up: float | None = None
    max_duration: float | None = None
    readout: float = 0.0
    follow_futility: bool = True
    adjust: Any = ()
    endpoint: str | None = None
    better: str | None = None
    control: str | None = None
    max_information: float | None = None
    multiplicity: str | None = None
    margin: float | None = None
    strata_quota: int | None = None

    def __post_init__(self) -> None:
        self._check_arms()
        object.__setattr__(self, "n_patients", as_whole(self.n_patients, "n_patients", 2))
        for name, kind in (("accrual", Accrual), ("dropout", Dropout), ("looks", Looks)):
            if not isinstance(getattr(self, name), kind):
                raise TypeError(
                    f"{name} must be of kind {kind.__name__}, got {getattr(self, name)!r}"
                )
        if not isinstance(self.randomization, RandomizationRule):
            raise TypeError(
                f"randomization must be a rule such as PermutedBlocks(), got {self.randomization!r}"
            )
        self.accrual.validate_for(self.n_patients)
        self.dropout.hazards(list(self.arms))
        check_strata(self)
        if not 0 < as_number(self.alpha, "alpha") < 0.5:
            raise ValueError(f"alpha must be between 0 and 0.5 (one-sided), got {self.alpha!r}")
        for name in ("follow_up", "max_duration"):
            value = getattr(self, name)
            if value is not None and not as_number(value, name) > 0:
                raise ValueError(f"{name} must be positive months or None, got {value!r}")
        if not 0 <= as_number(self.readout, "readout") < np.inf:
            raise ValueError(f"readout must be 0 or more months, got {self.readout!r}")
        if self.better not in (None, "higher", "lower"):
            raise ValueError(f"better must be 'higher' or 'lower', got {self.better!r}")
        object.__setattr__(self, "test", check_test(self.test))
        adjust = (self.adjust,) if isinstance(self.adjust, str) else tuple(self.adjust)
        object.__setattr__(self, "adjust", adjust)
        check_options(self.test_name, self.stratified, adjust)
        object.__setattr__(self, "margin", check_margin(self.test_name, self.margin))
        if self.boundaries is not None:
            if not hasattr(self.boundaries, "efficacy_bounds"):
                raise ValueError(
                    "boundaries must come from group_sequential or be Bounds, "
                    f"got {self.boundaries!r}"
                )
            n_bounds = len(np.atleast_1d(self.boundaries.efficacy_bounds))
            if n_bounds != self.looks.n_looks:
                raise ValueError(
                    f"boundaries have {n_bounds} look(s) but looks have {self.looks.n_looks}"
                )
        check_error(self)

    @property
    def comparison_alpha(self) -> float:
        """Error that one comparison would spend by the boundaries, both sides together."""
        return float(spent_by_look(self.boundaries, self.n_looks, float(self.alpha))[1][-1])

    @property
    def unadjusted_error(self) -> float:
        """About the error of any false rejection if every comparison had all of alpha.

        That of a single look; several looks change the third digit.
        """
        return family_error(self.comparison_alpha, self._ratios, self.sided)

    @property
    def _ratios(self) -> tuple[float, ...]:
        """Patients of each other arm for one of the control."""
        control, *others = self.arms.values()
        return tuple(float(other) / float(control) for other in others)

    @property
    def multiplicity_in_words(self) -> str:
        """How the error of several comparisons is held; empty for two arms."""
        if len(self.arms) == 2:
            return ""
        words = in_words(self.multiplicity)
        if self.multiplicity in (None, "unadjusted"):
            words += (
                f" ({self.comparison_alpha:.3g}; of any false rejection about "
                f"{self.unadjusted_error:.3g})"
            )
        return words

    @property
    def boundaries_in_force(self) -> Any:
        """The boundaries with the efficacy bounds that :attr:`multiplicity` asks for.

        Of the step-down methods, those of the first step, with all hypotheses.
        """
        if len(self.arms) == 2 or self.multiplicity in (None, "unadjusted", "boundaries"):
            return self.boundaries
        n, m, alpha = self.n_looks, len(self.arms) - 1, float(self.alpha)
        if self.multiplicity in ("bonferroni", "holm"):
            efficacy = bounds_at_share(self.boundaries, n, alpha, 1.0 / m)
            level = self.comparison_alpha / m
        else:
            information, spent = spent_by_look(self.boundaries, n, alpha)
            efficacy = dunnett_bounds(information, spent, self._ratios, self.sided)
            level = self.comparison_alpha
        return with_efficacy(self.boundaries, efficacy, level)

    @property
    def intersection_bounds(self) -> np.ndarray | None:
        """Bounds of all intersections of hypotheses, (2**m - 1, n_looks); None unless step-down."""
        if len(self.arms) == 2 or self.multiplicity not in STEPWISE:
            return None
        return stepwise_bounds(
            self.multiplicity, self.boundaries, self.n_looks, float(self.alpha), self.sided,
            self._ratios,
        )  # fmt: skip

    def _check_arms(self) -> None:
        if not isinstance(self.arms, Mapping):
            raise TypeError(
                'arms must be a mapping of arm to allocation, such as {"control": 1, "treatment": '
                f"1}}, got {self.arms!r}"
            )
        arms = dict(self.arms)
        if len(arms) < 2:
            raise ValueError(f"arms must name at least two arms, got {list(arms)}")
        for arm, share in arms.items():
            if not 0 < as_number(share, f"allocation of arm {arm!r}") < np.inf:
                raise ValueError(f"allocation of arm {arm!r} must be positive, got {share!r}")
        if self.control is not None:
            if self.control not in arms:
                raise ValueError(
                    f"control names an unknown arm {self.control!r}{nearest(self.control, arms)}"
                )
            arms = {self.control: arms.pop(self.control), **arms}
        object.__setattr__(self, "arms", arms)

    def __str__(self) -> str:
        """A summary of a few lines; ``repr`` has every field."""
        arms = " : ".join(f"{share:g} {arm}" for arm, share in self.arms.items())
        test = self.test if isinstance(self.test, str) else f"{self.test[0]} {self.test[1:]}"
        months = float(self.accrual.expected_time(float(self.n_patients)))
        lines = [
            f"Design: {self.n_patients} patients, {arms}, {test}"
            + (", stratified" if self.stratified else ""),
            f"  accrual {self.accrual.rate} a month, complete about month {months:.1f}; dropout "
            f"{self.dropout.rate} a month",
            f"  {type(self.randomization).__name__}; {self.looks}",
        ]
        uppers, lowers = self.efficacy_bounds, self.futility_bounds
        for k in range(self.n_looks):
            upper, lower = float(uppers[k]), float(lowers[k])
            futility = f", futility at z <= {lower:.4f}" if np.isfinite(lower) else ""
            efficacy = f"reject at z >= {upper:.4f}" if np.isfinite(upper) else "no rejection"
            lines.append(f"  look {k + 1}: {efficacy}{futility}")
        if len(self.arms) > 2:
            lines.append(f"  several comparisons: {self.multiplicity_in_words}")
        return "\n".join(lines)

    @property
    def arm_names(self) -> tuple[str, ...]:
        """Names of the arms, control first."""
        return tuple(self.arms)

    @property
    def n_looks(self) -> int:
        """Number of planned looks."""
        return self.looks.n_looks

    @property
    def n_strata(self) -> int:
        """Number of combinations of the factors' levels; 1 without strata."""
        return prod(len(levels) for levels in self.strata.values())

    @property
    def quota(self) -> np.ndarray:
        """Allocation in the smallest whole numbers, (n_arms,) int64."""
        return whole_quota(tuple(self.arms.values()))

    @property
    def lag(self) -> float:
        """Months from a data cut to its decision."""
        return float(getattr(self.looks, "lag", 0.0))

    @property
    def sided(self) -> int:
        """1 or 2, as the boundaries say."""
        return 1 if self.boundaries is None else int(self.boundaries.sided)

    @property
    def efficacy_bounds(self) -> np.ndarray:
        """Rejection bounds on the z scale, (n_looks,)."""
        boundaries = self.boundaries_in_force
        if boundaries is not None:
            return np.atleast_1d(np.asarray(boundaries.efficacy_bounds, dtype=float))
        from scipy.special import ndtri

        bounds = np.full(self.n_looks, np.inf)
        bounds[-1] = -ndtri(self.alpha)
        return bounds

    @property
    def futility_bounds(self) -> np.ndarray:
        """Futility bounds on the z scale, (n_looks,); -inf where there is none."""
        if self.boundaries is None or not self.follow_futility:
            return np.full(self.n_looks, -np.inf)
        in_force = self.boundaries_in_force.futility_bounds
        bounds = np.atleast_1d(np.asarray(in_force, dtype=float)).copy()
        bounds[np.isnan(bounds)] = -np.inf
        return bounds

    @property
    def test_name(self) -> str:
        """Name of the test, without parameters."""
        return self.test if isinstance(self.test, str) else self.test[0]

    @property
    def test_parameters(self) -> tuple[Any, ...]:
        """Parameters of the test."""
        return () if isinstance(self.test, str) else tuple(self.test[1:])

    def draw_strata(self, streams: Streams, n_patients: int | None = None) -> dict[str, np.ndarray]:
        """Levels of each stratification factor, (n_trials, n_patients) codes from 0.

        int8, or int32 of a factor with more than 128 levels.

        n_patients: other than the design's, of a trial that grows.
        """
        n = self.n_patients if n_patients is None else n_patients
        block = self.strata_quota
        whole = n if block is None else -(-n // block) * block
        drawn = {}
        for factor, levels in self.strata.items():
            edges = np.cumsum(np.array(list(levels.values()), dtype=float))[:-1]
            u = streams.uniform(f"stratum {factor}", whole)
            if block is not None:  # the shares of a block's own order, in place of chance's
                blocks = u.reshape(len(u), -1, block)
                u = ((blocks.argsort(axis=2).argsort(axis=2) + 0.5) / block).reshape(u.shape)[:, :n]
            drawn[factor] = np.searchsorted(edges, u, side="right").astype(code_type(len(levels)))
        return drawn

    def to_dict(self) -> dict[str, Any]:
        """The design as plain values; foreign boundaries are written as :class:`Bounds`."""
        plain = super().to_dict()
        for name in ("multiplicity", "strata_quota"):
            if plain[name] is None:
                del plain[name]
        bounds = self.boundaries
        if bounds is not None and not isinstance(bounds, Bounds):
            if isinstance(bounds, GroupSequential):
                plain["boundaries"] = {"type": "GroupSequential", **bounds.to_dict()}
            else:
                plain["boundaries"] = to_plain(as_bounds(bounds))
        return plain

    @classmethod
    def _read_field(cls, name: str, value: Any) -> Any:
        if name == "boundaries" and isinstance(value, Mapping):
            kind = value.get("type", "GroupSequential")
            if kind == "GroupSequential":
                return GroupSequential.from_dict({k: v for k, v in value.items() if k != "type"})
        if isinstance(value, Mapping) and "type" not in value:
            kind = {"accrual": "Accrual", "dropout": "Dropout"}.get(name)
            if kind is not None:
                value = {"type": kind, **value}
            if name == "looks":
                guess = {"events": "EventLooks", "months": "CalendarLooks"}
                found = [guess[k] for k in guess if k in value and "patients" not in value]
                if not found:
                    raise ValueError(
                        "looks must have events or months, or a type such as EnrolmentLooks, got "
                        f"{dict(value)}"
                    )
                value = {"type": found[0], **value}
        return from_plain(value)


def whole_quota(shares: tuple[float, ...]) -> np.ndarray:
    """Allocation shares in the smallest whole numbers, (n_arms,) int64."""
    return np.array(_smallest_whole(shares), dtype=np.int64)


@lru_cache(maxsize=256)
def _smallest_whole(shares: tuple[float, ...]) -> tuple[int, ...]:
    """Whole numbers, as small as can be, in the ratio of ``shares``."""
    fractions = [Fraction(float(share)).limit_denominator(1000) for share in shares]
    scale = lcm(*(f.denominator for f in fractions))
    whole = [int(f * scale) for f in fractions]
    return tuple(w // gcd(*whole) for w in whole)
