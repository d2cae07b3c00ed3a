"""Kenward-Roger against pbkrtest's stored results."""

from __future__ import annotations

import numpy as np
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
