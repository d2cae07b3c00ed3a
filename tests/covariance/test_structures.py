"""Covariance structures of random effects: derivatives, limits, starts, and what they print."""

from __future__ import annotations

import numpy as np
import pytest
from covariance.differences import assert_derivative, differences
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from henderson.covariance import Structure, make_structure, structure_names
from henderson.design.random import POSITIONS
from henderson.errors import FormulaError
from henderson.formula.words import STRUCTURES

K = 4
PLANE = np.array([[0.0, 0.0], [1.0, 0.2], [0.3, 1.4], [2.5, 2.0]])
LINE = np.arange(float(K))[:, None]
NAMES = structure_names()
HETEROGENEOUS = ("hcs", "har1", "htoep")
structures = pytest.mark.parametrize("name", [*NAMES, "ar1 by", "us by"])
small = st.floats(-1.5, 1.5, allow_nan=False)


def make(name: str) -> Structure:
    at = PLANE if name in ("exp", "gau") else LINE
    word, _, by = name.partition(" ")
    return make_structure(word, 2 * K if by else K, at, 2 if by else 1)


def draw_phi(data: st.DataObject, structure: Structure) -> np.ndarray:
    m = len(structure.zero())
    return structure.zero() + data.draw(st.lists(small, min_size=m, max_size=m))


def spread(structure: Structure, phi: np.ndarray) -> np.ndarray:
    """The Jacobian as a matrix (m, K K)."""
    return structure.jacobian(phi).reshape(len(phi), -1)


def test_the_grammar_the_design_and_the_files_know_the_same_structures() -> None:
    assert set(NAMES) - {"iid"} == STRUCTURES
    for name in NAMES:
        assert (name in POSITIONS) == _needs_positions(name)


def _needs_positions(name: str) -> bool:
    try:
        make_structure(name, 3)
    except FormulaError:
        return True
    return False


@structures
@given(data=st.data())
def test_jacobian_and_curvature_are_those_of_sigma(name: str, data: st.DataObject) -> None:
    structure = make(name)
    phi = draw_phi(data, structure)
    rng = np.random.default_rng(1)
    d = rng.normal(size=(structure.size, structure.size))
    d += d.T
    assert_derivative(structure.jacobian(phi), differences(structure.sigma, phi))
    assert_derivative(
        structure.curvature(phi, d),
        differences(lambda p: np.einsum("aij,ij->a", structure.jacobian(p), d), phi),
    )


@structures
@given(data=st.data())
def test_the_factor_is_one_of_a_positive_semidefinite_sigma(name: str, data: st.DataObject) -> None:
    structure = make(name)
    phi = draw_phi(data, structure)
    m, sigma = structure.factor(phi), structure.sigma(phi)
    assert_allclose(m @ m.T, sigma, atol=1e-12 * max(1.0, np.abs(sigma).max()))
    assert np.linalg.eigvalsh(sigma)[0] > -1e-10 * max(1.0, np.abs(sigma).max())


@structures
def test_zero_is_no_covariance_and_stationary(name: str) -> None:
    structure = make(name)
    assert not structure.sigma(structure.zero()).any()
    assert not structure.jacobian(structure.zero()).any()
    assert np.abs(structure.curvature(structure.zero(), np.eye(structure.size))).max() > 0.5


@structures
def test_the_tangent_spans_what_moves_sigma_and_nothing_else(name: str) -> None:
    structure = make(name)
    phi = structure.start(np.diag(1.0 + np.arange(structure.size) % K) + 0.3)
    z, moves = structure.tangent(phi), spread(structure, phi)
    rank = np.linalg.matrix_rank(moves, tol=1e-8)
    assert z.shape[1] == rank == structure.n_parameters
    assert np.linalg.matrix_rank(z.T @ moves, tol=1e-8) == rank


@structures
@given(data=st.data())
def test_the_start_from_a_member_of_the_family_is_that_member(
    name: str, data: st.DataObject
) -> None:
    structure = make(name)
    m = len(structure.zero())
    phi = structure.zero() + data.draw(
        st.lists(st.floats(0.1, 0.8, allow_nan=False), min_size=m, max_size=m)
    )
    sigma = structure.sigma(phi)
    assert_allclose(structure.sigma(structure.start(sigma)), sigma, atol=1e-6)


@structures
def test_the_start_from_no_covariance_is_no_covariance(name: str) -> None:
    structure = make(name)
    start = structure.start(np.zeros((structure.size, structure.size)))
    assert_allclose(structure.sigma(start), 0.0, atol=1e-12)


