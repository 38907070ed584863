"""What is expected of an ongoing trial: the record of a prediction, and what it can be asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from trial_sim.base.records import as_whole
from trial_sim.design.design import Design
from trial_sim.design.look_rules import EventLooks
from trial_sim.numerics.monte_carlo import Estimate
from trial_sim.prediction.assumptions import Change, Settings, changes_of
from trial_sim.prediction.dates import date_of, month_of
from trial_sim.prediction.page import chart, prediction_page
from trial_sim.prediction.prediction_tables import band, counts_by, quantile_of, summary
from trial_sim.prediction.reading.ongoing import OngoingTrial
from trial_sim.prediction.reading.responses import OngoingResponses
from trial_sim.prediction.saved import SavedPrediction, as_saved, compared
from trial_sim.statistics.survival_curves import kaplan_meier


def no_rules() -> pd.DataFrame:
    """The table of rules of a design that has none."""
    return pd.DataFrame(columns=["milestone", "rule", "probability", "mcse", "held"])


@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """What is expected of an ongoing trial. Made by :func:`trial_sim.predict`.

    Every date, number and chance comes from the same draws: each is a set of parameters, and the
    trial carried on patient by patient with them.

    Attributes:
        trial, design: what was predicted from. settings: models, priors and what is changed.
        looks: one row a look still to come: look, probability that it is reached, month (median,
            lower, upper; inf: never), days from the cut-off, calendar dates if known, and the
            Monte-Carlo error of each month.
        enrolment: month at which enrolment completes: the same.
        curve: month (and date), and mean, median, lower, upper of patients and events (for
            endpoints that are not times, here and below: known responses).
        probability_of_success: share of continued trials that reject in favour of an arm,
            parameters drawn.
        conditional_power: the same with parameters fixed, by assumption: ``trend`` (estimates),
            ``null`` (no difference, pooled), ``design`` (if design outcomes were given).
        fits: fitted models of events (or responses), dropout and enrolment. level: of the bands.
        rules: of an adaptive design, one row a rule: milestone, rule, chance that it fires with its
            Monte-Carlo error, and whether the milestone is over. ``looks`` then says how likely
            each milestone is held; dates of events and patients are those under the rules.

    Examples:
        >>> import numpy as np
        >>> import pandas as pd
        >>> import trial_sim as ts
        >>> design = ts.Design(
        ...     arms={"control": 1, "treatment": 1},
        ...     n_patients=200,
        ...     accrual=ts.Accrual(rate=20),
        ...     looks=ts.EventLooks([60, 120]),
        ... )
        >>> rng = np.random.default_rng(0)
        >>> entered = np.sort(rng.uniform(0, 10, 150))
        >>> time = rng.exponential(17.0, 150)
        >>> so_far = pd.DataFrame(
        ...     {
        ...         "enrolment": entered,
        ...         "time": np.minimum(time, 12 - entered),
        ...         "event": time <= 12 - entered,
        ...         "arm": ["control", "treatment"] * 75,
        ...     }
        ... )
        >>> expected = ts.predict(so_far, design, cutoff=12.0, opened="2026-01-01", n_draws=200)
        >>> sorted(expected.month_of_events(60)), expected.date(12.0).year
        (['lower', 'median', 'upper'], 2027)
        >>> 0 <= expected.probability_of_events(60, month="2027-09-01") <= 1
        True
        >>> sorted(expected.month_of_patients(200)) == sorted(expected.events_at(20.0))
        False
        >>> expected.patients_at("2027-06-01")["median"] > 150
        True
        >>> round(expected.month("2026-12-31"), 2), expected.counted
        (11.96, 'events')
        >>> expected.probability_of_patients(150, 12.0), expected.saved().patients
        (1.0, 150)
        >>> expected.milestones(events=[100])["milestone"].tolist()
        ['200 patients', '60 events', '120 events', '100 events']
        >>> faster = expected.what_if(enrolment_rate=2.0, hazard_ratio=0.6)
        >>> faster.enrolment["month_median"] < expected.enrolment["month_median"]
        True
        >>> grid = expected.decide({"enrolment_rate": [1.0, 2.0]}, events=120)
        >>> grid["enrolment_rate"].tolist()
        [1.0, 2.0]
        >>> sorted(expected.models["quantity"].unique())
        ['dropout', 'enrolment', 'events']
        >>> expected.fit["group"].unique().tolist(), len(expected.ratios)
        (['control', 'treatment'], 0)
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     saved = expected.save(Path(folder) / "month.json")
        ...     changed = expected.compare(saved)
        ...     page = expected.to_html(Path(folder) / "page.html", earlier=saved)
        >>> changed["months_later"].fillna(0.0).unique().tolist(), page[:15]
        ([0.0], '<!DOCTYPE html>')
        >>> expected.plot().get_ylabel()
        'number'
    """

    trial: OngoingTrial
    design: Design
    settings: Settings
    looks: pd.DataFrame
    enrolment: dict[str, Any]
    curve: pd.DataFrame
    probability_of_success: Estimate | None
    conditional_power: dict[str, Estimate]
    fits: dict[str, Any]
    level: float
    _patients: np.ndarray
    _events: np.ndarray
    _again: Callable[[Change], Prediction]
    rules: pd.DataFrame = field(default_factory=no_rules)

    def __repr__(self) -> str:
        """Looks, enrolment and chances of success in a screenful; nobody's arm."""
        lines = [
            f"Prediction at {self._at(self.trial.cutoff)}: {len(self.trial.time)} of "
            f"{self.design.n_patients} patients, {self.trial.n_events} {self.counted}"
            + (", blinded" if self.trial.blinded else "")
        ]
        if self.settings.change.in_words:
            lines.append(f"  changed from the cut-off on: {self.settings.change.in_words}")
        if len(self.trial.time) < self.design.n_patients:
            lines.append(f"  enrolment complete: {self._when(self.enrolment)}")
        for row in self.looks.to_dict("records"):
            lines.append(
                f"  look {row['look']}: {self._when(row)}; reached in "
                f"{100 * row['probability_reached']:.0f} % of the draws"
            )
        if self.looks.empty:
            lines.append("  all looks have been held")
        lines.append(
            f"  in brackets: {100 * self.level:g} % bands from {len(self._events):,} draws"
        )
        if self.probability_of_success is not None:
            chance = self.probability_of_success
            lines.append(
                f"  probability of success {chance.estimate:.3f} (Monte-Carlo error "
                f"{chance.mcse:.3f})"
            )
        for name, value in self.conditional_power.items():
            lines.append(f"  conditional power, {name}: {value.estimate:.3f}")
        for row in self.rules.to_dict("records"):
            when = "fired" if row["held"] else "fires"
            share = f"{100 * row['probability']:.0f} %"
            if row["held"]:
                share = "yes" if row["probability"] > 0.5 else "no"
            lines.append(f"  {row['milestone']}, {row['rule']}: {when}: {share}")
        for what in ("events", "rates", "enrolment"):
            mine = self.models[self.models["quantity"] == what]
            if len(mine):
                top = ", ".join(
                    f"{row['model']} {100 * row['weight']:.0f} %"
                    for row in mine.head(3).to_dict("records")
                )
                lines.append(f"  {what}: {top}")
        lines += [f"  note: {note}" for note in self.trial.notes]
        return "\n".join(lines)

    @property
    def counted(self) -> str:
        """What is counted: ``events``, or ``known responses``."""
        return "known responses" if isinstance(self.trial, OngoingResponses) else "events"

    def _at(self, month: float) -> str:
        date = self.date(month)
        return f"month {month:.2f}" + ("" if date is None else f" ({date:%Y-%m-%d})")

    def _when(self, row: Mapping[Any, Any]) -> str:
        """Median and band of a month, as dates where the opening is known."""
        text = []
        for name in ("median", "lower", "upper"):
            month = row[f"month_{name}"]
            date = self.date(month) if np.isfinite(month) else None
            shown = "never" if not np.isfinite(month) else f"{month:.1f}"
            text.append((shown, None if date is None else f"{date:%Y-%m-%d}"))
        (median, day), (lower, first), (upper, last) = text
        if median == "never":
            return f"not reached in most draws (earliest {lower})"
        found = f"month {median} ({lower} to {upper})"
        return found if day is None else f"{found}, {day} ({first} to {last or 'never'})"

    def date(self, month: float) -> pd.Timestamp | None:
        """Calendar date of a month, if the trial's opening date is known."""
        return date_of(self.trial.opened, month)

    def month(self, date: Any) -> float:
        """Month since the opening of a date (a number is taken as a month)."""
        return month_of(date, self.trial.opened, "date")

    def month_of_events(self, events: int) -> dict[str, float]:
        """Month by which ``events`` events (or known responses) are there: median, lower, upper.

        That of the data where so many are there already; inf where the draws that never get there
        are too many for the quantile.
        """
        return self._months(self._kth(self._events, events, "events"))

    def month_of_patients(self, patients: int) -> dict[str, float]:
        """Month by which ``patients`` patients are enrolled: median, lower, upper."""
        return self._months(self._kth(self._patients, patients, "patients"))

    def _kth(self, ordered: np.ndarray, number: Any, what: str) -> np.ndarray:
        wanted = as_whole(number, what, 0)
        if wanted == 0:
            return np.zeros(len(ordered))
        if wanted > ordered.shape[1]:
            return np.full(len(ordered), np.inf)
        return ordered[:, wanted - 1]

    def _months(self, months: np.ndarray) -> dict[str, float]:
        return {name: quantile_of(months, p)[0] for name, p in band(self.level)}

    def probability_of_events(self, events: int, month: Any) -> float:
        """Chance of at least ``events`` events (or known responses) in all by ``month``.

        Args:
            events: total, those seen included. month: since the opening, or a date.
        """
        by = self._within(month)
        return float((self._kth(self._events, events, "events") <= by).mean())

    def probability_of_patients(self, patients: int, month: Any) -> float:
        """Chance that at least ``patients`` are enrolled by a month or date."""
        by = month_of(month, self.trial.opened, "month")
        return float((self._kth(self._patients, patients, "patients") <= by).mean())

    def events_at(self, month: Any) -> dict[str, float]:
        """Number of events (or known responses) by a month or date: mean, median, lower, upper."""
        return self._number(self._events, self._within(month))

    def patients_at(self, month: Any) -> dict[str, float]:
        """Number of patients by a month or date: mean, median, lower, upper."""
        return self._number(self._patients, month)

    def _within(self, month: Any) -> float:
        """A month, checked against that up to which recurrent events are drawn."""
        by = month_of(month, self.trial.opened, "month")
        last = self.fits.get("horizon", np.inf)
        if by > last + 1e-9:
            raise ValueError(
                f"recurrent events are drawn up to month {last:.1f}, got {by:.1f}: a later look of "
                "the design, or its max_duration, draws more"
            )
        return by

    def _number(self, ordered: np.ndarray, month: Any) -> dict[str, float]:
        by = month_of(month, self.trial.opened, "month")
        counts = counts_by(ordered, np.array([by]))[:, 0]
        found = {name: float(np.quantile(counts, p)) for name, p in band(self.level)}
        return {"mean": float(counts.mean()), **found}

    def milestones(self, events: Sequence[int] = (), patients: Sequence[int] = ()) -> pd.DataFrame:
        """One row a milestone: enrolment complete, the events of the looks, and others asked for.

        Columns as in ``looks``, with ``milestone`` in words, ``number`` and ``counted``, and
        ``reached``: whether the data have it already.
        """
        looks = self.design.looks
        own = list(looks.events) if isinstance(looks, EventLooks) else []
        wanted = [("patients", n) for n in dict.fromkeys([self.design.n_patients, *patients])]
        wanted += [("events", n) for n in dict.fromkeys([*own, *events])]
        rows = []
        for what, number in wanted:
            ordered = self._patients if what == "patients" else self._events
            months = self._kth(ordered, number, what)
            seen = len(self.trial.time) if what == "patients" else self.trial.n_events
            words = self.counted if what == "events" else what
            rows.append(
                {
                    "milestone": f"{number} {words}", "number": int(number), "counted": what,
                    "reached": bool(number <= seen),
                    "probability_reached": float(np.isfinite(months).mean()),
                    **summary(self.trial, months, self.level),
                }
            )  # fmt: skip
        return pd.DataFrame(rows)

    def what_if(self, **changes: Any) -> Prediction:
        """The prediction if something changed at the cut-off, with the same random numbers.

        Args:
            **changes: ``enrolment_rate``, ``event_rate``, ``dropout_rate`` (factors), ``sites``
                (month or date → sites that open then), ``hazard_ratio`` (a number, or by arm).

        Raises:
            TypeError, ValueError: for an unknown change or value.
        """
        if isinstance(changes.get("sites"), Mapping):
            changes["sites"] = {self.month(m): n for m, n in changes["sites"].items()}
        return self._again(changes_of(changes))

    def decide(
        self, changes: Mapping[str, Sequence[Any]], events: int | None = None
    ) -> pd.DataFrame:
        """A grid of changes with what comes of each: end of enrolment, an event's date, success.

        Args:
            changes: name of a change of :meth:`what_if` → values, all combinations of which are
                taken. events: whose date is shown; the last look's by default.
        """
        grid = pd.MultiIndex.from_product([list(v) for v in changes.values()], names=list(changes))
        wanted = events
        if wanted is None and isinstance(self.design.looks, EventLooks):
            wanted = self.design.looks.events[-1]
        rows = []
        for values in grid:
            chosen = dict(zip(changes, values))
            found = self.what_if(**chosen)
            row = {**chosen, "enrolment_complete": found.enrolment["month_median"]}
            if wanted is not None:
                months = found.month_of_events(wanted)
                row |= {f"{wanted}_{self.counted}_{k}": v for k, v in months.items()}
            if found.probability_of_success is not None:
                row["probability_of_success"] = found.probability_of_success.estimate
                row["mcse"] = found.probability_of_success.mcse
            rows.append(row)
        return pd.DataFrame(rows)

    @property
    def models(self) -> pd.DataFrame:
        """One row a model that was weighed: quantity, model, weight, log evidence, and more."""
        parts = []
        for what in ("events", "rates", "competing", "dropout", "enrolment"):
            fit = self.fits.get(what)
            if fit is not None:
                parts.append(fit.table.assign(quantity=what))
        table = pd.concat(parts, ignore_index=True)
        first = ["quantity", "model", "weight", "log_evidence"]
        return table[[*first, *(c for c in table if c not in first)]]

    @property
    def ratios(self) -> pd.DataFrame:
        """One row a stratum or covariate: kind of event, column, hazard ratio and its band.

        Of a covariate that is a number, the ratio is that of one unit more; of an indicator, that
        of a patient who has it; of a stratum, over the middle of the strata.
        """
        rows = []
        for of, found in self.fits.get("ratios", {}).items():
            errors = np.sqrt(np.diag(found.covariance)) / found.scale
            width = ndtri((1 + self.level) / 2) * errors
            logs = found.estimate / found.scale
            for name, *ratio in zip(found.names, *np.exp([logs, logs - width, logs + width])):
                rows.append((of, name, *ratio))
        return pd.DataFrame(rows, columns=["of", "column", "hazard_ratio", "lower", "upper"])

    @property
    def fit(self) -> pd.DataFrame:
        """The fitted survival beside Kaplan and Meier's, by group and month of follow-up.

        Empty for endpoints that are not times.
        """
        names = ["group", "month", "kaplan_meier", "lower", "upper", "fitted"]
        fitted = self.fits.get("events")
        if fitted is None:
            return pd.DataFrame(columns=names)
        hazards, ratios = fitted.estimate(), self.fits["ratios"].get("events")
        relative = np.ones(len(self.trial.time))
        if ratios is not None:
            relative = ratios.of_patients(ratios.estimate)
        rows = []
        for g, group in enumerate(fitted.groups):
            mine = np.ones(len(self.trial.arm), bool) if self.trial.blinded else self.trial.arm == g
            if not self.trial.event[mine].any():
                continue
            seen = kaplan_meier(self.trial.time[mine], self.trial.event[mine].astype(int))
            last = float(self.trial.time[mine].max())
            months = np.linspace(0.0, last, 25)[1:]
            place = np.searchsorted(seen.time, months, side="right") - 1
            for month, k in zip(months, place):
                values = (1.0, 1.0, 1.0)
                if k >= 0:
                    values = (seen.survival[k], seen.lower[k], seen.upper[k])
                cumulative = hazards.at(np.array([month]))[0, g, 0]
                survival = np.exp(-cumulative * relative[mine]).mean()
                rows.append((group, month, *map(float, values), survival))
        return pd.DataFrame(rows, columns=names)

    def saved(self) -> SavedPrediction:
        """What may be kept for next month: dates, curves, models and chances; no patient."""
        success = self.probability_of_success
        return SavedPrediction(
            cutoff=float(self.trial.cutoff),
            opened=None if self.trial.opened is None else str(self.trial.opened),
            level=self.level,
            patients=len(self.trial.time),
            events=self.trial.n_events,
            milestones=self.milestones(),
            curve=self.curve.drop(columns="date", errors="ignore"),
            models=self.models[["quantity", "model", "weight", "log_evidence"]],
            probability_of_success=None if success is None else success.estimate,
            conditional_power={k: v.estimate for k, v in self.conditional_power.items()},
            change=self.settings.change.in_words,
            notes=self.trial.notes,
        )

    def save(self, path: str | Path) -> SavedPrediction:
        """Write :meth:`saved` as JSON, for ``compare`` in a later month; returns it."""
        kept = self.saved()
        kept.to_json(path)
        return kept

    def compare(self, earlier: Any) -> pd.DataFrame:
        """What has changed since an earlier prediction: one row a milestone, months and shift.

        Args:
            earlier: a :class:`SavedPrediction`, its file, or a :class:`Prediction`.
        """
        return compared(as_saved(earlier), self.saved())

    def to_html(self, path: str | Path | None = None, earlier: Any = None) -> str:
        """A page: dates, forecast fan, fit against Kaplan and Meier; written to ``path`` if given.

        earlier: last month's prediction (or its file), whose forecasts are drawn and compared.
        """
        before = None if earlier is None else as_saved(earlier)
        return prediction_page(self, before, path)

    def plot(self, ax: Any = None, earlier: Any = None) -> Any:
        """Enrolment and events, observed and predicted with bands, by date; returns the Axes.

        earlier: last month's prediction, drawn beside.
        """
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
        return chart(self, ax, None if earlier is None else as_saved(earlier))
