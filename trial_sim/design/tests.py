"""The test statistics that a design can ask for: their names, and what each of them can do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trial_sim.base.arguments import nearest

TIME = "time_to_event"
#: Tests that take a non-inferiority margin: of a ratio, and of a difference.
RATIOS = ("logrank", "cox", "lwyy", "negative_binomial")
DIFFERENCES = ("rmst", "milestone", "t_test", "welch", "z_test", "ancova", "mmrm")
WEIGHTS = ("logrank", "fleming_harrington", "magirr_burman", "modestly_weighted")


@dataclass(frozen=True)
class Statistic:
    """What a design may ask of a test statistic.

    Attributes:
        kinds: of outcomes that it is for ("time_to_event", "competing_risks", "recurrent",
            "binary", "continuous", "ordinal", "count", "longitudinal").
        n_parameters: how many follow its name in a tuple such as ("magirr_burman", 12).
        stratified, adjusted: whether it is or can be stratified by all strata of the design, and
            adjusts for covariates; else the name of a test that does so in its place, or "".
        check: takes the parameters, raises ValueError where they make no sense, and returns them
            as they are kept; None takes them as they are.
    """

    kinds: tuple[str, ...]
    n_parameters: int = 0
    stratified: bool | str = ""
    adjusted: bool | str = ""
    check: Callable[..., tuple[Any, ...]] | None = None


def _months(name: str) -> Callable[..., tuple[Any, ...]]:
    def check(month: Any) -> tuple[Any, ...]:
        if not month > 0:
            raise ValueError(f"test {name!r} needs a positive month, got {month!r}")
        return (month,)

    return check


def _check_margin(margin: Any) -> tuple[Any, ...]:
    if not 0 <= margin < 1:
        raise ValueError(
            "the margin of test 'farrington_manning' must be between 0 and 1: a positive number by "
            f"which treatment may be worse, got {margin!r}. The null_value of a sample size is "
            "the difference under the null, minus the margin"
        )
    return (margin,)


def _check_spread(sd: Any) -> tuple[Any, ...]:
    if not 0 < sd < float("inf"):
        raise ValueError(f"test 'z_test' needs the known standard deviation, got {sd!r}")
    return (sd,)


def _check_weights(weights: Any) -> tuple[Any, ...]:
    return (tuple(_check_weight(weight) for weight in weights),)


def _check_weight(weight: Any) -> tuple[Any, ...]:
    name, *parameters = (weight,) if isinstance(weight, str) else tuple(weight)
    if name not in WEIGHTS:
        raise ValueError(f"weight {name!r} of max_combo is unknown{nearest(name, WEIGHTS)}")
    expected = TESTS[name].n_parameters
    if len(parameters) != expected:
        raise ValueError(f"weight {name!r} takes {expected} parameter(s), got {parameters}")
    return (name, *parameters)


#: Test name → what it can do. Further ones by
#: :func:`trial_sim.engine.analysis_registry.register_test`.
TESTS: dict[str, Statistic] = {
    "logrank": Statistic((TIME, "competing_risks"), stratified=True, adjusted="cox"),
    "fleming_harrington": Statistic((TIME,), 2, stratified=True, adjusted="cox"),
    "magirr_burman": Statistic((TIME,), 1, stratified=True, adjusted="cox"),
    "modestly_weighted": Statistic((TIME,), 1, stratified=True, adjusted="cox"),
    "max_combo": Statistic((TIME,), 1, stratified=True, adjusted="cox", check=_check_weights),
    "cox": Statistic((TIME, "competing_risks"), stratified=True, adjusted=True),
    "rmst": Statistic((TIME,), 1, stratified=True, adjusted="cox", check=_months("rmst")),
    "milestone": Statistic((TIME,), 1, stratified=True, adjusted="cox", check=_months("milestone")),
    "gray": Statistic(("competing_risks",)),
    "lwyy": Statistic(("recurrent",)),
    "t_test": Statistic(("continuous", "longitudinal"), stratified="ancova", adjusted="ancova"),
    "welch": Statistic(("continuous", "longitudinal"), stratified="ancova", adjusted="ancova"),
    "z_test": Statistic(
        ("continuous",), 1, stratified="ancova", adjusted="ancova", check=_check_spread
    ),
    "ancova": Statistic(("continuous", "longitudinal"), stratified=True, adjusted=True),
    "chi_square": Statistic(("binary",), stratified="cmh"),
    "fisher": Statistic(("binary",), stratified="cmh"),
    "farrington_manning": Statistic(("binary",), 1, stratified="cmh", check=_check_margin),
    "cmh": Statistic(("binary",), stratified=True),
    "wilcoxon": Statistic(("ordinal",), stratified=True),
    "negative_binomial": Statistic(("count",), stratified=True, adjusted=True),
    "mmrm": Statistic(("longitudinal",), stratified=True, adjusted=True),
}


def tests_for(kind: str) -> tuple[str, ...]:
    """Names of the tests for outcomes of a kind."""
    return tuple(name for name, statistic in TESTS.items() if kind in statistic.kinds)


def is_on_times(name: str) -> bool:
    """Whether a test is one of times to an event."""
    return TIME in TESTS[name].kinds


def check_margin(name: str, margin: Any) -> float | None:
    """A non-inferiority margin, or None.

    Raises:
        ValueError: a test that takes none, or a margin that is none.
    """
    if margin is None:
        return None
    if name not in (*RATIOS, *DIFFERENCES):
        own = "; its margin is a parameter of the test" if name == "farrington_manning" else ""
        raise ValueError(
            f"test {name!r} takes no margin{own}. Tests that do: "
            f"{', '.join((*RATIOS, *DIFFERENCES))}"
        )
    if isinstance(margin, bool) or not isinstance(margin, int | float) or not 0 < margin < 1e12:
        raise ValueError(
            "margin must be positive: a ratio (1.3), or the difference by which treatment may be "
            f"worse; got {margin!r}"
        )
    return float(margin)


def check_options(name: str, stratified: bool, adjust: tuple[str, ...]) -> None:
    """Raise ValueError if a test is asked to stratify or to adjust, and does not know how."""
    for wanted, option, what in (
        (stratified, "stratified", "stratified=True"),
        (bool(adjust), "adjusted", f"adjust={list(adjust)}"),
    ):
        known = getattr(TESTS[name], option)
        if wanted and known is not True:
            hint = f"; test {known!r} is" if known else ""
            able = ", ".join(k for k, other in TESTS.items() if getattr(other, option) is True)
            raise ValueError(
                f"{what} does not go with test {name!r}, which is not {option}{hint}. Tests that "
                f"are: {able}"
            )


def check_test(test: Any) -> Any:
    """A test as a name or a tuple of name and parameters.

    Raises:
        ValueError: for an unknown name, the wrong number of parameters or a senseless one.
    """
    name, *parameters = (test,) if isinstance(test, str) else tuple(test)
    if name not in TESTS:
        raise ValueError(f"test {name!r} is unknown{nearest(name, TESTS)}")
    statistic = TESTS[name]
    if len(parameters) != statistic.n_parameters:
        raise ValueError(
            f"test {name!r} takes {statistic.n_parameters} parameter(s), got {parameters}"
        )
    if statistic.check is not None:
        parameters = list(statistic.check(*parameters))
    return name if not parameters else (name, *parameters)
