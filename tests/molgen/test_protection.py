"""Training that protects: the accountant's published values, clipping, thinning, early stopping."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import gammaln, logsumexp
from typer.testing import CliRunner

import molgen
from molgen.auditing.early_stopping import train_audited
from molgen.cli import app
from molgen.motifs.atom_graphs import motif_numbers, writable
from molgen.motifs.tree_tables import build_table
from molgen.training import privacy_accountant as accountant
from molgen.training.config import TrainingConfig
from molgen.training.private_run import (
    PrivateConfig,
    _PrivateRun,
    clipped_gradient,
    train_privately,
)
from molgen.training.step import draw_shards, shard_loss
from molgen.training.thinning import thin
from tests.molgen.conftest import QUICK, SMALL
from tests.molgen.test_motifs import read


@pytest.fixture(scope="module")
def moses() -> list[str]:
    return read("moses_sample")


# ---- the accountant ------------------------------------------------------------------------------
def renyi_epsilon(q: float, sigma: float, n_steps: int, delta: float) -> float:
    """Epsilon by Renyi accounting of the sampled Gaussian (Mironov, Talwar and Zhang 2019,
    section 3.3) with the conversion of Canonne, Kamath and Steinke (2020): an upper bound."""
    best = math.inf
    for a in range(2, 129):
        k = np.arange(a + 1)
        terms = gammaln(a + 1) - gammaln(k + 1) - gammaln(a - k + 1)
        terms = terms + (a - k) * math.log1p(-q) + k * math.log(q) + (k * k - k) / (2 * sigma**2)
        divergence = n_steps * float(logsumexp(terms)) / (a - 1)
        best = min(
            best, divergence + math.log1p(-1 / a) - (math.log(delta) + math.log(a)) / (a - 1)
        )
    return best


def test_the_accountant_lies_below_renyi_accounting_and_near_it() -> None:
    # Abadi et al. (2016), section 3.2: q .01, sigma 4, 10,000 steps: (1.26, 1e-5)
    assert 0.9 < accountant.epsilon_spent(0.01, 4, 10_000, 1e-5) < 1.26
    for q, sigma, n_steps in ((0.01, 4, 10_000), (0.02, 1, 500), (0.2, 2, 50)):
        spent = accountant.epsilon_spent(q, sigma, n_steps, 1e-5)
        bound = renyi_epsilon(q, sigma, n_steps, 1e-5)
        assert 0.85 * bound < spent < bound


def test_the_bound_holds_where_the_truth_is_known() -> None:
    """One step without sampling is the Gaussian mechanism, whose delta is known exactly."""
    from scipy.stats import norm

    for sigma in (0.7, 1.0, 3.0):
        epsilon = accountant.epsilon_spent(1, sigma, 1, 1e-5)
        exact = norm.cdf(0.5 / sigma - epsilon * sigma) - math.exp(epsilon) * norm.cdf(
            -0.5 / sigma - epsilon * sigma
        )
        assert 1e-6 < exact <= 1e-5


def test_more_noise_and_fewer_steps_spend_less() -> None:
    spent = [accountant.epsilon_spent(0.02, s, 500, 1e-5) for s in (0.6, 1.0, 2.0)]
    assert spent == sorted(spent, reverse=True)
    assert accountant.epsilon_spent(0.02, 1, 0, 1e-5) == 0
    for epsilon in (0.5, 3.0, 20.0):
        sigma = accountant.noise_for(epsilon, 1e-5, 0.02, 500)
        assert 0.98 * epsilon < accountant.epsilon_spent(0.02, sigma, 500, 1e-5) <= epsilon


def test_wrong_settings_of_the_accountant() -> None:
    with pytest.raises(ValueError, match="sampling_rate is 2"):
        accountant.epsilon_spent(2, 1, 10, 1e-5)
    with pytest.raises(ValueError, match="delta is 0"):
        accountant.epsilon_spent(0.1, 1, 10, 0)
    with pytest.raises(ValueError, match="epsilon is -1"):
        accountant.noise_for(-1, 1e-5, 0.1, 10)
    with pytest.raises(ValueError, match="noise_multiplier is -1"):
        accountant.epsilon_spent(0.1, -1, 10, 1e-5)


# ---- DP-SGD --------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def shards(small_model, moses):
    table, _, _ = build_table(moses[:40])
    network = small_model.network
    keep = np.flatnonzero(writable(table, network.vocabulary, network.config.max_motifs))[:12]
    motif = motif_numbers(table, network.vocabulary)
    return draw_shards(network, table, motif, keep, TrainingConfig(), (3, 0), len(keep))


def test_gradients_are_of_one_molecule_each_and_clipped(small_model, shards) -> None:
    network = small_model.network
    parameters = list(network.parameters())
    whole = [torch.zeros_like(p) for p in parameters]
    for shard in shards:
        free, cut = clipped_gradient(network, parameters, shard, 1e9, 0.003)
        assert not cut
        torch._foreach_add_(whole, free)
        short, cut = clipped_gradient(network, parameters, shard, 0.5, 0.003)
        assert cut
        length = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(short)))
        assert float(length) == pytest.approx(0.5, rel=1e-4)
    losses = torch.stack([shard_loss(network, s, 0.003, False)[0] for s in shards]).sum()
    expected = torch.autograd.grad(losses * len(shards), parameters)
    for one, other in zip(whole, expected):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_the_noise_has_the_size_that_was_accounted_for(small_model, moses) -> None:
    """Without gradients (clipped to next to nothing) only noise is left in the first step."""
    table, _, _ = build_table(moses[:60])
    usable = np.flatnonzero(writable(table, small_model.network.vocabulary, 40))
    config = PrivateConfig(batch_size=4, clip=1e-6)
    run = _PrivateRun(small_model.network, table, usable, config, noise=1e6, seed=1)
    seen = []
    weights = dict(run.network.named_parameters())
    assert set(weights) - set(run.learned) == {"rows.weight"}  # public, and stays so
    run._optimizer.step = lambda: seen.extend(weights[n].grad.ravel() for n in run.learned)
    run.advance()
    noise = torch.cat(seen)
    assert float(noise.std()) == pytest.approx(1 / 4, rel=0.02)  # sigma x clip / batch
    assert abs(float(noise.mean())) < 0.01


def test_a_private_run(small_folder, moses, tmp_path) -> None:
    config = PrivateConfig(n_steps=6, batch_size=16)
    secret = [*moses[1_000:1_120], *moses[1_000:1_050], "not a molecule"]
    report = train_privately(
        secret, tmp_path / "m", epsilon=4, public_model=small_folder, config=config,
        progress=False, seed=7,
    )  # fmt: skip
    assert report.epsilon <= 4
    assert report.n_molecules + report.set_aside == 120
    assert report.delta == pytest.approx(0.1 / report.n_molecules)
    assert report.clipped > 0.5
    model = molgen.load_model(tmp_path / "m")
    assert len(model.sample(20, seed=0)) == 20
    privacy = model.card["privacy"]
    assert privacy["epsilon"] == report.epsilon
    assert privacy["seed_is_secret"] is False
    assert "seed" not in model.card
    text = json.dumps(model.card)
    assert not any(s in text for s in secret)
    again = train_privately(
        secret, tmp_path / "n", epsilon=4, public_model=small_folder, config=config,
        progress=False, seed=7,
    )  # fmt: skip
    assert again.noise_multiplier == report.noise_multiplier
    weights = [dict(molgen.load_model(tmp_path / x).network.named_parameters()) for x in "mn"]
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])
    public = dict(molgen.load_model(small_folder).network.named_parameters())
    moved = {k for k, v in public.items() if not torch.equal(v, weights[0][k])}
    assert moved == set(public) - {"rows.weight"}


def test_wrong_settings_of_a_private_run(small_folder, moses, tmp_path) -> None:
    with pytest.raises(ValueError, match="expected at least 256, twice batch_size"):
        train_privately(moses[:40], tmp_path / "m", epsilon=4, public_model=small_folder)
    with pytest.raises(ValueError, match="epsilon is 0"):
        train_privately(
            moses[:100], tmp_path / "m", epsilon=0, public_model=small_folder,
            config=PrivateConfig(batch_size=8),
        )  # fmt: skip
    with pytest.raises(ValueError, match="clip is 0"):
        PrivateConfig(clip=0)
    assert not (tmp_path / "m").exists()


# ---- thinning and early stopping -----------------------------------------------------------------
def test_thinning() -> None:
    same = ["c1ccccc1CC", "CCc1ccccc1", "c1ccccc1CN", "c1ccncc1C", "CCO", "CCN", "nonsense"]
    assert thin(same, by="inchikey") == [same[0], *same[2:6]]
    kept = thin(same, by="scaffold")
    assert len(kept) == 4
    assert {"c1ccncc1C", "CCO", "CCN"} < set(kept)
    assert len(thin(same, by="scaffold", most=2)) == 5
    assert any(thin(same, seed=s) != kept for s in range(8))
    with pytest.raises(ValueError, match="by is 'name'"):
        thin(same, by="name")
    with pytest.raises(ValueError, match="most is 0"):
        thin(same, most=0)


def test_early_stopping_keeps_the_last_model_within_the_limit(
    small_folder, moses, tmp_path
) -> None:
    """A hundred molecules seen again and again: the gap grows until the run is stopped."""
    config = replace(QUICK, n_steps=160, batch_size=100, learning_rate=2e-3, any_order=0.1,
                     average=0.9, prior_steps=5)  # fmt: skip
    run = train_audited(
        moses[1_000:1_100], moses[1_300:1_600], tmp_path / "m", limit=0.75, piece=20,
        config=config, start_from=small_folder, progress=False,
    )  # fmt: skip
    assert run.stopped
    history = run.history
    assert history["auc"].iloc[-1] > 0.75 >= history["auc"].iloc[:-1].max()
    assert run.n_steps == history["steps"].iloc[-2] < 160
    assert (history["lower"] <= history["auc"]).all()
    model = molgen.load_model(tmp_path / "m")
    assert model.card["steps"] == run.n_steps
    data = model.card["data"]
    assert data["refused"] == len(run.refused) == 100 - data["molecules"]
    assert model.prior is not None
    assert len(model.sample(10, seed=0)) == 10
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_early_stopping_refuses_what_cannot_be(moses, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"limit is 0\.5; expected a number above \.5"):
        train_audited(moses[:100], moses[200:300], tmp_path / "m", limit=0.5)
    with pytest.raises(ValueError, match="both members and non-members"):
        train_audited(moses[:100], moses[50:150], tmp_path / "m")
    config = replace(QUICK, n_steps=20, min_count=1)
    with pytest.raises(ValueError, match=r"after 20 steps .* above the limit"):
        # a vocabulary of its own names the members: nobody else can be written
        train_audited(
            moses[:100], moses[1_000:1_300], tmp_path / "n", piece=20, config=config,
            model_config=SMALL, progress=False,
        )  # fmt: skip
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    with pytest.raises(ValueError, match="is not empty"):
        train_audited(moses[:100], moses[200:300], tmp_path / "full")


# ---- the command ---------------------------------------------------------------------------------
def test_command(small_folder, moses, tmp_path) -> None:
    (tmp_path / "secret.smi").write_text("\n".join(moses[1_000:1_100]))
    arguments = ["train-private", str(tmp_path / "secret.smi"), "-o", str(tmp_path / "m")]
    settings = ["--public-model", str(small_folder), "--steps", "3", "--batch-size", "16"]
    result = CliRunner().invoke(app, [*arguments, "--epsilon", "5", *settings])
    assert result.exit_code == 0, result.output
    assert "epsilon" in result.output and "at delta" in result.output
    assert (tmp_path / "m" / "model.json").is_file()
    refused = CliRunner().invoke(app, [*arguments, "--epsilon", "0", *settings])
    assert refused.exit_code == 2
    assert "epsilon is 0" in refused.output


def test_command_that_stops_by_audit(small_folder, moses, tmp_path) -> None:
    (tmp_path / "secret.smi").write_text("\n".join(moses[1_000:1_100]))
    (tmp_path / "others.smi").write_text("\n".join(moses[1_300:1_500]))
    arguments = ["train-audited", str(tmp_path / "secret.smi"), "-o", str(tmp_path / "m")]
    settings = ["--from", str(small_folder), "--steps", "4", "--piece", "2", "--batch-size", "16"]
    settings += ["--prior-steps", "3", "--hold-out", str(tmp_path / "others.smi")]
    result = CliRunner().invoke(app, [*arguments, *settings, "--limit", "0.9"])
    assert result.exit_code == 0, result.output
    assert "4 steps (all steps were done)" in result.output and "auc" in result.output
    assert len(molgen.load_model(tmp_path / "m").sample(5, seed=0)) == 5
    refused = CliRunner().invoke(app, [*arguments, *settings, "--limit", "0.4"])
    assert refused.exit_code == 2 and "limit is 0.4" in refused.output
