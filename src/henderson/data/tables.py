"""Any table -> a pandas data frame with the columns asked for.

pandas frames pass through with their index. polars, Arrow, DuckDB and whatever else narwhals
reads, mappings of arrays, and paths to CSV or Parquet files are converted; columns that are not
asked for are never read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from henderson.errors import DataError, did_you_mean

CSV_ENDINGS = (".csv", ".csv.gz", ".csv.xz", ".csv.bz2", ".csv.zip")
PARQUET_ENDINGS = (".parquet", ".pq")


def to_frame(data: Any, columns: Iterable[str] | None = None) -> pd.DataFrame:
    """The columns of a table, as pandas.

    Parameters
    ----------
    data : pandas, polars or Arrow table (anything narwhals reads, lazy frames too), mapping of
        names to arrays (n,), or path to a .csv (.gz, .xz, .bz2, .zip) or .parquet file.
    columns : names to keep, in this order; all if None.

    Returns
    -------
    DataFrame with n >= 1 rows. A pandas table keeps its index, and from pandas 3 on its memory.

    Raises
    ------
    DataError : not a table, no rows, an unknown column, two columns of one name, columns of
        unequal length, a file that cannot be read.
    """
    names = None if columns is None else list(dict.fromkeys(columns))
    frame = _reader(data)(data, names)
    if frame.empty and (names is None or names):
        what = "rows" if len(frame.columns) else "columns"
        raise DataError(f"The data have no {what}: give at least one.")
    return frame


def to_series(values: Any, name: str = "values") -> pd.Series:
    """One column, as pandas: from a list, array, or a pandas, polars or Arrow series.

    Raises
    ------
    DataError : not one-dimensional; `name` is what the message calls it.
    """
    if isinstance(values, pd.Series):
        return values
    if _is_polars_categorical(values):
        return _sorted_categories(_convert(values))
    if hasattr(values, "to_pandas"):
        return pd.Series(_convert(values))
    if not isinstance(values, pd.Index | pd.api.extensions.ExtensionArray):
        values = _array(values, name)
    return pd.Series(values)


def _reader(data: Any) -> Callable[[Any, list[str] | None], pd.DataFrame]:
    if isinstance(data, pd.DataFrame):
        return _select
    if isinstance(data, str | PathLike):
        return _read_file
    if isinstance(data, Mapping):
        return _from_mapping
    return _from_narwhals


def _select(frame: pd.DataFrame, names: list[str] | None) -> pd.DataFrame:
    _check_names(list(frame.columns), names)
    return frame if names is None else frame[names]


def _check_names(have: Sequence[Any], names: Sequence[str] | None) -> None:
    """Refuse unknown columns, and duplicates among those that are wanted."""
    known = set(have)
    for name in names or ():
        if name not in known:
            raise DataError(f"Unknown column '{name}': {did_you_mean(name, have)}")
    wanted = known if names is None else set(names)
    twice = [str(name) for name, count in Counter(have).items() if count > 1 and name in wanted]
    if twice:
        raise DataError(f"More than one column is called {', '.join(twice)}: rename or drop one.")


# ---- mappings


def _from_mapping(data: Mapping[Any, Any], names: list[str] | None) -> pd.DataFrame:
    _check_names(list(data), names)
    wanted = list(data) if names is None else names
    series = {name: to_series(data[name], f"Column '{name}'") for name in wanted}
    _check_lengths({name: len(s) for name, s in series.items()})
    return pd.DataFrame({n: s.array for n, s in series.items()}, index=_common_index(data, series))


def _check_lengths(lengths: Mapping[str, int]) -> None:
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise DataError(f"Columns have unequal lengths ({listed}): give one value per row.")


def _common_index(data: Mapping[Any, Any], series: Mapping[str, pd.Series]) -> pd.Index | None:
    """The index of the pandas columns; arrays have none.

    Columns are never aligned, which would make missing values of rows that do not match.
    """
    indexed = {n: s.index for n, s in series.items() if isinstance(data[n], pd.Series)}
    if not indexed:
        return None
    first, *others = indexed
    for name in others:
        if not indexed[name].equals(indexed[first]):
            raise DataError(
                f"Columns '{first}' and '{name}' are pandas Series with different indices: "
                "put them into one DataFrame first, or give plain arrays."
            )
    return indexed[first]


def _array(values: Any, name: str) -> np.ndarray:
    """A list or array (n,); a list that mixes types keeps the types of its elements."""
    array = np.asarray(values, dtype=object) if isinstance(values, list | tuple) else values
    array = np.asarray(array)
    if array.ndim != 1:
        raise DataError(f"{name} has shape {array.shape}: give one value per row.")
    if isinstance(values, list | tuple):
        return np.asarray(pd.Series(array).infer_objects().array)
    return array


# ---- other data frames


def _from_narwhals(data: Any, names: list[str] | None) -> pd.DataFrame:
    import narwhals as nw

    table = _open(data)
    schema = table.collect_schema()
    _check_names(schema.names(), names)
    if names is not None:
        table = table.select(names)
    if isinstance(table, nw.LazyFrame):
        table = table.collect()
    frame: pd.DataFrame = _convert(table)
    if table.implementation.is_polars():
        unordered = [name for name in frame.columns if schema[name] == nw.Categorical]
        frame = frame.assign(**{name: _sorted_categories(frame[name]) for name in unordered})
    return frame


def _open(data: Any) -> Any:
    """A narwhals frame, eager or lazy."""
    import narwhals as nw

    try:
        return nw.from_native(data)
    except TypeError:
        raise DataError(
            f"{type(data).__name__} is not a table: give a pandas, polars or Arrow table, "
            "a dict of arrays, or the path to a CSV or Parquet file."
        ) from None
    except nw.exceptions.DuplicateError as error:
        said = " ".join(str(error).split())
        raise DataError(f"Columns of one name, rename or drop one: {said}.") from error


def _convert(table: Any) -> Any:
    try:
        return table.to_pandas()
    except ImportError as error:
        raise DataError(
            f"{type(table).__name__} needs pyarrow to be read: pip install pyarrow."
        ) from error


def _is_polars_categorical(values: Any) -> bool:
    dtype = str(getattr(values, "dtype", ""))
    return type(values).__module__.startswith("polars.") and dtype.startswith("Categorical")


def _sorted_categories(series: pd.Series) -> pd.Series:
    """polars numbers the strings of a Categorical as the process meets them, in any table: that
    is no order of levels, unlike an Enum's. Sort them, and drop the strings of other tables."""
    values = series.cat.remove_unused_categories()
    return values.cat.reorder_categories(sorted(values.cat.categories))


