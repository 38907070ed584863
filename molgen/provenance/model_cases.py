"""Cases of what is trained, saved, sampled and audited: models, precedent, QSAR, batches.

Values are those of safetensors, scikit-learn, RDKit and NumPy on the same data, the closed form of
differential privacy's one step, or counted by hand.
"""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rdkit import Chem
from rdkit.Chem import Descriptors, rdFingerprintGenerator, rdMolDescriptors

import molgen
from molgen.provenance.kit import Case
from molgen.sampling.likelihood import negative_log_likelihood

BENZENES = [f"c1ccccc1{'C' * n}{end}" for n in range(1, 31) for end in ("O", "N")]
XYLENES = [f"OCc1ccc(cc1){'C' * n}{end}" for n in range(1, 31) for end in ("O", "N")]
CYCLOHEXANES = [f"C1CCCCC1{'C' * n}{end}" for n in range(1, 31) for end in ("O", "N")]
MEASURED = [f"{'C' * n}{end}" for n in range(3, 18) for end in ("O", "N", "c1ccccc1", "C(=O)O")]
ASKED = ["CCCCCO", "c1ccccc1CCCC", "CCCCCCCCCC(=O)O", "CC(C)CN"]
#: Molecules of which the fragments were counted by hand: three methyls, four chlorines, two cyanos.
ARENES = [
    "Cc1ccccc1", "Cc1ccncc1", "Cc1ccsc1", "Clc1ccccc1", "Clc1ccncc1", "Clc1ccsc1", "Clc1ccco1",
    "N#Cc1ccccc1", "N#Cc1ccncc1",
]  # fmt: skip
PYRIDINE, SULFONAMIDE = "c1ccncc1", "sulfonamide"


@cache
def _scratch() -> TemporaryDirectory[str]:
    """A folder that lasts as long as the process."""
    return TemporaryDirectory(prefix="molgen-kit-")


@cache
def _trained() -> tuple[Path, Any]:
    """A small model trained for four steps on sixty molecules and two that cannot be read."""
    from molgen.model.graph_vae import ModelConfig
    from molgen.training.config import TrainingConfig

    small = ModelConfig(
        latent_dim=8, encoder_width=16, encoder_layers=1, pooling_heads=2, width=16, layers=1,
        heads=2, feedforward=32, row_dim=16, site_dim=8,
    )  # fmt: skip
    short = TrainingConfig(
        n_steps=4, batch_size=16, min_count=5, precision="float32", prior_steps=2
    )
    folder = Path(_scratch().name) / "trained"
    given = [*BENZENES, "C1CC", "CCN(C)(C)(C)C"]
    report = molgen.train(
        given, folder, seed=0, config=short, model_config=small, progress=False
    )  # fmt: skip
    return folder, report


def trained() -> dict[str, float]:
    """Molecules used and refused, and steps done, by the report and by the files."""
    folder, report = _trained()
    card = json.loads((folder / "model.json").read_text("utf-8"))
    refused = (folder / "refused.csv").read_text("utf-8").splitlines()[1:]
    return {
        "used": report.n_molecules,
        "refused": len(report.refused),
        "steps": report.steps,
        "steps in the card": card["steps"],
        "rows of refused.csv": len(refused),
    }


def _sums(tensors: dict[str, Any]) -> dict[str, float]:
    """Sum of the absolute values of the weights of each part of a model."""
    parts = {"network": 0.0, "prior": 0.0}
    for name, values in tensors.items():
        group = name.split(".")[0]
        if group in parts:
            parts[group] += float(np.abs(np.asarray(values, dtype=np.float64)).sum())
    return parts


def loaded() -> dict[str, Any]:
    """Weights of models as `load_model` gives them, and how many of 100 samples RDKit reads."""
    found: dict[str, Any] = {}
    for name in ("moses", "trained"):
        model = molgen.load_model(_trained()[0] if name == "trained" else name)
        tensors = {f"network.{k}": v.numpy() for k, v in model.network.state_dict().items()}
        if model.prior is not None:
            tensors |= {f"prior.{k}": v.numpy() for k, v in model.prior.state_dict().items()}
        found[name] = _sums(tensors)
    drawn = molgen.load_model("moses").sample(100, seed=3)
    found["read by RDKit"] = sum(Chem.MolFromSmiles(s) is not None for s in drawn)
    found["canonical"] = sum(Chem.CanonSmiles(s) == s for s in drawn)
    return found


