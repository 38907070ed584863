"""What generated molecules are worth: property models from them, fidelity, rare chemotypes.

TSTR (train on synthetic, test on real; Esteban et al. 2017): a random forest learns a property
from real molecules and labels the generated ones; a second forest learns from those; both are
tested on real molecules that neither the generator nor the forests saw.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from molgen.auditing.intervals import Interval, share_difference, wilson
from molgen.auditing.molecules import MoleculeSet
from molgen.auditing.record import Measure, not_assessed
from molgen.parallel import map_chunks

PROPERTIES = ("logp", "tpsa", "qed")
RETENTION = 0.8
RARE_SHARE = 0.005
RARE_KEPT = 0.5
_FOREST = {"n_estimators": 60, "min_samples_leaf": 2, "max_features": 0.2}
_MOST_TRAINING = 2_000
_RESAMPLES = 500


# ---- utility -------------------------------------------------------------------------------------
def measure_utility(
    generated: MoleculeSet,
    members: MoleculeSet,
    others: MoleculeSet,
    values: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
    seed: int = 0,
) -> list[Measure]:
    """TSTR for each property: explained variance of the generated-trained forest over that of the
    real-trained one.

    Args:
        values: property → (values of ``members``, values of ``others``); by default logP, TPSA and
            QED are computed.
    """
    if values is None:
        values = {
            name: (computed_values(members, name), computed_values(others, name))
            for name in PROPERTIES
        }
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 51])))
    n = min(_MOST_TRAINING, len(members), len(generated))
    real, made = (np.sort(rng.permutation(len(x))[:n]) for x in (members, generated))
    test = np.sort(rng.permutation(len(others))[:_MOST_TRAINING])
    bits = [_bits(x.packed[rows]) for x, rows in ((members, real), (generated, made))]
    test_bits = _bits(others.packed[test])
    measures = []
    for name, (member_values, other_values) in values.items():
        y = np.asarray(member_values, dtype=np.float64)[real]
        truth = np.asarray(other_values, dtype=np.float64)[test]
        first = _forest(seed).fit(bits[0], y)
        second = _forest(seed + 1).fit(bits[1], first.predict(bits[1]))
        measures.append(
            _retention(name, truth, first.predict(test_bits), second.predict(test_bits), seed)
        )
    return measures


def computed_values(molecules: MoleculeSet, name: str) -> np.ndarray:
    """(n,) a descriptor of each molecule."""
    from molgen.properties import describe

    table = describe(list(molecules.smiles), properties=[name], n_jobs=molecules.n_jobs)
    return table[name].to_numpy(dtype=np.float64)


def _forest(seed: int):  # type: ignore[no-untyped-def]
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(random_state=seed % 2**31, n_jobs=1, **_FOREST)


def _bits(packed: np.ndarray) -> np.ndarray:
    """(n, 1024) float32 zeros and ones of packed fingerprints."""
    return np.unpackbits(packed.view(np.uint8), axis=1, bitorder="little").astype(np.float32)


def _retention(
    name: str, truth: np.ndarray, real: np.ndarray, made: np.ndarray, seed: int
) -> Measure:
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 52])))
    rows = rng.integers(len(truth), size=(_RESAMPLES, len(truth)))
    real_r2, made_r2 = (
        _explained(truth, p, np.arange(len(truth))[None, :])[0] for p in (real, made)
    )
    if real_r2 < 0.1:
        return not_assessed(
            "utility", "TSTR", f"a forest trained on real molecules explains only {real_r2:.0%} of "
            "the variance, so there is nothing to keep.", name,
        )  # fmt: skip
    ratios = _explained(truth, made, rows) / np.maximum(_explained(truth, real, rows), 1e-9)
    lower, upper = np.quantile(ratios, [0.025, 0.975])
    return Measure(
        "utility", "TSTR", Interval(float(made_r2 / real_r2), float(lower), float(upper)),
        f"Trained on generated molecules a forest explains {made_r2:.1%} of the variance among "
        f"real unseen molecules, trained on real ones {real_r2:.1%}; the estimate is the ratio. "
        "At 1 generated molecules teach as much as real ones.",
        name, 1.0, RETENTION, "least",
    )  # fmt: skip


def _explained(truth: np.ndarray, predicted: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Explained variance of each resample of ``rows`` (r, n)."""
    y, error = truth[rows], (truth - predicted)[rows]
    return 1 - np.square(error).mean(axis=1) / np.maximum(y.var(axis=1), 1e-12)


