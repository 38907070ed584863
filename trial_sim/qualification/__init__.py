"""Whether this installation computes what independent sources say: cases, values, a signed page."""

from trial_sim.qualification.kit import Qualification
from trial_sim.qualification.running import qualify
from trial_sim.qualification.verification import Verification, verify

__all__ = ["Qualification", "Verification", "qualify", "verify"]
