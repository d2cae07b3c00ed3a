"""Profile likelihood of structured models: dense deviances, other parametrisations, ends."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from covariance.known_cases import Relatives, genomic, numerator, pedigree
from scipy import optimize, special

import henderson as hd
from henderson.errors import FitError
from henderson.inference.constrained import Model
from henderson.inference.profile import limits
from henderson.inference.profile_paths import ml_optimum, paths
from henderson.inference.profile_structures import structured_paths

Q = float(special.ndtri(0.975))
SLEEP = hd.load_dataset("sleepstudy").assign(late=lambda d: d["Days"] > 4)
DAYS = SLEEP["Days"].to_numpy(float)
SUBJECT = pd.factorize(SLEEP["Subject"])[0]
SAME = np.equal.outer(SUBJECT, SUBJECT)
LAG = np.abs(np.subtract.outer(DAYS, DAYS))
PLAIN = "Reaction ~ Days"


@cache
def fitted(random: str = "", correlation: str | None = None, variance: str | None = None) -> Any:
    make = hd.lmm if random else hd.lm
    formula = f"{PLAIN} + {random}" if random else PLAIN
    return make(formula, SLEEP, correlation=correlation, variance=variance)


@cache
def interval(name: str, *model: str | None) -> tuple[float, float]:
    table = fitted(*model).confint(method="profile", which=name)
    return float(table.loc[name, "lower"]), float(table.loc[name, "upper"])


def deviance(v: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    """-2 log-likelihood at V (n, n), the fixed effects at their best."""
    inverse = np.linalg.inv(v)
    gap = y - x @ np.linalg.solve(x.T @ inverse @ x, x.T @ inverse @ y)
    logdet = float(np.linalg.slogdet(v)[1])
    return logdet + len(y) * float(np.log(2.0 * np.pi)) + float(gap @ inverse @ gap)


def lowest(function: Callable[[np.ndarray], float], start: list[float]) -> float:
    found = optimize.minimize(
        function, start, method="Nelder-Mead",
        options={"xatol": 1e-6, "fatol": 1e-8, "maxiter": 2000},
    )  # fmt: skip
    return float(found.fun)


def sleep_deviance(v: np.ndarray) -> float:
    x = np.column_stack([np.ones(len(DAYS)), DAYS])
    return deviance(v, x, SLEEP["Reaction"].to_numpy())


# ---- against dense matrices


def test_a_limit_of_rho_is_where_the_dense_likelihood_says() -> None:
    model = ("(1 | Subject)", "ar1(Days | Subject)")

    def held(rho: float, p: np.ndarray) -> float:
        r = np.exp(2.0 * p[0]) * rho**LAG * SAME
        return sleep_deviance(r + np.exp(2.0 * p[1]) * SAME)

    bottom = ml_optimum(fitted(*model)).criterion
    for rho in interval("rho|ar1(Days | Subject)", *model):
        rise = lowest(lambda p, rho=rho: held(rho, p), [3.6, 2.5]) - bottom
        assert rise == pytest.approx(Q**2, abs=1e-4)


def test_a_limit_of_a_ratio_is_where_the_dense_likelihood_says() -> None:
    def held(ratio: float, p: np.ndarray) -> float:
        sd = np.where(SLEEP["late"], ratio, 1.0)
        return sleep_deviance(np.exp(2.0 * p[0]) * np.diag(sd**2) + np.exp(2.0 * p[1]) * SAME)

    model = ("(1 | Subject)", None, "ident(late)")
    bottom = ml_optimum(fitted(*model)).criterion
    for ratio in interval("True|ident(late)", *model):
        rise = lowest(lambda p, ratio=ratio: held(ratio, p), [3.3, 3.5]) - bottom
        assert rise == pytest.approx(Q**2, abs=1e-4)


def test_a_coefficient_of_a_gls_has_the_limits_of_the_dense_likelihood() -> None:
    model = ("", "ar1(Days | Subject)")
    bottom = ml_optimum(fitted(*model)).criterion
    y, ones = SLEEP["Reaction"].to_numpy(), np.ones((len(DAYS), 1))
    for slope in interval("Days", *model):

        def held(p: np.ndarray, slope: float = slope) -> float:
            v = np.exp(2.0 * p[0]) * np.tanh(p[1]) ** LAG * SAME
            return deviance(v, ones, y - slope * DAYS)

        assert lowest(held, [3.9, 1.0]) - bottom == pytest.approx(Q**2, abs=1e-4)


@pytest.mark.parametrize(
    "model",
    [
        ("", "ar1(Days | Subject)", "exp(Days)"),
        ("", "exp(Days | Subject, nugget=True)"),
        ("(Days | Subject)", None, "ident(late)"),
        ("ar1(0 + Days | Subject)",),
        ("cs(1 + Days | Subject)",),
    ],
)
def test_the_gradient_of_the_deviance(model: tuple[str | None, ...]) -> None:
    at = Model(ml_optimum(fitted(*model)))
    x = at.start + np.linspace(0.1, 0.2, len(at.start))
    numeric = [
        (at.at(x + step).value - at.at(x - step).value) / 2e-5 for step in 1e-5 * np.eye(len(x))
    ]
    np.testing.assert_allclose(at.at(x).gradient, numeric, rtol=1e-5, atol=1e-5)


# ---- the same model in other words


@pytest.mark.parametrize("random", ["(Days | Subject)", "(Days || Subject)", "(1 | Subject)"])
def test_a_plain_model_has_the_limits_of_its_own_paths(random: str) -> None:
    fit = fitted(random)
    ml = ml_optimum(fit)
    ours, plain = (limits(of(fit, ml), 0.95) for of in (structured_paths, paths))
    pd.testing.assert_frame_equal(ours, plain, rtol=1e-5)


def test_two_effects_with_a_variance_each_and_a_correlation_are_unstructured() -> None:
    structured = fitted("hcs(1 + Days | Subject)").confint(method="profile")
    plain = fitted("(Days | Subject)").confint(method="profile").loc[
        ["sd_Intercept|Subject", "sd_Days|Subject", "cor_Days.Intercept|Subject",
         "sigma", "Intercept", "Days"]
    ]  # fmt: skip
    np.testing.assert_allclose(structured, plain, rtol=1e-4)


def test_over_whole_steps_continuous_time_is_the_same() -> None:
    whole = interval("rho|ar1(Days | Subject)", "", "ar1(Days | Subject)")
    continuous = interval("rho|car1(Days | Subject)", "", "car1(Days | Subject)")
    assert whole == pytest.approx(continuous, rel=1e-6)
    reach = interval("range|exp(Days | Subject)", "", "exp(Days | Subject)")
    assert np.exp(-1.0 / np.array(reach)) == pytest.approx(whole, rel=1e-6)


def test_a_random_intercept_is_compound_symmetry() -> None:
    """The two share sigma^2 (1 - rho) = the residual variance, and coefficients."""
    gls = fitted("", "cs(1 | Subject)").confint(method="profile", which="fixed")
    pd.testing.assert_frame_equal(
        gls, fitted("(1 | Subject)").confint(method="profile", which="fixed"), rtol=1e-5
    )


# ---- ends of ranges


def test_a_correlation_that_may_be_nothing_has_its_end_as_a_limit() -> None:
    noise = SLEEP.assign(Reaction=np.random.default_rng(3).normal(size=180))
    fit = hd.lm(PLAIN, noise, correlation="exp(Days | Subject)")
    low, high = fit.confint(method="profile", which="structure").to_numpy()[0]
    assert low == 0.0
    assert 0.0 < high < 5.0


def test_a_variance_that_may_be_nothing_has_zero_as_a_limit() -> None:
    low, high = interval("sd_Intercept|Subject", "(1 | Subject)", "ar1(Days | Subject)")
    assert low == 0.0
    assert high > 40.0


def test_a_variance_far_out_is_not_held_back_by_a_plateau() -> None:
    """The limit, solved for, is where the curve, walked in small steps, crosses."""
    found = fitted("cs(1 + Days | Subject)").profile(which="sd")
    zeta = np.interp(found.confint().to_numpy()[0], found.curves["value"], found.curves["zeta"])
    assert zeta == pytest.approx([-Q, Q], abs=0.02)


# ---- a known covariance, one record a level


HERD = Relatives(numerator(pedigree(8, 16)), observed=24, n=24)


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_one_record_a_level_has_limits_without_residual_variance(method: Any) -> None:
    k, rng = HERD.k[np.ix_(HERD.codes, HERD.codes)], np.random.default_rng(2)
    y = np.linalg.cholesky(k) @ rng.normal(size=24) + 0.7 * rng.normal(size=24)
    herd = HERD.table.assign(y=y)
    fit = hd.lmm("y ~ x + known(1 | id, K)", herd, matrices={"K": HERD.frame}, method=method)
    table = fit.confint(method="profile", which=["sd_Intercept|id", "sigma"])
    others = np.concatenate([[1e-7], np.linspace(0.02, 4.0, 800)])

    def rise(sds: np.ndarray, sigmas: np.ndarray) -> float:
        pairs = np.broadcast(sds, sigmas)
        v = [deviance(a**2 * k + s**2 * np.eye(24), HERD.with_x, y) for a, s in pairs]
        return min(v) - ml_optimum(fit).criterion

    ends = {
        "sd_Intercept|id": [rise(sd, others) for sd in table.loc["sd_Intercept|id"]],
        "sigma": [rise(others, max(s, 1e-7)) for s in table.loc["sigma"]],
    }
    for name, rises in ends.items():
        for limit, found in zip(table.loc[name], rises, strict=True):
            assert found == pytest.approx(Q**2, abs=5e-3) or (limit == 0.0 and found < Q**2)
    assert table.loc["sigma", "lower"] == 0.0


def test_several_effects_a_level_of_a_known_covariance() -> None:
    herd = Relatives(genomic(24, 60) + 0.05 * np.eye(24))
    fit = hd.lmm("y ~ x + known(1 + x | id, K)", herd.table, matrices={"K": herd.frame})
    name = "sd_Intercept|id"
    low, high = fit.confint(method="profile", which=name).loc[name]
    k, y = herd.k[np.ix_(herd.codes, herd.codes)], herd.table["y"].to_numpy()

    def held(sd: float, p: np.ndarray) -> float:
        m = np.array([[sd, 0.0], [p[0], p[1]]])
        v = (herd.with_x @ m @ m.T @ herd.with_x.T) * k + np.exp(2.0 * p[2]) * np.eye(herd.n)
        return deviance(v, herd.with_x, y)

    bottom = ml_optimum(fit).criterion
    for sd in (low, high):
        rise = lowest(lambda p, sd=sd: held(sd, p), [0.3, 0.5, -0.3]) - bottom
        assert rise == pytest.approx(Q**2, abs=1e-4)


# ---- words


def test_kinds_and_names_of_parameters() -> None:
    found = fitted("ar1(0 + Days | Subject)").profile(which=["sd", "structure"])
    assert list(found.estimates.index) == [
        "sd|ar1(0 + Days | Subject)", "rho|ar1(0 + Days | Subject)"
    ]  # fmt: skip
    assert found.estimates.gt(0.0).all()
    assert set(found.curves["kind"]) == {"sd", "structure"}


def test_a_variance_of_the_fitted_values_has_no_profile() -> None:
    with pytest.raises(FitError, match=r"depends on the fitted values.*bootstrap"):
        fitted("", None, "power(fitted)").profile()
