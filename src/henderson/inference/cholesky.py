"""Cholesky's factor of covariance matrices that may be singular, a stack at a time."""

from __future__ import annotations

import numpy as np


def lower_factor(sigma: np.ndarray) -> np.ndarray:
    """Lower triangular L (..., K, K) with sigma = L L', positive semidefinite of any rank.

    A pivot that is zero but for rounding leaves a column of zeros, so the first row of L is
    (sqrt(sigma_11), 0, ..., 0) whatever the rank.
    """
    size = sigma.shape[-1]
    left = np.array(sigma, dtype=float)
    floor = 1e-13 * np.einsum("...kk->...k", left).max(axis=-1, initial=0.0)
    lower = np.zeros_like(left)
    for k in range(size):
        pivot = left[..., k, k]
        good = ~(pivot <= floor)  # NaN goes on as NaN
        root = np.sqrt(np.where(good, pivot, 1.0))
        column = np.where(good[..., None], left[..., :, k] / root[..., None], 0.0)
        column[..., :k] = 0.0
        lower[..., :, k] = column
        left -= column[..., :, None] * column[..., None, :]
    return lower
