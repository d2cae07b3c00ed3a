"""The ML and REML criterion at one Sigma, and the blocks that everything else is made from.

Relative to sigma^2: V = I + sum_t Z_t Sigma_t Z_t'; V1 = I + Z_1 Sigma_1 Z_1', of the head alone;
P = V^-1 - V^-1 X C X' V^-1, C = (X'V^-1X)^-1; s2 = y'Py / nu with nu = n (ML) or n - p (REML).

    d = log|V| + [REML] log|X'V^-1X| + nu (1 + log(2 pi s2))

which is lme4's deviance or REML criterion (Bates, Maechler, Bolker & Walker 2015, JSS 67(1), eq. 34
and 41).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from scipy import sparse
from scipy.linalg import solve_triangular

from henderson.engine import kernels
from henderson.engine.blocks import BlockCholesky, BlockMatrix
from henderson.engine.crossproducts import CrossProducts
from henderson.errors import FitError


class Blocks(Protocol):
    """What inference needs of a factorisation, whatever its algebra; see `Factorisation`."""

    @property
    def sigmas(self) -> tuple[np.ndarray, ...]: ...
    @property
    def sizes(self) -> tuple[tuple[int, int], ...]: ...
    @property
    def n_fixed(self) -> int: ...
    @property
    def c(self) -> np.ndarray: ...
    @property
    def beta(self) -> np.ndarray: ...
    @property
    def rss(self) -> float: ...
    @property
    def h(self) -> tuple[np.ndarray, ...]: ...
    @property
    def e(self) -> tuple[np.ndarray, ...]: ...
    @property
    def g(self) -> tuple[np.ndarray, ...]: ...
    def nu(self, reml: bool) -> int: ...
    def s2(self, reml: bool) -> float: ...
    def value(self, reml: bool) -> float: ...


class Sizes(Protocol):
    """What the criterion needs to know of the data."""

    @property
    def n(self) -> int: ...
    @property
    def p(self) -> int: ...
    @property
    def log_weights(self) -> float: ...
    @property
    def sizes(self) -> tuple[tuple[int, int], ...]: ...


class Profiled:
    """The criterion, sigma^2 profiled out, from y'Py and the two determinants."""

    cross: Sizes
    rss: float
    log_v: float
    log_xvx: float

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """(J, K) per factor."""
        return self.cross.sizes

    @property
    def n_fixed(self) -> int:
        """p."""
        return self.cross.p

    def nu(self, reml: bool) -> int:
        return self.cross.n - self.cross.p if reml else self.cross.n

    def s2(self, reml: bool) -> float:
        """Residual variance at this Sigma, in units of the standardised response."""
        return self.rss / self.nu(reml)

    def value(self, reml: bool) -> float:
        """The criterion for the standardised response and X (the model adds the constants back)."""
        nu = self.nu(reml)
        det = self.log_v + (self.log_xvx if reml else 0.0)
        return det + nu * (1.0 + np.log(2.0 * np.pi * self.rss / nu)) - self.cross.log_weights


