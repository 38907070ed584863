"""Names of the tests that a design can ask for, and their parameters."""

from __future__ import annotations

from typing import Any

from trial_sim.base.records import nearest

# Test name → number of parameters that follow it in a tuple such as ("magirr_burman", 12).
TESTS: dict[str, int] = {
    "logrank": 0,
    "fleming_harrington": 2,
    "magirr_burman": 1,
    "modestly_weighted": 1,
    "max_combo": 1,
    "cox": 0,
    "rmst": 1,
    "milestone": 1,
    "gray": 0,
    "lwyy": 0,
    "t_test": 0,
    "ancova": 0,
    "chi_square": 0,
    "fisher": 0,
    "farrington_manning": 1,
    "cmh": 0,
    "wilcoxon": 0,
    "negative_binomial": 0,
    "mmrm": 0,
}
TIME_TESTS = (
    "logrank",
    "fleming_harrington",
    "magirr_burman",
    "modestly_weighted",
    "max_combo",
    "cox",
    "rmst",
    "milestone",
)


def check_test(test: Any) -> Any:
    """A test as a name or a tuple of name and parameters.

    Raises:
        ValueError: for an unknown name, the wrong number of parameters or a senseless one.
    """
    name, *parameters = (test,) if isinstance(test, str) else tuple(test)
    if name not in TESTS:
        raise ValueError(f"test {name!r} is unknown{nearest(name, TESTS)}")
    if len(parameters) != TESTS[name]:
        raise ValueError(f"test {name!r} takes {TESTS[name]} parameter(s), got {parameters}")
    if name == "max_combo":
        return (name, tuple(_check_weight(weight) for weight in parameters[0]))
    if name in ("rmst", "milestone") and not parameters[0] > 0:
        raise ValueError(f"test {name!r} needs a positive month, got {parameters[0]!r}")
    return name if not parameters else (name, *parameters)


def _check_weight(weight: Any) -> tuple[Any, ...]:
    name, *parameters = (weight,) if isinstance(weight, str) else tuple(weight)
    known = ("logrank", "fleming_harrington", "magirr_burman", "modestly_weighted")
    if name not in known:
        raise ValueError(f"weight {name!r} of max_combo is unknown{nearest(name, known)}")
    if len(parameters) != TESTS[name]:
        raise ValueError(f"weight {name!r} takes {TESTS[name]} parameter(s), got {parameters}")
    return (name, *parameters)
