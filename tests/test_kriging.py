"""Residuals of new rows: the conditional mean of a normal vector, written out densely."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from covariance.structured_oracle import call, correlation_matrix, deviations
from numpy.testing import assert_allclose

import henderson as hd

MODELS = [
    ("", "ar1(Days | Subject)", None),
    (" + (1 | Subject)", "ar1(Days | Subject)", None),
    (" + (Days | Subject)", "car1(Days | Subject)", "exp(Days)"),
    ("", "exp(Days | Subject, nugget=True)", "exp(Days)"),
    ("", "cs(1 | Subject)", "exp(Days)"),
]


@cache
def rows() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows to fit, and rows left out: days in the midst and at the end."""
    data = hd.load_dataset("sleepstudy")
    out = data["Days"].isin([4, 9])
    return data[~out].reset_index(drop=True), data[out].reset_index(drop=True)


def fit_of(random: str, correlation: str, variance: str | None) -> hd.fit.Fit:
    make = hd.lmm if random else hd.lm
    return make(f"Reaction ~ Days{random}", rows()[0], correlation=correlation, variance=variance)


@pytest.mark.parametrize(("random", "correlation", "variance"), MODELS)
def test_is_the_conditional_mean(random: str, correlation: str, variance: str | None) -> None:
    """E(y* | y) = x* beta + Cov(y*, y) V^-1 (y - X beta), random effects and residuals together."""
    fit = fit_of(random, correlation, variance)
    both = pd.concat(rows(), ignore_index=True)
    n, days = fit.nobs, both["Days"].to_numpy(float)
    same = both["Subject"].to_numpy()[:, None] == both["Subject"].to_numpy()
    name, _, _ = call(correlation)
    r = same * correlation_matrix(name, fit.structures()[correlation], days[:, None])
    if variance is not None:
        sd = deviations("exp", fit.structures()[variance], days)
        r = sd[:, None] * r * sd
    v = fit.scale * r
    if random:
        z = np.column_stack([np.ones(len(days)), days])[:, : len(fit.D())]
        v = v + same * (z @ fit.D().to_numpy() @ z.T)
    x = np.column_stack([np.ones(len(days)), days]) @ fit.params.to_numpy()
    y = both["Reaction"].to_numpy()[:n]
    expected = x[n:] + v[n:, :n] @ np.linalg.solve(v[:n, :n], y - x[:n])
    assert_allclose(fit.predict(rows()[1], residuals=True), expected, rtol=1e-9)


def test_rows_at_fitted_positions_are_what_was_seen() -> None:
    old, _ = rows()
    fit = fit_of("", "ar1(Days | Subject)", None)
    assert_allclose(fit.predict(old, residuals=True), old["Reaction"])
    with_nugget = fit_of("", "exp(Days | Subject, nugget=True)", None)
    assert (with_nugget.predict(old, residuals=True) - old["Reaction"]).abs().max() > 1.0


def test_new_groups_have_nothing_to_learn_from() -> None:
    fit = fit_of("", "car1(Days | Subject)", None)
    new = pd.DataFrame({"Days": [2.0, 2.5], "Subject": ["somebody", "else"]})
    assert_allclose(fit.predict(new, residuals=True), fit.predict(new))


def test_rows_without_a_position_follow_the_fitted_ones() -> None:
    """rho^k times the last residual, k rows on."""
    fit = fit_of("", "ar1(1 | Subject)", None)
    new = pd.DataFrame({"Days": [9, 9], "Subject": ["308", "308"]})
    gain = fit.predict(new, residuals=True) - fit.predict(new)
    last = fit.resid[(rows()[0]["Subject"] == "308").to_numpy()].iloc[-1]
    rho = fit.structures()["ar1(1 | Subject)"]["rho"]
    assert_allclose(gain, [rho * last, rho**2 * last])


def test_prediction_gets_better() -> None:
    _, new = rows()
    fit = fit_of("", "ar1(Days | Subject)", None)
    errors = [new["Reaction"] - fit.predict(new, residuals=use) for use in (False, True)]
    assert (errors[1] ** 2).mean() < 0.5 * (errors[0] ** 2).mean()


def test_refusals() -> None:
    old, new = rows()
    fit = fit_of("", "ar1(Days | Subject)", "ident(Days)")
    with pytest.raises(hd.DesignError, match="between the steps"):
        fit_of("", "ar1(Days | Subject)", None).predict(
            {"Days": [2.5], "Subject": ["308"]}, residuals=True
        )
    with pytest.raises(hd.DesignError, match="has not seen"):
        fit.predict(new, residuals=True)
    with pytest.raises(hd.DesignError, match="no correlation"):
        hd.lm("Reaction ~ Days", old).predict(new, residuals=True)
    with pytest.raises(hd.DesignError, match="give newdata"):
        fit.predict(residuals=True)
    with pytest.raises(hd.DesignError, match="no intervals"):
        fit.predict(new, residuals=True, interval="confidence")
