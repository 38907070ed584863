"""The pages that both programs write, as a reader meets them: telephone, dark ground, paper.

python -m benchmarks pages                          every page, opened in Chromium, with figures
python -m benchmarks pages --only series campaign   these alone
python -m benchmarks pages --output seen --pictures keeps the pages, with pictures and PDF files
python -m benchmarks pages --files a.html b.html    looks at pages that exist

For each page: size; how many pixels it is wider than a telephone of 420 px and than A4 (0: nothing
is cut); below it, boxes that must be pushed sideways on the telephone; pages of A4; serious and
critical findings of axe-core, in light and in dark. Exit code 1 where a floor is missed: 5 MB,
0 px, 0 findings.

It needs Chromium (``--browser``) and axe-core (``--axe axe.min.js``, or the package axe-core-python
of the extra ``dev``); without a browser it makes the pages, says so, and gives their sizes alone.
"""

from __future__ import annotations

import argparse
import html
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
#: Width of a telephone, and of A4 within margins of 14 mm, in CSS pixels.
TELEPHONE, PAPER, DESK = 420, 688, 1280
LARGEST = 5_000_000


# -- looking ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """What one page is like.

    Attributes:
        size: bytes. telephone, paper: pixels by which it is wider than 420 px and than A4, None
            without a browser. pushed: boxes that must be pushed sideways at 420 px. cut: boxes
            whose content is wider than they are on paper. sheets: pages of A4.
        findings, in_the_dark: serious and critical findings of axe-core, None where it did not
            run.
    """

    size: int
    telephone: int | None = None
    paper: int | None = None
    pushed: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()
    sheets: int | None = None
    findings: tuple[str, ...] | None = None
    in_the_dark: tuple[str, ...] | None = None

    @property
    def good(self) -> bool:
        """Whether the page keeps the floors."""
        wide = (self.telephone or 0) > 0 or (self.paper or 0) > 0 or bool(self.cut)
        return not (self.size > LARGEST or wide or self.findings or self.in_the_dark)


#: Opens the page in frames of both widths, measures, and runs axe-core in a wide one, twice: what
#: a page says of paper and of the dark is put in force by changing the conditions of its rules.
_DRIVER = """<!doctype html><meta charset="utf-8"><body style="margin:0"><script>
const WIDTHS = {telephone: %(telephone)d, paper: %(paper)d};
function open(width) {
  return new Promise(function (done) {
    const frame = document.createElement("iframe");
    frame.style.cssText = "border:0;height:900px;width:" + width + "px";
    frame.onload = function () { done(frame); };
    frame.src = %(page)s;
    document.body.appendChild(frame);
  });
}
function wide(document) {
  return Math.max(document.documentElement.scrollWidth, document.body.scrollWidth);
}
function boxes(document) {
  return Array.from(document.querySelectorAll("body *")).filter(function (e) {
    const style = document.defaultView.getComputedStyle(e);
    return e.namespaceURI.endsWith("xhtml") && e.clientWidth > 0 && style.display !== "inline" &&
      style.overflowX !== "visible" && e.scrollWidth > e.clientWidth + 1 &&
      style.position !== "absolute";
  }).map(function (e) {
    const name = e.tagName.toLowerCase() + (e.id ? "#" + e.id : "");
    return name + (e.className ? "." + e.className : "") + " " +
      (e.scrollWidth - e.clientWidth) + " px: " + e.textContent.trim().slice(0, 40);
  });
}
// Cells so narrow that their words are broken letter by letter.
function squeezed(document) {
  return Array.from(document.querySelectorAll("td, th")).filter(function (e) {
    return e.clientWidth > 0 && e.clientWidth < 24 && /\\S{4}/.test(e.textContent);
  }).map(e => "squeezed to " + e.clientWidth + " px: " + e.textContent.trim().slice(0, 40));
}
function inForce(document, condition) {
  for (const sheet of document.styleSheets)
    for (const rule of sheet.cssRules)
      if (rule.media && rule.media.mediaText.includes(condition)) rule.media.mediaText = "all";
}
(async function () {
  const out = {};
  try {
    let frame = await open(WIDTHS.telephone);
    out.telephone = wide(frame.contentDocument) - WIDTHS.telephone;
    out.pushed = boxes(frame.contentDocument);
    frame.remove();
    frame = await open(WIDTHS.paper);
    inForce(frame.contentDocument, "print");
    frame.contentWindow.dispatchEvent(new Event("beforeprint"));
    out.paper = wide(frame.contentDocument) - WIDTHS.paper;
    out.cut = boxes(frame.contentDocument).concat(squeezed(frame.contentDocument));
    frame.remove();
    if (%(axe)s) {
      frame = await open(%(desk)d);
      frame.contentWindow.eval(%(axe)s);
      const find = async function () {
        const found = await frame.contentWindow.axe.run({resultTypes: ["violations"]});
        return found.violations.filter(v => v.impact === "serious" || v.impact === "critical")
          .map(v => v.id + " (" + v.nodes.length + "): " + v.nodes[0].html.slice(0, 120) + " " +
            (v.nodes[0].any[0] ? v.nodes[0].any[0].message : ""));
      };
      out.findings = await find();
      inForce(frame.contentDocument, "prefers-color-scheme: dark");
      out.in_the_dark = await find();
    }
  } catch (error) { out.error = String(error); }
  const told = document.createElement("pre");
  told.id = "told";
  told.textContent = JSON.stringify(out);
  document.body.replaceChildren(told);
})();
</script>"""


def find_browser(named: str | None = None) -> str | None:
    """The browser that is named, or the first of ``BROWSERS`` that is there."""
    return next(filter(None, map(shutil.which, [named] if named else BROWSERS)), None)


def find_axe(named: Path | None = None) -> Path | None:
    """The script of axe-core: the one named, or that of axe-core-python."""
    if named is not None:
        return named
    found = importlib.util.find_spec("axe_core_python")
    return None if found is None else Path(str(found.origin)).with_name("axe.min.js")


def run_browser(browser: str, page: Path, *options: str) -> str:
    """Open a page without a screen; returns what the browser printed.

    Raises:
        RuntimeError: the browser failed, with its last lines.
    """
    with tempfile.TemporaryDirectory() as profile:
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--allow-file-access-from-files", f"--user-data-dir={profile}", *options,
            page.resolve().as_uri(),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    if done.returncode:
        raise RuntimeError(f"{Path(browser).name} failed on {page.name}: {done.stderr[-400:]}")
    return done.stdout


def look(page: Path, browser: str | None, axe: Path | None, printed: bool = True) -> Seen:
    """Open a page and measure it; ``printed``: print it, too, to a PDF file beside it.

    Raises:
        RuntimeError: the browser did not come to an end.
    """
    size = page.stat().st_size
    if browser is None:
        return Seen(size)
    script = json.dumps(axe.read_text("utf-8") if axe is not None else "").replace("<", "\\u003c")
    with tempfile.TemporaryDirectory(dir=page.parent) as folder:
        driver = Path(folder) / "driver.html"
        made = _DRIVER % {
            "telephone": TELEPHONE, "paper": PAPER, "desk": DESK, "axe": script,
            "page": json.dumps(page.resolve().as_uri()),
        }  # fmt: skip
        driver.write_text(made, encoding="utf-8")
        dump = run_browser(browser, driver, "--dump-dom", "--virtual-time-budget=120000")
    found = re.search(r'<pre id="told">(.*?)</pre>', dump, re.DOTALL)
    if found is None:
        raise RuntimeError(f"{page.name}: the browser did not come to an end")
    told = json.loads(html.unescape(found[1]))
    if "error" in told:
        raise RuntimeError(f"{page.name}: {told['error']}")
    sheets = None
    if printed:
        pdf = print_page(browser, page, page.with_suffix(".pdf"))
        sheets = len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes()))
    return Seen(
        size=size,
        telephone=max(told["telephone"], 0),
        paper=max(told["paper"], 0),
        pushed=tuple(told["pushed"]),
        cut=tuple(told["cut"]),
        sheets=sheets,
        findings=tuple(told["findings"]) if axe is not None else None,
        in_the_dark=tuple(told["in_the_dark"]) if axe is not None else None,
    )


def print_page(browser: str, page: Path, target: Path) -> Path:
    """Print a page to a PDF file."""
    run_browser(browser, page, "--no-pdf-header-footer", f"--print-to-pdf={target.resolve()}")
    return target


def picture(browser: str, page: Path, target: Path, width: int) -> Path:
    """A picture of the whole page, in a frame of that width, at most 8,000 px high."""
    with tempfile.TemporaryDirectory(dir=page.parent) as folder:
        frame = Path(folder) / "frame.html"
        frame.write_text(
            f'<!doctype html><body style="margin:0"><iframe src="{page.resolve().as_uri()}" '
            f'style="border:0;width:{width}px;height:8000px"></iframe>',
            encoding="utf-8",
        )
        run_browser(
            browser, frame, f"--window-size={max(width, 500)},8000", "--virtual-time-budget=9000",
            f"--screenshot={target.resolve()}",
        )  # fmt: skip
    return target


# -- making ----------------------------------------------------------------------------------


def _molecules(n: int) -> list[str]:
    import molgen

    return molgen.load_model("moses").sample(n, seed=0)


def molecules(page: Path) -> None:
    """Molecules of the shipped model, filtered and scored."""
    import molgen
    from molgen.report.page import report

    smiles = _molecules(300)
    table = molgen.describe(smiles)
    filtered = molgen.filter_molecules(smiles)
    table.insert(1, "passed", filtered["passed"].to_numpy())
    table.insert(2, "reasons", filtered["reasons"].to_numpy())
    table.attrs["funnel"] = filtered.attrs["funnel"]
    report(table, page, title="300 molecules from the shipped model")


def wishes(page: Path) -> None:
    """A chemist's own table with names and an assay, scored by wishes."""
    import molgen
    from molgen.files.datasets import read_molecules
    from molgen.report.page import report

    smiles = [str(s) for s in read_molecules(ROOT / "tests/data/approved_drugs.smi.gz")][:120]
    scored = molgen.score(smiles, molgen.Objective(["maximise qed", "logp 1..3", "tpsa < 90"]))
    scored.insert(1, "compound", [f"DRG-{k:05d}" for k in range(len(scored))])
    scored["IC50 nM"] = [f"{10 * (k % 17) + 3}" if k % 5 else ">10000" for k in range(len(scored))]
    filtered = molgen.filter_molecules(smiles)
    scored["passed"], scored["reasons"] = filtered["passed"], filtered["reasons"]
    report(scored, page, title="Approved drugs, scored by three wishes", properties=["mw", "qed"])


