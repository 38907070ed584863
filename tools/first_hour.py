"""Three newcomers walk through the README: a chemist, one with a batch, a statistician.

python -m tools.first_hour                       a wheel, an empty environment, all three walks
python -m tools.first_hour --walks statistician  one of them
python -m tools.first_hour --borrow              dependencies of this environment, none installed

Each knows one section of the README: its Python block is run as it stands in an empty
folder, then its commands, with a table where one is named. What was made is listed with
the seconds it took; the first thing that fails ends the walk with its last lines, exit code 1.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
WALKS = {"chemist": "A chemist", "batch": "A batch", "statistician": "A statistician"}
#: What a newcomer brings: the series that the README calls table.csv, and a run file.
_GROUPS = [f"c1cc({a})ccc1{b}" for a in ("F", "Cl", "OC", "C") for b in ("C", "O", "N")]
_VALUES = ["5.1", "6.0", "7.0", "5.5", "6.5", ">7.2", "5.0", "5.9", "6.8", "5.2", "6.1", "6.9"]
BROUGHT = {
    "table.csv": "smiles,pIC50\n" + "".join(f"{s},{v}\n" for s, v in zip(_GROUPS, _VALUES)),
    "run.yaml": "n: 300\nseed: 1\nfilters: default\nselect: {n: 20}\n",
}


def section(title: str) -> str:
    """The text of a section of the README."""
    text = (ROOT / "README.md").read_text("utf-8")
    return text.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def steps(title: str) -> list[tuple[str, str]]:
    """What a section says to do, in its order: ("python", code) and ("shell", line)."""
    text = section(title)
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    lines = [
        " ".join(line.split()) for line in re.findall(r"`((?:molgen|trial-sim) [^`]*)`", prose)
    ]
    # "--shard 3/8, then molgen merge" needs eight machines
    return [("python", c) for c in code] + [("shell", x) for x in lines if "merge" not in x]


def environment(folder: Path, borrow: bool) -> Path:
    """An environment that holds the wheel of this tree and nothing else; returns its programs.

    Raises:
        subprocess.CalledProcessError: the wheel cannot be built or installed.
    """
    wheels, home = folder / "wheels", folder / "environment"
    pip = [sys.executable, "-m", "pip"]
    build = [*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(wheels), str(ROOT)]
    subprocess.run(build, check=True)
    wheel = next(wheels.glob("*.whl"))
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    programs = home / ("Scripts" if os.name == "nt" else "bin")
    install = [str(programs / "python"), "-m", "pip", "install", "--quiet", str(wheel)]
    if borrow:
        install.append("--no-deps")
    else:
        install += ["--constraint", str(ROOT / "constraints.txt")]
    subprocess.run(install, check=True)
    if borrow:
        asked = [
            str(programs / "python"),
            "-c",
            "import sysconfig; print(sysconfig.get_path('purelib'))",
        ]
        place = Path(
            subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
        )
        # read after the environment's own, and its .pth files are not
        (place / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return programs


def walk(name: str, programs: Path, folder: Path) -> list[str]:
    """Take one walk; returns a line for each step.

    Raises:
        subprocess.CalledProcessError: a step failed.
    """
    folder.mkdir()
    for file, text in BROUGHT.items():
        (folder / file).write_text(text, encoding="utf-8")
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    clean["PATH"] = os.pathsep.join([str(programs), clean["PATH"]])
    told = []
    for kind, text in steps(WALKS[name]):
        before, began = set(folder.rglob("*")), time.perf_counter()
        python = str(programs / "python")
        command = (
            [python, "-c", text] if kind == "python" else ["bash", "-o", "pipefail", "-c", text]
        )
        done = subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True)
        if done.returncode:
            print(done.stderr[-1_500:], file=sys.stderr)
            raise subprocess.CalledProcessError(done.returncode, text)
        made = sorted(p.name for p in set(folder.rglob("*")) - before if p.is_file())
        what = text if kind == "shell" else f"the Python block of {len(text.splitlines())} lines"
        lines = len(done.stdout.splitlines())
        files = f"; made {', '.join(made[:4])}{' ...' if len(made) > 4 else ''}" if made else ""
        told.append(f"  {time.perf_counter() - began:6.1f} s  {what}: {lines} lines{files}")
    return told


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="first_hour", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--walks", nargs="+", choices=WALKS, default=list(WALKS))
    parser.add_argument("--borrow", action="store_true", help="dependencies of this environment")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        began = time.perf_counter()
        programs = environment(Path(name), given.borrow)
        print(f"installed in {time.perf_counter() - began:.1f} s")
        for walker in given.walks:
            print(f"{walker}:")
            try:
                print("\n".join(walk(walker, programs, Path(name) / walker)), flush=True)
            except subprocess.CalledProcessError as error:
                print(f"  failed, exit code {error.returncode}: {str(error.cmd)[:300]}")
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
