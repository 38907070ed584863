"""QSAR: real data (FreeSolv), calibration against exact constructions, files, bad input."""

import json
import math
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from molgen.chem.ring_systems import scaffold
from molgen.qsar.calibration import (
    PROBABILITY_GRID,
    compute_metrics,
    conformal_factor,
    metric_table,
    venn_abers,
)
from molgen.qsar.data import clean_training_set, parent
from molgen.qsar.features import compute_features, make_folds, nearest_similarity
from molgen.qsar.limits import expected_values
from molgen.qsar.model import QsarError, fit_qsar
from molgen.qsar.panel import fit_panel, load_panel
from molgen.qsar.saved import load_qsar
from molgen.scoring.objectives import Component, Objective, score

DATA = pd.read_csv(Path(__file__).parents[1] / "data" / "freesolv_sample.csv")
SMILES, Y = DATA["smiles"].tolist(), DATA["expt"].tolist()


@pytest.fixture(scope="module")
def forest():
    return fit_qsar(SMILES, Y, model="random_forest", n_trees=60, n_folds=4)


@pytest.fixture(scope="module")
def classifier():
    labels = ["soluble" if value < -3.5 else "insoluble" for value in Y]
    return fit_qsar(SMILES, labels, model="random_forest", n_trees=60, n_folds=4)


# ---- real data -----------------------------------------------------------------------------------
def test_freesolv_is_learned_across_scaffolds(forest):
    metrics = forest.metrics.set_index("metric")
    assert metrics.loc["spearman", "estimate"] > 0.8
    assert metrics.loc["rmse", "estimate"] < 0.75 * np.std(Y)
    assert (metrics["lower"] <= metrics["estimate"]).all()
    assert (metrics["estimate"] <= metrics["upper"]).all()
    assert abs(forest.coverage_check() - 0.9) < 0.06


def test_predictions_have_intervals_and_a_domain(forest):
    strange = "OB1OC(=O)[Si](C)(C)[Se]1"
    table = forest.predict([SMILES[0], "C1CC", strange])
    assert table["in_domain"].tolist() == [True, False, False]
    assert table["similarity"][0] == 1.0
    assert math.isnan(table["prediction"][1])
    assert table["lower"][0] < table["prediction"][0] < table["upper"][0]
    assert len(forest.predict([])) == 0


def test_classification_gives_probability_intervals(classifier):
    assert classifier.task == "classification"
    assert classifier.training_set.classes == ("insoluble", "soluble")
    metrics = classifier.metrics.set_index("metric")
    assert metrics.loc["roc_auc", "estimate"] > 0.85
    table = classifier.predict(["OCC(O)CO", "CCCCCCCC"])
    assert table["prediction"][0] > 0.5 > table["prediction"][1]
    assert (table["lower"] <= table["upper"]).all()
    assert table["lower"][0] > table["upper"][1]


@pytest.mark.parametrize("model", ["gradient_boosting", "gaussian_process"])
def test_other_learners_learn_too(model):
    fitted = fit_qsar(SMILES[:120], Y[:120], model=model, n_folds=2)
    assert fitted.metrics.set_index("metric").loc["spearman", "estimate"] > 0.7


@pytest.mark.slow
def test_graph_network_trains_quietly_and_keeps_its_weights(tmp_path, capfd):
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    fitted = fit_qsar(SMILES[:60], Y[:60], model="dmpnn", epochs=12, n_folds=2)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
    captured = capfd.readouterr()
    assert captured.out == "" and "deepchem" not in captured.err.lower()
    table = fitted.predict(SMILES[:60])
    assert np.corrcoef(table["prediction"], Y[:60])[0, 1] > 0.4
    fitted.save(tmp_path / "model")
    assert (tmp_path / "model" / "weights.safetensors").is_file()
    again = load_qsar(tmp_path / "model").predict(SMILES[:5])
    assert again["prediction"].to_numpy() == pytest.approx(table["prediction"][:5], abs=1e-5)


