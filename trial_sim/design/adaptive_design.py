"""An adaptive design: a design with milestones, and the rules by which the trial changes."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import ndtri

from trial_sim.adaptive.combination_tests import FisherDesign, fisher_design
from trial_sim.adaptive.rules import (
    AddArm,
    Arm,
    ClosedTest,
    Comparison,
    Quantity,
    Resize,
    Restrict,
    Stop,
)
from trial_sim.adaptive.sequential_graph import read_graph
from trial_sim.base.arguments import nearest, one_of
from trial_sim.base.records import Record
from trial_sim.design.adaptive_checks import check_adaptive
from trial_sim.design.design import Design
from trial_sim.design.milestones import (
    COUNTED,
    Milestone,
    MilestoneLooks,
    NotSimulated,
    bound_at,
    records_of,
    succeeds_by_rules,
)
from trial_sim.design.stops_by_z import as_plain_design, merged_looks
from trial_sim.sequential.design import GroupSequential

__all__ = ["AdaptiveDesign"]

#: Kind of outcome → the test by which rules look at it unless another is named.
_USUAL_TEST = {
    "time_to_event": "logrank",
    "competing_risks": "logrank",
    "binary": "chi_square",
    "continuous": "t_test",
    "ordinal": "wilcoxon",
    "count": "negative_binomial",
}
_OF_ENDPOINT = ("test", "readout", "better", "boundaries", "at")


def _with_bounds(given: Any) -> Any:
    """How an endpoint is tested, with boundaries of plain values made to what they are."""
    if not isinstance(given, Mapping) or given.get("boundaries") is None:
        return given
    bounds = given["boundaries"]
    if isinstance(bounds, Mapping):
        bounds = GroupSequential.from_dict({k: v for k, v in bounds.items() if k != "type"})
    if not isinstance(bounds, GroupSequential) or bounds.sided != 1:
        raise ValueError(
            f"boundaries of an endpoint must be a one-sided group_sequential, got {bounds!r}"
        )
    return {**given, "boundaries": bounds}


@dataclass(frozen=True)
class AdaptiveDesign(Record):
    """A trial with milestones: a design, and the rules by which it changes while it runs.

    Where all rules are stops by z, ``simulate`` gives the bytes of the equal :class:`Design` of
    looks and boundaries; otherwise an ``AdaptiveResult``.

    Attributes:
        design: arms, patients, accrual, test and all else. Its looks are replaced by the
            milestones. Its boundaries are those of the closed test, at milestones without a rule
            ``Rule(Quantity("z") >= bound, Stop("efficacy"))``; without any of both there is one
            test of level ``alpha``, at the last milestone.
        milestones: in order; the last ends the trial.
        closed_test: how the error is held; needed by every adaptation that shows the treatment's
            effect other than a stop.
        later_arms: arms that ``AddArm`` may open, or that open at a month, as :class:`Arm`.
        populations: name → {factor: level, or several}, for rules; a level's own name is one, too.
        controls: of an arm that opens later: "concurrent" (patients of the control who came while
            it was open) or "all".
        endpoints: name → how rules and milestones look at another endpoint of the same patients:
            ``{"response": {"test": "chi_square", "readout": 2, "better": "higher"}}``, each as in a
            design. What is not given: the usual test of its kind of outcome, known at once, higher
            is better. An endpoint that only rules name needs no entry. With ``"boundaries"`` (a
            ``group_sequential``) it is a hypothesis of its own for the graph of the closed test,
            looked at at the milestones ``"at"``, by name: as many as the boundaries have looks;
            not named, the last ones.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EventLooks([60, 120]),
        ...     boundaries=ts.group_sequential((0.5, 1)),
        ... )
        >>> adaptive = ts.AdaptiveDesign(design, ts.milestones_of(design))
        >>> adaptive.as_design() == design
        True
        >>> [rule.in_words for rule in adaptive.milestones[1].rules]
        ["if z >= 1.97743: Stop(reason='efficacy')"]
        >>> ts.AdaptiveDesign.from_yaml(adaptive.to_yaml()) == adaptive, adaptive.needs_engine
        (True, False)
        >>> grows = ts.Rule(ts.Quantity("conditional_power") < 0.8, ts.Resize(n=300))
        >>> larger = ts.AdaptiveDesign(
        ...     design,
        ...     [
        ...         ts.Milestone("interim", ts.EventLooks([60]), grows),
        ...         ts.Milestone("final", ts.EventLooks([120])),
        ...     ],
        ...     ts.ClosedTest(),
        ... )
        >>> larger.needs_engine, larger.most_patients, larger.alpha
        (True, 300, 0.025)
        >>> round(larger.final_bound, 3), larger.controls
        (1.977, 'concurrent')
        >>> larger.fractions.tolist(), larger.efficacy_bounds.round(3).tolist()
        ([0.5, 1.0], [2.797, 1.977])
        >>> larger.arms, larger.added_arms, larger.tested_populations, larger.hypotheses
        ({'control': 1, 'treatment': 1}, (), (None,), (('treatment', None),))
        >>> larger.whole_design.n_looks, larger.fisher.critical_values.round(4).tolist()
        (2, [0.0158, 0.0022])
        >>> early = larger.replace(endpoints={"response": {"test": "chi_square", "readout": 2}})
        >>> early.design_of("response", "binary").readout
        2
        >>> early.hypothesis_names, early.tested_endpoints
        (('treatment',), ())
        >>> by_marker = design.replace(strata={"marker": {"+": 0.4, "-": 0.6}})
        >>> larger.replace(design=by_marker).members("+")
        {'marker': (0,)}
        >>> ts.simulate(larger, ts.PiecewiseExponential(12, hazard_ratio=0.7), 50).n_trials
        50
    """

    design: Design
    milestones: Any
    closed_test: ClosedTest | None = None
    later_arms: Any = ()
    populations: Mapping[str, Any] = field(default_factory=dict)
    controls: str = "concurrent"
    endpoints: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The fields; ``endpoints`` only where some are given."""
        plain = super().to_dict()
        if not self.endpoints:
            del plain["endpoints"]
        return plain

    @classmethod
    def _read_field(cls, name: str, value: Any) -> Any:
        if name in ("populations", "endpoints"):
            return value
        kinds = {
            "design": "Design",
            "milestones": "Milestone",
            "closed_test": "ClosedTest",
            "later_arms": "Arm",
        }
        return records_of(kinds[name], value) if name in kinds else super()._read_field(name, value)

    def __post_init__(self) -> None:
        if not isinstance(self.design, Design):
            raise TypeError(f"design must be a Design, got {self.design!r}")
        given = self.milestones
        if not isinstance(given, Milestone) and not isinstance(given, Iterable):
            raise TypeError(f"milestones must be a list of Milestone, got {given!r}")
        milestones = (given,) if isinstance(given, Milestone) else tuple(given)
        if not milestones or not all(isinstance(one, Milestone) for one in milestones):
            raise ValueError("milestones must be one Milestone or more, the last ends the trial")
        names = [one.name for one in milestones]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"two milestones have the name {twice[0]!r}")
        object.__setattr__(self, "milestones", milestones)
        later = tuple(self.later_arms)
        if not all(isinstance(arm, Arm) for arm in later):
            raise TypeError(f"later_arms must be Arm, got {self.later_arms!r}")
        object.__setattr__(self, "later_arms", later)
        if self.closed_test is not None and not isinstance(self.closed_test, ClosedTest):
            raise TypeError(f"closed_test must be a ClosedTest, got {self.closed_test!r}")
        one_of("controls", self.controls, ("concurrent", "all"))
        for arm in later:
            if arm.name in self.design.arms:
                raise ValueError(f"the later arm {arm.name!r} is an arm of the design already")
        for name in self.populations:
            self.members(name)
        if not isinstance(self.endpoints, Mapping):
            raise TypeError(f"endpoints must be name → how they are tested, got {self.endpoints!r}")
        object.__setattr__(
            self, "endpoints", {k: _with_bounds(v) for k, v in self.endpoints.items()}
        )
        for name in self.endpoints:
            self.design_of(name)
        check_adaptive(self)

    def members(self, population: str) -> dict[str, tuple[int, ...]]:
        """The levels, as codes, that a patient of a population has: factor → codes.

        Raises:
            ValueError: if neither ``populations`` nor the strata have it.
        """
        strata = self.design.strata
        if population in self.populations:
            given = self.populations[population]
            if not isinstance(given, Mapping) or not given:
                raise ValueError(
                    f"population {population!r} must be {{factor: level}}, got {given!r}"
                )
        else:
            having = [factor for factor, levels in strata.items() if population in levels]
            if len(having) != 1:
                known = [
                    *self.populations,
                    *(name for levels in strata.values() for name in levels),
                ]
                many = f": the strata {having} have it" if having else nearest(population, known)
                raise ValueError(f"there is no population {population!r}{many}")
            given = {having[0]: population}
        found = {}
        for factor, wanted in given.items():
            if factor not in strata:
                raise ValueError(
                    f"population {population!r}: the design has no stratum {factor!r}"
                    f"{nearest(factor, strata)}"
                )
            levels = list(strata[factor])
            names = [wanted] if isinstance(wanted, str) else list(wanted)
            for name in names:
                if name not in levels:
                    raise ValueError(
                        f"population {population!r}: stratum {factor!r} has no level {name!r}"
                        f"{nearest(name, levels)}"
                    )
            found[factor] = tuple(levels.index(name) for name in names)
        return found

    def design_of(self, endpoint: str, kind: str | None = None) -> Design:
        """The design with which another endpoint is looked at.

        kind: of its outcomes; None where the scenario is not known yet.

        Raises:
            ValueError: if ``endpoints`` says what no design takes.
        """
        given = self.endpoints.get(endpoint, {})
        if not isinstance(given, Mapping):
            raise TypeError(
                f"endpoint {endpoint!r} must be such as {{'test': 'chi_square'}}, got {given!r}"
            )
        for name in given:
            if name not in _OF_ENDPOINT:
                raise ValueError(
                    f"endpoint {endpoint!r} takes no {name!r}{nearest(name, _OF_ENDPOINT)}"
                )
        tested = {k: v for k, v in given.items() if k not in ("boundaries", "at")}
        changes = {"test": _USUAL_TEST.get(kind or "", "logrank"), "readout": 0.0, "better": None}
        plain = {"endpoint": None, "stratified": False, "adjust": (), "margin": None}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return self.whole_design.replace(**(changes | tested | plain))
        except (TypeError, ValueError) as error:
            raise ValueError(f"endpoint {endpoint!r}: {error}") from None

    @property
    def most_patients(self) -> int:
        """Patients at most, after every rule that may add some."""
        sizes = [
            int(rule.action.n)
            for milestone in self.milestones
            for rule in milestone.rules
            if isinstance(rule.action, Resize) and rule.action.n is not None
        ]
        return max([self.design.n_patients, *sizes])

    @property
    def alpha(self) -> float:
        """One-sided level of the whole trial."""
        bounds = self.design.boundaries
        if isinstance(bounds, GroupSequential):
            return float(bounds.alpha)
        return float(self.design.alpha)

    @cached_property
    def fractions(self) -> np.ndarray:
        """Planned information at each milestone, as a share of the last, (n_milestones,)."""
        n = len(self.milestones)
        test, bounds = self.closed_test, self.design.boundaries
        if test is not None and test.weights is not None:
            squares = np.square(np.asarray(test.weights, dtype=float))
            return np.cumsum(squares) / squares.sum()
        if bounds is not None:
            given = np.atleast_1d(np.asarray(bounds.information_fractions, dtype=float))
            if len(given) == n:
                return given / given[-1]
        counts = [
            float(getattr(one.when, COUNTED[type(one.when)])[0])
            for one in self.milestones
            if type(one.when) in COUNTED
        ]
        if len(counts) == n and all(b > a for a, b in itertools.pairwise(counts)):
            return np.array(counts) / counts[-1]
        return (np.arange(n) + 1.0) / n

    @cached_property
    def efficacy_bounds(self) -> np.ndarray:
        """Bounds of the combined z at the milestones, (n_milestones,); inf where there is none."""
        n = len(self.milestones)
        ruled = np.array([bound_at(one) for one in self.milestones])
        planned = self.design.boundaries
        if planned is not None:
            given = np.atleast_1d(np.asarray(planned.efficacy_bounds, dtype=float)).copy()
        else:
            given = np.full(n, np.inf)
        if np.isfinite(ruled[:-1]).any() or (planned is not None and np.isfinite(ruled).any()):
            given[:-1] = np.inf  # rules say where there are bounds
        if planned is None and not np.isfinite(ruled[-1]) and succeeds_by_rules(self.milestones):
            pass
        elif planned is None and not np.isfinite(ruled[-1]):
            if np.isfinite(ruled).any():
                raise ValueError(
                    f"milestone {self.milestones[-1].name!r}, the last, has no bound, while "
                    "earlier ones have: give it Rule(Quantity('z') >= bound, Stop())"
                )
            given[-1] = float(-ndtri(self.design.alpha))
        return np.where(np.isfinite(ruled), ruled, given)

    @property
    def final_bound(self) -> float:
        """Bound of z at the last milestone that conditional power aims at; that of a test of level
        alpha where success is declared by other rules."""
        bound = float(self.efficacy_bounds[-1])
        return bound if np.isfinite(bound) else -float(ndtri(self.alpha))

    @cached_property
    def fisher(self) -> FisherDesign:
        """Fisher's design, if the stages are so combined."""
        return fisher_design(len(self.milestones), self.alpha)

    @property
    def added_arms(self) -> tuple[str, ...]:
        """Arms that a rule may open."""
        return tuple(
            rule.action.arm
            for milestone in self.milestones
            for rule in milestone.rules
            if isinstance(rule.action, AddArm)
        )

    @property
    def arms(self) -> dict[str, float]:
        """Arm → allocation while it is open, control first, later ones last."""
        return {**self.design.arms, **{arm.name: arm.share for arm in self.later_arms}}

    @cached_property
    def tested_populations(self) -> tuple[str | None, ...]:
        """Populations in which the treatment is tested: all patients (None), and those that
        ``Restrict`` names."""
        named = [
            rule.action.population
            for milestone in self.milestones
            for rule in milestone.rules
            if isinstance(rule.action, Restrict)
        ]
        return (None, *dict.fromkeys(named))

    @cached_property
    def hypotheses(self) -> tuple[tuple[str, str | None], ...]:
        """(arm, population or None) of each hypothesis that the arm is no better than control."""
        arms = list(self.arms)[1:]
        return tuple((arm, population) for population in self.tested_populations for arm in arms)

    @cached_property
    def whole_design(self) -> Design:
        """A design with all arms, and the milestones as its looks."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.design.replace(
                arms=self.arms,
                looks=MilestoneLooks(tuple(one.when for one in self.milestones)),
                boundaries=None,
                multiplicity="unadjusted" if len(self.arms) > 2 else self.design.multiplicity,
                max_information=None,
            )

    @cached_property
    def tested_endpoints(self) -> tuple[str, ...]:
        """Other endpoints that are hypotheses of their own: those with boundaries."""
        return tuple(name for name, given in self.endpoints.items() if "boundaries" in given)

    @cached_property
    def hypothesis_names(self) -> tuple[str, ...]:
        """Names of the hypotheses, those of :attr:`hypotheses` first, then of the tested endpoints.

        The arm, and the population if it is not all patients; with endpoints the endpoint, and the
        arm before it if there are several.
        """
        names = [
            arm if population is None else f"{arm} in {population}"
            for arm, population in self.hypotheses
        ]
        if not self.tested_endpoints:
            return tuple(names)
        arms = list(self.arms)[1:]
        first = self.design.endpoint

        def called(arm: str, endpoint: str) -> str:
            return endpoint if len(arms) == 1 else f"{arm}, {endpoint}"

        if first is not None:
            names = [called(arm, first) for arm in arms]
        return (*names, *(called(arm, one) for one in self.tested_endpoints for arm in arms))

    @cached_property
    def graph(self) -> tuple[np.ndarray, np.ndarray]:
        """Shares of alpha (m,) and of what is passed on (m, m), in the order of the names."""
        assert self.closed_test is not None
        names = list(self.hypothesis_names)
        shares = self.closed_test.shares or dict.fromkeys(names, 1 / len(names))
        return read_graph(names, shares, self.closed_test.graph or {}, ("shares", "graph"))

    def looks_of(self, endpoint: str) -> dict[int, int]:
        """Milestone → look of a tested endpoint's boundaries, both by number from 0."""
        given, names = self.endpoints[endpoint], [one.name for one in self.milestones]
        n_looks = given["boundaries"].n_looks
        at = given.get("at") or names[-n_looks:]
        for name in at:
            if name not in names:
                raise ValueError(
                    f"endpoint {endpoint!r} names the milestone {name!r}{nearest(name, names)}"
                )
        found = sorted(names.index(name) for name in at)
        if len(found) != n_looks or len(set(found)) != n_looks:
            raise ValueError(
                f"endpoint {endpoint!r}: boundaries have {n_looks} look(s) for {len(found)} "
                "milestone(s)"
            )
        return {k: look for look, k in enumerate(found)}

    @property
    def needs_engine(self) -> bool:
        """Whether there is more to simulate than looks and boundaries."""
        if self.closed_test is not None or self.later_arms:
            return True
        if any((m.arms, m.population, m.endpoint) != (None, None, None) for m in self.milestones):
            return True
        try:
            merged_looks(self.milestones)
        except NotSimulated:  # milestones of several kinds are no looks of one rule
            return True
        for milestone in self.milestones:
            for rule in milestone.rules:
                asked = rule.when
                if not isinstance(rule.action, Stop):
                    return True
                if not isinstance(asked, Comparison) or asked.quantity != Quantity("z"):
                    return True
        return False

    def as_design(self) -> Design:
        """The equal design of looks and boundaries.

        Raises:
            NotSimulated: naming the milestone and what of it has none.
        """
        return as_plain_design(self.design, self.milestones)
