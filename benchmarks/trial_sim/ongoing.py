"""Calibration of `predict` on ongoing trials: coverage of 80 and 95 % intervals, bias, speed.

    python -m benchmarks ongoing enrolment --n-trials 200    end of enrolment, by shape of the truth
    python -m benchmarks ongoing events --n-trials 200       200th and 300th event, by hazard
    python -m benchmarks ongoing recurrent --n-trials 60     numbers of recurrent events a year on
    python -m benchmarks ongoing success --n-trials 5        success against brute force
    python -m benchmarks ongoing rules --n-trials 5          the same where rules resize the trial
    python -m benchmarks ongoing speed                       seconds a call
    python -m benchmarks ongoing fuzz --n-calls 1000         answered, or refused in words
    python -m benchmarks ongoing tables --n-calls 500        shapes of tables, read or refused
    python -m benchmarks ongoing crashes --n-calls 10000     does the interpreter live?
Trials come from a simulator of numpy alone; predictions are default calls. With ``--quick`` the
same models are drawn 400 times, and neither success nor conditional power is found. ``--seed``
draws other trials. ``--prior-events 10`` lets the plan, which is right but for the shapes that are
not exponential, count as so many events (with ``--quick``).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

import trial_sim as ts
from benchmarks import stored
from trial_sim.numerics.random_streams import Streams
from trial_sim.prediction.assumptions import Settings
from trial_sim.prediction.event_prediction import rest_of_events
from trial_sim.prediction.reading.ongoing import read_ongoing

LEVELS = (0.8, 0.95)
CONTROL_MEDIAN, RATIO = 12.0, 0.7
PLAN = ts.PiecewiseExponential(control_median=CONTROL_MEDIAN, hazard_ratio=RATIO)


def accrual(rates: list[float], breakpoints: list[float]) -> ts.Accrual:
    return ts.Accrual(rate=rates, breakpoints=breakpoints)


# name: (truth, plan in the design, month of the data cut), 400 patients
ENROLMENT = {
    "constant": (ts.Accrual(rate=20), ts.Accrual(rate=20), 10.0),
    "constant, plan too fast": (ts.Accrual(rate=20), ts.Accrual(rate=30), 10.0),
    "ramp, as planned": (accrual([5, 10, 20, 30], [3, 6, 9]), None, 8.0),
    "ramp, plan constant": (accrual([5, 10, 15, 20, 25], [3, 6, 9, 12]), ts.Accrual(rate=25), 13.0),
    "slow-down": (accrual([35, 28, 22, 18, 15], [2, 4, 6, 8]), ts.Accrual(rate=25), 10.0),
    "sites closing": (accrual([30, 20], [7]), ts.Accrual(rate=30), 10.0),
    "sites closing, as planned": (accrual([30, 20], [12]), None, 8.0),
}  # fmt: skip


def exponential(u: np.ndarray, arm: np.ndarray) -> np.ndarray:
    return u * CONTROL_MEDIAN / np.log(2) / np.where(arm == 1, RATIO, 1.0)


def weibull(shape: float) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    scale = CONTROL_MEDIAN / np.log(2) ** (1 / shape)
    return lambda u, arm: scale * (u / np.where(arm == 1, RATIO, 1.0)) ** (1 / shape)


def delayed(u: np.ndarray, arm: np.ndarray) -> np.ndarray:
    rate, late = np.log(2) / CONTROL_MEDIAN, 4.0
    after = late + (u - rate * late) / (rate * np.where(arm == 1, 0.6, 1.0))
    return np.where(u < rate * late, u / rate, after)


def cured(u: np.ndarray, arm: np.ndarray) -> np.ndarray:
    """A share of .3 never has the event; the median of the others is 10 months."""
    shared = np.exp(-u)
    rest = (shared - 0.3) / 0.7
    with np.errstate(invalid="ignore", divide="ignore"):
        times = -np.log(rest) * 10.0 / np.log(2) / np.where(arm == 1, RATIO, 1.0)
    return np.where(rest > 0, times, np.inf)


# name: (times of unit exponentials, drop-out a month, events seen at the cut, blinded, patients)
EVENTS = {
    "exponential": (exponential, 0.005, 100, False, 500),
    "weibull .7": (weibull(0.7), 0.005, 100, False, 500),
    "weibull 1.4": (weibull(1.4), 0.005, 100, False, 500),
    "delayed effect": (delayed, 0.005, 100, False, 500),
    "cure 30 %": (cured, 0.005, 100, False, 600),
    "heavy drop-out": (exponential, 0.03, 100, False, 600),
    "10 events": (exponential, 0.005, 10, False, 500),
    "blinded": (exponential, 0.005, 100, True, 500),
    "blinded weibull 1.4": (weibull(1.4), 0.005, 100, True, 500),
    "45 events, weibull 1.4": (weibull(1.4), 0.005, 45, False, 500),
    "late, 150 events": (exponential, 0.005, 150, False, 500),
}


def arrivals(plan: ts.Accrual, n: int, random: np.random.Generator) -> np.ndarray:
    starts, rates = plan.pieces()
    reached = np.concatenate([[0.0], np.cumsum(rates[:-1] * np.diff(starts))])
    target = np.cumsum(random.exponential(1.0, n))
    k = np.searchsorted(reached, target, side="right") - 1
    return starts[k] + (target - reached[k]) / rates[k]


def simulated(
    random: np.random.Generator, n: int, plan: ts.Accrual, times: Any, dropout: float
) -> pd.DataFrame:
    """A whole trial: arm, month of enrolment, months to event and to drop-out."""
    arm = np.arange(n) % 2
    leaves = random.exponential(1 / dropout, n) if dropout else np.full(n, np.inf)
    latent = times(random.exponential(1.0, n), arm)
    entered = arrivals(plan, n, random)
    return pd.DataFrame({"code": arm, "enrolment": entered, "latent": latent, "leaves": leaves})


def cut_at(trial: pd.DataFrame, month: float, blinded: bool = False) -> pd.DataFrame:
    """What is known of a trial at a month."""
    seen = trial[trial["enrolment"] <= month]
    followed = month - seen["enrolment"]
    event = (seen["latent"] <= seen["leaves"]) & (seen["latent"] <= followed)
    gone = ~event & (seen["leaves"] <= followed)
    table = pd.DataFrame(
        {
            "enrolment": seen["enrolment"],
            "time": np.minimum(np.minimum(seen["latent"], seen["leaves"]), followed),
            "event": event.astype(int),
            "dropout": gone.astype(int),
        }
    )
    if not blinded:
        table["arm"] = np.where(seen["code"] == 1, "treatment", "control")
    return table


def events_of(trial: pd.DataFrame) -> np.ndarray:
    """Calendar months of all events, ascending."""
    happen = trial["latent"] <= trial["leaves"]
    return np.sort((trial["enrolment"] + trial["latent"])[happen])


def design_of(n: int, plan: ts.Accrual, events: tuple[int, ...]) -> ts.Design:
    return ts.Design(
        arms={"control": 1, "treatment": 1}, n_patients=n, accrual=plan,
        dropout=ts.Dropout(rate=0.005), looks=ts.EventLooks(list(events)),
    )  # fmt: skip


def judged(months: np.ndarray, truth: float) -> dict[str, float]:
    """Whether intervals of draws hold the truth; error of the median; interval score at 95 %."""
    row = {"error": float(np.quantile(months, 0.5, method="inverted_cdf")) - truth}
    for level in LEVELS:
        tail = (1 - level) / 2
        low, high = np.quantile(months, [tail, 1 - tail], method="inverted_cdf")
        row[f"in_{level:g}"] = float(low <= truth <= high)
        miss = max(low - truth, 0.0) + max(truth - high, 0.0)
        row[f"score_{level:g}"] = min(high, 600.0) - low + miss / tail
    return row


def summarised(rows: list[dict[str, float]], **key: Any) -> dict[str, Any]:
    table = pd.DataFrame(rows)
    out = {**key, "n_trials": len(table), "bias": table["error"].median()}
    for level in LEVELS:
        out[f"coverage_{level:g}"] = table[f"in_{level:g}"].mean()
        out[f"score_{level:g}"] = table[f"score_{level:g}"].median()
    return out


def predicted(
    seen: pd.DataFrame,
    design: ts.Design,
    month: float,
    seed: int,
    quick: bool,
    prior_events: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Draws of the months of patients and of events, each (n_draws, n) and ascending."""
    if not quick:
        found = ts.predict(seen, design, cutoff=month, seed=seed)
        return found._patients, found._events
    trial = read_ongoing(seen, design, cutoff=month)
    random, streams = np.random.default_rng(seed), Streams.span(seed, 0, 400)
    settings = Settings(prior_events=prior_events)
    drawn = rest_of_events(trial, design, PLAN, settings, random, streams).drawn
    return drawn.enrolment, np.sort(drawn.calendar_event, axis=1)


