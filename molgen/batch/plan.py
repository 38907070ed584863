"""What a batch is to do: one frozen record, read from YAML, checked before anything runs."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from molgen.base.arguments import between, texts, unknown, whole
from molgen.base.errors import BatchError
from molgen.base.plain_yaml import read_plain
from molgen.batch.starts import Starts, read_starts, resolved_path
from molgen.chem.properties import check_descriptors
from molgen.filters.filter_sets import as_filter_set
from molgen.model.cards import find_model, read_card
from molgen.model.config import BLOCK, DEFAULT_MODEL
from molgen.scoring.objectives import as_objective

CLUSTERS: dict[str, tuple[str, ...]] = {
    "local": ("workers",),
    "address": ("address",),
    "ssh": ("hosts", "workers", "connect"),
    "slurm": ("workers", "cores", "memory", "queue", "account", "walltime", "extra"),
}
"""Kinds of Dask cluster, and the keys that each takes beside ``kind``."""

_NEEDED = {"address": ("address",), "ssh": ("hosts",), "slurm": ("workers", "memory")}


FORMAT = 1
"""Version of the YAML that this release writes and reads."""


DESCRIBED = (
    "mw", "logp", "tpsa", "hbd", "hba", "rotatable_bonds", "rings", "fsp3", "qed", "sa_score",
    "np_score",
)  # fmt: skip
"""Descriptors of every molecule unless ``properties`` says otherwise."""


@dataclass(frozen=True)
class Selection:
    """How the diverse set is chosen from the molecules of a batch.

    Attributes:
        n: how many.
        method: ``"maxmin"``: each is the one least like all chosen before it; ``"sphere"``: best
            score first (first drawn where there is no objective), each unlike all before it.
        max_similarity: for ``"sphere"``, the Tanimoto similarity (ECFP4, 1,024 bits) that two
            chosen molecules may have.
        min_score: leave out molecules that score less (needs an objective).
    """

    n: int
    method: str = "maxmin"
    max_similarity: float = 0.6
    min_score: float | None = None

    def __post_init__(self) -> None:
        whole("select.n", self.n, 1)
        if self.method not in ("maxmin", "sphere"):
            raise BatchError(unknown("select.method", self.method, ("maxmin", "sphere")))
        between("select.max_similarity", self.max_similarity, 0, 1)
        if self.min_score is not None:
            between("select.min_score", self.min_score, 0, 1)


@dataclass(frozen=True)
class RunPlan:
    """A batch: draw molecules until ``n`` new ones have passed, and write them down.

    Attributes:
        n: molecules to deliver.
        model: a shipped model's name, or a model folder.
        seed: of the draws.
        chunk_size: draws handed to a worker at a time, rounded up to whole blocks of 512. What a
            killed run loses; the output does not depend on it.
        filters: what ``filter_molecules`` takes; None for no filter.
        workers: processes, -1 for all cores, 0 to work in this process. The output does not depend
            on it.
        temperature: of the draws.
        properties: descriptors to write.
        deduplicate: ``"inchikey"``, or ``"smiles"`` (canonical; half as costly; tautomers that
            InChI takes for one molecule stay two).
        known: files of molecules that are not wanted (or ``"moses"``, the MOSES training set).
        objective: an objective as a mapping or a file, for the columns ``score...``; None for none.
        select: a :class:`Selection`, or None.
        report: write ``report.html``.
        max_draws: give up after so many draws; by default 20 for each molecule wanted.
        timeout: seconds that a chunk may take before its worker is ended and it is tried again.
        retries: how often a chunk is tried again after its worker died or hung.
        memory_limit: of the deduplication, as DuckDB writes it; beyond it the disk is used.
        cluster: run on Dask; see :mod:`molgen.batch.cluster`.
        start: where the draws start from: a mapping with ``verb`` (near, scaffold, link,
            replace_core or where), ``from`` (one start, many, or a file of molecules) and what
            the verb takes; None for the model's own draws. See :mod:`molgen.batch.starts`.
    """

    n: int
    model: str = DEFAULT_MODEL
    seed: int = 0
    chunk_size: int = 4096
    filters: Any = "default"
    workers: int = 1
    temperature: float = 1.0
    properties: tuple[str, ...] = DESCRIBED
    deduplicate: str = "inchikey"
    known: tuple[str, ...] = ()
    objective: Any = None
    select: Selection | None = None
    report: bool = True
    max_draws: int | None = None
    timeout: float = 3600.0
    retries: int = 2
    memory_limit: str = "1GB"
    cluster: Mapping[str, Any] | None = None
    start: Any = None

    def __post_init__(self) -> None:
        whole("n", self.n, 1)
        whole("seed", self.seed, 0)
        whole("chunk_size", self.chunk_size, 1)
        whole("workers", self.workers, -1)
        whole("retries", self.retries, 0)
        between("temperature", self.temperature, 0, float("inf"))
        between("timeout", self.timeout, 1e-3, float("inf"))
        if self.max_draws is not None:
            whole("max_draws", self.max_draws, 1)
        for name in ("model", "memory_limit", "deduplicate"):
            if not isinstance(getattr(self, name), str):
                raise BatchError(f"{name} must be a text, got {getattr(self, name)!r}.")
        if not isinstance(self.report, bool):
            raise BatchError(f"report must be true or false, got {self.report!r}.")
        if self.deduplicate not in ("inchikey", "smiles"):
            raise BatchError(unknown("deduplicate", self.deduplicate, ("inchikey", "smiles")))
        object.__setattr__(self, "properties", self._checked_properties())
        object.__setattr__(self, "known", texts("known", self.known))
        if self.known and self.deduplicate != "inchikey":
            raise BatchError("known sets are compared by InChIKey: set deduplicate to inchikey.")
        if isinstance(self.select, Mapping):
            selection = _from_mapping(Selection, self.select, "select", ("n",))
            object.__setattr__(self, "select", selection)
        elif self.select is not None and not isinstance(self.select, Selection):
            raise BatchError(f"select must be a mapping with at least n, got {self.select!r}.")
        if self.select is not None and self.select.min_score is not None and not self.objective:
            raise BatchError("select.min_score needs an objective, and there is none.")
        if self.cluster is not None:
            check_cluster(self.cluster)
        if self.start is not None:
            read_starts(self.start, self.n)

    @property
    def contradictions(self) -> tuple[str, ...]:
        """What the plan asks for and cannot have, one sentence each."""
        found = []
        if self.select is not None and self.select.n > self.n:
            found.append(f"select asks for {self.select.n:,} of {self.n:,} molecules")
        if self.max_draws is not None and self.max_draws < self.n:
            found.append(f"{self.n:,} molecules cannot come from {self.max_draws:,} draws")
        return tuple(found)

    def _checked_properties(self) -> tuple[str, ...]:
        names = texts("properties", self.properties)
        try:
            return tuple(dict.fromkeys(check_descriptors(names)))
        except ValueError as error:
            raise BatchError(str(error)) from error

    @property
    def blocks_per_chunk(self) -> int:
        """Blocks of 512 draws that make one chunk: no more than a small ``n`` needs."""
        return min(-(-self.chunk_size // BLOCK), -(-self.n // BLOCK))

    @property
    def draws_allowed(self) -> int:
        """Draws after which the batch gives up."""
        return self.max_draws if self.max_draws is not None else 20 * self.n + BLOCK

    @classmethod
    def from_yaml(cls, path: str | Path) -> RunPlan:
        """Read a plan. Paths in it that are not absolute are looked up beside the file first.

        Raises:
            BatchError: no such file, not YAML, an unknown key or a wrong value, or a plan of
                another format version.
        """
        import yaml

        source = Path(path)
        try:
            content = read_plain(source.read_text("utf-8"))
        except FileNotFoundError:
            raise BatchError(f"There is no run file {source}.") from None
        except (OSError, UnicodeDecodeError) as error:
            raise BatchError(f"Cannot read {source}: {error}.") from error
        except yaml.YAMLError as error:
            raise BatchError(f"{source} is not YAML: {' '.join(str(error).split())}.") from error
        try:
            return cls.from_dict(content, source.parent)
        except BatchError as error:
            raise BatchError(f"{source}: {error}") from error

    @classmethod
    def from_dict(cls, content: Any, beside: Path | None = None) -> RunPlan:
        """A plan from a mapping; ``beside`` is where its relative paths are looked up first."""
        if not isinstance(content, Mapping):
            raise BatchError(f"a run file holds keys and values, at least n; got {content!r:.60}.")
        values = dict(content)
        version = values.pop("format", FORMAT)
        if isinstance(version, bool) or not isinstance(version, int) or version < 1:
            raise BatchError(f"format must be a whole number from 1, got {version!r}.")
        if version > FORMAT:
            raise BatchError(
                f"the run file has format {version}, this version of molgen reads up to {FORMAT}; "
                "install a newer one."
            )
        if beside is not None and "start" in values:
            values["start"] = resolved_path(values["start"], beside)
        plan: RunPlan = _from_mapping(cls, values, "a run file", ("n",))
        return plan if beside is None else plan._found_beside(beside)

    def _found_beside(self, folder: Path) -> RunPlan:
        def found(name: Any) -> Any:
            if not isinstance(name, str):
                return name
            near = folder / name
            return str(near) if not Path(name).is_absolute() and near.exists() else name

        return replace(
            self,
            model=found(self.model),
            filters=found(self.filters),
            objective=found(self.objective),
            known=tuple(found(k) for k in self.known),
        )

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain data, with its format version."""
        plain = {"format": FORMAT, **asdict(self)}
        plain["properties"], plain["known"] = list(self.properties), list(self.known)
        return plain


