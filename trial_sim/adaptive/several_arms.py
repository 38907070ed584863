"""Bounds of several arms and one control over several stages (Magirr, Jaki & Whitehead 2012).

At each stage an arm whose z is at or below the futility bound is dropped, and the trial ends when
one reaches the efficacy bound. Every chance is computed, not simulated
(``trial_sim.adaptive.arm_paths``).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri

from trial_sim.adaptive.arm_paths import (
    MultiArmChances,
    chances_of,
    error_of_best,
    none_rejected,
)
from trial_sim.base.arguments import between, number, one_of, positive
from trial_sim.base.records import as_whole
from trial_sim.numerics.roots import solve_between
from trial_sim.sequential.integration import FloatArray
from trial_sim.sequential.plain_bounds import Bounds

__all__ = ["MultiArmBounds", "MultiArmChances", "multi_arm_bounds", "step_down_bounds"]

SHAPES = ("triangular", "pocock", "obrien_fleming")
SELECTIONS = ("all_promising", "best")
MOST_STAGES = 5


@dataclass(frozen=True)
class MultiArmBounds(Bounds):
    """Bounds of z that hold the error of several arms over several stages, as ``Design`` takes.

    Attributes:
        sizes: (n_stages, n_arms + 1) cumulative patients, or their ratio, the control first. Of
            times, events of each arm stand for patients, and an effect is the log hazard ratio.
        alpha: one-sided error of the family.

    Examples:
        >>> import trial_sim as ts
        >>> bounds = ts.multi_arm_bounds(3, alpha=0.05, control=2)
        >>> bounds.n_arms, [round(b, 4) for b in bounds.efficacy_bounds]
        (3, [2.3597, 2.2248])
        >>> round(sum(bounds.chances().any_rejected), 6)
        0.05
        >>> ts.Design(
        ...     arms={"control": 2, "low": 1, "middle": 1, "high": 1},
        ...     n_patients=380,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EnrolmentLooks([190, 380]),
        ...     test="t_test",
        ...     boundaries=bounds,
        ... ).multiplicity
        'boundaries'
    """

    sizes: Any = ()
    alpha: float = 0.025

    def __post_init__(self) -> None:
        super().__post_init__()
        n = _checked_sizes(self.sizes)
        if len(n) != len(self.efficacy_bounds):
            raise ValueError(
                f"sizes must have a row for each of {len(self.efficacy_bounds)} stages, got "
                f"{len(n)}"
            )
        object.__setattr__(self, "sizes", tuple(tuple(row) for row in n.tolist()))
        between("alpha", self.alpha, 0.0, 0.5)

    @property
    def n_arms(self) -> int:
        """Arms that are compared with the control."""
        return len(self.sizes[0]) - 1

    def chances(self, effects: Any = 0.0, first_stage: float | None = None) -> MultiArmChances:
        """What happens under given effects.

        Args:
            effects: of each arm, in standard deviations (one number: of each).
            first_stage: patients of the first arm in the first stage; None: ``sizes`` are patients.

        Examples:
            >>> import trial_sim as ts
            >>> bounds = ts.multi_arm_bounds(3, alpha=0.05, control=2)
            >>> good = bounds.chances([0.545, 0.178, 0.178], first_stage=38)
            >>> round(good.selected[0], 3), round(good.expected_n, 1)
            (0.902, 235.1)
        """
        n = np.array(self.sizes)
        if first_stage is not None:
            n = n * (positive("first_stage", first_stage) / n[0, 1])
        theta = np.broadcast_to(np.asarray(effects, dtype=float), (self.n_arms,))
        if not np.isfinite(theta).all():
            raise ValueError(f"effects must be numbers, got {theta.tolist()}")
        return chances_of(n, np.array(self.efficacy_bounds), np.array(self.futility_bounds), theta)

    def sample_size(
        self, effect: float, other: float = 0.0, power: float = 0.9
    ) -> tuple[tuple[int, ...], ...]:
        """Fewest cumulative patients, by stage and arm, with which a good arm is selected.

        Args:
            effect: of one arm, in standard deviations. other: the largest effect of the others
                that is of no interest (the least favourable configuration). For P(better) = p,
                give ``sqrt(2)`` times the normal quantile of p.
            power: chance that the good arm is rejected and has the largest z.

        Examples:
            >>> import trial_sim as ts
            >>> bounds = ts.multi_arm_bounds(3, (1,), alpha=0.05)
            >>> bounds.sample_size(0.545, 0.178)
            ((79, 79, 79, 79),)
        """
        power = between("power", power, 0.0, 1.0)
        if not number("effect", effect) > number("other", other):
            raise ValueError(f"effect must be above other, got {effect!r} and {other!r}")
        ratio = np.array(self.sizes) / self.sizes[0][1]
        theta = np.full(self.n_arms, float(other))
        theta[0] = effect
        high, low = np.array(self.efficacy_bounds), np.array(self.futility_bounds)

        def patients(first: int) -> np.ndarray:
            return np.ceil(first * ratio - 1e-9)

        def reached(first: int) -> float:
            return chances_of(patients(first), high, low, theta, only_first=True).selected[0]

        # the normal quantile of the power is nearly a line in the square root of the size
        slope = effect / np.sqrt(1.0 / ratio[-1, 1] + 1.0 / ratio[-1, 0])
        guess = max(2, round(((ndtri(power) + high[-1]) / slope) ** 2))
        too_few, enough = 1, 1 << 22
        while enough - too_few > 1:
            found = reached(guess)
            too_few, enough = (too_few, guess) if found >= power else (guess, enough)
            move = (ndtri(power) - ndtri(min(found, 1 - 1e-12))) / slope
            step = (np.sqrt(guess) + move) ** 2
            away = np.ceil(step) - (found >= power) if abs(step - guess) < 1 else round(step)
            guess = int(np.clip(away, too_few + 1, max(enough - 1, too_few + 1)))
        if enough == 1 << 22:
            raise ValueError(f"no size selects the arm of effect {effect:g} with that power")
        return tuple(tuple(int(v) for v in row) for row in patients(enough))

    def update(self, sizes: Any, held: int, efficacy: Any = "obrien_fleming") -> MultiArmBounds:
        """Bounds for the sizes that came: those of the stages held stay, later ones are solved.

        Args:
            sizes: (n_stages, n_arms + 1) cumulative patients, seen and still planned.
            held: stages held. efficacy: shape of the later efficacy bounds, if several are left.

        Examples:
            >>> import trial_sim as ts
            >>> planned = ts.multi_arm_bounds(4, alpha=0.05, efficacy="obrien_fleming", futility=0)
            >>> seen = planned.update([[10, 10, 18, 10, 13], [28] * 5], held=1)
            >>> [round(b, 3) for b in seen.efficacy_bounds]
            [3.068, 2.167]
        """
        held = as_whole(held, "held", 1)
        if held >= len(self.sizes):
            raise ValueError(f"held must leave a stage of {len(self.sizes)}, got {held}")
        n = _checked_sizes(sizes)
        if n.shape != (len(self.sizes), self.n_arms + 1):
            raise ValueError(
                f"sizes must be {len(self.sizes)} stages by {self.n_arms + 1} arms, got {n.shape}"
            )
        fixed = (self.efficacy_bounds[:held], self.futility_bounds[:held])
        later = np.array(self.futility_bounds)
        return _solved(n, self.alpha, efficacy, later, fixed)


def multi_arm_bounds(
    n_arms: int,
    information_fractions: Sequence[float] = (0.5, 1),
    alpha: float = 0.025,
    efficacy: Any = "triangular",
    futility: Any = "triangular",
    control: float = 1.0,
    sizes: Any = None,
) -> MultiArmBounds:
    """Bounds for several arms and a common control over several stages, error of the family held.

    The generalised Dunnett test of Magirr, Jaki & Whitehead (2012): efficacy bounds solved with the
    futility bounds obeyed (they are binding), for one-sided ``alpha`` of any false rejection.

    Args:
        n_arms: arms beside the control.
        efficacy: shape of the efficacy bounds: "triangular", "pocock", "obrien_fleming", a number
            (that bound at each stage but the last), or one number a stage in whose ratio they are.
        futility: "triangular", "pocock", "obrien_fleming" (the last two: the efficacy bound with
            the sign turned), a number (that bound at each stage but the last), or None for none.
        control: patients of the control for one of each other arm.
        sizes: (n_stages, n_arms + 1) cumulative patients, the control first, in place of
            ``information_fractions`` and ``control`` where arms differ.

    Examples:
        >>> import trial_sim as ts
        >>> bounds = ts.multi_arm_bounds(3, (1 / 3, 2 / 3, 1), 0.05, efficacy=[3, 2, 1], futility=0)
        >>> [round(b, 3) for b in bounds.efficacy_bounds]
        [6.127, 4.085, 2.042]
    """
    n_arms = as_whole(n_arms, "n_arms", 1)
    alpha = between("alpha", alpha, 0.0, 0.5)
    if sizes is None:
        t = np.asarray(information_fractions, dtype=float)
        if t.ndim != 1 or not len(t) or t[0] <= 0 or (np.diff(t) <= 0).any():
            raise ValueError(
                f"information_fractions must be above 0 and grow, got {information_fractions!r}"
            )
        n = np.column_stack([t * positive("control", control), *[t] * n_arms]) / t[0]
    else:
        n = _checked_sizes(sizes)
        if n.shape[1] != n_arms + 1:
            raise ValueError(f"sizes must have {n_arms + 1} columns, got {n.shape[1]}")
    lower = _futility_of(futility, n)
    return _solved(n, alpha, efficacy, lower, ((), ()))


def step_down_bounds(
    sizes: Any,
    alpha_spent: Sequence[float],
    futility: Any = 0.0,
    selection: str = "all_promising",
) -> dict[tuple[int, ...], tuple[float, ...]]:
    """Efficacy bounds of every intersection of hypotheses, for a closed test over stages.

    An arm's hypothesis is rejected when the largest z of each intersection that holds it reaches
    the bound of that intersection (Magirr, Stallard & Jaki 2014).

    Args:
        sizes: (n_stages, n_arms + 1) cumulative patients, the control first.
        alpha_spent: (n_stages,) cumulative error of every intersection.
        futility: bound at and below which an arm is dropped, one number or one a stage but the
            last; None for none.
        selection: which arms go on: "all_promising", all above the futility bound, or "best" (two
            stages): of them the one with the largest z alone.

    Returns:
        arms of the intersection (from 1) → bounds by stage.

    Examples:
        >>> import trial_sim as ts
        >>> found = ts.step_down_bounds([[76, 38, 38], [152, 76, 76]], [0.026, 0.05], 0.7865)
        >>> {arms: [round(b, 2) for b in bounds] for arms, bounds in found.items()}
        {(1,): [1.94, 1.71], (2,): [1.94, 1.71], (1, 2): [2.21, 2.05]}
    """
    n = _checked_sizes(sizes)
    one_of("selection", selection, SELECTIONS)
    n_stages, n_arms = n.shape[0], n.shape[1] - 1
    if n_arms > 8:
        raise ValueError(f"step_down_bounds takes up to 8 arms, got {n_arms}")
    spent = np.asarray(alpha_spent, dtype=float)
    if spent.shape != (n_stages,) or (np.diff(spent, prepend=0.0) <= 0).any() or spent[-1] >= 0.5:
        raise ValueError(
            f"alpha_spent must be {n_stages} numbers that grow, below 0.5, got {alpha_spent!r}"
        )
    if selection == "best" and n_stages != 2:
        raise ValueError(f"selection 'best' is for two stages, got {n_stages}")
    lower = np.full(n_stages, -np.inf)
    if futility is not None:
        lower[:-1] = futility
    found, known = {}, {}
    for size in range(1, n_arms + 1):
        for arms in itertools.combinations(range(1, n_arms + 1), size):
            columns = n[:, [0, *arms]]
            key = tuple(sorted(map(tuple, columns.T.tolist()[1:])))
            if key not in known:
                known[key] = _spending_bounds(columns, spent, lower, selection == "best")
            found[arms] = known[key]
    return found


def _spending_bounds(
    n: FloatArray, spent: FloatArray, lower: FloatArray, best: bool
) -> tuple[float, ...]:
    upper = np.full(len(n), np.inf)
    for k in range(len(n)):

        def gap(bound: float, k: int = k) -> float:
            high = np.append(upper[:k], bound)
            low = np.append(lower[:k], bound)
            if best and k == 1:
                return error_of_best(n, high, low) - spent[1]
            return 1.0 - none_rejected(n[: k + 1], high, low) - spent[k]

        upper[k] = solve_between(gap, max(-3.0, lower[k] + 1e-6), 9.0, xtol=1e-11, what="a bound")
    return tuple(upper.tolist())


def _checked_sizes(sizes: Any) -> FloatArray:
    n = np.asarray(sizes, dtype=float)
    if n.ndim != 2 or n.shape[1] < 2 or n.shape[0] < 1:
        raise ValueError(f"sizes must be stages by arms, the control first, got shape {n.shape}")
    if n.shape[0] > MOST_STAGES:
        raise ValueError(f"bounds of several arms take up to {MOST_STAGES} stages, got {len(n)}")
    if not np.isfinite(n).all() or (np.diff(n, axis=0, prepend=0.0) <= 0).any():
        raise ValueError(f"sizes must be cumulative, each stage above the one before, got {sizes}")
    return n


def _fractions(n: FloatArray) -> FloatArray:
    """Information of each stage as a share of the last, averaged over the arms."""
    information = 1.0 / (1.0 / n[:, 1:] + 1.0 / n[:, :1])
    return np.asarray((information / information[-1]).mean(axis=1))


def _shape(efficacy: Any, t: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(factor of the last bound, bound that does not depend on it) of each stage's efficacy."""
    none = np.zeros(len(t))
    if isinstance(efficacy, str):
        one_of("efficacy", efficacy, SHAPES)
        shapes = {
            "pocock": np.ones(len(t)),
            "obrien_fleming": np.sqrt(1.0 / t),
            "triangular": (1.0 + t) / (2.0 * np.sqrt(t)),
        }
        return shapes[efficacy], none
    if np.ndim(efficacy) == 0:
        fixed = np.full(len(t), number("efficacy", efficacy))
        fixed[-1] = 0.0
        return np.append(none[:-1], 1.0), fixed
    given = np.asarray(efficacy, dtype=float)
    if given.shape != t.shape or not (np.isfinite(given) & (given > 0)).all():
        raise ValueError(f"efficacy must be {len(t)} positive numbers, got {efficacy!r}")
    return given / given[-1], none


