"""MOSES's metrics for a set of generated molecules, under MOSES's names.

Definitions: Polykovskiy et al., Front. Pharmacol. 11:565644 (2020), and the code of ``molsets``
0.3.1 where the paper leaves room. Beware of the sample size in FCD: it falls with the number of
molecules compared, so compare only values for equally many (random MOSES training molecules
themselves score 0.12 for 10,000 and 0.05 for 30,000 against the test set).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from rdkit import Chem
from scipy.stats import wasserstein_distance

from molgen.base.arguments import unknown
from molgen.base.parallel import map_chunks
from molgen.base.user_warnings import warn_user
from molgen.chem.identity import any_stereo, compound_keys, parent
from molgen.chem.parsing import as_smiles_list, parse_or_none
from molgen.chem.similarity import nearest, similarity_moments
from molgen.evaluation.chemnet import activations, frechet_distance, mean_and_covariance
from molgen.evaluation.reference_sets import (
    PROPERTIES,
    Profile,
    Statistics,
    compute_statistics,
    moses_statistics,
    profile_chunk,
)
from molgen.files.datasets import DatasetError, load_dataset, read_molecules

#: Metrics that compare with a reference set, reported as e.g. "FCD/Test" and "FCD/TestSF".
COMPARED = ("FCD", "SNN", "Frag", "Scaf")
#: Fewer molecules make no covariance of ChemNet's 512 numbers that could be trusted.
_FEW = 1_000
#: What only SMILES with stereo, several parts, charges or isotopes have.
_NOT_PLAIN = re.compile(r"[@/\\.+]|-\d*\]|\[\d")
#: Metrics of the generated set alone, or against the training set.
ALONE = ("valid", "unique@1000", "unique@10000", "IntDiv", "IntDiv2", "Filters", "Novelty")


def canonical_or_none_chunk(smiles: Sequence[object]) -> list[str | None]:
    """Canonical SMILES of each readable text, None for the others."""
    mols = (parse_or_none(text) for text in smiles)
    return [None if mol is None else Chem.MolToSmiles(mol) for mol in mols]


def cosine_similarity(a: Counter[str], b: Counter[str]) -> float:
    """Cosine of the angle between two vectors of counts; NaN when one is empty (MOSES)."""
    if not a or not b:
        return math.nan
    dot = sum(count * b[key] for key, count in a.items() if key in b)
    norm = math.sqrt(sum(c * c for c in a.values())) * math.sqrt(sum(c * c for c in b.values()))
    return dot / norm


def check_metrics(metrics: Sequence[str] | None) -> set[str]:
    """The metrics asked for, without their /Test and /TestSF; all when None.

    Raises:
        ValueError: an unknown name; the message gives the nearest known one.
    """
    known = [*ALONE, *COMPARED, *PROPERTIES]
    if metrics is None:
        return set(known)
    wanted = {str(m).partition("/")[0] for m in metrics}
    for name in sorted(wanted.difference(known)):
        raise ValueError(unknown("metric", name, known))
    return wanted


def evaluate(
    generated: Iterable[str],
    reference: str | Path | Iterable[str] = "moses",
    *,
    train: Iterable[str] | None = None,
    metrics: Sequence[str] | None = None,
    n_jobs: int = 1,
    device: str = "auto",
    progress: bool = False,
) -> dict[str, float]:
    """MOSES's metrics of generated molecules against a reference set.

    Args:
        generated: SMILES; unreadable ones count against ``valid`` and are then left out.
        reference: ``"moses"`` (both test sets), a file of molecules, or SMILES of any other set:
            then ``/Test`` means that set and there is no ``/TestSF``.
        train: the set that novelty is counted against. By default MOSES's training set (downloaded
            once) for ``"moses"``, and the reference itself for any other. Compared are parents
            (without salts, charges and isotopes), with stereo if any generated molecule has it.
        metrics: names of the metrics wanted, for example ``["valid", "FCD"]``; all by default.
        n_jobs: processes for the chemistry, -1 for all cores.
        device: where ChemNet runs: ``"auto"`` takes a GPU when there is one.
        progress: show progress bars on standard error.

    Returns:
        Metric name to value: ``valid``, ``unique@1000``, ``unique@10000``, ``FCD/Test``,
        ``SNN/Test``, ``Frag/Test``, ``Scaf/Test``, the same with ``/TestSF``, ``IntDiv``,
        ``IntDiv2``, ``Filters``, ``logP``, ``SA``, ``QED``, ``weight`` (Wasserstein distances to
        the test set) and ``Novelty``. NaN where a value is not defined (FCD of one molecule).

    Raises:
        ValueError: nothing generated, unknown metric, or an empty reference.

    Examples:
        >>> import molgen
        >>> scores = molgen.evaluate(
        ...     ["CCO", "CCN", "C("], ["CCO", "CCC"], metrics=["valid", "IntDiv"]
        ... )
        >>> round(scores["valid"], 3)
        0.667
    """
    wanted = check_metrics(metrics)
    texts = as_smiles_list(generated)
    if not texts:
        raise ValueError("There are no generated molecules to evaluate.")
    canonical = map_chunks(canonical_or_none_chunk, texts, n_jobs=n_jobs)
    valid = [text for text in canonical if text is not None]
    result: dict[str, float] = {}
    if "valid" in wanted:
        result["valid"] = len(valid) / len(texts)
    if not valid:
        warn_user("None of the generated molecules is valid.")
        return result
    for k in (1000, 10000):
        if f"unique@{k}" in wanted:
            result[f"unique@{k}"] = fraction_unique(valid, k)
    references = _references(reference, wanted, n_jobs, device, progress)
    profiles = _profiles(valid, wanted, n_jobs, progress)
    chemnet = None
    if "FCD" in wanted and len(valid) < _FEW:
        warn_user(
            f"FCD of {len(valid):,} molecules says little: it falls with their number; compare "
            f"only values for equally many, {_FEW:,} or more."
        )
    if "FCD" in wanted and len(valid) > 1:
        chemnet = mean_and_covariance(activations(valid, device=device, progress=progress))
    found = compute_statistics(valid, "generated", profiles=profiles, chemnet=chemnet)
    for suffix, statistics in references.items():
        result.update(_compare(found, statistics, suffix, wanted))
    if wanted & {"IntDiv", "IntDiv2"}:
        first, second = similarity_moments(found.packed_fingerprints, found.packed_fingerprints)
        # MOSES takes the root for each molecule, then the mean, as written in its code
        diversity = {"IntDiv": 1 - first.mean(), "IntDiv2": 1 - np.sqrt(second).mean()}
        result.update({k: float(v) for k, v in diversity.items() if k in wanted})
    if "Filters" in wanted:
        result["Filters"] = float(np.mean([p.passes_filters for p in profiles]))
    for name in PROPERTIES:
        if name in wanted:
            result[name] = float(
                wasserstein_distance(references["Test"].properties[name], found.properties[name])
            )
    if "Novelty" in wanted:
        result["Novelty"] = _novelty(valid, reference, references["Test"], train, n_jobs)
    return result


def fraction_unique(canonical: Sequence[str], k: int) -> float:
    """Share of distinct molecules among the first ``k`` canonical SMILES (fewer: a warning)."""
    if len(canonical) < k:
        warn_user(f"unique@{k} is computed from the {len(canonical):,} valid molecules there are.")
    first = canonical[:k]
    return len(set(first)) / len(first)


def novelty(canonical: Iterable[str], train: Iterable[str]) -> float:
    """Share of the distinct generated molecules that are not in the training set.

    MOSES compares SMILES as text. Its training file was written by RDKit of 2020; some 3 in 10,000
    of its molecules are spelt differently by RDKit of today (fused systems whose aromaticity is
    perceived otherwise) and would count as novel if they were generated.
    """
    distinct = set(canonical)
    return len(distinct.difference(train)) / len(distinct)


def _novelty(
    valid: Sequence[str],
    reference: str | Path | Iterable[str],
    statistics: Statistics,
    train: Iterable[str] | None,
    n_jobs: int = 1,
) -> float:
    if train is None and isinstance(reference, str) and reference == "moses":
        try:
            # MOSES has flat parents: what is compared with it is made like them
            return novelty(_flat_parents(valid), load_dataset("moses", split="train"))
        except DatasetError as error:
            warn_user(f"Novelty is not computed: {error}")
            return math.nan
    known = list(statistics.smiles) if train is None else as_smiles_list(train)
    stereo = any_stereo(valid)
    if not stereo and any_stereo(t for t in known if isinstance(t, str)):
        warn_user(
            "Novelty compares without stereo: the generated molecules have none, those that they "
            "are compared with do."
        )
    ours, theirs = (
        map_chunks(compound_keys, texts, (stereo,), n_jobs=n_jobs)
        for texts in (list(dict.fromkeys(valid)), known)
    )
    return novelty([k for k in ours if k], [k for k in theirs if k])


def _flat_parents(smiles: Sequence[str]) -> list[str]:
    """Canonical SMILES of parents without stereo; plain molecules are as they were."""
    flat = []
    for text in smiles:
        mol = parse_or_none(text) if _NOT_PLAIN.search(text) else None
        if mol is not None:
            whole = Chem.Mol(parent(mol))
            Chem.RemoveStereochemistry(whole)
            text = Chem.MolToSmiles(whole)
        flat.append(text)
    return flat


def _profiles(
    valid: Sequence[str], wanted: set[str], n_jobs: int, progress: bool
) -> Sequence[Profile]:
    if not wanted & {"Frag", "Scaf", "Filters", *PROPERTIES}:
        return []
    bar = "describe" if progress else None
    return map_chunks(profile_chunk, valid, ("Filters" in wanted,), n_jobs=n_jobs, progress=bar)


def _references(
    reference: str | Path | Iterable[str],
    wanted: set[str],
    n_jobs: int,
    device: str,
    progress: bool,
) -> dict[str, Statistics]:
    """The statistics to compare with, by the suffix that MOSES writes behind the slash."""
    if isinstance(reference, str) and reference == "moses":
        needed = {"Test": moses_statistics("test")}
        if wanted & set(COMPARED):
            needed["TestSF"] = moses_statistics("test_scaffolds")
        return needed
    if isinstance(reference, str | Path):
        texts: list[str] = list(read_molecules(reference))
        name = str(reference)
    else:
        texts, name = as_smiles_list(reference), "reference"
    canonical = map_chunks(canonical_or_none_chunk, texts, n_jobs=n_jobs)
    smiles = [t for t in canonical if t is not None]
    if not smiles:
        raise ValueError("The reference set holds no readable molecules.")
    if len(smiles) < len(texts):
        warn_user(
            f"{len(texts) - len(smiles):,} of {len(texts):,} reference molecules cannot be read "
            "and are left out."
        )
    chemnet = None
    if "FCD" in wanted and len(smiles) > 1:
        chemnet = mean_and_covariance(activations(smiles, device=device, progress=progress))
    return {
        "Test": compute_statistics(smiles, name, chemnet=chemnet, n_jobs=n_jobs, progress=progress)
    }


def _compare(
    found: Statistics, reference: Statistics, suffix: str, wanted: set[str]
) -> dict[str, float]:
    """FCD, SNN, Frag and Scaf of the generated set against one reference."""
    values: dict[str, float] = {}
    if "FCD" in wanted:
        values[f"FCD/{suffix}"] = _fcd(found, reference)
    if "SNN" in wanted:
        similarity, _ = nearest(found.packed_fingerprints, reference.packed_fingerprints)
        values[f"SNN/{suffix}"] = float(similarity.mean())
    if "Frag" in wanted:
        values[f"Frag/{suffix}"] = cosine_similarity(found.fragments, reference.fragments)
    if "Scaf" in wanted:
        values[f"Scaf/{suffix}"] = cosine_similarity(found.scaffolds, reference.scaffolds)
    return values


def _fcd(found: Statistics, reference: Statistics) -> float:
    if found.chemnet_covariance is None or reference.chemnet_covariance is None:
        return math.nan
    assert found.chemnet_mean is not None
    assert reference.chemnet_mean is not None
    return frechet_distance(
        reference.chemnet_mean,
        reference.chemnet_covariance,
        found.chemnet_mean,
        found.chemnet_covariance,
    )
