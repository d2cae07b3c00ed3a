"""Conjugate gradients on S = I + Lambda'N Lambda, N = Z_tail'V1^-1Z_tail, without making S.

With W_j = M (I + M'Z_j'Z_jM)^-1 M' for the head's levels, V1^-1 = I - Z_1 W Z_1', and so
N v = Z_tail'Z_tail v - B'W(B v) with the cells B = Z_1'Z_tail: two sparse products. The blocks
D_j of S for single levels are known exactly and precondition it (Hestenes & Stiefel 1952; in
crossed designs the number of iterations does not grow with the data: Pandolfi, Papaspiliopoulos &
Zanella 2024, arXiv 2411.04729).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from henderson.engine.iterative_products import IterativeProducts
from henderson.errors import FitError


@dataclass(frozen=True)
class Head:
    """The head eliminated at one Sigma: blocks (J, K, K) per level.

    weight : W with V1^-1 = I - Z_1 W Z_1'; left : I - Z_j'Z_j W, so that Z_1'V1^-1 = left Z_1';
    gd : Z_j'V1^-1Z_j; log_v : log|V1|.
    """

    weight: np.ndarray
    left: np.ndarray
    gd: np.ndarray
    log_v: float

    @staticmethod
    def at(squares: np.ndarray, factor: np.ndarray) -> Head:
        eye = np.eye(len(factor))
        h = eye + factor.T @ squares @ factor
        weight = factor @ np.linalg.solve(h, np.broadcast_to(factor.T, h.shape))
        left = eye - squares @ weight
        log_v = float(np.linalg.slogdet(h)[1].sum())
        return Head(weight, left, left @ squares, log_v)


def on_levels(blocks: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Block j of (J, K, K) times the K rows of level j of columns (J K, r)."""
    levels, size, _ = blocks.shape
    if size == 1:
        return blocks[:, :, 0] * columns
    return (blocks @ columns.reshape(levels, size, -1)).reshape(columns.shape)


