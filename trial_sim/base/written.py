"""`Written`: JSON and YAML, as text or files, for records that have `to_dict` and `from_dict`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

from trial_sim.base.output_places import write_text
from trial_sim.base.plain_yaml import read_plain, read_plain_json, write_plain


class Written:
    """Base of the records that are kept as files.

    A subclass has `to_dict()`, plain values, and the class method `from_dict(values)`.
    """

    def to_dict(self) -> dict[str, Any]:
        """The record as plain values."""
        raise NotImplementedError

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """The record that `to_dict` wrote."""
        raise NotImplementedError

    def to_json(self, path: str | Path | None = None) -> str:
        """The record as JSON text, also written to `path` when given."""
        text = json.dumps(self.to_dict(), indent=2)
        if path is not None:
            write_text(path, text + "\n")
        return text

    @classmethod
    def from_json(cls, source: str | Path) -> Self:
        """Read JSON text, or the file at a path.

        Raises:
            ValueError: for text that is not JSON.
        """
        return cls.from_dict(read_plain_json(_text(source)))

    def to_yaml(self, path: str | Path | None = None) -> str:
        """The record as YAML text, also written to `path` when given."""
        text = write_plain(self.to_dict())
        if path is not None:
            write_text(path, text)
        return text

    @classmethod
    def from_yaml(cls, source: str | Path) -> Self:
        """Read YAML text, or the file at a path.

        Raises:
            ValueError: for text that is not YAML.
        """
        import yaml

        try:
            plain = read_plain(_text(source))
        except yaml.YAMLError as error:
            raise ValueError(f"the {cls.__name__} is not valid YAML: {error}") from None
        return cls.from_dict(plain)


def _text(source: str | Path) -> str:
    """Text given as such (it has several lines, or is in braces), or read from a path."""
    if isinstance(source, Path) or not ("\n" in source or source.lstrip().startswith("{")):
        return Path(source).read_text(encoding="utf-8")
    return source
