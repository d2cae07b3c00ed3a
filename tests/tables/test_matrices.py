"""A design printed: the names and first rows of y, X and Z."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables.fits import FORMULAS, fit_of, wide_fit

import henderson as hd
from henderson.tables.layout import columns_of
from henderson.tables.matrices import design_text


def block(text: str, start: str) -> list[list[str]]:
    """The words of the lines under a heading."""
    lines = text[text.index(start) :].split("\n\n")[0].split("\n")
    return [line.split() for line in lines[1:]]


def test_six_rows_of_y_and_x() -> None:
    fit = fit_of("score")
    rows = block(design_text(fit.design), "y (60) and X (60 x 2)")
    assert rows[0] == ["y:", "score", "Intercept", "edu"]
    values = np.array([row[1:] for row in rows[1:]], dtype=float)
    assert values.shape == (6, 3)
    np.testing.assert_allclose(values[:, 0], fit.design.y[:6], rtol=1e-3)
    np.testing.assert_array_equal(values[:, 1:], fit.design.X[:6])


@pytest.mark.parametrize("name", ["score", "sleep", "sleep_diag"])
def test_rows_and_names_of_z_are_the_designs(name: str) -> None:
    design = fit_of(name).design
    rows = block(design_text(design, rows=12), f"Z ({design.n} x {design.Z.shape[1]})")
    shown = len(rows[0])
    assert rows[0] == list(design.z_names[:shown])
    values = np.array([[v.replace(".", "0") for v in row[1:]] for row in rows[1:13]], dtype=float)
    np.testing.assert_allclose(values, design.Z[:12].toarray()[:, :shown])


@pytest.mark.parametrize("name", FORMULAS)
def test_columns_that_are_left_out_are_counted(name: str) -> None:
    design = fit_of(name).design
    for total, start in [(design.p + 1, "y ("), (design.Z.shape[1], "Z (")]:
        if not total:
            continue
        words = block(design_text(design), start)
        first = next(row for row in words if row[0] == str(design.index[0]))
        more = [int(row[2]) for row in words if row[:2] == ["...", "and"]]
        assert len(first) - 1 + sum(more) == total


def test_a_linear_model_has_no_z() -> None:
    assert "Z (" not in design_text(fit_of("lm").design)


def test_fewer_rows_than_asked_for() -> None:
    data = hd.load_dataset("classroom_scores").iloc[[0, 1, 2, 30]]
    text = design_text(hd.lm("score ~ edu", data).design, rows=6)
    assert "first 4 rows" in text


def test_a_wide_design_fits_the_screen() -> None:
    text = design_text(wide_fit(120).design)
    assert max(columns_of(line) for line in text.split("\n")) <= 80


@settings(max_examples=25)
@given(
    st.lists(st.text(min_size=1, max_size=60), min_size=3, max_size=3, unique=True),
    st.lists(st.text(max_size=40), min_size=30, max_size=30, unique=True),
    st.floats(1e-30, 1e30),
)
def test_every_line_fits_the_screen(levels: list[str], index: list[str], scale: float) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=30) * scale
    data = pd.DataFrame({"y": rng.normal(size=30), "x": x, "g": levels * 10}, index=index)
    text = design_text(hd.lmm("y ~ x + (x | g)", data).design)
    assert max(columns_of(line) for line in text.split("\n")) <= 80
