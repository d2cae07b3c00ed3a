"""Exact first and second derivatives of the criterion in the entries of every Sigma.

For directions V_a = Z_t E_a Z_t' (E_a symmetric, the same at every level of factor t)

    d_a  = tr(Q V_a) - y'P V_a P y / s2
    d_ab = -tr(Q V_a Q V_b) + (2 / s2) y'P V_a P V_b P y - q_a q_b / nu,   q_a = y'P V_a P y / s2

with Q = P for REML and V^-1 for ML (Searle, Casella & McCulloch 1992, ch. 6). No n- or q-square
array is formed for the head: with U = [Z_tail, X], F = Z_1'V1^-1U, N = U'V1^-1U and T~ the inverse
that makes Q = V1^-1 - V1^-1 U T~ U'V1^-1, every trace needs only per-level blocks and F'E_aF.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from henderson.engine.criterion import Factorisation, block_diagonal, diagonal_blocks


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


def gradient_blocks(f: Factorisation, reml: bool) -> tuple[np.ndarray, ...]:
    """D_t = dd/dSigma_t, symmetric (K, K) per factor."""
    s2 = f.s2(reml)
    blocks = []
    for g, e, h in zip(f.g, f.e, f.h, strict=True):
        d = g.sum(0) - h.T @ h / s2
        if reml:
            rows = e.transpose(1, 0, 2).reshape(e.shape[1], -1)
            d = d - rows @ (e @ f.c).transpose(1, 0, 2).reshape(rows.shape).T
        blocks.append((d + d.T) / 2.0)
    return tuple(blocks)


@dataclass(frozen=True)
class SecondOrder:
    """The second-order blocks of a factorisation along a list of directions."""

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
        """y'P V_a P y, not yet divided by s2."""
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
        x_part = np.array([
            np.einsum("jk,jkp->p", v, f.e[d.factor])
            for v, d in zip(w, self.directions, strict=True)
        ]).reshape(count, f.cross.p)
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
        solved = solved + tail @ f.n_zz
        cross = solved @ tail.T
        plain = gd_w + cross + cross.T - tail @ f.n_zz @ tail.T
        return plain - solved @ f.t @ solved.T

    # -- what the fixed effects feel ----------------------------------------------------------

    @cached_property
    def x_singles(self) -> np.ndarray:
        """X'V^-1 V_a V^-1 X, (k, p, p)."""
        f, p = self.f, self.f.cross.p
        out = [
            np.einsum("jkp,kl,jlq->pq", f.e[d.factor], e, f.e[d.factor], optimize=True)
            for d, e in zip(self.directions, self.matrices, strict=True)
        ]
        return np.array(out).reshape(len(out), p, p)

    @cached_property
    def x_pairs(self) -> np.ndarray:
        """X'V^-1 V_a V^-1 V_b V^-1 X, (k, k, p, p)."""
        f, p, k = self.f, self.f.cross.p, len(self.directions)
        each = SecondOrder(f, [d for d in self.directions for _ in range(p)])
        moved = [e @ f.e[d.factor] for d, e in zip(self.directions, self.matrices, strict=True)]
        products = each.v_products([m[:, :, i] for m in moved for i in range(p)])
        return products.reshape(k, p, k, p).transpose(0, 2, 1, 3)

    # -- traces ------------------------------------------------------------------------------

    @cached_property
    def p_traces(self) -> np.ndarray:
        """tr(P V_a), (k,)."""
        f = self.f
        sums = [
            g.sum(0) - np.einsum("jkp,pq,jlq->kl", e, f.c, e, optimize=True)
            for g, e in zip(f.g, f.e, strict=True)
        ]
        pairs = zip(self.directions, self.matrices, strict=True)
        return np.array([np.sum(sums[d.factor] * e) for d, e in pairs])

    def traces(self, reml: bool) -> np.ndarray:
        """tr(Q V_a Q V_b), (k, k): Q = P (REML) or V^-1 (ML)."""
        out = np.zeros((len(self.directions),) * 2)
        system = _Tail(self.f, reml)
        heads = self.of(0)
        if heads:
            out[np.ix_(heads, heads)] = self._head_traces(system, heads)
        for s in range(1, len(self.f.cross.sizes)):
            for t in range(1, s + 1):
                self._put(out, s, t, self._tail_traces(system, s, t))
            if heads:
                self._put(out, s, 0, self._mixed_traces(system, heads, s))
        return out

    def _put(self, out: np.ndarray, s: int, t: int, block: np.ndarray) -> None:
        out[np.ix_(self.of(s), self.of(t))] = block
        out[np.ix_(self.of(t), self.of(s))] = block.T

    def _head_traces(self, system: _Tail, heads: list[int]) -> np.ndarray:
        k = self._size(0)
        gd = self.f.gd.reshape(-1, k * k)
        taken = system.head_blocks.reshape(-1, k * k)
        both = gd.T @ taken
        pairs = gd.T @ gd - both - both.T
        basis = np.array([self.matrices[a] for a in heads])
        outer = system.outer_products([self.matrices[a] for a in heads])
        moved = [system.t @ o for o in outer]
        far = np.array([[np.sum(x * y.T) for y in moved] for x in moved])
        return _contract(pairs, basis, basis) + far

    def _tail_traces(self, system: _Tail, s: int, t: int) -> np.ndarray:
        ks, kt = self._size(s), self._size(t)
        block = system.q_tail[self.f.cross.tail[s - 1], self.f.cross.tail[t - 1]]
        pairs = _pair_products(block, ks, kt)
        return _contract(
            pairs,
            np.array([self.matrices[a] for a in self.of(s)]),
            np.array([self.matrices[b] for b in self.of(t)]),
        )

    def _mixed_traces(self, system: _Tail, heads: list[int], s: int) -> np.ndarray:
        """Between a tail factor s and the head: tr(E_b W' F'E_aF W)."""
        size = self._size(s)
        w = system.w[:, self.f.cross.tail[s - 1]]
        outer = system.outer_products([self.matrices[a] for a in heads])
        sums = [diagonal_blocks(w.T @ o @ w, size).sum(0) for o in outer]
        return np.array([[np.sum(self.matrices[b] * x) for x in sums] for b in self.of(s)])


