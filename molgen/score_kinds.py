"""What an objective can be made of: each kind of property turns SMILES into raw values.

Every descriptor of :data:`molgen.properties.DESCRIPTORS` is a kind of its own name. Beside them
stand similarity, substructures, ring rarity, structural alerts, 3D shape, QSAR and ADMET models,
Python callables and external programs. A kind knows its parameters and, where there is one, the
scale on which its values usually lie, from which an objective takes its default shapes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.resources import files
from typing import Any

import numpy as np
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from molgen.chem import MoleculeError, parse, quiet_rdkit, ring_systems
from molgen.guarded_calls import Answer, call_batch, call_each, run_program, split_command
from molgen.properties import DESCRIPTORS
from molgen.transforms import nearest_name

Evaluator = Callable[[list[str]], list[Answer]]
"""Canonical SMILES -> one answer each."""


@dataclass(frozen=True)
class Scale:
    """Where the values of a property usually lie.

    Attributes:
        low: About the 10 % quantile of the reference set.
        high: About its 90 % quantile.
        spread: Its standard deviation: the width within which a missed bound still earns credit.
        unit: True if the value is a score in [0, 1] already.
    """

    low: float
    high: float
    spread: float
    unit: bool = False


N_MOSES = 1_584_663
"""Molecules of the MOSES training set, in which ring systems were counted."""

UNIT = Scale(0.0, 1.0, 0.15, unit=True)


@dataclass(frozen=True)
class Kind:
    """A kind of property.

    Attributes:
        name: How an objective names it.
        meaning: One phrase for tables and messages.
        build: Parameters -> evaluator; checks the parameters' values.
        required: Parameters that must be given.
        optional: Parameters that may be given.
        scale: Parameters -> scale, or None where nothing is known.
    """

    name: str
    meaning: str
    build: Callable[[Mapping[str, Any]], Evaluator]
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    scale: Callable[[Mapping[str, Any]], Scale | None] = lambda parameters: None


# ---- reference distributions ---------------------------------------------------------------------
@lru_cache(maxsize=1)
def reference_quantiles() -> dict[str, Any]:
    """Quantiles of every descriptor over 10,000 MOSES training molecules, as shipped."""
    text = files("molgen").joinpath("data/descriptor_quantiles.json").read_text(encoding="utf-8")
    return json.loads(text)


def _descriptor_scale(name: str) -> Scale:
    if name == "qed":
        return UNIT
    reference = reference_quantiles()
    values = reference["quantiles"][name]
    probabilities = reference["probabilities"]
    low, high = values[probabilities.index(0.1)], values[probabilities.index(0.9)]
    spread = max(reference["standard_deviation"][name], 1e-6)
    if high <= low:  # a property that hardly varies in the reference, such as charge
        low, high, spread = low, low + 1.0, max(spread, 0.5)
    return Scale(low, high, spread)


# ---- evaluators from functions of a molecule -----------------------------------------------------
def _per_molecule(function: Callable[[Chem.Mol], float]) -> Evaluator:
    def evaluate(smiles: list[str]) -> list[Answer]:
        answers = []
        for text in smiles:
            try:
                with quiet_rdkit():
                    value = float(function(parse(text)))
            except (MoleculeError, ValueError, RuntimeError, ZeroDivisionError) as error:
                answers.append(Answer(math.nan, f"{type(error).__name__}: {error}"))
                continue
            problem = None if math.isfinite(value) else f"is {value}"
            answers.append(Answer(value if problem is None else math.nan, problem))
        return answers

    return evaluate


# ---- similarity ----------------------------------------------------------------------------------
def _morgan(radius: int, features: bool = False) -> Callable[[Chem.Mol], Any]:
    invariants = rdFingerprintGenerator.GetMorganFeatureAtomInvGen() if features else None
    generator = rdFingerprintGenerator.GetMorganGenerator(
        radius=radius, atomInvariantsGenerator=invariants
    )
    return generator.GetSparseCountFingerprint


FINGERPRINTS: dict[str, Callable[[], Callable[[Chem.Mol], Any]]] = {
    "ECFP4": lambda: _morgan(2),
    "ECFP6": lambda: _morgan(3),
    "FCFP4": lambda: _morgan(2, features=True),
    "FCFP6": lambda: _morgan(3, features=True),
    "atom_pair": lambda: (
        rdFingerprintGenerator.GetAtomPairGenerator(maxDistance=10).GetSparseCountFingerprint
    ),
    "torsion": lambda: (
        rdFingerprintGenerator.GetTopologicalTorsionGenerator().GetSparseCountFingerprint
    ),
}
"""Unfolded count fingerprints for ``similarity``, as GuacaMol has them."""


def _references(parameters: Mapping[str, Any], kind: str) -> list[Chem.Mol]:
    given = parameters["smiles"]
    texts = [given] if isinstance(given, str) else list(given)
    if not texts:
        raise ValueError(f"{kind}: smiles is empty: name at least one reference molecule")
    return [parse(text) for text in texts]


def _similarity(parameters: Mapping[str, Any]) -> Evaluator:
    name = parameters.get("fingerprint", "ECFP4")
    if name not in FINGERPRINTS:
        raise ValueError(
            f"unknown fingerprint {name!r}.{nearest_name(name, tuple(FINGERPRINTS))} "
            f"The fingerprints are: {', '.join(FINGERPRINTS)}"
        )
    compute = FINGERPRINTS[name]()
    references = [compute(mol) for mol in _references(parameters, "similarity")]
    return _per_molecule(
        lambda mol: max(DataStructs.BulkTanimotoSimilarity(compute(mol), references))
    )


def _query(parameters: Mapping[str, Any]) -> Chem.Mol:
    pattern = parameters["smarts"]
    with quiet_rdkit():
        query = Chem.MolFromSmarts(pattern) if isinstance(pattern, str) and pattern else None
    if query is None:
        raise ValueError(f"smarts {pattern!r} is not a SMARTS pattern")
    return query


def _substructure(parameters: Mapping[str, Any]) -> Evaluator:
    query = _query(parameters)
    return _per_molecule(lambda mol: float(mol.HasSubstructMatch(query)))


def _substructure_count(parameters: Mapping[str, Any]) -> Evaluator:
    query = _query(parameters)
    return _per_molecule(lambda mol: float(len(mol.GetSubstructMatches(query))))


def _shape(parameters: Mapping[str, Any]) -> Evaluator:
    """Best shape-and-colour Tanimoto over conformers, by RDKit's Gaussian shape overlay."""
    from rdkit.Chem import rdShapeAlign

    count = int(parameters.get("conformers", 5))
    seed = int(parameters.get("seed", 0))
    (reference,) = _references({"smiles": [parameters["smiles"]]}, "shape")
    fixed = _embedded(reference, 1, seed)

    def score(mol: Chem.Mol) -> float:
        moving = _embedded(mol, count, seed)
        return max(
            sum(rdShapeAlign.AlignMol(fixed, moving, probeConfId=conformer.GetId())) / 2.0
            for conformer in moving.GetConformers()
        )

    return _per_molecule(score)


