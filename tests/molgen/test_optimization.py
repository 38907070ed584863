"""Search with the generator: it climbs, it counts, it resumes, it keeps to its constraints."""

import pytest
from rdkit import Chem

import molgen
from molgen.optimization.search import SearchSettings

QUICK = SearchSettings(n_initial=40, batch_size=20, pool_size=40, rounds=2, screen_until=0)


def test_search_climbs_and_counts_every_call(small_model) -> None:
    found = molgen.optimize(
        molgen.Objective(["maximise qed"]),
        model=small_model, n_calls=160, seed=1, settings=QUICK, filters=None,
    )  # fmt: skip
    assert len(found) == found.attrs["calls"] == 160
    assert found["smiles"].is_unique and found["score"].is_monotonic_decreasing
    first = found[found["call"] <= 40]["score"]
    assert found["score"].head(10).mean() > first.nlargest(10).mean()
    assert "latent" in set(found["origin"])
    assert all(Chem.CanonSmiles(s) == s for s in found["smiles"])


@pytest.mark.long
def test_a_resumed_search_is_the_same_search(small_model, tmp_path) -> None:
    objective = molgen.Objective(["maximise qed"])
    options = {"model": small_model, "seed": 2, "settings": QUICK, "filters": None}
    whole = molgen.optimize(objective, n_calls=100, log=tmp_path / "a.jsonl", **options)
    molgen.optimize(objective, n_calls=60, log=tmp_path / "b.jsonl", **options)
    again = molgen.optimize(objective, n_calls=100, log=tmp_path / "b.jsonl", **options)
    assert again["smiles"].tolist() == whole["smiles"].tolist()


def test_hard_filters_cost_nothing(small_model) -> None:
    found = molgen.optimize(
        molgen.Objective(["maximise mw"]),
        model=small_model, n_calls=60, seed=1, settings=QUICK, filters="lipinski",
    )  # fmt: skip
    assert molgen.filter_molecules(found["smiles"].tolist(), "lipinski")["passed"].all()


def test_a_callable_that_raises_costs_that_molecule_its_score(small_model) -> None:
    def picky(smiles: list[str]) -> list[float]:
        if any("S" in s for s in smiles):
            raise RuntimeError("no sulfur please")
        return [0.5] * len(smiles)

    found = molgen.optimize(
        picky, model=small_model, n_calls=60, seed=1, settings=QUICK, filters=None
    )
    sulfur = found[found["smiles"].str.contains("S")]
    assert len(sulfur) and sulfur["score"].isna().all()
    assert found["score"].tail(len(sulfur)).isna().all()  # last, whatever the others scored
    assert sulfur["problem"].str.contains("no sulfur please").all()


def test_a_budget_below_one_is_refused(small_model) -> None:
    with pytest.raises(ValueError, match="n_calls"):
        molgen.optimize(molgen.Objective(["maximise qed"]), model=small_model, n_calls=0)