@pytest.mark.slow
def test_deepchem_featurizer_and_splitter():
    block = compute_features(["CCO", "c1ccccc1"], ["deepchem:MACCSKeysFingerprint"])
    assert block.shape == (2, 167) and set(np.unique(block)) <= {0.0, 1.0}
    folds = make_folds(SMILES[:60], 3, "deepchem_scaffold", 0)
    assert set(folds) == {0, 1, 2}
    with pytest.raises(ValueError, match="Did you mean 'MACCSKeysFingerprint'"):
        compute_features(["CCO"], ["deepchem:MACSKeysFingerprint"])


# ---- splits --------------------------------------------------------------------------------------
def test_scaffolds_are_never_divided():
    folds = make_folds(SMILES, 5, "scaffold", 0)
    where: dict[str, set[int]] = {}
    for text, fold in zip(SMILES, folds):
        if key := scaffold(text):
            where.setdefault(key, set()).add(int(fold))
    assert all(len(found) == 1 for found in where.values())
    assert np.bincount(folds).min() > 0.1 * len(SMILES)


def test_random_folds_are_even_and_seeded():
    folds = make_folds(SMILES, 5, "random", 1)
    assert np.ptp(np.bincount(folds)) <= 1
    assert (folds == make_folds(SMILES, 5, "random", 1)).all()
    assert (folds != make_folds(SMILES, 5, "random", 2)).any()


def test_nearest_similarity_by_hand():
    queries = np.array([[1, 1, 0, 0], [0, 0, 0, 1]], dtype=np.uint8)
    references = np.array([[1, 1, 1, 0], [0, 1, 1, 1]], dtype=np.uint8)
    assert nearest_similarity(queries, references) == pytest.approx([2 / 3, 1 / 3])


# ---- calibration ---------------------------------------------------------------------------------
def test_conformal_factor_by_hand():
    residuals = np.array([1.0, -2.0, 3.0, -4.0, 5.0, 6.0, 7.0, 8.0, 9.0])
    assert conformal_factor(residuals, np.ones(9), 0.8) == 8.0  # ceil(10 * 0.8) = 8th
    assert conformal_factor(residuals, np.full(9, 2.0), 0.5) == 2.5
    assert conformal_factor(residuals, np.ones(9), 0.95) == math.inf


def test_conformal_intervals_hold_what_they_promise():
    """Exchangeable normal residuals: the coverage over repetitions is the nominal one."""
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(2000):
        draws = rng.normal(size=40)
        inside.append(abs(draws[-1]) <= conformal_factor(draws[:-1], np.ones(39), 0.8))
    assert np.mean(inside) == pytest.approx(0.8, abs=0.027)  # three standard errors


def test_venn_abers_by_hand_and_calibrated():
    # Perfectly separated scores: a new score at the top, counted as 0 and as 1.
    held_out = np.array([0.1, 0.2, 0.8, 0.9])
    labels = np.array([0.0, 0.0, 1.0, 1.0])
    lower, upper = venn_abers(held_out, labels)[:, 95]
    # as class 0 it joins {1, 1}: 2 of 3; as class 1 it stays 1
    assert lower == pytest.approx(2 / 3) and upper == 1.0
    rng = np.random.default_rng(1)
    truth = rng.random(2000)
    outcome = (rng.random(2000) < truth).astype(float)
    bounds = venn_abers(truth[:1000] ** 3, outcome[:1000])
    lower, upper = (np.interp(truth[1000:] ** 3, PROBABILITY_GRID, row) for row in bounds)
    assert np.mean((lower + upper) / 2) == pytest.approx(outcome[1000:].mean(), abs=0.05)
    assert np.mean(np.abs((lower + upper) / 2 - truth[1000:])) < 0.08


