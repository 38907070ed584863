"""Calls of code that is not ours: Python callables and external programs that may fail or hang.

Whatever they do, the answer is one number or one reason a molecule: an exception, NaN, a hang, a
crash or a wrong number of lines costs the molecule concerned its value and nothing else.
"""

from __future__ import annotations

import ctypes
import math
import queue
import shlex
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Answer:
    """A value, or NaN and the reason why there is none.

    Attributes:
        value: The number.
        problem: Why there is none.
        note: What else to know.
        trust: Share of its score that a molecule keeps: below 1 outside a model's domain.
        beside: What stands in the table beside the value, such as the ends of an interval.
    """

    value: float
    problem: str | None = None
    note: str | None = None
    trust: float = 1.0
    beside: Mapping[str, Any] = field(default_factory=dict)


def _checked(value: Any) -> Answer:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return Answer(math.nan, f"returned {value!r}, not a number")
    if not math.isfinite(number):
        return Answer(math.nan, f"returned {number}")
    return Answer(number)


# ---- Python callables ----------------------------------------------------------------------------
class _Worker:
    """A daemon thread that calls one function; abandoned when the function hangs."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, daemon=True, name="molgen-callable")
        self._thread.start()

    def _serve(self) -> None:
        while True:
            argument = self._inbox.get()
            if argument is _STOP:
                return
            try:
                self._outbox.put((True, self._function(argument)))
            except _Abandoned:
                return
            except Exception as error:  # whatever the user's code raises
                self._outbox.put((False, error))

    def call(self, argument: Any, timeout: float | None) -> tuple[bool, Any]:
        """(True, result) or (False, exception); raises queue.Empty after ``timeout`` seconds."""
        self._inbox.put(argument)
        return self._outbox.get(timeout=timeout)

    def stop(self) -> None:
        self._inbox.put(_STOP)

    def abandon(self) -> None:
        """Ask a thread that runs Python code to end; one that waits inside C is left alone."""
        if self._thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self._thread.ident), ctypes.py_object(_Abandoned)
            )
        self.stop()


class _Abandoned(BaseException):
    """Raised inside a thread whose answer is no longer wanted."""


_STOP = object()


def call_each(
    function: Callable[[str], float], smiles: Sequence[str], timeout: float | None = 60.0
) -> list[Answer]:
    """``function(smiles)`` for each molecule, at most ``timeout`` seconds each.

    Args:
        function: SMILES -> number.
        smiles: The molecules.
        timeout: Seconds for one molecule; None waits for ever. A call that hangs is left behind
            in its thread (Python code there is interrupted) and the next molecule is asked.
    """
    answers: list[Answer] = []
    worker = _Worker(function)
    for text in smiles:
        try:
            good, result = worker.call(text, timeout)
        except queue.Empty:
            worker.abandon()
            worker = _Worker(function)
            answers.append(Answer(math.nan, f"gave no answer within {timeout:g} s"))
            continue
        if good:
            answers.append(_checked(result))
        else:
            answers.append(Answer(math.nan, f"raised {type(result).__name__}: {result}"))
    worker.stop()
    return answers


def call_batch(
    function: Callable[[list[str]], Sequence[float]],
    smiles: Sequence[str],
    timeout: float | None = 600.0,
    halve: bool = True,
) -> list[Answer]:
    """``function(list of SMILES)``; a batch that fails is halved until the culprit is alone.

    Args:
        function: List of SMILES -> one number each.
        smiles: The molecules.
        timeout: Seconds for a batch.
        halve: False lets a batch that fails fail as a whole.
    """

    def attempt(part: list[str]) -> list[Answer] | str:
        worker = _Worker(function)
        try:
            good, result = worker.call(part, timeout)
        except queue.Empty:
            worker.abandon()
            return f"gave no answer within {timeout:g} s"
        worker.stop()
        if not good:
            return f"raised {type(result).__name__}: {result}"
        if isinstance(result, (str, bytes, Mapping)):
            return f"returned a {type(result).__name__}, not a list of numbers"
        try:
            values = list(result)
        except TypeError:
            return f"returned {type(result).__name__}, not a list of numbers"
        if len(values) != len(part):
            return f"returned {len(values)} values for {len(part)} molecules"
        return [_checked(value) for value in values]

    return _bisect(attempt, list(smiles), halve)


_PROBED = 5
"""Molecules on which it is seen whether a function takes one SMILES or a list."""


class UserFunction:
    """A user's score: a function of one SMILES, or of a list; seen once, from its first answers.

    Args:
        function: SMILES -> number, or list of SMILES -> numbers (a list, an array, a Series).
        forms: "one" and "list" in the order in which they are tried.
        one_timeout: Seconds for one molecule.
        list_timeout: Seconds for a list.

    Examples:
        >>> from molgen.scoring.guarded_calls import UserFunction
        >>> [answer.value for answer in UserFunction(len)(["CCO", "C"])]
        [3.0, 1.0]
        >>> [answer.value for answer in UserFunction(lambda all: [len(s) for s in all])(["CCO"])]
        [3.0]
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        forms: Sequence[str] = ("list", "one"),
        one_timeout: float | None = 600.0,
        list_timeout: float | None = 600.0,
    ) -> None:
        self._function = function
        self._forms = tuple(forms)
        self._one_timeout, self._list_timeout = one_timeout, list_timeout
        self.form: str | None = None

    def __call__(self, smiles: Sequence[str]) -> list[Answer]:
        """One answer a molecule."""
        texts = list(smiles)
        answers: list[Answer] = []
        while self.form is None and texts:
            answers += self._probe(texts[:_PROBED])
            texts = texts[_PROBED:]
        return answers + (self._ask(self.form, texts) if self.form and texts else [])

    def _ask(self, form: str, smiles: list[str]) -> list[Answer]:
        if form == "one":
            return call_each(self._function, smiles, self._one_timeout)
        return call_batch(self._function, smiles, self._list_timeout)

    def _probe(self, smiles: list[str]) -> list[Answer]:
        """Answers of a few molecules in the first form that gives a number; it is then decided."""
        tries: dict[str, Callable[[], list[Answer]]] = {
            "list": lambda: call_batch(self._function, smiles, self._list_timeout, halve=False),
            "one": lambda: call_each(_plain_number(self._function), smiles, self._one_timeout),
        }
        attempts = [(form, tries[form]) for form in self._forms]
        # a list with one molecule that the function cannot stand fails as a whole
        attempts.append(("list", lambda: self._ask("list", smiles)))
        first: list[Answer] | None = None
        for form, attempt in attempts:
            answers = attempt()
            if any(answer.problem is None for answer in answers):
                self.form = form
                return answers
            first = first or answers
        return first or answers


