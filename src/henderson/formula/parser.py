"""Text -> `Formula`: the response, the fixed part for formulaic, and the random terms."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from henderson.errors import FormulaError
from henderson.formula.random_terms import RandomTerm, random_terms
from henderson.formula.scanner import CALL, GRAMMAR, Scan, scan

LONE_DOT = re.compile(r"(?<![\w.)\]`])\.(?![\w.])")


@dataclass(frozen=True)
class Formula:
    """A parsed model formula.

    Parameters
    ----------
    text : as it was written.
    response : an expression in the columns, such as "y" or "log(y)".
    fixed : the fixed part for formulaic; as in R there is an intercept unless it says `0` or `-1`.
    random : the random terms; nested groups are expanded, `(1 | a/b)` to `(1 | a)`, `(1 | a:b)`.
    offset : the sum of the `offset()` terms, an expression, or None.
    """

    text: str
    response: str
    fixed: str
    random: tuple[RandomTerm, ...] = ()
    offset: str | None = None

    @property
    def nobars(self) -> str:
        """The formula of the fixed part alone."""
        offset = f" + offset({self.offset})" if self.offset else ""
        return f"{self.response} ~ {self.fixed}{offset}"

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Piece:
    """A signed term of the right-hand side: its sign and its span in the text."""

    sign: str
    start: int
    stop: int


def parse(text: str | Formula, functions: frozenset[str] = frozenset()) -> Formula:
    """Parse a formula in R's notation.

    Parameters
    ----------
    text : such as "score ~ edu + (1 | classroom)"; a `Formula` is returned as it is.
    functions : names of further functions that the formula may call; a bar in one of their
        arguments is Python's "or".

    Raises
    ------
    FormulaError : the message says what to write and shows the place.
    """
    if isinstance(text, Formula):
        return text
    if not isinstance(text, str):
        raise FormulaError(
            f"A formula is text such as 'y ~ x + (1 | g)', not {type(text).__name__}."
        )
    return _parse(" ".join(text.splitlines()), functions)


@lru_cache(maxsize=512)
def _parse(text: str, functions: frozenset[str]) -> Formula:
    scanned = scan(text)
    tilde = tilde_of(scanned)
    _refuse_dot(scanned)
    fixed: list[Piece] = []
    offsets: list[str] = []
    random: list[RandomTerm] = []
    for piece in pieces_of(scanned, tilde + 1):
        terms = random_terms(scanned, piece.start, piece.stop, functions)
        offset = _offset(scanned, piece)
        if terms or offset:
            _refuse_minus(scanned, piece)
        if terms:
            random += terms
        elif offset:
            offsets.append(offset)
        else:
            _refuse_bar(scanned, piece)
            fixed.append(piece)
    return Formula(
        text=text.strip(),
        response=_response(scanned, tilde),
        fixed=_fixed(scanned, fixed),
        random=tuple(random),
        offset=" + ".join(offsets) or None,
    )


def tilde_of(scanned: Scan) -> int:
    """Position of the one tilde."""
    tildes = scanned.find("~", 0, len(scanned.text))
    if not tildes:
        raise FormulaError(
            f"'{scanned.text}' has no '~': write the response, '~', and the terms, "
            "'y ~ x + (1 | g)'."
        )
    if len(tildes) > 1:
        raise scanned.error("A formula has one '~'.", tildes[1])
    return tildes[0]


def _response(scanned: Scan, tilde: int) -> str:
    start, stop = scanned.strip(0, tilde)
    if start == stop:
        raise scanned.error("The response is missing: write it before the '~'.", tilde)
    bars = scanned.find("|", start, stop)
    if bars:
        raise scanned.error("A bar cannot stand in the response.", bars[0])
    return _r_powers(scanned, start, stop, GRAMMAR + CALL)


def pieces_of(scanned: Scan, start: int) -> list[Piece]:
    """The terms after the tilde, split at the signs between them."""
    stop = len(scanned.text)
    if not scanned.text[start:].strip():
        raise scanned.error("No terms after '~': write 'y ~ 1' for an intercept alone.", start - 1)
    signs = scanned.find("+-", start, stop)
    cuts = [start - 1, *signs, stop]
    pieces = []
    for before, after in pairwise(cuts):
        a, b = scanned.strip(before + 1, after)
        if a < b:
            sign = "-" if scanned.text[before] == "-" else "+"
            pieces.append(Piece(sign, a, b))
        elif before in signs:
            raise scanned.error(f"No term follows this '{scanned.text[before]}'.", before)
    return pieces


def _offset(scanned: Scan, piece: Piece) -> str | None:
    """The argument of a piece that is `offset(...)`."""
    opener = piece.start + len("offset")
    if not scanned.text.startswith("offset(", piece.start):
        return None
    if scanned.closer(opener) != piece.stop - 1:
        raise scanned.error("An offset stands by itself: '+ offset(x)'.", piece.start)
    start, stop = scanned.strip(opener + 1, piece.stop - 1)
    if start == stop:
        raise scanned.error("offset() is empty: write the column, offset(x).", opener)
    return _r_powers(scanned, start, stop, CALL)


def _fixed(scanned: Scan, pieces: list[Piece]) -> str:
    """The fixed part as formulaic reads it; an intercept when nothing was written."""
    text = "".join(
        f" {p.sign} {_r_powers(scanned, p.start, p.stop, CALL)}" for p in pieces
    )  # fmt: skip
    return text.removeprefix(" + ").strip() or "1"


def _r_powers(scanned: Scan, start: int, stop: int, kinds: str) -> str:
    """The text of a span with R's `^` as Python's `**` where characters are of these kinds."""
    return "".join(
        "**" if scanned.text[i] == "^" and scanned.kinds[i] in kinds else scanned.text[i]
        for i in range(start, stop)
    )


# ---- refusals


def _refuse_minus(scanned: Scan, piece: Piece) -> None:
    if piece.sign == "-":
        what = scanned.text[piece.start : piece.stop]
        raise scanned.error(f"{what} cannot be taken away: leave it out.", piece.start)


def _refuse_bar(scanned: Scan, piece: Piece) -> None:
    """A bar of the grammar outside a random term."""
    text = scanned.text
    bars = [
        i for i in range(piece.start, piece.stop) if text[i] == "|" and scanned.kinds[i] == GRAMMAR
    ]
    if not bars:
        return
    bar = bars[0]
    if scanned.depths[bar] == 0:
        double = text[bar : bar + 2] == "||"
        left, right = text[piece.start : bar], text[bar + 1 + double : piece.stop]
        term = f"({left.strip()} {'||' if double else '|'} {right.strip()})"
        raise scanned.error(f"A random term needs parentheses: write {term}.", bar)
    raise scanned.error(
        "A random term stands by itself: add it with '+', as in 'y ~ x + (x | g)'.", bar
    )


def _refuse_dot(scanned: Scan) -> None:
    for match in LONE_DOT.finditer(scanned.text):
        if scanned.kinds[match.start()] != "v":
            raise scanned.error(
                "'.' does not stand for the other columns here: name the columns.", match.start()
            )