def loaded_by_safetensors() -> dict[str, Any]:
    """The same weights by the library safetensors."""
    from safetensors.numpy import load_file

    shipped = Path(str(molgen.__file__)).parent / "models" / "moses"
    folders = {"moses": shipped, "trained": _trained()[0]}
    sums = {name: _sums(load_file(f / "model.safetensors")) for name, f in folders.items()}
    return {**sums, "read by RDKit": 100, "canonical": 100}


def exported() -> dict[str, Any]:
    """What stands in the folder of a model that was exported, and its weights."""
    from safetensors.numpy import load_file

    with TemporaryDirectory() as home:
        shared = molgen.export_model(_trained()[0], Path(home) / "shared")
        names = sorted(path.name for path in shared.iterdir())
        text = "".join(path.read_text("utf-8", "replace") for path in shared.iterdir())
        left = sum(smiles in text for smiles in BENZENES)
        return {
            "files": names,
            "weights": _sums(load_file(shared / "model.safetensors")),
            "training molecules in its files": left,
        }


def exported_by_hand() -> dict[str, Any]:
    """The two files, the weights of the folder that was exported, and no molecule."""
    from safetensors.numpy import load_file

    return {
        "files": ["model.json", "model.safetensors"],
        "weights": _sums(load_file(_trained()[0] / "model.safetensors")),
        "training molecules in its files": 0,
    }


LOG = [(50, 25_600, 1.0, 0.001, 30.0, 40.0, 200.0), (100, 51_200, 2.0, 0.002, 20.0, 30.0, 180.0),
       (150, 76_800, 3.0, 0.001, 16.0, 26.0, 170.0)]  # fmt: skip


def curves() -> list[list[float]]:
    """The lines of the picture of a run: both losses, each with its mean of three rows."""
    with TemporaryDirectory() as home:
        rows = ["step,molecules,minutes,lr,clean,blind,kl", *(",".join(map(str, r)) for r in LOG)]
        (Path(home) / "log.csv").write_text("\n".join(rows), encoding="utf-8")
        figure = molgen.plot_training(home, smooth=3)
    lines = [line for axes in figure.axes for line in axes.lines]
    return [[float(y) for y in line.get_ydata()] for line in lines]


def curves_by_hand() -> list[list[float]]:
    """The same numbers, means of neighbours by hand, and the learning rate."""
    blind, clean = [40.0, 30.0, 26.0], [30.0, 20.0, 16.0]
    return [blind, [35.0, 32.0, 28.0], clean, [25.0, 22.0, 18.0], [0.001, 0.002, 0.001]]


@cache
def _audited() -> tuple[Any, Any]:
    from molgen.training.config import TrainingConfig

    folder = Path(_scratch().name) / "audited"
    plan = TrainingConfig(n_steps=2, batch_size=16, prior_steps=0)
    run = molgen.train_audited(
        BENZENES, CYCLOHEXANES, folder, limit=1.0, piece=2, config=plan, start_from="moses",
        progress=False,
    )  # fmt: skip
    return run, molgen.load_model(folder)


def audited() -> dict[str, float]:
    """Area under the curve of the stronger attack, by the run that stops at an audit."""
    run, _ = _audited()
    last = run.history.iloc[-1]
    return {"steps": int(last["steps"]), "AUC": float(last["auc"])}


def audited_by_sklearn() -> dict[str, float]:
    """The same from the model's likelihoods by scikit-learn."""
    areas = [_area(_audited()[1], given, CYCLOHEXANES) for given in ("nothing", "posterior")]
    return {"steps": 2, "AUC": max(areas)}


def _area(model: Any, given: str, others: list[str]) -> float:
    from sklearn.metrics import roc_auc_score

    nll = [negative_log_likelihood(model, x, given) for x in (BENZENES, others)]
    scores = -np.concatenate(nll)
    scores[np.isnan(scores)] = -1e9  # what the model cannot write is no member
    return float(roc_auc_score(np.repeat([1, 0], [len(x) for x in nll]), scores))


def attacked() -> float:
    """AUC of the attack by likelihood without a latent, in the audit of a model."""
    report = molgen.audit(
        _trained()[0], BENZENES, XYLENES, n_samples=100, shadow_models=0, canaries=0, series=0
    )
    table = report.table
    chosen = table[(table["measure"] == "AUC") & (table["subject"] == "likelihood without latent")]
    return float(chosen["estimate"].iloc[0])


def attacked_by_sklearn() -> float:
    """The same from the model's likelihoods by scikit-learn."""
    return _area(molgen.load_model(_trained()[0]), "nothing", XYLENES)


