"""Whatever stands at the place of a result, it is filled and stays what it was."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from molgen.base import output_places

PROGRAM = """
import sys
from molgen.base.output_places import replacing, try_place
sys.stdout.write("before\\n")
for place in sys.argv[1:]:
    try_place(place)
    with replacing(place) as made:
        made.write_text("result\\n")
"""


def _run(*places: str, **streams: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-c", PROGRAM, *places], check=True, **streams)


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link", "chain"])
@pytest.mark.parametrize("into", ["pipe", "file", "appended"])
def test_a_stream_gets_the_bytes_and_stays_a_stream(tmp_path: Path, name: str, into: str) -> None:
    (tmp_path / "link").symlink_to("/dev/stdout")
    (tmp_path / "chain").symlink_to("link")
    place = name if name.startswith("/") else str(tmp_path / name)
    links = {p: os.readlink(p) for p in ("/dev/stdout", tmp_path / "link", tmp_path / "chain")}
    if into == "pipe":
        done = _run(place, stdout=subprocess.PIPE)
        assert done.stdout == b"before\nresult\n"
    else:
        target = tmp_path / "out.txt"
        target.write_bytes(b"old\n")
        with target.open("ab" if into == "appended" else "wb") as sink:
            _run(place, stdout=sink)
        assert (
            target.read_bytes() == (b"old\n" if into == "appended" else b"") + b"before\nresult\n"
        )
    assert {p: os.readlink(p) for p in links} == links


@pytest.mark.parametrize("there", [True, False], ids=["to a file", "to nothing yet"])
@pytest.mark.parametrize("relative", [True, False])
def test_a_link_stays_a_link_and_its_file_is_replaced(
    tmp_path: Path, there: bool, relative: bool
) -> None:
    (tmp_path / "scratch").mkdir()
    target, link = tmp_path / "scratch" / "real.csv", tmp_path / "out.csv"
    if there:
        target.write_text("before")
        target.chmod(0o640)
    link.symlink_to(Path("scratch/real.csv") if relative else target)
    output_places.try_place(link)
    with output_places.replacing(link) as made:
        made.write_text("after")
    assert link.is_symlink() and target.read_text() == "after"
    if there:
        assert stat.S_IMODE(target.stat().st_mode) == 0o640
        with pytest.raises(OSError, match="full"), output_places.replacing(link):
            raise OSError("full")
        assert target.read_text() == "after"
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["out.csv", "real.csv", "scratch"]


def test_a_device_and_a_named_pipe_are_not_replaced(tmp_path: Path) -> None:
    _run("/dev/null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    _run(str(pipe), stdout=subprocess.DEVNULL)
    reader.join(10)
    assert got == [b"result\n"] and stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize(
    "command",
    [
        ["molgen", "standardize", "{file}", "--rejects", "/dev/stdout", "-q"],
        ["trial_sim", "design", "{study}", "-o", "/dev/stdout"],
    ],
    ids=["molgen", "trial_sim"],
)
def test_the_commands_leave_the_machine_its_streams(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "a.smi").write_text("CCO a\nC1CC b\n")
    (tmp_path / "study.yaml").write_text(
        "title: t\ndesign:\n  arms: {a: 1, b: 1}\n  n_patients: 100\n  accrual: {rate: 10}\n"
        "  looks: {events: [60]}\n  test: logrank\n"
        "outcomes: {control_median: 12, hazard_ratio: 0.7}\n"
    )
    words = [w.format(file=tmp_path / "a.smi", study=tmp_path / "study.yaml") for w in command[1:]]
    run = [sys.executable, "-c", f"from {command[0]}.cli import app; app()", *words]
    link, target = os.readlink("/dev/stdout"), tmp_path / "all.txt"
    with target.open("wb") as sink:
        subprocess.run(run, check=True, stdout=sink)
    assert os.path.islink("/dev/stdout") and os.readlink("/dev/stdout") == link
    said = target.read_text()
    assert ("ring closure" in said and "CCO" in said) or "n_patients: 100" in said


@pytest.mark.parametrize("ending", [".png", ".pdf", ".PNG", ".docx", ".html", ".svg", "", ".v2"])
@pytest.mark.parametrize(
    ("command", "right"),
    [
        (["molgen", "draw", "{file}", "-o"], (".svg",)),
        (["molgen", "report", "{file}", "-o"], (".html",)),
        (["trial_sim", "audit", "gehan", "--synthetic", "{table}", "-o"], (".html",)),
    ],
    ids=["draw", "report", "audit"],
)
def test_no_file_has_the_name_of_another_kind(
    tmp_path: Path, command: list[str], right: tuple[str, ...], ending: str, monkeypatch: Any
) -> None:
    from importlib import import_module

    from typer.testing import CliRunner

    (tmp_path / "a.smi").write_text("CCO a\nc1ccccc1 b\n")
    (tmp_path / "t.csv").write_text("no\n")
    target = tmp_path / f"out{ending}"
    words = [w.format(file=tmp_path / "a.smi", table=tmp_path / "t.csv") for w in command[1:]]
    program = import_module(f"{command[0]}.cli").app
    done = CliRunner().invoke(program, [*words, str(target)])
    promised = ending in ("", ".v2", *right)
    refused = "is written as" in done.stderr
    assert refused != promised, done.output
    if refused:
        assert done.exit_code == 2 and f"out{right[0]}" in done.stderr.replace("\n", "")
        assert not target.exists()
    elif command[0] == "molgen":
        assert done.exit_code == 0, done.output
        assert b"<svg" in target.read_bytes() or b"<!doctype html>" in target.read_bytes()
