"""Models with structured residuals: dense algebra within each connected component.

With R not the identity the rows of a group are correlated, and cross-products alone no longer
suffice. Rows that share no level of a random factor and no correlation group are independent, so V
is block-diagonal over the connected components of rows. Components of the same size are stacked;
each verb is one batched operation on (count, s, s) arrays, and nothing is larger than a component.

The blocks have the names and meanings of `criterion.Factorisation`, so the gradient, the optimum
and the inference are those of every other model; only `V = R(phi) + sum_t Z_t Sigma_t Z_t'`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from henderson.covariance.residual.base import BoundResidual, ResidualModel
from henderson.engine.correlated import of_inverse
from henderson.engine.derivatives import Direction
from henderson.engine.problem import Standard
from henderson.engine.structured import StructuredFactorisation
from henderson.errors import FitError

# Entries of a stack's V: what is worked on at once stays in the cache of a core.
CHUNK = 30_000


@dataclass(frozen=True)
class Stack:
    """Components of one size, or some of them.

    rows : (count, s) positions; residual : their R and its derivatives.
    xy : (count, s, p + 1); z : (count, s, K) per factor.
    same : per factor (count, s, s) whether two rows are of one level, or the covariance of their
        levels; None if all are of one.
    """

    rows: np.ndarray
    residual: BoundResidual
    xy: np.ndarray
    z: tuple[np.ndarray, ...]
    same: tuple[np.ndarray | None, ...]
    _moves: dict[Direction, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    def within(self, factor: int, matrix: np.ndarray) -> np.ndarray:
        """A matrix (count, s, s), zero between independent levels of a factor."""
        same = self.same[factor]
        return matrix if same is None else matrix * same

    def moved_by(self, direction: Direction) -> np.ndarray:
        """Z_t E_a Z_t' (count, s, s), the same at every phi."""
        if direction not in self._moves:
            z, i, j = self.z[direction.factor], direction.i, direction.j
            outer = z[:, :, i, None] * z[:, None, :, j]
            if i != j:
                outer = outer + outer.swapaxes(1, 2)
            self._moves[direction] = self.within(direction.factor, outer)
        return self._moves[direction]


@dataclass(frozen=True)
class DenseProducts:
    """The data of a model with structured residuals; plays the part of `CrossProducts`."""

    problem: Standard
    residual: ResidualModel

    @cached_property
    def stacks(self) -> tuple[Stack, ...]:
        """The rows sorted into components, made when first asked for."""
        return _stacks(self.problem, self.residual)

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
    """The data of a model, to be worked on by components."""
    return DenseProducts(problem, residual)


