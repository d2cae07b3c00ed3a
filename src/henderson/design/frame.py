"""The model frame: complete rows of the columns that a formula needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from henderson.data.tables import to_frame
from henderson.design.columns import as_numbers, holds_labels
from henderson.design.context import required_columns, unknown_column
from henderson.errors import DataError
from henderson.formula import Formula, parse
from henderson.formula.names import refuse_unsafe


@dataclass(frozen=True)
class ModelFrame:
    """Rows and columns that take part in a fit.

    Parameters
    ----------
    data : complete rows (n) of the needed columns, with the caller's index.
    n_total : rows of the caller's table.
    n_dropped : rows left out because a value is missing (rows outside `subset` are not counted).
    missing : column -> number of missing values among the rows of the subset; only columns with any.
    kept : (n_total,) which rows are kept, None when all are.
    weights, offset : (n,) the arguments of these names for the rows kept, or None.
    """

    data: pd.DataFrame
    n_total: int
    n_dropped: int = 0
    missing: Mapping[str, int] = field(default_factory=dict)
    kept: np.ndarray | None = None
    weights: np.ndarray | None = None
    offset: np.ndarray | None = None

    @cached_property
    def rows(self) -> np.ndarray:
        """Positions (n,) of the kept rows in the caller's table."""
        return np.arange(self.n_total) if self.kept is None else np.flatnonzero(self.kept)

    @property
    def n(self) -> int:
        return len(self.data)


def model_frame(
    formula: str | Formula,
    data: Any,
    weights: Any = None,
    offset: Any = None,
    subset: Any = None,
    *,
    context: Mapping[str, Any] | None = None,
    trusted: bool = True,
) -> ModelFrame:
    """Keep the complete rows of the columns that `formula` needs.

    Parameters
    ----------
    data : any table that `data.tables.to_frame` reads, N rows.
    weights : a column's name or values (N,) by position, finite and positive; var = sigma^2 / w.
    offset : a column's name or values (N,) by position.
    subset : truth values (N,) by position, or a pandas query such as "age > 10".
    context : names that the formula may use beside the columns.
    trusted : False restricts the formula to `formula.FUNCTIONS` and columns.

    Raises
    ------
    DataError : unknown columns, wrong lengths, infinite values, no rows left, bad weights.
    FormulaError : functions that are not known or not allowed.
    """
    formula = parse(formula, frozenset(context or ()))
    if isinstance(subset, str) and not trusted:
        refuse_unsafe(subset)
    table = to_frame(data)
    names = required_columns(formula, table.columns, context or {}, trusted)
    columns = {name: _column(table, name) for name in names}
    by_row = {"weights": _by_row(table, weights, "weights"), "offset": _by_row(table, offset, "offset")}
    given = {name: values for name, values in by_row.items() if values is not None}
    selected = _subset(table, subset)
    missing, bad = _missing({**columns, **given}, selected)
    kept = selected if bad is None else (~bad if selected is None else selected & ~bad)
    if kept is not None:
        columns = {name: values[kept] for name, values in columns.items()}
        given = {name: values[kept] for name, values in given.items()}
    frame = ModelFrame(
        data=pd.DataFrame(columns, index=_index(table, kept), copy=False),
        n_total=len(table),
        n_dropped=0 if bad is None else int(bad.sum()),
        missing=missing,
        kept=kept,
        weights=_numbers(given, "weights"),
        offset=_numbers(given, "offset"),
    )
    _check_rows(frame)
    refuse_infinite(columns)
    _check_weights(frame.weights)
    return frame


def _index(table: pd.DataFrame, kept: np.ndarray | None) -> pd.Index:
    return table.index if kept is None else table.index[kept]


def _column(table: pd.DataFrame, name: str) -> pd.Series:
    if name not in table.columns:
        raise unknown_column(name, table.columns)
    values = table[name]
    if isinstance(values, pd.DataFrame):
        raise DataError(f"The data have {values.shape[1]} columns named '{name}': rename them.")
    return values


