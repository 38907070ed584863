"""The border with RDKit: reading, canonical SMILES, stereoisomers, scaffolds, ring systems.

Everything that enters the package as text passes through :func:`parse`, which either returns a
sanitised molecule or raises :class:`MoleculeError` with one sentence that says what is wrong. Files
and lists turn InChI and mol blocks into SMILES at their border (:func:`as_smiles`).
RDKit writes its own complaints to the process's standard error; they are silenced only while a
call of ours runs (:func:`quiet_rdkit`), never for the whole process.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any

from rdkit import Chem, rdBase

from molgen.base.errors import MolgenError
from molgen.base.workbooks import SUFFIXES as WORKBOOK_SUFFIXES

#: RDKit's SMILES writer recurses over the molecule and exhausts the stack (the process dies)
#: somewhere between 10,000 and 20,000 atoms in a row; nothing this package is for comes near.
MAX_SMILES_LENGTH = 5_000


class MoleculeError(MolgenError):
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


#: The longest mol block that is read: some 100 characters an atom and its bonds.
_MAX_BLOCK_LENGTH = 100 * MAX_SMILES_LENGTH
_INCHI_KEY = re.compile(r"[A-Z]{14}-[A-Z]{10}-[A-Z]")
#: R, R1, [R], [R1], [R#]: how groups are written in papers and drawing programs.
_R_GROUP = re.compile(r"\[R\d*#?\]|R\d*(?![a-z])")
#: What only SMARTS has: logic inside brackets, recursive patterns, any bond.
_SMARTS = re.compile(r"\[[^\]]*[!;&,$][^\]]*\]|~|!@")


def _syntax_reason(smiles: str) -> str:
    """The likeliest reason why RDKit's SMILES grammar refused ``smiles``, in a few words."""
    if _INCHI_KEY.fullmatch(smiles):
        return "it is an InChIKey, from which no molecule can be made"
    if _SMARTS.search(smiles):
        return "it is a SMARTS pattern; expected the SMILES of a molecule"
    group = _R_GROUP.search(smiles)
    if group:
        return f"{group.group()} is not an atom; an open place is written [*:1]"
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
    known which, ``|&1:1|`` both. An InChI (``InChI=1S/...``) and a mol block are read in place of
    a SMILES.

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
    if _other_notation(text):
        return _parse_other(smiles)
    if len(text) > MAX_SMILES_LENGTH:
        raise MoleculeError(
            f"Cannot read SMILES {abbreviate(text)}: {len(text):,} characters, "
            f"at most {MAX_SMILES_LENGTH:,} are read.",
            f"{len(text):,} characters, at most {MAX_SMILES_LENGTH:,} are read",
        )
    reason = ""
    mol = None
    # RDKit takes what follows a blank for a name, reads past bytes that are not SMILES, and takes
    # the "any bond" of SMARTS for a bond
    core, blank, extension = text.partition(" ")
    extended = bool(blank) and _EXTENSION.fullmatch(extension) is not None
    clean = text.isascii() and text.isprintable() and "~" not in core
    if clean and (not blank or extended):
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


def _other_notation(text: str) -> str:
    """``"InChI"`` or ``"mol block"`` where a text is one; else empty."""
    if text.startswith("InChI="):
        return "InChI"
    return "mol block" if "\n" in text and "M  END" in text else ""


def _parse_other(text: str) -> Chem.Mol:
    """The molecule of an InChI or a mol block.

    Raises:
        MoleculeError: it cannot be read.
    """
    kind = _other_notation(text.strip())
    most = MAX_SMILES_LENGTH if kind == "InChI" else _MAX_BLOCK_LENGTH
    mol, reason = None, f"{len(text):,} characters, at most {most:,} are read"
    if len(text) <= most:
        with quiet_rdkit():
            if kind == "InChI":
                mol = Chem.MolFromInchi(text.strip())
            else:
                mol = Chem.MolFromMolBlock(aligned_block(text))
        reason = f"RDKit cannot read this {kind}" if mol is None else "no atoms"
    if mol is None or mol.GetNumAtoms() == 0:
        raise MoleculeError(f"Cannot read {kind} {abbreviate(text.strip())}: {reason}.", reason)
    return mol


_COUNTS = re.compile(r"V[23]000[ \t]*$")


def aligned_block(text: str) -> str:
    """A mol block with its counts on the fourth line: blank lines above it may be short or many."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    at = next((i for i, line in enumerate(lines[:12]) if _COUNTS.search(line)), 3)
    if at < 3:
        return "\n".join([*[""] * (3 - at), *lines])
    extra = at - 3
    return "\n".join(lines if any(s.strip() for s in lines[:extra]) else lines[extra:])


def as_smiles(text: str) -> str:
    """The canonical SMILES of an InChI or a mol block; any other text as it is, and one that
    cannot be read.

    >>> as_smiles("InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3"), as_smiles("OCC")
    ('CCO', 'OCC')
    """
    if not _other_notation(text):
        return text
    mol = parse_or_none(text)
    return text if mol is None else canonical(mol)


def parse_or_none(smiles: object) -> Chem.Mol | None:
    """Like :func:`parse`, but ``None`` for anything that is not a readable molecule."""
    if not isinstance(smiles, str):
        return None
    try:
        return parse(smiles)
    except MoleculeError:
        return None


_OPEN = Chem.MolFromSmarts("[#0]")


def parse_whole(smiles: str | Chem.Mol) -> Chem.Mol:
    """Like :func:`parse`, for a molecule without open places; a molecule passes through.

    Raises:
        MoleculeError: also where it has an open mark (``*``, ``[*:1]``, ``[1*]``), by its number.

    >>> parse_whole("CC[*:1]")
    Traceback (most recent call last):
    molgen.chem.parsing.MoleculeError: Cannot use 'CC[*:1]': atom 2 is an open mark; a whole \
