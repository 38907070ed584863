"""Objectives of REINVENT 4 carried over: its TOML or JSON scoring section becomes an Objective.

Component, parameter and transform names are those of REINVENT's ``configs/SCORING.md``; upper and
lower case and underscores do not matter. What has no exact counterpart here is refused by name
(or, with ``skip=True``, left out with a warning): an objective that was silently altered would be
worse than none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from molgen.base.user_warnings import warn_user
from molgen.scoring.objectives import Component, Objective

_DESCRIPTORS = {
    "qed": "qed",
    "molecularweight": "mw",
    "slogp": "logp",
    "tpsa": "tpsa",
    "hbonddonors": "hbd",
    "hbondacceptors": "hba",
    "numrotbond": "rotatable_bonds",
    "numrings": "rings",
    "numaromaticrings": "aromatic_rings",
    "numaliphaticrings": "aliphatic_rings",
    "largestringsize": "largest_ring",
    "numheavyatoms": "heavy_atoms",
    "numheteroatoms": "heteroatoms",
    "numatomstereocenters": "stereocenters",
    "csp3": "fsp3",
    "sascore": "sa_score",
}


def from_reinvent(config: str | Path | Mapping[str, Any], skip: bool = False) -> Objective:
    """The objective of a REINVENT 4 configuration.

    Args:
        config: A .toml or .json file, or its content. The scoring section may stand at the top, as
            ``[scoring]``, or in the last ``[[stage]]``.
        skip: Leave out, with a warning, what cannot be carried over, in place of refusing it.

    Returns:
        The objective, with REINVENT's rule for missing values (the other weights are
        renormalised).

    Raises:
        ValueError: For a file that is no REINVENT configuration, or a component that has no
            counterpart.
    """
    section = _scoring_section(_read(config) if isinstance(config, (str, Path)) else config)
    parts: list[Component] = []
    for block in section["component"]:
        for name, body in _mapping(block, "a component").items():
            for endpoint in _endpoints(name, body):
                try:
                    parts.append(_component(name, body, endpoint))
                except ValueError as error:
                    if not skip:
                        raise
                    warn_user(f"left out: {error}")
    return Objective(
        tuple(_distinct(parts)),
        aggregation=section.get("type", "geometric_mean"),
        missing="ignore",
        name="from REINVENT",
    )


def _read(path: str | Path) -> Mapping[str, Any]:
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no REINVENT configuration {path}")
    try:
        if path.suffix == ".toml":
            import tomllib

            return tomllib.loads(path.read_text(encoding="utf-8"))
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # TOMLDecodeError and JSONDecodeError are ValueErrors
        raise ValueError(f"{path} is not readable: {error}") from error


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{what} must be a table of names and values, got {value!r:.60}")
    return value


def _endpoints(name: str, body: Any) -> list[Mapping[str, Any]]:
    """The endpoints of a component, checked as far as they are read here."""
    endpoints = _mapping(body, f"component {name!r}").get("endpoint", [])
    if not isinstance(endpoints, list):
        raise ValueError(f"the endpoints of {name!r} must be a list, got {endpoints!r:.60}")
    _mapping(body.get("params", {}), f"params of {name!r}")
    for endpoint in endpoints:
        _mapping(endpoint, f"an endpoint of {name!r}")
        _mapping(endpoint.get("params", {}), f"params of an endpoint of {name!r}")
    return endpoints


def _scoring_section(config: Mapping[str, Any]) -> Mapping[str, Any]:
    candidates = [config, _mapping(config, "a REINVENT configuration").get("scoring", {})]
    stages = config.get("stage", [])
    if isinstance(stages, list) and stages:
        candidates.append(_mapping(stages[-1], "a stage").get("scoring", {}))
    for section in candidates:
        if isinstance(section, Mapping) and isinstance(section.get("component"), list):
            return section
    raise ValueError(
        "found no scoring components: expected [[component]], [[scoring.component]] or "
        "[[stage.scoring.component]]"
    )


def _component(name: str, body: Mapping[str, Any], endpoint: Mapping[str, Any]) -> Component:
    kind = name.replace("_", "").lower()
    params = {**body.get("params", {}), **endpoint.get("params", {})}
    label = endpoint.get("name", name)
    weight = float(endpoint.get("weight", body.get("weight", 1.0)))
    transform = endpoint.get("transform")
    common: dict[str, Any] = {"name": label, "weight": weight}
    if transform is not None:
        common["transform"] = _transform(transform)
    if kind in _DESCRIPTORS:
        _refuse_other(label, params, ())
        if transform is None:  # REINVENT passes the raw value on, which is a score for QED alone
            common["transform"] = {"type": "identity"}
        return Component(_DESCRIPTORS[kind], **common)
    if kind in ("tanimotosimilarity", "tanimotodistance"):
        _refuse_other(label, params, ("smiles", "radius", "use_counts", "use_features"))
        return Component("similarity", params=_similarity_parameters(label, params), **common)
    if kind == "groupcount":
        _refuse_other(label, params, ("smarts",))
        _smarts(label, params)
        return Component("substructure_count", params={"smarts": params["smarts"]}, **common)
    if kind == "customalerts":
        _refuse_other(label, params, ("smarts",))
        patterns = _smarts(label, params)
        # One pattern that matches any of the alerts: recursive SMARTS joined by "or".
        joined = "[" + ",".join(f"$({pattern})" for pattern in patterns) + "]"
        return Component(
            "substructure_count", "at most", high=0.0, hard=True, weight=0.0, name=label,
            params={"smarts": joined},
        )  # fmt: skip
    raise ValueError(
        f"REINVENT component {name} ({label}) has no exact counterpart here; a Python function or "
        "an external program can take its place"
    )


def _similarity_parameters(label: str, params: Mapping[str, Any]) -> dict[str, Any]:
    radius = int(params.get("radius", 3))
    if radius not in (2, 3):
        raise ValueError(f"REINVENT component {label}: radius {radius} has no counterpart (2 or 3)")
    if not params.get("use_counts", False):
        raise ValueError(
            f"REINVENT component {label}: similarity on bits has no counterpart here, where "
            "fingerprints are counts; set use_counts = true to agree to that"
        )
    prefix = "FCFP" if params.get("use_features", False) else "ECFP"
    return {"smiles": params["smiles"], "fingerprint": f"{prefix}{2 * radius}"}


def _transform(plain: Mapping[str, Any]) -> dict[str, Any]:
    """REINVENT's transform under the parameter names of :mod:`molgen.scoring.desirability`."""
    result = dict(plain)
    kind = str(result.get("type", "")).lower()
    result["type"] = kind
    if kind == "left_step":
        result.pop("high", None)
    if kind == "right_step":
        result.pop("low", None)
    return result


def _smarts(label: str, params: Mapping[str, Any]) -> list[str]:
    """The SMARTS of a component, one or several."""
    given = params.get("smarts", ())
    patterns = [given] if isinstance(given, str) else given
    if not isinstance(patterns, list) or not all(isinstance(p, str) for p in patterns):
        raise ValueError(f"component {label!r} needs smarts, one text or a list; got {given!r}")
    return patterns


def _refuse_other(label: str, params: Mapping[str, Any], known: tuple[str, ...]) -> None:
    other = [
        key for key, value in params.items() if key not in known and value not in (False, None)
    ]
    if other:
        raise ValueError(
            f"REINVENT component {label}: parameter {', '.join(other)} has no counterpart here"
        )


def _distinct(parts: list[Component]) -> list[Component]:
    """Endpoints of one name get a number: REINVENT allows them, a table's columns do not."""
    from dataclasses import replace

    seen: dict[str, int] = {}
    result = []
    for part in parts:
        seen[part.name] = seen.get(part.name, 0) + 1
        number = seen[part.name]
        result.append(part if number == 1 else replace(part, name=f"{part.name} {number}"))
    return result
