"""The optimum: known answers, conditions on the cone, and laws that no data may break."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from random_designs import problems

from henderson.covariance import make_structure
from henderson.engine.optimise import Evaluated, Optimum, optimise
from henderson.engine.problem import Grouping, Term, standardise
from henderson.engine.trust_region import minimise


def one_way(codes: np.ndarray, y: np.ndarray, reml: bool = True) -> Optimum:
    z = np.ones((len(y), 1))
    grouping = Grouping(
        codes, int(codes.max()) + 1, z, (Term(slice(0, 1), make_structure("us", 1)),)
    )
    return optimise(standardise(y, z, [grouping], None), reml)


def test_two_minima_the_lower_one_is_at_zero():
    """An interior local minimum passes every first-order test; zero is lower."""
    sizes, means = [1, 9, 10, 8, 1, 6], [4.332, -0.228, -0.536, -0.182, -0.814, -0.195]
    codes = np.repeat(np.arange(6), sizes)
    noise = np.random.default_rng(0).normal(size=len(codes))
    noise -= (np.bincount(codes, noise) / np.bincount(codes))[codes]
    y = np.array(means)[codes] + noise * np.sqrt(34.947 / (noise @ noise))
    optimum = one_way(codes, y)
    assert optimum.sigmas[0][0, 0] == 0.0

    def evaluate(phi: np.ndarray) -> Evaluated:
        return Evaluated(optimum.cross, optimum.layout, True, phi)

    interior = minimise(evaluate, evaluate(np.array([2.0])), tolerance=1e-12)
    assert interior.converged and abs(interior.point.phi[0]) > 0.5
    gap = interior.point.value - optimum.at.value
    assert gap == pytest.approx(21.1683 - 21.1238, abs=3e-3)


def test_balanced_one_way_is_the_analysis_of_variance():
    rng = np.random.default_rng(4)
    levels, each = 12, 5
    codes = np.repeat(np.arange(levels), each)
    y = rng.normal(size=levels)[codes] * 2.0 + rng.normal(size=len(codes))
    table = y.reshape(levels, each)
    within = table.var(axis=1, ddof=1).mean()
    between = each * table.mean(axis=1).var(ddof=1)
    optimum = one_way(codes, y)
    assert optimum.sigma2 == pytest.approx(within, rel=1e-9)
    assert optimum.sigmas[0][0, 0] * optimum.sigma2 == pytest.approx(
        (between - within) / each, rel=1e-8
    )


def _has_residual_rows(problem) -> bool:
    """More rows than effects: else sigma^2 may have no lower bound."""
    effects = sum(g.n_levels * g.size for g in problem.groupings)
    return effects + problem.x.shape[1] < len(problem.y)


@given(problems())
@settings(max_examples=60, deadline=None)
def test_conditions_on_the_cone(problem):
    """At every optimum D >= 0 and D Sigma = 0 term by term, and no reduced Hessian is a saddle."""
    assume(_has_residual_rows(problem))
    optimum = optimise(problem, True)
    assert optimum.verdict.converged
    assert optimum.verdict.curvature > -1e-6
    f = optimum.factorisation
    for factor, term in optimum.layout.terms:
        d = optimum.at.d[factor][term.columns, term.columns]
        sigma = f.sigmas[factor][term.columns, term.columns]
        if term.structure.name == "diag":
            d, sigma = np.diag(np.diag(d)), np.diag(np.diag(sigma))
        scale = 1.0 + np.abs(f.g[factor].sum(0)).max()
        assert np.linalg.eigvalsh(d)[0] > -1e-5 * scale
        assert np.abs(d @ sigma).max() < 1e-5 * scale * max(1.0, np.abs(sigma).max())


@given(problems(most_factors=2))
@settings(max_examples=25, deadline=None)
def test_rows_and_levels_may_be_in_any_order(problem):
    assume(_has_residual_rows(problem))
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(problem.y))
    groupings = []
    for g in problem.groupings:
        levels = rng.permutation(g.n_levels)
        groupings.append(replace(g, codes=levels[g.codes][rows], z=g.z[rows]))
    shuffled = standardise(problem.y[rows], problem.x[rows], groupings, None)
    same = standardise(problem.y, problem.x, problem.groupings, None)
    a, b = optimise(same, True), optimise(shuffled, True)
    assert a.criterion == pytest.approx(b.criterion, abs=1e-7)


@given(problems(most_factors=2))
@settings(max_examples=25, deadline=None)
def test_scale_of_the_response_and_the_predictors(problem):
    """y -> a y + X c and z -> z / s change the estimates as algebra says, and nothing else."""
    assume(_has_residual_rows(problem))
    a, scale = 1e4, np.array([1e-6, 1e3, 1.0, 1e6])
    n, p = problem.x.shape
    groupings = [replace(g, z=g.z * scale[: g.size]) for g in problem.groupings]
    shift = problem.x @ np.arange(1.0, p + 1.0) * 1e3
    first = optimise(standardise(problem.y, problem.x, problem.groupings, None), True)
    other = optimise(standardise(a * problem.y + shift, problem.x, groupings, None), True)
    expected = first.criterion + 2.0 * (n - p) * np.log(a)
    assert other.criterion == pytest.approx(expected, abs=1e-5)
    assert np.sqrt(other.sigma2) == pytest.approx(a * np.sqrt(first.sigma2), rel=1e-4)


def test_no_random_effects_is_least_squares():
    rng = np.random.default_rng(2)
    x = np.column_stack([np.ones(30), rng.normal(size=30)])
    y = rng.normal(size=30)
    optimum = optimise(standardise(y, x, [], None), True)
    coef, sse, *_ = np.linalg.lstsq(x, y, rcond=None)
    np.testing.assert_allclose(optimum.beta, coef, rtol=1e-12)
    assert optimum.sigma2 == pytest.approx(float(sse[0]) / 28, rel=1e-12)


def test_huge_variance_gives_the_fixed_effects_estimate():
    """Group effects a thousand times the noise leave only the within-group slope."""
    rng = np.random.default_rng(3)
    codes = np.repeat(np.arange(8), 6)
    x = rng.normal(size=48) + codes
    y = 0.5 * x + 1e6 * rng.normal(size=8)[codes] + rng.normal(size=48)
    z = np.ones((48, 1))
    grouping = Grouping(codes, 8, z, (Term(slice(0, 1), make_structure("us", 1)),))
    fit = optimise(standardise(y, np.column_stack([z, x]), [grouping], None), True)
    centre = lambda v: v - (np.bincount(codes, v) / 6)[codes]  # noqa: E731
    within = centre(x) @ centre(y) / (centre(x) @ centre(x))
    assert fit.beta[1] == pytest.approx(within, rel=1e-6)