molecule is needed.
    """
    mol = smiles if isinstance(smiles, Chem.Mol) else parse(smiles)
    if isinstance(smiles, str) and not any(sign in smiles for sign in ("*", "#0", "|")):
        return mol  # no other text is read as an open mark; an extension may make one
    if mol.HasSubstructMatch(_OPEN):  # 20 times as fast as a loop over atoms in Python
        at = next(atom.GetIdx() for atom in mol.GetAtoms() if atom.GetAtomicNum() == 0)
        text = smiles if isinstance(smiles, str) else Chem.MolToSmiles(mol)
        reason = f"atom {at} is an open mark; a whole molecule is needed"
        raise MoleculeError(f"Cannot use {abbreviate(text)}: {reason}.", reason)
    return mol


def whole_or_none(smiles: object) -> Chem.Mol | None:
    """Like :func:`parse_whole`, but None for anything that is not a readable whole molecule."""
    try:
        return parse_whole(smiles) if isinstance(smiles, str) else None
    except MoleculeError:
        return None


def refusal_reason(smiles: object) -> str:
    """Why a text is no whole molecule, in a few words; empty where it is one."""
    if not isinstance(smiles, str):
        return f"not a string ({type(smiles).__name__})"
    try:
        parse_whole(smiles)
    except MoleculeError as error:
        return error.reason
    return ""


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


#: Names of columns that hold SMILES, InChI or mol blocks, best first, in any case; and of columns
#: that may.
SMILES_COLUMNS = ("smiles", "canonical_smiles", "isomeric_smiles", "cxsmiles", "smi")
NOTATION_COLUMNS = (
    "inchi",
    "standard_inchi",
    "molblock",
    "mol_block",
    "molfile",
    "mol_file",
    "ctab",
)
STRUCTURE_COLUMNS = ("structure", "molecule", "mol", "compound", "ligand", "structures")
_FILE_SUFFIXES = (
    ".smi", ".smiles", ".csv", ".tsv", ".sdf", ".parquet", ".gz", *WORKBOOK_SUFFIXES,
)  # fmt: skip


def as_smiles_list(smiles: Any) -> list[str]:
    """Molecules in any of the usual forms as a list of SMILES.

    Args:
        smiles: one SMILES, InChI, mol block or RDKit molecule, many of them (list, Series, array,
            what ``read_molecules`` gives), or a table, of which the column of structures is taken.
            Members that are neither are left as they are: whoever reads them refuses them by row.

    Raises:
        TypeError: it is none of these.
        ValueError: a table without a column of structures, the name of a file, or an array of
            another shape than a list.
    """
    if isinstance(smiles, Chem.Mol):
        return [canonical(smiles)]
    if isinstance(smiles, PurePath) or (
        isinstance(smiles, str) and smiles.strip().lower().endswith(_FILE_SUFFIXES)
    ):
        raise ValueError(
            f"{str(smiles)!r} names a file; pass molgen.read_molecules({str(smiles)!r})."
        )
    if isinstance(smiles, str):
        return [as_smiles(smiles)]
    if hasattr(smiles, "columns") and hasattr(smiles, "iloc"):
        smiles = smiles[structure_column(smiles)]
    if hasattr(smiles, "to_pylist"):  # columns of Arrow
        smiles = smiles.to_pylist()
    if not isinstance(smiles, Iterable) or isinstance(smiles, Mapping | bytes):
        raise TypeError(f"Expected SMILES strings, received {type(smiles).__name__}.")
    shape = getattr(smiles, "shape", (0,))
    if len(shape) != 1:
        raise ValueError(f"Expected a list of SMILES, received an array of {shape}.")
    return [
        canonical(s) if isinstance(s, Chem.Mol) else as_smiles(s) if isinstance(s, str) else s
        for s in smiles
    ]


def plain_name(name: str) -> str:
    """A column's name in lower case, with ``_`` for all that is no letter or digit.

    >>> plain_name("Molecule ChEMBL ID")
    'molecule_chembl_id'
    """
    return re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")


def structure_column(table: Any) -> str:
    """The column of a DataFrame that holds structures: named like one, and what it holds can be
    read.

    Raises:
        ValueError: there is none; the message names the columns.
    """
    names: dict[str, str] = {}
    for name in table.columns:
        names.setdefault(plain_name(str(name)), name)
    for candidate in (*SMILES_COLUMNS, *NOTATION_COLUMNS, *STRUCTURE_COLUMNS):
        if candidate not in names:
            continue
        held = [v for v in table[names[candidate]].head(200) if isinstance(v, str | Chem.Mol)][:20]
        good = sum(isinstance(v, Chem.Mol) or parse_or_none(v) is not None for v in held)
        if 2 * good >= len(held) and (held or not len(table)):
            return names[candidate]
    raise ValueError(
        "The table has no column of structures (such as smiles) that can be read; it has "
        f"{', '.join(map(str, table.columns))}. Pass the column itself: table['its name']."
    )


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
