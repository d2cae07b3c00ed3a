"""Structures that are variances times a correlation function: `cs`, `ar1`, `toep`, `exp` and kin.

    Sigma = S C S,   S = diag(s_1, ..., s_K),

C a correlation function of the columns' positions, all s_k the same or, in the structures whose
name begins with h, each its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from henderson.covariance.base import (
    SMALL,
    Rotation,
    Structure,
    register,
    register_positioned,
    standard_deviations,
)
from henderson.covariance.correlations import Correlation, Places, make_correlation
from henderson.covariance.diagonal import Diagonal
from henderson.covariance.nearest import nearest

# name -> (correlation function, each column its own variance). Positions are needed where the
# correlation depends on them.
KINDS = {
    "cs": ("cs", False),
    "hcs": ("cs", True),
    "ar1": ("ar1", False),
    "har1": ("ar1", True),
    "toep": ("toep", False),
    "htoep": ("toep", True),
    "ou": ("car1", False),
    "exp": ("exp", False),
    "gau": ("gau", False),
}
WITHOUT_POSITIONS = frozenset({"cs", "hcs"})
# A column's share of the variance is kept above this when a start is taken from an estimate.
LEAST = 1e-9


@dataclass(frozen=True, eq=False)
class Correlated:
    """Sigma = S C(phi_c) S for K columns at `positions` (K, d).

    phi = (sd, l, phi_c). One variance: every s_k is sd, and l is empty. A variance each:

        s_k^2 = sd^2 K w_k,   w = softmax(l),

    so that sd^2 is the mean variance and l (K,) is redundant by a constant. The sign of sd does not
    matter, and sd = 0 is a stationary point. Sigma is dense: forty positions or fewer are meant.
    """

    name: str
    size: int
    correlation: Correlation
    positions: np.ndarray
    heterogeneous: bool = False
    linear: bool = False

    @property
    def rotation(self) -> Rotation:
        return "diagonal" if self.heterogeneous else "scalar"

    @property
    def n_parameters(self) -> int:
        return (self.size if self.heterogeneous else 1) + self.correlation.n_parameters

    @property
    def n_scales(self) -> int:
        """Internal parameters of S."""
        return 1 + self.size if self.heterogeneous else 1

    @cached_property
    def _ends(self) -> tuple[np.ndarray, np.ndarray]:
        shape = (self.size, self.size, self.positions.shape[1])
        left = np.broadcast_to(self.positions[:, None], shape)
        return left, np.broadcast_to(self.positions[None], shape)

    def _correlations(self, phi: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """C (K, K) with derivatives (m_c, K, K), (m_c, m_c, K, K)."""
        c, c1, c2 = self.correlation.derivatives(phi[self.n_scales :], *self._ends)
        eye = np.eye(self.size, dtype=bool)
        return np.where(eye, 1.0, c), np.where(eye, 0.0, c1), np.where(eye, 0.0, c2)

    def _scales(self, phi: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """s (K,) with derivatives (m_s, K), (m_s, m_s, K)."""
        k = self.size
        if not self.heterogeneous:
            return np.full(k, phi[0]), np.ones((1, k)), np.zeros((1, 1, k))
        weights = np.exp(phi[1 : k + 1] - phi[1 : k + 1].max())
        weights /= weights.sum()
        unit = np.sqrt(k * weights)
        slope = 0.5 * (np.eye(k) - weights[:, None])  # d log s_i / d l_a at [a, i]
        bend = 0.5 * (np.outer(weights, weights) - np.diag(weights))
        first, second = np.empty((k + 1, k)), np.zeros((k + 1, k + 1, k))
        first[0], first[1:] = unit, phi[0] * unit * slope
        second[0, 1:] = second[1:, 0] = unit * slope
        second[1:, 1:] = phi[0] * unit * (slope[:, None] * slope + bend[:, :, None])
        return phi[0] * unit, first, second

    def start(self, sigma: np.ndarray) -> np.ndarray:
        variances = np.maximum(np.diag(sigma), 0.0)
        mean = float(variances.mean())
        if mean == 0.0:
            return self.zero()
        shares = np.maximum(variances / mean, LEAST)
        sd = np.sqrt(mean * shares)
        logs = np.log(shares) if self.heterogeneous else np.zeros(0)
        phi = nearest(self.correlation, sigma / np.outer(sd, sd), *self._ends)
        return np.concatenate([[np.sqrt(mean)], logs, phi])

    def zero(self) -> np.ndarray:
        return np.concatenate([np.zeros(self.n_scales), self.correlation.start()])

    def factor(self, phi: np.ndarray) -> np.ndarray:
        values, vectors = np.linalg.eigh(self._correlations(phi)[0])
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        return self._scales(phi)[0][:, None] * root

    def sigma(self, phi: np.ndarray) -> np.ndarray:
        s = self._scales(phi)[0]
        return s[:, None] * self._correlations(phi)[0] * s

    def jacobian(self, phi: np.ndarray) -> np.ndarray:
        (s, s1, _), (c, c1, _) = self._scales(phi), self._correlations(phi)
        half = s1[:, :, None] * c * s
        return np.concatenate([half + half.swapaxes(1, 2), s[:, None] * c1 * s])

    def curvature(self, phi: np.ndarray, d: np.ndarray) -> np.ndarray:
        (s, s1, s2), (c, c1, c2) = self._scales(phi), self._correlations(phi)
        scales = 2.0 * (s1 @ (d * c) @ s1.T + s2 @ ((d * c) @ s))
        mixed = 2.0 * s1 @ ((d * c1) @ s).T
        inner = np.einsum("i,abij,j->ab", s, d * c2, s)
        return np.block([[scales, mixed], [mixed.T, inner]])

    def tangent(self, phi: np.ndarray) -> np.ndarray:
        parts = [np.sqrt(phi[:1, None] ** 2 + SMALL)]
        if self.heterogeneous:
            parts.append(_contrasts(self.size))
        parts.append(np.eye(self.correlation.n_parameters))
        rows, columns = (sum(p.shape[axis] for p in parts) for axis in (0, 1))
        out, at = np.zeros((rows, columns)), [0, 0]
        for p in parts:
            out[at[0] : at[0] + p.shape[0], at[1] : at[1] + p.shape[1]] = p
            at = [at[0] + p.shape[0], at[1] + p.shape[1]]
        return out

    def natural(
        self, phi: np.ndarray, covariance: np.ndarray, names: Sequence[str] = ()
    ) -> dict[str, float]:
        sds = standard_deviations(covariance, names)
        if not self.heterogeneous:
            sds = {"sd": float(np.sqrt(max(np.diag(covariance).mean(), 0.0)))}
        return sds | self.correlation.natural(phi[self.n_scales :])


def _contrasts(size: int) -> np.ndarray:
    """An orthonormal basis (K, K - 1) of the vectors that sum to zero (Helmert's)."""
    out = np.zeros((size, size - 1))
    for j in range(1, size):
        out[:j, j - 1], out[j, j - 1] = 1.0, -j
        out[:, j - 1] /= np.sqrt(j * (j + 1))
    return out


def _correlated(name: str, size: int, positions: np.ndarray) -> Structure:
    """The structure `name`; one column has no correlations, so only its variance is left."""
    if size == 1:
        return Diagonal(1)
    kind, heterogeneous = KINDS[name]
    places = Places(size, _count(positions), _typical(positions))
    return Correlated(name, size, make_correlation(kind, places), positions, heterogeneous)


def _count(positions: np.ndarray) -> int:
    """How many whole steps the positions span, both ends counted."""
    return round(float(np.ptp(positions[:, 0]))) + 1


def _typical(positions: np.ndarray) -> float:
    """The median distance between two of the positions."""
    apart = np.sqrt(((positions[:, None] - positions) ** 2).sum(axis=-1))
    return float(np.median(apart[np.triu_indices(len(positions), 1)]))


def _register(name: str) -> None:
    if name in WITHOUT_POSITIONS:
        register(name)(lambda size: _correlated(name, size, np.zeros((size, 1))))
    else:
        register_positioned(name)(lambda size, positions: _correlated(name, size, positions))


for _name in KINDS:
    _register(_name)
