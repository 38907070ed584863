"""``trial-sim design``, ``simulate``, ``report``, ``what-if``, ``predict``: from a study file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from trial_sim.base.output_places import check_format, replacing, try_place, write_text
from trial_sim.base.provenance import write_record
from trial_sim.cli.app import app, plain_errors, tell, watched
from trial_sim.exploration.report import check_ending, look_rows, short_table
from trial_sim.exploration.study import read_study
from trial_sim.qualification.making import (
    characteristics,
    draw_figure,
    predicted,
    reported,
    simulated,
    study_inputs,
    varied,
    write_prediction,
    write_table,
)

StudyFile = Annotated[Path, typer.Argument(help="Study file (YAML) with design and outcomes.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="File to write.")]


def _four_digits(value: float) -> str:
    """Four decimals; four digits of a small number, as an effect in other units may be."""
    return f"{value:.4f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.4g}"


def _study(path: Path) -> Any:
    return read_study(path)


def _overrides(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _told(planned: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """What a record keeps of a run: the study's options and those of the command, with a seed."""
    told = {"seed": 0, **planned, **options}
    return {k: v for k, v in told.items() if k not in ("n_jobs", "backend", "variations")}


@app.command("design")
@plain_errors
def design_command(study: StudyFile, output: Output = None) -> None:
    """Check a study file; print its looks and boundaries, and when they are expected.

    Example:

      trial-sim design study.yaml
    """
    import pandas as pd

    import trial_sim

    try_place(output)
    loaded = _study(study)
    quick = trial_sim.simulate(loaded.design, loaded.outcomes, n_trials=200, seed=0)
    design = quick.design
    typer.echo(f"{loaded.title}: {design.n_patients} patients, arms {dict(design.arms)}")
    enrolled = design.accrual.expected_time(design.n_patients)
    typer.echo(f"test {design.test}; enrolled by month {enrolled:.1f}")
    typer.echo(pd.DataFrame(look_rows(quick)).to_string(index=False))
    if output is not None:
        write_text(output, loaded.design.to_yaml())
        write_record(output, "design", {}, {"study": study})
        tell(f"wrote {output}")


@app.command("simulate")
@plain_errors
def simulate_command(
    study: StudyFile,
    n_trials: Annotated[int | None, typer.Option(help="Trials.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the random numbers.")] = None,
    n_jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", "--n-jobs", help="Processes; -1 for all cores.")
    ] = None,
    output: Output = None,
    report: Annotated[
        Path | None, typer.Option(help="Report: .html, .docx, .tex, .md or .json by its ending.")
    ] = None,
    progress: Annotated[bool, typer.Option(help="Show a progress bar.")] = True,
) -> None:
    """Simulate a study; print its operating characteristics, write them (CSV) and a report.

    Example:

      trial-sim simulate study.yaml --n-trials 10000 -o results.csv --report report.html
    """
    for place in (output, report):
        try_place(place)
    loaded = _study(study)
    options = _overrides(n_trials=n_trials, seed=seed, n_jobs=n_jobs)
    if report is not None:
        check_ending(report)
    results = simulated(loaded, options, progress=watched(progress))
    told = _told(loaded.simulation, options)
    if report is not None:
        _write_report(study, loaded, results, report, told, progress)
    for name, result in results.items():
        typer.echo(f"{name}: {result!r}")
        typer.echo(
            result.operating_characteristics.to_string(index=False, float_format=_four_digits)
        )
    if output is not None:
        with replacing(output) as made:
            write_table(characteristics(results), made)
        write_record(output, "simulate", told, study_inputs(study))
        tell(f"wrote {output}")
    if report is not None:
        tell(f"wrote {report}")


@app.command("report")
@plain_errors
def report_command(
    study: StudyFile,
    report: Annotated[Path, typer.Argument(help="File: .html, .docx, .tex, .md or .json.")],
    n_trials: Annotated[int | None, typer.Option(help="Trials.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the random numbers.")] = None,
    n_jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", "--n-jobs", help="Processes; -1 for all cores.")
    ] = None,
    progress: Annotated[bool, typer.Option(help="Show a progress bar.")] = True,
) -> None:
    """Simulate a study with all its scenarios and its what-if, and write the report.

    Example:

      trial-sim report study.yaml report.html
    """
    check_ending(report)
    try_place(report)
    loaded = _study(study)
    options = _overrides(n_trials=n_trials, seed=seed, n_jobs=n_jobs)
    results = simulated(loaded, options, progress=watched(progress))
    told = _told(loaded.simulation, options)
    _write_report(study, loaded, results, report, told, progress)
    tell(f"wrote {report}")


