"""`pip install .` from a copy into an empty environment: both packages work outside the clone."""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CODE = """
import molgen, trial_sim, pathlib, sys
home = pathlib.Path(molgen.__file__).resolve()
assert pathlib.Path(sys.prefix).resolve() in home.parents, home
assert len(molgen.load_model("moses").sample(3, seed=0)) == 3
assert molgen.filter_molecules(["CCO"])["passed"].all()
assert trial_sim.load_trial("colon").n_patients == 929
table = molgen.describe(["CCO"])
from molgen.report.page import report
report(table, "page.html", reference=None)
assert "prefers-color-scheme" in pathlib.Path("page.html").read_text("utf-8")
assert molgen.__version__ == "0.1.0", molgen.__version__
print("works")
"""


@pytest.mark.slow
def test_an_installed_copy_works_outside_the_clone(tmp_path: Path) -> None:
    source, home = tmp_path / "source", tmp_path / "environment"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("molgen", "trial_sim"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    binary = home / ("Scripts" if sys.platform == "win32" else "bin")
    python = binary / "python"
    where = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    # dependencies come from this environment; the packages themselves must not
    here = sysconfig.get_path("purelib")
    install = [
        sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation",
        "--target", where, str(source),
    ]  # fmt: skip
    done = subprocess.run(install, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2_000:]
    # sys.path order: the new environment first, and an editable finder there is not started
    code = f"import sys; sys.path.append({here!r})\n{CODE}"
    done = subprocess.run(
        [python, "-W", "ignore", "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    assert done.stdout.strip().endswith("works")
    asked = f"import sys; sys.path.append({here!r})\nfrom trial_sim.cli import app; app(['--help'])"
    shown = subprocess.run([python, "-c", asked], cwd=tmp_path, capture_output=True, text=True)
    assert "simulate" in shown.stdout
