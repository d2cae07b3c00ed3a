"""The compiled kernels give the numbers of their NumPy twins, whatever the design."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from henderson.covariance import make_structure
from henderson.engine import kernels, many, one_factor
from henderson.engine.crossproducts import CrossProducts, cross_products
from henderson.engine.optimise import RULES, Evaluated, optimise
from henderson.engine.parameters import Layout
from henderson.engine.problem import Grouping, Standard, Term, standardise
from henderson.engine.satterthwaite import satterthwaite
from henderson.errors import FitError

WIDTHS = [
    (("us", 1),),
    (("us", 2),),
    (("diag", 2),),
    (("us", 3),),
    (("us", 1), ("us", 1)),
    (("us", 2), ("diag", 2)),
    (("us", 4),),
    (("us", 5),),
]


@contextmanager
def twin() -> Iterator[None]:
    """NumPy instead of the compiled kernels."""
    with patch.object(kernels, "compiled", None):
        yield


def grouping(codes: np.ndarray, z: np.ndarray, widths: tuple[tuple[str, int], ...]) -> Grouping:
    ends = np.cumsum([0, *(k for _, k in widths)])
    terms = tuple(
        Term(slice(int(a), int(b)), make_structure(name, k))
        for (name, k), a, b in zip(widths, ends[:-1], ends[1:], strict=True)
    )
    return Grouping(codes, int(codes.max()) + 1, z, terms)


@st.composite
def designs(draw) -> tuple[np.ndarray, np.ndarray, Grouping, np.ndarray | None]:
    """y, x, one factor, weights: levels of one row, columns constant within levels, any K."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    widths = draw(st.sampled_from(WIDTHS))
    size = sum(k for _, k in widths)
    levels, singles = draw(st.integers(5, 30)), draw(st.integers(0, 4))
    n = draw(st.integers(4 * levels, 160))
    shared = rng.integers(0, levels, n - levels)
    codes = np.concatenate([np.arange(levels), shared, levels + np.arange(singles)])
    rng.shuffle(codes)
    z = np.column_stack([np.ones(len(codes)), rng.normal(size=(len(codes), size))])[:, :size]
    if size > 2 and draw(st.booleans()):  # a column that does not vary within levels
        z[:, 2] = rng.normal(size=levels + singles)[codes]
    p = draw(st.integers(0, 3))
    x = np.column_stack([np.ones(len(codes)), rng.normal(size=(len(codes), 2))])[:, :p]
    effects = rng.normal(size=(levels + singles, size)) * rng.choice([0.0, 0.5, 2.0], size)
    y = rng.normal(size=len(codes)) + np.einsum("nk,nk->n", z, effects[codes])
    weights = rng.gamma(3.0, size=len(codes)) if draw(st.booleans()) else None
    return y, np.asfortranarray(x), grouping(codes, z, widths), weights


def bounded(x: np.ndarray, g: Grouping) -> bool:
    """Fewer effects than rows: otherwise sigma^2 may have no lower bound."""
    return g.n_levels * g.size + x.shape[1] < len(x)


def products(problem: Standard) -> tuple[CrossProducts, Layout]:
    cross = cross_products(problem)
    return cross, Layout.of(problem.groupings, cross)


# -- rows -> levels ----------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.sampled_from([np.int32, np.int64]), st.sampled_from("CF"))
def test_level_products_are_the_twins_for_any_layout_in_memory(seed, integer, order):
    rng = np.random.default_rng(seed)
    n, levels = int(rng.integers(1, 700)), int(rng.integers(1, 40))
    codes = rng.integers(0, levels, n).astype(integer)
    z = np.array(rng.normal(size=(n, int(rng.integers(1, 6)))), order=order)
    xy = np.array(rng.normal(size=(n, 2 * int(rng.integers(1, 4)))), order=order)[:, ::2]
    found = kernels.level_products(codes, levels, z, xy)
    with twin():
        expected = kernels.level_products(codes, levels, z, xy)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_sums_over_rows_do_not_change_from_run_to_run():
    rng = np.random.default_rng(3)
    codes, z, xy = rng.integers(0, 99, 5000), rng.normal(size=(5000, 2)), rng.normal(size=(5000, 3))
    first, again = (kernels.level_products(codes, 99, z, xy) for _ in range(2))
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])


