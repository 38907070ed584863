"""Processor time of each stage of a batch, on molecules that a model draws.

    python -m benchmarks batch_stages --blocks 4

Prints milliseconds of the processor for each stage, on molecules that went through it once before
(what is learned once a worker is not counted), over the molecules that reach it; then the sum for
one molecule delivered with default filters and descriptors.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from rdkit import Chem

from molgen.base.parallel import one_thread
from molgen.batch.chunk import hash_key
from molgen.batch.plan import BLOCK, DESCRIBED
from molgen.chem.fast_descriptors import describe_fast, quick_values
from molgen.chem.parsing import parse, quiet_rdkit
from molgen.chem.typed_molecules import TypedMol
from molgen.filters.fast_filters import refuses
from molgen.filters.filter_sets import as_filter_set
from molgen.filters.one_filter import Filter
from molgen.generation.generator import load_model
from molgen.provenance import row_digests


def stages(model: str, n_blocks: int) -> dict[str, float]:
    """Milliseconds a molecule by stage."""
    found: dict[str, float] = {}

    def timed(name: str, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        items = list(items)
        began = time.process_time()
        results = [function(item) for item in items]
        found[name] = 1e3 * (time.process_time() - began) / max(len(items), 1)
        return results

    generator = load_model(model)
    # a batch lets go of each molecule at once; here all are held, which the collector would search
    gc.disable()
    with one_thread(), quiet_rdkit():
        generator.sample_block(n_blocks, 0)
        began = time.process_time()
        smiles = [s for b in range(n_blocks) for s in generator.sample_block(b, 0)[0]]
        found["generation"] = 1e3 * (time.process_time() - began) / len(smiles)
        filters = as_filter_set("default")
        names = filters.descriptors
        for text in smiles:  # what is learned once
            molecule = TypedMol(parse(text), text)
            known = quick_values(molecule, names)
            [refuses(f, molecule, known) for f in filters.filters]
            describe_fast(molecule, DESCRIBED, known)
        molecules = timed("parsing", lambda s: TypedMol(parse(s), s), smiles)
        timed("types of atoms and bonds", lambda m: (m.angles, m.counts, m.is_plain), molecules)
        described = partial(quick_values, names=names)
        values = timed("descriptors for filters", described, molecules)
        left = list(zip(molecules, values))
        weights: dict[str, float] = dict.fromkeys(found, 1.0)
        for one in filters.filters:
            weights[f"filter {one.name}"] = len(left) / len(smiles)
            verdicts = timed(f"filter {one.name}", partial(_refused_by, one), left)
            left = [pair for pair, refused in zip(left, verdicts) if not refused]
        rows = timed("other descriptors", lambda p: describe_fast(p[0], DESCRIBED, p[1]), left)
        keys = timed("InChIKey", lambda p: Chem.MolToInchiKey(p[0].mol), left)
        timed("64-bit key", hash_key, keys)
        table = pd.DataFrame(rows)
        table.insert(0, "draw", np.arange(len(table)))
        timed("digest of the row", row_digests, [table])
        found["digest of the row"] /= len(table)
        timed("CSV", lambda t: t.to_csv(index=False), [table])
        found["CSV"] /= len(table)
    share = len(left) / len(smiles)
    for name, value in found.items():
        found[name] = value * weights.get(name, share)
    rest = sum(v for k, v in found.items() if k != "generation")
    found["all but generation, a molecule delivered"] = rest / share
    found["all, a molecule delivered"] = (rest + found["generation"]) / share
    return {k: round(v, 4) for k, v in found.items()}


def _refused_by(one: Filter, pair: tuple[TypedMol, dict[str, float]]) -> bool:
    return refuses(one, *pair)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="moses")
    parser.add_argument("--blocks", type=int, default=4, help=f"of {BLOCK} draws")
    given = parser.parse_args(arguments)
    print(json.dumps(stages(given.model, given.blocks), indent=1))


if __name__ == "__main__":
    main()
