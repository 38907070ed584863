"""Wishes as a chemist says them: "mw < 400", "clogP 1 to 3", "no aniline", "similar to CCO".

A wish is read into the fields of a :class:`molgen.scoring.components.Component`. Properties may be
called by their usual names (:mod:`molgen.chem.property_words`); of a count "below 3" is at most 2.
The page ``docs/how-to/wishes.md`` lists what is understood.
"""

from __future__ import annotations

import math
import re
from contextlib import suppress
from typing import Any

from rdkit import Chem

from molgen.base.arguments import nearest_name
from molgen.chem.parsing import parse_or_none, quiet_rdkit
from molgen.chem.property_words import (
    CONTINUOUS,
    SYNONYMS,
    group_named,
    groups,
    plain,
    property_named,
)
from molgen.filters.filter_sets import as_filter_set
from molgen.scoring.kinds import KINDS

_WORDS = {
    word: number
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve".split()  # noqa: SIM905
    )
}
_N = rf"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|\b(?:{'|'.join(_WORDS)})\b)"
_UNIT = r"(?:\s*(?:da|daltons?|g/mol|å2|å²|å\^2|a2|a\^2))?"
_MOST = (
    r"(?:<=|=<|≤|at[ _]most|no more than|not more than|up to|maximum|max\.?|not above|not over"
    r"|no higher than|no greater than)"
)
_LEAST = (
    r"(?:>=|=>|≥|at[ _]least|no less than|not less than|no fewer than|minimum|min\.?|not below"
    r"|not under|no lower than)"
)
_BELOW = r"(?:<|under|below|less than|fewer than|lower than|smaller than)"
_ABOVE = r"(?:>|over|above|more than|greater than|higher than|larger than)"
_EQUAL = r"(?:==?|is|equals?|exactly|of)"
_AND = r"\s*(?:\bto\b|\band\b|[-–—,;]|\.\.|\s)\s*"
_IN = r"(?:within|between|from|in|:|=|is)?"

_RULES: tuple[tuple[str, str], ...] = (
    # pattern with named groups p (property), a and b (numbers) -> how the numbers bound it
    (rf"{_N}{_UNIT}\s*(?P<lo><=|≤|<)\s*(?P<p>.+?)\s*(?P<hi><=|≤|<)\s*{_N}{_UNIT}", "chain"),
    (rf"(?P<p>.+?)\s*{_IN}\s*[\[(]?\s*{_N}{_UNIT}{_AND}{_N}{_UNIT}\s*[\])]?", "between"),
    (rf"(?:between |from )?{_N}{_AND}{_N}\s+(?P<p>.+)", "between"),
    (rf"(?P<p>.+?)\s*{_MOST}\s*{_N}{_UNIT}", "most"),
    (rf"(?P<p>.+?)\s*{_LEAST}\s*{_N}{_UNIT}", "least"),
    (rf"(?P<p>.+?)\s*{_BELOW}\s*{_N}{_UNIT}", "below"),
    (rf"(?P<p>.+?)\s*{_ABOVE}\s*{_N}{_UNIT}", "above"),
    (rf"{_MOST}\s*{_N}\s+(?P<p>.+)", "most"),
    (rf"{_LEAST}\s*{_N}\s+(?P<p>.+)", "least"),
    (rf"{_BELOW}\s*{_N}\s+(?P<p>.+)", "below"),
    (rf"{_ABOVE}\s*{_N}\s+(?P<p>.+)", "above"),
    (rf"{_N}\s+or (?:fewer|less)\s+(?P<p>.+)", "most"),
    (rf"{_N}\s+or more\s+(?P<p>.+)", "least"),
    (rf"{_N}\s+(?P<p>.+?)\s+(?:{_MOST}|or fewer|or less)", "most"),
    (rf"{_N}\s+(?P<p>.+?)\s+(?:{_LEAST}|or more)", "least"),
    (rf"(?P<p>.+?)\s*{_EQUAL}\s*{_N}{_UNIT}", "equal"),
    (rf"(?:exactly\s+)?{_N}\s+(?P<p>.+)", "equal"),
    (rf"(?P<p>.+?)\s+{_N}{_UNIT}", "equal"),
)
_UP = r"(?:maximi[sz]e|maximal|highest|high|increase|raise|improve|max\.?)"
_DOWN = r"(?:minimi[sz]e|minimal|lowest|low|decrease|reduce|lower|min\.?)"
_EXAMPLES = (
    "'maximise qed', 'mw < 400', 'clogp 1 to 3', 'at most 5 rotatable bonds', 'contains "
    "c1ccncc1', 'no aniline', 'passes pains' or 'similar to CCO'"
)


