"""Standard errors from the joint information of the fixed effects and the relative covariance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import basis
from reference_cases import load_results

import henderson as hd
from henderson.fit import Fit
from henderson.inference.joint_information import joint_bse, joint_cov_params

CASES = [
    ("tutorial_score", "classroom_scores", "score ~ edu + (1 | classroom)", "lmm_inter"),
    ("tutorial_score", "classroom_scores", "score ~ edu + (edu | classroom)", "lmm_full"),
    ("tutorial_ratpup", "rat_pup", "weight ~ sex + (1 | litter)", "lmm_inter"),
    ("tutorial_sleepstudy", "sleepstudy", "Reaction ~ Days + (1 | Subject)", "lmm_inter"),
    ("tutorial_sleepstudy", "sleepstudy", "Reaction ~ Days + (Days | Subject)", "lmm_full"),
]


@pytest.mark.parametrize(("case", "table", "formula", "key"), CASES)
def test_agrees_with_r(case: str, table: str, formula: str, key: str) -> None:
    stored = list(load_results(case)["results"][f"{key}_joint_se"].values())
    # The slope alone: R's intercept of the rat pups is that of the other sex.
    assert joint_bse(hd.lmm(formula, hd.load_dataset(table))).iloc[1] == pytest.approx(
        stored[1], rel=1e-6
    )


def dense_negative_loglik(fit: Fit, beta: np.ndarray, sigma: np.ndarray) -> float:
    """Half the criterion with sigma^2 profiled out and nothing else; one grouping factor."""
    x, y, factor = fit.design.X, fit.design.y, fit.design.random[0]
    same = factor.codes[:, None] == factor.codes
    v = np.eye(len(y)) + same * (factor.z @ sigma @ factor.z.T)
    r = y - x @ beta
    nu = len(y) - x.shape[1] if fit.method == "REML" else len(y)
    value = nu * np.log(r @ np.linalg.solve(v, r)) + np.linalg.slogdet(v)[1]
    if fit.method == "REML":
        value += np.linalg.slogdet(x.T @ np.linalg.solve(v, x))[1]
    return 0.5 * float(value)


def numerical_hessian(function, at: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Second differences of fourth order."""
    weights = {-2: 1 / 12, -1: -8 / 12, 1: 8 / 12, 2: -1 / 12}
    k = len(at)
    out = np.zeros((k, k))
    for a in range(k):
        for b in range(a + 1):
            total = 0.0
            for i, wi in weights.items():
                for j, wj in weights.items():
                    move = np.zeros(k)
                    move[a] += i * steps[a]
                    move[b] += j * steps[b]
                    total += wi * wj * function(at + move)
            out[a, b] = out[b, a] = total / (steps[a] * steps[b])
    return out


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("random", ["(1 | g)", "(x | g)", "(x || g)"])
def test_is_the_inverse_of_the_dense_hessian(method: str, random: str) -> None:
    fit = hd.lmm(f"y ~ x + w + {random}", simulated(), method=method)
    assert not fit.is_singular
    p, k = fit.design.p, fit.design.random[0].z.shape[1]
    free = [e for e in basis(k) if "||" not in random or np.count_nonzero(e) == 1]

    def function(values: np.ndarray) -> float:
        move = sum(v * e for v, e in zip(values[p:], free, strict=True))
        return dense_negative_loglik(fit, values[:p], fit.optimum.sigmas[0] + move)

    at = np.concatenate([fit.params, np.zeros(len(free))])
    steps = np.concatenate([fit.bse / 10, np.full(len(free), 2e-3)])
    inverse = np.linalg.inv(numerical_hessian(function, at, steps))
    np.testing.assert_allclose(joint_cov_params(fit), inverse[:p, :p], rtol=2e-5, atol=1e-8)


def simulated(seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(12), rng.integers(4, 9, 12))
    x, w = rng.normal(size=(2, len(g)))
    b = rng.normal(size=(12, 2))
    y = 1 + x + b[g, 0] + b[g, 1] * x + rng.normal(size=len(g))
    return pd.DataFrame({"y": y, "x": x, "w": w, "g": g})


# Interior optima: statsmodels inverts the covariance of the random effects.
@pytest.mark.parametrize("case", [CASES[0], CASES[2], CASES[4]], ids=lambda c: c[2])
@pytest.mark.parametrize("method", ["REML", "ML"])
def test_agrees_with_the_hessian_of_statsmodels(case: tuple[str, ...], method: str) -> None:
    import statsmodels.formula.api as smf
    from statsmodels.regression.mixed_linear_model import MixedLMParams

    data = hd.load_dataset(case[1])
    fit = hd.lmm(case[2], data, method=method)
    fixed, _, random = case[2].partition(" + (")
    lhs, _, group = random.rstrip(")").partition(" | ")
    model = smf.mixedlm(fixed, data, groups=group, re_formula=f"~{lhs}")
    model.reml, model.cov_pen, model.fe_pen = method == "REML", None, None
    params = MixedLMParams.from_components(
        fe_params=fit.params.to_numpy(), cov_re=fit.optimum.sigmas[0]
    )
    hessian, _ = model.hessian(params)
    theirs = np.sqrt(np.diag(np.linalg.inv(-hessian))[: fit.design.p])
    np.testing.assert_allclose(joint_bse(fit), theirs, rtol=1e-6)


