"""Sets of rows: levels of a factor, independent components; those of one size stacked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from henderson.data.factors import Factor, factorize
from henderson.errors import DesignError, did_you_mean

if TYPE_CHECKING:
    from henderson.fit import Fit

ROW = "row"
# Entries of the stacked (count, s, s) arrays that are worked at a time.
ENTRIES = 4_000_000


@dataclass(frozen=True)
class RowSets:
    """A partition of the rows.

    name : what the sets are: a factor's name, or "row".
    codes : (n,) the set of every row; levels : (J,) their labels.
    """

    name: str
    codes: np.ndarray
    levels: np.ndarray

    def __len__(self) -> int:
        return len(self.levels)

    @property
    def sizes(self) -> np.ndarray:
        """Rows of every set, (J,)."""
        return np.bincount(self.codes, minlength=len(self.levels))


def row_sets(fit: Fit, by: Any = None) -> RowSets:
    """The rows by level of something.

    Parameters
    ----------
    by : None for the first grouping factor of the formula (rows, if it has none); "row"; the name
        of a grouping factor or of a column of the model; or labels, one a row of the fit.

    Raises
    ------
    DesignError : no such factor or column, or labels of the wrong number or missing.
    """
    if by is None and fit.design.random:
        by = fit.design.random[0].name
    if by is None or (isinstance(by, str) and by == ROW):
        return RowSets(ROW, np.arange(fit.nobs), np.asarray(fit.design.index))
    if isinstance(by, str):
        return RowSets(by, *_named(fit, by))
    values = np.asarray(by)
    if values.shape != (fit.nobs,):
        raise DesignError(
            f"by has shape {values.shape}; the fit has {fit.nobs} rows: give one label a row."
        )
    return RowSets("set", *_complete(factorize(values)))


def _named(fit: Fit, name: str) -> tuple[np.ndarray, np.ndarray]:
    for factor in fit.design.random:
        if factor.name == name:
            return factor.codes, factor.levels
    data = fit.design.frame.data
    if name not in data.columns:
        known = [f.name for f in fit.design.random] + [str(c) for c in data.columns]
        raise DesignError(
            f"by='{name}' is neither 'row', a grouping factor nor a column of the model: "
            f"{did_you_mean(name, dict.fromkeys(known))}"
        )
    return _complete(factorize(data[name]))


def _complete(factor: Factor) -> tuple[np.ndarray, np.ndarray]:
    if (factor.codes < 0).any():
        missing = int((factor.codes < 0).sum())
        raise DesignError(f"{missing} rows have no label in by=: give each one.")
    return factor.codes, factor.levels


def stacks(
    codes: np.ndarray, *, order: np.ndarray | None = None, width: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Sets of one size at a time: which (count,), and their rows (count, s).

    Parameters
    ----------
    order : (n,) the order in which the rows of a set stand; that of the data if not given.
    width : further entries that every row takes while its stack is worked on.
    """
    base = np.arange(len(codes)) if order is None else order
    rows = base[np.argsort(codes[base], kind="stable")]
    counts = np.bincount(codes)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    for s in np.unique(counts[counts > 0]):
        members = np.flatnonzero(counts == s)
        at_once = max(1, ENTRIES // int(s * max(s, width)))
        for i in range(0, len(members), at_once):
            chosen = members[i : i + at_once]
            yield chosen, rows[starts[chosen][:, None] + np.arange(s)]


def components(codes: Sequence[np.ndarray], n: int) -> np.ndarray:
    """The component (n,) of every row: rows that share no level, not even by way of others, differ.

    Parameters
    ----------
    codes : (n,) each, the factors whose levels connect rows.
    """
    if not codes:
        return np.arange(n)
    if len(codes) == 1:
        return np.unique(codes[0], return_inverse=True)[1]
    shifted, start = [], n
    for c in codes:
        shifted.append(c + start)
        start += int(c.max()) + 1
    rows = np.tile(np.arange(n), len(codes))
    edges = (np.ones(len(rows)), (rows, np.concatenate(shifted)))
    graph = sparse.coo_array(edges, shape=(start, start))
    label = connected_components(graph, directed=False)[1][:n]
    return np.unique(label, return_inverse=True)[1]
