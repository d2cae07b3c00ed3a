"""Blocks of V^-1 and P for sets of rows, at the fitted covariance; nothing has n x n entries.

All in standard coordinates (`engine.problem`), relative to sigma^2. With one grouping factor, or
the head of several, V1 = I + Z_1 Sigma_1 Z_1' is block-diagonal and

    V1^-1 = I - Z_1 B Z_1',                B_j = (Sigma_1^-1 + Z_1j'Z_1j)^-1
    V^-1  = V1^-1 - U T U',                U = V1^-1 Z_tail = Z_tail - Z_1 Sigma_1 (Z_1'V1^-1Z_tail)

with T the relative conditional covariance of the tail's effects, which the factorisation holds.
With structured residuals the inverse of every component of rows is there already.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy import sparse

from henderson.diagnostics.row_sets import components, stacks
from henderson.engine.criterion import Factorisation, factorise
from henderson.engine.crossproducts import cross_products
from henderson.engine.dense import DenseFactorisation
from henderson.engine.iterative import with_factor
from henderson.engine.optimise import by_rows
from henderson.engine.problem import Rows, Standard
from henderson.engine.structured import StructuredFactorisation
from henderson.errors import FitError

if TYPE_CHECKING:
    from henderson.engine.optimise import Optimum
    from henderson.fit import Fit


@dataclass(frozen=True)
class RowVariances:
    """Per row (n,), relative to sigma^2 and in standard coordinates.

    fixed, total : the diagonals of X C X'V^-1 and of the hat matrix I - R P.
    conditional, marginal : of the residuals y - X beta - Z b, R P R, and y - X beta, V - X C X'.
    """

    fixed: np.ndarray
    total: np.ndarray
    conditional: np.ndarray
    marginal: np.ndarray


class Precision(Protocol):
    """V^-1 at a fit, as its rows see it.

    vx : V^-1X (n, p); py : Py (n,); c : (X'V^-1X)^-1.
    """

    @property
    def vx(self) -> np.ndarray: ...
    @property
    def py(self) -> np.ndarray: ...
    @property
    def c(self) -> np.ndarray: ...
    @property
    def width(self) -> int: ...
    @property
    def component(self) -> np.ndarray: ...
    def blocks(self, rows: np.ndarray) -> np.ndarray: ...
    def covariances(self, rows: np.ndarray) -> np.ndarray: ...
    def residual_covariances(self, rows: np.ndarray) -> np.ndarray: ...
    def variances(self) -> RowVariances: ...
    def project(self, v: np.ndarray) -> np.ndarray: ...


# Random variances so many times the residual's: what is left of V^-1 is rounding.
NO_RESIDUAL = 1e10


def has_residual(fit: Fit) -> bool:
    """The residual variance is more than rounding beside those of the random effects."""
    largest = [np.linalg.norm(s, 2) for s in fit.optimum.factorisation.sigmas]
    return bool(max(largest, default=0.0) < NO_RESIDUAL)


def precision(fit: Fit) -> Precision:
    """V^-1 of a fit.

    Raises
    ------
    FitError : the residual variance is estimated as zero.
    """
    optimum = fit.optimum
    f = with_factor(optimum.factorisation, "The inverse of V, row by row,")
    if not has_residual(fit):
        raise FitError(
            "The residual variance is estimated as zero beside the random effects', so residuals "
            "and influence are not defined: give the model fewer random effects."
        )
    if isinstance(f, StructuredFactorisation):
        return DensePrecision(f.by_rows)
    if any(g.root is not None for g in optimum.problem.groupings):
        return DensePrecision(by_rows(optimum, optimum.at.phi))
    return BlockedPrecision(optimum, f)


def p_blocks(v: Precision, rows: np.ndarray) -> np.ndarray:
    """P (count, s, s) between the rows (count, s) of each set."""
    vx = v.vx[rows]
    return v.blocks(rows) - vx @ v.c @ vx.swapaxes(1, 2)


def _random_covariances(
    problem: Standard, sigmas: list[np.ndarray], rows: np.ndarray
) -> np.ndarray:
    """Z Sigma Z' (count, s, s) among the rows of each set; sigmas in the problem's order."""
    out = np.zeros((*rows.shape, rows.shape[1]))
    for g, sigma in zip(problem.groupings, sigmas, strict=True):
        codes, z = g.codes[rows], g.z[rows]
        out += (z @ sigma @ z.swapaxes(1, 2)) * g.alike(codes)
    return out


def _marginal(problem: Standard, sigmas: list[np.ndarray], c: np.ndarray) -> np.ndarray:
    """The diagonal of Z Sigma Z' - X C X', (n,)."""
    out = -np.einsum("np,np->n", problem.x @ c, problem.x)
    for g, sigma in zip(problem.groupings, sigmas, strict=True):
        out += np.einsum("nk,nk->n", g.z @ sigma, g.z)
    return out


@dataclass(frozen=True)
class BlockedPrecision:
    """For independent residuals: from the factored mixed-model equations."""

    optimum: Optimum
    f: Factorisation

    @property
    def problem(self) -> Standard:
        return self.optimum.problem

    @property
    def c(self) -> np.ndarray:
        return self.f.c

    @property
    def width(self) -> int:
        """Entries that a row takes while its block is made."""
        return self.f.cross.m if self.f.t.pattern.size and self.f.t.pattern.is_dense else 0

    @cached_property
    def component(self) -> np.ndarray:
        """(n,) the independent component of every row."""
        return components([g.codes for g in self.problem.groupings], len(self.problem.y))

    @cached_property
    def vx(self) -> np.ndarray:
        out = self.problem.x.copy()
        for t, g in enumerate(self.problem.groupings):
            place = self.optimum.place(t)
            moved, e = g.z @ self.f.sigmas[place], self.f.e[place]
            for p in range(out.shape[1]):
                out[:, p] -= np.einsum("nk,nk->n", moved, e[g.codes, :, p])
        return out

    @cached_property
    def py(self) -> np.ndarray:
        out = self.problem.y - self.problem.x @ self.f.beta
        for t, g in enumerate(self.problem.groupings):
            place = self.optimum.place(t)
            modes = self.f.h[place] @ self.f.sigmas[place]
            out = out - np.einsum("nk,nk->n", g.z, modes[g.codes])
        return out

    def blocks(self, rows: np.ndarray) -> np.ndarray:
        """V^-1 (count, s, s) between the rows (count, s) of each set."""
        out = np.broadcast_to(np.eye(rows.shape[1]), (*rows.shape, rows.shape[1])).copy()
        if not self.f.cross.sizes:
            return out
        head = self.problem.groupings[self.f.cross.order[0]]
        codes, z = head.codes[rows], head.z[rows]
        moved = np.einsum("csk,cskl->csl", z, self._head[codes])
        out -= (moved @ z.swapaxes(1, 2)) * (codes[:, :, None] == codes[:, None, :])
        return out if self.f.f_tail is None else out - self._tail(rows)

    @cached_property
    def _head(self) -> np.ndarray:
        """B = M (I + M'A M)^-1 M' (J, K, K), Sigma_1 = M M', A_j = Z_1j'Z_1j: nothing cancels."""
        m = self.optimum.layout.factors(self.optimum.at.phi)[0]
        half = self.f.cross.root.swapaxes(1, 2) @ m
        inverse = np.linalg.inv(np.eye(len(m)) + half.swapaxes(1, 2) @ half)
        return m @ inverse @ m.T

    def _tail(self, rows: np.ndarray) -> np.ndarray:
        """U T U' among the rows of each set."""
        count, s = rows.shape
        u, m = self._u(rows.ravel()), self.f.cross.m
        if self.f.t.pattern.is_dense:
            left = (u @ self.f.t.blocks[0][0]).reshape(count, s, m)
            return left @ u.toarray().reshape(count, s, m).swapaxes(1, 2)
        # Every set gets columns of its own, so that only rows of one set meet in the product.
        shift = sparse.csr_array(
            (np.ones(count * s), np.repeat(np.arange(count), s), np.arange(count * s + 1)),
            shape=(count * s, count),
        )
        left, right = (_shifted(a, shift, m) for a in (u @ self._t, u))
        found = sparse.coo_array(left @ right.T)
        out = np.zeros((count, s, s))
        i, j = found.coords
        out[i // s, i % s, j % s] = found.data
        return out

    @cached_property
    def _t(self) -> sparse.csr_array:
        return self.f.t.csr()

    def _u(self, rows: np.ndarray) -> sparse.csr_array:
        """U (r, m) of some rows."""
        cross, groupings = self.f.cross, self.problem.groupings
        head = groupings[cross.order[0]]
        moved = _indicators(
            head.codes[rows], head.z[rows] @ self.f.sigmas[0], 0, cross.sizes[0][0] * head.size
        )
        own = sum(
            _indicators(g.codes[rows], g.z[rows], at.start, cross.m)
            for g, at in zip((groupings[t] for t in cross.order[1:]), cross.tail, strict=True)
        )
        return sparse.csr_array(own - moved @ self.f.f_tail)

    def _sigmas(self) -> list[np.ndarray]:
        return [self.f.sigmas[self.optimum.place(t)] for t in range(len(self.f.sigmas))]

    def residual_covariances(self, rows: np.ndarray) -> np.ndarray:
        """R (count, s, s): the identity."""
        return np.broadcast_to(np.eye(rows.shape[1]), (*rows.shape, rows.shape[1]))

    def covariances(self, rows: np.ndarray) -> np.ndarray:
        """V (count, s, s) between the rows (count, s) of each set."""
        return self.residual_covariances(rows) + _random_covariances(
            self.problem, self._sigmas(), rows
        )

    def variances(self) -> RowVariances:
        n = len(self.problem.y)
        diagonal = np.empty(n)
        for _, rows in stacks(np.arange(n), width=max(self.width, 1)):
            diagonal[rows] = self.blocks(rows)[:, :, 0]
        fixed = np.einsum("np,np->n", self.problem.x @ self.c, self.vx)
        own = diagonal - np.einsum("np,np->n", self.vx @ self.c, self.vx)
        own = np.maximum(own, 0.0)
        marginal = 1.0 + _marginal(self.problem, self._sigmas(), self.c)
        return RowVariances(fixed, 1.0 - own, own, np.maximum(marginal, 0.0))

    def project(self, v: np.ndarray) -> np.ndarray:
        """P v (n,) of a v that X does not span: what the equations leave of it as a response."""
        rows = Rows(x=self.problem.x, y=v, groupings=self.problem.groupings)
        cross = cross_products(replace(self.problem, rows=rows, reduced=None))
        layout = self.optimum.layout
        f = factorise(cross, layout.factors(self.optimum.at.phi))
        again = replace(self.optimum, problem=replace(self.problem, rows=rows, reduced=None))
        return BlockedPrecision(again, f).py


def _indicators(codes: np.ndarray, z: np.ndarray, start: int, width: int) -> sparse.csr_array:
    """Rows z (r, K) in the columns of their level, the first of which is `start`; (r, width)."""
    r, k = z.shape
    columns = start + codes[:, None] * k + np.arange(k)
    return sparse.csr_array(
        (z.ravel(), columns.ravel(), np.arange(0, r * k + 1, k)), shape=(r, width)
    )


def _shifted(a: sparse.csr_array, sets: sparse.csr_array, m: int) -> sparse.csr_array:
    """The rows of `a` (r, m) moved to the m columns of their set."""
    found = sparse.coo_array(a)
    i, j = found.coords
    columns = sets.indices[i].astype(np.int64) * m + j
    shape = (a.shape[0], sets.shape[1] * m)
    return sparse.csr_array((found.data, (i, columns)), shape=shape)


@dataclass(frozen=True)
class DensePrecision:
    """For structured residuals: from the inverses of the components of rows."""

    f: DenseFactorisation

    @property
    def problem(self) -> Standard:
        return self.f.cross.problem

    @property
    def c(self) -> np.ndarray:
        return self.f.c

    @property
    def vx(self) -> np.ndarray:
        return self.f.vx

    @property
    def py(self) -> np.ndarray:
        return self.f.py

    @property
    def width(self) -> int:
        return 0

    @cached_property
    def _places(self) -> np.ndarray:
        """Stack, member and position (3, n) of every row."""
        out = np.empty((3, self.f.cross.n), dtype=np.intp)
        for k, stack in enumerate(self.f.cross.stacks):
            count, s = stack.rows.shape
            out[0, stack.rows] = k
            out[1, stack.rows] = np.arange(count)[:, None]
            out[2, stack.rows] = np.arange(s)
        return out

    @cached_property
    def component(self) -> np.ndarray:
        counts = [len(stack.rows) for stack in self.f.cross.stacks]
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.intp)
        return starts[self._places[0]] + self._places[1]

    def blocks(self, rows: np.ndarray) -> np.ndarray:
        """V^-1 (count, s, s) between the rows (count, s) of each set."""
        stack, member, position = (a[rows] for a in self._places)
        label = self.component[rows]
        same = label[:, :, None] == label[:, None, :]
        out = np.zeros(same.shape)
        for k, inverse in enumerate(self.f.inverses):
            c, i, j = np.nonzero(same & (stack == k)[:, :, None])
            out[c, i, j] = inverse[member[c, i], position[c, i], position[c, j]]
        return out

    def residual_covariances(self, rows: np.ndarray) -> np.ndarray:
        """R (count, s, s) between the rows (count, s) of each set."""
        return self.f.cross.residual.bind(rows).value(self.f.phi)

    def covariances(self, rows: np.ndarray) -> np.ndarray:
        """V (count, s, s) between the rows (count, s) of each set."""
        sigmas = list(self.f.sigmas)
        return self.residual_covariances(rows) + _random_covariances(self.problem, sigmas, rows)

    def variances(self) -> RowVariances:
        n, sigmas = self.f.cross.n, list(self.f.sigmas)
        total, own, residual = np.empty(n), np.empty(n), np.empty(n)
        for stack in self.f.cross.stacks:
            rows, r = stack.rows, stack.residual.value(self.f.phi)
            moved = r @ p_blocks(self, rows)
            total[rows] = 1.0 - np.einsum("css->cs", moved)
            own[rows] = np.einsum("cij,cji->ci", moved, r)
            residual[rows] = np.einsum("css->cs", r)
        fixed = np.einsum("np,np->n", self.problem.x @ self.c, self.vx)
        marginal = residual + _marginal(self.problem, sigmas, self.c)
        return RowVariances(fixed, total, np.maximum(own, 0.0), np.maximum(marginal, 0.0))

    def project(self, v: np.ndarray) -> np.ndarray:
        """P v (n,)."""
        out = np.empty_like(v)
        for stack, inverse in zip(self.f.cross.stacks, self.f.inverses, strict=True):
            out[stack.rows] = np.einsum("cij,cj->ci", inverse, v[stack.rows])
        return out - self.vx @ (self.c @ (self.vx.T @ v))
