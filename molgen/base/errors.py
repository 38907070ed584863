"""Errors that a user can put right."""

from __future__ import annotations


class BatchError(ValueError):
    """A batch that cannot go on; the message says why and what to do."""
