"""ADMET: a clear message without the extra; values, percentiles and picture with it."""

import importlib.util
import math

import pytest

from molgen.qsar import admet
from molgen.scoring.objectives import Component, Objective, score

INSTALLED = importlib.util.find_spec("admet_ai") is not None
needs_extra = pytest.mark.skipif(not INSTALLED, reason="the extra 'admet' is not installed")


@pytest.mark.skipif(INSTALLED, reason="the extra 'admet' is installed")
def test_without_the_extra_the_message_says_what_to_install():
    for call in (
        lambda: admet.predict(["CCO"]),
        admet.endpoints,
        lambda: admet.radar("CCO"),
        lambda: Objective([Component.minimise("admet", endpoint="hERG")]),
    ):
        with pytest.raises(ImportError, match=r"pip install 'digital-double\[admet\]'"):
            call()


def test_a_radar_needs_three_axes_and_a_molecule():
    with pytest.raises(ValueError, match="at least 3"):
        admet.radar("CCO", endpoints=["hERG"])
    with pytest.raises(ValueError, match="not a molecule"):
        admet.radar("C1CC")


@needs_extra
@pytest.mark.slow
def test_predictions_percentiles_and_picture(tmp_path):
    names = ["hERG", "Solubility_AqSolDB"]
    table = admet.predict(["CCO", "C1CC"], endpoints=names, percentiles=True)
    assert 0 <= table["hERG"][0] <= 1 and math.isnan(table["hERG"][1])
    assert 0 <= table["hERG (percentile)"][0] <= 100
    # the wheel's own prediction for an approved drug, read back
    drug = admet.approved_drugs().iloc[0]
    again = admet.predict([drug["smiles"]], endpoints=names)
    assert again["hERG"][0] == pytest.approx(drug["hERG"], abs=0.02)
    path = tmp_path / "radar.png"
    admet.radar("CC(=O)Oc1ccccc1C(=O)O", path=path)
    assert path.stat().st_size > 5000
    objective = Objective([Component.minimise("admet", endpoint="hERG")])
    assert score(["CCO"], objective)["score"][0] == pytest.approx(1 - table["hERG"][0], abs=1e-6)
    with pytest.raises(ValueError, match="Did you mean 'hERG'"):
        admet.check_endpoint("hERGG")
