"""What stands in an assay's column: numbers, limits such as ">10000", class words, nothing.

Numbers are read as people write them (">10000", "<0.1", "1 234.5", "0,12"); a text that could mean
two things is refused with the reason. Two classes are told apart by what they mean, never by the
alphabet: the class that a model speaks of is ``positive=``, or known by its word ("active", "yes",
"hit", "toxic" beside "non-toxic", 1 beside 0).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from molgen.base.arguments import nearest_name
from molgen.base.errors import MolgenError


class QsarError(MolgenError):
    """Data from which no QSAR model can be fitted, or a file that holds none."""


#: Texts that say that there is no value ("-" only where no "+" stands in the column).
_NOTHING = frozenset({
    "", "-", "--", "?", "n.d.", "nd", "n.d", "n/d", "n.a.", "na", "n.a", "n/a", "nt", "n.t.",
    "none", "null", "nan", "nat", "<na>", "missing", "unknown", "not determined", "not tested",
    "not available", "not measured", "not applicable", "inconclusive", "indeterminate",
    "unspecified", "undetermined", "ambiguous", "pending", "tbd", "#n/a", "#value!", "#div/0!",
    "#ref!",
})  # fmt: skip
_POSITIVE = frozenset({
    "active", "yes", "y", "true", "t", "positive", "pos", "+", "hit", "toxic", "binder",
    "inhibitor", "agonist", "antagonist", "blocker", "substrate", "permeable", "soluble",
    "stable", "mutagenic", "high", "1", "present",
})  # fmt: skip
_NEGATIVE = frozenset({
    "inactive", "no", "n", "false", "f", "negative", "neg", "-", "miss", "decoy", "low", "0",
    "-1", "absent", "safe",
})  # fmt: skip
#: Known words that are each other's contrary without a prefix; a pair outside needs positive=.
_CONTRARY = (
    ("active", "decoy"),
    ("binder", "decoy"),
    ("yes", "no"),
    ("y", "n"),
    ("true", "false"),
    ("t", "f"),
    ("positive", "negative"),
    ("pos", "neg"),
    ("+", "-"),
    ("hit", "miss"),
    ("hit", "no"),
    ("toxic", "safe"),
    ("high", "low"),
    ("present", "absent"),
    ("1", "0"),
    ("1", "-1"),
)
_NOT = re.compile(r"(?:non|not|no|in|im|un|il|ir|dis)(?:[\s_-]*)")
_RELATIONS = {
    ">": ">", ">=": ">", "≥": ">", "=>": ">", ">>": ">", "⩾": ">",
    "<": "<", "<=": "<", "≤": "<", "=<": "<", "<<": "<", "⩽": "<",
    "=": "=", "~": "=", "≈": "=", "ca.": "=", "ca": "=", "==": "=", "": "=",
}  # fmt: skip
_TEXT = re.compile(r"(>=|<=|=>|=<|>>|<<|==|[<>=~≈≥≤⩾⩽]|ca\.?)?\s*(.*)", re.DOTALL | re.IGNORECASE)
_PLAIN = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_GROUPS = re.compile(r"[-+]?\d{1,3}(?:[,' \u00a0\u202f]\d{3})+(?:\.\d+)?")
_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+(?:[eE][-+]?\d+)?")


@dataclass(frozen=True)
class Values:
    """A column that was read.

    Attributes:
        task: "regression" or "classification".
        values: (n,) float64; NaN where there is none.
        relations: (n,) of "=", ">" (the true value is above) or "<" (below).
        reasons: (n,) why there is no value, or "".
        classes: The labels behind 0 and 1 (1 is the class that is predicted), or ().
        remarks: What the user should know, one sentence each.
    """

    task: str
    values: np.ndarray
    relations: tuple[str, ...]
    reasons: tuple[str, ...]
    classes: tuple[Any, ...] = ()
    remarks: tuple[str, ...] = ()


def read_values(
    y: Iterable[Any],
    task: str = "auto",
    positive: Any = None,
    relation: Iterable[Any] | None = None,
) -> Values:
    """Read measured values, limits or classes.

    Args:
        y: What stands in the column.
        task: "regression", "classification" or "auto".
        positive: The class that counts as 1; by default known from its word.
        relation: "=", ">" or "<" beside each value (ChEMBL's ``standard_relation``), or None.

    Raises:
        QsarError: For classes whose meaning is not known, more or fewer than two of them, or
            nothing at all.
    """
    if task not in ("auto", "regression", "classification"):
        raise QsarError(f"task is auto, regression or classification; got {task!r}")
    given = [_plain(value) for value in y]
    signs = _signs(relation, len(given))
    plus = any(isinstance(v, str) and v.strip() == "+" for v in given)
    missing = [is_missing(v, plus) for v in given]
    if all(missing):
        raise QsarError("y has no value: every entry is missing")
    present = [v for v, gone in zip(given, missing) if not gone]
    if task == "auto":
        task = _guess_task(present, positive)
    if task == "regression" and positive is not None:
        raise QsarError(f"positive={positive!r} names a class, but task is 'regression'")
    if task == "classification":
        return _read_classes(given, missing, positive)
    return _read_numbers(given, missing, signs)


def _plain(value: Any) -> Any:
    if isinstance(value, str):  # a minus as word processors and papers write it
        return value.replace("\u2212", "-")
    return value.item() if isinstance(value, np.generic) else value


def is_missing(value: Any, plus: bool = False) -> bool:
    """Whether a cell says that there is no value; "-" does not where the column has "+"."""
    if value is None:
        return True
    if isinstance(value, str):
        text = " ".join(value.split()).casefold()
        return text in _NOTHING and not (plus and text == "-")
    try:
        return bool(value != value)  # NaN and NaT differ from themselves
    except (TypeError, ValueError):  # pandas.NA answers neither yes nor no
        return True


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _number(value: Any) -> float | None:
    """The number that a value plainly is, or None."""
    if isinstance(value, str):
        text = value.strip()
        return float(text) if _PLAIN.fullmatch(text) else None
    if _is_bool(value):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


# ---- numbers or classes? -------------------------------------------------------------------------
def _guess_task(present: Sequence[Any], positive: Any) -> str:
    if positive is not None:
        return "classification"
    numbers = [_number(value) for value in present]
    if all(number is not None for number in numbers):
        different = sorted({number for number in numbers if number is not None})
        if len(different) == 2 and different in ([0.0, 1.0], [-1.0, 1.0]):
            return "classification"
        if len(different) == 2:
            low, high = (f"{number:g}" for number in different)
            raise QsarError(
                f"y holds two numbers only, {low} and {high}: are they classes? Name the one that "
                f"is predicted, such as positive={high}, or say task='regression'"
            )
        return "regression"
    # Limits and unreadable cells stand between numbers; words alone are classes.
    as_numbers = sum(
        number is not None or (isinstance(v, str) and looks_like_a_number(v))
        for v, number in zip(present, numbers)
    )
    if as_numbers == 0:
        return "classification"
    words = [v for v, n in zip(present, numbers) if n is None and not looks_like_a_number(v)]
    if not words or as_numbers > len(present) / 2:
        return "regression"
    raise QsarError(
        f"y holds {as_numbers:,} numbers and {len(words):,} texts such as {words[0]!r}: say "
        "task='regression' (the texts are then left out and listed) or give classes alone"
    )


def looks_like_a_number(value: Any) -> bool:
    """Whether a text is a number or a limit, as people write them."""
    if not isinstance(value, str):
        return False
    body = _TEXT.fullmatch(value.strip())[2]  # type: ignore[index]
    return bool(_PLAIN.fullmatch(body) or _GROUPS.fullmatch(body) or _DECIMAL_COMMA.fullmatch(body))


# ---- classes -------------------------------------------------------------------------------------
def _word(label: Any) -> str:
    """A label as it is compared: without case, outer blanks, and 1.0 like 1."""
    if _is_bool(label):
        return "true" if label else "false"
    number = _number(label)
    if number is not None and number.is_integer():
        return str(int(number))
    return re.sub(r"[\s_]+", " ", str(label).strip().casefold())


def _read_classes(given: Sequence[Any], missing: Sequence[bool], positive: Any) -> Values:
    first: dict[str, Any] = {}
    for value, gone in zip(given, missing):
        if not gone:
            shown = value.strip() if isinstance(value, str) else value
            first.setdefault(_word(value), shown)
    if len(first) == 1:
        (only,) = first.values()
        raise QsarError(f"y is constant: every molecule is {only!r}; nothing to learn")
    if len(first) != 2:
        shown = ", ".join(repr(label) for label in list(first.values())[:5])
        raise QsarError(
            f"a classification needs two classes; y has {len(first)}: {shown}. Leave out or join "
            "the others, or give numbers for a regression"
        )
    chosen = _known_positive(*first) if positive is None else _named_class(positive, first)
    if chosen is None:
        one, other = (repr(label) for label in first.values())
        raise QsarError(
            f"the classes of y are {one} and {other}, and nothing says which of them the model is "
            f"to predict: give positive={one} or positive={other}"
        )
    (negative,) = (word for word in first if word != chosen)
    values = np.array(
        [math.nan if gone else float(_word(v) == chosen) for v, gone in zip(given, missing)]
    )
    return Values(
        "classification",
        values,
        ("=",) * len(given),
        tuple("no value" if gone else "" for gone in missing),
        (first[negative], first[chosen]),
    )


def _named_class(positive: Any, first: dict[str, Any]) -> str:
    word = _word(_plain(positive))
    if word not in first:
        shown = " and ".join(repr(label) for label in first.values())
        near = nearest_name(word, list(first))
        raise QsarError(f"positive={positive!r} is no class of y.{near} Its classes are {shown}")
    return word


def _known_positive(one: str, other: str) -> str | None:
    """Which of two labels says yes; None where that cannot be told."""
    shared = set(one.split()) & set(other.split())
    if shared:  # "ames positive" and "ames negative"
        one_rest, other_rest = (
            " ".join(part for part in word.split() if part not in shared) for word in (one, other)
        )
        if one_rest and other_rest:
            known = _known_positive(one_rest, other_rest)
            return {one_rest: one, other_rest: other}.get(known or "")
    if one[:-1] == other[:-1] and {one[-1:], other[-1:]} == {"+", "-"}:  # BBB+ and BBB-
        return one if one.endswith("+") else other
    for yes, no in ((one, other), (other, one)):
        if (yes, no) in _CONTRARY:
            return yes
        match = _NOT.match(no)
        # "inactive" beside "active", "non-toxic" beside "toxic", "not a hit" beside "hit"
        if match and re.sub(r"^an? ", "", no[match.end() :]) == yes and yes not in _NEGATIVE:
            return yes
    affirmed = [w for w in (one, other) if w in _POSITIVE]
    denied = [w for w in (one, other) if w in _NEGATIVE and w not in ("low", "0", "-1", "-")]
    if len(affirmed) == len(denied) == 1 and affirmed[0] not in ("1", "high", "+"):
        return affirmed[0]
    return None


# ---- numbers -------------------------------------------------------------------------------------
def _signs(relation: Iterable[Any] | None, n: int) -> list[str]:
    if relation is None:
        return [""] * n
    texts = ["" if is_missing(_plain(sign), True) else str(sign) for sign in relation]
    signs = [text.strip().strip("'\"").strip().casefold() for text in texts]
    if len(signs) != n:
        raise QsarError(f"relation has {len(signs)} rows, y has {n}")
    return signs


def _read_numbers(given: Sequence[Any], missing: Sequence[bool], signs: Sequence[str]) -> Values:
    texts = [v for v, gone in zip(given, missing) if isinstance(v, str) and not gone]
    comma = _meaning_of_commas(texts)
    values = np.full(len(given), np.nan)
    relations, reasons = ["="] * len(given), [""] * len(given)
    for row, (value, gone, sign) in enumerate(zip(given, missing, signs)):
        if gone:
            reasons[row] = "no value"
            continue
        if sign not in _RELATIONS:
            reasons[row] = f"relation {sign!r} is none of = > <"
            continue
        number, relation, reasons[row] = _read_number(value, comma)
        if relation == "=":
            relation = _RELATIONS[sign]
        elif sign and _RELATIONS[sign] not in ("=", relation):
            reasons[row] = f"y is {value!r} but its relation is {sign!r}"
        if not reasons[row] and not math.isfinite(number):
            reasons[row] = f"y is {number}"
        if not reasons[row]:
            values[row], relations[row] = number, relation
    usable = values[np.isfinite(values)]
    if not len(usable):
        first = next(reason for reason in reasons if reason)
        raise QsarError(f"y of a regression is numbers, and none can be read: {first}")
    remarks = []
    different = sorted(set(usable.tolist()))
    if len(different) <= 4 and len(usable) >= 20 and all(v.is_integer() for v in different):
        shown = ", ".join(f"{v:g}" for v in different)
        remarks.append(
            f"y has {len(different)} different values only ({shown}) and they are taken as "
            "amounts; if they are codes of classes, give two classes and positive="
        )
    return Values("regression", values, tuple(relations), tuple(reasons), (), tuple(remarks))


def _meaning_of_commas(texts: Sequence[str]) -> str:
    """ "decimal", "thousands" or "" where the column does not show what its commas mean."""
    bodies = [_TEXT.fullmatch(text.strip())[2] for text in texts]  # type: ignore[index]
    bodies = [body for body in bodies if "," in body]
    decimal = any(_DECIMAL_COMMA.fullmatch(b) and not _GROUPS.fullmatch(b) for b in bodies)
    decimal = decimal or any(re.fullmatch(r"[-+]?0,\d+", body) for body in bodies)
    thousands = any(_GROUPS.fullmatch(b) and (b.count(",") > 1 or "." in b) for b in bodies)
    if decimal == thousands:
        return ""
    return "decimal" if decimal else "thousands"


def _read_number(value: Any, comma: str) -> tuple[float, str, str]:
    """Number, relation, and the reason why there is none or ""."""
    if not isinstance(value, str):
        number = float(value) if _is_bool(value) else _number(value)
        if number is None:
            return math.nan, "=", f"y is {value!r}, not a number"
        return number, "=", ""
    match = _TEXT.fullmatch(value.strip())
    assert match is not None
    relation = _RELATIONS[(match[1] or "").casefold()]
    body = match[2]
    if _PLAIN.fullmatch(body):
        return float(body), relation, ""
    if re.fullmatch(r"[-+]?inf(inity)?", body, re.IGNORECASE):
        return float(body), relation, ""
    if _GROUPS.fullmatch(body) and "," not in body:
        return float(re.sub(r"[' \u00a0\u202f]", "", body)), relation, ""
    if _GROUPS.fullmatch(body) or _DECIMAL_COMMA.fullmatch(body):
        certain = not (_GROUPS.fullmatch(body) and _DECIMAL_COMMA.fullmatch(body))
        certain = certain or bool(re.fullmatch(r"[-+]?0,\d+", body))
        if certain:
            decimal = bool(_DECIMAL_COMMA.fullmatch(body))
        elif comma:
            decimal = comma == "decimal"
        else:
            return math.nan, "=", f"y is {value.strip()!r}: a decimal comma, or thousands?"
        return float(body.replace(",", "." if decimal else "")), relation, ""
    return math.nan, "=", f"y is {value.strip()!r}, not a number"
