"""Several grouping factors: the compiled descent ends where its NumPy twin does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_designs import WIDTHS, crossed_problem, grouping
from scipy import sparse

from henderson.engine import kernels, optimise
from henderson.engine.criterion import factorise
from henderson.engine.crossproducts import cross_products
from henderson.engine.problem import Grouping, Standard, standardise


@contextmanager
def twin() -> Iterator[None]:
    """NumPy instead of the compiled kernels."""
    with patch.object(kernels, "compiled", None):
        yield


@st.composite
def problems(draw) -> Standard:
    """Two or three factors, some nested in the first, of any widths; more rows than effects."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, factors = draw(st.integers(90, 160)), draw(st.integers(2, 3))
    groupings = []
    for t in range(factors):
        widths = draw(st.sampled_from(WIDTHS))
        groupings.append(grouping(rng, n, int(rng.integers(3, 9)), widths))
        if t and draw(st.booleans()):
            groupings[-1] = parent(groupings[0], groupings[-1])
    weights = rng.gamma(3.0, size=n) if draw(st.booleans()) else None
    p = draw(st.integers(0, 3))
    x = np.column_stack([np.ones(n), rng.normal(size=(n, 2))])[:, :p]
    y = rng.normal(size=n)
    for g in groupings:
        effects = rng.normal(size=(g.n_levels, g.size)) * rng.choice([0.0, 0.5, 2.0])
        y = y + np.einsum("nk,nk->n", g.z, effects[g.codes])
    assume(sum(g.n_levels * g.size for g in groupings) + p < n)
    return standardise(y, x, groupings, weights)


def parent(child: Grouping, like: Grouping) -> Grouping:
    """A factor of which `child` is part: two levels of it in each, or one."""
    return Grouping(child.codes // 2, (child.n_levels + 1) // 2, like.z, like.terms)


@given(problems(), st.booleans(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_fit_ends_where_the_twins_ends(problem: Standard, reml: bool, exact: bool) -> None:
    """`exact` or with the average information, as with a large tail."""
    with patch.object(optimise, "LARGE_TAIL", 300 if exact else 0):
        found = optimise.optimise(problem, reml)
        with twin():
            expected = optimise.optimise(problem, reml)
    assert found.at.known is not None or not found.cross.squares.pattern.is_dense
    assert found.verdict.converged == expected.verdict.converged
    assert found.at.value == pytest.approx(expected.at.value, abs=1e-7)
    if min(found.verdict.curvature, expected.verdict.curvature) > 1e-3:
        for a, b in zip(found.sigmas, expected.sigmas, strict=True):
            scale = np.abs(b).max() + 1e-8
            np.testing.assert_allclose(a / scale, b / scale, atol=1e-4)


@given(problems(), st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_equations_left_are_those_of_the_twin(problem: Standard, reml: bool) -> None:
    found = optimise.optimise(problem, reml)
    assume(found.at.known is not None)
    left = found.at.known
    with twin():
        f = factorise(found.cross, found.layout.factors(found.at.phi))
        assert left.value(reml) == pytest.approx(f.value(reml), rel=1e-10)
        assert left.log_v == pytest.approx(f.log_v, rel=1e-9, abs=1e-9)
        assert left.log_xvx == pytest.approx(f.log_xvx, rel=1e-9, abs=1e-9)
        np.testing.assert_allclose(left.beta, f.beta, atol=1e-8)
        np.testing.assert_allclose(left.c, f.c, rtol=1e-7, atol=1e-10)
        for name in ("h", "e", "g"):
            for a, b in zip(getattr(left, name), getattr(f, name), strict=True):
                np.testing.assert_allclose(a, b, atol=1e-7 * (1.0 + np.abs(b).max(initial=0.0)))


@pytest.mark.parametrize("exact", [True, False])
def test_a_variance_of_zero_is_found(exact: bool) -> None:
    """Means of the second factor that vary less than chance would make them."""
    problem = crossed_problem(effects=0.0)
    given_problem = problem.given
    second = given_problem.groupings[1]
    counts = np.bincount(second.codes)
    means = np.bincount(second.codes, given_problem.y) / counts
    y = given_problem.y - means[second.codes]
    flat = standardise(y, given_problem.x, given_problem.groupings, None)
    with patch.object(optimise, "LARGE_TAIL", 300 if exact else 0):
        found = optimise.optimise(flat, True)
    assert found.at.known is not None
    assert found.sigmas[1].max() == 0.0
    assert found.sigmas[0].min() > 0.0
    assert found.verdict.converged


def test_a_warm_start_takes_fewer_evaluations_and_ends_at_the_same_point() -> None:
    problem = crossed_problem()
    first = optimise.optimise(problem, True)
    again = optimise.optimise(problem, True, first.at.phi)
    assert first.at.known is not None
    assert again.verdict.evaluations < first.verdict.evaluations
    assert again.at.value == pytest.approx(first.at.value, abs=1e-8)


def test_a_fit_is_the_same_to_the_last_bit_every_time() -> None:
    values = {optimise.optimise(crossed_problem(), True).at.value for _ in range(3)}
    assert len(values) == 1


# -- the rows and the sums -----------------------------------------------------------------------


@given(problems())
@settings(max_examples=40, deadline=None)
def test_cross_products_are_the_twins(problem: Standard) -> None:
    found = cross_products(problem)
    with twin():
        expected = cross_products(problem)
    assert found.order == expected.order
    assert found.squares.pattern.is_dense == expected.squares.pattern.is_dense
    dense = [c.squares.dense() for c in (found, expected)]
    np.testing.assert_allclose(*dense, atol=1e-10)
    for name in ("root", "dense", "within_xy", "within_zxy"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-9)
    links = [
        c.linked.toarray() if sparse.issparse(c.linked) else c.linked for c in (found, expected)
    ]
    np.testing.assert_allclose(*links, atol=1e-10)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_gram_and_quadratic_of_sparse_links_are_those_of_dense_ones(
    seed: int, size: int, levels: int
) -> None:
    rng = np.random.default_rng(seed)
    m = int(rng.integers(1, 30))
    dense = rng.normal(size=(levels, size, m)) * (rng.random((levels, 1, m)) < 0.4)
    flat = dense.reshape(levels * size, m)
    weights = rng.normal(size=(levels, size, size))
    weights = weights + weights.swapaxes(1, 2)
    t = rng.normal(size=(m, m))
    t = t + t.T
    linked = sparse.csr_array(flat)
    gram = np.einsum("jam,jab,jbn->mn", dense, weights, dense)
    np.testing.assert_allclose(kernels.weighted_gram(linked, weights), gram, atol=1e-10)
    quadratic = np.einsum("jam,mn,jbn->jab", dense, t, dense)
    np.testing.assert_allclose(kernels.level_quadratic(linked, t, size), quadratic, atol=1e-10)


@given(st.integers(0, 2**32 - 1), st.integers(0, 70))
def test_a_lower_triangle_is_mirrored(seed: int, m: int) -> None:
    a = np.random.default_rng(seed).normal(size=(m, m))
    expected = np.tril(a) + np.tril(a, -1).T
    assert np.array_equal(kernels.mirrored(a.copy()), expected)
