"""Structured residuals from sums over levels: the numbers of dense matrices, at any point."""

from __future__ import annotations

import numpy as np
from covariance.differences import differences
from engine.structured_designs import FINITE, grouping, models, residual_of
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from henderson.covariance.correlations.distance import ContinuousAutoregressive
from henderson.covariance.residual.base import ResidualModel
from henderson.covariance.residual.finite.base import FiniteInverse
from henderson.covariance.residual.finite.choose import finite_inverse
from henderson.engine.dense import DenseProducts, dense_products
from henderson.engine.finite_basis import (
    PER_NUMBER,
    SMALL_SETS,
    BasisProducts,
    basis_products,
    structured_products,
)
from henderson.engine.optimise import Evaluated
from henderson.engine.parameters import Layout
from henderson.engine.problem import standardise

SEEDS = st.integers(0, 2**32 - 1)


def inverse_of(found: FiniteInverse, phi: np.ndarray, n: int) -> np.ndarray:
    """sum_k c_k B_k (n, n), written out."""
    u = np.eye(n) if found.scale is None else np.diag(found.scale)
    total = np.zeros((n, n))
    for c, product in zip(found.at(phi)[0][0], found.products, strict=True):
        b = product.left(u).T @ product.right(u)
        total += c * (b + b.T) / 2.0
    return total


@given(st.sampled_from(FINITE), SEEDS)
@settings(max_examples=60)
def test_the_sum_is_the_inverse(structure, seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(12, 60))
    groups = np.unique(rng.integers(0, 6, n), return_inverse=True)[1]
    model = residual_of(structure, groups, rng)
    found = finite_inverse(model)
    phi = model.start() + 0.3 * rng.normal(size=model.n_parameters)
    r = model.bind(np.arange(n)[None]).value(phi)[0]
    assert_allclose(r @ inverse_of(found, phi, n), np.eye(n), atol=1e-9)
    assert_allclose(found.at(phi)[1][0], np.linalg.slogdet(r)[1], rtol=1e-10, atol=1e-10)


@given(st.sampled_from(FINITE), SEEDS)
@settings(max_examples=60)
def test_derivatives_of_the_weights(structure, seed):
    rng = np.random.default_rng(seed)
    groups = np.unique(rng.integers(0, 6, 40), return_inverse=True)[1]
    model = residual_of(structure, groups, rng)
    found = finite_inverse(model)
    phi = model.start() + 0.3 * rng.normal(size=model.n_parameters)
    for which in (0, 1):
        value, first, second = found.at(phi)[which]
        size = 1.0 + np.abs(value).max()
        by_value = differences(lambda p, w=which: np.asarray(found.at(p)[w][0]), phi, 1e-3)
        by_first = differences(lambda p, w=which: found.at(p)[w][1], phi, 1e-3)
        assert_allclose(first, by_value, rtol=1e-6, atol=1e-7 * size)
        assert_allclose(second, by_first, rtol=1e-6, atol=1e-6 * size)


@given(models(FINITE), SEEDS, st.booleans())
def test_criterion_gradient_and_hessian_are_those_of_dense_matrices(model, seed, reml):
    problem, residual = model
    cross = basis_products(problem, residual)
    assert isinstance(cross, BasisProducts)
    layout = Layout.of(problem.given.groupings, cross)
    rng = np.random.default_rng(seed)
    phi = layout.zero()
    phi = phi + rng.normal(size=len(phi)) * rng.choice([0.0, 0.4])
    found = Evaluated(cross, layout, reml, phi)
    dense = Evaluated(dense_products(problem, residual), layout, reml, phi)
    assert_allclose(found.value, dense.value, rtol=1e-10, atol=1e-9)
    size = 1.0 + np.abs(dense.hessian).max()
    assert_allclose(found.gradient, dense.gradient, rtol=1e-7, atol=1e-9 * size)
    assert_allclose(found.hessian, dense.hessian, rtol=1e-7, atol=1e-9 * size)
    for name in ("h", "e", "g"):
        for a, b in zip(
            getattr(found.factorisation, name), getattr(dense.factorisation, name), strict=True
        ):
            assert_allclose(a, b, rtol=1e-7, atol=1e-8 * (1.0 + np.abs(b).max(initial=0.0)))


def at_random_times(n_levels: int, size: int, *, gaps: int) -> BasisProducts | DenseProducts:
    """What is kept of car1 beside a random slope, at times up to so many steps apart."""
    rng = np.random.default_rng(4)
    codes, n = np.repeat(np.arange(n_levels), size), n_levels * size
    times = np.concatenate([np.cumsum(1 + rng.integers(0, gaps, size)) for _ in range(n_levels)])
    x = np.column_stack([np.ones(n), rng.normal(size=n)])
    problem = standardise(rng.normal(size=n), x, [grouping(codes, x, (("us", 2),))], None)
    model = ResidualModel(codes, ContinuousAutoregressive(1.0), times[:, None].astype(float))
    return structured_products(problem, model)


def test_few_gaps_make_sums_and_many_make_matrices_of_components():
    assert isinstance(at_random_times(100, 8, gaps=6), BasisProducts)
    assert not isinstance(at_random_times(100, 8, gaps=10**6), BasisProducts)


def test_sums_that_take_much_more_memory_than_the_rows_are_not_made():
    few = at_random_times(20_000, 4, gaps=2)
    assert isinstance(few, BasisProducts)
    assert few.sets.size <= SMALL_SETS + PER_NUMBER * 80_000 * 5
    assert not isinstance(at_random_times(20_000, 4, gaps=30), BasisProducts)