def enrolment(run: str, n_trials: int, only: str | None, quick: bool, seed: int) -> pd.DataFrame:
    rows = []
    for name, (truth, plan, month) in ENROLMENT.items():
        if only and only not in name:
            continue
        design = design_of(400, plan or truth, (150, 300))
        found = []
        for i in range(n_trials):
            random = np.random.default_rng([i, 25 + seed])
            trial = simulated(random, 400, truth, exponential, 0.005)
            months, _ = predicted(cut_at(trial, month, True), design, month, i, quick)
            found.append(judged(months[:, -1], float(trial["enrolment"].max())))
        rows.append(
            summarised(found, run=run, part="enrolment", variant=name, quick=quick, seed=seed)
        )
        stored.append("ongoing", rows[-1])
        shown = pd.DataFrame(rows[-1:]).drop(columns="run").round(3)
        print(shown.to_string(header=len(rows) == 1), flush=True)
    return pd.DataFrame(rows)


def events(
    run: str, n_trials: int, only: str | None, quick: bool, seed: int, prior_events: float = 0.0
) -> pd.DataFrame:
    rows = []
    for name, (times, dropout, seen, blinded, n) in EVENTS.items():
        if only and only not in name:
            continue
        plan = ts.Accrual(rate=25)
        design = design_of(n, plan, (200, 300))
        found: dict[int, list] = {200: [], 300: []}
        for i in range(n_trials):
            random = np.random.default_rng([i, 26 + seed])
            trial = simulated(random, n, plan, times, dropout)
            happened = events_of(trial)
            month = float(happened[seen - 1]) + 1e-6
            table = cut_at(trial, month, blinded)
            _, months = predicted(table, design, month, i, quick, prior_events)
            for k, list_ in found.items():
                if len(happened) >= k:
                    list_.append(judged(months[:, k - 1], float(happened[k - 1])))
        for k, list_ in found.items():
            about = {"quick": quick, "seed": seed, "prior_events": prior_events}
            rows.append(summarised(list_, run=run, part=f"event {k}", variant=name, **about))
            stored.append("ongoing", rows[-1])
            print(
                pd.DataFrame(rows[-1:])
                .drop(columns="run")
                .round(3)
                .to_string(header=len(rows) == 1),
                flush=True,
            )
    return pd.DataFrame(rows)


