"""What a milestone shows of each hypothesis: all data so far, and those of the last stage alone.

The stages of responses are of different patients: a stage has those whose response became known in
it. Those of times are increments of the log-rank score, or of an estimate's information, which are
independent of what was seen before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trial_sim.design.adaptive_design import AdaptiveDesign
from trial_sim.design.milestones import NotSimulated
from trial_sim.engine.adapting.patients import among
from trial_sim.engine.adapting.scores import (
    count_arms,
    stratified_score_looks,
    tally_looks,
)
from trial_sim.engine.analysis import Analysis
from trial_sim.engine.batch import TrialBatch
from trial_sim.engine.logrank_scan import standardised
from trial_sim.engine.response_analyses import final_response, t_to_z
from trial_sim.engine.survival_analyses import WeightedLogrank, logrank_scores

# Outcomes that are known at once: a stage is its patients'.
_AT_ONCE = ("binary", "continuous", "ordinal", "count")
_BY_INFORMATION = ("cox", "rmst", "milestone", "mmrm", "lwyy")


@dataclass
class Stage:
    """Statistics of each hypothesis at one milestone, (n_trials, n_hypotheses) each; NaN where
    it is not followed. ``z``, ``estimate``, ``se``: of all patients so far; ``stage_…``: of the
    stage alone. ``sizes``: patients of the stage by hypothesis in treated arm and control,
    (n_trials, n_hypotheses, 2); ``all_sizes``: the same of all patients so far."""

    z: np.ndarray
    estimate: np.ndarray
    se: np.ndarray
    stage_z: np.ndarray
    stage_estimate: np.ndarray
    stage_se: np.ndarray
    sizes: np.ndarray
    all_sizes: np.ndarray

    @classmethod
    def unknown(cls, n_trials: int, n_hypotheses: int) -> Stage:
        """Nothing known yet, of nobody."""
        shape = n_trials, n_hypotheses
        unknown = [np.full(shape, np.nan) for _ in range(6)]
        return cls(*unknown, *(np.zeros((*shape, 2)) for _ in range(2)))


class Stages:
    """Statistics of the hypotheses of a batch, milestone by milestone.

    Raises:
        NotSimulated: for a test whose stages have no independent increments here.
    """

    def __init__(
        self,
        adaptive: AdaptiveDesign,
        analysis: Analysis,
        kind: str,
        n: int,
        by_cohort: bool = False,
    ) -> None:
        self.adaptive, self.analysis = adaptive, analysis
        design = adaptive.whole_design
        self.name = design.test_name
        self.of_patients = kind in _AT_ONCE
        self.scores = self.name == "logrank"
        self.by_sums = self.name in ("t_test", "z_test") and kind == "continuous"
        several = len(adaptive.milestones) > 1
        self.weighted = analysis if isinstance(analysis, WeightedLogrank) else None
        self.by_cohort = by_cohort  # a stage is its patients, tested when the trial ends
        if several and not (
            by_cohort
            or self.of_patients
            or self.scores
            or self.weighted is not None
            or self.name in _BY_INFORMATION
            or kind == "longitudinal"
        ):
            raise NotSimulated(
                f"test {self.name!r} has no stages with independent increments here: "
                "name 'logrank', 'cox', 'rmst' or 'milestone' for times, or "
                "ClosedTest(stages='patients')"
            )
        names = list(adaptive.arms)
        self.hypotheses = [(names.index(arm), pop) for arm, pop in adaptive.hypotheses]
        self.nobody = len(names)
        shape = (n, len(self.hypotheses))
        self.before = np.zeros((*shape, 2))  # score and information, or z, at the last milestone
        k = 0 if self.weighted is None else len(self.weighted.weights)
        self.score_before = np.zeros((*shape, k))  # of each weight of a weighted log-rank test
        self.covariance_before = np.zeros((*shape, k, k))
        self.look_before = np.full(n, -np.inf)
        self.begun = np.zeros(shape, bool)  # hypotheses that have had a stage

    def outsiders(self, batch: TrialBatch, arm: int, population: str | None, opened: Any) -> Any:
        """Who is no patient of a hypothesis, (n_trials, n) bool; None where all are."""
        out = None
        if population is not None:
            out = np.zeros(batch.arm.shape, bool)
            for factor, codes in self.adaptive.members(population).items():
                out |= ~among(batch.factors[factor], codes)
        if self.adaptive.controls == "concurrent" and (opened[:, arm] > 0).any():
            early = batch.enrolment <= opened[:, arm][:, None]
            early &= (opened[:, arm] > 0)[:, None]
            out = early if out is None else out | early
        return out

    def at(
        self, batch: TrialBatch, look: np.ndarray, followed: np.ndarray, opened: np.ndarray
    ) -> Stage:
        """Statistics at each trial's look of the hypotheses it follows, (n_trials, m) bool."""
        n, m = followed.shape
        stage = Stage.unknown(n, m)
        first = np.isneginf(self.look_before).all()
        counted: dict[Any, Any] = {}
        for h, (arm, population) in enumerate(self.hypotheses):
            active = followed[:, h]
            if not active.any():
                continue
            outside = self.outsiders(batch, arm, population, opened)
            mine = batch
            if outside is not None:
                mine = with_arms(batch, np.where(outside, np.int8(self.nobody), batch.arm))
            key = None if outside is None else h
            if key not in counted:
                counted[key] = self._counts(mine, look, np.asarray(followed.any(axis=1)))
            known, tallies = counted[key]
            for s, code in enumerate((arm, 0)):
                stage.sizes[:, h, s] = known[:, 1, code]
                stage.all_sizes[:, h, s] = known[:, 0, code]
            if self.by_cohort:
                self._fill(stage, "", mine, h, arm, look, active)
                continue
            if self.scores:
                self._scores(stage, mine, h, arm, look, active)
                continue
            if self.weighted is not None:
                self._weighted(stage, mine, h, arm, look, active)
                continue
            if tallies is not None:
                self._from_sums(stage, "", tallies.sum(axis=1), h, arm, active)
                self._from_sums(stage, "stage_", tallies[:, 1], h, arm, active)
                self._begin(stage, h, active)
                continue
            self._fill(stage, "", mine, h, arm, look, active)
            if first and not self.before[:, h].any():
                for name in ("z", "estimate", "se"):
                    getattr(stage, f"stage_{name}")[:, h] = getattr(stage, name)[:, h]
                self._remember(stage, h, active)
            elif self.of_patients:
                old = mine.calendar_event <= self.look_before[:, None]
                part = replace(mine, arm=np.where(old, np.int8(self.nobody), mine.arm))
                self._fill(stage, "stage_", part, h, arm, look, active)
                self._begin(stage, h, active)
            else:
                self._increments(stage, h, active)
        self.look_before = np.where(followed.any(axis=1), look, self.look_before)
        self.begun |= followed
        return stage

    def of_cohorts(
        self,
        batch: TrialBatch,
        look: np.ndarray,
        ending: np.ndarray,
        followed: np.ndarray,
        opened: np.ndarray,
        decided: np.ndarray,
    ) -> list[Stage]:
        """What the look shows of the patients enrolled between decisions, stage by stage.

        A hypothesis that is not followed any more cannot be rejected: z is -inf in the stages that
        it was in, and NaN in the last.

        Args:
            ending: (n,) bool, the trials asked for. followed: (n, m). decided: (n, k) months of the
                decisions before.
        """
        n, m = followed.shape
        edges = np.column_stack([np.full(n, -np.inf), decided, np.full(n, np.inf)])
        found = []
        for c in range(edges.shape[1] - 1):
            before, after = edges[:, [c]], edges[:, [c + 1]]
            inside = (batch.enrolment > before) & (batch.enrolment <= after)
            part = with_arms(batch, np.where(inside, batch.arm, np.int8(self.nobody)))
            stage = Stage.unknown(n, m)
            for h, (arm, population) in enumerate(self.hypotheses):
                active = ending & followed[:, h]
                outside = self.outsiders(batch, arm, population, opened)
                mine = part
                if outside is not None:
                    mine = with_arms(part, np.where(outside, np.int8(self.nobody), part.arm))
                if active.any():
                    self._fill(stage, "", mine, h, arm, look, active)
                for s, code in enumerate((arm, 0)):
                    stage.sizes[:, h, s] = ((mine.arm == code) & inside).sum(axis=1)
                there = ending & (stage.sizes[:, h, 0] > 0)
                stage.z[active & ~there, h] = np.nan
                if c + 2 < edges.shape[1]:
                    stage.z[there & ~followed[:, h], h] = -np.inf
            found.append(stage)
        return found

    def _begin(self, stage: Stage, h: int, active: np.ndarray) -> None:
        """The first stage of a hypothesis has all its patients, controls of before among them."""
        fresh = active & ~self.begun[:, h]
        for name in ("z", "estimate", "se"):
            getattr(stage, f"stage_{name}")[fresh, h] = getattr(stage, name)[fresh, h]
        stage.sizes[fresh, h] = stage.all_sizes[fresh, h]

    def _counts(self, batch: TrialBatch, look: np.ndarray, active: np.ndarray) -> tuple[Any, Any]:
        """Patients by arm, of all and of the stage, (n, 2, n_arms); sums of responses or None."""
        n = batch.n_trials
        known = np.zeros((n, 2, self.nobody), np.int64)
        calendar = batch.calendar_event if self.of_patients else batch.enrolment
        if not self.by_sums:
            count_arms(batch.enrolment, calendar, batch.arm, look, self.look_before, known)
            return known, None
        sums = np.zeros((n, 2, self.nobody, 3))
        tally_looks(
            final_response(batch), batch.calendar_event, batch.enrolment, batch.arm,
            self.look_before, look, active, sums,
        )  # fmt: skip
        known[:, 0] = sums[..., 0].sum(axis=1)
        known[:, 1] = sums[:, 1, :, 0]
        return known, sums

    def _from_sums(
        self, stage: Stage, prefix: str, sums: np.ndarray, h: int, arm: int, active: np.ndarray
    ) -> None:
        """Means and rates of two arms, from numbers, sums and squares (n, n_arms, 3)."""
        (n0, s0, q0), (n1, s1, q1) = sums[:, 0].T, sums[:, arm].T
        with np.errstate(divide="ignore", invalid="ignore"):
            effect = s1 / n1 - s0 / n0
            if self.name == "z_test":
                se = self.analysis.sd * np.sqrt(1 / n0 + 1 / n1)  # type: ignore[attr-defined]
                z = self.analysis.direction * effect / se
            else:
                df = n0 + n1 - 2
                rest = np.maximum(q0 - s0 * s0 / n0, 0.0) + np.maximum(q1 - s1 * s1 / n1, 0.0)
                se = np.sqrt(rest / df * (1 / n0 + 1 / n1))
                usable = (df > 0) & (se > 0)
                se = np.where(usable, se, np.nan)
                z = t_to_z(
                    np.where(usable, self.analysis.direction * effect / se, np.nan),
                    np.where(usable, df, 1.0),
                )
            z = np.where(np.isfinite(z), z, 0.0)
        for name, values in (("z", z), ("estimate", effect), ("se", se)):
            getattr(stage, prefix + name)[active, h] = values[active]

    def _fill(
        self, stage: Stage, prefix: str, batch: TrialBatch, h: int, arm: int, look: Any, active: Any
    ) -> None:
        z, effect, error = self.analysis.evaluate(batch, arm, look, active)
        if effect is None or error is None:
            effect, error = self.analysis.estimate(batch, arm, look, active)
        for name, values in (("z", z), ("estimate", effect), ("se", error)):
            getattr(stage, prefix + name)[active, h] = values[active]

    def _scores(
        self, stage: Stage, batch: TrialBatch, h: int, arm: int, look: Any, active: Any
    ) -> None:
        n = batch.n_trials
        if batch.design.stratified:
            score, variance = np.zeros(n), np.zeros(n)
            stratified_score_looks(
                *batch.sorted, batch.enrolment, batch.exit, batch.arm, batch.stratum,
                batch.n_strata, arm, look, active, score, variance,
            )  # fmt: skip
            beta, se = self.analysis.estimate(batch, arm, look, active)
        else:
            score, variance, beta, se = logrank_scores(batch, arm, look, active)
        old = self.before[:, h]
        gain, information = score - old[:, 0], variance - old[:, 1]
        stage.z[active, h] = standardised(score, variance)[active]
        with np.errstate(divide="ignore", invalid="ignore"):
            more = information > 1e-12
            alone = np.where(more, gain / np.sqrt(information), 0.0)
            stage.stage_z[active, h] = alone[active]
            estimate = np.where(more, -gain / information, np.nan)
            stage.stage_estimate[active, h] = estimate[active]
            stage.stage_se[active, h] = np.where(more, 1 / np.sqrt(information), np.nan)[active]
        stage.estimate[active, h], stage.se[active, h] = beta[active], se[active]
        old[active, 0], old[active, 1] = score[active], variance[active]

    def _weighted(
        self, stage: Stage, batch: TrialBatch, h: int, arm: int, look: Any, active: Any
    ) -> None:
        """Growth of weighted scores, which is independent of what was seen before: the weights at a
        time on study tend to one function at all looks. No estimate of a stage alone: the weighted
        scores estimate no hazard ratio."""
        assert self.weighted is not None
        self._fill(stage, "", batch, h, arm, look, active)
        score, covariance = self.weighted.scores(batch, arm, look, active)
        gain = score - self.score_before[:, h]
        more = covariance - self.covariance_before[:, h]
        stage.stage_z[active, h] = self.weighted.z_of(gain, more, active)[active]
        self.score_before[active, h] = score[active]
        self.covariance_before[active, h] = covariance[active]

    def _information(self, stage: Stage, h: int) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            found = stage.se[:, h] ** -2.0
        return np.where(np.isfinite(found), found, 0.0)

    def _remember(self, stage: Stage, h: int, active: np.ndarray) -> None:
        information = self._information(stage, h)
        score = np.nan_to_num(stage.z[:, h]) * np.sqrt(information)
        self.before[active, h, 0], self.before[active, h, 1] = score[active], information[active]

    def _increments(self, stage: Stage, h: int, active: np.ndarray) -> None:
        """z of the stage from the growth of score and information (1 / se²) of the estimate."""
        information = self._information(stage, h)
        score = np.nan_to_num(stage.z[:, h]) * np.sqrt(information)
        gain, more = score - self.before[:, h, 0], information - self.before[:, h, 1]
        with np.errstate(divide="ignore", invalid="ignore"):
            enough = more > 1e-12
            alone = np.where(enough, gain / np.sqrt(more), 0.0)
            estimate = np.where(enough, self.analysis.direction * gain / more, np.nan)
            error = np.where(enough, 1 / np.sqrt(more), np.nan)
        stage.stage_z[active, h] = alone[active]
        stage.stage_estimate[active, h] = estimate[active]
        stage.stage_se[active, h] = error[active]
        self.before[active, h, 0], self.before[active, h, 1] = score[active], information[active]


def with_arms(batch: TrialBatch, arm: np.ndarray) -> TrialBatch:
    """The batch with other arm codes, its order in time kept."""
    made = replace(batch, arm=arm)
    if "_sorted" in batch.__dict__:
        time, exit_, code, patient, tied = batch._sorted
        moved = np.take_along_axis(arm, patient.astype(np.int64), axis=1)
        made.__dict__["_sorted"] = (
            time,
            exit_,
            (2 * moved + (code & 1)).astype(np.int8),
            patient,
            tied,
        )
    return made
