"""Exact first and second derivatives of the criterion in the entries of every Sigma.

For directions V_a = Z_t E_a Z_t' (E_a symmetric, the same at every level of factor t)

    d_a  = tr(Q V_a) - y'P V_a P y / s2
    d_ab = -tr(Q V_a Q V_b) + (2 / s2) y'P V_a P V_b P y - q_a q_b / nu,   q_a = y'P V_a P y / s2

with Q = P for REML and V^-1 for ML (Searle, Casella & McCulloch 1992, ch. 6). No n- or q-square
array is formed for the head: with F = Z_1'V1^-1Z_tail, N = Z_tail'V1^-1Z_tail and T as in
`criterion`, V^-1 = V1^-1 - V1^-1 Z_tail T Z_tail'V1^-1, and every trace needs only per-level blocks
and F'E_aF. P differs from V^-1 by a matrix of rank p, which the traces of REML subtract.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, singledispatch
from typing import Protocol

import numpy as np

from henderson.engine.blocks import BlockMatrix
from henderson.engine.criterion import Blocks, Factorisation


@dataclass(frozen=True)
class Direction:
    """E = e_i e_j' + e_j e_i' (or e_i e_i') in the Sigma of one factor (engine's order)."""

    factor: int
    i: int
    j: int

    def matrix(self, size: int) -> np.ndarray:
        e = np.zeros((size, size))
        e[self.i, self.j] = e[self.j, self.i] = 1.0
        return e


@dataclass(frozen=True)
class ResidualDirection:
    """The internal parameter `number` of the residual covariance."""

    number: int


AnyDirection = Direction | ResidualDirection


def _fixed_share(e: np.ndarray, c: np.ndarray) -> np.ndarray:
    """sum_j e_j C e_j' (K, K): what P takes from V^-1 in a factor's traces."""
    rows = e.transpose(1, 0, 2).reshape(e.shape[1], -1)
    return rows @ (e @ c).transpose(1, 0, 2).reshape(rows.shape).T


def gradient_blocks(f: Blocks, reml: bool) -> tuple[np.ndarray, ...]:
    """D_t = dd/dSigma_t, symmetric (K, K) per factor."""
    s2 = f.s2(reml)
    blocks = []
    for g, e, h in zip(f.g, f.e, f.h, strict=True):
        d = g.sum(0) - h.T @ h / s2
        if reml:
            d = d - _fixed_share(e, f.c)
        blocks.append((d + d.T) / 2.0)
    return tuple(blocks)


class SecondOrder(Protocol):
    """The second-order blocks of a factorisation along k directions.

    q : y'P V_a P y (k,), not yet divided by s2; quadratic : y'P V_a P V_b P y (k, k).
    x_singles : X'V^-1 V_a V^-1 X (k, p, p); x_pairs : X'V^-1 V_a V^-1 V_b V^-1 X (k, k, p, p).
    p_traces : tr(P V_a) (k,); traces(reml) : tr(Q V_a Q V_b) (k, k), Q = P (REML) or V^-1 (ML).
    sigma_entries : the entry of Sigma that each direction moves (k,).
    """

    @property
    def f(self) -> Blocks: ...
    @property
    def q(self) -> np.ndarray: ...
    @property
    def quadratic(self) -> np.ndarray: ...
    @property
    def x_singles(self) -> np.ndarray: ...
    @property
    def x_pairs(self) -> np.ndarray: ...
    @property
    def p_traces(self) -> np.ndarray: ...
    @property
    def sigma_entries(self) -> np.ndarray: ...
    def traces(self, reml: bool) -> np.ndarray: ...


def information(second: SecondOrder) -> np.ndarray:
    """tr(P G_a P G_b) (k + 1, k + 1), the last direction that of the residual variance.

    That direction is V - sum_a s_a V_a, and PVP = P, so its traces follow from the others.
    """
    s, pairs, singles = second.sigma_entries, second.traces(True), second.p_traces
    residual = singles - pairs @ s
    corner = second.f.nu(True) - 2.0 * float(s @ singles) + float(s @ pairs @ s)
    return np.block([[pairs, residual[:, None]], [residual[None], np.array([[corner]])]])


@dataclass(frozen=True)
class BlockSecondOrder:
    """The second-order blocks from the blocked factorisation; see `SecondOrder`."""

    f: Factorisation
    directions: Sequence[Direction]

    def _size(self, factor: int) -> int:
        return self.f.cross.sizes[factor][1]

    def of(self, factor: int) -> list[int]:
        """Positions of the directions that belong to a factor."""
        return [a for a, d in enumerate(self.directions) if d.factor == factor]

    @cached_property
    def matrices(self) -> list[np.ndarray]:
        return [d.matrix(self._size(d.factor)) for d in self.directions]

    @cached_property
    def q(self) -> np.ndarray:
        return np.array(
            [
                np.sum((self.f.h[d.factor] @ e) * self.f.h[d.factor])
                for d, e in zip(self.directions, self.matrices, strict=True)
            ]
        )

    # -- quadratic forms ---------------------------------------------------------------------

    @cached_property
    def quadratic(self) -> np.ndarray:
        """y'P V_a P V_b P y, (k, k)."""
        w = [self.f.h[d.factor] @ e for d, e in zip(self.directions, self.matrices, strict=True)]
        return self._p_products(w)

    def _p_products(self, w: Sequence[np.ndarray]) -> np.ndarray:
        """w_a' Z_s' P Z_t w_b for effects w_a (J, K) of the factor of direction a."""
        f, count = self.f, len(w)
        x_part = np.array(
            [
                np.einsum("jk,jkp->p", v, f.e[d.factor])
                for v, d in zip(w, self.directions, strict=True)
            ]
        ).reshape(count, f.cross.p)
        return self.v_products(w) - x_part @ f.c @ x_part.T

    def v_products(self, w: Sequence[np.ndarray]) -> np.ndarray:
        """w_a' Z_s' V^-1 Z_t w_b, (k, k)."""
        f, m, count = self.f, self.f.cross.m, len(w)
        gd_w = np.zeros((count, count))
        tail = np.zeros((count, m))
        solved = np.zeros((count, m))
        heads = self.of(0)
        if heads:
            flat = np.array([w[a].ravel() for a in heads])
            moved = np.array([(np.einsum("jkl,jl->jk", f.gd, w[a])).ravel() for a in heads])
            gd_w[np.ix_(heads, heads)] = flat @ moved.T
            if f.f_tail is not None:
                solved[heads] = (f.f_tail.T @ flat.T).T
        for a, d in enumerate(self.directions):
            if d.factor > 0:
                tail[a, f.cross.tail[d.factor - 1]] = w[a].ravel()
        within = f.n_zz.apply(tail.T).T
        solved = solved + within
        cross = solved @ tail.T
        plain = gd_w + cross + cross.T - within @ tail.T
        return plain - solved @ f.t.apply(solved.T)

    # -- what the fixed effects feel ----------------------------------------------------------

    @cached_property
    def x_singles(self) -> np.ndarray:
        """X'V^-1 V_a V^-1 X, (k, p, p)."""
        f, p = self.f, self.f.cross.p
        out = np.empty((len(self.directions), p, p))
        for a, (d, e) in enumerate(zip(self.directions, self.matrices, strict=True)):
            x = f.e[d.factor]
            out[a] = x.reshape(x.shape[0] * x.shape[1], p).T @ (e @ x).reshape(-1, p) if p else 0.0
        return out

    @cached_property
    def x_pairs(self) -> np.ndarray:
        """X'V^-1 V_a V^-1 V_b V^-1 X, (k, k, p, p)."""
        f, p, k = self.f, self.f.cross.p, len(self.directions)
        each = BlockSecondOrder(f, [d for d in self.directions for _ in range(p)])
        moved = [e @ f.e[d.factor] for d, e in zip(self.directions, self.matrices, strict=True)]
        products = each.v_products([m[:, :, i] for m in moved for i in range(p)])
        return products.reshape(k, p, k, p).transpose(0, 2, 1, 3)

    # -- traces ------------------------------------------------------------------------------

    @cached_property
    def sigma_entries(self) -> np.ndarray:
        """The entry of Sigma that each direction moves, (k,)."""
        return np.array([self.f.sigmas[d.factor][d.i, d.j] for d in self.directions])

    @cached_property
    def p_traces(self) -> np.ndarray:
        """tr(P V_a), (k,)."""
        sums = [
            g.sum(0) - _fixed_share(e, self.f.c) for g, e in zip(self.f.g, self.f.e, strict=True)
        ]
        pairs = zip(self.directions, self.matrices, strict=True)
        return np.array([np.sum(sums[d.factor] * e) for d, e in pairs])

    def traces(self, reml: bool) -> np.ndarray:
        """tr(Q V_a Q V_b), (k, k): Q = P (REML) or V^-1 (ML)."""
        return self.v_traces() - self._fixed_part() if reml else self.v_traces()

    def v_traces(self) -> np.ndarray:
        """tr(V^-1 V_a V^-1 V_b), (k, k)."""
        out = np.zeros((len(self.directions),) * 2)
        heads = self.of(0)
        if heads:
            out[np.ix_(heads, heads)] = self._head_traces(heads)
        for s in range(1, len(self.f.cross.sizes)):
            for t in range(1, s + 1):
                self._put(out, s, t, self._tail_traces(s, t))
            self._put(out, s, 0, self._mixed_traces(s))
        return out

    def _fixed_part(self) -> np.ndarray:
        """tr(V^-1 V_a V^-1 V_b) - tr(P V_a P V_b) = 2 tr(C Q_ab) - tr(C N_a C N_b)."""
        moved = self.f.c @ self.x_singles
        return 2.0 * self._pair_traces() - np.einsum("apq,bqp->ab", moved, moved)

    def _pair_traces(self) -> np.ndarray:
        """tr(C X'V^-1 V_a V^-1 V_b V^-1 X), (k, k), one rotated column of X at a time."""
        f = self.f
        values, vectors = np.linalg.eigh(f.c)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        rotated = [e @ root for e in f.e]
        out = np.zeros((len(self.directions),) * 2)
        for i in range(f.cross.p):
            out += self.v_products(
                [
                    rotated[d.factor][:, :, i] @ e
                    for d, e in zip(self.directions, self.matrices, strict=True)
                ]
            )
        return out

    def _put(self, out: np.ndarray, s: int, t: int, block: np.ndarray) -> None:
        out[np.ix_(self.of(s), self.of(t))] = block
        out[np.ix_(self.of(t), self.of(s))] = block.T

    @cached_property
    def _outers(self) -> list[BlockMatrix]:
        """F' (I kron E_a) F (m, m) per direction of the head."""
        f = self.f
        if f.f_tail is None:
            return []
        levels, pattern = f.gd.shape[0], f.n_zz.pattern
        out = []
        for a in self.of(0):
            e = self.matrices[a]
            out.append(pattern.gram(f.f_tail, np.broadcast_to(e, (levels, *e.shape)).copy()))
        return out

    @cached_property
    def _far(self) -> list[BlockMatrix]:
        """F' (I kron E_a) F W (m, m) per direction of the head."""
        if self.f.tail_is_zero:
            return self._outers
        return [o.product(self.f.w) for o in self._outers]

    def _head_traces(self, heads: list[int]) -> np.ndarray:
        k = self._size(0)
        gd = self.f.gd.reshape(-1, k * k)
        taken = self.f.s_head.reshape(-1, k * k)
        both = gd.T @ taken
        basis = np.array([self.matrices[a] for a in heads])
        near = _contract(gd.T @ gd - both - both.T, basis, basis)
        if not self._outers or self.f.tail_is_zero:
            return near
        moved = [self.f.t.product(o) for o in self._outers]
        return near + BlockMatrix.inner_products(moved)

    def _tail_traces(self, s: int, t: int) -> np.ndarray:
        ks, kt = self._size(s), self._size(t)
        parts = self.f.g_tail.part(s - 1, t - 1)
        return _contract(
            np.sum([_pair_products(part, ks, kt) for part in parts], axis=0),
            np.array([self.matrices[a] for a in self.of(s)]),
            np.array([self.matrices[b] for b in self.of(t)]),
        )

    def _mixed_traces(self, s: int) -> np.ndarray:
        """Between tail factor s and the head: tr(E_b W'F'E_aF W), W = I - T N."""
        f, size = self.f, self._size(s)
        sums = [f.w.inner_diagonal(moved, s - 1, size) for moved in self._far]
        return np.array([[np.sum(self.matrices[b] * x) for x in sums] for b in self.of(s)])


