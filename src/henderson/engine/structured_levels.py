"""The criterion of a model with structured residuals from the sums of levels, and its derivatives.

With A = U'R^-1U of one level (see `finite_basis`), D = [-Sigma F; I] so that V^-1[X y] = R^-1 U D,
K = Sigma - Sigma G Sigma and t = (-beta, 1), S = [X y]'V^-1[X y] and log|V| move with phi by

    S_a = sum D'A_aD,    S_ab = sum D'A_abD - B_a'K B_b - B_b'K B_a,   B_a = (A_a)_z. D
    (log|V|)_a = (log|R|)_a + sum tr(K A_a),
    (log|V|)_ab = (log|R|)_ab + sum tr(K A_ab) - tr(K A_a K A_b)

(A_a between the columns of Z), and y'Py = t'S t. What mixes phi and Sigma follows from
Z'V^-1R_aV^-1Z = -(I - G Sigma) A_a (I - Sigma G) and Z'V^-1R_aV^-1[X y] = -(I - G Sigma) B_a.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

import henderson.engine.dense_derivatives  # noqa: F401  (its blocks register themselves)
from henderson.engine.criterion import Factorisation, factorise
from henderson.engine.dense import DenseFactorisation, DenseProducts, factorise_dense
from henderson.engine.derivatives import (
    AnyDirection,
    BlockSecondOrder,
    Direction,
    ResidualDirection,
    SecondOrder,
    second_order,
)
from henderson.engine.finite_basis import BasisProducts, LevelSums
from henderson.engine.structured import StructuredFactorisation


@dataclass(frozen=True)
class Whitened:
    """A at one phi of the residuals, and the equations of the rows whitened by R."""

    sums: LevelSums
    inner: Factorisation

    @staticmethod
    def at(cross: BasisProducts, factors: Sequence[np.ndarray], phi: np.ndarray) -> Whitened:
        """Reduce and factor the levels.

        Raises
        ------
        FitError : V or X'V^-1X is not positive definite.
        """
        sums = cross.at(phi)
        return Whitened(sums, factorise(cross.reduced(sums.a), factors))


@dataclass(frozen=True)
class LevelFactorisation(StructuredFactorisation):
    """V factored level by level at one Sigma and one phi of the residuals.

    made : the equations that the rest follows from; made when first asked for if None.
    """

    cross: BasisProducts
    factors: tuple[np.ndarray, ...]
    phi: np.ndarray
    sigmas: tuple[np.ndarray, ...]
    c: np.ndarray
    beta: np.ndarray
    rss: float
    log_v: float
    log_xvx: float
    made: Whitened | None = None

    @cached_property
    def _whitened(self) -> Whitened:
        return self.made or Whitened.at(self.cross, self.factors, self.phi)

    @property
    def sums(self) -> LevelSums:
        """A and its derivatives."""
        return self._whitened.sums

    @property
    def inner(self) -> Factorisation:
        """The equations of the rows whitened by R."""
        return self._whitened.inner

    @property
    def h(self) -> tuple[np.ndarray, ...]:
        """Z'Py, (J, K)."""
        return self.inner.h

    @property
    def e(self) -> tuple[np.ndarray, ...]:
        """Z'V^-1X, (J, K, p)."""
        return self.inner.e

    @property
    def g(self) -> tuple[np.ndarray, ...]:
        """Z'V^-1Z, (J, K, K)."""
        return self.inner.g

    @cached_property
    def by_rows(self) -> DenseFactorisation:
        """The same with V^-1 of every component of rows."""
        return factorise_dense(self.cross, self.factors, self.phi)

    @cached_property
    def ends(self) -> np.ndarray:
        """t = (-beta, 1), (p + 1,)."""
        return np.append(-self.beta, 1.0)

    @cached_property
    def d(self) -> np.ndarray:
        """D (J, q, p + 1)."""
        k, width = self.n_effects, self.n_fixed + 1
        out = np.zeros((self.sums.a.shape[0], k + width, width))
        if k:
            out[:, :k] = -self.sigmas[0] @ self.inner.f
        out[:, k:] = np.eye(width)
        return out

    @property
    def n_effects(self) -> int:
        """K, zero without random effects."""
        return self.sizes[0][1] if self.sizes else 0

    @cached_property
    def k(self) -> np.ndarray:
        """K (J, K, K), the conditional variances of the random effects."""
        if not self.sizes:
            return np.zeros((1, 0, 0))
        sigma = self.sigmas[0]
        found: np.ndarray = sigma - sigma @ self.g[0] @ sigma
        return found

    @cached_property
    def b(self) -> np.ndarray:
        """B_a (m, J, K, p + 1)."""
        return self.sums.first[:, :, : self.n_effects] @ self.d

    @cached_property
    def s_first(self) -> np.ndarray:
        """S_a (m, p + 1, p + 1)."""
        width = self.d.shape[2]
        moved = (self.sums.first @ self.d).reshape(len(self.phi), -1, width)
        found: np.ndarray = self.d.reshape(-1, width).T @ moved
        return found

    @cached_property
    def bends(self) -> Bends:
        return _bends(self)

    def residual_gradient(self, reml: bool) -> np.ndarray:
        found: np.ndarray = self.bends.log_v[0] + self.bends.rss[0] / self.s2(reml)
        return found + self.bends.log_xvx[0] if reml else found

    def residual_curvature(self, reml: bool) -> np.ndarray:
        """Zero: the second-order blocks of pairs of residual parameters have the curvature of R."""
        return np.zeros((len(self.phi), len(self.phi)))

    def residual_scores(self) -> np.ndarray:
        return -(self.s_first @ self.ends)[:, : self.n_fixed].T

    def residual_bends(self) -> np.ndarray:
        return self.by_rows.residual_bends()


