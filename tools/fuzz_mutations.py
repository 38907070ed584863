"""Mutations of good input that `tools.fuzz` feeds to the parsers."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np

Random = np.random.Generator

SNIPPETS = (
    "", "\x00", "\r\n", "\n", "\t", " ", ",", ";", '"', "'", "(", ")", "[", "]", "{", "}", "#", "%",
    "-1", "0", "1e999", "-0.0", "nan", "inf", "null", "true", "~", "&a *a", "<<: *a",
    "!!python/name:os",
    "!!binary ////", "../../x", "/etc/passwd", "C:\\x", "é", "𝛼", "\ufeff", "\u202e",
    "999999999999999999999",
    "[*:1]", "@@", "==", "C1CC", "[Fe+9]", "**", "9" * 400, "(" * 60, "a" * 300, "$$$$",
    "M  END", "--- ",
    "not ", " and ", "__import__('os')", "0x10", "1_000", ".5.", "2024-13-45", "=1+1", "|", ">",
    "? ", "- ",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 7, 10**18, -(10**18), 0.5, -0.5, 1e308, -1e308, 1e-308,
    float("nan"),
    float("inf"), float("-inf"), "", "x", "0", "1e5", "nan", "logrank", "qed", "../x", [],
    [None], [0], [1, 2],
    [1, "a"], [[1]], {}, {"x": 1}, {"type": "x"}, {"type": "Accrual"}, {1: 2}, "é" * 50, "a" * 2000,
)  # fmt: skip


def mutate_text(text: str, random: Random) -> str:
    """One to six edits, mostly one: delete, repeat or overwrite a piece, or insert a nasty one."""
    for _ in range(int(random.choice([1, 1, 1, 2, 3, 6]))):
        a, b = sorted(int(i) for i in random.integers(0, len(text) + 1, 2))
        b = min(b, a + int(random.choice([1, 2, 8, 40])))
        kind = int(random.integers(5))
        snippet = SNIPPETS[int(random.integers(len(SNIPPETS)))]
        if kind == 0:
            text = text[:a] + text[b:]
        elif kind == 1:
            text = text[:b] + text[a:b] * int(random.integers(1, 4)) + text[b:]
        elif kind == 2:
            text = text[:a] + snippet + text[b:]
        elif kind == 3 and a < len(text):
            other = chr(int(random.choice([random.integers(32, 127), random.integers(1, 0x2FFF)])))
            text = text[:a] + other + text[a + 1 :]
        else:
            text = text[:a] + snippet + text[a:]
    return text


def mutate_bytes(data: bytes, random: Random) -> bytes:
    """Flipped, dropped, repeated and truncated bytes."""
    out = bytearray(data)
    for _ in range(int(random.integers(1, 6))):
        at = int(random.integers(0, len(out) + 1))
        kind = int(random.integers(4))
        if kind == 0 and at < len(out):
            out[at] ^= 1 << int(random.integers(8))
        elif kind == 1:
            del out[at : at + int(random.integers(1, 64))]
        elif kind == 2:
            out[at:at] = random.bytes(int(random.integers(1, 32)))
        else:
            out = out[: max(at, len(out) // 2)]
    return bytes(out)


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """Paths of every node of a nested mapping or list."""
    found = [path]
    parts = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, part in parts:
        found += places(part, (*path, key))
    return found


def mutate_tree(tree: Any, random: Random) -> Any:
    """One to three nodes of a nested record replaced, removed, renamed or moved."""
    tree = copy.deepcopy(tree)
    for _ in range(int(random.integers(1, 4))):
        paths = [p for p in places(tree) if p]
        if not paths:
            return VALUES[int(random.integers(len(VALUES)))]
        path = paths[int(random.integers(len(paths)))]
        parent = tree
        for key in path[:-1]:
            parent = parent[key]
        kind = int(random.integers(5))
        value = copy.deepcopy(VALUES[int(random.integers(len(VALUES)))])
        if kind == 0:
            del parent[path[-1]]
        elif kind == 1 and isinstance(parent, dict):
            parent[str(path[-1]) + "x"] = parent.pop(path[-1])
        elif kind == 2:
            parent[path[-1]] = [parent[path[-1]], value]
        else:
            parent[path[-1]] = value
    return tree


def texts(*seeds: str) -> Callable[[Random], str]:
    """Mutations of one of several texts."""
    return lambda random: mutate_text(seeds[int(random.integers(len(seeds)))], random)


def trees(*seeds: Any) -> Callable[[Random], Any]:
    """Mutations of one of several nested records."""
    return lambda random: mutate_tree(seeds[int(random.integers(len(seeds)))], random)


def documents(*seeds: Any) -> Callable[[Random], str]:
    """YAML whose structure is mutated, or its text, by turns (JSON is YAML)."""
    import yaml

    written = [yaml.safe_dump(seed, sort_keys=False, allow_unicode=True) for seed in seeds]

    def make(random: Random) -> str:
        which = int(random.integers(len(seeds)))
        if random.random() < 0.6:
            return json.dumps(mutate_tree(seeds[which], random))
        return mutate_text(written[which], random)

    return make


def json_texts(seed: Any) -> Callable[[Random], str]:
    """JSON whose structure is mutated, or its text, by turns."""
    text = json.dumps(seed)

    def make(random: Random) -> str:
        if random.random() < 0.6:
            return json.dumps(mutate_tree(seed, random))
        return mutate_text(text, random)

    return make