@dataclass(frozen=True)
class Factorisation(Profiled):
    """The factored mixed-model equations at one Sigma, all in standard coordinates.

    sigmas : Sigma_t (K, K), in the engine's order of factors.
    gd : Z_1' V1^-1 Z_1 per level of the head, (J, K, K).
    weighted : C H^-1 per level, H = I + C'Sigma C, if there is a tail.
    f : Z_1' V1^-1 [X y], (J, K, p + 1).
    n_xy, n_zxy, n_zz : U'V1^-1U for U = [Z_tail, X, y].
    s : the Cholesky factor of I + Lambda' n_zz Lambda, in blocks as n_zz is, or None where Sigma is
        zero for every factor of the tail; factors : the tail's M_t (K, K), of which Lambda is made.
    c : (X'V^-1X)^-1, (p, p).
    beta : (p,); gamma : random effects of the tail (m,).
    rss : y'Py; log_v, log_xvx : log|V|, log|X'V^-1X|.
    """

    cross: CrossProducts
    sigmas: tuple[np.ndarray, ...]
    weighted: np.ndarray | None
    gd: np.ndarray
    f: np.ndarray
    n_xy: np.ndarray
    n_zxy: np.ndarray
    n_zz: BlockMatrix
    s: BlockCholesky | None
    factors: tuple[np.ndarray, ...]
    c: np.ndarray
    beta: np.ndarray
    gamma: np.ndarray
    rss: float
    log_v: float
    log_xvx: float

    @cached_property
    def f_tail(self) -> kernels.Linked | None:
        """Z_1' V1^-1 Z_tail, (J K, m), or None without a tail."""
        if self.cross.linked is None or self.weighted is None:
            return None
        return kernels.scale_levels(self.weighted, self.cross.linked)

    @property
    def tail_is_zero(self) -> bool:
        """Sigma is zero for every factor of the tail: T = 0 and W = I."""
        return self.s is None

    @cached_property
    def s_inverse(self) -> BlockMatrix:
        """(I + Lambda' n_zz Lambda)^-1, (m, m)."""
        return (self.n_zz * 0.0).plus_identity() if self.s is None else self.s.inverse()

    @cached_property
    def t(self) -> BlockMatrix:
        """T = Lambda S^-1 Lambda', (m, m)."""
        if self.s is None:
            return self.n_zz * 0.0
        return self.s_inverse.sandwich([m.T for m in self.factors])

    @cached_property
    def h(self) -> tuple[np.ndarray, ...]:
        """Z_t'Py per factor, (J, K): the conditional modes are b_t = h_t Sigma_t."""
        p = self.cross.p
        residual = self.n_zxy[:, p] - self.n_zxy[:, :p] @ self.beta
        tail = residual - self.n_zz.apply(self.gamma)
        if not self.cross.sizes:
            return ()
        head = self.f[:, :, p] - self.f[:, :, :p] @ self.beta
        if self.f_tail is not None:
            head = head - (self.f_tail @ self.gamma).reshape(head.shape)
        parts = [
            tail[s].reshape(size)
            for s, size in zip(self.cross.tail, self.cross.sizes[1:], strict=True)
        ]
        return (head, *parts)

    @cached_property
    def e(self) -> tuple[np.ndarray, ...]:
        """Z_t'V^-1X per factor, (J, K, p)."""
        p = self.cross.p
        if not self.cross.sizes:
            return ()
        n_zx = self.n_zxy[:, :p]
        tx = self.t.apply(n_zx)
        tail = n_zx - self.n_zz.apply(tx)
        head = self.f[:, :, :p]
        if self.f_tail is not None:
            head = head - (self.f_tail @ tx).reshape(head.shape)
        parts = [
            tail[s].reshape(*size, p)
            for s, size in zip(self.cross.tail, self.cross.sizes[1:], strict=True)
        ]
        return (head, *parts)

    @cached_property
    def g_tail(self) -> BlockMatrix:
        """Z_tail' V^-1 Z_tail = N - N T N, (m, m)."""
        if self.tail_is_zero:
            return self.n_zz
        if self._inverse_factors is None:
            return self.n_zz - self.n_zz.product(self.t).product(self.n_zz)
        scaled = (self.s_inverse * -1.0).plus_identity()
        return scaled.sandwich(self._inverse_factors)

    @cached_property
    def w(self) -> BlockMatrix:
        """I - T N, (m, m): Z_1'V^-1Z_tail = F W."""
        if self._inverse_factors is None:
            return (self.t.product(self.n_zz) * -1.0).plus_identity()
        left = self.s_inverse.scale_rows([m.T for m in self.factors])
        return left.scale_columns(self._inverse_factors)

    @cached_property
    def _inverse_factors(self) -> list[np.ndarray] | None:
        """M_t^-1 of the tail, if dividing by them loses no digits to speak of.

        With S = I + Lambda'N Lambda, Lambda'G Lambda = I - S^-1 and W Lambda = Lambda S^-1: where
        Lambda is not small, everything follows from S^-1 without a product of (m, m) matrices.
        """
        for m, s, size in zip(self.factors, self.cross.tail, self.cross.sizes[1:], strict=True):
            information = self.n_zz.mean_diagonal(s) if size[0] else 0.0
            values = np.linalg.svd(m, compute_uv=False)
            if values[-1] ** 2 * information < 1e-3 or values[-1] < 1e-5 * values[0]:
                return None
        return [np.linalg.inv(m) for m in self.factors]

    @cached_property
    def s_head(self) -> np.ndarray:
        """F T F' per level of the head, (J, K, K): what the tail takes from `gd`."""
        if self.f_tail is None or self.tail_is_zero:
            return np.zeros_like(self.gd)
        return _level_quadratic(self.f_tail, self.t, self.gd.shape[1])

    @cached_property
    def g(self) -> tuple[np.ndarray, ...]:
        """The diagonal blocks of Z_t'V^-1Z_t, one per level: (J, K, K) per factor."""
        if not self.cross.sizes:
            return ()
        parts = [
            self.g_tail.diagonal(t, s.start, *size)
            for t, (s, size) in enumerate(zip(self.cross.tail, self.cross.sizes[1:], strict=True))
        ]
        return (self.gd - self.s_head, *parts)


