"""Kenward and Roger's adjusted covariance and degrees of freedom, from block algebra.

The covariance parameters are sigma^2, the entries of sigma^2 Sigma of terms in which V is linear
(unstructured, diagonal), and the internal parameters of every other structure. For linear ones the
second-derivative term of the adjustment vanishes (Kenward & Roger 1997, Biometrics 53; Halekoh &
Hojsgaard 2014, JSS 59(9), whose choice of parameters on singular fits this is too); for the others
it is included. The residual direction is R = V - sum_a s_a V_a, so nothing of length n is formed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import block_diag

from henderson.engine.derivatives import SecondOrder, information, second_order
from henderson.engine.iterative import with_factor
from henderson.engine.optimise import Evaluated, Optimum
from henderson.engine.problem import Term
from henderson.engine.structured import StructuredFactorisation

# Below this a difference of numbers near one has lost half of its digits.
VANISHING = 1e-8
# Denominator df closer than this to two leave the scale of F undetermined; so has pbkrtest.
NEAR_TWO = 1e-2


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
    """df and scale from A1, A2: Kenward & Roger (1997), section 3.

    One row has A1 = A2, and the formulas reduce to df = 2 / A2. The moments of an F with two
    denominator df are infinite: where the df approach two, the ratio of two factors that vanish
    together is one, and so is the scale.
    """
    if a2 <= 0.0:
        return np.inf, 1.0
    if q == 1:
        return 2.0 / a2, 1.0
    b = (a1 + 6.0 * a2) / (2.0 * q)
    g = ((q + 1.0) * a1 - (q + 4.0) * a2) / ((q + 2.0) * a2)
    bottom = 3.0 * q + 2.0 * (1.0 - g)
    c1, c2, c3 = g / bottom, (q - g) / bottom, (q + 2.0 - g) / bottom
    of_mean, of_variance, last = 1.0 - a2 / q, 1.0 - c2 * b, 1.0 - c3 * b
    vanish = max(abs(of_mean), abs(of_variance)) < VANISHING
    ratio = 1.0 if vanish else of_mean / of_variance
    df = 4.0 + (q + 2.0) * last / (ratio**2 * (1.0 + c1 * b) - last)
    return df, (1.0 if abs(df - 2.0) < NEAR_TWO else df * of_mean / (df - 2.0))


def kenward_roger(optimum: Optimum) -> KenwardRoger:
    """The adjustment at an optimum, in the caller's coordinates."""
    f = with_factor(optimum.factorisation, "Kenward and Roger's adjustment")
    if isinstance(f, StructuredFactorisation):
        f = f.by_rows  # the traces of pairs of residual parameters, apart from R's curvature
    s2 = f.s2(optimum.reml)
    second = second_order(f, optimum.layout.directions)
    moves = parameter_moves(optimum.at)
    n_blocks, q_blocks = _with_residual(second)
    n_blocks = np.einsum("ia,apq->ipq", moves, n_blocks)
    q_blocks = np.einsum("ia,jb,abpq->ijpq", moves, moves, q_blocks, optimize=True)
    inverse = np.linalg.pinv(moves @ information(second) @ moves.T, rcond=1e-12, hermitian=True)
    w = 2.0 * s2**2 * inverse
    phi = s2 * f.c
    slopes = -f.c @ n_blocks @ f.c
    inner = q_blocks - np.einsum("apq,qr,brs->abps", n_blocks, f.c, n_blocks, optimize=True)
    inner = inner - bends(optimum.at, second) / 4.0
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


def parameter_moves(at: Evaluated) -> np.ndarray:
    """What each covariance parameter moves: (parameters, directions and the residual variance)."""
    blocks = [_free_entries(t) if t.structure.linear else j for t, j in _jacobians(at)]
    own = np.eye(at.layout.n_residual + 1)
    return block_diag(*blocks, own)


def bends(at: Evaluated, second: SecondOrder) -> np.ndarray:
    """X'V^-1 (d2V / d gamma_i d gamma_j) V^-1 X, (parameters, parameters, p, p), times sigma^2.

    Zero for linear terms; for the others from the curvature of Sigma(phi) and R(phi), and between
    sigma^2 and the parameters of R, whose product enters V.
    """
    p = at.cross.p
    size, m = len(parameter_moves(at)), at.layout.n_residual
    out = np.zeros((size, size, p, p))
    start = 0
    for (factor, term), phi in zip(at.layout.terms, at.layout.split(at.phi), strict=True):
        if term.structure.linear:
            start += len(_free_entries(term))
            continue
        stop = start + len(phi)
        out[start:stop, start:stop] = _term_bends(at, factor, term, phi)
        start = stop
    if m and isinstance(at.factorisation, StructuredFactorisation):
        out[start:-1, start:-1] = at.factorisation.residual_bends()
        out[-1, start:-1] = out[start:-1, -1] = second.x_singles[len(second.x_singles) - m :]
    return out


def _term_bends(at: Evaluated, factor: int, term: Term, phi: np.ndarray) -> np.ndarray:
    e = at.factorisation.e[factor][:, term.columns]
    p = e.shape[2]
    out = np.empty((len(phi), len(phi), p, p))
    for a in range(p):
        for b in range(p):
            outer = e[:, :, a].T @ e[:, :, b]
            out[:, :, a, b] = term.structure.curvature(phi, (outer + outer.T) / 2.0)
    return out


def _free_entries(term: Term) -> np.ndarray:
    """Unit moves of the entries of Sigma that a linear structure lets vary, (m, k).

    They are the entries that differ from zero in its Jacobian at Sigma = I.
    """
    structure = term.structure
    rows, cols = np.tril_indices(structure.size)
    jacobian = structure.jacobian(structure.start(np.eye(structure.size)))
    return np.eye(len(rows))[np.any(jacobian[:, rows, cols] != 0.0, axis=0)]


def _jacobians(at: Evaluated) -> list[tuple[Term, np.ndarray]]:
    """Every term with dSigma/dphi along its directions, (m, k)."""
    out = []
    for (_, term), phi in zip(at.layout.terms, at.layout.split(at.phi), strict=True):
        rows, cols = np.tril_indices(term.structure.size)
        out.append((term, term.structure.jacobian(phi)[:, rows, cols]))
    return out
