"""Rows that come in chunks are the same fit as all rows at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_designs import WIDTHS, crossed_problem, grouping, problems

from henderson.engine.additive import Compensated, Origin, Sums
from henderson.engine.iterative_products import IterativeProducts
from henderson.engine.keyed_sums import KeyedSums, Run
from henderson.engine.optimise import Optimum, optimise, optimise_products
from henderson.engine.problem import Given, standardise
from henderson.engine.standard_sums import StandardSums
from henderson.errors import DataError, DesignError, FitError


def rows_of(data: Given, rows: np.ndarray | slice) -> tuple:
    """The arguments of `Sums.of` for some of the rows."""
    groupings = [replace(g, codes=g.codes[rows], z=g.z[rows]) for g in data.groupings]
    weights = None if data.weights is None else data.weights[rows]
    return data.y[rows], data.x[rows], groupings, weights


def chunks(data: Given, parts: Sequence[np.ndarray]) -> Sums:
    sums = Sums.of(*rows_of(data, parts[0]))
    for part in parts[1:]:
        sums = sums.update(*rows_of(data, part))
    return sums


def fit_sums(sums: Sums, reml: bool = True) -> Optimum:
    found = StandardSums.of(sums)
    return optimise_products(found.problem, found.products(), reml)


def fit_rows(data: Given, reml: bool = True) -> Optimum:
    return optimise(standardise(data.y, data.x, data.groupings, data.weights), reml)


def assert_same_fit(a: Optimum, b: Optimum) -> None:
    assert a.criterion == pytest.approx(b.criterion, rel=1e-8)
    assert a.sigma2 == pytest.approx(b.sigma2, rel=1e-6)
    np.testing.assert_allclose(a.beta, b.beta, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(a.cov_beta, b.cov_beta, rtol=1e-5, atol=1e-7)
    for t, (mine, its) in enumerate(zip(a.sigmas, b.sigmas, strict=True)):
        np.testing.assert_allclose(mine, its, rtol=1e-5, atol=1e-6 * (1.0 + np.abs(its).max()))
        np.testing.assert_allclose(a.modes(t), b.modes(t), rtol=1e-5, atol=1e-5)


def _has_residual_rows(data: Given) -> bool:
    """More rows than effects: else sigma^2 may have no lower bound."""
    effects = sum(g.n_levels * g.size for g in data.groupings)
    return effects + data.x.shape[1] < len(data.y)


def _cut(rng: np.random.Generator, rows: np.ndarray, most: int = 6) -> list[np.ndarray]:
    """Rows in pieces of any lengths, none included."""
    return np.split(rows, np.sort(rng.integers(0, len(rows) + 1, rng.integers(0, most))))


@given(problems(), st.booleans(), st.integers(0, 2**32 - 1))
@settings(max_examples=80, deadline=None)
def test_chunks_in_any_order_are_the_same_fit(problem, reml, seed):
    """0 to 3 factors, crossed, of any widths and structures, with and without weights."""
    data, rng = problem.given, np.random.default_rng(seed)
    assume(_has_residual_rows(data))
    sums = chunks(data, _cut(rng, rng.permutation(len(data.y))))
    assert_same_fit(fit_sums(sums, reml), fit_rows(data, reml))


@pytest.mark.parametrize("widths", WIDTHS[:3])
def test_nested_factors(widths):
    """Pupils in classes in schools: the tail falls into one block by school."""
    rng = np.random.default_rng(8)
    pupils = np.repeat(np.arange(120), 4)
    n = len(pupils)
    factors = [grouping(rng, n, levels, widths) for levels in (120, 24, 6)]
    codes = (pupils, pupils // 5, pupils // 20)
    factors = [replace(g, codes=c) for g, c in zip(factors, codes, strict=True)]
    x = np.column_stack([np.ones(n), rng.normal(size=n)])
    y = rng.normal(size=n) + sum(rng.normal(size=g.n_levels)[g.codes] for g in factors)
    data = Given(y, x, tuple(factors), None)
    found = fit_sums(chunks(data, _cut(rng, rng.permutation(n))))
    assert not found.cross.squares.pattern.is_dense
    assert_same_fit(found, fit_rows(data))


def _numbers(sums: Sums) -> list[np.ndarray]:
    """All that the sums hold."""
    keyed = [k.total for k in (*sums.levels, *sums.cells)]
    every = [sums.xy.value, sums.log_weights.value, np.array([sums.n, *sums.n_levels])]
    return every + [run.keys for run in keyed] + [run.values for run in keyed]


@given(problems(), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_merging_is_associative_and_commutative(problem, seed):
    data, rng = problem.given, np.random.default_rng(seed)
    parts = np.array_split(rng.permutation(len(data.y)), 3)
    origin = Origin.of(data.y, data.x, [g.z for g in data.groupings])
    a, b, c = (Sums.of(*rows_of(data, part), origin) for part in parts)
    first = _numbers(a.merge(b).merge(c))
    for other in (a.merge(b.merge(c)), c.merge(a).merge(b)):
        for left, right in zip(first, _numbers(other), strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-12, atol=1e-12 * len(data.y))


def test_the_same_chunks_give_the_same_bits():
    data = crossed_problem().given
    parts = _cut(np.random.default_rng(3), np.arange(len(data.y)))
    a, b = (fit_sums(chunks(data, parts)) for _ in range(2))
    assert a.criterion == b.criterion
    assert np.array_equal(a.beta, b.beta) and np.array_equal(a.sigmas[0], b.sigmas[0])


def _shifted(data: Given, *, y: float, x: float, z: float) -> Given:
    """With numbers added to the response and to the slopes of X and of the first factor's Z."""
    first, *others = data.groupings
    first = replace(first, z=first.z + np.array([0.0, z]))
    return Given(data.y + y, data.x + np.array([0.0, x]), (first, *others), data.weights)