def factorise(cross: CrossProducts, factors: Sequence[np.ndarray]) -> Factorisation:
    """Factor the mixed-model equations at Sigma_t = M_t M_t'.

    Parameters
    ----------
    factors : M_t (K, K) in the engine's order.

    Raises
    ------
    FitError : X'V^-1X is not positive definite.
    """
    if len(cross.sizes) == 1:
        found = kernels.factor_levels(cross.root, cross.dense, cross.within_xy, factors[0])
        if found is not None:
            return _of_one_factor(cross, factors[0], found)
    p = cross.p
    sigmas = tuple(m @ m.T for m in factors)
    weighted, n_xy, n_zxy, n_zz, log_head = _eliminate_head(cross, factors)
    s, t_xy, log_tail = _tail(n_zz, factors[1:], n_zxy)
    schur = n_xy - n_zxy.T @ t_xy
    try:
        lower = np.linalg.cholesky(schur[:p, :p])
    except np.linalg.LinAlgError as error:
        raise FitError("The fixed effects are not estimable: X'V^-1X is singular.") from error
    half = solve_triangular(lower, np.eye(p), lower=True) if p else np.zeros((0, 0))
    scores = half @ schur[:p, p]
    beta = half.T @ scores
    rss = _residual_sum(schur, beta, p)
    return Factorisation(
        cross=cross,
        sigmas=sigmas,
        weighted=weighted,
        gd=weighted @ cross.root.swapaxes(1, 2),
        f=weighted @ cross.dense,
        n_xy=n_xy,
        n_zxy=n_zxy,
        n_zz=n_zz,
        s=s,
        factors=tuple(factors[1:]),
        c=half.T @ half,
        beta=beta,
        gamma=t_xy[:, p] - t_xy[:, :p] @ beta,
        rss=rss,
        log_v=log_head + log_tail,
        log_xvx=2.0 * float(np.log(np.diag(lower)).sum()),
    )


def _of_one_factor(
    cross: CrossProducts, factor: np.ndarray, found: kernels.LevelFactors
) -> Factorisation:
    kernels.check(found.status)
    return Factorisation(
        cross=cross,
        sigmas=(factor @ factor.T,),
        weighted=None,
        gd=found.gd,
        f=found.f,
        n_xy=found.n_xy,
        n_zxy=cross.within_zxy,
        n_zz=cross.squares,
        s=None,
        factors=(),
        c=found.r_inverse @ found.r_inverse.T,
        beta=found.beta,
        gamma=np.zeros(0),
        rss=found.rss,
        log_v=found.log_v,
        log_xvx=found.log_xvx,
    )


def _residual_sum(schur: np.ndarray, beta: np.ndarray, p: int) -> float:
    """y'Py as the quadratic form of (-beta, 1): no cancellation in the cross term's square."""
    ends = np.append(-beta, 1.0)
    rss = float(ends @ schur @ ends)
    if not rss > 0.0:
        raise FitError(
            "The model explains the response exactly: the residual variance is zero, "
            "so there is nothing to estimate. Check for a duplicated or constant response."
        )
    return rss


def _eliminate_head(
    cross: CrossProducts, factors: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, BlockMatrix, float]:
    """C H^-1, U'V1^-1U in three parts, log|V1|."""
    within = cross.within_xy, cross.within_zxy, cross.squares
    if not cross.sizes:
        return cross.root, *within, 0.0
    size = cross.sizes[0][1]
    half = cross.root.swapaxes(1, 2) @ factors[0]
    inverse, log_head = kernels.inverse_logdet(np.eye(size) + half @ half.swapaxes(1, 2))
    weighted = cross.root @ inverse
    flat = cross.dense.reshape(-1, cross.p + 1)
    solved = (inverse @ cross.dense).reshape(flat.shape)
    n_xy = cross.within_xy + flat.T @ solved
    if cross.linked is None:
        return weighted, n_xy, *within[1:], log_head
    n_zxy = cross.within_zxy + cross.linked.T @ solved
    n_zz = cross.squares - cross.squares.pattern.gram(cross.linked, np.eye(size) - inverse)
    return weighted, n_xy, n_zxy, n_zz, log_head


def _tail(
    n_zz: BlockMatrix, factors: Sequence[np.ndarray], columns: np.ndarray
) -> tuple[BlockCholesky | None, np.ndarray, float]:
    """The factor of S, T times columns (m, r), and log|S|; None and zeros without any Sigma."""
    if not any(m.any() for m in factors):
        return None, np.zeros_like(columns), 0.0
    s = n_zz.sandwich(factors).plus_identity().cholesky()
    pattern = n_zz.pattern
    solved = s.solve(pattern.scale(columns, [m.T for m in factors]))
    return s, pattern.scale(solved, factors), s.logdet


def _level_quadratic(f: kernels.Linked, t: BlockMatrix, size: int) -> np.ndarray:
    """f_j t f_j' (J, K, K) for the K = size rows f_j of each level."""
    if t.pattern.is_dense:
        return kernels.level_quadratic(f, t.blocks[0][0], size)
    f = sparse.csr_array(f)
    ft = sparse.csr_array(f @ t.csr())
    out = np.empty((f.shape[0] // size, size, size))
    for i in range(size):
        for j in range(size):
            out[:, i, j] = ft[i::size].multiply(f[j::size]).sum(axis=1)
    return out