@structures
@given(data=st.data())
def test_a_permitted_change_of_scale_stays_in_the_family(name: str, data: st.DataObject) -> None:
    """`rotation` promises it, and standardisation relies on it."""
    structure = make(name)
    phi = structure.zero() + 0.4
    scales = np.full(structure.size, data.draw(st.floats(0.3, 3.0)))
    if structure.rotation != "scalar":
        scales = np.array(
            data.draw(
                st.lists(st.floats(0.3, 3.0), min_size=structure.size, max_size=structure.size)
            )
        )
    scaled = np.outer(scales, scales) * structure.sigma(phi)
    assert_allclose(structure.sigma(structure.start(scaled)), scaled, atol=1e-5)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("us", "diag", "iid", "known")])
def test_correlated_structures_print_as_many_numbers_as_they_have_parameters(name: str) -> None:
    structure = make(name)
    phi = structure.zero() + 0.5
    sigma = structure.sigma(phi)
    printed = structure.natural(phi, 9.0 * sigma, ("a", "b", "c", "d"))
    assert len(printed) == structure.n_parameters
    sd = printed["sd[b]" if name in HETEROGENEOUS else "sd"]
    assert sd == pytest.approx(3.0 * np.sqrt(sigma[1, 1]))


def test_printed_correlations_are_those_of_sigma() -> None:
    for name, lag in (("cs", 3), ("hcs", 3), ("ar1", 1), ("har1", 1), ("ou", 1)):
        structure = make(name)
        phi = structure.zero() + 0.5
        sigma = structure.sigma(phi)
        rho = sigma[0, lag] / np.sqrt(sigma[0, 0] * sigma[lag, lag])
        assert structure.natural(phi, sigma)["rho"] == pytest.approx(rho)


def test_unstructured_prints_standard_deviations_and_correlations() -> None:
    covariance = np.array([[4.0, 3.0], [3.0, 9.0]])
    printed = make_structure("us", 2).natural(np.zeros(4), covariance, ("Intercept", "Days"))
    assert printed == pytest.approx(
        {"sd[Intercept]": 2.0, "sd[Days]": 3.0, "rho[Intercept,Days]": 0.5}
    )


def test_a_known_covariance_of_levels_prints_as_an_unstructured_term() -> None:
    assert make_structure("known", 1).natural(np.ones(1), np.array([[4.0]])) == {"sd": 2.0}
    covariance, names = np.array([[4.0, 3.0], [3.0, 9.0]]), ("Intercept", "Days")
    printed = make_structure("known", 2).natural(np.zeros(4), covariance, names)
    assert printed == make_structure("us", 2).natural(np.zeros(4), covariance, names)


def test_strata_have_numbers_of_their_own() -> None:
    structure = make_structure("us", 2, strata=2)
    covariance = np.diag([4.0, 25.0])
    names = ("sex[F]:Intercept", "sex[M]:Intercept")
    printed = structure.natural(np.ones(2), covariance, names)
    assert printed == {"sd[Intercept] sex[F]": 2.0, "sd[Intercept] sex[M]": 5.0}
    assert structure.n_parameters == 2


def test_gaps_between_positions_count() -> None:
    structure = make_structure("ar1", 3, np.array([[0.0], [1.0], [4.0]]))
    phi = np.array([2.0, np.arctanh(0.5)])
    assert_allclose(structure.sigma(phi)[0], 4.0 * 0.5 ** np.array([0.0, 1.0, 4.0]))


def test_heterogeneous_variances_are_free_and_keep_the_signs_of_correlations() -> None:
    structure = make("hcs")
    sd = np.array([1.0, 2.0, 3.0, 4.0])
    wanted = np.outer(sd, sd) * (0.4 + 0.6 * np.eye(K))
    phi = structure.start(wanted)
    assert_allclose(structure.sigma(phi), wanted, atol=1e-8)
    phi[0] = -phi[0]
    assert_allclose(structure.sigma(phi), wanted, atol=1e-8)


def test_one_column_has_a_variance_alone() -> None:
    for name in NAMES:
        structure = make_structure(name, 1, np.zeros((1, 1)))
        assert structure.n_parameters == 1
        assert structure.sigma(np.full(1, 2.0)) == pytest.approx(np.array([[4.0]]))


@pytest.mark.parametrize("name", ["us", "diag"])
def test_structures_of_free_entries_are_linear(name: str) -> None:
    assert make_structure(name, 3).linear
    assert not make_structure("cs", 3).linear


def test_refusals() -> None:
    with pytest.raises(FormulaError, match=r"Unknown covariance structure 'matern'.*ar1"):
        make_structure("matern", 3)
    with pytest.raises(FormulaError, match=r"ar1\(\) needs the positions"):
        make_structure("ar1", 3)
