"""Columns that earlier columns determine."""

from __future__ import annotations

import numpy as np

TOLERANCE = 1e-7
ROUNDING = 1e-13
CLEARLY_INDEPENDENT = 1e-6


def independent_columns(x: np.ndarray) -> np.ndarray:
    """Positions of the columns of x (n, p) that earlier columns do not determine, in order.

    A column goes when what earlier columns leave of it is under 1e-7 of its own variation about its
    mean, or of the size of rounding. R's `lm` does so in `dqrdc2`, but measures against the length
    of the column, so that a large shift costs it columns; here scale and shift do not matter.
    """
    p = x.shape[1]
    if p == 0 or _clearly_full_rank(x):
        return np.arange(p)
    size = np.abs(x).max(axis=0, initial=0.0)
    scaled = x / np.where(size > 0, size, 1.0)
    spread = np.linalg.norm(scaled - scaled.mean(axis=0), axis=0)
    length = np.linalg.norm(scaled, axis=0)
    triangle = np.asarray(np.linalg.qr(scaled, mode="r"))
    floor = np.maximum(TOLERANCE * spread, ROUNDING * length)
    return _limited_pivoting(triangle, floor)


def _clearly_full_rank(x: np.ndarray) -> bool:
    """Cheap and one-sided: the smallest eigenvalue of the cosines is far from zero."""
    if x.shape[0] < x.shape[1]:
        return False
    with np.errstate(all="ignore"):
        gram = x.T @ x
        length = np.sqrt(np.diag(gram))
        cosines = gram / np.outer(length, length)
    if not np.isfinite(cosines).all():
        return False
    return bool(np.linalg.eigvalsh(cosines)[0] > CLEARLY_INDEPENDENT)


def _limited_pivoting(columns: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """Gram-Schmidt, twice for accuracy, that passes over columns left with at most `floor`."""
    basis = np.zeros((columns.shape[0], 0))
    kept: list[int] = []
    for j in range(columns.shape[1]):
        rest = columns[:, j]
        for _ in range(2):
            rest = rest - basis @ (basis.T @ rest)
        length = np.linalg.norm(rest)
        if length > floor[j]:
            kept.append(j)
            basis = np.column_stack([basis, rest / length])
    return np.array(kept, dtype=np.intp)
