"""Which rows take part, and the column that says which group each belongs to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from henderson.data.tables import to_frame
from henderson.errors import DataError, Note, did_you_mean

ARRAY_LABEL = "Group"


@dataclass(frozen=True)
class Rows:
    """The caller's table cut to the subset, with a column of groups.

    Parameters
    ----------
    table : (n) rows.
    group : name of the column of groups.
    label : what statsmodels calls the groups: the column's name where `groups` was one, or "Group".
    notes : what there is to say about the choice of rows.
    """

    table: pd.DataFrame
    group: str
    label: str
    notes: tuple[Note, ...] = ()


def choose_rows(data: Any, groups: Any, subset: Any) -> Rows:
    """Cut the table to `subset` and find its groups.

    Parameters
    ----------
    data : any table that `data.tables.to_frame` reads, N rows.
    groups : a column's name, or labels (N,) by position; (n,) where the subset has n rows.
    subset : truth values (N,), or labels of the index; None for all rows.

    Raises
    ------
    DataError : no groups, a column that is not there, a wrong length, a subset of no row.
    """
    table = to_frame(data)
    if groups is None:
        raise DataError(
            "mixedlm needs groups=: the name of the column of groups, or one label a row."
        )
    if isinstance(groups, str):
        if groups not in table.columns:
            raise DataError(
                f"groups: there is no column '{groups}' in the data: "
                f"{did_you_mean(groups, table.columns)}"
            )
        cut, notes = _cut(table, subset)
        return Rows(cut, groups, groups, notes)
    return _with_labels(table, groups, subset)


def _with_labels(table: pd.DataFrame, groups: Any, subset: Any) -> Rows:
    """Labels by row become a column of their own."""
    values = _labels(groups)
    name = _free_name(table.columns)
    whole = len(values) == len(table)
    cut, notes = _cut(_with_column(table, name, values) if whole else table, subset)
    if not whole:
        if len(values) != len(cut):
            raise DataError(
                f"groups has {len(values)} labels; the data have {len(table)} rows"
                + (f", {len(cut)} in the subset." if subset is not None else ".")
            )
        cut = _with_column(cut, name, values)
    return Rows(cut, name, ARRAY_LABEL, notes)


def _labels(groups: Any) -> Any:
    """Labels (N,) by position; a categorical stays one."""
    if isinstance(groups, pd.Series | pd.Index):
        return groups.array
    if isinstance(groups, pd.Categorical):
        return groups
    values = np.asarray(groups)
    if values.ndim != 1:
        raise DataError(f"groups has shape {values.shape}; it needs one label a row.")
    return values


def _with_column(table: pd.DataFrame, name: str, values: Any) -> pd.DataFrame:
    return table.assign(**{name: pd.Series(values, index=table.index)})


def _free_name(taken: Iterable[Any]) -> str:
    name, used = ARRAY_LABEL, set(taken)
    while name in used:
        name += "_"
    return name


def _cut(table: pd.DataFrame, subset: Any) -> tuple[pd.DataFrame, tuple[Note, ...]]:
    if subset is None:
        return table, ()
    try:
        kept = table.loc[subset]
    except Exception as error:
        raise DataError(
            f"subset: {error}. Give one truth value a row, or labels of the index."
        ) from error
    if not isinstance(kept, pd.DataFrame) or not len(kept):
        raise DataError("The subset has no rows.")
    note = Note(
        "subset",
        f"{len(kept)} of {len(table)} rows are in the subset and take part.",
        "statsmodels' mixedlm does not apply its subset argument: cut the data there to compare.",
    )
    return kept, (note,)
