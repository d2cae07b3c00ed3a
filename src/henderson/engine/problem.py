"""The engine's input: arrays in standard coordinates.

Everything the optimiser and the criterion see is first brought to a common scale: rows multiplied
by the square roots of the weights, X orthonormal, y the residual of its regression on X divided by
its root mean square, the columns of Z orthonormal within a term (as far as its structure allows).
So a fit does not depend on the origin or the scale of y and of the predictors, and a trust region
of radius one means the same thing for every model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.linalg.lapack import dtrtrs

from henderson.covariance.base import Structure
from henderson.engine import kernels
from henderson.errors import FitError


@dataclass(frozen=True)
class Term:
    """A random-effect term: which columns of its factor's z, and their covariance structure."""

    columns: slice
    structure: Structure


@dataclass(frozen=True)
class Grouping:
    """A grouping factor: `codes` (n,) in 0..n_levels-1, `z` (n, K), and its terms.

    root : R (J, J) where levels are correlated: their effects are R times independent ones, and
        "level" in the engine means one of these. The covariance is R R' (x) Sigma.
    """

    codes: np.ndarray
    n_levels: int
    z: np.ndarray
    terms: tuple[Term, ...]
    root: np.ndarray | None = None

    @property
    def size(self) -> int:
        return self.z.shape[1]

    def on_levels(self, effects: np.ndarray) -> np.ndarray:
        """Effects of the caller's levels (J, ...) from the independent ones (J, ...)."""
        return effects if self.root is None else np.tensordot(self.root, effects, axes=1)

    def from_levels(self, sums: np.ndarray) -> np.ndarray:
        """Sums over the rows of every independent effect (J, ...) from those of levels (J, ...)."""
        return sums if self.root is None else np.tensordot(self.root.T, sums, axes=1)

    def alike(self, codes: np.ndarray) -> np.ndarray:
        """Covariances (..., s, s) between the levels of stacked rows, codes (..., s)."""
        if self.root is None:
            return codes[..., :, None] == codes[..., None, :]
        rows = self.root[codes]
        return rows @ rows.swapaxes(-1, -2)


def engine_order(groupings: Sequence[Grouping]) -> tuple[int, ...]:
    """Factors by their numbers of effects, most first.

    A factor of correlated levels can come first, where Z'Z is to be block-diagonal, only with one
    effect a level, for which a root makes it diagonal.
    """

    def key(t: int) -> tuple[bool, int]:
        g = groupings[t]
        return g.root is not None and g.size > 1, -g.n_levels * g.size

    return tuple(sorted(range(len(groupings)), key=key))


@dataclass(frozen=True)
class Given:
    """A problem as the caller gives it: y (n,), x (n, p), factors, weights (n,) or None."""

    y: np.ndarray
    x: np.ndarray
    groupings: tuple[Grouping, ...]
    weights: np.ndarray | None

    def weighted(self, rows: np.ndarray) -> np.ndarray:
        """Rows (n, ...) times the square roots of the weights."""
        return rows if self.weights is None else (rows.T * np.sqrt(self.weights)).T

    @property
    def log_weights(self) -> float:
        """sum of log w."""
        return 0.0 if self.weights is None else float(np.log(self.weights).sum())


@dataclass(frozen=True)
class Rows:
    """The rows in standard coordinates."""

    x: np.ndarray
    y: np.ndarray
    groupings: tuple[Grouping, ...]


@dataclass(frozen=True)
class Standard:
    """The problem in standard coordinates, and the way back.

    y = X beta and Z b in the caller's coordinates are, with X = Q `r_x` / sqrt(n) and
    z = z~ `r_z`: beta = beta0 + y_scale r_x^-1 beta~ and Sigma = r_z^-1 Sigma~ r_z^-T
    (Sigma is relative to sigma^2, so it does not feel y_scale).

    given : the problem in the caller's coordinates.
    r_x : (p, p) upper triangular; r_z : one (K, K) per factor.
    log_weights : sum of log w, which the criterion subtracts.
    rows : the rows in standard coordinates; made when first asked for if None.
    reduced : the levels' cross-products, where they were made while standardising.
    """

    given: Given
    beta0: np.ndarray
    r_x: np.ndarray
    r_z: tuple[np.ndarray, ...]
    y_scale: float
    log_weights: float
    rows: Rows | None = None
    reduced: kernels.Reduced | None = None

    @cached_property
    def _rows(self) -> Rows:
        return self.rows or _mapped_rows(self)

    @property
    def x(self) -> np.ndarray:
        """(n, p), X'X = n I."""
        return self._rows.x

    @property
    def y(self) -> np.ndarray:
        """(n,), orthogonal to x, mean square one."""
        return self._rows.y

    @property
    def groupings(self) -> tuple[Grouping, ...]:
        """The factors with z in standard coordinates."""
        return self._rows.groupings

    def beta(self, standard: np.ndarray) -> np.ndarray:
        """Fixed effects (p,) in the caller's coordinates."""
        return self.beta0 + self.y_scale * _solve(self.r_x, standard)

    def contrast(self, rows: np.ndarray) -> np.ndarray:
        """Rows l (r, p) such that l'beta is the same number in standard coordinates."""
        return self.y_scale * _solve(self.r_x, rows.T, transposed=True).T

    def sigma(self, factor: int, standard: np.ndarray) -> np.ndarray:
        """Relative covariance (K, K) of a factor's effects in the caller's coordinates."""
        back = np.linalg.inv(self.r_z[factor])
        return back @ standard @ back.T

    def effects(self, factor: int, standard: np.ndarray) -> np.ndarray:
        """Random effects (J, K) of the levels in the caller's coordinates."""
        own = self.given.groupings[factor].on_levels(standard)
        return self.y_scale * own @ np.linalg.inv(self.r_z[factor]).T


