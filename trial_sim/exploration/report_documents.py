"""A report as Word and LaTeX: the same blocks (headings, paragraphs, tables, figures) for both."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

WIDEST = 7  # columns that stand side by side on a page of A4


@dataclass(frozen=True)
class Block:
    """One piece of a document.

    Attributes:
        kind: "heading", "paragraph", "item", "table" or "figure". text: or caption.
        level: of a heading, from 1. rows: of a table, the same keys in each.
        image: PNG of a figure.
    """

    kind: str
    text: str = ""
    level: int = 1
    rows: Sequence[Mapping[str, str]] = ()
    image: bytes = field(default=b"", repr=False)


def report_blocks(context: Mapping[str, Any]) -> list[Block]:
    """The blocks of a simulation report, from what its pages are made of."""
    out: list[Block] = []

    def head(text: str, level: int = 1) -> None:
        out.append(Block("heading", text, level))

    def say(text: str) -> None:
        out.append(Block("paragraph", text))

    def table(rows: Sequence[Mapping[str, str]]) -> None:
        for part in narrowed([{k: str(v) for k, v in row.items()} for row in rows]):
            out.append(Block("table", rows=part))

    def facts(told: Mapping[str, str]) -> None:
        table([{"": label, " ": words} for label, words in told.items()])

    head("Type I error and power")
    table(context["headlines"])
    say("Intervals are 95 % Monte-Carlo intervals.")
    if len(context["glance"]) > 1:
        table(context["glance"])
    head("Aims and rationale")
    say(context["rationale"])
    head("For the protocol")
    for sentence in context["protocol"]:
        say(sentence)
    head("For the statistical analysis plan")
    for sentence in context["analysis"]:
        say(sentence)
    head("Design")
    facts(context["design"])
    head("Bounds by look", 2)
    table(context["bounds"])
    head("Course by look", 2)
    table(context["course"])
    say("H1: as planned; H0: without effect. Month, patients and events are means under H1 over "
        "the trials that hold the look.")  # fmt: skip
    if context["adaptations"]:
        adaptations = context["adaptations"]
        head("Adaptations")
        say(f"How the error is held: {adaptations['method']}.")
        for milestone in adaptations["milestones"]:
            head(milestone["name"], 2)
            say(f"Held at {milestone['when']}.")
            table(milestone["rows"])
        table(adaptations["patients"])
    if context["error"]:
        head("Family-wise error", 2)
        table(context["error"])
    head("Outcomes assumed, and performance")
    for scenario in context["scenarios"]:
        head(scenario["name"], 2)
        facts(scenario["outcomes"])
        say(f"{scenario['n_trials']} simulated trials; mcse: Monte-Carlo standard error.")
        table(scenario["rows"])
    for figure in context["figures"]:
        out.append(Block("figure", figure["caption"], image=base64.b64decode(figure["image"])))
    if context["sensitivity"]:
        head("Sensitivity")
        table(context["sensitivity"])
    if context["examples"]:
        head("Example trials")
        for example in context["examples"]:
            head(f"Trial {example['number']}", 2)
            table(example["rows"])
    head("Software, seeds and hashes")
    for scenario in context["scenarios"]:
        say(
            f"{scenario['name']}: seed {scenario['seed']}; {scenario['provenance']}; SHA-256 of "
            f"inputs {scenario['hash']}"
        )
    return out


def narrowed(rows: Sequence[Mapping[str, str]]) -> list[list[dict[str, str]]]:
    """A table as one or more that fit a page of A4; nothing of it is lost.

    One that is too wide and has few rows is turned: its columns become rows. One with many rows is
    cut into several, each beginning with the columns that tell the rows apart.
    """
    table = [{name: str(value) for name, value in row.items()} for row in rows]
    if not table or len(table[0]) <= WIDEST:
        return [table] if table else []
    told = _telling_apart(table)
    if not told:
        told = ["row"]
        table = [{"row": str(k), **row} for k, row in enumerate(table, start=1)]
    names = list(table[0])
    if len(table) < WIDEST:
        key = "; ".join(told)
        heads = ["; ".join(row[n] for n in told) for row in table]
        return [
            [
                {key: name, **{head: row[name] for head, row in zip(heads, table, strict=True)}}
                for name in names
                if name not in told
            ]
        ]
    others = [n for n in names if n not in told]
    step = max(WIDEST - len(told), 3)
    return [
        [{n: row[n] for n in (*told, *others[k : k + step])} for row in table]
        for k in range(0, len(others), step)
    ]


def _telling_apart(table: Sequence[Mapping[str, str]]) -> list[str]:
    """The first columns, those that do not vary left out, that no two rows share; [] if none do."""
    told: list[str] = []
    for name in table[0]:
        if len({row[name] for row in table}) > 1 or len(table) == 1:
            told.append(name)
        if told and len({tuple(row[n] for n in told) for row in table}) == len(table):
            return told
        if len(told) == 3:
            break
    return []


def need_word() -> None:
    """Raise ValueError unless python-docx is there."""
    if find_spec("docx") is None:
        raise ValueError(
            "a report in Word needs python-docx: pip install 'digital-double[word]', or write "
            ".tex or .html"
        )


def write_word(title: str, blocks: Sequence[Block], path: Path) -> None:
    """Write blocks as a Word file on A4.

    Raises:
        ValueError: python-docx is not installed.
    """
    need_word()
    import docx
    from docx.shared import Mm, Pt

    document = docx.Document()
    section = document.sections[0]
    section.page_width, section.page_height = Mm(210), Mm(297)
    section.left_margin = section.right_margin = Mm(18)
    section.top_margin = section.bottom_margin = Mm(18)
    document.styles["Normal"].font.size = Pt(10)
    document.core_properties.title = title
    document.core_properties.author = "digital-double"
    document.add_heading(title, level=0)
    for block in blocks:
        if block.kind == "heading":
            document.add_heading(block.text, level=block.level)
        elif block.kind == "table":
            _word_table(document, block.rows)
        elif block.kind == "figure":
            document.add_picture(io.BytesIO(block.image), width=Mm(150))
            document.add_paragraph(block.text, style="Caption")
        else:
            document.add_paragraph(block.text)
    document.save(str(path))


def _word_table(document: Any, rows: Sequence[Mapping[str, str]]) -> None:
    from docx.oxml import OxmlElement
    from docx.shared import Pt

    names = list(rows[0])
    table = document.add_table(rows=1, cols=len(names), style="Table Grid")
    size = Pt(9 if len(names) <= 5 else 7.5)
    for row, held in [(table.rows[0], dict.fromkeys(names)), *((None, r) for r in rows)]:
        line = table.add_row() if row is None else row
        for cell, name in zip(line.cells, names, strict=True):
            text = name if row is not None else str(held[name])
            run = cell.paragraphs[0].add_run(text.strip())
            run.font.size, run.bold = size, row is not None
        properties = line._tr.get_or_add_trPr()
        properties.append(OxmlElement("w:cantSplit"))  # a row stays on one page
        if row is not None:
            properties.append(OxmlElement("w:tblHeader"))  # headings again on each page
    document.add_paragraph()


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
}  # fmt: skip
_PREAMBLE = r"""\documentclass[10pt,a4paper]{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage[margin=18mm]{geometry}
\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}
\usepackage{array,longtable,graphicx}
% a new page where less than a fifth of this one is left
\newcommand{\room}{\par\begingroup\dimen0=\pagegoal\advance\dimen0-\pagetotal
  \ifdim\dimen0<.2\textheight\ifdim\dimen0>0pt\newpage\fi\fi\endgroup}