@pytest.mark.parametrize("bad", [-1, 4])
def test_a_code_without_a_level_is_refused_by_both(bad):
    codes, z = np.array([0, 1, bad, 2]), np.ones((4, 1))
    with pytest.raises(IndexError, match="grouping code"):
        kernels.level_products(codes, 4, z, z)
    with pytest.raises(IndexError, match="grouping code"):
        kernels.reduce(z[:, 0], z, z, codes, 4, None, [(0, 1, "full")])
    with twin(), pytest.raises(IndexError, match="grouping code"):
        kernels.level_products(codes, 4, z, z)


def reduced(y, x, g: Grouping, weights) -> kernels.Reduced | None:
    terms = [(t.columns.start, t.columns.stop, t.structure.rotation) for t in g.terms]
    return kernels.reduce(y, x, g.z, g.codes, g.n_levels, weights, terms)


@given(designs())
def test_reduced_levels_are_those_of_the_rows_in_standard_coordinates(design):
    y, x, g, weights = design
    found = reduced(y, x, g, weights)
    assert found is not None
    root = np.ones(len(y)) if weights is None else np.sqrt(weights)
    q = (root[:, None] * x) @ np.linalg.inv(found.r_x)
    r = root * (y - x @ found.beta0) / found.y_scale
    z = (root[:, None] * g.z) @ np.linalg.inv(found.r_z)
    n, qr = len(y), np.column_stack([q, r])
    np.testing.assert_allclose(qr.T @ qr, n * np.eye(qr.shape[1]), atol=1e-10 * n)
    with twin():
        a, b = kernels.level_products(g.codes, g.n_levels, z, qr)
    np.testing.assert_allclose(found.root @ found.root.swapaxes(1, 2), a, atol=1e-10)
    np.testing.assert_allclose(found.root @ found.dense, b, atol=1e-9)
    flat = found.dense.reshape(-1, qr.shape[1])
    np.testing.assert_allclose(found.within + flat.T @ flat, qr.T @ qr, atol=1e-10 * n)
    for t in g.terms:
        whole = a.sum(0)[t.columns, t.columns]
        wanted = whole if t.structure.rotation == "full" else np.diag(np.diag(whole))
        np.testing.assert_allclose(wanted, g.n_levels * np.eye(len(whole)), atol=1e-9)


def test_reduce_leaves_nearly_collinear_columns_and_explained_responses_to_qr():
    rng = np.random.default_rng(0)
    x = np.column_stack([np.ones(60), rng.normal(size=60)])
    g = grouping(np.arange(60) % 6, np.ones((60, 1)), (("us", 1),))
    y = rng.normal(size=60)
    assert reduced(y, x, g, None) is not None
    assert reduced(y, np.column_stack([x, x[:, 1] + 1e-7 * rng.normal(size=60)]), g, None) is None
    assert reduced(x @ [1.0, 2.0], x, g, None) is None


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_an_offset_of_response_and_predictor_costs_few_digits(offset):
    rng = np.random.default_rng(5)
    codes, t = np.repeat(np.arange(30), 8), np.tile(np.arange(8.0), 30)
    y = 2.0 * t + rng.normal(size=30)[codes] + rng.normal(size=240)
    x = np.column_stack([np.ones(240), t + offset / 1e4])
    g = grouping(codes, np.ones((240, 1)), (("us", 1),))
    plain = optimise(standardise(y, np.column_stack([np.ones(240), t]), [g], None), True)
    moved = optimise(standardise(y + offset, x, [g], None), True)
    assert moved.criterion == pytest.approx(plain.criterion, abs=1e-6)
    np.testing.assert_allclose(moved.sigmas[0], plain.sigmas[0], rtol=1e-7)


# -- the criterion -----------------------------------------------------------------------------


