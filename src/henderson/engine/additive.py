"""Cross-products of rows that come in chunks: added up, merged, and never kept as rows.

All that a fit needs of the rows are sums over them: [X y]'W[X y], by level of every grouping factor
Z_j'W[Z_j X y], and by pair of levels of two factors that meet Z_i'WZ_j. Sums of chunks are sums of
all, so chunks may come one after the other, in any order, or from several machines.

Squares of large numbers lose the digits of small differences. So y and the columns of X and Z are
taken as deviations from an `Origin`, means of the first chunk, that all chunks share: a fit of
y + 1e6 is that of y. Within a chunk BLAS adds in blocks; over chunks [X y]'W[X y], which every row
enters, carries what rounding has dropped (Neumaier 1974, ZAMM 54).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from henderson.engine import kernels
from henderson.engine.keyed_sums import KeyedSums, Run
from henderson.engine.problem import Grouping, Term
from henderson.engine.sparse_tables import cell_table
from henderson.errors import DataError, DesignError

# Share of its length up to which a combination of columns is constant, and below which a column has
# no part in it.
CONSTANT = 1e-9
# Rows that tell a mean well enough to subtract it.
ENOUGH = 10_000
# Bits of a key that hold the level of the second of two factors.
LEVEL_BITS = 32


@dataclass(frozen=True)
class Origin:
    """What is subtracted from the columns: always a combination of columns, so nothing is lost.

    Where a combination X u of columns is constant in the rows that made the origin, u times a mean
    of theirs is taken from the others. That is a change of basis whatever later rows hold.

    xy : (p + 1, p + 1), [X y] xy are the deviations; z : one (K, K) per factor.
    """

    xy: np.ndarray
    z: tuple[np.ndarray, ...]

    @staticmethod
    def of(y: np.ndarray, x: np.ndarray, z: Sequence[np.ndarray]) -> Origin:
        """The means of some of the rows y (n,), x (n, p), z (n, K) per factor, n > 0."""
        some = slice(None, None, 1 + len(y) // ENOUGH)
        constant, basis = _deviations(x[some])
        p = x.shape[1]
        xy = np.eye(p + 1)
        xy[:p, :p] = basis
        xy[:p, p] = -y[some].mean() * constant
        return Origin(xy, tuple(_deviations(columns[some])[1] for columns in z))

    @staticmethod
    def nowhere(p: int, sizes: Sequence[int]) -> Origin:
        """Nothing is subtracted."""
        return Origin(np.eye(p + 1), tuple(np.eye(k) for k in sizes))

    def equals(self, other: Origin) -> bool:
        """Whether the two are the same to the last bit."""
        pairs = zip((self.xy, *self.z), (other.xy, *other.z), strict=True)
        return all(np.array_equal(a, b) for a, b in pairs)


def _deviations(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """u (k,) with columns u = 1, or zero, and the basis (k, k) of deviations from the means."""
    constant = _constant(columns)
    mean = np.where(constant == 0.0, columns.mean(axis=0), 0.0) * constant.any()
    return constant, np.eye(len(constant)) - np.outer(constant, mean)


def _constant(columns: np.ndarray) -> np.ndarray:
    """u (k,) with columns (n, k) u = 1 in every row; zero where there is none."""
    n, k = columns.shape
    found = np.zeros(k)
    low, high = columns.min(axis=0, initial=np.inf), columns.max(axis=0, initial=-np.inf)
    same = np.flatnonzero((low == high) & (low != 0.0))
    if len(same):
        found[same[0]] = 1.0 / low[same[0]]
        return found
    size = np.sqrt(np.einsum("ij,ij->j", columns, columns) / n)
    scaled = columns / np.where(size > 0.0, size, 1.0)
    u = np.linalg.lstsq(scaled, np.ones(n))[0]
    if np.abs(scaled @ u - 1.0).max() > CONSTANT:
        return found
    np.divide(u, size, out=found, where=np.abs(u) > CONSTANT)
    return found


@dataclass(frozen=True)
class Compensated:
    """A sum of arrays, and beside it what rounding has dropped."""

    rounded: np.ndarray
    dropped: np.ndarray

    @staticmethod
    def of(value: np.ndarray) -> Compensated:
        """One term."""
        return Compensated(value, np.zeros_like(value))

    def plus(self, other: Compensated) -> Compensated:
        """The sum of both."""
        a, b = self.rounded, other.rounded
        total = a + b
        lost = np.where(np.abs(a) >= np.abs(b), (a - total) + b, (b - total) + a)
        return Compensated(total, self.dropped + other.dropped + lost)

    @property
    def value(self) -> np.ndarray:
        """The sum to working precision."""
        return self.rounded + self.dropped


@dataclass(frozen=True)
class Sums:
    """The cross-products of the rows so far, as deviations from the origin.

    origin : shared by all chunks; None as long as there are no rows.
    terms, n_levels : the terms and the number of levels of each factor; the latter may grow.
    n : rows. log_weights : sum of log w (). xy : [X y]'W[X y] (p + 1, p + 1).
    levels : per factor, by level, Z_j'W[Z_j X y] (K, K + p + 1).
    cells : per pair of factors s < t, by pair of levels that meet, Z_i'WZ_j (K_s, K_t).
    """

    origin: Origin | None
    terms: tuple[tuple[Term, ...], ...]
    n_levels: tuple[int, ...]
    n: int
    log_weights: Compensated
    xy: Compensated
    levels: tuple[KeyedSums, ...]
    cells: tuple[KeyedSums, ...]

    @staticmethod
    def of(
        y: np.ndarray,
        x: np.ndarray,
        groupings: Sequence[Grouping],
        weights: np.ndarray | None = None,
        origin: Origin | None = None,
    ) -> Sums:
        """The sums of one chunk of rows.

        Parameters
        ----------
        y, x : (n,), (n, p), n may be zero.
        groupings : with the levels' codes in all chunks; unknown to this one are those not used.
        weights : (n,) positive, or None for ones.
        origin : of the sums that these are to be merged with; made from these rows if None.

        Raises
        ------
        DataError : values that are missing or infinite, weights that are not positive.
        DesignError : lengths that differ, codes outside 0..n_levels-1, another number of columns
            than the origin has, correlated levels.
        """
        _check(y, x, groupings, weights)
        if origin is None and len(y):
            origin = Origin.of(y, x, [g.z for g in groupings])
        place = origin or Origin.nowhere(x.shape[1], [g.size for g in groupings])
        _check_columns(place, x, groupings)
        root = None if weights is None else np.sqrt(weights)
        xy = _weighted(np.column_stack([x, y]) @ place.xy, root)
        z = [_weighted(g.z @ to, root) for g, to in zip(groupings, place.z, strict=True)]
        seen = [_levels_seen(g) for g in groupings]
        pairs = combinations(range(len(z)), 2)
        return Sums(
            origin=origin,
            terms=tuple(g.terms for g in groupings),
            n_levels=tuple(g.n_levels for g in groupings),
            n=len(y),
            log_weights=Compensated.of(
                np.asarray(0.0 if weights is None else np.log(weights).sum())
            ),
            xy=Compensated.of(xy.T @ xy),
            levels=tuple(_of_levels(s, own, xy) for s, own in zip(seen, z, strict=True)),
            cells=tuple(_of_cells(seen[s], seen[t], z[s], z[t]) for s, t in pairs),
        )

    @property
    def p(self) -> int:
        """Number of fixed effects."""
        return len(self.xy.rounded) - 1

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of effects K by level of each factor."""
        return tuple(k.runs[0].values.shape[1] for k in self.levels)

    def update(
        self,
        y: np.ndarray,
        x: np.ndarray,
        groupings: Sequence[Grouping],
        weights: np.ndarray | None = None,
    ) -> Sums:
        """These sums and those of one more chunk; arguments and errors as in `of`."""
        return self.merge(Sums.of(y, x, groupings, weights, self.origin))

    def merge(self, other: Sums) -> Sums:
        """The sums of the rows of both: in any order and grouping the same, but for rounding.

        Raises
        ------
        DesignError : they differ in their columns, their terms or their origin.
        """
        _check_alike(self, other)
        return Sums(
            origin=self.origin or other.origin,
            terms=self.terms,
            n_levels=tuple(map(max, self.n_levels, other.n_levels)),
            n=self.n + other.n,
            log_weights=self.log_weights.plus(other.log_weights),
            xy=self.xy.plus(other.xy),
            levels=tuple(a.merge(b) for a, b in zip(self.levels, other.levels, strict=True)),
            cells=tuple(a.merge(b) for a, b in zip(self.cells, other.cells, strict=True)),
        )


