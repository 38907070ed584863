"""A campaign: asked and told in turns, resumed, with limits, repeats, failed wells and costs."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import molgen
from molgen.chem.fingerprints import fingerprints, tanimoto
from molgen.cli import app
from molgen.optimization.campaign_model import QuantityModel
from molgen.qsar.gaussian_process import featurize

STOCK = list(molgen.load_dataset("moses", split="sample")[:300])
LOGP = dict(zip(STOCK, molgen.describe(STOCK, properties=["logp"])["logp"]))


def measured(plate: pd.DataFrame, **others: float) -> pd.DataFrame:
    return pd.DataFrame({"smiles": plate["smiles"], "logp": [LOGP[s] for s in plate["smiles"]]})


def test_it_finds_more_of_the_best_than_chance() -> None:
    best = set(sorted(STOCK, key=lambda s: -LOGP[s])[:20])
    campaign = molgen.Campaign("maximise logp", library=STOCK, seed=1)
    found: set[str] = set()
    for _ in range(3):
        plate = campaign.suggest(20)
        assert len(set(plate["smiles"])) == 20 and not found & set(plate["smiles"])
        found |= set(plate["smiles"])
        campaign.tell(measured(plate))
    assert len(found & best) >= 9  # by chance 4
    low = molgen.Campaign("minimise logp", library=STOCK, seed=1)
    low.tell(pd.DataFrame({"smiles": list(found), "logp": [LOGP[s] for s in found]}))
    told = low.suggest(10, explore=0.0)["smiles"]
    assert np.mean([LOGP[s] for s in told]) < np.mean(list(LOGP.values())) - 0.5


@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 99), at=st.lists(st.booleans(), min_size=3, max_size=3))
def test_killed_and_read_again_it_suggests_the_same(tmp_path_factory, seed, at) -> None:
    """At each step the campaign may be dropped and read from its file."""
    path = tmp_path_factory.mktemp("c") / "campaign.json"
    whole = molgen.Campaign("maximise logp", library=STOCK[:50], seed=seed)
    killed = molgen.Campaign("maximise logp", library=STOCK[:50], seed=seed, path=path)
    for again in at:
        plate, other = whole.suggest(6), killed.suggest(6)
        pd.testing.assert_frame_equal(plate, other)
        if again:
            killed = molgen.Campaign.load(path, library=STOCK[:50])
            assert killed.pending["smiles"].tolist() == plate["smiles"].tolist()
        whole.tell(measured(plate))
        killed.tell(measured(plate))


def test_another_library_or_objective_is_refused(tmp_path) -> None:
    path = tmp_path / "campaign.json"
    molgen.Campaign("maximise logp", library=STOCK[:30], path=path)
    with pytest.raises(ValueError, match="another objective, seed or library"):
        molgen.Campaign("maximise logp", library=STOCK[:31], path=path)
    with pytest.raises(ValueError, match="another objective"):
        molgen.Campaign("minimise logp", library=STOCK[:30], path=path)
    path.write_text("{}")
    with pytest.raises(ValueError, match="is no campaign"):
        molgen.Campaign.load(path, library=STOCK[:30])


def test_failed_wells_come_once_more_and_repeats_are_joined() -> None:
    campaign = molgen.Campaign("maximise logp", budget=12, library=STOCK[:6], seed=0)
    plate = campaign.suggest(4)
    assert campaign.left == 8
    first = measured(plate).astype({"logp": object})
    first.loc[0, "logp"] = "failed"
    assert campaign.tell(first) == 3 and "1 wells have no value" in campaign.remarks[0]
    again = campaign.suggest(6)
    assert plate["smiles"][0] in set(again["smiles"]) and len(again) == 3
    assert "3 of 6" in campaign.remarks[-1]
    campaign.tell(pd.DataFrame({"smiles": [plate["smiles"][0]], "logp": ["n.d."]}))
    campaign.tell(pd.DataFrame({"smiles": [plate["smiles"][1]] * 2, "logp": [9.0, 7.0]}))
    row = campaign.results.set_index("smiles").loc[plate["smiles"][1]]
    assert row["n"] == 3 and row["logp"] == 7.0  # the median of three
    with pytest.raises(ValueError, match="used up"):
        campaign.suggest(1)  # what failed twice is not asked for again


def test_repeats_make_a_compound_surer() -> None:
    features = featurize(STOCK[:60])
    y = np.array([LOGP[s] for s in STOCK[:60]])
    once = QuantityModel(features, y, ["="] * 60, np.ones(60), 0)
    often = QuantityModel(features, y, ["="] * 60, np.full(60, 100.0), 0)
    assert (often.predict(features).deviation < once.predict(features).deviation).all()


def test_limits_are_learnt_from_as_limits() -> None:
    """Half of the high values are known as a limit far below them alone."""
    names = STOCK[:150]
    y = np.array([LOGP[s] for s in names])
    high = (y > np.median(y)) & (np.arange(150) % 2 == 0)
    told = np.where(high, 2.0, y)
    signs = np.where(high, ">", "=")
    features, rest = featurize(names), featurize(STOCK[150:])
    truth = np.array([LOGP[s] for s in STOCK[150:]])
    limits = QuantityModel(features, told, list(signs), np.ones(150), 0).mean(rest)
    values = QuantityModel(features, told, ["="] * 150, np.ones(150), 0).mean(rest)
    assert np.mean((limits - truth) ** 2) < 0.8 * np.mean((values - truth) ** 2)


def test_a_plate_is_diverse_within_its_cost_and_has_wells() -> None:
    campaign = molgen.Campaign("maximise logp", library=STOCK[:120], seed=2)
    campaign.tell(measured(pd.DataFrame({"smiles": STOCK[:40]})))
    plate = campaign.suggest(10, cost=lambda s: 1.0 + len(s) / 40, max_cost=12.0, plates=24)
    assert plate["cost"].sum() <= 12.0 and plate["well"].iloc[0] == "A1"
    bits = fingerprints(campaign.suggest(12)["smiles"])
    assert (tanimoto(bits, bits) - np.eye(12)).max() < 0.75
    with pytest.raises(ValueError, match="a cost is a number above 0"):
        campaign.suggest(3, cost=lambda s: 0.0)


def test_several_quantities_share_a_plate() -> None:
    table = molgen.describe(STOCK, properties=["logp", "mw"])
    campaign = molgen.Campaign({"logp": "maximise", "mw": "minimise"}, library=STOCK, seed=3)
    campaign.tell(table.iloc[:80][["smiles", "logp"]])
    campaign.tell(table.iloc[40:120][["smiles", "mw"]])
    plate = campaign.suggest(16)
    assert {"logp", "logp_lower", "mw", "mw_upper"} <= set(plate)
    whole = table.set_index("smiles")
    assert whole.loc[plate["smiles"], "logp"].mean() > whole["logp"].mean()
    assert whole.loc[plate["smiles"], "mw"].mean() < whole["mw"].mean()


def test_without_a_library_changes_of_the_best_are_proposed() -> None:
    groups = itertools.product(("F", "Cl", "OC", "C", "C#N"), ("C(=O)NC", "CCO", "N1CCOCC1"))
    series = [f"c1cc({a})ccc1{b}" for a, b in groups]
    campaign = molgen.Campaign("maximise pIC50", seed=4, filters=None)
    with pytest.raises(ValueError, match="tell"):
        campaign.suggest(3)
    campaign.tell(pd.DataFrame({"smiles": series, "pIC50": np.linspace(5, 8, len(series))}))
    plate = campaign.suggest(8)
    assert len(plate) == 8 and not set(plate["smiles"]) & set(campaign.results["smiles"])


@pytest.mark.parametrize(
    ("column", "said"),
    [({"pIC5": [5.0]}, "Did you mean"), ({"pIC50": ["strong"]}, "column pIC50"),
     ({"pIC50": [5.0, 6.0], "smiles": ["CCO", "xx"]}, "row 2: 'xx'")],
)  # fmt: skip
def test_what_cannot_be_read_is_named(column, said) -> None:
    campaign = molgen.Campaign("maximise pIC50", library=STOCK[:9])
    with pytest.raises(ValueError, match=said):
        campaign.tell(pd.DataFrame({"smiles": ["CCO"], **column}))
    assert not len(campaign.results)


def test_the_command_suggests_a_plate(tmp_path) -> None:
    table = tmp_path / "series.csv"
    rows = [f"{s},{LOGP[s]:.2f}" for s in STOCK[:40]]
    table.write_text("\n".join(["SMILES,logp", *rows, f"{STOCK[41]},>5"]) + "\n")
    stock = tmp_path / "stock.smi"
    stock.write_text("\n".join(STOCK) + "\n")
    arguments = ["suggest", table, "-n", 12, "--library", stock, "-o", tmp_path / "plate.csv",
                 "--report", tmp_path / "plate.html", "--plates", 96]  # fmt: skip
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output
    plate = pd.read_csv(tmp_path / "plate.csv")
    assert len(plate) == 12 and not set(plate["smiles"]) & {*STOCK[:40], STOCK[41]}
    page = (tmp_path / "plate.html").read_text()
    assert page.count('<svg class="mol"') >= 24 and "A12" in page
    done = CliRunner().invoke(app, ["suggest", str(table), "-g", "maximise logq"])
    assert done.exit_code == 2 and "Did you mean" in done.output
