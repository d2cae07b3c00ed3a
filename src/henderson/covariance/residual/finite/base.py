"""What a sum R^-1(phi) = sum_k c_k(phi) B_k of fixed matrices is, and the strata of its variances.

Where there is one, all that a fit needs of the rows is U'B_kU, made once. Variance functions enter
through *strata*, the distinct values of their covariates: B_k then belongs to a pair of strata, and
their standard deviations divide its weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from henderson.covariance.correlations.base import Derivatives
from henderson.covariance.residual.base import ResidualModel

# Matrices B_k up to which a sum counts as one of few.
MOST_SETS = 400
# Distinct values of the covariates of variance functions.
MOST_STRATA = 12
# Variance functions whose log sd is linear in their parameters.
LINEAR = frozenset({"ident", "power", "exp"})

# Linear combinations (l, q) of rows (n, q).
Combine = Callable[[np.ndarray], np.ndarray]
# From phi (m,) to c (k,), dc (m, k), d2c (m, m, k), and to log|R|, its gradient and its Hessian.
Weights = Callable[[np.ndarray], tuple[Derivatives, Derivatives]]


@dataclass(frozen=True)
class Product:
    """One B, as (L'M + M'L) / 2 of the combinations `left` L and `right` M of rows.

    rows : (l,) for every combination a row of the correlation group that it belongs to.
    """

    rows: np.ndarray
    left: Combine
    right: Combine


def square(rows: np.ndarray, combine: Combine) -> Product:
    return Product(rows, combine, combine)


def take(rows: np.ndarray) -> Combine:
    return lambda u: u.take(rows, axis=0)


@dataclass(frozen=True)
class Chosen:
    """The weights of a correlation as numbers: which function of the correlation each set has.

    name : of the correlation, "" without one; scale : its unit of distance, or its largest group.
    at, counts : the gaps of neighbours, or the sizes of groups, and how many there are of each.
    kinds, which : (k,) the function of each set, and its gap or size.
    """

    name: str
    kinds: np.ndarray
    which: np.ndarray
    scale: float = 1.0
    at: np.ndarray = field(default_factory=lambda: np.zeros(0))
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True)
class Recipe:
    """All the weights as numbers, for loops that evaluate them without Python.

    left, right : (k,) the strata whose sd divide a set's weight; sizes : rows of each stratum.
    loadings : (strata, m) log sd = loadings phi. log_constant : what log|R| has beside these.
    """

    chosen: Chosen
    left: np.ndarray
    right: np.ndarray
    sizes: np.ndarray
    loadings: np.ndarray
    log_constant: float = 0.0


@dataclass(frozen=True)
class FiniteInverse:
    """R^-1 = sum_k c_k(phi) B_k, of the rows multiplied by `scale` (n,) if it is not None.

    recipe : the weights as numbers, where they are simple enough.
    """

    products: tuple[Product, ...]
    at: Weights
    scale: np.ndarray | None = None
    recipe: Recipe | None = None


@dataclass(frozen=True)
class Strata:
    """Rows of the same variance: codes (n,), counts (k,), and for every stratum one of its rows."""

    model: ResidualModel
    codes: np.ndarray
    counts: np.ndarray
    example: np.ndarray

    @property
    def squares(self) -> list[Product]:
        """The identity on the rows of each stratum."""
        if len(self.counts) == 1:
            return [square(np.arange(len(self.codes)), lambda u: u)]
        return [square(rows, take(rows)) for rows in parts(self.codes)]

    @property
    def loadings(self) -> np.ndarray | None:
        """(k, m) of log sd = loadings phi; None where a variance function is not of that kind."""
        variances = self.model.variances
        if any(v.name not in LINEAR for v in variances):
            return None
        start = np.concatenate([v.start() for v in variances] or [np.zeros(0)])
        return self.at(start)[1].T

    def at(self, phi: np.ndarray) -> Derivatives:
        """log sd s (k,), ds (m, k), d2s (m, m, k); phi of the variance functions alone."""
        k, m, start = len(self.counts), len(phi), 0
        s, s1, s2 = np.zeros(k), np.zeros((m, k)), np.zeros((m, m, k))
        for v, values in zip(self.model.variances, self.model.covariates, strict=True):
            here = slice(start, start + v.n_parameters)
            own, s1[here], s2[here, here] = v.derivatives(phi[here], values[self.example])
            s, start = s + own, here.stop
        return s, s1, s2


def strata_of(model: ResidualModel) -> Strata | None:
    """The strata of the variance functions; None if they are many."""
    n = len(model.codes)
    codes, example = np.zeros(n, dtype=np.intp), np.zeros(1, dtype=np.intp)
    for column in (c for values in model.covariates for c in values.T):
        values, place = np.unique(column, return_inverse=True)
        if len(values) > MOST_STRATA:
            return None
        _, example, codes = np.unique(
            codes * len(values) + place, return_index=True, return_inverse=True
        )
        if len(example) > MOST_STRATA:
            return None
    return Strata(model, codes, np.bincount(codes, minlength=1), example)


class Own(Protocol):
    """The weights of a correlation for equal variances, from its own parameters."""

    @property
    def chosen(self) -> Chosen: ...

    def __call__(self, phi: np.ndarray) -> tuple[Derivatives, Derivatives]: ...


@dataclass(frozen=True)
class Scaled:
    """The weights of matrices that each belong to a pair of strata, `left` (k,) and `right` (k,).

    own : from the correlation's parameters to the weights for equal variances, and to log|C|.
    m : the number of these parameters, which come first.
    """

    own: Own
    m: int
    strata: Strata
    left: np.ndarray
    right: np.ndarray

    @property
    def recipe(self) -> Recipe | None:
        loadings = self.strata.loadings
        if loadings is None:
            return None
        return Recipe(self.own.chosen, self.left, self.right, self.strata.counts, loadings)

    def of(self, products: Sequence[Product]) -> FiniteInverse:
        """The sum of these products."""
        return FiniteInverse(tuple(products), self, recipe=self.recipe)

    def __call__(self, phi: np.ndarray) -> tuple[Derivatives, Derivatives]:
        weights, logs = self.own(phi[: self.m])
        if len(phi) == self.m:
            return weights, logs
        s = self.strata.at(phi[self.m :])
        return self._weights(weights, s), _log_det(logs, s, self.strata.counts)

    def _weights(self, own: Derivatives, s: Derivatives) -> Derivatives:
        e, e1, e2 = (-(part[..., self.left] + part[..., self.right]) for part in s)
        c, c1, c2 = (part * np.exp(e) for part in own)
        return (
            c,
            np.concatenate([c1, c * e1]),
            _bordered(c2, c1[:, None] * e1, c * (e1[:, None] * e1 + e2)),
        )


def _log_det(own: Derivatives, s: Derivatives, counts: np.ndarray) -> Derivatives:
    """log|C| + 2 sum of s over the rows."""
    value, first, second = (2.0 * part @ counts for part in s)
    mixed = np.zeros((len(own[1]), len(first)))
    return own[0] + value, np.concatenate([own[1], first]), _bordered(own[2], mixed, second)


def _bordered(inner: np.ndarray, mixed: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """[[inner, mixed], [mixed', corner]] of arrays (., ., ...)."""
    upper = np.concatenate([inner, mixed], axis=1)
    lower = np.concatenate([mixed.swapaxes(0, 1), corner], axis=1)
    return np.concatenate([upper, lower])


def independent(strata: Strata) -> FiniteInverse:
    """Rows without correlation: the sums of squares of each stratum."""
    k = np.arange(len(strata.counts))
    return Scaled(_Ones(len(k)), 0, strata, k, k).of(strata.squares)


@dataclass(frozen=True)
class _Ones:
    """Weights of one."""

    count: int

    @property
    def chosen(self) -> Chosen:
        none = np.zeros(self.count, dtype=np.intp)
        return Chosen("", none, none)

    def __call__(self, phi: np.ndarray) -> tuple[Derivatives, Derivatives]:
        k = self.count
        own = np.ones(k), np.zeros((0, k)), np.zeros((0, 0, k))
        return own, (np.zeros(()), np.zeros(0), np.zeros((0, 0)))


def positions_of(model: ResidualModel) -> np.ndarray:
    """(n, d), of a model that has a correlation."""
    assert model.positions is not None
    return model.positions


def parts(array: np.ndarray) -> Sequence[np.ndarray]:
    """The places of each value of codes (n,), in their order."""
    if not len(array):
        return []
    if not array.any():
        return [np.arange(len(array))]
    order = np.argsort(array, kind="stable")
    return np.split(order, np.cumsum(np.bincount(array))[:-1])
