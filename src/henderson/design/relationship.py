"""Known covariances between levels, `known(1 | id, K)`: kinship, pedigree, phylogeny.

The effects of a term are u ~ N(0, K (x) Sigma) over its levels. With any root K = R R' they are
u = (R (x) I) w with w independent from level to level, and that is how they are fitted: the root
stands between the rows and effects of the ordinary kind. Levels of K without rows do not touch the
likelihood; given the others, theirs are K_uo K_oo^-1 u_o with covariance K_uu - K_uo K_oo^-1 K_ou.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.linalg import solve_triangular

from henderson.data.factors import Factor
from henderson.design.columns import label
from henderson.errors import DesignError, FormulaError, did_you_mean
from henderson.formula import RandomTerm

# Entries that differ by less than this share of the largest are the same; eigenvalues so far below
# zero are rounding, and those that are so small are zero.
SYMMETRIC = 1e-8
NEGATIVE = 1e-8
ZERO = 1e-12
# The work grows with the cube of the number of levels: this many take minutes.
MOST_LEVELS = 20_000


@dataclass(frozen=True, eq=False)
class Relationship:
    """A covariance between the levels of a grouping factor, up to a variance to be estimated.

    Parameters
    ----------
    matrix : (J, J) symmetric positive semidefinite: an array, a pandas DataFrame with the levels as
        index and columns, or a scipy.sparse matrix.
    levels : (J,) the levels of its rows, in order; without them those of a DataFrame.
    inverse : the matrix is the inverse of the covariance, such as that of a pedigree.

    Examples
    --------
    >>> import numpy as np
    >>> import henderson as hd
    >>> hd.Relationship(np.eye(2), levels=["a", "b"]).names
    ('a', 'b')
    """

    matrix: Any
    levels: Sequence[Any] | None = None
    inverse: bool = False

    @property
    def names(self) -> tuple[str, ...] | None:
        """The levels as text, if they are known."""
        if self.levels is not None:
            return tuple(label(v) for v in self.levels)
        if isinstance(self.matrix, pd.DataFrame):
            return tuple(label(v) for v in self.matrix.index)
        return None


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


def known_levels(term: RandomTerm, factor: Factor, matrices: Mapping[str, Any]) -> Known:
    """The known covariance of a term's levels.

    Raises
    ------
    FormulaError : no matrix of that name.
    DesignError : a matrix that is none, or that lacks a level; the message names it.
    """
    name = matrix_name(term)
    if name not in matrices:
        hint = " " + did_you_mean(name, list(matrices)) if matrices else ""
        raise FormulaError(
            f"{term.text}: no matrix '{name}' was given; pass matrices={{'{name}': ...}}.{hint}"
        )
    given = matrices[name]
    relationship = given if isinstance(given, Relationship) else Relationship(given)
    what = f"{term.text}: the matrix '{name}'"
    values = _values(relationship, what)
    names = _names(relationship, factor, values.shape[0], what, term)
    _check_symmetric(values, names, what)
    places = _places(names, factor, what, term)
    others = _sorted(np.setdiff1d(np.arange(len(names)), places), names)
    within, between, rest = (_marginal if relationship.inverse else _parts)(
        values, places, others, what
    )
    root = _root(within, what)
    weights = _regression(root, between)
    left = np.maximum(rest - np.einsum("uj,uj->u", weights, between), 0.0)
    return Known(root, np.array(names, dtype=object)[others], weights, left)


def matrix_name(term: RandomTerm) -> str:
    """The name of a known term's matrix.

    Raises
    ------
    FormulaError : there is none.
    """
    name = dict(term.options).get("matrix")
    if name is None:
        raise FormulaError(
            f"{term.text} needs the name of a matrix: write known({term.lhs} | {term.group_text}, "
            "K) and give matrices={'K': K}."
        )
    return name


# ---- reading


def _values(given: Relationship, what: str) -> Any:
    """The matrix (J, J) as a dense array or a sparse CSC one.

    A DataFrame's columns are brought to the order of its rows.
    """
    matrix = given.matrix
    if isinstance(matrix, pd.DataFrame):
        matrix = matrix if given.levels is not None else _same_order(matrix, what)
    try:
        values: Any = (
            sparse.csc_array(matrix, dtype=float)
            if sparse.issparse(matrix)
            else np.asarray(matrix, dtype=float)
        )
    except (TypeError, ValueError) as error:
        raise DesignError(f"{what} is not a matrix of numbers.") from error
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise DesignError(f"{what} has shape {values.shape}: give it a row and a column per level.")
    if not np.isfinite(values.data if sparse.issparse(values) else values).all():
        raise DesignError(f"{what} has missing or infinite entries: give every pair a number.")
    if values.shape[0] > MOST_LEVELS:
        raise DesignError(
            f"{what} has {values.shape[0]} levels, and the work grows with the cube of their "
            f"number: up to {MOST_LEVELS} are taken. Leave out levels without rows."
        )
    return values


def _same_order(matrix: pd.DataFrame, what: str) -> pd.DataFrame:
    """A labelled matrix with its columns in the order of its rows."""
    rows, columns = ([label(v) for v in axis] for axis in (matrix.index, matrix.columns))
    _refuse_twice(rows, what)
    _refuse_twice(columns, what)
    lost = sorted(set(rows) ^ set(columns))
    if lost:
        raise DesignError(
            f"{what} has '{lost[0]}' among the labels of its rows or of its columns only: both are "
            "the levels. (Of a file read without an index column, set the index.)"
        )
    place = {name: i for i, name in enumerate(columns)}
    return matrix.iloc[:, [place[name] for name in rows]]


def _refuse_twice(names: Sequence[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DesignError(f"{what} has the level '{name}' twice: give every level one row.")
        seen.add(name)


def _names(
    given: Relationship, factor: Factor, size: int, what: str, term: RandomTerm
) -> tuple[str, ...]:
    """The levels (J,) of the matrix's rows."""
    names = given.names
    if names is None:
        if size != len(factor.levels):
            raise DesignError(
                f"{what} has {size} rows without names, and '{term.group_name}' "
                f"{len(factor.levels)} levels: name them by a DataFrame or by "
                "henderson.Relationship(matrix, levels=[...])."
            )
        return tuple(label(v) for v in factor.levels)
    if len(names) != size:
        raise DesignError(f"{what} has {size} rows and {len(names)} levels were named.")
    _refuse_twice(names, what)
    return names


