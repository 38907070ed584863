"""Objectives: scores by hand, files, bad input, and guests that misbehave."""

import json
import math
import sys
import time

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import QED, Crippen

import molgen
from molgen.scoring.kinds import KINDS
from molgen.scoring.objectives import Component, Objective, as_objective, score
from molgen.scoring.scales import reference_quantiles

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


def double_length(smiles):
    return len(smiles) / 40


# ---- values by hand ------------------------------------------------------------------------------
def test_geometric_score_by_hand():
    objective = Objective([Component.maximise("qed"), Component.within("logp", 1, 3)])
    row = score([ASPIRIN], objective).iloc[0]
    mol = Chem.MolFromSmiles(ASPIRIN)
    qed, logp = QED.qed(mol), Crippen.MolLogP(mol)
    assert row["qed"] == row["qed (raw)"] == pytest.approx(qed)
    assert row["logp (raw)"] == pytest.approx(logp)
    assert 1 < logp < 3
    assert row["logp"] == 1.0
    assert row["score"] == pytest.approx(math.sqrt(qed))
    assert row["passed"] and row["problems"] == "" and row["notes"] == ""


def test_default_shapes_follow_the_reference_distribution():
    quantiles = dict(
        zip(reference_quantiles()["probabilities"], reference_quantiles()["quantiles"]["mw"])
    )
    shape = Component.maximise("mw").resolved_transform()
    assert shape(np.array([quantiles[0.1], quantiles[0.9]])) == pytest.approx([0.1, 0.9])
    falling = Component.minimise("sa_score").resolved_transform()
    assert falling(np.array([1.0]))[0] > 0.9 > 0.1 > falling(np.array([6.0]))[0]
    spread = reference_quantiles()["standard_deviation"]["tpsa"]
    missed = Component.at_least("tpsa", 40).resolved_transform()(np.array([40 - spread / 2, 500]))
    assert missed == pytest.approx([math.exp(-0.5), 1.0])


def test_similarity_is_on_unfolded_counts():
    # Ethanol and propanol, ECFP4: computed by RDKit's own count fingerprints.
    from rdkit import DataStructs
    from rdkit.Chem import rdFingerprintGenerator

    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2)
    a, b = (generator.GetSparseCountFingerprint(Chem.MolFromSmiles(s)) for s in ("CCO", ASPIRIN))
    part = Component.maximise("similarity", smiles="CCO")
    table = score([ASPIRIN, "OCC"], Objective([part]))
    assert table["similarity"][0] == pytest.approx(DataStructs.TanimotoSimilarity(a, b))
    assert table["similarity"][1] == 1.0
    # several references: the nearest counts
    both = Component.maximise("similarity", smiles=["CCO", ASPIRIN], fingerprint="atom_pair")
    assert score([ASPIRIN], Objective([both]))["score"][0] == 1.0


def test_substructures_alerts_and_rings():
    objective = Objective(
        [
            Component.at_least("substructure", 1, smarts="[OX2H]", name="alcohol"),
            Component.minimise("substructure_count", smarts="c", name="aromatic carbons"),
            Component.at_most("alerts", 0, catalogs=["PAINS", "BRENK"]),
            Component.at_most("ring_rarity", 2),
        ],
        aggregation="minimum",
    )
    table = score(["CCO", "c1ccccc1", "O=C1C=CC(=O)C=C1", "C1CCC2(CC1)OOC1(CCCCC1)OO2"], objective)
    assert table["alcohol (raw)"].tolist() == [1, 0, 0, 0]
    assert table["aromatic carbons (raw)"].tolist() == [0, 6, 0, 0]
    assert table["alerts (raw)"][0] == 0 and table["alerts (raw)"][2] > 0
    assert "alerts: " in table["notes"][2]  # which alert it was stands beside the molecule
    assert table["ring_rarity (raw)"][0] == 0.0
    assert table["ring_rarity (raw)"][1] < 1 < 4 < table["ring_rarity (raw)"][3]


def test_hard_bounds_and_filters_set_the_score_to_zero():
    hard = Objective([Component.maximise("qed"), Component.at_most("mw", 100, hard=True)])
    table = score(["CCO", ASPIRIN], hard)
    assert table["score"][0] > 0 and table["passed"][0]
    assert table["score"][1] == 0 and not table["passed"][1]
    assert "mw at most 100" in table["notes"][1]
    filtered = Objective(["maximise qed"], filters={"mw": (0, 100)})
    table = score(["CCO", ASPIRIN], filtered)
    assert table["passed"].tolist() == [True, False]
    assert table["score"][1] == 0 and "refused" in table["notes"][1]


