"""Objectives of REINVENT 4: the same numbers, and a refusal by name for what has no counterpart."""

import json
import math

import pytest
from rdkit import Chem
from rdkit.Chem import QED, Descriptors

from molgen.scoring.objectives import score
from molgen.scoring.reinvent import from_reinvent

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
TOML = """
run_type = "staged_learning"
[[stage]]
max_steps = 300
[stage.scoring]
type = "geometric_mean"

[[stage.scoring.component]]
[stage.scoring.component.custom_alerts]
[[stage.scoring.component.custom_alerts.endpoint]]
name = "Alerts"
params.smarts = ["[*;r8]", "[#8][#8]"]

[[stage.scoring.component]]
[stage.scoring.component.QED]
[[stage.scoring.component.QED.endpoint]]
name = "QED"
weight = 0.6

[[stage.scoring.component]]
[stage.scoring.component.MolecularWeight]
[[stage.scoring.component.MolecularWeight.endpoint]]
name = "MW"
weight = 0.3
transform.type = "double_sigmoid"
transform.high = 500.0
transform.low = 200.0
transform.coef_div = 500.0
transform.coef_si = 20.0
transform.coef_se = 20.0
"""


def test_the_numbers_of_reinvent(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(TOML)
    objective = from_reinvent(path)
    assert objective.aggregation == "geometric" and objective.missing == "ignore"
    table = score([ASPIRIN, "CCOOCC"], objective)
    mol = Chem.MolFromSmiles(ASPIRIN)
    weight = Descriptors.MolWt(mol)
    sigmoid = 1 / (1 + 10 ** (-(weight - 200) * 20 / 500))
    expected = math.exp((0.6 * math.log(QED.qed(mol)) + 0.3 * math.log(sigmoid)) / 0.9)
    assert table["score"][0] == pytest.approx(expected)
    assert table["score"][1] == 0 and not table["passed"][1]  # a peroxide: custom alert


def test_similarity_and_counts_from_json(tmp_path):
    config = {
        "scoring": {
            "type": "custom_sum",
            "component": [
                {
                    "TanimotoSimilarity": {
                        "endpoint": [
                            {
                                "name": "like",
                                "params": {
                                    "smiles": [ASPIRIN],
                                    "radius": 2,
                                    "use_counts": True,
                                    "use_features": True,
                                },
                            }
                        ]
                    }
                },
                {
                    "GroupCount": {
                        "endpoint": [
                            {
                                "name": "OH",
                                "params": {"smarts": "[OX2H]"},
                                "transform": {"type": "right_step", "high": 1, "low": 0},
                            }
                        ]
                    }
                },
            ],
        }
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    objective = from_reinvent(path)
    assert objective.aggregation == "arithmetic"
    assert objective.components[0].params["fingerprint"] == "FCFP4"
    assert score([ASPIRIN], objective)["score"][0] == 1.0


def component(name, **endpoint):
    return {"component": [{name: {"endpoint": [{"name": "x", **endpoint}]}}]}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (component("DockStream"), "DockStream .* no exact counterpart"),
        (component("TPSA", params={"includeSandP": True}), "includeSandP has no counterpart"),
        (component("TanimotoSimilarity", params={"smiles": ["C"]}), "on bits"),
        (component("Qed", transform={"type": "sigmoidal"}), "Did you mean 'sigmoid'"),
        ({"parameters": {}}, "found no scoring components"),
        ("/no/such.toml", "no REINVENT configuration"),
    ],
)
def test_refusals_name_what_is_wrong(config, message):
    with pytest.raises(ValueError, match=message):
        from_reinvent(config)


def test_skip_leaves_out_with_a_warning():
    config = {"component": [*component("Qed")["component"], *component("ROCS")["component"]]}
    with pytest.warns(UserWarning, match="left out: REINVENT component ROCS"):
        objective = from_reinvent(config, skip=True)
    assert [part.property for part in objective.components] == ["qed"]


def test_equal_names_become_distinct():
    config = {"component": [*component("Qed")["component"], *component("SlogP")["component"]]}
    assert [part.name for part in from_reinvent(config).components] == ["x", "x 2"]
