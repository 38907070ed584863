"""MOSES and its cache, and the packaged sample."""

from __future__ import annotations

import gzip
import hashlib
import zipfile

import pytest

from molgen.base.whole_files import write_atomically
from molgen.chem import parsing as chem
from molgen.files import datasets
from molgen.files.datasets import DatasetError, Split, load_dataset


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MOLGEN_CACHE", str(tmp_path))
    return tmp_path / "moses-0.3.1"


@pytest.fixture
def small_moses(cache, monkeypatch):
    """A wheel with the layout of molsets and three small splits, whose hashes are expected."""
    contents = {
        name: gzip.compress(f"SMILES\n{smiles}\nCCC,{name}\n".encode(), mtime=0)
        for name, smiles in {"train": "CCO", "test": "CCN", "test_scaffolds": "CCS"}.items()
    }
    cache.mkdir()
    wheel = cache / datasets.WHEEL_NAME
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in contents.items():
            archive.writestr(f"moses/dataset/data/{name}.csv.gz", content)
    splits = {
        n: Split(f"{n}.csv.gz", hashlib.sha256(c).hexdigest(), 2) for n, c in contents.items()
    }
    monkeypatch.setattr(datasets, "MOSES_SPLITS", splits)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setattr(datasets, "WHEEL_SHA256", digest)
    return cache


def test_sample_ships_with_the_package(cache):
    smiles = load_dataset("moses", split="sample")
    assert len(smiles) == len(set(smiles)) == 5000
    assert all(chem.parse_or_none(s) is not None for s in smiles[:200])
    assert not cache.exists()


def test_wheel_in_the_cache_is_verified_and_unpacked(small_moses):
    assert load_dataset("moses", split="train") == ["CCO", "CCC"]
    assert sorted(p.name for p in small_moses.iterdir()) == [
        datasets.WHEEL_NAME,
        "test.csv.gz",
        "test_scaffolds.csv.gz",
        "train.csv.gz",
    ]
    (small_moses / datasets.WHEEL_NAME).unlink()
    assert load_dataset("moses", split="test_scaffolds", download=False) == ["CCS", "CCC"]


def test_a_damaged_cache_is_noticed_and_made_good(small_moses):
    load_dataset("moses", split="test")
    (small_moses / "test.csv.gz").write_bytes(b"cut off")
    with pytest.raises(DatasetError, match="download=False"):
        load_dataset("moses", split="test", download=False)
    assert load_dataset("moses", split="test") == ["CCN", "CCC"]


def test_a_foreign_wheel_is_refused_and_nothing_kept(small_moses, monkeypatch):
    monkeypatch.setattr(datasets, "WHEEL_SHA256", "0" * 64)
    with pytest.raises(DatasetError, match="not the published file; nothing was kept"):
        load_dataset("moses")
    assert [p.name for p in small_moses.iterdir()] == [datasets.WHEEL_NAME]


def test_offline_says_what_to_do(cache, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(DatasetError, match=r"could not be downloaded .*split='sample'") as caught:
        load_dataset("moses")
    assert datasets.WHEEL_NAME in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not [p for p in cache.iterdir() if p.suffix == ".gz"]


def test_unwritable_cache(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("MOLGEN_CACHE", str(blocked))
    with pytest.raises(DatasetError, match=r"Cannot write to the cache folder .*MOLGEN_CACHE"):
        load_dataset("moses")


def test_unknown_names():
    with pytest.raises(ValueError, match="Unknown data set 'zinc'; there is 'moses'"):
        load_dataset("zinc")
    with pytest.raises(ValueError, match="did you mean 'test_scaffolds'"):
        load_dataset("moses", split="test_scafolds")


def test_writing_is_atomic(tmp_path):
    target = tmp_path / "folder" / "file.txt"
    write_atomically(target, b"one")
    write_atomically(target, b"two")
    assert target.read_bytes() == b"two"
    with pytest.raises(TypeError):
        write_atomically(target, "text")  # type: ignore[arg-type]
    assert target.read_bytes() == b"two"
    assert [p.name for p in target.parent.iterdir()] == ["file.txt"]


def test_hash_depends_on_order_and_boundaries():
    assert datasets.hash_smiles(["C", "CC"]) == hashlib.sha256(b"C\nCC\n").hexdigest()
    assert len({datasets.hash_smiles(x) for x in (["C", "CC"], ["CC", "C"], ["CCC"])}) == 3