# name: (dispersion, shape of the rate in time, hazard of death a month)
RECURRENT = {
    "recurrent, dispersion .5": (0.5, 1.0, 0.0),
    "recurrent, no dispersion": (1e-3, 1.0, 0.0),
    "recurrent, dispersion 2": (2.0, 1.0, 0.0),
    "recurrent, rate that rises": (0.5, 1.3, 0.0),
    "recurrent, deaths": (0.5, 1.0, 0.03),
}


def recurrent(run: str, n_trials: int, only: str | None, seed: int) -> pd.DataFrame:
    """Numbers of events six and twelve months after a cut at month 10, 300 patients by month 15."""
    rows = []
    design = ts.Design(
        arms={"control": 1, "treatment": 1}, n_patients=300, accrual=ts.Accrual(rate=20),
        dropout=ts.Dropout(rate=0.005), looks=ts.CalendarLooks([24]), test="lwyy",
    )  # fmt: skip
    for name, (dispersion, shape, death) in RECURRENT.items():
        if only and only not in name:
            continue
        found: dict[int, list] = {6: [], 12: []}
        for i in range(n_trials):
            random = np.random.default_rng([i, 29 + seed])
            trial = simulated(random, 300, ts.Accrual(rate=20), exponential, 0.005)
            died = random.exponential(1 / death, 300) if death else np.full(300, np.inf)
            ends = np.minimum(trial["leaves"], died).to_numpy()
            frailty = random.gamma(1 / dispersion, dispersion, 300)
            rate = frailty * np.where(trial["code"] == 1, 0.12, 0.17)
            spent = np.cumsum(random.exponential(1.0, (300, 120)), axis=1) / rate[:, None]
            months = spent ** (1 / shape)
            entered = trial["enrolment"].to_numpy()
            calendar = np.where(months <= ends[:, None], entered[:, None] + months, np.inf)
            there = np.flatnonzero(entered <= 10.0)
            who, which = np.nonzero(calendar[there] <= 10.0)
            last = np.minimum(ends, 10.0 - entered)[there]
            patients = pd.DataFrame(
                {"id": there, "enrolment": entered[there], "time": last,
                 "dropout": (trial["leaves"].to_numpy()[there] <= last).astype(int),
                 "competing": (died[there] <= last).astype(int),
                 "arm": np.where(trial["code"].to_numpy()[there] == 1, "treatment", "control")}
            )  # fmt: skip
            if not death:
                patients = patients.drop(columns="competing")
            events = pd.DataFrame({"id": there[who], "time": months[there][who, which]})
            forecast = ts.predict(patients, design, cutoff=10.0, recurrences=events, seed=i)
            for ahead, list_ in found.items():
                truth = float((calendar <= 10.0 + ahead).sum())
                drawn = (forecast._events <= 10.0 + ahead).sum(axis=1).astype(float)
                list_.append(judged(drawn, truth))
        for ahead, list_ in found.items():
            part = f"events {ahead} months on"
            rows.append(summarised(list_, run=run, part=part, variant=name, quick=False, seed=seed))
            stored.append("ongoing", rows[-1])
            shown = pd.DataFrame(rows[-1:]).drop(columns="run").round(3)
            print(shown.to_string(header=len(rows) == 1), flush=True)
    return pd.DataFrame(rows)


