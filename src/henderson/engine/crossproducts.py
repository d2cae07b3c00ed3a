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
from henderson.engine.blocks import BlockMatrix, BlockPattern, find_pattern
from henderson.engine.problem import Grouping, Standard


@dataclass(frozen=True)
class CrossProducts:
    """All that a fit needs of the data; nothing here has n rows.

    n, p : rows and fixed effects.
    order : factors in the engine's order, head first, as positions in the caller's list.
    sizes : (J, K) per factor, in the engine's order.
    root : C (J, K, K) of the head (J = 0 without random effects).
    dense : T for [X y], (J, K, p + 1).
    linked : T for Z_tail, CSR (J K, m), or None without a tail.
    within : [X y Z_tail]'[X y Z_tail] less the head's part, split into
        `within_xy` (p + 1, p + 1), `within_zxy` (m, p + 1), `within_zz` (m, m) in blocks.
    tail : where each tail factor's effects stand among the m.
    """

    n: int
    p: int
    log_weights: float
    order: tuple[int, ...]
    sizes: tuple[tuple[int, int], ...]
    root: np.ndarray
    dense: np.ndarray
    linked: sparse.csr_array | None
    within_xy: np.ndarray
    within_zxy: np.ndarray
    within_zz: BlockMatrix
    tail: tuple[slice, ...]

    @property
    def m(self) -> int:
        """Number of random effects in the tail."""
        return self.within_zz.pattern.size


def cross_products(problem: Standard) -> CrossProducts:
    """One pass over the rows of a problem in standard coordinates."""
    groupings = problem.groupings
    order = tuple(
        sorted(range(len(groupings)), key=lambda t: -groupings[t].n_levels * groupings[t].size)
    )
    xy = np.column_stack([problem.x, problem.y])
    ordered = [groupings[t] for t in order]
    tail = _tail_slices(ordered[1:])
    z_tail = _stacked(ordered[1:], len(problem.y))
    total_xy = xy.T @ xy
    total_zxy = z_tail.T @ xy
    total_zz = z_tail.T @ z_tail
    root, dense, linked = _reduce_head(ordered, xy, z_tail)
    flat = dense.reshape(-1, xy.shape[1])
    if linked is not None:
        total_zxy = total_zxy - linked.T @ flat
        total_zz = total_zz - linked.T @ linked
    return CrossProducts(
        n=len(problem.y),
        p=problem.x.shape[1],
        log_weights=problem.log_weights,
        order=order,
        sizes=tuple((g.n_levels, g.size) for g in ordered),
        root=root,
        dense=dense,
        linked=linked,
        within_xy=total_xy - flat.T @ flat,
        within_zxy=total_zxy,
        within_zz=_pattern(ordered, z_tail).pack(total_zz),
        tail=tail,
    )


def _tail_slices(tail: Sequence[Grouping]) -> tuple[slice, ...]:
    ends = np.cumsum([0] + [g.n_levels * g.size for g in tail])
    return tuple(slice(int(a), int(b)) for a, b in pairwise(ends))


def _pattern(ordered: Sequence[Grouping], z_tail: sparse.csr_array) -> BlockPattern:
    if len(ordered) < 2:
        return find_pattern(sparse.csr_array((0, 0)), [])
    head = ordered[0]
    rows = (np.ones(len(head.codes)), (head.codes, np.arange(len(head.codes))))
    member = sparse.csr_array(rows, shape=(head.n_levels, len(head.codes)))
    return find_pattern(member @ abs(z_tail), [(g.n_levels, g.size) for g in ordered[1:]])


def indicator(grouping: Grouping) -> sparse.csr_array:
    """Z (n, J K) of one factor; level j owns columns j K ... j K + K - 1."""
    n, k = grouping.z.shape
    columns = grouping.codes[:, None] * k + np.arange(k)
    pointers = np.arange(0, n * k + 1, k)
    return sparse.csr_array(
        (grouping.z.ravel(), columns.ravel(), pointers), shape=(n, grouping.n_levels * k)
    )


def _stacked(tail: Sequence[Grouping], n: int) -> sparse.csr_array:
    """Z_tail (n, m)."""
    if not tail:
        return sparse.csr_array((n, 0))
    return sparse.hstack([indicator(g) for g in tail], format="csr")


def _reduce_head(
    ordered: Sequence[Grouping], xy: np.ndarray, z_tail: sparse.csr_array
) -> tuple[np.ndarray, np.ndarray, sparse.csr_array | None]:
    """C (J, K, K) and T = C^+ Z' [X y | Z_tail] of the head."""
    if not ordered:
        return np.zeros((0, 0, 0)), np.zeros((0, 0, xy.shape[1])), None
    head = ordered[0]
    a, b = kernels.level_products(head.codes, head.n_levels, head.z, xy)
    root, inverse = level_roots(a)
    if z_tail.shape[1] == 0:
        return root, inverse @ b, None
    linked = block_diagonal(inverse) @ (indicator(head).T @ z_tail)
    return root, inverse @ b, sparse.csr_array(linked)


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


def block_diagonal(blocks: np.ndarray) -> sparse.bsr_array:
    """(J, K, K) blocks as a sparse (J K, J K) matrix."""
    j, k, _ = blocks.shape
    return sparse.bsr_array((blocks, np.arange(j), np.arange(j + 1)), shape=(j * k, j * k))
