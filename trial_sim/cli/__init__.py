"""The ``trial-sim`` command: each submodule registers its own commands on ``app``."""

from trial_sim.cli import arms, trials, trust
from trial_sim.cli.app import app

__all__ = ["app", "arms", "trials", "trust"]
