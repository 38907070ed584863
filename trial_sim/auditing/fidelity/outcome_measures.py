"""Fidelity of outcomes: curves of every arm, their summaries, and how endpoints go together."""

from __future__ import annotations

import numpy as np

from trial_sim.auditing.compared.comparison import Comparison
from trial_sim.auditing.compared.curves import bayesian_weights, largest_gap, unit_weights
from trial_sim.auditing.compared.intervals import Interval, wilson
from trial_sim.auditing.compared.measure import Measure, not_assessed
from trial_sim.auditing.compared.paired_outcomes import Outcome, OutcomeCurve, curves, is_survival
from trial_sim.outcomes.joint.correlation import within_arms

SMALL_ARM, SMALL_SLACK = 60, 1.9  # the bootstrap band of a small arm is too narrow in its tails


BAND_SLACK = 1.5  # a band of about 99.9 % is this much wider than the 95 % band


DRAWS = 300


def endpoint_associations(comparison: Comparison) -> list[Measure]:
    """Of each pair of endpoints: how far their rank correlation is off, and whether a time exceeds
    another that it never does in the real trial."""
    out = []
    names = list(comparison.real.endpoints)
    for i, two in enumerate(names):
        for one in names[:i]:
            pairs = [[comparison.outcomes[r][n] for n in (one, two)] for r in ("real", "synthetic")]
            found = []
            for pair in pairs:
                columns = [one_number(outcome) for outcome in pair]
                known = int(np.isfinite(np.column_stack(columns)).all(axis=1).sum())
                found.append((float(within_arms(columns, pair[0].arm)[0, 1]), known))
            (real, n), (synthetic, m) = found
            if min(n, m) < 10:
                continue
            # the error of Spearman's correlation (Bonett and Wright 2000)
            spread = (1 - real**2) * float(np.sqrt(1 + real**2 / 2))
            half = 1.96 * spread * float(np.sqrt(1 / (n - 3) + 1 / (m - 3)))
            value = synthetic - real
            out.append(
                Measure(
                    "association of endpoints, difference",
                    f"{one} and {two}",
                    Interval(value, value - half, value + half),
                    f"Synthetic less real rank correlation within arms ({synthetic:.3f} against "
                    f"{real:.3f}), of times as they were observed.",
                    control=0.0,
                )
            )
            out += times_in_order(one, two, pairs)
    return out


def one_number(outcome: Outcome) -> np.ndarray:
    """(n,) what ranks the patients of an endpoint: time, value, mean of visits, events."""
    for key in ("duration", "value", "events"):
        if key in outcome.data:
            return np.asarray(outcome.data[key], dtype=float)
    visits = outcome.data["values"]
    seen = np.isfinite(visits)
    total = np.where(seen, visits, 0.0).sum(axis=1)
    return np.where(seen.any(axis=1), total / np.maximum(seen.sum(axis=1), 1), np.nan)


def times_in_order(one: str, two: str, pairs: list[list[Outcome]]) -> list[Measure]:
    """Synthetic patients in whom a time exceeds the other, if no real one does."""
    if any("duration" not in outcome.data for outcome in pairs[0]):
        return []
    out = []
    for a, b, early, late in ((0, 1, one, two), (1, 0, two, one)):
        real, made = ([p.data["duration"] for p in pair] for pair in pairs)
        slack = 1e-9 * float(real[b].max())
        if (real[a] > real[b] + slack).any() or (np.abs(real[a] - real[b]) <= slack).all():
            continue
        count = int((made[a] > made[b] + slack).sum())
        out.append(
            Measure(
                "times out of order",
                f"{early} and {late}",
                wilson(count, len(made[a])),
                f"{count} of {len(made[a])} synthetic patients have the time of {early} after that "
                f"of {late}, which none of {len(real[a])} real ones has.",
                3 / len(real[a]),
                "low",
                0.0,
            )
        )
    return out


