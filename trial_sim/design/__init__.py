"""What a trial plans: Design, accrual, looks, randomisation, the names of tests."""

from trial_sim.base.fronts import front_of

__all__, __getattr__, __dir__ = front_of(__name__)