@pytest.mark.parametrize("order", ["in order", "sorted by the predictor", "shuffled"])
def test_origin_of_response_and_predictors(order):
    """y + 1e6 and x + 1e4 move intercepts as algebra says, and nothing else."""
    data = crossed_problem().given
    rows = np.arange(len(data.y))
    if order == "sorted by the predictor":
        rows = np.argsort(data.x[:, 1])
    if order == "shuffled":
        rows = np.random.default_rng(0).permutation(rows)
    parts = np.array_split(rows, 9)
    a = fit_sums(chunks(data, parts))
    b = fit_sums(chunks(_shifted(data, y=1e6, x=1e4, z=1e4), parts))
    assert b.criterion == pytest.approx(a.criterion, abs=1e-6)
    assert b.beta[1] == pytest.approx(a.beta[1], rel=1e-8)
    assert b.beta[0] == pytest.approx(a.beta[0] + 1e6 - 1e4 * a.beta[1], abs=1e-5)
    back = np.array([[1.0, 1e4], [0.0, 1.0]])
    np.testing.assert_allclose(back @ b.sigmas[0] @ back.T, a.sigmas[0], atol=1e-6)
    np.testing.assert_allclose(b.modes(1), a.modes(1), atol=1e-7)


def test_origin_where_the_intercept_is_a_sum_of_columns():
    """Means of cells in the place of an intercept span the constants too."""
    data = crossed_problem().given
    cell = np.arange(len(data.y)) % 3
    x = np.column_stack([np.eye(3)[cell], data.x[:, 1]])
    parts = np.array_split(np.arange(len(data.y)), 5)
    a = fit_sums(chunks(replace(data, x=x), parts))
    far = replace(data, y=data.y + 1e6, x=x + np.array([0.0, 0.0, 0.0, 1e4]))
    b = fit_sums(chunks(far, parts))
    assert b.criterion == pytest.approx(a.criterion, abs=1e-6)
    np.testing.assert_allclose(b.beta[:3], a.beta[:3] + 1e6 - 1e4 * a.beta[3], atol=1e-5)


