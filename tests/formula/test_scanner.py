"""Brackets, quotes and levels of a formula."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from henderson.errors import FormulaError
from henderson.formula.scanner import scan


@given(st.text("abx +|~^.,:'\"`()[]{}", max_size=40))
def test_a_text_is_scanned_whole_or_refused_with_its_place(text):
    try:
        scanned = scan(text)
    except FormulaError as error:
        assert error.args[0].splitlines()[-1].endswith("^")
    else:
        assert len(scanned.depths) == len(scanned.kinds) == len(text)


@pytest.mark.parametrize(
    ("text", "why", "place"),
    [
        ("y ~ (1 | g", "'(' is never closed", 4),
        ("y ~ x)", "')' closes nothing", 5),
        ("y ~ C(x]", "'(' is closed by ']'", 7),
        ("y ~ `x", "'`' is never closed", 4),
    ],
)
def test_brackets_that_do_not_match(text, why, place):
    with pytest.raises(FormulaError) as caught:
        scan(text)
    message, shown, caret = str(caught.value).split("\n")
    assert why in message
    assert shown.strip() == text
    assert caret.index("^") - shown.index(text) == place


def test_splitting_sees_only_its_own_level():
    scanned = scan("a, f(b, c), 'd, e', `f, g`, {h, i}")
    spans = scanned.split(",", 0, len(scanned.text))
    assert [scanned.text[a:b] for a, b in spans] == [
        "a",
        "f(b, c)",
        "'d, e'",
        "`f, g`",
        "{h, i}",
    ]


def test_an_escaped_quote_does_not_close():
    scanned = scan(r"f('a\'|') | g")
    assert scanned.find("|", 0, len(scanned.text)) == [10]
