"""molgen: a motif-tree graph VAE proposes molecules, and chemistry chooses among them.

The modules, in the order in which data flows:

    chem, standardization    the border with RDKit: parse, salts and charges, scaffolds
    motifs        molecule <-> motif tree; vocabulary; assembly
    datasets      MOSES and user files, splits, hashes, cache
    tensors       motif trees as flat arrays and as batches
    model         GraphVAE: graph encoder, motif-tree decoder, latent prior
    training      loop, schedules, checkpoints, resume
    generation    prior, near, interpolate, scaffold and conditional sampling
    properties, filters, scoring, qsar, admet    what a molecule is worth, and why one is refused
    optimization  goal-directed search
    evaluation, auditing MOSES metrics; memorisation, membership inference, utility
    drawing, report, batch, cli    pictures, HTML, long runs, commands

Names are imported on first use, so that ``import molgen`` stays fast.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_HOMES = {
    "load_model": "generation.generator",
    "GraphVAE": "model.graph_vae",
    "train": "training.whole_run",
    "plot_training": "training.learning_curve",
    "train_audited": "auditing.early_stopping",
    "train_privately": "training.private_run",
    "thin": "training.thinning",
    "load_dataset": "files.datasets",
    "read_molecules": "files.datasets",
    "standardize": "chem.standardization",
    "describe": "chem.properties",
    "filter_molecules": "filters.filter_sets",
    "Filter": "filters.filter_sets",
    "FilterSet": "filters.filter_sets",
    "Objective": "scoring.objectives",
    "Component": "scoring.objectives",
    "score": "scoring.objectives",
    "fit_qsar": "qsar.model",
    "load_qsar": "qsar.saved",
    "optimize": "optimization.goal_directed",
    "sample_balanced": "generation.balancing",
    "compare_analogues": "report.analogues",
    "draw_pairs": "report.analogues",
    "draw_path": "report.analogues",
    "evaluate": "evaluation.metrics",
    "audit": "auditing",
    "audit_samples": "auditing",
    "draw": "report.drawing",
    "run_batch": "batch.running",
    "verify": "provenance",
}

try:
    __version__ = version("digital-double")
except PackageNotFoundError:  # imported from a source tree that was never installed
    __version__ = "0+unknown"

__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(f"molgen.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'molgen' has no attribute {name!r}; it has: {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__