def many_molecules(page: Path) -> None:
    """The longest page of molecules: 1,000 of them listed."""
    from molgen.files.datasets import load_dataset
    from molgen.report.page import report

    report(
        load_dataset("moses", split="sample")[:1500],
        page,
        title="1,500 molecules",
        filters="default",
    )


def search(page: Path) -> None:
    """What a search gave, with its course."""
    import molgen
    from molgen.report.page import report

    found = molgen.optimize(
        molgen.Objective(["maximise qed", "minimise sa_score", "logp 2..4"]),
        model="moses",
        n_calls=300,
        seed=0,
    )
    report(found.table if hasattr(found, "table") else found, page, title="A search of 300 calls")


def molecule_audit(page: Path) -> None:
    """The audit of a sample of molecules."""
    import molgen
    from molgen.files.datasets import load_dataset

    known = [str(s) for s in load_dataset("moses", split="sample")]
    molgen.audit_samples(_molecules(300), known[:600], known[600:1200]).to_html(page)


def series(page: Path) -> None:
    """The page of a measured series: the phenethylamines of notebook 07, and wishes for a lead."""
    import molgen

    smiles, values = _series()
    desk = molgen.sar(smiles, values, core="CN(C)CC(Br)c1ccc([*:2])c([*:1])c1")
    desk.to_html(page)


