"""A table as plain arrays and JSON, for a file that holds data and no code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from henderson.errors import DataError


def pack(table: pd.DataFrame) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A table of complete rows (n): what JSON tells of it, and its columns as arrays (n,).

    Numbers stay what they are; labels become codes, with the labels in the description.

    Raises
    ------
    DataError : a column of something else than numbers, truth values and text.
    """
    columns = {name: table[name] for name in table.columns}
    packed = [_packed(values, f"Column '{name}'") for name, values in columns.items()]
    index, places = _packed(table.index.to_series(), "The index")
    about = {
        "names": list(columns),
        "columns": [how for how, _ in packed],
        "index": index,
        "index_name": _label(table.index.name, "The index's name"),
    }
    return about, {"index": places, **{f"column{i}": a for i, (_, a) in enumerate(packed)}}


def unpack(about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """The table that `pack` took apart."""
    index = pd.Index(_unpacked(about["index"], arrays["index"]), name=about["index_name"])
    pairs = enumerate(zip(about["names"], about["columns"], strict=True))
    columns = {name: _unpacked(how, arrays[f"column{i}"]) for i, (name, how) in pairs}
    return pd.DataFrame(columns, index=index)


def _packed(values: pd.Series, what: str) -> tuple[dict[str, Any], np.ndarray]:
    dtype, is_type = values.dtype, pd.api.types
    if isinstance(dtype, pd.CategoricalDtype):
        labels = [_label(v, what) for v in dtype.categories]
        return {"labels": labels, "ordered": bool(dtype.ordered)}, values.cat.codes.to_numpy()
    if is_type.is_bool_dtype(dtype):
        return {}, values.to_numpy(bool)
    if is_type.is_numeric_dtype(dtype) and not is_type.is_complex_dtype(dtype):
        return {}, values.to_numpy(float if is_type.is_float_dtype(dtype) else np.int64)
    codes, found = pd.factorize(values)
    return {"labels": [_label(v, what) for v in found]}, codes


def _label(value: Any, what: str) -> Any:
    plain = value.item() if isinstance(value, np.generic) else value
    if not isinstance(plain, str | int | float | None):
        raise DataError(f"{what} holds {value!r}, which has no plain form: make it text.")
    return plain


def _unpacked(how: Mapping[str, Any], values: np.ndarray) -> Any:
    if "ordered" in how:
        return pd.Categorical.from_codes(values, how["labels"], ordered=how["ordered"])
    return np.array(how["labels"], dtype=object)[values] if "labels" in how else values
