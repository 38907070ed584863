"""Commands ``fit``, ``sample`` and ``audit``: synthetic arms from a CSV and a small YAML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from trial_sim.arms.fitting import load_fitted
from trial_sim.base.output_places import check_format, replacing, try_place
from trial_sim.base.provenance import write_record
from trial_sim.cli.app import app, plain_errors, tell
from trial_sim.qualification.making import (
    audited,
    drawn,
    fitted,
    trial_inputs,
    trial_of,
    write_table,
)

TRIAL_HELP = "A built-in trial (colon, veteran, ...), a YAML description, or a CSV with --spec."
SpecOption = Annotated[
    Path | None, typer.Option("--spec", help="YAML that says what the columns of the table are.")
]
SeedOption = Annotated[int, typer.Option(help="Seed of every random draw.")]


@app.command()
@plain_errors
def fit(
    trial: Annotated[str, typer.Argument(help=TRIAL_HELP)],
    output: Annotated[Path, typer.Option("--output", "-o", help="File of the fitted model.")],
    endpoint: Annotated[
        list[str] | None,
        typer.Option(help="Endpoint (default: the first); twice, progression and death, for both."),
    ] = None,
    spec: SpecOption = None,
    model: Annotated[str, typer.Option(help="Outcome model, or auto.")] = "auto",
    covariate_model: Annotated[str, typer.Option(help="cart, copula, bootstrap or auto.")] = "auto",
    treatment_by: Annotated[
        list[str] | None, typer.Option(help="Covariate that modifies the effect; may repeat.")
    ] = None,
    stratify_by: Annotated[
        str | None, typer.Option(help="Covariate whose levels get baseline hazards of their own.")
    ] = None,
    tail: Annotated[str, typer.Option(help="horizon or parametric.")] = "horizon",
    epsilon: Annotated[
        float | None, typer.Option(help="Differential privacy: the budget epsilon.")
    ] = None,
    delta: Annotated[float, typer.Option(help="Differential privacy: delta.")] = 1e-5,
    allow_copies: Annotated[
        bool, typer.Option(help="Save a bootstrap model, which holds the patients.")
    ] = False,
    seed: SeedOption = 0,
) -> None:
    """Fit a real trial and save the model (a file without any one patient's values).

    Example:

      trial-sim fit colon -o colon.model --endpoint death
    """
    try_place(output, make_folder=True)
    inputs = trial_inputs(trial, spec)
    names = endpoint or [next(iter(trial_of({"trial": trial}, inputs).endpoints))]
    arguments = {
        "trial": trial,
        "endpoint": names[0] if len(names) == 1 else names,
        "model": model,
        "covariate_model": covariate_model,
        "treatment_by": treatment_by or [],
        "stratify_by": stratify_by,
        "tail": tail,
        "seed": seed,
        "epsilon": epsilon,
        "delta": delta,
        "allow_copies": allow_copies,
    }
    made = fitted(arguments, inputs)
    typer.echo(str(made))
    for compared in (made.covariate_selection, made.selection):
        if len(compared):
            typer.echo(compared.round(3).to_string(index=False))
    for note in made.notes:
        typer.echo(f"note: {note}")
    saved = made.save(output, allow_copies=allow_copies)
    # a digest of the data would let whoever knows all patients but one try values for that one
    write_record(saved, "fit", arguments, inputs if epsilon is None else {})
    typer.echo(f"saved {saved}")


@app.command()
@plain_errors
def sample(
    model: Annotated[Path, typer.Argument(help="File written by `trial-sim fit`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="CSV or Parquet to write.")],
    arm: Annotated[str | None, typer.Option(help="One arm (default: a whole trial).")] = None,
    n: Annotated[int | None, typer.Option("--n", "-n", help="Patients (an arm).")] = None,
    where: Annotated[
        list[str] | None, typer.Option(help="Condition such as 'age > 65'; may repeat.")
    ] = None,
    balance: Annotated[
        str | None, typer.Option(help='Shares as JSON, such as \'{"sex": {"female": 0.5}}\'.')
    ] = None,
    shift: Annotated[
        str | None, typer.Option(help="Shift as JSON, such as '{\"age\": 5}'.")
    ] = None,
    effect: Annotated[
        float | None, typer.Option(help="Effect of the arm in place of the fitted one.")
    ] = None,
    uncertainty: Annotated[bool, typer.Option(help="Draw the parameters first.")] = True,
    seed: SeedOption = 0,
) -> None:
    """Sample synthetic patients of one arm, or a whole synthetic trial.

    Example:

      trial-sim sample colon.model -o arm.csv --arm Obs --n 500
    """
    try_place(output)
    fit_held = load_fitted(model)
    options: dict[str, Any] = {
        "where": conditions(where),
        "balance": from_json(balance, "--balance"),
        "shift": from_json(shift, "--shift"),
        "uncertainty": uncertainty,
        "seed": seed,
    }
    arguments = {"arm": arm, "n": n, "effect": effect, **options}
    table = drawn(fit_held, arguments)
    with replacing(output) as made:
        write_table(table, made)
    write_record(output, "sample", arguments, {"model": model})
    tell(f"{len(table):,} row{'s' * (len(table) != 1)} written to {output}")


@app.command()
@plain_errors
def audit(
    trial: Annotated[str, typer.Argument(help=TRIAL_HELP)],
    model: Annotated[
        Path | None, typer.Option(help="Fitted model to audit with refits (the strict audit).")
    ] = None,
    synthetic: Annotated[
        Path | None, typer.Option(help="Synthetic table to audit, from any generator.")
    ] = None,
    holdout: Annotated[
        Path | None, typer.Option(help="Real patients that the generator never saw.")
    ] = None,
    endpoint: Annotated[str | None, typer.Option(help="Endpoint (default: the model's).")] = None,
    arm: Annotated[
        str | None, typer.Option(help="Audit this synthetic arm alone, as an external control.")
    ] = None,
    folds_by: Annotated[
        str | None, typer.Option(help="Column (the site) whose levels refits leave out as a whole.")
    ] = None,
    spec: SpecOption = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="HTML report.")] = None,
    seed: SeedOption = 0,
) -> None:
    """Audit a fitted model, or a synthetic table, against the real trial. Exit code 1: not passed.

    Example:

      trial-sim audit colon --model colon.model -o audit.html
    """
    try_place(output)
    check_format(output, ".html", "the page")
    if (model is None) == (synthetic is None):
        raise ValueError("give either --model (a fitted model) or --synthetic (a table)")
    inputs = trial_inputs(trial, spec)
    named = {"model": model, "synthetic": synthetic, "holdout": holdout}
    inputs |= {name: path for name, path in named.items() if path is not None}
    if model is None and endpoint is None:
        endpoint = next(iter(trial_of({"trial": trial}, inputs).endpoints))
    if folds_by is not None and model is None:
        raise ValueError("--folds-by needs --model: a table cannot be refitted")
    arguments = {"trial": trial, "endpoint": endpoint, "seed": seed}
    told = {"arm": arm, "folds_by": folds_by}
    arguments |= {name: value for name, value in told.items() if value is not None}
    report = audited(arguments, inputs)
    typer.echo(str(report))
    if output is not None:
        with replacing(output) as made_report:
            report.to_html(made_report)
        write_record(output, "audit", arguments, inputs)
        tell(f"report written to {output}")
    if not report.passed:
        raise typer.Exit(1)


def conditions(where: list[str] | None) -> dict[str, str] | None:
    """``["age > 65"]`` as ``{"age": "> 65"}``."""
    import re

    if not where:
        return None
    out = {}
    for rule in where:
        found = re.match(r"\s*([\w.]+)\s*((?:<=|>=|==|!=|<|>)\s*.+)$", rule)
        if found is None:
            raise ValueError(f"--where {rule!r} must read like 'age > 65'")
        out[found.group(1)] = found.group(2)
    return out


def from_json(text: str | None, option: str) -> Any:
    """The JSON value of an option."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{option} must be JSON such as '{{\"age\": 5}}': {error}") from error
