"""``verify``: a saved result against its record, and made again."""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.base.parquet import read_parquet
from trial_sim.base.plain_yaml import read_plain_json
from trial_sim.base.provenance import digest, read_record
from trial_sim.base.records import Record, plain_hash
from trial_sim.base.run_log import check_log, is_log
from trial_sim.base.storage import read_arrays
from trial_sim.exploration.study import read_design
from trial_sim.qualification.making import MAKERS, CannotBeMade
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


#: What a page or record tells of one run: its date, its seconds, where it ran.
_RUN = re.compile(r"<time\b.*?</time>|<span class=\"run\">.*?</span>|^## Software.*", re.S | re.M)
_PICTURE = re.compile(r"(?:data:image/\w+;base64,|)[A-Za-z0-9+/=]{400,}")
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_OF_RUN = ("seconds", "created", "made", "versions", "platform", "processor", "commit")


def _without_run(text: str) -> str:
    """Text without what tells of one run; of JSON, without the keys that do."""
    try:
        content = json.loads(text)
    except ValueError:
        return _RUN.sub("", text)

    def kept(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: kept(v) for k, v in value.items() if k not in _OF_RUN}
        return [kept(v) for v in value] if isinstance(value, list) else value

    return json.dumps(kept(content), indent=1)


def _close(one: float, other: float) -> bool:
    return bool(np.isclose(one, other, rtol=ELSEWHERE, atol=ELSEWHERE))


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

    def arrays(self, held: dict[str, np.ndarray], again: dict[str, np.ndarray], what: str) -> None:
        """Compare the arrays of a saved fit with those of the same made again."""
        if {k: v.shape for k, v in held.items()} != {k: v.shape for k, v in again.items()}:
            self.differences.append(f"{what}: other arrays than those made again")
            return
        for name, one in held.items():
            if np.array_equal(one, again[name], equal_nan=one.dtype.kind == "f"):
                continue
            if one.dtype.kind != "f" or not np.allclose(
                one, again[name], rtol=ELSEWHERE, atol=ELSEWHERE, equal_nan=True
            ):
                self.differences.append(f"{what}: array {name} differs from the one made again")
                return
            self.notes.append(f"{what}, array {name}: equal to nine digits, not in every bit")

    def texts(self, held: str, again: str, what: str) -> None:
        """Compare text with the same made again, but for what tells of the run: date, seconds."""
        held, again = _without_run(held), _without_run(again)
        if held == again:
            return
        one, other = (_PICTURE.sub("picture", text) for text in (held, again))
        if _NUMBER.sub("#", one) != _NUMBER.sub("#", other):
            at = next((i for i, (a, b) in enumerate(zip(one, other)) if a != b), 0)
            near = (" ".join(text[max(0, at - 20) : at + 40].split()) for text in (one, other))
            first, second = near
            self.differences.append(f"{what}: reads {first!r}, made again {second!r}")
            return
        pairs = zip(_NUMBER.findall(one), _NUMBER.findall(other))
        parted = [(a, b) for a, b in pairs if not _close(float(a), float(b))]
        if parted:
            a, b = parted[0]
            self.differences.append(f"{what}: {len(parted)} numbers differ, the first {a} from {b}")
        elif one != other:
            self.notes.append(f"{what}: numbers equal to nine digits, not in every bit")
        else:
            self.notes.append(f"{what}: the same text; its pictures differ in their bytes")

    def done(self, path: Path) -> Verification:
        return Verification(
            str(path), tuple(self.checks), tuple(self.differences), tuple(self.notes)
        )


def verify(path: str | Path) -> Verification:
    """Check a saved result against its record, and make it again.

    Of a folder of ``SimulationResult.save`` the trials are simulated again from the design,
    outcomes and seed in ``run.json``; what a command wrote (``fit``, ``sample``, ``audit``,
    ``design``, ``simulate``, ``report``, ``what-if``, ``predict``) is made again from the
    arguments and files that its record names. Digests of results and inputs are compared first.
    Results are the same in every bit on one kind of processor, and to nine digits elsewhere. Of
    what cannot be made again a note says why. Of a log (``--log``) the chain of lines is checked,
    and whether the files written last still have their digests.

    Args:
        path: the folder, its ``run.json``, a file with its record beside it, or a log.

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
    if is_log(place):
        return _log(place)
    record = read_record(place)
    found = _Found()
    found.file(place, record["sha256"])
    inputs = {name: _input(entry, place) for name, entry in record.get("inputs", {}).items()}
    there = True
    for name, entry in record.get("inputs", {}).items():
        there &= found.file(inputs[name], entry["sha256"], "digest of the input")
    maker = MAKERS.get(record["function"])
    if maker is None:
        found.notes.append(f"not made again: {record['function']!r} is nothing that verify knows")
    elif not there:
        found.notes.append("not made again: an input is gone")
    elif not found.differences:
        with TemporaryDirectory() as folder:
            again = Path(folder) / place.name
            try:
                maker(record["arguments"], inputs, again)
            except (CannotBeMade, ValueError, TypeError, KeyError, OSError) as error:
                found.notes.append(f"not made again: {error}")
            else:
                _compare(found, place, again)
    return found.done(place)


def _input(entry: dict[str, Any], place: Path) -> Path:
    """A file that was read: where it was, or else of the same name beside the result."""
    path = Path(entry["path"])
    return path if path.exists() else place.parent / path.name


def _compare(found: _Found, held: Path, again: Path) -> None:
    """Compare a file with the one made again: in every bit, and else by what it holds."""
    if digest(held) == digest(again):
        found.checks.append(f"{held.name}, made again: the same in every bit")
        return
    if held.suffix in (".csv", ".parquet"):
        found.tables(_read(held), _read(again), held.name)
    elif held.suffix == ".docx":
        found.checks.append(f"{held.name}, made again: its text")
        found.texts(word_text(held), word_text(again), held.name)
    elif held.suffix in (".png", ".pdf", ".jpg"):
        found.notes.append(f"{held.name}: drawn again, its bytes differ; verify its table")
    elif zipfile.is_zipfile(held):
        _compare_fits(found, held, again)
    else:
        found.checks.append(f"{held.name}, made again: its text")
        found.texts(held.read_text("utf-8"), again.read_text("utf-8"), held.name)


def _compare_fits(found: _Found, held: Path, again: Path) -> None:
    found.checks.append(f"{held.name}, made again: every array and setting")
    (one, tree), (other, made) = read_arrays(held), read_arrays(again)
    found.arrays(one, other, held.name)
    found.texts(json.dumps(tree), json.dumps(made), held.name)


def word_text(path: Path) -> str:
    """The text of a Word file, as XML."""
    with zipfile.ZipFile(path) as archive:
        return archive.read("word/document.xml").decode()


def _log(place: Path) -> Verification:
    found = _Found()
    lines, broken, notes = check_log(place)
    found.checks.append(f"the chain of {lines:,} lines")
    found.differences += broken
    found.notes += notes
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


def _read(path: Path) -> pd.DataFrame:
    return read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