def test_metrics_by_hand():
    y, predicted = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.0, 3.0, 6.0])
    metrics = compute_metrics(y, predicted, "regression")
    assert metrics == pytest.approx({"rmse": 1.0, "mae": 0.5, "r2": 0.2, "spearman": 1.0})
    metrics = compute_metrics(
        np.array([0, 0, 1, 1.0]), np.array([0.1, 0.6, 0.4, 0.9]), "classification"
    )
    assert metrics["roc_auc"] == 0.75 and metrics["balanced_accuracy"] == 0.5
    assert metrics["brier"] == pytest.approx((0.01 + 0.36 + 0.36 + 0.01) / 4)
    table = metric_table(y, predicted, "regression", n_bootstrap=50)
    assert table.columns.tolist() == ["metric", "estimate", "lower", "upper"]


# ---- as a component ------------------------------------------------------------------------------
def test_a_model_is_a_component(forest, tmp_path):
    strange = "OB1OC(=O)[Si](C)(C)[Se]1"
    part = Component.minimise("qsar", model=forest, name="solvation")
    table = score([SMILES[0], strange], Objective([part]))
    assert table["solvation (raw)"][0] == pytest.approx(forest.predict(SMILES[0])["prediction"][0])
    assert "outside the model's domain" in table["notes"][1] and table["notes"][0] == ""
    assert table["in_domain"].tolist() == [True, False] and table["score"][1] <= 0.1
    assert (table["lower"] < table["solvation (raw)"]).all()
    flagged = Component.minimise("qsar", model=forest, outside="flag")
    alone = score([strange], Objective([flagged]))
    assert alone["score"][0] == pytest.approx(alone["qsar"][0]) and not alone["in_domain"][0]
    capped = Component.maximise("qsar", model=forest, outside=-20)
    assert score([strange], Objective([capped]))["qsar (raw)"][0] == -20
    with pytest.raises(ValueError, match="save it and give its path"):
        Objective([part]).save(tmp_path / "o.yaml")
    forest.save(tmp_path / "model")
    Objective([part]).save(tmp_path / "o.yaml")
    loaded = Objective.load(tmp_path / "o.yaml")
    assert loaded([SMILES[0]]) == pytest.approx(Objective([part])([SMILES[0]]))
    forest.path = None


def test_a_search_with_a_model_ends_in_its_domain(forest):
    """The domain caps the score: what is delivered is what the model knows."""
    part = Component.minimise("qsar", model=forest, name="solvation")
    library = [*SMILES[:60], *(f"C{'[Si](C)(C)' * n}B(O)O" for n in range(1, 41))]
    table = score(library, Objective([part]))
    assert not table["in_domain"].all()
    best = table.nlargest(40, "score")
    assert best["in_domain"].all()


def test_the_class_stands_in_names(classifier, forest):
    """active/inactive: the probability is that of the active, and says so everywhere."""
    labels = ["active" if value < -3.5 else "inactive" for value in Y]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"model": "random_forest", "n_trees": 20, "n_folds": 2}
        fitted = fit_qsar(SMILES, labels, **options)
        inverse = fit_qsar(SMILES, labels, positive="inactive", **options)
    assert fitted.positive == "active" and fitted.quantity == "P(active)"
    table = fitted.predict(["OCC(O)CO", "CCCCCCCC"])
    assert table["P(active)"].tolist() == table["prediction"].tolist()
    assert table["P(active)"][0] > 0.5 > table["P(active)"][1]
    assert inverse.predict("OCC(O)CO")["P(inactive)"][0] < 0.5
    n_active = labels.count("active")
    assert f"inactive {240 - n_active}, active {n_active}; predicted: P(active)" in str(fitted)
    part = Component.maximise("qsar", model=fitted)
    assert part.name == "P(active)" and part.statement == "maximise P(active) (qsar)"
    ranked = score(["OCC(O)CO", "CCCCCCCC"], Objective([part]))
    assert ranked["P(active)"][0] > ranked["P(active)"][1]
    assert Component.maximise("qsar", model=forest).name == "qsar"