@dataclass(frozen=True)
class Bends:
    """Gradient (m,) and Hessian (m, m) in phi of log|V|, log|X'V^-1X| and y'Py."""

    log_v: tuple[np.ndarray, np.ndarray]
    log_xvx: tuple[np.ndarray, np.ndarray]
    rss: tuple[np.ndarray, np.ndarray]


def _bends(f: LevelFactorisation) -> Bends:
    k, p, s, c = f.n_effects, f.n_fixed, f.s_first[:, : f.n_fixed], f.c
    kept = f.k
    padded = np.zeros_like(f.sums.a)
    padded[:, :k, :k] = kept
    dx, dt = f.d[:, :, :p], f.d @ f.ends
    logs, sums = f.sums.log_r, f.sums
    v1, v2 = sums.inner(padded)
    x1, x2 = sums.inner(dx @ c @ dx.swapaxes(1, 2))
    r1, r2 = sums.inner(dt[:, :, None] * dt[:, None, :])
    moved = kept @ sums.first[:, :, :k, :k]
    v2 = v2 - _inner(moved, moved.swapaxes(2, 3))
    weighted = kept @ f.b
    x2 = x2 - 2.0 * _inner(f.b[..., :p] @ c, weighted[..., :p])
    turned = c @ s[:, :, :p]
    x2 = x2 - _inner(turned, turned.swapaxes(1, 2))
    r2 = r2 - 2.0 * _inner(f.b @ f.ends, weighted @ f.ends)
    slopes = s @ f.ends
    r2 = r2 - 2.0 * slopes @ c @ slopes.T
    return Bends((logs[1] + v1, logs[2] + v2), (x1, x2), (r1, r2))


