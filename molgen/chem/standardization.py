"""Standardising molecules: salts, charges, isotopes, tautomers; what was kept, changed, refused.

One bad row never ends a batch: :func:`standardize` reports every row that it refused, with its line
number and the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from rdkit import Chem

from molgen.base.parallel import map_chunks
from molgen.chem.parsing import (
    MoleculeError,
    abbreviate,
    as_smiles_list,
    canonical,
    parse,
    quiet_rdkit,
)
from molgen.chem.refusals import Rejected
from molgen.chem.salts import ORGANIC_ELEMENTS, OTHER, choose_parent, part_metals

if TYPE_CHECKING:
    import pandas as pd


#: Compounds of carbon that are no organic molecules.
_INORGANIC = frozenset({"O=C(O)O", "C#N", "O=C=O", "S=C=S", "N#CS", "N=C=O", "[C-]#[O+]"})


@dataclass(frozen=True)
class Standardized:
    """What :func:`standardize` returns: the rows kept, the rows not kept, and what was changed.

    Attributes:
        smiles: canonical SMILES of the rows kept, in input order.
        lines: their line numbers, same length as ``smiles``.
        rejected: the rows not kept, with line number and reason.
        changes: how many kept rows each step changed, for example ``{"fragments removed": 12}``.
        steps: the steps that changed each row kept, same length as ``smiles``.
        removed: names (or SMILES) of the counter-ions, solvents and other fragments that were
            taken off each row kept, same length as ``smiles``.

    Examples:
        >>> from molgen.chem.standardization import standardize
        >>> result = standardize(["CC(=O)[O-].[Na+]", "C1CC"])
        >>> result.n_in, result.n_out, result.reasons
        (2, 1, {'ring closure 1 is never closed': 1})
        >>> result.rejected_table()["line"].tolist()
        [2]
        >>> result.table()[["smiles", "line"]].values.tolist()
        [['CC(=O)O', 1]]
    """

    smiles: tuple[str, ...]
    lines: tuple[int, ...]
    rejected: tuple[Rejected, ...] = ()
    changes: dict[str, int] = field(default_factory=dict)
    steps: tuple[tuple[str, ...], ...] = ()
    removed: tuple[tuple[str, ...], ...] = ()

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

    def table(self) -> pd.DataFrame:
        """The kept rows: ``smiles``, ``line``, ``changed`` (steps) and ``removed`` (fragments)."""
        import pandas as pd

        return pd.DataFrame(
            {
                "smiles": list(self.smiles),
                "line": list(self.lines),
                "changed": ["; ".join(steps) for steps in self.steps],
                "removed": ["; ".join(names) for names in self.removed],
            }
        )

    def __str__(self) -> str:
        lines = [f"{self.n_in:,} rows in, {self.n_out:,} out, {len(self.rejected):,} rejected"]
        lines += [f"  changed: {name}: {n:,}" for name, n in self.changes.items()]
        lines += [f"  rejected: {reason}: {n:,}" for reason, n in self.reasons.items()]
        return "\n".join(lines)


@lru_cache(maxsize=1)
def _standardizers() -> tuple:
    """RDKit's uncharger and tautomer enumerator."""
    from rdkit.Chem.MolStandardize import rdMolStandardize

    tautomers = rdMolStandardize.TautomerEnumerator()
    # canonical tautomers would otherwise lose stereocentres and double-bond geometry beside the
    # mobile hydrogen, silently
    tautomers.SetRemoveSp3Stereo(False)
    tautomers.SetRemoveBondStereo(False)
    return rdMolStandardize.Uncharger(), tautomers


def _has_metal(mol: Chem.Mol) -> bool:
    return any(a.GetAtomicNum() and a.GetSymbol() not in ORGANIC_ELEMENTS for a in mol.GetAtoms())


def _has_carbocation(mol: Chem.Mol) -> bool:
    return any(a.GetAtomicNum() == 6 and a.GetFormalCharge() > 0 for a in mol.GetAtoms())


def standardize_mol(
    mol: Chem.Mol,
    largest_fragment: bool = True,
    neutralize: bool = True,
    canonical_tautomer: bool = False,
    keep_isotopes: bool = False,
) -> tuple[Chem.Mol, list[str]]:
    """One molecule made standard, and the names of the steps that changed it.

    The steps, in order: bonds of counter-ion metals are broken; the drug of a salt or solvate is
    kept (:func:`molgen.chem.salts.choose_parent`); charges along a bond are joined (a sulfoxide
    ``[S+][O-]`` is ``S=O``); charges are neutralised where a proton can be
    moved (RDKit's ``Uncharger``: quaternary nitrogen, nitro groups and inner salts that need their
    charge keep it, and so do carbon cations, which have no proton to lose); isotope labels are
    removed; the canonical tautomer is chosen, if asked for.

    Raises:
        MoleculeError: it is a metal complex, or what is left has a dummy atom, a metal or unusual
            element, a radical, several fragments (with ``largest_fragment=False`` these are kept)
            or no carbon.
    """
    mol, changes, _ = _standard(
        mol, largest_fragment, neutralize, canonical_tautomer, keep_isotopes
    )
    return mol, changes


