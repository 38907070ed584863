"""Exact designs of binary responses that are looked at in steps, in one arm or in two.

The distribution of the responders among trials still running is carried from look to look, so that
every probability is a finite sum without approximation.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binom

from trial_sim.base.arguments import between, one_of
from trial_sim.base.records import Record, as_floats, as_whole
from trial_sim.sequential.integration import FloatArray

__all__ = ["BinomialSequence", "SequenceProbabilities", "TwoSampleBinomialSequence"]

_TESTS = ("pooled_z", "unpooled_z", "fisher")
_MOST_PATIENTS = 2_000


@dataclass(frozen=True)
class SequenceProbabilities(Record):
    """What an exact design does at a true rate: chances of each decision, and patients.

    rejection, futility: (n_looks,) chance of ending at each look with and without rejection.
    power: chance of rejecting at all (the type I error at a rate of the null hypothesis).
    early_futility: chance of stopping for futility before the last look.
    expected_n: mean number of patients, of all arms together.
    """

    rejection: tuple[float, ...]
    futility: tuple[float, ...]
    power: float
    early_futility: float
    expected_n: float

    def __post_init__(self) -> None:
        for name in ("rejection", "futility"):
            object.__setattr__(self, name, as_floats(getattr(self, name), name))


def _probabilities(rejected: Any, futile: Any, n: Any) -> SequenceProbabilities:
    reject, stop = np.array(rejected, dtype=float), np.array(futile, dtype=float)
    return SequenceProbabilities(
        tuple(reject.tolist()),
        tuple(stop.tolist()),
        float(reject.sum()),
        float(stop[:-1].sum()),
        float((reject + stop) @ np.asarray(n, dtype=float)),
    )


def _whole_numbers(values: Any, what: str, least: int) -> tuple[int, ...]:
    listed = [values] if np.ndim(values) == 0 else list(values)
    return tuple(as_whole(v, what, least) for v in listed)


@dataclass(frozen=True)
class BinomialSequence(Record):
    """A one-arm trial of a response rate that is looked at in steps, with exact probabilities.

    Attributes:
        n: patients at each look, increasing. stop_at: the trial ends without rejection with at most
            so many responders; -1 at a look without such a stop.
        reject_at: the trial ends with rejection with at least so many; None at a look without. The
            last look decides: its ``reject_at`` must be one above its ``stop_at``.

    Examples:
        >>> import trial_sim as ts
        >>> simon = ts.BinomialSequence(n=[10, 29], stop_at=[1, 5], reject_at=[None, 6])
        >>> at_null = simon.probabilities(0.1)
        >>> round(at_null.power, 4), round(at_null.early_futility, 4), round(at_null.expected_n, 2)
        (0.0471, 0.7361, 15.01)
        >>> simon.n_looks, simon.decide([2, 7])
        (2, ('reject', 2))
        >>> ts.BinomialSequence.from_yaml(simon.to_yaml()) == simon
        True
    """

    n: Any
    stop_at: Any
    reject_at: Any

    def __post_init__(self) -> None:
        n = _whole_numbers(self.n, "n at the looks", 1)
        if any(b <= a for a, b in itertools.pairwise(n)):
            raise ValueError(f"n must increase from look to look, got {list(n)}")
        if n[-1] > _MOST_PATIENTS:
            raise ValueError(f"exact sums take at most {_MOST_PATIENTS} patients, got {n[-1]}")
        stop = _whole_numbers(self.stop_at, "stop_at", -1)
        given = [self.reject_at] if np.ndim(self.reject_at) == 0 else list(self.reject_at)
        reject = tuple(None if r is None else as_whole(r, "reject_at", 0) for r in given)
        for name, row in (("stop_at", stop), ("reject_at", reject)):
            if len(row) != len(n):
                raise ValueError(f"{name} must hold {len(n)} numbers, one a look, got {len(row)}")
        for k, (low, high) in enumerate(zip(stop, reject), start=1):
            if high is not None and high <= low:
                raise ValueError(
                    f"look {k} stops with at most {low} responders and rejects with at least "
                    f"{high}: they contradict"
                )
        if reject[-1] != stop[-1] + 1:
            raise ValueError(
                f"the last look must decide: reject_at {reject[-1]} must be one above stop_at "
                f"{stop[-1]}"
            )
        object.__setattr__(self, "n", n)
        object.__setattr__(self, "stop_at", stop)
        object.__setattr__(self, "reject_at", reject)

    @property
    def n_looks(self) -> int:
        """Number of looks, the last included."""
        return len(self.n)

    def probabilities(self, rate: float) -> SequenceProbabilities:
        """Exact chances of every decision at a true response rate."""
        p = between("rate", rate, -1e-300, 1.0 + 1e-12)
        running, before = np.ones(1), 0
        rejected, futile = [], []
        for n, stop, reject in zip(self.n, self.stop_at, self.reject_at):
            running = np.convolve(running, binom.pmf(np.arange(n - before + 1), n - before, p))
            top = n + 1 if reject is None else reject
            rejected.append(running[top:].sum())
            futile.append(running[: stop + 1].sum())
            running[top:] = 0.0
            running[: stop + 1] = 0.0
            before = n
        return _probabilities(rejected, futile, self.n)

    def decide(self, responders: Any) -> tuple[str, int]:
        """The decision after responders, in all, at the looks held: its word and the look.

        The word is "reject", "stop" (without rejection) or "continue".
        """
        seen = _whole_numbers(responders, "responders", 0)
        if len(seen) > self.n_looks:
            raise ValueError(f"the design has {self.n_looks} look(s), got {len(seen)} counts")
        before, count = 0, 0
        for k, (x, n) in enumerate(zip(seen, self.n), start=1):
            if not count <= x <= count + n - before:
                raise ValueError(
                    f"responders must grow by at most the {n - before} new patients at look {k}, "
                    f"got {list(seen)}"
                )
            top = self.reject_at[k - 1]
            if top is not None and x >= top:
                return "reject", k
            if x <= self.stop_at[k - 1]:
                return "stop", k
            before, count = n, x
        return "continue", len(seen)


@dataclass(frozen=True)
class TwoSampleBinomialSequence(Record):
    """A two-arm trial of response rates looked at in steps, with exact probabilities.

    More responders in the treatment arm favour it.

    Attributes:
        n_treatment, n_control: patients of the arm at each look, increasing.
        efficacy: z at each look at or above which the null is rejected; None for no such stop.
        futility: z below which the trial ends without rejection; None for no such stop.
        test: "pooled_z" or "unpooled_z" (z of the difference of rates; 0 where all respond or none
            does), or "fisher" (the normal quantile of Fisher's one-sided p).

    Examples:
        >>> import trial_sim as ts
        >>> two = ts.TwoSampleBinomialSequence(
        ...     n_treatment=[30, 60],
        ...     n_control=[30, 60],
        ...     efficacy=[2.7965, 1.9774],
        ...     futility=[0.0, None],
        ... )
        >>> result = two.probabilities(0.6, 0.3)
        >>> round(result.power, 4), round(result.expected_n, 1), two.n_looks
        (0.9241, 98.8, 2)
        >>> rate, error = two.type_one_error()
        >>> round(error, 4)
        0.0284
    """

    n_treatment: Any
    n_control: Any
    efficacy: Any
    futility: Any = None
    test: str = "pooled_z"

    def __post_init__(self) -> None:
        for name in ("n_treatment", "n_control"):
            n = _whole_numbers(getattr(self, name), name, 1)
            if any(b <= a for a, b in itertools.pairwise(n)):
                raise ValueError(f"{name} must increase from look to look, got {list(n)}")
            object.__setattr__(self, name, n)
        n_looks = len(self.n_treatment)
        futility = (None,) * n_looks if self.futility is None else self.futility
        for name, row in (
            ("n_control", self.n_control),
            ("efficacy", self.efficacy),
            ("futility", futility),
        ):
            entries = (row,) if np.isscalar(row) else tuple(row)
            if len(entries) != n_looks:
                raise ValueError(
                    f"{name} must hold {n_looks} numbers, one a look, got {len(entries)}"
                )
            if name != "n_control":
                numbers = tuple(None if v is None else as_floats(v, name)[0] for v in entries)
                object.__setattr__(self, name, numbers)
        if self.efficacy[-1] is None:
            raise ValueError("the last look must decide: give its efficacy bound")
        for k, (low, high) in enumerate(zip(self.futility, self.efficacy), start=1):
            if low is not None and high is not None and low > high:
                raise ValueError(f"look {k}: futility {low:g} is above efficacy {high:g}")
        one_of("test", self.test, _TESTS)

    @property
    def n_looks(self) -> int:
        """Number of looks, the last included."""
        return len(self.n_treatment)

    def probabilities(self, rate_treatment: float, rate_control: float) -> SequenceProbabilities:
        """Exact chances of every decision at true response rates of the two arms."""
        return self._probabilities(rate_treatment, rate_control, self._regions())

    def type_one_error(self) -> tuple[float, float]:
        """The common rate at which rejection is most likely, and that chance: the exact size."""
        from scipy.optimize import minimize_scalar

        regions = self._regions()

        def minus(rate: float) -> float:
            return -self._probabilities(rate, rate, regions).power

        grid = np.linspace(0.01, 0.99, 50)
        best = int(np.argmin([minus(rate) for rate in grid]))
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, 49)]
        found = minimize_scalar(minus, bounds=(low, high), method="bounded")
        return float(found.x), float(-found.fun)

    def _regions(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Where each look rejects and where it stops, (n_treatment + 1, n_control + 1) each."""
        regions = []
        for n1, n2, high, low in zip(
            self.n_treatment, self.n_control, self.efficacy, self.futility
        ):
            z = _z(n1, n2, self.test)
            rejects = np.zeros(z.shape, bool) if high is None else z >= high
            regions.append((rejects, np.zeros(z.shape, bool) if low is None else z < low))
        regions[-1] = (regions[-1][0], ~regions[-1][0])
        return regions

    def _probabilities(
        self, rate_treatment: float, rate_control: float, regions: Any
    ) -> SequenceProbabilities:
        p1 = between("rate_treatment", rate_treatment, -1e-300, 1.0 + 1e-12)
        p2 = between("rate_control", rate_control, -1e-300, 1.0 + 1e-12)
        running, before = np.ones((1, 1)), (0, 0)
        rejected, futile, n = [], [], []
        for n1, n2, (rejects, stops) in zip(self.n_treatment, self.n_control, regions):
            first = _steps(before[0], n1, p1)
            running = first @ running @ _steps(before[1], n2, p2).T
            rejected.append(running[rejects].sum())
            futile.append(running[stops].sum())
            running[rejects | stops] = 0.0
            before = (n1, n2)
            n.append(n1 + n2)
        return _probabilities(rejected, futile, n)


def _steps(before: int, after: int, p: float) -> FloatArray:
    """Chance of each count among `after` patients (rows) given that among `before` (columns)."""
    grown = np.arange(after + 1)[:, None] - np.arange(before + 1)
    return np.asarray(binom.pmf(grown, after - before, p))


def _z(n1: int, n2: int, test: str) -> FloatArray:
    """z of every pair of counts, (n1 + 1, n2 + 1)."""
    x1, x2 = np.arange(n1 + 1)[:, None], np.arange(n2 + 1)
    if test == "fisher":
        from scipy.special import ndtri
        from scipy.stats import hypergeom

        return -ndtri(hypergeom.sf(x1 - 1, n1 + n2, x1 + x2, n1))
    p1, p2 = x1 / n1, x2 / n2
    pooled = (x1 + x2) / (n1 + n2)
    if test == "pooled_z":
        variance = pooled * (1 - pooled) * (1 / n1 + 1 / n2)
    else:
        variance = p1 * (1 - p1) / n1 + p2 * (1 - p2) / n2
    difference = p1 - p2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(difference == 0, 0.0, difference / np.sqrt(variance))