@cache
def _private() -> Any:
    from molgen.training.private_run import PrivateConfig

    plan = PrivateConfig(n_steps=1, batch_size=6)
    return molgen.train_privately(
        BENZENES, Path(_scratch().name) / "private", epsilon=2.0, delta=1e-3, config=plan, seed=1,
        progress=False,
    )  # fmt: skip


def private() -> dict[str, float]:
    """Epsilon spent by one private step, the rate of its sampling, and its molecules."""
    report = _private()
    return {
        "epsilon": report.epsilon,
        "sampling rate": report.sampling_rate,
        "molecules": report.n_molecules + report.set_aside,
    }


def private_by_formula() -> dict[str, float]:
    """The epsilon of one step by its closed form (see :func:`one_step_delta`)."""
    from scipy.optimize import brentq

    report = _private()
    rate, noise = 6 / report.n_molecules, report.noise_multiplier

    def excess(epsilon: float) -> float:
        return one_step_delta(epsilon, rate, noise) - report.delta

    return {"epsilon": brentq(excess, 1e-6, 50.0), "sampling rate": rate, "molecules": 60}


def one_step_delta(epsilon: float, rate: float, noise: float) -> float:
    """The delta of one step of the sampled Gaussian mechanism, exactly.

    With sensitivity 1, the outputs with and without a molecule are (1 - q) N(0, s^2) + q N(1, s^2)
    and N(0, s^2); delta is the larger of the two hockey-stick divergences, whose integrands change
    their sign once.
    """
    from scipy.stats import norm

    grown = math.exp(epsilon)
    at = noise**2 * math.log((grown - 1 + rate) / rate) + 0.5
    mixed = (1 - rate) * norm.sf(at / noise) + rate * norm.sf((at - 1) / noise)
    removed = mixed - grown * norm.sf(at / noise)
    ratio = (1 / grown - 1 + rate) / rate
    added = 0.0
    if ratio > 0:
        at = noise**2 * math.log(ratio) + 0.5
        mixed = (1 - rate) * norm.cdf(at / noise) + rate * norm.cdf((at - 1) / noise)
        added = norm.cdf(at / noise) - grown * mixed
    return float(max(removed, added))


@cache
def _balanced() -> Any:
    return molgen.sample_balanced(molgen.load_model("moses"), {PYRIDINE: 0.5, SULFONAMIDE: 0.25}, 8)


def balanced() -> dict[str, Any]:
    """Which of eight molecules have a pyridine or a sulfonamide, and whether shares are met."""
    table = _balanced()
    names = (PYRIDINE, SULFONAMIDE)
    shares = {f"enough {n}": float(table[n].mean() >= s) for n, s in zip(names, (0.5, 0.25))}
    return {**{n: [float(v) for v in table[n]] for n in names}, **shares, "molecules": len(table)}


def balanced_by_rdkit() -> dict[str, Any]:
    """The same by RDKit's substructure search."""
    mols = [Chem.MolFromSmiles(s) for s in _balanced()["smiles"]]
    queries = {PYRIDINE: PYRIDINE, SULFONAMIDE: "S(=O)(=O)N"}
    found: dict[str, Any] = {
        name: [float(m.HasSubstructMatch(Chem.MolFromSmarts(q))) for m in mols]
        for name, q in queries.items()
    }
    enough = {f"enough {name}": 1.0 for name in queries}
    return {**found, **enough, "molecules": 8}


@cache
def _batched() -> Any:
    plan = {
        "n": 40, "seed": 5, "filters": "veber", "workers": 0, "properties": ["mw", "tpsa"],
        "report": False,
    }  # fmt: skip
    import pandas as pd

    with TemporaryDirectory() as home:
        done = molgen.run_batch(plan, Path(home) / "batch")
        return pd.read_csv(done.folder / "molecules.csv")


def batched() -> dict[str, Any]:
    """Weights and surfaces of a batch of forty molecules, and how many differ."""
    table = _batched()
    return {
        "molecules": len(table),
        "different": len(set(table["smiles"])),
        "mw": [float(v) for v in table["mw"]],
        "tpsa": [float(v) for v in table["tpsa"]],
    }


def batched_by_rdkit() -> dict[str, Any]:
    """The same by RDKit, counted over those within Veber's limits by RDKit."""
    mols = [Chem.MolFromSmiles(s) for s in _batched()["smiles"]]
    within = [
        m
        for m in mols
        if rdMolDescriptors.CalcNumRotatableBonds(m) <= 10 and rdMolDescriptors.CalcTPSA(m) <= 140
    ]
    return {
        "molecules": len(within),
        "different": len({Chem.MolToSmiles(m) for m in mols}),
        "mw": [rdMolDescriptors._CalcMolWt(m) for m in mols],
        "tpsa": [rdMolDescriptors.CalcTPSA(m) for m in mols],
    }


