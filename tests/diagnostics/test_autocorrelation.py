"""Autocorrelation and variogram: definitions, limits, refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import henderson as hd
from henderson.diagnostics import autocorrelation
from henderson.diagnostics.autocorrelation import lag_one, variogram
from henderson.errors import DesignError


@pytest.fixture(scope="module")
def sleepstudy():
    return hd.lmm("Reaction ~ Days + (Days | Subject)", hd.load_dataset("sleepstudy"))


def autoregressive(rho: float, seed: int, groups: int = 60, size: int = 12) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    e = rng.normal(size=(groups, size))
    for k in range(1, size):
        e[:, k] = rho * e[:, k - 1] + np.sqrt(1.0 - rho**2) * e[:, k]
    g = np.repeat(np.arange(groups), size)
    y = e.ravel() + rng.normal(size=groups)[g]
    return pd.DataFrame({"y": y, "g": g, "t": np.tile(np.arange(size), groups)})


def test_acf_is_the_mean_product_within_groups(sleepstudy):
    r = sleepstudy.residuals("normalized").to_numpy().reshape(18, 10)
    found = sleepstudy.acf()
    expected = [np.mean(r[:, : 10 - k] * r[:, k:]) / np.mean(r**2) for k in range(10)]
    assert_allclose(found["acf"], expected)
    assert found["n_pairs"].tolist() == [18 * (10 - k) for k in range(10)]
    assert_allclose(found["upper"].iloc[1:], 1.959964 / np.sqrt(found["n_pairs"].iloc[1:]), 1e-6)


def test_acf_does_not_depend_on_the_order_of_the_groups(sleepstudy):
    table = hd.load_dataset("sleepstudy").sort_values("Days", kind="stable")
    shuffled = hd.lmm("Reaction ~ Days + (Days | Subject)", table)
    assert_allclose(shuffled.acf()["acf"], sleepstudy.acf()["acf"], rtol=1e-5, atol=1e-7)
    assert len(sleepstudy.acf(max_lag=3)) == 4


def test_acf_of_normalized_residuals_is_flat_where_the_structure_is_right():
    data = autoregressive(0.7, seed=1)
    fit = hd.lmm("y ~ 1 + (1 | g)", data, correlation="ar1(1 | g)")
    inside = fit.acf().iloc[1:4]
    assert (inside["acf"].abs() < 0.15).all()
    assert hd.lmm("y ~ 1 + (1 | g)", data).acf()["acf"].iloc[1] > 0.2


def test_variogram_is_half_the_mean_squared_difference(sleepstudy):
    r = sleepstudy.residuals("pearson").to_numpy().reshape(18, 10)
    found = sleepstudy.variogram("Days")
    expected = [np.mean((r[:, : 10 - k] - r[:, k:]) ** 2) / 2.0 for k in range(1, 10)]
    assert_allclose(found["semivariance"], expected)
    assert found["distance"].tolist() == list(range(1, 10))
    rows = sleepstudy.variogram()
    assert_allclose(rows["semivariance"], expected)


def test_variogram_bins_hold_every_pair_and_grow_with_distance(sleepstudy):
    at = np.random.default_rng(0).uniform(size=(180, 2))
    found = variogram(sleepstudy, at, bins=8)
    assert found["n_pairs"].sum() == 18 * 45
    assert len(found) == 8
    assert found["distance"].is_monotonic_increasing


def test_variogram_of_a_sample_of_pairs_is_near_that_of_all(sleepstudy, monkeypatch):
    data = autoregressive(0.7, seed=2)
    fit = hd.lmm("y ~ 1 + (1 | g)", data)
    whole = fit.variogram(data["t"])
    monkeypatch.setattr(autocorrelation, "MOST_PAIRS", 3000)
    part = fit.variogram(data["t"])
    assert part["n_pairs"].sum() < 3100
    assert_allclose(part["semivariance"], whole["semivariance"], rtol=0.5)


def test_white_noise_has_no_lag_one_autocorrelation_and_the_standard_error_it_says():
    found = [
        lag_one(hd.lmm("y ~ t + (t | g)", autoregressive(0.0, seed, groups=20)))
        for seed in range(150)
    ]
    z = np.array([one.z for one in found])
    # Estimating the random effects' covariances takes a little of the spread.
    assert abs(z.mean()) < 0.25
    assert 0.7 < z.std() < 1.15


@pytest.mark.parametrize("rho", [0.3, -0.3])
def test_autoregressive_errors_are_found_with_their_sign(rho):
    found = lag_one(hd.lmm("y ~ 1 + (1 | g)", autoregressive(rho, seed=5)))
    assert np.sign(found.rho) == np.sign(rho)
    assert abs(found.z) > 4.0


def test_modelled_autocorrelation_is_gone():
    fit = hd.lmm("y ~ 1 + (1 | g)", autoregressive(0.6, seed=6), correlation="ar1(1 | g)")
    assert abs(lag_one(fit).z) < 2.0


def test_long_groups_are_tested_by_windows(monkeypatch):
    fit = hd.lmm("y ~ 1 + (1 | g)", autoregressive(0.4, seed=7, groups=6, size=60))
    whole = lag_one(fit)
    monkeypatch.setattr(autocorrelation, "WINDOW", 20)
    windows = lag_one(fit)
    assert windows.n_pairs == 6 * 3 * 19
    assert_allclose(windows.rho, whole.rho, atol=0.15)


def test_groups_of_one_row_and_unknown_positions_are_refused(sleepstudy):
    with pytest.raises(DesignError, match="one group"):
        sleepstudy.acf(by="row")
    with pytest.raises(DesignError, match="no column"):
        sleepstudy.variogram("hours")
    with pytest.raises(DesignError, match="numeric"):
        sleepstudy.variogram(np.array(["a"] * 180))
    with pytest.raises(DesignError, match="one group"):
        hd.lm("score ~ edu", hd.load_dataset("classroom_scores")).acf()
