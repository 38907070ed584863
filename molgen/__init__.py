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
    "load_model": "generation",
    "GraphVAE": "model",
    "train": "training",
    "plot_training": "learning_curve",
    "train_audited": "protection",
    "train_privately": "private_training",
    "thin": "protection",
    "load_dataset": "datasets",
    "read_molecules": "datasets",
    "standardize": "standardization",
    "describe": "properties",
    "filter_molecules": "filters",
    "Filter": "filters",
    "FilterSet": "filters",
    "Objective": "scoring",
    "Component": "scoring",
    "score": "scoring",
    "fit_qsar": "qsar",
    "load_qsar": "qsar_files",
    "optimize": "optimization",
    "sample_balanced": "balancing",
    "compare_analogues": "analogues",
    "draw_pairs": "analogues",
    "draw_path": "analogues",
    "evaluate": "evaluation",
    "audit": "auditing",
    "audit_samples": "auditing",
    "draw": "drawing",
    "run_batch": "batch",
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
