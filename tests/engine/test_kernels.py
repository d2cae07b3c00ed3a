"""The kernels in NumPy against plain definitions, and the fall-back where nothing is compiled."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from henderson.engine import kernels
from henderson.errors import FitError


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_level_products_are_sums_over_the_rows_of_a_level(seed, size):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 5, 30)
    z, xy = rng.normal(size=(30, size)), rng.normal(size=(30, 3))
    a, b = kernels.level_products(codes, 6, z, xy)
    for j in range(6):
        own = codes == j
        np.testing.assert_allclose(a[j], z[own].T @ z[own], atol=1e-12)
        np.testing.assert_allclose(b[j], z[own].T @ xy[own], atol=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_inverse_and_log_determinant_of_a_stack(seed, size):
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(5, size, size))
    h = np.eye(size) + half @ half.swapaxes(1, 2)
    inverse, logdet = kernels.inverse_logdet(h)
    np.testing.assert_allclose(h @ inverse, np.broadcast_to(np.eye(size), h.shape), atol=1e-9)
    np.testing.assert_allclose(logdet, np.linalg.slogdet(h)[1].sum(), rtol=1e-10)


def test_without_compiled_kernels_the_twins_take_over():
    """An installation without a compiler, in a fresh process where `_kernels` cannot be found."""
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == ["numpy", "None", "True", "5.0"]


WITHOUT = """
import sys
sys.modules["henderson.engine._kernels"] = None
import numpy as np
import pytest
from henderson.engine import kernels
from henderson.errors import FitError
one = np.ones((5, 1))
codes = np.zeros(5, dtype=int)
print(kernels.backend(), kernels.instruction_set())
print(kernels.reduce(one[:, 0], one, one, codes, 1, None, [(0, 1, "full")]) is None)
print(kernels.level_products(codes, 1, one, one)[0].item())
"""


@pytest.mark.parametrize("size", [2, 3])
def test_a_stack_that_is_singular_in_numbers_is_refused(size):
    """As H = I + C'Sigma C is when Sigma grows without bound along one direction."""
    h = np.eye(size) + 1e20 * np.ones((4, size, size))
    with pytest.raises(FitError, match="explains the response exactly"):
        kernels.inverse_logdet(h)
