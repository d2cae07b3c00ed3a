"""The criterion and its derivatives of a design whose tail is too large for a dense factor.

Everything that the response and X enter, beta and its covariance, the conditional modes, y'Py, and
the average information, is solved for by conjugate gradients to `Effort.solve`. Two things are
estimated from random probes z with independent signs (Hutchinson 1990, Commun. Stat. Simul. 19(2)),
the same in every evaluation, so that what is estimated moves smoothly with Sigma:

    the sums over levels of Z_j'V^-1Z_j, for the gradient: exactly with D, the blocks of S for
    single levels, in the place of S; and what S^-1 - D^-1 adds, from (S^-1 - D^-1) z;
    log|S|, when it is asked for: see `iterative_logdet`.

With S = I + Lambda'N Lambda (as in `criterion`), Lambda'(Z_tail'V^-1Z_tail)Lambda = I - S^-1, and
Z_1'V^-1Z_1 = Z_1'V1^-1Z_1 - F T F' with F = Z_1'V1^-1Z_tail, T = Lambda S^-1 Lambda'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NoReturn

import numpy as np
from scipy.linalg import solve_triangular

from henderson.engine.criterion import Factorisation, Profiled
from henderson.engine.derivatives import AnyDirection, Direction, second_order
from henderson.engine.iterative_logdet import log_determinant
from henderson.engine.iterative_products import IterativeProducts
from henderson.engine.iterative_solver import Head, TailMatrix, conjugate_gradients, on_levels
from henderson.engine.structured import StructuredFactorisation
from henderson.errors import FitError

# Singular values of M, squared, below which the traces take M as this large: they divide by it.
FLOOR = 1e-6


@dataclass(frozen=True)
class IterativeFactorisation(Profiled):
    """The mixed-model equations at one Sigma, solved; names as in `criterion.Factorisation`.

    system : S. n_zxy : Z_tail'V1^-1[X y] (m, p + 1); f : the head's, (J, K, p + 1).
    t_xy : Lambda S^-1 Lambda'n_zxy, (m, p + 1).
    """

    cross: IterativeProducts
    sigmas: tuple[np.ndarray, ...]
    system: TailMatrix
    f: np.ndarray
    n_zxy: np.ndarray
    t_xy: np.ndarray
    c: np.ndarray
    beta: np.ndarray
    rss: float
    log_xvx: float

    @cached_property
    def _moved(self) -> tuple[np.ndarray, ...]:
        """Z_t'V^-1[X y] per factor, (J, K, p + 1)."""
        cross, s = self.cross, self.system
        tail = self.n_zxy - s.n_times(self.t_xy)
        taken = on_levels(s.head.left, cross.cells.times(self.t_xy)).reshape(self.f.shape)
        parts = [
            tail[where].reshape(*size, -1)
            for where, size in zip(cross.tail, cross.sizes[1:], strict=True)
        ]
        return (self.f - taken, *parts)

    @property
    def e(self) -> tuple[np.ndarray, ...]:
        """Z_t'V^-1X per factor, (J, K, p)."""
        return tuple(v[:, :, : self.cross.p] for v in self._moved)

    @cached_property
    def h(self) -> tuple[np.ndarray, ...]:
        """Z_t'Py per factor, (J, K): the conditional modes are b_t = h_t Sigma_t."""
        ends = np.append(-self.beta, 1.0)
        return tuple(v @ ends for v in self._moved)

    @property
    def g(self) -> NoReturn:
        """Not there: every level's own block needs the inverse of S.

        Raises
        ------
        FitError : always.
        """
        raise FitError(_no_factor(self, "The uncertainty of single levels"))

    @cached_property
    def g_sums(self) -> tuple[np.ndarray, ...]:
        """The sums over levels of Z_j'V^-1Z_j, (K, K) per factor, estimated."""
        return TraceEstimate(self).sums

    @cached_property
    def _log_s(self) -> tuple[float, float]:
        return log_determinant(self.system)

    @cached_property
    def log_v(self) -> float:  # type: ignore[override]
        """log|V|, estimated."""
        return self.system.head.log_v + self._log_s[0]

    @property
    def value_error(self) -> float:
        """Monte-Carlo standard error of the criterion."""
        return self._log_s[1]

    def gradient_blocks(self, reml: bool) -> tuple[np.ndarray, ...]:
        """dd/dSigma_t, symmetric (K, K) per factor, estimated."""
        s2, blocks = self.s2(reml), []
        for g, e, h in zip(self.g_sums, self.e, self.h, strict=True):
            d = g - h.T @ h / s2
            if reml:
                d = d - fixed_share(e, self.c)
            blocks.append((d + d.T) / 2.0)
        return tuple(blocks)


