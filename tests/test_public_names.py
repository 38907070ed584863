"""Every public name has a docstring whose example runs.

The share is reported with ``pytest tests/test_public_names.py -s``; the examples run as doctests.
"""

import doctest
import importlib
import inspect
from typing import Any

import pytest

PACKAGES = ("molgen", "trial_sim", "trial_sim.statistics", "trial_sim.scenarios")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


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


def examples(value: Any) -> list[doctest.Example]:
    return doctest.DocTestParser().get_examples(inspect.getdoc(value) or "")


def test_every_public_name_has_a_docstring_and_an_example() -> None:
    lacking = [name for name, value in NAMES.items() if not examples(value)]
    share = 1 - len(lacking) / len(NAMES)
    print(f"{len(NAMES)} public names, {share:.1%} with docstring and running example")
    assert lacking == []


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=pytest.mark.slow if n in NEEDS_A_MODEL else (), id=n)
        for n in sorted(NAMES)
    ],
)
def test_the_example_runs(name: str) -> None:
    value = NAMES[name]
    known = {name.rsplit(".", 1)[-1]: value}  # nothing else of its module is taken as imported
    test = doctest.DocTest(
        examples(value), known, name, inspect.getsourcefile(value), 0, inspect.getdoc(value)
    )
    said: list[str] = []
    failed = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.append).failed
    assert not failed, "".join(said)
