"""Residuals against dense matrices."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

import henderson as hd
from henderson.diagnostics import residuals as module
from henderson.errors import DesignError


def test_conditional_and_marginal_differ_by_the_random_part(fit, dense):
    assert_allclose(fit.residuals("conditional"), fit.resid)
    assert_allclose(fit.residuals("response"), fit.resid)
    assert_allclose(fit.residuals("marginal"), dense.y - dense.X @ fit.params, atol=1e-9)


def test_studentised_residuals_have_their_own_variances(fit, dense):
    conditional = np.sqrt(np.diag(dense.R @ dense.P @ dense.R))
    marginal = np.sqrt(np.diag(dense.V - dense.X @ dense.C @ dense.X.T))
    assert_allclose(fit.residuals("studentised"), fit.resid / conditional, rtol=1e-7, atol=1e-9)
    expected = fit.residuals("marginal") / marginal
    assert_allclose(fit.residuals("studentised-marginal"), expected, rtol=1e-7, atol=1e-9)


def test_whitened_residuals_have_the_marginal_sum_of_squares(fit, dense):
    r = dense.y - dense.X @ fit.params.to_numpy()
    white = fit.residuals("whitened").to_numpy()
    assert_allclose(white @ white, r @ np.linalg.solve(dense.V, r), rtol=1e-8)


def test_whitened_residuals_of_one_factor_are_those_over_the_cholesky_factor_of_v():
    fit = hd.lmm("Reaction ~ Days + (Days | Subject)", hd.load_dataset("sleepstudy"))
    r = fit.residuals("marginal").to_numpy()
    expected = np.linalg.solve(np.linalg.cholesky(fit.V().to_numpy()), r)
    assert_allclose(fit.residuals("whitened"), expected, rtol=1e-8, atol=1e-10)


def test_whitening_too_many_correlated_rows_is_refused(monkeypatch):
    fit = hd.lmm("diameter ~ 1 + (1 | plate) + (1 | sample)", hd.load_dataset("penicillin"))
    monkeypatch.setattr(module, "LARGEST", 100)
    with pytest.raises(DesignError, match="studentised"):
        fit.residuals("whitened")


def test_quantile_residuals_estimate_the_marginal_distribution_function(fit, dense):
    from scipy.special import ndtr

    z = (dense.y - dense.X @ fit.params.to_numpy()) / np.sqrt(np.diag(dense.V))
    found = fit.residuals("quantile", seed=1).to_numpy()
    assert ((found > 0.0) & (found < 1.0)).all()
    # A proportion of 250 draws: four standard errors, and the width of one draw.
    spread = np.sqrt(ndtr(z) * ndtr(-z) / 250)
    assert (np.abs(found - ndtr(z)) < 4.5 * spread + 0.005).all()


def test_quantile_residuals_depend_on_the_seed_alone():
    fit = hd.lmm("Reaction ~ Days + (Days | Subject)", hd.load_dataset("sleepstudy"))
    first = fit.residuals("quantile", seed=3)
    assert (first == fit.residuals("quantile", seed=3)).all()
    assert (first != fit.residuals("quantile", seed=4)).any()


def test_residuals_that_the_other_rows_determine_are_missing():
    data = {"x": [0, 0, 0, 0, 0, 1], "y": [1.0, 2.0, 3.0, 5.0, 4.0, 9.0]}
    found = hd.lm("y ~ x", data).residuals("studentised")
    assert found.isna().tolist() == [False] * 5 + [True]


def test_residuals_keep_the_index_and_are_called_by_their_kind(fit):
    for kind in module.KINDS:
        found = fit.residuals(kind, seed=0)
        assert found.name == kind
        assert found.index.equals(fit.design.index)


def test_an_unknown_kind_is_refused():
    fit = hd.lm("score ~ edu", hd.load_dataset("classroom_scores"))
    with pytest.raises(DesignError, match="did you mean 'studentised'"):
        fit.residuals("studentized")
