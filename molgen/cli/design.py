"""Commands that start from what a chemist has: near, interpolate, scaffold, where and link."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from molgen.cli.app import app
from molgen.cli.common import (
    Output,
    check_place,
    plain_errors,
    tell,
)
from molgen.cli.generate import Count, Model, Seed, Temperature, load_generator, write_molecules

Picture = Annotated[
    Path | None,
    typer.Option(help="Draw them here (.svg), what is new highlighted.", callback=check_place),
]


@app.command()
def near(
    smiles: Annotated[str, typer.Argument(help="The molecule to stay near.")],
    n: Count = 20,
    radius: Annotated[
        float, typer.Option(help="Share of the molecule's heavy atoms that may change, up to 1.")
    ] = 0.3,
    keep: Annotated[
        str | None, typer.Option(help="What must stay: SMARTS, or atom numbers such as 0,3,4.")
    ] = None,
    change: Annotated[
        str | None, typer.Option(help="All that may change: SMARTS, or atom numbers.")
    ] = None,
    filters: Annotated[
        str, typer.Option(help="An analogue fails none of these that the molecule passes; or none.")
    ] = "default",
    temperature: Temperature = 1.0,
    model: Model = "moses",
    seed: Seed = 0,
    output: Output = None,
    picture: Picture = None,
) -> None:
    """Analogues of a molecule with one or two places changed; a table says which and how.

    Examples:

        molgen near "Cc1ccc(C(=O)NC2CC2)cc1Cl" -n 10 --radius 0.2

        molgen near "Cc1ccc(C(=O)NC2CC2)cc1Cl" --keep "C(=O)N" -o near.csv --picture near.svg
    """
    from molgen.report.analogues import draw_pairs
    from molgen.sampling.molecules import Molecules

    with plain_errors():
        generator = load_generator(model)
        arguments: dict[str, Any] = {
            "model": model, "smiles": smiles, "n": n, "radius": radius, "keep": _part(keep),
            "change": _part(change), "filters": None if filters == "none" else filters,
            "temperature": temperature,
        }  # fmt: skip
        asked = {k: v for k, v in arguments.items() if k != "model"}
        table = generator.near_table(**asked, seed=seed)
        told = [table.attrs.pop(name) for name in ("dropped", "notes")]
        molecules = Molecules(table["smiles"], *told)
        if picture is not None and molecules:
            draw_pairs(smiles, list(molecules), path=picture)
        write_molecules(molecules, output, generator, "sample_near", arguments, seed, table)


def _part(text: str | None) -> str | list[int] | None:
    """Atom numbers where the text is such a list, else SMARTS as it is."""
    if text is None or not all(word.strip().isdigit() for word in text.split(",")):
        return text
    return [int(word) for word in text.split(",")]


@app.command()
def interpolate(
    start: Annotated[str, typer.Argument(help="SMILES of one end.")],
    end: Annotated[str, typer.Argument(help="SMILES of the other end.")],
    steps: Annotated[int, typer.Option("--steps", "-n", help="Molecules, both ends included.")] = 8,
    model: Model = "moses",
    seed: Seed = 0,
    output: Output = None,
    picture: Picture = None,
) -> None:
    """A path of molecules from one to another.

    Example:

        molgen interpolate "Cc1ccccc1" "O=C(N)c1ccncc1" -n 6 --picture path.svg
    """
    from molgen.report.analogues import draw_path

    with plain_errors():
        generator = load_generator(model)
        molecules = generator.interpolate(start, end, n_steps=steps, seed=seed)
        if picture is not None:
            draw_path(molecules, path=picture)
        arguments = {"model": model, "start": start, "end": end, "n_steps": steps}
        write_molecules(molecules, output, generator, "interpolate", arguments, seed)


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
        generator = load_generator(model)
        molecules = generator.sample_scaffold(smiles, n, seed=seed, temperature=temperature)
        arguments = {"model": model, "scaffold": smiles, "n": n, "temperature": temperature}
        write_molecules(molecules, output, generator, "sample_scaffold", arguments, seed)


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
        generator = load_generator(model)
        molecules = generator.sample_where(wanted, n, seed=seed, scaffold=keep_scaffold)
        tell(f"{molecules.acceptance:.0%} of the proposals were inside")
        arguments = {"model": model, "wanted": wanted, "n": n, "scaffold": keep_scaffold}
        write_molecules(molecules, output, generator, "sample_where", arguments, seed)


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
        generator = load_generator(model)
        molecules = generator.link(fragment_a, fragment_b, n, seed=seed)
        arguments = {"model": model, "fragment_a": fragment_a, "fragment_b": fragment_b, "n": n}
        write_molecules(molecules, output, generator, "link", arguments, seed)
