"""Interval estimates for the audit: Wilson, control-normalised risk, Newcombe, DeLong.

Every function takes plain numbers or arrays and returns an :class:`Interval`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    pass

Z95 = float(stats.norm.ppf(0.975))


class Interval(NamedTuple):
    """A point estimate with the ends of its confidence interval."""

    estimate: float
    lower: float
    upper: float


def wilson(successes: float, trials: float, confidence: float = 0.95) -> Interval:
    """Wilson score interval of a proportion; the estimate is the plain share.

    Source: Wilson (1927); anonymeter centres its rate at the interval's middle, we do not, and
    :func:`wilson_centre` gives that form.
    """
    if trials <= 0:
        return Interval(float("nan"), 0.0, 1.0)
    centre, half = wilson_centre(successes, trials, confidence)
    return Interval(successes / trials, max(centre - half, 0.0), min(centre + half, 1.0))


def wilson_centre(successes: float, trials: float, confidence: float = 0.95) -> tuple[float, float]:
    """Middle and half-width of the Wilson interval (the success rate that anonymeter reports)."""
    z = float(stats.norm.ppf((1 + confidence) / 2))
    centre = (successes + z * z / 2) / (trials + z * z)
    half = z / (trials + z * z) * np.sqrt(successes * (trials - successes) / trials + z * z / 4)
    return float(centre), float(half)


def normalised_risk(
    attack: tuple[float, float], control: tuple[float, float], confidence: float = 0.95
) -> Interval:
    """Share of the possible gain over the control that an attack makes, clipped to [0, 1].

    R = (r_T - r_C) / (1 - r_C), where each rate is the middle of its Wilson interval and the
    errors are carried by the delta method (Giomi et al. 2023, section 4).

    Args:
        attack: successes and number of attacks on records that the generator saw.
        control: the same for records that it did not see.
        confidence: level of the interval.
    """
    if min(attack[1], control[1]) <= 0:
        return Interval(float("nan"), 0.0, 1.0)
    rate, error = wilson_centre(*attack, confidence)
    base, base_error = wilson_centre(*control, confidence)
    return residual_risk(rate, error, base, base_error)


def residual_risk(rate: float, error: float, base: float, base_error: float) -> Interval:
    """The control-normalised risk from two rates and their half-widths, clipped to [0, 1]."""
    room = 1 - base
    if room <= 0:
        return Interval(0.0, 0.0, 1.0)
    risk = (rate - base) / room
    half = float(np.hypot(error / room, base_error * (rate - 1) / room**2))
    low, high = np.clip([risk - half, risk + half], 0, 1)
    return Interval(float(np.clip(risk, 0, 1)), float(low), float(high))


def share_difference(
    successes: float, trials: float, base_successes: float, base_trials: float
) -> Interval:
    """Difference of two independent proportions with Newcombe's hybrid score interval (1998)."""
    if min(trials, base_trials) <= 0:
        return Interval(float("nan"), -1.0, 1.0)
    p, low, high = wilson(successes, trials)
    q, base_low, base_high = wilson(base_successes, base_trials)
    return Interval(
        p - q,
        p - q - float(np.hypot(p - low, base_high - q)),
        p - q + float(np.hypot(high - p, q - base_low)),
    )


def auc(positive: np.ndarray, negative: np.ndarray) -> Interval:
    """Area under the ROC curve with DeLong's interval; ties count one half.

    The interval is widened near the ends by working on the logit scale, and a perfect or
    perfectly wrong classifier gets the rule-of-three width instead of none.

    Args:
        positive: (n,) scores of the positives, where higher should mean positive.
        negative: (m,) scores of the negatives.
    """
    n, m = len(positive), len(negative)
    if n == 0 or m == 0:
        return Interval(float("nan"), 0.0, 1.0)
    both = stats.rankdata(np.concatenate([positive, negative]))
    above = (both[:n] - stats.rankdata(positive)) / m  # share of negatives below each positive
    below = 1 - (both[n:] - stats.rankdata(negative)) / n
    area = float(above.mean())
    variance = (above.var(ddof=1) / n if n > 1 else 0.0) + (below.var(ddof=1) / m if m > 1 else 0.0)
    if variance <= 0 or area in (0.0, 1.0):
        slack = 3 / min(n, m)
        return Interval(area, max(area - slack, 0.0), min(area + slack, 1.0))
    logit = np.log(area / (1 - area))
    half = Z95 * np.sqrt(variance) / (area * (1 - area))
    low, high = 1 / (1 + np.exp(-(logit + np.array([-half, half]))))
    return Interval(area, float(low), float(high))


def true_positive_rate(positive: np.ndarray, negative: np.ndarray, false_rate: float) -> Interval:
    """True-positive rate at the threshold that at most ``false_rate`` of the negatives pass.

    The threshold is exceeded strictly, so ties never count for the attacker; Wilson interval
    (it takes the threshold as given).
    """
    if len(positive) == 0 or len(negative) == 0:
        return Interval(float("nan"), 0.0, 1.0)
    allowed = int(np.floor(false_rate * len(negative)))
    threshold = np.sort(negative)[::-1][allowed]
    return wilson(int((positive > threshold).sum()), len(positive))


def normal_interval(estimate: float, error: float, z: float = Z95) -> Interval:
    """Estimate plus and minus ``z`` standard errors."""
    return Interval(float(estimate), float(estimate - z * error), float(estimate + z * error))


def number(value: float) -> str:
    """Three significant digits without needless exponents; a dash for none."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    if abs(value) >= 1000 or abs(value) < 0.001:
        return (
            f"{value:.1g}".replace("-", "−")
            if abs(value) < 1
            else f"{value:,.0f}".replace("-", "−")
        )
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(digits, 3)}f}".replace("-", "−")


def interval(lower: float, upper: float) -> str:
    """An interval as text, empty where there is none."""
    if math.isnan(lower) or math.isnan(upper):
        return ""
    return f"{number(lower)} to {number(upper)}"