def success(n_trials: int, n_continued: int = 2000) -> None:
    """Probability of success beside trials carried on by numpy with the same fixed hazards."""
    design = ts.Design(
        arms={"control": 1, "treatment": 1}, n_patients=400, accrual=ts.Accrual(rate=20),
        looks=ts.EventLooks([100, 200]),
        boundaries=ts.group_sequential((0.5, 1), efficacy="lan_demets_obrien_fleming"),
    )  # fmt: skip
    outcomes = ts.PiecewiseExponential(control_median=12, hazard_ratio=RATIO)
    for i in range(n_trials):
        random = np.random.default_rng([i, 27])
        trial = simulated(random, 400, ts.Accrual(rate=20), exponential, 0.0)
        month = float(events_of(trial)[119])
        seen = cut_at(trial, month)
        found = ts.predict(
            seen, design, cutoff=month, outcomes=outcomes, n_draws=n_continued, seed=i
        )
        rates = np.log(2) / 12 * np.array([1.0, RATIO])
        hits = 0
        for _ in range(n_continued):
            hits += _carried_on(random, seen, month, rates, design)
        power = found.conditional_power["design"]
        share = hits / n_continued
        error = np.sqrt(power.mcse**2 + share * (1 - share) / n_continued)
        print(f"trial {i}: predicted {power.estimate:.4f}, brute force {share:.4f}, "
              f"z {(power.estimate - share) / max(error, 1e-9):+.2f}", flush=True)  # fmt: skip


