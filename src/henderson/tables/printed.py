"""Results that show themselves: text in a terminal, tables in a notebook, from the same parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from henderson.tables.layout import WIDTH, Grid, clean, columns_of, wrap

# A long word, such as a formula without blanks, is broken rather than wider than a telephone.
_SECTION = "overflow-wrap:anywhere"


@dataclass(frozen=True)
class Parted:
    """A table whose rows stand under headings.

    Attributes
    ----------
    grid : all of the rows; in a terminal they share their columns' widths.
    headings : one for each row; rows of one heading stand together, in the order of its first row.
    """

    grid: Grid
    headings: tuple[str, ...]

    def lines(self) -> list[str]:
        first, *rows = self.grid.lines()
        out: list[str] = []
        for heading in dict.fromkeys(self.headings):
            own = [row for row, h in zip(rows, self.headings, strict=True) if h == heading]
            out += [wrap(heading), first, *own, ""]
        return out

    def grids(self) -> Iterator[tuple[str, Grid]]:
        """Heading and rows, one by one."""
        for heading in dict.fromkeys(self.headings):
            pairs = zip(self.grid.rows, self.headings, strict=True)
            yield heading, replace(self.grid, rows=tuple(row for row, h in pairs if h == heading))


# A text is one paragraph, wrapped where it is too long for a line.
Shown: TypeAlias = str | Grid | Parted


class Printed:
    """A result made of parts, each a text or a table. Subclasses that are dataclasses say
    `repr=False`."""

    def _parts(self) -> Iterable[Shown]:
        """Headings, tables and remarks, from top to bottom."""
        raise TypeError(f"{type(self).__name__} does not say what it shows")

    def __str__(self) -> str:
        return "\n".join(line for part in self._parts() for line in _lines(part))

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        kind = type(self).__name__.lower()
        parts = [text for part in self._parts() for text in _html(part, kind)]
        inner = "\n".join(parts)
        return f'<section class="henderson-{kind}" style="{_SECTION}">\n{inner}\n</section>'


def _lines(part: Shown) -> list[str]:
    if not isinstance(part, str):
        return part.lines()
    plain = clean(part)
    return [plain if columns_of(plain) <= WIDTH else wrap(plain, rest="  ")]


def _html(part: Shown, kind: str) -> Iterator[str]:
    from henderson.tables.summary_html import grid_html, html

    if isinstance(part, Parted):
        for heading, grid in part.grids():
            yield grid_html(grid, kind, heading)
    elif isinstance(part, Grid):
        yield grid_html(part, kind)
    elif part:
        yield f"<p>{html(part)}</p>"
