"""Degrees of freedom: nlme's between-within rule, names of the methods, what intervals use."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from reference_cases import coefficient_name
from scipy import special
from structure_cases import load_structure_case, structure_ids

import henderson as hd
from henderson.errors import DesignError, HendersonError, did_you_mean
from henderson.inference.ddf import METHODS, method_name

# nlme's pdBlocked model is here the one with nested groups, whose df nlme has in `machines_nested`.
LME = [
    i
    for i in structure_ids()[0]
    if i.startswith("lme") and i.endswith("_reml") and "pdBlocked" not in i
]


@cache
def fit_of(case_id: str) -> Any:
    return load_structure_case(case_id).fit()


@cache
def orthodont() -> Any:
    return hd.lmm("distance ~ age * Sex + (age | Subject)", hd.load_dataset("orthodont"))


# ---- between and within


@pytest.mark.parametrize("case_id", LME)
def test_between_within_df_are_those_of_nlme(case_id: str) -> None:
    case = load_structure_case(case_id)
    stored = case.results["coef"]
    expected = dict(zip(case.names(list(stored)), (c["df"] for c in stored.values()), strict=True))
    assert fit_of(case_id).degrees_of_freedom("between-within").to_dict() == expected


@pytest.mark.parametrize("case_id", LME)
def test_terms_have_the_df_of_their_stratum(case_id: str) -> None:
    case = load_structure_case(case_id)
    stored = {k: v["den_df"] for k, v in case.results["anova_marginal"].items()}
    table = fit_of(case_id).anova(ddf="between-within").table
    for term, den in zip(table["term"], table["den_df"], strict=True):
        r_term = next(k for k in stored if same_term(term, k, case))
        assert den == stored[r_term]


def same_term(ours: str, theirs: str, case: Any) -> bool:
    return theirs != "(Intercept)" and ours == coefficient_name(theirs, [theirs], case.columns)


def test_a_hypothesis_across_strata_has_the_fewest() -> None:
    fit = orthodont()
    sex, age = fit.design.names[2], fit.design.names[1]
    assert fit.test([sex, age], ddf="bw").den_df == 25
    assert fit.test(f"{age} - {fit.design.names[3]} = 0", ddf="bw").contrasts[0].df == 79


def test_without_an_intercept_the_groups_keep_its_df() -> None:
    data = hd.load_dataset("orthodont")
    fit = hd.lmm("distance ~ 0 + Sex + age + (1 | Subject)", data)
    assert fit.degrees_of_freedom("bw").tolist() == [25, 25, 108 - 27 - 1]


def test_groups_of_correlated_residuals_are_strata_too() -> None:
    data = hd.load_dataset("orthodont")
    fit = hd.lm("distance ~ age * Sex", data, correlation="cs(1 | Subject)")
    random = hd.lmm("distance ~ age * Sex + (1 | Subject)", data)
    assert fit.degrees_of_freedom("bw").tolist() == random.degrees_of_freedom("bw").tolist()


def test_crossed_groups_have_no_strata() -> None:
    fit = hd.lmm("diameter ~ 1 + (1 | plate) + (1 | sample)", hd.load_dataset("penicillin"))
    with pytest.raises(DesignError, match="plate is not nested in sample: use ddf="):
        fit.summary(ddf="between-within")


def test_strata_without_df_are_said() -> None:
    data = hd.load_dataset("orthodont").query("Subject in ['M01', 'M02', 'F01']")
    data = data.assign(between=data.groupby("Subject", observed=True)["distance"].transform("mean"))
    fit = hd.lmm("distance ~ age + Sex + between + (1 | Subject)", data)
    with pytest.raises(DesignError, match=r"none is left for '(Sex|between)"):
        fit.conf_int(ddf="bw")


# ---- names


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("KR", "kenward-roger"),
        ("Kenward_Roger", "kenward-roger"),
        ("kenward roger", "kenward-roger"),
        ("Satterthwaite", "satterthwaite"),
        ("satt", "satterthwaite"),
        ("Between-Within", "between-within"),
        ("bw", "between-within"),
        ("Z", "normal"),
        ("RESIDUAL", "residual"),
    ],
)
def test_methods_go_by_several_names(given: Any, name: Any) -> None:
    assert method_name(given) == name
    fit = orthodont()
    assert fit.conf_int(ddf=given).equals(fit.conf_int(ddf=name))
    assert fit.summary(given).ddf == fit.anova(ddf=given).ddf == fit.test("age", given).ddf == name
    assert fit.emmeans("Sex", ddf=given).ddf == name
    assert str(fit.summary(given)) == str(fit.summary(name))


@pytest.mark.parametrize("given", ["", "kw", None, "t"])
def test_unknown_methods_are_refused_with_the_known_ones(given: Any) -> None:
    with pytest.raises(DesignError, match=f"Unknown method '{given}'.*{', '.join(METHODS)}"):
        orthodont().summary(ddf=given)


@pytest.mark.parametrize("ddf", ["satterthwaite", "kenward-roger", "between-within", "residual"])
def test_a_linear_model_says_that_its_df_are_n_less_p(ddf: Any) -> None:
    fit = hd.lm("score ~ edu * classroom", hd.load_dataset("classroom_scores"))
    shown = [fit.anova(ddf=ddf), fit.test("edu", ddf), fit.emmeans("classroom", ddf=ddf)]
    shown += [fit.summary(ddf), fit.emmeans("classroom", ddf=ddf).contrast("pairwise")]
    for result in shown:
        assert "n - p" in str(result)
        assert "Satterthwaite" not in str(result)
        assert result.ddf == "residual"
    assert fit.anova(ddf=ddf).table["den_df"].tolist() == [54, 54, 54]
    assert hd.lm("score ~ edu", fit.design.frame.data).anova(ddf="normal").ddf == "normal"


# ---- intervals


@pytest.mark.parametrize("ddf", METHODS)
@pytest.mark.parametrize("level", [0.95, 0.8])
def test_intervals_reach_a_t_quantile_of_each_coefficients_own_df(ddf: Any, level: float) -> None:
    """estimate -/+ t(df_j) SE_j, with the df and SE of the same method's table."""
    data = hd.load_dataset("oats")
    fit = hd.lmm("yield ~ nitro * Variety + (1 | Block/Variety)", data)
    table = fit.summary(ddf).coefficients
    df = fit.degrees_of_freedom(ddf)
    np.testing.assert_allclose(df, table["df"])
    if ddf in ("satterthwaite", "kenward-roger", "between-within"):
        assert df.max() > 2 * df.min()  # a mix-up of coefficients would show
    reach = [
        special.stdtrit(v, 0.5 + level / 2.0) if np.isfinite(v) else special.ndtri(0.5 + level / 2)
        for v in df
    ] * table["std_error"]
    ours = fit.conf_int(level=level, ddf=ddf)
    np.testing.assert_allclose(ours["lower"], fit.params - reach, rtol=1e-12)
    np.testing.assert_allclose(ours["upper"], fit.params + reach, rtol=1e-12)
    tidy = fit.tidy(level=level, ddf=ddf)
    np.testing.assert_allclose(tidy[["conf_low", "conf_high"]], ours, rtol=1e-12)
    for name, lower, upper in zip(fit.design.names, ours["lower"], ours["upper"], strict=True):
        (one,) = fit.test(name, ddf).contrasts
        if level == one_level():
            assert (one.lower, one.upper) == pytest.approx((lower, upper), rel=1e-9)


