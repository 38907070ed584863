"""A vocabulary followed by further motifs, for prefixes and for encoding what is new."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from molgen.motifs.tree_tables import TreeTable
from molgen.motifs.vocabulary import Vocabulary, attachments, build_vocabulary, count_tokens


def extend(vocabulary: Vocabulary, motifs: Sequence[str]) -> Vocabulary:
    """``vocabulary`` followed by further ``motifs``, each attachable by any atom with a hydrogen.

    For prefixes and encoding; a model never writes the new ones. The first ``n_attached`` tokens
    keep their numbers, new attaching tokens follow, then the starting tokens, old and new. A motif
    that is known, but not with all its tokens, is entered once more; the later entry is complete.
    """
    added = [m for m in dict.fromkeys(motifs) if not _is_complete(vocabulary, m)]
    if not added:
        return vocabulary
    tokens = [(m, a) for m in added for a in attachments(m)]
    new = build_vocabulary(
        added, tokens, vocabulary.environment, vocabulary.token_sketch is not None
    )
    return _join(vocabulary, new, vocabulary.n_attached, new.n_attached)


def with_motifs(vocabulary: Vocabulary, motifs: Iterable[str]) -> Vocabulary:
    """``vocabulary`` followed by those of ``motifs`` that it lacks, for reading molecules only:
    nothing attaches by the new ones."""
    added = [m for m in dict.fromkeys(motifs) if m not in vocabulary.number_of]
    if not added:
        return vocabulary
    new = build_vocabulary(added, [], vocabulary.environment, vocabulary.token_sketch is not None)
    return append(vocabulary, new)


def complete(vocabulary: Vocabulary, tokens: Iterable[tuple[str, int]]) -> Vocabulary:
    """``vocabulary`` followed by those of ``tokens`` (motif, atom) that it lacks, to be spelled.

    Numbers of attaching tokens stay as they are, new ones follow, then the motifs to start with.
    """
    number = vocabulary.number_of
    missing = [t for t in dict.fromkeys(tokens) if not _has_token(vocabulary, number, t)]
    if not missing:
        return vocabulary
    added = [m for m in dict.fromkeys(m for m, _ in missing) if m not in number]
    known = [m for m in dict.fromkeys(m for m, _ in missing) if m in number]
    attached = [t for t in missing if t[1] >= 0]
    new = build_vocabulary([*added, *known], attached, vocabulary.environment, True, attached)
    n_tokens = len(attached) + len(added)
    atoms, bonds = new.atom_offset[len(added)], new.bond_offset[len(added)]
    where = np.array([*range(len(added)), *(number[m] - vocabulary.n_motifs for m in known)])
    cut = replace(
        new,
        motifs=tuple(added),
        atom_offset=new.atom_offset[: len(added) + 1],
        bond_offset=new.bond_offset[: len(added) + 1],
        **{n: getattr(new, n)[:atoms] for n in ("atom_feature", "atom_row", "atom_token")},
        **{n: getattr(new, n)[:bonds] for n in ("bond_begin", "bond_end", "bond_type")},
        **{n: getattr(new, n)[: len(added)] for n in ("symmetry_count", "symmetry_start")},
        **{
            n: getattr(new, n)[:n_tokens]
            for n in ("token_atom", "token_row", "token_sketch", "token_count")
        },
        token_motif=where[new.token_motif[:n_tokens]],
        site_offset=new.site_offset[: n_tokens + 1],
        **{
            n: getattr(new, n)[: new.site_offset[n_tokens]]
            for n in ("site_atom", "site_capacity", "site_row")
        },
    )
    first = vocabulary.n_attached
    joined = _join(vocabulary, cut, first, len(attached))
    for offset, (smiles, atom) in enumerate(attached):
        if smiles in number:
            joined.atom_token[vocabulary.atom_offset[number[smiles]] + atom] = first + offset
    return joined


def _has_token(vocabulary: Vocabulary, number: dict[str, int], token: tuple[str, int]) -> bool:
    smiles, atom = token
    if smiles not in number:
        return False
    return atom < 0 or vocabulary.atom_token[vocabulary.atom_offset[number[smiles]] + atom] >= 0


def needed_tokens(table: TreeTable) -> list[tuple[str, int]]:
    """All tokens that writing the molecules of ``table`` may need, in whichever order."""
    return [*count_tokens(table), *((m, -1) for m in table.motifs)]


def token_number(vocabulary: Vocabulary, smiles: str, atom: int) -> int:
    """The number of a token (motif, attachment atom or -1), or -1 where there is none."""
    if smiles not in vocabulary.number_of:
        return -1
    for index in reversed(range(vocabulary.number_of[smiles] + 1)):
        if vocabulary.motifs[index] != smiles:
            continue
        if atom < 0:
            starts = (vocabulary.token_motif == index) & (vocabulary.token_atom < 0)
            return int(np.flatnonzero(starts)[0])
        number = int(vocabulary.atom_token[vocabulary.atom_offset[index] + atom])
        if number >= 0:
            return number
    return -1


def append(vocabulary: Vocabulary, new: Vocabulary) -> Vocabulary:
    """The motifs, tokens and sites of ``vocabulary``, then those of ``new``.

    Rows of ``new`` must be numbered as those of ``vocabulary`` are.
    """
    return _join(vocabulary, new, vocabulary.n_tokens, new.n_tokens)


def _is_complete(vocabulary: Vocabulary, smiles: str) -> bool:
    index = vocabulary.number_of.get(smiles)
    if index is None:
        return False
    start = vocabulary.atom_offset[index]
    return all(vocabulary.atom_token[start + atom] >= 0 for atom in attachments(smiles))


def _join(v: Vocabulary, w: Vocabulary, i: int, j: int) -> Vocabulary:
    """One vocabulary of ``v`` and ``w``: the motifs of ``v`` before those of ``w``; of the tokens
    the first ``i`` of ``v``, the first ``j`` of ``w``, then the others of both."""

    def after(name: str) -> np.ndarray:
        """Offsets of the rows of ``v`` and, behind them, those of ``w``."""
        first, second = getattr(v, name), getattr(w, name)
        return np.concatenate([first, second[1:] + first[-1]]).astype(first.dtype, copy=False)

    def mixed(a: np.ndarray, b: np.ndarray, i: int, j: int) -> np.ndarray:
        return np.concatenate([a[:i], b[:j], a[i:], b[j:]]).astype(a.dtype, copy=False)

    counts = mixed(np.diff(v.site_offset), np.diff(w.site_offset), i, j)
    at_site = int(v.site_offset[i]), int(w.site_offset[j])
    plain = (
        "atom_feature", "atom_row", "bond_begin", "bond_end", "bond_type", "symmetry",
        "symmetry_count",
    )  # fmt: skip
    return Vocabulary(
        motifs=v.motifs + w.motifs,
        atom_offset=after("atom_offset"),
        bond_offset=after("bond_offset"),
        atom_token=np.concatenate(
            [v.atom_token, np.where(w.atom_token >= 0, w.atom_token + i, -1)]
        ).astype(np.int32),
        symmetry_start=np.concatenate([v.symmetry_start, w.symmetry_start + len(v.symmetry)]),
        site_offset=np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
        environment=v.environment,
        token_motif=mixed(v.token_motif, w.token_motif + v.n_motifs, i, j),
        **{name: np.concatenate([getattr(v, name), getattr(w, name)]) for name in plain},
        **{
            n: mixed(getattr(v, n), getattr(w, n), i, j)
            for n in ("token_atom", "token_row", "token_sketch", "token_count")
            if getattr(v, n) is not None
        },
        **{
            n: mixed(getattr(v, n), getattr(w, n), *at_site)
            for n in ("site_atom", "site_capacity", "site_row")
        },
    )
