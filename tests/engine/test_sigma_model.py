"""Steps by a model quadratic in Sigma: its derivatives, when it is taken, and what it saves."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
from random_designs import grouping

from henderson.engine import kernels, optimise, trust_region
from henderson.engine.crossproducts import cross_products
from henderson.engine.optimise import Evaluated
from henderson.engine.parameters import Layout
from henderson.engine.problem import Standard, standardise
from henderson.engine.sigma_model import SigmaModel


def design(seed: int) -> Standard:
    """One factor, or two that are crossed, with a covariance that is often all but singular."""
    rng = np.random.default_rng(seed)
    n = 240
    widths = [(("us", 2),), (("us", 3),), (("us", 1), ("us", 1))][seed % 3]
    groupings = [grouping(rng, n, 20, widths)]
    if seed % 2:
        groupings.append(grouping(rng, n, 8, (("us", 1),)))
    x = np.column_stack([np.ones(n), rng.normal(size=n)])
    y = rng.normal(size=n)
    for g in groupings:
        root = rng.normal(size=(g.size, 1)) * [0.2, 1.0, 4.0][seed % 3]
        effects = rng.normal(size=(g.n_levels, 1)) @ root.T
        y = y + np.einsum("nk,nk->n", g.z, effects[g.codes])
    return standardise(y, x, groupings, None)


def hard(seed: int) -> Standard:
    """Few levels, many effects, little noise: far starts and singular optima."""
    rng = np.random.default_rng(seed)
    g = grouping(rng, 80, 6, (("us", 3),))
    x = np.column_stack([np.ones(80), rng.normal(size=80)])
    root = rng.normal(size=(3, 1 + seed % 2)) * 5.0
    effects = rng.normal(size=(6, 1 + seed % 2)) @ root.T
    y = 0.5 * rng.normal(size=80) + np.einsum("nk,nk->n", g.z, effects[g.codes])
    return standardise(y, x, [g], None)


def point(seed: int) -> Evaluated:
    problem = design(seed)
    cross = cross_products(problem)
    layout = Layout.of(problem.given.groupings, cross)
    phi = np.random.default_rng(seed).normal(size=len(layout.zero()))
    return Evaluated(cross, layout, True, phi)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("curvature", ["hessian_sigma", "expected_sigma"])
def test_where_it_stands_it_has_the_criterions_slopes_and_curvature(seed, curvature):
    at = point(seed)
    near = SigmaModel.at(at, getattr(at, curvature))
    assert near.value == 0.0
    np.testing.assert_allclose(near.gradient, at.gradient, rtol=1e-12)
    if curvature == "hessian_sigma":
        np.testing.assert_allclose(near.hessian, at.hessian, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("seed", range(4))
def test_its_derivatives_are_those_of_its_value(seed):
    at = point(seed)
    start = SigmaModel.at(at, at.hessian_sigma)
    rng = np.random.default_rng(seed + 100)
    near = start.moved_to(at.phi + 0.3 * rng.normal(size=len(at.phi)))
    h = 1e-5
    for i, step in enumerate(h * np.eye(len(at.phi))):
        up, down = near.moved_to(near.phi + step), near.moved_to(near.phi - step)
        scale = 1.0 + np.abs(near.hessian).max()
        assert (up.value - down.value) / (2 * h) == pytest.approx(
            near.gradient[i], abs=1e-6 * scale
        )
        np.testing.assert_allclose(
            (up.gradient - down.gradient) / (2 * h), near.hessian[i], atol=1e-5 * scale
        )


@pytest.mark.parametrize("seed", range(3))
def test_the_expected_information_is_positive(seed):
    at = point(seed)
    values = np.linalg.eigvalsh(at.expected_sigma)
    assert values[0] > 0.0


def test_fits_take_fewer_evaluations_than_by_the_trust_region_alone():
    problems = [hard(seed) for seed in range(24)]
    with patch.object(kernels, "compiled", None):
        better = [optimise.optimise(p, True) for p in problems]
        with patch.object(optimise, "_in_sigma", lambda at: False):
            plain = [optimise.optimise(p, True) for p in problems]
    assert sum(o.verdict.evaluations for o in better) < sum(o.verdict.evaluations for o in plain)
    for a, b in zip(better, plain, strict=True):
        assert a.at.value == pytest.approx(b.at.value, abs=1e-7)


def test_compiled_fits_take_the_twins_steps():
    for problem in [*map(design, range(12)), *map(hard, range(12))]:
        found = optimise.optimise(problem, True)
        with patch.object(kernels, "compiled", None):
            expected = optimise.optimise(problem, True)
        assert abs(found.verdict.evaluations - expected.verdict.evaluations) <= 1
        assert found.at.value == pytest.approx(expected.at.value, abs=1e-8)


# -- the trust region's rules ----------------------------------------------------------------------


class Bowl:
    """(x - 1)^2 / 2, and a second derivative 1 % too large; gradients asked for are counted."""

    asked = 0

    def __init__(self, phi: np.ndarray) -> None:
        self.phi = phi
        self.value = 0.5 * float((phi[0] - 1.0) ** 2)
        self.tangent = np.eye(1)

    @property
    def gradient(self) -> np.ndarray:
        Bowl.asked += 1
        return self.phi - 1.0

    @property
    def hessian(self) -> np.ndarray:
        return np.array([[1.01]])


def test_the_last_step_asks_for_no_derivatives():
    Bowl.asked = 0
    found = trust_region.minimise(Bowl, Bowl(np.array([1.5])), tolerance=1e-10)
    assert found.converged
    assert found.point.phi[0] == pytest.approx(1.0, abs=1e-6)
    assert Bowl.asked == found.evaluations
    assert found.near is not found.point


class Rejecting(Bowl):
    """The same with a better curvature, whose third to sixth points are made to look worse."""

    made = 0

    def __init__(self, phi: np.ndarray) -> None:
        super().__init__(phi)
        Rejecting.made += 1
        self.value += float(3 <= Rejecting.made <= 6)

    @property
    def hessian(self) -> np.ndarray:
        return np.array([[1.001]])


def test_a_step_cut_short_by_rejections_is_not_the_last():
    Rejecting.made = 0
    found = trust_region.minimise(Rejecting, Rejecting(np.array([1.5])), tolerance=1e-10)
    assert found.converged
    assert found.point.phi[0] == pytest.approx(1.0, abs=1e-5)
