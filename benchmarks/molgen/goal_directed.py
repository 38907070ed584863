"""The search on PMO and GuacaMol: ``python -m benchmarks goal_directed [--suite pmo|guacamol]``.

``--model moses`` lets the generator propose molecules, too (``none``, the default, is graph edits
alone). ``--resume`` keeps a log of every call beside the output, so that a run of 10,000 calls may
be stopped at any time and continued by the same command, as it would have gone on.

Every task starts from random molecules of the MOSES training set; nothing is tuned per task, no
molecule is labelled outside the budget, and every call to the oracle counts. Results are appended
to a JSON-lines file (``--output``), one row a task and seed; rows already there are not run again,
so a benchmark that was stopped goes on. ``--table`` prints what the file holds.

A run of fewer than 10,000 calls is reported by PMO's own rule for runs that end early (the last
value is carried to 10,000), which can only understate the search.

Every row has wall and CPU seconds, in all and of the oracle; their difference is the cost of the
search itself, which the last lines of a table give for 10,000 calls.

Published per-task AUC top-10 of the peers at 10,000 calls, as tabled in the README of
invirtuolabs/InVirtuoGen_results (commit 40ed161, "Without Prescreening ZINC250k"), beside that
repository's own: Graph GA and REINVENT of Gao et al. (arXiv 2206.12411), Mol GA of Tripp and
Hernández-Lobato (arXiv 2310.09267), Genetic GFN of Kim et al. (arXiv 2402.05961), InVirtuoGen of
Kaech et al. (arXiv 2509.26405). Their sums over all 23 tasks are 13.7, 14.2, 14.7, 16.2 and 16.7.
GuacaMol totals of the peers, who are not held to 10,000 calls (docs/about/benchmarks.md of
DrrDom/crem): Graph GA 17.983, CReM 17.919, SMILES LSTM 17.341, SMILES GA 14.398, Graph MCTS 9.011.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.molgen.goal_directed_tasks import GUACAMOL, PMO, Task, guacamol_task_score
from benchmarks.stored import append
from molgen.generation.generator import load_model
from molgen.optimization.goal_directed import LATENT_SHARE, latent_proposer
from molgen.optimization.oracle import Oracle, top_k_auc
from molgen.optimization.proposers import Proposer, default_proposers
from molgen.optimization.search import SearchSettings, search

BUDGET = 10_000
RESULTS = Path(__file__).parents[1] / "results" / "goal_directed.jsonl"

PEERS: dict[str, tuple[float, float, float, float, float]] = {
    # in the order of PEER_NAMES
    "albuterol_similarity": (0.838, 0.882, 0.896, 0.949, 0.950),
    "amlodipine_mpo": (0.661, 0.635, 0.688, 0.761, 0.733),
    "celecoxib_rediscovery": (0.630, 0.713, 0.567, 0.802, 0.798),
    "deco_hop": (0.619, 0.666, 0.649, 0.733, 0.748),
    "fexofenadine_mpo": (0.760, 0.784, 0.825, 0.856, 0.845),
    "isomers_c7h8n2o2": (0.862, 0.852, 0.878, 0.969, 0.968),
    "isomers_c9h10n2o2pf2cl": (0.719, 0.642, 0.865, 0.897, 0.874),
    "median1": (0.294, 0.356, 0.257, 0.379, 0.342),
    "median2": (0.273, 0.276, 0.301, 0.294, 0.288),
    "mestranol_similarity": (0.579, 0.618, 0.591, 0.708, 0.797),
    "osimertinib_mpo": (0.831, 0.837, 0.844, 0.860, 0.870),
    "perindopril_mpo": (0.538, 0.537, 0.547, 0.595, 0.645),
    "qed": (0.940, 0.941, 0.941, 0.942, 0.942),
    "ranolazine_mpo": (0.728, 0.760, 0.804, 0.819, 0.848),
    "scaffold_hop": (0.517, 0.560, 0.527, 0.615, 0.589),
    "sitagliptin_mpo": (0.433, 0.021, 0.582, 0.634, 0.709),
    "thiothixene_rediscovery": (0.479, 0.534, 0.519, 0.583, 0.625),
    "troglitazone_rediscovery": (0.390, 0.441, 0.427, 0.511, 0.595),
    "valsartan_smarts": (0.000, 0.178, 0.000, 0.135, 0.210),
    "zaleplon_mpo": (0.346, 0.358, 0.519, 0.552, 0.536),
}
PEER_NAMES = ("Graph GA", "REINVENT", "Mol GA", "Genetic GFN", "InVirtuoGen")


def read_library(path: str | None) -> list[str]:
    """Molecules to start from: a file, or the MOSES training set."""
    if path is not None:
        return Path(path).read_text(encoding="utf-8").split()
    from molgen.files.datasets import load_dataset

    return list(load_dataset("moses", split="train"))


def make_proposers(
    model: str, library: list[str], seed: int
) -> dict[str, tuple[Proposer, float]] | None:
    """The proposers of ``molgen.optimize``: graph edits, and the generator if there is one."""
    proposers = default_proposers(library, seed)
    if model != "none":
        proposers["latent"] = (latent_proposer(load_model(model)), LATENT_SHARE)
    return proposers


def run_task(
    task: Task,
    library: list[str],
    n_calls: int,
    seed: int,
    settings: SearchSettings,
    model: str = "none",
    log: Path | None = None,
) -> dict[str, Any]:
    """Search one task and return the row that is written; ``log`` makes it one to go on with."""
    oracle_cpu = 0.0

    def score(smiles: list[str]) -> list[float]:
        nonlocal oracle_cpu
        started = time.process_time()
        values = [max(task.score_smiles(s), 0.0) for s in smiles]
        oracle_cpu += time.process_time() - started
        return values

    oracle = Oracle(
        score,
        n_calls,
        log=log,
        identity=task.name,
    )
    resumed = oracle.used
    # Random molecules, a different draw for every seed; scores come only through the oracle.
    rng = np.random.default_rng([seed, 99])
    chosen = [library[int(i)] for i in rng.choice(len(library), size=20_000, replace=False)]
    wall, cpu = time.monotonic(), time.process_time()
    outcome = search(oracle, chosen, make_proposers(model, chosen, seed), settings, seed)
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    best = oracle.best(1000)  # enough for 250 without stereo
    return {
        "task": task.name,
        "seed": seed,
        "n_calls": n_calls,
        "model": model,
        "resumed_at": resumed,
        "auc": {str(k): round(oracle.auc(k), 4) for k in (1, 10, 100)},
        "auc_of_10000": {
            str(k): round(top_k_auc(oracle.scores, k, BUDGET), 4) for k in (1, 10, 100)
        },
        "top_10": round(float(np.mean([call.score for call in best[:10]])), 4),
        "guacamol": round(
            guacamol_task_score(task, [c.smiles for c in best], [c.score for c in best]), 4
        ),
        "best": best[0].smiles,
        "restarts": outcome.restarts,
        "reason": outcome.reason,
        "wall_seconds": round(wall, 1),
        "cpu_seconds": round(cpu, 1),
        "oracle_seconds": round(oracle.oracle_seconds, 1),
        "oracle_cpu_seconds": round(oracle_cpu, 1),
    }


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows written so far."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def print_table(rows: list[dict[str, Any]]) -> None:
    """Per task: our AUC top-10 of 10,000 calls (mean over seeds) beside the peers'."""
    names = [task.name for task in PMO]
    print(
        f"{'task':26s} {'calls':>6s} {'seeds':>5s} {'ours':>7s}", *(f"{n:>12s}" for n in PEER_NAMES)
    )
    sums = np.zeros(1 + len(PEER_NAMES))
    done = 0
    for name in names:
        mine = [row for row in rows if row["task"] == name]
        if not mine:
            continue
        most = max(row["n_calls"] for row in mine)
        mine = [row for row in mine if row["n_calls"] == most]
        value = float(np.mean([row["auc_of_10000"]["10"] for row in mine]))
        sums += np.array([value, *PEERS[name]])
        done += 1
        peers = (f"{figure:12.3f}" for figure in PEERS[name])
        print(f"{name:26s} {most:6d} {len(mine):5d} {value:7.3f}", *peers)
    print(
        f"{f'sum of {done} tasks':39s} {sums[0]:7.3f}", *(f"{figure:12.3f}" for figure in sums[1:])
    )


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suite", choices=("pmo", "guacamol"), default="pmo")
    parser.add_argument("--tasks", nargs="+", help="names; all of the suite by default")
    parser.add_argument("--calls", type=int, default=BUDGET)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--model", default="none", help="a generator that proposes, or none")
    parser.add_argument("--resume", action="store_true", help="log calls, go on from such a log")
    parser.add_argument("--library", help="file of SMILES in place of the MOSES training set")
    parser.add_argument(
        "--output", type=Path, default=Path("benchmarks/results/goal_directed.jsonl")
    )
    parser.add_argument(
        "--table", action="store_true", help="print what the file holds, run nothing"
    )
    options = parser.parse_args()
    suite = {task.name: task for task in (PMO if options.suite == "pmo" else GUACAMOL)}
    unknown = [name for name in options.tasks or [] if name not in suite]
    if unknown:
        parser.error(f"unknown tasks {', '.join(unknown)}; the suite has {', '.join(suite)}")
    if not options.table:
        library = read_library(options.library)
        for seed in options.seeds:
            for name in options.tasks or suite:
                run_missing(suite[name], library, seed, options)
    print_suite(options.suite, suite, read_rows(options.output))


