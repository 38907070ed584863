"""Group-sequential designs: bounds, spending, integration, futility, inference, monitoring."""

from trial_sim.base.fronts import front_of

__all__, __getattr__, __dir__ = front_of(__name__)
