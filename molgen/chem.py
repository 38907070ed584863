"""The border with RDKit: reading, canonical SMILES, standardisation, scaffolds.

Everything that enters the package as text passes through :func:`parse`, which either returns a
sanitised molecule or raises :class:`MoleculeError` with one sentence that says what is wrong.
RDKit writes its own complaints to the process's standard error; they are silenced only while a
call of ours runs (:func:`quiet_rdkit`), never for the whole process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from rdkit import Chem, rdBase
from rdkit.Chem.Scaffolds import MurckoScaffold

if TYPE_CHECKING:
    import pandas as pd

#: RDKit's SMILES writer recurses over the molecule and exhausts the stack (the process dies)
#: somewhere between 10,000 and 20,000 atoms in a row; nothing this package is for comes near.
MAX_SMILES_LENGTH = 5_000

#: Elements of organic and medicinal chemistry; anything else left after the largest fragment was
#: chosen is reported as a metal or an unusual element.
ORGANIC_ELEMENTS = frozenset(
    {"H", "B", "C", "N", "O", "F", "Si", "P", "S", "Cl", "As", "Se", "Br", "Te", "I"}
)


class MoleculeError(ValueError):
    """A molecule that cannot be read or standardised; ``reason`` says why in a few words."""

    def __init__(self, message: str, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason if reason is not None else message


@contextmanager
def quiet_rdkit() -> Iterator[None]:
    """Silence RDKit's log streams inside the block, and restore them as they were after it."""
    block = rdBase.BlockLogs()
    try:
        yield
    finally:
        del block


def abbreviate(text: str, width: int = 60) -> str:
    """``text`` as a quoted string, cut to about ``width`` characters, for use in messages."""
    return repr(text) if len(text) <= width else repr(text[: width - 3]) + "..."


def _syntax_reason(smiles: str) -> str:
    """The likeliest reason why RDKit's SMILES grammar refused ``smiles``, in a few words."""
    for position, character in enumerate(smiles, start=1):
        if character.isspace() or not character.isprintable():
            return f"blank or control character at position {position}"
        if not character.isascii():
            return f"character {character!r} at position {position} is not SMILES"
    for opening, closing, name in (("(", ")", "parenthesis"), ("[", "]", "bracket")):
        if smiles.count(opening) != smiles.count(closing):
            return f"unbalanced {name}"
    outside = "".join(part.rpartition("]")[2] for part in smiles.split("["))
    digits = Counter(c for c in outside if c.isdigit()) if "%" not in outside else Counter()
    unclosed = sorted(d for d, n in digits.items() if n % 2)
    if unclosed:
        return f"ring closure {unclosed[0]} is never closed"
    return "not SMILES syntax"


def _refusal_reason(smiles: str) -> str:
    """Why RDKit refused ``smiles``: syntax, or the first chemistry problem in its own words."""
    mol = Chem.MolFromSmiles(smiles, sanitize=False)
    if mol is None:
        return _syntax_reason(smiles)
    try:
        problems = Chem.DetectChemistryProblems(mol)
    except RuntimeError:  # impossible hydrogen counts, such as [C@H11000], break RDKit's own check
        problems = ()
    if not problems:
        return "RDKit cannot sanitise it"
    message = problems[0].Message()
    return (message[0].lower() + message[1:]).strip().rstrip(".")


