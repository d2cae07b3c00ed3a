"""Factors: codes and levels say exactly what the column of labels said."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from henderson.data import Factor, cross, factorize
from henderson.errors import DataError

integers = st.integers(-(2**62), 2**62)
LABELS = {
    "strings": st.lists(st.none() | st.text(max_size=3)),
    "narrow integers": st.lists(st.integers(-3, 12)),
    "wide integers": st.lists(integers),
    "floats": st.lists(st.floats(allow_infinity=False)),
    "booleans": st.lists(st.booleans()),
    "dates": st.lists(st.none() | st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1))),
}
labels = st.one_of(*LABELS.values())


def decoded(factor: Factor) -> list[object]:
    """The labels that a factor stands for, None where missing."""
    levels = factor.levels.tolist()
    return [None if code < 0 else levels[code] for code in factor.codes]


def missing_as_none(values: list[object]) -> list[object]:
    return [None if pd.isna(v) else v for v in values]


@given(labels)
def test_codes_and_levels_give_the_labels_back(values: list[object]) -> None:
    assert decoded(factorize(values)) == missing_as_none(values)


@given(labels)
def test_levels_are_sorted_distinct_and_used(values: list[object]) -> None:
    factor = factorize(values)
    levels = factor.levels.tolist()
    assert levels == sorted(set(missing_as_none(values)) - {None})
    assert set(factor.codes.tolist()) - {-1} == set(range(len(levels)))


@given(st.lists(integers, min_size=1), st.integers(0, 99))
def test_levels_do_not_depend_on_the_order_of_rows(values: list[int], seed: int) -> None:
    rows = np.random.default_rng(seed).permutation(len(values))
    factor, shuffled = factorize(values), factorize(np.asarray(values)[rows])
    assert shuffled.levels.tolist() == factor.levels.tolist()
    assert shuffled.codes.tolist() == factor.codes[rows].tolist()


@given(st.lists(st.sampled_from("abcd") | st.none(), min_size=1), st.permutations("abcdxyz"))
def test_a_categorical_keeps_its_own_order_without_unused_levels(
    values: list[str | None], order: list[str]
) -> None:
    factor = factorize(pd.Categorical(values, categories=order))
    assert factor.levels.tolist() == [level for level in order if level in values]
    assert decoded(factor) == values


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        (np.array([10, 9, 2], dtype=np.uint8), [2, 9, 10]),
        (np.array([127, -128], dtype=np.int8), [-128, 127]),
        (np.array([2**64 - 1, 2**64 - 3], dtype=np.uint64), [2**64 - 3, 2**64 - 1]),
        (np.array([10.0, 9.5, np.nan]), [9.5, 10.0]),
        (np.array([10.0, 9.0, np.nan]), [9, 10]),
        (np.array([1e300, 2.0]), [2.0, 1e300]),
        (pd.Series([3.0, None, 1.0], dtype=object), [1, 3]),
        (pd.Categorical([2.0, 1.0, None], categories=[2.0, 1.0]), [2, 1]),
        (["10", "9", "Zoe", "adam", "Émile"], ["10", "9", "Zoe", "adam", "Émile"]),
        (np.array(["b", "a"]), ["a", "b"]),
        ([True, False], [False, True]),
        (["b", 2, "a", 1.5, None], [1.5, 2, "a", "b"]),
        (pd.array([3, None, 1], dtype="Int64"), [1, 3]),
        (pd.Series(["b", None, "a"], dtype="string"), ["a", "b"]),
        (pd.Index(["b", "a"]), ["a", "b"]),
        (pl.Series(["b", None, "a"]), ["a", "b"]),
        (pa.chunked_array([["b"], ["a", None]]), ["a", "b"]),
        (pl.Series(["b", "a"], dtype=pl.Enum(["z", "b", "a"])), ["b", "a"]),
        (pa.DictionaryArray.from_arrays([1, 0, None], ["z", "a"]), ["z", "a"]),
    ],
)
def test_level_order_by_type(values: object, levels: list[object]) -> None:
    found = factorize(values).levels.tolist()
    assert found == levels
    assert [type(v) for v in found] == [type(v) for v in levels]


def test_days_are_levels_in_order_of_time() -> None:
    days = pd.to_datetime(["2024-03-01", None, "2023-12-31"])
    factor = factorize(days)
    assert factor.codes.tolist() == [1, -1, 0]
    assert factor.levels.astype("datetime64[D]").astype(str).tolist() == [
        "2023-12-31",
        "2024-03-01",
    ]


def test_a_polars_categorical_is_sorted_whatever_the_process_saw_before() -> None:
    pl.Series(["zz", "b"]).cast(pl.Categorical)
    factor = factorize(pl.Series(["b", "a", None, "b"]).cast(pl.Categorical))
    assert factor.levels.tolist() == ["a", "b"]
    assert factor.codes.tolist() == [1, 0, -1, 1]


def test_no_rows_make_no_levels() -> None:
    factor = factorize(np.array([], dtype=int))
    assert len(factor) == len(factor.levels) == 0


@pytest.mark.parametrize("values", [[[1], [2]], np.zeros((3, 2))])
def test_two_dimensional_labels_are_refused(values: object) -> None:
    with pytest.raises(DataError, match="one value per row"):
        factorize(values)


def test_labels_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(DataError, match="cannot be labels"):
        factorize(pd.Series([{"a": 1}, {"b": 2}]))


# ---- crossed factors

letters = st.sampled_from("ab") | st.none()
numbers = st.sampled_from([3, 20]) | st.none()
rows = st.lists(st.tuples(letters, numbers, letters))


@given(rows)
def test_two_rows_share_a_crossed_level_when_they_share_both(values: list[tuple]) -> None:
    a, b = ([row[k] for row in values] for k in (0, 1))
    found = decoded(cross(factorize(a), factorize(pd.array(b, dtype="Int64"))))
    expected = [None if None in (x, y) else f"{x}:{y}" for x, y in zip(a, b, strict=True)]
    assert found == expected


@given(rows)
def test_crossed_levels_occur_and_follow_the_first_factor_then_the_second(values: list) -> None:
    a, b = ([row[k] for row in values] for k in (0, 1))
    factor = cross(factorize(a), factorize(pd.array(b, dtype="Int64")))
    occurring = sorted({(x, y) for x, y in zip(a, b, strict=True) if None not in (x, y)})
    assert factor.levels.tolist() == [f"{x}:{y}" for x, y in occurring]


@given(rows)
def test_crossing_is_associative(values: list[tuple]) -> None:
    a, b, c = (factorize(pd.array([row[k] for row in values])) for k in range(3))
    at_once, in_turn = cross(a, b, c), cross(a, cross(b, c))
    assert at_once.levels.tolist() == in_turn.levels.tolist()
    assert at_once.codes.tolist() == in_turn.codes.tolist()


def test_whole_numbers_held_as_floats_are_labelled_without_decimals() -> None:
    crossed = cross(factorize([1.0, 2.5]), factorize(["x", "x"]))
    assert crossed.levels.tolist() == ["1:x", "2.5:x"]


def test_a_factor_crossed_with_nothing_is_itself() -> None:
    factor = factorize(["b", "a"])
    assert cross(factor) is factor


def test_crossed_labels_that_would_coincide_are_refused() -> None:
    with pytest.raises(DataError, match="'a:b:c'"):
        cross(factorize(["a:b", "a"]), factorize(["c", "b:c"]))


def test_factors_of_unequal_length_are_refused() -> None:
    with pytest.raises(DataError, match="2 and 1 rows"):
        cross(factorize(["a", "b"]), factorize(["a"]))
