"""What if: grids of scenarios, search over designs, assurance by simulation, report."""

from trial_sim.base.fronts import front_of

__all__, __getattr__, __dir__ = front_of(__name__)