def _places(names: Sequence[str], factor: Factor, what: str, term: RandomTerm) -> np.ndarray:
    """Where the matrix has each of the factor's levels, (J,)."""
    at = {name: i for i, name in enumerate(names)}
    lost = [label(v) for v in factor.levels if label(v) not in at]
    if lost:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        raise DesignError(
            f"{what} lacks the level '{lost[0]}'{more} of '{term.group_name}' "
            f"(it has {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}): add rows and "
            "columns for all levels, or leave those rows of the data out."
        )
    return np.array([at[label(v)] for v in factor.levels], dtype=np.intp)


def _sorted(places: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Places in the order of their labels, numbers numerically: the order of the matrix's rows is
    no matter."""
    labels = pd.Series([names[i] for i in places], dtype=object)
    numbers = pd.to_numeric(labels, errors="coerce")
    order = (labels if numbers.isna().any() else numbers).argsort(kind="stable").to_numpy()
    return places[order]


def _check_symmetric(values: Any, names: Sequence[str], what: str) -> None:
    gap = abs(values - values.T)
    largest = float(abs(values).max()) if values.shape[0] else 0.0
    if float(gap.max()) <= SYMMETRIC * largest:
        return
    i, j = divmod(int(gap.argmax()), values.shape[0])
    raise DesignError(
        f"{what} is not symmetric: for '{names[i]}' and '{names[j]}' it has {values[i, j]:g} and "
        f"{values[j, i]:g}."
    )


# ---- algebra


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
