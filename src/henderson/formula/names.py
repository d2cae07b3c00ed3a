"""The names that an expression uses: columns and constants, and functions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from henderson.formula.scanner import error_at
from henderson.formula.words import CONSTANTS, CONTRASTS, FUNCTIONS, STRUCTURES

_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<string>'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\")"
    r"|(?P<quoted>`[^`]*`)"
    r"|(?P<number>\d[\w.]*|\.\d\w*)"
    r"|(?P<name>[^\W\d]\w*(?:\.\w+)*)"
    r"|(?P<sign>==|<=|>=|!=|.)",
    re.DOTALL,
)
_PLAIN_STRING = re.compile(r"['\"][\w .:/-]*['\"]")
_PLAIN_SIGNS = frozenset(("==", "<=", ">=", "!=", *"+-*/^:,()~|=<>!&%{}"))


_R_NAME = re.compile(r"(?:[^\W\d_]|\.(?!\d))[\w.]*")
_R_WORDS = frozenset((
    "if", "else", "repeat", "while", "function", "for", "next", "break", "in", "TRUE", "FALSE",
    "NULL", "Inf", "NaN", "NA", "NA_integer_", "NA_real_", "NA_complex_", "NA_character_",
))  # fmt: skip
_CALLED = FUNCTIONS | STRUCTURES | {"offset"}


@dataclass(frozen=True)
class Token:
    """A piece of an expression: its kind (a group of `_TOKEN`), its text and its position."""

    kind: str
    text: str
    position: int


@dataclass(frozen=True)
class Names:
    """Names used by an expression, each once, in order.

    variables : columns or constants, dotted names whole ("np.pi", "Sepal.Length").
    calls : functions, dotted names whole ("np.log").
    """

    variables: tuple[str, ...]
    calls: tuple[str, ...]


def tokens(text: str) -> list[Token]:
    """The tokens of `text` without its blanks."""
    return [
        Token(str(m.lastgroup), m.group(), m.start())
        for m in _TOKEN.finditer(text)
        if m.lastgroup != "space"
    ]


@lru_cache(maxsize=1024)
def names(text: str) -> Names:
    """The names in an expression: not keywords of a call (`df=4`); of strings those in `Q()`."""
    variables: dict[str, None] = {}
    calls: dict[str, None] = {}
    items = tokens(text)
    for i, token in enumerate(items):
        after = items[i + 1].text if i + 1 < len(items) else ""
        before = items[i - 1].text if i else ""
        if token.kind == "quoted":
            variables[token.text.strip("`")] = None
        elif token.kind == "string" and before == "(" and i > 1 and items[i - 2].text == "Q":
            variables[token.text[1:-1]] = None
        elif token.kind == "name" and before != ".":
            if after == "(":
                calls[token.text] = None
            elif not (after == "=" and before in ("(", ",")):
                variables[token.text] = None
    return Names(tuple(variables), tuple(calls))


@lru_cache(maxsize=256)
def refuse_unsafe(text: str) -> None:
    """Check that a formula from a stranger calls nothing but the listed functions and structures.

    Attributes, subscripts, calls of anything but a listed name, and strings with other characters
    than letters, digits and ` .:/-_` are refused. What remains can reach nothing but the columns;
    how long it computes is not bounded.

    Raises
    ------
    FormulaError : naming what is not allowed.
    """
    items = tokens(text)
    for i, token in enumerate(items):
        before = items[i - 1] if i else None
        after = items[i + 1] if i + 1 < len(items) else None
        reason = _reason(token, before, after)
        if reason:
            raise error_at(
                text, f"A formula that is not trusted cannot use {reason}.", token.position
            )


def _reason(token: Token, before: Token | None, after: Token | None) -> str:
    called = after is not None and after.text == "("
    adjacent = after is not None and after.position == token.position + len(token.text)
    if token.kind == "name":
        if called and token.text not in _CALLED:
            return f"the function '{token.text}'"
        if "__" in token.text or (adjacent and after is not None and after.kind == "string"):
            return f"'{token.text}'"
        return ""
    if token.kind == "string":
        return "" if _PLAIN_STRING.fullmatch(token.text) else f"the string {token.text}"
    if token.kind == "quoted":
        return f"the name {token.text}" if set(token.text) & set("\"'\\{}") else ""
    if token.kind == "sign" and token.text not in _PLAIN_SIGNS:
        return f"'{token.text}'"
    if token.text == ")" and called:
        return "a call of anything but a name"
    return ""


def r_name(column: str) -> str:
    """A column as R writes it: in backticks unless it is a syntactic name."""
    return column if _R_NAME.fullmatch(column) and column not in _R_WORDS else f"`{column}`"


def allowed_constant(name: str) -> bool:
    """Whether a formula from a stranger may use this dotted name as it stands."""
    return name in CONSTANTS or name in CONTRASTS
