"""Columns as a model uses them: numbers as float64, labels as factors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from henderson.data.factors import Factor, factorize
from henderson.errors import DataError, DesignError

Levels = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Columns:
    """The columns of a frame, converted once each, when first asked for.

    Parameters
    ----------
    data : complete rows, length n.
    levels : for new rows of an old design the levels of its factors: a label that is not among
        them is an error, and the other columns are numbers. None for a new design.
    """

    data: pd.DataFrame
    levels: Levels | None = None
    _factors: dict[str, Factor] = field(default_factory=dict)
    _numbers: dict[str, np.ndarray] = field(default_factory=dict)
    _labels: dict[str, bool] = field(default_factory=dict)

    @property
    def n(self) -> int:
        return len(self.data)

    def __contains__(self, name: object) -> bool:
        return name in self.data

    def is_factor(self, name: str) -> bool:
        """Whether the column holds labels: text, or a categorical."""
        if name not in self._labels:
            known = self.levels
            self._labels[name] = holds_labels(self.data[name]) if known is None else name in known
        return self._labels[name]

    def factor(self, name: str) -> Factor:
        """The column as a factor: codes (n,) and levels."""
        if name not in self._factors:
            values = self.data[name]
            known = self.levels
            self._factors[name] = (
                factorize(values) if known is None else _recode(values, known[name])
            )
        return self._factors[name]

    def number(self, name: str) -> np.ndarray:
        """The column (n,) as float64, without a copy where it is that already."""
        if name not in self._numbers:
            self._numbers[name] = as_numbers(self.data[name])
        return self._numbers[name]

    def table(self, names: tuple[str, ...]) -> pd.DataFrame:
        """The columns as formulaic wants them: floats, booleans, categoricals of used levels."""
        values = {name: self._value(name) for name in names}
        return pd.DataFrame(values, index=pd.RangeIndex(self.n), copy=False)

    def _value(self, name: str) -> Any:
        if self.is_factor(name):
            factor = self.factor(name)
            return pd.Categorical.from_codes(
                factor.codes, categories=pd.Index(factor.levels), validate=False
            )
        if self.data[name].dtype == bool:
            return self.data[name].to_numpy()
        return self.number(name)


def holds_labels(values: pd.Series) -> bool:
    """Whether a column is text or a categorical, rather than numbers or truth values."""
    dtype = values.dtype
    if isinstance(dtype, np.dtype):
        return dtype.kind in "OUS" and not _numbers_in_disguise(values)
    return isinstance(dtype, pd.CategoricalDtype) or not (
        pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype) or is_time(dtype)
    )


def _numbers_in_disguise(values: pd.Series) -> bool:
    """An object column of nothing but numbers or truth values."""
    inferred = pd.api.types.infer_dtype(values, skipna=True)
    return inferred in ("integer", "floating", "mixed-integer-float", "boolean", "decimal")


def is_time(dtype: Any) -> bool:
    """Whether a dtype holds dates or durations."""
    if isinstance(dtype, np.dtype):
        return dtype.kind in "mM"
    return isinstance(dtype, pd.DatetimeTZDtype | pd.PeriodDtype) or (
        str(dtype).startswith(("timestamp", "date", "duration", "time"))
    )


def as_numbers(values: pd.Series) -> np.ndarray:
    """A numeric column as float64 (n,), missing values as NaN.

    Raises
    ------
    DataError : dates, complex numbers, labels.
    """
    dtype = values.dtype
    if is_time(dtype):
        raise DataError(
            f"Column '{values.name}' holds dates or durations: make a column of numbers from it, "
            "such as days since the start."
        )
    if dtype == np.float64:
        return values.to_numpy()
    if holds_labels(values) or (isinstance(dtype, np.dtype) and dtype.kind == "c"):
        raise DataError(f"Column '{values.name}' is not numeric: {_example(values)}.")
    return np.asarray(values.to_numpy(dtype=np.float64, na_value=np.nan))


def _example(values: pd.Series) -> str:
    present = values.dropna()
    return f"it holds values such as {present.iloc[0]!r}" if len(present) else "it is empty"


def _recode(values: pd.Series, levels: np.ndarray) -> Factor:
    """Codes of new values among known levels; raises `DesignError` for a label not among them."""
    codes = level_codes(values, levels)
    unseen = values[(codes < 0) & values.notna().to_numpy()]
    if len(unseen):
        labels = ", ".join(repr(v) for v in pd.unique(unseen.astype(object))[:5])
        raise DesignError(
            f"Column '{values.name}' has levels that the fit has not seen: {labels}. "
            f"It knows {', '.join(str(v) for v in levels[:10])}{', ...' * (len(levels) > 10)}."
        )
    return Factor(codes, levels)


def level_codes(values: pd.Series, levels: np.ndarray) -> np.ndarray:
    """Position (n,) of each value among `levels`, -1 where it is missing or not there.

    A number matches the label that writes it, as in R, so that 308 finds the level "308".
    """
    if isinstance(values.dtype, pd.CategoricalDtype):
        of_category = level_codes(pd.Series(values.cat.categories), levels)
        codes = values.cat.codes.to_numpy()
        return np.where(codes >= 0, np.append(of_category, -1)[codes], -1)
    codes = pd.Index(levels).get_indexer(pd.Index(values))
    lost = np.flatnonzero((codes < 0) & values.notna().to_numpy())
    if len(lost):
        labels = pd.Index([label(v) for v in levels])
        distinct, inverse = np.unique(
            np.array([label(v) for v in values.iloc[lost]], dtype=object), return_inverse=True
        )
        codes[lost] = labels.get_indexer(distinct)[inverse]
    return codes.astype(np.intp, copy=False)


def label(value: Any) -> str:
    """A level as text: whole numbers without a decimal point."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)