def _embedded(mol: Chem.Mol, count: int, seed: int) -> Chem.Mol:
    from rdkit.Chem import rdDistGeom

    with_hydrogens = Chem.AddHs(mol)
    settings = rdDistGeom.ETKDGv3()
    settings.randomSeed = seed + 1  # type: ignore[assignment]
    settings.maxIterations = 50  # type: ignore[assignment]
    if not len(rdDistGeom.EmbedMultipleConfs(with_hydrogens, count, settings)):
        raise ValueError("no three-dimensional structure could be built")
    return Chem.RemoveHs(with_hydrogens)


# ---- rings and alerts ----------------------------------------------------------------------------
def _ring_rarity(parameters: Mapping[str, Any]) -> Evaluator:
    from molgen.rings import moses_ring_counts

    counts = moses_ring_counts()

    def score(mol: Chem.Mol) -> float:
        systems = set(ring_systems(mol))
        return max(
            (math.log10((N_MOSES + 1) / (counts.get(s, 0) + 1)) for s in systems), default=0.0
        )

    return _per_molecule(score)


def _alerts(parameters: Mapping[str, Any]) -> Evaluator:
    from rdkit.Chem import FilterCatalog

    catalogs = FilterCatalog.FilterCatalogParams.FilterCatalogs
    names = parameters.get("catalogs", ["PAINS", "BRENK", "NIH"])
    chosen = FilterCatalog.FilterCatalogParams()
    for name in [names] if isinstance(names, str) else names:
        if name not in catalogs.names:
            raise ValueError(
                f"unknown alert catalogue {name!r}.{nearest_name(name, list(catalogs.names))} "
                f"The catalogues are: {', '.join(catalogs.names)}"
            )
        chosen.AddCatalog(catalogs.names[name])
    catalogue = FilterCatalog.FilterCatalog(chosen)

    def evaluate(smiles: list[str]) -> list[Answer]:
        answers = []
        for text in smiles:
            found = sorted({m.GetDescription() for m in catalogue.GetMatches(parse(text))})
            answers.append(Answer(float(len(found)), note=", ".join(found) or None))
        return answers

    return evaluate


