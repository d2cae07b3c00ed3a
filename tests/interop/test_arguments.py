"""What `mixedlm` and `fit` accept, what they report as unused, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.regression.mixed_linear_model import MixedLMParams

import henderson as hd
from henderson.errors import HendersonError
from henderson.interop.statsmodels.refusals import NotOfferedError


@pytest.fixture(scope="module")
def sleep() -> pd.DataFrame:
    return hd.load_dataset("sleepstudy")


# ---- groups


def test_groups_may_be_a_name_a_series_an_array_or_a_list(sleep: pd.DataFrame) -> None:
    labels = sleep["Subject"]
    fits = [
        hd.mixedlm("Reaction ~ Days", sleep, groups=groups).fit()
        for groups in ("Subject", labels, labels.to_numpy(), list(labels), pd.Categorical(labels))
    ]
    for fit in fits[1:]:
        np.testing.assert_allclose(fit.params, fits[0].params, rtol=1e-12)
        assert fit.params.index[-1] == "Group Var"
    assert fits[0].params.index[-1] == "Subject Var"


def test_a_series_of_groups_counts_by_position(sleep: pd.DataFrame) -> None:
    labels = sleep["Subject"].set_axis(np.arange(len(sleep))[::-1])
    fit = hd.mixedlm("Reaction ~ Days", sleep, groups=labels).fit()
    assert fit.llf == hd.mixedlm("Reaction ~ Days", sleep, groups="Subject").fit().llf


def test_a_column_called_group_is_left_alone(sleep: pd.DataFrame) -> None:
    data = sleep.assign(Group=sleep["Days"])
    fit = hd.mixedlm("Reaction ~ Group", data, groups=sleep["Subject"]).fit()
    plain = hd.mixedlm("Reaction ~ Days", sleep, groups=sleep["Subject"]).fit()
    np.testing.assert_allclose(fit.params, plain.params, rtol=1e-10)


def test_the_fit_is_hendersons_own(sleep: pd.DataFrame) -> None:
    result = hd.mixedlm("Reaction ~ Days", sleep, groups="Subject", re_formula="~Days").fit()
    own = hd.lmm("Reaction ~ Days + (Days | Subject)", sleep)
    assert result.henderson.criterion == own.criterion
    assert result.henderson.formula == own.formula
    assert result.mse_resid == pytest.approx(float((own.resid**2).sum()) / own.df_resid, rel=1e-12)


def test_one_group_with_components_is_crossed_factors() -> None:
    data = hd.load_dataset("penicillin").assign(all=1)
    vc = {"plate": "0 + C(plate)", "sample": "0 + C(sample)"}
    result = hd.mixedlm("diameter ~ 1", data, groups="all", vc_formula=vc).fit(reml=False)
    own = hd.lmm("diameter ~ 1 + (1 | plate) + (1 | sample)", data, method="ML")
    assert result.henderson.formula == own.formula
    assert result.llf == own.llf
    assert (result.aic, result.bic) == (own.aic, own.bic)
    assert len(result.random_effects[1]) == 24 + 6


def test_tables_other_than_pandas_do(sleep: pd.DataFrame) -> None:
    import polars as pl

    as_polars = pl.from_pandas(sleep.astype({"Subject": str}))
    as_dict = {name: sleep[name].to_numpy() for name in sleep.columns}
    wanted = hd.mixedlm("Reaction ~ Days", sleep, groups="Subject").fit().params
    for table in (as_polars, as_dict):
        found = hd.mixedlm("Reaction ~ Days", table, groups="Subject").fit().params
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


# ---- rows


def test_subset_takes_truth_values_or_labels(sleep: pd.DataFrame) -> None:
    late = sleep["Days"] > 2
    cut = hd.mixedlm("Reaction ~ Days", sleep[late], groups="Subject").fit()
    for subset in (late, late.to_numpy(), list(late), list(sleep.index[late])):
        fit = hd.mixedlm("Reaction ~ Days", sleep, groups="Subject", subset=subset).fit()
        assert fit.llf == cut.llf
        assert list(fit.resid.index) == list(cut.resid.index)
    assert "126 of 180 rows" in str(fit.notes[0])


def test_groups_may_have_the_rows_of_the_table_or_of_the_subset(sleep: pd.DataFrame) -> None:
    late = sleep["Days"] > 2
    whole = hd.mixedlm("Reaction ~ Days", sleep, groups=sleep["Subject"], subset=late).fit()
    part = hd.mixedlm("Reaction ~ Days", sleep, groups=sleep["Subject"][late], subset=late).fit()
    assert whole.llf == part.llf


def test_missing_values_are_refused_unless_dropped(sleep: pd.DataFrame) -> None:
    data = sleep.copy()
    data.loc[[3, 7], "Reaction"] = np.nan
    for missing in ("none", "raise"):
        with pytest.raises(hd.DataError, match="2 in Reaction"):
            hd.mixedlm("Reaction ~ Days", data, groups="Subject", missing=missing)
    fit = hd.mixedlm("Reaction ~ Days", data, groups="Subject", missing="drop").fit()
    assert fit.nobs == 178
    assert any("2 rows with missing values" in str(note) for note in fit.notes)
    with pytest.raises(hd.DesignError, match="missing is"):
        hd.mixedlm("Reaction ~ Days", data, groups="Subject", missing="ignore")


# ---- the caller's own names


def test_a_callers_function_is_used_even_where_it_hides_another(sleep: pd.DataFrame) -> None:
    def log(values: pd.Series) -> pd.Series:
        return np.log10(values)

    own = hd.mixedlm("log(Reaction) ~ Days", sleep, groups="Subject").fit()
    wanted = hd.mixedlm("np.log10(Reaction) ~ Days", sleep, groups="Subject").fit()
    np.testing.assert_allclose(own.params, wanted.params, rtol=1e-9)
    assert log(pd.Series([10.0]))[0] == 1.0


def test_the_callers_names_can_be_left_out(sleep: pd.DataFrame) -> None:
    def twice(values: pd.Series) -> pd.Series:
        return 2 * values

    fit = hd.mixedlm("Reaction ~ twice(Days)", sleep, groups="Subject").fit()
    assert fit.predict({"Days": [1.0]})[0] == pytest.approx(
        fit.fe_params["Intercept"] + twice(1.0) * fit.fe_params["twice(Days)"]
    )
    with pytest.raises(hd.FormulaError, match="twice"):
        hd.mixedlm("Reaction ~ twice(Days)", sleep, groups="Subject", eval_env=-1)


# ---- fit


def test_optimiser_keywords_are_named_in_a_note(sleep: pd.DataFrame) -> None:
    model = hd.mixedlm("Reaction ~ Days", sleep, groups="Subject", use_sparse=True)
    fit = model.fit(method=["powell", "lbfgs"], maxiter=10, gtol=1e-3, full_output=True)
    assert fit.llf == model.fit().llf
    text = " ".join(str(note) for note in fit.notes)
    for word in ("method", "maxiter", "gtol", "full_output", "use_sparse"):
        assert word in text
    assert model.fit().notes == model.notes  # nothing of fit()'s


def test_free_identity_makes_effects_independent(sleep: pd.DataFrame) -> None:
    model = hd.mixedlm("Reaction ~ Days", sleep, groups="Subject", re_formula="~Days")
    free = MixedLMParams.from_components(np.ones(2), np.eye(2))
    fit = model.fit(free=free)
    own = hd.lmm("Reaction ~ Days + (Days || Subject)", sleep)
    assert fit.llf == pytest.approx(own.llf, rel=1e-12)
    assert fit.params["Subject x Days Cov"] == 0.0
    assert fit.bse["Subject x Days Cov"] == 0.0
    assert fit.henderson.formula == own.formula
    ones = MixedLMParams.from_components(np.ones(2), np.ones((2, 2)))
    assert model.fit(free=ones).llf == model.fit().llf
    with pytest.raises(hd.DesignError, match="cannot be held fixed"):
        model.fit(free=MixedLMParams.from_components(np.array([1.0, 0.0]), np.eye(2)))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [({"fe_pen": 1}, "Penalties"), ({"cov_pen": 1}, "Penalties"), ({"do_cg": False}, "do_cg")],
)
def test_what_would_change_the_model_is_refused(
    sleep: pd.DataFrame, keywords: dict[str, Any], message: str
) -> None:
    with pytest.raises(hd.DesignError, match=message):
        hd.mixedlm("Reaction ~ Days", sleep, groups="Subject").fit(**keywords)


def test_names_that_are_not_offered_say_so(sleep: pd.DataFrame) -> None:
    fit = hd.mixedlm("Reaction ~ Days", sleep, groups="Subject").fit()
    for owner, names in ((fit, ("profile_re", "bootstrap")), (fit.model, ("loglike", "score"))):
        for name in names:
            with pytest.raises(NotOfferedError, match=f"{name} of statsmodels is not offered"):
                getattr(owner, name)
            assert not hasattr(owner, name)
    with pytest.raises(AttributeError, match="no attribute 'parms'"):
        fit.parms  # noqa: B018


# ---- refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groups": None}, "needs groups="),
        ({"groups": "Subjekt"}, "did you mean 'Subject'"),
        ({"groups": [1, 2, 3]}, "3 labels; the data have 180 rows"),
        ({"groups": np.ones((180, 2))}, "one label a row"),
        ({"groups": "Subject", "weights": "w"}, "no argument 'weights'"),
        ({"groups": "Subject", "exog_re": 1}, "re_formula"),
        ({"groups": "Subject", "re_formula": "0"}, "no random effect"),
        ({"groups": "Subject", "re_formula": "1 | Subject"}, "one-sided"),
        ({"groups": "Subject", "re_formula": "~ Dayz"}, "Dayz"),
        ({"groups": "Subject", "vc_formula": "0 + C(Days)"}, "mapping"),
        ({"groups": "Subject", "vc_formula": {"a": "C(Days)"}}, "vc_formula\\['a'\\].*own"),
        ({"groups": "Subject", "vc_formula": {"a": "0 + C(Days) + Days"}}, "own"),
        ({"groups": "Subject", "vc_formula": {"a": "0 + scale(Days)"}}, "scale\\(\\) may not"),
        ({"groups": "Subject", "vc_formula": {"a": "0 + C(Dayz)"}}, "did you mean 'Days'"),
        ({"groups": "Subject", "vc_formula": {"a": "0"}}, "no columns"),
        ({"groups": "Subject", "subset": [True, False]}, "subset"),
        ({"groups": "Subject", "subset": np.zeros(180, bool)}, "no rows"),
    ],
)
def test_bad_arguments_name_the_culprit(
    sleep: pd.DataFrame, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(HendersonError, match=message):
        hd.mixedlm("Reaction ~ Days", sleep, **arguments)


def test_random_terms_in_the_formula_are_sent_to_lmm(sleep: pd.DataFrame) -> None:
    with pytest.raises(hd.FormulaError, match=r"henderson\.lmm"):
        hd.mixedlm("Reaction ~ Days + (1 | Subject)", sleep, groups="Subject")


def test_a_matrix_of_the_wrong_width_is_refused(sleep: pd.DataFrame) -> None:
    fit = hd.mixedlm("Reaction ~ Days", sleep, groups="Subject").fit()
    for verb in (fit.t_test, fit.wald_test, fit.f_test):
        with pytest.raises(hd.DesignError, match="columns"):
            verb(np.ones((1, 7)))
        with pytest.raises(hd.DesignError, match="Dayz"):
            verb("Dayz = 0")
    with pytest.raises(hd.DesignError, match="follow from the others"):
        fit.wald_test("Days = 0, Days = 0")
    with pytest.raises(hd.DesignError, match="columns"):
        fit.predict(np.ones((2, 3)))
    with pytest.raises(hd.DesignError, match="columns"):
        fit.cov_params(r_matrix=np.ones((1, 7)))


# ---- what must not matter


@settings(max_examples=15)
@given(st.permutations(range(180)), st.floats(0.01, 100), st.floats(-1000, 1000))
def test_order_of_rows_and_origin_do_not_matter(
    order: list[int], factor: float, shift: float
) -> None:
    sleep = hd.load_dataset("sleepstudy")
    fit = hd.mixedlm("Reaction ~ Days", sleep, groups="Subject", re_formula="~Days").fit()
    moved = sleep.iloc[order].assign(Reaction=lambda d: factor * d["Reaction"] + shift)
    other = hd.mixedlm("Reaction ~ Days", moved, groups="Subject", re_formula="~Days").fit()
    np.testing.assert_allclose(other.params[2:], fit.params[2:], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(other.bse[2:], fit.bse[2:], rtol=1e-5)
    np.testing.assert_allclose(other.bse_fe, factor * fit.bse_fe, rtol=1e-6)
    for label, effects in fit.random_effects.items():
        np.testing.assert_allclose(
            other.random_effects[label], factor * effects, rtol=1e-4, atol=1e-4 * factor
        )


def test_singular_fits_keep_their_effects() -> None:
    scores = hd.load_dataset("classroom_scores")
    fit = hd.mixedlm("score ~ edu", scores, groups="classroom", re_formula="~edu").fit()
    assert fit.converged
    assert fit.tvalues["edu"] == pytest.approx(2.756967, abs=1e-6)
    assert fit.pvalues["edu"] == pytest.approx(0.005834, abs=1e-6)
    assert any(note.kind == "singular" for note in fit.notes)
    covs = np.array(list(fit.random_effects_cov.values()))
    assert np.isfinite(covs).all()
    wanted = fit.henderson.condvar()["classroom"]
    np.testing.assert_allclose(covs, wanted, rtol=1e-8, atol=1e-12)
