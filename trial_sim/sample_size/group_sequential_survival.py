"""Look times, power and expected duration of group-sequential survival trials, by formulas.

Large-sample answers to what `trial_sim.simulate` finds by simulation, within a second's work: the
log-rank score at each look is normal with the mean and variance of `survival_moments`, whatever
the hazards do. Increments are independent, so the exact kernel of `boundaries` applies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr

from trial_sim.base.arguments import between
from trial_sim.numerics.roots import find_root
from trial_sim.sample_size.average_hazard import SurvivalScenario, expected_events, time_to_events
from trial_sim.sample_size.survival_moments import LogrankMoments, cox_hazard_ratio, logrank_moments
from trial_sim.sequential.boundaries import StageProbabilities, exit_probabilities
from trial_sim.sequential.integration import FloatArray
from trial_sim.sequential.multiplicity import normal_orthant

if TYPE_CHECKING:
    import pandas as pd

    from trial_sim.sequential.design import GroupSequential


@dataclass(frozen=True, eq=False)
class SurvivalExpectations:
    """Expected course of a group-sequential log-rank trial; arrays are (n_looks,) float64.

    times: calendar time of each look. events, patients: expected by then. hazard_ratio: the Cox
    hazard ratio that the data of the look estimate. information: variance of the score, over that
    of the last look. probabilities: of each decision at each look.

    Examples:
        >>> import trial_sim as ts
        >>> scenario = ts.survival_scenario(
        ...     accrual_rates=20, accrual_durations=10, control_median=12, hazard_ratio=0.7
        ... )
        >>> gs = ts.group_sequential(information_fractions=(0.5, 1), alpha=0.025, power=0.9)
        >>> expected = ts.survival_expectations(scenario, gs, events=120)
        >>> 0 < expected.power < 1, expected.stage_rejection.shape
        (True, (2,))
        >>> 0 < expected.expected_events <= 120, expected.expected_duration > 0
        (True, True)
        >>> round(float(expected.expected_patients), 6)
        200.0
        >>> list(expected.table())[:2]
        ['time', 'events']
    """

    times: FloatArray
    events: FloatArray
    patients: FloatArray
    hazard_ratio: FloatArray
    information: FloatArray
    probabilities: StageProbabilities
    boundaries: GroupSequential | None = field(default=None, repr=False)
    variance: FloatArray | None = field(default=None, repr=False)

    def summary(self) -> pd.DataFrame:
        """The design look by look, as a protocol shows it.

        Columns: information, month, events, patients; each bound as z, as one-sided p and as the
        hazard ratio observed there; cumulative alpha and power; the chance to cross each bound at
        the look under no effect (``_h0``) and under the scenario (``_h1``).

        Examples:
            >>> import trial_sim as ts
            >>> scenario = ts.survival_scenario(
            ...     accrual_rates=20, accrual_durations=25, control_median=12, hazard_ratio=0.7
            ... )
            >>> gs = ts.group_sequential(
            ...     information_fractions=(0.5, 1), efficacy="obrien_fleming", futility=[0.0]
            ... )
            >>> found = ts.survival_expectations(scenario, gs, events=330).summary()
            >>> found[["events", "patients", "efficacy_z"]].round(2).to_numpy().tolist()
            [[165.0, 432.71, 2.8], [330.0, 500.0, 1.98]]
        """
        import pandas as pd

        gs, variance = self.boundaries, self.variance
        if gs is None or variance is None:
            raise ValueError("these expectations hold no boundaries; use survival_expectations")
        no_drift = np.zeros(len(self.times))

        def under_none(futility: FloatArray) -> StageProbabilities:
            return exit_probabilities(
                self.information, gs.efficacy_bounds, futility, no_drift, gs.sided
            )

        none = under_none(gs.futility_bounds)
        # Futility that may be overruled does not give back any error.
        spent = none if gs.binding else under_none(no_drift - np.inf)
        columns: dict[str, FloatArray] = {
            "information": self.information,
            "month": self.times,
            "events": self.events,
            "patients": self.patients,
        }
        bounds = {"efficacy": gs.efficacy_bounds}
        if np.isfinite(gs.futility_bounds[:-1]).any():
            bounds["futility"] = gs.futility_bounds
        for name, z in bounds.items():
            columns[f"{name}_z"] = z
            columns[f"{name}_p"] = ndtr(-z)
            columns[f"{name}_hazard_ratio"] = np.exp(-z / np.sqrt(variance))
        columns["cumulative_alpha"] = np.cumsum(spent.rejection)
        columns["cumulative_power"] = np.cumsum(self.probabilities.rejection)
        for name in bounds:
            crossed = "rejection" if name == "efficacy" else "futility"
            columns[f"{name}_h0"] = getattr(none, crossed)
            columns[f"{name}_h1"] = getattr(self.probabilities, crossed)
        table = pd.DataFrame(columns)
        table.index = pd.RangeIndex(1, len(table) + 1, name="look")
        return table

    @property
    def power(self) -> float:
        """Overall probability of rejecting in favour of the treatment."""
        return float(self.probabilities.upper.sum())

    @property
    def stage_rejection(self) -> FloatArray:
        """(n_looks,) probability of rejecting at each look."""
        return self.probabilities.rejection

    @property
    def expected_duration(self) -> float:
        """Mean calendar time of the analysis that ends the trial."""
        return float(self.probabilities.stop @ self.times)

    @property
    def expected_events(self) -> float:
        """Mean number of events at the analysis that ends the trial."""
        return float(self.probabilities.stop @ self.events)

    @property
    def expected_patients(self) -> float:
        """Mean number of patients enrolled by the analysis that ends the trial."""
        return float(self.probabilities.stop @ self.patients)

    def table(self) -> pd.DataFrame:
        """One row a look."""
        import pandas as pd

        return pd.DataFrame(
            {
                "look": np.arange(1, len(self.times) + 1),
                "time": self.times,
                "events": self.events,
                "patients": self.patients,
                "hazard_ratio": self.hazard_ratio,
                "information_fraction": self.information,
                "rejection": self.probabilities.rejection,
                "futility": self.probabilities.futility,
            }
        ).set_index("look")


def survival_expectations(
    scenario: SurvivalScenario,
    boundaries: GroupSequential,
    *,
    events: float | Sequence[float] | None = None,
    times: Sequence[float] | None = None,
    weight: Any = "logrank",
) -> SurvivalExpectations:
    """Expected course of a trial with log-rank looks at given events or times.

    events: at the last look (the others by information fraction), or at each look.
    times: calendar time of each look. weight: see `sample_size_survival`.
    Raises ValueError when a look needs more events than are ever expected, naming the look.

    Examples:
        >>> import trial_sim as ts
        >>> scenario = ts.survival_scenario(
        ...     accrual_rates=20, accrual_durations=25, control_median=12, hazard_ratio=0.7
        ... )
        >>> gs = ts.group_sequential(
        ...     information_fractions=(0.5, 1),
        ...     alpha=0.025,
        ...     power=0.9,
        ...     efficacy="obrien_fleming",
        ... )
        >>> course = ts.survival_expectations(scenario, gs, events=330)
        >>> round(float(course.power), 3)
        0.897
    """
    looks = boundaries.n_looks
    if (events is None) == (times is None):
        raise ValueError("give either events or times of the looks")
    if times is None:
        wanted = np.atleast_1d(np.asarray(events, dtype=float))
        if len(wanted) == 1:
            wanted = wanted[0] * boundaries.information_fractions
        if len(wanted) != looks:
            raise ValueError(f"events must be 1 or {looks} numbers, got {len(wanted)}")
        when = []
        for look, count in enumerate(wanted, start=1):
            try:
                when.append(time_to_events(scenario, float(count)))
            except ValueError as error:
                raise ValueError(f"look {look} cannot be reached: {error}") from None
        cuts = np.array(when)
    else:
        cuts = np.atleast_1d(np.asarray(times, dtype=float))
        if len(cuts) != looks:
            raise ValueError(f"times must be {looks} numbers, one a look, got {len(cuts)}")
    if cuts[0] <= 0 or (np.diff(cuts) <= 0).any():
        raise ValueError(f"looks must come one after the other, got times {cuts.tolist()}")
    patients = scenario.enrolled(cuts)
    moments = [logrank_moments(scenario, float(t), (weight,)) for t in cuts]
    score = np.array([float(m.drift[0]) for m in moments]) * patients
    variance = np.array([float(m.covariance[0, 0]) for m in moments]) * patients
    information = variance / variance[-1]
    mean = score / np.sqrt(variance[-1])
    slopes = np.diff(mean, prepend=0.0) / np.diff(information, prepend=0.0)
    return SurvivalExpectations(
        cuts,
        expected_events(scenario, cuts),
        patients,
        np.array([cox_hazard_ratio(scenario, float(t)) for t in cuts]),
        information,
        exit_probabilities(
            information,
            boundaries.efficacy_bounds,
            boundaries.futility_bounds,
            slopes,
            boundaries.sided,
        ),
        boundaries,
        variance,
    )


@dataclass(frozen=True, eq=False)
class SequentialMaxCombo:
    """A group-sequential test on the maximum of weighted log-rank tests, m tests over all looks.

    mean: (m,) of the statistics under the scenario, look by look. correlation: (m, m).
    look: (m,) int, look of each (1 is the first). critical_values: (n_looks,).
    rejection: (n_looks,) probability of rejecting at each look.
    """

    mean: FloatArray
    correlation: FloatArray
    look: np.ndarray
    critical_values: FloatArray
    rejection: FloatArray

    @property
    def power(self) -> float:
        """Overall probability of rejection."""
        return float(self.rejection.sum())


def sequential_max_combo(
    scenario: SurvivalScenario,
    times: Sequence[float],
    weights: Sequence[Sequence[Any]],
    alpha_spent: Sequence[float],
) -> SequentialMaxCombo:
    """Critical values and power of a MaxCombo test with interim looks (Prior 2020).

    times: (n_looks,) calendar times. weights: for each look the weights whose maximum is tested.
    alpha_spent: (n_looks,) cumulative one-sided error.
    Scores of two looks share the increments up to the earlier one: their covariance is that of the
    two weights at the earlier look.
    """
    looks = len(times)
    if len(weights) != looks or len(alpha_spent) != looks:
        raise ValueError(
            f"{looks} times need as many weights and alpha_spent, got {len(weights)} and "
            f"{len(alpha_spent)}"
        )
    spent = [between("alpha_spent", a, 0.0, 1.0) for a in alpha_spent]
    if (np.diff(spent) <= 0).any() or (np.diff(np.asarray(times, dtype=float)) <= 0).any():
        raise ValueError("times and alpha_spent must increase from look to look")
    every = [w for group in weights for w in group]
    look = np.repeat(np.arange(1, looks + 1), [len(group) for group in weights])
    moments: list[LogrankMoments] = [logrank_moments(scenario, float(t), every) for t in times]
    patients = scenario.enrolled(times)
    m = len(every)
    covariance = np.empty((m, m))
    for i in range(m):
        for j in range(m):
            first = min(look[i], look[j]) - 1
            covariance[i, j] = moments[first].covariance[i, j] * patients[first]
    sd = np.sqrt(np.diag(covariance))
    mean = np.array([moments[k - 1].drift[i] * patients[k - 1] for i, k in enumerate(look)]) / sd
    correlation = covariance / np.outer(sd, sd)
    critical = np.empty(looks)
    limits = np.empty(m)
    survived, rejection = 1.0, np.empty(looks)
    for k in range(1, looks + 1):
        upto = look <= k
        block = correlation[np.ix_(upto, upto)]

        def gap(c: float, k: int = k, upto: np.ndarray = upto, block: FloatArray = block) -> float:
            limits[look == k] = c
            return 1.0 - normal_orthant(limits[upto], block) - spent[k - 1]

        critical[k - 1] = find_root(gap, 2.3, 0.1, 0.0, 12.0, 1e-9, 1e-9, "a critical value")
        limits[look == k] = critical[k - 1]
        now = normal_orthant(limits[upto] - mean[upto], block)
        rejection[k - 1] = survived - now
        survived = now
    return SequentialMaxCombo(mean, correlation, look, critical, rejection)
