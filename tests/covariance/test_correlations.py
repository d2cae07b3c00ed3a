"""Correlation functions: derivatives, positive definiteness, limits, and what they print."""

from __future__ import annotations

import numpy as np
import pytest
from covariance.differences import assert_derivative, differences
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from henderson.covariance.correlations import (
    Correlation,
    Places,
    correlation_names,
    make_correlation,
)
from henderson.errors import FormulaError
from henderson.formula.residual_terms import CORRELATIONS, WITH_NUGGET

T = 5
WHOLE = np.arange(float(T))[:, None]
IRREGULAR = np.array([0.0, 0.3, 1.1, 4.0, 4.2])[:, None]
PLANE = np.array([[0.0, 0.0], [1.0, 0.2], [0.3, 1.4], [2.5, 2.0], [2.0, -1.0]])
AT = {"coordinates": PLANE, "number": IRREGULAR}
CASES = [(name, False) for name in CORRELATIONS] + [(name, True) for name in sorted(WITH_NUGGET)]
cases = pytest.mark.parametrize(("name", "nugget"), CASES)
small = st.floats(-1.5, 1.5, allow_nan=False)


def make(name: str, nugget: bool = False) -> tuple[Correlation, np.ndarray]:
    """The function for T places, and their positions."""
    at = AT.get(CORRELATIONS[name], WHOLE)
    return make_correlation(name, Places(T, T, 1.5), nugget=nugget), at


def matrix(correlation: Correlation, phi: np.ndarray, at: np.ndarray) -> np.ndarray:
    c = correlation.derivatives(phi, at[:, None], at[None])[0]
    return np.where(np.eye(len(at), dtype=bool), 1.0, c)


def draw_phi(data: st.DataObject, correlation: Correlation) -> np.ndarray:
    m = correlation.n_parameters
    return np.array(data.draw(st.lists(small, min_size=m, max_size=m)))


def test_the_grammar_and_the_files_name_the_same_functions() -> None:
    assert set(correlation_names()) == set(CORRELATIONS)


@cases
@given(data=st.data())
def test_derivatives_are_those_of_the_function(
    name: str, nugget: bool, data: st.DataObject
) -> None:
    correlation, at = make(name, nugget)
    phi = draw_phi(data, correlation)
    i, j = np.tril_indices(T, -1)
    if name in ("lin", "spher"):  # Their derivatives jump where the range is a distance.
        x = np.abs(np.linalg.norm(at[i] - at[j], axis=1) / (1.5 * np.exp(phi[0])) - 1.0)
        if x.min() < 1e-3:
            return
    _, first, second = correlation.derivatives(phi, at[i], at[j])
    assert_derivative(
        first, differences(lambda p: correlation.derivatives(p, at[i], at[j])[0], phi)
    )
    assert_derivative(
        second, differences(lambda p: correlation.derivatives(p, at[i], at[j])[1], phi)
    )


@cases
@given(data=st.data())
def test_any_parameters_give_a_correlation_matrix(
    name: str, nugget: bool, data: st.DataObject
) -> None:
    correlation, at = make(name, nugget)
    phi = draw_phi(data, correlation)
    c = matrix(correlation, phi, at)
    assert_allclose(c, c.T, atol=1e-15)
    assert np.abs(c).max() <= 1.0
    # The Gaussian function's smallest eigenvalue is below rounding at a long range.
    assert np.linalg.eigvalsh(c)[0] > (-1e-12 if name == "gau" else 0.0)


@pytest.mark.parametrize("name", ["ar1", "toep", "us", "cs"])
def test_zero_is_independence(name: str) -> None:
    correlation, at = make(name)
    assert_allclose(
        matrix(correlation, np.zeros(correlation.n_parameters), at), np.eye(T), atol=1e-15
    )


@pytest.mark.parametrize("name", ["exp", "gau", "lin", "ratio", "spher", "car1"])
def test_a_short_range_is_independence_and_a_long_one_is_identity(name: str) -> None:
    correlation, at = make(name)
    short, long = (matrix(correlation, np.full(1, phi), at) for phi in (-12.0, 12.0))
    assert_allclose(short, np.eye(T), atol=1e-8)
    assert_allclose(long, np.ones((T, T)), atol=1e-3)