def parse(smiles: str) -> Chem.Mol:
    """The sanitised RDKit molecule that ``smiles`` describes.

    Raises:
        TypeError: ``smiles`` is not a string.
        MoleculeError: it is empty, longer than :data:`MAX_SMILES_LENGTH` characters, not SMILES,
            or describes an impossible molecule (valence, aromaticity). The message quotes the
            input (abbreviated) and the reason; ``error.reason`` is the reason alone.

    >>> parse("OCC").GetNumAtoms()
    3
    >>> parse("C1CC")
    Traceback (most recent call last):
    molgen.chem.MoleculeError: Cannot read SMILES 'C1CC': ring closure 1 is never closed.
    """
    if not isinstance(smiles, str):
        raise TypeError(f"Expected a SMILES string, received {type(smiles).__name__}: {smiles!r}.")
    text = smiles.strip()
    if not text:
        raise MoleculeError("Cannot read SMILES: the string is empty.", "empty")
    if len(text) > MAX_SMILES_LENGTH:
        raise MoleculeError(
            f"Cannot read SMILES {abbreviate(text)}: {len(text):,} characters, "
            f"at most {MAX_SMILES_LENGTH:,} are read.",
            f"{len(text):,} characters, at most {MAX_SMILES_LENGTH:,} are read",
        )
    reason = ""
    mol = None
    # RDKit takes what follows a blank for a name, and reads past bytes that are not SMILES
    if text.isascii() and text.isprintable() and " " not in text:
        with quiet_rdkit():
            mol = Chem.MolFromSmiles(text)
            reason = _refusal_reason(text) if mol is None else ""
    else:
        reason = _syntax_reason(text)
    if mol is None:
        raise MoleculeError(f"Cannot read SMILES {abbreviate(text)}: {reason}.", reason)
    if mol.GetNumAtoms() == 0:
        raise MoleculeError(f"Cannot read SMILES {abbreviate(text)}: no atoms.", "no atoms")
    return mol


def parse_or_none(smiles: object) -> Chem.Mol | None:
    """Like :func:`parse`, but ``None`` for anything that is not a readable molecule."""
    if not isinstance(smiles, str):
        return None
    try:
        return parse(smiles)
    except MoleculeError:
        return None


def canonical(smiles: str | Chem.Mol, stereo: bool = True) -> str:
    """RDKit's canonical SMILES of a SMILES string or a molecule.

    >>> canonical("OCC")
    'CCO'
    """
    mol = smiles if isinstance(smiles, Chem.Mol) else parse(smiles)
    return Chem.MolToSmiles(mol, isomericSmiles=stereo)


def as_smiles_list(smiles: str | Iterable[str]) -> list[str]:
    """``smiles`` as a list; a single string becomes a list of one.

    Raises:
        TypeError: it is neither a string nor an iterable.
    """
    if isinstance(smiles, str):
        return [smiles]
    if not isinstance(smiles, Iterable):
        raise TypeError(f"Expected SMILES strings, received {type(smiles).__name__}.")
    return list(smiles)


# --- Standardisation ------------------------------------------------------------------------


@dataclass(frozen=True)
class Rejected:
    """One row that was not kept.

    Attributes:
        line: its number in the input, counted from 1 (the line number when read from a file).
        smiles: the text as received.
        reason: why, in a few words.
    """

    line: int
    smiles: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {abbreviate(self.smiles)}: {self.reason}"


@dataclass(frozen=True)
class Standardized:
    """What :func:`standardize` returns: the rows kept, the rows not kept, and what was changed.

    Attributes:
        smiles: canonical SMILES of the rows kept, in input order.
        lines: their line numbers, same length as ``smiles``.
        rejected: the rows not kept, with line number and reason.
        changes: how many kept rows each step changed, for example ``{"fragments removed": 12}``.
    """

    smiles: tuple[str, ...]
    lines: tuple[int, ...]
    rejected: tuple[Rejected, ...] = ()
    changes: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.smiles) != len(self.lines):
            raise ValueError(
                f"smiles and lines must be of one length, got {len(self.smiles)} "
                f"and {len(self.lines)}."
            )

    @property
    def n_in(self) -> int:
        """Rows received."""
        return len(self.smiles) + len(self.rejected)

    @property
    def n_out(self) -> int:
        """Rows kept."""
        return len(self.smiles)

    @property
    def reasons(self) -> dict[str, int]:
        """How many rows were rejected for each reason, most frequent first."""
        return dict(Counter(r.reason for r in self.rejected).most_common())

    def rejected_table(self) -> pd.DataFrame:
        """The rejected rows as a table with columns ``line``, ``smiles``, ``reason``."""
        import pandas as pd

        rows = [(r.line, r.smiles, r.reason) for r in self.rejected]
        return pd.DataFrame(rows, columns=["line", "smiles", "reason"])

    def __str__(self) -> str:
        lines = [f"{self.n_in:,} rows in, {self.n_out:,} out, {len(self.rejected):,} rejected"]
        lines += [f"  changed: {name}: {n:,}" for name, n in self.changes.items()]
        lines += [f"  rejected: {reason}: {n:,}" for reason, n in self.reasons.items()]
        return "\n".join(lines)


