"""``qualify``: runs the kit of independent values and writes its page."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from molgen import __version__
from molgen.base.arguments import nearest_name
from molgen.base.environment import commit, processor, system, versions
from molgen.base.whole_files import write_atomically
from molgen.provenance import desk_cases, model_cases, whole_path
from molgen.provenance.cases import cases
from molgen.provenance.kit import Qualification, Requirement, print_pdf, run

REQUIREMENTS = tuple(
    Requirement(*one)
    for one in (
        ("random streams", "The same seed gives the same random numbers on every processor.",
         "A sample cannot be drawn again."),
        ("descriptors", "Descriptors have the values of their definitions.",
         "A molecule is chosen or refused for a property that it has not."),
        ("parents", "The drug of a salt is found, and a metal that is the drug is refused.",
         "A counter-ion is modelled in place of the drug."),
        ("filters", "Rules and alerts are those of their papers.",
         "A molecule is refused, or kept, by another rule than the one named."),
        ("motifs", "A molecule cut into motifs and joined again is the same molecule.",
         "What the model writes is not what it read."),
        ("similarity", "Similarities and diverse choices are those of RDKit.",
         "Novelty and diversity are misstated."),
        ("metrics", "Metrics of generated sets are those of MOSES's own code.",
         "A generator looks better, or worse, than it is."),
        ("scoring", "Desirabilities have the values of their formulas.",
         "A search climbs another hill than the one described."),
        ("files", "What is read from a file is what stands in it.",
         "A molecule is lost, or another one is worked on."),
        ("search", "A search counts its calls and gives back the best that it saw.",
         "A better molecule is passed over."),
        ("series", "Contributions of groups are those of the model named.",
         "The next compound is made for a wrong reason."),
        ("audit", "Copies, attacks and what privacy costs are counted as they are defined.",
         "A secret molecule is given away."),
        ("models", "What is trained, saved, shared, sampled and counted is what was given.",
         "A model is not the one that was trained, or is shared with what it learned from."),
        ("qsar", "A learned model is that of its library, and the same when read again.",
         "A compound is chosen for a prediction that nobody fitted."),
        ("desk", "What is compared, drawn and looked up is what the molecules are.",
         "A chemist decides by a wrong picture or figure."),
        ("verification", "A saved table agrees with its record, and a changed digit is found.",
         "A result that was altered passes for the one computed."),
    )
)  # fmt: skip

LIMITS = (
    "RDKit reads, writes and describes the molecules; a fault of RDKit is seen where a value was "
    "counted by hand, and not elsewhere.",
    "What a model generates, and the weights of a checkpoint, are not qualified: `verify` makes a "
    "saved sample again, `audit` says what a generator gives away.",
    "Estimates (QED, SA score, ADMET, QSAR) are compared with their definitions, not with "
    "measurements; whether they suit a project is for its chemists.",
    "Numbers agree to about nine digits between kinds of processors; what hangs on a last bit may "
    "differ between them.",
)

PEERS = {
    "RDKit": r"RDKit", "MOSES": r"MOSES|molsets", "FCD": r"fcd_torch", "REINVENT": r"REINVENT",
    "CIAAW": r"CIAAW", "Ertl 2000": r"Ertl \(2000\)", "Ertl and Schuffenhauer": r"Schuffenhauer",
    "labels of drugs": r"labels", "Lipinski": r"Lipinski", "Baell and Holloway": r"Baell",
    "Random123": r"Random123", "counted by hand": r"counted by hand",
    "scikit-learn": r"scikit-learn", "safetensors": r"safetensors", "closed forms": r"closed form",
    "textbooks": r"textbooks",
}  # fmt: skip


def installation() -> dict[str, str]:
    """Versions, platform, processor and a digest of the package's own files."""
    root = Path(__file__).parent.parent
    total = hashlib.sha256()
    kinds = (".py", ".json", ".csv", ".tsv", ".gz", ".npz", ".bloom", ".safetensors")
    files = sorted(p for p in root.rglob("*") if p.suffix in kinds)
    for path in files:
        total.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    found = {
        "package": f"molgen {__version__} in {root}",
        "digest of its files": f"{total.hexdigest()} ({len(files)} files)",
        "commit": commit() or "not known",
        "platform": system(),
        "processor": processor(),
        "random numbers": "NumPy's Philox4x64-10, by counters",
    }
    return found | versions()


def qualify(
    folder: str | Path | None = None, *, only: str | None = None, pdf: bool = True
) -> Qualification:
    """Compare what this installation computes with independent values, and write the page of it.

    ``qualification.html`` (for the signatures), ``qualification.json`` and, where a browser can
    print without a screen, ``qualification.pdf`` are written into ``folder``: requirements, every
    value with its source and tolerance, traceability of the public functions, the installation
    and the known limits. It supports a validation; it is no certificate.

    Args:
        folder: made if it is not there; None writes nothing.
        only: a requirement such as "descriptors", or the name of one case; all by default.
        pdf: print the page with a browser, if there is one.

    Returns:
        A :class:`Qualification`; ``passed`` says whether every value is within its tolerance.

    Raises:
        ValueError: for a name that is neither a requirement nor a case.

    Examples:
        >>> import molgen
        >>> kit = molgen.qualify(only="motifs")
        >>> kit.passed, kit.n_values > 20, kit.failures
        (True, True, ())
        >>> "RDKit" in kit.sources, len(kit.table) >= kit.n_values, "every value" in kit.summary
        (True, True, True)
        >>> sorted(kit.to_dict())[:2], kit.to_json()[:1], kit.to_html()[:15]
        (['created', 'installation'], '{', '<!DOCTYPE html>')
        >>> kit.matrix[0]["kind"] in ("class", "function")
        True
    """
    every = (*cases(), *whole_path.cases(), *model_cases.cases(), *desk_cases.cases())
    chosen = every
    if only is not None:
        chosen = tuple(c for c in every if only in (c.name, c.requirement))
        if not chosen:
            known = [*(r.key for r in REQUIREMENTS), *(c.name for c in every)]
            raise ValueError(f"There is no requirement or case {only!r}{nearest_name(only, known)}")
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
    made = Qualification(
        package="molgen",
        version=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        installation=installation(),
        requirements=REQUIREMENTS,
        results=tuple(run(case, "molgen", "molgen.provenance") for case in chosen),
        limits=LIMITS,
        peers=PEERS,
        modules=("molgen",),
        selected=only is not None,
    )
    if folder is not None:
        page = Path(folder) / "qualification.html"
        write_atomically(page, made.to_html().encode())
        write_atomically(page.with_suffix(".json"), made.to_json().encode())
        if pdf:
            made = replace(made, printed=print_pdf(page, page.with_suffix(".pdf")))
    return made
