"""Correlations that fall with distance: `exp`, `gau`, `lin`, `ratio`, `spher`, and `car1`.

The functions and the names of their parameters are those of Pinheiro and Bates (2000),
Mixed-Effects Models in S and S-PLUS, section 5.3.2, and of nlme.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from henderson.covariance.correlations.base import Derivatives, Places, register_correlation

# g(x), g'(x), g''(x) of x = distance / range.
Shape = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


def exponential(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """g = exp(-x)."""
    g = np.exp(-x)
    return g, -g, g


def gaussian(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """g = exp(-x^2)."""
    g = np.exp(-x * x)
    return g, -2.0 * x * g, (4.0 * x * x - 2.0) * g


def linear(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """g = 1 - x up to x = 1, then 0: a correlation on a line only, not in the plane."""
    inside = (x < 1.0).astype(float)
    return (1.0 - x) * inside, -inside, np.zeros_like(x)


def rational(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """g = 1 / (1 + x^2)."""
    g = 1.0 / (1.0 + x * x)
    return g, -2.0 * x * g**2, (6.0 * x * x - 2.0) * g**3


def spherical(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """g = 1 - 3x/2 + x^3/2 up to x = 1, then 0."""
    inside = x < 1.0
    g, g1 = 1.0 - 1.5 * x + 0.5 * x**3, 1.5 * (x * x - 1.0)
    return g * inside, g1 * inside, 3.0 * x * inside


@dataclass(frozen=True)
class Distance:
    """C = (1 - nugget) g(distance / range), distances Euclidean.

    range = unit exp(phi[0]); nugget = phi[1]^2 / (1 + phi[1]^2) if there is one, so that a nugget
    of zero is an ordinary stationary point.
    """

    name: str
    shape: Shape
    unit: float = 1.0
    nugget: bool = False

    @property
    def n_parameters(self) -> int:
        return 2 if self.nugget else 1

    def start(self) -> np.ndarray:
        return np.array([0.0, 0.5])[: self.n_parameters]

    def natural(self, phi: np.ndarray) -> dict[str, float]:
        out = {"range": self.unit * float(np.exp(phi[0]))}
        if self.nugget:
            out["nugget"] = 1.0 - float(rational(phi[1:])[0][0])
        return out

    def derivatives(self, phi: np.ndarray, left: np.ndarray, right: np.ndarray) -> Derivatives:
        x = np.sqrt(((left - right) ** 2).sum(axis=-1)) / (self.unit * np.exp(phi[0]))
        g, g1, g2 = self.shape(x)
        # In the logarithm of the range: dx = -x, d2x = x.
        first, second = -x * g1, x * g1 + x * x * g2
        if not self.nugget:
            return g, first[None], second[None, None]
        keep, keep1, keep2 = (float(k[0]) for k in rational(phi[1:]))
        return (
            keep * g,
            np.array([keep * first, keep1 * g]),
            np.array([[keep * second, keep1 * first], [keep1 * first, keep2 * g]]),
        )


@dataclass(frozen=True)
class ContinuousAutoregressive:
    """C = rho^|s - t| for positions on a line, 0 < rho < 1: the Ornstein-Uhlenbeck process.

    The same function as `exp`, read as the correlation of rows one unit of time apart.
    """

    unit: float = 1.0
    name: str = "car1"

    @property
    def n_parameters(self) -> int:
        return 1

    @property
    def _decay(self) -> Distance:
        return Distance("exp", exponential, self.unit)

    def start(self) -> np.ndarray:
        return self._decay.start()

    def natural(self, phi: np.ndarray) -> dict[str, float]:
        return {"rho": float(np.exp(-1.0 / self._decay.natural(phi)["range"]))}

    def derivatives(self, phi: np.ndarray, left: np.ndarray, right: np.ndarray) -> Derivatives:
        return self._decay.derivatives(phi, left, right)


@register_correlation("car1")
def continuous(places: Places) -> ContinuousAutoregressive:
    return ContinuousAutoregressive(places.distance)


def _register(name: str, shape: Shape) -> None:
    @register_correlation(name)
    def make(places: Places, *, nugget: bool = False) -> Distance:
        return Distance(name, shape, places.distance, nugget)


_register("exp", exponential)
_register("gau", gaussian)
_register("lin", linear)
_register("ratio", rational)
_register("spher", spherical)
