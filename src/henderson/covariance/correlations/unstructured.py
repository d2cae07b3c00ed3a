"""`us`: a correlation of its own for every pair of visits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from henderson.covariance.correlations.base import Derivatives, Places, register_correlation


@dataclass(frozen=True)
class UnstructuredCorrelation:
    """C = L L' over `count` visits, the rows of L unit vectors made of partial correlations.

    Row i of L is (t_1, s_1 t_2, s_1 s_2 t_3, ..., s_1 ... s_i) with t = tanh(phi), s = sech(phi)
    of its own i parameters: every correlation matrix is reached by one phi (Joe 2006,
    J. Multivariate Anal. 97, 2177-2189). Positions are visits 0, 1, ...; the derivatives take
    memory count^6 / 4: meant for twenty visits or fewer.
    """

    count: int
    labels: tuple[str, ...] = ()
    name: str = "us"

    @property
    def n_parameters(self) -> int:
        return self.count * (self.count - 1) // 2

    def start(self) -> np.ndarray:
        return np.zeros(self.n_parameters)

    def natural(self, phi: np.ndarray) -> dict[str, float]:
        names = self.labels or tuple(str(i + 1) for i in range(self.count))
        c = self._table(phi)[0]
        return {
            f"rho[{names[j]},{names[i]}]": float(c[i, j])
            for j in range(self.count)
            for i in range(j + 1, self.count)
        }

    def derivatives(self, phi: np.ndarray, left: np.ndarray, right: np.ndarray) -> Derivatives:
        c, c1, c2 = self._table(phi)
        i, j = left[..., 0].astype(np.intp), right[..., 0].astype(np.intp)
        return c[i, j], c1[:, i, j], c2[:, :, i, j]

    def _table(self, phi: np.ndarray) -> Derivatives:
        """C (T, T) and its derivatives (m, T, T), (m, m, T, T)."""
        lower, l1, l2 = self._factor(phi)
        half1 = l1 @ lower.T
        half2 = l2 @ lower.T + np.einsum("aik,bjk->abij", l1, l1)
        return lower @ lower.T, half1 + half1.swapaxes(1, 2), half2 + half2.swapaxes(2, 3)

    def _factor(self, phi: np.ndarray) -> Derivatives:
        """L (T, T) and its derivatives (m, T, T), (m, m, T, T)."""
        t, m = self.count, self.n_parameters
        lower, l1, l2 = np.zeros((t, t)), np.zeros((m, t, t)), np.zeros((m, m, t, t))
        lower[0, 0] = 1.0
        for i in range(1, t):
            own = slice(i * (i - 1) // 2, i * (i + 1) // 2)
            row = slice(0, i + 1)
            lower[i, row], l1[own, i, row], l2[own, own, i, row] = _unit_row(phi[own])
        return lower, l1, l2


def _unit_row(phi: np.ndarray) -> Derivatives:
    """A unit vector (i + 1,) from i parameters, with derivatives (i, i + 1), (i, i, i + 1).

    Entry j is the product over k of f_jk(phi_k): sech for k < j, tanh for k = j, one beyond.
    """
    i = len(phi)
    t = np.tanh(phi)
    s = 1.0 / np.cosh(phi)
    k, j = np.arange(i), np.arange(i + 1)[:, None]
    before, at = k < j, k == j
    value = np.where(before, s, np.where(at, t, 1.0))
    first = np.where(before, -s * t, np.where(at, s * s, 0.0))
    second = np.where(before, s * (t * t - s * s), np.where(at, -2.0 * t * s * s, 0.0))
    d1, d2 = np.empty((i, i + 1)), np.empty((i, i, i + 1))
    for a in range(i):
        d1[a] = _product(value, {a: first})
        d2[a, a] = _product(value, {a: second})
        for b in range(a):
            d2[a, b] = d2[b, a] = _product(value, {a: first, b: first})
    return value.prod(axis=1), d1, d2


def _product(value: np.ndarray, other: dict[int, np.ndarray]) -> np.ndarray:
    """The products over the last axis, some columns taken from another array."""
    factors = value.copy()
    for k, source in other.items():
        factors[:, k] = source[:, k]
    return np.asarray(factors.prod(axis=1))


@register_correlation("us")
def unstructured(places: Places) -> UnstructuredCorrelation:
    return UnstructuredCorrelation(max(places.count, 2), places.labels)
