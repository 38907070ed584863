"""Which candidates a campaign tests next: by expectation, spread, learning and cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from molgen.chem.diversity import choose_maxmin, select_diverse
from molgen.chem.fingerprints import fingerprints
from molgen.chem.similarity import pack
from molgen.optimization.campaign_model import Belief, FeatureStore, QuantityModel
from molgen.optimization.campaign_record import Quantity
from molgen.qsar.data import parent

#: Wells of a plate: rows and columns.
PLATES = {24: (4, 6), 96: (8, 12), 384: (16, 24), 1536: (32, 48)}
#: Candidates whose deviation is worked out, at least; of the others the expectation alone.
_SCREENED = 5_000
_DIVERSE = (0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Choice:
    """Chooses the compounds of one round.

    Attributes:
        quantities: What is measured and wanted. values: By quantity, the values told so far.
        models: One a quantity, None where too little is known.
        features: Features of molecules, worked out once. rng: Random numbers of the round.
    """

    quantities: Sequence[Quantity]
    values: Mapping[str, Sequence[float]]
    models: Sequence[QuantityModel | None]
    features: FeatureStore
    rng: np.random.Generator

    def choose(
        self,
        candidates: list[str],
        n: int,
        diverse: bool,
        explore: float,
        prices: np.ndarray | None,
        max_cost: float | None,
    ) -> list[tuple[int, str]]:
        """Positions of at most ``n`` candidates, and why each was taken.

        Args:
            candidates: SMILES. diverse, explore, max_cost: as in ``Campaign.suggest``.
            prices: (n_candidates,) what each costs, or None.
        """
        models, rng = self.models, self.rng
        taken: list[tuple[int, str]] = []
        spent = 0.0

        def take(order: Iterable[int], count: int, why: str) -> None:
            nonlocal spent
            have = {i for i, _ in taken}
            for i in order:
                if count <= 0 or len(taken) >= n:
                    return
                price = 0.0 if prices is None else float(prices[i])
                if i in have or (max_cost is not None and spent + price > max_cost):
                    continue
                taken.append((int(i), why))
                have.add(int(i))
                spent += price
                count -= 1

        if all(model is None for model in models):
            order = rng.permutation(len(candidates))
            if diverse and n <= 1_000:
                pool = order[:20_000]
                prints = pack(fingerprints([candidates[i] for i in pool]))
                spread = choose_maxmin(prints, np.arange(len(pool)), min(n, len(pool)))[0]
                order = np.concatenate([pool[spread], order])
            take(dict.fromkeys(order.tolist()), n, "as unlike the others as can be"
                 if diverse else "at random: nothing is known yet")  # fmt: skip
            return taken
        features = self.features.of(candidates)
        parts = self._weights(rng, models)
        means = [None if m is None else Belief(m.mean(features)) for m in models]
        pool = self._promising(means, parts, prices, max(_SCREENED, 20 * n))
        few = features.rows(pool)
        beliefs = [None if m is None else m.predict(few) for m in models]
        n_explore = min(round(explore * n), n)

        def gain(weights: np.ndarray, boldness: float) -> np.ndarray:
            whole = np.full(len(candidates), -np.inf)
            whole[pool] = self._gain(beliefs, weights, boldness)
            return whole

        for k, weights in enumerate(parts):
            share = (n - n_explore) * (k + 1) // len(parts) - (n - n_explore) * k // len(parts)
            why = "expected best" if k == 0 else "expected best, weighed otherwise"
            best = self._order(candidates, gain(weights, 0.0), prices, diverse, n, taken)
            take(best, share, why)
        bold = self._order(candidates, gain(parts[0], 2.0), prices, diverse, n, taken)
        take(bold, n - len(taken), "may be better than expected")
        return taken

    def _promising(
        self,
        means: Sequence[Belief | None],
        parts: Sequence[np.ndarray],
        prices: np.ndarray | None,
        n: int,
    ) -> np.ndarray:
        """Positions of the candidates that are worth a closer look: the best of each weighing."""
        kept: set[int] = set()
        for weights in parts:
            gain = self._gain(means, weights, 0.0)
            if prices is not None:
                gain = (gain - gain.min()) / prices
            kept |= set(np.argsort(-gain, kind="stable")[:n].tolist())
        return np.array(sorted(kept), dtype=int)

    def _weights(
        self, rng: np.random.Generator, models: Sequence[QuantityModel | None]
    ) -> list[np.ndarray]:
        """The user's weights, and with several quantities three others, drawn."""
        given = np.array([0.0 if m is None else q.weight for q, m in zip(self.quantities, models)])
        given = given / given.sum()
        if np.sum(given > 0) < 2:
            return [given]
        drawn = [rng.dirichlet(np.ones(len(given))) * (given > 0) for _ in range(3)]
        return [given, *(w / w.sum() for w in drawn)]

    def _gain(
        self, beliefs: Sequence[Belief | None], weights: np.ndarray, boldness: float
    ) -> np.ndarray:
        total = None
        for quantity, belief, weight in zip(self.quantities, beliefs, weights):
            if belief is None or not weight:
                continue
            numbers = np.array(self.values[quantity.name])
            size = float(max(numbers.std(), 1e-9))
            bold = quantity.sign * (belief.mean - numbers.mean())
            if boldness:
                bold = bold + boldness * belief.deviation
            part = weight * bold / size
            total = part if total is None else total + part
        assert total is not None
        return total

    def _order(
        self,
        candidates: Sequence[str],
        gain: np.ndarray,
        prices: np.ndarray | None,
        diverse: bool,
        n: int,
        taken: Sequence[tuple[int, str]],
    ) -> Iterable[int]:
        if prices is not None:
            # the gain over the least promising candidate, for each unit of cost
            gain = (gain - gain[np.isfinite(gain)].min()) / prices
        order = np.argsort(-gain, kind="stable")[: int(np.isfinite(gain).sum())]
        if not diverse:
            return order.tolist()
        pool = order[: max(50 * n, 1_000)]
        have = [i for i, _ in taken]
        head = [*have, *(int(i) for i in pool if int(i) not in set(have))]
        texts = [candidates[i] for i in head]
        ranked = -np.arange(len(head), dtype=float)
        result: dict[int, None] = {}
        for limit in _DIVERSE:
            wanted = min(len(have) + n, len(head))
            for at in select_diverse(texts, ranked, wanted, max_similarity=limit):
                result.setdefault(head[at])
            if len(result) >= wanted:
                break
        return [*(i for i in result if i not in set(have)), *order.tolist()]


