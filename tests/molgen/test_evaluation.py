"""MOSES's metrics against molsets' own code, and against published values."""

from __future__ import annotations

import gzip
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import sqrtm

import molgen
from molgen.chem import similarity
from molgen.chem.fingerprints import fingerprints, tanimoto
from molgen.evaluation import metrics as evaluation
from molgen.evaluation import reference_sets as reference
from molgen.evaluation.chemnet import activations, frechet_distance, mean_and_covariance
from molgen.files.datasets import DatasetError

ROOT = Path(__file__).parents[1]


def rows(name: str) -> list[str]:
    return gzip.decompress((ROOT / "data" / f"{name}.smi.gz").read_bytes()).decode().split()


@pytest.fixture(scope="module")
def moses() -> list[str]:
    return rows("moses_sample")


@pytest.mark.slow
def test_every_metric_agrees_with_the_code_of_molsets():
    made = molgen.qualify(only="metrics of MOSES")
    assert made.passed and made.n_values == 19, str(made)


def test_published_values_of_training_molecules(moses, tmp_path_factory, monkeypatch):
    """Polykovskiy et al., table of baselines, row "Train" (the whole set; here 300 of it)."""
    monkeypatch.setenv("MOLGEN_CACHE", str(tmp_path_factory.mktemp("cache")))
    profiles = reference.profile_chunk(moses[:300], True)
    assert all(p.passes_filters for p in profiles)  # Filters 1.0
    mine = reference.compute_statistics(moses[:300], "sample", profiles=profiles)
    test = reference.moses_statistics("test")
    assert evaluation.cosine_similarity(mine.fragments, test.fragments) > 0.985  # Frag 1.0
    packed = similarity.pack(fingerprints(moses[:3000]))
    first, second = similarity.similarity_moments(packed, packed)
    assert 1 - first.mean() == pytest.approx(0.8567, abs=0.002)  # IntDiv
    assert 1 - np.sqrt(second).mean() == pytest.approx(0.8508, abs=0.002)  # IntDiv2


@pytest.mark.long
@pytest.mark.slow
def test_fcd_of_training_molecules():
    """Published for samples of the training set with fcd_torch: .213 for 6,000 molecules."""
    sample = evaluation.load_dataset("moses", split="sample")
    values = evaluation.evaluate(sample, metrics=["FCD"])
    # 5,000 molecules: between the values measured for 6,000 (0.213) and 2,000 (0.64)
    assert 0.2 < values["FCD/Test"] < 0.3
    assert values["FCD/TestSF"] > values["FCD/Test"]


