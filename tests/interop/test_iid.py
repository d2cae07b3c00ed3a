"""One variance for several columns: the structure's derivatives, and the model it stands for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from interop.scripts import schools

import henderson as hd
from henderson.covariance import make_structure

angles = st.floats(-3, 3).filter(lambda v: abs(v) > 1e-3)


@given(angles, st.integers(1, 4))
def test_derivatives_are_those_of_sigma(value: float, size: int) -> None:
    structure = make_structure("iid", size)
    phi, step = np.array([value]), 1e-5
    m = structure.factor(phi)
    np.testing.assert_allclose(m @ m.T, structure.sigma(phi), atol=1e-12)
    up, down = structure.sigma(phi + step), structure.sigma(phi - step)
    np.testing.assert_allclose(structure.jacobian(phi)[0], (up - down) / (2 * step), atol=1e-8)
    weights = np.arange(size**2, dtype=float).reshape(size, size)
    second = np.sum(weights * (up - 2 * structure.sigma(phi) + down)) / step**2
    np.testing.assert_allclose(structure.curvature(phi, weights)[0, 0], second, atol=1e-3)
    assert structure.n_parameters == 1
    np.testing.assert_array_equal(structure.sigma(structure.zero()), np.zeros((size, size)))


def test_a_single_column_is_an_ordinary_variance() -> None:
    data = schools()
    vc = hd.mixedlm("score ~ age", data, groups="school", vc_formula={"p": "0 + pretest"}).fit()
    own = hd.lmm("score ~ age + (0 + pretest | school)", data)
    assert vc.llf == own.llf


def test_the_shared_variance_does_not_depend_on_the_basis() -> None:
    """Effects with covariance s^2 I look the same after a rotation of their columns."""
    data = schools().assign(age=lambda d: d["age"] - 10)
    turn = np.array([[0.6, 0.8], [-0.8, 0.6]])
    data[["c", "d"]] = data[["age", "pretest"]].to_numpy() @ turn
    fits = [
        hd.mixedlm("score ~ age", data, groups="school", vc_formula={"v": text}).fit()
        for text in ("0 + age + pretest", "0 + c + d")
    ]
    assert fits[0].llf == pytest.approx(fits[1].llf, rel=1e-11)
    assert fits[0].vcomp == pytest.approx(fits[1].vcomp, rel=1e-5)
    assert fits[0].df_modelwc == 3