def test_a_column_that_varies_only_later_may_stand_for_the_constant():
    """The origin is a change of basis, whatever the rows of the first chunk hold."""
    data = crossed_problem().given
    first = data.x[:, 1] > 1.0
    x = np.column_stack([np.where(first, 2.0, data.x[:, 1]), np.ones(len(data.y))])
    data = replace(data, x=x, y=data.y + 50.0)
    sums = chunks(data, [np.flatnonzero(first), np.flatnonzero(~first)])
    assert np.abs(sums.origin.xy[0]).max() > 1.0  # not the intercept was taken
    assert_same_fit(fit_sums(sums), fit_rows(data))


def test_many_small_chunks_keep_the_digits():
    data = crossed_problem().given
    a = fit_sums(chunks(data, np.array_split(np.arange(len(data.y)), 1_500)))
    assert a.criterion == pytest.approx(fit_rows(data).criterion, rel=1e-12)


def test_levels_seen_late():
    """Chunks that know only the levels so far."""
    data = crossed_problem().given
    order = np.argsort(data.groupings[0].codes, kind="stable")
    sums = None
    for part in np.array_split(order, 6):
        y, x, groupings, weights = rows_of(data, part)
        known = [replace(g, n_levels=int(g.codes.max()) + 1) for g in groupings]
        new = (y, x, known, weights)
        sums = Sums.of(*new) if sums is None else sums.update(*new)
    assert sums.n_levels == (60, 40)
    assert_same_fit(fit_sums(sums), fit_rows(data))


def test_levels_that_no_row_has():
    """They keep their place; their modes are zero."""
    data = crossed_problem().given
    wide = tuple(replace(g, n_levels=g.n_levels + 2) for g in data.groupings)
    found = fit_sums(chunks(replace(data, groupings=wide), [np.arange(len(data.y))]))
    assert found.criterion == pytest.approx(fit_rows(data).criterion, rel=1e-10)
    assert not found.modes(0)[-2:].any() and not found.modes(1)[-2:].any()


def test_empty_chunks_change_nothing():
    data = crossed_problem().given
    empty, whole = Sums.of(*rows_of(data, slice(0, 0))), Sums.of(*rows_of(data, slice(None)))
    for sums in (empty.merge(whole), whole.merge(empty), empty.update(*rows_of(data, slice(None)))):
        for left, right in zip(_numbers(sums), _numbers(whole), strict=True):
            assert np.array_equal(left, right)


def test_the_iterative_engine_reads_the_same_sums():
    rng = np.random.default_rng(2)
    n = 2_000
    factors = [grouping(rng, n, levels, (("us", 1),)) for levels in (80, 50, 9)]
    y = rng.normal(size=n) + sum(rng.normal(size=g.n_levels)[g.codes] for g in factors)
    data = Given(y, np.ones((n, 1)), tuple(factors), None)
    found = StandardSums.of(chunks(data, _cut(rng, rng.permutation(n))))
    cross = found.products("iterative")
    assert isinstance(cross, IterativeProducts)
    a = optimise_products(found.problem, cross, True)
    b = optimise(standardise(y, data.x, factors, None), True, engine="iterative")
    assert a.criterion == pytest.approx(b.criterion, abs=1e-6)
    np.testing.assert_allclose(np.ravel(a.sigmas), np.ravel(b.sigmas), rtol=1e-5)


def test_rows_are_not_kept():
    """What is held grows with the levels, not the rows; what needs rows says so."""
    data = crossed_problem().given
    parts = np.array_split(np.arange(len(data.y)), 50)
    once = chunks(data, parts)
    twice = once.merge(chunks(data, parts))
    assert sum(a.size for a in _numbers(once)) == sum(a.size for a in _numbers(twice))
    with pytest.raises(FitError, match="fit all rows at once"):
        _ = StandardSums.of(once).problem.y