def test_files_bring_back_the_same_model(forest, classifier, tmp_path):
    for model in (forest, classifier):
        model.save(tmp_path / model.task)
        loaded = load_qsar(tmp_path / model.task)
        assert loaded.settings == model.settings
        pd.testing.assert_frame_equal(loaded.predict(SMILES[:20]), model.predict(SMILES[:20]))
        assert [f.name for f in (tmp_path / model.task).iterdir()] == ["model.json"]
        model.path = None


# ---- compounds -----------------------------------------------------------------------------------
DRUGS = [
    ("CC(C)NCC(O)COc1cccc2ccccc12", "CC(C)[NH2+]CC(O)COc1cccc2ccccc12"),  # propranolol
    ("CN1CCC(=C2c3ccccc3CCc3cccnc32)CC1", "C[NH+]1CCC(=C2c3ccccc3CCc3cccnc32)CC1"),  # azatadine
    ("NCCc1ccc(O)c(O)c1", "[NH3+]CCc1ccc(O)c(O)c1"),  # dopamine
    ("CNCCC(Oc1ccc(cc1)C(F)(F)F)c1ccccc1", "C[NH2+]CCC(Oc1ccc(cc1)C(F)(F)F)c1ccccc1"),
]


@pytest.mark.parametrize(("base", "cation"), DRUGS)
def test_salts_of_a_compound_are_the_compound(base, cation):
    written = [
        base, f"{base}.Cl", f"{cation}.[Cl-]", f"{base}.OC(=O)C(F)(F)F",
        f"{cation}.[O-]C(=O)C(F)(F)F", f"{base}.O.Br", f"{base}.CS(=O)(=O)O", cation,
    ]  # fmt: skip
    assert {parent(text) for text in written} == {parent(base)}
    values = [5.61, 7.15, 5.71, 5.9, 5.8, 5.7, 5.71, 5.6]
    data, _ = clean_training_set([*SMILES[:30], *written], [*Y[:30], *values])
    assert data.smiles.count(parent(base)) == 1
    assert data.y[data.smiles.index(parent(base))] == np.median(values)
    (conflict,) = data.conflicts
    assert conflict["lines"] == list(range(31, 39)) and conflict["values"] == values
    assert data.n_joined == 7 and data.n_parted == 7


def test_one_prediction_for_all_salts(forest):
    base, cation = DRUGS[0]
    table = forest.predict([base, f"{base}.Cl", f"{cation}.[O-]C(=O)C(F)(F)F"])
    assert table["prediction"].nunique() == table["similarity"].nunique() == 1


def test_what_is_no_whole_molecule_is_no_row():
    data, _ = clean_training_set([*SMILES[:30], "*CC", 7.0], [*Y[:30], 1.0, 2.0])
    assert "open mark" in data.rejected[0]["reason"] and data.rejected[1]["line"] == 32
    # isotopes and enantiomers are compounds of their own, and the latter are told
    smiles = [*SMILES[:30], "C[C@H](N)c1ccccc1", "C[C@@H](N)c1ccccc1", "[2H]C([2H])([2H])OC"]
    data, _ = clean_training_set(smiles, [*Y[:30], 5.0, 8.0, 1.0])
    assert set(data.mirrored) == {"C[C@H](N)c1ccccc1", "C[C@@H](N)c1ccccc1"}
    with pytest.warns(UserWarning, match="2 molecules differ from another in stereo alone"):
        fitted = fit_qsar(smiles, [*Y[:30], 5.0, 8.0, 1.0], model="gaussian_process", n_folds=2)
    assert "(5)" in str(fitted) and "(8)" in str(fitted)


