"""YAML 1.2 and JSON as plain values, read strictly: a key given twice is refused.

What a word means is what YAML 1.2's core schema says: ``no``, ``on`` and ``2024-01-01`` are texts,
``0100`` is one hundred, ``1e-3`` is a number, and ``1_000`` is a text.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

_NULL, _BOOL, _INT, _FLOAT, _TEXT, _LIST, _MAPPING = (
    f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map")
)
#: The core schema of YAML 1.2 (section 10.3.2): tag, pattern, and the characters it starts with.
_CORE = (
    (_NULL, re.compile(r"(?:~|null|Null|NULL|)\Z"), ("~", "n", "N", "")),
    (_BOOL, re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), tuple("tTfF")),
    (_INT, re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z"), tuple("-+0123456789")),
    (
        _FLOAT,
        re.compile(
            r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
        ),
        tuple("-+0123456789."),
    ),
)


def read_plain(text: str) -> Any:
    """The mappings, lists, texts and numbers that a YAML 1.2 document writes out.

    Aliases (``*name``) are refused: sixty short lines of them stand for 2^60 values, which no
    message could print, and nobody needs them in the files that are read here. So is a key that
    a mapping holds twice, of which one value would be lost.

    Raises:
        yaml.YAMLError: text that is not YAML, or that holds an alias or a key twice.

    >>> read_plain("a: [1, x, no, 1e-3, 0100]")
    {'a': [1, 'x', 'no', 0.001, 100]}
    """
    import yaml

    if "*" in text and any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
        raise yaml.YAMLError("aliases such as *name are not read; write the value out")
    loader = _strict_loader()(text)
    try:
        return loader.get_single_data()
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None
    except ValueError as error:  # a whole number of thousands of digits
        raise yaml.YAMLError(str(error)) from None
    finally:
        loader.dispose()


def read_plain_json(text: str) -> Any:
    """The values of a JSON document, in which a key given twice is refused, too.

    Raises:
        ValueError: text that is not JSON, or that holds a key twice.

    >>> read_plain_json('{"n": 100, "n": 200}')
    Traceback (most recent call last):
    ValueError: the key 'n' is given twice
    """

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in pairs:
            if key in values:
                raise ValueError(f"the key {key!r} is given twice")
            values[key] = value
        return values

    return json.loads(text, object_pairs_hook=mapping)


def write_plain(values: Any) -> str:
    """Plain values as YAML text that :func:`read_plain`, and readers of YAML 1.1, read alike.

    >>> write_plain({"a": "no", "b": "1e-3", "c": 0.00001})
    "a: 'no'\\nb: '1e-3'\\nc: 1.0e-05\\n"
    """
    import yaml

    return str(yaml.dump(values, Dumper=_dumper(), sort_keys=False, allow_unicode=True))


@lru_cache(maxsize=1)
def _strict_loader() -> Any:
    """PyYAML's safe loader with the core schema of YAML 1.2, which refuses a key given twice."""
    import yaml

    class Strict(yaml.SafeLoader):
        yaml_implicit_resolvers = {}  # noqa: RUF012
        yaml_constructors = {}  # noqa: RUF012

    for tag, pattern, first in _CORE:
        Strict.add_implicit_resolver(tag, pattern, first)

    def whole(loader: Any, node: Any) -> int:
        text = loader.construct_scalar(node)
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        return int(text[2:] if base != 10 else text, base)

    def number(loader: Any, node: Any) -> float:
        text = loader.construct_scalar(node).lower()
        return float(text.replace(".inf", "inf").replace(".nan", "nan"))

    def truth(loader: Any, node: Any) -> bool:
        return str(loader.construct_scalar(node)).lower() == "true"

    def words(loader: Any, node: Any) -> str:
        return str(loader.construct_scalar(node))

    def whole_list(loader: Any, node: Any) -> list[Any]:
        return list(loader.construct_sequence(node, deep=True))

    def mapping(loader: Any, node: Any) -> dict[Any, Any]:
        values: dict[Any, Any] = {}
        lines: dict[Any, int] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if isinstance(key, list | dict):
                raise yaml.YAMLError(f"line {line}: a key must be a text or a number, got {key!r}")
            if key in lines:
                raise yaml.YAMLError(
                    f"the key {key!r} is given twice, on line {lines[key]} and on line {line}"
                )
            lines[key] = line
            values[key] = loader.construct_object(value_node, deep=True)
        return values

    def unknown(loader: Any, node: Any) -> Any:
        line = node.start_mark.line + 1
        raise yaml.YAMLError(f"line {line}: the tag {node.tag} is not read; expected plain values")

    Strict.add_constructor(_NULL, lambda loader, node: None)
    Strict.add_constructor(_BOOL, truth)
    Strict.add_constructor(_INT, whole)
    Strict.add_constructor(_FLOAT, number)
    Strict.add_constructor(_TEXT, words)
    Strict.add_constructor(_LIST, whole_list)
    Strict.add_constructor(_MAPPING, mapping)
    Strict.add_constructor(None, unknown)
    return Strict


@lru_cache(maxsize=1)
def _dumper() -> Any:
    """PyYAML's safe dumper, which also quotes the texts that YAML 1.2 alone takes for numbers."""
    import yaml

    class Quoting(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    for tag, pattern, first in _CORE:
        Quoting.add_implicit_resolver(tag, pattern, list(first))
    return Quoting
