"""What an audit of these sizes would find: the smallest leak that fails it in nine of ten cases.

Each figure follows from the rule by which the line itself is judged and from the width of its
interval, taken for that of a normal estimate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from scipy.special import ndtri

from molgen.auditing.measures import WIDEN, Measure

_ASKED = 0.9
_Z95 = 1.959964
#: Section and measure: what is found, and what an amount of it is.
_LEAKS = {
    ("membership", "AUC"): ("An attack that tells members from others", "an area of"),
    ("memorisation", "exact copies"): (
        "Training molecules that come out", "a share of the members, beyond chance, of",
    ),
    ("canaries", "extraction by sampling"): (
        "Planted molecules that come out", "a share, beyond their unplanted siblings', of",
    ),
    ("inversion", "members recovered"): (
        "Members of a secret series that come out", "a share, beyond unseen series', of",
    ),
}  # fmt: skip


def found_from(measure: Measure) -> float:
    """The smallest true value at which a measure does not pass in nine of ten audits; NaN where no
    rule judges it or it has no interval.

    >>> from molgen.auditing.intervals import Interval
    >>> area = Interval(0.5, 0.48, 0.52)
    >>> round(found_from(Measure("membership", "AUC", area, "-", threshold=0.55, rule="limit")), 3)
    0.543
    """
    estimate, lower, upper = measure.interval
    if measure.rule == "limit":  # the upper end of 95 % must not exceed the threshold
        return measure.threshold + float(ndtri(_ASKED) - _Z95) * (upper - estimate) / _Z95
    if measure.rule == "excess":  # 99.9 % must not lie above the baseline
        error = (estimate - lower) / _Z95
        return measure.baseline + float(ndtri(_ASKED) + WIDEN * _Z95) * error
    return float("nan")


def power_in_words(measures: Iterable[Measure]) -> list[str]:
    """Sentences on what would have been found, and what could not have been seen.

    Of several attacks the finest counts: the one that finds the smallest leak.
    """
    held = list(measures)
    out = []
    for (section, name), (leak, amount) in _LEAKS.items():
        judged = [m for m in held if m.section == section and m.measure == name and m.rule]
        if not judged:
            continue
        least = min((found_from(m) for m in judged), key=lambda v: (math.isnan(v), v))
        if math.isnan(least) or least >= 1.0:
            out.append(f"{leak}: it could not have seen any at these sizes.")
        else:
            out.append(
                f"{leak}: found in nine of ten audits from {amount} {least:.3g} on; less it could "
                "not have seen."
            )
    return out