def test_rows_of_one_compound_with_limits():
    smiles = [
        *SMILES[:30],
        *["CCCCCCCCCCCCO"] * 3,
        *["CCCCCCCCCCCCCO"] * 2,
        *["CCCCCCCCCCCCCCO"] * 2,
    ]
    y = [*map(str, Y[:30]), ">5", "6", "6.4", ">4", ">5", ">7", "<5"]
    data, _ = clean_training_set(smiles, y)
    at = {key: (v, r) for key, v, r in zip(data.smiles, data.y, data.relations)}
    assert at["CCCCCCCCCCCCO"] == (6.2, "=") and at["CCCCCCCCCCCCCO"] == (5.0, ">")
    assert "CCCCCCCCCCCCCCO" not in at  # above 7 and below 5 at once
    assert [c["used"] for c in data.conflicts] == [6.2, None]


# ---- limits --------------------------------------------------------------------------------------
def test_limits_are_used_and_beat_taking_them_as_values():
    """The truth is known here: values above the 70 % quantile were reported as a limit."""
    smiles, y = SMILES[:150], np.array(Y[:150])
    limit = float(np.quantile(y, 0.7))
    cut = y > limit
    x = compute_features(smiles, ("ecfp", "descriptors"))
    relations = np.where(cut, ">", "=")
    guessed = expected_values(smiles, x, np.minimum(y, limit), relations, seed=0)
    assert (guessed[~cut] == y[~cut]).all() and (guessed[cut] >= limit).all()
    error = np.abs(guessed - y)[cut].mean()
    assert error < 0.9 * np.abs(limit - y)[cut].mean()
    # the mirror image gives the mirror image
    other = expected_values(smiles, x, -np.minimum(y, limit), np.where(cut, "<", "="), seed=0)
    assert other[cut] == pytest.approx(-guessed[cut], rel=1e-6)
    assert expected_values(smiles, x, y, np.full(len(y), "="), seed=0) is y


def test_a_fit_with_limits_says_how_they_were_used(tmp_path):
    smiles, y = SMILES[:80], [f">{-2.0}" if value > -2.0 else f"{value}" for value in Y[:80]]
    with pytest.warns(UserWarning, match="values are limits"):
        fitted = fit_qsar(smiles, y, model="random_forest", n_trees=10, n_folds=2)
    n = sum(value > -2.0 for value in Y[:80])
    assert f"{n} values are limits" in str(fitted)
    assert np.isfinite(fitted.metrics["estimate"]).all()
    fitted.save(tmp_path / "m")
    loaded = load_qsar(tmp_path / "m")
    assert str(loaded) == str(fitted)
    pd.testing.assert_frame_equal(loaded.predict(SMILES[:5]), fitted.predict(SMILES[:5]))


# ---- one series, and beyond the domain -----------------------------------------------------------
def series():
    """120 molecules on four scaffolds, as a project's table is."""
    heads = ["c1ccc({})cc1", "c1ccc({})nc1", "c1ccc2cc({})ccc2c1", "C1CCN({})CC1"]
    tails = [f"{'C' * n}{end}" for n in range(1, 11) for end in ("", "O", "F")]
    return [head.format(tail) for head in heads for tail in tails]


def test_one_congeneric_series_is_fitted_and_its_folds_are_told():
    smiles = series()
    y = [0.3 * text.count("C") + text.count("O") for text in smiles]
    assert len(smiles) == 120 and len({scaffold(s) for s in smiles}) == 4
    with pytest.warns(UserWarning, match="cannot be held out whole in 5 folds: the folds are rand"):
        fitted = fit_qsar(smiles, y, model="gaussian_process")
    assert fitted.settings.splitter == "random" and "not for new scaffolds" in str(fitted)
    with pytest.raises(ValueError, match="4 scaffolds for 5 folds"):
        fit_qsar(smiles, y, model="gaussian_process", splitter="scaffold")
    # ethanol is no phenyl: nothing is known, and the interval says so
    table = fitted.predict([smiles[0], "CCO", "O=S(=O)(N)c1cnsc1", "ClC(Cl)(Cl)Cl"])
    width = (table["upper"] - table["lower"]).to_numpy()
    assert (width[1:] > 2 * width[0]).all() and (width[1:] > 2 * np.std(y)).all()
    assert not table["in_domain"][1:].any()


