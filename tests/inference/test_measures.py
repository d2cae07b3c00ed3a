"""R2, intraclass correlations, conditional AIC and evidence weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from reference_cases import ReferenceCase, lmer_cases, load_case

import henderson as hd
from henderson.errors import DesignError


def performance_is_right(case: ReferenceCase) -> bool:
    """performance 0.10.2 takes z'z as one in terms such as (0 + x | g), and all weights as one."""
    return not ("||" in case.formula or "(0 +" in case.formula or "weights" in case.keywords)


COMPARABLE = [c.id for c in lmer_cases() if not c.is_singular and performance_is_right(c)]


@pytest.mark.parametrize("case_id", COMPARABLE)
def test_r2_and_icc_are_those_of_performance(case_id: str) -> None:
    case = load_case(case_id)
    fit = hd.lmm(case.formula, case.data(), method=case.method, **case.keywords)
    for ours, theirs in ((fit.r2(), case.results["r2"]), (fit.icc(), case.results["icc"])):
        for name, value in theirs.items():
            assert getattr(ours, name) == pytest.approx(value, rel=1e-4, abs=1e-12)


def test_the_parameterisation_of_a_term_does_not_matter() -> None:
    data = hd.load_dataset("machines")
    one = hd.lmm("score ~ Machine + (Machine | Worker)", data)
    other = hd.lmm("score ~ Machine + (0 + Machine | Worker)", data)
    assert one.r2().conditional == pytest.approx(other.r2().conditional, rel=1e-6)
    assert one.icc().adjusted == pytest.approx(other.icc().adjusted, rel=1e-6)


def test_shares_of_the_factors_add_up() -> None:
    result = hd.lmm(
        "diameter ~ 1 + (1 | plate) + (1 | sample)", hd.load_dataset("penicillin")
    ).icc()
    assert sum(result.by_group.values()) == pytest.approx(result.adjusted)
    assert set(result.by_group) == {"plate", "sample"}
    assert "plate" in str(result)


def test_the_unit_of_prior_weights_does_not_matter() -> None:
    data = hd.load_dataset("sleepstudy").assign(w=lambda d: 1.0 + d["Days"], w7=lambda d: 7 * d.w)
    one, seven = (
        hd.lmm("Reaction ~ Days + (Days | Subject)", data, weights=w) for w in ("w", "w7")
    )
    for name in ("marginal", "conditional"):
        assert getattr(seven.r2(), name) == pytest.approx(getattr(one.r2(), name), rel=1e-6)
    for name in ("adjusted", "unadjusted"):
        assert getattr(seven.icc(), name) == pytest.approx(getattr(one.icc(), name), rel=1e-6)
    expected = np.mean(one.scale / data["w"])
    assert one.r2().variances.residual == pytest.approx(expected, rel=1e-12)


def test_no_fixed_effects_explain_nothing() -> None:
    fit = hd.lmm("Yield ~ 1 + (1 | Batch)", hd.load_dataset("dyestuff"))
    assert fit.r2().marginal == 0.0
    assert fit.r2().conditional == fit.icc().adjusted


def test_without_random_effects_r2_is_close_to_that_of_least_squares() -> None:
    data = hd.load_dataset("sleepstudy")
    fit = hd.lm("Reaction ~ Days", data, method="ML")
    explained = 1 - (fit.resid**2).sum() / ((data["Reaction"] - data["Reaction"].mean()) ** 2).sum()
    assert fit.r2().marginal == pytest.approx(explained, rel=1e-2)
    assert fit.r2().conditional == fit.r2().marginal
    with pytest.raises(DesignError, match="no random effects"):
        fit.icc()


# ---- conditional AIC


