"""Profile likelihood: agreement with lme4, closed forms, boundaries, exact derivatives."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from oracle import block
from reference_cases import ReferenceCase, group_key, lmer_cases, load_case
from scipy import optimize, special

import henderson as hd
from henderson.errors import DesignError
from henderson.inference import profile_paths
from henderson.inference.held import Held, HeldPoint
from henderson.inference.profile import profile
from henderson.inference.profile_paths import Path, ml_optimum, paths

CASES = [c.id for c in lmer_cases() if c.results.get("ci_profile")]
Q = float(special.ndtri(0.975))
# lme4's spline between its points misses this limit by 5e-4; the dense likelihood below decides.
LOOSE = {("oats_linear_reml", "sd_(Intercept)|Block", "lower"): 1e-3}


@cache
def fit_of(case_id: str) -> Any:
    case = load_case(case_id)
    return hd.lmm(case.formula, case.data(), method=case.method, **case.keywords)


@cache
def limits_of(case_id: str) -> pd.DataFrame:
    return fit_of(case_id).confint(method="profile")


def our_name(case: ReferenceCase, fit: Any, r_name: str) -> str:
    """henderson's name of a row of lme4's `confint`."""
    if r_name in case.results["fixef"]:
        return dict(zip(case.results["fixef"], case.fixed_names, strict=True))[r_name]
    if r_name == "sigma":
        return r_name
    term, group = r_name.replace("(Intercept)", "Intercept").split("|")
    (name,) = [g for g in fit.n_groups if group_key(g) == group_key(group)]
    return f"{term}|{name}"


@pytest.mark.parametrize("case_id", CASES)
def test_limits_agree_with_lme4(case_id: str) -> None:
    case, fit, ours = load_case(case_id), fit_of(case_id), limits_of(case_id)
    stored = case.results["ci_profile"]
    assert len(ours) == len(stored)
    for r_name, row in stored.items():
        for side in ("lower", "upper"):
            tol = LOOSE.get((case_id, r_name, side), 1e-4)
            value = ours.loc[our_name(case, fit, r_name), side]
            assert value == pytest.approx(row[side], rel=tol, abs=1e-12), (r_name, side)


def test_the_one_limit_off_lme4_is_where_the_dense_likelihood_says() -> None:
    fit = fit_of("oats_linear_reml")
    limit = limits_of("oats_linear_reml").loc["sd_Intercept|Block", "lower"]
    deviance = dense_deviance(fit)
    start = np.log([float(fit.varcorr().sd["Block:Variety"].iloc[0]), fit.sigma])

    def held(sd: float) -> float:
        found = optimize.minimize(
            lambda v: deviance([sd, np.exp(v[0])], np.exp(v[1])),
            start,
            method="Nelder-Mead",
            options={"xatol": 1e-9, "fatol": 1e-11, "maxiter": 4000},
        )
        return float(found.fun)

    lowest = ml_optimum(fit).criterion
    assert held(limit) - lowest == pytest.approx(Q**2, abs=1e-6)


def dense_deviance(fit: Any) -> Any:
    """-2 log-likelihood of independent intercepts with the sds of the factors, and sigma."""
    design = fit.design
    blocks = [block(f.codes, f.z, len(f.levels)) for f in design.random]
    parts = [b.outer(np.eye(1)) for b in blocks]

    def deviance(sds: list[float], sigma: float) -> float:
        v = sigma**2 * np.eye(design.n) + sum(s**2 * z for s, z in zip(sds, parts, strict=True))
        inverse = np.linalg.inv(v)
        beta = np.linalg.solve(design.X.T @ inverse @ design.X, design.X.T @ inverse @ design.y)
        gap = design.y - design.X @ beta
        return float(np.linalg.slogdet(v)[1] + design.n * np.log(2 * np.pi) + gap @ inverse @ gap)

    return deviance


# ---- closed forms


def test_linear_model_has_the_limits_of_its_closed_form() -> None:
    """d(b) - d = n log(1 + t^2 / (n - p)) for a coefficient of least squares."""
    data = hd.load_dataset("classroom_scores")
    fit = hd.lm("score ~ edu", data)
    ours = fit.confint(method="profile", which="fixed", level=0.9)
    q = special.ndtri(0.95)
    reach = fit.bse * np.sqrt(fit.df_resid * np.expm1(q**2 / fit.nobs))
    assert ours["lower"].to_numpy() == pytest.approx((fit.params - reach).to_numpy(), rel=1e-8)
    assert ours["upper"].to_numpy() == pytest.approx((fit.params + reach).to_numpy(), rel=1e-8)


def test_sigma_of_a_linear_model_rises_as_its_closed_form() -> None:
    """d(sigma) - d = n (log(sigma^2 / s^2) - 1 + s^2 / sigma^2), s^2 = SSE / n."""
    fit = hd.lm("score ~ edu", hd.load_dataset("classroom_scores"), method="ML")
    row = fit.confint(method="profile", which="sigma").loc["sigma"]
    for limit in row:
        ratio = (limit / fit.sigma) ** 2
        rise = fit.nobs * (np.log(ratio) - 1.0 + 1.0 / ratio)
        assert rise == pytest.approx(Q**2, rel=1e-7)


# ---- curves


@pytest.fixture(scope="module")
def sleep() -> Any:
    return hd.lmm("Reaction ~ Days + (Days | Subject)", hd.load_dataset("sleepstudy"))


@pytest.fixture(scope="module")
def sleep_profile(sleep: Any) -> Any:
    return sleep.profile()


def test_curves_rise_through_zero_at_the_estimate(sleep_profile: Any) -> None:
    for name, curve in sleep_profile.curves.groupby("parameter"):
        assert (np.diff(curve["value"]) > 0).all()
        assert (np.diff(curve["zeta"]) > 0).all()
        at_zero = curve.loc[curve["zeta"] == 0.0, "value"].item()
        assert at_zero == pytest.approx(sleep_profile.estimates[name], rel=1e-12)
        assert len(curve) >= 15


def test_curves_reach_beyond_the_99_percent_limits(sleep_profile: Any) -> None:
    limits = sleep_profile.confint(0.99)
    for name, curve in sleep_profile.curves.groupby("parameter"):
        assert curve["value"].min() < limits.loc[name, "lower"]
        assert curve["value"].max() > limits.loc[name, "upper"]


def test_limits_are_where_the_curve_crosses(sleep_profile: Any) -> None:
    limits = sleep_profile.confint(0.95)
    for name, curve in sleep_profile.curves.groupby("parameter"):
        zeta = np.interp(limits.loc[name], curve["value"], curve["zeta"])
        assert zeta == pytest.approx([-Q, Q], abs=0.02)


def test_limits_widen_with_the_level(sleep_profile: Any) -> None:
    narrow, wide = sleep_profile.confint(0.8), sleep_profile.confint(0.99)
    assert (wide["lower"] < narrow["lower"]).all()
    assert (wide["upper"] > narrow["upper"]).all()


def test_reml_and_ml_fits_have_the_same_profile(sleep: Any) -> None:
    by_ml = hd.lmm(sleep.formula, hd.load_dataset("sleepstudy"), method="ML")
    ours, other = sleep.confint(method="profile"), by_ml.confint(method="profile")
    pd.testing.assert_frame_equal(ours, other, rtol=1e-6)


def test_limits_follow_the_units_of_the_response(sleep: Any) -> None:
    data = hd.load_dataset("sleepstudy")
    seconds = hd.lmm(sleep.formula, data.assign(Reaction=data["Reaction"] / 1000.0))
    ours, other = sleep.confint(method="profile"), seconds.confint(method="profile")
    scale = np.where([n.startswith("cor") for n in ours.index], 1.0, 1000.0)[:, None]
    np.testing.assert_allclose(scale * other, ours, rtol=1e-6)


def test_limits_do_not_depend_on_the_basis_of_the_random_effects() -> None:
    """The first machine is the intercept of treatment coding: the same sd in two models."""
    data = hd.load_dataset("machines")
    cells = hd.lmm("score ~ Machine + (0 + Machine | Worker)", data)
    treatment = hd.lmm("score ~ Machine + (Machine | Worker)", data)
    first, second = (f.confint("profile", which=["sd", "sigma"]) for f in (cells, treatment))
    np.testing.assert_allclose(first.iloc[0], second.iloc[0], rtol=1e-6)
    np.testing.assert_allclose(first.loc["sigma"], second.loc["sigma"], rtol=1e-6)
    assert first.index[0] == "sd_Machine[A]|Worker"
    assert second.index[0] == "sd_Intercept|Worker"


# ---- boundaries


def test_a_term_without_variance_has_the_lower_limit_zero() -> None:
    fit = fit_of("dyestuff2_reml")
    assert fit.is_singular
    shape = fit.profile("sd")
    assert shape.estimates["sd_Intercept|Batch"] == 0.0
    assert shape.confint().loc["sd_Intercept|Batch", "lower"] == 0.0
    assert (shape.curves["value"] >= 0.0).all()


def test_correlations_stay_within_one_on_a_singular_fit() -> None:
    fit = fit_of("score_full_reml")
    limits = fit.confint(method="profile")
    (name,) = [n for n in limits.index if n.startswith("cor_")]
    assert -1.0 <= limits.loc[name, "lower"] <= limits.loc[name, "upper"] <= 1.0
    assert 1.0 in np.abs(limits.loc[name]).tolist()
    assert np.isfinite(limits.to_numpy()).all()


# ---- derivatives

RNG = np.random.default_rng(7)


def wide_data() -> pd.DataFrame:
    n = 90
    g, h = RNG.integers(0, 12, n), RNG.integers(0, 7, n)
    x, z = RNG.normal(size=n), RNG.normal(size=n)
    a, b = RNG.normal(size=(12, 3)), RNG.normal(size=7)
    y = 1 + x + a[g, 0] + a[g, 1] * x + a[g, 2] * z + b[h] + RNG.normal(size=n)
    return pd.DataFrame({"y": y, "x": x, "z": z, "g": g.astype(str), "h": h.astype(str)})


WIDE = wide_data()
FORMULAS = [
    "y ~ x + (1 | g)",
    "y ~ x + (x | g)",
    "y ~ x + (x || g) + (1 | h)",
    "y ~ x + (x + z | g)",
    "y ~ x + (1 | h) + (x + z | g)",
]


def held_points(formula: str) -> list[tuple[str, HeldPoint]]:
    """A point off the optimum on every path of a covariance parameter."""
    fit = hd.lmm(formula, WIDE)
    taken: list[tuple[Held, np.ndarray]] = []
    out = []
    original = profile_paths._descend

    def spy(held: Held, start: np.ndarray, ml: Any) -> Any:
        taken.append((held, start))
        return original(held, start, ml)

    profile_paths._descend = spy
    try:
        for path in paths(fit, ml_optimum(fit)):
            if path.kind != "fixed":
                path.zeta(path.centre + (0.1 if path.centre <= 0 else -0.1) * path.scale)
                held, start = taken[-1]
                out.append((path.name, held.evaluate(start + 0.1 * np.sin(np.arange(len(start))))))
    finally:
        profile_paths._descend = original
    return out


@pytest.mark.parametrize("formula", FORMULAS)
def test_derivatives_with_a_parameter_held(formula: str) -> None:
    for name, point in held_points(formula):
        step = 1e-5
        units = np.eye(len(point.phi)) * step
        up = [point.problem.evaluate(point.phi + u) for u in units]
        down = [point.problem.evaluate(point.phi - u) for u in units]
        pairs = list(zip(up, down, strict=True))
        slope = np.array([(a.value - b.value) / (2 * step) for a, b in pairs])
        bend = np.array([(a.gradient - b.gradient) / (2 * step) for a, b in pairs])
        scale = max(1.0, np.abs(point.hessian).max(initial=0.0))
        np.testing.assert_allclose(point.gradient, slope, rtol=1e-5, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(
            point.hessian, bend.reshape(point.hessian.shape), atol=1e-6 * scale, err_msg=name
        )


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_held_parameter_has_the_value_it_is_held_at(formula: str) -> None:
    """Sigma at a held point gives back the sd or the correlation, in the caller's units."""
    fit = hd.lmm(formula, WIDE, method="ML")
    ml = ml_optimum(fit)
    for path in paths(fit, ml):
        if path.kind in ("sd", "cor"):
            value = 0.5 * path.estimate
            assert refound(path, value, ml, fit) == pytest.approx(value, rel=1e-9)