def test_intervals_widen_the_farther_a_molecule_is(forest, classifier):
    mean, spread = np.full(5, -3.0), np.full(5, 0.5)
    near = forest.domain_threshold * np.array([2.0, 1.0, 0.9, 0.5, 0.0])
    lower, upper = forest._interval(mean, spread, near)
    width = upper - lower
    assert width[0] == width[1] and (np.diff(width[1:]) > 0).all()
    assert width[-1] > 2 * 1.64 * 2 * np.std(Y)
    near = classifier.domain_threshold * np.array([2.0, 1.0, 0.5, 0.0])
    lower, upper = classifier._interval(np.full(4, 0.9), spread[:4], near)
    assert (lower[0], upper[0]) == (lower[1], upper[1]) and (lower[3], upper[3]) == (0.0, 1.0)
    assert lower[1] > lower[2] > 0 and upper[1] <= upper[2] <= 1


# ---- counts, several columns ---------------------------------------------------------------------
def test_a_rare_class_is_told():
    labels = ["toxic" if i % 20 == 0 else "non-toxic" for i in range(len(SMILES))]
    with pytest.warns(UserWarning, match=r"few molecules are toxic \(5.0%\): judge by pr_auc"):
        fitted = fit_qsar(SMILES, labels, model="random_forest", n_trees=10, n_folds=2)
    assert "classes: non-toxic 228, toxic 12; predicted: P(toxic)" in str(fitted)


def test_a_panel_is_a_model_a_column(tmp_path):
    table = pd.DataFrame(
        {
            "dG": Y,
            "class": ["yes" if v < -3.5 else "no" for v in Y],
            "few": [1.0, 2.0] * 5 + [None] * (len(Y) - 10),
        }
    )
    with pytest.warns(UserWarning, match="few has no model"):
        panel = fit_panel(SMILES, table, model="random_forest", n_trees=10, n_folds=2)
    assert list(panel) == ["dG", "class"] and list(panel.failed) == ["few"]
    alone = fit_qsar(SMILES, Y, model="random_forest", n_trees=10, n_folds=2)
    found = panel.predict(SMILES[:4])
    assert found["dG"].tolist() == alone.predict(SMILES[:4])["prediction"].tolist()
    assert found.columns.tolist()[5:7] == ["class P(yes)", "class lower"]
    panel.save(tmp_path / "p")
    again = load_panel(tmp_path / "p")
    pd.testing.assert_frame_equal(again.predict(SMILES[:4]), found)
    with pytest.raises(KeyError, match="Did you mean 'class'"):
        panel["clas"]
    with pytest.raises(QsarError, match="no column can be learned: few"):
        fit_panel(SMILES, table[["few"]])
    with pytest.raises(QsarError, match="no panel"):
        load_panel(tmp_path)


def test_a_model_saved_before_format_2_predicts_as_it_did(classifier, tmp_path):
    classifier.save(tmp_path / "m")
    classifier.path = None
    file = tmp_path / "m" / "model.json"
    old = json.loads(file.read_text())
    for name in ("relations", "targets", "n_joined", "n_parted", "mirrored", "remarks"):
        del old[name]
    del old["settings"]["parents"]
    file.write_text(json.dumps({**old, "version": 1}))
    loaded = load_qsar(tmp_path / "m")
    assert loaded.settings.parents is False and loaded.positive == "soluble"
    assert (
        loaded.predict(SMILES[0])["prediction"][0] == classifier.predict(SMILES[0])["prediction"][0]
    )


# ---- bad input -----------------------------------------------------------------------------------
def test_rows_left_out_are_listed():
    smiles = [*SMILES[:30], "C1CC", "CCCCCCCCCCCC", "CCCCCCCCCCCCC"]
    data, task = clean_training_set(smiles, [*Y[:30], 1.0, None, math.inf])
    assert task == "regression" and len(data.smiles) == 30
    assert [(row["line"], row["reason"]) for row in data.rejected] == [
        (31, "not a molecule: ring closure 1 is never closed"),
        (32, "no value"),
        (33, "y is inf"),
    ]


