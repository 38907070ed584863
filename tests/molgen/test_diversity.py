"""Diverse selection against brute force and RDKit's picker; the store against a Python set."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator
from rdkit.SimDivFilters import rdSimDivPickers

from molgen.base.errors import BatchError
from molgen.batch.seen import SeenStore
from molgen.chem.diversity import choose_maxmin, choose_spheres
from molgen.chem.fingerprints import fingerprints, tanimoto
from molgen.chem.similarity import pack
from tests.molgen.test_motifs import read


@pytest.fixture(scope="module")
def smiles():
    return read("moses_sample")[:300]


@pytest.fixture(scope="module")
def bits(smiles):
    return fingerprints(smiles)


def test_maxmin_is_rdkits(smiles, bits):
    """The same first molecule: the same distances, step by step (ties may be other molecules)."""
    rows, similarity = choose_maxmin(pack(bits), np.arange(300), 40)
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    prints = [generator.GetFingerprint(Chem.MolFromSmiles(s)) for s in smiles]
    theirs = list(rdSimDivPickers.MaxMinPicker().LazyBitVectorPick(prints, 300, 40, [0]))
    nearest = [
        max(DataStructs.BulkTanimotoSimilarity(prints[p], [prints[q] for q in theirs[:i]]))
        for i, p in enumerate(theirs)
        if i
    ]
    assert rows[0] == 0 and np.isnan(similarity[0]) and len(set(rows)) == 40
    # after a tie the two may part; until then each step is the same distance
    np.testing.assert_allclose(similarity[1:12], nearest[:11], atol=1e-6)
    assert np.mean(similarity[1:]) <= np.mean(nearest) + 0.01


@given(seed=st.integers(0, 10**6), n=st.integers(1, 30), m=st.integers(1, 25))
@settings(max_examples=40, deadline=None)
def test_each_choice_is_the_farthest(seed, n, m):
    rng = np.random.default_rng(seed)
    bits = (rng.random((25, 64)) < 0.3).astype(np.uint8)
    order = rng.permutation(25)[:m]
    rows, similarity = choose_maxmin(pack(bits), order, n)
    all_pairs = tanimoto(bits, bits)
    assert len(rows) == min(n, m) == len(set(rows)) and set(rows) <= set(order)
    assert rows[0] == order[0]
    for i in range(1, len(rows)):
        nearest = all_pairs[:, rows[:i]].max(axis=1)
        left = [p for p in order if p not in rows[:i]]
        assert nearest[rows[i]] == pytest.approx(similarity[i], abs=1e-6)
        assert nearest[rows[i]] <= nearest[left].min() + 1e-6


@given(seed=st.integers(0, 10**6), limit=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_spheres_hold_no_two_and_leave_none_out(seed, limit):
    rng = np.random.default_rng(seed)
    bits = (rng.random((25, 64)) < 0.3).astype(np.uint8)
    order = rng.permutation(25)
    rows, _ = choose_spheres(pack(bits), order, 25, limit)
    all_pairs = tanimoto(bits, bits)
    chosen = all_pairs[np.ix_(rows, rows)][~np.eye(len(rows), dtype=bool)]
    assert (chosen <= limit + 1e-6).all()
    place = {int(p): i for i, p in enumerate(order)}
    for p in set(range(25)) - set(rows.tolist()):
        before = [q for q in rows if place[int(q)] < place[p]]
        assert all_pairs[p, before].max() > limit - 1e-6


def test_selection_refuses_nonsense(bits):
    with pytest.raises(TypeError, match="uint64"):
        choose_maxmin(bits, np.arange(3), 2)
    with pytest.raises(ValueError, match="At least one"):
        choose_maxmin(pack(bits), np.arange(3), 0)
    with pytest.raises(ValueError, match="outside 0 to 299"):
        choose_maxmin(pack(bits), np.array([300]), 1)


def test_the_store_remembers_like_a_set(tmp_path):
    rng = np.random.default_rng(0)
    store = SeenStore(tmp_path, "100MB")
    seen: set[int] = set()
    admitted: list[int] = []
    start = 0
    for _ in range(30):
        keys = np.unique(rng.integers(0, 3_000, 200).astype(np.uint64))
        rng.shuffle(keys)
        draws = np.arange(start, start + len(keys))
        new, repeated, known = store.admit(keys, draws, 10**9)
        expected = [int(k) not in seen for k in keys]
        assert new.tolist() == expected and known == 0
        assert repeated == len(keys) - sum(expected)
        seen |= {int(k) for k in keys}
        admitted += draws[new].tolist()
        start += len(keys)
    every = np.arange(start)
    assert every[store.admitted(every)].tolist() == admitted
    new, _, _ = store.admit(np.arange(5_000, 5_010, dtype=np.uint64), every[:10] + start, 4)
    assert new.tolist() == [True] * 4 + [False] * 6
    store.close()


@pytest.mark.slow
def test_the_store_keeps_to_its_memory(tmp_path):
    """Three million keys, 24 MB of them, in a store allowed 20 MB; all are found again."""
    store = SeenStore(tmp_path, "20MB")
    for i in range(30):
        keys = np.arange(i * 100_000, (i + 1) * 100_000, dtype=np.uint64) * np.uint64(2**41 + 9)
        new, _, _ = store.admit(keys, np.arange(len(keys)) + i * 100_000, 10**9)
        assert new.all()
    new, repeated, _ = store.admit(keys, np.arange(len(keys)) + 10**7, 10**9)
    assert not new.any() and repeated == 100_000
    store.close()


def test_a_wrong_memory_limit_is_told(tmp_path):
    with pytest.raises(BatchError, match="store of molecules"):
        SeenStore(tmp_path, "plenty")
