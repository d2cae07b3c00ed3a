"""Agreement of `henderson.lmm` with lme4 (and lmerTest), fit by fit.

Tolerances: criterion 1e-8 relative and never above lme4's polished optimum; variance components
1e-5; everything that the variance components feed only in second order, 1e-6; degrees of freedom
1e-4 (lmerTest takes finite differences).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from reference_cases import ReferenceCase, group_key, level_labels, lmer_cases, load_case

CASES = lmer_cases()
INTERIOR = [c for c in CASES if not c.is_singular]
SAME_ROWS = [c for c in CASES if c.same_rows]
WITH_COVARIANCES = [c for c in CASES if any("condcov" in p for p in c.results["ranef"])]

Table = Any


def each(cases: list[ReferenceCase]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case_id", [c.id for c in cases])


@cache
def data_of(case_id: str) -> pd.DataFrame:
    return load_case(case_id).data()


@cache
def fit_of(case_id: str) -> Any:
    import henderson

    case = load_case(case_id)
    return henderson.lmm(case.formula, data_of(case_id), method=case.method, **case.keywords)


def both(case_id: str) -> tuple[Any, ReferenceCase]:
    return fit_of(case_id), load_case(case_id)


def assert_close(actual: Table, expected: Table, tol: float, scale: Table = 0.0) -> None:
    """|a - b| <= tol max(|b|, scale), element by element."""
    a, b = np.asarray(actual, dtype=float), np.asarray(expected, dtype=float)
    assert a.shape == b.shape, f"shape {a.shape}, not {b.shape}"
    size = np.maximum(np.abs(b), np.broadcast_to(np.asarray(scale, dtype=float), b.shape))
    bad = ~(np.abs(a - b) <= tol * size)
    worst = np.max(np.abs(a - b) / np.where(size > 0, size, 1.0), initial=0.0)
    assert not bad.any(), f"{bad.sum()} of {bad.size} off, worst {worst:.2g} > {tol:g}:\n{a}\n{b}"


def assert_summary(actual: Table, stored: dict[str, Any], tol: float, scale: float) -> None:
    """First ten values, sum and sum of squares of a long vector."""
    values = np.asarray(actual, dtype=float)
    assert_close(values[: len(stored["head"])], stored["head"], tol, scale)
    assert_sums(values, stored, tol, scale)


def assert_sums(actual: Table, stored: dict[str, Any], tol: float, scale: float) -> None:
    values = np.asarray(actual, dtype=float)
    assert_close(values.sum(), stored["sum"], tol, np.sqrt(len(values) * stored["sumsq"]))
    assert_close((values**2).sum(), stored["sumsq"], 2 * tol, len(values) * scale**2)


def group_named(ours: Any, key: frozenset[str]) -> str:
    """Our name of the grouping factor over the columns `key`."""
    (name,) = [name for name in ours if group_key(name) == key]
    return str(name)


def standard_errors(case: ReferenceCase) -> np.ndarray:
    return np.array(list(case.results["se"].values()))


# ---- likelihood


@each(CASES)
def test_criterion_agrees_and_is_never_above(case_id: str) -> None:
    fit, case = both(case_id)
    expected = case.results["criterion"]
    assert fit.criterion == pytest.approx(expected, rel=1e-8)
    assert fit.criterion <= expected + 1e-7 + 1e-11 * abs(expected)


@each(CASES)
def test_likelihood_and_information_criteria(case_id: str) -> None:
    fit, case = both(case_id)
    assert fit.npar == case.results["npar"]
    assert fit.llf == pytest.approx(case.results["logLik"], rel=1e-8)
    assert fit.aic == pytest.approx(case.results["AIC"], rel=1e-8)
    assert fit.bic == pytest.approx(case.results["BIC"], rel=1e-8)


@each(CASES)
def test_sizes(case_id: str) -> None:
    fit, case = both(case_id)
    assert fit.nobs == case.results["n_obs"]
    ours = {group_key(name): size for name, size in fit.n_groups.items()}
    assert ours == {group_key(name): size for name, size in case.results["n_groups"].items()}


@each(CASES)
def test_aliased_columns_are_dropped(case_id: str) -> None:
    fit, case = both(case_id)
    assert list(fit.design.fixed.dropped) == case.names(case.results["dropped_columns"])


# ---- variance components


@each(CASES)
def test_residual_standard_deviation(case_id: str) -> None:
    fit, case = both(case_id)
    assert fit.sigma == pytest.approx(case.results["sigma"], rel=1e-5)


@each(CASES)
def test_covariance_matrices_of_the_random_effects(case_id: str) -> None:
    fit, case = both(case_id)
    ours = fit.varcorr().cov
    expected = case.covariances()
    assert {group_key(name) for name in ours} == set(expected)
    for key, cov in expected.items():
        matrix = ours[group_named(ours, key)].loc[cov.index, cov.columns]
        sd = np.sqrt(np.diag(cov))
        sd = np.where(sd > 0, sd, case.results["sigma"])
        assert_close(matrix, cov, 1e-5, np.outer(sd, sd))


@each(CASES)
def test_singularity(case_id: str) -> None:
    fit, case = both(case_id)
    assert fit.is_singular == case.is_singular


@each(INTERIOR)
def test_theta(case_id: str) -> None:
    """Named as in lme4, with our names: `group.row.column`, or `group.row` on the diagonal."""
    fit, case = both(case_id)
    expected = case.thetas()
    label = {
        key: f"{group_named(fit.n_groups, key[0])}.{key[1]}"
        + ("" if key[1] == key[2] else f".{key[2]}")
        for key in expected
    }
    assert set(fit.theta.index) == set(label.values())
    for key, value in expected.items():
        row = [v for other, v in expected.items() if other[:2] == key[:2]]
        assert_close(fit.theta[label[key]], value, 1e-5, np.linalg.norm(row))


# ---- fixed effects


@each(CASES)
def test_fixed_effects(case_id: str) -> None:
    fit, case = both(case_id)
    assert list(fit.params.index) == case.fixed_names
    assert_close(fit.params, list(case.results["fixef"].values()), 1e-6, standard_errors(case))


@each(CASES)
def test_standard_errors(case_id: str) -> None:
    fit, case = both(case_id)
    assert_close(fit.bse.loc[case.fixed_names], standard_errors(case), 1e-6)


@each(CASES)
def test_covariance_of_the_fixed_effects(case_id: str) -> None:
    fit, case = both(case_id)
    names, se = case.fixed_names, standard_errors(case)
    assert_close(fit.cov_params().loc[names, names], case.results["vcov"], 1e-6, np.outer(se, se))


@each(CASES)
def test_wald_intervals(case_id: str) -> None:
    fit, case = both(case_id)
    stored = case.results["ci_wald"].values()
    expected = np.array([[row["lower"], row["upper"]] for row in stored])
    ours = fit.conf_int(ddf="normal").loc[case.fixed_names]
    assert_close(ours, expected, 1e-6, standard_errors(case)[:, None])


@each(CASES)
def test_satterthwaite_degrees_of_freedom(case_id: str) -> None:
    """On singular fits too: lmerTest differentiates along the boundary there, and so do we."""
    fit, case = both(case_id)
    stored = case.results["satterthwaite"]["coef"].values()
    assert_close(fit.df.loc[case.fixed_names], [row["df"] for row in stored], 1e-4)


# ---- conditional modes


def term_sd(case: ReferenceCase, part: dict[str, Any]) -> np.ndarray:
    """Standard deviation of every effect of a grouping factor; sigma where it is zero."""
    cov = case.covariances()[group_key(part["group"])]
    sd = np.sqrt(np.diag(cov.loc[case.names(part["terms"]), case.names(part["terms"])]))
    return np.where(sd > 0, sd, case.results["sigma"])


def our_levels(case_id: str, part: dict[str, Any], group: str) -> list[str]:
    labels = level_labels(part["group"], group, data_of(case_id))
    return [labels[level] for level in part["levels"]]


@each(CASES)
def test_conditional_modes(case_id: str) -> None:
    fit, case = both(case_id)
    ours = fit.ranef()
    assert len(ours) == len(case.results["ranef"])
    for part in case.results["ranef"]:
        group = group_named(ours, group_key(part["group"]))
        table = ours[group].set_axis([str(level) for level in ours[group].index])
        assert len(table) == part["n_levels"]
        names = case.names(part["terms"])
        rows = table.loc[our_levels(case_id, part, group), names]
        assert_close(rows, part["values"], 1e-6, term_sd(case, part))
        sums = (table[names] ** 2).sum()
        assert_close(sums, list(part["sumsq"].values()), 2e-6, term_sd(case, part) ** 2)


def condvar_of(fit: Any, case_id: str, part: dict[str, Any]) -> np.ndarray:
    """Our conditional covariances in R's order of levels and effects: (J, K, K)."""
    case, table = load_case(case_id), fit.ranef()
    group = group_named(table, group_key(part["group"]))
    rows = [str(level) for level in table[group].index]
    levels = [rows.index(level) for level in our_levels(case_id, part, group)]
    columns = [list(table[group].columns).index(name) for name in case.names(part["terms"])]
    return np.asarray(fit.condvar()[group])[np.ix_(levels, columns, columns)]


