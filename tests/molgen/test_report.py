"""The HTML report: structure, offline, safe, and as a browser shows it."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from rdkit.Chem.AllChem import GetMorganFingerprintAsBitVect
from rdkit.DataStructs import TanimotoSimilarity

from molgen.chem.properties import logp as rdkit_logp
from molgen.filters.filter_sets import filter_molecules
from molgen.provenance import record
from molgen.report import page as report_module
from molgen.report.candidates import (
    Bar,
    chemical_space,
    choose_candidates,
    known_molecules,
)
from molgen.report.charts import histogram_svg, running_best, trajectory_svg
from molgen.report.page import provenance_of_report, report

DATA = Path(__file__).parents[1] / "data"
TEMPLATES = Path(report_module.__file__).parent / "templates"
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
VOID = {"meta", "link", "input", "br", "hr", "img", "wbr"}


class Page(HTMLParser):
    """Checks nesting, and collects what the tests look at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, k, v) for k, v in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, k, v) for k, v in attrs]

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes <{self.open[-1:]}>"
        self.open.pop()

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def smiles() -> list[str]:
    drugs = gzip.decompress((DATA / "approved_drugs.smi.gz").read_bytes()).decode().split()
    return [*drugs[500:530], "C1CC"]


@pytest.fixture(scope="module")
def path(smiles, tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("report") / "molecules.html"
    made = record("sample", {"n": 31, "temperature": 1.0}, seed=7, checkpoint_sha256="ab" * 32)
    with pytest.warns(UserWarning, match="1 of 31 rows are not molecules"):
        return report(
            smiles,
            target,
            title="Thirty drugs & one <mistake>",
            reference=["CCO", "c1ccccc1C(=O)O", "CCCCN"],
            filters="strict",
            metrics={"valid": 30 / 31, "FCD/Test": 1.25},
            provenance=made,
        )


def test_page_holds_everything(path, smiles):
    page = Page(path.read_text())
    assert "Thirty drugs & one <mistake>" in page.text
    for text in ("Properties", "Filter funnel", "Metrics", "Molecules", "Provenance"):
        assert text in page.text
    assert all(s in page.text for s in smiles)
    cards = [v for t, k, v in page.attributes if t == "article" and k == "class"]
    assert cards == ["candidate"] * 12
    assert page.tags.count("tr") == len(smiles) + 1 + 11 + 2  # molecules, metrics, funnel, heads
    structures = [v for t, k, v in page.attributes if t == "svg" and k == "class"]
    # the table, and in each card the candidate beside its nearest known molecule
    assert structures.count("mol") == len(smiles) - 1 + 2 * 12
    assert structures.count("chart") == 12
    assert "1.25" in page.text
    assert "not a molecule" in page.text


def test_page_asks_nothing_of_the_network(path):
    text = path.read_text()
    page = Page(text)
    for tag, name, value in page.attributes:
        assert name not in ("src", "href", "srcset", "action"), (tag, name, value)
    assert "@import" not in text
    assert "url(" not in text
    assert "http" not in text.replace("http-equiv", "")


def test_known_molecules_have_names_and_links(tmp_path):
    house = pd.DataFrame(
        {
            "smiles": ["CCO", "c1ccccc1C(=O)O", "CCCCN", "C1CC"],
            "name": ["ethanol", "benzoic acid", "butylamine", "not a molecule"],
            "link": ["https://example.org/1", "javascript:alert(1)", None, "https://example.org/4"],
        }
    )
    table = pd.DataFrame({"smiles": ["CCO", "Cc1ccccc1C(=O)O"]})
    text = report(table, tmp_path / "r.html", reference=house, properties=["mw"]).read_text()
    assert "nearest in reference, 1.00: " in text and ">ethanol</a>" in text
    assert "benzoic acid" in text and "javascript:" not in text
    page = Page(text)
    links = [(tag, value) for tag, name, value in page.attributes if name == "href"]
    assert set(links) == {("a", "https://example.org/1")}
    public = known_molecules("moses")
    assert public.link(0).startswith("https://pubchem.ncbi.nlm.nih.gov/#query=")
    assert known_molecules(["CCO"]).link(0) == ""  # a house molecule is shown to nobody


def run_script(code: str, tmp_path: Path) -> Any:
    """What the page's scripts answer, run by Node."""
    scripts = "".join((TEMPLATES / f"{n}.js").read_text("utf-8") for n in ("table", "substructure"))
    (tmp_path / "run.js").write_text(f"{scripts}\n{code}", encoding="utf-8")
    done = subprocess.run(["node", tmp_path / "run.js"], capture_output=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.skipif(shutil.which("node") is None, reason="runs the page's script")
def test_the_page_finds_substructures_as_rdkit_does(tmp_path):
    lines = (DATA / "approved_drugs.smi.gz", DATA / "chembl_sample.smi.gz")
    smiles = [s for p in lines for s in gzip.decompress(p.read_bytes()).decode().split("\n") if s]
    smiles = [s.split()[0] for s in smiles[::12]]
    smiles += ["[Na+].[O-]C(=O)c1ccccc1", "C[N+](C)(C)C", "[13CH3]C", "c1cc[se]c1", "C[Si](C)(C)C"]
    mols = [m for m in map(Chem.MolFromSmiles, smiles) if m is not None]
    text = (
        "C c [OX2H] [NH2] [#7] C(=O)N c1ccncc1 c1ccccc1-c1ccccc1 S(=O)(=O)N [N+] [N+](=O)[O-] C#N "
        "[F,Cl,Br,I] [!#6;!#1] [R] [R0] [nH] [CX4] C~N C:C a * [D3] [n;X2] [N;!H0] C1CCNCC1 "
        "c1nc2ccccc2[nH]1 [c;R] [C;R]=[O] [N&H1&R] F.Cl [c,n]1[c,n][c,n][c,n][c,n]1 O~*~O"
    )
    queries = text.split()
    explicit = [Chem.MolToSmiles(m, allHsExplicit=True, isomericSmiles=False) for m in mols]
    code = (
        f"const mols = {json.dumps(explicit)}.map(readMolecule);"
        f"console.log(JSON.stringify({json.dumps(queries)}.map(q => "
        "mols.map(m => holds(m, readQuery(q))))));"
    )
    found = run_script(code, tmp_path)
    for query, answers in zip(queries, found):
        pattern = Chem.MolFromSmarts(query)
        assert answers == [m.HasSubstructMatch(pattern) for m in mols], query
    refused = ["[$(C)]", "[r5]", "C1CC", "C(", "[13C]", "Xx"]
    code = (
        f"console.log(JSON.stringify({json.dumps(refused)}.map(q => "
        "{ try { readQuery(q); return ''; } catch (e) { return e.message; } })));"
    )
    assert all(run_script(code, tmp_path))


@pytest.mark.skipif(shutil.which("node") is None, reason="runs the page's script")
def test_limits_are_sorted_and_filtered_as_what_they_are(tmp_path):
    code = """
    const rows = [["13", "a"], [">10000", "b"], ["", "c"], ["n.d.", "d"], ["<3", "e"], ["3", "f"]];
    const ids = rows => rows.map(r => r[1]).join("");
    const kept = t => ids(rows.filter(r => parseFilter(t, ["IC50 nM", "id"])(r)));
    const sorted = s => ids(rows.slice().sort((x, y) => compare(x[0], y[0], s)));
    console.log(JSON.stringify([kept("IC50_nM>100"), kept("ic50_nm<5"), kept("ic50_nm<=3"),
      kept("ic50_nm<3"), kept("ic50_nm=n.d."), kept("ic50_nm=3 f"), sorted(1), sorted(-1)]));"""
    assert run_script(code, tmp_path) == ["b", "ef", "ef", "e", "d", "f", "efabdc", "bafedc"]


def test_page_carries_its_provenance(path):
    held = provenance_of_report(path)
    assert (held.function, held.seed, held.checkpoint_sha256) == ("sample", 7, "ab" * 32)
    assert held.arguments == {"n": 31, "temperature": 1.0}
    assert len(held.row_digests) == 31


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium installed")
def test_page_in_a_browser(path, tmp_path):
    """Opened in headless Chromium: the script runs, and the picture is not blank."""
    base = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
    ]
    base += [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1280,1800"]
    shot = tmp_path / "page.png"
    url = path.as_uri()
    subprocess.run(
        [*base, f"--screenshot={shot}", url], check=True, capture_output=True, timeout=90
    )
    from PIL import Image

    pixels = np.asarray(Image.open(shot).convert("L"))
    assert pixels.shape == (1800, 1280)
    assert 0.01 < (pixels < 128).mean() < 0.4
    assert pixels[1200:].std() > 10  # the table with structures is on the picture
    dump = subprocess.run([*base, "--dump-dom", url], check=True, capture_output=True, timeout=90)
    assert "31 of 31 shown" in dump.stdout.decode()  # written by the page's script


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium installed")
def test_sorting_searching_and_selecting_in_a_browser(path, smiles, tmp_path):
    text = path.read_text()
    act = """<script>
    document.querySelectorAll('#molecules th button')[2].click();
    var saved = [], make = URL.createObjectURL;
    URL.createObjectURL = function (blob) { saved.push(blob.size); return make(blob); };
    document.querySelectorAll('.candidate .pick')[1].click();
    document.getElementById('csv').click(); document.getElementById('none').click();
    document.getElementById('smi').click();
    var part = document.getElementById('part'); part.value = 'c1ccccc1';
    part.dispatchEvent(new Event('input'));
    var rings = document.querySelectorAll('#molecules tbody tr:not([hidden])').length;
    part.value = 'C(='; part.dispatchEvent(new Event('input'));
    var problem = document.getElementById('problem').textContent;
    part.value = ''; part.dispatchEvent(new Event('input'));
    var box = document.getElementById('passed'); box.checked = true;
    box.dispatchEvent(new Event('change'));
    var rows = Array.from(document.querySelectorAll('#molecules tbody tr'));
    var mw = rows.map(function (r) { return r.cells[3].dataset.v; });
    var shown = rows.filter(function (r) { return !r.hidden; });
    document.title = JSON.stringify({ mw: mw, shown: shown.length, saved: saved, rings: rings,
      problem: problem,
      passed: shown.every(function (r) { return r.dataset.passed === '1'; }) });
    </script></body>"""
    changed = tmp_path / "changed.html"
    changed.write_text(text.replace("</body>", act))
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", changed.as_uri()]
    dump = subprocess.run(command, check=True, capture_output=True, timeout=90).stdout.decode()
    seen = json.loads(dump.split("<title>", 1)[1].split("</title>", 1)[0])
    numbers = [float(x) for x in seen["mw"] if x]
    assert numbers == sorted(numbers)
    assert seen["mw"][-1] == ""  # what has no weight comes last
    assert seen["passed"]
    assert 0 < seen["saved"][0] < seen["saved"][1]  # one molecule as CSV, then all as SMILES
    benzene = Chem.MolFromSmarts("c1ccccc1")
    mols = [Chem.MolFromSmiles(s) for s in smiles[:-1]]
    assert seen["rings"] == sum(m.HasSubstructMatch(benzene) for m in mols)
    assert "open bracket" in seen["problem"]
    assert 0 < seen["shown"] < 31


def test_tables_bring_their_own_columns(tmp_path):
    table = filter_molecules(["CCO", "c1ccccc1"], ["veber"])
    table["score"] = [0.25, np.nan]
    table["name"] = ["<b>one</b>", "two"]
    target = report(table, tmp_path / "r.html", properties=["mw"], reference=None)
    page = Page(target.read_text())
    assert "<b>one</b>" in page.text
    assert "0.25" in page.text
    assert "veber" in page.text
    assert "MOSES" not in page.text


def test_cards_hold_scores_reasons_and_the_nearest_known_molecule(tmp_path):
    known = ["CCO", "c1ccccc1C(=O)O", "CCCCN"]
    table = pd.DataFrame(
        {
            "smiles": ["CCO", "CCCCO", "C1CC", "CCO"],
            "score": [0.2, 0.75, 0.9, 0.2],
            "logp": [0.5, 1.0, 0.0, 0.5],
            "logp (raw)": [-0.1, 0.8, np.nan, -0.1],
            "problems": ["", "qed: too slow", "", ""],
        }
    )
    cards = choose_candidates(table, 5, known)
    assert [c.row for c in cards] == [
        1,
        0,
    ]  # best first, each once, no broken text
    assert cards[1].known == "CCO" and cards[1].similarity == 1.0
    assert 0 < cards[0].similarity < 1
    assert cards[0].bars == (Bar("logp", 1.0, "0.8"),)
    target = report(table, tmp_path / "r.html", properties=["logp"], reference=known)
    page = Page(target.read_text())
    assert "qed: too slow" in page.text and "0.750" in page.text
    # the histogram is of logP, not of the component of that name
    mean = np.mean([rdkit_logp(Chem.MolFromSmiles(s)) for s in ("CCO", "CCCCO", "CCO")])
    assert f"mean {mean:.3g}" in page.text


def test_candidates_that_passed_come_before_those_that_did_not():
    table = pd.DataFrame(
        {"smiles": ["CCO", "CCN", "CCC"], "score": [0.9, 0.1, 0.5], "passed": [False, True, True]}
    )
    assert [c.row for c in choose_candidates(table, 3, [])] == [2, 1, 0]
    table["diverse"] = [True, True, False]
    assert [c.row for c in choose_candidates(table, 2, [])] == [1, 2]


def test_of_molecules_alike_one_is_a_card_while_others_are_left(tmp_path):
    amides = [f"CC(=O)NCCc1ccc({'C' * k}O)cc1" for k in range(2, 14)]
    others = ["c1ccc2[nH]ccc2c1", "CC1(C)SCCN1", "OCC1OC(O)C(O)C1O"]
    table = pd.DataFrame(
        {"smiles": amides + others, "score": [*np.linspace(0.99, 0.9, 12), 0.5, 0.4, 0.3]}
    )
    cards = choose_candidates(table, 4, [])
    assert [c.row for c in cards] == [0, 12, 13, 14]
    prints = [
        GetMorganFingerprintAsBitVect(Chem.MolFromSmiles(table["smiles"][c.row]), 2, 1024)
        for c in cards
    ]
    assert max(TanimotoSimilarity(a, b) for a, b in combinations(prints, 2)) <= 0.5
    assert [c.row for c in choose_candidates(table, 6, [])] == [0, 1, 2, 12, 13, 14]  # filled up
    table["passed"] = [True] * 12 + [False] * 3
    assert max(c.row for c in choose_candidates(table, 6, [])) < 12  # the refused do not come first
    page = report(table, tmp_path / "r.html", properties=["mw"], reference=None).read_text()
    assert "differ from one another" in page


def test_the_page_says_what_was_asked_made_and_refused(tmp_path):
    made = record(
        "sample_where", {"wanted": {"logp": [1, 3]}, "n": 4}, seed=7, notes=["2 of 6 were dropped"]
    )
    smiles = ["CCO", "O=C1C=CC(=O)C=C1", "CCCCCCCCCCCCCCCCCCCCCCCCCC", "CCO"]
    table = filter_molecules(smiles, ["pains", "lipinski"])
    page = report(table, tmp_path / "r.html", properties=["mw", "qed", "sa_score", "fsp3"],
                  reference=None, provenance=made).read_text()  # fmt: skip
    text = re.search(r'<p id="summary">(.*?)</p>', page, re.S)[1]
    for said in ("sample where, seed 7", "n 4", "4 molecules, 3 of them different", "2 of 6 were"):
        assert said in text, text
    passed = int(table["passed"].sum())
    assert f"{passed} passed the filters, {4 - passed} were refused" in text
    names = {item.filter for reasons in table["reasons"] for item in reasons.items}
    assert names and all(f"{name} (" in text for name in names)
    # bars say what they are: an sa_score is ease of synthesis, and fsp3 is no wish
    bars = re.findall(r'<dt title="([^"]*)"', page)
    assert set(bars) == {"drug-likeness", "ease of synthesis"} and "sa_score " in page


def test_the_map_tells_two_chemistries_apart():
    chains = ["C" * n + "O" for n in range(3, 20)]
    rings = [f"c1ccccc1{'C' * n}N" for n in range(1, 18)]
    points, reference, shares = chemical_space(chains[:5] + rings[:5], chains + rings)
    assert points.shape == (10, 2) and reference.shape == (34, 2)
    assert 1 > shares[0] >= shares[1] > 0
    gap = np.abs(points[:5, 0].mean() - points[5:, 0].mean())
    assert gap > 3 * max(points[:5, 0].std(), points[5:, 0].std())


def test_a_search_brings_its_trajectory(tmp_path):
    scores = np.random.default_rng(0).random(60)
    best, top = running_best(scores, 10)
    for i in (0, 3, 9, 30, 59):
        assert best[i] == scores[: i + 1].max()
        assert top[i] == pytest.approx(np.sort(scores[: i + 1])[-10:].mean())
    svg = trajectory_svg(np.arange(60, 0, -1), scores)  # rows come best first, not in call order
    assert svg.count('class="dot"') == 60
    table = pd.DataFrame(
        {"smiles": ["C" * (i + 1) for i in range(60)], "score": scores, "call": range(1, 61)}
    )
    target = report(table, tmp_path / "r.html", properties=["mw"], reference=None)
    assert "mean of the ten best" in Page(target.read_text()).text
    target = report(
        table.drop(columns="call"), tmp_path / "r.html", properties=["mw"], reference=None
    )
    assert "mean of the ten best" not in Page(target.read_text()).text


def test_script_cannot_be_smuggled_in(tmp_path):
    evil = "</script><script>alert(1)</script>"
    table = pd.DataFrame({"smiles": ["CCO"], "name": [evil]})
    made = record("x", {"note": evil})
    target = report(
        table, tmp_path / "r.html", title=evil, properties=["mw"], reference=None, provenance=made
    )
    page = Page(target.read_text())
    assert page.tags.count("script") == 2
    assert provenance_of_report(target).arguments == {"note": evil}


def test_long_lists_are_cut_and_say_so(tmp_path):
    target = report(
        ["C" * (i + 1) for i in range(12)],
        tmp_path / "r.html",
        properties=["mw"],
        reference=None,
        max_structures=5,
    )
    assert "The first 5 of 12 molecules are listed" in target.read_text()


def test_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match="no molecules to report"):
        report([], tmp_path / "r.html")
    with pytest.raises(ValueError, match="Unknown property"):
        report(["CC"], tmp_path / "r.html", properties=["weight"])
    with pytest.raises(ValueError, match="no column 'smiles'"):
        report(pd.DataFrame({"x": [1]}), tmp_path / "r.html")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="Cannot write"):
        report(["CC"], tmp_path / "file" / "r.html", properties=["mw"], reference=None)
    (tmp_path / "other.html").write_text("<html></html>")
    with pytest.raises(ValueError, match="not a report of this package"):
        provenance_of_report(tmp_path / "other.html")


