"""The iterative engine against dense matrices and against the exact engine.

With as many orthogonal probes as effects in the tail its estimates are not random, so value,
gradient and second-order blocks must be those of the definition.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_designs import crossed_problem, grouping, problems

from henderson.engine import iterative_products as products
from henderson.engine.criterion import factorise
from henderson.engine.crossproducts import CrossProducts, cross_products
from henderson.engine.derivatives import Direction, second_order
from henderson.engine.iterative import factorise_iterative
from henderson.engine.iterative_products import Effort, IterativeProducts, iterative_products
from henderson.engine.iterative_solver import conjugate_gradients
from henderson.engine.optimise import optimise_products
from henderson.engine.problem import Grouping, Standard, standardise
from henderson.engine.sparse_tables import beside, cell_table
from henderson.errors import FitError

COMPLETE = Effort(solve=1e-13, trace=1e-12, log=1e-12)
two_or_more = problems().filter(lambda p: len(p.given.groupings) > 1)
seeds = st.integers(0, 2**32 - 1)


def solved(problem: Standard, seed: int, deficient: bool, effort: Effort = COMPLETE):
    """The equations at a random Sigma, of one rank too few if `deficient`."""
    cross = iterative_products(problem, effort)
    rng = np.random.default_rng(seed)
    factors = [rng.normal(size=(k, k)) * rng.choice([0.05, 1.0, 4.0]) for _, k in cross.sizes]
    if deficient:
        for m in factors:
            m[:, 0] = 0.0
    return factorise_iterative(cross, factors), factors


def by_definition(problem: Standard, cross: IterativeProducts, factors, reml: bool):
    groupings = [problem.groupings[t] for t in cross.order]
    return oracle.solve(
        oracle.Problem(
            y=problem.y,
            X=problem.x,
            blocks=tuple(oracle.block(g.codes, g.z, g.n_levels) for g in groupings),
            reml=reml,
        ),
        [m @ m.T for m in factors],
    )


def dense_z(codes: np.ndarray, z: np.ndarray, levels: int) -> np.ndarray:
    """Z (n, J K)."""
    out = np.zeros((len(codes), levels, z.shape[1]))
    out[np.arange(len(codes)), codes] = z
    return out.reshape(len(codes), -1)


cases = given(two_or_more, seeds, st.booleans(), st.booleans())


@cases
@settings(max_examples=40, deadline=None)
def test_criterion_and_estimates_with_complete_probes(problem, seed, reml, deficient):
    f, factors = solved(problem, seed, deficient)
    dense = by_definition(problem, f.cross, factors, reml)
    assert f.value(reml) == pytest.approx(dense.criterion - problem.log_weights, rel=1e-8, abs=1e-6)
    assert f.value_error == 0.0
    np.testing.assert_allclose(f.beta, dense.beta, rtol=1e-5, atol=1e-7)
    assert f.s2(reml) == pytest.approx(dense.sigma2, rel=1e-7)


@cases
@settings(max_examples=40, deadline=None)
def test_gradient_with_complete_probes(problem, seed, reml, deficient):
    f, factors = solved(problem, seed, deficient)
    dense = by_definition(problem, f.cross, factors, reml)
    for ours, theirs in zip(f.gradient_blocks(reml), oracle.gradient(dense), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-4 * (1 + abs(theirs).max()))


@given(two_or_more, seeds, st.booleans())
@settings(max_examples=30, deadline=None)
def test_second_order_blocks_are_those_of_the_exact_engine(problem, seed, deficient):
    f, factors = solved(problem, seed, deficient)
    exact = factorise(cross_products(problem), factors)
    sizes = [k for _, k in f.cross.sizes]
    directions = [
        Direction(t, i, j) for t, k in enumerate(sizes) for i in range(k) for j in range(i + 1)
    ]
    ours, theirs = second_order(f, directions), second_order(exact, directions)
    for name in ("q", "quadratic", "x_singles", "x_pairs", "sigma_entries"):
        a, b = getattr(ours, name), getattr(theirs, name)
        scale = abs(b).max(initial=1.0)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6 * scale, err_msg=name)


@given(two_or_more, st.booleans())
@settings(max_examples=30, deadline=None)
def test_traces_at_zero_are_exact_whatever_the_probes(problem, reml):
    cross = iterative_products(problem, Effort(probes=2, numbers=0))
    zero = [np.zeros((k, k)) for _, k in cross.sizes]
    directions = [Direction(t, 0, 0) for t in range(len(zero))]
    ours = second_order(factorise_iterative(cross, zero), directions)
    theirs = second_order(factorise(cross_products(problem), zero), directions)
    np.testing.assert_allclose(ours.traces(reml), theirs.traces(reml), rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(ours.p_traces, theirs.p_traces, rtol=1e-5)


@given(two_or_more, seeds)
@settings(max_examples=30, deadline=None)
def test_the_solver_solves(problem, seed):
    """S x = b for the S of the definition, I + Lambda'Z_tail'V1^-1Z_tail Lambda."""
    f, factors = solved(problem, seed, deficient=False)
    groupings = [problem.groupings[t] for t in f.cross.order]
    z = [dense_z(g.codes, g.z, g.n_levels) for g in groupings]
    head, *tail = (
        part @ np.kron(np.eye(g.n_levels), m)
        for part, g, m in zip(z, groupings, factors, strict=True)
    )
    v1, across = np.eye(len(problem.y)) + head @ head.T, np.hstack(tail)
    s = np.eye(across.shape[1]) + across.T @ np.linalg.solve(v1, across)
    right = np.random.default_rng(seed).normal(size=(len(s), 3))
    np.testing.assert_allclose(f.system.times(right), s @ right, rtol=1e-6, atol=1e-6)
    x = conjugate_gradients(f.system, right, 1e-12).x
    np.testing.assert_allclose(x, np.linalg.solve(s, right), atol=1e-7)


# ---- random probes


RANDOM = Effort(numbers=0)


def test_the_estimate_is_within_its_error_of_the_exact_criterion():
    problem = crossed_problem()
    exact = optimise_products(problem, cross_products(problem), reml=True)
    cross = iterative_products(problem)
    for seed in range(5):
        other = replace(cross, effort=Effort(seed=1000 * seed, numbers=0, error=np.inf))
        found = factorise_iterative(other, exact.layout.factors(exact.at.phi))
        away = abs(found.value(True) - exact.factorisation.value(True))
        assert 0.0 < found.value_error < 0.5
        assert away < 4.0 * found.value_error


def test_parameters_are_within_a_hundredth_of_a_standard_error_of_the_exact_ones():
    problem = crossed_problem()
    exact = optimise_products(problem, cross_products(problem), reml=True)
    error = np.sqrt(np.diag(2.0 * np.linalg.inv(exact.at.hessian_sigma)))
    ours = optimise_products(problem, iterative_products(problem, RANDOM), reml=True)
    rows, cols = np.array([(d.i, d.j) for d in exact.layout.sigma_directions]).T
    for t, (a, b) in enumerate(
        zip(ours.factorisation.sigmas, exact.factorisation.sigmas, strict=True)
    ):
        own = [d.factor == t for d in exact.layout.sigma_directions]
        away = (a - b)[rows[own], cols[own]]
        assert np.abs(away / error[own]).max() < 0.01
    assert ours.verdict.converged
    np.testing.assert_allclose(ours.cov_beta, exact.cov_beta, rtol=1e-3)
    for t in range(2):
        np.testing.assert_allclose(ours.modes(t), exact.modes(t), atol=2e-3)


def test_a_fit_is_the_same_to_the_last_bit_every_time():
    twice = [crossed_problem() for _ in range(2)]
    fits = [optimise_products(p, iterative_products(p, RANDOM), reml=True) for p in twice]
    assert np.array_equal(fits[0].at.phi, fits[1].at.phi)
    assert fits[0].criterion == fits[1].criterion


@given(st.sampled_from([0.0, 1e-3, 1e3]), st.booleans())
@settings(max_examples=6, deadline=None)
def test_shifting_and_scaling_the_response_changes_no_relative_covariance(shift, reml):
    plain = crossed_problem()
    g = plain.given
    moved = standardise(1e3 * (g.y + shift), g.x, g.groupings, None)
    a, b = (optimise_products(p, iterative_products(p, RANDOM), reml) for p in (plain, moved))
    for one, other in zip(a.sigmas, b.sigmas, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9)


def test_a_variance_of_zero_is_found_and_certified():
    """At the optimum D >= 0 and D Sigma = 0 for the factor without effects."""
    for seed in range(20):
        problem = crossed_problem(seed, effects=0.0)
        exact = optimise_products(problem, cross_products(problem), reml=True)
        if exact.factorisation.sigmas[1][0, 0] == 0.0:
            break
    else:
        pytest.fail("no seed gives a variance of zero")
    ours = optimise_products(problem, iterative_products(problem, RANDOM), reml=True)
    assert ours.factorisation.sigmas[1][0, 0] == 0.0
    assert ours.is_singular
    assert ours.verdict.converged
    assert ours.at.d[1][0, 0] > 0.0
    np.testing.assert_allclose(ours.sigmas[0], exact.sigmas[0], rtol=1e-2)


def singular_problem(seed: int) -> Standard:
    """60 x 40 levels with slopes whose covariances have rank one on both sides."""
    rng = np.random.default_rng(seed)
    n = 3_000
    first, second = (grouping(rng, n, levels, (("us", 2),)) for levels in (60, 40))
    y = rng.normal(size=n)
    for g, root in ((first, [0.5, 0.3]), (second, [0.4, -0.3])):
        effects = rng.normal(size=(g.n_levels, 1)) * root
        y += np.einsum("nk,nk->n", g.z, effects[g.codes])
    return standardise(y, np.ones((n, 1)), [first, second], None)


@pytest.mark.parametrize("seed", range(4))
def test_a_singular_optimum_of_random_probes_is_one_of_the_exact_criterion(seed):
    problem = singular_problem(seed)
    cross = cross_products(problem)
    exact = optimise_products(problem, cross, reml=True)
    ours = optimise_products(problem, iterative_products(problem, RANDOM), reml=True)
    assert ours.verdict.converged
    assert ours.ranks == exact.ranks
    there = factorise(cross, ours.layout.factors(ours.at.phi)).value(True)
    assert there - exact.factorisation.value(True) < 1e-3


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_estimates_depend_on_sigma_not_on_its_root(seed):
    """M and M Q, Q orthogonal, are one Sigma: else the descent would meet a jump."""
    cross = iterative_products(singular_problem(1), RANDOM)
    rng = np.random.default_rng(seed)
    factors = [rng.normal(size=(2, 2)) for _ in range(2)]
    turned = [m @ np.linalg.qr(rng.normal(size=(2, 2))).Q for m in factors]
    for a, b in zip(
        factorise_iterative(cross, factors).g_sums,
        factorise_iterative(cross, turned).g_sums,
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-7)


def test_probes_of_different_effects_are_orthogonal_over_a_set():
    z = products.rademacher([(7, 2), (5, 1)], 8, seed=1)
    assert z.shape == (19, 8)
    assert set(np.unique(z)) == {-1.0, 1.0}
    effect = np.append(np.tile([0, 1], 7), np.full(5, 2))
    different = effect[:, None] != effect
    for first in (0, 4):
        own = z[:, first : first + 4]
        np.testing.assert_array_equal((own @ own.T)[different], 0.0)


# ---- which engine


def engine_of(problem: Standard, monkeypatch: pytest.MonkeyPatch, limit: int) -> type:
    monkeypatch.setattr(products, "LARGEST_COMPONENT", limit)
    return type(products.choose_products(problem, "auto"))


def test_a_tail_that_meets_in_one_large_component_is_iterated_on(monkeypatch):
    problem = crossed_problem()
    assert engine_of(problem, monkeypatch, 40) is CrossProducts
    assert engine_of(problem, monkeypatch, 39) is IterativeProducts


def test_a_nested_tail_is_factored_whatever_its_size(monkeypatch):
    """Pupils in classes in schools: the largest component is a school and its classes."""
    rng = np.random.default_rng(4)
    pupil = np.repeat(np.arange(400), 3)
    school, level = pupil // 40, pupil // 4
    z = np.ones((len(pupil), 1))
    term = grouping(rng, 5, 2, (("us", 1),)).terms
    factors = [Grouping(codes, int(codes.max()) + 1, z, term) for codes in (pupil, level, school)]
    problem = standardise(rng.normal(size=len(pupil)), z, factors, None)
    assert products.largest_component(iterative_products(problem)) == 11
    assert engine_of(problem, monkeypatch, 11) is CrossProducts
    assert engine_of(problem, monkeypatch, 10) is IterativeProducts


def test_an_exact_factor_beyond_the_memory_is_refused(monkeypatch):
    monkeypatch.setattr(products, "LARGEST_COMPONENT", 10)
    monkeypatch.setattr(products, "_memory", lambda: 7e-5)  # 40 effects need 77 kB
    with pytest.raises(FitError, match=r"40 random effects that meet.*leave out engine='exact'"):
        products.choose_products(crossed_problem(), "exact")
    monkeypatch.setattr(products, "_memory", lambda: 8e-5)
    assert type(products.choose_products(crossed_problem(), "exact")) is CrossProducts


def test_a_solver_that_does_not_converge_says_so():
    problem = crossed_problem()
    cross = iterative_products(problem, Effort(limit=1))
    with pytest.raises(FitError, match=r"did not converge in 1 steps.*engine='exact'"):
        factorise_iterative(cross, [np.eye(k) for _, k in cross.sizes])


def test_a_response_explained_exactly_is_refused():
    problem = crossed_problem()
    cross = iterative_products(problem)
    nothing = replace(
        cross,
        xy=np.zeros_like(cross.xy) + np.diag([3000.0] * cross.p + [0.0]),
        with_xy=tuple(np.where(np.arange(cross.p + 1) < cross.p, b, 0.0) for b in cross.with_xy),
    )
    with pytest.raises(FitError, match="explains the response exactly"):
        factorise_iterative(nothing, [np.eye(k) for _, k in cross.sizes])


def test_collinear_fixed_effects_are_refused():
    cross = iterative_products(crossed_problem())
    broken = replace(cross, xy=-cross.xy)
    with pytest.raises(FitError, match="not estimable"):
        factorise_iterative(broken, [np.zeros((k, k)) for _, k in cross.sizes])


# ---- tables


@given(seeds, st.integers(1, 19), st.integers(1, 3), st.integers(1, 2))
@settings(max_examples=30, deadline=None)
def test_cells_and_products_are_those_of_dense_matrices(seed, columns, k1, k2):
    rng = np.random.default_rng(seed)
    n, j1, j2 = 50, 9, 6
    first, second = rng.integers(0, j1 - 1, n), rng.integers(0, j2, n)
    left, right = rng.normal(size=(n, k1)), rng.normal(size=(n, k2))
    cells = cell_table(first, j1, second, j2, left, right)
    z1, z2 = (
        dense_z(codes, z, levels) for codes, z, levels in ((first, left, j1), (second, right, j2))
    )
    dense = z1.T @ z2
    x = rng.normal(size=(j2 * k2, columns))
    np.testing.assert_allclose(cells.table.times(x), dense @ x, atol=1e-12)
    back = rng.normal(size=(j1 * k1, columns))
    np.testing.assert_allclose(cells.table.transposed().times(back), dense.T @ back, atol=1e-12)
    both = beside([cells.table, cells.table])
    np.testing.assert_allclose(both.times(np.vstack([x, x])), 2.0 * dense @ x, atol=1e-12)


@given(seeds, st.integers(1, 3), st.integers(1, 2))
@settings(max_examples=30, deadline=None)
def test_sums_over_the_cells_of_a_level(seed, k1, k2):
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 5, 40), rng.integers(0, 4, 40)
    left, right = rng.normal(size=(40, k1)), rng.normal(size=(40, k2))
    cells = cell_table(first, 5, second, 4, left, right)
    dense = cells.table.csr.toarray().reshape(5, k1, 4, k2)
    w, t = rng.normal(size=(5, k1, k1)), rng.normal(size=(4, k2, k2))
    w, t = w + w.swapaxes(1, 2), t + t.swapaxes(1, 2)
    np.testing.assert_allclose(
        cells.second_sums(w), np.einsum("iajk,iab,ibjl->jkl", dense, w, dense), atol=1e-10
    )
    np.testing.assert_allclose(
        cells.first_sums(t), np.einsum("iajk,jkl,ibjl->iab", dense, t, dense), atol=1e-10
    )


def test_complete_probes_need_as_many_as_effects():
    assert Effort(probes=64, numbers=0).is_complete(64)
    assert not Effort(probes=64, numbers=0).is_complete(65)
    assert Effort().is_complete(256)
    assert not Effort().is_complete(257)
    assert Effort().count(1_000) == 128
    assert Effort().count(100_000) == 16
    cross = iterative_products(crossed_problem())
    np.testing.assert_array_equal(cross.probes @ cross.probes.T, 64.0 * np.eye(40))
