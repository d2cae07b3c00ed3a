"""The seven approaches: the stored results, what must not change them, and what they say."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_cases import load_results

import henderson as hd
from henderson.seven import KEYS, LABELS, Approach, Approaches

# The table of the tutorial, to its digits.
TUTORIAL = {
    "LM-Global (biased)": (2.694785, 0.232842, 2.139165, 0.036643),
    "ANCOVA-Inter (biased)": (0.932351, 0.130717, 3.441072, 0.001102),
    "Aggregation": (0.587859, 6.073401, 7.497672, 0.084411),
    "Hierarchical": (0.061318, 0.120808, 3.412469, 0.076190),
    "LMM-Inter": (0.916211, 0.131193, 3.453478, 0.000553),
    "ANCOVA-Full (biased)": (0.935869, 0.129084, 1.978708, 0.052959),
    "LMM-Full (biased)": (0.911742, 0.127270, 2.756967, 0.005834),
}
# R's names of the rows of its three tables.
R_NAMES = {
    "LM GLOB (biased)": "lm_global",
    "LM GLOB": "lm_global",
    "LM Hierarchical": "hierarchical",
    **{label: key for key, label in LABELS.items()},
}


@cache
def result(name: str) -> Approaches:
    """The approaches on a data set of the stored results, in R's coding."""
    if name == "tutorial_score":
        data = hd.load_dataset("classroom_scores")
        return hd.approaches(data, outcome="score", predictor="edu", group="classroom")
    if name == "tutorial_sleepstudy":
        return hd.approaches(hd.load_dataset("sleepstudy"), "Reaction", "Days", "Subject")
    data = hd.load_dataset("rat_pup")
    data["sex"] = data["sex"].cat.reorder_categories(["Female", "Male"])
    return hd.approaches(data, "weight", "sex", "litter")


CASES = ("tutorial_score", "tutorial_ratpup", "tutorial_sleepstudy")


def stored_rows() -> list[tuple[str, str]]:
    return [(case, row) for case in CASES for row in load_results(case)["results"]["table"]]


# -- what R says -----------------------------------------------------------------------------------


@pytest.mark.parametrize("label", TUTORIAL)
def test_the_table_of_the_tutorial(label: str) -> None:
    a = result("tutorial_score")[label]
    found = (a.rmse, a.coef, a.stat, a.p_value)
    np.testing.assert_allclose(found, TUTORIAL[label], rtol=0, atol=6e-7)


