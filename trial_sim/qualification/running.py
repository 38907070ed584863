"""``qualify``: runs the kit and writes its page."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from trial_sim import __version__
from trial_sim.base.arguments import nearest
from trial_sim.base.environment import commit, processor, system, versions
from trial_sim.base.output_places import write_text
from trial_sim.numerics.random_streams import Streams, stream
from trial_sim.qualification import (
    adaptive,
    designs,
    libraries,
    real_data,
    simulated,
    whole_path,
)
from trial_sim.qualification.kit import Case, Qualification, Requirement, print_pdf, run

_ROOM = "trial_sim.qualification"

REQUIREMENTS = tuple(
    Requirement(*one)
    for one in (
        ("random streams", "The same seed gives the same random numbers on every processor.",
         "A simulation cannot be repeated."),
        ("bounds", "Bounds, alpha spent and sample sizes of group-sequential designs are exact.",
         "The type I error of a trial is not what its protocol says."),
        ("combination", "Combination tests have exact critical values, and errors conditional on "
         "a stage.", "An adaptive trial rejects too often or too rarely."),
        ("interim", "Conditional and predictive power, repeated p-values, final inference and "
         "borrowing are exact.", "A committee stops a trial on a wrong chance."),
        ("multiplicity", "Several hypotheses are tested at the family-wise error stated.",
         "A claim is made with more than the error allowed."),
        ("re-estimation", "Sample sizes that are changed at an interim keep the error stated.",
         "The error is inflated by the look at the data."),
        ("single arms", "One-arm designs have the exact error and power stated.",
         "A drug is carried on, or dropped, too often."),
        ("survival sizes", "Events and sizes of survival trials follow the published formulas.",
         "A trial is too small, or larger than it need be."),
        ("fixed sizes", "Sizes of means, rates, counts and ordered categories are exact.",
         "A trial is too small, or larger than it need be."),
        ("survival tests", "Tests of survival give the published statistics.",
         "A simulated trial is decided wrongly."),
        ("survival curves", "Curves, restricted means and incidences are the published ones.",
         "Survival is described wrongly."),
        ("regression", "Regression models have the published coefficients and errors.",
         "A fitted arm has the wrong effect."),
        ("other tests", "Tests of means, rates, counts and repeated measurements are the "
         "published ones.", "A simulated trial is decided wrongly."),
        ("simulation", "Simulated trials have the operating characteristics that other "
         "simulators and exact calculation give.", "Power and duration are misjudged."),
        ("synthetic arms", "Patients drawn from a fitted model have its survival.",
         "A synthetic arm misstates the trial it stands for."),
        ("data", "Trials, built in or read from files, hold the published numbers of patients and "
         "events.", "A comparison is made with the wrong data."),
        ("prediction", "Dates of an ongoing trial follow from its data and the model named.",
         "A look is planned for the wrong month."),
        ("audit", "An audit's distances are those of their definitions.",
         "Synthetic patients are trusted, or refused, for a wrong number."),
        ("verification", "A saved result is made again, and one changed bit is found.",
         "A result that was altered passes for the one computed."),
    )
)  # fmt: skip

LIMITS = (
    "Values are compared where independent ones exist; a public name without a value in the matrix "
    "of traceability is covered by the test suite of the sources alone.",
    "Simulated values are compared within four Monte-Carlo standard errors of the difference, "
    "and of as many trials as are named; smaller faults of a simulation are not seen.",
    "A synthetic arm is compared with the model fitted; whether a model suits a trial, and what "
    "its patients give away, is for `audit` on that trial.",
    "Numbers agree to about nine digits between kinds of processors, and byte for byte on one; "
    "what hangs on a last bit may differ between them.",
    "R's values were computed with the versions named beside them, not by the versions of today.",
    "The kit does not test the user's own functions, data, or study files.",
)

PEERS = {
    "gsDesign": r"gsDesign(?!2)", "gsDesign2": r"gsDesign2", "rpact": r"rpact",
    "lrstat": r"lrstat", "simtrial": r"simtrial", "R survival": r"R survival",
    "R nlme": r"nlme", "R cmprsk": r"cmprsk", "graphicalMCP": r"graphicalMCP",
    "East": r"\bEast\b", "MAMS": r"MAMS", "blindrecalc": r"blindrecalc", "RBesT": r"RBesT",
    "statsmodels": r"statsmodels", "scipy": r"scipy", "lifelines": r"lifelines",
    "Random123": r"Random123", "Jennison and Turnbull": r"Jennison", "Simon 1989": r"Simon",
    "closed form": r"closed form",
}  # fmt: skip


def recorded_streams() -> dict[str, str]:
    """Digests of the first random numbers: whole bits of uniforms, and rounded normals."""
    streams = Streams.span(2026, 0, 40)
    uniform = streams.uniform("event", 500)
    return {
        "uniforms of trials": _digest(uniform),
        "uniforms of a generator": _digest(stream(2026, 1).random(5_000)),
        "exponentials, 9 digits": _digest(_rounded(streams.exponential("event", 500))),
        "normals, 9 digits": _digest(_rounded(streams.normal("event", 500))),
    }


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.array([f"{v:.8e}" for v in values.ravel()[:2_000]], dtype="S16")


def _digest(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:16]


RECORDED = {
    "uniforms of trials": "7f936c1cf1025b60",
    "uniforms of a generator": "02ae99ee95046f16",
    "exponentials, 9 digits": "3f31ff448d038249",
    "normals, 9 digits": "6a5dc4a49a5cff8e",
}


def cases(n_trials: int, seed: int) -> tuple[Case, ...]:
    """Every case of the kit."""
    identity = Case(
        "identity of random streams", "random streams", recorded_streams, RECORDED,
        "this package, 0.1.0, recorded on an Intel Xeon with AVX-512 (seed 2026)",
        independent=False,
    )  # fmt: skip
    return (
        identity,
        *designs.CASES,
        *adaptive.CASES,
        *real_data.CASES,
        *libraries.cases(n_trials, seed),
        *simulated.cases(n_trials, seed),
        *whole_path.cases(n_trials, seed),
    )


def installation() -> dict[str, str]:
    """Versions, platform, processor and a digest of the package's own files."""
    root = Path(__file__).parent.parent
    total = hashlib.sha256()
    files = sorted(p for p in root.rglob("*") if p.suffix in (".py", ".json", ".csv", ".gz"))
    for path in files:
        total.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    found = {
        "package": f"trial_sim {__version__} in {root}",
        "digest of its files": f"{total.hexdigest()} ({len(files)} files)",
        "commit": commit() or "not known",
        "platform": system(),
        "processor": processor(),
        "random numbers": "Philox4x32-10 and NumPy's Philox4x64-10, by counters",
    }
    return found | versions()


