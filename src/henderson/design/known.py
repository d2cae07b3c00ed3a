"""A known covariance K of levels: a root of it, and what it says of levels without rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import solve_triangular

from henderson.errors import DesignError

# Eigenvalues so far below zero are rounding, and those that are so small are zero.
NEGATIVE = 1e-8
ZERO = 1e-12


@dataclass(frozen=True, eq=False)
class Known:
    """A known covariance of a factor's levels, ready to use.

    Parameters
    ----------
    root : R (J, J) with K = R R' among the levels with rows; null directions are zero columns.
    others : (U,) labels of the levels of K without rows.
    weights : (U, J): E(u_others | u) = weights u.
    rest : (U,) what is left of their variances, in units of K.
    """

    root: np.ndarray
    others: np.ndarray
    weights: np.ndarray
    rest: np.ndarray
    _diagonal: dict[bytes, np.ndarray] = field(default_factory=dict, repr=False)

    @property
    def variances(self) -> np.ndarray:
        """(J + U,) the diagonal of K."""
        root = np.vstack([self.root, self.weights @ self.root])
        return np.einsum("ij,ij->i", root, root) + self.extended_rest

    @property
    def extended_rest(self) -> np.ndarray:
        """(J + U,) the part of every level's variance that the root leaves out."""
        return np.concatenate([np.zeros(len(self.root)), self.rest])

    def covariance(self, codes: np.ndarray) -> np.ndarray:
        """K (r, r) between the levels with rows at positions (r,)."""
        root = self.root[codes]
        return root @ root.T

    @property
    def apart(self) -> np.ndarray:
        """K (J, J) less the mean covariance between levels, which a constant takes up."""
        k = self.root @ self.root.T
        count = len(k) * (len(k) - 1)
        return k - (k.sum() - np.trace(k)) / max(count, 1)

    def root_for(self, d: np.ndarray) -> np.ndarray:
        """The root for which R' diag(d) R is diagonal; kept, as refits ask for it again."""
        key = d.tobytes()
        if key not in self._diagonal:
            self._diagonal.clear()
            self._diagonal[key] = diagonal_root(self.root, d)
        return self._diagonal[key]


def diagonal_root(root: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Another root R of the same K, for which R' diag(d) R is diagonal (Kang et al. 2008,
    Genetics 178)."""
    return root @ np.linalg.eigh((root.T * d) @ root)[1]


def of_matrix(
    values: Any,
    places: np.ndarray,
    labels: np.ndarray,
    others: np.ndarray,
    inverse: bool,
    what: str,
) -> Known:
    """The covariance of levels with rows at `places` (J,) of a matrix, and of `others` (U,).

    Parameters
    ----------
    values : (L, L) dense or sparse CSC, symmetric: the covariance, or its inverse.
    labels : (L,) of its rows; what : the matrix, as messages call it.

    Raises
    ------
    DesignError : it is no covariance, or has one direction only.
    """
    within, between, rest = (_marginal if inverse else _parts)(values, places, others, what)
    root = _root(within, what)
    weights = _regression(root, between)
    left = np.maximum(rest - np.einsum("uj,uj->u", weights, between), 0.0)
    return Known(root, labels[others], weights, left)


def _parts(
    values: Any, places: np.ndarray, others: np.ndarray, what: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """K among levels with rows (J, J), of the others with them (U, J), variances of those (U,)."""
    dense = values.toarray() if sparse.issparse(values) else values
    dense = (dense + dense.T) / 2.0
    _check_semidefinite(dense, what)
    return (
        dense[np.ix_(places, places)],
        dense[np.ix_(others, places)],
        dense[others, others],
    )


def _check_semidefinite(values: np.ndarray, what: str) -> None:
    try:
        np.linalg.cholesky(values)
    except np.linalg.LinAlgError:
        found = np.linalg.eigvalsh(values)
        if found[0] < -NEGATIVE * max(float(found[-1]), 0.0) or found[-1] <= 0.0:
            raise DesignError(
                f"{what} is no covariance: its smallest eigenvalue is {found[0]:.3g} and the "
                f"largest {found[-1]:.3g}, and none may be negative. Check it; if it is estimated, "
                "add a little to its diagonal."
            ) from None


def _marginal(
    values: Any, places: np.ndarray, others: np.ndarray, what: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The parts of K, as `_parts` has them, from its inverse: the other levels are integrated out.

    Raises
    ------
    DesignError : the inverse is not positive definite.
    """
    if sparse.issparse(values):
        k = _inverse_of_sparse(values, what)
    else:
        try:
            half = np.linalg.inv(np.linalg.cholesky((values + values.T) / 2.0))
        except np.linalg.LinAlgError:
            raise _not_definite(float(np.linalg.eigvalsh(values)[0]), what) from None
        k = half.T @ half
    return k[np.ix_(places, places)], k[np.ix_(others, places)], k[others, others]


def _inverse_of_sparse(values: Any, what: str) -> np.ndarray:
    """K (J, J) from its sparse inverse; positive pivots are what makes that definite."""
    from scipy.sparse.linalg import splu

    try:
        factored = splu(
            values,
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )
    except RuntimeError:
        raise _not_definite(0.0, what) from None
    pivot = float(factored.U.diagonal().min())
    if pivot <= 0.0:
        raise _not_definite(float(np.linalg.eigvalsh(values.toarray())[0]), what)
    k = factored.solve(np.eye(values.shape[0]))
    return (k + k.T) / 2.0


def _not_definite(smallest: float, what: str) -> DesignError:
    return DesignError(
        f"{what} is no inverse of a covariance: its smallest eigenvalue is {smallest:.3g}, and all "
        "are positive. Is it the covariance itself? Then leave inverse=True out."
    )


def _root(within: np.ndarray, what: str) -> np.ndarray:
    """R (J, J) with R R' = K among the levels with rows.

    Raises
    ------
    DesignError : K has one direction only, which is no variance between levels.
    """
    try:
        lower = np.linalg.cholesky(within)
        if np.diag(lower).min() ** 2 > ZERO * np.diag(within).max():
            return lower
    except np.linalg.LinAlgError:
        pass
    values, vectors = np.linalg.eigh(within)
    kept = values > ZERO * values[-1]
    if kept.sum() < 2:
        raise DesignError(
            f"{what} lets the levels in the rows used differ in size only, not from one another: "
            "a variance between levels needs two independent ones at least."
        )
    return vectors * np.sqrt(np.where(kept, values, 0.0))


def _regression(root: np.ndarray, between: np.ndarray) -> np.ndarray:
    """K_uo K_oo^+ (U, J), from a root that is triangular or whose columns are orthogonal."""
    if not np.triu(root, 1).any():
        half = solve_triangular(root, between.T, lower=True)
        return solve_triangular(root, half, lower=True, trans=1).T
    lengths = np.einsum("ij,ij->j", root, root)
    inverse = np.divide(1.0, lengths**2, out=np.zeros_like(lengths), where=lengths > 0.0)
    return ((between @ root) * inverse) @ root.T