@pytest.mark.parametrize(("case", "row"), stored_rows())
def test_every_row_agrees_with_r(case: str, row: str) -> None:
    stored = load_results(case)["results"]["table"][row]
    a = result(case)[R_NAMES[row]]
    for name in ("rmse", "coef", "mse", "sse"):
        assert getattr(a, name) == pytest.approx(stored[name], rel=1e-6), name
    test = stored.get("joint_information", stored)
    assert (a.se, a.stat) == pytest.approx((test["se"], test["stat"]), rel=2e-6)
    assert a.p_value == pytest.approx(test["p"], rel=1e-4)
    assert a.stat_kind == stored["stat_kind"]
    assert a.df_resid == stored["df"]
    assert a.t_line is not None
    assert a.t_line.std_error == pytest.approx(stored["se"], rel=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_level_one_agrees_with_r(case: str) -> None:
    stored = load_results(case)["results"]["hierarchical"]
    level1 = result(case).two_stage.level1
    assert [str(g.level) for g in level1] == list(stored["level1"])
    for g, row in zip(level1, stored["level1"].values(), strict=True):
        assert g.n == row["n"]
        assert (g.intercept, g.slope) == pytest.approx((row["intercept"], row["beta"]), rel=1e-6)
        assert g.sse == pytest.approx(row["sse"], rel=1e-6, abs=1e-12)
        if g.n > 2:
            assert g.se == pytest.approx(row["se_beta"], rel=1e-6, abs=1e-12)
        else:
            assert np.isnan(g.se)
    assert [str(level) for level, _ in result(case).two_stage.skipped] == stored["skipped"]


def test_t_lines_of_the_mixed_models() -> None:
    lines = [result("tutorial_score")[key].t_line for key in ("lmm_inter", "lmm_full")]
    found = [(t.statistic, t.df, t.p_value) for t in lines if t is not None]
    shown = [(round(t, 4), round(df, 2), round(p, 5)) for t, df, p in found]
    assert shown == [(3.4538, 56.01, 0.00106), (2.9289, 3.88, 0.04448)]


def test_mean_squared_errors_of_the_tutorial() -> None:
    mse = {a.key: round(a.mse, 3) for a in result("tutorial_score")}
    keys = ("lm_global", "ancova_inter", "aggregation", "hierarchical", "ancova_full")
    assert [mse[k] for k in keys] == [7.262, 0.869, 0.346, 0.004, 0.876]


def test_ancova_full_shows_the_average_slope_beside_the_first_one() -> None:
    a = result("tutorial_score")["ancova_full"]
    assert a.average is not None
    assert a.coef == pytest.approx(0.129084, abs=5e-7)
    slopes = [g.slope for g in result("tutorial_score").two_stage.level1]
    np.testing.assert_allclose(slopes, (0.129084, 0.177567, 0.055772), atol=5e-7)
    assert a.average.estimate == pytest.approx(np.mean(slopes), rel=1e-10)
    assert "0.1208" in a.verdict
    assert "c0" in a.verdict


# -- what must not change the numbers --------------------------------------------------------------

NUMBERS = ["RMSE", "Coef", "Stat", "Pval", "SE", "df", "CI lower", "CI upper"]


def numbers(r: Approaches) -> np.ndarray:
    return r.table[NUMBERS].to_numpy(dtype=float)


def same(a: Approaches, b: Approaches) -> None:
    np.testing.assert_allclose(numbers(a), numbers(b), rtol=1e-6, atol=1e-12)
    assert [x.trust for x in a] == [x.trust for x in b]


@settings(max_examples=10)
@given(seed=st.integers(0, 2**16))
def test_order_of_rows_does_not_matter(seed: int) -> None:
    data = hd.load_dataset("classroom_scores").sample(frac=1, random_state=seed)
    same(hd.approaches(data, "score", "edu", "classroom"), result("tutorial_score"))


ODD = [
    *("my score (%)", "class", "a:b|c+d ~ 'x' \"y\"", "2x", "x.y"),
    *("lambda", "größe", "np.log(x)", "C"),
]


@pytest.mark.parametrize("shift", range(len(ODD)))
def test_names_of_columns_do_not_matter(shift: int) -> None:
    names = (ODD * 2)[shift : shift + 3]
    data = hd.load_dataset("classroom_scores")
    renamed = data.rename(columns=dict(zip(["score", "edu", "classroom"], names, strict=True)))
    r = hd.approaches(renamed, *names)
    same(r, result("tutorial_score"))
    assert r.term == names[1]
    assert all(name in str(r) for name in names)


def test_names_of_groups_do_not_matter() -> None:
    data = hd.load_dataset("classroom_scores")
    labels = {"c0": "A: b", "c1": "B [T.x]", "c2": "C ~ (1 | d)"}
    renamed = data.assign(classroom=data["classroom"].astype(str).map(labels))
    same(hd.approaches(renamed, "score", "edu", "classroom"), result("tutorial_score"))
    numbered = data.assign(classroom=data["classroom"].cat.codes * 10 + 5)
    same(hd.approaches(numbered, "score", "edu", "classroom"), result("tutorial_score"))


def test_other_columns_and_the_index_do_not_matter() -> None:
    data = hd.load_dataset("classroom_scores").assign(extra=np.nan)
    data.index = pd.Index([f"row {i}" for i in range(len(data))])
    r = hd.approaches(data, "score", "edu", "classroom")
    same(r, result("tutorial_score"))
    assert r.n_dropped == 0
    assert list(r.data.index) == list(data.index)


def test_units_scale_the_slopes_and_leave_the_tests() -> None:
    data = hd.load_dataset("classroom_scores").assign(
        score=lambda d: 100 + 10 * d["score"], edu=lambda d: d["edu"] / 2 - 3
    )
    r = hd.approaches(data, "score", "edu", "classroom")
    old = result("tutorial_score").table
    np.testing.assert_allclose(r.table["Coef"], 20 * old["Coef"], rtol=1e-6)
    np.testing.assert_allclose(r.table["RMSE"].drop(3), 10 * old["RMSE"].drop(3), rtol=1e-6)
    np.testing.assert_allclose(r.table["Stat"], old["Stat"], rtol=1e-6)
    np.testing.assert_allclose(r.table["Pval"], old["Pval"], rtol=1e-5)


def test_swapping_the_two_levels_changes_the_sign() -> None:
    swapped = hd.approaches(hd.load_dataset("rat_pup"), "weight", "sex", "litter")
    assert swapped.term == "sex[T.Female]"
    assert swapped.factor_levels == ("Male", "Female")
    old = result("tutorial_ratpup").table
    np.testing.assert_allclose(swapped.table["Coef"], -old["Coef"], rtol=1e-6)
    np.testing.assert_allclose(swapped.table["RMSE"], old["RMSE"], rtol=1e-6)


def test_a_boolean_is_a_factor_of_two_levels() -> None:
    data = hd.load_dataset("rat_pup").assign(sex=lambda d: d["sex"] == "Male")
    np.testing.assert_allclose(
        numbers(hd.approaches(data, "weight", "sex", "litter")),
        numbers(result("tutorial_ratpup")),
        rtol=1e-6,
    )


def test_any_table_is_accepted() -> None:
    import polars as pl

    data = hd.load_dataset("classroom_scores")
    same(hd.approaches(pl.from_pandas(data), "score", "edu", "classroom"), result("tutorial_score"))
    arrays = {name: data[name].to_numpy() for name in data}
    same(hd.approaches(arrays, "score", "edu", "classroom"), result("tutorial_score"))


def test_the_average_of_equal_groups_is_the_slope_of_both_mixed_models() -> None:
    """In balanced data every approach to the within-group slope finds the same one."""
    r = result("tutorial_sleepstudy")
    average = r["ancova_full"].average
    assert average is not None
    slopes = [r[k].coef for k in ("lm_global", "ancova_inter", "hierarchical", "lmm_full")]
    np.testing.assert_allclose(slopes, average.estimate, rtol=1e-9)


# -- what the data do not allow --------------------------------------------------------------------


def test_litters_of_one_sex_are_reported_and_never_a_number() -> None:
    r = result("tutorial_ratpup")
    assert r.two_stage.skipped == (("12", "sex is Female in all 2 rows"),)
    assert len(r.two_stage.level1) == 26
    assert "12" not in r.two_stage.to_frame().index
    assert "12 (sex is Female in all 2 rows)" in str(r).replace("\n    ", " ")
    assert r["hierarchical"].trust == "caution"


def test_the_reference_group_is_one_that_has_a_slope() -> None:
    data = hd.load_dataset("rat_pup")
    order = ["12", *(level for level in data["litter"].cat.categories if level != "12")]
    data["litter"] = data["litter"].cat.reorder_categories(order)
    r = hd.approaches(data, "weight", "sex", "litter")
    first = r.two_stage.level1[0]
    assert first.level == "1"
    assert r["ancova_full"].coef == pytest.approx(first.slope, rel=1e-9)
    average = r["ancova_full"].average
    assert average is not None
    assert average.estimate == pytest.approx(r["hierarchical"].coef, rel=1e-9)


def unavailable(r: Approaches) -> dict[str, str]:
    return {a.key: a.reason for a in r if not a.available}


def check_unavailable(a: Approach) -> None:
    assert a.fit is None
    assert a.t_line is None
    assert np.isnan([a.rmse, a.coef, a.se, a.stat, a.p_value, a.lower, a.upper, a.mse]).all()
    assert a.reason in a.verdict
    assert a.reason.split()[0] in str(a)


def test_equal_means_of_the_predictor_have_no_between_group_slope() -> None:
    r = result("tutorial_sleepstudy")
    assert list(unavailable(r)) == ["aggregation"]
    assert "same mean of Days (4.5)" in r["aggregation"].reason
    check_unavailable(r["aggregation"])


def test_two_groups_have_no_line_through_their_means() -> None:
    data = hd.load_dataset("classroom_scores").query("classroom != 'c2'")
    r = hd.approaches(data, "score", "edu", "classroom")
    assert list(unavailable(r)) == ["aggregation"]
    assert r.levels == ["c0", "c1"]
    assert np.isnan(r["lmm_full"].stat)
    assert any("no z" in note for note in r["lmm_full"].notes)
    assert r["lmm_full"].t_line is not None


def between_only() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(8), 5)
    return {"y": rng.normal(size=40) + rng.normal(size=8)[g], "x": g % 3, "g": g}


