"""Estimated means, contrasts and slopes: agreement with emmeans, and what defines them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference_cases import lmer_cases, load_case
from scipy import stats

import henderson as hd
from henderson.errors import DesignError
from henderson.inference.contrasts import coefficients_of, polynomials
from henderson.inference.letters import letter_display
from henderson.inference.multiplicity import Family, adjusted, critical_values

STORED = [
    (c.id, ddf, spec)
    for c in lmer_cases()
    for ddf, by_spec in (c.results.get("emmeans") or {}).items()
    for spec in by_spec
]


@cache
def fit_of(case_id: str) -> Any:
    case = load_case(case_id)
    return hd.lmm(case.formula, case.data(), method=case.method, **case.keywords)


def means_of(case_id: str, ddf: str, spec: str) -> Any:
    of, _, by = (part.strip() for part in spec.partition("|"))
    return fit_of(case_id).emmeans(of, by=by or None, ddf=ddf.replace("_", "-"))


def assert_rows(frame: pd.DataFrame, stored: dict[str, Any], columns: dict[str, str]) -> None:
    assert len(frame) == len(stored)
    for (_, row), expected in zip(frame.iterrows(), stored.values(), strict=True):
        for ours, theirs in columns.items():
            size = max(abs(expected[theirs]), expected["se"])
            assert row[ours] == pytest.approx(expected[theirs], abs=1e-4 * size)


@pytest.mark.parametrize(("case_id", "ddf", "spec"), STORED)
def test_means_are_those_of_emmeans(case_id: str, ddf: str, spec: str) -> None:
    stored = load_results(case_id, ddf, spec)["means"]
    frame = means_of(case_id, ddf, spec).frame
    columns = {
        "emmean": "estimate",
        "std_error": "se",
        "df": "df",
        "lower": "lower",
        "upper": "upper",
    }
    assert_rows(frame, stored, columns)
    levels = [" | ".join(map(str, row)) for row in frame.iloc[:, : 1 + ("|" in spec)].to_numpy()]
    assert levels == list(stored)


def load_results(case_id: str, ddf: str, spec: str) -> dict[str, Any]:
    found: dict[str, Any] = load_case(case_id).results["emmeans"][ddf][spec]
    return found


@pytest.mark.parametrize(("case_id", "ddf", "spec"), STORED)
def test_pairwise_differences_are_those_of_emmeans(case_id: str, ddf: str, spec: str) -> None:
    stored = load_results(case_id, ddf, spec)
    means = means_of(case_id, ddf, spec)
    columns = {
        "estimate": "estimate",
        "std_error": "se",
        "df": "df",
        "lower": "lower",
        "upper": "upper",
    }
    plain = means.contrast("pairwise", adjust="none").frame
    assert_rows(plain, stored["pairs"], columns)
    for adjust, key in (("tukey", "pairs_p_tukey"), ("holm", "pairs_p_holm")):
        p = means.contrast("pairwise", adjust=adjust).frame["p_value"]
        np.testing.assert_allclose(p, list(stored[key].values()), rtol=1e-3, atol=1e-8)


# ---- what a mean is


@cache
def unbalanced() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    n = 150
    data = pd.DataFrame(
        {
            "a": rng.choice(["a1", "a2", "a3"], n, p=[0.5, 0.3, 0.2]),
            "b": rng.choice(["b1", "b2"], n, p=[0.3, 0.7]),
            "x": rng.uniform(1.0, 4.0, n),
            "day": rng.integers(1, 4, n),
            "flag": rng.random(n) < 0.4,
            "g": rng.integers(0, 15, n).astype(str),
        }
    )
    data["y"] = (data["a"] == "a2") * data["x"] + (data["b"] == "b2") + rng.normal(0, 1, n)
    return data


def test_equal_weights_average_cell_means_and_proportional_weights_their_frequencies() -> None:
    data = unbalanced()
    fit = hd.lm("y ~ a * b", data)
    cells = data.groupby(["a", "b"])["y"].mean().unstack()
    np.testing.assert_allclose(fit.emmeans("a").frame["emmean"], cells.mean(axis=1))
    share = data["b"].value_counts(normalize=True).sort_index()
    weighted = fit.emmeans("a", weights="proportional")
    np.testing.assert_allclose(weighted.frame["emmean"], cells @ share)
    assert "proportional weights" in str(weighted)


def test_coding_and_centring_do_not_matter() -> None:
    data = unbalanced()
    one = hd.lmm("y ~ a * b + a * x + (1 | g)", data).emmeans("a", by="b")
    other = hd.lmm("y ~ C(a, contr.sum) * b + C(a, contr.sum) * center(x) + (1 | g)", data).emmeans(
        "a", by="b"
    )
    numbers = ["emmean", "std_error", "df", "lower", "upper"]
    np.testing.assert_allclose(one.frame[numbers], other.frame[numbers], rtol=1e-6)


def test_a_covariate_stands_at_its_mean_or_where_it_is_put() -> None:
    data = unbalanced()
    fit = hd.lm("y ~ a * x", data)
    row = pd.DataFrame({"a": ["a2"], "x": [data["x"].mean()]})
    means = fit.emmeans("a")
    assert means.frame["emmean"].iloc[1] == pytest.approx(fit.predict(row).iloc[0])
    assert f"x = {data['x'].mean():.4g}" in str(means)
    at = fit.emmeans("a", by="x", at={"x": [1.0, 2.0]}).frame
    assert at["x"].tolist() == [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]
    expected = fit.predict(pd.DataFrame({"a": at["a"], "x": at["x"]}))
    np.testing.assert_allclose(at["emmean"], expected)


def test_numbers_made_factors_and_truth_values_have_levels() -> None:
    fit = hd.lm("y ~ C(day) * flag", unbalanced())
    frame = fit.emmeans(["day", "flag"]).frame
    assert frame["day"].tolist() == [1, 1, 2, 2, 3, 3]
    cells = unbalanced().groupby(["day", "flag"])["y"].mean()
    np.testing.assert_allclose(frame["emmean"], cells)


def test_interactions_with_what_is_averaged_over_are_said() -> None:
    text = str(hd.lmm("y ~ a * b + (1 | g)", unbalanced()).emmeans("a"))
    assert "Averaged over the levels of b (equal weights)." in text
    assert "Interactions of a with what was averaged over" in text
    assert "hidden" not in str(hd.lmm("y ~ a + b + (1 | g)", unbalanced()).emmeans("a"))


def test_cells_that_do_not_occur_are_missing_and_their_means_too() -> None:
    data = unbalanced()
    data = data[~((data["a"] == "a3") & (data["b"] == "b2"))]
    means = hd.lm("y ~ a * b", data).emmeans("a", by="b")
    assert means.frame["emmean"].isna().tolist() == [False] * 5 + [True]
    assert "cannot be estimated" in str(means)
    both = hd.lm("y ~ a * b", data).emmeans("a").frame
    assert both["emmean"].isna().tolist() == [False, False, True]
    pairs = means.contrast("pairwise", adjust="holm").frame
    assert pairs["p_value"].isna().sum() == 2


def test_the_scale_of_a_transformed_response_is_said() -> None:
    fit = hd.lm("exp(y) ~ a", unbalanced())
    assert "On the scale of exp(y)." in str(fit.emmeans("a"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: f.emmeans("c"), "'c' is no predictor"),
        (lambda f: f.emmeans("a", by="a"), "named twice"),
        (lambda f: f.emmeans("a", at={"b": "b9"}), "no level 'b9'"),
        (lambda f: f.emmeans("a", weights="cells"), "'equal' or 'proportional'"),
        (lambda f: f.emmeans("a", level=95), "between 0 and 1"),
        (lambda f: f.slopes("a"), "is a factor"),
        (lambda f: f.slopes("z"), "no predictor"),
        (lambda f: f.emmeans("a").contrast("all"), "Unknown contrasts"),
        (lambda f: f.emmeans("a").contrast(adjust="scheffe"), "Unknown adjustment"),
        (lambda f: f.emmeans("a").contrast([[1, -1]]), "needs 3 coefficients"),
        (lambda f: f.emmeans("a").contrast("reference", reference="a7"), "No row 'a7'"),
    ],
)
def test_refusals_name_the_culprit(call: Any, message: str) -> None:
    with pytest.raises(DesignError, match=message):
        call(hd.lm("y ~ a * b + x", unbalanced()))


# ---- contrasts


def test_differences_against_a_reference_are_treatment_coefficients() -> None:
    fit = hd.lmm("y ~ a + x + (1 | g)", unbalanced())
    table = fit.emmeans("a").contrast("reference", adjust="none").frame
    np.testing.assert_allclose(table["estimate"], fit.params[["a[T.a2]", "a[T.a3]"]])
    np.testing.assert_allclose(table["p_value"], fit.pvalues[["a[T.a2]", "a[T.a3]"]])
    assert table["contrast"].tolist() == ["a2 - a1", "a3 - a1"]
    back = fit.emmeans("a").contrast("reference", reference="a3").frame
    assert back["contrast"].tolist() == ["a1 - a3", "a2 - a3"]


def test_given_coefficients_by_name_and_as_a_matrix() -> None:
    means = hd.lm("y ~ a", unbalanced()).emmeans("a")
    named = means.contrast({"first against rest": [1, -0.5, -0.5]}).frame
    matrix = means.contrast([[1, -0.5, -0.5]]).frame
    assert named["contrast"].tolist() == ["first against rest"]
    assert matrix["contrast"].tolist() == ["a1 - 0.5*a2 - 0.5*a3"]
    assert named["estimate"].iloc[0] == pytest.approx(matrix["estimate"].iloc[0])


def test_polynomials_are_the_tabled_integers() -> None:
    names, rows = polynomials(5)
    assert names == ["linear", "quadratic", "cubic", "quartic"]
    assert rows.tolist() == [
        [-2, -1, 0, 1, 2],
        [2, -1, -2, -1, 2],
        [-1, 2, 0, -2, 1],
        [1, -4, 6, -4, 1],
    ]


@given(k=st.integers(2, 30))
def test_polynomials_are_orthogonal(k: int) -> None:
    rows = np.vstack([np.ones(k), polynomials(k)[1]])
    gram = rows @ rows.T
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-9 * gram.max())


@given(k=st.integers(2, 8))
def test_every_named_contrast_adds_up_to_zero(k: int) -> None:
    labels = [f"l{i}" for i in range(k)]
    for method in ("pairwise", "reference", "consecutive", "poly"):
        names, rows = coefficients_of(method, labels)
        assert len(names) == len(rows)
        np.testing.assert_allclose(rows.sum(axis=1), 0.0, atol=1e-12)


# ---- adjustments


def family(t: list[float], df: float, correlation: np.ndarray, means: int = 2) -> Family:
    return Family(np.array(t), np.full(len(t), df), correlation, means)


def pairwise_correlation(k: int) -> np.ndarray:
    rows = coefficients_of("pairwise", [str(i) for i in range(k)])[1] / np.sqrt(2.0)
    return np.asarray(rows @ rows.T)


@pytest.mark.parametrize("k", [3, 4, 5])
@pytest.mark.parametrize("df", [7.0, 40.0])
def test_multivariate_t_of_all_pairs_of_a_balanced_design_is_tukeys(k: int, df: float) -> None:
    t = [0.5, 2.2, 4.0, *[0.0] * (k * (k - 1) // 2 - 3)]
    own = family(t, df, pairwise_correlation(k), k)
    np.testing.assert_allclose(adjusted(own, "mvt")[:3], adjusted(own, "tukey")[:3], rtol=0.01)
    np.testing.assert_allclose(
        critical_values(own, "mvt", 0.95)[0], critical_values(own, "tukey", 0.95)[0], rtol=2e-3
    )


def test_multivariate_t_of_independent_normals_is_sidaks() -> None:
    own = family([0.3, 2.0, 3.5], np.inf, np.eye(3))
    np.testing.assert_allclose(adjusted(own, "mvt"), adjusted(own, "sidak"), rtol=0.01)


@given(st.lists(st.floats(0.01, 6.0), min_size=2, max_size=8))
def test_adjustments_are_ordered_and_keep_the_order_of_the_tests(t: list[float]) -> None:
    own = family(t, 12.0, np.eye(len(t)))
    raw, fdr, holm = (adjusted(own, how) for how in ("none", "fdr", "holm"))
    sidak, bonferroni = adjusted(own, "sidak"), adjusted(own, "bonferroni")
    assert (raw <= fdr + 1e-12).all()
    assert (fdr <= holm + 1e-12).all()
    assert (holm <= bonferroni + 1e-12).all()
    assert (sidak <= bonferroni + 1e-12).all()
    order = np.argsort(raw)
    assert (np.diff(holm[order]) >= -1e-12).all()
    np.testing.assert_allclose(fdr, stats.false_discovery_control(raw), rtol=1e-10)


@pytest.mark.parametrize("adjust", ["tukey", "sidak", "bonferroni", "mvt", "none"])
def test_a_limit_touches_zero_exactly_where_p_is_one_minus_the_level(adjust: str) -> None:
    means = hd.lm("y ~ a", unbalanced().iloc[:25]).emmeans("a")
    found = means.contrast("pairwise", adjust=adjust).frame
    (at, *_) = found.index[(found["p_value"] > 1e-9) & (found["p_value"] < 0.9)]
    p = found["p_value"][at]
    row = means.contrast("pairwise", adjust=adjust, level=1.0 - p).frame.loc[at]
    nearest = min(abs(row["lower"]), abs(row["upper"]))
    assert nearest == pytest.approx(0.0, abs=2e-3 * row["std_error"])


def test_tukey_for_other_than_pairs_is_sidak_and_said() -> None:
    table = hd.lm("y ~ a", unbalanced()).emmeans("a").contrast("consecutive", adjust="tukey")
    assert table.adjust == "sidak"
    assert "Sidak's method for 2 tests" in str(table)


def test_each_part_of_a_table_is_a_family() -> None:
    fit = hd.lm("y ~ a * b", unbalanced())
    table = fit.emmeans("a", by="b").contrast("pairwise", adjust="bonferroni")
    plain = fit.emmeans("a", by="b").contrast("pairwise", adjust="none")
    np.testing.assert_allclose(
        table.frame["p_value"], np.minimum(3 * plain.frame["p_value"], 1.0), rtol=1e-12
    )
    text = str(table)
    assert "b = b2:" in text
    assert "3 tests in each part of the table" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80


# ---- letters


@given(st.lists(st.floats(0, 10), min_size=1, max_size=7, unique=True), st.floats(0.1, 8.0))
def test_rows_share_a_letter_exactly_if_they_do_not_differ(values: list[float], gap: float) -> None:
    k = len(values)
    pairs = [(i, j) for i in range(k) for j in range(i + 1, k)]
    different = {(i, j) for i, j in pairs if abs(values[i] - values[j]) > gap}
    letters = letter_display(np.array(values), different)
    for i, j in pairs:
        assert bool(set(letters[i]) & set(letters[j])) == ((i, j) not in different)
    assert "a" in letters[int(np.argmin(values))]


def test_letters_of_a_fit() -> None:
    frame = (
        hd.lmm("score ~ Machine + (1 | Worker)", hd.load_dataset("machines"))
        .emmeans("Machine")
        .letters()
    )
    assert frame["letters"].tolist() == ["a", "b", "c"]


# ---- slopes


def test_slopes_are_the_coefficients_of_an_interaction() -> None:
    fit = hd.lmm("y ~ a * x + (1 | g)", unbalanced())
    table = fit.slopes("x", by="a")
    expected = fit.params["x"] + np.array([0.0, *fit.params[["a[T.a2]:x", "a[T.a3]:x"]]])
    np.testing.assert_allclose(table.frame["slope"], expected, rtol=1e-8)
    test = fit.test("x + a[T.a2]:x")
    assert table.frame["df"].iloc[1] == pytest.approx(test.contrasts[0].df, rel=1e-7)
    pairs = table.contrast("pairwise", adjust="none").frame
    np.testing.assert_allclose(pairs["estimate"].iloc[0], -fit.params["a[T.a2]:x"], rtol=1e-7)


def test_a_slope_within_a_transformation_is_its_derivative() -> None:
    data = unbalanced()
    fit = hd.lm("y ~ log(x) + I(x**2)", data)
    at = fit.slopes("x", at={"x": [1.5, 3.0]}).frame
    b = fit.params.to_numpy()
    for x, slope in zip(at["x"], at["slope"], strict=True):
        assert slope == pytest.approx(b[1] / x + 2 * b[2] * x, rel=1e-6)
    middle = data["x"].mean()
    alone = fit.slopes("x").frame["slope"].iloc[0]
    assert alone == pytest.approx(b[1] / middle + 2 * b[2] * middle, rel=1e-6)


def test_slopes_in_another_basis_are_the_same() -> None:
    data = unbalanced()
    one = hd.lmm("y ~ a * poly(x, 2) + (1 | g)", data).slopes("x", by="a").frame
    other = hd.lmm("y ~ a * (x + I(x**2)) + (1 | g)", data).slopes("x", by="a").frame
    np.testing.assert_allclose(one["slope"], other["slope"], rtol=1e-5)
    np.testing.assert_allclose(one["std_error"], other["std_error"], rtol=1e-5)


def test_whole_numbers_are_printed_without_decimals() -> None:
    data = hd.load_dataset("sleepstudy").assign(third=lambda d: (d["Days"] % 3).astype(float))
    fit = hd.lmm("Reaction ~ C(third) + (1 | Subject)", data)
    rows = str(fit.emmeans("third")).splitlines()[1:4]
    assert [row.split()[0] for row in rows] == ["0", "1", "2"]
