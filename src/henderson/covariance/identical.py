"""`iid`: one variance for all the columns of a term, and no covariances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from henderson.covariance.base import SMALL, Rotation, register


@register("iid")
@dataclass(frozen=True)
class Identical:
    """Sigma = phi^2 I, with one parameter phi whose sign does not matter.

    statsmodels' variance components are of this kind: their columns share one variance.
    """

    size: int
    name: str = "iid"
    rotation: Rotation = "scalar"
    linear: bool = False

    @property
    def n_parameters(self) -> int:
        return 1

    def start(self, sigma: np.ndarray) -> np.ndarray:
        return np.sqrt(np.maximum(np.diag(sigma).mean(keepdims=True), 0.0))

    def zero(self) -> np.ndarray:
        return np.zeros(1)

    def factor(self, phi: np.ndarray) -> np.ndarray:
        return float(phi[0]) * np.eye(self.size)

    def sigma(self, phi: np.ndarray) -> np.ndarray:
        return float(phi[0]) ** 2 * np.eye(self.size)

    def jacobian(self, phi: np.ndarray) -> np.ndarray:
        return 2.0 * float(phi[0]) * np.eye(self.size)[None]

    def curvature(self, phi: np.ndarray, d: np.ndarray) -> np.ndarray:
        return np.array([[2.0 * float(np.trace(d))]])

    def tangent(self, phi: np.ndarray) -> np.ndarray:
        return np.sqrt(phi[:, None] ** 2 + SMALL)

    def natural(
        self, phi: np.ndarray, covariance: np.ndarray, names: Sequence[str] = ()
    ) -> dict[str, float]:
        return {"sd": float(np.sqrt(np.diag(covariance).mean()))}
