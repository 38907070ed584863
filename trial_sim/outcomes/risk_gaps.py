"""Time not at risk between the intervals of a patient with recurrent events, and late entries.

A gap starts after an event (a stay in hospital) or by itself (a holiday from observation). Events
are followed by a gap with a chance, gaps start by themselves at a rate, both by arm; their lengths
are drawn from quantiles of the lengths seen. Entries after time 0 have quantiles of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from trial_sim.base.storage import storable
from trial_sim.numerics.told import averaged

QUANTILES = 50
OWN = 20  # lengths from which an arm has quantiles of its own


@storable
@dataclass(frozen=True)
class RiskGaps:
    """Fitted gaps and entries.

    Attributes:
        after: (A, 2) events with a gap behind them, and events with an interval behind them.
        alone: (A, 2) gaps that started by themselves, and time at risk.
        lengths: (A, 2, Q) quantiles of the lengths of gaps after events, and of the others.
        entries: (A, Q) quantiles of the entries.
    """

    after: np.ndarray
    alone: np.ndarray
    lengths: np.ndarray
    entries: np.ndarray

    @classmethod
    def fit(
        cls,
        who: np.ndarray,
        start: np.ndarray,
        stop: np.ndarray,
        event: np.ndarray,
        arm: np.ndarray,
        n_arms: int,
    ) -> RiskGaps:
        """Fit to rows of patients ``who`` (m,), sorted in time within a patient; ``arm`` (n,)."""
        slack = 1e-9 * float(stop.max())
        order = np.lexsort((start, who))
        who, start, stop, event = who[order], start[order], stop[order], event[order] > 0
        first = np.r_[True, who[1:] != who[:-1]]
        behind = ~first[1:]  # a next interval of the same patient
        length = start[1:] - stop[:-1]
        gap = behind & (length > slack)
        of, seen = arm[who[:-1]], event[:-1]
        places = np.linspace(0, 1, QUANTILES)

        def counts(mask: np.ndarray) -> np.ndarray:
            return np.bincount(of[mask], minlength=n_arms).astype(float)

        def quantiles(values: np.ndarray, arms: np.ndarray) -> np.ndarray:
            out = np.zeros((n_arms, QUANTILES))
            if not len(values):
                return out
            for a in range(n_arms):
                mine = values[arms == a]
                out[a] = np.quantile(averaged(mine if len(mine) >= OWN else values), places)
            return out

        parts = [gap & seen, gap & ~seen]
        time = np.bincount(arm[who], stop - start, minlength=n_arms)
        return cls(
            np.column_stack([counts(parts[0]), counts(behind & seen)]),
            np.column_stack([counts(parts[1]), time]),
            np.stack([quantiles(length[m], of[m]) for m in parts], axis=1),
            quantiles(start[first], arm[who[first]]),
        )

    def in_units(self, unit: float) -> RiskGaps:
        """The same with lengths and entries in parts of ``unit``."""
        alone = self.alone / np.array([1.0, unit])
        return replace(self, alone=alone, lengths=self.lengths / unit, entries=self.entries / unit)

    @property
    def any_gap(self) -> bool:
        """Whether any time was not at risk."""
        return bool(self.after[:, 0].any() or self.alone[:, 0].any())

    @property
    def any_entry(self) -> bool:
        """Whether anybody entered after time 0."""
        return bool(self.entries.any())

    def drawn_entries(self, arm: np.ndarray, rng: np.random.Generator, unit: float) -> np.ndarray:
        """Entries (n,)."""
        return drawn(self.entries[arm], rng, unit)

    def cut(
        self,
        who: np.ndarray,
        times: np.ndarray,
        arm: np.ndarray,
        horizon: float,
        rng: np.random.Generator,
        unit: float,
        begin: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Walk through each patient's events and leave out those that fall into a gap.

        Args:
            who, times: (m,) patient and time of each event, in order. arm: (n,).
            begin: (n,) entries, or None.

        Returns:
            ``keep`` (m,) boolean; and of every gap its patient, its start and end, and whether an
            event started it, as one (g, 4) array; and (m,) whether a gap follows the event.
        """
        n = len(arm)
        rate = self.alone[:, 0] / np.maximum(self.alone[:, 1], 1e-300)
        number = rng.poisson(rate[arm] * horizon)
        lone = np.repeat(np.arange(n), number)
        at = rng.random(len(lone)) * horizon
        if unit:
            at = np.ceil(at / unit - 1e-9) * unit
        patient, time = np.r_[who, lone], np.r_[times, at]
        is_event = np.r_[np.ones(len(who), bool), np.zeros(len(lone), bool)]
        chance = self.after[:, 0] / np.maximum(self.after[:, 1], 1)
        opens = ~is_event | (rng.random(len(patient)) < chance[arm[patient]])
        kind = np.where(is_event, 0, 1)
        length = drawn(self.lengths[arm[patient], kind], rng, unit)
        order = np.lexsort((~is_event, time, patient))
        rank = np.empty(len(patient), dtype=int)
        rank[order] = np.arange(len(order)) - np.searchsorted(patient[order], patient[order])
        slack = unit / 2 or 1e-9 * horizon
        free = np.zeros(n) if begin is None else begin.copy()  # at risk from here on
        real = np.zeros(len(patient), dtype=bool)
        for r in range(int(rank.max()) + 1 if len(rank) else 0):
            now = np.flatnonzero(rank == r)
            now = now[time[now] > free[patient[now]] + slack]
            real[now] = True
            free[patient[now]] = time[now] + np.where(opens[now], length[now], 0.0)
        gaps = real & opens
        table = np.column_stack([patient, time, time + length, is_event])[gaps]
        return real[: len(who)], table, (gaps)[: len(who)]

    def words(self) -> list[str]:
        """What the fit says of them."""
        said = []
        if self.any_gap:
            a, b = int(self.after[:, 0].sum()), int(self.alone[:, 0].sum())
            said.append(
                f"time not at risk is kept: {a} gaps after events and {b} others; rates are per "
                "time at risk"
            )
        if self.any_entry:
            said.append("patients who enter after time 0 are kept: entries are drawn by arm")
        return said


def drawn(quantiles: np.ndarray, rng: np.random.Generator, unit: float) -> np.ndarray:
    """A value (n,) from each row of ``quantiles`` (n, Q), in whole ``unit``."""
    place = rng.random(len(quantiles)) * (QUANTILES - 1)
    low = np.minimum(place.astype(int), QUANTILES - 2)
    rows, part = np.arange(len(quantiles)), place - low
    out = quantiles[rows, low] * (1 - part) + quantiles[rows, low + 1] * part
    return np.round(out / unit) * unit if unit else out
