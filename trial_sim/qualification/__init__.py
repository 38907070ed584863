"""Whether this installation computes what independent sources say: cases, values, a signed page."""

from trial_sim.qualification.kit import Qualification
from trial_sim.qualification.running import qualify

__all__ = ["Qualification", "qualify"]