# ---- models --------------------------------------------------------------------------------------
def _qsar_model(parameters: Mapping[str, Any]) -> Any:
    model = parameters["model"]
    if isinstance(model, str):
        from molgen.qsar import load_qsar

        return load_qsar(model)
    if not hasattr(model, "predict"):
        raise TypeError(
            f"qsar: model is a fitted QSAR model or the path of one; got {type(model).__name__}"
        )
    return model


_QSAR_VALUES = ("prediction", "lower", "upper")


def _qsar(parameters: Mapping[str, Any]) -> Evaluator:
    model = _qsar_model(parameters)
    value = parameters.get("value", "prediction")
    outside = parameters.get("outside", "flag")
    if value not in _QSAR_VALUES:
        raise ValueError(f"qsar: value is one of {', '.join(_QSAR_VALUES)}; got {value!r}")
    if outside != "flag" and isinstance(outside, (str, bool)):
        raise ValueError(f"qsar: outside is 'flag' or a number that caps; got {outside!r}")

    def evaluate(smiles: list[str]) -> list[Answer]:
        table = model.predict(smiles)
        answers = []
        for number, inside in zip(table[value], table["in_domain"]):
            if not math.isfinite(number):
                answers.append(Answer(math.nan, "the model gave no prediction"))
            elif inside:
                answers.append(Answer(float(number)))
            elif outside == "flag":
                answers.append(Answer(float(number), note="outside the model's domain"))
            else:
                capped = min(float(number), float(outside))
                answers.append(Answer(capped, note="outside the model's domain: capped"))
        return answers

    return evaluate


def _qsar_scale(parameters: Mapping[str, Any]) -> Scale | None:
    model = _qsar_model(parameters)
    if model.task == "classification":
        return UNIT
    values = np.asarray(model.y)
    low, high = np.quantile(values, [0.1, 0.9])
    return Scale(float(low), float(high), float(values.std()))


def _admet(parameters: Mapping[str, Any]) -> Evaluator:
    from molgen import admet

    endpoint = admet.check_endpoint(parameters["endpoint"])

    def evaluate(smiles: list[str]) -> list[Answer]:
        table = admet.predict(smiles, endpoints=[endpoint])
        return [
            Answer(float(v)) if math.isfinite(v) else Answer(math.nan, "no prediction")
            for v in table[endpoint]
        ]

    return evaluate


def _admet_scale(parameters: Mapping[str, Any]) -> Scale | None:
    from molgen import admet

    low, high, spread, unit = admet.endpoint_scale(parameters["endpoint"])
    return Scale(low, high, spread, unit)


# ---- code of the user ----------------------------------------------------------------------------
def import_function(reference: str) -> Callable[..., Any]:
    """The callable named "package.module:function".

    Raises:
        ValueError: If there is no such module or function.
    """
    module_name, _, function_name = reference.partition(":")
    if not module_name or not function_name:
        raise ValueError(f"a function is named 'package.module:function'; got {reference!r}")
    try:
        function = getattr(import_module(module_name), function_name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"function {reference!r} cannot be imported: {error}") from error
    if not callable(function):
        raise ValueError(f"{reference!r} is a {type(function).__name__}, not a function")
    return function


def _timeout(parameters: Mapping[str, Any], default: float) -> float | None:
    timeout = parameters.get("timeout", default)
    if timeout is not None and not (isinstance(timeout, (int, float)) and timeout > 0):
        raise ValueError(f"timeout is a number of seconds above 0, or None; got {timeout!r}")
    return timeout


def _python(parameters: Mapping[str, Any]) -> Evaluator:
    given = parameters["function"]
    function = import_function(given) if isinstance(given, str) else given
    if not callable(function):
        raise TypeError(f"python: function is a callable or its name; got {given!r}")
    if parameters.get("batch", False):
        timeout = _timeout(parameters, 600.0)
        return lambda smiles: call_batch(function, smiles, timeout)
    timeout = _timeout(parameters, 60.0)
    return lambda smiles: call_each(function, smiles, timeout)


def _program(parameters: Mapping[str, Any]) -> Evaluator:
    command = split_command(parameters["command"])
    timeout = _timeout(parameters, 600.0)
    if timeout is None:
        raise ValueError("program: timeout is a number of seconds; a program may hang")
    column = int(parameters.get("column", 0))
    return lambda smiles: run_program(command, smiles, timeout, column)