@pytest.mark.parametrize(
    ("values", "reference"),
    [
        (np.array([1.0]), None),
        (np.array([2.0, 2.0]), np.array([2.0])),
        (np.array([0.0, 1, 2, 3, 3]), np.array([1.0, np.nan])),
        (np.array([1e6, 2e6]), None),
        (np.array([-0.5, 0.1, 0.2]), np.array([])),
        (np.array([0.1, 0.1 + 1e-12]), None),
    ],
)
def test_histograms_of_any_shape(values, reference):
    svg = histogram_svg(values, reference, "x & y")
    assert "x &amp; y" in svg
    assert "nan" not in svg
    assert "inf" not in svg
    assert svg.count('class="bar"') >= 1


def test_a_long_table_is_listed_whole_and_drawn_as_far_as_the_page_allows(tmp_path, monkeypatch):
    monkeypatch.setattr(report_module, "_DRAWN_BYTES", 1)
    text = report(["CCO", "CCN", "CCC"], tmp_path / "r.html", reference=None).read_text()
    table = text[text.index('<table id="molecules">') :]
    assert table.count('<svg class="mol"') == 1
    assert all(f"<code>{s}</code>" in table for s in ("CCO", "CCN", "CCC"))
    assert "The first 1 rows are drawn" in table


def test_a_problem_that_a_csv_file_lost_is_not_shown_as_nan(tmp_path):
    table = pd.DataFrame({"smiles": ["CCO"], "score": [0.5], "problem": [np.nan]})
    text = report(table, tmp_path / "r.html", reference=None).read_text()
    assert ">nan<" not in text.lower()