def test_duplicates_with_different_values():
    smiles, y = [*SMILES[:30], "OCC", "CCO", "C(C)O"], [*Y[:30], 1.0, 2.0, 6.0]
    base = [s for s in SMILES[:30] if s == "CCO"]
    data, _ = clean_training_set(smiles, y)
    assert len(data.conflicts) == 1 and data.conflicts[0]["smiles"] == "CCO"
    if not base:
        assert data.conflicts[0]["used"] == 2.0
    with pytest.raises(QsarError, match=r"CCO stands in the data .* different values"):
        clean_training_set(smiles, y, duplicates="raise")
    with pytest.warns(UserWarning, match="1 molecules came with different values"):
        fit_qsar(smiles, y, model="gaussian_process", n_folds=2)
    # two classes that contradict each other leave the molecule out
    labels = [float(v > -3.5) for v in Y[:30]]
    data, _ = clean_training_set([*SMILES[:30], "CCCCCCCCCO", "OCCCCCCCCC"], [*labels, 0, 1])
    assert data.conflicts[-1]["used"] is None and "CCCCCCCCCO" not in data.smiles


@pytest.mark.parametrize(
    ("smiles", "y", "options", "message"),
    [
        (SMILES, [1.0] * len(SMILES), {}, "constant"),
        (SMILES, ["a"] * len(SMILES), {}, "constant"),
        (SMILES, [None] * len(SMILES), {}, "every entry is missing"),
        (SMILES, Y[:-1], {}, "240 rows, y has 239"),
        (SMILES[:5], Y[:5], {}, "needs at least 20"),
        (SMILES, ["a", "b", "c"] * 80, {}, "has 3"),
        (SMILES, Y, {"model": "random_forrest"}, "Did you mean 'random_forest'"),
        (SMILES, Y, {"splitter": "scafold"}, "Did you mean 'scaffold'"),
        (SMILES, Y, {"features": ["ecpf"]}, "Did you mean 'ecfp'"),
        (SMILES, Y, {"features": []}, "features is empty"),
        (SMILES, Y, {"n_folds": 1}, "n_folds lies between"),
        (SMILES, Y, {"coverage": 1.0}, "coverage"),
        (SMILES, Y, {"task": "ranking"}, "task is"),
        (SMILES, Y, {"duplicates": "drop"}, "duplicates is"),
    ],
)
def test_bad_input_says_what_is_wrong(smiles, y, options, message):
    with pytest.raises(ValueError, match=message):
        fit_qsar(smiles, y, **options)


def test_bad_files_say_which(tmp_path):
    with pytest.raises(QsarError, match="no QSAR model"):
        load_qsar(tmp_path)
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(QsarError, match="damaged"):
        load_qsar(tmp_path)
    (tmp_path / "model.json").write_text(json.dumps({"format": "other"}))
    with pytest.raises(QsarError, match="not a QSAR model"):
        load_qsar(tmp_path)
    (tmp_path / "model.json").write_text(json.dumps({"format": "molgen-qsar", "version": 99}))
    with pytest.raises(QsarError, match="format 99"):
        load_qsar(tmp_path)


@pytest.mark.parametrize("unit", [1.0, 1e-3, 1e-9, 1e6])
def test_the_print_out_shows_errors_in_any_unit(forest, unit, monkeypatch):
    errors = forest.metrics.assign(
        **{c: forest.metrics[c] * unit for c in ("estimate", "lower", "upper")}
    )
    monkeypatch.setattr(type(forest), "metrics", property(lambda model: errors))
    shown = str(forest)
    row = next(line.split() for line in shown.splitlines() if line.split()[:1] == ["rmse"])
    wanted = errors.set_index("metric").loc["rmse", ["estimate", "lower", "upper"]]
    assert np.allclose([float(v) for v in row[1:]], wanted.astype(float), rtol=6e-3)
