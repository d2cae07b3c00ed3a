"""The data of the seven approaches: outcome, predictor and group, checked and coded once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from keyword import iskeyword
from typing import Any

import numpy as np
import pandas as pd

from henderson.data import factorize, to_frame
from henderson.errors import DataError


@dataclass(frozen=True)
class Setting:
    """Complete rows of the three columns, and their names.

    Attributes
    ----------
    data : columns outcome (float), predictor (float, or a categorical of two levels) and group
        (a categorical whose levels all occur).
    factor_levels : the two levels of a factor predictor; () for a numeric one.
    n_dropped : rows left out because a value was missing.
    """

    data: pd.DataFrame
    outcome: str
    predictor: str
    group: str
    factor_levels: tuple[Any, ...]
    n_dropped: int

    @property
    def n(self) -> int:
        return len(self.data)

    @property
    def is_factor(self) -> bool:
        return bool(self.factor_levels)

    @cached_property
    def levels(self) -> list[Any]:
        """The groups, in order."""
        return list(self.data[self.group].cat.categories)

    @cached_property
    def y(self) -> np.ndarray:
        """The outcome (n,)."""
        return self.data[self.outcome].to_numpy(dtype=float)

    @cached_property
    def x(self) -> np.ndarray:
        """The predictor (n,): its values, or 0 and 1 for the two levels."""
        column = self.data[self.predictor]
        return (column.cat.codes if self.is_factor else column).to_numpy(dtype=float)

    @cached_property
    def codes(self) -> np.ndarray:
        """The group of each row (n,)."""
        return self.data[self.group].cat.codes.to_numpy()

    @property
    def what(self) -> str:
        """The predictor in words: `edu`, or `sex (Male against Female)`."""
        return in_words(self.predictor, self.factor_levels)

    @property
    def slope(self) -> str:
        """What its coefficient is called: the slope of a number, the effect of a factor."""
        return "effect" if self.is_factor else "slope"

    def formula(self, *terms: str) -> str:
        """`outcome ~ terms`, where `{x}` and `{g}` stand for the predictor and the group."""
        names = {"x": quote(self.predictor), "g": quote(self.group)}
        return f"{quote(self.outcome)} ~ " + " + ".join(t.format(**names) for t in terms)


def in_words(predictor: str, factor_levels: tuple[Any, ...]) -> str:
    """A predictor with what is compared if it is a factor."""
    if not factor_levels:
        return predictor
    first, second = factor_levels
    return f"{predictor} ({second} against {first})"


def quote(name: str) -> str:
    """A column's name as a formula writes it: in backticks unless it is a plain name."""
    return name if name.isidentifier() and not iskeyword(name) else f"`{name}`"


def prepare(data: Any, outcome: str, predictor: str, group: str) -> Setting:
    """Check the three columns.

    Parameters
    ----------
    data : any table, or the path to one.
    outcome : a numeric column. predictor : a numeric column or a factor of two levels.
    group : the column that says which rows belong together.

    Raises
    ------
    DataError : the message names the column and says what to do.
    """
    names = (outcome, predictor, group)
    _check_names(names)
    frame = to_frame(data, names)
    complete = frame.dropna()
    if complete.empty:
        raise DataError(f"No row has a value in all of {', '.join(names)}.")
    y = _outcome(complete[outcome])
    x, levels = _predictor(complete[predictor])
    table = pd.DataFrame({outcome: y, predictor: x, group: _group(complete[group])})
    return Setting(table, outcome, predictor, group, levels, len(frame) - len(complete))


def _check_names(names: tuple[str, ...]) -> None:
    for name in names:
        if not isinstance(name, str) or not name:
            raise DataError(f"Outcome, predictor and group are names of columns, not {name!r}.")
        if "`" in name or name != name.strip():
            raise DataError(f"A formula cannot hold the column name {name!r}: rename the column.")
    if len(set(names)) < 3:
        raise DataError(
            f"Outcome, predictor and group are three different columns, not {', '.join(names)}."
        )


def _outcome(column: pd.Series) -> pd.Series:
    if not _is_number(column):
        raise DataError(f"The outcome '{column.name}' is not numeric: give a column of numbers.")
    return _finite(column, "outcome", "there is nothing to explain")


def _predictor(column: pd.Series) -> tuple[pd.Series, tuple[Any, ...]]:
    """The predictor ready for a formula, and its two levels if it is a factor."""
    if _is_number(column):
        return _finite(column, "predictor", "it has no effect to estimate"), ()
    factor = factorize(column)
    if len(factor.levels) > 2:
        raise DataError(
            f"The predictor '{column.name}' has {len(factor.levels)} levels "
            f"({_some(list(factor.levels))}): it must be numeric or have two levels. "
            "Choose two of them, or recode it."
        )
    if len(factor.levels) < 2:
        raise DataError(
            f"The predictor '{column.name}' has the one level '{factor.levels[0]}': "
            "it has no effect to estimate."
        )
    return _categorical(column, factor.codes, factor.levels), tuple(factor.levels)


def _group(column: pd.Series) -> pd.Series:
    factor = factorize(column)
    count = len(factor.levels)
    if count < 2:
        raise DataError(
            f"The group '{column.name}' has the one level '{factor.levels[0]}': "
            "there are no groups to compare."
        )
    if count == len(column):
        raise DataError(
            f"The group '{column.name}' has as many levels as rows ({count}): "
            "every row would be its own group."
        )
    return _categorical(column, factor.codes, factor.levels)


def _finite(column: pd.Series, role: str, consequence: str) -> pd.Series:
    values = column.astype(float)
    if not np.isfinite(values).all():
        raise DataError(f"The {role} '{column.name}' has infinite values: remove or correct them.")
    if values.nunique() == 1:
        raise DataError(
            f"The {role} '{column.name}' is {values.iloc[0]:g} in every row: {consequence}."
        )
    return values


def _is_number(column: pd.Series) -> bool:
    numeric: Callable[[Any], bool] = pd.api.types.is_numeric_dtype
    boolean: Callable[[Any], bool] = pd.api.types.is_bool_dtype
    return numeric(column) and not boolean(column) and column.dtype.kind != "c"


def _categorical(column: pd.Series, codes: np.ndarray, levels: np.ndarray) -> pd.Series:
    values = pd.Categorical.from_codes(codes, categories=list(levels))
    return pd.Series(values, index=column.index, name=column.name)


def _some(levels: list[Any]) -> str:
    shown = ", ".join(str(v) for v in levels[:4])
    return shown + (", ..." if len(levels) > 4 else "")
