"""Counts, caches and logs the calls of the score that a search makes.

Only unique canonical SMILES use budget; an invalid molecule scores 0 at no cost; what was asked
before is answered from memory. Every call stands in a JSON-lines log with its number, score,
components and the proposer that it came from; a run that was killed goes on from that file.

A molecule for which the oracle failed has no score (NaN) and stands last; to a search it counts as
the worst seen so far (0 for scores in [0, 1]).
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rdkit import Chem

from molgen.base.output_places import write_text
from molgen.base.user_warnings import warn_user
from molgen.chem.parsing import parse_or_none, quiet_rdkit
from molgen.scoring.guarded_calls import UserFunction

LOG_VERSION = 2
Scorer = Callable[[list[str]], Sequence[float]]


@dataclass(frozen=True)
class Call:
    """One paid oracle call.

    Attributes:
        number: 1 for the first.
        smiles: Canonical SMILES.
        score: Its score; NaN where the oracle failed.
        origin: Name of the proposer that suggested it.
        components: Values of the parts of the score, where the oracle gives them.
        error: Why there is no score, or None.
    """

    number: int
    smiles: str
    score: float
    origin: str = ""
    components: dict[str, Any] = field(default_factory=dict)
    error: str | None = None

    @property
    def failed(self) -> bool:
        """True if the oracle gave no score, or an objective gave 0 because a value is missing."""
        return math.isnan(self.score) or (self.error is not None and self.score == 0.0)


def canonical(smiles: str) -> str | None:
    """Canonical SMILES, or None for what RDKit does not parse (or an empty molecule)."""
    parsed = parse(smiles)
    return None if parsed is None else parsed[0]


def parse(smiles: str) -> tuple[str, Chem.Mol] | None:
    """Canonical SMILES and molecule, or None for what RDKit does not parse (or no atoms)."""
    mol = parse_or_none(smiles)
    return None if mol is None else (Chem.MolToSmiles(mol), mol)


class Oracle:
    """A score with a budget.

    Args:
        score: Takes canonical SMILES and returns one number each (or takes one SMILES and returns
            a number), the higher the better. An exception, None or NaN costs the molecule its
            score and is recorded, never raised. Numbers outside [0, 1] are taken as they are; a
            warning says so once. If ``score`` has a method
            ``score_with_components(smiles) -> list[tuple[float, dict, str | None]]`` it is used
            instead, and the components are logged.
        n_calls: Budget of unique molecules.
        log: JSON-lines file. If it exists the run goes on from it.
        time_limit: Seconds after which ``finished`` is true, or None.
        identity: Text that names the objective; a log written for another one is refused.
        timeout: Seconds that a plain callable may take for one batch; one that hangs costs the
            molecule to blame its score. (An objective guards its own components.)

    Raises:
        ValueError: For a budget below 1, or a log of another objective.
    """

    def __init__(
        self,
        score: Scorer,
        n_calls: int = 10_000,
        log: str | Path | None = None,
        time_limit: float | None = None,
        identity: str = "",
        timeout: float | None = 600.0,
    ) -> None:
        if n_calls < 1:
            raise ValueError(f"n_calls is the number of oracle calls, at least 1; got {n_calls}")
        if time_limit is not None and not time_limit > 0:
            raise ValueError(f"time_limit is in seconds and above 0; got {time_limit}")
        self.n_calls = n_calls
        self.time_limit = time_limit
        self.identity = identity
        self.timeout = timeout
        self.history: list[Call] = []
        self.oracle_seconds = 0.0
        self._score = score
        self._function = UserFunction(score, ("list", "one"), timeout, timeout)
        self._place: dict[str, int] = {}  # canonical SMILES -> position in the history
        self._told_raw = False
        self._started = time.monotonic()
        self._log = Path(log) if log is not None else None
        if self._log is not None:
            self._open_log()

    # ---- asking ----------------------------------------------------------------------------------
    def __call__(self, smiles: Sequence[str], origins: Sequence[str] | str = "") -> np.ndarray:
        """Scores of ``smiles``, (n,) float64, as a search counts them (see :attr:`scores`).

        Molecules beyond the budget get NaN; what is no molecule counts as one that failed.

        Args:
            smiles: Any SMILES.
            origins: Name of the proposer, one for all or one each.
        """
        names = [origins] * len(smiles) if isinstance(origins, str) else list(origins)
        with quiet_rdkit():
            keys = [canonical(text) for text in smiles]
        fresh: dict[str, str] = {}
        for key, name in zip(keys, names, strict=True):
            if key is not None and key not in self._place and key not in fresh:
                if len(fresh) >= self.remaining:
                    break
                fresh[key] = name
        if fresh:
            self._record(fresh, self._evaluate(list(fresh)))
        counted = self.scores
        worst = min([0.0, *counted])
        places = [None if key is None else self._place.get(key, -1) for key in keys]
        return np.array(
            [worst if at is None else counted[at] if at >= 0 else math.nan for at in places]
        )

    def knows(self, smiles: str) -> bool:
        """True if this canonical SMILES was scored already."""
        return smiles in self._place

    def _evaluate(self, smiles: list[str]) -> list[tuple[float, dict[str, Any], str | None]]:
        started = time.monotonic()
        detailed = getattr(self._score, "score_with_components", None)
        answers: list[tuple[float, dict[str, Any], str | None]]
        if detailed is None:
            answers = [(answer.value, {}, answer.problem) for answer in self._function(smiles)]
            self._tell_raw([value for value, _, problem in answers if problem is None])
        else:
            answers = _detailed_answers(detailed, smiles)
        self.oracle_seconds += time.monotonic() - started
        return [
            (value, parts, problem)
            if math.isfinite(value)
            else (math.nan, parts, problem or f"score is {value}")
            for value, parts, problem in answers
        ]

    def _tell_raw(self, values: Sequence[float]) -> None:
        outside = [value for value in values if not 0.0 <= value <= 1.0]
        if outside and not self._told_raw:
            self._told_raw = True
            warn_user(
                f"the score gave {outside[0]:g}, outside [0, 1]: scores are taken as they are, the "
                "higher the better; for a quantity of which less is better give its negative, or a "
                "desirability (molgen.Component.from_function)"
            )

    def _record(
        self, fresh: dict[str, str], answers: list[tuple[float, dict[str, Any], str | None]]
    ) -> None:
        calls = []
        for (key, name), (value, parts, problem) in zip(fresh.items(), answers, strict=True):
            call = Call(len(self.history) + 1, key, value, name, parts, problem)
            self.history.append(call)
            self._place[key] = len(self.history) - 1
            calls.append(call)
        if self._log is not None:
            self._append(calls)

    # ---- state -----------------------------------------------------------------------------------
    @property
    def used(self) -> int:
        """Calls paid so far."""
        return len(self.history)

    @property
    def remaining(self) -> int:
        """Calls left in the budget."""
        return max(self.n_calls - self.used, 0)

    @property
    def out_of_time(self) -> bool:
        """True once the time limit has passed."""
        return self.time_limit is not None and time.monotonic() - self._started >= self.time_limit

    @property
    def finished(self) -> bool:
        """True when the budget or the time is spent."""
        return self.remaining == 0 or self.out_of_time

    @property
    def scores(self) -> np.ndarray:
        """(used,) float64 in the order of the calls; what failed counts as the worst so far."""
        return self.scores_until(self.used)

    def scores_until(self, used: int, since: int = 0) -> np.ndarray:
        """Scores of the calls after ``since`` up to ``used``; failures as the worst up to there.

        The worst is 0 for scores that are not negative.
        """
        scores = np.array([call.score for call in self.history[:used]], dtype=float)
        gone = np.isnan(scores)
        if gone.any():
            scores[gone] = min([0.0, *scores[~gone]])
        return scores[since:]

    @property
    def failures_in_a_row(self) -> int:
        """How many of the last calls failed, one after the other."""
        number = 0
        while number < self.used and self.history[-1 - number].failed:
            number += 1
        return number

    def best(self, n: int = 10) -> list[Call]:
        """The ``n`` best calls, best first; ties in the order of the calls, failures last."""
        return sorted(
            self.history,
            key=lambda call: (
                math.isnan(call.score),
                0.0 if math.isnan(call.score) else -call.score,
                call.failed,
                call.number,
            ),
        )[:n]

    def auc(self, k: int = 10, every: int = 100) -> float:
        """Area under the top-``k`` curve over the whole budget, see :func:`top_k_auc`."""
        return top_k_auc(self.scores, k, self.n_calls, every)

    # ---- log -------------------------------------------------------------------------------------
    def _open_log(self) -> None:
        assert self._log is not None
        self._log.parent.mkdir(parents=True, exist_ok=True)
        if self._log.exists() and self._log.stat().st_size:
            self._read_log()
            return
        header = {"log": "molgen-oracle", "version": LOG_VERSION, "identity": self.identity}
        self._log.write_text(json.dumps(header) + "\n", encoding="utf-8")

    def _read_log(self) -> None:
        assert self._log is not None
        text = self._log.read_text(encoding="utf-8")
        whole, _, torn = text.rpartition("\n")
        lines = whole.split("\n") if whole else []
        try:
            header = json.loads(lines[0])
            known = header["log"] == "molgen-oracle"
        except (IndexError, KeyError, TypeError, json.JSONDecodeError):
            known = False
        if not known:
            raise ValueError(f"{self._log} is not an oracle log: name another file or remove it")
        if header.get("identity", "") != self.identity:
            raise ValueError(
                f"{self._log} was written for another objective "
                f"({header.get('identity')!r}, now {self.identity!r}): name another file"
            )
        for line in lines[1:]:
            row = json.loads(line)
            if row["score"] is None:
                row["score"] = math.nan
            call = Call(**row)
            self.history.append(call)
            self._place[call.smiles] = len(self.history) - 1
        if torn:  # the run was killed while it wrote its last line
            write_text(self._log, whole + "\n")

    def _append(self, calls: Sequence[Call]) -> None:
        assert self._log is not None
        with self._log.open("a", encoding="utf-8") as file:
            for call in calls:
                file.write(json.dumps(_row(call)) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _detailed_answers(
    detailed: Callable[[list[str]], Sequence[tuple[float, dict[str, Any], str | None]]],
    smiles: list[str],
) -> list[tuple[float, dict[str, Any], str | None]]:
    """Answers with components; a failing batch is halved until the molecule at fault is alone."""
    try:
        answers = list(detailed(smiles))
        if len(answers) != len(smiles):
            raise ValueError(f"returned {len(answers)} values for {len(smiles)} molecules")
        return answers
    except Exception as error:  # a user's scorer may raise anything
        if len(smiles) == 1:
            return [(math.nan, {}, f"{type(error).__name__}: {error}")]
    middle = len(smiles) // 2
    return _detailed_answers(detailed, smiles[:middle]) + _detailed_answers(
        detailed, smiles[middle:]
    )


def _row(call: Call) -> dict[str, Any]:
    return {
        "number": call.number,
        "smiles": call.smiles,
        "score": _plain(call.score),
        "origin": call.origin,
        "components": {name: _plain(value) for name, value in call.components.items()},
        "error": call.error,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def top_k_auc(
    scores: Sequence[float] | np.ndarray, k: int, n_calls: int, every: int = 100
) -> float:
    """PMO's area under the curve of the mean of the ``k`` best scores, over ``n_calls``.

    Trapezoids over calls in steps of ``every``, starting from 0; the last value is carried to
    ``n_calls`` when the run ended early (Gao et al., arXiv 2206.12411, section 3).

    Args:
        scores: Scores in the order of the calls.
        k: How many of the best are averaged (all, while there are fewer).
        n_calls: The budget that the area is divided by.
        every: Step between two readings, in calls.

    Returns:
        The area, in [0, 1] for scores in [0, 1].
    """
    values = np.asarray(scores, dtype=float)[:n_calls]
    if k < 1 or every < 1:
        raise ValueError(f"k and every are at least 1; got k={k}, every={every}")
    area = previous = 0.0
    position = 0
    for stop in [*range(every, len(values), every), len(values)]:
        if stop == 0:
            continue
        current = float(np.mean(np.sort(values[:stop])[::-1][:k]))
        area += (stop - position) * (current + previous) / 2
        previous, position = current, stop
    return (area + (n_calls - position) * previous) / n_calls
