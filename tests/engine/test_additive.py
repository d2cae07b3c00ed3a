"""Sums over chunks of rows give the fit of all rows at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_designs import crossed_problem, grouping, problems

from henderson.engine.additive import Origin, Sums, merged
from henderson.engine.additive_fit import standard_of
from henderson.engine.optimise import Optimum, optimise, optimise_products
from henderson.engine.problem import Given, Grouping, standardise
from henderson.errors import DesignError, FitError


def fit(sums: Sums, reml: bool = True) -> Optimum:
    return optimise_products(*standard_of(sums), reml)


def part(given: Given, rows: np.ndarray) -> tuple:
    """What `Sums.of` takes, of some rows."""
    groupings = [replace(g, codes=g.codes[rows], z=g.z[rows]) for g in given.groupings]
    weights = None if given.weights is None else given.weights[rows]
    return given.y[rows], given.x[rows], groupings, weights


def in_chunks(given: Given, order: np.ndarray, count: int) -> Sums:
    first, *rest = np.array_split(order, count)
    sums = Sums.of(*part(given, first))
    for rows in rest:
        sums = sums.update(*part(given, rows))
    return sums


def assert_same_fit(found: Optimum, expected: Optimum) -> None:
    assert found.criterion == pytest.approx(expected.criterion, rel=1e-8, abs=1e-6)
    if expected.verdict.curvature > 1e-3:
        se = np.sqrt(np.diag(expected.cov_beta))
        np.testing.assert_allclose(found.beta / se, expected.beta / se, atol=1e-5)
        np.testing.assert_allclose(found.cov_beta, expected.cov_beta, rtol=1e-4, atol=1e-9)
        assert found.sigma2 == pytest.approx(expected.sigma2, rel=1e-5)
        for t in range(len(expected.sigmas)):
            scale = np.abs(expected.sigmas[t]).max() + 1e-6
            np.testing.assert_allclose(found.sigmas[t], expected.sigmas[t], atol=1e-4 * scale)
            np.testing.assert_allclose(found.modes(t), expected.modes(t), atol=1e-3)


@given(problems(), st.integers(1, 6), st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_chunks_in_any_order_give_the_fit_of_all_rows(problem, count, seed, reml):
    given_rows = problem.given
    effects = sum(g.n_levels * g.size for g in problem.groupings)
    assume(effects + problem.x.shape[1] < len(problem.y))
    order = np.random.default_rng(seed).permutation(len(given_rows.y))
    assert_same_fit(fit(in_chunks(given_rows, order, count), reml), optimise(problem, reml))


def test_merging_is_commutative_and_associative():
    given_rows = crossed_problem().given
    a, b, c = np.array_split(np.arange(len(given_rows.y)), 3)
    one = Sums.of(*part(given_rows, a))
    two, three = (Sums.of(*part(given_rows, rows), origin=one.origin) for rows in (b, c))
    ways = [merged([one, two, three]), merged([three, one, two]), one.merge(two.merge(three))]
    for way in ways[1:]:
        np.testing.assert_allclose(way.products, ways[0].products, rtol=1e-13)
        for s, t in zip(way.factors, ways[0].factors, strict=True):
            np.testing.assert_allclose(s.squares, t.squares, rtol=1e-12, atol=1e-12)
    assert fit(ways[1]).criterion == pytest.approx(fit(ways[0]).criterion, abs=1e-8)


def test_the_same_chunks_give_the_same_bits():
    given_rows = crossed_problem().given
    order = np.arange(len(given_rows.y))
    a, b = (fit(in_chunks(given_rows, order, 7)) for _ in range(2))
    assert a.criterion == b.criterion
    assert np.array_equal(a.beta, b.beta)


@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_an_offset_of_response_and_predictor_costs_few_digits(shift):
    given_rows = crossed_problem().given
    x = given_rows.x + np.array([0.0, shift / 100.0])
    moved = replace(given_rows, y=given_rows.y + shift, x=x)
    order = np.arange(len(x))
    plain, other = (fit(in_chunks(g, order, 5)) for g in (given_rows, moved))
    assert other.criterion == pytest.approx(plain.criterion, abs=1e-5)
    slope = plain.beta[1]
    moved_by = np.array([shift - slope * shift / 100.0, 0.0])
    np.testing.assert_allclose(other.beta, plain.beta + moved_by, rtol=1e-9)


def test_levels_may_first_be_seen_in_a_later_chunk():
    given_rows = crossed_problem().given
    first, second = given_rows.groupings
    early = np.flatnonzero((first.codes < 30) & (second.codes < 20))
    late = np.setdiff1d(np.arange(len(given_rows.y)), early)
    y, x, (a, b), weights = part(given_rows, early)
    sums = Sums.of(y, x, [replace(a, n_levels=30), replace(b, n_levels=20)], weights)
    sums = sums.update(*part(given_rows, late))
    expected = optimise(standardise(given_rows.y, given_rows.x, given_rows.groupings, None), True)
    assert_same_fit(fit(sums), expected)


def test_an_empty_chunk_changes_nothing():
    given_rows = crossed_problem().given
    whole = in_chunks(given_rows, np.arange(len(given_rows.y)), 1)
    again = whole.update(*part(given_rows, np.zeros(0, dtype=np.intp)))
    assert np.array_equal(whole.products, again.products)
    assert again.n == whole.n


def test_what_does_not_belong_together_is_refused():
    given_rows = crossed_problem().given
    a, b = np.array_split(np.arange(len(given_rows.y)), 2)
    one, two = (Sums.of(*part(given_rows, rows)) for rows in (a, b))
    with pytest.raises(DesignError, match="different origins"):
        one.merge(two)
    y, x, groupings, _ = part(given_rows, b)
    with pytest.raises(DesignError, match="3 columns of X and the sums 2"):
        one.update(y, np.column_stack([x, y]), groupings)
    with pytest.raises(DesignError, match="different grouping factors"):
        one.update(y, x, groupings[:1])
    with pytest.raises(DesignError, match="start with rows that show that it varies"):
        one.update(y, x + np.array([1.0, 0.0]), groupings)


def test_collinear_columns_and_explained_responses_are_refused():
    rng = np.random.default_rng(1)
    x = np.column_stack([np.ones(90), rng.normal(size=90)])
    g = grouping(rng, 90, 6, (("us", 1),))
    y = rng.normal(size=90)
    with pytest.raises(FitError, match="collinear"):
        standard_of(Sums.of(y, np.column_stack([x, x[:, 1]]), [g]))
    with pytest.raises(FitError, match="explain the response exactly"):
        standard_of(Sums.of(x @ [1.0, 2.0], x, [g]))
    known = Grouping(g.codes, g.n_levels, g.z, g.terms, np.eye(6))
    with pytest.raises(DesignError, match="Correlated levels"):
        Sums.of(y, x, [known])


def test_without_a_constant_column_nothing_is_shifted():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(50, 2))
    assert not Origin.of(rng.normal(size=50) + 5.0, x).shift.any()
