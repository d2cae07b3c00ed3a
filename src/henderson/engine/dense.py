"""Models with structured residuals: dense algebra within each connected component.

With R not the identity the rows of a group are correlated, and cross-products alone no longer
suffice. Rows that share no level of a random factor and no correlation group are independent, so V
is block-diagonal over the connected components of rows. Components of the same size are stacked;
each verb is one batched operation on (count, s, s) arrays, and nothing is larger than a component.

The blocks have the names and meanings of `criterion.Factorisation`, so the gradient, the optimum
and the inference are those of every other model; only `V = R(phi) + sum_t Z_t Sigma_t Z_t'`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from henderson.covariance.residual.base import BoundResidual, ResidualModel
from henderson.engine.derivatives import (
    AnyDirection,
    Direction,
    ResidualDirection,
    SecondOrder,
    second_order,
)
from henderson.engine.problem import Standard
from henderson.errors import FitError


@dataclass(frozen=True)
class Stack:
    """Components of one size.

    rows : (count, s) positions; residual : their R and its derivatives.
    """

    rows: np.ndarray
    residual: BoundResidual


@dataclass(frozen=True)
class DenseProducts:
    """The data of a model with structured residuals; plays the part of `CrossProducts`."""

    problem: Standard
    residual: ResidualModel
    stacks: tuple[Stack, ...]

    @property
    def n(self) -> int:
        return len(self.problem.y)

    @property
    def p(self) -> int:
        return self.problem.x.shape[1]

    @property
    def log_weights(self) -> float:
        return self.problem.log_weights

    @property
    def order(self) -> tuple[int, ...]:
        return tuple(range(len(self.problem.groupings)))

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        return tuple((g.n_levels, g.size) for g in self.problem.groupings)


def dense_products(problem: Standard, residual: ResidualModel) -> DenseProducts:
    """Sort the rows into components."""
    codes = [g.codes for g in problem.groupings] + [residual.codes]
    label = _components(codes, len(problem.y))
    order = np.argsort(label, kind="stable")
    counts = np.bincount(label)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    stacks = []
    for s in np.unique(counts):
        members = np.flatnonzero(counts == s)
        rows = order[starts[members][:, None] + np.arange(s)]
        stacks.append(Stack(rows, residual.bind(rows)))
    return DenseProducts(problem, residual, tuple(stacks))


def _components(codes: Sequence[np.ndarray], n: int) -> np.ndarray:
    """The connected component (n,) of every row."""
    shifted, start = [], n
    for c in codes:
        shifted.append(c + start)
        start += int(c.max()) + 1
    rows = np.tile(np.arange(n), len(codes))
    edges = (np.ones(len(rows)), (rows, np.concatenate(shifted)))
    graph = sparse.coo_array(edges, shape=(start, start))
    return np.unique(connected_components(graph, directed=False)[1][:n], return_inverse=True)[1]


@dataclass(frozen=True)
class DenseFactorisation:
    """V factored at one Sigma and one phi of the residuals, in standard coordinates.

    inverses : V^-1 per stack; vx, py : V^-1X (n, p) and Py (n,).
    """

    cross: DenseProducts
    sigmas: tuple[np.ndarray, ...]
    phi: np.ndarray
    inverses: tuple[np.ndarray, ...]
    vx: np.ndarray
    py: np.ndarray
    c: np.ndarray
    beta: np.ndarray
    rss: float
    log_v: float
    log_xvx: float

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        return self.cross.sizes

    @property
    def n_fixed(self) -> int:
        return self.cross.p

    def nu(self, reml: bool) -> int:
        return self.cross.n - self.cross.p if reml else self.cross.n

    def s2(self, reml: bool) -> float:
        return self.rss / self.nu(reml)

    def value(self, reml: bool) -> float:
        nu = self.nu(reml)
        det = self.log_v + (self.log_xvx if reml else 0.0)
        return det + nu * (1.0 + np.log(2.0 * np.pi * self.rss / nu)) - self.cross.log_weights

    @cached_property
    def h(self) -> tuple[np.ndarray, ...]:
        """Z_t'Py per factor, (J, K)."""
        return tuple(
            _level_sums(g.codes, g.n_levels, g.z * self.py[:, None])
            for g in self.cross.problem.groupings
        )

    @cached_property
    def e(self) -> tuple[np.ndarray, ...]:
        """Z_t'V^-1X per factor, (J, K, p)."""
        return tuple(
            _level_sums(
                g.codes, g.n_levels, (g.z[:, :, None] * self.vx[:, None, :]).reshape(len(g.z), -1)
            ).reshape(g.n_levels, g.size, self.cross.p)
            for g in self.cross.problem.groupings
        )

    @cached_property
    def g(self) -> tuple[np.ndarray, ...]:
        """The diagonal blocks of Z_t'V^-1Z_t, (J, K, K) per factor."""
        return tuple(self._level_blocks(t) for t in range(len(self.cross.sizes)))

    def _level_blocks(self, t: int) -> np.ndarray:
        g = self.cross.problem.groupings[t]
        moved = np.empty((self.cross.n, g.size))
        for stack, inverse in zip(self.cross.stacks, self.inverses, strict=True):
            codes = g.codes[stack.rows]
            same = codes[:, :, None] == codes[:, None, :]
            moved[stack.rows] = (inverse * same) @ g.z[stack.rows]
        outer = (g.z[:, :, None] * moved[:, None, :]).reshape(len(g.z), -1)
        return _level_sums(g.codes, g.n_levels, outer).reshape(g.n_levels, g.size, g.size)

    def residual_gradient(self, reml: bool) -> np.ndarray:
        """tr(Q R_a) - y'P R_a P y / s2 per residual parameter, (m,)."""
        parts = [
            np.einsum("acij,cij->a", stack.residual.jacobian(self.phi), weight)
            for stack, weight in self._weights(reml)
        ]
        return np.sum(parts, axis=0)

    def residual_curvature(self, reml: bool) -> np.ndarray:
        """tr(Q R_ab) - y'P R_ab P y / s2 over pairs of residual parameters, (m, m)."""
        parts = [stack.residual.curvature(self.phi, w) for stack, w in self._weights(reml)]
        return np.sum(parts, axis=0)

    def residual_scores(self) -> np.ndarray:
        """X'V^-1 R_a Py per residual parameter, (p, m)."""
        out = np.zeros((len(self.phi), self.n_fixed))
        for stack in self.cross.stacks:
            moved = np.einsum(
                "acij,cj->aci", stack.residual.jacobian(self.phi), self.py[stack.rows]
            )
            out += np.einsum("aci,cip->ap", moved, self.vx[stack.rows])
        return out.T

    def residual_bends(self) -> np.ndarray:
        """X'V^-1 R_ab V^-1 X over pairs of residual parameters, (m, m, p, p)."""
        m, p = len(self.phi), self.n_fixed
        out = np.zeros((m, m, p, p))
        for stack in self.cross.stacks:
            vx = self.vx[stack.rows]
            for a in range(m):
                for b in range(m):
                    bend = stack.residual.second(self.phi, a, b)
                    out[a, b] += np.einsum("csp,cst,ctq->pq", vx, bend, vx, optimize=True)
        return out

    def _weights(self, reml: bool) -> Iterator[tuple[Stack, np.ndarray]]:
        """The blocks of Q - Pyy'P / s2 per stack: the derivative of the criterion in V."""
        s2 = self.s2(reml)
        for stack, inverse in zip(self.cross.stacks, self.inverses, strict=True):
            vx, py = self.vx[stack.rows], self.py[stack.rows]
            weight = inverse - py[:, :, None] * py[:, None, :] / s2
            yield stack, weight - vx @ self.c @ vx.swapaxes(1, 2) if reml else weight


