"""The site of ``docs/``: complete, built without warnings, and read without a network."""

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
HAS_MKDOCS = importlib.util.find_spec("mkdocs") and importlib.util.find_spec("mkdocstrings")
DESCRIBED = yaml.safe_load((ROOT / "docs/audit_measures.yml").read_text("utf-8"))


def named_in_code(package: str) -> set[str]:
    """Names of measures that stand as texts in the calls of ``Measure`` of a package."""
    found = set()
    for path in (ROOT / package / "auditing").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Measure":
                argument = node.args[0 if package == "trial_sim" else 1]
                if isinstance(argument, ast.Constant):
                    found.add(argument.value)
    return found


@pytest.mark.parametrize("package", ["molgen", "trial_sim"])
def test_every_audit_measure_has_a_page(package: str) -> None:
    pages = {m["name"] for m in DESCRIBED if m["package"] == package}
    named = named_in_code(package)
    assert len(named) > 8
    assert named - pages == set()


def test_measures_of_a_real_audit_have_pages() -> None:
    import trial_sim as ts

    trial = ts.load_trial("gehan")
    fitted = ts.fit(trial, "relapse", model="weibull", covariate_model="bootstrap", seed=0)
    table = ts.audit(trial, fitted.sample_trial({"control": 21, "6-MP": 21}, seed=1)).table
    pages = {m["name"] for m in DESCRIBED if m["package"] == "trial_sim"}
    assert set(table["measure"]) - pages == set()


def test_rules_in_the_documents_are_those_applied() -> None:
    from trial_sim.auditing.compared.rules import RULES

    spec = importlib.util.spec_from_file_location("build_pages", ROOT / "docs/build_pages.py")
    build_pages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build_pages)
    ours = {m["name"]: m for m in DESCRIBED if m["package"] == "trial_sim"}
    assert not [m["name"] for m in ours.values() if "rule" in m]  # declared in one place
    assert set(RULES) - set(ours) == set()
    for name, rule in RULES.items():
        assert f"| **Rule** | {rule.words} |" in build_pages.measure_page(ours[name])


def test_descriptions_of_measures_are_whole() -> None:
    for measure in DESCRIBED:
        assert {"package", "section", "name", "what", "formula"} <= set(measure), measure["name"]
    assert len({(m["package"], m["section"], m["name"]) for m in DESCRIBED}) == len(DESCRIBED)


def test_python_in_the_documents_is_python() -> None:
    for path in ROOT.glob("docs/**/*.md"):
        for code in re.findall(r"```python\n(.*?)```", path.read_text("utf-8"), re.DOTALL):
            ast.parse(code)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_MKDOCS, reason="the extra 'docs' is not installed")
def test_the_site_builds_strictly_and_fetches_nothing(tmp_path: Path) -> None:
    site = tmp_path / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(site)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2_000:]
    pages = list(site.rglob("*.html"))
    assert len(pages) > 100
    fetched = re.compile(r'<(?:script|img|iframe|link rel="stylesheet")[^>]*"https?://')
    assert [p.name for p in pages if fetched.search(p.read_text("utf-8"))] == []


def test_tutorials_show_what_their_code_draws() -> None:
    spec = importlib.util.spec_from_file_location("build_pages", ROOT / "docs/build_pages.py")
    build_pages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build_pages)
    for path in sorted(ROOT.glob("notebooks/*.ipynb")):
        text = build_pages.notebook(path)
        assert "](data:image/" in text or "<svg" in text, path.name