def _inner(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """<a_i, b_j> (i, j) of stacks a, b (., ...)."""
    size = int(np.prod(b.shape[1:]))
    found: np.ndarray = a.reshape(len(a), size) @ b.reshape(len(b), size).T
    return found


def factorise_levels(
    cross: BasisProducts, factors: Sequence[np.ndarray], phi: np.ndarray
) -> LevelFactorisation:
    """Factor V = R(phi) + Z M M' Z'.

    Raises
    ------
    FitError : V or X'V^-1X is not positive definite.
    """
    whitened = Whitened.at(cross, factors, phi)
    inner = whitened.inner
    return LevelFactorisation(
        cross=cross,
        factors=tuple(factors),
        phi=phi,
        sigmas=inner.sigmas,
        c=inner.c,
        beta=inner.beta,
        rss=inner.rss,
        log_v=inner.log_v + float(whitened.sums.log_r[0]),
        log_xvx=inner.log_xvx,
        made=whitened,
    )


def factorise_structured(
    cross: DenseProducts, factors: Sequence[np.ndarray], phi: np.ndarray
) -> StructuredFactorisation:
    """Factor V at one Sigma and one phi of the residuals, in the way that suits the products.

    Raises
    ------
    FitError : V or X'V^-1X is not positive definite.
    """
    if isinstance(cross, BasisProducts):
        return factorise_levels(cross, factors, phi)
    return factorise_dense(cross, factors, phi)


@dataclass(frozen=True)
class LevelSecondOrder:
    """The second-order blocks of a `LevelFactorisation`.

    Between two residual parameters `traces` and `quadratic` have the curvature of R in them,
    tr(Q V_a Q V_b) - tr(Q V_ab) and y'P V_a P V_b P y - y'P V_ab P y / 2: apart they would need
    the rows, as `information` and `x_pairs` do; see `by_rows`.
    """

    f: LevelFactorisation
    directions: Sequence[AnyDirection]

    @cached_property
    def _inner(self) -> BlockSecondOrder:
        return BlockSecondOrder(
            self.f.inner, [d for d in self.directions if isinstance(d, Direction)]
        )

    @cached_property
    def _own(self) -> list[int]:
        return [d.number for d in self.directions if isinstance(d, ResidualDirection)]

    @cached_property
    def _entries(self) -> np.ndarray:
        """E of the directions of Sigma, (k, K, K)."""
        k = self.f.n_effects
        return np.array(self._inner.matrices).reshape(len(self._inner.directions), k, k)

    def _joined(self, sigma: np.ndarray, mixed: np.ndarray, own: np.ndarray) -> np.ndarray:
        """The blocks of directions of Sigma, which come first, and of the residual's."""
        return np.block([[sigma, mixed], [mixed.T, own]])

    @cached_property
    def sigma_entries(self) -> np.ndarray:
        return np.concatenate([self._inner.sigma_entries, np.zeros(len(self._own))])

    @cached_property
    def q(self) -> np.ndarray:
        own = -np.einsum("i,aij,j->a", self.f.ends, self.f.s_first[self._own], self.f.ends)
        return np.concatenate([self._inner.q, own])

    @cached_property
    def _lifted(self) -> np.ndarray:
        """I - G Sigma (J, K, K)."""
        f = self.f
        if not f.sizes:
            return np.zeros((1, 0, 0))
        return np.eye(f.n_effects) - f.g[0] @ f.sigmas[0]

    @cached_property
    def _to_fixed(self) -> np.ndarray:
        """Z'V^-1R_aV^-1[X y] (m, J, K, p + 1)."""
        return -self._lifted @ self.f.b[self._own]

    @cached_property
    def quadratic(self) -> np.ndarray:
        f, p = self.f, self.f.n_fixed
        mixed = np.zeros((len(self._entries), len(self._own)))
        if f.sizes and self._own:
            slopes = (f.s_first[self._own] @ f.ends)[:, :p]
            moved = self._to_fixed @ f.ends
            moved = moved + (f.e[0] @ (f.c @ slopes.T)).transpose(2, 0, 1)
            mixed = self._along_sigma(f.h[0].T @ moved)
        return self._joined(self._inner.quadratic, mixed, self._of_pairs(f.bends.rss[1]) / 2.0)

    def traces(self, reml: bool) -> np.ndarray:
        f, k = self.f, self.f.n_effects
        own = -f.bends.log_v[1] - f.bends.log_xvx[1] if reml else -f.bends.log_v[1]
        mixed = np.zeros((len(self._entries), len(self._own)))
        if f.sizes and self._own:
            inner = self._lifted @ f.sums.first[self._own][:, :, :k, :k]
            blocks = -(inner @ self._lifted.swapaxes(1, 2)).sum(axis=1)
            mixed = self._along_sigma(blocks - self._fixed_part() if reml else blocks)
        return self._joined(self._inner.traces(reml), mixed, self._of_pairs(own))

    def _of_pairs(self, values: np.ndarray) -> np.ndarray:
        """What of (m, m) belongs to the directions."""
        found: np.ndarray = values[np.ix_(self._own, self._own)]
        return found

    def _along_sigma(self, blocks: np.ndarray) -> np.ndarray:
        """<E_s, blocks_a> (directions of Sigma, m) of blocks (m, K, K)."""
        return _inner(self._entries, blocks)

    def _fixed_part(self) -> np.ndarray:
        """What P takes from V^-1 in sum Z'V^-1R_aV^-1Z, (m, K, K)."""
        f, p = self.f, self.f.n_fixed
        k, to_x = f.n_effects, self._to_fixed[..., :p]
        one = np.tensordot(to_x, f.e[0] @ f.c, axes=((1, 3), (0, 2)))
        e = f.e[0].transpose(1, 0, 2)
        moved = e @ (f.c @ f.s_first[self._own][:, :p, :p] @ f.c)[:, None]
        two = moved.reshape(len(self._own), k, -1) @ e.reshape(k, -1).T
        found: np.ndarray = one + one.swapaxes(1, 2) + two
        return found

    @cached_property
    def x_singles(self) -> np.ndarray:
        p = self.f.n_fixed
        own = -self.f.s_first[self._own][:, :p, :p]
        return np.concatenate([self._inner.x_singles, own])

    @cached_property
    def x_pairs(self) -> np.ndarray:
        return second_order(self.f.by_rows, self.directions).x_pairs

    @cached_property
    def p_traces(self) -> np.ndarray:
        own = self.f.bends.log_v[0] + self.f.bends.log_xvx[0]
        return np.concatenate([self._inner.p_traces, own[self._own]])


@second_order.register
def _(f: LevelFactorisation, directions: Sequence[AnyDirection]) -> SecondOrder:
    return LevelSecondOrder(f, directions)
