"""One filter: a test that molecules pass or fail, and the reasons it gives.

Sets of filters and their application to many molecules are in :mod:`molgen.filters.filter_sets`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from rdkit import Chem

from molgen.base.arguments import unknown
from molgen.chem.typed_molecules import TypedMol, as_typed
from molgen.filters.alerts import (
    ALERT_SETS,
    MOSES_ELEMENTS,
    AlertCatalog,
    alert_catalog,
    compile_alerts,
    read_smarts_file,
)
from molgen.filters.ring_frequency import find_ring_systems
from molgen.filters.rules import RULES, Condition

#: Kinds of filter, and the options that each takes with their defaults.
KINDS: dict[str, dict[str, Any]] = {
    "rule": {"rule": None},
    "alerts": {"alerts": None},
    "moses": {},
    "ring_systems": {"min_count": 5, "chembl": True},
    "window": {"property": None, "low": None, "high": None},
    "smarts": {"patterns": None, "mode": "exclude"},
}


@dataclass(frozen=True)
class Reason:
    """Why one filter refused one molecule.

    Attributes:
        filter: the filter's name.
        what: the violated limit with its value, or the alert's name.
        atoms: indices of the atoms that match, in the order of the SMILES; empty for properties.
    """

    filter: str
    what: str
    atoms: tuple[int, ...] = ()

    def __str__(self) -> str:
        at = f" (atoms {','.join(map(str, self.atoms))})" if self.atoms else ""
        return f"{self.filter}: {self.what}{at}"


class Reasons(str):
    """All reasons against a molecule as one text, ``"; "`` between them; ``.items`` has them."""

    items: tuple[Reason, ...]

    def __new__(cls, items: Iterable[Reason] = ()) -> Reasons:
        held = tuple(items)
        text = super().__new__(cls, "; ".join(map(str, held)))
        text.items = held
        return text

    def __reduce__(self) -> tuple[Any, ...]:
        return Reasons, (self.items,)


@dataclass(frozen=True)
class Filter:
    """One test that molecules pass or fail.

    Attributes:
        kind: one of :data:`KINDS`.
        options: the kind's options; those left out take their defaults.
        name: how reasons call it; derived from the options by default.

    Kinds:
        ``rule``: ``rule``, a name in ``rules.RULES``. ``alerts``: ``alerts``, a name in
        ``alerts.ALERT_SETS``. ``moses``: MOSES's own filters (alerts, charge, elements, ring
        size). ``ring_systems``: refuse ring systems in fewer than ``min_count`` MOSES molecules,
        unless ``chembl`` and ChEMBL has them. ``window``: ``property`` within ``low`` and
        ``high``. ``smarts``: ``patterns`` (name to SMARTS, or the path of a file), ``mode``
        ``"exclude"`` or ``"require"`` (at least one).

    >>> Filter("window", {"property": "logp", "high": 3}).name
    'logp <= 3'
    >>> from rdkit.Chem import MolFromSmiles
    >>> pains = Filter.from_dict("pains")
    >>> pains.to_dict(), pains.source[:17]
    ('pains', 'Baell and Hollowa')
    >>> [str(reason)[:5] for reason in pains.refuse(MolFromSmiles("O=C1C=CC(=O)C=C1"), {})]
    ['pains']
    >>> Filter.from_dict({"logp": [None, 3]}).descriptors
    ['logp']
    """

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(unknown("kind of filter", self.kind, list(KINDS)))
        defaults = KINDS[self.kind]
        for option in self.options:
            if option not in defaults:
                raise ValueError(unknown(f"option of {self.kind}", str(option), list(defaults)))
        options = {**defaults, **self.options}
        check = getattr(self, f"_check_{self.kind}", None)
        if check is not None:
            check(options)
        object.__setattr__(self, "options", options)
        if not self.name:
            object.__setattr__(self, "name", self._default_name())

    @staticmethod
    def _check_rule(options: dict[str, Any]) -> None:
        if options["rule"] not in RULES:
            raise ValueError(unknown("rule", str(options["rule"]), list(RULES)))

    @staticmethod
    def _check_alerts(options: dict[str, Any]) -> None:
        if options["alerts"] not in ALERT_SETS:
            raise ValueError(unknown("alert set", str(options["alerts"]), list(ALERT_SETS)))

    @staticmethod
    def _check_ring_systems(options: dict[str, Any]) -> None:
        count = options["min_count"]
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise ValueError(f"min_count must be a whole number from 0, got {count!r}.")
        if not isinstance(options["chembl"], bool):
            raise ValueError(f"chembl must be true or false, got {options['chembl']!r}.")

    @staticmethod
    def _check_window(options: dict[str, Any]) -> None:
        if not isinstance(options["property"], str):
            raise ValueError(f"A window needs the name of a property, got {options['property']!r}.")
        bounds = [options["low"], options["high"]]
        for bound in bounds:
            if bound is not None and (
                isinstance(bound, bool) or not isinstance(bound, int | float)
            ):
                raise ValueError(f"Bounds of {options['property']} must be numbers, got {bound!r}.")
        if bounds == [None, None]:
            raise ValueError(f"The window of {options['property']} needs low, high or both.")
        _window_condition(options)

    @staticmethod
    def _check_smarts(options: dict[str, Any]) -> None:
        patterns = options["patterns"]
        if isinstance(patterns, str | Path):
            patterns = read_smarts_file(patterns)
        if isinstance(patterns, Sequence):
            patterns = {str(p): p for p in patterns}
        if not isinstance(patterns, Mapping) or not patterns:
            raise ValueError(
                "patterns must be a file of SMARTS, a list, or names with SMARTS, "
                f"got {options['patterns']!r}."
            )
        if options["mode"] not in ("exclude", "require"):
            raise ValueError(f"mode must be 'exclude' or 'require', got {options['mode']!r}.")
        compile_alerts(dict(patterns))
        options["patterns"] = dict(patterns)

    def _default_name(self) -> str:
        if self.kind in ("rule", "alerts"):
            return str(self.options[self.kind])
        if self.kind == "window":
            return str(_window_condition(self.options))
        if self.kind == "smarts":
            return "smarts" if self.options["mode"] == "exclude" else "required smarts"
        return self.kind

    @property
    def descriptors(self) -> list[str]:
        """The descriptors that the filter needs."""
        if self.kind == "rule":
            return RULES[self.options["rule"]].names
        if self.kind == "window":
            return _window_condition(self.options).names
        return []

    @property
    def source(self) -> str:
        """The publication or the data that the filter stands on; empty for the user's own."""
        if self.kind == "rule":
            return RULES[self.options["rule"]].source
        if self.kind == "alerts":
            return ALERT_SETS[self.options["alerts"]].citation
        if self.kind == "moses":
            return ALERT_SETS["moses_mcf"].citation
        return "MOSES training set and ChEMBL" if self.kind == "ring_systems" else ""

    def refuse(self, mol: Chem.Mol | TypedMol, values: Mapping[str, float]) -> list[Reason]:
        """The reasons against a molecule; an empty list when it passes.

        Args:
            mol: a sanitised molecule; as a :class:`~molgen.chem.typed_molecules.TypedMol` where the
            caller
                has one, so that its atoms need not be read again.
            values: its descriptors, at least :attr:`descriptors`.
        """
        options = self.options
        if self.kind == "rule":
            return [Reason(self.name, w) for w in RULES[options["rule"]].violations(values)]
        if self.kind == "window":
            condition = _window_condition(options)
            held = condition.holds(values)
            return [] if held else [Reason(self.name, condition.violation(values))]
        if self.kind == "ring_systems":
            return self._ring_reasons(as_typed(mol))
        mol = mol.mol if isinstance(mol, TypedMol) else mol
        if self.kind == "alerts":
            return self._alert_reasons(alert_catalog(options["alerts"]), mol)
        if self.kind == "moses":
            return self._moses_reasons(mol)
        catalog = _smarts_catalog(tuple(options["patterns"].items()))
        if options["mode"] == "exclude":
            return self._alert_reasons(catalog, mol)
        wanted = ", ".join(options["patterns"])
        return [] if catalog.any_match(mol) else [Reason(self.name, f"has none of {wanted}")]

    def _alert_reasons(self, catalog: AlertCatalog, mol: Chem.Mol) -> list[Reason]:
        return [Reason(self.name, match.name, match.atoms) for match in catalog.matches(mol)]

    def _moses_reasons(self, mol: Chem.Mol) -> list[Reason]:
        reasons = [
            Reason(self.name, f"ring of {len(ring)} atoms", tuple(ring))
            for ring in mol.GetRingInfo().AtomRings()
            if len(ring) >= 8
        ]
        for atom in mol.GetAtoms():
            if atom.GetFormalCharge():
                reasons.append(Reason(self.name, "charged atom", (atom.GetIdx(),)))
            if atom.GetSymbol() not in MOSES_ELEMENTS:
                what = f"element {atom.GetSymbol()}"
                reasons.append(Reason(self.name, what, (atom.GetIdx(),)))
        for alerts in ("moses_mcf", "moses_pains"):
            reasons.extend(self._alert_reasons(alert_catalog(alerts), mol))
        return reasons

    def _ring_reasons(self, mol: TypedMol) -> list[Reason]:
        reasons = []
        for system in find_ring_systems(mol):
            known = self.options["chembl"] and system.in_chembl
            if system.moses_count < self.options["min_count"] and not known:
                what = f"ring system {system.smiles} in {system.moses_count} MOSES molecules"
                if self.options["chembl"]:
                    what += " and not in ChEMBL"
                reasons.append(Reason(self.name, what, system.atoms))
        return reasons

    def to_dict(self) -> dict[str, Any] | str:
        """The filter as YAML holds it: a bare name where that says it all."""
        options = {k: v for k, v in self.options.items() if v != KINDS[self.kind][k]}
        default_name = Filter(self.kind, self.options).name
        named = {} if self.name == default_name else {"name": self.name}
        if not named and self.kind in ("rule", "alerts"):
            return str(self.options[self.kind])
        if not named and not options:
            return self.kind
        return {self.kind: {**options, **named}}

    @classmethod
    def from_dict(cls, entry: Any) -> Filter:
        """The inverse of :meth:`to_dict`; also takes ``{"logp": [1, 3]}`` for a window.

        Raises:
            ValueError: an unknown name or a malformed entry.
        """
        if isinstance(entry, Filter):
            return entry
        if isinstance(entry, str):
            return named_filter(entry)
        if not isinstance(entry, Mapping) or len(entry) != 1:
            raise ValueError(
                "A filter is a name or one 'kind: options' pair, for example "
                f"'window: {{property: logp, low: 1, high: 3}}'; got {entry!r}."
            )
        kind, options = next(iter(entry.items()))
        if isinstance(options, Sequence) and not isinstance(options, str):
            if len(options) != 2:
                raise ValueError(
                    f"The window of {kind} must be [low, high], got {list(options)!r}."
                )
            return cls("window", {"property": str(kind), "low": options[0], "high": options[1]})
        if kind in ("rule", "alerts") and isinstance(options, str):
            options = {kind: options}
        if options is None:
            options = {}
        if not isinstance(options, Mapping):
            raise ValueError(f"Options of {kind} must be a mapping, got {options!r}.")
        given = dict(options)
        name = str(given.pop("name", ""))
        return cls(str(kind), given, name)


def _window_condition(options: Mapping[str, Any]) -> Condition:
    low, high = options["low"], options["high"]
    return Condition(
        options["property"],
        -math.inf if low is None else float(low),
        math.inf if high is None else float(high),
    )


@lru_cache(maxsize=32)
def _smarts_catalog(patterns: tuple[tuple[str, str], ...]) -> AlertCatalog:
    return compile_alerts(dict(patterns))


def named_filter(name: str) -> Filter:
    """The filter called ``name``: a rule, an alert set, ``"moses"`` or ``"ring_systems"``.

    Raises:
        ValueError: no such filter; the message gives the nearest known name.
    """
    if name in RULES:
        return Filter("rule", {"rule": name})
    if name in ALERT_SETS:
        return Filter("alerts", {"alerts": name})
    if name in ("moses", "ring_systems"):
        return Filter(name)
    raise ValueError(unknown("filter", name, filter_names()))


def filter_names() -> list[str]:
    """Every name that :func:`named_filter` knows."""
    return [*RULES, *ALERT_SETS, "moses", "ring_systems"]
