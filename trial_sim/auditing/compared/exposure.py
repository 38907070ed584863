"""The tables of an attack: what was published, who was in the data, and who was not."""

from __future__ import annotations

from dataclasses import dataclass

from trial_sim.auditing.compared.comparison import MAX_ROWS, Comparison
from trial_sim.auditing.compared.tables import MixedTable, Schema


@dataclass(frozen=True, eq=False)
class Exposure:
    """The tables of one attack: what was published, who was in, and who was not.

    Args:
        schema: of all three.
        members: real records that the generator saw.
        synthetic: what it published, at most as many rows as there are members.
        others: real records that it did not see, or None.
    """

    schema: Schema
    members: MixedTable
    synthetic: MixedTable
    others: MixedTable | None = None


def exposure(comparison: Comparison) -> Exposure:
    """The attack tables of a comparison, thinned to sizes that distances can be computed for."""
    members = comparison.thinned("real")
    synthetic = comparison.thinned("synthetic", min(MAX_ROWS, len(members)))
    others = comparison.thinned("holdout") if comparison.holdout is not None else None
    return Exposure(comparison.schema, members, synthetic, others)
