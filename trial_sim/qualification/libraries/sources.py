"""Names of the sources of the cases beside, and the tail of the normal law."""

from __future__ import annotations

from scipy import stats

OBF = "lan_demets_obrien_fleming"
SCIPY = "scipy, computed now"
STATSMODELS = "statsmodels, computed now"
CLOSED = "closed form, evaluated with scipy"
ENUMERATED = "enumeration with scipy"


def tail(p: float) -> float:
    """z with upper tail ``p``."""
    return float(stats.norm.isf(p))
