"""A simulation result on disk, with what identifies it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trial_sim.base.output_places import write_text
from trial_sim.base.parquet import write_parquet
from trial_sim.base.provenance import digest, environment
from trial_sim.base.records import plain_hash, to_plain

if TYPE_CHECKING:
    from trial_sim.simulation.operating_characteristics import SimulationResult


def provenance(result: SimulationResult) -> dict[str, Any]:
    """See :attr:`SimulationResult.provenance`."""
    inputs = {"design": to_plain(result.declared), "outcomes": to_plain(result.outcomes)}
    return {
        "seed": result.seed,
        "scenario": result.scenario,
        "n_trials": result.n_trials,
        "n_requested": result.n_requested,
        "seconds": result.seconds,
        "hash": plain_hash({**inputs, "seed": result.seed, "scenario": result.scenario}),
        **environment(),
    }


def save(result: SimulationResult, folder: str | Path) -> Path:
    """See :meth:`SimulationResult.save`."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    write_parquet(result.trials, target / "trials.parquet")
    result.operating_characteristics.to_csv(target / "operating_characteristics.csv", index=False)
    run = {
        "design": to_plain(result.declared),
        "outcomes": to_plain(result.outcomes),
        **result.provenance,
        "decided": getattr(result, "decide", None) is not None,
        "files": {
            name: digest(target / name)
            for name in ("trials.parquet", "operating_characteristics.csv")
        },
    }
    write_text(target / "run.json", json.dumps(run, indent=2, default=str))
    return target
