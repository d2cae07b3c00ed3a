"""Likelihood-ratio tests: agreement with lme4, nesting, and the law at the boundary."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_cases import _columns, case_ids, load_results, load_table, translate_formula
from scipy import stats

import henderson as hd
from henderson.errors import DesignError
from henderson.inference.chibar import chi2_tail, cone_tail, even_mixture_tail


def only(value: Any) -> Any:
    """R's named vectors of length one."""
    return next(iter(value.values())) if isinstance(value, dict) else value


def fits_of(case_id: str) -> list[Any]:
    document = load_results(case_id)
    columns = _columns(document["data"]["columns"])
    data = load_table(document["data"]["name"], columns)
    out = []
    for model in document["results"]["lrt"].values():
        text = translate_formula(model["formula"], columns)
        fit = hd.lmm if "|" in text else hd.lm
        out.append(fit(text, data, method=document["model"]["method"]))
    return out


@pytest.mark.parametrize("case_id", case_ids("lrt"))
def test_chains_of_nested_models_are_those_of_r(case_id: str) -> None:
    stored = load_results(case_id)["results"]["lrt"]
    result = hd.anova(*fits_of(case_id)[::-1])
    assert result.method == load_results(case_id)["model"]["method"]
    for expected, (_, row) in zip(stored.values(), result.table.iterrows(), strict=True):
        for name, r_name in (("npar", "npar"), ("aic", "AIC"), ("bic", "BIC"), ("llf", "logLik")):
            assert row[name] == pytest.approx(only(expected[r_name]), rel=1e-8)
        if expected["p"] is None:
            assert np.isnan(row["p_value"])
            continue
        assert row["df"] == only(expected["df"])
        assert row["statistic"] == pytest.approx(only(expected["chisq"]), abs=1e-6)
        assert row["p_value"] == pytest.approx(only(expected["p"]), rel=1e-5)
        assert row["p_boundary"] <= row["p_value"] * (1 + 1e-9)


@pytest.fixture(scope="module")
def sleep() -> dict[str, Any]:
    data = hd.load_dataset("sleepstudy")
    texts = {
        "none": "Reaction ~ Days",
        "intercept": "Reaction ~ Days + (1 | Subject)",
        "slope": "Reaction ~ Days + (0 + Days | Subject)",
        "diag": "Reaction ~ Days + (Days || Subject)",
        "full": "Reaction ~ Days + (Days | Subject)",
        "moved": "Reaction ~ I(Days - 4) + (I(Days - 4) || Subject)",
        "null": "Reaction ~ 1 + (1 | Subject)",
    }
    return {k: (hd.lmm if "|" in t else hd.lm)(t, data) for k, t in texts.items()}


def test_restricted_and_full_likelihood_ratios_of_sleepstudy(sleep: dict[str, Any]) -> None:
    reml = hd.anova(sleep["intercept"], sleep["full"])
    ml = hd.anova(sleep["intercept"], sleep["full"], refit=True)
    assert (reml.method, ml.method) == ("REML", "ML")
    assert reml.table["statistic"].iloc[1] == pytest.approx(42.8368, abs=1e-4)
    assert ml.table["statistic"].iloc[1] == pytest.approx(42.1393, abs=1e-4)
    assert reml.notes[0].startswith("Pr(bound)")
    assert "maximum likelihood, as asked" in ml.notes[0]


def test_different_fixed_parts_are_refitted_and_it_is_said(sleep: dict[str, Any]) -> None:
    result = hd.anova(sleep["null"], sleep["intercept"])
    assert result.method == "ML"
    assert "as the fixed parts differ" in str(result)
    with pytest.raises(DesignError, match="Restricted likelihoods cannot be compared"):
        hd.anova(sleep["null"], sleep["intercept"], refit=False)


def test_a_variance_with_its_covariance_is_an_even_mixture(sleep: dict[str, Any]) -> None:
    row = hd.anova(sleep["intercept"], sleep["full"]).table.iloc[1]
    half = 0.5 * stats.chi2.sf(row["statistic"], 1) + 0.5 * stats.chi2.sf(row["statistic"], 2)
    assert row["p_boundary"] == pytest.approx(half, rel=1e-12)


