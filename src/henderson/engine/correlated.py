"""Conditional variances of effects whose levels are correlated: u = (R (x) I) w, w independent.

The engine works with w; Var(u_j | y) needs Z'V^-1Z between all of them, not its diagonal blocks.
"""

from __future__ import annotations

import numpy as np

from henderson.engine.criterion import Factorisation
from henderson.engine.problem import Grouping


def between_effects(f: Factorisation, place: int) -> np.ndarray:
    """Z_t'V^-1Z_t (J, K, J, K) of the factor at a place of the engine's order."""
    levels, size = f.sizes[place]
    if place > 0:
        (block,) = f.g_tail.part(place - 1, place - 1)
        return block.reshape(levels, size, levels, size)
    out = np.zeros((levels, size, levels, size))
    each = np.arange(levels)
    out[each, :, each] = f.gd
    if f.f_tail is None or f.tail_is_zero:
        return out
    return out - (f.f_tail @ f.t.apply(f.f_tail.T)).reshape(out.shape)


def of_inverse(grouping: Grouping, rows: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """Z'V^-1Z (J, K, J, K) from V^-1 (n, n), whose rows are those of the data at `rows`."""
    root, size = grouping.root, grouping.size
    assert root is not None
    parts = [root[grouping.codes[rows]] * grouping.z[rows, k, None] for k in range(size)]
    moved = [inverse @ part for part in parts]
    return np.stack([np.stack([a.T @ b for b in moved], axis=-1) for a in parts], axis=1)


def level_variances(
    root: np.ndarray, sigma: np.ndarray, between: np.ndarray, rest: np.ndarray
) -> np.ndarray:
    """Var(u_j | y) over sigma^2 (r, K, K) for rows of R, from Sigma and Z'V^-1Z (or Z'PZ).

    rest : (r,) what R leaves of the variances of these levels.
    """
    size = len(sigma)
    own = np.einsum("ja,ja->j", root, root) + rest
    taken = np.empty((len(root), size, size))
    for k in range(size):
        for m in range(size):
            taken[:, k, m] = np.einsum("ja,ja->j", root @ between[:, k, :, m], root)
    return own[:, None, None] * sigma - sigma @ taken @ sigma
