"""`toep`: one correlation for every lag between whole positions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from henderson.covariance.correlations.base import Derivatives, Places, register_correlation


@dataclass(frozen=True)
class _Jet:
    """Values (k,) with first (m, k) and second (m, m, k) derivatives in m parameters."""

    value: np.ndarray
    first: np.ndarray
    second: np.ndarray

    def __add__(self, other: _Jet) -> _Jet:
        return _Jet(self.value + other.value, self.first + other.first, self.second + other.second)

    def __neg__(self) -> _Jet:
        return _Jet(-self.value, -self.first, -self.second)

    def __mul__(self, other: _Jet) -> _Jet:
        cross = self.first[:, None] * other.first
        return _Jet(
            self.value * other.value,
            self.first * other.value + self.value * other.first,
            self.second * other.value + cross + cross.swapaxes(0, 1) + self.value * other.second,
        )

    def __getitem__(self, key: slice) -> _Jet:
        return _Jet(self.value[key], self.first[:, key], self.second[:, :, key])

    def sum(self) -> _Jet:
        return _Jet(*(a.sum(axis=-1, keepdims=True) for a in self._parts))

    def then(self, other: _Jet) -> _Jet:
        """Both, end to end."""
        pairs = zip(self._parts, other._parts, strict=True)
        return _Jet(*(np.concatenate(pair, axis=-1) for pair in pairs))

    @property
    def _parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.value, self.first, self.second


def constant(values: np.ndarray, m: int) -> _Jet:
    k = len(values)
    return _Jet(values, np.zeros((m, k)), np.zeros((m, m, k)))


def partial_correlations(phi: np.ndarray) -> _Jet:
    """tanh(phi), each a function of its own parameter."""
    each = np.arange(len(phi))
    t = np.tanh(phi)
    out = constant(t, len(phi))
    out.first[each, each] = 1.0 - t * t
    out.second[each, each, each] = -2.0 * t * (1.0 - t * t)
    return out


def autocorrelations(phi: np.ndarray) -> _Jet:
    """Correlations at lags 0..m from partial autocorrelations tanh(phi) (m,).

    The Durbin-Levinson recursion: any partial autocorrelations between -1 and 1 belong to one
    positive definite Toeplitz matrix and the other way round (Barndorff-Nielsen and Schou 1973,
    J. Multivariate Anal. 3, 408-419).
    """
    m = len(phi)
    one = constant(np.ones(1), m)
    partial, r, left = partial_correlations(phi), one, one
    weights = partial[0:0]
    for k in range(m):
        this = partial[k : k + 1]
        r = r.then((weights * r[k:0:-1]).sum() + this * left)
        weights = (weights + -(this * weights[::-1])).then(this)
        left = left * (one + -(this * this))
    return r


@dataclass(frozen=True)
class Toeplitz:
    """C = r[|s - t|] for whole positions; phi holds the partial autocorrelations, tanh^-1."""

    n_parameters: int
    name: str = "toep"

    def start(self) -> np.ndarray:
        return np.concatenate([np.full(1, 0.3), np.zeros(self.n_parameters - 1)])

    def natural(self, phi: np.ndarray) -> dict[str, float]:
        r = autocorrelations(phi).value
        return {f"rho{lag}": float(r[lag]) for lag in range(1, len(r))}

    def derivatives(self, phi: np.ndarray, left: np.ndarray, right: np.ndarray) -> Derivatives:
        lag = np.abs(left[..., 0] - right[..., 0]).astype(np.intp)
        r = autocorrelations(phi)
        return r.value[lag], r.first[:, lag], r.second[:, :, lag]


@register_correlation("toep")
def toeplitz(places: Places) -> Toeplitz:
    return Toeplitz(max(places.count - 1, 1))
