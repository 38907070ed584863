"""What the engine asks of an outcome scenario, and what it is given in return.

A scenario is any object with a ``kind`` and a ``sample(batch)``. The engine draws who enters when
and in which arm, hands these over as a :class:`PatientBatch`, and gets back an
:class:`OutcomeBatch`: each patient's *latent* outcome, drawn once, as if the patient were followed
for ever without dropout. Looks, dropout and censoring are the engine's job.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from trial_sim.base.arguments import nearest
from trial_sim.numerics.random_streams import Streams

KINDS = (
    "time_to_event",
    "competing_risks",
    "recurrent",
    "binary",
    "ordinal",
    "continuous",
    "count",
    "longitudinal",
)


@dataclass(frozen=True)
class PatientBatch:
    """The patients of a batch of trials, before anything has happened to them.

    Attributes:
        streams: random numbers; ``streams.uniform("event", n)`` and its siblings give
            (n_trials, n) arrays keyed by seed, scenario, trial and patient. A scenario must draw
            all its randomness from here, so that results do not depend on chunks or workers.
            ``streams.generator(t, "parameters")`` is a NumPy generator for the batch's trial t.
        arms: names of the arms; the first is the control.
        arm: (n_trials, n_patients) int8, index into ``arms``.
        enrolment: (n_trials, n_patients) float64, months since the trial opened, ascending.
        factors: for each stratification factor of the design, (n_trials, n_patients) integer codes.
        levels: for each factor, the names that its codes stand for.

    Examples:
        >>> import trial_sim as ts
        >>> import numpy as np
        >>> from trial_sim.numerics.random_streams import Streams
        >>> from trial_sim.scenarios import PatientBatch
        >>> arm = np.array([[0, 1, 0, 1]], dtype=np.int8)
        >>> batch = PatientBatch(
        ...     Streams.span(0, 0, 1), ("control", "treatment"), arm, np.zeros((1, 4))
        ... )
        >>> ts.PiecewiseExponential(control_median=12).sample(batch).time.shape
        (1, 4)
        >>> batch.n_trials, batch.n_patients
        (1, 4)
    """

    streams: Streams
    arms: tuple[str, ...]
    arm: np.ndarray
    enrolment: np.ndarray
    factors: Mapping[str, np.ndarray] = field(default_factory=dict)
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def n_trials(self) -> int:
        """Number of trials in the batch."""
        return self.arm.shape[0]

    @property
    def n_patients(self) -> int:
        """Number of patients in each trial."""
        return self.arm.shape[1]


@dataclass(frozen=True)
class OutcomeBatch:
    """Latent outcomes of a batch; only the fields of the scenario's kind are filled.

    Attributes:
        time: (n_trials, n_patients) float64, months from randomisation to the event (inf: never);
            for ``recurrent``, to the terminal event.
        cause: (n_trials, n_patients) int8, 1, 2, …, for ``competing_risks``.
        recurrences: (n_trials, n_patients, n_max) float64 ascending, padded with inf.
        response: (n_trials, n_patients) float64, for binary, ordinal, continuous and count.
        visits: (n_trials, n_patients, n_visits) float64, NaN where missing.
        visit_months: months of the visits since randomisation.
        baseline: (n_trials, n_patients) float64, measured before randomisation.
        covariates: name → (n_trials, n_patients) float64, for tests that adjust.
        endpoints: further latent times by name, such as ``{"pfs": …, "os": …}``.
        responses: further responses by name, (n_trials, n_patients) float64 each.
        dropout: (n_trials, n_patients) float64, months to a dropout that the scenario itself draws;
            the engine takes the earlier of this and the design's own dropout.

    Examples:
        >>> import trial_sim as ts
        >>> import numpy as np
        >>> from trial_sim.scenarios import OutcomeBatch
        >>> OutcomeBatch(time=np.array([[3.0, np.inf]])).time.shape
        (1, 2)
    """

    time: np.ndarray | None = None
    cause: np.ndarray | None = None
    recurrences: np.ndarray | None = None
    response: np.ndarray | None = None
    visits: np.ndarray | None = None
    visit_months: tuple[float, ...] = ()
    baseline: np.ndarray | None = None
    covariates: Mapping[str, np.ndarray] = field(default_factory=dict)
    endpoints: Mapping[str, np.ndarray] = field(default_factory=dict)
    responses: Mapping[str, np.ndarray] = field(default_factory=dict)
    dropout: np.ndarray | None = None


@runtime_checkable
class OutcomeScenario(Protocol):
    """What :func:`trial_sim.simulate` accepts as ``outcomes``.

    Besides the two members below a scenario may offer ``arms`` (names of the arms that the design's
    arms stand for, in order; the engine checks number and order), ``to_dict()`` (for reports),
    ``endpoint_kinds`` (the kind of each further endpoint by name) and ``check_looks(months)``,
    given the months of the looks held, to warn of those that it cannot speak for.

    Examples:
        >>> import trial_sim as ts
        >>> from trial_sim.scenarios import OutcomeScenario
        >>> isinstance(ts.PiecewiseExponential(control_median=12), OutcomeScenario)
        True
        >>> import numpy as np
        >>> from trial_sim.numerics.random_streams import Streams
        >>> from trial_sim.scenarios import PatientBatch
        >>> arm = np.array([[0, 1, 0, 1]], dtype=np.int8)
        >>> batch = PatientBatch(
        ...     Streams.span(0, 0, 1), ("control", "treatment"), arm, np.zeros((1, 4))
        ... )
        >>> scenario = ts.Weibull(control_median=12, shape=1.3, hazard_ratio=0.7)
        >>> scenario.kind, scenario.sample(batch).time.shape
        ('time_to_event', (1, 4))
    """

    @property
    def kind(self) -> str:
        """One of :data:`KINDS`."""
        ...

    def sample(self, batch: PatientBatch) -> OutcomeBatch:
        """Latent outcomes of every patient of the batch."""
        ...


def check_arms(values: Iterable[str], arms: tuple[str, ...], what: str) -> None:
    """Refuse values by arm that name an unknown arm, or that leave out an arm but the control.

    Args:
        values: the arms named. arms: those of the design, control first. what: named in errors.
    """
    named = list(values)
    for arm in named:
        if arm not in arms:
            raise ValueError(f"{what} names an unknown arm {arm!r}{nearest(arm, arms)}")
    missing = [arm for arm in arms[1:] if arm not in named]
    if missing:
        raise ValueError(f"{what} is missing for arm {missing[0]!r}")
