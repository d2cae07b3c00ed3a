"""`cs`, compound symmetry: one correlation between all the rows of a group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from henderson.covariance.correlations.base import Derivatives, Places, register_correlation


@dataclass(frozen=True)
class Exchangeable:
    """rho = low + (1 - low) / (1 + exp(-phi) (m - 1)), low = -1/(m - 1), m = `largest`.

    Above the lower bound the correlation matrix of m rows is positive definite; phi = 0 is
    rho = 0. With m = 2 rho runs from -1 to 1.
    """

    largest: int
    name: str = "cs"

    @property
    def n_parameters(self) -> int:
        return 1

    @property
    def lowest(self) -> float:
        """The lower bound of rho."""
        return -1.0 / (self.largest - 1)

    def start(self) -> np.ndarray:
        return np.full(1, 0.5)

    def natural(self, phi: np.ndarray) -> dict[str, float]:
        return {"rho": self._rho(float(phi[0]))[0]}

    def _rho(self, phi: float) -> tuple[float, float, float]:
        """rho and its derivatives."""
        share, width = float(expit(phi - np.log(self.largest - 1.0))), 1.0 - self.lowest
        slope = width * share * (1.0 - share)
        return self.lowest + width * share, slope, slope * (1.0 - 2.0 * share)

    def derivatives(self, phi: np.ndarray, left: np.ndarray, right: np.ndarray) -> Derivatives:
        rho, first, second = self._rho(float(phi[0]))
        ones = np.ones(np.broadcast_shapes(left.shape, right.shape)[:-1])
        return rho * ones, first * ones[None], second * ones[None, None]


@register_correlation("cs")
def exchangeable(places: Places) -> Exchangeable:
    return Exchangeable(max(places.largest, 2))
