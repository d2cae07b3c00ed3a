"""Fits by the iterative engine: what they say, what they can answer, what they refuse."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import henderson as hd
from henderson.errors import FitError

FORMULA = "y ~ x + (1 | a) + (1 | b)"


def table(n: int = 9_000, seed: int = 5) -> pd.DataFrame:
    """500 x 300 levels, crossed: too many for probes that leave nothing to chance."""
    rng = np.random.default_rng(seed)
    a, b, x = rng.integers(0, 500, n), rng.integers(0, 300, n), rng.normal(size=n)
    y = 1.0 + 0.5 * x + rng.normal(size=n)
    y += 0.6 * rng.normal(size=500)[a] + 0.4 * rng.normal(size=300)[b]
    weights = rng.uniform(0.5, 2.0, n)
    return pd.DataFrame({"y": y, "x": x, "a": a, "b": b, "w": weights}).astype({"a": str, "b": str})


@pytest.fixture(scope="module")
def fits() -> tuple[hd.Fit, hd.Fit]:
    """The iterative and the exact fit."""
    return tuple(hd.lmm(FORMULA, table(), engine=e) for e in ("iterative", "exact"))


def test_the_engines_agree(fits):
    ours, exact = fits
    np.testing.assert_allclose(ours.theta, exact.theta, rtol=1e-3)
    np.testing.assert_allclose(ours.params, exact.params, rtol=1e-4)
    np.testing.assert_allclose(ours.bse, exact.bse, rtol=1e-3)
    for name in ("a", "b"):
        np.testing.assert_allclose(ours.ranef()[name], exact.ranef()[name], atol=1e-3)
    np.testing.assert_allclose(ours.predict(table(9)), exact.predict(table(9)), atol=1e-3)
    assert abs(ours.llf - exact.llf) < 4.0 * ours.llf_error + 1e-6


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_the_engines_agree_with_weights_slopes_and_an_offset(method):
    data, formula = table(), "y ~ x + (x | a) + (0 + x | b) + (1 | b)"
    ours, exact = (
        hd.lmm(formula, data, engine=e, weights="w", offset=data.x, method=method)
        for e in ("iterative", "exact")
    )
    for ours_cov, exact_cov in zip(ours.optimum.sigmas, exact.optimum.sigmas, strict=True):
        np.testing.assert_allclose(ours_cov, exact_cov, rtol=0.02, atol=2e-3)
    np.testing.assert_allclose(ours.params, exact.params, atol=2e-3)
    assert abs(ours.llf - exact.llf) < 4.0 * ours.llf_error + 1e-3


def test_degrees_of_freedom_are_near_those_of_the_exact_hessian(fits):
    ours, exact = fits
    np.testing.assert_allclose(ours.df, exact.df, rtol=0.1)


def test_the_summary_states_the_monte_carlo_error(fits):
    ours, exact = fits
    line = f"Log-likelihood: +/- {ours.llf_error:.2g} (Monte Carlo standard error)"
    assert line in str(ours.summary())
    assert line in ours.summary()._repr_html_()
    assert ours.llf_error > 0.0
    assert exact.llf_error == 0.0
    assert "Monte Carlo" not in str(exact.summary()) + exact.summary()._repr_html_()


def test_a_refit_uses_the_same_engine(fits):
    ours, _ = fits
    again = ours.refit(ours.simulate(1, seed=1).iloc[:, 0])
    assert again.optimum.engine == "iterative"
    assert again.converged
    twice = ours.refit(ours.design.y)
    np.testing.assert_allclose(twice.theta, ours.theta, rtol=1e-4)


def test_likelihood_ratio_tests_agree_to_the_monte_carlo_error(fits):
    ours, exact = (f.ranova().to_frame()["statistic"].dropna() for f in fits)
    np.testing.assert_allclose(ours, exact, atol=8.0 * fits[0].llf_error + 1e-6)
    small = [hd.lmm("y ~ 1 + (1 | a) + (1 | b)", table(), engine=f.optimum.engine) for f in fits]
    tests = [hd.anova(a, b).to_frame() for a, b in zip(small, fits, strict=True)]
    ours, exact = (t["statistic"].dropna() for t in tests)
    np.testing.assert_allclose(ours, exact, atol=16.0 * fits[0].llf_error + 1e-6)


REFUSED = {
    "conditional variances": lambda f: f.condvar(),
    "prediction intervals": lambda f: f.predict(table(3), interval="prediction"),
    "Kenward-Roger": lambda f: f.degrees_of_freedom("kenward-roger"),
    "profiles": lambda f: f.confint("profile"),
    "conditional AIC": lambda f: f.caic(),
    "influence": lambda f: f.influence("a"),
    "studentised residuals": lambda f: f.residuals("studentised"),
    "checks": lambda f: f.check(),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_needs_a_factor_is_refused_in_words(fits, what):
    with pytest.raises(FitError, match=r"needs an exact factor.* 300 of them.*engine='exact'"):
        REFUSED[what](fits[0])


@pytest.mark.parametrize(
    ("formula", "options", "message"),
    [
        (FORMULA, {"engine": "fast"}, "Unknown engine 'fast': choose 'auto', 'exact' or"),
        ("y ~ x + (1 | a)", {"engine": "iterative"}, "two or more grouping factors"),
        (FORMULA, {"engine": "iterative", "variance": "ident(b)"}, "independent residuals only"),
    ],
)
def test_engines_that_cannot_be_had_are_refused(formula, options, message):
    with pytest.raises(FitError, match=message):
        hd.lmm(formula, table(), **options)


def test_auto_is_exact_where_an_exact_factor_is_small(fits):
    assert hd.lmm(FORMULA, table()).optimum.engine == "exact"
