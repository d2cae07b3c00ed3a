"""R's notation for changes of a formula: `. ~ . - x + (1 | item)`, dots for what was there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from henderson.errors import FormulaError
from henderson.formula.parser import LONE_DOT, pieces_of, tilde_of
from henderson.formula.random_terms import RandomTerm, random_terms
from henderson.formula.scanner import Scan, scan

_NAME = re.compile(r"[^\W\d][\w.]*|`[^`]+`")
INTERCEPT = frozenset({"0", "1"})


@dataclass(frozen=True)
class Term:
    """A signed term of a right-hand side, and the random terms that it writes."""

    sign: str
    text: str
    random: tuple[RandomTerm, ...] = ()

    @property
    def is_fixed(self) -> bool:
        return not self.random and not self.text.startswith("offset(")


def updated(old: str, new: str, functions: frozenset[str] = frozenset()) -> str:
    """The formula that `new` makes of `old`.

    Parameters
    ----------
    old : a formula, "y ~ x + (1 | g)".
    new : a formula in which `.` stands for the old response, left of the tilde, and for the old
        terms, right of it: ". ~ . - x", "log(.) ~ . + z - (1 | g) + (x | g)".
    functions : names of further functions that the formulas may call.

    Raises
    ------
    FormulaError : what is to be taken away is not there; a dot within a term.
    """
    if not isinstance(new, str):
        raise FormulaError(f"A change of formula is text such as '. ~ . - x', not {new!r}.")
    before, after = scan(" ".join(old.splitlines())), scan(" ".join(new.splitlines()))
    terms: list[Term] = []
    for change in _terms(after, functions):
        if change.text == ".":
            _refuse_dot(after, change.sign == "-", "'.' cannot be taken away: leave it out.")
            terms += _terms(before, functions)
            continue
        dots = LONE_DOT.sub("", change.text) != change.text
        _refuse_dot(after, dots, f"'.' stands by itself: name the old terms in '{change.text}'.")
        terms = _added(terms, change) if change.sign == "+" else _less(terms, change)
    return f"{_response(before, after)} ~ {_written(terms)}"


def _terms(scanned: Scan, functions: frozenset[str]) -> list[Term]:
    return [
        Term(
            piece.sign,
            scanned.text[piece.start : piece.stop],
            tuple(random_terms(scanned, piece.start, piece.stop, functions)),
        )
        for piece in pieces_of(scanned, tilde_of(scanned) + 1)
    ]


def _refuse_dot(scanned: Scan, refused: bool, message: str) -> None:
    if refused:
        raise FormulaError(f"{message}\n    {scanned.text}")


def _response(before: Scan, after: Scan) -> str:
    """The new response, its dots replaced; the old one where nothing is left of the tilde."""
    old, new = (s.text[slice(*s.strip(0, tilde_of(s)))] for s in (before, after))
    if new in ("", "."):
        return old
    whole = old if _NAME.fullmatch(old) else f"({old})"
    return LONE_DOT.sub(lambda dot: new[dot.start()] if _quoted(after, dot) else whole, new)


def _quoted(scanned: Scan, dot: re.Match[str]) -> bool:
    offset = scanned.strip(0, tilde_of(scanned))[0]
    return scanned.kinds[offset + dot.start()] == "v"


def _written(terms: Iterable[Term]) -> str:
    """Fixed terms first; an intercept where there is none of them."""
    terms = sorted(terms, key=lambda t: not t.is_fixed)
    if not any(t.is_fixed for t in terms):
        terms = [Term("+", "1"), *terms]
    return " ".join(f"{t.sign} {t.text}" for t in terms).removeprefix("+ ")


# ---- one change


def _added(terms: list[Term], new: Term) -> list[Term]:
    """With another term, once; it takes the place of its own removal."""
    if new.text in INTERCEPT:
        return _with_intercept(terms, new.text == "1")
    if not new.is_fixed:
        return [*terms, new]
    rest = [t for t in terms if not (t.sign == "-" and _same(t, new))]
    if len(rest) == len(terms) and any(_same(t, new) for t in terms):
        return terms
    return rest if _expanded(rest) == _expanded([*rest, new]) else [*rest, new]


def _less(terms: list[Term], gone: Term) -> list[Term]:
    if gone.random:
        for term in gone.random:
            terms = _less_random(terms, term)
        return terms
    if gone.text in INTERCEPT:
        return _with_intercept(terms, gone.text == "0")
    rest = [t for t in terms if not (t.sign == "+" and _same(t, gone))]
    if not gone.is_fixed and len(rest) < len(terms):
        return rest
    wanted = _expanded([*terms, gone])
    if not gone.is_fixed or wanted == _expanded(terms):
        raise _not_there(gone.text, (t.text for t in terms if t.sign == "+"))
    return rest if _expanded(rest) == wanted else [*terms, gone]


def _less_random(terms: list[Term], gone: RandomTerm) -> list[Term]:
    """Without one random term; what a nested one, `(1 | a/b)`, has beside it is written out."""
    out: list[Term] = []
    for term in terms:
        kept = tuple(r for r in term.random if _meaning(r) != _meaning(gone))
        if kept == term.random:
            out.append(term)
        else:
            out += [Term("+", r.text, (r,)) for r in kept]
    if out == terms:
        raise _not_there(gone.text, (r.text for t in terms for r in t.random))
    return out


def _with_intercept(terms: list[Term], wanted: bool) -> list[Term]:
    rest = [t for t in terms if t.text not in INTERCEPT]
    return rest if wanted else [Term("+", "0"), *rest]


def _not_there(text: str, known: Iterable[str]) -> FormulaError:
    what = ", ".join(known) or "no such terms"
    return FormulaError(f"'{text}' cannot be taken away: it is not in the model, which has {what}.")


# ---- what is the same


def _same(a: Term, b: Term) -> bool:
    return "".join(a.text.split()) == "".join(b.text.split())


def _meaning(term: RandomTerm) -> tuple[str, frozenset[str], frozenset[str], frozenset]:
    lhs = frozenset(_names(term.lhs))
    return term.structure, lhs, frozenset(term.group), frozenset(term.options)


def _expanded(terms: Iterable[Term]) -> frozenset[str]:
    """The fixed terms that the signed ones amount to: a, b and a:b of a*b."""
    fixed = " ".join(f"{t.sign} {t.text}" for t in terms if t.is_fixed)
    return frozenset(_names(fixed.removeprefix("+ ") or "1"))


def _names(text: str) -> list[str]:
    import formulaic

    try:
        return [str(term) for term in formulaic.Formula(text.replace("^", "**"))]
    except (formulaic.errors.FormulaicError, SyntaxError) as error:
        raise FormulaError(f"Cannot read '{text}': {error}") from error