def derivative_of_fitted_values(fit: Any) -> float:
    """sum_i d yhat_i / dy_i by refitting."""
    y, step, total = fit.design.y, 3e-3 * fit.sigma, 0.0
    for i in range(len(y)):
        up, down = y.copy(), y.copy()
        up[i] += step
        down[i] -= step
        change = fit.refit(up).fittedvalues - fit.refit(down).fittedvalues
        total += change.iloc[i] / (2 * step)
    return total


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize(
    ("formula", "name"),
    [
        ("Yield ~ 1 + (1 | Batch)", "dyestuff"),
        ("strength ~ 1 + (1 | batch/cask)", "pastes"),
        ("score ~ edu + (edu | classroom)", "classroom_scores"),
    ],
)
def test_effective_df_count_how_fitted_values_follow_the_data(
    formula: str, name: str, method: Any
) -> None:
    fit = hd.lmm(formula, hd.load_dataset(name), method=method)
    assert fit.caic().edf == pytest.approx(derivative_of_fitted_values(fit), rel=1e-5)


def test_the_hat_matrix_of_known_parameters_has_its_trace() -> None:
    data = hd.load_dataset("sleepstudy").assign(w=lambda d: 1.0 + d["Days"])
    fit = hd.lmm("Reaction ~ Days + (Days | Subject) + (1 | Days)", data, weights="w")
    w = np.diag(data["w"].to_numpy())
    x, z = fit.design.X, fit.design.Z.toarray()
    sigma = np.kron(np.eye(18), fit.optimum.sigmas[0])
    cov = np.block([
        [sigma, np.zeros((36, 10))],
        [np.zeros((10, 36)), fit.optimum.sigmas[1][0, 0] * np.eye(10)],
    ])  # fmt: skip
    v = np.linalg.inv(z @ cov @ z.T + np.linalg.inv(w))
    p = v - v @ x @ np.linalg.solve(x.T @ v @ x, x.T @ v)
    assert fit.caic().edf_known == pytest.approx(180 - np.trace(p @ np.linalg.inv(w)), rel=1e-7)


def test_a_variance_of_zero_leaves_a_linear_model() -> None:
    fit = hd.lmm("Yield ~ 1 + (1 | Batch)", hd.load_dataset("dyestuff2"), method="ML")
    plain = hd.lm("Yield ~ 1", hd.load_dataset("dyestuff2"), method="ML")
    assert fit.caic().edf == pytest.approx(1.0)
    assert fit.caic().value == pytest.approx(plain.aic)
    assert plain.caic().value == pytest.approx(plain.aic)
    assert "Greven" in str(fit.caic())


# ---- evidence weights


def test_weights_add_up_and_follow_aic() -> None:
    data = hd.load_dataset("sleepstudy")
    texts = [
        "Reaction ~ 1 + (1 | Subject)",
        "Reaction ~ Days + (1 | Subject)",
        "Reaction ~ Days + (Days | Subject)",
    ]
    result = hd.compare(*(hd.lmm(t, data, method="ML") for t in texts))
    table = result.table
    assert table["model"].tolist() == texts[::-1]
    assert table["weight"].sum() == pytest.approx(1.0)
    assert table["delta"].iloc[0] == 0.0
    ratio = table["weight"].iloc[0] / table["weight"].iloc[1]
    assert ratio == pytest.approx(np.exp(table["delta"].iloc[1] / 2))
    assert max(map(len, str(result).splitlines())) <= 80


def test_restricted_likelihoods_of_different_fixed_parts_are_not_compared() -> None:
    data = hd.load_dataset("sleepstudy")
    fits = [hd.lmm(f"Reaction ~ {x} + (1 | Subject)", data) for x in ("1", "Days")]
    result = hd.compare(*fits)
    assert result.method == "ML"
    assert "maximum likelihood" in str(result)
    ml = hd.lmm("Reaction ~ Days + (1 | Subject)", data, method="ML")
    assert result.table["aic"].iloc[0] == pytest.approx(ml.aic)


def test_other_rows_cannot_be_compared() -> None:
    data = hd.load_dataset("sleepstudy")
    fit = hd.lmm("Reaction ~ Days + (1 | Subject)", data)
    with pytest.raises(DesignError, match="different responses"):
        hd.compare(fit, hd.lmm("log(Reaction) ~ Days + (1 | Subject)", data))
    with pytest.raises(DesignError, match="two or more"):
        hd.compare(fit)
