"""Goal-directed search: moves, proposers, ranking, oracle, search, optimize."""
