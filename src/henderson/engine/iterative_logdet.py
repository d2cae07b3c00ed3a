"""log|S| of the iterative engine, with a standard error.

With S = R (I + E) R' for the Cholesky factors R of its blocks D_j, E has no diagonal blocks, so

    log|S| = log|D| + tr f(I + E),   f(x) = log x - (x - 1),

and f is of second order in E: the traces that random probes estimate vary hundreds of times less
than those of log. The effects that all levels of a factor share are the one direction in which
I + E is far from I in a connected design; they are taken out of the probes and added exactly
(Meyer, Musco, Musco & Woodruff 2021, Hutch++). z'f(I + E)z comes from Lanczos' method.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from henderson.engine.iterative_solver import (
    TailMatrix,
    conjugate_gradients,
    log_quadratic,
    on_levels,
)


def log_determinant(s: TailMatrix) -> tuple[float, float]:
    """log|S| and its standard error, from more and more probes until that is small enough."""
    if s.is_identity:
        return 0.0, 0.0
    cross, effort, scaled = s.cross, s.cross.effort, Scaled(s)
    q = scaled.shared_effects
    samples, error, number = np.zeros(0), np.inf, 0
    while not len(samples) or (len(samples) < effort.most and error > effort.error):
        number += 1
        z = cross.lot(number)
        samples = np.append(samples, scaled.quadratic(z - q @ (q.T @ z)))
        complete = effort.is_complete(cross.m)
        error = 0.0 if complete else float(samples.std(ddof=1) / np.sqrt(len(samples)))
    exact = scaled.log_blocks + float(scaled.quadratic(q).sum())
    return exact + float(samples.mean()), error


@dataclass(frozen=True)
class Scaled:
    """I + E = R^-1 S R^-T."""

    s: TailMatrix

    @cached_property
    def roots(self) -> tuple[np.ndarray, ...]:
        """R, the Cholesky factors of D_j, (J, K, K) per factor of the tail."""
        return tuple(np.linalg.cholesky(np.eye(d.shape[1]) + d) for d in self.s.less_one)

    @property
    def log_blocks(self) -> float:
        """log|D|."""
        diagonals = [np.einsum("jkk->jk", r) for r in self.roots]
        return 2.0 * sum(float(np.log(d).sum()) for d in diagonals)

    def rooted(self, v: np.ndarray, *, transposed: bool = False) -> np.ndarray:
        """R v, or R'v, for columns v (m, r)."""
        parts = []
        for where, root in zip(self.s.cross.tail, self.roots, strict=True):
            parts.append(on_levels(root.swapaxes(1, 2) if transposed else root, v[where]))
        return np.concatenate(parts)

    @cached_property
    def shared_effects(self) -> np.ndarray:
        """Orthonormal (m, k): R' times those of the design."""
        columns = self.rooted(self.s.cross.shared_effects, transposed=True)
        basis: np.ndarray = np.linalg.qr(columns).Q
        return basis

    def quadratic(self, z: np.ndarray) -> np.ndarray:
        """z'f(I + E)z for each column of z (m, r)."""
        solved = conjugate_gradients(self.s, self.rooted(z), self.s.cross.effort.log)
        return np.einsum("ir,ir->r", z, z) * log_quadratic(solved)
