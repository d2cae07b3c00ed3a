"""F-tests of terms: agreement with lmerTest, and what must not depend on the coding."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_cases import ReferenceCase, lmer_cases, load_case

import henderson as hd
from henderson.errors import DesignError

CASES = [c for c in lmer_cases() if "anova_type3" in (c.results.get("satterthwaite") or {})]
REGULAR = [c.id for c in CASES if not c.is_singular]


@cache
def fit_of(case_id: str) -> Any:
    case = load_case(case_id)
    return hd.lmm(case.formula, case.data(), method=case.method, **case.keywords)


def coded_otherwise(case: ReferenceCase) -> bool:
    """Some factor of the fixed part has no treatment coding: lmerTest's rows are then others."""
    return any(c.henderson != c.name and c.henderson in case.formula for c in case.columns)


def row_of(case: ReferenceCase, table: pd.DataFrame, r_term: str) -> pd.Series:
    coded = {c.name: c.henderson for c in case.columns}
    name = ":".join(coded.get(part, part) for part in r_term.split(":")).replace("^", "**")
    (found,) = [
        row for _, row in table.iterrows() if row["term"].replace(" ", "") == name.replace(" ", "")
    ]
    return found


def assert_agrees(case: ReferenceCase, stored: dict[str, Any], ours: Any, df_tol: float) -> None:
    assert len(ours.table) == len(stored)
    for term, expected in stored.items():
        row = row_of(case, ours.table, term)
        if expected["F"] is None:
            assert row["num_df"] == 0
            assert np.isnan(row["f"])
            continue
        assert row["num_df"] == expected["num_df"]
        for name in ("sum_sq", "mean_sq"):
            assert row[name] == pytest.approx(expected[name], rel=1e-5)
        assert row["f"] == pytest.approx(expected["F"], rel=1e-5)
        assert row["den_df"] == pytest.approx(expected["den_df"], rel=df_tol)
        assert row["p_value"] == pytest.approx(expected["p"], rel=1e-2, abs=1e-12)


@pytest.mark.parametrize("type_", [1, 2, 3])
@pytest.mark.parametrize("case_id", REGULAR)
def test_satterthwaite_is_lmertest(case_id: str, type_: int) -> None:
    case = load_case(case_id)
    stored = case.results["satterthwaite"][f"anova_type{type_}"]
    df_tol = 2e-2 if coded_otherwise(case) else 1e-4
    assert_agrees(case, stored, fit_of(case_id).anova(type=type_), df_tol)


KENWARD_ROGER = [
    c.id
    for c in CASES
    if not c.is_singular and c.results.get("kenward_roger", {}).get("anova_type3")
]


@pytest.mark.parametrize("case_id", KENWARD_ROGER)
def test_kenward_roger_is_lmertest(case_id: str) -> None:
    case = load_case(case_id)
    stored = case.results["kenward_roger"]["anova_type3"]
    assert_agrees(case, stored, fit_of(case_id).anova(ddf="kenward-roger"), 1e-4)


# ---- the coding does not matter


@cache
def unbalanced() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    n = 160
    data = pd.DataFrame(
        {
            "a": rng.choice(["a1", "a2", "a3"], n, p=[0.6, 0.3, 0.1]),
            "b": rng.choice(["b1", "b2"], n, p=[0.3, 0.7]),
            "x": rng.normal(2.0, 1.0, n),
            "g": rng.integers(0, 12, n).astype(str),
        }
    )
    level = rng.normal(0, 1.0, 12)[data["g"].astype(int)]
    data["y"] = level + (data["a"] == "a2") * data["x"] + (data["b"] == "b2") + rng.normal(0, 1, n)
    return data


CODINGS = ["{}", "C({}, contr.sum)", "C({}, contr.helmert)", "C({}, contr.poly)"]
MODELS = ["{a} * {b}", "{a} * {b} + x", "{a} * x + {b}", "{a} * {b} * x", "{a}:{b} + x", "{a}/{b}"]


@cache
def unbalanced_fit(model: str, coding: str) -> Any:
    text = model.format(a=coding.format("a"), b=coding.format("b"))
    return hd.lmm(f"y ~ {text} + (1 | g)", unbalanced())


@pytest.mark.parametrize("type_", [1, 2, 3])
@pytest.mark.parametrize("ddf", ["satterthwaite", "kenward-roger"])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("coding", CODINGS[1:])
def test_no_type_depends_on_the_coding(type_: int, ddf: Any, model: str, coding: str) -> None:
    plain, coded = unbalanced_fit(model, "{}"), unbalanced_fit(model, coding)
    one, other = plain.anova(type=type_, ddf=ddf).table, coded.anova(type=type_, ddf=ddf).table
    numbers = ["sum_sq", "num_df", "den_df", "f", "p_value"]
    np.testing.assert_allclose(one[numbers], other[numbers], rtol=2e-6, atol=1e-10)


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), holes=st.integers(0, 2))
def test_order_of_the_levels_does_not_matter_even_with_empty_cells(seed: int, holes: int) -> None:
    rng = np.random.default_rng(seed)
    data = unbalanced().copy()
    cells = [("a1", "b2"), ("a2", "b1"), ("a3", "b2")]
    for a, b in cells[:holes]:
        data = data[~((data["a"] == a) & (data["b"] == b))]
    turned = data.assign(
        a=pd.Categorical(data["a"], rng.permutation(data["a"].unique())),
        b=pd.Categorical(data["b"], rng.permutation(data["b"].unique())),
    )
    one = hd.lm("y ~ a * b + x", data).anova(type=3).table
    other = hd.lm("y ~ a * b + x", turned).anova(type=3).table
    np.testing.assert_allclose(one[["num_df", "f"]], other[["num_df", "f"]], rtol=1e-7)