@given(designs(), st.booleans(), st.integers(0, 2**32 - 1))
def test_value_and_derivatives_are_the_twins(design, reml, seed):
    y, x, g, weights = design
    cross, layout = products(standardise(y, x, [g], weights))
    phi = np.random.default_rng(seed).normal(size=len(layout.zero()))
    found = one_factor.evaluate(cross, layout, reml, phi)
    with twin():
        at = Evaluated(cross, layout, reml, phi)
        assert found.value == pytest.approx(at.value, rel=1e-11)
        assert found.rss == pytest.approx(at.factorisation.rss, rel=1e-10)
        np.testing.assert_allclose(found.beta, at.factorisation.beta, atol=1e-9)
        scale = np.abs(at.d[0]).max() + 1.0
        np.testing.assert_allclose(found.d, at.d[0], atol=1e-9 * scale)
        scale = np.abs(at.hessian_sigma).max() + 1.0
        np.testing.assert_allclose(found.hessian, at.hessian_sigma, atol=1e-9 * scale)


@given(designs(), st.booleans())
def test_derivatives_at_zero_exist_and_are_the_twins(design, reml):
    y, x, g, weights = design
    cross, layout = products(standardise(y, x, [g], weights))
    found = one_factor.evaluate(cross, layout, reml, layout.zero())
    with twin():
        at = Evaluated(cross, layout, reml, layout.zero())
        np.testing.assert_allclose(found.d, at.d[0], atol=1e-9 * (np.abs(at.d[0]).max() + 1.0))


@given(designs(), st.integers(0, 2**32 - 1))
def test_level_factors_are_the_twins(design, seed):
    y, x, g, weights = design
    cross, layout = products(standardise(y, x, [g], weights))
    phi = np.random.default_rng(seed).normal(size=len(layout.zero()))
    factor = layout.factors(phi)[0]
    found = kernels.factor_levels(cross.root, cross.dense, cross.within_xy, factor)
    assert found is not None
    with twin():
        f = Evaluated(cross, layout, True, phi).factorisation
    scale = np.abs(f.gd).max() + np.abs(f.f).max()
    np.testing.assert_allclose(found.gd, f.gd, atol=1e-10 * scale)
    np.testing.assert_allclose(found.f, f.f, atol=1e-10 * scale)
    np.testing.assert_allclose(found.n_xy, f.n_xy, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.r_inverse @ found.r_inverse.T, f.c, rtol=1e-8, atol=1e-12)
    assert found.log_v == pytest.approx(f.log_v, rel=1e-10, abs=1e-10)
    assert found.log_xvx == pytest.approx(f.log_xvx, rel=1e-10, abs=1e-10)


# -- the fit -----------------------------------------------------------------------------------


@settings(max_examples=60)
@given(designs(), st.booleans())
def test_a_fit_ends_where_the_twins_ends(design, reml):
    y, x, g, weights = design
    assume(bounded(x, g))
    with twin():
        expected = optimise(standardise(y, x, [g], weights), reml)
    cross, layout = expected.cross, expected.layout
    found = one_factor.fit(cross, layout, reml, None, RULES)
    assert found.converged == expected.verdict.converged
    assert found.value == pytest.approx(expected.at.value, abs=1e-7)
    if expected.verdict.curvature > 1e-4:
        m, n = layout.factors(found.phi)[0], layout.factors(expected.at.phi)[0]
        np.testing.assert_allclose(m @ m.T, n @ n.T, rtol=1e-4, atol=1e-5)


@settings(max_examples=40)
@given(designs(), st.booleans())
def test_results_are_the_same_with_and_without_compiled_kernels(design, reml):
    y, x, g, weights = design
    assume(bounded(x, g))
    found = optimise(standardise(y, x, [g], weights), reml)
    with twin():
        expected = optimise(standardise(y, x, [g], weights), reml)
        assert found.criterion == pytest.approx(expected.criterion, abs=1e-6)
        if expected.verdict.curvature > 1e-4:
            scale = np.sqrt(np.diag(expected.cov_beta))
            np.testing.assert_allclose(
                found.beta, expected.beta, atol=1e-4 * scale.max(initial=0.0)
            )
            np.testing.assert_allclose(found.cov_beta, expected.cov_beta, rtol=1e-3, atol=1e-6)
            np.testing.assert_allclose(found.modes(0), expected.modes(0), atol=1e-3)


