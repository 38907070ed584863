"""What holds on a processor without AVX-512: examples run, and numbers agree to the last digits.

NumPy, OpenBLAS and PyTorch are told by their environment variables to take the code of such a
processor; where this one is such a processor, the variables change nothing.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
WITHOUT_AVX512 = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",
    "ATEN_CPU_CAPABILITY": "avx2",
    "DNNL_MAX_CPU_ISA": "AVX2",
}
EXAMPLES = "survival_expectations or SurvivalExpectations or group_sequential or sample_size_means"

NUMBERS = """
import json
import numpy as np
import trial_sim as ts
gs = ts.group_sequential(information_fractions=(1 / 3, 2 / 3, 1), alpha=0.025, power=0.9,
                         efficacy="lan_demets_obrien_fleming")
trial = ts.load_trial("veteran")
arm = ts.fit(trial, "death", model="weibull", covariate_model="bootstrap", seed=0)
drawn = arm.sample_arm(arm.arms[0], 50, seed=1)
time = drawn[trial.endpoint("death").duration]
print(json.dumps([*gs.efficacy_bounds, gs.drift, *map(float, np.sort(time)[:10])]))
"""


def run(*arguments: str, like_here: bool = False) -> subprocess.CompletedProcess[str]:
    """A Python process that computes as a processor without AVX-512 does, or as this one."""
    told = {} if like_here else WITHOUT_AVX512
    environment = {**os.environ, **told, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_examples_run_without_avx512() -> None:
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0",
               "tests/test_public_names.py", "-k", EXAMPLES)  # fmt: skip
    assert done.returncode == 0, done.stdout[-3_000:]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers_to_nine_digits() -> None:
    without, again, here = (
        run("-c", NUMBERS),
        run("-c", NUMBERS),
        run("-c", NUMBERS, like_here=True),
    )
    assert without.returncode == here.returncode == 0, without.stderr[-2_000:]
    assert without.stdout == again.stdout  # byte for byte on one processor
    np.testing.assert_allclose(json.loads(without.stdout), json.loads(here.stdout), rtol=1e-9)
