"""Structured residuals whose R^-1 is a sum of a few fixed matrices: the rows are read once.

With R^-1(phi) = sum_k c_k(phi) B_k and U = [Z X y], level j of the random factor needs only

    A_j(phi) = U_j'R_j^-1U_j = sum_k c_k(phi) A_jk,   A_jk = U_j'B_kU_j,

and its two derivatives, the same sums with other weights. So an evaluation costs as much per level
as without the structure, whatever the number of rows. It is so where no correlation group holds two
levels; without random effects all rows are one level.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from henderson.covariance.correlations.base import Derivatives
from henderson.covariance.residual.base import ResidualModel
from henderson.covariance.residual.finite.base import FiniteInverse, Product
from henderson.covariance.residual.finite.choose import finite_inverse
from henderson.engine import kernels
from henderson.engine.blocks import NO_PATTERN, BlockMatrix
from henderson.engine.crossproducts import CrossProducts
from henderson.engine.dense import DenseProducts, dense_products
from henderson.engine.problem import Standard

# Numbers that all the sets may hold: some for every number of the rows, and so many beside.
PER_NUMBER, SMALL_SETS = 10, 2_000_000
# A pivot of Z_j'R^-1Z_j below this part of its diagonal entry is rounding.
NO_PIVOT = 1e-12


@dataclass(frozen=True)
class LevelSums:
    """A and its derivatives at one phi.

    sets : A_jk (k, J, q, q); weights : c (k,), dc (m, k), d2c (m, m, k); log_r : log|R|, its
    gradient (m,) and Hessian (m, m).
    """

    sets: np.ndarray
    weights: Derivatives
    log_r: Derivatives

    def _sum(self, weights: np.ndarray) -> np.ndarray:
        found: np.ndarray = weights @ self.sets.reshape(len(self.sets), -1)
        return found.reshape(*weights.shape[:-1], *self.sets.shape[1:])

    @cached_property
    def a(self) -> np.ndarray:
        """A (J, q, q)."""
        return self._sum(self.weights[0])

    @cached_property
    def first(self) -> np.ndarray:
        """A_a (m, J, q, q)."""
        return self._sum(self.weights[1])

    def inner(self, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """sum over levels of <A_a, N> (m,) and <A_ab, N> (m, m) for N (J, q, q)."""
        each = self.sets.reshape(len(self.sets), -1) @ n.ravel()
        return self.weights[1] @ each, self.weights[2] @ each


@dataclass(frozen=True)
class BasisProducts(DenseProducts):
    """The data of a model with structured residuals, reduced to A_jk.

    sets : A_jk (k, J, q, q), q = K + p + 1 columns [Z X y].
    inverse : the weights c_k(phi).
    """

    sets: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 0, 0)))
    inverse: FiniteInverse | None = None

    def at(self, phi: np.ndarray) -> LevelSums:
        """The sums at one phi.

        Raises
        ------
        FitError : phi is at the bound of the structure.
        """
        assert self.inverse is not None
        return LevelSums(self.sets, *self.inverse.at(phi))

    def reduced(self, a: np.ndarray) -> CrossProducts:
        """The cross-products of the model with rows whitened by R, from A (J, q, q)."""
        k = a.shape[1] - self.p - 1
        root, dense = roots(a[:, :k, :k], a[:, :k, k:])
        flat = dense.reshape(-1, self.p + 1)
        return CrossProducts(
            n=self.n,
            p=self.p,
            log_weights=self.log_weights,
            order=self.order,
            sizes=self.sizes,
            root=root if self.sizes else np.zeros((0, 0, 0)),
            dense=dense if self.sizes else np.zeros((0, 0, self.p + 1)),
            linked=None,
            within_xy=a[:, k:, k:].sum(axis=0) - flat.T @ flat,
            within_zxy=np.zeros((0, self.p + 1)),
            squares=BlockMatrix(NO_PATTERN, ()),
            tail=(),
        )


def roots(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower triangular C (J, K, K) with C C' = a and T = C^+ b (J, K, r), b in the range of a.

    a may be of any rank: a pivot that is rounding leaves its column and its row of T zero.
    """
    k = a.shape[1]
    root, t = np.zeros_like(a), np.zeros_like(b)
    for i in range(k):
        done = root[:, i, :i]
        pivot = a[:, i, i] - np.einsum("jl,jl->j", done, done)
        keep = pivot > NO_PIVOT * a[:, i, i]
        size = np.sqrt(np.where(keep, pivot, 1.0))
        over = keep / size
        root[:, i, i] = keep * size
        for r in range(i + 1, k):
            left = a[:, r, i] - np.einsum("jl,jl->j", root[:, r, :i], done)
            root[:, r, i] = left * over
        t[:, i] = (b[:, i] - np.einsum("jl,jlr->jr", done, t[:, :i])) * over[:, None]
    return root, t


def structured_products(problem: Standard, residual: ResidualModel) -> DenseProducts:
    """What the engine keeps of a model with structured residuals: level sums, or components."""
    return basis_products(problem, residual) or dense_products(problem, residual)


def basis_products(problem: Standard, residual: ResidualModel) -> BasisProducts | None:
    """One pass over the rows; None where the structure has no such sums."""
    if not residual.n_parameters or not _fits(problem, residual):
        return None
    inverse = finite_inverse(residual)
    if inverse is None:
        return None
    groupings = problem.groupings
    columns = [g.z for g in groupings] + [problem.x, problem.y[:, None]]
    u = np.column_stack(columns)
    n_levels = groupings[0].n_levels if groupings else 1
    if len(inverse.products) * n_levels * u.shape[1] ** 2 > SMALL_SETS + PER_NUMBER * u.size:
        return None
    if inverse.scale is not None:
        u = u * inverse.scale[:, None]
    codes = groupings[0].codes if groupings else np.zeros(len(u), dtype=np.intp)
    sets = np.empty((len(inverse.products), n_levels, u.shape[1], u.shape[1]))
    for product, to in zip(inverse.products, sets, strict=True):
        to[...] = _level_sums(product, u, codes, n_levels)
    light = replace(inverse, products=(), scale=None)
    return BasisProducts(problem, residual, sets, light)


def _fits(problem: Standard, residual: ResidualModel) -> bool:
    """At most one factor, of independent levels, and no correlation group in two of them."""
    groupings = problem.given.groupings
    if not groupings:
        return True
    if len(groupings) > 1 or groupings[0].root is not None:
        return False
    level = np.empty(int(residual.codes.max()) + 1, dtype=np.intp)
    level[residual.codes] = groupings[0].codes
    return bool(np.array_equal(level[residual.codes], groupings[0].codes))


def _level_sums(product: Product, u: np.ndarray, codes: np.ndarray, n_levels: int) -> np.ndarray:
    """U_j'BU_j (J, q, q)."""
    left, at = product.left(u), codes[product.rows]
    if product.right is product.left:
        return kernels.level_products(at, n_levels, left, left[:, :1])[0]
    both = kernels.level_products(at, n_levels, left, product.right(u))[1]
    return (both + both.swapaxes(1, 2)) / 2.0
