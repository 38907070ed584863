"""How often a ring system occurs among real molecules: MOSES by count, ChEMBL by membership.

A ring system that no chemist has made is the commonest flaw of generated molecules (Walters,
"Generative molecular design isn't as easy as people make it look", 2024). Counts are over the
1,584,663 molecules of MOSES's training split; ChEMBL's are known as a Bloom filter only, which
says whether a ring system occurs at all (one wrong yes in some hundred thousand).
"""

from __future__ import annotations

import gzip
import hashlib
import struct
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

from rdkit import Chem, rdBase

from molgen.chem.parsing import parse, quiet_rdkit
from molgen.chem.ring_systems import ring_systems_with_atoms
from molgen.chem.typed_molecules import AtomType, TypedMol, as_typed

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class RingSystem:
    """One ring system of a molecule, and how often it was seen elsewhere.

    Attributes:
        smiles: canonical SMILES without stereo and substituents.
        atoms: its atoms in the molecule.
        moses_count: MOSES training molecules that have it.
        in_chembl: whether any ChEMBL molecule has it.
    """

    smiles: str
    atoms: tuple[int, ...]
    moses_count: int
    in_chembl: bool


@lru_cache(maxsize=1)
def moses_ring_counts() -> dict[str, int]:
    """Number of MOSES training molecules with each ring system, by canonical SMILES."""
    content = files("molgen").joinpath("data", "moses_ring_systems.csv.gz").read_bytes()
    lines = gzip.decompress(content).decode().splitlines()
    written_by = lines[0].removeprefix("# rdkit ")
    pairs = [line.rsplit(",", 1) for line in lines[2:]]
    counts = {smiles: int(count) for smiles, count in pairs}
    if written_by == rdBase.rdkitVersion:
        return counts
    again: dict[str, int] = {}
    with quiet_rdkit():
        for smiles, count in counts.items():  # other versions may spell the same ring differently
            mol = Chem.MolFromSmiles(smiles)
            key = smiles if mol is None else Chem.MolToSmiles(mol)
            again[key] = again.get(key, 0) + count
    return again


_MASK = 2**64 - 1


def _fnv1a(data: bytes, start: int, prime: int) -> int:
    value = start
    for byte in data:
        value = ((value ^ byte) * prime) & _MASK
    return value


class BloomFilter:
    """A Bloom filter in molbloom's file format: a magic word, k, m, and m bits.

    Its k positions for a string are ``(h1 + i h2) mod m``, with FNV-1a and FNV-1a of other
    constants (White, molbloom, MIT licence).
    """

    def __init__(self, content: bytes) -> None:
        if content[:5] != b"BLOOM" or len(content) < 18:
            raise ValueError("Not a Bloom filter: the file does not start with BLOOM.")
        self.n_hashes, self.n_bits = struct.unpack("<IQ", content[6:18])
        self._bits = content[18:]
        if len(self._bits) < self.n_bits // 8:
            raise ValueError(
                f"The Bloom filter is cut off: {len(self._bits)} bytes of {self.n_bits // 8}."
            )

    def __contains__(self, text: str) -> bool:
        data = text.encode()
        first = _fnv1a(data, 14695981039346656037, 1099511628211)
        second = _fnv1a(data, 6281386704453804504, 245453790232)
        for i in range(self.n_hashes):
            position = ((first + i * second) & _MASK) % self.n_bits
            byte = position // 8
            if byte >= len(self._bits) or not self._bits[byte] >> (position % 8) & 1:
                return False
        return True


@lru_cache(maxsize=1)
def chembl_ring_filter() -> BloomFilter:
    """Membership of ring systems in ChEMBL, as chembl-gen-check ships it (MIT licence)."""
    content = files("molgen").joinpath("data", "chembl_ring_systems.bloom").read_bytes()
    return BloomFilter(content)