def _weighted(rows: np.ndarray, root: np.ndarray | None) -> np.ndarray:
    return rows if root is None else rows * root[:, None]


@dataclass(frozen=True)
class _Seen:
    """The levels of a factor in a chunk (r,), ascending, and each row's place among them (n,)."""

    levels: np.ndarray
    place: np.ndarray


def _levels_seen(grouping: Grouping) -> _Seen:
    used = np.zeros(grouping.n_levels, dtype=bool)
    used[grouping.codes] = True
    levels = np.flatnonzero(used)
    place = np.empty(grouping.n_levels, dtype=np.intp)
    place[levels] = np.arange(len(levels))
    return _Seen(levels, place[grouping.codes])


def _of_levels(seen: _Seen, z: np.ndarray, xy: np.ndarray) -> KeyedSums:
    """Z_j'W[Z_j X y] by level."""
    own, with_xy = kernels.level_products(seen.place, len(seen.levels), z, xy)
    return KeyedSums((Run(seen.levels, np.concatenate([own, with_xy], axis=2)),))


def _of_cells(first: _Seen, second: _Seen, left: np.ndarray, right: np.ndarray) -> KeyedSums:
    """Z_i'WZ_j by pair of levels that meet."""
    counts = len(first.levels), len(second.levels)
    found = cell_table(first.place, counts[0], second.place, counts[1], left, right)
    at = np.repeat(np.arange(counts[0]), np.diff(found.levels.pointers))
    keys = (first.levels[at] << LEVEL_BITS) + second.levels[found.levels.indices]
    return KeyedSums((Run(keys, found.blocks),))


