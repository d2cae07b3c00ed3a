"""The parts that pictures are made of."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from henderson.plots.marks import density, spread
from henderson.plots.style import (
    PAPER,
    TEXT_SHADE,
    digits,
    evenly,
    looks,
    pieces,
    short,
    signed,
    wrapped,
)

HEIGHTS = st.lists(st.floats(0.0, 200.0), min_size=1, max_size=12).map(np.array)


@given(HEIGHTS)
def test_labels_keep_their_order_and_their_distance(wanted: np.ndarray) -> None:
    placed = spread(wanted, 12.0, 0.0, 200.0)
    order = np.argsort(wanted, kind="stable")
    assert (np.diff(placed[order]) >= 12.0 - 1e-9).all()
    if 12.0 * (len(wanted) - 1) <= 200.0:
        assert placed.min() >= -1e-9
        assert placed.max() <= 200.0 + 1e-9


@given(st.lists(st.integers(0, 15), unique=True, min_size=1).map(lambda v: 12.5 * np.array(v)))
def test_labels_that_do_not_touch_stay_where_they_are(wanted: np.ndarray) -> None:
    assert np.allclose(spread(wanted, 12.0, 0.0, 200.0), wanted)


@given(st.text(" :_ab", max_size=60), st.integers(4, 30), st.integers(1, 4))
def test_wrapped_names_keep_to_their_room_and_lose_nothing_that_fits(
    name: str, room: int, most: int
) -> None:
    lines = wrapped(name, room, most).split("\n")
    assert len(lines) <= most
    assert max(map(len, lines)) <= room
    assert "".join(pieces(name)) == name
    whole = wrapped(name, room, 100)
    assert "".join(whole.split()) == "".join(name.split())
    if len(whole.split("\n")) <= most:
        assert "\n".join(lines) == whole


def test_names_are_broken_between_their_parts() -> None:
    assert wrapped("treatment[T.High]:sex[T.Female]") == "treatment[T.High]:\nsex[T.Female]"
    assert wrapped("Waiting list, no contact", 12) == "Waiting\nlist, no\ncontact"
    assert short("Clinic of district number 04") == "Clinic of ...number 04"


@given(st.integers(1, 60), st.integers(1, 40))
def test_an_even_choice_has_both_ends(count: int, most: int) -> None:
    values = np.random.default_rng(count).permutation(count).astype(float)
    chosen = evenly(values, most)
    assert len(chosen) == len(set(chosen)) == min(count, most)
    assert (np.diff(values[chosen]) > 0).all()
    assert values[chosen[0]] == 0.0


@given(st.integers(7, 200), st.integers(0, 6))
def test_of_many_groups_few_stand_out(count: int, reference: int) -> None:
    found = looks(np.arange(count, dtype=float), always=(reference,))
    named = {j for j, look in enumerate(found) if look.named}
    assert named == {0, count // 2, count - 1, reference}
    assert len({found[j].colour for j in named}) == len(named)


def test_a_density_integrates_to_one() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, 4000)
    grid, height = density(values)
    assert np.isclose(np.trapezoid(height, grid), 1.0, atol=2e-3)
    assert np.isclose(np.trapezoid(grid * height, grid), values.mean(), atol=2e-2)


def test_text_colours_can_be_read_on_paper() -> None:
    for shade in TEXT_SHADE.values():
        assert _contrast(shade, PAPER) >= 4.5


def _contrast(one: str, other: str) -> float:
    """WCAG 2.1, 1.4.3."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255.0
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_numbers_are_short_and_signed() -> None:
    assert [digits(v) for v in (9.42796, -0.131193, 1378.2, 0.0)] == [
        "9.43",
        "−0.131",
        "1378",
        "0",
    ]
    assert [signed(v) for v in (3.2123, -2.889)] == ["+3.21", "−2.89"]
