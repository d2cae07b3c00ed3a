"""The data as the engine sees them: additive cross-products, reduced level by level.

One grouping factor, the one with most effects, is the *head*: its block of Z'Z is block-diagonal,
and it is eliminated level by level. The other factors are the *tail*. For each level j of the head,
with Z_j'Z_j = C_j C_j', only C_j and T_j = C_j^+ Z_j' [X y Z_tail] are kept, and the part of
[X y Z_tail]'[X y Z_tail] that is orthogonal to the head, `within`. Then for any Sigma

    U' V1^-1 U = within + sum_j T_j' (I + C_j' Sigma C_j)^-1 T_j,

a sum of positive semidefinite terms: nothing cancels, however large Sigma is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import sparse

from henderson.engine import kernels
from henderson.engine.blocks import NO_PATTERN, BlockMatrix, BlockPattern, find_pattern, pattern_of
from henderson.engine.problem import Grouping, Standard, engine_order
from henderson.errors import FitError

# Entries of (J K, m) up to which head and tail are linked by a dense matrix: sparse ones cost more
# to make than to multiply.
SMALL_TABLE = 200_000
# Share of the largest eigenvalue of Z'Z of correlated levels below which one is rounding.
NULL = 1e-14
# Entries of all the dense matrices of a tail beside correlated levels.
MOST_ENTRIES = 400_000_000
# Effects in the tail up to which Z_tail'Z_tail is made as one array, connected or not.
SMALL_SQUARE = 400


@dataclass(frozen=True)
class CrossProducts:
    """All that a fit needs of the data; nothing here has n rows.

    n, p : rows and fixed effects.
    order : factors in the engine's order, head first, as positions in the caller's list.
    sizes : (J, K) per factor, in the engine's order.
    root : C (J, K, K) of the head (J = 0 without random effects).
    dense : T for [X y], (J, K, p + 1).
    linked : T for Z_tail, (J K, m), dense or CSR, or None without a tail.
    within : [X y Z_tail]'[X y] less the head's part, split into `within_xy` (p + 1, p + 1) and
        `within_zxy` (m, p + 1).
    squares : Z_tail'Z_tail (m, m), in blocks.
    tail : where each tail factor's effects stand among the m.
    """

    n: int
    p: int
    log_weights: float
    order: tuple[int, ...]
    sizes: tuple[tuple[int, int], ...]
    root: np.ndarray
    dense: np.ndarray
    linked: kernels.Linked | None
    within_xy: np.ndarray
    within_zxy: np.ndarray
    squares: BlockMatrix
    tail: tuple[slice, ...]

    @property
    def m(self) -> int:
        """Number of random effects in the tail."""
        return self.squares.pattern.size


def cross_products(problem: Standard) -> CrossProducts:
    """One pass over the rows of a problem in standard coordinates."""
    if problem.reduced is not None:
        return _of_one_factor(problem, problem.reduced)
    groupings = problem.groupings
    order = engine_order(groupings)
    ordered = [groupings[t] for t in order]
    xy = np.column_stack([problem.x, problem.y])
    root, inverse, dense = _reduce_head(ordered[:1], xy)
    flat = dense.reshape(-1, xy.shape[1])
    tail = _reduce_tail(ordered, inverse, xy, flat) if len(ordered) > 1 else _no_tail(xy.shape[1])
    return CrossProducts(
        n=len(problem.y),
        p=problem.x.shape[1],
        log_weights=problem.log_weights,
        order=order,
        sizes=tuple((g.n_levels, g.size) for g in ordered),
        root=root,
        dense=dense,
        linked=tail.linked,
        within_xy=xy.T @ xy - flat.T @ flat,
        within_zxy=tail.within_zxy,
        squares=tail.squares,
        tail=_tail_slices(ordered[1:]),
    )


@dataclass(frozen=True)
class _Tail:
    """The tail's share of `CrossProducts`."""

    linked: kernels.Linked | None
    within_zxy: np.ndarray
    squares: BlockMatrix


def _no_tail(width: int) -> _Tail:
    return _Tail(None, np.zeros((0, width)), BlockMatrix(NO_PATTERN, ()))


