"""From sums over rows to a problem in standard coordinates and its cross-products.

What `problem.standardise` does to rows is done to their cross-products: R with R'R = [X y]'W[X y]
holds the regression of y on X, and roots of sum_j Z_j'WZ_j the bases of the terms. All maps are
worked out from deviations from the origin of the sums, and only then taken back to the caller's
columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from scipy import sparse
from scipy.linalg.lapack import dpotrf

from henderson.engine import kernels
from henderson.engine.additive import Origin, Sums, levels_met
from henderson.engine.blocks import NO_PATTERN, BlockMatrix, find_pattern
from henderson.engine.crossproducts import SMALL_TABLE, CrossProducts, level_roots, narrow
from henderson.engine.iterative_products import Engine, IterativeProducts, assemble, choose
from henderson.engine.problem import (
    Given,
    Grouping,
    Rows,
    Standard,
    engine_order,
    refuse_few_rows,
    term_basis,
)
from henderson.engine.sparse_tables import Cells, Table
from henderson.errors import DesignError, FitError

# Share of its square that a column of X keeps beside the others below which it is taken for a
# combination of them: sums of squares of 10^7 rows do not know it to more.
COLLINEAR = 1e-11
# The same of y, below which X is said to explain it exactly.
EXACT = 1e-11


@dataclass(frozen=True)
class StandardWithoutRows(Standard):
    """A problem in standard coordinates of which only sums over the rows exist."""

    @cached_property
    def _rows(self) -> Rows:
        raise FitError(
            "This needs the rows, and the rows of these data were added up chunk by chunk and not "
            "kept: fit all rows at once."
        )


@dataclass(frozen=True)
class StandardSums:
    """Sums, and the maps that take them to standard coordinates.

    problem : the way back, as `optimise_products` needs it.
    to_xy : (p + 1, p + 1), [X y] of the sums times it are in standard coordinates; to_z : (K, K)
        per factor, in the caller's order.
    """

    sums: Sums
    problem: Standard
    to_xy: np.ndarray
    to_z: tuple[np.ndarray, ...]

    @staticmethod
    def of(sums: Sums) -> StandardSums:
        """The maps for all the rows so far.

        Raises
        ------
        DesignError : the columns of X are collinear.
        FitError : no residual degrees of freedom, or X explains y exactly.
        """
        refuse_few_rows(sums.n, sums.p)
        assert sums.origin is not None
        fixed = _fixed(sums, sums.origin)
        groupings = _without_rows(sums)
        bases = [_basis(sums, sums.origin, t) for t in range(len(groupings))]
        problem = StandardWithoutRows(
            given=Given(np.zeros(0), np.zeros((0, sums.p)), groupings, None),
            beta0=fixed.beta0,
            r_x=fixed.r_x,
            r_z=tuple(bases),
            y_scale=fixed.y_scale,
            log_weights=float(sums.log_weights.value),
        )
        to_z = tuple(np.linalg.inv(r @ z) for z, r in zip(sums.origin.z, bases, strict=True))
        return StandardSums(sums, problem, fixed.to_standard, to_z)

    def products(self, engine: Engine = "auto") -> CrossProducts | IterativeProducts:
        """The cross-products of the engine asked for, or for "auto" of the exact one where it fits.

        Raises
        ------
        FitError : the exact one is asked for, and the machine has not the memory.
        """
        if len(self.sums.levels) < 2:
            return self._of_one_factor()
        found = assemble(
            n=self.sums.n,
            log_weights=self.problem.log_weights,
            order=self._order,
            sizes=self._sizes,
            xy=self._xy,
            levels=[self._levels(t) for t in self._order],
            cells=lambda s, t: self._cells(self._order[s], self._order[t]),
        )
        return choose(found, engine, lambda: exact_products(found))

    @property
    def _order(self) -> tuple[int, ...]:
        return engine_order(self.problem.given.groupings)

    @property
    def _sizes(self) -> tuple[tuple[int, int], ...]:
        groupings = self.problem.given.groupings
        return tuple((groupings[t].n_levels, groupings[t].size) for t in self._order)

    @property
    def _xy(self) -> np.ndarray:
        """[X y]'[X y] in standard coordinates: n I, which is what the maps were made for."""
        return self.sums.n * np.eye(self.sums.p + 1)

    def _levels(self, factor: int) -> tuple[np.ndarray, np.ndarray]:
        """Z_j'Z_j (J, K, K) and Z_j'[X y] (J, K, p + 1) in standard coordinates."""
        run, to = self.sums.levels[factor].total, self.to_z[factor]
        k, width = len(to), len(to) + self.sums.p + 1
        right = np.zeros((width, width))
        right[:k, :k], right[k:, k:] = to, self.to_xy
        out = np.zeros((self.sums.n_levels[factor], k, width))
        out[run.keys] = _between_maps(to, run.values, right)
        own = out[:, :, :k]
        return 0.5 * (own + own.swapaxes(1, 2)), np.ascontiguousarray(out[:, :, k:])

    def _cells(self, first: int, second: int) -> Cells:
        """Z_i'Z_j in standard coordinates, by levels of the first factor."""
        pairs = list(combinations(range(len(self.to_z)), 2))
        run = self.sums.cells[pairs.index((min(first, second), max(first, second)))].total
        i, j = levels_met(run.keys)
        blocks = run.values
        if first > second:
            order = np.lexsort((i, j))
            i, j, blocks = j[order], i[order], blocks[order].swapaxes(1, 2)
        blocks = _between_maps(self.to_z[first], blocks, self.to_z[second])
        pointers = np.searchsorted(i, np.arange(self.sums.n_levels[first] + 1)).astype(np.int64)
        table = Table(pointers, j.astype(np.int32), blocks[:, 0, 0], self.sums.n_levels[second])
        return Cells(table, blocks)

    def _of_one_factor(self) -> CrossProducts:
        """The cross-products where there is no tail."""
        q = self.sums.p + 1
        root, dense = np.zeros((0, 0, 0)), np.zeros((0, 0, q))
        for own, with_xy in map(self._levels, self._order):
            root, inverse = level_roots(own)
            dense = inverse @ with_xy
        flat = dense.reshape(-1, q)
        return CrossProducts(
            n=self.sums.n,
            p=self.sums.p,
            log_weights=self.problem.log_weights,
            order=self._order,
            sizes=self._sizes,
            root=root,
            dense=dense,
            linked=None,
            within_xy=self._xy - flat.T @ flat,
            within_zxy=np.zeros((0, q)),
            squares=BlockMatrix(NO_PATTERN, ()),
            tail=(),
        )


