"""`diag`: one variance per column, no covariances; `(x || g)` in a formula."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from henderson.covariance.base import SMALL, Rotation, register, standard_deviations


@register("diag")
@dataclass(frozen=True)
class Diagonal:
    """Sigma = diag(phi^2); the sign of phi does not matter."""

    size: int
    name: str = "diag"
    rotation: Rotation = "diagonal"
    linear: bool = True

    @property
    def n_parameters(self) -> int:
        return self.size

    def start(self, sigma: np.ndarray) -> np.ndarray:
        return np.sqrt(np.maximum(np.diag(sigma), 0.0))

    def zero(self) -> np.ndarray:
        return np.zeros(self.size)

    def factor(self, phi: np.ndarray) -> np.ndarray:
        return np.diag(phi)

    def sigma(self, phi: np.ndarray) -> np.ndarray:
        return np.diag(phi**2)

    def jacobian(self, phi: np.ndarray) -> np.ndarray:
        each = np.arange(self.size)
        jacobian = np.zeros((self.size, self.size, self.size))
        jacobian[each, each, each] = 2.0 * phi
        return jacobian

    def curvature(self, phi: np.ndarray, d: np.ndarray) -> np.ndarray:
        return np.diag(2.0 * np.diag(d))

    def tangent(self, phi: np.ndarray) -> np.ndarray:
        return np.diag(np.sqrt(phi**2 + SMALL))

    def natural(
        self, phi: np.ndarray, covariance: np.ndarray, names: Sequence[str] = ()
    ) -> dict[str, float]:
        return standard_deviations(covariance, names)
