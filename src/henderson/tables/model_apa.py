"""Models side by side in the style of the American Psychological Association's manual (7th ed.).

Estimate, interval and p-value stand in columns of their own; what cannot exceed one has no zero
before the point; symbols of statistics are in italics; rules are horizontal.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pandas as pd

from henderson.tables import model_cells as cells
from henderson.tables.model_column import COR, SD, Parameter
from henderson.tables.model_notes import adjusted_note, ddf_note
from henderson.tables.numerals import fixed
from henderson.tables.sheet import Cell, Italic, Lines, Number, Row, Section, Sheet

if TYPE_CHECKING:
    from henderson.tables.model_table import ModelTable
    from henderson.tables.model_terms import Term

_SQUARE = "\N{SUPERSCRIPT TWO}"
SHARES: dict[str, Cell] = {
    "r2": (Italic("R"), _SQUARE),
    "r2_adjusted": ("Adjusted ", Italic("R"), _SQUARE),
    "r2_marginal": ("Marginal ", Italic("R"), _SQUARE),
    "r2_conditional": ("Conditional ", Italic("R"), _SQUARE),
    "icc": ("ICC",),
}
_BLANK: tuple[Lines, ...] = ((), ())


def apa_sheet(table: ModelTable, number: int) -> Sheet:
    """The table for a manuscript in psychology."""
    columns, responses = table.columns, table.responses
    interval = (f"{table.options.percent} CI",)
    return Sheet(
        number=f"Table {number}",
        title=table.title or table.default_title,
        models=tuple(column.name for column in columns),
        responses=responses if len(set(responses)) > 1 else (),
        columns=((Italic("b"),), interval, (Italic("p"),)),
        sections=tuple(s for s in (_fixed(table), _random(table), _fit(table)) if s.rows),
        notes=_notes(table),
        ruled=False,
    )


def without_zero(text: str) -> str:
    """No zero before the point of what cannot exceed one.

    >>> without_zero("-0.12")
    '-.12'
    """
    return re.sub(r"^(-?)0\.", r"\1.", text)


def apa_p(p: float) -> str:
    """Three decimals, or "< .001"."""
    return "< .001" if p < 0.001 else without_zero(fixed(p, 3))


def _share(value: float) -> str:
    return without_zero(fixed(value, 2))


def _fixed(table: ModelTable) -> Section:
    decimals = cells.term_decimals(table.terms, table.columns, table.options.digits)
    rows = tuple(_term(t, d, table) for t, d in zip(table.terms, decimals, strict=True))
    return Section("Fixed effects" if table.is_mixed else "Coefficients", rows)


def _term(term: Term, decimals: int | None, table: ModelTable) -> Row:
    found: tuple[Lines, ...] = ()
    for column, name in zip(table.columns, term.names, strict=True):
        found += ((), *_BLANK) if name is None else _estimate(column.fixed.loc[name], decimals)
    return Row((term.label,), found)


def _estimate(row: pd.Series, decimals: int | None) -> tuple[Lines, ...]:
    low, high = (Number(fixed(row[end], decimals)) for end in ("lower", "upper"))
    interval: Cell = ("[", low, ", ", high, "]")
    estimate: Cell = (Number(fixed(row["estimate"], decimals)),)
    return ((estimate,), (interval,), ((Number(apa_p(row["p_value"])),),))


def _spread(row: Row) -> Row:
    """A cell a model takes the first of the model's columns."""
    return Row(row.label, tuple(c for cell in row.cells for c in (cell, *_BLANK)))


def _random(table: ModelTable) -> Section:
    rows = cells.parameters(
        table.columns,
        table.options.digits,
        label=_label,
        share=_share,
    )
    title = "Random effects" if table.is_mixed else "Residuals"
    return Section(title, tuple(map(_spread, rows)))


def _label(parameter: Parameter) -> Cell:
    if parameter.structure:
        return (str(parameter),)
    symbols = {SD: "SD", COR: "r"}
    return (Italic(symbols[parameter.kind]), f" {parameter.about}")


def _fit(table: ModelTable) -> Section:
    columns = table.columns
    rows = [Row((Italic("N"),), cells.numbers(cells.measured(columns, "nobs"), cells.count))]
    rows += cells.groups(columns, lambda name: (Italic("n"), f" ({name})"))
    labels = {name: (label,) for name, label in cells.CRITERIA.items()}
    for found, write in ((SHARES, _share), (labels, cells.criterion)):
        rows += [
            Row(label, cells.numbers(cells.measured(columns, name), write))
            for name, label in found.items()
            if cells.has(columns, name)
        ]
    return Section("Fit", tuple(map(_spread, rows)))


def _notes(table: ModelTable) -> tuple[Cell, ...]:
    words: list[str] = ["CI = confidence interval"]
    words += ["ICC = intraclass correlation"] if cells.has(table.columns, "icc") else []
    first: Cell = (Italic("Note."), f" {'; '.join(words)}. {_methods(table)}")
    rest = [ddf_note(table.columns), *adjusted_note(table.columns), *table.notes]
    return (first, *((note,) for note in rest))


def _methods(table: ModelTable) -> str:
    words = {"REML": "restricted maximum likelihood", "ML": "maximum likelihood"}
    methods = {column.method for column in table.columns}
    if len(methods) == 1:
        return f"Estimated by {words[methods.pop()]}."
    return " ".join(f"{c.name}: estimated by {words[c.method]}." for c in table.columns)
