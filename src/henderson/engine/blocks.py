"""Symmetric block structure of the tail: random effects that meet only within a component.

Two random effects of the tail are connected when a row, or a level of the head, holds both. The
inverse of anything built from Z_tail'Z_tail is dense within the connected components and zero
between them. Crossed factors make one component, and a `BlockMatrix` is then one dense array;
nested ones make one small block per outermost level, and nothing grows with their number squared.
Components with the same make-up are stacked, so that every verb is one batched array operation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import sparse
from scipy.linalg import lapack
from scipy.sparse.csgraph import connected_components

from henderson.engine import kernels


@dataclass(frozen=True)
class BlockClass:
    """Components with the same number of effects of every factor.

    index : (count, s) positions in the tail, factor after factor.
    parts : one slice of 0..s per tail factor.
    """

    index: np.ndarray
    parts: tuple[slice, ...]


@dataclass(frozen=True)
class BlockPattern:
    """Which entries of an (m, m) tail matrix can differ from zero.

    component, position : (m,) the flat offset of an effect's component and its place in it.
    width : (m,) the size of its component.
    """

    classes: tuple[BlockClass, ...]
    component: np.ndarray
    position: np.ndarray
    width: np.ndarray

    @property
    def size(self) -> int:
        return len(self.position)

    @property
    def is_dense(self) -> bool:
        """All effects in one component."""
        return len(self.classes) == 1 and len(self.classes[0].index) == 1

    def scale(self, columns: np.ndarray, factors: Sequence[np.ndarray]) -> np.ndarray:
        """L times columns (m, r), L block-diagonal with factors[t] (K, K) at each level of t."""
        out = np.empty_like(columns)
        for c in self.classes:
            for part, m in zip(c.parts, factors, strict=True):
                where = c.index[:, part]
                levels = columns[where].reshape(-1, len(m), columns.shape[1])
                out[where] = (m @ levels).reshape(*where.shape, -1)
        return out

    def pack(self, matrix: sparse.csr_array | np.ndarray) -> BlockMatrix:
        """An (m, m) matrix of this pattern in blocks."""
        if isinstance(matrix, np.ndarray):
            if self.is_dense:
                return BlockMatrix(self, (matrix[None],))
            index = [c.index for c in self.classes]
            return BlockMatrix(self, tuple(matrix[i[:, :, None], i[:, None, :]] for i in index))
        coo = sparse.coo_array(matrix)
        rows, cols = coo.coords
        total = sum(c.index.size * c.index.shape[1] for c in self.classes)
        flat = np.zeros(total)
        place = self.component[rows] + self.position[rows] * self.width[rows]
        flat[place + self.position[cols]] = coo.data
        blocks, start = [], 0
        for c in self.classes:
            count, s = c.index.shape
            blocks.append(flat[start : start + count * s * s].reshape(count, s, s))
            start += count * s * s
        return BlockMatrix(self, tuple(blocks))

    def gram(self, linked: kernels.Linked, weights: np.ndarray) -> BlockMatrix:
        """sum_j L_j' W_j L_j for the rows L_j of the head's levels, W (J, K, K) symmetric."""
        if self.is_dense:
            return BlockMatrix(self, (kernels.weighted_gram(linked, weights)[None],))
        if isinstance(linked, np.ndarray):
            return self.pack(kernels.weighted_gram(linked, weights))
        return self.pack(linked.T @ kernels.scale_levels(weights, linked))


@dataclass(frozen=True)
class BlockMatrix:
    """An (m, m) matrix of a pattern: one (count, s, s) stack per class."""

    pattern: BlockPattern
    blocks: tuple[np.ndarray, ...]

    def map(self, function: Callable[..., np.ndarray], *others: BlockMatrix) -> BlockMatrix:
        """The matrix with `function` applied to every stack (and those of `others`)."""
        stacks = zip(self.blocks, *(o.blocks for o in others), strict=True)
        return BlockMatrix(self.pattern, tuple(function(*s) for s in stacks))

    def __add__(self, other: BlockMatrix) -> BlockMatrix:
        return self.map(np.add, other)

    def __sub__(self, other: BlockMatrix) -> BlockMatrix:
        return self.map(np.subtract, other)

    def __mul__(self, factor: float) -> BlockMatrix:
        return self.map(lambda a: a * factor)

    @property
    def T(self) -> BlockMatrix:
        return self.map(lambda a: a.swapaxes(1, 2))

    def product(self, other: BlockMatrix) -> BlockMatrix:
        """This matrix times another of the same pattern."""
        return self.map(np.matmul, other)

    def apply(self, columns: np.ndarray) -> np.ndarray:
        """This matrix times columns (m, r) or one column (m,)."""
        out = np.empty((len(columns), columns.size // max(1, len(columns))))
        wide = columns.reshape(out.shape)
        for c, block in zip(self.pattern.classes, self.blocks, strict=True):
            out[c.index] = block @ wide[c.index]
        return out.reshape(columns.shape)

    def sandwich(self, factors: Sequence[np.ndarray]) -> BlockMatrix:
        """L' A L for symmetric A, L block-diagonal with factors[t] (K, K) at each level of t."""
        return self.scale_columns(factors).scale_rows(factors)

    def scale_columns(self, factors: Sequence[np.ndarray]) -> BlockMatrix:
        """A L."""
        if all(len(m) == 1 for m in factors):
            return self._each(lambda block, scale: block * scale, factors)
        return self._right(factors)

    def scale_rows(self, factors: Sequence[np.ndarray]) -> BlockMatrix:
        """L' A."""
        if all(len(m) == 1 for m in factors):
            return self._each(lambda block, scale: block * scale[:, None], factors)
        return self.T._right(factors).T

    def _each(
        self,
        function: Callable[[np.ndarray, np.ndarray], np.ndarray],
        factors: Sequence[np.ndarray],
    ) -> BlockMatrix:
        """`function` of every stack and the (s,) scales of its effects, all K = 1."""
        out = []
        for c, block in zip(self.pattern.classes, self.blocks, strict=True):
            scale = np.empty(block.shape[1])
            for part, m in zip(c.parts, factors, strict=True):
                scale[part] = m[0, 0]
            out.append(function(block, scale))
        return BlockMatrix(self.pattern, tuple(out))

    def _right(self, factors: Sequence[np.ndarray]) -> BlockMatrix:
        out = []
        for c, block in zip(self.pattern.classes, self.blocks, strict=True):
            moved = np.empty_like(block)
            for part, m in zip(c.parts, factors, strict=True):
                columns = block[:, :, part]
                split = columns.reshape(*columns.shape[:2], -1, len(m))
                moved[:, :, part] = (split @ m).reshape(columns.shape)
            out.append(moved)
        return BlockMatrix(self.pattern, tuple(out))

    def mean_diagonal(self, effects: slice) -> float:
        """The mean of the diagonal over some effects (a slice of the m)."""
        out = np.empty(self.pattern.size)
        for c, block in zip(self.pattern.classes, self.blocks, strict=True):
            out[c.index] = np.einsum("css->cs", block)
        return float(out[effects].mean())

    def plus_identity(self) -> BlockMatrix:
        """I + A."""
        out = self.map(np.copy)
        for block in out.blocks:
            np.einsum("css->cs", block)[...] += 1.0
        return out

    @staticmethod
    def inner_products(matrices: Sequence[BlockMatrix]) -> np.ndarray:
        """tr(A_a A_b) for all pairs, (k, k)."""
        out = np.zeros((len(matrices),) * 2)
        for stacks in zip(*(a.blocks for a in matrices), strict=True):
            stack = np.array(stacks)
            flat = stack.reshape(len(stack), -1)
            out += flat @ stack.swapaxes(2, 3).reshape(flat.shape).T
        return out

    def part(self, s: int, t: int) -> list[np.ndarray]:
        """The rows of factor s and columns of factor t: (count, rows, cols) per class."""
        return [
            block[:, c.parts[s], c.parts[t]]
            for c, block in zip(self.pattern.classes, self.blocks, strict=True)
        ]

    def diagonal(self, t: int, offset: int, levels: int, size: int) -> np.ndarray:
        """The (J, K, K) diagonal blocks of tail factor t, whose effects start at `offset`."""
        out = np.zeros((levels, size, size))
        for c, block in zip(self.pattern.classes, self.part(t, t), strict=True):
            count, width, _ = block.shape
            per_level = block.reshape(count, width // size, size, width // size, size)
            where = (c.index[:, c.parts[t]][:, ::size] - offset) // size
            out[where] = np.einsum("cjajb->cjab", per_level)
        return out

    def inner_diagonal(self, other: BlockMatrix, t: int, size: int) -> np.ndarray:
        """The sum over the levels of tail factor t of the diagonal blocks of A'B, (K, K)."""
        out = np.zeros((size, size))
        for c, a, b in zip(self.pattern.classes, self.blocks, other.blocks, strict=True):
            part = c.parts[t]
            rows, width = a.shape[:2], part.stop - part.start
            left = a[:, :, part].reshape(*rows, width // size, size)
            right = b[:, :, part].reshape(*rows, width // size, size)
            out += np.einsum("crja,crjb->ab", left, right, optimize=True)
        return out

    def csr(self) -> sparse.csr_array:
        """The same matrix in scipy's sparse form."""
        rows, cols, data = [], [], []
        for c, block in zip(self.pattern.classes, self.blocks, strict=True):
            s = c.index.shape[1]
            rows.append(np.repeat(c.index, s, axis=1).ravel())
            cols.append(np.tile(c.index, (1, s)).ravel())
            data.append(block.ravel())
        where = (np.concatenate(rows), np.concatenate(cols))
        m = self.pattern.size
        return sparse.csr_array((np.concatenate(data), where), shape=(m, m))

    def dense(self) -> np.ndarray:
        """The same matrix as one array (m, m)."""
        if self.pattern.is_dense:
            block: np.ndarray = self.blocks[0][0]
            return block
        out = np.zeros((self.pattern.size,) * 2)
        for c, stack in zip(self.pattern.classes, self.blocks, strict=True):
            out[c.index[:, :, None], c.index[:, None, :]] = stack
        return out

    def cholesky(self) -> BlockCholesky:
        """The Cholesky factor of a symmetric positive definite matrix; its memory is used."""
        return BlockCholesky(self.pattern, tuple(_cholesky(b) for b in self.blocks))


@dataclass(frozen=True)
class BlockCholesky:
    """A = L L' block by block.

    lower : (count, s, s) stacks of L; above the diagonal anything may stand.
    """

    pattern: BlockPattern
    lower: tuple[np.ndarray, ...]

    @property
    def logdet(self) -> float:
        """log|A|."""
        return 2.0 * sum(float(np.log(np.einsum("css->cs", b)).sum()) for b in self.lower)

    def solve(self, columns: np.ndarray) -> np.ndarray:
        """A^-1 times columns (m, r)."""
        out = np.empty_like(columns)
        for c, lower in zip(self.pattern.classes, self.lower, strict=True):
            if len(lower) == 1:
                out[c.index[0]] = lapack.dpotrs(lower[0].T, columns[c.index[0]], lower=0)[0]
            else:
                half = np.linalg.inv(lower)
                out[c.index] = half.swapaxes(1, 2) @ (half @ columns[c.index])
        return out

    def inverse(self) -> BlockMatrix:
        """A^-1."""
        return BlockMatrix(self.pattern, tuple(_inverse(b) for b in self.lower))


def _cholesky(stack: np.ndarray) -> np.ndarray:
    if len(stack) != 1:
        return np.linalg.cholesky(stack)
    upper, info = lapack.dpotrf(stack[0].T, lower=0, clean=0, overwrite_a=1)
    if info:
        raise np.linalg.LinAlgError("not positive definite")
    return upper.T[None]


def _inverse(stack: np.ndarray) -> np.ndarray:
    if len(stack) != 1:
        half = np.linalg.inv(stack)
        return half.swapaxes(1, 2) @ half
    inverse, _ = lapack.dpotri(stack[0].T, lower=0)
    return kernels.mirrored(inverse.T)[None]


_NONE = np.zeros(0, dtype=np.intp)
NO_PATTERN = BlockPattern((), _NONE, _NONE, _NONE)


def find_pattern(links: sparse.csr_array, sizes: Sequence[tuple[int, int]]) -> BlockPattern:
    """The pattern of a tail whose effects meet in the levels of the head.

    Parameters
    ----------
    links : (J, m), not zero where a level of the head shares a row with a tail effect.
    sizes : (J_t, K_t) per tail factor; the K effects of one level always meet.
    """
    graph = sparse.bmat([[None, links], [links.T, _levels_joined(sizes)]], format="csr")
    _, label = connected_components(graph, directed=False)
    _, label = np.unique(label[links.shape[0] :], return_inverse=True)
    return pattern_of(label, sizes)


def pattern_of(label: np.ndarray, sizes: Sequence[tuple[int, int]]) -> BlockPattern:
    """The pattern of a tail from the component (0, 1, ...) of each of its effects, (m,)."""
    counts = [j * k for j, k in sizes]
    if not label.any():
        return _one_component(counts)
    m = len(label)
    factor = np.repeat(np.arange(len(sizes)), counts)
    order = np.lexsort((np.arange(m), factor, label))
    widths = np.bincount(label)
    make_up = np.zeros((len(widths), len(sizes)), dtype=np.intp)
    np.add.at(make_up, (label, factor), 1)
    starts = np.concatenate([[0], np.cumsum(widths)[:-1]])
    kinds, kind_of = np.unique(make_up, axis=0, return_inverse=True)
    return _assemble(kinds, kind_of.ravel(), order, starts, widths)


def _one_component(counts: Sequence[int]) -> BlockPattern:
    ends = np.cumsum([0, *counts])
    every, m = np.arange(ends[-1]), int(ends[-1])
    parts = tuple(slice(int(a), int(b)) for a, b in pairwise(ends))
    component = np.zeros(m, dtype=np.intp)
    return BlockPattern((BlockClass(every[None], parts),), component, every, component + m)


def _levels_joined(sizes: Sequence[tuple[int, int]]) -> sparse.csr_array:
    """(m, m): every effect joined to the first effect of its level."""
    first, start = [], 0
    for levels, size in sizes:
        first.append(start + np.repeat(np.arange(levels) * size, size))
        start += levels * size
    to = np.concatenate(first)
    return sparse.csr_array((np.ones(start), (np.arange(start), to)), shape=(start, start))


def _assemble(
    kinds: np.ndarray,
    kind_of: np.ndarray,
    order: np.ndarray,
    starts: np.ndarray,
    widths: np.ndarray,
) -> BlockPattern:
    m = len(order)
    component, position, width = (np.empty(m, dtype=np.intp) for _ in range(3))
    classes, flat = [], 0
    for k, make_up in enumerate(kinds):
        members = np.flatnonzero(kind_of == k)
        s = int(widths[members[0]])
        index = order[starts[members][:, None] + np.arange(s)]
        component[index] = flat + np.arange(len(members))[:, None] * s * s
        position[index] = np.arange(s)
        width[index] = s
        flat += len(members) * s * s
        ends = np.concatenate([[0], np.cumsum(make_up)])
        parts = tuple(slice(int(a), int(b)) for a, b in pairwise(ends))
        classes.append(BlockClass(index, parts))
    return BlockPattern(tuple(classes), component, position, width)
