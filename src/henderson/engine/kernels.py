"""The loops over rows and levels that carry the cost: compiled, or their twins in NumPy.

The compiled kernels (`_kernels.cpp`, `cpp/`) are built when the package is installed with a C++
compiler at hand. Every function here gives the same numbers, to rounding, with and without them;
`reduce`, which only makes the usual path faster, is None where it does not apply.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, Literal, Protocol

import numpy as np
from scipy import sparse

from henderson.errors import FitError

compiled: ModuleType | None
try:
    compiled = import_module("henderson.engine._kernels")
except ImportError:  # installed without a compiler
    compiled = None


class Grouped(Protocol):
    """A grouping factor: codes (n,) in 0..n_levels-1 and its columns of Z (n, K)."""

    @property
    def codes(self) -> np.ndarray: ...
    @property
    def z(self) -> np.ndarray: ...
    @property
    def n_levels(self) -> int: ...


# A matrix that links the levels of the head to the tail: dense where it is small.
Linked = Any  # np.ndarray or scipy.sparse.csr_array, (J K, m)
ROTATIONS = {"full": 0, "diagonal": 1, "scalar": 2}
MOST_COLUMNS = 64  # of X: beyond them BLAS is faster than the compiled Gram matrix

FAILURES = {
    1: "The fixed effects are not estimable: X'V^-1X is singular.",
    2: (
        "The model explains the response exactly: the residual variance is zero, "
        "so there is nothing to estimate. Check for a duplicated or constant response."
    ),
    3: "The response has missing or infinite values: give every row a number.",
    4: "The correlation of the residuals has reached its bound: try a simpler structure.",
}


def check(status: int) -> None:
    """Raise FitError for what the kernels found wrong; 0 is fine."""
    if status in FAILURES:
        raise FitError(FAILURES[status])


def backend() -> Literal["c++", "numpy"]:
    """Which kernels are in use."""
    return "numpy" if compiled is None else "c++"


def instruction_set() -> str | None:
    """The instruction set that the compiled kernels chose on this processor; None without them."""
    return None if compiled is None else str(compiled.instruction_set())


def level_products(
    codes: np.ndarray, n_levels: int, z: np.ndarray, xy: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Per level j: Z_j'Z_j (J, K, K) and Z_j'[X y] (J, K, p + 1).

    codes : (n,) integers in 0..n_levels-1; z : (n, K); xy : (n, p + 1), any memory order.

    Raises
    ------
    IndexError : a code outside 0..n_levels-1.
    """
    if compiled is None or not _fits_compiled(codes, z, xy):
        return _level_products(codes, n_levels, z, xy)
    a, b = compiled.level_products(codes, n_levels, z, xy)
    return a, b


def _fits_compiled(codes: np.ndarray, *tables: np.ndarray) -> bool:
    """Element types that the compiled kernels read without a copy."""
    integers = codes.dtype in (np.dtype(np.int64), np.dtype(np.int32))
    return integers and all(t.dtype == np.float64 for t in tables)