def test_a_search_can_ask_the_hard_conditions_alone():
    asked = []

    def costly(smiles):
        asked.append(smiles)
        return 1.0

    objective = Objective(
        [
            Component("python", "at least", low=0.5, hard=True, params={"function": costly}),
            Component.at_most("mw", 100, hard=True),
            Component.at_most("substructure", 0, smarts="[#7]", hard=True),
            Component.at_least("logp", 50),
        ],
        filters={"rings": (0, 0)},
    )
    molecules = ["CCO", ASPIRIN, "CCN", "C1CC1", "C1CC", "CCCO"]
    assert objective.accepts(molecules) == [True, False, False, False, False, True]
    assert asked == []
    assert Objective(["maximise qed"]).accepts(["CCO", "x"]) == [True, False]


def test_rows_keep_their_order_and_bad_molecules_score_zero():
    table = score(["CCO", "C1CC", "", "OCC"], "maximise qed")
    assert table["score"].tolist()[1:3] == [0, 0]
    assert table["score"][0] == table["score"][3]
    reasons = ["not a molecule: ring closure 1 is never closed", "not a molecule: empty"]
    assert table["problems"].tolist() == ["", *reasons, ""]
    assert len(score([], "maximise qed")) == 0


def test_shape_similarity_of_a_molecule_with_itself():
    part = Component.maximise("shape", smiles=ASPIRIN, conformers=10)
    table = score([ASPIRIN, "CCCCCCCCCC"], Objective([part]))
    assert table["score"][0] > 0.6 > table["score"][1]


# ---- guests that misbehave -----------------------------------------------------------------------
def misbehaving(smiles):
    if "N" in smiles:
        raise KeyError("no nitrogen please")
    if "F" in smiles:
        return math.nan
    if "S" in smiles:
        return "high"
    return 0.5


def test_a_callable_that_fails_costs_only_that_molecule():
    table = score(["CCO", "CCN", "CCF", "CCS", "CCC"], Component.from_function(misbehaving))
    assert table["score"].tolist() == [0.5, 0, 0, 0, 0.5]
    assert "KeyError" in table["problems"][1] and "CCN" in table["problems"][1]
    assert "nan" in table["problems"][2] and "CCF" in table["problems"][2]
    assert "not a number" in table["problems"][3]


def test_a_callable_that_hangs_is_left_behind():
    def hanging(smiles):
        while "N" in smiles:
            pass
        return 0.25

    started = time.monotonic()
    part = Component.from_function(hanging, timeout=0.5)
    table = score(["CCO", "CCN", "CCC"], part)
    assert time.monotonic() - started < 10
    assert table["score"].tolist() == [0.25, 0, 0.25]
    assert "no answer within 0.5 s" in table["problems"][1] and "CCN" in table["problems"][1]


def test_a_batch_callable_is_halved_until_the_culprit_is_found():
    sizes = []

    def batch(smiles):
        sizes.append(len(smiles))
        if any("N" in text for text in smiles):
            raise RuntimeError("nitrogen")
        return [0.5] * len(smiles)

    molecules = ["CCO", "CCC", "CCN", "CCCC"]
    table = score(molecules, Component.maximise("python", function=batch, batch=True))
    assert table["score"].tolist() == [0.5, 0.5, 0, 0.5]
    assert sizes == [4, 2, 2, 1, 1]


def test_missing_values_can_be_left_out():
    parts = [Component.from_function(misbehaving, name="mine"), Component.maximise("qed")]
    table = score(["CCN"], Objective(parts, missing="ignore"))
    assert table["score"][0] == pytest.approx(table["qed"][0])
    assert score(["CCN"], Objective(parts))["score"][0] == 0.0


def test_custom_transform_that_raises_costs_only_that_molecule():
    part = Component("mw", transform=lambda value: 1.0 / (value > 50))
    table = score(["CCO", "CCCCO"], part)
    assert table["score"].tolist() == [0, 1]
    assert "ZeroDivisionError" in table["problems"][0]


def program(code):
    return [sys.executable, "-c", code]


READ = "import sys\nlines = sys.stdin.read().split()\n"


def run_program(code, molecules, **options):
    part = Component.maximise("program", command=program(READ + code), name="p", **options)
    return score(molecules, Objective([part]))


