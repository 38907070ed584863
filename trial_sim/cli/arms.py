"""Commands ``fit``, ``sample`` and ``audit``: synthetic arms from a CSV and a small YAML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from trial_sim.arms.fitting import fit as fit_trial
from trial_sim.arms.fitting import load_fitted
from trial_sim.auditing import audit as audit_trials
from trial_sim.base.output_places import replacing, try_place
from trial_sim.base.parquet import write_parquet
from trial_sim.base.provenance import write_record
from trial_sim.cli.app import app, plain_errors, tell
from trial_sim.data.datasets import load_trial, read_table, read_trial
from trial_sim.qualification.verification import draw

TRIAL_HELP = "A built-in trial (colon, veteran, ...), a YAML description, or a CSV with --spec."
SpecOption = Annotated[
    Path | None, typer.Option("--spec", help="YAML that says what the columns of the table are.")
]
SeedOption = Annotated[int, typer.Option(help="Seed of every random draw.")]


def read(source: str, spec: Path | None) -> Any:
    """A built-in trial by name, or a trial from files."""
    if spec is None and not Path(source).exists():
        return load_trial(source)
    return read_trial(source, spec)


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
    real = read(trial, spec)
    names = endpoint or [next(iter(real.endpoints))]
    fitted = fit_trial(
        real,
        endpoint=names[0] if len(names) == 1 else names,
        model=model,
        covariate_model=covariate_model,
        treatment_by=treatment_by or (),
        stratify_by=stratify_by,
        tail=tail,
        seed=seed,
        epsilon=epsilon,
        delta=delta,
    )
    typer.echo(str(fitted))
    for compared in (fitted.covariate_selection, fitted.selection):
        if len(compared):
            typer.echo(compared.round(3).to_string(index=False))
    for note in fitted.notes:
        typer.echo(f"note: {note}")
    typer.echo(f"saved {fitted.save(output, allow_copies=allow_copies)}")


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
    fitted = load_fitted(model)
    options: dict[str, Any] = {
        "where": conditions(where),
        "balance": from_json(balance, "--balance"),
        "shift": from_json(shift, "--shift"),
        "uncertainty": uncertainty,
        "seed": seed,
    }
    arguments = {"arm": arm, "n": n, "effect": effect, **options}
    table = draw(fitted, arguments)
    with replacing(output) as made:
        if output.suffix == ".parquet":
            write_parquet(table, made)
        else:
            table.to_csv(made, index=False)
    write_record(output, "sample", arguments, {"model": model})
    tell(f"{len(table)} rows written to {output}")


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
    spec: SpecOption = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="HTML report.")] = None,
    seed: SeedOption = 0,
) -> None:
    """Audit a fitted model, or a synthetic table, against the real trial. Exit code 1: not passed.

    Example:

      trial-sim audit colon --model colon.model -o audit.html
    """
    try_place(output)
    real = read(trial, spec)
    if (model is None) == (synthetic is None):
        raise ValueError("give either --model (a fitted model) or --synthetic (a table)")
    if model is not None:
        report = load_fitted(model).audit(real=real, seed=seed)
    else:
        assert synthetic is not None
        names = endpoint or next(iter(real.endpoints))
        kept = None if holdout is None else real.with_patients(read_table(holdout))
        made = real.with_patients(read_table(synthetic))
        report = audit_trials(real, made, holdout=kept, endpoint=names, seed=seed)
    typer.echo(str(report))
    if output is not None:
        with replacing(output) as made_report:
            report.to_html(made_report)
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
