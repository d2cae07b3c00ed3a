"""The likelihood with one covariance parameter held: what a profile minimises.

With V = I + sum_t Z_t Sigma_t Z_t' relative to the residual variance s2, and beta profiled out,

    d(Sigma, s2) = log|V| + n log(2 pi s2) + r'V^-1r / s2,

-2 log-likelihood. A standard deviation or a correlation that is held is built into the factor M of
its term (Sigma = M M', caller's coordinates), so that no constraint is left: for an sd tau the row
of M is (tau / sqrt(s2), 0, ..., 0); for a correlation rho the two rows are (a^2, 0, ...) and
(rho b^2, sqrt(1 - rho^2) b^2, 0, ...). The rest of M is free. Both ends, tau = 0 and rho = +-1, are
ordinary points. Derivatives are exact, by the chain rule from the entries of Sigma.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from scipy.linalg import block_diag

from henderson.covariance.base import SMALL, Structure
from henderson.engine.criterion import Blocks, factorise
from henderson.engine.crossproducts import CrossProducts
from henderson.engine.derivatives import second_order
from henderson.engine.optimise import LARGE_TAIL
from henderson.engine.parameters import Layout
from henderson.inference.cholesky import lower_factor

# A unit step of log s2 in the trust region's ball.
REACH = 0.5


class TermAt(Protocol):
    """A term's Sigma (K, K) at a point, and how it moves with the term's own parameters and log s2.

    factor : M; first : dSigma (m + 1, K, K), log s2 last; tangent : (m, r) scaled directions.
    """

    @property
    def factor(self) -> np.ndarray: ...
    @property
    def first(self) -> np.ndarray: ...
    @property
    def tangent(self) -> np.ndarray: ...
    def curvature(self, d: np.ndarray) -> np.ndarray:
        """sum_kl d[k, l] d2Sigma[k, l] (m + 1, m + 1)."""
        ...


class TermMap(Protocol):
    """From a term's parameters and log s2 to its Sigma."""

    def at(self, part: np.ndarray, log_s2: float) -> TermAt: ...


@dataclass(frozen=True)
class FreeAt:
    """A free term at its own parameters; see `TermAt`."""

    factor: np.ndarray
    first: np.ndarray
    tangent: np.ndarray
    structure: Structure
    part: np.ndarray

    def curvature(self, d: np.ndarray) -> np.ndarray:
        return _pad(self.structure.curvature(self.part, d))


@dataclass(frozen=True)
class Free:
    """A term of which nothing is held."""

    structure: Structure

    def at(self, part: np.ndarray, log_s2: float) -> TermAt:
        s = self.structure
        first = np.concatenate([s.jacobian(part), np.zeros((1, s.size, s.size))])
        return FreeAt(s.factor(part), first, s.tangent(part), s, part)


@dataclass(frozen=True)
class HeldAt:
    """M = M(psi, log s2) with derivatives `one` (m + 1, K, K) and `two` (m + 1, K, K).

    No two parameters bend the same entry, so d2M is kept as its diagonal `two`. See `TermAt`.
    """

    factor: np.ndarray
    first: np.ndarray
    tangent: np.ndarray
    one: np.ndarray
    two: np.ndarray

    def curvature(self, d: np.ndarray) -> np.ndarray:
        moved = np.einsum("ij,bjk->bik", d, self.one)
        cross = 2.0 * np.einsum("aik,bik->ab", self.one, moved)
        return cross + 2.0 * np.diag(np.einsum("ik,aik->a", d @ self.factor, self.two))


@dataclass(frozen=True)
class HeldSd:
    """The standard deviation of effect `index` is `tau` (in units of the standardised response).

    back : (K, K), from the caller's M to the standard one. diagonal : a term without covariances.
    """

    index: int
    tau: float
    back: np.ndarray
    diagonal: bool

    @property
    def rows(self) -> list[int]:
        return [r for r in range(len(self.back)) if r != self.index]

    def at(self, part: np.ndarray, log_s2: float) -> TermAt:
        k, m = len(self.back), len(part)
        factor, one, two = np.zeros((k, k)), np.zeros((m + 1, k, k)), np.zeros((m + 1, k, k))
        row = self.tau * np.exp(-0.5 * log_s2)
        places = self._places()
        for a, (r, c) in enumerate(places):
            factor[r, c] = part[a]
            one[a, r, c] = 1.0
        own = self.index if self.diagonal else 0
        factor[self.index, own] = row
        one[m, self.index, own] = -0.5 * row
        two[m, self.index, own] = 0.25 * row
        return _held(self.back, factor, one, two, list(range(1, k)), places, self.diagonal)

    def _places(self) -> list[tuple[int, int]]:
        if self.diagonal:
            return [(r, r) for r in self.rows]
        return [(r, c) for r in self.rows for c in range(len(self.back))]

    def start(self, sigma: np.ndarray) -> np.ndarray:
        """psi from a relative Sigma in the caller's coordinates."""
        if self.diagonal:
            return np.sqrt(np.diag(sigma))[self.rows]
        order = [self.index, *self.rows]
        return lower_factor(sigma[np.ix_(order, order)])[1:].ravel()