def test_adds_to_the_usual_standard_error() -> None:
    fit = hd.lmm("y ~ x + w + (x | g)", simulated())
    assert (joint_bse(fit) > fit.bse).all()
    plain = hd.lm("y ~ x + w", simulated())
    pd.testing.assert_series_equal(joint_bse(plain), plain.bse)


def test_balanced_data_add_nothing_to_the_slope() -> None:
    """Where beta does not depend on the variances, their uncertainty does not matter."""
    fit = hd.lmm("Reaction ~ Days + (Days | Subject)", hd.load_dataset("sleepstudy"))
    np.testing.assert_allclose(joint_bse(fit), fit.bse, rtol=1e-9)


@settings(max_examples=20)
@given(shift=st.floats(-50, 50), scale=st.floats(0.01, 100), units=st.floats(0.01, 100))
def test_does_not_depend_on_origin_or_units(shift: float, scale: float, units: float) -> None:
    data = simulated()
    fit = hd.lmm("y ~ x + (x | g)", data)
    moved = data.assign(x=shift + scale * data.x, y=units * data.y)
    other = hd.lmm("y ~ x + (x | g)", moved)
    assert joint_bse(other)["x"] == pytest.approx(joint_bse(fit)["x"] * units / scale, rel=1e-6)


def test_is_undefined_where_two_levels_cannot_tell_three_covariances() -> None:
    data = hd.load_dataset("classroom_scores").query("classroom != 'c2'")
    assert joint_bse(hd.lmm("score ~ edu + (edu | classroom)", data)).isna().all()
    assert joint_bse(hd.lmm("score ~ edu + (1 | classroom)", data)).notna().all()


def test_several_factors_and_weights() -> None:
    """Crossed factors and unequal residual variances: still the dense Hessian's inverse."""
    data = simulated().assign(h=lambda d: np.arange(len(d)) % 5)
    data["y"] += np.random.default_rng(1).normal(size=5)[data.h]
    w = 0.5 + np.random.default_rng(2).random(len(data))
    fit = hd.lmm("y ~ x + (1 | g) + (1 | h)", data, weights=w)
    x, y = fit.design.X, fit.design.y
    same = [f.codes[:, None] == f.codes for f in fit.design.random]

    def function(values: np.ndarray) -> float:
        v = np.diag(1 / w) + sum(t * s for t, s in zip(values[2:], same, strict=True))
        r = y - x @ values[:2]
        value = (len(y) - 2) * np.log(r @ np.linalg.solve(v, r)) + np.linalg.slogdet(v)[1]
        return 0.5 * float(value + np.linalg.slogdet(x.T @ np.linalg.solve(v, x))[1])

    sigmas = [s[0, 0] for s in fit.optimum.sigmas]
    at = np.array([*fit.params, *sigmas])
    steps = np.array([*(fit.bse / 10), *(0.01 * s for s in sigmas)])
    inverse = np.linalg.inv(numerical_hessian(function, at, steps))
    np.testing.assert_allclose(joint_cov_params(fit), inverse[:2, :2], rtol=2e-5, atol=1e-8)


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_structured_residuals(method: str) -> None:
    """Along the autocorrelation, too, the dense Hessian's inverse."""
    data = simulated().assign(t=lambda d: d.groupby("g").cumcount())
    fit = hd.lmm("y ~ x + w + (1 | g)", data, method=method, correlation="ar1(t | g)")
    x, y, codes = fit.design.X, fit.design.y, fit.design.random[0].codes
    same, lag = codes[:, None] == codes, np.abs(data.t.to_numpy()[:, None] - data.t.to_numpy())
    nu = len(y) - 3 if method == "REML" else len(y)

    def function(values: np.ndarray) -> float:
        v = same * (values[3] + np.sign(values[4]) ** lag * np.abs(values[4]) ** lag)
        r = y - x @ values[:3]
        value = nu * np.log(r @ np.linalg.solve(v, r)) + np.linalg.slogdet(v)[1]
        if method == "REML":
            value += np.linalg.slogdet(x.T @ np.linalg.solve(v, x))[1]
        return 0.5 * float(value)

    rho = fit.structures()["ar1(t | g)"]["rho"]
    at = np.array([*fit.params, fit.optimum.sigmas[0][0, 0], rho])
    inverse = np.linalg.inv(
        numerical_hessian(function, at, np.array([*(fit.bse / 10), 5e-3, 2e-3]))
    )
    np.testing.assert_allclose(joint_cov_params(fit), inverse[:3, :3], rtol=1e-4, atol=1e-7)
