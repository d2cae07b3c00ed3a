"""Models side by side: estimates with a statistic below, random effects, measures of the fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from henderson.tables import model_cells as cells
from henderson.tables.model_notes import adjusted_note, ddf_note
from henderson.tables.numerals import fixed, p_value
from henderson.tables.sheet import Cell, Lines, Mark, Number, Row, Section, Sheet

if TYPE_CHECKING:
    from henderson.tables.model_options import Options
    from henderson.tables.model_table import ModelTable
    from henderson.tables.model_terms import Term

SHARES = {
    "r2": "R\N{SUPERSCRIPT TWO}",
    "r2_adjusted": "R\N{SUPERSCRIPT TWO} adjusted",
    "r2_marginal": "R\N{SUPERSCRIPT TWO} marginal",
    "r2_conditional": "R\N{SUPERSCRIPT TWO} conditional",
    "icc": "ICC",
}


def model_sheet(table: ModelTable) -> Sheet:
    """The table as journals of many fields print it."""
    columns, responses = table.columns, table.responses
    return Sheet(
        number="",
        title=table.title or table.default_title,
        models=tuple(column.name for column in columns),
        responses=responses if len(set(responses)) > 1 else (),
        columns=((),),
        sections=tuple(s for s in (_fixed(table), _random(table), _fit(table)) if s.rows),
        notes=tuple((note,) for note in [*_reading(table), *table.notes]),
    )


def _fixed(table: ModelTable) -> Section:
    decimals = cells.term_decimals(table.terms, table.columns, table.options.digits)
    rows = tuple(_term(t, d, table) for t, d in zip(table.terms, decimals, strict=True))
    return Section("Fixed effects" if table.is_mixed else "Coefficients", rows)


def _term(term: Term, decimals: int | None, table: ModelTable) -> Row:
    lines = tuple(
        () if name is None else _estimate(column.fixed.loc[name], decimals, table.options)
        for column, name in zip(table.columns, term.names, strict=True)
    )
    return Row((term.label,), lines)


def _estimate(row: pd.Series, decimals: int | None, options: Options) -> Lines:
    estimate: Cell = (Number(fixed(row["estimate"], decimals)),)
    mark = options.mark(row["p_value"])
    return (estimate + ((Mark(mark),) if mark else ()), _statistic(row, decimals, options))


def _statistic(row: pd.Series, decimals: int | None, options: Options) -> Cell:
    if options.statistic == "ci":
        low, high = (Number(fixed(row[end], decimals)) for end in ("lower", "upper"))
        return ("[", low, ", ", high, "]")
    text = {
        "se": fixed(row["std_error"], decimals),
        "t": fixed(row["statistic"], 2),
        "p": p_value(row["p_value"]),
    }[options.statistic]
    return ("(", Number(text), ")")


def _random(table: ModelTable) -> Section:
    rows = cells.parameters(
        table.columns,
        table.options.digits,
        label=lambda parameter: (str(parameter),),
        share=lambda value: fixed(value, 2),
    )
    return Section("Random effects" if table.is_mixed else "Residuals", rows)


def _fit(table: ModelTable) -> Section:
    columns = table.columns
    rows = [Row(("Observations",), cells.numbers(cells.measured(columns, "nobs"), cells.count))]
    rows += cells.groups(columns, label=lambda name: (f"Groups ({name})",))
    rows += _measures(table, SHARES, lambda value: fixed(value, 3))
    rows += _measures(table, cells.CRITERIA, cells.criterion)
    rows.append(Row(("Estimated by",), tuple(((column.method,),) for column in columns)))
    return Section("Fit", tuple(rows))


def _measures(table: ModelTable, labels: dict[str, str], write: cells.Write) -> list[Row]:
    return [
        Row((label,), cells.numbers(cells.measured(table.columns, name), write))
        for name, label in labels.items()
        if cells.has(table.columns, name)
    ]


def _reading(table: ModelTable) -> list[str]:
    """What the brackets and the stars mean, and which tests were made."""
    options = table.options
    if not table.terms:
        return []
    notes = [_bracket_words(options)]
    if options.stars:
        limits = sorted(options.stars.items(), key=lambda item: -item[1])
        notes.append(", ".join(f"{mark} p < {limit:g}" for mark, limit in limits) + ".")
    if options.stars or options.statistic in ("ci", "p"):
        notes.append(ddf_note(table.columns))
    return [*notes, *adjusted_note(table.columns)]


def _bracket_words(options: Options) -> str:
    return {
        "se": "Standard errors in parentheses.",
        "ci": f"{options.percent} confidence intervals in brackets.",
        "t": "t statistics in parentheses.",
        "p": "p-values in parentheses.",
    }[options.statistic]
