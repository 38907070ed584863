"""Commands that use a generator: sample, train, encode, decode, near, scaffold, link and others."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molgen.cli import app
from molgen.cli.common import Column, Input, Output, Rejects, plain_errors, write_rejects

if TYPE_CHECKING:
    from molgen.generation import Generator, Molecules

Model = Annotated[str, typer.Option("--model", "-m", help="A shipped model or a model folder.")]
Count = Annotated[int, typer.Option("--n", "-n", help="How many molecules.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same molecules.")]
Temperature = Annotated[float, typer.Option(help="Below 1 more typical, above 1 more varied.")]


def _load(model: str) -> Generator:
    from molgen.generation import load_model

    try:
        return load_model(model)
    except FileNotFoundError as error:
        raise ValueError(str(error)) from error


def _write_smiles(
    molecules: Molecules,
    output: Path | None,
    model: Generator,
    function: str,
    arguments: dict[str, Any],
    seed: int,
) -> None:
    """One SMILES a line to standard output, or a table with its provenance to a file."""
    for refusal in molecules.dropped:
        typer.echo(f"Note: {refusal.smiles}: {refusal.reason}", err=True)
    if output is None:
        sys.stdout.write("".join(f"{s}\n" for s in molecules))
        sys.stdout.flush()
        return
    import pandas as pd

    from molgen.provenance import record, save_table

    table = pd.DataFrame({"smiles": list(molecules)})
    checkpoint = str(model.card.get("sha256", ""))
    save_table(table, output, record(function, arguments, seed=seed, checkpoint_sha256=checkpoint))
    typer.echo(f"{len(table):,} molecules written to {output}", err=True)


@app.command()
def sample(
    n: Count = 1000,
    model: Model = "moses",
    seed: Seed = 0,
    temperature: Temperature = 1.0,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Processes.")] = 1,
    output: Output = None,
) -> None:
    """Draw molecules from a model.

    Examples:

        molgen sample -n 100 | molgen filter -

        molgen sample -n 10000 --seed 7 -o molecules.parquet
    """
    with plain_errors():
        generator = _load(model)
        molecules = generator.sample(n, seed=seed, temperature=temperature, n_workers=jobs)
        arguments = {"model": model, "n": n, "temperature": temperature}
        _write_smiles(molecules, output, generator, "sample", arguments, seed)


@app.command()
def near(
    smiles: Annotated[str, typer.Argument(help="The molecule to stay near.")],
    n: Count = 20,
    radius: Annotated[float, typer.Option(help="Noise in units of a latent's spread.")] = 1.0,
    keep: Annotated[str | None, typer.Option(help="SMARTS of a part that must stay.")] = None,
    model: Model = "moses",
    seed: Seed = 0,
    output: Output = None,
) -> None:
    """Analogues of a molecule.

    Examples:

        molgen near "Cc1ccc(C(=O)NC2CC2)cc1Cl" -n 10 --radius 0.5

        molgen near "Cc1ccc(C(=O)NC2CC2)cc1Cl" --keep "C(=O)N"
    """
    with plain_errors():
        generator = _load(model)
        molecules = generator.sample_near(smiles, n, radius=radius, seed=seed, keep=keep)
        arguments = {"model": model, "smiles": smiles, "n": n, "radius": radius, "keep": keep}
        _write_smiles(molecules, output, generator, "sample_near", arguments, seed)


@app.command()
def interpolate(
    start: Annotated[str, typer.Argument(help="SMILES of one end.")],
    end: Annotated[str, typer.Argument(help="SMILES of the other end.")],
    steps: Annotated[int, typer.Option("--steps", "-n", help="Molecules, both ends included.")] = 8,
    model: Model = "moses",
    seed: Seed = 0,
    output: Output = None,
) -> None:
    """A path of molecules from one to another.

    Example:

        molgen interpolate "Cc1ccccc1" "O=C(N)c1ccncc1" -n 6
    """
    with plain_errors():
        generator = _load(model)
        molecules = generator.interpolate(start, end, n_steps=steps, seed=seed)
        arguments = {"model": model, "start": start, "end": end, "n_steps": steps}
        _write_smiles(molecules, output, generator, "interpolate", arguments, seed)


@app.command()
def scaffold(
    smiles: Annotated[
        str, typer.Argument(help="The scaffold; [*:1] marks where growth may start.")
    ],
    n: Count = 100,
    temperature: Temperature = 1.0,
    model: Model = "moses",
    seed: Seed = 0,
    output: Output = None,
) -> None:
    """Different molecules that contain a scaffold.

    Example:

        molgen scaffold "c1ccc(C(=O)N[*:1])cc1" -n 50 -o grown.csv
    """
    with plain_errors():
        generator = _load(model)
        molecules = generator.sample_scaffold(smiles, n, seed=seed, temperature=temperature)
        arguments = {"model": model, "scaffold": smiles, "n": n, "temperature": temperature}
        _write_smiles(molecules, output, generator, "sample_scaffold", arguments, seed)


@app.command()
def where(
    window: Annotated[
        list[str],
        typer.Argument(help="Conditions such as logp=1:3 qed=0.6: chemotype=spiro smarts=C#N."),
    ],
    n: Count = 100,
    keep_scaffold: Annotated[
        str | None, typer.Option("--scaffold", help="A scaffold that must be kept, too.")
    ] = None,
    model: Model = "moses",
    seed: Seed = 0,
    output: Output = None,
) -> None:
    """Different molecules inside a property window.

    Examples:

        molgen where logp=1:3 tpsa=40:90 qed=0.6: -n 200 -o window.csv

        molgen where chemotype=spiro mw=:400
    """
    with plain_errors():
        wanted = parse_window(window)
        generator = _load(model)
        molecules = generator.sample_where(wanted, n, seed=seed, scaffold=keep_scaffold)
        typer.echo(f"{molecules.acceptance:.0%} of the proposals were inside", err=True)
        arguments = {"model": model, "wanted": wanted, "n": n, "scaffold": keep_scaffold}
        _write_smiles(molecules, output, generator, "sample_where", arguments, seed)


def parse_window(conditions: list[str]) -> dict[str, Any]:
    """``["logp=1:3", "smarts=C#N"]`` as the mapping that ``sample_where`` takes."""
    wanted: dict[str, Any] = {}
    for condition in conditions:
        name, equals, value = condition.partition("=")
        if not equals:
            raise ValueError(f"{condition!r} is not a condition; expected for example logp=1:3")
        if name in ("smarts", "chemotype"):
            wanted.setdefault(name, []).append(value)
            continue
        low, colon, high = value.partition(":")
        try:
            wanted[name] = (float(low) if low else None, float(high) if high else None)
        except ValueError:
            colon = ""
        if not colon:
            raise ValueError(f"{condition!r}: expected {name}=low:high, either end may be empty")
    return wanted


@app.command()
def link(
    fragment_a: Annotated[str, typer.Argument(help="SMILES with one exit, [*:1].")],
    fragment_b: Annotated[str, typer.Argument(help="SMILES with one exit, [*:1].")],
    n: Count = 20,
    model: Model = "moses",
    seed: Seed = 0,
    output: Output = None,
) -> None:
    """Different molecules in which a linker joins two fragments.

    Example:

        molgen link "c1ccccc1[*:1]" "[*:1]N1CCOCC1" -n 20
    """
    with plain_errors():
        generator = _load(model)
        molecules = generator.link(fragment_a, fragment_b, n, seed=seed)
        arguments = {"model": model, "fragment_a": fragment_a, "fragment_b": fragment_b, "n": n}
        _write_smiles(molecules, output, generator, "link", arguments, seed)


@app.command()
def encode(
    source: Input,
    output: Annotated[Path, typer.Option("--output", "-o", help="An .npz or .parquet file.")],
    column: Column = None,
    model: Model = "moses",
    rejects: Rejects = None,
) -> None:
    """Latents of molecules: arrays ``smiles`` and ``z`` (.npz), or columns z0, z1, ... (.parquet).

    Example:

        molgen encode molecules.smi -o latents.npz
    """
    import numpy as np

    from molgen.files import read_molecules

    with plain_errors():
        if output.suffix not in (".npz", ".parquet"):
            raise ValueError(f"{output} ends in {output.suffix!r}; expected .npz or .parquet")
        generator = _load(model)
        read = read_molecules(source, column=column)
        z = generator.encode(list(read.smiles))
        whole = np.isfinite(z).all(axis=1)
        refused = [
            {"line": i + 1, "smiles": s, "reason": "it has no motif tree"}
            for i, s in enumerate(read.smiles)
            if not whole[i]
        ]
        write_rejects(rejects, read, refused)
        smiles = [s for s, good in zip(read.smiles, whole) if good]
        _write_latents(output, smiles, z[whole])
        typer.echo(f"{len(smiles):,} latents written to {output}", err=True)


def _write_latents(output: Path, smiles: list[str], z: Any) -> None:
    import os

    import numpy as np
    import pandas as pd

    temporary = output.with_name(f".{output.stem}.tmp{output.suffix}")
    try:
        if output.suffix == ".npz":
            np.savez_compressed(temporary, smiles=np.array(smiles, dtype=np.str_), z=z)
        else:
            table = pd.DataFrame(z, columns=[f"z{i}" for i in range(z.shape[1])])
            table.insert(0, "smiles", smiles)
            table.to_parquet(temporary, index=False)
        os.replace(temporary, output)
    except OSError as error:
        raise ValueError(f"Cannot write {output}: {error.strerror}.") from error
    finally:
        temporary.unlink(missing_ok=True)


@app.command()
def decode(
    source: Annotated[Path, typer.Argument(help="An .npz file with z, or .parquet with z0, ...")],
    temperature: Temperature = 0.0,
    model: Model = "moses",
    seed: Seed = 0,
    output: Output = None,
) -> None:
    """Molecules of latents that ``molgen encode`` wrote.

    Example:

        molgen decode latents.npz
    """
    with plain_errors():
        z = _read_latents(source)
        generator = _load(model)
        molecules = generator.decode(z, seed=seed, temperature=temperature)
        arguments = {"model": model, "source": str(source), "temperature": temperature}
        _write_smiles(molecules, output, generator, "decode", arguments, seed)


def _read_latents(source: Path) -> Any:
    import zipfile

    import numpy as np
    import pandas as pd

    try:
        if source.suffix == ".parquet":
            table = pd.read_parquet(source)
            return table[[c for c in table.columns if c != "smiles"]].to_numpy(np.float32)
        with np.load(source, allow_pickle=False) as arrays:
            return arrays["z"]
    except FileNotFoundError:
        raise ValueError(f"{source} does not exist") from None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{source} has no latents that can be read: {error}") from None


@app.command()
def train(
    source: Input,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the model.")],
    column: Column = None,
    from_model: Annotated[
        str | None, typer.Option("--from", help="Fine-tune this model instead of starting anew.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps; by default by the data's size.")] = None,
    batch_size: Annotated[int, typer.Option(help="Molecules a step.")] = 512,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    max_minutes: Annotated[float | None, typer.Option(help="Stop after this time.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue in the output folder.")
    ] = False,
    seed: Seed = 0,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Processes for preparation.")] = 1,
) -> None:
    """Train a model on SMILES, or fine-tune one.

    Examples:

        molgen train molecules.smi -o my-model --max-minutes 60

        molgen train series.csv -o tuned --from moses --steps 300
    """
    from dataclasses import replace

    from molgen.files import read_molecules
    from molgen.training import TrainingConfig
    from molgen.training import train as run_training

    with plain_errors():
        config = TrainingConfig(n_steps=steps, batch_size=batch_size)
        if from_model is not None:
            config = replace(config, learning_rate=3e-4, warmup=20)
        if learning_rate is not None:
            config = replace(config, learning_rate=learning_rate)
        molecules = list(read_molecules(source, column=column).smiles)
        try:
            report = run_training(
                molecules,
                output,
                seed=seed,
                max_minutes=max_minutes,
                resume=resume,
                start_from=from_model,
                config=config,
                n_workers=jobs,
                progress=sys.stderr.isatty(),
            )
        except KeyboardInterrupt:
            typer.echo(f"Stopped; --resume continues in {output}", err=True)
            raise typer.Exit(130) from None
        except (FileNotFoundError, FloatingPointError) as error:
            raise ValueError(str(error)) from error
        typer.echo(
            f"{report.n_molecules:,} molecules used, {len(report.refused):,} refused; "
            f"{report.steps:,} steps in {report.minutes:.1f} minutes ({report.stopped}); "
            f"the model is in {report.folder}",
            err=True,
        )
