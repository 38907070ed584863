"""``audit`` and ``audit_samples``: all measures of a generator, in one report."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from molgen.auditing.canaries import measure_canaries
from molgen.auditing.inversion import measure_inversion
from molgen.auditing.measures import SECTIONS, Measure
from molgen.auditing.membership import (
    Attack,
    gather_evidence,
    measure_membership,
    model_attacks,
    nearest_sample_attacks,
)
from molgen.auditing.memorisation import measure_memorisation
from molgen.auditing.report import AuditReport
from molgen.auditing.sets import MoleculeSet, profile_chunk, read_generated, read_sets
from molgen.auditing.shadows import gather_scores, plan_shadows, score_with_shadow, shadow_attacks
from molgen.auditing.shared_folder import folder_attacks, measure_files, names_in
from molgen.auditing.usefulness import measure_balance, measure_fidelity, measure_utility
from molgen.chem.parsing import as_smiles_list
from molgen.files.datasets import hash_smiles
from molgen.files.provenance_records import record
from molgen.generation.generator import load_model
from molgen.model.cards import find_model, shipped_models
from molgen.sampling.model_processes import SideBySide

if TYPE_CHECKING:
    from molgen.generation.generator import Generator

logger = logging.getLogger(__name__)
_MOST_SAMPLES = 30_000


def audit(
    model: Generator | str | os.PathLike,
    members: Iterable[str],
    non_members: Iterable[str],
    *,
    seed: int = 0,
    n_samples: int | None = None,
    shadow_models: int = 4,
    shadow_steps: int = 300,
    canaries: int = 8,
    series: int = 8,
    properties: Mapping[str, Mapping[str, float]] | None = None,
    fcd: bool = False,
    n_jobs: int = 1,
) -> AuditReport:
    """Audit a trained generator: what it gives away about its training molecules.

    Args:
        model: a Generator, the name of a shipped model, or a model folder. Of a folder the files
            are attacked, too: vocabulary, table of precedent, what can be read in them.
        members: molecules that it was trained on (all or a random part).
        non_members: molecules of the same kind that it was not trained on, drawn the same way;
            best as many as members, and 10,000 of each for rates of .1 %.
        seed: of everything random; the same seed gives the same report.
        n_samples: molecules to sample; by default three for each member, 2,000 to 30,000.
        shadow_models: small models to train for LiRA and RMIA (even; 0 leaves them out).
        shadow_steps: their training steps, and those of the run with canaries.
        canaries: how many to plant 1, 4 and 16 times each (0 leaves them out).
        series: secret series to attack (0 leaves them out).
        properties: name → {SMILES: value}, measured values of members and non-members for the
            utility section; computed logP and TPSA by default.
        fcd: compute the Fréchet ChemNet distance too (minutes).
        n_jobs: processes for sampling and chemistry.

    Returns:
        The report: ``.passed``, ``.table``, ``.failures``, ``.to_html(path)``, ``.to_json(path)``.

    Raises:
        ValueError: sets that overlap or are too small, or settings that cannot be.

    Examples:
        >>> import molgen
        >>> rings = ["c1ccccc1", "c1ccncc1", "C1CCCCC1", "c1ccsc1", "C1CCNCC1"]
        >>> members = [ring + "C" * n + "O" for ring in rings for n in range(1, 13)]
        >>> others = [ring + "C" * n + "N" for ring in rings for n in range(1, 13)]
        >>> report = molgen.audit(
        ...     "moses", members, others, n_samples=100, shadow_models=0, canaries=0, series=0
        ... )
        >>> type(report).__name__
        'AuditReport'
    """
    _check(seed, n_samples, shadow_models, shadow_steps, canaries, series)
    folder = None
    if isinstance(model, str | os.PathLike):
        if str(model) not in shipped_models():
            folder = find_model(model)
        model = load_model(model)
    clock = _Clock()
    with clock("reading"):
        inside, outside, notes = read_sets(members, non_members, n_jobs)
    count = n_samples or int(np.clip(3 * len(inside), 2_000, _MOST_SAMPLES))
    with clock("sampling"):
        drawn = model.sample(count, seed=seed, n_jobs=n_jobs)
        generated, counts = read_generated(drawn, n_jobs)
    measures = _sample_measures(
        generated, counts, inside, outside, properties, fcd, seed, clock, black_box=False
    )
    with clock("membership, samples"):
        attacks = nearest_sample_attacks(generated, inside, outside, seed)
    if folder is not None:
        with clock("files"):
            attacks += folder_attacks(folder, model, inside, outside)
            measures += measure_files(folder, inside, outside)
    with SideBySide(model, n_jobs, clock.add) as parts:
        evidence_of = [parts.ask("membership", gather_evidence, x, seed) for x in (inside, outside)]
        shadows_of, planted_of, recovered_of = [], None, None
        if series:
            recovered_of = parts.ask(
                "inversion", measure_inversion, inside, outside, n_series=series, seed=seed
            )
        if canaries:
            planted_of = parts.ask(
                "canaries", measure_canaries, inside, outside,
                n_each=canaries, n_steps=shadow_steps, seed=seed,
            )  # fmt: skip
        if shadow_models:
            plan = plan_shadows(model, inside, outside, shadow_models, seed)
            shadows_of = [
                parts.ask("shadow models", score_with_shadow, plan.table, rows, shadow_steps, own)
                for rows, own in zip(plan.chosen, plan.seeds)
            ]
        evidence = [result() for result in evidence_of]
        attacks += model_attacks(evidence[0], evidence[1], seed)
        if shadow_models:
            target = np.concatenate([e.blind for e in evidence])
            scores = gather_scores(plan, [result() for result in shadows_of])
            attacks += shadow_attacks(target, len(inside), scores)
        with clock("intervals"):
            measures += measure_membership(attacks, seed)
        for result in (planted_of, recovered_of):
            measures += result() if result is not None else []
    arguments = {
        "model": str(model.card.get("name", "")),
        "n_samples": count,
        "shadow_models": shadow_models,
        "shadow_steps": shadow_steps,
        "canaries": canaries,
        "series": series,
    }
    about = {"model": str(model), **_about(counts, inside, outside, seed, notes)}
    if folder is not None:
        about["files"] = ", ".join(names_in(folder))
    return _report(
        measures, about, "audit", arguments, inside, outside, clock,
        checkpoint=str(model.card.get("sha256", "")),
    )  # fmt: skip


def audit_samples(
    generated: Iterable[str],
    members: Iterable[str],
    non_members: Iterable[str],
    *,
    seed: int = 0,
    properties: Mapping[str, Mapping[str, float]] | None = None,
    fcd: bool = False,
    n_jobs: int = 1,
) -> AuditReport:
    """The black-box part of the audit, for molecules from any generator.

    Args:
        generated: sampled molecules, repeats and all; unreadable ones are left out.
        members, non_members, seed, properties, fcd, n_jobs: see :func:`audit`.

    Raises:
        ValueError: sets that overlap or are too small, or nothing readable among ``generated``.

    Examples:
        >>> import molgen
        >>> members = ["C" * n + "O" for n in range(1, 61)]
        >>> others = ["C" * n + "N" for n in range(1, 61)]
        >>> report = molgen.audit_samples(members, members, others)  # a generator that copies
        >>> report.passed
        False
    """
    _check(seed, None, 0, 1, 0, 0)
    clock = _Clock()
    with clock("reading"):
        inside, outside, notes = read_sets(members, non_members, n_jobs)
        texts = as_smiles_list(generated)
        sample, counts = read_generated(texts, n_jobs)
    unreadable = len(texts) - int(counts.sum())
    if unreadable:
        notes.append(f"{unreadable:,} of {len(texts):,} generated molecules cannot be read")
    measures = _sample_measures(
        sample, counts, inside, outside, properties, fcd, seed, clock, black_box=True
    )
    about = _about(counts, inside, outside, seed, notes)
    return _report(measures, about, "audit_samples", {}, inside, outside, clock)


def _sample_measures(
    generated: MoleculeSet,
    counts: np.ndarray,
    members: MoleculeSet,
    others: MoleculeSet,
    properties: Mapping[str, Mapping[str, float]] | None,
    fcd: bool,
    seed: int,
    clock: _Clock,
    black_box: bool,
) -> list[Measure]:
    """What samples alone show; the attacks are left to ``audit`` where there is a model."""
    with clock("memorisation"):
        measures = measure_memorisation(generated, counts, members, others, seed)
    if black_box:
        with clock("membership"):
            attacks: list[Attack] = nearest_sample_attacks(generated, members, others, seed)
            measures += measure_membership(attacks, seed)
    with clock("utility"):
        values = None
        if properties is not None:
            values = {k: _paired(k, v, members, others) for k, v in properties.items()}
        measures += measure_utility(generated, members, others, values, seed)
    with clock("fidelity"):
        measures += measure_fidelity(generated, int(counts.sum()), members, others, fcd, seed)
    with clock("balance"):
        measures += measure_balance(generated, members, others)
    return measures


def _paired(
    name: str, values: Mapping[str, float], members: MoleculeSet, others: MoleculeSet
) -> tuple[Sequence[float], Sequence[float]]:
    """Values in the order of the two sets; raises ValueError naming how many are missing."""
    keys = profile_chunk(list(values))
    known = {row[0]: float(v) for row, v in zip(keys, values.values()) if row is not None}
    for x, kind in ((members, "members"), (others, "non-members")):
        missing = sum(s not in known for s in x.smiles)
        if missing:
            raise ValueError(
                f"properties[{name!r}] has no value for {missing:,} of {len(x):,} {kind}; expected "
                "one for each."
            )
    return [known[s] for s in members.smiles], [known[s] for s in others.smiles]


def _about(
    counts: np.ndarray, members: MoleculeSet, others: MoleculeSet, seed: int, notes: list[str]
) -> dict[str, Any]:
    return {
        "members": len(members),
        "non_members": len(others),
        "sampled": int(counts.sum()),
        "distinct_sampled": len(counts),
        "seed": seed,
        "notes": "; ".join(notes),
    }


def _report(
    measures: list[Measure],
    about: dict[str, Any],
    function: str,
    arguments: dict[str, Any],
    members: MoleculeSet,
    others: MoleculeSet,
    clock: _Clock,
    checkpoint: str = "",
) -> AuditReport:
    ordered = sorted(measures, key=lambda m: SECTIONS.index(m.section))
    about["seconds"] = ", ".join(f"{k} {v:.0f}" for k, v in clock.seconds.items())
    about["processor_seconds"] = ", ".join(f"{k} {v:.1f}" for k, v in clock.processor.items())
    made = record(
        function,
        arguments,
        seed=about["seed"],
        checkpoint_sha256=checkpoint,
        data_sha256=hash_smiles([*members.smiles, *others.smiles]),
    )
    return AuditReport(tuple(ordered), about, made)


class _Clock:
    """Seconds that each part took, and seconds of the processor in the process that did it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.processor: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        started, used = time.perf_counter(), time.process_time()
        yield
        self.add(name, time.perf_counter() - started, time.process_time() - used)

    def add(self, name: str, seconds: float, processor: float) -> None:
        """Count a part that was timed elsewhere."""
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        self.processor[name] = self.processor.get(name, 0.0) + processor
        logger.info("audit: %s took %.1f s, %.1f s of the processor", name, seconds, processor)


def _check(
    seed: int, n_samples: int | None, shadows: int, steps: int, canaries: int, series: int
) -> None:
    """Refuse settings before anything slow begins."""
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed is {seed!r}; expected a whole number of at least 0")
    if n_samples is not None and n_samples < 100:
        raise ValueError(f"n_samples is {n_samples!r}; expected at least 100 sampled molecules")
    if shadows < 0 or shadows % 2:
        raise ValueError(f"shadow_models is {shadows}; expected 0 or an even number")
    for name, value, least in (
        ("shadow_steps", steps, 1), ("canaries", canaries, 0), ("series", series, 0),
    ):  # fmt: skip
        if value < least:
            raise ValueError(f"{name} is {value}; expected a whole number of at least {least}")
