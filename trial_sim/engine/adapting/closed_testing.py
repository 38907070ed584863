"""The closed test of a batch of trials: each intersection of hypotheses, stage by stage.

As ``trial_sim.adaptive.closed_tests``, with what single trials need besides: correlations from the
patients that each trial has, hypotheses that join later, trials that end before the last milestone.
"""

# Loop counters become NumPy integers inside compiled code, which mypy cannot follow.
# mypy: disable-error-code="assignment"

from __future__ import annotations

import numba as nb
import numpy as np
from scipy.special import ndtr, ndtri

from trial_sim.adaptive.combination_tests import fisher_design
from trial_sim.adaptive.intersections import intersection_p_value, subsets
from trial_sim.adaptive.rules import UNADJUSTED, ClosedTest
from trial_sim.adaptive.sequential_graph import weights_left
from trial_sim.design.adaptive_design import AdaptiveDesign
from trial_sim.engine.adapting.graph_testing import SequentialGraph
from trial_sim.numerics.normal_kernels import bivariate_normal_cdf, normal_cdf
from trial_sim.numerics.roots import solve_between
from trial_sim.sequential.boundaries import exit_probabilities
from trial_sim.sequential.multiplicity import equicoordinate_critical_value

_x, _w = np.polynomial.legendre.leggauss(80)
_NODES = 8.0 * _x
_WEIGHTS = 8.0 * _w * np.exp(-0.5 * _NODES**2) / np.sqrt(2.0 * np.pi)


@nb.njit(nogil=True, cache=True, error_model="numpy")
def shared_control_tail(limits, loadings, members, nodes, weights, out):
    """P(some Z_i > limit_i), Z_i of correlation loading_i * loading_j, of the members that are
    no NaN; NaN where there is none.

    Args:
        limits, loadings: (n, m). members: (k,) columns. out: (n,), filled.
    """
    n = limits.shape[0]
    for t in range(n):
        count = 0
        last = -1
        alike = True  # one limit and one loading, as of arms of one size: one value a node
        for i in members:
            if not np.isnan(limits[t, i]):
                if count > 0:
                    alike &= limits[t, i] == limits[t, last] and loadings[t, i] == loadings[t, last]
                count += 1
                last = i
        if count == 0:
            out[t] = np.nan
        elif count == 1:
            out[t] = normal_cdf(-limits[t, last])
        elif alike:
            inside = 0.0
            c = limits[t, last]
            r = loadings[t, last]
            scale = np.sqrt(1.0 - r * r)
            for q in range(nodes.shape[0]):
                below = normal_cdf((c - r * nodes[q]) / scale)
                product = weights[q]
                for _ in range(count):
                    product *= below
                inside += product
            out[t] = min(max(1.0 - inside, 0.0), 1.0)
        else:
            inside = 0.0
            for q in range(nodes.shape[0]):
                product = weights[q]
                for i in members:
                    c = limits[t, i]
                    if not np.isnan(c):
                        r = loadings[t, i]
                        product *= normal_cdf((c - r * nodes[q]) / np.sqrt(1.0 - r * r))
                inside += product
            out[t] = min(max(1.0 - inside, 0.0), 1.0)


@nb.njit(nogil=True, cache=True, error_model="numpy")
def nested_tail(z, root, members, out):
    """P(max of Z > the larger z) of two nested populations with correlation ``root`` (n,)."""
    for t in range(z.shape[0]):
        high = -np.inf
        count = 0
        for i in members:
            if not np.isnan(z[t, i]):
                count += 1
                high = max(high, z[t, i])
        if count == 0:
            out[t] = np.nan
        elif count == 1 or root[t] >= 1.0:
            out[t] = normal_cdf(-high)
        else:
            out[t] = min(max(1.0 - bivariate_normal_cdf(high, high, root[t]), 0.0), 1.0)