def test_type_3_compares_unweighted_means() -> None:
    data = unbalanced()
    fit = hd.lm("y ~ a * b", data)
    cell = data.groupby(["a", "b"])["y"].mean().unstack()
    by_hand = cell.mean(axis=1).diff().iloc[1:].to_numpy()
    weights = 1.0 / data.groupby(["a", "b"])["y"].count().unstack()
    variance = np.diag((weights.sum(axis=1) / 4).to_numpy())
    d = np.diff(np.eye(3), axis=0)
    f = by_hand @ np.linalg.solve(d @ variance @ d.T, by_hand) / 2 / fit.scale
    row = fit.anova(type=3).table.set_index("term").loc["a"]
    assert row["f"] == pytest.approx(f, rel=1e-10)
    assert row["den_df"] == fit.df_resid


def test_type_1_of_a_linear_model_splits_the_sum_of_squares() -> None:
    data = unbalanced()
    fit = hd.lm("y ~ x + a * b", data)
    table = fit.anova(type=1).table
    explained = ((data["y"] - data["y"].mean()) ** 2).sum() - (fit.resid**2).sum()
    assert table["sum_sq"].sum() == pytest.approx(explained, rel=1e-10)


def test_empty_cells_are_said() -> None:
    data = unbalanced()
    data = data[~((data["a"] == "a3") & (data["b"] == "b2"))]
    result = hd.lmm("y ~ a * b + (1 | g)", data).anova()
    assert result.table["num_df"].tolist() == [2, 1, 1]
    assert "a:b: 1 of 2 effects" in result.notes[0]
    assert result.notes[0].split()[0] in str(result)


def test_a_term_that_others_determine_has_no_test() -> None:
    data = unbalanced().assign(x2=lambda d: 2 * d["x"] + 1)
    result = hd.lmm("y ~ x + x2 + (1 | g)", data).anova()
    row = result.table.set_index("term").loc["x2"]
    assert row["num_df"] == 0
    assert np.isnan(row["p_value"])
    assert "x2" in result.notes[0]


def test_normal_theory_is_a_chi_square_test() -> None:
    fit = hd.lmm("y ~ a + (1 | g)", unbalanced())
    row = fit.anova(ddf="normal").table.iloc[0]
    assert np.isinf(row["den_df"])
    test = fit.test(["a[T.a2]", "a[T.a3]"], ddf="normal")
    assert row["f"] == pytest.approx(test.F)
    assert row["p_value"] == pytest.approx(test.p_value)


def test_an_intercept_alone_leaves_nothing_to_test() -> None:
    result = hd.lmm("y ~ 1 + (1 | g)", unbalanced()).anova()
    assert result.table.empty
    assert "nothing to test" in str(result)


@pytest.mark.parametrize("names", [("1", "0", "2"), ("0", "1", "a:b"), ("a|b", "2019", "1 2")])
def test_odd_names_are_no_matter(names: tuple[str, str, str]) -> None:
    data, called = unbalanced(), dict(zip("xab", names, strict=True))
    plain = hd.lmm("y ~ x * a + b + (1 + x:a | g)", data)
    formula = "y ~ `{x}` * `{a}` + `{b}` + (1 + `{x}`:`{a}` | g)".format(**called)
    odd = hd.lmm(formula, data.rename(columns=called))
    for type_ in (1, 2, 3):
        ours, theirs = odd.anova(type_).table, plain.anova(type_).table
        np.testing.assert_allclose(ours.drop(columns="term"), theirs.drop(columns="term"))
    assert len(odd.anova().table["term"].unique()) == 4
    ours, theirs = odd.ranova().table, plain.ranova().table
    np.testing.assert_allclose(ours.drop(columns="term"), theirs.drop(columns="term"))
    (one,) = odd.test({names[0]: 0.5}).contrasts
    assert one.statistic == pytest.approx(plain.test({"x": 0.5}).contrasts[0].statistic)
    assert one.label == f"{names[0]} = 0.5"
    assert odd.test(f"`{names[0]}` = 0.5").contrasts[0] == one
    wide = odd.test(f"10 * `{names[0]}` = 5").contrasts[0]
    assert wide.statistic == pytest.approx(one.statistic)


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(DesignError, match="choose 1, 2 or 3"):
        hd.lm("y ~ x", unbalanced()).anova(type=4)


def test_printed_width() -> None:
    text = str(hd.lmm("y ~ a * b * x + (1 | g)", unbalanced()).anova(ddf="kenward-roger"))
    assert max(map(len, text.splitlines())) <= 80
    assert "Kenward and Roger" in text
