"""The data as the iterative engine sees them: sparse tables of who meets whom, never factored.

Where the tail of a crossed design is too large for a dense factor, its matrix S is only multiplied
by vectors. That takes the products of every level with itself, and the cells in which levels of two
factors meet; nothing has n rows, and nothing is as large as the tail squared.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise
from typing import Literal

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from henderson.engine import kernels
from henderson.engine.crossproducts import CrossProducts, cross_products
from henderson.engine.problem import Grouping, Standard, engine_order
from henderson.engine.sparse_tables import Cells, Table, beside, cell_table
from henderson.errors import FitError

Engine = Literal["auto", "exact", "iterative"]
# Effects of the tail that meet in one component up to which its dense factor is made: beyond it an
# evaluation takes 10^11 operations and 200 MB a matrix, several times over.
LARGEST_COMPONENT = 5_000
# Sets of probes in a lot, at least, however many effects make a set large.
SETS = 4
# Dense matrices of that size that an exact fit holds at a time.
COPIES = 6


@dataclass(frozen=True)
class Effort:
    """How much work goes into what is estimated by random probes.

    seed : of the probes, the same in every evaluation and every fit.
    probes : of an evaluation, at least. numbers : in a set of probes up to which there are more.
    most : of the log-determinant at the optimum, for which sets are added until its standard error
        is below `error`.
    solve, trace, log : relative size of the residual at which the solver stops: for X, y and the
        average information; for the traces; for the log-determinant. limit : its iterations.
    """

    seed: int = 20
    probes: int = 16
    numbers: int = 2**17
    most: int = 256
    error: float = 0.05
    solve: float = 1e-10
    trace: float = 1e-6
    log: float = 1e-6
    limit: int = 2_000

    def count(self, m: int) -> int:
        """Probes of m effects: a power of two, or `probes`."""
        return max(self.probes, _power_of_two(self.numbers // m + 1) // 2)

    def is_complete(self, m: int) -> bool:
        """Whether the probes of m effects span everything: nothing is then left to chance."""
        return self.count(m) >= _power_of_two(m)


@dataclass(frozen=True)
class IterativeProducts:
    """All that the iterative engine needs of the data, in standard coordinates.

    order, sizes, tail, p, n, log_weights : as in `crossproducts.CrossProducts`.
    xy : [X y]'[X y], (p + 1, p + 1).
    squares : Z_j'Z_j per level (J, K, K), head first; with_xy : Z_j'[X y] (J, K, p + 1).
    pairs : the cells of every two factors, by their places, the smaller first.
    cells : Z_head'Z_tail (J K, m); `across` its transpose.
    between : Z_tail'Z_tail less its diagonal blocks (m, m), or None for one factor in the tail.
    """

    n: int
    p: int
    log_weights: float
    order: tuple[int, ...]
    sizes: tuple[tuple[int, int], ...]
    tail: tuple[slice, ...]
    xy: np.ndarray
    squares: tuple[np.ndarray, ...]
    with_xy: tuple[np.ndarray, ...]
    pairs: dict[tuple[int, int], Cells]
    cells: Table
    across: Table
    between: Table | None
    effort: Effort = Effort()

    @property
    def m(self) -> int:
        """Number of random effects in the tail."""
        return self.cells.columns

    @property
    def met(self) -> tuple[Cells, ...]:
        """The cells of the head and each factor of the tail."""
        return tuple(self.pairs[0, t] for t in range(1, len(self.sizes)))

    def gram(self, s: int, t: int) -> np.ndarray:
        """The sum over cells C (K_s, K_t) of two factors of C_ab C_cd, (K_s, K_t, K_s, K_t)."""
        if s > t:
            return self.gram(t, s).transpose(1, 0, 3, 2)
        blocks = self.squares[s] if s == t else self.pairs[s, t].blocks
        flat = blocks.reshape(len(blocks), -1)
        return (flat.T @ flat).reshape(blocks.shape[1:] * 2)

    @cached_property
    def tail_xy(self) -> np.ndarray:
        """Z_tail'[X y], (m, p + 1)."""
        return np.concatenate([b.reshape(-1, self.p + 1) for b in self.with_xy[1:]])

    @cached_property
    def shared_effects(self) -> np.ndarray:
        """Orthonormal (m, k): for each effect of each factor of the tail, all levels alike.

        In a connected design these are the directions in which S is far from its diagonal blocks.
        """
        columns = []
        for where, (levels, size) in zip(self.tail, self.sizes[1:], strict=True):
            column = np.zeros((self.m, size))
            for k in range(size):
                column[where.start + k : where.stop : size, k] = levels**-0.5
            columns.append(column)
        return np.hstack(columns)

    @cached_property
    def probes(self) -> np.ndarray:
        """(m, r) of signs, for the traces."""
        return self.lot(0)

    def lot(self, number: int) -> np.ndarray:
        """Signs (m, r), independent of those of other lots."""
        effort, effects = self.effort, sum(size for _, size in self.sizes[1:])
        if effort.is_complete(self.m):
            return _walsh(self.m, _power_of_two(self.m))
        count = max(effort.count(self.m), SETS * _power_of_two(effects))
        return rademacher(self.sizes[1:], count, effort.seed + number)


