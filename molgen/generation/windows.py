"""Molecules in a property window, or with a substructure, without retraining.

Latents that lead into the window are found among the model's own samples, and new molecules are
drawn around them: a kernel estimate of the latent distribution given the window, whose kernel is
the noise that the decoder knows how to read. Where the samples hold too few such latents, the
search moves towards the window round by round (a cross-entropy method). No training molecule is
used. Where molecules inside are more alike than plain samples, the least alike of them are favoured
(MaxMin), until the result is as diverse as plain samples.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from rdkit import Chem, rdBase

from molgen.base.arguments import check_count, unknown
from molgen.base.random_streams import seeded
from molgen.chem.diversity import choose_maxmin
from molgen.chem.fingerprints import fingerprints
from molgen.chem.properties import check_descriptors, compute
from molgen.chem.refusals import Refusal
from molgen.chem.similarity import pack, similarity_moments
from molgen.generation.scaffolds.growing import grown_molecule
from molgen.generation.scaffolds.partial_structures import parse_scaffold
from molgen.generation.scaffolds.prefixes import prepare_prefix
from molgen.model.config import BLOCK
from molgen.motifs.trees import motif
from molgen.sampling.molecules import Molecules

if TYPE_CHECKING:
    from molgen.generation.generator import Generator

logger = logging.getLogger(__name__)
_POOL_BLOCKS = 8
_ROUNDS = 12
_ENOUGH = 100
_ELITE = 128
_SEEDS = 24  # molecules that new ones are drawn around, or one for each _PER_SEED wanted
_PER_SEED = 20
_SPARE = 3  # molecules found for each one returned, if the least alike are wanted
_SLACK = 0.01  # of diversity, which samples of some hundreds differ by

#: Rare chemotypes by name, for ``sample_where({"chemotype": "macrocycle"}, ...)``.
CHEMOTYPES = {
    "macrocycle": "[r{12-}]",
    "spiro": "[x4;R2]",
    "sulfoximine": "[#6][S;X4](=O)(=N)[#6]",
    "boron": "[#5]",
    "phosphorus": "[#15]",
    "alkyne": "C#C",
    "nitro": "[N+](=O)[O-]",
    "sulfonamide": "S(=O)(=O)N",
    "trifluoromethyl": "C(F)(F)F",
    "bridged": "[x3;R2]1~[R]~[R]~[x3;R2]~[R]~[R]1",
    "cyclopropane": "C1CC1",
    "azetidine": "C1CNC1",
    "oxetane": "C1COC1",
}

#: Cores of classes that a model may never have seen (MOSES has no boron, for one): where its own
#: samples hold none, molecules are grown from these.
CORES = {
    "macrocycle": (
        "O=C1CCCCCCCCCCN1[*:1]",
        "O=C1CCCCCCCNC(=O)CCN1",
        "c1cc2cc(c1)OCCCCNC(=O)CCO2",
        "C1CCCCCCCCCCC1",
    ),
    "sulfoximine": ("CS(=O)(=N)[*:1]", "N=S(=O)(C1CC1)[*:1]", "O=S1(=NC)CCN([*:1])CC1"),
    "boron": ("OB(O)c1ccc([*:1])cc1", "OB(O)c1cccc([*:1])c1", "OB1OCc2cc([*:1])ccc12"),
    "phosphorus": ("CP(C)(=O)c1ccccc1[*:1]", "CP(C)(=O)[*:1]", "COP(=O)(OC)C[*:1]"),
}


@dataclass(frozen=True)
class Window:
    """What is asked for: property ranges and substructures.

    ranges: name → (low, high), either of them None. patterns: SMARTS that must be there.
    """

    ranges: Mapping[str, tuple[float, float]]
    patterns: tuple[str, ...]

    @classmethod
    def parse(cls, wanted: Mapping[str, object]) -> Window:
        """From ``{"logp": (1, 3), "qed": (0.6, None), "smarts": "...", "chemotype": "spiro"}``.

        Raises ValueError naming what is unknown or contradictory.
        """
        if not isinstance(wanted, Mapping):
            raise ValueError(
                f"a window is properties with limits, such as {{'logp': (1, 3)}}; got {wanted!r}"
            )
        if not wanted:
            raise ValueError("the window is empty; expected for example {'logp': (1, 3)}")
        patterns: list[str] = []
        ranges: dict[str, tuple[float, float]] = {}
        for name, value in wanted.items():
            if name in ("smarts", "chemotype"):
                for text in [value] if isinstance(value, str) else list(value):  # type: ignore[call-overload]
                    patterns.append(find_pattern(name, text))
                continue
            check_descriptors([name])
            if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
                raise ValueError(f"{name} is {value!r}; expected (low, high)")
            low = -math.inf if value[0] is None else float(value[0])
            high = math.inf if value[1] is None else float(value[1])
            if not low <= high:
                raise ValueError(f"{name} asks for {low:g} to {high:g}; low must not exceed high")
            ranges[name] = (low, high)
        return cls(ranges, tuple(patterns))

    def distances(self, smiles: Sequence[str], scales: Mapping[str, float]) -> np.ndarray:
        """How far each molecule is from the window, (n,); 0 inside, NaN where it is undefined."""
        queries = [Chem.MolFromSmarts(p) for p in self.patterns]
        result = np.zeros(len(smiles))
        for i, text in enumerate(smiles):
            mol = Chem.MolFromSmiles(text)
            values = compute(mol, list(self.ranges))
            for name, (low, high) in self.ranges.items():
                result[i] += max(low - values[name], values[name] - high, 0.0) / scales[name]
            result[i] += sum(not mol.HasSubstructMatch(q) for q in queries)
        return result


def find_pattern(kind: str, text: str) -> str:
    """The SMARTS of a ``"chemotype"`` by its name, or of a ``"smarts"``, checked.

    Raises ValueError for an unknown name, with the nearest one, or a SMARTS that cannot be read.
    """

    if kind == "chemotype":
        if text not in CHEMOTYPES:
            raise ValueError(unknown("chemotype", text, CHEMOTYPES))
        text = CHEMOTYPES[text]
    with rdBase.BlockLogs():
        if Chem.MolFromSmarts(text) is None:
            raise ValueError(f"{text!r} is not a SMARTS that RDKit can read")
    return text


def sample_where(
    model: Generator,
    wanted: Mapping[str, object],
    n: int,
    seed: int = 0,
    scaffold: str | None = None,
    temperature: float = 1.0,
    max_draws: int | None = None,
    diverse: bool = True,
) -> Molecules:
    """``n`` different molecules inside a window.

    Args:
        wanted: property → (low, high), with None for an open end; ``"smarts"`` (one or several)
            and ``"chemotype"`` (see ``CHEMOTYPES``) ask for substructures.
        scaffold: must be kept too; growth as in ``sample_scaffold``.
        max_draws: molecules to draw at the most (default: 40 n, at least 20,000).
        diverse: where the window holds molecules that are more alike than plain samples, draw
            around the least alike of them and choose from three times as many, so that the
            result is as diverse as plain samples. False takes what comes, in less time.

    A named chemotype of which the model's own samples hold none is grown from ``CORES``.

    Returns Molecules; ``acceptance`` is the share of the final proposals inside the window. If
    nothing reaches it, ``dropped`` says how near the search came.
    """
    check_count(n)
    window = Window.parse(wanted)
    impossible = _beyond_vocabulary(model, window, scaffold)
    if impossible:
        logger.warning("%s", impossible)
        return Molecules([], [Refusal(0, "", impossible)])
    limit = max_draws or max(40 * n, 20_000)
    source = _Source(model, scaffold, seed, temperature)
    pool = list(dict.fromkeys(source.plain(_POOL_BLOCKS)))
    scales = _scales(pool, window)
    prints = _Prints()
    plain_diversity = prints.diversity(pool)
    distance = window.distances(pool, scales)
    unseen = _unseen_chemotype(wanted, pool)
    if unseen is not None and scaffold is None:
        cores = CORES[unseen]
        return _grow_from_cores(model, wanted, cores, n, seed, temperature, limit, diverse)
    radius = 0.5
    for _ in range(_ROUNDS):
        if (distance == 0).sum() >= _ENOUGH or source.drawn >= limit:
            break
        best = np.argsort(distance, kind="stable")[:_ELITE]
        fresh = [s for s in source.near([pool[i] for i in best], radius) if s not in set(pool)]
        fresh = list(dict.fromkeys(fresh))
        pool += fresh
        distance = np.concatenate([distance, window.distances(fresh, scales)])
    inside = [pool[i] for i in np.flatnonzero(distance == 0)]
    if not inside:
        nearest = pool[int(np.argmin(distance))]
        return _short(model, wanted, [], nearest, n, source.drawn)
    last = limit + _POOL_BLOCKS * BLOCK
    narrow = diverse and prints.diversity(inside) < plain_diversity - _SLACK
    goal = plain_diversity if narrow else None
    found, acceptance = _collect(source, window, scales, inside, n, last, prints, goal)
    enough = len(found) == n
    result = Molecules(found) if enough else _short(model, wanted, found, None, n, source.drawn)
    result.acceptance = acceptance
    return result


def _beyond_vocabulary(model: Generator, window: Window, scaffold: str | None) -> str:
    """In words, why no molecule of the model can be inside; empty where one may be."""
    if scaffold is not None or "formal_charge" not in window.ranges:
        return ""
    low, high = window.ranges["formal_charge"]
    charges = {Chem.GetFormalCharge(motif(m).mol) for m in model.network.vocabulary.motifs}
    if (low <= 0 <= high) or (low > 0 and max(charges) > 0) or (high < 0 and min(charges) < 0):
        return ""
    return (
        f"formal_charge is asked from {low:g} to {high:g}; the model writes no motif with such a "
        "charge"
    )


def _collect(
    source: _Source,
    window: Window,
    scales: Mapping[str, float],
    inside: list[str],
    n: int,
    last: int,
    prints: _Prints,
    goal: float | None,
) -> tuple[list[str], float]:
    """Up to ``n`` molecules around those ``inside``, of ``last`` drawn at the most, and the share
    of the proposals that the window took; chosen to be as diverse as ``goal``, if that is given."""
    found: dict[str, None] = {}
    n_seeds = max(_SEEDS, n // _PER_SEED)
    seeds = inside if goal is None else prints.least_alike(inside, n_seeds)
    tried = accepted = 0
    radius = 0.35
    while len(found) < _SPARE * n and source.drawn < last:
        missing = len(found) < n
        proposals = source.near(seeds, radius)
        good = window.distances(proposals, scales) == 0
        tried += len(proposals)
        accepted += int(good.sum())
        found.update(dict.fromkeys(text for text, fits in zip(proposals, good) if fits))
        if len(found) >= n and (goal is None or prints.diversity(list(found)) >= goal):
            break
        # Wide enough for variety, narrow enough to stay inside.
        share = good.mean() if len(good) else 0.0
        radius = float(
            np.clip(radius * (1.25 if share > 0.7 else 0.8 if share < 0.65 else 1), 0.05, 3)
        )
        if goal is not None:
            seeds = prints.least_alike(list(dict.fromkeys([*inside, *found])), n_seeds)
        elif len(seeds) < _ENOUGH:
            seeds = [*inside, *found]
        if missing and len(found) >= n:  # to choose from more is worth so much time, not more
            last = min(last, _SPARE * source.drawn)
    chosen = list(found)[:n] if goal is None else prints.as_diverse(list(found), n, goal)
    return chosen, accepted / tried if tried else math.nan


def _unseen_chemotype(wanted: Mapping[str, object], pool: Sequence[str]) -> str | None:
    """The chemotype asked for that has cores and is in no molecule of ``pool``, or None."""
    asked = wanted.get("chemotype", ())
    for name in [asked] if isinstance(asked, str) else list(asked):  # type: ignore[call-overload]
        query = Chem.MolFromSmarts(CHEMOTYPES[name])
        if name in CORES and not any(Chem.MolFromSmiles(s).HasSubstructMatch(query) for s in pool):
            return name
    return None


def _grow_from_cores(
    model: Generator,
    wanted: Mapping[str, object],
    cores: Sequence[str],
    n: int,
    seed: int,
    temperature: float,
    max_draws: int,
    diverse: bool,
) -> Molecules:
    """``n`` molecules inside the window, about as many from each core."""
    found: dict[str, None] = {}
    dropped: list[Refusal] = []
    shares: list[float] = []
    for number, core in enumerate(cores):
        part = math.ceil((n - len(found)) / (len(cores) - number))
        if part < 1:
            break
        grown = sample_where(
            model, wanted, part, seed + number, core, temperature, max_draws, diverse
        )
        found.update(dict.fromkeys(grown))
        dropped += grown.dropped
        shares.append(grown.acceptance)
    result = Molecules(list(found)[:n], dropped if len(found) < n else [])
    result.acceptance = float(np.nanmean(shares))
    return result


class _Prints:
    """Fingerprints of the molecules met, to choose the least alike of some of them."""

    def __init__(self) -> None:
        self.rows: dict[str, np.ndarray] = {}

    def least_alike(self, smiles: Sequence[str], n: int) -> list[str]:
        """Up to ``n`` of the molecules by MaxMin, the first of them to begin with."""
        if not smiles:
            return []
        chosen, _ = choose_maxmin(self._packed(smiles), np.arange(len(smiles)), n)
        return [smiles[i] for i in chosen]

    def _packed(self, smiles: Sequence[str]) -> np.ndarray:
        fresh = [s for s in smiles if s not in self.rows]
        self.rows.update(zip(fresh, pack(fingerprints(fresh))))
        return np.stack([self.rows[s] for s in smiles])

    def diversity(self, smiles: Sequence[str]) -> float:
        """One less the mean similarity of the molecules (a few hundred of them, evenly spaced)."""
        if len(smiles) < 2:
            return 0.0
        some = [smiles[i] for i in np.unique(np.linspace(0, len(smiles) - 1, 400).astype(int))]
        packed = self._packed(some)
        mean = float(similarity_moments(packed, packed)[0].mean())
        return (1 - mean) * len(some) / (len(some) - 1)  # without each one's likeness to itself

    def as_diverse(self, smiles: list[str], n: int, goal: float) -> list[str]:
        """``n`` of the molecules, no more of them chosen by MaxMin than make them so diverse."""
        chosen = smiles[:n]
        for share in (0.25, 0.5, 0.75, 1.0):
            if self.diversity(chosen) >= goal:
                break
            first = self.least_alike(smiles, math.ceil(share * n))
            chosen = list(dict.fromkeys([*first, *smiles]))[:n]
        return chosen


class _Source:
    """Molecules from the model, plain or around others, with the scaffold kept if there is one."""

    def __init__(self, model: Generator, scaffold: str | None, seed: int, temperature: float):
        self.model, self.seed, self.temperature = model, seed, temperature
        self.writer, self.prefix = model.writer, None
        self.scaffold = None if scaffold is None else parse_scaffold(scaffold)
        if self.scaffold is not None:
            self.writer, self.prefix = prepare_prefix(model, self.scaffold)
        self.drawn = 0
        self.block = 0

    def plain(self, blocks: int) -> list[str]:
        """Unconditioned molecules."""
        if self.prefix is None:
            found = [
                s
                for b in range(blocks)
                for s in self.model.sample_block(b, self.seed, self.temperature)[0]
            ]
            self.drawn += len(found)
            return found
        return [s for _ in range(blocks) for s in self._write(None, 1.0)]

    def near(self, seeds: Sequence[str], radius: float) -> list[str]:
        """A block of molecules around random ``seeds``."""
        return self._write(seeds, radius / (1 + radius))

    def _write(self, seeds: Sequence[str] | None, level: float) -> list[str]:
        rng = seeded(self.seed, self.block, 4)
        self.block += 1
        self.drawn += BLOCK
        shape = (1 if seeds is None else BLOCK, self.model.latent_dim)
        z = torch.from_numpy(rng.standard_normal(shape, np.float32))
        if seeds is not None:
            chosen = [seeds[i] for i in rng.integers(len(seeds), size=BLOCK)]
            unique = list(dict.fromkeys(chosen))
            row = {s: i for i, s in enumerate(unique)}
            mu = torch.from_numpy(self.model.encode_posterior(unique)[0])[[row[s] for s in chosen]]
            z = torch.lerp(mu, z, level)
        levels = torch.full((len(z),), level)
        uniforms = self.model.uniforms(BLOCK, rng)
        trees = self.writer.write(z, levels, uniforms, self.temperature, self.prefix)
        if self.scaffold is None:
            results = self.model.finished(trees, z, levels, rng, self.temperature)
            return [r for r in results if not isinstance(r, Refusal)]
        grown = (grown_molecule(self.scaffold, tree) for tree in trees)
        return [found[0] for found in grown if not isinstance(found, Refusal)]


def _scales(pool: Sequence[str], window: Window) -> dict[str, float]:
    """The spread of each property among plain samples, to weigh distances."""
    names = list(window.ranges)
    if not names:
        return {}
    rows = [list(compute(Chem.MolFromSmiles(s), names).values()) for s in pool[:1_000]]
    spread = np.nanstd(np.array(rows, dtype=float), axis=0)
    return {name: float(s) if s > 0 else 1.0 for name, s in zip(names, spread)}


def _short(
    model: Generator, wanted, found: list[str], nearest: str | None, n: int, drawn: int
) -> Molecules:
    reason = f"{len(found)} of {n} molecules inside the window in {drawn} draws"
    if nearest is not None:
        names = [k for k in wanted if k not in ("smarts", "chemotype")]
        values = compute(Chem.MolFromSmiles(nearest), names)
        came = ", ".join(f"{k} {v:.3g}" for k, v in values.items()) or "the substructure missing"
        reason += f"; the nearest is {nearest} with {came}"
    logger.warning("%s", reason)
    result = Molecules(found, [Refusal(0, nearest or "", reason)])
    result.acceptance = 0.0
    return result