def _series() -> tuple[list[str], list[float]]:
    table = (
        "H H 7.46;H F 8.16;H Cl 8.68;H Br 8.89;H I 9.25;H C 9.30;F H 7.52;Cl H 8.16;Br H 8.30;"
        "I H 8.40;C H 8.46;Cl F 8.19;Br F 8.57;C F 8.82;Cl Cl 8.89;Br Cl 8.92;C Cl 8.96;Cl Br 9.00;"
        "Br Br 9.35;C Br 9.22;C C 9.30;Br C 9.52"
    )
    rows = [row.split() for row in table.split(";")]
    smiles = [
        "CN(C)CC(Br)c1ccc" + "".join(f"({g})" * (g != "H") + "c" for g in (para, meta)) + "1"
        for meta, para, _ in rows
    ]
    return smiles, [float(value) for *_, value in rows]


def campaign(page: Path) -> None:
    """The page of a campaign after two plates."""
    import molgen

    smiles, values = _series()
    measured = dict(zip(smiles, values))
    asked = molgen.Campaign("maximise activity", library=smiles, seed=0)
    measured["CN(C)CC(Br)c1ccccc1"] = "failed"
    for size in (8, 4):
        plate = asked.suggest(size)
        plate["activity"] = [measured.get(str(s), ">9") for s in plate["smiles"]]
        asked.tell(plate)
    asked.suggest(4)
    asked.to_html(page)


