"""Structures in print: their parameters, the equation, and the call in R."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import henderson as hd
from henderson.fit import Fit

OVARY = "follicles ~ sin(2*pi*Time) + cos(2*pi*Time)"
MODELS = {
    "residual": ("ovary", f"{OVARY} + (1 | Mare)", {"correlation": "ar1(1 | Mare)"}),
    "gls": (
        "sleepstudy", "Reaction ~ Days",
        {"correlation": "ar1(Days | Subject)", "variance": "exp(Days)"},
    ),
    "random": ("sleepstudy", "Reaction ~ Days + ar1(0 + Days | Subject)", {}),
    "heterogeneous": ("machines", "score ~ Machine + hcs(0 + Machine | Worker)", {}),
    "ident": ("bodyweight", "weight ~ Time + (1 | Rat)", {"variance": "ident(Diet)"}),
}  # fmt: skip


@cache
def fit_of(name: str) -> Fit:
    data, formula, keywords = MODELS[name]
    make = hd.lmm if "|" in formula else hd.lm
    return make(formula, hd.load_dataset(data), **keywords)


def test_parameters_by_the_text_of_their_part() -> None:
    found = fit_of("gls").structures()
    assert list(found) == ["ar1(Days | Subject)", "exp(Days)"]
    assert list(found["ar1(Days | Subject)"]) == ["rho"]
    assert list(found["exp(Days)"]) == ["expon"]
    assert hd.lm("Reaction ~ Days", hd.load_dataset("sleepstudy")).structures() == {}


def test_standard_deviations_are_those_of_varcorr() -> None:
    fit = fit_of("random")
    (values,) = fit.structures().values()
    cov = fit.varcorr()["Subject"]
    assert values["sd"] == pytest.approx(np.sqrt(cov.iloc[0, 0]))
    assert values["rho"] == pytest.approx(cov.iloc[0, 1] / cov.iloc[0, 0])
    assert len(fit.structures()["ar1(0 + Days | Subject)"]) == 2


@pytest.mark.parametrize("name", MODELS)
def test_theta_has_as_many_numbers_as_the_model(name: str) -> None:
    """A standard deviation per level counts the first level's, which is one."""
    fit = fit_of(name)
    fixed = 1 if name == "ident" else 0
    assert len(fit.theta) - fixed == fit.npar - fit.design.p - 1


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_is_printed_in_text_and_html(name: str) -> None:
    fit = fit_of(name)
    text, html = str(fit), fit._repr_html_()
    for part, values in fit.structures().items():
        assert f"{part}: " in text
        for parameter in values:
            assert parameter.split("[")[0] in text
            assert parameter.split("[")[0] in html
    assert ("Residual structure:" in text) == (name not in ("random", "heterogeneous"))


def test_a_structure_of_one_variance_is_one_row() -> None:
    text = str(fit_of("random"))
    assert "Days[1]" not in text
    assert " Subject  ar1(0 + Days | Subject)" in text


def test_generalised_least_squares_says_so() -> None:
    text = str(fit_of("gls"))
    assert "fit by generalised least squares (REML)" in text
    assert "Satterthwaite" in " ".join(text.split())
    assert "R-squared" not in text
    assert "REML criterion at convergence" in text


def test_tidy_lists_them() -> None:
    table = fit_of("residual").tidy("ran_pars").set_index("term")["estimate"]
    rho = fit_of("residual").structures()["ar1(1 | Mare)"]["rho"]
    assert table["rho__ar1(1 | Mare)"] == rho
    assert list(fit_of("random").tidy("ran_pars")["term"]) == [
        "sd__ar1(0 + Days | Subject)", "rho__ar1(0 + Days | Subject)", "sd__Observation",
    ]  # fmt: skip


def test_equations_name_the_structure() -> None:
    gls, random = fit_of("gls").equation(), fit_of("random").equation()
    assert "e ~ N(0, s2 R)\nR: ar1(Days | Subject) x exp(Days)" in gls.symbols
    assert "R: exp(Days): expon " in gls.fitted
    assert r"\sigma^2\,\mathbf{R}" in gls.latex
    assert "D_u: ar1(0 + Days | Subject): sd " in random.fitted
    for equation in (gls, random):
        assert equation.latex.count("{") == equation.latex.count("}")


R_CALLS = [
    (
        "residual",
        "lme(follicles ~ sin(2*pi*Time) + cos(2*pi*Time), data, random = ~ 1 | Mare, "
        'correlation = corAR1(form = ~ 1 | Mare), method = "REML")',
    ),
    (
        "gls",
        "gls(Reaction ~ Days, data, correlation = corAR1(form = ~ Days | Subject), "
        'weights = varExp(form = ~ Days), method = "REML")',
    ),
    (
        "random",
        "glmmTMB(Reaction ~ Days + ar1(0 + factor(Days) | Subject), data, REML = TRUE)",
    ),
    (
        "heterogeneous",
        "glmmTMB(score ~ Machine + cs(0 + Machine | Worker), data, REML = TRUE)",
    ),
    (
        "ident",
        "lme(weight ~ Time, data, random = ~ 1 | Rat, "
        'weights = varIdent(form = ~ 1 | Diet), method = "REML")',
    ),
]


@pytest.mark.parametrize(("name", "call"), R_CALLS)
def test_the_call_in_r(name: str, call: str) -> None:
    assert fit_of(name).equation().r_formula == call


def test_no_call_in_r_where_no_package_has_the_model() -> None:
    data = hd.load_dataset("penicillin")
    data["run"] = np.arange(len(data)) % 6
    fit = hd.lmm("diameter ~ 1 + (1 | plate) + (1 | sample)", data, correlation="ar1(1 | plate)")
    assert "no package of R" in fit.equation().r_formula


def test_rows_of_a_group_of_correlated_residuals() -> None:
    fit = fit_of("gls")
    v, r = fit.V("308"), fit.R("308")
    assert v.shape == (10, 10)
    assert np.array_equal(v, r)
    assert np.linalg.eigvalsh(v)[0] > 0.0
    with pytest.raises(hd.DesignError, match="group of correlated rows"):
        fit.V("nobody")
