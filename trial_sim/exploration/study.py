"""A study file: design, outcomes and what to run, in one YAML document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trial_sim.arms.fitting import load_fitted
from trial_sim.base.arguments import nearest
from trial_sim.base.plain_yaml import read_plain
from trial_sim.base.records import Record, from_plain
from trial_sim.design.adaptive_design import AdaptiveDesign
from trial_sim.design.design import Design
from trial_sim.scenarios import OutcomeScenario

_KEYS = ("title", "rationale", "design", "outcomes", "scenarios", "simulation", "what_if")
_SIMULATION = ("n_trials", "seed", "n_jobs", "backend", "chunk_trials", "scenario")
_WHAT_IF = ("variations", "n_trials", "seed", "n_jobs", "sampling", "n_points", "backend",
            "common_random_numbers")  # fmt: skip


@dataclass(frozen=True)
class Study:
    """What a study file holds.

    Attributes:
        design: the trial. outcomes: the scenario it is planned for.
        scenarios: further scenarios by name, for the report.
        simulation, what_if: arguments of ``simulate`` and ``what_if``.
        title, rationale: text for the report.
    """

    design: Design | AdaptiveDesign
    outcomes: OutcomeScenario
    scenarios: Mapping[str, OutcomeScenario] = field(default_factory=dict)
    simulation: Mapping[str, Any] = field(default_factory=dict)
    what_if: Mapping[str, Any] = field(default_factory=dict)
    title: str = "Simulated trial"
    rationale: str = ""


def read_study(path: str | Path) -> Study:
    """Read a study file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for text that is not YAML, an unknown key (naming the nearest known one), or
            values that the records refuse.
    """
    import yaml

    try:
        content = read_plain(Path(path).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} must hold a mapping with design and outcomes")
    _known(content, _KEYS, "the study")
    for key in ("design", "outcomes"):
        if key not in content:
            raise ValueError(f"{path} needs the key {key!r}")
    simulation = dict(content.get("simulation") or {})
    what_if = dict(content.get("what_if") or {})
    _known(simulation, _SIMULATION, "simulation")
    _known(what_if, _WHAT_IF, "what_if")
    return Study(
        design=read_design(content["design"]),
        outcomes=read_outcomes(content["outcomes"]),
        scenarios={
            name: read_outcomes(value) for name, value in (content.get("scenarios") or {}).items()
        },
        simulation=simulation,
        what_if=what_if,
        title=str(content.get("title", "Simulated trial")),
        rationale=str(content.get("rationale", "")),
    )


def read_design(values: Any) -> Design | AdaptiveDesign:
    """A design from plain values; an adaptive one if it has milestones."""
    if not isinstance(values, Mapping):
        raise ValueError(f"design must be a mapping, got {values!r}")
    kind = "AdaptiveDesign" if "milestones" in values else "Design"
    read = Record.from_dict({"type": kind, **values})
    if not isinstance(read, Design | AdaptiveDesign):
        raise ValueError(f"design must be a Design or an AdaptiveDesign, got {type(read).__name__}")
    return read


def read_outcomes(values: Any) -> Any:
    """A scenario from plain values: a record with its ``type``, or ``type: fitted``.

    Fitted outcomes have ``path`` (of a saved fit), ``control``, ``treatment``, ``uncertainty``.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"outcomes must be a mapping, got {values!r}")
    values = dict(values)
    if values.get("type") == "fitted":
        keys = ("type", "path", "control", "treatment", "uncertainty")
        _known(values, keys, "fitted outcomes")
        for key in ("path", "control", "treatment"):
            if key not in values:
                raise ValueError(f"fitted outcomes need the key {key!r}")
        fitted = load_fitted(values["path"])
        return fitted.outcomes(
            control=values["control"],
            treatment=values["treatment"],
            uncertainty=bool(values.get("uncertainty", True)),
        )
    values.setdefault("type", "PiecewiseExponential")
    return Record.from_dict({k: v if k == "type" else from_plain(v) for k, v in values.items()})


def _known(values: Mapping[str, Any], known: tuple[str, ...], what: str) -> None:
    for key in values:
        if key not in known:
            raise ValueError(f"{what} has no key {key!r}{nearest(str(key), known)}")
