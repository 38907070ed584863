"""The demonstration that ``make demo`` runs: candidate molecules, a synthetic arm, a what-if.

python -m tools.demo --output demo-output
"""

from __future__ import annotations

import argparse
import html
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path


@dataclass(frozen=True)
class Made:
    """A file worth opening, and what is in it."""

    path: Path
    what: str


def molecules(output: Path) -> list[Made]:
    """1,000 molecules from the shipped model: described, filtered, scored, ranked, shown."""
    import molgen
    from molgen.provenance import record, save_table
    from molgen.report.page import report

    model = molgen.load_model("moses")
    n, seed = 1_000, 0
    sample = model.sample(n, seed=seed)
    table = molgen.describe(sample)
    filtered = molgen.filter_molecules(sample)
    table.insert(1, "passed", filtered["passed"].to_numpy())
    table.insert(2, "reasons", filtered["reasons"].to_numpy())
    objective = molgen.Objective(
        name="drug-like and easy to make",
        components=[
            molgen.Component.maximise("qed"),
            molgen.Component.minimise("sa_score"),
            molgen.Component.within("logp", 1, 3),
        ],
    )
    table.insert(1, "score", molgen.score(sample, objective)["score"].to_numpy())
    table = table.sort_values(["passed", "score"], ascending=False, ignore_index=True)
    table.attrs["funnel"] = filtered.attrs.get("funnel", [])
    made = record(
        "demo", {"model": "moses", "n": n}, seed=seed, checkpoint_sha256=model.card["sha256"]
    )
    csv, sdf, page = (output / f"molecules.{ending}" for ending in ("csv", "sdf", "html"))
    save_table(table, csv, made)
    save_table(table, sdf, made)
    report(
        table,
        page,
        title="1,000 molecules from the shipped model",
        provenance=made,
    )
    passed = int(table["passed"].sum())
    return [
        Made(page, f"{n:,} generated molecules, {passed} of which pass the default filters"),
        Made(csv, "the same as a table, best first"),
        Made(sdf, "the same for a molecule viewer"),
    ]


def synthetic_arm(output: Path) -> list[Made]:
    """A synthetic treatment arm of the colon cancer trial, and its audit."""
    import trial_sim as ts

    trial = ts.load_trial("colon")
    fitted = ts.fit(trial, endpoint="death", seed=0)
    arm = fitted.sample_arm("Lev+5FU", 1_000, seed=0)
    table = output / "synthetic_arm.csv"
    arm.to_csv(table, index=False)
    synthetic = fitted.sample_trial({"Obs": 315, "Lev": 310, "Lev+5FU": 304}, seed=0)
    audit = ts.audit(trial, synthetic, endpoint="death", seed=0)
    page = output / "synthetic_arm_audit.html"
    audit.to_html(page)
    return [
        Made(page, "how the synthetic colon trial compares with the real one"),
        Made(table, "1,000 synthetic patients given levamisole and fluorouracil"),
    ]


def what_if(output: Path) -> list[Made]:
    """Power of a three-look trial when the effect is delayed and recruitment is slow."""
    import trial_sim as ts

    boundaries = ts.group_sequential(
        information_fractions=(1 / 3, 2 / 3, 1),
        alpha=0.025,
        power=0.9,
        efficacy="lan_demets_obrien_fleming",
    )
    design = ts.Design(
        arms={"control": 1, "treatment": 1},
        n_patients=500,
        accrual=ts.Accrual(rate=20.0),
        dropout=ts.Dropout(rate=0.001),
        looks=ts.EventLooks([110, 220, 331]),
        boundaries=boundaries,
        test="logrank",
    )
    outcomes = ts.PiecewiseExponential(control_median=12, hazard_ratio=0.7)
    delayed = ts.PiecewiseExponential(control_median=12, breakpoints=[4], hazard_ratio=[1.0, 0.6])
    result = ts.simulate(design, outcomes, n_trials=10_000, seed=1)
    grid = ts.what_if(
        design,
        outcomes,
        {"hazard_ratio": [1.0, 0.8, 0.7, 0.6], "n_patients": [400, 500, 600]},
        n_trials=2_000,
        seed=1,
    )
    page, table = output / "trial_report.html", output / "what_if.csv"
    ts.simulation_report(
        {"planned": result, "delayed": ts.simulate(design, delayed, n_trials=10_000, seed=1)},
        title="A three-look trial, as planned and with a delayed effect",
        what_if=grid,
    ).to_html(page)
    grid.table.to_csv(table, index=False)
    return [
        Made(page, f"10,000 simulated trials: power {result.power:.3f}, every figure with error"),
        Made(table, "power and duration over hazard ratio and size"),
    ]


def index(output: Path, made: list[Made], seconds: float) -> Path:
    """One page that leads to all files."""
    style = files("molgen.report").joinpath("templates", "style.css").read_text("utf-8")
    groups = {"Molecules": "molecules", "A synthetic arm": "synthetic", "What if": ""}
    left, sections = list(made), ""
    for title, start in groups.items():
        here = [m for m in left if m.path.name.startswith(start)]
        left = [m for m in left if m not in here]
        items = "".join(
            f'<li><a href="{html.escape(m.path.name)}">{html.escape(m.path.name)}</a>'
            f'<p class="soft">{html.escape(m.what)}</p></li>'
            for m in here
        )
        sections += f'<section class="panel"><h2>{title}</h2><ul>{items}</ul></section>\n'
    page = output / "index.html"
    page.write_text(
        f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Digital Double: demonstration</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<style>
{style}
main {{ max-width:820px }} ul {{ margin:8px 0 0; padding:0; list-style:none }}
li {{ margin:0 0 12px }} li p {{ margin:0 }} li a {{ font-weight:600 }}
</style></head><body>
<main><h1>Digital Double: demonstration</h1>
<p class="lead">Made in {seconds:.0f} seconds on this machine, offline, with seeds: run it again and
you get the same molecules, patients and trials.</p>
{sections}</main></body></html>
""",
        encoding="utf-8",
    )
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("demo-output"))
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    made: list[Made] = []
    parts: tuple[Callable[[Path], list[Made]], ...] = (molecules, synthetic_arm, what_if)
    for part in parts:
        begun = time.perf_counter()
        made += part(output)
        print(f"{part.__name__.replace('_', ' ')}: {time.perf_counter() - begun:.0f} s")
    page = index(output, made, time.perf_counter() - started)
    print("\nWorth opening:")
    for item in [Made(page, "start here"), *made]:
        print(f"  {item.path}  ({item.what})")


if __name__ == "__main__":
    main()
