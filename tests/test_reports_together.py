"""The reports of both packages as one: same stylesheet, offline, small, accessible in a browser."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from benchmarks.pages import find_axe, find_browser, look

ROOT = Path(__file__).parent.parent
CHROMIUM, AXE = find_browser(), find_axe()
NAMES = (
    "molecules", "molecule audit", "series", "campaign", "arm audit", "simulation", "prediction",
    "demo index",
)  # fmt: skip
TEMPLATES = sorted(
    [*ROOT.glob("molgen/report/templates/*.htm*"), *ROOT.glob("trial_sim/templates/*.htm*")]
)


def test_both_packages_hold_the_same_stylesheet() -> None:
    one, two = (ROOT / p / "templates" / "style.css" for p in ("molgen/report", "trial_sim"))
    assert one.read_text("utf-8") == two.read_text("utf-8")


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda p: p.name)
def test_every_template_takes_the_stylesheet(path: Path) -> None:
    text = path.read_text("utf-8")
    assert '{% include "style.css" %}' in text
    assert 'name="color-scheme"' in text and 'lang="en"' in text
    # what may be pushed sideways can be reached by the keyboard
    assert text.count('class="scroll"') == text.count('class="scroll" tabindex="0"')


def test_on_paper_no_cell_is_broken_letter_by_letter() -> None:
    style = (ROOT / "trial_sim/templates/style.css").read_text("utf-8")
    paper = style[style.index("@media print") :]
    assert "anywhere" not in paper
    for path in TEMPLATES:
        for rules in path.read_text("utf-8").split("@media print")[1:]:
            assert "anywhere" not in rules.split("</style>")[0].split("\n}")[0], path.name


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
    groups = [f"c1cc({a})ccc1{b}" for a in ("F", "Cl", "OC", "C") for b in ("C", "O", "N")]
    values = [5.1, 6.0, 7.0, 5.5, 6.5, ">7.2", 5.0, 5.9, 6.8, 5.2, 6.1, 6.9]
    molgen.sar(groups, values, core="c1ccccc1").to_html(made["series"])
    campaign = molgen.Campaign("maximise pIC50", library=groups, seed=1)
    plate = campaign.suggest(6)
    plate["pIC50"] = [5.0, ">7", 6.1, 5.5, "failed", 6.4]
    campaign.tell(plate)
    campaign.suggest(4)
    campaign.to_html(made["campaign"])
    made["demo index"] = index(folder, [Made(p, n) for n, p in made.items()], 1.0)
    return made


class Tables(HTMLParser):
    """The tables of a page (classes, number of head cells, cells without a label), its drawings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[tuple[str, int, int]] = []
        self.nameless: list[str] = []
        self._drawing: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "table":
            self.tables.append((f"{given.get('class') or ''} {given.get('id') or ''}", 0, 0))
        if self.tables and tag in ("th", "td"):
            kind, heads, bare = self.tables[-1]
            is_head = tag == "th" and given.get("scope") != "row"
            number = tag == "td" and "n" in (given.get("class") or "").split()
            self.tables[-1] = (kind, heads + is_head, bare + (number and "data-label" not in given))
        if self._drawing and tag != "title":
            self.nameless.append(self._drawing)
        self._drawing = None
        if tag == "svg" and given.get("role") == "img" and "aria-label" not in given:
            self._drawing = str(given)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_small_and_fetches_nothing(name: str, pages: dict[str, Path]) -> None:
    text = pages[name].read_text("utf-8")
    assert len(text.encode()) < 5_000_000
    fetched = r"""src=["']https?:|<link[^>]*https?:|url\(["']?https?:|@import|fetch\("""
    assert not re.findall(fetched, text)
    assert "@media print" in text and "prefers-color-scheme" in text


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_wide_tables_become_lists_on_a_telephone_and_drawings_have_names(
    name: str, pages: dict[str, Path]
) -> None:
    read = Tables(pages[name].read_text("utf-8"))
    for kind, heads, bare in read.tables:
        if heads > 6 and "molecules" not in kind:
            assert "stacks" in kind.split(), (kind, heads)
        if "stacks" in kind.split():
            assert not bare, (kind, heads)
    assert not read.nameless[:1]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None or AXE is None, reason="needs Chromium and axe-core-python")
@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_read_on_a_telephone_on_paper_and_by_all(
    name: str, pages: dict[str, Path]
) -> None:
    seen = look(pages[name], CHROMIUM, AXE, printed=False)
    assert seen.findings == () and seen.in_the_dark == ()
    assert (seen.telephone, seen.paper, seen.cut, seen.pushed) == (0, 0, (), ())
