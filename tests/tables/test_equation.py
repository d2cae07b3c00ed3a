"""The equation of a model: every design, its numbers, R's call."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables.fits import FORMULAS, fit_of, wide_fit

import henderson as hd
from henderson.tables.layout import columns_of
from henderson.tables.notation import Latex, Plain, factors


def test_random_intercept() -> None:
    e = fit_of("score").equation()
    assert e.symbols.split("\n") == [
        "score_ij = b0 + b1 edu_ij + u_j + e_ij",
        "u_j ~ N(0, s2_u)",
        "e_ij ~ N(0, s2)",
    ]
    assert e.fitted.split("\n") == [
        "score_ij = 9.865 + 0.1312 edu_ij + u_j + e_ij",
        "u_j ~ N(0, 9.428)",
        "e_ij ~ N(0, 0.8693)",
    ]
    assert e.r_formula == "lmer(score ~ edu + (1 | classroom), data, REML = TRUE)"


def test_random_slope_has_a_covariance_matrix() -> None:
    lines = fit_of("sleep").equation().fitted.split("\n")
    assert lines[0] == "Reaction_ij = 251.4 + 10.47 Days_ij + u0_j + u1_j Days_ij + e_ij"
    assert lines[1] == "(u0_j, u1_j) ~ N(0, D_u)"
    cells = [float(v) for v in re.findall(r"[\d.]+", " ".join(lines[2:4]).replace("D_u", ""))]
    expected = fit_of("sleep").varcorr()["Subject"].to_numpy().ravel()
    np.testing.assert_allclose(cells, expected, rtol=1e-3)


def test_uncorrelated_effects_have_variances_of_their_own() -> None:
    lines = fit_of("sleep_diag").equation().symbols.split("\n")
    assert lines[1:3] == ["u0_j ~ N(0, s2_u0)", "u1_j ~ N(0, s2_u1)"]


def test_several_factors_have_letters_of_their_own() -> None:
    e = fit_of("crossed").equation()
    assert e.symbols.split("\n")[0] == "diameter_ijk = b0 + u_j + v_k + e_ijk"
    assert "j the 24 levels of plate, k the 6 levels of sample" in e.legend


def test_nested_groups_are_written_out_for_r() -> None:
    e = fit_of("nested", "ML").equation()
    assert e.r_formula == (
        "lmer(yield ~ nitro * Variety + (1 | Block) + (1 | Block:Variety), data, REML = FALSE)"
    )


def test_interactions_are_products_and_indicators_are_read_out() -> None:
    e = fit_of("lm").equation()
    assert "edu_i [classroom = c1]_i" in " ".join(e.symbols.split())
    assert e.r_formula == "lm(score ~ edu * classroom, data)"
    assert e.symbols.endswith("+ e_i\ne_i ~ N(0, s2)")


def test_weights_and_offset_are_part_of_the_model() -> None:
    data = hd.load_dataset("classroom_scores").assign(w=2.0, o=1.0)
    e = hd.lm("score ~ edu", data, weights="w", offset="o").equation()
    assert "+ offset_i + e_i" in e.symbols
    assert "e_i ~ N(0, s2 / w_i)" in e.symbols
    assert e.r_formula == "lm(score ~ edu, data, weights = weights, offset = offset)"


def test_many_columns_are_a_vector() -> None:
    e = wide_fit(120).equation()
    assert e.symbols.startswith("y_i = x_i' b + e_i")
    assert "X's 120 columns, Intercept, " in " ".join(e.legend.split())
    assert "C(g)[T.119]" in e.legend


def test_python_functions_become_rs() -> None:
    data = hd.load_dataset("sleepstudy")
    fit = hd.lmm("log(Reaction) ~ C(Days) + (1 | Subject)", data)
    assert fit.equation().r_formula.startswith("lmer(log(Reaction) ~ factor(Days) + (1 | Subject)")


def test_names_that_are_none_in_r_are_in_backticks() -> None:
    data = hd.load_dataset("sleepstudy").rename(columns={"Reaction": "log time", "Days": "_day"})
    data["function"], data["a.b"], data["my id"] = (
        data["_day"] % 3,
        1.0 + data["_day"],
        data.Subject,
    )
    data["rep"] = data["_day"].isin([0, 2, 4]).astype(str)
    fixed = "`log time` ~ _day + C(function) + center(_day) + `a.b`:rep + np.exp(Q('a.b') / 9)"
    in_r = (
        "`log time` ~ `_day` + factor(`function`) + scale(`_day`, scale = FALSE) + "
        "a.b:rep + exp(a.b / 9)"
    )
    plain = hd.lmm(f"{fixed} + (_day | `my id`) + (1 | rep:`my id`)", data)
    assert plain.equation().r_formula == (
        f"lmer({in_r} + (`_day` | `my id`) + (1 | rep:`my id`), data, REML = TRUE)"
    )
    structured = hd.lmm(
        "`log time` ~ 1 + (1 | `my id`)", data,
        correlation="ar1(_day | `my id`)", variance="ident(`function`)",
    )  # fmt: skip
    assert structured.equation().r_formula == (
        "lme(`log time` ~ 1, data, random = ~ 1 | `my id`, "
        "correlation = corAR1(form = ~ `_day` | `my id`), "
        'weights = varIdent(form = ~ 1 | `function`), method = "REML")'
    )


def test_negative_coefficients_are_subtracted() -> None:
    data = hd.load_dataset("sleepstudy").assign(y=lambda d: -d["Reaction"])
    e = hd.lmm("y ~ Days + (1 | Subject)", data).equation()
    assert e.fitted.startswith("y_ij = -251.4 - 10.47 Days_ij + u_j + e_ij")


@pytest.mark.parametrize("name", FORMULAS)
def test_latex_is_balanced(name: str) -> None:
    latex = fit_of(name).equation().latex
    assert latex.count("{") == latex.count("}")
    assert latex.count(r"\begin") == latex.count(r"\end")
    assert latex.startswith(r"\begin{aligned}")
    assert fit_of(name).equation()._repr_latex_().count("$") == 2


@given(st.text(min_size=1, max_size=30))
def test_latex_escapes_every_name(name: str) -> None:
    bare = re.sub(r"\\[a-zA-Z]+|\\[^a-zA-Z]", "", Latex().name(name, "i"))
    assert not set(bare) & set("#$%&~^")
    assert bare.count("{") == bare.count("}")


@given(st.lists(st.text(alphabet="abc[](). ", min_size=1, max_size=8), min_size=1, max_size=4))
def test_products_split_at_colons_outside_brackets(parts: list[str]) -> None:
    assert ":".join(factors(":".join(parts))) == ":".join(parts)
    assert factors("edu:classroom[T.c1:2]") == ["edu", "classroom[T.c1:2]"]


@given(st.text(max_size=100))
def test_plain_names_stay_on_one_line(name: str) -> None:
    assert len(Plain().name(name, "ij").splitlines()) == 1


IDENTIFIERS = st.from_regex(r"\A[a-z_][a-z0-9_]{0,99}\Z")
LEVELS = st.lists(st.text(min_size=1, max_size=60), min_size=3, max_size=3, unique=True)


@settings(max_examples=25)
@given(st.lists(IDENTIFIERS, min_size=3, max_size=3, unique=True), LEVELS)
def test_every_line_fits_the_screen(names: list[str], levels: list[str]) -> None:
    y, x, g = (f"v_{name}" for name in names)
    rng = np.random.default_rng(0)
    data = pd.DataFrame({y: rng.normal(size=30), x: rng.normal(size=30), g: levels * 10})
    for fit in (hd.lmm(f"{y} ~ {x} + ({x} | {g})", data), hd.lm(f"{y} ~ {x} * {g}", data)):
        for text in (str(fit.equation()), str(fit)):
            assert max(columns_of(line) for line in text.split("\n")) <= 80
