"""YAML as plain values: the safe loader, without aliases."""

from __future__ import annotations

from typing import Any


def read_plain(text: str) -> Any:
    """The mappings, lists, texts and numbers that a YAML document writes out.

    Aliases (``*name``) are refused: sixty short lines of them stand for 2^60 values, which no
    message could print, and nobody needs them in the files that are read here.

    Raises:
        yaml.YAMLError: text that is not YAML, or that holds an alias.

    >>> read_plain("a: [1, x]")
    {'a': [1, 'x']}
    """
    import yaml

    if "*" in text and any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
        raise yaml.YAMLError("aliases such as *name are not read; write the value out")
    return yaml.safe_load(text)