@each(CASES)
def test_conditional_standard_deviations(case_id: str) -> None:
    fit, case = both(case_id)
    for part in case.results["ranef"]:
        variances = np.einsum("jaa->ja", condvar_of(fit, case_id, part))
        floor = 1e-3 * term_sd(case, part)
        assert_close(np.sqrt(np.maximum(variances, 0)), part["condsd"], 1e-5, floor)


@each(WITH_COVARIANCES)
def test_conditional_covariances(case_id: str) -> None:
    """lme4 leaves out covariances between terms; they are compared within terms."""
    fit, case = both(case_id)
    for part in case.results["ranef"]:
        if "condcov" in part:
            expected = np.array(part["condcov"])
            within = same_term(case, part)
            sd = np.maximum(np.array(part["condsd"]), 1e-3 * term_sd(case, part))
            scale = sd[:, :, None] * sd[:, None, :]
            ours = condvar_of(fit, case_id, part)
            assert_close(ours * within, expected * within, 2e-5, scale)


def same_term(case: ReferenceCase, part: dict[str, Any]) -> np.ndarray:
    """(K, K) whether two effects belong to the same random term."""
    owner: dict[str, int] = {}
    for i, term in enumerate(case.results["varcomp"]):
        if term["group"] == part["group"]:
            owner |= dict.fromkeys(term["terms"], i)
    of = np.array([owner[name] for name in part["terms"]])
    return np.asarray(of[:, None] == of)


