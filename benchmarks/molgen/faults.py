"""What nine verbs do when a disk fills, a pipe closes, a folder is missing, or they are killed.

python -m benchmarks faults [--verbs describe,filter] [--formats .csv,.parquet,.sdf]

162 runs: nine verbs, six faults, three formats.

Each verb writes each format under each fault, in a process of its own. It has done right if the
table stands there whole, or if it ended with an exit code other than 0, one line that says why, and
no table (or the old one). Anything else ended in silence. Exit code 1 if anything did.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from molgen.cli import app
from molgen.files.tables import load_table, sidecar_path

SMILES = [f"{'C' * (i % 30 + 1)}{end}" for i in range(60) for end in ("O", "N", "c1ccccc1")]
VERBS = {
    "standardize": ["standardize", "{m}"],
    "describe": ["describe", "{m}", "-p", "mw,logp"],
    "filter": ["filter", "{m}", "-f", "veber", "--all"],
    "score": ["score", "{m}", "-g", "maximise qed"],
    "qsar predict": ["qsar", "predict", "{q}", "{m}"],
    "sample": ["sample", "-n", "60", "-m", "moses"],
    "near": ["near", "Cc1ccc(C(=O)NC2CC2)cc1Cl", "-n", "8", "-m", "moses"],
    "scaffold": ["scaffold", "c1ccc(C(=O)N[*:1])cc1", "-n", "8", "-m", "moses"],
    "interpolate": ["interpolate", "Cc1ccccc1O", "NCc1ccncc1", "-n", "4", "-m", "moses"],
}
FAULTS = ("disk full", "closed pipe", "read-only folder", "killed", "missing folder", "unbuffered")
FORMATS = (".csv", ".parquet", ".sdf")
LIMIT = 1_500  # bytes that fit on the full disk


def child(arguments: list[str], fault: str, out: int, err: int) -> None:
    """In the forked process: make the fault, and run the command."""
    os.dup2(out, 1)
    os.dup2(err, 2)
    binary = io.FileIO(1, "w", closefd=False)
    unbuffered = fault == "unbuffered"
    sys.stdout = io.TextIOWrapper(
        binary if unbuffered else io.BufferedWriter(binary), write_through=unbuffered
    )
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), write_through=True)
    if fault in ("disk full", "unbuffered"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))
    code = 70
    try:
        app(arguments)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException as error:
        print(f"Traceback: {error!r}", file=sys.stderr)
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(code)


def run(arguments: list[str], fault: str, stdout: int, folder: Path, wait: float) -> tuple:
    """Exit code (negative where a signal ended it) and what stood on standard error."""
    errors = folder / "stderr.txt"
    with errors.open("wb") as sink:
        process = os.fork()
        if process == 0:
            child(arguments, fault, stdout, sink.fileno())
    if fault == "killed":
        time.sleep(wait)
        os.kill(process, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return code, errors.read_text("utf-8", "replace")


def verdict(code: int, said: str, whole: bool, there: bool, fault: str) -> str:
    """``whole``, ``error``, or what is wrong."""
    lines = [line for line in said.splitlines() if line.startswith("Error: ")]
    if code == 0:
        return "whole" if whole else "SILENT: exit code 0 without the table"
    if there and not whole:
        return f"SILENT: a part of a table stands there (exit code {code})"
    if fault == "killed":
        return "whole" if whole else "nothing"
    return "error" if len(lines) == 1 else f"SILENT: exit code {code}, {len(lines)} lines: {said!r}"


def same(path: Path, reference: Path) -> bool:
    """Whether a table and its record are whole."""
    try:
        (table, record), (wanted, _) = load_table(path), load_table(reference)
    except ValueError:
        return False
    return table.equals(wanted) and len(record.row_digests) == len(table)


def judge(
    verb: str, suffix: str, fault: str, places: dict[str, str], reference: Path, wait: float
) -> str:
    """Run a verb under a fault, and judge what came of it; ``wait``: when it is killed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        output = folder / f"out{suffix}"
        if fault == "missing folder":
            output = folder / "none" / f"out{suffix}"
        elif fault == "read-only folder":
            output = Path("/sys") / f"out{suffix}"
        arguments = [a.format(**places) for a in VERBS[verb]]
        started = time.monotonic()
        reader, writer = os.pipe()
        os.close(reader)
        stdout = writer if fault == "closed pipe" else os.open(os.devnull, os.O_WRONLY)
        code, said = run([*arguments, "-o", str(output)], fault, stdout, folder, wait)
        os.close(stdout)
        there = output.exists() or sidecar_path(output).exists()
        found = verdict(code, said, same(output, reference), there, fault)
        if suffix == ".csv" and fault in ("disk full", "unbuffered") and found[:6] != "SILENT":
            full = folder / "stdout.csv"  # and to standard output, which is a file that fills
            with full.open("wb") as sink:
                code, said = run([*arguments, "-o", "-"], fault, sink.fileno(), folder, wait)
            whole = code == 0 and full.stat().st_size < LIMIT
            stdout_found = verdict(code, said, whole, False, fault)
            found = stdout_found if stdout_found[:6] == "SILENT" else found
        return f"{found} ({time.monotonic() - started:.1f} s)"


