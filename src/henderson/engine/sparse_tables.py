"""Large sparse tables: cells of two factors, and products with many columns at once.

Compiled where the kernels are installed; the twins in SciPy give the same numbers to rounding.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from henderson.engine import kernels

# Multiplications in a product from which on threads pay.
WORTH_THREADS = 4_000_000


@dataclass(frozen=True)
class Table:
    """A sparse (rows, columns) matrix by compressed rows.

    pointers : (rows + 1,) 64-bit; indices : (entries,) 32-bit; values : (entries,).
    """

    pointers: np.ndarray
    indices: np.ndarray
    values: np.ndarray
    columns: int

    @staticmethod
    def of(matrix: sparse.csr_array) -> Table:
        """From SciPy's form."""
        indices = matrix.indices.astype(np.int32, copy=False)
        return Table(matrix.indptr.astype(np.int64), indices, matrix.data, matrix.shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.pointers) - 1, self.columns

    @cached_property
    def csr(self) -> sparse.csr_array:
        """SciPy's form; shares the values."""
        return sparse.csr_array((self.values, self.indices, self.pointers), shape=self.shape)

    def transposed(self) -> Table:
        csc = sparse.csr_array((self.values, self.indices, self.pointers), shape=self.shape)
        return Table.of(csc.T.tocsr())

    def times(self, x: np.ndarray) -> np.ndarray:
        """This matrix times x (columns, r), row-major: one index serves r numbers."""
        if kernels.compiled is None:
            product: np.ndarray = self.csr @ x
            return product
        work = len(self.values) * x.shape[1]
        made: np.ndarray = kernels.compiled.multiply(
            self.pointers,
            self.indices,
            self.values,
            np.ascontiguousarray(x),
            _threads() if work > WORTH_THREADS else 1,
        )
        return made


def _threads() -> int:
    """As many as BLAS would take; the numbers do not depend on it."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    return max(1, int(told)) if told.isdigit() else available


@dataclass(frozen=True)
class Cells:
    """Z_1'Z_2 of two factors: a K_1 x K_2 block for every pair of levels that meet.

    levels : (J_1, J_2), where the blocks stand; its values do not count.
    blocks : (cells, K_1, K_2), by levels of the first factor.
    """

    levels: Table
    blocks: np.ndarray

    @property
    def is_scalar(self) -> bool:
        return self.blocks.shape[1:] == (1, 1)

    @cached_property
    def table(self) -> Table:
        """The matrix (J_1 K_1, J_2 K_2)."""
        t = self.levels
        if self.is_scalar:
            return Table(t.pointers, t.indices, self.blocks[:, 0, 0], t.columns)
        _, k1, k2 = self.blocks.shape
        shape = (t.shape[0] * k1, t.columns * k2)
        bsr = sparse.bsr_array((self.blocks, t.indices, t.pointers), shape=shape)
        return Table.of(sparse.csr_array(bsr.tocsr()))

    def first_sums(self, blocks: np.ndarray) -> np.ndarray:
        """sum_j C_ij T_j C_ij' per level i of the first factor (J_1, K_1, K_1), T (J_2, K_2, K_2).

        T is symmetric.
        """
        return self._sums(self.blocks, blocks, transposed=False)

    def second_sums(self, blocks: np.ndarray) -> np.ndarray:
        """sum_i C_ij'W_i C_ij per level j of the second factor (J_2, K_2, K_2), W (J_1, K_1, K_1).

        W is symmetric.
        """
        return self._sums(self.blocks.swapaxes(1, 2), blocks, transposed=True)

    def _sums(self, cells: np.ndarray, inner: np.ndarray, *, transposed: bool) -> np.ndarray:
        """The sums over one side of a V b' for the rows a, b of the cells, entry by entry."""
        size, width = cells.shape[1:]
        levels = self.levels.columns if transposed else self.levels.shape[0]
        out = np.zeros((levels, size, size))
        t = self.levels
        for i in range(size):
            for j in range(i + 1):
                for a in range(width):
                    for b in range(width):
                        values = cells[:, i, a] * cells[:, j, b]
                        weighed = sparse.csr_array((values, t.indices, t.pointers), shape=t.shape)
                        side = weighed.T if transposed else weighed
                        out[:, i, j] += side @ inner[:, a, b]
                out[:, j, i] = out[:, i, j]
        return out


def cell_table(
    first: np.ndarray,
    n_first: int,
    second: np.ndarray,
    n_second: int,
    left: np.ndarray,
    right: np.ndarray,
) -> Cells:
    """The cells of two factors in one pass over the rows for each pair of their effects.

    Parameters
    ----------
    first, second : codes (n,); left : z_1 (n, K_1); right : z_2 (n, K_2).
    """
    blocks: np.ndarray | None = None
    width, height = left.shape[1], right.shape[1]
    for i in range(width):
        for j in range(height):
            found = _scalar_cells(first, n_first, second, n_second, left[:, i], right[:, j])
            if width == height == 1:
                return Cells(found, found.values[:, None, None])
            if blocks is None:
                levels, blocks = found, np.empty((len(found.values), width, height))
            blocks[:, i, j] = found.values
    assert blocks is not None
    return Cells(levels, blocks)


def _scalar_cells(
    first: np.ndarray,
    n_first: int,
    second: np.ndarray,
    n_second: int,
    left: np.ndarray,
    right: np.ndarray,
) -> Table:
    columns = (np.ascontiguousarray(left), np.ascontiguousarray(right))
    if kernels.compiled is None:
        return _coo_cells(first, n_first, second, n_second, columns[0] * columns[1])
    a, b = (np.ascontiguousarray(c) for c in (first, second))
    found = kernels.compiled.cells(a, n_first, b, n_second, *columns)
    pointers, indices, values = found
    return Table(pointers, indices, values, n_second)


def _coo_cells(
    first: np.ndarray, n_first: int, second: np.ndarray, n_second: int, products: np.ndarray
) -> Table:
    """The twin: SciPy adds up what falls into the same cell."""
    coo = sparse.coo_array((products, (first, second)), shape=(n_first, n_second))
    csr = coo.tocsr()
    csr.sum_duplicates()
    return Table.of(csr)


def beside(tables: Sequence[Table]) -> Table:
    """Tables with the same rows, side by side."""
    if len(tables) == 1:
        return tables[0]
    return Table.of(sparse.csr_array(sparse.hstack([t.csr for t in tables], format="csr")))