# ---- fitted values and predictions


@each(SAME_ROWS)
def test_fitted_values(case_id: str) -> None:
    fit, case = both(case_id)
    assert_summary(fit.fittedvalues, case.results["fitted"], 1e-6, case.results["sigma"])


@each(SAME_ROWS)
def test_residuals(case_id: str) -> None:
    fit, case = both(case_id)
    assert_summary(fit.resid, case.results["residuals"], 1e-6, case.results["sigma"])


@each(CASES)
def test_sums_of_fitted_values_and_residuals(case_id: str) -> None:
    fit, case = both(case_id)
    assert_sums(fit.fittedvalues, case.results["fitted"], 1e-6, case.results["sigma"])
    assert_sums(fit.resid, case.results["residuals"], 1e-6, case.results["sigma"])


@each(SAME_ROWS)
def test_pearson_residuals(case_id: str) -> None:
    """Response residuals times the square roots of the prior weights, in lme4's definition."""
    fit, case = both(case_id)
    weights = fit.design.weights
    ours = fit.resid if weights is None else fit.resid * np.sqrt(weights)
    assert_summary(ours, case.results["residuals_pearson"], 1e-6, case.results["sigma"])


@each(SAME_ROWS)
def test_population_fit_of_the_rows_used(case_id: str) -> None:
    fit, case = both(case_id)
    rows = data_of(case_id).loc[fit.fittedvalues.index]
    ours = fit.predict(rows, random="none")
    assert_summary(ours, case.results["fitted_population"], 1e-6, case.results["sigma"])


def offset_of(case: ReferenceCase) -> np.ndarray:
    """R leaves an offset argument out of predictions for new rows; henderson does not."""
    rows = case.new_rows
    return (
        rows[case.keywords["offset"]].to_numpy()
        if "offset" in case.keywords
        else np.zeros(len(rows))
    )


@each(CASES)
def test_population_predictions(case_id: str) -> None:
    fit, case = both(case_id)
    expected = np.array(case.results["predict"]["population"]) + offset_of(case)
    assert_close(fit.predict(case.new_rows, random="none"), expected, 1e-6, fit.sigma)


@each(CASES)
def test_conditional_predictions_for_known_and_unseen_levels(case_id: str) -> None:
    fit, case = both(case_id)
    ours = fit.predict(case.new_rows, random="all", new_levels="population")
    expected = np.array(case.results["predict"]["conditional"]) + offset_of(case)
    assert_close(ours, expected, 1e-6, case.results["sigma"])


def test_a_quadratic_in_age_by_subject_reaches_the_lower_optimum() -> None:
    """lme4 1.1-31 stops near 447.34 on this singular fit."""
    import henderson

    fit = henderson.lmm(
        "distance ~ age + I(age**2) + (age + I(age**2) | Subject)",
        henderson.load_dataset("orthodont"),
    )
    assert -2.0 * fit.llf == pytest.approx(446.460682, abs=1e-5)
    assert fit.optimum.verdict.evaluations <= 10