def _standard(
    mol: Chem.Mol,
    largest_fragment: bool,
    neutralize: bool,
    canonical_tautomer: bool,
    keep_isotopes: bool,
) -> tuple[Chem.Mol, list[str], list[str]]:
    """Like :func:`standardize_mol`, with the names of the fragments that were removed."""
    uncharger, tautomers = _standardizers()
    changes = []
    removed: list[str] = []
    n_fragments = len(Chem.GetMolFrags(mol))
    with quiet_rdkit():
        if _has_metal(mol) and len(Chem.GetMolFrags(part_metals(mol))) > n_fragments:
            mol = part_metals(mol)
            n_fragments = len(Chem.GetMolFrags(mol))
            changes.append("metal bonds broken")
        if largest_fragment and n_fragments > 1:
            mol, removed = choose_parent(mol)
            changes.append("fragments removed")
            if any(name.startswith(OTHER) for name in removed):
                changes.append("another molecule removed")
        _refuse_unsuitable(mol)
        if neutralize:
            joined = _with_joined_charges(mol)
            if joined is not mol:
                changes.append("charges along a bond joined")
                mol = joined
        charged = any(a.GetFormalCharge() for a in mol.GetAtoms())
        if neutralize and charged and not _has_carbocation(mol):
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
    if mol.GetNumAtoms() < 5 and canonical(mol) in _INORGANIC:
        raise MoleculeError(f"Cannot standardise {canonical(mol)!r}: inorganic.", "inorganic")
    return mol, changes, removed


def _with_joined_charges(mol: Chem.Mol) -> Chem.Mol:
    """The molecule with ``[S+]-[O-]`` written as ``S=O``, and so of P, Se, As and of S, Se beneath
    the oxygen; diazo and azide groups as ``C=[N+]=[N-]``, ``N=[N+]=[N-]``; itself if it has none.

    Nitrogen's oxides, which can be written in no other way, stay; so does an aromatic ring.
    """
    pairs, diazo = _separated()
    if not any(a.GetFormalCharge() > 0 for a in mol.GetAtoms()):
        return mol
    joined = Chem.RWMol(mol)
    found = False
    for plus, minus in mol.GetSubstructMatches(pairs):
        atom, other = joined.GetAtomWithIdx(plus), joined.GetAtomWithIdx(minus)
        if atom.GetFormalCharge() > 0:
            joined.GetBondBetweenAtoms(plus, minus).SetBondType(Chem.BondType.DOUBLE)
            atom.SetFormalCharge(atom.GetFormalCharge() - 1)
            other.SetFormalCharge(0)
            found = True
    for first, middle, end in mol.GetSubstructMatches(diazo):
        joined.GetBondBetweenAtoms(first, middle).SetBondType(Chem.BondType.DOUBLE)
        joined.GetBondBetweenAtoms(middle, end).SetBondType(Chem.BondType.DOUBLE)
        joined.GetAtomWithIdx(first).SetFormalCharge(0)
        joined.GetAtomWithIdx(end).SetFormalCharge(-1)
        found = True
    if not found:
        return mol
    made = joined.GetMol()
    try:
        Chem.SanitizeMol(made)
    except ValueError:
        return mol
    return made


@lru_cache(maxsize=1)
def _separated() -> tuple[Chem.Mol, Chem.Mol]:
    """Patterns of charges along a bond: of two atoms, and of diazo and azide groups."""
    pair = "[#15,#16,#33,#34;A;+,+2;H0]-[#8,#16,#34;A;-;D1]"
    return Chem.MolFromSmarts(pair), Chem.MolFromSmarts("[#6,#7;A;-]-[#7;+]#[#7;+0;D1]")


def _refuse_unsuitable(mol: Chem.Mol) -> None:
    """Raise MoleculeError for dummy atoms, metals, radicals and molecules without carbon."""
    reason = ""
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum() == 0:
            reason = "dummy atom"
            break
        if atom.GetSymbol() not in ORGANIC_ELEMENTS:
            reason = f"the metal or unusual element {atom.GetSymbol()}"
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
) -> list[tuple[str | None, list[str], list[str], str]]:
    """For each text: canonical SMILES or None, steps, fragments removed, refusal."""
    results: list[tuple[str | None, list[str], list[str], str]] = []
    for text in chunk:
        try:
            if not isinstance(text, str):
                raise MoleculeError("Not a string.", f"not a string ({type(text).__name__})")
            mol, changes, removed = _standard(
                parse(text), largest_fragment, neutralize, canonical_tautomer, keep_isotopes
            )
            written = canonical(mol)
            # rare exotic aromatics are written by RDKit in a way that it cannot read again
            parse(written)
            results.append((written, changes, removed, ""))
        except MoleculeError as error:
            results.append((None, [], [], error.reason))
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
        largest_fragment: keep the drug of a salt, solvate or mixture; ``removed`` says what went.
        neutralize: move protons so that charges cancel where they can.
        canonical_tautomer: replace each molecule by RDKit's canonical tautomer (slow).
        keep_isotopes: keep isotope labels; by default they are removed and counted.
        deduplicate: reject rows whose result was seen before ("duplicate of line 3"); an
            enantiomer, the racemate and an unknown enantiomer are three molecules.
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
    steps: list[tuple[str, ...]] = []
    taken: list[tuple[str, ...]] = []
    first_line: dict[str, int] = {}
    for text, line, (written, changes, removed, reason) in zip(texts, numbers, results):
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
        steps.append(tuple(changes))
        taken.append(tuple(removed))
    return Standardized(
        tuple(kept), tuple(kept_lines), tuple(rejected), dict(changed), tuple(steps), tuple(taken)
    )
