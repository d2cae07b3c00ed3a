"""A script written for statsmodels' mixedlm runs with one import changed, and says the same.

statsmodels stops its optimiser early, so results are compared twice: as printed, to the few digits
that its optimum has; and with statsmodels put on the optimum found here, to nearly all digits.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from interop.scripts import SCRIPTS, Script, pig_components, pigs, school_shared_variance, sleep
from statsmodels.regression.mixed_linear_model import MixedLMParams

import henderson as hd

# Here statsmodels gives up before an optimum, after trying three optimisers.
OUT_OF_REACH = (pig_components, school_shared_variance)

each_script = pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)


@cache
def ours(script: Script) -> Any:
    return script(hd)


@cache
def theirs(script: Script) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return script(smf)


@cache
def theirs_there(script: Script) -> Any:
    """statsmodels' result at the parameters that henderson found."""
    found, model = ours(script), theirs(script).model
    start = MixedLMParams.from_components(
        found.fe_params.to_numpy(),
        cov_re=np.asarray(found.cov_re_unscaled),
        vcomp=found.vcomp / found.scale,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(start_params=start, reml=found.reml, method="bfgs", maxiter=0)


def assert_near(found: Any, wanted: Any, tolerance: float, scale: Any = 0.0) -> None:
    """|found - wanted| <= tolerance max(|wanted|, scale), element by element."""
    found, wanted = np.asarray(found, dtype=float), np.asarray(wanted, dtype=float)
    assert found.shape == wanted.shape
    gap = np.abs(found - wanted)
    assert (gap <= tolerance * np.maximum(np.abs(wanted), scale)).all(), (found, wanted)


@each_script
def test_names_are_statsmodels(script: Script) -> None:
    a, b = ours(script), theirs(script)
    assert list(a.params.index) == list(b.params.index)
    assert a.model.exog_names == b.model.exog_names
    assert list(a.cov_re.index) == list(b.cov_re.index)
    assert list(a.random_effects) == list(b.random_effects)
    for label, effects in b.random_effects.items():
        assert list(a.random_effects[label].index) == list(effects.index)


@each_script
def test_model_holds_the_same_arrays(script: Script) -> None:
    a, b = ours(script).model, theirs(script).model
    np.testing.assert_allclose(a.exog, b.exog, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(a.endog, b.endog)
    np.testing.assert_array_equal(a.groups, b.groups)
    assert a.group_labels == b.group_labels
    if b.k_re:
        np.testing.assert_array_equal(a.exog_re, b.exog_re)
    for name in ("k_fe", "k_re", "k_re2", "k_vc", "k_params", "n_groups", "nobs", "endog_names"):
        assert getattr(a, name) == getattr(b, name), name
    for rows, wanted in zip(a.row_indices.values(), b.row_indices.values(), strict=True):
        np.testing.assert_array_equal(rows, wanted)


@each_script
def test_likelihood_is_never_lower(script: Script) -> None:
    a, b = ours(script), theirs(script)
    assert a.converged
    assert a.llf >= b.llf - 1e-11 * abs(b.llf)
    if script not in OUT_OF_REACH:
        assert a.llf - b.llf < 1e-4


@pytest.mark.parametrize(
    "script", [s for s in SCRIPTS if s not in OUT_OF_REACH], ids=lambda script: script.__name__
)
def test_printed_numbers_agree(script: Script) -> None:
    a, b = ours(script), theirs(script)
    assert_near(a.fe_params, b.fe_params, 2e-4, b.bse_fe)
    assert_near(a.bse_fe, b.bse_fe, 1e-3)
    assert_near(a.params, b.params, 5e-3, b.bse)
    assert_near(a.scale, b.scale, 1e-3)
    assert_near(a.pvalues[: a.k_fe], b.pvalues[: b.k_fe], 5e-3, 1e-6)
    for name in ("df_resid", "df_modelwc", "nobs", "method", "use_t", "reml"):
        assert getattr(a, name) == getattr(b, name), name
    np.testing.assert_allclose([a.aic, a.bic], [b.aic, b.bic], rtol=1e-6)  # NaN for REML


@each_script
def test_all_results_agree_at_the_same_parameters(script: Script) -> None:
    a, b = ours(script), theirs_there(script)
    assert_near(a.llf, b.llf, 1e-11)
    assert_near(a.scale, b.scale, 1e-10)
    assert_near(a.params, b.params, 1e-10, b.bse)
    spread = np.sqrt(np.outer(np.diag(b.cov_params()), np.diag(b.cov_params())))
    assert_near(a.cov_params(), b.cov_params(), 1e-8, spread)
    for name in ("bse", "bse_fe", "tvalues", "cov_re", "vcomp"):
        assert_near(getattr(a, name), getattr(b, name), 1e-7, 1e-9)
    if not b.k_vc:  # its own bse_re raises an error beside variance components
        assert_near(a.bse_re, b.bse_re, 1e-7)
    assert_near(a.conf_int(), b.conf_int(), 1e-7, b.bse.to_numpy()[:, None])
    assert_near(a.conf_int(alpha=0.2), b.conf_int(alpha=0.2), 1e-7, b.bse.to_numpy()[:, None])
    assert_near(a.fittedvalues, b.fittedvalues, 1e-9)
    assert_near(a.resid, b.resid, 1e-7, np.sqrt(b.scale))
    np.testing.assert_array_equal(a.resid.index, b.resid.index)


@each_script
def test_random_effects_agree_at_the_same_parameters(script: Script) -> None:
    a, b = ours(script), theirs_there(script)
    sd = np.sqrt(max(np.diag(a.cov_re).max(initial=0.0), a.vcomp.max(initial=0.0)))
    for label, effects in b.random_effects.items():
        assert_near(a.random_effects[label], effects, 1e-8, sd)
    for label, cov in b.random_effects_cov.items():
        assert list(a.random_effects_cov[label].columns) == list(cov.columns)
        assert_near(a.random_effects_cov[label], cov, 1e-8, sd**2)


@each_script
def test_tests_agree_at_the_same_parameters(script: Script) -> None:
    a, b = ours(script), theirs_there(script)
    rows = np.eye(a.k_fe)
    for use_t in (None, True):
        one, two = a.t_test(rows[-1:], use_t=use_t), b.t_test(rows[-1:], use_t=use_t)
        for name in ("effect", "sd", "tvalue", "statistic", "pvalue"):
            assert_near(getattr(one, name), getattr(two, name), 1e-6, 1e-12)
        assert_near(one.conf_int(), two.conf_int(), 1e-7, 1e-9)
        assert str(one) == str(two)
        assert list(one.summary_frame().columns) == list(two.summary_frame().columns)
    every = np.eye(len(a.params))[: a.k_fe]
    for verb in ("wald_test", "f_test"):
        one, two = getattr(a, verb)(every), getattr(b, verb)(every)
        assert_near(one.statistic, two.statistic, 1e-6)
        assert_near(one.pvalue, two.pvalue, 1e-5, 1e-250)
        assert one.df_denom == two.df_denom


@each_script
def test_each_term_is_tested_alike(script: Script) -> None:
    a, b = ours(script), theirs_there(script)
    table = a.wald_test_terms()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # statsmodels announces a change of its table
        wanted = b.wald_test_terms().table
    assert list(table.index) == list(wanted.index)
    assert_near(table["chi2"], wanted.iloc[:, 0].astype(float), 1e-6)


@each_script
def test_predictions_agree(script: Script) -> None:
    a, b = ours(script), theirs_there(script)
    assert_near(a.predict(), b.predict(), 1e-10)
    assert_near(a.predict(a.model.exog[:5], transform=False), b.predict()[:5], 1e-10)


def test_predictions_for_new_rows() -> None:
    new = pd.DataFrame({"Days": [1.0, 2.5, np.nan]}, index=["x", "y", "z"])
    found = ours(sleep).predict(new)
    pd.testing.assert_series_equal(found, theirs_there(sleep).predict(new), rtol=1e-10)
    assert list(ours(sleep).predict({"Days": [1.0, 2.5]})) == list(found[:2])


def test_predictions_keep_what_the_fit_learnt() -> None:
    """Means, spreads, and levels are those of the fitted rows."""
    data = pigs().assign(late=lambda d: d["Time"] > 6)
    formula = "Weight ~ scale(Time) + late + C(Evit)"
    new = data.iloc[[30, 3, 200]]
    fits = [api.mixedlm(formula, data, groups="Pig").fit() for api in (hd, smf)]
    one, two = (fit.predict(new) for fit in fits)
    pd.testing.assert_series_equal(one, two, rtol=1e-6)


def test_hypotheses_in_words() -> None:
    a, b = ours(sleep), theirs_there(sleep)
    for text in ("Days = 0", "Days", "Intercept = 250", "Days = 0, Intercept = 250"):
        assert_near(a.wald_test(text).pvalue, b.wald_test(text, scalar=True).pvalue, 1e-5)
        assert_near(a.f_test(text).pvalue, b.f_test(text).pvalue, 1e-5)
    t = a.t_test("Days = 10")
    assert_near(t.tvalue, (a.params["Days"] - 10) / a.bse["Days"] * np.ones((1, 1)), 1e-12)
    both = a.wald_test("Days = 0, Intercept = 250")
    assert both.df_num == 2
