"""The internal parameters of all the terms, and the chain rule from Sigma to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from henderson.covariance.residual.base import ResidualModel
from henderson.engine.crossproducts import CrossProducts
from henderson.engine.dense import DenseProducts
from henderson.engine.derivatives import AnyDirection, Direction, ResidualDirection
from henderson.engine.iterative_products import IterativeProducts
from henderson.engine.problem import Grouping, Term


@dataclass(frozen=True)
class Layout:
    """Where the parameters of each term, and then of the residuals, stand in one long vector phi.

    terms : (factor in the engine's order, Term), one per term.
    directions : the entries of Sigma that terms may move, term by term, and the residual's own.
    residual : the residual covariance, if it is structured.
    """

    terms: tuple[tuple[int, Term], ...]
    sizes: tuple[int, ...]
    directions: tuple[AnyDirection, ...]
    residual: ResidualModel | None = None

    @staticmethod
    def of(
        groupings: tuple[Grouping, ...],
        cross: CrossProducts | DenseProducts | IterativeProducts,
    ) -> Layout:
        """The layout of the caller's factors, in the engine's order."""
        terms = tuple(
            (place, term) for place, t in enumerate(cross.order) for term in groupings[t].terms
        )
        directions = tuple(
            Direction(factor, i, j)
            for factor, term in terms
            for i in range(term.columns.start, term.columns.stop)
            for j in range(term.columns.start, i + 1)
        )
        residual = cross.residual if isinstance(cross, DenseProducts) else None
        own = 0 if residual is None else residual.n_parameters
        every: tuple[AnyDirection, ...] = directions
        every += tuple(ResidualDirection(a) for a in range(own))
        return Layout(terms, tuple(size for _, size in cross.sizes), every, residual)

    @property
    def sigma_directions(self) -> tuple[Direction, ...]:
        return tuple(d for d in self.directions if isinstance(d, Direction))

    @property
    def n_residual(self) -> int:
        return 0 if self.residual is None else self.residual.n_parameters

    def residual_part(self, phi: np.ndarray) -> np.ndarray:
        """The residual's own parameters."""
        return phi[len(phi) - self.n_residual :]

    def _residual_start(self) -> np.ndarray:
        return np.zeros(0) if self.residual is None else self.residual.start()

    def split(self, phi: np.ndarray) -> list[np.ndarray]:
        """phi, term by term."""
        counts = [len(term.structure.zero()) for _, term in self.terms]
        return np.split(phi, np.cumsum(counts))[:-1]

    def zero(self) -> np.ndarray:
        """phi of no random effects, the residuals at their start."""
        parts = [term.structure.zero() for _, term in self.terms]
        return np.concatenate([*parts, self._residual_start()])

    def start(self, sigmas: list[np.ndarray], residual: np.ndarray | None = None) -> np.ndarray:
        """phi from a positive definite estimate of every factor's Sigma (K, K)."""
        parts = [
            term.structure.start(sigmas[factor][term.columns, term.columns])
            for factor, term in self.terms
        ]
        return np.concatenate([*parts, self._residual_start() if residual is None else residual])

    def factors(self, phi: np.ndarray) -> list[np.ndarray]:
        """M_t (K, K) per factor, block-diagonal over its terms."""
        out = [np.zeros((size, size)) for size in self.sizes]
        for (factor, term), part in zip(self.terms, self.split(phi), strict=True):
            out[factor][term.columns, term.columns] = term.structure.factor(part)
        return out

    def tangent(self, phi: np.ndarray) -> np.ndarray:
        """Scaled basis of the directions of phi that change the covariance."""
        parts = self.split(phi)
        blocks = [t.structure.tangent(part) for (_, t), part in zip(self.terms, parts, strict=True)]
        return diagonal([*blocks, np.eye(self.n_residual)])

    def jacobian(self, phi: np.ndarray) -> np.ndarray:
        """d(entries of Sigma along `directions`)/dphi, (k, m)."""
        blocks = []
        for (_, term), part in zip(self.terms, self.split(phi), strict=True):
            rows, cols = np.tril_indices(term.structure.size)
            blocks.append(term.structure.jacobian(part)[:, rows, cols].T)
        return diagonal([*blocks, np.eye(self.n_residual)])

    def gradient(self, phi: np.ndarray, d: tuple[np.ndarray, ...]) -> np.ndarray:
        """dd/dphi of the terms from D_t = dd/dSigma_t."""
        parts = [
            np.einsum(
                "aij,ij->a", term.structure.jacobian(part), d[factor][term.columns, term.columns]
            )
            for (factor, term), part in zip(self.terms, self.split(phi), strict=True)
        ]
        return np.concatenate(parts or [np.zeros(0)])

    def curvature(self, phi: np.ndarray, d: tuple[np.ndarray, ...]) -> np.ndarray:
        """The part of d2d/dphi2 that comes from the curvature of the terms' Sigma(phi)."""
        blocks = [
            term.structure.curvature(part, d[factor][term.columns, term.columns])
            for (factor, term), part in zip(self.terms, self.split(phi), strict=True)
        ]
        return diagonal(blocks)


def diagonal(blocks: Sequence[np.ndarray]) -> np.ndarray:
    """Block-diagonal; empty blocks leave no trace. (scipy's costs more than these small fits.)"""
    full = [b for b in blocks if b.size]
    if len(full) == 1:
        return full[0]
    out = np.zeros((sum(b.shape[0] for b in full), sum(b.shape[1] for b in full)))
    row = column = 0
    for b in full:
        height, width = b.shape
        out[row : row + height, column : column + width] = b
        row, column = row + height, column + width
    return out