def one_level() -> float:
    """The level of the intervals of `fit.test`."""
    return float(orthodont().test("age").level)


# ---- one name for the number of simulations


def test_simulations_are_counted_by_nsim() -> None:
    data = hd.load_dataset("dyestuff")
    fit = hd.lmm("Yield ~ 1 + (1 | Batch)", data)
    assert fit.simulate(nsim=3, seed=1).shape[1] == 3
    assert fit.bootstrap(nsim=4, seed=1).nsim == 4
    assert len(fit.confint("bootstrap", nsim=20, seed=1)) == 3
    assert fit.exact_rlrt(nsim=50, seed=1).nsim == 50
    small = hd.lm("Yield ~ 1", data)
    assert "p_bootstrap" in hd.anova(small, fit, method="bootstrap", nsim=5, seed=1).table
    found = hd.power(fit, "Intercept", effect=1.0, nsim=6, seed=1).table
    assert found["nsim"].tolist() == [6]


# ---- empty lists


def test_messages_have_no_empty_lists() -> None:
    assert did_you_mean("x", []) == "there are none."
    fit = hd.lm("score ~ edu", hd.load_dataset("classroom_scores"))
    with pytest.raises(HendersonError, match=r"no random term \(1\|g\); it has none"):
        fit.predict(random="(1|g)")
    alone = hd.lmm("score ~ 0 + (1 | classroom)", hd.load_dataset("classroom_scores"))
    with pytest.raises(HendersonError, match="there are none"):
        hd.power(alone, "edu", effect=1.0)
    with pytest.raises(HendersonError, match="fixed effects: none"):
        alone.test([1.0])
