"""Kenward and Roger's adjusted covariance and degrees of freedom, from block algebra.

The covariance parameters are the entries of every sigma^2 Sigma and sigma^2 itself, in which V is
linear, so the second-derivative term of the adjustment vanishes (Kenward & Roger 1997, Biometrics
53; Halekoh & Hojsgaard 2014, JSS 59(9), whose choice of parameters on singular fits this is too).
The residual direction is I = V - sum_a s_a V_a, so nothing of length n is ever formed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from henderson.engine.derivatives import SecondOrder, information, second_order
from henderson.engine.optimise import Optimum


@dataclass(frozen=True)
class KenwardRoger:
    """Adjusted covariance and what the degrees of freedom need.

    phi : unadjusted Cov(beta) (p, p); cov_beta : adjusted (p, p).
    slopes : Phi P_i Phi (k, p, p), minus dPhi/dgamma_i; w : covariance (k, k) of gamma.
    """

    phi: np.ndarray
    cov_beta: np.ndarray
    slopes: np.ndarray
    w: np.ndarray

    def joint(self, rows: np.ndarray) -> tuple[float, float]:
        """Denominator df of the F-test of rows (q, p), and the factor that scales its F."""
        q = len(rows)
        theta = rows.T @ np.linalg.solve(rows @ self.phi @ rows.T, rows)
        moved = np.einsum("pq,aqr->apr", theta, self.slopes)
        singles = np.einsum("app->a", moved)
        pairs = np.einsum("apq,bqp->ab", moved, moved)
        a1 = float(singles @ self.w @ singles)
        a2 = float(np.sum(self.w * pairs))
        return _match_moments(q, a1, a2)


def _match_moments(q: int, a1: float, a2: float) -> tuple[float, float]:
    """df and scale from A1, A2: Kenward & Roger (1997), section 3."""
    if a2 <= 0.0:
        return np.inf, 1.0
    b = (a1 + 6.0 * a2) / (2.0 * q)
    g = ((q + 1.0) * a1 - (q + 4.0) * a2) / ((q + 2.0) * a2)
    bottom = 3.0 * q + 2.0 * (1.0 - g)
    c1, c2, c3 = g / bottom, (q - g) / bottom, (q + 2.0 - g) / bottom
    mean = 1.0 / (1.0 - a2 / q)
    variance = 2.0 / q * (1.0 + c1 * b) / ((1.0 - c2 * b) ** 2 * (1.0 - c3 * b))
    rho = variance / (2.0 * mean**2)
    df = 4.0 + (q + 2.0) / (q * rho - 1.0)
    return df, (1.0 if q == 1 else df / (mean * (df - 2.0)))


def kenward_roger(optimum: Optimum) -> KenwardRoger:
    """The adjustment at an optimum, in the caller's coordinates."""
    f = optimum.factorisation
    s2 = f.s2(optimum.reml)
    second = second_order(f, optimum.layout.directions)
    n_blocks, q_blocks = _with_residual(second)
    w = 2.0 * s2**2 * np.linalg.pinv(information(second), rcond=1e-12, hermitian=True)
    phi = s2 * f.c
    slopes = -f.c @ n_blocks @ f.c
    inner = q_blocks - np.einsum("apq,qr,brs->abps", n_blocks, f.c, n_blocks)
    total = np.einsum("ab,abpq->pq", w, inner) / s2**3
    adjusted = phi + 2.0 * phi @ total @ phi
    back = optimum.problem.contrast(np.eye(optimum.cross.p))
    return KenwardRoger(
        phi=back @ phi @ back.T,
        cov_beta=back @ ((adjusted + adjusted.T) / 2.0) @ back.T,
        slopes=back @ slopes @ back.T,
        w=w,
    )


def _with_residual(second: SecondOrder) -> tuple[np.ndarray, np.ndarray]:
    """X'V^-1 G_a V^-1 X (k + 1, p, p) and X'V^-1 G_a V^-1 G_b V^-1 X (k + 1, k + 1, p, p)."""
    s, singles, pairs = second.sigma_entries, second.x_singles, second.x_pairs
    xvx = np.linalg.inv(second.f.c)
    single0 = xvx - np.einsum("a,apq->pq", s, singles)
    pair0 = singles - np.einsum("a,abpq->bpq", s, pairs)
    corner = single0 - np.einsum("b,bpq->pq", s, pair0)
    k, p = len(s), len(xvx)
    out = np.empty((k + 1, k + 1, p, p))
    out[:k, :k], out[k, :k], out[k, k] = pairs, pair0, corner
    out[:k, k] = pair0.swapaxes(1, 2)
    return np.concatenate([singles, single0[None]]), out
