"""Which arm a patient gets: blocks, coins, minimisation.

Every rule turns one uniform per patient (two where it needs them) into arm codes; the loops over
trials and patients are compiled. ``quota`` is the whole-number allocation, such as (2, 1) for 2:1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trial_sim.base.arguments import nearest
from trial_sim.base.records import Record
from trial_sim.design.randomization_kernels import (
    adapt,
    biased_coin,
    blocks,
    complete,
    minimise,
    two_arm_blocks,
)
from trial_sim.numerics.buffers import empty
from trial_sim.numerics.random_streams import Streams


@dataclass(frozen=True)
class RandomizationRule(Record):
    """Base of the rules of allocation.

    A rule that looks at outcomes says ``needs_outcomes`` and has ``allocate_adaptively`` instead.

    Examples:
        >>> import numpy as np
        >>> import trial_sim as ts
        >>> from trial_sim.numerics.random_streams import Streams
        >>> rule = ts.PermutedBlocks(block_size=4)
        >>> codes, n_levels = np.zeros((0, 3, 8), np.int8), np.zeros(0, np.int64)
        >>> streams = Streams.span(0, 0, 3)
        >>> rule.allocate(streams, np.array([1, 1]), codes, n_levels).sum(axis=1).tolist()
        [4, 4, 4]
        >>> rule.needs_outcomes
        False
    """

    @property
    def needs_outcomes(self) -> bool:
        """Whether allocation depends on the responses of earlier patients."""
        return False

    def allocate_adaptively(
        self, patients: Any, outcomes: Any, design: Any, closed: np.ndarray | None = None
    ) -> np.ndarray:
        """Arm codes of a rule that looks at outcomes, (n_trials, n_patients) int8.

        Args:
            patients: a PatientBatch whose arms are not yet drawn. outcomes: the scenario.
            design: the design. closed: (n_trials, n_arms) month after which an arm takes nobody,
                inf while it is open; None where all are.
        """
        raise NotImplementedError

    def allocate(
        self, streams: Streams, quota: np.ndarray, codes: np.ndarray, n_levels: np.ndarray
    ) -> np.ndarray:
        """Arm codes, (n_trials, n_patients) int8.

        Args:
            streams: the random numbers of the batch.
            quota: (n_arms,) whole-number allocation.
            codes: (n_factors, n_trials, n_patients) integer levels of the stratification factors.
            n_levels: (n_factors,) number of levels of each factor.
        """
        raise NotImplementedError


def code_type(n_levels: int) -> Any:
    """The integer type of level codes: int8, or int32 where there are more than 128 levels."""
    return np.int8 if n_levels <= 128 else np.int32


def stacked_codes(factors: Mapping[str, np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Codes of all factors as one array, (n_factors, *shape), of a type that holds them all."""
    if not factors:
        return np.empty((0, *shape), np.int8)
    return np.stack([np.asarray(codes) for codes in factors.values()])


def joint_stratum(codes: np.ndarray, n_levels: np.ndarray) -> np.ndarray:
    """One stratum number per patient from the levels of all factors, (n_trials, n_patients)."""
    stratum = np.zeros(codes.shape[1:], np.int64)
    for levels, code in zip(n_levels, codes):
        stratum = stratum * levels + code
    return stratum