def refound(path: Path, value: float, ml: Any, fit: Any) -> float:
    taken: list[HeldPoint] = []
    original = profile_paths._checked

    def spy(deviance: float, state: np.ndarray, optimum: Any, sigmas: Any) -> Any:
        taken.append(sigmas)
        return original(deviance, state, optimum, sigmas)

    profile_paths._checked = spy
    try:
        path.zeta(value)
    finally:
        profile_paths._checked = original
    term, group = path.name.split("|")
    t = [f.name for f in fit.design.random].index(group)
    relative = ml.problem.sigma(t, taken[-1][ml.place(t)])
    names = list(fit.design.random[t].names)
    if path.kind == "cor":
        j, i = (names.index(n) for n in term.removeprefix("cor_").split("."))
        return float(relative[i, j] / np.sqrt(relative[i, i] * relative[j, j]))
    i = names.index(term.removeprefix("sd_"))
    s2 = np.exp(path.seen[value].state[-1]) * ml.problem.y_scale**2
    return float(np.sqrt(s2 * relative[i, i]))


def test_no_path_goes_below_the_fit() -> None:
    fit = hd.lmm(FORMULAS[-1], WIDE)
    ml = ml_optimum(fit)
    for path in paths(fit, ml):
        path.zeta(path.centre + (1.0 if path.centre < 0.5 else -1.0) * path.scale)
        assert all(s.deviance >= path.minimum - 1e-7 for s in path.seen.values())


# ---- refusals


def test_an_unknown_parameter_is_named(sleep: Any) -> None:
    with pytest.raises(DesignError, match=r"no parameter 'Dayz'.*Days"):
        profile(sleep, "Dayz")


def test_which_takes_names_and_kinds(sleep: Any) -> None:
    assert list(sleep.confint(method="profile", which=["sigma", "Days"]).index) == ["sigma", "Days"]
    assert len(sleep.confint(method="profile", which="sd")) == 2


def test_unknown_methods_and_options_are_refused(sleep: Any) -> None:
    with pytest.raises(DesignError, match="Unknown method 'bayes'"):
        sleep.confint(method="bayes")
    with pytest.raises(DesignError, match="'ddf' is no option"):
        sleep.confint(method="profile", ddf="normal")
    with pytest.raises(DesignError, match="no interval of 'sigma'"):
        sleep.confint(which="sigma")


def test_wald_is_conf_int(sleep: Any) -> None:
    pd.testing.assert_frame_equal(sleep.confint(ddf="normal"), sleep.conf_int(ddf="normal"))