def test_rows_in_standard_coordinates_are_made_when_asked_for(sleep):
    y, x, g = sleep
    problem = standardise(y, x, [g], None)
    np.testing.assert_allclose(problem.x.T @ problem.x, 180.0 * np.eye(2), atol=1e-9)
    np.testing.assert_allclose(problem.x.T @ problem.y, 0.0, atol=1e-9)
    assert problem.y @ problem.y == pytest.approx(180.0)
    (standard,) = problem.groupings
    np.testing.assert_allclose(standard.z.T @ standard.z, 18.0 * np.eye(2), atol=1e-9)
    np.testing.assert_allclose(problem.beta0, np.linalg.lstsq(x, y, rcond=None)[0], rtol=1e-10)


def test_a_fit_takes_the_twins_steps(sleep):
    y, x, g = sleep
    with twin():
        expected = optimise(standardise(y, x, [g], None), True)
    found = one_factor.fit(expected.cross, expected.layout, True, None, RULES)
    assert found.evaluations == expected.verdict.evaluations
    again = one_factor.fit(expected.cross, expected.layout, True, found.phi, RULES)
    assert again.evaluations < found.evaluations
    assert again.value == pytest.approx(found.value, abs=1e-9)


def test_two_minima_are_told_apart():
    """Six groups whose REML criterion has a minimum at zero (lower) and one inside."""
    sizes = [1, 9, 10, 8, 1, 6]
    means = np.array([4.332, -0.228, -0.536, -0.182, -0.814, -0.195])
    codes = np.repeat(np.arange(6), sizes)
    noise = np.random.default_rng(0).normal(size=35)
    noise -= (np.bincount(codes, noise) / sizes)[codes]
    y = means[codes] + noise * np.sqrt(34.947 / (noise @ noise))
    one = np.ones((35, 1))
    cross, layout = products(standardise(y, one, [grouping(codes, one, (("us", 1),))], None))
    found = one_factor.fit(cross, layout, True, None, RULES)
    assert found.phi == pytest.approx([0.0], abs=1e-12)


def test_what_cannot_be_fitted_says_why():
    codes = np.repeat(np.arange(5), 4)
    z = np.ones((20, 1))
    y = np.random.default_rng(0).normal(size=20)
    cross, layout = products(standardise(y, z, [grouping(codes, z, (("us", 1),))], None))
    flat = np.zeros_like(cross.dense)
    empty = CrossProducts(**{**vars(cross), "dense": flat, "within_xy": np.zeros((2, 2))})
    with pytest.raises(FitError, match="not estimable"):
        one_factor.fit(empty, layout, True, None, RULES)
    explained = CrossProducts(**{**vars(empty), "within_xy": np.diag([20.0, 0.0])})
    with pytest.raises(FitError, match="explains the response exactly"):
        one_factor.fit(explained, layout, True, None, RULES)


