"""Where a file came from: a record inside or beside every output, and `verify`, which checks it.

The record names the function and its arguments, seed, package versions, the SHA-256 of checkpoint
and data, the time, and a digest of each row. It is embedded where the format has room (Parquet
metadata, JSON, HTML, properties of SDF records) and lies beside CSV and SMILES files as
``<file>.provenance.json``, so that other programs still read those as usual.

Digests find rows that were changed after writing. Whoever changes a digest too is found by
:func:`verify` computing again: it draws rows, recomputes their descriptors and filters, and samples
the same molecules from the same checkpoint with the same seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from molgen.base.run_log import check_log, is_log
from molgen.base.whole_files import hash_file
from molgen.batch.chunk import draw_again
from molgen.chem.description import describe
from molgen.chem.properties import DESCRIPTORS
from molgen.files.provenance_records import Provenance, canonical_text, record, row_digests
from molgen.files.tables import load_table, record_beside, save_table, sidecar_path
from molgen.filters.filter_sets import filter_molecules
from molgen.model.cards import read_card, shipped_models
from molgen.model.config import DEFAULT_MODEL
from molgen.provenance.repeating import (
    ELSEWHERE,
    CannotBeRepeated,
    parted_rows,
    parted_texts,
    repeated,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Discrepancy",
    "Provenance",
    "Verification",
    "canonical_text",
    "hash_file",
    "load_table",
    "record",
    "row_digests",
    "save_table",
    "sidecar_path",
    "verify",
]


_ROWS_AT_ONCE = 100_000


@dataclass(frozen=True)
class Discrepancy:
    """One thing that does not agree: the row (from 1; 0 for the whole file), and what."""

    row: int
    what: str

    def __str__(self) -> str:
        return f"row {self.row}: {self.what}" if self.row else self.what


@dataclass(frozen=True)
class Verification:
    """The outcome of :func:`verify`.

    Attributes:
        path: the file.
        checks: what was checked, in words.
        discrepancies: what did not agree.
        provenance: the file's record; None of a log.
        notes: what could not be checked, and why.

    Examples:
        >>> import molgen
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from molgen.provenance import record, save_table
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "mine.csv"
        ...     _ = save_table(molgen.describe(["CCO"]), path, record("mine", {}, seed=0))
        ...     print(molgen.verify(path).passed)
        True
    """

    path: str
    checks: tuple[str, ...]
    discrepancies: tuple[Discrepancy, ...]
    provenance: Provenance | None
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether everything that was checked agreed."""
        return not self.discrepancies

    def __str__(self) -> str:
        verdict = "agrees with its record" if self.passed else "DOES NOT agree with its record"
        lines = [f"{self.path} {verdict}"]
        lines += [f"  checked: {c}" for c in self.checks]
        lines += [f"  {d}" for d in self.discrepancies]
        lines += [f"  note: {text}" for text in self.notes]
        return "\n".join(lines)