def _between_maps(left: np.ndarray, blocks: np.ndarray, right: np.ndarray) -> np.ndarray:
    """left' B right for each of the blocks B (r, a, b), as one product of matrices."""
    flat = blocks.reshape(len(blocks), -1) @ np.kron(left, right)
    return flat.reshape(len(blocks), left.shape[1], right.shape[1])


@dataclass(frozen=True)
class _Fixed:
    """The maps of X and y: as in `Standard`, and `to_standard` as in `StandardSums`."""

    beta0: np.ndarray
    r_x: np.ndarray
    y_scale: float
    to_standard: np.ndarray


def _fixed(sums: Sums, origin: Origin) -> _Fixed:
    p, root_n = sums.p, np.sqrt(sums.n)
    root = _root_of_xy(sums.xy.value)
    r, y_scale = root[:p, :p], float(root[p, p]) / root_n
    coef = np.linalg.solve(r, root[:p, p])
    q, r_x = np.linalg.qr(r @ np.linalg.inv(origin.xy[:p, :p]))
    to = np.zeros((p + 1, p + 1))
    to[:p, :p] = root_n * np.linalg.solve(r, q)
    to[:p, p], to[p, p] = -coef / y_scale, 1.0 / y_scale
    beta0 = origin.xy[:p, :p] @ coef - origin.xy[:p, p]
    return _Fixed(beta0, r_x / root_n, y_scale, to)


