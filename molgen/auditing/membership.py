"""Membership inference: can an attacker tell training molecules from unseen ones?

Every attack gives each molecule a score, larger for "member". What an attacker has differs and is
said with each: samples alone (the black box), an encoder and decoder to call, likelihoods, known
members, or the means to train shadow models. Shadow models are in :mod:`molgen.auditing.shadows`.

Sources: Yeom et al. (2018), loss threshold; Hayes et al. (2019) and Chen et al. (2020), distance
to samples and reconstruction; van Breugel et al. (2023), density of samples over a reference;
Carlini et al. (2022), true positives at low false-positive rates.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from molgen.auditing.intervals import AttackResult, Interval, attack_result
from molgen.auditing.measures import Measure
from molgen.auditing.sets import MoleculeSet, profile_chunk
from molgen.base.parallel import map_chunks
from molgen.chem.similarity import nearest
from molgen.model.config import BLOCK
from molgen.model.graph_vae import GraphVAE
from molgen.motifs.atom_graphs import atom_graphs, motif_numbers
from molgen.motifs.tree_tables import build_table
from molgen.motifs.vocabulary_growth import extend
from molgen.sampling.likelihood import table_nll

if TYPE_CHECKING:
    from molgen.generation.generator import Generator
    from molgen.motifs.tree_tables import TreeTable

AUC_LIMIT = 0.55
#: Limits of the true-positive rates at 1 % and .1 % false positives, and how many non-members
#: there must be for such a rate to be judged.
TPR_LIMITS = ((0.01, 0.03, 2_000), (0.001, 0.005, 10_000))
_FOLDS = 5


@dataclass(frozen=True)
class Attack:
    """Scores of one attack, larger for "member"; minus infinity is allowed, NaN is not.

    name: what it looks at.
    members: (n_members,) scores; others: (n_others,) scores.
    attacker: what the attacker must have.
    how: how the score is made, as the second half of a sentence.
    control: scores of members and others by the same attack on a model that learned nothing: what
        tells the two sets apart whatever the model, and is therefore no leak of it.
    learned: the score was learned from the other molecules' labels (cross-fitted). Then two
        molecules judge each other, every pair counts twice, and the variance of the area is about
        twice that of scores that were there before.
    """

    name: str
    members: np.ndarray
    others: np.ndarray
    attacker: str
    how: str
    control: tuple[np.ndarray, np.ndarray] | None = None
    learned: bool = False


def measure_membership(attacks: Iterable[Attack], seed: int = 0) -> list[Measure]:
    """AUC and true-positive rates at 1 % and .1 % false positives of every attack.

    An attack with a control is judged by what it finds beyond that.

    An AUC proved to lie below .5 gets a line of its own: molecules that were called unseen look
    more like training data than the members do, so the labels are swapped or the hold-out was
    trained on.
    """
    measures: list[Measure] = []
    for attack in attacks:
        result = attack_result(attack.members, attack.others, seed)
        if attack.learned:
            result = AttackResult(*map(_widened, result))
        chance = [0.5, *(rate for rate, _, _ in TPR_LIMITS)]
        beyond = ""
        if attack.control is not None:
            control = attack_result(*attack.control, seed)
            chance = [max(c, found.estimate) for c, found in zip(chance, control)]
            beyond = f" A model that learned nothing reaches {control.auc.estimate:.1%}."
            measures.append(_control(attack, _widened(control.auc)))
        n, m = len(attack.members), len(attack.others)
        measures.append(
            Measure(
                "membership", "AUC", result.auc,
                f"A member scores above an unseen molecule in {result.auc.estimate:.1%} "
                f"of pairs; the score is {attack.how}. Half is a coin; {AUC_LIMIT - 0.5:.2f} above "
                f"chance the model gives away who was in training.{beyond}",
                attack.name, chance[0], AUC_LIMIT - 0.5 + chance[0], "limit", attack.attacker,
            )
        )  # fmt: skip
        for (rate, limit, needed), found, by_chance in zip(TPR_LIMITS, result[1:], chance[1:]):
            judged = m >= needed
            reading = (
                f"Of {n:,} members {found.estimate:.2%} score above all but {rate:.1%} of unseen "
                f"molecules; a coin finds {rate:.1%}."
            )
            if not judged:
                reading += f" Not judged: that takes {needed:,} unseen molecules, here are {m:,}."
            measures.append(
                Measure(
                    "membership", f"true positives at {rate:.1%} false positives", found, reading,
                    attack.name, by_chance, limit - rate + by_chance, "limit" if judged else "",
                    attack.attacker,
                )
            )  # fmt: skip
        # the mirror image of the AUC: how far non-members look like members
        mirrored = Interval(1 - result.auc.estimate, 1 - result.auc.upper, 1 - result.auc.lower)
        swapped = Measure(
            "membership", "AUC with labels swapped", mirrored,
            "Molecules given as unseen look more like training data than the members do: members "
            "and non-members are swapped, or the model was trained on the hold-out. The other "
            "measures mean nothing until that is put right.",
            attack.name, 0.5, rule="excess", attacker=attack.attacker,
        )  # fmt: skip
        if swapped.verdict == "fail":
            measures.append(swapped)
    return measures


def _widened(interval: Interval) -> Interval:
    """The interval for twice the variance, within [0, 1]."""
    e, lower, upper = interval
    root = math.sqrt(2)
    return Interval(e, max(e - root * (e - lower), 0.0), min(e + root * (upper - e), 1.0))


def _control(attack: Attack, area: Interval) -> Measure:
    """How far members and unseen molecules differ by themselves."""
    reading = (
        f"The same attack on a model with random weights, which has learned nothing, is right in "
        f"{area.estimate:.1%} of pairs. What is above half, members and unseen molecules differ by "
        "themselves, by chance or because they were not drawn alike; the attack on the model is "
        "judged by what it finds beyond that."
    )
    if area.lower > 0.5 and area.estimate > AUC_LIMIT:
        reading += (
            " Here that is so much that other attacks may be misled too: draw both sets at random "
            "from one source, or take more molecules."
        )
    return Measure("membership", "AUC without the model", area, reading, attack.name, 0.5)


# ---- the black box -------------------------------------------------------------------------------
def nearest_sample_attacks(
    generated: MoleculeSet, members: MoleculeSet, others: MoleculeSet, seed: int = 0
) -> list[Attack]:
    """Attacks by an attacker who has only samples.

    "nearest sample": similarity to the nearest sampled molecule. "nearest sample over reference":
    the same less the similarity to the nearest molecule of a reference set, which are the
    non-members of the other half, so that what is merely common does not look like a member.
    """
    plain = [nearest(x.packed, generated.packed)[0] for x in (members, others)]
    # an exact copy stands above molecules that only share all fingerprint bits
    plain = [
        score + 0.01 * np.array([s in generated.positions for s in x.smiles])
        for score, x in zip(plain, (members, others))
    ]
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 31])))
    half_of_members = rng.permutation(len(members)) % 2
    half_of_others = rng.permutation(len(others)) % 2
    calibrated = [plain[0].copy(), plain[1].copy()]
    for half in (0, 1):
        reference = others.packed[half_of_others != half]
        for scores, x, halves in (
            (calibrated[0], members, half_of_members),
            (calibrated[1], others, half_of_others),
        ):
            chosen = halves == half
            scores[chosen] -= nearest(x.packed[chosen], reference)[0]
    return [
        Attack(
            "nearest sample", plain[0], plain[1], "samples alone (black box)",
            "the similarity to the nearest sampled molecule",
        ),
        Attack(
            "nearest sample over reference", calibrated[0], calibrated[1],
            "samples, and molecules of the same kind that were not trained on",
            "the similarity to the nearest sampled molecule less that to the nearest reference",
        ),
    ]  # fmt: skip


# ---- with the model ------------------------------------------------------------------------------
@dataclass(frozen=True)
class Evidence:
    """What the model says about molecules, larger or smaller for members; one row a molecule.

    blind, elbo, posterior_mean: (n,) log-likelihoods in nats: without a latent, the evidence lower
        bound, and given the molecule's own latent. Minus infinity where the model cannot write it.
    mean, logvar: (n, latent_dim) the posterior; NaN where there is none.
    control_mean, control_logvar: the same of an encoder with random weights.
    reconstruction: (n,) similarity of the molecule to what its latent decodes to; 0 without.
    """

    blind: np.ndarray
    elbo: np.ndarray
    posterior_mean: np.ndarray
    mean: np.ndarray
    logvar: np.ndarray
    control_mean: np.ndarray
    control_logvar: np.ndarray
    reconstruction: np.ndarray


def gather_evidence(model: Generator, molecules: MoleculeSet, seed: int = 0) -> Evidence:
    """Everything that the attacks with the model need, in one pass over the molecules."""
    smiles = list(molecules.smiles)
    table, _, _ = build_table(smiles, stereo=model.network.has_stereo)
    scores = {}
    for given in ("nothing", "posterior", "posterior_mean"):
        value = np.full(len(smiles), -math.inf)
        if len(table):
            found = -table_nll(model, table, given, seed=seed)
            value[table.row] = np.where(np.isnan(found), -math.inf, found)
        scores[given] = value
    rows = np.full((4, len(smiles), model.latent_dim), np.nan, dtype=np.float32)
    if len(table):
        rows[:, table.row] = _posteriors(model, table, seed)
    mean, logvar, control_mean, control_logvar = rows
    reconstruction = np.zeros(len(smiles))
    good = np.flatnonzero(np.isfinite(mean).all(axis=1))
    if len(good):
        decoded = map_chunks(profile_chunk, list(model.decode(mean[good], search=0)), n_jobs=1)
        for i, row in zip(good, decoded):
            if row is not None:
                reconstruction[i] = nearest(row[1][None], molecules.packed[i][None])[0][0]
                reconstruction[i] += 0.01 * (row[0] == smiles[i])
    return Evidence(
        scores["nothing"], scores["posterior"], scores["posterior_mean"], mean, logvar,
        control_mean, control_logvar, reconstruction,
    )  # fmt: skip


def _posteriors(model: Generator, table: TreeTable, seed: int) -> np.ndarray:
    """(4, n, latent_dim) float32: mean and log variance of the model's encoder, and of one like it
    with random weights."""
    import torch

    network = model.network
    vocabulary = network.vocabulary
    blank = GraphVAE(vocabulary, network.config, seed=seed).eval()
    if not set(vocabulary.motifs).issuperset(table.motifs):
        vocabulary = extend(vocabulary, table.motifs)
    motif = motif_numbers(table, vocabulary)
    found = np.empty((4, len(table), model.latent_dim), dtype=np.float32)
    with torch.no_grad():
        for start in range(0, len(table), BLOCK):
            keep = np.arange(start, min(start + BLOCK, len(table)))
            graphs = atom_graphs(table, motif, vocabulary, keep)
            for k, one in enumerate((network, blank)):
                for place, values in enumerate(one.posterior(graphs)):
                    found[2 * k + place, keep] = values.numpy()
    return found


def model_attacks(members: Evidence, others: Evidence, seed: int = 0) -> list[Attack]:
    """Attacks by an attacker who has the model: likelihood, reconstruction, posterior."""
    known = "the model's weights, or its likelihoods"
    return [
        Attack(
            "likelihood without latent", members.blind, others.blind, known,
            "the log-likelihood that the decoder gives without a latent",
        ),
        Attack(
            "evidence lower bound", members.elbo, others.elbo, known,
            "the evidence lower bound (the loss of a variational autoencoder)",
        ),
        Attack(
            "likelihood of reconstruction", members.posterior_mean, others.posterior_mean, known,
            "the log-likelihood given the molecule's own latent",
        ),
        Attack(
            "reconstruction", members.reconstruction, others.reconstruction,
            "an encoder and a decoder to call",
            "the similarity to what the molecule's latent decodes to",
        ),
        posterior_attack(members, others, seed),
    ]  # fmt: skip


def posterior_attack(members: Evidence, others: Evidence, seed: int = 0) -> Attack:
    """An attacker who knows some members and learns from the posteriors of ``encode``.

    A logistic regression on the posterior's mean, its square, its log variance, and the summaries
    of both; every molecule is scored by a regression that did not see it (five folds). A regression
    also learns in what else the two sets differ; the control, the same on the posteriors of an
    encoder with random weights, says how much that is.
    """
    trained, blank = (
        _learned_scores([_posterior_features(*pair) for pair in pairs], seed)
        for pairs in (
            [(e.mean, e.logvar) for e in (members, others)],
            [(e.control_mean, e.control_logvar) for e in (members, others)],
        )
    )
    return Attack(
        "posterior", *trained,
        "an encoder to call, and some molecules known to be members",
        "what a regression learned from the posteriors of known members",
        control=blank, learned=True,
    )  # fmt: skip


def _learned_scores(rows: list[np.ndarray], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of members and others by regressions that learned from the other folds."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = np.concatenate(rows)
    label = np.repeat([1, 0], [len(rows[0]), len(rows[1])])
    usable = np.isfinite(x).all(axis=1)
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 32])))
    fold = np.empty(len(x), dtype=np.int64)
    for one in (0, 1):  # both labels in equal parts in every fold, or the split itself would tell
        places = np.flatnonzero(label == one)
        fold[places] = rng.permutation(len(places)) % _FOLDS
    score = np.full(len(x), -math.inf)
    for k in range(_FOLDS):
        inside, out = usable & (fold != k), usable & (fold == k)
        if len(set(label[inside].tolist())) < 2 or not out.any():
            continue
        learner = make_pipeline(
            StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=200)
        )
        learner.fit(x[inside], label[inside])
        score[out] = learner.decision_function(x[out])
    return score[: len(rows[0])], score[len(rows[0]) :]


def _posterior_features(mean: np.ndarray, logvar: np.ndarray) -> np.ndarray:
    mean, logvar = mean.astype(np.float64), logvar.astype(np.float64)
    summaries = [
        np.square(mean).sum(axis=1),
        logvar.sum(axis=1),
        np.exp(logvar).sum(axis=1),
        logvar.min(axis=1),
        np.abs(mean).max(axis=1),
    ]
    return np.concatenate([mean, np.square(mean), logvar, np.stack(summaries, axis=1)], axis=1)
