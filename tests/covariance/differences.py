"""Central differences, to hold exact derivatives to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.testing import assert_allclose


def differences(
    function: Callable[[np.ndarray], np.ndarray], at: np.ndarray, step: float = 1e-5
) -> np.ndarray:
    """d function / d at, the parameter first: fourth-order differences."""
    return np.array([_along(function, at, move) for move in step * np.eye(len(at))]) / step


def _along(
    function: Callable[[np.ndarray], np.ndarray], at: np.ndarray, move: np.ndarray
) -> np.ndarray:
    near = function(at + move) - function(at - move)
    far = function(at + 2.0 * move) - function(at - 2.0 * move)
    return np.asarray((8.0 * near - far) / 12.0)


def assert_derivative(exact: np.ndarray, by_differences: np.ndarray) -> None:
    size = float(np.abs(by_differences).max(initial=1.0))
    assert_allclose(exact, by_differences, rtol=1e-6, atol=1e-7 * max(size, 1.0))