def _level_sums(codes: np.ndarray, n_levels: int, columns: np.ndarray) -> np.ndarray:
    """Sums (J, r) of columns (n, r) over the rows of each level."""
    sums = [np.bincount(codes, c, n_levels) for c in columns.T]
    return np.stack(sums, axis=1) if sums else np.zeros((n_levels, 0))


def factorise_dense(
    cross: DenseProducts, factors: Sequence[np.ndarray], phi: np.ndarray
) -> DenseFactorisation:
    """Factor V = R(phi) + sum_t Z_t M_t M_t' Z_t'.

    Raises
    ------
    FitError : V or X'V^-1X is not positive definite.
    """
    problem = cross.problem
    xy = np.column_stack([problem.x, problem.y])
    solved, log_v, inverses = np.empty_like(xy), 0.0, []
    for stack in cross.stacks:
        lower = _cholesky(_stack_covariance(cross, stack, factors, phi))
        log_v += 2.0 * float(np.log(np.einsum("css->cs", lower)).sum())
        half = np.linalg.inv(lower)
        inverses.append(half.swapaxes(1, 2) @ half)
        solved[stack.rows] = half.swapaxes(1, 2) @ (half @ xy[stack.rows])
    p, normal = cross.p, xy.T @ solved
    lower = _cholesky(normal[:p, :p])
    half = np.linalg.inv(lower)
    c = half.T @ half
    beta = c @ normal[:p, p]
    py = solved[:, p] - solved[:, :p] @ beta
    return DenseFactorisation(
        cross=cross,
        sigmas=tuple(m @ m.T for m in factors),
        phi=phi,
        inverses=tuple(inverses),
        vx=solved[:, :p],
        py=py,
        c=c,
        beta=beta,
        rss=float((problem.y - problem.x @ beta) @ py),
        log_v=log_v,
        log_xvx=2.0 * float(np.log(np.diag(lower)).sum()),
    )


def _stack_covariance(
    cross: DenseProducts, stack: Stack, factors: Sequence[np.ndarray], phi: np.ndarray
) -> np.ndarray:
    """V (count, s, s) of one stack of components."""
    v = stack.residual.value(phi)
    for g, m in zip(cross.problem.groupings, factors, strict=True):
        codes, zm = g.codes[stack.rows], g.z[stack.rows] @ m
        v = v + (zm @ zm.swapaxes(1, 2)) * (codes[:, :, None] == codes[:, None, :])
    return v


def _cholesky(a: np.ndarray) -> np.ndarray:
    try:
        return np.linalg.cholesky(a)
    except np.linalg.LinAlgError as error:
        raise FitError(
            "The implied covariance matrix is not positive definite: "
            "the residual structure has left its bounds. Try a simpler one."
        ) from error


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
        out = []
        for d in self.directions:
            if isinstance(d, ResidualDirection):
                out.append(first[d.number])
                continue
            e = d.matrix(self.f.sizes[d.factor][1])
            g = self.f.cross.problem.groupings[d.factor]
            z, codes = g.z[stack.rows], g.codes[stack.rows]
            out.append((z @ e @ z.swapaxes(1, 2)) * (codes[:, :, None] == codes[:, None, :]))
        return np.array(out)

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
            moved[:, stack.rows] = v @ ends[stack.rows]
            solved[:, stack.rows] = w @ ends[stack.rows]
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
        return np.einsum("np,anq->apq", self.f.vx, self._sums[2][:, :, :p])

    @cached_property
    def x_pairs(self) -> np.ndarray:
        p = self.f.cross.p
        _, _, moved, solved = self._sums
        return np.einsum("anp,bnq->abpq", moved[:, :, :p], solved[:, :, :p], optimize=True)

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
