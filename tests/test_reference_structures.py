"""Covariance structures held to nlme and glmmTMB: the likelihood and what follows from it.

R's optimum is polished there, but a fixed point of an iteration (a variance that depends on the
fitted values) can be the looser one: then our likelihood is the higher. A lower one is wrong.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from reference_cases import group_key, load_results
from structure_cases import NEVER, StructureCase, load_structure_case, structure_ids

import henderson as hd

IDS, BEYOND = structure_ids()
NLME = [i for i in IDS if not i.startswith("tmb")]
LME = [i for i in IDS if i.startswith("lme")]
TMB = [i for i in IDS if i.startswith("tmb")]
WITHOUT_RESIDUAL = [i for i in TMB if load_results(i)["model"]["dispformula"] == "~0"]
WITH_RESIDUAL = [i for i in TMB if i not in WITHOUT_RESIDUAL]
CORRELATED = [i for i in NLME if "correlation" in load_results(i)["results"]]
HETEROSCEDASTIC = [i for i in NLME if "variance" in load_results(i)["results"]]
FIRST_GROUP = [
    i
    for i in NLME
    if {"cov_first_group", "marginal_cov_first_group"} & set(load_results(i)["results"])
]
# nlme iterates these; its likelihood is that of a fixed point known to fewer digits.
FIXED_POINTS = [i for i in NLME if "varPower()" in load_results(i)["call"]]
NATURAL = {"Phi": "rho", "Rho": "rho", "range": "range", "nugget": "nugget", "power": "power",
           "expon": "expon", "const": "const"}  # fmt: skip


def each(ids: list[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case_id", ids)


@cache
def fit_of(case_id: str) -> Any:
    return load_structure_case(case_id).fit()


def both(case_id: str) -> tuple[Any, StructureCase, Any]:
    case = load_structure_case(case_id)
    return fit_of(case_id), case, case.results


def assert_close(actual: Any, expected: Any, tol: float, scale: Any = 0.0) -> None:
    """|a - b| <= tol max(|b|, scale), element by element."""
    a, b = np.asarray(actual, dtype=float), np.asarray(expected, dtype=float)
    assert a.shape == b.shape
    size = np.maximum(np.abs(b), scale)
    assert np.all(np.abs(a - b) <= tol * size), f"{np.abs(a - b).max():.2g} apart:\n{a}\n{b}"


def assert_summary(values: Any, stored: dict[str, Any], tol: float, scale: float) -> None:
    """First ten values, sum and sum of squares."""
    v = np.asarray(values, dtype=float)
    assert_close(v[: len(stored["head"])], stored["head"], tol, scale)
    assert_close(v.sum(), stored["sum"], tol, len(v) * scale)
    assert_close((v**2).sum(), stored["sumsq"], 2 * tol, len(v) * scale**2)


def part(fit: Any, word: str) -> dict[str, float]:
    """The parameters of the only structure whose text begins with `word`."""
    (found,) = [v for text, v in fit.structures().items() if text.startswith(word)]
    return dict(found)


def test_only_moving_averages_are_beyond() -> None:
    assert len(IDS) == 116
    assert set(BEYOND.values()) == {NEVER}
    assert {i.rpartition("_")[0] for i in BEYOND} == {"gls_ovary_ma2", "lme_ovary_arma11"}


# ---- likelihood


@each(IDS)
def test_likelihood_agrees_and_is_never_below(case_id: str) -> None:
    fit, _, results = both(case_id)
    assert fit.converged
    assert fit.llf == pytest.approx(results["logLik"], rel=1e-8)
    assert fit.llf >= results["logLik"] - 1e-8


@each(FIXED_POINTS)
def test_iterated_variances_settle_at_nlmes_fixed_point(case_id: str) -> None:
    """nlme stops its iteration a little before; the likelihoods differ by the last step."""
    fit, _, results = both(case_id)
    assert abs(fit.llf - results["logLik"]) < 1e-7


@each(IDS)
def test_number_of_parameters_and_information_criteria(case_id: str) -> None:
    """nlme counts n - p observations in the BIC of a REML fit; we count the rows."""
    fit, _, results = both(case_id)
    assert fit.npar == results["npar"]
    assert fit.aic == pytest.approx(results["AIC"], rel=1e-8)
    assert fit.bic == pytest.approx(results.get("BIC_all_obs", results["BIC"]), rel=1e-8)


# ---- fixed effects


@each(IDS)
def test_fixed_effects(case_id: str) -> None:
    fit, case, results = both(case_id)
    names, se = case.names(list(results["fixef"])), np.array(list(results["se"].values()))
    assert set(fit.params.index) == set(names)
    assert_close(fit.params[names], list(results["fixef"].values()), 1e-6, se)


@each(NLME)
def test_covariance_of_the_fixed_effects(case_id: str) -> None:
    """`gls` divides by n - p under ML too, `lme` by n as the likelihood does, and so do we."""
    fit, case, results = both(case_id)
    names, se = case.names(list(results["fixef"])), np.array(list(results["se"].values()))
    by_n = fit.df_resid / fit.nobs if case_id.startswith("gls") and fit.method == "ML" else 1.0
    assert_close(
        fit.cov_params().loc[names, names], by_n * np.array(results["vcov"]), 1e-6, np.outer(se, se)
    )


@each(LME)
def test_standard_errors_of_lmes_table(case_id: str) -> None:
    """The printed ones of an ML fit are larger by sqrt(n / (n - p))."""
    fit, case, results = both(case_id)
    names = case.names(list(results["fixef"]))
    more = np.sqrt(fit.nobs / fit.df_resid) if fit.method == "ML" else 1.0
    assert_close(more * fit.bse[names], [row["se"] for row in results["coef"].values()], 1e-6)


@each(TMB)
def test_standard_errors_of_the_joint_information(case_id: str) -> None:
    """glmmTMB's are from the Hessian of fixed effects and covariance parameters together."""
    from henderson.inference.joint_information import joint_bse

    fit, case, results = both(case_id)
    names = case.names(list(results["fixef"]))
    tol = 1e-5 if case_id in WITHOUT_RESIDUAL else 1e-6
    assert_close(joint_bse(fit)[names], list(results["se"].values()), tol)


