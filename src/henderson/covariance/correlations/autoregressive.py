"""`ar1`: the correlation of rows at whole positions falls by the same factor at every step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from henderson.covariance.correlations.base import Derivatives, Places, register_correlation


@dataclass(frozen=True)
class Autoregressive:
    """C = rho^|s - t|, rho = tanh(phi); positions are whole numbers, with gaps or without."""

    name: str = "ar1"

    @property
    def n_parameters(self) -> int:
        return 1

    def start(self) -> np.ndarray:
        return np.full(1, 0.3)

    def natural(self, phi: np.ndarray) -> dict[str, float]:
        return {"rho": float(np.tanh(phi[0]))}

    def derivatives(self, phi: np.ndarray, left: np.ndarray, right: np.ndarray) -> Derivatives:
        rho, lag = np.tanh(phi[0]), np.abs(left[..., 0] - right[..., 0])
        slope = 1.0 - rho * rho
        # The exponents stop at zero: there the factor in front is zero.
        by_rho = lag * rho ** np.maximum(lag - 1.0, 0.0)
        twice = lag * (lag - 1.0) * rho ** np.maximum(lag - 2.0, 0.0)
        second = twice * slope**2 - 2.0 * rho * slope * by_rho
        return rho**lag, (slope * by_rho)[None], second[None, None]


@register_correlation("ar1")
def autoregressive(places: Places) -> Autoregressive:
    return Autoregressive()
