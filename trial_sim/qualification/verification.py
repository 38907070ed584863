"""``verify``: a saved result against its record, and made again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.arms.fitting import load_fitted
from trial_sim.base.parquet import read_parquet, write_parquet
from trial_sim.base.plain_yaml import read_plain_json
from trial_sim.base.provenance import digest, read_record
from trial_sim.base.records import Record, plain_hash
from trial_sim.exploration.study import read_design, read_study
from trial_sim.simulation.simulate import simulate

#: How far numbers may part on another kind of processor, where sums have another order.
ELSEWHERE = 1e-9


@dataclass(frozen=True)
class Verification:
    """The outcome of :func:`verify`.

    Attributes:
        path: the file or folder. checks: what was checked, in words.
        discrepancies: what did not agree. notes: what could not be checked, and why.

    Examples:
        >>> import trial_sim as ts
        >>> from trial_sim.qualification.verification import Verification
        >>> Verification("run", ("digest",), ()).passed
        True
        >>> print(Verification("run", ("digest",), ("trials differ",)))
        run DOES NOT agree with its record
          checked: digest
          differs: trials differ
    """

    path: str
    checks: tuple[str, ...]
    discrepancies: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether something was checked, and all of it agreed."""
        return bool(self.checks) and not self.discrepancies

    def __str__(self) -> str:
        verdict = "agrees with its record" if self.passed else "DOES NOT agree with its record"
        lines = [f"{self.path} {verdict}"]
        lines += [f"  checked: {text}" for text in self.checks]
        lines += [f"  differs: {text}" for text in self.discrepancies]
        lines += [f"  note: {text}" for text in self.notes]
        return "\n".join(lines)


class _Found:
    """What a verification gathers."""

    def __init__(self) -> None:
        self.checks: list[str] = []
        self.differences: list[str] = []
        self.notes: list[str] = []

    def file(self, path: Path, expected: str, what: str = "digest of") -> bool:
        """Compare a file's digest; False where it cannot be read."""
        if not path.exists():
            self.notes.append(f"{path} is not there any more")
            return False
        self.checks.append(f"{what} {path.name}")
        if digest(path) != expected:
            self.differences.append(f"{path.name} was changed after it was written")
        return True

    def tables(self, held: pd.DataFrame, again: pd.DataFrame, what: str) -> None:
        """Compare a table with the same made again."""
        self.checks.append(f"{what}, made again: {len(held):,} rows")
        if list(held.columns) != list(again.columns) or len(held) != len(again):
            self.differences.append(
                f"{what}: {held.shape[0]} rows and {held.shape[1]} columns, made again "
                f"{again.shape[0]} and {again.shape[1]}"
            )
            return
        for name in held.columns:
            one, other = held[name].reset_index(drop=True), again[name].reset_index(drop=True)
            if pd.api.types.is_numeric_dtype(one) and pd.api.types.is_numeric_dtype(other):
                a, b = one.to_numpy(float), other.to_numpy(float)
                if np.array_equal(a, b, equal_nan=True):
                    continue
                near = np.isclose(a, b, rtol=ELSEWHERE, atol=ELSEWHERE, equal_nan=True)
                if near.all():
                    self.notes.append(f"{what}, {name}: equal to nine digits, not in every bit")
                    continue
                different = int((~near).sum())
            else:
                different = int((one.astype(str) != other.astype(str)).sum())
            if different:
                self.differences.append(f"{what}, {name}: {different} rows differ")

    def done(self, path: Path) -> Verification:
        return Verification(
            str(path), tuple(self.checks), tuple(self.differences), tuple(self.notes)
        )


