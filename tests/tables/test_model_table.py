"""Fits side by side: the fits' own numbers, in the right row, with what the reader must know."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from tables.fits import FORMULAS, fit_of

import henderson as hd
from henderson.errors import DesignError
from henderson.fit import Fit


@pytest.fixture(scope="module")
def intercepts() -> Fit:
    return hd.lmm("Reaction ~ Days + (1 | Subject)", hd.load_dataset("sleepstudy"))


@pytest.mark.parametrize("name", FORMULAS)
def test_the_numbers_are_those_of_the_fit(name: str) -> None:
    fit = fit_of(name)
    frame = hd.table(fit).to_frame()["(1)"]
    fixed = frame.loc["fixed"].unstack("value").loc[list(fit.params.index)]
    np.testing.assert_array_equal(fixed["estimate"], fit.params)
    np.testing.assert_array_equal(fixed["std_error"], fit.bse)
    np.testing.assert_array_equal(fixed["p_value"], fit.pvalues)
    np.testing.assert_array_equal(fixed[["conf_low", "conf_high"]], fit.conf_int())
    parameters = [*frame.loc["random"], *frame.loc["residual"]] if fit.design.random else []
    if parameters:
        np.testing.assert_allclose(parameters, fit.tidy("ran_pars")["estimate"])
    assert frame["fit", "", "log_lik"] == fit.llf
    assert frame["fit", "", "nobs"] == fit.nobs


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("statistic", ["se", "ci", "t", "p"])
def test_text_fits_eighty_columns(name: str, statistic: str) -> None:
    fits = [fit_of(name), fit_of("sleep"), fit_of("lm", "ML")]
    table = hd.table(fits, statistic=statistic, stars=True)  # type: ignore[arg-type]
    assert max(map(len, [*str(table).split("\n"), *table.to_apa().split("\n")])) <= 80


def test_r2_and_icc_are_of_mixed_models_and_r_squared_of_linear_ones(intercepts: Fit) -> None:
    linear = hd.lm("Reaction ~ Days", hd.load_dataset("sleepstudy"))
    fit = hd.table([linear, intercepts]).to_frame().loc["fit"].droplevel("term")
    assert fit["(2)"]["r2_marginal"] == intercepts.r2().marginal
    assert fit["(2)"]["r2_conditional"] == intercepts.r2().conditional
    assert fit["(2)"]["icc"] == intercepts.icc().adjusted
    # lm() of R 4: summary(lm(Reaction ~ Days, sleepstudy)).
    assert fit["(1)"]["r2"] == pytest.approx(0.2865, abs=5e-5)
    assert fit["(1)"]["r2_adjusted"] == pytest.approx(0.2825, abs=5e-5)
    assert np.isnan(fit["(2)"]["r2"]) and np.isnan(fit["(1)"]["icc"])


def test_ddf_is_for_all_models_or_one_for_each(intercepts: Fit) -> None:
    slopes = fit_of("sleep")
    table = hd.table([intercepts, slopes], ddf=["normal", "kenward-roger"])
    frame = table.to_frame().loc["fixed"]
    assert np.isinf(frame["(1)"]["Days", "df"])
    assert frame["(2)"]["Days", "df"] == pytest.approx(17.0, rel=1e-6)
    assert "Standard errors of (2) are adjusted" in str(table)
    both = str(hd.table([intercepts, slopes], ddf=["normal", "residual"], stars=True))
    assert "Degrees of freedom: (1) infinite (normal distribution); (2) n - p." in both


# ---- rows


def test_rows_stand_in_the_order_of_first_appearance() -> None:
    pups = hd.load_dataset("rat_pup")
    one = hd.lm("weight ~ litter_size + sex:treatment", pups)
    two = hd.lm("weight ~ treatment:sex + sex", pups)
    terms = [term.label for term in hd.table([one, two]).terms]
    ones = list(one.params.index)
    assert terms[: len(ones)] == ones
    assert all(name in two.params.index for name in terms[len(ones) :])


def test_interactions_are_one_row_whatever_the_order() -> None:
    pups = hd.load_dataset("rat_pup")
    one = hd.lm("weight ~ treatment * sex", pups)
    two = hd.lm("weight ~ sex * treatment", pups)
    table = hd.table([one, two])
    assert len(table.terms) == len(one.params)
    assert not table.to_frame().loc["fixed"].isna().any(axis=None)


def test_a_term_that_a_model_lacks_is_blank(intercepts: Fit) -> None:
    empty = hd.lmm("Reaction ~ 1 + (Days | Subject)", hd.load_dataset("sleepstudy"))
    table = hd.table([intercepts, empty])
    assert np.isnan(table.to_frame()["(2)"]["fixed", "Days", "estimate"])
    (row,) = [line for line in table.to_markdown().split("\n") if line.startswith("| Days")]
    assert row == "| Days | 10.467 |  |"


def test_new_names_join_rows_and_reach_the_random_effects() -> None:
    sleep = hd.load_dataset("sleepstudy")
    one = hd.lmm("Reaction ~ Days + (Days | Subject)", sleep)
    two = hd.lmm("Reaction ~ days + (1 | Subject)", sleep.rename(columns={"Days": "days"}))
    rename = {"Days": "Days awake", "days": "Days awake", "Subject": "Person"}
    table = hd.table([one, two], rename=rename)
    assert [term.label for term in table.terms] == ["Intercept", "Days awake"]
    assert "SD (Days awake | Person)" in str(table)
    assert "Groups (Person)" in str(table)


def test_keep_orders_and_drop_leaves_out_and_the_table_says_so() -> None:
    fit = fit_of("lm")
    table = hd.table(fit, keep=["edu*", "Intercept"], drop="edu:*")
    assert [term.label for term in table.terms] == ["edu", "Intercept"]
    hidden = len(fit.params) - 2
    assert f"Not shown: {hidden} fixed effects" in str(table)
    assert "Not shown" not in str(hd.table(fit))


def test_no_fixed_effects_at_all() -> None:
    sleep = hd.load_dataset("sleepstudy")
    text = str(hd.table(hd.lmm("Reaction ~ 0 + (1 | Subject)", sleep)))
    assert "Fixed effects" not in text and "SD (Intercept | Subject)" in text


def test_groups_of_the_same_new_name_are_one_row(intercepts: Fit) -> None:
    other = hd.lmm("score ~ edu + (1 | classroom)", hd.load_dataset("classroom_scores"))
    frame = hd.table(
        [intercepts, other], rename={"Subject": "Group", "classroom": "Group"}
    ).to_frame()
    assert not frame.loc["random", "SD (Intercept | Group)", "estimate"].isna().any()
    with pytest.raises(DesignError, match="random effects or groups"):
        hd.table(fit_of("crossed"), rename={"plate": "g", "sample": "g"})


# ---- how numbers look


def test_stars_say_how_small_p_is(intercepts: Fit) -> None:
    own = hd.table(fit_of("score"), stars={"+": 0.5, "!": 0.0001})
    p = fit_of("score").pvalues
    marks = ["+" if 0.0001 <= v < 0.5 else "!" if v < 0.0001 else "" for v in p]
    for name, mark in zip(p.index, marks, strict=True):
        (row,) = [line for line in str(own).split("\n") if line.startswith(str(name))]
        assert re.search(r"\d(\D?)$", row)[1] == mark
    assert "+ p < 0.5, ! p < 0.0001." in str(own)
    assert "*" not in str(hd.table(intercepts))


def test_estimates_have_the_decimals_of_their_standard_errors(intercepts: Fit) -> None:
    text = str(hd.table(intercepts, digits=2))
    assert "251.41" in text and "(9.75)" in text and "(0.80)" in text


def test_estimates_far_apart_have_decimals_of_their_own() -> None:
    sleep = hd.load_dataset("sleepstudy")
    sleep["seconds"] = 86400.0 * sleep["Days"]
    text = str(hd.table(hd.lmm("Reaction ~ seconds + (1 | Subject)", sleep)))
    assert "251.41" in text and "0.00012115" in text


def test_apa_has_no_zero_before_the_point_of_shares() -> None:
    fit = fit_of("score_slope")
    text = hd.table(fit).to_apa()
    assert re.search(r"^Marginal R² +\.\d\d$", text, re.MULTILINE)
    assert re.search(r"^r \(Intercept, edu \| classroom\) +-1\.00$", text, re.MULTILINE)
    for name, p in fit.pvalues.items():
        (row,) = [line for line in text.split("\n") if line.startswith(str(name))]
        assert row.endswith("< .001" if p < 0.001 else f"{p:.3f}".lstrip("0"))


def test_apa_symbols_are_italic() -> None:
    table = hd.table(fit_of("sleep"))
    assert all(f"<i>{s}</i>" in table.to_apa("html") for s in ("b", "p", "N", "n", "SD", "R"))
    assert all(rf"\textit{{{s}}}" in table.to_apa("latex") for s in ("b", "p", "N", "n", "SD"))
    assert table.to_apa(number=3).startswith("Table 3\n")


# ---- names and notes


def test_names_come_from_a_dictionary_a_list_or_the_order(intercepts: Fit) -> None:
    fits = [intercepts, fit_of("sleep")]
    assert list(hd.table(fits).to_frame()) == ["(1)", "(2)"]
    assert list(hd.table(fits, names=["a", "b"]).to_frame()) == ["a", "b"]
    assert list(hd.table({"a": fits[0], "b": fits[1]}).to_frame()) == ["a", "b"]


def test_the_dependent_variable_is_said(intercepts: Fit) -> None:
    assert str(hd.table(intercepts)).startswith("Linear mixed model of Reaction\n")
    text = str(hd.table([intercepts, fit_of("lm")]))
    assert text.startswith("Linear and linear mixed models\n")
    assert re.search(r"^Dependent variable +Reaction +score$", text, re.MULTILINE)
    assert str(hd.table(intercepts, title="My title")).startswith("My title\n")


def test_different_rows_are_told(intercepts: Fit) -> None:
    fewer = hd.lmm("Reaction ~ Days + (1 | Subject)", hd.load_dataset("sleepstudy")[:150])
    note = "The models were fitted to different rows (180, 150)"
    assert note in re.sub(r"\s+", " ", str(hd.table([intercepts, fewer])))
    assert "different rows" not in str(hd.table([intercepts, fit_of("sleep")]))


def test_restricted_likelihoods_with_other_fixed_effects_are_told(intercepts: Fit) -> None:
    sleep = hd.load_dataset("sleepstudy")
    shifted = hd.lmm("Reaction ~ I(Days - 4.5) + (1 | Subject)", sleep)
    curved = hd.lmm("Reaction ~ Days + I(Days**2) + (1 | Subject)", sleep)
    assert "(REML)" not in str(hd.table([intercepts, shifted]))
    assert "(REML)" in str(hd.table([intercepts, curved]))
    by_ml = hd.lmm("Reaction ~ Days + (1 | Subject)", sleep, method="ML")
    assert "REML with those of ML" in str(hd.table([intercepts, by_ml]))


def test_singular_fits_and_missing_rows_are_told() -> None:
    sleep = hd.load_dataset("sleepstudy").astype({"Days": float})
    sleep.loc[3, "Days"] = np.nan
    missing = hd.lmm("Reaction ~ Days + (1 | Subject)", sleep)
    text = re.sub(r"\s+", " ", str(hd.table([fit_of("score_slope"), missing])))
    assert "(1): Singular fit: in (edu | classroom)" in text
    assert "(2): 1 row with missing values was left out" in text


def test_structures_have_rows() -> None:
    sleep = hd.load_dataset("sleepstudy")
    fit = hd.lmm("Reaction ~ Days + (1 | Subject)", sleep, correlation="ar1(1 | Subject)")
    frame = hd.table([fit, fit_of("sleep")]).to_frame().loc["residual"].droplevel("value")
    (rho,) = fit.structures()["ar1(1 | Subject)"].values()
    assert frame["(1)"]["ar1(1 | Subject): rho"] == rho
    assert np.isnan(frame["(2)"]["ar1(1 | Subject): rho"])
    assert frame["(1)"]["SD (residual)"] == fit.sigma


# ---- files and refusals


@pytest.mark.parametrize(
    ("suffix", "start"),
    [(".txt", "Linear"), (".md", "**Linear"), (".html", "<!DOCTYPE"), (".tex", "% \\usepackage")],
)
def test_a_file_has_the_format_of_its_suffix(
    tmp_path: Path, intercepts: Fit, suffix: str, start: str
) -> None:
    path = hd.table(intercepts).save(tmp_path / f"table{suffix}")
    text = Path(path).read_text(encoding="utf-8")
    assert text.startswith(start) and text.endswith("\n")


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"statistic": "sd"}, "statistic"),
        ({"digits": 0}, "digits"),
        ({"level": 95}, "0.95"),
        ({"stars": {"*": 5.0}}, r"\*"),
        ({"names": ["a", "b"]}, "1 fits, 2 names"),
        ({"ddf": ["normal", "normal"]}, "1 fits, 2 methods"),
        ({"ddf": "wald"}, "wald"),
        ({"keep": "Dys"}, "'Dys'.*Intercept, Days"),
        ({"drop": "*"}, "leave no fixed effects"),
        ({"rename": {"Dys": "D"}}, "'Dys'"),
        ({"rename": {"Days": "a", "Intercept": "a"}}, "the same name"),
    ],
)
def test_bad_options_are_refused(intercepts: Fit, keywords: dict, words: str) -> None:
    with pytest.raises(DesignError, match=words):
        hd.table(intercepts, **keywords)


def test_only_fits_are_shown(intercepts: Fit) -> None:
    with pytest.raises(DesignError, match="needs a fit"):
        hd.table([])
    with pytest.raises(DesignError, match="not Summary"):
        hd.table([intercepts.summary()])  # type: ignore[list-item]
    with pytest.raises(DesignError, match="must differ"):
        hd.table([intercepts, intercepts], names=["a", "a"])
    with pytest.raises(DesignError, match=r"table\.pdf"):
        hd.table(intercepts).save("table.pdf")
    with pytest.raises(DesignError, match="markdown"):
        hd.table(intercepts).to_apa("markdown")  # type: ignore[arg-type]
