"""The search: it beats chance, obeys budget and filters, resumes exactly, names its standstill."""

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem

from benchmarks.molgen.goal_directed_tasks import Task
from molgen.optimization.oracle import Oracle
from molgen.optimization.search import SearchSettings, default_proposers, search
from molgen.qsar.gaussian_process import (
    Settings,
    Surrogate,
    choose_settings,
    featurize,
    similarities,
)

with gzip.open(Path(__file__).parents[1] / "data" / "moses_sample.smi.gz", "rt") as _file:
    LIBRARY = _file.read().split()[:400]
SMALL = SearchSettings(n_initial=30, batch_size=20, pool_size=40, rounds=2, screen_size=60)


def task_oracle(name, n_calls, **options):
    task = Task(name)
    return Oracle(lambda smiles: [task.score_smiles(s) for s in smiles], n_calls, **options)


@pytest.mark.long
@pytest.mark.slow
def test_the_surrogate_beats_random_and_plain_search():
    """300 calls of celecoxib rediscovery: the mean of the ten best, three ways."""
    best = {}
    for label, settings in {
        "surrogate": SMALL,
        "plain": SearchSettings(n_initial=40, batch_size=20, use_surrogate=False),
    }.items():
        oracle = task_oracle("celecoxib_rediscovery", 300)
        search(oracle, LIBRARY, settings=settings, seed=1)
        assert oracle.used == 300
        best[label] = np.mean([call.score for call in oracle.best(10)])
    oracle = task_oracle("celecoxib_rediscovery", 300)
    oracle(LIBRARY[:300])
    random_best = np.mean([call.score for call in oracle.best(10)])
    assert best["surrogate"] > best["plain"] > random_best
    assert best["surrogate"] > random_best + 0.06


def test_every_call_is_new_valid_and_accepted():
    oracle = task_oracle("qed", 120)
    light = lambda smiles: [Chem.MolFromSmiles(s).GetNumAtoms() <= 20 for s in smiles]  # noqa: E731
    outcome = search(oracle, LIBRARY, settings=SMALL, seed=0, accept=light, start=["CCO"])
    assert outcome.reason == "budget" and oracle.used == 120
    smiles = [call.smiles for call in oracle.history]
    assert smiles[0] == "CCO" and len(set(smiles)) == 120
    assert all(Chem.MolFromSmiles(text).GetNumAtoms() <= 20 for text in smiles)
    assert {call.origin for call in oracle.history} >= {"start", "library"}


def test_a_killed_run_goes_on_exactly(tmp_path):
    whole = task_oracle("qed", 80)
    search(whole, LIBRARY, settings=SMALL, seed=3)
    path = tmp_path / "log.jsonl"
    search(task_oracle("qed", 50, log=path), LIBRARY, settings=SMALL, seed=3)
    resumed = task_oracle("qed", 80, log=path)
    search(resumed, LIBRARY, settings=SMALL, seed=3)
    assert [c.smiles for c in resumed.history] == [c.smiles for c in whole.history]


def test_standstill_is_named_and_ends_the_run():
    constant = Oracle(lambda smiles: [0.5] * len(smiles), n_calls=1000)
    settings = SearchSettings(n_initial=20, batch_size=20, patience=60, max_restarts=1)
    outcome = search(constant, LIBRARY, settings=settings)
    assert outcome.reason == "exhausted" and len(outcome.restarts) == 1
    assert constant.used < 300
    assert "restarted from the library" in outcome.events[0]
    assert "no progress for 60 calls" in outcome.events[1]


def test_niches_spread_a_batch():
    """The last batch of 20, with and without spacing: mean similarity within it."""
    closeness = {}
    for niche in (1.0, 0.35):
        oracle = task_oracle("mestranol_similarity", 90)
        settings = replace(SMALL, niche_similarity=niche, explore=0.0)
        search(oracle, LIBRARY, settings=settings, seed=5)
        features = featurize([call.smiles for call in oracle.history[-10:]])
        pairs = [similarities(features, i)[j] for i in range(10) for j in range(i)]
        closeness[niche] = np.mean(pairs)
    assert closeness[0.35] < closeness[1.0]


def test_a_proposer_of_ones_own_takes_part():
    seen = []

    def propose(parents, n, rng):
        seen.append((len(parents), n))
        return ["C" * int(rng.integers(2, 30)) + "O", "not a molecule"]

    oracle = task_oracle("qed", 80)
    proposers = {**default_proposers(LIBRARY), "mine": (propose, 0.5)}
    plain = SearchSettings(n_initial=40, batch_size=20, use_surrogate=False)
    search(oracle, LIBRARY, proposers=proposers, settings=plain)
    assert seen and all(n > 0 for _, n in seen)
    assert any(call.origin == "mine" for call in oracle.history)