def arm_audit(page: Path) -> None:
    """The audit of a synthetic trial: colon, deaths."""
    import trial_sim as ts

    trial = ts.load_trial("colon")
    fitted = ts.fit(trial, endpoint="death", seed=0)
    fitted.audit(seed=0).to_html(page)


def table_audit(page: Path) -> None:
    """The audit of a synthetic table that nobody can attack: veteran."""
    import trial_sim as ts

    trial = ts.load_trial("veteran")
    fitted = ts.fit(trial, endpoint="death", seed=0)
    synthetic = fitted.sample_trial(dict.fromkeys(fitted.arms, 69), seed=1)
    ts.audit(trial, synthetic, seed=0).to_html(page)


def _planned() -> tuple[Any, Any]:
    import trial_sim as ts

    design = ts.Design(
        arms={"control": 1, "treatment": 1},
        n_patients=500,
        accrual=ts.Accrual(rate=20.0),
        dropout=ts.Dropout(rate=0.001),
        looks=ts.EventLooks([110, 220, 331]),
        boundaries=ts.group_sequential(
            information_fractions=(1 / 3, 2 / 3, 1),
            alpha=0.025,
            power=0.9,
            efficacy="lan_demets_obrien_fleming",
            futility=("hwang_shih_decani", -4),
        ),
    )
    return design, ts.PiecewiseExponential(control_median=12, hazard_ratio=0.7)


def protocol_report(page: Path) -> None:
    """The report of a three-look trial, with scenarios and what-if; Word and LaTeX beside it."""
    import trial_sim as ts

    design, outcomes = _planned()
    delayed = ts.PiecewiseExponential(control_median=12, breakpoints=[4], hazard_ratio=[1.0, 0.6])
    grid = ts.what_if(
        design, outcomes, {"hazard_ratio": [0.8, 0.7, 0.6], "n_patients": [400, 500]},
        n_trials=500, seed=1,
    )  # fmt: skip
    report = ts.simulation_report(
        {
            "planned": ts.simulate(design, outcomes, n_trials=2_000, seed=1),
            "delayed": ts.simulate(design, delayed, n_trials=2_000, seed=1),
        },
        title="A three-look trial, as planned and with a delayed effect",
        what_if=grid,
    )
    for ending in (".html", ".tex"):
        report.write(page.with_suffix(ending))
    if importlib.util.find_spec("docx"):
        report.write(page.with_suffix(".docx"))


def adaptive_report(page: Path) -> None:
    """The report of an adaptive trial that drops arms, with a closed test."""
    import trial_sim as ts

    design = ts.Design(
        arms={"control": 1, "10 mg": 1, "20 mg": 1, "40 mg": 1},
        n_patients=240,
        accrual=ts.Accrual(rate=20),
        looks=ts.EnrolmentLooks([120, 240]),
        test=("z_test", 15),
        boundaries=ts.group_sequential((0.5, 1), efficacy="obrien_fleming"),
        multiplicity="unadjusted",
    )
    adaptive = ts.AdaptiveDesign(
        design,
        [
            ts.Milestone(
                "interim",
                ts.EnrolmentLooks([120]),
                ts.Rule("rank > 1", ts.DropArm(keep_size=False)),
            ),
            ts.Milestone("final", ts.EnrolmentLooks([240])),
        ],
        ts.ClosedTest(intersection="bonferroni", stop="all"),
    )
    outcomes = ts.ContinuousResponse({"10 mg": 10 / 3, "20 mg": 20 / 3, "40 mg": 10.0}, sd=15)
    ts.simulation_report(ts.simulate(adaptive, outcomes, n_trials=500, seed=1)).to_html(page)


