"""The Typer application on which every module of commands registers its own, and its manners."""

import inspect
import json
import sys
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from trial_sim import __version__
from trial_sim.base.run_log import LogError, logged

app = typer.Typer(name="trial-sim", no_args_is_help=True, pretty_exceptions_show_locals=False)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"trial-sim {__version__}")
        raise typer.Exit()


LOG_HELP = "Append a line about the command to this file: what was read, written, and how it ended."


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version),
    ] = False,
    log: Annotated[
        Path | None, typer.Option("--log", envvar="TRIAL_SIM_LOG", help=LOG_HELP)
    ] = None,
) -> None:
    """Synthetic patient arms, and whole trials in silico."""


#: What every command takes beside its own options: letter and help.
_MANNERS = {
    "quiet": ("-q", "Only results, warnings and errors."),
    "verbose": ("-v", "Say on standard error what is being done."),
    "log_json": (None, "What goes to standard error as JSON, an object a line."),
}
_STATE = {"quiet": False, "log_json": False}


def say(level: str, message: object, mark: str = "") -> None:
    """A line on standard error, ``mark`` in front of it, or an object of JSON."""
    text = f"{mark}{message}"
    if _STATE["log_json"]:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        entry = {"time": now, "level": level, "message": str(message)}
        text = json.dumps(entry, ensure_ascii=False)
    typer.echo(text, err=True)


def tell(message: object) -> None:
    """That something was done, unless ``--quiet`` was given."""
    if not _STATE["quiet"]:
        typer.echo(message)


def watched(asked: bool) -> bool:
    """Whether a progress bar was asked for and would be seen."""
    return asked and sys.stderr.isatty() and not _STATE["quiet"] and not _STATE["log_json"]


def plain_errors(command: Callable[..., None]) -> Callable[..., None]:
    """The command with ``--quiet``, ``--verbose`` and ``--log-json`` behind its own options.

    Bad input is one sentence and exit status 2, without a traceback.
    """
    hints = get_type_hints(command, include_extras=True)
    parameters = [
        p.replace(annotation=hints[name])
        for name, p in inspect.signature(command).parameters.items()
    ]
    keyword = inspect.Parameter.KEYWORD_ONLY
    for name, (letter, what) in _MANNERS.items():
        words = [f"--{name.replace('_', '-')}", *([letter] if letter else [])]
        hint = Annotated[bool, typer.Option(*words, help=what)]
        parameters.append(inspect.Parameter(name, keyword, default=False, annotation=hint))

    parameters.append(inspect.Parameter("context", keyword, annotation=typer.Context))
    hint_of_log = Annotated[Path | None, typer.Option("--log", help=LOG_HELP)]
    parameters.append(inspect.Parameter("log", keyword, default=None, annotation=hint_of_log))

    @wraps(command)
    def recorded(*args: Any, context: typer.Context, log: Path | None, **kwargs: Any) -> None:
        place = context.find_root().params.get("log") if log is None else log
        _, _, name = context.command_path.partition(" ")
        given = {k: v for k, v in context.params.items() if k not in ("log", *_MANNERS)}
        try:
            with logged(place, "trial-sim", name, given):
                guarded(*args, **kwargs)
        except LogError as error:
            say("error", error, "error: ")
            raise typer.Exit(2) from error

    def guarded(*args: Any, quiet: bool, verbose: bool, log_json: bool, **kwargs: Any) -> None:
        _STATE.update(quiet=quiet, log_json=log_json)
        plain, said = warnings.showwarning, set()

        def show(message: Any, category: Any, *where: Any, **more: Any) -> None:
            if not log_json and not issubclass(category, UserWarning):
                plain(message, category, *where, **more)
            elif str(message) not in said:  # a file that is read twice warns once
                said.add(str(message))
                say("warning", message, "" if log_json else "warning: ")

        warnings.showwarning = show
        if verbose:
            say("info", f"{command.__name__.removesuffix('_command')}: {kwargs}")
        try:
            command(*args, **kwargs)
        except (ValueError, TypeError, OSError) as error:
            say("error", error, "error: ")
            raise typer.Exit(2) from error
        finally:
            warnings.showwarning = plain
            _STATE.update(quiet=False, log_json=False)

    recorded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    recorded.__annotations__ = {p.name: p.annotation for p in parameters}
    return recorded