def outcome_fidelity(comparison: Comparison) -> list[Measure]:
    """Outcome curves of every arm: gap against the band, means, RMST, landmarks."""
    out: list[Measure] = []
    for k, name in enumerate(comparison.real.endpoints):
        real, synthetic = (comparison.outcomes[r][name] for r in ("real", "synthetic"))
        for a, arm in enumerate(comparison.arms):
            mine, theirs = real.rows(real.arm == arm), synthetic.rows(synthetic.arm == arm)
            label = f"{name}: {arm}" if arm else name
            if len(theirs) < 2 or len(mine) < 2:
                out.append(
                    not_assessed("largest curve gap", label, "fewer than two patients in the arm")
                )
                continue
            rng = comparison.rng(1000 + 50 * k + a)
            for curve in curves(mine, theirs):
                out.append(gap_measure(curve, mine, theirs, label, rng))
                out += curve_summaries(curve, mine, theirs, label, rng)
            if is_survival(real.endpoint):
                out.append(short_sightedness(mine, theirs, label))
    return out


def gap_measure(
    curve: OutcomeCurve, real: Outcome, synthetic: Outcome, label: str, rng: np.random.Generator
) -> Measure:
    """Largest gap of one outcome curve in units of its 95 % simultaneous band."""
    found = largest_gap(
        curve.draw(real), curve.draw(synthetic), len(real), len(synthetic), rng, DRAWS
    )
    slack = BAND_SLACK if min(len(real), len(synthetic)) >= SMALL_ARM else SMALL_SLACK
    return Measure(
        "largest curve gap / band",
        f"{label}, {curve.label}",
        Interval(found.ratio, max(found.ratio - 1, 0.0), found.ratio + 1),
        f"Largest gap between the curves ({found.gap:.3g}) over the half-width of the 95 % "
        f"simultaneous band of their difference ({found.band:.3g}); up to 1 is within chance, "
        f"beyond {slack} (outside a band of about 99.9 %) is not.",
        control=1.0,
        red=slack,
    )


def curve_summaries(
    curve: OutcomeCurve, real: Outcome, synthetic: Outcome, label: str, rng: np.random.Generator
) -> list[Measure]:
    """Area between the curves, signed area, and differences at three places on the grid."""
    grid = curve.grid
    draw_real, draw_synthetic = curve.draw(real), curve.draw(synthetic)
    one, two = (
        draw_real(unit_weights(len(real)))[0],
        draw_synthetic(unit_weights(len(synthetic)))[0],
    )
    if not np.isfinite(one).any() or not np.isfinite(two).any():
        return []
    difference = two - one
    drawn = (
        draw_synthetic(bayesian_weights(len(synthetic), DRAWS, rng))
        - draw_real(bayesian_weights(len(real), DRAWS, rng))
        - difference
    )
    subject = f"{label}, {curve.label}"
    if curve.axis != "time":
        return [_mean_difference(curve, real, synthetic, one, subject, difference, drawn)]
    length = float(grid[-1] - grid[0]) or 1.0
    divergence = float(np.trapezoid(np.abs(difference), grid)) / length
    null = float(np.quantile(np.trapezoid(np.abs(drawn), grid, axis=1) / length, 0.95))
    signed = float(np.trapezoid(difference, grid)) / length
    error = float((np.trapezoid(drawn, grid, axis=1) / length).std())
    top = max(float(np.nanmax(np.abs(one))), 1e-12)
    survival = curve.label == "survival"
    scale = 1.0 if survival or "incidence" in curve.label else top
    out = [
        Measure(
            "curve divergence",
            subject,
            Interval(
                divergence / scale,
                max(divergence - null, 0.0) / scale,
                (divergence + null) / scale,
            ),
            "Mean absolute distance of the curves over the follow-up that both have; chance alone "
            f"gives up to {null / scale:.3f}.",
            control=null / scale,
        ),
        Measure(
            "optimism",
            subject,
            Interval(
                signed / scale,
                (signed - 1.96 * error) / scale,
                (signed + 1.96 * error) / scale,
            ),
            "Mean signed distance, synthetic less real: above 0 synthetic patients "
            + ("live too long" if survival else "have too many events")
            + ". Rank generators on its absolute value.",
            control=0.0,
        ),
    ]
    if survival:
        area = max(float(np.trapezoid(one, grid)), 1e-12)
        gap = float(np.trapezoid(difference, grid)) / area
        half = 1.96 * float(np.trapezoid(drawn, grid, axis=1).std()) / area
        out.append(
            Measure(
                "RMST difference, relative",
                subject,
                Interval(gap, gap - half, gap + half),
                f"Restricted mean survival to {grid[-1]:.4g}, synthetic less real, over the real "
                f"{area:.4g}.",
                control=0.0,
            )
        )
    for quarter in (1, 2, 3):
        at = (len(grid) - 1) * quarter // 4
        half = 1.96 * float(drawn[:, at].std()) / scale
        value = float(difference[at]) / scale
        out.append(
            Measure(
                "landmark difference",
                f"{subject} at {grid[at]:.4g}",
                Interval(value, value - half, value + half),
                f"Synthetic less real at this time (real: {one[at]:.3g}).",
                control=0.0,
            )
        )
    return out


