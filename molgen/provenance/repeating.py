"""The command that wrote a file, run again in a process of its own, and what it writes compared."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molgen.base.run_log import digest_of
from molgen.files.provenance_records import Provenance

if TYPE_CHECKING:
    import pandas as pd

#: Options that name a file or folder that is written.
OUTPUT_WORDS = (
    "--output", "--report", "--rejects", "--json", "--picture", "--curve", "--sdf", "--save",
    "--funnel", "--log",
)  # fmt: skip
#: How far numbers may part on another kind of processor, where sums have another order.
ELSEWHERE = 1e-9
#: Options under which the clock, and not the seed, says when a run ends.
BY_THE_CLOCK = ("--minutes", "--max-minutes", "--timeout")


class CannotBeRepeated(ValueError):
    """A command that cannot be run again, with the reason."""


def repeated(made: Provenance, path: Path, folder: Path) -> Path:
    """Run the command of a record again with all that it writes in ``folder``.

    Returns:
        The file that it wrote in the place of ``path``.

    Raises:
        CannotBeRepeated: no command is known, an input is gone or changed, or it fails now.
    """
    words = list(made.command)
    if not words:
        raise CannotBeRepeated("its record names no command that wrote it")
    if "-" in words:
        raise CannotBeRepeated("the molecules came from standard input, which no file holds")
    clock = [word for word in BY_THE_CLOCK if word in words]
    if clock:
        raise CannotBeRepeated(f"{clock[0]} ends a run by the clock")
    where = Path(made.folder)
    for name, digest in made.inputs.items():
        if not (where / name).exists():
            raise CannotBeRepeated(f"the input {where / name} is gone")
        if digest_of(where / name) != digest:
            raise CannotBeRepeated(f"the input {where / name} was changed since")
    written: list[Path] = []
    for at, word in enumerate(words[:-1]):
        if word == "--":
            break
        if word in OUTPUT_WORDS and words[at + 1] != "-":
            words[at + 1] = str(folder / Path(words[at + 1]).name)
            written.append(Path(words[at + 1]))
    environment = {k: v for k, v in os.environ.items() if k != "MOLGEN_LOG"}
    code = "from molgen.cli import app; app(prog_name='molgen')"
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True, text=True, cwd=where, env=environment,
    )  # fmt: skip
    for place in [place for place in written if place.is_dir()]:
        inside = sorted(place.rglob(path.name))
        written += [p for p in inside if p.parent.name == path.parent.name] or inside
    written = [place for place in written if not place.is_dir()]
    named = [place for place in written if place.name == path.name]
    alike = named or [place for place in written if place.suffix == path.suffix]
    if not alike or not alike[0].exists():
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise CannotBeRepeated(f"the command wrote no such file when it was run again: {last}")
    return alike[0]


def parted_rows(held: pd.DataFrame, again: pd.DataFrame) -> tuple[list[tuple[int, str]], bool]:
    """Rows (from 1; 0 for all) that differ from those made again, and whether all bits agree."""
    if list(held.columns) != list(again.columns) or len(held) != len(again):
        return [
            (0, f"has {len(held):,} rows and {held.shape[1]} columns, made again {len(again):,} "
                f"and {again.shape[1]}")
        ], False  # fmt: skip
    found, exact = [], True
    for name in held.columns:
        for row, (one, other) in enumerate(zip(held[name], again[name]), start=1):
            if str(one) == str(other):
                continue
            if _close(str(one), str(other)):
                exact = False
            else:
                found.append((row, f"{name} is {one}, made again it is {other}"))
    return found, exact and not found


#: What a page tells of one run: when it was made, and its record, which names the moment.
_RUN = re.compile(
    r"<time\b.*?</time>|<span class=\"run\">.*?</span>|<p class=\"lead\">Made with.*?</p>"
    r"|<script type=\"application/json\" id=\"provenance\">.*?</script>"
    r"|<dt>(?:processor )?seconds</dt><dd>.*?</dd>",
    re.S,
)
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_OF_RUN = ("seconds", "processor_seconds", "created", "provenance", "environment", "made")


def parted_texts(held: str, again: str) -> tuple[str, bool]:
    """What differs beside date and seconds ("" for nothing), and whether all bits agree."""
    one, other = _without_run(held), _without_run(again)
    if one == other:
        return "", True
    if _NUMBER.sub("#", one) != _NUMBER.sub("#", other):
        at = next((i for i, (a, b) in enumerate(zip(one, other)) if a != b), 0)
        shown = [" ".join(text[max(0, at - 20) : at + 40].split()) for text in (one, other)]
        return f"reads {shown[0]!r}, made again {shown[1]!r}", False
    pairs = zip(_NUMBER.findall(one), _NUMBER.findall(other))
    parted = [(a, b) for a, b in pairs if not _close(a, b)]
    if not parted:
        return "", False
    a, b = parted[0]
    return f"{len(parted)} numbers differ from those made again, the first {a} from {b}", False


def _without_run(text: str) -> str:
    try:
        content = json.loads(text)
    except ValueError:
        return _RUN.sub("", text)

    def kept(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: kept(v) for k, v in value.items() if k not in _OF_RUN}
        return [kept(v) for v in value] if isinstance(value, list) else value

    return json.dumps(kept(content), indent=1)


def _close(one: str, other: str) -> bool:
    try:
        a, b = float(one), float(other)
    except ValueError:
        return False
    return math.isclose(a, b, rel_tol=ELSEWHERE, abs_tol=ELSEWHERE)
