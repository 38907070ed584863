"""Which models a caller names: one, several, or all of them for ``"average"``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trial_sim.base.arguments import nearest

AVERAGE = "average"


def chosen(
    model: Any, argument: str, said: str, known: Sequence[str], all_of: Sequence[str]
) -> tuple[str, ...]:
    """The names that ``model`` gives, each once; ``all_of`` them where "average" is among them.

    Args:
        argument: its name, for the message; said: what one name is, in words.

    Raises:
        ValueError, TypeError: for names that are not ``known``.
    """
    names = (model,) if isinstance(model, str) else model
    if not isinstance(names, Sequence) or not names or not all(isinstance(n, str) for n in names):
        raise TypeError(f"{argument} must be a name or a list of names of {known}, got {model!r}")
    for name in names:
        if name not in known:
            raise ValueError(f"{said} {name!r} is unknown{nearest(name, known)}; known: {known}")
    return tuple(all_of) if AVERAGE in names else tuple(dict.fromkeys(names))
