"""Rows and columns that take part: what is missing, left out, or refused."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from henderson.design import model_frame
from henderson.errors import DataError, FormulaError

N = 12


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "y": rng.normal(size=N),
            "x": rng.normal(size=N),
            "g": list("aabbccddeeff"),
            "unused": np.nan,
            "w": rng.uniform(1, 2, N),
        },
        index=[f"row {i}" for i in range(N)],
    )


def test_only_needed_columns_are_kept_and_the_rows_are_the_callers(data):
    frame = model_frame("y ~ log(x + 9) + (1 | g)", data)
    assert list(frame.data.columns) == ["y", "x", "g"]
    assert list(frame.data.index) == list(data.index)
    assert frame.rows.tolist() == list(range(N))
    assert (frame.n_dropped, frame.missing) == (0, {})


def test_missing_rows_are_dropped_and_counted_by_column(data):
    data.loc["row 1", ["x", "y"]] = np.nan
    data.loc["row 4", "x"] = np.nan
    data.loc["row 7", "g"] = None
    frame = model_frame("y ~ x + (1 | g)", data)
    assert frame.missing == {"y": 1, "x": 2, "g": 1}
    assert frame.n_dropped == 3
    assert frame.rows.tolist() == [0, 2, 3, 5, 6, 8, 9, 10, 11]
    assert list(frame.data.index) == [f"row {i}" for i in frame.rows]


def test_missing_values_outside_the_formula_or_the_subset_cost_nothing(data):
    data.loc["row 0", "x"] = np.nan
    frame = model_frame("y ~ x", data, subset=np.arange(N) > 0)
    assert (frame.n, frame.n_dropped, frame.missing) == (N - 1, 0, {})


def test_a_subset_as_query_or_truth_values(data):
    by_query = model_frame("y ~ x", data, subset="x > 0 and g != 'a'")
    by_array = model_frame("y ~ x", data, subset=(data.x > 0) & (data.g != "a"))
    assert 0 < by_query.n < N
    pd.testing.assert_frame_equal(by_query.data, by_array.data)


def test_weights_and_offset_go_by_position_and_lose_the_same_rows(data):
    data.loc["row 2", "x"] = np.nan
    shuffled = pd.Series(data.w.to_numpy(), index=data.index[::-1])
    by_name = model_frame("y ~ x", data, weights="w", offset="w")
    by_value = model_frame("y ~ x", data, weights=shuffled, offset=list(data.w))
    expected = data.w.drop("row 2").to_numpy()
    for frame in (by_name, by_value):
        np.testing.assert_array_equal(frame.weights, expected)
        np.testing.assert_array_equal(frame.offset, expected)


def test_a_missing_weight_is_counted(data):
    weights = data.w.to_numpy().copy()
    weights[3] = np.nan
    frame = model_frame("y ~ x", data, weights=weights)
    assert frame.missing == {"weights": 1}
    assert len(frame.weights) == N - 1


@pytest.mark.parametrize("kind", ["dict", "polars", "lazy", "arrow", "arrow dtypes", "nullable"])
def test_every_kind_of_table_gives_the_same_frame(data, kind):
    data = data.drop(columns="unused")
    table = {
        "dict": lambda: {c: data[c].to_numpy() for c in data},
        "polars": lambda: pl.from_pandas(data),
        "lazy": lambda: pl.from_pandas(data).lazy(),
        "arrow": lambda: pl.from_pandas(data).to_arrow(),
        "arrow dtypes": lambda: data.convert_dtypes(dtype_backend="pyarrow"),
        "nullable": lambda: data.convert_dtypes(),
    }[kind]()
    expected = model_frame("y ~ x + (1 | g)", data, weights="w", subset="w > 1.2")
    frame = model_frame("y ~ x + (1 | g)", table, weights="w", subset="w > 1.2")
    assert frame.rows.tolist() == expected.rows.tolist()
    for name in ("y", "x", "g"):
        assert frame.data[name].tolist() == expected.data[name].tolist()
    np.testing.assert_array_equal(frame.weights, expected.weights)


def test_nothing_is_copied_when_nothing_is_dropped(data):
    frame = model_frame("y ~ x", data)
    assert np.shares_memory(frame.data["x"].to_numpy(), data["x"].to_numpy())


@pytest.mark.parametrize(
    ("formula", "arguments", "message"),
    [
        ("y ~ z", {}, "no column 'z'"),
        ("y ~ log(X)", {}, "no column 'X' in the data: did you mean 'x'"),
        ("y ~ x + (1 | q)", {}, "no column 'q'"),
        ("y ~ x", {"weights": "v"}, "no column 'v'"),
        ("y ~ x", {"weights": [1.0, 2.0]}, "weights has 2 values; the data have 12 rows"),
        ("y ~ x", {"offset": np.ones(3)}, "offset has 3 values"),
        ("y ~ x", {"weights": "g"}, "'g' is not numeric"),
        ("y ~ x", {"weights": ["a"] * N}, "weights must be numbers"),
        ("y ~ x", {"weights": np.arange(N)}, "1 weights are zero.*subset="),
        ("y ~ x", {"weights": np.arange(N) - 3.0}, "must be positive"),
        ("y ~ x", {"weights": np.full(N, np.inf)}, "weights has infinite"),
        ("y ~ x", {"offset": np.full(N, -np.inf)}, "offset has infinite"),
        ("y ~ x", {"subset": "x > 99"}, "subset has no rows"),
        ("y ~ x", {"subset": "nope > 1"}, "cannot evaluate 'nope > 1'"),
        ("y ~ x", {"subset": np.ones(3, dtype=bool)}, "subset has 3 values"),
        ("y ~ x", {"subset": np.arange(N)}, "true or false"),
        ("y ~ x", {"subset": pd.array([True, None] * 6, dtype="boolean")}, "none missing"),
        ("y ~ unused", {}, "No row is complete: missing values 12 in unused"),
    ],
)
def test_refusals_name_the_culprit(data, formula, arguments, message):
    with pytest.raises(DataError, match=message):
        model_frame(formula, data, **arguments)


def test_infinite_values_are_refused_by_column(data):
    data.loc["row 3", "x"] = -np.inf
    with pytest.raises(DataError, match="Column 'x' has 1 infinite"):
        model_frame("y ~ x", data)
    assert model_frame("y ~ x", data, subset="x > -9").n == N - 1


def test_values_whose_sum_overflows_are_finite(data):
    data["x"] = 1.5e308
    assert model_frame("y ~ x", data).n == N


def test_no_rows(data):
    with pytest.raises(DataError, match="no rows"):
        model_frame("y ~ x", data.iloc[:0])


def test_two_columns_of_one_name(data):
    twice = pd.concat([data, data[["x"]]], axis=1)
    with pytest.raises(DataError, match="x"):
        model_frame("y ~ x", twice)


@pytest.mark.parametrize("formula", ["y ~ lgo(x)", "y ~ np.lgo(x)", "y ~ C(g, contr.foo)"])
def test_unknown_functions_are_named_with_close_matches(data, formula):
    with pytest.raises(FormulaError, match="did you mean"):
        model_frame(formula, data)


def test_context_gives_further_names_and_nothing_else_is_seen(data):
    halve = lambda v: v / 2  # noqa: E731
    with pytest.raises(FormulaError, match="'halve'"):
        model_frame("y ~ halve(x)", data)
    assert model_frame("y ~ halve(x)", data, context={"halve": halve}).n == N


def test_a_stranger_cannot_reach_attributes(data):
    for formula in ("y ~ x.values", "y ~ np.log(x)", "y ~ np"):
        with pytest.raises((FormulaError, DataError)):
            model_frame(formula, data, trusted=False)
    with pytest.raises(FormulaError, match="not trusted"):
        model_frame("y ~ x", data, subset="x.abs() > 0", trusted=False)
    assert model_frame("y ~ log(x + 9) + (1 | g)", data, trusted=False).n == N