def _given_scale(parameters: Mapping[str, Any]) -> Scale | None:
    given = parameters.get("scale")
    if given is None:
        return None
    low, high = (float(value) for value in given)
    if not low < high:
        raise ValueError(f"scale is (usual low, usual high), low below high; got {given!r}")
    return Scale(low, high, (high - low) / 2.56)  # 10 % and 90 % quantiles of a normal


# ---- the kinds -----------------------------------------------------------------------------------
def _descriptor_kind(name: str) -> Kind:
    descriptor = DESCRIPTORS[name]
    unit = f", {descriptor.unit}" if descriptor.unit else ""
    return Kind(
        name,
        descriptor.meaning + unit,
        lambda parameters: _per_molecule(descriptor.function),
        scale=lambda parameters: _descriptor_scale(name),
    )


_SPECIAL = (
    Kind(
        "similarity",
        "Tanimoto similarity to reference molecules (the nearest counts)",
        _similarity,
        ("smiles",),
        ("fingerprint",),
        lambda parameters: UNIT,
    ),
    Kind(
        "substructure",
        "1 if the SMARTS is present, otherwise 0",
        _substructure,
        ("smarts",),
        (),
        lambda parameters: UNIT,
    ),
    Kind(
        "substructure_count",
        "number of matches of the SMARTS",
        _substructure_count,
        ("smarts",),
        (),
        lambda parameters: Scale(0.0, 3.0, 1.0),
    ),
    Kind(
        "shape",
        "shape and colour similarity of 3D conformers",
        _shape,
        ("smiles",),
        ("conformers", "seed"),
        lambda parameters: UNIT,
    ),
    Kind(
        "ring_rarity",
        "-log10 of the frequency of the rarest ring system in MOSES",
        _ring_rarity,
        scale=lambda parameters: Scale(1.0, 4.0, 1.0),
    ),
    Kind(
        "alerts",
        "number of structural alerts",
        _alerts,
        (),
        ("catalogs",),
        lambda parameters: Scale(0.0, 3.0, 1.0),
    ),
    Kind(
        "qsar",
        "prediction of a fitted QSAR model",
        _qsar,
        ("model",),
        ("value", "outside"),
        _qsar_scale,
    ),
    Kind("admet", "endpoint of ADMET-AI", _admet, ("endpoint",), (), _admet_scale),
    Kind(
        "python",
        "a Python function of SMILES",
        _python,
        ("function",),
        ("batch", "timeout", "scale"),
        _given_scale,
    ),
    Kind(
        "program",
        "an external program: SMILES on stdin, numbers on stdout",
        _program,
        ("command",),
        ("timeout", "column", "scale"),
        _given_scale,
    ),
)

KINDS: dict[str, Kind] = {name: _descriptor_kind(name) for name in DESCRIPTORS} | {
    kind.name: kind for kind in _SPECIAL
}
"""Name -> kind of property."""


def kind_named(name: str) -> Kind:
    """The kind called ``name``.

    Raises:
        ValueError: For an unknown one, with the nearest known name.
    """
    if name not in KINDS:
        raise ValueError(
            f"unknown component {name!r}.{nearest_name(name, tuple(KINDS))} "
            f"The components are: {', '.join(KINDS)}"
        )
    return KINDS[name]


def check_parameters(kind: Kind, parameters: Mapping[str, Any]) -> None:
    """Raise ValueError for parameters that ``kind`` lacks or does not know."""
    missing = [name for name in kind.required if name not in parameters]
    known = (*kind.required, *kind.optional)
    unknown = [name for name in parameters if name not in known]
    if missing:
        raise ValueError(f"component {kind.name} needs {', '.join(missing)}")
    if unknown:
        allowed = f"it takes {', '.join(known)}" if known else "it takes no parameters"
        raise ValueError(
            f"component {kind.name} does not know {', '.join(map(repr, unknown))}"
            f"{nearest_name(unknown[0], known)}: {allowed}"
        )


def evaluate_all(evaluator: Evaluator, smiles: Sequence[str], label: str) -> list[Answer]:
    """Answers of ``evaluator``; if it fails as a whole, every molecule gets the reason."""
    try:
        answers = evaluator(list(smiles))
    except Exception as error:  # a model or plug-in may raise anything; the run goes on
        problem = f"{label} failed: {type(error).__name__}: {error}"
        return [Answer(math.nan, problem)] * len(smiles)
    return answers