class ClosedTesting:
    """Which hypotheses of a batch of trials are rejected, and at which stage.

    Attributes:
        at: (n_trials, m) int8, the stage of rejection, 0 for none so far.
        combined: (n_trials, m) the combined z of each hypothesis alone at its last stage.
    """

    def __init__(self, adaptive: AdaptiveDesign, test: ClosedTest, n_trials: int) -> None:
        self.adaptive, self.test = adaptive, test
        m, n_stages = len(adaptive.hypothesis_names), len(adaptive.milestones)
        weighted = test.graph is not None
        self.graph = (
            SequentialGraph(adaptive, n_trials)
            if test.combine == "conventional" and weighted
            else None
        )
        self.shares = adaptive.graph if weighted else None
        every = subsets(m) if test.intersection != UNADJUSTED else ((i,) for i in range(m))
        self.sets = [np.array(members) for members in every]
        self.t = adaptive.fractions
        self.w = np.sqrt(np.diff(self.t, prepend=0.0))
        self.bounds = adaptive.efficacy_bounds
        self.at = np.zeros((n_trials, m), np.int8)
        self.combined = np.full((n_trials, m), np.nan)
        self.fallen = np.zeros((n_trials, len(self.sets)), bool)
        self.q = np.full((n_trials, n_stages, len(self.sets)), np.nan)  # normal quantiles of p
        self.first_z = np.full((n_trials, m), np.nan)
        self._later: dict[int, np.ndarray] = {0: self.bounds}

    def bounds_from(self, start: int) -> np.ndarray:
        """Bounds of a hypothesis that joins at stage ``start``, so that it has all of alpha.

        Those of the plan, moved by one number so that the stages left to it spend alpha.
        """
        if start not in self._later:
            left = self.bounds[start:]
            rest = 1.0 - (self.t[start - 1] if start else 0.0)
            information = (self.t[start:] - (1.0 - rest)) / rest
            none = np.full(len(left), -np.inf)

            def excess(move: float) -> float:
                exits = exit_probabilities(information, left + move, none, 0.0, 1)
                return float(exits.rejection.sum()) - self.adaptive.alpha

            moved = left + solve_between(excess, -4.0, 4.0, what="the bounds of a later arm")
            self._later[start] = np.concatenate([np.full(start, np.inf), moved])
        return self._later[start]

    def _p(self, z: np.ndarray, members: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """p-values (n,) of one intersection from z (n, m) of its members."""
        name = self.test.intersection
        if self.shares is not None:
            return self._weighted_p(z, members, name)
        if len(members) == 1:
            return ndtr(-z[:, members[0]])
        if name not in ("dunnett", "spiessens_debois"):
            return np.asarray(intersection_p_value(z[:, members], name))
        out = np.empty(len(z))
        if len(self.adaptive.tested_populations) == 2:
            whole, part = (sizes[:, h].sum(axis=1) for h in (0, 1))
            with np.errstate(divide="ignore", invalid="ignore"):
                root = np.sqrt(np.where(whole > 0, part / whole, 1.0))
            nested_tail(z, np.minimum(root, 1.0), members, out)
            return out
        limits = np.full_like(z, np.nan)
        high = np.fmax.reduce(z[:, members], axis=1)
        for i in members:
            limits[:, i] = np.where(np.isnan(z[:, i]), np.nan, high)
        shared_control_tail(limits, _loadings(sizes), members, _NODES, _WEIGHTS, out)
        return out

    def _weighted_p(self, z: np.ndarray, members: np.ndarray, name: str) -> np.ndarray:
        """p-values (n,) by the graph's weights of the intersection of the members with a z."""
        assert self.shares is not None
        out = np.full(len(z), np.nan)
        there = ~np.isnan(z[:, members])
        codes = there @ (1 << np.arange(len(members)))
        for code in np.unique(codes[codes > 0]):
            rows = codes == code
            left = members[there[rows.argmax()]]
            weights = weights_left(*self.shares, left.tolist())[left]
            p = ndtr(-z[np.ix_(rows, left)])
            if name == "simes":
                reached = ((p[:, None, :] <= p[:, :, None]) * weights).sum(axis=2)
            else:
                reached = np.broadcast_to(weights, p.shape)
            with np.errstate(divide="ignore", invalid="ignore"):
                found = np.where(reached > 0, p / reached, 1.0).min(axis=1)
            out[rows] = np.minimum(found, 1.0)
        return out

    def look_at_graph(
        self, k: int, is_last: np.ndarray, z: np.ndarray, rows: np.ndarray
    ) -> np.ndarray:
        """Hold look k of a group-sequential graph; newly rejected, (len(rows), m) bool.

        z: (len(rows), m) of all patients so far, NaN where not followed.
        """
        assert self.graph is not None
        new = self.graph.look(k, is_last, z, rows)
        at = self.at[rows]
        at[new] = k + 1
        self.at[rows] = at
        known = ~np.isnan(z)
        combined = self.combined[rows]
        combined[known] = z[known]
        self.combined[rows] = combined
        return new

    def look(
        self,
        k: int,
        is_last: np.ndarray,
        stage_z: np.ndarray,
        total_z: np.ndarray,
        sizes: np.ndarray,
        all_sizes: np.ndarray,
        rows: np.ndarray,
    ) -> np.ndarray:
        """Hold stage k of some trials; which hypotheses are newly rejected, (len(rows), m) bool.

        Args:
            is_last: (n,) bool, whether the trial ends here come what may. stage_z, total_z: (n, m)
                of the stage and of all so far, NaN where not followed. sizes, all_sizes: (n, m, 2)
                patients behind them. rows: trials of the batch; all arrays are of these alone.
        """
        combine = self.test.combine
        crossed = self.fallen[rows].copy()
        followed = ~np.isnan(stage_z)
        if k == 0:
            self.first_z[rows] = stage_z
        for s, members in enumerate(self.sets):
            if combine == "conventional":
                p = self._p(total_z, members, all_sizes)
                z = -ndtri(np.clip(p, 1e-300, 1.0))
                hit = z >= np.where(is_last, self.bounds[-1], self.bounds[k])
                self._note(rows, members, z)
            elif combine == "conditional_error":
                hit = self._by_conditional_error(k, rows, members, stage_z, sizes)
            else:
                p = self._p(stage_z, members, sizes)
                self.q[rows, k, s] = -ndtri(np.clip(p, 1e-300, 1.0))
                if combine == "fisher":
                    hit = self._by_product(k, is_last, self.q[rows, :, s])
                else:
                    hit, z = self._by_weights(k, is_last, self.q[rows, :, s])
                    self._note(rows, members, z)
                if combine == "fisher":
                    self._note(rows, members, self.q[rows, k, s])
            crossed[:, s] |= hit
        self.fallen[rows] = crossed
        return self._newly(k, rows, crossed, followed)

    def look_at_cohorts(
        self, k: int, z: list[np.ndarray], sizes: list[np.ndarray], rows: np.ndarray
    ) -> np.ndarray:
        """Test trials that end at stage k by stages of different patients, all at once.

        Args:
            z: of each stage (len(rows), m), -inf for a hypothesis given up since, NaN for one that
                was not in the stage. sizes: of each stage, patients (len(rows), m, 2).
        """
        last = np.ones(len(rows), bool)
        crossed = np.zeros((len(rows), len(self.sets)), bool)
        for s, members in enumerate(self.sets):
            for c in range(k + 1):
                p = self._p(z[c], members, sizes[c])
                self.q[rows, c, s] = -ndtri(np.clip(p, 1e-300, 1.0))
            if self.test.combine == "fisher":
                crossed[:, s] = self._by_product(k, last, self.q[rows, :, s])
                self._note(rows, members, self.q[rows, k, s])
            else:
                crossed[:, s], combined = self._by_weights(k, last, self.q[rows, :, s])
                self._note(rows, members, combined)
        self.fallen[rows] = crossed
        return self._newly(k, rows, crossed, np.isfinite(z[k]))

    def _newly(
        self, k: int, rows: np.ndarray, crossed: np.ndarray, followed: np.ndarray
    ) -> np.ndarray:
        """Hypotheses of which all intersections are rejected now, noted, (len(rows), m)."""
        new = np.zeros(followed.shape, bool)
        for i in range(followed.shape[1]):
            holding = [s for s, members in enumerate(self.sets) if i in members]
            new[:, i] = crossed[:, holding].all(axis=1)
        new &= followed & (self.at[rows] == 0)
        at = self.at[rows]
        at[new] = k + 1
        self.at[rows] = at
        return new

    def _note(self, rows: np.ndarray, members: np.ndarray, z: np.ndarray) -> None:
        if len(members) == 1:
            old = self.combined[rows, members[0]]
            self.combined[rows, members[0]] = np.where(np.isnan(z), old, z)

    def _starts(self, q: np.ndarray, k: int) -> np.ndarray:
        """Stage at which each trial's intersection begins, (n,); k + 1 where it has not."""
        there = ~np.isnan(q[:, : k + 1])
        return np.where(there.any(axis=1), there.argmax(axis=1), k + 1)

    def _by_weights(
        self, k: int, is_last: np.ndarray, q: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        begin = self._starts(q, k)
        z = np.full(len(q), np.nan)
        bound = np.full(len(q), np.inf)
        for start in range(k + 1):
            mine = begin == start
            if not mine.any():
                continue
            before = self.t[start - 1] if start else 0.0
            weights = np.tile(self.w[start : k + 1], (int(mine.sum()), 1))
            last = is_last[mine]
            weights[last, -1] = np.sqrt(1.0 - (self.t[k - 1] if k else 0.0))
            total = np.sqrt(np.where(last, 1.0, self.t[k]) - before)
            z[mine] = (weights * q[mine, start : k + 1]).sum(axis=1) / total
            levels = self.bounds_from(start)
            bound[mine] = np.where(last, levels[-1], levels[k])
        with np.errstate(invalid="ignore"):
            return z >= bound, z

    def _by_product(self, k: int, is_last: np.ndarray, q: np.ndarray) -> np.ndarray:
        n_stages = len(self.t)
        begin = self._starts(q, k)
        hit = np.zeros(len(q), bool)
        for start in range(k + 1):
            mine = begin == start
            if not mine.any():
                continue
            critical = fisher_design(n_stages - start, self.adaptive.alpha).critical_values
            product = ndtr(-q[mine, start : k + 1]).prod(axis=1)
            limit = np.where(is_last[mine], critical[-1], critical[k - start])
            with np.errstate(invalid="ignore"):
                hit[mine] = product <= limit
        return hit

    def _by_conditional_error(
        self, k: int, rows: np.ndarray, members: np.ndarray, z: np.ndarray, sizes: np.ndarray
    ) -> np.ndarray:
        if k == 0:
            if len(members) == 1:
                self._note(rows, members, z[:, members[0]])
            return np.zeros(len(rows), bool)
        shares = np.array(list(self.adaptive.arms.values()), dtype=float)
        loadings = np.sqrt(shares[1:] / (shares[1:] + shares[0]))
        r = np.outer(loadings[members], loadings[members])
        np.fill_diagonal(r, 1.0)
        critical = (
            equicoordinate_critical_value(r, self.adaptive.alpha)
            if len(members) > 1
            else -float(ndtri(self.adaptive.alpha))
        )
        t = float(self.t[0])
        limits = (critical - np.sqrt(t) * self.first_z[rows]) / np.sqrt(1.0 - t)
        error = np.empty(len(rows))
        planned = np.tile(loadings, (len(rows), 1))
        shared_control_tail(np.ascontiguousarray(limits), planned, members, _NODES, _WEIGHTS, error)
        if len(members) == 1:
            i = members[0]
            self._note(rows, members, np.sqrt(t) * self.first_z[rows, i] + np.sqrt(1 - t) * z[:, i])
        # given the first stage, the chance of a larger maximum over both stages
        total = np.sqrt(t) * self.first_z[rows] + np.sqrt(1.0 - t) * z
        high = np.fmax.reduce(total[:, members], axis=1)
        limits = (high[:, None] - np.sqrt(t) * self.first_z[rows]) / np.sqrt(1.0 - t)
        limits = np.where(np.isnan(z), np.nan, limits)
        p = np.empty(len(rows))
        shared_control_tail(limits, _loadings(sizes), members, _NODES, _WEIGHTS, p)
        with np.errstate(invalid="ignore"):
            return p <= error


def _loadings(sizes: np.ndarray) -> np.ndarray:
    """Square root of each comparison's share of treated patients, (n, m)."""
    treated, control = sizes[:, :, 0], sizes[:, :, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(treated + control > 0, treated / (treated + control), 0.5)
    return np.sqrt(np.clip(share, 0.0, 1.0 - 1e-9))
