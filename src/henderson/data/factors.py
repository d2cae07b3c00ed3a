"""Labels -> integer codes and levels, in time linear in the rows."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from henderson.data.tables import to_series
from henderson.errors import DataError

# Counting integers takes memory for their range: worth it up to so many times the rows.
RANGE_PER_ROW = 4
# Floats up to here that are whole are one integer each.
EXACT = 2.0**53


@dataclass(frozen=True, eq=False)
class Factor:
    """A grouping of rows.

    Attributes
    ----------
    codes : (n,) intp, the level of each row; -1 where the label is missing.
    levels : (J,) labels, of the values' own type, but whole floats are integers: a column of
        integers holds floats as soon as one is missing. Each is used by a row.
    """

    codes: np.ndarray
    levels: np.ndarray

    def __len__(self) -> int:
        return len(self.codes)


def factorize(values: Any) -> Factor:
    """Code a column of labels (n,): None and NaN become -1.

    Levels are in a categorical's own order, otherwise sorted: numbers numerically, strings by
    code point (never by locale), numbers before strings if a column has both.

    Raises
    ------
    DataError : not one-dimensional, or values that cannot be labels (lists, dicts).
    """
    series = to_series(values, "A grouping factor")
    if isinstance(series.dtype, pd.CategoricalDtype):
        return _with_whole_levels(_from_categorical(series.array))
    if _is_countable(series):
        return _count(series.to_numpy())
    try:
        codes, uniques = pd.factorize(series)
    except TypeError as error:
        raise DataError(f"A grouping factor has values that cannot be labels: {error}.") from error
    return _with_whole_levels(_sorted(codes, uniques.to_numpy()))


def cross(first: Factor, *others: Factor) -> Factor:
    """The interaction of factors (n,): a level per combination that occurs.

    Levels are ordered by the first factor's levels, then the second's; their labels are the
    factors' labels joined with ":". A row with a missing label in any factor is missing.

    Raises
    ------
    DataError : factors of unequal length, or two combinations whose joined labels are equal.
    """
    crossed = first
    for other in others:
        crossed = _cross_two(crossed, other)
    return crossed


def _from_categorical(values: pd.Categorical) -> Factor:
    codes = values.codes.astype(np.intp)
    return _drop_unused(codes, values.categories.to_numpy())


def _drop_unused(codes: np.ndarray, levels: np.ndarray) -> Factor:
    used = np.bincount(codes + 1, minlength=len(levels) + 1)[1:] > 0
    if used.all():
        return Factor(codes, levels)
    # The last entry serves the code -1.
    new = np.append(np.cumsum(used) - 1, -1)
    return Factor(new[codes], levels[used])


def _with_whole_levels(factor: Factor) -> Factor:
    """Levels that are floats, all of them whole, as integers."""
    levels = factor.levels
    if levels.dtype.kind == "O" and all(isinstance(v, float) for v in levels):
        levels = levels.astype(float)
    whole = levels.dtype.kind == "f" and np.all(levels == np.rint(levels))
    if not whole or np.abs(levels).max(initial=0.0) > EXACT:
        return factor
    return Factor(factor.codes, levels.astype(np.int64))


def _is_countable(series: pd.Series) -> bool:
    """Whether the values are integers in a range that is narrow for their number."""
    if not isinstance(series.dtype, np.dtype) or series.dtype.kind not in "iu" or series.empty:
        return False
    span = int(series.max()) - int(series.min())
    return span < RANGE_PER_ROW * len(series) and np.can_cast(series.dtype, np.intp)


def _count(values: np.ndarray) -> Factor:
    """Integers, coded without hashing."""
    low, high = int(values.min()), int(values.max())
    levels = np.arange(low, high + 1).astype(values.dtype)
    return _drop_unused(values.astype(np.intp) - low, levels)


def _sorted(codes: np.ndarray, levels: np.ndarray) -> Factor:
    order = _order(levels)
    rank = np.empty(len(order) + 1, dtype=np.intp)
    rank[order] = np.arange(len(order))
    rank[-1] = -1
    return Factor(rank[codes], levels[order])


def _order(levels: np.ndarray) -> np.ndarray:
    try:
        return np.argsort(levels, kind="stable")
    except TypeError:
        keys = [_mixed_key(level) for level in levels]
        return np.asarray(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.intp)


def _mixed_key(level: Any) -> tuple[bool, float, str]:
    is_number = isinstance(level, Real)
    return (not is_number, float(level) if is_number else 0.0, str(level))


def _cross_two(a: Factor, b: Factor) -> Factor:
    if len(a) != len(b):
        raise DataError(f"Factors of {len(a)} and {len(b)} rows cannot be crossed.")
    width = max(len(b.levels), 1)
    missing = (a.codes < 0) | (b.codes < 0)
    pairs = factorize((a.codes * width + b.codes)[~missing])
    codes = np.full(len(a), -1, dtype=np.intp)
    codes[~missing] = pairs.codes
    return Factor(codes, _joined(a.levels, b.levels, pairs.levels // width, pairs.levels % width))


def _joined(a: np.ndarray, b: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    left, right = [_text(v) for v in a], [_text(v) for v in b]
    labels = [f"{left[i]}:{right[j]}" for i, j in zip(rows, columns, strict=True)]
    if len(set(labels)) < len(labels):
        twice = next(label for i, label in enumerate(labels) if label in labels[:i])
        raise DataError(f"Two crossed levels would both be called '{twice}': rename some levels.")
    return np.asarray(labels, dtype=object)


def _text(level: Any) -> str:
    """A label as text; a whole number held as a float has no decimals."""
    return str(int(level)) if isinstance(level, float) and level.is_integer() else str(level)
