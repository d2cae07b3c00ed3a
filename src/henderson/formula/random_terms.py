"""Random terms: `(lhs | group)`, `(lhs || group)` and `structure(lhs | group, option=value)`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import combinations

from henderson.formula.scanner import CALL, Scan
from henderson.formula.words import FUNCTIONS, STRUCTURES, UNNAMED_OPTION

_WORD = re.compile(r"[^\W\d][\w.]*")
_COLUMN = re.compile(r"[^\W\d][\w.]*|`[^`]+`")
_OPTION = re.compile(r"\s*([^\W\d]\w*)\s*=(?!=)\s*(.*)", re.DOTALL)


@dataclass(frozen=True)
class RandomTerm:
    """One random term on one grouping factor.

    Parameters
    ----------
    lhs : left of the bar, for formulaic: "1", "Days", "0 + Machine".
    group : columns whose combinations are the groups; `a:b` is ("a", "b").
    structure : covariance structure of a level's effects, a name of `words.STRUCTURES`.
    options : (name, text) pairs given after the group.
    text : the term as one would write it.
    """

    lhs: str
    group: tuple[str, ...]
    structure: str = "us"
    options: tuple[tuple[str, str], ...] = ()
    text: str = ""

    @property
    def group_name(self) -> str:
        """Name of the grouping factor: its columns joined by ":"."""
        return ":".join(self.group)

    @property
    def group_text(self) -> str:
        """The grouping factor as a formula writes it, odd names in backticks."""
        return _group_text(self.group)


@dataclass(frozen=True)
class _Call:
    """Where the parts of a random term stand: spans of the text."""

    name: str
    lhs: tuple[int, int]
    bar: str
    group: tuple[int, int]
    options: tuple[tuple[str, str], ...]


def random_terms(
    scanned: Scan, start: int, stop: int, functions: frozenset[str]
) -> list[RandomTerm]:
    """The random terms that the span writes, one for each group; none if it is no random term."""
    call = _call(scanned, start, stop, functions)
    if call is None:
        return []
    lhs = _lhs(scanned, call)
    structure = _structure(scanned, call)
    return [
        RandomTerm(lhs, group, structure, call.options, _write(call, lhs, group))
        for group in _groups(scanned, call, lhs)
    ]


def _call(scanned: Scan, start: int, stop: int, functions: frozenset[str]) -> _Call | None:
    """Read `name(lhs | group, options)` or `(lhs | group)`; None where there is no such bar."""
    word = _WORD.match(scanned.text, start, stop)
    name = word.group() if word else ""
    opener = start + len(name)
    if scanned.text[opener : opener + 1] != "(" or scanned.closer(opener) != stop - 1:
        return None
    if not scanned.text[opener + 1 : stop - 1].strip():
        return None
    first, *rest = scanned.split(",", opener + 1, stop - 1)
    bars = scanned.find("|", *first)
    if not bars:
        return None if name else _call_within(scanned, first, rest, functions)
    if name and not _is_structure(scanned, name, start, functions):
        return None
    if len(bars) > 2 or (len(bars) == 2 and bars[1] != bars[0] + 1):
        raise scanned.error("A random term has one bar: lhs | group.", bars[-1])
    return _Call(
        name,
        scanned.strip(first[0], bars[0]),
        "|" * len(bars),
        scanned.strip(bars[-1] + 1, first[1]),
        tuple(_option(scanned, name, span) for span in rest),
    )


def _call_within(
    scanned: Scan, first: tuple[int, int], rest: list[tuple[int, int]], functions: frozenset[str]
) -> _Call | None:
    """Doubled parentheses, `((1 | g))`."""
    return None if rest else _call(scanned, *first, functions)


def _is_structure(scanned: Scan, name: str, start: int, functions: frozenset[str]) -> bool:
    if name in STRUCTURES:
        return True
    if "." in name or name in FUNCTIONS or name in functions:
        return False
    close = get_close_matches(name, STRUCTURES, 1, 0.5)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise scanned.error(
        f"'{name}' is not a covariance structure: "
        f"choose from {', '.join(sorted(STRUCTURES))}.{hint}",
        start,
    )


def _structure(scanned: Scan, call: _Call) -> str:
    if call.bar == "|":
        return call.name or "us"
    if call.name in ("", "diag"):
        return "diag"
    raise scanned.error(
        f"'||' means no correlations, which {call.name}() has: write one bar.", call.lhs[1]
    )


def _lhs(scanned: Scan, call: _Call) -> str:
    start, stop = call.lhs
    if start == stop:
        raise scanned.error(
            "Nothing stands left of the bar: write 1 for an intercept, (1 | g).", start
        )
    # Within a structure's call the scanner saw Python; here the grammar of formulas rules again.
    outer = min(scanned.depths[start:stop])
    return "".join(
        "**" if char == "^" and scanned.kinds[i] == CALL and scanned.depths[i] > outer else char
        for i, char in enumerate(scanned.text[start:stop], start)
    )


def _option(scanned: Scan, name: str, span: tuple[int, int]) -> tuple[str, str]:
    text = scanned.text[slice(*span)]
    named = _OPTION.fullmatch(text)
    if named and named[2].strip():
        return named[1], named[2].strip()
    if name in UNNAMED_OPTION and text and not named:
        return UNNAMED_OPTION[name], text
    raise scanned.error("An option is written name=value, as in us(1 | g, by=sex).", span[0])


# ---- groups


def _groups(scanned: Scan, call: _Call, lhs: str) -> list[tuple[str, ...]]:
    """The grouping factors right of the bar: `a/b` is a, then a:b."""
    start, stop = _unwrap(scanned, *call.group)
    if start == stop:
        raise scanned.error("No group stands right of the bar: name it, (1 | g).", call.group[0])
    _refuse_sums(scanned, call, lhs, start, stop)
    groups: list[tuple[str, ...]] = []
    inherited: tuple[str, ...] = ()
    for part in scanned.split("/", start, stop):
        inherited = _unique(inherited + _columns(scanned, *part))
        groups.append(inherited)
    return groups


def _columns(scanned: Scan, start: int, stop: int) -> tuple[str, ...]:
    """The columns of `a:b`."""
    start, stop = _unwrap(scanned, start, stop)
    return _unique(tuple(_column(scanned, *span) for span in scanned.split(":", start, stop)))


def _column(scanned: Scan, start: int, stop: int) -> str:
    text = scanned.text[start:stop]
    if not _COLUMN.fullmatch(text):
        what = f"'{text}' is not a column" if text else "a column is missing"
        raise scanned.error(
            f"Right of the bar {what}: only names of columns, '/' and ':' stand there. "
            "Make a new column for anything else.",
            start,
        )
    return text.strip("`")


def _unwrap(scanned: Scan, start: int, stop: int) -> tuple[int, int]:
    while start < stop and scanned.text[start] == "(" and scanned.closer(start) == stop - 1:
        start, stop = scanned.strip(start + 1, stop - 1)
    return start, stop


def _refuse_sums(scanned: Scan, call: _Call, lhs: str, start: int, stop: int) -> None:
    """`(1 | a + b)` and `(1 | a*b)`: say which terms to write."""
    signs = scanned.find("+*", start, stop)
    if not signs:
        return
    groups: list[tuple[str, ...]] = []
    for span in scanned.split("+", start, stop):
        factors = [_columns(scanned, *s) for s in scanned.split("*", *span)]
        for size in range(1, len(factors) + 1):
            groups += [sum(some, ()) for some in combinations(factors, size)]
    terms = " + ".join(_write(call, lhs, _unique(group)) for group in groups)
    raise scanned.error(
        f"'{scanned.text[signs[0]]}' cannot stand right of the bar: write {terms}.", signs[0]
    )


def _unique(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _write(call: _Call, lhs: str, group: tuple[str, ...]) -> str:
    short = UNNAMED_OPTION.get(call.name)
    options = "".join(
        f", {value}" if name == short else f", {name}={value}" for name, value in call.options
    )
    return f"{call.name}({lhs} {call.bar} {_group_text(group)}{options})"


def _group_text(group: tuple[str, ...]) -> str:
    return ":".join(c if _WORD.fullmatch(c) else f"`{c}`" for c in group)
