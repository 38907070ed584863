"""Goal-directed design: search that joins the generator with graph edits, under a counted budget.

Children come from the generator (latents of good molecules, noised as the decoder understands),
from crossover, graph edits and fragment exchange; a surrogate ranks them and only the best cost a
call (``molgen.optimization.search``). Every call is counted, cached, and logged to a file that a
later run resumes (``molgen.optimization.oracle``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from molgen.chem.diversity import select_diverse
from molgen.optimization.oracle import Oracle
from molgen.optimization.proposers import Proposer, default_proposers
from molgen.optimization.search import SearchSettings, search

if TYPE_CHECKING:
    from molgen.generation.generator import Generator

_LIBRARY = 4_096
_RADII = (0.15, 0.3, 0.6, 1.0)
LATENT_SHARE = 0.25
"""Share of the generator's children, to the graph edits' 1."""


def optimize(
    objective: Any,
    *,
    model: Generator | str | None = "moses",
    n_calls: int = 10_000,
    seed: int = 0,
    start: Iterable[str] = (),
    filters: Any = None,
    log: str | os.PathLike | None = None,
    time_limit: float | None = None,
    settings: SearchSettings | None = None,
    n_diverse: int = 50,
    on_progress: Callable[[int, float], None] | None = None,
) -> pd.DataFrame:
    """Search for molecules that score high.

    Args:
        objective: an ``Objective``, or anything that ``molgen.score`` takes, or a callable from a
            list of SMILES to numbers in [0, 1].
        model: a generator, a shipped model's name or folder, or None for graph edits alone.
        n_calls: different molecules that may be scored; invalid and repeated ones cost nothing.
        start: molecules scored first (a lead, a series).
        filters: hard constraints, as ``filter_molecules`` takes them; refused molecules cost
            nothing.
        log: JSON-lines file of every call; if it exists, the run goes on from it.
        time_limit: seconds.
        n_diverse: how many of the best, none too similar to another, are marked in ``diverse``.
        on_progress: called after every generation with the calls paid and the mean of the ten best.

    Returns:
        One row a scored molecule, best first: ``smiles``, ``score``, ``diverse``, the components,
        ``call``, ``origin`` and ``problem``. ``attrs`` holds ``calls``, ``auc_top10``, ``reason``
        (why it ended: budget, time, exhausted, no proposals), ``restarts`` and ``events``.

    Raises:
        ValueError: a budget below 1, a log of another objective, or nothing to start from.

    Examples:
        >>> import molgen
        >>> found = molgen.optimize(
        ...     ["maximise qed"], model=None, n_calls=20, start=["CCO"], seed=0
        ... )
        >>> bool(found["score"].is_monotonic_decreasing)
        True
    """
    scorer, identity = _scorer(objective)
    generator = _model(model)
    library = _library(generator, seed)
    proposers = default_proposers(library, seed)
    if generator is not None:
        proposers["latent"] = (latent_proposer(generator), LATENT_SHARE)
    oracle = Oracle(
        scorer,
        n_calls,
        log=None if log is None else Path(log),
        time_limit=time_limit,
        identity=identity,
    )
    outcome = search(
        oracle,
        library,
        proposers,
        settings,
        seed,
        _accept(filters, scorer),
        list(start),
        on_progress,
    )
    rows = [
        {
            "smiles": call.smiles,
            "score": call.score,
            "diverse": False,
            **call.components,
            "call": call.number,
            "origin": call.origin,
            "problem": call.error,
        }
        for call in oracle.best(oracle.used)
    ]
    table = pd.DataFrame(rows, columns=None if rows else ["smiles", "score", "call"])
    if rows:
        chosen = select_diverse(table["smiles"].tolist(), table["score"].to_numpy(), n_diverse)
        table.loc[chosen, "diverse"] = True
    table.attrs.update(
        calls=oracle.used,
        auc_top10=oracle.auc(10),
        reason=outcome.reason,
        restarts=outcome.restarts,
        events=outcome.events,
        oracle_seconds=oracle.oracle_seconds,
    )
    return table


def latent_proposer(model: Generator) -> Proposer:
    """Children around the latents of parents, at several distances."""

    def propose(parents: list[str], n: int, rng: np.random.Generator) -> list[str]:
        mu = model.encode(parents)
        usable = np.flatnonzero(np.isfinite(mu).all(axis=1))
        if not len(usable) or n < 1:
            return []
        chosen = usable[rng.integers(len(usable), size=n)]
        radius = rng.choice(_RADII, size=n)
        level = torch.from_numpy((radius / (1 + radius)).astype(np.float32))
        noise = torch.from_numpy(rng.standard_normal((n, model.latent_dim), dtype=np.float32))
        z = torch.lerp(torch.from_numpy(mu[chosen]), noise, level.unsqueeze(1))
        return model.write_latents(z, level, rng)

    return propose


def _scorer(objective: Any) -> tuple[Any, str]:
    from molgen.scoring.objectives import Objective, as_objective

    if callable(objective) and not isinstance(objective, Objective):
        return objective, getattr(objective, "__name__", type(objective).__name__)
    resolved = as_objective(objective)
    return resolved, resolved.identity


def _model(model: Generator | str | None) -> Generator | None:
    if isinstance(model, str | os.PathLike):
        from molgen.generation.generator import load_model

        return load_model(model)
    return model


def _library(model: Generator | None, seed: int) -> Sequence[str]:
    """Molecules that the search may start from: of the model, or of MOSES's sample."""
    if model is not None:
        return list(dict.fromkeys(model.sample(_LIBRARY, seed=seed)))
    from molgen.files.datasets import load_dataset

    return load_dataset("moses", split="sample")[:_LIBRARY]


def _accept(filters: Any, scorer: Any) -> Callable[[list[str]], Sequence[bool]] | None:
    """What is asked before a call is paid: the filters, and the objective's own hard bounds."""
    own = getattr(scorer, "accepts", None)
    if filters is None:
        return own
    from molgen.filters.filter_sets import as_filter_set, filter_molecules

    checked = as_filter_set(filters)

    def accept(smiles: list[str]) -> list[bool]:
        passed = filter_molecules(smiles, checked)["passed"].tolist()
        return passed if own is None else [a and b for a, b in zip(passed, own(smiles))]

    return accept
