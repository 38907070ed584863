"""What an objective can be made of: each kind of property turns SMILES into raw values.

Every descriptor of :data:`molgen.chem.properties.DESCRIPTORS` is a kind of its own name. Beside
them stand similarity, substructures, ring rarity, structural alerts, 3D shape
(``score_structures``), QSAR and ADMET models, Python callables and external programs
(``score_models``). A kind knows its parameters and, where there is one, the scale on which its
values usually lie, from which an objective takes its default shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from molgen.base.arguments import nearest_name
from molgen.chem.properties import DESCRIPTORS
from molgen.chem.property_words import property_named
from molgen.scoring import model_kinds as score_models
from molgen.scoring import structure_kinds as score_structures
from molgen.scoring.scales import UNIT, Kind, Scale, descriptor_scale, per_molecule


def _descriptor_kind(name: str) -> Kind:
    descriptor = DESCRIPTORS[name]
    unit = f", {descriptor.unit}" if descriptor.unit else ""
    return Kind(
        name,
        descriptor.meaning + unit,
        lambda parameters: per_molecule(descriptor.function),
        scale=lambda parameters: descriptor_scale(name),
    )


_SPECIAL = (
    Kind(
        "similarity",
        "Tanimoto similarity to reference molecules (the nearest counts)",
        score_structures.similarity,
        ("smiles",),
        ("fingerprint",),
        lambda parameters: UNIT,
    ),
    Kind(
        "substructure",
        "1 if the SMARTS is present, otherwise 0",
        score_structures.substructure,
        ("smarts",),
        (),
        lambda parameters: UNIT,
    ),
    Kind(
        "substructure_count",
        "number of matches of the SMARTS",
        score_structures.substructure_count,
        ("smarts",),
        (),
        lambda parameters: Scale(0.0, 3.0, 1.0),
    ),
    Kind(
        "shape",
        "shape and colour similarity of 3D conformers",
        score_structures.shape,
        ("smiles",),
        ("conformers", "seed"),
        lambda parameters: UNIT,
    ),
    Kind(
        "ring_rarity",
        "-log10 of the frequency of the rarest ring system in MOSES",
        score_structures.ring_rarity,
        scale=lambda parameters: Scale(1.0, 4.0, 1.0),
    ),
    Kind(
        "passes",
        "1 if the molecule passes the filters, otherwise 0",
        score_structures.passes,
        ("filters",),
        (),
        lambda parameters: UNIT,
    ),
    Kind(
        "alerts",
        "number of structural alerts",
        score_structures.alerts,
        (),
        ("catalogs",),
        lambda parameters: Scale(0.0, 3.0, 1.0),
    ),
    Kind(
        "qsar",
        "prediction of a fitted QSAR model",
        score_models.qsar,
        ("model",),
        ("value", "outside"),
        score_models.qsar_scale,
        score_models.qsar_label,
    ),
    Kind(
        "admet",
        "endpoint of ADMET-AI",
        score_models.admet,
        ("endpoint",),
        (),
        score_models.admet_scale,
    ),
    Kind(
        "python",
        "a Python function of SMILES",
        score_models.python,
        ("function",),
        ("batch", "timeout", "scale"),
        score_models.given_scale,
    ),
    Kind(
        "program",
        "an external program: SMILES on stdin, numbers on stdout",
        score_models.program,
        ("command",),
        ("timeout", "column", "scale"),
        score_models.given_scale,
    ),
)

KINDS: dict[str, Kind] = {name: _descriptor_kind(name) for name in DESCRIPTORS} | {
    kind.name: kind for kind in _SPECIAL
}
"""Name -> kind of property. A descriptor that is added to ``DESCRIPTORS`` later is one, too."""


def kind_named(name: str) -> Kind:
    """The kind called ``name``.

    Raises:
        ValueError: For an unknown one, with the nearest known name.
    """
    if name in DESCRIPTORS:  # as it stands there now
        return _descriptor_kind(name)
    if name not in KINDS:
        known = tuple(dict.fromkeys((*DESCRIPTORS, *KINDS)))
        meant = property_named(str(name))
        hint = f" Did you mean {meant!r}?" if meant else nearest_name(name, known)
        raise ValueError(
            f"unknown component {name!r}.{hint} The components are: {', '.join(known)}"
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
