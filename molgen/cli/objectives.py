"""``molgen score``, ``molgen qsar fit`` and ``molgen qsar predict``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from molgen.cli import app

qsar_app = typer.Typer(help="Fit a QSAR model to measured values, and predict with it.")
app.add_typer(qsar_app, name="qsar", no_args_is_help=True)

Molecules = Annotated[Path, typer.Argument(help="Molecules: .smi, .csv, .sdf, .parquet, ...")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="CSV or Parquet to write; else standard out.")
]
Column = Annotated[str | None, typer.Option(help="Column that holds the SMILES.")]


def _fail(error: Exception) -> typer.Exit:
    typer.echo(f"error: {error}", err=True)
    return typer.Exit(2)


def _write(table: Any, output: Path | None) -> None:
    if output is None:
        typer.echo(table.to_csv(index=False), nl=False)
    elif output.suffix == ".parquet":
        table.to_parquet(output, index=False)
    else:
        table.to_csv(output, index=False)


@app.command()
def score(
    molecules: Molecules,
    objective: Annotated[
        Path | None, typer.Option(help="Objective file (.yaml, .yml, .json).")
    ] = None,
    goal: Annotated[
        list[str] | None,
        typer.Option(help="A wish, such as 'maximise qed' or 'logp within 1 3'; may be repeated."),
    ] = None,
    aggregation: Annotated[
        str | None, typer.Option(help="geometric, arithmetic, minimum or product.")
    ] = None,
    filters: Annotated[
        str | None, typer.Option(help="Filter set that a molecule has to pass, such as 'default'.")
    ] = None,
    sort: Annotated[bool, typer.Option(help="Best first.")] = False,
    save: Annotated[
        Path | None, typer.Option(help="Write the objective to this .yaml or .json file.")
    ] = None,
    column: Column = None,
    output: Output = None,
) -> None:
    """Score molecules by an objective: one column a component, raw and transformed, and "score"."""
    from molgen.files import read_molecules
    from molgen.scoring import Objective
    from molgen.scoring import score as score_molecules

    try:
        wanted = _objective(objective, goal or [], aggregation, filters)
        if save is not None:
            wanted.save(save)
        table = score_molecules(list(read_molecules(molecules, column)), wanted)
    except (ValueError, TypeError, OSError) as error:
        raise _fail(error) from error
    if sort:
        table = table.sort_values("score", ascending=False, kind="stable")
    typer.echo(str(wanted), err=True)
    broken = int((table["problems"] != "").sum())
    if broken:
        first = table.loc[table["problems"] != "", "problems"].iloc[0]
        typer.echo(f"{broken} of {len(table)} molecules lack a value; the first: {first}", err=True)
    assert isinstance(wanted, Objective)
    _write(table, output)


def _objective(
    path: Path | None, goals: list[str], aggregation: str | None, filters: str | None
) -> Any:
    """The objective of a file, or of statements, with options laid over it."""
    from molgen.scoring import Objective

    if (path is None) == (not goals):
        raise ValueError("give either --objective FILE or one or more --goal 'maximise qed'")
    plain: dict[str, Any] = {"components": goals}
    if path is not None:
        plain = Objective.load(path).to_dict()
    if aggregation is not None:
        plain["aggregation"] = aggregation
    if filters is not None:
        plain["filters"] = filters
    return Objective.from_dict(plain)


@qsar_app.command("fit")
def qsar_fit(
    data: Annotated[Path, typer.Argument(help="CSV or Parquet with molecules and values.")],
    target: Annotated[str, typer.Option(help="Column with the measured values or classes.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the model.")],
    smiles: Annotated[str, typer.Option(help="Column with the SMILES.")] = "smiles",
    task: Annotated[str, typer.Option(help="regression, classification or auto.")] = "auto",
    model: Annotated[
        str,
        typer.Option(help="ensemble, random_forest, gradient_boosting, gaussian_process or dmpnn."),
    ] = "ensemble",
    splitter: Annotated[str, typer.Option(help="scaffold, random, deepchem_...")] = "scaffold",
    folds: Annotated[int, typer.Option(help="Number of cross-validation folds.")] = 5,
    coverage: Annotated[float, typer.Option(help="Share that intervals are to hold.")] = 0.9,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
) -> None:
    """Fit a model, print its cross-validated metrics and save it."""
    from molgen.qsar import fit_qsar

    try:
        table = _read_table(data)
        for name in (smiles, target):
            if name not in table.columns:
                raise ValueError(
                    f"{data} has no column {name!r}; it has: {', '.join(map(str, table.columns))}"
                )
        fitted = fit_qsar(
            table[smiles].tolist(),
            table[target].tolist(),
            task=task,
            model=model,
            splitter=splitter,
            n_folds=folds,
            coverage=coverage,
            seed=seed,
        )
        fitted.save(output)
    except (ValueError, TypeError, OSError) as error:
        raise _fail(error) from error
    typer.echo(str(fitted))
    for row in fitted.training_set.rejected[:10]:
        typer.echo(f"left out: {json.dumps(row)}", err=True)


@qsar_app.command("predict")
def qsar_predict(
    model: Annotated[Path, typer.Argument(help="Folder written by 'molgen qsar fit'.")],
    molecules: Molecules,
    column: Column = None,
    output: Output = None,
) -> None:
    """Predict with a saved model: value, interval, similarity to the training set, domain."""
    from molgen.files import read_molecules
    from molgen.qsar import load_qsar

    try:
        table = load_qsar(model).predict(list(read_molecules(molecules, column)))
    except (ValueError, TypeError, OSError) as error:
        raise _fail(error) from error
    _write(table, output)


def _read_table(path: Path) -> Any:
    import pandas as pd

    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, sep="\t" if path.suffix in (".tsv", ".tab") else ",")
