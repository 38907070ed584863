"""What generated molecules are compared with: reference statistics of a set of molecules.

Those of MOSES's two test sets ship with the package as plain arrays, converted at development time
from ``test_stats.npz`` and ``test_scaffolds_stats.npz`` of ``molsets`` 0.3.1 (the published values,
except that fragment and scaffold SMILES are written as this RDKit writes them and properties are
rounded to 1e-5). Those of any other set are computed here by the same definitions.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import rdMolDescriptors
from rdkit.Chem.rdmolops import FragmentOnBRICSBonds
from rdkit.Chem.Scaffolds import MurckoScaffold

from molgen.base.parallel import map_chunks
from molgen.base.whole_files import cache_folder, write_atomically
from molgen.chem.fingerprints import fingerprints
from molgen.chem.parsing import quiet_rdkit
from molgen.chem.properties import logp, molecular_weight, qed, sa_score
from molgen.chem.similarity import pack
from molgen.filters.alerts import passes_moses_filters

PROPERTIES = ("logP", "SA", "QED", "weight")
N_BITS = 1024
CHEMNET_SIZE = 512


@dataclass(frozen=True)
class Statistics:
    """Statistics of one set of molecules.

    Attributes:
        n_molecules: how many molecules.
        fragments: number of occurrences of each BRICS fragment.
        scaffolds: number of molecules with each Bemis-Murcko scaffold of two or more rings.
        properties: sorted values of each of :data:`PROPERTIES`, (n,) float64.
        smiles: the molecules, from which fingerprints are computed when they are needed.
        chemnet_mean: (512,) float64 mean of ChemNet's activations, or None when not computed.
        chemnet_covariance: (512, 512) float64, or None.
        name: for messages.
    """

    n_molecules: int
    fragments: Counter[str]
    scaffolds: Counter[str]
    properties: dict[str, np.ndarray]
    smiles: tuple[str, ...]
    chemnet_mean: np.ndarray | None
    chemnet_covariance: np.ndarray | None
    name: str

    @property
    def packed_fingerprints(self) -> np.ndarray:
        """(n, 16) uint64 Morgan fingerprints, radius 2, 1,024 bits; kept in the cache folder."""
        return _packed_fingerprints(self.smiles)


@lru_cache(maxsize=4)
def _packed_fingerprints(smiles: tuple[str, ...]) -> np.ndarray:
    key = hashlib.sha256("\n".join(smiles).encode()).hexdigest()[:16]
    path = cache_folder() / f"morgan-2-{N_BITS}-{key}-rdkit-{rdBase.rdkitVersion}.npy"
    shape = (len(smiles), N_BITS // 64)
    if len(smiles) > 20_000:  # below that, computing is as fast as reading
        try:
            cached = np.load(path, allow_pickle=False)
            if cached.shape == shape and cached.dtype == np.uint64:
                return cached
        except (OSError, ValueError):
            pass
    blocks = [
        pack(fingerprints(smiles[i : i + 5000], n_bits=N_BITS)) for i in range(0, len(smiles), 5000)
    ]
    packed = np.concatenate(blocks) if blocks else np.zeros(shape, dtype=np.uint64)
    if len(smiles) > 20_000:
        buffer = io.BytesIO()
        np.save(buffer, packed, allow_pickle=False)
        with contextlib.suppress(OSError):  # a cache that cannot be written only costs time
            write_atomically(path, buffer.getvalue())
    return packed


@dataclass(frozen=True)
class Profile:
    """What the metrics need to know of one molecule."""

    fragments: tuple[str, ...]
    scaffold: str
    properties: tuple[float, float, float, float]
    passes_filters: bool


def fragments_of(mol: Chem.Mol) -> list[str]:
    """BRICS fragments with their attachment labels, as MOSES writes them."""
    return Chem.MolToSmiles(FragmentOnBRICSBonds(mol)).split(".")


def scaffold_of(mol: Chem.Mol, min_rings: int = 2) -> str:
    """Bemis-Murcko scaffold, or an empty string when it has fewer than ``min_rings`` rings."""
    if mol.GetRingInfo().NumRings() < min_rings:  # RDKit takes minutes over a chain of thousands
        return ""
    core = MurckoScaffold.GetScaffoldForMol(mol)
    return Chem.MolToSmiles(core) if rdMolDescriptors.CalcNumRings(core) >= min_rings else ""


def profile_chunk(smiles: Sequence[str], with_filters: bool) -> list[Profile]:
    """Profiles of readable SMILES; filters are the slowest part and can be left out."""
    profiles = []
    with quiet_rdkit():
        for text in smiles:
            mol = Chem.MolFromSmiles(text)
            values = (logp(mol), sa_score(mol), qed(mol), molecular_weight(mol))
            profiles.append(
                Profile(
                    tuple(fragments_of(mol)),
                    scaffold_of(mol),
                    values,
                    passes_moses_filters(mol) if with_filters else False,
                )
            )
    return profiles


def compute_statistics(
    smiles: Sequence[str],
    name: str,
    *,
    profiles: Sequence[Profile] | None = None,
    chemnet: tuple[np.ndarray, np.ndarray] | None = None,
    n_jobs: int = 1,
    progress: bool = False,
) -> Statistics:
    """Statistics of readable canonical SMILES.

    Args:
        smiles: the molecules.
        name: for messages.
        profiles: what :func:`profile_chunk` returned for them, when it is known already.
        chemnet: mean and covariance of ChemNet's activations, when they are wanted.
        n_jobs: processes.
        progress: show a progress bar on standard error.
    """
    if profiles is None:
        bar = f"describe {name}" if progress else None
        profiles = map_chunks(profile_chunk, smiles, (False,), n_jobs=n_jobs, progress=bar)
    fragments: Counter[str] = Counter()
    scaffolds: Counter[str] = Counter()
    for profile in profiles:
        fragments.update(profile.fragments)
        if profile.scaffold:
            scaffolds[profile.scaffold] += 1
    values = np.array([p.properties for p in profiles], dtype=float).reshape(-1, len(PROPERTIES))
    return Statistics(
        n_molecules=len(smiles),
        fragments=fragments,
        scaffolds=scaffolds,
        properties={p: np.sort(values[:, i]) for i, p in enumerate(PROPERTIES)},
        smiles=tuple(smiles),
        chemnet_mean=None if chemnet is None else chemnet[0],
        chemnet_covariance=None if chemnet is None else chemnet[1],
        name=name,
    )


@lru_cache(maxsize=2)
def moses_statistics(split: str) -> Statistics:
    """Statistics of MOSES's ``"test"`` or ``"test_scaffolds"``, from the package's own files."""
    content = files("molgen").joinpath("data", f"moses_reference_{split}.npz").read_bytes()
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        data = {key: arrays[key] for key in arrays.files}
    smiles = tuple(_text(data["smiles"]).split("\n"))
    upper = np.triu_indices(CHEMNET_SIZE)
    covariance = np.zeros((CHEMNET_SIZE, CHEMNET_SIZE))
    covariance[upper] = data["fcd_sigma_upper"]
    covariance = covariance + covariance.T - np.diag(np.diag(covariance))
    same_rdkit = _text(data["rdkit_version"]) == rdBase.rdkitVersion
    return Statistics(
        n_molecules=len(smiles),
        fragments=_counter(data["fragment_smiles"], data["fragment_counts"], same_rdkit),
        scaffolds=_counter(data["scaffold_smiles"], data["scaffold_counts"], same_rdkit),
        properties={
            p: np.cumsum(
                np.concatenate(
                    [[data[f"{p.lower()}_first"]], data[f"{p.lower()}_steps"].astype(np.int64)]
                )
            )
            / 1e5
            for p in PROPERTIES
        },
        smiles=smiles,
        chemnet_mean=data["fcd_mu"].astype(np.float64),
        chemnet_covariance=covariance,
        name=f"MOSES {split}",
    )


def _text(array: np.ndarray) -> str:
    return array.tobytes().decode()


def _counter(keys: np.ndarray, counts: np.ndarray, canonical: bool) -> Counter[str]:
    """Counts by SMILES; under another RDKit than the file's, SMILES are written anew."""
    names = _text(keys).split("\n")
    if canonical:
        return Counter(dict(zip(names, counts.tolist())))
    counter: Counter[str] = Counter()
    with quiet_rdkit():
        for name, count in zip(names, counts.tolist()):
            mol = Chem.MolFromSmiles(name)
            counter[name if mol is None else Chem.MolToSmiles(mol)] += count
    return counter