def under_rules(n_trials: int, n_continued: int = 2000) -> None:
    """Success of trials whose events a rule increases, beside trials carried on by numpy."""
    design = ts.AdaptiveDesign(
        ts.Design(
            arms={"control": 1, "treatment": 1}, n_patients=300, accrual=ts.Accrual(rate=25),
            looks=ts.EventLooks([80, 160]),
            boundaries=ts.group_sequential((0.5, 1), efficacy="obrien_fleming"),
        ),
        [
            ts.Milestone("interim", ts.EventLooks([80]), [
                ts.Rule("z <= 0", ts.Stop("futility")),
                ts.Rule("z < 1.5", ts.Resize(events=220, by="most")),
            ]),
            ts.Milestone("final", ts.EventLooks([160])),
        ],
        ts.ClosedTest(),
    )  # fmt: skip
    outcomes = ts.PiecewiseExponential(control_median=12, hazard_ratio=RATIO)
    rates = np.log(2) / 12 * np.array([1.0, RATIO])
    bounds = design.efficacy_bounds
    for i in range(n_trials):
        random = np.random.default_rng([i, 28])
        trial = simulated(random, 300, ts.Accrual(rate=25), exponential, 0.0)
        month = max(float(events_of(trial)[69]), float(trial["enrolment"].max())) + 1e-6
        seen = cut_at(trial, month)
        found = ts.predict(
            seen, design, cutoff=month, outcomes=outcomes, n_draws=n_continued, seed=i
        )
        entry, arm = seen["enrolment"].to_numpy(), (seen["arm"] == "treatment").to_numpy(int)
        hits = grown = 0
        for _ in range(n_continued):
            extra = random.exponential(1.0, 300) / rates[arm]
            calendar = entry + seen["time"].to_numpy() + np.where(seen["event"] == 1, 0.0, extra)
            ordered = np.sort(calendar)
            score, information = _score(entry, arm, calendar, ordered[79])
            z = score / np.sqrt(information)
            hits += z >= bounds[0]
            if z <= 0 or z >= bounds[0]:
                continue
            grown += z < 1.5
            later = _score(entry, arm, calendar, ordered[219 if z < 1.5 else 159])
            stage = (later[0] - score) / np.sqrt(later[1] - information)
            hits += (z + stage) / np.sqrt(2) >= bounds[1]
        power, resized = found.conditional_power["design"], grown / n_continued
        rate = hits / n_continued
        error = np.sqrt(power.mcse**2 + rate * (1 - rate) / n_continued)
        print(f"trial {i}: predicted {power.estimate:.4f}, brute force {rate:.4f}, z "
              f"{(power.estimate - rate) / max(error, 1e-9):+.2f}; resized in {resized:.3f}",
              flush=True)  # fmt: skip


def _score(
    entry: np.ndarray, arm: np.ndarray, calendar: np.ndarray, at: float
) -> tuple[float, float]:
    """Log-rank score in favour of the treatment, and its variance, at a calendar month."""
    inside = entry < at
    time, event = np.minimum(calendar, at)[inside] - entry[inside], (calendar <= at)[inside]
    order = np.argsort(-time)
    treated = np.cumsum(arm[inside][order]) / np.arange(1, len(time) + 1)
    share = treated[event[order]]
    return float((share - arm[inside][order][event[order]]).sum()), float(
        (share * (1 - share)).sum()
    )


