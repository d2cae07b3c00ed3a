"""Satterthwaite's degrees of freedom from the exact Hessian and Jacobian.

For a contrast l the variance f = l'Cov(beta)l depends on the covariance parameters tau; with A
their asymptotic covariance and g = df/dtau, df = 2 f^2 / (g'Ag) (Giesbrecht & Burns 1985,
Biometrics 41; Kuznetsova, Brockhoff & Christensen 2017, JSS 82(13)). tau are here the directions of
the internal parameters that change Sigma, and log sigma^2: at a singular optimum they run along the
face of the cone, where the criterion is smooth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from henderson.engine.derivatives import second_order
from henderson.engine.optimise import Optimum


@dataclass(frozen=True)
class Satterthwaite:
    """How sure the covariance parameters tau are, and how Cov(beta) moves with them.

    covariance : A (k, k), of tau = (tangent directions of phi, log sigma^2).
    jacobian : dCov(beta)/dtau (k, p, p), in the caller's coordinates.
    cov_beta : (p, p).
    """

    covariance: np.ndarray
    jacobian: np.ndarray
    cov_beta: np.ndarray

    def df(self, row: np.ndarray) -> float:
        """Degrees of freedom of one contrast (p,)."""
        variance = float(row @ self.cov_beta @ row)
        slope = np.einsum("p,apq,q->a", row, self.jacobian, row)
        noise = float(slope @ self.covariance @ slope)
        return 2.0 * variance**2 / noise if noise > 0 else np.inf

    def joint(self, rows: np.ndarray) -> tuple[float, float]:
        """Denominator df of the F-test of rows (q, p), and the factor that scales its F (one).

        Fai & Cornelius (1996), J. Stat. Comput. Simul. 54: independent contrasts by the
        eigenvectors of their covariance, and the df that gives their F its mean.
        """
        values, vectors = np.linalg.eigh(rows @ self.cov_beta @ rows.T)
        keep = values > 1e-10 * values[-1]
        each = np.array([self.df(v) for v in (vectors.T @ rows)[keep]])
        return combine_df(each), 1.0


def combine_df(each: np.ndarray) -> float:
    """The denominator df of a mean of squared independent t's with df `each`."""
    if len(each) == 1:
        return float(each[0])
    if np.all(np.abs(np.diff(each)) < 1e-8):
        return float(each.mean())
    if each.min() <= 2.0:
        return 2.0
    excess = float(np.sum(each / (each - 2.0)))
    return 2.0 * excess / (excess - len(each))


def satterthwaite(optimum: Optimum) -> Satterthwaite:
    """The blocks of Satterthwaite's method at an optimum."""
    f, at, problem = optimum.factorisation, optimum.at, optimum.problem
    s2 = f.s2(optimum.reml)
    second = second_order(f, optimum.layout.directions)
    observed = -second.traces(optimum.reml) + 2.0 / s2 * second.quadratic
    jacobian, z = at.jacobian, at.tangent
    inner = z.T @ (jacobian.T @ observed @ jacobian + at.curvature) @ z
    cross = z.T @ jacobian.T @ (second.q / s2)
    hessian = np.block(
        [[inner, cross[:, None]], [cross[None, :], np.array([[float(f.nu(optimum.reml))]])]]
    )
    moves = np.einsum("ab,bpq->apq", z.T @ jacobian.T, second.x_singles)
    c = f.c
    standard = np.concatenate([s2 * c @ moves @ c, (s2 * c)[None]])
    back = problem.contrast(np.eye(optimum.cross.p))
    return Satterthwaite(
        covariance=2.0 * np.linalg.pinv(hessian, rcond=1e-12, hermitian=True),
        jacobian=back @ standard @ back.T,
        cov_beta=optimum.cov_beta,
    )
