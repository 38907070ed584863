"""Pages that are made while the site is built: tutorials, API, audit measures, copied documents.

MkDocs calls `on_files`. Nothing is executed but the import of the packages' registries of names.
"""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
PACKAGES = (
    "molgen", "molgen.training", "molgen.generation", "molgen.scoring", "molgen.precedent",
    "molgen.report", "molgen.auditing", "molgen.model",
    "trial_sim", "trial_sim.data", "trial_sim.statistics", "trial_sim.sequential",
    "trial_sim.sample_size", "trial_sim.scenarios", "trial_sim.adaptive", "trial_sim.design",
    "trial_sim.exploration", "trial_sim.prediction",
)  # fmt: skip


def drawn(output: dict[str, Any]) -> str:
    """An output of a notebook's cell as Markdown: its picture, if it has one, or else its text."""
    held = {kind: "".join(text) for kind, text in output.get("data", {}).items()}
    if "image/png" in held:
        packed = held["image/png"].replace("\n", "")
        return f"![what the code above draws](data:image/png;base64,{packed})"
    for kind in ("image/svg+xml", "text/html"):  # inside the page it takes the page's colours
        if "<svg" in held.get(kind, ""):
            inside = re.sub(r"<\?xml.*?\?>|\s*\n\s*", " ", held[kind])
            return f'<div markdown="0">{inside}</div>'
    text = "".join(output.get("text", "")) or held.get("text/plain", "")
    return f"```text\n{text.rstrip()}\n```" if text.strip() else ""


def notebook(path: Path) -> str:
    """A notebook as Markdown: its text, its code, and the outputs it holds."""
    parts = []
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        source = "".join(cell["source"]).strip()
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif source:
            parts.append(f"```python\n{source}\n```")
            parts += [shown for output in cell.get("outputs", ()) if (shown := drawn(output))]
    where = f"Run it: `notebooks/{path.name}`; the tests run it too."
    return "\n\n".join([*parts, f"*{where}*"]) + "\n"


def definition(package: str, name: str) -> str:
    """Where a public name is defined: lazy registries are followed, since they say it by name."""
    root = package.partition(".")[0]
    home = importlib.import_module(root)._HOMES.get(name, "")
    if package != root and f"{root}.{home}".startswith(f"{package}."):
        return definition(f"{root}.{home}", name)
    registry = ROOT.joinpath(*package.split("."), "__init__.py")
    if not registry.exists() or "_HOMES" not in registry.read_text("utf-8"):
        return f"{package}.{name}"
    home = importlib.import_module(package)._HOMES.get(name)
    return definition(f"{package}.{home}", name) if home else f"{package}.{name}"


def reference(package: str) -> str:
    """The API page of a package: every public name, with its docstring."""
    module = importlib.import_module(package)
    summary, _, rest = (module.__doc__ or "").partition("\n\n")
    parts = [f"# {package}", summary.replace("\n", " "), f"```text\n{rest.strip()}\n```"]
    for name in module.__all__:
        if name.startswith("__"):
            continue
        parts.append(f"::: {definition(package, name)}")
    return "\n\n".join(parts) + "\n"


def measures() -> list[dict[str, Any]]:
    """The audit's measures, as `audit_measures.yml` describes them."""
    return yaml.safe_load((ROOT / "docs/audit_measures.yml").read_text("utf-8"))


def slug(measure: dict[str, Any]) -> str:
    """The file name of a measure's page."""
    name = re.sub(r"[^a-z0-9]+", "-", measure["name"].lower().replace("ε", "epsilon")).strip("-")
    return f"{measure['package'].replace('_', '-')}-{measure['section']}-{name}"


def rule_of(measure: dict[str, Any]) -> str:
    """The rule of a measure: of trial_sim's the declared one, which is also the one applied."""
    if measure["package"] == "trial_sim":
        from trial_sim.auditing.compared.rules import RULES

        declared = RULES.get(measure["name"])
        return declared.words if declared else "none; it informs"
    return measure.get("rule", "none; it informs")


def measure_page(measure: dict[str, Any]) -> str:
    """One measure: what it asks, its formula, its rule, its source, how to read it."""
    rows = [
        ("Package", f"`{measure['package']}`, section *{measure['section'].replace('_', ' ')}*"),
        ("Computed as", measure["formula"]),
        ("Rule", rule_of(measure)),
        ("Source", measure.get("source", "own; defined above")),
    ]
    table = "\n".join(f"| **{name}** | {text} |" for name, text in rows)
    caution = f"\n\n!!! note\n    {measure['caution']}" if measure.get("caution") else ""
    return f"# {measure['name']}\n\n{measure['what']}\n\n| | |\n|---|---|\n{table}{caution}\n"


def measure_index() -> str:
    """All measures by package and section, each leading to its page."""
    parts = [(ROOT / "docs/audit_introduction.md").read_text("utf-8").strip()]
    last = ("", "")
    for measure in measures():
        here = (measure["package"], measure["section"])
        if here[0] != last[0]:
            parts.append(f"## {here[0]}")
        if here != last:
            parts.append(f"### {here[1].replace('_', ' ').capitalize()} {{ #{here[0]}-{here[1]} }}")
        last = here
        parts.append(f"- [{measure['name']}]({slug(measure)}.md): {measure['what']}")
    return re.sub(r"\n\n(- .*)(?=\n\n- )", r"\n\n\1", "\n\n".join(parts)) + "\n"


def pages() -> dict[str, str]:
    """Address → Markdown of every page that is made here."""
    made = {f"tutorials/{p.stem}.md": notebook(p) for p in ROOT.glob("notebooks/*.ipynb")}
    made |= {f"api/{package}.md": reference(package) for package in PACKAGES}
    made |= {f"audit/{slug(m)}.md": measure_page(m) for m in measures()}
    made["audit/index.md"] = measure_index()
    for address, source in {
        "methods/model-card.md": "molgen/models/moses/README.md",
        "project/changelog.md": "CHANGELOG.md",
        "project/contributing.md": "CONTRIBUTING.md",
    }.items():
        made[address] = (ROOT / source).read_text("utf-8")
    return made


def on_files(files: Any, config: Any) -> Any:
    """MkDocs's hook: adds the pages."""
    from mkdocs.structure.files import File

    for address, text in sorted(pages().items()):
        files.append(File.generated(config, address, content=text))
    return files
