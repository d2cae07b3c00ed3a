"""The compiled fit of structured residuals gives the numbers of its NumPy twin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
import pytest
from covariance.differences import differences
from engine.structured_designs import STRUCTURES, grouping, models, residual_of
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from henderson.covariance.residual.base import ResidualModel
from henderson.engine import kernels, structured_descent
from henderson.engine.finite_basis import BasisProducts, basis_products
from henderson.engine.optimise import RULES, Evaluated, Verdict, optimise_products
from henderson.engine.parameters import Layout
from henderson.engine.problem import Standard, standardise
from henderson.engine.structured_levels import LevelFactorisation
from henderson.errors import FitError


@contextmanager
def twin() -> Iterator[None]:
    """NumPy instead of the compiled kernels."""
    with patch.object(kernels, "compiled", None):
        yield


def products(problem: Standard, residual: ResidualModel) -> tuple[BasisProducts, Layout]:
    """The level sums, which the compiled fit takes."""
    cross = basis_products(problem, residual)
    assert cross is not None
    layout = Layout.of(problem.given.groupings, cross)
    assert structured_descent.suits(cross, layout)
    return cross, layout


def point(layout: Layout, seed: int, *, singular: bool) -> np.ndarray:
    """A phi; of a Sigma without full rank if `singular`."""
    rng = np.random.default_rng(seed)
    phi = rng.normal(size=len(layout.zero()))
    own = len(phi) - layout.n_residual
    phi[own:] *= 0.5
    if singular and own:
        phi[: max(1, own // 2)] = 0.0
    return phi


SEEDS = st.integers(0, 2**32 - 1)


@given(models(), SEEDS, st.booleans(), st.booleans())
def test_criterion_and_derivatives_are_the_twins_at_any_point(model, seed, reml, singular):
    cross, layout = products(*model)
    phi = point(layout, seed, singular=singular)
    found = structured_descent.evaluate(cross, layout, reml, phi)
    with twin():
        expected = Evaluated(cross, layout, reml, phi)
        assert isinstance(expected.factorisation, LevelFactorisation)
        assert_allclose(found.value, expected.value, rtol=1e-10, atol=1e-9)
        gradient = expected.factorisation.residual_gradient(reml)
        scale = 1.0 + np.abs(expected.hessian_sigma).max()
        assert_allclose(found.residual_gradient, gradient, rtol=1e-8, atol=1e-9 * scale)
        if layout.sizes:
            assert_allclose(found.d, expected.d[0], rtol=1e-8, atol=1e-9 * scale)
        assert_allclose(found.hessian, expected.hessian_sigma, rtol=1e-7, atol=1e-9 * scale)


@given(models(), SEEDS, st.booleans())
@settings(max_examples=40)
def test_derivatives_are_those_of_the_criterion(model, seed, reml):
    cross, layout = products(*model)
    phi = point(layout, seed, singular=False)

    def at(phi: np.ndarray) -> structured_descent.Evaluation:
        return structured_descent.evaluate(cross, layout, reml, phi)

    def gradient(phi: np.ndarray) -> np.ndarray:
        e = at(phi)
        return np.concatenate([layout.gradient(phi, (e.d,)), e.residual_gradient])

    found = at(phi)
    jacobian, curvature = layout.jacobian(phi), np.zeros((len(phi), len(phi)))
    own = len(phi) - layout.n_residual
    if own:
        curvature[:own, :own] = layout.curvature(phi, (found.d,))
    hessian = jacobian.T @ found.hessian @ jacobian + curvature
    scale = 1.0 + np.abs(hessian).max()
    by_value = differences(lambda p: np.array(at(p).value), phi, 1e-3)
    assert_allclose(gradient(phi), by_value, rtol=1e-5, atol=1e-6 * scale)
    assert_allclose(hessian, differences(gradient, phi, 1e-3), rtol=1e-5, atol=1e-6 * scale)


def determined(verdict: Verdict) -> bool:
    """Neither a flat optimum nor one that runs away to the bound of a correlation."""
    return verdict.converged and verdict.curvature > 1e-4 and verdict.decrease < 1e-9


@given(models(), st.booleans())
@settings(max_examples=60)
def test_fits_are_the_twins(model, reml):
    cross, layout = products(*model)
    found = optimise_products(model[0], cross, reml)
    with twin():
        expected = optimise_products(model[0], cross, reml)
    assume(determined(expected.verdict))
    assert found.verdict.converged
    assert_allclose(found.criterion, expected.criterion, rtol=0, atol=1e-7)
    for a, b in zip(found.sigmas, expected.sigmas, strict=True):
        assert_allclose(a, b, rtol=1e-3, atol=1e-4 * (1.0 + np.abs(b).max()))
    own = layout.residual_part(found.at.phi)
    assert_allclose(own, layout.residual_part(expected.at.phi), rtol=1e-3, atol=1e-4)
    assert_allclose(found.beta, expected.beta, rtol=1e-4, atol=1e-5)
    assert [r for r, _ in found.ranks] == [r for r, _ in expected.ranks]


@given(models(), st.booleans())
@settings(max_examples=30)
def test_a_fit_that_starts_at_its_optimum_stays_there(model, reml):
    cross, _ = products(*model)
    first = optimise_products(model[0], cross, reml)
    assume(determined(first.verdict))
    again = optimise_products(model[0], cross, reml, first.at.phi)
    assert_allclose(again.criterion, first.criterion, rtol=0, atol=1e-7)
    assert again.verdict.evaluations <= first.verdict.evaluations


def example(structure: str, seed: int = 1) -> tuple[Standard, ResidualModel]:
    """Ten levels of six to eight rows."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(10), 6 + np.arange(10) % 3)
    n = len(codes)
    x = np.column_stack([np.ones(n), rng.normal(size=n)])
    y = rng.normal(size=n) + rng.normal(size=10)[codes]
    problem = standardise(y, x, [grouping(codes, x[:, :1], (("us", 1),))], None)
    return problem, residual_of(structure, codes, rng)