def find_ring_systems(smiles: str | Chem.Mol | TypedMol) -> list[RingSystem]:
    """The ring systems of one molecule, with how often each occurs in MOSES and ChEMBL.

    ChEMBL's filter holds ring systems with their stereo where ChEMBL has it, so a system is looked
    up both as drawn and without stereo; one that ChEMBL knows in one configuration only, and that
    is drawn without, may be missed.
    """
    molecule = as_typed(parse(smiles) if isinstance(smiles, str) else smiles)
    counts = moses_ring_counts()
    if not molecule.has_stereo:
        return [
            RingSystem(text, atoms, counts.get(text, 0), _in_chembl(text))
            for text, atoms in _flat_systems(molecule)
        ]
    flat = ring_systems_with_atoms(molecule.mol)
    drawn = ring_systems_with_atoms(molecule.mol, stereo=True)
    return [
        RingSystem(text, atoms, counts.get(text, 0), _in_chembl(text) or _in_chembl(with_stereo))
        for (text, atoms), (with_stereo, _) in zip(flat, drawn)
    ]


@lru_cache(maxsize=50_000)
def _in_chembl(ring_system: str) -> bool:
    return ring_system in chembl_ring_filter()


_MOST_KNOWN = 200_000
_known: dict[bytes, str] = {}


def _flat_systems(molecule: TypedMol) -> list[tuple[str, tuple[int, ...]]]:
    """``ring_systems_with_atoms`` of a molecule without stereo, from memory where all of its
    systems were met before: the same atoms in the same order, with the same bonds between them."""
    if not molecule.is_plain:
        return ring_systems_with_atoms(molecule.mol)
    pieces = _pieces(molecule)
    keys = [_piece_key(molecule, atoms) for atoms in pieces]
    found = [_known.get(key) for key in keys]
    if None not in found:
        return [(text, atoms) for text, atoms in zip(found, pieces) if text is not None]
    systems = ring_systems_with_atoms(molecule.mol)
    if [atoms for _, atoms in systems] == pieces:  # or one of them could not be written
        if len(_known) + len(keys) > _MOST_KNOWN:
            _known.clear()
        _known.update((key, text) for key, (text, _) in zip(keys, systems))
    return systems


def _pieces(molecule: TypedMol) -> list[tuple[int, ...]]:
    """Atoms of each ring system, in the order in which ``ring_systems_with_atoms`` gives them."""
    if not molecule.rings:
        return []
    root = list(range(len(molecule.atoms)))

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    for a, b, order, ring in molecule.bonds:
        if ring or order != 1.0:
            x, y = find(a), find(b)
            root[max(x, y)] = min(x, y)
    wanted = {find(ring[0]) for ring in molecule.rings}
    pieces: dict[int, list[int]] = {r: [] for r in sorted(wanted)}
    for i in range(len(root)):
        top = find(i)
        if top in pieces:
            pieces[top].append(i)
    return [tuple(atoms) for atoms in pieces.values()]


def _piece_key(molecule: TypedMol, atoms: tuple[int, ...]) -> bytes:
    """128 bits that tell a ring system from others: its atoms and bonds in order."""
    place = {atom: k for k, atom in enumerate(atoms)}
    bonds = [(place[a], place[b], o) for a, b, o, _ in molecule.bonds if a in place and b in place]
    content = repr(([_letter(molecule, a) for a in atoms], bonds))
    return hashlib.blake2b(content.encode(), digest_size=16).digest()


_letters: dict[AtomType, tuple[int, ...]] = {}


def _letter(molecule: TypedMol, i: int) -> tuple[int, ...]:
    """What the ring system's SMILES takes from an atom; substituents count as hydrogens there."""
    kind = molecule.atoms[i]
    if kind not in _letters:
        atom = molecule.mol.GetAtomWithIdx(i)
        _letters[kind] = (
            atom.GetAtomicNum(), atom.GetIsotope(), atom.GetFormalCharge(), atom.GetIsAromatic(),
            atom.GetTotalDegree(), atom.GetNumRadicalElectrons(),
        )  # fmt: skip
    return _letters[kind]