def test_runs_are_few_and_add_up():
    """Keyed sums of many runs are those of one pass; the number of runs is a logarithm."""
    rng = np.random.default_rng(5)
    total, expected = None, np.zeros(300)
    for _ in range(500):
        keys = np.flatnonzero(rng.random(300) < 0.1)
        values = rng.normal(size=len(keys))
        np.add.at(expected, keys, values)
        new = KeyedSums((Run(keys, values),))
        total = new if total is None else total.merge(new)
        lengths = [len(run.keys) for run in total.runs]
        assert all(sum(lengths[i + 1 :]) < lengths[i] for i in range(len(lengths) - 1))
    np.testing.assert_allclose(total.total.values, expected[total.total.keys], rtol=1e-11)
    assert np.array_equal(total.total.keys, np.arange(300))


def test_compensated_sums_keep_what_rounding_drops():
    total = Compensated.of(np.array([1.0]))
    for term in (1e16, 1.0, -1e16):
        total = total.plus(Compensated.of(np.array([term])))
    assert total.value[0] == 2.0


def _small(rows: int = 40) -> Given:
    rng = np.random.default_rng(1)
    x = np.column_stack([np.ones(rows), rng.normal(size=rows)])
    return Given(rng.normal(size=rows), x, (grouping(rng, rows, 5, (("us", 2),)),), None)


def test_collinear_columns_are_refused_by_number():
    data = _small()
    x = np.column_stack([data.x, data.x @ [1e4, 1.0]])
    with pytest.raises(DesignError, match="Column 3 of X"):
        StandardSums.of(chunks(replace(data, x=x), np.array_split(np.arange(40), 4)))


def test_too_few_rows_and_exact_fits_are_refused():
    data = _small()
    with pytest.raises(FitError, match="2 rows cannot estimate 2"):
        StandardSums.of(Sums.of(*rows_of(data, slice(0, 2))))
    with pytest.raises(FitError, match="exactly"):
        StandardSums.of(Sums.of(data.x @ [3.0, 1.0], data.x, data.groupings))
    with pytest.raises(FitError, match="exactly"):
        StandardSums.of(Sums.of(np.full(40, 7.0), data.x, data.groupings))


def test_chunks_that_do_not_fit_together_are_refused():
    data = _small()
    (g,) = data.groupings
    sums = Sums.of(data.y, data.x, [g])
    with pytest.raises(DesignError, match="2 columns of X and 2 effects"):
        sums.update(data.y, data.x[:, :1], [g])
    with pytest.raises(DesignError, match="1 effects by level"):
        sums.update(data.y, data.x, [replace(g, z=g.z[:, :1], terms=g.terms[:1])])
    with pytest.raises(DesignError, match="no effects"):
        sums.update(data.y, data.x, [])
    diagonal = grouping(np.random.default_rng(0), 40, 5, (("us", 1), ("us", 1))).terms
    with pytest.raises(DesignError, match="Factor 1 has other terms"):
        sums.update(data.y, data.x, [replace(g, terms=diagonal)])
    with pytest.raises(DesignError, match="different origins"):
        sums.merge(Sums.of(data.y + 1.0, data.x, [g]))


def test_bad_rows_are_refused():
    data = _small()
    (g,) = data.groupings
    bad = data.y.copy()
    bad[3] = np.nan
    with pytest.raises(DataError, match="y has missing"):
        Sums.of(bad, data.x, [g])
    with pytest.raises(DataError, match="Column 2 of X"):
        Sums.of(data.y, np.column_stack([data.x[:, 0], bad]), [g])
    with pytest.raises(DataError, match="Z of factor 1"):
        Sums.of(data.y, data.x, [replace(g, z=np.column_stack([bad, bad]))])
    with pytest.raises(DataError, match="positive"):
        Sums.of(data.y, data.x, [g], np.zeros(40))
    with pytest.raises(DesignError, match="outside 0 to 3"):
        Sums.of(data.y, data.x, [replace(g, n_levels=4)])
    with pytest.raises(DesignError, match="rows"):
        Sums.of(data.y[:-1], data.x, [g])
    with pytest.raises(DesignError, match="correlated"):
        Sums.of(data.y, data.x, [replace(g, root=np.eye(5))])
