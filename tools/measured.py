"""Writes docs/measured.md from benchmarks/figures.yml and the rows in benchmarks/results.

    python -m tools.measured            writes the page
    python -m tools.measured --check    says whether it is up to date: exits with 1 if not

A figure whose rows are kept is computed from them; one whose rows are not stands in figures.yml as
text, with its command, date and revision.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.stored import rows

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "benchmarks/figures.yml"
PAGE = ROOT / "docs/measured.md"
BEGINNING = (
    "<!-- Written by `python -m tools.measured`: change benchmarks/figures.yml instead. -->\n\n"
)
Values = dict[str, Any]


def short(value: float, digits: int) -> str:
    """A number below 1 without its leading 0."""
    text = f"{value:.{digits}f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def latest(name: str) -> list[dict[str, Any]]:
    """The rows of the last run of a benchmark."""
    found = rows(name)
    return [row for row in found if row.get("run") == found[-1].get("run")]


def druglike() -> Values:
    row = rows("druglike")[-1]
    return {
        "valid": f"{row['valid']:.0%}".replace("%", " %"),
        "written": f"{row['test molecules that can be written']:.0%}".replace("%", " %"),
        "exact": f"{100 * row['exact reconstruction with stereo']:.0f}",
        "fcd": short(row["FCD to the test set above that of training molecules"], 2),
        "shares": short(row["largest difference of a share of stereo or charge"], 3),
        "kl": short(row["GuacaMol-style KL score"], 3),
    }


def docked() -> Values:
    found = latest("redocking")
    return {"within": sum(row["rmsd"] <= 2 for row in found), "n": len(found)}


def effects() -> Values:
    bias = np.array([abs(row["bias"]) for row in latest("arms_effects")])
    return {"n": len(bias), "quarter": sum(bias <= 0.25), "tenth": sum(bias <= 0.1)}


def curves() -> Values:
    ratio = np.array([row["ratio"] for row in latest("arms_curves")])
    return {"n": len(ratio), "inside": sum(ratio <= 1)}


def propensity() -> Values:
    found = latest("arms_propensity")
    value = np.array([row["value"] for row in found])
    return {"n": len(found), "least": short(value.min(), 2), "most": short(value.max(), 2),
            "goal": sum(value <= 0.55)}  # fmt: skip


def utility() -> Values:
    found = latest("arms_utility")
    value = np.array([row["value"] for row in found])
    same = np.array([row["same_size"] for row in found])
    return {"n": len(found), "least": short(value.min(), 3), "most": short(value.max(), 3),
            "goal": sum(value >= 0.99), "same_least": short(same.min(), 2),
            "same_most": short(same.max(), 2)}  # fmt: skip


def coverage() -> Values:
    found = latest("arms_coverage")
    weights = [row["simulations"] for row in found]
    return {
        "simulations": sum(weights),
        **{k: f"{100 * np.average([r[k] for r in found], weights=weights):.1f} %"
           for k in ("next", "truth")},
    }  # fmt: skip


def type_one() -> Values:
    away = np.array([abs(row["from_size"]) for row in latest("arms_type_one")])
    plain = np.array([abs(row["worst"]) for row in latest("arms_type_one")])
    return {"n": len(away), "three": sum(away <= 3), "two": sum(away <= 2),
            "plain_three": sum(plain <= 3), "plain_two": sum(plain <= 2)}  # fmt: skip


def agreement() -> Values:
    found = rows("trial_agreement")
    distance = np.array([abs(row["distance"]) for row in found])
    return {"n": len(found), "within": sum(distance <= 3), "farthest": f"{distance.max():.1f}"}


def fuzz() -> Values:
    return {"cases": f"{sum(row['cases'] for row in rows('fuzz')):,}"}


def clone() -> Values:
    row = rows("fresh_clone")[-1]
    return {"minutes": f"{row['clock_s'] / 60:.1f}", "seconds": f"{row['clock_s']:.0f}",
            "processor": f"{row['cpu_s']:.0f}", "demo": f"{row['demo_s']:.0f}"}  # fmt: skip


def size() -> Values:
    row = rows("installed_size")[-1]
    large = {k.replace("-", "_"): f"{v:.0f}" for k, v in row["largest_mb"].items()}
    return {"mb": f"{row['without_torch_mb']:.0f}", **large}


COMPUTED: dict[str, Callable[[], Values]] = {
    "druglike": druglike,
    "docked": docked,
    "effects": effects,
    "curves": curves,
    "propensity": propensity,
    "utility": utility,
    "coverage": coverage,
    "type_one": type_one,
    "agreement": agreement,
    "fuzz": fuzz,
    "clone": clone,
    "size": size,
}


def page() -> str:
    """The whole page."""
    figures = yaml.safe_load(FIGURES.read_text("utf-8"))
    computed = {name: summary() for name, summary in COMPUTED.items()}
    parts = []
    for block in figures["blocks"]:
        if "text" in block:
            parts.append(block["text"].rstrip("\n"))
            continue
        lines = ["| quantity | measured | floor / goal, or peers | command | when |",
                 "|---|---|---|---|---|"]  # fmt: skip
        for section in block["sections"]:
            if section["name"]:
                lines.append(f"| {section['name']} | | | | |")
            for row in section["rows"]:
                cells = (
                    row["quantity"].format(**computed),
                    row["measured"].format(**computed),
                    row.get("beside", ""),
                    row["command"],
                    f"{row['date']}, {row['at']}",
                )
                lines.append("| " + " | ".join(cells).replace("|  |", "| |") + " |")
        parts.append("\n".join(lines))
    return "\n\n".join([BEGINNING + parts[0], *parts[1:]]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    asked = parser.parse_args()
    text = page()
    if asked.check:
        same = PAGE.read_text("utf-8") == text
        print(
            "up to date" if same else "docs/measured.md is not what python -m tools.measured writes"
        )
        raise SystemExit(int(not same))
    PAGE.write_text(text, "utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
