"""Patients in: Trial, endpoints, schema, constraints, CDISC, built-in trials."""

from trial_sim.base.fronts import front_of

__all__, __getattr__, __dir__ = front_of(__name__)
