"""What users call: ``load_model`` and the ``Generator`` that it returns."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rdkit import Chem

from molgen.base.arguments import check_count
from molgen.base.random_streams import seeded
from molgen.chem.parsing import canonical, parse_whole
from molgen.chem.refusals import Refusal
from molgen.generation.leads import near, paths
from molgen.generation.scaffolds import cores, growing
from molgen.generation.windows import sample_where
from molgen.model.cards import find_model
from molgen.model.config import BLOCK, DEFAULT_MODEL, SEARCH
from molgen.motifs.stereo import flat_of, flat_smiles
from molgen.precedent.files import NAME, PrecedentTable, load_precedent, shipped_precedent
from molgen.sampling.molecules import Molecules
from molgen.sampling.sampler import Sampler
from molgen.sampling.unwritten import tell

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)
_MAX_ROUNDS = 50


def load_model(name: str | os.PathLike = DEFAULT_MODEL, device: str = "cpu") -> Generator:
    """A trained generator: a shipped model by name, or a folder that ``molgen.train`` wrote.

    Args:
        name: ``"druglike"``, the default, writes stereo, charges and the sizes of drugs;
            ``"moses"`` writes flat, neutral, lead-like molecules, two to three times as fast.
        device: where it computes: ``"cpu"``, ``"cuda"`` (and what else PyTorch finds on this
            machine), or ``"auto"`` for a GPU where there is one. The same seed gives the same
            molecules on the same kind of device only.

    Raises FileNotFoundError if there is none, ValueError if its files are damaged or foreign, or
    there is no such device.

    Examples:
        >>> import molgen
        >>> model = molgen.load_model("moses")
        >>> len(model.sample(5, seed=0))
        5
    """
    return Generator.load(find_model(name), device)


class Generator(Sampler):
    """A trained model that proposes molecules.

    Every method returns canonical SMILES. ``card`` is the model card (a dict); ``latent_dim`` the
    size of a latent.

    Examples:
        >>> import molgen
        >>> model = molgen.load_model("moses")
        >>> len(model.sample(5, seed=0)), model.sample(5, seed=0) == model.sample(5, seed=0)
        (5, True)
        >>> smiles, dropped = model.sample_block(0, seed=0)
        >>> len(smiles), smiles[:5] == model.sample(5, seed=0)
        (512, True)
        >>> z = model.encode(["CCOc1ccccc1", "Cc1ccc(C(=O)NC2CC2)cc1"])
        >>> z.shape == (2, model.latent_dim), len(model.decode(z))
        (True, 2)
        >>> mean, log_variance = model.encode_posterior("CCOc1ccccc1")
        >>> mean.shape == log_variance.shape == model.encode_one("CCOc1ccccc1").shape
        True
        >>> len(model.sample_near("Cc1ccc(C(=O)NC2CC2)cc1", 3))
        3
        >>> model.near_table("Cc1ccc(C(=O)NC2CC2)cc1", 3).columns.tolist()
        ['smiles', 'similarity', 'kept', 'kind', 'change', 'precedent', 'log_likelihood']
        >>> len(model.sample_near_latent("Cc1ccc(C(=O)NC2CC2)cc1", 3, radius=0.5))
        3
        >>> len(model.interpolate("CCOc1ccccc1", "Cc1ccc(C(=O)NC2CC2)cc1", n_steps=4))
        4
        >>> len(model.interpolate_latent("CCOc1ccccc1", "Cc1ccc(C(=O)NC2CC2)cc1", n_steps=4))
        4
        >>> len(model.sample_scaffold("O=C(N[*:1])c1ccccc1", 3))
        3
        >>> len(model.sample_where({"logp": (1, 3)}, 3))
        3
        >>> linked = model.link("c1ccccc1[*:1]", "C1CCNCC1[*:1]", 2, length=(3, 5))
        >>> len(linked), sorted(linked.shares), model.precedent is not None
        (2, ['own', 'precedent'], True)
        >>> len(model.connect(["c1ccccc1[*:1]", "C1CCNCC1[*:1]", "NC(=O)[*:1]"], 2))
        2
        >>> len(model.replace_substituents("COc1ccc(C(=O)NC2CC2)cc1", "O=C(N)c1ccccc1", 2))
        2
        >>> len(model.replace_core("COc1ccc(C(=O)NC2CC2)cc1", "c1ccccc1", 2))
        2
        >>> cores = model.core_table("COc1ccc(C(=O)NC2CC2)cc1", "c1ccccc1", 2, angle=30)
        >>> bool((cores["angle"] <= 30).all())
        True
        >>> import numpy as np
        >>> import torch
        >>> rng = np.random.default_rng(0)
        >>> uniforms = model.uniforms(2, rng)
        >>> latent, level = torch.zeros(1, model.latent_dim), torch.ones(1)
        >>> uniforms.shape[0], len(model.writer.write(latent, level, uniforms))
        (2, 2)
        >>> len(model.write_latents(torch.zeros(2, model.latent_dim), torch.zeros(2), rng)) <= 2
        True
    """

    @cached_property
    def precedent(self) -> PrecedentTable | None:
        """What many molecules have at such a place: the table in the model's folder, or else the
        one that is shipped; None where there is neither. It can be set to another."""
        own = None if self.folder is None else self.folder / NAME
        path = own if own is not None and own.is_file() else shipped_precedent()
        return None if path is None else load_precedent(path)

    # --- around molecules -------------------------------------------------------------------

    def sample_near(
        self,
        smiles: str | Chem.Mol,
        n: int,
        radius: float = 0.3,
        seed: int = 0,
        temperature: float = 1.0,
        keep: str | Iterable[int] | None = None,
        change: str | Iterable[int] | None = None,
        filters: Any = "default",
    ) -> Molecules:
        """``n`` different analogues of ``smiles``, best first: one or two places are changed.

        Made by small edits and by parts that the model writes anew, so that leads which the latent
        cannot give back have analogues, too. Charges, isotopes and stereocentres stay where nothing
        changes. Fewer come back, with the reason in ``dropped``, where there are not so many.

        Args:
            radius: the share of the lead's heavy atoms that may change, above 0 and up to 1; at
                least one may.
            keep: atoms that stay as they are, as SMARTS (every match) or atom numbers.
            change: the only atoms that may change, as SMARTS (every match) or atom numbers.
            filters: an analogue fails none of these that the lead passes; None for no filters.
            temperature: below 1 more typical groups, above 1 more varied ones.

        Raises ValueError if the molecule cannot be read, ``radius`` is not a share, or ``keep`` and
        ``change`` leave nothing to change.
        """
        return near.sample_near(self, smiles, n, radius, seed, temperature, keep, change, filters)

    def near_table(
        self,
        smiles: str | Chem.Mol,
        n: int,
        radius: float = 0.3,
        seed: int = 0,
        temperature: float = 1.0,
        keep: str | Iterable[int] | None = None,
        change: str | Iterable[int] | None = None,
        filters: Any = "default",
    ) -> pd.DataFrame:
        """The analogues of ``sample_near`` as a table (see ``near.near_table``): similarity, the
        share of the lead that is kept, what was changed, how often known molecules have what is
        new, and how likely the model finds it."""
        return near.near_table(self, smiles, n, radius, seed, temperature, keep, change, filters)

    def sample_near_latent(
        self,
        smiles: str,
        n: int,
        radius: float = 1.0,
        seed: int = 0,
        temperature: float = 1.0,
        unique: bool = True,
    ) -> Molecules:
        """``n`` molecules written from noised copies of the latent of ``smiles``, never itself.

        How near they are depends on how well the model reconstructs the molecule; ``sample_near``
        does not.

        Args:
            radius: noise added to the latent, in units of a latent's own spread; the decoder is
                told how noisy the latent is. Near 0 small changes, above 2 hardly related.
            unique: give ``n`` different molecules where that many are found; the result is
                shorter, with the reason in ``dropped``, where they are not.

        Raises ValueError if the molecule cannot be read or the radius is negative.
        """
        check_count(n)
        if not radius >= 0:
            raise ValueError(f"radius is {radius}; expected a number of at least 0")
        mu = self.encode_one(smiles)
        notes = tell(self._not_given_back([smiles]))
        level = radius / (1 + radius)
        lead = parse_whole(smiles)  # with and without its isotopes, which the model may not write
        own = {flat_smiles(lead), Chem.MolToSmiles(lead, isomericSmiles=False)}
        found: dict[str, None] = {}
        many: list[str] = []
        dropped: list[Refusal] = []
        for block in range(_MAX_ROUNDS):
            if (len(found) if unique else len(many)) >= n:
                break
            rng = seeded(seed, block, 1)
            noise = torch.from_numpy(rng.standard_normal((BLOCK, self.latent_dim), np.float32))
            z = torch.lerp(mu.expand(BLOCK, -1), noise, level)
            levels = torch.full((BLOCK,), level)
            trees = self.writer.write(z, levels, self.uniforms(BLOCK, rng), temperature)
            for result in self.finished(trees, z, levels, rng, temperature):
                if isinstance(result, Refusal):
                    dropped.append(result)
                elif flat_of(result) not in own:
                    found.setdefault(result)
                    many.append(result)
        chosen = list(found) if unique else many
        if len(chosen) < n:
            reason = (
                f"only {len(chosen)} {'different ' if unique else ''}molecules in "
                f"{_MAX_ROUNDS * BLOCK} draws at radius {radius}; a larger radius gives more"
            )
            logger.warning("%s", reason)
            dropped.append(Refusal(0, smiles, reason))
        return Molecules(chosen[:n], dropped, notes)

    def sample_scaffold(
        self,
        scaffold: str,
        n: int,
        seed: int = 0,
        temperature: float = 1.0,
        near: str | None = None,
        radius: float = 1.0,
        **limits: Any,
    ) -> Molecules:
        """``n`` different molecules that contain ``scaffold`` (see ``growing.sample_scaffold``).

        limits: ``atoms=`` and ``rings=`` of each group, a number or (least, most); ``fill_exits=``.
        """
        return growing.sample_scaffold(self, scaffold, n, seed, temperature, near, radius, **limits)

    def link(self, a: str, b: str, n: int, seed: int = 0, **limits: Any) -> Molecules:
        """``n`` molecules in which a linker joins two fragments at their marks ``[*:1]``.

        limits: ``length=`` in bonds from fragment to fragment, ``atoms=``, ``rings=``, ``rotors=``
        of the linker, each a number or (least, most); see ``growing.link``.
        """
        return growing.link(self, a, b, n, seed, **limits)

    def connect(self, fragments: Sequence[str], n: int, seed: int = 0, **limits: Any) -> Molecules:
        """``n`` molecules in which one core joins two to six fragments at their marks.

        limits: ``atoms=``, ``rings=``, ``ring=True``; see ``growing.connect``.
        """
        return growing.connect(self, fragments, n, seed, **limits)

    def replace_substituents(
        self, smiles: str, core: str, n: int, seed: int = 0, near: bool = False
    ) -> Molecules:
        """``n`` molecules with the ``core`` of ``smiles`` and new substituents."""
        return growing.replace_substituents(self, smiles, core, n, seed, near=near)

    def replace_core(
        self, smiles: str, core: str | Iterable[int], n: int, seed: int = 0, **limits: Any
    ) -> Molecules:
        """``n`` molecules with the substituents of ``smiles`` around another core.

        limits: ``atoms=`` of the new core, ``ring=``, ``include_old=``, ``distance=`` in bonds,
        ``angle=`` in degrees; see ``cores.replace_core``.
        """
        return cores.replace_core(self, smiles, core, n, seed, **limits)

    def core_table(
        self, smiles: str, core: str | Iterable[int], n: int, seed: int = 0, **limits: Any
    ) -> pd.DataFrame:
        """The molecules of ``replace_core`` with their new cores, and how far the substituents'
        bonds have turned and moved (see ``cores.core_table``)."""
        return cores.core_table(self, smiles, core, n, seed, **limits)

    def sample_where(
        self,
        wanted: Mapping[str, Any],
        n: int,
        seed: int = 0,
        scaffold: str | None = None,
        temperature: float = 1.0,
        diverse: bool = True,
    ) -> Molecules:
        """``n`` different molecules in a property window: `molgen.generation.windows`."""
        return sample_where(self, wanted, n, seed, scaffold, temperature, None, diverse)

    def interpolate(
        self,
        start: str | Chem.Mol,
        end: str | Chem.Mol,
        n_steps: int = 8,
        seed: int = 0,
        filters: Any = "default",
    ) -> Molecules:
        """``n_steps`` molecules that lead from ``start`` to ``end``; these two are first and last.

        The steps differ, similarity to the start falls and that to the end rises; where no such
        path is found, ``dropped`` says so (see ``paths.interpolate``).

        Raises ValueError if a molecule cannot be read or ``n_steps`` is below 2.
        """
        return paths.interpolate(self, start, end, n_steps, seed, filters)

    def interpolate_latent(
        self, start: str, end: str, n_steps: int = 8, seed: int = 0, search: int = SEARCH
    ) -> Molecules:
        """``n_steps`` molecules on the great circle between the latents of ``start`` and ``end``.

        The first and the last are what the model makes of these latents: the molecules given only
        where it can give them back; ``notes`` says where not. ``search`` as in ``decode``.

        Raises ValueError if a molecule cannot be read or ``n_steps`` is below 2.
        """
        if n_steps < 2:
            raise ValueError(f"n_steps is {n_steps}; expected at least 2 (the two ends)")
        a, b = self.encode_one(start)[0], self.encode_one(end)[0]
        cosine = torch.clamp((a @ b) / (a.norm() * b.norm()), -1, 1)
        angle = torch.arccos(cosine)
        t = torch.linspace(0, 1, n_steps).unsqueeze(1)
        if angle < 1e-4:
            path = torch.lerp(a, b, t)
        else:
            path = (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)
        notes = tell(self._not_given_back([start, end]))
        molecules = self.decode(path.numpy(), seed, search=search)
        return Molecules(molecules, molecules.dropped, notes)

    def _not_given_back(self, smiles: Sequence[str]) -> str:
        """In words, which molecules do not come back from their latents, and what does."""
        back = self.decode(self.encode_posterior(smiles)[0])
        own = [canonical(s) for s in smiles]
        told = [f"{a} as {b}" for a, b in zip(own, back) if a != b]
        if not told:
            return ""
        return f"the model gives back {', '.join(told)}; what is written is near that"