def _level_products(
    codes: np.ndarray, n_levels: int, z: np.ndarray, xy: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The twin of `level_products`."""
    if len(codes) and (codes.min() < 0 or codes.max() >= n_levels):
        raise IndexError("a grouping code is outside 0..n_levels-1")
    k, width = z.shape[1], xy.shape[1]
    a = np.empty((n_levels, k, k))
    b = np.empty((n_levels, k, width))
    for i in range(k):
        for j in range(i + 1):
            a[:, i, j] = a[:, j, i] = np.bincount(codes, z[:, i] * z[:, j], n_levels)
        for c in range(width):
            b[:, i, c] = np.bincount(codes, z[:, i] * xy[:, c], n_levels)
    return a, b


@dataclass(frozen=True)
class Reduced:
    """Rows with one grouping factor, in standard coordinates and reduced to levels.

    r_x, beta0, y_scale, r_z : the way back, as `problem.Standard` has it.
    root : C (J, K, K); dense : T (J, K, p + 1); within : (p + 1, p + 1), as
    `crossproducts.CrossProducts` has them.
    """

    r_x: np.ndarray
    beta0: np.ndarray
    y_scale: float
    r_z: np.ndarray
    root: np.ndarray
    dense: np.ndarray
    within: np.ndarray


def reduce(
    y: np.ndarray,
    x: np.ndarray,
    z: np.ndarray,
    codes: np.ndarray,
    n_levels: int,
    weights: np.ndarray | None,
    terms: Sequence[tuple[int, int, str]],
) -> Reduced | None:
    """Standardise and reduce y (n,), x (n, p), z (n, K) in two passes that write no rows.

    The first pass makes the Gram matrices of [x y] and z and from them the maps to standard
    coordinates; the second applies the maps to each row, sums over levels, and corrects the maps
    for the rounding of the first (Yamamoto et al. 2015, ETNA 44, Cholesky QR in two rounds).

    terms : (first column, last column + 1, rotation) of each term of z.

    None where this is not for the compiled kernels: none installed, too many columns, columns so
    nearly collinear that Gram matrices lose them, or a response that x explains almost exactly.

    Raises
    ------
    IndexError : a code outside 0..n_levels-1.
    """
    if compiled is None or not _fits_compiled(codes, y, x, z):
        return None
    if not 1 <= z.shape[1] <= compiled.MAX_SIZE or x.shape[1] > MOST_COLUMNS:
        return None
    parts = [(start, stop, ROTATIONS[rotation]) for start, stop, rotation in terms]
    found = compiled.reduce(y, x, z, codes, n_levels, weights, parts)
    return None if found is None else Reduced(*found)


@dataclass(frozen=True)
class TailProducts:
    """What the rows say of the factors of the tail.

    pointers, columns, values : level j of the head owns entries pointers[j] to pointers[j + 1] - 1
        of C^+ Z_1'Z_tail: a column (ascending) and the K values of the level's effects there.
    products : Z_tail'[X y] (m, p + 1).
    components : the connected component (0, 1, ...) of each effect, (m,).
    squares : Z_tail'Z_tail (m, m), if it was asked for.
    """

    size: int
    pointers: np.ndarray
    columns: np.ndarray
    values: np.ndarray
    products: np.ndarray
    components: np.ndarray
    squares: np.ndarray | None

    def rows(self, *, dense: bool) -> Linked:
        """The links as a matrix (J K, m)."""
        levels, k, m = len(self.pointers) - 1, self.size, len(self.components)
        if k == 1 and not dense:
            parts = (self.values, self.columns, self.pointers)
            return sparse.csr_array(parts, shape=(levels, m))
        level = np.repeat(np.arange(levels), np.diff(self.pointers))
        if dense:
            out = np.zeros((levels, k, m))
            out[level, :, self.columns] = self.values.reshape(-1, k)
            return out.reshape(levels * k, m)
        places = (level[:, None] * k + np.arange(k)).ravel(), np.repeat(self.columns, k)
        coo = sparse.coo_array((self.values, places), shape=(levels * k, m))
        return sparse.csr_array(coo)


def tail_products(
    head: Grouped, tail: Sequence[Grouped], inverse: np.ndarray, xy: np.ndarray, *, most: int
) -> TailProducts | None:
    """Reduce the rows of the factors of the tail; None where this is not for compiled kernels.

    inverse : C^+ (J, K, K) of the head; xy : (n, p + 1). `squares` is made where the tail is one
    component or has at most `most` effects.

    Raises
    ------
    IndexError : a code outside 0..n_levels-1.
    """
    every = [head, *tail]
    if compiled is None or not all(_fits_compiled(g.codes, g.z, xy) for g in every):
        return None
    if head.z.shape[1] > compiled.MAX_SIZE:
        return None
    rest = [(g.codes, g.z, g.n_levels) for g in tail]
    found = compiled.tail_products(head.codes, head.z, head.n_levels, inverse, rest, xy, most)
    if found is None:
        return None
    pointers, columns, values, products, components, squares = found
    if squares is not None:
        squares = squares.reshape(len(components), len(components))
    size = head.z.shape[1]
    return TailProducts(size, pointers, columns, values, products, components, squares)


@dataclass(frozen=True)
class LevelFactors:
    """The mixed-model equations of one factor at one Sigma; names as in `criterion.Factorisation`.

    r_inverse : (p, p), R^-1 with X'V^-1X = R'R.
    status : 0, or why beta or y'Py do not exist: a key of `FAILURES`.
    """

    status: int
    gd: np.ndarray
    f: np.ndarray
    n_xy: np.ndarray
    r_inverse: np.ndarray
    beta: np.ndarray
    rss: float
    log_v: float
    log_xvx: float


def factor_levels(
    root: np.ndarray, dense: np.ndarray, within: np.ndarray, m: np.ndarray
) -> LevelFactors | None:
    """One factor's equations at Sigma = M M', from C (J, K, K), T (J, K, p + 1) and `within`.

    None where this is not for the compiled kernels.
    """
    if compiled is None or not 1 <= root.shape[1] <= compiled.MAX_SIZE:
        return None
    arrays = (np.ascontiguousarray(a) for a in (root, dense, within, m))
    return LevelFactors(*compiled.factorise(*arrays))


def inverse_logdet(h: np.ndarray) -> tuple[np.ndarray, float]:
    """Inverses (J, K, K) of symmetric positive definite h, and their summed log determinants.

    Raises
    ------
    FitError : h is not positive definite in numbers, as where Sigma grows without bound.
    """
    k = h.shape[1]
    if k == 1:
        return 1.0 / h, float(np.log(h).sum())
    if k == 2:
        a, b, d = h[:, 0, 0], h[:, 0, 1], h[:, 1, 1]
        det = a * d - b * b
        if not (det > 0.0).all():
            raise FitError(FAILURES[2])
        inverse = np.empty_like(h)
        inverse[:, 0, 0], inverse[:, 1, 1] = d / det, a / det
        inverse[:, 0, 1] = inverse[:, 1, 0] = -b / det
        return inverse, float(np.log(det).sum())
    try:
        lower = np.linalg.cholesky(h)
    except np.linalg.LinAlgError as error:
        raise FitError(FAILURES[2]) from error
    half = np.linalg.inv(lower)
    logdet = 2.0 * float(np.log(np.einsum("jkk->jk", lower)).sum())
    return half.swapaxes(1, 2) @ half, logdet


def weighted_gram(linked: Linked, blocks: np.ndarray) -> np.ndarray:
    """sum_j L_j' W_j L_j, dense (m, m), for the K rows L_j of each level and blocks W (J, K, K)."""
    if isinstance(linked, np.ndarray):
        found: np.ndarray = linked.T @ scale_levels(blocks, linked)
        return found
    if compiled is not None and linked.indices.dtype == np.int32:
        made: np.ndarray = compiled.weighted_gram(*_csr(linked), blocks, linked.shape[1])
        return made
    dense: np.ndarray = (linked.T @ scale_levels(blocks, linked)).toarray()
    return dense


def level_quadratic(linked: Linked, t: np.ndarray, size: int) -> np.ndarray:
    """L_j T L_j' (J, K, K) for the K = size rows L_j of each level, T (m, m) symmetric."""
    levels = linked.shape[0] // size
    if isinstance(linked, np.ndarray):
        rows = linked.reshape(levels, size, -1)
        return (linked @ t).reshape(rows.shape) @ rows.swapaxes(1, 2)
    if compiled is not None and linked.indices.dtype == np.int32:
        made: np.ndarray = compiled.level_quadratic(*_csr(linked), np.ascontiguousarray(t), size)
        return made
    out = np.empty((levels, size, size))
    slab = max(1, 2_000_000 // max(1, size * len(t)))
    for start in range(0, levels, slab):
        stop = min(levels, start + slab)
        part = linked[start * size : stop * size].toarray()
        out[start:stop] = level_quadratic(part, t, size)
    return out


def mirrored(lower: np.ndarray) -> np.ndarray:
    """The symmetric matrix (m, m) whose lower triangle is given; its memory may be used."""
    if compiled is None or not lower.flags.c_contiguous:
        return np.tril(lower) + np.tril(lower, -1).T
    compiled.mirror(lower)
    return lower


def scale_levels(blocks: np.ndarray, linked: Linked) -> Linked:
    """The rows of every level j multiplied by block j of (J, K, K)."""
    levels, size, _ = blocks.shape
    if isinstance(linked, np.ndarray):
        return (blocks @ linked.reshape(levels, size, -1)).reshape(linked.shape)
    if size == 1:
        values = linked.data * np.repeat(blocks.ravel(), np.diff(linked.indptr))
        return sparse.csr_array((values, linked.indices, linked.indptr), shape=linked.shape)
    places = (blocks, np.arange(levels), np.arange(levels + 1))
    return sparse.csr_array(sparse.bsr_array(places, shape=(levels * size,) * 2) @ linked)


def _csr(matrix: sparse.csr_array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return matrix.indptr, matrix.indices, matrix.data