def test_a_predictor_of_the_groups_leaves_what_compares_groups() -> None:
    r = hd.approaches(between_only(), "y", "x", "g")
    assert set(unavailable(r)) == {"ancova_inter", "hierarchical", "ancova_full", "lmm_full"}
    for key, reason in unavailable(r).items():
        assert "x does not vary within any group (g)" in reason
        check_unavailable(r[key])
    assert len(r.two_stage.skipped) == 8
    assert r["aggregation"].coef == pytest.approx(r["lmm_inter"].coef, rel=1e-9)


def test_more_parameters_than_rows_leave_the_others() -> None:
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(8), 2)
    data = {"y": rng.normal(size=16), "x": rng.normal(size=16), "g": g}
    r = hd.approaches(data, "y", "x", "g")
    assert list(unavailable(r)) == ["ancova_full"]
    assert all(np.isnan(s.se) for s in r.two_stage.level1)


def test_one_row_groups_are_reported() -> None:
    data = hd.load_dataset("classroom_scores")
    alone = pd.DataFrame({"classroom": ["c9"], "edu": [4.0], "score": [9.0]})
    more = pd.concat([data.astype({"classroom": str}), alone])
    r = hd.approaches(more, "score", "edu", "classroom")
    assert r.two_stage.skipped == (("c9", "one row"),)
    assert r["hierarchical"].coef == pytest.approx(result("tutorial_score")["hierarchical"].coef)