def _power_of_two(count: int) -> int:
    return 1 << (count - 1).bit_length()


def rademacher(sizes: Sequence[tuple[int, int]], count: int, seed: int) -> np.ndarray:
    """Random signs (m, count) in sets of the power of two not below the number of effects.

    Within a set a level has one random sign, and its effects, and those of other factors, differ
    by rows of a Hadamard matrix: over a set, products of two different effects of whatever levels
    sum to exactly zero. So an effect of little variance is not drowned by the others, as it would
    be where its estimate is divided by that variance.
    """
    rng = np.random.default_rng(seed)
    width = _power_of_two(sum(size for _, size in sizes))
    rows = _walsh(width, width)
    parts, first = [], 0
    for levels, size in sizes:
        signs = rng.integers(0, 2, (levels, 1, count // width, 1)) * 2.0 - 1.0
        own = rows[first : first + size, None, :]
        parts.append((signs * own).reshape(levels * size, count))
        first += size
    return np.concatenate(parts)


def _walsh(size: int, count: int) -> np.ndarray:
    """(size, count) signs (-1)^(bits that k and r share): rows of a Hadamard matrix."""
    shared = np.arange(size)[:, None] & np.arange(count)
    bits = np.zeros_like(shared)
    while shared.any():
        bits ^= shared & 1
        shared = shared >> 1
    return 1.0 - 2.0 * bits


def choose_products(problem: Standard, engine: Engine) -> CrossProducts | IterativeProducts:
    """The cross-products of the engine asked for, or for "auto" of the exact one where it fits.

    The iterative engine needs two grouping factors: with one there is nothing to iterate on. It has
    no way with correlated levels.

    Raises
    ------
    FitError : the exact one is asked for, and the machine has not the memory.
    """
    groupings = problem.given.groupings
    if len(groupings) < 2 or any(g.root is not None for g in groupings):
        return cross_products(problem)
    sizes = sorted(g.n_levels * g.size for g in groupings)
    small = sum(sizes[:-1]) <= LARGEST_COMPONENT
    if small and engine != "iterative":
        return cross_products(problem)
    found = iterative_products(problem)
    return choose(found, engine, lambda: cross_products(problem))


def choose(
    found: IterativeProducts, engine: Engine, exact: Callable[[], CrossProducts]
) -> CrossProducts | IterativeProducts:
    """The iterative engine's products, or `exact()` where these are asked for or fit.

    Raises
    ------
    FitError : the exact ones are asked for, and the machine has not the memory.
    """
    if engine == "iterative":
        return found
    width = largest_component(found)
    if engine == "auto" and width > LARGEST_COMPONENT:
        return found
    _refuse_too_large(width)
    return exact()


def _refuse_too_large(width: int) -> None:
    need, there = COPIES * 8 * width**2 / 1e9, _memory()
    if need > there:
        raise FitError(
            f"An exact factor for {width} random effects that meet takes about {need:.0f} GB of "
            f"memory, and this machine has {there:.0f}: leave out engine='exact'."
        )


def _memory() -> float:
    """Memory of the machine in GB; without bound where it does not say."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")) / 1e9
    except (AttributeError, ValueError):
        return np.inf


def largest_component(cross: IterativeProducts) -> int:
    """Most effects of the tail that meet, directly or through others, in levels of the head."""
    links = beside([c.levels for c in cross.met])
    head, tail = links.shape
    pointers = np.append(links.pointers, np.full(tail, links.pointers[-1]))
    parts = (np.ones(len(links.indices)), links.indices + np.int32(head), pointers)
    graph = sparse.csr_array(parts, shape=(head + tail,) * 2)
    _, label = connected_components(graph, directed=True, connection="weak")
    widths = np.concatenate([np.full(levels, size) for levels, size in cross.sizes[1:]])
    return int(np.bincount(label[head:], widths).max(initial=0.0))


def iterative_products(problem: Standard, effort: Effort = Effort()) -> IterativeProducts:
    """One pass over the rows of a problem in standard coordinates per table."""
    groupings = problem.groupings
    order = engine_order(groupings)
    ordered = [groupings[t] for t in order]
    xy = np.column_stack([problem.x, problem.y])
    levels = [kernels.level_products(g.codes, g.n_levels, g.z, xy) for g in ordered]
    gram = xy.T @ xy
    del xy
    return assemble(
        n=len(problem.y),
        log_weights=problem.log_weights,
        order=order,
        sizes=tuple((g.n_levels, g.size) for g in ordered),
        xy=gram,
        levels=levels,
        cells=lambda s, t: _cells(ordered[s], ordered[t]),
        effort=effort,
    )


def assemble(
    *,
    n: int,
    log_weights: float,
    order: tuple[int, ...],
    sizes: tuple[tuple[int, int], ...],
    xy: np.ndarray,
    levels: Sequence[tuple[np.ndarray, np.ndarray]],
    cells: Callable[[int, int], Cells],
    effort: Effort = Effort(),
) -> IterativeProducts:
    """The products of at least two factors from their sums.

    Parameters
    ----------
    n, log_weights, order, sizes, xy : as in `IterativeProducts`.
    levels : Z_j'Z_j and Z_j'[X y] by level, in the engine's order.
    cells : of two factors by their places, the smaller first.
    """
    places = range(len(sizes))
    pairs = {(s, t): cells(s, t) for s, t in combinations(places, 2)}
    met = beside([pairs[0, t].table for t in places[1:]])
    ends = np.cumsum([0] + [levels * size for levels, size in sizes[1:]])
    return IterativeProducts(
        n=n,
        p=len(xy) - 1,
        log_weights=log_weights,
        order=order,
        sizes=sizes,
        tail=tuple(slice(int(a), int(b)) for a, b in pairwise(ends)),
        xy=xy,
        squares=tuple(a for a, _ in levels),
        with_xy=tuple(b for _, b in levels),
        pairs=pairs,
        cells=met,
        across=met.transposed(),
        between=_between(pairs, sizes),
        effort=effort,
    )


def _cells(a: Grouping, b: Grouping) -> Cells:
    return cell_table(a.codes, a.n_levels, b.codes, b.n_levels, a.z, b.z)


def _between(pairs: dict[tuple[int, int], Cells], sizes: Sequence[tuple[int, int]]) -> Table | None:
    """Z_s'Z_t for all pairs of different factors of the tail, in place."""
    if len(sizes) == 2:
        return None
    effects = [levels * size for levels, size in sizes[1:]]
    blocks = [[sparse.csr_array((a, b)) for b in effects] for a in effects]
    for (s, t), cells in pairs.items():
        if s > 0:
            blocks[s - 1][t - 1] = cells.table.csr
            blocks[t - 1][s - 1] = cells.table.csr.T
    return Table.of(sparse.csr_array(sparse.block_array(blocks, format="csr")))
