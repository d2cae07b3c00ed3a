"""Text -> residual terms, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from henderson.errors import FormulaError
from henderson.formula import structures as made
from henderson.formula.residual_terms import (
    CORRELATIONS,
    VARIANCES,
    CorrelationTerm,
    ResidualTerms,
    VarianceTerm,
)
from henderson.formula.structures import coordinates, residual_terms


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("ar1(time | subject)", made.ar1("time", "subject")),
        ("ar1(1 | subject)", made.ar1(group="subject")),
        ("ar1(time)", made.ar1("time")),
        ("cs(1 | a:b)", made.cs("a:b")),
        ("cs(1 | a/b)", made.cs("a:b")),
        ("car1(time | subject)", made.car1("time", "subject")),
        ("toep(visit | subject)", made.toep("visit", "subject")),
        ("us(visit | subject)", made.us("visit", "subject")),
        ("exp(x + y | field, nugget=True)", made.exp("x + y", "field", nugget=True)),
        ("exp(x + y | field, nugget=FALSE)", made.exp(("x", "y"), "field")),
        ("gau(log(x) | g)", made.gau("log(x)", "g")),
        ("lin(x | g)", made.lin("x", "g")),
        ("ratio( x|g )", made.ratio("x", "g")),
        ("spher(0 + x | g)", made.spher("x", "g")),
        ("CS(1 | g)", made.cs("g")),
        ("AR(1)(time | g)", made.ar1("time", "g")),
        ("TOEP(time | g)", made.toep("time", "g")),
    ],
)
def test_text_and_objects_say_the_same(text: str, term: CorrelationTerm) -> None:
    assert residual_terms(text) == residual_terms(term) == ResidualTerms(term)


@pytest.mark.parametrize(
    "term",
    [made.ar1("time", "a:b"), made.exp("x + y", nugget=True), made.cs("g"), made.us("v", "g")],
)
def test_a_term_written_and_read_again_is_itself(term: CorrelationTerm) -> None:
    assert residual_terms(term.text).correlation == term


@pytest.mark.parametrize(
    ("text", "name"), [("UN", "us"), ("ARH(1)", "ar1"), ("TOEPH", "toep"), ("CSH", "cs")]
)
def test_sas_heterogeneous_structures_bring_a_variance_per_visit(text: str, name: str) -> None:
    terms = residual_terms(f"{text}(visit | subject)")
    assert terms.correlation is not None
    assert terms.correlation.name == name
    assert terms.variances == (made.ident("visit"),)


def test_variance_components_are_no_correlation() -> None:
    assert not residual_terms("VC")


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("ident(sex)", (made.ident("sex"),)),
        ("ident(sex:diet)", (made.ident("sex:diet"),)),
        ("power(fitted)", (made.power(),)),
        ("power(log(x) + 1)", (made.power("log(x) + 1"),)),
        ("exp(x)", (made.varexp("x"),)),
        ("constpower(x)", (made.constpower("x"),)),
        ("fixed(w)", (made.fixed("w"),)),
        ("ident(sex) * power(age)", (made.ident("sex"), made.power("age"))),
        ("power(a * b)", (made.power("a * b"),)),
    ],
)
def test_variances_are_read_with_their_products(text: str, terms: tuple[VarianceTerm, ...]) -> None:
    assert residual_terms(None, text).variances == terms
    assert residual_terms(None, list(terms)).variances == terms


def test_fitted_values_are_a_word_unless_in_backticks() -> None:
    assert residual_terms(None, "power(fitted)").of_fitted
    column = residual_terms(None, "power(`fitted`)")
    assert not column.of_fitted
    assert column.columns == ("fitted",)


def test_columns_are_those_of_positions_groups_and_covariates() -> None:
    terms = residual_terms("exp(log(x) + y | a:b)", "ident(sex) * power(age + 1) * exp(fitted)")
    assert terms.columns == ("x", "y", "a", "b", "sex", "age")


@pytest.mark.parametrize(
    ("correlation", "message"),
    [
        ("ar2(time | g)", "There is no correlation 'ar2'"),
        ("arma(time | g)", "There is no correlation 'arma'"),
        ("time | g", "is no correlation: write it like"),
        ("ar1(time | g", "never closed"),
        ("ar1( | g)", "Nothing stands left of the bar"),
        ("ar1(time | )", "No group stands right"),
        ("ar1(time | g | h)", "one bar"),
        ("ar1(time | g + h)", "is no group of rows"),
        ("ar1(time + x | g)", "has 2 positions: it takes one"),
        ("lin(x + y | g)", "no correlation in the plane"),
        ("cs(time | g)", r"does not depend on a position: write cs\(1 \| g\)"),
        ("ar1(time | g, nugget=True)", "ar1 has no nugget"),
        ("exp(x | g, nugget=0.1)", "is no option of a correlation"),
        ("exp(x | g, range=3)", "is no option of a correlation"),
        ("exp(x - y | g)", "is a sum of columns"),
        ("UN", "has no group: write 'UN"),
        ("UN(1 | g)", "name the column of positions"),
        (42, "not int"),
    ],
)
def test_correlations_that_make_no_sense(correlation: str, message: str) -> None:
    with pytest.raises(FormulaError, match=message):
        residual_terms(correlation)


@pytest.mark.parametrize(
    ("variance", "message"),
    [
        ("pow(x)", "did you mean 'power'"),
        ("power", "is no variance function"),
        ("power()", "needs a covariate"),
        ("ident(sex + diet)", "needs the name of a column"),
        ("ident(fitted)", "makes no sense"),
        ("fixed(fitted)", "makes no sense"),
        ("power(x | sex)", r"ident\(sex\) \* power\(x\)"),
        ("ident(sex) * ident(sex)", "is there twice"),
        ("ident(sex) + power(x)", "is no variance function"),
        ([1.0], "a product, or a list of them, not float"),
    ],
)
def test_variances_that_make_no_sense(variance: str, message: str) -> None:
    with pytest.raises(FormulaError, match=message):
        residual_terms(None, variance)


@given(st.lists(st.sampled_from(["x", "log(y + 1)", "C(time)", "a.b"]), min_size=1, unique=True))
def test_coordinates_are_the_parts_of_a_sum(parts: list[str]) -> None:
    assert coordinates(" + ".join(parts)) == tuple(parts)
    assert coordinates("0 + " + " + ".join(parts)) == tuple(parts)
    assert coordinates(" + ".join(parts) + " - 1") == tuple(parts)


def test_objects_are_multiplied_and_listed_as_in_text() -> None:
    both = residual_terms(variance="ident(sex) * power(age) * exp(x)").variances
    product = made.ident("sex") * made.power("age") * made.varexp("x")
    assert residual_terms(variance=product).variances == both
    assert product.text == "ident(sex) * power(age) * exp(x)"
    assert residual_terms(variance=["ident(sex) * power(age)", both[2]]).variances == both
    with pytest.raises(TypeError):
        product * 2  # type: ignore[operator]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: made.ar1(5, "g"), r"ar1\(position='time', group='subject'\)"),
        (lambda: made.exp(["x", 2], "g"), "exp.. takes names of columns as text"),
        (lambda: made.us("t", ["g", "h"]), "several columns as 'a:b'"),
        (lambda: made.cs(None), r"cs\(group='subject'\)"),
    ],
)
def test_objects_take_names_of_columns(make: Any, message: str) -> None:
    with pytest.raises(FormulaError, match=message):
        make()


def test_every_structure_has_a_function_of_its_name() -> None:
    for name in (*CORRELATIONS, *VARIANCES):
        own = "varexp" if name == "exp" and name not in CORRELATIONS else name
        assert callable(getattr(made, own))
    assert made.varexp("x").name == "exp"