def _carried_on(
    random: np.random.Generator, seen: pd.DataFrame, month: float, rates: np.ndarray, design: Any
) -> bool:
    """One trial carried on to its 200th event, tested by the log-rank test."""
    left = design.n_patients - len(seen)
    now = len(seen)
    speed = random.gamma(now + 0.5, 1 / month)
    arm = np.r_[(seen["arm"] == "treatment").to_numpy(int), (now + np.arange(left)) % 2]
    entry = np.r_[seen["enrolment"], month + np.cumsum(random.exponential(1 / speed, left))]
    extra = random.exponential(1.0, len(arm)) / rates[arm]
    done = np.r_[seen["event"].to_numpy(bool), np.zeros(left, bool)]
    latent = np.where(
        done, np.r_[seen["time"], np.zeros(left)], extra + np.r_[seen["time"], np.zeros(left)]
    )
    calendar = entry + latent
    end = np.sort(calendar)[199]
    inside = entry <= end
    time = np.minimum(latent, end - entry)[inside]
    event = (calendar <= end)[inside]
    z = ts.logrank(time, event.astype(int), arm[inside]).z
    return bool(z >= design.efficacy_bounds[-1])


def speed() -> None:
    """Seconds of processor time a call, after one that compiles."""
    for n in (500, 1000, 5000):
        plan = ts.Accrual(rate=n / 20)
        events = (n // 5, 2 * n // 5, 3 * n // 5)
        design = design_of(n, plan, events)
        trial = simulated(np.random.default_rng(1), n, plan, exponential, 0.005)
        seen = cut_at(trial, 14.0)
        if n == 500:
            ts.predict(seen, design, cutoff=14.0, n_draws=20)
        start = time.process_time()
        found = ts.predict(seen, design, cutoff=14.0)
        found.milestones(events=list(range(10, n // 2, 10)))
        print(f"{n} patients: {time.process_time() - start:.2f} s of processor time", flush=True)


def fuzz(n_calls: int, seed: int = 0) -> dict[str, int]:
    """Calls with broken tables and arguments: each must answer, or say what is wrong."""
    random = np.random.default_rng(seed)
    plan = ts.Accrual(rate=10)
    design = design_of(60, plan, (15, 30))
    base = cut_at(simulated(random, 60, plan, exponential, 0.01), 5.0)
    odd: list[Any] = [None, np.nan, np.inf, -1, 0, 1e9, "x", "", "2026-02-30", "2026-01-05", True,
                      pd.NaT, 3, -0.5, (), (3.0, 1.0), (np.nan,), ("a",), [], {}, b"1"]  # fmt: skip
    keys = ["cutoff", "opened", "columns", "time_unit", "lag", "last_seen", "model", "breakpoints",
            "enrolment", "enrolment_window", "prior_patients", "looks_held", "change", "n_draws",
            "level", "seed"]  # fmt: skip
    answered = refused = 0
    other: dict[str, int] = {}
    for _ in range(n_calls):
        table = base.copy().astype(object)
        for _ in range(random.integers(0, 4)):
            row, column = random.integers(len(table)), random.integers(table.shape[1])
            table.iat[row, column] = odd[random.integers(len(odd))]
        arguments: dict[str, Any] = {"cutoff": 5.0, "n_draws": 20}
        for _ in range(random.integers(0, 3)):
            arguments[keys[random.integers(len(keys))]] = odd[random.integers(len(odd))]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                if isinstance(arguments.get("n_draws"), int | float) and arguments["n_draws"] > 1e6:
                    continue
                ts.predict(table, design, **arguments)
                answered += 1
            except (ValueError, TypeError) as error:
                refused += 1
                if len(str(error)) < 15:
                    other[str(error)] = other.get(str(error), 0) + 1
            except Exception as error:  # what the fuzzing looks for
                what = f"{type(error).__name__}: {error}"[:100]
                other[what] = other.get(what, 0) + 1
    print(
        f"{n_calls} calls: {answered} answered, {refused} refused in words, {other or 'no other'}"
    )
    return other


def crashes(n_calls: int, seed: int, batch: int = 250) -> bool:
    """The fuzzed calls in processes of their own: whether every one of these ends by itself."""
    dead = others = 0
    for k, first in enumerate(range(0, n_calls, batch)):
        size = min(batch, n_calls - first)
        command = [sys.executable, "-m", "benchmarks", "ongoing", "fuzz", "--n-calls", str(size),
                   "--seed", str(seed * 100_000 + k)]  # fmt: skip
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode < 0 or made.returncode > 1:
            dead += 1
            print(f"calls {first} to {first + size}: process ended with {made.returncode}: "
                  f"{made.stderr[-300:]}", flush=True)  # fmt: skip
        elif made.returncode == 1:
            others += 1
            print(f"calls {first} to {first + size}: {made.stdout[-400:]}", flush=True)
    print(f"{n_calls:,} calls in processes of {batch}: {dead} crashes of the interpreter (floor "
          f"0), {others} batches with raw errors")  # fmt: skip
    return dead == 0 and others == 0


def _table_shape(random: np.random.Generator) -> tuple[pd.DataFrame, dict[str, Any], list[str]]:
    """One table as users bring them, how it is read, and what is odd about it."""
    n, opened, zone = int(random.integers(20, 50)), pd.Timestamp("2025-03-01"), None
    trial = simulated(random, 60, ts.Accrual(rate=8), exponential, 0.01)
    base = cut_at(trial, 6.0, bool(random.random() < 0.2))
    base = base.iloc[: min(n, len(base))].reset_index(drop=True)
    given: dict[str, Any] = {"cutoff": 6.0}
    odd: list[str] = []
    days = 365.25 / 12
    kind = random.choice(
        ["months", "days", "years", "dates", "text dates", "zones", "date objects"]
    )
    odd.append(str(kind))
    if kind in ("days", "years"):
        scale = days if kind == "days" else 1 / 12
        for column in ("time",):
            base[column] = base[column] * scale
        given["time_unit"] = str(kind)
    elif kind != "months":
        given["opened"] = "2025-03-01"
        when = opened + pd.to_timedelta(base["enrolment"] * days, unit="D")
        end = when + pd.to_timedelta(base["time"] * days, unit="D")
        given["cutoff"] = opened + pd.Timedelta(days=6 * days)
        rounded = bool(random.random() < 0.7)
        if rounded:
            odd.append("whole days")
            when, end = when.dt.normalize(), end.dt.normalize()
            given["cutoff"] = given["cutoff"].normalize()
        if kind == "text dates":
            form = str(random.choice(["%Y-%m-%d", "%d%b%Y", "%Y-%m-%dT%H:%M"]))
            odd.append(form)
            when, end = when.dt.strftime(form), end.dt.strftime(form)
            given["cutoff"] = given["cutoff"].strftime("%Y-%m-%d")
        elif kind == "zones":
            zone = str(random.choice(["UTC", "Europe/Berlin", "America/New_York"]))
            odd.append(zone)
            when, end = when.dt.tz_localize(zone), end.dt.tz_localize(zone)
        elif kind == "date objects":
            when, end = when.dt.date, end.dt.date
            given["cutoff"] = given["cutoff"].date()
        base["enrolment"] = when
        base = base.drop(columns="time").assign(end=end)
    changes = ["status", "text flags", "bool flags", "lag", "names", "duplicate ids", "shuffled",
               "extra columns", "no dropout", "gaps", "index", "upper case", "twice a row", "empty",
               "floats as text", "negative", "site"]  # fmt: skip
    for change in random.choice(changes, int(random.integers(0, 4)), replace=False):
        odd.append(str(change))
        if change == "status" and {"event", "dropout"} <= set(base):
            status = np.where(base["event"] == 1, "event", "ongoing")
            status = np.where(base["dropout"] == 1, "dropout", status)
            base = base.drop(columns=["event", "dropout"]).assign(status=status)
        elif change == "text flags" and "event" in base:
            base["event"] = np.where(base["event"] == 1, "yes", "no")
        elif change == "bool flags" and "event" in base:
            base["event"] = base["event"] == 1
        elif change == "lag":
            given["lag"] = float(random.choice([0.5, 1.0]))
        elif change == "names" and "enrolment" in base:
            base = base.rename(columns={"enrolment": "RANDDT"})
            given["columns"] = {"enrolment": "RANDDT"}
        elif change == "duplicate ids":
            base["id"] = [f"P{i // 2}" for i in range(len(base))]
        elif change == "shuffled":
            base = base.sample(frac=1.0, random_state=1)
        elif change == "extra columns":
            base["AGE"] = 60
            base["comment"] = "x"
        elif change == "no dropout":
            base = base.drop(columns="dropout", errors="ignore")
        elif change == "gaps" and len(base):
            base = base.astype(object)
            base.iat[0, int(random.integers(base.shape[1]))] = None
        elif change == "index":
            base.index = pd.Index([f"row {i}" for i in range(len(base))])
        elif change == "upper case":
            base.columns = [str(c).upper() for c in base.columns]
        elif change == "twice a row":
            base = pd.concat([base, base.iloc[:3]])
        elif change == "empty":
            base = base.iloc[:0]
        elif change == "floats as text" and "time" in base:
            base["time"] = base["time"].map(lambda v: f"{v:.3f}")
        elif change == "negative" and "time" in base and len(base):
            base.loc[base.index[0], "time"] = -1.0
        elif change == "site":
            base["site"] = [f"S{i % 4}" for i in range(len(base))]
    return base, given, odd


def tables(n_tables: int, seed: int = 0) -> bool:
    """Tables as users bring them: each is read, or refused by name; no raw error."""
    random = np.random.default_rng([seed, 91])
    design = design_of(60, ts.Accrual(rate=8), (15, 30))
    read = refused = 0
    raw: list[str] = []
    for _ in range(n_tables):
        table, given, odd = _table_shape(random)
        try:
            ts.read_ongoing(table, design, **given)
            read += 1
        except (ValueError, TypeError) as error:
            inside = error.__traceback__
            while inside is not None and inside.tb_next is not None:
                inside = inside.tb_next
            ours = inside is not None and "trial_sim" in inside.tb_frame.f_code.co_filename
            if ours and len(str(error)) >= 15:
                refused += 1
            else:
                raw.append(f"{odd}: {type(error).__name__}: {error}"[:200])
        except Exception as error:  # what is looked for
            raw.append(f"{odd}: {type(error).__name__}: {error}"[:200])
    print(f"{n_tables} tables: {read} read, {refused} refused by name, {len(raw)} raw errors")
    for line in raw[:20]:
        print(f"    {line}")
    return not raw


PARTS = [
    "enrolment", "events", "recurrent", "success", "rules", "speed", "fuzz", "tables", "crashes",
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks ongoing", description=__doc__.split("\n")[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--n-trials", type=int, default=200)
    parser.add_argument("--n-calls", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="other trials, other calls")
    parser.add_argument("--run", default=stored.today())
    parser.add_argument("--quick", action="store_true", help="400 draws, no success")
    parser.add_argument("--prior-events", type=float, default=0.0, help="events of the plan")
    parser.add_argument("--only", default=None, help="variants whose name holds this")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    whole = (given.run, given.n_trials, given.only, given.quick, given.seed)
    if given.part == "enrolment":
        enrolment(*whole)
    elif given.part == "events":
        events(*whole, given.prior_events)
    elif given.part == "recurrent":
        recurrent(given.run, given.n_trials, given.only, given.seed)
    elif given.part == "success":
        success(min(given.n_trials, 20))
    elif given.part == "rules":
        under_rules(min(given.n_trials, 20))
    elif given.part == "speed":
        speed()
    elif given.part == "fuzz":
        raise SystemExit(1 if fuzz(given.n_calls, given.seed) else 0)
    elif given.part == "tables":
        raise SystemExit(0 if tables(given.n_calls, given.seed) else 1)
    else:
        raise SystemExit(0 if crashes(given.n_calls, given.seed) else 1)


if __name__ == "__main__":
    main()