def _reduce_head(
    head: Sequence[Grouping], xy: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """C, C^+ (J, K, K) and C^+ Z'[X y] (J, K, p + 1) of the head, if there is one."""
    if not head:
        return np.zeros((0, 0, 0)), np.zeros((0, 0, 0)), np.zeros((0, 0, xy.shape[1]))
    a, b = kernels.level_products(head[0].codes, head[0].n_levels, head[0].z, xy)
    if head[0].root is not None:
        a, b = _diagonal(head[0].root, a), head[0].from_levels(b)
    root, inverse = level_roots(a)
    return root, inverse, inverse @ b


def _diagonal(mixing: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Z_j'Z_j (J, 1, 1) of correlated levels, whose root makes Z'Z diagonal.

    Null directions are made exactly zero, so that nothing is divided by their rounding.
    """
    found = np.einsum("jk,j,jk->k", mixing, a[:, 0, 0], mixing, optimize=True)
    found[found < NULL * found.max(initial=0.0)] = 0.0
    return found[:, None, None]


def _reduce_tail(
    ordered: Sequence[Grouping], inverse: np.ndarray, xy: np.ndarray, flat: np.ndarray
) -> _Tail:
    head, *rest = ordered
    if any(g.root is not None for g in ordered):
        return _reduce_correlated(head, rest, inverse, xy, flat)
    sizes = [(g.n_levels, g.size) for g in rest]
    found = kernels.tail_products(head, rest, inverse, xy, most=SMALL_SQUARE)
    if found is not None and found.squares is not None:
        linked = found.rows(dense=_is_small(ordered))
        packed = pattern_of(found.components, sizes).pack(found.squares)
        return _Tail(linked, found.products - linked.T @ flat, packed)
    z = sparse.hstack([indicator(g) for g in rest], format="csr")
    raw = sparse.csr_array(indicator(head).T @ z)
    small = _is_small(ordered)
    linked = kernels.scale_levels(inverse, raw.toarray() if small else raw)
    if isinstance(linked, sparse.csr_array):
        linked = narrow(linked)
    squares = (z.T @ z).toarray() if small else z.T @ z
    pattern = _pattern(ordered, z) if found is None else pattern_of(found.components, sizes)
    return _Tail(linked, z.T @ xy - linked.T @ flat, pattern.pack(squares))


def _reduce_correlated(
    head: Grouping,
    rest: Sequence[Grouping],
    inverse: np.ndarray,
    xy: np.ndarray,
    flat: np.ndarray,
) -> _Tail:
    """The tail where levels of some factor are correlated: every effect meets every other.

    Raises
    ------
    FitError : dense matrices of so many effects do not fit into memory.
    """
    sizes = [(g.n_levels, g.size) for g in rest]
    m, width = sum(j * k for j, k in sizes), head.n_levels * head.size
    if m * (m + width) > MOST_ENTRIES:
        raise FitError(
            f"Beside correlated levels every random effect meets every other, and here are {m} and "
            f"{width} of them: too many for dense matrices. Leave a grouping factor out."
        )
    z = sparse.hstack([indicator(g) for g in rest], format="csr")
    across = _mixed(sparse.csr_array(indicator(head).T @ z).toarray(), rest)
    across = head.from_levels(across.reshape(head.n_levels, -1)).reshape(width, m)
    linked = kernels.scale_levels(inverse, across)
    square = _mixed(_mixed((z.T @ z).toarray(), rest).T, rest)
    own = _mixed((z.T @ xy).T, rest).T
    pattern = pattern_of(np.zeros(m, dtype=np.intp), sizes)
    return _Tail(linked, own - linked.T @ flat, pattern.pack(square))


def _mixed(columns: np.ndarray, tail: Sequence[Grouping]) -> np.ndarray:
    """Columns (r, m) by level times the roots of correlated factors."""
    out, at = np.array(columns), 0
    for g in tail:
        stop = at + g.n_levels * g.size
        for k in range(at, at + g.size):
            if g.root is not None:
                out[:, k : stop : g.size] = columns[:, k : stop : g.size] @ g.root
        at = stop
    return out


def _is_small(ordered: Sequence[Grouping]) -> bool:
    """Whether head and tail are linked by a dense matrix."""
    head, *rest = (g.n_levels * g.size for g in ordered)
    return head * sum(rest) <= SMALL_TABLE


def _of_one_factor(problem: Standard, reduced: kernels.Reduced) -> CrossProducts:
    """Cross-products that were made while the rows were standardised."""
    n, p = problem.given.x.shape
    levels, size, _ = reduced.root.shape
    tail = _no_tail(p + 1)
    return CrossProducts(
        n=n,
        p=p,
        log_weights=problem.log_weights,
        order=(0,),
        sizes=((levels, size),),
        root=reduced.root,
        dense=reduced.dense,
        linked=None,
        within_xy=reduced.within,
        within_zxy=tail.within_zxy,
        squares=tail.squares,
        tail=(),
    )


def _tail_slices(tail: Sequence[Grouping]) -> tuple[slice, ...]:
    ends = np.cumsum([0] + [g.n_levels * g.size for g in tail])
    return tuple(slice(int(a), int(b)) for a, b in pairwise(ends))


def _pattern(ordered: Sequence[Grouping], z: sparse.csr_array) -> BlockPattern:
    """Which tail effects meet in a level of the head."""
    codes, n = ordered[0].codes, len(ordered[0].codes)
    member = sparse.csr_array((np.ones(n), (codes, np.arange(n))), (ordered[0].n_levels, n))
    return find_pattern(member @ abs(z), [(g.n_levels, g.size) for g in ordered[1:]])


def indicator(grouping: Grouping) -> sparse.csr_array:
    """Z (n, J K) of one factor; level j owns columns j K ... j K + K - 1."""
    n, k = grouping.z.shape
    columns = grouping.codes[:, None] * k + np.arange(k)
    pointers = np.arange(0, n * k + 1, k)
    return sparse.csr_array(
        (grouping.z.ravel(), columns.ravel(), pointers), shape=(n, grouping.n_levels * k)
    )


def narrow(matrix: sparse.csr_array) -> sparse.csr_array:
    """The same with sorted 32-bit indices, which the compiled loops read, where they suffice."""
    matrix.sort_indices()
    if max(matrix.nnz, *matrix.shape) > np.iinfo(np.int32).max:
        return matrix
    parts = (matrix.data, matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32))
    return sparse.csr_array(parts, shape=matrix.shape)


def level_roots(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """C and C^+ (J, K, K) with a_j = C_j C_j', for positive semidefinite a_j of any rank."""
    if a.shape[1] == 1:
        root = np.sqrt(np.maximum(a, 0.0))
        return root, np.divide(1.0, root, out=np.zeros_like(root), where=root > 0)
    values, vectors = np.linalg.eigh(a)
    floor = 1e-13 * np.maximum(values[:, -1:], 0.0)
    values = np.where(values > floor, values, 0.0)
    root = np.sqrt(values)
    inverse = np.divide(1.0, root, out=np.zeros_like(root), where=root > 0)
    return vectors * root[:, None, :], inverse[:, :, None] * vectors.swapaxes(1, 2)
