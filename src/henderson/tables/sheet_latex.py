r"""A sheet as a LaTeX table with the rules of the package booktabs."""

from __future__ import annotations

import re

from henderson.tables.layout import clean
from henderson.tables.notation import SPECIAL
from henderson.tables.sheet import Cell, Italic, Mark, Number, Row, Sheet

# In running text, the letters that some fonts lack; and what a command before it would swallow.
_TEXT = {
    **SPECIAL,
    **{c: f"${c}$" for c in "|<>"},
    "`": r"\textasciigrave{}",
    "[": "{[}",
    "*": "{*}",
    "\N{SUPERSCRIPT TWO}": r"\textsuperscript{2}",
}


def sheet_latex(sheet: Sheet) -> str:
    r"""A `table` float; the preamble needs `\usepackage{booktabs}`."""
    lines = [
        r"% \usepackage{booktabs}",
        r"\begin{table}[htbp]",
        r"\centering",
        rf"\caption{{{_title(sheet)}}}",
        rf"\begin{{tabular}}{{l{'r' * sheet.width if sheet.span > 1 else 'c' * sheet.width}}}",
        r"\toprule",
        *_head(sheet),
        *_body(sheet),
        r"\bottomrule",
        r"\end{tabular}",
        *_notes(sheet),
        r"\end{table}",
    ]
    return "\n".join(lines)


def _title(sheet: Sheet) -> str:
    # LaTeX numbers the tables itself.
    title = escaped(sheet.title)
    return rf"\textit{{{title}}}" if sheet.number else title


def _head(sheet: Sheet) -> list[str]:
    lines = []
    for label, cells in sheet.model_heads:
        names = [escaped(cell) for cell in cells]
        if sheet.span > 1:
            names = [rf"\multicolumn{{{sheet.span}}}{{c}}{{{name}}}" for name in names]
        lines.append(_line([escaped(label), *names]))
    if sheet.has_column_heads:
        starts = [2 + i * sheet.span for i in range(len(sheet.models))]
        lines += [rf"\cmidrule(lr){{{s}-{s + sheet.span - 1}}}" for s in starts]
        columns = [_cell(c) for c in sheet.columns] * len(sheet.models)
        lines.append(_line(["", *(rf"\multicolumn{{1}}{{c}}{{{c}}}" for c in columns)]))
    return lines


def _body(sheet: Sheet) -> list[str]:
    lines = []
    for section in sheet.sections:
        if sheet.ruled or section is sheet.sections[0]:
            lines.append(r"\midrule")
        lines.append(rf"\textbf{{{escaped(section.title)}}} \\")
        for row in section.rows:
            lines += _row(row)
    return lines


def _row(row: Row) -> list[str]:
    labels = [_cell(row.label), *[""] * (row.height - 1)]
    return [_line([label, *map(_cell, row.line(i))]) for i, label in enumerate(labels)]


def _line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _notes(sheet: Sheet) -> list[str]:
    if not sheet.notes:
        return []
    notes = [_cell(note) + r"\par" for note in sheet.notes]
    return [
        r"\par\medskip",
        r"\begin{minipage}{\linewidth}\footnotesize",
        *notes,
        r"\end{minipage}",
    ]


def _cell(cell: Cell) -> str:
    return "".join(map(_piece, cell))


def _piece(piece: str) -> str:
    if isinstance(piece, Number):
        return escaped(piece).replace("-", "$-$")
    if isinstance(piece, Italic):
        return rf"\textit{{{escaped(piece)}}}"
    return rf"\textsuperscript{{{escaped(piece)}}}" if isinstance(piece, Mark) else escaped(piece)


def escaped(text: str) -> str:
    """Text that LaTeX prints as it is."""
    # An empty group parts hyphens, which would join to a dash.
    return re.sub("-(?=-)", "-{}", "".join(_TEXT.get(c, c) for c in clean(text)))
