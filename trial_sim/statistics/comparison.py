"""The frozen records that tests and estimators return."""

from dataclasses import dataclass, field
from math import inf, isfinite, nan

from scipy.special import ndtr, ndtri, stdtr, stdtrit


@dataclass(frozen=True)
class Comparison:
    """Comparison of group 1 with group 0.

    Attributes:
        test: name of the test.
        z: test statistic, positive where group 1 does better; a t statistic where ``df`` is finite,
            and for exact tests the normal quantile of the p-value.
        p_value: one-sided p-value against "group 1 is not better".
        estimate: estimated effect on the scale ``scale`` (group 1 against group 0), NaN if the test
            has none.
        se: standard error of the estimate.
        scale: what ``estimate`` is, for example "log hazard ratio".
        df: degrees of freedom of the reference t distribution; infinite for the normal.
        n: number of patients used.
        n_events: number of events used, where the endpoint has events.
        p_value_two_sided: two-sided p-value, 2·min(p, 1 − p) unless the test defines its own.

    Examples:
        >>> import trial_sim as ts
        >>> result = ts.logrank([2, 4, 6, 3, 7, 9], [1, 1, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1])
        >>> result.test, result.n, result.n_events, round(result.z, 3)
        ('log-rank', 6, 4, 1.291)
        >>> round(result.chi_square, 3)
        1.667
        >>> import trial_sim.statistics as statistics
        >>> means = statistics.t_test([1.0, 2, 3, 4, 5, 7], [0, 0, 0, 1, 1, 1])
        >>> [round(x, 2) for x in means.interval(0.9)]
        [1.09, 5.58]
    """

    test: str
    z: float
    p_value: float
    estimate: float = nan
    se: float = nan
    scale: str = ""
    df: float = inf
    n: int = 0
    n_events: int | None = None
    p_value_two_sided: float = nan

    def __post_init__(self) -> None:
        if not 0.0 <= self.p_value <= 1.0:
            raise ValueError(f"p_value must be in [0, 1], got {self.p_value}.")
        if self.p_value_two_sided != self.p_value_two_sided:
            two_sided = 2.0 * min(self.p_value, 1.0 - self.p_value)
            object.__setattr__(self, "p_value_two_sided", two_sided)

    @property
    def chi_square(self) -> float:
        """Square of the statistic, as printed by programs that test without a direction."""
        return self.z * self.z

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Two-sided Wald interval of the estimate.

        Args:
            level: coverage, in (0, 1).

        Raises:
            ValueError: if level is outside (0, 1) or the test has no estimate.
        """
        if not 0.0 < level < 1.0:
            raise ValueError(f"level must be between 0 and 1, got {level}.")
        if not isfinite(self.se):
            raise ValueError(f"{self.test} has no estimate with a standard error.")
        upper = 0.5 + level / 2.0
        quantile = float(stdtrit(self.df, upper)) if isfinite(self.df) else float(ndtri(upper))
        return self.estimate - quantile * self.se, self.estimate + quantile * self.se

    def __str__(self) -> str:
        name = "z" if not isfinite(self.df) else f"t({self.df:.4g})"
        text = f"{self.test}: {name} = {self.z:.4f}, one-sided p = {self.p_value:.4g}"
        if isfinite(self.estimate):
            text += f"; {self.scale} {self.estimate:.5g}"
            if isfinite(self.se):
                low, high = self.interval()
                text += f" (SE {self.se:.4g}; 95 % {low:.4g} to {high:.4g})"
        text += f"; n = {self.n}"
        if self.n_events is not None:
            text += f", events = {self.n_events}"
        return text


@dataclass(frozen=True)
class MaxCombo(Comparison):
    """MaxCombo test: the largest of several weighted log-rank statistics.

    Attributes:
        components: z of each weight, in the order given.
        correlation: their correlation matrix under the null hypothesis, row by row.
        weights: the weights as given.

    Examples:
        >>> import trial_sim as ts
        >>> time, event, group = (
        ...     [2, 4, 6, 8, 3, 7, 9, 12],
        ...     [1, 1, 1, 1, 1, 1, 0, 0],
        ...     [0, 0, 0, 0, 1, 1, 1, 1],
        ... )
        >>> result = ts.max_combo(
        ...     time, event, group, weights=["logrank", ("fleming_harrington", 0, 1)]
        ... )
        >>> [round(z, 2) for z in result.components]
        [1.34, 1.36]
    """

    components: tuple[float, ...] = ()
    correlation: tuple[tuple[float, ...], ...] = field(default=(), repr=False)
    weights: tuple[str | tuple[str | float, ...], ...] = field(default=(), repr=False)


def upper_tail(statistic: float, df: float = inf) -> float:
    """P(T > statistic) for Student's t with df degrees of freedom, or the normal if infinite."""
    return float(stdtr(df, -statistic)) if isfinite(df) else float(ndtr(-statistic))