@dataclass(frozen=True)
class HeldCorrelation:
    """The correlation of effects `i` and `j` of an unstructured term is `rho`."""

    i: int
    j: int
    rho: float
    back: np.ndarray

    @property
    def rows(self) -> list[int]:
        return [r for r in range(len(self.back)) if r not in (self.i, self.j)]

    def at(self, part: np.ndarray, log_s2: float) -> TermAt:
        k, m = len(self.back), len(part)
        factor, one, two = np.zeros((k, k)), np.zeros((m + 1, k, k)), np.zeros((m + 1, k, k))
        side = np.sqrt(max(0.0, 1.0 - self.rho**2))
        units = np.zeros((2, k, k))
        units[0, self.i, 0] = 1.0
        units[1, self.j, 0], units[1, self.j, 1] = self.rho, side
        for a in range(2):
            factor += part[a] ** 2 * units[a]
            one[a], two[a] = 2.0 * part[a] * units[a], 2.0 * units[a]
        places = [(r, c) for r in self.rows for c in range(k)]
        for a, (r, c) in enumerate(places, 2):
            factor[r, c] = part[a]
            one[a, r, c] = 1.0
        return _held(self.back, factor, one, two, list(range(2, k)), places, False)

    def start(self, sigma: np.ndarray) -> np.ndarray:
        """psi from a relative Sigma in the caller's coordinates, off zero, where all is flat."""
        order = [self.i, self.j, *self.rows]
        lower = lower_factor(sigma[np.ix_(order, order)])
        lengths = np.sqrt(np.maximum(np.diag(sigma)[[self.i, self.j]], 0.0))
        floor = 0.1 / np.sqrt(np.sum(self.back[:, [self.i, self.j]] ** 2, axis=0))
        return np.concatenate([np.sqrt(np.maximum(lengths, floor)), lower[2:].ravel()])


def _held(
    back: np.ndarray,
    factor: np.ndarray,
    one: np.ndarray,
    two: np.ndarray,
    turning: Sequence[int],
    places: Sequence[tuple[int, int]],
    diagonal: bool,
) -> HeldAt:
    """Everything in standard coordinates; columns `turning` of M may be rotated freely."""
    standard, first, second = back @ factor, back @ one, back @ two
    half = first @ standard.T
    m = len(one) - 1
    vertical = np.zeros((m, 0)) if diagonal else _vertical(factor, turning, places, m)
    tangent = _tangent(standard, first[:m], vertical)
    return HeldAt(standard, half + half.swapaxes(1, 2), tangent, first, second)


def _vertical(
    factor: np.ndarray, turning: Sequence[int], places: Sequence[tuple[int, int]], m: int
) -> np.ndarray:
    """Directions of psi that leave Sigma as it is: M X, X skew on the columns `turning`."""
    moves = []
    for a, c in enumerate(turning):
        for other in turning[:a]:
            move = np.zeros_like(factor)
            move[:, c], move[:, other] = factor[:, other], -factor[:, c]
            moves.append(np.r_[np.zeros(m - len(places)), [move[r, s] for r, s in places]])
    return np.array(moves).T.reshape(m, len(moves))


def _tangent(factor: np.ndarray, one: np.ndarray, vertical: np.ndarray) -> np.ndarray:
    """Directions orthogonal to `vertical` in the metric (Sigma + SMALL I)^-1, of length one."""
    if not len(one):
        return np.zeros((0, 0))
    inner = np.linalg.inv(factor @ factor.T + SMALL * np.eye(len(factor)))
    metric = np.einsum("aik,ij,bjk->ab", one, inner, one)
    metric += np.diag(np.where(np.diag(metric) < 0.1, 0.1, 0.0))
    lower = np.linalg.cholesky(metric)
    left, singular, _ = np.linalg.svd(lower.T @ vertical, full_matrices=True)
    rank = int((singular > 1e-8 * max(singular.max(initial=0.0), 1e-12)).sum())
    return np.linalg.solve(lower.T, left[:, rank:])


@dataclass(frozen=True)
class Held:
    """The problem of minimising d with one covariance parameter held.

    maps : one per term, in the layout's order. sizes : the number of parameters of each.
    log_s2 : held, or None where it is free and stands last in the vector of parameters.
    """

    cross: CrossProducts
    layout: Layout
    maps: tuple[TermMap, ...]
    sizes: tuple[int, ...]
    log_s2: float | None

    def evaluate(self, phi: np.ndarray) -> HeldPoint:
        return HeldPoint(self, phi)


