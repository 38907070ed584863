"""``molgen score``, ``molgen qsar fit`` and ``molgen qsar predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from molgen.cli.app import app
from molgen.cli.common import (
    Column,
    Format,
    Input,
    Output,
    Rejects,
    check_folder,
    check_place,
    hash_input,
    not_molecules,
    plain_errors,
    read_columns,
    read_input,
    show,
    tell,
    with_columns,
    write_rejects,
    write_table,
)

Goals = Annotated[
    list[str] | None,
    typer.Option(
        "--goal", "-g", help="A wish, 'maximise qed' or 'logp within 1 3'; may be repeated."
    ),
]

qsar_app = typer.Typer(help="Fit a QSAR model to measured values, and predict with it.")
app.add_typer(qsar_app, name="qsar", no_args_is_help=True)


@app.command()
def score(
    molecules: Input = "-",
    objective: Annotated[
        Path | None, typer.Option(help="Objective file (.yaml, .yml, .json).")
    ] = None,
    goal: Goals = None,
    aggregation: Annotated[
        str | None, typer.Option(help="geometric, arithmetic, minimum or product.")
    ] = None,
    filters: Annotated[
        str | None, typer.Option(help="Filter that a molecule has to pass, such as 'default'.")
    ] = None,
    sort: Annotated[bool, typer.Option("--sort", help="Best first.")] = False,
    save: Annotated[
        Path | None,
        typer.Option(help="Write the objective to this .yaml or .json file.", callback=check_place),
    ] = None,
    column: Column = None,
    format: Format = None,
    output: Output = None,
    rejects: Rejects = None,
) -> None:
    """Score molecules: one column a component, raw and transformed, and "score" in [0, 1].

    The input's own columns stay beside them; rows that are not molecules are set aside.

    Examples:

      molgen score library.csv -g "maximise qed" -g "logp within 1 3" --sort -o best.csv

      molgen score library.smi --objective objective.yaml --filters default
    """
    from molgen.scoring.objectives import score as score_molecules

    with plain_errors():
        wanted = read_objective(objective, goal or [], aggregation, filters)
        if save is not None:
            wanted.save(save)
        read = read_input(molecules, column, format)
        table = score_molecules(list(read.smiles), wanted)
        refused = not_molecules(read)
        table = with_columns(table, read, refused)
        broken = table.loc[table["problems"] != "", "problems"]
        if sort:
            table = table.sort_values("score", ascending=False, kind="stable", ignore_index=True)
        tell(str(wanted))
        if len(broken):
            tell(
                f"{len(broken):,} of {len(table):,} molecules lack a value; the first: "
                f"{broken.iloc[0]}"
            )
        write_rejects(rejects, read, refused)
        write_table(table, output, "score", {"objective": wanted.identity}, hash_input(read))


def read_objective(
    path: Path | None, goals: list[str], aggregation: str | None, filters: str | None
) -> Any:
    """The objective of a file, or of statements, with options laid over it."""
    from molgen.scoring.objectives import Objective

    if (path is None) == (not goals):
        raise ValueError("give either an objective's file or one or more --goal 'maximise qed'")
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
    data: Annotated[Path, typer.Argument(help="CSV, TSV or Parquet with molecules and values.")],
    target: Annotated[str, typer.Option(help="Column with the measured values or classes.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder for the model.", callback=check_folder),
    ],
    smiles: Annotated[str, typer.Option(help="Column with the SMILES.")] = "smiles",
    task: Annotated[str, typer.Option(help="regression, classification or auto.")] = "auto",
    model: Annotated[
        str,
        typer.Option(help="ensemble, random_forest, gradient_boosting, gaussian_process or dmpnn."),
    ] = "ensemble",
    splitter: Annotated[str, typer.Option(help="scaffold, random, deepchem_...")] = "scaffold",
    folds: Annotated[int, typer.Option(help="Number of cross-validation folds.")] = 5,
    coverage: Annotated[float, typer.Option(help="Share that intervals are to hold.")] = 0.9,
    rejects: Rejects = None,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
) -> None:
    """Fit a model, print its cross-validated metrics and save it.

    Example:

      molgen qsar fit assay.csv --target pIC50 -o model/
    """
    from molgen.qsar.model import fit_qsar

    with plain_errors():
        if not data.is_file():
            raise ValueError(f"there is no file {data}")
        table = read_columns(data)
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
        show(str(fitted))
        refused = list(fitted.training_set.rejected)
        if rejects is not None:
            import pandas as pd

            from molgen.base.whole_files import write_atomically

            columns = ["line", "smiles", "reason"]
            text = pd.DataFrame(refused, columns=columns).to_csv(index=False)
            write_atomically(rejects, text.encode("utf-8", "surrogateescape"))
        elif refused:
            tell(
                f"the first row left out is line {refused[0]['line']}: {refused[0]['reason']}; "
                "--rejects FILE keeps them"
            )


@qsar_app.command("predict")
def qsar_predict(
    model: Annotated[Path, typer.Argument(help="Folder written by 'molgen qsar fit'.")],
    molecules: Input = "-",
    column: Column = None,
    format: Format = None,
    output: Output = None,
    rejects: Rejects = None,
) -> None:
    """Predict with a saved model: value, interval, similarity to the training set, domain.

    Example:

      molgen qsar predict model/ library.smi -o predicted.csv --rejects bad.csv
    """
    from molgen.qsar.saved import load_qsar

    with plain_errors():
        loaded = load_qsar(model)
        read = read_input(molecules, column, format)
        refused = not_molecules(read)
        table = with_columns(loaded.predict(list(read.smiles)), read, refused)
        write_rejects(rejects, read, refused)
        write_table(table, output, "qsar predict", {"model": str(model)}, hash_input(read))
