"""A vocabulary followed by further motifs, for prefixes and for encoding what is new."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from molgen.motifs.vocabulary import Vocabulary, attachments, build_vocabulary


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
    new = build_vocabulary(added, tokens, vocabulary.environment)
    return _join(vocabulary, new, vocabulary.n_attached, new.n_attached)


def append(vocabulary: Vocabulary, new: Vocabulary) -> Vocabulary:
    """The motifs, tokens and sites of ``vocabulary``, then those of ``new``.

    Rows of ``new`` must be numbered as those of ``vocabulary`` are.
    """
    return _join(vocabulary, new, vocabulary.n_tokens, new.n_tokens)


def _is_complete(vocabulary: Vocabulary, smiles: str) -> bool:
    try:
        index = vocabulary.motifs.index(smiles)
    except ValueError:
        return False
    start = vocabulary.atom_offset[index]
    return all(vocabulary.atom_token[start + atom] >= 0 for atom in attachments(smiles))


def _join(v: Vocabulary, w: Vocabulary, i: int, j: int) -> Vocabulary:
    """Motifs of both; of tokens the first ``i`` of ``v``, ``j`` of ``w``, then the others."""

    def after(name: str) -> np.ndarray:
        """Offsets of two runs, one behind the other."""
        first, second = getattr(v, name), getattr(w, name)
        return np.concatenate([first, second[1:] + first[-1]]).astype(first.dtype)

    def mixed(a: np.ndarray, b: np.ndarray, i: int, j: int) -> np.ndarray:
        return np.concatenate([a[:i], b[:j], a[i:], b[j:]]).astype(a.dtype)

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
        **{n: mixed(getattr(v, n), getattr(w, n), i, j) for n in ("token_atom", "token_row")},
        **{
            n: mixed(getattr(v, n), getattr(w, n), *at_site)
            for n in ("site_atom", "site_capacity", "site_row")
        },
    )
