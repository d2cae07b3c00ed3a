"""Text keeps to its columns whatever the names and numbers are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from henderson.tables.layout import Grid, clean, columns_of, elide, flow, wrap
from henderson.tables.numerals import LONGEST, column, common_decimals, fixed, number, p_value

TEXTS = st.text(max_size=120)
ANY = st.floats(allow_nan=True, allow_infinity=True)


def lengths(text: str) -> list[int]:
    return [columns_of(line) for line in text.split("\n")]


@given(TEXTS, st.integers(0, 100))
def test_an_elided_name_fits_its_room(text: str, room: int) -> None:
    assert columns_of(elide(text, room)) <= room


@given(st.text(alphabet="abc_é ", max_size=40))
def test_a_name_that_fits_is_left_as_it_is(text: str) -> None:
    assert elide(text, 40) == text


def test_eliding_keeps_both_ends() -> None:
    assert elide("classroom[T.a_very_long_level]", 15) == "classr...level]"


@given(TEXTS)
def test_a_cleaned_name_stays_on_one_line(text: str) -> None:
    assert clean(text).isprintable()
    assert len(clean(text).splitlines()) <= 1


@given(TEXTS, st.text(alphabet=" -", max_size=6))
def test_wrapped_lines_fit(text: str, indent: str) -> None:
    assert max(lengths(wrap(text, "Formula: ", indent))) <= 80


@given(st.lists(st.text(alphabet="abc", min_size=1, max_size=30), max_size=30))
def test_wrapping_loses_no_word(words: list[str]) -> None:
    assert flow(words, rest="  ").split() == words


def test_a_random_term_is_not_torn_apart() -> None:
    text = "x" * 68 + " (edu || classroom)."
    assert wrap(text).split("\n")[1] == "(edu || classroom)."


@given(st.lists(st.tuples(TEXTS, TEXTS, ANY, ANY), min_size=1, max_size=8))
def test_a_grid_fits_and_is_aligned(rows: list[tuple[str, str, float, float]]) -> None:
    cells = [(a, b, number(x), number(y)) for a, b, x, y in rows]
    lines = Grid(("", "Name", "Estimate", "df"), tuple(cells), labels=2).lines(" ")
    assert len(lines) == 1 + len(rows)
    assert all(columns_of(line) <= 80 for line in lines)
    assert len({columns_of(line) for line in lines}) == 1


@given(st.lists(ANY, max_size=10), st.integers(1, 6))
def test_numbers_are_short_and_read_back(values: list[float], digits: int) -> None:
    for value, text in zip(values, column(values, digits), strict=True):
        assert len(text) <= LONGEST
        assert abs(value) > 1e300 or value != value or abs(float(text) - value) <= 0.5 * abs(value)


@given(st.floats(-1e6, 1e6), st.integers(1, 6))
def test_a_number_has_its_significant_digits(value: float, digits: int) -> None:
    assert abs(float(number(value, digits)) - value) <= 0.51 * 10.0 ** (1 - digits) * abs(value)


def test_values_far_apart_have_no_common_decimals() -> None:
    assert common_decimals([612.09, 35.0717]) == 2
    assert common_decimals([1.5e-4, 1e5]) is None
    assert column([1.5e-9, 1e6]) == ["1.500e-09", "1000000"]


def test_no_negative_zero() -> None:
    assert fixed(-0.0001, 2) == "0.00"


def test_p_values() -> None:
    assert [p_value(p) for p in (0.00099, 0.001, 0.0366434, 1.0)] == [
        "<0.001",
        "0.0010",
        "0.0366",
        "1.0000",
    ]
