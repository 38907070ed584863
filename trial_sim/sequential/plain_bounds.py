"""Group-sequential boundaries as plain numbers, for custom rules and for files."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from trial_sim.base.records import Record, as_floats


@dataclass(frozen=True)
class Bounds(Record):
    """Plain group-sequential boundaries on the z scale, for custom rules and for files.

    Attributes:
        efficacy_bounds: reject when z reaches these, one a look; inf (or None) for no bound.
        futility_bounds: stop when z is at or below these; -inf (or None, or empty) for none.
        information_fractions: planned information at each look; evenly spaced by default.
        sided: 1 or 2. binding: whether futility was used in the efficacy bounds.
    """

    efficacy_bounds: Any
    futility_bounds: Any = ()
    information_fractions: Any = ()
    sided: int = 1
    binding: bool = False

    def __post_init__(self) -> None:
        efficacy = as_floats(_filled(self.efficacy_bounds, np.inf), "efficacy_bounds")
        n = len(efficacy)
        futility = as_floats(_filled(self.futility_bounds, -np.inf), "futility_bounds")
        futility = futility or (-np.inf,) * n
        fractions = as_floats(self.information_fractions, "information_fractions") or tuple(
            (np.arange(n) + 1.0) / n
        )
        if len(futility) != n or len(fractions) != n:
            raise ValueError(
                f"bounds must have one value a look: {n} efficacy, {len(futility)} futility, "
                f"{len(fractions)} information fractions"
            )
        if fractions[0] <= 0 or any(b <= a for a, b in itertools.pairwise(fractions)):
            raise ValueError(
                f"information_fractions must be positive and increasing, got {list(fractions)}"
            )
        for look, (low, high) in enumerate(zip(futility, efficacy), start=1):
            if low > high:
                raise ValueError(
                    f"futility bound {low:g} is above efficacy bound {high:g} at look {look}"
                )
        if self.sided not in (1, 2):
            raise ValueError(f"sided must be 1 or 2, got {self.sided!r}")
        object.__setattr__(self, "efficacy_bounds", efficacy)
        object.__setattr__(self, "futility_bounds", futility)
        object.__setattr__(self, "information_fractions", fractions)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; a look without a bound has None, since JSON knows no infinity."""
        plain = super().to_dict()
        for name in ("efficacy_bounds", "futility_bounds"):
            plain[name] = [v if np.isfinite(v) else None for v in plain[name]]
        return plain


def _filled(bounds: Any, missing: float) -> Any:
    return [missing if b is None else b for b in bounds] if np.ndim(bounds) else bounds


def as_bounds(boundaries: Any) -> Bounds:
    """Any object with bounds and information fractions as plain :class:`Bounds`."""
    futility = np.atleast_1d(np.asarray(boundaries.futility_bounds, dtype=float)).copy()
    futility[np.isnan(futility)] = -np.inf
    return Bounds(
        efficacy_bounds=np.atleast_1d(boundaries.efficacy_bounds).tolist(),
        futility_bounds=futility.tolist(),
        information_fractions=np.atleast_1d(boundaries.information_fractions).tolist(),
        sided=int(boundaries.sided),
        binding=bool(boundaries.binding),
    )
