"""Licences of everything that an installation brings with it, and a bill of materials.

python -m tools.licences                   fails if anything is not permissive
python -m tools.licences --extras dev docs  the extras too
python -m tools.licences --sbom sbom.json   writes a CycloneDX 1.5 bill of materials
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

DISTRIBUTION = "digital-double"
PERMISSIVE = re.compile(
    r"\b(MIT|MIT-CMU|BSD|[023]-Clause|Apache|ISC|ISCL|PSF|Python Software Foundation|HPND|Zlib|"
    r"Unlicense|Unicode|CC0|0BSD|BSL-1\.0|Boost|NCSA|FSFAP|public domain)\b",
    re.IGNORECASE,
)
COPYLEFT = re.compile(r"\b(A?GPL|L?GPL|GNU|BUSL|SSPL|EUPL|CDDL|commercial|proprietary)", re.I)
#: Copyleft by the file: using the package unchanged asks nothing of the user. Named one by one.
WEAK = {
    "certifi": "MPL-2.0: a list of certificates, unchanged",
    "tqdm": "MPL-2.0 and MIT: a progress bar, unchanged",
    "hypothesis": "MPL-2.0: for tests only",
    "pathspec": "MPL-2.0: for checks and the documentation only",
    "fqdn": "MPL-2.0: for notebooks only",
}


@dataclass(frozen=True)
class Package:
    """An installed package: its licence as its metadata states it, and the verdict."""

    name: str
    version: str
    licence: str
    verdict: str  # "permissive", "weak", "refused" or "unknown"


def plain(name: str) -> str:
    """A distribution's name as package indexes normalise it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(root: str, extras: set[str]) -> dict[str, metadata.Distribution]:
    """Installed distributions that ``root`` needs, itself left out, by normalised name."""
    found: dict[str, metadata.Distribution] = {}
    waiting = [(root, frozenset(extras))]
    seen = set()
    while waiting:
        name, wanted = waiting.pop()
        if (plain(name), wanted) in seen:
            continue
        seen.add((plain(name), wanted))
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # an optional part that is not installed
        if plain(name) != plain(root):
            found[plain(name)] = distribution
        for text in distribution.requires or ():
            needed = Requirement(text)
            marker = needed.marker
            if marker is None or any(marker.evaluate({"extra": e}) for e in {"", *wanted}):
                waiting.append((needed.name, frozenset(needed.extras)))
    return found


def stated_licence(distribution: metadata.Distribution) -> str:
    """What the metadata says: the SPDX expression, else classifiers, else the free text."""
    fields = distribution.metadata
    expression = fields.get("License-Expression")
    if expression:
        return expression
    classifiers = [
        c.split(" :: ")[-1]
        for c in fields.get_all("Classifier") or ()
        if c.startswith("License ::") and not c.endswith("OSI Approved")
    ]
    text = (fields.get("License") or "").strip().splitlines()
    return " / ".join(classifiers) or (text[0][:80] if text else "") or _from_file(distribution)


def _from_file(distribution: metadata.Distribution) -> str:
    """The kind of licence by the wording of its file, for metadata that is silent."""
    wording = {
        "Permission is hereby granted, free of charge": "MIT (by its file)",
        "Redistribution and use in source and binary forms": "BSD (by its file)",
        "Apache License": "Apache-2.0 (by its file)",
    }
    for file in distribution.files or ():
        if re.search(r"licen[cs]e|copying", file.name, re.IGNORECASE):
            text = " ".join(Path(str(file.locate())).read_text("utf-8", "replace").split())
            for words, kind in wording.items():
                if words in text:
                    return kind
    return ""


def judge(name: str, licence: str) -> str:
    """ "permissive", "weak" (named in :data:`WEAK`), "refused" or "unknown"."""
    if plain(name) in WEAK:
        return "weak"
    choices = re.split(r"\bOR\b", licence)  # one permissive choice is enough
    if any(PERMISSIVE.search(c) and not COPYLEFT.search(c) for c in choices):
        return "permissive"
    return "refused" if COPYLEFT.search(licence) or "MPL" in licence else "unknown"


def packages(extras: set[str]) -> list[Package]:
    """Every package of an installation with these extras, by name."""
    found = []
    for name, distribution in sorted(requirements(DISTRIBUTION, extras).items()):
        licence = stated_licence(distribution) or "not stated"
        found.append(Package(name, distribution.version, licence, judge(name, licence)))
    return found


def bill_of_materials(found: list[Package]) -> dict:
    """CycloneDX 1.5 as a JSON object."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "library",
                "name": DISTRIBUTION,
                "version": metadata.version(DISTRIBUTION),
            }
        },
        "components": [
            {
                "type": "library",
                "name": p.name,
                "version": p.version,
                "purl": f"pkg:pypi/{p.name}@{p.version}",
                "licenses": [{"license": {"name": p.licence}}],
            }
            for p in found
        ],
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--extras", nargs="*", default=["cluster"])
    parser.add_argument("--sbom", type=Path, help="write a bill of materials here")
    given = parser.parse_args()
    found = packages(set(given.extras))
    width = max(len(p.name) for p in found)
    for p in found:
        reason = WEAK.get(p.name, p.licence)
        print(f"{p.verdict:10}  {p.name:{width}}  {p.version:18}  {reason}")
    bad = [p for p in found if p.verdict in ("refused", "unknown")]
    print(f"\n{len(found)} packages, {len(found) - len(bad)} permissive or excepted by name")
    if given.sbom:
        text = json.dumps(bill_of_materials(found), indent=1, ensure_ascii=False)
        given.sbom.write_text(text + "\n", encoding="utf-8", newline="\n")
        print(f"wrote {given.sbom}")
    for p in bad:
        print(f"{p.verdict}: {p.name} {p.version} ({p.licence})", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
