"""What is shared: the saved model's file attacked, and whether the audit's verdict means it.

    python -m benchmarks sharing files [--trials veteran ...] [--splits 2] [--models all]
    python -m benchmarks sharing exact [--trials veteran ...]
    python -m benchmarks sharing honest [--splits 3]
    python -m benchmarks sharing effects [--splits 3]
    python -m benchmarks sharing model [--trials colon ...]
    python -m benchmarks sharing faults [--splits 2] [--journal FILE] [--seconds 300]
    python -m benchmarks sharing time [--patients 2000]

``files``: half of each trial is fitted and saved, the other half never seen; "are my values in it?"
is asked of the file for every patient (.5 is nothing), beside the nearest-neighbour attack on a
synthetic table of the same model; with ``--epsilon 1 10`` the files are those of private fits.
``exact``: every number is made unlike all others (nine digits),
so that one that is found in the file is no coincidence; the count must be 0. ``honest``: one random
half of a trial audited as the synthetic trial of the other. ``effects``: synthetic trials as drawn,
and with their arms permuted, of trials whose effect has |z| > 3; a pass is a verdict in which
nothing is red and the effect is shown. ``model``: the same with the model at hand, which draws many
trials. ``faults``: planted in an honest half of a trial, beside the half as it is; with a journal
the next call goes on where this one was stopped. ``time``: seconds of the whole audit of a fit.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import trial_sim as ts
from trial_sim.auditing.privacy.shared_files import attack_file
from trial_sim.base.storage import read_arrays
from trial_sim.covariates.encoding import encode
from trial_sim.covariates.selection import membership_auc
from trial_sim.outcomes import registry
from trial_sim.statistics.arm_differences import log_hazard_ratio

TRIALS = ("veteran", "gbsg2", "pbc", "colon")
SHARED = 5  # patients who share a value that may be told


def halves(trial: ts.Trial, seed: int) -> tuple[ts.Trial, ts.Trial]:
    """A trial divided in two at random, by arm."""
    table = trial.patients.reset_index(drop=True)
    rng = np.random.default_rng(seed)
    first = np.zeros(len(table), bool)
    groups = [table.index] if trial.arm is None else table.groupby(trial.arm).groups.values()
    for rows in groups:
        rows = rng.permutation(np.asarray(rows))
        first[rows[: len(rows) // 2]] = True
    one, two = (
        replace(trial, patients=table[keep].reset_index(drop=True)) for keep in (first, ~first)
    )
    return one, two


def numbers(trial: ts.Trial, endpoint: str) -> np.ndarray:
    """(n, k) columns of numbers, levels left out, durations last."""
    columns = trial.schema().columns
    keep = [k for k, c in enumerate(columns) if not c.discrete]
    times = trial.patients[list(trial.endpoint(endpoint).columns)].to_numpy(dtype=float)
    return np.column_stack([encode(trial.baseline, columns)[:, keep], times[:, 0]])


def settings_of(model: str, generator: str) -> dict[str, Any]:
    """Arguments of `ts.fit`; a generator "epsilon 1" is a private fit."""
    if generator.startswith("epsilon "):
        return {"epsilon": float(generator.removeprefix("epsilon "))}
    return {"model": model, "covariate_model": generator}


def fits(
    names: Sequence[str], models: str, epsilons: Sequence[float] = ()
) -> Iterator[tuple[str, ts.Trial, str, str, str]]:
    """Every trial, endpoint, outcome model and generator that is asked for."""
    for name in names:
        trial = ts.load_trial(name)
        for endpoint, record in trial.endpoints.items():
            offered = registry.home(record).models(record)
            if epsilons:
                for epsilon in epsilons:
                    yield name, trial, endpoint, "private", f"epsilon {epsilon:g}"
                continue
            for model in offered if models == "all" else offered[:1]:
                for generator in ("copula", "cart"):
                    yield name, trial, endpoint, model, generator


def files(
    names: Sequence[str], splits: int, models: str, epsilons: Sequence[float] = ()
) -> pd.DataFrame:
    """Attacks on the saved file beside one on a synthetic table, mean over splits."""
    rows = []
    for name, whole, endpoint, model, generator in fits(names, models, epsilons):
        found = []
        for split in range(splits):
            inside, outside = halves(whole, split)
            fitted = ts.fit(inside, endpoint, seed=split, **settings_of(model, generator))
            with tempfile.TemporaryDirectory() as folder:
                path = fitted.save(Path(folder) / "model.npz")
                seen, unseen = (numbers(t, endpoint) for t in (inside, outside))
                got = attack_file(path, seen, unseen, seed=split, tries=3)
            columns = whole.schema().columns
            made = encode(fitted.sample_trial(seed=split).baseline, columns)
            seen, unseen = (encode(t.baseline, columns) for t in (inside, outside))
            table = membership_auc(seen, unseen, made, columns)
            found.append([got.exact, got.near, table, got.alone, got.alone_of_others])
        names_of = ["file_exact", "file_near", "table", "alone", "alone_of_others"]
        row: dict[str, Any] = {"trial": name, "outcome": model, "covariates": generator}
        rows.append(row | dict(zip(names_of, np.mean(found, axis=0))))
        print(pd.DataFrame(rows[-1:]).round(3).to_string(index=False, header=len(rows) == 1))
    return pd.DataFrame(rows)


def unlike(trial: ts.Trial, seed: int = 0) -> ts.Trial:
    """The trial with every number and duration moved a little, so that no two are alike."""
    rng = np.random.default_rng(seed)
    table = trial.patients.copy()
    levels = {c.name for c in trial.schema().columns if c.discrete}
    outcomes = {c for e in trial.endpoints.values() for c in e.columns[1:]}
    for name in table:
        fixed = {trial.arm, trial.id, *levels, *outcomes}
        if name in fixed or not pd.api.types.is_numeric_dtype(table[name]):
            continue
        values = table[name].astype(float)
        spread = float(np.nanstd(values))
        table[name] = (values + rng.uniform(0, 1e-2 * spread, len(values))).round(9)
    return replace(trial, patients=table)


def exact(names: Sequence[str], models: str, epsilons: Sequence[float] = ()) -> pd.DataFrame:
    """Numbers of single patients that stand anywhere in the file."""
    rows = []
    for name, whole, endpoint, model, generator in fits(names, models, epsilons):
        trial = unlike(whole)
        own: set[float] = set()
        for column in trial.patients.select_dtypes("number"):
            if column not in (trial.arm, trial.id):
                counts = trial.patients[column].value_counts()
                own |= set(counts.index[counts < SHARED].astype(float))
        own = {v for v in own if v != round(v, 4)}
        fitted = ts.fit(trial, endpoint, seed=0, **settings_of(model, generator))
        with tempfile.TemporaryDirectory() as folder:
            arrays, tree = read_arrays(fitted.save(Path(folder) / "model.npz"))
        held = {float(v) for a in arrays.values() if a.dtype.kind == "f" for v in a.ravel()}
        held |= set(loose(tree))
        rows.append([name, model, generator, len(own), len(held & own)])
        print(*rows[-1])
    return pd.DataFrame(rows, columns=["trial", "outcome", "covariates", "asked", "found"])


def loose(tree: Any) -> Iterator[float]:
    """Numbers anywhere in a JSON tree."""
    if isinstance(tree, float):
        yield tree
    elif isinstance(tree, dict | list):
        for value in tree.values() if isinstance(tree, dict) else tree:
            yield from loose(value)


SHOWS = "effect shown"


def passes(report: Any) -> bool:
    """Nothing is red, and no line on an effect says that it could not have seen."""
    return bool(report.passed and SHOWS not in set(report.unseen["measure"]))


@dataclass(frozen=True)
class WithoutEffect:
    """A generator whose arms are dealt at random: the effect is gone from all that it draws."""

    fitted: Any

    def refit(self, trial: ts.Trial, seed: int | None = None) -> WithoutEffect:
        """The same of a refit."""
        return WithoutEffect(self.fitted.refit(trial, seed))

    def sample_trial(self, sizes: Any = None, seed: int = 0, **options: Any) -> ts.Trial:
        """A synthetic trial with its arms permuted."""
        made = self.fitted.sample_trial(sizes, seed=seed, **options)
        return planted(made, made, "effect removed", 1.0, np.random.default_rng(seed))


def clear_effects(names: Sequence[str]) -> Iterator[tuple[str, str, Any, ts.Trial]]:
    """(trial, endpoint, fit, real trial of that endpoint) where the real effect has z above 3."""
    for name in names:
        trial = ts.load_trial(name)
        for endpoint in trial.endpoints:
            if z_of(trial, endpoint) > 3:
                fitted = ts.fit(trial, endpoint, model="cox", covariate_model="copula", seed=0)
                real = replace(trial, endpoints={endpoint: trial.endpoint(endpoint)})
                yield name, endpoint, fitted, real


def with_model(names: Sequence[str]) -> None:
    """Audits with the model at hand of generators with and without the effect."""
    quick = {"n_folds": 2, "n_repeats": 1, "n_trials": 60, "n_null": 0}
    counts = {"kept": [0, 0], "removed": [0, 0]}
    for name, endpoint, fitted, real in clear_effects(names):
        for what, model in (("kept", fitted), ("removed", WithoutEffect(fitted))):
            report = ts.audit(real, model, endpoint=endpoint, seed=0, **quick)
            table = report.effects
            red = bool((table["verdict"] == "red").any())
            counts[what][0] += red
            counts[what][1] += 1
            print(f"{name} {endpoint} z {z_of(real, endpoint):.1f} effect {what}: red {red}")
    for what, (red, whole) in counts.items():
        print(f"effect {what}: a line on effects is red in {red} of {whole}")


def timed(patients: int) -> None:
    """Seconds of `fitted.audit()` of a trial of that many patients (colon's, drawn again)."""
    fitted = ts.fit(ts.load_trial("colon"), "death", model="cox", covariate_model="cart", seed=0)
    arms = fitted.arms
    trial = fitted.sample_trial({a: patients // len(arms) for a in arms}, seed=1)
    model = ts.fit(trial, "death", seed=0)
    clocks = time.perf_counter(), time.process_time()
    report = model.audit(seed=0)
    seconds = time.perf_counter() - clocks[0], time.process_time() - clocks[1]
    print(f"{trial.n_patients} patients, {report.verdict}: {seconds[0]:.0f} s by the clock, ")
    print(f"{seconds[1]:.0f} s of the processor (floor 300, goal 60)")


def audited_faults(
    names: Sequence[str], splits: int, journal: Path | None, seconds: float
) -> dict[str, list[bool]]:
    """Whether each audit failed, by fault; done ones are taken from the journal."""
    held: dict[str, bool] = {}
    if journal is not None and journal.exists():
        for line in journal.read_text().splitlines():
            with contextlib.suppress(ValueError):  # a line that a kill cut short
                told = json.loads(line)
                held[told["key"]] = told["failed"]
    out: dict[str, list[bool]] = {}
    started = time.perf_counter()
    for fault, size in (("none", 0.0), *FAULTS):
        for name in names:
            if fault == "swapped arms" and largest_effect(ts.load_trial(name))[0] <= 3:
                continue  # without an effect arms that are swapped are no fault
            for seed in range(splits):
                key = f"{fault} {size:g} {name} {seed}"
                if key not in held:
                    if time.perf_counter() - started > seconds:
                        continue
                    ((_, _, report),) = verdicts([name], [seed], fault, size)
                    held[key] = not report.passed
                    reds = sorted(set(report.failures["measure"]))
                    print(key, report.verdict, reds, flush=True)
                    if journal is not None:
                        with journal.open("a") as file:
                            told = {"key": key, "failed": held[key], "reds": reds}
                            file.write(json.dumps(told) + "\n")
                out.setdefault(f"{fault} {size:g}", []).append(held[key])
    return out


def verdicts(
    trials: Sequence[str], seeds: Sequence[int], fault: str = "none", size: float = 0.0
) -> list:
    """(trial, seed, report) of audits of halves, the second with a fault."""
    out = []
    for name in trials:
        for seed in seeds:
            real, other = halves(ts.load_trial(name), seed)
            made = planted(real, other, fault, size, np.random.default_rng(seed))
            out.append((name, seed, ts.audit(real, made, seed=seed)))
    return out


def planted(
    real: ts.Trial, other: ts.Trial, fault: str, size: float, rng: np.random.Generator
) -> ts.Trial:
    """An honest trial with a fault.

    Args:
        fault: "copies" and "near copies" (a share of the rows), "lost stratum" (the rarest level
            of at least 15 %), "broken dependence" and "shrunk associations" (covariates permuted,
            all or a share of the rows), "shifted margin" (standard deviations), "swapped arms",
            "effect removed" (arms permuted), or "none".
    """
    table = other.patients.reset_index(drop=True).copy()
    schema, n = real.schema(), len(other.patients)
    continuous = [c.name for c in schema.columns if not c.discrete]
    if fault in ("copies", "near copies"):
        rows = rng.choice(n, max(round(size * n), 1), replace=False)
        source = real.patients.reset_index(drop=True).iloc[rng.permutation(len(real.patients))]
        taken = source.head(len(rows)).set_axis(rows[: len(source)])
        for name in table:
            values = taken[name]
            if fault == "near copies" and name in continuous:
                noise = 0.02 * float(table[name].std()) * rng.standard_normal(len(values))
                values = values + noise.round(3)
                table[name] = table[name].astype(float)
            table.loc[taken.index, name] = values
    elif fault == "lost stratum":
        shares = {
            (c.name, level): float((table[c.name] == level).mean())
            for c in schema.columns
            if c.discrete
            for level in c.levels
        }
        large = {k: v for k, v in shares.items() if 0.15 <= v <= 0.6}
        name, level = min(large, key=lambda k: large[k])
        table = table[table[name] != level].reset_index(drop=True)
    elif fault in ("broken dependence", "shrunk associations"):
        share = 1.0 if fault == "broken dependence" else size
        for name in other.covariates:
            rows = rng.choice(n, round(share * n), replace=False)
            table.loc[rows, name] = table[name].to_numpy()[rng.permutation(rows)]
    elif fault == "shifted margin":
        name = continuous[0]
        table[name] = (table[name] + size * table[name].std()).round(2)
    elif fault == "swapped arms" and real.arm is not None:
        _, arm = largest_effect(real)
        swap = {a: a for a in real.arms} | {real.arms[0]: arm, arm: real.arms[0]}
        table[real.arm] = table[real.arm].map(swap).astype(table[real.arm].dtype)
    elif fault == "effect removed" and real.arm is not None:
        table[real.arm] = rng.permutation(table[real.arm].to_numpy())
    return replace(other, patients=table)


def z_of(trial: ts.Trial, name: str) -> float:
    """Largest |z| of a contrast with the control at an endpoint of times, NaN without."""
    record = trial.endpoint(name)
    if trial.arm is None or type(record).__name__ != "TimeToEvent":
        return float("nan")
    found = []
    for arm in trial.arms[1:]:
        both = trial.patients[trial.patients[trial.arm].isin([trial.arms[0], arm])]
        time, event = (both[c].to_numpy(dtype=float) for c in record.columns[:2])
        treated = (both[trial.arm] == arm).to_numpy()
        estimate, error = log_hazard_ratio(time, event > 0, treated)
        found.append(abs(estimate) / error)
    return float(max(found))


def largest_effect(trial: ts.Trial) -> tuple[float, Any]:
    """Largest |z| of an arm against the control over all endpoints of times, and that arm."""
    found = [(0.0, trial.arms[-1])]
    for arm in trial.arms[1:] if trial.arm else ():
        both = trial.patients[trial.patients[trial.arm].isin([trial.arms[0], arm])]
        pair = replace(trial, patients=both, arms=(trial.arms[0], arm))
        zs = [z_of(pair, name) for name in trial.endpoints]
        found.append((max([z for z in zs if np.isfinite(z)], default=0.0), arm))
    return max(found, key=lambda each: each[0])


def without_effect(splits: int) -> list:
    """(trial, seed, report) of synthetic trials with permuted arms, of every built-in trial and
    endpoint whose effect has |z| > 3; beside each the trial as it was drawn."""
    out = []
    for name, endpoint, fitted, real in clear_effects(ts.list_trials()["name"]):
        for seed in range(splits):
            made = fitted.sample_trial(seed=seed, uncertainty=False)
            cut = planted(real, made, "effect removed", 1.0, np.random.default_rng(seed))
            for what, one in (("drawn", made), ("removed", cut)):
                report = ts.audit(real, one, endpoint=endpoint, seed=seed)
                out.append((f"{name} {endpoint} {what}", seed, report))
                failed = sorted(set(report.failures["measure"]))
                z = z_of(real, endpoint)
                print(f"{out[-1][0]} {seed} z {z:.1f} {report.verdict} {failed}", flush=True)
    return out


FAULTS = (
    ("copies", 0.01),
    ("copies", 0.05),
    ("copies", 0.2),
    ("near copies", 0.2),
    ("lost stratum", 1.0),
    ("broken dependence", 1.0),
    ("shrunk associations", 0.5),
    ("shifted margin", 0.5),
    ("swapped arms", 1.0),
)


def main() -> None:
    """Run one part and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ["files", "exact", "honest", "effects", "model", "faults", "time"]
    parser.add_argument("part", choices=parts)
    parser.add_argument("--trials", nargs="*", default=list(TRIALS))
    parser.add_argument("--splits", type=int, default=2)
    parser.add_argument("--models", choices=["all", "first"], default="first")
    parser.add_argument("--epsilon", nargs="*", type=float, default=[], help="private fits")
    parser.add_argument("--patients", type=int, default=2000, help="of part time")
    parser.add_argument("--journal", type=Path, help="of part faults: what was done")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop faults after")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    if asked.part == "files":
        table = files(asked.trials, asked.splits, asked.models, asked.epsilon)
        worst = table[["file_exact", "file_near"]].max(axis=1)
        print(f"worst mean over splits {worst.max():.3f}, mean of all {worst.mean():.3f}")
    elif asked.part == "exact":
        found = exact(asked.trials, asked.models, asked.epsilon)
        print(f"found in all: {found['found'].sum()} of {found['asked'].sum()}")
    elif asked.part == "honest":
        done = verdicts(asked.trials, range(asked.splits))
        for name, seed, report in done:
            print(name, seed, report.verdict, sorted(set(report.failures["measure"])))
        print(f"{sum(not r.passed for *_, r in done)} of {len(done)} honest draws fail")
    elif asked.part == "effects":
        done = without_effect(asked.splits)
        for what in ("removed", "drawn"):
            mine = [r for name, _, r in done if name.endswith(what)]
            failed, shown = sum(not r.passed for r in mine), sum(passes(r) for r in mine)
            print(
                f"{what}: of {len(mine)} {failed} fail, {shown} pass, "
                f"{len(mine) - failed - shown} could not have seen"
            )
    elif asked.part == "model":
        with_model(asked.trials)
    elif asked.part == "time":
        timed(asked.patients)
    else:
        found = audited_faults(asked.trials, asked.splits, asked.journal, asked.seconds)
        for fault, failed in found.items():
            print(f"{fault}: {sum(failed)} of {len(failed)} caught")
        planted_ones = [f for fault, failed in found.items() if fault != "none 0" for f in failed]
        if planted_ones:
            print(f"all faults: {sum(planted_ones)} of {len(planted_ones)} caught (floor 90 %)")


if __name__ == "__main__":
    main()
