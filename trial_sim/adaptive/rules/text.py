"""Conditions as text, as their ``in_words`` says them: ``"z >= 0.5 and not (rank > 1)"``."""

from __future__ import annotations

import re
from typing import Any

_TOKEN = re.compile(
    r"\s*(?:(?P<sign>>=|<=|>|<)|(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
    r"|(?P<text>'[^']*'|\"[^\"]*\")|(?P<bracket>[()])|(?P<word>[A-Za-z_]+))"
)


def tokens(text: str) -> list[tuple[str, str]]:
    """The words, numbers, quoted names, signs and brackets of a condition, each with its kind.

    Raises:
        ValueError: for a character that is none of them.
    """
    found, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"the condition {text!r} cannot be read at {text[at:].strip()!r}")
        kind = str(match.lastgroup)
        value = match.group(kind)
        found.append((kind, value[1:-1] if kind == "text" else value))
        at = match.end()
    return found


class Reader:
    """Reads a condition from text into the plain values of its record.

    Args:
        text: such as ``"conditional_power >= 0.3 and (z of arm 'high' < 2 or n > 100)"``.
    """

    def __init__(self, text: str) -> None:
        self.text, self.left = text, tokens(text)

    def read(self) -> dict[str, Any]:
        """The whole condition.

        Raises:
            ValueError: for text that is no condition, saying where.
        """
        found = self._joined("or", "AnyOf")
        if self.left:
            self._fail(f"nothing more was expected before {self.left[0][1]!r}")
        return found

    def _fail(self, why: str) -> None:
        raise ValueError(
            f"the condition {self.text!r} cannot be read: {why}. A condition is such as "
            "\"conditional_power >= 0.3 and z of arm 'high' < 2\""
        )

    def _next(self, kind: str, what: str) -> str:
        if not self.left or self.left[0][0] != kind:
            got = repr(self.left[0][1]) if self.left else "its end"
            self._fail(f"{what} was expected, not {got}")
        return self.left.pop(0)[1]

    def _is(self, word: str) -> bool:
        return bool(self.left) and self.left[0][1] == word and self.left[0][0] != "text"

    def _joined(self, word: str, kind: str) -> dict[str, Any]:
        parts = [self._part(word)]
        while self._is(word):
            self.left.pop(0)
            parts.append(self._part(word))
        return parts[0] if len(parts) == 1 else {"type": kind, "conditions": parts}

    def _part(self, word: str) -> dict[str, Any]:
        if word == "or":
            return self._joined("and", "AllOf")
        if self._is("not"):
            self.left.pop(0)
            return {"type": "NotSo", "condition": self._part("and")}
        if self._is("("):
            self.left.pop(0)
            inside = self._joined("or", "AnyOf")
            if not self._is(")"):
                self._fail("a bracket is not closed")
            self.left.pop(0)
            return inside
        quantity = self._quantity()
        if self._is("minus"):
            self.left.pop(0)
            quantity = {"type": "Difference", "first": quantity, "second": self._quantity()}
        sign = self._next("sign", "one of >=, >, <=, <")
        value = float(self._next("number", "a number"))
        return {
            "type": "Comparison",
            "quantity": quantity,
            "sign": sign,
            "value": int(value) if value.is_integer() else value,
        }

    def _quantity(self) -> dict[str, Any]:
        found: dict[str, Any] = {"type": "Quantity", "name": self._next("word", "a quantity")}
        while self._is("at") or self._is("of"):
            if self.left.pop(0)[1] == "at":
                found["at"] = float(self._next("number", "a number"))
                continue
            what = self._next("word", "arm, population or endpoint")
            if what not in ("arm", "population", "endpoint"):
                self._fail(f"arm, population or endpoint was expected, not {what!r}")
            found[what] = self._next("text", "a name in quotes")
        return found
