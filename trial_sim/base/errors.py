"""The root of the package's own errors."""

from __future__ import annotations


class TrialSimError(ValueError):
    """Root of trial_sim's own errors. Arguments that make no sense are plain ``ValueError``.

    Examples:
        >>> import trial_sim as ts
        >>> from trial_sim.sequential.boundaries import NoErrorLeft
        >>> issubclass(NoErrorLeft, ts.TrialSimError), issubclass(ts.TrialSimError, ValueError)
        (True, True)
    """
