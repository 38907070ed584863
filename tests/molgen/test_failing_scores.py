"""Scores that fail, are negative, come from one SMILES; moves and descriptors of one's own."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from rdkit.Chem import Crippen

import molgen
from molgen.chem.chemotypes import Chemotypes, chemotypes_of
from molgen.chem.diversity import select_diverse
from molgen.chem.properties import DESCRIPTORS, Descriptor
from molgen.optimization.oracle import Oracle
from molgen.optimization.search import SearchSettings, search
from molgen.scoring.guarded_calls import UserFunction
from tests.molgen.test_motifs import read

LIBRARY = read("moses_sample")[:300]
SMALL = SearchSettings(
    n_initial=30, batch_size=20, use_surrogate=False, screen_until=0, failures_in_a_row=60
)
SMILES = ["CCO", "CCN", "c1ccccc1", "C", "N", "CC", "CCCl", "OCC(O)CO"]


@pytest.fixture(autouse=True)
def small_library(monkeypatch):
    """A search starts from 300 molecules here, so that its table of fragments is soon made."""
    monkeypatch.setattr("molgen.optimization.goal_directed._LIBRARY", 300)


# ---- what a function may be ----------------------------------------------------------------------
@pytest.mark.parametrize("forms", [("list", "one"), ("one", "list")])
@pytest.mark.parametrize(
    "function",
    [
        len,
        lambda text: float(len(text)),
        lambda text: np.float32(len(text)),
        lambda text: np.array(len(text)),
        lambda texts: [len(text) for text in texts],
        lambda texts: (len(text) for text in texts),
        lambda texts: np.array([len(text) for text in texts]),
        lambda texts: pd.Series(list(texts)).str.len(),
    ],
)
def test_functions_of_one_and_of_many_give_the_same(function, forms):
    answers = UserFunction(function, forms)(SMILES)
    assert [answer.value for answer in answers] == [len(text) for text in SMILES]


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda text: None, "None"),
        (lambda text: math.nan, "nan"),
        (lambda text: 1 / 0, "ZeroDivisionError"),
        (lambda texts: dict.fromkeys(texts, 1), "dict"),
        (lambda texts: pd.DataFrame({"score": [1.0] * len(texts)}), "not a number"),
    ],
)
def test_what_gives_no_number_says_why(function, reason):
    answers = UserFunction(function, ("one", "list"))(SMILES)
    assert all(math.isnan(answer.value) and answer.problem for answer in answers)
    assert any(reason in answer.problem for answer in answers)


def test_the_form_is_seen_even_if_the_first_molecules_fail():
    def late(text):  # of one SMILES; the first six have no value
        return {"CCCl": 1.0, "OCC(O)CO": 2.0}.get(text)

    answers = UserFunction(late)(SMILES)
    assert [a.value for a in answers[6:]] == [1.0, 2.0] and all(a.problem for a in answers[:6])

    def batch(texts):
        if "C" in texts:
            raise ValueError("no methane")
        return [0.5] * len(texts)

    answers = UserFunction(batch)(SMILES)
    assert [a.problem is None for a in answers] == [text != "C" for text in SMILES]


def test_a_component_takes_both_and_says_what_it_cuts():
    one = molgen.Component.from_function(lambda text: len(text) / 10, "one")
    many = molgen.Component.from_function(lambda texts: [len(t) / 10 for t in texts], "many")
    table = molgen.score(["CCO", "CCCCO"], molgen.Objective([one, many]))
    assert table["one"].tolist() == table["many"].tolist() == [0.3, 0.5]
    docking = molgen.Component.from_function(lambda text: -7.4, "docking", goal="minimise")
    objective = molgen.Objective([docking])
    with pytest.warns(UserWarning, match=r"docking gave -7.4: .* scale=") as told:
        molgen.score(["CCO"], objective)
        table = molgen.score(["CCN", "CCC"], objective)
    assert len(told) == 1 and "was cut to [0, 1]" in table["notes"][0]
    scaled = molgen.Component.from_function(
        lambda text: -7.4, "docking", goal="minimise", scale=(-10, -5)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert 0.4 < molgen.score(["CCO"], molgen.Objective([scaled]))["score"][0] < 0.6


# ---- failures in a search ------------------------------------------------------------------------
def run(function, n_calls=80, **options):
    options = {"model": None, "n_calls": n_calls, "settings": SMALL, "filters": None, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return molgen.optimize(function, **options)


def test_failures_are_last_and_marked_in_a_search_of_negative_scores():
    def docking(text):
        if "N" in text:
            return math.nan
        return -Crippen.MolMR(Chem.MolFromSmiles(text)) / 10

    found = run(docking)
    failed = found["problem"].notna()
    assert failed.any() and not failed.all()
    assert found["score"][failed].isna().all() and found["score"][~failed].max() < 0
    assert not failed[: (~failed).sum()].any()  # every failure stands behind every score
    assert not found["diverse"][failed].any()
    assert math.isnan(found.attrs["auc_top10"])
    # it climbs: the best of the whole is better than the best of the start
    assert found["score"].max() > found[found["call"] <= 30]["score"].max()


def test_numbers_outside_the_unit_range_are_told_once():
    with pytest.warns(UserWarning, match=r"outside \[0, 1\]: scores are taken as they are") as told:
        molgen.optimize(
            lambda text: -len(text), model=None, n_calls=40, settings=SMALL, filters=None
        )
    assert len(told) == 1


@pytest.mark.parametrize("failing", [lambda s: 1 / 0, lambda s: None, lambda s: math.nan])
def test_a_score_that_always_fails_stops_the_run(failing, tmp_path, monkeypatch):
    monkeypatch.setenv("MOLGEN_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match=r"failed for each of the \d+ molecules that were asked"):
        run(failing, 3_000)
    component = molgen.Component.from_function(failing, "mine")
    with pytest.raises(ValueError, match=r"failed for each of the \d+ molecules that were asked"):
        run(molgen.Objective([component]), 3_000)
    with pytest.raises(ValueError, match="failed for each of the 12 molecules that were asked"):
        run(failing, 12)  # fewer than what stops a run
    assert not list(tmp_path.rglob("*.jsonl"))


def test_a_score_that_begins_to_fail_stops_the_run_and_keeps_what_there_is(tmp_path, monkeypatch):
    monkeypatch.setenv("MOLGEN_CACHE", str(tmp_path))
    asked = []

    def licence_lost(text):
        asked.append(text)
        if len(asked) > 40:
            raise RuntimeError("no licence")
        return 0.5

    with pytest.warns(UserWarning, match="calls in a row failed, the last with: raised Runtime"):
        found = molgen.optimize(
            licence_lost, model=None, n_calls=3_000, settings=SMALL, filters=None
        )
    assert found.attrs["reason"] == "failures" and len(found) < 200
    assert (found["score"][:30] == 0.5).all() and found["score"].isna().sum() >= 60
    (kept,) = tmp_path.rglob("*.jsonl")
    assert found.attrs["log"] == str(kept)
    again = Oracle(licence_lost, 3_000, log=kept, identity="licence_lost")
    assert again.used == len(found) and again.failures_in_a_row >= 60


def test_an_interrupted_run_gives_what_it_has(tmp_path, monkeypatch):
    monkeypatch.setenv("MOLGEN_CACHE", str(tmp_path))

    def stop(used, best):
        if used >= 50:
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="the search ended early: call .* interrupted"):
        found = molgen.optimize(
            len, model=None, n_calls=500, settings=SMALL, filters=None, on_progress=stop
        )
    assert found.attrs["reason"] == "interrupted" and 50 <= len(found) < 100
    assert found["score"].is_monotonic_decreasing
    run(lambda s: 0.1 * (len(s) % 10), 40)
    assert len(list(tmp_path.rglob("*.jsonl"))) == 1  # a run that ends leaves no file


# ---- starts, ties, chemotypes --------------------------------------------------------------------
@pytest.mark.parametrize(
    ("start", "reason"),
    [
        ("*CC", "an open mark"),
        ("CC[*:1]", "an open mark"),
        ("CCN.Cl", "a salt or mixture"),
        ("C1CC", "ring closure 1 is never closed"),
        ("C" * 30_000, "characters, at most"),
        ("", "empty"),
    ],
)
def test_what_is_no_whole_molecule_is_no_start(start, reason):
    with pytest.raises(ValueError, match=f"cannot start from .*{reason}"):
        molgen.optimize(["maximise qed"], model=None, start=[start], n_calls=10)
    with pytest.raises(ValueError, match=f"cannot start from .*{reason}"):
        molgen.optimize(["maximise qed"], model=None, start=start, n_calls=10)
    with pytest.warns(UserWarning, match=f"1 of 2 start molecules are left out: .*{reason}"):
        found = molgen.optimize(
            ["maximise qed"], model=None, start=[start, "CCO"], n_calls=5, settings=SMALL
        )
    assert found[found["origin"] == "start"]["smiles"].tolist() == ["CCO"]


def test_a_lead_that_the_filters_refuse_is_scored_and_told():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = molgen.optimize(
            ["maximise qed"], model=None, start="CCN=[N+]=[N-]", n_calls=35, settings=SMALL
        )
    assert found.attrs["filters"] == "default"
    assert "do not pass the filters" in found.attrs["events"][0]
    others = found[found["origin"] != "start"]["smiles"].tolist()
    assert molgen.filter_molecules(others)["passed"].all()


def test_a_saturated_objective_says_so_and_new_molecules_come_first():
    found = run(lambda s: float(len(s) > 6), 200)
    assert any("share the highest score" in event for event in found.attrs["events"])
    top = found[found["score"] == 1.0]
    known = (top["origin"] == "library").tolist()
    assert known == sorted(known) and not known[0]
    easy = [molgen.chem.properties.sa_score(Chem.MolFromSmiles(s)) for s in top["smiles"][:20]]
    assert easy == sorted(easy)


def test_chemotypes_and_a_choice_among_them():
    smiles = ["Cc1ccccc1", "CCc1ccccc1", "CCCc1ccccc1", "CC1CCNCC1", "CCO", "CCCCCCN"]
    assert chemotypes_of(smiles) == [0, 0, 0, 1, 2, 3]
    chosen = select_diverse(smiles, np.arange(6, 0, -1), 6, 1.0, per_chemotype=2)
    assert chosen == [0, 1, 3, 4, 5]
    with pytest.raises(ValueError, match="per_chemotype is at least 1"):
        select_diverse(smiles, np.arange(6), 3, per_chemotype=0)
    chemotypes = Chemotypes()
    assert chemotypes.find("CCO") is None and chemotypes.sizes == []


def test_a_search_for_many_chemotypes_leaves_crowded_ones():
    """Likeness to one lead: without a limit the search crowds its scaffold."""
    lead = "CC(=O)Nc1ccc2[nH]ccc2c1"
    wish = molgen.Objective([f"similar to {lead}"])
    crowds = {}
    for limit in (None, 10):
        oracle = Oracle(wish, n_calls=200)
        settings = SearchSettings(
            n_initial=40, batch_size=20, use_surrogate=False, crowd_limit=limit
        )
        search(oracle, [lead, *LIBRARY], settings=settings, seed=2)
        crowds[limit] = max(np.bincount(chemotypes_of(c.smiles for c in oracle.history)))
    assert crowds[10] <= 30 < crowds[None]


# ---- the user's own ------------------------------------------------------------------------------
def test_a_search_takes_moves_of_the_users_own():
    def methylate(parents, n, rng):
        return [f"C{parents[int(rng.integers(len(parents)))]}" for _ in range(n)]

    for moves in ([methylate], {"methylate": (methylate, 2.0)}):
        found = run(["maximise mw"], 50, moves=moves)
        assert "methylate" in set(found["origin"])
    with pytest.raises(ValueError, match="there is a move 'mutation' already"):
        run(["maximise mw"], moves={"mutation": methylate})
    with pytest.raises(TypeError, match="move 'x' is a function propose"):
        run(["maximise mw"], moves={"x": 3})
    with pytest.raises(ValueError, match="share of move 'x' is above 0"):
        run(["maximise mw"], moves={"x": (methylate, 0)})


def test_an_edit_added_to_the_table_is_drawn(monkeypatch):
    from molgen.chem import graph_edits

    drawn = []

    def mine(mol, rng):
        drawn.append(1)

    monkeypatch.setitem(graph_edits.MUTATIONS, "mine", (mine, 10.0))
    rng = np.random.default_rng(0)
    for _ in range(10):
        graph_edits.mutate("CCO", rng)
    assert drawn


def test_a_descriptor_added_to_the_table_is_a_component_at_once(monkeypatch):
    phosphorus = Descriptor(
        lambda mol: sum(atom.GetSymbol() == "O" for atom in mol.GetAtoms()), "", "oxygen atoms"
    )
    monkeypatch.setitem(DESCRIPTORS, "oxygens", phosphorus)
    table = molgen.score(["CCO", "OCC(O)CO"], ["maximise oxygens"])
    assert table["oxygens (raw)"].tolist() == [1, 3] and table["score"][1] > table["score"][0]
    assert molgen.score(["CCO", "OCC(O)CO"], ["at most 2 oxygens"])["score"].tolist()[0] == 1
    assert molgen.describe(["CCO"], properties=["oxygens"])["oxygens"][0] == 1
