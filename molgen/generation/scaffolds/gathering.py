"""Joining fragments with the parts put between or onto them, and gathering different molecules."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

from rdkit import Chem

from molgen.chem.properties import DESCRIPTORS
from molgen.chem.refusals import Refusal
from molgen.filters.lead_test import filter_test
from molgen.generation.scaffolds.partial_structures import Scaffold
from molgen.generation.scaffolds.sources import UNIT
from molgen.motifs.stereo import n_open_stereo
from molgen.precedent.proposals import Part
from molgen.precedent.splicing import UNPROVEN, is_wanted, joined, unwanted
from molgen.sampling.molecules import Molecules

logger = logging.getLogger(__name__)
_DRAWS_FOR_OWN = 12
_PATIENCE = 512  # draws of the model without anything new
_FILTERS = ("unsound", "pains", "moses_mcf", "ring_systems")
_MOST_SA = 4.0


class Joiner:
    """Molecules of fragments and the parts put between or onto them."""

    def __init__(
        self,
        fragments: Sequence[Scaffold],
        unusual: bool,
        fits: Callable[[str], bool] = lambda part: True,
    ):
        self.fragments = []
        self.fits = fits
        self.own = dict.fromkeys(UNPROVEN, 0)
        for number, fragment in enumerate(fragments, 1):
            marked = Chem.Mol(fragment.marked)
            if len(fragments) > 1:
                (mark,) = (a for a in marked.GetAtoms() if not a.GetAtomicNum())
                mark.SetAtomMapNum(number)
            self.fragments.append(marked)
            for name, count in unwanted(marked).items():
                self.own[name] += count
        self.unusual = unusual
        bare = [fragment.mol for fragment in fragments]
        self.passes = filter_test(bare, _FILTERS)
        self.most_sa = max(_MOST_SA, *(DESCRIPTORS["sa_score"].function(mol) for mol in bare))

    def __call__(self, parts: Sequence[Part], proven: bool = True) -> str | None:
        """Canonical SMILES, or None for what cannot or should not be made.

        proven: the parts have precedent; else the molecule must also pass the structural filters
        that its fragments pass, and look as if it could be made.
        """
        mol = joined([*self.fragments, *(Chem.MolFromSmiles(part.text) for part in parts)])
        if mol is None or not all(self.fits(part.text) for part in parts):
            return None
        if self.unusual:
            return Chem.MolToSmiles(mol)
        if not is_wanted(mol, self.own, proven) or not (proven or self._looks_sound(mol)):
            return None
        return Chem.MolToSmiles(mol)

    def notes(self, rows: Sequence[tuple[str, object]]) -> list[str]:
        """In words, how many molecules have centres that their fragments did not have, and that are
        left open."""
        before = sum(n_open_stereo(fragment) for fragment in self.fragments)
        n = sum(n_open_stereo(Chem.MolFromSmiles(smiles)) > before for smiles, _ in rows)
        if not n:
            return []
        return [
            f"in {n:,} of {len(rows):,} molecules what was put in brings stereocentres or double "
            "bonds that are left unspecified"
        ]

    def _looks_sound(self, mol: Chem.Mol) -> bool:
        return self.passes(mol) and DESCRIPTORS["sa_score"].function(mol) <= self.most_sa


def gather(
    joiner: Joiner,
    known: Iterator[tuple[Part, ...]],
    grown: Iterator[tuple[Part, ...] | None],
    halves: Iterator[tuple[Part, ...]],
    n: int,
    own: float,
    most: int,
    name: str,
) -> Molecules:
    """``n`` different molecules: what has precedent, and a share ``own`` of what has none.

    What has none is grown by the model, and where that does not fit often enough it is made of
    what has precedent (``halves``: ``molgen.precedent.composing``).
    """
    if not 0 <= own <= 1:
        raise ValueError(f"own is {own!r}; expected a share from 0 to 1")
    wanted = round(own * n)
    new: dict[str, tuple[int, str]] = {}  # by SMILES: precedent, and what was put in
    spare: dict[str, tuple[int, str]] = {}
    found: dict[str, tuple[int, str]] = {}
    drawn = in_vain = 0
    lenient = own == 1  # about what has no precedent
    patience = _PATIENCE if own < 1 else most
    dropped: list[Refusal] = []

    def draw(enough: int, until: int) -> None:
        nonlocal drawn, in_vain
        while drawn < until and len(new) < enough and in_vain < patience:
            try:
                parts: tuple[Part, ...] | None = next(grown, ())
            except ValueError as error:  # the model cannot start from it, a table may serve
                if own == 1:
                    raise
                dropped.append(Refusal(0, name, f"the model grows nothing: {error}"))
                return
            if parts == ():
                return
            drawn += 1
            in_vain += 1
            if not parts:
                continue
            count = min(p.count for p in parts if p.count >= 0)
            smiles = joiner(parts, bool(count) or lenient)
            if smiles is not None:
                held = spare if count else new
                if smiles not in held:
                    held[smiles], in_vain = (count, _put_in(parts)), 0

    def compose(enough: int) -> None:
        while len(new) < enough and (put := next(halves, None)) is not None:
            smiles = joiner(put, lenient)
            if smiles is not None:
                new.setdefault(smiles, (0, _put_in(put)))

    compose(wanted // 2)
    draw(wanted, min(most, _DRAWS_FOR_OWN * wanted + UNIT) if own < 1 else most)
    compose(wanted)
    for chosen in known if len(new) < n else ():
        smiles = joiner(chosen)
        if smiles is not None and smiles not in new:
            count = min((p.count for p in chosen if p.count), default=0)
            found.setdefault(smiles, (count, _put_in(chosen)))
        if len(found) + len(new) >= n:
            break
    if len(found) + len(new) + len(spare) < n:
        lenient, in_vain = True, 0
        compose(n - len(found))
        draw(n - len(found), most)
    for smiles, made in spare.items():
        if len(found) + len(new) < n and smiles not in new:
            found.setdefault(smiles, made)
    rows = [*found.items(), *new.items()][:n]
    if len(rows) < n:
        reason = (
            f"{len(rows)} of {n} different molecules from {name}, {drawn} of them drawn by the "
            f"model (limit {most}); wider limits or max_draws give more"
        )
        logger.warning("%s", reason)
        dropped.append(Refusal(0, name, reason))
    result = Molecules([smiles for smiles, _ in rows], dropped, joiner.notes(rows))
    result.precedent = tuple(count for _, (count, _) in rows)
    result.parts = tuple(text for _, (_, text) in rows)
    return result


def _put_in(parts: Sequence[Part]) -> str:
    return ".".join(part.text for part in parts)
