"""Structured residuals against dense matrices: criterion, derivatives, degrees of freedom."""

from __future__ import annotations

from functools import cache

import numpy as np
import oracle
import pandas as pd
import pytest
from covariance.structured_oracle import Brute
from numpy.testing import assert_allclose

import henderson as hd
from henderson.engine.dense import dense_products
from henderson.engine.optimise import Evaluated


@cache
def table() -> pd.DataFrame:
    """Ten groups of four to six rows with gaps, subgroups within them, and a crossed factor."""
    rng = np.random.default_rng(5)
    sizes = rng.integers(4, 7, 10)
    g = np.repeat(np.arange(10), sizes)
    t = np.concatenate([np.sort(rng.permutation(7)[:s]) for s in sizes]).astype(float)
    n = len(g)
    data = pd.DataFrame({"g": g, "t": t, "h": np.arange(n) % 4, "sex": np.where(g % 2, "F", "M")})
    data["s"] = 2 * g + (data.groupby("g").cumcount() > 1)
    data["x"], data["lon"], data["lat"] = rng.normal(size=(3, n))
    data["size"] = 1.0 + rng.random(n)
    effects = rng.normal(size=10)[g] + rng.normal(size=4)[data.h]
    noise = 0.7 * rng.normal(size=10)[g] * np.cos(t) + rng.normal(size=n)
    data["y"] = 1.0 + 0.5 * data.x + effects + data["size"] * noise
    # Rows in no order: nothing may depend on it.
    return data.iloc[rng.permutation(n)].reset_index(drop=True)


# Random part, correlation, variance.
MODELS = {
    "ar1": ("", "ar1(t | g)", ""),
    "ar1, intercepts": (" + (1 | g)", "ar1(t | g)", ""),
    "ar1, slopes": (" + (x || g)", "ar1(t | g)", ""),
    "cs": ("", "cs(1 | g)", ""),
    "cs, intercepts of subgroups": (" + (1 | s)", "cs(1 | g)", ""),
    "ident": (" + (1 | g)", "", "ident(sex)"),
    "ident x ar1": ("", "ar1(t | g)", "ident(sex)"),
    "ident x ar1, intercepts": (" + (1 | g)", "ar1(t | g)", "ident(sex)"),
    "ident x power x cs": ("", "cs(1 | g)", "ident(sex) * power(size)"),
    "exp with nugget": ("", "exp(t | g, nugget=True)", ""),
    "exp with nugget, crossed": (" + (1 | h)", "exp(t | g, nugget=True)", ""),
    "ar1, crossed": (" + (1 | g) + (1 | h)", "ar1(t | g)", ""),
    "ar1, finer": (" + (1 | s)", "ar1(t | g)", ""),
    "ar1 of subgroups, coarser": (" + (1 | g)", "ar1(t | s)", ""),
    "toep": (" + (1 | h)", "toep(t | g)", ""),
    "us": ("", "us(t | g)", ""),
    "us, ident": ("", "us(t | g)", "ident(t)"),
    "car1": (" + (1 | h)", "car1(t | g)", "exp(size)"),
    "gau in the plane": (" + (1 | h)", "gau(lon + lat | g)", ""),
    "ratio": (" + (1 | h)", "ratio(lon + lat | g, nugget=True)", ""),
    "spher": (" + (1 | h)", "spher(lon + lat | g)", ""),
    "lin": ("", "lin(t | g, nugget=True)", ""),
    "constpower": (" + (1 | g)", "", "constpower(size)"),
    "fixed x exp": ("", "ar1(t | g)", "fixed(size) * exp(x)"),
}
SMOOTH = [m for m in MODELS if m not in ("spher", "lin")]
# Enough to show every kind of parameter: second differences of n x n matrices are slow.
INFERENCE = [
    "ar1", "ar1, intercepts", "ident x ar1, intercepts", "exp with nugget, crossed",
    "ar1, crossed", "ar1, finer", "ident x power x cs", "cs, intercepts of subgroups",
]  # fmt: skip
METHODS = ("REML", "ML")


@cache
def brute(model: str, method: str) -> Brute:
    random, correlation, variance = MODELS[model]
    make = hd.lmm if random else hd.lm
    fit = make(
        f"y ~ x + t{random}",
        table(),
        method=method,
        correlation=correlation or None,
        variance=variance or None,
    )
    return Brute(fit, table(), correlation, variance)