def _futility_of(futility: Any, n: FloatArray) -> Any:
    if isinstance(futility, str):
        return one_of("futility", futility, SHAPES)
    lower = np.full(len(n), -np.inf)
    if futility is not None:
        lower[:-1] = futility
    return lower


def _solved(
    n: FloatArray, alpha: float, efficacy: Any, futility: Any, held: tuple[Any, Any]
) -> MultiArmBounds:
    """Bounds of the family's error, those of the stages held as they were."""
    t = _fractions(n)
    factor, fixed = _shape(efficacy, t)
    done = len(held[0])

    def bounds(last: float) -> tuple[FloatArray, FloatArray]:
        upper = factor * last + fixed
        if isinstance(futility, str):
            lower = {
                "pocock": np.full(len(t), -last),
                "obrien_fleming": -last * np.sqrt(1.0 / t),
                "triangular": last * (3.0 * t - 1.0) / (2.0 * np.sqrt(t)),
            }[futility]
        else:
            lower = np.array(futility, dtype=float)
        upper[:done], lower[:done] = held
        lower[-1] = upper[-1]
        return upper, np.minimum(lower, upper)

    def gap(last: float) -> float:
        return 1.0 - none_rejected(n, *bounds(last)) - alpha

    floor = (
        0.1 if isinstance(futility, str) else max(0.1, float(np.max(futility[:-1], initial=0.1)))
    )
    try:
        last = solve_between(gap, floor, 9.0, xtol=1e-11, what="the bounds")
    except ValueError:
        raise ValueError(
            f"no efficacy bounds have an error of {alpha:g}: the stages held and the futility "
            "bounds leave none"
        ) from None
    upper, lower = bounds(last)
    if not isinstance(futility, str) and (np.asarray(futility)[:-1] > upper[:-1]).any():
        raise ValueError(
            f"futility bounds {np.asarray(futility)[:-1].tolist()} are above the efficacy bounds "
            f"{np.round(upper[:-1], 4).tolist()}"
        )
    return MultiArmBounds(
        upper.tolist(), lower.tolist(), t.tolist(), binding=True, sizes=n.tolist(), alpha=alpha
    )
