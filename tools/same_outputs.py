"""Compares outputs of this checkout, byte for byte, with those of an earlier revision.

    python -m tools.same_outputs --against d9406f0

Draws molecules, decorates scaffolds, runs a batch, simulates designs, samples trials and solves
bounds twice on this machine: once with the packages here, once with those of the revision, unpacked
beside. Prints a line for each output and exits with 1 if one differs. Digests are never stored:
another processor may round a last bit differently.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def digest(value: Any) -> str:
    """Short SHA-256 of text, bytes or the exact bits of numbers in lists and tables."""
    content = value if isinstance(value, bytes) else str(value).encode("utf-8")
    return hashlib.sha256(content).hexdigest()[:16]


def of_table(table: Any) -> str:
    return digest(table.to_csv(index=False, float_format="%.17g"))


def samples() -> str:
    import molgen

    return digest(molgen.load_model("moses").sample(2_000, seed=3))


def decorations() -> str:
    import molgen

    model = molgen.load_model("moses")
    scaffolds = ["O=C(N[*:1])c1ccc2[nH]ncc2c1", "c1ccc2c(c1)CCN2", "[*:1]c1ccc([*:2])nc1"]
    return digest([model.sample_scaffold(s, 40, seed=1) for s in scaffolds])


def batch() -> str:
    import pandas as pd

    import molgen

    with tempfile.TemporaryDirectory() as folder:
        plan = {"n": 5_000, "model": "moses", "seed": 7, "filters": "default"}
        molgen.run_batch(plan, f"{folder}/library")
        return of_table(pd.read_parquet(f"{folder}/library/molecules.parquet"))


def simulations() -> str:
    import trial_sim as ts

    gs = ts.group_sequential(
        information_fractions=(1 / 3, 2 / 3, 1),
        alpha=0.025,
        power=0.9,
        efficacy="lan_demets_obrien_fleming",
    )
    common = {
        "arms": {"control": 1, "treatment": 1},
        "n_patients": 400,
        "accrual": ts.Accrual(rate=20.0),
        "dropout": ts.Dropout(rate=0.002),
        "boundaries": gs,
    }
    looks = ts.EventLooks([60, 120, 180])
    survival = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.7)
    delayed = ts.PiecewiseExponential(control_median=12, breakpoints=[4], hazard_ratio=[1.0, 0.6])
    n = {"n_trials": 500, "seed": 5}
    results = [
        ts.simulate(ts.Design(looks=looks, test="logrank", **common), survival, **n),
        ts.simulate(
            ts.Design(looks=looks, test=("fleming_harrington", 0, 1), **common), delayed, **n
        ),
        ts.simulate(
            ts.Design(looks=ts.CalendarLooks([12, 24, 36]), test="cox", **common), delayed, **n
        ),
        ts.simulate(
            ts.Design(
                looks=looks,
                test=("max_combo", (("fleming_harrington", 0, 0), ("fleming_harrington", 0, 1))),
                **common,
            ),
            delayed,
            **n,
        ),
        ts.simulate(
            ts.Design(looks=ts.CalendarLooks([12, 24, 36]), test=("rmst", 18), **common),
            survival,
            **n,
        ),
    ]
    return digest([of_table(result.trials) for result in results])


def synthetic_trials() -> str:
    import trial_sim as ts

    parts = []
    for name in ("colon", "pbc", "veteran"):
        trial = ts.load_trial(name)
        fitted = ts.fit(trial, endpoint=next(iter(trial.endpoints)), seed=0)
        sizes = dict.fromkeys(fitted.arms, 80)
        parts.append(of_table(fitted.sample_trial(sizes, seed=1).patients))
    return digest(parts)


def bounds() -> str:
    import trial_sim as ts

    parts = []
    for efficacy in ("obrien_fleming", "pocock", "lan_demets_pocock", ("hwang_shih_decani", -4)):
        for futility in (None, ("hwang_shih_decani", -2)):
            gs = ts.group_sequential(
                information_fractions=[k / 10 for k in range(1, 11)],
                alpha=0.025,
                power=0.9,
                efficacy=efficacy,
                futility=futility,
            )
            parts.append([gs.efficacy_bounds.tobytes().hex(), str(gs.futility_bounds)])
    return digest(parts)


OUTPUTS: dict[str, Callable[[], str]] = {
    "sample, 2,000": samples,
    "sample_scaffold, 3 x 40": decorations,
    "batch of 5,000": batch,
    "simulate, five designs": simulations,
    "sample_trial, three trials": synthetic_trials,
    "bounds of ten looks, eight families": bounds,
}


def digests_of(packages: Path, names: list[str]) -> dict[str, str]:
    """Digests of the outputs made in a process of its own by the packages of a folder."""
    environment = {**os.environ, "PYTHONPATH": str(packages)}
    code = (
        f"import runpy; made = runpy.run_path({str(Path(__file__))!r})['OUTPUTS']; import json\n"
        f"print(json.dumps({{name: made[name]() for name in {names!r}}}))"
    )
    with tempfile.TemporaryDirectory() as empty:
        made = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            cwd=empty,
            env=environment,
            capture_output=True,
            text=True,
        )
    if made.returncode:
        raise SystemExit(f"{packages}: {made.stderr.strip()[-2_000:]}")
    answers: dict[str, str] = json.loads(made.stdout.strip().splitlines()[-1])
    return answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", default="d9406f0", help="a revision of git")
    parser.add_argument("--only", nargs="*", default=list(OUTPUTS), choices=list(OUTPUTS))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder, "revision.tar")
        subprocess.run(
            ["git", "archive", "-o", str(packed), arguments.against, "molgen", "trial_sim"],
            cwd=ROOT,
            check=True,
        )
        with tarfile.open(packed) as archive:
            archive.extractall(Path(folder, "revision"), filter="data")
        before = digests_of(Path(folder, "revision"), arguments.only)
    now = digests_of(ROOT, arguments.only)
    for name in arguments.only:
        verdict = "same" if before[name] == now[name] else "DIFFERENT"
        print(f"{name:40s} {before[name]} {now[name]} {verdict}")
    raise SystemExit(int(before != now))


if __name__ == "__main__":
    main()
