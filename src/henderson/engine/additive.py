"""Cross-products that add: of chunks of rows, in any order, on any number of machines.

All that a fit needs of the rows are sums over them. `Sums.of` makes those of one chunk, `update`
adds another and `merge` adds those made elsewhere; `additive_fit` takes the whole to standard
coordinates. A chunk is summed by BLAS in blocks, chunks one after the other, so that the same
chunks in the same order give the same bits. y and the columns of X are taken from an origin, the
means of the first chunk, so that sums of squares lose no digits to a large mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import combinations

import numpy as np
from scipy import sparse

from henderson.engine import kernels
from henderson.engine.crossproducts import indicator
from henderson.engine.problem import Grouping, Term
from henderson.errors import DesignError


@dataclass(frozen=True)
class Origin:
    """What is subtracted from [X y]: `shift` (p + 1,), zero for the columns that do not vary.

    constant : the column of X with one value throughout, and this value; without one nothing is
        shifted, as a shift could not be undone.
    """

    shift: np.ndarray
    constant: tuple[int, float] | None

    @staticmethod
    def of(y: np.ndarray, x: np.ndarray) -> Origin:
        """The means of some rows."""
        if not len(y):
            return Origin(np.zeros(x.shape[1] + 1), None)
        same = np.flatnonzero((x == x[0]).all(axis=0) & (x[0] != 0.0))
        if not len(same):
            return Origin(np.zeros(x.shape[1] + 1), None)
        shift = np.append(x.mean(axis=0), y.mean())
        shift[same] = 0.0
        return Origin(shift, (int(same[0]), float(x[0, same[0]])))

    def same_as(self, other: Origin) -> bool:
        return self.constant == other.constant and np.array_equal(self.shift, other.shift)


@dataclass(frozen=True)
class FactorSums:
    """One grouping factor: Z_j'WZ_j (J, K, K) and Z_j'W[X y] (J, K, p + 1)."""

    terms: tuple[Term, ...]
    squares: np.ndarray
    with_xy: np.ndarray

    @property
    def n_levels(self) -> int:
        return self.squares.shape[0]

    @property
    def size(self) -> int:
        return self.squares.shape[1]

    def plus(self, other: FactorSums) -> FactorSums:
        levels = max(self.n_levels, other.n_levels)
        squares = _taller(self.squares, levels) + _taller(other.squares, levels)
        return replace(
            self,
            squares=squares,
            with_xy=_taller(self.with_xy, levels) + _taller(other.with_xy, levels),
        )


@dataclass(frozen=True)
class Sums:
    """Sums over rows of the products of [X y] and the columns of Z, with weights W.

    n : rows. log_weights : sum of log w. products : [X y]'W[X y] (p + 1, p + 1).
    factors : in the caller's order. cells : Z_s'WZ_t (J_s K_s, J_t K_t), s < t, by (s, t).
    """

    n: int
    log_weights: float
    origin: Origin
    products: np.ndarray
    factors: tuple[FactorSums, ...]
    cells: dict[tuple[int, int], sparse.csr_array]

    @property
    def p(self) -> int:
        return self.products.shape[0] - 1

    @staticmethod
    def of(
        y: np.ndarray,
        x: np.ndarray,
        groupings: Sequence[Grouping],
        weights: np.ndarray | None = None,
        origin: Origin | None = None,
    ) -> Sums:
        """The sums of one chunk: y (n,), x (n, p), factors, weights (n,) or None.

        origin : that of sums to merge with; the chunk's own means if None.

        Raises
        ------
        DesignError : a column that was constant in the rows of the origin is not here, or levels
            of a factor are correlated.
        """
        if any(g.root is not None for g in groupings):
            raise DesignError("Correlated levels have no additive sums: fit all rows at once.")
        origin = Origin.of(y, x) if origin is None else origin
        _check_constant(origin, x)
        root = np.ones(len(y)) if weights is None else np.sqrt(weights)
        xy = (np.column_stack([x, y]) - origin.shift) * root[:, None]
        own = [replace(g, z=g.z * root[:, None]) for g in groupings]
        factors = tuple(
            FactorSums(g.terms, *kernels.level_products(g.codes, g.n_levels, g.z, xy)) for g in own
        )
        z = [indicator(g) for g in own]
        cells = {(s, t): sparse.csr_array(z[s].T @ z[t]) for s, t in combinations(range(len(z)), 2)}
        logs = 0.0 if weights is None else float(np.log(weights).sum())
        return Sums(len(y), logs, origin, xy.T @ xy, factors, cells)

    def update(
        self,
        y: np.ndarray,
        x: np.ndarray,
        groupings: Sequence[Grouping],
        weights: np.ndarray | None = None,
    ) -> Sums:
        """The sums with one more chunk, whose factors may have further levels.

        Raises
        ------
        DesignError : the chunk has other columns or factors.
        """
        if x.shape[1] != self.p:
            raise DesignError(
                f"A chunk has {x.shape[1]} columns of X and the sums {self.p}: make its design "
                "from the same formula and coding."
            )
        return self.merge(Sums.of(y, x, groupings, weights, self.origin))

    def merge(self, other: Sums) -> Sums:
        """The sums of the rows of both.

        Raises
        ------
        DesignError : they have another origin, or other columns or factors.
        """
        self._check(other)
        factors = tuple(a.plus(b) for a, b in zip(self.factors, other.factors, strict=True))
        cells = {}
        for (s, t), own in self.cells.items():
            shape = factors[s].n_levels * factors[s].size, factors[t].n_levels * factors[t].size
            cells[s, t] = _resized(own, shape) + _resized(other.cells[s, t], shape)
        return Sums(
            self.n + other.n,
            self.log_weights + other.log_weights,
            self.origin,
            self.products + other.products,
            factors,
            cells,
        )

    def _check(self, other: Sums) -> None:
        if self.p != other.p or not self.origin.same_as(other.origin):
            raise DesignError(
                "These sums have different columns of X or were taken from different origins: give "
                "the origin of the first to the others (origin=first.origin)."
            )
        if [f.terms for f in self.factors] != [f.terms for f in other.factors]:
            raise DesignError("These sums have different grouping factors or random terms.")


def merged(parts: Sequence[Sums]) -> Sums:
    """The sums of all the parts, which have one origin, added in their order."""
    return reduce(Sums.merge, parts)


def _check_constant(origin: Origin, x: np.ndarray) -> None:
    if origin.constant is None or not len(x):
        return
    column, value = origin.constant
    if not (x[:, column] == value).all():
        raise DesignError(
            f"Column {column} of X is {value:g} in the rows that gave the origin, and not in all "
            "of these: start with rows that show that it varies."
        )


def _taller(a: np.ndarray, levels: int) -> np.ndarray:
    """a (J, ...) with zeros for further levels."""
    if len(a) == levels:
        return a
    return np.concatenate([a, np.zeros((levels - len(a), *a.shape[1:]))])


def _resized(a: sparse.csr_array, shape: tuple[int, int]) -> sparse.csr_array:
    out = a.copy()
    out.resize(shape)
    return out
