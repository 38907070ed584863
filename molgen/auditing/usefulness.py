"""What generated molecules are worth: property models from them, fidelity, rare chemotypes.

TSTR (train on synthetic, test on real; Esteban et al. 2017): a random forest learns a property
from half of the members and labels the generated molecules; a second forest learns from those and
is tested on real molecules that nobody saw. A student of a model's labels is worse than the model
whatever it learns from, so it is compared with a student that learned from the other half of the
members, labelled by the same model.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from molgen.auditing.intervals import Interval, share_difference, wilson
from molgen.auditing.measures import Measure, not_assessed
from molgen.auditing.sets import MoleculeSet
from molgen.base.parallel import map_chunks
from molgen.chem.description import describe
from molgen.chem.ring_systems import ring_systems
from molgen.evaluation.metrics import evaluate

PROPERTIES = ("logp", "tpsa")
RETENTION = 0.8
RARE_SHARE = 0.005
RARE_KEPT = 0.5
_FOREST = {"n_estimators": 40, "min_samples_leaf": 2, "max_features": 0.2}
_MOST_TRAINING = 2_000
_MOST_COMPARED = 2_000
_RESAMPLES = 500


# ---- utility -------------------------------------------------------------------------------------
def measure_utility(
    generated: MoleculeSet,
    members: MoleculeSet,
    others: MoleculeSet,
    values: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
    seed: int = 0,
) -> list[Measure]:
    """TSTR for each property: explained variance of the forest trained on generated molecules over
    that of the one trained on real molecules.

    Args:
        values: property → (values of ``members``, values of ``others``); by default logP and
            TPSA are computed.
    """
    if values is None:
        values = {
            name: (computed_values(members, name), computed_values(others, name))
            for name in PROPERTIES
        }
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 51])))
    n = min(_MOST_TRAINING, len(members) // 2, len(generated))
    order = rng.permutation(len(members))
    teach, real = order[:n], order[n : 2 * n]
    made = rng.permutation(len(generated))[:n]
    test = rng.permutation(len(others))[:_MOST_TRAINING]
    x_teach, x_real = _bits(members.packed[teach]), _bits(members.packed[real])
    x_made, x_test = _bits(generated.packed[made]), _bits(others.packed[test])
    measures = []
    for name, (member_values, other_values) in values.items():
        truth = np.asarray(other_values, dtype=np.float64)[test]
        teacher = _forest(seed).fit(x_teach, np.asarray(member_values, dtype=np.float64)[teach])
        predicted = [teacher.predict(x_test)]
        for k, x in enumerate((x_real, x_made), 1):
            student = _forest(seed + k).fit(x, teacher.predict(x))
            predicted.append(student.predict(x_test))
        measures.append(_retention(name, truth, predicted, n, seed))
    return measures


def computed_values(molecules: MoleculeSet, name: str) -> np.ndarray:
    """(n,) a descriptor of each molecule."""
    table = describe(list(molecules.smiles), properties=[name], n_jobs=molecules.n_jobs)
    return table[name].to_numpy(dtype=np.float64)


def _forest(seed: int):  # type: ignore[no-untyped-def]
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(random_state=seed % 2**31, n_jobs=1, **_FOREST)


def _bits(packed: np.ndarray) -> np.ndarray:
    """(n, 1024) float32 zeros and ones of packed fingerprints."""
    return np.unpackbits(packed.view(np.uint8), axis=1, bitorder="little").astype(np.float32)


def _retention(
    name: str, truth: np.ndarray, predicted: Sequence[np.ndarray], n: int, seed: int
) -> Measure:
    """The measure from predictions of the teacher and the students of real and made molecules."""
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 52])))
    everything = np.arange(len(truth))[None, :]
    teacher, real, made = (float(_explained(truth, p, everything)[0]) for p in predicted)
    if real < 0.05:
        return not_assessed(
            "utility", "TSTR", f"a forest that learned from {n:,} real molecules explains only "
            f"{real:.0%} of the variance, so there is nothing to keep.", name,
        )  # fmt: skip
    rows = rng.integers(len(truth), size=(_RESAMPLES, len(truth)))
    ratios = _explained(truth, predicted[2], rows) / np.maximum(
        _explained(truth, predicted[1], rows), 1e-9
    )
    lower, upper = np.quantile(ratios, [0.025, 0.975])
    return Measure(
        "utility", "TSTR", Interval(made / real, float(lower), float(upper)),
        f"A forest trained on {n:,} generated molecules, labelled by a model of real ones, "
        f"explains {made:.1%} of the variance among real unseen molecules; trained on as many real "
        f"molecules labelled by the same model it explains {real:.1%} (with measured labels "
        f"{teacher:.1%}). "
        "The estimate is the ratio of the first two: at 1 generated molecules teach as much.",
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
            f"than {RARE_SHARE:.1%} of the members have; of unseen molecules {held:.2%} do. A "
            "share far below that means that the model has kept only what is common.",
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
        fcd: the Fréchet ChemNet distance too, on up to 2,000 of each (a minute).
    """
    n = min(len(generated), len(members), len(others), _MOST_COMPARED)
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
