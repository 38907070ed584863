"""Group-sequential boundaries: time cold and warm, and accuracy against 30-digit integration.

    python -m benchmarks group_sequential

Cold is a fresh interpreter: the imports of the module and its first call. rpact (an R package) is
timed beside it when Rscript finds it.
"""

import shutil
import subprocess
import sys
import time

import mpmath
import numpy as np

from trial_sim.sequential.boundaries import exit_probabilities
from trial_sim.sequential.design import group_sequential

LOOKS = np.arange(1, 11) / 10
CASES = {
    "obrien_fleming": ("obrien_fleming", "'OF'"),
    "lan_demets_obrien_fleming": ("lan_demets_obrien_fleming", "'asOF'"),
    "hwang_shih_decani(-4)": (("hwang_shih_decani", -4), "'asHSD', gammaA=-4"),
}
COLD = """
import time
start, cpu = time.perf_counter(), time.process_time()
from trial_sim.sequential_planning import group_sequential
imported = time.perf_counter()
group_sequential([k / 10 for k in range(1, 11)], efficacy="lan_demets_obrien_fleming")
print(imported - start, time.perf_counter() - imported, time.process_time() - cpu)
"""


def best(call, repeats: int = 40) -> float:
    """Shortest of several runs, in milliseconds: the machine may be shared."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def cold() -> tuple[float, float, float]:
    """Seconds to import, of the first call, and of processor time in all, in a fresh interpreter.

    The best of five.
    """
    runs: list[tuple[float, float, float]] = []
    for _ in range(5):
        out = subprocess.run(
            [sys.executable, "-c", COLD], capture_output=True, text=True, check=True
        )
        imports, call, processor = map(float, out.stdout.split())
        runs.append((imports, call, processor))
    return min(runs, key=lambda run: run[0] + run[1])


def rpact_milliseconds(kind: str) -> float | None:
    """Time of rpact's getDesignGroupSequential for the same looks, or None without rpact.

    kind: rpact's name of the family, with further arguments after it.
    """
    if shutil.which("Rscript") is None:
        return None
    script = (
        "suppressMessages(library(rpact)); t <- (1:10)/10; best <- Inf; for (i in 1:15) {"
        "s <- Sys.time(); getDesignGroupSequential(informationRates=t, alpha=.025, sided=1, "
        f"beta=.1, typeOfDesign={kind}); "
        "best <- min(best, as.numeric(Sys.time() - s, units='secs'))}; cat(best)"
    )
    run = subprocess.run(["Rscript", "-e", script], capture_output=True, text=True, check=False)
    return 1e3 * float(run.stdout) if run.returncode == 0 and run.stdout else None


def exact_bounds(increments: list, start: np.ndarray) -> list:
    """Bounds of ten looks by the same recursion in mpmath: 192 nodes a look, 30 digits."""
    mpmath.mp.dps = 30
    nodes = mpmath.calculus.quadrature.GaussLegendre(mpmath.mp).calc_nodes(7, 110)
    step = mpmath.mpf(1) / 10
    root = mpmath.sqrt(step)
    score, mass, bounds = [mpmath.mpf(0)], [mpmath.mpf(1)], []
    for k, spend in enumerate(increments):
        level = mpmath.sqrt(mpmath.mpf(k + 1) / 10)

        def tail(z, score=score, mass=mass, level=level):
            return sum(
                m * mpmath.erfc((z * level - s) / (root * mpmath.sqrt(2))) / 2
                for s, m in zip(score, mass)
            )

        def slope(z, score=score, mass=mass, level=level):
            return -sum(m * mpmath.npdf(z * level, s, root) * level for s, m in zip(score, mass))

        z = mpmath.mpf(float(start[k]))
        for _ in range(4):
            z -= (tail(z) - spend) / slope(z)
        bounds.append(z)
        high, low = z * level, -9 * level
        half, centre = (high - low) / 2, (high + low) / 2
        grid = [(centre + half * x, half * w) for x, w in nodes]
        mass = [w * sum(m * mpmath.npdf(x, s, root) for s, m in zip(score, mass)) for x, w in grid]
        score = [x for x, _ in grid]
    return bounds


def accuracy() -> tuple[float, float]:
    """Largest error of ten Lan-DeMets bounds, and of the power at drift 3."""
    design = group_sequential(LOOKS, efficacy="lan_demets_obrien_fleming")
    mpmath.mp.dps = 30
    z = mpmath.sqrt(2) * mpmath.erfinv(1 - mpmath.mpf("0.025"))
    spent = [
        mpmath.erfc(z / mpmath.sqrt(mpmath.mpf(k) / 10) / mpmath.sqrt(2)) for k in range(1, 11)
    ]
    increments = [b - a for a, b in zip([mpmath.mpf(0), *spent[:-1]], spent)]
    exact = np.array([float(b) for b in exact_bounds(increments, design.efficacy_bounds)])
    none = np.full(10, -np.inf)
    powers = [
        exit_probabilities(LOOKS, b, none, 3.0, 1).upper.sum()
        for b in (design.efficacy_bounds, exact)
    ]
    return float(np.abs(design.efficacy_bounds - exact).max()), abs(powers[0] - powers[1])


PT = "'PT', deltaPT1=0, deltaPT0=0, bindingFutility=TRUE"
FUTILITY: dict[str, tuple[dict, str | None]] = {
    "non-binding, Lan-DeMets Pocock with Kim-DeMets": (
        {"efficacy": "lan_demets_pocock", "futility": ("kim_demets", 2)}, None,
    ),
    "binding, Lan-DeMets O'Brien-Fleming both": (
        {"efficacy": "lan_demets_obrien_fleming", "futility": "lan_demets_obrien_fleming",
         "binding": True}, None,
    ),
    "two-sided with an inner wedge": (
        {"efficacy": "lan_demets_obrien_fleming", "futility": "lan_demets_obrien_fleming",
         "sided": 2}, None,
    ),
    "binding, O'Brien-Fleming shapes both (Pampallona-Tsiatis)": (
        {"efficacy": "obrien_fleming", "futility": "obrien_fleming", "binding": True}, PT,
    ),
    "binding, Lan-DeMets O'Brien-Fleming with an O'Brien-Fleming shape": (
        {"efficacy": "lan_demets_obrien_fleming", "futility": "obrien_fleming", "binding": True},
        None,
    ),
    "binding, O'Brien-Fleming shape with Lan-DeMets O'Brien-Fleming": (
        {"efficacy": "obrien_fleming", "futility": "lan_demets_obrien_fleming", "binding": True},
        None,
    ),
}  # fmt: skip


def beside(ours: float, kind: str | None) -> str:
    """What rpact takes for the same design, and how many times as long; empty where not asked."""
    if kind is None:
        return ""
    theirs = rpact_milliseconds(kind)
    return f", rpact {theirs:.1f} ms, {theirs / ours:.0f} x" if theirs else ", rpact not found"


def main() -> None:
    """Print every figure."""
    imports, first, processor = cold()
    print(
        f"cold: imports {imports:.3f} s + first call {first:.3f} s = {imports + first:.3f} s "
        f"({processor:.3f} s of processor time)"
    )
    for name, (rule, kind) in CASES.items():
        ours = best(lambda rule=rule: group_sequential(LOOKS, efficacy=rule))
        print(f"warm, 10 looks, {name}: {ours:.2f} ms{beside(ours, kind)}")
    ours = best(lambda: group_sequential(LOOKS).expected_sample_size)
    print(f"warm, 10 looks, obrien_fleming with drift and expected sizes: {ours:.2f} ms")
    many = np.arange(1, 51) / 50
    ours = best(lambda: group_sequential(many, efficacy="lan_demets_obrien_fleming"), 5)
    print(f"warm, 50 looks, lan_demets_obrien_fleming: {ours:.1f} ms")
    for name, (options, kind) in FUTILITY.items():
        ours = best(lambda options=options: group_sequential(LOOKS, **options))
        print(f"warm, 10 looks with futility, {name}: {ours:.2f} ms{beside(ours, kind)}")
    bound, power = accuracy()
    print(
        f"largest error of 10 bounds against 30-digit integration: {bound:.1e}; power {power:.1e}"
    )


if __name__ == "__main__":
    main()
