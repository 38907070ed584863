"""The rule of every line of the audit, declared once: verdict, page and documents come from here.

A rule is a side, a number and, for some, a second number beyond which a line is red. Where there is
no second number a line is red when its interval, widened from 95 % to 99.9 %, breaks the rule as a
whole (an audit asks some two hundred questions, and an honest sample must not fail by their
number). Numbers that depend on the audit stand as words here and as numbers on the page.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

WIDEN = 1.68  # 3.29 / 1.96: from a 95 % to a 99.9 % interval
SIDES = {"low": "at most", "high": "at least", "zero": "within ±", "": ""}
BEYOND = {"low": "above", "high": "below", "zero": "beyond ±"}
RISK = 0.09  # the threshold that El Emam et al. (2020) and SynQP use for a normalised risk
BY_INTERVAL = "red if the 99.9 % interval breaks this as a whole"
BAND = "1.5 (1.9 in an arm of fewer than 60 patients)"


@dataclass(frozen=True)
class Rule:
    """What a line is held to.

    Attributes:
        better: "low", "high" or "zero" (within the threshold of zero on either side).
        threshold: a number, or in words what it is computed from.
        red: the same of the value beyond which the estimate alone is red; None: the interval says.
    """

    better: str
    threshold: float | str
    red: float | str | None = None

    @property
    def words(self) -> str:
        """The rule as one sentence."""
        return words(self.better, self.threshold, self.red)


RULES: dict[str, Rule] = {
    # fidelity
    "KS distance": Rule("low", 0.1),
    "quantile distance": Rule("low", 0.15),
    "total variation": Rule("low", 0.1),
    "missing share, difference": Rule("zero", 0.05),
    "mean difference": Rule("zero", 0.15),
    "largest difference by visit": Rule("zero", 0.2),
    "association error, largest": Rule("low", 0.15),
    "association error, typical": Rule("low", 0.05),
    "associations kept": Rule("high", 0.8),
    "impossible patients": Rule("low", "3 over the number of real patients"),
    "association of endpoints, difference": Rule("zero", 0.05),
    "times out of order": Rule("low", "3 over the number of real patients"),
    "combinations never seen": Rule("low", 0.1),
    "finer than the real values": Rule("low", 0.05),
    "propensity AUC, logistic": Rule("low", 0.65),
    "propensity AUC, boosted trees": Rule("low", 0.65),
    "pMSE ratio": Rule("low", 10.0),
    "largest curve gap / band": Rule("low", 1.0, BAND),
    "curve divergence": Rule("low", 0.04),
    "optimism": Rule("zero", 0.04),
    "RMST difference, relative": Rule("zero", 0.05),
    "landmark difference": Rule("zero", 0.07),
    "short-sightedness": Rule("zero", 0.1),
    # effects
    "effect can be estimated": Rule("high", 1.0, "0.5 where the real standard error is below .5"),
    "effect bias, in real standard errors": Rule(
        "zero",
        "1.96 standard errors of the synthetic trial",
        "what two honest trials reach once in a hundred audits, over all contrasts",
    ),
    "sign agreement": Rule("high", 1.0, "0.5 where the synthetic effect is distinct from zero"),
    "subgroup effect difference, in standard errors": Rule("zero", 2.576, 3.5),
    "effect lost": Rule(
        "low", "what a fortieth of honest audits exceed, over all contrasts", "the same number"
    ),
    "effect shown": Rule("high", 1.645),
    "effect against the synthetic arm, in real standard errors": Rule(
        "zero",
        "1.96 standard errors of the difference",
        "what two honest arms reach once in a hundred audits, over all contrasts",
    ),
    "mean effect bias, in real standard errors": Rule("zero", 0.25),
    "effect spread / expected": Rule("high", 0.8),
    "coverage of the real estimate": Rule("zero", 0.1),
    "sign agreement over synthetic trials": Rule("zero", 0.1),
    # utility
    "TSTR / TRTR": Rule("high", 0.95),
    "calibration slope, synthetic less real": Rule("zero", 0.3),
    # privacy
    "exact copies": Rule(
        "low",
        "what chance exceeds in a fortieth of audits",
        "what chance exceeds in one of two thousand",
    ),
    "identical rows, excess share": Rule("low", 0.02),
    "identical baselines, excess share": Rule("low", 0.02),
    "nearer to a patient than patients are, baseline": Rule("low", 0.1),
    "outliers copied, normalised risk": Rule("low", RISK),
    "distance to closest record, ratio": Rule("high", 0.9),
    "nearest-neighbour ratio, loss": Rule("low", 0.05),
    "adversarial accuracy": Rule("high", 0.45),
    "ε-identifiability": Rule("low", 0.55),
    "hitting rate, normalised risk": Rule("low", RISK),
    "nearer to training than to hold-out": Rule("low", 0.55),
    "singling out, one column, normalised risk": Rule("low", RISK),
    "singling out, three columns, normalised risk": Rule("low", RISK),
    "linkability, normalised risk": Rule("low", RISK),
    "attribute inference, normalised risk": Rule("low", RISK),
    "membership inference AUC": Rule("low", 0.55),
    "membership inference AUC, saved file": Rule("low", 0.6),
    "exact values of a patient in the file": Rule("low", 0.02),
    "membership inference, TPR at 1 % FPR": Rule("low", 0.05),
    # error rates
    "type I error after synthesis": Rule(
        "low", "1 % more than the nominal level or than real arms dealt at random give"
    ),
    "bias of the test statistic under no effect": Rule("zero", 0.1),
    "power after synthesis, less theory": Rule("zero", 0.1),
    # balance
    "subgroup share, difference": Rule("zero", 0.05),
    "categories kept": Rule("high", 1.0),
    "covariate imbalance between arms / chance": Rule("low", 1.0, 1.5),
    "subgroup curve gap / band": Rule("low", 1.0, 1.9),
}


def judge(
    interval: tuple[float, float, float],
    threshold: float | None,
    better: str,
    red: float | None = None,
) -> str:
    """Traffic light of an interval under a rule (see the module's docstring)."""
    estimate, lower, upper = interval
    if threshold is None or not better or math.isnan(estimate):
        return "grey"
    if better == "low":
        kept = estimate <= threshold
    elif better == "high":
        kept = estimate >= threshold
    else:
        kept = abs(estimate) <= threshold
    if kept:
        return "green"
    if red is not None and not math.isnan(red):
        lower = upper = estimate
        threshold = red
    lower = estimate if math.isnan(lower) else estimate - WIDEN * (estimate - lower)
    upper = estimate if math.isnan(upper) else estimate + WIDEN * (upper - estimate)
    if better == "low":
        broken = lower > threshold
    elif better == "high":
        broken = upper < threshold
    else:
        broken = lower > threshold or upper < -threshold
    return "red" if broken else "amber"


def limit_words(better: str, threshold: float | str, red: float | str | None) -> str:
    """A rule in words as a line of a page has it, whose key says once what makes a line red."""
    said = words(better, threshold, red)
    return said.partition(";")[0] if said.endswith(BY_INTERVAL) else said


def words(better: str, threshold: float | str, red: float | str | None) -> str:
    """A rule in words, "" for none."""
    if not better or (isinstance(threshold, float) and math.isnan(threshold)):
        return ""

    def shown(side: str, value: float | str) -> str:
        text = value if isinstance(value, str) else f"{value:.4g}"
        if side.endswith("±"):
            side = side if not isinstance(value, str) else side.removesuffix("±").strip()
            side += "" if side.endswith("±") else " "
            return side + text
        return f"{side} {text}"

    limit = shown(SIDES[better], threshold)
    if red is None or (isinstance(red, float) and math.isnan(red)):
        return f"{limit}; {BY_INTERVAL}"
    if isinstance(red, float) and better == "high" and red < 0:
        return f"{limit}; never red by itself"
    return f"{limit}; red {shown(BEYOND[better], red)}"
