"""R's notation for changes of a formula."""

from __future__ import annotations

import pytest

from henderson.errors import FormulaError
from henderson.formula import parse
from henderson.formula.updated import updated

CHANGES = [
    ("y ~ x + z + (1 | g)", ". ~ . - x", "y ~ z + (1 | g)"),
    ("y ~ x + (1 | g)", ". ~ . - x", "y ~ 1 + (1 | g)"),
    ("y ~ x + (1 | g)", ". ~ . + z", "y ~ x + z + (1 | g)"),
    ("y ~ x", "~ . + z", "y ~ x + z"),
    ("y ~ x", ". ~ . + x", "y ~ x"),
    ("y ~ a*b", ". ~ . + a", "y ~ a*b"),
    ("y ~ a*b + (1 | g)", ". ~ . - a:b", "y ~ a*b - a:b + (1 | g)"),
    ("y ~ a*b - a:b", ". ~ . + a:b", "y ~ a*b"),
    ("y ~ a + a*b", ". ~ . - a", "y ~ a + a*b - a"),
    ("y ~ x + z", ". ~ . - (x + z)", "y ~ x + z - (x + z)"),
    ("y ~ log( x )", ". ~ . - log(x)", "y ~ 1"),
    ("y ~ x", ". ~ . - 1", "y ~ 0 + x"),
    ("y ~ x - 1", ". ~ . + 1", "y ~ x"),
    ("y ~ 0 + x", ". ~ . + 1", "y ~ x"),
    ("y ~ x", ". ~ . + (1 | item)", "y ~ x + (1 | item)"),
    ("y ~ x + (1 | g) + (1 | h)", ". ~ . - (1|g)", "y ~ x + (1 | h)"),
    ("y ~ x + (x | g)", ". ~ . - (1 + x | g)", "y ~ x"),
    ("y ~ x + (1 | a/b)", ". ~ . - (1 | a)", "y ~ x + (1 | a:b)"),
    ("y ~ x + (1 | a) + (1 | b:a)", ". ~ . - (1 | a/b)", "y ~ x"),
    ("y ~ x + us(x | g, by=s)", ". ~ . - us(x | g, by=s) + (1 | g)", "y ~ x + (1 | g)"),
    ("y ~ x + offset(w)", ". ~ . - offset(w)", "y ~ x"),
    ("y ~ x", ". ~ . + offset(w)", "y ~ x + offset(w)"),
    ("y ~ x", "log(.) ~ .", "log(y) ~ x"),
    ("y / s ~ x", "log(.) ~ .", "log((y / s)) ~ x"),
    ("y ~ x", "z ~ .", "z ~ x"),
    ("y ~ x + (1 | g)", ". ~ w", "y ~ w"),
    ("`a.b c` ~ `x.1`", ". ~ . + `. `", "`a.b c` ~ `x.1` + `. `"),
]


@pytest.mark.parametrize(("old", "new", "written"), CHANGES)
def test_dots_are_what_was_there(old: str, new: str, written: str) -> None:
    assert updated(old, new) == written
    parse(written)


@pytest.mark.parametrize("old", sorted({old for old, _, _ in CHANGES}))
def test_dots_alone_change_nothing(old: str) -> None:
    assert parse(updated(old, ". ~ .")).random == parse(old).random
    assert updated(updated(old, ". ~ ."), ". ~ .") == updated(old, ". ~ .")


@pytest.mark.parametrize(
    ("term", "old"),
    [("z", "y ~ x"), ("(1 | h)", "y ~ x + (1 | g)"), ("offset(w)", "y ~ w"), ("log(z)", "y ~ z")],
)
def test_a_term_that_is_added_can_be_taken_away(term: str, old: str) -> None:
    assert updated(updated(old, f". ~ . + {term}"), f". ~ . - {term}") == old


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("y ~ x", ". ~ . - z", "'z' cannot be taken away: it is not in the model, which has x."),
        ("y ~ x + (1 | g)", ". ~ . - (1 | h)", r"which has \(1 \| g\)"),
        ("y ~ x + (x || g)", ". ~ . - (x | g)", r"\(x \| g\)' cannot be taken away"),
        ("y ~ x", ". ~ . - (1 | g)", "no such terms"),
        ("y ~ x", ". ~ . - offset(x)", r"'offset\(x\)' cannot be taken away"),
        ("y ~ x", ". ~ . - x - x", "cannot be taken away"),
        ("y ~ x", ". ~ . - .", "leave it out"),
        ("y ~ x", ". ~ z * .", "'.' stands by itself"),
        ("y ~ x", ". ~ (. | g)", "'.' stands by itself"),
        ("y ~ x", ". - x", "no '~'"),
        ("y ~ x", ". ~ . + foo(1 | g)", "not a covariance structure"),
        ("y ~ x", 3, "text such as"),
    ],
)
def test_refusals(old: str, new: str, said: str) -> None:
    with pytest.raises(FormulaError, match=said):
        updated(old, new)


def test_a_bar_in_a_function_of_the_caller_is_no_random_term() -> None:
    assert updated("y ~ f(a | b)", ". ~ . - f(a | b) + x", frozenset({"f"})) == "y ~ x"
