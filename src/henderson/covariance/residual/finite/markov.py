"""`ar1` and `car1`: the rows of a group form a Markov chain along a line.

With the rows in order, consecutive ones a and b, r = C(a, b), d = e_a - e_b and s = e_a + e_b,

    C^-1 = I + sum over pairs [ r/(2(1-r)) dd' - r/(2(1+r)) ss' ],   log|C| = sum log(1 - r^2),

two matrices for every distinct gap. In this form no large terms cancel for r near 1 or -1. Where
the two rows differ in variance, aa', bb' and ab' + ba' have weights of their own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from henderson.covariance.correlations.base import Derivatives
from henderson.covariance.correlations.distance import ContinuousAutoregressive
from henderson.covariance.residual.base import ResidualModel
from henderson.covariance.residual.finite.base import (
    MOST_SETS,
    Chosen,
    FiniteInverse,
    Product,
    Scaled,
    Strata,
    parts,
    positions_of,
    square,
    take,
)
from henderson.errors import FitError

Scalar = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


def _plain(r: np.ndarray) -> Derivatives:
    return np.ones_like(r), np.zeros_like(r), np.zeros_like(r)


def _difference(r: np.ndarray) -> Derivatives:
    return r / (2 * (1 - r)), 1 / (2 * (1 - r) ** 2), 1 / (1 - r) ** 3


def _sum(r: np.ndarray) -> Derivatives:
    return -r / (2 * (1 + r)), -1 / (2 * (1 + r) ** 2), 1 / (1 + r) ** 3


def _end(r: np.ndarray) -> Derivatives:
    left = 1 - r * r
    return r * r / left, 2 * r / left**2, (2 + 6 * r * r) / left**3


def _across(r: np.ndarray) -> Derivatives:
    left = 1 - r * r
    return -2 * r / left, -2 * (1 + r * r) / left**2, -4 * r * (3 + r * r) / left**3


def _log_left(r: np.ndarray) -> Derivatives:
    left = 1 - r * r
    return np.log(left), -2 * r / left, -2 * (1 + r * r) / left**2


# Weights as functions of r, for (L'M + M'L) / 2: I, dd', ss', aa' or bb', ab'.
PLAIN, DIFFERENCE, SUM, END, ACROSS = range(5)
FUNCTIONS: tuple[Scalar, ...] = (_plain, _difference, _sum, _end, _across)


def markov(model: ResidualModel, strata: Strata) -> FiniteInverse | None:
    """The sum for a chain; None if its gaps are many."""
    a, b, gaps = consecutive(model)
    values, place = _distinct(gaps)
    if 2 * len(values) > MOST_SETS:
        return None
    items: list[tuple[Product, int, int, int, int]] = [
        (product, PLAIN, 0, k, k) for k, product in enumerate(strata.squares)
    ]
    for g, of_gap in enumerate(parts(place)):
        items += [
            (product, kind, g, left, right)
            for product, kind, left, right in _pairs(a[of_gap], b[of_gap], strata)
        ]
    products, kinds, which, left, right = zip(*items, strict=True)
    chain = _Chain(
        model, values, np.bincount(place, minlength=len(values)), np.array(kinds), np.array(which)
    )
    return Scaled(chain, 1, strata, np.array(left), np.array(right)).of(products)


def consecutive(model: ResidualModel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows a, b that follow each other in a group, and the gaps between them."""
    at = positions_of(model)[:, 0]
    order = np.lexsort((at, model.codes))
    same = model.codes[order[1:]] == model.codes[order[:-1]]
    a, b = order[:-1][same], order[1:][same]
    return a, b, at[b] - at[a]


def _distinct(gaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The gaps that differ by more than rounding, and which of them each is."""
    if not len(gaps):
        return np.ones(1), np.zeros(0, dtype=np.intp)
    if gaps.min() == gaps.max():
        return gaps[:1], np.zeros(len(gaps), dtype=np.intp)
    rounded = np.round(gaps / float(gaps.max()), 12)
    _, example, place = np.unique(rounded, return_index=True, return_inverse=True)
    return gaps[example], place


def _pairs(a: np.ndarray, b: np.ndarray, strata: Strata) -> list[tuple[Product, int, int, int]]:
    """The products of pairs with one gap: kinds and strata."""
    count, out = len(strata.counts), []
    if count == 1:
        return [
            (square(a, _combined(a, b, -1.0)), DIFFERENCE, 0, 0),
            (square(a, _combined(a, b, 1.0)), SUM, 0, 0),
        ]
    first, second = strata.codes[a], strata.codes[b]
    swapped = first > second
    a, b = np.where(swapped, b, a), np.where(swapped, a, b)
    label, place = np.unique(
        np.minimum(first, second) * count + np.maximum(first, second), return_inverse=True
    )
    for code, here in zip(label, parts(place), strict=True):
        left, right = divmod(int(code), count)
        x, y = a[here], b[here]
        if left == right:
            out.append((square(x, _combined(x, y, -1.0)), DIFFERENCE, left, left))
            out.append((square(x, _combined(x, y, 1.0)), SUM, left, left))
            continue
        out.append((square(x, take(x)), END, left, left))
        out.append((square(y, take(y)), END, right, right))
        out.append((Product(x, take(x), take(y)), ACROSS, left, right))
    return out


def _combined(a: np.ndarray, b: np.ndarray, sign: float) -> Callable[[np.ndarray], np.ndarray]:
    def combined(u: np.ndarray) -> np.ndarray:
        first, second = u.take(a, axis=0), u.take(b, axis=0)
        return first + second if sign > 0.0 else first - second

    return combined


class _Chain:
    """The weights of the matrices and log|C|, from the parameter of the correlation."""

    def __init__(
        self,
        model: ResidualModel,
        gaps: np.ndarray,
        counts: np.ndarray,
        kinds: np.ndarray,
        which: np.ndarray,
    ) -> None:
        assert model.correlation is not None
        self.correlation = model.correlation
        self.left, self.right = gaps[:, None], np.zeros((len(gaps), 1))
        self.counts, self.kinds, self.which = counts, kinds, which

    @property
    def chosen(self) -> Chosen:
        c = self.correlation
        unit = c.unit if isinstance(c, ContinuousAutoregressive) else 1.0
        return Chosen(c.name, self.kinds, self.which, unit, self.left[:, 0], self.counts)

    def __call__(self, phi: np.ndarray) -> tuple[Derivatives, Derivatives]:
        r, r1, r2 = self.correlation.derivatives(phi, self.left, self.right)
        if np.any(np.abs(r) >= 1.0):
            raise FitError(
                "The correlation of neighbouring residuals has become one: try a simpler structure."
            )
        c, c1, c2 = (np.array(t) for t in zip(*(f(r) for f in FUNCTIONS), strict=True))
        c, c1, c2 = (t[self.kinds, self.which] for t in _chain(c, c1, c2, r1[0], r2[0, 0]))
        logs, l1, l2 = (t @ self.counts for t in _chain(*_log_left(r), r1[0], r2[0, 0]))
        return (c, c1[None], c2[None, None]), (logs, l1[None], l2[None, None])


def _chain(
    f: np.ndarray, f1: np.ndarray, f2: np.ndarray, r1: np.ndarray, r2: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """f(r(phi)) and its derivatives in phi."""
    return f, f1 * r1, f2 * r1**2 + f1 * r2