def with_factor(
    f: Factorisation | StructuredFactorisation | IterativeFactorisation, what: str
) -> Factorisation | StructuredFactorisation:
    """f itself, where it is an exact factorisation.

    Raises
    ------
    FitError : it is not, and `what` needs one.
    """
    if isinstance(f, IterativeFactorisation):
        raise FitError(_no_factor(f, what))
    return f


def _no_factor(f: IterativeFactorisation, what: str) -> str:
    return (
        f"{what} needs an exact factor of the equations of the random effects, {f.cross.m} of them "
        "beside the largest grouping factor; this fit solved them by iteration. Fit with "
        "engine='exact' if time and memory allow."
    )


def fixed_share(e: np.ndarray, c: np.ndarray) -> np.ndarray:
    """sum_j e_j C e_j' (K, K)."""
    share: np.ndarray = np.tensordot(e @ c, e, axes=((0, 2), (0, 2)))
    return share


def factorise_iterative(
    cross: IterativeProducts, factors: Sequence[np.ndarray]
) -> IterativeFactorisation:
    """Solve the mixed-model equations at Sigma_t = M_t M_t'.

    Parameters
    ----------
    factors : M_t (K, K) in the engine's order.

    Raises
    ------
    FitError : X'V^-1X is not positive definite, y'Py is zero, or the iteration does not converge.
    """
    p, width = cross.p, cross.p + 1
    head = Head.at(cross.squares[0], factors[0])
    system = TailMatrix(cross, head, tuple(factors[1:]))
    head_xy = cross.with_xy[0].reshape(-1, width)
    weighed = on_levels(head.weight, head_xy)
    n_zxy = cross.tail_xy - cross.across.times(weighed)
    solved = system.solve(system.scale(n_zxy, transposed=True), cross.effort.solve)
    t_xy = system.scale(solved)
    schur = cross.xy - head_xy.T @ weighed - n_zxy.T @ t_xy
    c, beta, log_xvx = _fixed(schur, p)
    ends = np.append(-beta, 1.0)
    rss = float(ends @ schur @ ends)
    if not rss > 0.0:
        raise FitError(
            "The model explains the response exactly: the residual variance is zero, "
            "so there is nothing to estimate. Check for a duplicated or constant response."
        )
    return IterativeFactorisation(
        cross=cross,
        sigmas=tuple(m @ m.T for m in factors),
        system=system,
        f=head.left @ cross.with_xy[0],
        n_zxy=n_zxy,
        t_xy=t_xy,
        c=c,
        beta=beta,
        rss=rss,
        log_xvx=log_xvx,
    )


def _fixed(schur: np.ndarray, p: int) -> tuple[np.ndarray, np.ndarray, float]:
    """(X'V^-1X)^-1, beta and log|X'V^-1X| from [X y]'V^-1[X y]."""
    schur = (schur + schur.T) / 2.0
    try:
        lower = np.linalg.cholesky(schur[:p, :p])
    except np.linalg.LinAlgError as error:
        raise FitError("The fixed effects are not estimable: X'V^-1X is singular.") from error
    half = solve_triangular(lower, np.eye(p), lower=True) if p else np.zeros((0, 0))
    c = half.T @ half
    return c, c @ schur[:p, p], 2.0 * float(np.log(np.diag(lower)).sum())


