"""Fitted trials: fit, FittedTrial, sampling of arms, differential privacy."""

from trial_sim.base.fronts import front_of

__all__, __getattr__, __dir__ = front_of(__name__)