def read_wish(text: str) -> dict[str, Any]:
    """The fields of the component that a sentence asks for.

    Raises:
        ValueError: For a sentence that is not understood; the message says the nearest that is.

    >>> read_wish("MW < 400")
    {'property': 'mw', 'goal': 'at most', 'high': 400.0}
    >>> read_wish("fewer than three H-bond donors")
    {'property': 'hbd', 'goal': 'at most', 'high': 2.0}
    """
    words = " ".join(text.split()).rstrip(".")
    further: dict[str, Any] = {}
    if match := re.search(r"[,;(]?\s*(?:with )?weight (\d+\.?\d*)\)?$", words, re.IGNORECASE):
        further["weight"] = float(match[1])
        words = words[: match.start()].strip()
    if match := re.search(r"\s*[,;]?\s*\(?\bhard\)?$", words, re.IGNORECASE):
        further["hard"] = True
        words = words[: match.start()].strip()
    elif match := re.match(r"must(?: have| be)?:?\s+", words, re.IGNORECASE):
        further["hard"] = True
        words = words[match.end() :]
    for read in (_structure, _direction, _bounds):
        found = read(words)
        if found is not None:
            return found | further
    raise ValueError(_not_understood(text, words))


# ---- structures, filters, likeness ---------------------------------------------------------------
def _structure(words: str) -> dict[str, Any] | None:
    number = r"(?:\s*(?:,|with)?\s*(?P<how>at least|>=|≥|>|at most|<=|≤|<)\s*(?P<n>0?\.\d+|[01]))?"
    if match := _full(rf"(?:similar|similarity|close|like)(?: to)? (?P<x>\S+?){number}", words):
        return _likeness(match, "maximise")
    if match := _full(
        rf"(?:dissimilar|unlike|different|far)(?: to| from)? (?P<x>\S+?){number}", words
    ):
        return _likeness(match, "minimise")
    if match := _full(r"(?:pass|passes|passing|obeys?|keeps?|filters?:?) (?:the )?(.+)", words):
        name = _filter_name(match[1])
        return _passes(name)
    if match := _full(
        r"(?:no|without|avoid|not|free of|excludes?|lacks?) (?:an? |any )?(.+)", words
    ):
        return _absent(match[1])
    if match := _full(
        r"(?:contains?|containing|has|with|includes?|keep) (?:an? |the )?(.+)", words
    ):
        if re.match(rf"(?:{_N}|{_MOST}|{_LEAST}|{_BELOW}|{_ABOVE})\s", match[1], re.IGNORECASE):
            return _bounds(match[1])
        smarts = _pattern(match[1])
        return {
            "property": "substructure",
            "goal": "at least",
            "low": 1.0,
            "params": {"smarts": smarts},
            "name": f"contains {match[1]}",
        }
    return None


def _likeness(match: re.Match[str], goal: str) -> dict[str, Any]:
    lead = match["x"].strip("<>\"'")
    if parse_or_none(lead) is None:
        raise ValueError(f"{lead!r} in the wish {match[0]!r} is not a molecule; give its SMILES")
    found: dict[str, Any] = {"property": "similarity", "goal": goal, "params": {"smiles": lead}}
    if match["how"]:
        least = match["how"] in ("at least", ">=", "≥", ">")
        found["goal"] = "at least" if least else "at most"
        found["low" if least else "high"] = float(match["n"])
    return found | {"name": f"{'similar' if goal == 'maximise' else 'unlike'} {lead}"}


def _filter_name(words: str) -> str:
    name = re.sub(r"[\s\-]+", "_", re.sub(r" (?:filters?|rules?|alerts?)$", "", words.strip()))
    try:
        as_filter_set(name.lower())
    except ValueError as error:
        raise ValueError(f"cannot read the wish 'passes {words}': {error}") from error
    return name.lower()


def _passes(name: str) -> dict[str, Any]:
    return {
        "property": "passes",
        "goal": "at least",
        "low": 1.0,
        "params": {"filters": name},
        "name": f"passes {name}",
        "hard": True,
    }


