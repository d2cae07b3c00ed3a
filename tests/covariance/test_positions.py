"""Random terms whose left-hand side is a position, and terms by strata."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from henderson.design import Design, build
from henderson.design.columns import Columns
from henderson.errors import HendersonError

T = [0.0, 1.0, 3.0]
DATA = pd.DataFrame(
    {
        "y": np.sin(np.arange(24.0)),
        "g": np.repeat(["a", "b", "c", "d"], 6),
        "t": np.tile(np.repeat(T, 2), 4),
        "when": np.tile(np.repeat(["early", "mid", "late"], 2), 4),
        "u": np.tile([0.5, 1.5], 12),
        "sex": ["F"] * 12 + ["M"] * 12,
        "x": np.linspace(0.0, 1.0, 24),
    }
)


def slot_of(term: str, data: pd.DataFrame = DATA) -> tuple[Design, np.ndarray]:
    design = build(f"y ~ x + sex + {term}", data)
    assert len(design.random) == 1
    return design, design.random[0].z


@pytest.mark.parametrize("lhs", ["t", "0 + t", "t - 1", "-1 + t"])
def test_a_position_has_an_indicator_for_every_distinct_value(lhs: str) -> None:
    design, z = slot_of(f"ar1({lhs} | g)")
    (slot,) = design.random[0].slots
    assert slot.names == ("t[0]", "t[1]", "t[3]")
    assert_array_equal(z, DATA["t"].to_numpy()[:, None] == T)
    assert slot.positions is not None
    assert_array_equal(slot.positions[:, 0], T)


def test_steps_begin_at_the_first_position_and_skip_what_is_not_there() -> None:
    design, _ = slot_of("ar1(0 + t | g)", DATA.assign(t=10.0 + 2.0 * DATA["t"]))
    positions = design.random[0].slots[0].positions
    assert positions is not None
    assert_array_equal(positions[:, 0], T)


@pytest.mark.parametrize("lhs", ["0 + when", "C(when)", "factor(t)"])
def test_labels_are_positions_in_their_order(lhs: str) -> None:
    ordered = pd.Categorical(DATA["when"], ["early", "mid", "late"])
    design, z = slot_of(f"ar1({lhs} | g)", DATA.assign(when=ordered))
    slot = design.random[0].slots[0]
    assert slot.positions is not None
    assert_array_equal(slot.positions[:, 0], [0, 1, 2])
    assert_array_equal(z, DATA["t"].to_numpy()[:, None] == T)


def test_two_coordinates_are_one_position() -> None:
    design, z = slot_of("exp(0 + t + u | g)")
    slot = design.random[0].slots[0]
    assert slot.names[:3] == ("t[0]:u[0.5]", "t[0]:u[1.5]", "t[1]:u[0.5]")
    assert slot.positions is not None
    assert slot.positions.shape == (6, 2)
    assert_allclose(z @ slot.positions, DATA[["t", "u"]])


def test_a_position_may_be_an_expression() -> None:
    design, _ = slot_of("ou(0 + log(t + 1) | g)")
    positions = design.random[0].slots[0].positions
    assert positions is not None
    assert_allclose(positions[:, 0], np.log(np.array(T) + 1.0))


@pytest.mark.parametrize("term", ["ar1(0 + t | g)", "exp(t + u | g)", "ar1(when | g)"])
def test_new_rows_have_the_same_columns(term: str) -> None:
    design, z = slot_of(term)
    rows = [5, 0, 13]
    _, found = design.new(DATA.iloc[rows]).random[0]
    assert_array_equal(found, z[rows])


def test_a_new_position_is_refused() -> None:
    design, _ = slot_of("ar1(0 + t | g)")
    with pytest.raises(HendersonError, match=r"no random effect at t\[2\]"):
        design.new(DATA.iloc[:2].assign(t=2.0))


def test_strata_have_columns_of_their_own() -> None:
    design, z = slot_of("us(x | g, by=sex)")
    slot = design.random[0].slots[0]
    assert slot.names == ("sex[F]:Intercept", "sex[F]:x", "sex[M]:Intercept", "sex[M]:x")
    assert slot.strata == 2
    female = (DATA["sex"] == "F").to_numpy()
    plain = np.column_stack([np.ones(24), DATA["x"]])
    assert_allclose(z[female], np.column_stack([plain, 0 * plain])[female])
    assert_allclose(z[~female], np.column_stack([0 * plain, plain])[~female])
    _, found = design.new(DATA.iloc[[20, 1]]).random[0]
    assert_allclose(found, z[[20, 1]])
    with pytest.raises(HendersonError, match="a level that the fit has not seen: 'X'"):
        design.random[0].slots[0].spec.matrix(Columns(DATA.iloc[:2].assign(sex="X"), {}))


@pytest.mark.parametrize(
    ("term", "message"),
    [
        ("ar1(1 | g)", "takes one position"),
        ("ar1(0 + t + u | g)", "takes one position"),
        ("exp(1 | g)", r"takes positions, as in \(0 \+ x \+ y"),
        ("ou(0 + when | g)", "holds labels"),
        ("gau(0 + C(t) | g)", "holds labels"),
        ("ar1(0 + exp(t) | g)", "not evenly spaced"),
        ("toep(0 + I(t * t) | g)", "no two positions.*2 steps"),
        ("ar1(0 + day | g)", "no column 'day'"),
        ("us(1 | g, by=y0)", "no column 'y0'"),
        ("us(1 | g, stratum=sex)", "has no option 'stratum'"),
        ("ar1(0 + t | g, range=2)", "has no option 'range'"),
    ],
)
def test_refusals(term: str, message: str) -> None:
    with pytest.raises(HendersonError, match=message):
        slot_of(term)


@pytest.mark.parametrize("structure", ["us", "diag", "cs", "toep", "htoep"])
def test_one_row_for_every_effect_leaves_nothing_to_the_residual(structure: str) -> None:
    single = DATA[DATA["u"] == 0.5].assign(when=lambda d: pd.Categorical(d["when"]))
    with pytest.raises(HendersonError, match=r"told from the residual.*us\(when \| g\)"):
        slot_of(f"{structure}(0 + when | g)", single)
    slot_of(f"{structure}(0 + when | g)", DATA)
    slot_of("ar1(0 + when | g)", single)
