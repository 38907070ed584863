"""Molecules as vectors for QSAR, and splits of a set of molecules into folds.

Features are named: "ecfp" (Morgan counts), "descriptors" (RDKit's two-dimensional descriptors) and
"deepchem:CLASS" for a DeepChem featurizer that gives one vector a molecule, such as
"deepchem:MACCSKeysFingerprint". Splits: "scaffold" and "random" are ours, "deepchem_scaffold",
"deepchem_butina" and "deepchem_fingerprint" are DeepChem's.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np
from rdkit import Chem
from rdkit.Chem import Descriptors, rdFingerprintGenerator

from molgen.base.arguments import nearest_name
from molgen.chem.parsing import parse, quiet_rdkit
from molgen.chem.ring_systems import scaffold

N_BITS = 2048
FEATURES: tuple[str, ...] = ("ecfp", "descriptors")
SPLITTERS: tuple[str, ...] = (
    "scaffold",
    "random",
    "deepchem_scaffold",
    "deepchem_butina",
    "deepchem_fingerprint",
)
_MORGAN = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=N_BITS)


@contextlib.contextmanager
def quiet_deepchem() -> Iterator[None]:
    """Silence what DeepChem prints and logs when imported or used, inside the block only."""
    levels = {name: logging.getLogger(name).level for name in ("deepchem", "tensorflow")}
    before = os.environ.get("TF_CPP_MIN_LOG_LEVEL")
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    root_disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
            quiet_rdkit(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(root_disabled)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        if before is None:
            os.environ.pop("TF_CPP_MIN_LOG_LEVEL", None)
        else:
            os.environ["TF_CPP_MIN_LOG_LEVEL"] = before


def import_deepchem() -> ModuleType:
    """DeepChem, imported quietly (it takes several seconds the first time)."""
    if "deepchem" in sys.modules:
        return sys.modules["deepchem"]
    with quiet_deepchem():
        import deepchem
    return deepchem


# ---- features ------------------------------------------------------------------------------------
def check_features(names: Sequence[str]) -> tuple[str, ...]:
    """``names`` as a tuple, after each was found.

    Raises:
        ValueError: For an unknown name or an empty list.
    """
    chosen = (names,) if isinstance(names, str) else tuple(names)
    if not chosen:
        raise ValueError(f"features is empty: name some of {', '.join(FEATURES)}")
    for name in chosen:
        if name not in FEATURES and not name.startswith("deepchem:"):
            raise ValueError(
                f"unknown features {name!r}.{nearest_name(name, FEATURES)} There are: "
                f"{', '.join(FEATURES)} and 'deepchem:CLASS' for a DeepChem featurizer"
            )
    return chosen


def compute_features(smiles: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """(n, n_features) float32, the named blocks side by side; values that fail are 0."""
    mols = [parse(text) for text in smiles]
    blocks = []
    for name in names:
        if name == "ecfp":
            block = np.array([_MORGAN.GetCountFingerprintAsNumPy(mol) for mol in mols])
        elif name == "descriptors":
            block = np.array([_rdkit_descriptors(text) for text in smiles])
        else:
            block = _deepchem_block(mols, name.removeprefix("deepchem:"))
        blocks.append(np.asarray(block, dtype=np.float64).reshape(len(mols), -1))
    table = np.concatenate(blocks, axis=1)
    # Ipc and some charge descriptors overflow for odd molecules.
    return np.clip(np.nan_to_num(table, nan=0.0, posinf=0.0, neginf=0.0), -1e6, 1e6).astype(
        np.float32
    )


@lru_cache(maxsize=1)
def _descriptor_functions() -> tuple[Any, ...]:
    # Ipc grows without bound with the size of the molecule and carries nothing of its own.
    return tuple(function for name, function in Descriptors.descList if name != "Ipc")


@lru_cache(maxsize=20_000)  # folds, refits and objectives ask for the same molecules again
def _rdkit_descriptors(smiles: str) -> np.ndarray:
    mol = parse(smiles)
    values = []
    with quiet_rdkit():
        for function in _descriptor_functions():
            try:
                values.append(float(function(mol)))
            except (ValueError, RuntimeError, ZeroDivisionError, OverflowError):
                values.append(0.0)
    return np.array(values)


def _deepchem_block(mols: Sequence[Chem.Mol], class_name: str) -> np.ndarray:
    deepchem = import_deepchem()
    featurizer = getattr(deepchem.feat, class_name, None)
    if featurizer is None:
        known = [n for n in dir(deepchem.feat) if n[:1].isupper()]
        raise ValueError(
            f"DeepChem has no featurizer {class_name!r}.{nearest_name(class_name, known)}"
        )
    with quiet_deepchem():
        table = featurizer().featurize(list(mols))
    try:
        return np.asarray(table, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"DeepChem's {class_name} does not give one vector of numbers a molecule"
        ) from error


def morgan_bits(smiles: Sequence[str]) -> np.ndarray:
    """(n, N_BITS) uint8 Morgan bits of radius 2, for the applicability domain."""
    if not smiles:
        return np.zeros((0, N_BITS), dtype=np.uint8)
    return np.stack([_MORGAN.GetFingerprintAsNumPy(parse(text)) for text in smiles])


def nearest_similarity(queries: np.ndarray, references: np.ndarray) -> np.ndarray:
    """(n,) Tanimoto similarity of each row to the most similar reference row."""
    a, b = queries.astype(np.float32), references.astype(np.float32)
    best = np.zeros(len(a))
    for start in range(0, len(a), 1000):
        part = a[start : start + 1000]
        shared = part @ b.T
        either = part.sum(1)[:, None] + b.sum(1)[None, :] - shared
        best[start : start + 1000] = (shared / np.maximum(either, 1.0)).max(1)
    return best


# ---- splits --------------------------------------------------------------------------------------
_ONE_SERIES = 0.6
"""A scaffold with a larger share of the molecules than this leaves too little to learn from."""


def choose_splitter(
    smiles: Sequence[str], n_folds: int, splitter: str
) -> tuple[str, tuple[str, ...]]:
    """The splitter behind "auto", and why it is not the scaffold split, if so."""
    if splitter != "auto":
        return splitter, ()
    counts = Counter(key for text in smiles if (key := scaffold(text)))
    n_groups = len(counts) + len(smiles) - counts.total()
    largest = max(counts.values(), default=0)
    if n_groups >= n_folds and largest <= _ONE_SERIES * len(smiles):
        return "scaffold", ()
    return "random", (
        f"{len(counts)} scaffolds, the largest with {largest} of {len(smiles)} molecules, cannot "
        f"be held out whole in {n_folds} folds: the folds are random, so the errors hold for new "
        "members of this series, not for new scaffolds",
    )


def make_folds(smiles: Sequence[str], n_folds: int, splitter: str, seed: int) -> np.ndarray:
    """The fold number of every molecule, (n,) int.

    "scaffold" keeps every Bemis-Murcko scaffold whole: scaffolds in random order of equal sizes,
    the largest first, each to the fold that has fewest molecules.

    Raises:
        ValueError: For an unknown splitter or more folds than scaffolds.
    """
    if splitter not in SPLITTERS:
        raise ValueError(
            f"unknown splitter {splitter!r}.{nearest_name(splitter, SPLITTERS)} "
            f"The splitters are: auto, {', '.join(SPLITTERS)}"
        )
    if not 2 <= n_folds <= len(smiles):
        raise ValueError(f"n_folds lies between 2 and {len(smiles)} molecules; got {n_folds}")
    rng = np.random.default_rng([seed, 11])
    folds = np.zeros(len(smiles), dtype=int)
    if splitter == "random":
        folds[rng.permutation(len(smiles))] = np.arange(len(smiles)) % n_folds
        return folds
    if splitter == "scaffold":
        groups: dict[str, list[int]] = {}
        for index, text in enumerate(smiles):
            # A molecule without rings is its own group: the empty scaffold is not one chemotype.
            groups.setdefault(scaffold(text) or f"acyclic {index}", []).append(index)
        if len(groups) < n_folds:
            raise ValueError(
                f"there are {len(groups)} scaffolds for {n_folds} folds: ask for fewer folds or "
                "splitter='random'"
            )
        members = [groups[key] for key in groups]
        tie = rng.random(len(members))
        order = sorted(range(len(members)), key=lambda i: (-len(members[i]), tie[i]))
        filled = np.zeros(n_folds, dtype=int)
        for group in order:
            fold = int(np.argmin(filled))
            folds[members[group]] = fold
            filled[fold] += len(members[group])
        return folds
    return _deepchem_folds(smiles, n_folds, splitter, seed)


def _deepchem_folds(smiles: Sequence[str], n_folds: int, splitter: str, seed: int) -> np.ndarray:
    deepchem = import_deepchem()
    splitters = {
        "deepchem_scaffold": deepchem.splits.ScaffoldSplitter,
        "deepchem_butina": deepchem.splits.ButinaSplitter,
        "deepchem_fingerprint": deepchem.splits.FingerprintSplitter,
    }
    folds = np.full(len(smiles), -1, dtype=int)
    rest = np.arange(len(smiles))
    with quiet_deepchem():
        for fold in range(n_folds - 1):
            dataset = deepchem.data.NumpyDataset(
                np.zeros((len(rest), 1)),
                ids=np.array([smiles[int(i)] for i in rest], dtype=np.object_),
            )
            share = 1.0 / (n_folds - fold)
            chosen, _, others = splitters[splitter]().split(
                dataset, frac_train=share, frac_valid=0.0, frac_test=1.0 - share, seed=seed
            )
            folds[rest[np.asarray(chosen, dtype=int)]] = fold
            rest = rest[np.asarray(others, dtype=int)]
    folds[rest] = n_folds - 1
    return folds
