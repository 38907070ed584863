"""The border with RDKit: reading, canonical SMILES, stereoisomers, scaffolds, ring systems.

Everything that enters the package as text passes through :func:`parse`, which either returns a
sanitised molecule or raises :class:`MoleculeError` with one sentence that says what is wrong.
RDKit writes its own complaints to the process's standard error; they are silenced only while a
call of ours runs (:func:`quiet_rdkit`), never for the whole process.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rdkit import Chem, rdBase

#: RDKit's SMILES writer recurses over the molecule and exhausts the stack (the process dies)
#: somewhere between 10,000 and 20,000 atoms in a row; nothing this package is for comes near.
MAX_SMILES_LENGTH = 5_000


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


_EXTENSION = re.compile(r"\|[^|]*\|")


def split_extension(text: str) -> tuple[str, str]:
    """A CXSMILES extension at the beginning of ``text``, or an empty string; and what follows it.

    >>> split_extension("|o1:1| my racemate")
    ('|o1:1|', 'my racemate')
    """
    found = _EXTENSION.match(text)
    if found is None:
        return "", text
    return found.group(), text[found.end() :].strip()


_STEREO_GROUP = re.compile(r"(?<=[|,])(?:a|o\d*|&\d*):(\d+(?:,\d+)*)")


def _atoms_missing(extension: str, n_atoms: int) -> str:
    """What is wrong with the stereo groups of a CXSMILES extension: atoms that are not there."""
    named = [int(i) for group in _STEREO_GROUP.findall(extension) for i in group.split(",")]
    beyond = [i for i in named if i >= n_atoms]
    return f"names atom {beyond[0]}, and there are {n_atoms} (from 0)" if beyond else ""


def parse(smiles: str) -> Chem.Mol:
    """The sanitised RDKit molecule that ``smiles`` describes.

    A CXSMILES extension may follow it: ``C[C@H](O)CC |o1:1|`` is one of two enantiomers, it is not
    known which, ``|&1:1|`` both.

    Raises:
        TypeError: ``smiles`` is not a string.
        MoleculeError: it is empty, longer than :data:`MAX_SMILES_LENGTH` characters, not SMILES,
            or describes an impossible molecule (valence, aromaticity). The message quotes the
            input (abbreviated) and the reason; ``error.reason`` is the reason alone.

    >>> parse("OCC").GetNumAtoms()
    3
    >>> parse("C1CC")
    Traceback (most recent call last):
    molgen.chem.parsing.MoleculeError: Cannot read SMILES 'C1CC': ring closure 1 is never closed.
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
    core, blank, extension = text.partition(" ")
    extended = bool(blank) and _EXTENSION.fullmatch(extension) is not None
    if text.isascii() and text.isprintable() and (not blank or extended):
        with quiet_rdkit():
            mol = Chem.MolFromSmiles(text)
            if mol is not None and extended:
                missing = _atoms_missing(extension, mol.GetNumAtoms())
                if missing:  # RDKit drops the whole group without a word
                    mol, reason = None, f"the extension {abbreviate(extension, 30)} {missing}"
            elif mol is None and extended and Chem.MolFromSmiles(core) is not None:
                reason = f"the extension {abbreviate(extension, 30)} is not CXSMILES"
            elif mol is None:
                reason = _refusal_reason(core)
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

    Racemates and unknown enantiomers (enhanced stereo) keep their CXSMILES extension.

    >>> canonical("OCC")
    'CCO'
    >>> canonical("C[C@@H](O)CC |&1:1|") == canonical("CC[C@@H](O)C |&4:2|")
    True
    """
    mol = smiles if isinstance(smiles, Chem.Mol) else parse(smiles)
    if stereo and has_enhanced_stereo(mol):
        kept = Chem.RWMol(mol)
        kept.RemoveAllConformers()
        absolute = Chem.StereoGroupType.STEREO_ABSOLUTE
        groups = [g for g in mol.GetStereoGroups() if g.GetGroupType() != absolute]
        kept.SetStereoGroups(
            [
                Chem.CreateStereoGroup(
                    g.GetGroupType(), kept, [a.GetIdx() for a in g.GetAtoms()],
                    [b.GetIdx() for b in g.GetBonds()],
                )
                for g in groups
            ]
        )  # fmt: skip
        enhanced = Chem.CXSmilesFields.CX_ENHANCEDSTEREO
        return Chem.MolToCXSmiles(kept.GetMol(), Chem.SmilesWriteParams(), enhanced)
    return Chem.MolToSmiles(mol, isomericSmiles=stereo)


def has_enhanced_stereo(mol: Chem.Mol) -> bool:
    """Whether some centres are racemic, or known only relative to each other.

    >>> has_enhanced_stereo(parse("C[C@@H](O)CC |&1:1|"))
    True
    """
    absolute = Chem.StereoGroupType.STEREO_ABSOLUTE
    return any(g.GetGroupType() != absolute for g in mol.GetStereoGroups())


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