# ---- balance -------------------------------------------------------------------------------------
def measure_balance(
    generated: MoleculeSet, members: MoleculeSet, others: MoleculeSet
) -> list[Measure]:
    """Rare chemotypes in and out. A chemotype is a ring system; rare are those that fewer than
    0.5 % of the members have, at least one of them."""
    rings = {
        name: map_chunks(ring_systems_chunk, list(x.smiles), n_jobs=x.n_jobs)
        for name, x in (("members", members), ("others", others), ("generated", generated))
    }
    counts = Counter(r for found in rings["members"] for r in set(found))
    rare = {r for r, k in counts.items() if k < max(RARE_SHARE * len(members), 2)}
    having = {name: sum(any(r in rare for r in f) for f in found) for name, found in rings.items()}
    seen = {
        name: {r for f in found for r in f if r in rare}
        for name, found in rings.items()
        if name != "members"
    }
    if not rare or not having["others"]:
        return [
            not_assessed("balance", "molecules with a rare ring system", "there are no rare ones.")
        ]
    share = wilson(having["generated"], len(generated))
    held = having["others"] / len(others)
    wanted = RARE_KEPT * held
    gap = share_difference(having["generated"], len(generated), having["others"], len(others))
    covered = wilson(len(seen["generated"]), len(rare))
    return [
        Measure(
            "balance", "molecules with a rare ring system", share,
            f"{share.estimate:.2%} of distinct sampled molecules have a ring system that fewer "
            f"than {RARE_SHARE:.1%} of the members have; of unseen molecules {held:.2%} do. A share "
            "far below that means that the model has kept only what is common.",
            "sample", held, wanted, "least",
        ),
        Measure(
            "balance", "rare ring systems that come out", covered,
            f"{len(seen['generated']):,} of {len(rare):,} rare ring systems of the members are in "
            f"the sample of {len(generated):,}; the {len(others):,} unseen molecules have "
            f"{len(seen['others']):,}.",
            "sample", len(seen["others"]) / len(rare),
        ),
        Measure(
            "balance", "rare ring systems, sample less hold-out", gap,
            "The difference of the two shares above; 0 is perfect balance.", "sample", 0.0,
        ),
    ]  # fmt: skip


def ring_systems_chunk(smiles: Sequence[str]) -> list[tuple[str, ...]]:
    """Ring systems of each molecule."""
    from molgen.chem import ring_systems

    return [tuple(ring_systems(s)) for s in smiles]


# ---- fidelity ------------------------------------------------------------------------------------
def measure_fidelity(
    generated: MoleculeSet,
    n_generated: int,
    members: MoleculeSet,
    others: MoleculeSet,
    fcd: bool = False,
    seed: int = 0,
) -> list[Measure]:
    """MOSES's metrics of the sample against the hold-out; by chance: those of members against it.

    Args:
        n_generated: sampled molecules with repeats.
        fcd: the Fréchet ChemNet distance too, on up to 5,000 of each (minutes).
    """
    from molgen.evaluation import evaluate

    n = min(len(generated), len(members), len(others), 5_000)
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 53])))
    made, real, held = (
        [x.smiles[i] for i in np.sort(rng.permutation(len(x))[:n])]
        for x in (generated, members, others)
    )
    names = ["SNN", "Frag", "Scaf", "IntDiv", "logP", "QED", "SA", *(["FCD"] if fcd else [])]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found, chance = (
            evaluate(x, reference=held, train=real, metrics=names) for x in (made, real)
        )
    meaning = {
        "SNN/Test": "mean similarity to the nearest hold-out molecule; higher is nearer",
        "Frag/Test": "cosine similarity of fragment counts; 1 is equal",
        "Scaf/Test": "cosine similarity of scaffold counts; 1 is equal",
        "IntDiv": "mean dissimilarity within the sample",
        "FCD/Test": "Fréchet ChemNet distance; lower is nearer, and it falls with more molecules",
    }
    distance = "distance between the distributions of this property; 0 is equal"
    nothing = (math.nan, math.nan)
    measures = [
        Measure(
            "fidelity", name, Interval(float(value), *nothing),
            f"{n:,} sampled molecules against as many unseen ones: {meaning.get(name, distance)}. "
            "By chance: as many training molecules.",
            "sample", float(chance[name]),
        )
        for name, value in found.items()
    ]  # fmt: skip
    unique = wilson(len(generated), n_generated)
    measures.append(
        Measure(
            "fidelity", "distinct", unique,
            f"{len(generated):,} of {n_generated:,} sampled molecules are distinct; repeats mean a "
            "collapsed model, or a sample near the number of molecules that it can write.",
            "sample", 1.0,
        )
    )  # fmt: skip
    return measures