@dataclass(frozen=True)
class TraceEstimate:
    """The sums over levels of Z_j'V^-1Z_j from one set of probes."""

    f: IterativeFactorisation

    @cached_property
    def system(self) -> TailMatrix:
        """S with the symmetric root of every Sigma, kept from zero."""
        at = self.f.system
        return TailMatrix(at.cross, at.head, tuple(_kept_from_zero(m) for m in at.factors))

    @cached_property
    def sums(self) -> tuple[np.ndarray, ...]:
        """(K, K) per factor, head first."""
        z, q = self.f.cross.probes, self.f.cross.shared_effects
        random = self._beyond(z - q @ (q.T @ z))
        exact = self._beyond(q)
        beyond = [r / z.shape[1] + e for r, e in zip(random, exact, strict=True)]
        pairs = zip(self._known(), beyond, strict=True)
        return tuple(known - (b + b.T) / 2.0 for known, b in pairs)

    def _known(self) -> list[np.ndarray]:
        """The sums with D^-1 in the place of S^-1."""
        s, cross = self.system, self.f.cross
        near = np.zeros_like(s.head.gd)
        for m, inverse, cells in zip(s.factors, s.inverse_blocks, cross.met, strict=True):
            near += cells.first_sums(m @ inverse @ m.T)
        out = [(s.head.gd - s.head.left @ near @ s.head.left.swapaxes(1, 2)).sum(0)]
        for m, inverse, less_one in zip(s.factors, s.inverse_blocks, s.less_one, strict=True):
            back = np.linalg.inv(m)
            out.append(back.T @ (inverse @ less_one).sum(0) @ back)
        return out

    def _beyond(self, z: np.ndarray) -> list[np.ndarray]:
        """What S^-1 - D^-1 takes from them, from its product with z (m, r), summed over r."""
        s, cross = self.system, self.f.cross
        effort = cross.effort
        solved = conjugate_gradients(
            s, z, effort.solve if effort.is_complete(cross.m) else effort.trace
        )
        start = s.precondition(z)
        more = solved.x - start
        near, far = (on_levels(s.head.left, cross.cells.times(s.scale(v))) for v in (z, more))
        out = [_level_products(far, near, cross.sizes[0][1])]
        # D^-1 (D - S) D^-1, the first-order part of S^-1 - D^-1, has no diagonal blocks.
        more = more + s.precondition(solved.first - z)
        for where, m in zip(cross.tail, s.factors, strict=True):
            back = np.linalg.inv(m)
            out.append(back.T @ _level_products(more[where], z[where], len(m)) @ back)
        return out


def _kept_from_zero(m: np.ndarray) -> np.ndarray:
    """The symmetric root of M M': the one that moves smoothly with Sigma, as estimates must."""
    u, s, _ = np.linalg.svd(m)
    root: np.ndarray = (u * np.sqrt(np.maximum(s**2, FLOOR))) @ u.T
    return root


def _level_products(a: np.ndarray, b: np.ndarray, size: int) -> np.ndarray:
    """sum_j a_j b_j' (K, K), summed over the columns of a and b (J K, r)."""
    left, right = (v.reshape(-1, size, v.shape[1]) for v in (a, b))
    found: np.ndarray = np.tensordot(left, right, axes=((0, 2), (0, 2)))
    return found


