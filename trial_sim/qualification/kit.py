"""A qualification kit: cases with independent values, what was found, and the page of it.

It knows neither package; both hold this same text, and a test compares.
"""

from __future__ import annotations

import functools
import inspect
import json
import math
import re
import shutil
import subprocess
import time
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

#: How many Monte-Carlo standard errors a simulated value may be away from its reference.
STANDARD_ERRORS = 4
PRINTERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")


class Estimate(NamedTuple):
    """A simulated number, and the Monte-Carlo standard error of its difference to the reference."""

    value: float
    error: float


@dataclass(frozen=True)
class Requirement:
    """What the package promises, and what would go wrong if it did not hold.

    Attributes:
        key: short name. text: the promise, one sentence. risk: the consequence of a failure.
    """

    key: str
    text: str
    risk: str


@dataclass(frozen=True)
class Case:
    """One computation beside an independent value.

    Attributes:
        name: unique. requirement: key of the requirement it belongs to.
        compute: returns a number, a text, None, or lists and dictionaries of them.
        expected: the same shape; or a function that asks another library now.
        source: who computed or published ``expected``.
        tolerance: absolute; one number, or the shape of ``expected``.
        inputs: what is computed, in words.
        independent: False where the value is the package's own, of another machine.
    """

    name: str
    requirement: str
    compute: Callable[[], Any]
    expected: Any
    source: str
    tolerance: Any = 0.0
    inputs: str = ""
    independent: bool = True


@dataclass(frozen=True)
class Value:
    """One number or text of a case: where it stands in it, both values, and the verdict."""

    quantity: str
    found: float | str | None
    expected: float | str | None
    tolerance: float
    passed: bool


