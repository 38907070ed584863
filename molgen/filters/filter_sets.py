"""Filters: named, combinable reasons to refuse a molecule, and why each one was refused.

A :class:`Filter` is one test; a :class:`FilterSet` is an ordered list of them, which reads and
writes YAML. :func:`filter_molecules` applies a set to many molecules and returns a table; every
refusal names the filter, the value or the alert, and the atoms that match. The funnel counts how
many molecules fell at each step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdkit import Chem

from molgen.base.arguments import unknown
from molgen.base.output_places import write_text
from molgen.base.parallel import map_chunks
from molgen.base.plain_yaml import read_plain, write_plain
from molgen.chem.description import MANY
from molgen.chem.fast_descriptors import quick_values
from molgen.chem.parsing import MoleculeError, as_smiles_list, parse_whole, quiet_rdkit
from molgen.chem.properties import compute
from molgen.chem.typed_molecules import TypedMol
from molgen.filters.fast_filters import without_alerts
from molgen.filters.one_filter import Filter, Reason, Reasons, filter_names, named_filter

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "NOT_A_MOLECULE",
    "PRESETS",
    "Filter",
    "FilterSet",
    "Reason",
    "Reasons",
    "as_filter_set",
    "filter_molecules",
    "filter_names",
    "funnel_table",
    "named_filter",
]

#: Ready-made sets. "default" asks for an orally drug-like molecule without the alerts that are
#: agreed on and without ring systems that nobody made; "strict" adds the stricter alert sets.
PRESETS: dict[str, tuple[str, ...]] = {
    "default": ("lipinski", "veber", "unsound", "pains", "moses_mcf", "ring_systems"),
    "strict": (
        "lipinski_strict",
        "veber",
        "unsound",
        "pains",
        "brenk",
        "nih",
        "chembl_dundee",
        "moses",
        "ring_systems",
    ),
    "moses": ("moses",),
    "lead_like": ("lead_like_zinc", "unsound", "pains", "moses_mcf", "ring_systems"),
    "fragment": ("rule_of_three", "unsound", "pains", "ring_systems"),
}


@dataclass(frozen=True)
class FilterSet:
    """Filters in the order in which the funnel applies them; names must differ.

    Examples:
        >>> import molgen
        >>> from molgen.filters.filter_sets import as_filter_set
        >>> rules = as_filter_set(["veber", "pains"])
        >>> len(rules)
        2
        >>> molgen.FilterSet.from_yaml(rules.to_yaml()) == rules
        True
        >>> rules.to_list(), rules.descriptors
        (['veber', 'pains'], ['rotatable_bonds', 'tpsa'])
        >>> from rdkit.Chem import MolFromSmiles
        >>> rules.refuse(MolFromSmiles("CCO"))
        []
    """

    filters: tuple[Filter, ...]

    def __post_init__(self) -> None:
        names = [f.name for f in self.filters]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"Filter {twice[0]!r} occurs more than once; give one another name.")

    def __len__(self) -> int:
        return len(self.filters)

    @property
    def descriptors(self) -> list[str]:
        """The descriptors that the filters need, each once."""
        return list(dict.fromkeys(d for f in self.filters for d in f.descriptors))

    def refuse(self, mol: Chem.Mol) -> list[Reason]:
        """All reasons of all filters against a molecule."""
        with quiet_rdkit():
            values = compute(mol, self.descriptors)
            return [reason for f in self.filters for reason in f.refuse(mol, values)]

    def to_list(self) -> list[dict[str, Any] | str]:
        """The filters as plain data."""
        return [f.to_dict() for f in self.filters]

    def to_yaml(self, path: str | Path | None = None) -> str:
        """The set as YAML text, which is also written to ``path`` when one is given."""
        text = write_plain({"filters": self.to_list()})
        if path is not None:
            write_text(Path(path), text)
        return text

    @classmethod
    def from_yaml(cls, source: str | Path) -> FilterSet:
        """Read a set from a YAML file, or from YAML text (which has a line break).

        Raises:
            ValueError: unreadable file, not YAML, or a filter that is malformed.
        """
        import yaml

        text, where = str(source), "The YAML text"
        if isinstance(source, Path) or "\n" not in source:
            where = str(source)
            try:
                text = Path(source).read_text("utf-8")
            except FileNotFoundError:
                raise ValueError(f"There is no filter file {source}.") from None
            except UnicodeDecodeError as error:
                raise ValueError(f"{source} is not UTF-8 text (byte {error.start}).") from None
            except OSError as error:
                raise ValueError(f"Cannot read {source}: {error.strerror}.") from error
        try:
            data = read_plain(text)
        except yaml.YAMLError as error:
            told = " ".join(str(error).split())
            raise ValueError(f"{where} is not YAML: {told}.") from error
        entries = data.get("filters") if isinstance(data, Mapping) else data
        if not isinstance(entries, list):
            raise ValueError(f"{where} must hold a list called 'filters', got {data!r:.80}.")
        return cls(tuple(Filter.from_dict(entry) for entry in entries))


def as_filter_set(filters: Any) -> FilterSet:
    """What :func:`filter_molecules` accepts as ``filters``, made a :class:`FilterSet`.

    Args:
        filters: a preset's name, a filter's name, the path of a YAML file, a :class:`Filter`, a
            :class:`FilterSet`, a dictionary of property windows (``{"logp": (1, 3)}``), or a list
            of names, Filters and dictionaries.
    """
    if isinstance(filters, FilterSet):
        return filters
    if isinstance(filters, Filter):
        return FilterSet((filters,))
    if isinstance(filters, Path) or (
        isinstance(filters, str) and filters.lower().endswith((".yaml", ".yml"))
    ):
        return FilterSet.from_yaml(filters)
    if isinstance(filters, str):
        if filters in PRESETS:
            return FilterSet(tuple(named_filter(n) for n in PRESETS[filters]))
        if filters in filter_names():
            return FilterSet((named_filter(filters),))
        raise ValueError(unknown("filter", filters, [*PRESETS, *filter_names()]))
    if isinstance(filters, Mapping):
        return FilterSet(tuple(Filter.from_dict({k: v}) for k, v in filters.items()))
    if isinstance(filters, Iterable):
        return FilterSet(tuple(f for entry in filters for f in _entry_filters(entry)))
    raise TypeError(f"filters must be a name, a list or a FilterSet, got {type(filters).__name__}.")


def _entry_filters(entry: Any) -> tuple[Filter, ...]:
    """The filters of one entry of a list: a preset stands for several."""
    if isinstance(entry, str) and entry in PRESETS and entry != "moses":
        return as_filter_set(entry).filters
    if isinstance(entry, Mapping) and len(entry) > 1:
        return as_filter_set(entry).filters
    return (Filter.from_dict(entry),)


def _filter_chunk(chunk: Sequence[object], filters: FilterSet) -> list[list[Reason] | str]:
    """For each text the reasons against it, or why it is not a molecule."""
    results: list[list[Reason] | str] = []
    for text in chunk:
        try:
            if not isinstance(text, str):
                raise MoleculeError("Not a string.", f"not a string ({type(text).__name__})")
            mol = parse_whole(text)
            results.append(
                _reasons(TypedMol(mol), filters) if len(chunk) >= MANY else filters.refuse(mol)
            )
        except MoleculeError as error:
            results.append(error.reason)
    return results


def _reasons(molecule: TypedMol, filters: FilterSet) -> list[Reason]:
    """What :meth:`FilterSet.refuse` finds, without looking for alerts that cannot be there."""
    with quiet_rdkit():
        values = quick_values(molecule, filters.descriptors)
        return [
            reason
            for f in filters.filters
            if not without_alerts(f, molecule)
            for reason in f.refuse(molecule, values)
        ]


#: The name under which texts that are not molecules are refused.
NOT_A_MOLECULE = "not a molecule"


def filter_molecules(
    smiles: str | Iterable[str],
    filters: Any = "default",
    *,
    n_jobs: int = 1,
    progress: bool = False,
) -> pd.DataFrame:
    """Test molecules against filters and say why each one was refused.

    Args:
        smiles: one SMILES or many. Texts that are not molecules fail, with that as the reason.
        filters: a preset (``"default"``, ``"strict"``, ``"moses"``, ``"lead_like"``,
            ``"fragment"``), a filter's name, a YAML file, a :class:`FilterSet`, or a list; see
            :func:`as_filter_set`.
        n_jobs: processes, -1 for all cores. The table does not depend on it.
        progress: show a progress bar on standard error.

    Returns:
        DataFrame with ``smiles`` (as given), ``passed`` (bool) and ``reasons`` (text, empty when
        passed; each value has ``.items``, the :class:`Reason` records). ``attrs["funnel"]`` holds
        the funnel (see :func:`funnel_table`) and ``attrs["filters"]`` the filters as plain data.

    >>> table = filter_molecules(["CCO", "CCCCCCCCCCCCCCCCCCCCCCO"], ["veber", {"logp": (-1, 3)}])
    >>> table["passed"].tolist()
    [True, False]
    """
    import pandas as pd

    chosen = as_filter_set(filters)
    texts = as_smiles_list(smiles)
    bar = "filter" if progress else None
    results = map_chunks(_filter_chunk, texts, (chosen,), n_jobs=n_jobs, progress=bar)
    reasons = [Reasons([Reason(NOT_A_MOLECULE, r)] if isinstance(r, str) else r) for r in results]
    table = pd.DataFrame(
        {
            "smiles": pd.Series(texts, dtype=object),
            "passed": pd.Series([not r.items for r in reasons], dtype=bool),
            "reasons": pd.Series(reasons, dtype=object),
        }
    )
    table.attrs["filters"] = chosen.to_list()
    table.attrs["funnel"] = _funnel(reasons, [f.name for f in chosen.filters])
    return table


def _funnel(reasons: Sequence[Reasons], names: Sequence[str]) -> list[dict[str, Any]]:
    """How many molecules entered each step, were refused by it, and would be by it alone."""
    failed = [{item.filter for item in r.items} for r in reasons]
    left = list(range(len(reasons)))
    steps = []
    for name in [NOT_A_MOLECULE, *names]:
        fell = [i for i in left if name in failed[i]]
        steps.append(
            {
                "filter": name,
                "entered": len(left),
                "fell": len(fell),
                "passed": len(left) - len(fell),
                "fell_alone": sum(name in f for f in failed),
            }
        )
        gone = set(fell)
        left = [i for i in left if i not in gone]
    return steps


def funnel_table(table: pd.DataFrame) -> pd.DataFrame:
    """The funnel of a table from :func:`filter_molecules`.

    Returns:
        DataFrame, one row a step: ``filter``, ``entered``, ``fell`` (at this step), ``passed``,
        ``fell_alone`` (would fall at this step if it were the only one).
    """
    import pandas as pd

    if "funnel" not in table.attrs:
        raise ValueError("This table has no funnel; it must come from filter_molecules.")
    return pd.DataFrame(table.attrs["funnel"])
