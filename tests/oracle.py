"""The linear mixed model by brute force: dense n x n matrices and textbook formulas.

Nothing here is fast and nothing is shared with the package, so agreement means something.

    y = offset + X beta + sum_t Z_t b_t + e,   b_t ~ N(0, s2 I (x) Sigma_t),   e ~ N(0, s2 R),
    R = W^-1/2 C W^-1/2,   V = R + sum_t Z_t (I (x) Sigma_t) Z_t'   (relative: in units of s2)

`Sigma_t` (K_t, K_t) is in units of s2. The criterion is lme4's: -2 log-likelihood (ML), or
the REML criterion, with s2 (and beta) profiled out.

Sources: Bates, Maechler, Bolker and Walker (2015), J. Stat. Softw. 67(1); Henderson (1975),
Biometrics 31, 423-447; Giesbrecht and Burns (1985), Biometrics 41, 477-486 (Satterthwaite);
Kenward and Roger (1997), Biometrics 53, 983-997.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import block_diag

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Block:
    """One grouping factor: `codes` (n,) in 0..n_levels-1 and its effects' columns `z` (n, K)."""

    codes: NDArray[np.intp]
    z: Array
    n_levels: int

    @property
    def size(self) -> int:
        """K, the number of effects per level."""
        return int(self.z.shape[1])

    @cached_property
    def dense(self) -> Array:
        """Z (n, J K), the K columns of one level side by side."""
        n, k = self.z.shape
        out = np.zeros((n, self.n_levels, k))
        out[np.arange(n), self.codes] = self.z
        return out.reshape(n, self.n_levels * k)

    def spread(self, sigma: Array) -> Array:
        """I_J (x) sigma (J K, J K)."""
        return np.kron(np.eye(self.n_levels), sigma)

    def outer(self, sigma: Array) -> Array:
        """Z (I (x) sigma) Z' (n, n)."""
        return self.dense @ self.spread(sigma) @ self.dense.T

    def level_sum(self, matrix: Array) -> Array:
        """sum_j Z_j' matrix Z_j (K, K) for an n x n matrix."""
        j, k = self.n_levels, self.size
        full = (self.dense.T @ matrix @ self.dense).reshape(j, k, j, k)
        return np.asarray(np.einsum("jajb->ab", full))


def block(codes: ArrayLike, z: ArrayLike, n_levels: int | None = None) -> Block:
    """A `Block` from anything array-like; a 1-d `z` is one column."""
    index = np.asarray(codes, dtype=np.intp)
    columns = np.asarray(z, dtype=float).reshape(len(index), -1)
    return Block(index, columns, int(index.max()) + 1 if n_levels is None else n_levels)


@dataclass(frozen=True)
class Problem:
    """The data of a fit. `weights` (n,): var = s2 / w; `correlation` (n, n) of the residuals."""

    y: Array
    X: Array
    blocks: tuple[Block, ...]
    weights: Array | None = None
    offset: Array | None = None
    correlation: Array | None = None
    reml: bool = True

    @property
    def n(self) -> int:
        return len(self.y)

    @property
    def p(self) -> int:
        return int(self.X.shape[1])

    @property
    def nu(self) -> int:
        """Divisor of s2: n - p under REML, n under ML."""
        return self.n - self.p if self.reml else self.n

    @cached_property
    def R(self) -> Array:
        """Relative residual covariance (n, n)."""
        correlation = np.eye(self.n) if self.correlation is None else self.correlation
        scale = np.ones(self.n) if self.weights is None else 1 / np.sqrt(self.weights)
        return scale[:, None] * correlation * scale

    @cached_property
    def response(self) -> Array:
        """y less the offset (n,)."""
        return self.y if self.offset is None else self.y - self.offset


def basis(size: int) -> list[Array]:
    """Symmetric basis of the K x K matrices, lower triangle by columns: E_rr, and E_rc + E_cr."""
    unit = np.eye(size)
    pairs = [(r, c) for c in range(size) for r in range(c, size)]
    return [np.maximum(np.outer(unit[r], unit[c]), np.outer(unit[c], unit[r])) for r, c in pairs]