@pytest.mark.parametrize(
    ("structure", "phi", "message"),
    [("ar1", 40.0, "reached its bound"), ("ar1", -40.0, "reached its bound"),
     ("car1", 40.0, "reached its bound"), ("cs", 40.0, "reached its bound")],
)  # fmt: skip
def test_the_bound_of_a_correlation_is_refused(structure, phi, message):
    cross, layout = products(*example(structure))
    with pytest.raises(FitError, match=message):
        structured_descent.evaluate(cross, layout, True, np.array([1.0, phi]))
    with pytest.raises(FitError, match=message):
        structured_descent.fit(cross, layout, True, np.array([1.0, phi]), RULES)


@pytest.mark.parametrize("structure", ["toep", "constpower", "cs x constpower"])
def test_what_has_no_recipe_is_left_to_the_twin(structure):
    problem, residual = example(structure)
    cross = basis_products(problem, residual)
    assert cross is not None
    layout = Layout.of(problem.given.groupings, cross)
    assert not structured_descent.suits(cross, layout)


def test_without_compiled_kernels_the_twin_fits():
    problem, residual = example("ar1")
    cross, layout = products(problem, residual)
    with twin():
        assert not structured_descent.suits(cross, layout)


def test_every_step_is_the_twins():
    """The same number of evaluations, so that the two have walked the same way."""
    for structure in STRUCTURES:
        problem, residual = example(structure)
        cross, _ = products(problem, residual)
        found = optimise_products(problem, cross, True)
        with twin():
            expected = optimise_products(problem, cross, True)
        assert found.verdict.evaluations == expected.verdict.evaluations, structure
        assert_allclose(found.at.phi, expected.at.phi, rtol=1e-6, atol=1e-7)
