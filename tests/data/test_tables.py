"""Whatever holds the table, the same columns come out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from henderson.data import to_frame, to_series
from henderson.errors import DataError

FRAME = pd.DataFrame(
    {
        "y": [1.5, np.nan, -2.0],
        "n": [3, 1, 2],
        "g": ["b", "a", None],
        "f": pd.Categorical(["lo", "hi", "lo"], categories=["lo", "hi"]),
        "ok": [True, False, True],
    }
)


def as_written(path: Path) -> dict[str, Any]:
    """The table in every form that is read, and the path of a file of each kind."""
    text = {f"csv{end}": path / f"t.csv{end}" for end in ("", ".gz", ".xz", ".bz2", ".zip")}
    for file in text.values():
        FRAME.to_csv(file, index=False)
    FRAME.to_parquet(path / "t.parquet")
    arrow = pa.Table.from_pandas(FRAME)
    return text | {
        "csv as str": str(text["csv"]),
        "parquet": path / "t.parquet",
        "pandas": FRAME,
        "polars": pl.from_pandas(FRAME),
        "polars lazy": pl.from_pandas(FRAME).lazy(),
        "arrow": arrow,
        "dict of series": {name: FRAME[name] for name in FRAME},
        "dict of arrays": {name: FRAME[name].to_numpy() for name in FRAME},
        "dict of lists": {name: FRAME[name].tolist() for name in FRAME},
        "dict of polars": dict(zip(FRAME, pl.from_pandas(FRAME).get_columns(), strict=True)),
        "dict of arrow": dict(zip(FRAME, arrow.columns, strict=True)),
    }


@pytest.mark.parametrize("columns", [None, ["g", "y"], ["y", "y", "f"], ["n", "ok"]])
def test_every_kind_of_table_gives_the_same_columns(tmp_path: Path, columns: Any) -> None:
    expected = FRAME if columns is None else FRAME[list(dict.fromkeys(columns))]
    for kind, table in as_written(tmp_path).items():
        found = to_frame(table, columns)
        assert list(found.columns) == list(expected.columns), kind
        for name in expected:
            assert found[name].isna().tolist() == expected[name].isna().tolist(), kind
            assert found[name].dropna().tolist() == expected[name].dropna().tolist(), kind


def test_level_orders_survive_where_the_table_has_them(tmp_path: Path) -> None:
    table = as_written(tmp_path)
    for kind in ("pandas", "arrow", "parquet", "dict of series", "dict of arrow"):
        assert to_frame(table[kind])["f"].cat.categories.tolist() == ["lo", "hi"], kind


def test_polars_enums_keep_their_order_and_categoricals_are_sorted() -> None:
    pl.Series(["zz", "hi"]).cast(pl.Categorical)
    table = pl.DataFrame(
        {
            "enum": pl.Series(["lo", "hi"], dtype=pl.Enum(["lo", "hi"])),
            "cat": pl.Series(["lo", "hi"]).cast(pl.Categorical),
        }
    )
    frame = to_frame(table)
    assert frame["enum"].cat.categories.tolist() == ["lo", "hi"]
    assert frame["cat"].cat.categories.tolist() == ["hi", "lo"]
    assert frame["cat"].tolist() == ["lo", "hi"]


def test_a_pandas_table_keeps_its_index_and_shares_its_memory() -> None:
    frame = FRAME.set_index(pd.Index([7, 5, 6], name="id"))
    found = to_frame(frame, ["y", "n"])
    assert found.index.equals(frame.index)
    assert np.shares_memory(found["y"].to_numpy(), frame["y"].to_numpy())


def test_series_in_a_dict_keep_their_common_index() -> None:
    index = pd.Index(["p", "q"])
    table = {"a": pd.Series([1, 2], index=index), "b": np.array([3, 4])}
    assert to_frame(table).index.equals(index)


def test_series_in_a_dict_are_never_aligned() -> None:
    table = {"a": pd.Series([1, 2], index=[0, 1]), "b": pd.Series([1, 2], index=[1, 2])}
    with pytest.raises(DataError, match=r"'a' and 'b'.*different indices"):
        to_frame(table)


def test_an_unknown_column_is_named_with_its_neighbours(tmp_path: Path) -> None:
    for kind, table in as_written(tmp_path).items():
        with pytest.raises(DataError, match="Unknown column 'yy': did you mean 'y'") as caught:
            to_frame(table, ["n", "yy"])
        assert "\n" not in str(caught.value), kind


def test_case_does_not_hide_a_neighbour() -> None:
    with pytest.raises(DataError, match="did you mean 'Days'"):
        to_frame({"Days": [1]}, ["days"])


def test_without_neighbours_the_columns_are_listed() -> None:
    with pytest.raises(DataError, match="known: y, n, g, f, ok"):
        to_frame(FRAME, ["temperature"])


@pytest.mark.parametrize("table", [FRAME.iloc[:0], {"y": []}, pl.DataFrame({"y": []})])
def test_a_table_without_rows_is_refused(table: Any) -> None:
    with pytest.raises(DataError, match="no rows"):
        to_frame(table, ["y"])


@pytest.mark.parametrize("table", [pd.DataFrame(), {}, pd.DataFrame(index=[1, 2])])
def test_a_table_without_columns_is_refused(table: Any) -> None:
    with pytest.raises(DataError, match="no columns"):
        to_frame(table)


def test_columns_of_one_name_are_refused_where_they_matter(tmp_path: Path) -> None:
    twice = pd.DataFrame([[1, 2, 3]], columns=["x", "y", "x"])
    twice.to_csv(tmp_path / "twice.csv", index=False)
    for table in (twice, tmp_path / "twice.csv"):
        for columns in (None, ["x"]):
            with pytest.raises(DataError, match="More than one column is called x"):
                to_frame(table, columns)
        assert to_frame(table, ["y"])["y"].tolist() == [2]


def test_an_arrow_table_with_columns_of_one_name_is_refused() -> None:
    with pytest.raises(DataError, match=r"rename or drop one.*'x'"):
        to_frame(pa.table([[1], [2], [3]], names=["x", "y", "x"]))


def test_columns_of_unequal_length_are_named() -> None:
    with pytest.raises(DataError, match=r"\(a 2, b 3\)"):
        to_frame({"a": [1, 2], "b": [1, 2, 3]})


def test_a_matrix_is_no_column() -> None:
    with pytest.raises(DataError, match=r"Column 'a' has shape \(2, 2\)"):
        to_frame({"a": np.eye(2)})


def test_a_single_value_is_no_column() -> None:
    with pytest.raises(DataError, match=r"Column 'a'.*one value per row"):
        to_frame({"a": 1.0, "b": [1, 2]})


@pytest.mark.parametrize("thing", [3, None, np.eye(2), [1, 2]])
def test_what_is_no_table_is_refused_by_its_type(thing: Any) -> None:
    with pytest.raises(DataError, match=f"{type(thing).__name__} is not a table"):
        to_frame(thing)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(DataError, match=r"no file 'nowhere\.csv'"):
        to_frame("nowhere.csv")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.xlsx", b"x"),
        ("t.csv", b""),
        ("t.csv", b"a,b\n1,2\n1,2,3,4\n"),
        ("t.csv.gz", b"no gzip"),
        ("t.csv.xz", b"no xz"),
        ("t.parquet", b"no parquet"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(DataError, match=name):
        to_frame(file)


def test_without_pyarrow_a_parquet_file_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FRAME.to_parquet(tmp_path / "t.parquet")
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DataError, match="pip install pyarrow"):
        to_frame(tmp_path / "t.parquet")


def test_a_series_passes_through() -> None:
    series = FRAME["y"]
    assert to_series(series) is series


@pytest.mark.parametrize(
    "values", [[1, 2], (1, 2), range(1, 3), np.array([1, 2]), pl.Series([1, 2])]
)
def test_any_sequence_is_a_column(values: Any) -> None:
    series = to_series(values)
    assert series.tolist() == [1, 2]
    assert series.dtype == np.int64