def _absent(words: str) -> dict[str, Any] | None:
    if re.match(r"(?:more|less|fewer|higher|lower|greater|above|below|over|under) ", words):
        return None  # "no more than 5 rings" is a bound
    name = property_named(words)
    if name is not None and name not in CONTINUOUS:
        return {"property": name, "goal": "at most", "high": 0.0, "hard": True}
    if plain(words) in ("alert", "structural alert"):
        return {"property": "alerts", "goal": "at most", "high": 0.0, "hard": True}
    if group_named(words) is None:
        with suppress(ValueError):
            return _passes(_filter_name(words))  # "no pains"
    return {
        "property": "substructure",
        "goal": "at most",
        "high": 0.0,
        "params": {"smarts": _pattern(words)},
        "name": f"no {words}",
        "hard": True,
    }


def _smarts(words: str) -> str | None:
    text = words.strip("<>\"' ")
    if " " in text or not text:
        return None
    with quiet_rdkit():
        query = Chem.MolFromSmarts(text)
    return text if query is not None and query.GetNumAtoms() else None


def _pattern(words: str) -> str:
    """SMARTS of a group's name, or the SMARTS that it is."""
    found = group_named(words) or _smarts(words)
    if found is None:
        raise ValueError(
            f"{words!r} is neither a group that is known by name nor a SMARTS pattern."
            f"{nearest_name(plain(words), tuple(groups()))}"
        )
    return found


# ---- properties ----------------------------------------------------------------------------------
def _direction(words: str) -> dict[str, Any] | None:
    for pattern, goal in ((_UP, "maximise"), (_DOWN, "minimise")):
        match = _full(rf"(?:a |as )?{pattern} (?:the )?(?P<p>.+)", words)
        if match and not re.search(rf"^{_N}\s|\s{_N}$", match["p"], re.IGNORECASE):
            return {**_property(match["p"]), "goal": goal}
    return None


def _bounds(words: str) -> dict[str, Any] | None:
    for pattern, how in _RULES:
        match = _full(pattern, words)
        if match is None:
            continue
        found = _property_or_none(match["p"])
        if found is None:
            continue
        numbers = [_number(g) for g in match.groups() if g is not None and _full(_N, g)]
        count = found["property"] not in CONTINUOUS and found["property"] in _counts()
        if how == "chain":
            strict = [match["lo"] == "<", match["hi"] == "<"]
            low = _at_least(numbers[0], strict[0], count)
            high = _at_most(numbers[1], strict[1], count)
            return {**found, "goal": "within", "low": low, "high": high}
        if how == "between":
            return {**found, "goal": "within", "low": numbers[0], "high": numbers[1]}
        if how == "equal":
            return {**found, "goal": "within", "low": numbers[0], "high": numbers[0]}
        if how in ("most", "below"):
            high = _at_most(numbers[0], how == "below", count)
            return {**found, "goal": "at most", "high": high}
        return {**found, "goal": "at least", "low": _at_least(numbers[0], how == "above", count)}
    return None


def _counts() -> frozenset[str]:
    return frozenset({*SYNONYMS.values(), "substructure_count", "alerts"}) - CONTINUOUS


def _at_most(number: float, strict: bool, count: bool) -> float:
    return float(math.ceil(number) - 1) if strict and count else number


def _at_least(number: float, strict: bool, count: bool) -> float:
    return float(math.floor(number) + 1) if strict and count else number


def _number(text: str) -> float:
    return float(_WORDS[text.lower()]) if text.lower() in _WORDS else float(text)


def _property_or_none(words: str) -> dict[str, Any] | None:
    text = words.strip(" :=")
    name = property_named(text)
    if name is None and text in KINDS:
        name = text
    if name is not None:
        return {"property": name}
    smarts = group_named(text)
    if smarts is not None:
        return {"property": "substructure_count", "params": {"smarts": smarts}, "name": text}
    return None


def _property(words: str) -> dict[str, Any]:
    found = _property_or_none(words)
    if found is None:
        known = (*KINDS, *SYNONYMS)
        raise ValueError(
            f"there is no property {words!r}.{nearest_name(plain(words), known)} "
            f"The properties are: {', '.join(KINDS)}"
        )
    return found


def _full(pattern: str, words: str) -> re.Match[str] | None:
    return re.fullmatch(pattern, words, re.IGNORECASE)


def _not_understood(text: str, words: str) -> str:
    alone = _property_or_none(words)
    if alone is not None:
        name = alone["property"]
        return (
            f"the wish {text!r} names {name} but not what is wanted of it: write "
            f"'maximise {name}', '{name} at most 3' or '{name} 1 to 3'"
        )
    named = re.sub(rf"{_N}|[<>=≤≥]|at most|at least|within|between|and|to", " ", words)
    hint = nearest_name(plain(named), (*KINDS, *SYNONYMS))
    return f"cannot read the statement {text!r}.{hint} Write wishes such as {_EXAMPLES}"
