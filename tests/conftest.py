"""What all tests share: the examples that hypothesis draws are the same in each run.

A suite that gates a change must not fail by chance. ``HYPOTHESIS_PROFILE=explore`` draws new
examples; the long searches for faults are in ``benchmarks`` and ``tools``.
"""

import os

from hypothesis import settings

settings.register_profile("suite", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))