def _by_row(table: pd.DataFrame, given: Any, what: str) -> pd.Series | None:
    """`weights` or `offset` as a column: by name, or by position whatever the index."""
    if given is None:
        return None
    if isinstance(given, str):
        return _column(table, given)
    values = given if isinstance(given, pd.Series) else pd.Series(np.asarray(given))
    if len(values) != len(table):
        raise DataError(f"{what} has {len(values)} values; the data have {len(table)} rows.")
    if holds_labels(values):
        raise DataError(f"{what} must be numbers.")
    return pd.Series(as_numbers(values.rename(what)), index=table.index, name=what)


def _numbers(given: Mapping[str, pd.Series], what: str) -> np.ndarray | None:
    if what not in given:
        return None
    values = as_numbers(given[what])
    if not np.isfinite(values).all():
        raise DataError(f"{what} has infinite values: leave those rows out with subset=.")
    return values


def _subset(table: pd.DataFrame, subset: Any) -> np.ndarray | None:
    """Truth values (N,) of a subset."""
    if subset is None:
        return None
    if isinstance(subset, str):
        subset = _query(table, subset)
    values = np.asarray(subset)
    if values.shape != (len(table),):
        raise DataError(
            f"subset has {values.size} values; the data have {len(table)} rows: "
            "give one truth value a row, or a query such as 'age > 10'."
        )
    if values.dtype == object and not pd.isna(values).any():
        values = values.astype(bool) if all(isinstance(v, bool | np.bool_) for v in values) else values
    if values.dtype != bool:
        raise DataError(
            "subset must be true or false in every row, with none missing, or a query."
        )
    return values


def _query(table: pd.DataFrame, query: str) -> Any:
    try:
        return table.eval(query, engine="python")
    except Exception as error:
        raise DataError(f"subset: cannot evaluate '{query}': {error}") from error


def _missing(
    columns: Mapping[str, pd.Series], selected: np.ndarray | None
) -> tuple[dict[str, int], np.ndarray | None]:
    """Missing values by column, and the rows (N,) with any; None where there is none."""
    counts: dict[str, int] = {}
    bad: np.ndarray | None = None
    for name, values in columns.items():
        absent = _absent(values)
        if absent is None:
            continue
        if selected is not None:
            absent = absent & selected
        count = int(absent.sum())
        if count:
            counts[name] = count
            bad = absent if bad is None else bad | absent
    return counts, bad


def _absent(values: pd.Series) -> np.ndarray | None:
    """Where a column is missing (N,), or None when that is known to be nowhere, in one cheap pass."""
    dtype = values.dtype
    if isinstance(dtype, np.dtype):
        if dtype.kind in "iub":
            return None
        if dtype.kind == "f" and _all_finite(values.to_numpy()):
            return None
    if isinstance(dtype, pd.CategoricalDtype):
        codes = values.cat.codes.to_numpy()
        return codes < 0 if codes.min(initial=0) < 0 else None
    return values.isna().to_numpy()


def _all_finite(values: np.ndarray) -> bool:
    """True only if all are finite: a sum is not, as soon as one term is not."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(values.sum()))


def _check_rows(frame: ModelFrame) -> None:
    if frame.n:
        return
    if not frame.n_total:
        raise DataError("The data have no rows.")
    if frame.missing:
        where = ", ".join(f"{count} in {name}" for name, count in frame.missing.items())
        raise DataError(f"No row is complete: missing values {where}.")
    raise DataError("The subset has no rows.")


def refuse_infinite(columns: Mapping[str, pd.Series]) -> None:
    """Raise `DataError` for a column of numbers with infinite values; missing ones are left be."""
    for name, values in columns.items():
        if isinstance(values.dtype, np.dtype) and values.dtype.kind != "f":
            continue
        if holds_labels(values) or not pd.api.types.is_float_dtype(values.dtype):
            continue
        numbers = as_numbers(values)
        if not _all_finite(numbers) and np.isinf(numbers).any():
            raise DataError(
                f"Column '{name}' has {int(np.isinf(numbers).sum())} infinite values: "
                "make them missing or leave those rows out with subset=."
            )


def _check_weights(weights: np.ndarray | None) -> None:
    if weights is None or weights.min() > 0:
        return
    if weights.min() < 0:
        raise DataError("weights must be positive: var = sigma^2 / weight.")
    raise DataError(
        f"{int((weights == 0).sum())} weights are zero: leave those rows out with subset=."
    )
