"""Predictions as kept from month to month: a file without patients, and what has changed since."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trial_sim.base.output_places import write_text
from trial_sim.base.plain_yaml import read_plain_json
from trial_sim.base.provenance import environment
from trial_sim.prediction.dates import date_of, months_between

_TABLES = ("milestones", "curve", "models")
_VERSION = 1
_NEEDED = (
    "milestone", "number", "counted", "reached", "month_median", "month_lower", "month_upper",
)  # fmt: skip
_KINDS: dict[str, Any] = {
    "cutoff": (int, float), "level": (int, float), "patients": int, "events": int,
    "opened": (str, type(None)), "conditional_power": Mapping, "change": str, "notes": list,
    "probability_of_success": (int, float, type(None)),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class SavedPrediction:
    """A prediction as it was saved: dates, curves, models and chances; no patient.

    Attributes:
        cutoff: month of the data cut. opened: date of month 0 as text, or None. level: of bands.
        patients, events: seen by then. milestones, curve, models: as in ``Prediction``.
        probability_of_success, conditional_power: estimates. change: what was supposed to change.
        notes: what was taken for granted.
    """

    cutoff: float
    opened: str | None
    level: float
    patients: int
    events: int
    milestones: pd.DataFrame
    curve: pd.DataFrame
    models: pd.DataFrame
    probability_of_success: float | None
    conditional_power: Mapping[str, float]
    change: str
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        return (
            f"SavedPrediction(month {self.cutoff:.2f}: {self.patients} patients, {self.events} "
            f"events, {len(self.milestones)} milestones)"
        )

    def date(self, month: float) -> pd.Timestamp | None:
        """Calendar date of a month, if the opening is known."""
        return date_of(None if self.opened is None else pd.Timestamp(self.opened), month)

    def to_json(self, path: str | Path | None = None) -> str:
        """JSON text, written to ``path`` too if given."""
        values: dict[str, Any] = {"type": "Prediction", "version": _VERSION}
        for item in fields(self):
            value = getattr(self, item.name)
            values[item.name] = _plain(value)
        values["made"] = environment()
        text = json.dumps(values, indent=1)
        if path is not None:
            write_text(path, text + "\n")
        return text

    @classmethod
    def from_json(cls, source: str | Path) -> SavedPrediction:
        """Read JSON text, or the file at a path.

        Raises:
            ValueError: for something else than a saved prediction.
        """
        text = str(source)
        if isinstance(source, Path) or not text.lstrip().startswith("{"):
            text = Path(source).read_text(encoding="utf-8")
        values = read_plain_json(text)
        if not isinstance(values, Mapping) or values.get("type") != "Prediction":
            raise ValueError("the file holds no saved prediction (its type is not 'Prediction')")
        if values.get("version") != _VERSION:
            raise ValueError(
                f"the prediction is of version {values.get('version')!r}, expected {_VERSION}"
            )
        found: dict[str, Any] = {}
        for item in fields(cls):
            if item.name not in values:
                raise ValueError(f"the saved prediction has no {item.name!r}")
            found[item.name] = values[item.name]
        for name in _TABLES:
            found[name] = _table(found[name], name)
        for name, kind in _KINDS.items():
            if isinstance(found[name], bool) or not isinstance(found[name], kind):
                raise ValueError(f"{name} of the saved prediction cannot be {found[name]!r}")
        lacking = {*_NEEDED} - {*found["milestones"].columns}
        if lacking:
            raise ValueError(f"milestones of the saved prediction have no {sorted(lacking)[0]!r}")
        found["notes"] = tuple(found["notes"])
        return cls(**found)


def load_prediction(path: str | Path) -> SavedPrediction:
    """Read a prediction that ``Prediction.save`` wrote, to compare a later one with it.

    Args:
        path: of the file.

    Raises:
        ValueError: for something else than a saved prediction.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> import pandas as pd
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=80,
        ...     accrual=ts.Accrual(rate=10),
        ...     looks=ts.EventLooks([40]),
        ... )
        >>> entered = np.arange(50) * 0.1
        >>> so_far = pd.DataFrame({"enrolment": entered, "time": 5 - entered, "event": 0})
        >>> so_far.loc[::5, ["time", "event"]] = 0.0, 1
        >>> found = ts.predict(so_far, design, cutoff=5.0, n_draws=50)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = found.save(Path(folder) / "may.json")
        ...     ts.load_prediction(Path(folder) / "may.json")
        SavedPrediction(month 5.00: 50 patients, 10 events, 2 milestones)
        >>> kept = found.saved()
        >>> type(kept).from_json(kept.to_json()).events, kept.date(5.0)
        (10, None)
    """
    return SavedPrediction.from_json(Path(path))


def as_saved(value: Any) -> SavedPrediction:
    """An earlier prediction, from a file, a saved or a whole one."""
    if isinstance(value, SavedPrediction):
        return value
    if isinstance(value, str | Path):
        return load_prediction(value)
    if hasattr(value, "saved"):
        return as_saved(value.saved())
    raise TypeError(f"an earlier prediction must be a file or a Prediction, got {value!r}")


def compared(earlier: SavedPrediction, now: SavedPrediction) -> pd.DataFrame:
    """Months of milestones then and now, and whether what has come true lay in the band.

    Months are since the opening of the later prediction.

    Raises:
        ValueError: if the earlier prediction is the later one.
    """
    shift = 0.0
    if earlier.opened is not None and now.opened is not None:
        day = np.array([np.datetime64(pd.Timestamp(earlier.opened))])
        shift = float(months_between(pd.Timestamp(now.opened), day)[0])
    if earlier.cutoff + shift > now.cutoff + 1e-9:
        raise ValueError(
            f"the earlier prediction is of month {earlier.cutoff + shift:.2f}, after this one's "
            f"{now.cutoff:.2f}"
        )
    before = earlier.milestones.set_index(["counted", "number"])
    rows = []
    for row in now.milestones.to_dict("records"):
        key = (row["counted"], row["number"])
        if key not in before.index:
            continue
        old = before.loc[key]
        then = {k: float(old[f"month_{k}"]) + shift for k in ("median", "lower", "upper")}
        month = float(row["month_median"])
        came = bool(row["reached"]) and not bool(old["reached"])
        inside = None
        if came:
            inside = bool(then["lower"] <= month <= then["upper"])
        found = {
            "milestone": row["milestone"], "reached": bool(row["reached"]),
            **{f"earlier_{k}": v for k, v in then.items()},
            **{f"now_{k}": float(row[f"month_{k}"]) for k in ("median", "lower", "upper")},
            "months_later": month - then["median"] if np.isfinite(then["median"]) else np.nan,
            "inside_earlier_band": inside,
        }  # fmt: skip
        for name in ("earlier_median", "now_median"):
            date = now.date(found[name])
            if date is not None:
                found[f"date_{name}"] = date
        rows.append(found)
    return pd.DataFrame(rows)


def _plain(value: Any) -> Any:
    if isinstance(value, pd.DataFrame):
        return {str(c): [_plain(v) for v in value[c]] for c in value}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is pd.NaT or (isinstance(value, float) and not np.isfinite(value)):
        return None
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}"
    return value


def _table(values: Any, name: str) -> pd.DataFrame:
    if not isinstance(values, Mapping) or len({len(v) for v in values.values()}) > 1:
        raise ValueError(f"{name} of the saved prediction is no table")
    table = pd.DataFrame(dict(values))
    try:
        return _typed(table)
    except OverflowError as error:
        raise ValueError(f"{name} of the saved prediction has a number out of range") from error


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    for column in table:
        if str(column).startswith("date_"):
            table[column] = pd.to_datetime(table[column])
        elif str(column).startswith(("month", "days_", "mcse_", "events_", "patients_")):
            # JSON has no infinity: a month that is missing is one that never comes.
            empty = np.nan if str(column).startswith("mcse_") else np.inf
            table[column] = table[column].astype(float).fillna(empty)
    return table