def test_missing_rows_are_dropped_and_counted() -> None:
    data = hd.load_dataset("classroom_scores")
    holes = pd.concat([data, data.head(3).assign(edu=np.nan), data.head(2).assign(score=np.nan)])
    r = hd.approaches(holes, "score", "edu", "classroom")
    same(r, result("tutorial_score"))
    assert r.n_dropped == 5
    assert "5 rows with missing values" in str(r).replace("\n", " ")


# -- what it says ----------------------------------------------------------------------------------


def test_words_follow_the_data() -> None:
    score, rats = result("tutorial_score"), result("tutorial_ratpup")
    sleep = result("tutorial_sleepstudy")
    assert score["lmm_inter"].trust == "caution"
    assert "3 groups (classroom) are few" in score["lmm_inter"].verdict
    assert sleep["lmm_full"].trust == "yes"
    assert sleep["lmm_inter"].trust == "no"
    assert sleep["lm_global"].trust == "no"
    assert "27 groups (litter)" in rats["aggregation"].verdict
    assert "another quantity" in score["aggregation"].question
    assert not any("classroom" in str(a) for r in (rats, sleep) for a in r)


def test_independent_rows_make_one_line_trustworthy() -> None:
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(20), 6)
    x = rng.normal(size=120)
    # Residuals that sum to zero in every group: less alike than by chance.
    e = rng.normal(size=(20, 6))
    y = x + (e - e.mean(axis=1, keepdims=True)).ravel()
    r = hd.approaches({"y": y, "x": x, "g": g}, "y", "x", "g")
    assert r["lm_global"].trust == "yes"
    assert r["lmm_inter"].coef == pytest.approx(r["lm_global"].coef, rel=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_print_fits_a_terminal(case: str) -> None:
    texts = [str(result(case)), *(str(a) for a in result(case))]
    assert max(len(line) for text in texts for line in text.splitlines()) <= 80
    for a in result(case):
        assert a.r_formula in str(a)
        assert a.label in texts[0]


@settings(max_examples=10)
@given(power=st.integers(-12, 12), seed=st.integers(0, 2**16))
def test_print_fits_a_terminal_in_any_unit(power: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = {"y": rng.normal(size=24), "x": rng.normal(size=24), "g": rng.integers(0, 4, 24)}
    data["y"] = data["y"] * 10.0**power
    r = hd.approaches(data, "y", "x", "g")
    texts = [str(r), *(str(a) for a in r)]
    assert max(len(line) for text in texts for line in text.splitlines()) <= 80


def test_html_shows_every_row_and_escapes_names() -> None:
    data = hd.load_dataset("classroom_scores").rename(columns={"edu": "<b>"})
    html = hd.approaches(data, "score", "<b>", "classroom")._repr_html_()
    assert html.count("<tr>") == 8
    assert "<b>" not in html
    assert "&lt;b&gt;" in html


def test_rows_by_key_and_label() -> None:
    r = result("tutorial_score")
    assert [a.key for a in r] == list(KEYS)
    assert r["lmm_full"] is r["LMM-Full (biased)"]
    with pytest.raises(hd.DataError, match="No approach is called 'lmm'"):
        r["lmm"]


# -- refusals --------------------------------------------------------------------------------------


def refuses(match: str, **changes: Any) -> None:
    names = {"outcome": "score", "predictor": "edu", "group": "classroom"}
    data = hd.load_dataset("classroom_scores")
    columns = {k: v for k, v in changes.items() if k not in names}
    names |= {k: v for k, v in changes.items() if k in names}
    with pytest.raises(hd.DataError, match=match):
        hd.approaches(data.assign(**columns), **names)


def test_refuses_what_makes_no_sense() -> None:
    n = 60
    refuses("Unknown column 'scor'.*did you mean 'score'", outcome="scor")
    refuses("three different columns", predictor="score")
    refuses("outcome 'word' is not numeric", word=["a"] * n, outcome="word")
    refuses("outcome 'flat' is 3 in every row", flat=3.0, outcome="flat")
    refuses("outcome 'big' has infinite values", big=[np.inf] + [1.0] * (n - 1), outcome="big")
    refuses("predictor 'flat' is 3 in every row", flat=3, predictor="flat")
    refuses("predictor 'one' has the one level 'a'", one="a", predictor="one")
    refuses("predictor 'abc' has 3 levels \\(a, b, c\\)", abc=["a", "b", "c"] * 20, predictor="abc")
    refuses("group 'one' has the one level 'a'", one="a", group="one")
    refuses("group 'each' has as many levels as rows \\(60\\)", each=range(n), group="each")
    refuses("No row has a value in all of", none=[None] * n, predictor="none")
    refuses("names of columns", group=None)


@pytest.mark.parametrize("name", ["e`d`u", " edu"])
def test_refuses_names_that_no_formula_can_hold(name: str) -> None:
    data = hd.load_dataset("classroom_scores").rename(columns={"edu": name})
    with pytest.raises(hd.DataError, match="rename the column"):
        hd.approaches(data, "score", name, "classroom")


@pytest.mark.parametrize("names", [("2020", "2019", "2018"), ("1", "0", "2.5"), ("0", "3", "1")])
def test_columns_called_by_numbers_are_columns(names: tuple[str, str, str]) -> None:
    data = hd.load_dataset("classroom_scores")
    expected = hd.approaches(data, "score", "edu", "classroom")
    columns = dict(zip(("score", "edu", "classroom"), names, strict=True))
    found = hd.approaches(data.rename(columns=columns), *names)
    for a, b in zip(expected.approaches, found.approaches, strict=True):
        assert (b.coef, b.se, b.df) == pytest.approx((a.coef, a.se, a.df), rel=1e-9)