def _stacks(problem: Standard, residual: ResidualModel) -> tuple[Stack, ...]:
    codes = [g.codes if g.root is None else g.codes * 0 for g in problem.groupings]
    codes.append(residual.codes)
    label = _components(codes, len(problem.y))
    order = np.argsort(label, kind="stable")
    counts = np.bincount(label)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    stacks = []
    for s in np.unique(counts):
        members = np.flatnonzero(counts == s)
        rows = order[starts[members][:, None] + np.arange(s)]
        size = max(1, CHUNK // int(s) ** 2)
        stacks += [
            _stack(problem, residual, rows[at : at + size]) for at in range(0, len(rows), size)
        ]
    return tuple(stacks)


def _stack(problem: Standard, residual: ResidualModel, rows: np.ndarray) -> Stack:
    same = []
    for g in problem.groupings:
        codes = g.codes[rows]
        alike = g.root is None and (codes == codes[:, :1]).all()
        same.append(None if alike else g.alike(codes))
    return Stack(
        rows,
        residual.bind(rows),
        np.concatenate([problem.x[rows], problem.y[rows][:, :, None]], axis=2),
        tuple(g.z[rows] for g in problem.groupings),
        tuple(same),
    )


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
class DenseFactorisation(StructuredFactorisation):
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
    _kept: dict[bool, list[np.ndarray]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def by_rows(self) -> DenseFactorisation:
        return self

    @cached_property
    def h(self) -> tuple[np.ndarray, ...]:
        """Z_t'Py per factor, (J, K)."""
        return tuple(
            g.from_levels(_level_sums(g.codes, g.n_levels, g.z * self.py[:, None]))
            for g in self.cross.problem.groupings
        )

    @cached_property
    def e(self) -> tuple[np.ndarray, ...]:
        """Z_t'V^-1X per factor, (J, K, p)."""
        return tuple(
            g.from_levels(
                _level_sums(
                    g.codes,
                    g.n_levels,
                    (g.z[:, :, None] * self.vx[:, None, :]).reshape(len(g.z), -1),
                ).reshape(g.n_levels, g.size, self.cross.p)
            )
            for g in self.cross.problem.groupings
        )

    @cached_property
    def g(self) -> tuple[np.ndarray, ...]:
        """The diagonal blocks of Z_t'V^-1Z_t, (J, K, K) per factor."""
        return tuple(self._level_blocks(t) for t in range(len(self.cross.sizes)))

    def _level_blocks(self, t: int) -> np.ndarray:
        g = self.cross.problem.groupings[t]
        if g.root is not None:
            return np.einsum("jkjl->jkl", self.between_effects(t))
        moved = np.empty((self.cross.n, g.size))
        for stack, inverse in zip(self.cross.stacks, self.inverses, strict=True):
            moved[stack.rows] = stack.within(t, inverse) @ stack.z[t]
        outer = (g.z[:, :, None] * moved[:, None, :]).reshape(len(g.z), -1)
        return _level_sums(g.codes, g.n_levels, outer).reshape(g.n_levels, g.size, g.size)

    def between_effects(self, t: int) -> np.ndarray:
        """Z_t'V^-1Z_t (J, K, J, K) of correlated levels, which bring all rows into one stack."""
        (stack,), (inverse,) = self.cross.stacks, self.inverses
        return of_inverse(self.cross.problem.groupings[t], stack.rows[0], inverse[0])

    def residual_gradient(self, reml: bool) -> np.ndarray:
        """tr(Q R_a) - y'P R_a P y / s2 per residual parameter, (m,)."""
        m = len(self.phi)
        parts = [
            stack.residual.jacobian(self.phi).reshape(m, weight.size) @ weight.ravel()
            for stack, weight in zip(self.cross.stacks, self._weights(reml), strict=True)
        ]
        return np.sum(parts, axis=0)

    def residual_curvature(self, reml: bool) -> np.ndarray:
        """tr(Q R_ab) - y'P R_ab P y / s2 over pairs of residual parameters, (m, m)."""
        parts = [
            stack.residual.curvature(self.phi, weight)
            for stack, weight in zip(self.cross.stacks, self._weights(reml), strict=True)
        ]
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

    def _weights(self, reml: bool) -> list[np.ndarray]:
        """The blocks of Q - Pyy'P / s2 per stack: the derivative of the criterion in V."""
        if reml not in self._kept:
            s2 = self.s2(reml)
            self._kept[reml] = [
                self._weight(stack, inverse, s2, reml)
                for stack, inverse in zip(self.cross.stacks, self.inverses, strict=True)
            ]
        return self._kept[reml]

    def _weight(self, stack: Stack, inverse: np.ndarray, s2: float, reml: bool) -> np.ndarray:
        vx, py = self.vx[stack.rows], self.py[stack.rows]
        left, right = py[:, :, None] / s2, py[:, None, :]
        if reml:
            left = np.concatenate([left, vx @ self.c], axis=2)
            right = np.concatenate([right, vx.swapaxes(1, 2)], axis=1)
        return inverse - left @ right


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
    p = cross.p
    solved, log_v, inverses = np.empty((cross.n, p + 1)), 0.0, []
    normal = np.zeros((p + 1, p + 1))
    for stack in cross.stacks:
        lower = _cholesky(_stack_covariance(stack, factors, phi))
        log_v += 2.0 * float(np.log(np.einsum("css->cs", lower)).sum())
        half = np.linalg.inv(lower)
        turned = half.swapaxes(1, 2)
        inverses.append(turned @ half)
        whitened = half @ stack.xy
        flat = whitened.reshape(-1, p + 1)
        normal += flat.T @ flat
        solved[stack.rows] = turned @ whitened
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


def _stack_covariance(stack: Stack, factors: Sequence[np.ndarray], phi: np.ndarray) -> np.ndarray:
    """V (count, s, s) of one stack of components."""
    v = stack.residual.value(phi)
    for t, m in enumerate(factors):
        zm = stack.z[t] @ m
        v = v + stack.within(t, zm @ zm.swapaxes(1, 2))
    return v


def _cholesky(a: np.ndarray) -> np.ndarray:
    try:
        return np.linalg.cholesky(a)
    except np.linalg.LinAlgError as error:
        raise FitError(
            "The implied covariance matrix is not positive definite in numbers, as that of a "
            "smooth correlation over close positions: give it nugget=True, or take exp or car1."
        ) from error
