"""Summaries of simulated adaptive trials: what was adapted, how often, how good estimates are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr, ndtri

from trial_sim.adaptive.rules import OF_ONE_NUMBER, AddArm, DropArm, Resize, Restrict, Stop
from trial_sim.design.adaptive_design import AdaptiveDesign
from trial_sim.design.milestones import is_bound
from trial_sim.engine.adapting.conduct import AdaptiveConducted, Course, Decide
from trial_sim.engine.interim_analyses import EFFICACY
from trial_sim.numerics.monte_carlo import Estimate, average, quantile, root_mean_square, share
from trial_sim.numerics.normal_kernels import bivariate_normal_cdfs
from trial_sim.numerics.random_streams import Streams
from trial_sim.simulation.operating_characteristics import SimulationResult
from trial_sim.simulation.replay import TrialReplay, curves_of, data_shown, patient_table

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class AdaptiveResult(SimulationResult):
    """What :func:`trial_sim.simulate` returns for an adaptive design.

    Everything of a ``SimulationResult``, from what trials really did: patients, events, arms and
    months of each. ``design`` is a plain design with all arms and a look a milestone.

    Attributes:
        adaptive: what was simulated. decide: a function of the user's that changed it besides.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "low": 1, "high": 1},
        ...     n_patients=180,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EnrolmentLooks([90, 150]),
        ...     test="t_test",
        ...     boundaries=ts.group_sequential((0.5, 1)),
        ...     multiplicity="unadjusted",
        ... )
        >>> best = ts.Rule(ts.Quantity("rank") > 1, ts.DropArm())
        >>> adaptive = ts.AdaptiveDesign(
        ...     design,
        ...     [
        ...         ts.Milestone("interim", ts.EnrolmentLooks([90]), best),
        ...         ts.Milestone("final", ts.EnrolmentLooks([150])),
        ...     ],
        ...     ts.ClosedTest(intersection="simes"),
        ... )
        >>> outcomes = ts.ContinuousResponse({"low": 0.2, "high": 0.5})
        >>> result = ts.simulate(adaptive, outcomes, n_trials=100, seed=1)
        >>> list(result.adaptations)
        ['milestone', 'rule', 'arm', 'estimate', 'mcse', 'lower', 'upper']
        >>> result.patients_by_milestone().columns.tolist()[:3]
        ['milestone', 'held', 'month']
        >>> result.estimates().columns.tolist()
        ['method', 'trial', 'estimate', 'lower', 'upper']
        >>> result.hypotheses, result.declared == adaptive
        (('low', 'high'), True)
        >>> result.log(0).columns.tolist()
        ['milestone', 'month', 'rule', 'arm', 'quantity', 'value', 'fired']
        >>> result.patients_by_arm.shape, result.rejected_hypotheses.shape
        ((100, 3), (100, 2))
        >>> sorted(set(result.estimate_performance({"low": 0.2, "high": 0.5})["method"]))
        ['last stage', 'median-unbiased', 'naive', 'weighted']
    """

    adaptive: AdaptiveDesign = None  # type: ignore[assignment]
    decide: Decide | None = None

    def _method_in_words(self) -> str:
        test = self.adaptive.closed_test
        if test is None:
            return "no closed test"
        if test.combine == "conventional" and test.graph is None:
            return "the usual test of all patients so far, no closed test"
        tested = "a graph" if test.graph is not None else f"intersections by {test.intersection}"
        return f"closed test: stages by {test.combine}, {tested}"

    @property
    def declared(self) -> AdaptiveDesign:
        """The design as it was given to ``simulate``."""
        return self.adaptive

    @property
    def planned_bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Efficacy bounds of the combined z at the milestones; futility is left to the rules."""
        bounds = self.adaptive.efficacy_bounds
        return bounds, np.full(len(bounds), -np.inf)

    @property
    def _adapted(self) -> AdaptiveConducted:
        assert isinstance(self.conducted, AdaptiveConducted)
        return self.conducted

    @cached_property
    def duration(self) -> np.ndarray:
        """Month of each trial's last decision, (n_trials,)."""
        return self._at_stop(self._adapted.decision_time)

    @cached_property
    def patients_by_arm(self) -> np.ndarray:
        """Patients enrolled in each arm by the last decision, (n_trials, n_arms)."""
        at = self.conducted.last_look[:, None, None]
        return np.take_along_axis(self._adapted.patients_by_arm, at, axis=1)[:, 0]

    @cached_property
    def rejected_hypotheses(self) -> np.ndarray:
        """Whether each hypothesis was rejected, (n_trials, n_hypotheses) bool; in the order of
        ``adaptive.hypothesis_names``."""
        return self._adapted.rejected_at > 0

    @property
    def hypotheses(self) -> tuple[str, ...]:
        """Names of the hypotheses, as ``adaptive.hypothesis_names``."""
        return self.adaptive.hypothesis_names

    # -- what was adapted -----------------------------------------------------------------------

    @property
    def _rules(self) -> list[tuple[str, Any]]:
        return [
            (milestone.name, rule)
            for milestone in self.adaptive.milestones
            for rule in milestone.rules
            if not is_bound(rule)
        ]

    @cached_property
    def adaptations(self) -> pd.DataFrame:
        """How often each rule fired: one row a rule, and an arm where it is of single arms."""
        import pandas as pd

        rows = []
        arms = self.design.arm_names[1:]
        for r, (milestone, rule) in enumerate(self._rules):
            fired = self._adapted.fired[:, r]
            by_arm = fired[:, 1:].any() or (len(arms) > 1 and self._of_arms(rule))
            for c, arm in enumerate(arms if by_arm else ("",)):
                rows.append(
                    {
                        "milestone": milestone,
                        "rule": rule.in_words,
                        "arm": arm,
                        **vars(share(fired[:, c])),
                    }
                )
        columns = ["milestone", "rule", "arm", "estimate", "mcse", "lower", "upper"]
        return pd.DataFrame(rows, columns=columns)

    def patients_by_milestone(self) -> pd.DataFrame:
        """Mean patients of each arm enrolled by the decision of each milestone, and what the trial
        then aims at, over the trials that hold it."""
        import pandas as pd

        c = self._adapted
        rows = []
        for k, milestone in enumerate(self.adaptive.milestones):
            held = np.isfinite(c.look_time[:, k])
            row: dict[str, Any] = {"milestone": milestone.name, "held": round(held.mean(), 4)}
            row["month"] = round(float(c.decision_time[held, k].mean()), 2) if held.any() else None
            for a, arm in enumerate(self.design.arm_names):
                row[arm] = round(float(c.patients_by_arm[held, k, a].mean()), 2)
            row["planned in all"] = round(float(c.target[held, k].mean()), 2)
            rows.append(row)
        return pd.DataFrame(rows)

    def _of_arms(self, rule: Any) -> bool:
        named = all(
            q.arm is not None or q.name in OF_ONE_NUMBER
            for one in rule.when.comparisons()
            for q in one.quantity.quantities
        )
        return isinstance(rule.action, DropArm | Stop) and not named

    def log(self, trial: int) -> pd.DataFrame:
        """What the rules of one trial looked at and did, milestone by milestone.

        Raises:
            ValueError: if the result has no such trial.
        """
        import pandas as pd

        c = self._adapted
        row = self._row(trial)
        rows, v = [], 0
        arms = self.design.arm_names[1:]
        names = [milestone.name for milestone in self.adaptive.milestones]
        for r, (milestone, rule) in enumerate(self._rules):
            k = names.index(milestone)
            for one in rule.when.comparisons():
                values = c.value[row, v]
                known = np.isfinite(values)
                v += 1
                for i, arm in enumerate(arms):
                    if not known[i]:
                        continue
                    single = len(arms) > 1 and self._of_arms(rule)
                    rows.append(
                        {
                            "milestone": milestone,
                            "month": c.look_time[row, k],
                            "rule": rule.in_words,
                            "arm": arm if single else "",
                            "quantity": one.quantity.in_words,
                            "value": float(values[i]),
                            "fired": bool(c.fired[row, r, i if single else 0]),
                        }
                    )
        columns = ["milestone", "month", "rule", "arm", "quantity", "value", "fired"]
        return pd.DataFrame(rows, columns=columns)

    def _row(self, trial: int) -> int:
        found = np.flatnonzero(self.conducted.trial == trial)
        if not found.size:
            raise ValueError(
                f"trial {trial!r} is not among the {self.n_trials} trials of the result"
            )
        return int(found[0])

    def replay(self, trial: int) -> TrialReplay:
        """One trial again, patient by patient, with what its rules changed.

        Raises:
            ValueError: if the result has no such trial.
        """
        self._row(trial)
        streams = Streams(self.seed, self.scenario, np.array([trial], dtype=np.int64))
        course = Course(self.adaptive, self.outcomes, streams, self.decide)
        again = course.run()
        batch = course.batch
        patients = patient_table(self.design, batch)
        mine = self.trials.loc[self.trials["trial"] == trial].copy()
        data = data_shown(batch, patients, again)
        came = patients.loc[np.isfinite(patients["enrolment"])].reset_index(drop=True)
        return TrialReplay(trial, came, mine.reset_index(drop=True), data)

    def curves(self, months: Any = None, n_trials: int = 200, level: float = 0.9) -> pd.DataFrame:
        """Patients and events by month, of trials as they were adapted; see ``SimulationResult``.

        A trial that stopped is followed on as if it had not.
        """
        chosen = self.conducted.trial[: max(1, int(n_trials))]
        streams = Streams(self.seed, self.scenario, chosen)
        course = Course(self.adaptive, self.outcomes, streams, self.decide)
        course.run()
        return curves_of(course.batch, self, months, level)

    # -- summaries ------------------------------------------------------------------------------

    def _quantities(self) -> list[tuple[str, Estimate]]:
        rows = super()._quantities()
        c = self._adapted
        arms = self.design.arm_names
        if len(self.hypotheses) > len(arms) - 1:
            rows += [
                (f"power, {name}", share(self.rejected_hypotheses[:, h]))
                for h, name in enumerate(self.hypotheses)
            ]
        if len(arms) > 2 or self.adaptive.later_arms:
            for a, arm in enumerate(arms):
                rows.append(
                    (f"expected patients, {arm}", average(self.patients_by_arm[:, a].astype(float)))
                )
        for r, (milestone, rule) in enumerate(self._rules):
            if isinstance(rule.action, Resize | Restrict | AddArm):
                rows.append((f"{milestone}: {rule.action.in_words}", share(c.fired[:, r, 0])))
        return rows

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row a trial and look held (and a comparison, with several arms)."""
        table = super().trials
        c = self._adapted
        at = np.searchsorted(c.trial, table["trial"].to_numpy())
        look = table["look"].to_numpy() - 1
        table["decision_month"] = c.decision_time[at, look]
        for a, arm in enumerate(self.design.arm_names):
            table[f"patients_{arm}"] = c.patients_by_arm[at, look, a]
        table["target"] = c.target[at, look]
        if len(self.adaptive.tested_populations) > 1:
            names = ["all" if p is None else p for p in self.adaptive.tested_populations]
            table["population"] = np.array(names, dtype=object)[c.population[at, look]]
        return table

    # -- estimates ------------------------------------------------------------------------------

    def estimates(self, comparison: int = 0, level: float = 0.95) -> pd.DataFrame:
        """Estimates of one arm's effect, trial by trial, with intervals.

        Columns ``method``, ``trial``, ``estimate``, ``lower``, ``upper``: "naive" is that of all
        patients, as if nothing had been adapted; "last stage" that of the last stage alone (it
        knows nothing of the decisions before it); "weighted" the stages' estimates weighted as the
        inverse normal combination weights them (Lawrence & Hung 2003); "median-unbiased", of two
        milestones, from the stagewise ordering of the combination test. After a selection among
        arms only "last stage" knows nothing of it.
        """
        import pandas as pd

        c = self._adapted
        half = float(ndtri(0.5 + level / 2))
        n_tests = len(self.design.arm_names) - 1
        tables = []
        known = np.isfinite(c.estimate[:, comparison]) & np.isfinite(c.se[:, comparison])
        point, se = c.estimate[known, comparison], c.se[known, comparison]
        rows = np.flatnonzero(known)
        pop = np.zeros(self.n_trials, np.int64)
        if len(self.adaptive.tested_populations) > 1:
            # of the population in which it was tested at the end: that of the last stage's numbers
            for at in range(1, len(self.adaptive.tested_populations)):
                mine = np.isnan(self._last(c.stage_z[:, :, comparison])) & np.isfinite(
                    self._last(c.stage_z[:, :, at * n_tests + comparison])
                )
                pop[mine] = at
        hypothesis = pop * n_tests + comparison
        z, est, err = (
            np.take_along_axis(values, hypothesis[:, None, None], axis=2)[:, :, 0][rows]
            for values in (c.stage_z, c.stage_estimate, c.stage_se)
        )
        stages = np.isfinite(z) & np.isfinite(est) & np.isfinite(err) & (err > 0)
        weights = np.sqrt(np.diff(self.adaptive.fractions, prepend=0.0))
        made: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {
            "naive": (point, point - half * se, point + half * se)
        }
        last = stages.shape[1] - 1 - np.argmax(stages[:, ::-1], axis=1)
        own = np.where(stages.any(axis=1), est[np.arange(len(rows)), last], np.nan)
        own_se = np.where(stages.any(axis=1), err[np.arange(len(rows)), last], np.nan)
        made["last stage"] = (own, own - half * own_se, own + half * own_se)
        with np.errstate(divide="ignore", invalid="ignore"):
            root = np.where(stages, weights / err, 0.0)
            total = root.sum(axis=1)
            middle = (root * np.where(stages, est, 0.0)).sum(axis=1) / total
            spread = np.sqrt(np.where(stages, weights**2, 0.0).sum(axis=1)) / total
        made["weighted"] = (middle, middle - half * spread, middle + half * spread)
        two = len(self.adaptive.milestones) == 2
        if (
            two
            and self.adaptive.closed_test is not None
            and (self.adaptive.closed_test.combine in ("inverse_normal", "conditional_error"))
        ):
            made["median-unbiased"] = self._median_unbiased(est, err, stages, level)
        for method, (value, low, high) in made.items():
            tables.append(
                pd.DataFrame(
                    {
                        "method": method,
                        "trial": c.trial[rows],
                        "estimate": value,
                        "lower": low,
                        "upper": high,
                    }
                )
            )
        return pd.concat(tables, ignore_index=True)

    def _last(self, values: np.ndarray) -> np.ndarray:
        return np.take_along_axis(values, self.conducted.last_look[:, None], axis=1)[:, 0]

    def _median_unbiased(
        self, est: np.ndarray, err: np.ndarray, stages: np.ndarray, level: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where the chance of a result as good or better, in the stagewise order, is 1/2 and so on.

        Of two stages, for each effect: the chance under it of having stopped at the first bound,
        or of going on to a combination as large as the one seen. Futility is ignored.
        """
        sign = self.direction
        w = np.sqrt(np.diff(self.adaptive.fractions, prepend=0.0))
        c1 = float(self.adaptive.efficacy_bounds[0])
        z1 = sign * est[:, 0] / err[:, 0]
        both = stages.all(axis=1)
        usable = stages[:, 0]
        err1 = np.where(usable, err[:, 0], 1.0)
        z2 = np.where(both, sign * est[:, 1] / np.where(both, err[:, 1], 1.0), 0.0)
        err2 = np.where(both, err[:, 1], 1.0)

        def chance(theta: np.ndarray) -> np.ndarray:
            first = -(z1 - theta / err1)
            alone = ndtr(first)
            joint = w[0] * (z1 - theta / err1) + w[1] * (z2 - theta / err2)
            if np.isfinite(c1):
                bound = c1 - theta / err1
                inside = bivariate_normal_cdfs(
                    bound, joint, float(w[0])
                )  # P(Z1 < bound, combination < joint)
                later = 1.0 - inside
            else:
                later = ndtr(-joint)
            return np.where(both, later, alone)

        found = []
        for p in (0.5, (1 - level) / 2, (1 + level) / 2):
            span = 12.0 * np.where(both, np.maximum(err1, err2), err1)
            middle = sign * np.where(
                both, 0.5 * (est[:, 0] + np.where(both, est[:, 1], 0.0)), est[:, 0]
            )
            low, high = middle - 2 * span, middle + 2 * span
            for _ in range(60):
                half = 0.5 * (low + high)
                above = chance(half) > p
                high = np.where(above, half, high)
                low = np.where(above, low, half)
            found.append(np.where(usable, 0.5 * (low + high), np.nan))
        point, lower, upper = found
        if sign < 0:
            return -point, -upper, -lower
        return point, lower, upper

    def estimate_performance(self, truth: Any, level: float = 0.95) -> pd.DataFrame:
        """Bias, root mean square error and coverage of each method of :meth:`estimates`.

        Over the trials in which the arm's comparison came to an end with an estimate.

        Args:
            truth: the true effect on the scale of :attr:`scale`; arm → effect, for several.
            level: of the intervals.
        """
        import pandas as pd

        rows = []
        for i, arm in enumerate(self.design.arm_names[1:]):
            true = float(truth[arm]) if isinstance(truth, dict) else float(truth)
            for method, table in self.estimates(i, level).groupby("method", sort=False):
                table = table.dropna()
                gap = table["estimate"].to_numpy() - true
                if not gap.size:
                    continue
                inside = ((table["lower"] <= true) & (true <= table["upper"])).to_numpy()
                for name, value in (
                    ("bias", average(gap)),
                    ("median bias", quantile(gap, 0.5)),
                    ("rmse", root_mean_square(gap)),
                    ("coverage", share(inside)),
                ):
                    rows.append({"arm": arm, "method": method, "quantity": name, **vars(value)})
        return pd.DataFrame(rows)

    def adjusted_estimates(self, level: float = 0.95, comparison: int = 0) -> pd.DataFrame | None:
        """See :meth:`estimates`: its "median-unbiased" rows; None of more than two milestones."""
        table = self.estimates(comparison, level)
        found = table.loc[table["method"] == "median-unbiased"].drop(columns="method")
        return found.reset_index(drop=True) if len(found) else None

    @cached_property
    def selected_arm(self) -> np.ndarray:
        """Index (from 0) of the rejecting arm with the largest z at its decision; -1 for none."""
        won = self.conducted.decision == EFFICACY
        settled = np.where(won, np.nan_to_num(self.conducted.z, nan=-np.inf), -np.inf).max(axis=1)
        return np.where(self.success, settled.argmax(axis=1), -1)
