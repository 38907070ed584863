"""Commands that use a generator as it is: sample, encode, decode and train."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molgen.base.output_places import replacing
from molgen.base.parquet import read_parquet, write_parquet
from molgen.cli.app import app
from molgen.cli.common import (
    Column,
    DropoutShare,
    Format,
    Input,
    Output,
    Rejects,
    check_folder,
    check_place,
    hash_input,
    not_molecules,
    plain_errors,
    read_input,
    tell,
    with_columns,
    write_out,
    write_rejects,
)
from molgen.model.config import DEFAULT_MODEL, SEARCH
from molgen.provenance import record, save_table, write_beside
from molgen.sampling.molecules import Molecules
from molgen.training.config import usual_config

if TYPE_CHECKING:
    import pandas as pd

    from molgen.files.molecule_files import MoleculeFile
    from molgen.generation.generator import Generator, Molecules

Model = Annotated[str, typer.Option("--model", "-m", help="A shipped model or a model folder.")]
Count = Annotated[int, typer.Option("--n", "-n", help="How many molecules.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same molecules.")]
Temperature = Annotated[float, typer.Option(help="Below 1 more typical, above 1 more varied.")]


def load_generator(model: str) -> Generator:
    """A shipped model by name, or a model folder."""
    from molgen.generation.generator import load_model

    try:
        return load_model(model)
    except FileNotFoundError as error:
        raise ValueError(str(error)) from error


def write_molecules(
    molecules: Molecules,
    output: Path | None,
    model: Generator,
    function: str,
    arguments: dict[str, Any],
    seed: int,
    table: pd.DataFrame | None = None,
) -> None:
    """One SMILES a line to standard output, or a table with its provenance to a file."""
    for refusal in molecules.dropped:
        tell(f"Note: {refusal.smiles}: {refusal.reason}")
    if output is None or (table is None and str(output) == "-"):
        write_out("".join(f"{s}\n" for s in molecules))
        return
    import pandas as pd

    if table is None:
        table = pd.DataFrame({"smiles": list(molecules)})
    if str(output) == "-":
        write_out(table.to_csv(index=False))
        return
    checkpoint = str(model.card.get("sha256", ""))
    asked = model.precedent if "precedent" in table else None
    made = record(
        function, arguments, seed=seed, checkpoint_sha256=checkpoint, notes=molecules.notes,
        precedent_sha256="" if asked is None else asked.sha256,
    )  # fmt: skip
    save_table(table, output, made)
    tell(f"{len(table):,} molecules written to {output}")


@app.command()
def sample(
    n: Count = 1000,
    model: Model = DEFAULT_MODEL,
    seed: Seed = 0,
    temperature: Temperature = 1.0,
    balance: Annotated[
        list[str] | None,
        typer.Option(help="Least share of a class, spiro=0.3 or SMARTS=0.1; may be repeated."),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Processes.")] = 1,
    output: Output = None,
) -> None:
    """Draw molecules from a model.

    Examples:

        molgen sample -n 100 | molgen filter -

        molgen sample -n 10000 --seed 7 -o molecules.parquet

        molgen sample -n 100 --balance macrocycle=0.2 --balance spiro=0.2 -o balanced.csv
    """
    with plain_errors():
        generator = load_generator(model)
        if balance:
            _sample_balanced(generator, balance, n, seed, temperature, model, output)
            return
        molecules = generator.sample(n, seed=seed, temperature=temperature, n_jobs=jobs)
        arguments = {"model": model, "n": n, "temperature": temperature}
        write_molecules(molecules, output, generator, "sample", arguments, seed)


def _sample_balanced(
    generator: Generator,
    balance: list[str],
    n: int,
    seed: int,
    temperature: float,
    model: str,
    output: Path | None,
) -> None:
    """Sample with the shares asked for, and tell the balance that came out."""
    from molgen.generation.balancing import sample_balanced

    shares: dict[str, float] = {}
    for text in balance:
        name, equals, share = text.rpartition("=")
        try:
            shares[name] = float(share)
        except ValueError:
            equals = ""
        if not equals or not name:
            raise ValueError(f"{text!r} is not a share; expected for example spiro=0.3")
    table = sample_balanced(generator, shares, n, seed=seed, temperature=temperature)
    tell(table.attrs["balance"].to_string(index=False))
    molecules = Molecules(table["smiles"], table.attrs["dropped"])
    arguments = {"model": model, "n": n, "balance": shares, "temperature": temperature}
    write_molecules(molecules, output, generator, "sample_balanced", arguments, seed, table)


@app.command()
def encode(
    source: Input,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="An .npz or .parquet file.", callback=check_place),
    ],
    column: Column = None,
    format: Format = None,
    model: Model = DEFAULT_MODEL,
    rejects: Rejects = None,
) -> None:
    """Latents of molecules: columns z0, z1, ... beside the input's own (.parquet), or arrays.

    An .npz file holds the arrays smiles, names and z.

    Example:

        molgen encode molecules.smi -o latents.npz
    """
    import numpy as np

    with plain_errors():
        if output.suffix not in (".npz", ".parquet"):
            raise ValueError(f"{output} ends in {output.suffix!r}; expected .npz or .parquet")
        generator = load_generator(model)
        read = read_input(source, column, format)
        z = generator.encode(list(read.smiles))
        whole = np.isfinite(z).all(axis=1)
        reasons = {entry["line"]: entry["reason"] for entry in not_molecules(read)}
        refused = [
            {"line": i, "reason": reasons.get(i, "it has no motif tree")}
            for i, good in enumerate(whole, start=1)
            if not good
        ]
        write_rejects(rejects, read, refused)
        _write_latents(output, read, refused, z)
        write_beside(output, record("encode", {"model": model}, data_sha256=hash_input(read)))
        tell(f"{int(whole.sum()):,} latents written to {output}")


def _write_latents(output: Path, read: MoleculeFile, refused: list[dict[str, Any]], z: Any) -> None:

    import numpy as np
    import pandas as pd

    table = pd.DataFrame(z, columns=[f"z{i}" for i in range(z.shape[1])])
    table.insert(0, "smiles", list(read.smiles))
    table = with_columns(table, read, refused)
    left_out = {entry["line"] - 1 for entry in refused}
    kept = [i for i in range(len(read)) if i not in left_out]
    try:
        with replacing(output) as made:
            if output.suffix == ".npz":
                np.savez_compressed(
                    made,
                    z=z[kept],
                    smiles=np.array([read.smiles[i] for i in kept], dtype=np.str_),
                    names=np.array([read.names[i] for i in kept], dtype=np.str_),
                )
            else:
                write_parquet(table, made)
    except OSError as error:
        raise ValueError(f"Cannot write {output}: {error.strerror}.") from error


@app.command()
def decode(
    source: Annotated[Path, typer.Argument(help="An .npz file with z, or .parquet with z0, ...")],
    temperature: Temperature = 0.0,
    search: Annotated[
        int,
        typer.Option(
            help="Molecules compared for a latent at most, at temperature 0; 0 takes the likeliest."
        ),
    ] = SEARCH,
    model: Model = DEFAULT_MODEL,
    seed: Seed = 0,
    output: Output = None,
) -> None:
    """Molecules of latents that ``molgen encode`` wrote.

    Example:

        molgen decode latents.npz
    """
    with plain_errors():
        z = _read_latents(source)
        generator = load_generator(model)
        molecules = generator.decode(z, seed=seed, temperature=temperature, search=search)
        arguments = {"model": model, "source": str(source), "temperature": temperature}
        arguments["search"] = search
        write_molecules(molecules, output, generator, "decode", arguments, seed)


def _read_latents(source: Path) -> Any:
    import zipfile

    import numpy as np

    try:
        if source.suffix == ".parquet":
            table, _ = read_parquet(source)
            names = [f"z{i}" for i in range(len(table.columns)) if f"z{i}" in table.columns]
            if not names:
                raise ValueError("it has no columns z0, z1, ...")
            return table[names].to_numpy(np.float32)
        with np.load(source, allow_pickle=False) as arrays:
            return arrays["z"]
    except FileNotFoundError:
        raise ValueError(f"{source} does not exist") from None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{source} has no latents that can be read: {error}") from None


@app.command()
def train(
    source: Input,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder for the model.", callback=check_folder),
    ],
    column: Column = None,
    format: Format = None,
    from_model: Annotated[
        str | None, typer.Option("--from", help="Fine-tune this model instead of starting anew.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps; by default by the data's size.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Molecules a step; by default 512, or 128 with --from.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="At its peak; by default .002, or .0005 with --from.")
    ] = None,
    prior_steps: Annotated[
        int | None, typer.Option(help="Steps of training the latent prior; 0 for no prior.")
    ] = None,
    dropout: DropoutShare = 0.0,
    max_minutes: Annotated[float | None, typer.Option(help="Stop after this time.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue in the output folder.")
    ] = False,
    seed: Seed = 0,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Processes for preparation.")] = 1,
    rejects: Rejects = None,
) -> None:
    """Train a model on SMILES, or fine-tune one.

    Examples:

        molgen train molecules.smi -o my-model --max-minutes 60

        molgen train series.csv -o tuned --from moses --steps 300
    """
    from molgen.training.whole_run import train as run_training

    with plain_errors():
        config = usual_config(from_model is not None).given(
            n_steps=steps, batch_size=batch_size, learning_rate=learning_rate,
            prior_steps=prior_steps, dropout=dropout,
        )  # fmt: skip
        read = read_input(source, column, format)
        try:
            report = run_training(
                list(read.smiles),
                output,
                seed=seed,
                max_minutes=max_minutes,
                resume=resume,
                start_from=from_model,
                config=config,
                n_jobs=jobs,
                progress=True,
            )
        except KeyboardInterrupt:
            tell(f"Stopped; --resume continues in {output}")
            raise typer.Exit(130) from None
        except (FileNotFoundError, FloatingPointError) as error:
            raise ValueError(str(error)) from error
        refused = [
            {"line": r.row + 1, "smiles": r.smiles, "reason": r.reason} for r in report.refused
        ]
        write_rejects(rejects, read, refused)
        tell(
            f"{report.n_molecules:,} molecules used, {len(report.refused):,} refused; "
            f"{report.steps:,} steps in {report.minutes:.1f} minutes ({report.stopped}); "
            f"the model is in {report.folder}"
        )
