"""The audit of trained models: an overfitted one is caught, and every attack means what it says."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

import molgen
from molgen.auditing import canaries, inversion, shadows
from molgen.auditing.membership import gather_evidence, measure_membership, model_attacks
from molgen.auditing.sets import read_sets
from molgen.cli import app
from molgen.sampling.model_processes import SideBySide
from molgen.training.whole_run import train
from tests.molgen.conftest import QUICK, SMALL
from tests.molgen.test_motifs import read


@pytest.fixture(scope="module")
def moses() -> list[str]:
    return read("moses_sample")


@pytest.fixture(scope="module")
def overfitted(moses, tmp_path_factory):
    """A model that saw its 100 molecules 150 times."""
    folder = tmp_path_factory.mktemp("overfitted") / "model"
    config = replace(
        QUICK, n_steps=150, batch_size=100, min_count=1, learning_rate=8e-3, any_order=0.1,
        average=0.9, prior_steps=0,
    )  # fmt: skip
    train(moses[:100], folder, config=config, model_config=SMALL, progress=False)
    return molgen.load_model(folder)


def by_name(measures) -> dict[tuple[str, str], str]:
    return {(m.measure, m.subject): m.verdict for m in measures}


def test_an_overfitted_model_is_caught(overfitted, moses) -> None:
    report = molgen.audit(
        overfitted, moses[:100], moses[1000:1300], n_samples=1_000, shadow_models=0, canaries=0,
        series=0,
    )  # fmt: skip
    assert not report.passed
    seen = by_name(report.measures)
    assert seen["exact copies", "all"] == "fail"
    for attack in ("likelihood without latent", "evidence lower bound", "nearest sample"):
        assert seen["AUC", attack] == "fail"
    assert report.measure("AUC", "likelihood without latent").interval.lower > 0.8
    assert "weights" in report.measure("AUC", "evidence lower bound").attacker
    assert "black box" in report.measure("AUC", "nearest sample").attacker


def test_swapped_labels_are_caught_by_likelihood(overfitted, moses) -> None:
    inside, outside, _ = read_sets(moses[1000:1100], moses[:100])
    evidence = [gather_evidence(overfitted, x) for x in (inside, outside)]
    measures = measure_membership(model_attacks(*evidence))
    swapped = {m.subject for m in measures if m.measure == "AUC with labels swapped"}
    assert "likelihood without latent" in swapped
    assert all(m.verdict == "fail" for m in measures if m.measure == "AUC with labels swapped")


@pytest.mark.long
def test_molecules_that_the_model_never_saw_cannot_be_told_apart(small_model, moses) -> None:
    """Both halves unseen: a sound attack is a coin, on the posterior that learns labels too."""
    inside, outside, _ = read_sets(moses[1000:1600], moses[1600:2200])
    evidence = [gather_evidence(small_model, x) for x in (inside, outside)]
    measures = measure_membership(model_attacks(*evidence))
    areas = {m.subject: m.interval for m in measures if m.measure == "AUC"}
    assert len(areas) == 5
    for name, area in areas.items():
        assert abs(area.estimate - 0.5) < 0.055, name  # 3.3 standard errors
    assert not any(m.verdict == "fail" for m in measures)


@pytest.mark.long
def test_posterior_attack_finds_a_trace_that_is_there(small_model, moses) -> None:
    inside, outside, _ = read_sets(moses[1000:1300], moses[1600:1900])
    evidence = [gather_evidence(small_model, x) for x in (inside, outside)]
    evidence[0].logvar[:, 3] -= 2 * evidence[0].logvar[:, 3].std()
    attack = model_attacks(*evidence)[-1]
    assert attack.name == "posterior"
    assert np.mean(attack.members[:, None] > attack.others[None, :]) > 0.8


def test_what_sets_apart_by_themselves_is_no_leak_of_the_model(small_model, moses) -> None:
    """Members with two rings, unseen molecules with four: any encoder tells them apart."""
    from rdkit.Chem.rdMolDescriptors import CalcNumRings

    from molgen.chem.parsing import parse

    rings = [CalcNumRings(parse(s)) for s in moses]
    few, many = ([s for s, n in zip(moses, rings) if n in kind] for kind in ((1, 2), (4, 5)))
    inside, outside, _ = read_sets(few[:300], many[:300])
    evidence = [gather_evidence(small_model, x) for x in (inside, outside)]
    measures = {
        m.measure: m
        for m in measure_membership(model_attacks(*evidence))
        if m.subject == "posterior"
    }
    assert measures["AUC"].interval.estimate > 0.9
    assert measures["AUC without the model"].interval.estimate > 0.8
    assert "draw both sets at random" in measures["AUC without the model"].reading
    assert measures["AUC"].baseline == measures["AUC without the model"].interval.estimate
    assert measures["AUC"].threshold == pytest.approx(measures["AUC"].baseline + 0.05)


def test_processes_change_nothing_and_one_that_dies_is_told(small_model, moses) -> None:
    assert small_model.folder is not None
    inside, _, _ = read_sets(moses[:50], moses[1000:1060])
    log: list[tuple[str, float, float]] = []
    found = []
    for n in (1, 2):
        with SideBySide(small_model, n, lambda *row: log.append(row)) as parts:
            found.append(parts.ask("membership", gather_evidence, inside, seed=3)())
    for name in ("blind", "elbo", "logvar", "control_mean", "reconstruction"):
        assert np.array_equal(getattr(found[0], name), getattr(found[1], name), equal_nan=True)
    assert [name for name, _, _ in log] == ["membership", "membership"]
    assert min(used for _, _, used in log) > 0
    with SideBySide(small_model, 2, lambda *row: None) as parts:
        result = parts.ask("canaries", die)
        with pytest.raises(RuntimeError, match=r"ended during canaries .*n_jobs=1"):
            result()


def die(model: object) -> None:
    """What a process does that is killed for its memory."""
    os.kill(os.getpid(), signal.SIGKILL)


# ---- shadows -------------------------------------------------------------------------------------
def test_shadow_attacks_take_difficulty_away() -> None:
    """Members are a little likelier than they should be, in a sea of easy and hard molecules."""
    rng = np.random.default_rng(2)
    n = 1_000
    difficulty = rng.normal(-30, 10, 2 * n)
    target = difficulty + rng.normal(0, 1, 2 * n)
    target[:n] += 1.5
    trained = np.array([np.arange(2 * n) % 2 == k % 2 for k in range(4)])
    scores = 0.5 * difficulty - 10 + rng.normal(0, 0.5, (4, 2 * n))  # on another scale
    target[7] = -np.inf
    attacks = shadows.shadow_attacks(target, n, shadows.ShadowScores(scores, trained))
    areas = [m.interval.estimate for m in measure_membership(attacks) if m.measure == "AUC"]
    plain = np.mean(target[:n, None] > target[None, n:])
    assert plain < 0.56
    assert [a.name[:4] for a in attacks] == ["LiRA", "RMIA"]
    assert min(areas) > 0.75
    assert len(attacks[1].others) == n - 200  # the population is not scored


def test_shadow_attacks_are_coins_without_a_leak() -> None:
    rng = np.random.default_rng(3)
    difficulty = rng.normal(-30, 10, 1_000)
    trained = np.array([np.arange(1_000) % 2 == k % 2 for k in range(2)])
    scores = difficulty + rng.normal(0, 2, (2, 1_000)) + 0.7 * trained
    target = difficulty + rng.normal(0, 2, 1_000)
    attacks = shadows.shadow_attacks(target, 500, shadows.ShadowScores(scores, trained))
    for m in measure_membership(attacks):
        if m.measure == "AUC":
            assert m.interval.lower < 0.5 < m.interval.upper


def test_shadow_models_are_trained_on_complementary_halves(small_model, moses) -> None:
    inside, outside, _ = read_sets(moses[:100], moses[1000:1100])
    plan = shadows.plan_shadows(small_model, inside, outside, 2)
    found = [
        shadows.score_with_shadow(small_model, plan.table, rows, 8, seed)
        for rows, seed in zip(plan.chosen, plan.seeds)
    ]
    scores = shadows.gather_scores(plan, found)
    writable = np.isfinite(scores.scores).all(axis=0)
    assert writable.mean() > 0.6
    assert (scores.trained.sum(axis=0) == writable).all()
    with pytest.raises(ValueError, match="shadow_models is 3"):
        shadows.plan_shadows(small_model, inside, outside, 3)
    with pytest.raises(ValueError, match="expected the same"):
        shadows.ShadowScores(np.zeros((2, 3)), np.zeros((2, 4), dtype=bool))


# ---- canaries and inversion ----------------------------------------------------------------------
def test_canaries_planted_often_are_exposed(small_model, moses) -> None:
    inside, outside, _ = read_sets(moses[:300], moses[1000:1300])
    measures = canaries.measure_canaries(
        small_model, inside, outside, n_each=3, n_steps=60, n_samples=200
    )
    bits = {m.subject: m.interval for m in measures if m.measure == "exposure"}
    assert list(bits) == ["planted 1 ×", "planted 4 ×", "planted 16 ×"]
    assert bits["planted 16 ×"].estimate > 5  # of at most 7.4
    assert bits["planted 16 ×"].estimate > bits["planted 1 ×"].estimate
    assert {m.measure for m in measures} == {
        "exposure", "extraction by sampling", "extraction by prefix",
    }  # fmt: skip


def test_canaries_are_new_writable_and_the_same_for_a_seed(small_model, moses) -> None:
    inside, outside, _ = read_sets(moses[:300], moses[1000:1300])
    made = canaries.make_canaries(small_model, inside, outside, n=40, seed=4)
    assert len(set(made)) == 40
    assert not set(made) & {*inside.smiles, *outside.smiles}
    assert made == canaries.make_canaries(small_model, inside, outside, n=40, seed=4)
    ratio = shadows.likelihood_ratio(small_model, small_model, made)
    assert np.isfinite(ratio).all()
    assert np.abs(ratio).max() < 1e-6  # a model has no advantage over itself


def test_exposure_is_the_rank_among_siblings(small_model, moses) -> None:
    """With the audited model itself as the result of the run, nobody stands out."""
    run = canaries.CanaryRun(
        tuple(moses[1000:1003]), np.array([1, 4, 16]), tuple(moses[1010:1040]), small_model
    )
    bits = canaries.exposure(small_model, run)
    assert ((bits >= 0) & (bits <= np.log2(31))).all()


def test_inversion_of_series(small_model) -> None:
    core, other = "c1ccc(-c2ccccn2)cc1", "c1ccc(C2CCNCC2)cc1"
    ends = ["C", "F", "Cl", "OC", "N"]
    secret = [core.replace("c1ccc(", f"c1c({e})cc(", 1) for e in ends]
    unseen = [other.replace("c1ccc(", f"c1c({e})cc(", 1) for e in ends]
    filler = read("moses_sample")
    inside, outside, _ = read_sets([*secret, *filler[:60]], [*unseen, *filler[100:160]])
    found = inversion.series_of(inside, outside, 2)
    assert found[0][0] == core
    assert len(found[0][1]) == len(ends)
    measures = inversion.measure_inversion(small_model, inside, outside, n_series=2)
    assert measures[0].verdict == "note"
    assert "3 are needed" in measures[0].reading


SMALL_ENDS = ("C", "F", "Cl", "O", "N")


def _series(cores: list[str], ends: tuple[str, ...] = SMALL_ENDS) -> list[str]:
    return [c.replace("X", e) for c in cores for e in ends]


SECRET = _series(["Xc1ccc(-c2ccccc2)cc1", "Xc1ccc(-c2cccnc2)cc1", "Xc1ccc(C2CC2)cc1"])
UNSEEN = _series(["Xc1ccc(-c2ccccn2)cc1", "Xc1ccc(-c2ccsc2)cc1", "Xc1ccc(C2CCC2)cc1"])


def test_inversion_compares_secret_with_unseen_series(small_model) -> None:
    filler = read("moses_sample")
    inside, outside, _ = read_sets([*SECRET, *filler[:50]], [*UNSEEN, *filler[100:150]])
    (measure,) = inversion.measure_inversion(
        small_model, inside, outside, n_series=3, n_draws=256, n_profiles=0
    )
    assert measure.subject == "given the scaffold"
    assert "of 15 members" in measure.reading
    assert measure.verdict == "pass"  # the model saw neither
    assert measure.interval.lower <= measure.interval.estimate <= measure.interval.upper


@pytest.mark.long
def test_inversion_brings_out_what_a_model_has_learned_by_heart(moses, tmp_path) -> None:
    """Three secret series, seen 150 times: their scaffold, or their range of weight, logP and
    TPSA alone, brings members out. Series that were never seen stay in: their substituents are
    others, which the model has not met on such scaffolds."""
    ends = ("CS", "N#C", "FC(F)(F)", "NC(=O)", "CCO")
    unseen = _series(["Xc1ccc(-c2ccccn2)cc1", "Xc1ccc(-c2ccsc2)cc1", "Xc1ccc(C2CCC2)cc1"], ends)
    config = replace(
        QUICK, n_steps=150, batch_size=65, min_count=1, learning_rate=8e-3, average=0.9,
        prior_steps=0,
    )  # fmt: skip
    members = [*SECRET, *moses[:50]]
    train(members, tmp_path / "m", config=config, model_config=SMALL, progress=False)
    inside, outside, _ = read_sets(members, [*unseen, *moses[100:150]])
    measures = inversion.measure_inversion(
        molgen.load_model(tmp_path / "m"), inside, outside, n_series=3, n_draws=128, n_profiles=2
    )
    assert [m.subject for m in measures] == ["given the scaffold", "given the property profile"]
    for m in measures:
        assert m.verdict == "fail", m.reading
        assert m.interval.estimate > 0.2
        assert "draws a series" in m.reading
    assert "weight, logP and TPSA" in measures[1].attacker


# ---- the command ---------------------------------------------------------------------------------
def test_command(tmp_path, moses) -> None:
    for name, rows in (("in", moses[:120]), ("out", moses[200:320]), ("made", moses[:150])):
        (tmp_path / f"{name}.smi").write_text("\n".join(rows))
    arguments = ["audit", "--members", str(tmp_path / "in.smi"), "--non-members"]
    made = ["--generated", str(tmp_path / "made.smi")]
    page, data = tmp_path / "a.html", tmp_path / "a.json"
    result = CliRunner().invoke(
        app, [*arguments, str(tmp_path / "out.smi"), *made, "-o", str(page), "--json", str(data)]
    )
    assert result.exit_code == 1, result.output
    assert "did NOT pass" in result.output
    assert page.is_file()
    assert data.is_file()
    result = CliRunner().invoke(app, [*arguments, str(tmp_path / "in.smi"), *made])
    assert result.exit_code == 2
    assert "both members and non-members" in result.output
    result = CliRunner().invoke(app, [*arguments, str(tmp_path / "out.smi"), "-m", "mosess"])
    assert result.exit_code == 2
    assert "no model at 'mosess'" in result.output