# ---- structures


@each(CORRELATED)
def test_correlation_parameters(case_id: str) -> None:
    fit, case, results = both(case_id)
    word, stored = case.keywords["correlation"].partition("(")[0], results["correlation"]
    ours = part(fit, f"{word}(")
    if stored["class"] == "corARMA":  # its parameters are partial; the covariances are compared
        return
    if stored["class"] == "corSymm":
        assert_close(list(ours.values()), list(stored["params"].values()), 1e-5)
        return
    expected = {NATURAL[name]: value for name, value in stored["params"].items()}
    assert list(ours) == list(expected)
    assert_close(list(ours.values()), list(expected.values()), 1e-5)


@each(HETEROSCEDASTIC)
def test_variance_parameters(case_id: str) -> None:
    fit, case, results = both(case_id)
    ours, stored = part(fit, case.keywords["variance"]), results["variance"]
    if stored["class"] == "varIdent":
        reference = ours[next(name for name, v in stored["params"].items() if v == 1)]
        ratios = [ours[name] / reference for name in stored["params"]]
        assert_close(ratios, list(stored["params"].values()), 1e-5)
        return
    expected = {NATURAL[name]: value for name, value in stored["params"].items()}
    assert_close([ours[name] for name in expected], list(expected.values()), 1e-5)


@each(NLME)
def test_residual_standard_deviation(case_id: str) -> None:
    """Of nlme's reference level where there is a standard deviation per level."""
    fit, case, results = both(case_id)
    ratio = 1.0
    if results.get("variance", {}).get("class") == "varIdent":
        ours = part(fit, case.keywords["variance"])
        ratio = ours[next(name for name, v in results["variance"]["params"].items() if v == 1)]
    assert ratio * fit.sigma == pytest.approx(results["sigma"], rel=1e-5)


@each(FIRST_GROUP)
def test_covariance_of_the_rows_of_a_group(case_id: str) -> None:
    """V within the first group, correlations and variances of the residuals included."""
    fit, case, results = both(case_id)
    stored = results.get("cov_first_group") or results["marginal_cov_first_group"]["cov"]
    expected = np.array(stored)
    rows = _first_group(case, results, len(expected))
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert_close(fit.V(rows), expected, 1e-5, scale)


def _first_group(case: StructureCase, results: Any, size: int) -> np.ndarray:
    data = case.data()
    if "marginal_cov_first_group" in results:
        (name,) = results["n_groups"]
        return np.flatnonzero(data[name] == results["marginal_cov_first_group"]["group"])
    name = results["correlation"]["form"].rpartition("|")[2].strip()
    first = next(g for g in data[name].cat.categories if (data[name] == g).sum() == size)
    return np.flatnonzero(data[name] == first)


@each([i for i in LME if "pdBlocked" not in i])
def test_covariances_of_the_random_effects(case_id: str) -> None:
    fit, case, results = both(case_id)
    for stored in results["varcomp"]:
        names = case.names(stored["terms"])
        name = _group_named(fit, stored["group"], results)
        sd = np.array(stored["sd"])
        assert_close(fit.varcorr()[name].loc[names, names], stored["cov"], 1e-5, np.outer(sd, sd))