def test_a_covariance_alone_is_not_on_the_boundary(sleep: dict[str, Any]) -> None:
    row = hd.anova(sleep["diag"], sleep["full"]).table.iloc[1]
    assert row["p_boundary"] == row["p_value"]


def test_another_basis_of_the_same_columns_changes_nothing() -> None:
    data = hd.load_dataset("sleepstudy").assign(Hours=lambda d: 24 * d["Days"] - 7)
    small = hd.lmm("Reaction ~ Days + (1 | Subject)", data)
    big = hd.lmm("Reaction ~ Days + (Days | Subject)", data)
    moved = hd.lmm("Reaction ~ Hours + (Hours | Subject)", data)
    one = hd.anova(small, big).table["statistic"].iloc[1]
    other = hd.anova(small, moved)
    assert other.method == "REML"
    assert other.table["statistic"].iloc[1] == pytest.approx(one, abs=1e-7)


def test_what_is_not_nested_is_refused_by_name(sleep: dict[str, Any]) -> None:
    with pytest.raises(DesignError, match=r"\(0 \+ Days \| Subject\) is no special case"):
        hd.anova(sleep["slope"], hd.lmm(
            "Reaction ~ Days + (1 | Subject) + (1 | Subject:half)",
            hd.load_dataset("sleepstudy").assign(half=lambda d: (d["Days"] > 4).astype(str)),
        ))  # fmt: skip
    with pytest.raises(DesignError, match="no special case"):
        hd.anova(sleep["moved"], hd.lmm(
            "Reaction ~ Days + (Days || Subject) + (1 | half)",
            hd.load_dataset("sleepstudy").assign(half=lambda d: (d["Days"] > 4).astype(str)),
        ))  # fmt: skip


def test_a_fixed_effect_that_the_larger_model_lacks_is_named() -> None:
    data = hd.load_dataset("machines").rename(columns=str.lower)
    data = data.assign(x=np.arange(len(data)) % 7, z=np.arange(len(data)) % 5)
    small = hd.lmm("score ~ x + (1 | worker)", data, method="ML")
    big = hd.lmm("score ~ z + machine + (1 | worker)", data, method="ML")
    with pytest.raises(DesignError, match="does not span x"):
        hd.anova(small, big)


def test_nested_groups_are_within_unstructured_effects_by_column_spaces() -> None:
    """(1 | Worker) + (1 | Worker:Machine) is compound symmetry: a case of (Machine | Worker)."""
    data = hd.load_dataset("machines")
    nested = hd.lmm("score ~ Machine + (1 | Worker/Machine)", data)
    cells = hd.lmm("score ~ Machine + (0 + Machine | Worker)", data)
    slopes = hd.lmm("score ~ Machine + (Machine | Worker)", data)
    one, other = hd.anova(nested, cells).table, hd.anova(nested, slopes).table
    assert one["statistic"].iloc[1] == pytest.approx(other["statistic"].iloc[1], abs=1e-6)
    assert one["df"].iloc[1] == 4


def test_a_variance_that_would_have_to_be_negative_is_no_special_case() -> None:
    """+-1 within two cells: its covariance is (1 | g:h) less (1 | g)."""
    rng = np.random.default_rng(0)
    import pandas as pd

    g, h, _ = (a.ravel() for a in np.indices((12, 2, 4)))
    data = pd.DataFrame({"g": g.astype(str), "h": h.astype(str), "c": 2.0 * h - 1.0})
    data["y"] = rng.normal(size=len(data)) + rng.normal(size=12)[g] * data["c"]
    small = hd.lmm("y ~ 1 + (0 + c | g)", data)
    big = hd.lmm("y ~ 1 + (1 | g) + (1 | g:h)", data)
    with pytest.raises(DesignError, match="no special case"):
        hd.anova(small, big)


