"""Cases whose independent value scipy or statsmodels computes now, is enumerated, or is printed.

The libraries run beside the package on the same data, so that these values hold for the versions
that are installed, not for those of a file.
"""

from trial_sim.qualification.kit import Case
from trial_sim.qualification.libraries import multiplicity, sizes, tests, trials


def cases(n_trials: int, seed: int) -> list[Case]:
    """The cases; those of simulated trials have ``n_trials`` each."""
    return [*tests.CASES, *multiplicity.CASES, *sizes.CASES, *trials.cases(n_trials, seed)]