def _group_named(fit: Any, group: str, results: Any) -> str:
    """nlme calls a nested factor after its own column: Worker/Machine is Machine."""
    outer = [g for g in fit.n_groups if group in g.split(":")]
    (found,) = [g for g in outer if fit.n_groups[g] == results["n_groups"][group]]
    return found


def test_blocks_of_one_variance_each_are_nested_intercepts() -> None:
    """pdBlocked of two pdIdent: an intercept per worker, and one per worker and machine."""
    fit, _, results = both("lme_machines_pdBlocked_reml")
    cov = np.array(results["varcomp"][0]["cov"])
    assert fit.varcorr()["Worker"].iloc[0, 0] == pytest.approx(cov[0, 0], rel=1e-5)
    assert fit.varcorr()["Worker:Machine"].iloc[0, 0] == pytest.approx(cov[1, 1], rel=1e-5)


@each(WITH_RESIDUAL)
def test_covariances_of_glmmtmbs_random_effects(case_id: str) -> None:
    fit, _, results = both(case_id)
    (name,) = fit.n_groups
    ours, start = fit.varcorr()[name].to_numpy(), 0
    for stored in results["varcomp"]:
        assert group_key(stored["group"].partition(".")[0]) == group_key(name)
        block = slice(start, start + len(stored["sd"]))
        start = block.stop
        sd = np.array(stored["sd"])
        assert_close(ours[block, block], stored["cov"], 1e-5, np.outer(sd, sd))


@each(WITHOUT_RESIDUAL)
def test_random_effects_in_the_place_of_residuals(case_id: str) -> None:
    """Without a residual variance glmmTMB's random effects are residuals; so R is their D."""
    fit, case, results = both(case_id)
    (stored,) = results["varcomp"]
    data, sd = case.data(), np.array(stored["sd"])
    rows = np.flatnonzero(data[stored["group"]] == data[stored["group"]].iloc[0])
    assert_close(fit.R(rows), stored["cov"], 1e-5, np.outer(sd, sd))


@each([i for i in WITH_RESIDUAL if load_results(i)["model"]["dispformula"] != "~1"])
def test_dispersion_models(case_id: str) -> None:
    """A linear model of log variances: twice the logarithms of our standard deviations."""
    fit, case, results = both(case_id)
    ours, stored = part(fit, case.keywords["variance"]), results["dispersion"]["coef"]
    values = list(stored.values())
    assert 2 * np.log(fit.sigma) == pytest.approx(values[0], rel=1e-5)
    if "expon" in ours:
        assert 2 * ours["expon"] == pytest.approx(values[1], rel=1e-5)
    else:
        assert_close(2 * np.log(list(ours.values())[1:]), values[1:], 1e-5)


# ---- rows


@each(NLME)
def test_fitted_values(case_id: str) -> None:
    fit, _, results = both(case_id)
    stored = results["fitted"]
    if "level0" not in stored:
        assert_summary(fit.fittedvalues, stored, 1e-6, results["sigma"])
        return
    population = fit.predict(random="none")
    scale = np.std(fit.design.y)
    assert_summary(population, stored["level0"], 1e-6, scale)
    assert_summary(fit.fittedvalues, stored[max(stored)], 1e-6, scale)


@each(NLME)
def test_residuals(case_id: str) -> None:
    """Response, and over their own standard deviations."""
    fit, _, results = both(case_id)
    stored, scale = results["residuals"], np.std(fit.design.y)
    assert_summary(fit.residuals("response"), stored["response"], 1e-6, scale)
    assert_summary(fit.residuals("pearson"), stored["pearson"], 1e-5, 1.0)


@each([i for i in NLME if i.startswith("gls")])
def test_normalized_residuals_have_variance_one(case_id: str) -> None:
    """r'R^-1r / sigma^2 is what sigma^2 was estimated from: n under ML, n - p under REML."""
    fit, _, _ = both(case_id)
    total = fit.nobs if fit.method == "ML" else fit.df_resid
    assert (fit.residuals("normalized") ** 2).sum() == pytest.approx(total, rel=1e-9)