def test_other_rows_responses_and_weights_are_refused() -> None:
    data = hd.load_dataset("sleepstudy").assign(w=1.0, w2=lambda d: d["Days"] + 1.0)
    fit = hd.lmm("Reaction ~ Days + (1 | Subject)", data)
    with pytest.raises(DesignError, match="180 and 162 rows"):
        hd.anova(fit, hd.lmm("Reaction ~ Days + (Days | Subject)", data, subset="Days > 0"))
    with pytest.raises(DesignError, match="different responses"):
        hd.anova(fit, hd.lmm("log(Reaction) ~ Days + (Days | Subject)", data))
    with pytest.raises(DesignError, match="different weights"):
        hd.anova(fit, hd.lmm("Reaction ~ Days + (Days | Subject)", data, weights="w2"))
    same = hd.anova(fit, hd.lmm("Reaction ~ Days + (Days | Subject)", data, weights="w"))
    assert same.table["df"].iloc[1] == 2


def test_one_fit_or_none_is_refused(sleep: dict[str, Any]) -> None:
    with pytest.raises(DesignError, match="two or more"):
        hd.anova(sleep["full"])
    with pytest.raises(DesignError, match="compares fits, not str"):
        hd.anova(sleep["full"], "Reaction ~ Days")
    with pytest.raises(DesignError, match="the same model"):
        hd.anova(sleep["full"], sleep["full"])


def test_printed_in_80_columns(sleep: dict[str, Any]) -> None:
    text = str(hd.anova(sleep["none"], sleep["intercept"], sleep["full"]))
    assert max(map(len, text.splitlines())) <= 80
    assert "1: Reaction ~ Days" in text


# ---- residual structures


def nlme_fits(case_id: str) -> list[Any]:
    if "sleep" in case_id:
        data, text, fit = hd.load_dataset("sleepstudy"), "Reaction ~ Days", hd.lm
        ar1 = {"correlation": "ar1(Days | Subject)"}
        options = [{}, ar1, {**ar1, "variance": "exp(Days)"}]
    elif "orthodont" in case_id:
        data, text, fit = hd.load_dataset("orthodont"), "distance ~ age * Sex", hd.lm
        free = {"method": "ML", "correlation": "us(age | Subject)"}
        same = {"method": "ML", "correlation": "cs(1 | Subject)"}
        options = [same, free, {**free, "variance": "ident(age)"}]
    else:
        data, text = hd.load_dataset("bodyweight"), "weight ~ Time * Diet + (Time | Rat)"
        fit = hd.lmm  # type: ignore[assignment]
        data = data.assign(order=data.groupby("Rat", observed=True).cumcount())
        power = {"variance": "power(Time)"}
        options = [{}, power, {**power, "correlation": "ar1(order | Rat)"}]
    return [fit(text, data, **keywords) for keywords in options]  # type: ignore[arg-type]


@pytest.mark.parametrize("case_id", case_ids("nlme"))
def test_chains_of_residual_structures_are_those_of_nlme(case_id: str) -> None:
    stored = load_results(case_id)["results"]["lrt"]
    table = hd.anova(*nlme_fits(case_id)).table
    assert table["npar"].tolist() == [only(v["npar"]) for v in stored.values()]
    for expected, (_, row) in list(zip(stored.values(), table.iterrows(), strict=True))[1:]:
        assert row["statistic"] == pytest.approx(only(expected["chisq"]), abs=2e-4)
        assert row["df"] == only(expected["df"])
        assert row["p_boundary"] == row["p_value"]


def test_residual_structures_are_named_and_lost_ones_refused() -> None:
    data = hd.load_dataset("sleepstudy")
    ar1 = hd.lm("Reaction ~ Days", data, correlation="ar1(Days | Subject)")
    exponential = hd.lm(
        "Reaction ~ Days",
        data,
        correlation="exp(Days | Subject, nugget=True)",
        variance="exp(Days)",
    )
    result = hd.anova(ar1, exponential)
    assert "correlation ar1(Days | Subject)" in result.table["model"].iloc[0]
    assert any("taken on trust" in note for note in result.notes)
    with pytest.raises(DesignError, match="correlation of the residuals"):
        hd.anova(ar1, hd.lmm("Reaction ~ Days + (Days | Subject)", data))