def test_external_program():
    table = run_program("for s in lines: print(len(s) / 10)", ["CCO", "CCCCCC"])
    assert table["score"].tolist() == [0.3, 0.6]
    table = run_program("for s in lines: print(s, 0.4, sep=',')", ["CCO"], column=1)
    assert table["score"].tolist() == [0.4]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("if 'CCN' in lines: sys.exit('license expired')\nfor s in lines: print(0.5)", "license"),
        ("for s in lines:\n if s != 'CCN': print(0.5)", "wrote 0 lines for 1"),
        ("for s in lines: print('failed' if s == 'CCN' else 0.5)", "not a number"),
        ("for s in lines: print('nan' if s == 'CCN' else 0.5)", "nan"),
    ],
)
def test_external_program_that_fails(code, message):
    table = run_program(code, ["CCO", "CCN", "CCC"])
    assert table["score"].tolist() == [0.5, 0, 0.5]
    assert message in table["problems"][1] and "CCN" in table["problems"][1]


def test_external_program_that_hangs_or_is_missing():
    code = "import time\nif 'CCN' in lines: time.sleep(60)\nfor s in lines: print(0.5)"
    table = run_program(code, ["CCO", "CCN"], timeout=1)
    assert table["score"].tolist() == [0.5, 0]
    assert "no answer within 1 s" in table["problems"][1]
    part = Component.maximise("program", command="no-such-program --fast")
    table = score(["CCO", "CCC"], Objective([part]))
    assert table["score"].tolist() == [0, 0]
    assert table["problems"].str.contains("could not be run").all()


# ---- cache ---------------------------------------------------------------------------------------
def test_scores_are_cached_by_canonical_smiles():
    calls = []

    def counted(smiles):
        calls.append(smiles)
        return 0.5

    objective = Objective([Component.from_function(counted)])
    score(["OCC", "CCO", "C(O)C"], objective)
    score(["CCO", "CCC"], objective)
    assert calls == ["CCO", "CCC"]


# ---- statements and files ------------------------------------------------------------------------
def test_statements():
    assert Component.parse("maximize qed") == Component.maximise("qed")
    assert Component.parse("logp within 1 3") == Component.within("logp", 1, 3)
    assert Component.parse("logp between -1 and 3.5") == Component.within("logp", -1, 3.5)
    assert Component.parse("tpsa at least 40") == Component.at_least("tpsa", 40)
    assert Component.parse("mw at most 5e2") == Component.at_most("mw", 500)
    assert Component.parse("minimise sa_score").statement == "minimise sa_score"
    with pytest.raises(ValueError, match="cannot read the statement"):
        Component.parse("logp should be nice")


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
def test_objectives_survive_files(tmp_path, suffix):
    objective = Objective(
        [
            Component.maximise("qed", weight=2),
            Component.within("logp", 1, 3, hard=True),
            Component.maximise("similarity", smiles=ASPIRIN, fingerprint="FCFP4", name="like"),
            Component("mw", transform={"type": "double_sigmoid", "low": 200, "high": 400}),
            Component.from_function(double_length),
        ],
        aggregation="custom_product",
        filters=["veber"],
        missing="ignore",
        name="test",
    )
    path = tmp_path / f"objective{suffix}"
    objective.save(path)
    loaded = Objective.load(path)
    assert loaded.to_dict() == objective.to_dict()
    assert loaded.identity == objective.identity
    molecules = ["CCO", ASPIRIN, "CCN"]
    assert loaded(molecules) == objective(molecules)
    assert "test_scoring:double_length" in path.read_text()


def test_filters_of_every_form_survive_files(tmp_path):
    from molgen.filters.filter_sets import as_filter_set

    for filters in ("default", {"mw": (0, 100)}, ["veber", {"rings": (0, 2)}]):
        objective = Objective(["maximise qed"], filters=filters)
        objective.save(tmp_path / "o.yaml")
        assert Objective.load(tmp_path / "o.yaml")([ASPIRIN, "CCO"]) == objective([ASPIRIN, "CCO"])
    made = Objective(["maximise qed"], filters=as_filter_set(["veber"]))
    made.save(tmp_path / "o.json")
    assert Objective.load(tmp_path / "o.json")([ASPIRIN]) == made([ASPIRIN])
    with pytest.raises(ValueError, match="defualt"):  # told at once, not when scoring
        Objective(["maximise qed"], filters="defualt")


