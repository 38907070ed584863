"""What earlier predictions would have said: the trial cut at past months, predicted, compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.design.design import Design
from trial_sim.prediction.dates import month_of
from trial_sim.prediction.predicting import predict
from trial_sim.prediction.reading.ongoing import OngoingTrial
from trial_sim.prediction.reading.recurrences import OngoingRecurrences
from trial_sim.prediction.reading.responses import OngoingResponses

_FEWEST = 5  # patients, below which no cut is predicted


def backtest(
    trial_so_far: Any,
    design: Design,
    cuts: Sequence[Any] | None = None,
    *,
    events: Sequence[int] | None = None,
    patients: Sequence[int] | None = None,
    n_draws: int = 400,
    level: float = 0.9,
    seed: int = 0,
    progress: bool = False,
    **options: Any,
) -> pd.DataFrame:
    """Predict a trial from what was known at past months, and compare with what came.

    Args:
        trial_so_far, design: as in :func:`trial_sim.predict`; times to an event.
        cuts: past months or dates; five, evenly spaced, if None.
        events, patients: numbers reached since, whose dates are compared; four each, evenly
            spaced, by default.
        n_draws, level, seed: as in :func:`trial_sim.predict`.
        progress: whether to show a progress bar.
        **options: further arguments of ``predict``; those that read the table, too.

    Returns:
        one row a cut and milestone: cut, counted, number, month predicted (median, lower, upper),
        month it came, ``inside`` the band, ``error`` in months. ``attrs["coverage"]`` and
        ``attrs["bias"]`` sum it up by what is counted.

    Raises:
        ValueError, TypeError: as ``predict``; for cuts outside the past, or before five patients.

    Examples:
        >>> import numpy as np
        >>> import pandas as pd
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=15),
        ...     looks=ts.EventLooks([100]),
        ... )
        >>> rng = np.random.default_rng(0)
        >>> entered = np.sort(rng.uniform(0, 10, 150))
        >>> time = rng.exponential(15.0, 150)
        >>> so_far = pd.DataFrame(
        ...     {
        ...         "enrolment": entered,
        ...         "time": np.minimum(time, 10 - entered),
        ...         "event": time <= 10 - entered,
        ...     }
        ... )
        >>> table = ts.backtest(so_far, design, [6.0], cutoff=10.0, n_draws=50)
        >>> table[["cut", "counted"]].drop_duplicates().to_numpy().tolist()
        [[6.0, 'patients'], [6.0, 'events']]
    """
    reading = (
        "cutoff", "opened", "columns", "time_unit", "lag", "last_seen", "covariates", "recurrences",
    )  # fmt: skip
    how = {name: options.pop(name) for name in reading if name in options}
    whole = predict(trial_so_far, design, n_draws=2, seed=seed, enrolment="constant", **how).trial
    if isinstance(whole, OngoingResponses):
        raise TypeError("backtest is for times to an event, not for responses")
    past = _months(cuts, whole)
    came = {
        "patients": whole.enrolment, "events": whole.event_months,
    }  # fmt: skip
    rows = []
    from tqdm import tqdm

    for cut in tqdm(past, desc="cuts", disable=not progress):
        then = as_of(whole, float(cut))
        found = predict(then, design, n_draws=n_draws, level=level, seed=seed, **options)
        for counted, wanted in (("patients", patients), ("events", events)):
            seen = int((came[counted] <= cut).sum())
            for number in _numbers(wanted, seen, len(came[counted])):
                ask = found.month_of_patients if counted == "patients" else found.month_of_events
                months = ask(number)
                actual = float(came[counted][number - 1])
                rows.append(
                    {
                        "cut": float(cut), "counted": counted, "number": number, **months,
                        "actual": actual,
                        "inside": bool(months["lower"] <= actual <= months["upper"]),
                        "error": months["median"] - actual,
                    }
                )  # fmt: skip
    names = ["cut", "counted", "number", "median", "lower", "upper", "actual", "inside", "error"]
    table = pd.DataFrame(rows, columns=names)
    by = table.groupby("counted")
    table.attrs["coverage"] = by["inside"].mean().to_dict()
    table.attrs["bias"] = by["error"].median().to_dict()
    return table


def _months(cuts: Sequence[Any] | None, trial: OngoingTrial) -> list[float]:
    """The past months at which the trial is cut."""
    if cuts is None:
        first = float(trial.enrolment[min(_FEWEST, len(trial.enrolment)) - 1])
        return [float(m) for m in np.linspace(first, trial.cutoff, 7)[1:-1]]
    months = [month_of(cut, trial.opened, "cut") for cut in cuts]
    for month in months:
        if not 0 < month < trial.cutoff:
            raise ValueError(
                f"a cut must lie between the opening and the cut-off {trial.cutoff:.2f}, got "
                f"{month:.2f}"
            )
        if (trial.enrolment <= month).sum() < _FEWEST:
            raise ValueError(f"fewer than {_FEWEST} patients were enrolled by month {month:.2f}")
    return months


def _numbers(wanted: Sequence[int] | None, seen: int, reached: int) -> list[int]:
    """Numbers that came between the cut and now."""
    if wanted is not None:
        return [int(n) for n in wanted if seen < n <= reached]
    if reached == seen:
        return []
    return sorted({int(n) for n in np.linspace(seen, reached, 5)[1:]} - {seen})


def as_of(trial: OngoingTrial, month: float) -> OngoingTrial:
    """The trial as it was known at an earlier month."""
    there = trial.enrolment <= month
    followed = month - trial.enrolment[there]
    time = trial.time[there]
    over = time > followed
    sites = None if trial.sites is None else trial.sites[trial.sites <= month]
    own: dict[str, Any] = {}
    if isinstance(trial, OngoingRecurrences):
        known = trial.enrolment[trial.who] + trial.when <= month
        own = {"who": trial.who[known], "when": trial.when[known]}
    return replace(
        trial,
        **own,
        enrolment=trial.enrolment[there],
        arm=trial.arm[there],
        time=np.minimum(time, followed),
        event=trial.event[there] & ~over,
        dropout=trial.dropout[there] & ~over,
        cutoff=month,
        factors={name: codes[there] for name, codes in trial.factors.items()},
        sites=sites,
        rows=None if trial.rows is None else trial.rows[there],
        notes=(),
        competing=None if trial.competing is None else trial.competing[there] & ~over,
        covariates={name: values[there] for name, values in trial.covariates.items()},
    )
