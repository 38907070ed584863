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
    "z_test": 1,
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

# Tests that are or can be stratified by all strata of the design, and tests that adjust.
STRATIFIED = (
    "logrank",
    "fleming_harrington",
    "magirr_burman",
    "modestly_weighted",
    "max_combo",
    "cox",
    "rmst",
    "milestone",
    "ancova",
    "cmh",
    "wilcoxon",
    "negative_binomial",
    "mmrm",
)
ADJUSTED = ("cox", "ancova", "negative_binomial", "mmrm")
_INSTEAD_STRATIFIED = {
    "t_test": "ancova",
    "z_test": "ancova",
    "chi_square": "cmh",
    "fisher": "cmh",
    "farrington_manning": "cmh",
}
_INSTEAD_ADJUSTED = {"t_test": "ancova", "z_test": "ancova"} | dict.fromkeys(TIME_TESTS, "cox")


def check_options(name: str, stratified: bool, adjust: tuple[str, ...]) -> None:
    """Raise ValueError if a test is asked to stratify or to adjust, and does not know how."""
    for wanted, known, instead, what in (
        (stratified, STRATIFIED, _INSTEAD_STRATIFIED, "stratified=True"),
        (bool(adjust), ADJUSTED, _INSTEAD_ADJUSTED, f"adjust={list(adjust)}"),
    ):
        if wanted and name not in known:
            hint = f"; test {instead[name]!r} is" if name in instead else ""
            raise ValueError(
                f"{what} does not go with test {name!r}, which is not "
                f"{'stratified' if what.startswith('s') else 'adjusted'}{hint}. Tests that are: "
                f"{', '.join(known)}"
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
    if name == "farrington_manning" and not 0 <= parameters[0] < 1:
        raise ValueError(
            f"the margin of test {name!r} must be between 0 and 1: a positive number by which "
            f"treatment may be worse, got {parameters[0]!r}. The null_value of a sample size is "
            "the difference under the null, minus the margin"
        )
    if name == "z_test" and not 0 < parameters[0] < float("inf"):
        raise ValueError(f"test {name!r} needs the known standard deviation, got {parameters[0]!r}")
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