def hessian(f: Factorisation, directions: Sequence[Direction], reml: bool) -> np.ndarray:
    """The exact second derivatives d_ab (k, k)."""
    second = SecondOrder(f, directions)
    s2 = f.s2(reml)
    q = second.q / s2
    return (
        -second.traces(reml) + 2.0 / s2 * second.quadratic - np.outer(q, q) / f.nu(reml)
    )


def _contract(pairs: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """sum over i l k m of pairs[(i, l), (k, m)] left_a[k, i] right_b[l, m]."""
    ks, kt = left.shape[1], right.shape[1]
    tensor = pairs.reshape(ks, kt, ks, kt)
    return np.einsum("ilkm,aki,blm->ab", tensor, left, right, optimize=True)


def _pair_products(q: np.ndarray, ks: int, kt: int) -> np.ndarray:
    """sum over the (K_s, K_t) blocks q_jj' of vec(q_jj') vec(q_jj')', (K_s K_t, K_s K_t)."""
    blocks = q.reshape(q.shape[0] // ks, ks, q.shape[1] // kt, kt)
    flat = blocks.transpose(0, 2, 1, 3).reshape(-1, ks * kt)
    return flat.T @ flat


class _Tail:
    """U = [Z_tail, X] (REML) or Z_tail (ML) against the head: T~, N, F and what follows.

    t : T~ (u, u); n : U'V1^-1U (u, u); w : (I - T~ N) restricted to Z_tail, (u, m).
    """

    def __init__(self, f: Factorisation, reml: bool) -> None:
        self.f, self.reml = f, reml
        p = f.cross.p
        if not reml:
            self.t, self.n = f.t, f.n_zz
        else:
            n_zx = f.n_zxy[:, :p]
            tx = f.t @ n_zx
            txc = tx @ f.c
            self.t = np.block([[f.t + txc @ tx.T, -txc], [-txc.T, f.c]])
            self.n = np.block([[f.n_zz, n_zx], [n_zx.T, f.n_xy[:p, :p]]])
        self.w = np.eye(len(self.t))[:, : f.cross.m] - self.t @ self.n[:, : f.cross.m]

    @cached_property
    def q_tail(self) -> np.ndarray:
        """Z_tail' Q Z_tail, (m, m)."""
        if not self.reml or not self.f.cross.p:
            return self.f.g_tail
        e = np.concatenate([e.reshape(e.shape[0] * e.shape[1], -1) for e in self.f.e[1:]])
        return self.f.g_tail - e @ self.f.c @ e.T

    @cached_property
    def head_blocks(self) -> np.ndarray:
        """F T~ F' per level of the head, (J, K, K)."""
        if not self.reml:
            return self.f.s_head
        e = self.f.e[0]
        return self.f.s_head + e @ self.f.c @ e.swapaxes(1, 2)

    def outer_products(self, matrices: Sequence[np.ndarray]) -> list[np.ndarray]:
        """F' (I kron E_a) F, (u, u) per direction of the head."""
        return [self._outer(e) for e in matrices]

    def _outer(self, e: np.ndarray) -> np.ndarray:
        f, p, m = self.f, self.f.cross.p, self.f.cross.m
        out = np.zeros_like(self.t)
        fx = f.f[:, :, :p]
        rows = fx.shape[0] * fx.shape[1]
        moved = (e @ fx).reshape(rows, p)
        if self.reml:
            out[m:, m:] = fx.reshape(rows, p).T @ moved
        if f.f_tail is not None:
            levels = f.gd.shape[0]
            blocks = block_diagonal(np.broadcast_to(e, (levels, *e.shape)).copy())
            far = sparse.csr_array(blocks @ f.f_tail)
            out[:m, :m] = (f.f_tail.T @ far).toarray()
            if self.reml:
                out[:m, m:] = f.f_tail.T @ moved
                out[m:, :m] = out[:m, m:].T
        return out
