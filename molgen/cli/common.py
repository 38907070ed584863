"""What the commands share: arguments, reading input, writing rejects, and one-sentence errors."""

from __future__ import annotations

import inspect
import json
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, get_type_hints

import typer

from molgen.base.output_places import check_format, try_place
from molgen.base.run_log import LogError, logged
from molgen.base.user_warnings import warn_user
from molgen.base.whole_files import write_atomically
from molgen.chem.parsing import MoleculeError, parse
from molgen.cli.app import LOG_HELP
from molgen.files.datasets import hash_smiles
from molgen.files.molecule_files import read_molecules
from molgen.files.provenance_records import running
from molgen.files.tables import check_suffix
from molgen.provenance import OUTPUT_WORDS, record, save_table

if TYPE_CHECKING:
    import pandas as pd

    from molgen.files.molecule_files import MoleculeFile

_QUIET = _JSON = False


def _fail(message: object) -> NoReturn:
    _say("error", str(message), "Error: ")
    raise typer.Exit(2)


def check_place(path: Path | None) -> Path | None:
    """The path, after it was tried that a file can be written there; ``-`` is standard output."""
    if path is None or str(path) == "-":
        return path
    try:
        try_place(path)
    except ValueError as error:
        _fail(f"Cannot write: {error}.")
    return path


def check_folder(path: Path | None) -> Path | None:
    """The path of a folder, after it was tried that it is there, or that it can be made."""
    if path is None:
        return path
    nearest = path
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        _fail(f"Cannot write into {path}: {error.strerror}.")
    return path


def check_drawing_place(path: Path | None) -> Path | None:
    """Like :func:`check_place`, for a drawing, which is SVG."""
    return _checked(path, ".svg", "a drawing")


def check_page_place(path: Path | None) -> Path | None:
    """Like :func:`check_place`, for a page, which is HTML and prints from a browser."""
    return _checked(path, ".html", "a page")


def _checked(path: Path | None, ending: str, what: str) -> Path | None:
    check_place(path)
    try:
        check_format(path, ending, what)
    except ValueError as error:
        _fail(error)
    return path


def check_table_place(path: Path | None) -> Path | None:
    """Like :func:`check_place`, for a table, whose ending says how it is written."""
    check_place(path)
    if path is not None and str(path) != "-":
        try:
            check_suffix(path)
        except ValueError as error:
            _fail(error)
    return path


Input = Annotated[
    str,
    typer.Argument(
        help="A .smi, .csv, .tsv, .sdf, .parquet or .xlsx file, plain or packed; - for stdin."
    ),
]
Column = Annotated[
    str | None, typer.Option("--column", "-c", help="Column that holds SMILES; found by default.")
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format", help="Of the input: smi, csv, tsv, sdf, parquet, xlsx; told by its content."
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="Where to write; by the ending: .csv .parquet .sdf ...; - for CSV on stdout.",
        callback=check_table_place,
    ),
]
Rejects = Annotated[
    Path | None,
    typer.Option(
        help="Write rows that cannot be used here, with line, name, text and reason (CSV).",
        callback=check_place,
    ),
]
DropoutShare = Annotated[
    float, typer.Option(help="Chance that a channel of a layer's update is left out.")
]
Jobs = Annotated[int, typer.Option("--jobs", "-j", help="Processes; -1 for all cores.")]


#: What every command takes beside its own options: name, kind, help.
_MANNERS = {
    "quiet": ("-q", "Nothing on standard error but warnings and errors."),
    "verbose": ("-v", "Say on standard error what is being done."),
    "log_json": (None, "What goes to standard error as JSON, an object a line."),
}


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return _as_json(record.levelname.lower(), record.getMessage())


def _as_json(level: str, message: str) -> str:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return json.dumps({"time": now, "level": level, "message": message}, ensure_ascii=False)


def with_manners(command: Callable[..., None]) -> Callable[..., None]:
    """The command with ``--quiet``, ``--verbose``, ``--log-json`` and ``--log`` behind its own.

    A command with a ``--log`` of its own (of calls) takes ours before its name only.
    """
    parameters = [
        p.replace(annotation=hint)
        for p, hint in zip(
            inspect.signature(command).parameters.values(),
            get_type_hints(command, include_extras=True).values(),
        )
    ]
    keyword = inspect.Parameter.KEYWORD_ONLY
    for name, (letter, what) in _MANNERS.items():
        words = [f"--{name.replace('_', '-')}", *([letter] if letter else [])]
        hint = Annotated[bool, typer.Option(*words, help=what)]
        parameters.append(inspect.Parameter(name, keyword, default=False, annotation=hint))

    parameters.append(inspect.Parameter("context", keyword, annotation=typer.Context))
    own_log = any(p.name == "log" for p in parameters)
    if not own_log:
        hint_of_log = Annotated[Path | None, typer.Option("--log", help=LOG_HELP)]
        parameters.append(inspect.Parameter("log", keyword, default=None, annotation=hint_of_log))

    def recorded(*arguments: Any, context: typer.Context, **options: Any) -> None:
        place = None if own_log else options.pop("log")
        place = context.find_root().params.get("log") if place is None else place
        _, _, name = context.command_path.partition(" ")
        kept = {k: v for k, v in context.params.items() if k not in _MANNERS}
        given = {k: v for k, v in kept.items() if own_log or k != "log"}
        try:
            with logged(place, "molgen", name, given), running(*_words(context)):
                run(*arguments, **options)
        except LogError as error:
            _fail(error)

    def run(*arguments: Any, quiet: bool, verbose: bool, log_json: bool, **options: Any) -> None:
        global _QUIET, _JSON
        _QUIET, _JSON = quiet, log_json
        handler = logging.StreamHandler()
        handler.setFormatter(_JsonLines() if log_json else logging.Formatter("%(message)s"))
        logger = logging.getLogger("molgen")
        before = logger.level, logger.propagate
        logger.addHandler(handler)
        logger.setLevel(logging.INFO if verbose else logging.WARNING)
        logger.propagate = False
        try:
            command(*arguments, **options)
        finally:
            logger.removeHandler(handler)
            logger.setLevel(before[0])
            logger.propagate = before[1]
            _QUIET, _JSON = False, False

    recorded.__name__, recorded.__doc__ = command.__name__, command.__doc__
    recorded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    recorded.__annotations__ = {p.name: p.annotation for p in parameters}
    return recorded


