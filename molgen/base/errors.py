"""Errors that a user can put right: one class at the root, and what knows no chemistry."""

from __future__ import annotations


class MolgenError(ValueError):
    """Root of molgen's own errors. Arguments that make no sense are plain ``ValueError``.

    Examples:
        >>> import molgen
        >>> from molgen.chem.parsing import MoleculeError
        >>> [e.__name__ for e in MoleculeError.__mro__[1:3]]
        ['MolgenError', 'ValueError']
    """


class BatchError(MolgenError):
    """A batch that cannot go on; the message says why and what to do."""
