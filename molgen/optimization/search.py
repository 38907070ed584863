"""Goal-directed search: proposers suggest molecules, a surrogate ranks them, the oracle judges.

One generation: parents are drawn from everything scored so far, uniformly over the logarithm of
the rank quantile (Mol GA, Tripp and Hernández-Lobato, arXiv 2310.09267); proposers make children;
the most promising children (by a Gaussian process on the paid calls) become parents of further
children for a few inner rounds, none of which costs a call; then the best of all are sent to the
oracle. Proposers are plain callables, so that a generative model joins by passing one more.

The state of a search is a function of the oracle's history and the seed alone: random numbers are
drawn from a stream keyed by (seed, calls so far), so a run that is resumed from the oracle's log
goes on as the uninterrupted run would have.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from molgen.chem.chemotypes import Chemotypes
from molgen.chem.parsing import quiet_rdkit
from molgen.optimization.oracle import Oracle, parse
from molgen.optimization.proposers import (
    Proposer,
    default_proposers,
    library_proposer,
    propose_mutation,
)
from molgen.optimization.ranking import Ranker
from molgen.optimization.settings import SearchOutcome, SearchSettings
from molgen.qsar.gaussian_process import Features, concatenate, featurize, similarities

logger = logging.getLogger(__name__)

_MANY_TIES = 100
"""Molecules with the highest score from which on a search says that it is saturated."""


# ---- the search ----------------------------------------------------------------------------------
def search(
    oracle: Oracle,
    library: Sequence[str],
    proposers: Mapping[str, tuple[Proposer, float]] | None = None,
    settings: SearchSettings | None = None,
    seed: int = 0,
    accept: Callable[[list[str]], Sequence[bool]] | None = None,
    start: Sequence[str] = (),
    on_progress: Callable[[int, float], None] | None = None,
) -> SearchOutcome:
    """Spend the oracle's budget on molecules that score high.

    Args:
        oracle: The counted score; its history is extended, and a search goes on after calls in it.
        library: Unlabelled molecules: the random start, and the source of the fragment table.
        proposers: Name -> (proposer, share of the children). Default:
            :func:`default_proposers` of the library.
        settings: How the search runs.
        seed: Random seed.
        accept: Hard filter asked before any call: SMILES -> one bool each.
        start: Molecules scored first, before the random ones, whether or not ``accept`` does.
        on_progress: Called after every generation with the calls paid and the mean of the ten best.

    Returns:
        Why it ended; the results stand in ``oracle.history``.

    Raises:
        ValueError: If the library is empty or no proposer has a positive share.
    """
    if not len(library):
        raise ValueError("library is empty: the search needs molecules to start from")
    run = _Search(
        oracle,
        list(library),
        dict(proposers) if proposers is not None else default_proposers(library, seed),
        settings or SearchSettings(),
        seed,
        accept,
        list(start),
        on_progress,
    )
    return run.run()


@dataclass(frozen=True)
class _Child:
    smiles: str
    origin: str
    mol: Chem.Mol


class _Search:
    """The moving parts of :func:`search`."""

    def __init__(
        self,
        oracle: Oracle,
        library: list[str],
        proposers: dict[str, tuple[Proposer, float]],
        settings: SearchSettings,
        seed: int,
        accept: Callable[[list[str]], Sequence[bool]] | None,
        start: list[str],
        on_progress: Callable[[int, float], None] | None,
    ) -> None:
        total = sum(share for _, share in proposers.values())
        if not proposers or total <= 0:
            raise ValueError("proposers are empty: give at least one with a positive share")
        self.oracle = oracle
        self.library = library
        self.proposers = {
            name: (propose, share / total) for name, (propose, share) in proposers.items()
        }
        self.settings = settings
        self.seed = seed
        self.accept = accept
        self.start = start
        self.on_progress = on_progress
        self.outcome = SearchOutcome("budget")
        self.since = 0  # first call of the present restart
        self.progress_at = 0
        self.progress_value = -np.inf
        self.plateau_at = 0
        self.plateau_value = -np.inf
        self.saturated = False
        self.chemotypes = Chemotypes()
        self.homes: list[int] = []  # the chemotype of each call
        self.watched = 0
        self.ranker = Ranker(oracle, settings, seed)
        self.screened: tuple[list[_Child], Features] | None = None

    # ---- loop ------------------------------------------------------------------------------------
    def run(self) -> SearchOutcome:
        """Run generations until budget or time is spent, nothing new is proposed, or the user
        interrupts."""
        try:
            with quiet_rdkit():  # most failed edits are impossible valences, which RDKit reports
                return self._run()
        except KeyboardInterrupt:
            self.outcome.reason = "interrupted"
            self._note(f"call {self.oracle.used}: interrupted; what was scored until then is kept")
            return self.outcome

    def _run(self) -> SearchOutcome:
        if not self._watch(self.oracle.used):
            return self.outcome
        empty = 0
        while not self.oracle.finished:
            rng = np.random.default_rng(np.random.SeedSequence([self.seed, self.oracle.used]))
            if self.oracle.used < self.settings.n_initial:
                batch = self._initial_batch(rng)
            else:
                batch = self._next_batch(rng)
            if not batch:
                empty += 1
                if empty >= 20:
                    self.outcome.reason = "no proposals"
                    self.outcome.events.append(
                        "20 generations in a row brought no new acceptable molecule"
                    )
                    return self.outcome
                # The stream is keyed by the number of calls, which has not moved.
                self.seed += 1_000_003
                continue
            empty = 0
            self.oracle([text for text, _ in batch], [name for _, name in batch])
            if self.on_progress is not None:
                best = np.sort(self.oracle.scores)[::-1][:10]
                self.on_progress(self.oracle.used, float(np.mean(best)))
            if self.oracle.failures_in_a_row >= self.settings.failures_in_a_row:
                self.outcome.reason = "failures"
                self.outcome.events.append(
                    f"call {self.oracle.used}: {self.oracle.failures_in_a_row} calls in a row "
                    f"failed, the last with: {self.oracle.history[-1].error}"
                )
                return self.outcome
            if not self._watch(self.oracle.used):
                return self.outcome
        self.outcome.reason = "time" if self.oracle.out_of_time else "budget"
        return self.outcome

    def _watch(self, used: int) -> bool:
        """Look at the calls since the last look; False when the search is to end.

        It looks after every tenth call, wherever batches end, so that a resumed run sees the same.
        """
        for position in range(self.watched // 10 * 10 + 10, used + 1, 10):
            self.watched = position
            if not self._goes_on(position):
                return False
        return True

    def _goes_on(self, used: int) -> bool:
        """Whether the search goes on after call ``used``.

        Where the best scores have stood still it starts again from other molecules, or ends.
        """
        everything = self.oracle.scores_until(used)
        self._notice_saturation(everything)
        scores = everything[self.since :]
        best = float(np.mean(np.sort(scores)[::-1][:10])) if len(scores) else 0.0
        # a thousandth of [0, 1], or of the range that raw scores have shown
        spread = float(np.ptp(everything)) if everything.min() < 0 or everything.max() > 1 else 1.0
        if self._is_over(everything, 1e-3 * spread):
            return False
        if best > self.progress_value + 1e-3 * spread:
            self.progress_value, self.progress_at = best, used
        if used - self.progress_at < self.settings.patience:
            return True
        limit = self.settings.max_restarts
        if limit is not None and len(self.outcome.restarts) >= limit:
            self.outcome.reason = "exhausted"
            self.outcome.events.append(
                f"call {used}: no progress for {self.settings.patience} calls after "
                f"{len(self.outcome.restarts)} restarts"
            )
            return False
        self.outcome.restarts.append(used)
        self.outcome.events.append(
            f"call {used}: the best ten stood at {best:.4f} for {self.settings.patience} calls, "
            f"mean similarity among them {self._closeness(used):.2f}; restarted from the library"
        )
        logger.info(self.outcome.events[-1])
        # Every second restart has all calls as parents, so that finds of restarts are crossed.
        self.since = used if len(self.outcome.restarts) % 2 else 0
        self.progress_at, self.progress_value = used, -np.inf
        return True

    def _is_over(self, scores: np.ndarray, step: float) -> bool:
        """Whether the target is reached, or the best ten of all calls stood still too long."""
        used, settings = len(scores), self.settings
        highest = float(np.max(scores, initial=-np.inf))
        if settings.target is not None and highest >= settings.target:
            self.outcome.reason = "target"
            self.outcome.events.append(f"call {used}: the score {highest:.4g} reaches the target")
            return True
        ten = float(np.mean(np.sort(scores)[::-1][:10]))
        if ten > self.plateau_value + step:
            self.plateau_value, self.plateau_at = ten, used
        if settings.plateau is not None and used - self.plateau_at >= settings.plateau:
            self.outcome.reason = "plateau"
            self.outcome.events.append(
                f"call {used}: the best ten stood at {self.plateau_value:.4g} for "
                f"{settings.plateau} calls"
            )
            return True
        return False

    def _notice_saturation(self, scores: np.ndarray) -> None:
        """Say once that many molecules share the highest score, so that it ranks them no more."""
        ties = int((scores >= scores.max() - 1e-9).sum())
        if self.saturated or ties < _MANY_TIES or float(np.ptp(scores)) < 1e-9:
            return
        self.saturated = True
        self._note(
            f"call {len(scores)}: {ties} of {len(scores)} molecules share the highest score, "
            f"{scores.max():g}: the objective cannot tell them apart; ask for more (narrower "
            "bounds, or maximise something). Among equals new molecules come before those of the "
            "library, and easy syntheses first"
        )

    def _closeness(self, used: int) -> float:
        """Mean pairwise similarity of the ten best of the first ``used`` calls."""
        generator = rdFingerprintGenerator.GetMorganGenerator(radius=2)
        prints = [
            generator.GetFingerprint(Chem.MolFromSmiles(call.smiles))
            for call in (
                self.oracle.history[int(at)]
                for at in np.argsort(-self.oracle.scores_until(used), kind="stable")[:10]
            )
        ]
        pairs = [
            DataStructs.TanimotoSimilarity(prints[i], prints[j])
            for i in range(len(prints))
            for j in range(i)
        ]
        return float(np.mean(pairs)) if pairs else 1.0

    # ---- batches ---------------------------------------------------------------------------------
    def _initial_batch(self, rng: np.random.Generator) -> list[tuple[str, str]]:
        wanted = min(self.settings.n_initial - self.oracle.used, self.oracle.remaining)
        batch: dict[str, str] = {}
        if self.oracle.used == 0:
            batch = dict.fromkeys(self._new(self.start), "start")
            if len(batch) < len(self.start):
                self._note(
                    f"{len(self.start) - len(batch)} of {len(self.start)} start molecules were "
                    "left out: no molecules, or repeated"
                )
            passed = [] if self.accept is None or not batch else self.accept(list(batch))
            if refused := [text for text, good in zip(batch, passed) if not good]:
                self._note(
                    f"{len(refused)} of {len(self.start)} start molecules do not pass the filters "
                    f"or hard bounds and were scored all the same, such as {refused[0]}"
                )
        # A library smaller than the initial sample is used up, then mutated.
        for attempt in range(20):
            if len(batch) >= wanted:
                break
            if attempt < 10:
                drawn = library_proposer(self.library)([], wanted - len(batch), rng)
                name = "library"
            else:
                drawn, name = propose_mutation(self.library, 2 * wanted, rng), "mutation"
            for text in self._admissible(drawn):
                batch.setdefault(text, name)
        return list(batch.items())[: max(wanted, len(self.start))]

    def _new(self, smiles: Sequence[str]) -> dict[str, Chem.Mol]:
        """Not scored yet: canonical SMILES -> molecule; order kept."""
        fresh: dict[str, Chem.Mol] = {}
        for text in smiles:
            parsed = parse(text)
            if parsed is not None and not self.oracle.knows(parsed[0]):
                fresh[parsed[0]] = parsed[1]
        return fresh

    def _admissible(self, smiles: Sequence[str]) -> dict[str, Chem.Mol]:
        """New and accepted: canonical SMILES -> molecule; order kept."""
        fresh = self._new(smiles)
        if self.accept is not None and fresh:
            answers = self.accept(list(fresh))
            fresh = {key: fresh[key] for key, good in zip(list(fresh), answers) if good}
        return fresh

    def _draw_parents(self, rng: np.random.Generator) -> list[str]:
        calls = self.oracle.history[self.since :]
        if len(calls) < 20:
            return [self.library[i] for i in rng.integers(len(self.library), size=50)]
        scores = self.oracle.scores_until(self.oracle.used, self.since)
        if self.settings.crowd_limit is not None:
            scores = self._thinned(scores)
        noise = rng.random(len(scores)) * 1e-9  # ties in random order
        order = np.argsort(-(scores + noise))[: self.settings.elite]
        # Uniform over the logarithm of the quantile: as many from the top 1 % as from the next 9.
        quantile = 10.0 ** (-2.5 * rng.random(self.settings.parents))
        ranks = np.floor(rng.random(self.settings.parents) * np.ceil(quantile * len(order)))
        return [calls[order[int(rank)]].smiles for rank in np.sort(ranks)]

    # ---- many chemotypes -------------------------------------------------------------------------
    def _update_chemotypes(self) -> None:
        for call in self.oracle.history[len(self.homes) :]:
            self.homes.append(self.chemotypes.add(call.smiles))

    def _is_crowded(self, molecule: str | Chem.Mol) -> bool:
        """Whether the chemotype of a molecule has had its share of the calls."""
        limit = self.settings.crowd_limit
        if limit is None:
            return False
        home = self.chemotypes.find(molecule)
        return home is not None and self.chemotypes.sizes[home] >= limit

    def _thinned(self, scores: np.ndarray) -> np.ndarray:
        """Scores for the choice of parents; molecules of crowded chemotypes get the lowest one."""
        full = np.array(self.chemotypes.sizes) >= (self.settings.crowd_limit or 0)
        crowded = full[np.array(self.homes)][self.since :]
        return np.where(crowded, scores.min(), scores) if not crowded.all() else scores

    def _children(self, parents: list[str], count: int, rng: np.random.Generator) -> list[_Child]:
        children: dict[str, _Child] = {}
        for name, (propose, share) in self.proposers.items():
            number = int(np.floor(count * share + rng.random()))
            if not number:
                continue
            try:
                proposed = propose(parents, number, rng)
            except Exception as error:  # a proposer may be anyone's code; the others go on
                self._note(f"proposer {name} raised {type(error).__name__}: {error}")
                continue
            for text, mol in self._admissible(proposed).items():
                children.setdefault(text, _Child(text, name, mol))
        return list(children.values())

    def _note(self, event: str) -> None:
        """Add an event, unless the same was noted before."""
        if event not in self.outcome.events:
            self.outcome.events.append(event)
            logger.warning(event)

    def _next_batch(self, rng: np.random.Generator) -> list[tuple[str, str]]:
        settings = self.settings
        used = self.oracle.used
        if settings.crowd_limit is not None:
            self._update_chemotypes()
        grown = min(settings.largest_batch, int(settings.batch_share * used))
        size = min(max(10, used // 10), max(settings.batch_size, grown), self.oracle.remaining)
        parents = self._draw_parents(rng)
        if not settings.use_surrogate or self.ranker.flat:
            offspring = self._children(parents, 2 * size, rng)
            offspring = [c for c in offspring if not self._is_crowded(c.mol)] or offspring
            return [
                (offspring[i].smiles, offspring[i].origin)
                for i in rng.permutation(len(offspring))[:size]
            ]
        self.ranker.fit()
        pool: list[_Child] = []
        known: set[str] = set()
        beta = 10.0 ** rng.uniform(-2.0, 0.3)
        means, spreads = np.zeros(0), np.zeros(0)
        parts: list[Features] = []
        if self.oracle.used < settings.screen_until:
            pool, part, means, spreads = self._screened(rng)
            parts.append(part)
            known.update(child.smiles for child in pool)
        for _ in range(settings.rounds):
            fresh = [
                child
                for child in self._children(parents, settings.pool_size, rng)
                if child.smiles not in known
            ]
            if fresh:
                known.update(child.smiles for child in fresh)
                part = featurize([child.mol for child in fresh])
                mean, spread = self.ranker.predict(part)
                pool += fresh
                parts.append(part)
                means, spreads = np.concatenate([means, mean]), np.concatenate([spreads, spread])
            values = means + beta * spreads
            if settings.crowd_limit is not None:
                full = np.array([self._is_crowded(child.mol) for child in pool])
                values = np.where(full, -np.inf, values)
            best = np.argsort(-values)[: settings.parents]
            parents = [pool[i].smiles for i in best]
            parents += self._draw_parents(rng)[: settings.parents // 3]
        return self._choose(pool, parts, means, spreads, size, rng)

    def _screened(
        self, rng: np.random.Generator
    ) -> tuple[list[_Child], Features, np.ndarray, np.ndarray]:
        """The library molecules that the surrogate likes best, as a part of the pool."""
        if self.screened is None:
            draw = np.random.default_rng(np.random.SeedSequence([self.seed, 0, 7]))
            number = min(self.settings.screen_size, len(self.library))
            index = draw.choice(len(self.library), size=number, replace=False)
            molecules = self._admissible([self.library[i] for i in index])
            children = [_Child(text, "library", mol) for text, mol in molecules.items()]
            self.screened = (children, featurize([child.mol for child in children]))
        children, features = self.screened
        if not children:
            return [], features, np.zeros(0), np.zeros(0)
        means, spreads = self.ranker.predict(features)
        bound = means + 10.0 ** rng.uniform(-2.0, 0.3) * spreads
        order = [
            int(i)
            for i in np.argsort(-bound)[: 2 * self.settings.pool_size]
            if not self.oracle.knows(children[int(i)].smiles)
        ][: self.settings.pool_size]
        chosen = [children[i] for i in order]
        return chosen, features.rows(order), means[order], spreads[order]

    def _choose(
        self,
        pool: list[_Child],
        parts: list[Features],
        means: np.ndarray,
        spreads: np.ndarray,
        size: int,
        rng: np.random.Generator,
    ) -> list[tuple[str, str]]:
        """The batch: upper confidence bounds with a weight drawn anew for every place."""
        if not pool:
            return []
        niche = self.settings.niche_similarity
        features = concatenate(parts) if niche < 1.0 else None
        taken: list[int] = []
        free = np.ones(len(pool), dtype=bool)
        crowded = np.array([self._is_crowded(child.mol) for child in pool], dtype=bool)
        for _ in range(min(size, len(pool))):
            # Once every niche is taken the rest of the batch may crowd.
            open_places = free & ~crowded if (free & ~crowded).any() else free
            if rng.random() < self.settings.explore:
                index = int(rng.choice(np.flatnonzero(open_places)))
            else:
                bound = means + 10.0 ** rng.uniform(-2.0, 0.3) * spreads
                index = int(np.argmax(np.where(open_places, bound, -np.inf)))
            free[index] = False
            taken.append(index)
            if features is not None:
                crowded |= similarities(features, index) > niche
        return [(pool[index].smiles, pool[index].origin) for index in taken]