@lru_cache(maxsize=1)
def _standardizers() -> tuple:
    """RDKit's metal disconnector, fragment chooser, uncharger and tautomer enumerator."""
    from rdkit.Chem.MolStandardize import rdMolStandardize

    tautomers = rdMolStandardize.TautomerEnumerator()
    # canonical tautomers would otherwise lose stereocentres and double-bond geometry beside the
    # mobile hydrogen, silently
    tautomers.SetRemoveSp3Stereo(False)
    tautomers.SetRemoveBondStereo(False)
    return (
        rdMolStandardize.MetalDisconnector(),
        rdMolStandardize.LargestFragmentChooser(preferOrganic=True),
        rdMolStandardize.Uncharger(),
        tautomers,
    )


def _has_metal(mol: Chem.Mol) -> bool:
    return any(a.GetAtomicNum() and a.GetSymbol() not in ORGANIC_ELEMENTS for a in mol.GetAtoms())


def standardize_mol(
    mol: Chem.Mol,
    largest_fragment: bool = True,
    neutralize: bool = True,
    canonical_tautomer: bool = False,
    keep_isotopes: bool = False,
) -> tuple[Chem.Mol, list[str]]:
    """One molecule made standard, and the names of the steps that changed it.

    The steps, in order: covalent bonds to metals are broken; the largest organic fragment is kept
    (RDKit's ``LargestFragmentChooser``); charges are neutralised where a proton can be moved
    (``Uncharger``: quaternary nitrogen, nitro groups and inner salts that need their charge keep
    it); isotope labels are removed; the canonical tautomer is chosen, if asked for.

    Raises:
        MoleculeError: what is left has a dummy atom, a metal or unusual element, a radical,
            several fragments (with ``largest_fragment=False`` these are kept) or no carbon.
    """
    disconnector, chooser, uncharger, tautomers = _standardizers()
    changes = []
    n_fragments = len(Chem.GetMolFrags(mol))
    with quiet_rdkit():
        if _has_metal(mol):
            parted = disconnector.Disconnect(mol)
            if len(Chem.GetMolFrags(parted)) > n_fragments:
                changes.append("metal bonds broken")
                n_fragments = len(Chem.GetMolFrags(parted))
                mol = parted
        if largest_fragment and n_fragments > 1:
            mol = chooser.choose(mol)
            changes.append("fragments removed")
        _refuse_unsuitable(mol)
        if neutralize and any(a.GetFormalCharge() for a in mol.GetAtoms()):
            neutral = uncharger.uncharge(mol)
            if Chem.MolToSmiles(neutral) != Chem.MolToSmiles(mol):
                changes.append("neutralised")
            mol = neutral
        if not keep_isotopes and any(a.GetIsotope() for a in mol.GetAtoms()):
            mol = Chem.Mol(mol)
            for atom in mol.GetAtoms():
                atom.SetIsotope(0)
            mol = Chem.RemoveHs(mol)
            changes.append("isotope labels removed")
        if canonical_tautomer:
            chosen = tautomers.Canonicalize(mol)
            if Chem.MolToSmiles(chosen) != Chem.MolToSmiles(mol):
                changes.append("tautomer changed")
            mol = chosen
    return mol, changes


def _refuse_unsuitable(mol: Chem.Mol) -> None:
    """Raise MoleculeError for dummy atoms, metals, radicals and molecules without carbon."""
    reason = ""
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum() == 0:
            reason = "dummy atom"
            break
        if atom.GetSymbol() not in ORGANIC_ELEMENTS:
            reason = f"metal or unusual element {atom.GetSymbol()}"
            break
        if atom.GetNumRadicalElectrons():
            reason = f"radical on {atom.GetSymbol()}"
    if not reason and not any(a.GetAtomicNum() == 6 for a in mol.GetAtoms()):
        reason = "no carbon atom"
    if reason:
        raise MoleculeError(f"Cannot standardise {abbreviate(canonical(mol))}: {reason}.", reason)