def levels_met(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The levels (r,), (r,) of the first and second factor that the keys of cells stand for."""
    return keys >> LEVEL_BITS, keys & ((1 << LEVEL_BITS) - 1)


def _check(
    y: np.ndarray, x: np.ndarray, groupings: Sequence[Grouping], weights: np.ndarray | None
) -> None:
    lengths = {len(y), len(x), *(len(g.codes) for g in groupings), *(len(g.z) for g in groupings)}
    if weights is not None:
        lengths.add(len(weights))
        if not (np.isfinite(weights) & (weights > 0.0)).all():
            raise DataError("weights must be finite and positive: var = sigma^2 / weight.")
    if len(lengths) > 1:
        raise DesignError(f"Columns of one chunk have {sorted(lengths)} rows: give all the same.")
    _check_finite("y", y)
    for k in range(x.shape[1]):
        _check_finite(f"Column {k + 1} of X", x[:, k])
    for t, g in enumerate(groupings, start=1):
        _check_finite(f"Z of factor {t}", g.z)
        if g.root is not None:
            raise DesignError(
                f"Levels of factor {t} are correlated, and sums over chunks have no way with that: "
                "fit all rows at once."
            )
        if len(g.codes) and not 0 <= g.codes.min() <= g.codes.max() < g.n_levels:
            raise DesignError(f"Factor {t} has codes outside 0 to {g.n_levels - 1}.")


def _check_finite(name: str, values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        raise DataError(f"{name} has missing or infinite values: leave these rows out.")


def _check_columns(origin: Origin, x: np.ndarray, groupings: Sequence[Grouping]) -> None:
    here = x.shape[1], *(g.size for g in groupings)
    there = len(origin.xy) - 1, *(len(z) for z in origin.z)
    if here != there:
        raise DesignError(
            f"This chunk has {_shape(here)}, the origin {_shape(there)}: build every chunk with "
            "the same terms and levels."
        )


def _shape(counts: tuple[int, ...]) -> str:
    sizes = " and ".join(map(str, counts[1:])) or "no"
    return f"{counts[0]} columns of X and {sizes} effects by level"


def _check_alike(a: Sums, b: Sums) -> None:
    if (a.p, *a.sizes) != (b.p, *b.sizes):
        raise DesignError(
            f"Sums of {_shape((a.p, *a.sizes))} cannot be merged with sums of "
            f"{_shape((b.p, *b.sizes))}: build every chunk with the same terms and levels."
        )
    for t, (mine, its) in enumerate(zip(a.terms, b.terms, strict=True), start=1):
        if _kinds(mine) != _kinds(its):
            raise DesignError(f"Factor {t} has other terms in the one than in the other sums.")
    if a.origin and b.origin and not a.origin.equals(b.origin):
        raise DesignError(
            "The sums have different origins, so they do not add up: make the origin once, from "
            "the first chunk, and give it to `Sums.of` for every other."
        )


def _kinds(terms: Sequence[Term]) -> list[tuple[slice, str]]:
    return [(term.columns, term.structure.name) for term in terms]