def _plain_number(function: Callable[[Any], Any]) -> Callable[[str], Any]:
    """The function, but what holds several values (one a letter) is no number."""

    def asked(text: str) -> Any:
        result = function(text)
        if (
            isinstance(result, Mapping)
            or getattr(result, "shape", None)
            or isinstance(result, (list, tuple))
        ):
            raise TypeError(f"returned a {type(result).__name__} for one molecule, not a number")
        return result

    return asked


# ---- external programs ---------------------------------------------------------------------------
def split_command(command: str | Sequence[str]) -> list[str]:
    """A command as a list of arguments; a string is split as a shell would, without a shell.

    Raises:
        ValueError: If it is empty.
    """
    arguments = shlex.split(command) if isinstance(command, str) else [str(a) for a in command]
    if not arguments:
        raise ValueError("command is empty: name a program that reads SMILES and writes numbers")
    return arguments


def run_program(
    command: str | Sequence[str],
    smiles: Sequence[str],
    timeout: float = 600.0,
    column: int = 0,
) -> list[Answer]:
    """Numbers from a program that reads one SMILES a line on stdin and writes one line each.

    A run that crashes, hangs or writes a wrong number of lines is repeated on halves of the batch
    until the molecule to blame is alone; that one has no value, all others keep theirs.

    Args:
        command: Program and arguments.
        smiles: The molecules.
        timeout: Seconds for one run.
        column: Which of the blank- or comma-separated fields of an output line is the number.
    """
    arguments = split_command(command)

    def attempt(part: list[str]) -> list[Answer] | str:
        try:
            done = subprocess.run(
                arguments,
                input="\n".join(part) + "\n",
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"{arguments[0]} gave no answer within {timeout:g} s"
        except (OSError, UnicodeDecodeError) as error:
            return f"{arguments[0]} could not be run: {error}"
        if done.returncode != 0:
            last = done.stderr.strip().splitlines()[-1:] or ["no message"]
            return f"{arguments[0]} ended with status {done.returncode}: {last[0][:200]}"
        lines = done.stdout.strip("\n").split("\n") if done.stdout.strip() else []
        if len(lines) != len(part):
            return f"{arguments[0]} wrote {len(lines)} lines for {len(part)} molecules"
        return [_number(line, column) for line in lines]

    return _bisect(attempt, list(smiles))


def _number(line: str, column: int) -> Answer:
    fields = line.replace(",", " ").split()
    if column >= len(fields):
        return Answer(math.nan, f"wrote {line!r}, which has no field {column}")
    return _checked(fields[column])


def _bisect(
    attempt: Callable[[list[str]], list[Answer] | str], smiles: list[str], halve: bool = True
) -> list[Answer]:
    if not smiles:
        return []
    result = attempt(smiles)
    if not isinstance(result, str):
        return result
    # A program that cannot be started fails for all: no use in asking for each.
    if len(smiles) == 1 or not halve or "could not be run" in result:
        return [Answer(math.nan, result)] * len(smiles)
    middle = len(smiles) // 2
    return _bisect(attempt, smiles[:middle]) + _bisect(attempt, smiles[middle:])
