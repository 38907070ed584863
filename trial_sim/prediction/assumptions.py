"""How a prediction goes on: models chosen, priors, and what is changed from the cut-off on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trial_sim.base.arguments import nearest
from trial_sim.prediction.dates import is_number
from trial_sim.prediction.models.enrolment import EnrolmentFit, chosen_shapes
from trial_sim.prediction.models.events import chosen_families


@dataclass(frozen=True)
class Change:
    """What is supposed to change at the cut-off.

    Attributes:
        enrolment_rate: factor of the rate of enrolment. sites: month since the opening → sites that
            open then, each enrolling as the mean of those open.
        event_rate, dropout_rate: factors of the hazards. hazard_ratio: of each other arm over the
            control from now on, or arm → ratio; None as fitted.

    Examples:
        >>> from trial_sim.prediction.assumptions import Change
        >>> Change(enrolment_rate=2.0, hazard_ratio=0.6).in_words
        'enrolment_rate 2, hazard_ratio 0.6'
    """

    enrolment_rate: float = 1.0
    sites: Mapping[float, int] = field(default_factory=dict)
    event_rate: float = 1.0
    dropout_rate: float = 1.0
    hazard_ratio: Any = None

    def __post_init__(self) -> None:
        for name in ("enrolment_rate", "event_rate", "dropout_rate"):
            value = getattr(self, name)
            least = 0.0 if name == "dropout_rate" else 1e-6
            if not is_number(value) or not least <= value <= 1e6:
                raise ValueError(f"{name} must be a positive factor, got {value!r}")
        if not isinstance(self.sites, Mapping):
            raise TypeError(f"sites must map months to numbers of sites, got {self.sites!r}")
        for month, number in self.sites.items():
            if (
                not is_number(month)
                or not is_number(number)
                or not np.isfinite(month)
                or number < 0
            ):
                raise ValueError(f"sites must map months to numbers of sites, got {self.sites!r}")
        ratios = self.hazard_ratio
        for value in ratios.values() if isinstance(ratios, Mapping) else (ratios,):
            if value is not None and (not is_number(value) or not 1e-6 < value < 1e6):
                raise ValueError(f"hazard_ratio must be positive, got {ratios!r}")

    @property
    def in_words(self) -> str:
        """What is changed; empty for nothing."""
        parts = [
            f"{name} {getattr(self, name):g}"
            for name in ("enrolment_rate", "event_rate", "dropout_rate")
            if getattr(self, name) != 1.0
        ]
        if self.sites:
            parts.append(
                "sites " + ", ".join(f"{n:g} at month {m:g}" for m, n in self.sites.items())
            )
        if self.hazard_ratio is not None:
            ratio = self.hazard_ratio
            parts.append(f"hazard_ratio {ratio:g}" if is_number(ratio) else f"hazard_ratio {ratio}")
        return ", ".join(parts)

    def enrolment_factor(self, fit: EnrolmentFit, n_sites: int | None) -> np.ndarray:
        """Factor of the rates in each interval after the cut-off, (f,).

        Raises:
            ValueError: for sites to open where no sites are known.
        """
        factor = np.full(len(fit.starts), float(self.enrolment_rate))
        if not self.sites:
            return factor
        if not n_sites:
            raise ValueError("sites that open need a column 'site', to know what one enrols")
        for month, number in self.sites.items():
            factor += (
                self.enrolment_rate * (fit.cutoff + fit.starts >= month - 1e-9) * number / n_sites
            )
        return factor

    def hazards(self, cumulative: np.ndarray, arms: tuple[str, ...]) -> np.ndarray:
        """Cumulative hazards (n_draws, n_groups, t) as changed.

        Raises:
            ValueError: for a hazard ratio where arms are unknown, or of an unknown arm.
        """
        out = cumulative * self.event_rate
        if self.hazard_ratio is None:
            return out
        if len(arms) == 1:
            raise ValueError("hazard_ratio needs the arms, and the patients are blinded")
        ratios = self.hazard_ratio
        if not isinstance(ratios, Mapping):
            ratios = dict.fromkeys(arms[1:], ratios)
        out = out.copy()
        for arm, ratio in ratios.items():
            if arm not in arms[1:]:
                raise ValueError(
                    f"hazard_ratio names an unknown arm {arm!r}{nearest(arm, arms[1:])}"
                )
            out[:, arms.index(arm)] = ratio * out[:, 0]
        return out


def changes_of(values: Any) -> Change:
    """The change that a mapping of names to values says.

    Raises:
        TypeError, ValueError: for an unknown name or value.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"change must map names to values, got {values!r}")
    known = tuple(Change.__dataclass_fields__)
    for name in values:
        if name not in known:
            raise TypeError(
                f"a change {name!r} is not known{nearest(str(name), known)}; known: {known}"
            )
    return Change(**values)


@dataclass(frozen=True)
class Settings:
    """Models and priors of a prediction.

    Attributes:
        model: of events. breakpoints: of its piecewise exponential. enrolment: model of enrolment.
        window: months before the cut-off whose enrolment is looked at; None for all.
        prior_patients: patients that the planned rate of enrolment counts for.
        prior_events: events that the planned outcomes count for, all arms together.
        change: what changes at the cut-off.
    """

    model: Any = "average"
    breakpoints: Any = ()
    enrolment: Any = "average"
    window: float | None = None
    prior_patients: float = 4.0
    prior_events: float = 0.0
    change: Change = field(default_factory=Change)

    def __post_init__(self) -> None:
        chosen_families(self.model)
        if self.enrolment != "closed":
            chosen_shapes(self.enrolment)
        if self.window is not None and not (is_number(self.window) and self.window > 0):
            raise ValueError(f"enrolment_window must be positive months, got {self.window!r}")
        for name in ("prior_patients", "prior_events"):
            value = getattr(self, name)
            if not is_number(value) or not 0 <= value < np.inf:
                raise ValueError(f"{name} must be 0 or more, got {value!r}")
