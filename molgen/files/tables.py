"""Tables of molecules written to files with their provenance, and read back with it.

The record is embedded where the format has room: Parquet metadata, JSON, data fields of SDF
records. Beside CSV, TSV and SMILES files it lies as ``<file>.provenance.json``.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from molgen.base.output_places import is_ordinary
from molgen.base.parquet import ParquetError, parquet_bytes, read_parquet
from molgen.base.whole_files import write_atomically
from molgen.chem.parsing import parse_or_none, quiet_rdkit
from molgen.files.molecule_files import SIGNATURES
from molgen.files.provenance_records import (
    Provenance,
    canonical_text,
    held_digests,
    row_digests,
    with_command,
)

if TYPE_CHECKING:
    import pandas as pd

SIDECAR = ".provenance.json"
_PARQUET_KEY = "molgen_provenance"
_SDF_RECORD, _SDF_DIGEST = SIGNATURES

WRITABLE = (".csv", ".tsv", ".parquet", ".json", ".sdf", ".smi")


def check_suffix(path: Path) -> str:
    """The ending that says how a table is written, without ``.gz``.

    Raises:
        ValueError: no ending of :data:`WRITABLE`.
    """
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
    target = Path(path)
    suffix = check_suffix(target)
    if smiles_column not in table.columns:
        raise ValueError(
            f"The table has no column {smiles_column!r}; it has "
            f"{', '.join(map(str, table.columns))}."
        )
    if suffix == ".smi":
        table = table[[smiles_column]]
    table = _plain(table)
    complete = replace(with_command(provenance), row_digests=held_digests(row_digests(table)))
    content = _WRITERS[suffix](table, complete, smiles_column)
    if target.suffix.lower() == ".gz":
        content = gzip.compress(content, mtime=0)
    beside = suffix in (".csv", ".tsv", ".smi")
    try:
        if beside:  # first the record: a table never stands there without it
            write_atomically(sidecar_path(target), complete.to_json().encode())
        try:
            write_atomically(target, content)
        except OSError:
            if beside and not target.exists():
                sidecar_path(target).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ValueError(f"Cannot write {target}: {error.strerror}.") from error
    return target


def write_beside(path: str | Path, provenance: Provenance) -> None:
    """Write the record of a file that is no table beside it; of standard output there is none."""
    if Path(path).is_file() and is_ordinary(path):
        made = with_command(provenance, Path(path))
        write_atomically(sidecar_path(path), made.to_json().encode())


def sidecar_path(path: str | Path) -> Path:
    """Where the record of a CSV or SMILES file lies."""
    return Path(path).with_name(Path(path).name + SIDECAR)


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """The table without attrs, and with one-line text in place of Python objects."""
    plain = table.copy()
    plain.attrs = {}
    for name in plain.columns:
        if plain[name].dtype == object:
            plain[name] = [
                v if v is None or isinstance(v, float) else _CONTROL.sub(_escape, str(v))
                for v in plain[name]
            ]
    return plain


#: Control characters, which readers of CSV drop or take for line ends.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _escape(match: re.Match[str]) -> str:
    return f"\\x{ord(match.group()):02x}"


def _to_csv(table: pd.DataFrame, provenance: Provenance, smiles_column: str) -> bytes:
    return table.to_csv(index=False).encode()


def _to_tsv(table: pd.DataFrame, provenance: Provenance, smiles_column: str) -> bytes:
    return table.to_csv(index=False, sep="\t").encode()


def _to_smi(table: pd.DataFrame, provenance: Provenance, smiles_column: str) -> bytes:
    return "".join(f"{s}\n" for s in table[smiles_column]).encode()


def _to_parquet(table: pd.DataFrame, provenance: Provenance, smiles_column: str) -> bytes:
    return parquet_bytes(table, {_PARQUET_KEY: provenance.to_json()})


def _to_json(table: pd.DataFrame, provenance: Provenance, smiles_column: str) -> bytes:
    rows = json.loads(table.to_json(orient="records", double_precision=15))
    return json.dumps({"provenance": json.loads(provenance.to_json()), "rows": rows}).encode()


def _to_sdf(table: pd.DataFrame, provenance: Provenance, smiles_column: str) -> bytes:
    from rdkit import Chem
    from rdkit.Chem import rdDepictor

    whole = replace(provenance, row_digests=())
    one_line = json.dumps(json.loads(whole.to_json()))
    records = []
    for i, row in enumerate(table.to_dict("records")):
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
        fields = "".join(f">  <{k}>\n{v}\n\n" for k, v in cells.items())
        records.append(f"{block}{fields}$$$$\n")
    return "".join(records).encode()


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
    source = Path(path)
    suffix = check_suffix(source)
    if suffix == ".parquet" and source.suffix.lower() != ".gz":
        return _load_parquet(source, source)
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
        return table, record_beside(source)
    if suffix == ".smi":
        table = pd.DataFrame({"smiles": content.decode().splitlines()})
        return table, record_beside(source)
    if suffix == ".parquet":
        return _load_parquet(content, source)
    if suffix == ".json":
        data = json.loads(content)
        if not isinstance(data, dict) or not {"provenance", "rows"} <= set(data):
            raise ValueError(f"{source} has no provenance record.")
        return pd.DataFrame(data["rows"]), Provenance.from_json(json.dumps(data["provenance"]))
    return _load_sdf(content.decode(), source)


def _load_parquet(content: Path | bytes, source: Path) -> tuple[pd.DataFrame, Provenance]:
    try:
        table, metadata = read_parquet(content)
    except ParquetError as error:
        raise ValueError(f"{source} is not a readable Parquet file: {error}.") from error
    except OSError as error:
        raise ValueError(f"Cannot read {source}: {error.strerror}.") from error
    if _PARQUET_KEY not in metadata:
        raise ValueError(f"{source} has no provenance record in its metadata.")
    return table, Provenance.from_json(metadata[_PARQUET_KEY])


def record_beside(source: Path) -> Provenance:
    """The record beside a file.

    Raises:
        ValueError: there is none, or a damaged one.
    """
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