@dataclass(frozen=True)
class Result:
    """What became of a case.

    Attributes:
        case: the case. values: one a number. calls: functions of the package that it calls.
        error: the exception in words, or "". seconds: that it took.
    """

    case: Case
    values: tuple[Value, ...]
    calls: tuple[str, ...]
    error: str
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether it computed, and every value is within its tolerance."""
        return not self.error and bool(self.values) and all(v.passed for v in self.values)


def compare(found: Any, expected: Any, tolerance: Any, where: str = "") -> Iterator[Value]:
    """The values of nested lists and dictionaries, one by one; another shape is a failure."""
    expected = expected.tolist() if hasattr(expected, "tolist") else expected
    if isinstance(expected, Mapping):
        named = found if isinstance(found, Mapping) else {}
        for key in {**expected, **named}:
            inner = tolerance[key] if isinstance(tolerance, Mapping) else tolerance
            here = f"{where}, {key}" if where else str(key)
            one, other = named.get(key, "absent"), expected.get(key, "not expected")
            yield from compare(one, other, inner, here)
    elif isinstance(expected, list | tuple):
        many = isinstance(found, list | tuple | np.ndarray) and not isinstance(found, Estimate)
        listed = list(found) if many else []
        for k in range(max(len(listed), len(expected))):
            inner = tolerance[k] if isinstance(tolerance, list | tuple) else tolerance
            one = listed[k] if k < len(listed) else "absent"
            other = expected[k] if k < len(expected) else "not expected"
            yield from compare(one, other, inner, f"{where} {k + 1}".strip())
    else:
        yield _one(found, expected, tolerance, where or "value")


def _one(found: Any, expected: Any, tolerance: Any, where: str) -> Value:
    allowed = float(tolerance)
    if isinstance(found, Estimate):
        allowed += STANDARD_ERRORS * found.error
        found = found.value
    pair = []
    for one in (found, expected):
        if hasattr(one, "item"):
            one = one.item()
        if one is not None and not isinstance(one, str):
            try:
                one = float(one)
            except (TypeError, ValueError):
                one = repr(one)
        pair.append(one)
    found, expected = pair
    if isinstance(found, float) and isinstance(expected, float):
        passed = found == expected or abs(found - expected) <= allowed
    else:
        passed = type(found) is type(expected) and found == expected
    return Value(where, found, expected, allowed, passed)


def run(case: Case, package: str, home: str) -> Result:
    """Compute a case and compare; an exception is a failure that is told, not raised."""
    began = time.perf_counter()
    values: tuple[Value, ...] = ()
    error = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = case.compute()
            expected = case.expected() if callable(case.expected) else case.expected
        values = tuple(compare(found, expected, case.tolerance))
    except Exception as problem:
        error = f"{type(problem).__name__}: {problem}"
    seconds = time.perf_counter() - began
    return Result(case, values, called(case.compute, package, home), error, seconds)


def called(function: Callable[..., Any], package: str, home: str) -> tuple[str, ...]:
    """Names of the package's functions and classes that a computation mentions.

    It is read from the byte code, through functions of the room ``home``, so that the matrix of
    what is tested is not written by hand.
    """
    root = import_module(package)
    found: set[str] = set()
    waiting: list[Any] = [function]
    seen: set[int] = set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, functools.partial):
            waiting += [value.func, *value.args, *value.keywords.values()]
            continue
        value = inspect.unwrap(value) if callable(value) else value
        code = getattr(value, "__code__", None)
        if code is None or id(value) in seen:
            continue
        seen.add(id(value))
        waiting += [cell.cell_contents for cell in value.__closure__ or () if _filled(cell)]
        names = set(_names(code))
        for name in names & set(value.__globals__):
            given = value.__globals__[name]
            if isinstance(given, types.ModuleType):
                if given.__name__.split(".")[0] != package:
                    continue
                public = {*dir(given), *getattr(given, "_HOMES", ())}
                given_all = [getattr(given, n) for n in names & public]
            else:
                given_all = [given]
            for one in given_all:
                module = str(getattr(one, "__module__", None))
                if module.split(".")[0] != package or not hasattr(one, "__qualname__"):
                    continue
                # helpers of the kit are read on; what the package offers itself is called
                if module.startswith(home) and getattr(root, one.__qualname__, None) is not one:
                    waiting.append(one)
                else:
                    found.add(f"{module}.{one.__qualname__}")
    return tuple(sorted(found))


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


@dataclass(frozen=True)
class Qualification:
    """The outcome of a qualification: values, traceability, installation, limits.

    Attributes:
        package, version, created: what was qualified, and when (UTC).
        installation: versions, platform, processor and the like, in words.
        requirements: the promises. results: one a case. limits: sentences on what is not shown.
        peers: name of a source → pattern by which a case's source names it.
        modules: of whose public names the matrix is made.
        selected: whether a part of the kit was run. printed: what came of printing to PDF.

    Examples:
        >>> from trial_sim.qualification.kit import Case, Qualification, Requirement, run
        >>> case = Case("sum", "sums", lambda: 1 + 1, 2, "counted by hand")
        >>> kit = Qualification(
        ...     "trial_sim",
        ...     "0.1.0",
        ...     "today",
        ...     {},
        ...     [Requirement("sums", "Sums are right.", "They are wrong.")],
        ...     [run(case, "trial_sim", "trial_sim.qualification")],
        ...     peers={"by hand": "by hand"},
        ...     modules=("trial_sim",),
        ... )
        >>> kit.passed, kit.results[0].passed, kit.n_values, kit.failures, kit.sources
        (True, True, 1, (), {'by hand': 1})
        >>> kit.table["found"].tolist(), kit.matrix[0]["values"], kit.summary[-36:]
        ([2.0], 0, 'every value is within its tolerance.')
        >>> sorted(kit.to_dict())[:2], kit.to_json()[:1], kit.to_html()[:15]
        (['created', 'installation'], '{', '<!DOCTYPE html>')
    """

    package: str
    version: str
    created: str
    installation: Mapping[str, str]
    requirements: Sequence[Requirement]
    results: Sequence[Result]
    limits: Sequence[str] = ()
    peers: Mapping[str, str] = field(default_factory=dict)
    modules: Sequence[str] = ()
    selected: bool = False
    printed: str = ""

    @property
    def passed(self) -> bool:
        """Whether every value is within its tolerance."""
        return bool(self.results) and all(r.passed for r in self.results)

    @property
    def failures(self) -> tuple[Result, ...]:
        """The cases that failed."""
        return tuple(r for r in self.results if not r.passed)

    @property
    def n_values(self) -> int:
        """Independent values that were compared."""
        return sum(len(r.values) for r in self.results if r.case.independent)

    @property
    def sources(self) -> dict[str, int]:
        """Name of a source → values that come from it; a value may come from two."""
        counts = dict.fromkeys(self.peers, 0)
        for result in self.results:
            for name, pattern in self.peers.items():
                if result.case.independent and re.search(pattern, result.case.source):
                    counts[name] += len(result.values)
        return {name: n for name, n in sorted(counts.items(), key=lambda kv: -kv[1]) if n}

    @property
    def table(self) -> pd.DataFrame:
        """One row a value: requirement, case, quantity, both values, tolerance, verdict, source."""
        import pandas as pd

        rows = [
            {"requirement": r.case.requirement, "case": r.case.name, **asdict(v),
             "source": r.case.source}
            for r in self.results
            for v in r.values
        ]  # fmt: skip
        return pd.DataFrame(rows)

    @property
    def matrix(self) -> list[dict[str, Any]]:
        """One row a public name: what it is, the cases that call it, and how many values."""
        rows = []
        for module in map(import_module, self.modules):
            for name in sorted({*module.__all__, *getattr(module, "_HOMES", ())}):
                value = getattr(module, name)
                if not (inspect.isclass(value) or inspect.isroutine(value)):
                    continue
                key = f"{value.__module__}.{value.__qualname__}"
                using = [r for r in self.results if key in r.calls]
                if inspect.isclass(value):
                    using = [r for r in self.results if key in r.calls or key in _made(r.calls)]
                rows.append(
                    {
                        "name": f"{module.__name__}.{name}",
                        "kind": "class" if inspect.isclass(value) else "function",
                        "requirements": sorted({r.case.requirement for r in using}),
                        "cases": [r.case.name for r in using],
                        "values": sum(len(r.values) for r in using),
                    }
                )
        return rows

    @property
    def summary(self) -> str:
        """The conclusion in a few sentences."""
        verdict = (
            "every value is within its tolerance"
            if self.passed
            else f"{len(self.failures)} of {len(self.results)} cases FAIL"
        )
        part = "A part of the kit was run. " if self.selected else ""
        return (
            f"{part}{self.package} {self.version}: {self.n_values:,} independent values of "
            f"{len(self.sources)} sources in {len(self.results)} cases; {verdict}."
        )

    def __str__(self) -> str:
        lines = [self.summary]
        for result in self.failures:
            lines.append(f"  {result.case.name}: {result.error or 'missed'}")
            lines += [
                f"    {v.quantity}: {v.found} here, {v.expected} by {result.case.source}, "
                f"tolerance {v.tolerance:g}"
                for v in result.values
                if not v.passed
            ]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The qualification as plain values, which is also what :meth:`to_json` writes."""
        return {
            "package": self.package,
            "version": self.version,
            "created": self.created,
            "passed": self.passed,
            "summary": self.summary,
            "sources": self.sources,
            "installation": dict(self.installation),
            "requirements": [asdict(r) for r in self.requirements],
            "results": [
                {
                    "case": r.case.name,
                    "requirement": r.case.requirement,
                    "inputs": r.case.inputs,
                    "source": r.case.source,
                    "independent": r.case.independent,
                    "calls": list(r.calls),
                    "passed": r.passed,
                    "error": r.error,
                    "seconds": round(r.seconds, 3),
                    "values": [asdict(v) for v in r.values],
                }
                for r in self.results
            ],
            "traceability": self.matrix,
            "limits": list(self.limits),
        }

    def to_json(self) -> str:
        """JSON text; infinite and missing numbers are texts in it."""
        return json.dumps(_finite(self.to_dict()), indent=1)

    def to_html(self) -> str:
        """One HTML page that prints on A4 and fetches nothing."""
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

        home = Path(str(import_module(self.package).__file__)).parent
        environment = Environment(
            loader=FileSystemLoader([home / "templates", home / "report" / "templates"]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters["number"] = _number
        matrix = self.matrix
        page = environment.get_template("qualification.html")
        by_requirement = [
            (r, [x for x in self.results if x.case.requirement == r.key]) for r in self.requirements
        ]
        return page.render(
            q=self,
            chapters=[(r, cases) for r, cases in by_requirement if cases],
            matrix=matrix,
            functions=[row for row in matrix if row["kind"] == "function"],
            seconds=sum(r.seconds for r in self.results),
        )


@functools.cache
def _made(calls: tuple[str, ...]) -> frozenset[str]:
    """Classes whose records the functions return, by their annotations."""
    found = set()
    for call in calls:
        module, _, name = call.rpartition(".")
        try:
            home = import_module(module)
        except ImportError:
            continue
        annotation = str(getattr(getattr(home, name, None), "__annotations__", {}).get("return"))
        for word in re.findall(r"[A-Za-z_]\w*", annotation):
            value = getattr(home, word, None)
            if inspect.isclass(value):
                found.add(f"{value.__module__}.{value.__qualname__}")
    return frozenset(found)


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.10g}"
    return "none" if value is None else str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def print_pdf(page: Path, target: Path) -> str:
    """Print a page to PDF with a browser, if one is there; say what came of it."""
    printer = next(filter(None, map(shutil.which, PRINTERS)), None)
    if printer is None:
        return (
            "no PDF: no browser that prints without a screen was found "
            f"({', '.join(PRINTERS)}); print {page.name} from any browser"
        )
    command = [
        printer, "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer",
        f"--print-to-pdf={target.resolve()}", page.resolve().as_uri(),
    ]  # fmt: skip
    try:
        subprocess.run(command, capture_output=True, timeout=180, check=True)
    except (OSError, subprocess.SubprocessError) as problem:
        return f"no PDF: {Path(printer).name} did not print ({type(problem).__name__})"
    return f"wrote {target}" if target.exists() else f"no PDF: {printer} wrote none"
