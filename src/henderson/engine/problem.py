"""The engine's input: arrays in standard coordinates.

Everything the optimiser and the criterion see is first brought to a common scale: rows multiplied
by the square roots of the weights, X orthonormal, y the residual of its regression on X divided by
its root mean square, the columns of Z orthonormal within a term (as far as its structure allows).
So a fit does not depend on the origin or the scale of y and of the predictors, and a trust region
of radius one means the same thing for every model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from henderson.covariance.base import Structure
from henderson.errors import FitError


@dataclass(frozen=True)
class Term:
    """A random-effect term: which columns of its factor's z, and their covariance structure."""

    columns: slice
    structure: Structure


@dataclass(frozen=True)
class Grouping:
    """A grouping factor: `codes` (n,) in 0..n_levels-1, `z` (n, K), and its terms."""

    codes: np.ndarray
    n_levels: int
    z: np.ndarray
    terms: tuple[Term, ...]

    @property
    def size(self) -> int:
        return self.z.shape[1]


@dataclass(frozen=True)
class Standard:
    """The problem in standard coordinates, and the way back.

    y = X beta and Z b in the caller's coordinates are, with X = Q `r_x` / sqrt(n) and
    z = z~ `r_z`: beta = beta0 + y_scale r_x^-1 beta~ and Sigma = r_z^-1 Sigma~ r_z^-T
    (Sigma is relative to sigma^2, so it does not feel y_scale).

    x : (n, p), X'X = n I; y : (n,), orthogonal to x, mean square one.
    r_x : (p, p) upper triangular; r_z : one (K, K) per factor.
    log_weights : sum of log w, which the criterion subtracts.
    """

    x: np.ndarray
    y: np.ndarray
    groupings: tuple[Grouping, ...]
    beta0: np.ndarray
    r_x: np.ndarray
    r_z: tuple[np.ndarray, ...]
    y_scale: float
    log_weights: float

    def beta(self, standard: np.ndarray) -> np.ndarray:
        """Fixed effects (p,) in the caller's coordinates."""
        return self.beta0 + self.y_scale * solve_triangular(self.r_x, standard)

    def contrast(self, rows: np.ndarray) -> np.ndarray:
        """Rows l (r, p) such that l'beta is the same number in standard coordinates."""
        return self.y_scale * solve_triangular(self.r_x, rows.T, trans="T").T

    def sigma(self, factor: int, standard: np.ndarray) -> np.ndarray:
        """Relative covariance (K, K) of a factor's effects in the caller's coordinates."""
        back = np.linalg.inv(self.r_z[factor])
        return back @ standard @ back.T

    def effects(self, factor: int, standard: np.ndarray) -> np.ndarray:
        """Random effects (J, K) in the caller's coordinates."""
        return self.y_scale * standard @ np.linalg.inv(self.r_z[factor]).T


def standardise(
    y: np.ndarray, x: np.ndarray, groupings: Sequence[Grouping], weights: np.ndarray | None
) -> Standard:
    """Bring y (n,), x (n, p) of full column rank and the groupings to standard coordinates.

    Raises
    ------
    FitError : no residual degrees of freedom, or X explains y exactly.
    """
    n, p = x.shape
    if n <= p:
        raise FitError(
            f"{n} rows cannot estimate {p} fixed effects and a residual variance: "
            "drop fixed effects or add rows."
        )
    root = None if weights is None else np.sqrt(weights)
    rows = (lambda a: a) if root is None else (lambda a: (a.T * root).T)
    x_w, y_w = rows(x), rows(y)
    q, r_x = _orthonormal(x_w)
    beta0, y_s, y_scale = _residual(q, r_x, y_w)
    pairs = [_standard_grouping(rows(g.z), g) for g in groupings]
    return Standard(
        x=q * np.sqrt(n),
        y=y_s,
        groupings=tuple(g for g, _ in pairs),
        beta0=beta0,
        r_x=r_x / np.sqrt(n),
        r_z=tuple(r for _, r in pairs),
        y_scale=y_scale,
        log_weights=0.0 if weights is None else float(np.log(weights).sum()),
    )


def _orthonormal(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a (n, k) = q r with q'q = I; a tall matrix by two Cholesky passes, which read it in order."""
    if a.shape[1] == 0:
        return a, np.zeros((0, 0))
    if a.shape[0] < 20_000:
        q, r = np.linalg.qr(a)
        return q, r
    try:
        scale = np.sqrt(np.einsum("ij,ij->j", a, a))
        r = np.diag(scale)
        q = a / scale
        for _ in range(2):
            step = np.linalg.cholesky(q.T @ q).T
            q, r = q @ np.linalg.inv(step), step @ r
        return q, r
    except np.linalg.LinAlgError:
        q, r = np.linalg.qr(a)
        return q, r


def _residual(q: np.ndarray, r: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """OLS coefficients (p,), and the residual of y on q with mean square one, and its scale."""
    coef = q.T @ y
    residual = y - q @ coef
    again = q.T @ residual  # one step of refinement keeps y + 1e6 and y the same fit
    residual = residual - q @ again
    scale = float(np.sqrt(residual @ residual / len(y)))
    if scale <= 1e-14 * float(np.sqrt(y @ y / len(y))):
        raise FitError("The fixed effects explain the response exactly: nothing is left to model.")
    beta0 = solve_triangular(r, coef + again) if len(coef) else np.zeros(0)
    return beta0, residual / scale, scale


def _standard_grouping(z: np.ndarray, grouping: Grouping) -> tuple[Grouping, np.ndarray]:
    """The same grouping with sum_j Z_j'Z_j = J I as far as each structure allows."""
    out = np.empty_like(z, dtype=float)
    r = np.zeros((z.shape[1], z.shape[1]))
    for term in grouping.terms:
        part = z[:, term.columns]
        basis = _basis(part, term.structure.rotation) / np.sqrt(grouping.n_levels)
        out[:, term.columns] = part @ np.linalg.inv(basis)
        r[term.columns, term.columns] = basis
    return Grouping(grouping.codes, grouping.n_levels, out, grouping.terms), r


def _basis(z: np.ndarray, rotation: str) -> np.ndarray:
    """The (K, K) change of basis that makes z z^-1 orthonormal, or as near as allowed."""
    lengths = np.sqrt(np.einsum("ij,ij->j", z, z))
    lengths = np.where(lengths > 0, lengths, 1.0)
    if rotation == "full" and z.shape[1] > 1:
        _, r = _orthonormal(z / lengths)
        if np.abs(np.diag(r)).min() > 1e-7:
            return r * lengths
    if rotation == "scalar":
        return np.eye(z.shape[1]) * np.sqrt((lengths**2).mean())
    return np.diag(lengths)