@cache
def elsewhere(model: str, method: str) -> np.ndarray:
    """phi some way off the start, where no derivative is zero."""
    layout = brute(model, method).fit.optimum.layout
    rng = np.random.default_rng(1)
    sigmas = [0.5 * np.eye(k) for k in layout.sizes]
    return layout.start(sigmas) + 0.3 * rng.random(len(layout.zero()))


def each(models: list[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("model", models)


@pytest.mark.parametrize("method", METHODS)
@each(list(MODELS))
def test_criterion(model: str, method: str) -> None:
    b, phi = brute(model, method), elsewhere(model, method)
    assert b.optimum(phi).criterion == pytest.approx(b.solution(phi).criterion, rel=1e-11)


@pytest.mark.parametrize("method", METHODS)
@each(SMOOTH)
def test_gradient(model: str, method: str) -> None:
    b, phi = brute(model, method), elsewhere(model, method)
    by_differences = b.gradient(phi)
    size = np.abs(by_differences).max()
    assert_allclose(b.optimum(phi).at.gradient, by_differences, rtol=1e-6, atol=1e-6 * size)


@pytest.mark.parametrize("method", METHODS)
@each([m for m in SMOOTH if not m.startswith("us")])
def test_hessian(model: str, method: str) -> None:
    b, phi = brute(model, method), elsewhere(model, method)
    by_differences = b.hessian(phi)
    size = np.abs(by_differences).max()
    assert_allclose(b.optimum(phi).at.hessian, by_differences, rtol=1e-6, atol=1e-6 * size)


@each(list(MODELS))
def test_estimates_at_the_optimum(model: str) -> None:
    """Fixed effects, their covariance, sigma and the predicted random effects."""
    b = brute(model, "REML")
    o = b.fit.optimum
    dense = b.solution(o.at.phi)
    assert_allclose(b.fit.params, dense.beta, rtol=1e-8)
    spread = np.sqrt(np.diag(dense.vcov))
    errors = (b.fit.cov_params() - dense.vcov) / np.outer(spread, spread)
    assert np.abs(np.asarray(errors)).max() < 1e-8
    assert b.fit.sigma**2 == pytest.approx(dense.sigma2, rel=1e-9)
    assert_allclose(b.fit.V(), dense.sigma2 * dense.V, rtol=1e-8, atol=1e-12)
    for t, (modes, variances) in enumerate(zip(dense.modes(), dense.condvar(), strict=True)):
        assert_allclose(o.modes(t), modes, rtol=1e-6, atol=1e-8)
        assert_allclose(o.conditional_variances(t), variances, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("method", METHODS)
@each(INFERENCE)
def test_satterthwaite(model: str, method: str) -> None:
    b = brute(model, method)
    for k, row in enumerate(np.eye(3)):
        df = b.satterthwaite(b.fit.optimum.at.phi, row)
        assert b.fit.df.iloc[k] == pytest.approx(df, rel=1e-4)


@each(INFERENCE)
def test_kenward_roger(model: str) -> None:
    b = brute(model, "REML")
    dense = b.kenward_roger(b.fit.optimum.at.phi)
    found = b.fit.test(np.eye(3)[1:], ddf="kenward-roger")
    test = oracle.kenward_roger_test(dense, b.fit.params.to_numpy(), np.eye(3)[1:])
    se = b.fit.summary("kenward-roger").coefficients["std_error"]
    assert_allclose(se, np.sqrt(np.diag(dense.vcov)), rtol=1e-5)
    assert found.den_df == pytest.approx(test.den_df, rel=1e-4)
    assert test.statistic == pytest.approx(found.F, rel=1e-4)


@each(["ar1, intercepts", "ident x ar1", "exp with nugget, crossed"])
def test_components_may_be_worked_on_in_any_number(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One component at a time, or all of one size together."""
    b, phi = brute(model, "REML"), elsewhere(model, "REML")
    monkeypatch.setattr("henderson.engine.dense.CHUNK", 1)
    o = b.fit.optimum
    single = dense_products(o.problem, o.layout.residual)
    assert len(single.stacks) >= len(o.cross.stacks)
    assert all(len(stack.rows) == 1 for stack in single.stacks)
    at, again = b.optimum(phi).at, Evaluated(single, o.layout, True, phi)
    assert again.value == pytest.approx(at.value, rel=1e-12)
    assert_allclose(again.gradient, at.gradient, rtol=1e-9, atol=1e-9)
    assert_allclose(again.hessian, at.hessian, rtol=1e-9, atol=1e-8)