def test_shipped_statistics_are_those_of_the_test_sets():
    for split, n, n_scaffolds in (("test", 176_074, 77_114), ("test_scaffolds", 176_225, 44_885)):
        held = reference.moses_statistics(split)
        assert held.n_molecules == len(held.smiles) == len(set(held.smiles)) == n
        assert len(held.scaffolds) == n_scaffolds
        assert all(len(v) == n for v in held.properties.values())
        some = list(held.smiles[:: n // 40])
        profiles = reference.profile_chunk(some, False)
        assert all(p.scaffold in held.scaffolds for p in profiles if p.scaffold)
        assert all(f in held.fragments for p in profiles for f in p.fragments)
        for i, name in enumerate(reference.PROPERTIES):
            values = held.properties[name]
            assert np.all(np.diff(values) >= 0)
            for profile in profiles:
                at = np.searchsorted(values, profile.properties[i])
                near = values[max(at - 1, 0) : at + 1]
                assert np.abs(near - profile.properties[i]).min() < 1e-5
        eigenvalues = np.linalg.eigvalsh(held.chemnet_covariance)
        assert eigenvalues.min() > -1e-6


def test_frechet_distance_against_the_textbook_form():
    generator = np.random.default_rng(0)
    a = generator.normal(size=(200, 6)) @ generator.normal(size=(6, 6))
    b = generator.normal(size=(300, 6)) @ generator.normal(size=(6, 6)) + 0.5
    mean_a, cov_a = mean_and_covariance(a)
    mean_b, cov_b = mean_and_covariance(b)
    root = np.real(sqrtm(cov_a @ cov_b))
    expected = np.sum((mean_a - mean_b) ** 2) + np.trace(cov_a + cov_b - 2 * root)
    assert frechet_distance(mean_a, cov_a, mean_b, cov_b) == pytest.approx(expected, rel=1e-10)
    assert frechet_distance(mean_a, cov_a, mean_a, cov_a) == pytest.approx(0, abs=1e-9)
    # one dimension: (difference of means)² + (difference of standard deviations)²
    one = frechet_distance(np.array([1.0]), np.array([[4.0]]), np.array([3.0]), np.array([[9.0]]))
    assert one == pytest.approx(4 + 1)


def test_activations_do_not_depend_on_the_batch():
    smiles = ["CCO", "c1ccccc1", "CC(=O)Nc1ccc(O)cc1"]
    whole = activations(smiles, device="cpu")
    single = activations(smiles, device="cpu", batch_size=1)
    assert whole.shape == (3, 512)
    np.testing.assert_allclose(whole, single, atol=1e-5)
    assert activations([]).shape == (0, 512)


def test_cosine_similarity():
    assert evaluation.cosine_similarity(Counter("aab"), Counter("aab")) == pytest.approx(1)
    assert evaluation.cosine_similarity(Counter("aa"), Counter("b")) == 0
    assert evaluation.cosine_similarity(Counter("ab"), Counter("a")) == pytest.approx(0.5**0.5)
    assert math.isnan(evaluation.cosine_similarity(Counter(), Counter("a")))


def test_uniqueness_and_novelty():
    with pytest.warns(UserWarning, match="unique@1000 is computed from the 4 valid"):
        assert evaluation.fraction_unique(["C", "C", "CC", "CCC"], 1000) == 0.75
    assert evaluation.fraction_unique(["C", "C", "CC"], 2) == 0.5
    assert evaluation.novelty(["C", "C", "CC", "CCC"], ["C", "N"]) == pytest.approx(2 / 3)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_small_and_bad_input(moses, tmp_path):
    quick = ["valid", "unique@1000", "Novelty", "IntDiv", "SNN"]
    values = evaluation.evaluate(["CCO", "OCC", "nonsense", ""], ["CCO"], metrics=quick)
    assert values["valid"] == 0.5
    assert values["unique@1000"] == 0.5
    assert values["Novelty"] == 0
    assert values["SNN/Test"] == 1
    assert values["IntDiv"] == 0
    assert evaluation.evaluate(["nonsense"], ["CCO"]) == {"valid": 0.0}
    one = evaluation.evaluate(["CCO"], ["CCO"], metrics=["FCD", "Scaf"])
    assert math.isnan(one["FCD/Test"])
    assert math.isnan(one["Scaf/Test"])
    with pytest.raises(ValueError, match="no generated molecules"):
        evaluation.evaluate([], ["CCO"])
    with pytest.raises(ValueError, match="reference set holds no readable"):
        evaluation.evaluate(["CCO"], ["nonsense"])
    with pytest.raises(ValueError, match="Unknown metric 'novlty'; did you mean 'Novelty'"):
        evaluation.evaluate(["CCO"], ["CCO"], metrics=["novlty"])
    path = tmp_path / "reference.smi"
    path.write_text("\n".join(moses[:20]))
    from_file = evaluation.evaluate(moses[:20], path, metrics=["SNN", "Novelty", "logP"])
    assert from_file == {"SNN/Test": 1, "logP": 0, "Novelty": 0}
    with pytest.warns(UserWarning, match="1 of 2 reference molecules cannot be read"):
        evaluation.evaluate(["CCO"], ["CCO", "x"], metrics=["valid", "SNN"])


def test_novelty_without_the_training_set_is_not_a_number(monkeypatch):
    def offline(*_, **__):
        raise DatasetError("offline.")

    monkeypatch.setattr(evaluation, "load_dataset", offline)
    with pytest.warns(UserWarning, match="Novelty is not computed: offline"):
        values = evaluation.evaluate(["CCO"], metrics=["Novelty"])
    assert math.isnan(values["Novelty"])


# --- similarity kernels ---


def test_similarity_kernels_against_plain_arrays(moses):
    bits = fingerprints([*moses[:150], "C"])
    packed = similarity.pack(bits)
    assert packed.shape == (151, 16)
    plain = tanimoto(bits[:40], bits[40:])
    value, index = similarity.nearest(packed[:40], packed[40:])
    np.testing.assert_allclose(value, plain.max(1), atol=1e-6)
    np.testing.assert_array_equal(index, plain.argmax(1))
    first, second = similarity.similarity_moments(packed[:40], packed[40:])
    np.testing.assert_allclose(first, plain.mean(1), atol=1e-6)
    np.testing.assert_allclose(second, (plain**2).mean(1), atol=1e-6)


def test_empty_fingerprints_are_alike():
    nothing = similarity.pack(np.zeros((1, 64), dtype=np.uint8))
    something = similarity.pack(np.ones((1, 64), dtype=np.uint8))
    assert similarity.nearest(nothing, nothing)[0] == 1
    assert similarity.nearest(nothing, something)[0] == 0
    assert similarity.similarity_moments(nothing, nothing)[0] == 1


def test_similarity_input_is_checked():
    packed = similarity.pack(np.ones((2, 64), dtype=np.uint8))
    with pytest.raises(ValueError, match="multiple of 64"):
        similarity.pack(np.ones((2, 60)))
    with pytest.raises(ValueError, match="equally wide"):
        similarity.nearest(packed, np.zeros((2, 3), dtype=np.uint64))
    with pytest.raises(TypeError, match="uint64"):
        similarity.nearest(packed, packed.astype(np.int64))
    with pytest.raises(ValueError, match="no reference molecules"):
        similarity.nearest(packed, packed[:0])


def test_fcd_of_few_molecules_is_warned_of():
    with pytest.warns(UserWarning, match="FCD of 2 molecules says little"):
        evaluation.evaluate(["CCO", "CCN"], ["CCO", "CCC", "CCCl"], metrics=["FCD"])
