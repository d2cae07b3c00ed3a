"""Text of at most 80 columns: names cut in the middle, lines wrapped, tables aligned.

A terminal shows some characters in two columns and some in none, so lengths are counted in columns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from unicodedata import category, combining, east_asian_width

WIDTH = 80
# A random term such as (1 | g), with what follows it directly, or a word.
_WORDS = re.compile(r"\([^()]{0,40}\|[^()]{0,40}\)\S*|\S+")


def columns_of(text: str) -> int:
    """Columns that a terminal needs for a text."""
    return len(text) if text.isascii() else sum(map(_columns_of_character, text))


def _columns_of_character(character: str) -> int:
    if combining(character) or category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if east_asian_width(character) in "WF" else 1


def clean(text: object) -> str:
    """One line: line breaks, tabs and other controls are written out as escapes."""
    plain = str(text)
    if plain.isprintable():
        return plain
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in plain)


def elide(text: object, room: int) -> str:
    """A text in at most `room` columns, its middle left out where it is longer.

    >>> elide("a_rather_long_name", 11)
    'a_ra...name'
    """
    plain = clean(text)
    if columns_of(plain) <= room:
        return plain
    if room <= 3:
        return "..."[:room]
    head = (room - 2) // 2
    return f"{_take(plain, head)}...{_take(plain[::-1], room - 3 - head)[::-1]}"


def _take(text: str, room: int) -> str:
    """As much of the beginning as `room` columns hold."""
    taken = 0
    for i, character in enumerate(text):
        taken += _columns_of_character(character)
        if taken > room:
            return text[:i]
    return text


def pad(text: str, room: int, *, left: bool) -> str:
    """Fill with blanks to `room` columns; `left` aligns the text left."""
    blanks = " " * max(room - columns_of(text), 0)
    return text + blanks if left else blanks + text


def wrap(text: object, first: str = "", rest: str = "", width: int = WIDTH) -> str:
    """A text as lines of at most `width` columns; `first` and `rest` begin the lines."""
    return flow(_WORDS.findall(clean(text)), first, rest, width)


def flow(words: Iterable[str], first: str = "", rest: str = "", width: int = WIDTH) -> str:
    """Lines of at most `width` columns from words that stay whole where they fit a line."""
    lines, line = [], first
    for word in words:
        gap = "" if line in (first, rest) else " "
        if line not in (first, rest) and columns_of(line + gap + word) > width:
            lines.append(line)
            line, gap = rest, ""
        line += gap + word
        while columns_of(line) > width:
            head = _take(line, width)
            lines.append(head)
            line = rest + line[len(head) :]
    return "\n".join([*lines, line])


@dataclass(frozen=True)
class Grid:
    """A table of texts.

    Attributes
    ----------
    header : (m,) the columns' headings.
    rows : each (m,) texts.
    labels : so many first columns hold names: aligned left, and cut where the room is short.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    labels: int = 1

    def lines(self, indent: str = "", width: int = WIDTH) -> list[str]:
        """Heading and rows, aligned, in at most `width` columns."""
        table = [self.header, *self.rows]
        widths = self._widths(width - len(indent))
        return [indent + self._line(row, widths).rstrip() for row in table]

    def text(self, indent: str = "", width: int = WIDTH) -> str:
        return "\n".join(self.lines(indent, width))

    def _line(self, row: Sequence[str], widths: Sequence[int]) -> str:
        cells = [
            pad(elide(cell, room), room, left=i < self.labels)
            for i, (cell, room) in enumerate(zip(row, widths, strict=True))
        ]
        return " ".join(cells)

    def _widths(self, width: int) -> list[int]:
        """Columns of each cell; the longest label gives way first."""
        table = [self.header, *self.rows]
        widths = [max(columns_of(clean(row[i])) for row in table) for i in range(len(self.header))]
        spare = width - (len(widths) - 1) - sum(widths)
        while spare < 0 and max(widths[: self.labels], default=1) > 1:
            longest = widths.index(max(widths[: self.labels]), 0, self.labels)
            widths[longest] -= 1
            spare += 1
        return widths
