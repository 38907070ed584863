"""The report of an audit: its sections, verdict and page."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from trial_sim.auditing.compared.measure import (
    COLUMNS,
    SECTIONS,
    UNSEEN,
    VERDICTS,
    _scalar,
    as_table,
)
from trial_sim.auditing.compared.rules import words
from trial_sim.base.output_places import write_text
from trial_sim.base.provenance import environment


@dataclass(frozen=True, eq=False)
class AuditReport:
    """What an audit found: six tables of measures, and aggregate data for the figures.

    No table holds a patient's record: figures are drawn from curves and histogram counts.

    Args:
        fidelity, effects, utility, privacy, error_rates, balance: DataFrames with the columns
            measure, subject, estimate, lower, upper, control, threshold, better, red, verdict,
            reading.
        figures: aggregate data behind the plots, by name.
        about: sizes, seed, endpoints and notes (what was compared and how).

    Examples:
        >>> import trial_sim as ts
        >>> trial = ts.load_trial("gehan")
        >>> fitted = ts.fit(trial, "relapse", model="weibull", covariate_model="bootstrap")
        >>> report = ts.audit(trial, fitted.sample_trial(seed=1), endpoint="relapse", seed=0)
        >>> list(report.table)[:2], report.passed == (len(report.failures) == 0)
        (['section', 'measure'], True)
        >>> report.verdict  # two tables without a hold-out
        'privacy not assessed'
        >>> list(report.counts())
        ['green', 'amber', 'red', 'grey']
        >>> sorted(report.to_dict())[:2]
        ['about', 'attacked']
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     print(report.to_html(Path(folder) / "audit.html").name)
        ...     print(report.to_json(Path(folder) / "audit.json").name)
        audit.html
        audit.json
    """

    fidelity: pd.DataFrame
    effects: pd.DataFrame
    utility: pd.DataFrame
    privacy: pd.DataFrame
    error_rates: pd.DataFrame
    balance: pd.DataFrame
    figures: dict[str, pd.DataFrame] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def table(self) -> pd.DataFrame:
        """All measures in one DataFrame with a leading ``section`` column."""
        parts = [getattr(self, name).assign(section=name) for name in SECTIONS]
        parts = [part for part in parts if len(part)]
        whole = pd.concat(parts, ignore_index=True) if parts else as_table([]).assign(section=[])
        return whole[["section", *COLUMNS]]

    @property
    def failures(self) -> pd.DataFrame:
        """The red measures: those whose breach of the rule chance cannot explain."""
        table = self.table
        return table[table["verdict"] == "red"].reset_index(drop=True)

    @property
    def passed(self) -> bool:
        """True when no measure is red. Whether privacy was assessed at all, see `verdict`."""
        return len(self.failures) == 0

    @property
    def verdict(self) -> str:
        """ "failed"; "privacy not assessed" where nothing is red but no attack could tell members
        from unseen patients; "could not have seen" where a fault that is asked for would have been
        hidden by these sizes (see `unseen`); else "passed"."""
        if not self.passed:
            return "failed"
        lines = self.table
        asked = lines[lines["measure"] == "membership inference AUC"]
        if not (asked["verdict"] != "grey").any():
            return "privacy not assessed"
        return "could not have seen" if len(self.unseen) else "passed"

    @property
    def unseen(self) -> pd.DataFrame:
        """The lines whose fault this audit would have found in fewer than nine of ten cases."""
        table = self.table
        hidden = table["reading"].str.startswith(UNSEEN) & (table["verdict"] == "grey")
        return table[hidden].reset_index(drop=True)

    @property
    def attacked(self) -> str:
        """What was attacked, the first line of the page."""
        return str(self.about.get("attacked", "Attacked: the synthetic table."))

    def counts(self) -> pd.DataFrame:
        """Number of measures by section and verdict."""
        table = self.table
        counts = pd.crosstab(table["section"], table["verdict"])
        sections = [s for s in SECTIONS if s in counts.index]
        return counts.reindex(index=sections, columns=list(VERDICTS), fill_value=0)

    def __repr__(self) -> str:
        about = self.about
        lines = [
            self.attacked,
            f"AuditReport: {'FAILED' if not self.passed else self.verdict}"
            f" ({about.get('n_real', '?')} real, {about.get('n_synthetic', '?')} synthetic patients"
            f"; {about.get('mode', 'two tables')})",
        ]
        for section, row in self.counts().iterrows():
            lines.append(
                f"  {section:<12}"
                + "  ".join(f"{int(row[v]):>3} {v}" for v in VERDICTS if row[v] or v != "grey")
            )
        failures = self.failures
        for _, red in failures.head(8).iterrows():
            lines.append(
                f"  red: {red['measure']} [{red['subject']}] = {red['estimate']:.3g}"
                f" ({red['lower']:.3g} to {red['upper']:.3g}),"
                f" rule: {words(red['better'], red['threshold'], red['red'])}"
            )
        for _, line in self.unseen.iterrows():
            lines.append(f"  could not have seen: {line['measure']} [{line['subject']}]")
        if len(failures) > 8:
            lines.append(f"  … and {len(failures) - 8} more: see .failures")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain lists and numbers (NaN and infinity become None)."""

        def plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
            return [
                {
                    str(key): None
                    if isinstance(value, float) and not math.isfinite(value)
                    else value
                    for key, value in row.items()
                }
                for row in frame.to_dict("records")
            ]

        return {
            "passed": self.passed,
            "verdict": self.verdict,
            "attacked": self.attacked,
            "about": self.about,
            **{name: plain(getattr(self, name)) for name in SECTIONS},
            "figures": {name: plain(frame) for name, frame in self.figures.items()},
            "made": environment(),
        }

    def to_json(self, path: str | Path) -> Path:
        """Write the report as JSON and return the path."""
        path = Path(path)
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False, default=_scalar)
        write_text(path, text)
        return path

    def to_html(self, path: str | Path) -> Path:
        """Write the report as one offline HTML page with figures and return the path."""
        from trial_sim.auditing.page import write_html

        return write_html(self, path)
