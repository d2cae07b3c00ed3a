"""What the engine asks of a residual covariance, and how one is composed.

    R = S C S,   S = diag(exp(s_i)),

C a correlation matrix within groups of rows, exp(s_i) the relative standard deviation of row i. A
*correlation* (`covariance.correlations`) gives C for pairs of rows; a *variance function*
(`variances`) gives s for rows. Each is one small class with unconstrained internal parameters and
two derivatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from henderson.covariance.correlations.base import Correlation as Correlation
from henderson.covariance.correlations.base import Derivatives


class Variance(Protocol):
    """log relative standard deviation of rows, as a function of internal parameters phi (m,)."""

    @property
    def name(self) -> str: ...
    @property
    def n_parameters(self) -> int: ...

    def start(self) -> np.ndarray: ...

    def natural(self, phi: np.ndarray) -> dict[str, float]: ...

    def derivatives(
        self, phi: np.ndarray, values: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """s (...), ds (m, ...) and d2s (m, m, ...) at covariate values (..., d)."""
        ...


@dataclass(frozen=True)
class ResidualModel:
    """A residual covariance on the rows of a data set.

    codes : (n,) the correlation group of every row (each row its own group without correlation).
    correlation, positions : the structure and its positions (n, d); or None.
    variances, covariates : variance functions, whose product applies, and their values (n, d) each.
    labels : what the parts are called in results, correlation first; their names if none.
    """

    codes: np.ndarray
    correlation: Correlation | None = None
    positions: np.ndarray | None = None
    variances: tuple[Variance, ...] = ()
    covariates: tuple[np.ndarray, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[Correlation | Variance, ...]:
        return (() if self.correlation is None else (self.correlation,)) + self.variances

    @property
    def n_parameters(self) -> int:
        return sum(part.n_parameters for part in self.parts)

    def start(self) -> np.ndarray:
        return np.concatenate([part.start() for part in self.parts] or [np.zeros(0)])

    def split(self, phi: np.ndarray) -> list[np.ndarray]:
        """phi, part by part."""
        counts = [part.n_parameters for part in self.parts]
        return np.split(phi, np.cumsum(counts)[:-1]) if counts else []

    def natural(self, phi: np.ndarray) -> dict[str, dict[str, float]]:
        """The parameters as people read them, by the label of their part."""
        labels = self.labels or tuple(part.name for part in self.parts)
        pieces = zip(labels, self.parts, self.split(phi), strict=True)
        return {label: part.natural(piece) for label, part, piece in pieces}

    def relative_variances(
        self, phi: np.ndarray, covariates: Sequence[np.ndarray]
    ) -> np.ndarray | float:
        """exp(2 s) (r,) of any rows, from their values (r, d) for every variance function."""
        pieces = self.split(phi)[len(self.parts) - len(self.variances) :]
        each = zip(self.variances, pieces, covariates, strict=True)
        return np.exp(2.0 * sum(v.derivatives(piece, x)[0] for v, piece, x in each))

    def bind(self, rows: np.ndarray) -> BoundResidual:
        """The covariance of stacked sets of rows (count, s)."""
        return BoundResidual(self, rows, Pairs.of(self, rows))


# Correlations that depend on both positions, not on their difference alone.
NOT_STATIONARY = frozenset({"us"})


@dataclass(frozen=True)
class Pairs:
    """The pairs of rows of stacked sets, by their positions.

    left, right : (u, d) positions; where few are distinct every pair of them stands here once, and
        where only differences matter every difference.
    index : (count, s, s) which of them two rows are.
    apart : (count, s, s) whether they are different rows of one correlation group.
    """

    left: np.ndarray
    right: np.ndarray
    index: np.ndarray
    apart: np.ndarray

    @staticmethod
    def of(model: ResidualModel, rows: np.ndarray) -> Pairs | None:
        """The pairs among rows (count, s); None without a correlation."""
        if model.correlation is None or model.positions is None:
            return None
        count, s = rows.shape
        codes, at = model.codes[rows], model.positions[rows]
        apart = (codes[:, :, None] == codes[:, None, :]) & ~np.eye(s, dtype=bool)
        if model.correlation.name not in NOT_STATIONARY:
            return _by_difference(at, apart)
        distinct, place = _distinct(at.reshape(count * s, -1))
        place, size = place.reshape(count, s), len(distinct)
        if size**2 <= count * s**2:
            first, second = np.divmod(np.arange(size**2), size)
            index = place[:, :, None] * size + place[:, None, :]
            return Pairs(distinct[first], distinct[second], index, apart)
        i, j = np.divmod(np.arange(s * s), s)
        left, right = at[:, i].reshape(count * s * s, -1), at[:, j].reshape(count * s * s, -1)
        return Pairs(left, right, np.arange(count * s * s).reshape(count, s, s), apart)


def _distinct(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct positions (u, d) and which of them each of `at` (r, d) is."""
    if at.shape[1] == 1:  # Sorting numbers is many times faster than sorting rows.
        values, place = np.unique(at[:, 0], return_inverse=True)
        return values[:, None], place
    distinct, place = np.unique(at, axis=0, return_inverse=True)
    return distinct, place


