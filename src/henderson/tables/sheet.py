"""A table of texts before it is written in some format: pieces, cells, rows, sections.

A cell is a tuple of pieces, so that each writer sets numbers, italics and marks in its own way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Format = Literal["text", "markdown", "html", "latex"]


class Number(str):
    """A number: its hyphen is a minus sign."""


class Italic(str):
    """A statistical symbol, such as p."""


class Mark(str):
    """Stars behind a number, raised where the format can."""


Cell = tuple[str, ...]
# The lines of a cell, one below the other; none where there is nothing to say.
Lines = tuple[Cell, ...]


def plain(cell: Cell) -> str:
    """A cell's characters alone."""
    return "".join(cell)


@dataclass(frozen=True)
class Row:
    """A label and the cells of all columns, each of none, one or more lines."""

    label: Cell
    cells: tuple[Lines, ...]

    @property
    def height(self) -> int:
        return max([1, *map(len, self.cells)])

    def line(self, i: int) -> list[Cell]:
        """The i-th lines of the cells."""
        return [cell[i] if i < len(cell) else () for cell in self.cells]


@dataclass(frozen=True)
class Section:
    """Rows below a heading."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Sheet:
    """Models side by side.

    Attributes
    ----------
    number : a line above the title, such as "Table 1", or "".
    title : what the table shows.
    models : (m,) the models' names.
    responses : (m,) their dependent variables, or none where the title says it.
    columns : (k,) headings of the columns that each model has; one blank one needs no line.
    sections : rows of m k cells.
    notes : paragraphs below the table.
    ruled : rules part the sections.
    """

    number: str
    title: str
    models: tuple[str, ...]
    responses: tuple[str, ...]
    columns: tuple[Cell, ...]
    sections: tuple[Section, ...]
    notes: tuple[Cell, ...]
    ruled: bool = True

    @property
    def span(self) -> int:
        """Columns of a model."""
        return len(self.columns)

    @property
    def width(self) -> int:
        """Columns of all the models."""
        return self.span * len(self.models)

    @property
    def has_column_heads(self) -> bool:
        return self.span > 1 or bool(plain(self.columns[0]))

    @property
    def model_heads(self) -> list[tuple[str, tuple[str, ...]]]:
        """Lines of the heading that have a cell a model: a label and the cells."""
        heads = [("", self.models)]
        return [*heads, ("Dependent variable", self.responses)] if self.responses else heads
