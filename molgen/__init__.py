"""molgen: a motif-tree graph VAE proposes molecules, and chemistry chooses among them.

The rooms, from the ground up; each imports only from those above it in this list:

    base            what knows no chemistry: parallel work, arguments, random streams, whole files
    chem            the border with RDKit: parsing, standardisation, properties, fingerprints
    files           molecule files, data sets, tables, records of provenance
    filters         why a molecule is refused: rules, alerts, ring frequency, sets of filters
    motifs          molecule <-> motif tree <-> arrays; vocabulary
    qsar            learned properties: data, features, learners, calibration, saved models, ADMET
    model           the network: encoder, decoder, GraphVAE, latent prior, checkpoints
    scoring         from wishes to one number: desirability, components, objectives
    evaluation      MOSES's metrics, reference sets, ChemNet
    report          page, charts, candidate cards, drawings, analogues
    training        step, state, whole run, learning curve, private run
    sampling        the model at work: partial molecules, decoding, likelihood, processes
    precedent       what hung where in known molecules: cuts, counts, tables, proposals
    generation      a chemist's verbs: near, scaffold, link, window; the Generator
    optimization    moves, proposers, oracle, search, optimize
    batch           long runs: plan, chunks, workers, cluster, results
    auditing        what a generator gives away, and what it is worth
    provenance      verify and qualify: stand above what they make again
    cli             parses, calls one public function, prints

``dir(molgen)`` has the names of the README, the tours and most how-to pages. The others are found
in their rooms (``molgen.training``, ``molgen.report``, ``molgen.auditing``, ``molgen.scoring``),
and can be written flat, too: ``molgen.sample_balanced``.

Names are imported on first use, so that ``import molgen`` stays fast.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_HOMES = {
    "load_model": "generation.generator",
    "build_precedent": "precedent.building",
    "load_precedent": "precedent.files",
    "GraphVAE": "model.graph_vae",
    "train": "training.whole_run",
    "plot_training": "training.learning_curve",
    "train_audited": "auditing.early_stopping",
    "train_privately": "training.private_run",
    "export_model": "model.export",
    "thin": "training.thinning",
    "load_dataset": "files.datasets",
    "read_molecules": "files.datasets",
    "standardize": "chem.standardization",
    "protonate": "chem.protonation",
    "describe": "chem.description",
    "filter_molecules": "filters.filter_sets",
    "find_known": "filters.known_molecules",
    "Filter": "filters.filter_sets",
    "FilterSet": "filters.filter_sets",
    "Objective": "scoring.objectives",
    "Component": "scoring.objectives",
    "score": "scoring.objectives",
    "Docking": "scoring.docking",
    "Receptor": "scoring.docking",
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
    "view": "report.viewer",
    "run_batch": "batch.running",
    "sar": "report.sar_desk",
    "Campaign": "optimization.campaign",
    "verify": "provenance",
    "qualify": "provenance",
    "MolgenError": "base.errors",
}

try:
    __version__ = version("digital-double")
except PackageNotFoundError:  # imported from a source tree that was never installed
    __version__ = "0+unknown"

#: What ``dir(molgen)`` has of them; all others work as well.
_FRONT = (
    "Campaign", "Component", "Docking", "Filter", "FilterSet", "MolgenError", "Objective",
    "audit", "build_precedent", "compare_analogues", "describe", "draw", "draw_pairs",
    "draw_path", "evaluate", "export_model", "filter_molecules", "find_known", "fit_qsar",
    "load_dataset", "load_model", "load_qsar", "optimize", "protonate", "qualify",
    "read_molecules", "run_batch", "sar", "score", "standardize", "train", "verify", "view",
)  # fmt: skip
#: Rooms in which public names are found.
_ROOMS = (
    "auditing", "batch", "chem", "evaluation", "files", "filters", "generation", "model",
    "optimization", "precedent", "qsar", "report", "scoring", "training",
)  # fmt: skip

__all__ = sorted([*_FRONT, "__version__"])


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(f"molgen.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    if name in _ROOMS:
        return import_module(f"molgen.{name}")
    every = ", ".join(sorted([*_HOMES, *_ROOMS]))
    raise AttributeError(f"module 'molgen' has no attribute {name!r}; it has: {every}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_ROOMS])
