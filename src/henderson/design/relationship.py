"""Known covariances between levels, `known(1 | id, K)`: kinship, pedigree, phylogeny.

The effects of a term are u ~ N(0, K (x) Sigma) over its levels. With any root K = R R' they are
u = (R (x) I) w with w independent from level to level, and that is how they are fitted: the root
stands between the rows and effects of the ordinary kind. Levels of K without rows do not touch the
likelihood; given the others, theirs are K_uo K_oo^-1 u_o with covariance K_uu - K_uo K_oo^-1 K_ou.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from henderson.data.factors import Factor
from henderson.design.columns import label
from henderson.design.known import Known, of_matrix
from henderson.errors import DesignError, FormulaError, did_you_mean
from henderson.formula import RandomTerm

# Entries that differ by less than this share of the largest are the same.
SYMMETRIC = 1e-8
KNOWN = "known"
# The work grows with the cube of the number of levels: this many take minutes.
MOST_LEVELS = 20_000


@dataclass(frozen=True, eq=False)
class Relationship:
    """A covariance between the levels of a grouping factor, up to a variance to be estimated.

    Parameters
    ----------
    matrix : (J, J) symmetric positive semidefinite: an array, a pandas DataFrame with the levels as
        index and columns, a polars one with the levels as columns, or a scipy.sparse matrix.
    levels : (J,) the levels of its rows, in order; without them those of a DataFrame. Of a group
        `a:b` they are "a:b", or pairs.
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
            return _labels(self.levels)
        if isinstance(self.matrix, pd.DataFrame):
            return _labels(self.matrix.index)
        columns = getattr(self.matrix, "columns", None)  # other tables have no index
        if isinstance(columns, list) and all(isinstance(c, str) for c in columns):
            return tuple(columns)
        return None


def _labels(axis: Iterable[Any]) -> tuple[str, ...]:
    """Labels as text; those of several columns are joined as crossed groups are."""
    return tuple(
        ":".join(label(part) for part in v) if isinstance(v, tuple) else label(v) for v in axis
    )


def known_levels(term: RandomTerm, factor: Factor, matrices: Mapping[str, Any]) -> Known:
    """The known covariance of a term's levels; the matrices have its name.

    Raises
    ------
    DesignError : a matrix that is none, or that lacks a level; the message names it.
    """
    name = matrix_name(term)
    given = matrices[name]
    relationship = given if isinstance(given, Relationship) else Relationship(given)
    what = f"{term.text}: the matrix '{name}'"
    values = _values(relationship, what)
    names = _names(relationship, factor, values.shape[0], what, term)
    _check_numbers(values, names, what)
    _check_symmetric(values, names, what)
    places = _places(names, factor, what, term)
    others = _sorted(np.setdiff1d(np.arange(len(names)), places), names)
    labels = np.array(names, dtype=object)
    return of_matrix(values, places, labels, others, relationship.inverse, what)


def matrix_name(term: RandomTerm) -> str:
    """The name of a known term's matrix.

    Raises
    ------
    FormulaError : there is none, or several.
    """
    names = [value for option, value in term.options if option == "matrix"]
    if len(names) != 1:
        many = (
            f"has {len(names)} matrices, and takes one" if names else "needs the name of a matrix"
        )
        raise FormulaError(
            f"{term.text} {many}: write known({term.lhs} | {term.group_text}, "
            "K) and give matrices={'K': K}."
        )
    return names[0]


def given_matrices(terms: Iterable[RandomTerm], matrices: Any) -> Mapping[str, Any]:
    """The matrices of known terms, by name.

    Raises
    ------
    FormulaError : not a mapping, a term without its matrix, or a matrix that no term names.
    """
    named = {matrix_name(term): term for term in terms if term.structure == KNOWN}
    if matrices is not None and not isinstance(matrices, Mapping):
        name = next(iter(named), "K")
        raise FormulaError(
            f"matrices has names, matrices={{'{name}': ...}}: {type(matrices).__name__} has none."
        )
    given: Mapping[str, Any] = matrices or {}
    for name, term in named.items():
        if name not in given:
            hint = f" ({did_you_mean(name, list(given))})" if given else ""
            raise FormulaError(
                f"{term.text}: no matrix '{name}' was given{hint}; pass matrices={{'{name}': ...}}."
            )
    for name in given:
        if name not in named:
            raise FormulaError(
                f"matrices has '{name}', which no term of the formula names: write "
                f"known(1 | id, {name}), or leave it out."
            )
    return given


# ---- reading


def _values(given: Relationship, what: str) -> Any:
    """The matrix (J, J) as a dense array or a sparse CSC one.

    A DataFrame's columns are brought to the order of its rows.
    """
    matrix = given.matrix
    if isinstance(matrix, pd.DataFrame):
        matrix = _same_order(matrix, what) if given.levels is None else _said_once(given, what)
    if np.iscomplexobj(matrix):
        raise DesignError(f"{what} is complex: a covariance has real numbers.")
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
    if values.shape[0] > MOST_LEVELS:
        raise DesignError(
            f"{what} has {values.shape[0]} levels, and the work grows with the cube of their "
            f"number: up to {MOST_LEVELS} are taken. Leave out levels without rows."
        )
    return values


def _check_numbers(values: Any, names: Sequence[str], what: str) -> None:
    bad = ~np.isfinite(values.data if sparse.issparse(values) else values)
    if not bad.any():
        return
    if sparse.issparse(values):
        found = values.tocoo()
        i, j = (int(at[~np.isfinite(found.data)][0]) for at in found.coords)
    else:
        i, j = divmod(int(bad.argmax()), len(values))
    raise DesignError(
        f"{what} has missing or infinite entries, the first for '{names[i]}' and '{names[j]}': "
        "give every pair a number."
    )


def _said_once(given: Relationship, what: str) -> pd.DataFrame:
    """A DataFrame whose levels were named apart.

    Raises
    ------
    DesignError : it has the same labels in another order, so that one of the two is wrong.
    """
    matrix, levels = given.matrix, given.names or ()
    for own in (_labels(matrix.index), _labels(matrix.columns)):
        if own != levels and set(own) == set(levels):
            raise DesignError(
                f"{what} is a DataFrame with labels, and levels= has them in another order: leave "
                "levels out."
            )
    return matrix


def _same_order(matrix: pd.DataFrame, what: str) -> pd.DataFrame:
    """A labelled matrix with its columns in the order of its rows."""
    rows, columns = (_labels(axis) for axis in (matrix.index, matrix.columns))
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
