"""R = S C S on rows: derivatives, independence between groups, and the variance functions."""

from __future__ import annotations

import numpy as np
import pytest
from covariance.differences import assert_derivative, differences
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from henderson.covariance.correlations import Places, make_correlation
from henderson.covariance.residual.base import ResidualModel
from henderson.covariance.residual.variances import (
    ConstantPower,
    Exponential,
    Fixed,
    Ident,
    Power,
    make_variance,
)
from henderson.errors import FitError
from henderson.formula.residual_terms import CORRELATIONS, VARIANCES, WITH_NUGGET

CODES = np.repeat([0, 1, 2], 4)
N = len(CODES)
rng = np.random.default_rng(3)
X = rng.uniform(0.5, 3.0, (N, 1))
FACTOR = rng.integers(0, 3, (N, 1)).astype(float)
EVERY = (Ident(("a", "b", "c")), Power(), Exponential(2.0), ConstantPower(), Fixed())
VALUES = (FACTOR, X, X[::-1], X, X)


def model(name: str, variances: int = 0, nugget: bool = False) -> ResidualModel:
    at = np.tile(np.arange(4.0), 3)[:, None]
    if CORRELATIONS[name] in ("number", "coordinates"):
        at = np.random.default_rng(5).normal(size=(N, 1))
    correlation = make_correlation(name, Places(4, 4, 1.0), nugget=nugget)
    return ResidualModel(CODES, correlation, at, EVERY[:variances], VALUES[:variances])


@pytest.mark.parametrize("rows", [np.arange(N)[None], np.arange(N).reshape(3, 4)])
@pytest.mark.parametrize("name", CORRELATIONS)
@settings(max_examples=10)
@given(seed=st.integers(0, 1000))
def test_derivatives_of_products_are_exact(name: str, rows: np.ndarray, seed: int) -> None:
    bound = model(name, 5, name in WITH_NUGGET).bind(rows)
    draw = np.random.default_rng(seed)
    phi = bound.model.start() + 0.2 * draw.normal(size=bound.model.n_parameters)
    weight = draw.normal(size=(*rows.shape, rows.shape[1]))
    if name in ("lin", "spher"):
        phi[0] = 3.0  # Away from the range at which a distance leaves it, where they have a kink.
    assert_derivative(bound.jacobian(phi), differences(bound.value, phi))
    exact = bound.curvature(phi, weight)
    by_differences = differences(lambda p: np.einsum("acij,cij->a", bound.jacobian(p), weight), phi)
    assert_derivative(exact, by_differences)
    m = range(len(phi))
    one_by_one = [[np.sum(weight * bound.second(phi, a, b)) for b in m] for a in m]
    assert_allclose(exact, one_by_one, atol=1e-8)


@pytest.mark.parametrize("name", CORRELATIONS)
def test_groups_are_independent_and_rows_within_them_are_not(name: str) -> None:
    made = model(name)
    phi = made.start() + (3.0 if name in ("lin", "spher") else 0.3)
    r = made.bind(np.arange(N)[None]).value(phi)[0]
    same = CODES[:, None] == CODES
    assert not r[~same].any()
    assert (r[same] != 0.0).all()
    assert_allclose(np.diag(r), 1.0)
    assert np.linalg.eigvalsh(r)[0] > 0.0


@pytest.mark.parametrize("name", CORRELATIONS)
def test_rows_taken_together_or_group_by_group_have_the_same_covariance(name: str) -> None:
    """Few distinct positions are evaluated once a pair of them, many once a pair of rows."""
    made = model(name, 5)
    phi = made.start() + 0.1
    whole = made.bind(np.arange(N)[None]).value(phi)[0]
    for rows, block in zip(
        np.arange(N).reshape(3, 4), made.bind(np.arange(N).reshape(3, 4)).value(phi), strict=True
    ):
        assert_allclose(whole[np.ix_(rows, rows)], block)


def test_without_a_correlation_the_covariance_is_diagonal() -> None:
    made = ResidualModel(np.arange(N), variances=(Power(),), covariates=(X,))
    r = made.bind(np.arange(N)[None]).value(np.array([0.7]))[0]
    assert_allclose(r, np.diag(X[:, 0] ** 1.4))


def test_variance_functions_are_those_of_nlme() -> None:
    x = np.array([[0.5], [2.0]])
    expected = {
        "power": (np.array([1.5]), np.abs(x[:, 0]) ** 1.5),
        "constpower": (np.array([np.log(3.0), 1.5]), 3.0 + np.abs(x[:, 0]) ** 1.5),
        "fixed": (np.zeros(0), np.sqrt(x[:, 0])),
    }
    for name, (phi, sd) in expected.items():
        s = make_variance(name, (), x).derivatives(phi, x)[0]
        assert_allclose(np.exp(s), sd)
    exponential = make_variance("exp", (), x)
    expon = exponential.natural(np.array([0.6]))["expon"]
    assert_allclose(np.exp(exponential.derivatives(np.array([0.6]), x)[0]), np.exp(expon * x[:, 0]))


def test_every_variance_function_of_the_grammar_can_be_made() -> None:
    levels = ("a", "b", "c")
    for name in VARIANCES:
        variance = make_variance(name, levels, FACTOR + 1.0)
        assert len(variance.start()) == variance.n_parameters


def test_ident_compares_with_the_first_level() -> None:
    ident = Ident(("a", "b", "c"))
    phi = np.log([2.0, 0.5])
    assert ident.natural(phi) == pytest.approx({"a": 1.0, "b": 2.0, "c": 0.5})
    sd = np.exp(ident.derivatives(phi, np.array([[0.0], [2.0], [1.0]]))[0])
    assert_allclose(sd, [1.0, 0.5, 2.0])


def test_constpower_at_zero_is_its_constant_if_the_power_is_positive() -> None:
    zero = np.zeros((1, 1))
    s, first, second = ConstantPower().derivatives(np.array([np.log(3.0), 0.5]), zero)
    assert_allclose(np.exp(s), 3.0)
    assert_allclose(first[:, 0], [1.0, 0.0])
    assert np.isfinite(second).all()
    with pytest.raises(FitError, match="positive power"):
        ConstantPower().derivatives(np.array([0.0, -0.5]), zero)


def test_parameters_are_printed_by_part() -> None:
    made = model("ar1", 2)
    phi = np.array([np.arctanh(0.5), 0.0, np.log(2.0), 0.3])
    assert made.natural(phi)["ar1"] == pytest.approx({"rho": 0.5})
    assert made.natural(phi)["ident"] == pytest.approx({"a": 1.0, "b": 1.0, "c": 2.0})
    assert made.natural(phi)["power"] == {"power": 0.3}
