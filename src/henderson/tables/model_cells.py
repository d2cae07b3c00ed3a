"""The cells that tables of models have in common: parameters and measures of the fit as rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from math import isfinite, log10
from typing import TypeVar

from henderson.tables.model_column import COR, SD, ModelColumn, Parameter
from henderson.tables.model_terms import Term
from henderson.tables.numerals import common_decimals, fixed
from henderson.tables.sheet import Cell, Lines, Number, Row

T = TypeVar("T")
Write = Callable[[float], str]
# More significant digits than these are noise.
MOST_DIGITS = 6
# Labels of the measures, with decimals; shares of one are told by three.
CRITERIA = {"log_lik": "Log-likelihood", "aic": "AIC", "bic": "BIC"}


def union(found: Iterable[Iterable[T]]) -> list[T]:
    """All the items in the order of their first appearance."""
    return list(dict.fromkeys(item for items in found for item in items))


def numbers(cells: Sequence[float | None], write: Write) -> tuple[Lines, ...]:
    """One number a cell, blank where there is none."""
    return tuple(() if v is None else ((Number(write(v)),),) for v in cells)


def parameters(
    columns: Sequence[ModelColumn],
    digits: int,
    label: Callable[[Parameter], Cell],
    share: Write,
) -> tuple[Row, ...]:
    """Random effects first, then residuals; correlations are written by `share`.

    Standard deviations have decimals in common, the parameters of structures their own.
    """
    parts = [[c.random for c in columns], [c.residual for c in columns]]
    found = [(p, [v.get(p) for v in values]) for values in parts for p in union(values)]
    deviations = decimals_of([row for p, row in found if p.kind == SD and not p.structure], digits)
    rows = []
    for parameter, row in found:
        of_row = deviations(row) if parameter.kind == SD else decimals_of([row], digits)(row)
        write = share if parameter.kind == COR else partial(fixed, decimals=of_row)
        rows.append(Row(label(parameter), numbers(row, write)))
    return tuple(rows)


def decimals_of(
    rows: Sequence[Sequence[float | None]], digits: int
) -> Callable[[Sequence[float | None]], int | None]:
    """Gives the decimals of a row: those that show the smallest number of all to `digits` digits.

    Where other numbers would then have too many digits, each row has decimals of its own.
    """
    sizes = [abs(v) for row in rows for v in row if v is not None and isfinite(v) and v != 0.0]
    spread = log10(max(sizes) / min(sizes)) if sizes else 0.0
    together = common_decimals(sizes, digits) if sizes and digits + spread <= MOST_DIGITS else None

    def of_row(row: Sequence[float | None]) -> int | None:
        if together is not None:
            return together
        own = [v for v in row if v]
        return common_decimals(own, digits) if own else None

    return of_row


def term_decimals(
    terms: Sequence[Term], columns: Sequence[ModelColumn], digits: int
) -> list[int | None]:
    """Decimals of the terms: those of their standard errors, beyond which there is only noise."""
    rows = [
        [
            None if name is None else float(column.fixed.at[name, "std_error"])
            for column, name in zip(columns, term.names, strict=True)
        ]
        for term in terms
    ]
    of_row = decimals_of(rows, digits)
    return [of_row(row) for row in rows]


def measured(columns: Sequence[ModelColumn], name: str) -> list[float | None]:
    """A measure of every model."""
    return [column.measures.get(name) for column in columns]


def has(columns: Sequence[ModelColumn], name: str) -> bool:
    return any(name in column.measures for column in columns)


def count(value: float) -> str:
    return f"{value:.0f}"


def criterion(value: float) -> str:
    return fixed(value, 1)


def groups(columns: Sequence[ModelColumn], label: Callable[[str], Cell]) -> tuple[Row, ...]:
    """The number of levels of every grouping factor."""
    return tuple(
        Row(label(name), numbers([column.groups.get(name) for column in columns], count))
        for name in union(column.groups for column in columns)
    )