def test_ar1_is_a_power_of_rho_whatever_its_sign() -> None:
    correlation, _ = make("ar1")
    at = np.array([[0.0], [1.0], [4.0]])
    rho = -0.6
    c = matrix(correlation, np.array([np.arctanh(rho)]), at)
    assert_allclose(c[0], [1.0, rho, rho**4])
    assert correlation.natural(np.array([np.arctanh(rho)])) == pytest.approx({"rho": rho})


def test_toeplitz_with_one_partial_autocorrelation_is_ar1() -> None:
    toep, at = make("toep")
    phi = np.zeros(T - 1)
    phi[0] = np.arctanh(0.7)
    assert_allclose(matrix(toep, phi, at)[0], 0.7 ** np.arange(T))
    assert toep.natural(phi) == pytest.approx({f"rho{k}": 0.7**k for k in range(1, T)})


@given(rows=st.lists(small, min_size=T, max_size=T))
def test_unstructured_reaches_every_correlation_matrix(rows: list[float]) -> None:
    """A covariance made of anything has a phi: the partial correlations of its Cholesky factor."""
    rng = np.random.default_rng(abs(hash(tuple(rows))) % 2**32)
    a = rng.normal(size=(T, T)) + np.diag(np.abs(rows) + 1.0)
    v = a @ a.T
    c = v / np.sqrt(np.outer(np.diag(v), np.diag(v)))
    lower, phi = np.linalg.cholesky(c), []
    for i in range(1, T):
        left = 1.0
        for j in range(i):
            phi.append(np.arctanh(lower[i, j] / np.sqrt(left)))
            left -= lower[i, j] ** 2
    correlation, at = make("us")
    assert_allclose(matrix(correlation, np.array(phi), at), c, atol=1e-9)


def test_compound_symmetry_stops_at_its_lower_bound() -> None:
    correlation, at = make("cs")
    lowest = correlation.natural(np.full(1, -40.0))["rho"]
    assert lowest == pytest.approx(-1.0 / (T - 1))
    assert correlation.natural(np.full(1, 40.0))["rho"] == pytest.approx(1.0)
    assert np.linalg.eigvalsh(matrix(correlation, np.full(1, -6.0), at))[0] > 0.0


def test_shapes_are_those_of_nlme() -> None:
    """At distance 1 and range 2, nugget 0.1."""
    x, keep = 0.5, 0.9
    expected = {
        "exp": np.exp(-x),
        "gau": np.exp(-(x**2)),
        "lin": 1 - x,
        "ratio": 1 / (1 + x**2),
        "spher": 1 - 1.5 * x + 0.5 * x**3,
    }
    phi = np.array([np.log(2.0), np.sqrt(0.1 / 0.9)])
    for name, value in expected.items():
        correlation = make_correlation(name, Places(2), nugget=True)
        found = correlation.derivatives(phi, np.zeros((1, 1)), np.ones((1, 1)))[0]
        assert_allclose(found, keep * value)
        assert correlation.natural(phi) == pytest.approx({"range": 2.0, "nugget": 0.1})


def test_continuous_ar1_is_the_exponential_read_at_one_unit_of_time() -> None:
    car1 = make_correlation("car1", Places(2, distance=3.0))
    phi = np.array([0.4])
    rho = car1.natural(phi)["rho"]
    found = car1.derivatives(phi, np.zeros((2, 1)), np.array([[1.0], [2.5]]))[0]
    assert_allclose(found, [rho, rho**2.5])


def test_a_nugget_of_zero_is_a_stationary_point() -> None:
    correlation = make_correlation("exp", Places(2), nugget=True)
    _, first, second = correlation.derivatives(np.zeros(2), np.zeros((1, 1)), np.ones((1, 1)))
    assert first[1, 0] == 0.0
    assert second[1, 1, 0] < 0.0


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(FormulaError, match="did you mean 'spher'"):
        make_correlation("spherical", Places(2))
