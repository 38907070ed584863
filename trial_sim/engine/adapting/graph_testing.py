"""The group-sequential graph of a batch of trials (Maurer & Bretz 2013), on arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtri

from trial_sim.adaptive.sequential_graph import nominal_levels, weights_left
from trial_sim.design.adaptive_design import AdaptiveDesign


class SequentialGraph:
    """The graphical procedure of Maurer & Bretz in a batch of trials, look by look.

    A hypothesis is rejected at its group-sequential bound for the alpha it has; a rejected one
    passes its alpha on, to be used at once. Earlier looks are not gone back to.
    """

    def __init__(self, adaptive: AdaptiveDesign, n_trials: int) -> None:
        self.adaptive = adaptive
        self.shares, self.graph = adaptive.graph
        m = len(self.shares)
        self.left = np.ones((n_trials, m), bool)
        every = {k: k for k in range(len(adaptive.milestones))}
        own = len(adaptive.hypotheses)
        arms = len(adaptive.arms) - 1
        self.plans: list[tuple[Any, dict[int, int]]] = []
        for i in range(m):
            if i < own:
                self.plans.append((adaptive.design.boundaries, every))
                continue
            endpoint = adaptive.tested_endpoints[(i - own) // arms]
            looks = adaptive.looks_of(endpoint)
            self.plans.append((adaptive.endpoints[endpoint]["boundaries"], looks))
        self._bounds: dict[tuple[int, float], np.ndarray] = {}

    def bounds(self, i: int, share: float) -> np.ndarray:
        """Bounds of z of a hypothesis at each milestone with a share of alpha, and at its last
        look, (n_milestones + 1,); inf where it is not looked at."""
        key = i, round(share, 12)
        if key not in self._bounds:
            design, looks = self.plans[i]
            n = len(self.adaptive.milestones)
            out = np.full(n + 1, np.inf)
            level = share * self.adaptive.alpha
            if design is None:
                out[n - 1] = out[n] = -ndtri(level)
            else:
                nominal = -ndtri(nominal_levels(design, level))
                for k, look in looks.items():
                    out[k] = nominal[look]
                out[n] = nominal[-1]
            self._bounds[key] = out
        return self._bounds[key]

    def look(self, k: int, is_last: np.ndarray, z: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Newly rejected, (len(rows), m) bool; arguments as of ``ClosedTesting.look_at_graph``."""
        left = self.left[rows]
        m = left.shape[1]
        new = np.zeros(left.shape, bool)
        to_come = [max(looks, default=-1) >= k for _, looks in self.plans]
        while True:
            hit = np.zeros(left.shape, bool)
            codes = left @ (1 << np.arange(m))
            for code in np.unique(codes):
                mine = np.flatnonzero(codes == code)
                members = [i for i in range(m) if code >> i & 1]
                weights = weights_left(self.shares, self.graph, members)
                for i in members:
                    if weights[i] <= 0 or not to_come[i]:
                        continue
                    bounds = self.bounds(i, float(weights[i]))
                    bound = np.where(is_last[mine], bounds[-1], bounds[k])
                    with np.errstate(invalid="ignore"):
                        hit[mine, i] = z[mine, i] >= bound
            if not hit.any():
                break
            left &= ~hit
            new |= hit
        self.left[rows] = left
        return new