def test_a_proposer_that_fails_is_named_and_the_others_go_on():
    def broken(parents, n, rng):
        raise RuntimeError("no weights")

    oracle = task_oracle("qed", 60)
    plain = SearchSettings(n_initial=30, batch_size=20, use_surrogate=False)
    proposers = {**default_proposers(LIBRARY), "broken": (broken, 0.5)}
    outcome = search(oracle, LIBRARY, proposers, plain, start=["CCO", "OCC", "C1CC"])
    assert outcome.reason == "budget" and oracle.used == 60
    assert outcome.events[0].startswith("2 of 3 start molecules were left out")
    assert outcome.events[1:] == ["proposer broken raised RuntimeError: no weights"]


def test_it_ends_when_nothing_new_comes():
    oracle = task_oracle("qed", 100)
    proposers = {"same": (lambda parents, n, rng: ["CCO"], 1.0)}
    outcome = search(
        oracle, ["CCO", "CCN"], proposers, SearchSettings(n_initial=2, batch_size=5), seed=0
    )
    assert outcome.reason == "no proposals" and oracle.used < 100


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: search(task_oracle("qed", 5), []), "library is empty"),
        (lambda: search(task_oracle("qed", 5), ["C"], proposers={}), "proposers are empty"),
        (lambda: SearchSettings(batch_size=0), "batch_size"),
        (lambda: SearchSettings(explore=2), "explore"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ---- surrogate -----------------------------------------------------------------------------------
def test_the_surrogate_ranks_unseen_molecules():
    task = Task("mestranol_similarity")
    scores = np.array([task.score_smiles(s) for s in LIBRARY[:300]])
    features = featurize(LIBRARY[:300])
    train, test = np.arange(200), np.arange(200, 300)
    settings = choose_settings(features.rows(train), scores[train])
    model = Surrogate(features.rows(train), scores[train], settings)
    mean, spread = model.predict(features.rows(test))
    assert np.corrcoef(mean, scores[test])[0, 1] > 0.6
    assert (spread > 0).all()
    # at the training molecules themselves it knows more
    assert model.predict(features.rows(train))[1].mean() < spread.mean()


def test_the_surrogate_is_the_textbook_formula():
    features = featurize(LIBRARY[:30])
    scores = np.linspace(0, 1, 30)
    settings = Settings("raw", (0.5, 0.3, 0.2), 4.0, 0.01)
    model = Surrogate(features.rows(range(25)), scores[:25], settings)
    a, b = features.rows(range(25)), features.rows(range(25, 30))
    centre, scale = a.descriptors.mean(0), np.maximum(a.descriptors.std(0), 0.5)

    def kernel(p, q):
        total = np.zeros((len(p), len(q)))
        for i in range(len(p)):
            for j in range(len(q)):
                for weight, x, y in (
                    (0.5, p.morgan[i], q.morgan[j]),
                    (0.3, p.pairs[i], q.pairs[j]),
                ):
                    total[i, j] += weight * (x & y).sum() / (x | y).sum()
                gap = (p.descriptors[i] - q.descriptors[j]) / scale
                total[i, j] += 0.2 * np.exp(-0.5 * (gap @ gap) / 16.0)
        return total

    target = (scores[:25] - scores[:25].mean()) / scores[:25].std()
    gram = kernel(a, a) + 0.01 * np.eye(25)
    expected = kernel(b, a) @ np.linalg.solve(gram, target)
    assert model.predict(b)[0] == pytest.approx(expected, abs=1e-5)
    assert centre.shape == (17,)


def test_a_search_stops_at_its_target_or_on_a_plateau(tmp_path):
    import molgen
    from molgen.optimization.curve_plot import plot_search

    common = {"model": None, "n_calls": 200, "start": ["CCO"], "seed": 0}
    found = molgen.optimize(lambda smiles: [len(s) / 1e3 for s in smiles], target=0.01, **common)
    assert found.attrs["reason"] == "target" and found.attrs["calls"] < 200
    assert found["score"].max() >= 0.01
    flat = molgen.optimize(lambda smiles: [0.5 for _ in smiles], plateau=60, **common)
    assert flat.attrs["reason"] == "plateau" and 60 <= flat.attrs["calls"] < 200
    assert any("stood at 0.5 for 60 calls" in event for event in flat.attrs["events"])
    with pytest.raises(ValueError, match="plateau is at least 10 calls; got 1"):
        molgen.optimize(["maximise qed"], plateau=1, **common)
    plot_search(found, tmp_path / "curve.svg")
    assert (tmp_path / "curve.svg").stat().st_size > 1_000
    with pytest.raises(ValueError, match="not of a search"):
        plot_search(found[["smiles"]])
