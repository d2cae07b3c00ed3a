"""Kenward-Roger against pbkrtest's stored results, and against dense matrices with weights."""

from __future__ import annotations

import numpy as np
import oracle
import pandas as pd
import pytest
from reference_cases import ReferenceCase, lmer_cases

import henderson

CASES = [c for c in lmer_cases() if c.results.get("kenward_roger", {}).get("coef")]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_adjusted_covariance_and_df(case: ReferenceCase) -> None:
    fit = henderson.lmm(case.formula, case.data(), method=case.method, **case.keywords)
    stored = case.results["kenward_roger"]["coef"]
    names = case.names(list(stored))
    table = fit.summary(ddf="kenward-roger").coefficients.loc[names]
    se = np.array([row["se"] for row in stored.values()], dtype=float)
    df = np.array([row["df"] for row in stored.values()], dtype=float)
    np.testing.assert_allclose(table["std_error"], se, rtol=1e-4)
    np.testing.assert_allclose(table["df"], df, rtol=1e-4)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("groups", "treatments"), [(4, 2), (5, 3), (6, 4), (6, 2), (8, 3)])
def test_groups_of_equal_size_are_tested_by_their_means(
    groups: int, treatments: int, seed: int
) -> None:
    """Treatments of whole groups of one size: the exact F is that of a regression of the means,
    on groups - treatments df, two of them in the first three designs."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), 4)
    treatment = np.array(list("abcd"))[group % treatments]
    y = 50.0 * rng.normal(size=groups)[group] + rng.normal(size=len(group))
    data = pd.DataFrame({"y": y, "treatment": treatment, "group": group})
    fit = henderson.lmm("y ~ treatment + (1 | group)", data)
    assert not fit.is_singular
    means = data.groupby("group", as_index=False).agg({"y": "mean", "treatment": "first"})
    exact = henderson.lm("y ~ treatment", means).anova().table.iloc[0]
    found = fit.anova(ddf="kenward-roger").table.iloc[0]
    columns = ["num_df", "den_df", "f", "p_value"]
    np.testing.assert_allclose(
        found[columns].astype(float), exact[columns].astype(float), rtol=1e-6
    )


def test_ml_fits_are_refused() -> None:
    data = henderson.load_dataset("sleepstudy")
    fit = henderson.lmm("Reaction ~ Days + (1 | Subject)", data, method="ML")
    with pytest.raises(henderson.errors.DesignError, match="REML"):
        fit.summary(ddf="kenward-roger")


def weighted() -> pd.DataFrame:
    rng = np.random.default_rng(12)
    n = 60
    data = pd.DataFrame({"g": rng.integers(0, 9, n), "h": rng.integers(0, 5, n)})
    data["x"], data["w"] = rng.normal(size=n), rng.gamma(1.5, size=n) + 0.1
    effects = rng.normal(size=9)[data["g"]] + rng.normal(size=5)[data["h"]]
    return data.assign(y=effects + rng.normal(size=n) / np.sqrt(data["w"]))


@pytest.mark.parametrize("formula", ["y ~ x + (x | g)", "y ~ x + (1 | g) + (1 | h)"])
def test_prior_weights_are_part_of_the_residual_covariance(formula: str) -> None:
    """Kenward and Roger's formulas with dense matrices, V = Z G Z' + sigma^2 W^-1. pbkrtest 0.5.2
    takes sigma^2 I, which here gives other df."""
    data = weighted()
    fit = henderson.lmm(formula, data, weights="w")
    assert not fit.is_singular
    blocks = tuple(oracle.block(f.codes, f.z, len(f.levels)) for f in fit.design.random)
    y, x, w = fit.design.y, fit.design.X, data["w"].to_numpy()
    dense = oracle.solve(oracle.Problem(y, x, blocks, w), fit.optimum.sigmas)
    expected = oracle.kenward_roger(dense)
    table = fit.summary(ddf="kenward-roger").coefficients
    np.testing.assert_allclose(table["std_error"], np.sqrt(np.diag(expected.vcov)), rtol=1e-6)
    ours = [oracle.kenward_roger_test(expected, dense.beta, row).den_df for row in np.eye(2)]
    np.testing.assert_allclose(table["df"], ours, rtol=1e-6)
    plain = oracle.solve(oracle.Problem(y, x, blocks), fit.optimum.sigmas)
    unweighted = oracle.kenward_roger(plain)
    other = [oracle.kenward_roger_test(unweighted, dense.beta, row).den_df for row in np.eye(2)]
    assert np.abs(np.array(other) / ours - 1.0).max() > 0.01
