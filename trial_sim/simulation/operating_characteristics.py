"""Summaries of simulated trials, each with its Monte-Carlo standard error (MCSE) and interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trial_sim.base.arguments import nearest
from trial_sim.design.design import Design
from trial_sim.engine.interim_analyses import DECISIONS, EFFICACY, FUTILITY, Conducted
from trial_sim.numerics.monte_carlo import Estimate, average, quantile, share
from trial_sim.simulation.estimation_quality import adjusted_estimates, estimate_performance
from trial_sim.simulation.replay import calendar_curves, replay
from trial_sim.simulation.result_files import provenance, save

if TYPE_CHECKING:
    import pandas as pd

    from trial_sim.simulation.replay import TrialReplay


@dataclass(frozen=True, eq=False)
class SimulationResult:
    """What :func:`trial_sim.simulate` returns.

    Attributes:
        design, outcomes: what was simulated.
        conducted: the raw arrays, a row a trial.
        seed, scenario: keys of the random numbers.
        n_requested: trials asked for; fewer are there if the run was interrupted.
        seconds: time taken.
        scale: what the estimates estimate. direction: -1 where a negative estimate is the good one.

    Examples:
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EventLooks([60, 120]),
        ... )
        >>> outcomes = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.6)
        >>> result = ts.simulate(design, outcomes, n_trials=100, seed=1)
        >>> result.n_trials, result.interrupted, result.rejected.shape, result.success.shape
        (100, False, (100, 1), (100,))
        >>> result.declared == design, result.planned_bounds[0].round(2).tolist()
        (True, [inf, 1.96])
        >>> bool(result.power == result.stage_rejection.sum()), result.stage_futility.tolist()
        (True, [0.0, 0.0])
        >>> result.duration.shape, result.events.shape, result.patients.shape
        ((100,), (100,), (100,))
        >>> result.look_times.shape
        (2,)
        >>> bool(result.expected_duration > 0 and result.expected_events <= 120)
        True
        >>> result.expected_patients <= 200, len(result.selected_arm)
        (True, 100)
        >>> list(result.operating_characteristics)
        ['quantity', 'estimate', 'mcse', 'lower', 'upper']
        >>> result.quantity("power").estimate == result.power, round(result.mcse("power"), 2) < 0.1
        (True, True)
        >>> result.power_to(0.005) > 0, list(result.trials)[:3]
        (True, ['trial', 'look', 'month'])
        >>> list(result.estimate_performance(truth=0.6))[:2]
        ['arm', 'method']
        >>> result.adjusted_estimates() is None
        True
        >>> result.replay(0).looks.shape[0] >= 1, list(result.curves(n_trials=20))[:2]
        (True, ['month', 'patients_mean'])
        >>> null = ts.simulate(design, outcomes.replace(hazard_ratio=1.0), n_trials=100, seed=1)
        >>> bool(result.compare(null).estimate > 0), result.provenance["seed"]
        (True, 1)
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     print(sorted(path.name for path in result.save(folder).iterdir()))
        ['operating_characteristics.csv', 'run.json', 'trials.parquet']
    """

    design: Design
    outcomes: Any
    conducted: Conducted
    seed: int
    scenario: int
    n_requested: int
    seconds: float
    scale: str
    direction: float

    @property
    def declared(self) -> Any:
        """The design as it was given to ``simulate``."""
        return self.design

    @property
    def planned_bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Efficacy and futility bounds of z at the looks, (n_looks,) each."""
        return self.design.efficacy_bounds, self.design.futility_bounds

    # -- counts and shares ----------------------------------------------------------------------

    @property
    def n_trials(self) -> int:
        """Number of trials simulated."""
        return len(self.conducted.trial)

    @property
    def interrupted(self) -> bool:
        """Whether fewer trials are there than were asked for."""
        return self.n_trials < self.n_requested

    @cached_property
    def rejected(self) -> np.ndarray:
        """Whether each trial rejected for each comparison, (n_trials, n_comparisons) bool."""
        return (self.conducted.decision == EFFICACY).any(axis=1)

    @cached_property
    def success(self) -> np.ndarray:
        """Whether each trial rejected for any arm in its favour or, two-sided, at all."""
        return np.asarray(self.rejected.any(axis=1))

    @property
    def power(self) -> float:
        """Share of trials that reject (for any arm, if there are several)."""
        return float(self.success.mean())

    @property
    def stage_rejection(self) -> np.ndarray:
        """Share of all trials that first reject at each look, (n_looks,); sums to the power."""
        return self._first_rejection.mean(axis=0)

    @cached_property
    def _first_rejection(self) -> np.ndarray:
        hit = (self.conducted.decision == EFFICACY).any(axis=2)
        return hit & (np.cumsum(hit, axis=1) == 1)

    @property
    def stage_futility(self) -> np.ndarray:
        """Share of all trials that end for futility at each look, (n_looks,)."""
        return self._futile.mean(axis=0)

    @cached_property
    def _futile(self) -> np.ndarray:
        last = np.arange(self.design.n_looks) == self.conducted.last_look[:, None]
        return last & (self.conducted.decision == FUTILITY).any(axis=2) & ~self.success[:, None]

    # -- costs ----------------------------------------------------------------------------------

    def _at_stop(self, values: np.ndarray) -> np.ndarray:
        return np.take_along_axis(values, self.conducted.last_look[:, None], axis=1)[:, 0]

    @cached_property
    def duration(self) -> np.ndarray:
        """Month of each trial's last decision, (n_trials,), the lag after the data cut included."""
        return self._at_stop(self.conducted.look_time) + self.design.lag

    @cached_property
    def events(self) -> np.ndarray:
        """Events at each trial's last data cut, (n_trials,)."""
        return self._at_stop(self.conducted.events.sum(axis=2))

    @cached_property
    def patients(self) -> np.ndarray:
        """Patients enrolled by each trial's last decision, (n_trials,)."""
        return self._at_stop(self.conducted.patients)

    @property
    def expected_duration(self) -> float:
        """Mean month of the last decision."""
        return float(self.duration.mean())

    @property
    def expected_events(self) -> float:
        """Mean number of events at the last data cut."""
        return float(self.events.mean())

    @property
    def expected_patients(self) -> float:
        """Mean number of patients enrolled by the last decision."""
        return float(self.patients.mean())

    @cached_property
    def look_times(self) -> np.ndarray:
        """Mean calendar month of each look over the trials that hold it, (n_looks,)."""
        held = np.isfinite(self.conducted.look_time)
        total = np.where(held, self.conducted.look_time, 0.0).sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return total / held.sum(axis=0)

    # -- summaries ------------------------------------------------------------------------------

    @cached_property
    def operating_characteristics(self) -> pd.DataFrame:
        """One row a quantity: quantity, estimate, mcse, lower, upper (95 % interval)."""
        import pandas as pd

        rows = [{"quantity": name, **vars(value)} for name, value in self._quantities()]
        return pd.DataFrame(rows, columns=["quantity", "estimate", "mcse", "lower", "upper"])

    def _quantities(self) -> list[tuple[str, Estimate]]:
        rows = [("power", share(self.success))]
        arms = self.design.arm_names[1:]
        if len(arms) > 1:
            rows = [("disjunctive power", share(self.success))]
            rows.append(("conjunctive power", share(np.asarray(self.rejected.all(axis=1)))))
            rows += [(f"power, {arm}", share(self.rejected[:, c])) for c, arm in enumerate(arms)]
            chosen = self.selected_arm
            rows += [(f"selected, {arm}", share(chosen == c)) for c, arm in enumerate(arms)]
            rows.append(("selected, none", share(chosen == -1)))
        for k in range(self.design.n_looks):
            rows.append((f"rejection at look {k + 1}", share(self._first_rejection[:, k])))
        for k in range(self.design.n_looks):
            rows.append((f"futility at look {k + 1}", share(self._futile[:, k])))
        for k in range(self.design.n_looks):
            held = np.isfinite(self.conducted.look_time[:, k])
            rows.append((f"look {k + 1} held", share(held)))
            rows.append((f"month of look {k + 1}", average(self.conducted.look_time[:, k])))
        if not self.conducted.triggered[:, -1].all():
            short = ~self._at_stop(self.conducted.triggered)
            rows.append(("ended before the planned trigger", share(short)))
        for name, values in (
            ("events", self.events),
            ("patients", self.patients),
            ("duration", self.duration),
        ):
            values = values.astype(float)
            rows.append((f"expected {name}", average(values)))
            for p in (0.05, 0.5, 0.95):
                rows.append((f"{name}, {100 * p:g} % quantile", quantile(values, p)))
        for c, arm in enumerate(arms):
            label = self.scale if len(arms) == 1 else f"{self.scale}, {arm}"
            rows.append((f"mean {label}", average(self.conducted.estimate[:, c])))
            rows.append((f"mean standard error of {label}", average(self.conducted.se[:, c])))
        return rows

    @cached_property
    def selected_arm(self) -> np.ndarray:
        """Index (from 0) of the rejecting arm with the largest z at its decision; -1 for none."""
        settled = np.nanmax(
            np.where(self.conducted.decision == EFFICACY, self.conducted.z, -np.inf), axis=1
        )
        return np.where(self.success, settled.argmax(axis=1), -1)

    def mcse(self, quantity: str = "power") -> float:
        """Monte-Carlo standard error of one row of :attr:`operating_characteristics`.

        Raises:
            ValueError: if there is no such row.
        """
        return self.quantity(quantity).mcse

    def quantity(self, name: str) -> Estimate:
        """One row of :attr:`operating_characteristics`.

        Raises:
            ValueError: if there is no such row.
        """
        rows = dict(self._quantities())
        if name not in rows:
            raise ValueError(f"there is no quantity {name!r}{nearest(name, rows)}")
        return rows[name]

    def power_to(self, mcse: float) -> int:
        """How many trials more bring the MCSE of the power down to ``mcse``.

        With none (or all) rejecting so far, the share is taken as one half a rejection, so that the
        answer is never based on an MCSE of 0.

        Raises:
            ValueError: if ``mcse`` is not between 0 and 0.5.
        """
        if not 0 < mcse < 0.5:
            raise ValueError(f"mcse must be between 0 and 0.5, got {mcse!r}")
        hits, n = int(self.success.sum()), self.n_trials
        p = min(max(hits, 0.5), n - 0.5) / n
        return max(0, int(np.ceil(p * (1 - p) / mcse**2 - 1e-9)) - n)

    def estimate_performance(self, truth: float, level: float = 0.95) -> pd.DataFrame:
        """Bias, root mean square error and coverage of the effect estimates.

        Rows ``naive`` use the estimate at the stop; rows ``adjusted`` the median-unbiased estimate
        and interval of the stagewise ordering (:meth:`adjusted_estimates`), where boundaries from
        ``group_sequential`` make them possible.

        Args:
            truth: the true effect on the scale of :attr:`scale`, such as ``log(0.7)``.
            level: confidence level of the intervals.
        """
        return estimate_performance(self, truth, level)

    def adjusted_estimates(self, level: float = 0.95, comparison: int = 0) -> pd.DataFrame | None:
        """Median-unbiased estimate and interval of each trial, on the scale of :attr:`scale`.

        From the stagewise ordering at the planned information fractions, scaled by each trial's own
        standard error at its stop; None without ``group_sequential`` boundaries, and where
        ``max_information`` or a step-down method gave trials boundaries of their own.
        """
        return adjusted_estimates(self, level, comparison)

    # -- trials ---------------------------------------------------------------------------------

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row a trial and look held (and a comparison, with several arms)."""
        import pandas as pd

        c = self.conducted
        arms = self.design.arm_names
        row, look = np.nonzero(np.isfinite(c.look_time))
        frame: dict[str, Any] = {
            "trial": c.trial[row],
            "look": look + 1,
            "month": c.look_time[row, look],
            "decision_month": c.look_time[row, look] + self.design.lag,
            "events": c.events[row, look].sum(axis=1),
        }
        for a, arm in enumerate(arms):
            frame[f"events_{arm}"] = c.events[row, look, a]
        frame["patients"] = c.patients[row, look]
        frame["triggered"] = c.triggered[row, look]
        names = np.array(DECISIONS, dtype=object)
        tables = []
        for k, arm in enumerate(arms[1:]):
            part = pd.DataFrame(frame)
            if len(arms) > 2:
                part.insert(2, "arm", arm)
            part["z"] = c.z[row, look, k]
            part["efficacy_bound"] = c.efficacy[row, look]
            part["futility_bound"] = c.futility[row, look]
            part["decision"] = names[c.decision[row, look, k]]
            tables.append(part)
        table = pd.concat(tables, ignore_index=True)
        return table.sort_values(["trial", "look"], kind="stable", ignore_index=True)

    def replay(self, trial: int) -> TrialReplay:
        """One trial again, patient by patient: its data at each look and the decisions.

        Args:
            trial: number of the trial, from 0.
        """
        return replay(self, trial)

    def curves(self, months: Any = None, n_trials: int = 200, level: float = 0.9) -> pd.DataFrame:
        """Accrual and events by calendar month with bands, if the trial went on to its last look.

        Args:
            months: calendar months; 50 of them to the longest trial by default.
            n_trials: trials used. level: share of trials inside the band.
        """
        return calendar_curves(self, months, n_trials, level)

    def compare(self, other: SimulationResult, quantity: str = "success") -> Estimate:
        """Paired difference, this minus the other, over the trials that both have.

        With common random numbers (same seed and scenario) the pairing removes most of the noise.

        Args:
            quantity: ``"success"``, ``"duration"``, ``"events"`` or ``"patients"``.

        Raises:
            ValueError: if the two have no trials in common.
        """
        shared, mine, theirs = np.intersect1d(
            self.conducted.trial, other.conducted.trial, return_indices=True
        )
        if len(shared) == 0:
            raise ValueError("the two results have no trials in common")
        values: Callable[[SimulationResult], np.ndarray] = lambda r: getattr(r, quantity)  # noqa: E731
        return average(values(self)[mine].astype(float) - values(other)[theirs])

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """Seeds, versions and hashes that identify the run."""
        return provenance(self)

    def save(self, folder: str | Path) -> Path:
        """Write ``trials.parquet``, ``operating_characteristics.csv`` and ``run.json`` to a folder.

        ``run.json`` holds design, outcomes, seeds, versions and the hash of the inputs. The
        trials are read by ``duckdb.read_parquet(str(folder / "trials.parquet")).df()``, or by
        pandas where pyarrow is installed.
        """
        return save(self, folder)

    def _method_in_words(self) -> str:
        """How the error of several comparisons is held; empty for one comparison."""
        return self.design.multiplicity_in_words

    def __repr__(self) -> str:
        power = share(self.success)
        several = len(self.design.arm_names) > 2
        kind = "disjunctive power" if several else "power"
        method = f"; {words}" if (words := self._method_in_words()) else ""
        note = f" of {self.n_requested} (interrupted)" if self.interrupted else ""
        return (
            f"{type(self).__name__}({self.n_trials} trials{note}: {kind} {power.estimate:.4f} "
            f"(MCSE {power.mcse:.4f}), expected events {self.expected_events:.1f}, patients "
            f"{self.expected_patients:.1f}, duration {self.expected_duration:.1f} months{method})"
        )