def _mean_difference(
    curve: OutcomeCurve,
    real: Outcome,
    synthetic: Outcome,
    one: np.ndarray,
    subject: str,
    difference: np.ndarray,
    drawn: np.ndarray,
) -> Measure:
    """Difference of means in real standard deviations, or at the worst visit."""
    if curve.axis == "visit":
        seen = np.isfinite(difference)
        at = int(np.flatnonzero(seen)[np.abs(difference[seen]).argmax()])
        value = float(difference[at]) / curve.scale
        half = 1.96 * float(np.nanstd(drawn[:, at])) / curve.scale
        return Measure(
            "largest difference by visit",
            f"{subject} {at + 1}",
            Interval(value, value - half, value + half),
            "Synthetic less real at the visit where they differ most"
            + (", in standard deviations." if curve.label == "mean by visit" else "."),
            control=0.0,
        )
    a, b = real.data["value"], synthetic.data["value"]
    a, b = a[np.isfinite(a)], b[np.isfinite(b)]
    spread = float(a.std()) or 1.0
    value = float(b.mean() - a.mean()) / spread
    half = 1.96 * float(np.sqrt(a.var() / len(a) + b.var() / len(b))) / spread
    return Measure(
        "mean difference",
        subject,
        Interval(value, value - half, value + half),
        f"Synthetic less real mean, in real standard deviations (real mean {a.mean():.3g}).",
        control=0.0,
    )


def short_sightedness(real: Outcome, synthetic: Outcome, label: str) -> Measure:
    """Follow-up that the synthetic patients lack: (95 % quantile real - synthetic) / real."""
    a, b = real.data["duration"], synthetic.data["duration"]
    q = float(np.quantile(a, 0.95)) or 1.0
    value = (q - float(np.quantile(b, 0.95))) / q
    return Measure(
        "short-sightedness",
        label,
        Interval(value, value - _quantile_slack(a, b) / q, value + _quantile_slack(a, b) / q),
        "Share of the real follow-up (95 % quantile of the times) that the synthetic patients "
        "lack; below 0 they are followed for longer.",
        control=0.0,
    )


def _quantile_slack(a: np.ndarray, b: np.ndarray) -> float:
    """Half-width of the interval of a difference of 95 % quantiles, from order statistics.

    Under about 75 patients no order statistic bounds that quantile from above: infinite then.
    """
    halves = []
    for x in (a, b):
        step = 1.96 * np.sqrt(0.95 * 0.05 / len(x))
        if 0.95 + step > 1:
            return float("inf")
        low, high = np.quantile(x, [max(0.95 - step, 0.0), min(0.95 + step, 1.0)])
        q = np.quantile(x, 0.95)
        halves.append(max(high - q, q - low))
    return float(np.hypot(*halves))
