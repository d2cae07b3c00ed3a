"""Variance functions of the residuals: `ident`, `power`, `exp`, `constpower`, `fixed`.

Each gives s, the logarithm of a row's relative standard deviation. The functions and the names of
their parameters are those of Pinheiro and Bates (2000), Mixed-Effects Models in S and S-PLUS,
section 5.2.1, and of nlme.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from henderson.covariance.correlations.base import Derivatives
from henderson.covariance.residual.base import Variance
from henderson.errors import FitError


@dataclass(frozen=True)
class Ident:
    """A standard deviation for every level of a factor, relative to the first level's.

    s = phi[code - 1], 0 for the first level; values are the codes (..., 1).
    """

    levels: tuple[str, ...]
    name: str = "ident"

    @property
    def n_parameters(self) -> int:
        return len(self.levels) - 1

    def start(self) -> np.ndarray:
        return np.zeros(self.n_parameters)

    def natural(self, phi: np.ndarray) -> dict[str, float]:
        ratios = [1.0, *np.exp(phi).tolist()]
        return dict(zip(self.levels, ratios, strict=True))

    def derivatives(self, phi: np.ndarray, values: np.ndarray) -> Derivatives:
        codes, m = values[..., 0].astype(np.intp), self.n_parameters
        first = codes == np.arange(1, m + 1).reshape(-1, *np.ones(codes.ndim, int))
        second = np.zeros((m, m, *codes.shape))
        return np.concatenate([[0.0], phi])[codes], first.astype(float), second


@dataclass(frozen=True)
class Power:
    """sd proportional to |x|^power: s = phi log|x|; values x (..., 1), none zero."""

    name: str = "power"

    @property
    def n_parameters(self) -> int:
        return 1

    def start(self) -> np.ndarray:
        return np.zeros(1)

    def natural(self, phi: np.ndarray) -> dict[str, float]:
        return {"power": float(phi[0])}

    def derivatives(self, phi: np.ndarray, values: np.ndarray) -> Derivatives:
        return _proportional(phi, np.log(np.abs(values[..., 0])))


@dataclass(frozen=True)
class Exponential:
    """sd proportional to exp(expon x): s = phi x / unit; values x (..., 1).

    unit : the spread of x, so that a step of one is moderate whatever the units.
    """

    unit: float = 1.0
    name: str = "exp"

    @property
    def n_parameters(self) -> int:
        return 1

    def start(self) -> np.ndarray:
        return np.zeros(1)

    def natural(self, phi: np.ndarray) -> dict[str, float]:
        return {"expon": float(phi[0]) / self.unit}

    def derivatives(self, phi: np.ndarray, values: np.ndarray) -> Derivatives:
        return _proportional(phi, values[..., 0] / self.unit)


@dataclass(frozen=True)
class ConstantPower:
    """sd proportional to const + |x|^power, const > 0: s = log(exp(phi[0]) + |x|^phi[1]).

    Values x (..., 1); where one is zero the power has to be positive.
    """

    center: float = 1.0
    name: str = "constpower"

    @property
    def n_parameters(self) -> int:
        return 2

    def start(self) -> np.ndarray:
        """The square root, its constant what it is at the center of x."""
        return np.array([0.5 * np.log(self.center), 0.5])

    def natural(self, phi: np.ndarray) -> dict[str, float]:
        return {"const": float(np.exp(phi[0])), "power": float(phi[1])}

    def derivatives(self, phi: np.ndarray, values: np.ndarray) -> Derivatives:
        x = np.abs(values[..., 0])
        zero = x == 0.0
        if phi[1] <= 0.0 and zero.any():
            raise FitError(
                "constpower needs a positive power where its covariate is zero: "
                "add a constant to the covariate."
            )
        logs = np.log(np.where(zero, 1.0, x))
        rise = np.where(zero, -np.inf, phi[1] * logs)
        share = np.exp(rise - np.logaddexp(phi[0], rise))  # of |x|^power in the sum
        bend = share * (1.0 - share)
        first = np.array([1.0 - share, share * logs])
        second = np.array([[bend, -bend * logs], [-bend * logs, bend * logs**2]])
        return np.logaddexp(phi[0], rise), first, second


@dataclass(frozen=True)
class Fixed:
    """Variance proportional to x, without parameters: s = log(x) / 2; values x > 0 (..., 1)."""

    name: str = "fixed"

    @property
    def n_parameters(self) -> int:
        return 0

    def start(self) -> np.ndarray:
        return np.zeros(0)

    def natural(self, phi: np.ndarray) -> dict[str, float]:
        return {}

    def derivatives(self, phi: np.ndarray, values: np.ndarray) -> Derivatives:
        s = 0.5 * np.log(values[..., 0])
        return s, np.zeros((0, *s.shape)), np.zeros((0, 0, *s.shape))


def _proportional(phi: np.ndarray, slope: np.ndarray) -> Derivatives:
    """s = phi[0] * slope."""
    return phi[0] * slope, slope[None], np.zeros((1, 1, *slope.shape))


def make_variance(name: str, levels: tuple[str, ...], values: np.ndarray) -> Variance:
    """The variance function called `name`.

    Parameters
    ----------
    levels : of the factor, for "ident".
    values : (n, 1) the covariate, for its scale.
    """
    if name == "ident":
        return Ident(levels)
    if name == "power":
        return Power()
    if name == "exp":
        return Exponential(float(values.std()) or 1.0)
    if name == "constpower":
        return ConstantPower(float(np.abs(values).mean()) or 1.0)
    return Fixed()