@dataclass(frozen=True)
class HeldPoint:
    """d and its derivatives at one vector of parameters, for `trust_region.minimise`."""

    problem: Held
    phi: np.ndarray

    @property
    def log_s2(self) -> float:
        held = self.problem.log_s2
        return float(self.phi[-1]) if held is None else held

    @property
    def s2(self) -> float:
        return float(np.exp(self.log_s2))

    @cached_property
    def terms(self) -> list[TermAt]:
        parts = np.split(self.phi, np.cumsum(self.problem.sizes))[: len(self.problem.maps)]
        pairs = zip(self.problem.maps, parts, strict=True)
        return [m.at(part, self.log_s2) for m, part in pairs]

    @cached_property
    def factorisation(self) -> Blocks:
        layout = self.problem.layout
        factors = [np.zeros((size, size)) for size in layout.sizes]
        for (factor, term), at in zip(layout.terms, self.terms, strict=True):
            factors[factor][term.columns, term.columns] = at.factor
        return factorise(self.problem.cross, factors)

    @cached_property
    def value(self) -> float:
        f, n = self.factorisation, self.problem.cross.n
        spread = f.rss / self.s2
        # value(False) is d at the best s2; the rest is what this s2 costs.
        return f.value(False) + n * (self.log_s2 - np.log(f.rss / n) - 1.0) + spread

    @cached_property
    def d(self) -> tuple[np.ndarray, ...]:
        """dd/dSigma_t (K, K) at this s2."""
        f = self.factorisation
        return tuple(g.sum(0) - h.T @ h / self.s2 for g, h in zip(f.g, f.h, strict=True))

    def _blocks(self) -> list[np.ndarray]:
        layout = self.problem.layout
        return [self.d[factor][t.columns, t.columns] for factor, t in layout.terms]

    @cached_property
    def gradient(self) -> np.ndarray:
        every = [
            np.einsum("aij,ij->a", at.first, d)
            for at, d in zip(self.terms, self._blocks(), strict=True)
        ]
        parts = [e[:-1] for e in every]
        if self.problem.log_s2 is None:
            slope = self.problem.cross.n - self.factorisation.rss / self.s2
            parts.append(np.array([slope + sum(float(e[-1]) for e in every)]))
        return np.concatenate([*parts, np.zeros(0)])

    @cached_property
    def hessian(self) -> np.ndarray:
        outer = self._jacobian()
        inner = outer.T @ self._second() @ outer
        bends = [at.curvature(d) for at, d in zip(self.terms, self._blocks(), strict=True)]
        whole = inner + _stack_curvatures(bends)
        return whole if self.problem.log_s2 is None else whole[:-1, :-1]

    def _jacobian(self) -> np.ndarray:
        """d(entries of Sigma, log s2)/d(parameters, log s2)."""
        columns, last = [], []
        for at in self.terms:
            rows, cols = np.tril_indices(len(at.factor))
            entries = at.first[:, rows, cols]
            columns.append(entries[:-1].T)
            last.append(entries[-1])
        own = block_diag(*columns) if columns else np.zeros((0, 0))
        edge = np.concatenate([*last, np.zeros(0)])[:, None]
        corner = np.concatenate([np.zeros(own.shape[1]), [1.0]])[None]
        return np.vstack([np.hstack([own, edge]), corner])

    def _second(self) -> np.ndarray:
        """d2d along the layout's directions and log s2, V linear in Sigma."""
        f, cross = self.factorisation, self.problem.cross
        ratio = f.rss / self.s2
        if not self.problem.layout.directions:
            return np.array([[ratio]])
        second = second_order(f, self.problem.layout.directions)
        inner = second.quadratic / self.s2
        if cross.m <= LARGE_TAIL:  # else the average information, as in a fit
            inner = 2.0 * inner - second.traces(False)
        edge = second.q[:, None] / self.s2
        return np.block([[inner, edge], [edge.T, np.array([[ratio]])]])

    @cached_property
    def tangent(self) -> np.ndarray:
        blocks = [at.tangent for at in self.terms if at.tangent.size]
        if self.problem.log_s2 is None:
            blocks.append(np.array([[REACH]]))
        return block_diag(*blocks) if blocks else np.zeros((0, 0))


def _pad(block: np.ndarray) -> np.ndarray:
    return np.pad(block, ((0, 1), (0, 1)))


def _stack_curvatures(bends: Sequence[np.ndarray]) -> np.ndarray:
    """Per-term (m + 1, m + 1) blocks, whose last row and column is the one log s2 of them all."""
    total = sum(len(b) - 1 for b in bends)
    out, start = np.zeros((total + 1, total + 1)), 0
    for bend in bends:
        stop = start + len(bend) - 1
        out[start:stop, start:stop] = bend[:-1, :-1]
        out[start:stop, -1] = bend[:-1, -1]
        out[-1, start:stop] = bend[-1, :-1]
        out[-1, -1] += bend[-1, -1]
        start = stop
    return out
