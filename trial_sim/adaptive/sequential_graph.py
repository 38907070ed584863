"""Graphical procedures whose hypotheses are tested at several looks (Maurer & Bretz 2013)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from trial_sim.base.arguments import between, nearest
from trial_sim.sequential.boundaries import efficacy_alone
from trial_sim.sequential.design import GroupSequential
from trial_sim.sequential.integration import FloatArray
from trial_sim.sequential.multiplicity import _pass_on

__all__ = ["GraphRejection", "SequentialGraphTest", "nominal_levels", "sequential_graph_test"]


@dataclass(frozen=True)
class GraphRejection:
    """A hypothesis rejected by a group-sequential graph: when, at what level, by which numbers.

    analysis: number of the analysis, from 1. look: of the hypothesis. level: alpha it had then.
    nominal: bound of its p-value at that look; p: its p-value.
    """

    hypothesis: str
    analysis: int
    look: int
    level: float
    nominal: float
    p: float


@dataclass(frozen=True)
class SequentialGraphTest:
    """Outcome of a graphical procedure over the analyses held.

    rejections: in the order in which they came. levels: alpha of each hypothesis still open, after
    all that was passed on.
    """

    rejections: tuple[GraphRejection, ...]
    levels: dict[str, float]

    @property
    def rejected(self) -> tuple[str, ...]:
        """Names of the rejected hypotheses, in order."""
        return tuple(one.hypothesis for one in self.rejections)


def nominal_levels(design: GroupSequential, alpha: float) -> FloatArray:
    """Bounds of the p-value at each look, (n_looks,), when a design's rule has this alpha to spend.

    Examples:
        >>> import trial_sim as ts
        >>> from trial_sim.adaptive.sequential_graph import nominal_levels
        >>> os = ts.group_sequential((0.5, 0.75, 1), efficacy="lan_demets_obrien_fleming")
        >>> nominal_levels(os, 0.02).round(6).tolist()
        [0.001002, 0.006903, 0.017747]
    """
    alpha = between("alpha", alpha, 0.0, 0.5)
    if design.efficacy.kind in ("custom", "haybittle_peto"):
        raise ValueError(
            f"efficacy {design.efficacy.name!r} does not say its bounds at another alpha: name a "
            "spending function"
        )
    z = efficacy_alone(
        design.efficacy, design.information_fractions, design.spending_fractions, alpha, 1
    )
    return np.asarray(ndtr(-z))


def sequential_graph_test(
    analyses: Sequence[Mapping[str, float]],
    designs: Mapping[str, GroupSequential],
    weights: Mapping[str, float],
    transitions: Mapping[str, Mapping[str, float]],
    alpha: float = 0.025,
) -> SequentialGraphTest:
    """Test several hypotheses at several looks; a rejected one passes its alpha on.

    Each hypothesis spends its present alpha by the spending function of its own design. When one is
    rejected, those looked at in the same analysis are tested again with what they receive; earlier
    looks are not gone back to. The family-wise error is held strongly.

    analyses: for each analysis held, the one-sided nominal p-value of each hypothesis looked at
        then, such as ``[{"PFS": 0.003, "OS": 0.0008}]``; its n-th is the n-th look of its design.
    designs: hypothesis → one-sided `group_sequential`, whose looks and spending function are used.
    weights: hypothesis → share of alpha. transitions: hypothesis → {other: share passed on}.

    Examples:
        >>> import trial_sim as ts
        >>> rule = "lan_demets_obrien_fleming"
        >>> designs = {
        ...     "PFS": ts.group_sequential((0.7, 1), efficacy=rule),
        ...     "OS": ts.group_sequential((0.5, 0.75, 1), efficacy=rule),
        ... }
        >>> result = ts.sequential_graph_test(
        ...     [{"PFS": 0.003, "OS": 0.0008}],
        ...     designs,
        ...     weights={"PFS": 0.2, "OS": 0.8},
        ...     transitions={"PFS": {"OS": 1}, "OS": {"PFS": 1}},
        ... )
        >>> result.rejected, [round(one.nominal, 6) for one in result.rejections]
        (('OS', 'PFS'), [0.001002, 0.007384])
    """
    names = list(designs)
    alpha = between("alpha", alpha, 0.0, 0.5)
    w, g = read_graph(names, weights, transitions)
    for name, design in designs.items():
        if not isinstance(design, GroupSequential) or design.sided != 1:
            raise ValueError(f"the design of {name!r} must be a one-sided group_sequential")
    held = dict.fromkeys(names, 0)
    left = list(range(len(names)))
    found: list[GraphRejection] = []
    for number, analysis in enumerate(analyses, start=1):
        for name, p in analysis.items():
            _known(name, names, f"analysis {number}")
            if not 0.0 <= p <= 1.0:
                raise ValueError(f"the p-value of {name!r} must be between 0 and 1, got {p!r}")
            held[name] += 1
            if held[name] > designs[name].n_looks:
                raise ValueError(
                    f"{name!r} has {designs[name].n_looks} look(s), analysis {number} is one more"
                )
        while True:
            fallen = None
            for i in left:
                name, level = names[i], float(w[i]) * alpha
                if name not in analysis or level <= 0:
                    continue
                nominal = float(nominal_levels(designs[name], level)[held[name] - 1])
                if analysis[name] <= nominal:
                    fallen = i
                    p = float(analysis[name])
                    found.append(GraphRejection(name, number, held[name], level, nominal, p))
                    break
            if fallen is None:
                break
            left.remove(fallen)
            w, g = _pass_on(fallen, left, w, g)
    return SequentialGraphTest(tuple(found), {names[i]: float(w[i]) * alpha for i in left})


def _known(name: str, names: list[str], where: str) -> None:
    if name not in names:
        raise ValueError(f"{where} names the hypothesis {name!r}{nearest(str(name), names)}")


def read_graph(
    names: list[str],
    weights: Mapping[str, float],
    transitions: Mapping[str, Mapping[str, float]],
    called: tuple[str, str] = ("weights", "transitions"),
) -> tuple[FloatArray, FloatArray]:
    """Shares of alpha (m,) and of what is passed on (m, m), of hypotheses in the order of names.

    called: what the two are called where they are given, for the errors.

    Raises:
        ValueError: an unknown hypothesis, shares that are none, or a sum above 1.
    """
    if not names:
        raise ValueError("designs must hold one hypothesis or more, got none")
    w, g = np.zeros(len(names)), np.zeros((len(names), len(names)))
    for name, share in weights.items():
        _known(name, names, called[0])
        w[names.index(name)] = share
    for name, row in transitions.items():
        _known(name, names, called[1])
        if not isinstance(row, Mapping):
            raise TypeError(f"{called[1]} of {name!r} must be other → share, got {row!r}")
        for other, share in row.items():
            _known(other, names, f"{called[1]} of {name!r}")
            g[names.index(name), names.index(other)] = share
    for what, values, total in ((called[0], w, w.sum()), (called[1], g, g.sum(axis=1).max())):
        if not np.isfinite(values).all() or (values < 0).any() or total > 1 + 1e-12:
            raise ValueError(
                f"{what} must be 0 or more and sum to at most 1, got {values.tolist()}"
            )
    if not w.any():
        raise ValueError(f"{called[0]} give no hypothesis any alpha: one at least needs some")
    if np.diag(g).any():
        place = int(np.diag(g).argmax())
        raise ValueError(f"{called[1]} of {names[place]!r} lead to itself")
    return w, g


def weights_left(w: FloatArray, g: FloatArray, left: Sequence[int]) -> FloatArray:
    """Shares of alpha (m,) of the hypotheses left once the others are rejected; theirs are 0.

    Whatever the order in which they were; also the weights of the test of the intersection of
    those left.

    Examples:
        >>> import numpy as np
        >>> from trial_sim.adaptive.sequential_graph import weights_left
        >>> w, g = np.array([0.5, 0.5, 0.0]), np.array([[0, 0.5, 0.5], [0, 0, 1.0], [0, 0, 0]])
        >>> weights_left(w, g, [1, 2]).tolist()
        [0.0, 0.75, 0.25]
    """
    remaining = list(range(len(w)))
    for gone in range(len(w)):
        if gone not in left:
            remaining.remove(gone)
            w, g = _pass_on(gone, remaining, w, g)
    return w
