"""Analogues of a lead: most of it stays, one or two places are changed.

Changes are of two sorts. Small ones are listed: another element, an atom more or less in a chain
or a ring, a branch taken away or moved (``molgen.generation.leads.changes``). Larger ones are
written by the model: a branch is cut off and the rest of the lead's own motif tree, or the part of
it around the cut, is the beginning from which the model writes another. Nothing passes through the
latent, so leads that the model cannot give back have analogues, too. What has been made is ranked
by similarity to the lead and by how likely the model finds it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rdkit import Chem

from molgen.base.arguments import check_count, check_temperature
from molgen.base.random_streams import seeded
from molgen.chem.parsing import canonical, parse_whole
from molgen.chem.refusals import Refusal
from molgen.generation.leads.changes import Analogue, Change, Lead, apply, small_changes
from molgen.generation.leads.ranking import Ranked, choose, precedent_of, rank
from molgen.generation.leads.writing import written_changes
from molgen.generation.scaffolds.cutting import find_parts
from molgen.motifs.stereo import flat_smiles, n_open_stereo
from molgen.sampling.molecules import Molecules
from molgen.sampling.unwritten import tell

if TYPE_CHECKING:
    import pandas as pd

    from molgen.generation.generator import Generator

logger = logging.getLogger(__name__)
COLUMNS = ("smiles", "similarity", "kept", "kind", "change", "precedent", "log_likelihood")


def sample_near(
    model: Generator,
    smiles: str | Chem.Mol,
    n: int,
    radius: float = 0.3,
    seed: int = 0,
    temperature: float = 1.0,
    keep: str | Iterable[int] | None = None,
    change: str | Iterable[int] | None = None,
    filters: Any = "default",
) -> Molecules:
    """``n`` analogues of ``smiles``, best first: the SMILES of :func:`near_table`."""
    table = near_table(model, smiles, n, radius, seed, temperature, keep, change, filters)
    return Molecules(table["smiles"], table.attrs["dropped"], table.attrs["notes"])


def _one_part(mol: Chem.Mol) -> Chem.Mol:
    """The molecule, unless it is a salt or a mixture."""
    parts = Chem.MolToSmiles(mol).split(".")
    if len(parts) > 1:
        raise ValueError(
            f"{'.'.join(parts)} has {len(parts)} parts; expected the drug alone, as "
            "molgen.standardize gives it"
        )
    return mol


def near_table(
    model: Generator,
    smiles: str | Chem.Mol,
    n: int,
    radius: float = 0.3,
    seed: int = 0,
    temperature: float = 1.0,
    keep: str | Iterable[int] | None = None,
    change: str | Iterable[int] | None = None,
    filters: Any = "default",
) -> pd.DataFrame:
    """``n`` different analogues of a lead with one or two places changed, and what was changed.

    Args:
        radius: the share of the lead's heavy atoms that may go, be exchanged or moved, and about as
            many that may come, above 0 and up to 1; at least one atom may always change.
        keep: atoms that stay as they are, hydrogens included, as SMARTS (every match) or as atom
            numbers; a group that hangs on them may still be exchanged.
        change: the only atoms that may change, as SMARTS (every match) or as atom numbers.
        filters: what ``filter_molecules`` takes; an analogue fails none that the lead passes.
            None for no filters.
        temperature: below 1 more typical groups, above 1 more varied ones.

    Returns:
        DataFrame, best first: ``smiles``; ``similarity`` to the lead (Tanimoto, ECFP4); ``kept``,
        the share of the lead's heavy atoms that stayed in place; ``kind`` of change (exchange,
        add, remove, element, insert, delete, move); ``change`` in words, with the lead's atom
        numbers; ``precedent``, how often known molecules have what is new there on such atoms
        (the rarest of several; missing without a table); ``log_likelihood`` in nats, how much
        likelier than the lead the model finds it (NaN where it cannot say). ``attrs["dropped"]``
        has the reason where there are fewer than ``n``, ``attrs["notes"]`` what of the lead could
        not be carried over.

    Raises:
        ValueError: the molecule cannot be read, ``radius`` is not a share, or ``keep`` and
            ``change`` leave nothing to change.
    """
    import pandas as pd

    check_count(n)
    check_temperature(temperature)
    if not 0 < radius <= 1:
        raise ValueError(
            f"radius is {radius}; expected the share of the lead's atoms that may change, "
            "above 0 and at most 1"
        )
    lead = Lead(_one_part(parse_whole(smiles)))
    free = _free_atoms(lead, keep, change)
    most = max(1, round(radius * lead.n_heavy))
    dropped: list[Refusal] = []
    chosen: list[Ranked] = []
    if n:
        found = _proposals(model, lead, free, most, n, seed, temperature)
        ranked = rank(model, lead, found, n, seeded(seed, 0, 12))
        chosen = choose(lead, ranked, n, filters)
    if len(chosen) < n:
        reason = (
            f"only {len(chosen)} of {n} analogues with at most {most} of "
            f"{lead.n_heavy} heavy atoms changed; a larger radius gives more"
        )
        logger.warning("%s", reason)
        dropped.append(Refusal(0, Chem.MolToSmiles(lead.mol), reason))
    rows = [
        (
            a.smiles,
            similarity,
            1 - len(a.changed) / lead.n_heavy,
            " and ".join(c.kind for c in a.changes),
            "; ".join(c.told for c in a.changes),
            precedent_of(model, a) if known is None else known,
            likelihood,
        )
        for a, similarity, known, likelihood in chosen
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"precedent": "Int64"})
    table.attrs["dropped"] = dropped
    table.attrs["notes"] = tell(*_open_centres(lead, [a for a, *_ in chosen]))
    return table


def _open_centres(lead: Lead, analogues: Sequence[Analogue]) -> list[str]:
    """In words, how many analogues have an unspecified centre where the lead's is specified, and
    how many have centres that the lead has not."""
    lost = [any(lead.is_stereo(a) for c in analogue.changes for a in c.place - c.removed)
            for analogue in analogues]  # fmt: skip
    before = n_open_stereo(lead.mol)
    new = sum(n_open_stereo(a.mol) > before for a, gone in zip(analogues, lost) if not gone)
    told = []
    if any(lost):
        told.append(
            f"in {sum(lost):,} of {len(analogues):,} analogues a stereocentre or double bond at "
            "the changed place is left unspecified"
        )
    if new:
        told.append(
            f"in {new:,} of {len(analogues):,} analogues what is new brings stereocentres or "
            "double bonds that are left unspecified"
        )
    return told


def _free_atoms(
    lead: Lead, keep: str | Iterable[int] | None, change: str | Iterable[int] | None
) -> set[int]:
    """Atoms that may change."""
    free = set(range(lead.n_atoms))
    if change is not None:
        free &= named_atoms(lead.mol, change, "change")
    if keep is not None:
        free -= named_atoms(lead.mol, keep, "keep")
    if not free:
        raise ValueError(
            f"keep={keep!r} and change={change!r} leave no atom of "
            f"{Chem.MolToSmiles(lead.mol)} that may change"
        )
    return free


def named_atoms(mol: Chem.Mol, named: str | Iterable[int], argument: str) -> set[int]:
    """Atoms of every match of a SMARTS, or of a list of atom numbers.

    Raises ValueError for a pattern that is not there and for numbers that the molecule lacks.
    """
    text = Chem.MolToSmiles(mol)
    if isinstance(named, str):
        return {a for match in find_parts(mol, named, text) for a in match}
    atoms = {int(a) for a in named}
    bad = sorted(a for a in atoms if not 0 <= a < mol.GetNumAtoms())
    if bad:
        raise ValueError(f"{argument} names atom {bad[0]}; {text} has {mol.GetNumAtoms()} atoms")
    return atoms


# --- proposals ------------------------------------------------------------------------------------
def _proposals(
    model: Generator,
    lead: Lead,
    free: set[int],
    most: int,
    n: int,
    seed: int,
    temperature: float,
) -> list[Analogue]:
    """Different molecules with one change, and as many again with two where that is needed."""
    rng = seeded(seed, 0, 11)
    singles = small_changes(lead, free, most)
    singles += written_changes(model, lead, free, most, n, rng, temperature)
    singles = [c for c in singles if len(c.changed) <= most and c.added <= len(c.removed) + most]
    found: dict[str, Analogue] = {}
    sound = [c for c in singles if _keep_analogue(lead, (c,), found)]
    wanted = max(4 * n, len(found) + n)
    pairs = 0
    while sound and len(found) < wanted and pairs < 8 * wanted:
        pairs += 1
        first, second = (sound[int(i)] for i in rng.integers(len(sound), size=2))
        together = first.changed | second.changed
        if first.place & second.place or not 1 <= len(together) <= most:
            continue
        if first.added + second.added > most:
            continue
        _keep_analogue(lead, (first, second), found)
    return list(found.values())


def _keep_analogue(lead: Lead, changes: tuple[Change, ...], found: dict[str, Analogue]) -> bool:
    mol = apply(lead, changes)
    if mol is None:
        return False
    text = canonical(mol)
    flat = flat_smiles(mol, text)
    if flat == lead.flat:
        return False
    found.setdefault(flat, Analogue(mol, text, flat, changes))
    return True