#: Commands whose results are made again in another way, or not at all.
_NOT_REPEATED = ("batch", "merge", "train", "train-private", "train-audited", "verify", "qualify")


def _words(context: typer.Context) -> tuple[list[str], list[str]]:
    """The words that give this command again, defaults left out, and the files among them."""
    name = context.command_path.split()[1:]
    if not name or name[0] in _NOT_REPEATED:
        return [], []
    options: list[str] = []
    given: list[str] = []
    files: list[str] = []
    for parameter in context.command.params:
        value = context.params.get(str(parameter.name))
        if value is None or parameter.name in _MANNERS:
            continue
        if value == parameter.default and value != "-" and parameter.name != "model":
            continue
        values = [str(v) for v in (value if isinstance(value, list | tuple) else [value])]
        if parameter.param_type_name == "argument":
            given += values
        elif isinstance(value, bool):
            options.append((parameter.opts if value else parameter.secondary_opts)[0])
            continue
        else:
            for text in values:
                options += [parameter.opts[0], text]
        files += [] if parameter.opts[0] in OUTPUT_WORDS else values
    return [*name, *options, *(["--", *given] if given else [])], files


def tell(message: object = "") -> None:
    """A note on standard error, unless ``--quiet`` was given."""
    if not _QUIET:
        _say("info", str(message))


def warn(message: object) -> None:
    """A line on standard error that ``--quiet`` does not silence."""
    _say("warning", str(message))


def _say(level: str, message: str, mark: str = "") -> None:
    """A line on standard error, ``mark`` in front of it, or an object of JSON."""
    typer.echo(_as_json(level, message) if _JSON else f"{mark}{message}", err=True)


def show(message: object = "") -> None:
    """A result on standard output, with a line end."""
    write_out(f"{message}\n")


def write_out(text: str) -> None:
    """All of ``text`` to standard output.

    Raises:
        ValueError: standard output is closed, or did not take every byte (a full disk).
        BrokenPipeError: its reader has gone.
    """
    if sys.stdout is None:
        raise ValueError("Standard output is closed.")
    left = memoryview(text.encode("utf-8", "surrogateescape"))
    try:
        sys.stdout.flush()
        stream = getattr(sys.stdout, "buffer", None)
        if stream is None:
            sys.stdout.write(text)
            sys.stdout.flush()
            return
        while left:  # an unbuffered stream may take a part, as much as fits on the disk
            taken = stream.write(left)
            left = left[taken or 0 :]
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ValueError(f"Cannot write to standard output: {error.strerror}.") from error


@contextmanager
def plain_errors() -> Iterator[None]:
    """Wrong input ends with one sentence on standard error and exit code 2, not a traceback."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            yield
        except BrokenPipeError:  # the reader of our output, such as head, has seen enough
            _leave_pipe()
            raise typer.Exit(0) from None
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            _say("error", f"{where}{error.strerror or error}", "Error: ")
            raise typer.Exit(2) from error
        except (ValueError, TypeError) as error:
            _say("error", str(error), "Error: ")
            raise typer.Exit(2) from error
        finally:
            for warning in caught:
                if issubclass(warning.category, UserWarning):
                    _say("warning", str(warning.message), "Warning: ")


def _leave_pipe() -> None:
    """Point standard output at nothing, so that Python's last flush finds no broken pipe."""
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        sys.stderr.close()


def read_input(source: str, column: str | None, format: str | None = None) -> MoleculeFile:
    """The molecules of a file, or of standard input for ``-``."""
    return read_molecules(source, column=column, format=format)


def read_smiles(source: str | Path) -> tuple[str, ...]:
    """The SMILES of a file that is not the command's main input; rows left out are told."""
    read = read_input(str(source), None)
    if read.rejected:
        warn(
            f"{len(read.rejected):,} rows of {source} are left out; the first is {read.rejected[0]}"
        )
    return read.smiles