@dataclass(frozen=True)
class IterativeSecondOrder:
    """Second-order blocks along k directions; see `derivatives.SecondOrder`.

    `traces` are their average-information stand-ins, y'P V_a P V_b P y / s2, whose expectations
    they are (Gilmour, Thompson & Cullis 1995, Biometrics 51); at Sigma = 0 they are exact.
    """

    f: IterativeFactorisation
    directions: Sequence[Direction]

    @cached_property
    def matrices(self) -> list[np.ndarray]:
        return [d.matrix(self.f.cross.sizes[d.factor][1]) for d in self.directions]

    @cached_property
    def _scores(self) -> list[np.ndarray]:
        """E_a h per direction (J, K)."""
        pairs = zip(self.directions, self.matrices, strict=True)
        return [self.f.h[d.factor] @ e for d, e in pairs]

    @cached_property
    def q(self) -> np.ndarray:
        pairs = zip(self.directions, self._scores, strict=True)
        return np.array([np.sum(w * self.f.h[d.factor]) for d, w in pairs])

    @cached_property
    def sigma_entries(self) -> np.ndarray:
        return np.array([self.f.sigmas[d.factor][d.i, d.j] for d in self.directions])

    @cached_property
    def quadratic(self) -> np.ndarray:
        """y'P V_a P V_b P y, (k, k)."""
        f = self.f
        moved = np.array(
            [
                np.einsum("jk,jkp->p", w, f.e[d.factor])
                for d, w in zip(self.directions, self._scores, strict=True)
            ]
        ).reshape(len(self.directions), f.cross.p)
        factors = [d.factor for d in self.directions]
        return self.v_products(factors, self._scores) - moved @ f.c @ moved.T

    def v_products(self, factors: Sequence[int], effects: Sequence[np.ndarray]) -> np.ndarray:
        """w_a'Z_s'V^-1Z_t w_b (k, k) for effects w_a (J, K) of the factors s."""
        cross, s = self.f.cross, self.f.system
        first, _, size = s.head.gd.shape
        head, tail = np.zeros((first * size, len(effects))), np.zeros((cross.m, len(effects)))
        for a, (t, w) in enumerate(zip(factors, effects, strict=True)):
            (head if t == 0 else tail[cross.tail[t - 1]])[:, a] = w.ravel()
        from_head = cross.across.times(on_levels(s.head.left.swapaxes(1, 2), head))
        within = s.n_times(tail)
        mixed = from_head.T @ tail
        plain = head.T @ on_levels(s.head.gd, head) + mixed + mixed.T + tail.T @ within
        right = s.scale(from_head + within, transposed=True)
        taken = right.T @ s.solve(right, cross.effort.solve)
        return plain - (taken + taken.T) / 2.0

    @cached_property
    def x_singles(self) -> np.ndarray:
        """X'V^-1 V_a V^-1 X, (k, p, p)."""
        p, out = self.f.cross.p, []
        for d, e in zip(self.directions, self.matrices, strict=True):
            x = self.f.e[d.factor]
            out.append(np.tensordot(x, e @ x, axes=((0, 1), (0, 1))))
        return np.array(out).reshape(len(self.directions), p, p)

    @cached_property
    def x_pairs(self) -> np.ndarray:
        """X'V^-1 V_a V^-1 V_b V^-1 X, (k, k, p, p)."""
        p, k = self.f.cross.p, len(self.directions)
        moved = [
            e @ self.f.e[d.factor] for d, e in zip(self.directions, self.matrices, strict=True)
        ]
        factors = [d.factor for d in self.directions for _ in range(p)]
        products = self.v_products(factors, [m[:, :, i] for m in moved for i in range(p)])
        return products.reshape(k, p, k, p).transpose(0, 2, 1, 3)

    @cached_property
    def p_traces(self) -> np.ndarray:
        """tr(P V_a), (k,), estimated."""
        f = self.f
        sums = [g - fixed_share(e, f.c) for g, e in zip(f.g_sums, f.e, strict=True)]
        pairs = zip(self.directions, self.matrices, strict=True)
        return np.array([np.sum(sums[d.factor] * e) for d, e in pairs])

    def traces(self, reml: bool) -> np.ndarray:
        """tr(Q V_a Q V_b) (k, k), or what stands in for it."""
        if any(s.any() for s in self.f.sigmas):
            return self.quadratic / self.f.s2(reml)
        return self._plain_traces() - self._fixed_part() if reml else self._plain_traces()

    def _fixed_part(self) -> np.ndarray:
        """2 tr(C X'V_aV_bX) - tr(C X'V_aX C X'V_bX)."""
        c = self.f.c
        moved = c @ self.x_singles
        both = np.einsum("abpq,pq->ab", self.x_pairs, c)
        return 2.0 * both - np.einsum("apq,bqp->ab", moved, moved)

    def _plain_traces(self) -> np.ndarray:
        """tr(V_a V_b): sums over the cells of the two factors."""
        pairs = list(zip(self.directions, self.matrices, strict=True))
        out = np.empty((len(pairs),) * 2)
        for a, (d, e) in enumerate(pairs):
            for b, (other, g) in enumerate(pairs[: a + 1]):
                out[a, b] = out[b, a] = _trace(self.f.cross.gram(d.factor, other.factor), e, g)
        return out


def _trace(cells: np.ndarray, left: np.ndarray, right: np.ndarray) -> float:
    """sum over cells C (K_s x K_t) of tr(E C G C')."""
    return float(np.einsum("abcd,ac,bd->", cells, left, right))


@second_order.register
def _(f: IterativeFactorisation, directions: Sequence[AnyDirection]) -> IterativeSecondOrder:
    return IterativeSecondOrder(f, [d for d in directions if isinstance(d, Direction)])
