"""The blocked criterion and its derivatives against dense matrices."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_designs import problems

from henderson.engine.criterion import factorise
from henderson.engine.crossproducts import cross_products
from henderson.engine.derivatives import Direction, gradient_blocks, hessian
from henderson.engine.problem import Standard


def engine_and_oracle(problem: Standard, seed: int, reml: bool, rank_deficient: bool):
    cross = cross_products(problem)
    rng = np.random.default_rng(seed)
    factors = [rng.normal(size=(k, k)) * rng.choice([0.01, 1.0, 30.0]) for _, k in cross.sizes]
    if rank_deficient:
        for m in factors:
            m[:, 0] = 0.0
    f = factorise(cross, factors)
    groupings = [problem.groupings[t] for t in cross.order]
    dense = oracle.solve(
        oracle.Problem(
            y=problem.y,
            X=problem.x,
            blocks=tuple(oracle.block(g.codes, g.z, g.n_levels) for g in groupings),
            reml=reml,
        ),
        [m @ m.T for m in factors],
    )
    return f, dense


cases = given(problems(), st.integers(0, 2**32 - 1), st.booleans(), st.booleans())


@cases
@settings(max_examples=60, deadline=None)
def test_criterion_and_estimates(problem, seed, reml, deficient):
    f, dense = engine_and_oracle(problem, seed, reml, deficient)
    expected = dense.criterion - problem.log_weights
    assert f.value(reml) == pytest.approx(expected, rel=1e-9, abs=1e-8)
    np.testing.assert_allclose(f.beta, dense.beta, rtol=1e-6, atol=1e-8)
    assert f.s2(reml) == pytest.approx(dense.sigma2, rel=1e-8)


@cases
@settings(max_examples=60, deadline=None)
def test_gradient(problem, seed, reml, deficient):
    f, dense = engine_and_oracle(problem, seed, reml, deficient)
    for ours, theirs in zip(gradient_blocks(f, reml), oracle.gradient(dense), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6 * (1 + abs(theirs).max()))


@cases
@settings(max_examples=60, deadline=None)
def test_hessian(problem, seed, reml, deficient):
    f, dense = engine_and_oracle(problem, seed, reml, deficient)
    directions = [
        Direction(t, i, j)
        for t, (_, k) in enumerate(f.cross.sizes)
        for b in oracle.basis(k)
        for i, j in [sorted(np.argwhere(b)[0])[::-1]]
    ]
    assume(directions)
    expected = oracle.hessian(dense)
    ours = hessian(f, directions, reml)
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6 * (1 + abs(expected).max()))
