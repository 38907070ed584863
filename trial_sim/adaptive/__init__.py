"""Adaptive trials: rules and what they do, closed and combination tests, single-arm designs."""

from trial_sim.base.fronts import front_of

__all__, __getattr__, __dir__ = front_of(__name__)