def coordinates(sigmas: Sequence[Array]) -> Array:
    """The entries of every Sigma in the order of `basis`, one vector."""
    entries = [s[r, c] for s in sigmas for c in range(len(s)) for r in range(c, len(s))]
    return np.array(entries, dtype=float)


def from_coordinates(values: Array, sizes: Sequence[int]) -> list[Array]:
    """Inverse of `coordinates`."""
    ends = np.cumsum([k * (k + 1) // 2 for k in sizes])
    parts = zip(np.split(values, ends[:-1]), sizes, strict=True)
    return [np.tensordot(part, np.array(basis(k)), 1) for part, k in parts]


@dataclass(frozen=True)
class Solution:
    """Everything that follows from a `Problem` once the relative Sigmas are given."""

    problem: Problem
    sigmas: tuple[Array, ...]

    @cached_property
    def V(self) -> Array:
        """Relative marginal covariance of y (n, n)."""
        parts = zip(self.problem.blocks, self.sigmas, strict=True)
        return self.problem.R + sum(b.outer(s) for b, s in parts)

    @cached_property
    def Vinv(self) -> Array:
        return np.linalg.inv(self.V)

    @cached_property
    def C(self) -> Array:
        """(X'V^-1X)^-1 (p, p)."""
        return np.linalg.inv(self.problem.X.T @ self.Vinv @ self.problem.X)

    @cached_property
    def P(self) -> Array:
        """V^-1 - V^-1 X C X'V^-1 (n, n)."""
        left = self.Vinv @ self.problem.X
        return self.Vinv - left @ self.C @ left.T

    @cached_property
    def beta(self) -> Array:
        return self.C @ self.problem.X.T @ self.Vinv @ self.problem.response

    @cached_property
    def rss(self) -> float:
        """r^2 = (y - X beta)'V^-1(y - X beta)."""
        residual = self.problem.response - self.problem.X @ self.beta
        return float(residual @ self.Vinv @ residual)

    @property
    def sigma2(self) -> float:
        return self.rss / self.problem.nu

    @property
    def vcov(self) -> Array:
        """Covariance of beta (p, p)."""
        return self.sigma2 * self.C

    @cached_property
    def criterion(self) -> float:
        """-2 log-likelihood, or the REML criterion; -sum log w sits inside log|V|."""
        nu = self.problem.nu
        value = np.linalg.slogdet(self.V)[1] + nu * (1 + np.log(2 * np.pi * self.sigma2))
        if self.problem.reml:
            value -= np.linalg.slogdet(self.C)[1]
        return float(value)

    def modes(self) -> list[Array]:
        """Conditional modes b, one (J, K) array a factor: Sigma Z'V^-1(y - X beta)."""
        py = self.P @ self.problem.response
        return [
            (b.spread(s) @ b.dense.T @ py).reshape(b.n_levels, b.size)
            for b, s in zip(self.problem.blocks, self.sigmas, strict=True)
        ]

    def condvar(self) -> list[Array]:
        """Covariance of b given y, with beta taken as known (lme4's): (J, K, K) a factor."""
        return self._mode_covariance(self.Vinv)

    def prediction_error(self) -> list[Array]:
        """Covariance of b-hat - b, uncertainty of beta included: (J, K, K) a factor."""
        return self._mode_covariance(self.P)

    def _mode_covariance(self, middle: Array) -> list[Array]:
        out = []
        for b, s in zip(self.problem.blocks, self.sigmas, strict=True):
            g = b.spread(s)
            full = self.sigma2 * (g - g @ b.dense.T @ middle @ b.dense @ g)
            full = full.reshape(b.n_levels, b.size, b.n_levels, b.size)
            out.append(np.einsum("jajb->jab", full))
        return out

    @property
    def fitted_population(self) -> Array:
        """offset + X beta (n,)."""
        fixed = self.problem.X @ self.beta
        return fixed if self.problem.offset is None else fixed + self.problem.offset

    @property
    def fitted(self) -> Array:
        """offset + X beta + Z b (n,)."""
        random = zip(self.problem.blocks, self.modes(), strict=True)
        return self.fitted_population + sum(b.dense @ m.ravel() for b, m in random)

    @property
    def directions(self) -> list[Array]:
        """dV/dSigma along `basis`, all factors one after the other: a list of (n, n)."""
        return [b.outer(e) for b in self.problem.blocks for e in basis(b.size)]


def solve(problem: Problem, sigmas: Sequence[Array]) -> Solution:
    """The solution at given relative covariance matrices (one K x K array a factor)."""
    return Solution(problem, tuple(np.atleast_2d(np.asarray(s, dtype=float)) for s in sigmas))


def gradient(solution: Solution) -> list[Array]:
    """dd/dSigma, one symmetric (K, K) array D a factor, such that dd = <D, dSigma>."""
    py = solution.P @ solution.problem.response
    trace_part = solution.P if solution.problem.reml else solution.Vinv
    middle = trace_part - np.outer(py, py) / solution.sigma2
    return [b.level_sum(middle) for b in solution.problem.blocks]


def directional_gradient(solution: Solution) -> Array:
    """The derivative along every element of `basis`."""
    pairs = zip(solution.problem.blocks, gradient(solution), strict=True)
    return np.array([float(np.sum(d * e)) for b, d in pairs for e in basis(b.size)])


def hessian(solution: Solution) -> Array:
    """Exact second derivatives of the profiled criterion along `basis`.

    d_ab = -tr(P V_a P V_b) + (2/s2) y'P V_a P V_b P y - q_a q_b / nu, q_a = y'P V_a P y / s2
    (under ML the trace takes V^-1 for P).
    """
    curvature, q = _information(solution)
    return curvature - np.outer(q, q) / solution.problem.nu


def _information(solution: Solution) -> tuple[Array, Array]:
    """Curvature in Sigma with s2 held fixed, and q (see `hessian`)."""
    middle = solution.P if solution.problem.reml else solution.Vinv
    py = solution.P @ solution.problem.response
    va = solution.directions
    products = [middle @ v for v in va]
    images = np.array([v @ py for v in va])
    trace = np.array([[np.sum(a * b.T) for b in products] for a in products])
    quadratic = images @ solution.P @ images.T / solution.sigma2
    return -trace + 2 * quadratic, images @ py / solution.sigma2


def satterthwaite_df(solution: Solution, contrast: Array) -> float:
    """Degrees of freedom of contrast'beta; the optimum must be interior (not singular).

    Parameters (entries of Sigma, log s2), A = 2 H^-1, df = 2 (l'Cov l)^2 / (g'A g).
    """
    curvature, q = _information(solution)
    return _satterthwaite(curvature, q, _variance_slopes(solution, contrast), solution, contrast)


def satterthwaite_df_on_face(
    solution: Solution, factors: Sequence[Array], contrast: Array
) -> float:
    """The same at a singular optimum: differentiate in M (K, rank), Sigma = M M', and log s2.

    Rotations of M leave Sigma alone; the pseudo-inverse drops them. A factor of rank 0 is an
    array of shape (K, 0).
    """
    jacobian, bend = _face(solution, factors)
    curvature, q = _information(solution)
    slopes = _variance_slopes(solution, contrast) @ jacobian
    curvature = jacobian.T @ curvature @ jacobian + bend
    return _satterthwaite(curvature, q @ jacobian, slopes, solution, contrast)


def _satterthwaite(
    curvature: Array, q: Array, slopes: Array, solution: Solution, contrast: Array
) -> float:
    nu = np.array([[float(solution.problem.nu)]])
    h = np.block([[curvature, q[:, None]], [q[None, :], nu]])
    variance = float(contrast @ solution.vcov @ contrast)
    g = np.array([*slopes, variance])
    covariance = 2 * np.linalg.pinv(h, rcond=1e-9, hermitian=True)
    return float(2 * variance**2 / (g @ covariance @ g))


def _variance_slopes(solution: Solution, contrast: Array) -> Array:
    """d(contrast' cov(beta) contrast)/dSigma along `basis`, s2 held fixed."""
    weights = solution.Vinv @ solution.problem.X @ solution.C @ contrast
    return np.array([solution.sigma2 * float(weights @ v @ weights) for v in solution.directions])


def _face(solution: Solution, factors: Sequence[Array]) -> tuple[Array, Array]:
    """dSigma/dM along `basis`, and the part of the Hessian in M that is linear in dd/dSigma."""
    jacobians, bends = [], []
    for d, m in zip(gradient(solution), factors, strict=True):
        k, rank = m.shape
        units = np.eye(k * rank).reshape(k * rank, k, rank)
        columns = [coordinates([u @ m.T + m @ u.T]) for u in units]
        jacobians.append(np.array(columns).reshape(len(units), k * (k + 1) // 2).T)
        bends.append(2 * np.kron(d, np.eye(rank)))
    return block_diag(*jacobians), block_diag(*bends)


@dataclass(frozen=True)
class KenwardRoger:
    """Adjusted covariance of beta and what the degrees of freedom need.

    `phi` = cov(beta); `W` covariance of the variance parameters (s2 Sigma entries, then s2);
    `first` = P_i = -X'V^-1 V_i V^-1X, all in absolute units.
    """

    vcov: Array
    phi: Array
    W: Array
    first: tuple[Array, ...]


def kenward_roger(solution: Solution) -> KenwardRoger:
    """Kenward and Roger's small-sample covariance, V linear in its parameters (REML fits)."""
    x = solution.problem.X
    s2, phi = solution.sigma2, solution.vcov
    inverse = solution.Vinv / s2
    va = [*solution.directions, solution.problem.R]
    left = [x.T @ inverse @ v for v in va]
    first = [-part @ inverse @ x for part in left]
    second = [[a @ inverse @ b.T for b in left] for a in left]
    products = [inverse @ v for v in va]
    at = range(len(va))
    traces = [[np.sum(a * b.T) for b in products] for a in products]
    bent = [[second[i][j] - first[i] @ phi @ first[j] for j in at] for i in at]
    information = [
        [traces[i][j] - np.trace(phi @ (second[i][j] + bent[i][j])) for j in at] for i in at
    ]
    w = 2 * np.linalg.inv(information)
    inner = np.einsum("ij,ijpq->pq", w, bent)
    return KenwardRoger(phi + 2 * phi @ inner @ phi, phi, w, tuple(first))


@dataclass(frozen=True)
class FTest:
    """`scale` * Wald F is F-distributed on (`num_df`, `den_df`)."""

    num_df: int
    den_df: float
    scale: float
    statistic: float


def kenward_roger_test(kr: KenwardRoger, beta: Array, contrasts: Array) -> FTest:
    """F test of contrasts @ beta = 0 (q, p) with the denominator df of the 1997 paper."""
    rows = np.atleast_2d(contrasts)
    q = len(rows)
    a1, a2 = _kr_moments(kr, rows)
    b = (a1 + 6 * a2) / (2 * q)
    g = ((q + 1) * a1 - (q + 4) * a2) / ((q + 2) * a2)
    c1, c2, c3 = (np.array([g, q - g, q + 2 - g])) / (3 * q + 2 * (1 - g))
    mean = 1 / (1 - a2 / q)
    variance = (2 / q) * (1 + c1 * b) / ((1 - c2 * b) ** 2 * (1 - c3 * b))
    rho = variance / (2 * mean**2)
    df = 4 + (q + 2) / (q * rho - 1)
    scale = df / (mean * (df - 2))
    value = rows @ beta
    wald = value @ np.linalg.solve(rows @ kr.vcov @ rows.T, value) / q
    return FTest(q, float(df), float(scale), float(scale * wald))


def _kr_moments(kr: KenwardRoger, rows: Array) -> tuple[float, float]:
    """A1 and A2 of the paper."""
    theta = rows.T @ np.linalg.solve(rows @ kr.phi @ rows.T, rows)
    parts = [theta @ kr.phi @ p @ kr.phi for p in kr.first]
    traces = np.array([np.trace(p) for p in parts])
    a1 = traces @ kr.W @ traces
    crossed = np.array([[np.trace(a @ b) for b in parts] for a in parts])
    return float(a1), float(np.sum(kr.W * crossed))
