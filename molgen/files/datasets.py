"""MOSES, downloaded once and verified, and the small sample of it inside the package.

MOSES (Polykovskiy et al., Front. Pharmacol. 11:565644, 2020) travels whole inside the wheel of
``molsets`` on PyPI. That wheel's own requirements are too old to install, so it is fetched as data
with pip, its SHA-256 is checked, and the three splits are kept in the user's cache folder.
Reading the user's own files is next door, in :mod:`molgen.files.molecule_files`.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from molgen.base.arguments import unknown
from molgen.base.errors import MolgenError
from molgen.base.whole_files import cache_folder, write_atomically
from molgen.files.molecule_files import MoleculeFile, read_molecules

__all__ = [
    "DatasetError",
    "MoleculeFile",
    "cache_folder",
    "hash_smiles",
    "load_dataset",
    "read_molecules",
    "write_atomically",
]

WHEEL_NAME = "molsets-0.3.1-py3-none-any.whl"
WHEEL_SHA256 = "7f4450e3ebecebe79c3a2a55950c93daddee071120daf64a163d03481e811d34"
WHEEL_BYTES = 51_600_000  # about; for the progress bar only


class DatasetError(MolgenError):
    """A data set that is not at hand and cannot be fetched, or whose file is damaged."""


@dataclass(frozen=True)
class Split:
    """One split of a data set: the file's name, its SHA-256 and its number of molecules."""

    file: str
    sha256: str
    n_molecules: int


#: The splits of MOSES. "sample" ships inside the package: 5,000 molecules of the training split.
MOSES_SPLITS = {
    "train": Split(
        "train.csv.gz",
        "786f0313aa6b9ba5514df685f885742a70ea8d86f1a4fa48115f7f80a634265c",
        1_584_663,
    ),
    "test": Split(
        "test.csv.gz", "f896fbf3764f88d94670b9959e5872c600c12152a18233823e820761b7a791b2", 176_074
    ),
    "test_scaffolds": Split(
        "test_scaffolds.csv.gz",
        "adffb2192c1bfe31ab0e13154d4af19a37dc18bdbf3cd7b4491e04405128adde",
        176_225,
    ),
}


def hash_smiles(smiles: Iterable[str]) -> str:
    """SHA-256 of the SMILES, one a line, in the order given: names a data set in provenance."""
    digest = hashlib.sha256()
    for text in smiles:
        digest.update(text.encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()


def load_dataset(name: str, split: str = "train", *, download: bool = True) -> list[str]:
    """The SMILES of a built-in data set.

    Args:
        name: ``"moses"``.
        split: ``"train"`` (1,584,663 molecules), ``"test"`` (176,074), ``"test_scaffolds"``
            (176,225), or ``"sample"``: 5,000 training molecules that ship with the package.
        download: fetch what is not in the cache yet (52 MB, once); if False, raise instead.

    Returns:
        SMILES in the order and spelling of the published files.

    Raises:
        ValueError: unknown name or split.
        DatasetError: not in the cache and cannot be fetched, or a damaged file.

    >>> len(load_dataset("moses", split="sample"))
    5000
    """
    if name != "moses":
        raise ValueError(f"Unknown data set {name!r}; there is 'moses'.")
    if split == "sample":
        packaged = files("molgen").joinpath("data", "moses_sample.smi.gz").read_bytes()
        return gzip.decompress(packaged).decode().split()
    if split not in MOSES_SPLITS:
        known = [*MOSES_SPLITS, "sample"]
        raise ValueError(unknown("split of moses", split, known))
    wanted = MOSES_SPLITS[split]
    content = _cached(wanted)
    if content is None:
        if not download:
            raise DatasetError(
                f"MOSES's {split} split is not in {cache_folder()} and download=False."
            )
        _fetch_moses()
        content = _cached(wanted)
        if content is None:
            raise DatasetError(f"MOSES's {split} split cannot be read back from {cache_folder()}.")
    lines = gzip.decompress(content).decode().split("\n")
    return [line.partition(",")[0] for line in lines[1:] if line]


def _moses_folder() -> Path:
    return cache_folder() / "moses-0.3.1"


def _cached(split: Split) -> bytes | None:
    """The verified content of a split's file, or None when it is absent or damaged."""
    try:
        content = (_moses_folder() / split.file).read_bytes()
    except OSError:
        return None
    return content if hashlib.sha256(content).hexdigest() == split.sha256 else None


def _fetch_moses() -> None:
    """Put the three splits into the cache: from a wheel lying there, or from the package index."""
    folder = _moses_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(
            f"Cannot write to the cache folder {folder}: {error.strerror}; "
            "set MOLGEN_CACHE to a folder that you can write to."
        ) from error
    with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as staging:
        wheel = folder / WHEEL_NAME
        if not wheel.exists():
            wheel = _download_wheel(Path(staging))
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if digest != WHEEL_SHA256:
            raise DatasetError(
                f"{WHEEL_NAME} has SHA-256 {digest}, expected {WHEEL_SHA256}: not the published "
                "file; nothing was kept."
            )
        with zipfile.ZipFile(wheel) as archive:
            for split in MOSES_SPLITS.values():
                content = archive.read(f"moses/dataset/data/{split.file}")
                write_atomically(folder / split.file, content)


def _download_wheel(staging: Path, timeout: float = 1800.0) -> Path:
    """Fetch the wheel of molsets into ``staging`` with pip, with a progress bar on stderr."""
    from tqdm import tqdm

    destination = staging / "wheel"
    scratch = staging / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir"]
    command += ["--disable-pip-version-check", "--retries", "2", "--progress-bar", "off"]
    command += ["--dest", str(destination), "molsets==0.3.1"]
    environment = {**os.environ, "TMPDIR": str(scratch)}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=environment, stdin=subprocess.DEVNULL
        )
        started = time.monotonic()
        with tqdm(total=WHEEL_BYTES, desc="MOSES", unit="B", unit_scale=True, leave=False) as bar:
            while process.poll() is None:
                # pip writes to its temporary folder, so the size there is what has arrived
                bar.update(min(_size_under(staging), WHEEL_BYTES) - bar.n)
                if time.monotonic() - started > timeout:
                    process.kill()
                time.sleep(0.2)
        log.seek(0)
        output = log.read().decode(errors="replace")
    wheel = destination / WHEEL_NAME
    if process.returncode != 0 or not wheel.exists():
        told = [line for line in output.splitlines() if "ERROR" in line or "No module" in line]
        reason = told[-1].removeprefix("ERROR: ") if told else f"pip exited {process.returncode}"
        raise DatasetError(
            "MOSES is not in the cache and could not be downloaded (are you offline? "
            f"pip says: {reason.strip().rstrip('.')}). Either connect once, or get {WHEEL_NAME} "
            f"with `pip download --no-deps molsets==0.3.1` elsewhere and put it into "
            f"{_moses_folder()}, or use load_dataset('moses', split='sample')."
        )
    return wheel


def _size_under(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:  # pip moved the file meanwhile
            continue
    return total