def _standardize_chunk(
    chunk: Sequence[object],
    largest_fragment: bool,
    neutralize: bool,
    canonical_tautomer: bool,
    keep_isotopes: bool,
) -> list[tuple[str | None, list[str], str]]:
    """For each text: canonical SMILES or None, the steps that changed it, the refusal's reason."""
    results: list[tuple[str | None, list[str], str]] = []
    for text in chunk:
        try:
            if not isinstance(text, str):
                raise MoleculeError("Not a string.", f"not a string ({type(text).__name__})")
            mol, changes = standardize_mol(
                parse(text), largest_fragment, neutralize, canonical_tautomer, keep_isotopes
            )
            written = Chem.MolToSmiles(mol)
            # rare exotic aromatics are written by RDKit in a way that it cannot read again
            parse(written)
            results.append((written, changes, ""))
        except MoleculeError as error:
            results.append((None, [], error.reason))
    return results


def standardize(
    smiles: str | Iterable[str],
    *,
    largest_fragment: bool = True,
    neutralize: bool = True,
    canonical_tautomer: bool = False,
    keep_isotopes: bool = False,
    deduplicate: bool = False,
    lines: Sequence[int] | None = None,
    n_jobs: int = 1,
) -> Standardized:
    """Standardise SMILES and report what was kept, changed and rejected.

    Args:
        smiles: one SMILES or many. Bad rows are reported, never raised.
        largest_fragment: keep the largest organic fragment (drops salts and solvents).
        neutralize: move protons so that charges cancel where they can.
        canonical_tautomer: replace each molecule by RDKit's canonical tautomer (slow).
        keep_isotopes: keep isotope labels; by default they are removed and counted.
        deduplicate: reject rows whose result was seen before ("duplicate of line 3").
        lines: line number of each row in its source; 1, 2, 3... by default.
        n_jobs: processes; results do not depend on it.

    Returns:
        :class:`Standardized`; print it for a summary.

    >>> result = standardize(["CC(=O)[O-].[Na+]", "C1CC", "[Fe]"])
    >>> result.smiles
    ('CC(=O)O',)
    >>> print(result.rejected[0])
    line 2: 'C1CC': ring closure 1 is never closed
    """
    from molgen.parallel import map_chunks

    texts = as_smiles_list(smiles)
    numbers = list(range(1, len(texts) + 1)) if lines is None else [int(x) for x in lines]
    if len(numbers) != len(texts):
        raise ValueError(f"lines has {len(numbers)} numbers for {len(texts)} SMILES.")
    results = map_chunks(
        _standardize_chunk,
        texts,
        (largest_fragment, neutralize, canonical_tautomer, keep_isotopes),
        n_jobs=n_jobs,
    )
    kept: list[str] = []
    kept_lines: list[int] = []
    rejected: list[Rejected] = []
    changed: Counter[str] = Counter()
    first_line: dict[str, int] = {}
    for text, line, (written, changes, reason) in zip(texts, numbers, results):
        if written is not None and deduplicate and written in first_line:
            reason = f"duplicate of line {first_line[written]}"
            written = None
        if written is None:
            rejected.append(Rejected(line, text if isinstance(text, str) else repr(text), reason))
            continue
        first_line.setdefault(written, line)
        kept.append(written)
        kept_lines.append(line)
        changed.update(changes)
    return Standardized(tuple(kept), tuple(kept_lines), tuple(rejected), dict(changed))


