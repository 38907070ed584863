"""``molgen score``, ``molgen qsar fit`` and ``molgen qsar predict``."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from molgen.cli.app import app
from molgen.cli.common import (
    Column,
    Format,
    Input,
    Jobs,
    Output,
    Rejects,
    check_folder,
    check_place,
    hash_input,
    not_molecules,
    plain_errors,
    read_input,
    show,
    tell,
    with_columns,
    write_rejects,
    write_table,
)
from molgen.files.delimited import find_column
from molgen.provenance import record, write_beside
from molgen.qsar.model import fit_qsar
from molgen.qsar.panel import QsarPanel, fit_panel, load_panel
from molgen.qsar.saved import load_qsar
from molgen.scoring.objectives import Objective
from molgen.scoring.objectives import score as score_molecules

Goals = Annotated[
    list[str] | None,
    typer.Option(
        "--goal", "-g", help="A wish, 'maximise qed' or 'logp within 1 3'; may be repeated."
    ),
]

qsar_app: typer.Typer = typer.Typer(
    help="Fit a QSAR model to measured values, and predict with it."
)
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
    jobs: Jobs = 1,
) -> None:
    """Score molecules: one column a component, raw and transformed, and "score" in [0, 1].

    The input's own columns stay beside them; rows that are not molecules are set aside.

    Examples:

      molgen score library.csv -g "maximise qed" -g "logp within 1 3" --sort -o best.csv

      molgen score library.smi --objective objective.yaml --filters default
    """
    with plain_errors():
        wanted = read_objective(objective, goal or [], aggregation, filters)
        if save is not None:
            wanted.save(save)
        read = read_input(molecules, column, format)
        table = score_molecules(list(read.smiles), wanted, n_jobs=jobs)
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
    data: Annotated[Path, typer.Argument(help="A file with molecules and measured values.")],
    target: Annotated[
        list[str],
        typer.Option(help="Column with the measured values or classes; may be repeated."),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder for the model.", callback=check_folder),
    ],
    smiles: Annotated[
        str | None, typer.Option(help="Column with the SMILES; found by default.")
    ] = None,
    task: Annotated[str, typer.Option(help="regression, classification or auto.")] = "auto",
    positive: Annotated[
        str | None, typer.Option(help="The class that is predicted, such as 'active'.")
    ] = None,
    relation: Annotated[
        str | None,
        typer.Option(help="Column with = > < beside the values; standard_relation is found."),
    ] = None,
    model: Annotated[
        str,
        typer.Option(help="ensemble, random_forest, gradient_boosting, gaussian_process or dmpnn."),
    ] = "ensemble",
    splitter: Annotated[str, typer.Option(help="auto, scaffold, random, deepchem_...")] = "auto",
    folds: Annotated[int, typer.Option(help="Number of cross-validation folds.")] = 5,
    coverage: Annotated[float, typer.Option(help="Share that intervals are to hold.")] = 0.9,
    rejects: Rejects = None,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
) -> None:
    """Fit a model, print its cross-validated metrics and save it; several columns, several models.

    Example:

      molgen qsar fit assay.csv --target pIC50 -o model/

      molgen qsar fit assay.xlsx --target outcome --positive active -o model/
    """
    with plain_errors():
        read = read_input(str(data), smiles)
        for name in target:
            find_column(list(read.columns), name, read.source)
        signs = relation_column(read, relation, len(target))
        check_units(read, target, task)
        options: dict[str, Any] = {
            "task": task,
            "positive": positive,
            "model": model,
            "splitter": splitter,
            "n_folds": folds,
            "coverage": coverage,
            "seed": seed,
        }
        fitted: Any
        if len(target) == 1:
            values = list(read.columns[target[0]])
            fitted = fit_qsar(list(read.smiles), values, relation=signs, **options)
        else:
            columns = {name: list(read.columns[name]) for name in target}
            fitted = fit_panel(list(read.smiles), columns, **options)
        fitted.save(output)
        for file in sorted(output.rglob("model.json")):
            write_beside(file, record("qsar fit", {}, seed=seed, data_sha256=hash_input(read)))
        show(str(fitted))
        models = fitted if isinstance(fitted, QsarPanel) else {target[0]: fitted}
        refused = []
        for name, one in models.items():
            prefix = f"{name}: " if len(models) > 1 else ""
            for row in one.training_set.rejected:
                refused.append({"line": row["line"], "reason": prefix + row["reason"]})
            for conflict in one.training_set.conflicts:
                if conflict["used"] is None:
                    reason = f"{prefix}rows of one compound contradict each other"
                    refused += [{"line": line, "reason": reason} for line in conflict["lines"]]
        write_rejects(rejects, read, refused)
        if refused and rejects is None:
            first = refused[0]
            at = read.lines[first["line"] - 1]
            tell(f"the first row left out is line {at}: {first['reason']}")


_RELATION_COLUMNS = ("standard_relation", "relation", "qualifier", "operator", "modifier")
_UNIT_COLUMNS = ("standard_units", "standard_unit", "units", "unit")


def relation_column(read: Any, name: str | None, n_targets: int) -> list[Any] | None:
    """The signs beside the values: of the column named, or of one that is named like it."""
    if name is None:
        by_lower = {
            str(column).strip().lower().replace(" ", "_"): column for column in read.columns
        }
        name = next((by_lower[c] for c in _RELATION_COLUMNS if c in by_lower), None)
        if name is None or n_targets > 1:
            return None
        tell(f"column {name} is read as the relation (= > <) beside the values")
    elif n_targets > 1:
        raise ValueError("--relation belongs to one --target; fit the columns one by one")
    find_column(list(read.columns), name, read.source)
    return list(read.columns[name])


def check_units(read: Any, targets: list[str], task: str) -> None:
    """Refuse values in several units, which no model can tell apart."""
    by_lower = {str(column).strip().lower().replace(" ", "_"): column for column in read.columns}
    name = next((by_lower[c] for c in _UNIT_COLUMNS if c in by_lower), None)
    if name is None or name in targets or task == "classification":
        return
    found = Counter(
        str(unit).strip()
        for unit, value in zip(read.columns[name], read.columns[targets[0]])
        if unit is not None and str(unit).strip() and value is not None and str(value).strip()
    )
    if len(found) > 1:
        shown = ", ".join(f"{unit} ({n:,})" for unit, n in found.most_common(4))
        raise ValueError(
            f"column {name} holds several units, {shown}: bring the values to one unit, or leave "
            "the others out"
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
    with plain_errors():
        panel = (model / "panel.json").is_file()
        loaded: Any = load_panel(model) if panel else load_qsar(model)
        read = read_input(molecules, column, format)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # write_rejects tells of these rows
            predicted = loaded.predict(list(read.smiles))
        refused = predicted.attrs.pop("rejected")
        table = with_columns(predicted, read, refused)
        write_rejects(rejects, read, refused)
        write_table(table, output, "qsar predict", {"model": str(model)}, hash_input(read))