@dataclass(frozen=True)
class Task:
    """A plan with its names resolved: all that a worker needs, and all that decides the output.

    Attributes:
        model_folder: where the model lies.
        checkpoint: SHA-256 of its weights.
        seed, temperature, properties, deduplicate: as in the plan.
        filters: the filters as plain data, or None.
        objective: the objective as plain data, or None.
        fingerprints: whether to keep fingerprints for a selection.
        blocks_per_chunk: blocks in a chunk.
        start: :class:`molgen.batch.starts.Starts` as plain data, or None.
    """

    model_folder: str
    checkpoint: str
    seed: int
    temperature: float
    properties: tuple[str, ...]
    deduplicate: str
    filters: Any
    objective: Any
    fingerprints: bool
    blocks_per_chunk: int
    start: Any = None

    def to_json(self) -> str:
        """The task as JSON text."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Task:
        """The inverse of :meth:`to_json`; ValueError if the text is no task."""
        values = json.loads(text)
        if not isinstance(values, dict) or set(values) != set(cls.__dataclass_fields__):
            raise ValueError("The text is no task of a batch: it has other fields.")
        values["properties"] = texts("properties", values["properties"])
        return cls(**values)

    @property
    def block(self) -> int:
        """Draws in a block."""
        if self.start is None:
            return BLOCK
        starts = Starts.from_dict(self.start)
        return starts.turns * starts.each

    @property
    def identity(self) -> str:
        """A hash of all that decides what a chunk holds (not where the model lies)."""
        values = {**asdict(self), "model_folder": ""}
        if self.start is None:  # as it was before there were any
            del values["start"]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def resolve(plan: RunPlan) -> Task:
    """Find the model, and read filters and objective.

    Raises:
        BatchError: one of them is missing or wrong.
    """
    try:
        folder = find_model(plan.model)
        card = read_card(folder)
        filters = None if plan.filters is None else as_filter_set(plan.filters).to_list()
        objective = None if plan.objective is None else as_objective(plan.objective).to_dict()
        json.dumps([filters, objective])
    except (ValueError, TypeError, OSError) as error:
        raise BatchError(str(error)) from error
    return Task(
        str(folder.resolve()),
        str(card.get("sha256", "")),
        plan.seed,
        float(plan.temperature),
        plan.properties,
        plan.deduplicate,
        filters,
        objective,
        plan.select is not None,
        plan.blocks_per_chunk,
        None if plan.start is None else read_starts(plan.start, plan.n).to_dict(),
    )


def as_plan(plan: Any) -> RunPlan:
    """A plan from a :class:`RunPlan`, a mapping or the path of a YAML file."""
    if isinstance(plan, RunPlan):
        return plan
    if isinstance(plan, Mapping):
        return RunPlan.from_dict(plan)
    if isinstance(plan, str | Path):
        return RunPlan.from_yaml(plan)
    raise TypeError(f"A batch needs a RunPlan, a mapping or a YAML file, got {plan!r:.60}.")


def _from_mapping(kind: Any, values: Mapping[Any, Any], what: str, needed: tuple[str, ...]) -> Any:
    known = [f.name for f in fields(kind)]
    for key in values:
        if key not in known:
            raise BatchError(unknown(f"key of {what}", str(key), known))
    for key in needed:
        if key not in values:
            raise BatchError(f"{what} needs the key {key!r}.")
    return kind(**{str(k): v for k, v in values.items()})


def check_cluster(cluster: Any) -> None:
    """Raise BatchError unless ``cluster`` is a mapping of known kind with that kind's keys."""
    if not isinstance(cluster, Mapping):
        raise BatchError(f"cluster must be a mapping with the key kind, got {cluster!r:.60}.")
    kind = cluster.get("kind", "local")
    if kind not in CLUSTERS:
        raise BatchError(unknown("kind of cluster", kind, CLUSTERS))
    for key in cluster:
        if key not in ("kind", *CLUSTERS[kind]):
            raise BatchError(unknown(f"key of a {kind} cluster", key, ("kind", *CLUSTERS[kind])))
    for key in _NEEDED.get(kind, ()):
        if key not in cluster:
            raise BatchError(f"a {kind} cluster needs the key {key!r}.")
    if "workers" in cluster:
        whole("cluster.workers", cluster["workers"], 1)
    if "hosts" in cluster:
        texts("cluster.hosts", cluster["hosts"])


def check_reachable(cluster: Mapping[str, Any] | None) -> None:
    """Raise BatchError at once where the cluster's scheduler cannot be asked for jobs from here."""
    if cluster is None:
        return
    if cluster.get("kind") == "slurm" and shutil.which("sbatch") is None:
        raise BatchError(
            "cluster: slurm needs the command sbatch, which is not here: give the command on a "
            "login node, or run the batch as a job array of shards (--shard 3/8)."
        )
    if cluster.get("kind") == "address":
        _check_address(str(cluster["address"]))


def _check_address(address: str) -> None:
    import socket

    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdecimal():
        raise BatchError(
            f"cluster.address is {address!r}; expected a scheduler's, tcp://10.0.0.5:8786."
        )
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise BatchError(f"No Dask scheduler answers at {address}: {error}.") from error