def enumerate_stereo(smiles: str, max_isomers: int = 32) -> list[str]:
    """Canonical SMILES of the stereoisomers that leave specified centres and bonds as they are.

    Args:
        smiles: a molecule, some of whose stereocentres or double bonds are unspecified.
        max_isomers: at most so many are returned (RDKit's own deterministic choice beyond).

    >>> enumerate_stereo("CC(F)Cl")
    ['C[C@@H](F)Cl', 'C[C@H](F)Cl']
    """
    from rdkit.Chem import EnumerateStereoisomers

    if max_isomers < 1:
        raise ValueError(f"max_isomers must be at least 1, got {max_isomers}.")
    options = EnumerateStereoisomers.StereoEnumerationOptions(
        maxIsomers=max_isomers, onlyUnassigned=True, unique=True, rand=0
    )
    with quiet_rdkit():
        isomers = EnumerateStereoisomers.EnumerateStereoisomers(parse(smiles), options)
        return sorted({Chem.MolToSmiles(m) for m in isomers})


# --- Scaffolds and ring systems -------------------------------------------------------------


def scaffold(smiles: str | Chem.Mol, generic: bool = False) -> str:
    """Bemis–Murcko scaffold as canonical SMILES; empty for a molecule without rings.

    Args:
        smiles: SMILES or molecule.
        generic: make every atom carbon and every bond single (the framework of Bemis and Murcko,
            J. Med. Chem. 39:2887, 1996, after which the atoms that only made a double bond to the
            frame are cut off once more).

    >>> scaffold("CCc1ccc(CCN2CCOCC2)cc1")
    'c1ccc(CCN2CCOCC2)cc1'
    """
    mol = smiles if isinstance(smiles, Chem.Mol) else parse(smiles)
    if mol.GetRingInfo().NumRings() == 0:  # RDKit takes minutes over a chain of thousands
        return ""
    with quiet_rdkit():
        core = MurckoScaffold.GetScaffoldForMol(mol)
        if generic and core.GetNumAtoms():
            core = MurckoScaffold.GetScaffoldForMol(MurckoScaffold.MakeScaffoldGeneric(core))
        return Chem.MolToSmiles(core)


def ring_systems(smiles: str | Chem.Mol, stereo: bool = False) -> list[str]:
    """Canonical SMILES of each ring system: fused and spiro rings together, bare of substituents.

    Atoms doubly bonded to a ring from outside (the oxygen of a lactam) belong to the system, other
    substituents are replaced by hydrogen: the convention of Walters's ``useful_rdkit_utils`` and
    of Ertl's ring analyses.

    >>> ring_systems("CN1CCCC1=O")
    ['O=C1CCCN1']
    """
    return [text for text, _ in ring_systems_with_atoms(smiles, stereo)]


def ring_systems_with_atoms(
    smiles: str | Chem.Mol, stereo: bool = False
) -> list[tuple[str, tuple[int, ...]]]:
    """Like :func:`ring_systems`, each with the indices of its atoms in the molecule."""
    mol = smiles if isinstance(smiles, Chem.Mol) else parse(smiles)
    if mol.GetRingInfo().NumRings() == 0:
        return []
    # two ring systems joined by a double bond are one system, as in useful_rdkit_utils
    cuts = [
        b.GetIdx()
        for b in mol.GetBonds()
        if not b.IsInRing() and b.GetBondType() == Chem.BondType.SINGLE
    ]
    n_atoms = mol.GetNumAtoms()
    with quiet_rdkit():
        cut = Chem.FragmentOnBonds(mol, cuts) if cuts else Chem.Mol(mol)
        indices: list[list[int]] = []
        parts = Chem.GetMolFrags(cut, asMols=True, sanitizeFrags=False, fragsMolAtomMapping=indices)
        found = []
        for part, atoms in zip(parts, indices):
            inside = [i for i in atoms if i < n_atoms]
            if not any(mol.GetAtomWithIdx(i).IsInRing() for i in inside):
                continue
            system = Chem.RWMol(part)
            for atom in system.GetAtoms():
                if atom.GetAtomicNum() == 0 and atoms[atom.GetIdx()] >= n_atoms:
                    atom.SetAtomicNum(1)
                    atom.SetIsotope(0)
            if not stereo:
                Chem.RemoveStereochemistry(system)
            try:
                bare = Chem.RemoveAllHs(system)
                found.append((Chem.MolToSmiles(bare, isomericSmiles=stereo), tuple(inside)))
            except Chem.MolSanitizeException:
                continue
    return found