def prediction(page: Path) -> None:
    """The prediction of a trial under way, beside an earlier one."""
    import trial_sim as ts

    design, outcomes = _planned()
    seen = ts.simulate(design, outcomes, n_trials=3, seed=1).replay(0).data[0]
    expected = ts.predict(seen, design, opened="2026-01-15", last_seen="followed", n_draws=200)
    expected.to_html(page, earlier=expected)


def trial_kit(page: Path) -> None:
    """The qualification of trial_sim."""
    import trial_sim as ts

    _kit(ts.qualify(), page)


def molecule_kit(page: Path) -> None:
    """The qualification of molgen."""
    import molgen

    _kit(molgen.qualify(), page)


def _kit(done: Any, page: Path) -> None:
    page.write_text(done.to_html(), encoding="utf-8")


MAKERS: dict[str, Callable[[Path], None]] = {
    f.__name__: f
    for f in (
        molecules, wishes, many_molecules, search, molecule_audit, series, campaign, arm_audit,
        table_audit, protocol_report, adaptive_report, prediction, trial_kit, molecule_kit,
    )
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="benchmarks pages", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--only", nargs="+", choices=MAKERS, metavar="PAGE", help=", ".join(MAKERS))
    parser.add_argument("--files", nargs="+", type=Path, help="look at these, make none")
    parser.add_argument("--output", type=Path, help="folder that keeps what was made")
    parser.add_argument("--pictures", action="store_true", help="pictures at 420 and 1280 px")
    parser.add_argument("--browser", help=f"default: the first there is of {', '.join(BROWSERS)}")
    parser.add_argument("--axe", type=Path, help="axe.min.js; default: that of axe-core-python")
    given = parser.parse_args(arguments)
    browser, axe = find_browser(given.browser), find_axe(given.axe)
    if browser is None:
        print(
            f"No browser was found ({given.browser or ', '.join(BROWSERS)}): sizes alone. Debian "
            "has the package chromium; --browser names another.",
            file=sys.stderr,
        )
    elif axe is None:
        print("axe-core was not found: name axe.min.js with --axe.", file=sys.stderr)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.output or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        pages = list(given.files or ())
        if not pages:
            for name in given.only or MAKERS:
                pages.append(folder / f"{name}.html")
                MAKERS[name](pages[-1])
        print(
            f"{'page':20} {'MB':>5} {'420 px':>7} {'A4':>4} {'sheets':>6} {'light':>5} {'dark':>5}"
        )
        good = True
        for page in pages:
            seen = look(page, browser, axe)
            good &= seen.good
            print(row(page.stem, seen), flush=True)
            if browser and given.pictures:
                for width in (TELEPHONE, DESK):
                    picture(browser, page, folder / f"{page.stem}-{width}.png", width)
    return 0 if good else 1


def row(name: str, seen: Seen) -> str:
    """The figures of a page, and below them what was found."""

    def told(value: Any) -> str:
        return "-" if value is None else str(value)

    light, dark = (None if f is None else len(f) for f in (seen.findings, seen.in_the_dark))
    lines = [
        f"{name:20} {seen.size / 1e6:5.2f} {told(seen.telephone):>7} {told(seen.paper):>4} "
        f"{told(seen.sheets):>6} {told(light):>5} {told(dark):>5}"
    ]
    lines += [f"    pushed sideways at {TELEPHONE} px: {box}" for box in seen.pushed]
    lines += [f"    cut on paper: {box}" for box in seen.cut]
    lines += [f"    axe: {finding}" for finding in seen.findings or ()]
    lines += [f"    axe, dark: {finding}" for finding in seen.in_the_dark or ()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
