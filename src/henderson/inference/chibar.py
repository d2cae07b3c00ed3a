"""The law of a likelihood ratio when variances are on the boundary under the null hypothesis.

With Z ~ N(0, J^-1) the ratio tends to chi2_k + |P_C Z|^2_J, P_C the projection in the metric J on
the tangent cone C of the parameters that the null hypothesis puts on the boundary, k the number of
the other parameters that it fixes (Self & Liang 1987, JASA 82; Stram & Lee 1994, Biometrics 50;
Shapiro 1988, Int. Stat. Rev. 56). One variance with its k covariances: an even mixture of chi2_k
and chi2_(k+1), exactly. Otherwise the direction of Z is drawn and its length integrated exactly, so
that small tails keep their relative accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

DRAWS = 4000
STEPS = 300


def chi2_tail(x: float, df: int) -> float:
    """P(chi2_df >= x); chi2_0 is zero."""
    if df == 0:
        return 1.0 if x <= 0.0 else 0.0
    return float(special.chdtrc(df, max(x, 0.0)))


def even_mixture_tail(x: float, df: int) -> float:
    """The tail of half chi2_df and half chi2_(df + 1)."""
    return 1.0 if x <= 0.0 else 0.5 * chi2_tail(x, df) + 0.5 * chi2_tail(x, df + 1)


def cone_tail(x: float, cones: Sequence[int], metric: np.ndarray | None, free: int) -> float:
    """P(chi2_free + |P_C Z|^2 >= x) for C a product of cones of semidefinite (r, r) matrices.

    Parameters
    ----------
    cones : the r's. metric : J (m, m) over their lower triangles one after the other, row by row;
        not needed for a single variance.
    """
    if x <= 0.0:
        return 1.0
    if not cones:
        return chi2_tail(x, free)
    if list(cones) == [1]:
        return even_mixture_tail(x, free)
    assert metric is not None
    shape = _Cone.of(cones)
    j = metric / np.outer(shape.scale, shape.scale)
    rng = np.random.default_rng(20)
    z = rng.standard_normal((DRAWS, len(j))) @ np.linalg.inv(np.linalg.cholesky(j))
    inside = shape.project_in(z, j)
    others = (rng.standard_normal((DRAWS, free)) ** 2).sum(axis=1)
    whole = np.einsum("ij,jk,ik->i", z, j, z) + others
    part = np.einsum("ij,jk,ik->i", inside, j, inside) + others
    with np.errstate(divide="ignore", over="ignore"):
        tails = special.chdtrc(len(j) + free, x * whole / part)
    return float(np.where(part > 0.0, tails, 0.0).mean())


@dataclass(frozen=True)
class _Cone:
    """A product of semidefinite cones in coordinates in which Frobenius length is Euclidean.

    sizes : r of each. scale : (m,), what an entry of the lower triangle is multiplied by.
    """

    sizes: tuple[int, ...]
    scale: np.ndarray

    @staticmethod
    def of(cones: Sequence[int]) -> _Cone:
        scale = [
            1.0 if i == j else np.sqrt(2.0) for r in cones for i in range(r) for j in range(i + 1)
        ]
        return _Cone(tuple(cones), np.array(scale))

    def project(self, x: np.ndarray) -> np.ndarray:
        """The nearest points (N, m) of the cone, in Euclidean distance."""
        out, start = np.empty_like(x), 0
        for r in self.sizes:
            stop = start + r * (r + 1) // 2
            out[:, start:stop] = _positive_part(x[:, start:stop], r)
            start = stop
        return out

    def project_in(self, z: np.ndarray, metric: np.ndarray) -> np.ndarray:
        """The nearest points in the metric, by accelerated projected gradients.

        Beck & Teboulle 2009, SIAM J. Imaging Sci. 2.
        """
        step = 1.0 / float(np.linalg.eigvalsh(metric)[-1])
        x = ahead = self.project(z)
        momentum = 1.0
        for _ in range(STEPS):
            new = self.project(ahead - step * (ahead - z) @ metric)
            grown = (1.0 + np.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
            ahead = new + (momentum - 1.0) / grown * (new - x)
            moved = np.abs(new - x).max()
            x, momentum = new, grown
            if moved < 1e-7:
                break
        return x


def _positive_part(x: np.ndarray, r: int) -> np.ndarray:
    """Symmetric matrices, as scaled lower triangles (N, m), without negative eigenvalues."""
    if r == 1:
        return np.maximum(x, 0.0)
    rows, columns = np.tril_indices(r)
    weight = np.where(rows == columns, 1.0, 1.0 / np.sqrt(2.0))
    full = np.zeros((len(x), r, r))
    full[:, rows, columns] = full[:, columns, rows] = x * weight
    values, vectors = np.linalg.eigh(full)
    positive = (vectors * np.maximum(values, 0.0)[:, None]) @ vectors.swapaxes(1, 2)
    return positive[:, rows, columns] / weight
