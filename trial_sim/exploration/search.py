"""Searches over what-if tables: cheapest design, value of levers, worst-case type I error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from trial_sim.base.arguments import nearest

if TYPE_CHECKING:
    from trial_sim.exploration.what_if_result import WhatIf

_PRICED = {
    "patients": "expected_patients",
    "months": "expected_duration",
    "events": "expected_events",
}


def cheapest(
    found: WhatIf,
    power: float,
    max_duration: float | None,
    cost: str | Mapping[str, float],
    certain: bool,
) -> pd.Series:
    """See :meth:`WhatIf.cheapest`."""
    if not 0 < power < 1:
        raise ValueError(f"power must be between 0 and 1, got {power!r}")
    rows = found.table
    for name in found.assumptions:
        planned = found.base[name]
        as_planned = np.array([value == planned for value in rows[name]], dtype=bool)
        if not as_planned.any():
            raise ValueError(
                f"{name!r} is an assumption, not a choice of the design: vary it through its "
                f"planned value {planned!r} too, or not at all"
            )
        rows = rows[as_planned]
    rows = rows.copy()
    if isinstance(cost, str):
        if cost not in rows.columns:
            raise ValueError(f"the table has no column {cost!r}{nearest(cost, rows.columns)}")
        rows["cost"] = rows[cost]
    else:
        for name in cost:
            if name not in _PRICED:
                raise ValueError(f"there is no price for {name!r}{nearest(name, _PRICED)}")
        rows["cost"] = sum(price * rows[_PRICED[name]] for name, price in cost.items())
    strong = rows["power_lower" if certain else "power"] >= power
    quick = rows["expected_duration"] <= (np.inf if max_duration is None else max_duration)
    fit = rows[strong & quick]
    if fit.empty:
        best = rows["power"].max() if not quick.any() else rows.loc[quick, "power"].max()
        raise ValueError(
            f"no design has a power of {power:g}"
            + (f" within {max_duration:g} months" if max_duration is not None else "")
            + f"; the best power{' in time' if quick.any() else ''} is {best:.3f} and the shortest "
            f"duration {rows['expected_duration'].min():.1f} months"
        )
    return fit.iloc[int(fit["cost"].to_numpy().argmin())]


def levers(found: WhatIf) -> pd.DataFrame:
    """See :meth:`WhatIf.levers`.

    Columns: the change, power gained, patients and months it costs, and power per 100 patients and
    per month (NaN where a change costs none).
    """
    rows = []
    for changed, (_, row) in zip(found.changed, found.table.iterrows()):
        gain = row["power_difference"]
        patients = row["expected_patients_difference"]
        months = row["expected_duration_difference"]
        rows.append(
            {
                "change": ", ".join(f"{name}={row[name]}" for name in changed),
                "power_gain": gain,
                "power_gain_mcse": row["power_difference_mcse"],
                "extra_patients": patients,
                "extra_months": months,
                "power_per_100_patients": 100 * gain / patients if abs(patients) > 1e-9 else np.nan,
                "power_per_month": gain / months if abs(months) > 1e-9 else np.nan,
            }
        )
    return pd.DataFrame(rows)


def is_whole(table: pd.DataFrame, name: str) -> bool:
    """Whether a column holds whole numbers."""
    return pd.api.types.is_integer_dtype(table[name])
