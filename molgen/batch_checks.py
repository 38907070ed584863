"""Checks of what a run file says, and the error that a batch ends with."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any


class BatchError(ValueError):
    """A batch that cannot go on; the message says why and what to do."""


CLUSTERS: dict[str, tuple[str, ...]] = {
    "local": ("workers",),
    "address": ("address",),
    "ssh": ("hosts", "workers", "connect"),
    "slurm": ("workers", "cores", "memory", "queue", "account", "walltime", "extra"),
}
"""Kinds of Dask cluster, and the keys that each takes beside ``kind``."""

_NEEDED = {"address": ("address",), "ssh": ("hosts",), "slurm": ("workers", "memory")}


def check_cluster(cluster: Any) -> None:
    """Raise BatchError unless ``cluster`` is a mapping of known kind with that kind's keys."""
    if not isinstance(cluster, Mapping):
        raise BatchError(f"cluster must be a mapping with the key kind, got {cluster!r:.60}.")
    kind = cluster.get("kind", "local")
    if kind not in CLUSTERS:
        raise BatchError(unknown("kind of cluster", kind, CLUSTERS))
    for key in cluster:
        if key not in ("kind", *CLUSTERS[kind]):
            raise BatchError(unknown(f"key of a {kind} cluster", key, ("kind", *CLUSTERS[kind])))
    for key in _NEEDED.get(kind, ()):
        if key not in cluster:
            raise BatchError(f"a {kind} cluster needs the key {key!r}.")
    if "workers" in cluster:
        whole("cluster.workers", cluster["workers"], 1)
    if "hosts" in cluster:
        texts("cluster.hosts", cluster["hosts"])


def unknown(what: str, name: Any, known: Any) -> str:
    """One sentence: there is no such name, the nearest one, and all of them."""
    near = get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown {what} {name!r}; {hint}There are {', '.join(known)}."


def whole(name: str, value: Any, least: int) -> None:
    """Raise BatchError unless ``value`` is a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise BatchError(f"{name} must be a whole number of at least {least}, got {value!r}.")


def between(name: str, value: Any, low: float, high: float) -> None:
    """Raise BatchError unless ``value`` is a number within the bounds."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value <= high:
        raise BatchError(f"{name} must be a number from {low:g} to {high:g}, got {value!r}.")


def texts(name: str, value: Any) -> tuple[str, ...]:
    """``value`` as a tuple of texts; one text makes a tuple of one."""
    entries = (value,) if isinstance(value, str) else value
    if not isinstance(entries, list | tuple) or not all(isinstance(e, str) for e in entries):
        raise BatchError(f"{name} must be a list of texts, got {value!r}.")
    return tuple(entries)
