"""Objectives: what a molecule should be like, said as a person would, and the score that follows.

>>> from molgen import Component, Objective, score
>>> objective = Objective([Component.maximise("qed"), Component.within("logp", 1, 3)])
>>> bool(score(["CCO"], objective)["score"].between(0, 1).all())
True

A component is stated as maximise, minimise, within, at least or at most; the shape of its
desirability then follows from the property's distribution in the reference set (MOSES), or is
given as a transform. Desirabilities are combined (geometric mean unless told), hard filters set
the score to 0, and everything that went wrong stands beside the molecule concerned.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from molgen.base.arguments import nearest_name
from molgen.base.output_places import write_text
from molgen.base.parallel import map_chunks
from molgen.base.plain_yaml import read_plain, read_plain_json, write_plain
from molgen.base.user_warnings import warn_user
from molgen.chem.parsing import (
    as_smiles_list,
    canonical,
    refusal_reason,
    whole_or_none,
)
from molgen.filters.filter_sets import as_filter_set
from molgen.scoring.components import Component
from molgen.scoring.desirability import aggregation_name
from molgen.scoring.kinds import kind_named
from molgen.scoring.scales import Evaluator
from molgen.scoring.values import Scored, cut_values, evaluate, keeps_bounds

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Objective:
    """Several wishes, how they are weighed, and what is refused outright.

    Attributes:
        components: The wishes; statements such as ``"maximise qed"`` and mappings are accepted.
        aggregation: "geometric" (default), "arithmetic", "minimum" or "product"; REINVENT's
            "geometric_mean", "arithmetic_mean", "custom_product", "custom_sum" are accepted.
        filters: What :func:`molgen.filter_molecules` takes ("default", names, ...); a molecule
            that does not pass scores 0. None asks for no filter.
        missing: "zero": a component without a value costs the molecule its score; "ignore": it is
            left out and the other weights are renormalised, as REINVENT does.
        name: A name for reports.

    Examples:
        >>> import molgen
        >>> wishes = molgen.Objective(["maximise qed", "minimise sa_score"], name="drug-like")
        >>> [component.property for component in wishes.components]
        ['qed', 'sa_score']
        >>> molgen.Objective.from_dict(wishes.to_dict()) == wishes
        True
        >>> wishes.table()["statement"].tolist()
        ['maximise qed', 'minimise sa_score']
        >>> score, values, reason = wishes.score_with_components(["CCO"])[0]
        >>> round(score, 3), sorted(values), reason
        (0.598, ['qed', 'qed (raw)', 'sa_score', 'sa_score (raw)'], None)
        >>> wishes.accepts(["CCO"])
        [True]
        >>> wishes.renamed("mine").name, len(wishes.identity)
        ('mine', 16)
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     wishes.save(Path(folder) / "wishes.yaml")
        ...     print(molgen.Objective.load(Path(folder) / "wishes.yaml") == wishes)
        True
    """

    components: tuple[Component, ...]
    aggregation: str = "geometric"
    filters: Any = None
    missing: str = "zero"
    name: str = "objective"
    _cache: dict[str, Scored] = field(
        default_factory=dict, init=False, repr=False, compare=False, hash=False
    )
    _told: set[str] = field(default_factory=set, init=False, repr=False, compare=False, hash=False)
    _filters: Any = field(default=None, init=False, repr=False, compare=False, hash=False)
    _evaluators: list[Evaluator] = field(
        default_factory=list, init=False, repr=False, compare=False, hash=False
    )

    def __post_init__(self) -> None:
        given = self.components
        if isinstance(given, (str, Component, Mapping)):
            given = (given,)  # type: ignore[assignment]
        parts = tuple(_component(part) for part in given)
        object.__setattr__(self, "components", parts)
        object.__setattr__(self, "aggregation", aggregation_name(self.aggregation))
        if not parts:
            raise ValueError("an objective needs at least one component")
        names = [part.name for part in parts]
        reserved = ("smiles", "score", "passed", "problems", "notes", "in_domain", "lower", "upper")
        for name in names:
            if names.count(name) > 1:
                raise ValueError(
                    f"two components are called {name!r}: give one of them another name="
                )
            if name in reserved:
                raise ValueError(f"a component cannot be called {name!r}: that is a column")
        if not any(part.weight > 0 for part in parts):
            raise ValueError("every component has weight 0: nothing would be scored")
        if self.missing not in ("zero", "ignore"):
            raise ValueError(f"missing is 'zero' or 'ignore'; got {self.missing!r}")
        if self.filters is not None:
            object.__setattr__(self, "_filters", as_filter_set(self.filters))
        # Evaluators are built now, so that a wrong SMARTS or path is reported before any run.
        self._evaluators.extend(kind_named(p.property).build(p.params) for p in parts)

    # ---- scoring ---------------------------------------------------------------------------------
    def __call__(self, smiles: Sequence[str]) -> list[float]:
        """Scores in [0, 1]; 0 for invalid molecules."""
        return [value for value, _, _ in self.score_with_components(smiles)]

    def score_with_components(
        self, smiles: Sequence[str]
    ) -> list[tuple[float, dict[str, Any], str | None]]:
        """(score, values by component name, reason for a missing value or None) each.

        As in the table of ``score``: ``"qed"`` is the transformed, ``"qed (raw)"`` the raw value.
        """
        answers: list[tuple[float, dict[str, Any], str | None]] = []
        for _, entry in self._entries(smiles):
            if entry is None:
                answers.append((0.0, {}, "not a molecule"))
                continue
            values: dict[str, Any] = {}
            for part, transformed, raw in zip(self.components, entry.transformed, entry.raw):
                values |= {part.name: transformed, f"{part.name} (raw)": raw}
            values |= entry.beside
            answers.append((entry.score, values, "; ".join(entry.problems) or None))
        return answers

    def _entries(self, smiles: Sequence[str]) -> list[tuple[str | None, Scored | None]]:
        keys: list[str | None] = []
        for text in smiles:
            mol = whole_or_none(text)
            keys.append(None if mol is None else canonical(mol))
        fresh = list(dict.fromkeys(k for k in keys if k is not None and k not in self._cache))
        if fresh:
            self._evaluate(fresh)
        return [(key, None if key is None else self._cache[key]) for key in keys]

    def _evaluate(self, smiles: list[str]) -> None:
        outcomes = evaluate(
            smiles, self.components, self._evaluators, self.aggregation, self.missing, self._filters
        )
        self._cache.update(zip(smiles, outcomes, strict=True))
        for index, part in enumerate(self.components):
            raw = np.array([outcome.raw[index] for outcome in outcomes], dtype=float)
            cut = raw[cut_values(part, raw)]
            if len(cut) and part.name not in self._told:
                self._told.add(part.name)
                warn_user(
                    f"component {part.name} gave {cut[0]:g}: its values count as scores in [0, 1] "
                    "and are cut there; say what they mean with scale=(usual low, usual high), "
                    "bounds or a transform"
                )

    def accepts(self, smiles: Sequence[str]) -> list[bool]:
        """Whether each molecule keeps the filters and those hard bounds that are cheap to ask.

        A search asks this before it pays for a call. Bounds on models, functions and programs are
        not asked here: they cost as much as the score itself.
        """
        return keeps_bounds(list(smiles), self.components, self._evaluators, self._filters)

    # ---- showing and files -----------------------------------------------------------------------
    def table(self) -> pd.DataFrame:
        """One row a component: statement, property, parameters, shape, weight, hard."""
        import pandas as pd

        rows = [
            {
                "component": part.name,
                "statement": part.statement,
                "desirability": part.resolved_transform().describe(),
                "weight": part.weight,
                "hard": part.hard,
                "parameters": ", ".join(f"{k}={_short(v)}" for k, v in part.params.items()),
            }
            for part in self.components
        ]
        return pd.DataFrame(rows)

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.aggregation} mean of {len(self.components)} components"]
        if self.aggregation in ("minimum", "product"):
            lines = [f"{self.name}: {self.aggregation} of {len(self.components)} components"]
        if self.filters is not None:
            lines[0] += f", filters {self.filters}"
        return "\n".join([*lines, self.table().to_string(index=False)])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for YAML or JSON."""
        plain: dict[str, Any] = {
            "name": self.name,
            "aggregation": self.aggregation,
            "components": [part.to_dict() for part in self.components],
        }
        if self.filters is not None:
            plain["filters"] = _plain_filters(self.filters)
        if self.missing != "zero":
            plain["missing"] = self.missing
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Objective:
        """The inverse of :meth:`to_dict`."""
        if not isinstance(plain, Mapping):
            raise TypeError(f"an objective is a mapping with 'components'; got {plain!r}")
        known = ("components", "aggregation", "filters", "missing", "name")
        for key in plain:
            if key not in known:
                raise ValueError(
                    f"an objective has no field {key!r}.{nearest_name(key, known)} "
                    f"The fields are: {', '.join(known)}"
                )
        if not plain.get("components"):
            raise ValueError("an objective needs 'components', a list")
        return cls(**plain)

    def save(self, path: str | Path) -> None:
        """Write to a .yaml, .yml or .json file."""
        path = Path(path)
        if _is_yaml(path):
            text = write_plain(self.to_dict())
        else:
            text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"
        write_text(path, text)

    @classmethod
    def load(cls, path: str | Path) -> Objective:
        """Read a .yaml, .yml or .json file.

        Raises:
            ValueError: For a missing or unreadable file, or what is no objective.
        """
        path = Path(path)
        if not path.is_file():
            raise ValueError(f"there is no objective file {path}")
        text = path.read_text(encoding="utf-8")
        try:
            if _is_yaml(path):
                plain = read_plain(text)
            else:
                plain = read_plain_json(text)
        except (ValueError, yaml_error()) as error:
            raise ValueError(f"{path} is not readable: {error}") from error
        try:
            return cls.from_dict(plain)
        except (ValueError, TypeError) as error:
            raise type(error)(f"{path}: {error}") from error

    @property
    def identity(self) -> str:
        """A hash that names the objective in logs; functions count by their name."""
        try:
            plain = self.to_dict()
        except ValueError:
            plain = {"name": self.name, "statements": [p.statement for p in self.components]}
        text = json.dumps(plain, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def renamed(self, name: str) -> Objective:
        """The same objective under another name."""
        return replace(self, name=name)


def _plain_filters(filters: Any) -> Any:
    """Filters as plain names, numbers, lists and mappings, which can be written to a file."""
    if hasattr(filters, "to_list"):
        return filters.to_list()
    if isinstance(filters, (list, tuple)):
        return [_plain_filters(part) for part in filters]
    if isinstance(filters, Mapping):
        return {key: _plain_filters(value) for key, value in filters.items()}
    if filters is None or isinstance(filters, (str, int, float, bool)):
        return filters
    raise ValueError(f"filters hold a {type(filters).__name__}, which a file cannot hold")


def yaml_error() -> type[Exception]:
    """PyYAML's error class (imported when needed)."""
    import yaml

    return yaml.YAMLError


def _is_yaml(path: Path) -> bool:
    if path.suffix not in (".yaml", ".yml", ".json"):
        raise ValueError(f"an objective file ends in .yaml, .yml or .json; got {path.name!r}")
    return path.suffix != ".json"


def _short(value: Any) -> str:
    text = getattr(value, "__name__", None) or str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _component(part: Any) -> Component:
    if isinstance(part, Component):
        return part
    if isinstance(part, str):
        return Component.parse(part)
    if isinstance(part, Mapping):
        return Component.from_dict(part)
    raise TypeError(
        f"a component is a Component, a statement such as 'maximise qed', or a mapping; "
        f"got {type(part).__name__}"
    )


def as_objective(objective: Any) -> Objective:
    """An objective from an Objective, a file, a statement, a component, a list or a callable."""
    if isinstance(objective, Objective):
        return objective
    if isinstance(objective, Path) or (
        isinstance(objective, str) and objective.endswith((".yaml", ".yml", ".json"))
    ):
        return Objective.load(objective)
    if isinstance(objective, Mapping):
        return Objective.from_dict(objective)
    if callable(objective) and not isinstance(objective, Component):
        return Objective((Component.from_function(objective),))
    return Objective(objective)


def score(smiles: str | Iterable[str], objective: Any, *, n_jobs: int = 1) -> pd.DataFrame:
    """Score molecules by an objective.

    Args:
        smiles: One SMILES or many.
        objective: An :class:`Objective`, a file of one, statements or components.
        n_jobs: Processes, -1 for all cores; more than one for what a file of an objective can hold.

    Returns:
        One row a molecule in the order given: ``smiles``; for each component ``name``
        (desirability in [0, 1]) and ``name (raw)``; ``score`` in [0, 1]; ``passed`` (hard bounds
        and filters); ``problems`` (why a value is missing, with the SMILES); ``notes`` (alerts
        found, filters failed, outside a model's domain). Rows that are no molecules score 0. With
        a QSAR model ``in_domain``, ``lower`` and ``upper`` stand there, too; a molecule outside its
        domain keeps at most a tenth of its score.

    Examples:
        >>> import molgen
        >>> table = molgen.score(["CCO", "c1ccccc1O"], ["maximise qed"])
        >>> list(table["smiles"]), bool(table["score"].between(0, 1).all())
        (['CCO', 'c1ccccc1O'], True)
    """
    import pandas as pd

    wanted = as_objective(objective)
    texts = as_smiles_list(smiles)
    names = [part.name for part in wanted.components]
    if n_jobs == 1:
        scored = _scored(texts, wanted)
    else:
        scored = map_chunks(_scored_chunk, texts, (wanted.to_dict(),), n_jobs=n_jobs)
    further = dict.fromkeys(name for _, beside in scored for name in beside)
    rows = [row | beside for row, beside in scored]
    columns = ["smiles", *(c for n in names for c in (n, f"{n} (raw)")), *further]
    table = pd.DataFrame(rows, columns=[*columns, "score", "passed", "problems", "notes"])
    table.attrs["wishes"] = [part.statement for part in wanted.components]
    return table


def _scored_chunk(texts: Sequence[str], plain: Mapping[str, Any]) -> list[tuple[dict, dict]]:
    return _scored(texts, Objective.from_dict(dict(plain)))


def _scored(texts: Sequence[str], wanted: Objective) -> list[tuple[dict, dict]]:
    """A row of the table for each molecule, and what a model says beside the score."""
    names = [part.name for part in wanted.components]
    rows = []
    for text, (_, entry) in zip(texts, wanted._entries(texts)):
        row: dict[str, Any] = {"smiles": text}
        for index, name in enumerate(names):
            row[name] = math.nan if entry is None else entry.transformed[index]
            row[f"{name} (raw)"] = math.nan if entry is None else entry.raw[index]
        row["score"] = 0.0 if entry is None else entry.score
        row["passed"] = entry is not None and entry.passed
        row["problems"] = (
            f"not a molecule: {refusal_reason(text)}"
            if entry is None
            else "; ".join(entry.problems)
        )
        row["notes"] = "" if entry is None else "; ".join(entry.notes)
        rows.append((row, {} if entry is None else dict(entry.beside)))
    return rows
