"""An ongoing trial: when, how many, will it succeed."""

from trial_sim.base.fronts import front_of

__all__, __getattr__, __dir__ = front_of(__name__)
