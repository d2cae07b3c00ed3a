"""A sheet as a Markdown pipe table."""

from __future__ import annotations

import re
from collections.abc import Sequence

from henderson.tables.layout import clean
from henderson.tables.sheet import Cell, Italic, Row, Sheet

_SPECIAL = re.compile(r"([\\`*_{}\[\]|~$])")


def sheet_markdown(sheet: Sheet) -> str:
    """Title, table, notes; a second line of a cell is a row without a label."""
    m = len(sheet.models)
    lines = [_line("", [_escaped(name) for name in sheet.models]), "|:--" + "|--:" * m + "|"]
    if sheet.responses:
        lines.append(_line("Dependent variable", [_escaped(name) for name in sheet.responses]))
    for section in sheet.sections:
        lines.append(_line(f"**{_escaped(section.title)}**", [""] * m))
        for row in section.rows:
            lines += _row(row)
    notes = "  \n".join(_cell(note) for note in sheet.notes)
    return "\n\n".join([f"**{_escaped(sheet.title)}**", "\n".join(lines), notes]).rstrip()


def _row(row: Row) -> list[str]:
    labels = [_cell(row.label), *[""] * (row.height - 1)]
    return [_line(label, [_cell(c) for c in row.line(i)]) for i, label in enumerate(labels)]


def _line(label: str, cells: Sequence[str]) -> str:
    return f"| {' | '.join([label, *cells])} |"


def _cell(cell: Cell) -> str:
    return "".join(f"*{_escaped(p)}*" if isinstance(p, Italic) else _escaped(p) for p in cell)


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is, pipes and angle brackets too."""
    plain = _SPECIAL.sub(r"\\\1", clean(text))
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