@dataclass(frozen=True)
class TailMatrix:
    """S at one Sigma, to be multiplied and solved; factors : M_t (K, K) of the tail."""

    cross: IterativeProducts
    head: Head
    factors: tuple[np.ndarray, ...]

    def n_times(self, v: np.ndarray) -> np.ndarray:
        """N v for columns v (m, r)."""
        cross = self.cross
        out = -cross.across.times(on_levels(self.head.weight, cross.cells.times(v)))
        for s, square in zip(cross.tail, cross.squares[1:], strict=True):
            out[s] += on_levels(square, v[s])
        if cross.between is not None:
            out += cross.between.times(v)
        return out

    def scale(self, v: np.ndarray, *, transposed: bool = False) -> np.ndarray:
        """Lambda v, or Lambda'v, for columns v (m, r)."""
        parts = []
        for s, factor in zip(self.cross.tail, self.factors, strict=True):
            m = factor.T if transposed else factor
            part = v[s].reshape(len(v[s]) // len(m), len(m), v.shape[1])
            parts.append((m[0, 0] * part if len(m) == 1 else m @ part).reshape(v[s].shape))
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    def times(self, v: np.ndarray) -> np.ndarray:
        """S v for columns v (m, r)."""
        return v + self.scale(self.n_times(self.scale(v)), transposed=True)

    @cached_property
    def near(self) -> tuple[np.ndarray, ...]:
        """The blocks of N for single levels, (J, K, K) per factor of the tail."""
        return tuple(
            square - cells.second_sums(self.head.weight)
            for square, cells in zip(self.cross.squares[1:], self.cross.met, strict=True)
        )

    @cached_property
    def less_one(self) -> tuple[np.ndarray, ...]:
        """D_j - I = M'N_jM."""
        return tuple(m.T @ n @ m for m, n in zip(self.factors, self.near, strict=True))

    @cached_property
    def inverse_blocks(self) -> tuple[np.ndarray, ...]:
        """D_j^-1."""
        return tuple(np.linalg.inv(np.eye(d.shape[1]) + d) for d in self.less_one)

    def precondition(self, v: np.ndarray) -> np.ndarray:
        """D^-1 v for columns v (m, r)."""
        parts = [
            on_levels(d, v[s]) for s, d in zip(self.cross.tail, self.inverse_blocks, strict=True)
        ]
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    @property
    def is_identity(self) -> bool:
        return not any(m.any() for m in self.factors)

    def solve(self, right: np.ndarray, tolerance: float) -> np.ndarray:
        """S^-1 right for columns (m, r)."""
        if self.is_identity:
            return right.copy()
        return conjugate_gradients(self, right, tolerance).x


@dataclass(frozen=True)
class Solved:
    """x (m, r), and the steps of the iteration: lengths and ratios, each (iterations, r).

    first : S D^-1 right (m, r), which the first step needs.
    """

    x: np.ndarray
    first: np.ndarray
    lengths: np.ndarray
    ratios: np.ndarray


def conjugate_gradients(s: TailMatrix, right: np.ndarray, tolerance: float) -> Solved:
    """Solve S x = right (m, r), every column with steps of its own.

    A column is done when its residual is `tolerance` times what it would be at x = 0, or after one
    step if that is smaller: what the preconditioner alone gets wrong is then known to that share.

    Raises
    ------
    FitError : not there within the iterations allowed.
    """
    x = np.zeros_like(right)
    residual = right.copy()
    z = s.precondition(residual)
    direction = z.copy()
    size, first = _dots(residual, z), np.zeros_like(right)
    goal = tolerance**2 * size
    lengths, ratios = [], []
    for step in range(s.cross.effort.limit):
        if not (size > goal).any():
            break
        moved = s.times(direction)
        first = moved if step == 0 else first
        length = _ratio(size, _dots(direction, moved))
        x += length * direction
        residual -= length * moved
        z = s.precondition(residual)
        last, size = size, _dots(residual, z)
        if step == 0:
            goal = np.maximum(tolerance**2 * np.minimum(last, size), 1e-30 * last)
        ratio = _ratio(size, last)
        direction *= ratio
        direction += z
        lengths.append(length)
        ratios.append(ratio)
    else:
        raise FitError(
            f"The iterative solver did not converge in {s.cross.effort.limit} steps: the grouping "
            "factors are nearly nested, or predictors of random slopes nearly collinear. Leave out "
            "a random term, or fit with engine='exact' if memory allows."
        )
    steps = (np.array(v).reshape(len(v), right.shape[1]) for v in (lengths, ratios))
    return Solved(x, first, *steps)


def _dots(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Inner products of matching columns (r,)."""
    return np.einsum("ir,ir->r", a, b)


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b, zero where b is: a column that is solved stands still."""
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0.0)


def log_quadratic(solved: Solved) -> np.ndarray:
    """e_1'(log T - T + I)e_1 (r,) for the tridiagonal T that the steps of every column define.

    T is that of Lanczos' method from the same start (Golub & Meurant 2010, Matrices, Moments and
    Quadrature, chapter 4; Ubaru, Chen & Saad 2017, SIAM J. Matrix Anal. Appl. 38(4)).
    """
    count = solved.lengths.shape[1]
    return np.array([_one_log(solved.lengths[:, r], solved.ratios[:, r]) for r in range(count)])


def _one_log(lengths: np.ndarray, ratios: np.ndarray) -> float:
    moving = lengths > 0.0
    count = len(moving) if moving.all() else int(np.argmin(moving))
    if count == 0:
        return 0.0
    a, b = 1.0 / lengths[:count], ratios[: max(0, count - 1)]
    diagonal = a.copy()
    diagonal[1:] += b * a[:-1]
    side = np.sqrt(b) * a[: len(b)]
    values, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(side, 1) + np.diag(side, -1))
    return float(vectors[0] ** 2 @ (np.log(np.maximum(values, 1e-300)) - values + 1.0))
