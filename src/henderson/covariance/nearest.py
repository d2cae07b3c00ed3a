"""The parameters of a correlation function that come nearest to a given matrix."""

from __future__ import annotations

import numpy as np

from henderson.covariance.correlations import Correlation

ROUNDS = 30
# Internal parameters beyond this are correlations of one, or ranges e^8 times the typical distance.
FURTHEST = 8.0
DAMPING = 1e-3


def nearest(
    correlation: Correlation, target: np.ndarray, left: np.ndarray, right: np.ndarray
) -> np.ndarray:
    """phi (m,) with C(phi) near `target` (K, K) in least squares over the pairs of columns.

    Levenberg and Marquardt's method from the function's own start; a matrix of the family is found
    again, any other gives a start for the likelihood.
    """
    pairs = np.tril_indices(len(target), -1)
    want, ends = target[pairs], (left[pairs], right[pairs])
    phi, damping = correlation.start(), DAMPING
    c, c1, _ = correlation.derivatives(phi, *ends)
    for _ in range(ROUNDS):
        slope, gram = c1 @ (want - c), c1 @ c1.T
        step = np.linalg.solve(gram + damping * (np.eye(len(phi)) + np.diag(np.diag(gram))), slope)
        trial = np.clip(phi + step, -FURTHEST, FURTHEST)
        t, t1, _ = correlation.derivatives(trial, *ends)
        if np.sum((want - t) ** 2) > np.sum((want - c) ** 2):
            damping *= 10.0
            continue
        moved = float(np.abs(trial - phi).max())
        phi, c, c1, damping = trial, t, t1, 0.1 * damping
        if moved < 1e-12:
            break
    return phi