def standardise(
    y: np.ndarray, x: np.ndarray, groupings: Sequence[Grouping], weights: np.ndarray | None
) -> Standard:
    """Bring y (n,), x (n, p) of full column rank and the groupings to standard coordinates.

    Raises
    ------
    FitError : no residual degrees of freedom, or X explains y exactly.
    """
    refuse_few_rows(*x.shape)
    given = Given(y, x, tuple(groupings), weights)
    return _reduced(given) or _standardised(given)


def refuse_few_rows(n: int, p: int) -> None:
    """Raise `FitError` where n rows leave no residual degrees of freedom."""
    if n <= p:
        raise FitError(
            f"{n} rows cannot estimate {p} fixed effects and a residual variance: "
            "drop fixed effects or add rows."
        )


def _reduced(given: Given) -> Standard | None:
    """One factor: maps and levels from two passes of the compiled kernels, if they can."""
    if len(given.groupings) != 1 or given.groupings[0].root is not None:
        return None
    (g,) = given.groupings
    terms = [(t.columns.start, t.columns.stop, t.structure.rotation) for t in g.terms]
    found = kernels.reduce(given.y, given.x, g.z, g.codes, g.n_levels, given.weights, terms)
    if found is None:
        return None
    return Standard(
        given=given,
        beta0=found.beta0,
        r_x=found.r_x,
        r_z=(found.r_z,),
        y_scale=found.y_scale,
        log_weights=given.log_weights,
        reduced=found,
    )


def _standardised(given: Given) -> Standard:
    n = len(given.y)
    q, r_x = _orthonormal(given.weighted(given.x))
    beta0, y_s, y_scale = _residual(q, r_x, given.weighted(given.y))
    pairs = [_standard_grouping(given.weighted(g.z), g) for g in given.groupings]
    return Standard(
        given=given,
        beta0=beta0,
        r_x=r_x / np.sqrt(n),
        r_z=tuple(r for _, r in pairs),
        y_scale=y_scale,
        log_weights=given.log_weights,
        rows=Rows(q * np.sqrt(n), y_s, tuple(g for g, _ in pairs)),
    )


def _mapped_rows(problem: Standard) -> Rows:
    """The rows of a problem of which only the maps were made."""
    given = problem.given
    x = given.weighted(given.x)
    y = given.weighted(given.y) - x @ problem.beta0
    groupings = tuple(
        replace(g, z=given.weighted(g.z) @ np.linalg.inv(r))
        for g, r in zip(given.groupings, problem.r_z, strict=True)
    )
    return Rows(_solve(problem.r_x, x.T, transposed=True).T, y / problem.y_scale, groupings)


def _solve(upper: np.ndarray, b: np.ndarray, *, transposed: bool = False) -> np.ndarray:
    """upper^-1 b, or upper^-T b, for an upper triangular matrix of full rank."""
    if not b.size:
        return b
    found, _ = dtrtrs(upper, b, trans=int(transposed))
    return found


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
    beta0 = _solve(r, coef + again)
    return beta0, residual / scale, scale


def _standard_grouping(z: np.ndarray, grouping: Grouping) -> tuple[Grouping, np.ndarray]:
    """The same grouping with sum_j Z_j'Z_j = J I as far as each structure allows."""
    out = np.empty_like(z, dtype=float)
    sized = z
    if grouping.root is not None:
        sd = np.sqrt(np.einsum("ij,ij->i", grouping.root, grouping.root))
        sized = z * sd[grouping.codes][:, None]
    r = np.zeros((z.shape[1], z.shape[1]))
    for term in grouping.terms:
        part = z[:, term.columns]
        basis = term_basis(sized[:, term.columns], term.structure.rotation) / np.sqrt(
            grouping.n_levels
        )
        out[:, term.columns] = part @ np.linalg.inv(basis)
        r[term.columns, term.columns] = basis
    return replace(grouping, z=out), r


def term_basis(z: np.ndarray, rotation: str) -> np.ndarray:
    """The (K, K) change of basis r that makes z r^-1 orthonormal, or as near as allowed."""
    lengths = np.sqrt(np.einsum("ij,ij->j", z, z))
    lengths = np.where(lengths > 0, lengths, 1.0)
    if rotation == "full" and z.shape[1] > 1:
        _, r = _orthonormal(z / lengths)
        if np.abs(np.diag(r)).min() > 1e-7:
            return r * lengths
    if rotation == "scalar":
        return np.eye(z.shape[1]) * np.sqrt((lengths**2).mean())
    return np.diag(lengths)
