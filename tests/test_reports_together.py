"""The reports of both packages as one: same stylesheet, offline, small, accessible in a browser."""

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
AXE = importlib.util.find_spec("axe_core_python")
NAMES = ("molecules", "molecule audit", "arm audit", "simulation", "prediction", "demo index")


def test_both_packages_hold_the_same_stylesheet() -> None:
    one, two = (ROOT / p / "templates" / "style.css" for p in ("molgen/report", "trial_sim"))
    assert one.read_text("utf-8") == two.read_text("utf-8")


@pytest.mark.parametrize(
    "path",
    sorted(
        [*ROOT.glob("molgen/report/templates/*.htm*"), *ROOT.glob("trial_sim/templates/*.htm*")]
    ),
    ids=lambda p: p.name,
)
def test_every_template_takes_the_stylesheet(path: Path) -> None:
    text = path.read_text("utf-8")
    assert '{% include "style.css" %}' in text
    assert 'name="color-scheme"' in text and 'lang="en"' in text


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One small page of every kind."""
    import molgen
    import trial_sim as ts
    from molgen.report.page import report
    from tools.demo import Made, index

    folder = tmp_path_factory.mktemp("reports")
    made = {name: folder / f"{name.replace(' ', '_')}.html" for name in NAMES}
    smiles = ["CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C)C(=O)N2C", "O=C(O)c1ccccc1O"]
    table = molgen.describe(smiles)
    filtered = molgen.filter_molecules(smiles)
    table.insert(1, "passed", filtered["passed"].to_numpy())
    table.insert(2, "reasons", filtered["reasons"].to_numpy())
    table.attrs["funnel"] = filtered.attrs["funnel"]
    report(table, made["molecules"], reference=None)
    members, others = (["C" * n + end for n in range(1, 61)] for end in ("O", "N"))
    molgen.audit_samples(members[:40], members, others).to_html(made["molecule audit"])
    trial = ts.load_trial("gehan")
    fitted = ts.fit(trial, "relapse", model="weibull", covariate_model="bootstrap", seed=0)
    synthetic = fitted.sample_trial({"control": 21, "6-MP": 21}, seed=1)
    ts.audit(trial, synthetic, endpoint="relapse").to_html(made["arm audit"])
    design = ts.Design(
        arms={"control": 1, "treatment": 1}, n_patients=100, accrual=ts.Accrual(rate=20),
        looks=ts.EventLooks([40, 60]),
    )  # fmt: skip
    outcomes = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.6)
    result = ts.simulate(design, outcomes, n_trials=50, seed=1)
    ts.simulation_report(result).to_html(made["simulation"])
    seen = result.replay(0).data[0]
    expected = ts.predict(seen, design, opened="2026-01-15", last_seen="followed", n_draws=50)
    expected.to_html(made["prediction"], earlier=expected)
    made["demo index"] = index(folder, [Made(p, n) for n, p in made.items()], 1.0)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_small_and_fetches_nothing(name: str, pages: dict[str, Path]) -> None:
    text = pages[name].read_text("utf-8")
    assert len(text.encode()) < 5_000_000
    assert not re.findall(r"""(?:src|href)=["']https?:|url\(["']?https?:|@import|fetch\(""", text)
    assert "@media print" in text and "prefers-color-scheme" in text


def violations(page: Path, folder: Path, dark: bool) -> list[str]:
    """Serious and critical findings of axe-core in headless Chromium."""
    assert AXE is not None and AXE.origin is not None
    script = Path(AXE.origin).with_name("axe.min.js").read_text("utf-8")
    probe = (
        "<script>axe.run().then(function (r) { var p = document.createElement('pre');"
        "p.id = 'axe'; p.textContent = JSON.stringify(r.violations.map(function (v) {"
        "return [v.impact, v.id, v.nodes.length, v.nodes[0].html.slice(0, 90)]; }));"
        "document.body.appendChild(p); });</script>"
    )
    theme = "<script>document.documentElement.dataset.theme = 'dark'</script>" if dark else ""
    text = page.read_text("utf-8")
    tested = folder / "tested.html"
    injected = f"{theme}<script>{script}</script>{probe}</body>"
    tested.write_text(text.replace("</body>", injected), encoding="utf-8")
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
        "--virtual-time-budget=20000", tested.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    found = re.search(r'<pre id="axe">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, "axe-core did not finish"
    rows = json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    return [str(row) for row in rows if row[0] in ("serious", "critical")]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None or AXE is None, reason="needs Chromium and axe-core-python")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", NAMES)
def test_axe_finds_nothing_serious(
    name: str, dark: bool, pages: dict[str, Path], tmp_path: Path
) -> None:
    assert violations(pages[name], tmp_path, dark) == []
