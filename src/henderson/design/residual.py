"""The residual structure on the data: groups of rows, their positions, covariates of the variance.

What comes out are arrays and words, still without matrices: `covariance.residual.build` makes the
structure of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from henderson.data.factors import Factor, cross
from henderson.design.columns import Columns, label
from henderson.design.context import unknown_column
from henderson.design.evaluate import Spec, fit_expression
from henderson.design.positions import Coordinate, check_lags, fit_coordinate, steps
from henderson.errors import DataError, DesignError, FormulaError
from henderson.formula.residual_terms import CorrelationTerm, ResidualTerms, VarianceTerm

# Correlations for every pair of visits have this many visits at most: more have no data to learn
# thousands of parameters from.
MOST_VISITS, MOST_LAGS = 30, 60
SAMPLE = 200
# Pairs of rows of groups of one size whose distances are looked at.
MOST_PAIRS = 500_000


@dataclass(frozen=True)
class RowPositions:
    """Where the rows of the correlation groups stand.

    codes : (n,) the group of every row; levels : (J,) labels of the groups, none if all are one.
    at : (n, d) positions as the correlation wants them: numbers, whole steps, or visits 0, 1, ...
    labels : (T,) of the visits.
    largest : rows of the largest group.
    count : of whole positions, one more than the longest lag.
    distance : the median distance between two rows of a group.
    """

    codes: np.ndarray
    levels: np.ndarray
    at: np.ndarray
    labels: tuple[str, ...]
    largest: int
    count: int
    distance: float


@dataclass(frozen=True)
class Covariate:
    """A variance function's covariate: values (n, 1), codes for "ident"; levels of its factor.

    spec : how the values were made, for new rows; None for "ident" and for fitted values.
    """

    term: VarianceTerm
    values: np.ndarray
    levels: tuple[str, ...] = ()
    spec: Spec | None = None


@dataclass(frozen=True)
class ResidualDesign:
    """A residual structure on n rows."""

    terms: ResidualTerms
    n: int
    positions: RowPositions | None
    covariates: tuple[Covariate, ...]

    def with_fitted(self, fitted: np.ndarray) -> ResidualDesign:
        """The same with fitted values (n,) where a variance depends on them.

        Raises
        ------
        DesignError : a fitted value is zero, which has no logarithm.
        """
        return replace(
            self,
            covariates=tuple(
                _checked(Covariate(c.term, fitted.reshape(-1, 1))) if c.term.of_fitted else c
                for c in self.covariates
            ),
        )


def residual_design(
    terms: ResidualTerms, columns: Columns, context: Mapping[str, Any] | None = None
) -> ResidualDesign:
    """Evaluate a residual structure on the rows of a model.

    Until `with_fitted` is called, fitted values are one: the variance does not depend on them.

    Parameters
    ----------
    columns : of the complete rows (n) of the model; `terms.columns` have to be among them.
    context : names that expressions may use beside the columns.

    Raises
    ------
    DataError : a column is missing, or not of numbers where numbers are needed.
    DesignError : the structure cannot be estimated from these rows, or is not defined on them.
    """
    extra = context or {}
    positions = None
    if terms.correlation is not None:
        positions = _row_positions(terms.correlation, columns, extra)
    covariates = tuple(_covariate(term, columns, extra) for term in terms.variances)
    _check_product(covariates)
    return ResidualDesign(terms, columns.n, positions, covariates)


# ---- correlation


def _row_positions(
    term: CorrelationTerm, columns: Columns, context: Mapping[str, Any]
) -> RowPositions:
    _need(columns, term.columns, context, term.text)
    group = _group(term, columns)
    sizes = np.bincount(group.codes)
    if sizes.max() == 1:
        raise DesignError(
            f"{term.text}: every group of '{':'.join(term.group)}' has one row, and a correlation "
            "needs groups of two or more. Group by a column that repeats, or leave it out."
        )
    if len(sizes) == 1 and term.name in ("cs", "us"):
        raise DesignError(
            f"{term.text}: all rows are one group, and one group has nothing to tell {term.name} "
            "from: name a column of groups, as in "
            f"{term.name}({' + '.join(term.position) or 1} | group)."
        )
    at, parts = _coordinates(term, group, columns, context)
    order = np.lexsort((*at.T[::-1], group.codes))
    if term.kind != "order":
        _refuse_twice(term, group, at, parts, order)
    labels: tuple[str, ...] = ()
    if term.kind == "steps":
        at = steps(at[:, 0], group.codes, _what(term))[:, None]
    if term.kind == "visits":
        at, labels = _visits(term, at, parts)
    # The order is that of the steps and of the visits too.
    lags = pair_distances(
        group.codes[order], at[order], every=term.name == "toep" and at.max() < MOST_LAGS
    )
    _check_pairs(term, group.codes, at, lags, labels)
    count = int(at.max()) + 1 if term.kind == "steps" else len(labels)
    distance = float(np.median(lags))
    return RowPositions(
        group.codes, group.levels, at, labels, int(sizes.max()), count, distance or 1.0
    )


def _need(columns: Columns, names: tuple[str, ...], context: Mapping[str, Any], text: str) -> None:
    for name in names:
        root = name.partition(".")[0]
        if name not in columns and root not in columns and root not in (*context, "np", "pi"):
            raise DataError(f"{text}: {unknown_column(name, columns.data.columns)}")


def _group(term: CorrelationTerm, columns: Columns) -> Factor:
    if not term.group:
        return Factor(np.zeros(columns.n, dtype=np.intp), np.zeros(0, dtype=object))
    return cross(*(columns.factor(name) for name in term.group))


def _coordinates(
    term: CorrelationTerm, group: Factor, columns: Columns, context: Mapping[str, Any]
) -> tuple[np.ndarray, tuple[Coordinate, ...]]:
    """Positions (n, d); the order of the rows within their group where none is named."""
    if not term.position:
        return _order(group.codes).astype(float)[:, None], ()
    labelled = term.kind in ("steps", "visits")
    pairs = [fit_coordinate(t, columns, context, labelled=labelled) for t in term.position]
    return np.column_stack([values for _, values in pairs]), tuple(c for c, _ in pairs)


def _order(codes: np.ndarray) -> np.ndarray:
    """The number (n,) of every row within its group, from 0 in the order of the rows."""
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    out = np.empty(len(codes), dtype=np.intp)
    out[order] = np.arange(len(codes)) - np.repeat(starts, counts)
    return out


def _refuse_twice(
    term: CorrelationTerm,
    group: Factor,
    at: np.ndarray,
    parts: tuple[Coordinate, ...],
    order: np.ndarray,
) -> None:
    """Two rows of a group at the same position would be one, perfectly correlated."""
    if term.nugget:
        return
    same = np.diff(group.codes[order]) == 0
    same &= (np.diff(at[order], axis=0) == 0).all(axis=1)
    if not same.any():
        return
    row = order[int(np.argmax(same))]
    where = ", ".join(
        f"{c.text} = {c.write(float(v))}" for c, v in zip(parts, at[row], strict=True)
    )
    whose = ""
    if term.group:
        whose = f" of group '{label(group.levels[group.codes[row]])}'"
    more = int(same.sum()) - 1
    raise DesignError(
        f"{term.text}: two rows{whose} stand at the same position, {where}"
        + (f", and {more} more pairs" if more else "")
        + ". Positions within a group must differ: name a finer group or another position"
        + (", or let nugget=True." if term.kind in ("coordinates", "number") else ".")
    )


def _visits(
    term: CorrelationTerm, at: np.ndarray, parts: tuple[Coordinate, ...]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Visits 0, 1, ... (n, 1) in order of the positions, and their labels."""
    values, codes = np.unique(at[:, 0], return_inverse=True)
    if len(values) > MOST_VISITS:
        raise DesignError(
            f"{term.text}: '{_what(term)}' has {len(values)} different values, and a correlation "
            f"for every pair of them is too many; us takes up to {MOST_VISITS}. Use ar1, car1 or "
            "exp, which need one parameter."
        )
    labels = [parts[0].write(float(v)) if parts else str(int(v) + 1) for v in values]
    return codes.reshape(-1, 1).astype(float), tuple(labels)


