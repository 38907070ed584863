"""The audit of one synthetic arm: its patients as a cohort, and the effect against it.

A synthetic arm stands in for patients who were, or would have been, in one arm (an external
control). So it is compared with the real patients of that arm alone, and every other real arm is
compared with it as with the real one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from trial_sim.auditing.compared.comparison import read_outcomes
from trial_sim.auditing.compared.intervals import normal_interval
from trial_sim.auditing.compared.measure import Measure, not_assessed
from trial_sim.auditing.compared.paired_outcomes import effects, joined
from trial_sim.auditing.compared.tables import as_text
from trial_sim.auditing.utility.refits import Generator
from trial_sim.base.arguments import nearest
from trial_sim.data.trial import Trial, plain_trial

MEASURE = "effect against the synthetic arm, in real standard errors"


def arm_name(real: Trial, arm: Any) -> Any:
    """The arm of that name.

    Raises:
        ValueError: the trial has none of that name.
    """
    if real.arm is None:
        raise ValueError(f"arm= names {arm!r}, but the real trial is a cohort without arms")
    found = [a for a in real.arms if str(a) == str(arm)]
    if not found:
        arms = [str(a) for a in real.arms]
        raise ValueError(
            f"the real trial has no arm {arm!r}{nearest(str(arm), arms)}; it has {', '.join(arms)}"
        )
    return found[0]


def one_arm(trial: Trial, column: str, arm: Any) -> Trial:
    """The patients of one arm as a cohort."""
    if column not in trial.patients:
        raise ValueError(f"a table to be audited with arm= needs the column of arms {column!r}")
    rows = trial.patients[trial.patients[column].astype(str) == str(arm)]
    if not len(rows):
        raise ValueError(f"column {column!r} holds no patient of arm {arm!r}")
    return replace(trial, patients=rows.reset_index(drop=True), arm=None, arms=())


def table_as_trial(table: pd.DataFrame, real: Trial) -> Trial:
    """A table of patients, as `sample_arm` gives it, as a trial like the real one; identifiers
    that it lacks are numbered."""
    if real.id is not None and real.id not in table:
        table = table.assign(**{real.id: np.arange(1, len(table) + 1)})
    return replace(real, patients=table, arms=(), notes=())


@dataclass(frozen=True, eq=False)
class OneArm:
    """A generator of one arm: what a fitted trial of several arms makes of it.

    Refits leave out patients of this arm; those of the other arms stay in the fit.
    """

    fitted: Generator
    whole: Trial
    arm: Any

    def refit(self, trial: Trial, seed: int | None = None) -> OneArm:
        """The same settings fitted to the other arms and these patients."""
        column = self.whole.arm
        others = self.whole.patients[self.whole.patients[column] != self.arm]
        table = pd.concat([others, trial.patients], ignore_index=True)
        return replace(self, fitted=self.fitted.refit(replace(self.whole, patients=table), seed))

    def sample_trial(self, sizes: Any = None, seed: int = 0, **options: Any) -> Trial:
        """A cohort of this arm's synthetic patients, by default as many as there are real ones."""
        n = next(iter(sizes.values())) if sizes else self.n_real
        made = self.fitted.sample_trial({self.arm: n}, seed=seed, **options)
        return replace(made, arm=None, arms=())

    @property
    def n_real(self) -> int:
        """Real patients in the arm."""
        return int((self.whole.baseline[self.whole.arm] == self.arm).sum())

    def save(self, path: Any) -> Any:
        """Save the fitted trial, which is what leaves the house."""
        return self.fitted.save(path)  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f"arm {self.arm!r} of {self.fitted!r}"


def external_control(
    whole: Trial, arm: Any, synthetic: Trial, names: tuple[str, ...]
) -> list[Measure]:
    """The effect of every other real arm against the synthetic arm, beside that against the real
    one.

    Both share the patients of the other arm, so that their difference has the errors of the two
    control arms only.

    Args:
        whole: the real trial. arm: the arm that was synthesised. synthetic: its patients.
        names: of the endpoints.
    """
    whole = replace(plain_trial(whole), endpoints={n: whole.endpoints[n] for n in names})
    control = str(as_text(pd.Series([arm], dtype=object))[0])
    others = [str(a) for a in as_text(pd.Series(list(whole.arms), dtype=object)) if a != control]
    if not others:
        return [not_assessed("treatment effect", "all", "the real trial has no other arm")]
    out: list[Measure] = []
    real, made = read_outcomes(whole, whole), read_outcomes(plain_trial(synthetic), whole)
    for name in names:
        one, two = real[name], made[name]
        for other in others:
            treated = one.rows(one.arm == other)
            fresh = replace(two, arm=np.full(len(two), control, dtype=object))
            sizes = (one.arm == control).sum(), len(two), len(treated)
            out += compared(
                effects(one, control, other),
                effects(joined(fresh, treated), control, other),
                f"{name}: {other} v {control}",
                sizes,
                len(names) * len(others),
            )
    return out


def compared(
    real: Any, made: Any, label: str, sizes: tuple[int, int, int], asked: int
) -> list[Measure]:
    """Lines of one contrast on every scale; ``sizes``: real and synthetic controls, treated."""
    out: list[Measure] = []
    n_real, n_made, n_treated = sizes
    for scale, mine in real.items():
        subject, theirs = f"{label}, {scale}", made.get(scale)
        if not np.isfinite(mine.estimate):
            out.append(not_assessed(MEASURE, subject, "the real data do not identify the effect"))
            continue
        if theirs is None or not np.isfinite(theirs.estimate):
            out.append(not_assessed(MEASURE, subject, "no effect against the synthetic arm"))
            continue
        own = mine.error**2 * n_treated / (n_real + n_treated)
        other = theirs.error**2 * n_treated / (n_made + n_treated)
        both = float(np.sqrt(own + other))
        limit = float(stats.norm.isf(0.005 / asked / len(real)))
        out.append(
            Measure(
                MEASURE,
                subject,
                normal_interval((theirs.estimate - mine.estimate) / mine.error, both / mine.error),
                f"Real treated patients against the synthetic arm ({theirs.estimate:.3g}) less "
                f"against the real one ({mine.estimate:.3g}), over the real standard error "
                f"({mine.error:.3g}). Red: beyond {limit:.2f} standard errors of the difference; "
                "amber: beyond 1.96.",
                1.96 * both / mine.error,
                "zero",
                0.0,
                limit * both / mine.error,
            )
        )
    return out
