"""The model frame: complete rows of the columns that a formula needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd

from henderson.data.tables import to_frame, to_series
from henderson.design.columns import as_numbers, holds_labels
from henderson.design.context import required_columns, unknown_column
from henderson.errors import DataError
from henderson.formula import Formula, parse
from henderson.formula.names import names, refuse_unsafe


@dataclass(frozen=True)
class ModelFrame:
    """Rows and columns that take part in a fit.

    Parameters
    ----------
    data : complete rows (n) of the needed columns, with the caller's index.
    n_total : rows of the caller's table.
    n_dropped : rows of the subset left out because a value is missing.
    missing : column -> its missing values among the rows of the subset, where there are any.
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
    also: Iterable[str] = (),
) -> ModelFrame:
    """Keep the complete rows of the columns that `formula` needs, and of those in `also`.

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
    given = {k: v for k, v in (("weights", weights), ("offset", offset)) if v is not None}
    extra = [v for v in given.values() if isinstance(v, str)]
    extra += names(subset).variables if isinstance(subset, str) else ()
    table, needed = _read(
        data,
        extra,
        lambda have: _with(
            required_columns(formula, have, context or {}, trusted), also, have, context or {}
        ),
    )
    by_row = {name: _by_row(table, value, name) for name, value in given.items()}
    columns = {name: _column(table, name) for name in needed}
    return _keep(table, columns, by_row, _subset(table, subset))


def _with(
    needed: tuple[str, ...], also: Iterable[str], have: Iterable[Any], context: Mapping[str, Any]
) -> tuple[str, ...]:
    """The columns needed and those of `also` that are no constants.

    Raises
    ------
    DataError : a name that is neither.
    """
    known, also = set(have), tuple(also)
    for name in also:
        root = name.partition(".")[0]
        if name not in known and root not in known and root not in (*context, "np", "pi"):
            raise unknown_column(name, have)
    return tuple(dict.fromkeys([*needed, *(name for name in also if name in known)]))


def read_columns(data: Any, needed: Iterable[str]) -> pd.DataFrame:
    """A table with at least these columns; pandas as it is, others converted only in part."""
    wanted = tuple(dict.fromkeys(needed))
    table = to_frame(data) if isinstance(data, pd.DataFrame) else to_frame(data, wanted)
    for name in wanted:
        _column(table, name)
    return table


def _read(
    data: Any, extra: list[str], required: Callable[[Iterable[Any]], tuple[str, ...]]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The table and the columns needed; only those are converted where names cost nothing."""
    have = _column_names(data)
    if have is None:
        table = to_frame(data)
        return table, required(table.columns)
    needed = required(have)
    known = set(have)
    return to_frame(data, [*needed, *(name for name in extra if name in known)]), needed


def _column_names(data: Any) -> list[Any] | None:
    """Names of the columns of a mapping, a polars or an Arrow table; None for anything else."""
    if isinstance(data, pd.DataFrame | str | PathLike):
        return None
    if isinstance(data, Mapping):
        return list(data)
    if hasattr(data, "collect_schema"):
        return list(data.collect_schema().names())
    for attribute in ("column_names", "columns"):
        found = getattr(data, attribute, None)
        if isinstance(found, list) and all(isinstance(name, str) for name in found):
            return found
    return None


def _keep(
    table: pd.DataFrame,
    columns: dict[str, pd.Series],
    by_row: dict[str, pd.Series],
    selected: np.ndarray | None,
) -> ModelFrame:
    """The complete rows of the subset."""
    missing, bad = _missing({**columns, **by_row}, selected)
    kept = selected if bad is None else (~bad if selected is None else selected & ~bad)
    if kept is not None:
        columns = {name: values[kept] for name, values in columns.items()}
        by_row = {name: values[kept] for name, values in by_row.items()}
    frame = ModelFrame(
        data=pd.DataFrame(
            columns, index=table.index if kept is None else table.index[kept], copy=False
        ),
        n_total=len(table),
        n_dropped=0 if bad is None else int(bad.sum()),
        missing=missing,
        kept=kept,
        weights=_numbers(by_row, "weights"),
        offset=_numbers(by_row, "offset"),
    )
    _check_rows(frame)
    refuse_infinite(columns)
    _check_weights(frame.weights)
    return frame


def _column(table: pd.DataFrame, name: str) -> pd.Series:
    if name not in table.columns:
        raise unknown_column(name, table.columns)
    values = table[name]
    if isinstance(values, pd.DataFrame):
        raise DataError(f"The data have {values.shape[1]} columns named '{name}': rename them.")
    return values


def _by_row(table: pd.DataFrame, given: Any, what: str) -> pd.Series:
    """`weights` or `offset` as a column: by name, or by position whatever the index."""
    if isinstance(given, str):
        return _column(table, given)
    values = to_series(given, what)
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
    if values.dtype == object and all(isinstance(v, bool | np.bool_) for v in values):
        values = values.astype(bool)
    if values.dtype != bool:
        raise DataError("subset must be true or false in every row, with none missing, or a query.")
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
    """Where a column is missing (N,), or None if nowhere, found in one cheap pass."""
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