def pair_distances(codes: np.ndarray, at: np.ndarray, *, every: bool = False) -> np.ndarray:
    """The distinct distances between rows of a group, all of them or a sample.

    codes (n,), at (n, d) : group by group, in order of the positions.

    In a sample groups of more than `SAMPLE` rows give the distances between about so many of them,
    and of very many groups of one size only every few give theirs.
    """
    starts = np.concatenate([[0], np.flatnonzero(np.diff(codes)) + 1, [len(codes)]])
    found = []
    for size in np.unique(np.diff(starts)):
        if size == 1:
            continue
        step = 1 if every else max(1, int(size) // SAMPLE)
        first = starts[:-1][np.diff(starts) == size]
        i, j = np.triu_indices(len(range(0, int(size), step)), 1)
        groups = 1 if every else 1 + len(first) * len(i) // MOST_PAIRS
        rows = first[::groups, None] + np.arange(0, size, step)
        near = np.sqrt(((at[rows][:, i] - at[rows][:, j]) ** 2).sum(axis=-1))
        found.append(np.unique(near))
    return np.asarray(np.unique(np.concatenate(found)))


def _check_pairs(
    term: CorrelationTerm,
    codes: np.ndarray,
    at: np.ndarray,
    lags: np.ndarray,
    labels: tuple[str, ...],
) -> None:
    """Every correlation needs a pair of rows to learn from."""
    if term.name == "toep":
        if at.max() >= MOST_LAGS:
            raise DesignError(
                f"{term.text}: a correlation for each of {int(at.max())} lags is too many; toep "
                f"takes up to {MOST_LAGS - 1}. Use ar1, car1 or exp, which need one parameter."
            )
        check_lags(lags[lags > 0], _what(term), "toep")
    if term.name != "us":
        return
    seen = np.zeros((int(codes.max()) + 1, len(labels)))
    seen[codes, at[:, 0].astype(np.intp)] = 1.0
    apart = np.argwhere(np.triu(seen.T @ seen == 0, 1))
    if len(apart):
        a, b = (labels[k] for k in apart[0])
        raise DesignError(
            f"{term.text}: no group has a row at '{a}' and one at '{b}', so their correlation "
            "cannot be estimated. Use a structure with fewer parameters, such as toep or ar1."
        )


def _what(term: CorrelationTerm) -> str:
    return " + ".join(term.position) or "the order of the rows"


# ---- variance


def _covariate(term: VarianceTerm, columns: Columns, context: Mapping[str, Any]) -> Covariate:
    if term.of_fitted:
        return Covariate(term, np.ones((columns.n, 1)))
    _need(columns, term.columns, context, term.text)
    if term.name != "ident":
        spec, values = fit_expression(term.covariate, columns, context)
        return _checked(Covariate(term, values.reshape(-1, 1), spec=spec))
    factor = cross(*(columns.factor(name) for name in term.factors))
    if len(factor.levels) == 1:
        raise DesignError(
            f"{term.text}: '{term.covariate}' has one level, '{label(factor.levels[0])}', so there "
            "are no variances to compare. Leave it out."
        )
    counts = np.bincount(factor.codes)
    if counts.min() == 1:
        single = label(factor.levels[int(np.argmin(counts))])
        raise DesignError(
            f"{term.text}: level '{single}' of '{term.covariate}' has one row, from which no "
            "variance can be estimated. Join levels, or leave such rows out."
        )
    levels = tuple(label(level) for level in factor.levels)
    return Covariate(term, factor.codes.astype(float).reshape(-1, 1), levels)


def _checked(covariate: Covariate) -> Covariate:
    """Refuse values for which a variance function is not defined or says nothing."""
    term, values = covariate.term, covariate.values[:, 0]
    zeros, negative = int((values == 0).sum()), int((values < 0).sum())
    if term.name == "fixed" and zeros + negative:
        raise DesignError(
            f"{term.text}: the variance is proportional to '{term.covariate}', which is not "
            f"positive in {zeros + negative} rows: give a positive column."
        )
    if term.name == "power" and zeros:
        raise DesignError(
            f"{term.text}: '{term.covariate}' is zero in {zeros} rows, where the variance would be "
            f"zero: add a constant, power({term.covariate} + 1), or use constpower."
        )
    if term.name != "fixed" and np.ptp(np.abs(values) if term.name != "exp" else values) == 0:
        raise DesignError(
            f"{term.text}: '{term.covariate}' is the same in every row, so the variance cannot "
            "depend on it. Leave it out."
        )
    return covariate


def _check_product(covariates: tuple[Covariate, ...]) -> None:
    """Refuse a factor of the product that the others can stand in for.

    Raises
    ------
    DesignError : its logarithm is a sum of theirs and a constant.
    """
    columns = [np.ones((len(c.values), 1)) for c in covariates[:1]]
    for c in covariates:
        own = _logarithms(c)
        before = np.linalg.matrix_rank(np.hstack(columns))
        columns.append(own)
        if np.linalg.matrix_rank(np.hstack(columns)) < before + own.shape[1]:
            others = " * ".join(o.term.text for o in covariates if o is not c)
            raise DesignError(
                f"{c.term.text} beside {others}: the other variance functions can say the same, "
                "and their parameters cannot be told apart. Leave one out."
            )


def _logarithms(covariate: Covariate) -> np.ndarray:
    """The columns (n, m), of unit length, that a variance function's parameters multiply; none of
    one that is not such, or that changes with the fitted values."""
    term, values = covariate.term, covariate.values
    if term.of_fitted or term.name in ("constpower", "fixed"):
        return np.zeros((len(values), 0))
    if term.name == "ident":
        found = (values == np.arange(1, len(covariate.levels))).astype(float)
    else:
        found = np.log(np.abs(values)) if term.name == "power" else values
        found = found - found.mean()
    return found / np.linalg.norm(found, axis=0)


def refuse_weights(terms: ResidualTerms, weights: Any) -> None:
    """Known weights and `fixed()` say the same thing in two ways."""
    if weights is not None and any(v.name == "fixed" for v in terms.variances):
        raise FormulaError(
            "weights= and variance='fixed(...)' are both known variances: give one of them."
        )