def precedent() -> dict[str, dict[str, float]]:
    """How often each group was met in nine arenes: by the table, and by the table read again."""
    with TemporaryDirectory() as home:
        file = Path(home) / "precedent.zip"
        made = molgen.build_precedent(ARENES, file, least=2)
        again = molgen.load_precedent(file)
        return {
            name: {text: table.parts(1).count_of(text) for text in ("*C", "*Cl", "*C#N", "*Br")}
            for name, table in (("made", made), ("read again", again))
        }


@cache
def _fitted() -> tuple[list[float], list[float]]:
    """Predictions of a forest, fitted and read again; exact bits and descriptors are RDKit's."""
    values = [len(s) / 3 + s.count("O") for s in MEASURED]
    fitted = molgen.fit_qsar(
        MEASURED, values, model="random_forest", features=["ecfp", "descriptors"], n_folds=2,
        splitter="random", seed=4, n_trees=30,
    )  # fmt: skip
    with TemporaryDirectory() as home:
        fitted.save(Path(home) / "model")
        again = molgen.load_qsar(Path(home) / "model")
        first, second = (m.predict(ASKED)["prediction"].tolist() for m in (fitted, again))
    return first, second


def fitted() -> dict[str, list[float]]:
    """Predictions of the model fitted, and of the model saved and read again."""
    first, second = _fitted()
    return {"fitted": first, "read again": second}


def fitted_by_sklearn() -> dict[str, list[float]]:
    """scikit-learn's own forest on RDKit's fingerprints and descriptors."""
    from sklearn.ensemble import RandomForestRegressor

    def features(smiles: list[str]) -> np.ndarray:
        generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
        functions = [function for name, function in Descriptors.descList if name != "Ipc"]
        rows = []
        for text in smiles:
            mol = Chem.MolFromSmiles(text)
            counts = generator.GetCountFingerprintAsNumPy(mol)
            rows.append(np.concatenate([counts, [float(f(mol)) for f in functions]]))
        return np.clip(np.nan_to_num(np.array(rows)), -1e6, 1e6).astype(np.float32)

    canonical = [Chem.CanonSmiles(s) for s in MEASURED]
    forest = RandomForestRegressor(30, max_features=0.33, random_state=4)
    forest.fit(features(canonical), [len(s) / 3 + s.count("O") for s in MEASURED])
    expected = forest.predict(features([Chem.CanonSmiles(s) for s in ASKED])).tolist()
    return {"fitted": expected, "read again": expected}


def cases() -> tuple[Case, ...]:
    """Every case of this module."""
    rdkit, by_hand = "RDKit, computed now", "counted by hand"
    sklearn = "scikit-learn, computed now"
    groups = {"*C": 3, "*Cl": 4, "*C#N": 2, "*Br": 0}
    return (
        Case("a model trained", "models", trained,
             {"used": 60, "refused": 2, "steps": 4, "steps in the card": 4,
              "rows of refused.csv": 2}, by_hand, 0,
             "60 molecules and two that cannot be, four steps of 16"),
        Case("weights and samples", "models", loaded, loaded_by_safetensors,
             "safetensors and RDKit, computed now", 1e-3, "the model moses, and one trained now"),
        Case("a model exported", "models", exported, exported_by_hand,
             "safetensors, computed now, and counted by hand", 1e-9),
        Case("the curve of a run", "models", curves, curves_by_hand, by_hand, 1e-12),
        Case("training that stops at an audit", "audit", audited, audited_by_sklearn, sklearn, 1e-6,
             "60 members, 60 others, two steps"),
        Case("an attack on a model", "audit", attacked, attacked_by_sklearn, sklearn, 1e-9,
             "60 members, 60 others"),
        Case("privacy of one step", "audit", private, private_by_formula,
             "closed form of the sampled Gaussian mechanism, evaluated with SciPy",
             {"epsilon": 0.02, "sampling rate": 1e-12, "molecules": 0},
             "the accountant rounds upwards, by no more than the tolerance"),
        Case("classes in a balanced sample", "models", balanced, balanced_by_rdkit, rdkit, 0),
        Case("a batch", "models", batched, batched_by_rdkit, rdkit, 1e-6,
             "forty molecules within Veber's limits"),
        Case("precedent counted", "models", precedent, {"made": groups, "read again": groups},
             by_hand, 0, "nine arenes"),
        Case("a forest fitted", "qsar", fitted, fitted_by_sklearn, sklearn, 1e-9,
             "60 molecules, 30 trees"),
    )  # fmt: skip