def verify(
    path: str | Path,
    *,
    n_rows: int = 100,
    model: Any = None,
    seed: int = 0,
    again: bool | None = None,
) -> Verification:
    """Check a saved file against its record, and make it, or some of its rows, again.

    Every row of a table is compared with its digest. Then ``n_rows`` rows are drawn, and their
    descriptors, and filters where the record names them, recomputed. If the record is of a model's
    ``sample`` (or ``sample_near``, ``sample_scaffold``, ``link``, ``interpolate``), molecules are
    made again with the same checkpoint, seed and arguments: of ``sample`` the first ``n_rows``.
    Where none of this applies (scores, searches, plates, pages, audits, pictures, saved models),
    the command that the record names is run again with the same inputs, and what it writes is
    compared in every bit; on another kind of processor to nine digits. What cannot be made again
    a note says, with the reason. Of a log (``--log``) the chain of lines is checked.

    Args:
        path: a file with its record inside or beside it, or a log.
        n_rows: rows to compute again.
        model: the model to sample from; by default the one named in the record is loaded.
        seed: of the draw of rows.
        again: run the command again in any case (True) or never (False).

    Raises:
        ValueError: no such file or no record.

    Examples:
        >>> import molgen
        >>> import pathlib, tempfile
        >>> from molgen.provenance import record, save_table
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = pathlib.Path(folder.name) / "mine.csv"
        >>> _ = save_table(molgen.describe(["CCO", "CCN"]), path, record("mine", {}, seed=0))
        >>> molgen.verify(path).discrepancies
        ()
        >>> folder.cleanup()
    """
    place = Path(path)
    if is_log(place):
        return _verify_log(place)
    beside = sidecar_path(place)
    if beside.exists() and (of_file := record_beside(place)).sha256:
        return _verify_file(place, of_file, again)
    table, provenance = load_table(path)
    checks: list[str] = []
    found: list[Discrepancy] = []
    if len(table) != len(provenance.row_digests):
        what = f"{len(table):,} rows, the record has {len(provenance.row_digests):,}"
        found.append(Discrepancy(0, what))
    for start in range(0, len(table), _ROWS_AT_ONCE):
        digests = row_digests(table.iloc[start : start + _ROWS_AT_ONCE])
        held = provenance.row_digests[start : start + _ROWS_AT_ONCE]
        for i, (now, then) in enumerate(zip(digests, held), start=start + 1):
            if now[: max(len(then), 8)] != then:  # millions are held short, see PackedDigests
                found.append(Discrepancy(i, "was changed after writing (digest differs)"))
    checks.append(f"digests of {min(len(table), len(provenance.row_digests)):,} rows")
    drawn = _draw(len(table), n_rows, seed)
    for check in (_recompute_descriptors, _recompute_filters):
        name, differences = check(table, drawn, provenance)
        if name:
            checks.append(name)
        found.extend(differences)
    name, differences = _sample_again(table, provenance, n_rows, model)
    if name:
        checks.append(name)
    found.extend(differences)
    notes: list[str] = []
    if again or (again is None and len(checks) == 1 and not found):
        try:
            with TemporaryDirectory() as folder:
                made, _ = load_table(repeated(provenance, place, Path(folder)))
        except CannotBeRepeated as error:
            notes.append(f"not made again: {error}")
        else:
            parted, exact = parted_rows(table, made)
            checks.append(f"{len(table):,} rows, made again by the command")
            found += [Discrepancy(row, what) for row, what in parted]
            if not parted and not exact:
                notes.append("numbers equal to nine digits, not in every bit")
    return Verification(str(path), tuple(checks), tuple(found), provenance, tuple(notes))


def _verify_file(place: Path, held: Provenance, again: bool | None) -> Verification:
    """A file that is no table: its digest, and its command run again."""
    checks = ["digest of the file"]
    notes: list[str] = []
    found: list[Discrepancy] = []
    if not place.is_file():
        raise ValueError(f"there is no file {place}")
    if hash_file(place) != held.sha256:
        found.append(Discrepancy(0, "the file was changed after it was written"))
    elif again is not False:
        try:
            with TemporaryDirectory() as folder:
                made = repeated(held, place, Path(folder))
                checks.append("the whole file, made again by the command")
                if hash_file(made) != held.sha256:
                    found += _parted_files(place, made, notes)
        except CannotBeRepeated as error:
            notes.append(f"not made again: {error}")
    return Verification(str(place), tuple(checks), tuple(found), held, tuple(notes))


def _parted_files(held: Path, again: Path, notes: list[str]) -> list[Discrepancy]:
    """What differs between two files that are not the same in every bit."""
    try:
        one, other = (path.read_text("utf-8") for path in (held, again))
    except UnicodeDecodeError:
        return _parted_arrays(held, again, notes)
    parted, exact = parted_texts(one, other)
    if not parted and not exact:
        notes.append("numbers equal to nine digits, not in every bit")
    return [Discrepancy(0, parted)] if parted else []


def _parted_arrays(held: Path, again: Path, notes: list[str]) -> list[Discrepancy]:
    if held.suffix != ".npz":
        notes.append("made again, its bytes differ")
        return []
    with np.load(held, allow_pickle=False) as one, np.load(again, allow_pickle=False) as other:
        for name in one.files:
            if np.array_equal(one[name], other[name]):
                continue
            if one[name].dtype.kind != "f" or not np.allclose(
                one[name], other[name], rtol=ELSEWHERE, atol=ELSEWHERE
            ):
                return [Discrepancy(0, f"array {name} differs from the one made again")]
            notes.append(f"array {name}: equal to nine digits, not in every bit")
    return []


def _verify_log(place: Path) -> Verification:
    lines, broken, notes = check_log(place)
    found = tuple(Discrepancy(0, text) for text in broken)
    return Verification(str(place), (f"the chain of {lines:,} lines",), found, None, tuple(notes))


def _draw(n: int, n_rows: int, seed: int) -> list[int]:
    generator = np.random.Generator(np.random.Philox(seed))
    return sorted(generator.choice(n, size=min(n, n_rows), replace=False).tolist()) if n else []