def not_molecules(read: MoleculeFile) -> list[dict[str, Any]]:
    """The rows read that are not molecules: ``line`` (place, from 1) and ``reason``."""
    refused = []
    for line, smiles in enumerate(read.smiles, start=1):
        try:
            parse(smiles)
        except MoleculeError as error:
            refused.append({"line": line, "reason": error.reason})
    return refused


def show_progress(source: str = "") -> bool:
    """Whether a progress bar would be seen and would not mix with piped input."""
    return sys.stderr.isatty() and source != "-" and not _QUIET


def write_rejects(path: Path | None, read: MoleculeFile, refused: list[dict[str, Any]]) -> None:
    """Tell how many rows were set aside, and write them: line, name, the user's text, reason.

    Args:
        path: the CSV file, or None.
        read: the input, whose own rejects come along.
        refused: rows of ``read`` (``line``, from 1, is the place in it) with ``reason``.
    """
    import pandas as pd

    rows = [(r.line, r.name, r.smiles, r.reason) for r in read.rejected]
    for entry in refused:
        at = entry["line"] - 1
        rows.append((read.lines[at], read.names[at], read.smiles[at], entry["reason"]))
    if rows:
        where = f"; see {path}" if path else "; --rejects FILE keeps them"
        verb = "row is" if len(rows) == 1 else "rows are"
        warn(f"{len(rows):,} {verb} set aside{where}")
    if path is None:
        return
    rows.sort(key=lambda row: row[0])
    table = pd.DataFrame(rows, columns=["line", "name", "smiles", "reason"])
    text = table.to_csv(index=False)
    if str(path) == "-":
        write_out(text)
        return
    try:
        write_atomically(path, text.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise ValueError(f"Cannot write {path}: {error.strerror}.") from error


def write_table(
    table: pd.DataFrame,
    output: Path | None,
    function: str,
    arguments: dict[str, Any],
    data: str,
    seed: int | None = None,
) -> None:
    """The table to a file with its provenance, or as CSV to standard output."""
    if output is None or str(output) == "-":
        write_out(table.to_csv(index=False))
        return
    carried = table.attrs.get("carried")
    if carried:
        arguments = {**arguments, "carried": carried}
    save_table(table, output, record(function, arguments, data_sha256=data, seed=seed))
    tell(f"{len(table):,} row{'s' * (len(table) != 1)} written to {output}")


def write_lines(table: pd.DataFrame) -> None:
    """Molecules to standard output: SMILES lines, with names if they have any; else CSV.

    CSV where they have further columns of the user's, so that a pipe carries them.
    """
    carried = table.attrs.get("carried", [])
    names = ["smiles", *carried]
    columns = [["" if v is None else str(v) for v in table[name]] for name in names]
    plain = carried in ([], [table.attrs.get("titles")])
    if plain and not any("\n" in text or "\r" in text for column in columns for text in column):
        write_out("".join("\t".join(row).rstrip("\t") + "\n" for row in zip(*columns)))
    else:
        write_out(table[names].to_csv(index=False))


def hash_input(read: MoleculeFile) -> str:
    """SHA-256 of the molecules read, for provenance."""
    return hash_smiles(read.smiles)


def with_columns(
    table: pd.DataFrame,
    read: MoleculeFile,
    refused: Sequence[dict[str, Any]] = (),
    original: bool = False,
) -> pd.DataFrame:
    """The table with the user's own columns after the SMILES, without the rows set aside.

    A column of the user's that has the name of one that the command writes is called
    ``input_...``; a warning says so. ``table.attrs["carried"]`` names the user's columns.

    Args:
        table: one row for each row of ``read``, in its order.
        read: the input.
        refused: rows that were set aside (``line``, from 1, is the place in ``read``).
        original: also carry the SMILES as they were read.
    """
    import pandas as pd

    own = set(table.columns)
    columns: dict[str, Any] = {}
    if read.titled:
        columns["name"] = list(read.names)
    columns |= {name: values for name, values in read.columns.items() if name not in columns}
    if original:
        columns[read.smiles_column or "input_smiles"] = list(read.smiles)
    renamed = {}
    for name in columns:
        if name in own:
            new = f"input_{name}"
            while new in own or new in columns:
                new = f"input_{new}"
            renamed[name] = new
    told = [name for name in renamed if name != read.smiles_column]
    if told:
        warn_user(
            f"the input's columns {', '.join(told)} are written as "
            f"{', '.join(renamed[name] for name in told)}, since the command writes its own"
        )
    given = pd.DataFrame({renamed.get(k, k): v for k, v in columns.items()}, index=table.index)
    whole = pd.concat([table[["smiles"]], given, table.drop(columns="smiles")], axis=1)
    aside = {entry["line"] - 1 for entry in refused}
    if aside:
        whole = whole.iloc[[i for i in range(len(whole)) if i not in aside]]
        whole = whole.reset_index(drop=True)
    title = "name" if read.titled else read.name_column
    whole.attrs = {
        **table.attrs,
        "carried": list(given.columns),
        "titles": None if title is None else renamed.get(title, title),
    }
    return whole