@singledispatch
def second_order(f: Blocks, directions: Sequence[AnyDirection]) -> SecondOrder:
    """The second-order blocks of a factorisation of any kind, which registers its own."""
    raise TypeError(f"No second-order blocks for {type(f).__name__}.")


@second_order.register
def _(f: Factorisation, directions: Sequence[AnyDirection]) -> SecondOrder:
    return BlockSecondOrder(f, [d for d in directions if isinstance(d, Direction)])


def hessian(
    f: Blocks, directions: Sequence[AnyDirection], reml: bool, *, exact: bool = True
) -> np.ndarray:
    """The second derivatives d_ab (k, k), or without `exact` the average information.

    The average information, quad / s2 - q q' / nu, needs no traces (Gilmour, Thompson & Cullis
    1995, Biometrics 51).
    """
    second = second_order(f, directions)
    s2 = f.s2(reml)
    q = second.q / s2
    if not exact:
        return second.quadratic / s2 - np.outer(q, q) / f.nu(reml)
    return -second.traces(reml) + 2.0 / s2 * second.quadratic - np.outer(q, q) / f.nu(reml)


def _contract(pairs: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """sum over i l k m of pairs[(i, l), (k, m)] left_a[k, i] right_b[l, m]."""
    ks, kt = left.shape[1], right.shape[1]
    tensor = pairs.reshape(ks, kt, ks, kt)
    first = np.tensordot(left, tensor, axes=((1, 2), (2, 0)))
    return first.reshape(len(left), -1) @ right.reshape(len(right), -1).T


def _pair_products(q: np.ndarray, ks: int, kt: int) -> np.ndarray:
    """sum over the (K_s, K_t) blocks b of a stack (c, r, s) of vec(b) vec(b)'."""
    count, rows, cols = q.shape
    blocks = q.reshape(count, rows // ks, ks, cols // kt, kt)
    flat = blocks.transpose(0, 1, 3, 2, 4).reshape(-1, ks * kt)
    return flat.T @ flat
