"""Leaving out by block algebra is leaving out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import henderson as hd
from henderson.diagnostics import deletion
from henderson.diagnostics.row_sets import row_sets
from henderson.errors import DesignError
from henderson.fit import Fit


def groupings(fit: Fit) -> list[str]:
    return ["row", *(f.name for f in fit.design.random)]


def assert_is_deletion(fit: Fit, dense, by: str | np.ndarray) -> None:
    """Every measure equals that of the other rows, with dense V."""
    found = fit.influence(by)
    codes = row_sets(fit, by).codes
    whole = dense.llf
    for j, level in enumerate(found.measures.index):
        rest = dense.without(codes == j)
        if np.linalg.matrix_rank(rest.X) < rest.X.shape[1]:
            assert level in found.failures
            continue
        sd, shift = np.sqrt(np.diag(rest.C)), dense.beta - rest.beta
        scale = np.abs(dense.beta).max()
        row = found.measures.iloc[j]
        assert_allclose(found.estimates.iloc[j], rest.beta, rtol=1e-8, atol=1e-8 * scale)
        assert_allclose(found.std_errors.iloc[j], sd, rtol=1e-8)
        assert_allclose(found.dfbetas.iloc[j], shift / sd, rtol=1e-8, atol=1e-8)
        cook = shift @ np.linalg.solve(dense.C, shift) / len(shift)
        assert_allclose(row["cooks_distance"], cook, rtol=1e-8, atol=1e-8)
        ratio = np.linalg.det(rest.C) / np.linalg.det(dense.C)
        assert_allclose(row["covratio"], ratio, rtol=1e-8)
        assert_allclose(row["llf_change"], whole - rest.llf, rtol=1e-8, atol=1e-8)


def test_equals_deletion_of_rows_and_of_whole_levels(fit, dense):
    for by in groupings(fit):
        assert_is_deletion(fit, dense, by)


def test_sets_that_cut_across_groups(fit, dense):
    labels = np.arange(fit.nobs) % 7
    assert_is_deletion(fit, dense, labels)


def test_very_large_sets_are_left_out_of_the_cross_products(fit, dense, monkeypatch):
    monkeypatch.setattr(deletion, "MOST_ROWS", 0)
    for by in groupings(fit)[1:]:
        assert_is_deletion(fit, dense, by)


def test_leverage_is_the_diagonal_of_the_hat_matrix(fit, dense):
    hat = np.eye(fit.nobs) - dense.R @ dense.P
    fixed = dense.X @ dense.C @ dense.X.T @ np.linalg.inv(dense.V)
    for by in groupings(fit):
        found, codes = fit.influence(by).measures, row_sets(fit, by).codes
        assert_allclose(found["leverage"], np.bincount(codes, np.diag(hat)), atol=1e-10)
        assert_allclose(found["leverage_fixed"], np.bincount(codes, np.diag(fixed)), atol=1e-10)
        assert_allclose(
            found["leverage"], found["leverage_fixed"] + found["leverage_random"], atol=1e-12
        )


def test_fixed_leverages_add_up_to_the_number_of_fixed_effects(fit):
    assert_allclose(fit.influence("row").measures["leverage_fixed"].sum(), fit.design.p)


def test_ordinary_least_squares_has_the_textbook_formulas():
    data = hd.load_dataset("classroom_scores")
    fit = hd.lm("score ~ edu", data)
    found = fit.influence()
    x, r = fit.design.X, fit.resid.to_numpy()
    h = np.einsum("np,np->n", x @ np.linalg.inv(x.T @ x), x)
    assert found.by == "row"
    assert_allclose(found.leverage, h)
    assert_allclose(found.measures["leverage_random"], 0.0, atol=1e-12)
    assert_allclose(found.cooks_distance, r**2 * h / (1.0 - h) ** 2 / (2.0 * fit.scale))
    assert_allclose(found.covratio, 1.0 / (1.0 - h))


@pytest.mark.parametrize(
    ("data", "formula", "by", "method"),
    [
        ("sleepstudy", "Reaction ~ Days + (Days | Subject)", "Subject", "REML"),
        ("rat_pup", "weight ~ treatment * sex + litter_size + (1 | litter)", "litter", "ML"),
        ("machines", "score ~ Machine + (1 | Worker/Machine)", "Worker", "REML"),
    ],
)
def test_refits_equal_new_fits_of_the_other_rows(data, formula, by, method):
    table = hd.load_dataset(data)
    fit = hd.lmm(formula, table, method=method)
    found = fit.influence(by, refit=True)
    assert found.refitted
    for level in found.measures.index[:6]:
        other = hd.lmm(formula, table[table[by] != level], method=method)
        sd = other.bse.to_numpy()
        assert_allclose((found.estimates.loc[level] - other.params) / sd, 0.0, atol=1e-6)
        assert_allclose(found.std_errors.loc[level], other.bse, rtol=1e-6)
        assert_allclose(found.components.loc[level, "sigma"], other.sigma, rtol=1e-6)
        assert_allclose(
            found.measures.loc[level, "llf_change"], fit.llf - other.llf, rtol=1e-6, atol=1e-6
        )
        shift = (fit.params - other.params).to_numpy()
        cook = shift @ np.linalg.solve(fit.cov_params(), shift) / len(shift)
        assert_allclose(found.measures.loc[level, "cooks_distance"], cook, rtol=1e-5, atol=1e-9)


def test_refits_with_structured_residuals_equal_new_fits():
    table = hd.load_dataset("orthodont")
    keywords = {"correlation": "ar1(1 | Subject)", "variance": "ident(Sex)"}
    formula = "distance ~ age * Sex + (1 | Subject)"
    fit = hd.lmm(formula, table, **keywords)
    found = fit.influence(refit=True)
    level = table["Subject"].iloc[0]
    other = hd.lmm(formula, table[table["Subject"] != level], **keywords)
    gap = (found.estimates.loc[level] - other.params) / other.bse
    assert_allclose(gap, 0.0, atol=1e-5)
    assert_allclose(found.measures.loc[level, "llf_change"], fit.llf - other.llf, atol=1e-6)


def test_held_parameters_are_near_refits_where_a_level_says_little_of_the_variances():
    fit = hd.lmm("Reaction ~ Days + (Days | Subject)", hd.load_dataset("sleepstudy"))
    held, again = fit.influence(), fit.influence(refit=True)
    assert np.abs(held.estimates - again.estimates).to_numpy().max() < 0.2


def test_a_level_that_alone_tells_of_an_effect_is_reported():
    fit = hd.lmm("weight ~ treatment + (1 | litter)", hd.load_dataset("rat_pup"))
    for refit in (False, True):
        found = fit.influence("treatment", refit=refit)
        assert set(found.failures) == {"Control", "Low", "High"}
        assert found.cooks_distance.isna().all()
        assert found.leverage.notna().all()
        assert "determine" in str(found)


def test_rows_keep_the_callers_index():
    table = hd.load_dataset("sleepstudy")
    table.index = [f"r{i}" for i in range(len(table))]
    found = hd.lmm("Reaction ~ Days + (1 | Subject)", table).influence("row")
    assert list(found.measures.index) == list(table.index)


def test_scaling_the_response_changes_nothing_but_the_estimates():
    table = hd.load_dataset("sleepstudy")
    formula = "Reaction ~ Days + (Days | Subject)"
    before = hd.lmm(formula, table).influence()
    after = hd.lmm(formula, table.assign(Reaction=table["Reaction"] * 1000.0 + 5.0)).influence()
    assert_allclose(after.dfbetas, before.dfbetas, rtol=1e-5, atol=1e-7)
    assert_allclose(after.covratio, before.covratio, rtol=1e-6)


def test_unknown_names_are_refused_with_what_there_is():
    fit = hd.lmm("Reaction ~ Days + (1 | Subject)", hd.load_dataset("sleepstudy"))
    with pytest.raises(DesignError, match="did you mean 'Subject'"):
        fit.influence("subject")
    with pytest.raises(DesignError, match="180 rows"):
        fit.influence(np.arange(5))


def test_a_model_without_fixed_effects_is_refused():
    fit = hd.lmm("Reaction ~ 0 + (1 | Subject)", hd.load_dataset("sleepstudy"))
    with pytest.raises(DesignError, match="no fixed effects"):
        fit.influence()


def test_text_shows_the_most_influential_first_in_80_columns(fit):
    found = fit.influence()
    text = str(found)
    assert max(map(len, text.splitlines())) <= 80
    assert str(found.most(1).index[0]) in text.splitlines()[2]
    assert "<table" in found._repr_html_()


def test_frame_holds_measures_and_dfbetas(fit):
    found = fit.influence()
    frame = found.to_frame()
    assert list(frame.columns) == [
        "n_rows", "leverage_fixed", "leverage_random", "leverage", "cooks_distance", "covratio",
        "llf_change", *(f"dfbetas_{name}" for name in fit.design.names),
    ]  # fmt: skip
    assert isinstance(frame, pd.DataFrame)
    assert frame["n_rows"].sum() == fit.nobs