def _write_report(
    study: Path, loaded: Any, results: Any, path: Path, told: dict[str, Any], progress: bool
) -> None:
    reported(loaded, results, watched(progress)).write(path)
    write_record(path, "report", told, study_inputs(study))


@app.command("what-if")
@plain_errors
def what_if_command(
    study: StudyFile,
    n_trials: Annotated[int | None, typer.Option(help="Trials a scenario.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the random numbers.")] = None,
    n_jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", "--n-jobs", help="Processes; -1 for all cores.")
    ] = None,
    output: Output = None,
    plot: Annotated[Path | None, typer.Option(help="Figure file to write.")] = None,
    power: Annotated[float | None, typer.Option(help="Find the cheapest design with it.")] = None,
    max_duration: Annotated[float | None, typer.Option(help="… within so many months.")] = None,
    progress: Annotated[bool, typer.Option(help="Show a progress bar.")] = True,
) -> None:
    """Simulate the study's grid of variations; print and write (CSV) the table.

    Example:

      trial-sim what-if study.yaml -o table.csv --power 0.9
    """
    for place in (output, plot):
        try_place(place)
    loaded = _study(study)
    options = _overrides(n_trials=n_trials, seed=seed, n_jobs=n_jobs)
    found = varied(loaded, options, progress=watched(progress))
    typer.echo(short_table(found).to_string(index=False, float_format=_four_digits))
    for note in sorted(set(found["note"]) - {""}):
        typer.echo(f"note: {note}")
    if power is not None or max_duration is not None:
        best = found.cheapest(0.9 if power is None else power, max_duration)
        typer.echo("cheapest: " + ", ".join(f"{n}={best[n]}" for n in found.parameters))
    told = _told(loaded.what_if, options)
    if output is not None:
        with replacing(output) as made:
            write_table(found.table, made)
        write_record(output, "what_if", told, study_inputs(study))
        tell(f"wrote {output}")
    if plot is not None:
        with replacing(plot) as shown:
            draw_figure(found, shown)
        write_record(plot, "what_if figure", told, study_inputs(study))
        tell(f"wrote {plot}")


