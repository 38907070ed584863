"""Goal-directed design: search that joins the generator with graph edits, under a counted budget.

Children come from the generator (latents of good molecules, noised as the decoder understands),
from crossover, graph edits and fragment exchange; a surrogate ranks them and only the best cost a
call (``molgen.optimization.search``). Every call is counted, cached, and logged to a file that a
later run resumes (``molgen.optimization.oracle``).
"""

from __future__ import annotations

import logging
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from rdkit import Chem

from molgen.base.user_warnings import warn_user
from molgen.base.whole_files import cache_folder
from molgen.chem.diversity import select_diverse
from molgen.chem.parsing import MoleculeError, as_smiles_list, parse, parse_or_none
from molgen.chem.properties import sa_score
from molgen.files.datasets import load_dataset
from molgen.filters.filter_sets import as_filter_set, filter_molecules
from molgen.generation.generator import load_model
from molgen.model.config import DEFAULT_MODEL
from molgen.optimization.oracle import Call, Oracle
from molgen.optimization.proposers import Proposer, default_proposers
from molgen.optimization.search import SearchSettings, search
from molgen.scoring.objectives import Objective, as_objective
from molgen.scoring.values import COSTLY_KINDS

if TYPE_CHECKING:
    from molgen.generation.generator import Generator

logger = logging.getLogger(__name__)

_LIBRARY = 4_096
_RADII = (0.15, 0.3, 0.6, 1.0)
LATENT_SHARE = 0.25
"""Share of the generator's children, to the graph edits' 1."""
MOVE_SHARE = 0.25
"""Share of the children of a user's move, to the graph edits' 1, unless one is given."""