def verify(path: str | Path) -> Verification:
    """Check a saved result against its record, and make it again.

    Of a folder of ``SimulationResult.save`` the trials are simulated again from the design,
    outcomes and seed in ``run.json``; a table of ``trial-sim simulate`` or ``sample`` is made again
    from the study or fitted model that its record names. Digests of results and inputs are compared
    first. Results are the same in every bit on one kind of processor, and to nine digits elsewhere.

    Args:
        path: the folder, its ``run.json``, or a CSV or Parquet file with its record beside it.

    Raises:
        ValueError: there is no record.

    Examples:
        >>> import trial_sim as ts
        >>> from tempfile import TemporaryDirectory
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=100,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EventLooks([60]),
        ... )
        >>> outcomes = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.6)
        >>> with TemporaryDirectory() as folder:
        ...     path = ts.simulate(design, outcomes, n_trials=20, seed=1).save(f"{folder}/run")
        ...     print(ts.verify(path).passed)
        True
    """
    place = Path(path)
    if place.name == "run.json":
        place = place.parent
    if place.is_dir():
        return _simulation(place)
    if not place.exists():
        raise ValueError(f"there is no file or folder {str(place)!r}")
    record = read_record(place)
    found = _Found()
    found.file(place, record["sha256"])
    there = True
    for entry in record.get("inputs", {}).values():
        there &= found.file(Path(entry["path"]), entry["sha256"], "digest of the input")
    again = {"simulate": _study_again, "sample": _sample_again}.get(record["function"])
    if again is None:
        found.notes.append(f"{record['function']} is not made again")
    elif there and not found.differences:
        found.tables(_read(place), _as_read(again(record), place), place.name)
    return found.done(place)


def _simulation(folder: Path) -> Verification:
    if not (folder / "run.json").exists():
        raise ValueError(f"{str(folder)!r} holds no run.json: it is no saved simulation")
    run = read_plain_json((folder / "run.json").read_text(encoding="utf-8"))
    found = _Found()
    for name, expected in run.get("files", {}).items():
        found.file(folder / name, expected)
    inputs = {name: run[name] for name in ("design", "outcomes", "seed", "scenario")}
    found.checks.append("hash of design, outcomes, seed and scenario")
    if plain_hash(inputs) != run["hash"]:
        found.differences.append("run.json was changed after it was written")
    held = read_parquet(folder / "trials.parquet")
    if run.get("decided"):
        found.notes.append("a function of the user's changed the trials, which no file holds")
        return found.done(folder)
    try:
        design = read_design(run["design"])
        outcomes: Any = Record.from_dict(run["outcomes"])
    except (TypeError, ValueError, AttributeError) as error:
        found.notes.append(f"not simulated again: the file cannot hold its inputs ({error})")
        return found.done(folder)
    first = int(held["trial"].min()) if len(held) else 0
    again = simulate(
        design, outcomes, run["n_trials"], run["seed"], scenario=run["scenario"], first_trial=first
    )
    found.tables(held, again.trials, "trials")
    return found.done(folder)


def _study_again(record: dict[str, Any]) -> pd.DataFrame:
    study = read_study(record["inputs"]["study"]["path"])
    arguments = {**study.simulation, **record["arguments"]}
    frames = [
        simulate(study.design, outcomes, **arguments).operating_characteristics.assign(
            scenario=name
        )
        for name, outcomes in {"planned": study.outcomes, **study.scenarios}.items()
    ]
    return pd.concat(frames)


def _sample_again(record: dict[str, Any]) -> pd.DataFrame:
    fitted = load_fitted(record["inputs"]["model"]["path"])
    return draw(fitted, record["arguments"])


def draw(fitted: Any, arguments: dict[str, Any]) -> pd.DataFrame:
    """Patients of a fitted model: of one arm, or of a whole trial where ``arm`` is None."""
    options = dict(arguments)
    arm, n, effect = (options.pop(name) for name in ("arm", "n", "effect"))
    if arm is not None:
        by_text = {str(a): a for a in fitted.arms}
        chosen = by_text.get(str(arm), arm)
        return fitted.sample_arm(chosen, 100 if n is None else n, effect=effect, **options)
    sizes = None if n is None else dict.fromkeys(fitted.arms or (None,), n)
    effects = None if effect is None else dict.fromkeys(fitted.arms[1:], effect)
    return fitted.sample_trial(sizes, effects=effects, **options).patients


def _read(path: Path) -> pd.DataFrame:
    return read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)


def _as_read(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The table as it is after writing and reading it in the file's own way."""
    with TemporaryDirectory() as folder:
        copy = Path(folder) / f"again{path.suffix}"
        if path.suffix == ".parquet":
            write_parquet(table, copy)
        else:
            table.to_csv(copy, index=False)
        return _read(copy)
