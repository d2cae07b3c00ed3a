"""Variances of predictions where levels have a known covariance: from V itself.

For a row with x and effects u'b, c = Cov(u'b, y) over all rows, relative to sigma^2,

    Var(x'(beta^ - beta) + u'(b^ - b)) = m'C m + Var(u'b) - c'V^-1c,   m = x - X'V^-1c,

C = (X'V^-1X)^-1 (Henderson 1975, Biometrics 31). A level without rows differs only in its c.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from henderson.engine.dense import DenseFactorisation
from henderson.engine.optimise import Evaluated, by_rows

if TYPE_CHECKING:
    from henderson.engine.optimise import Optimum
    from henderson.engine.problem import Grouping
    from henderson.fit import Fit
    from henderson.inference.prediction_intervals import Rows


@dataclass(frozen=True)
class Levels:
    """A factor's levels: `root` (L, J) of their covariance, `variance` (L,) its diagonal."""

    root: np.ndarray
    variance: np.ndarray


def levels_of(fit: Fit) -> tuple[Levels | None, ...]:
    """The levels of every factor with a known covariance, those without rows last; else None."""
    out: list[Levels | None] = []
    for factor, grouping in zip(fit.design.random, fit.optimum.problem.groupings, strict=True):
        if grouping.root is None:
            out.append(None)
            continue
        out.append(Levels(factor.extended(grouping.root), factor.variances))
    return tuple(out)


def correlated_variances(optimum: Optimum, phi: np.ndarray, rows: Rows) -> np.ndarray:
    """Variances over sigma^2 (r,) at covariance parameters phi."""
    f = _factored(optimum, phi)
    out, c = rows.residual.copy(), np.zeros((len(rows.x), f.cross.n))
    for t, grouping in enumerate(f.cross.problem.groupings):
        sigma, known, prior = f.sigmas[t], rows.known[t], rows.prior[t]
        level, unseen = np.maximum(rows.codes[t], 0), rows.codes[t] < 0
        own = rows.levels[t]
        spread = np.ones(len(level)) if own is None else np.where(unseen, 1.0, own.variance[level])
        out += spread * np.einsum("rk,kl,rl->r", known, sigma, known)
        out += spread * np.einsum("rk,kl,rl->r", prior, sigma, prior)
        c += (known @ sigma @ grouping.z.T) * _alike(own, grouping, level)
    m = rows.x - c @ f.vx
    (stack,), (inverse,) = f.cross.stacks, f.inverses
    moved = c[:, stack.rows[0]]
    taken = np.einsum("rn,rn->r", moved @ inverse[0], moved)
    return out + np.einsum("rp,pq,rq->r", m, f.c, m) - taken


def _factored(optimum: Optimum, phi: np.ndarray) -> DenseFactorisation:
    at = optimum.at
    if not isinstance(at.factorisation, DenseFactorisation):
        return by_rows(optimum, phi)
    found = at if phi is at.phi else Evaluated(at.cross, at.layout, at.reml, phi)
    assert isinstance(found.factorisation, DenseFactorisation)
    return found.factorisation


def _alike(own: Levels | None, grouping: Grouping, level: np.ndarray) -> np.ndarray:
    """Covariances (r, n) between levels (r,) and those of the rows."""
    if own is None or grouping.root is None:
        return level[:, None] == grouping.codes
    return own.root[level] @ grouping.root[grouping.codes].T