def optimize(
    objective: Any,
    *,
    model: Generator | str | None = DEFAULT_MODEL,
    n_calls: int = 10_000,
    seed: int = 0,
    start: str | Iterable[str] = (),
    filters: Any = "auto",
    log: str | os.PathLike | None = None,
    time_limit: float | None = None,
    settings: SearchSettings | None = None,
    n_diverse: int = 50,
    diverse: bool = False,
    moves: Mapping[str, Proposer | tuple[Proposer, float]] | Sequence[Proposer] = (),
    target: float | None = None,
    plateau: int | None = None,
    patience: int | None = None,
    on_progress: Callable[[int, float], None] | None = None,
) -> pd.DataFrame:
    """Search for molecules that score high.

    Args:
        objective: an ``Objective``, or anything that ``molgen.score`` takes, or a function from a
            list of SMILES to numbers, or from one SMILES to a number: the higher the better. Which
            of the two is seen from its first answers; numbers are taken as they are.
        model: a generator, a shipped model's name or folder, or None for graph edits alone.
        n_calls: different molecules that may be scored; invalid and repeated ones cost nothing.
        start: molecules scored first (a lead, a series), whether or not the filters pass them.
            Salts, open marks (``*``) and what is no molecule are left out with a warning.
        filters: hard constraints, as ``filter_molecules`` takes them; refused molecules cost
            nothing. "auto": those of the objective or, where it has none, "default". None: none.
        log: JSON-lines file of every call; if it exists, the run goes on from it. Without one the
            calls stand in a file of the cache folder (``attrs["log"]`` of a run that did not end
            by itself), which is removed when the run ends.
        time_limit: seconds.
        settings: how the search runs. By default the library is looked through with the surrogate
            only where a call is dear (a model, a function, a program).
        n_diverse: how many of the best are marked in ``diverse``: none too similar to another, and
            few of one chemotype.
        diverse: True searches for many chemotypes: one that has had a fiftieth of the calls waits
            until there is nothing of another.
        moves: further search moves, ``propose(parents, n, rng) -> SMILES``, by name, with the
            share of the children (default ``MOVE_SHARE``) that they make.
        target: end when a molecule scores this.
        plateau: end when the best ten have not got better for so many calls.
        patience: calls without progress after which the search starts afresh; 1,500 by default.
        on_progress: called after every generation with the calls paid and the mean of the ten best.

    Returns:
        One row a scored molecule, best first: ``smiles``, ``score`` (NaN, and last, where a
        function failed), ``diverse``, the components (with a QSAR model ``in_domain``, ``lower``
        and ``upper``), ``call``, ``origin`` and ``problem``. Where many share the highest score
        new molecules come before those of the library and the start, then easy syntheses.
        ``attrs`` holds ``calls``, ``auc_top10`` (NaN for scores outside [0, 1]), ``reason`` (why
        it ended: budget, time, target, plateau, exhausted, no proposals, failures, interrupted),
        ``restarts``, ``events``, ``filters`` and ``log``.

    Raises:
        ValueError: a budget below 1, a log of another objective, nothing to start from, or a score
            that fails for every molecule.

    Examples:
        >>> import molgen
        >>> found = molgen.optimize(
        ...     ["maximise qed"], model=None, n_calls=20, start=["CCO"], seed=0
        ... )
        >>> bool(found["score"].is_monotonic_decreasing)
        True
    """
    scorer, identity = _scorer(objective)
    started = _checked_start(start)
    generator = _model(model)
    library = _library(generator, seed)
    proposers = default_proposers(library, seed)
    if generator is not None:
        proposers["latent"] = (latent_proposer(generator), LATENT_SHARE)
    proposers.update(_moves(moves, tuple(proposers)))
    chosen = _filters(filters, scorer)
    path = None if log is None else Path(log)
    kept = _kept_calls() if path is None else None
    if settings is None:
        settings = SearchSettings(screen_until=0) if _is_cheap(scorer) else SearchSettings()
    asked: dict[str, Any] = {"target": target, "plateau": plateau, "patience": patience}
    settings = replace(settings, **{k: v for k, v in asked.items() if v is not None})
    if diverse and settings.crowd_limit is None:
        settings = replace(settings, crowd_limit=max(10, n_calls // 50))
    whole = True
    try:
        oracle = Oracle(scorer, n_calls, path or kept, time_limit, identity)
        whole = False
        outcome = search(
            oracle,
            library,
            proposers,
            settings,
            seed,
            _accept(chosen, scorer),
            started,
            on_progress,
        )
        whole = outcome.reason not in ("failures", "interrupted")
        if all(call.failed for call in oracle.history) and (oracle.history or not whole):
            whole = True  # nothing that is worth keeping
            raise ValueError(
                f"the score failed for each of the {oracle.used} molecules that were asked, so "
                f"there is no result; {oracle.history[0].smiles}: {oracle.history[0].error}"
                if oracle.history
                else "the search was interrupted before anything was scored"
            )
    finally:
        if whole and kept is not None:
            kept.unlink(missing_ok=True)
    table = _table(oracle, n_diverse)
    raw = bool(len(oracle.scores)) and not 0 <= oracle.scores.min() <= oracle.scores.max() <= 1
    table.attrs.update(
        calls=oracle.used,
        auc_top10=math.nan if raw else oracle.auc(10),
        reason=outcome.reason,
        restarts=outcome.restarts,
        events=outcome.events,
        oracle_seconds=oracle.oracle_seconds,
        filters=str(chosen or getattr(scorer, "filters", None)),
        log=str(path) if path else str(kept) if kept and not whole else None,
    )
    if not whole:
        where = f"; every call stands in {table.attrs['log']}" if table.attrs["log"] else ""
        warn_user(f"the search ended early: {outcome.events[-1]}{where}")
    return table


def _table(oracle: Oracle, n_diverse: int) -> pd.DataFrame:
    """The calls, best first, with the diverse ones marked."""
    calls = _ordered(oracle)
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
        for call in calls
    ]
    table = pd.DataFrame(rows, columns=None if rows else ["smiles", "score", "call"])
    good = [i for i, call in enumerate(calls) if not call.failed and call.score != 0.0]
    if good:
        chosen = select_diverse(
            [calls[i].smiles for i in good],
            [calls[i].score for i in good],
            n_diverse,
            per_chemotype=max(1, n_diverse // 30),
        )
        table.loc[[good[i] for i in chosen], "diverse"] = True
    return table


def _ordered(oracle: Oracle) -> list[Call]:
    """Best first; those that share the highest score by what they bring beyond it."""
    calls = oracle.best(oracle.used)
    top = sum(not call.failed and call.score >= calls[0].score - 1e-9 for call in calls)
    if top < 2:
        return calls

    def rank(call: Call) -> tuple[bool, float, int]:
        mol = parse_or_none(call.smiles)
        return (
            call.origin in ("library", "start"),
            math.inf if mol is None else sa_score(mol),
            call.number,
        )

    return sorted(calls[:top], key=rank) + calls[top:]


def _checked_start(start: str | Iterable[str]) -> list[str]:
    """The molecules that a search can start from; the others are named in a warning.

    Raises:
        ValueError: If there were some and none is left.
    """
    given = as_smiles_list(start)
    good, refused = [], []
    for text in given:
        try:
            mol = parse(text) if isinstance(text, str) else None
            reason = f"not a string ({type(text).__name__})" if mol is None else _not_whole(mol)
        except MoleculeError as error:
            reason = error.reason
        if reason:
            refused.append(f"{text!r:.80}: {reason}")
        else:
            good.append(text)
    if refused and not good:
        raise ValueError(f"the search cannot start from {'; '.join(refused[:3])}")
    if refused:
        warn_user(
            f"{len(refused)} of {len(given)} start molecules are left out: "
            f"{'; '.join(refused[:3])}{'; ...' if len(refused) > 3 else ''}"
        )
    return good


def _not_whole(mol: Chem.Mol) -> str:
    """Why a search cannot edit a molecule, or ""."""
    if any(atom.GetAtomicNum() == 0 for atom in mol.GetAtoms()):
        return "an open mark (*); give a whole molecule, or grow it with sample_scaffold"
    if len(Chem.GetMolFrags(mol)) > 1:
        return "a salt or mixture; give one molecule (molgen.standardize takes counter-ions off)"
    return ""


def _moves(
    moves: Mapping[str, Proposer | tuple[Proposer, float]] | Sequence[Proposer],
    taken: Sequence[str],
) -> dict[str, tuple[Proposer, float]]:
    """The user's search moves by name, with their shares."""
    if callable(moves):
        moves = [moves]
    if not isinstance(moves, Mapping):
        moves = {getattr(move, "__name__", f"move {i}"): move for i, move in enumerate(moves, 1)}
    checked = {}
    for name, move in moves.items():
        propose, share = move if isinstance(move, tuple) else (move, MOVE_SHARE)
        if not callable(propose):
            raise TypeError(
                f"move {name!r} is a function propose(parents, n, rng) -> SMILES, or such a "
                f"function with its share; got {type(propose).__name__}"
            )
        if isinstance(share, bool) or not share > 0:
            raise ValueError(f"the share of move {name!r} is above 0; got {share!r}")
        if name in taken:
            raise ValueError(f"there is a move {name!r} already: give yours another name")
        checked[name] = (propose, float(share))
    return checked


def _is_cheap(scorer: Any) -> bool:
    """True if calls are so quick that choosing them with care would take longer."""
    parts = getattr(scorer, "components", ())
    return len(parts) > 0 and all(part.property not in COSTLY_KINDS for part in parts)


def _filters(filters: Any, scorer: Any) -> Any:
    """What is asked before a call beside the objective's own filters."""
    if isinstance(filters, str) and filters == "auto":
        return None if getattr(scorer, "filters", None) is not None else "default"
    return filters


def _kept_calls() -> Path | None:
    """A file of the cache folder for the calls of a run without a log; None without a place."""
    folder = cache_folder() / "searches"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            suffix=".jsonl", prefix=f"optimize-{time.strftime('%Y%m%d-%H%M%S')}-", dir=folder
        )
    except OSError:
        return None
    os.close(handle)
    logger.info("every call is kept in %s until the search ends", name)
    return Path(name)


def latent_proposer(model: Generator) -> Proposer:
    """Children around the latents of parents, at several distances."""

    def propose(parents: list[str], n: int, rng: np.random.Generator) -> list[str]:
        mu = model.encode_posterior(parents)[0]
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
    if callable(objective) and not isinstance(objective, Objective):
        return objective, getattr(objective, "__name__", type(objective).__name__)
    resolved = as_objective(objective)
    return resolved, resolved.identity


def _model(model: Generator | str | None) -> Generator | None:
    if isinstance(model, str | os.PathLike):
        return load_model(model)
    return model


def _library(model: Generator | None, seed: int) -> Sequence[str]:
    """Molecules that the search may start from: of the model, or of MOSES's sample."""
    if model is not None:
        return list(dict.fromkeys(model.sample(_LIBRARY, seed=seed)))
    return load_dataset("moses", split="sample")[:_LIBRARY]


def _accept(filters: Any, scorer: Any) -> Callable[[list[str]], Sequence[bool]] | None:
    """What is asked before a call is paid: the filters, and the objective's own hard bounds."""
    own = getattr(scorer, "accepts", None)
    if filters is None:
        return own
    checked = as_filter_set(filters)

    def accept(smiles: list[str]) -> list[bool]:
        passed = filter_molecules(smiles, checked)["passed"].tolist()
        return passed if own is None else [a and b for a, b in zip(passed, own(smiles))]

    return accept