@each(CORRELATED)
def test_normalized_residuals(case_id: str) -> None:
    """nlme takes the residuals in the order of the rows and the correlations in that of the groups'
    levels. Where these differ its normalized residuals are not white; what it does is done here.
    """
    fit, case, results = both(case_id)
    stored = results["residuals"]["normalized"]
    z = _as_nlme_orders(fit, case)
    assert (z**2).sum() == pytest.approx(stored["sumsq"], rel=2e-5)
    if results["correlation"]["class"] in ("corAR1", "corCAR1"):
        # Roots of R differ from program to program; of these two both take the innovations.
        assert_close(z[: len(stored["head"])], stored["head"], 2e-5, 1.0)


def _as_nlme_orders(fit: Any, case: StructureCase) -> np.ndarray:
    group = case.results["correlation"]["form"].rpartition("|")[2].strip()
    order = np.argsort(case.data()[group].cat.codes, kind="stable")
    r = fit.R(order).to_numpy()
    sd = np.sqrt(np.diag(r))
    root = np.linalg.cholesky(r / np.outer(sd, sd))
    return np.linalg.solve(root, fit.residuals("pearson").to_numpy())


@each([i for i in NLME if i not in CORRELATED])
def test_normalized_residuals_without_correlation_are_pearsons(case_id: str) -> None:
    fit, _, _ = both(case_id)
    pd.testing.assert_series_equal(
        fit.residuals("normalized"), fit.residuals("pearson"), check_names=False
    )


@each(WITH_RESIDUAL)
def test_fitted_values_of_glmmtmb(case_id: str) -> None:
    fit, _, results = both(case_id)
    assert_summary(fit.fittedvalues, results["fitted"], 1e-6, np.std(fit.design.y))
    assert_summary(fit.resid, results["residuals"], 1e-6, np.std(fit.design.y))


@each(LME)
def test_predictions_for_new_rows(case_id: str) -> None:
    fit, case, results = both(case_id)
    new = pd.DataFrame(results["predict"]["newdata"])
    for column in case.columns:
        if column.is_factor and column.name in new:
            new[column.name] = pd.Categorical(new[column.name].astype(str), column.levels)
    levels, scale = results["predict"]["levels"], np.std(fit.design.y)
    assert_close(fit.predict(new, random="none"), levels["level0"], 1e-6, scale)
    assert_close(fit.predict(new), levels[max(levels)], 1e-6, scale)


# ---- likelihood ratios

SLEEP = "Reaction ~ Days"
GROWTH = "distance ~ age * Sex"
WEIGHT = "weight ~ Time * Diet + (Time | Rat)"
# The models of the stored comparisons, whose files give their names alone.
COMPARED: dict[str, tuple[str, dict[str, tuple[str, dict[str, str]]]]] = {
    "nlme_lrt_sleep_reml": (
        "gls_sleep_ar1_reml",
        {
            "iid": (SLEEP, {}),
            "ar1": (SLEEP, {"correlation": "ar1(Days | Subject)"}),
            "ar1_varExp": (SLEEP, {"correlation": "ar1(Days | Subject)", "variance": "exp(Days)"}),
        },
    ),
    "nlme_lrt_orthodont_ml": (
        "gls_orthodont_symm_ml",
        {
            "cs": (GROWTH, {"correlation": "cs(1 | Subject)"}),
            "symm": (GROWTH, {"correlation": "us(1 | Subject)"}),
            "unstructured": (
                GROWTH, {"correlation": "us(1 | Subject)", "variance": "ident(age)"},
            ),
        },
    ),
    "nlme_lrt_bodyweight_reml": (
        "lme_bodyweight_slope_reml",
        {
            "slope": (WEIGHT, {}),
            "varPower": (WEIGHT, {"variance": "power(Time)"}),
            "ar1": (WEIGHT, {"variance": "power(Time)", "correlation": "ar1(1 | Rat)"}),
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("comparison", COMPARED)
def test_likelihood_ratio_tests(comparison: str) -> None:
    source, models = COMPARED[comparison]
    case, stored = load_structure_case(source), load_results(comparison)["results"]["lrt"]
    make = hd.lmm if "|" in case.formula else hd.lm
    data = case.data()
    fits = [make(f, data, method=case.method, **keywords) for f, keywords in models.values()]
    table = hd.anova(*fits).table
    assert list(stored) == list(models)
    for i, row in enumerate(stored.values()):
        ours = table.iloc[i]
        assert ours["llf"] == pytest.approx(_only(row["logLik"]), rel=1e-8)
        assert ours["npar"] == _only(row["npar"])
        if i:
            assert ours["statistic"] == pytest.approx(_only(row["chisq"]), rel=1e-6)
            assert ours["df"] == _only(row["df"])
            assert ours["p_value"] == pytest.approx(_only(row["p"]), rel=1e-5)


def _only(value: Any) -> float:
    return float(next(iter(value.values()))) if isinstance(value, dict) else float(value)
