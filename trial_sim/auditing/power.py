"""What an audit of these sizes would catch: the smallest fault found in nine of ten cases.

Each figure is computed by the rule that the line itself is judged by (`compared.rules`), for the
numbers of patients at hand; `python -m benchmarks sharing faults` plants the faults themselves.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from trial_sim.auditing.compared.comparison import Comparison
from trial_sim.auditing.compared.intervals import share_difference
from trial_sim.auditing.compared.rules import RULES, WIDEN, judge
from trial_sim.auditing.compared.tables import MixedTable
from trial_sim.auditing.fidelity.effects import ASKED_POWER
from trial_sim.auditing.privacy.exact_copies import by_chance, limits

SHARES = np.r_[np.arange(1, 20) / 200, np.arange(10, 101) / 100]
Z999 = 1.96 * WIDEN


def caught_from(comparison: Comparison, effects: pd.DataFrame, unseen: int) -> list[str]:
    """Sentences on copies, lost subgroups, leaks and lost effects.

    Args:
        effects: table of the measures of effects. unseen: real patients that the generator of the
            attacked table never saw (0: none, so that no leak can be told).
    """
    n, made = comparison.real.n_patients, comparison.synthetic.n_patients
    tables = comparison.tables
    out = [copied_share(tables["real"], made), lost_level(n, made)]
    if unseen:
        out.append(leak(n, unseen))
    else:
        out.append(
            "A leak of who was in the trial: it could not have seen any, for want of unseen "
            "patients or of the model."
        )
    return [*out, *lost_effects(effects)]


def smallest(measure: str, intervals: list[tuple[float, float, float]]) -> float | None:
    """The first of `SHARES` whose interval is red under the rule of a measure."""
    rule = RULES[measure]
    assert isinstance(rule.threshold, float)
    for share, found in zip(SHARES, intervals):
        if judge(found, rule.threshold, rule.better) == "red":
            return float(share)
    return None


def copied_share(real: MixedTable, made: int) -> str:
    """The smallest share of exact copies among ``made`` synthetic patients."""
    _, most = limits(by_chance(real, made))
    counts = stats.binom.ppf(1 - ASKED_POWER, made, SHARES)
    share = next((float(s) for s, count in zip(SHARES, counts) if count > most), None)
    return said("Copied patients", share, "of the synthetic ones")


def lost_level(n: int, made: int) -> str:
    """The smallest subgroup whose loss as a whole is red."""
    counts = stats.binom.ppf(1 - ASKED_POWER, n, SHARES)
    share = smallest(
        "subgroup share, difference", [share_difference(0, made, k, n) for k in counts]
    )
    return said("A subgroup that is lost as a whole", share, "of the real patients")


def leak(n: int, unseen: int) -> str:
    """The smallest area under the curve of a membership attack that is red (Hanley 1982)."""
    limit = RULES["membership inference AUC"].threshold
    assert isinstance(limit, float)
    for area in np.arange(limit, 1.0, 0.005):
        first, second = area / (2 - area), 2 * area**2 / (1 + area)
        spread = area * (1 - area) + (n - 1) * (first - area**2) + (unseen - 1) * (second - area**2)
        error = float(np.sqrt(spread / (n * unseen)))
        if area - (Z999 + stats.norm.ppf(ASKED_POWER)) * error > limit:
            return (
                f"A leak: an attack whose area under the curve is {area:.2f} or more (.5 is a "
                "coin)."
            )
    return "A leak: it could not have seen any with so few unseen patients."


def lost_effects(effects: pd.DataFrame) -> list[str]:
    """Which part of each effect could be lost before a line is red."""
    out = []
    repeated = effects[effects["measure"] == "mean effect bias, in real standard errors"]
    real = effects[effects["measure"] == "treatment effect, real"].set_index("subject")
    for row in repeated.to_dict("records"):
        limit = RULES[row["measure"]].threshold
        assert isinstance(limit, float)
        error = (row["upper"] - row["lower"]) / 2 / 1.96
        least = limit + (Z999 + stats.norm.ppf(ASKED_POWER)) * error
        out.append(of_effect(row["subject"], least, real))
    judged = set(repeated["subject"])
    lost = effects[effects["measure"] == "effect lost"]
    for row in lost.to_dict("records"):
        if row["subject"] in judged or not np.isfinite(row["threshold"]):
            continue
        both = row["threshold"] + stats.norm.ppf(ASKED_POWER)
        out.append(of_effect(row["subject"], both * 2**0.5, real))
    named = judged | set(lost["subject"])
    for subject in real.index:
        if subject not in named:
            out.append(
                f"A lost effect ({subject}): there is none to lose, the real estimate being "
                "within chance of none."
            )
        elif subject not in judged and not any(
            s.startswith(f"A lost effect ({subject})") for s in out
        ):
            out.append(f"A lost effect ({subject}): it could not have seen it at these sizes.")
    return out


def of_effect(subject: str, least: float, real: pd.DataFrame) -> str:
    """A shift of ``least`` real standard errors, as a share of the effect where it is less."""
    text = f"A lost effect ({subject}): a shift of {least:.1f} standard errors of the real estimate"
    if subject in real.index:
        row = real.loc[subject]
        z = abs(row["estimate"]) / max((row["upper"] - row["lower"]) / 2 / 1.96, 1e-12)
        if z > least:
            text += f", which is {least / z:.0%} of the effect"
        else:
            text += (
                ", more than all of it; where the synthetic trial does not show the effect, the "
                "audit says that it could not have seen whether it is kept"
            )
    return text + "."


def said(what: str, share: float | None, of: str) -> str:
    """A sentence on a share, or that no share would be found."""
    if share is None:
        return f"{what}: it could not have seen any, the tables are too small."
    return f"{what}: from {share:.1%} {of}."
