"""Any structure whose groups show few patterns of positions and variances, as visits of a study do.

The groups of one pattern share one C^-1, whose entries are the weights of the products of their
rows.
"""

from __future__ import annotations

import numpy as np

from henderson.covariance.correlations.base import Derivatives
from henderson.covariance.residual.base import BoundResidual, ResidualModel
from henderson.covariance.residual.finite.base import (
    MOST_SETS,
    Combine,
    FiniteInverse,
    Product,
    positions_of,
    square,
    take,
)
from henderson.errors import FitError


def by_patterns(model: ResidualModel) -> FiniteInverse | None:
    """The sum; None if the patterns are many."""
    products: list[Product] = []
    bound: list[tuple[BoundResidual, np.ndarray]] = []
    for rows in _groups_by_size(model):
        label, example = _patterns(model, rows)
        s = rows.shape[1]
        if len(products) + len(example) * s * (s + 1) // 2 > MOST_SETS:
            return None
        for g in range(len(example)):
            products += _entries(rows[label == g])
        counts = np.bincount(label)
        bound.append((model.bind(rows[example]), counts))
    return FiniteInverse(tuple(products), lambda phi: _weights(bound, phi))


def _groups_by_size(model: ResidualModel) -> list[np.ndarray]:
    """Rows (groups, s) for every size s of a group, in order of position."""
    order = np.lexsort((*positions_of(model).T[::-1], model.codes))
    sizes = np.bincount(model.codes)
    starts = np.cumsum(sizes) - sizes
    return [order[starts[sizes == s][:, None] + np.arange(s)] for s in np.unique(sizes[sizes > 0])]


def _patterns(model: ResidualModel, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pattern (groups,) of groups of one size, and a group that shows each."""
    columns = np.column_stack([positions_of(model), *model.covariates])
    seen = columns[rows].reshape(len(rows), -1)
    _, example, label = np.unique(seen, axis=0, return_index=True, return_inverse=True)
    return label.ravel(), example


def _entries(rows: np.ndarray) -> list[Product]:
    """One product for every pair i >= j of the places in a group, both (i, j) and (j, i)."""
    out = []
    for i, a in enumerate(rows.T):
        for j in range(i):
            out.append(Product(a, take(a), _twice(rows[:, j])))
        out.append(square(a, take(a)))
    return out


def _twice(rows: np.ndarray) -> Combine:
    return lambda u: 2.0 * u.take(rows, axis=0)


def _weights(
    bound: list[tuple[BoundResidual, np.ndarray]], phi: np.ndarray
) -> tuple[Derivatives, Derivatives]:
    """The entries of the inverses, lower triangles row by row, and log|R|."""
    m = len(phi)
    value, slope, bend = 0.0, np.zeros(m), np.zeros((m, m))
    entries: tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]] = ([], [], [])
    for residual, counts in bound:
        inverses, logs = _inverse(residual, phi)
        i, j = np.tril_indices(inverses[0].shape[-1])
        for to, part in zip(entries, inverses, strict=True):
            to.append(part[..., i, j].reshape(*part.shape[:-3], -1))
        value += float(logs[0] @ counts)
        slope += logs[1] @ counts
        bend += logs[2] @ counts
    c, c1, c2 = (np.concatenate(part, axis=-1) for part in entries)
    return (c, c1, c2), (np.asarray(value), slope, bend)


def _inverse(residual: BoundResidual, phi: np.ndarray) -> tuple[Derivatives, Derivatives]:
    """R^-1 (g, s, s) with its derivatives (m, ...) and (m, m, ...), and log|R| (g,) alike."""
    m = len(phi)
    try:
        lower = np.linalg.cholesky(residual.value(phi))
    except np.linalg.LinAlgError as error:
        raise FitError(
            "The covariance of the residuals is not positive definite: the structure has left its "
            "bounds. Try a simpler one."
        ) from error
    half = np.linalg.inv(lower)
    inverse = half.swapaxes(1, 2) @ half
    moved = inverse @ residual.jacobian(phi)
    first = -moved @ inverse
    second, bend = np.zeros((m, m, *inverse.shape)), np.zeros((m, m, len(inverse)))
    for a in range(m):
        for b in range(a + 1):
            twice = inverse @ residual.second(phi, a, b)
            both = moved[a] @ moved[b]
            found = (both + moved[b] @ moved[a] - twice) @ inverse
            second[a, b] = second[b, a] = found
            bend[a, b] = bend[b, a] = np.einsum("gss->g", twice - both)
    logs = 2.0 * np.log(np.einsum("gss->gs", lower)).sum(axis=1)
    return (inverse, first, second), (logs, np.einsum("mgss->mg", moved), bend)
