"""A campaign: which compounds to test next, asked for and told in turns.

``suggest`` chooses a plate from a library, from changes of the best compounds so far, or from a
generator; ``tell`` takes what was measured. The choice depends on the seed and on what was told
alone, so that a campaign that was killed and read again from its file suggests the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from molgen.base.arguments import nearest_name
from molgen.base.user_warnings import warn_user
from molgen.base.whole_files import write_atomically
from molgen.chem.fingerprints import fingerprints
from molgen.chem.parsing import MoleculeError, as_smiles_list, quiet_rdkit, structure_column
from molgen.chem.similarity import nearest, pack
from molgen.files.datasets import hash_smiles, load_dataset
from molgen.filters.filter_sets import as_filter_set, filter_molecules
from molgen.generation.generator import load_model
from molgen.optimization.campaign_choice import PLATES, Choice, prices_of, wells_of
from molgen.optimization.campaign_model import MIN_VALUES, FeatureStore, QuantityModel
from molgen.optimization.campaign_page import campaign_page
from molgen.optimization.campaign_record import CampaignState, Quantity, read_quantities
from molgen.optimization.proposers import default_proposers
from molgen.qsar.assay_values import QsarError, Values, is_missing, read_values
from molgen.qsar.data import join_compounds, parent

if TYPE_CHECKING:
    import pandas as pd

    from molgen.generation.generator import Generator

_PARENTS = 20
_CHILDREN = 800
_TRIES = 2


class Campaign:
    """Compounds to test, in turns of asking and telling.

    Args:
        objective: "maximise pIC50", several such statements, or {"pIC50": "maximise"}.
        budget: Wells that may be used, or None for no limit; a well that failed is used.
        library: Molecules to choose from. Without one, changes of the best compounds told so far
            are proposed (and the generator's analogues, where there is one).
        generator: A generator, its name ("moses") or folder, or None.
        filters: What proposals must pass, as ``filter_molecules`` takes it; a library's own
            molecules are taken as they are.
        seed: The same seed and the same results give the same suggestions.
        path: A file that holds the campaign; if it exists, the campaign goes on from it.

    Attributes:
        quantities: What is measured and wanted.
        remarks: What the last ``tell`` or ``suggest`` left out or could not do.

    Examples:
        >>> import molgen
        >>> library = [f"c1cc({a})ccc1{b}" for a in ("F", "Cl", "OC", "C") for b in ("C", "O", "N")]
        >>> campaign = molgen.Campaign("maximise pIC50", budget=10, library=library, seed=1)
        >>> plate = campaign.suggest(6)
        >>> plate["pIC50"] = [5.0, ">7", 6.1, 5.5, "failed", 6.4]
        >>> campaign.tell(plate)
        5
        >>> campaign.left, len(campaign.results), len(campaign.pending)
        (4, 5, 0)
        >>> campaign.suggest(3, plates=96)["well"].tolist()
        ['A1', 'A2', 'A3']
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     campaign.save(folder + "/campaign.json")
        ...     same = molgen.Campaign.load(folder + "/campaign.json", library=library)
        ...     print(campaign.to_html(folder + "/page.html").name)
        page.html
        >>> same.pending["smiles"].tolist() == campaign.pending["smiles"].tolist()
        True
        >>> same.predict(["c1cc(F)ccc1Cl"]).columns.tolist()
        ['smiles', 'pIC50', 'pIC50_lower', 'pIC50_upper', 'similarity']
    """

    def __init__(
        self,
        objective: Any,
        budget: int | None = None,
        *,
        library: Iterable[str] | None = None,
        generator: Generator | str | None = None,
        filters: Any = "default",
        seed: int = 0,
        path: str | Path | None = None,
    ) -> None:
        if budget is not None and budget < 1:
            raise ValueError(f"budget is the number of wells, at least 1; got {budget}")
        self.quantities = read_quantities(objective)
        self.path = None if path is None else Path(path)
        self.remarks: tuple[str, ...] = ()
        self._filters = None if filters is None else as_filter_set(filters)
        self._generator = generator
        self._library = self._read_library(library)
        digest = hash_smiles(self._library)
        self._state = CampaignState(self.quantities, budget, seed, digest)
        self._features = FeatureStore()
        self._models: tuple[int, list[QuantityModel | None]] | None = None
        if self.path is not None and self.path.exists():
            held = CampaignState.from_json(self.path.read_text("utf-8"), self.path)
            if (held.quantities, held.seed, held.library) != (self.quantities, seed, digest):
                raise ValueError(
                    f"{self.path} holds a campaign with another objective, seed or library: "
                    "Campaign.load(path) reads it as it is, another path begins anew"
                )
            held.budget = budget
            self._state = held
        elif self.path is not None:
            self.save(self.path)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        library: Iterable[str] | None = None,
        generator: Generator | str | None = None,
        filters: Any = "default",
    ) -> Campaign:
        """The campaign of a file, with the library that it had.

        Raises:
            ValueError: No such file, no campaign, or another library.
        """
        source = Path(path)
        try:
            held = CampaignState.from_json(source.read_text("utf-8"), source)
        except OSError as error:
            raise ValueError(f"Cannot read {source}: {error.strerror}.") from error
        return cls(
            held.quantities, held.budget, library=library, generator=generator, filters=filters,
            seed=held.seed, path=source,
        )  # fmt: skip

    def save(self, path: str | Path) -> None:
        """Write the campaign to a file, whole or not at all."""
        try:
            write_atomically(Path(path), self._state.to_json().encode())
        except OSError as error:
            raise ValueError(f"Cannot write {path}: {error.strerror}.") from error

    def _read_library(self, library: Iterable[str] | None) -> list[str]:
        if library is None:
            return []
        found: dict[str, None] = {}
        refused: list[str] = []
        for text in as_smiles_list(library):
            try:
                found.setdefault(parent(text))
            except MoleculeError as error:
                refused.append(f"{text!r}: {error.reason}")
        if refused:
            warn_user(
                f"{len(refused):,} entries of the library are left out; the first, {refused[0]}"
            )
        if not found:
            raise ValueError("the library has no molecule")
        return list(found)

    # ---- what is known ---------------------------------------------------------------------------
    @property
    def results(self) -> pd.DataFrame:
        """One row a compound with a value: smiles, one column a quantity (limits as text), n."""
        import pandas as pd

        joined = [self._joined(q) for q in self.quantities]
        compounds = list(dict.fromkeys(key for values in joined for key in values))
        table = pd.DataFrame({"smiles": compounds})
        for quantity, values in zip(self.quantities, joined):
            table[quantity.name] = [
                None if key not in values
                else values[key][0] if values[key][1] == "="
                else f"{values[key][1]}{values[key][0]:g}"
                for key in compounds
            ]  # fmt: skip
        counts = [sum(1 for r in self._state.results if r["smiles"] == k) for k in compounds]
        table["n"] = counts
        return table

    @property
    def pending(self) -> pd.DataFrame:
        """Compounds that were suggested and not told of since, in the order of suggestion."""
        import pandas as pd

        told: dict[str, int] = {}
        for row in self._state.results:
            told[row["smiles"]] = told.get(row["smiles"], 0) + 1
        open_ = []
        for number, plate in enumerate(self._state.rounds, start=1):
            for entry in plate:
                if told.get(entry["smiles"], 0) > 0:
                    told[entry["smiles"]] -= 1
                else:
                    open_.append({"round": number, **entry})
        columns = ["round", "smiles"] if not open_ else None
        return pd.DataFrame(open_, columns=columns)

    @property
    def left(self) -> int | None:
        """Wells of the budget that are neither used nor promised; None without a budget."""
        if self._state.budget is None:
            return None
        return max(self._state.budget - len(self._state.results) - len(self.pending), 0)

    def _joined(self, quantity: Quantity) -> dict[str, tuple[float, str]]:
        """One value a compound: the median of exact ones, the tightest of limits."""
        rows = [row for row in self._state.results if quantity.name in row["values"]]
        if not rows:
            return {}
        groups: dict[str, list[int]] = {}
        for at, row in enumerate(rows):
            groups.setdefault(row["smiles"], []).append(at)
        values = [row["values"][quantity.name] for row in rows]
        read = _as_values([v for v, _ in values], [s for _, s in values])
        return join_compounds(groups, read, "median")[0]

    # ---- tell ------------------------------------------------------------------------------------
    def tell(self, table: pd.DataFrame | Mapping[str, Any], **columns: Any) -> int:
        """Take results: a table with SMILES and a column for each quantity measured.

        Numbers, limits (``>7``), and words for nothing ("failed", "n.d.", an empty cell) are read
        as everywhere in molgen. A compound may stand in several rows (replicates) and be told of
        again; one whose wells all failed is suggested once more.

        Args:
            table: One row a well.
            columns: Column of each quantity whose column has another name.

        Returns:
            The number of wells with at least one value.

        Raises:
            ValueError: No SMILES, no column of any quantity, or a text that is no value.
        """
        import pandas as pd

        frame = pd.DataFrame(table)
        smiles = frame[structure_column(frame)].tolist()
        known: dict[str, Any] = {}
        for quantity in self.quantities:
            name = columns.get(quantity.name, quantity.name)
            if name in frame.columns:
                known[quantity.name] = frame[name].tolist()
        if not known:
            names = ", ".join(q.name for q in self.quantities)
            shown = list(map(str, frame.columns))
            hint = nearest_name(self.quantities[0].name, shown)
            raise ValueError(f"the table has no column {names}.{hint} It has {', '.join(shown)}")
        rows: list[dict[str, Any]] = []
        remarks: list[str] = []
        for text in smiles:
            try:
                rows.append({"smiles": parent(text), "values": {}})
            except MoleculeError as error:
                raise ValueError(f"row {len(rows) + 1}: {text!r}: {error.reason}") from error
        for name, values in known.items():
            given = [_nothing_if_failed(v) for v in values]
            if all(is_missing(v) for v in given):
                continue
            try:
                read = read_values(given, "regression")
            except QsarError as error:
                raise ValueError(f"column {name}: {error}") from error
            bad = [(i, reason) for i, reason in enumerate(read.reasons)
                   if reason and reason != "no value"]  # fmt: skip
            if bad:
                raise ValueError(f"column {name}, row {bad[0][0] + 1}: {bad[0][1]}")
            for row, value, sign in zip(rows, read.values, read.relations):
                if np.isfinite(value):
                    row["values"][name] = [float(value), sign]
        failed = sum(not row["values"] for row in rows)
        if failed:
            remarks.append(f"{failed} wells have no value and count as failed")
        suggested = {entry["smiles"] for plate in self._state.rounds for entry in plate}
        others = len({row["smiles"] for row in rows} - suggested)
        if others and suggested:
            remarks.append(f"{others} compounds were not suggested here; they are learnt from, too")
        self._state.results.extend(rows)
        self._models = None
        self.remarks = tuple(remarks)
        self._keep()
        return len(rows) - failed

    def _keep(self) -> None:
        if self.path is not None:
            self.save(self.path)

    # ---- suggest ---------------------------------------------------------------------------------
    def suggest(
        self,
        n: int = 24,
        *,
        diverse: bool = True,
        cost: Callable[[str], float] | Mapping[str, float] | None = None,
        max_cost: float | None = None,
        explore: float = 0.2,
        plates: int | None = None,
    ) -> pd.DataFrame:
        """The next compounds to test, and why each.

        Most are those that are expected best; a share is taken where the expectation may be wrong
        (two deviations above it). With several quantities parts of the plate weigh them
        differently, so that it holds compounds along the whole trade-off. Before there are five
        values, compounds as unlike as possible are chosen.

        Args:
            n: How many; fewer where the budget or the candidates end, which ``remarks`` tells.
            diverse: Leave out compounds too like one already on the plate.
            cost: What a compound costs, by a function or by SMILES: the gain is weighed by it.
            max_cost: What the plate may cost altogether.
            explore: Share of the plate that is for learning.
            plates: Wells of a plate (24, 96, 384, 1536): gives ``plate`` and ``well``.

        Returns:
            smiles, why, then with a model one column a quantity with ``_lower`` and ``_upper``
            (95 % of one measurement), ``similarity`` to the nearest compound tested, ``cost``,
            ``plate``, ``well``.

        Raises:
            ValueError: Nothing to choose from, or an argument out of its range.
        """
        import pandas as pd

        if n < 1:
            raise ValueError(f"n is the number of compounds, at least 1; got {n}")
        if not 0 <= explore <= 1:
            raise ValueError(f"explore is a share between 0 and 1; got {explore}")
        if plates is not None and plates not in PLATES:
            raise ValueError(f"plates is one of {', '.join(map(str, PLATES))} wells; got {plates}")
        if max_cost is not None and cost is None:
            raise ValueError("max_cost needs cost=, what each compound costs")
        remarks: list[str] = []
        if self.left is not None and self.left < n:
            remarks.append(f"the budget leaves {self.left} of the {n} wells asked for")
            n = self.left
        candidates = self._candidates() if n else []
        if n and not candidates:
            raise ValueError(
                "there is nothing to choose from: the library is used up"
                if self._library
                else "there is nothing to choose from: tell(table) some compounds first, or give a "
                "library"
            )
        prices = prices_of(cost, candidates)
        chosen: list[tuple[int, str]] = []
        if n:
            rng = np.random.default_rng([self._state.seed, len(self._state.rounds), 47])
            values = {
                q.name: [value for value, _ in self._joined(q).values()] for q in self.quantities
            }
            choice = Choice(self.quantities, values, self._fitted(), self._features, rng)
            chosen = choice.choose(candidates, n, diverse, explore, prices, max_cost)
        if len(chosen) < n:
            remarks.append(f"{len(chosen)} of {n} compounds could be chosen")
        rows = [{"smiles": candidates[i], "why": why} for i, why in chosen]
        table = pd.DataFrame(rows, columns=["smiles", "why"])
        if rows and any(m is not None for m in self._fitted()):
            told = self.predict(table["smiles"].tolist())
            table = pd.concat([table, told.drop(columns="smiles")], axis=1)
        if prices is not None:
            table["cost"] = [float(prices[i]) for i, _ in chosen]
        if plates is not None:
            table["plate"], table["well"] = wells_of(len(table), plates)
        self._state.rounds.append(json.loads(table.to_json(orient="records", double_precision=15)))
        self.remarks = tuple(remarks)
        self._keep()
        return table

    def predict(self, smiles: Iterable[str]) -> pd.DataFrame:
        """Expectation and 95 % interval of one measurement of each quantity.

        Returns:
            smiles, a column a quantity with ``_lower`` and ``_upper`` (NaN where there are too few
            values), and ``similarity`` to the nearest compound tested.
        """
        import pandas as pd

        texts = [parent(text) for text in as_smiles_list(smiles)]
        table = pd.DataFrame({"smiles": texts})
        features = self._features.of(texts)
        for quantity, model in zip(self.quantities, self._fitted()):
            if model is None:
                mean = half = np.full(len(texts), np.nan)
            else:
                belief = model.predict(features)
                mean = belief.mean
                half = 1.96 * np.sqrt(belief.deviation**2 + model.noise**2)
            table[quantity.name] = mean
            table[f"{quantity.name}_lower"], table[f"{quantity.name}_upper"] = (
                mean - half,
                mean + half,
            )
        tested = self.results["smiles"].tolist()
        table["similarity"] = (
            nearest(pack(fingerprints(texts)), pack(fingerprints(tested)))[0] if tested else np.nan
        )
        return table

    def to_html(self, path: str | Path) -> Path:
        """Write a page: what was suggested, found and learnt."""
        target = Path(path)
        try:
            write_atomically(target, campaign_page(self, self._state.rounds).encode())
        except OSError as error:
            raise ValueError(f"Cannot write {target}: {error.strerror}.") from error
        return target

    # ---- how it chooses --------------------------------------------------------------------------
    def _fitted(self) -> list[QuantityModel | None]:
        """One model a quantity; None where there are too few exact values, or all alike."""
        n = len(self._state.results)
        if self._models is None or self._models[0] != n:
            models: list[QuantityModel | None] = []
            for quantity in self.quantities:
                values = self._joined(quantity)
                exact = [v for v, sign in values.values() if sign == "="]
                if len(exact) < MIN_VALUES or max(exact) - min(exact) < 1e-12:
                    models.append(None)
                    continue
                repeats = [
                    sum(1 for r in self._state.results
                        if r["smiles"] == key and quantity.name in r["values"])
                    for key in values
                ] if len(values) < n else [1] * len(values)  # fmt: skip
                models.append(QuantityModel(
                    self._features.of(list(values)),
                    np.array([v for v, _ in values.values()]),
                    [sign for _, sign in values.values()],
                    np.array(repeats, dtype=float),
                    self._state.seed,
                ))  # fmt: skip
            self._models = (n, models)
        return self._models[1]

    def _best(self, n: int) -> list[str]:
        """The best compounds tested, by all quantities that they have."""
        scores: dict[str, float] = {}
        for quantity in self.quantities:
            values = self._joined(quantity)
            if not values:
                continue
            numbers = np.array([v for v, _ in values.values()])
            size = float(max(numbers.std(), 1e-9))
            for key, (value, _) in values.items():
                gain = quantity.weight * quantity.sign * (value - numbers.mean()) / size
                scores[key] = scores.get(key, 0.0) + gain
        return sorted(scores, key=lambda key: (-scores[key], key))[:n]

    def _unavailable(self) -> set[str]:
        """Compounds with a value, those that failed twice, and those that are being tested."""
        tries: dict[str, int] = {}
        done = set()
        for row in self._state.results:
            if row["values"]:
                done.add(row["smiles"])
            else:
                tries[row["smiles"]] = tries.get(row["smiles"], 0) + 1
        pending = self.pending
        waiting = set(pending["smiles"]) if len(pending) else set()
        return done | waiting | {key for key, count in tries.items() if count >= _TRIES}

    def _candidates(self) -> list[str]:
        away = self._unavailable()
        if self._library:
            return [text for text in self._library if text not in away]
        return [text for text in self._proposals() if text not in away]

    def _proposals(self) -> list[str]:
        """Changes of the best compounds so far, and the generator's analogues of them."""
        parents = self._best(_PARENTS)
        if not parents:
            return []
        number = len(self._state.rounds)
        rng = np.random.default_rng([self._state.seed, number, 43])
        library = load_dataset("moses", split="sample")[:400]
        texts: list[str] = []
        with quiet_rdkit():
            for name, (propose, share) in default_proposers(library, self._state.seed, 200).items():
                if name != "library":
                    texts += propose(parents, int(_CHILDREN * share), rng)
        if isinstance(self._generator, str):
            self._generator = load_model(self._generator)
        if self._generator is not None:
            for k, text in enumerate(parents[:5]):
                seed = self._state.seed + 1_000 * number + k
                texts += list(self._generator.sample_near(text, 100, seed=seed, filters=None))
        found: dict[str, None] = {}
        for text in texts:
            try:
                found.setdefault(parent(text))
            except MoleculeError:
                continue
        kept = list(found)
        if self._filters is None:
            return kept
        passed = filter_molecules(kept, self._filters)["passed"]
        return [text for text, ok in zip(kept, passed) if ok]


def _as_values(values: Sequence[float], signs: Sequence[str]) -> Values:
    return Values("regression", np.array(values, dtype=float), tuple(signs), ("",) * len(values))


_FAILED = frozenset({"failed", "fail", "failure", "error", "x", "void", "empty", "lost"})


def _nothing_if_failed(value: Any) -> Any:
    if isinstance(value, str) and value.strip().casefold() in _FAILED:
        return None
    return value
