"""What a group-sequential design says at an interim look and at the stop."""

# The methods say of what class they are a part, which mypy takes for an error in its base.
# mypy: disable-error-code="misc"

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from trial_sim.sequential import inference as sequential_inference

if TYPE_CHECKING:
    from trial_sim.sequential.design import GroupSequential
    from trial_sim.sequential.inference import SequentialEstimate

Theta = Literal["trend", "null", "design"] | float


class DuringTrial:
    """The methods of `GroupSequential` for a trial under way, over `sequential_inference`."""

    def conditional_power(
        self: GroupSequential,
        look: int,
        z: float,
        theta: Theta = "trend",
        futility: bool | None = None,
    ) -> float:
        """Probability of rejecting (upwards) at a later look, given Z at `look` (1 is the first).

        theta: "trend" (z / sqrt(t)), "null", "design", or a drift at full information.
        futility: whether later futility bounds are obeyed; default: if they are binding.
        """
        return sequential_inference.conditional_power(self, look, z, theta, futility)

    def predictive_power(
        self: GroupSequential,
        look: int,
        z: float,
        prior: tuple[float, float] | None = None,
        futility: bool | None = None,
    ) -> float:
        """Conditional power averaged over the posterior of the drift, given Z at look `look`.

        prior: (mean, sd) of a normal prior on the drift; None for a flat prior.
        """
        return sequential_inference.predictive_power(self, look, z, prior, futility)

    def inference(
        self: GroupSequential, look: int, z: float, level: float = 0.95, information: float = 1.0
    ) -> SequentialEstimate:
        """Stagewise p-value, median-unbiased estimate and confidence interval at the stop.

        information: full statistical information of the effect scale wanted; 1 leaves drifts.
        """
        return sequential_inference.estimate(self, look, z, level, information)

    def stagewise_p_value(self: GroupSequential, look: int, z: float) -> float:
        """One-sided p-value at a stop, by the stagewise ordering."""
        return float(sequential_inference.stagewise_p_value(self, look, [z])[0])

    def median_unbiased_estimate(
        self: GroupSequential, look: int, z: float, information: float = 1.0
    ) -> float:
        """Median-unbiased estimate of the effect at a stop, by the stagewise ordering."""
        return self.inference(look, z, information=information).estimate

    def confidence_interval(
        self: GroupSequential, look: int, z: float, level: float = 0.95, information: float = 1.0
    ) -> tuple[float, float]:
        """Two-sided confidence interval at a stop, by the stagewise ordering."""
        found = self.inference(look, z, level, information)
        return found.lower, found.upper

    def repeated_confidence_interval(
        self: GroupSequential, look: int, z: float, information: float = 1.0
    ) -> tuple[float, float]:
        """Interval valid at every look, stopped or not (Jennison & Turnbull 1989)."""
        return sequential_inference.repeated_interval(self, look, z, information)

    def repeated_p_value(self: GroupSequential, look: int, z: float) -> float:
        """Smallest alpha at which this design would reject at `look`: valid at every look."""
        return sequential_inference.repeated_p_value(self, look, z)
