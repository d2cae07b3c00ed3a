"""A structure of its own for every stratum: `us(x | g, by=sex)`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import block_diag

from henderson.covariance.base import Rotation, Structure


@dataclass(frozen=True)
class Strata:
    """Sigma block-diagonal, `count` blocks of one structure with parameters of their own.

    The term's columns stand stratum by stratum; phi is the strata's, end to end.
    """

    each: Structure
    count: int

    @property
    def name(self) -> str:
        return f"{self.each.name} by stratum"

    @property
    def size(self) -> int:
        return self.count * self.each.size

    @property
    def n_parameters(self) -> int:
        return self.count * self.each.n_parameters

    @property
    def rotation(self) -> Rotation:
        # Columns of different strata have no row in common, so a rotation never mixes them.
        return self.each.rotation

    @property
    def linear(self) -> bool:
        return self.each.linear

    def _blocks(self, a: np.ndarray) -> list[np.ndarray]:
        """The diagonal blocks (k, k) of a matrix (K, K)."""
        k = self.each.size
        return [a[i : i + k, i : i + k] for i in range(0, self.size, k)]

    def _split(self, phi: np.ndarray) -> list[np.ndarray]:
        return np.split(phi, self.count)

    def start(self, sigma: np.ndarray) -> np.ndarray:
        return np.concatenate([self.each.start(block) for block in self._blocks(sigma)])

    def zero(self) -> np.ndarray:
        return np.tile(self.each.zero(), self.count)

    def factor(self, phi: np.ndarray) -> np.ndarray:
        return np.asarray(block_diag(*(self.each.factor(p) for p in self._split(phi))))

    def sigma(self, phi: np.ndarray) -> np.ndarray:
        return np.asarray(block_diag(*(self.each.sigma(p) for p in self._split(phi))))

    def jacobian(self, phi: np.ndarray) -> np.ndarray:
        k, parts = self.each.size, [self.each.jacobian(p) for p in self._split(phi)]
        m = len(parts[0])
        out = np.zeros((self.count * m, self.size, self.size))
        for i, part in enumerate(parts):
            out[i * m : (i + 1) * m, i * k : (i + 1) * k, i * k : (i + 1) * k] = part
        return out

    def curvature(self, phi: np.ndarray, d: np.ndarray) -> np.ndarray:
        pairs = zip(self._split(phi), self._blocks(d), strict=True)
        return np.asarray(block_diag(*(self.each.curvature(p, block) for p, block in pairs)))

    def tangent(self, phi: np.ndarray) -> np.ndarray:
        return np.asarray(block_diag(*(self.each.tangent(p) for p in self._split(phi))))

    def natural(
        self, phi: np.ndarray, covariance: np.ndarray, names: Sequence[str] = ()
    ) -> dict[str, float]:
        """Each stratum's own, named after its number or after the first part of its columns."""
        k, out = self.each.size, {}
        for i, (part, block) in enumerate(
            zip(self._split(phi), self._blocks(covariance), strict=True)
        ):
            own = [name.partition(":") for name in names[i * k : (i + 1) * k]]
            stratum = own[0][0] if own else str(i + 1)
            found = self.each.natural(part, block, [rest or first for first, _, rest in own])
            out.update({f"{key} {stratum}": value for key, value in found.items()})
        return out
