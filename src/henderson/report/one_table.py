"""The table of a page about a fit: the whole model in the rows that a manuscript prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from henderson.report.sheets import Sheet
from henderson.tables.layout import Grid
from henderson.tables.model_sheet import model_sheet
from henderson.tables.model_table import table
from henderson.tables.numerals import p_value
from henderson.tables.sheet import Lines, Section, plain

if TYPE_CHECKING:
    from henderson.fit import Fit

HEADER = ("", "Estimate", "95 % interval", "p")


def one_table(fit: Fit) -> Sheet:
    """Coefficients with intervals and p-values, random effects, and measures of the fit, in parts.

    A row that heads a part has its name alone.
    """
    made = table(fit, statistic="ci")
    p_values = fit.pvalues.to_dict()
    written = model_sheet(made)
    rows: list[tuple[str, ...]] = []
    for section in written.sections:
        rows += [(section.title, "", "", ""), *_rows(section, p_values)]
    title = written.title[0].upper() + written.title[1:]
    notes = " ".join(note for note in map(plain, written.notes) if "brackets" not in note)
    return Sheet("model", f"{title}. {notes}".strip(), Grid(HEADER, tuple(rows), 1), parts=True)


def _rows(section: Section, p_values: dict[str, float]) -> list[tuple[str, ...]]:
    out: list[tuple[str, ...]] = []
    for row in section.rows:
        label, (cell,) = plain(row.label), row.cells
        p = p_values.get(label) if len(cell) > 1 else None
        out.append((label, _line(cell, 0), _line(cell, 1), "" if p is None else p_value(p)))
    return out


def _line(cell: Lines, i: int) -> str:
    return plain(cell[i]) if i < len(cell) else ""