@app.command("predict")
@plain_errors
def predict_command(
    study: StudyFile,
    patients: Annotated[
        Path, typer.Argument(help="Patients so far: CSV, workbook, Parquet or SAS.")
    ],
    cutoff: Annotated[str | None, typer.Option(help="Data cut: month, or date.")] = None,
    opened: Annotated[str | None, typer.Option(help="Date on which the trial opened.")] = None,
    model: Annotated[
        str, typer.Option(help="Event model: average, or names with commas between.")
    ] = "average",
    breakpoints: Annotated[
        str | None, typer.Option(help="Months of a piecewise exponential, with commas between.")
    ] = None,
    enrolment: Annotated[
        str, typer.Option(help="Enrolment model: average, closed, or names with commas between.")
    ] = "average",
    enrolment_window: Annotated[
        float | None, typer.Option(help="Months before the cut whose enrolment is looked at.")
    ] = None,
    prior_patients: Annotated[
        float, typer.Option(help="Patients that the planned rate counts for.")
    ] = 4.0,
    prior_events: Annotated[
        float, typer.Option(help="Events that the planned outcomes count for.")
    ] = 0.0,
    columns: Annotated[
        list[str] | None, typer.Option(help="Our column=yours, such as time=AVAL; repeatable.")
    ] = None,
    time_unit: Annotated[
        str | None, typer.Option(help="days, weeks, months (default) or years.")
    ] = None,
    lag: Annotated[float | None, typer.Option(help="Months until an event is in the data.")] = None,
    last_seen: Annotated[
        str | None, typer.Option(help="Who was last seen before the cut: lost or followed.")
    ] = None,
    covariates: Annotated[
        str | None, typer.Option(help="Columns by which hazards differ, with commas between.")
    ] = None,
    recurrences: Annotated[
        Path | None, typer.Option(help="Recurrent events (CSV): id, and time or date.")
    ] = None,
    looks_held: Annotated[int | None, typer.Option(help="Looks that are over.")] = None,
    level: Annotated[float, typer.Option(help="Level of the bands.")] = 0.9,
    what_if: Annotated[
        list[str] | None,
        typer.Option(help="From the cut on: enrolment_rate=2, hazard_ratio=.6 ...; repeatable."),
    ] = None,
    n_draws: Annotated[int, typer.Option(help="Continued trials.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers.")] = 0,
    output: Output = None,
    html: Annotated[Path | None, typer.Option(help="HTML page to write.")] = None,
    save: Annotated[Path | None, typer.Option(help="Prediction (JSON) to keep.")] = None,
    compare: Annotated[
        Path | None, typer.Option(help="Last month's saved prediction, to compare with.")
    ] = None,
) -> None:
    """Predict the looks and the success of an ongoing trial from its patients so far.

    Columns: enrolment (dates or months), dropout, arm, site, and the strata of a stratified test;
    time or end, and event (competing, for events that end follow-up uncounted), or response (empty
    until known), or visit_1, visit_2, …; baseline where adjusted for. The table of numbers by month
    is written with --output (CSV).

    Example:

      trial-sim predict study.yaml patients.csv --cutoff 18 --html page.html
    """
    check_format(html, ".html", "the page")
    for place in (output, html, save):
        try_place(place)
    reading = _overrides(
        cutoff=_number_or_text(cutoff), opened=opened, time_unit=time_unit, lag=lag,
        last_seen=last_seen, columns=_pairs(columns, "columns") if columns else None,
        covariates=None if covariates is None else [c.strip() for c in covariates.split(",")],
    )  # fmt: skip
    changes = {k: _factor(k, v) for k, v in _pairs(what_if, "what-if").items()}
    arguments: dict[str, Any] = {
        "model": _names(model), "breakpoints": _months(breakpoints), "enrolment": _names(enrolment),
        "enrolment_window": enrolment_window, "prior_patients": prior_patients,
        "prior_events": prior_events,
        "looks_held": looks_held, "change": changes, "n_draws": n_draws, "level": level,
        "seed": seed, **reading,
    }  # fmt: skip
    inputs = {**study_inputs(study), "patients": patients}
    if recurrences is not None:
        inputs["recurrences"] = recurrences
    prediction = predicted(arguments, inputs)
    typer.echo(repr(prediction))
    shown = prediction.milestones()
    dated = prediction.trial.opened is not None
    kept = ["milestone", *(f"month_{k}" for k in ("median", "lower", "upper"))]
    kept += [f"date_{k}" for k in ("median", "lower", "upper")] if dated else []
    typer.echo(shown[[*kept, "mcse_median"]].to_string(index=False, float_format="%.1f"))
    if compare is not None:
        changed = prediction.compare(compare)
        typer.echo(f"since {compare.name}:")
        typer.echo(changed.to_string(index=False, float_format="%.1f"))
    inputs |= {} if compare is None else {"compare": compare}
    for written, what in ((output, "table"), (html, "page"), (save, "saved")):
        if written is not None:
            with replacing(written) as made:
                write_prediction(prediction, made, what, compare)
            write_record(written, "predict", {**arguments, "writes": what}, inputs)
            tell(f"wrote {written}")


def _names(text: str) -> Any:
    """One name, or several with commas between."""
    names = [part.strip() for part in text.split(",")]
    return names[0] if len(names) == 1 else names


def _months(text: str | None) -> tuple[float, ...]:
    if text is None:
        return ()
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(
            f"--breakpoints must be months with commas between, got {text!r}"
        ) from None


def _number_or_text(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return text


def _pairs(given: list[str] | None, option: str) -> dict[str, str]:
    """``name=value`` options as a mapping."""
    found = {}
    for pair in given or []:
        name, sign, value = pair.partition("=")
        if not sign or not name or not value:
            raise ValueError(f"--{option} must be name=value, got {pair!r}")
        found[name.strip()] = value.strip()
    return found


def _factor(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--what-if {name} must be a number, got {text!r}") from None
