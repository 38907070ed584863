"""How a goal-directed search runs, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class SearchSettings:
    """How a search runs. The defaults are those of the published benchmark, the same for all tasks.

    Attributes:
        n_initial: Random library molecules scored first.
        batch_size: Oracle calls a generation (smaller at the start).
        batch_share: Later on a generation is this share of the calls so far, if that is more.
        largest_batch: The most that it grows to.
        pool_size: Children a round.
        rounds: Rounds of children a generation (1: no inner rounds).
        parents: Parents drawn a round.
        elite: How many of the best molecules parents are drawn from.
        train_best: Best molecules in the surrogate's training set.
        train_other: Others in it.
        use_surrogate: False gives a plain evolutionary search.
        explore: Share of a batch taken at random from the pool.
        patience: Calls without progress of the best ten after which the search restarts.
        max_restarts: Restarts before the search ends as exhausted; None for no limit.
        niche_similarity: A molecule closer than this (Tanimoto on Morgan counts) to one already in
            the batch waits until all others are taken; 1 asks for no such spacing.
        screen_size: Library molecules that the surrogate (not the oracle) looks through.
        screen_until: Number of calls up to which it does.
        crowd_limit: Calls that one chemotype (:mod:`molgen.chem.chemotypes`) may take while there
            are children of others; None for no limit. A limit makes a search of many chemotypes.
        failures_in_a_row: So many failed calls one after the other end the search.
        target: A score that ends the search when a molecule reaches it; None for none.
        plateau: Calls without progress of the best ten, restarts included, that end the search;
            None for none.
    """

    n_initial: int = 100
    batch_size: int = 40
    batch_share: float = 0.03
    largest_batch: int = 100
    pool_size: int = 160
    rounds: int = 3
    parents: int = 50
    elite: int = 500
    train_best: int = 700
    train_other: int = 300
    use_surrogate: bool = True
    explore: float = 0.05
    patience: int = 1500
    max_restarts: int | None = None
    niche_similarity: float = 1.0
    screen_size: int = 1500
    screen_until: int = 600
    crowd_limit: int | None = None
    failures_in_a_row: int = 100
    target: float | None = None
    plateau: int | None = None

    def __post_init__(self) -> None:
        for name in (
            "n_initial",
            "batch_size",
            "pool_size",
            "rounds",
            "parents",
            "elite",
            "largest_batch",
            "failures_in_a_row",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1; got {getattr(self, name)}")
        for name in ("plateau", "patience"):
            value = getattr(self, name)
            if value is not None and value < 10:
                raise ValueError(f"{name} is at least 10 calls; got {value}")
        if self.crowd_limit is not None and self.crowd_limit < 1:
            raise ValueError(f"crowd_limit is at least 1, or None; got {self.crowd_limit}")
        if not 0 <= self.batch_share <= 1:
            raise ValueError(f"batch_share is a share between 0 and 1; got {self.batch_share}")
        if not 0 <= self.explore <= 1:
            raise ValueError(f"explore is a share between 0 and 1; got {self.explore}")
        if not 0 < self.niche_similarity <= 1:
            raise ValueError(
                f"niche_similarity is a Tanimoto similarity in (0, 1]; got {self.niche_similarity}"
            )


@dataclass
class SearchOutcome:
    """Why and how a search ended.

    Attributes:
        reason: "budget", "time", "target", "plateau", "exhausted", "no proposals", "failures" or
            "interrupted".
        restarts: Call numbers at which the search restarted.
        events: What was noticed on the way, one sentence each.
    """

    reason: str
    restarts: list[int] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
