"""`us`: every variance and covariance free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from henderson.covariance.base import SMALL, Rotation, register, standard_deviations


@register("us")
@dataclass(frozen=True)
class Unstructured:
    """Sigma = M M' with M any K x K matrix.

    M and M Q (Q orthogonal) are the same Sigma: the optimiser moves only in the horizontal space
    {Delta : Delta orthogonal to M X for every skew X}, where the criterion has no flat directions
    and no curved valleys, and where Sigma on the boundary of the cone is an ordinary point.
    """

    size: int
    name: str = "us"
    rotation: Rotation = "full"
    linear: bool = True

    @property
    def n_parameters(self) -> int:
        return self.size * (self.size + 1) // 2

    def start(self, sigma: np.ndarray) -> np.ndarray:
        values, vectors = np.linalg.eigh(sigma)
        root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
        return root.ravel()

    def zero(self) -> np.ndarray:
        return np.zeros(self.size**2)

    def factor(self, phi: np.ndarray) -> np.ndarray:
        return phi.reshape(self.size, self.size)

    def sigma(self, phi: np.ndarray) -> np.ndarray:
        m = self.factor(phi)
        return m @ m.T

    def jacobian(self, phi: np.ndarray) -> np.ndarray:
        m, k = self.factor(phi), self.size
        eye = np.eye(k)
        half = np.einsum("ri,jc->rcij", eye, m)  # e_r m_c'
        return (half + half.swapaxes(2, 3)).reshape(k * k, k, k)

    def curvature(self, phi: np.ndarray, d: np.ndarray) -> np.ndarray:
        return 2.0 * np.kron(d, np.eye(self.size))

    def tangent(self, phi: np.ndarray) -> np.ndarray:
        """A horizontal space: steps are measured in the metric (Sigma + SMALL I)^-1."""
        k, m = self.size, self.factor(phi)
        if k == 1:
            return np.sqrt(m**2 + SMALL)
        u, s, v = np.linalg.svd(m)
        r = np.sqrt(s**2 + SMALL)
        scale = (u * r) @ u.T
        vertical = self._vertical((u * (s / r)) @ v)
        left, singular, _ = np.linalg.svd(vertical, full_matrices=True)
        rank = int((singular > 1e-8 * max(singular[0], 1e-12)).sum())
        return np.kron(scale, np.eye(k)) @ left[:, rank:]

    def natural(
        self, phi: np.ndarray, covariance: np.ndarray, names: Sequence[str] = ()
    ) -> dict[str, float]:
        """Standard deviations, and correlations (NaN where a variance is zero)."""
        out = standard_deviations(covariance, names)
        sd = np.array(list(out.values()))
        labels = names or [str(i + 1) for i in range(self.size)]
        for j in range(self.size):
            for i in range(j + 1, self.size):
                both = sd[i] * sd[j]
                rho = float(covariance[i, j] / both) if both > 0 else float("nan")
                out[f"rho[{labels[j]},{labels[i]}]"] = rho
        return out

    def _vertical(self, m: np.ndarray) -> np.ndarray:
        """The directions M X, X skew, that leave Sigma as it is: (K^2, K(K-1)/2)."""
        rows, cols = np.tril_indices(self.size, -1)
        moves = np.zeros((len(rows), self.size, self.size))
        each = np.arange(len(rows))
        moves[each, :, cols] += m[:, rows].T
        moves[each, :, rows] -= m[:, cols].T
        return moves.reshape(len(rows), -1).T
