"""The second-order blocks of a dense factorisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from henderson.engine.dense import DenseFactorisation, Stack
from henderson.engine.derivatives import (
    AnyDirection,
    Direction,
    ResidualDirection,
    SecondOrder,
    second_order,
)


@dataclass(frozen=True)
class DenseSecondOrder:
    """The second-order blocks of a dense factorisation; directions may be residual ones."""

    f: DenseFactorisation
    directions: Sequence[AnyDirection]

    def _stacks(self) -> list[np.ndarray]:
        """V_a for all directions: (k, count, s, s) per stack."""
        return [self._moves(stack) for stack in self.f.cross.stacks]

    def _moves(self, stack: Stack) -> np.ndarray:
        first = stack.residual.jacobian(self.f.phi)
        return np.array(
            [
                first[d.number] if isinstance(d, ResidualDirection) else stack.moved_by(d)
                for d in self.directions
            ]
        )

    @cached_property
    def sigma_entries(self) -> np.ndarray:
        """The entries of Sigma; zero along the residual's own parameters, so that the direction of
        the residual variance is R itself."""
        return np.array(
            [
                self.f.sigmas[d.factor][d.i, d.j] if isinstance(d, Direction) else 0.0
                for d in self.directions
            ]
        )

    @cached_property
    def _sums(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """tr(V^-1 V_a V^-1 V_b), tr(V^-1 V_a), V_a [V^-1X, Py] (k, n, p + 1), V^-1 times it."""
        f, k = self.f, len(self.directions)
        traces, singles = np.zeros((k, k)), np.zeros(k)
        moved = np.zeros((k, f.cross.n, f.cross.p + 1))
        solved = np.zeros_like(moved)
        ends = np.column_stack([f.vx, f.py])
        for stack, inverse, v in zip(f.cross.stacks, f.inverses, self._stacks(), strict=True):
            w = inverse @ v
            flat, turned = w.reshape(k, -1), w.swapaxes(2, 3).reshape(k, -1)
            traces += flat @ turned.T
            singles += np.einsum("acss->a", w)
            here = ends[stack.rows]
            moved[:, stack.rows] = v @ here
            solved[:, stack.rows] = w @ here
        return traces, singles, moved, solved

    @cached_property
    def q(self) -> np.ndarray:
        return self._sums[2][:, :, -1] @ self.f.py

    @cached_property
    def quadratic(self) -> np.ndarray:
        _, _, moved, solved = self._sums
        u = moved[:, :, -1]
        x = u @ self.f.vx
        return u @ solved[:, :, -1].T - x @ self.f.c @ x.T

    @cached_property
    def x_singles(self) -> np.ndarray:
        p = self.f.cross.p
        return self.f.vx.T @ self._sums[2][:, :, :p]

    @cached_property
    def x_pairs(self) -> np.ndarray:
        p, k = self.f.cross.p, len(self.directions)
        _, _, moved, solved = self._sums
        left = moved[:, :, :p].swapaxes(1, 2).reshape(k * p, moved.shape[1])
        right = solved[:, :, :p].swapaxes(1, 2).reshape(left.shape)
        return (left @ right.T).reshape(k, p, k, p).swapaxes(1, 2)

    def traces(self, reml: bool) -> np.ndarray:
        if not reml:
            return self._sums[0]
        c, moved = self.f.c, self.f.c @ self.x_singles
        fixed = 2.0 * np.einsum("pq,abqp->ab", c, self.x_pairs)
        return self._sums[0] - fixed + np.einsum("apq,bqp->ab", moved, moved)

    @cached_property
    def p_traces(self) -> np.ndarray:
        return self._sums[1] - np.einsum("pq,aqp->a", self.f.c, self.x_singles)


@second_order.register
def _(f: DenseFactorisation, directions: Sequence[AnyDirection]) -> SecondOrder:
    return DenseSecondOrder(f, directions)
