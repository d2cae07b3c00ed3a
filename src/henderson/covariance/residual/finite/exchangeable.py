"""`cs`, compound symmetry: deviations from the group's mean, and the mean.

With W the projection on deviations and B_n on the means of the groups of n rows,

    C^-1 = W / (1 - rho) + sum over n of B_n / (1 + (n - 1) rho).

Where variances differ between the rows of a group, the sums of every stratum take the place of the
means: C^-1 = I / (1 - rho) - sum over n of rho / ((1 - rho)(1 + (n - 1) rho)) 11'.
"""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np

from henderson.covariance.correlations.base import Derivatives
from henderson.covariance.correlations.exchangeable import Exchangeable
from henderson.covariance.residual.base import ResidualModel
from henderson.covariance.residual.finite.base import (
    MOST_SETS,
    Chosen,
    FiniteInverse,
    Product,
    Scaled,
    Strata,
    square,
)
from henderson.errors import FitError

WITHIN, MEAN, SHARED = range(3)


def exchangeable(model: ResidualModel, strata: Strata) -> FiniteInverse | None:
    """The sum for compound symmetry; None if the sizes of groups are many."""
    size = np.bincount(model.codes)
    sizes, counts = np.unique(size[size > 0], return_counts=True)
    many = len(strata.counts)
    if len(sizes) * many * (many + 1) // 2 > MOST_SETS:
        return None
    items = _one_variance(model) if many == 1 else _many_variances(model, strata)
    products, kinds, which, left, right = zip(*items, strict=True)
    own = _Weights(model, sizes, counts, np.array(kinds), np.array(which))
    return Scaled(own, 1, strata, np.array(left), np.array(right)).of(products)


Item = tuple[Product, int, int, int, int]


def _one_variance(model: ResidualModel) -> list[Item]:
    codes, n = model.codes, len(model.codes)
    size = np.bincount(codes)
    sums = _Sums(codes, np.arange(n), np.arange(len(size)))

    def deviations(u: np.ndarray) -> np.ndarray:
        return u - (sums(u) / np.maximum(size, 1)[:, None]).take(codes, axis=0)

    out = [(square(np.arange(n), deviations), WITHIN, 0, 0, 0)]
    for i, s in enumerate(np.unique(size[size > 0])):
        groups, rows = np.flatnonzero(size == s), np.flatnonzero(size[codes] == s)
        means = square(_example(codes)[groups], _Sums(codes, rows, groups, float(s) ** -0.5))
        out.append((means, MEAN, i, 0, 0))
    return out


def _many_variances(model: ResidualModel, strata: Strata) -> list[Item]:
    codes, size = model.codes, np.bincount(model.codes)
    out: list[Item] = [(product, WITHIN, 0, k, k) for k, product in enumerate(strata.squares)]
    for i, s in enumerate(np.unique(size[size > 0])):
        groups, here = np.flatnonzero(size == s), size[codes] == s
        rows = [np.flatnonzero(here & (strata.codes == k)) for k in range(len(strata.counts))]
        for k, m in combinations_with_replacement(range(len(rows)), 2):
            left = _Sums(codes, rows[k], groups, 1.0 if k == m else 2.0)
            right = _Sums(codes, rows[m], groups)
            out.append((Product(_example(codes)[groups], left, right), SHARED, i, k, m))
    return out


def _example(codes: np.ndarray) -> np.ndarray:
    """A row of every group."""
    out = np.empty(int(codes.max()) + 1, dtype=np.intp)
    out[codes] = np.arange(len(codes))
    return out


class _Sums:
    """From rows u (n, q) the sums of some of them by group, times a factor, (groups, q)."""

    def __init__(
        self, codes: np.ndarray, rows: np.ndarray, groups: np.ndarray, factor: float = 1.0
    ) -> None:
        place = np.zeros(int(codes.max()) + 1, dtype=np.intp)
        place[groups] = np.arange(len(groups))
        self.place, self.rows = place[codes[rows]], rows
        self.count, self.factor = len(groups), factor

    def __call__(self, u: np.ndarray) -> np.ndarray:
        columns = u.take(self.rows, axis=0).T
        found = [np.bincount(self.place, c, self.count) for c in columns]
        return self.factor * np.column_stack(found)


class _Weights:
    """The weights of the matrices and log|C|, from the parameter of the correlation."""

    def __init__(
        self,
        model: ResidualModel,
        sizes: np.ndarray,
        counts: np.ndarray,
        kinds: np.ndarray,
        which: np.ndarray,
    ) -> None:
        assert isinstance(model.correlation, Exchangeable)
        self.correlation = model.correlation
        self.more, self.counts = sizes - 1.0, counts
        self.kinds, self.which = kinds, which

    @property
    def chosen(self) -> Chosen:
        largest = float(self.correlation.largest)
        return Chosen("cs", self.kinds, self.which, largest, self.more + 1.0, self.counts)

    def __call__(self, phi: np.ndarray) -> tuple[Derivatives, Derivatives]:
        one = np.zeros((1, 1))
        found = self.correlation.derivatives(phi, one, one)
        rho, d1, d2 = (float(np.ravel(part)[0]) for part in found)
        more, within = self.more, 1.0 - rho
        mean = 1.0 + more * rho
        if not (within > 0.0 and np.all(mean > 0.0)):
            raise FitError(
                "The correlation within groups has reached its bound: try a simpler structure."
            )
        a, b = _reciprocal(np.full_like(more, within), -1.0), _reciprocal(mean, more)
        # rho / ((1 - rho)(1 + more rho)) = (1 / (1 - rho) - 1 / (1 + more rho)) / (more + 1)
        shared = [(y - x) / (more + 1.0) for x, y in zip(a, b, strict=True)]
        c, c1, c2 = (np.array(t)[self.kinds, self.which] for t in zip(a, b, shared, strict=True))
        logs = (
            np.log(within) * more + np.log(mean),
            -more / within + more / mean,
            -more / within**2 - more**2 / mean**2,
        )
        l0, l1, l2 = (part @ self.counts for part in logs)
        first, second = np.array([c1 * d1]), np.array([[c2 * d1 * d1 + c1 * d2]])
        bend = np.array([[l2 * d1 * d1 + l1 * d2]])
        return (c, first, second), (l0, np.array([l1 * d1]), bend)


def _reciprocal(x: np.ndarray, slope: np.ndarray | float) -> list[np.ndarray]:
    """1 / x and its derivatives, x linear."""
    return [1.0 / x, -slope / x**2, 2.0 * slope * slope / x**3]