def test_identity_changes_with_the_objective():
    a, b = Objective(["logp within 1 3"]), Objective(["logp within 1 4"])
    assert a.identity != b.identity and a.identity == Objective(["logp within 1 3"]).identity


def test_lambdas_cannot_be_written(tmp_path):
    objective = Objective([Component.from_function(lambda s: 0.1, name="mine")])
    with pytest.raises(ValueError, match=r"mine.*cannot name"):
        objective.save(tmp_path / "o.yaml")


def test_an_objective_prints_as_a_table():
    text = str(Objective(["maximise qed", "logp within 1 3"], name="drug"))
    assert "drug: geometric mean of 2 components" in text
    assert "logp within 1 and 3" in text and "plateau(" in text


def test_as_objective_accepts_what_people_type(tmp_path):
    assert len(as_objective("maximise qed").components) == 1
    assert len(as_objective(["maximise qed", "mw at most 400"]).components) == 2
    assert as_objective(lambda s: 0.5)(["CCO"]) == [0.5]
    assert as_objective({"components": ["maximise qed"]}).aggregation == "geometric"
    Objective(["maximise qed"]).save(tmp_path / "o.yml")
    assert as_objective(str(tmp_path / "o.yml")) == Objective(["maximise qed"])


def test_names_of_the_package():
    assert molgen.score(["CCO"], molgen.Objective([molgen.Component.maximise("qed")])).shape[0] == 1


# ---- bad input -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Component.maximise("loqp"), "Did you mean 'logp'"),
        (lambda: Component("qed", "maximse"), "Did you mean 'maximise'"),
        (lambda: Component.within("logp", 9, 1), "low lies above high"),
        (lambda: Component("logp", "within", low=1), "needs high"),
        (lambda: Component("logp", "maximise", low=1), "takes no low"),
        (lambda: Component.at_least("logp", math.nan), "low is nan"),
        (lambda: Component.maximise("qed", weight=-1), "weight is at least 0"),
        (lambda: Component.maximise("qed", hard=True), "hard needs a bound"),
        (lambda: Component.maximise("similarity"), "needs smiles"),
        (lambda: Component.maximise("qed", smarts="C"), "does not know 'smarts'"),
        (lambda: Objective([]), "at least one component"),
        (lambda: Objective(["maximise qed", "qed at least 0.5"]), "two components"),
        (lambda: Objective(["maximise qed"], aggregation="mode"), "unknown aggregation"),
        (lambda: Objective(["maximise qed"], missing="maybe"), "missing is"),
        (lambda: Objective([Component.maximise("qed", weight=0)]), "weight 0"),
        (lambda: Objective([Component.maximise("qed", name="score")]), "cannot be called"),
        (lambda: Objective([Component.maximise("similarity", smiles="C1CC")]), "C1CC"),
        (
            lambda: Objective([Component.maximise("similarity", smiles="C", fingerprint="ECFP3")]),
            "Did you mean 'ECFP",
        ),
        (lambda: Objective([Component.maximise("substructure", smarts="c1cc")]), "SMARTS"),
        (lambda: Objective([Component.minimise("alerts", catalogs=["PANIS"])]), "PAINS"),
        (lambda: Objective([Component.maximise("python", function="os:nothing")]), "imported"),
        (lambda: Objective([Component.maximise("program", command="")]), "command is empty"),
        (lambda: Objective([Component.maximise("qsar", model="/no/where")]), "no QSAR model"),
        (lambda: Objective.from_dict({"components": []}), "needs 'components'"),
        (lambda: Objective.from_dict({"component": ["maximise qed"]}), "Did you mean"),
        (lambda: Objective.load("/no/where.yaml"), "no objective file"),
    ],
)
def test_bad_objectives_say_what_is_wrong(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_damaged_files_say_which(tmp_path):
    path = tmp_path / "broken.json"
    path.write_text("{")
    with pytest.raises(ValueError, match=r"broken\.json is not readable"):
        Objective.load(path)
    path = tmp_path / "broken.yaml"
    path.write_text(json.dumps({"components": [{"property": "loqp"}]}))
    with pytest.raises(ValueError, match=r"broken\.yaml.*logp"):
        Objective.load(path)


def test_every_descriptor_is_a_component():
    from molgen.chem.properties import DESCRIPTORS

    assert set(DESCRIPTORS) <= set(KINDS)
    objective = Objective([Component.maximise(name) for name in DESCRIPTORS], "arithmetic")
    row = score([ASPIRIN], objective).iloc[0]
    assert 0 < row["score"] < 1 and row["problems"] == ""
