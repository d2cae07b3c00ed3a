"""What stands at which level of a formula: brackets, quotes, bars and signs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from henderson.errors import FormulaError

CLOSERS = {"(": ")", "[": "]", "{": "}"}
QUOTES = "'\"`"
GRAMMAR, CALL, VERBATIM = "g", "c", "v"


@dataclass(frozen=True)
class Scan:
    """A formula with the place of each of its characters.

    Parameters
    ----------
    text : the formula, length m.
    depths : (m,) how many brackets or quotes enclose each character; a delimiter counts as outside.
    kinds : (m,) one letter each: "g" where the grammar of formulas rules, "c" among the arguments
        of a call (Python, with R's `^`), "v" in quotes, backticks and braces (left as it is).
    """

    text: str
    depths: tuple[int, ...]
    kinds: str

    def find(self, characters: str, start: int, stop: int) -> list[int]:
        """Positions in [start, stop) of any of `characters`, outside the brackets of that span."""
        level = min(self.depths[start:stop], default=0)
        return [
            i for i in range(start, stop) if self.text[i] in characters and self.depths[i] == level
        ]

    def closer(self, opener: int) -> int:
        """Position of the bracket that closes the one at `opener`."""
        return next(
            i for i in range(opener + 1, len(self.text)) if self.depths[i] == self.depths[opener]
        )

    def strip(self, start: int, stop: int) -> tuple[int, int]:
        """The span without the blanks at its ends."""
        while start < stop and self.text[start].isspace():
            start += 1
        while stop > start and self.text[stop - 1].isspace():
            stop -= 1
        return start, stop

    def split(self, separator: str, start: int, stop: int) -> list[tuple[int, int]]:
        """The spans between the separators of [start, stop), stripped."""
        cuts = [start - 1, *self.find(separator, start, stop), stop]
        return [self.strip(a + 1, b) for a, b in pairwise(cuts)]

    def error(self, message: str, position: int) -> FormulaError:
        """A `FormulaError` with the formula and a caret under `position`."""
        return error_at(self.text, message, position)


def error_at(text: str, message: str, position: int) -> FormulaError:
    """A `FormulaError` that shows `text` with a caret under `position`."""
    return FormulaError(f"{message}\n    {text}\n    {' ' * position}^")


def scan(text: str) -> Scan:
    """Scan `text`; raises `FormulaError` where brackets or quotes do not match."""
    depths: list[int] = []
    kinds: list[str] = []
    open_: list[tuple[int, str]] = []  # position of each open delimiter, kind of what it holds
    escaped = False
    for i, char in enumerate(text):
        quote = text[open_[-1][0]] if open_ and text[open_[-1][0]] in QUOTES else ""
        closes = (char == quote if quote else char in CLOSERS.values()) and not escaped
        if closes:
            _check_closes(text, i, open_)
            open_.pop()
        inside = open_[-1][1] if open_ else GRAMMAR
        depths.append(len(open_))
        kinds.append(inside)
        if not (quote or closes) and (char in QUOTES or char in CLOSERS):
            open_.append((i, _kind_within(text, i, inside)))
        escaped = char == "\\" and bool(quote) and not escaped
    if open_:
        raise error_at(text, f"'{text[open_[-1][0]]}' is never closed.", open_[-1][0])
    return Scan(text, tuple(depths), "".join(kinds))


def _check_closes(text: str, position: int, open_: list[tuple[int, str]]) -> None:
    char = text[position]
    if not open_:
        raise error_at(text, f"'{char}' closes nothing.", position)
    opener = text[open_[-1][0]]
    if CLOSERS.get(opener, opener) != char:
        raise error_at(text, f"'{opener}' is closed by '{char}'.", position)


def _kind_within(text: str, opener: int, outside: str) -> str:
    """The kind of the characters that the delimiter at `opener` encloses."""
    if text[opener] in QUOTES + "{" or outside == VERBATIM:
        return VERBATIM
    before = text[opener - 1] if opener else " "
    is_call = text[opener] == "[" or before.isalnum() or before in "_.`"
    return CALL if is_call or outside == CALL else GRAMMAR
