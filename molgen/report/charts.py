"""Charts of a report as inline SVG: histograms, a search's trajectory, a map of chemical space.

Colours come from the page's style sheet by class, so that charts follow a light or dark setting.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

_WIDE, _TALL = 560.0, 250.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 40.0, 10.0, 12.0, 34.0


def histogram_svg(
    values: np.ndarray, reference: np.ndarray | None, name: str, n_bins: int = 24
) -> str:
    """Bars of the values and, as a line, the reference; each as a share of its own molecules.

    Args:
        values: (n,) finite numbers.
        reference: (m,) numbers, or None.
        name: for the accessible title.
        n_bins: at most so many bars; whole numbers get one each where that is fewer.
    """
    other = np.array([]) if reference is None else reference[np.isfinite(reference)]
    everything = np.concatenate([values, other])
    low, high = np.quantile(everything, [0.002, 0.998])
    if np.all(everything == np.round(everything)) and high - low < n_bins:
        edges = np.arange(np.floor(low) - 0.5, np.ceil(high) + 1.5)
    else:
        low, high = (low - 0.5, high + 0.5) if high <= low else (low, high)
        n_bins = int(np.clip(3 * np.sqrt(len(values)), 5, n_bins))  # fewer bars for few molecules
        edges = np.linspace(low, high, n_bins + 1)
    clipped = [np.clip(v, edges[0], edges[-1]) for v in (values, other)]
    shares = [np.histogram(v, edges)[0] / max(len(v), 1) for v in clipped]
    top = max(float(s.max()) for s in shares) or 1.0
    width, height, base = 260.0, 110.0, 92.0

    def x(edge: float) -> float:
        return 6 + (width - 12) * (edge - edges[0]) / (edges[-1] - edges[0])

    def y(share: float) -> float:
        return base - 84 * share / top

    parts = [
        f'<svg class="chart" viewBox="0 0 {width:.0f} {height:.0f}" role="img">'
        f"<title>{escape(name)}</title>"
    ]
    for share, left, right in zip(shares[0], edges[:-1], edges[1:]):
        if share:
            parts.append(
                f'<rect class="bar" x="{x(left) + 0.6:.1f}" y="{y(share):.1f}" '
                f'width="{max(x(right) - x(left) - 1.2, 0.5):.1f}" height="{base - y(share):.1f}"/>'
            )
    if len(other):
        steps = "".join(
            f"L{x(left):.1f},{y(share):.1f}L{x(right):.1f},{y(share):.1f}"
            for share, left, right in zip(shares[1], edges[:-1], edges[1:])
        )
        line = f"M{x(edges[0]):.1f},{base:.1f}{steps}L{x(edges[-1]):.1f},{base:.1f}"
        parts.append(f'<path class="line" d="{line}"/>')
    parts.append(f'<path class="axis" d="M4,{base}H{width - 4}"/>')
    for tick in ticks(float(edges[0]), float(edges[-1])):
        parts.append(f'<text x="{x(tick):.1f}" y="{base + 14}">{tick:g}</text>')
    parts.append("</svg>")
    return "".join(parts)


def ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers between the bounds."""
    step = 10 ** math.floor(math.log10((high - low) / 3))
    for factor in (1, 2, 5, 10):
        if (high - low) / (step * factor) <= 5:
            step *= factor
            break
    first = math.ceil(low / step)
    return [round(i * step, 10) for i in range(first, math.floor(high / step) + 1)]