def _by_difference(at: np.ndarray, apart: np.ndarray) -> Pairs:
    """The pairs by the difference of their positions (count, s, d), which is all that matters."""
    difference = np.abs(at[:, :, None] - at[:, None, :])
    flat = difference.reshape(-1, at.shape[2])
    if at.shape[2] == 1:
        distinct, index = np.unique(flat[:, 0], return_inverse=True)
        distinct = distinct[:, None]
    else:
        distinct, index = np.unique(flat, axis=0, return_inverse=True)
    return Pairs(distinct, np.zeros_like(distinct), index.reshape(apart.shape), apart)


@dataclass(frozen=True)
class BoundResidual:
    """R (count, s, s) of stacked rows and its derivatives in phi."""

    model: ResidualModel
    rows: np.ndarray
    pairs: Pairs | None = None
    _last: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def value(self, phi: np.ndarray) -> np.ndarray:
        return self._pieces(phi).r

    def jacobian(self, phi: np.ndarray) -> np.ndarray:
        """dR/dphi, (m, count, s, s)."""
        return self._pieces(phi).first()

    def curvature(self, phi: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """sum over entries of weight * d2R/dphi dphi', (m, m)."""
        return self._pieces(phi).contract(weight)

    def second(self, phi: np.ndarray, a: int, b: int) -> np.ndarray:
        """d2R/dphi_a dphi_b, (count, s, s)."""
        return self._pieces(phi).second(a, b)

    def _pieces(self, phi: np.ndarray) -> _Pieces:
        """The parts evaluated at phi; the last evaluation is kept."""
        key = phi.tobytes()
        if self._last.get("key") != key:
            self._last["key"], self._last["pieces"] = key, _evaluate(self, phi)
        return self._last["pieces"]


@dataclass(frozen=True)
class _Pieces:
    """C by pairs with its derivatives, and s with its own; parameters in the model's order.

    c1 (k, u), c2 (k, k, u); s1 (v, count, s), s2 (v, v, count, s); scale = exp(s_i + s_j).
    """

    r: np.ndarray
    scale: np.ndarray
    pairs: Pairs | None
    c1: np.ndarray
    c2: np.ndarray
    s1: np.ndarray
    s2: np.ndarray

    def _at_pairs(self, values: np.ndarray) -> np.ndarray:
        """scale * values (..., u) at the pairs of rows, (..., count, s, s)."""
        if self.pairs is None:
            return np.zeros((len(values), *self.scale.shape))
        return self._apart * values[..., self.pairs.index]

    @cached_property
    def _apart(self) -> np.ndarray:
        """scale where two rows are correlated, zero elsewhere."""
        return self.scale if self.pairs is None else self.scale * self.pairs.apart

    def _by_pairs(self, weight: np.ndarray) -> np.ndarray:
        """The sums (u,) of weight * scale over the rows that are each pair."""
        if self.pairs is None:
            return np.zeros(0)
        weight = weight * self._apart
        return np.bincount(self.pairs.index.ravel(), weight.ravel(), self.c1.shape[1])

    def _both(self, values: np.ndarray) -> np.ndarray:
        """v_i + v_j of values (count, s), (count, s, s)."""
        return values[:, :, None] + values[:, None, :]

    def first(self) -> np.ndarray:
        return self._first

    @cached_property
    def _first(self) -> np.ndarray:
        if not len(self.s1):
            return self._at_pairs(self.c1)
        scales = [self._both(s) * self.r for s in self.s1]
        return np.concatenate(
            [self._at_pairs(self.c1), np.array(scales).reshape(-1, *self.r.shape)]
        )

    def second(self, a: int, b: int) -> np.ndarray:
        k = len(self.c1)
        a, b = max(a, b), min(a, b)
        if a < k:
            return self._at_pairs(self.c2[a, b])
        if b < k:
            return self._both(self.s1[a - k]) * self._at_pairs(self.c1[b])
        own = self._both(self.s1[a - k]) * self._both(self.s1[b - k])
        return (own + self._both(self.s2[a - k, b - k])) * self.r

    def contract(self, weight: np.ndarray) -> np.ndarray:
        """sum of weight (count, s, s) times every second derivative, (m, m)."""
        inner = self.c2 @ self._by_pairs(weight)
        if not len(self.s1):
            return inner
        mixed = [self.c1 @ self._by_pairs(weight * self._both(s)) for s in self.s1]
        cross = np.array(mixed).reshape(len(self.s1), len(self.c1))
        return np.block([[inner, cross.T], [cross, self._scales(weight * self.r)]])

    def _scales(self, weight: np.ndarray) -> np.ndarray:
        """The block of the variance functions; weight already times R."""
        ends = weight.sum(axis=1) + weight.sum(axis=2)
        same = np.einsum("ani,ni,bni->ab", self.s1, ends, self.s1, optimize=True)
        across = np.einsum("ani,nij,bnj->ab", self.s1, weight, self.s1, optimize=True)
        bend = np.einsum("abni,ni->ab", self.s2, ends, optimize=True)
        return same + across + across.T + bend


def _evaluate(bound: BoundResidual, phi: np.ndarray) -> _Pieces:
    model, rows, pairs = bound.model, bound.rows, bound.pairs
    parts = model.split(phi)
    c, c1, c2 = _correlation(model, pairs, parts)
    s, s1, s2 = _log_scales(model, rows, parts[0 if model.correlation is None else 1 :])
    eye = np.eye(rows.shape[1])
    r = eye if pairs is None else np.where(pairs.apart, c[pairs.index], eye)
    scale = np.ones((len(rows), *eye.shape))
    if model.variances:
        scale = np.exp(s[:, :, None] + s[:, None, :])
    r = scale * r
    return _Pieces(r, scale, pairs, c1, c2, s1, s2)


def _correlation(
    model: ResidualModel, pairs: Pairs | None, parts: Sequence[np.ndarray]
) -> Derivatives:
    """C (u,), dC (k, u) and d2C (k, k, u) of the pairs."""
    if model.correlation is None or pairs is None:
        return np.zeros(0), np.zeros((0, 0)), np.zeros((0, 0, 0))
    return model.correlation.derivatives(parts[0], pairs.left, pairs.right)


def _log_scales(
    model: ResidualModel, rows: np.ndarray, pieces: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """s (count, s) with derivatives (m, count, s) and (m, m, count, s), parts side by side."""
    m = sum(len(p) for p in pieces)
    s, s1, s2 = np.zeros(rows.shape), np.zeros((m, *rows.shape)), np.zeros((m, m, *rows.shape))
    start = 0
    for variance, values, phi in zip(model.variances, model.covariates, pieces, strict=True):
        own, own1, own2 = variance.derivatives(phi, values[rows])
        here = slice(start, start + len(phi))
        s, s1[here], s2[here, here] = s + own, own1, own2
        start += len(phi)
    return s, s1, s2
