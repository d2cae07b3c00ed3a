"""The grammar of formulas: what is read, and what is refused with which advice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from henderson.errors import FormulaError
from henderson.formula import STRUCTURES, parse


def terms(text):
    """(lhs, group, structure, options) of the random terms of `y ~ text`."""
    return [(t.lhs, t.group_name, t.structure, t.options) for t in parse(f"y ~ {text}").random]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(1 | g)", [("1", "g", "us", ())]),
        ("(x | g)", [("x", "g", "us", ())]),
        ("(1 + x | g)", [("1 + x", "g", "us", ())]),
        ("(0 + x | g)", [("0 + x", "g", "us", ())]),
        ("(x || g)", [("x", "g", "diag", ())]),
        ("diag(x | g)", [("x", "g", "diag", ())]),
        ("(1 | a:b)", [("1", "a:b", "us", ())]),
        ("(1 | a/b)", [("1", "a", "us", ()), ("1", "a:b", "us", ())]),
        ("(x | a/b/c)", [("x", "a", "us", ()), ("x", "a:b", "us", ()), ("x", "a:b:c", "us", ())]),
        ("(1 | a:b/c)", [("1", "a:b", "us", ()), ("1", "a:b:c", "us", ())]),
        ("(1 | (a/b))", [("1", "a", "us", ()), ("1", "a:b", "us", ())]),
        ("((1 | g))", [("1", "g", "us", ())]),
        ("(scale(x) | g)", [("scale(x)", "g", "us", ())]),
        ("(poly(x, 2) | g)", [("poly(x, 2)", "g", "us", ())]),
        ("(I(x^2) | g)", [("I(x**2)", "g", "us", ())]),
        ("((a + b)^2 | g)", [("(a + b)^2", "g", "us", ())]),
        ("cs((a + b)^2 + I(x^2) | g)", [("(a + b)^2 + I(x**2)", "g", "cs", ())]),
        ("us(1 | g, by=sex)", [("1", "g", "us", (("by", "sex"),))]),
        ("known(1 | id, K)", [("1", "id", "known", (("matrix", "K"),))]),
        ("exp(0 + t | g)", [("0 + t", "g", "exp", ())]),
        ("(I(a | b) | g)", [("I(a | b)", "g", "us", ())]),
        ("(1 | `my group`)", [("1", "my group", "us", ())]),
        ("(1 | g)+(0+x|h) + x", [("1", "g", "us", ()), ("0+x", "h", "us", ())]),
    ],
)
def test_random_terms(text, expected):
    assert terms(text) == expected


@pytest.mark.parametrize("name", sorted(STRUCTURES - {"known"}))
def test_every_structure_is_a_word_of_the_grammar(name):
    assert terms(f"{name}(0 + x | g)") == [("0 + x", "g", name, ())]


@pytest.mark.parametrize(
    "text", ["exp(x)", "cs(x)", "I(a | b)", "{a | b}", "np.where(a | b, 1, 0)"]
)
def test_without_a_bar_of_the_grammar_a_call_is_formulaics(text):
    formula = parse(f"y ~ {text} + (1 | g)")
    assert formula.fixed == text
    assert len(formula.random) == 1


def test_a_bar_in_a_function_of_the_callers_own_is_pythons():
    assert parse("y ~ either(a | b)", frozenset({"either"})).random == ()


@pytest.mark.parametrize(
    ("text", "response", "fixed", "offset"),
    [
        ("y ~ x", "y", "x", None),
        ("y ~ (1 | g)", "y", "1", None),
        ("y ~ 0 + (1 | g)", "y", "0", None),
        ("y ~ (1 | g) - 1", "y", "- 1", None),
        ("y ~ x - 1 + (1 | g) + z", "y", "x - 1 + z", None),
        ("log(y) ~ a*b", "log(y)", "a*b", None),
        ("y^2 ~ I(x^2) + (a + b)^2", "y**2", "I(x**2) + (a + b)^2", None),
        ("y ~ Q('a^b') + `a^b`", "y", "Q('a^b') + `a^b`", None),
        ("y ~ offset(log(t)) + x", "y", "x", "log(t)"),
        ("y ~ offset(a) + x + offset(b)", "y", "x", "a + b"),
        ("y ~ offset(a)", "y", "1", "a"),
        ("y ~\n  x +\n  (1 | g)", "y", "x", None),
    ],
)
def test_response_fixed_part_and_offset(text, response, fixed, offset):
    formula = parse(text)
    assert (formula.response, formula.fixed, formula.offset) == (response, fixed, offset)


def test_the_formula_without_bars():
    assert parse("y ~ x + (x | g) + offset(w)").nobars == "y ~ x + offset(w)"


@pytest.mark.parametrize(
    "text", ["(1 | g)", "(1 + x || g)", "cs(0 + f | a:b)", "us(1 | g, by=s)", "(1 | `a b`:c)"]
)
def test_the_text_of_a_term_reads_as_that_term(text):
    (term,) = parse(f"y ~ {text}").random
    assert term.text == text
    assert parse(f"y ~ {term.text}").random == (term,)


@given(st.lists(st.sampled_from(["x", "(1 | g)", "log(x)", "cs(x | h)"]), min_size=1), st.data())
def test_blanks_do_not_matter(pieces, data):
    text = "y ~ " + " + ".join(pieces)
    blank = data.draw(st.sampled_from(["", " ", "   "]))
    other = parse(text.replace(" ", blank))
    squeezed = [t.lhs.replace(" ", "") + t.group_name + t.structure for t in other.random]
    assert squeezed == [
        t.lhs.replace(" ", "") + t.group_name + t.structure for t in parse(text).random
    ]
    assert other.fixed.replace(" ", "") == parse(text).fixed.replace(" ", "")


@given(st.permutations(["(1 | g)", "x", "(x | h)", "z"]))
def test_the_order_of_fixed_and_random_terms_is_kept_apart(order):
    formula = parse("y ~ " + " + ".join(order))
    assert formula.fixed.split(" + ") == [p for p in order if "|" not in p]
    assert [t.text for t in formula.random] == [p for p in order if "|" in p]


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("y ~ x + 1 | g", "write (1 | g)"),
        ("y ~ x || g", "write (x || g)"),
        ("y + x", "no '~'"),
        ("", "no '~'"),
        ("~ x", "response is missing"),
        ("y ~", "'y ~ 1'"),
        ("y ~ x ~ z", "one '~'"),
        ("y ~ x +", "No term follows this '+'"),
        ("y ~ (| g)", "write 1 for an intercept"),
        ("y ~ (1 |)", "No group"),
        ("y ~ (1 | g | h)", "one bar"),
        ("y ~ (1 | a*b)", "write (1 | a) + (1 | b) + (1 | a:b)"),
        ("y ~ (x || a*b)", "write (x || a) + (x || b) + (x || a:b)"),
        ("y ~ (1 | a + b)", "write (1 | a) + (1 | b)"),
        ("y ~ (1 | a + b*c)", "write (1 | a) + (1 | b) + (1 | c) + (1 | b:c)"),
        ("y ~ (1 | factor(g))", "only names of columns"),
        ("y ~ (1 | a:)", "a column is missing"),
        ("y ~ (1 | 1)", "'1' is not a column"),
        ("y ~ foo(1 | g)", "'foo' is not a covariance structure"),
        ("y ~ diga(1 | g)", "Did you mean diag?"),
        ("y ~ cs(x || g)", "write one bar"),
        ("y ~ us(1 | g, sex)", "name=value"),
        ("y ~ us(1 | g, by=)", "name=value"),
        ("y ~ x * (1 | g)", "stands by itself"),
        ("y ~ (x + (1 | g))", "stands by itself"),
        ("y ~ x - (1 | g)", "leave it out"),
        ("y ~ x - offset(z)", "leave it out"),
        ("y ~ offset()", "offset() is empty"),
        ("y ~ offset(x):z", "stands by itself"),
        ("y ~ .", "name the columns"),
        ("y ~ . - x + (1 | g)", "name the columns"),
        ("y | g ~ x", "cannot stand in the response"),
    ],
)
def test_refusals_say_what_to_write(text, advice):
    with pytest.raises(FormulaError) as caught:
        parse(text)
    assert advice in str(caught.value)


def test_the_caret_points_at_the_bar():
    with pytest.raises(FormulaError) as caught:
        parse("y ~ x + 1 | g")
    _, shown, caret = str(caught.value).split("\n")
    assert shown[caret.index("^")] == "|"


def test_dots_in_names_and_numbers_are_no_wildcards():
    assert parse("y ~ Sepal.Length + x:.5 + np.log(x)").fixed == "Sepal.Length + x:.5 + np.log(x)"


def test_only_text_is_a_formula():
    with pytest.raises(FormulaError, match="not int"):
        parse(3)  # type: ignore[arg-type]


def test_a_formula_is_its_own_parse_and_parsing_is_remembered():
    formula = parse("y ~ x + (1 | g)")
    assert parse(formula) is formula
    assert parse("y ~ x + (1 | g)") is formula