# ---- files


def _read_file(path: str | PathLike[str], names: list[str] | None) -> pd.DataFrame:
    file = Path(path)
    if not file.is_file():
        raise DataError(f"There is no file '{file}': check the path.")
    if file.name.lower().endswith(CSV_ENDINGS):
        read = _read_csv
    elif file.name.lower().endswith(PARQUET_ENDINGS):
        read = _read_parquet
    else:
        raise DataError(
            f"'{file}' has an unknown ending: {', '.join(CSV_ENDINGS + PARQUET_ENDINGS)} are read."
        )
    try:
        return read(file, names)
    except (DataError, MemoryError):
        raise
    except ImportError as error:
        raise DataError(f"Reading '{file}' needs pyarrow: pip install pyarrow.") from error
    except Exception as error:  # each decoder has exceptions of its own, with no common root
        raise DataError(f"'{file}' cannot be read: {error}") from error


def _read_csv(file: Path, names: list[str] | None) -> pd.DataFrame:
    # pandas renames a second "x" to "x.1": read the header as a row to see what the file says.
    header = pd.read_csv(file, header=None, nrows=1, dtype=str).iloc[0]
    _check_names(list(header.dropna()), names)
    return _select(pd.read_csv(file, usecols=names), names)


def _read_parquet(file: Path, names: list[str] | None) -> pd.DataFrame:
    import pyarrow.parquet as pq

    _check_names(pq.read_schema(file).names, names)
    return _select(pd.read_parquet(file, columns=names), names)