# ---- the law at the boundary


@given(x=st.floats(0.01, 60.0), free=st.integers(0, 5))
def test_one_variance_is_half_and_half(x: float, free: int) -> None:
    expected = 0.5 * (stats.chi2.sf(x, free) if free else 0.0) + 0.5 * stats.chi2.sf(x, free + 1)
    assert cone_tail(x, [1], None, free) == pytest.approx(expected, rel=1e-12)
    assert even_mixture_tail(x, free) == pytest.approx(expected, rel=1e-12)


@settings(max_examples=10)
@given(rho=st.floats(-0.9, 0.9), x=st.floats(0.5, 40.0))
def test_two_variances_have_the_weights_of_a_quadrant(rho: float, x: float) -> None:
    """Z ~ N(0, J^-1) with correlation -rho: weights of Self & Liang 1987, case 7."""
    metric = np.array([[1.0, rho], [rho, 1.0]])
    both = 0.5 - np.arccos(-rho) / (2.0 * np.pi)
    expected = both * chi2_tail(x, 2) + 0.5 * chi2_tail(x, 1)
    assert cone_tail(x, [1, 1], metric, 0) == pytest.approx(expected, rel=0.06)


def test_semidefinite_two_by_two_is_a_circular_cone() -> None:
    """In Frobenius length the cone's half angle is 45 degrees: solid angle (1 - cos 45) / 2."""
    three = (1.0 - np.sqrt(0.5)) / 2.0
    metric = np.diag([1.0, 2.0, 1.0])
    for x in (1.0, 5.0, 20.0):
        two = one = 0.5 - three
        expected = three * chi2_tail(x, 3) + two * chi2_tail(x, 2) + one * chi2_tail(x, 1)
        assert cone_tail(x, [2], metric, 0) == pytest.approx(expected, rel=0.05)


def test_simulated_p_values_are_uniform_under_the_null() -> None:
    """Two independent variances that are zero: the mixture holds, plain chi-square is far off."""
    rng = np.random.default_rng(3)
    import pandas as pd

    data = pd.DataFrame({"g": np.repeat(np.arange(30), 10).astype(str), "y": 0.0, "x": 0.0})
    data["x"] = rng.normal(size=300)
    p, naive = [], []
    data["y"] = rng.normal(size=300)
    small, big = hd.lm("y ~ x", data), hd.lmm("y ~ x + (x || g)", data)
    for _ in range(200):
        y = rng.normal(size=300)
        row = hd.anova(small.refit(y), big.refit(y)).table.iloc[1]
        p.append(row["p_boundary"])
        naive.append(row["p_value"])
    assert np.mean(np.array(p) < 0.2) == pytest.approx(0.2, abs=0.085)
    assert np.mean(np.array(naive) < 0.2) < 0.13


def test_the_bootstrap_adds_its_p_value_beside_the_others() -> None:
    data = hd.load_dataset("sleepstudy")
    small = hd.lmm("Reaction ~ 1 + (1 | Subject)", data, method="ML")
    big = hd.lmm("Reaction ~ Days + (1 | Subject)", data, method="ML")
    plain = hd.anova(small, big).table
    found = hd.anova(small, big, method="bootstrap", nsim=99, seed=1)
    assert found.table["p_bootstrap"].iloc[1] == pytest.approx(0.01)
    pd.testing.assert_frame_equal(found.table.drop(columns="p_bootstrap"), plain)
    again = hd.anova(small, big, method="bootstrap", nsim=99, seed=1)
    pd.testing.assert_frame_equal(found.table, again.table)
    with pytest.raises(hd.DesignError, match="bootstrap"):
        hd.anova(small, big, method="exact")
