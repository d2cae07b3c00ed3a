"""The internal parameters of all the terms, and the chain rule from Sigma to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import block_diag

from henderson.engine.crossproducts import CrossProducts
from henderson.engine.derivatives import Direction
from henderson.engine.problem import Grouping, Term


@dataclass(frozen=True)
class Layout:
    """Where the parameters of each term stand in one long vector phi.

    terms : (factor in the engine's order, Term), one per term.
    directions : the entries of Sigma that terms may move, term by term.
    """

    terms: tuple[tuple[int, Term], ...]
    sizes: tuple[int, ...]
    directions: tuple[Direction, ...]

    @staticmethod
    def of(groupings: tuple[Grouping, ...], cross: CrossProducts) -> Layout:
        terms = tuple(
            (place, term) for place, t in enumerate(cross.order) for term in groupings[t].terms
        )
        directions = tuple(
            Direction(factor, i, j)
            for factor, term in terms
            for i in range(term.columns.start, term.columns.stop)
            for j in range(term.columns.start, i + 1)
        )
        return Layout(terms, tuple(size for _, size in cross.sizes), directions)

    def split(self, phi: np.ndarray) -> list[np.ndarray]:
        """phi, term by term."""
        counts = [len(term.structure.zero()) for _, term in self.terms]
        return np.split(phi, np.cumsum(counts)[:-1]) if counts else []

    def zero(self) -> np.ndarray:
        return np.concatenate([term.structure.zero() for _, term in self.terms] or [np.zeros(0)])

    def start(self, sigmas: list[np.ndarray]) -> np.ndarray:
        """phi from a positive definite estimate of every factor's Sigma (K, K)."""
        parts = [
            term.structure.start(sigmas[factor][term.columns, term.columns])
            for factor, term in self.terms
        ]
        return np.concatenate(parts or [np.zeros(0)])

    def factors(self, phi: np.ndarray) -> list[np.ndarray]:
        """M_t (K, K) per factor, block-diagonal over its terms."""
        out = [np.zeros((size, size)) for size in self.sizes]
        for (factor, term), part in zip(self.terms, self.split(phi), strict=True):
            out[factor][term.columns, term.columns] = term.structure.factor(part)
        return out

    def tangent(self, phi: np.ndarray) -> np.ndarray:
        """Orthonormal basis of the directions of phi that change some Sigma."""
        parts = self.split(phi)
        blocks = [t.structure.tangent(part) for (_, t), part in zip(self.terms, parts, strict=True)]
        return block_diag(*blocks) if blocks else np.zeros((0, 0))

    def jacobian(self, phi: np.ndarray) -> np.ndarray:
        """d(entries of Sigma along `directions`)/dphi, (k, m)."""
        blocks = []
        for (_, term), part in zip(self.terms, self.split(phi), strict=True):
            rows, cols = np.tril_indices(term.structure.size)
            blocks.append(term.structure.jacobian(part)[:, rows, cols].T)
        return block_diag(*blocks) if blocks else np.zeros((0, 0))

    def gradient(self, phi: np.ndarray, d: tuple[np.ndarray, ...]) -> np.ndarray:
        """dd/dphi from D_t = dd/dSigma_t."""
        parts = [
            np.einsum("aij,ij->a", term.structure.jacobian(part), d[factor][term.columns, term.columns])
            for (factor, term), part in zip(self.terms, self.split(phi), strict=True)
        ]
        return np.concatenate(parts or [np.zeros(0)])

    def curvature(self, phi: np.ndarray, d: tuple[np.ndarray, ...]) -> np.ndarray:
        """The part of d2d/dphi2 that comes from the curvature of Sigma(phi), (m, m)."""
        blocks = [
            term.structure.curvature(part, d[factor][term.columns, term.columns])
            for (factor, term), part in zip(self.terms, self.split(phi), strict=True)
        ]
        return block_diag(*blocks) if blocks else np.zeros((0, 0))