@dataclass(frozen=True)
class PermutedBlocks(RandomizationRule):
    """Permuted blocks, within strata when the design has strata.

    Attributes:
        block_size: patients per block, a multiple of the allocation's sum; twice it by default.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EventLooks([60, 120]),
        ...     randomization=ts.PermutedBlocks(block_size=4),
        ... )
        >>> outcomes = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.7)
        >>> ts.simulate(design, outcomes, n_trials=20, seed=1).n_trials
        20
    """

    block_size: int | None = None

    def __post_init__(self) -> None:
        if self.block_size is not None and (self.block_size % 1 != 0 or self.block_size < 2):
            raise ValueError(f"block_size must be a whole number above 1, got {self.block_size!r}")

    def allocate(
        self, streams: Streams, quota: np.ndarray, codes: np.ndarray, n_levels: np.ndarray
    ) -> np.ndarray:
        size = 2 * int(quota.sum()) if self.block_size is None else int(self.block_size)
        if size % quota.sum():
            raise ValueError(
                f"block_size {size} must be a multiple of {int(quota.sum())}, the sum of the "
                f"allocation {quota.tolist()}"
            )
        block = quota * (size // int(quota.sum()))
        u = streams.uniform("allocation", codes.shape[2])
        out = empty(u.shape, np.int8)
        if len(quota) == 2 and len(n_levels) == 0:
            two_arm_blocks(u, block, out)
        else:
            blocks(u, joint_stratum(codes, n_levels), block, int(np.prod(n_levels)), out)
        return out


@dataclass(frozen=True)
class CompleteRandomization(RandomizationRule):
    """An independent draw for each patient, with the allocation's shares.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EventLooks([60, 120]),
        ...     randomization=ts.CompleteRandomization(),
        ... )
        >>> outcomes = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.7)
        >>> ts.simulate(design, outcomes, n_trials=20, seed=1).n_trials
        20
    """

    def allocate(
        self, streams: Streams, quota: np.ndarray, codes: np.ndarray, n_levels: np.ndarray
    ) -> np.ndarray:
        u = streams.uniform("allocation", codes.shape[2])
        out = empty(u.shape, np.int8)
        complete(u, quota / quota.sum(), out)
        return out


@dataclass(frozen=True)
class BiasedCoin(RandomizationRule):
    """Efron's biased coin: the arm behind its quota is favoured, within strata if there are any.

    Attributes:
        probability: chance of an arm that is furthest behind.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EventLooks([60, 120]),
        ...     randomization=ts.BiasedCoin(probability=2 / 3),
        ... )
        >>> outcomes = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.7)
        >>> ts.simulate(design, outcomes, n_trials=20, seed=1).n_trials
        20
    """

    probability: float = 2 / 3

    def __post_init__(self) -> None:
        _check_probability(self.probability)

    def allocate(
        self, streams: Streams, quota: np.ndarray, codes: np.ndarray, n_levels: np.ndarray
    ) -> np.ndarray:
        u = streams.uniform("allocation", codes.shape[2])
        out = empty(u.shape, np.int8)
        stratum = joint_stratum(codes, n_levels)
        biased_coin(u, stratum, quota, int(np.prod(n_levels)), self.probability, out)
        return out


@dataclass(frozen=True)
class Minimization(RandomizationRule):
    """Pocock–Simon minimisation over the design's strata.

    Attributes:
        probability: chance of an arm that leaves the least imbalance.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EventLooks([60, 120]),
        ...     randomization=ts.Minimization(probability=0.8),
        ...     strata={"sex": {"f": 0.5, "m": 0.5}},
        ... )
        >>> outcomes = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.7)
        >>> ts.simulate(design, outcomes, n_trials=20, seed=1).n_trials
        20
    """

    probability: float = 0.8

    def __post_init__(self) -> None:
        _check_probability(self.probability)

    def allocate(
        self, streams: Streams, quota: np.ndarray, codes: np.ndarray, n_levels: np.ndarray
    ) -> np.ndarray:
        if len(n_levels) == 0:
            raise ValueError("minimisation needs strata in the design, got none")
        u = streams.uniform("allocation", codes.shape[2])
        out = empty(u.shape, np.int8)
        minimise(u, codes, n_levels, quota, self.probability, out)
        return out


@dataclass(frozen=True)
class ResponseAdaptive(RandomizationRule):
    """Allocation that follows the responses known so far; for binary endpoints.

    Attributes:
        rule: ``"neyman"`` (shares in proportion to √(p(1 − p)), for power) or ``"rsihr"``
            (√p: fewest expected failures for the power; Rosenberger and others 2001).
        burn_in: patients an arm allocated with equal chances first.
        least: smallest chance of any arm afterwards.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EnrolmentLooks([200]),
        ...     randomization=ts.ResponseAdaptive("rsihr", burn_in=10),
        ...     test="chi_square",
        ... )
        >>> outcomes = ts.BinaryResponse(0.3, 0.5)
        >>> ts.simulate(design, outcomes, n_trials=20, seed=1).n_trials
        20
        >>> from trial_sim.numerics.random_streams import Streams
        >>> from trial_sim.scenarios import PatientBatch
        >>> import numpy as np
        >>> rule = design.randomization
        >>> rule.needs_outcomes
        True
        >>> nobody = np.zeros((2, 200), np.int8)
        >>> streams, entry = Streams.span(0, 0, 2), np.zeros((2, 200))
        >>> batch = PatientBatch(streams, design.arm_names, nobody, entry)
        >>> rule.allocate_adaptively(batch, outcomes, design).shape
        (2, 200)
        >>> potential = np.zeros((2, 200, 2))
        >>> rule.go_on(design, streams, potential, entry, nobody, first=150)[:, :150].sum()
        np.int64(0)
    """

    rule: str = "rsihr"
    burn_in: int = 10
    least: float = 0.1

    def __post_init__(self) -> None:
        if self.rule not in ("neyman", "rsihr"):
            raise ValueError(f"rule {self.rule!r} is unknown{nearest(self.rule, _ADAPTIVE)}")
        if self.burn_in % 1 != 0 or self.burn_in < 1:
            raise ValueError(f"burn_in must be a whole number of at least 1, got {self.burn_in!r}")
        if not 0 <= self.least < 0.5:
            raise ValueError(f"least must be in [0, 0.5), got {self.least!r}")

    @property
    def needs_outcomes(self) -> bool:
        """True."""
        return True

    def allocate_adaptively(
        self, patients: Any, outcomes: Any, design: Any, closed: np.ndarray | None = None
    ) -> np.ndarray:
        """Arm codes; each patient's response under every arm comes from the same random numbers.

        Raises:
            ValueError: for endpoints that are not binary, or arms too many for ``least``.
        """
        if outcomes.kind != "binary":
            raise ValueError(
                f"response-adaptive allocation needs binary outcomes, got {outcomes.kind}"
            )
        n_arms = len(design.arm_names)
        if n_arms * self.least >= 1:
            raise ValueError(f"least {self.least:g} is too much for {n_arms} arms")
        under = []
        for code in range(n_arms):
            arm = np.full(patients.arm.shape, code, np.int8)
            under.append(outcomes.sample(replace(patients, arm=arm)).response)
        arm = np.zeros(patients.arm.shape, np.int8)
        return self.go_on(
            design, patients.streams, np.stack(under, axis=2), patients.enrolment, arm, 0, closed
        )

    def go_on(
        self,
        design: Any,
        streams: Any,
        potential: np.ndarray,
        enrolment: np.ndarray,
        arm: np.ndarray,
        first: int,
        closed: np.ndarray | None = None,
    ) -> np.ndarray:
        """Arm codes (n_trials, n_patients) int8 where the first patients have theirs already.

        Args:
            streams: random numbers. potential: (n_trials, n, n_arms) responses under each arm, NaN
                where one never comes. enrolment, arm: (n_trials, n). first: patients whose ``arm``
                stands. closed: as for :meth:`allocate_adaptively`.
        """
        good = potential if design.better != "lower" else 1.0 - potential
        u = streams.uniform("allocation", arm.shape[1])
        out = np.ascontiguousarray(arm, dtype=np.int8).copy()
        if closed is None:
            closed = np.full((len(u), potential.shape[2]), np.inf)
        adapt(
            u, np.ascontiguousarray(good), enrolment, design.readout, self.burn_in,
            _ADAPTIVE.index(self.rule), self.least, closed, first, out,
        )  # fmt: skip
        return out


_ADAPTIVE = ("neyman", "rsihr")


def _check_probability(value: Any) -> None:
    if not 0 < value <= 1:
        raise ValueError(f"probability must be in (0, 1], got {value!r}")
