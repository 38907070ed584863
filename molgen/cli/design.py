"""Commands that start from what a chemist has: near, interpolate, scaffold, where, link, cores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molgen.cli.app import app
from molgen.cli.common import (
    Column,
    Format,
    Input,
    Output,
    Rejects,
    check_drawing_place,
    plain_errors,
    read_input,
    show_progress,
    tell,
)
from molgen.cli.generate import Count, Model, Seed, Temperature, load_generator, write_molecules
from molgen.cli.many_starts import read_starts, write_from_each
from molgen.model.config import DEFAULT_MODEL
from molgen.precedent.building import build_precedent
from molgen.report.analogues import draw_pairs, draw_path
from molgen.sampling.molecules import Molecules

if TYPE_CHECKING:
    import pandas as pd

    from molgen.generation.generator import Generator, Molecules

Own = Annotated[
    float, typer.Option(help="Share left to the model's own growth, which no table holds.")
]
Picture = Annotated[
    Path | None,
    typer.Option(
        help="Draw them here (.svg), what is new highlighted.", callback=check_drawing_place
    ),
]


@app.command()
def near(
    smiles: Annotated[
        str,
        typer.Argument(help="The molecule to stay near; or a file of them, - for standard input."),
    ],
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
    model: Model = DEFAULT_MODEL,
    seed: Seed = 0,
    column: Column = None,
    format: Format = None,
    output: Output = None,
    rejects: Rejects = None,
    picture: Picture = None,
) -> None:
    """Analogues of a molecule with one or two places changed; a table says which and how.

    Of a file, -n analogues of each molecule, its columns beside them.

    Examples:

        molgen near "Cc1ccc(C(=O)NC2CC2)cc1Cl" -n 10 --radius 0.2

        molgen near "Cc1ccc(C(=O)NC2CC2)cc1Cl" --keep "C(=O)N" -o near.csv --picture near.svg

        molgen near leads.csv -n 5 -o analogues.csv --rejects bad.csv
    """
    with plain_errors():
        read = read_starts(smiles, column, format)
        if read is not None and picture is not None:
            raise ValueError("--picture shows the analogues of one molecule, not of a file")
        generator = load_generator(model)
        arguments: dict[str, Any] = {
            "model": model, "smiles": smiles, "n": n, "radius": radius, "keep": _part(keep),
            "change": _part(change), "filters": None if filters == "none" else filters,
            "temperature": temperature,
        }  # fmt: skip
        asked = {k: v for k, v in arguments.items() if k not in ("model", "smiles")}

        def make(lead: str) -> tuple[pd.DataFrame, Molecules]:
            table = generator.near_table(lead, **asked, seed=seed)
            told = [table.attrs.pop(name) for name in ("dropped", "notes")]
            return table, Molecules(table["smiles"], *told)

        if read is not None:
            write_from_each(read, make, output, rejects, generator, "sample_near", arguments, seed)
            return
        table, molecules = make(smiles)
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
    model: Model = DEFAULT_MODEL,
    seed: Seed = 0,
    output: Output = None,
    picture: Picture = None,
) -> None:
    """A path of molecules from one to another.

    Example:

        molgen interpolate "Cc1ccccc1" "O=C(N)c1ccncc1" -n 6 --picture path.svg
    """
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
        str,
        typer.Argument(
            help="The scaffold; [*:1] marks a bond that is to be formed. Or a file of them, or -."
        ),
    ],
    n: Count = 100,
    temperature: Temperature = 1.0,
    model: Model = DEFAULT_MODEL,
    seed: Seed = 0,
    atoms: Annotated[
        list[str] | None,
        typer.Option(help="Heavy atoms of each group: 4, 2:8, :8; or of one mark, 1=2:8."),
    ] = None,
    rings: Annotated[
        list[str] | None, typer.Option(help="Rings of each group, in the same way.")
    ] = None,
    fill_exits: Annotated[
        bool, typer.Option(help="Fill every mark, or leave hydrogen at some.")
    ] = True,
    own: Own = 0.25,
    column: Column = None,
    format: Format = None,
    output: Output = None,
    rejects: Rejects = None,
) -> None:
    """Different molecules that contain a scaffold; of a file, -n of each scaffold.

    Examples:

        molgen scaffold "c1ccc(C(=O)N[*:1])cc1" -n 50 -o grown.csv

        molgen scaffold "Fc1ccc([*:1])c([*:2])c1" --atoms 1=1:3 --atoms 2=6:12

        molgen scaffold scaffolds.csv -n 20 -o grown.csv --rejects bad.csv
    """
    with plain_errors():
        read = read_starts(smiles, column, format)
        generator = load_generator(model)
        options = {
            "temperature": temperature, "atoms": parse_limits(atoms, "atoms"),
            "rings": parse_limits(rings, "rings"), "fill_exits": fill_exits, "own": own,
        }  # fmt: skip

        def make(scaffold: str) -> tuple[pd.DataFrame, Molecules]:
            import pandas as pd

            molecules = generator.sample_scaffold(scaffold, n, seed=seed, **options)
            table = pd.DataFrame({"smiles": list(molecules)})
            if molecules.precedent and generator.precedent is not None:
                table["precedent"] = molecules.precedent
            return table, molecules

        if read is not None:
            arguments = {"model": model, "n": n, **options}
            write_from_each(
                read, make, output, rejects, generator, "sample_scaffold", arguments, seed
            )
            return
        molecules = generator.sample_scaffold(smiles, n, seed=seed, **options)
        arguments = {"model": model, "scaffold": smiles, "n": n, **options}
        write_proposals(molecules, output, generator, "sample_scaffold", arguments, seed)


def parse_limit(text: str | None, name: str) -> int | tuple[int | None, int | None] | None:
    """``"4"`` as a number, ``"2:8"``, ``":8"`` and ``"2:"`` as a pair (least, most)."""
    if text is None:
        return None
    low, colon, high = text.partition(":")
    try:
        if not colon:
            return int(low)
        return (int(low) if low else None, int(high) if high else None)
    except ValueError:
        raise ValueError(f"{name} is {text!r}; expected for example 4, 2:8, :8 or 2:") from None


def parse_limits(texts: list[str] | None, name: str) -> Any:
    """One limit for all marks, or limits by mark: ``["1=2:8", "2=4"]`` as ``{1: (2, 8), 2: 4}``."""
    if not texts:
        return None
    if len(texts) == 1 and "=" not in texts[0]:
        return parse_limit(texts[0], name)
    limits: dict[int, Any] = {}
    for text in texts:
        mark, equals, value = text.partition("=")
        if not equals or not mark.isdigit():
            raise ValueError(f"{name} is {text!r}; expected a mark's number and its limit, 1=2:8")
        limits[int(mark)] = parse_limit(value, name)
    return limits


def write_proposals(
    molecules: Molecules,
    output: Path | None,
    model: Generator,
    function: str,
    arguments: dict[str, Any],
    seed: int,
) -> None:
    """Molecules of a verb that knows precedent, with how often their parts occurred."""
    import pandas as pd

    table = None
    if molecules.precedent and model.precedent is not None:
        known = sum(count > 0 for count in molecules.precedent)
        typer.echo(
            f"{known:,} of {len(molecules):,} have precedent, {len(molecules) - known:,} are the "
            "model's own",
            err=True,
        )
        table = pd.DataFrame({"smiles": list(molecules), "precedent": molecules.precedent})
    write_molecules(molecules, output, model, function, arguments, seed, table)


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
    model: Model = DEFAULT_MODEL,
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
    fragment_a: Annotated[str, typer.Argument(help="SMILES with one mark, [*:1].")],
    fragment_b: Annotated[str, typer.Argument(help="SMILES with one mark, [*:1].")],
    n: Count = 20,
    model: Model = DEFAULT_MODEL,
    seed: Seed = 0,
    length: Annotated[
        str | None, typer.Option(help="Bonds from fragment to fragment: 5, 4:6; 1 is direct.")
    ] = None,
    atoms: Annotated[str | None, typer.Option(help="Heavy atoms of the linker: 4, 2:8.")] = None,
    rings: Annotated[str | None, typer.Option(help="Rings of the linker: 0, 1, :2.")] = None,
    rotors: Annotated[str | None, typer.Option(help="Bonds that turn, both ends included.")] = None,
    own: Own = 0.25,
    output: Output = None,
) -> None:
    """Different molecules in which a linker joins two fragments.

    Examples:

        molgen link "c1ccccc1[*:1]" "[*:1]N1CCOCC1" -n 20

        molgen link "c1ccccc1[*:1]" "[*:1]N1CCOCC1" --length 4:6 --rings 0
    """
    with plain_errors():
        limits = {
            name: parse_limit(text, name)
            for name, text in (
                ("length", length), ("atoms", atoms), ("rings", rings), ("rotors", rotors)
            )
        }  # fmt: skip
        generator = load_generator(model)
        molecules = generator.link(fragment_a, fragment_b, n, seed=seed, own=own, **limits)
        arguments = {"model": model, "a": fragment_a, "b": fragment_b, "n": n, "own": own, **limits}
        write_proposals(molecules, output, generator, "link", arguments, seed)


@app.command("replace-core")
def replace_core(
    smiles: Annotated[str, typer.Argument(help="The molecule.")],
    core: Annotated[str, typer.Argument(help="Its core, as SMARTS or SMILES.")],
    n: Count = 20,
    model: Model = DEFAULT_MODEL,
    seed: Seed = 0,
    atoms: Annotated[str | None, typer.Option(help="Heavy atoms of the new core: 6, 5:10.")] = None,
    ring: Annotated[
        bool | None, typer.Option(help="The new core is one ring system; by default as the old.")
    ] = None,
    include_old: Annotated[bool, typer.Option(help="The old core may come back.")] = False,
    angle: Annotated[
        float | None,
        typer.Option(help="Degrees by which angles between substituents' bonds may change."),
    ] = None,
    own: Own = 0.25,
    output: Output = None,
) -> None:
    """Different molecules with the substituents of a molecule around another core.

    A table (-o) tells how far the substituents' bonds have turned and moved.

    Examples:

        molgen replace-core "COc1ccc(C(=O)NC2CC2)cc1" c1ccccc1 --atoms 5:9

        molgen replace-core "COc1ccc(C(=O)NC2CC2)cc1" c1ccccc1 --angle 20 -o cores.csv
    """
    with plain_errors():
        generator = load_generator(model)
        options = {
            "atoms": parse_limit(atoms, "atoms"), "ring": ring, "include_old": include_old,
            "angle": angle, "own": own,
        }  # fmt: skip
        arguments = {"model": model, "smiles": smiles, "core": core, "n": n, **options}
        if output is None:
            molecules = generator.replace_core(smiles, core, n, seed=seed, **options)
            write_proposals(molecules, output, generator, "replace_core", arguments, seed)
            return
        table = generator.core_table(smiles, core, n, seed=seed, **options)
        molecules = Molecules(table["smiles"], table.attrs.pop("dropped"))
        write_molecules(molecules, output, generator, "replace_core", arguments, seed, table)


@app.command()
def precedent(
    source: Input,
    output: Annotated[Path, typer.Option("--output", "-o", help="The table, precedent.zip.")],
    column: Column = None,
    least: Annotated[int, typer.Option(help="Molecules that must share a part.")] = 3,
    least_at_context: Annotated[
        int | None, typer.Option(help="Occurrences on the same surroundings; for secret molecules.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Keeps the cut molecules, so that a stopped run goes on.")
    ] = None,
) -> None:
    """A table of the groups, linkers and cores that molecules share, for link and the like.

    In a model's folder, as precedent.zip, it takes the place of the shipped one.

    Example:

        molgen precedent molecules.smi -o my-model/precedent.zip
    """
    with plain_errors():
        read = read_input(source, column)
        extra: dict[str, Any] = {}
        if least_at_context is not None:
            extra["least_at_context"] = least_at_context
        table = build_precedent(
            list(read.smiles), output, least=least, source=str(source), folder=folder,
            progress=show_progress(source), **extra,
        )  # fmt: skip
        parts = ", ".join(f"{len(table.parts(k)):,} with {k} marks" for k in range(1, 7))
        typer.echo(f"{table.card['molecules']:,} molecules; parts kept: {parts}", err=True)