def _recompute_descriptors(
    table: pd.DataFrame, drawn: Sequence[int], provenance: Provenance
) -> tuple[str, list[Discrepancy]]:
    import warnings

    carried = provenance.arguments.get("carried") or ()  # the user's own columns
    # beside a raw value, a column of the same name is its desirability
    own = [c for c in table.columns if c not in carried and f"{c} (raw)" not in table.columns]
    names = [c for c in own if c in DESCRIPTORS]
    if not names or "smiles" not in table.columns or not drawn:
        return "", []
    smiles = [str(table["smiles"].iloc[i]) for i in drawn]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = describe(smiles, properties=names)
    found = []
    for k, i in enumerate(drawn):
        for name in names:
            held, expected = table[name].iloc[i], float(again[name].iloc[k])
            if not _same_number(held, expected):
                what = f"{name} is {held}, computed again it is {expected:.6g}"
                found.append(Discrepancy(i + 1, what))
    return f"{len(names)} descriptors of {len(drawn):,} rows, recomputed", found


def _same_number(held: Any, expected: float) -> bool:
    try:
        value = float(held) if str(held) else math.nan
    except ValueError:
        return False
    if math.isnan(value) or math.isnan(expected):
        return math.isnan(value) and math.isnan(expected)
    return math.isclose(value, expected, rel_tol=1e-6, abs_tol=1e-9)


def _recompute_filters(
    table: pd.DataFrame, drawn: Sequence[int], provenance: Provenance
) -> tuple[str, list[Discrepancy]]:
    filters = provenance.arguments.get("filters")
    if not filters or not {"passed", "smiles"} <= set(table.columns) or not drawn:
        return "", []
    again = filter_molecules([str(table["smiles"].iloc[i]) for i in drawn], filters)
    found = [
        Discrepancy(i + 1, f"passed is {table['passed'].iloc[i]}, filtered again it is {new}")
        for i, new in zip(drawn, again["passed"])
        if str(table["passed"].iloc[i]) != str(bool(new))
    ]
    return f"filters of {len(drawn):,} rows, applied again", found


#: Methods of a model that verify calls again; of these, ``sample`` gives the same molecules in the
#: same order whatever their number, so a part of it is enough.
_REPLAYABLE = (
    "sample", "sample_near", "sample_scaffold", "link", "connect", "replace_core", "interpolate"
)  # fmt: skip


def _shipped(checkpoint: str) -> str:
    """The shipped model whose checkpoint this is; the default one where none is."""
    fits = [name for name in shipped_models() if read_card(name)["sha256"] == checkpoint]
    return fits[0] if fits else DEFAULT_MODEL


def _sample_again(
    table: pd.DataFrame, provenance: Provenance, n_rows: int, model: Any
) -> tuple[str, list[Discrepancy]]:
    """Make the molecules again, where the record is of a model's method."""
    arguments = {k: v for k, v in provenance.arguments.items() if v is not None}
    name = arguments.pop("model", None) or _shipped(provenance.checkpoint_sha256)
    of_batch = provenance.function.startswith("run_batch") and "draw" in table.columns
    replayable = of_batch or provenance.function in _REPLAYABLE
    if not replayable or "smiles" not in table.columns or not len(table):
        return "", []
    if model is None:
        from molgen import load_model

        model = load_model(name)
    held = getattr(model, "card", {}).get("sha256", "")
    if provenance.checkpoint_sha256 and held and held != provenance.checkpoint_sha256:
        what = f"the checkpoint at hand is {held[:12]}, the record names "
        return "", [Discrepancy(0, what + provenance.checkpoint_sha256[:12])]
    asked = getattr(model, "precedent", None) if provenance.precedent_sha256 else None
    if asked is not None and asked.sha256 != provenance.precedent_sha256:
        what = f"the table of precedent at hand is {asked.sha256[:12]}, the record names "
        return "", [Discrepancy(0, what + provenance.precedent_sha256[:12])]
    n = len(table)
    if of_batch:
        rows = _draw(min(n, n_rows), n, provenance.seed or 0)
        compared, different = draw_again(table, provenance, model, rows)
        what = f"{compared:,} molecules, their blocks drawn again"
        return what, [Discrepancy(row + 1, text) for row, text in different]
    if provenance.function == "sample":
        arguments["n"] = n = min(n_rows, n)
    again = list(getattr(model, provenance.function)(**arguments, seed=provenance.seed or 0))
    found = [
        Discrepancy(i + 1, f"is {old}, made again it is {new}")
        for i, (old, new) in enumerate(zip(table["smiles"].head(n), again))
        if str(old) != new
    ]
    return f"the first {n:,} molecules, made again by {provenance.function}", found
