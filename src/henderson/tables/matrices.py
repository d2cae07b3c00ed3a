"""A design as its matrices: names and first rows of y, X and Z."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from henderson.tables.layout import Grid, clean, columns_of, elide, wrap
from henderson.tables.numerals import column as aligned

if TYPE_CHECKING:
    from henderson.design import Design, RandomFactor

LABEL = 12
# No terminal shows more columns than this beside each other.
MOST_COLUMNS = 40


def design_text(design: Design, rows: int = 6) -> str:
    """What a model is made of: y and X, then Z, the first `rows` rows of each.

    Zeros of Z are points. Columns that do not fit 80 columns of text are counted, not shown.
    """
    first = np.arange(min(rows, design.n))
    labels = [str(label) for label in design.index[first]]
    parts = [
        wrap(clean(design.formula.text), "Formula: ", " " * 9),
        _response_and_x(design, labels),
    ]
    if design.random:
        parts.append(_z(design, labels))
    return "\n\n".join(parts)


def _response_and_x(design: Design, labels: list[str]) -> str:
    heading = f"y ({design.n}) and X ({design.n} x {design.p}), first {len(labels)} rows:"
    columns = [design.y, *design.X.T[:MOST_COLUMNS]]
    cells = [_cells(column[: len(labels)]) for column in columns]
    names = ["y: " + design.formula.response, *design.names[:MOST_COLUMNS]]
    return "\n".join([heading, _block(labels, names, cells, 1 + design.p)])


def _z(design: Design, labels: list[str]) -> str:
    total = sum(len(f.levels) * f.z.shape[1] for f in design.random)
    heading = f"Z ({design.n} x {total}), first {len(labels)} rows:"
    pairs = list(islice(_z_columns(design, len(labels)), MOST_COLUMNS))
    names, cells = [name for name, _ in pairs], [_cells(c, zero=".") for _, c in pairs]
    lines = [heading, _block(labels, names, cells, total)]
    return "\n".join(lines + [wrap(_about(f), rest="  ") for f in design.random])


def _z_columns(design: Design, n: int) -> Iterator[tuple[str, np.ndarray]]:
    """Names and first n rows of Z's columns, one by one: Z itself may be very wide."""
    several = len(design.random) > 1
    for factor in design.random:
        for j, level in enumerate(factor.levels):
            at_level = factor.codes[:n] == j
            for k, name in enumerate(factor.names):
                label = f"{factor.name}: {name}[{level}]" if several else f"{name}[{level}]"
                yield label, np.where(at_level, factor.z[:n, k], 0.0)


def _about(factor: RandomFactor) -> str:
    k = factor.z.shape[1]
    names = [elide(name, 30) for name in factor.names[:4]] + (["..."] if k > 4 else [])
    levels = [elide(level, 20) for level in factor.levels[:4]]
    levels += ["..."] if len(factor.levels) > 4 else []
    each = "a column" if k == 1 else f"{k} columns"
    return (
        f"{elide(factor.name, 40)}: {each} a level ({', '.join(names)}), "
        f"{len(factor.levels)} levels ({', '.join(levels)})."
    )


def _block(
    labels: Sequence[str], names: Sequence[str], cells: Sequence[Sequence[str]], total: int
) -> str:
    """As many columns as fit beside the row labels, and how many there are more."""
    short = [elide(name, 16) for name in names]
    widths = [max(map(columns_of, [s, *c])) for s, c in zip(short, cells, strict=True)]
    shown = int(np.searchsorted(np.cumsum(np.array(widths) + 1), 80 - LABEL, side="right"))
    rows = tuple(
        (elide(label, LABEL), *(c[i] for c in cells[:shown])) for i, label in enumerate(labels)
    )
    text = Grid(("", *short[:shown]), rows).text()
    more = total - shown
    return f"{text}\n... and {more} more columns" if more else text


def _cells(values: np.ndarray, zero: str = "0") -> list[str]:
    """A column's texts: whole numbers without decimals, others to four digits."""
    if np.all(values == np.round(values)) and np.all(np.abs(values) < 1e7):
        texts = [f"{v:.0f}" for v in values]
    else:
        texts = aligned(values)
    return [zero if v == 0.0 else text for v, text in zip(values, texts, strict=True)]