def _root_of_xy(products: np.ndarray) -> np.ndarray:
    """Upper triangular R with R'R = [X y]'[X y]."""
    p = len(products) - 1
    size = np.sqrt(np.diag(products))
    size[size == 0.0] = 1.0
    upper, failed = dpotrf(products / size / size[:, None])
    squares = np.append(np.diag(upper)[: failed - 1 if failed else p + 1] ** 2, 0.0)
    low = squares[:p] < COLLINEAR
    if low.any():
        k = int(np.flatnonzero(low)[0]) + 1
        raise DesignError(
            f"Column {k} of X is a linear combination of those before it, as far as sums of "
            "squares can tell: leave it out, or centre and scale what it is made of."
        )
    if squares[p] < EXACT:
        raise FitError("The fixed effects explain the response exactly: nothing is left to model.")
    root: np.ndarray = np.triu(upper) * size
    return root


def _without_rows(sums: Sums) -> tuple[Grouping, ...]:
    """The factors: levels, numbers of effects and terms."""
    none = np.zeros(0, dtype=np.intp)
    return tuple(
        Grouping(none, levels, np.zeros((0, size)), terms)
        for levels, size, terms in zip(sums.n_levels, sums.sizes, sums.terms, strict=True)
    )


def _basis(sums: Sums, origin: Origin, factor: int) -> np.ndarray:
    """r_z (K, K) of `Standard`: the terms' bases of a few rows with the same Z'Z as all."""
    k = sums.sizes[factor]
    values = sums.levels[factor].total.values
    square = values.reshape(len(values), -1).sum(axis=0).reshape(k, -1)[:, :k]
    size = np.sqrt(np.diag(square))
    size[size == 0.0] = 1.0
    values, vectors = np.linalg.eigh(square / size / size[:, None])
    rows = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T * size
    rows = rows @ np.linalg.inv(origin.z[factor])
    out = np.zeros((k, k))
    for term in sums.terms[factor]:
        own = term_basis(rows[:, term.columns], term.structure.rotation)
        out[term.columns, term.columns] = own / np.sqrt(sums.n_levels[factor])
    return out


def exact_products(found: IterativeProducts) -> CrossProducts:
    """The exact engine's cross-products from sparse tables of at least two factors."""
    root, inverse = level_roots(found.squares[0])
    dense = inverse @ found.with_xy[0]
    flat = dense.reshape(-1, found.p + 1)
    raw, small = found.cells.csr, len(flat) * found.m <= SMALL_TABLE
    linked = kernels.scale_levels(inverse, raw.toarray() if small else raw)
    if not small:
        linked = narrow(sparse.csr_array(linked))
    return CrossProducts(
        n=found.n,
        p=found.p,
        log_weights=found.log_weights,
        order=found.order,
        sizes=found.sizes,
        root=root,
        dense=dense,
        linked=linked,
        within_xy=found.xy - flat.T @ flat,
        within_zxy=found.tail_xy - linked.T @ flat,
        squares=_squares(found),
        tail=found.tail,
    )


def _squares(found: IterativeProducts) -> BlockMatrix:
    """Z_tail'Z_tail in the blocks of effects that meet in levels of the head."""
    own = [
        sparse.bsr_array((a, np.arange(len(a)), np.arange(len(a) + 1))) for a in found.squares[1:]
    ]
    square = sparse.csr_array(sparse.block_diag(own, format="csr"))
    if found.between is not None:
        square = square + found.between.csr
    pattern = find_pattern(_first_effects(found.met), found.sizes[1:])
    return pattern.pack(square)


def _first_effects(met: Sequence[Cells]) -> sparse.csr_array:
    """(J, m) with a one where a level of the head meets a level of the tail, at its first effect.

    By who meets whom, not by what the products are: these may be zero.
    """
    columns = []
    for cells in met:
        t, size = cells.levels, cells.blocks.shape[2]
        parts = (np.ones(len(t.indices)), t.indices.astype(np.int64) * size, t.pointers)
        columns.append(sparse.csr_array(parts, shape=(t.shape[0], t.columns * size)))
    return sparse.csr_array(sparse.hstack(columns, format="csr"))