@pytest.mark.parametrize("name", ["base", "avx2", "avx512"])
def test_every_instruction_set_gives_the_same_criterion(name, sleep):
    y, x, g = sleep
    expected = optimise(standardise(y, x, [g], None), True).criterion
    run = subprocess.run(
        [sys.executable, "-c", ONE_FIT],
        input=" ".join(map(repr, y.tolist())),
        env={**os.environ, "HENDERSON_ISA": name, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(run.stdout) == pytest.approx(expected, abs=1e-9)


ONE_FIT = """
import sys
import numpy as np
from henderson.covariance import make_structure
from henderson.engine.optimise import optimise
from henderson.engine.problem import Grouping, Term, standardise
y = np.array(sys.stdin.read().split(), dtype=float)
x = np.column_stack([np.ones(180), np.tile(np.arange(10.0), 18)])
g = Grouping(np.repeat(np.arange(18), 10), 18, x, (Term(slice(0, 2), make_structure("us", 2)),))
print(repr(float(optimise(standardise(y, x, [g], None), True).criterion)))
"""


@pytest.fixture(scope="module")
def sleep() -> tuple[np.ndarray, np.ndarray, Grouping]:
    """Eighteen people over ten days: y, x, and intercept and slope by person."""
    rng = np.random.default_rng(8)
    days, codes = np.tile(np.arange(10.0), 18), np.repeat(np.arange(18), 10)
    x = np.column_stack([np.ones(180), days])
    people = rng.normal(size=(18, 2)) * [25.0, 6.0]
    y = x @ [250.0, 10.0] + np.einsum("nk,nk->n", x, people[codes]) + 25.0 * rng.normal(size=180)
    return y, x, grouping(codes, x.copy(), (("us", 2),))


# -- many responses ----------------------------------------------------------------------------


@settings(max_examples=30)
@given(designs(), st.booleans(), st.integers(0, 2**32 - 1))
def test_many_fits_are_the_fits_one_by_one(design, reml, seed):
    y, x, g, weights = design
    assume(bounded(x, g))
    columns = np.column_stack([y, np.random.default_rng(seed).normal(size=(len(y), 2))])
    found = many.fit_many(columns, x, [g], weights, reml)
    assert not found.failures
    for i in range(3):
        one = optimise(standardise(columns[:, i], x, [g], weights), reml)
        assert found.criterion[i] == pytest.approx(one.criterion, abs=1e-6)
        assert found.converged[i] == one.verdict.converged
        if one.verdict.curvature > 1e-4:
            np.testing.assert_allclose(found.beta[i], one.beta, atol=1e-4)
            np.testing.assert_allclose(found.sigma2[i], one.sigma2, rtol=1e-4)


def test_many_fits_do_not_depend_on_threads_or_memory_order(sleep):
    y, x, g = sleep
    columns = y[:, None] + np.random.default_rng(1).normal(size=(180, 70)) * 20.0
    runs = [
        many.fit_many(columns, x, [g], None, True, contrasts=np.eye(2)),
        many.fit_many(columns, x, [g], None, True, contrasts=np.eye(2), threads=3),
        many.fit_many(np.asfortranarray(columns), x, [g], None, True, contrasts=np.eye(2)),
    ]
    for name in ("beta", "se", "sigma2", "criterion", "df", "evaluations"):
        first, *others = (getattr(r, name) for r in runs)
        assert all(np.array_equal(first, o) for o in others)


def test_many_fits_have_the_loops_standard_errors_and_df(sleep):
    y, x, g = sleep
    rng = np.random.default_rng(2)
    columns = np.column_stack([y, rng.normal(size=180), y + 9.0 * rng.normal(size=180)])
    rows = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 5.0]])
    weights = rng.gamma(3.0, size=180)
    found = many.fit_many(columns, x, [g], weights, True, contrasts=rows)
    for i in range(3):
        one = optimise(standardise(columns[:, i], x, [g], weights), True)
        np.testing.assert_allclose(found.se[i], np.sqrt(np.diag(one.cov_beta)), rtol=1e-6)
        np.testing.assert_allclose(found.sigmas[0][i], one.sigmas[0], rtol=1e-5, atol=1e-7)
        blocks = satterthwaite(one)
        np.testing.assert_allclose(found.df[i], [blocks.df(r) for r in rows], rtol=1e-4)


def test_a_response_without_noise_or_with_gaps_fails_alone(sleep):
    y, x, g = sleep
    gap = np.where(np.arange(180) == 7, np.nan, y)
    columns = np.column_stack([y, x @ [1.0, 2.0], y, gap])
    found = many.fit_many(columns, x, [g], None, True)
    assert list(found.failures) == [1, 3]
    assert "explain" in found.failures[1]
    assert "missing" in found.failures[3]
    assert np.isnan(found.beta[[1, 3]]).all()
    assert np.isnan(found.criterion[[1, 3]]).all()
    assert np.array_equal(found.beta[0], found.beta[2])
    with twin():
        looped = many.fit_many(columns, x, [g], None, True)
    assert list(looped.failures) == [1, 3]
    np.testing.assert_allclose(found.beta[0], looped.beta[0], rtol=1e-9)


def test_a_predictor_may_be_any_simulated_column(sleep):
    y, _, g = sleep
    for seed in range(20):
        x = np.column_stack([np.ones(180), np.random.default_rng(seed).normal(size=180)])
        assert not many.fit_many(y[:, None], x, [g], None, True).failures


def test_a_model_beyond_the_kernels_is_fitted_by_the_loop(sleep):
    y, x, g = sleep
    other = grouping(np.tile(np.arange(10), 18), np.ones((180, 1)), (("us", 1),))
    found = many.fit_many(y[:, None], x, [g, other], None, True)
    one = optimise(standardise(y, x, [g, other], None), True)
    assert found.criterion[0] == one.criterion
    assert [s.shape for s in found.sigmas] == [(1, 2, 2), (1, 1, 1)]
