"""Tidy tables: broom.mixed's columns, the fit's numbers, the caller's rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tables.fits import FORMULAS, fit_of

import henderson as hd
from henderson.errors import DesignError

MIXED = [name for name, (_, formula) in FORMULAS.items() if "|" in formula]


@pytest.mark.parametrize("name", FORMULAS)
def test_fixed_effects(name: str) -> None:
    fit = fit_of(name)
    table = fit.tidy("fixed")
    tests = ["estimate", "std_error", "statistic", "df", "p_value", "conf_low", "conf_high"]
    assert list(table.columns) == ["effect", "group", "term", *tests]
    assert list(table["term"]) == list(fit.params.index)
    np.testing.assert_allclose(table["p_value"], fit.pvalues)
    np.testing.assert_allclose(table[["conf_low", "conf_high"]], fit.conf_int())


def test_level_and_ddf_reach_the_intervals() -> None:
    fit = fit_of("score")
    table = fit.tidy(level=0.9, ddf="normal")
    np.testing.assert_allclose(table["conf_high"], fit.params + 1.6448536269514722 * fit.bse)
    assert np.isinf(table["df"]).all()


@pytest.mark.parametrize("effects", ["fixed", "ran_vals"])
def test_intervals_can_be_left_out(effects: str) -> None:
    table = fit_of("score").tidy(effects, conf_int=False)
    assert not {"conf_low", "conf_high"} & set(table.columns)


def test_parameters_of_the_random_effects() -> None:
    fit = fit_of("sleep")
    table = fit.tidy("ran_pars")
    assert list(table.columns) == ["effect", "group", "term", "estimate"]
    assert list(table["term"]) == [
        "sd__Intercept",
        "sd__Days",
        "cor__Intercept.Days",
        "sd__Observation",
    ]
    assert list(table["group"]) == ["Subject", "Subject", "Subject", "Residual"]
    np.testing.assert_allclose(table["estimate"], [24.7405, 5.92214, 0.06555, 25.5918], rtol=1e-3)
    np.testing.assert_allclose(table["estimate"], fit.varcorr().to_frame()["sdcor"])


def test_a_model_without_correlations_lists_none() -> None:
    terms = list(fit_of("sleep_diag").tidy("ran_pars")["term"])
    assert terms == ["sd__Intercept", "sd__Days", "sd__Observation"]


@pytest.mark.parametrize("name", MIXED)
def test_conditional_modes(name: str) -> None:
    fit = fit_of(name)
    table = fit.tidy("ran_vals").set_index(["group", "term", "level"])
    assert len(table) == sum(modes.size for modes in fit.ranef().values())
    assert table.index.is_unique
    for group, modes in fit.ranef().items():
        variances = fit.condvar()[group]
        for k, term in enumerate(modes.columns):
            part = table.xs((group, term), level=["group", "term"])
            np.testing.assert_allclose(part["estimate"], modes[term])
            np.testing.assert_allclose(part["std_error"] ** 2, variances[:, k, k], atol=1e-9)
            assert list(part.index) == list(modes.index)


def test_without_random_effects_there_are_no_modes() -> None:
    table = fit_of("lm").tidy("ran_vals")
    assert len(table) == 0
    assert {"group", "level", "term", "estimate", "std_error"} <= set(table.columns)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(DesignError, match="ran_vals"):
        fit_of("score").tidy("random")  # type: ignore[arg-type]
    with pytest.raises(DesignError, match="level"):
        fit_of("score").tidy(level=95)


def test_glance_is_one_row() -> None:
    fit = fit_of("score_slope")
    row = fit.glance().iloc[0]
    assert fit.glance().shape[0] == 1
    assert row["aic"] == pytest.approx(-2.0 * row["log_lik"] + 2.0 * row["npar"])
    assert row["criterion"] == pytest.approx(fit.criterion)
    assert (row["nobs"], row["df_residual"], row["method"]) == (60, 58, "REML")
    assert row["is_singular"] and row["converged"]


@pytest.fixture
def shuffled() -> pd.DataFrame:
    """Rows in another order, text labels, one value missing, a column that no formula names."""
    data = hd.load_dataset("sleepstudy").sample(frac=1.0, random_state=3)
    data.index = [f"row {i}" for i in data.index]
    data.iloc[7, data.columns.get_loc("Days")] = np.nan
    return data.assign(other=1.0)


def test_augment_keeps_index_and_rows(shuffled: pd.DataFrame) -> None:
    fit = hd.lmm("Reaction ~ Days + (Days | Subject)", shuffled)
    table = fit.augment()
    kept = shuffled[shuffled["Days"].notna()]
    assert list(table.index) == list(kept.index)
    np.testing.assert_array_equal(table["Reaction"], kept["Reaction"])
    np.testing.assert_allclose(table["fitted"] + table["resid"], table["Reaction"])
    np.testing.assert_allclose(
        table["fixed"], fit.params.iloc[0] + fit.params.iloc[1] * kept["Days"]
    )
    np.testing.assert_allclose(table["pearson"], table["resid"] / fit.sigma)
    assert "other" not in table.columns


def test_augment_allows_for_weights_and_offset() -> None:
    data = hd.load_dataset("sleepstudy").assign(w=lambda d: d["Days"] + 1.0, o=10.0)
    fit = hd.lmm("Reaction ~ Days + (1 | Subject)", data, weights="w", offset="o")
    table = fit.augment()
    np.testing.assert_allclose(table["weights"], data["w"])
    np.testing.assert_allclose(table["pearson"], table["resid"] * np.sqrt(data["w"]) / fit.sigma)
    linear = fit.params["Intercept"] + fit.params["Days"] * data["Days"]
    np.testing.assert_allclose(table["fixed"], linear + 10.0)


def test_augment_does_not_hide_the_callers_columns() -> None:
    data = hd.load_dataset("classroom_scores").rename(columns={"edu": "fitted"})
    table = hd.lm("score ~ fitted", data).augment()
    np.testing.assert_array_equal(table["fitted"], data["fitted"])
    np.testing.assert_allclose(table["fitted_"] + table["resid"], data["score"])


def test_leverage_and_studentised_residuals_by_leaving_rows_out() -> None:
    """r_i / (1 - h_i) is the error of predicting row i from the others."""
    data = hd.load_dataset("classroom_scores").assign(w=lambda d: 1.0 + d["edu"] % 3)
    fit = hd.lm("score ~ edu", data, weights="w")
    table = fit.augment()
    assert table["leverage"].sum() == pytest.approx(2.0)
    for i in (0, 17, 59):
        others = hd.lm("score ~ edu", data.drop(index=i), weights="w")
        error = data["score"][i] - others.predict(data.loc[[i]]).iloc[0]
        assert table["resid"][i] / (1.0 - table["leverage"][i]) == pytest.approx(error)
    spread = fit.sigma * np.sqrt((1.0 - table["leverage"]) / data["w"])
    np.testing.assert_allclose(table["studentised"], table["resid"] / spread)