\setlength{\parindent}{0pt}\setlength{\parskip}{5pt}\setlength{\tabcolsep}{3pt}
\sloppy
"""


def latex_text(text: str) -> str:
    """Text with the characters escaped that LaTeX takes for commands."""
    return "".join(_LATEX.get(c, c) for c in text)


def latex_document(title: str, blocks: Sequence[Block], path: Path | None) -> str:
    """Blocks as a LaTeX document; its figures are written beside ``path``, if that is given."""
    lines = [_PREAMBLE + r"\begin{document}", rf"\section*{{{latex_text(title)}}}"]
    figures, above = 0, ""
    for block in blocks:
        if block.kind == "heading":
            command = "subsection" if block.level == 1 else "subsubsection"
            # a heading stays with what follows it
            room = "" if above == "heading" else r"\room"
            lines.append(rf"{room}\{command}*{{{latex_text(block.text)}}}\nopagebreak")
        elif block.kind == "table":
            lines += _latex_table(block.rows)
        elif block.kind == "figure":
            figures += 1
            if path is None:
                continue
            place = path.with_name(f"{path.stem}-figure-{figures}.png")
            place.write_bytes(block.image)
            name = place.name if "_" not in place.stem else rf"\detokenize{{{place.name}}}"
            lines += [
                r"\begin{center}", rf"\includegraphics[width=.85\textwidth]{{{name}}}", "",
                rf"\small {latex_text(block.text)}", r"\end{center}",
            ]  # fmt: skip
        else:
            lines += [latex_text(block.text), ""]
        above = block.kind
    return "\n".join([*lines, r"\end{document}", ""])


def _latex_table(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """A table as wide as the page whose cells break and which goes on over pages."""
    names = list(rows[0])
    widths = [1.0] * len(names)
    longest = [max(len(str(r[n])) for r in [*rows, {n: n for n in names}]) for n in names]
    total = sum(min(max(w, 6), 60) for w in longest)
    widths = [0.94 * min(max(w, 6), 60) / total for w in longest]
    columns = "".join(rf">{{\raggedright\arraybackslash}}p{{{w:.3f}\textwidth}}" for w in widths)
    head = " & ".join(rf"\textbf{{{latex_text(n.strip())}}}" for n in names)
    body = [" & ".join(latex_text(str(r[n])) for n in names) + r" \\" for r in rows]
    size = r"\small" if len(names) <= 5 else r"\scriptsize"
    return [
        f"{{{size}", rf"\begin{{longtable}}{{{columns}}}", r"\hline",
        # without names there is no head to repeat; the strut keeps the line off the letters
        *([rf"{head} \\ \hline\noalign{{\smallskip}}"] if any(n.strip() for n in names) else []),
        r"\endhead", *body, r"\hline", r"\end{longtable}}", "",
    ]  # fmt: skip
