"""What a batch starts from, where it is not the model alone: leads, scaffolds, links, windows.

The draws of such a batch are those of the model's verbs (``sample_near`` and the like). Places are
numbered as in any batch: a block, of at most 512, is cut into turns of ``each`` draws, the turns go
to the starts one after another, and each round of turns has random numbers of its own. So a chunk
is decided by the plan and its number alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from molgen.base.arguments import unknown, whole
from molgen.base.errors import BatchError
from molgen.files.molecule_files import names_a_file, read_molecules
from molgen.model.config import BLOCK

if TYPE_CHECKING:
    from molgen.generation.generator import Generator

#: Key of the plan: the method of a model, and what it starts from.
VERBS = {
    "near": ("sample_near", "a molecule"),
    "scaffold": ("sample_scaffold", "a scaffold"),
    "link": ("link", "a pair of fragments"),
    "replace_core": ("replace_core", "a pair of a molecule and its core"),
    "where": ("sample_where", "a window, a mapping of properties to limits"),
}
_TAKE_TEMPERATURE = ("near", "scaffold", "where")
_LIMITS = ("atoms", "rings", "length", "rotors")


@dataclass(frozen=True)
class Starts:
    """What the draws of a batch start from.

    Attributes:
        verb: one of :data:`VERBS`.
        given: the starts: a text each, or a pair of texts, or a window.
        names: their identifiers, or ().
        each: draws of a turn.
        options: what else the verb takes.
    """

    verb: str
    given: tuple[Any, ...]
    names: tuple[str, ...] = ()
    each: int = BLOCK
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Starts:
        """The inverse of :meth:`to_dict`."""
        values = dict(plain)
        given = tuple(tuple(g) if isinstance(g, list) else g for g in values.pop("given"))
        return cls(given=given, names=tuple(values.pop("names")), **values)

    @property
    def texts(self) -> tuple[str, ...]:
        """Each start as one text, for the column ``start``."""
        return tuple(
            g if isinstance(g, str) else " ".join(g) if isinstance(g, tuple) else json.dumps(g)
            for g in self.given
        )

    @property
    def turns(self) -> int:
        """Turns of a block: each start once, or as many as fit."""
        return min(BLOCK // self.each, len(self.given))

    def block(
        self, model: Generator, number: int, seed: int, temperature: float
    ) -> tuple[list[tuple[int, str, int]], int, dict[str, str]]:
        """Block ``number``: (place, SMILES, which start); how many were dropped; starts refused."""
        turns = self.turns
        found: list[tuple[int, str, int]] = []
        refused: dict[str, str] = {}
        dropped = 0
        for turn in range(turns):
            round_, which = divmod(number * turns + turn, len(self.given))
            try:
                molecules = self.draw(model, which, self.each, _seed(seed, round_), temperature)
            except ValueError as error:
                refused[self.texts[which]] = str(error)
                continue
            first = (number * turns + turn) * self.each
            found += [(first + i, smiles, which) for i, smiles in enumerate(molecules)]
            dropped += self.each - len(molecules)
        return found, dropped, refused

    def draw(
        self, model: Generator, which: int, n: int, seed: int, temperature: float
    ) -> Sequence[str]:
        """``n`` molecules from one start.

        Raises:
            ValueError: nothing can be made of it.
        """
        start = self.given[which]
        options = {k: _limit(v) if k in _LIMITS else v for k, v in self.options.items()}
        if self.verb in _TAKE_TEMPERATURE:
            options["temperature"] = temperature
        if self.verb == "where":
            arguments: tuple[Any, ...] = ({k: _limit(v) for k, v in start.items()},)
        else:
            arguments = start if isinstance(start, tuple) else (start,)
        molecules: Sequence[str] = getattr(model, VERBS[self.verb][0])(
            *arguments, n, seed=seed, **options
        )
        return molecules[:n]


def _seed(seed: int, round_: int) -> int:
    """The first round has the seed itself, so that it gives what the verb gives in Python."""
    return seed if round_ == 0 else int(np.random.SeedSequence([seed, round_]).generate_state(1)[0])


def _limit(value: Any) -> Any:
    """A limit as the verbs take it: pairs as tuples, the numbers of marks as numbers."""
    if isinstance(value, Mapping):
        return {int(k) if str(k).isdecimal() else k: _limit(v) for k, v in value.items()}
    if isinstance(value, list) and len(value) == 2 and all(v is None or _number(v) for v in value):
        return tuple(value)
    return value


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def read_starts(content: Any, n: int) -> Starts:
    """The starts of a plan: ``{verb: scaffold, from: scaffolds.csv, each: 50, atoms: [2, 8]}``.

    ``from`` is one start, many, or a file of molecules; without ``each``, each start has as many
    draws in a turn as it is to deliver.

    Raises:
        BatchError: an unknown verb, no starts, or starts of another kind.
    """
    if not isinstance(content, Mapping):
        raise BatchError(f"start must be a mapping with verb and from, got {content!r:.60}.")
    values = dict(content)
    verb, given = values.pop("verb", None), values.pop("from", None)
    if verb not in VERBS:
        raise BatchError(unknown("start.verb", verb, VERBS))
    each = values.pop("each", None)
    names: tuple[str, ...] = ()
    if isinstance(given, str) and verb in ("near", "scaffold") and names_a_file(given):
        try:
            read = read_molecules(given)
        except ValueError as error:
            raise BatchError(f"start: {error}") from error
        if read.rejected:
            raise BatchError(f"start: {given}, {read.rejected[0]}; leave the row out.")
        given, names = list(read.smiles), read.names if any(read.names) else ()
    starts = _as_many(verb, given)
    if each is None:
        each = min(max(-(-n // len(starts)), 1), BLOCK)
    whole("start.each", each, 1)
    if each > BLOCK:
        raise BatchError(f"start.each is {each}; expected at most {BLOCK}.")
    return Starts(verb, starts, names, each, values)


def _as_many(verb: str, given: Any) -> tuple[Any, ...]:
    """The starts, each of the kind that the verb takes."""
    many = given
    if verb == "where":
        many = [given] if isinstance(given, Mapping) else given
        fits = isinstance(many, list | tuple) and all(isinstance(g, Mapping) for g in many)
    elif verb in ("link", "replace_core"):
        texts = isinstance(given, list | tuple) and all(isinstance(g, str) for g in given)
        many = [given] if texts and len(given) == 2 else given
        fits = isinstance(many, list | tuple) and all(
            isinstance(g, list | tuple) and len(g) == 2 and all(isinstance(t, str) for t in g)
            for g in many
        )
        many = [tuple(g) for g in many] if fits else many
    else:
        many = [given] if isinstance(given, str) else given
        fits = isinstance(many, list | tuple) and all(isinstance(g, str) for g in many)
    if not fits or not many:
        more = ", or a file of them" if verb in ("near", "scaffold") else ""
        raise BatchError(f"start.from is {given!r:.60}; expected {VERBS[verb][1]}, or many{more}.")
    return tuple(many)


def check_starts(starts: Starts, model: Generator, seed: int, temperature: float) -> None:
    """Make one molecule from the first start that gives any, so that wrong options end at once.

    Raises:
        BatchError: none of the first starts gives one, with the reason of the first.
    """
    if temperature != 1.0 and starts.verb not in _TAKE_TEMPERATURE:
        raise BatchError(f"temperature has no meaning for {starts.verb}.")
    reasons = []
    for which in range(min(len(starts.given), 5)):
        try:
            if starts.draw(model, which, 1, seed, temperature):
                return
            reasons.append("nothing was found")
        except (ValueError, TypeError) as error:
            reasons.append(str(error))
    raise BatchError(f"start: {starts.texts[0]}: {reasons[0]}")


def draws_from(
    starts: Starts, model: Generator, blocks: range, seed: int, temperature: float,
    counts: dict[str, Any],
) -> Iterator[tuple[int, str, int]]:  # fmt: skip
    """(place, SMILES, which start) of blocks; ``counts`` is brought up to date."""
    for block in blocks:
        found, dropped, refused = starts.block(model, block, seed, temperature)
        counts["drawn"] += len(found)
        counts["unreadable"] += dropped
        if refused:
            counts.setdefault("refused", {}).update(refused)
        yield from found


def resolved_path(content: Any, folder: Path) -> Any:
    """The plan's ``start`` with its file looked up beside the run file first."""
    if not isinstance(content, Mapping) or not isinstance(content.get("from"), str):
        return content
    near = folder / content["from"]
    return {**content, "from": str(near)} if near.is_file() else content