def qualify(
    folder: str | Path | None = None,
    *,
    only: str | None = None,
    n_trials: int = 20_000,
    seed: int = 2026,
    pdf: bool = True,
) -> Qualification:
    """Compare what this installation computes with independent values, and write the page of it.

    ``qualification.html`` (for the signatures), ``qualification.json`` and, where a browser can
    print without a screen, ``qualification.pdf`` are written into ``folder``: requirements, every
    value with its source and tolerance, traceability of the public functions, the installation
    and the known limits. It supports a validation; it is no certificate.

    Args:
        folder: made if it is not there; None writes nothing.
        only: a requirement such as "bounds", or the name of one case; all of the kit by default.
        n_trials: simulated trials a design; seed: of them.
        pdf: print the page with a browser, if there is one.

    Returns:
        A :class:`Qualification`; ``passed`` says whether every value is within its tolerance.

    Raises:
        ValueError: for a name that is neither a requirement nor a case.

    Examples:
        >>> import trial_sim as ts
        >>> kit = ts.qualify(only="bounds")
        >>> kit.passed, kit.n_values > 100, kit.failures
        (True, True, ())
        >>> "rpact" in kit.sources, len(kit.table) >= kit.n_values, "every value" in kit.summary
        (True, True, True)
        >>> sorted(kit.to_dict())[:2], kit.to_json()[:1], kit.to_html()[:15]
        (['created', 'installation'], '{', '<!DOCTYPE html>')
        >>> [row["values"] > 0 for row in kit.matrix if row["name"] == "trial_sim.group_sequential"]
        [True]
    """
    every = cases(n_trials, seed)
    chosen = every
    if only is not None:
        chosen = tuple(c for c in every if only in (c.name, c.requirement))
        if not chosen:
            known = [*(r.key for r in REQUIREMENTS), *(c.name for c in every)]
            raise ValueError(f"there is no requirement or case {only!r}{nearest(only, known)}")
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
    made = Qualification(
        package="trial_sim",
        version=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        installation=installation(),
        requirements=REQUIREMENTS,
        results=tuple(run(case, "trial_sim", _ROOM) for case in chosen),
        limits=LIMITS,
        peers=PEERS,
        modules=("trial_sim", "trial_sim.statistics", "trial_sim.scenarios"),
        selected=only is not None,
    )
    if folder is not None:
        page = Path(folder) / "qualification.html"
        for path, text in ((page, made.to_html()), (page.with_suffix(".json"), made.to_json())):
            write_text(path, text)
        if pdf:
            made = replace(made, printed=print_pdf(page, page.with_suffix(".pdf")))
    return made