def prices_of(
    cost: Callable[[str], float] | Mapping[str, float] | None, candidates: Sequence[str]
) -> np.ndarray | None:
    """What each candidate costs, (n,); ValueError for one that has no price above 0."""
    if cost is None:
        return None
    if isinstance(cost, Mapping):
        known = {parent(key): float(value) for key, value in cost.items()}
        lacking = [text for text in candidates if text not in known]
        if lacking:
            raise ValueError(f"cost has no entry for {len(lacking)} candidates; {lacking[0]}")
        prices = np.array([known[text] for text in candidates])
    else:
        prices = np.array([float(cost(text)) for text in candidates])
    if not (np.isfinite(prices).all() and (prices > 0).all()):
        at = int(np.argmin(np.where(np.isfinite(prices), prices, -np.inf)))
        raise ValueError(f"a cost is a number above 0; {candidates[at]} costs {prices[at]}")
    return prices


def wells_of(n: int, wells: int) -> tuple[list[int], list[str]]:
    """Plate (from 1) and well (such as "B7") of each of ``n`` compounds, row by row."""
    columns = PLATES[wells][1]
    plates, names = [], []
    for i in range(n):
        plate, place = divmod(i, wells)
        row, column = divmod(place, columns)
        letter = chr(65 + row) if row < 26 else "A" + chr(65 + row - 26)
        plates.append(plate + 1)
        names.append(f"{letter}{column + 1}")
    return plates, names
