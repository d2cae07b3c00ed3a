"""The loops over rows and levels that carry the cost, in NumPy."""

from __future__ import annotations

import numpy as np


def backend() -> str:
    """Which kernels are in use."""
    return "numpy"


def level_products(
    codes: np.ndarray, n_levels: int, z: np.ndarray, xy: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Per level j: Z_j'Z_j (J, K, K) and Z_j'[X y] (J, K, p + 1)."""
    k, width = z.shape[1], xy.shape[1]
    a = np.empty((n_levels, k, k))
    b = np.empty((n_levels, k, width))
    for i in range(k):
        for j in range(i + 1):
            a[:, i, j] = a[:, j, i] = np.bincount(codes, z[:, i] * z[:, j], n_levels)
        for c in range(width):
            b[:, i, c] = np.bincount(codes, z[:, i] * xy[:, c], n_levels)
    return a, b


def inverse_logdet(h: np.ndarray) -> tuple[np.ndarray, float]:
    """Inverses (J, K, K) of symmetric positive definite h, and the sum of their log determinants."""
    k = h.shape[1]
    if k == 1:
        return 1.0 / h, float(np.log(h).sum())
    if k == 2:
        a, b, d = h[:, 0, 0], h[:, 0, 1], h[:, 1, 1]
        det = a * d - b * b
        inverse = np.empty_like(h)
        inverse[:, 0, 0], inverse[:, 1, 1] = d / det, a / det
        inverse[:, 0, 1] = inverse[:, 1, 0] = -b / det
        return inverse, float(np.log(det).sum())
    lower = np.linalg.cholesky(h)
    half = np.linalg.inv(lower)
    logdet = 2.0 * float(np.log(np.einsum("jkk->jk", lower)).sum())
    return half.swapaxes(1, 2) @ half, logdet