def run_missing(task: Task, library: list[str], seed: int, options: argparse.Namespace) -> None:
    """Run one task and append its row, unless the output has it."""
    key = (task.name, seed, options.calls, options.model)
    rows = read_rows(options.output)
    if key in {(r["task"], r["seed"], r["n_calls"], r.get("model", "none")) for r in rows}:
        return
    log = None
    if options.resume:
        folder = options.output.with_suffix(".calls")
        log = folder / f"{task.name}-{seed}-{options.calls}-{Path(options.model).name}.jsonl"
    row = run_task(task, library, options.calls, seed, SearchSettings(), options.model, log)
    append(options.output, row)
    if log is not None:
        log.unlink()
    print(
        f"{task.name:26s} seed {seed} top-10 {row['top_10']:.3f} guacamol {row['guacamol']:.3f} "
        f"AUC/{options.calls} {row['auc']['10']:.3f} AUC/{BUDGET} {row['auc_of_10000']['10']:.3f} "
        f"cpu {row['cpu_seconds']:.0f} s, of the oracle {row['oracle_cpu_seconds']:.0f} s; "
        f"wall {row['wall_seconds']:.0f} s, of the oracle {row['oracle_seconds']:.0f} s",
        flush=True,
    )


def print_cost(rows: list[dict[str, Any]]) -> None:
    """What 10,000 calls cost, less the oracle: the mean over runs that were not resumed."""
    whole = [row for row in rows if row["n_calls"] == BUDGET and not row.get("resumed_at")]
    if not whole:
        return
    wall = [row["wall_seconds"] - row["oracle_seconds"] for row in whole]
    cpu = [
        row["cpu_seconds"] - row["oracle_cpu_seconds"]
        for row in whole
        if "oracle_cpu_seconds" in row
    ]
    print(f"{BUDGET} calls less the oracle, {len(whole)} runs: {np.mean(wall) / 60:.1f} minutes")
    if cpu:
        print(f"{BUDGET} calls less the oracle, CPU time: {np.mean(cpu) / 60:.1f} minutes")


def print_suite(name: str, suite: dict[str, Task], rows: list[dict[str, Any]]) -> None:
    """A table for each model that the rows name."""
    for model in sorted({row.get("model", "none") for row in rows}):
        mine = [row for row in rows if row.get("model", "none") == model and row["task"] in suite]
        if not mine:
            continue
        print(f"generator: {model}")
        if name == "pmo":
            print_table(mine)
            print_cost(mine)
            continue
        total = 0.0
        for task in suite:
            of_task = [row for row in mine if row["task"] == task]
            if of_task:
                most = max(row["n_calls"] for row in of_task)
                values = [row["guacamol"] for row in of_task if row["n_calls"] == most]
                total += float(np.mean(values))
                print(f"{task:26s} {most:6d} calls {len(values)} seeds {np.mean(values):.3f}")
        print(f"{'sum of ' + str(len({row['task'] for row in mine})) + ' tasks':26s} {total:.3f}")
        print_cost(mine)


if __name__ == "__main__":
    main()