Key = tuple[str, str, str]


def table(verbs: tuple[str, ...], formats: tuple[str, ...]) -> dict[Key, str]:
    """What came of each verb, fault and format."""
    return dict(outcomes(verbs, formats))


def outcomes(verbs: tuple[str, ...], formats: tuple[str, ...]) -> Iterator[tuple[Key, str]]:
    """The same, one after another."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        molecules = home / "m.smi"
        molecules.write_text("".join(f"{s} m{i}\n" for i, s in enumerate(SMILES)))
        places = {"m": str(molecules), "q": str(home / "model")}
        if "qsar predict" in verbs:  # in a process of its own: forked after threads, others hang
            given = list(dict.fromkeys(SMILES))[:40]
            measured = home / "assay.csv"
            rows = [f"{s},{len(s)}" for s in given]
            measured.write_text("\n".join(["smiles,value", *rows]))
            fit = ["qsar", "fit", str(measured), "--target", "value", "--folds", "2"]
            nothing = os.open(os.devnull, os.O_WRONLY)
            fit += ["--model", "random_forest", "-o", places["q"]]
            code, said = run(fit, "none", nothing, home, 0.0)
            os.close(nothing)
            if code:
                raise RuntimeError(f"no model could be fitted: {said}")
        for verb in verbs:
            for suffix in formats:
                reference = home / f"reference{suffix}"
                reference.unlink(missing_ok=True)
                arguments = [a.format(**places) for a in VERBS[verb]]
                nothing = os.open(os.devnull, os.O_WRONLY)
                began = time.monotonic()
                code, said = run([*arguments, "-o", str(reference)], "none", nothing, home, 0.0)
                wait = 0.95 * (time.monotonic() - began)  # while it writes, as near as can be
                os.close(nothing)
                if code:
                    raise RuntimeError(f"{verb} fails without a fault: {said}")
                for fault in FAULTS:
                    found = judge(verb, suffix, fault, places, reference, wait)
                    yield (verb, fault, suffix), found


def main() -> int:
    """Print the table; 1 if anything ended in silence."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--verbs", default=",".join(VERBS))
    parser.add_argument("--formats", default=",".join(FORMATS))
    options = parser.parse_args()
    results = {}
    for key, found in outcomes(tuple(options.verbs.split(",")), tuple(options.formats.split(","))):
        results[key] = found
        print(f"{key[0]:13} {key[2]:9} {key[1]:17} {found}", flush=True)
    silent = sum(found.startswith("SILENT") for found in results.values())
    print(f"{len(results)} runs, {silent} ended in silence")
    return int(silent > 0)


if __name__ == "__main__":
    sys.exit(main())