def trajectory_svg(calls: np.ndarray, scores: np.ndarray, k: int = 10) -> str:
    """Every oracle call as a dot, the best so far, and the mean of the ``k`` best so far.

    Args:
        calls: (n,) call numbers, from 1.
        scores: (n,) their scores; what is not finite is left out.
    """
    order = np.argsort(calls, kind="stable")
    calls, scores = calls[order].astype(float), scores[order].astype(float)
    whole = np.isfinite(scores) & np.isfinite(calls)
    calls, scores = calls[whole], scores[whole]
    last = max(float(calls.max(initial=1.0)), 2.0)
    low, high = min(0.0, float(scores.min(initial=0.0))), max(1.0, float(scores.max(initial=1.0)))

    def x(call: float) -> float:
        return _LEFT + (_WIDE - _LEFT - _RIGHT) * (call - 1) / (last - 1)

    def y(score: float) -> float:
        return _TALL - _BOTTOM - (_TALL - _TOP - _BOTTOM) * (score - low) / (high - low)

    best, top = running_best(scores, k)
    shown = np.unique(np.linspace(0, len(calls) - 1, min(len(calls), 1_500)).astype(int))
    parts = [_opening("Score by oracle call"), *_grid(ticks(low, high), y)]
    parts += [
        f'<circle class="dot" cx="{x(calls[i]):.1f}" cy="{y(scores[i]):.1f}" r="1.4"/>'
        for i in shown
    ]
    for name, values in (("second", top), ("line", best)):
        points = [f"{x(calls[i]):.1f},{y(values[i]):.1f}" for i in _corners(values)]
        parts.append(f'<path class="{name}" d="M{"L".join(points)}"/>')
    for tick in ticks(1, last):
        parts.append(f'<text x="{x(tick):.1f}" y="{_TALL - _BOTTOM + 15:.0f}">{tick:,.0f}</text>')
    parts.append(f'<text x="{_WIDE / 2:.0f}" y="{_TALL - 3:.0f}">oracle calls</text></svg>')
    return "".join(parts)


def running_best(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The best score so far and the mean of the ``k`` best so far, (n,) each."""
    from bisect import insort

    held: list[float] = []
    means = np.empty(len(scores))
    for i, score in enumerate(scores):
        insort(held, float(score))
        del held[: max(len(held) - k, 0)]
        means[i] = sum(held) / len(held)
    return np.maximum.accumulate(scores), means


def _corners(values: np.ndarray) -> list[int]:
    """Positions that a line needs: where it changes, and those just before."""
    change = np.flatnonzero(np.diff(values) != 0)
    return sorted({0, len(values) - 1, *change.tolist(), *(change + 1).tolist()})


def space_svg(
    points: np.ndarray, reference: np.ndarray, names: Sequence[str], shares: tuple[float, float]
) -> str:
    """A map of chemical space: reference molecules beneath, the molecules of the report above.

    Args:
        points: (n, 2) coordinates; names: (n,) shown when the pointer rests on one.
        reference: (m, 2).
        shares: of the variance that the two axes carry.
    """
    both = np.concatenate([points, reference])
    low, high = both.min(axis=0), both.max(axis=0)
    span = np.maximum(high - low, 1e-9)
    width, height = _WIDE, 360.0

    def place(p: np.ndarray) -> tuple[float, float]:
        u = (p - low) / span
        return 14 + (width - 28) * float(u[0]), 12 + (height - 42) * (1 - float(u[1]))

    parts = [
        f'<svg class="chart space" viewBox="0 0 {width:.0f} {height:.0f}" role="img">'
        "<title>Chemical space</title>"
    ]
    for p in reference:
        x, y = place(p)
        parts.append(f'<circle class="ref" cx="{x:.1f}" cy="{y:.1f}" r="1.8"/>')
    for p, name in zip(points, names):
        x, y = place(p)
        parts.append(
            f'<circle class="own" cx="{x:.1f}" cy="{y:.1f}" r="2.6">'
            f"<title>{escape(name)}</title></circle>"
        )
    parts.append(
        f'<text x="{width / 2:.0f}" y="{height - 8:.0f}">first component, '
        f"{100 * shares[0]:.1f} % of the variance; upwards the second, {100 * shares[1]:.1f} %"
        "</text></svg>"
    )
    return "".join(parts)


def _opening(title: str) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDE:.0f} {_TALL:.0f}" role="img">'
        f"<title>{escape(title)}</title>"
    )


def _grid(values: Sequence[float], y) -> list[str]:  # type: ignore[no-untyped-def]
    parts = []
    for value in values:
        parts.append(f'<path class="axis" d="M{_LEFT},{y(value):.1f}H{_WIDE - _RIGHT}"/>')
        parts.append(f'<text class="left" x="{_LEFT - 6}" y="{y(value) + 4:.1f}">{value:g}</text>')
    return parts
