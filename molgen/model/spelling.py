"""Motifs written letter by letter: those that a vocabulary does not list.

A token is spelled as the SMILES of its motif, begun at the atom by which it attaches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from rdkit import Chem, rdBase
from torch import Tensor, nn
from torch.nn import functional as F

from molgen.motifs.tree_tables import TreeTable
from molgen.motifs.trees import MotifError, canonical_motif, cut_bonds, motif
from molgen.motifs.vocabulary import Vocabulary, first_equivalent
from molgen.motifs.vocabulary_growth import complete, needed_tokens

if TYPE_CHECKING:
    from molgen.model.graph_vae import GraphVAE

MAX_LETTERS = 96
_END, _N_LETTERS = 0, 97
_ATTACHED, _START = 95, 96  # what a text of either kind begins with


@lru_cache(maxsize=200_000)
def spell(smiles: str, atom: int) -> tuple[int, ...]:
    """The letters of a token, the end included; ``atom`` is -1 where it starts a molecule.

    Empty where the text is longer than MAX_LETTERS or is not read back (a radical, a bare metal).
    """
    text = smiles if atom < 0 else Chem.MolToSmiles(motif(smiles).mol, rootedAtAtom=atom)
    letters = tuple(ord(letter) - 32 for letter in text)
    if len(letters) >= MAX_LETTERS or read_spelling(letters, atom >= 0) != (smiles, atom):
        return ()
    return (*letters, _END)


def read_spelling(letters: Sequence[int], attached: bool) -> tuple[str, int] | None:
    """The token (motif, attachment atom or -1) of a text; None if it is no motif."""
    text = "".join(chr(int(letter) + 32) for letter in letters)
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(text) if text else None
        if mol is None or "." in text or cut_bonds(mol):
            return None
        if any(a.GetAtomicNum() == 0 or a.GetNumRadicalElectrons() for a in mol.GetAtoms()):
            return None
        Chem.RemoveStereochemistry(mol)
        for atom in mol.GetAtoms():
            atom.SetAtomMapNum(0)
        try:
            smiles, positions = canonical_motif(Chem.MolToSmiles(mol, canonical=False))
        except MotifError:
            return None
    if not attached:
        return smiles, -1
    attachment = positions[0]
    if not motif(smiles).hydrogens[attachment]:
        return None
    return smiles, first_equivalent(smiles, attachment)


def padded(texts: Sequence[Sequence[int]]) -> np.ndarray:
    """Texts as rows of letters (n, length) int64, padded with -1."""
    letters = np.full((len(texts), max(map(len, texts), default=1)), -1, np.int64)
    for row, text in enumerate(texts):
        letters[row, : len(text)] = text
    return letters


class Speller(nn.Module):
    """A causal transformer over letters, told the decoder's state at the site.

    blocks: causal layers of ``width`` (``molgen.model.decoder.Block``).
    """

    def __init__(self, state_width: int, width: int, blocks: Sequence[nn.Module]):
        super().__init__()
        self.condition = nn.Linear(state_width, width)
        self.letter = nn.Embedding(_N_LETTERS, width)
        self.position = nn.Embedding(MAX_LETTERS + 1, width)
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width)
        self.next = nn.Linear(width, _N_LETTERS)

    def logits(self, state: Tensor, letters: Tensor) -> Tensor:
        """(n, t, 97) of what follows each of the ``letters`` (n, t), by ``state`` (n, width)."""
        condition = self.condition(state)
        t = letters.shape[1]
        x = self.letter(letters) + self.position.weight[:t]
        mask = torch.full((t, t), -1e9, device=x.device).triu(1)
        for block in self.blocks:
            x = block(x, block.modulation(condition), mask)  # type: ignore[operator]
        return self.next(self.norm(x)).float()

    def negative_log_likelihood(self, state: Tensor, text: Tensor, attached: bool) -> Tensor:
        """-log p of texts (n, length), padded with -1, by states (n, width): (n,) nats."""
        if not len(text):
            return state.float().sum(1)
        begin = torch.full_like(text[:, :1], _ATTACHED if attached else _START)
        before = torch.cat([begin, text[:, :-1].clamp(min=0)], dim=1)
        logits = self.logits(state, before)
        each = F.cross_entropy(
            logits.flatten(0, 1), text.flatten(), ignore_index=-1, reduction="none"
        )
        return each.view(text.shape).sum(1)

    def write(
        self, state: Tensor, attached: bool, choose: Callable[[Tensor], Tensor]
    ) -> Iterator[list[list[int] | None]]:
        """A text for each state (n, width); ``choose`` gives letters (n,) of logits (n, 97).

        Yields whenever texts have come to their end: all texts, None for those that are not at
        theirs; the last time also those that came to none.
        """
        condition = self.condition(state)
        modulations = [block.modulation(condition) for block in self.blocks]  # type: ignore[operator]
        attentions = [block.attention(len(state), state.device) for block in self.blocks]  # type: ignore[operator]
        letter = torch.full((len(state),), _ATTACHED if attached else _START, device=state.device)
        written: list[list[int]] = [[] for _ in state]
        ended = [False] * len(state)
        for place in range(MAX_LETTERS):
            x = (self.letter(letter) + self.position.weight[place]).unsqueeze(1)
            for layer, block in enumerate(self.blocks):
                x = block(x, modulations[layer], None, attentions[layer])
            letter = choose(self.next(self.norm(x))[:, 0].float())
            news = False
            for row, chosen in enumerate(letter.tolist()):
                if ended[row]:
                    continue
                if chosen == _END:
                    ended[row] = news = True
                else:
                    written[row].append(chosen)
            if place == MAX_LETTERS - 1:
                yield [text if done else [] for text, done in zip(written, ended)]
            elif news:
                yield [text if done else None for text, done in zip(written, ended)]
            if all(ended):
                return


def vocabulary_for(network: GraphVAE, table: TreeTable) -> Vocabulary:
    """The vocabulary that ``network`` writes the molecules of ``table`` with.

    Its own; where it spells motifs, followed by those that only ``table`` has.
    """
    if not network.has_rare:
        return network.vocabulary
    return complete(network.vocabulary, [t for t in needed_tokens(table) if spell(*t)])
