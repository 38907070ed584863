"""Every public name has a docstring whose example runs, and the public methods are shown in one.

The shares are reported with ``pytest tests/test_public_names.py -s``; the examples run as doctests.
Methods count of public classes, of their bases, and of the classes that public functions return. A
method is shown by an example of its own, of its class, of a base, or of a class that implements it;
a scenario's by the protocol's.
"""

import ast
import doctest
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

import molgen
import trial_sim

PACKAGES = tuple(
    where
    for package in (molgen, trial_sim)
    for where in (
        package.__name__,
        *(f"{package.__name__}.{room}" for room in package._ROOMS if room != "looks"),
    )
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
METHODS_SHOWN = 0.93  # at least; the goal is all of them


def public_names() -> dict[str, Any]:
    """Every public object once, under the shortest name that a user writes."""
    found: dict[str, Any] = {}
    seen: set[int] = set()
    for package in map(importlib.import_module, PACKAGES):
        for name in package.__all__:
            value = getattr(package, name)
            documentable = inspect.isclass(value) or inspect.isfunction(value)
            if documentable and id(value) not in seen:
                seen.add(id(value))
                found[f"{package.__name__}.{name}"] = value
    return found


NAMES = public_names()
NEEDS_A_MODEL = {
    "molgen." + name
    for name in ("audit", "audit_samples", "evaluate", "fit_qsar", "load_qsar", "load_model",
                 "optimize", "run_batch", "train", "GraphVAE", "train_audited",
                 "train_privately")
}  # fmt: skip


def ours(value: Any) -> bool:
    return str(getattr(value, "__module__", "")).split(".")[0] in ("molgen", "trial_sim")


def methods(cls: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties that a class itself defines, as functions."""
    for name, value in vars(cls).items():
        function = getattr(value, "__func__", None) or getattr(value, "fget", None)
        function = function or getattr(value, "func", None) or value
        if not name.startswith("_") and inspect.isfunction(function) and ours(function):
            yield name, function


@cache
def names_in(module: str) -> dict[str, Any]:
    """What the names of a module stand for, those that only the type checker imports included."""
    known = dict(vars(sys.modules[module]))
    for node in ast.walk(ast.parse(inspect.getsource(sys.modules[module]))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            module.split(".")[0]
        ):
            home = importlib.import_module(str(node.module))
            for alias in node.names:
                known.setdefault(alias.asname or alias.name, getattr(home, alias.name, None))
    return known


def returned(function: Any) -> list[type]:
    """Our classes that the return annotation names."""
    annotation = getattr(function, "__annotations__", {}).get("return", "")
    if inspect.isclass(annotation):
        return [annotation] if ours(annotation) else []
    words = re.findall(r"(?<![.\w])[A-Za-z_]\w*", str(annotation))
    found = [names_in(function.__module__).get(word) for word in words]
    return [value for value in found if inspect.isclass(value) and ours(value)]


def reachable_classes() -> list[type]:
    """Public classes, their bases, and what public functions and methods return."""
    found: dict[type, None] = {}
    waiting = list(NAMES.values())
    while waiting:
        value = waiting.pop()
        if not inspect.isclass(value):
            waiting += returned(value)
        elif value not in found:
            found[value] = None
            waiting += [base for base in value.__mro__[1:] if ours(base)]
            waiting += [c for _, function in methods(value) for c in returned(function)]
    return [c for c in found if not c.__name__.startswith("_")]


CLASSES = reachable_classes()


def examples(value: Any) -> list[doctest.Example]:
    return doctest.DocTestParser().get_examples(inspect.getdoc(value) or "")


def shown(cls: type, name: str, function: Any) -> bool:
    """Whether an example calls the method."""
    if examples(function):
        return True
    from trial_sim.scenarios import OutcomeScenario

    bases = [base for base in (*cls.__mro__, *cls.__subclasses__()) if ours(base)]
    if {"kind", "sample"} <= set(dir(cls)):
        bases.append(OutcomeScenario)
    sources = [example.source for base in bases for example in examples(base)]
    return any(re.search(rf"\.{name}\b", source) for source in sources)


def test_every_public_name_has_a_docstring_and_an_example() -> None:
    lacking = [name for name, value in NAMES.items() if not examples(value)]
    share = 1 - len(lacking) / len(NAMES)
    print(f"{len(NAMES)} public names, {share:.1%} with docstring and running example")
    assert lacking == []


def test_public_methods_are_shown_in_an_example() -> None:
    every = [(cls, *method) for cls in CLASSES for method in methods(cls)]
    lacking = [f"{c.__module__}.{c.__name__}.{n}" for c, n, f in every if not shown(c, n, f)]
    share = 1 - len(lacking) / len(every)
    print(f"{len(every)} public methods, {share:.1%} shown in a running example; not:", *lacking)
    assert share >= METHODS_SHOWN, lacking


def documented() -> dict[str, Any]:
    """Everything whose examples must run, by a name for the report."""
    found = dict(NAMES)
    public = {id(value) for value in NAMES.values()}
    for cls in CLASSES:
        where = f"{cls.__module__}.{cls.__name__}"
        if id(cls) not in public and examples(cls):
            found[where] = cls
        found |= {f"{where}.{name}": f for name, f in methods(cls) if examples(f)}
    return found


DOCUMENTED = documented()
SLOW = NEEDS_A_MODEL | {
    n for n in DOCUMENTED if n.startswith(("molgen.qsar.model.", "molgen.generation.generator."))
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=pytest.mark.slow if n in SLOW else (), id=n)
        for n in sorted(DOCUMENTED)
    ],
)
def test_the_example_runs(name: str) -> None:
    value = DOCUMENTED[name]
    # of its module nothing but the name itself is taken as imported
    known = {name.rsplit(".", 1)[-1]: value} if name in NAMES else {}
    test = doctest.DocTest(
        examples(value), known, name, inspect.getsourcefile(value), 0, inspect.getdoc(value)
    )
    said: list[str] = []
    failed = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.append).failed
    assert not failed, "".join(said)
