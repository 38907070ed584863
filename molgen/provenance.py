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

import hashlib
import io
import json
import math
import platform
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

SIDECAR = ".provenance.json"
_PARQUET_KEY = b"molgen_provenance"
_SDF_RECORD = "molgen_provenance"
_SDF_DIGEST = "molgen_row_digest"


@dataclass(frozen=True)
class Provenance:
    """How a table of molecules came about.

    Attributes:
        function: what made it, for example ``"sample"``.
        arguments: its arguments, as plain data; enough to call it again.
        seed: the seed, or None where nothing is random.
        checkpoint_sha256: hash of the model's weights, or an empty string.
        data_sha256: hash of the molecules put in, or an empty string.
        version: of this package.
        created: time of writing, UTC, ISO 8601.
        environment: versions of Python, RDKit, and PyTorch where it was in use.
        row_digests: one short digest a row, filled in when a table is saved.
    """

    function: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    checkpoint_sha256: str = ""
    data_sha256: str = ""
    version: str = ""
    created: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    row_digests: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.function:
            raise ValueError("A provenance record needs the name of the function.")
        try:
            json.dumps(self.arguments)
        except TypeError as error:
            raise ValueError(
                f"Arguments in a provenance record must be plain data: {error}."
            ) from error

    def to_json(self) -> str:
        """The record as JSON text."""
        return json.dumps(asdict(self), indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Provenance:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError: not such a record.
        """
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"The provenance record is not JSON: {error}.") from error
        known = set(cls.__dataclass_fields__)
        if not isinstance(data, dict) or "function" not in data or set(data) - known:
            raise ValueError("The provenance record lacks its fields or has unknown ones.")
        data["row_digests"] = tuple(data.get("row_digests", ()))
        return cls(**data)


def record(
    function: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    seed: int | None = None,
    checkpoint_sha256: str = "",
    data_sha256: str = "",
) -> Provenance:
    """A provenance record of this moment and this environment."""
    from rdkit import rdBase

    from molgen import __version__

    versions = {"python": platform.python_version(), "rdkit": rdBase.rdkitVersion}
    if "torch" in sys.modules:  # what a model samples may differ between versions of it
        versions["torch"] = str(sys.modules["torch"].__version__)
    return Provenance(
        function=function,
        arguments=dict(arguments or {}),
        seed=seed,
        checkpoint_sha256=checkpoint_sha256,
        data_sha256=data_sha256,
        version=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=versions,
    )


def hash_file(path: str | Path) -> str:
    """SHA-256 of a file's content."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def canonical_text(value: Any) -> str:
    """A cell's value as text that survives any of the formats: numbers to ten digits, NaN empty."""
    if value is None:
        return ""
    text = str(value)
    if isinstance(value, bool | np.bool_) or text in ("True", "False"):
        return text
    try:
        number = float(text)
    except ValueError:
        return text
    return "" if math.isnan(number) else f"{number:.10g}"


def row_digests(table: pd.DataFrame) -> tuple[str, ...]:
    """One digest (16 hexadecimal digits of SHA-256) a row, over column names and values."""
    names = [str(c) for c in table.columns]
    digests = []
    for row in table.itertuples(index=False, name=None):
        content = json.dumps([[n, canonical_text(v)] for n, v in zip(names, row)])
        digests.append(hashlib.sha256(content.encode()).hexdigest()[:16])
    return tuple(digests)


# --- Writing --------------------------------------------------------------------------------

WRITABLE = (".csv", ".tsv", ".parquet", ".json", ".sdf", ".smi")


def _suffix(path: Path) -> str:
    suffixes = [s.lower() for s in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    suffix = suffixes[-1] if suffixes else ""
    if suffix not in WRITABLE:
        raise ValueError(
            f"Cannot tell how to write {path.name}; expected one of {', '.join(WRITABLE)}, "
            "with or without .gz."
        )
    return suffix


def save_table(
    table: pd.DataFrame, path: str | Path, provenance: Provenance, *, smiles_column: str = "smiles"
) -> Path:
    """Write a table of molecules with its provenance.

    Args:
        table: one row a molecule.
        path: ``.csv``, ``.tsv``, ``.parquet``, ``.json``, ``.sdf`` or ``.smi`` (SMILES alone),
            each also with ``.gz``. The file appears whole or not at all.
        provenance: from :func:`record`; digests of the rows are added to it.
        smiles_column: where the SMILES are (for ``.sdf`` and ``.smi``).

    Raises:
        ValueError: unknown ending, no such column, or the file cannot be written.
    """
    import gzip

    from molgen.datasets import write_atomically

    target = Path(path)
    suffix = _suffix(target)
    if smiles_column not in table.columns:
        raise ValueError(
            f"The table has no column {smiles_column!r}; it has "
            f"{', '.join(map(str, table.columns))}."
        )
    if suffix == ".smi":
        table = table[[smiles_column]]
    complete = replace(provenance, row_digests=row_digests(table))
    content = _WRITERS[suffix](table, complete, smiles_column)
    if target.suffix.lower() == ".gz":
        content = gzip.compress(content, mtime=0)
    try:
        write_atomically(target, content)
        if suffix in (".csv", ".tsv", ".smi"):
            write_atomically(sidecar_path(target), complete.to_json().encode())
    except OSError as error:
        raise ValueError(f"Cannot write {target}: {error.strerror}.") from error
    return target


def sidecar_path(path: str | Path) -> Path:
    """Where the record of a CSV or SMILES file lies."""
    return Path(path).with_name(Path(path).name + SIDECAR)


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """The table without attrs, and with text in place of Python objects such as reasons."""
    plain = table.copy()
    plain.attrs = {}
    for name in plain.columns:
        if plain[name].dtype == object:
            plain[name] = [v if v is None or isinstance(v, float) else str(v) for v in plain[name]]
    return plain


def _to_csv(table: pd.DataFrame, provenance: Provenance, smiles_column: str) -> bytes:
    return _plain(table).to_csv(index=False).encode()


def _to_tsv(table: pd.DataFrame, provenance: Provenance, smiles_column: str) -> bytes:
    return _plain(table).to_csv(index=False, sep="\t").encode()


def _to_smi(table: pd.DataFrame, provenance: Provenance, smiles_column: str) -> bytes:
    return "".join(f"{s}\n" for s in table[smiles_column]).encode()


def _to_parquet(table: pd.DataFrame, provenance: Provenance, smiles_column: str) -> bytes:
    import pyarrow
    import pyarrow.parquet as pq

    arrow = pyarrow.Table.from_pandas(_plain(table), preserve_index=False)
    metadata = {**(arrow.schema.metadata or {}), _PARQUET_KEY: provenance.to_json().encode()}
    buffer = io.BytesIO()
    pq.write_table(arrow.replace_schema_metadata(metadata), buffer)
    return buffer.getvalue()


def _to_json(table: pd.DataFrame, provenance: Provenance, smiles_column: str) -> bytes:
    rows = json.loads(_plain(table).to_json(orient="records", double_precision=15))
    return json.dumps({"provenance": json.loads(provenance.to_json()), "rows": rows}).encode()


def _to_sdf(table: pd.DataFrame, provenance: Provenance, smiles_column: str) -> bytes:
    from rdkit import Chem
    from rdkit.Chem import rdDepictor

    from molgen.chem import parse_or_none, quiet_rdkit

    whole = replace(provenance, row_digests=())
    one_line = json.dumps(json.loads(whole.to_json()))
    records = []
    for i, row in enumerate(_plain(table).to_dict("records")):
        mol = parse_or_none(row[smiles_column])
        with quiet_rdkit():
            mol = Chem.Mol() if mol is None else Chem.Mol(mol)
            if mol.GetNumAtoms():
                rdDepictor.Compute2DCoords(mol)
            mol.SetProp("_Name", str(row.get("name", i + 1)))
            block = Chem.MolToMolBlock(mol)
        cells = {str(k): canonical_text(v) if not isinstance(v, str) else v for k, v in row.items()}
        cells[_SDF_DIGEST] = provenance.row_digests[i]
        cells[_SDF_RECORD] = one_line
        fields = "".join(f">  <{k}>\n{_one_line(v)}\n\n" for k, v in cells.items())
        records.append(f"{block}{fields}$$$$\n")
    return "".join(records).encode()


def _one_line(text: str) -> str:
    return " ".join(text.split("\n"))


_WRITERS = {
    ".csv": _to_csv,
    ".tsv": _to_tsv,
    ".smi": _to_smi,
    ".parquet": _to_parquet,
    ".json": _to_json,
    ".sdf": _to_sdf,
}


# --- Reading --------------------------------------------------------------------------------


def load_table(path: str | Path) -> tuple[pd.DataFrame, Provenance]:
    """A table that :func:`save_table` wrote, and its record. Cells of text formats are text.

    Raises:
        ValueError: no such file, no record, or a damaged one.
    """
    import gzip

    source = Path(path)
    suffix = _suffix(source)
    try:
        content = source.read_bytes()
    except OSError as error:
        raise ValueError(f"Cannot read {source}: {error.strerror}.") from error
    try:
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        return _parse_table(content, suffix, source)
    except (OSError, EOFError, UnicodeDecodeError, json.JSONDecodeError, zlib.error) as error:
        raise ValueError(f"{source} is damaged or cut off: {error}.") from error


def _parse_table(content: bytes, suffix: str, source: Path) -> tuple[pd.DataFrame, Provenance]:
    import pandas as pd

    if suffix in (".csv", ".tsv"):
        separator = "\t" if suffix == ".tsv" else ","
        table = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False, sep=separator)
        return table, _sidecar(source)
    if suffix == ".smi":
        table = pd.DataFrame({"smiles": content.decode().splitlines()})
        return table, _sidecar(source)
    if suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet as pq

        try:
            arrow = pq.read_table(io.BytesIO(content))
        except pyarrow.ArrowException as error:
            raise ValueError(f"{source} is not a readable Parquet file: {error}.") from error
        metadata = arrow.schema.metadata or {}
        if _PARQUET_KEY not in metadata:
            raise ValueError(f"{source} has no provenance record in its metadata.")
        return arrow.to_pandas(), Provenance.from_json(metadata[_PARQUET_KEY].decode())
    if suffix == ".json":
        data = json.loads(content)
        if not isinstance(data, dict) or not {"provenance", "rows"} <= set(data):
            raise ValueError(f"{source} has no provenance record.")
        return pd.DataFrame(data["rows"]), Provenance.from_json(json.dumps(data["provenance"]))
    return _load_sdf(content.decode(), source)


def _sidecar(source: Path) -> Provenance:
    path = sidecar_path(source)
    try:
        return Provenance.from_json(path.read_text())
    except OSError:
        raise ValueError(
            f"{source} has no provenance record: {path.name} is not beside it."
        ) from None


def _load_sdf(text: str, source: Path) -> tuple[pd.DataFrame, Provenance]:
    import pandas as pd

    rows = []
    for block in text.split("$$$$\n"):
        if not block.strip():
            continue
        lines = block.split("\n")
        rows.append(
            {
                line[line.index("<") + 1 : line.rindex(">")]: lines[i + 1]
                for i, line in enumerate(lines[:-1])
                if line.startswith(">  <")
            }
        )
    table = pd.DataFrame(rows)
    if not len(table) or _SDF_RECORD not in table.columns:
        raise ValueError(f"{source} has no provenance record in its data fields.")
    provenance = Provenance.from_json(table[_SDF_RECORD].iloc[0])
    digests = tuple(table[_SDF_DIGEST])
    return table.drop(columns=[_SDF_RECORD, _SDF_DIGEST]), replace(provenance, row_digests=digests)


# --- Verifying ------------------------------------------------------------------------------


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
        provenance: the file's record.
    """

    path: str
    checks: tuple[str, ...]
    discrepancies: tuple[Discrepancy, ...]
    provenance: Provenance

    @property
    def passed(self) -> bool:
        """Whether everything that was checked agreed."""
        return not self.discrepancies

    def __str__(self) -> str:
        verdict = "agrees with its record" if self.passed else "DOES NOT agree with its record"
        lines = [f"{self.path} {verdict}"]
        lines += [f"  checked: {c}" for c in self.checks]
        lines += [f"  {d}" for d in self.discrepancies]
        return "\n".join(lines)


def verify(
    path: str | Path, *, n_rows: int = 100, model: Any = None, seed: int = 0
) -> Verification:
    """Check a saved table against its record, and compute some of its rows again.

    Every row is compared with its digest. Then ``n_rows`` rows are drawn, and their descriptors,
    and filters where the record names them, recomputed. If the record is of a model's ``sample``
    (or ``sample_near``, ``sample_scaffold``, ``link``, ``interpolate``), molecules are made again
    with the same checkpoint, seed and arguments: of ``sample`` the first ``n_rows``.

    Args:
        path: a file written by :func:`save_table`.
        n_rows: rows to compute again.
        model: the model to sample from; by default the one named in the record is loaded.
        seed: of the draw of rows.

    Raises:
        ValueError: no such file or no record.
    """
    table, provenance = load_table(path)
    checks: list[str] = []
    found: list[Discrepancy] = []
    if len(table) != len(provenance.row_digests):
        what = f"{len(table):,} rows, the record has {len(provenance.row_digests):,}"
        found.append(Discrepancy(0, what))
    for i, (now, then) in enumerate(zip(row_digests(table), provenance.row_digests), start=1):
        if now != then:
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
    return Verification(str(path), tuple(checks), tuple(found), provenance)


def _draw(n: int, n_rows: int, seed: int) -> list[int]:
    generator = np.random.Generator(np.random.Philox(seed))
    return sorted(generator.choice(n, size=min(n, n_rows), replace=False).tolist()) if n else []


def _recompute_descriptors(
    table: pd.DataFrame, drawn: Sequence[int], provenance: Provenance
) -> tuple[str, list[Discrepancy]]:
    import warnings

    from molgen.properties import DESCRIPTORS, describe

    names = [c for c in table.columns if c in DESCRIPTORS]
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
    from molgen.filters import filter_molecules

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
_REPLAYABLE = ("sample", "sample_near", "sample_scaffold", "link", "interpolate")


def _sample_again(
    table: pd.DataFrame, provenance: Provenance, n_rows: int, model: Any
) -> tuple[str, list[Discrepancy]]:
    """Make the molecules again, where the record is of a model's method."""
    arguments = {k: v for k, v in provenance.arguments.items() if v is not None}
    name = arguments.pop("model", "moses")
    if provenance.function not in _REPLAYABLE or "smiles" not in table.columns:
        return "", []
    if model is None:
        from molgen import load_model

        model = load_model(name)
    held = getattr(model, "card", {}).get("sha256", "")
    if provenance.checkpoint_sha256 and held and held != provenance.checkpoint_sha256:
        what = f"the checkpoint at hand is {held[:12]}, the record names "
        return "", [Discrepancy(0, what + provenance.checkpoint_sha256[:12])]
    n = len(table)
    if provenance.function == "sample":
        arguments["n"] = n = min(n_rows, n)
    again = list(getattr(model, provenance.function)(**arguments, seed=provenance.seed or 0))
    found = [
        Discrepancy(i + 1, f"is {old}, made again it is {new}")
        for i, (old, new) in enumerate(zip(table["smiles"].head(n), again))
        if str(old) != new
    ]
    return f"the first {n:,} molecules, made again by {provenance.function}", found
